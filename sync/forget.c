/*
 * Owns: forgetting a dossier on this node. Invariants: afterwards nothing stored here names it, and what is derived is
 * what a rebuild from the log as it is now would make; heads do not move and keep the hash of their last commit, so
 * that chains go on. Does not decide who forgets what, and does not reach the write-ahead log of the store.
 */
#include "sync/core_internal.h"
#include "sync/fork.h"
#include "sync/letter.h"

static bool keep_others(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    const struct dossier_id *gone = ctx;
    (void)g;
    (void)part;
    return dossier_id_compare(dossier, *gone) != 0;
}

/* Nothing is left of a commit, and it is not one that only holds a place (early.c). If it was the last of its origin,
 * its hash stays for the next one to follow. The stored head of our own must not need it to be found (core.c). */
static enum err drop_commit(struct core *c, struct arena *a, struct dot dot)
{
    const struct quarantine_place beyond_cut = { .dot = dot, .part = QUARANTINE_WHOLE_GROUP };
    uint8_t key[DOT_KEY_BYTES];
    dot_key(dot, key);
    enum err e = c->store->ops->del(c->store, SPACE_LOG, BYTES_OF(key));
    if (e == ERR_OK) {
        e = quarantine_remove(c, a, &beyond_cut);
    }
    const struct head *head = core_head(c, dot.node, dot.epoch);
    bool is_last = head != NULL && head->upto == dot.seq;
    if (e != ERR_OK || head == NULL || (!is_last && dot.node != c->self.number)) {
        return e;
    }
    struct head h = *head;
    h.is_forgotten = h.is_forgotten || is_last;
    return core_set_head(c, &h);
}

enum err core_log_reduce(struct core *c, struct arena *a, const struct commit_view *v, seal_keep_fn keep, void *ctx)
{
    const struct dot dot = v->header.dot;
    struct buf rest;
    bool any = false;
    buf_init(&rest, c->mem, COMMIT_MAX_BYTES);
    enum err e = seal_reduce(v, a, keep, ctx, &rest, &any);
    if (e == ERR_OK && !any && !core_is_early(c, dot)) {
        e = drop_commit(c, a, dot);
    } else if (e == ERR_OK && !bytes_equal(buf_view(&rest), v->all)) {
        e = core_log_put(c, dot, buf_view(&rest));
    }
    buf_release(&rest);
    return e;
}

static enum err reduce_commit(struct core *c, struct arena *a, struct dot dot, struct dossier_id gone)
{
    struct commit_view v;
    enum err e = core_log_get(c, a, dot, &v);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    e = letter_write(c, a, &v);
    return e == ERR_OK ? core_log_reduce(c, a, &v, keep_others, &gone) : e;
}

/* Every commit that may hold a group of it: applied, waiting, or beyond the cut of a revoked node. */
static enum err list_commits(struct core *c, struct dossier_id dossier, struct dots *out)
{
    static const struct dossier_id whole_commits;
    enum err e = c->store->ops->touch_scan(c->store, dossier, core_collect_dot, out);
    e = e == ERR_NOT_FOUND ? ERR_OK : e;
    if (e == ERR_OK) {
        e = quarantine_dots(c, dossier, out);
    }
    return e == ERR_OK ? quarantine_dots(c, whole_commits, out) : e;
}

enum err core_forget(struct core *c, struct arena *a, struct dossier_id dossier)
{
    struct dossier d = { .kind = DOSSIER_CUSTOMER };
    struct arena work;
    struct dots dots = { .a = a };
    enum err e = c->store->ops->dossier_get(c->store, dossier, a, &d);
    if (e != ERR_OK && e != ERR_NOT_FOUND) {
        return e;
    }
    bool is_stored = e == ERR_OK;
    if (d.kind == DOSSIER_GROUP_BOOK) {
        return ERR_DENIED; /* everybody's */
    }
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    e = list_commits(c, dossier, &dots);
    for (size_t i = 0; e == ERR_OK && i < dots.count; i++) {
        arena_reset(&work);
        e = reduce_commit(c, &work, dots.at[i], dossier);
    }
    arena_release(&work);
    if (e == ERR_OK) {
        e = fork_forget(c, dossier);
    }
    if (e == ERR_OK) {
        core_remember_nothing(c); /* its commits go from the log, or are applied again when they come back */
        e = core_drop_conflicts(c, dossier);
    }
    if (e == ERR_OK) {
        e = quarantine_drop(c, dossier);
    }
    if (e == ERR_OK) {
        e = gap_drop(c, a, dossier);
    }
    return e == ERR_OK && is_stored ? core_drop_dossier(c, &d) : e;
}
