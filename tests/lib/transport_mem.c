/*
 * Owns: endpoints, connection ends and the event queue of the in-memory transport. Invariant: an end's owner hears
 * on_open before anything else and on_closed once, after which events for that end are thrown away. Plain malloc with
 * abort on failure: this is test code.
 */
#include "tests/lib/transport_mem.h"

#include "schema/base/check.h"

#include <stdlib.h>
#include <string.h>

enum event_kind { EV_DIAL, EV_ANSWER, EV_MESSAGE, EV_CLOSED };

struct endpoint;

/* One side's view of a connection. */
struct end {
    struct end *next;
    struct endpoint *owner;
    conn_id id;
    conn_id peer_id; /* the other side's end; ends are found by id, never by pointer */
    enum transport_door door;
    bool is_outbound;
    bool is_open;
    bool is_closing; /* close() was called */
    uint64_t dial_tag;
    uint8_t expect_key[TRANSPORT_KEY_BYTES];
    size_t queued_bytes;
    bool owes_drain;
};

struct event {
    struct event *next;
    enum event_kind kind;
    conn_id target; /* end that the event happens to */
    conn_id from; /* EV_MESSAGE: the sending end */
    size_t len;
    uint8_t bytes[];
};

struct endpoint {
    struct transport base; /* first member */
    struct endpoint *next;
    struct mem_net *net;
    char *address;
    uint8_t key[TRANSPORT_KEY_BYTES];
    struct transport_events ev;
    bool is_dead;
};

struct cut {
    struct cut *next;
    const struct endpoint *a;
    const struct endpoint *b;
};

struct mem_net {
    struct endpoint *endpoints;
    struct end *ends;
    struct event *first;
    struct event **last;
    struct cut *cuts;
    conn_id last_id;
    bool is_stepping;
};

static void *need(void *p)
{
    check(p != NULL);
    return p;
}

static struct endpoint *of_transport(struct transport *t)
{
    return (struct endpoint *)t;
}

static struct end *end_find(const struct mem_net *net, conn_id id)
{
    for (struct end *e = net->ends; e != NULL; e = e->next) {
        if (e->id == id) {
            return e;
        }
    }
    return NULL;
}

static struct end *end_new(struct endpoint *owner, enum transport_door door)
{
    struct end *e = need(calloc(1, sizeof(*e)));
    e->owner = owner;
    e->door = door;
    e->id = ++owner->net->last_id;
    e->next = owner->net->ends;
    owner->net->ends = e;
    return e;
}

static void end_free(struct mem_net *net, conn_id id)
{
    for (struct end **p = &net->ends; *p != NULL; p = &(*p)->next) {
        if ((*p)->id == id) {
            struct end *gone = *p;
            *p = gone->next;
            free(gone);
            return;
        }
    }
}

static void post(struct mem_net *net, enum event_kind kind, conn_id target, conn_id from, struct bytes b)
{
    struct event *v = need(calloc(1, sizeof(*v) + b.len));
    v->kind = kind;
    v->target = target;
    v->from = from;
    v->len = b.len;
    if (b.len > 0) {
        memcpy(v->bytes, b.ptr, b.len);
    }
    *net->last = v;
    net->last = &v->next;
}

static struct endpoint *endpoint_at(const struct mem_net *net, struct bytes address)
{
    for (struct endpoint *p = net->endpoints; p != NULL; p = p->next) {
        if (!p->is_dead && bytes_equal(address, bytes_str(p->address))) {
            return p;
        }
    }
    return NULL;
}

static struct cut **cut_find(struct mem_net *net, const struct endpoint *a, const struct endpoint *b)
{
    struct cut **p = &net->cuts;
    while (*p != NULL && !((*p)->a == a && (*p)->b == b) && !((*p)->a == b && (*p)->b == a)) {
        p = &(*p)->next;
    }
    return p;
}

/* struct transport_ops */

static enum err mem_dial(struct transport *base, enum transport_door door, struct bytes address,
    const uint8_t expect_key[TRANSPORT_KEY_BYTES], uint64_t dial_tag)
{
    struct endpoint *t = of_transport(base);
    if (address.len == 0) {
        return ERR_INVALID;
    }
    struct end *e = end_new(t, door);
    e->is_outbound = true;
    e->dial_tag = dial_tag;
    memcpy(e->expect_key, expect_key, sizeof(e->expect_key));
    post(t->net, EV_DIAL, e->id, 0, address);
    return ERR_OK;
}

static struct end *open_end(struct endpoint *t, conn_id id)
{
    struct end *e = end_find(t->net, id);
    return e != NULL && e->owner == t && e->is_open && !e->is_closing ? e : NULL;
}

