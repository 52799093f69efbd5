#ifndef JIPAN_LETTER_H
#define JIPAN_LETTER_H

#include "sync/core.h"

/*
 * Letters: own commits of which something was forgotten here, whole and sealed to stations and hubs
 * (docs/decisions/0025). Who took over what this node wrote may be lost or struck off the next day; what was
 * acknowledged here must reach the group all the same. This node cannot open a letter.
 *
 *   kept   := groups(varint) count(u8) count times: node(u32 be) wrap[80]; then header[24] sealed
 *   sent   := wrap[80] header[24] sealed
 *   sealed := one last piece of a stream (sync/seal_stream.h) bound to the group, of: secrets(blob) commit
 */
enum { LETTER_READERS_MAX = 8, LETTER_ARENA_BYTES = 2 << 20 };
enum { LETTER_KEEPERS_MIN = 2, LETTER_EXPIRE_MAX = 256, LETTER_SAID_MAX = 32 };

/* Before anything of the commit is forgotten: one is written and kept, if the commit is ours and held whole, and none
 * is there yet. Readers are stations and hubs that may hold all of it, those that hold the group first; without any,
 * nothing is kept. Inside the caller's transaction. */
MUST_USE enum err letter_write(struct core *c, struct arena *a, const struct commit_view *v);

/* Throws away up to LETTER_EXPIRE_MAX letters that nobody will need: all readers not revoked since, two or more, have
 * said that they have the commit, or every reader is revoked. Inside the caller's transaction. */
MUST_USE enum err letter_expire(struct core *c, struct arena *a);

struct letter {
    struct bytes bytes; /* as sent; in the arena */
    uint64_t groups; /* of the commit, for the audit log */
};

/* ERR_NOT_FOUND: none of this commit is kept, or `to` is not among its readers. */
MUST_USE enum err letter_for(struct core *c, struct arena *a, struct dot dot, uint32_t to, struct letter *out);

/* One that was sent to us: the commit and the secrets beside it, in the arena, of which nothing is believed yet.
 * Errors: ERR_FORMAT, ERR_TRUNCATED, ERR_SEAL: the sender's fault; ERR_NOMEM. */
MUST_USE enum err letter_open(
    struct core *c, struct arena *a, struct bytes letter, struct bytes *commit, struct bytes *secrets);

#endif
