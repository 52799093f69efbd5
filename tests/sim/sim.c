/*
 * Owns: time, the order of a run and its end. A run: the group is set up; the plan happens (safety); then every fault
 * ends and everybody can reach the first node (heal); when nothing moves any more all lines are cut and dialled once
 * more, and nothing may be sent again (quiet); then everything must hold. Invariant: a run reads nothing but its plan.
 */
#include "tests/sim/sim.h"

#include "schema/base/check.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>

enum { EVENTS_MAX = 400000, HEAL_ROUNDS = 4 };

static const uint64_t heal_ms_max = (uint64_t)400 * 86400000;

static jmp_buf escape;
static struct sim_outcome *outcome;

void sim_trace(struct sim *s, uint64_t word)
{
    s->trace = chance_mix(s->trace ^ word) + 0x632BE59BD9B4E019U;
}

void sim_trace_bytes(struct sim *s, struct bytes bytes)
{
    uint64_t a = s->trace ^ bytes.len;
    size_t i = 0;
    for (; i + 8 <= bytes.len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes.ptr + i, 8);
        a = (a ^ word) * 0x9E3779B97F4A7C15U;
        a ^= a >> 29U;
    }
    for (; i < bytes.len; i++) {
        a = (a ^ bytes.ptr[i]) * 0x9E3779B97F4A7C15U;
    }
    s->trace = chance_mix(a);
}

void sim_fired(struct sim *s, enum action_id id)
{
    s->totals->done[id]++;
    s->fired[id] = true;
    sim_log(s, "%s happened", action_name(id));
}

