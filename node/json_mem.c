/*
 * Owns: jansson's allocator and the reserve. Invariant: pieces of the reserve are only handed out between begin and
 * end; it starts anew when none is in use any more. Everything else is malloc.
 */
#include "node/json_mem.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

enum { RESERVE_BYTES = 128 << 10, REPLY_BYTES = 16 << 10, ALIGN = 16 };

static struct {
    _Alignas(ALIGN) uint8_t bytes[RESERVE_BYTES];
    size_t used;
    size_t pieces;
    size_t limit; /* 0: closed */
    bool is_short;
    bool is_set_up;
} reserve;

static void *take(size_t bytes)
{
    void *p = malloc(bytes);
    if (p != NULL || reserve.limit == 0) {
        return p;
    }
    if (reserve.used > reserve.limit || bytes > reserve.limit - reserve.used) {
        reserve.is_short = true;
        return NULL;
    }
    p = reserve.bytes + reserve.used;
    reserve.used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    reserve.used = reserve.used > RESERVE_BYTES ? RESERVE_BYTES : reserve.used;
    reserve.pieces++;
    return p;
}

static bool is_ours(const uint8_t *p)
{
    return (uintptr_t)p >= (uintptr_t)reserve.bytes && (uintptr_t)p < (uintptr_t)reserve.bytes + RESERVE_BYTES;
}

static void give(void *p)
{
    if (!is_ours(p)) {
        free(p);
        return;
    }
    if (--reserve.pieces == 0) {
        reserve.used = 0;
    }
}

void json_mem_begin(void)
{
    if (!reserve.is_set_up) {
        json_set_alloc_funcs(take, give);
        reserve.is_set_up = true;
    }
    reserve.is_short = false;
    reserve.limit = RESERVE_BYTES - REPLY_BYTES;
}

bool json_mem_is_short(void)
{
    return reserve.is_short;
}

void json_mem_reply(void)
{
    reserve.limit = RESERVE_BYTES;
}

void json_mem_end(void)
{
    reserve.limit = 0;
}

void json_mem_free(void *p)
{
    give(p);
}
