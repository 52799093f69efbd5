/*
 * Owns: the lists of which commits can have written the fields of a dossier. Invariants: a list misses no commit that
 * was noted since it was begun, or it is gone; each is sorted and names a commit once; memory is bounded by places and
 * commits. Knows neither store nor log.
 */
#include "sync/writers.h"

#include <string.h>

enum { DOTS_FIRST = 16 };

static uint64_t stir(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9E3779B97F4A7C15U;
    return h ^ h >> 32U;
}

static uint64_t stir_bytes(uint64_t h, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i += 4) {
        uint32_t word = 0;
        memcpy(&word, p + i, len - i < 4 ? len - i : 4);
        h = stir(h, word);
    }
    return h;
}

uint64_t writers_hash(struct record_id id, uint32_t entity, uint32_t field)
{
    return stir_bytes((uint64_t)entity << 32U | field, id.b, sizeof(id.b));
}

uint64_t writers_bit(struct record_id id, uint32_t entity, uint32_t field)
{
    return 1ULL << (writers_hash(id, entity, field) & 63U);
}

static size_t place_of(struct dossier_id dossier, enum class_ class_)
{
    return (size_t)(stir_bytes((uint64_t)class_ + 1, dossier.b, sizeof(dossier.b)) % WRITERS_PLACES);
}

static struct writers_of *find(const struct writers *w, struct dossier_id dossier, enum class_ class_)
{
    if (w->places == NULL) {
        return NULL;
    }
    struct writers_of *of = &w->places[place_of(dossier, class_)];
    bool is_it = of->room > 0 && of->class_ == class_ && dossier_id_compare(of->dossier, dossier) == 0;
    return is_it ? of : NULL;
}

const struct writers_of *writers_find(const struct writers *w, struct dossier_id dossier, enum class_ class_)
{
    return find(w, dossier, class_);
}

static void drop(struct writers *w, struct writers_of *of)
{
    mem_free(w->mem, of->at, of->room * sizeof(*of->at));
    *of = (struct writers_of){ .room = 0 };
}

void writers_drop(struct writers *w, struct dossier_id dossier, enum class_ class_)
{
    struct writers_of *of = find(w, dossier, class_);
    if (of != NULL) {
        drop(w, of);
    }
}

static bool has_room(struct writers *w, struct writers_of *of)
{
    size_t room = of->room == 0 ? DOTS_FIRST : of->room * 2;
    if (of->count < of->room) {
        return true;
    }
    struct writer *grown = NULL;
    if (room <= WRITERS_DOTS_MAX) {
        grown = mem_resize(w->mem, of->at, of->room * sizeof(*of->at), room * sizeof(*of->at));
    }
    if (grown != NULL) {
        of->at = grown;
        of->room = room;
    }
    return grown != NULL;
}

void writers_note(struct writers *w, struct dossier_id dossier, enum class_ class_, struct dot dot, uint64_t fields)
{
    struct writers_of *of = find(w, dossier, class_);
    if (of == NULL) {
        return;
    }
    size_t at = of->count;
    while (at > 0 && dot_compare(of->at[at - 1].dot, dot) > 0) {
        at--;
    }
    if (at > 0 && dot_equal(of->at[at - 1].dot, dot)) {
        of->at[at - 1].fields |= fields;
        return;
    }
    if (!has_room(w, of)) {
        drop(w, of);
        return;
    }
    memmove(of->at + at + 1, of->at + at, (of->count - at) * sizeof(*of->at));
    of->at[at] = (struct writer){ .dot = dot, .fields = fields };
    of->count++;
}

void writers_begin(struct writers *w, struct mem *mem, struct dossier_id dossier, enum class_ class_)
{
    if (w->places == NULL) {
        w->mem = mem;
        w->places = mem_alloc(mem, WRITERS_PLACES * sizeof(*w->places));
    }
    if (w->places == NULL) {
        return;
    }
    struct writers_of *of = &w->places[place_of(dossier, class_)];
    drop(w, of);
    if (has_room(w, of)) {
        of->dossier = dossier;
        of->class_ = class_;
    }
}

void writers_free(struct writers *w)
{
    for (size_t i = 0; w->places != NULL && i < WRITERS_PLACES; i++) {
        drop(w, &w->places[i]);
    }
    if (w->places != NULL) {
        mem_free(w->mem, w->places, WRITERS_PLACES * sizeof(*w->places));
    }
    *w = (struct writers){ .places = NULL };
}
