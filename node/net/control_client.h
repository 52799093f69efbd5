#ifndef JIPAN_CONTROL_CLIENT_H
#define JIPAN_CONTROL_CLIENT_H

#include "schema/base/buf.h"
#include "schema/base/bytes.h"
#include "schema/base/err.h"

/* The blocking side of node/net/control_socket.h, for commands that talk to a running daemon. */
struct control_client;

/* ERR_UNREACHABLE no daemon listens at path; ERR_DENIED not ours to use; ERR_BUSY it does not accept; ERR_NOMEM. */
MUST_USE enum err control_open(const char *path, struct control_client **out);

/**
 * control_send, control_receive: one request, then its reply; the caller may do something else in between.
 *
 * Shape:   request at most CONTROL_FRAME_BYTES_MAX; timeout_ms for the call, negative = none.
 * Owner:   appends the reply to *reply, whose maximum bounds it.
 * Errors:  ERR_UNREACHABLE the daemon went away, whether it acted is unknown; ERR_BUSY time is over; ERR_LIMIT request
 *          or reply too long; ERR_NOMEM. After any error only control_close is allowed.
 */
MUST_USE enum err control_send(struct control_client *c, struct bytes request, int timeout_ms);
MUST_USE enum err control_receive(struct control_client *c, struct buf *reply, int timeout_ms);
void control_close(struct control_client *c); /* may be NULL */

/* open, send, receive, close; the time is for each. */
MUST_USE enum err control_call(const char *path, struct bytes request, struct buf *reply, int timeout_ms);

#endif
