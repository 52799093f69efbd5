/*
 * Owns: connections between nodes over libwebsockets 4.1.6. The library gives frames; identity, limits, order of
 * callbacks and every refusal are decided here (docs/decisions/0004-websocket-transport.md tells which of its defaults
 * are dangerous). Invariants: a ws_conn lives in one slot from dial or accept until its socket is destroyed; the owner
 * hears of its end exactly once, in conn_end; callbacks run only from the loop. Makes no policy: allow() does.
 */
#include "node/net/transport_ws.h"

#include "node/net/gate.h"
#include "node/net/listener.h"
#include "node/net/tls_identity.h"
#include "node/net/ws_admit.h"
#include "node/net/ws_conn.h"
#include "schema/base/check.h"

#include <assert.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNS_MAX = 4096, /* slots; part of a conn_id */
    INBOUND_MAX = 768,
    PENDING_MAX = 192, /* of these, before the upgrade */
    PENDING_PER_ADDRESS_MAX = 96,
    OPEN_PER_KEY_MAX = 4, /* a session that comes in takes the place of an older one; more is no honest node */
    SLOT_BITS = 12,
    HANDSHAKE_IN_MS = 5000,
    HANDSHAKE_OUT_MS = 8000, /* connect, TLS and upgrade of one address */
    CONNECT_SECONDS = 5,
    FLUSH_MS = 2000,
    LINGER_MS = 1000, /* for the answer to a close frame, when the other side ended it or broke the rules */
    CONFIRM_EVERY_MS = 5000,
    PIECE_BYTES = 16 * 1024 + 256, /* one TLS record: what the library can read at once */
    CHUNK_BYTES = 64 * 1024,
    UNSENT_BYTES_MAX = 256 * 1024, /* kept in the kernel, so that pings and urgent messages do not wait behind bulk */
    WRITES_PER_TURN = 64, /* fairness between connections */
};

static_assert(CONNS_MAX == 1 << SLOT_BITS, "a slot fits its bits");
static_assert(WS_FRONT_BYTES >= LWS_PRE, "room for the library's frame header");

static const char alpn[] = "http/1.1";

/* An idle line costs two pings a minute from each side; a dead one is noticed within a minute. */
static const lws_retry_bo_t idle_policy = { .secs_since_valid_ping = 30, .secs_since_valid_hangup = 60 };

struct transport_ws {
    struct transport base; /* first member */
    struct loop *loop;
    struct transport_events ev;
    SSL_CTX *client_tls;
    struct lws_vhost *vhost;
    struct listener *listener;
    const uint8_t *setup_seed; /* only while the server's TLS context is made */
    enum err setup_error;
    uint64_t serial;
    size_t inbound_count;
    struct gate gate;
    struct ws_conn *slots[CONNS_MAX];
};

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* per_session_data_size: the library reports the start of a close only for connections that have some. */
#define PROTOCOL(label)                                                                                   \
    {                                                                                                     \
        .name = (label), .callback = on_event, .per_session_data_size = 8, .rx_buffer_size = PIECE_BYTES, \
        .tx_packet_size = CHUNK_BYTES + WS_FRONT_BYTES                                                    \
    }

static const struct lws_protocols protocols[] = {
    PROTOCOL(WS_DOOR_SYNC),
    PROTOCOL(WS_DOOR_JOIN),
    { .name = NULL },
};

static struct transport_ws *of_transport(struct transport *t)
{
    return (struct transport_ws *)t;
}

/* connections */

static struct ws_conn *conn_find(struct transport_ws *t, conn_id id)
{
    struct ws_conn *c = t->slots[id & (CONNS_MAX - 1)];
    return c != NULL && c->id == id ? c : NULL;
}

static struct ws_conn *conn_new(struct transport_ws *t)
{
    for (size_t tries = 0; tries < CONNS_MAX; tries++) {
        uint64_t serial = ++t->serial;
        size_t slot = (size_t)(serial & (CONNS_MAX - 1));
        if (t->slots[slot] == NULL) {
            struct ws_conn *c = calloc(1, sizeof(*c));
            if (c != NULL) {
                c->owner = t;
                c->id = serial; /* the serial's low bits are the slot, so ids are unique and found at once */
                t->slots[slot] = c;
            }
            return c;
        }
    }
    return NULL;
}

