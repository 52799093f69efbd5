#ifndef JIPAN_TESTS_RAW_LINE_H
#define JIPAN_TESTS_RAW_LINE_H

#include "schema/base/bytes.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A peer made by hand: blocking sockets, OpenSSL, frames written byte by byte after RFC 6455. Nothing of the node's own
 * network code is in it but the certificate, so that what it sends is what the test says. What fails in setting up ends
 * the program.
 */
struct raw_line {
    int fd;
    SSL *ssl; /* NULL: no handshake was done, or it failed */
};

enum raw_identity { RAW_MEMBER, RAW_NO_CERTIFICATE, RAW_RSA, RAW_EC, RAW_TLS12, RAW_NO_ALPN, RAW_ALPN_H2 };

struct raw_place {
    const char *source; /* address to come from; NULL: any */
    uint16_t port;
};

#define RAW_START    "GET /jipan HTTP/1.1\r\nHost: jipan\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define RAW_KEY      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define RAW_VERSION  "Sec-WebSocket-Version: 13\r\n"
#define RAW_PROTOCOL "Sec-WebSocket-Protocol: jipan-sync.1\r\n"
#define RAW_UPGRADE  RAW_START RAW_KEY RAW_VERSION RAW_PROTOCOL "\r\n"

struct raw_line raw_tcp(const struct raw_place *to); /* fd -1: refused */
/* False: the handshake failed, as far as the client can see. */
bool raw_tls(struct raw_line *l, enum raw_identity id, const uint8_t seed[32]);
/* TCP, TLS, upgrade; false when any of it was refused. */
bool raw_open(const struct raw_place *to, const uint8_t seed[32], struct raw_line *out);
void raw_close(struct raw_line *l);

/* Over TLS if there is any. What cannot be written is lost: the other side has hung up. */
void raw_write(struct raw_line *l, struct bytes v);
/* At most len bytes, waiting at most wait_ms. 0: ended; -1: nothing came. */
int raw_read(struct raw_line *l, uint8_t *out, size_t len, int wait_ms);
/* Reads until the end; true if it came within wait_ms. */
bool raw_ends(struct raw_line *l, int wait_ms);

/* One masked frame (mask key 0) whose header says `announced`. */
void raw_frame(struct raw_line *l, uint8_t first, uint64_t announced, struct bytes body);
/* One whole binary message, or the payload of the next frame that is no ping. -1: ended or nothing came. */
void raw_message(struct raw_line *l, struct bytes message);
int raw_next(struct raw_line *l, uint8_t *first, uint8_t *out, size_t room, int wait_ms);

uint64_t raw_now_ms(void);

#endif
