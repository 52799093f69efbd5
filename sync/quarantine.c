/*
 * Owns: the list of parts that stand in the log but are not applied, and trying them again. Invariants: a part is
 * either applied or listed here, never both; c->pending is the number of entries. Key: dossier, dot, group (u32 be),
 * part; so that what waits for one dossier is together. Value: error number, clock of the commit, bytes in the log (u32
 * be; none in stores of before), which are summed up for each node: whoever writes what nobody here can read does not
 * fill the disk with it.
 */
#include "sync/core_internal.h"

#include "schema/base/check.h"

enum { VALUE_AT_BYTES = 1 + 8, VALUE_BYTES = VALUE_AT_BYTES + 4 };
enum { ENTRY_COST_BYTES = 256 }; /* header and signature of a commit, lines of the store */

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

/* --- bytes of each node ------------------------------------------------------------------------------------------- */

static uint64_t unread_of(const struct core *c, uint32_t node)
{
    for (size_t i = 0; i < c->unread.count; i++) {
        if (c->unread.at[i].node == node) {
            return c->unread.at[i].bytes;
        }
    }
    return 0;
}

static uint64_t unread_max(const struct core *c)
{
    return c->unread.max == 0 ? CORE_UNREAD_MAX_BYTES : c->unread.max;
}

bool core_unread_is_full(const struct core *c, uint32_t node)
{
    return node != c->self.number && unread_of(c, node) >= unread_max(c);
}

bool core_unread_has_room(const struct core *c, uint32_t node)
{
    return unread_of(c, node) < unread_max(c) / 2;
}

static enum err add_unread(struct core *c, uint32_t node, uint64_t bytes)
{
    struct unreads *u = &c->unread;
    for (size_t i = 0; i < u->count; i++) {
        if (u->at[i].node == node) {
            u->at[i].bytes += bytes;
            return ERR_OK;
        }
    }
    if (!mem_room(c->mem, &u->at, &u->capacity, u->count, sizeof(*u->at))) {
        return ERR_NOMEM;
    }
    u->at[u->count++] = (struct unread){ .node = node, .bytes = bytes };
    return ERR_OK;
}

static void take_unread(struct core *c, uint32_t node, uint64_t bytes)
{
    for (size_t i = 0; i < c->unread.count; i++) {
        struct unread *u = &c->unread.at[i];
        if (u->node == node) {
            u->bytes -= u->bytes < bytes ? u->bytes : bytes;
        }
    }
}

static uint64_t bytes_in(struct bytes value)
{
    uint64_t bytes = 0;
    for (size_t i = VALUE_AT_BYTES; i < VALUE_BYTES && value.len == VALUE_BYTES; i++) {
        bytes = bytes << 8 | value.ptr[i];
    }
    return bytes;
}

static enum err count_entry(void *ctx, struct bytes key, struct bytes value)
{
    struct core *c = ctx;
    struct quarantine_place at;
    enum err e = quarantine_key_take(key, &at);
    c->pending++;
    return e == ERR_OK && bytes_in(value) > 0 ? add_unread(c, at.dot.node, bytes_in(value)) : e;
}

enum err quarantine_count(struct core *c)
{
    const struct bytes all = { 0 };
    c->pending = 0;
    c->unread.count = 0;
    return c->store->ops->scan(c->store, SPACE_QUARANTINE, all, all, false, count_entry, c);
}

void quarantine_free(struct core *c)
{
    mem_free(c->mem, c->unread.at, c->unread.capacity * sizeof(*c->unread.at));
    c->unread = (struct unreads){ .max = c->unread.max };
}

/* --- the list ----------------------------------------------------------------------------------------------------- */

enum err quarantine_put(struct core *c, struct arena *a, const struct quarantine_place *at, enum err why, uint64_t hlc)
{
    uint8_t key[PLACE_KEY_BYTES];
    uint8_t value[VALUE_BYTES] = { (uint8_t)why };
    uint32_t bytes = at->bytes == 0 ? 0 : at->bytes + ENTRY_COST_BYTES;
    bool is_there = false;
    quarantine_key(at, key);
    for (size_t i = 0; i < 4; i++) {
        value[VALUE_AT_BYTES + i] = (uint8_t)(bytes >> (8 * (3 - i)));
    }
    for (size_t i = 0; i < 8; i++) {
        value[1 + i] = (uint8_t)(hlc >> (8 * (7 - i)));
    }
    enum err e = quarantine_has(c, a, at, &is_there);
    if (e == ERR_OK) {
        e = c->store->ops->put(c->store, SPACE_QUARANTINE, BYTES_OF(key), BYTES_OF(value));
    }
    if (e == ERR_OK) {
        recall_drop(&c->recall, at->dossier); /* what is listed does not count, also when it did before */
    }
    if (e != ERR_OK || is_there) {
        return e; /* the same bytes, of which most was counted */
    }
    c->pending++;
    return bytes > 0 ? add_unread(c, at->dot.node, bytes) : ERR_OK;
}

static enum err remove_key(struct core *c, struct arena *a, struct bytes key)
{
    struct quarantine_place at;
    struct bytes value = { 0 };
    enum err e = quarantine_key_take(key, &at);
    if (e == ERR_OK) {
        e = c->store->ops->get(c->store, SPACE_QUARANTINE, key, a, &value);
    }
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    e = c->store->ops->del(c->store, SPACE_QUARANTINE, key);
    c->pending -= e == ERR_OK && c->pending > 0 ? 1 : 0;
    take_unread(c, at.dot.node, bytes_in(value));
    return e;
}

enum err quarantine_remove(struct core *c, struct arena *a, const struct quarantine_place *at)
{
    uint8_t key[PLACE_KEY_BYTES];
    bool is_there = false;
    enum err e = quarantine_has(c, a, at, &is_there);
    quarantine_key(at, key);
    return e == ERR_OK && is_there ? remove_key(c, a, BYTES_OF(key)) : e;
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
            e = remove_key(c, a, l->keys[end++]);
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
        e = remove_key(c, &list, l.keys[i]);
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