static void conn_free(struct ws_conn *c)
{
    struct transport_ws *t = c->owner;
    check(c->wsi == NULL && c->timer == 0 && c->lookup == NULL);
    if (!c->is_outbound) {
        t->inbound_count--;
    }
    t->slots[c->id & (CONNS_MAX - 1)] = NULL;
    ws_conn_release(c);
    free(c);
}

static void timer_stop(struct ws_conn *c)
{
    loop_timer_cancel(c->owner->loop, c->timer);
    c->timer = 0;
}

/* Silences c: no timer, no look-up, nothing queued. Returns the state it was in. */
static enum ws_state conn_mute(struct ws_conn *c)
{
    enum ws_state was = c->state;
    c->state = WS_ENDED;
    timer_stop(c);
    resolve_cancel(c->lookup);
    c->lookup = NULL;
    ws_conn_release(c);
    return was;
}

/* The one place where an owner learns of an end. Leaves the socket alone. */
static void conn_end(struct ws_conn *c, enum err reason)
{
    struct transport_ws *t = c->owner;
    switch (conn_mute(c)) {
    case WS_RESOLVING:
    case WS_HANDSHAKE:
        if (c->is_outbound) {
            t->ev.on_dial_failed(t->ev.ctx, c->dial_tag, reason);
        }
        break;
    case WS_OPEN:
    case WS_CLOSING:
        t->ev.on_closed(t->ev.ctx, c->id);
        break;
    case WS_ENDED:
        break;
    }
}

/* conn_end, and the socket goes at the next turn of the loop. c may be gone afterwards. */
static void conn_drop(struct ws_conn *c, enum err reason)
{
    conn_end(c, reason);
    if (c->wsi != NULL) {
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    } else {
        conn_free(c);
    }
}

static void on_time_limit(void *ctx)
{
    struct ws_conn *c = ctx;
    c->timer = 0;
    conn_drop(c, c->failure != ERR_OK ? c->failure : ERR_UNREACHABLE);
}

static void on_lingered(void *ctx)
{
    struct ws_conn *c = ctx;
    c->timer = 0;
    if (c->wsi != NULL) {
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    }
}

static bool timer_start(struct ws_conn *c, uint32_t ms, loop_timer_fn fn)
{
    timer_stop(c);
    c->timer = loop_timer_after(c->owner->loop, ms, fn, c);
    return c->timer != 0;
}

/* messages */

/* One key, many connections: the oldest goes. */
static void drop_older_of_key(struct transport_ws *t, const struct ws_conn *fresh)
{
    size_t open = 0;
    struct ws_conn *oldest = NULL;
    for (size_t i = 0; i < CONNS_MAX; i++) {
        struct ws_conn *c = t->slots[i];
        if (c != NULL && !c->is_outbound && c->state == WS_OPEN &&
            memcmp(c->peer_key, fresh->peer_key, sizeof(c->peer_key)) == 0) {
            open++;
            oldest = oldest == NULL || c->id < oldest->id ? c : oldest;
        }
    }
    if (open > OPEN_PER_KEY_MAX && oldest != fresh) {
        conn_drop(oldest, ERR_BUSY);
    }
}

static int on_established(struct ws_conn *c, struct lws *wsi)
{
    if (c == NULL || c->state != WS_HANDSHAKE || (!c->is_outbound && !c->is_admitted)) {
        return -1;
    }
    const int on = 1;
    const int unsent = UNSENT_BYTES_MAX;
    int fd = lws_get_socket_fd(wsi);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    timer_stop(c);
    c->state = WS_OPEN;
    if (!c->is_outbound) {
        drop_older_of_key(c->owner, c);
    }
    struct transport_events *ev = &c->owner->ev;
    ev->on_open(ev->ctx, c->id, c->door, c->is_outbound, c->dial_tag, c->peer_key);
    return 0;
}

/* Anything that arrives proves the line as well as a pong does; told to the library now and then. */
static void confirm_alive(struct ws_conn *c, struct lws *wsi)
{
    uint64_t now_ms = (uint64_t)lws_now_usecs() / LWS_US_PER_MS;
    if (now_ms - c->confirmed_ms >= CONFIRM_EVERY_MS) {
        c->confirmed_ms = now_ms;
        lws_validity_confirmed(wsi);
    }
}

