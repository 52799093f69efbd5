/*
 * Owns: wiring of loop, transport, control socket, links, join door and sync core; waiting for "in sync". Invariant:
 * every event becomes one sync_step, and its actions are performed in order after it returned; messages have their turn
 * in the order in which they arrived; those that arrive together share a transaction, which ends before a request is
 * run or the loop waits. Takes no protocol decision.
 */
#include "node/daemon.h"

#include "node/inbox.h"
#include "node/join_door.h"
#include "node/json_mem.h"
#include "node/limits.h"
#include "node/links.h"
#include "node/log.h"
#include "node/net/control_socket.h"
#include "node/net/transport_ws.h"
#include "node/request.h"
#include "schema/base/check.h"
#include "schema/wire.h"
#include "sync/session.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WAITERS_MAX = 16, QUIET_MS = 10000, TICK_MS = 100, TICKS_PER_LOOK = 100, DRAIN_MS = 30 };

/* So many bytes are read before the first of them has its turn, for the other thread to work on, unless nothing more
 * comes: a turn of the loop may bring only a piece of a message. Then messages have their turns until others of the
 * loop have waited so long. */
enum { READ_AHEAD_BYTES = INBOX_BYTES_MAX / 2, QUIET_TURNS = 3, TURN_MS = 2 };

/* Messages are one transaction as long as they come: a single edit ends it at once, a bulk when its sender pauses, and
 * none lasts much longer than GROUP_MS, because others wait for their acknowledgements. It ends at half of what a
 * sender may have under way, so that the other half is here already when this one is acknowledged. */
enum { GROUP_BYTES = SYNC_GROUP_BYTES / 2, BULK_BYTES = SESSION_BATCH_BYTES / 2, BULK_PAUSE_MS = 3, GROUP_MS = 500 };

/* Another copy of this node that lives is heard of every few minutes (node/links.h); an hour later it is gone. */
enum { COPY_GONE_MS = 60 * 60 * 1000 };

/* Lines that another copy of this node took over, one after the other. */
struct copy_seen {
    uint64_t times;
    uint64_t last_ms;
    uint32_t peer; /* who told us */
};

/* Somebody who waits to be told that we are in sync. */
struct waiter {
    sync_done_fn done;
    void *ctx;
    uint64_t probe_id; /* 0: still connecting */
    uint64_t quiet_since_ms;
    struct sync_outcome outcome;
    size_t expected;
};

struct daemon {
    struct app *app;
    struct loop *loop;
    struct transport *transport;
    struct control_socket *control;
    struct sync *sync;
    struct inbox *inbox;
    struct links links;
    struct limits limits;
    struct join_door joins;
    struct copy_seen copy;
    struct waiter waiters[WAITERS_MAX];
    size_t waiter_count;
    uint64_t next_probe;
    uint64_t ticks;
    bool has_answered; /* a request, in this turn of the loop */
    bool has_let_pass; /* no message had its turn in the last one */
    unsigned quiet_turns; /* of the loop, since a message arrived */
    bool has_changes; /* commits were added by a request: tell the sessions */
    size_t group_bytes; /* of messages taken since the last commit */
    bool has_forgotten; /* the log of the store is to be emptied: what was forgotten still stands in it */
    uint64_t group_since_ms; /* when its first message came */
    uint64_t news_ms; /* when its last one had been taken in */
    enum err failure; /* a store error: we stop acknowledging and end */
};

static void step(struct daemon *d, struct sync_event *ev);

/* --- sessions
 * ------------------------------------------------------------------------------------------------------------ */

static void on_probed(struct daemon *d, const struct sync_action *a)
{
    for (size_t i = 0; i < d->waiter_count; i++) {
        struct waiter *w = &d->waiters[i];
        if (w->probe_id == a->probe_id && w->outcome.in_sync < ARRAY_LEN(w->outcome.nodes)) {
            w->outcome.nodes[w->outcome.in_sync++] = a->node;
        }
    }
}

static bool is_copy_about(const struct daemon *d)
{
    return d->copy.times > 0 && app_now().mono_ms - d->copy.last_ms < COPY_GONE_MS;
}

/* True: it was not known. */
static bool see_copy(struct daemon *d, uint32_t peer)
{
    bool is_new = !is_copy_about(d);
    d->copy = (struct copy_seen){ .times = is_new ? 1 : d->copy.times + 1, .last_ms = app_now().mono_ms, .peer = peer };
    return is_new;
}

