#include "node/net/tls_identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

/* RFC 8032 section 7.1, test 1. */
static const uint8_t rfc_seed[32] = { 0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92,
    0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60 };
static const uint8_t rfc_public[32] = { 0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9,
    0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a };
static const uint8_t other_seed[32] = { 1 };

static void public_key_matches_the_standard(void **state)
{
    (void)state;
    uint8_t key[TLS_KEY_BYTES];
    tls_public_key(rfc_seed, key);
    assert_memory_equal(key, rfc_public, sizeof(key));
}

static void certificate_carries_the_key_and_verifies_with_it(void **state)
{
    (void)state;
    X509 *x = NULL;
    uint8_t key[TLS_KEY_BYTES] = { 0 };
    assert_int_equal(tls_certificate(rfc_seed, &x), ERR_OK);
    assert_int_equal(tls_certificate_key(x, key), ERR_OK);
    assert_memory_equal(key, rfc_public, sizeof(key));
    assert_int_equal(X509_verify(x, X509_get0_pubkey(x)), 1);
    X509_free(x);
}

static void certificate_bytes_depend_on_the_seed_alone(void **state)
{
    (void)state;
    unsigned char *wire[3] = { NULL, NULL, NULL };
    int len[3] = { 0 };
    const uint8_t *seeds[3] = { rfc_seed, rfc_seed, other_seed };
    for (size_t i = 0; i < 3; i++) {
        X509 *x = NULL;
        assert_int_equal(tls_certificate(seeds[i], &x), ERR_OK);
        len[i] = i2d_X509(x, &wire[i]);
        assert_true(len[i] > 0);
        X509_free(x);
    }
    assert_int_equal(len[0], len[1]);
    assert_memory_equal(wire[0], wire[1], (size_t)len[0]);
    assert_true(len[0] != len[2] || memcmp(wire[0], wire[2], (size_t)len[0]) != 0);
    for (size_t i = 0; i < 3; i++) {
        OPENSSL_free(wire[i]);
    }
}

static void certificate_is_valid_at_any_clock(void **state)
{
    (void)state;
    X509 *x = NULL;
    time_t early = 86400;
    time_t late = (time_t)7000 * 365 * 86400;
    assert_int_equal(tls_certificate(rfc_seed, &x), ERR_OK);
    assert_int_equal(X509_cmp_time(X509_get0_notBefore(x), &early), -1);
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(x), &late), 1);
    X509_free(x);
}

static void other_kinds_of_keys_are_unknown_peers(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = { EVP_RSA_gen(2048), EVP_EC_gen("P-256"), EVP_PKEY_Q_keygen(NULL, NULL, "X25519") };
    for (size_t i = 0; i < 3; i++) {
        X509 *x = X509_new();
        uint8_t key[TLS_KEY_BYTES];
        assert_non_null(keys[i]);
        assert_int_equal(X509_set_pubkey(x, keys[i]), 1);
        assert_int_equal(tls_certificate_key(x, key), ERR_UNKNOWN_PEER);
        X509_free(x);
        EVP_PKEY_free(keys[i]);
    }
    X509 *empty = X509_new();
    uint8_t key[TLS_KEY_BYTES];
    assert_int_equal(tls_certificate_key(empty, key), ERR_UNKNOWN_PEER);
    X509_free(empty);
}

static void contexts_speak_tls_1_3_without_memory_of_sessions(void **state)
{
    (void)state;
    SSL_CTX *ctx = NULL;
    assert_int_equal(tls_client_context_new(rfc_seed, &ctx), ERR_OK);
    assert_int_equal(SSL_CTX_get_min_proto_version(ctx), TLS1_3_VERSION);
    assert_int_equal(SSL_CTX_get_max_proto_version(ctx), TLS1_3_VERSION);
    assert_int_equal(SSL_CTX_get_num_tickets(ctx), 0);
    assert_int_equal(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF);
    assert_true((SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET) != 0);
    assert_int_equal(SSL_CTX_get_max_early_data(ctx), 0);
    SSL_CTX_free(ctx);
}

/* Two SSL objects over memory; returns when neither moves. */
static void shake_hands(SSL *client, SSL *server)
{
    for (int i = 0; i < 20; i++) {
        (void)SSL_do_handshake(client);
        (void)SSL_do_handshake(server);
    }
}

static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static int choose_http(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
    unsigned int in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    (void)in_len;
    *out = in + 1;
    *out_len = in[0];
    return SSL_TLSEXT_ERR_OK;
}

struct pair {
    SSL_CTX *client_ctx;
    SSL_CTX *server_ctx;
    SSL *client;
    SSL *server;
};

static void pair_make(struct pair *p, bool with_alpn)
{
    assert_int_equal(tls_client_context_new(rfc_seed, &p->client_ctx), ERR_OK);
    p->server_ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(tls_context_setup(p->server_ctx, other_seed), ERR_OK);
    if (with_alpn) {
        SSL_CTX_set_alpn_select_cb(p->server_ctx, choose_http, NULL);
    }
    SSL_CTX_set_verify(p->client_ctx, SSL_VERIFY_PEER, accept_any);
    SSL_CTX_set_verify(p->server_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, accept_any);
    p->client = SSL_new(p->client_ctx);
    p->server = SSL_new(p->server_ctx);
    BIO *a = NULL;
    BIO *b = NULL;
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(p->client, a, a);
    SSL_set_bio(p->server, b, b);
    SSL_set_connect_state(p->client);
    SSL_set_accept_state(p->server);
    shake_hands(p->client, p->server);
}

static void pair_free(struct pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
    SSL_CTX_free(p->client_ctx);
    SSL_CTX_free(p->server_ctx);
}

static void peer_key_is_the_one_proved_in_the_handshake(void **state)
{
    (void)state;
    struct pair p;
    uint8_t key[TLS_KEY_BYTES];
    uint8_t want[TLS_KEY_BYTES];
    pair_make(&p, true);
    assert_int_equal(tls_peer_key(p.server, key), ERR_OK);
    assert_memory_equal(key, rfc_public, sizeof(key));
    assert_int_equal(tls_peer_key(p.client, key), ERR_OK);
    tls_public_key(other_seed, want);
    assert_memory_equal(key, want, sizeof(key));
    pair_free(&p);
}

static void no_key_is_believed_without_http_1_1_or_an_end_of_the_handshake(void **state)
{
    (void)state;
    struct pair p;
    uint8_t key[TLS_KEY_BYTES];
    pair_make(&p, false);
    assert_true(SSL_is_init_finished(p.server));
    assert_int_equal(tls_peer_key(p.server, key), ERR_PROTOCOL);
    SSL *fresh = SSL_new(p.client_ctx);
    assert_int_equal(tls_peer_key(fresh, key), ERR_PROTOCOL);
    SSL_free(fresh);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_key_matches_the_standard),
        cmocka_unit_test(certificate_carries_the_key_and_verifies_with_it),
        cmocka_unit_test(certificate_bytes_depend_on_the_seed_alone),
        cmocka_unit_test(certificate_is_valid_at_any_clock),
        cmocka_unit_test(other_kinds_of_keys_are_unknown_peers),
        cmocka_unit_test(contexts_speak_tls_1_3_without_memory_of_sessions),
        cmocka_unit_test(peer_key_is_the_one_proved_in_the_handshake),
        cmocka_unit_test(no_key_is_believed_without_http_1_1_or_an_end_of_the_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
