/*
 * Owns: the nodes of a crowd and the times of their changes. Invariant: a change is timed from the moment it is durable
 * at its origin, of a light node from the moment it is sent. A light node keeps no session but what the other side
 * needs to see of one: a greeting, its own commits in order, an acknowledgement for each message of commits.
 */
#include "tests/bench/crowd.h"

#include "node/net/loop.h"
#include "node/net/transport_ws.h"
#include "schema/wire.h"
#include "sync/gather.h"
#include "sync/greeting.h"
#include "sync/session.h"

#include <stdlib.h>

enum { CHANGES_MAX = 4096, SCRATCH_BYTES = 16 << 20, CONNECT_SECONDS = 300, STILL_SECONDS = 60 };

struct member {
    struct crowd *crowd;
    struct app *app;
    struct transport *transport;
    struct sync *sync; /* whole only */
    uint32_t number;
    conn_id conn;
    bool is_live;
    bool has_news;
    size_t group_bytes;
    struct record_id customer;
    double due; /* of its next change */
    uint64_t first_seq; /* of its changes that are timed */
    double written[CHANGES_MAX];
    size_t written_count;
    uint64_t *seen; /* by origin: the last seq counted */
    struct vv known; /* light: what the other side has */
    struct arena known_arena;
    struct arena scratch;
    uint32_t acks_due;
};

struct crowd {
    enum crowd_kind kind;
    struct loop *loop;
    size_t count;
    struct member members[CROWD_MAX];
    size_t index_of[MEMBERS_NODES_MAX + 1]; /* by node number; CROWD_MAX: none of us */
    struct crowd_result *result; /* NULL: nothing is timed now */
    double last_arrival;
};

/* --- arrivals -------------------------------------------------------------------------------------------------------
 */

static void arrived(struct member *m, uint32_t origin, uint64_t seq)
{
    struct crowd *c = m->crowd;
    size_t from = origin <= MEMBERS_NODES_MAX ? c->index_of[origin] : CROWD_MAX;
    if (from == CROWD_MAX || &c->members[from] == m || seq <= m->seen[from]) {
        return;
    }
    const struct member *by = &c->members[from];
    double now = bench_seconds();
    for (uint64_t s = m->seen[from] + 1; s <= seq; s++) {
        if (c->result == NULL || s < by->first_seq || s - by->first_seq >= by->written_count) {
            continue;
        }
        double ms = (now - by->written[s - by->first_seq]) * 1e3;
        c->result->of_ms[ms < CROWD_MS_MAX ? (size_t)ms : CROWD_MS_MAX - 1]++;
        c->result->delivered++;
        c->last_arrival = now;
    }
    m->seen[from] = seq;
}

/* --- light nodes ----------------------------------------------------------------------------------------------------
 */

static void light_send(struct member *m, const struct wire_message *w)
{
    struct buf b;
    buf_init(&b, &m->app->mem, WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, &m->scratch, w);
    bench_need(b.err == ERR_OK, "a message cannot be written");
    bench_need(m->transport->ops->send(m->transport, m->conn, buf_view(&b)) == ERR_OK, "a light node cannot send");
    buf_release(&b);
}

static void light_open(struct member *m)
{
    struct wire_message hello;
    bench_need(greeting_make(&m->app->core, &m->scratch, &hello) == ERR_OK, "no greeting");
    light_send(m, &hello);
    arena_reset(&m->scratch);
}

static void light_give(struct member *m)
{
    const struct gather from = { .core = &m->app->core,
        .to = members_node(m->app->members, 1),
        .known = &m->known,
        .known_arena = &m->known_arena,
        .out = &m->scratch,
        .work = &m->app->arena,
        .bytes_max = 1 }; /* one commit */
    struct gathered got = { .count = 0 };
    bench_need(gather_commits(&from, &got) == ERR_OK, "cannot gather");
    if (got.count > 0) {
        const struct wire_message w = { .kind = WIRE_COMMITS, .items = got.items, .count = got.count };
        light_send(m, &w);
    }
    arena_reset(&m->scratch);
}

