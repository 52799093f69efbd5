/*
 * Owns: questions about everything a node holds: the state hash, verification of the change log, rebuilding what is
 * derived. The state hash is a sum of keyed hashes, so it needs no sorting and depends on no storage order.
 */
#include "sync/core_internal.h"
#include "sync/fork.h"
#include "sync/relay.h"

#include "schema/base/check.h"

struct summing {
    struct core *c;
    struct arena *a;
    struct buf scratch;
    uint8_t key[KEY_BYTES];
    uint64_t sum[4];
    const struct entity_desc *desc;
};

static void add_hash(struct summing *su)
{
    uint8_t hash[32];
    const struct bytes piece = buf_view(&su->scratch);
    unsigned carry = 0;
    seal_hash(hash, sizeof(hash), "jipan/state-item/v1", su->key, &piece, 1);
    for (size_t i = 0; i < 4; i++) {
        uint64_t word = 0;
        memcpy(&word, hash + 8 * i, sizeof(word));
        word = __builtin_bswap64(word); /* big-endian words, so that the sum is the same on every machine */
        uint64_t before = su->sum[i];
        su->sum[i] = before + word + carry;
        carry = su->sum[i] < before || (carry != 0 && su->sum[i] == before) ? 1 : 0;
    }
}

static enum err add_row(void *ctx, const struct row *row)
{
    struct summing *su = ctx;
    buf_clear(&su->scratch);
    buf_put_varint(&su->scratch, (uint64_t)row->entity);
    buf_put(&su->scratch, row->id.b, sizeof(row->id.b));
    buf_put_u8(&su->scratch, row->is_deleted ? 1 : 0);
    buf_put_blob(&su->scratch, row->versions);
    for (size_t i = 0; i < su->desc->field_count; i++) {
        if (row->values[i].type != VALUE_NULL) {
            value_put(&su->scratch, su->desc->fields[i].number, row->values[i]);
        }
    }
    if (su->scratch.err == ERR_OK) {
        add_hash(su);
    }
    return su->scratch.err;
}

static enum err add_dossier(void *ctx, const struct dossier *d)
{
    struct summing *su = ctx;
    if (d->seen.len == 0) {
        return ERR_OK; /* only its secret is kept: nothing of it counts here */
    }
    buf_clear(&su->scratch);
    buf_put_str(&su->scratch, "dossier");
    buf_put(&su->scratch, d->id.b, sizeof(d->id.b));
    buf_put_u32be(&su->scratch, (uint32_t)d->kind);
    buf_put_u32be(&su->scratch, d->station);
    buf_put_u32be(&su->scratch, d->creator);
    buf_put_u32be(&su->scratch, d->owner);
    buf_put_u32be(&su->scratch, d->flags & ~(uint32_t)DOSSIER_HAS_GAP);
    buf_put_blob(&su->scratch, d->seen);
    if (su->scratch.err == ERR_OK) {
        add_hash(su);
    }
    return su->scratch.err;
}

static enum err add_conflict(void *ctx, struct bytes key, struct bytes value)
{
    struct summing *su = ctx;
    buf_clear(&su->scratch);
    buf_put_str(&su->scratch, "conflict");
    buf_put_blob(&su->scratch, key);
    buf_put_blob(&su->scratch, value);
    if (su->scratch.err == ERR_OK) {
        add_hash(su);
    }
    return su->scratch.err;
}

