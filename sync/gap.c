/*
 * Owns: gaps, the commits of a dossier that contexts of others name and of which this node has nothing of the dossier
 * (SPACE_GAP: dossier id, dot -> nothing). They were settled while the dossier was not for us, and what came after it
 * became ours is applied all the same, as the proof of a hand-over must be. What a dossier has seen is a version
 * vector and does not show such a hole, so the mark of a dossier with gaps is another (marks.c), and evening out asks
 * for what lies there. Invariants: DOSSIER_HAS_GAP is set while there are entries; every commit in the causal past of
 * one that is applied is held, or an entry stands in front of it: a late commit is checked against what is held, any
 * other only where its context goes beyond what had been seen. Which entries there are follows from what is held.
 */
#include "sync/core_internal.h"
#include "sync/relay.h"

enum { GAP_KEY_BYTES = DOSSIER_ID_BYTES + DOT_KEY_BYTES };

static void gap_key(struct dossier_id id, struct dot dot, uint8_t out[GAP_KEY_BYTES])
{
    memcpy(out, id.b, DOSSIER_ID_BYTES);
    dot_key(dot, out + DOSSIER_ID_BYTES);
}

/* A whole commit without the dossier: the context lies, and nothing is to come. */
static enum err is_held(struct core *c, struct arena *a, struct dossier_id id, struct dot dot, bool *out)
{
    struct commit_view v;
    struct group_item g;
    *out = false;
    enum err e = core_log_get(c, a, dot, &v);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    struct body_cursor cursor = commit_groups(&v);
    while (!*out && commit_next_group(&cursor, &g) == ERR_OK) {
        *out = !g.is_withheld && dossier_id_compare(core_group_dossier(&v, &g), id) == 0;
    }
    *out = *out || relay_is_whole(&v);
    return ERR_OK;
}

enum err gap_look(struct core *c, const struct gap_query *q, const struct vv *context, bool *found)
{
    bool is_late = vv_covers(q->had, q->dot);
    struct arena work;
    enum err e = ERR_OK;
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    for (size_t i = 0; e == ERR_OK && i < context->count; i++) {
        const struct dot dot = context->at[i];
        uint8_t key[GAP_KEY_BYTES];
        bool held = false;
        if ((!is_late && vv_covers(q->had, dot)) || core_counts(c, dot) != ERR_OK) {
            continue;
        }
        arena_reset(&work);
        e = is_held(c, &work, q->dossier, dot, &held);
        if (e == ERR_OK && !held) {
            gap_key(q->dossier, dot, key);
            e = c->store->ops->put(c->store, SPACE_GAP, BYTES_OF(key), (struct bytes){ 0 });
            *found = true;
        }
    }
    arena_release(&work);
    return e;
}

static enum err list_gap(void *ctx, struct bytes key, struct bytes value)
{
    struct dot dot = { 0 };
    (void)value;
    bool is_key =
        key.len == GAP_KEY_BYTES && dot_from_key(bytes_of(key.ptr + DOSSIER_ID_BYTES, DOT_KEY_BYTES), &dot) == ERR_OK;
    return is_key ? core_collect_dot(ctx, dot) : ERR_DAMAGED;
}

enum err gap_dots(struct core *c, struct dossier_id id, struct dots *out)
{
    uint8_t from[GAP_KEY_BYTES];
    uint8_t to[GAP_KEY_BYTES];
    gap_key(id, (struct dot){ 0 }, from);
    gap_key(id, (struct dot){ .node = UINT32_MAX, .epoch = UINT32_MAX, .seq = UINT64_MAX }, to);
    return c->store->ops->scan(c->store, SPACE_GAP, BYTES_OF(from), BYTES_OF(to), false, list_gap, out);
}

enum err gap_filled(struct core *c, struct arena *a, struct dossier_id id, struct dot dot, bool *left)
{
    struct dots dots = { .a = a };
    uint8_t key[GAP_KEY_BYTES];
    gap_key(id, dot, key);
    enum err e = c->store->ops->del(c->store, SPACE_GAP, BYTES_OF(key));
    if (e == ERR_OK) {
        e = gap_dots(c, id, &dots);
    }
    *left = dots.count > 0;
    return e;
}

struct lowering {
    const struct dots *gaps; /* ascending */
    struct vv *context;
    uint64_t *held; /* per entry of the context: the highest seq held in front of its first gap */
};

static const struct dot *first_gap(const struct dots *gaps, struct dot of)
{
    for (size_t i = 0; i < gaps->count; i++) {
        if (gaps->at[i].node == of.node && gaps->at[i].epoch == of.epoch) {
            return &gaps->at[i];
        }
    }
    return NULL;
}

static enum err see_touch(void *ctx, struct dot dot)
{
    struct lowering *l = ctx;
    const struct dot *gap = first_gap(l->gaps, dot);
    for (size_t i = 0; gap != NULL && dot.seq < gap->seq && i < l->context->count; i++) {
        const struct dot *entry = &l->context->at[i];
        if (entry->node == dot.node && entry->epoch == dot.epoch && dot.seq > l->held[i]) {
            l->held[i] = dot.seq;
        }
    }
    return ERR_OK;
}

enum err gap_context(struct core *c, struct arena *a, struct dossier_id id, struct vv *context)
{
    struct dots gaps = { .a = a };
    struct lowering l = { .gaps = &gaps, .context = context };
    size_t kept = 0;
    enum err e = gap_dots(c, id, &gaps);
    l.held = arena_array(a, context->count + 1, sizeof(*l.held));
    if (e == ERR_OK) {
        e = l.held == NULL ? ERR_NOMEM : c->store->ops->touch_scan(c->store, id, see_touch, &l);
    }
    for (size_t i = 0; e == ERR_OK && i < context->count; i++) {
        struct dot entry = context->at[i];
        /* Our own commits we have seen, wherever they are now. */
        if (entry.node != c->self.number && first_gap(&gaps, entry) != NULL) {
            entry.seq = entry.seq < l.held[i] ? entry.seq : l.held[i];
        }
        context->at[kept] = entry;
        kept += entry.seq > 0 ? 1 : 0;
    }
    context->count = e == ERR_OK ? kept : context->count;
    return e;
}

enum err gap_drop(struct core *c, struct arena *a, struct dossier_id id)
{
    struct dots dots = { .a = a };
    enum err e = gap_dots(c, id, &dots);
    for (size_t i = 0; e == ERR_OK && i < dots.count; i++) {
        uint8_t key[GAP_KEY_BYTES];
        gap_key(id, dots.at[i], key);
        e = c->store->ops->del(c->store, SPACE_GAP, BYTES_OF(key));
    }
    return e;
}
