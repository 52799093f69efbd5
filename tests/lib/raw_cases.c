/*
 * Owns: the list of hostile lines (F78 to F82 of the fault catalogue). Invariant: every case says by itself what is
 * wrong in it; everything else is right, so that it is that which is refused.
 */
#include "tests/lib/raw_cases.h"

#include "schema/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { SOON_MS = 5000, HANDSHAKE_MS = 12000, FRAGMENTS = 64 << 20 };

static bool open_member(const struct raw_place *to, uint32_t index, struct raw_line *l)
{
    uint8_t seed[32];
    raw_member_seed(index, seed);
    return raw_open(to, seed, l);
}

static bool end_and_close(struct raw_line *l, int wait_ms)
{
    bool is_ended = raw_ends(l, wait_ms);
    raw_close(l);
    return is_ended;
}

/* --- below TLS --- */

static bool run_plain(const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    struct raw_line l = raw_tcp(to);
    (void)g;
    (void)index;
    raw_write(&l, bytes_of((const uint8_t *)c->body, c->body_len));
    return end_and_close(&l, c->wait_ms);
}

/* Byte after byte, for ever: the end must come from the other side. */
static bool run_trickle(const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    static const uint8_t start[] = { 0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3 };
    struct raw_line l = raw_tcp(to);
    uint64_t end = raw_now_ms() + (uint64_t)c->wait_ms;
    bool is_ended = false;
    (void)g;
    (void)index;
    for (size_t i = 0; !is_ended && raw_now_ms() < end; i++) {
        raw_write(&l, bytes_of(&start[i < sizeof(start) ? i : 3], 1));
        is_ended = raw_ends(&l, 200);
    }
    raw_close(&l);
    return is_ended;
}

static bool run_identity(
    const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    struct raw_line l = raw_tcp(to);
    uint8_t seed[32];
    (void)g;
    raw_member_seed(index, seed);
    /* In TLS 1.3 a client hears of its rejection only when it reads. */
    bool is_out = !raw_tls(&l, c->identity, seed) || raw_ends(&l, c->wait_ms);
    raw_close(&l);
    return is_out;
}

static bool run_stranger(
    const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    const uint8_t seed[32] = { 0xFE };
    struct raw_line l;
    (void)g;
    (void)index;
    (void)c;
    bool is_in = raw_open(to, seed, &l);
    raw_close(&l);
    return !is_in;
}

static bool run_renegotiate(
    const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    struct raw_line l;
    (void)g;
    if (!open_member(to, index, &l)) {
        return false;
    }
    bool is_refused = SSL_renegotiate(l.ssl) != 1;
    /* Keys anew, again and again, is what TLS 1.3 has instead: the line may live, the node must not care. */
    for (int i = 0; i < 200 && SSL_key_update(l.ssl, SSL_KEY_UPDATE_REQUESTED) == 1; i++) {
        raw_frame(&l, 0x89, 0, (struct bytes){ 0 });
    }
    raw_frame(&l, 0x81, 1, BYTES_LIT("x"));
    return end_and_close(&l, c->wait_ms) && is_refused;
}

/* --- instead of the upgrade --- */

static bool run_request(const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    struct raw_line l = raw_tcp(to);
    uint8_t seed[32];
    uint8_t answer[13] = { 0 };
    (void)g;
    raw_member_seed(index, seed);
    if (l.fd < 0 || !raw_tls(&l, c->identity, seed)) {
        raw_close(&l);
        return c->answer == NULL || c->answer[0] == '\0';
    }
    raw_write(&l, bytes_of((const uint8_t *)c->text, c->body_len != 0 ? c->body_len : strlen(c->text)));
    int got = 0;
    for (int n = 1; got < 12 && n > 0;) {
        n = raw_read(&l, answer + got, 12 - (size_t)got, c->wait_ms);
        got += n > 0 ? n : 0;
    }
    bool is_in = got == 12 && memcmp(answer + 9, "101", 3) == 0;
    bool is_right = c->answer == NULL      ? !is_in
                    : c->answer[0] == '\0' ? got == 0
                                           : got == 12 && memcmp(answer + 9, c->answer, strlen(c->answer)) == 0;
    return end_and_close(&l, c->wait_ms) && is_right;
}

