#ifndef JIPAN_DAEMON_H
#define JIPAN_DAEMON_H

#include "node/app.h"
#include "node/net/loop.h"

#include <jansson.h>

/*
 * The running node: one thread, one loop. It turns socket events into events of sync/session.h and performs the
 * actions, dials the configured peers with back-off, and serves local requests. Back-off: 500 ms doubling to at most 60
 * s, with jitter.
 */
struct daemon;

/* listen: "host:port". Errors: ERR_BUSY port in use, others with why. */
MUST_USE enum err daemon_new(struct app *app, const char *listen, struct daemon **out, struct why *why);
MUST_USE enum err daemon_run(struct daemon *d); /* until SIGTERM or SIGINT; a store error ends it */
void daemon_free(struct daemon *d);

/* The process-wide signal handling of `run`; installs handlers for SIGTERM, SIGINT. */
void daemon_handle_signals(struct daemon *d);

/* Answers a deferred request. Takes over reply. */
void daemon_reply(struct daemon *d, uint64_t client, json_t *reply);

/* Facts about sessions and peers for `status`. */
json_t *daemon_links(const struct daemon *d);
void daemon_limits(const struct daemon *d, json_t *out); /* adds keys */
void daemon_copy(const struct daemon *d, json_t *out); /* adds a key while another copy of this node is about */

/* Path of the control socket of a home; false if too long. */
bool daemon_socket_path(const char *home, char *out, size_t out_len);

/* --- reconcile now
 * ----------------------------------------------------------------------------------------------------- */

struct sync_outcome {
    size_t in_sync; /* peers that we are in sync with now */
    size_t unreachable; /* configured peers that did not answer */
    uint32_t nodes[64]; /* the first in_sync of them */
};
typedef void (*sync_done_fn)(void *ctx, const struct sync_outcome *outcome);

/* Calls done once, when every reachable peer and we are in sync, or nothing has moved for 10 s. */
MUST_USE enum err daemon_sync(struct daemon *d, sync_done_fn done, void *ctx);

/* The same without a running daemon: dials, waits, returns. */
MUST_USE enum err daemon_sync_once(struct app *app, struct sync_outcome *out, struct why *why);

/* --- enrolment, the joining half
 * ----------------------------------------------------------------------------------------- */

/* Contacts the inviting node and creates home. Nothing is left in home on an error. listen may be empty. */
MUST_USE enum err daemon_join(const char *home, struct bytes passphrase, struct bytes code_text, struct bytes listen,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], uint32_t *node, struct why *why);

#endif
