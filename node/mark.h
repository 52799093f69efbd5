#ifndef JIPAN_MARK_H
#define JIPAN_MARK_H

#include "node/app.h"

/*
 * Continuity of a node: whether the store that was opened is the one this node closed, at the same place. Proven by a
 * small file beside the store, `jipan.mark`, which is replaced at every open and close and whose random token the store
 * keeps sealed, together with which file it was, which file the store was and which machine it stood on. Anything that
 * does not fit - a copied directory, a file set put back, a restored backup, another machine - draws a new epoch before
 * anything else is written. What cannot be noticed: docs/decisions/0011.
 */

/* After the core is open. is_new: the store was made a moment ago, nothing can have been lost. Draws a new epoch where
 * continuity is not proven; then an error means that the store must not be used. */
MUST_USE enum err mark_open(struct app *app, bool is_new);

/* Before the store is closed, once; best effort. Nothing is written after it. */
void mark_close(struct app *app);

/* Leaves the directory's proof to nobody: the copy in db is of another place. */
MUST_USE enum err mark_forget(sqlite3 *db);

/* The next epoch, far enough by chance that two restored from one backup do not meet; at the end of all epochs
 * ERR_LIMIT. */
MUST_USE enum err mark_next_epoch(struct app *app, uint32_t *out);

/* Tests only: another machine; NULL: this one. */
void mark_test_set_machine(const char *text);

#endif
