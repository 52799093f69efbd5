#ifndef JIPAN_CONTROL_SOCKET_H
#define JIPAN_CONTROL_SOCKET_H

#include "node/net/loop.h"
#include "schema/base/bytes.h"
#include "schema/base/err.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The daemon's local door: a unix stream socket that only its own user (and root) may use. A request and its reply are
 * each one frame: 32-bit big-endian length, then that many bytes. Several requests may follow each other on a
 * connection; a client that does not read its replies holds up nobody but itself.
 */
struct control_socket;

enum {
    CONTROL_FRAME_BYTES_MAX = 16 << 20,
    CONTROL_CLIENTS_MAX = 64,
    CONTROL_HEADER_BYTES = 4,
    CONTROL_UNREAD_BYTES_MAX = 32 << 20, /* replies a client has not fetched; with more it is cut off */
};

/* Once per complete request; request is valid during the call. Answer now or later with control_socket_reply. */
typedef void (*control_request_fn)(void *ctx, uint64_t client_id, struct bytes request);

/**
 * control_socket_new: replace a stale socket file at path (mode 0600) and listen. The caller holds the vault's lock, so
 * no other daemon serves this path.
 *
 * Errors: ERR_LIMIT path longer than a socket address may be; ERR_EXISTS something else than a socket is there;
 *         ERR_IO, ERR_NOMEM; all with why.
 */
MUST_USE enum err control_socket_new(struct loop *loop, const char *path, control_request_fn fn, void *ctx,
    struct control_socket **out, struct why *why);

/* Queues one reply; copies. ERR_NOT_FOUND the client has gone; ERR_LIMIT too long or too much unread; ERR_NOMEM. May be
 * ignored: whoever is not there to hear an answer needs none. */
enum err control_socket_reply(struct control_socket *s, uint64_t client_id, struct bytes reply);

/* Closes all, removes the file. Not from inside the request callback. May be NULL. */
void control_socket_free(struct control_socket *s);

#endif
