/*
 * Owns: the canonical text of a value. Total: a value that does not fit its field (from a newer or broken node) still
 * has a text, so that nothing a node holds is invisible.
 */
#include "schema/base/utf8.h"
#include "schema/catalogue.h"
#include "schema/date.h"

enum { NUMBER_TEXT_BYTES = 24 };

static size_t put_int(int64_t i, char out[NUMBER_TEXT_BYTES])
{
    char reversed[NUMBER_TEXT_BYTES];
    size_t n = 0;
    size_t len = 0;
    uint64_t left = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    do {
        reversed[n++] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (i < 0) {
        out[len++] = '-';
    }
    while (n > 0) {
        out[len++] = reversed[--n];
    }
    return len;
}

static enum err int_text(struct arena *a, const char *prefix, int64_t i, struct bytes *out)
{
    char text[NUMBER_TEXT_BYTES + 1];
    size_t lead = strlen(prefix); /* "" or "#" */
    memcpy(text, prefix, lead);
    size_t n = lead + put_int(i, text + lead);
    return arena_dup(a, bytes_of(text, n), out);
}

static enum err number_text(const struct field *f, struct arena *a, int64_t i, struct bytes *out)
{
    char text[DATE_TEXT_BYTES];
    if (f->type == FIELD_CODE) {
        const struct code *c = code_by_number(f->codes, i);
        if (c == NULL) {
            return int_text(a, "#", i, out);
        }
        *out = bytes_str(c->key);
        return ERR_OK;
    }
    if (f->type == FIELD_DATE && date_is_valid(i, true)) {
        return arena_dup(a, bytes_of(text, date_text(i, text)), out);
    }
    if (f->type == FIELD_INSTANT && instant_is_valid(i)) {
        return arena_dup(a, bytes_of(text, instant_text(i, text)), out);
    }
    return int_text(a, "", i, out);
}

static enum err set_text(struct arena *a, struct value v, struct bytes *out)
{
    const struct bytes joint = BYTES_LIT("、");
    struct bytes rest = v.s;
    struct bytes element = { 0 };
    size_t len = 0;
    while (value_set_next(&rest, &element)) {
        len += element.len + joint.len;
    }
    uint8_t *to = arena_alloc(a, len);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    rest = v.s;
    while (value_set_next(&rest, &element)) {
        if (n > 0) {
            memcpy(to + n, joint.ptr, joint.len);
            n += joint.len;
        }
        memcpy(to + n, element.ptr, element.len);
        n += element.len;
    }
    *out = bytes_of(to, n);
    return ERR_OK;
}

static enum err ref_text(const struct field *f, struct arena *a, struct value v, struct bytes *out)
{
    const struct entity_desc *d = catalogue_entity(f->ref);
    size_t name_len = d == NULL ? 0 : strlen(d->name) + 1;
    char *to = arena_alloc(a, name_len + 2 * v.s.len + 1);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    if (d != NULL) {
        memcpy(to, d->name, name_len - 1);
        to[name_len - 1] = '/';
    }
    hex_text(v.s, to + name_len);
    *out = bytes_of(to, name_len + 2 * v.s.len);
    return ERR_OK;
}

enum err field_text(const struct field *f, struct arena *a, struct value v, struct bytes *out)
{
    switch (v.type) {
    case VALUE_INT:
        return number_text(f, a, v.i, out);
    case VALUE_TEXT:
        return arena_dup(a, v.s, out);
    case VALUE_ID:
        return ref_text(f, a, v, out);
    case VALUE_SET:
        return set_text(a, v, out);
    case VALUE_NULL:
    case VALUE_TYPE_COUNT:
        break;
    }
    *out = bytes_of("", 0);
    return ERR_OK;
}
