/*
 * Owns: the unix socket file and its clients. Invariants: a client is freed only from control_socket_free or at the end
 * of its own event, never while its request is being handled; request bytes are buffered as they arrive, not as they
 * are announced. Does not look into requests.
 */
#include "node/net/control_socket.h"

#include "schema/base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 * 1024,
    READS_PER_EVENT = 16,
    KEPT_BYTES = 256 * 1024, /* input buffer kept between requests */
    BACKLOG = 64,
    REST_MS = 100,
};

struct reply {
    struct reply *next;
    size_t len;
    size_t sent;
    uint8_t bytes[]; /* header and body */
};

struct client {
    struct client *next;
    struct control_socket *server;
    uint64_t id;
    int fd;
    struct loop_fd *watch;
    bool is_handling; /* a request is in the callback */
    bool is_broken; /* to be freed when its event ends */
    uint8_t *in;
    size_t in_len;
    size_t in_capacity;
    struct reply *first;
    struct reply *last;
    size_t unread_bytes;
};

struct control_socket {
    struct loop *loop;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    int fd;
    struct loop_fd *watch;
    uint64_t rest_timer;
    control_request_fn fn;
    void *ctx;
    struct client *clients;
    size_t client_count;
    uint64_t last_id;
};

/* clients */

static void client_free(struct client *c)
{
    struct client **p = &c->server->clients;
    while (*p != c) {
        p = &(*p)->next;
    }
    *p = c->next;
    c->server->client_count--;
    loop_fd_remove(c->watch);
    while (c->first != NULL) {
        struct reply *r = c->first;
        c->first = r->next;
        free(r);
    }
    free(c->in);
    free(c);
}

static uint32_t frame_bytes(const uint8_t header[CONTROL_HEADER_BYTES])
{
    return (uint32_t)header[0] << 24 | (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3];
}

/* Hands over every complete request in the buffer and moves the rest to its front. */
static void client_parse(struct client *c)
{
    size_t at = 0;
    while (!c->is_broken && c->in_len - at >= CONTROL_HEADER_BYTES) {
        uint32_t len = frame_bytes(c->in + at);
        if (len > CONTROL_FRAME_BYTES_MAX) {
            c->is_broken = true;
            break;
        }
        if (c->in_len - at - CONTROL_HEADER_BYTES < len) {
            break;
        }
        c->server->fn(c->server->ctx, c->id, bytes_of(c->in + at + CONTROL_HEADER_BYTES, len));
        at += CONTROL_HEADER_BYTES + len;
    }
    if (at > 0) {
        memmove(c->in, c->in + at, c->in_len - at);
        c->in_len -= at;
    }
    if (c->in_len == 0 && c->in_capacity > KEPT_BYTES) {
        free(c->in);
        c->in = NULL;
        c->in_capacity = 0;
    }
}

static bool client_reserve(struct client *c)
{
    if (c->in_capacity - c->in_len >= READ_BYTES) {
        return true;
    }
    size_t capacity = c->in_capacity == 0 ? READ_BYTES : c->in_capacity * 2;
    uint8_t *grown = realloc(c->in, capacity);
    if (grown == NULL) {
        return false;
    }
    c->in = grown;
    c->in_capacity = capacity;
    return capacity - c->in_len >= READ_BYTES || client_reserve(c);
}

static void client_read(struct client *c)
{
    for (int i = 0; i < READS_PER_EVENT && !c->is_broken; i++) {
        if (!client_reserve(c)) {
            c->is_broken = true;
            return;
        }
        ssize_t n = recv(c->fd, c->in + c->in_len, READ_BYTES, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            c->is_broken = true; /* the end of a connection is ordinary; unread replies go with it */
            return;
        }
        c->in_len += (size_t)n;
        client_parse(c);
    }
}

static void client_write(struct client *c)
{
    while (c->first != NULL) {
        struct reply *r = c->first;
        ssize_t n = send(c->fd, r->bytes + r->sent, r->len - r->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                c->is_broken = true;
                return;
            }
            break;
        }
        r->sent += (size_t)n;
        c->unread_bytes -= (size_t)n;
        if (r->sent < r->len) {
            break;
        }
        c->first = r->next;
        if (c->first == NULL) {
            c->last = NULL;
        }
        free(r);
    }
    if (c->first != NULL) {
        loop_fd_want_write(c->watch);
    }
}

static void on_client(void *ctx, enum loop_event event)
{
    struct client *c = ctx;
    c->is_handling = true;
    switch (event) {
    case LOOP_READABLE:
        client_read(c);
        break;
    case LOOP_WRITABLE:
        client_write(c);
        break;
    case LOOP_HANGUP:
        c->is_broken = true;
        c->watch = NULL;
        break;
    }
    c->is_handling = false;
    if (c->is_broken) {
        client_free(c);
    }
}

