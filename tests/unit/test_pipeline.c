/* Two stages on two threads: order, bound, and what happens when either fails. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/pipeline.h"

enum { ITEMS = 1000 };

struct work {
    size_t slots[PIPELINE_SLOTS];
    size_t made;
    size_t taken;
    size_t make_fails_at; /* item; ITEMS: never */
    size_t take_fails_at;
    pthread_t maker;
};

static enum err make(void *ctx, size_t slot)
{
    struct work *w = ctx;
    if (w->made == ITEMS || w->made == w->make_fails_at) {
        return w->made == ITEMS ? ERR_NOT_FOUND : ERR_LIMIT;
    }
    w->maker = pthread_self();
    w->slots[slot] = w->made++;
    return ERR_OK;
}

static enum err take(void *ctx, size_t slot)
{
    struct work *w = ctx;
    assert_int_equal(w->slots[slot], w->taken);
    if (w->taken == w->take_fails_at) {
        return ERR_IO;
    }
    w->taken++;
    return ERR_OK;
}

static struct work run(bool is_threaded, size_t make_fails_at, size_t take_fails_at, enum err expected)
{
    struct work w = { .make_fails_at = make_fails_at, .take_fails_at = take_fails_at };
    const struct pipeline p = { .make = make, .take = take, .ctx = &w };
    assert_int_equal(pipeline_run(&p, is_threaded), expected);
    return w;
}

static void all_is_taken_in_order(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        struct work w = run(threaded != 0, ITEMS, ITEMS, ERR_OK);
        assert_int_equal(w.taken, ITEMS);
        assert_int_equal(pthread_equal(w.maker, pthread_self()) != 0, threaded == 0);
    }
}

static void what_was_made_before_an_error_is_taken(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        struct work w = run(threaded != 0, 500, ITEMS, ERR_LIMIT);
        assert_int_equal(w.taken, 500);
    }
    assert_int_equal(run(true, 0, ITEMS, ERR_LIMIT).taken, 0);
}

static void making_stops_when_taking_fails(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        struct work w = run(threaded != 0, ITEMS, 7, ERR_IO);
        assert_int_equal(w.taken, 7);
        assert_true(w.made <= 7 + 1 + PIPELINE_SLOTS);
    }
}

static void the_first_error_in_the_order_of_the_work_counts(void **state)
{
    (void)state;
    assert_int_equal(run(true, 9, 7, ERR_IO).taken, 7);
    assert_int_equal(run(true, 7, 9, ERR_LIMIT).taken, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_taken_in_order),
        cmocka_unit_test(what_was_made_before_an_error_is_taken),
        cmocka_unit_test(making_stops_when_taking_fails),
        cmocka_unit_test(the_first_error_in_the_order_of_the_work_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