static void light_take(struct member *m, struct bytes message)
{
    struct wire_message w;
    struct commit_view v;
    bench_need(wire_take(message, &m->scratch, &w) == ERR_OK, "an unreadable message");
    bench_need(w.kind != WIRE_REFUSAL, "a light node was refused");
    if (w.kind == WIRE_HELLO) {
        struct reader r = reader_of(w.hello.settled);
        bench_need(vv_take(&r, &m->known_arena, &m->known) == ERR_OK, "an unreadable greeting");
        m->is_live = true;
    }
    for (size_t i = 0; w.kind == WIRE_COMMITS && i < w.count; i++) {
        if (w.items[i].commit.len > 0 && commit_parse(w.items[i].commit, &v) == ERR_OK) {
            arrived(m, v.header.dot.node, v.header.dot.seq);
        }
    }
    m->acks_due += w.kind == WIRE_COMMITS ? 1 : 0;
    arena_reset(&m->scratch);
    if (w.kind == WIRE_HELLO) {
        light_give(m);
    }
}

static void light_turn(struct member *m)
{
    if (m->acks_due > 0) {
        const struct wire_message ack = { .kind = WIRE_ACK, .messages = m->acks_due };
        m->acks_due = 0;
        light_send(m, &ack);
        arena_reset(&m->scratch);
    }
}

/* --- whole nodes ----------------------------------------------------------------------------------------------------
 */

static void whole_step(struct member *m, struct sync_event *ev)
{
    struct sync_actions actions = { 0 };
    ev->now = app_now();
    m->group_bytes = ev->more ? m->group_bytes : 0;
    bench_need(sync_step(m->sync, ev, &actions) == ERR_OK, "a session step failed");
    for (size_t i = 0; i < actions.count; i++) {
        const struct sync_action *a = &actions.at[i];
        bench_need(a->kind != SYNC_ACT_REFUSED, "a session was refused");
        if (a->kind == SYNC_ACT_SEND) {
            bench_need(m->transport->ops->send(m->transport, a->conn, a->message) == ERR_OK, "a node cannot send");
        } else if (a->kind == SYNC_ACT_CLOSE) {
            m->transport->ops->close(m->transport, a->conn);
        } else if (a->kind == SYNC_ACT_PROBED) {
            m->is_live = true;
        }
    }
    for (size_t i = 0; !sync_is_open(m->sync) && i < m->app->core.heads.count; i++) {
        arrived(m, m->app->core.heads.at[i].node, m->app->core.heads.at[i].upto);
    }
}

static void whole_turn(struct member *m)
{
    if (sync_is_open(m->sync) && !m->has_news) {
        struct sync_event ev = { .kind = SYNC_EV_FLUSH };
        whole_step(m, &ev);
    }
    m->has_news = false;
}

/* --- the line -------------------------------------------------------------------------------------------------------
 */

static bool on_allow(void *ctx, enum transport_door door, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    (void)ctx;
    (void)door;
    (void)key;
    return false;
}

static void on_open(void *ctx, conn_id conn, enum transport_door door, bool outbound, uint64_t tag,
    const uint8_t key[TRANSPORT_KEY_BYTES])
{
    struct member *m = ctx;
    (void)door;
    (void)tag;
    m->conn = conn;
    if (m->crowd->kind == CROWD_LIGHT) {
        light_open(m);
        return;
    }
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = conn, .is_outbound = outbound };
    memcpy(ev.key, key, sizeof(ev.key));
    whole_step(m, &ev);
}

static void on_message(void *ctx, conn_id conn, struct bytes message)
{
    struct member *m = ctx;
    if (m->crowd->kind == CROWD_LIGHT) {
        light_take(m, message);
        return;
    }
    m->group_bytes += message.len;
    m->has_news = true;
    struct sync_event ev = {
        .kind = SYNC_EV_MESSAGE, .conn = conn, .message = message, .more = m->group_bytes < SYNC_GROUP_BYTES
    };
    whole_step(m, &ev);
}

