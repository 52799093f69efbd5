/*
 * Owns: the list of parts that stand in the log but are not applied, and trying them again. Invariants: a part is
 * either applied or listed here, never both; c->pending is the number of entries. Key: dossier, dot, group (u32 be),
 * part; so that what waits for one dossier is together. Value: error number, clock of the commit.
 */
#include "sync/core_internal.h"

#include "schema/base/check.h"

void quarantine_key(const struct quarantine_place *at, uint8_t out[PLACE_KEY_BYTES])
{
    uint8_t *p = out;
    memcpy(p, at->dossier.b, DOSSIER_ID_BYTES);
    p += DOSSIER_ID_BYTES;
    dot_key(at->dot, p);
    p += DOT_KEY_BYTES;
    for (size_t i = 0; i < 4; i++) {
        p[i] = (uint8_t)(at->group >> (8 * (3 - i)));
    }
    p[4] = at->part;
}

enum err quarantine_key_take(struct bytes key, struct quarantine_place *out)
{
    struct reader r = reader_of(key);
    struct bytes dot = { 0 };
    if (reader_copy(&r, out->dossier.b, DOSSIER_ID_BYTES) != ERR_OK || reader_take(&r, DOT_KEY_BYTES, &dot) != ERR_OK ||
        dot_from_key(dot, &out->dot) != ERR_OK || reader_u32be(&r, &out->group) != ERR_OK ||
        reader_u8(&r, &out->part) != ERR_OK || r.left != 0) {
        return ERR_DAMAGED;
    }
    return ERR_OK;
}

