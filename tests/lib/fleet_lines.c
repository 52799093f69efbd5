/*
 * Owns: the lines between simulated nodes. Invariants: each line delivers in order; which line is next is drawn from
 * the seed; an event is performed to its end, actions included, before the next. A node whose step failed hears and
 * says nothing more until it is restarted, as the daemon stops then.
 */
#include "schema/base/check.h"
#include "tests/lib/fleet_impl.h"

#include <stdlib.h>

enum { STEPS_MAX = 200000 };

static struct end *end_of(struct fleet *f, uint32_t node, conn_id conn)
{
    for (size_t i = 0; i < f->line_count; i++) {
        for (size_t side = 0; side < 2; side++) {
            struct end *e = &f->lines[i].end[side];
            if (e->node == node && e->conn == conn && e->is_open) {
                return e;
            }
        }
    }
    return NULL;
}

static struct end *other_end(struct fleet *f, const struct end *e)
{
    for (size_t i = 0; i < f->line_count; i++) {
        if (e == &f->lines[i].end[0]) {
            return &f->lines[i].end[1];
        }
        if (e == &f->lines[i].end[1]) {
            return &f->lines[i].end[0];
        }
    }
    check(false);
    return NULL;
}

static void parcel_free(struct parcel *p)
{
    if (p->ahead != NULL) {
        ahead_release(p->ahead);
    }
    free(p->ahead);
    free(p);
}

/* The daemon's other thread, on every second message: as early as can be, with what the receiver knows now. */
static struct ahead *look_ahead(struct fleet *f, const struct end *to, struct bytes message)
{
    struct node *n = fleet_node(f, to->node);
    struct ahead *a = NULL;
    if (message.len == 0 || ++f->posted % 2 == 0 || !n->is_open || n->failure != ERR_OK) {
        return NULL;
    }
    a = calloc(1, sizeof(*a));
    check(a != NULL);
    ahead_init(a, test_mem());
    if (sync_ahead(n->sync, to->conn, message, a) != ERR_OK) {
        ahead_release(a);
        free(a);
        return NULL;
    }
    (void)ahead_work(a);
    return a;
}

static void post(struct fleet *f, struct end *to, bool is_end, struct bytes message)
{
    struct parcel *p = calloc(1, sizeof(*p) + message.len);
    check(p != NULL);
    p->is_end = is_end;
    p->ahead = look_ahead(f, to, message);
    p->len = message.len;
    if (message.len > 0) {
        memcpy(p->bytes, message.ptr, message.len);
    }
    if (to->last == NULL) {
        to->first = p;
    } else {
        to->last->next = p;
    }
    to->last = p;
}

static void drop_parcels(struct end *e)
{
    while (e->first != NULL) {
        struct parcel *next = e->first->next;
        parcel_free(e->first);
        e->first = next;
    }
    e->last = NULL;
}

static void send(struct fleet *f, uint32_t from, conn_id conn, struct bytes message)
{
    struct end *e = end_of(f, from, conn);
    if (e == NULL) {
        return;
    }
    struct end *to = other_end(f, e);
    if (f->watch != NULL) {
        f->watch(f->watch_ctx, from, to->node, message);
    }
    if (to->is_open) {
        post(f, to, false, message);
    }
}

/* Both ends hear of it; the other one after what is under way to it. */
static void close_line(struct fleet *f, uint32_t node, conn_id conn)
{
    struct end *e = end_of(f, node, conn);
    if (e == NULL) {
        return;
    }
    struct end *to = other_end(f, e);
    drop_parcels(e);
    post(f, e, true, (struct bytes){ 0 });
    if (to->is_open) {
        post(f, to, true, (struct bytes){ 0 });
    }
}

