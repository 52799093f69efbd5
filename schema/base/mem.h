#ifndef JIPAN_MEM_H
#define JIPAN_MEM_H

#include "schema/base/attrs.h"
#include "schema/base/bytes.h"
#include "schema/base/err.h"

/**
 * struct mem: an allocator handle with a budget, handed in from node/ or a test. Nothing below node/ calls malloc.
 * resize(ctx, NULL, 0, n) allocates, (ctx, p, old, 0) frees, otherwise reallocates; returns NULL on failure or free.
 * Tests hand in one that fails the k-th call.
 */
struct mem {
    void *(*resize)(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes);
    void *ctx;
    size_t used_bytes;
    size_t max_bytes;
};

/* Zeroed memory or NULL when over budget or out of memory. Free with the same size. */
MUST_USE void *mem_alloc(struct mem *mem, size_t bytes);
MUST_USE void *mem_resize(struct mem *mem, void *ptr, size_t old_bytes, size_t new_bytes);
void mem_free(struct mem *mem, void *ptr, size_t bytes); /* ptr may be NULL */

/* Room for one more element behind `count` in a list whose pointer stands at list_at (a struct x **): a full one
 * doubles. False: no memory, and nothing has changed. Free list and capacity with mem_free. */
MUST_USE bool mem_room(struct mem *mem, void *list_at, size_t *capacity, size_t count, size_t each);

/**
 * struct arena: bump allocation for one message or one request; everything goes at once. Allocations are zeroed and
 * 16-byte aligned. max_bytes bounds what a hostile message can cost.
 */
struct arena_block;
struct arena {
    struct mem *mem;
    struct arena_block *blocks;
    size_t used_bytes; /* handed out since the last reset */
    size_t max_bytes;
};

void arena_init(struct arena *a, struct mem *mem, size_t max_bytes);
void arena_reset(struct arena *a); /* keeps one block for reuse */
void arena_release(struct arena *a);
MUST_USE void *arena_alloc(struct arena *a, size_t bytes); /* NULL when over budget */
MUST_USE void *arena_array(struct arena *a, size_t count, size_t each); /* checks the product */
MUST_USE enum err arena_dup(struct arena *a, struct bytes src, struct bytes *out); /* ERR_NOMEM */
MUST_USE char *arena_cstr(struct arena *a, struct bytes src); /* NUL-terminated copy or NULL */

#endif
