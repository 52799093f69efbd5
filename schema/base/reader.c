/*
 * Owns: reading of hostile bytes. Lengths are compared by subtraction on our side, never added on theirs; varints must
 * be in shortest form so that every value has exactly one encoding (signed bytes depend on it).
 */
#include "schema/base/reader.h"

enum err reader_take(struct reader *r, size_t len, struct bytes *out)
{
    if (len > r->left) {
        return ERR_TRUNCATED;
    }
    *out = bytes_of(r->ptr, len);
    if (len > 0) {
        r->ptr += len;
        r->left -= len;
    }
    return ERR_OK;
}

enum err reader_copy(struct reader *r, void *out, size_t len)
{
    struct bytes v = { 0 };
    enum err e = reader_take(r, len, &v);
    if (e == ERR_OK && len > 0) {
        memcpy(out, v.ptr, len);
    }
    return e;
}

enum err reader_u8(struct reader *r, uint8_t *out)
{
    return reader_copy(r, out, 1);
}

enum err reader_u32be(struct reader *r, uint32_t *out)
{
    uint8_t w[4];
    enum err e = reader_copy(r, w, sizeof(w));
    if (e == ERR_OK) {
        *out = (uint32_t)w[0] << 24 | (uint32_t)w[1] << 16 | (uint32_t)w[2] << 8 | w[3];
    }
    return e;
}

enum err reader_u64be(struct reader *r, uint64_t *out)
{
    struct reader probe = *r;
    uint32_t high = 0;
    uint32_t low = 0;
    enum err e = reader_u32be(&probe, &high);
    if (e == ERR_OK) {
        e = reader_u32be(&probe, &low);
    }
    if (e == ERR_OK) {
        *r = probe;
        *out = (uint64_t)high << 32 | low;
    }
    return e;
}

enum err reader_varint(struct reader *r, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 10; i++) {
        if (i >= r->left) {
            return ERR_TRUNCATED;
        }
        uint8_t b = r->ptr[i];
        if (i == 9 && b > 1) {
            return ERR_FORMAT;
        }
        v |= (uint64_t)(b & 0x7F) << (7 * i);
        if ((b & 0x80) == 0) {
            if (b == 0 && i > 0) {
                return ERR_FORMAT;
            }
            r->ptr += i + 1;
            r->left -= i + 1;
            *out = v;
            return ERR_OK;
        }
    }
    return ERR_FORMAT;
}

enum err reader_varint_max(struct reader *r, uint64_t max, uint64_t *out)
{
    struct reader probe = *r;
    uint64_t v = 0;
    enum err e = reader_varint(&probe, &v);
    if (e != ERR_OK) {
        return e;
    }
    if (v > max) {
        return ERR_LIMIT;
    }
    *r = probe;
    *out = v;
    return ERR_OK;
}

enum err reader_zigzag(struct reader *r, int64_t *out)
{
    uint64_t u = 0;
    enum err e = reader_varint(r, &u);
    if (e == ERR_OK) {
        *out = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
    }
    return e;
}

enum err reader_blob(struct reader *r, size_t max_len, struct bytes *out)
{
    struct reader probe = *r;
    uint64_t len = 0;
    enum err e = reader_varint_max(&probe, max_len, &len);
    if (e == ERR_OK) {
        e = reader_take(&probe, (size_t)len, out);
    }
    if (e == ERR_OK) {
        *r = probe;
    }
    return e;
}
