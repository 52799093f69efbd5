/* Forgetting a dossier: nothing of it is left here, everything else goes on, and all of it can come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

#include <stdio.h>

static enum err forget_id(struct core *c, struct arena *a, struct now now, void *ctx)
{
    const struct dossier_id *id = ctx;
    (void)now;
    return core_forget(c, a, *id);
}

static enum err forget(const struct world *w, uint32_t node, struct record_id id)
{
    struct dossier_id d = record_dossier(id);
    return fleet_do(w->f, node, forget_id, &d);
}

static enum err carry(const struct world *w, uint32_t from, uint32_t to, struct dot dot)
{
    enum err e = fleet_carry(w->f, from, to, dot);
    return e == ERR_EXISTS ? ERR_OK : e;
}

static void carry_all(const struct world *w, uint32_t from, uint32_t to, uint32_t origin)
{
    for (uint64_t seq = 1; seq <= world_upto(w, from, origin, 1); seq++) {
        assert_int_equal(carry(w, from, to, world_dot(origin, seq)), ERR_OK);
    }
}

static bool has(struct bytes hay, struct bytes needle)
{
    for (size_t i = 0; i + needle.len <= hay.len; i++) {
        if (memcmp(hay.ptr + i, needle.ptr, needle.len) == 0) {
            return true;
        }
    }
    return false;
}

static enum err find_needle(void *ctx, struct bytes key, struct bytes value)
{
    const struct bytes *needle = ctx;
    return has(key, *needle) || has(value, *needle) ? ERR_EXISTS : ERR_OK;
}

/* Its id stands in no key and no value, its main record in no table. */
static void assert_nothing_left(const struct world *w, uint32_t node, struct record_id id)
{
    struct dossier_id d = record_dossier(id);
    struct bytes needle = BYTES_OF(d.b);
    struct store *s = fleet_store(w->f, node);
    const struct bytes all = { 0 };
    struct dossier found;
    for (enum store_space space = 0; space < SPACE_COUNT; space++) {
        assert_int_equal(s->ops->scan(s, space, all, all, false, find_needle, &needle), ERR_OK);
    }
    assert_int_equal(s->ops->dossier_get(s, d, fleet_arena(w->f, node), &found), ERR_NOT_FOUND);
    assert_false(world_has(w, node, id));
}

/* Names in conflict, children, an assignment; node 2 has all of it. */
static struct record_id rich_customer(const struct world *w)
{
    struct record_id id = world_customer(w);
    (void)world_child(w, 1, id, ENTITY_CONTACT_POINT, "value_raw", "13800000000");
    assert_int_equal(world_set_name(w, 1, id, "陈一"), ERR_OK);
    assert_int_equal(world_set_name(w, 2, id, "陈二"), ERR_OK);
    (void)fleet_assign(w->f, 2, w->seller, id, "u2", "2026-01-01T00:00:00Z");
    world_carry(w, 1, 2, 1);
    world_carry(w, 2, 1, 2);
    assert_true(fleet_conflicts(w->f, 2, false) > 0);
    return id;
}

static void test_forgotten_and_given_again(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = rich_customer(&w);
    struct record_id other = fleet_customer(w.f, 1, w.seller, "李四");
    world_carry(&w, 1, 2, 1);
    uint64_t upto = world_upto(&w, 2, 2, 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(forget(&w, 2, id), ERR_OK);
        assert_nothing_left(&w, 2, id);
        assert_int_equal(fleet_conflicts(w.f, 2, false), 0);
        assert_int_equal(fleet_space_count(w.f, 2, SPACE_LOG), 1);
    }
    assert_true(world_shows_name(&w, 2, other, "李四"));
    assert_true(world_log_is_whole(&w, 2));
    assert_true(world_rebuild_is_same(&w, 2));
    fleet_restart(w.f, 2);
    assert_true(world_log_is_whole(&w, 2));
    /* Our own next commit follows the one that is gone. */
    assert_int_equal(world_upto(&w, 2, 2, 1), upto);
    assert_int_equal(world_set_name(&w, 2, other, "李五"), ERR_OK);
    assert_int_equal(fleet_carry(w.f, 2, 1, world_dot(2, upto + 1)), ERR_OK);
    carry_all(&w, 1, 2, 2);
    carry_all(&w, 1, 2, 1);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 0);
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_true(world_log_is_whole(&w, 2));
    assert_true(world_rebuild_is_same(&w, 2));
    fleet_free(w.f);
}

/* Holes in our own log must not hide what lies behind them, or its numbers would be given out again. */
static void test_own_commits_behind_a_hole(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id gone = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id stays = fleet_customer(w.f, 1, w.seller, "李四");
    assert_int_equal(world_set_name(&w, 1, gone, "陈一"), ERR_OK);
    assert_int_equal(world_set_name(&w, 1, stays, "李五"), ERR_OK);
    world_carry(&w, 1, 2, 1);
    assert_int_equal(forget(&w, 1, gone), ERR_OK);
    assert_int_equal(fleet_space_count(w.f, 1, SPACE_LOG), 2);
    for (uint64_t upto = 4; upto < 7; upto++) {
        fleet_restart(w.f, 1);
        assert_int_equal(world_upto(&w, 1, 1, 1), upto);
        assert_int_equal(fleet_core(w.f, 1)->early, 0);
        assert_int_equal(world_set_name(&w, 1, stays, upto % 2 == 0 ? "李六" : "李七"), ERR_OK);
        assert_int_equal(fleet_carry(w.f, 1, 2, world_dot(1, upto + 1)), ERR_OK);
    }
    assert_true(world_log_is_whole(&w, 1));
    fleet_free(w.f);
}

