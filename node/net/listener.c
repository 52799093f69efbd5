/*
 * Owns: one listening socket. Kept apart from the websocket library because that one neither tells why a bind failed
 * nor lets a limit be checked before TLS starts. When descriptors run out it rests for a moment instead of spinning.
 */
#include "node/net/listener.h"

#include "schema/base/check.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 256, ACCEPTS_PER_EVENT = 16, REST_MS = 100 };

struct listener {
    struct loop *loop;
    struct loop_fd *watch;
    int fd;
    uint16_t port;
    uint64_t rest_timer;
    listener_accept_fn fn;
    void *ctx;
};

static void rested(void *ctx)
{
    struct listener *l = ctx;
    l->rest_timer = 0;
    loop_fd_pause(l->watch, false);
}

static void on_readable(void *ctx, enum loop_event event)
{
    struct listener *l = ctx;
    if (event == LOOP_HANGUP) {
        l->watch = NULL;
        return;
    }
    for (int i = 0; event == LOOP_READABLE && i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            bool is_exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            if (is_exhausted && l->rest_timer == 0) {
                loop_fd_pause(l->watch, true);
                l->rest_timer = loop_timer_after(l->loop, REST_MS, rested, l);
            }
            return;
        }
        const int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        l->fn(l->ctx, fd);
    }
}

static int bind_first(const struct addrinfo *list, int *ret_errno)
{
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            *ret_errno = errno;
            continue;
        }
        const int on = 1;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* restart over connections in TIME_WAIT */
        if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
            return fd;
        }
        *ret_errno = errno;
        (void)close(fd);
    }
    return -1;
}

static enum err explain(struct why *why, int code, const char *host, const char *port)
{
    if (code == EADDRINUSE) {
        return why_setf(why, ERR_BUSY, "端口 %s 已被占用；请用 --listen 另选一个端口",
            "port %s is in use; choose another with --listen", port);
    }
    if (code == EACCES || code == EPERM) {
        return why_setf(why, ERR_DENIED, "没有权限使用端口 %s；请用 --listen 选 1024 以上的端口",
            "not permitted to use port %s; choose one above 1024 with --listen", port);
    }
    if (code == EADDRNOTAVAIL) {
        return why_setf(why, ERR_INVALID, "地址 %s 不属于本机；请用 --listen 另选一个地址",
            "address %s is not one of this machine; choose another with --listen", host);
    }
    return why_setf(why, ERR_IO, "无法监听 %s", "cannot listen on %s", host);
}

static enum err open_socket(const char *host, uint16_t port, int *ret_fd, struct why *why)
{
    char digits[8];
    (void)snprintf(digits, sizeof(digits), "%u", (unsigned)port);
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    struct addrinfo *list = NULL;
    if (getaddrinfo(host, digits, &hints, &list) != 0) {
        return why_setf(why, ERR_INVALID, "不认识的监听地址 %s", "unknown address to listen on: %s", host);
    }
    int code = 0;
    int fd = bind_first(list, &code);
    freeaddrinfo(list);
    if (fd < 0) {
        return explain(why, code, host, digits);
    }
    *ret_fd = fd;
    return ERR_OK;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage s = { 0 };
    socklen_t len = sizeof(s);
    check(getsockname(fd, (struct sockaddr *)&s, &len) == 0);
    if (s.ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)(const void *)&s)->sin6_port);
    }
    return ntohs(((const struct sockaddr_in *)(const void *)&s)->sin_port);
}

enum err listener_new(struct loop *loop, const char *host, uint16_t port, listener_accept_fn fn, void *ctx,
    struct listener **out, struct why *why)
{
    int fd = -1;
    enum err e = open_socket(host, port, &fd, why);
    if (e != ERR_OK) {
        return e;
    }
    struct listener *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        e = ERR_NOMEM;
        goto fail;
    }
    *l = (struct listener){ .loop = loop, .fd = fd, .port = bound_port(fd), .fn = fn, .ctx = ctx };
    e = loop_fd_add(loop, fd, on_readable, l, &l->watch);
    if (e != ERR_OK) {
        goto fail;
    }
    *out = l;
    return ERR_OK;
fail:
    free(l);
    (void)close(fd);
    return why_set(why, e, err_zh(e), err_en(e));
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}

void listener_free(struct listener *l)
{
    if (l != NULL) {
        loop_timer_cancel(l->loop, l->rest_timer);
        (void)shutdown(l->fd, SHUT_RDWR); /* frees the port now; the loop closes the descriptor a turn later */
        loop_fd_remove(l->watch);
        free(l);
    }
}
