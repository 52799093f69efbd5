#ifndef JIPAN_SESSION_H
#define JIPAN_SESSION_H

#include "sync/ahead.h"
#include "sync/transport.h"

/*
 * Sessions: what this node says to its peers. step(event) -> actions: a step runs to its end, its transaction commits,
 * and only then are actions handed out, so nothing is acknowledged or sent that a crash could take back. No clock, no
 * sockets.
 *
 *   hello both ways -> membership entries the other lacks -> commits the other lacks -> live
 *
 * What a peer may hold is decided anew for every part sent (scope of the node in the membership log, owner of the
 * dossier).
 */
enum {
    SESSIONS_MAX = 512,
    SESSION_BATCH_BYTES = 8 << 10, /* of a Commits message: what a broken line loses, what a local read waits for */
    SYNC_GROUP_BYTES = 512 << 10, /* messages of one transaction */
};

/* Of one message, beyond what fits into it; and how long a connection may be without a Hello. */
enum { SESSION_ITEMS_MAX = 4096, SESSION_ENTRIES_MAX = 256, SESSION_HELLO_MS = 10000 };

enum session_state { SESSION_FREE, SESSION_HELLO, SESSION_LIVE, SESSION_CLOSED, SESSION_STATE_COUNT };

enum sync_event_kind {
    SYNC_EV_OPEN, /* conn, outbound, key */
    SYNC_EV_MESSAGE, /* conn, message or ahead (borrowed for the step) */
    SYNC_EV_CLOSED, /* conn */
    SYNC_EV_DRAIN, /* conn: room in its queue again */
    SYNC_EV_LOCAL, /* commits or membership entries were added outside a session */
    SYNC_EV_PROBE, /* probe_id: ask every live peer whether we are in sync */
    SYNC_EV_FLUSH, /* nothing more: ends a group of events */
};

struct sync_event {
    enum sync_event_kind kind;
    conn_id conn;
    bool is_outbound;
    uint8_t key[TRANSPORT_KEY_BYTES];
    struct bytes message;
    struct ahead *ahead; /* not NULL: instead of message, what sync_ahead made of it */
    uint64_t probe_id;
    struct now now;
    bool more; /* another event follows: do not commit yet */
};

enum sync_action_kind {
    SYNC_ACT_SEND, /* conn, message */
    SYNC_ACT_CLOSE, /* conn */
    SYNC_ACT_CHANGED, /* commits came in: tell whoever waits */
    SYNC_ACT_PROBED, /* conn, node, probe_id: that peer and we are in sync */
    SYNC_ACT_AGAIN, /* there is more to do than fits a step: come back with SYNC_EV_LOCAL soon */
    SYNC_ACT_FORGOT, /* customers were forgotten: the store's log still has them until it is emptied */
    SYNC_ACT_REFUSED, /* conn, node, error, by_peer: who ended the session and why */
};

struct sync_action {
    enum sync_action_kind kind;
    conn_id conn;
    uint32_t node;
    uint64_t probe_id;
    enum err error;
    bool by_peer;
    struct bytes message; /* borrowed until the next step */
};

struct sync_actions {
    struct sync_action *at;
    size_t count;
};

/* For status. */
struct session_info {
    conn_id conn;
    uint32_t node;
    bool is_outbound;
    enum session_state state;
    uint64_t sent_commits, received_commits;
    uint64_t sent_bytes, received_bytes;
    bool is_caught_up; /* nothing left to send and all acknowledged */
    bool is_held; /* commits of the peer are not taken, for want of room; ends with the session */
    uint64_t opened_ms; /* mono_ms */
};

struct sync;

MUST_USE enum err sync_new(struct core *core, struct sync **out);
void sync_free(struct sync *s);

/**
 * sync_step: one event. *out is borrowed until the next step. A store error is returned and the step left nothing in
 * the store, but sessions may believe they sent what was never handed out: the caller must not go on with them. Peer
 * faults, also a message that needs too much memory, end that session and are not errors of the step.
 *
 * Events with `more` share one transaction with those after them: no actions come out until one without it, which
 * commits and hands out the actions of all. The caller gives such an event after at most SYNC_GROUP_BYTES of messages
 * and before anybody else uses the store (sync_is_open tells). When a message of a group needs too much memory, the
 * sessions of the whole group end: what they said is taken back and comes again.
 */
MUST_USE enum err sync_step(struct sync *s, const struct sync_event *ev, struct sync_actions *out);
/* Looks at a message whose turn is yet to come: ahead_plan, if it may be worth it. Changes nothing that a step could
 * see. Errors: as ahead_plan; ERR_NOT_FOUND also when its session takes no commits now. */
MUST_USE enum err sync_ahead(struct sync *s, conn_id conn, struct bytes message, struct ahead *out);

bool sync_is_open(const struct sync *s); /* a group of events waits for its last */

/* Whether there is room on the disk for what peers send. While there is not, their commits are not taken, nor
 * acknowledged, and nothing else changes: what is written here still goes out, membership still comes in. The sessions
 * concerned stay held until they are closed and opened again, because they have left something out. */
void sync_set_short(struct sync *s, bool is_short);

size_t sync_session_count(const struct sync *s);
struct session_info sync_session_at(const struct sync *s, size_t index);
const char *session_state_name(enum session_state st);

#endif