static enum err mem_send(struct transport *base, conn_id id, struct bytes message)
{
    struct end *e = open_end(of_transport(base), id);
    if (e == NULL) {
        return ERR_NOT_FOUND;
    }
    if (message.len == 0) {
        return ERR_INVALID;
    }
    if (message.len > TRANSPORT_MESSAGE_MAX) {
        return ERR_LIMIT;
    }
    if (message.len > TRANSPORT_QUEUE_MAX - e->queued_bytes) {
        e->owes_drain = true;
        return ERR_BUSY;
    }
    e->queued_bytes += message.len;
    e->owes_drain = e->owes_drain || e->queued_bytes >= TRANSPORT_QUEUE_MAX / 2;
    post(e->owner->net, EV_MESSAGE, e->peer_id, e->id, message);
    return ERR_OK;
}

void transport_mem_force(struct transport *base, conn_id id, struct bytes message)
{
    struct end *e = open_end(of_transport(base), id);
    check(e != NULL);
    e->queued_bytes += message.len;
    post(e->owner->net, EV_MESSAGE, e->peer_id, e->id, message);
}

static size_t mem_queued_bytes(struct transport *base, conn_id id)
{
    struct endpoint *t = of_transport(base);
    const struct end *e = end_find(t->net, id);
    return e != NULL && e->owner == t ? e->queued_bytes : 0;
}

/* Both sides hear of it after everything that is queued already: that is the flush. */
static void mem_close(struct transport *base, conn_id id)
{
    struct end *e = open_end(of_transport(base), id);
    if (e != NULL) {
        e->is_closing = true;
        post(e->owner->net, EV_CLOSED, e->peer_id, 0, bytes_of(NULL, 0));
        post(e->owner->net, EV_CLOSED, e->id, 0, bytes_of(NULL, 0));
    }
}

static const struct transport_ops mem_ops = {
    .dial = mem_dial,
    .send = mem_send,
    .queued_bytes = mem_queued_bytes,
    .close = mem_close,
};

/* events */

static void end_close(struct mem_net *net, conn_id id)
{
    struct end *e = end_find(net, id);
    if (e == NULL) {
        return;
    }
    struct endpoint *t = e->owner;
    bool was_open = e->is_open;
    bool was_dial = e->is_outbound;
    uint64_t tag = e->dial_tag;
    end_free(net, id);
    if (t->is_dead) {
        return;
    }
    if (was_open) {
        t->ev.on_closed(t->ev.ctx, id);
    } else if (was_dial) {
        t->ev.on_dial_failed(t->ev.ctx, tag, ERR_UNREACHABLE);
    }
}

static void fail_dial(struct mem_net *net, struct end *e, enum err why)
{
    struct endpoint *t = e->owner;
    uint64_t tag = e->dial_tag;
    end_free(net, e->id);
    t->ev.on_dial_failed(t->ev.ctx, tag, why);
}

/* The dial reaches its address: keys are compared, the door's keeper is asked, the callee opens. */
static void do_dial(struct mem_net *net, struct end *caller, struct bytes address)
{
    struct endpoint *peer = endpoint_at(net, address);
    if (peer == NULL || *cut_find(net, caller->owner, peer) != NULL) {
        fail_dial(net, caller, ERR_UNREACHABLE);
        return;
    }
    if (memcmp(peer->key, caller->expect_key, sizeof(peer->key)) != 0) {
        fail_dial(net, caller, ERR_UNKNOWN_PEER);
        return;
    }
    conn_id caller_id = caller->id;
    const uint8_t *key = caller->owner->key;
    enum transport_door door = caller->door;
    if (!peer->ev.allow(peer->ev.ctx, door, key)) {
        fail_dial(net, caller, ERR_DENIED);
        return;
    }
    struct end *callee = end_new(peer, door);
    callee->peer_id = caller_id;
    callee->is_open = true;
    caller->peer_id = callee->id;
    post(net, EV_ANSWER, caller_id, callee->id, bytes_of(NULL, 0));
    peer->ev.on_open(peer->ev.ctx, callee->id, door, false, 0, key);
}

static void do_answer(struct mem_net *net, struct end *caller)
{
    struct endpoint *t = caller->owner;
    const struct end *callee = end_find(net, caller->peer_id);
    if (callee == NULL) {
        fail_dial(net, caller, ERR_UNREACHABLE);
        return;
    }
    caller->is_open = true;
    t->ev.on_open(t->ev.ctx, caller->id, caller->door, true, caller->dial_tag, callee->owner->key);
}