enum err core_statehash(struct core *c, struct arena *a, uint8_t out[32])
{
    struct summing su = { .c = c, .a = a };
    const struct class_keys *keys = members_keys(c->members, 0, 1);
    const struct store_ops *ops = c->store->ops;
    const struct bytes all = { 0 };
    size_t entities = 0;
    if (keys == NULL) {
        return ERR_NO_KEY;
    }
    seal_hash(su.key, sizeof(su.key), "jipan/state-key/v1", keys->key[CLASS_BUSINESS], NULL, 0);
    buf_init(&su.scratch, c->mem, 1 << 20);
    enum err e = ops->dossier_each(c->store, add_dossier, &su);
    const struct entity_desc *list = catalogue_entities(&entities);
    for (size_t i = 0; e == ERR_OK && i < entities; i++) {
        const struct store_query q = { .entity = list[i].entity, .with_deleted = true };
        su.desc = &list[i];
        e = ops->row_find(c->store, &q, 0, add_row, &su);
    }
    if (e == ERR_OK) {
        e = ops->scan(c->store, SPACE_CONFLICT, all, all, false, add_conflict, &su);
    }
    for (size_t i = 0; e == ERR_OK && i < 4; i++) {
        uint64_t word = __builtin_bswap64(su.sum[i]);
        memcpy(out + 8 * i, &word, sizeof(word));
    }
    buf_release(&su.scratch);
    return e;
}

/* --- the log
 * --------------------------------------------------------------------------------------------------------------- */

struct log_walk {
    struct core *c;
    struct arena *a;
    struct now now;
    struct dot last;
    bool has_hash;
    uint8_t hash[COMMIT_HASH_BYTES];
    bool is_cut; /* something was seen that is not settled */
    struct dot *bad;
};

static enum err check_commit(void *ctx, struct bytes key, struct bytes value)
{
    struct log_walk *w = ctx;
    struct commit_view v;
    uint8_t root[COMMIT_HASH_BYTES];
    struct dot dot = { 0 };
    arena_reset(w->a);
    enum err e = dot_from_key(key, &dot);
    *w->bad = dot;
    if (e == ERR_OK) {
        e = commit_parse(value, &v);
    }
    if (e == ERR_OK) {
        e = seal_root(&v, w->a, root);
    }
    if (e != ERR_OK) {
        return err_of_stored(e);
    }
    const struct member_node *node = members_node(w->c->members, dot.node);
    if (node == NULL || !dot_equal(dot, v.header.dot) ||
        seal_verify_commit(members_group_id(w->c->members), &v, root, node->sign_key) != ERR_OK) {
        return ERR_DAMAGED;
    }
    bool follows = w->last.node == dot.node && w->last.epoch == dot.epoch && w->last.seq + 1 == dot.seq;
    if (follows && w->has_hash && memcmp(w->hash, v.header.prev, sizeof(w->hash)) != 0) {
        return ERR_DAMAGED;
    }
    seal_commit_hash(members_group_id(w->c->members), v.header_bytes, root, w->hash);
    w->has_hash = true;
    w->last = dot;
    return ERR_OK;
}

/* Nothing has been seen that is not settled: the end of a log that was cut off shows in the dossiers it had changed. */
static enum err check_seen(void *ctx, const struct dossier *d)
{
    struct log_walk *w = ctx;
    struct reader r = reader_of(d->seen);
    struct vv seen = { 0 };
    arena_reset(w->a);
    enum err e = d->seen.len == 0 ? ERR_OK : vv_take(&r, w->a, &seen);
    for (size_t i = 0; e == ERR_OK && i < seen.count; i++) {
        const struct head *head = core_head(w->c, seen.at[i].node, seen.at[i].epoch);
        if (head == NULL || head->upto < seen.at[i].seq) {
            *w->bad = seen.at[i];
            w->is_cut = true;
            return ERR_DAMAGED;
        }
    }
    return e == ERR_OK ? e : err_of_stored(e);
}

enum err core_verify_log(struct core *c, struct arena *a, struct dot *bad)
{
    struct log_walk w = { .c = c, .a = a, .bad = bad };
    const struct bytes all = { 0 };
    enum err e = c->store->ops->scan(c->store, SPACE_LOG, all, all, false, check_commit, &w);
    for (size_t i = 0; e == ERR_OK && i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        uint8_t key[DOT_KEY_BYTES];
        struct bytes bytes = { 0 };
        *bad = (struct dot){ .node = h->node, .epoch = h->epoch, .seq = h->upto };
        dot_key(*bad, key);
        if (h->knows_hash && !h->is_forgotten) {
            e = err_of_stored(c->store->ops->get(c->store, SPACE_LOG, BYTES_OF(key), a, &bytes));
        }
    }
    if (e == ERR_OK) {
        e = c->store->ops->dossier_each(c->store, check_seen, &w);
        e = e == ERR_DAMAGED && !w.is_cut ? ERR_OK : e; /* a line that cannot be read: core_verify_dossiers */
    }
    return e == ERR_OK ? fork_verify(c, a, bad) : e;
}