static int refuse_message(struct ws_conn *c, struct lws *wsi, enum lws_close_status status)
{
    if (c->owner->ev.on_fault != NULL) {
        c->owner->ev.on_fault(
            c->owner->ev.ctx, c->peer_key, status == LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE ? ERR_LIMIT : ERR_PROTOCOL);
    }
    conn_end(c, ERR_PROTOCOL);
    (void)timer_start(c, LINGER_MS, on_lingered); /* the library would wait for 5 s */
    lws_close_reason(wsi, status, NULL, 0);
    return -1;
}

static int on_piece(struct ws_conn *c, struct lws *wsi, const void *in, size_t len)
{
    if (c == NULL || c->state != WS_OPEN) {
        return 0; /* closing: what still arrives is nobody's */
    }
    if (!lws_frame_is_binary(wsi)) {
        return refuse_message(c, wsi, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE);
    }
    struct bytes message = { 0 };
    bool is_final = lws_is_final_fragment(wsi) != 0;
    enum err e = ws_conn_receive(c, bytes_of(in, len), lws_remaining_packet_payload(wsi), is_final, &message);
    if (e != ERR_OK) {
        return refuse_message(
            c, wsi, e == ERR_LIMIT ? LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE : LWS_CLOSE_STATUS_PROTOCOL_ERR);
    }
    confirm_alive(c, wsi);
    if (message.len > 0) {
        c->owner->ev.on_message(c->owner->ev.ctx, c->id, message);
    }
    return 0;
}

/* Writes one chunk of the first message; each chunk is a frame of its own, so control frames can pass between. */
static bool write_chunk(struct ws_conn *c, struct lws *wsi)
{
    struct ws_message *m = c->first;
    size_t left = m->len - m->sent;
    size_t n = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    unsigned int kind =
        (m->sent == 0 ? LWS_WRITE_BINARY : LWS_WRITE_CONTINUATION) | (n < left ? (unsigned int)LWS_WRITE_NO_FIN : 0U);
    /* The header goes into the bytes before the chunk: the front room, or what has been sent already. */
    int written = lws_write(wsi, m->bytes + WS_FRONT_BYTES + m->sent, n, (enum lws_write_protocol)kind);
    if (written < 0 || (size_t)written < n) {
        return false;
    }
    ws_conn_sent(c, n);
    return true;
}

static int on_writable(struct ws_conn *c, struct lws *wsi)
{
    if (c == NULL || (c->state != WS_OPEN && c->state != WS_CLOSING)) {
        return 0;
    }
    for (int i = 0; i < WRITES_PER_TURN && c->first != NULL; i++) {
        if (!write_chunk(c, wsi)) {
            conn_end(c, ERR_UNREACHABLE);
            return -1;
        }
        if (lws_send_pipe_choked(wsi)) {
            break;
        }
    }
    if (c->state == WS_OPEN && ws_conn_take_drain(c)) {
        c->owner->ev.on_drain(c->owner->ev.ctx, c->id);
    }
    bool is_pending = c->first != NULL || lws_partial_buffered(wsi) != 0;
    if (is_pending) {
        (void)lws_callback_on_writable(wsi);
    } else if (c->state == WS_CLOSING) {
        conn_end(c, ERR_OK);
        lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
        return -1;
    }
    return 0;
}

/* dialling */

static void dial_next(struct ws_conn *c);

static void on_dial_turn(void *ctx)
{
    struct ws_conn *c = ctx;
    c->timer = 0;
    dial_next(c);
}

static void connect_to(struct ws_conn *c, const char *address)
{
    struct transport_ws *t = c->owner;
    conn_id id = c->id;
    struct lws *wsi = NULL;
    struct lws_client_connect_info info = {
        .context = loop_lws(t->loop),
        .vhost = t->vhost,
        .address = address,
        .port = c->port,
        .path = WS_PATH,
        .host = WS_HOST,
        .protocol = ws_door_name(c->door),
        .local_protocol_name = ws_door_name(c->door),
        .alpn = alpn,
        .ssl_connection = LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_HTTP_NO_FOLLOW_REDIRECT,
        .ietf_version_or_minus_one = -1,
        .retry_and_idle_policy = &idle_policy,
        .opaque_user_data = c,
        .pwsi = &wsi,
    };
    (void)lws_client_connect_via_info(&info);
    /* It may have failed, reported and freed on the way. */
    if (conn_find(t, id) == c && c->state == WS_HANDSHAKE && c->wsi == NULL) {
        if (wsi != NULL) {
            c->wsi = wsi;
        } else if (!timer_start(c, 0, on_dial_turn)) {
            conn_drop(c, ERR_NOMEM);
        }
    }
}