static void on_refused(struct daemon *d, const struct sync_action *a)
{
    node_log("session ended", a->node, a->error);
    bool is_told =
        a->error == ERR_REPLACED ? see_copy(d, a->node) : a->error == ERR_OUTDATED || a->error == ERR_VERSION;
    if (is_told) { /* somebody has to do something */
        (void)fprintf(stderr, "jipan: %s / %s\n", err_zh(a->error), err_en(a->error));
    }
    links_refused(&d->links, a->conn, a->error);
    if (!a->by_peer) {
        limits_refused(&d->limits, a->node, a->error);
    }
}

static void perform(struct daemon *d, const struct sync_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        const struct sync_action *a = &actions->at[i];
        switch (a->kind) {
        case SYNC_ACT_SEND:
            if (d->transport->ops->send(d->transport, a->conn, a->message) != ERR_OK) {
                d->transport->ops->close(d->transport, a->conn);
            }
            break;
        case SYNC_ACT_CLOSE:
            d->transport->ops->close(d->transport, a->conn);
            break;
        case SYNC_ACT_PROBED:
            on_probed(d, a);
            break;
        case SYNC_ACT_REFUSED:
            on_refused(d, a);
            break;
        case SYNC_ACT_CHANGED:
            break;
        case SYNC_ACT_AGAIN:
            d->has_changes = true;
            break;
        case SYNC_ACT_FORGOT:
            d->has_forgotten = true;
            break;
        }
    }
}

static void step(struct daemon *d, struct sync_event *ev)
{
    struct sync_actions actions = { 0 };
    if (d->failure != ERR_OK) {
        return;
    }
    ev->now = app_now();
    d->group_bytes = ev->more ? d->group_bytes : 0;
    enum err e = sync_step(d->sync, ev, &actions);
    if (e != ERR_OK) {
        node_log("store failed, stopping", d->app->core.self.number, e);
        d->failure = e;
        loop_stop(d->loop);
        return;
    }
    perform(d, &actions);
}

/* Before anybody else touches the store: what the sessions took in is made durable and answered. */
static void end_group(struct daemon *d)
{
    if (sync_is_open(d->sync)) {
        struct sync_event ev = { .kind = SYNC_EV_FLUSH };
        step(d, &ev);
    }
}

/* --- transport events
 * ---------------------------------------------------------------------------------------------------- */

static bool on_allow(void *ctx, enum transport_door door, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    const struct daemon *d = ctx;
    if (door == DOOR_JOIN) {
        return join_door_is_open(&d->joins);
    }
    const struct member_node *n = members_node_by_tls(d->app->members, key);
    return n != NULL && n->revoked_at == 0 && limits_admit(&d->limits, key);
}

static void on_open(
    void *ctx, conn_id c, enum transport_door door, bool outbound, uint64_t tag, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    struct daemon *d = ctx;
    if (door == DOOR_JOIN) {
        join_door_opened(&d->joins, c, key);
        return;
    }
    if (outbound) {
        links_opened(&d->links, c, tag);
    }
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = c, .is_outbound = outbound };
    memcpy(ev.key, key, sizeof(ev.key));
    step(d, &ev);
}

/* One transaction for all that has arrived: a message costs no fsync of its own while others wait behind it. */
static void take_message(struct daemon *d, conn_id c, struct bytes message, struct ahead *ahead, size_t bytes)
{
    d->group_since_ms = d->group_bytes == 0 ? app_now().mono_ms : d->group_since_ms;
    d->group_bytes += bytes;
    struct sync_event ev = {
        .kind = SYNC_EV_MESSAGE, .conn = c, .message = message, .ahead = ahead, .more = d->group_bytes < GROUP_BYTES
    };
    step(d, &ev);
    d->news_ms = app_now().mono_ms;
}

static void take_end(struct daemon *d, conn_id c)
{
    struct sync_event ev = { .kind = SYNC_EV_CLOSED, .conn = c };
    step(d, &ev);
}

static void take_first(struct daemon *d)
{
    struct inbox_item item = inbox_first(d->inbox);
    if (item.is_end) {
        take_end(d, item.conn);
    } else {
        take_message(d, item.conn, item.message, item.ahead, item.bytes);
    }
    inbox_drop(d->inbox);
}

