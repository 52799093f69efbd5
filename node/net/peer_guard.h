#ifndef JIPAN_PEER_GUARD_H
#define JIPAN_PEER_GUARD_H

#include "schema/base/err.h"
#include "sync/transport.h"

/*
 * What members have cost us by breaking the rules, by their TLS key: bad signatures, malformed messages, frames we do
 * not speak, refusals of any kind. Each has a budget that fills up again; who has used it up is not let in, nor
 * dialled, for a time that doubles with every further offence. Pure: time comes in. Lives with the process.
 *
 * Honest peers can be refused too (a fork, a version): they lose nothing but time, and are told apart in status.
 */
enum {
    GUARD_PEERS_MAX = 512,
    GUARD_BUDGET = 8, /* faults before the first pause */
    GUARD_REFILL_MS = 60 * 1000, /* one fault is forgiven in this time */
    GUARD_PAUSE_FIRST_MS = 30 * 1000,
    GUARD_PAUSE_MAX_MS = 60 * 60 * 1000,
};

struct guarded {
    uint8_t key[TRANSPORT_KEY_BYTES];
    uint64_t seen_ms; /* last fault; 0: free */
    uint32_t left; /* of the budget */
    uint32_t pauses; /* in a row; one is forgiven for each GUARD_PAUSE_MAX_MS without a fault */
    uint64_t until_ms; /* paused until then */
    uint64_t faults; /* in all */
    enum err last;
};

struct peer_guard {
    struct guarded at[GUARD_PEERS_MAX];
};

void peer_guard_fault(struct peer_guard *g, const uint8_t key[TRANSPORT_KEY_BYTES], enum err why, uint64_t now_ms);
bool peer_guard_admits(const struct peer_guard *g, const uint8_t key[TRANSPORT_KEY_BYTES], uint64_t now_ms);
/* NULL: never a fault, or long forgotten. */
const struct guarded *peer_guard_find(const struct peer_guard *g, const uint8_t key[TRANSPORT_KEY_BYTES]);

#endif
