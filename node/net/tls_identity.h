#ifndef JIPAN_TLS_IDENTITY_H
#define JIPAN_TLS_IDENTITY_H

#include "schema/base/bytes.h"
#include "schema/base/err.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A node's TLS identity is one Ed25519 key. The certificate around it is self-signed, carries no name of a person or
 * station, never expires and is rebuilt from the seed at every start: peers pin the key, not the certificate.
 */

enum { TLS_SEED_BYTES = 32, TLS_KEY_BYTES = 32 };

/* The public key that belongs to seed: what other nodes pin. */
void tls_public_key(const uint8_t seed[TLS_SEED_BYTES], uint8_t out[TLS_KEY_BYTES]);

/* The self-signed certificate of seed; the same bytes for the same seed. Free with X509_free. */
MUST_USE enum err tls_certificate(const uint8_t seed[TLS_SEED_BYTES], X509 **out);

/**
 * tls_context_setup: certificate, key and the only settings we speak, for a client's or a server's context alike.
 *
 * TLS 1.3 and nothing else, X25519, Ed25519 signatures only (a peer with an RSA or EC certificate cannot finish the
 * handshake), no tickets, no session cache (a resumed session would skip the check of the key), no early data.
 *
 * Errors: ERR_NOMEM when OpenSSL cannot build or accept a part.
 */
MUST_USE enum err tls_context_setup(SSL_CTX *ctx, const uint8_t seed[TLS_SEED_BYTES]);

/* A context for dialling, set up and offering ALPN http/1.1. Free with SSL_CTX_free. */
MUST_USE enum err tls_client_context_new(const uint8_t seed[TLS_SEED_BYTES], SSL_CTX **out);

/* The raw key of a certificate; ERR_UNKNOWN_PEER when it is not an Ed25519 key. */
MUST_USE enum err tls_certificate_key(const X509 *certificate, uint8_t out[TLS_KEY_BYTES]);

/**
 * tls_peer_key: the key the other side proved in a finished handshake.
 *
 * Errors: ERR_UNKNOWN_PEER without a certificate or with another kind of key;
 *         ERR_PROTOCOL when the handshake is unfinished, resumed, not TLS 1.3, or agreed on anything but http/1.1.
 */
MUST_USE enum err tls_peer_key(const SSL *ssl, uint8_t out[TLS_KEY_BYTES]);

#endif
