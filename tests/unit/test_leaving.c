/* A laptop lets go of a customer that was handed over only when a station has all that it wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"

static void meet(const struct world *w, uint32_t a, uint32_t b)
{
    fleet_connect(w->f, a, b);
    fleet_run(w->f);
    fleet_cut(w->f, a, b);
}

/* What the laptop wrote first it has forgotten, and the letter it left (sync/letter.h) is not for a station that came
 * later: it cannot give it that, nor what came after. That nothing is left to send does not mean that the other has it.
 */
static void test_nothing_left_to_send_is_not_enough(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    world_teach_all(&w);
    struct record_id first = fleet_customer(w.f, 1, w.seller, "甲");
    struct record_id second = fleet_customer(w.f, 1, w.seller, "乙");
    meet(&w, laptop, 1);
    meet(&w, 1, 2);
    assert_true(world_has(&w, laptop, first) && world_has(&w, laptop, second));
    assert_int_equal(world_set_name(&w, laptop, first, "甲路上"), ERR_OK);
    meet(&w, laptop, 1);
    (void)fleet_assign(w.f, 1, w.seller, first, "u3", "2026-01-01T00:00:00Z");
    meet(&w, laptop, 1);
    assert_false(world_has(&w, laptop, first));
    uint32_t later = fleet_station_node(w.f, 1, true);
    world_teach_all(&w);
    meet(&w, later, 2); /* which has never seen what the laptop wrote */
    assert_int_equal(world_set_name(&w, laptop, second, "乙路上"), ERR_OK);
    (void)fleet_assign(w.f, later, w.seller, second, "u3", "2026-01-01T00:00:00Z");
    for (size_t i = 0; i < 3; i++) {
        meet(&w, laptop, later);
        assert_true(world_shows_name(&w, laptop, second, "乙路上"));
    }
    meet(&w, laptop, 1);
    assert_true(world_shows_name(&w, 1, second, "乙路上"));
    meet(&w, later, 1);
    meet(&w, laptop, 1);
    assert_false(world_has(&w, laptop, second));
    assert_true(world_shows_name(&w, later, second, "乙路上"));
    assert_true(fleet_same_hash(w.f, 1, later));
    fleet_free(w.f);
}

/* A laptop that has let go of a customer, or never held it, is given a change of it by somebody who believes otherwise:
 * sealed and without its secret, but it stays only until a station has sent what is for the laptop. */
static void test_what_others_give_is_purged(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "甲");
    meet(&w, laptop, 1);
    (void)fleet_assign(w.f, 1, w.seller, id, "u3", "2026-01-01T00:00:00Z");
    meet(&w, laptop, 1);
    assert_false(world_has(&w, laptop, id));
    size_t log = fleet_space_count(w.f, laptop, SPACE_LOG);
    assert_int_equal(fleet_set(w.f, 1, w.seller, ENTITY_CUSTOMER, id, "sex", "F"), ERR_OK);
    world_carry(&w, 1, laptop, 1);
    assert_int_equal(fleet_quarantined(w.f, laptop, ERR_OK), 1);
    assert_int_equal(fleet_space_count(w.f, laptop, SPACE_LOG), log + 1);
    meet(&w, laptop, 1);
    assert_int_equal(fleet_quarantined(w.f, laptop, ERR_OK), 0);
    assert_int_equal(fleet_space_count(w.f, laptop, SPACE_LOG), log);
    (void)fleet_assign(w.f, 1, w.seller, id, "u2", "2026-02-01T00:00:00Z"); /* and when it comes, all of it comes */
    meet(&w, laptop, 1);
    assert_string_equal(fleet_get(w.f, laptop, ENTITY_CUSTOMER, id, "sex"), "F");
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_left_to_send_is_not_enough),
        cmocka_unit_test(test_what_others_give_is_purged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
