/*
 * Owns: the lines between simulated nodes: dialling, delivery in order with delay and width, and every way a line can
 * be bad without anybody meaning it. Invariants: a message arrives whole, in order and once, or the connection ends, as
 * sync/transport.h promises; nobody dials by a timer, but when a line ended, a node came up or a way opened, so that
 * time can jump over days.
 */
#include "schema/base/check.h"
#include "tests/sim/net_impl.h"

#include <stdlib.h>

enum { RETRY_FIRST_MS = 1000, RETRY_DOUBLINGS = 8, FAILURES_MAX = 60 };

/* --- pairs -------------------------------------------------------------------------------------------------------- */

struct sim_pair *net_pair(struct sim *s, uint32_t a, uint32_t b)
{
    for (size_t i = 0; i < s->pair_count; i++) {
        struct sim_pair *p = &s->pairs[i];
        if ((p->a == a && p->b == b) || (p->a == b && p->b == a)) {
            return p;
        }
    }
    return NULL;
}

void net_meet(struct sim *s, uint32_t a, uint32_t b)
{
    if (a == b || net_pair(s, a, b) != NULL || s->pair_count == SIM_PAIRS_MAX) {
        return;
    }
    struct sim_pair *p = &s->pairs[s->pair_count++];
    uint64_t spread = chance_below(&s->net, s->plan->latency_ms + 1U);
    *p = (struct sim_pair){ .a = a, .b = b, .latency_ms = 1 + spread, .byte_us = 1 };
    net_kick(s, s->pair_count - 1, 10);
}

void net_kick(struct sim *s, size_t pair, uint64_t in_ms)
{
    struct sim_pair *p = &s->pairs[pair];
    if (!p->is_dialling) {
        p->is_dialling = true;
        sim_push(s, s->now_ms + in_ms, EV_DIAL, pair, 0, 0);
    }
}

void net_kick_node(struct sim *s, uint32_t slot)
{
    for (size_t i = 0; i < s->pair_count; i++) {
        if (s->pairs[i].a == slot || s->pairs[i].b == slot) {
            net_kick(s, i, 100 + chance_below(&s->net, 900));
        }
    }
}

/* --- connections -------------------------------------------------------------------------------------------------- */

struct conn *net_conn(struct sim *s, uint64_t serial)
{
    struct conn *c = s->conns;
    while (c != NULL && c->serial != serial) {
        c = c->next;
    }
    return c;
}

static struct conn *conn_of_end(struct sim *s, uint32_t slot, conn_id id, unsigned *side)
{
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        for (unsigned i = 0; i < 2; i++) {
            if (c->end[i].slot == slot && c->end[i].id == id) {
                *side = i;
                return c;
            }
        }
    }
    return NULL;
}

static bool can_meet(const struct sim *s, const struct sim_pair *p)
{
    const struct sim_node *a = &s->nodes[p->a];
    const struct sim_node *b = &s->nodes[p->b];
    return !p->is_down && node_is_up(a) && node_is_up(b) && a->paused_until <= s->now_ms &&
           b->paused_until <= s->now_ms;
}

static bool is_joined(const struct sim *s, size_t pair)
{
    for (const struct conn *c = s->conns; c != NULL; c = c->next) {
        if (c->pair == pair && (c->end[0].is_open || c->end[1].is_open || c->is_opening)) {
            return true;
        }
    }
    return false;
}

bool net_is_live(const struct sim *s, uint32_t a, uint32_t b)
{
    for (const struct conn *c = s->conns; c != NULL; c = c->next) {
        bool same = (c->end[0].slot == a && c->end[1].slot == b) || (c->end[0].slot == b && c->end[1].slot == a);
        if (same && c->end[0].is_open && c->end[1].is_open) {
            return true;
        }
    }
    return false;
}

