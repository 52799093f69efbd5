/*
 * Owns: parts that wait for commits their context names. A context is the author's word for what he had seen; one that
 * names commits nobody has made yet would hide them when they come (docs/decisions/0018). So a part counts only once
 * every commit it names is settled here or proven by a later one of its origin; until then it is held and does not let
 * the dossier say that it has been seen. Invariants: who waits is in quarantine, and under the first commit that is
 * missing here; c->waiting is the number of keys; which parts count follows from the set of parts held, never from the
 * order they came in. Only the author's own parts wait: nothing of others depends on them, because nobody can have
 * seen what was not applied.
 *
 * Key: missing dot, then the key of the quarantine.
 */
#include "sync/core_internal.h"

enum { WAITING_KEY_BYTES = DOT_KEY_BYTES + PLACE_KEY_BYTES, RETRY_KEYS_MAX = 4096 };

static enum err found_one(void *ctx, struct bytes key, struct bytes value)
{
    bool *is_found = ctx;
    (void)key;
    (void)value;
    *is_found = true;
    return ERR_BUSY; /* enough */
}

/* A commit of the same origin at or beyond the dot: its signature covers the chain below it. */
static enum err is_proven(struct core *c, struct dot dot, bool *out)
{
    uint8_t from[DOT_KEY_BYTES];
    uint8_t to[DOT_KEY_BYTES];
    *out = false;
    if (dot.seq > CORE_SEQ_MAX) {
        return ERR_OK;
    }
    dot_key(dot, from);
    dot_key((struct dot){ .node = dot.node, .epoch = dot.epoch, .seq = UINT64_MAX }, to);
    enum err e = c->store->ops->scan(c->store, SPACE_LOG, BYTES_OF(from), BYTES_OF(to), false, found_one, out);
    return e == ERR_BUSY ? ERR_OK : e;
}

enum err waiting_check(struct core *c, const struct vv *context, bool *is_missing, struct dot *missing)
{
    *is_missing = false;
    for (size_t i = 0; i < context->count; i++) {
        struct dot dot = context->at[i];
        const struct head *head = core_head(c, dot.node, dot.epoch);
        bool is_there = (head != NULL && dot.seq <= head->upto) || core_counts(c, dot) != ERR_OK;
        enum err e = is_there ? ERR_OK : is_proven(c, dot, &is_there);
        if (e != ERR_OK) {
            return e;
        }
        if (!is_there) {
            *is_missing = true;
            *missing = dot;
            return ERR_OK;
        }
    }
    return ERR_OK;
}

enum err waiting_put(
    struct core *c, struct arena *a, const struct quarantine_place *at, struct dot missing, uint64_t hlc)
{
    uint8_t key[WAITING_KEY_BYTES];
    struct bytes old = { 0 };
    dot_key(missing, key);
    quarantine_key(at, key + DOT_KEY_BYTES);
    enum err e = c->store->ops->get(c->store, SPACE_WAITING, BYTES_OF(key), a, &old);
    if (e == ERR_NOT_FOUND) {
        e = c->store->ops->put(c->store, SPACE_WAITING, BYTES_OF(key), BYTES_LIT("w"));
        c->waiting += e == ERR_OK ? 1 : 0;
    }
    return e == ERR_OK ? quarantine_put(c, a, at, ERR_GAP, hlc) : e;
}

struct due {
    uint8_t (*keys)[WAITING_KEY_BYTES];
    size_t count;
};

static enum err list_due(void *ctx, struct bytes key, struct bytes value)
{
    struct due *d = ctx;
    (void)value;
    if (d->count == RETRY_KEYS_MAX) {
        return ERR_BUSY;
    }
    if (key.len != WAITING_KEY_BYTES) {
        return ERR_DAMAGED;
    }
    memcpy(d->keys[d->count++], key.ptr, WAITING_KEY_BYTES);
    return ERR_OK;
}

static enum err remove_waiting(struct core *c, const uint8_t key[WAITING_KEY_BYTES])
{
    enum err e = c->store->ops->del(c->store, SPACE_WAITING, bytes_of(key, WAITING_KEY_BYTES));
    c->waiting -= e == ERR_OK && c->waiting > 0 ? 1 : 0;
    return e;
}

