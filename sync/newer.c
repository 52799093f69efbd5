/*
 * Owns: the note that an origin stands still at a commit of a format this build does not know, counting what waits for
 * an upgrade, and what an author has seen while something waits. Invariants: such a commit is never kept nor forwarded,
 * for nobody here can say that it is genuine; there are at most NEWER_STOPPED_MAX notes, since they rest on a peer's
 * word alone; a note never keeps a commit out.
 */
#include "sync/newer.h"

#include "sync/core_internal.h"

static struct quarantine_place note_of(struct dot dot)
{
    return (struct quarantine_place){ .dot = dot, .part = QUARANTINE_WHOLE_GROUP };
}

static enum err count_entry(void *ctx, struct bytes key, struct bytes value)
{
    static const struct dossier_id none;
    struct newer_count *out = ctx;
    struct quarantine_place at;
    if (quarantine_key_take(key, &at) != ERR_OK || value.len == 0) {
        return ERR_DAMAGED;
    }
    if (value.ptr[0] != ERR_UNKNOWN_KIND && value.ptr[0] != ERR_VERSION) {
        return ERR_OK;
    }
    if (dossier_id_compare(at.dossier, none) != 0) {
        out->parts++;
    } else if (out->stopped_count < NEWER_STOPPED_MAX) {
        out->stopped[out->stopped_count++] = at.dot;
    }
    return ERR_OK;
}

enum err newer_count(struct core *c, struct newer_count *out)
{
    const struct bytes all = { 0 };
    *out = (struct newer_count){ .parts = 0 };
    return c->store->ops->scan(c->store, SPACE_QUARANTINE, all, all, false, count_entry, out);
}

static enum err find_waiting(void *ctx, struct bytes key, struct bytes value)
{
    bool *waits = ctx;
    (void)key;
    if (value.len == 0) {
        return ERR_DAMAGED;
    }
    *waits = value.ptr[0] != ERR_GAP && value.ptr[0] != ERR_REVOKED;
    return *waits ? ERR_BUSY : ERR_OK; /* one is enough */
}

enum err newer_waits(struct core *c, bool *out)
{
    const struct bytes all = { 0 };
    *out = false;
    enum err e = c->store->ops->scan(c->store, SPACE_QUARANTINE, all, all, false, find_waiting, out);
    return e == ERR_BUSY ? ERR_OK : e;
}

static enum err note(struct core *c, struct arena *a, struct dot dot)
{
    struct newer_count count;
    const struct quarantine_place at = note_of(dot);
    enum err e = newer_count(c, &count);
    if (e != ERR_OK || count.stopped_count == NEWER_STOPPED_MAX) {
        return e;
    }
    return quarantine_put(c, a, &at, ERR_VERSION, 0);
}

enum err newer_pass(struct core *c, struct arena *a, struct bytes commit, enum err why)
{
    struct dot dot;
    bool is_stopped = false;
    if ((why != ERR_VERSION && why != ERR_GAP) || commit_peek(commit, &dot) != ERR_OK) {
        return why;
    }
    if (members_node(c->members, dot.node) == NULL) {
        return ERR_UNKNOWN_PEER;
    }
    const struct head *head = core_head(c, dot.node, dot.epoch);
    uint64_t upto = head == NULL ? 0 : head->upto;
    if (dot.seq <= upto) {
        return ERR_OK;
    }
    const struct quarantine_place at = note_of((struct dot){ .node = dot.node, .epoch = dot.epoch, .seq = upto + 1 });
    enum err e = quarantine_has(c, a, &at, &is_stopped);
    if (e != ERR_OK || is_stopped) {
        return e;
    }
    if (why == ERR_VERSION && dot.seq == upto + 1) {
        return note(c, a, dot);
    }
    return ERR_GAP;
}

enum err newer_arrived(struct core *c, struct arena *a, struct dot dot)
{
    const struct quarantine_place at = note_of(dot);
    return quarantine_remove(c, a, &at);
}

/* --- what an author has seen
 * ------------------------------------------------------------------------------------------------------------------ */

struct limiting {
    struct core *c;
    struct arena *a;
    enum class_ class_;
    struct vv *context;
};

/* Whether something of this class waits that an upgrade, a key or a correction may bring to light. What its author had
 * no right to write stays away for good and hides nothing. */
static bool may_come(const struct quarantine_place *at, enum err why)
{
    if (at->part == QUARANTINE_WHOLE_GROUP) {
        return false; /* nothing of it counts as seen */
    }
    bool is_but_newer = (at->part & QUARANTINE_BUT_NEWER) != 0;
    return is_but_newer ? why == ERR_UNKNOWN_KIND : why != ERR_DENIED && why != ERR_REVOKED && why != ERR_GAP;
}

static enum err class_of(struct limiting *l, const struct quarantine_place *at, enum class_ *out)
{
    struct commit_view v;
    struct group_item g;
    struct part_item p;
    enum err e = core_log_get(l->c, l->a, at->dot, &v);
    struct body_cursor groups = { .group_count = 0 };
    if (e == ERR_OK) {
        groups = commit_groups(&v);
    }
    while (e == ERR_OK && (e = commit_next_group(&groups, &g)) == ERR_OK) {
        if (g.is_withheld || g.index != at->group) {
            continue;
        }
        struct part_cursor parts = group_parts(&g);
        while ((e = group_next_part(&parts, &p)) == ERR_OK) {
            if (p.index == (at->part & ~(unsigned)QUARANTINE_BUT_NEWER)) {
                *out = p.class_;
                return ERR_OK;
            }
        }
    }
    return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
}

static void cap(struct vv *context, struct dot dot)
{
    for (size_t i = 0; i < context->count; i++) {
        struct dot *d = &context->at[i];
        if (d->node != dot.node || d->epoch != dot.epoch || d->seq < dot.seq) {
            continue;
        }
        d->seq = dot.seq - 1;
        if (d->seq == 0) {
            memmove(d, d + 1, (context->count - i - 1) * sizeof(*d));
            context->count--;
        }
        return;
    }
}

static enum err limit_by(void *ctx, struct bytes key, struct bytes value)
{
    struct limiting *l = ctx;
    struct quarantine_place at;
    enum class_ class_ = CLASS_COUNT;
    if (quarantine_key_take(key, &at) != ERR_OK || value.len == 0) {
        return ERR_DAMAGED;
    }
    if (!may_come(&at, (enum err)value.ptr[0])) {
        return ERR_OK;
    }
    enum err e = class_of(l, &at, &class_);
    if (e == ERR_OK && class_ == l->class_) {
        cap(l->context, at.dot);
    }
    return e;
}

enum err newer_context(struct core *c, struct arena *a, struct dossier_id dossier, enum class_ class_,
    const struct vv *seen, struct vv *out)
{
    uint8_t to[DOSSIER_ID_BYTES];
    size_t i = sizeof(to);
    *out = *seen;
    if (seen->count == 0 || c->pending == 0) {
        return ERR_OK;
    }
    out->at = arena_array(a, seen->count, sizeof(*out->at));
    if (out->at == NULL) {
        return ERR_NOMEM;
    }
    memcpy(out->at, seen->at, seen->count * sizeof(*out->at));
    out->capacity = seen->count;
    memcpy(to, dossier.b, sizeof(to));
    while (i > 0 && ++to[i - 1] == 0) {
        i--;
    }
    struct limiting l = { .c = c, .a = a, .class_ = class_, .context = out };
    return c->store->ops->scan(c->store, SPACE_QUARANTINE, BYTES_OF(dossier.b),
        i == 0 ? (struct bytes){ 0 } : BYTES_OF(to), false, limit_by, &l);
}
