/*
 * Reconciliation by example: what a run costs where nothing differs, what a liar gets, what a full memory does. That
 * every difference is found is in tests/prop/prop_reconcile.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/base/check.h"
#include "sync/reconcile.h"
#include "tests/lib/testkit.h"

#include <stdlib.h>

enum { ITEMS = 5000 };

struct bench {
    struct reconcile_item items[ITEMS];
    struct reconcile *r;
    struct buf in, out;
    size_t heard[RECONCILE_DIFFERENT + 1];
    bool is_over;
};

static const uint8_t salt[RECONCILE_SALT_BYTES] = { 9 };

static int set_up(void **state)
{
    static struct bench b;
    memset(&b, 0, sizeof(b));
    struct rng rng = test_rng(3);
    for (size_t i = 0; i < ITEMS; i++) {
        rng_fill(&rng, &b.items[i], sizeof(b.items[i]));
        b.items[i].id.b[0] = (uint8_t)(i >> 8);
        b.items[i].id.b[1] = (uint8_t)i;
    }
    buf_init(&b.in, test_mem(), 2 * RECONCILE_MESSAGE_MAX_BYTES);
    buf_init(&b.out, test_mem(), RECONCILE_MESSAGE_MAX_BYTES);
    *state = &b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    reconcile_free(b->r);
    buf_release(&b->in);
    buf_release(&b->out);
    assert_int_equal(test_mem()->used_bytes, 0);
    return 0;
}

static void start(struct bench *b, size_t count)
{
    reconcile_free(b->r);
    b->r = NULL;
    assert_int_equal(reconcile_new(test_mem(), b->items, count, &b->r), ERR_OK);
}

static enum err hear(void *ctx, enum reconcile_kind kind, struct dossier_id id)
{
    struct bench *b = ctx;
    (void)id;
    b->heard[kind]++;
    return ERR_OK;
}

static enum err answer(struct bench *b)
{
    buf_clear(&b->out);
    enum err e = reconcile_answer(b->r, buf_view(&b->in), &b->out, hear, b, &b->is_over);
    buf_clear(&b->in);
    return e;
}

/* A message by hand: version, flags, no ids told. */
static void message(struct bench *b, unsigned flags)
{
    buf_put_u8(&b->in, 1);
    buf_put_u8(&b->in, (uint8_t)flags);
    if ((flags & 1U) != 0) {
        buf_put(&b->in, salt, sizeof(salt));
    }
    buf_put(&b->in, "\0\0\0", 3);
}

static void equal_sets_take_one_round_trip(void **state)
{
    struct bench *b = *state;
    struct reconcile *other = NULL;
    bool other_is_over = false;
    const size_t counts[] = { 0, 1, 12, 13, ITEMS };
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        start(b, counts[i]);
        assert_int_equal(reconcile_new(test_mem(), b->items, counts[i], &other), ERR_OK);
        buf_clear(&b->in);
        assert_int_equal(reconcile_first(other, salt, &b->in), ERR_OK);
        assert_int_equal(answer(b), ERR_OK);
        assert_true(b->is_over && b->out.len > 0 && b->out.len < 8);
        buf_put_bytes(&b->in, buf_view(&b->out));
        buf_clear(&b->out);
        enum err e = reconcile_answer(other, buf_view(&b->in), &b->out, hear, b, &other_is_over);
        assert_int_equal(e, ERR_OK);
        assert_true(other_is_over && b->out.len == 0);
        reconcile_free(other);
    }
    assert_int_equal(b->heard[RECONCILE_ONLY_OURS] + b->heard[RECONCILE_ONLY_THEIRS], 0);
}

/* The key decides what is compared: the same sets give other bytes in the next run. */
static void the_salt_is_in_every_fingerprint(void **state)
{
    struct bench *b = *state;
    const uint8_t other_salt[RECONCILE_SALT_BYTES] = { 8 };
    start(b, ITEMS);
    assert_int_equal(reconcile_first(b->r, salt, &b->out), ERR_OK);
    start(b, ITEMS);
    assert_int_equal(reconcile_first(b->r, other_salt, &b->in), ERR_OK);
    assert_int_equal(b->in.len, b->out.len);
    assert_memory_not_equal(b->in.ptr + 18, b->out.ptr + 18, b->in.len - 18);
    buf_clear(&b->in);
}

