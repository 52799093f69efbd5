/*
 * Owns: commits held beyond the head of their origin, because they are urgent, and the list of what is urgent.
 * Invariants: such a commit is in the log and its dot is beyond its head, nothing else marks it; c->early is their
 * number, at most CORE_EARLY_MAX, and of one origin CORE_EARLY_PER_ORIGIN_MAX; only what is urgent in it is applied,
 * and no dossier says that it has been seen, so that no context claims what lies between. When its turn comes it is
 * applied as a whole. Heads never stand right below one.
 */
#include "sync/core_internal.h"

bool core_is_early(const struct core *c, struct dot dot)
{
    const struct head *head = core_head(c, dot.node, dot.epoch);
    return head == NULL || dot.seq > head->upto;
}

static enum err count_one(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    ++*(uint64_t *)ctx;
    return ERR_OK;
}

static enum err scan_between(
    struct core *c, const struct head *h, uint64_t from, uint64_t to, store_kv_fn fn, void *ctx)
{
    uint8_t low[DOT_KEY_BYTES];
    uint8_t high[DOT_KEY_BYTES];
    dot_key((struct dot){ .node = h->node, .epoch = h->epoch, .seq = from }, low);
    dot_key((struct dot){ .node = h->node, .epoch = h->epoch, .seq = to }, high);
    return c->store->ops->scan(c->store, SPACE_LOG, BYTES_OF(low), BYTES_OF(high), false, fn, ctx);
}

static enum err count_of(struct core *c, const struct head *h, uint64_t *out)
{
    return h == NULL ? ERR_OK : scan_between(c, h, h->upto + 1, UINT64_MAX, count_one, out);
}

enum err early_count(struct core *c)
{
    enum err e = ERR_OK;
    c->early = 0;
    for (size_t i = 0; e == ERR_OK && i < c->heads.count; i++) {
        e = count_of(c, &c->heads.at[i], &c->early);
    }
    return e;
}

/* A head at zero stands for an origin of which nothing else is here yet, so that the list of heads names all origins.
 */
static enum err ensure_head(struct core *c, const struct commit_header *h)
{
    const struct head zero = { .node = h->dot.node, .epoch = h->dot.epoch };
    return core_head(c, zero.node, zero.epoch) != NULL ? ERR_OK : core_set_head(c, &zero);
}

/* A hostile peer must not fill the log. */
static enum err check_room(struct core *c, const struct head *head)
{
    uint64_t of_origin = 0;
    enum err e = count_of(c, head, &of_origin);
    bool is_full = c->early >= CORE_EARLY_MAX || of_origin >= CORE_EARLY_PER_ORIGIN_MAX;
    return e == ERR_OK && is_full ? ERR_LIMIT : e;
}

enum err core_ingest_early(struct core *c, struct arena *a, struct now now, struct bytes commit, struct bytes secrets)
{
    struct commit_view v;
    struct commit_view held;
    enum err e = commit_parse(commit, &v);
    if (e != ERR_OK) {
        return e;
    }
    const struct dot dot = v.header.dot;
    const struct head *head = core_head(c, dot.node, dot.epoch);
    if (dot.seq <= (head == NULL ? 0 : head->upto) + 1) {
        return core_ingest(c, a, now, commit, secrets);
    }
    if (dot.node == c->self.number && dot.epoch == c->epoch) {
        return ERR_PROTOCOL;
    }
    e = dot.seq > CORE_SEQ_MAX ? ERR_FORMAT : core_check_secrets(&v, secrets);
    if (e == ERR_OK) {
        e = core_log_get(c, a, dot, &held);
    }
    bool is_held = e == ERR_OK;
    if (e == ERR_NOT_FOUND) {
        e = check_room(c, head);
    }
    if (e == ERR_OK) {
        e = core_ingest_more(c, a, now, &v, secrets);
    }
    if (e != ERR_OK) {
        return e;
    }
    c->early += is_held ? 0 : 1;
    e = ensure_head(c, &v.header);
    return e == ERR_OK ? waiting_retry(c, dot) : e; /* it proves that all before it exist */
}

