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
    bool may_jump; /* a commit may come before its turn */
};

/* For counting. */
struct taken {
    bool is_commit;
    bool is_new; /* this node did not have it */
    struct dot early; /* it came before its turn; node 0: it did not */
    uint32_t full; /* left out: so much of this node's lies here unread (core_unread_is_full); 0: it was not */
    struct dot turn; /* it came in its turn: the giver knows that we have it, and all before; node 0: it did not */
};

/* One item: a commit, or a withheld mark if the giver may say so; a mark of somebody else is passed over, the commits
 * may still come. Of what is settled here already a mark of anybody tells what the giver has. Known commits are passed
 * over. Where the giver may jump, a commit that does not follow on what we have is taken before its turn, or without
 * room passed over, and does not tell that the giver has all before it. Errors as core_ingest and core_settle_withheld.
 */
MUST_USE enum err take_item(const struct taking *t, const struct wire_item *item, struct taken *out);

/* Consecutive membership entries; known ones are passed over. */
MUST_USE enum err take_members(const struct taking *t, const struct bytes *entries, size_t count);

#endif