struct refused {
    const char *name;
    enum err want;
    const char *bytes; /* after version, flags, salt and an empty list of what is told */
    size_t len;
};

static void malformed_ranges_are_refused(void **state)
{
    static const struct refused cases[] = {
        { "bound without tag", ERR_TRUNCATED, "\xff", 1 },
        { "bound that goes back", ERR_FORMAT, "\x01\x05\x00\x01\x04\x00", 6 },
        { "bound that stays", ERR_FORMAT, "\x01\x05\x00\x10\x00", 5 },
        { "bound of the start", ERR_FORMAT, "\x00\x00", 2 },
        { "bound too long", ERR_FORMAT,
            "\x0b"
            "12345678901"
            "\x00",
            13 },
        { "shared and rest too long", ERR_FORMAT, "\x01\x05\x00\xa1\x07\x00", 6 },
        { "something after the end", ERR_FORMAT, "\xff\x00\x01\x05\x00", 5 },
        { "skip with a count", ERR_FORMAT, "\xff\x04", 2 },
        { "mode 3", ERR_FORMAT, "\xff\x03", 2 },
        { "fingerprint cut", ERR_TRUNCATED,
            "\xff\x05"
            "1234567",
            9 },
        { "list of more than there is", ERR_TRUNCATED, "\xff\xfe\xff\xff\x03\x00", 6 },
        { "list with a prefix too long", ERR_FORMAT,
            "\xff\x06\x0b"
            "12345678901",
            14 },
        { "list of nothing with a prefix", ERR_FORMAT,
            "\xff\x02\x01"
            "1",
            4 },
        { "list out of its range", ERR_FORMAT,
            "\x01\x05\x06\x00\x06"
            "234567890"
            "12345678",
            22 },
        { "list with a double", ERR_FORMAT,
            "\xff\x0a\x09"
            "123456789"
            "1"
            "12345678"
            "1"
            "12345678",
            30 },
    };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        start(b, ITEMS);
        message(b, 1);
        buf_put(&b->in, cases[i].bytes, cases[i].len);
        enum err e = answer(b);
        if (e != cases[i].want) {
            print_error("%s: %s\n", cases[i].name, err_name(e));
        }
        assert_int_equal(e, cases[i].want);
    }
}

static void messages_out_of_turn_are_refused(void **state)
{
    struct bench *b = *state;
    start(b, ITEMS);
    message(b, 0); /* nobody has opened */
    assert_int_equal(answer(b), ERR_PROTOCOL);
    start(b, ITEMS);
    assert_int_equal(reconcile_first(b->r, salt, &b->out), ERR_OK);
    message(b, 1); /* both open */
    assert_int_equal(answer(b), ERR_PROTOCOL);
    start(b, ITEMS);
    message(b, 1U | 4U); /* the end, with ranges */
    buf_put(&b->in,
        "\xff\x05"
        "12345678",
        10);
    assert_int_equal(answer(b), ERR_PROTOCOL);
    start(b, ITEMS);
    message(b, 1U | 8U);
    assert_int_equal(answer(b), ERR_FORMAT);
    start(b, ITEMS);
    message(b, 1U | 4U);
    assert_int_equal(answer(b), ERR_OK);
    assert_true(b->is_over && b->out.len == 0);
    message(b, 0); /* after the end */
    assert_int_equal(answer(b), ERR_PROTOCOL);
    start(b, ITEMS);
    buf_put_u8(&b->in, 2);
    assert_int_equal(answer(b), ERR_VERSION);
    start(b, ITEMS);
    (void)buf_reserve(&b->in, RECONCILE_MESSAGE_MAX_BYTES + 1);
    assert_int_equal(answer(b), ERR_LIMIT);
}

