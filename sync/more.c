/*
 * Owns: more of a commit that is settled already: groups or parts that were withheld when it came first, or all of it.
 * Invariants: what is held of a commit only grows here; it is one commit, by header and root, whoever sends what of it;
 * the result is a function of the parts held, because a group that gained something is applied anew as a whole, which
 * changes nothing where it had been applied (quarantine.c relies on the same). Moves no head, but tells one its hash.
 */
#include "sync/core_internal.h"

enum err core_log_get(struct core *c, struct arena *a, struct dot dot, struct commit_view *out)
{
    uint8_t key[DOT_KEY_BYTES];
    struct bytes bytes = { 0 };
    dot_key(dot, key);
    enum err e = c->store->ops->get(c->store, SPACE_LOG, BYTES_OF(key), a, &bytes);
    if (e != ERR_OK) {
        return e;
    }
    e = commit_parse(bytes, out);
    return e == ERR_OK || e == ERR_NOMEM ? e : ERR_DAMAGED;
}

enum err core_log_put(struct core *c, struct dot dot, struct bytes commit)
{
    uint8_t key[DOT_KEY_BYTES];
    dot_key(dot, key);
    return c->store->ops->put(c->store, SPACE_LOG, BYTES_OF(key), commit);
}

/* The copy held, if any, and what it is with the new one. */
struct growing {
    struct core *c;
    const struct commit_view *more;
    uint8_t hash[COMMIT_HASH_BYTES];
    bool is_held;
    struct commit_view held;
    struct commit_view all; /* both together */
};

static enum err hash_of(struct core *c, struct arena *a, const struct commit_view *v, uint8_t out[COMMIT_HASH_BYTES])
{
    uint8_t root[COMMIT_HASH_BYTES];
    enum err e = seal_root(v, a, root);
    if (e != ERR_OK) {
        return e == ERR_NOMEM ? e : ERR_DAMAGED;
    }
    seal_commit_hash(members_group_id(c->members), v->header_bytes, root, out);
    return ERR_OK;
}

/* Nothing of it is held: what is held before and after must be its neighbours. */
static enum err fits_neighbours(const struct growing *gr, struct arena *a)
{
    const struct commit_header *h = &gr->more->header;
    const struct head *head = core_head(gr->c, h->dot.node, h->dot.epoch);
    struct dot near = h->dot;
    struct commit_view v;
    uint8_t hash[COMMIT_HASH_BYTES];
    if (head != NULL && head->upto == h->dot.seq && head->knows_hash && memcmp(head->hash, gr->hash, 32) != 0) {
        return ERR_CONFLICT;
    }
    near.seq = h->dot.seq + 1;
    enum err e = core_log_get(gr->c, a, near, &v);
    if (e == ERR_OK && memcmp(v.header.prev, gr->hash, sizeof(gr->hash)) != 0) {
        return ERR_CONFLICT;
    }
    if ((e != ERR_OK && e != ERR_NOT_FOUND) || h->dot.seq == 1) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    near.seq = h->dot.seq - 1;
    e = core_log_get(gr->c, a, near, &v);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    e = hash_of(gr->c, a, &v, hash);
    return e == ERR_OK && memcmp(hash, h->prev, sizeof(hash)) != 0 ? ERR_CONFLICT : e;
}

/* Fills in gr->all; bytes live in united or are those of the copies. ERR_EXISTS: nothing new. */
static enum err unite(struct growing *gr, struct arena *a, struct buf *united)
{
    if (!gr->is_held) {
        gr->all = *gr->more;
        return fits_neighbours(gr, a);
    }
    enum err e = seal_unite(&gr->held, gr->more, a, united);
    if (e == ERR_OK) {
        e = commit_parse(buf_view(united), &gr->all);
    }
    return e == ERR_OK && bytes_equal(gr->all.all, gr->held.all) ? ERR_EXISTS : e;
}

/* The group of that index, if the copy has it; the cursor only moves on. */
static bool seek_group(struct body_cursor *cursor, struct group_item *g, uint32_t index)
{
    while (g->leaves == 0 || g->index + g->leaves <= index) {
        if (commit_next_group(cursor, g) != ERR_OK) {
            return false;
        }
    }
    return !g->is_withheld;
}

