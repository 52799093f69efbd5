#ifndef JIPAN_RECEIPT_H
#define JIPAN_RECEIPT_H

#include "sync/core.h"

/*
 * Receipts: each node's signed word "this is what I have made and what I have", handed on by relays with the commits,
 * the newest of each node kept. A relay that drops the end of a history cannot make a receipt that hides it, so whoever
 * gets the receipt sees that something is missing; and whoever wrote sees what another node has not confirmed.
 *
 *   receipt := 01 node epoch (u32 be each) number hlc (u64 be each) settled (version vector) signature[64]
 *
 * The signature is the node's under "jipan/receipt/v1". (epoch, number) of a node grows. A statement about commits,
 * never a reason to settle anything.
 */
enum { RECEIPT_MAX_BYTES = 64 << 10, RECEIPTS_PER_MESSAGE = 256, RECEIPTS_BYTES = 256 << 10 };

struct receipt {
    uint32_t node;
    uint32_t epoch;
    uint64_t number;
    uint64_t hlc; /* its clock */
    struct vv settled;
    struct bytes bytes; /* all of it, as received */
};

/* Our own, if what we have has changed since the last one; inside the caller's transaction. */
MUST_USE enum err receipt_make(struct core *c, struct arena *a, struct now now, bool *is_new);

/* Keeps one that is newer than the one of that node. Of an unknown or revoked node: passed over. Errors: ERR_FORMAT,
 * ERR_SIGNATURE; inside the caller's transaction. */
MUST_USE enum err receipt_take(struct core *c, struct arena *a, struct bytes bytes, bool *is_new);

/* The newest of every node, by number. The visitor's receipt lives in a, which is reset before each. */
typedef enum err (*receipt_fn)(void *ctx, const struct receipt *r);
MUST_USE enum err receipt_each(struct core *c, struct arena *a, receipt_fn fn, void *ctx);

/* What it says against what is here. */
struct receipt_gap {
    uint64_t missing; /* commits that it has and that have not arrived here */
    uint64_t unconfirmed; /* commits of ours that it has not */
};
struct receipt_gap receipt_compare(const struct core *c, const struct receipt *r);

#endif
