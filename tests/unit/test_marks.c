/*
 * Marks of dossiers: what counts, what changes a mark, and totals that follow every change exactly as a new scan would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/base/check.h"
#include "sync/marks.h"
#include "tests/lib/store_mem.h"
#include "tests/lib/testkit.h"

enum { DOSSIERS = 200 };

struct world {
    struct store *s;
    struct marks m;
    struct rng rng;
    uint8_t seen[8]; /* of the dossier made last */
};

static int set_up(void **state)
{
    static struct world w;
    w = (struct world){ .s = store_mem_new(), .rng = test_rng(7) };
    marks_init(&w.m, test_mem());
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    marks_forget(&w->m);
    store_mem_free(w->s);
    return 0;
}

static struct dossier some_dossier(struct world *w, uint8_t number)
{
    struct dossier d = { .id = { { number, 9 } }, .kind = DOSSIER_CUSTOMER };
    d.station = 1 + (uint32_t)test_random_below(&w->rng, 3);
    d.creator = (uint32_t)test_random_below(&w->rng, 3);
    d.owner = (uint32_t)test_random_below(&w->rng, 3);
    rng_fill(&w->rng, w->seen, sizeof(w->seen));
    d.seen = bytes_of(w->seen, (size_t)test_random_below(&w->rng, sizeof(w->seen)));
    return d;
}

/* Puts it and tells the marks, as the core does. */
static void put(struct world *w, const struct dossier *d)
{
    struct arena a;
    struct dossier old = { 0 };
    arena_init(&a, test_mem(), 1 << 16);
    assert_int_equal(w->s->ops->begin(w->s), ERR_OK);
    bool is_stored = w->s->ops->dossier_get(w->s, d->id, &a, &old) == ERR_OK;
    assert_int_equal(w->s->ops->dossier_put(w->s, d), ERR_OK);
    assert_int_equal(w->s->ops->commit(w->s, true), ERR_OK);
    marks_change(&w->m, is_stored ? &old : NULL, d);
    arena_release(&a);
}

static bool is_station(void *ctx, const struct marks_key *key)
{
    return key->station == *(const uint32_t *)ctx;
}

static struct marks_total total(struct world *w, struct marks *m, uint32_t station)
{
    struct marks_total t = { 0 };
    assert_int_equal(marks_total_of(m, w->s, station == 0 ? NULL : is_station, &station, &t), ERR_OK);
    return t;
}

static void totals_follow_every_change(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 3 * DOSSIERS; i++) {
        struct marks fresh;
        const struct dossier d = some_dossier(w, (uint8_t)test_random_below(&w->rng, DOSSIERS));
        put(w, &d);
        marks_init(&fresh, test_mem());
        for (uint32_t station = 0; station < 4; station++) {
            const struct marks_total kept = total(w, &w->m, station);
            const struct marks_total scanned = total(w, &fresh, station);
            assert_true(marks_equal(&kept, &scanned));
        }
        assert_int_equal(fresh.count, w->m.count);
        assert_true(i > 0 || w->m.is_built);
        marks_forget(&fresh);
    }
    assert_true(total(w, &w->m, 0).count > DOSSIERS / 2);
    marks_forget(&w->m);
    assert_int_equal(test_mem()->used_bytes, 0);
}

static void a_mark_is_about_id_and_seen_only(void **state)
{
    uint8_t one[MARK_BYTES];
    uint8_t other[MARK_BYTES];
    struct dossier d = { .id = { { 1 } }, .kind = DOSSIER_CUSTOMER, .station = 1, .seen = BYTES_LIT("abc") };
    (void)state;
    marks_of(&d, one);
    d.station = 2;
    d.owner = 7;
    d.secret[0] = 1;
    marks_of(&d, other);
    assert_memory_equal(one, other, sizeof(one));
    d.seen = BYTES_LIT("abd");
    marks_of(&d, other);
    assert_memory_not_equal(one, other, sizeof(one));
    d.seen = BYTES_LIT("abc");
    d.id.b[9] = 1;
    marks_of(&d, other);
    assert_memory_not_equal(one, other, sizeof(one));
}

