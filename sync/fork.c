/*
 * Owns: proofs that an origin has forked, what follows from one, and commits of branches that are not in our log.
 * Invariants: c->forks holds exactly the proofs of SPACE_FORK, and suspicions, which are memory only; the seq of a
 * proof only goes down; nothing of a branch is removed but dossiers that are forgotten. Does not talk to anybody:
 * sync/fork_talk.c.
 *
 * SPACE_FORK: 'e' node epoch -> first seen (hlc, u64 be), two bare commits as blobs; 'b' dot key, hash[16] -> commit
 * and secrets as blobs, put aside; 'n' node epoch -> how many of those (varint).
 */
#include "sync/fork.h"

#include "sync/core_internal.h"

enum { ORIGIN_KEY_BYTES = 9, EPOCH_STEP_BITS = 20, EPOCH_SMALL_BITS = 6 };

static void origin_key(uint8_t kind, uint32_t node, uint32_t epoch, uint8_t out[ORIGIN_KEY_BYTES])
{
    out[0] = kind;
    for (size_t i = 0; i < 4; i++) {
        out[1 + i] = (uint8_t)(node >> (8 * (3 - i)));
        out[5 + i] = (uint8_t)(epoch >> (8 * (3 - i)));
    }
}

/* --- in memory ---------------------------------------------------------------------------------------------------- */

static struct fork *find(const struct core *c, uint32_t node, uint32_t epoch)
{
    for (size_t i = 0; i < c->forks.count; i++) {
        if (c->forks.at[i].node == node && c->forks.at[i].epoch == epoch) {
            return &c->forks.at[i];
        }
    }
    return NULL;
}

const struct fork *fork_of(const struct core *c, uint32_t node, uint32_t epoch)
{
    return find(c, node, epoch);
}

enum err core_counts(const struct core *c, struct dot dot)
{
    if (!members_accepts_dot(c->members, dot)) {
        return ERR_REVOKED;
    }
    const struct fork *f = find(c, dot.node, dot.epoch);
    return f != NULL && f->is_proven && dot.seq >= f->seq ? ERR_CONFLICT : ERR_OK;
}

/* *out NULL: more than one node, or all of them, may have. */
static enum err take_slot(struct core *c, uint32_t node, uint32_t epoch, struct fork **out)
{
    struct forks *forks = &c->forks;
    size_t of_node = 0;
    *out = find(c, node, epoch);
    if (*out != NULL) {
        return ERR_OK;
    }
    for (size_t i = 0; i < forks->count; i++) {
        of_node += forks->at[i].node == node ? 1 : 0;
    }
    if (of_node >= FORKS_PER_NODE_MAX || forks->count >= FORKS_MAX) {
        return ERR_OK;
    }
    if (!mem_room(c->mem, &forks->at, &forks->capacity, forks->count, sizeof(*forks->at))) {
        return ERR_NOMEM;
    }
    forks->at[forks->count] = (struct fork){ .node = node, .epoch = epoch };
    *out = &forks->at[forks->count++];
    return ERR_OK;
}

void fork_free(struct core *c)
{
    mem_free(c->mem, c->forks.at, c->forks.capacity * sizeof(*c->forks.at));
    c->forks = (struct forks){ 0 };
}

/* Nothing can lie lower than a pair that stands on the same commit. */
static bool is_lowest(const struct commit_header *x, const struct commit_header *y)
{
    return x->dot.seq == 1 || memcmp(x->prev, y->prev, sizeof(x->prev)) == 0;
}

static enum err load_one(void *ctx, struct bytes key, struct bytes value)
{
    struct core *c = ctx;
    struct reader r = reader_of(value);
    struct bytes blob[2] = { { 0 } };
    struct commit_view v[2];
    struct fork *f = NULL;
    uint64_t seen = 0;
    (void)key;
    enum err e = reader_u64be(&r, &seen);
    for (size_t i = 0; e == ERR_OK && i < 2; i++) {
        e = reader_blob(&r, FORK_BARE_MAX_BYTES, &blob[i]);
        if (e == ERR_OK) {
            e = commit_parse(blob[i], &v[i]);
        }
    }
    if (e != ERR_OK) {
        return ERR_DAMAGED;
    }
    const struct commit_header *h = &v[0].header;
    e = take_slot(c, h->dot.node, h->dot.epoch, &f);
    if (e == ERR_OK && f != NULL) {
        f->seq = h->dot.seq;
        f->seen = seen;
        f->is_proven = true;
        f->is_complete = is_lowest(h, &v[1].header);
    }
    return e;
}

