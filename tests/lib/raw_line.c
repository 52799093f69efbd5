/*
 * Owns: sockets, TLS and frames of peers made by hand. Invariant: sends what it is told, however wrong. Judges nothing.
 */
#include "tests/lib/raw_line.h"

#include "node/net/tls_identity.h"
#include "schema/base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t raw_now_ms(void)
{
    struct timespec t = { 0 };
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct raw_line raw_tcp(const struct raw_place *to)
{
    struct raw_line l = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    struct sockaddr_in a = { .sin_family = AF_INET };
    const int on = 1;
    check(l.fd >= 0);
    if (to->source != NULL) {
        check(inet_pton(AF_INET, to->source, &a.sin_addr) == 1);
        check(bind(l.fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
    }
    a.sin_port = htons(to->port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(l.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(l.fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
        raw_close(&l);
    }
    return l;
}

static void use_foreign_key(SSL_CTX *ctx, EVP_PKEY *key)
{
    X509 *x = X509_new();
    check(x != NULL && key != NULL);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), -1000);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 100000);
    check(X509_set_pubkey(x, key) == 1 && X509_sign(x, key, EVP_sha256()) > 0);
    check(SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void set_identity(SSL_CTX *ctx, enum raw_identity id, const uint8_t seed[32])
{
    static const unsigned char http1[] = { 8, 'h', 't', 't', 'p', '/', '1', '.', '1' };
    static const unsigned char h2[] = { 2, 'h', '2' };
    switch (id) {
    case RAW_MEMBER:
    case RAW_NO_ALPN:
    case RAW_ALPN_H2:
        check(tls_context_setup(ctx, seed) == ERR_OK);
        break;
    case RAW_RSA:
        use_foreign_key(ctx, EVP_RSA_gen(2048));
        break;
    case RAW_EC:
        use_foreign_key(ctx, EVP_EC_gen("P-256"));
        break;
    case RAW_TLS12:
        (void)SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
        break;
    case RAW_NO_CERTIFICATE:
        break;
    }
    if (id == RAW_ALPN_H2) {
        (void)SSL_CTX_set_alpn_protos(ctx, h2, sizeof(h2));
    } else if (id != RAW_NO_ALPN) {
        (void)SSL_CTX_set_alpn_protos(ctx, http1, sizeof(http1));
    }
}

bool raw_tls(struct raw_line *l, enum raw_identity id, const uint8_t seed[32])
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    check(ctx != NULL);
    set_identity(ctx, id, seed);
    l->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    check(l->ssl != NULL && SSL_set_fd(l->ssl, l->fd) == 1);
    return SSL_connect(l->ssl) == 1;
}

void raw_close(struct raw_line *l)
{
    SSL_free(l->ssl);
    if (l->fd >= 0) {
        (void)close(l->fd);
    }
    *l = (struct raw_line){ .fd = -1 };
}

void raw_write(struct raw_line *l, struct bytes v)
{
    while (v.len > 0) {
        int n = 0;
        if (l->ssl != NULL) {
            n = SSL_write(l->ssl, v.ptr, (int)v.len);
        } else {
            n = (int)send(l->fd, v.ptr, v.len, MSG_NOSIGNAL);
        }
        if (n <= 0) {
            return;
        }
        v.ptr += n;
        v.len -= (size_t)n;
    }
}

int raw_read(struct raw_line *l, uint8_t *out, size_t len, int wait_ms)
{
    if (l->fd < 0) {
        return 0;
    }
    if (l->ssl == NULL || SSL_pending(l->ssl) == 0) {
        struct pollfd p = { .fd = l->fd, .events = POLLIN };
        if (poll(&p, 1, wait_ms) != 1) {
            return -1;
        }
    }
    int n = l->ssl != NULL ? SSL_read(l->ssl, out, (int)len) : (int)recv(l->fd, out, len, 0);
    return n > 0 ? n : 0;
}

bool raw_ends(struct raw_line *l, int wait_ms)
{
    uint8_t waste[4096];
    uint64_t end = raw_now_ms() + (uint64_t)wait_ms;
    for (uint64_t now = raw_now_ms(); now < end; now = raw_now_ms()) {
        int n = raw_read(l, waste, sizeof(waste), (int)(end - now));
        if (n == 0) {
            return true;
        }
    }
    return false;
}

bool raw_open(const struct raw_place *to, const uint8_t seed[32], struct raw_line *out)
{
    static const char upgrade[] = RAW_UPGRADE;
    uint8_t answer[1024];
    size_t len = 0;
    *out = raw_tcp(to);
    if (out->fd < 0 || !raw_tls(out, RAW_MEMBER, seed)) {
        raw_close(out);
        return false;
    }
    raw_write(out, bytes_of((const uint8_t *)upgrade, sizeof(upgrade) - 1));
    /* byte by byte: what follows the answer is a frame */
    while (len < sizeof(answer) && (len < 4 || memcmp(answer + len - 4, "\r\n\r\n", 4) != 0)) {
        if (raw_read(out, answer + len, 1, 10000) != 1) {
            raw_close(out);
            return false;
        }
        len++;
    }
    if (memcmp(answer, "HTTP/1.1 101", 12) != 0) {
        raw_close(out);
        return false;
    }
    return true;
}

void raw_frame(struct raw_line *l, uint8_t first, uint64_t announced, struct bytes body)
{
    uint8_t *wire = malloc(body.len + 14);
    size_t at = 0;
    check(wire != NULL);
    wire[at++] = first;
    if (announced < 126) {
        wire[at++] = (uint8_t)(0x80 | announced);
    } else if (announced <= UINT16_MAX) {
        wire[at++] = 0x80 | 126;
        wire[at++] = (uint8_t)(announced >> 8);
        wire[at++] = (uint8_t)announced;
    } else {
        wire[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) {
            wire[at++] = (uint8_t)(announced >> shift);
        }
    }
    memset(wire + at, 0, 4);
    at += 4;
    if (body.len > 0) {
        memcpy(wire + at, body.ptr, body.len);
    }
    raw_write(l, bytes_of(wire, at + body.len));
    free(wire);
}

void raw_message(struct raw_line *l, struct bytes message)
{
    raw_frame(l, 0x82, message.len, message);
}

static bool read_all(struct raw_line *l, uint8_t *out, size_t len, int wait_ms)
{
    for (size_t at = 0; at < len;) {
        int n = raw_read(l, out + at, len - at, wait_ms);
        if (n <= 0) {
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

int raw_next(struct raw_line *l, uint8_t *first, uint8_t *out, size_t room, int wait_ms)
{
    for (;;) {
        uint8_t head[10];
        if (!read_all(l, head, 2, wait_ms)) {
            return -1;
        }
        size_t len = head[1] & 0x7F;
        size_t more = len == 126 ? 2 : len == 127 ? 8 : 0;
        if (!read_all(l, head + 2, more, wait_ms)) {
            return -1;
        }
        for (size_t i = 0; i < more; i++) {
            len = i == 0 ? head[2] : len << 8 | head[2 + i];
        }
        if (len > room || !read_all(l, out, len, wait_ms)) {
            return -1;
        }
        if (head[0] == 0x89) {
            raw_frame(l, 0x8A, len, bytes_of(out, len));
            continue;
        }
        *first = head[0];
        return (int)len;
    }
}