static void dial_next(struct ws_conn *c)
{
    if (c->next_address >= c->addresses.count) {
        conn_drop(c, c->failure != ERR_OK ? c->failure : ERR_UNREACHABLE);
        return;
    }
    const char *address = c->addresses.address[c->next_address++];
    c->state = WS_HANDSHAKE;
    if (!timer_start(c, HANDSHAKE_OUT_MS, on_time_limit)) {
        conn_drop(c, ERR_NOMEM);
        return;
    }
    connect_to(c, address);
}

static void on_resolved(void *ctx, const struct resolve_result *result)
{
    struct ws_conn *c = ctx;
    c->lookup = NULL;
    c->addresses = *result;
    dial_next(c);
}

/* Only a failure before any TLS is worth another address of the same name. */
static void on_connect_failed(struct ws_conn *c, struct lws *wsi)
{
    if (c == NULL || c->state == WS_ENDED) {
        return;
    }
    unsigned int status = lws_http_client_http_response(wsi);
    if (c->failure == ERR_OK && status != 0 && status != 101) {
        c->failure = status == HTTP_STATUS_FORBIDDEN             ? ERR_DENIED
                     : status == HTTP_STATUS_SERVICE_UNAVAILABLE ? ERR_BUSY
                                                                 : ERR_PROTOCOL;
    }
    if (c->failure == ERR_OK && !c->has_key && c->next_address < c->addresses.count) {
        lws_set_opaque_user_data(wsi, NULL); /* this socket is history; c goes on with the next */
        c->wsi = NULL;
        if (timer_start(c, 0, on_dial_turn)) {
            return;
        }
        conn_drop(c, ERR_NOMEM);
        return;
    }
    conn_end(c, c->failure != ERR_OK ? c->failure : ERR_UNREACHABLE);
}

/* accepting */

static bool is_pending(const struct ws_conn *c)
{
    return c != NULL && !c->is_outbound && c->state == WS_HANDSHAKE;
}

/* Room for one more that has proven nothing yet: who has waited longest goes, of the same address if that one has too
 * many. So those who only hold the door open cannot keep out one that comes and shakes hands. */
static bool make_room(struct transport_ws *t, const uint8_t address[GATE_ADDRESS_BYTES])
{
    size_t pending = 0;
    size_t of_address = 0;
    struct ws_conn *oldest = NULL;
    struct ws_conn *oldest_there = NULL;
    for (size_t i = 0; i < CONNS_MAX; i++) {
        struct ws_conn *c = t->slots[i];
        if (!is_pending(c)) {
            continue;
        }
        pending++;
        oldest = oldest == NULL || c->id < oldest->id ? c : oldest;
        if (memcmp(c->address, address, GATE_ADDRESS_BYTES) == 0) {
            of_address++;
            oldest_there = oldest_there == NULL || c->id < oldest_there->id ? c : oldest_there;
        }
    }
    if (of_address >= PENDING_PER_ADDRESS_MAX) {
        conn_drop(oldest_there, ERR_BUSY);
    } else if (pending >= PENDING_MAX) {
        conn_drop(oldest, ERR_BUSY);
    }
    return t->inbound_count < INBOUND_MAX;
}

static void on_accepted(void *ctx, int fd)
{
    struct transport_ws *t = ctx;
    uint8_t address[GATE_ADDRESS_BYTES];
    gate_address_of(fd, address);
    bool may_knock = gate_knock(&t->gate, address, (uint64_t)lws_now_usecs() / LWS_US_PER_MS);
    struct ws_conn *c = may_knock && make_room(t, address) ? conn_new(t) : NULL;
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    memcpy(c->address, address, sizeof(c->address));
    t->inbound_count++;
    c->state = WS_HANDSHAKE;
    if (!timer_start(c, HANDSHAKE_IN_MS, on_time_limit)) {
        (void)close(fd);
        conn_free(c);
        return;
    }
    conn_id id = c->id;
    lws_adopt_desc_t info = {
        .vh = t->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
        .fd = { .sockfd = fd },
        .opaque = c,
    };
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&info); /* closes fd when it fails */
    if (conn_find(t, id) != c) {
        return;
    }
    if (wsi != NULL) {
        c->wsi = wsi;
    } else if (c->wsi == NULL) {
        conn_drop(c, ERR_NOMEM);
    }
}