enum err fork_load(struct core *c)
{
    c->forks.count = 0; /* suspicions too: they come again with the next session */
    return c->store->ops->scan(c->store, SPACE_FORK, BYTES_LIT("e"), BYTES_LIT("f"), false, load_one, c);
}

/* --- proofs ------------------------------------------------------------------------------------------------------- */

struct side {
    uint8_t hash[COMMIT_HASH_BYTES];
    struct bytes bare;
};

static enum err bare_of(struct core *c, struct arena *a, const struct commit_view *v,
    const uint8_t root[COMMIT_HASH_BYTES], struct bytes *out)
{
    struct buf b;
    buf_init(&b, c->mem, FORK_BARE_MAX_BYTES);
    buf_put_bytes(&b, v->header_bytes);
    buf_put(&b, v->signature, COMMIT_SIGNATURE_BYTES);
    commit_put_withheld(&b, v->header.group_count, root);
    enum err e = b.err;
    if (e == ERR_OK) {
        e = arena_dup(a, buf_view(&b), out);
    }
    buf_release(&b);
    return e;
}

enum err fork_bare(struct core *c, struct arena *a, const struct commit_view *v, struct bytes *out)
{
    uint8_t root[COMMIT_HASH_BYTES];
    enum err e = seal_root(v, a, root);
    return e == ERR_OK ? bare_of(c, a, v, root, out) : e;
}

static enum err take_side(struct core *c, struct arena *a, const struct commit_view *v, struct side *out)
{
    const struct member_node *node = members_node(c->members, v->header.dot.node);
    uint8_t root[COMMIT_HASH_BYTES];
    enum err e = node == NULL ? ERR_UNKNOWN_PEER : seal_root(v, a, root);
    if (e == ERR_OK) {
        e = seal_verify_commit(members_group_id(c->members), v, root, node->sign_key);
    }
    if (e == ERR_OK) {
        seal_commit_hash(members_group_id(c->members), v->header_bytes, root, out->hash);
        e = bare_of(c, a, v, root, &out->bare);
    }
    return e;
}

enum err fork_proof(struct core *c, struct arena *a, uint32_t node, uint32_t epoch, struct bytes *out)
{
    uint8_t key[ORIGIN_KEY_BYTES];
    struct bytes value = { 0 };
    origin_key('e', node, epoch, key);
    enum err e = c->store->ops->get(c->store, SPACE_FORK, BYTES_OF(key), a, &value);
    if (e == ERR_OK && value.len < 8) {
        return ERR_DAMAGED;
    }
    *out = e == ERR_OK ? bytes_of(value.ptr + 8, value.len - 8) : value;
    return e;
}

static enum err keep_proof(struct core *c, struct dot dot, uint64_t seen, const struct side sides[2])
{
    uint8_t key[ORIGIN_KEY_BYTES];
    struct buf b;
    bool is_ordered = memcmp(sides[0].hash, sides[1].hash, COMMIT_HASH_BYTES) < 0;
    origin_key('e', dot.node, dot.epoch, key);
    buf_init(&b, c->mem, 2 * (size_t)FORK_BARE_MAX_BYTES);
    buf_put_u64be(&b, seen);
    buf_put_blob(&b, sides[is_ordered ? 0 : 1].bare);
    buf_put_blob(&b, sides[is_ordered ? 1 : 0].bare);
    enum err e = b.err;
    if (e == ERR_OK) {
        e = c->store->ops->put(c->store, SPACE_FORK, BYTES_OF(key), buf_view(&b));
    }
    buf_release(&b);
    return e;
}

