/*
 * Owns: the client's end of the control socket. Blocks in poll with a deadline; no loop, no library.
 */
#include "node/net/control_client.h"

#include "node/net/control_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct control_client {
    int fd;
};

static int64_t mono_ms(void)
{
    struct timespec t = { 0 };
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for events until the deadline (negative = none). */
static enum err wait_for(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms < 0 ? -1 : deadline_ms - mono_ms();
        if (deadline_ms >= 0 && left <= 0) {
            return ERR_BUSY;
        }
        struct pollfd p = { .fd = fd, .events = events };
        int n = poll(&p, 1, left < 0 ? -1 : (int)left);
        if (n > 0) {
            return ERR_OK;
        }
        if (n < 0 && errno != EINTR) {
            return ERR_IO;
        }
    }
}

static enum err send_all(int fd, struct bytes v, int64_t deadline_ms)
{
    while (v.len > 0) {
        ssize_t n = send(fd, v.ptr, v.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            v.ptr += n;
            v.len -= (size_t)n;
        } else if (errno == EAGAIN) {
            enum err e = wait_for(fd, POLLOUT, deadline_ms);
            if (e != ERR_OK) {
                return e;
            }
        } else if (errno != EINTR) {
            return ERR_UNREACHABLE;
        }
    }
    return ERR_OK;
}

static enum err receive_all(int fd, uint8_t *out, size_t len, int64_t deadline_ms)
{
    while (len > 0) {
        enum err e = wait_for(fd, POLLIN, deadline_ms);
        if (e != ERR_OK) {
            return e;
        }
        ssize_t n = recv(fd, out, len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return ERR_UNREACHABLE;
        }
        if (n > 0) {
            out += n;
            len -= (size_t)n;
        }
    }
    return ERR_OK;
}

static enum err err_from_connect(int code)
{
    switch (code) {
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case EAGAIN:
        return ERR_BUSY;
    default:
        return ERR_UNREACHABLE;
    }
}

enum err control_open(const char *path, struct control_client **out)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(address.sun_path)) {
        return ERR_UNREACHABLE; /* no daemon can listen there either */
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    struct control_client *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return ERR_NOMEM;
    }
    enum err e = ERR_OK;
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        free(c);
        return ERR_NOMEM;
    }
    if (connect(c->fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        e = err_from_connect(errno);
    }
    if (e != ERR_OK) {
        control_close(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

static int64_t deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : mono_ms() + timeout_ms;
}

enum err control_send(struct control_client *c, struct bytes request, int timeout_ms)
{
    if (request.len > CONTROL_FRAME_BYTES_MAX) {
        return ERR_LIMIT;
    }
    int64_t deadline_ms = deadline_of(timeout_ms);
    const uint8_t header[CONTROL_HEADER_BYTES] = { (uint8_t)(request.len >> 24), (uint8_t)(request.len >> 16),
        (uint8_t)(request.len >> 8), (uint8_t)request.len };
    enum err e = send_all(c->fd, BYTES_OF(header), deadline_ms);
    return e == ERR_OK ? send_all(c->fd, request, deadline_ms) : e;
}

enum err control_receive(struct control_client *c, struct buf *reply, int timeout_ms)
{
    int64_t deadline_ms = deadline_of(timeout_ms);
    uint8_t header[CONTROL_HEADER_BYTES];
    enum err e = receive_all(c->fd, header, sizeof(header), deadline_ms);
    if (e != ERR_OK) {
        return e;
    }
    size_t len = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
    if (len > CONTROL_FRAME_BYTES_MAX) {
        return ERR_LIMIT;
    }
    if (len == 0) {
        return reply->err;
    }
    uint8_t *room = buf_reserve(reply, len);
    return room == NULL ? reply->err : receive_all(c->fd, room, len, deadline_ms);
}

void control_close(struct control_client *c)
{
    if (c != NULL) {
        (void)close(c->fd);
        free(c);
    }
}

enum err control_call(const char *path, struct bytes request, struct buf *reply, int timeout_ms)
{
    struct control_client *c = NULL;
    enum err e = control_open(path, &c);
    if (e == ERR_OK) {
        e = control_send(c, request, timeout_ms);
    }
    if (e == ERR_OK) {
        e = control_receive(c, reply, timeout_ms);
    }
    control_close(c);
    return e;
}
