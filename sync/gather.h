#ifndef JIPAN_GATHER_H
#define JIPAN_GATHER_H

#include "schema/wire.h"
#include "sync/core.h"

/*
 * What one node may have now and lacks: used by sessions and by bundles, which put it on a line and into a file. Knows
 * nothing of either.
 */
enum { GATHER_ITEMS_MAX = 512, GATHER_ENTRIES_MAX = 256, GATHER_ENTRIES_BYTES = 512 << 10 };

struct gather {
    struct core *core;
    const struct member_node *to;
    struct vv *known; /* what `to` has settled; raised past what is gathered */
    struct arena *known_arena;
    struct arena *out; /* items and their bytes */
    struct arena *work; /* one commit at a time, reset by us */
    size_t bytes_max; /* soft: one commit more than fits is never added, but a first one always is */
};

struct gathered {
    struct wire_item *items; /* in the order of origins, oldest first */
    size_t count;
    uint64_t commits;
    uint64_t dossiers; /* groups released, for the audit log */
};

/* The next batch; out->count 0: nothing is left. What was gathered is not taken back when a later step fails. */
MUST_USE enum err gather_commits(const struct gather *g, struct gathered *out);

/* The commits of these dots, reduced to what `to` may have now; those of which nothing is left, that are cut off, or
 * that it has not settled yet (known) are passed over. *done: how many of the dots are dealt with. Unlike
 * gather_commits it also gives what is held in part: the receiver has settled the dot already and takes whatever it
 * lacked. */
MUST_USE enum err gather_dots(
    const struct gather *g, const struct dot *dots, size_t count, size_t *done, struct gathered *out);

/* Commits before their turn: as gather_dots, but of dots that lie further on than what it lacks next, held whole or
 * lacking nothing it may have, as in gather_commits, and not its own. Nothing for and from relays. */
MUST_USE enum err gather_early(
    const struct gather *g, const struct dot *dots, size_t count, size_t *done, struct gathered *out);

/* Of the commits of these dots only the parts of one dossier and class, without secrets. */
struct gather_part {
    struct dot dot;
    struct dossier_id dossier;
    enum class_ class_;
};
MUST_USE enum err gather_parts(
    const struct gather *g, const struct gather_part *parts, size_t count, size_t *done, struct gathered *out);

/* Consecutive membership entries from number `first` on; *count 0: there are none. Memory from out. */
MUST_USE enum err gather_members(
    struct core *c, struct arena *out, uint64_t first, struct bytes **entries, size_t *count);

#endif
