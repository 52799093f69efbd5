/* How often an address may knock and how long a member that breaks the rules is left outside. Time is made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/net/gate.h"
#include "node/net/peer_guard.h"

#include <string.h>

enum { T0 = 1000000, HOUR = 3600 * 1000 };

static const uint8_t alice[TRANSPORT_KEY_BYTES] = { 1 };
static const uint8_t bob[TRANSPORT_KEY_BYTES] = { 2 };

static void test_a_budget_then_pauses_that_double(void **state)
{
    struct peer_guard g = { 0 };
    uint64_t now = T0;
    (void)state;
    for (size_t i = 1; i < GUARD_BUDGET; i++) {
        peer_guard_fault(&g, alice, ERR_SIGNATURE, now);
        assert_true(peer_guard_admits(&g, alice, now));
    }
    uint64_t pause = GUARD_PAUSE_FIRST_MS;
    for (size_t i = 0; i < 12; i++) {
        peer_guard_fault(&g, alice, ERR_FORMAT, now);
        assert_false(peer_guard_admits(&g, alice, now));
        assert_false(peer_guard_admits(&g, alice, now + pause - 1));
        assert_true(peer_guard_admits(&g, alice, now + pause));
        now += pause;
        pause = pause * 2 < GUARD_PAUSE_MAX_MS ? pause * 2 : GUARD_PAUSE_MAX_MS;
        if (pause == GUARD_PAUSE_MAX_MS) {
            break;
        }
    }
    assert_int_equal(pause, GUARD_PAUSE_MAX_MS);
    assert_int_equal(peer_guard_find(&g, alice)->last, ERR_FORMAT);
    assert_true(peer_guard_admits(&g, bob, now));
    assert_null(peer_guard_find(&g, bob));
}

static void test_quiet_time_forgives(void **state)
{
    struct peer_guard g = { 0 };
    (void)state;
    /* One fault every two minutes, for a day: an honest peer with a bad day is never paused. */
    for (uint64_t now = T0; now < T0 + 24 * (uint64_t)HOUR; now += 2 * (uint64_t)GUARD_REFILL_MS) {
        peer_guard_fault(&g, alice, ERR_GAP, now);
        assert_true(peer_guard_admits(&g, alice, now));
    }
    for (size_t i = 0; i < 20; i++) {
        peer_guard_fault(&g, bob, ERR_GAP, T0 + i);
    }
    assert_true(peer_guard_find(&g, bob)->pauses > 5);
    uint64_t later = T0 + 48 * (uint64_t)HOUR;
    for (size_t i = 1; i < GUARD_BUDGET; i++) {
        peer_guard_fault(&g, bob, ERR_GAP, later);
        assert_true(peer_guard_admits(&g, bob, later));
    }
    peer_guard_fault(&g, bob, ERR_GAP, later);
    assert_true(peer_guard_admits(&g, bob, later + GUARD_PAUSE_FIRST_MS));
}

/* Many liars cannot make the guard forget one that is paused. */
static void test_the_paused_are_not_forgotten(void **state)
{
    struct peer_guard g = { 0 };
    (void)state;
    for (size_t i = 0; i < GUARD_BUDGET + 3; i++) {
        peer_guard_fault(&g, alice, ERR_FORMAT, T0);
    }
    for (uint32_t i = 0; i < 4 * GUARD_PEERS_MAX; i++) {
        uint8_t key[TRANSPORT_KEY_BYTES] = { 9, (uint8_t)i, (uint8_t)(i >> 8) };
        for (size_t k = 0; k <= GUARD_BUDGET; k++) {
            peer_guard_fault(&g, key, ERR_FORMAT, T0 + 1);
        }
    }
    assert_false(peer_guard_admits(&g, alice, T0 + 2));
    size_t paused = 0;
    for (size_t i = 0; i < GUARD_PEERS_MAX; i++) {
        paused += g.at[i].until_ms > T0 ? 1 : 0;
    }
    assert_int_equal(paused, GUARD_PEERS_MAX);
    peer_guard_fault(&g, bob, ERR_FORMAT, T0 + 3); /* no room: not noted, nothing broken */
    assert_null(peer_guard_find(&g, bob));
}

static void test_knocks_of_an_address(void **state)
{
    static struct gate g;
    const uint8_t here[GATE_ADDRESS_BYTES] = { 1 };
    const uint8_t there[GATE_ADDRESS_BYTES] = { 2 };
    size_t admitted = 0;
    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        admitted += gate_knock(&g, here, T0) ? 1 : 0;
    }
    assert_int_equal(admitted, GATE_BURST);
    assert_true(gate_knock(&g, there, T0));
    for (uint64_t ms = 1; ms <= 10000; ms++) {
        admitted += gate_knock(&g, here, T0 + ms) ? 1 : 0;
    }
    assert_int_equal(admitted, GATE_BURST + 10 * GATE_PER_SECOND);
    /* A night later it is as it was; more than a full bucket there never is. */
    admitted = 0;
    for (size_t i = 0; i < 1000; i++) {
        admitted += gate_knock(&g, here, T0 + 12 * (uint64_t)HOUR) ? 1 : 0;
    }
    assert_int_equal(admitted, GATE_BURST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_budget_then_pauses_that_double),
        cmocka_unit_test(test_quiet_time_forgives),
        cmocka_unit_test(test_the_paused_are_not_forgotten),
        cmocka_unit_test(test_knocks_of_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
