/*
 * Owns: the libwebsockets context, its poll loop, timers on its sorted list, and foreign descriptors adopted as raw
 * files. Invariants: a loop_fd lives until the library reports its descriptor closed; after loop_fd_remove its fn is
 * NULL, so late events fall into the void. Knows nothing of websockets beyond forwarding one certificate callback.
 */
#include "node/net/loop.h"

#include "schema/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    SERVICE_BUFFER_BYTES = 64 * 1024 + 512,
    HEADER_BYTES_MAX = 2048, /* one HTTP request or answer head */
    HEADER_POOL = 320, /* handshakes under way at once: inbound limit and dials */
    HANDSHAKE_SECONDS = 5,
};

struct loop_timer {
    lws_sorted_usec_list_t due; /* first member: the library hands this back */
    struct loop *loop;
    struct loop_timer *next;
    struct loop_timer *prev;
    uint64_t id;
    loop_timer_fn fn;
    void *ctx;
};

struct loop_fd {
    lws_sorted_usec_list_t rearm; /* first member */
    struct loop *loop;
    struct lws *wsi;
    bool is_in_write_event;
    loop_fd_fn fn; /* NULL once removed */
    void *ctx;
};

struct loop {
    struct lws_context *lws;
    struct lws_vhost *vhost; /* home of foreign descriptors */
    struct loop_fd *wake;
    int wake_fd;
    volatile sig_atomic_t is_stopping;
    struct loop_timer *timers;
    uint64_t last_timer;
    lws_sorted_usec_list_t step_limit;
};

static struct {
    loop_log_fn fn;
    void *ctx;
} loop_log;

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

static const struct lws_protocols loop_protocols[] = {
    { .name = "loop-fd", .callback = on_event },
    { .name = NULL },
};

static void log_line(int level, const char *line)
{
    (void)level;
    if (loop_log.fn == NULL) {
        return;
    }
    char text[256];
    size_t len = strcspn(line, "\n");
    if (len >= sizeof(text)) {
        len = sizeof(text) - 1;
    }
    memcpy(text, line, len);
    text[len] = '\0';
    loop_log.fn(loop_log.ctx, text);
}

void loop_set_log(loop_log_fn fn, void *ctx)
{
    loop_log.fn = fn;
    loop_log.ctx = ctx;
}

struct lws_context *loop_lws(struct loop *loop)
{
    return loop->lws;
}

/* foreign descriptors */

static int fd_event(struct loop_fd *f, enum loop_event event)
{
    f->is_in_write_event = event == LOOP_WRITABLE;
    if (f->fn != NULL) {
        f->fn(f->ctx, event);
    }
    f->is_in_write_event = false;
    return f->fn == NULL ? -1 : 0;
}

static void fd_closed(struct lws *wsi, struct loop_fd *f)
{
    loop_fd_fn fn = f->fn;
    f->fn = NULL;
    lws_sul_cancel(&f->rearm);
    lws_set_opaque_user_data(wsi, NULL);
    if (fn != NULL) {
        fn(f->ctx, LOOP_HANGUP);
    }
    free(f);
}

/* The library asks the first protocol of the first virtual host about every server certificate a client sees: pass the
 * question to the connection's own protocol, and refuse if there is none. */
static int forward_certificate(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    const struct lws_protocols *p = lws_get_protocol(wsi);
    if (p == NULL || p->callback == NULL || p->callback == on_event) {
        return 1;
    }
    return p->callback(wsi, reason, user, in, len);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    if (reason == LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION) {
        return forward_certificate(wsi, reason, user, in, len);
    }
    if (reason != LWS_CALLBACK_RAW_RX_FILE && reason != LWS_CALLBACK_RAW_WRITEABLE_FILE &&
        reason != LWS_CALLBACK_RAW_CLOSE_FILE) {
        return 0;
    }
    struct loop_fd *f = lws_get_opaque_user_data(wsi);
    if (f == NULL) {
        return -1;
    }
    if (reason == LWS_CALLBACK_RAW_CLOSE_FILE) {
        fd_closed(wsi, f);
        return 0;
    }
    return fd_event(f, reason == LWS_CALLBACK_RAW_RX_FILE ? LOOP_READABLE : LOOP_WRITABLE);
}

enum err loop_fd_add(struct loop *loop, int fd, loop_fd_fn fn, void *ctx, struct loop_fd **out)
{
    check(fd >= 0 && fn != NULL);
    struct loop_fd *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return ERR_NOMEM;
    }
    f->loop = loop;
    f->fn = fn;
    f->ctx = ctx;
    lws_adopt_desc_t info = {
        .vh = loop->vhost,
        .type = LWS_ADOPT_RAW_FILE_DESC,
        .fd = { .filefd = fd },
        .vh_prot_name = loop_protocols[0].name,
        .opaque = f,
    };
    f->wsi = lws_adopt_descriptor_vhost_via_info(&info);
    if (f->wsi == NULL) {
        free(f);
        return ERR_NOMEM;
    }
    *out = f;
    return ERR_OK;
}

static void want_write_again(lws_sorted_usec_list_t *due)
{
    struct loop_fd *f = (struct loop_fd *)(void *)due;
    (void)lws_callback_on_writable(f->wsi);
}

/* The library forgets a wish for writing that is uttered while it reports that one may write, so that one waits a turn.
 */
