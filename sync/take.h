#ifndef JIPAN_TAKE_H
#define JIPAN_TAKE_H

#include "schema/wire.h"
#include "sync/core.h"

/*
 * What is accepted from another node, whichever way it came: on a line or in a file. Runs inside the caller's
 * transaction.
 */
struct taking {
    struct core *core;
    struct arena *work; /* one commit at a time, reset by us */
    uint32_t from; /* node that hands it over, proven by the line or by the signature of a bundle */
    struct vv *known; /* raised: what the giver has settled */
    struct arena *known_arena;
    struct now now;
};

/* For counting. */
struct taken {
    bool is_commit;
    bool is_new; /* this node did not have it */
};

/* One item: a commit, or a withheld mark if the giver may say so; a mark of somebody else is passed over, the commits
 * may still come. Known commits are passed over. Errors as core_ingest and core_settle_withheld. */
MUST_USE enum err take_item(const struct taking *t, const struct wire_item *item, struct taken *out);

/* Consecutive membership entries; known ones are passed over. */
MUST_USE enum err take_members(const struct taking *t, const struct bytes *entries, size_t count);

#endif