static void on_drain(void *ctx, conn_id conn)
{
    struct member *m = ctx;
    struct sync_event ev = { .kind = SYNC_EV_DRAIN, .conn = conn };
    if (m->crowd->kind == CROWD_WHOLE) {
        whole_step(m, &ev);
    }
}

static void on_closed(void *ctx, conn_id conn)
{
    (void)ctx;
    (void)conn;
    bench_need(false, "a line of the crowd broke");
}

static void on_dial_failed(void *ctx, uint64_t tag, enum err why)
{
    (void)ctx;
    (void)tag;
    bench_need(false, err_name(why));
}

/* --- the crowd ------------------------------------------------------------------------------------------------------
 */

static void turn(struct crowd *c, int wait_ms)
{
    bench_need(loop_step(c->loop, wait_ms) == ERR_OK, "the loop failed");
    for (size_t i = 0; i < c->count; i++) {
        struct member *m = &c->members[i];
        if (m->conn != 0) {
            c->kind == CROWD_LIGHT ? light_turn(m) : whole_turn(m);
        }
    }
}

static void open_member(struct crowd *c, size_t i, const struct station *home)
{
    struct member *m = &c->members[i];
    struct why why = { .zh = { 0 } };
    const struct transport_events ev = { .ctx = m,
        .allow = on_allow,
        .on_open = on_open,
        .on_message = on_message,
        .on_drain = on_drain,
        .on_closed = on_closed,
        .on_dial_failed = on_dial_failed };
    m->crowd = c;
    m->app = station_open(home);
    m->number = m->app->core.self.number;
    m->seen = calloc(c->count, sizeof(*m->seen));
    bench_need(m->seen != NULL && m->number <= MEMBERS_NODES_MAX, "out of memory");
    c->index_of[m->number] = i;
    arena_init(&m->known_arena, &m->app->mem, SCRATCH_BYTES);
    arena_init(&m->scratch, &m->app->mem, SCRATCH_BYTES);
    m->customer = station_write_customer(m->app, i);
    bench_need(
        transport_ws_new(c->loop, m->app->core.self.tls_seed, NULL, 0, &ev, &m->transport, &why) == ERR_OK, why.en);
    bench_need(c->kind == CROWD_LIGHT || sync_new(&m->app->core, &m->sync) == ERR_OK, "no session");
}

struct crowd *crowd_open(const struct station *homes, size_t count, enum crowd_kind kind)
{
    struct crowd *c = calloc(1, sizeof(*c));
    bench_need(c != NULL && count <= CROWD_MAX && loop_new(&c->loop) == ERR_OK, "no crowd");
    c->kind = kind;
    c->count = count;
    for (size_t i = 0; i < ARRAY_LEN(c->index_of); i++) {
        c->index_of[i] = CROWD_MAX;
    }
    for (size_t i = 0; i < count; i++) {
        open_member(c, i, &homes[i]);
    }
    return c;
}

void crowd_close(struct crowd *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct member *m = &c->members[i];
        transport_ws_free(m->transport);
        sync_free(m->sync);
        arena_release(&m->known_arena);
        arena_release(&m->scratch);
        app_close(m->app);
        free(m->seen);
    }
    loop_free(c->loop);
    free(c);
}

static size_t live_count(const struct crowd *c)
{
    size_t live = 0;
    for (size_t i = 0; i < c->count; i++) {
        live += c->members[i].is_live ? 1 : 0;
    }
    return live;
}

/* A whole node is live once the other side has said that the two are in sync. */
static void ask_all(struct crowd *c)
{
    for (size_t i = 0; c->kind == CROWD_WHOLE && i < c->count; i++) {
        struct member *m = &c->members[i];
        struct sync_event ev = { .kind = SYNC_EV_PROBE, .probe_id = 1 };
        if (!m->is_live && m->conn != 0 && sync_session_at(m->sync, 0).state == SESSION_LIVE) {
            whole_step(m, &ev);
        }
    }
}

