/* Rows between command and node: what is put is taken, anything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/import_cells.h"
#include "tests/lib/testkit.h"

static void what_is_put_is_taken(void **state)
{
    struct bytes cells[IMPORT_COLUMNS_MAX] = { BYTES_LIT("王小明"), BYTES_LIT(""), BYTES_LIT("1:2;3"),
        BYTES_LIT("a\nb") };
    struct import_cells taken;
    struct buf b;
    (void)state;
    for (size_t count = 0; count <= IMPORT_COLUMNS_MAX; count++) {
        buf_init(&b, test_mem(), 1 << 16);
        import_cells_put(&b, 1234567890123, cells, count);
        assert_int_equal(b.err, ERR_OK);
        assert_int_equal(import_cells_take(buf_view(&b), &taken), ERR_OK);
        assert_int_equal(taken.line, 1234567890123);
        assert_int_equal(taken.count, count);
        for (size_t i = 0; i < count; i++) {
            assert_true(bytes_equal(taken.at[i], cells[i]));
        }
        buf_release(&b);
    }
}

static void anything_else_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum err expected;
    } cases[] = {
        { "2;", ERR_OK },
        { "2;1:a0:", ERR_OK },
        { "", ERR_FORMAT },
        { ";", ERR_FORMAT },
        { "2", ERR_FORMAT },
        { "-2;", ERR_FORMAT },
        { "2:1:a", ERR_FORMAT },
        { "2;:a", ERR_FORMAT },
        { "2;1", ERR_FORMAT },
        { "2;2:a", ERR_FORMAT },
        { "2;1:ab", ERR_FORMAT },
        { "2;999999999999999999:a", ERR_FORMAT },
        { "2;9999999999999999999:a", ERR_FORMAT },
        { "0000000000000000000;", ERR_FORMAT },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct import_cells taken;
        assert_int_equal(import_cells_take(bytes_str(cases[i].text), &taken), cases[i].expected);
    }
}

static void more_cells_than_columns_are_refused(void **state)
{
    struct import_cells taken;
    struct buf b;
    (void)state;
    buf_init(&b, test_mem(), 1 << 16);
    buf_put_str(&b, "2;");
    for (size_t i = 0; i <= IMPORT_COLUMNS_MAX; i++) {
        buf_put_str(&b, "0:");
    }
    assert_int_equal(import_cells_take(buf_view(&b), &taken), ERR_LIMIT);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_taken),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(more_cells_than_columns_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
