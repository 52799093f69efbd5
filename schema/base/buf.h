#ifndef JIPAN_BUF_H
#define JIPAN_BUF_H

#include "schema/base/mem.h"

/**
 * struct buf: owned growable bytes with a mandatory maximum and a sticky error: encoders read top to bottom and
 * check b->err once at the end. After an error every put is a no-op and the content is unspecified.
 */
struct buf {
    struct mem *mem;
    uint8_t *ptr;
    size_t len;
    size_t capacity;
    size_t max_bytes;
    enum err err; /* ERR_OK, ERR_LIMIT or ERR_NOMEM */
};

void buf_init(struct buf *b, struct mem *mem, size_t max_bytes);
void buf_release(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory, forgets the error */

/* Borrow: valid until the next call that changes b. */
static inline struct bytes buf_view(const struct buf *b)
{
    return bytes_of(b->ptr, b->len);
}

void buf_put(struct buf *b, const void *ptr, size_t len);
void buf_put_bytes(struct buf *b, struct bytes v);
void buf_put_str(struct buf *b, const char *text);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u32be(struct buf *b, uint32_t v);
void buf_put_u64be(struct buf *b, uint64_t v);
void buf_put_varint(struct buf *b, uint64_t v); /* LEB128, shortest form, 1 to 10 bytes */
void buf_put_zigzag(struct buf *b, int64_t v); /* varint of the zigzag form */
void buf_put_blob(struct buf *b, struct bytes v); /* varint length, then the bytes */
uint8_t *buf_reserve(struct buf *b, size_t len); /* appends len zero bytes; NULL after an error */

#endif