void sim_log(struct sim *s, const char *format, ...)
{
    va_list args;
    if (!s->is_verbose) {
        return;
    }
    (void)fprintf(stderr, "%12.3f ", (double)s->now_ms / 1000);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

_Noreturn void sim_fail(struct sim *s, enum sim_result r, const char *invariant, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(outcome->text, sizeof(outcome->text), format, args);
    va_end(args);
    (void)snprintf(outcome->invariant, sizeof(outcome->invariant), "%s", invariant);
    outcome->result = r;
    outcome->at_ms = s->now_ms;
    longjmp(escape, 1);
}

/* --- the heap of events ------------------------------------------------------------------------------------------- */

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_push(struct sim *s, uint64_t at_ms, enum event_kind kind, uint64_t a, uint64_t b, uint64_t c)
{
    if (s->heap_count == s->heap_room) {
        s->heap_room = s->heap_room * 2 + 256;
        s->heap = realloc(s->heap, s->heap_room * sizeof(*s->heap));
        check(s->heap != NULL);
    }
    struct event ev = {
        .at_ms = at_ms < s->now_ms ? s->now_ms : at_ms, .order = s->event_order++, .kind = kind, .a = a, .b = b, .c = c
    };
    size_t i = s->heap_count++;
    while (i > 0 && earlier(&ev, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = ev;
}

static struct event pop(struct sim *s)
{
    struct event first = s->heap[0];
    struct event last = s->heap[--s->heap_count];
    size_t i = 0;
    while (2 * i + 1 < s->heap_count) {
        size_t child = 2 * i + 1;
        if (child + 1 < s->heap_count && earlier(&s->heap[child + 1], &s->heap[child])) {
            child++;
        }
        if (!earlier(&s->heap[child], &last)) {
            break;
        }
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return first;
}

static void on_start(struct sim *s, struct sim_node *n)
{
    if (n->app != NULL || n->is_retired || !n->exists) {
        return;
    }
    enum err e = node_open(n);
    if (e == ERR_OK) {
        if (disk_sim_has_crashed(n->place.disk)) {
            (void)node_survived(n, ERR_IO); /* it would hear of it with its next write */
        }
        return;
    }
    if (disk_sim_has_crashed(n->place.disk)) {
        sim_fired(s, n->armed_by);
        node_crash(n, n->armed);
    } else if (e == ERR_DAMAGED && n->may_be_lost) {
        n->is_retired = true; /* noticed, and the end of this node */
        oracle_after_rollback(s);
        return;
    } else if (disk_sim_take_failure(n->place.disk)) {
        sim_fired(s, n->io_by);
    } else if (!n->is_spoiled) {
        sim_fail(s, SIM_WRONG, "I1", "node %u does not open again: %s", n->number, err_name(e));
    }
    node_start_soon(n, 60000 + chance_below(&s->net, 600000));
}

static void act(struct sim *s, const struct plan_action *a)
{
    s->totals->planned[a->id]++;
    sim_log(s, "> %s %u %u %u %u", action_name(a->id), a->a, a->b, a->c, a->d);
    switch (action_kind_of(a->id)) {
    case KIND_OP:
        ops_do(s, a);
        break;
    case KIND_MEMBER:
        member_do(s, a);
        break;
    case KIND_FAULT:
        fault_do(s, a);
        break;
    }
}

static void handle(struct sim *s, const struct event *ev)
{
    s->event_count++;
    sim_trace(s, ev->at_ms << 8U | (uint64_t)ev->kind);
    switch (ev->kind) {
    case EV_ACTION:
        act(s, &s->plan->actions[ev->a]);
        break;
    case EV_START:
        on_start(s, &s->nodes[ev->a]);
        break;
    case EV_LIFT:
        fault_lift(s, &s->nodes[ev->a]);
        break;
    case EV_UP:
        net_up(s, (size_t)ev->a);
        break;
    case EV_FLAP:
        net_flap(s, (size_t)ev->a);
        break;
    case EV_DELIVER:
    case EV_OPENED:
    case EV_CLOSED:
    case EV_DIAL:
        net_event(s, ev);
        break;
    case EV_STICK:
        stick_event(s, ev);
        break;
    case EV_COUNT:
        check(false);
    }
}

/* Until nothing is left to happen before `until_ms`. */
static void run_until(struct sim *s, uint64_t until_ms)
{
    while (s->heap_count > 0 && s->heap[0].at_ms <= until_ms) {
        struct event ev = pop(s);
        s->now_ms = ev.at_ms;
        handle(s, &ev);
        if (s->event_count > EVENTS_MAX) {
            sim_fail(s, SIM_LIVENESS, "I28", "no end after %d events", (int)EVENTS_MAX);
        }
    }
}

/* --- the phases --------------------------------------------------------------------------------------------------- */

static void meet_by_shape(struct sim *s, uint32_t slot)
{
    switch (s->plan->shape) {
    case SHAPE_STAR:
        net_meet(s, slot, 0);
        break;
    case SHAPE_MESH:
        for (uint32_t i = 0; i < slot; i++) {
            net_meet(s, slot, i);
        }
        break;
    case SHAPE_LINE:
        net_meet(s, slot, slot - 1);
        break;
    case SHAPE_RING:
        net_meet(s, slot, slot - 1);
        if (slot + 1 >= s->plan->node_count) {
            net_meet(s, slot, 0);
        }
        break;
    case SHAPE_APART:
    case SHAPE_COUNT:
        break;
    }
}

void sim_add_node(struct sim *s, uint32_t slot)
{
    node_join(s, &s->nodes[slot]);
    meet_by_shape(s, slot);
}

static void node_blank(struct sim *s, uint32_t slot, const struct plan_node *is)
{
    struct sim_node *n = &s->nodes[slot];
    n->sim = s;
    n->slot = slot;
    n->is = *is;
    n->place.disk = disk_sim_new();
    n->place.chance = chance_of(s->plan->seed, CHANCE_NODE, slot);
    (void)snprintf(n->place.machine, sizeof(n->place.machine), "machine-%u", slot);
}

uint32_t sim_hidden_station(const struct sim *s)
{
    return (uint32_t)(s->plan->seed % s->plan->stations) + 1;
}

struct sim_node *sim_spare_node(struct sim *s, const struct plan_node *is)
{
    if (s->node_count == PLAN_NODES_MAX) {
        return NULL;
    }
    node_blank(s, (uint32_t)s->node_count, is);
    return &s->nodes[s->node_count++];
}

static void set_up(struct sim *s)
{
    s->phase = PHASE_SETUP;
    s->node_count = s->plan->node_count;
    for (uint32_t i = 0; i < s->node_count; i++) {
        node_blank(s, i, &s->plan->nodes[i]);
    }
    node_found(s);
    member_users(s);
    for (uint32_t i = 1; i < s->node_count; i++) {
        struct sim_node *n = &s->nodes[i];
        uint32_t owner = n->is.owner == 0 ? 0 : (n->is.owner - 1) % (uint32_t)s->user_count;
        n->owner = n->is.kind == NODE_LAPTOP ? s->users[owner] : 0;
        if (n->owner != 0) {
            n->is.station = s->user_station[owner];
        }
        if (!n->is.joins_late) {
            sim_add_node(s, i);
        }
    }
    for (uint32_t i = 0; i < s->plan->action_count; i++) {
        sim_push(s, s->now_ms + s->plan->actions[i].at_ms, EV_ACTION, i, 0, 0);
    }
}

static void safety(struct sim *s)
{
    s->phase = PHASE_SAFETY;
    uint64_t last = s->now_ms;
    for (size_t i = 0; i < s->plan->action_count; i++) {
        uint64_t at = s->plan->actions[i].at_ms;
        last = at > last ? at : last;
    }
    run_until(s, last);
}

static void heal(struct sim *s)
{
    s->phase = PHASE_HEAL;
    sim_log(s, "--- heal");
    member_learn(s);
    fault_heal_all(s);
    for (uint32_t i = 1; i < s->node_count; i++) {
        if (s->nodes[i].exists && !s->nodes[i].is_retired) {
            net_meet(s, i, 0);
        }
    }
    uint64_t end = s->now_ms + heal_ms_max;
    for (unsigned round = 0; round < HEAL_ROUNDS; round++) {
        net_heal(s);
        run_until(s, end);
    }
    for (uint32_t i = 0; i < s->node_count; i++) {
        const struct sim_node *n = &s->nodes[i];
        if (n->exists && !n->is_retired && !node_is_up(n)) {
            sim_fail(s, SIM_LIVENESS, "I29", "node %u is not up again", n->number);
        }
    }
}

static void quiet(struct sim *s)
{
    s->phase = PHASE_QUIET;
    sim_log(s, "--- quiet");
    net_heal(s);
    run_until(s, s->now_ms + heal_ms_max);
    if (s->heap_count > 0) {
        sim_fail(s, SIM_LIVENESS, "I9", "still events after the quiet time");
    }
}

static void tear_down(struct sim *s)
{
    net_free(s);
    sticks_free(s);
    for (size_t i = 0; i < s->node_count; i++) {
        node_free(&s->nodes[i]);
    }
    for (size_t i = 0; i < s->ack_count; i++) {
        free(s->acks[i].saw);
    }
    free(s->heap);
    place_enter(NULL, 0);
}

static struct sim *sim_new(const struct plan *p, struct sim_totals *totals, bool is_verbose)
{
    struct sim *s = calloc(1, sizeof(*s));
    check(s != NULL);
    s->plan = p;
    s->totals = totals;
    s->is_verbose = is_verbose;
    s->trace = p->seed;
    s->net = chance_of(p->seed, CHANCE_NET, 0);
    s->disk = chance_of(p->seed, CHANCE_DISK, 0);
    s->hostile = chance_of(p->seed, CHANCE_HOSTILE, 0);
    return s;
}

struct sim_outcome sim_run(const struct plan *p, struct sim_totals *totals, bool is_verbose)
{
    static struct sim_outcome out;
    static struct sim *s;
    out = (struct sim_outcome){ .result = SIM_OK };
    outcome = &out;
    s = sim_new(p, totals, is_verbose);
    sqlite3_randomness(0, NULL); /* its own stream begins anew with every run */
    if (setjmp(escape) == 0) {
        set_up(s);
        safety(s);
        heal(s);
        quiet(s);
        s->phase = PHASE_END;
        check_end(s);
    }
    if (out.result == SIM_OK) {
        tear_down(s);
    } /* else: what is broken is not taken apart, its process ends soon */
    place_enter(NULL, 0);
    out.trace = s->trace;
    out.shape = s->shape;
    out.at_ms = out.at_ms == 0 ? s->now_ms : out.at_ms;
    totals->node_ms += s->now_ms * s->node_count;
    totals->events += s->event_count;
    if (out.result == SIM_OK) {
        free(s);
    }
    return out;
}