static void make_room(struct daemon *d, size_t bytes)
{
    while (!inbox_has_room(d->inbox, bytes)) {
        take_first(d);
    }
}

static void on_message(void *ctx, conn_id c, struct bytes message)
{
    struct daemon *d = ctx;
    if (join_door_has(&d->joins, c)) {
        end_group(d);
        join_door_message(&d->joins, c, message);
        return;
    }
    for (size_t i = 0; i < d->waiter_count; i++) {
        d->waiters[i].quiet_since_ms = app_now().mono_ms;
    }
    d->quiet_turns = 0;
    make_room(d, message.len);
    if (inbox_put(d->inbox, d->sync, c, message) != ERR_OK) {
        while (inbox_count(d->inbox) > 0) {
            take_first(d);
        }
        take_message(d, c, message, NULL, message.len);
    }
}

static void on_drain(void *ctx, conn_id c)
{
    struct sync_event ev = { .kind = SYNC_EV_DRAIN, .conn = c };
    step(ctx, &ev);
}

static void on_closed(void *ctx, conn_id c)
{
    struct daemon *d = ctx;
    if (join_door_has(&d->joins, c)) {
        join_door_closed(&d->joins, c);
        return;
    }
    links_closed(&d->links, c);
    if (inbox_has(d->inbox, c)) { /* what it said before counts */
        make_room(d, 0);
        inbox_put_end(d->inbox, c);
    } else {
        take_end(d, c);
    }
}

static void on_dial_failed(void *ctx, uint64_t tag, enum err why)
{
    struct daemon *d = ctx;
    links_dial_failed(&d->links, tag, why);
}

static void on_fault(void *ctx, const uint8_t key[TRANSPORT_KEY_BYTES], enum err why)
{
    struct daemon *d = ctx;
    limits_fault(&d->limits, key, why);
}

/* --- dialling and waiting
 * ---------------------------------------------------------------------------------------------------- */

static bool is_live(void *ctx, const uint8_t tls_key[TRANSPORT_KEY_BYTES])
{
    const struct daemon *d = ctx;
    const struct member_node *n = members_node_by_tls(d->app->members, tls_key);
    for (size_t i = 0; n != NULL && i < sync_session_count(d->sync); i++) {
        struct session_info s = sync_session_at(d->sync, i);
        if (s.node == n->number && s.state == SESSION_LIVE) {
            return true;
        }
    }
    return false;
}

static bool admits(void *ctx, const uint8_t tls_key[TRANSPORT_KEY_BYTES])
{
    const struct daemon *d = ctx;
    return limits_admit(&d->limits, tls_key);
}

static size_t live_sessions(const struct daemon *d, bool *is_settling)
{
    size_t live = 0;
    *is_settling = false;
    for (size_t i = 0; i < sync_session_count(d->sync); i++) {
        struct session_info s = sync_session_at(d->sync, i);
        live += s.state == SESSION_LIVE ? 1 : 0;
        *is_settling = *is_settling || s.state == SESSION_HELLO;
    }
    *is_settling = *is_settling || links_is_dialling(&d->links);
    return live;
}

static void waiter_finish(struct daemon *d, size_t i)
{
    struct waiter w = d->waiters[i];
    d->waiters[i] = d->waiters[--d->waiter_count];
    w.outcome.unreachable = links_unreachable(&d->links);
    w.done(w.ctx, &w.outcome);
}

static void drive_waiters(struct daemon *d)
{
    uint64_t now = app_now().mono_ms;
    bool is_settling = false;
    for (size_t i = 0; i < d->waiter_count;) {
        struct waiter *w = &d->waiters[i];
        size_t live = live_sessions(d, &is_settling);
        bool is_quiet = now - w->quiet_since_ms > QUIET_MS;
        if (w->probe_id == 0 && !is_settling && live > 0) {
            struct sync_event ev = { .kind = SYNC_EV_PROBE, .probe_id = ++d->next_probe };
            w->probe_id = ev.probe_id;
            w->expected = live;
            step(d, &ev);
        }
        /* Nobody left to answer, asked or not: a session may have ended between the question and the answer. */
        if (is_quiet || (!is_settling && live == 0) || (w->probe_id != 0 && w->outcome.in_sync >= w->expected)) {
            waiter_finish(d, i);
        } else {
            i++;
        }
    }
}

