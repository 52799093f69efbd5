/* Contexts that name commits nobody has made, and standing nobody has: neither hides what others write, nor does the
 * remedy keep honest writes back, in whatever order they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/forge.h"

static const struct part_record main_customer = { .entity = ENTITY_CUSTOMER, .cell_count = 1 };
static const struct part_cell sex_cell = { .number = 3, .value = { .type = VALUE_INT, .i = 2 } };

/* Node 3 says "F" of a customer and claims to have seen these dots. prev: NULL, follows what node 3 itself has. */
static struct bytes lie(
    const struct world *w, struct record_id id, uint64_t seq, struct dot *seen, size_t count, uint8_t standing)
{
    struct dossier d = { 0 };
    struct store *s = fleet_store(w->f, 3);
    assert_int_equal(s->ops->dossier_get(s, record_dossier(id), fleet_arena(w->f, 3), &d), ERR_OK);
    const struct forged_part part = { .class_ = CLASS_CONTACT,
        .head = { .context = { .at = seen, .count = count, .capacity = count },
            .author = w->seller,
            .standing = standing,
            .purpose = PURPOSE_P1 },
        .records = &main_customer,
        .record_count = 1,
        .cells = &sex_cell };
    const struct forged_group g = {
        .kind = DOSSIER_CUSTOMER, .station = 1, .dossier = d.id, .secret = d.secret, .parts = &part, .part_count = 1
    };
    const struct forged_commit c = { .node = 3, .dot = world_dot(3, seq), .groups = &g, .group_count = 1 };
    return forge_commit(w->f, &c);
}

static enum err take(const struct world *w, uint32_t node, struct bytes commit)
{
    return fleet_ingest(w->f, node, commit, (struct bytes){ 0 });
}

static bool shows_sex(const struct world *w, uint32_t node, struct record_id id, const char *text)
{
    return world_shows(w, node, ENTITY_CUSTOMER, id, "sex", text);
}

static enum err set_sex(const struct world *w, uint32_t node, struct record_id id, const char *text)
{
    return world_set(w, node, ENTITY_CUSTOMER, id, "sex", text);
}

/* Node 2's next three writes are claimed as seen before they are made. */
static void test_writes_to_come_are_not_hidden(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    struct dot future[] = { world_dot(1, 1), world_dot(2, 3) };
    struct bytes commit = lie(&w, id, 1, future, 2, 2);
    assert_int_equal(take(&w, 1, commit), ERR_OK);
    assert_int_equal(take(&w, 2, commit), ERR_OK);
    assert_true(shows_sex(&w, 1, id, ""));
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_GAP), 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(set_sex(&w, 2, id, i == 0 ? "M" : "U"), ERR_OK);
        world_carry(&w, 2, 1, 2);
        assert_true(shows_sex(&w, 1, id, i == 0 ? "M" : "U"));
        assert_true(shows_sex(&w, 2, id, i == 0 ? "M" : "U"));
        assert_true(fleet_same_hash(w.f, 1, 2));
    }
    fleet_restart(w.f, 1); /* the list is read back */
    assert_int_equal(fleet_rebuild(w.f, 2), ERR_OK); /* and made again */
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_GAP), 1);
    /* The third write exists: now the claim is what any node could make that has seen it, and it counts on both. */
    assert_int_equal(world_set_name(&w, 2, id, "陈小文"), ERR_OK);
    world_carry(&w, 2, 1, 2);
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_OK), 0);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 0);
    assert_true(shows_sex(&w, 1, id, "F"));
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* What is held was not seen: who writes after it does not claim to have seen it, and nobody waits with the liar. */
static void test_others_do_not_wait(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    struct dot never[] = { world_dot(2, 1000), { .node = 77, .epoch = 1, .seq = 1 } };
    assert_int_equal(take(&w, 1, lie(&w, id, 1, never, 2, 2)), ERR_OK);
    assert_int_equal(set_sex(&w, 1, id, "M"), ERR_OK);
    assert_int_equal(world_set_name(&w, 1, id, "陈小文"), ERR_OK);
    world_carry(&w, 1, 2, 1); /* without the liar's commit */
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 0);
    assert_true(shows_sex(&w, 2, id, "M") && world_shows_name(&w, 2, id, "陈小文"));
    /* Two commits of the liar, one after the other, change nothing for others either. */
    world_carry(&w, 1, 2, 3);
    assert_int_equal(set_sex(&w, 2, id, "U"), ERR_OK);
    world_carry(&w, 2, 1, 2);
    assert_true(shows_sex(&w, 1, id, "U"));
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_GAP), 1);
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* Honest commits of three nodes on one customer, in the worst order: each waits for the one it saw. */
static void test_honest_commits_in_any_order(void **state)
{
    (void)state;
    static const uint32_t orders[][3] = { { 3, 2, 1 }, { 3, 1, 2 }, { 2, 3, 1 }, { 2, 1, 3 }, { 1, 3, 2 },
        { 1, 2, 3 } };
    for (size_t o = 0; o < ARRAY_LEN(orders); o++) {
        struct world w = world_new(4);
        struct record_id id = world_customer(&w);
        assert_int_equal(set_sex(&w, 1, id, "M"), ERR_OK);
        world_carry(&w, 1, 2, 1);
        assert_int_equal(set_sex(&w, 2, id, "U"), ERR_OK);
        world_carry(&w, 1, 3, 1);
        world_carry(&w, 2, 3, 2);
        assert_int_equal(set_sex(&w, 3, id, "F"), ERR_OK);
        for (size_t k = 0; k < 3; k++) {
            world_carry(&w, 3, 4, orders[o][k]);
        }
        assert_int_equal(fleet_quarantined(w.f, 4, ERR_OK), 0);
        assert_int_equal(fleet_conflicts(w.f, 4, false), 0);
        assert_true(shows_sex(&w, 4, id, "F"));
        assert_true(fleet_same_hash(w.f, 3, 4));
        fleet_free(w.f);
    }
}

