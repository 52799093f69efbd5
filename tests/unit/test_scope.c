/* What leaves a node and what comes to it when a customer changes hands or a node's scope changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

static size_t dossiers(const struct world *w, uint32_t node)
{
    struct store *s = fleet_store(w->f, node);
    uint64_t count = 0;
    assert_int_equal(s->ops->row_count(s, ENTITY_CUSTOMER, &count), ERR_OK);
    return (size_t)count;
}

/* The sums that follow every change are those that a scan gives. */
static void check_marks(struct core *c)
{
    struct marks fresh;
    struct marks_total kept;
    struct marks_total scanned;
    marks_init(&fresh, test_mem());
    assert_int_equal(marks_total_of(&c->marks, c->store, NULL, NULL, &kept), ERR_OK);
    assert_int_equal(marks_total_of(&fresh, c->store, NULL, NULL, &scanned), ERR_OK);
    assert_true(marks_equal(&kept, &scanned));
    marks_forget(&fresh);
}

static void quiet(const struct world *w)
{
    fleet_run(w->f);
    for (uint32_t n = 1; n <= fleet_count(w->f); n++) {
        assert_int_equal(fleet_failure(w->f, n), ERR_OK);
        check_marks(fleet_core(w->f, n));
    }
}

/* All live: the customer moves from one laptop to the other within the conversation, with all of its history. */
static void test_hand_over(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t old = fleet_laptop(w.f, w.seller);
    uint32_t new = fleet_laptop(w.f, w.buddy);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id stays = fleet_customer(w.f, 1, w.seller, "李四");
    fleet_connect(w.f, 1, 2);
    fleet_connect(w.f, old, 1);
    fleet_connect(w.f, 1, new);
    quiet(&w);
    assert_int_equal(fleet_set(w.f, old, w.seller, ENTITY_CUSTOMER, id, "sex", "F"), ERR_OK);
    quiet(&w);
    assert_true(world_has(&w, old, id) && !world_has(&w, new, id));
    (void)fleet_assign(w.f, 1, w.seller, id, "u3", "2026-01-01T00:00:00Z");
    quiet(&w);
    assert_false(world_has(&w, old, id));
    assert_true(world_has(&w, old, stays));
    assert_string_equal(fleet_get(w.f, new, ENTITY_CUSTOMER, id, "sex"), "F");
    assert_int_equal(dossiers(&w, new), 1);
    /* Later changes go to the new one, and the old one is not told any more. */
    assert_int_equal(fleet_set(w.f, 1, w.buddy, ENTITY_CUSTOMER, id, "occupation", "医生"), ERR_OK);
    quiet(&w);
    assert_string_equal(fleet_get(w.f, new, ENTITY_CUSTOMER, id, "occupation"), "医生");
    assert_int_equal(fleet_quarantined(w.f, new, ERR_OK), 0);
    assert_int_equal(fleet_quarantined(w.f, old, ERR_OK), 0);
    assert_true(fleet_session(w.f, 1, old).is_caught_up && fleet_session(w.f, 1, new).is_caught_up);
    /* And back again. */
    (void)fleet_assign(w.f, 1, w.seller, id, "u2", "2026-02-01T00:00:00Z");
    quiet(&w);
    assert_false(world_has(&w, new, id));
    assert_string_equal(fleet_get(w.f, old, ENTITY_CUSTOMER, id, "occupation"), "医生");
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* The old owner is on the road while it happens and writes: what was written there reaches everybody before it goes. */
static void test_hand_over_while_away(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t old = fleet_laptop(w.f, w.seller);
    uint32_t new = fleet_laptop(w.f, w.buddy);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_connect(w.f, old, 1);
    quiet(&w);
    fleet_cut_all(w.f);
    assert_int_equal(fleet_set(w.f, old, w.seller, ENTITY_CUSTOMER, id, "sex", "F"), ERR_OK);
    (void)fleet_assign(w.f, 1, w.seller, id, "u3", "2026-01-01T00:00:00Z");
    fleet_connect(w.f, 1, new);
    quiet(&w);
    assert_true(world_has(&w, new, id));
    assert_true(world_has(&w, old, id));
    fleet_restart(w.f, old);
    fleet_connect(w.f, old, 1);
    quiet(&w);
    assert_string_equal(fleet_get(w.f, 1, ENTITY_CUSTOMER, id, "sex"), "F");
    assert_string_equal(fleet_get(w.f, new, ENTITY_CUSTOMER, id, "sex"), "F");
    assert_false(world_has(&w, old, id));
    fleet_free(w.f);
}

/* Node 2 of station 2 holds its own; then station 1 as well; then not any more. What is written in station 1 after that
 * is sealed under keys it does not have. */
static void test_scope_of_a_station(void **state)
{
    (void)state;
    struct world w = world_new(1);
    uint32_t node = fleet_station_node(w.f, 2, false);
    world_teach_all(&w);
    struct record_id ids[200];
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        ids[i] = fleet_customer(w.f, 1, w.seller, "陈大文");
    }
    struct record_id home = fleet_customer(w.f, node, w.other, "李四");
    fleet_connect(w.f, 1, node);
    quiet(&w);
    assert_int_equal(dossiers(&w, node), 1);
    fleet_scope(w.f, node, false, 1, 0);
    fleet_local(w.f, 1);
    quiet(&w);
    assert_int_equal(dossiers(&w, node), ARRAY_LEN(ids) + 1);
    assert_true(fleet_same_hash(w.f, 1, node));
    assert_int_equal(fleet_quarantined(w.f, node, ERR_OK), 0);
    assert_int_equal(fleet_set(w.f, node, w.seller, ENTITY_CUSTOMER, ids[7], "sex", "F"), ERR_OK);
    fleet_scope(w.f, node, false, 0, 0);
    fleet_local(w.f, 1);
    quiet(&w);
    assert_int_equal(dossiers(&w, node), 1);
    assert_true(world_has(&w, node, home));
    assert_string_equal(fleet_get(w.f, 1, ENTITY_CUSTOMER, ids[7], "sex"), "F");
    uint32_t now = members_current_keys(fleet_core(w.f, 1)->members, 1)->epoch;
    assert_null(members_keys(fleet_core(w.f, node)->members, 1, now));
    assert_int_equal(fleet_rebuild(w.f, node), ERR_OK);
    assert_int_equal(dossiers(&w, node), 1);
    struct dot bad = { 0 };
    assert_int_equal(core_verify_log(fleet_core(w.f, node), fleet_arena(w.f, node), &bad), ERR_OK);
    fleet_free(w.f);
}

