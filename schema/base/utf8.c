/*
 * Owns: decoding and encoding of UTF-8. Pure, strict, table-free.
 */
#include "schema/base/utf8.h"

#include "schema/base/check.h"

/* Length of the sequence a lead byte announces, its payload bits and the smallest code point it may carry. */
static size_t lead(uint8_t b, uint32_t *bits, uint32_t *min)
{
    if (b < 0x80) {
        *bits = b;
        *min = 1;
        return 1;
    }
    if (b >= 0xC2 && b <= 0xDF) {
        *bits = b & 0x1FU;
        *min = 0x80;
        return 2;
    }
    if (b >= 0xE0 && b <= 0xEF) {
        *bits = b & 0x0FU;
        *min = 0x800;
        return 3;
    }
    if (b >= 0xF0 && b <= 0xF4) {
        *bits = b & 0x07U;
        *min = 0x10000;
        return 4;
    }
    return 0;
}

bool utf8_next(struct bytes *text, uint32_t *out)
{
    if (text->len == 0) {
        return false;
    }
    if (text->ptr[0] < 0x80 && text->ptr[0] > 0) {
        *out = text->ptr[0];
        text->ptr++;
        text->len--;
        return true;
    }
    uint32_t cp = 0;
    uint32_t min = 0;
    size_t n = lead(text->ptr[0], &cp, &min);
    if (n == 0 || n > text->len) {
        return false;
    }
    for (size_t i = 1; i < n; i++) {
        if ((text->ptr[i] & 0xC0) != 0x80) {
            return false;
        }
        cp = cp << 6 | (text->ptr[i] & 0x3FU);
    }
    if (cp < min || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) {
        return false;
    }
    text->ptr += n;
    text->len -= n;
    *out = cp;
    return true;
}

/* Text that needs no second look: ASCII, and three-byte sequences whose lead leaves nothing to forbid. */
static struct bytes without_common(struct bytes text)
{
    const uint8_t *p = text.ptr;
    const uint8_t *end = text.ptr + text.len;
    while (p < end) {
        if (*p < 0x80 && *p > 0) {
            p++;
        } else if (*p > 0xE0 && *p < 0xF0 && *p != 0xED && end - p >= 3 && (p[1] & 0xC0) == 0x80 &&
                   (p[2] & 0xC0) == 0x80) {
            p += 3;
        } else {
            break;
        }
    }
    return bytes_of(p, (size_t)(end - p));
}

bool utf8_is_valid(struct bytes text)
{
    uint32_t cp = 0;
    text = text.len == 0 ? text : without_common(text);
    while (utf8_next(&text, &cp)) {
    }
    return text.len == 0;
}

size_t utf8_count(struct bytes text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += (text.ptr[i] & 0xC0) != 0x80 ? 1 : 0;
    }
    return n;
}

size_t utf8_put(uint32_t cp, uint8_t out[4])
{
    check(cp <= 0x10FFFF);
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (uint8_t)(0xC0 | cp >> 6);
        out[1] = (uint8_t)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (uint8_t)(0xE0 | cp >> 12);
        out[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | cp >> 18);
    out[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (cp & 0x3F));
    return 4;
}