enum err fork_verify(struct core *c, struct arena *a, struct dot *bad)
{
    for (size_t i = 0; i < c->forks.count; i++) {
        const struct fork *f = &c->forks.at[i];
        struct bytes proof = { 0 };
        struct side sides[2];
        if (!f->is_proven) {
            continue;
        }
        *bad = (struct dot){ f->node, f->epoch, f->seq };
        enum err e = fork_proof(c, a, f->node, f->epoch, &proof);
        struct reader r = reader_of(proof);
        for (size_t k = 0; e == ERR_OK && k < 2; k++) {
            struct bytes blob = { 0 };
            struct commit_view v;
            e = reader_blob(&r, FORK_BARE_MAX_BYTES, &blob);
            e = e == ERR_OK ? commit_parse(blob, &v) : e;
            e = e == ERR_OK ? take_side(c, a, &v, &sides[k]) : e;
            e = e == ERR_OK && !dot_equal(v.header.dot, *bad) ? ERR_DAMAGED : e;
        }
        if (e == ERR_NOMEM || e == ERR_IO) {
            return e;
        }
        if (e != ERR_OK || memcmp(sides[0].hash, sides[1].hash, COMMIT_HASH_BYTES) == 0) {
            return ERR_DAMAGED;
        }
    }
    return ERR_OK;
}

enum err fork_draw_epoch(struct core *c)
{
    uint32_t top = c->epoch;
    uint32_t step = 0;
    for (size_t i = 0; i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        top = h->node == c->self.number && h->epoch > top ? h->epoch : top;
    }
    rng_fill(c->rng, &step, sizeof(step));
    step &= (1U << (top < UINT32_MAX / 2 ? EPOCH_STEP_BITS : EPOCH_SMALL_BITS)) - 1;
    step++;
    if (top > UINT32_MAX - step) {
        return ERR_LIMIT;
    }
    c->epoch = top + step;
    const uint8_t epoch[4] = { (uint8_t)(c->epoch >> 24), (uint8_t)(c->epoch >> 16), (uint8_t)(c->epoch >> 8),
        (uint8_t)c->epoch };
    return c->store->ops->put(c->store, SPACE_META, BYTES_LIT("epoch"), BYTES_OF(epoch));
}

/* What counted until now and no longer does is taken out of everything derived. */
static enum err cut_off(struct core *c, struct arena *a, struct now now, struct dot from)
{
    const struct head *head = core_head(c, from.node, from.epoch);
    if (head != NULL && (c->early > 0 || head->upto >= from.seq)) {
        return core_rebuild(c, a, now);
    }
    return waiting_retry_node(c, from.node);
}

static enum err follow(struct core *c, struct arena *a, struct now now, struct dot from, bool is_first)
{
    struct audit_entry entry = {
        .event = AUDIT_FORK, .peer = from.node, .count = from.seq, .hlc = hlc_tick(c->hlc, now)
    };
    enum err e = is_first ? audit_append(&c->audit, a, &entry) : ERR_OK;
    if (e == ERR_OK && from.node == c->self.number && from.epoch == c->epoch) {
        e = fork_draw_epoch(c);
        e = e == ERR_LIMIT ? ERR_OK : e; /* then nothing more can be written here: core_write says so */
    }
    return e == ERR_OK ? cut_off(c, a, now, from) : e;
}

enum err fork_learn(
    struct core *c, struct arena *a, struct now now, const struct commit_view *x, const struct commit_view *y)
{
    const struct dot dot = x->header.dot;
    struct side sides[2];
    struct fork *f = find(c, dot.node, dot.epoch);
    if (!dot_equal(dot, y->header.dot)) {
        return ERR_FORMAT;
    }
    if (f != NULL && f->is_proven && f->seq <= dot.seq) {
        return ERR_OK;
    }
    enum err e = take_side(c, a, x, &sides[0]);
    if (e == ERR_OK) {
        e = take_side(c, a, y, &sides[1]);
    }
    if (e == ERR_OK && memcmp(sides[0].hash, sides[1].hash, COMMIT_HASH_BYTES) == 0) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        e = take_slot(c, dot.node, dot.epoch, &f);
    }
    if (e != ERR_OK || f == NULL) {
        return e;
    }
    bool is_first = !f->is_proven;
    f->seen = is_first ? hlc_tick(c->hlc, now) : f->seen;
    e = keep_proof(c, dot, f->seen, sides);
    f->seq = dot.seq;
    f->is_proven = true;
    f->is_complete = is_lowest(&x->header, &y->header);
    return e == ERR_OK ? follow(c, a, now, dot, is_first) : e;
}

