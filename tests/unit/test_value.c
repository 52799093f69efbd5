/*
 * Field values: order, encoding, sets; what a hostile encoding is answered with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/value.h"
#include "tests/lib/testkit.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, test_mem(), 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static struct value set_of(const char *x, const char *y)
{
    struct value v = VALUE_NONE;
    assert_int_equal(value_set_add(&arena, v, bytes_str(x), &v), ERR_OK);
    if (y != NULL) {
        assert_int_equal(value_set_add(&arena, v, bytes_str(y), &v), ERR_OK);
    }
    return v;
}

static void order_is_total_and_by_type_first(void **state)
{
    (void)state;
    struct record_id id = { { 7 } };
    const struct value sorted[] = { VALUE_NONE, value_int(INT64_MIN), value_int(-1), value_int(0), value_int(INT64_MAX),
        value_text(BYTES_LIT("")), value_text(BYTES_LIT("a")), value_text(BYTES_LIT("ab")), value_text(BYTES_LIT("b")),
        value_id(&id), set_of("a", NULL), set_of("a", "b") };
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
        for (size_t j = 0; j < ARRAY_LEN(sorted); j++) {
            int c = value_compare(sorted[i], sorted[j]);
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
            assert_int_equal(value_equal(sorted[i], sorted[j]), i == j);
        }
    }
}

static void encoding_round_trips(void **state)
{
    (void)state;
    struct record_id id = { { 1, 2, 3 } };
    const struct value values[] = { VALUE_NONE, value_int(0), value_int(-5), value_int(INT64_MIN), value_int(INT64_MAX),
        value_text(BYTES_LIT("")), value_text(BYTES_LIT("王小明")), value_id(&id), set_of("白", "黑") };
    struct buf b;
    buf_init(&b, test_mem(), 4096);
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        value_put(&b, (uint32_t)(i * 100), values[i]);
    }
    value_put(&b, UINT32_MAX, value_int(1));
    assert_int_equal(b.err, ERR_OK);
    struct reader r = reader_of(buf_view(&b));
    uint32_t number = 0;
    struct value v = VALUE_NONE;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        assert_int_equal(value_take(&r, &number, &v), ERR_OK);
        assert_int_equal(number, i * 100);
        assert_true(value_equal(v, values[i]));
    }
    assert_int_equal(value_take(&r, &number, &v), ERR_OK);
    assert_int_equal(number, UINT32_MAX);
    assert_int_equal(r.left, 0);
    buf_release(&b);
}

static void small_numbers_take_one_byte(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, test_mem(), 64);
    value_put(&b, 15, VALUE_NONE);
    assert_int_equal(b.len, 1);
    buf_release(&b);
}

struct bad {
    const char *bytes;
    size_t len;
    enum err e;
};

static void malformed_encodings_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        { "", 0, ERR_TRUNCATED }, { "\x09", 1, ERR_TRUNCATED }, /* INT without a number */
        { "\x0d", 1, ERR_FORMAT }, /* type 5 */
        { "\x0f", 1, ERR_FORMAT }, /* type 7 */
        { "\x0a\x02\xff\xfe", 4, ERR_FORMAT }, /* TEXT that is not UTF-8 */
        { "\x0a\x05"
          "ab",
            4, ERR_TRUNCATED }, /* TEXT cut off */
        { "\x0a\x81\x20", 3, ERR_LIMIT }, /* TEXT of 4097 bytes */
        { "\x0b\x01\x02", 3, ERR_TRUNCATED }, /* ID cut off */
        { "\x0c\x04\x01"
          "b\x01"
          "a",
            6, ERR_FORMAT }, /* SET not sorted */
        { "\x0c\x04\x01"
          "a\x01"
          "a",
            6, ERR_FORMAT }, /* SET with a duplicate */
        { "\x0c\x01\x00", 3, ERR_FORMAT }, /* SET with an empty element */
        { "\x0c\x02\x02"
          "a",
            4, ERR_FORMAT }, /* SET element cut off */
        { "\x0c\x02\x01\xff", 4, ERR_FORMAT }, /* SET element not UTF-8 */
        { "\x0c\x03\x81\x00"
          "a",
            5, ERR_FORMAT }, /* SET element length not shortest */
        { "\x89\x00\x00", 3, ERR_FORMAT }, /* tag not shortest */
        { "\xfa\xff\xff\xff\xff\x01\x00", 7, ERR_FORMAT } /* number over 32 bits */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct reader r = reader_of(bytes_of(bad[i].bytes, bad[i].len));
        uint32_t number = 77;
        struct value v = value_int(77);
        if (value_take(&r, &number, &v) != bad[i].e || r.left != bad[i].len || number != 77 || v.i != 77) {
            fail_msg("encoding %zu", i);
        }
    }
}

