/*
 * Owns: the memory of SQLite in the simulator, and what malloc does with its own. Invariants: before a piece stands one
 * unit that tells its size class; what was given back waits in the list of its class. One thread. Makes nothing fail.
 */
#include "tests/sim/memory.h"

#include "schema/base/check.h"

#include <malloc.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define __SANITIZE_ADDRESS__ 1
#    endif
#endif

#ifdef __SANITIZE_ADDRESS__

void memory_init(void)
{
}

#else

/* Sizes count in units, the one before the piece included: 1 to 7, then four sizes per doubling. */
enum { UNIT = 16, CLASSES = 56, CHUNK = 1 << 20, LARGEST = 1 << 18 };

struct piece {
    uint32_t class_; /* CLASSES: it is malloc's */
    struct piece *next; /* while it waits */
};
_Static_assert(sizeof(struct piece) == UNIT, "one unit stands before each piece");

static struct piece *waiting[CLASSES];
static uint8_t *chunk;
static size_t chunk_left;

static size_t units_of(uint32_t class_)
{
    return class_ < 8 ? class_ : (size_t)(4 + class_ % 4) << (class_ / 4 - 1);
}

static uint32_t class_of(size_t units)
{
    if (units < 8) {
        return (uint32_t)units;
    }
    uint32_t high = 63U - (uint32_t)__builtin_clzll(units);
    uint32_t class_ = 8 + (high - 3) * 4 + (uint32_t)(units >> (high - 2) & 3U);
    return units_of(class_) < units ? class_ + 1 : class_;
}

static struct piece *piece_of(void *ptr)
{
    return (struct piece *)ptr - 1;
}

static size_t room_of(struct piece *p)
{
    return (p->class_ == CLASSES ? malloc_usable_size(p) : units_of(p->class_) * UNIT) - sizeof(*p);
}

static void *piece_new(size_t bytes)
{
    struct piece *p = NULL;
    uint32_t class_ = bytes > LARGEST ? CLASSES : class_of((bytes + sizeof(*p) + UNIT - 1) / UNIT);
    if (class_ == CLASSES) {
        p = malloc(bytes + sizeof(*p));
        check(p != NULL);
    } else if (waiting[class_] != NULL) {
        p = waiting[class_];
        waiting[class_] = p->next;
    } else {
        size_t need = units_of(class_) * UNIT;
        if (need > chunk_left) {
            chunk = malloc(CHUNK); /* the rest of the one before stays unused */
            check(chunk != NULL);
            chunk_left = CHUNK;
        }
        p = (struct piece *)(void *)chunk;
        chunk += need;
        chunk_left -= need;
    }
    p->class_ = class_;
    return p + 1;
}

static void piece_drop(void *ptr)
{
    struct piece *p = piece_of(ptr);
    if (p->class_ == CLASSES) {
        free(p);
        return;
    }
    p->next = waiting[p->class_];
    waiting[p->class_] = p;
}

static void *piece_resize(void *ptr, size_t bytes)
{
    size_t room = room_of(piece_of(ptr));
    if (bytes <= room && bytes > room / 4) {
        return ptr;
    }
    void *fresh = piece_new(bytes);
    memcpy(fresh, ptr, bytes < room ? bytes : room);
    piece_drop(ptr);
    return fresh;
}

static void *lite_malloc(int bytes)
{
    return piece_new((size_t)bytes);
}

static void lite_free(void *ptr)
{
    piece_drop(ptr);
}

static void *lite_realloc(void *ptr, int bytes)
{
    return piece_resize(ptr, (size_t)bytes);
}

static int lite_size(void *ptr)
{
    return ptr == NULL ? 0 : (int)room_of(piece_of(ptr));
}

static int lite_roundup(int bytes)
{
    return (bytes + 7) & ~7;
}

static int lite_init(void *ctx)
{
    (void)ctx;
    return SQLITE_OK;
}

static void lite_shutdown(void *ctx)
{
    (void)ctx;
}

void memory_init(void)
{
    static const sqlite3_mem_methods methods = { .xMalloc = lite_malloc,
        .xFree = lite_free,
        .xRealloc = lite_realloc,
        .xSize = lite_size,
        .xRoundup = lite_roundup,
        .xInit = lite_init,
        .xShutdown = lite_shutdown };
    check(sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) == SQLITE_OK);
    check(sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK);
    check(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK);
    /* What malloc has once taken from the system it keeps. */
    check(mallopt(M_MMAP_THRESHOLD, 1 << 30) == 1 && mallopt(M_TRIM_THRESHOLD, 1 << 30) == 1);
    check(mallopt(M_TOP_PAD, 16 << 20) == 1);
}

#endif