static enum err try_due(struct core *c, struct arena *work, const struct due *d, bool tries)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < d->count; i++) {
        struct quarantine_place at;
        e = remove_waiting(c, d->keys[i]);
        if (e == ERR_OK) {
            e = quarantine_key_take(bytes_of(d->keys[i] + DOT_KEY_BYTES, PLACE_KEY_BYTES), &at);
        }
        arena_reset(work);
        if (e == ERR_OK && tries) {
            e = quarantine_again(c, work, &at);
        }
    }
    return e;
}

/* One pass over a range of missing dots, page by page. A group that still lacks something comes back, under another dot
 * or behind the pass. */
static enum err pass(struct core *c, struct bytes from, struct bytes to, bool tries)
{
    uint8_t after[WAITING_KEY_BYTES + 1] = { 0 };
    struct arena list;
    struct arena work;
    arena_init(&list, c->mem, CORE_ARENA_BYTES);
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    struct due d = { .keys = arena_array(&list, RETRY_KEYS_MAX, sizeof(*d.keys)), .count = RETRY_KEYS_MAX };
    enum err e = d.keys == NULL ? ERR_NOMEM : ERR_OK;
    while (e == ERR_OK && d.count == RETRY_KEYS_MAX) {
        d.count = 0;
        e = c->store->ops->scan(c->store, SPACE_WAITING, from, to, false, list_due, &d);
        e = e == ERR_BUSY ? ERR_OK : e;
        if (e == ERR_OK) {
            e = try_due(c, &work, &d, tries);
        }
        if (d.count > 0) {
            memcpy(after, d.keys[d.count - 1], WAITING_KEY_BYTES);
            from = BYTES_OF(after);
        }
    }
    arena_release(&work);
    arena_release(&list);
    return e;
}

enum err waiting_retry(struct core *c, struct dot upto)
{
    uint8_t from[DOT_KEY_BYTES];
    uint8_t to[DOT_KEY_BYTES];
    dot_key((struct dot){ .node = upto.node, .epoch = upto.epoch }, from);
    dot_key((struct dot){ .node = upto.node, .epoch = upto.epoch, .seq = upto.seq + 1 }, to);
    return c->waiting > 0 ? pass(c, BYTES_OF(from), BYTES_OF(to), true) : ERR_OK;
}

enum err waiting_retry_node(struct core *c, uint32_t node)
{
    uint8_t from[DOT_KEY_BYTES];
    uint8_t to[DOT_KEY_BYTES];
    dot_key((struct dot){ .node = node }, from);
    dot_key((struct dot){ .node = node, .epoch = UINT32_MAX, .seq = UINT64_MAX }, to);
    return c->waiting > 0 ? pass(c, BYTES_OF(from), BYTES_OF(to), true) : ERR_OK;
}

enum err waiting_clear(struct core *c)
{
    const struct bytes all = { 0 };
    return c->waiting > 0 ? pass(c, all, all, false) : ERR_OK;
}

struct dropping {
    struct dossier_id dossier;
    struct due *due;
};

static enum err list_of_dossier(void *ctx, struct bytes key, struct bytes value)
{
    const struct dropping *dr = ctx;
    bool is_ours =
        key.len == WAITING_KEY_BYTES && memcmp(key.ptr + DOT_KEY_BYTES, dr->dossier.b, sizeof(dr->dossier.b)) == 0;
    return is_ours ? list_due(dr->due, key, value) : ERR_OK;
}

enum err waiting_drop(struct core *c, struct dossier_id dossier)
{
    const struct bytes all = { 0 };
    struct arena list;
    arena_init(&list, c->mem, CORE_ARENA_BYTES);
    struct due d = { .keys = c->waiting == 0 ? NULL : arena_array(&list, RETRY_KEYS_MAX, sizeof(*d.keys)) };
    enum err e = c->waiting > 0 && d.keys == NULL ? ERR_NOMEM : ERR_OK;
    for (d.count = RETRY_KEYS_MAX; e == ERR_OK && c->waiting > 0 && d.count == RETRY_KEYS_MAX;) {
        struct dropping dr = { .dossier = dossier, .due = &d };
        d.count = 0;
        e = c->store->ops->scan(c->store, SPACE_WAITING, all, all, false, list_of_dossier, &dr);
        e = e == ERR_BUSY ? ERR_OK : e;
        for (size_t i = 0; e == ERR_OK && i < d.count; i++) {
            e = remove_waiting(c, d.keys[i]);
        }
    }
    arena_release(&list);
    return e;
}