enum err quarantine_why(struct core *c, struct arena *a, const struct quarantine_place *at, enum err *out)
{
    uint8_t key[PLACE_KEY_BYTES];
    struct bytes value = { 0 };
    *out = ERR_OK;
    if (c->pending == 0) {
        return ERR_OK;
    }
    quarantine_key(at, key);
    enum err e = c->store->ops->get(c->store, SPACE_QUARANTINE, BYTES_OF(key), a, &value);
    if (e == ERR_OK && (value.len == 0 || value.ptr[0] == ERR_OK)) {
        return ERR_DAMAGED;
    }
    *out = e == ERR_OK ? (enum err)value.ptr[0] : ERR_OK;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err quarantine_has(struct core *c, struct arena *a, const struct quarantine_place *at, bool *out)
{
    enum err why = ERR_OK;
    enum err e = quarantine_why(c, a, at, &why);
    *out = why != ERR_OK;
    return e;
}

enum err quarantine_put(struct core *c, struct arena *a, const struct quarantine_place *at, enum err why, uint64_t hlc)
{
    uint8_t key[PLACE_KEY_BYTES];
    uint8_t value[9] = { (uint8_t)why };
    bool is_there = false;
    quarantine_key(at, key);
    for (size_t i = 0; i < 8; i++) {
        value[1 + i] = (uint8_t)(hlc >> (8 * (7 - i)));
    }
    enum err e = quarantine_has(c, a, at, &is_there);
    if (e == ERR_OK) {
        e = c->store->ops->put(c->store, SPACE_QUARANTINE, BYTES_OF(key), BYTES_OF(value));
    }
    if (e == ERR_OK && !is_there) {
        c->pending++;
    }
    recall_drop(&c->recall, at->dossier); /* what is listed does not count, also when it did before */
    return e;
}

static enum err remove_key(struct core *c, struct bytes key)
{
    enum err e = c->store->ops->del(c->store, SPACE_QUARANTINE, key);
    c->pending -= e == ERR_OK && c->pending > 0 ? 1 : 0;
    return e;
}

enum err quarantine_remove(struct core *c, struct arena *a, const struct quarantine_place *at)
{
    uint8_t key[PLACE_KEY_BYTES];
    bool is_there = false;
    enum err e = quarantine_has(c, a, at, &is_there);
    quarantine_key(at, key);
    return e == ERR_OK && is_there ? remove_key(c, BYTES_OF(key)) : e;
}

/* Keys of the entries with one reason (ERR_OK: any). */
struct listing {
    struct arena *a;
    enum err why;
    struct bytes *keys;
    size_t count;
    size_t capacity;
};

static enum err list_key(void *ctx, struct bytes key, struct bytes value)
{
    struct listing *l = ctx;
    if (value.len == 0 || (l->why != ERR_OK && value.ptr[0] != (uint8_t)l->why)) {
        return ERR_OK;
    }
    if (l->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? 16 : l->capacity * 2;
        struct bytes *grown = arena_array(l->a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (l->count > 0) {
            memcpy(grown, l->keys, l->count * sizeof(*grown));
        }
        l->keys = grown;
        l->capacity = capacity;
    }
    enum err e = arena_dup(l->a, key, &l->keys[l->count]);
    l->count += e == ERR_OK ? 1 : 0;
    return e;
}

static enum err list_prefix(struct core *c, struct bytes prefix, struct listing *l)
{
    uint8_t to[PLACE_KEY_BYTES];
    size_t i = prefix.len;
    check(prefix.len <= sizeof(to));
    if (prefix.len > 0) {
        memcpy(to, prefix.ptr, prefix.len);
    }
    while (i > 0 && ++to[i - 1] == 0) {
        i--;
    }
    const struct bytes end = i == 0 ? (struct bytes){ 0 } : bytes_of(to, prefix.len);
    return c->store->ops->scan(c->store, SPACE_QUARANTINE, prefix, end, false, list_key, l);
}

static enum err list_of(struct core *c, const struct dossier_id *dossier, struct listing *l)
{
    return list_prefix(c, dossier == NULL ? (struct bytes){ 0 } : BYTES_OF(dossier->b), l);
}

/* One group, from the log; the parts that still cannot be applied come back here. */
static enum err retry_group(struct core *c, struct arena *a, const struct quarantine_place *at)
{
    uint8_t key[DOT_KEY_BYTES];
    struct bytes bytes = { 0 };
    struct commit_view v;
    struct group_item g;
    dot_key(at->dot, key);
    enum err e = c->store->ops->get(c->store, SPACE_LOG, BYTES_OF(key), a, &bytes);
    if (e == ERR_OK) {
        e = commit_parse(bytes, &v);
    }
    if (e != ERR_OK) {
        return err_of_stored(e);
    }
    struct body_cursor cursor = commit_groups(&v);
    while ((e = commit_next_group(&cursor, &g)) == ERR_OK) {
        if (!g.is_withheld && g.index == at->group) {
            return core_ingest_group(c, a, &v, &g, NULL, NULL);
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Groups first, as their entries are listed part by part: all entries of a group go, then the group is tried once. What
 * was cut off is not among them: a revocation makes this list anew. */
static enum err retry_all(struct core *c, struct arena *a, const struct listing *l)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < l->count;) {
        struct quarantine_place at;
        size_t end = i;
        while (e == ERR_OK && end < l->count && memcmp(l->keys[i].ptr, l->keys[end].ptr, PLACE_KEY_BYTES - 1) == 0) {
            e = remove_key(c, l->keys[end++]);
        }
        if (e == ERR_OK) {
            e = quarantine_key_take(l->keys[i], &at);
        }
        arena_reset(a);
        if (e == ERR_OK) {
            e = retry_group(c, a, &at);
        }
        i = end;
    }
    return e;
}

enum err quarantine_retry(struct core *c, const struct dossier_id *dossier)
{
    struct arena list;
    struct arena work;
    if (c->pending == 0) {
        return ERR_OK;
    }
    arena_init(&list, c->mem, CORE_ARENA_BYTES);
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    struct listing l = { .a = &list, .why = dossier == NULL ? ERR_NO_KEY : ERR_GAP };
    enum err e = list_of(c, dossier, &l);
    if (e == ERR_OK) {
        e = retry_all(c, &work, &l);
    }
    arena_release(&work);
    arena_release(&list);
    return e;
}

enum err quarantine_again(struct core *c, struct arena *a, const struct quarantine_place *at)
{
    bool was_there = false;
    enum err e = quarantine_has(c, a, at, &was_there);
    if (e == ERR_OK) {
        e = quarantine_remove(c, a, at);
    }
    return e == ERR_OK && was_there ? retry_group(c, a, at) : e;
}

static enum err drop_all(struct core *c, const struct dossier_id *dossier)
{
    struct arena list;
    arena_init(&list, c->mem, CORE_ARENA_BYTES);
    struct listing l = { .a = &list, .why = ERR_OK };
    enum err e = list_of(c, dossier, &l);
    for (size_t i = 0; e == ERR_OK && i < l.count; i++) {
        e = remove_key(c, l.keys[i]);
    }
    arena_release(&list);
    return e;
}

enum err quarantine_clear(struct core *c)
{
    enum err e = drop_all(c, NULL);
    return e == ERR_OK ? waiting_clear(c) : e;
}

enum err quarantine_drop(struct core *c, struct dossier_id dossier)
{
    enum err e = c->pending > 0 ? drop_all(c, &dossier) : ERR_OK;
    return e == ERR_OK ? waiting_drop(c, dossier) : e;
}

enum err quarantine_dots(struct core *c, struct dossier_id dossier, struct dots *out)
{
    struct arena list;
    arena_init(&list, c->mem, CORE_ARENA_BYTES);
    struct listing l = { .a = &list, .why = ERR_OK };
    enum err e = c->pending > 0 ? list_of(c, &dossier, &l) : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < l.count; i++) {
        struct quarantine_place at;
        e = quarantine_key_take(l.keys[i], &at);
        if (e == ERR_OK) {
            e = core_collect_dot(out, at.dot);
        }
    }
    arena_release(&list);
    return e;
}
