/* Three stages on two threads: order, bound, and what happens when one fails. */
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
    size_t found;
    size_t made;
    size_t taken;
    size_t find_fails_at; /* item; ITEMS: never */
    size_t make_fails_at;
    size_t take_fails_at;
    enum err make_error;
    pthread_t caller;
    pthread_t maker;
};

static enum err find(void *ctx, size_t slot)
{
    struct work *w = ctx;
    assert_true(pthread_equal(w->caller, pthread_self()));
    assert_true(w->found < w->taken + PIPELINE_SLOTS);
    if (w->found == ITEMS || w->found == w->find_fails_at) {
        return w->found == ITEMS ? ERR_NOT_FOUND : ERR_NO_KEY;
    }
    w->slots[slot] = w->found++;
    return ERR_OK;
}

static enum err make(void *ctx, size_t slot)
{
    struct work *w = ctx;
    w->maker = pthread_self();
    if (w->made == w->make_fails_at) {
        return w->make_error;
    }
    w->slots[slot] = ITEMS + (w->slots[slot] == w->made ? w->made : 0);
    w->made++;
    return ERR_OK;
}

static enum err take(void *ctx, size_t slot)
{
    struct work *w = ctx;
    assert_true(pthread_equal(w->caller, pthread_self()));
    assert_int_equal(w->slots[slot], ITEMS + w->taken);
    if (w->taken == w->take_fails_at) {
        return ERR_IO;
    }
    w->taken++;
    return ERR_OK;
}

struct failures {
    size_t find;
    size_t make;
    size_t take;
    enum err make_error;
};

static struct work run(bool is_threaded, struct failures at, enum err expected)
{
    struct work w = { .find_fails_at = at.find,
        .make_fails_at = at.make,
        .take_fails_at = at.take,
        .make_error = at.make_error == ERR_OK ? ERR_LIMIT : at.make_error,
        .caller = pthread_self() };
    const struct pipeline p = { .find = find, .make = make, .take = take, .ctx = &w };
    assert_int_equal(pipeline_run(&p, is_threaded), expected);
    return w;
}

static void all_is_taken_in_order(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        struct work w = run(threaded != 0, (struct failures){ ITEMS, ITEMS, ITEMS, ERR_OK }, ERR_OK);
        assert_int_equal(w.taken, ITEMS);
        assert_int_equal(pthread_equal(w.maker, pthread_self()) != 0, threaded == 0);
    }
}

static void what_came_before_an_error_is_taken(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        assert_int_equal(run(threaded != 0, (struct failures){ ITEMS, 500, ITEMS, ERR_OK }, ERR_LIMIT).taken, 500);
        assert_int_equal(run(threaded != 0, (struct failures){ 500, ITEMS, ITEMS, ERR_OK }, ERR_NO_KEY).taken, 500);
        assert_int_equal(run(threaded != 0, (struct failures){ ITEMS, 0, ITEMS, ERR_OK }, ERR_LIMIT).taken, 0);
        assert_int_equal(run(threaded != 0, (struct failures){ 0, ITEMS, ITEMS, ERR_OK }, ERR_NO_KEY).taken, 0);
    }
}

static void the_work_stops_when_taking_fails(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        struct work w = run(threaded != 0, (struct failures){ ITEMS, ITEMS, 7, ERR_OK }, ERR_IO);
        assert_int_equal(w.taken, 7);
        assert_true(w.found <= 7 + PIPELINE_SLOTS);
    }
}

static void the_first_error_in_the_order_of_the_work_counts(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        assert_int_equal(run(threaded != 0, (struct failures){ 9, 8, 7, ERR_OK }, ERR_IO).taken, 7);
        assert_int_equal(run(threaded != 0, (struct failures){ 9, 7, 8, ERR_OK }, ERR_LIMIT).taken, 7);
        assert_int_equal(run(threaded != 0, (struct failures){ 7, 8, 9, ERR_OK }, ERR_NO_KEY).taken, 7);
    }
}

/* Only finding may say that nothing is left: elsewhere it would be a half-done import that looks whole. */
static void not_found_while_making_is_no_end(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        (void)run(threaded != 0, (struct failures){ ITEMS, 5, ITEMS, ERR_NOT_FOUND }, ERR_NOT_FOUND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_taken_in_order),
        cmocka_unit_test(what_came_before_an_error_is_taken),
        cmocka_unit_test(the_work_stops_when_taking_fails),
        cmocka_unit_test(the_first_error_in_the_order_of_the_work_counts),
        cmocka_unit_test(not_found_while_making_is_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