static bool is_odd(void *ctx, const struct dossier *d)
{
    (void)ctx;
    return d->id.b[0] % 2 == 1;
}

static void items_are_what_counts_and_is_wanted(void **state)
{
    struct world *w = *state;
    struct marks_items items;
    size_t want = 0;
    for (unsigned i = 0; i < DOSSIERS; i++) {
        const struct dossier d = some_dossier(w, (uint8_t)i);
        put(w, &d);
        want += i % 2 == 1 && d.seen.len > 0 ? 1 : 0;
    }
    assert_int_equal(marks_collect(w->s, test_mem(), 1 << 20, is_odd, NULL, &items), ERR_OK);
    assert_int_equal(items.count, want);
    for (size_t i = 1; i < items.count; i++) {
        assert_true(dossier_id_compare(items.at[i - 1].id, items.at[i].id) < 0);
    }
    marks_items_release(&items);
    assert_int_equal(
        marks_collect(w->s, test_mem(), want * sizeof(struct reconcile_item), is_odd, NULL, &items), ERR_OK);
    marks_items_release(&items);
    assert_int_equal(
        marks_collect(w->s, test_mem(), (want - 1) * sizeof(struct reconcile_item), is_odd, NULL, &items), ERR_NOMEM);
    assert_null(items.at);
    assert_int_equal(test_mem()->used_bytes, 0);
}

static void memory_or_store_failing_leaves_nothing_behind(void **state)
{
    struct world *w = *state;
    struct marks_items items;
    for (unsigned i = 0; i < DOSSIERS; i++) {
        const struct dossier d = some_dossier(w, (uint8_t)i);
        put(w, &d);
    }
    for (size_t k = 1;; k++) {
        struct mem *mem = test_mem_failing(k);
        struct marks m;
        struct marks_total t;
        marks_init(&m, mem);
        enum err e = marks_total_of(&m, w->s, NULL, NULL, &t);
        marks_forget(&m);
        e = e == ERR_OK ? marks_collect(w->s, mem, 1 << 20, NULL, NULL, &items) : e;
        if (e == ERR_OK) {
            marks_items_release(&items);
        }
        assert_int_equal(mem->used_bytes, 0);
        assert_int_equal(e, test_mem_has_failed() ? ERR_NOMEM : ERR_OK);
        if (!test_mem_has_failed()) {
            break;
        }
    }
    struct fault fault = { .countdown = 1 };
    store_mem_set_fault(w->s, &fault);
    assert_int_equal(marks_collect(w->s, test_mem(), 1 << 20, NULL, NULL, &items), ERR_IO);
    store_mem_set_fault(w->s, NULL);
}

static void a_total_survives_its_bytes(void **state)
{
    struct buf b;
    struct marks_total t = { .count = 300, .low = UINT64_MAX, .high = 5 };
    struct marks_total got = { 0 };
    (void)state;
    buf_init(&b, test_mem(), 64);
    marks_total_put(&b, &t);
    for (size_t len = 0; len < b.len; len++) {
        struct reader r = reader_of(bytes_of(b.ptr, len));
        assert_int_equal(marks_total_take(&r, &got), ERR_TRUNCATED);
    }
    struct reader r = reader_of(buf_view(&b));
    assert_int_equal(marks_total_take(&r, &got), ERR_OK);
    assert_true(marks_equal(&t, &got) && r.left == 0);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(totals_follow_every_change, set_up, tear_down),
        cmocka_unit_test(a_mark_is_about_id_and_seen_only),
        cmocka_unit_test_setup_teardown(items_are_what_counts_and_is_wanted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_or_store_failing_leaves_nothing_behind, set_up, tear_down),
        cmocka_unit_test(a_total_survives_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
