/*
 * Owns: the lists of which commits wrote a contested field. Invariants: a list misses no commit that was noted since it
 * was begun, or it is gone; each is sorted and names a commit once; memory is bounded by places and commits. Knows
 * neither store nor log.
 */
#include "sync/writers.h"

#include <string.h>

enum { DOTS_FIRST = 16 };

static size_t place_of(const uint8_t key[WRITERS_KEY_BYTES])
{
    uint64_t h = 0;
    for (size_t i = 0; i < WRITERS_KEY_BYTES; i += 8) {
        uint64_t word = 0;
        memcpy(&word, key + i, 8);
        h = (h ^ word) * 0x9E3779B97F4A7C15U;
        h ^= h >> 32U;
    }
    return (size_t)(h % WRITERS_FIELDS);
}

static struct writers_of *find(const struct writers *w, const uint8_t key[WRITERS_KEY_BYTES])
{
    struct writers_of *of = w->fields == NULL ? NULL : &w->fields[place_of(key)];
    return of != NULL && of->room > 0 && memcmp(of->key, key, WRITERS_KEY_BYTES) == 0 ? of : NULL;
}

const struct writers_of *writers_find(const struct writers *w, const uint8_t key[WRITERS_KEY_BYTES])
{
    return find(w, key);
}

static void drop(struct writers *w, struct writers_of *of)
{
    mem_free(w->mem, of->at, of->room * sizeof(*of->at));
    *of = (struct writers_of){ .room = 0 };
}

static bool has_room(struct writers *w, struct writers_of *of)
{
    size_t room = of->room == 0 ? DOTS_FIRST : of->room * 2;
    if (of->count < of->room) {
        return true;
    }
    struct dot *grown = NULL;
    if (room <= WRITERS_DOTS_MAX) {
        grown = mem_resize(w->mem, of->at, of->room * sizeof(*of->at), room * sizeof(*of->at));
    }
    if (grown != NULL) {
        of->at = grown;
        of->room = room;
    }
    return grown != NULL;
}

void writers_note(struct writers *w, const uint8_t key[WRITERS_KEY_BYTES], struct dot dot)
{
    struct writers_of *of = find(w, key);
    if (of == NULL) {
        return;
    }
    size_t at = of->count;
    while (at > 0 && dot_compare(of->at[at - 1], dot) > 0) {
        at--;
    }
    if (at > 0 && dot_equal(of->at[at - 1], dot)) {
        return;
    }
    if (!has_room(w, of)) {
        drop(w, of);
        return;
    }
    memmove(of->at + at + 1, of->at + at, (of->count - at) * sizeof(*of->at));
    of->at[at] = dot;
    of->count++;
}

void writers_begin(struct writers *w, struct mem *mem, const uint8_t key[WRITERS_KEY_BYTES])
{
    if (w->fields == NULL) {
        w->mem = mem;
        w->fields = mem_alloc(mem, WRITERS_FIELDS * sizeof(*w->fields));
    }
    if (w->fields == NULL) {
        return;
    }
    struct writers_of *of = &w->fields[place_of(key)];
    drop(w, of);
    if (has_room(w, of)) {
        memcpy(of->key, key, WRITERS_KEY_BYTES);
    }
}

void writers_free(struct writers *w)
{
    for (size_t i = 0; w->fields != NULL && i < WRITERS_FIELDS; i++) {
        drop(w, &w->fields[i]);
    }
    if (w->fields != NULL) {
        mem_free(w->mem, w->fields, WRITERS_FIELDS * sizeof(*w->fields));
    }
    *w = (struct writers){ .fields = NULL };
}
