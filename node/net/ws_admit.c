/*
 * Owns: who gets through the websocket port: the key behind a certificate and every line of an upgrade request that
 * matters. Policy about keys is not made here: allow() says. The library accepts almost anything by itself
 * (docs/decisions/0004-websocket-transport.md), so what is not checked here is not checked.
 */
#include "node/net/ws_admit.h"

#include "node/net/tls_identity.h"

#include <libwebsockets.h>
#include <sodium.h>
#include <string.h>

static const char *const door_names[] = { [DOOR_SYNC] = WS_DOOR_SYNC, [DOOR_JOIN] = WS_DOOR_JOIN };

const char *ws_door_name(enum transport_door door)
{
    return door_names[door];
}

/* Called during the handshake. The dates, names and issuer of a certificate mean nothing here: only its key does, and
 * TLS itself makes the peer sign with that key. */
int ws_verify_certificate(struct ws_conn *c, X509_STORE_CTX *store)
{
    uint8_t key[TRANSPORT_KEY_BYTES];
    const X509 *shown = X509_STORE_CTX_get_current_cert(store);
    if (c == NULL || shown == NULL || X509_STORE_CTX_get_error_depth(store) != 0) {
        return 1;
    }
    if (tls_certificate_key(shown, key) != ERR_OK ||
        (c->is_outbound && sodium_memcmp(key, c->expect_key, sizeof(key)) != 0)) {
        c->failure = ERR_UNKNOWN_PEER;
        return 1;
    }
    memcpy(c->peer_key, key, sizeof(key));
    c->has_key = true;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 0;
}

/* The second look, after the handshake: the proven key is the one that was accepted, on the terms we insist on. */
static bool has_proven_key(const struct ws_conn *c, struct lws *wsi)
{
    uint8_t key[TRANSPORT_KEY_BYTES];
    const SSL *ssl = lws_get_ssl(wsi);
    return c->has_key && ssl != NULL && tls_peer_key(ssl, key) == ERR_OK &&
           sodium_memcmp(key, c->peer_key, sizeof(key)) == 0;
}

static bool header_is(struct lws *wsi, enum lws_token_indexes header, const char *want)
{
    char text[64];
    return lws_hdr_copy(wsi, text, sizeof(text), header) > 0 && strcmp(text, want) == 0;
}

static bool header_is_absent(struct lws *wsi, enum lws_token_indexes header)
{
    return lws_hdr_total_length(wsi, header) == 0;
}

static bool request_names_door(struct lws *wsi, enum transport_door *out)
{
    for (size_t d = 0; d < ARRAY_LEN(door_names); d++) {
        if (header_is(wsi, WSI_TOKEN_PROTOCOL, door_names[d])) {
            *out = (enum transport_door)d;
            return true;
        }
    }
    return false;
}

/* Every check of an upgrade request; the HTTP status that answers it, 0 = admitted. */
static unsigned int admit(struct ws_conn *c, struct lws *wsi, const struct transport_events *ev)
{
    if (!has_proven_key(c, wsi) || !header_is_absent(wsi, WSI_TOKEN_ORIGIN) ||
        !header_is_absent(wsi, WSI_TOKEN_SWORIGIN)) {
        return HTTP_STATUS_FORBIDDEN;
    }
    if (!header_is(wsi, WSI_TOKEN_GET_URI, WS_PATH) || !header_is_absent(wsi, WSI_TOKEN_HTTP_URI_ARGS)) {
        return HTTP_STATUS_NOT_FOUND;
    }
    if (!header_is(wsi, WSI_TOKEN_HTTP, "HTTP/1.1") || !header_is_absent(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) ||
        !header_is_absent(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) || !header_is(wsi, WSI_TOKEN_HOST, WS_HOST) ||
        !header_is(wsi, WSI_TOKEN_VERSION, "13") || !request_names_door(wsi, &c->door)) {
        return HTTP_STATUS_BAD_REQUEST;
    }
    return ev->allow(ev->ctx, c->door, c->peer_key) ? 0 : HTTP_STATUS_FORBIDDEN;
}

int ws_upgrade_request(struct ws_conn *c, struct lws *wsi, const struct transport_events *ev)
{
    if (c->is_outbound || c->state != WS_HANDSHAKE) {
        return -1;
    }
    unsigned int refusal = admit(c, wsi, ev);
    if (refusal != 0) {
        (void)lws_return_http_status(wsi, refusal, "");
        return -1;
    }
    c->is_admitted = true;
    return 0;
}

int ws_upgrade_answer(const struct ws_conn *c, struct lws *wsi)
{
    bool is_ours = c != NULL && c->is_outbound && c->state == WS_HANDSHAKE && has_proven_key(c, wsi) &&
                   sodium_memcmp(c->peer_key, c->expect_key, sizeof(c->peer_key)) == 0 &&
                   header_is(wsi, WSI_TOKEN_PROTOCOL, ws_door_name(c->door));
    return is_ours ? 0 : 1;
}
