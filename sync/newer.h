#ifndef JIPAN_NEWER_H
#define JIPAN_NEWER_H

#include "sync/core.h"

/*
 * What a newer version of the program wrote and this one cannot read: it is kept, forwarded as it is, and applied after
 * an upgrade. docs/PROTOCOL.md section 7 says what a newer version may add and how each addition is treated here.
 */

/**
 * newer_pass: a commit that core_ingest answered with `why`. When its format is a newer one nobody here can verify it,
 * so its origin stands still at it: that is noted, and this commit and all that follow it are passed over until an
 * upgrade, so that neither the session nor other origins suffer. Anything else is answered with `why` again.
 * Writes inside the caller's transaction.
 */
MUST_USE enum err newer_pass(struct core *c, struct arena *a, struct bytes commit, enum err why);

/* A commit was taken in: its origin does not stand still at it, whatever was claimed. */
MUST_USE enum err newer_arrived(struct core *c, struct arena *a, struct dot dot);

/* For status. */
enum { NEWER_STOPPED_MAX = 64 };
struct newer_count {
    uint64_t parts; /* parts and groups kept for an upgrade */
    struct dot stopped[NEWER_STOPPED_MAX]; /* the commits at which origins stand still */
    size_t stopped_count;
};
MUST_USE enum err newer_count(struct core *c, struct newer_count *out);

#endif
