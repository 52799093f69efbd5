/*
 * Owns: the note that an origin stands still at a commit of a format this build does not know, and counting what waits
 * for an upgrade. Invariants: such a commit is never kept nor forwarded, for nobody here can say that it is genuine;
 * there are at most NEWER_STOPPED_MAX notes, since they rest on a peer's word alone; a note never keeps a commit out.
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
