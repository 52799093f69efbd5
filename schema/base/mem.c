/*
 * Owns: budgeted allocation and arenas. Invariant: used_bytes never exceeds max_bytes; a failed allocation changes
 * nothing. Arena memory is zeroed when it is handed out, not before, so a large block costs only what is used of it.
 * Does not touch malloc: node/ and tests hand the functions in.
 */
#include "schema/base/mem.h"

#include "schema/base/check.h"

#include <string.h>

/* Blocks double: a large request takes few of them, a small one stays small. */
enum { ARENA_BLOCK_BYTES = 16384, ARENA_BLOCK_MAX_BYTES = 1 << 20, ARENA_ALIGN = 16, LIST_FIRST = 16 };

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    size_t used;
    size_t pad; /* keeps data[] 16-byte aligned */
    uint8_t data[];
};

/* mem_resize without zeroing what is new. */
static void *resize_raw(struct mem *mem, void *ptr, size_t old_bytes, size_t new_bytes)
{
    check(new_bytes > 0);
    check(mem->used_bytes >= old_bytes);
    if (new_bytes > old_bytes && new_bytes - old_bytes > mem->max_bytes - mem->used_bytes) {
        return NULL;
    }
    void *grown = mem->resize(mem->ctx, ptr, old_bytes, new_bytes);
    if (grown != NULL) {
        mem->used_bytes = mem->used_bytes - old_bytes + new_bytes;
    }
    return grown;
}

void *mem_resize(struct mem *mem, void *ptr, size_t old_bytes, size_t new_bytes)
{
    uint8_t *grown = resize_raw(mem, ptr, old_bytes, new_bytes);
    if (grown != NULL && new_bytes > old_bytes) {
        memset(grown + old_bytes, 0, new_bytes - old_bytes);
    }
    return grown;
}

void *mem_alloc(struct mem *mem, size_t bytes)
{
    return mem_resize(mem, NULL, 0, bytes);
}

void mem_free(struct mem *mem, void *ptr, size_t bytes)
{
    if (ptr == NULL) {
        return;
    }
    check(mem->used_bytes >= bytes);
    mem->used_bytes -= bytes;
    (void)mem->resize(mem->ctx, ptr, bytes, 0);
}

bool mem_room(struct mem *mem, void *list_at, size_t *capacity, size_t count, size_t each)
{
    void *at = NULL;
    check(count <= *capacity);
    if (count < *capacity) {
        return true;
    }
    size_t more = *capacity == 0 ? LIST_FIRST : *capacity * 2;
    memcpy(&at, list_at, sizeof(at)); /* whatever it points to */
    at = mem_resize(mem, at, *capacity * each, more * each);
    if (at == NULL) {
        return false;
    }
    memcpy(list_at, &at, sizeof(at));
    *capacity = more;
    return true;
}

void arena_init(struct arena *a, struct mem *mem, size_t max_bytes)
{
    *a = (struct arena){ .mem = mem, .max_bytes = max_bytes };
}

static void block_free(struct arena *a, struct arena_block *b)
{
    mem_free(a->mem, b, sizeof(*b) + b->capacity);
}

/* The newest block is the largest of the ordinary ones; one made for a single huge allocation is not kept. */
void arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL;
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;
        if (a->blocks->capacity <= ARENA_BLOCK_MAX_BYTES && (keep == NULL || keep->capacity < a->blocks->capacity)) {
            if (keep != NULL) {
                block_free(a, keep);
            }
            keep = a->blocks;
            keep->next = NULL;
            keep->used = 0;
        } else {
            block_free(a, a->blocks);
        }
        a->blocks = next;
    }
    a->blocks = keep;
    a->used_bytes = 0;
}

void arena_release(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;
        block_free(a, a->blocks);
        a->blocks = next;
    }
    a->used_bytes = 0;
}

static struct arena_block *block_new(struct arena *a, size_t need)
{
    size_t capacity = a->blocks == NULL ? ARENA_BLOCK_BYTES : a->blocks->capacity * 2;
    capacity = capacity > ARENA_BLOCK_MAX_BYTES ? ARENA_BLOCK_MAX_BYTES : capacity;
    capacity = capacity < need ? need : capacity;
    struct arena_block *b = resize_raw(a->mem, NULL, 0, sizeof(*b) + capacity);
    if (b != NULL) {
        *b = (struct arena_block){ .next = a->blocks, .capacity = capacity };
        a->blocks = b;
    }
    return b;
}

/* Not zeroed. */
static void *arena_raw(struct arena *a, size_t bytes)
{
    if (bytes > a->max_bytes - a->used_bytes) {
        return NULL;
    }
    size_t need = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *b = a->blocks;
    if (b == NULL || need > b->capacity - b->used) {
        b = block_new(a, need);
        if (b == NULL) {
            return NULL;
        }
    }
    void *p = b->data + b->used;
    b->used += need;
    a->used_bytes += bytes;
    return p;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    void *p = arena_raw(a, bytes);
    if (p != NULL) {
        memset(p, 0, bytes);
    }
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t each)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, each, &bytes)) {
        return NULL;
    }
    return arena_alloc(a, bytes);
}

enum err arena_dup(struct arena *a, struct bytes src, struct bytes *out)
{
    uint8_t *p = arena_raw(a, src.len);
    if (p == NULL) {
        return ERR_NOMEM;
    }
    if (src.len > 0) {
        memcpy(p, src.ptr, src.len);
    }
    *out = bytes_of(p, src.len);
    return ERR_OK;
}

char *arena_cstr(struct arena *a, struct bytes src)
{
    char *p = arena_alloc(a, src.len + 1);
    if (p != NULL && src.len > 0) {
        memcpy(p, src.ptr, src.len);
    }
    return p;
}