static void perform(struct fleet *f, struct node *n, const struct sync_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        const struct sync_action *a = &actions->at[i];
        switch (a->kind) {
        case SYNC_ACT_SEND:
            send(f, n->number, a->conn, a->message);
            break;
        case SYNC_ACT_CLOSE:
            close_line(f, n->number, a->conn);
            break;
        case SYNC_ACT_CHANGED:
            n->news.changed++;
            break;
        case SYNC_ACT_FORGOT:
            break;
        case SYNC_ACT_AGAIN:
            n->is_again = true;
            break;
        case SYNC_ACT_PROBED:
            n->news.probed++;
            n->news.probe_id = a->probe_id;
            break;
        case SYNC_ACT_REFUSED:
            n->news.refused++;
            n->news.refusal = a->error;
            break;
        }
    }
}

static void step_once(struct fleet *f, struct node *n, struct sync_event ev)
{
    struct sync_actions actions = { 0 };
    ev.now = fleet_now_at(f, n);
    n->failure = sync_step(n->sync, &ev, &actions);
    if (n->failure == ERR_OK) {
        perform(f, n, &actions);
    }
}

static void step(struct fleet *f, uint32_t node, struct sync_event ev)
{
    struct node *n = fleet_node(f, node);
    if (n->failure != ERR_OK || !n->is_open) {
        return;
    }
    n->is_again = false;
    step_once(f, n, ev);
    while (n->is_again && n->failure == ERR_OK) {
        n->is_again = false;
        step_once(f, n, (struct sync_event){ .kind = SYNC_EV_LOCAL });
    }
}

void fleet_connect(struct fleet *f, uint32_t a, uint32_t b)
{
    struct line *grown = realloc(f->lines, (f->line_count + 1) * sizeof(*grown));
    check(grown != NULL && a != b);
    f->lines = grown;
    struct line *l = &f->lines[f->line_count++];
    *l = (struct line){ .end = { { .node = a, .conn = f->last_conn + 1, .is_open = true },
                            { .node = b, .conn = f->last_conn + 2, .is_open = true } } };
    f->last_conn += 2;
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = f->last_conn - 1, .is_outbound = true };
    memcpy(ev.key, fleet_node(f, b)->self.tls_public, sizeof(ev.key));
    step(f, a, ev);
    ev = (struct sync_event){ .kind = SYNC_EV_OPEN, .conn = f->last_conn };
    memcpy(ev.key, fleet_node(f, a)->self.tls_public, sizeof(ev.key));
    step(f, b, ev);
}

static void end_closed(struct fleet *f, struct end *e)
{
    uint32_t node = e->node;
    const struct sync_event ev = { .kind = SYNC_EV_CLOSED, .conn = e->conn };
    drop_parcels(e);
    e->is_open = false;
    step(f, node, ev);
}

static void forget_closed(struct fleet *f)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->line_count; i++) {
        if (f->lines[i].end[0].is_open || f->lines[i].end[1].is_open) {
            f->lines[kept++] = f->lines[i];
        }
    }
    f->line_count = kept;
}

static bool joins(const struct line *l, uint32_t a, uint32_t b)
{
    return (l->end[0].node == a && (b == 0 || l->end[1].node == b)) ||
           (l->end[1].node == a && (b == 0 || l->end[0].node == b));
}

/* b 0: anybody. */
static void cut(struct fleet *f, uint32_t a, uint32_t b)
{
    for (size_t i = 0; i < f->line_count; i++) {
        for (size_t side = 0; joins(&f->lines[i], a, b) && side < 2; side++) {
            if (f->lines[i].end[side].is_open) {
                end_closed(f, &f->lines[i].end[side]);
            }
        }
    }
    forget_closed(f);
}

void fleet_cut(struct fleet *f, uint32_t a, uint32_t b)
{
    cut(f, a, b);
}

void fleet_cut_node(struct fleet *f, uint32_t node)
{
    cut(f, node, 0);
}

void fleet_cut_all(struct fleet *f)
{
    for (uint32_t i = 1; i <= f->count; i++) {
        cut(f, i, 0);
    }
}

size_t fleet_lines(const struct fleet *f, uint32_t a, uint32_t b)
{
    size_t count = 0;
    for (size_t i = 0; i < f->line_count; i++) {
        count += joins(&f->lines[i], a, b) ? 1 : 0;
    }
    return count;
}

