#ifndef JIPAN_UPGRADE_H
#define JIPAN_UPGRADE_H

#include "node/app.h"

/*
 * What a node makes of its change log depends on the catalogue. The store remembers by which revision its tables were
 * made (kv_meta "catalogue"); at the first open by a later one everything that waited for it is applied.
 */

/* Called while the tables are made anew, in commits. The same for every node opened by this process; fn NULL: nobody.
 */
typedef void (*upgrade_progress_fn)(void *ctx, uint64_t done, uint64_t total);
void upgrade_watch(upgrade_progress_fn fn, void *ctx);

/* A new store: its tables are of this revision. Inside the caller's transaction. */
MUST_USE enum err upgrade_stamp(struct app *app);

/**
 * upgrade_check: before anything is written. ERR_VERSION with why when a later version of the program made the tables.
 */
MUST_USE enum err upgrade_check(struct app *app, struct why *why);

/**
 * upgrade_run: when the tables are of an earlier revision, makes them anew from the change log if something waits that
 * this revision may know, and remembers the revision, all in one transaction: a process killed in between leaves the
 * store as it was, and the next open does it again. Nothing waits: one small write, whatever the size of the store.
 */
MUST_USE enum err upgrade_run(struct app *app, struct why *why);

#endif