/* --- commits of another branch ------------------------------------------------------------------------------------ */

/* Beside the log, as it came: whoever wrote it may have nothing else left. */
static enum err put_aside(struct core *c, struct arena *a, const struct commit_view *v,
    const uint8_t hash[COMMIT_HASH_BYTES], struct bytes secrets)
{
    const struct store_ops *ops = c->store->ops;
    uint8_t key[1 + DOT_KEY_BYTES + 16] = { 'b' };
    uint8_t count_key[ORIGIN_KEY_BYTES];
    struct bytes old = { 0 };
    uint64_t kept = 0;
    struct buf b;
    dot_key(v->header.dot, key + 1);
    memcpy(key + 1 + DOT_KEY_BYTES, hash, 16);
    origin_key('n', v->header.dot.node, v->header.dot.epoch, count_key);
    enum err e = ops->get(c->store, SPACE_FORK, BYTES_OF(key), a, &old);
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    e = ops->get(c->store, SPACE_FORK, BYTES_OF(count_key), a, &old);
    struct reader r = reader_of(old);
    if (e == ERR_OK && reader_varint(&r, &kept) != ERR_OK) {
        e = ERR_DAMAGED;
    }
    if ((e != ERR_OK && e != ERR_NOT_FOUND) || kept >= FORK_KEPT_MAX) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    buf_init(&b, c->mem, STORE_VALUE_MAX_BYTES);
    buf_put_blob(&b, v->all);
    buf_put_blob(&b, secrets);
    e = b.err != ERR_OK ? b.err : ops->put(c->store, SPACE_FORK, BYTES_OF(key), buf_view(&b));
    if (e == ERR_OK) {
        buf_clear(&b);
        buf_put_varint(&b, kept + 1);
        e = b.err != ERR_OK ? b.err : ops->put(c->store, SPACE_FORK, BYTES_OF(count_key), buf_view(&b));
    }
    buf_release(&b);
    return e;
}

static enum err suspect(struct core *c, const struct commit_view *v)
{
    struct fork *f = NULL;
    return take_slot(c, v->header.dot.node, v->header.dot.epoch, &f);
}

