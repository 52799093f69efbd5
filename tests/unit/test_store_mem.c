/*
 * What only the store in memory promises: faults on request and power cuts.
 */
#include "tests/lib/store_mem.h"
#include "tests/lib/store_suite.h"

static int set_up(void **state)
{
    *state = subject_new(SUBJECT_MEM);
    return 0;
}

static int tear_down(void **state)
{
    subject_free(*state);
    return 0;
}

static enum err write_two(struct store *s)
{
    enum err e = s->ops->begin(s);
    if (e == ERR_OK && (e = s->ops->put(s, SPACE_META, bytes_str("a"), bytes_str("1"))) == ERR_OK &&
        (e = s->ops->put(s, SPACE_META, bytes_str("b"), bytes_str("2"))) == ERR_OK) {
        return s->ops->commit(s, true);
    }
    s->ops->rollback(s);
    return e;
}

static void every_single_failure_leaves_all_or_nothing(void **state)
{
    struct subject *t = subject_of(state);
    uint64_t fired = 0;
    for (uint64_t k = 1;; k++) {
        struct fault fault = { .countdown = k, .err = ERR_FULL };
        store_mem_set_fault(t->s, &fault);
        enum err e = write_two(t->s);
        store_mem_set_fault(t->s, NULL);
        if (!fault.fired) {
            ok(e);
            break;
        }
        fired++;
        is(e, ERR_FULL);
        assert_null(got(t, t->s, SPACE_META, "a"));
        assert_null(got(t, t->s, SPACE_META, "b"));
        store_mem_reopen(t->s);
    }
    assert_int_equal(fired, 4); /* begin, two puts, commit */
    assert_string_equal(got(t, t->s, SPACE_META, "a"), "1");
    assert_string_equal(got(t, t->s, SPACE_META, "b"), "2");
}

static void a_failed_write_dooms_its_transaction(void **state)
{
    struct subject *t = subject_of(state);
    struct fault fault = { .countdown = 2, .err = ERR_NOMEM };
    begin(t);
    store_mem_set_fault(t->s, &fault);
    put(t, SPACE_META, "a", "1");
    is(t->s->ops->put(t->s, SPACE_META, bytes_str("b"), bytes_str("2")), ERR_NOMEM);
    is(t->s->ops->put(t->s, SPACE_META, bytes_str("c"), bytes_str("3")), ERR_NOMEM);
    is(t->s->ops->commit(t->s, true), ERR_NOMEM);
    assert_null(got(t, t->s, SPACE_META, "a"));
    begin(t); /* out of memory is no reason to doubt the disk */
    commit(t);
}

static void reads_fail_on_request_too(void **state)
{
    struct subject *t = subject_of(state);
    struct fault fault = { .countdown = 1 };
    struct bytes out;
    store_mem_set_fault(t->s, &fault);
    is(t->s->ops->get(t->s, SPACE_META, bytes_str("a"), &t->a, &out), ERR_IO);
    assert_true(fault.fired);
    is(t->s->ops->get(t->s, SPACE_META, bytes_str("a"), &t->a, &out), ERR_NOT_FOUND); /* once */
    store_mem_set_fault(t->s, NULL);
}

static void a_power_cut_takes_what_was_not_durable(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    put(t, SPACE_META, "a", "durable");
    commit(t);
    begin(t);
    put(t, SPACE_META, "a", "quick");
    put(t, SPACE_META, "b", "quick");
    ok(t->s->ops->commit(t->s, false));
    begin(t);
    put(t, SPACE_META, "a", "open");
    store_mem_reopen(t->s); /* a killed process loses only the open transaction */
    assert_string_equal(got(t, t->s, SPACE_META, "a"), "quick");
    store_mem_power_cut(t->s);
    assert_string_equal(got(t, t->s, SPACE_META, "a"), "durable");
    assert_null(got(t, t->s, SPACE_META, "b"));
    begin(t);
    put(t, SPACE_META, "b", "quick");
    ok(t->s->ops->commit(t->s, false));
    begin(t);
    put(t, SPACE_META, "c", "durable");
    commit(t); /* carries the one before it */
    store_mem_power_cut(t->s);
    assert_non_null(got(t, t->s, SPACE_META, "b"));
    assert_non_null(got(t, t->s, SPACE_META, "c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_single_failure_leaves_all_or_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_write_dooms_its_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_fail_on_request_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_power_cut_takes_what_was_not_durable, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("store_mem", tests, NULL, NULL);
}
