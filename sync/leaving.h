#ifndef JIPAN_LEAVING_H
#define JIPAN_LEAVING_H

#include "sync/core.h"

/*
 * Dossiers that this node holds and may not hold any more: handed over to another consultant, or of a station that went
 * out of its scope. It finds that out by itself, from rows and membership, so nobody can order it to forget anything;
 * and it forgets only what it wrote itself when a peer that may hold it has all of that.
 */

/* A dossier was put (before NULL: it is new here): listed when it is not for this node, taken off the list when it is.
 * Inside the caller's transaction. */
MUST_USE enum err leaving_note(struct core *c, const struct dossier *after);

/* This node's own scope changed: every dossier is looked at. */
MUST_USE enum err leaving_note_all(struct core *c);

enum { LEAVING_PER_STEP = 64 };

/**
 * leaving_run: forgets up to LEAVING_PER_STEP listed dossiers that `holder` may hold: a node of which the caller knows
 * that it has every commit written here. *gone: how many went; *left: there may be more.
 */
MUST_USE enum err leaving_run(struct core *c, const struct member_node *holder, size_t *gone, bool *left);

/* On a laptop, when a station has sent it everything: parts in quarantine of customers that it does not hold, which
 * another laptop gave it, or its own past. If such a customer comes to it all the same, everything of it comes. Up to
 * LEAVING_PER_STEP customers; as leaving_run. */
MUST_USE enum err leaving_purge(struct core *c, size_t *gone, bool *left);

/* How many wait. */
MUST_USE enum err leaving_count(struct core *c, uint64_t *out);

#endif
