#ifndef JIPAN_TRANSPORT_H
#define JIPAN_TRANSPORT_H

#include "schema/base/bytes.h"
#include "schema/base/env.h"
#include "schema/base/err.h"

/*
 * What the core needs from a transport: whole messages between authenticated keys. Two implementations:
 * node/transport_ws.c (websocket over mutual TLS 1.3) and tests/lib/transport_mem.c;
 * tests/contract/contract_transport.c holds both to the numbered clauses.
 *
 *  T1  on_open comes before any on_message of a connection, exactly one on_closed ends it; nothing comes after it.
 *  T2  Messages arrive whole, in order, each once, or the connection closes.
 *  T3  peer_key in on_open is the raw 32-byte Ed25519 key that the peer proved in the TLS handshake.
 *  T4  A dial with expect_key reaches on_open only if the peer proved that key; otherwise on_dial_failed.
 *  T5  An inbound connection is asked about by allow() before on_open; false ends it without on_open.
 *  T6  Messages over TRANSPORT_MESSAGE_MAX close the connection before they are buffered beyond the limit.
 *  T7  send copies; it never blocks; queued_bytes says what has not left yet; on_drain fires when it falls under half
 *      of TRANSPORT_QUEUE_MAX; a send over TRANSPORT_QUEUE_MAX is ERR_BUSY and changes nothing.
 *  T8  Callbacks never run inside send, close or dial.
 */

enum { TRANSPORT_KEY_BYTES = 32, TRANSPORT_MESSAGE_MAX = 1 << 20, TRANSPORT_QUEUE_MAX = 8 << 20 };

/* Two doors on one port: members' sync sessions, and enrolment of a node that holds an invite. */
enum transport_door { DOOR_SYNC, DOOR_JOIN };

typedef uint64_t conn_id; /* never reused while the process lives; 0 = none */

struct transport_events {
    void *ctx;
    bool (*allow)(void *ctx, enum transport_door door, const uint8_t peer_key[TRANSPORT_KEY_BYTES]);
    void (*on_open)(void *ctx, conn_id c, enum transport_door door, bool outbound, uint64_t dial_tag,
        const uint8_t peer_key[TRANSPORT_KEY_BYTES]);
    void (*on_message)(void *ctx, conn_id c, struct bytes message);
    void (*on_drain)(void *ctx, conn_id c);
    void (*on_closed)(void *ctx, conn_id c);
    void (*on_dial_failed)(void *ctx, uint64_t dial_tag, enum err why);
    /* May be NULL. An open connection breaks the rules of the line and is being closed; on_closed follows. */
    void (*on_fault)(void *ctx, const uint8_t peer_key[TRANSPORT_KEY_BYTES], enum err why);
};

struct transport;

struct transport_ops {
    /* Starts connecting; the outcome is on_open or on_dial_failed with dial_tag. address = "host:port". */
    enum err (*dial)(struct transport *t, enum transport_door door, struct bytes address,
        const uint8_t expect_key[TRANSPORT_KEY_BYTES], uint64_t dial_tag);
    enum err (*send)(struct transport *t, conn_id c, struct bytes message);
    size_t (*queued_bytes)(struct transport *t, conn_id c);
    void (*close)(
        struct transport *t, conn_id c); /* queued messages are flushed first if the peer takes them within 2 s */
};

struct transport {
    const struct transport_ops *ops;
};

#endif