/* --- rebuild
 * --------------------------------------------------------------------------------------------------------------- */

enum { REBUILD_STEP = 256 };

struct replay {
    struct core *c;
    struct arena list;
    struct arena work; /* one commit at a time */
    struct dot *at;
    size_t count;
    size_t capacity;
};

static enum err list_dot(void *ctx, struct bytes key, struct bytes value)
{
    struct replay *r = ctx;
    (void)value;
    if (r->count == r->capacity) {
        size_t capacity = r->capacity == 0 ? 1024 : r->capacity * 2;
        struct dot *grown = arena_array(&r->list, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (r->count > 0) {
            memcpy(grown, r->at, r->count * sizeof(*grown));
        }
        r->at = grown;
        r->capacity = capacity;
    }
    return dot_from_key(key, &r->at[r->count++]);
}

enum err core_replay(struct core *c, struct arena *a, struct dot dot)
{
    struct commit_view v;
    struct buf secrets;
    enum err e = core_log_get(c, a, dot, &v);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
    }
    buf_init(&secrets, c->mem, (size_t)COMMIT_GROUPS_MAX * SECRET_BYTES);
    if (core_counts(c, dot) == ERR_OK) {
        e = core_secrets_of(c, a, &v, &secrets);
    }
    if (e == ERR_OK) {
        e = core_apply_again(c, a, &v, buf_view(&secrets));
    }
    buf_release(&secrets);
    return e;
}

/* --- what the store has lost of dossiers */

/* Whether a group that makes a dossier can be applied: a secret is there that opens it. What else the dossier's line
 * says is put right. ERR_NOT_FOUND: it is lost. */
static enum err mend_dossier(struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g,
    struct core_mended *mended)
{
    const struct store_ops *ops = c->store->ops;
    struct dossier d = { 0 };
    enum err e = ops->dossier_get(c->store, core_group_dossier(v, g), a, &d);
    if (e == ERR_OK && core_try_secret(c, a, v, g, d.secret) == ERR_SEAL) {
        e = ops->dossier_del(c->store, d.id);
        e = e == ERR_OK ? ERR_NOT_FOUND : e;
    }
    if (e == ERR_OK && (d.kind != g->kind || d.station != g->station)) {
        d.kind = g->kind;
        d.station = g->station;
        mended->corrected++;
        e = ops->dossier_put(c->store, &d);
    }
    return e;
}

struct losing {
    struct core *c;
    struct arena *a;
    enum err failed;
};

static bool is_stored(void *ctx, const struct group_item *g, struct dossier_id id, const struct part_item *part)
{
    struct losing *l = ctx;
    struct dossier d = { 0 };
    if (part != NULL || !g->is_new || l->failed != ERR_OK) {
        return true;
    }
    enum err e = l->c->store->ops->dossier_get(l->c->store, id, l->a, &d);
    l->failed = e == ERR_NOT_FOUND ? ERR_OK : e;
    return e != ERR_NOT_FOUND;
}

/* *left: something of the commit is in the log still. */
static enum err mend_commit(struct core *c, struct arena *a, struct dot dot, struct core_mended *mended, bool *left)
{
    struct commit_view v;
    struct group_item g;
    struct losing l = { .c = c, .a = a };
    bool any = false;
    enum err e = core_log_get(c, a, dot, &v);
    if (e != ERR_OK || core_counts(c, dot) != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
    }
    struct body_cursor cursor = commit_groups(&v);
    while ((e = commit_next_group(&cursor, &g)) == ERR_OK) {
        e = g.is_withheld || !g.is_new ? ERR_OK : mend_dossier(c, a, &v, &g, mended);
        if (e != ERR_OK && e != ERR_NOT_FOUND) {
            return e;
        }
        mended->without_secret += e == ERR_NOT_FOUND ? 1 : 0;
        any = any || e == ERR_NOT_FOUND;
    }
    if (e != ERR_NOT_FOUND || !any) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    e = core_log_reduce(c, a, &v, is_stored, &l);
    e = e == ERR_OK ? l.failed : e;
    if (e == ERR_OK && (e = core_log_get(c, a, dot, &v)) == ERR_NOT_FOUND) {
        *left = false;
        e = ERR_OK;
    }
    return e;
}

