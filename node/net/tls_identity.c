/*
 * Owns: the certificate around a node's Ed25519 key and every setting of an OpenSSL context. Decides nothing about who
 * may connect: callers compare the raw key. OpenSSL 3.0; lws cannot load Ed25519 keys from memory itself, so its
 * contexts are filled here (docs/decisions/0004-websocket-transport.md).
 */
#include "node/net/tls_identity.h"

#include "schema/base/check.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <string.h>

/* Room for one self-signed Ed25519 certificate with space to spare; bounds what a stranger can make us parse. */
enum { PEER_CERTIFICATES_BYTES_MAX = 4096 };

static const unsigned char alpn_wire[] = { 8, 'h', 't', 't', 'p', '/', '1', '.', '1' };

void tls_public_key(const uint8_t seed[TLS_SEED_BYTES], uint8_t out[TLS_KEY_BYTES])
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    static_assert(crypto_sign_PUBLICKEYBYTES == TLS_KEY_BYTES && crypto_sign_SEEDBYTES == TLS_SEED_BYTES, "Ed25519");
    check(crypto_sign_seed_keypair(out, secret, seed) == 0);
    sodium_memzero(secret, sizeof(secret));
}

static EVP_PKEY *private_key(const uint8_t seed[TLS_SEED_BYTES])
{
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, TLS_SEED_BYTES);
}

/* No clock may ever make two nodes strangers, so the dates span everything X.509 can say (RFC 5280 4.1.2.5). */
static bool fill_certificate(X509 *x, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(x);
    return X509_set_version(x, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
           ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "19700101000000Z") == 1 &&
           ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z") == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"jipan", -1, -1, 0) == 1 &&
           X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 && X509_sign(x, key, NULL) > 0;
}

enum err tls_certificate(const uint8_t seed[TLS_SEED_BYTES], X509 **out)
{
    enum err e = ERR_NOMEM;
    EVP_PKEY *key = private_key(seed);
    X509 *x = X509_new();
    if (key == NULL || x == NULL || !fill_certificate(x, key)) {
        goto out;
    }
    *out = x;
    x = NULL;
    e = ERR_OK;
out:
    X509_free(x);
    EVP_PKEY_free(key);
    return e;
}

static bool set_rules(SSL_CTX *ctx)
{
    char group[] = "X25519"; /* arrays: the macros below cast const away */
    char signature[] = "ed25519";
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(
        ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_cert_list(ctx, PEER_CERTIFICATES_BYTES_MAX);
    SSL_CTX_set_tlsext_servername_callback(ctx, NULL); /* one identity; the name a client asks for changes nothing */
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 && SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
           SSL_CTX_set_max_early_data(ctx, 0) == 1 && SSL_CTX_set1_groups_list(ctx, group) == 1 &&
           SSL_CTX_set1_sigalgs_list(ctx, signature) == 1 && SSL_CTX_set1_client_sigalgs_list(ctx, signature) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1;
}

enum err tls_context_setup(SSL_CTX *ctx, const uint8_t seed[TLS_SEED_BYTES])
{
    X509 *certificate = NULL;
    EVP_PKEY *key = NULL;
    enum err e = tls_certificate(seed, &certificate);
    if (e != ERR_OK) {
        return e;
    }
    e = ERR_NOMEM;
    key = private_key(seed);
    if (key != NULL && set_rules(ctx) && SSL_CTX_use_certificate(ctx, certificate) == 1 &&
        SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1) {
        e = ERR_OK;
    }
    EVP_PKEY_free(key);
    X509_free(certificate);
    return e;
}

enum err tls_client_context_new(const uint8_t seed[TLS_SEED_BYTES], SSL_CTX **out)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL) {
        return ERR_NOMEM;
    }
    enum err e = tls_context_setup(ctx, seed);
    /* set_alpn_protos answers 0 for success, unlike its neighbours */
    if (e == ERR_OK && SSL_CTX_set_alpn_protos(ctx, alpn_wire, sizeof(alpn_wire)) != 0) {
        e = ERR_NOMEM;
    }
    if (e != ERR_OK) {
        SSL_CTX_free(ctx);
        return e;
    }
    *out = ctx;
    return ERR_OK;
}

enum err tls_certificate_key(const X509 *certificate, uint8_t out[TLS_KEY_BYTES])
{
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    uint8_t raw[TLS_KEY_BYTES];
    size_t len = sizeof(raw);
    if (key == NULL || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 || EVP_PKEY_get_raw_public_key(key, raw, &len) != 1 ||
        len != sizeof(raw)) {
        return ERR_UNKNOWN_PEER;
    }
    memcpy(out, raw, sizeof(raw));
    return ERR_OK;
}

enum err tls_peer_key(const SSL *ssl, uint8_t out[TLS_KEY_BYTES])
{
    const unsigned char *alpn = NULL;
    unsigned int alpn_len = 0;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    if (!SSL_is_init_finished(ssl) || SSL_session_reused(ssl) || SSL_version(ssl) != TLS1_3_VERSION ||
        !bytes_equal(bytes_of(alpn, alpn_len), bytes_of(alpn_wire + 1, sizeof(alpn_wire) - 1))) {
        return ERR_PROTOCOL;
    }
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    return certificate == NULL ? ERR_UNKNOWN_PEER : tls_certificate_key(certificate, out);
}