static void do_message(struct mem_net *net, struct end *to, const struct event *v)
{
    struct end *from = end_find(net, v->from);
    bool has_drained = false;
    if (from != NULL) {
        from->queued_bytes -= v->len;
        has_drained = from->owes_drain && from->queued_bytes < TRANSPORT_QUEUE_MAX / 2;
        from->owes_drain = from->owes_drain && !has_drained;
    }
    if (v->len > TRANSPORT_MESSAGE_MAX) {
        conn_id mine = to->id;
        end_close(net, mine);
        end_close(net, v->from);
        return;
    }
    if (!to->is_closing) {
        to->owner->ev.on_message(to->owner->ev.ctx, to->id, bytes_of(v->bytes, v->len));
    }
    from = end_find(net, v->from);
    if (has_drained && from != NULL && !from->is_closing && !from->owner->is_dead) {
        from->owner->ev.on_drain(from->owner->ev.ctx, v->from);
    }
}

static void deliver(struct mem_net *net, const struct event *v)
{
    struct end *e = end_find(net, v->target);
    if (e == NULL) {
        return;
    }
    if (e->owner->is_dead) {
        end_free(net, v->target);
        return;
    }
    switch (v->kind) {
    case EV_DIAL:
        do_dial(net, e, bytes_of(v->bytes, v->len));
        return;
    case EV_ANSWER:
        do_answer(net, e);
        return;
    case EV_MESSAGE:
        do_message(net, e, v);
        return;
    case EV_CLOSED:
        end_close(net, v->target);
        return;
    }
}

bool transport_mem_step(struct mem_net *net)
{
    check(!net->is_stepping);
    struct event *v = net->first;
    if (v == NULL) {
        return false;
    }
    net->first = v->next;
    if (net->first == NULL) {
        net->last = &net->first;
    }
    net->is_stepping = true;
    deliver(net, v);
    net->is_stepping = false;
    free(v);
    return true;
}

/* life */

struct mem_net *mem_net_new(void)
{
    struct mem_net *net = need(calloc(1, sizeof(*net)));
    net->last = &net->first;
    return net;
}

struct transport *transport_mem_new(
    struct mem_net *net, const char *address, const uint8_t key[TRANSPORT_KEY_BYTES], const struct transport_events *ev)
{
    struct endpoint *t = need(calloc(1, sizeof(*t)));
    t->base.ops = &mem_ops;
    t->net = net;
    t->address = need(strdup(address));
    memcpy(t->key, key, sizeof(t->key));
    t->ev = *ev;
    t->next = net->endpoints;
    net->endpoints = t;
    return &t->base;
}

/* Everything between a and b (b NULL: anyone) ends; messages under way are lost. */
static void break_connections(struct mem_net *net, const struct endpoint *a, const struct endpoint *b)
{
    for (struct end *e = net->ends; e != NULL; e = e->next) {
        const struct end *other = end_find(net, e->peer_id);
        if (e->owner != a || other == NULL || (b != NULL && other->owner != b)) {
            continue;
        }
        conn_id ids[] = { e->id, other->id };
        for (size_t i = 0; i < 2; i++) {
            for (struct event *v = net->first; v != NULL; v = v->next) {
                if (v->target == ids[i]) {
                    v->target = 0;
                }
            }
            post(net, EV_CLOSED, ids[i], 0, bytes_of(NULL, 0));
        }
    }
}

void transport_mem_free(struct transport *base)
{
    struct endpoint *t = of_transport(base);
    break_connections(t->net, t, NULL);
    t->is_dead = true;
}

void transport_mem_cut(struct transport *a, struct transport *b, bool is_cut)
{
    struct endpoint *pa = of_transport(a);
    struct endpoint *pb = of_transport(b);
    struct cut **p = cut_find(pa->net, pa, pb);
    if (is_cut && *p == NULL) {
        struct cut *c = need(calloc(1, sizeof(*c)));
        *c = (struct cut){ .next = pa->net->cuts, .a = pa, .b = pb };
        pa->net->cuts = c;
        break_connections(pa->net, pa, pb);
    } else if (!is_cut && *p != NULL) {
        struct cut *gone = *p;
        *p = gone->next;
        free(gone);
    }
}

void mem_net_free(struct mem_net *net)
{
    while (net->first != NULL) {
        struct event *v = net->first;
        net->first = v->next;
        free(v);
    }
    while (net->ends != NULL) {
        end_free(net, net->ends->id);
    }
    while (net->cuts != NULL) {
        struct cut *c = net->cuts;
        net->cuts = c->next;
        free(c);
    }
    while (net->endpoints != NULL) {
        struct endpoint *t = net->endpoints;
        net->endpoints = t->next;
        free(t->address);
        free(t);
    }
    free(net);
}
