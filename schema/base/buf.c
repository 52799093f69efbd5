/*
 * Owns: growing of byte buffers. Invariant: len <= capacity and len <= max_bytes; the first failure sticks.
 */
#include "schema/base/buf.h"

#include "schema/base/check.h"

enum { BUF_FIRST_BYTES = 256 };

void buf_init(struct buf *b, struct mem *mem, size_t max_bytes)
{
    check(max_bytes > 0);
    *b = (struct buf){ .mem = mem, .max_bytes = max_bytes, .err = ERR_OK };
}

void buf_release(struct buf *b)
{
    if (b->mem != NULL) {
        mem_free(b->mem, b->ptr, b->capacity);
    }
    *b = (struct buf){ .mem = b->mem, .max_bytes = b->max_bytes, .err = ERR_OK };
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->err = ERR_OK;
}

static void grow(struct buf *b, size_t need)
{
    size_t capacity = b->capacity < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : b->capacity;
    while (capacity < need) {
        capacity = capacity > b->max_bytes / 2 ? b->max_bytes : capacity * 2;
    }
    uint8_t *p = mem_resize(b->mem, b->ptr, b->capacity, capacity);
    if (p == NULL) {
        b->err = ERR_NOMEM;
        return;
    }
    b->ptr = p;
    b->capacity = capacity;
}

static bool room(struct buf *b, size_t len)
{
    if (b->err != ERR_OK) {
        return false;
    }
    if (len > b->max_bytes - b->len) {
        b->err = ERR_LIMIT;
        return false;
    }
    if (len > b->capacity - b->len) {
        grow(b, b->len + len);
    }
    return b->err == ERR_OK;
}

void buf_put(struct buf *b, const void *ptr, size_t len)
{
    if (len > 0 && room(b, len)) {
        memcpy(b->ptr + b->len, ptr, len);
        b->len += len;
    }
}

void buf_put_bytes(struct buf *b, struct bytes v)
{
    buf_put(b, v.ptr, v.len);
}

void buf_put_str(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    buf_put(b, &v, 1);
}

void buf_put_u32be(struct buf *b, uint32_t v)
{
    const uint8_t w[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
    buf_put(b, w, sizeof(w));
}

void buf_put_u64be(struct buf *b, uint64_t v)
{
    buf_put_u32be(b, (uint32_t)(v >> 32));
    buf_put_u32be(b, (uint32_t)v);
}

void buf_put_varint(struct buf *b, uint64_t v)
{
    uint8_t w[10];
    size_t n = 0;
    while (v >= 0x80) {
        w[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    w[n++] = (uint8_t)v;
    buf_put(b, w, n);
}

void buf_put_zigzag(struct buf *b, int64_t v)
{
    uint64_t u = (uint64_t)v << 1;
    buf_put_varint(b, v < 0 ? ~u : u);
}

void buf_put_blob(struct buf *b, struct bytes v)
{
    buf_put_varint(b, v.len);
    buf_put_bytes(b, v);
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
    if (!room(b, len)) {
        return NULL;
    }
    uint8_t *p = b->ptr + b->len;
    memset(p, 0, len);
    b->len += len;
    return p;
}