enum err daemon_sync(struct daemon *d, sync_done_fn done, void *ctx)
{
    if (d->waiter_count == WAITERS_MAX) {
        return ERR_BUSY;
    }
    enum err e = links_load(&d->links);
    if (e == ERR_OK) {
        links_dial(&d->links, true);
        d->waiters[d->waiter_count++] =
            (struct waiter){ .done = done, .ctx = ctx, .quiet_since_ms = app_now().mono_ms };
    }
    return e;
}

/* --- requests
 * ---------------------------------------------------------------------------------------------------------------- */

void daemon_reply(struct daemon *d, uint64_t client, json_t *reply)
{
    char *owned = NULL;
    struct bytes text = request_dump(reply, &owned);
    enum err e = control_socket_reply(d->control, client, text);
    if (e != ERR_OK && e != ERR_NOT_FOUND) {
        node_log("reply not delivered", d->app->core.self.number, e);
    }
    json_mem_free(owned);
    json_decref(reply);
}

static void on_request(void *ctx, uint64_t client, struct bytes request)
{
    struct daemon *d = ctx;
    end_group(d);
    d->has_answered = true;
    json_t *reply = request_run_text(d->app, request, d, client);
    if (reply != NULL) {
        daemon_reply(d, client, reply);
    }
}

static void on_changed(void *ctx)
{
    struct daemon *d = ctx;
    d->has_changes = true;
}

/* What was forgotten still stands in the store's log until that is emptied into the file and cut. */
static void empty_log(struct daemon *d)
{
    enum err e = vault_checkpoint(d->app->vault);
    d->has_forgotten = e == ERR_BUSY;
    if (e != ERR_OK && e != ERR_BUSY) {
        node_log("log not emptied", d->app->core.self.number, e);
    }
}

/* A piece of a message may have come without a sign from the library, so only time tells that a bulk pauses. */
static bool may_follow(const struct daemon *d)
{
    uint64_t now = app_now().mono_ms;
    bool is_bulk = d->group_bytes >= BULK_BYTES && now - d->news_ms < BULK_PAUSE_MS;
    return (is_bulk || inbox_count(d->inbox) > 0) && now - d->group_since_ms < GROUP_MS;
}

/* A bulk is read first, so that there is something to work ahead in; what is small has its turn at once. */
static bool reads_on(struct daemon *d)
{
    size_t waiting = inbox_bytes(d->inbox);
    return ++d->quiet_turns < QUIET_TURNS && waiting < READ_AHEAD_BYTES && d->group_bytes + waiting >= BULK_BYTES;
}

/* An answer leaves in the next turn of the loop: a message would hold it up. Never twice in a row, or who asks all the
 * time would keep the peers waiting. */
static bool answers_first(struct daemon *d)
{
    bool is_due = d->has_answered && !d->has_let_pass;
    d->has_answered = false;
    d->has_let_pass = is_due;
    return is_due;
}

static void take_some(struct daemon *d)
{
    uint64_t begin = app_now().mono_ms;
    if (answers_first(d) || reads_on(d)) {
        return;
    }
    while (inbox_count(d->inbox) > 0 && app_now().mono_ms - begin < TURN_MS) {
        take_first(d);
    }
}

static int wait_of(const struct daemon *d)
{
    int wait_ms = d->waiter_count > 0 ? 10 : TICK_MS;
    wait_ms = sync_is_open(d->sync) ? 1 : wait_ms;
    return d->has_changes || inbox_count(d->inbox) > 0 ? 0 : wait_ms;
}

/* Work that must not run inside a callback of the code that caused it. */
static void after_turn(struct daemon *d)
{
    take_some(d);
    if (!may_follow(d)) {
        end_group(d);
    }
    if (d->has_changes) {
        struct sync_event ev = { .kind = SYNC_EV_LOCAL };
        d->has_changes = false;
        step(d, &ev);
        /* A link may have been added or removed. */
        enum err e = links_load(&d->links);
        if (e != ERR_OK) {
            node_log("links not read", d->app->core.self.number, e);
        }
    }
    if (d->has_forgotten && !sync_is_open(d->sync)) {
        empty_log(d);
    }
    drive_waiters(d);
}

