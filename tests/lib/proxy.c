/*
 * Owns: the proxy's sockets and the chunks under way. Each direction of a connection is a pipe: a source, a sink and a
 * bounded queue of chunks with the time at which they may leave. Aborts when memory is short: this is test code.
 */
#include "tests/lib/proxy.h"

#include "schema/base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 * 1024, PIPE_BYTES_MAX = 1 << 20, PAIRS_MAX = 128 };

struct chunk {
    struct chunk *next;
    uint64_t due_ms;
    size_t len;
    size_t sent;
    uint8_t bytes[];
};

struct pipe_way {
    int from;
    int to;
    struct chunk *first;
    struct chunk *last;
    size_t queued_bytes;
    uint64_t passed_bytes;
    bool has_ended; /* nothing more comes from the source */
    bool told_ended; /* the sink knows */
};

struct pair {
    bool is_used;
    bool is_connecting;
    bool is_cut; /* what has passed still arrives, what comes now is thrown away */
    struct pipe_way there;
    struct pipe_way back;
};

struct proxy {
    int listen_fd;
    struct sockaddr_in target;
    enum proxy_state state;
    uint32_t delay_ms;
    uint64_t there_bytes;
    uint64_t back_bytes;
    uint64_t cut_at_bytes; /* of both together; 0: never */
    uint64_t cuts;
    struct pair pairs[PAIRS_MAX];
};