static bool is_peer_welcome(int fd)
{
    struct ucred peer = { 0 };
    socklen_t len = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && len == sizeof(peer) &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void client_add(struct control_socket *s, int fd)
{
    struct client *c = s->client_count < CONTROL_CLIENTS_MAX && is_peer_welcome(fd) ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    c->server = s;
    c->fd = fd;
    if (loop_fd_add(s->loop, fd, on_client, c, &c->watch) != ERR_OK) {
        (void)close(fd);
        free(c);
        return;
    }
    c->id = ++s->last_id;
    c->next = s->clients;
    s->clients = c;
    s->client_count++;
}

/* the listening socket */

static void rested(void *ctx)
{
    struct control_socket *s = ctx;
    s->rest_timer = 0;
    loop_fd_pause(s->watch, false);
}

static void on_listening(void *ctx, enum loop_event event)
{
    struct control_socket *s = ctx;
    if (event == LOOP_HANGUP) {
        s->watch = NULL;
        return;
    }
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        client_add(s, fd);
    } else if ((errno == EMFILE || errno == ENFILE || errno == ENOMEM) && s->rest_timer == 0) {
        loop_fd_pause(s->watch, true); /* out of descriptors: rest instead of spinning */
        s->rest_timer = loop_timer_after(s->loop, REST_MS, rested, s);
    }
}

static enum err remove_stale(const char *path, struct why *why)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return ERR_OK; /* bind will say if anything is wrong with the folder */
    }
    if (!S_ISSOCK(st.st_mode)) {
        return why_setf(why, ERR_EXISTS, "%s 已存在，且不是套接字", "%s exists and is not a socket", path);
    }
    (void)unlink(path);
    return ERR_OK;
}

static enum err open_socket(struct control_socket *s, struct why *why)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy(address.sun_path, s->path, sizeof(s->path));
    enum err e = remove_stale(s->path, why);
    if (e != ERR_OK) {
        return e;
    }
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177); /* 0600 from the first moment on */
    int rc = s->fd < 0 ? -1 : bind(s->fd, (const struct sockaddr *)&address, sizeof(address));
    (void)umask(before);
    if (rc != 0 || listen(s->fd, BACKLOG) != 0) {
        return why_setf(why, ERR_IO, "无法建立控制套接字 %s", "cannot create the control socket %s", s->path);
    }
    return ERR_OK;
}

enum err control_socket_new(
    struct loop *loop, const char *path, control_request_fn fn, void *ctx, struct control_socket **out, struct why *why)
{
    struct control_socket *s = calloc(1, sizeof(*s));
    enum err e = ERR_NOMEM;
    if (s == NULL) {
        return why_set(why, e, err_zh(e), err_en(e));
    }
    *s = (struct control_socket){ .loop = loop, .fd = -1, .fn = fn, .ctx = ctx };
    if (strlen(path) >= sizeof(s->path)) {
        e = why_setf(
            why, ERR_LIMIT, "控制套接字的路径太长：%s", "the path of the control socket is too long: %s", path);
        goto fail;
    }
    memcpy(s->path, path, strlen(path) + 1);
    e = open_socket(s, why);
    if (e != ERR_OK) {
        goto fail;
    }
    e = loop_fd_add(loop, s->fd, on_listening, s, &s->watch);
    if (e != ERR_OK) {
        (void)unlink(s->path);
        e = why_set(why, e, err_zh(e), err_en(e));
        goto fail;
    }
    *out = s;
    return ERR_OK;
fail:
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    free(s);
    return e;
}

enum err control_socket_reply(struct control_socket *s, uint64_t client_id, struct bytes reply)
{
    struct client *c = s->clients;
    while (c != NULL && c->id != client_id) {
        c = c->next;
    }
    if (c == NULL || c->is_broken) {
        return ERR_NOT_FOUND;
    }
    if (reply.len > CONTROL_FRAME_BYTES_MAX) {
        return ERR_LIMIT;
    }
    size_t len = CONTROL_HEADER_BYTES + reply.len;
    if (len > CONTROL_UNREAD_BYTES_MAX - c->unread_bytes) {
        (void)shutdown(c->fd, SHUT_RDWR); /* its next event frees it */
        return ERR_LIMIT;
    }
    struct reply *r = malloc(sizeof(*r) + len);
    if (r == NULL) {
        (void)shutdown(c->fd, SHUT_RDWR); /* or it would wait for ever */
        return ERR_NOMEM;
    }
    *r = (struct reply){ .len = len };
    const uint8_t header[CONTROL_HEADER_BYTES] = { (uint8_t)(reply.len >> 24), (uint8_t)(reply.len >> 16),
        (uint8_t)(reply.len >> 8), (uint8_t)reply.len };
    memcpy(r->bytes, header, sizeof(header));
    if (reply.len > 0) {
        memcpy(r->bytes + sizeof(header), reply.ptr, reply.len);
    }
    if (c->last != NULL) {
        c->last->next = r;
    } else {
        c->first = r;
    }
    c->last = r;
    c->unread_bytes += len;
    loop_fd_want_write(c->watch);
    return ERR_OK;
}

void control_socket_free(struct control_socket *s)
{
    if (s == NULL) {
        return;
    }
    while (s->clients != NULL) {
        check(!s->clients->is_handling);
        client_free(s->clients);
    }
    loop_timer_cancel(s->loop, s->rest_timer);
    loop_fd_remove(s->watch);
    (void)unlink(s->path);
    free(s);
}
