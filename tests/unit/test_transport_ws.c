/*
 * What strangers and broken peers may do to the websocket port. Each test lets a child process play the peer with plain
 * OpenSSL and blocking sockets, written from the standard (RFC 6455), while the parent runs the loop; the child's exit
 * code says whether it met what it expected.
 */
#include "node/net/tls_identity.h"
#include "node/net/transport_ws.h"
#include "schema/base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

enum { WATCHDOG_SECONDS = 40, CHUNK = 65535 };

struct server {
    struct loop *loop;
    struct transport *t;
    uint16_t port;
    bool refuses;
    size_t asked;
    size_t opened;
    size_t closed;
    size_t messages;
    size_t last_len;
};

static bool on_allow(void *ctx, enum transport_door door, const uint8_t peer_key[TRANSPORT_KEY_BYTES])
{
    struct server *s = ctx;
    (void)door;
    (void)peer_key;
    s->asked++;
    return !s->refuses;
}

static void on_open(void *ctx, conn_id c, enum transport_door door, bool outbound, uint64_t dial_tag,
    const uint8_t peer_key[TRANSPORT_KEY_BYTES])
{
    struct server *s = ctx;
    (void)c;
    (void)door;
    (void)outbound;
    (void)dial_tag;
    (void)peer_key;
    s->opened++;
}

static void on_message(void *ctx, conn_id c, struct bytes message)
{
    struct server *s = ctx;
    (void)c;
    s->messages++;
    s->last_len = message.len;
}

static void on_drain(void *ctx, conn_id c)
{
    (void)ctx;
    (void)c;
}

static void on_closed(void *ctx, conn_id c)
{
    struct server *s = ctx;
    (void)c;
    s->closed++;
}

static void on_dial_failed(void *ctx, uint64_t dial_tag, enum err why)
{
    (void)ctx;
    (void)dial_tag;
    (void)why;
}

static const uint8_t server_seed[32] = { 2 };
static const uint8_t client_seed[32] = { 3 };

static int server_make(void **state)
{
    struct server *s = calloc(1, sizeof(*s));
    const struct transport_events ev = { s, on_allow, on_open, on_message, on_drain, on_closed, on_dial_failed, NULL };
    check(s != NULL && loop_new(&s->loop) == ERR_OK);
    check(transport_ws_new(s->loop, server_seed, "127.0.0.1", 0, &ev, &s->t, NULL) == ERR_OK);
    s->port = transport_ws_port(s->t);
    *state = s;
    return 0;
}

static int server_free(void **state)
{
    struct server *s = *state;
    transport_ws_free(s->t);
    loop_free(s->loop);
    free(s);
    return 0;
}

/* The child's side. Failing = _exit(1) with a word on stderr. */

static void expect(bool is_met, const char *what)
{
    if (!is_met) {
        (void)fprintf(stderr, "peer: not met: %s\n", what);
        _exit(1);
    }
}

static int tcp_open(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct timeval limit = { .tv_sec = 20 };
    expect(fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0, "connect");
    expect(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0, "time limit");
    return fd;
}

/* True when the other side ended the connection, false when nothing came for 20 seconds. */
static bool tcp_is_ended(int fd)
{
    char waste[512];
    ssize_t n = 1;
    while (n > 0) {
        n = recv(fd, waste, sizeof(waste), 0);
    }
    return n == 0 || errno != EAGAIN;
}

enum identity { ID_GOOD, ID_NONE, ID_RSA, ID_EC, ID_TLS12, ID_NO_ALPN };

static void use_foreign_key(SSL_CTX *ctx, EVP_PKEY *key)
{
    X509 *x = X509_new();
    expect(x != NULL && key != NULL, "foreign key");
    (void)X509_gmtime_adj(X509_getm_notBefore(x), -1000);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 100000);
    expect(X509_set_pubkey(x, key) == 1 && X509_sign(x, key, EVP_sha256()) > 0, "foreign certificate");
    expect(SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1, "use foreign certificate");
    X509_free(x);
    EVP_PKEY_free(key);
}