void fleet_connect_all(struct fleet *f)
{
    for (uint32_t a = 1; a <= f->count; a++) {
        for (uint32_t b = a + 1; b <= f->count; b++) {
            if (fleet_lines(f, a, b) == 0) {
                fleet_connect(f, a, b);
            }
        }
    }
}

static struct parcel *take_parcel(struct end *e)
{
    struct parcel *p = e->first;
    e->first = p->next;
    if (e->first == NULL) {
        e->last = NULL;
    }
    return p;
}

/* One message, or several that have arrived together: these share a transaction. */
static void deliver(struct fleet *f, struct end *e)
{
    bool more = true;
    while (more) {
        struct parcel *p = take_parcel(e);
        more = !p->is_end && e->first != NULL && !e->first->is_end && test_random_below(&f->order, 2) == 0;
        if (p->is_end) {
            end_closed(f, e);
            forget_closed(f);
        } else {
            fleet_node(f, e->node)->news.messages++;
            step(f, e->node,
                (struct sync_event){ .kind = SYNC_EV_MESSAGE,
                    .conn = e->conn,
                    .message = bytes_of(p->bytes, p->len),
                    .ahead = p->ahead,
                    .more = more });
        }
        parcel_free(p);
    }
}

bool fleet_step(struct fleet *f)
{
    size_t waiting = 0;
    for (size_t i = 0; i < f->line_count; i++) {
        waiting += f->lines[i].end[0].first != NULL ? 1 : 0;
        waiting += f->lines[i].end[1].first != NULL ? 1 : 0;
    }
    if (waiting == 0) {
        return false;
    }
    size_t pick = (size_t)test_random_below(&f->order, waiting);
    for (size_t i = 0; i < 2 * f->line_count; i++) {
        struct end *e = &f->lines[i / 2].end[i % 2];
        if (e->first != NULL && pick-- == 0) {
            deliver(f, e);
            return true;
        }
    }
    check(false);
    return false;
}

void fleet_run(struct fleet *f)
{
    size_t steps = 0;
    while (fleet_step(f)) {
        check(++steps < STEPS_MAX);
    }
}

void fleet_local(struct fleet *f, uint32_t node)
{
    step(f, node, (struct sync_event){ .kind = SYNC_EV_LOCAL });
}

void fleet_probe(struct fleet *f, uint32_t node, uint64_t id)
{
    step(f, node, (struct sync_event){ .kind = SYNC_EV_PROBE, .probe_id = id });
}

struct fleet_news fleet_news(struct fleet *f, uint32_t node)
{
    struct node *n = fleet_node(f, node);
    struct fleet_news news = n->news;
    n->news = (struct fleet_news){ 0 };
    return news;
}

enum err fleet_failure(const struct fleet *f, uint32_t node)
{
    check(node >= 1 && node <= f->count);
    return f->nodes[node - 1].failure;
}

struct session_info fleet_session(struct fleet *f, uint32_t a, uint32_t b)
{
    struct sync *s = fleet_sync(f, a);
    for (size_t i = 0; i < sync_session_count(s); i++) {
        struct session_info info = sync_session_at(s, i);
        if (info.node == b && info.state == SESSION_LIVE) {
            return info;
        }
    }
    return (struct session_info){ 0 };
}

void fleet_watch(struct fleet *f, fleet_watch_fn fn, void *ctx)
{
    f->watch = fn;
    f->watch_ctx = ctx;
}

void fleet_inject(struct fleet *f, uint32_t from, uint32_t to, struct bytes message)
{
    for (size_t i = 0; i < f->line_count; i++) {
        struct line *l = &f->lines[i];
        for (size_t side = 0; side < 2; side++) {
            if (l->end[side].node == to && l->end[1 - side].node == from && l->end[side].is_open) {
                post(f, &l->end[side], false, message);
                return;
            }
        }
    }
    check(false);
}