void loop_fd_want_write(struct loop_fd *f)
{
    if (f->is_in_write_event) {
        lws_sul_schedule(f->loop->lws, 0, &f->rearm, want_write_again, 1);
    } else {
        (void)lws_callback_on_writable(f->wsi);
    }
}

void loop_fd_pause(struct loop_fd *f, bool is_paused)
{
    (void)lws_rx_flow_control(f->wsi, is_paused ? 0 : 1);
}

void loop_fd_remove(struct loop_fd *f)
{
    if (f != NULL) {
        f->fn = NULL;
        lws_set_timeout(f->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    }
}

/* timers */

static void timer_unlink(struct loop_timer *t)
{
    if (t->prev != NULL) {
        t->prev->next = t->next;
    } else {
        t->loop->timers = t->next;
    }
    if (t->next != NULL) {
        t->next->prev = t->prev;
    }
}

static void timer_fired(lws_sorted_usec_list_t *due)
{
    struct loop_timer *t = (struct loop_timer *)(void *)due;
    loop_timer_fn fn = t->fn;
    void *ctx = t->ctx;
    timer_unlink(t);
    free(t);
    fn(ctx);
}

uint64_t loop_timer_after(struct loop *loop, uint32_t ms, loop_timer_fn fn, void *ctx)
{
    check(fn != NULL);
    struct loop_timer *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return 0;
    }
    t->loop = loop;
    t->id = ++loop->last_timer;
    t->fn = fn;
    t->ctx = ctx;
    t->next = loop->timers;
    if (t->next != NULL) {
        t->next->prev = t;
    }
    loop->timers = t;
    /* 0 would cancel in this library */
    lws_usec_t us = ms == 0 ? 1 : (lws_usec_t)ms * LWS_US_PER_MS;
    lws_sul_schedule(loop->lws, 0, &t->due, timer_fired, us);
    return t->id;
}

void loop_timer_cancel(struct loop *loop, uint64_t timer)
{
    for (struct loop_timer *t = loop->timers; t != NULL; t = t->next) {
        if (t->id == timer) {
            lws_sul_cancel(&t->due);
            timer_unlink(t);
            free(t);
            return;
        }
    }
}

/* life */

static void on_wake(void *ctx, enum loop_event event)
{
    struct loop *loop = ctx;
    uint64_t count = 0;
    if (event == LOOP_READABLE) {
        ssize_t n = read(loop->wake_fd, &count, sizeof(count));
        (void)n; /* only empties the counter; is_stopping tells */
    }
}

static enum err open_context(struct loop *loop)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
                   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
        .pt_serv_buf_size = SERVICE_BUFFER_BYTES,
        .max_http_header_data = HEADER_BYTES_MAX,
        .max_http_header_pool = HEADER_POOL,
        .timeout_secs = HANDSHAKE_SECONDS,
        .gid = -1,
        .uid = -1,
    };
    loop->lws = lws_create_context(&info);
    if (loop->lws == NULL) {
        return ERR_NOMEM;
    }
    struct lws_context_creation_info home = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .vhost_name = "loop",
        .protocols = loop_protocols,
        .http_proxy_address = "", /* otherwise the environment's http_proxy would carry our connections */
    };
    loop->vhost = lws_create_vhost(loop->lws, &home);
    return loop->vhost == NULL ? ERR_NOMEM : ERR_OK;
}

enum err loop_new(struct loop **out)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return ERR_NOMEM;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    enum err e = open_context(loop);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e == ERR_OK && loop->wake_fd < 0) {
        e = ERR_IO;
    }
    if (e == ERR_OK) {
        e = loop_fd_add(loop, loop->wake_fd, on_wake, loop, &loop->wake);
    }
    if (e != ERR_OK) {
        if (loop->wake_fd >= 0) {
            (void)close(loop->wake_fd);
        }
        loop_free(loop);
        return e;
    }
    *out = loop;
    return ERR_OK;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    loop_fd_remove(loop->wake);
    while (loop->timers != NULL) {
        loop_timer_cancel(loop, loop->timers->id);
    }
    if (loop->lws != NULL) {
        lws_context_destroy(loop->lws);
    }
    free(loop);
}

void loop_stop(struct loop *loop)
{
    int saved = errno;
    const uint64_t one = 1;
    loop->is_stopping = 1;
    ssize_t n = write(loop->wake_fd, &one, sizeof(one));
    (void)n; /* full means a wake is pending already */
    errno = saved;
}

static void step_over(lws_sorted_usec_list_t *due)
{
    (void)due; /* being due was its work: it bounded the wait */
}

enum err loop_step(struct loop *loop, int max_wait_ms)
{
    if (max_wait_ms > 0) {
        lws_sul_schedule(loop->lws, 0, &loop->step_limit, step_over, (lws_usec_t)max_wait_ms * LWS_US_PER_MS);
    }
    /* The library reads only the sign: negative polls, anything else waits for the next event or timer. */
    int rc = lws_service(loop->lws, max_wait_ms == 0 ? -1 : 0);
    lws_sul_cancel(&loop->step_limit);
    return rc < 0 ? ERR_IO : ERR_OK;
}

void loop_run(struct loop *loop)
{
    while (!loop->is_stopping && loop_step(loop, -1) == ERR_OK) {
    }
}