/* A later commit of the same origin, or a withheld mark, is as good as the commit itself. */
static void test_withheld_commits_were_made(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    struct dot future[] = { world_dot(2, 5) };
    assert_int_equal(take(&w, 1, lie(&w, id, 1, future, 1, 2)), ERR_OK);
    assert_true(shows_sex(&w, 1, id, ""));
    struct store *s = fleet_store(w.f, 1);
    assert_int_equal(s->ops->begin(s), ERR_OK);
    assert_int_equal(core_settle_withheld(fleet_core(w.f, 1), 2, 1, 4), ERR_OK);
    assert_true(shows_sex(&w, 1, id, ""));
    assert_int_equal(core_settle_withheld(fleet_core(w.f, 1), 2, 1, 5), ERR_OK);
    assert_int_equal(s->ops->commit(s, true), ERR_OK);
    assert_true(shows_sex(&w, 1, id, "F"));
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_OK), 0);
    fleet_free(w.f);
}

/* What a revoked node wrote beyond its cut never comes, so nobody waits for it. */
static void test_nobody_waits_for_the_revoked(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    struct dot beyond[] = { world_dot(2, 9) };
    assert_int_equal(take(&w, 1, lie(&w, id, 1, beyond, 1, 2)), ERR_OK);
    assert_true(shows_sex(&w, 1, id, ""));
    fleet_revoke(w.f, 2, 0);
    assert_true(shows_sex(&w, 1, id, "F"));
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_OK), 0);
    fleet_free(w.f);
}

/* The first part of a dossier cannot have seen any write of it. */
static void test_maker_has_seen_nothing(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct dot future[] = { world_dot(2, 1) };
    const uint8_t secret[SECRET_BYTES] = { 9 };
    const struct part_cell kind = { .number = 1, .value = value_text(BYTES_LIT("王大明")) };
    struct forged_part part = { .class_ = CLASS_CONTACT,
        .head = { .context = { .at = future, .count = 1, .capacity = 1 }, .author = w.seller, .standing = 2 },
        .records = &main_customer,
        .record_count = 1,
        .cells = &kind };
    const struct forged_group g = {
        .is_new = true, .kind = DOSSIER_CUSTOMER, .station = 1, .secret = secret, .parts = &part, .part_count = 1
    };
    const struct forged_commit c = { .node = 3, .dot = world_dot(3, 1), .groups = &g, .group_count = 1 };
    assert_int_equal(fleet_ingest(w.f, 1, forge_commit(w.f, &c), BYTES_OF(secret)), ERR_OK);
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_DENIED), 1);
    fleet_free(w.f);
}

/* A consultant of the station says he is its manager; a manager of another station says he is of this one. */
static void test_standing_of_a_manager_is_checked(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    uint32_t seller = w.seller;
    assert_int_equal(take(&w, 1, lie(&w, id, 1, NULL, 0, 1)), ERR_OK); /* the seller manages station 1 */
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_OK), 0);
    const uint32_t liars[] = { fleet_user(w.f, 1, role_bit(ROLE_SC)), w.other };
    world_teach_all(&w);
    uint8_t prev[COMMIT_HASH_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(liars); i++) {
        world_carry(&w, 1, 3, 3);
        memcpy(prev, core_head(fleet_core(w.f, 1), 3, 1)->hash, sizeof(prev));
        w.seller = liars[i];
        assert_int_equal(take(&w, 1, lie(&w, id, 2 + i, NULL, 0, 1)), ERR_OK);
        assert_int_equal(fleet_quarantined(w.f, 1, ERR_DENIED), i + 1);
        w.seller = seller;
    }
    fleet_free(w.f);
}

/* Thousands of groups that wait, one commit that frees them all. */
static void test_many_wait(void **state)
{
    (void)state;
    enum { COMMITS = 300 };
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    struct dot future[] = { world_dot(2, 1) };
    for (uint64_t seq = 1; seq <= COMMITS; seq++) {
        assert_int_equal(take(&w, 1, lie(&w, id, seq, future, 1, 2)), ERR_OK);
        world_carry(&w, 1, 3, 3);
    }
    assert_int_equal(fleet_core(w.f, 1)->waiting, COMMITS);
    assert_int_equal(world_set_name(&w, 2, id, "陈小文"), ERR_OK);
    world_carry(&w, 2, 1, 2);
    assert_int_equal(fleet_core(w.f, 1)->waiting, 0);
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_OK), 0);
    assert_int_equal(fleet_space_count(w.f, 1, SPACE_WAITING), 0);
    assert_int_equal(fleet_rebuild(w.f, 1), ERR_OK);
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_to_come_are_not_hidden),
        cmocka_unit_test(test_others_do_not_wait),
        cmocka_unit_test(test_honest_commits_in_any_order),
        cmocka_unit_test(test_withheld_commits_were_made),
        cmocka_unit_test(test_nobody_waits_for_the_revoked),
        cmocka_unit_test(test_maker_has_seen_nothing),
        cmocka_unit_test(test_standing_of_a_manager_is_checked),
        cmocka_unit_test(test_many_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
