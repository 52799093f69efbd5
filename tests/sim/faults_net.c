/*
 * Owns: lines that are cut, slow, one-way, doubled, or deliver long after they should; honest faults all.
 */
#include "schema/base/check.h"
#include "tests/sim/net_impl.h"

enum { MINUTE_MS = 60000, HALF_OPEN_MS = 90000 };

/* Some connection that is open at both ends; NULL: none. */
static struct conn *some_conn(struct sim *s, uint32_t choice)
{
    size_t count = 0;
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        count += c->end[0].is_open && c->end[1].is_open ? 1 : 0;
    }
    size_t pick = count == 0 ? 0 : choice % count;
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        if (c->end[0].is_open && c->end[1].is_open && pick-- == 0) {
            return c;
        }
    }
    return NULL;
}

/* Both ends hear of it; what is under way is lost. */
static void cut(struct sim *s, struct conn *c)
{
    for (unsigned side = 0; side < 2; side++) {
        net_lose(&c->end[side]);
        sim_push(s, s->now_ms, EV_CLOSED, c->serial, side, 0);
    }
}

/* What was sent before still arrives; the message that was half out does not. */
static bool cut_mid(struct sim *s, struct conn *c)
{
    bool any = false;
    for (unsigned side = 0; side < 2; side++) {
        any = net_lose_last(&c->end[side]) || any;
        sim_push(s, c->end[side].last_at, EV_CLOSED, c->serial, side, 0);
    }
    return any;
}

/* One direction is silent until somebody's patience ends. */
static void one_way(struct sim *s, struct conn *c, unsigned side)
{
    c->end[side].stalled_until = s->now_ms + HALF_OPEN_MS;
    sim_push(s, s->now_ms + HALF_OPEN_MS, EV_CLOSED, c->serial, 0, 0);
    sim_push(s, s->now_ms + HALF_OPEN_MS, EV_CLOSED, c->serial, 1, 0);
}

/* One end is gone, the other learns it much later, and sends into the void meanwhile. */
static void half_open(struct sim *s, struct conn *c, unsigned side)
{
    sim_push(s, s->now_ms, EV_CLOSED, c->serial, side, 0);
    sim_push(s, s->now_ms + HALF_OPEN_MS, EV_CLOSED, c->serial, 1 - side, 0);
}

/* The dialler believes the line dead and dials again; what it had sent on the old one arrives after the new one opened.
 */
static bool late_session(struct sim *s, struct conn *c)
{
    bool any = c->end[1].first != NULL;
    c->end[1].stalled_until = s->now_ms + 20000;
    size_t pair = c->pair;
    sim_push(s, s->now_ms, EV_CLOSED, c->serial, 0, 0);
    sim_push(s, s->now_ms + 30000, EV_CLOSED, c->serial, 1, 0);
    net_redial(s, pair, false);
    return any;
}

void net_lose_sent(struct sim *s, uint32_t slot)
{
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        for (unsigned side = 0; side < 2; side++) {
            if (c->end[1 - side].slot == slot) {
                net_lose(&c->end[side]);
            }
        }
    }
}

static void cut_pair(struct sim *s, size_t pair)
{
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        if (c->pair == pair) {
            cut(s, c);
        }
    }
}

static void down(struct sim *s, size_t pair, uint64_t for_ms)
{
    s->pairs[pair].is_down = true;
    cut_pair(s, pair);
    sim_push(s, s->now_ms + for_ms, EV_UP, pair, 0, 0);
}

void net_up(struct sim *s, size_t pair)
{
    s->pairs[pair].is_down = false;
    net_kick(s, pair, 100);
}

void net_heal(struct sim *s)
{
    for (size_t i = 0; i < s->pair_count; i++) {
        struct sim_pair *p = &s->pairs[i];
        p->is_down = false;
        p->failures = 0;
        p->byte_us = 1;
        p->clog_until[0] = 0;
        p->clog_until[1] = 0;
        cut_pair(s, i);
        net_kick(s, i, 100);
    }
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        c->end[0].stalled_until = 0;
        c->end[1].stalled_until = 0;
        c->end[0].has_spoil = false;
        c->end[1].has_spoil = false;
    }
}

static bool of_conn(struct sim *s, struct conn *c, const struct plan_action *a)
{
    unsigned side = a->b % 2;
    switch (a->id) {
    case DO_CUT:
        cut(s, c);
        return true;
    case DO_CUT_MID:
    case DO_LATE_SESSION:
        c->armed = a->id; /* while the next message is under way */
        return false;
    case DO_CUT_ONE_WAY:
        one_way(s, c, side);
        return true;
    case DO_HALF_OPEN:
        half_open(s, c, side);
        return true;
    case DO_TWICE:
        net_redial(s, c->pair, false);
        return true;
    case DO_BOTH_DIAL:
        net_redial(s, c->pair, true);
        return true;
    default:
        return false;
    }
}

void net_armed(struct sim *s, struct conn *c, unsigned side)
{
    enum action_id id = c->armed;
    bool happens = id == DO_CUT_MID || (id == DO_LATE_SESSION && side == 1);
    if (happens) {
        c->armed = DO_CREATE;
        if (id == DO_CUT_MID ? cut_mid(s, c) : late_session(s, c)) {
            sim_fired(s, id);
        }
    }
}

static void partition(struct sim *s, const struct plan_action *a)
{
    uint32_t group = a->b % (1U << s->node_count);
    uint64_t for_ms = (uint64_t)MINUTE_MS * (1 + a->c);
    for (size_t i = 0; i < s->pair_count; i++) {
        if ((group >> s->pairs[i].a & 1U) != (group >> s->pairs[i].b & 1U)) {
            down(s, i, for_ms);
        }
    }
}

static void of_pair(struct sim *s, size_t pair, const struct plan_action *a)
{
    struct sim_pair *p = &s->pairs[pair];
    switch (a->id) {
    case DO_LINK_DOWN:
        down(s, pair, (uint64_t)MINUTE_MS * (1 + a->c * 10));
        break;
    case DO_LINK_UP:
        net_up(s, pair);
        break;
    case DO_PARTITION:
        partition(s, a);
        break;
    case DO_ISLANDS:
        for (size_t i = 0; i < s->pair_count; i++) {
            down(s, i, (uint64_t)MINUTE_MS * (1 + a->c));
        }
        break;
    case DO_FLAP:
        for (uint64_t i = 0; i < 10; i++) {
            sim_push(s, s->now_ms + i * (2000 + a->c), EV_FLAP, pair, 0, 0);
        }
        break;
    case DO_CLOG:
        p->clog_until[a->c % 2] = s->now_ms + 1000 + a->d % 60000;
        break;
    case DO_SLOW_READER:
        p->byte_us = 1000;
        break;
    default:
        p->latency_ms = 2500;
        break;
    }
    sim_fired(s, a->id);
}

void net_flap(struct sim *s, size_t pair)
{
    cut_pair(s, pair);
    net_kick(s, pair, 500);
}

void fault_net(struct sim *s, const struct plan_action *a)
{
    bool is_pair = a->id >= DO_LINK_DOWN && a->id <= DO_LONG_RTT;
    struct conn *c = is_pair ? NULL : some_conn(s, a->a);
    if (c != NULL) {
        if (of_conn(s, c, a)) {
            sim_fired(s, a->id);
        }
    } else if (is_pair && s->pair_count > 0) {
        of_pair(s, a->a % s->pair_count, a);
    }
}
