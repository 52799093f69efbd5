#ifndef JIPAN_WS_CONN_H
#define JIPAN_WS_CONN_H

#include "node/net/gate.h"
#include "node/net/resolve.h"
#include "schema/base/bytes.h"
#include "sync/transport.h"

/*
 * The bookkeeping of one connection of the websocket transport: what waits to be sent, what has arrived of a message,
 * and the states it may pass. No sockets, no library: transport_ws.c moves the bytes.
 */

struct lws;
struct transport_ws;

enum ws_state {
    WS_RESOLVING, /* outbound: name look-up or waiting for the loop */
    WS_HANDSHAKE, /* TCP, TLS, upgrade */
    WS_OPEN, /* on_open was called */
    WS_CLOSING, /* close() was called; flushing */
    WS_ENDED, /* the owner knows it is over; only the socket lingers */
};

/* One message: front_room bytes for the frame header, then the message. */
struct ws_message {
    struct ws_message *next;
    size_t len;
    size_t sent;
    uint8_t bytes[];
};

enum { WS_FRONT_BYTES = 16 }; /* at least LWS_PRE */

struct ws_conn {
    conn_id id;
    struct transport_ws *owner;
    struct lws *wsi; /* NULL before the socket exists and after it is gone */
    enum ws_state state;
    enum transport_door door;
    bool is_outbound;
    bool is_admitted; /* inbound: passed every check of the upgrade request */
    bool has_key; /* peer_key was taken from the certificate shown */
    uint8_t peer_key[TRANSPORT_KEY_BYTES];
    uint8_t address[GATE_ADDRESS_BYTES]; /* inbound: where it comes from */
    uint64_t timer; /* handshake or flush limit */
    uint64_t confirmed_ms; /* when the peer last proved to be alive */

    /* outbound only */
    uint64_t dial_tag;
    uint8_t expect_key[TRANSPORT_KEY_BYTES];
    struct resolve *lookup;
    struct resolve_result addresses;
    size_t next_address;
    uint16_t port;
    enum err failure;

    struct ws_message *first;
    struct ws_message *last;
    size_t queued_bytes;
    bool owes_drain; /* was at or over half of the queue, or refused a message */

    uint8_t *partial; /* an incoming message so far */
    size_t partial_len;
    size_t partial_capacity;
};

/* Appends a copy. ERR_INVALID empty, ERR_LIMIT over TRANSPORT_MESSAGE_MAX, ERR_BUSY queue full, ERR_NOMEM. */
MUST_USE enum err ws_conn_queue(struct ws_conn *c, struct bytes message);

/* Marks n bytes of the first message as sent and frees it when none are left. */
void ws_conn_sent(struct ws_conn *c, size_t n);

/* True once each time the queue falls under half. */
bool ws_conn_take_drain(struct ws_conn *c);

/**
 * ws_conn_receive: one piece of a message.
 *
 * Shape:   more_bytes is what the current frame still announces (a hostile number); is_final: last piece of the
 * message. Owner:   *out is valid until the next call; out->len is 0 while the message is incomplete. Errors: ERR_LIMIT
 * over TRANSPORT_MESSAGE_MAX, nothing was buffered; ERR_PROTOCOL empty message; ERR_NOMEM.
 */
MUST_USE enum err ws_conn_receive(
    struct ws_conn *c, struct bytes piece, size_t more_bytes, bool is_final, struct bytes *out);

/* Frees queue and buffers, not c. */
void ws_conn_release(struct ws_conn *c);

#endif
