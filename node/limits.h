#ifndef JIPAN_LIMITS_H
#define JIPAN_LIMITS_H

#include "node/app.h"
#include "node/net/peer_guard.h"
#include "sync/session.h"

#include <jansson.h>

/*
 * What the daemon lets peers cost: sessions that never greet are closed, members that keep breaking the rules are
 * paused (node/net/peer_guard.h), and what peers send is not taken while the disk has less than a reserve left, so that
 * local writes and their audit entries still find room. Bounds of memory are where the memory is: docs/PROTOCOL.md 6.7.
 */
struct limits {
    struct app *app;
    struct transport *transport;
    struct sync *sync;
    struct peer_guard guard;
    uint64_t due_ms; /* of the next look at the disk */
    uint64_t free_bytes;
    uint64_t reserve_bytes;
    bool is_short;
};

/* The reserve when nobody has chosen one: 5 % of the file system, at least 64 MiB, at most 2 GiB. */
void limits_tick(struct limits *l);

/* We ended a session with a node, or a connection of a key broke the rules of the line. */
void limits_refused(struct limits *l, uint32_t node, enum err why);
void limits_fault(struct limits *l, const uint8_t key[TRANSPORT_KEY_BYTES], enum err why);
bool limits_admit(const struct limits *l, const uint8_t key[TRANSPORT_KEY_BYTES]);

/* For `status`: members with faults, and the disk. Adds keys to out. */
void limits_describe(const struct limits *l, json_t *out);

#endif
