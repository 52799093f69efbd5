/*
 * More of a known commit, in any order, and less of it. A history of two nodes reaches a third piece by piece: of every
 * commit first nothing, some or all of its groups and parts, later others, mixed with what follows or comes before its
 * turn; and now and then it forgets a dossier. Whenever one looks, the third node is what a rebuild from the parts it
 * holds makes it; when everything has come, it is the same as the first two, to the byte of the log, and nothing is new
 * to it any more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEEDS = 120, OPS = 36, CUSTOMERS_MAX = 8, GROUPS_MAX = 6, THIRD = 3, ORIGINS = 2 };

static uint64_t first_seed = 1;
static uint64_t seeds = SEEDS;

struct run {
    struct world w;
    struct rng rng;
    uint64_t seed;
    struct record_id customers[CUSTOMERS_MAX];
    size_t count;
};

static uint64_t below(struct run *r, uint64_t bound)
{
    return test_random_below(&r->rng, bound);
}

/* --- a history --- */

static const struct {
    const char *field;
    const char *texts[3];
} CHOICES[] = {
    { "full_name", { "陈大文", "陈小文", "李四" } },
    { "sex", { "M", "F", "" } },
    { "birth_date", { "1980-01-02", "1981-01-02", "" } },
    { "occupation", { "教师", "医生", "" } },
    { "remark", { "一", "二", "三" } },
};

/* One commit about several customers, old ones and at times a new one. */
static void write_many(struct run *r, uint32_t node)
{
    struct fleet_write w[GROUPS_MAX + 1];
    struct fleet_field fields[GROUPS_MAX][3];
    struct dot dot = { 0 };
    size_t n = 0;
    bool adds = r->count < CUSTOMERS_MAX && below(r, 3) == 0;
    for (size_t i = 0; i < r->count && n < GROUPS_MAX - 1; i++) {
        if (below(r, 2) == 0 && world_has(&r->w, node, r->customers[i])) {
            size_t k = below(r, sizeof(CHOICES) / sizeof(CHOICES[0]));
            fields[n][0] = (struct fleet_field){ CHOICES[k].field, CHOICES[k].texts[below(r, 3)] };
            fields[n][1] = (struct fleet_field){ NULL, NULL };
            w[n] = (struct fleet_write){
                .node = node, .user = r->w.seller, .entity = ENTITY_CUSTOMER, .id = r->customers[i], .fields = fields[n]
            };
            n++;
        }
    }
    if (adds || n == 0) {
        fields[n][0] = (struct fleet_field){ "full_name", "王五" };
        fields[n][1] = (struct fleet_field){ "kind", "个人" };
        fields[n][2] = (struct fleet_field){ NULL, NULL };
        w[n] = (struct fleet_write){
            .node = node, .user = r->w.seller, .entity = ENTITY_CUSTOMER, .is_new = true, .fields = fields[n]
        };
        n++;
    }
    enum err e = fleet_write_many(r->w.f, w, n, &dot);
    if (e == ERR_OK && w[n - 1].is_new && r->count < CUSTOMERS_MAX) {
        r->customers[r->count++] = w[n - 1].id;
    }
    assert_true(e == ERR_OK || e == ERR_DENIED); /* of somebody else's customer */
}

static void write_one(struct run *r, uint32_t node)
{
    struct record_id id = r->customers[below(r, r->count)];
    if (!world_has(&r->w, node, id)) {
        return;
    }
    static const struct fleet_field withdrawal[] = { { "purpose", "营销短信" }, { "action", "withdraw" },
        { NULL, NULL } };
    switch (below(r, 6)) {
    case 3:
        (void)fleet_child(r->w.f, node, r->w.seller, id, ENTITY_CONSENT, withdrawal);
        break;
    case 0:
        (void)world_child(&r->w, node, id, ENTITY_CONTACT_POINT, "value_raw", "13800000000");
        break;
    case 1:
        (void)fleet_assign(r->w.f, node, r->w.seller, id, below(r, 2) == 0 ? "u2" : "u3", "2026-01-01T00:00:00Z");
        break;
    case 2:
        assert_int_equal(world_delete(&r->w, node, ENTITY_CUSTOMER, id), ERR_OK);
        break;
    default:
        assert_int_equal(world_set_name(&r->w, node, id, below(r, 2) == 0 ? "甲" : "乙"), ERR_OK);
    }
}