static uint64_t mono_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool parse_address(const char *text, struct sockaddr_in *out)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host)) {
        return false;
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    char *end = NULL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    *out = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    return end != colon + 1 && *end == '\0' && port <= UINT16_MAX && inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

struct proxy *proxy_new(const char *listen_address, const char *target_address)
{
    struct proxy *p = calloc(1, sizeof(*p));
    struct sockaddr_in here;
    const int on = 1;
    check(p != NULL);
    p->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    check(p->listen_fd >= 0);
    (void)setsockopt(p->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!parse_address(listen_address, &here) || !parse_address(target_address, &p->target) ||
        bind(p->listen_fd, (const struct sockaddr *)&here, sizeof(here)) != 0 || listen(p->listen_fd, 64) != 0) {
        proxy_free(p);
        return NULL;
    }
    return p;
}

uint16_t proxy_port(const struct proxy *p)
{
    struct sockaddr_in a = { 0 };
    socklen_t len = sizeof(a);
    check(getsockname(p->listen_fd, (struct sockaddr *)&a, &len) == 0);
    return ntohs(a.sin_port);
}

static void way_clear(struct pipe_way *w)
{
    while (w->first != NULL) {
        struct chunk *c = w->first;
        w->first = c->next;
        free(c);
    }
}

/* Reset instead of a tidy end when the line breaks. */
static void pair_close(struct pair *q, bool is_broken)
{
    const struct linger now = { .l_onoff = 1, .l_linger = 0 };
    int fds[] = { q->there.from, q->there.to };
    for (size_t i = 0; i < 2; i++) {
        if (is_broken) {
            (void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        }
        (void)close(fds[i]);
    }
    way_clear(&q->there);
    way_clear(&q->back);
    q->is_used = false;
}

/* Both ends get what has passed, and then nothing more; a reset would also take what they have not read yet. */
static void pair_cut(struct pair *q)
{
    way_clear(&q->there);
    way_clear(&q->back);
    q->is_cut = true;
    (void)shutdown(q->there.from, SHUT_WR);
    (void)shutdown(q->there.to, SHUT_WR);
}

static void break_all(struct proxy *p)
{
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        if (p->pairs[i].is_used) {
            pair_close(&p->pairs[i], true);
        }
    }
}

void proxy_free(struct proxy *p)
{
    if (p == NULL) {
        return;
    }
    break_all(p);
    (void)close(p->listen_fd);
    free(p);
}

void proxy_set(struct proxy *p, enum proxy_state state)
{
    p->state = state;
    if (state == PROXY_CUT) {
        break_all(p);
    }
}

void proxy_delay(struct proxy *p, uint32_t ms)
{
    p->delay_ms = ms;
}

void proxy_cut_after(struct proxy *p, uint64_t bytes)
{
    p->cut_at_bytes = bytes == 0 ? 0 : p->there_bytes + p->back_bytes + bytes;
}

uint64_t proxy_cuts(const struct proxy *p)
{
    return p->cuts;
}

void proxy_bytes(const struct proxy *p, uint64_t *ret_there, uint64_t *ret_back)
{
    *ret_there = p->there_bytes;
    *ret_back = p->back_bytes;
}

static void accept_one(struct proxy *p)
{
    int in = accept4(p->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (in < 0) {
        return;
    }
    struct pair *q = NULL;
    for (size_t i = 0; p->state != PROXY_CUT && i < PAIRS_MAX && q == NULL; i++) {
        q = p->pairs[i].is_used ? NULL : &p->pairs[i];
    }
    int out = q == NULL ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (out < 0) {
        (void)close(in);
        return;
    }
    const int on = 1;
    (void)setsockopt(in, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    *q = (struct pair){ .is_used = true, .there = { .from = in, .to = out }, .back = { .from = out, .to = in } };
    if (connect(out, (const struct sockaddr *)&p->target, sizeof(p->target)) != 0) {
        q->is_connecting = errno == EINPROGRESS;
        if (!q->is_connecting) {
            pair_close(q, true);
        }
    }
}

/* False when the connection is broken. */
static bool way_read(const struct proxy *p, struct pipe_way *w)
{
    struct chunk *c = malloc(sizeof(*c) + CHUNK_BYTES);
    check(c != NULL);
    ssize_t n = recv(w->from, c->bytes, CHUNK_BYTES, 0);
    if (n <= 0) {
        bool is_broken = n < 0 && errno != EAGAIN && errno != EINTR;
        free(c);
        w->has_ended = w->has_ended || n == 0;
        return !is_broken;
    }
    c->next = NULL;
    c->due_ms = mono_ms() + p->delay_ms;
    c->len = (size_t)n;
    c->sent = 0;
    if (w->last != NULL && w->first != NULL) {
        w->last->next = c;
    } else {
        w->first = c;
    }
    w->last = c;
    w->queued_bytes += c->len;
    return true;
}

/* How much of len may pass before the line is to be cut. */
static size_t until_cut(const struct proxy *p, size_t len)
{
    uint64_t left = p->cut_at_bytes - p->there_bytes - p->back_bytes;
    return p->cut_at_bytes == 0 || len < left ? len : (size_t)left;
}

static bool way_write(const struct proxy *p, struct pipe_way *w, uint64_t now_ms, uint64_t *total)
{
    while (w->first != NULL && w->first->due_ms <= now_ms) {
        struct chunk *c = w->first;
        size_t len = until_cut(p, c->len - c->sent);
        ssize_t n = len == 0 ? 0 : send(w->to, c->bytes + c->sent, len, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        c->sent += (size_t)n;
        w->queued_bytes -= (size_t)n;
        *total += (uint64_t)n;
        if (c->sent < c->len) {
            return true;
        }
        w->first = c->next;
        free(c);
    }
    if (w->first == NULL && w->has_ended && !w->told_ended) {
        w->told_ended = true;
        (void)shutdown(w->to, SHUT_WR);
    }
    return true;
}

/* What to poll a socket for: it is the source of one way and the sink of the other. */
static short wanted(
    const struct pair *q, const struct pipe_way *as_source, const struct pipe_way *as_sink, uint64_t now)
{
    if (q->is_connecting) {
        return as_sink == &q->there ? POLLOUT : 0;
    }
    short events = 0;
    if (!as_source->has_ended && as_source->queued_bytes < PIPE_BYTES_MAX) {
        events = (short)(events | POLLIN);
    }
    if (as_sink->first != NULL && as_sink->first->due_ms <= now) {
        events = (short)(events | POLLOUT);
    }
    return events;
}

static void pair_finish_connect(struct pair *q, short revents)
{
    int code = 0;
    socklen_t len = sizeof(code);
    if (revents == 0) {
        return;
    }
    q->is_connecting = false;
    if (getsockopt(q->there.to, SOL_SOCKET, SO_ERROR, &code, &len) != 0 || code != 0) {
        pair_close(q, true);
    }
}

/* Until both ends have gone. */
static void pair_waste(struct pair *q)
{
    uint8_t drop[4096];
    struct pipe_way *ways[] = { &q->there, &q->back };
    for (size_t i = 0; i < 2; i++) {
        ssize_t n = ways[i]->has_ended ? -1 : recv(ways[i]->from, drop, sizeof(drop), 0);
        ways[i]->has_ended = ways[i]->has_ended || n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    }
    if (q->there.has_ended && q->back.has_ended) {
        pair_close(q, false);
    }
}

static void pair_move(struct proxy *p, struct pair *q, const struct pollfd in, const struct pollfd out, uint64_t now)
{
    if (q->is_connecting) {
        pair_finish_connect(q, out.revents);
        return;
    }
    if (q->is_cut) {
        pair_waste(q);
        return;
    }
    const short readable = POLLIN | POLLHUP | POLLERR;
    bool is_fine = true;
    if ((in.revents & readable) != 0 && (in.events & POLLIN) != 0) {
        is_fine = way_read(p, &q->there) && is_fine;
    }
    if ((out.revents & readable) != 0 && (out.events & POLLIN) != 0) {
        is_fine = way_read(p, &q->back) && is_fine;
    }
    is_fine = is_fine && way_write(p, &q->there, now, &p->there_bytes) && way_write(p, &q->back, now, &p->back_bytes);
    if (!is_fine) {
        pair_close(q, true);
    } else if (q->there.told_ended && q->back.told_ended) {
        pair_close(q, false);
    }
}

static void cut_when_due(struct proxy *p)
{
    if (p->cut_at_bytes != 0 && p->there_bytes + p->back_bytes >= p->cut_at_bytes) {
        p->cut_at_bytes = 0;
        p->cuts++;
        for (size_t i = 0; i < PAIRS_MAX; i++) {
            if (p->pairs[i].is_used && !p->pairs[i].is_cut) {
                pair_cut(&p->pairs[i]);
            }
        }
    }
}

/* No longer than until the next delayed chunk is due. */
static int shorten(int wait_ms, const struct pipe_way *w, uint64_t now)
{
    if (w->first == NULL || w->first->due_ms <= now) {
        return wait_ms;
    }
    uint64_t left = w->first->due_ms - now;
    return wait_ms < 0 || left < (uint64_t)wait_ms ? (int)left : wait_ms;
}

void proxy_step(struct proxy *p, int max_wait_ms, int wake_fd)
{
    struct pollfd fds[2 + 2 * PAIRS_MAX];
    uint64_t now = mono_ms();
    nfds_t count = 2;
    fds[0] = (struct pollfd){ .fd = p->listen_fd, .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = wake_fd, .events = POLLIN };
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        const struct pair *q = &p->pairs[i];
        bool is_moving = q->is_used && p->state == PROXY_OPEN;
        /* a negative descriptor is skipped by poll: indices stay simple */
        fds[count++] = (struct pollfd){ .fd = is_moving ? q->there.from : -1 };
        fds[count++] = (struct pollfd){ .fd = is_moving ? q->there.to : -1 };
        if (is_moving) {
            fds[count - 2].events = wanted(q, &q->there, &q->back, now);
            fds[count - 1].events = wanted(q, &q->back, &q->there, now);
            for (nfds_t k = count - 2; k < count; k++) {
                fds[k].fd = fds[k].events == 0 ? -1 : fds[k].fd; /* or a finished side would wake us for ever */
            }
            max_wait_ms = shorten(shorten(max_wait_ms, &q->there, now), &q->back, now);
        }
    }
    if (poll(fds, count, max_wait_ms) < 0) {
        return;
    }
    now = mono_ms();
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        if (p->pairs[i].is_used && p->state == PROXY_OPEN) {
            pair_move(p, &p->pairs[i], fds[2 + 2 * i], fds[3 + 2 * i], now);
        }
    }
    cut_when_due(p);
    if ((fds[0].revents & POLLIN) != 0) {
        accept_one(p);
    }
}
