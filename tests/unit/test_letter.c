/* What a laptop wrote and has forgotten still reaches the group when the station that took it over is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

#include "sync/letter.h"

static void quiet(const struct world *w)
{
    fleet_run(w->f);
    for (uint32_t n = 1; n <= fleet_count(w->f); n++) {
        assert_int_equal(fleet_failure(w->f, n), ERR_OK);
    }
}

/* Two customers in one commit, of which one is given away, and a third that is. */
struct made {
    struct record_id stays, goes, other;
};

static struct made write_and_give_away(const struct world *w, uint32_t laptop)
{
    static const struct fleet_field first[] = { { "full_name", "陈一" }, { "kind", "个人" }, { NULL, NULL } };
    static const struct fleet_field second[] = { { "full_name", "陈二" }, { "kind", "个人" }, { NULL, NULL } };
    struct fleet_write both[2] = {
        { .node = laptop, .user = w->seller, .entity = ENTITY_CUSTOMER, .is_new = true, .fields = first },
        { .node = laptop, .user = w->seller, .entity = ENTITY_CUSTOMER, .is_new = true, .fields = second },
    };
    struct dot dot = { 0 };
    struct made m;
    assert_int_equal(fleet_write_many(w->f, both, 2, &dot), ERR_OK);
    m.stays = both[0].id;
    m.goes = both[1].id;
    m.other = fleet_customer(w->f, laptop, w->seller, "陈三");
    assert_int_equal(fleet_set(w->f, laptop, w->seller, ENTITY_CUSTOMER, m.goes, "sex", "F"), ERR_OK);
    (void)fleet_assign(w->f, laptop, w->seller, m.goes, "u3", "2026-01-01T00:00:00Z");
    (void)fleet_assign(w->f, laptop, w->seller, m.other, "u3", "2026-01-01T00:00:00Z");
    return m;
}

/* Laptop and station 2 meet; nobody else hears of it. */
static struct made give_to_the_station(const struct world *w, uint32_t laptop)
{
    struct made m = write_and_give_away(w, laptop);
    fleet_connect(w->f, laptop, 2);
    quiet(w);
    fleet_cut_all(w->f);
    assert_true(world_has(w, 2, m.goes) && world_has(w, 2, m.other));
    assert_true(world_has(w, laptop, m.stays));
    assert_false(world_has(w, laptop, m.goes) || world_has(w, laptop, m.other));
    assert_int_equal(fleet_space_count(w->f, laptop, SPACE_LETTER), 5);
    return m;
}

static void check_all_there(const struct world *w, uint32_t node, const struct made *m)
{
    assert_string_equal(fleet_get(w->f, node, ENTITY_CUSTOMER, m->goes, "sex"), "F");
    assert_true(world_shows_name(w, node, m->goes, "陈二") && world_shows_name(w, node, m->other, "陈三"));
    assert_true(world_shows_name(w, node, m->stays, "陈一"));
    assert_int_equal(fleet_quarantined(w->f, node, ERR_OK), 0);
}

static void test_station_is_struck_off(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    uint32_t new = fleet_laptop(w.f, w.buddy);
    world_teach_all(&w);
    struct made m = give_to_the_station(&w, laptop);
    fleet_revoke(w.f, 2, 0);
    fleet_restart(w.f, laptop);
    assert_int_equal(fleet_set(w.f, laptop, w.seller, ENTITY_CUSTOMER, m.stays, "sex", "M"), ERR_OK);
    fleet_connect(w.f, laptop, 1);
    fleet_connect(w.f, 1, new);
    quiet(&w);
    check_all_there(&w, 1, &m);
    assert_string_equal(fleet_get(w.f, 1, ENTITY_CUSTOMER, m.stays, "sex"), "M");
    assert_true(world_has(&w, new, m.goes) && world_has(&w, new, m.other));
    assert_false(world_has(&w, laptop, m.goes));
    assert_int_equal(fleet_rebuild(w.f, laptop), ERR_OK);
    fleet_cut_all(w.f);
    fleet_connect(w.f, laptop, 1); /* and says that it has it all, but it is the only one left */
    quiet(&w);
    assert_int_equal(fleet_space_count(w.f, laptop, SPACE_LETTER), 5);
    fleet_free(w.f);
}