void net_redial(struct sim *s, size_t pair, bool from_b)
{
    struct sim_pair *p = &s->pairs[pair];
    struct conn *c = calloc(1, sizeof(*c));
    check(c != NULL);
    c->serial = ++s->last_conn;
    c->pair = pair;
    c->is_opening = true;
    c->end[0] = (struct conn_end){ .slot = from_b ? p->b : p->a, .id = 2 * c->serial };
    c->end[1] = (struct conn_end){ .slot = from_b ? p->a : p->b, .id = 2 * c->serial + 1 };
    c->next = s->conns;
    s->conns = c;
    sim_push(s, s->now_ms + 2 * p->latency_ms, EV_OPENED, c->serial, 0, 0);
}

static void on_dial(struct sim *s, size_t pair)
{
    s->pairs[pair].is_dialling = false;
    if (can_meet(s, &s->pairs[pair]) && !is_joined(s, pair) && s->pairs[pair].failures < FAILURES_MAX) {
        net_redial(s, pair, false);
    }
}

void net_lose(struct conn_end *e)
{
    while (e->first != NULL) {
        struct parcel *next = e->first->next;
        free(e->first);
        e->first = next;
    }
    e->last = NULL;
    e->queued = 0;
}

bool net_lose_last(struct conn_end *e)
{
    struct parcel **at = &e->first;
    if (e->first == NULL) {
        return false;
    }
    e->last = NULL;
    while ((*at)->next != NULL) {
        e->last = *at;
        at = &(*at)->next;
    }
    e->queued -= (*at)->len;
    free(*at);
    *at = NULL;
    return true;
}

void net_swap_last(struct conn_end *e)
{
    struct parcel **at = &e->first;
    while (*at != NULL && (*at)->next != NULL && (*at)->next->next != NULL) {
        at = &(*at)->next;
    }
    if (*at != NULL && (*at)->next != NULL) {
        struct parcel *first = *at;
        struct parcel *second = first->next;
        second->next = first;
        first->next = NULL;
        *at = second;
        e->last = first;
    }
}

static void conn_free(struct sim *s, struct conn *c)
{
    struct conn **at = &s->conns;
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    net_lose(&c->end[0]);
    net_lose(&c->end[1]);
    free(c);
}

/* Gone at both ends: whoever dialled tries again, later each time it was refused. */
static void conn_over(struct sim *s, struct conn *c)
{
    size_t pair = c->pair;
    /* Ended at once: the peer does not know us, or we it. */
    bool was_short = s->now_ms < c->opened_ms + 5000;
    if (!c->was_refused) {
        s->pairs[pair].failures = was_short ? s->pairs[pair].failures + 1 : 0;
    }
    unsigned failures = s->pairs[pair].failures;
    unsigned doublings = failures < RETRY_DOUBLINGS ? failures : RETRY_DOUBLINGS;
    uint64_t base = (uint64_t)RETRY_FIRST_MS << doublings;
    conn_free(s, c);
    net_kick(s, pair, base + chance_below(&s->net, base / 2));
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void tell_open(struct sim *s, struct conn *c, unsigned side)
{
    struct sim_node *n = &s->nodes[c->end[side].slot];
    const struct sim_node *other = &s->nodes[c->end[1 - side].slot];
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = c->end[side].id, .is_outbound = side == 0 };
    memcpy(ev.key, other->app->core.self.tls_public, sizeof(ev.key));
    c->end[side].is_open = true;
    node_step(n, ev);
}

static void on_opened(struct sim *s, uint64_t serial)
{
    struct conn *c = net_conn(s, serial);
    if (c == NULL) {
        return;
    }
    c->is_opening = false;
    c->opened_ms = s->now_ms;
    if (!can_meet(s, &s->pairs[c->pair])) {
        conn_over(s, c);
        return;
    }
    tell_open(s, c, 0);
    c = net_conn(s, serial);
    if (c != NULL && node_is_up(&s->nodes[c->end[0].slot]) && node_is_up(&s->nodes[c->end[1].slot])) {
        tell_open(s, c, 1);
    } else if (c != NULL) {
        sim_push(s, s->now_ms + 1, EV_CLOSED, serial, 0, 0);
    }
}

