/*
 * Owns: a member that lies. The node behind it stays honest; what it says on one line is changed, repeated, reordered,
 * forged or made up, until all faults end. That commits are withheld is said falsely only to nodes that hold the whole
 * group: there a laptop or a station believes the node that serves it by design (docs/THREATS.md).
 */
#include "schema/base/check.h"
#include "schema/wire.h"
#include "tests/sim/net_impl.h"
#include "tests/sim/ops.h"

#include <stdlib.h>

enum { MESSAGE_MAX = 1 << 16 };

static void post_copy(struct sim *s, struct conn *c, unsigned side, struct bytes message, size_t len, size_t flip_bit)
{
    uint8_t *copy = malloc(message.len + 1);
    check(copy != NULL);
    memcpy(copy, message.ptr, message.len);
    if (flip_bit < message.len * 8) {
        copy[flip_bit / 8] ^= (uint8_t)(1U << (flip_bit % 8));
    }
    net_post(s, c, side, bytes_of(copy, len));
    free(copy);
}

static void post_made(struct sim *s, struct conn *c, unsigned side, const struct wire_message *m)
{
    struct mem mem = app_mem(1 << 24);
    struct arena a;
    struct buf b;
    arena_init(&a, &mem, 1 << 22);
    buf_init(&b, &mem, WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, &a, m);
    check(b.err == ERR_OK);
    net_post(s, c, side, buf_view(&b));
    buf_release(&b);
    arena_release(&a);
}

static void noise(struct sim *s, struct conn *c, unsigned side)
{
    uint8_t bytes[64];
    chance_fill(&s->hostile, bytes, sizeof(bytes));
    net_post(s, c, side, bytes_of(bytes, 1 + chance_below(&s->hostile, sizeof(bytes))));
}

void hostile_send(struct sim *s, struct conn *c, unsigned side, struct bytes message)
{
    struct conn_end *e = &c->end[side];
    size_t any = (size_t)chance_below(&s->hostile, message.len * 8);
    e->has_spoil = e->spoil_chance-- > 1;
    sim_fired(s, e->spoil);
    switch (e->spoil) {
    case DO_MSG_FLIP:
        post_copy(s, c, side, message, message.len, any);
        break;
    case DO_MSG_CUT:
        post_copy(s, c, side, message, any / 8, SIZE_MAX);
        break;
    case DO_MSG_TWICE:
        net_post(s, c, side, message);
        net_post(s, c, side, message);
        break;
    case DO_MSG_SWAP:
        net_post(s, c, side, message);
        net_swap_last(e);
        break;
    default:
        noise(s, c, side);
        net_post(s, c, side, message);
        break;
    }
}

/* Commits of others that are said to be not for the receiver. */
static void false_withheld(struct sim *s, struct conn *c, unsigned side, const struct plan_action *a)
{
    const struct wire_item item = { .node = 1 + a->b % (uint32_t)s->node_count, .epoch = 1, .upto = 1 + a->c % 200 };
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = &item, .count = 1 };
    post_made(s, c, side, &m);
}

static void greedy(struct sim *s, struct conn *c, unsigned side)
{
    struct wire_item *items = calloc(WIRE_LIST_MAX, sizeof(*items));
    check(items != NULL);
    for (size_t i = 0; i < WIRE_LIST_MAX; i++) {
        items[i] = (struct wire_item){ .node = 1, .epoch = 1000 + (uint32_t)i, .upto = 1 };
    }
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = items, .count = WIRE_LIST_MAX };
    post_made(s, c, side, &m);
    free(items);
}

/* Any commit the liar holds, with one byte of it changed. */
struct taking {
    size_t left;
    struct arena *a;
    struct bytes commit;
};

static enum err take_commit(void *ctx, struct bytes key, struct bytes value)
{
    struct taking *t = ctx;
    (void)key;
    if (t->left-- > 0) {
        return ERR_OK;
    }
    enum err e = arena_dup(t->a, value, &t->commit);
    return e == ERR_OK ? ERR_BUSY : e;
}

