/* What one node wrote and nobody here can read takes so much of the disk and no more; what can be read is not held up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

enum { EDITS = 40, UNREAD_MAX = 2000, COMMIT_MAX = 1000 };

/* Station 1 has edited a customer of station 2; station 3 knows neither. */
static struct record_id edited(const struct world *w)
{
    struct record_id id = fleet_customer(w->f, 2, w->seller, "陈大文");
    world_carry(w, 2, 1, 2);
    for (unsigned i = 0; i < EDITS; i++) {
        assert_int_equal(fleet_set(w->f, 1, w->seller, ENTITY_CUSTOMER, id, "sex", i % 2 == 0 ? "F" : "M"), ERR_OK);
    }
    world_carry(w, 1, 2, 1);
    return id;
}

static uint64_t unread(const struct world *w, uint32_t at, uint32_t of)
{
    const struct core *c = fleet_core(w->f, at);
    for (size_t i = 0; i < c->unread.count; i++) {
        if (c->unread.at[i].node == of) {
            return c->unread.at[i].bytes;
        }
    }
    return 0;
}

static void test_one_origin_is_bounded(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = edited(&w);
    uint64_t seq = world_upto(&w, 3, 1, 1);
    enum err e = ERR_OK;
    fleet_core(w.f, 3)->unread.max = UNREAD_MAX;
    while (e == ERR_OK && seq < world_upto(&w, 1, 1, 1)) {
        e = fleet_carry(w.f, 1, 3, world_dot(1, ++seq));
    }
    assert_int_equal(e, ERR_LIMIT);
    uint64_t bytes = unread(&w, 3, 1);
    assert_in_range(bytes, UNREAD_MAX, UNREAD_MAX + COMMIT_MAX);
    assert_int_equal(fleet_carry(w.f, 1, 3, world_dot(1, seq)), ERR_LIMIT);
    fleet_restart(w.f, 3);
    assert_int_equal(unread(&w, 3, 1), bytes);
    fleet_core(w.f, 3)->unread.max = UNREAD_MAX;
    world_carry(&w, 2, 3, 2); /* others go on, and what they bring is what had been missing */
    assert_int_equal(unread(&w, 3, 1), 0);
    world_carry(&w, 1, 3, 1);
    assert_int_equal(fleet_quarantined(w.f, 3, ERR_OK), 0);
    assert_true(fleet_same_hash(w.f, 2, 3));
    assert_int_equal(fleet_rebuild(w.f, 3), ERR_OK);
    assert_int_equal(unread(&w, 3, 1), 0);
    assert_true(world_has(&w, 3, id));
    fleet_free(w.f);
}

/* A session that had to leave something out ends as soon as there is room, and the next one brings it. */
static void test_a_session_leaves_out_and_comes_back(void **state)
{
    (void)state;
    struct world w = world_new(3);
    (void)edited(&w);
    fleet_core(w.f, 3)->unread.max = UNREAD_MAX;
    fleet_connect(w.f, 2, 3);
    fleet_run(w.f);
    assert_int_equal(fleet_failure(w.f, 3), ERR_OK);
    assert_int_equal(unread(&w, 3, 1), 0);
    assert_false(fleet_same_hash(w.f, 2, 3));
    fleet_cut_all(w.f);
    fleet_connect(w.f, 2, 3);
    fleet_run(w.f);
    assert_true(fleet_same_hash(w.f, 2, 3));
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_origin_is_bounded),
        cmocka_unit_test(test_a_session_leaves_out_and_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
