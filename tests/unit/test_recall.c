/* The remembered writes of contested fields: all of a field or nothing of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/recall.h"
#include "tests/lib/testkit.h"

static struct mem a_budget(void)
{
    return (struct mem){ .resize = test_mem()->resize, .max_bytes = 16 << 20 };
}

static struct recall_place field_of(unsigned dossier, uint32_t field)
{
    return (struct recall_place){
        .id = { .b = { [0] = (uint8_t)(dossier >> 8), [5] = (uint8_t)dossier } }, .entity = 3, .field = field
    };
}

/* Points into what the caller may change afterwards. */
static struct field_write write_of(uint64_t seq, char *text, struct dot *seen)
{
    return (struct field_write){ .dot = { .node = 1, .epoch = 1, .seq = seq },
        .context = { .at = seen, .count = 1, .capacity = 1 },
        .hlc = 100 + seq,
        .author = 7,
        .value = value_text(bytes_str(text)) };
}

static void keeps_copies(void **state)
{
    (void)state;
    struct mem mem = a_budget();
    struct recall r = { .fields = NULL };
    const struct recall_place of = field_of(1, 4);
    char text[8] = "one";
    struct dot seen = { .node = 2, .epoch = 1, .seq = 9 };
    struct field_write w = write_of(1, text, &seen);
    recall_note(&r, &of, &w);
    assert_null(recall_find(&r, &of)); /* nobody has read it */
    recall_keep(&r, &mem, &of, &w, 1);
    for (uint64_t i = 2; i <= 40; i++) {
        w = write_of(i, text, &seen);
        recall_note(&r, &of, &w);
    }
    text[0] = 'x';
    seen.seq = 1;
    const struct recall_place other = field_of(1, 5);
    assert_null(recall_find(&r, &other));
    const struct recall_field *f = recall_find(&r, &of);
    assert_non_null(f);
    assert_int_equal(f->count, 40);
    for (size_t i = 0; i < f->count; i++) {
        assert_int_equal(f->at[i].dot.seq, i + 1);
        assert_int_equal(f->at[i].hlc, 101 + i);
        assert_int_equal(f->at[i].context.at[0].seq, 9);
        assert_true(value_equal(f->at[i].value, value_text(BYTES_LIT("one"))));
    }
    recall_drop(&r, record_dossier(field_of(2, 4).id));
    assert_non_null(recall_find(&r, &of));
    recall_drop(&r, record_dossier(of.id));
    assert_null(recall_find(&r, &of));
    recall_free(&r);
    assert_int_equal(mem.used_bytes, 0);
}

/* A commit that is applied again changes nothing; one that says two things makes the field be read again. */
static void one_commit_twice(void **state)
{
    (void)state;
    struct mem mem = a_budget();
    struct recall r = { .fields = NULL };
    const struct recall_place of = field_of(1, 4);
    char text[8] = "one";
    struct dot seen = { .node = 2, .epoch = 1, .seq = 9 };
    struct field_write w = write_of(1, text, &seen);
    recall_keep(&r, &mem, &of, &w, 1);
    recall_note(&r, &of, &w);
    assert_int_equal(recall_find(&r, &of)->count, 1);
    char changed[8] = "two";
    w = write_of(1, changed, &seen);
    recall_note(&r, &of, &w);
    assert_null(recall_find(&r, &of));
    recall_free(&r);
    assert_int_equal(mem.used_bytes, 0);
}

/* Beyond the bound, and for want of memory, nothing is known any more. */
static void gone_rather_than_incomplete(void **state)
{
    (void)state;
    struct mem mem = a_budget();
    struct recall r = { .fields = NULL };
    const struct recall_place of = field_of(1, 0);
    char text[8] = "one";
    struct dot seen = { .node = 2, .epoch = 1, .seq = 9 };
    struct field_write w = write_of(1, text, &seen);
    recall_keep(&r, &mem, &of, &w, 1);
    uint64_t held = 1;
    while (recall_find(&r, &of) != NULL) {
        assert_int_equal(recall_find(&r, &of)->count, held);
        w = write_of(++held, text, &seen);
        recall_note(&r, &of, &w);
        assert_true(held < RECALL_FIELD_BYTES);
    }
    assert_true(held > 100);
    recall_keep(&r, &mem, &of, &w, 1);
    assert_non_null(recall_find(&r, &of));
    mem.max_bytes = mem.used_bytes;
    for (held = 0; held < 400; held++) {
        w = write_of(1000 + held, text, &seen);
        recall_note(&r, &of, &w);
    }
    assert_null(recall_find(&r, &of));
    mem.max_bytes = mem.used_bytes;
    recall_keep(&r, &mem, &of, &w, 1);
    assert_null(recall_find(&r, &of));
    recall_free(&r);
    assert_int_equal(mem.used_bytes, 0);
}

/* Fields that share a place push each other out and are never taken for each other. */
static void many_fields(void **state)
{
    (void)state;
    struct mem mem = a_budget();
    struct recall r = { .fields = NULL };
    char text[8] = "one";
    struct dot seen = { .node = 2, .epoch = 1, .seq = 9 };
    size_t found = 0;
    for (unsigned i = 0; i < 4 * RECALL_PLACES; i++) {
        const struct recall_place of = field_of(i, 4);
        struct field_write w = write_of(i + 1, text, &seen);
        recall_keep(&r, &mem, &of, &w, 1);
    }
    for (unsigned i = 0; i < 4 * RECALL_PLACES; i++) {
        const struct recall_place of = field_of(i, 4);
        const struct recall_field *f = recall_find(&r, &of);
        assert_true(f == NULL || (f->count == 1 && f->at[0].dot.seq == i + 1));
        found += f == NULL ? 0 : 1;
    }
    assert_true(found > RECALL_PLACES / 4);
    assert_true(found <= RECALL_PLACES);
    recall_free(&r);
    assert_int_equal(mem.used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_copies),
        cmocka_unit_test(one_commit_twice),
        cmocka_unit_test(gone_rather_than_incomplete),
        cmocka_unit_test(many_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