static SSL *tls_open(uint16_t port, enum identity id)
{
    static const unsigned char wire[] = { 8, 'h', 't', 't', 'p', '/', '1', '.', '1' };
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    expect(ctx != NULL, "context");
    if (id == ID_GOOD || id == ID_NO_ALPN) {
        expect(tls_context_setup(ctx, client_seed) == ERR_OK, "identity");
    } else if (id == ID_RSA) {
        use_foreign_key(ctx, EVP_RSA_gen(2048));
    } else if (id == ID_EC) {
        use_foreign_key(ctx, EVP_EC_gen("P-256"));
    } else if (id == ID_TLS12) {
        (void)SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    }
    if (id != ID_NO_ALPN) {
        (void)SSL_CTX_set_alpn_protos(ctx, wire, sizeof(wire));
    }
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    expect(ssl != NULL && SSL_set_fd(ssl, tcp_open(port)) == 1, "tls");
    return SSL_connect(ssl) == 1 ? ssl : NULL;
}

/* Reads until the end or, with until, until the text holds it. */
static size_t tls_read(SSL *ssl, char *out, size_t room, const char *until)
{
    size_t len = 0;
    out[0] = '\0';
    while (len + 1 < room) {
        int n = SSL_read(ssl, out + len, (int)(room - 1 - len));
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
        out[len] = '\0';
        if (until != NULL && strstr(out, until) != NULL) {
            break;
        }
    }
    return len;
}

static void tls_write(SSL *ssl, const void *bytes, size_t len)
{
    (void)SSL_write(ssl, bytes, (int)len); /* a peer that hung up already is what some tests are about */
}

#define GOOD_START "GET /jipan HTTP/1.1\r\nHost: jipan\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define GOOD_KEY   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define GOOD_END   GOOD_KEY "Sec-WebSocket-Version: 13\r\n"
#define SYNC       "Sec-WebSocket-Protocol: jipan-sync.1\r\n"

static SSL *ws_open(uint16_t port)
{
    static const char request[] = GOOD_START GOOD_END SYNC "\r\n";
    char answer[2048];
    SSL *ssl = tls_open(port, ID_GOOD);
    expect(ssl != NULL, "handshake");
    tls_write(ssl, request, sizeof(request) - 1);
    (void)tls_read(ssl, answer, sizeof(answer), "\r\n\r\n");
    expect(strncmp(answer, "HTTP/1.1 101", 12) == 0, "upgrade");
    expect(strstr(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != NULL, "accept value of RFC 6455 1.3");
    return ssl;
}

/* One masked frame with key 0; announced may lie about the length. */
static void ws_frame(SSL *ssl, uint8_t first_byte, uint64_t announced, const uint8_t *body, size_t len)
{
    uint8_t *wire = calloc(1, len + 14);
    size_t at = 0;
    expect(wire != NULL, "memory");
    wire[at++] = first_byte;
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
    at += 4; /* mask key 0 */
    memcpy(wire + at, body, len);
    tls_write(ssl, wire, at + len);
    free(wire);
}

/* True at a close frame, the end of TLS or of the connection. */
static bool tls_is_ended(SSL *ssl)
{
    uint8_t frame[512];
    int n = SSL_read(ssl, frame, sizeof(frame));
    if (n > 0) {
        return frame[0] == 0x88;
    }
    return SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN || errno != EAGAIN;
}

typedef void (*peer_fn)(uint16_t port, const void *arg);

/* Runs the loop until the peer has left with success. */
static void with_peer(struct server *s, peer_fn peer, const void *arg)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        peer(s->port, arg);
        _exit(0);
    }
    int status = -1;
    time_t end = time(NULL) + WATCHDOG_SECONDS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        assert_int_equal(loop_step(s->loop, 20), ERR_OK);
        if (time(NULL) > end) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            fail_msg("the peer waits for ever");
        }
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(loop_step(s->loop, 5), ERR_OK);
    }
}

/* identities */

static void peer_is_refused_by_tls(uint16_t port, const void *arg)
{
    const enum identity *id = arg;
    char text[256];
    SSL *ssl = tls_open(port, *id);
    if (ssl != NULL) { /* in TLS 1.3 the client hears of its rejection only when it reads */
        expect(tls_read(ssl, text, sizeof(text), NULL) == 0, "no byte of an answer");
    }
}