static void sets_are_sorted_unions(void **state)
{
    (void)state;
    struct value a = set_of("b", "a");
    struct value b = set_of("c", "b");
    struct value u = VALUE_NONE;
    struct value w = VALUE_NONE;
    assert_int_equal(value_set_union(&arena, a, b, &u), ERR_OK);
    assert_int_equal(value_set_union(&arena, b, a, &w), ERR_OK);
    assert_true(value_equal(u, w));
    assert_int_equal(u.s.len, 6);
    assert_memory_equal(u.s.ptr,
        "\x01"
        "a\x01"
        "b\x01"
        "c",
        6);
    assert_true(value_set_has(u, BYTES_LIT("c")));
    assert_false(value_set_has(u, BYTES_LIT("d")));
    assert_false(value_set_has(VALUE_NONE, BYTES_LIT("d")));
    assert_int_equal(value_set_union(&arena, VALUE_NONE, a, &w), ERR_OK);
    assert_true(value_equal(w, a));
    assert_int_equal(value_set_union(&arena, u, u, &w), ERR_OK);
    assert_true(value_equal(w, u));
}

static void set_elements_have_bounds(void **state)
{
    (void)state;
    static uint8_t text[VALUE_ELEMENT_MAX_BYTES + 1];
    memset(text, 'x', sizeof(text));
    struct value v = VALUE_NONE;
    assert_int_equal(value_set_add(&arena, v, BYTES_LIT(""), &v), ERR_INVALID);
    assert_int_equal(value_set_add(&arena, v, BYTES_LIT("\xff"), &v), ERR_INVALID);
    assert_int_equal(value_set_add(&arena, v, BYTES_OF(text), &v), ERR_LIMIT);
    assert_int_equal(v.type, VALUE_NULL);
    assert_int_equal(value_set_add(&arena, v, bytes_of(text, VALUE_ELEMENT_MAX_BYTES), &v), ERR_OK);
    struct buf b;
    buf_init(&b, test_mem(), 8192);
    value_put(&b, 1, v);
    struct reader r = reader_of(buf_view(&b));
    uint32_t number = 0;
    struct value back = VALUE_NONE;
    assert_int_equal(value_take(&r, &number, &back), ERR_OK);
    assert_true(value_equal(back, v));
    buf_release(&b);
}

static void a_union_over_the_limit_is_refused(void **state)
{
    (void)state;
    static uint8_t text[VALUE_ELEMENT_MAX_BYTES];
    struct value v = VALUE_NONE;
    enum err e = ERR_OK;
    size_t added = 0;
    memset(text, 'x', sizeof(text));
    while (e == ERR_OK && added < 100) {
        text[0] = (uint8_t)(' ' + added);
        struct arena one;
        arena_init(&one, test_mem(), 1 << 20);
        struct value grown = VALUE_NONE;
        e = value_set_add(&one, v, BYTES_OF(text), &grown);
        if (e == ERR_OK) {
            assert_int_equal(value_dup(&arena, grown, &v), ERR_OK);
            added++;
        }
        arena_release(&one);
    }
    assert_int_equal(e, ERR_LIMIT);
    assert_int_equal(added, VALUE_SET_MAX_BYTES / (VALUE_ELEMENT_MAX_BYTES + 2));
}

static void no_memory_is_reported(void **state)
{
    (void)state;
    struct arena tiny;
    arena_init(&tiny, test_mem(), 4);
    struct value v = VALUE_NONE;
    assert_int_equal(value_set_add(&tiny, v, BYTES_LIT("abcdef"), &v), ERR_NOMEM);
    assert_int_equal(value_dup(&tiny, value_text(BYTES_LIT("abcdef")), &v), ERR_NOMEM);
    assert_int_equal(v.type, VALUE_NULL);
    arena_release(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(order_is_total_and_by_type_first, setup, teardown),
        cmocka_unit_test_setup_teardown(encoding_round_trips, setup, teardown),
        cmocka_unit_test(small_numbers_take_one_byte),
        cmocka_unit_test_setup_teardown(malformed_encodings_are_refused_and_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(sets_are_sorted_unions, setup, teardown),
        cmocka_unit_test_setup_teardown(set_elements_have_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(a_union_over_the_limit_is_refused, setup, teardown),
        cmocka_unit_test(no_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