static void on_closed(struct sim *s, uint64_t serial, unsigned side)
{
    struct conn *c = net_conn(s, serial);
    if (c == NULL) {
        return;
    }
    struct conn_end *e = &c->end[side];
    bool was_open = e->is_open;
    uint32_t slot = e->slot;
    conn_id id = e->id;
    e->is_open = false;
    net_lose(e);
    if (was_open) {
        node_step(&s->nodes[slot], (struct sync_event){ .kind = SYNC_EV_CLOSED, .conn = id });
    }
    c = net_conn(s, serial);
    if (c != NULL && !c->end[0].is_open && !c->end[1].is_open && !c->is_opening) {
        conn_over(s, c);
    }
}

static struct parcel *take_parcel(struct conn_end *e)
{
    struct parcel *p = e->first;
    e->first = p->next;
    e->last = e->first == NULL ? NULL : e->last;
    e->queued -= p->len;
    return p;
}

/* Now and then messages that arrived together are handled together, as the daemon does. */
static void on_deliver(struct sim *s, uint64_t serial, unsigned side)
{
    struct conn *c = net_conn(s, serial);
    bool more = true;
    size_t taken = 0;
    if (c != NULL && c->end[side].stalled_until > s->now_ms) {
        sim_push(s, c->end[side].stalled_until, EV_DELIVER, serial, side, 0);
        return;
    }
    while (more && c != NULL && c->end[side].first != NULL) {
        struct conn_end *e = &c->end[side];
        struct parcel *p = take_parcel(e);
        struct bytes message = bytes_of(p->bytes, p->len);
        taken += p->len;
        more = e->is_open && e->first != NULL && taken + e->first->len <= SYNC_GROUP_BYTES &&
               chance_below(&s->net, 3) == 0;
        if (e->is_open) {
            sim_trace_bytes(s, message);
            s->totals->messages++;
            s->totals->bytes += p->len;
            node_step(&s->nodes[e->slot],
                (struct sync_event){ .kind = SYNC_EV_MESSAGE, .conn = e->id, .message = message, .more = more });
        }
        free(p);
        c = net_conn(s, serial);
    }
}

/* A node that stands still takes nothing until it goes on. */
static bool waits(struct sim *s, const struct event *ev, uint32_t slot)
{
    uint64_t until = s->nodes[slot].paused_until;
    if (until > s->now_ms && node_is_up(&s->nodes[slot])) {
        sim_push(s, until, ev->kind, ev->a, ev->b, ev->c);
        return true;
    }
    return false;
}

void net_event(struct sim *s, const struct event *ev)
{
    if (ev->kind == EV_DIAL) {
        on_dial(s, (size_t)ev->a);
        return;
    }
    const struct conn *c = net_conn(s, ev->a);
    if (c == NULL) {
        return;
    }
    if (ev->kind == EV_OPENED) {
        on_opened(s, ev->a);
    } else if (!waits(s, ev, c->end[ev->b].slot)) {
        if (ev->kind == EV_CLOSED) {
            on_closed(s, ev->a, (unsigned)ev->b);
        } else {
            on_deliver(s, ev->a, (unsigned)ev->b);
        }
    }
}

/* --- what nodes do ------------------------------------------------------------------------------------------------ */

static uint64_t way_ms(struct sim *s, const struct conn *c, unsigned side, size_t len)
{
    const struct sim_pair *p = &s->pairs[c->pair];
    unsigned towards = c->end[side].slot == p->a ? 0 : 1;
    /* How long a message takes tells its length, also to others in the queue behind it; twins must not differ by that.
     */
    uint64_t width_ms = s->plan->hidden != 0 ? 0 : len * p->byte_us / 1000;
    uint64_t at = s->now_ms + p->latency_ms + width_ms;
    return at > p->clog_until[towards] ? at : p->clog_until[towards];
}

void net_post(struct sim *s, struct conn *c, unsigned side, struct bytes message)
{
    struct conn_end *e = &c->end[side];
    struct parcel *p = calloc(1, sizeof(*p) + message.len);
    check(p != NULL);
    p->len = message.len;
    if (message.len > 0) {
        memcpy(p->bytes, message.ptr, message.len);
    }
    if (e->last == NULL) {
        e->first = p;
    } else {
        e->last->next = p;
    }
    e->last = p;
    e->queued += p->len;
    uint64_t at = way_ms(s, c, side, message.len);
    e->last_at = at > e->last_at ? at : e->last_at;
    sim_push(s, e->last_at, EV_DELIVER, c->serial, side, 0);
}