enum err early_fits(
    struct core *c, struct arena *a, const struct commit_header *h, const uint8_t hash[COMMIT_HASH_BYTES])
{
    struct commit_view next;
    if (c->early == 0) {
        return ERR_OK;
    }
    enum err e = core_log_get(c, a, (struct dot){ h->dot.node, h->dot.epoch, h->dot.seq + 1 }, &next);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    return memcmp(next.header.prev, hash, COMMIT_HASH_BYTES) == 0 ? ERR_OK : ERR_CONFLICT;
}

static enum err note_dot(void *ctx, struct bytes key, struct bytes value)
{
    struct dot dot = { 0 };
    (void)value;
    enum err e = dot_from_key(key, &dot);
    return e == ERR_OK ? core_collect_dot(ctx, dot) : e;
}

/* The head stands at a commit that was held early; whether it follows was checked when one of the two came. */
static enum err stand_at(struct core *c, struct arena *a, struct dot dot)
{
    struct head h;
    enum err e = core_head_from_log(c, a, dot, &h);
    return e == ERR_OK ? core_set_head(c, &h) : e;
}

enum err early_walk(struct core *c, uint32_t node, uint32_t epoch, uint64_t before)
{
    const struct head *h = core_head(c, node, epoch);
    struct arena list;
    struct arena work;
    if (c->early == 0 || h == NULL) {
        return ERR_OK;
    }
    arena_init(&list, c->mem, CORE_ARENA_BYTES);
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    struct dots dots = { .a = &list };
    uint64_t upto = h->upto;
    enum err e = scan_between(c, h, before + 1, UINT64_MAX, note_dot, &dots);
    for (size_t i = 0; e == ERR_OK && i < dots.count && dots.at[i].seq <= upto + 1; i++) {
        arena_reset(&work);
        if (dots.at[i].seq >= upto) {
            upto = dots.at[i].seq;
            e = stand_at(c, &work, dots.at[i]);
        }
        if (e == ERR_OK) {
            e = core_replay(c, &work, dots.at[i]);
        }
        c->early--;
    }
    arena_release(&work);
    arena_release(&list);
    return e == ERR_OK ? waiting_retry(c, (struct dot){ node, epoch, upto }) : e;
}

struct urgent_walk {
    core_urgent_fn fn;
    void *ctx;
};

static enum err give_urgent(void *ctx, struct bytes key, struct bytes value)
{
    const struct urgent_walk *w = ctx;
    struct dot dot = { 0 };
    (void)value;
    return dot_from_key(key, &dot) == ERR_OK ? w->fn(w->ctx, dot) : ERR_DAMAGED;
}

static uint64_t known_upto(const struct vv *known, const struct head *h)
{
    for (size_t i = 0; i < known->count; i++) {
        if (known->at[i].node == h->node && known->at[i].epoch == h->epoch) {
            return known->at[i].seq;
        }
    }
    return 0;
}

enum err core_each_urgent(struct core *c, const struct vv *known, core_urgent_fn fn, void *ctx)
{
    struct urgent_walk w = { .fn = fn, .ctx = ctx };
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        uint8_t from[DOT_KEY_BYTES];
        uint8_t to[DOT_KEY_BYTES];
        uint64_t upto = known_upto(known, h);
        if (upto >= CORE_SEQ_MAX) {
            continue;
        }
        dot_key((struct dot){ .node = h->node, .epoch = h->epoch, .seq = upto + 1 }, from);
        dot_key((struct dot){ .node = h->node, .epoch = h->epoch, .seq = UINT64_MAX }, to);
        e = c->store->ops->scan(c->store, SPACE_URGENT, BYTES_OF(from), BYTES_OF(to), false, give_urgent, &w);
    }
    return e;
}