enum err fork_pass(
    struct core *c, struct arena *a, struct now now, struct bytes commit, struct bytes secrets, enum err why)
{
    struct commit_view v;
    struct commit_view ours;
    uint8_t hash[COMMIT_HASH_BYTES];
    if ((why != ERR_CONFLICT && why != ERR_GAP) || commit_parse(commit, &v) != ERR_OK) {
        return why;
    }
    const struct dot dot = v.header.dot;
    if (why == ERR_GAP && find(c, dot.node, dot.epoch) == NULL) {
        return why;
    }
    enum err e = core_verify_commit(c, a, &v, hash);
    if (e == ERR_OK) {
        e = put_aside(c, a, &v, hash, secrets);
    }
    if (e == ERR_OK) {
        e = suspect(c, &v);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = core_log_get(c, a, dot, &ours);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    e = fork_learn(c, a, now, &ours, &v);
    return e == ERR_FORMAT ? ERR_OK : e; /* the same commit: the other branch begins elsewhere */
}

/* --- forgetting a dossier ----------------------------------------------------------------------------------------- */

struct aside {
    struct arena *a;
    struct dossier_id gone;
    struct bytes keys[FORK_KEPT_MAX];
    size_t count;
};

static bool keep_others(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    const struct dossier_id *gone = ctx;
    (void)g;
    (void)part;
    return dossier_id_compare(dossier, *gone) != 0;
}

static enum err take_aside(struct bytes value, struct commit_view *v, struct bytes *secrets)
{
    struct reader r = reader_of(value);
    struct bytes commit = { 0 };
    enum err e = reader_blob(&r, COMMIT_MAX_BYTES, &commit);
    if (e == ERR_OK) {
        e = reader_blob(&r, STORE_VALUE_MAX_BYTES, secrets);
    }
    if (e == ERR_OK) {
        e = commit_parse(commit, v);
    }
    return e == ERR_OK ? ERR_OK : ERR_DAMAGED;
}

static enum err list_aside(void *ctx, struct bytes key, struct bytes value)
{
    struct aside *as = ctx;
    struct commit_view v;
    struct bytes secrets = { 0 };
    struct group_item g;
    enum err e = take_aside(value, &v, &secrets);
    struct body_cursor cursor = e == ERR_OK ? commit_groups(&v) : (struct body_cursor){ 0 };
    while (e == ERR_OK && as->count < FORK_KEPT_MAX && commit_next_group(&cursor, &g) == ERR_OK) {
        if (!g.is_withheld && dossier_id_compare(core_group_dossier(&v, &g), as->gone) == 0) {
            e = arena_dup(as->a, key, &as->keys[as->count]);
            as->count += e == ERR_OK ? 1 : 0;
            break;
        }
    }
    return e;
}

/* The secrets of the dossiers that stay. */
static enum err other_secrets(
    const struct commit_view *v, struct bytes secrets, struct dossier_id gone, struct buf *out)
{
    struct body_cursor cursor = commit_groups(v);
    struct reader r = reader_of(secrets);
    struct group_item g;
    while (commit_next_group(&cursor, &g) == ERR_OK) {
        struct bytes secret = { 0 };
        if (g.is_withheld || !g.is_new) {
            continue;
        }
        if (reader_take(&r, SECRET_BYTES, &secret) != ERR_OK) {
            return ERR_DAMAGED;
        }
        if (dossier_id_compare(core_group_dossier(v, &g), gone) != 0) {
            buf_put_bytes(out, secret);
        }
    }
    return out->err;
}

static enum err reduce_aside(struct core *c, struct arena *a, struct bytes key, struct dossier_id gone)
{
    struct bytes value = { 0 };
    struct bytes secrets = { 0 };
    struct commit_view v;
    struct buf rest[3]; /* commit, secrets, both as they are stored */
    bool any = false;
    enum err e = c->store->ops->get(c->store, SPACE_FORK, key, a, &value);
    if (e == ERR_OK) {
        e = take_aside(value, &v, &secrets);
    }
    for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
        buf_init(&rest[i], c->mem, STORE_VALUE_MAX_BYTES);
    }
    if (e == ERR_OK) {
        e = seal_reduce(&v, a, keep_others, &gone, &rest[0], &any);
    }
    if (e == ERR_OK && !any) {
        e = c->store->ops->del(c->store, SPACE_FORK, key);
    } else if (e == ERR_OK) {
        e = other_secrets(&v, secrets, gone, &rest[1]);
        buf_put_blob(&rest[2], buf_view(&rest[0]));
        buf_put_blob(&rest[2], buf_view(&rest[1]));
        e = e == ERR_OK ? rest[2].err : e;
        e = e == ERR_OK ? c->store->ops->put(c->store, SPACE_FORK, key, buf_view(&rest[2])) : e;
    }
    for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
        buf_release(&rest[i]);
    }
    return e;
}

enum err fork_forget(struct core *c, struct dossier_id dossier)
{
    struct arena list;
    struct arena work;
    enum err e = ERR_OK;
    size_t done = FORK_KEPT_MAX;
    arena_init(&list, c->mem, CORE_ARENA_BYTES);
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    while (e == ERR_OK && done == FORK_KEPT_MAX) { /* as many as one list holds, then the next */
        arena_reset(&list);
        struct aside *as = arena_alloc(&list, sizeof(*as));
        if (as == NULL) {
            e = ERR_NOMEM;
            break;
        }
        *as = (struct aside){ .a = &list, .gone = dossier };
        e = c->store->ops->scan(c->store, SPACE_FORK, BYTES_LIT("b"), BYTES_LIT("c"), false, list_aside, as);
        for (size_t i = 0; e == ERR_OK && i < as->count; i++) {
            arena_reset(&work);
            e = reduce_aside(c, &work, as->keys[i], dossier);
        }
        done = as->count;
    }
    arena_release(&work);
    arena_release(&list);
    return e;
}