static enum err check_stored(void *ctx, struct bytes key, struct bytes value)
{
    struct log_walk *w = ctx;
    struct commit_view v;
    struct buf secrets;
    arena_reset(w->a);
    (void)key;
    enum err e = err_of_stored(commit_parse(value, &v));
    if (e != ERR_OK || core_counts(w->c, v.header.dot) != ERR_OK) {
        return e;
    }
    buf_init(&secrets, w->c->mem, (size_t)COMMIT_GROUPS_MAX * SECRET_BYTES);
    e = core_secrets_of(w->c, w->a, &v, &secrets);
    buf_release(&secrets);
    return e;
}

static enum err check_line(void *ctx, const struct dossier *d)
{
    struct log_walk *w = ctx;
    struct reader r = reader_of(d->seen);
    struct vv seen = { 0 };
    arena_reset(w->a);
    return d->seen.len == 0 ? ERR_OK : err_of_stored(vv_take(&r, w->a, &seen));
}

enum err core_verify_dossiers(struct core *c, struct arena *a)
{
    struct log_walk w = { .c = c, .a = a };
    const struct bytes all = { 0 };
    enum err e = c->store->ops->dossier_each(c->store, check_line, &w);
    return e != ERR_OK || relay_is(c) ? e : c->store->ops->scan(c->store, SPACE_LOG, all, all, false, check_stored, &w);
}

/* mended NULL: what is lost is not mended. */
static enum err rebuild(struct core *c, struct arena *a, struct core_mended *mended)
{
    struct replay r = { .c = c };
    const struct bytes all = { 0 };
    if (relay_is(c)) {
        return ERR_OK; /* nothing is derived there */
    }
    core_remember_nothing(c); /* derived too: what they name may no longer count */
    arena_init(&r.list, c->mem, (size_t)512 << 20);
    arena_init(&r.work, c->mem, CORE_ARENA_BYTES);
    enum err e = c->store->ops->scan(c->store, SPACE_LOG, all, all, false, list_dot, &r);
    if (e == ERR_OK) {
        e = c->store->ops->clear_derived(c->store);
    }
    if (e == ERR_OK) {
        e = quarantine_clear(c);
    }
    for (size_t i = 0; e == ERR_OK && i < r.count; i++) {
        bool left = true;
        arena_reset(&r.work);
        e = mended == NULL ? ERR_OK : mend_commit(c, &r.work, r.at[i], mended, &left);
        if (e == ERR_OK && left) {
            e = core_replay(c, &r.work, r.at[i]);
        }
        if (e == ERR_OK && c->progress != NULL && ((i + 1) % REBUILD_STEP == 0 || i + 1 == r.count)) {
            c->progress(c->progress_ctx, i + 1, r.count);
        }
    }
    if (mended != NULL) {
        mended->commits = r.count;
        c->moves.is_more = c->moves.is_more || mended->without_secret > 0; /* live sessions look for them at once */
    }
    arena_release(&r.work);
    arena_release(&r.list);
    return e == ERR_OK ? core_reload(c, a) : e;
}

enum err core_rebuild(struct core *c, struct arena *a, struct now now)
{
    (void)now;
    return rebuild(c, a, NULL);
}

enum err core_mend(struct core *c, struct arena *a, struct now now, struct core_mended *out)
{
    (void)now;
    *out = (struct core_mended){ 0 };
    return rebuild(c, a, out);
}
