#ifndef JIPAN_READER_H
#define JIPAN_READER_H

#include "schema/base/bytes.h"
#include "schema/base/err.h"

/**
 * struct reader: bounded cursor over borrowed bytes for hand-written formats. Every function leaves the reader and the
 * out-parameter unchanged on failure. Errors: ERR_TRUNCATED too few bytes; ERR_FORMAT a varint that is not in its
 * shortest form or over 64 bits.
 */
struct reader {
    const uint8_t *ptr;
    size_t left;
};

static inline struct reader reader_of(struct bytes v)
{
    return (struct reader){ .ptr = v.ptr, .left = v.len };
}

MUST_USE enum err reader_u8(struct reader *r, uint8_t *out);
MUST_USE enum err reader_u32be(struct reader *r, uint32_t *out);
MUST_USE enum err reader_u64be(struct reader *r, uint64_t *out);
MUST_USE enum err reader_varint(struct reader *r, uint64_t *out);
MUST_USE enum err reader_varint_max(struct reader *r, uint64_t max, uint64_t *out); /* ERR_LIMIT over max */
MUST_USE enum err reader_zigzag(struct reader *r, int64_t *out);
MUST_USE enum err reader_take(struct reader *r, size_t len, struct bytes *out);
MUST_USE enum err reader_copy(struct reader *r, void *out, size_t len);
MUST_USE enum err reader_blob(struct reader *r, size_t max_len, struct bytes *out); /* ERR_LIMIT over max_len */

#endif