static void make_history(struct run *r)
{
    r->customers[r->count++] = fleet_customer(r->w.f, 1, r->w.seller, "陈大文");
    r->customers[r->count++] = fleet_customer(r->w.f, 1, r->w.seller, "李四");
    world_carry(&r->w, 1, 2, 1);
    for (size_t i = 0; i < OPS; i++) {
        uint32_t node = 1 + (uint32_t)below(r, 2);
        if (below(r, 6) == 0) {
            world_carry(&r->w, node, 3 - node, node);
        } else if (below(r, 2) == 0) {
            write_many(r, node);
        } else {
            write_one(r, node);
        }
    }
    world_carry(&r->w, 1, 2, 1);
    world_carry(&r->w, 2, 1, 2);
    assert_true(fleet_same_hash(r->w.f, 1, 2));
}

/* --- pieces of it --- */

struct piece {
    uint64_t seed;
    uint64_t dossiers; /* one in so many is kept */
    uint64_t parts;
};

static bool keep(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    const struct piece *p = ctx;
    struct rng rng =
        test_rng(p->seed ^ ((uint64_t)dossier.b[0] << 8) ^ ((uint64_t)(part == NULL ? 0 : part->index + 1) << 32));
    (void)g;
    return test_random_below(&rng, part == NULL ? p->dossiers : p->parts) == 0;
}

/* ERR_NOT_FOUND: nothing is left of it. */
static enum err give(struct run *r, struct dot dot, struct piece *p)
{
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    struct commit_view v;
    struct buf reduced;
    struct buf beside;
    bool any = false;
    struct arena *a = fleet_arena(r->w.f, 1);
    arena_reset(a);
    assert_int_equal(fleet_commit_of(r->w.f, 1, dot, &commit, &secrets), ERR_OK);
    assert_int_equal(commit_parse(commit, &v), ERR_OK);
    buf_init(&reduced, test_mem(), COMMIT_MAX_BYTES);
    buf_init(&beside, test_mem(), 1 << 16);
    assert_int_equal(seal_reduce(&v, a, keep, p, &reduced, &any), ERR_OK);
    enum err e = ERR_NOT_FOUND;
    if (any) {
        assert_int_equal(commit_parse(buf_view(&reduced), &v), ERR_OK);
        assert_int_equal(core_secrets_of(fleet_core(r->w.f, 1), a, &v, &beside), ERR_OK);
        e = fleet_ingest_early(r->w.f, THIRD, buf_view(&reduced), buf_view(&beside));
    }
    buf_release(&reduced);
    buf_release(&beside);
    return e;
}

static struct piece some_piece(struct run *r)
{
    return (struct piece){ .seed = below(r, 1 << 20), .dossiers = 1 + below(r, 3), .parts = 1 + below(r, 2) };
}

static enum err settle(struct core *c, struct arena *a, struct now now, void *ctx)
{
    const struct dot *d = ctx;
    (void)a;
    (void)now;
    return core_settle_withheld(c, d->node, d->epoch, d->seq);
}

static void give_next(struct run *r, struct dot dot)
{
    struct piece p = some_piece(r);
    enum err e = below(r, 4) == 0 ? ERR_NOT_FOUND : give(r, dot, &p);
    if (e == ERR_NOT_FOUND) {
        e = fleet_do(r->w.f, THIRD, settle, &dot);
    }
    assert_int_equal(e, ERR_OK);
}

static void give_again(struct run *r, struct dot dot)
{
    struct piece p = some_piece(r);
    enum err e = give(r, dot, &p);
    assert_true(e == ERR_OK || e == ERR_EXISTS || e == ERR_NOT_FOUND);
}

static enum err forget(struct core *c, struct arena *a, struct now now, void *ctx)
{
    const struct record_id *id = ctx;
    (void)now;
    return core_forget(c, a, record_dossier(*id));
}

static void forget_some(struct run *r)
{
    struct record_id id = r->customers[below(r, r->count)];
    assert_int_equal(fleet_do(r->w.f, THIRD, forget, &id), ERR_OK);
    assert_false(world_has(&r->w, THIRD, id));
}

static void is_what_a_rebuild_makes(struct run *r)
{
    uint8_t before[32];
    uint8_t after[32];
    size_t waiting = fleet_quarantined(r->w.f, THIRD, ERR_OK);
    size_t urgent = fleet_space_count(r->w.f, THIRD, SPACE_URGENT);
    uint64_t early = fleet_core(r->w.f, THIRD)->early;
    fleet_hash(r->w.f, THIRD, before);
    assert_int_equal(fleet_rebuild(r->w.f, THIRD), ERR_OK);
    fleet_hash(r->w.f, THIRD, after);
    if (memcmp(before, after, sizeof(before)) != 0) {
        fail_msg("seed %llu: a rebuild changes something", (unsigned long long)r->seed);
    }
    assert_int_equal(fleet_quarantined(r->w.f, THIRD, ERR_OK), waiting);
    assert_int_equal(fleet_core(r->w.f, THIRD)->early, early);
    assert_in_range(fleet_space_count(r->w.f, THIRD, SPACE_URGENT), 0, urgent); /* forgetting leaves some listed */
}

