/*
 * Owns: the list of dossiers that have to leave this node (SPACE_LEAVING: dossier id -> nothing). Invariant: a dossier
 * is forgotten only while the rules say that this node may not hold it; what the list says is asked again at that time.
 */
#include "sync/leaving.h"

#include "sync/core_internal.h"
#include "sync/scope.h"

static bool is_for_us(const struct core *c, const struct dossier *d)
{
    const struct member_node *self = members_node(c->members, c->self.number);
    return self == NULL || scope_is_for(self, d->kind, d->station, marks_holder(d));
}

enum err leaving_note(struct core *c, const struct dossier *after)
{
    const struct store_ops *ops = c->store->ops;
    const struct bytes key = BYTES_OF(after->id.b);
    if (!is_for_us(c, after)) {
        c->leaving++;
        return ops->put(c->store, SPACE_LEAVING, key, (struct bytes){ 0 });
    }
    return c->leaving == 0 ? ERR_OK : ops->del(c->store, SPACE_LEAVING, key);
}

struct listing {
    const struct core *c;
    struct arena a;
    struct dossier_id *at;
    size_t count;
    size_t capacity;
    size_t max; /* 0: all */
};

static enum err list_id(struct listing *l, const uint8_t id[DOSSIER_ID_BYTES])
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? LEAVING_PER_STEP : l->capacity * 2;
        struct dossier_id *grown = arena_array(&l->a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (l->count > 0) {
            memcpy(grown, l->at, l->count * sizeof(*grown));
        }
        l->at = grown;
        l->capacity = capacity;
    }
    memcpy(l->at[l->count++].b, id, DOSSIER_ID_BYTES);
    return l->count == l->max ? ERR_BUSY : ERR_OK;
}

static enum err list_dossier(void *ctx, const struct dossier *d)
{
    struct listing *l = ctx;
    return is_for_us(l->c, d) ? ERR_OK : list_id(l, d->id.b);
}

static enum err list_key(void *ctx, struct bytes key, struct bytes value)
{
    (void)value;
    return key.len == DOSSIER_ID_BYTES ? list_id(ctx, key.ptr) : ERR_DAMAGED;
}

enum err leaving_note_all(struct core *c)
{
    struct listing l = { .c = c };
    arena_init(&l.a, c->mem, CORE_ARENA_BYTES);
    enum err e = c->store->ops->dossier_scan(c->store, NULL, list_dossier, &l);
    for (size_t i = 0; e == ERR_OK && i < l.count; i++) {
        e = c->store->ops->put(c->store, SPACE_LEAVING, BYTES_OF(l.at[i].b), (struct bytes){ 0 });
        c->leaving++;
    }
    arena_release(&l.a);
    return e;
}

/* *went: it is off the list, forgotten or because it may stay. */
static enum err run_one(
    struct core *c, struct arena *a, const struct member_node *holder, struct dossier_id id, bool *went)
{
    const struct store_ops *ops = c->store->ops;
    struct dossier d = { 0 };
    enum err e = ops->dossier_get(c->store, id, a, &d);
    *went = true;
    if (e == ERR_OK && !is_for_us(c, &d)) {
        /* Whose laptop it is does not matter here: the peer is a place where the customer is kept. */
        *went = scope_is_for(holder, d.kind, d.station, marks_holder(&d));
        e = *went ? core_forget(c, a, id) : ERR_OK;
    }
    e = e == ERR_NOT_FOUND ? ERR_OK : e;
    return e == ERR_OK && *went ? ops->del(c->store, SPACE_LEAVING, BYTES_OF(id.b)) : e;
}

enum err leaving_run(struct core *c, const struct member_node *holder, size_t *gone, bool *left)
{
    const struct bytes all = { 0 };
    struct listing l = { .c = c, .max = LEAVING_PER_STEP };
    struct arena work;
    *gone = 0;
    *left = false;
    if (c->leaving == 0) {
        return ERR_OK;
    }
    arena_init(&l.a, c->mem, CORE_ARENA_BYTES);
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    enum err e = c->store->ops->scan(c->store, SPACE_LEAVING, all, all, false, list_key, &l);
    *left = e == ERR_BUSY;
    e = e == ERR_BUSY ? ERR_OK : e;
    for (size_t i = 0; e == ERR_OK && i < l.count; i++) {
        bool went = false;
        arena_reset(&work);
        e = run_one(c, &work, holder, l.at[i], &went);
        *gone += went ? 1 : 0;
    }
    *left = *left && *gone > 0;
    if (e == ERR_OK && *gone == l.count && l.count < LEAVING_PER_STEP) {
        c->leaving = 0;
    }
    arena_release(&work);
    arena_release(&l.a);
    return e;
}

/* Groups that wait as a whole for a dossier; entries of one dossier are together. */
static enum err list_waiting(void *ctx, struct bytes key, struct bytes value)
{
    static const struct dossier_id whole_commits;
    struct listing *l = ctx;
    struct quarantine_place at;
    enum err e = quarantine_key_take(key, &at);
    if (e != ERR_OK || value.len == 0 || value.ptr[0] != ERR_GAP || at.part != QUARANTINE_WHOLE_GROUP ||
        dossier_id_compare(at.dossier, whole_commits) == 0 ||
        (l->count > 0 && dossier_id_compare(l->at[l->count - 1], at.dossier) == 0)) {
        return e;
    }
    return list_id(l, at.dossier.b);
}

enum err leaving_purge(struct core *c, size_t *gone, bool *left)
{
    const struct member_node *self = members_node(c->members, c->self.number);
    const struct bytes all = { 0 };
    struct listing l = { .c = c, .max = LEAVING_PER_STEP };
    struct arena work;
    *gone = 0;
    *left = false;
    if (self == NULL || self->kind != NODE_LAPTOP || c->pending == 0) {
        return ERR_OK;
    }
    arena_init(&l.a, c->mem, CORE_ARENA_BYTES);
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    enum err e = c->store->ops->scan(c->store, SPACE_QUARANTINE, all, all, false, list_waiting, &l);
    *left = e == ERR_BUSY;
    e = e == ERR_BUSY ? ERR_OK : e;
    for (size_t i = 0; e == ERR_OK && i < l.count; i++) {
        struct dossier d = { 0 };
        arena_reset(&work);
        e = c->store->ops->dossier_get(c->store, l.at[i], &work, &d);
        if (e == ERR_NOT_FOUND) {
            e = core_forget(c, &work, l.at[i]);
            (*gone)++;
        }
    }
    *left = *left && *gone > 0;
    arena_release(&work);
    arena_release(&l.a);
    return e;
}

static enum err count_key(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    (*(uint64_t *)ctx)++;
    return ERR_OK;
}

enum err leaving_count(struct core *c, uint64_t *out)
{
    const struct bytes all = { 0 };
    *out = 0;
    return c->store->ops->scan(c->store, SPACE_LEAVING, all, all, false, count_key, out);
}
