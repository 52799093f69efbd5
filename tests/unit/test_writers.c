/* The lists of writers: sorted, each commit once, gone rather than incomplete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/writers.h"

#include <stdlib.h>
#include <string.h>

static uint64_t calls_left;

static void *resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    return calls_left > 0 && calls_left-- > 0 ? realloc(ptr, new_bytes) : NULL;
}

static void key_of(unsigned number, uint8_t out[WRITERS_KEY_BYTES])
{
    memset(out, 0, WRITERS_KEY_BYTES);
    out[3] = (uint8_t)(number >> 8);
    out[20] = (uint8_t)number;
}

static struct dot dot_of(uint64_t seq)
{
    return (struct dot){ .node = 1 + (uint32_t)(seq % 3), .epoch = 1, .seq = seq };
}

static void sorted_and_once(void **state)
{
    (void)state;
    struct mem mem = { .resize = resize, .max_bytes = 1 << 20 };
    struct writers w = { .fields = NULL };
    uint8_t key[WRITERS_KEY_BYTES];
    calls_left = 1000;
    key_of(1, key);
    writers_note(&w, key, dot_of(1));
    assert_null(writers_find(&w, key)); /* nobody asked for it */
    writers_begin(&w, &mem, key);
    for (uint64_t i = 0; i < 200; i++) {
        writers_note(&w, key, dot_of(i * 37 % 100));
    }
    const struct writers_of *of = writers_find(&w, key);
    assert_non_null(of);
    assert_int_equal(of->count, 100);
    for (size_t i = 1; i < of->count; i++) {
        assert_true(dot_compare(of->at[i - 1], of->at[i]) < 0);
    }
    writers_begin(&w, &mem, key);
    assert_int_equal(writers_find(&w, key)->count, 0);
    writers_free(&w);
    assert_int_equal(mem.used_bytes, 0);
}

/* Beyond the bound, and for want of memory, nothing is known any more. */
static void gone_rather_than_incomplete(void **state)
{
    (void)state;
    struct mem mem = { .resize = resize, .max_bytes = 1 << 20 };
    struct writers w = { .fields = NULL };
    uint8_t key[WRITERS_KEY_BYTES];
    key_of(1, key);
    calls_left = 1000;
    writers_begin(&w, &mem, key);
    for (uint64_t i = 0; i < WRITERS_DOTS_MAX; i++) {
        writers_note(&w, key, dot_of(i));
    }
    assert_int_equal(writers_find(&w, key)->count, WRITERS_DOTS_MAX);
    writers_note(&w, key, dot_of(3)); /* it has that */
    assert_non_null(writers_find(&w, key));
    writers_note(&w, key, dot_of(WRITERS_DOTS_MAX));
    assert_null(writers_find(&w, key));
    writers_begin(&w, &mem, key);
    calls_left = 0;
    for (uint64_t i = 0; i < 17; i++) {
        writers_note(&w, key, dot_of(i));
    }
    assert_null(writers_find(&w, key));
    writers_begin(&w, &mem, key);
    assert_null(writers_find(&w, key));
    writers_free(&w);
    assert_int_equal(mem.used_bytes, 0);
}

/* Fields that share a place push each other out and are never taken for each other. */
static void many_fields(void **state)
{
    (void)state;
    struct mem mem = { .resize = resize, .max_bytes = 1 << 20 };
    struct writers w = { .fields = NULL };
    uint8_t key[WRITERS_KEY_BYTES];
    size_t found = 0;
    calls_left = 100000;
    for (unsigned i = 0; i < 4 * WRITERS_FIELDS; i++) {
        key_of(i, key);
        writers_begin(&w, &mem, key);
        writers_note(&w, key, dot_of(i));
    }
    for (unsigned i = 0; i < 4 * WRITERS_FIELDS; i++) {
        key_of(i, key);
        const struct writers_of *of = writers_find(&w, key);
        if (of != NULL) {
            found++;
            assert_int_equal(of->count, 1);
            assert_true(dot_equal(of->at[0], dot_of(i)));
        }
    }
    assert_true(found > WRITERS_FIELDS / 4);
    assert_true(found <= WRITERS_FIELDS);
    writers_free(&w);
    assert_int_equal(mem.used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorted_and_once),
        cmocka_unit_test(gone_rather_than_incomplete),
        cmocka_unit_test(many_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