/* A laptop for another consultant. */
static void test_laptop_changes_hands(void **state)
{
    (void)state;
    struct world w = world_new(1);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    world_teach_all(&w);
    struct record_id first = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id second = fleet_customer(w.f, 1, w.buddy, "李四");
    fleet_connect(w.f, laptop, 1);
    quiet(&w);
    assert_true(world_has(&w, laptop, first) && !world_has(&w, laptop, second));
    fleet_scope(w.f, laptop, false, 0, w.buddy);
    fleet_local(w.f, 1);
    quiet(&w);
    assert_true(!world_has(&w, laptop, first) && world_has(&w, laptop, second));
    assert_int_equal(fleet_set(w.f, laptop, w.buddy, ENTITY_CUSTOMER, second, "sex", "F"), ERR_OK);
    quiet(&w);
    assert_string_equal(fleet_get(w.f, 1, ENTITY_CUSTOMER, second, "sex"), "F");
    fleet_free(w.f);
}

/* The laptop was told that two changes are not for it; then it gets the customer from a station that lacks them, and
 * then, in its turn, a change made after them. Nothing in the vectors shows the two. */
static void test_changes_in_the_middle(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.buddy);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_connect(w.f, 1, 2);
    quiet(&w);
    fleet_cut_all(w.f);
    assert_int_equal(fleet_set(w.f, 1, w.seller, ENTITY_CUSTOMER, id, "sex", "F"), ERR_OK);
    assert_int_equal(fleet_set(w.f, 1, w.seller, ENTITY_CUSTOMER, id, "occupation", "医生"), ERR_OK);
    fleet_connect(w.f, laptop, 1);
    quiet(&w);
    fleet_cut_all(w.f);
    (void)fleet_assign(w.f, 2, w.seller, id, "u3", "2026-01-01T00:00:00Z");
    fleet_connect(w.f, laptop, 2);
    quiet(&w);
    assert_string_equal(fleet_get(w.f, laptop, ENTITY_CUSTOMER, id, "sex"), "");
    fleet_cut_all(w.f);
    fleet_connect(w.f, 1, 2);
    quiet(&w);
    fleet_cut_all(w.f);
    assert_int_equal(fleet_set(w.f, 1, w.buddy, ENTITY_CUSTOMER, id, "remark", "后来"), ERR_OK);
    fleet_connect(w.f, laptop, 1);
    quiet(&w);
    assert_string_equal(fleet_get(w.f, laptop, ENTITY_CUSTOMER, id, "remark"), "后来");
    assert_string_equal(fleet_get(w.f, laptop, ENTITY_CUSTOMER, id, "sex"), "F");
    assert_string_equal(fleet_get(w.f, laptop, ENTITY_CUSTOMER, id, "occupation"), "医生");
    assert_int_equal(fleet_space_count(w.f, laptop, SPACE_GAP), 0);
    assert_int_equal(fleet_rebuild(w.f, laptop), ERR_OK);
    assert_int_equal(fleet_space_count(w.f, laptop, SPACE_GAP), 0);
    assert_true(fleet_session(w.f, 1, laptop).is_caught_up);
    fleet_free(w.f);
}

