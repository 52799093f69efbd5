#ifndef JIPAN_TRANSPORT_WS_H
#define JIPAN_TRANSPORT_WS_H

#include "node/net/loop.h"
#include "schema/base/err.h"
#include "sync/transport.h"

/*
 * The transport over websockets and mutual TLS 1.3 with pinned Ed25519 keys
 * (docs/decisions/0004-websocket-transport.md). Clauses T1 to T8 of sync/transport.h hold; beyond them:
 *
 * - on_dial_failed: ERR_UNREACHABLE no answer, line lost or handshake over the time limit; ERR_UNKNOWN_PEER another key
 *   than expected; ERR_DENIED the peer refused us; ERR_BUSY the peer or we have too many connections; ERR_PROTOCOL.
 * - dial: ERR_INVALID unless "host:port" or "[v6]:port"; ERR_BUSY too many connections. A name is looked up aside.
 * - send: ERR_NOT_FOUND not open or closing; ERR_INVALID empty; ERR_LIMIT over TRANSPORT_MESSAGE_MAX.
 * - after close() nothing but on_closed comes for that connection.
 */

/**
 * transport_ws_new: join the loop, listening when listen_host is given.
 *
 * Shape:   listen_host NULL = dial only; listen_port 0 with a host = any free port, see transport_ws_port.
 * Owner:   copies ev, derives everything from tls_seed; the caller may wipe it. Free before the loop.
 * Errors:  as listener_new, with why.
 */
MUST_USE enum err transport_ws_new(struct loop *loop, const uint8_t tls_seed[32], const char *listen_host,
    uint16_t listen_port, const struct transport_events *ev, struct transport **out, struct why *why);
uint16_t transport_ws_port(const struct transport *t); /* 0 when not listening */

/* Drops every connection at once without a callback. Not from inside a callback. May be NULL. */
void transport_ws_free(struct transport *t);

#endif
