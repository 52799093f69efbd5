#ifndef JIPAN_NODE_VAULT_COPY_H
#define JIPAN_NODE_VAULT_COPY_H

#include "node/vault.h"

/*
 * A consistent copy of an open vault into a file of the same format, with the same data key and key slots, made piece
 * by piece while the writer goes on: what it writes meanwhile is in the copy too, which shows the store as it is at the
 * last piece. Belongs to the thread of the vault; end it before the vault is closed.
 */
struct vault_copy;

/* dir is absolute and without symbolic links. dir/name is made new, mode 0600; what bears that name is removed. */
MUST_USE enum err vault_copy_begin(
    struct vault *v, const char *dir, const char *name, struct vault_copy **out, struct why *why);

/* Copies at most `pages` pages more; *done when all are copied. */
MUST_USE enum err vault_copy_step(struct vault_copy *c, int pages, bool *done, struct why *why);

/* Pages of 4096 bytes. */
void vault_copy_progress(const struct vault_copy *c, uint64_t *done, uint64_t *total);

/* After the last step: the connection of the copy, for what only the copy shall say. */
sqlite3 *vault_copy_db(struct vault_copy *c);

/* Closes the copy, makes it durable and renames it to dir/final. Frees c; on an error nothing of the copy is left. */
MUST_USE enum err vault_copy_finish(struct vault_copy *c, const char *final_name, struct why *why);

/* Removes what there is of it. NULL is fine. */
void vault_copy_abandon(struct vault_copy *c);

#endif