/* The chain still holds after the last commit of an origin went. */
static void test_chain_after_the_forgotten_end(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    assert_int_equal(world_set_name(&w, 3, id, "陈一"), ERR_OK);
    world_carry(&w, 3, 2, 3);
    assert_int_equal(forget(&w, 2, id), ERR_OK);
    const struct head *head = core_head(fleet_core(w.f, 2), 3, 1);
    assert_true(head->upto == 1 && head->knows_hash && head->is_forgotten);
    fleet_restart(w.f, 2);
    head = core_head(fleet_core(w.f, 2), 3, 1);
    assert_true(head->knows_hash && head->is_forgotten);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_false(core_head(fleet_core(w.f, 2), 3, 1)->is_forgotten);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_GAP), 1);
    assert_int_equal(forget(&w, 2, id), ERR_OK); /* also what only waits */
    assert_nothing_left(&w, 2, id);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 0);
    fleet_free(w.f);
}

enum { MANY = 300 };

/* One of hundreds that came in one commit. */
static void test_one_of_many(void **state)
{
    (void)state;
    static struct fleet_write writes[MANY];
    static const struct fleet_field fields[] = { { "full_name", "王五" }, { "kind", "个人" }, { NULL, NULL } };
    struct world w = world_new(3);
    struct dot dot = { 0 };
    struct bytes before = { 0 };
    struct bytes after = { 0 };
    struct bytes secrets = { 0 };
    for (size_t i = 0; i < MANY; i++) {
        writes[i] = (struct fleet_write){
            .node = 1, .user = w.seller, .entity = ENTITY_CUSTOMER, .is_new = true, .fields = fields
        };
    }
    assert_int_equal(fleet_write_many(w.f, writes, MANY, &dot), ERR_OK);
    world_carry(&w, 1, 2, 1);
    assert_int_equal(forget(&w, 2, writes[100].id), ERR_OK);
    assert_int_equal(forget(&w, 1, writes[MANY - 1].id), ERR_OK);
    assert_nothing_left(&w, 2, writes[100].id);
    assert_true(world_has(&w, 2, writes[99].id) && world_has(&w, 2, writes[101].id));
    assert_true(world_log_is_whole(&w, 2));
    assert_true(world_rebuild_is_same(&w, 1));
    assert_true(world_rebuild_is_same(&w, 2));
    assert_int_equal(carry(&w, 1, 2, dot), ERR_OK);
    assert_int_equal(carry(&w, 2, 1, dot), ERR_OK);
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_int_equal(fleet_commit_of(w.f, 1, dot, &before, &secrets), ERR_OK);
    assert_int_equal(fleet_commit_of(w.f, 2, dot, &after, &secrets), ERR_OK);
    assert_true(bytes_equal(before, after));
    fleet_free(w.f);
}

static struct record_id write_at_home(const struct world *w, struct fleet_write wr)
{
    struct dot dot = { 0 };
    wr.node = 1;
    wr.user = 1;
    wr.is_new = true;
    wr.station = 1;
    assert_int_equal(fleet_write(w->f, &wr, &dot), ERR_OK);
    return wr.id;
}

/* A station's book goes with its customers when a scope is narrowed; the group's is everybody's. */
static void test_books(void **state)
{
    (void)state;
    struct world w = world_new(3);
    const struct fleet_field staff[] = { { "user", "u9" }, { "name", "甲" }, { NULL, NULL } };
    const struct fleet_field station[] = { { "code", "S9" }, { "name", "九店" }, { NULL, NULL } };
    struct record_id person = write_at_home(&w, (struct fleet_write){ .entity = ENTITY_STAFF, .fields = staff });
    struct record_id shop = write_at_home(&w, (struct fleet_write){ .entity = ENTITY_STATION, .fields = station });
    carry_all(&w, 1, 2, 1);
    assert_int_equal(forget(&w, 2, shop), ERR_DENIED);
    assert_int_equal(forget(&w, 2, person), ERR_OK);
    assert_nothing_left(&w, 2, person);
    assert_int_equal(fleet_space_count(w.f, 2, SPACE_LOG), 1);
    assert_true(world_log_is_whole(&w, 2));
    assert_true(world_rebuild_is_same(&w, 2));
    carry_all(&w, 1, 2, 1);
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_true(world_rebuild_is_same(&w, 2));
    fleet_free(w.f);
}

/* What lies beyond a cut is kept unread; forgetting reaches it too. */
static void test_beyond_a_cut(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    assert_int_equal(world_set_name(&w, 3, id, "陈一"), ERR_OK);
    assert_int_equal(world_set_name(&w, 3, id, "陈二"), ERR_OK);
    world_carry(&w, 3, 2, 3);
    fleet_revoke(w.f, 3, 1);
    world_teach_all(&w);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_REVOKED), 1);
    assert_int_equal(forget(&w, 2, id), ERR_OK);
    assert_nothing_left(&w, 2, id);
    assert_int_equal(fleet_space_count(w.f, 2, SPACE_LOG), 0);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 0);
    assert_true(world_log_is_whole(&w, 2));
    carry_all(&w, 1, 2, 1);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_true(world_shows_name(&w, 2, id, "陈一"));
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forgotten_and_given_again),
        cmocka_unit_test(test_own_commits_behind_a_hole),
        cmocka_unit_test(test_chain_after_the_forgotten_end),
        cmocka_unit_test(test_one_of_many),
        cmocka_unit_test(test_books),
        cmocka_unit_test(test_beyond_a_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
