/*
 * Owns: equality, order and the tagged encoding of one field value, and the canonical form of sets.
 * Invariants: equal values have equal bytes; the order of values is total and depends on nothing but the values.
 * Does not know fields: ranges, codes and validators are the catalogue's.
 */
#include "schema/value.h"

#include "schema/base/check.h"
#include "schema/base/utf8.h"

bool value_equal(struct value a, struct value b)
{
    return value_compare(a, b) == 0;
}

int value_compare(struct value a, struct value b)
{
    if (a.type != b.type) {
        return a.type < b.type ? -1 : 1;
    }
    if (a.type == VALUE_NULL) {
        return 0;
    }
    if (a.type == VALUE_INT) {
        return (a.i > b.i) - (a.i < b.i);
    }
    return bytes_compare(a.s, b.s);
}

/* Takes the next element of a set encoding: a shortest-form varint length within bounds, then valid UTF-8. */
static enum err element_take(struct reader *r, struct bytes *out)
{
    struct reader at = *r;
    struct bytes element = { 0 };
    enum err e = reader_blob(&at, VALUE_ELEMENT_MAX_BYTES, &element);
    if (e != ERR_OK) {
        return e;
    }
    if (element.len == 0 || !utf8_is_valid(element)) {
        return ERR_FORMAT;
    }
    *r = at;
    *out = element;
    return ERR_OK;
}

static enum err set_check(struct bytes set)
{
    struct reader r = reader_of(set);
    struct bytes last = { 0 };
    while (r.left > 0) {
        struct bytes element = { 0 };
        if (element_take(&r, &element) != ERR_OK) {
            return ERR_FORMAT;
        }
        if (last.len > 0 && bytes_compare(last, element) >= 0) {
            return ERR_FORMAT;
        }
        last = element;
    }
    return ERR_OK;
}

void value_put(struct buf *b, uint32_t number, struct value v)
{
    check((size_t)v.type < VALUE_TYPE_COUNT);
    buf_put_varint(b, (uint64_t)number << 3 | (uint64_t)v.type);
    switch (v.type) {
    case VALUE_INT:
        buf_put_zigzag(b, v.i);
        break;
    case VALUE_ID:
        check(v.s.len == RECORD_ID_BYTES);
        buf_put_bytes(b, v.s);
        break;
    case VALUE_TEXT:
    case VALUE_SET:
        buf_put_blob(b, v.s);
        break;
    case VALUE_NULL:
    case VALUE_TYPE_COUNT:
        break;
    }
}

static enum err body_take(struct reader *r, struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
        return ERR_OK;
    case VALUE_INT:
        return reader_zigzag(r, &v->i);
    case VALUE_ID:
        return reader_take(r, RECORD_ID_BYTES, &v->s);
    case VALUE_TEXT: {
        enum err e = reader_blob(r, VALUE_MAX_BYTES, &v->s);
        return e == ERR_OK && !utf8_is_valid(v->s) ? ERR_FORMAT : e;
    }
    case VALUE_SET: {
        enum err e = reader_blob(r, VALUE_SET_MAX_BYTES, &v->s);
        return e == ERR_OK ? set_check(v->s) : e;
    }
    case VALUE_TYPE_COUNT:
        break;
    }
    return ERR_FORMAT;
}

enum err value_take(struct reader *r, uint32_t *number, struct value *out)
{
    struct reader at = *r;
    uint64_t tag = 0;
    enum err e = reader_varint(&at, &tag);
    if (e != ERR_OK) {
        return e;
    }
    if (tag >> 3 > UINT32_MAX || (tag & 7) >= VALUE_TYPE_COUNT) {
        return ERR_FORMAT;
    }
    struct value v = { .type = (enum value_type)(tag & 7) };
    e = body_take(&at, &v);
    if (e != ERR_OK) {
        return e;
    }
    *r = at;
    *number = (uint32_t)(tag >> 3);
    *out = v;
    return ERR_OK;
}

enum err value_dup(struct arena *a, struct value v, struct value *out)
{
    if (v.s.len > 0) {
        enum err e = arena_dup(a, v.s, &v.s);
        if (e != ERR_OK) {
            return e;
        }
    }
    *out = v;
    return ERR_OK;
}

bool value_set_next(struct bytes *rest, struct bytes *element)
{
    struct reader r = reader_of(*rest);
    if (element_take(&r, element) != ERR_OK) {
        return false;
    }
    *rest = bytes_of(r.ptr, r.left);
    return true;
}

bool value_set_has(struct value set, struct bytes element)
{
    struct bytes rest = set.s;
    struct bytes e = { 0 };
    while (set.type == VALUE_SET && value_set_next(&rest, &e)) {
        if (bytes_equal(e, element)) {
            return true;
        }
    }
    return false;
}

static size_t varint_put(uint64_t v, uint8_t *out)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

enum err value_set_add(struct arena *a, struct value set, struct bytes element, struct value *out)
{
    if (element.len == 0 || !utf8_is_valid(element)) {
        return ERR_INVALID;
    }
    if (element.len > VALUE_ELEMENT_MAX_BYTES) {
        return ERR_LIMIT;
    }
    uint8_t *single = arena_alloc(a, element.len + 2); /* a length up to 2048 takes at most two bytes */
    if (single == NULL) {
        return ERR_NOMEM;
    }
    size_t n = varint_put(element.len, single);
    memcpy(single + n, element.ptr, element.len);
    return value_set_union(a, set, (struct value){ .type = VALUE_SET, .s = bytes_of(single, n + element.len) }, out);
}

struct set_cursor {
    struct bytes rest;
    struct bytes element;
    bool more;
};

static struct set_cursor cursor_of(struct value set)
{
    struct set_cursor c = { .rest = set.type == VALUE_SET ? set.s : (struct bytes){ 0 } };
    c.more = value_set_next(&c.rest, &c.element);
    return c;
}

enum err value_set_union(struct arena *a, struct value x, struct value y, struct value *out)
{
    check(x.type == VALUE_SET || x.type == VALUE_NULL);
    check(y.type == VALUE_SET || y.type == VALUE_NULL);
    uint8_t *to = arena_alloc(a, x.s.len + y.s.len);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    struct set_cursor cx = cursor_of(x);
    struct set_cursor cy = cursor_of(y);
    size_t n = 0;
    while (cx.more || cy.more) {
        int order = !cy.more ? -1 : !cx.more ? 1 : bytes_compare(cx.element, cy.element);
        struct bytes take = order <= 0 ? cx.element : cy.element;
        n += varint_put(take.len, to + n);
        memcpy(to + n, take.ptr, take.len);
        n += take.len;
        if (order <= 0) {
            cx.more = value_set_next(&cx.rest, &cx.element);
        }
        if (order >= 0) {
            cy.more = value_set_next(&cy.rest, &cy.element);
        }
    }
    if (n > VALUE_SET_MAX_BYTES) {
        return ERR_LIMIT;
    }
    *out = (struct value){ .type = VALUE_SET, .s = bytes_of(to, n) };
    return ERR_OK;
}