static void send(struct sim_node *n, conn_id id, struct bytes message)
{
    struct sim *s = n->sim;
    unsigned side = 0;
    struct conn *c = conn_of_end(s, n->slot, id, &side);
    if (c == NULL || !c->end[side].is_open) {
        return;
    }
    unsigned to = 1 - side;
    check_message(s, n, &s->nodes[c->end[to].slot], message);
    if (c->end[to].queued + message.len > TRANSPORT_QUEUE_MAX) {
        net_close(s, c, side);
    } else if (c->end[to].spoil != DO_COUNT && c->end[to].has_spoil) {
        hostile_send(s, c, to, message);
    } else {
        net_post(s, c, to, message);
        net_armed(s, c, to);
    }
}

void net_close(struct sim *s, struct conn *c, unsigned side)
{
    struct conn_end *other = &c->end[1 - side];
    uint64_t at = way_ms(s, c, 1 - side, 0);
    other->last_at = at > other->last_at ? at : other->last_at;
    sim_push(s, s->now_ms, EV_CLOSED, c->serial, side, 0);
    sim_push(s, other->last_at, EV_CLOSED, c->serial, 1 - side, 0);
}

static void refused(struct sim_node *n, const struct sync_action *a)
{
    struct sim *s = n->sim;
    unsigned side = 0;
    struct conn *c = conn_of_end(s, n->slot, a->conn, &side);
    n->refusals++;
    n->refusal = a->error;
    sim_trace(s, (uint64_t)a->error << 16U | n->slot);
    sim_log(s, "node %u: session with %u ends: %s", n->slot + 1, a->node, err_name(a->error));
    if (c != NULL) {
        struct sim_pair *p = &s->pairs[c->pair];
        /* Of two copies neither gives up (node/links.h): one of them will go some day. */
        bool is_last = a->error == ERR_REPLACED && p->failures >= RETRY_DOUBLINGS;
        p->failures += c->was_refused || is_last ? 0 : 1;
        c->was_refused = true;
    }
}

void net_perform(struct sim_node *n, const struct sync_actions *actions)
{
    struct sim *s = n->sim;
    for (size_t i = 0; i < actions->count; i++) {
        const struct sync_action *a = &actions->at[i];
        unsigned side = 0;
        struct conn *c = NULL;
        switch (a->kind) {
        case SYNC_ACT_SEND:
            send(n, a->conn, a->message);
            break;
        case SYNC_ACT_CLOSE:
            c = conn_of_end(s, n->slot, a->conn, &side);
            if (c != NULL) {
                net_close(s, c, side);
            }
            break;
        case SYNC_ACT_REFUSED:
            refused(n, a);
            break;
        case SYNC_ACT_AGAIN:
            n->is_again = true;
            break;
        case SYNC_ACT_FORGOT:
            sim_log(s, "node %u lets go of customers", n->slot + 1);
            sim_trace(s, (uint64_t)a->kind << 8U | n->slot);
            break;
        case SYNC_ACT_CHANGED:
        case SYNC_ACT_PROBED:
            sim_trace(s, (uint64_t)a->kind << 8U | n->slot);
            break;
        }
    }
}

/* The process is gone: its ends close without a word; the others hear of it. */
void net_drop_node(struct sim *s, uint32_t slot)
{
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        for (unsigned side = 0; side < 2; side++) {
            if (c->end[side].slot == slot) {
                c->end[side].is_open = false;
                net_lose(&c->end[side]);
                uint64_t at = way_ms(s, c, 1 - side, 0);
                sim_push(s, at > c->end[1 - side].last_at ? at : c->end[1 - side].last_at, EV_CLOSED, c->serial,
                    1 - side, 0);
            }
        }
    }
}

void net_free(struct sim *s)
{
    while (s->conns != NULL) {
        conn_free(s, s->conns);
    }
}