static bool run_large_header(
    const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    enum { VALUE_BYTES = 64 << 10 };
    static char text[VALUE_BYTES + 256];
    int at = snprintf(text, sizeof(text), "%sX-Large: ", RAW_START);
    memset(text + at, 'x', VALUE_BYTES - 128);
    struct raw_case with = *c;
    with.text = text;
    with.body_len = (size_t)at + VALUE_BYTES - 128;
    return run_request(to, g, index, &with);
}

static bool run_many_headers(
    const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    static char text[100000];
    int at = snprintf(text, sizeof(text), "%s", RAW_START);
    while ((size_t)at < sizeof(text) - 64) {
        at += snprintf(text + at, sizeof(text) - (size_t)at, "X-%d: y\r\n", at);
    }
    struct raw_case with = *c;
    with.text = text;
    return run_request(to, g, index, &with);
}

/* --- frames --- */

static bool run_frame(const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    static uint8_t zeros[200000];
    struct raw_line l;
    (void)g;
    if (!open_member(to, index, &l)) {
        return false;
    }
    check(c->body_len <= sizeof(zeros));
    raw_frame(&l, c->first, c->announced,
        c->body == NULL ? bytes_of(zeros, c->body_len) : bytes_of((const uint8_t *)c->body, c->body_len));
    return end_and_close(&l, c->wait_ms);
}

static bool run_after_close(
    const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    struct raw_line l;
    (void)g;
    if (!open_member(to, index, &l)) {
        return false;
    }
    raw_frame(&l, 0x88, 2, BYTES_LIT("\x03\xE8"));
    raw_frame(&l, 0x82, 5, BYTES_LIT("after"));
    return end_and_close(&l, c->wait_ms);
}

static bool run_interleaved(
    const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    struct raw_line l;
    (void)g;
    if (!open_member(to, index, &l)) {
        return false;
    }
    raw_frame(&l, 0x02, 3, BYTES_LIT("one"));
    raw_frame(&l, 0x82, 3, BYTES_LIT("two"));
    return end_and_close(&l, c->wait_ms);
}

/* 64 MiB in fragments of one byte, never finished; sent in gulps, or it would take minutes to send. */
static bool run_fragments(
    const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    enum { GULP = 1024, FRAME = 7 };
    static uint8_t gulp[GULP * FRAME];
    struct raw_line l;
    (void)g;
    for (size_t i = 0; i < GULP; i++) {
        static const uint8_t frame[FRAME] = { 0x00, 0x81, 0, 0, 0, 0, 'x' };
        memcpy(gulp + i * FRAME, frame, FRAME);
    }
    if (!open_member(to, index, &l)) {
        return false;
    }
    raw_frame(&l, 0x02, 1, BYTES_LIT("x"));
    bool is_ended = false;
    for (size_t sent = 0; !is_ended && sent < FRAGMENTS; sent += GULP) {
        raw_write(&l, BYTES_OF(gulp));
        is_ended = raw_ends(&l, 0) || SSL_get_shutdown(l.ssl) != 0 || SSL_get_error(l.ssl, -1) == SSL_ERROR_SYSCALL;
    }
    is_ended = is_ended || raw_ends(&l, c->wait_ms);
    raw_close(&l);
    return is_ended;
}

/* The library delivers it; what is in it is no message of ours, and that ends the session. */
static bool run_unmasked(
    const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    struct raw_line l;
    (void)g;
    if (!open_member(to, index, &l)) {
        return false;
    }
    raw_write(&l, BYTES_LIT("\x82\x05hello"));
    return end_and_close(&l, c->wait_ms);
}