/* What the other side says about ids may not contradict what we have. */
static void told_ids_are_checked(void **state)
{
    struct bench *b = *state;
    const uint8_t unknown[DOSSIER_ID_BYTES] = { 0xFF };
    for (unsigned list = 0; list < 3; list++) {
        for (unsigned known = 0; known < 2; known++) {
            start(b, ITEMS);
            buf_put(&b->in, "\x01\x01", 2);
            buf_put(&b->in, salt, sizeof(salt));
            for (unsigned i = 0; i < 3; i++) {
                buf_put_u8(&b->in, i == list ? 1 : 0);
                if (i == list) {
                    buf_put(&b->in, known == 1 ? b->items[7].id.b : unknown, DOSSIER_ID_BYTES);
                }
            }
            assert_int_equal(answer(b), (list < 2) == (known == 1) ? ERR_OK : ERR_PROTOCOL);
        }
    }
    assert_int_equal(b->heard[RECONCILE_ONLY_OURS], 1);
    assert_int_equal(b->heard[RECONCILE_DIFFERENT], 1);
    assert_int_equal(b->heard[RECONCILE_ONLY_THEIRS], 1);
}

/* Always another fingerprint for everything: it never ends by itself. */
static void a_liar_runs_out_of_rounds(void **state)
{
    struct bench *b = *state;
    enum err e = ERR_OK;
    uint32_t rounds = 0;
    start(b, ITEMS);
    for (unsigned flags = 1; e == ERR_OK; flags = 0) {
        message(b, flags);
        buf_put(&b->in,
            "\xff\x05"
            "12345678",
            10); /* one item: we ask for the list, and ask, and ask */
        e = answer(b);
        rounds++;
    }
    assert_int_equal(e, ERR_LIMIT);
    assert_true(rounds == reconcile_rounds(b->r) && rounds < 200);
}

/* Ranges that this side still has to answer, opened once more: in whole, at its start, at its end. */
static void ranges_opened_twice_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = { { "\x01\x0f\xa1\x3f"
                    "12345678",
                      12 },
        { "\x01\x0e\x00\x02\x0e\x80\xa1\x3f"
          "12345678",
            16 },
        { "\x02\x0e\x80\x00\x01\x0f\xa1\x3f"
          "12345678",
            16 } };
    struct bench *b = *state;
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        start(b, ITEMS);
        reconcile_tune(b->r, 8, 12, RECONCILE_MESSAGE_MIN_BYTES);
        message(b, 1);
        for (unsigned i = 1; i < 16; i++) {
            const uint8_t range[] = { 0x01, (uint8_t)i, 0xa1, 0x3f }; /* 1000 items, some sum */
            buf_put(&b->in, range, sizeof(range));
            buf_put(&b->in, salt, 8);
        }
        assert_int_equal(answer(b), ERR_OK);
        assert_true((b->out.ptr[1] & 2U) != 0); /* more: it did not fit */
        message(b, 0);
        buf_put(&b->in, cases[k].bytes, cases[k].len);
        assert_int_equal(answer(b), ERR_PROTOCOL);
    }
}

static int compare_items(const void *a, const void *b)
{
    const struct reconcile_item *x = a;
    const struct reconcile_item *y = b;
    return dossier_id_compare(x->id, y->id);
}