static uint32_t present_parts(const struct group_item *g)
{
    struct part_cursor cursor = group_parts(g);
    struct part_item p;
    uint32_t n = 0;
    while (group_next_part(&cursor, &p) == ERR_OK) {
        n += p.is_withheld ? 0 : 1;
    }
    return n;
}

/* Every group of the new copy that brought something. */
static enum err apply_new(const struct growing *gr, struct bytes secrets)
{
    struct body_cursor more = commit_groups(gr->more);
    struct body_cursor all = commit_groups(&gr->all);
    struct body_cursor held = gr->is_held ? commit_groups(&gr->held) : more;
    struct group_item g;
    struct group_item now = { .leaves = 0 };
    struct group_item before = { .leaves = 0 };
    struct reader r = reader_of(secrets);
    struct arena work;
    enum err e = ERR_OK;
    arena_init(&work, gr->c->mem, CORE_ARENA_BYTES);
    while (e == ERR_OK && commit_next_group(&more, &g) == ERR_OK) {
        struct bytes secret = { 0 };
        if (g.is_withheld) {
            continue;
        }
        e = g.is_new ? reader_take(&r, SECRET_BYTES, &secret) : ERR_OK;
        if (e != ERR_OK || !seek_group(&all, &now, g.index)) {
            e = e == ERR_OK ? ERR_BUG : e;
            break;
        }
        if (gr->is_held && seek_group(&held, &before, g.index) && present_parts(&before) == present_parts(&now)) {
            continue;
        }
        arena_reset(&work);
        e = core_ingest_group(gr->c, &work, &gr->all, &now, secret.ptr, NULL);
        e = e == ERR_NOT_FOUND ? ERR_DAMAGED : e; /* the same number means the end of a walk */
    }
    arena_release(&work);
    return e;
}

/* The last settled commit was withheld, or forgotten: from now on its successor is checked against it. */
static enum err tell_head(struct core *c, const struct commit_header *at, const uint8_t hash[COMMIT_HASH_BYTES])
{
    const struct head *head = core_head(c, at->dot.node, at->dot.epoch);
    if (head == NULL || head->upto != at->dot.seq || (head->knows_hash && !head->is_forgotten)) {
        return ERR_OK;
    }
    struct head h = *head;
    h.knows_hash = true;
    h.is_forgotten = false;
    h.hlc = at->hlc;
    memcpy(h.hash, hash, sizeof(h.hash));
    return core_set_head(c, &h);
}

static enum err keep_more(struct growing *gr, struct arena *a, struct bytes secrets)
{
    const struct commit_header *h = &gr->all.header;
    enum err e = core_log_put(gr->c, h->dot, gr->all.all);
    if (e == ERR_OK) {
        e = tell_head(gr->c, h, gr->hash);
    }
    enum err why = core_counts(gr->c, h->dot);
    if (e == ERR_OK && why != ERR_OK) {
        const struct quarantine_place at = {
            .dot = h->dot, .part = QUARANTINE_WHOLE_GROUP, .bytes = (uint32_t)gr->all.all.len
        };
        return quarantine_put(gr->c, a, &at, why, h->hlc);
    }
    if (e == ERR_OK) {
        e = apply_new(gr, secrets);
    }
    return core_is_refusal(e) ? ERR_NOMEM : e; /* as in core_ingest: nothing left of it is the peer's fault */
}

enum err core_ingest_more(
    struct core *c, struct arena *a, struct now now, const struct commit_view *v, struct bytes secrets)
{
    struct growing gr = { .c = c, .more = v };
    struct buf united;
    enum err e = core_log_get(c, a, v->header.dot, &gr.held);
    if (e != ERR_OK && e != ERR_NOT_FOUND) {
        return e;
    }
    gr.is_held = e == ERR_OK;
    if (gr.is_held && bytes_equal(gr.held.all, v->all)) {
        return ERR_EXISTS; /* most of what is known comes as it came before */
    }
    buf_init(&united, c->mem, COMMIT_MAX_BYTES);
    e = core_verify_commit(c, a, v, gr.hash);
    if (e == ERR_OK) {
        e = unite(&gr, a, &united);
    }
    if (e == ERR_OK) {
        e = core_try_secrets(c, v, secrets);
    }
    if (e == ERR_OK) {
        c->hlc = hlc_observe(c->hlc, v->header.hlc, now);
        e = keep_more(&gr, a, secrets);
    }
    buf_release(&united);
    return e;
}
