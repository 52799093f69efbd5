#ifndef JIPAN_LISTENER_H
#define JIPAN_LISTENER_H

#include "node/net/loop.h"
#include "schema/base/err.h"

#include <stdint.h>

/* A listening TCP socket on the loop. Accepts; what a connection means is the caller's business. */
struct listener;

typedef void (*listener_accept_fn)(void *ctx, int fd); /* owns fd: non-blocking, close-on-exec, no delay */

/**
 * listener_new: bind and listen.
 *
 * Shape:   host numeric or a name of this machine; port 0 = any free port.
 * Errors:  ERR_BUSY port in use; ERR_DENIED port not allowed for this user; ERR_INVALID host is not of this machine;
 *          ERR_NOMEM, ERR_IO. why names the port or host.
 */
MUST_USE enum err listener_new(struct loop *loop, const char *host, uint16_t port, listener_accept_fn fn, void *ctx,
    struct listener **out, struct why *why);
uint16_t listener_port(const struct listener *l);
void listener_free(struct listener *l); /* may be NULL */

#endif