/* Every second id on the other side: what is to be told must not pile up faster than messages carry it. */
static void sets_without_anything_in_common_end_too(void **state)
{
    enum { MANY = 1000000 };
    struct bench *b = *state;
    struct rng rng = test_rng(4);
    struct reconcile_item *sets[2];
    struct reconcile *r[2] = { NULL, NULL };
    struct buf m[2];
    size_t turn = 0;
    struct reconcile_item *all = mem_alloc(test_mem(), MANY * sizeof(*all));
    assert_non_null(all);
    rng_fill(&rng, all, MANY * sizeof(*all));
    qsort(all, MANY, sizeof(*all), compare_items);
    for (size_t i = 0; i < 2; i++) {
        sets[i] = mem_alloc(test_mem(), MANY / 2 * sizeof(*all));
        for (size_t k = 0; k < MANY / 2; k++) {
            sets[i][k] = all[2 * k + i];
        }
    }
    for (size_t i = 0; i < 2; i++) {
        buf_init(&m[i], test_mem(), RECONCILE_MESSAGE_MAX_BYTES);
        assert_int_equal(reconcile_new(test_mem(), sets[i], MANY / 2, &r[i]), ERR_OK);
    }
    assert_int_equal(reconcile_first(r[0], salt, &m[0]), ERR_OK);
    while (m[turn].len > 0) {
        buf_clear(&m[1 - turn]);
        enum err e = reconcile_answer(r[1 - turn], buf_view(&m[turn]), &m[1 - turn], hear, b, &b->is_over);
        assert_int_equal(e, ERR_OK);
        turn = 1 - turn;
    }
    assert_int_equal(b->heard[RECONCILE_ONLY_OURS], MANY);
    assert_int_equal(b->heard[RECONCILE_ONLY_THEIRS], MANY);
    for (size_t i = 0; i < 2; i++) {
        reconcile_free(r[i]);
        buf_release(&m[i]);
        mem_free(test_mem(), sets[i], MANY / 2 * sizeof(*all));
    }
    mem_free(test_mem(), all, MANY * sizeof(*all));
}

static void memory_failing_anywhere_is_clean(void **state)
{
    struct bench *b = *state;
    for (size_t k = 1;; k++) {
        struct mem *mem = test_mem_failing(k);
        struct reconcile *r[2] = { NULL, NULL };
        struct buf m[2];
        bool is_over = false;
        size_t turn = 0;
        buf_init(&m[0], test_mem(), RECONCILE_MESSAGE_MAX_BYTES);
        buf_init(&m[1], test_mem(), RECONCILE_MESSAGE_MAX_BYTES);
        enum err e = reconcile_new(mem, b->items, ITEMS, &r[0]);
        e = e == ERR_OK ? reconcile_new(mem, b->items + 100, ITEMS - 200, &r[1]) : e;
        e = e == ERR_OK ? reconcile_first(r[0], salt, &m[0]) : e;
        while (e == ERR_OK && m[turn].len > 0) {
            buf_clear(&m[1 - turn]);
            e = reconcile_answer(r[1 - turn], buf_view(&m[turn]), &m[1 - turn], hear, b, &is_over);
            turn = 1 - turn;
        }
        reconcile_free(r[0]);
        reconcile_free(r[1]);
        buf_release(&m[0]);
        buf_release(&m[1]);
        assert_int_equal(mem->used_bytes, 0);
        assert_int_equal(e, test_mem_has_failed() ? ERR_NOMEM : ERR_OK);
        if (!test_mem_has_failed()) {
            break;
        }
    }
}

static enum err refuse(void *ctx, enum reconcile_kind kind, struct dossier_id id)
{
    (void)ctx;
    (void)kind;
    (void)id;
    return ERR_FULL;
}

static void what_the_listener_answers_comes_back(void **state)
{
    struct bench *b = *state;
    start(b, ITEMS);
    message(b, 1);
    buf_put(&b->in, "\xff\x02\x00", 3); /* the other side has nothing at all */
    assert_int_equal(reconcile_answer(b->r, buf_view(&b->in), &b->out, refuse, b, &b->is_over), ERR_FULL);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(equal_sets_take_one_round_trip),
        CASE(the_salt_is_in_every_fingerprint),
        CASE(malformed_ranges_are_refused),
        CASE(messages_out_of_turn_are_refused),
        CASE(told_ids_are_checked),
        CASE(a_liar_runs_out_of_rounds),
        CASE(ranges_opened_twice_are_refused),
        CASE(sets_without_anything_in_common_end_too),
        CASE(memory_failing_anywhere_is_clean),
        CASE(what_the_listener_answers_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
