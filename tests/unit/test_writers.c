/* The lists of writers: sorted, each commit once, gone rather than incomplete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/writers.h"
#include "tests/lib/testkit.h"

static struct mem a_budget(void)
{
    return (struct mem){ .resize = test_mem()->resize, .max_bytes = 1 << 20 };
}

static struct dossier_id dossier_of(unsigned number)
{
    struct dossier_id d = { .b = { [2] = (uint8_t)(number >> 8), [5] = (uint8_t)number } };
    return d;
}

static struct dot dot_of(uint64_t seq)
{
    return (struct dot){ .node = 1 + (uint32_t)(seq % 3), .epoch = 1, .seq = seq };
}

static void sorted_and_once(void **state)
{
    (void)state;
    struct mem mem = a_budget();
    struct writers w = { .places = NULL };
    const struct dossier_id d = dossier_of(1);
    writers_note(&w, d, CLASS_BUSINESS, dot_of(1), 1);
    assert_null(writers_find(&w, d, CLASS_BUSINESS)); /* nobody asked for it */
    writers_begin(&w, &mem, d, CLASS_BUSINESS);
    for (uint64_t i = 0; i < 200; i++) {
        writers_note(&w, d, CLASS_BUSINESS, dot_of(i * 37 % 100), 1ULL << (i / 100));
        writers_note(&w, d, CLASS_CONTACT, dot_of(1000 + i), 1); /* another list */
    }
    const struct writers_of *of = writers_find(&w, d, CLASS_BUSINESS);
    assert_non_null(of);
    assert_int_equal(of->count, 100);
    for (size_t i = 0; i < of->count; i++) {
        assert_true(i == 0 || dot_compare(of->at[i - 1].dot, of->at[i].dot) < 0);
        assert_int_equal(of->at[i].fields, 3);
    }
    writers_begin(&w, &mem, d, CLASS_BUSINESS);
    assert_int_equal(writers_find(&w, d, CLASS_BUSINESS)->count, 0);
    writers_drop(&w, d, CLASS_BUSINESS);
    assert_null(writers_find(&w, d, CLASS_BUSINESS));
    writers_free(&w);
    assert_int_equal(mem.used_bytes, 0);
}

/* Beyond the bound, and for want of memory, nothing is known any more. */
static void gone_rather_than_incomplete(void **state)
{
    (void)state;
    struct mem mem = a_budget();
    struct writers w = { .places = NULL };
    const struct dossier_id d = dossier_of(1);
    writers_begin(&w, &mem, d, CLASS_CONTACT);
    for (uint64_t i = 0; i < WRITERS_DOTS_MAX; i++) {
        writers_note(&w, d, CLASS_CONTACT, dot_of(i), 1);
    }
    assert_int_equal(writers_find(&w, d, CLASS_CONTACT)->count, WRITERS_DOTS_MAX);
    writers_note(&w, d, CLASS_CONTACT, dot_of(3), 1); /* it has that */
    assert_non_null(writers_find(&w, d, CLASS_CONTACT));
    writers_note(&w, d, CLASS_CONTACT, dot_of(WRITERS_DOTS_MAX), 1);
    assert_null(writers_find(&w, d, CLASS_CONTACT));
    writers_begin(&w, &mem, d, CLASS_CONTACT);
    mem.max_bytes = mem.used_bytes;
    for (uint64_t i = 0; i < 17; i++) {
        writers_note(&w, d, CLASS_CONTACT, dot_of(i), 1);
    }
    assert_null(writers_find(&w, d, CLASS_CONTACT));
    mem.max_bytes = mem.used_bytes;
    writers_begin(&w, &mem, d, CLASS_CONTACT);
    assert_null(writers_find(&w, d, CLASS_CONTACT));
    writers_free(&w);
    assert_int_equal(mem.used_bytes, 0);
}

/* Dossiers that share a place push each other out and are never taken for each other. */
static void many_dossiers(void **state)
{
    (void)state;
    struct mem mem = a_budget();
    struct writers w = { .places = NULL };
    size_t found = 0;
    for (unsigned i = 0; i < 4 * WRITERS_PLACES; i++) {
        writers_begin(&w, &mem, dossier_of(i), CLASS_BUSINESS);
        writers_note(&w, dossier_of(i), CLASS_BUSINESS, dot_of(i), 1);
    }
    for (unsigned i = 0; i < 4 * WRITERS_PLACES; i++) {
        const struct writers_of *of = writers_find(&w, dossier_of(i), CLASS_BUSINESS);
        if (of != NULL) {
            found++;
            assert_int_equal(of->count, 1);
            assert_true(dot_equal(of->at[0].dot, dot_of(i)));
        }
    }
    assert_true(found > WRITERS_PLACES / 4);
    assert_true(found <= WRITERS_PLACES);
    writers_free(&w);
    assert_int_equal(mem.used_bytes, 0);
}

/* One bit, the same for the same field, and not the same for most others. */
static void bits_of_fields(void **state)
{
    (void)state;
    uint64_t all = 0;
    for (uint32_t i = 0; i < 256; i++) {
        struct record_id id = { .b = { [0] = 7, [15] = (uint8_t)(i / 64) } };
        uint64_t bit = writers_bit(id, 1 + i % 4, i % 64);
        assert_int_equal(bit & (bit - 1), 0);
        assert_int_equal(bit, writers_bit(id, 1 + i % 4, i % 64));
        all |= bit;
    }
    assert_true(__builtin_popcountll(all) > 48);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorted_and_once),
        cmocka_unit_test(gone_rather_than_incomplete),
        cmocka_unit_test(many_dossiers),
        cmocka_unit_test(bits_of_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