static void only_ed25519_identities_over_tls_1_3_get_in(void **state)
{
    struct server *s = *state;
    static const enum identity bad[] = { ID_NONE, ID_RSA, ID_EC, ID_TLS12 };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        with_peer(s, peer_is_refused_by_tls, &bad[i]);
    }
    assert_int_equal(s->asked, 0);
    assert_int_equal(s->opened, 0);
}

/* upgrade requests */

struct request_case {
    const char *name;
    const char *request;
    const char *answer; /* how the status starts; empty = hung up without one */
    enum identity id;
    bool refuses;
};

static void peer_asks(uint16_t port, const void *arg)
{
    const struct request_case *r = arg;
    char answer[4096];
    SSL *ssl = tls_open(port, r->id);
    expect(ssl != NULL, r->name);
    tls_write(ssl, r->request, strlen(r->request));
    size_t len = tls_read(ssl, answer, sizeof(answer), r->answer[0] == '\0' ? NULL : "\r\n\r\n");
    bool is_http = strncmp(answer, "HTTP/1.", 7) == 0 && len > 12;
    if (r->answer[0] != '\0' && (!is_http || strncmp(answer + 9, r->answer, strlen(r->answer)) != 0)) {
        (void)fprintf(stderr, "peer: %s: the answer was \"%.60s\"\n", r->name, answer);
        _exit(1);
    }
    expect(r->answer[0] != '\0' || len == 0, r->name);
}