static void on_tick(void *ctx)
{
    struct daemon *d = ctx;
    links_dial(&d->links, false);
    limits_tick(&d->limits);
    join_door_tick(&d->joins);
    if (++d->ticks % TICKS_PER_LOOK == 0 && sync_session_count(d->sync) > 0) {
        struct sync_event ev = { .kind = SYNC_EV_LOCAL }; /* what is due by time only: receipts */
        step(d, &ev);
    }
    (void)loop_timer_after(d->loop, TICK_MS, on_tick, d);
}

json_t *daemon_links(const struct daemon *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sync_session_count(d->sync); i++) {
        struct session_info s = sync_session_at(d->sync, i);
        if (s.state == SESSION_FREE) {
            continue;
        }
        json_t *o = json_object();
        (void)json_object_set_new(o, "node", json_integer(s.node));
        (void)json_object_set_new(o, "state", json_string(session_state_name(s.state)));
        (void)json_object_set_new(o, "outbound", json_boolean(s.is_outbound));
        (void)json_object_set_new(o, "caught_up", json_boolean(s.is_caught_up));
        if (s.is_held) {
            (void)json_object_set_new(o, "error", json_string(err_name(ERR_FULL)));
        }
        (void)json_object_set_new(o, "sent_commits", json_integer((json_int_t)s.sent_commits));
        (void)json_object_set_new(o, "received_commits", json_integer((json_int_t)s.received_commits));
        (void)json_object_set_new(o, "sent_bytes", json_integer((json_int_t)s.sent_bytes));
        (void)json_object_set_new(o, "received_bytes", json_integer((json_int_t)s.received_bytes));
        (void)json_array_append_new(list, o);
    }
    links_describe(&d->links, list);
    return list;
}

void daemon_limits(const struct daemon *d, json_t *out)
{
    limits_describe(&d->limits, out);
}

void daemon_copy(const struct daemon *d, json_t *out)
{
    if (!is_copy_about(d)) {
        return;
    }
    uint64_t ago_ms = app_now().mono_ms - d->copy.last_ms;
    json_t *o = json_object();
    (void)json_object_set_new(o, "times", json_integer((json_int_t)d->copy.times));
    (void)json_object_set_new(o, "seconds_ago", json_integer((json_int_t)(ago_ms / 1000)));
    (void)json_object_set_new(o, "peer", json_integer(d->copy.peer));
    (void)json_object_set_new(o, "zh", json_string(err_zh(ERR_REPLACED)));
    (void)json_object_set_new(o, "en", json_string(err_en(ERR_REPLACED)));
    (void)json_object_set_new(out, "another_copy", o);
}

/* --- life
 * -------------------------------------------------------------------------------------------------------------------
 */

bool daemon_socket_path(const char *home, char *out, size_t out_len)
{
    int n = snprintf(out, out_len, "%s/control.sock", home);
    return n > 0 && (size_t)n < out_len;
}

static enum err split_listen(const char *listen, char *host, size_t host_len, uint16_t *port, struct why *why)
{
    const char *colon = strrchr(listen, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - listen);
    unsigned long p = 0;
    char *end = NULL;
    if (colon != NULL) {
        p = strtoul(colon + 1, &end, 10);
    }
    if (colon == NULL || n == 0 || n >= host_len || end == colon + 1 || *end != '\0' || p == 0 || p > 65535) {
        return why_set(why, ERR_USAGE, "--listen 写成 主机:端口，例如 127.0.0.1:7420",
            "write --listen as host:port, e.g. 127.0.0.1:7420");
    }
    bool brackets = listen[0] == '[' && n > 2 && listen[n - 1] == ']';
    memcpy(host, listen + (brackets ? 1 : 0), n - (brackets ? 2 : 0));
    host[n - (brackets ? 2 : 0)] = '\0';
    *port = (uint16_t)p;
    return ERR_OK;
}

