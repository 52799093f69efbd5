/*
 * Any text as any field: the first two bytes choose entity and field. What is accepted from a person is accepted from a
 * peer too, reads back as the same value, and has a masked form. Also any stored value as it might come from a peer.
 */
#include "schema/base/check.h"
#include "schema/catalogue.h"
#include "tests/lib/testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_text(const struct field *f, struct arena *a, struct bytes text)
{
    struct value v;
    struct value again;
    struct bytes shown = { 0 };
    struct bytes masked = { 0 };
    struct why why = { { 0 }, { 0 } };
    enum err e = field_parse(f, a, text, &v, &why);
    check(e == ERR_OK || e == ERR_INVALID || e == ERR_LIMIT);
    check(e == ERR_OK || (why.zh[0] != '\0' && why.en[0] != '\0'));
    if (e != ERR_OK || v.type == VALUE_NULL) {
        return; /* whether there must be something is asked later */
    }
    check(field_accepts(f, a, v) == ERR_OK);
    check(field_text(f, a, v, &shown) == ERR_OK);
    check(field_mask(f, a, v, &masked) == ERR_OK);
    if (v.type != VALUE_SET) { /* elements may hold the sign that joins them */
        check(field_parse(f, a, shown, &again, &why) == ERR_OK);
        check(value_equal(v, again));
    }
}

static void check_value(const struct field *f, struct arena *a, struct bytes in)
{
    struct reader r = reader_of(in);
    uint32_t number = 0;
    struct value v;
    struct bytes text = { 0 };
    if (value_take(&r, &number, &v) == ERR_OK && field_accepts(f, a, v) == ERR_OK) {
        check(field_text(f, a, v, &text) == ERR_OK);
        check(field_mask(f, a, v, &text) == ERR_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t count = 0;
    const struct entity_desc *all = catalogue_entities(&count);
    struct arena a;
    if (len < 3) {
        return 0;
    }
    const struct entity_desc *d = &all[data[0] % count];
    const struct field *f = &d->fields[(data[1] & 0x7F) % d->field_count];
    if (f->merge == MERGE_DERIVED) {
        return 0;
    }
    arena_init(&a, test_mem(), 8 << 20);
    if ((data[1] & 0x80) != 0) {
        check_value(f, &a, bytes_of(data + 2, len - 2));
    } else {
        check_text(f, &a, bytes_of(data + 2, len - 2));
    }
    arena_release(&a);
    check(test_mem()->used_bytes == 0);
    return 0;
}