static bool run_reset(const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c)
{
    const struct linger hard = { .l_onoff = 1 };
    struct raw_line l;
    (void)g;
    (void)c;
    if (!open_member(to, index, &l)) {
        return false;
    }
    raw_frame(&l, 0x02, 500, BYTES_LIT("half a fra"));
    (void)setsockopt(l.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    raw_close(&l);
    return true;
}

#define PLAIN(n, b)                                                                                    \
    {                                                                                                  \
        .name = (n), .run = run_plain, .wait_ms = HANDSHAKE_MS, .body = (b), .body_len = sizeof(b) - 1 \
    }
#define IDENTITY(n, id)                                                             \
    {                                                                               \
        .name = (n), .run = run_identity, .wait_ms = HANDSHAKE_MS, .identity = (id) \
    }
#define REQUEST(n, t, a)                                                                     \
    {                                                                                        \
        .name = (n), .run = run_request, .wait_ms = HANDSHAKE_MS, .text = (t), .answer = (a) \
    }
#define PIPED(n, t, a)                                                                        \
    {                                                                                         \
        .name = (n), .run = run_request, .wait_ms = HANDSHAKE_MS, .text = (t), .answer = (a), \
        .body_len = sizeof(t) - 1                                                             \
    }
#define FRAME(n, f, len)                                                                                       \
    {                                                                                                          \
        .name = (n), .run = run_frame, .wait_ms = SOON_MS, .first = (f), .announced = (len), .body_len = (len) \
    }
#define SAYING(n, f, b)                                                                                           \
    {                                                                                                             \
        .name = (n), .run = run_frame, .wait_ms = SOON_MS, .first = (f), .announced = sizeof(b) - 1, .body = (b), \
        .body_len = sizeof(b) - 1                                                                                 \
    }
#define CLAIM(n, f, len)                                                                                  \
    {                                                                                                     \
        .name = (n), .run = run_frame, .wait_ms = SOON_MS, .first = (f), .announced = (len), .body = "x", \
        .body_len = 1                                                                                     \
    }
#define CASE(n, fn)                                  \
    {                                                \
        .name = (n), .run = (fn), .wait_ms = SOON_MS \
    }
#define REST RAW_KEY RAW_VERSION RAW_PROTOCOL "\r\n"

static const struct raw_case cases[] = {
    PLAIN("garbage instead of TLS", "\x00\xFF\x00\xFFgarbage that is no record at all"),
    PLAIN("http instead of TLS", RAW_UPGRADE),
    PLAIN("half a record", "\x16\x03\x01\x40\x00\x01"),
    PLAIN("nothing at all", ""),
    { .name = "TLS byte by byte", .run = run_trickle, .wait_ms = HANDSHAKE_MS },
    IDENTITY("no certificate", RAW_NO_CERTIFICATE),
    IDENTITY("RSA certificate", RAW_RSA),
    IDENTITY("EC certificate", RAW_EC),
    IDENTITY("TLS 1.2", RAW_TLS12),
    IDENTITY("TLS and then silence", RAW_MEMBER),
    CASE("key of no member", run_stranger),
    CASE("renegotiation, key updates", run_renegotiate),
    { .name = "no ALPN",
        .run = run_request,
        .wait_ms = HANDSHAKE_MS,
        .identity = RAW_NO_ALPN,
        .text = RAW_UPGRADE,
        .answer = "403" },
    { .name = "ALPN h2", .run = run_request, .wait_ms = HANDSHAKE_MS, .identity = RAW_ALPN_H2, .text = RAW_UPGRADE },
    { .name = "header of 64 KiB", .run = run_large_header, .wait_ms = HANDSHAKE_MS },
    { .name = "thousands of headers", .run = run_many_headers, .wait_ms = HANDSHAKE_MS },
    REQUEST("half a request", RAW_START, ""),
    REQUEST("no Host", "GET /jipan HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" REST, NULL),
    REQUEST("two Hosts", RAW_START "Host: other\r\n" REST, NULL),
    REQUEST("other Host",
        "GET /jipan HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" REST, "400"),
    REQUEST(
        "HTTP/1.0", "GET /jipan HTTP/1.0\r\nHost: jipan\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" REST, NULL),
    REQUEST(
        "HTTP/9.9", "GET /jipan HTTP/9.9\r\nHost: jipan\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" REST, NULL),
    REQUEST("POST", "POST /jipan HTTP/1.1\r\nHost: jipan\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" REST, NULL),
    REQUEST("no Upgrade", "GET /jipan HTTP/1.1\r\nHost: jipan\r\n" REST, NULL),
    REQUEST(
        "other Upgrade", "GET /jipan HTTP/1.1\r\nHost: jipan\r\nUpgrade: chat\r\nConnection: Upgrade\r\n" REST, NULL),
    REQUEST("no key", RAW_START RAW_VERSION RAW_PROTOCOL "\r\n", NULL),
    REQUEST("websocket version 8", RAW_START RAW_KEY "Sec-WebSocket-Version: 8\r\n" RAW_PROTOCOL "\r\n", "400"),
    REQUEST("other subprotocol", RAW_START RAW_KEY RAW_VERSION "Sec-WebSocket-Protocol: chat\r\n\r\n", "400"),
    REQUEST("no subprotocol", RAW_START RAW_KEY RAW_VERSION "\r\n", "400"),
    REQUEST("a browser's Origin", RAW_START "Origin: https://example.org\r\n" REST, "403"),
    REQUEST("negative length", RAW_START "Content-Length: -1\r\n" REST, NULL),
    REQUEST(
        "other path", "GET /else HTTP/1.1\r\nHost: jipan\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" REST, NULL),
    PIPED("zeros in a header", RAW_START "X: \0\0\0\r\n" REST, NULL),
    PIPED("frames before the answer", RAW_UPGRADE "\x82\x85\0\0\0\0hello", "101"),
    REQUEST("http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NULL),
    FRAME("reserved bit 1", 0xC2, 5),
    FRAME("reserved bit 2", 0xA2, 5),
    FRAME("reserved bit 3", 0x92, 5),
    FRAME("opcode 3", 0x83, 5),
    FRAME("opcode 7", 0x87, 5),
    FRAME("opcode 11", 0x8B, 5),
    FRAME("opcode 15", 0x8F, 5),
    FRAME("ping of 126 bytes", 0x89, 126),
    FRAME("close of 126 bytes", 0x88, 126),
    FRAME("ping of 64 KiB", 0x89, 65536),
    FRAME("fragmented ping", 0x09, 5),
    FRAME("fragmented close", 0x08, 2),
    SAYING("close code 999", 0x88, "\x03\xE7"),
    SAYING("close code 1005", 0x88, "\x03\xED"),
    SAYING("close code 5000", 0x88, "\x13\x88"),
    SAYING("close of one byte", 0x88, "\x03"),
    SAYING("close reason that is no UTF-8", 0x88, "\x03\xE8\xFF\xFE"),
    CASE("data after close", run_after_close),
    SAYING("text", 0x81, "hello"),
    SAYING("text that is no UTF-8", 0x81, "\xFF\xFE\xFD"),
    FRAME("empty message", 0x82, 0),
    CLAIM("a frame of 2^63 bytes", 0x82, 1ULL << 63),
    CLAIM("a frame of 2^62 bytes", 0x82, 1ULL << 62),
    CLAIM("a frame of 1 MiB and 1", 0x82, (1 << 20) + 1),
    { .name = "64 MiB in fragments of 1", .run = run_fragments, .wait_ms = SOON_MS },
    FRAME("continuation of nothing", 0x80, 5),
    CASE("a message inside another", run_interleaved),
    { .name = "unmasked", .run = run_unmasked, .wait_ms = HANDSHAKE_MS },
    { .name = "no message of ours",
        .run = run_frame,
        .wait_ms = HANDSHAKE_MS,
        .first = 0x82,
        .announced = 5,
        .body = "hello",
        .body_len = 5 },
    { .name = "a session message before the hello",
        .run = run_frame,
        .wait_ms = HANDSHAKE_MS,
        .first = 0x82,
        .announced = 4,
        .body = "\x22\x02\x08\x01",
        .body_len = 4 },
    CASE("reset in the middle of a frame", run_reset),
};

const struct raw_case *raw_cases(size_t *count)
{
    *count = ARRAY_LEN(cases);
    return cases;
}