/* A station that came after the letters were written is given what it may have by another, and goes on from there. */
static void test_later_station_waits_for_another(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    world_teach_all(&w);
    struct made m = give_to_the_station(&w, laptop);
    uint32_t later = fleet_station_node(w.f, 1, true);
    world_teach_all(&w);
    fleet_connect(w.f, laptop, later);
    quiet(&w);
    assert_false(world_has(&w, later, m.goes) || world_has(&w, later, m.stays));
    fleet_connect(w.f, 2, later);
    quiet(&w);
    check_all_there(&w, later, &m);
    assert_true(fleet_same_hash(w.f, 2, later));
    fleet_free(w.f);
}

/* One reader alone may lose it, so the letter stays; when two have it, and nobody is left who lacks it, it goes. A
 * reader that is struck off counts no more. */
static void test_letters_go_when_all_readers_have_it(void **state)
{
    (void)state;
    for (uint32_t stations = 1; stations <= 3; stations++) {
        struct world w = world_new(3);
        uint32_t laptop = fleet_laptop(w.f, w.seller);
        world_teach_all(&w);
        (void)give_to_the_station(&w, laptop);
        for (uint32_t n = 1; n <= stations; n++) {
            fleet_connect(w.f, 2, n == 2 ? 1 : n);
            quiet(&w);
        }
        for (uint32_t round = 0; round < 2; round++) { /* what they have is in the next greeting */
            for (uint32_t n = 1; n <= stations; n++) {
                fleet_cut_all(w.f);
                fleet_connect(w.f, laptop, n);
                quiet(&w);
            }
        }
        assert_int_equal(fleet_space_count(w.f, laptop, SPACE_LETTER), stations == 3 ? 0 : 5);
        fleet_cut_all(w.f);
        fleet_revoke(w.f, 3, 0);
        world_teach_all(&w);
        fleet_connect(w.f, laptop, 1);
        quiet(&w);
        assert_int_equal(fleet_space_count(w.f, laptop, SPACE_LETTER), stations == 1 ? 5 : 0);
        fleet_free(w.f);
    }
}

/* Who wrote a letter cannot read it, nor can who is not among its readers; a changed one does not open. */
static void test_only_readers_open(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    uint32_t relay = fleet_relay(w.f, 1);
    world_teach_all(&w);
    (void)give_to_the_station(&w, laptop);
    struct letter letter = { .groups = 0 };
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    struct arena a;
    arena_init(&a, test_mem(), 16 << 20);
    assert_int_equal(letter_for(fleet_core(w.f, laptop), &a, world_dot(laptop, 1), relay, &letter), ERR_NOT_FOUND);
    assert_int_equal(letter_for(fleet_core(w.f, laptop), &a, world_dot(laptop, 1), laptop, &letter), ERR_NOT_FOUND);
    assert_int_equal(letter_for(fleet_core(w.f, laptop), &a, world_dot(laptop, 9), 1, &letter), ERR_NOT_FOUND);
    assert_int_equal(letter_for(fleet_core(w.f, laptop), &a, world_dot(laptop, 1), 1, &letter), ERR_OK);
    assert_int_equal(letter.groups, 2);
    assert_int_equal(letter_open(fleet_core(w.f, 1), &a, letter.bytes, &commit, &secrets), ERR_OK);
    assert_int_equal(secrets.len, 2 * SECRET_BYTES);
    assert_int_equal(letter_open(fleet_core(w.f, 2), &a, letter.bytes, &commit, &secrets), ERR_SEAL);
    assert_int_equal(letter_open(fleet_core(w.f, laptop), &a, letter.bytes, &commit, &secrets), ERR_SEAL);
    uint8_t *copy = arena_alloc(&a, letter.bytes.len);
    for (size_t i = 0; i < letter.bytes.len; i += 1 + i / 64) {
        memcpy(copy, letter.bytes.ptr, letter.bytes.len);
        copy[i] ^= 1;
        assert_int_not_equal(
            letter_open(fleet_core(w.f, 1), &a, bytes_of(copy, letter.bytes.len), &commit, &secrets), ERR_OK);
        assert_int_not_equal(letter_open(fleet_core(w.f, 1), &a, bytes_of(copy, i), &commit, &secrets), ERR_OK);
    }
    arena_release(&a);
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_station_is_struck_off),
        cmocka_unit_test(test_later_station_waits_for_another),
        cmocka_unit_test(test_letters_go_when_all_readers_have_it),
        cmocka_unit_test(test_only_readers_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