static bool forged(struct sim *s, struct conn *c, unsigned side, const struct plan_action *a)
{
    struct sim_node *liar = &s->nodes[c->end[1 - side].slot];
    const struct bytes all = { 0 };
    node_enter(liar);
    arena_reset(&liar->app->arena);
    struct taking t = { .left = a->b % 40, .a = &liar->app->arena };
    struct store *store = liar->app->store;
    enum err e = store->ops->scan(store, SPACE_LOG, all, all, false, take_commit, &t);
    if (e != ERR_BUSY || t.commit.len > MESSAGE_MAX) {
        return false;
    }
    static uint8_t copy[MESSAGE_MAX];
    memcpy(copy, t.commit.ptr, t.commit.len);
    copy[chance_below(&s->hostile, t.commit.len)] ^= (uint8_t)(1 + a->c % 255);
    const struct wire_item item = { .commit = bytes_of(copy, t.commit.len) };
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = &item, .count = 1 };
    post_made(s, c, side, &m);
    return true;
}

/* A user whose role does not allow it, at a node that did not ask: its core refuses, or all others do. */
static bool without_right(struct sim *s, const struct plan_action *a)
{
    static struct op op;
    struct sim_node *n = some_up(s, a->a);
    bool is_served = n != NULL && (n->is.kind == NODE_STATION || n->is.kind == NODE_HUB);
    if (!is_served || s->record_count == 0 || n->must_meet || n->paused_until > s->now_ms) {
        return false;
    }
    op_begin(&op, n, 1); /* the administrator writes nobody's file */
    const struct sim_record *rec = &s->records[a->b % s->record_count];
    struct op_record *r = op_add(&op, rec->entity, rec);
    if (rec->entity != ENTITY_CUSTOMER) {
        return false;
    }
    op_field(&op, r, "occupation", "无权");
    enum err e = op_commit(&op);
    if (e == ERR_OK) {
        sim_fail(s, SIM_WRONG, "I18", "node %u let the administrator write a customer's file", n->number);
    }
    return e == ERR_DENIED;
}

/* A line that is lied on, and which side is the receiver's. */
static struct conn *line_to_liar(struct sim *s, const struct plan_action *a, unsigned *side)
{
    size_t skip = a->a % 7;
    struct conn *found = NULL;
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        for (unsigned i = 0; i < 2; i++) {
            const struct sim_node *to = &s->nodes[c->end[i].slot];
            const struct sim_node *from = &s->nodes[c->end[1 - i].slot];
            bool may_lie = a->id != DO_FALSE_WITHHELD || (node_takes_all(to) && !to->has_grown);
            if (c->end[0].is_open && c->end[1].is_open && may_lie && node_is_up(from)) {
                found = c;
                *side = i;
                if (skip-- == 0) {
                    return c;
                }
            }
        }
    }
    return found;
}

static bool made_up(struct sim *s, struct conn *c, unsigned side, const struct plan_action *a)
{
    const struct wire_message ack = { .kind = WIRE_ACK, .messages = 1 + a->b % 3 };
    switch (a->id) {
    case DO_FALSE_WITHHELD:
        false_withheld(s, c, side, a);
        return true;
    case DO_FALSE_ACK:
        post_made(s, c, side, &ack);
        return true;
    case DO_GREEDY_LIST:
        greedy(s, c, side);
        return true;
    default:
        return forged(s, c, side, a);
    }
}

void fault_hostile(struct sim *s, const struct plan_action *a)
{
    unsigned side = 0;
    if (a->id == DO_NO_RIGHT) {
        s->totals->done[a->id] += without_right(s, a) ? 1 : 0;
        return;
    }
    struct conn *c = line_to_liar(s, a, &side);
    if (c == NULL) {
        return;
    }
    if (a->id <= DO_MSG_NOISE) {
        c->end[side].has_spoil = true;
        c->end[side].spoil = a->id;
        c->end[side].spoil_chance = 1 + a->b % 3;
    } else if (made_up(s, c, side, a)) {
        sim_fired(s, a->id);
    }
}
