#ifndef JIPAN_PACK_H
#define JIPAN_PACK_H

#include "schema/base/buf.h"

/*
 * A short form of what stands in parts: a fixed prefix code for each byte, chosen by what stood before it. Made for
 * Chinese text in UTF-8, digits and small numbers; says nothing about other parts and learns nothing, so equal bytes
 * have equal forms.
 *
 *      packed := 0, the bytes                          when the code would not be shorter
 *              | length of the bytes (varint), code    bits from the highest; the last byte filled with zero bits
 */
enum { PACK_CONTEXTS = 6, PACK_SYMBOLS = 257, PACK_CODE_BITS_MAX = 9 };

/* Tables made from the lengths. For each context and byte: its code (escape included) | bits << 20 | context after it
 * << 26. For the next bits of a code: symbol | bits << 9 | context after it << 13. */
struct pack {
    uint32_t code_of[PACK_CONTEXTS][256];
    uint16_t symbol_of[PACK_CONTEXTS][1 << PACK_CODE_BITS_MAX];
    uint8_t next[PACK_CONTEXTS][256];
};

void pack_init(struct pack *p);

/* Appends the packed form. */
void pack_put(const struct pack *p, struct buf *b, struct bytes plain);

/* *out borrows from packed or lies in a. ERR_FORMAT, ERR_TRUNCATED; ERR_LIMIT: more than max bytes; ERR_NOMEM. */
MUST_USE enum err pack_take(const struct pack *p, struct arena *a, struct bytes packed, size_t max, struct bytes *out);

#endif
