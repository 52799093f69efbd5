#ifndef JIPAN_WS_ADMIT_H
#define JIPAN_WS_ADMIT_H

#include "node/net/ws_conn.h"

#include <openssl/x509.h>

/* The checks of transport_ws.c on identities and upgrade requests. Answers are the library's: 0 = go on. */

#define WS_PATH      "/jipan"
#define WS_HOST      "jipan" /* the Host we ask for; a browser sends a real one and is refused */
#define WS_DOOR_SYNC "jipan-sync.1"
#define WS_DOOR_JOIN "jipan-join.1"

const char *ws_door_name(enum transport_door door);

/* During the handshake, either side: takes the key of the certificate shown; a caller compares it with the one it
 * expects. c may be NULL (refused). */
int ws_verify_certificate(struct ws_conn *c, X509_STORE_CTX *store);

/* Callee, before the upgrade: every check, allow() last; answers a refusal with its HTTP status. */
int ws_upgrade_request(struct ws_conn *c, struct lws *wsi, const struct transport_events *ev);

/* Caller, after the upgrade was granted: the proven key and the door are those asked for. c may be NULL (refused). */
int ws_upgrade_answer(const struct ws_conn *c, struct lws *wsi);

#endif
