#ifndef JIPAN_BYTES_H
#define JIPAN_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed view of bytes. Never owns; ptr may be NULL only when len is 0. */
struct bytes {
    const uint8_t *ptr;
    size_t len;
};

#define BYTES_LIT(s) ((struct bytes){ .ptr = (const uint8_t *)("" s), .len = sizeof(s) - 1 })
#define BYTES_OF(a)  ((struct bytes){ .ptr = (a), .len = sizeof(a) })

static inline struct bytes bytes_of(const void *ptr, size_t len)
{
    return (struct bytes){ .ptr = (const uint8_t *)ptr, .len = len };
}

static inline struct bytes bytes_str(const char *text)
{
    return bytes_of(text, strlen(text));
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Total order: byte order, then length. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    if (c != 0) {
        return c;
    }
    return (a.len > b.len) - (a.len < b.len);
}

#endif