/* One after the other: the other side lets only so many knock at once. */
void crowd_connect(struct crowd *c)
{
    struct app_peer peer;
    size_t peers = 0;
    double begin = bench_seconds();
    for (size_t i = 0; i < c->count; i++) {
        struct member *m = &c->members[i];
        bench_need(app_peers(m->app, &peer, 1, &peers) == ERR_OK && peers == 1, "a node without a peer");
        bench_need(m->transport->ops->dial(m->transport, DOOR_SYNC, bytes_str(peer.address), peer.tls_key, 1) == ERR_OK,
            "cannot dial");
        while (m->conn == 0) {
            turn(c, 10);
        }
    }
    for (double asked = 0; live_count(c) < c->count;) {
        bench_need(bench_seconds() - begin < CONNECT_SECONDS, "the crowd does not come into sync");
        if (bench_seconds() - asked > 1) {
            asked = bench_seconds();
            ask_all(c);
        }
        turn(c, 10);
    }
    for (double still = bench_seconds(); bench_seconds() - still < 2;) {
        turn(c, 10);
    }
}

static void whole_write(struct member *m)
{
    struct sync_event flush = { .kind = SYNC_EV_FLUSH };
    struct sync_event local = { .kind = SYNC_EV_LOCAL };
    if (sync_is_open(m->sync)) {
        whole_step(m, &flush);
    }
    struct dot dot = station_write_edit(m->app, m->customer, m->written_count);
    m->first_seq = m->written_count == 0 ? dot.seq : m->first_seq;
    m->written[m->written_count++] = bench_seconds();
    whole_step(m, &local);
}

static void write_due(struct crowd *c, double now, double end)
{
    for (size_t i = 0; i < c->count; i++) {
        struct member *m = &c->members[i];
        if (now < m->due || m->due >= end) {
            continue;
        }
        m->due += 1;
        c->result->changes++;
        if (c->kind == CROWD_WHOLE) {
            whole_write(m);
        } else {
            m->written[m->written_count++] = bench_seconds();
            light_give(m);
        }
    }
}

/* Light nodes have written beforehand what they give later: two hundred logs made durable every second would measure
 * the disk of this machine. */
static void write_ahead(struct crowd *c, unsigned seconds)
{
    for (size_t i = 0; c->kind == CROWD_LIGHT && i < c->count; i++) {
        struct member *m = &c->members[i];
        m->first_seq = 1 + core_head(&m->app->core, m->number, m->app->core.epoch)->upto;
        station_write_edits(m->app, &m->customer, 1, seconds);
    }
}

void crowd_run(struct crowd *c, unsigned seconds, struct crowd_result *out)
{
    bench_need(seconds < CHANGES_MAX, "too many changes");
    write_ahead(c, seconds);
    double begin = bench_seconds();
    double end = begin + seconds;
    *out = (struct crowd_result){ .changes = 0 };
    c->result = out;
    c->last_arrival = begin;
    for (size_t i = 0; i < c->count; i++) {
        c->members[i].due = begin + (double)i / (double)c->count;
    }
    for (double now = begin; now < end || out->delivered < out->changes * (c->count - 1); now = bench_seconds()) {
        write_due(c, now, end);
        turn(c, 2);
        bench_need(now < end || now - c->last_arrival < STILL_SECONDS, "changes do not arrive");
    }
    out->seconds = c->last_arrival - begin;
    c->result = NULL;
}

double crowd_quantile_ms(const struct crowd_result *r, double q)
{
    uint64_t want = (uint64_t)(q * (double)r->delivered);
    uint64_t sum = 0;
    for (size_t i = 0; i < CROWD_MS_MAX; i++) {
        sum += r->of_ms[i];
        if (sum > want || (sum > 0 && sum == r->delivered)) {
            return (double)(i + 1);
        }
    }
    return CROWD_MS_MAX;
}
