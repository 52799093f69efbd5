/*
 * Owns: running one list of tests on every implementation of the store.
 */
#include "tests/lib/store_suite.h"

#include "schema/base/check.h"

enum { SUITE_TESTS_MAX = 64 };

static int set_up(void **state)
{
    const enum subject_kind *kind = *state;
    *state = subject_new(*kind);
    return 0;
}

static int tear_down(void **state)
{
    subject_free(*state);
    return 0;
}

int suite_run(const struct suite_test *tests, size_t count)
{
    static enum subject_kind kinds[SUBJECT_KIND_COUNT];
    int failed = 0;
    check(count <= SUITE_TESTS_MAX);
    for (size_t k = 0; k < SUBJECT_KIND_COUNT; k++) {
        struct CMUnitTest all[SUITE_TESTS_MAX] = { 0 };
        kinds[k] = (enum subject_kind)k;
        for (size_t i = 0; i < count; i++) {
            all[i] = (struct CMUnitTest){ .name = tests[i].name,
                .test_func = tests[i].run,
                .setup_func = set_up,
                .teardown_func = tear_down,
                .initial_state = &kinds[k] };
        }
        failed += _cmocka_run_group_tests(subject_name(kinds[k]), all, count, NULL, NULL);
    }
    return failed == 0 ? 0 : 1;
}
