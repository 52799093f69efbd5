#ifndef JIPAN_NEWER_H
#define JIPAN_NEWER_H

#include "sync/core.h"

/*
 * What a newer version of the program wrote and this one cannot read: it is kept, forwarded as it is, and applied after
 * an upgrade. docs/PROTOCOL.md section 9 says what a newer version may add and how each addition is treated here.
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

/**
 * newer_context: what an author here has really seen of a dossier, for a part of this class: `seen` without the commits
 * from the first one on of which a part of this class is kept but not applied. So a write here never replaces what its
 * author could not see; the price is that it may be called concurrent with something he did see.
 */
MUST_USE enum err newer_context(struct core *c, struct arena *a, struct dossier_id dossier, enum class_ class_,
    const struct vv *seen, struct vv *out);

/* Whether an upgrade may bring something to light: anything is held back but for want of a commit or a right to be
 * here. */
MUST_USE enum err newer_waits(struct core *c, bool *out);

/* For status. */
enum { NEWER_STOPPED_MAX = 64 };
struct newer_count {
    uint64_t parts; /* parts and groups kept for an upgrade */
    struct dot stopped[NEWER_STOPPED_MAX]; /* the commits at which origins stand still */
    size_t stopped_count;
};
MUST_USE enum err newer_count(struct core *c, struct newer_count *out);

#endif