/* Who writes with such a gap has not seen what lies in it: it is a conflict, and nothing is replaced unread. */
static void test_writing_over_a_gap(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.buddy);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    world_carry(&w, 1, 2, 1);
    assert_int_equal(fleet_set(w.f, 1, w.seller, ENTITY_CUSTOMER, id, "sex", "F"), ERR_OK);
    fleet_connect(w.f, laptop, 1);
    quiet(&w);
    fleet_cut_all(w.f);
    (void)fleet_assign(w.f, 2, w.seller, id, "u3", "2026-01-01T00:00:00Z");
    fleet_connect(w.f, laptop, 2);
    quiet(&w);
    fleet_cut_all(w.f);
    world_carry(&w, 2, 1, 2);
    assert_int_equal(fleet_set(w.f, 1, w.buddy, ENTITY_CUSTOMER, id, "remark", "后来"), ERR_OK);
    assert_int_equal(fleet_carry(w.f, 1, laptop, world_dot(1, 3)), ERR_OK);
    assert_int_equal(fleet_space_count(w.f, laptop, SPACE_GAP), 1);
    assert_int_equal(fleet_set(w.f, laptop, w.buddy, ENTITY_CUSTOMER, id, "sex", "M"), ERR_OK);
    fleet_connect(w.f, laptop, 1);
    quiet(&w);
    assert_int_equal(fleet_space_count(w.f, laptop, SPACE_GAP), 0);
    assert_int_equal(fleet_conflicts(w.f, 1, true), 1);
    assert_int_equal(fleet_conflicts(w.f, laptop, true), 1);
    assert_string_equal(fleet_get(w.f, laptop, ENTITY_CUSTOMER, id, "remark"), "后来");
    fleet_free(w.f);
}

/* A station of part of the group has holes where commits were not for it; they are not for its laptops either, who meet
 * nobody else. */