static enum err open_network(struct daemon *d, const char *listen, struct why *why)
{
    char host[256];
    uint16_t port = 0;
    const struct transport_events events = { .ctx = d,
        .allow = on_allow,
        .on_open = on_open,
        .on_message = on_message,
        .on_drain = on_drain,
        .on_closed = on_closed,
        .on_dial_failed = on_dial_failed,
        .on_fault = on_fault };
    enum err e = listen == NULL ? ERR_OK : split_listen(listen, host, sizeof(host), &port, why);
    if (e == ERR_OK) {
        e = loop_new(&d->loop);
    }
    if (e == ERR_OK) {
        e = sync_new(&d->app->core, &d->sync);
    }
    if (e == ERR_OK) {
        e = inbox_new(&d->app->mem, d->app->may_thread, &d->inbox);
    }
    if (e == ERR_OK) {
        e = transport_ws_new(
            d->loop, d->app->core.self.tls_seed, listen == NULL ? NULL : host, port, &events, &d->transport, why);
    }
    d->links =
        (struct links){ .app = d->app, .transport = d->transport, .is_live = is_live, .admits = admits, .ctx = d };
    d->limits = (struct limits){ .app = d->app, .transport = d->transport, .sync = d->sync };
    d->joins = (struct join_door){ .app = d->app, .transport = d->transport };
    return e;
}

enum err daemon_new(struct app *app, const char *listen, struct daemon **out, struct why *why)
{
    char path[APP_PATH_MAX + 32];
    struct daemon *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return ERR_NOMEM;
    }
    d->app = app;
    enum err e = open_network(d, listen, why);
    if (e == ERR_OK && listen != NULL) {
        e = !daemon_socket_path(app->home, path, sizeof(path))
                ? ERR_LIMIT
                : control_socket_new(d->loop, path, on_request, d, &d->control, why);
    }
    if (e == ERR_OK && listen != NULL) {
        e = app_set_listen(app, bytes_str(listen));
    }
    if (e == ERR_OK) {
        e = links_load(&d->links);
    }
    if (e != ERR_OK) {
        daemon_free(d);
        return e;
    }
    app->changed = on_changed;
    app->changed_ctx = d;
    (void)loop_timer_after(d->loop, 1, on_tick, d);
    *out = d;
    return ERR_OK;
}

void daemon_free(struct daemon *d)
{
    if (d == NULL) {
        return;
    }
    d->app->changed = NULL;
    control_socket_free(d->control);
    transport_ws_free(d->transport);
    inbox_free(d->inbox);
    sync_free(d->sync);
    loop_free(d->loop);
    free(d);
}

static struct daemon *signalled;
static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
    if (signalled != NULL) {
        loop_stop(signalled->loop);
    }
}

void daemon_handle_signals(struct daemon *d)
{
    struct sigaction act = { .sa_handler = on_signal };
    signalled = d;
    (void)sigemptyset(&act.sa_mask);
    (void)sigaction(SIGTERM, &act, NULL);
    (void)sigaction(SIGINT, &act, NULL);
}

enum err daemon_run(struct daemon *d)
{
    enum err e = ERR_OK;
    while (stop_asked == 0 && d->failure == ERR_OK && e == ERR_OK) {
        e = loop_step(d->loop, wait_of(d));
        after_turn(d);
    }
    /* No new callers; those who got through are answered. */
    char path[APP_PATH_MAX + 32];
    if (daemon_socket_path(d->app->home, path, sizeof(path))) {
        (void)unlink(path);
    }
    uint64_t end = app_now().mono_ms + DRAIN_MS;
    while (d->failure == ERR_OK && e == ERR_OK && app_now().mono_ms < end) {
        e = loop_step(d->loop, 5);
        after_turn(d);
    }
    end_group(d); /* what waits in the inbox was not acknowledged and comes again */
    signalled = NULL;
    return d->failure != ERR_OK ? d->failure : e;
}

struct once {
    bool is_done;
    struct sync_outcome outcome;
};

static void once_done(void *ctx, const struct sync_outcome *outcome)
{
    struct once *o = ctx;
    o->is_done = true;
    o->outcome = *outcome;
}

enum err daemon_sync_once(struct app *app, struct sync_outcome *out, struct why *why)
{
    struct once o = { .is_done = false };
    struct daemon *d = NULL;
    enum err e = daemon_new(app, NULL, &d, why);
    if (e == ERR_OK) {
        e = daemon_sync(d, once_done, &o);
    }
    while (e == ERR_OK && !o.is_done) {
        e = loop_step(d->loop, wait_of(d));
        if (e == ERR_OK) {
            after_turn(d);
            e = d->failure;
        }
    }
    daemon_free(d);
    if (e == ERR_OK) {
        *out = o.outcome;
    }
    return e;
}