static void is_the_same(struct run *r)
{
    struct arena a;
    struct dot bad = { 0 };
    arena_init(&a, test_mem(), 8 << 20);
    assert_int_equal(core_verify_log(fleet_core(r->w.f, THIRD), &a, &bad), ERR_OK);
    arena_release(&a);
    assert_int_equal(fleet_core(r->w.f, THIRD)->early, 0);
    assert_int_equal(fleet_space_count(r->w.f, THIRD, SPACE_URGENT), fleet_space_count(r->w.f, 1, SPACE_URGENT));
    assert_int_equal(fleet_quarantined(r->w.f, THIRD, ERR_OK), fleet_quarantined(r->w.f, 1, ERR_OK));
    if (!fleet_same_hash(r->w.f, 1, THIRD)) {
        fail_msg("seed %llu: other state", (unsigned long long)r->seed);
    }
    for (uint32_t origin = 1; origin <= ORIGINS; origin++) {
        for (uint64_t seq = 1; seq <= world_upto(&r->w, 1, origin, 1); seq++) {
            struct bytes x = { 0 };
            struct bytes y = { 0 };
            struct bytes secrets = { 0 };
            struct piece all = { .dossiers = 1, .parts = 1 };
            assert_int_equal(fleet_commit_of(r->w.f, 1, world_dot(origin, seq), &x, &secrets), ERR_OK);
            assert_int_equal(fleet_commit_of(r->w.f, THIRD, world_dot(origin, seq), &y, &secrets), ERR_OK);
            assert_true(bytes_equal(x, y));
            assert_int_equal(give(r, world_dot(origin, seq), &all), ERR_EXISTS);
        }
    }
}

static uint64_t lacking(const struct run *r)
{
    uint64_t n = 0;
    for (uint32_t origin = 1; origin <= ORIGINS; origin++) {
        n += world_upto(&r->w, 1, origin, 1) - world_upto(&r->w, THIRD, origin, 1);
    }
    return n;
}

static void run_seed(uint64_t seed)
{
    struct run r = { .w = world_new(3), .rng = test_rng(seed), .seed = seed };
    struct piece all = { .dossiers = 1, .parts = 1 };
    make_history(&r);
    uint64_t left = lacking(&r);
    while (left > 0) {
        uint32_t origin = 1 + (uint32_t)below(&r, ORIGINS);
        uint64_t upto = world_upto(&r.w, THIRD, origin, 1);
        if (below(&r, 3) == 0 && upto > 0) {
            give_again(&r, world_dot(origin, 1 + below(&r, upto)));
        } else if (upto < world_upto(&r.w, 1, origin, 1)) {
            give_next(&r, world_dot(origin, upto + 1));
        }
        if (below(&r, 4) == 0) { /* before its turn */
            give_again(&r, world_dot(origin, 1 + below(&r, world_upto(&r.w, 1, origin, 1))));
        }
        left = lacking(&r);
        if (below(&r, 12) == 0) {
            forget_some(&r);
        }
        if (below(&r, 20) == 0) {
            is_what_a_rebuild_makes(&r);
        }
    }
    for (size_t i = 0; i < 30; i++) {
        uint32_t origin = 1 + (uint32_t)below(&r, ORIGINS);
        give_again(&r, world_dot(origin, 1 + below(&r, world_upto(&r.w, THIRD, origin, 1))));
    }
    is_what_a_rebuild_makes(&r);
    for (uint32_t origin = ORIGINS; origin >= 1; origin--) {
        for (uint64_t seq = world_upto(&r.w, 1, origin, 1); seq >= 1; seq--) {
            enum err e = give(&r, world_dot(origin, seq), &all);
            assert_true(e == ERR_OK || e == ERR_EXISTS);
        }
    }
    is_the_same(&r);
    is_what_a_rebuild_makes(&r);
    fleet_free(r.w.f);
}

static void pieces_in_any_order(void **state)
{
    (void)state;
    for (uint64_t s = first_seed; s < first_seed + seeds; s++) {
        run_seed(s);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(pieces_in_any_order) };
    first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : SEEDS;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
