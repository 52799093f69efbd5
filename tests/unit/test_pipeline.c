/* Four stages on two threads: order, bound, and what happens when one fails. */
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
    size_t done[PIPELINE_STAGES];
    size_t fails_at[PIPELINE_STAGES]; /* item; ITEMS: never */
    enum err make_error;
    pthread_t caller;
    pthread_t maker;
};

/* What a slot holds: whose item it is, and the stage it has gone through. */
static size_t mark_of(size_t item, enum pipeline_stage stage)
{
    return item * PIPELINE_STAGES + (size_t)stage;
}

/* One stage: in order, behind the one before it. */
static enum err pass(struct work *w, size_t slot, enum pipeline_stage stage, enum err failure)
{
    size_t item = w->done[stage];
    if (stage != PIPELINE_READ) {
        assert_int_equal(w->slots[slot], mark_of(item, stage - 1));
    }
    if (item == w->fails_at[stage]) {
        return failure;
    }
    w->slots[slot] = mark_of(item, stage);
    w->done[stage]++;
    return ERR_OK;
}

static enum err read_item(void *ctx, size_t slot)
{
    struct work *w = ctx;
    return w->done[PIPELINE_READ] == ITEMS ? ERR_NOT_FOUND : pass(w, slot, PIPELINE_READ, ERR_FORMAT);
}

static enum err find(void *ctx, size_t slot)
{
    struct work *w = ctx;
    assert_true(pthread_equal(w->caller, pthread_self()));
    assert_true(w->done[PIPELINE_FIND] < w->done[PIPELINE_TAKE] + PIPELINE_SLOTS);
    return pass(w, slot, PIPELINE_FIND, ERR_NO_KEY);
}

static enum err make(void *ctx, size_t slot)
{
    struct work *w = ctx;
    w->maker = pthread_self();
    return pass(w, slot, PIPELINE_MAKE, w->make_error);
}

static enum err take(void *ctx, size_t slot)
{
    struct work *w = ctx;
    assert_true(pthread_equal(w->caller, pthread_self()));
    return pass(w, slot, PIPELINE_TAKE, ERR_IO);
}

struct failures {
    size_t read;
    size_t find;
    size_t make;
    size_t take;
    enum err make_error;
};

static struct work run(bool is_threaded, struct failures at, enum err expected)
{
    struct work w = { .fails_at = { at.read, at.find, at.make, at.take },
        .make_error = at.make_error == ERR_OK ? ERR_LIMIT : at.make_error,
        .caller = pthread_self() };
    const struct pipeline p = { .stage = { read_item, find, make, take }, .ctx = &w };
    assert_int_equal(pipeline_run(&p, is_threaded), expected);
    return w;
}

static void all_is_taken_in_order(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        struct work w = run(threaded != 0, (struct failures){ ITEMS, ITEMS, ITEMS, ITEMS, ERR_OK }, ERR_OK);
        assert_int_equal(w.done[PIPELINE_TAKE], ITEMS);
        assert_int_equal(pthread_equal(w.maker, pthread_self()) != 0, threaded == 0);
    }
}

static void what_came_before_an_error_is_taken(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        assert_int_equal(
            run(threaded != 0, (struct failures){ ITEMS, ITEMS, 500, ITEMS, ERR_OK }, ERR_LIMIT).done[PIPELINE_TAKE],
            500);
        assert_int_equal(
            run(threaded != 0, (struct failures){ ITEMS, 500, ITEMS, ITEMS, ERR_OK }, ERR_NO_KEY).done[PIPELINE_TAKE],
            500);
        assert_int_equal(
            run(threaded != 0, (struct failures){ ITEMS, ITEMS, 0, ITEMS, ERR_OK }, ERR_LIMIT).done[PIPELINE_TAKE], 0);
        assert_int_equal(
            run(threaded != 0, (struct failures){ 0, ITEMS, ITEMS, ITEMS, ERR_OK }, ERR_FORMAT).done[PIPELINE_TAKE], 0);
    }
}

static void the_work_stops_when_taking_fails(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        struct work w = run(threaded != 0, (struct failures){ ITEMS, ITEMS, ITEMS, 7, ERR_OK }, ERR_IO);
        assert_int_equal(w.done[PIPELINE_TAKE], 7);
        assert_true(w.done[PIPELINE_READ] <= 7 + PIPELINE_SLOTS);
    }
}

static void the_first_error_in_the_order_of_the_work_counts(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        assert_int_equal(run(threaded != 0, (struct failures){ 10, 9, 8, 7, ERR_OK }, ERR_IO).done[PIPELINE_TAKE], 7);
        assert_int_equal(
            run(threaded != 0, (struct failures){ 10, 9, 7, 8, ERR_OK }, ERR_LIMIT).done[PIPELINE_TAKE], 7);
        assert_int_equal(
            run(threaded != 0, (struct failures){ 10, 7, 8, 9, ERR_OK }, ERR_NO_KEY).done[PIPELINE_TAKE], 7);
        assert_int_equal(
            run(threaded != 0, (struct failures){ 7, 8, 9, 10, ERR_OK }, ERR_FORMAT).done[PIPELINE_TAKE], 7);
    }
}

/* Only reading may say that nothing is left: elsewhere it would be a half-done import that looks whole. */
static void not_found_while_making_is_no_end(void **state)
{
    (void)state;
    for (int threaded = 0; threaded <= 1; threaded++) {
        (void)run(threaded != 0, (struct failures){ ITEMS, ITEMS, 5, ITEMS, ERR_NOT_FOUND }, ERR_NOT_FOUND);
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
