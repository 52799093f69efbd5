/*
 * Owns: turning "host:port" into numeric addresses. A look-up is one detached thread that touches nothing but its own
 * job; job and thread meet through an eventfd and an atomic count of owners, so neither has to wait for the other.
 */
#include "node/net/resolve.h"

#include "schema/base/check.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOKUPS_MAX = 16 };

/* Shared by loop and thread; the last owner frees it. */
struct job {
    atomic_int owners;
    int done_fd; /* written by the thread */
    char host[RESOLVE_HOST_BYTES];
    struct resolve_result result;
};

struct resolve {
    struct job *job;
    struct loop_fd *watch;
    resolve_fn fn;
    void *ctx;
};

static atomic_int lookups_running;

enum err resolve_split(struct bytes address, char host[RESOLVE_HOST_BYTES], uint16_t *ret_port)
{
    size_t colon = address.len;
    while (colon > 0 && address.ptr[colon - 1] != ':') {
        colon--;
    }
    size_t digits = address.len - colon;
    if (colon < 2 || digits == 0 || digits > 5 || colon > RESOLVE_HOST_BYTES) {
        return ERR_INVALID;
    }
    uint32_t port = 0;
    for (size_t i = colon; i < address.len; i++) {
        if (address.ptr[i] < '0' || address.ptr[i] > '9') {
            return ERR_INVALID;
        }
        port = port * 10 + (uint32_t)(address.ptr[i] - '0');
    }
    struct bytes name = bytes_of(address.ptr, colon - 1);
    if (name.ptr[0] == '[' && name.len > 2 && name.ptr[name.len - 1] == ']') {
        name = bytes_of(name.ptr + 1, name.len - 2);
    } else if (memchr(name.ptr, ':', name.len) != NULL) {
        return ERR_INVALID; /* an IPv6 address needs its brackets */
    }
    if (port == 0 || port > UINT16_MAX || memchr(name.ptr, '\0', name.len) != NULL) {
        return ERR_INVALID;
    }
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    *ret_port = (uint16_t)port;
    return ERR_OK;
}

bool resolve_numeric(const char *host, struct resolve_result *out)
{
    uint8_t raw[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, raw) != 1 && inet_pton(AF_INET6, host, raw) != 1) {
        return false;
    }
    *out = (struct resolve_result){ .count = 1 };
    check(strlen(host) < RESOLVE_ADDRESS_BYTES);
    memcpy(out->address[0], host, strlen(host) + 1);
    return true;
}

static void job_release(struct job *job)
{
    if (atomic_fetch_sub(&job->owners, 1) == 1) {
        (void)close(job->done_fd);
        free(job);
    }
}

static void look_up(struct job *job)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *list = NULL;
    if (getaddrinfo(job->host, NULL, &hints, &list) != 0) {
        return;
    }
    struct resolve_result *r = &job->result;
    for (struct addrinfo *a = list; a != NULL && r->count < RESOLVE_ADDRESSES_MAX; a = a->ai_next) {
        if (getnameinfo(
                a->ai_addr, a->ai_addrlen, r->address[r->count], RESOLVE_ADDRESS_BYTES, NULL, 0, NI_NUMERICHOST) == 0) {
            r->count++;
        }
    }
    freeaddrinfo(list);
}

static void *thread_main(void *arg)
{
    struct job *job = arg;
    const uint64_t one = 1;
    look_up(job);
    ssize_t n = write(job->done_fd, &one, sizeof(one));
    (void)n;
    job_release(job);
    atomic_fetch_sub(&lookups_running, 1);
    return NULL;
}

static enum err start_thread(struct job *job)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    if (pthread_attr_init(&attr) != 0) {
        return ERR_NOMEM;
    }
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all); /* signals belong to the daemon's own thread */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_fetch_add(&lookups_running, 1);
    int rc = pthread_create(&thread, &attr, thread_main, job);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (rc != 0) {
        atomic_fetch_sub(&lookups_running, 1);
        return ERR_BUSY;
    }
    return ERR_OK;
}

static void on_done(void *ctx, enum loop_event event)
{
    struct resolve *r = ctx;
    if (event == LOOP_WRITABLE) {
        return;
    }
    if (event == LOOP_READABLE) {
        loop_fd_remove(r->watch);
    }
    r->fn(r->ctx, &r->job->result);
    job_release(r->job);
    free(r);
}

void resolve_cancel(struct resolve *r)
{
    if (r != NULL) {
        loop_fd_remove(r->watch);
        job_release(r->job);
        free(r);
    }
}

enum err resolve_start(struct loop *loop, const char *host, resolve_fn fn, void *ctx, struct resolve **out)
{
    if (atomic_load(&lookups_running) >= LOOKUPS_MAX) {
        return ERR_BUSY;
    }
    enum err e = ERR_NOMEM;
    struct resolve *r = calloc(1, sizeof(*r));
    struct job *job = calloc(1, sizeof(*job));
    int watch_fd = -1;
    if (r == NULL || job == NULL) {
        free(job);
        free(r);
        return ERR_NOMEM;
    }
    atomic_init(&job->owners, 1);
    check(strlen(host) < sizeof(job->host));
    memcpy(job->host, host, strlen(host) + 1);
    job->done_fd = eventfd(0, EFD_CLOEXEC);
    watch_fd = job->done_fd < 0 ? -1 : dup(job->done_fd); /* the loop closes its own copy */
    *r = (struct resolve){ .job = job, .fn = fn, .ctx = ctx };
    if (watch_fd < 0) {
        goto fail;
    }
    e = loop_fd_add(loop, watch_fd, on_done, r, &r->watch);
    if (e != ERR_OK) {
        (void)close(watch_fd);
        goto fail;
    }
    atomic_store(&job->owners, 2);
    e = start_thread(job);
    if (e != ERR_OK) {
        atomic_store(&job->owners, 1);
        goto fail;
    }
    *out = r;
    return ERR_OK;
fail:
    loop_fd_remove(r->watch);
    job_release(job);
    free(r);
    return e;
}
