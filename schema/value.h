#ifndef JIPAN_VALUE_H
#define JIPAN_VALUE_H

#include "schema/base/buf.h"
#include "schema/base/reader.h"
#include "schema/id.h"

/*
 * One typed field value, as it stands in a cell, a row and a comparison. The type is self-describing on the wire, so
 * that a node keeps and forwards fields it does not know yet.
 */
enum value_type {
    VALUE_NULL, /* no value, or a value taken away */
    VALUE_INT, /* integers, booleans, code numbers, fen, dates (yyyymmdd, yyyy 0000 = no year), instants (ms UTC) */
    VALUE_TEXT, /* UTF-8, normalised by the validator */
    VALUE_ID, /* 16 bytes: another record */
    VALUE_SET, /* canonical set: varint-length texts, sorted by bytes, no duplicates */
    VALUE_TYPE_COUNT,
};

struct value {
    enum value_type type;
    int64_t i; /* VALUE_INT */
    struct bytes s; /* borrowed: TEXT bytes, ID 16 bytes, SET encoding */
};

#define VALUE_NONE ((struct value){ .type = VALUE_NULL })

enum {
    VALUE_MAX_BYTES = 4096, /* one text */
    VALUE_ELEMENT_MAX_BYTES = 2048, /* one element of a set: a note of 500 characters */
    VALUE_SET_MAX_BYTES = 65536, /* all elements of a set together */
};

static inline struct value value_int(int64_t i)
{
    return (struct value){ .type = VALUE_INT, .i = i };
}

static inline struct value value_text(struct bytes s)
{
    return (struct value){ .type = VALUE_TEXT, .s = s };
}

static inline struct value value_id(const struct record_id *id)
{
    return (struct value){ .type = VALUE_ID, .s = bytes_of(id->b, sizeof(id->b)) };
}

bool value_equal(struct value a, struct value b);
int value_compare(struct value a, struct value b); /* total: type, then number or bytes */

/*
 * Tagged encoding: varint (number << 3 | type), then nothing, zigzag, 16 bytes, or varint length and bytes.
 * number is the field number; ERR_FORMAT for an unknown type or a set that is not canonical; TEXT must be valid UTF-8.
 */
void value_put(struct buf *b, uint32_t number, struct value v);
MUST_USE enum err value_take(
    struct reader *r, uint32_t *number, struct value *out); /* borrows from the reader's bytes */

MUST_USE enum err value_dup(struct arena *a, struct value v, struct value *out);

/* Sets. value_set_add writes the union of set and one more element (1..VALUE_ELEMENT_MAX_BYTES bytes;
 * else ERR_INVALID, ERR_LIMIT; a union over VALUE_SET_MAX_BYTES is ERR_LIMIT) into arena memory. */
bool value_set_next(struct bytes *rest, struct bytes *element); /* walk: start with v.s */
bool value_set_has(struct value set, struct bytes element);
MUST_USE enum err value_set_add(struct arena *a, struct value set, struct bytes element, struct value *out);
MUST_USE enum err value_set_union(
    struct arena *a, struct value x, struct value y, struct value *out); /* NULL counts as empty */

#endif