/* the library's events */

static int on_server_tls(struct lws_vhost *vhost, SSL_CTX *tls)
{
    struct transport_ws *t = lws_vhost_user(vhost);
    if (t == NULL || t->setup_seed == NULL) {
        return 1;
    }
    t->setup_error = tls_context_setup(tls, t->setup_seed);
    return t->setup_error == ERR_OK ? 0 : 1;
}

static void on_socket_gone(struct ws_conn *c, struct lws *wsi)
{
    if (c != NULL) {
        lws_set_opaque_user_data(wsi, NULL);
        c->wsi = NULL;
        conn_end(c, c->failure != ERR_OK ? c->failure : ERR_UNREACHABLE);
        timer_stop(c);
        conn_free(c);
    }
}

static void on_close_begun(struct ws_conn *c)
{
    if (c != NULL && (c->state == WS_OPEN || c->state == WS_CLOSING)) {
        conn_end(c, ERR_OK);
        (void)timer_start(c, LINGER_MS, on_lingered);
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        return on_server_tls(in, user);
    }
    struct ws_conn *c = lws_get_opaque_user_data(wsi);
    switch ((int)reason) {
    case LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION:
    case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
        return ws_verify_certificate(c, user);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return c == NULL ? -1 : ws_upgrade_request(c, wsi, &c->owner->ev);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return c != NULL && c->is_admitted ? 0 : 1;
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
        return ws_upgrade_answer(c, wsi);
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        return on_established(c, wsi);
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return on_piece(c, wsi, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return on_writable(c, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
    case LWS_CALLBACK_WS_CLIENT_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLIENT_CLOSED:
        on_close_begun(c);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        on_connect_failed(c, wsi);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        on_socket_gone(c, wsi);
        return 0;
    case LWS_CALLBACK_HTTP: /* no pages, no bodies, no tunnels on this port */
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_RAW_ADOPT:
    case LWS_CALLBACK_RAW_CONNECTED:
    case LWS_CALLBACK_RAW_RX:
        return -1;
    default:
        return 0;
    }
}

/* struct transport_ops */

static enum err ws_dial(struct transport *base, enum transport_door door, struct bytes address,
    const uint8_t expect_key[TRANSPORT_KEY_BYTES], uint64_t dial_tag)
{
    struct transport_ws *t = of_transport(base);
    char host[RESOLVE_HOST_BYTES];
    uint16_t port = 0;
    enum err e = resolve_split(address, host, &port);
    if (e != ERR_OK) {
        return e;
    }
    struct ws_conn *c = conn_new(t);
    if (c == NULL) {
        return ERR_BUSY;
    }
    c->is_outbound = true;
    c->state = WS_RESOLVING;
    c->door = door;
    c->dial_tag = dial_tag;
    c->port = port;
    memcpy(c->expect_key, expect_key, sizeof(c->expect_key));
    if (resolve_numeric(host, &c->addresses)) {
        e = timer_start(c, 0, on_dial_turn) ? ERR_OK : ERR_NOMEM;
    } else {
        e = resolve_start(t->loop, host, on_resolved, c, &c->lookup);
    }
    if (e != ERR_OK) {
        conn_free(c);
    }
    return e;
}

static enum err ws_send(struct transport *base, conn_id id, struct bytes message)
{
    struct ws_conn *c = conn_find(of_transport(base), id);
    if (c == NULL || c->state != WS_OPEN) {
        return ERR_NOT_FOUND;
    }
    enum err e = ws_conn_queue(c, message);
    if (e == ERR_OK) {
        (void)lws_callback_on_writable(c->wsi);
    }
    return e;
}

static size_t ws_queued_bytes(struct transport *base, conn_id id)
{
    const struct ws_conn *c = conn_find(of_transport(base), id);
    return c == NULL ? 0 : c->queued_bytes;
}

static void ws_close(struct transport *base, conn_id id)
{
    struct ws_conn *c = conn_find(of_transport(base), id);
    if (c == NULL || c->state != WS_OPEN) {
        return;
    }
    c->state = WS_CLOSING;
    if (!timer_start(c, FLUSH_MS, on_time_limit)) {
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    }
    (void)lws_callback_on_writable(c->wsi);
}

static const struct transport_ops ws_ops = {
    .dial = ws_dial,
    .send = ws_send,
    .queued_bytes = ws_queued_bytes,
    .close = ws_close,
};

/* life */

static enum err vhost_open(struct transport_ws *t, const uint8_t tls_seed[32], bool is_listening)
{
    struct lws_context_creation_info info = {
        .port = is_listening ? CONTEXT_PORT_NO_LISTEN_SERVER : CONTEXT_PORT_NO_LISTEN,
        .vhost_name = "sync",
        .protocols = protocols,
        .user = t,
        .alpn = alpn,
        .http_proxy_address = "",
        .provided_client_ssl_ctx =
            t->client_tls, /* the library shares its own between virtual hosts of equal settings */
        .retry_and_idle_policy = &idle_policy,
        .connect_timeout_secs = CONNECT_SECONDS,
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS |
                   LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX | LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT,
    };
    t->setup_seed = tls_seed;
    t->vhost = lws_create_vhost(loop_lws(t->loop), &info);
    t->setup_seed = NULL;
    return t->vhost != NULL ? ERR_OK : t->setup_error != ERR_OK ? t->setup_error : ERR_NOMEM;
}

enum err transport_ws_new(struct loop *loop, const uint8_t tls_seed[32], const char *listen_host, uint16_t listen_port,
    const struct transport_events *ev, struct transport **out, struct why *why)
{
    check(ev->allow != NULL && ev->on_open != NULL && ev->on_message != NULL && ev->on_drain != NULL &&
          ev->on_closed != NULL && ev->on_dial_failed != NULL);
    struct transport_ws *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return why_set(why, ERR_NOMEM, err_zh(ERR_NOMEM), err_en(ERR_NOMEM));
    }
    t->base.ops = &ws_ops;
    t->loop = loop;
    t->ev = *ev;
    enum err e = tls_client_context_new(tls_seed, &t->client_tls);
    if (e == ERR_OK) {
        e = vhost_open(t, tls_seed, listen_host != NULL);
    }
    if (e != ERR_OK) {
        (void)why_set(why, e, "无法准备加密连接", "cannot prepare encrypted connections");
    } else if (listen_host != NULL) {
        e = listener_new(loop, listen_host, listen_port, on_accepted, t, &t->listener, why);
    }
    if (e != ERR_OK) {
        transport_ws_free(&t->base);
        return e;
    }
    *out = &t->base;
    return ERR_OK;
}

uint16_t transport_ws_port(const struct transport *base)
{
    const struct transport_ws *t = (const struct transport_ws *)base;
    return t->listener == NULL ? 0 : listener_port(t->listener);
}

/* The library may want to linger over a polite close; asked again it lets go. */
static void kill_now(struct transport_ws *t, conn_id id)
{
    for (int i = 0; i < 4; i++) {
        struct ws_conn *c = conn_find(t, id);
        if (c == NULL || c->wsi == NULL) {
            break;
        }
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
    }
    struct ws_conn *c = conn_find(t, id);
    if (c != NULL) {
        if (c->wsi != NULL) {
            lws_set_opaque_user_data(c->wsi, NULL);
            c->wsi = NULL;
        }
        conn_free(c);
    }
}

void transport_ws_free(struct transport *base)
{
    if (base == NULL) {
        return;
    }
    struct transport_ws *t = of_transport(base);
    listener_free(t->listener);
    for (size_t i = 0; i < CONNS_MAX; i++) {
        if (t->slots[i] != NULL) {
            (void)conn_mute(t->slots[i]);
            kill_now(t, t->slots[i]->id);
        }
    }
    if (t->vhost != NULL) {
        lws_vhost_destroy(t->vhost);
    }
    SSL_CTX_free(t->client_tls);
    free(t);
}