static void test_laptop_of_a_station_with_holes(void **state)
{
    (void)state;
    struct world w = world_new(1);
    uint32_t station = fleet_station_node(w.f, 2, false);
    uint32_t laptop = fleet_laptop(w.f, w.other);
    world_teach_all(&w);
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id first = fleet_customer(w.f, 1, w.other, "李四");
    (void)fleet_customer(w.f, 1, w.seller, "陈小文");
    fleet_connect(w.f, 1, station);
    fleet_connect(w.f, laptop, station);
    quiet(&w);
    assert_true(world_has(&w, laptop, first));
    struct record_id second = fleet_customer(w.f, 1, w.other, "王五");
    quiet(&w);
    assert_true(world_has(&w, laptop, second));
    assert_int_equal(world_upto(&w, laptop, 1, 1), 4);
    assert_int_equal(dossiers(&w, laptop), 2);
    fleet_free(w.f);
}

/* Two laptops of one consultant. One has let go of a customer, the other has not heard of it: it gives nothing back. */
static void test_what_was_let_go_stays_gone(void **state)
{
    (void)state;
    struct world w = world_new(1);
    uint32_t told = fleet_laptop(w.f, w.seller);
    uint32_t other = fleet_laptop(w.f, w.seller);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_connect(w.f, told, 1);
    fleet_connect(w.f, other, 1);
    quiet(&w);
    fleet_cut_all(w.f);
    (void)fleet_assign(w.f, told, w.seller, id, "u3", "2026-01-01T00:00:00Z");
    fleet_connect(w.f, told, 1);
    quiet(&w);
    fleet_cut_all(w.f);
    assert_false(world_has(&w, told, id));
    assert_true(world_has(&w, other, id));
    fleet_connect(w.f, told, other);
    quiet(&w);
    assert_false(world_has(&w, told, id));
    fleet_connect(w.f, other, 1);
    quiet(&w);
    assert_false(world_has(&w, other, id) || world_has(&w, told, id));
    fleet_free(w.f);
}

/* Two laptops of one consultant. To one of them the hand-over waits for a change it lacks, so it gives the other the
 * customer again and again: that must end. */
static void test_two_laptops_of_one_owner(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t told = fleet_laptop(w.f, w.seller);
    uint32_t waits = fleet_laptop(w.f, w.seller);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    world_carry(&w, 1, 2, 1);
    fleet_connect(w.f, told, 1);
    fleet_connect(w.f, waits, 1);
    quiet(&w);
    fleet_cut_all(w.f);
    assert_int_equal(fleet_set(w.f, 2, w.seller, ENTITY_CUSTOMER, id, "sex", "F"), ERR_OK);
    world_carry(&w, 2, 1, 2);
    (void)fleet_assign(w.f, 1, w.seller, id, "u3", "2026-01-01T00:00:00Z");
    fleet_connect(w.f, told, 1);
    quiet(&w);
    assert_false(world_has(&w, told, id));
    assert_int_equal(fleet_carry(w.f, 1, waits, world_dot(1, 2)), ERR_OK);
    assert_int_equal(fleet_quarantined(w.f, waits, ERR_GAP), 1);
    fleet_connect(w.f, told, waits);
    quiet(&w);
    assert_true(fleet_session(w.f, told, waits).is_caught_up);
    fleet_connect(w.f, waits, 1);
    quiet(&w);
    assert_false(world_has(&w, told, id) || world_has(&w, waits, id));
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_hand_over), cmocka_unit_test(test_hand_over_while_away),
        cmocka_unit_test(test_scope_of_a_station), cmocka_unit_test(test_laptop_changes_hands),
        cmocka_unit_test(test_changes_in_the_middle), cmocka_unit_test(test_writing_over_a_gap),
        cmocka_unit_test(test_laptop_of_a_station_with_holes), cmocka_unit_test(test_what_was_let_go_stays_gone),
        cmocka_unit_test(test_two_laptops_of_one_owner) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
