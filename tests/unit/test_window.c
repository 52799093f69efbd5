/* The send window: bounds, and that it follows the line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/window.h"

static void fill(struct window *w, size_t bytes, uint64_t now_ms)
{
    while (window_has_room(w)) {
        window_sent(w, bytes, now_ms);
    }
}

static void test_room_for_one(void **state)
{
    (void)state;
    struct window w;
    window_init(&w);
    window_sent(&w, WINDOW_BYTES_MAX * 2, 0);
    assert_false(window_has_room(&w));
    assert_true(window_acked(&w, 1, 0));
    assert_true(window_has_room(&w));
    assert_int_equal(w.bytes, 0);
}

static void test_messages_are_bounded(void **state)
{
    (void)state;
    struct window w;
    window_init(&w);
    fill(&w, 1, 0);
    assert_int_equal(w.count, WINDOW_MESSAGES);
    assert_false(window_acked(&w, WINDOW_MESSAGES + 1, 0));
    assert_int_equal(w.count, WINDOW_MESSAGES);
    assert_true(window_acked(&w, WINDOW_MESSAGES, 0));
    assert_int_equal(w.bytes, 0);
}

static void test_follows_the_line(void **state)
{
    (void)state;
    struct window w;
    uint64_t now = 1000;
    window_init(&w);
    for (size_t i = 0; i < 20; i++) {
        fill(&w, 65536, now);
        now += WINDOW_QUICK_MS / 2;
        assert_true(window_acked(&w, w.count, now));
    }
    assert_int_equal(w.limit, WINDOW_BYTES_MAX);
    for (size_t i = 0; i < 20; i++) {
        fill(&w, 65536, now);
        now += WINDOW_LATE_MS;
        assert_true(window_acked(&w, w.count, now));
    }
    assert_int_equal(w.limit, WINDOW_BYTES_MIN);
    window_sent(&w, 10, now);
    assert_true(window_acked(&w, 1, now));
    assert_int_equal(w.limit, WINDOW_BYTES_MIN); /* it was not full: nothing learned */
    window_sent(&w, 10, now);
    assert_true(window_acked(&w, 1, now - 500)); /* a clock that went back is not a late line */
    assert_int_equal(w.limit, WINDOW_BYTES_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_room_for_one),
        cmocka_unit_test(test_messages_are_bounded), cmocka_unit_test(test_follows_the_line) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
