#ifndef JIPAN_GREETING_H
#define JIPAN_GREETING_H

#include "schema/wire.h"
#include "sync/core.h"

/*
 * What a node says of itself before it gives anything: group, membership head, what it has settled, its signed audit
 * head. The first message of a session, and a part of every bundle.
 */
enum { GREETING_EPOCH_STEP_MAX = 1 << 21, GREETING_EPOCHS_DRAWN_MAX = 4, GREETING_EPOCH_RANDOM_MAX = 1 << 16 };

/* The encoded version vector of everything settled here; memory from a. */
MUST_USE enum err greeting_settled(struct core *c, struct arena *a, struct bytes *out);

/* Our own greeting; its bytes are in a. */
MUST_USE enum err greeting_make(struct core *c, struct arena *a, struct wire_message *out);

/**
 * greeting_take: checks the greeting of `from` and keeps what it says: its audit head as witness, what it has settled.
 * If it knows commits of ours that we do not have, our store is an older copy, and a new epoch is drawn. Inside the
 * caller's transaction. *settled is filled from keep. Errors: ERR_OUTDATED, ERR_VERSION no common version and this node
 * or the peer is the older one; ERR_UNKNOWN_PEER another group or node; ERR_CONFLICT two membership histories;
 * ERR_SIGNATURE of the audit head; ERR_FORMAT.
 */
MUST_USE enum err greeting_take(struct core *c, struct arena *work, uint32_t from, const struct wire_hello *h,
    struct arena *keep, struct vv *settled);

#endif