static const struct request_case requests[] = {
    { "good", GOOD_START GOOD_END SYNC "\r\n", "101", ID_GOOD, false },
    { "allow says no", GOOD_START GOOD_END SYNC "\r\n", "403", ID_GOOD, true },
    { "no alpn", GOOD_START GOOD_END SYNC "\r\n", "403", ID_NO_ALPN, false },
    { "browser", GOOD_START GOOD_END SYNC "Origin: https://example.org\r\n\r\n", "403", ID_GOOD, false },
    { "no subprotocol", GOOD_START GOOD_END "\r\n", "400", ID_GOOD, false },
    { "unknown subprotocol", GOOD_START GOOD_END "Sec-WebSocket-Protocol: chat\r\n\r\n", "400", ID_GOOD, false },
    { "several subprotocols", GOOD_START GOOD_END "Sec-WebSocket-Protocol: jipan-sync.1, jipan-join.1\r\n\r\n", "400",
        ID_GOOD, false },
    { "other version", GOOD_START GOOD_KEY SYNC "Sec-WebSocket-Version: 8\r\n\r\n", "400", ID_GOOD, false },
    { "other path",
        "GET /else HTTP/1.1\r\nHost: jipan\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" GOOD_END SYNC "\r\n",
        "404", ID_GOOD, false },
    { "arguments",
        "GET /jipan?a=1 HTTP/1.1\r\nHost: jipan\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" GOOD_END SYNC "\r\n",
        "404", ID_GOOD, false },
    { "rebound name",
        "GET /jipan HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" GOOD_END SYNC "\r\n",
        "400", ID_GOOD, false },
    { "page", "GET /jipan HTTP/1.1\r\nHost: jipan\r\n\r\n", "", ID_GOOD, false },
    { "post", "POST /jipan HTTP/1.1\r\nHost: jipan\r\nContent-Length: 3\r\n\r\nabc", "", ID_GOOD, false },
    { "tunnel", "CONNECT jipan:1 HTTP/1.1\r\nHost: jipan\r\n\r\n", "", ID_GOOD, false },
    { "http/2 upgrade",
        "GET /jipan HTTP/1.1\r\nHost: jipan\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        "4", ID_GOOD, false },
    { "http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "403", ID_GOOD, false },
    { "unknown upgrade",
        "GET /jipan HTTP/1.1\r\nHost: jipan\r\nUpgrade: other\r\nConnection: Upgrade\r\n" GOOD_END SYNC "\r\n", "4",
        ID_GOOD, false },
};

static void every_upgrade_request_but_ours_is_refused(void **state)
{
    struct server *s = *state;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        s->refuses = requests[i].refuses;
        s->opened = 0;
        with_peer(s, peer_asks, &requests[i]);
        if (s->opened != (i == 0)) {
            fail_msg("%s: opened %zu", requests[i].name, s->opened);
        }
    }
    assert_int_equal(s->asked, 2);
}

/* The library offers compression to nobody, whatever a peer proposes. */
static void peer_offers_deflate(uint16_t port, const void *arg)
{
    static const char request[] =
        GOOD_START GOOD_END SYNC "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    char answer[2048];
    (void)arg;
    SSL *ssl = tls_open(port, ID_GOOD);
    expect(ssl != NULL, "handshake");
    tls_write(ssl, request, sizeof(request) - 1);
    (void)tls_read(ssl, answer, sizeof(answer), "\r\n\r\n");
    expect(strncmp(answer, "HTTP/1.1 101", 12) == 0, "upgrade");
    expect(strcasestr(answer, "extensions") == NULL, "no extension");
}

static void compression_is_never_agreed_on(void **state)
{
    with_peer(*state, peer_offers_deflate, NULL);
}

/* frames */

static void peer_sends_fragments(uint16_t port, const void *arg)
{
    (void)arg;
    SSL *ssl = ws_open(port);
    ws_frame(ssl, 0x02, 3, (const uint8_t *)"abc", 3);
    ws_frame(ssl, 0x89, 2, (const uint8_t *)"hi", 2); /* a ping may come between */
    ws_frame(ssl, 0x00, 0, (const uint8_t *)"", 0);
    ws_frame(ssl, 0x80, 4, (const uint8_t *)"defg", 4);
    uint8_t pong[4] = { 0 };
    expect(SSL_read(ssl, pong, sizeof(pong)) == 4 && memcmp(pong, "\x8A\x02hi", 4) == 0, "pong");
    ws_frame(ssl, 0x88, 2, (const uint8_t *)"\x03\xE8", 2);
    expect(tls_is_ended(ssl), "end after close");
}

static void fragments_become_one_message(void **state)
{
    struct server *s = *state;
    with_peer(s, peer_sends_fragments, NULL);
    assert_int_equal(s->messages, 1);
    assert_int_equal(s->last_len, 7);
    assert_int_equal(s->opened, 1);
    assert_int_equal(s->closed, 1);
}

static void peer_announces_too_much(uint16_t port, const void *arg)
{
    const uint64_t *announced = arg;
    SSL *ssl = ws_open(port);
    ws_frame(ssl, 0x82, *announced, (const uint8_t *)"x", 1);
    expect(tls_is_ended(ssl), "end");
}

static void announcing_too_much_closes_at_the_first_byte(void **state)
{
    struct server *s = *state;
    static const uint64_t announced[] = { TRANSPORT_MESSAGE_MAX + 1, 1ULL << 32, 1ULL << 62, INT64_MAX };
    for (size_t i = 0; i < ARRAY_LEN(announced); i++) {
        with_peer(s, peer_announces_too_much, &announced[i]);
        assert_int_equal(s->closed, i + 1);
    }
    assert_int_equal(s->messages, 0);
}

static void peer_never_finishes(uint16_t port, const void *arg)
{
    (void)arg;
    static const uint8_t zeros[CHUNK];
    SSL *ssl = ws_open(port);
    ws_frame(ssl, 0x02, CHUNK, zeros, CHUNK);
    for (int i = 0; i < 64; i++) {
        ws_frame(ssl, 0x00, CHUNK, zeros, CHUNK);
    }
    expect(tls_is_ended(ssl), "end");
}

static void fragments_without_end_close_at_the_limit(void **state)
{
    struct server *s = *state;
    with_peer(s, peer_never_finishes, NULL);
    assert_int_equal(s->messages, 0);
    assert_int_equal(s->closed, 1);
}

struct frame_case {
    const char *name;
    uint8_t first_byte;
    size_t len;
};

static void peer_sends_frame(uint16_t port, const void *arg)
{
    const struct frame_case *f = arg;
    SSL *ssl = ws_open(port);
    ws_frame(ssl, f->first_byte, f->len, (const uint8_t *)"abcdef", f->len);
    expect(tls_is_ended(ssl), f->name);
}

static void frames_we_do_not_speak_close(void **state)
{
    struct server *s = *state;
    static const struct frame_case cases[] = {
        { "text", 0x81, 5 },
        { "empty binary", 0x82, 0 },
        { "reserved bit of compression", 0xC2, 5 },
        { "reserved opcode", 0x83, 5 },
        { "continuation of nothing", 0x80, 5 },
        { "fragmented control", 0x09, 5 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        with_peer(s, peer_sends_frame, &cases[i]);
        assert_int_equal(s->closed, i + 1);
    }
    assert_int_equal(s->messages, 0);
}

static void peer_vanishes(uint16_t port, const void *arg)
{
    (void)arg;
    SSL *ssl = ws_open(port);
    ws_frame(ssl, 0x02, 4, (const uint8_t *)"half", 4);
}

static void a_peer_that_dies_is_a_closed_connection(void **state)
{
    struct server *s = *state;
    with_peer(s, peer_vanishes, NULL);
    assert_int_equal(s->opened, 1);
    assert_int_equal(s->closed, 1);
    assert_int_equal(s->messages, 0);
}

/* limits */

static void peer_is_silent(uint16_t port, const void *arg)
{
    (void)arg;
    int silent = tcp_open(port);
    SSL *half = tls_open(port, ID_GOOD);
    SSL *slow = tls_open(port, ID_GOOD);
    expect(half != NULL && slow != NULL, "handshake");
    tls_write(slow, GOOD_START, strlen(GOOD_START));
    expect(tcp_is_ended(silent), "silent connection ended");
    expect(tls_is_ended(half), "connection without a request ended");
    expect(tls_is_ended(slow), "connection with half a request ended");
}

static void unfinished_handshakes_are_cut_off(void **state)
{
    struct server *s = *state;
    with_peer(s, peer_is_silent, NULL);
    assert_int_equal(s->opened, 0);
}

static void peer_opens_many(uint16_t port, const void *arg)
{
    (void)arg;
    char waste[8];
    int fds[97];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = tcp_open(port);
    }
    expect(tcp_is_ended(fds[0]), "who has waited longest goes");
    for (size_t i = 1; i < ARRAY_LEN(fds); i++) {
        expect(recv(fds[i], waste, sizeof(waste), MSG_DONTWAIT) < 0 && errno == EAGAIN, "the others stay");
    }
    SSL *ssl = ws_open(port); /* among all those, one that shakes hands gets in */
    ws_frame(ssl, 0x82, 1, (const uint8_t *)"x", 1);
}

static void who_only_holds_the_door_gives_way(void **state)
{
    struct server *s = *state;
    with_peer(s, peer_opens_many, NULL);
    assert_int_equal(s->messages, 1);
}

static void peer_opens_five(uint16_t port, const void *arg)
{
    SSL *ssl[5];
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(ssl); i++) {
        ssl[i] = ws_open(port);
    }
    expect(tls_is_ended(ssl[0]), "the oldest of five goes");
    for (size_t i = 1; i < ARRAY_LEN(ssl); i++) {
        ws_frame(ssl[i], 0x82, 1, (const uint8_t *)"x", 1);
    }
    ws_frame(ssl[4], 0x89, 2, (const uint8_t *)"hi", 2);
    uint8_t pong[4] = { 0 };
    expect(SSL_read(ssl[4], pong, sizeof(pong)) == 4, "pong");
}

static void one_key_has_few_connections(void **state)
{
    struct server *s = *state;
    with_peer(s, peer_opens_five, NULL);
    assert_int_equal(s->opened, 5);
    assert_int_equal(s->messages, 4);
}

#define ON_SERVER(f) cmocka_unit_test_setup_teardown(f, server_make, server_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SERVER(only_ed25519_identities_over_tls_1_3_get_in),
        ON_SERVER(every_upgrade_request_but_ours_is_refused),
        ON_SERVER(compression_is_never_agreed_on),
        ON_SERVER(fragments_become_one_message),
        ON_SERVER(announcing_too_much_closes_at_the_first_byte),
        ON_SERVER(fragments_without_end_close_at_the_limit),
        ON_SERVER(frames_we_do_not_speak_close),
        ON_SERVER(a_peer_that_dies_is_a_closed_connection),
        ON_SERVER(unfinished_handshakes_are_cut_off),
        ON_SERVER(who_only_holds_the_door_gives_way),
        ON_SERVER(one_key_has_few_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
