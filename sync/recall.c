/*
 * Owns: the writes of contested fields. Invariants: a field that stands here has all writes that were told, with every
 * byte of them; each has one place it may stand in; memory is bounded by places and bytes. Knows neither store nor log.
 */
#include "sync/recall.h"

#include "sync/writers.h"

#include <string.h>

enum { WRITES_FIRST = 8 };

static struct recall_field *place_of(const struct recall *p, const struct recall_place *of)
{
    return &p->fields[writers_hash(of->id, of->entity, of->field) % RECALL_PLACES];
}

static struct recall_field *find(const struct recall *p, const struct recall_place *of)
{
    if (p->fields == NULL) {
        return NULL;
    }
    struct recall_field *f = place_of(p, of);
    bool is_it = f->at != NULL && f->of.entity == of->entity && f->of.field == of->field &&
                 record_id_compare(f->of.id, of->id) == 0;
    return is_it ? f : NULL;
}

const struct recall_field *recall_find(const struct recall *p, const struct recall_place *of)
{
    return find(p, of);
}

static void drop(struct recall_field *f)
{
    if (f->at != NULL) {
        arena_release(&f->arena);
        f->at = NULL;
    }
}

static bool has_room(struct recall_field *f)
{
    if (f->count < f->room) {
        return true;
    }
    size_t room = f->room == 0 ? WRITES_FIRST : f->room * 2;
    struct field_write *grown = arena_array(&f->arena, room, sizeof(*grown));
    if (grown != NULL && f->count > 0) {
        memcpy(grown, f->at, f->count * sizeof(*grown));
    }
    f->at = grown == NULL ? f->at : grown;
    f->room = grown == NULL ? f->room : room;
    return grown != NULL;
}

static bool copy(struct arena *a, const struct field_write *from, struct field_write *to)
{
    struct vv *context = &to->context;
    *to = *from;
    *context = (struct vv){ .count = from->context.count, .capacity = from->context.count };
    if (context->count > 0) {
        context->at = arena_array(a, context->count, sizeof(*context->at));
        if (context->at == NULL) {
            return false;
        }
        memcpy(context->at, from->context.at, context->count * sizeof(*context->at));
    }
    return value_dup(a, from->value, &to->value) == ERR_OK && arena_dup(a, from->reason, &to->reason) == ERR_OK;
}

static bool add(struct recall_field *f, const struct field_write *write)
{
    if (!has_room(f) || !copy(&f->arena, write, &f->at[f->count])) {
        return false;
    }
    f->count++;
    return true;
}

void recall_keep(
    struct recall *p, struct mem *mem, const struct recall_place *of, const struct field_write *writes, size_t count)
{
    if (p->fields == NULL) {
        p->mem = mem;
        p->fields = mem_alloc(mem, RECALL_PLACES * sizeof(*p->fields));
    }
    if (p->fields == NULL) {
        return;
    }
    struct recall_field *f = place_of(p, of);
    drop(f);
    *f = (struct recall_field){ .of = *of };
    arena_init(&f->arena, p->mem, RECALL_FIELD_BYTES);
    bool is_whole = has_room(f);
    for (size_t i = 0; is_whole && i < count; i++) {
        is_whole = add(f, &writes[i]);
    }
    if (!is_whole) {
        drop(f);
    }
}

/* A commit that is applied again says the same again. */
static bool is_same(const struct field_write *x, const struct field_write *y)
{
    return x->is_decision == y->is_decision && value_equal(x->value, y->value);
}

void recall_note(struct recall *p, const struct recall_place *of, const struct field_write *write)
{
    struct recall_field *f = find(p, of);
    bool is_there = false;
    bool is_clear = f != NULL;
    for (size_t i = 0; is_clear && i < f->count; i++) {
        bool is_it = dot_equal(f->at[i].dot, write->dot);
        is_there = is_there || is_it;
        is_clear = !is_it || is_same(&f->at[i], write);
    }
    if (f != NULL && (!is_clear || (!is_there && !add(f, write)))) {
        drop(f);
    }
}

void recall_drop(struct recall *p, struct dossier_id dossier)
{
    for (size_t i = 0; p->fields != NULL && i < RECALL_PLACES; i++) {
        if (p->fields[i].at != NULL && dossier_id_compare(record_dossier(p->fields[i].of.id), dossier) == 0) {
            drop(&p->fields[i]);
        }
    }
}

void recall_free(struct recall *p)
{
    for (size_t i = 0; p->fields != NULL && i < RECALL_PLACES; i++) {
        drop(&p->fields[i]);
    }
    if (p->fields != NULL) {
        mem_free(p->mem, p->fields, RECALL_PLACES * sizeof(*p->fields));
    }
    *p = (struct recall){ .fields = NULL };
}
