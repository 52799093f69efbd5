/*
 * Owns: what a seed stands for. Swarm: every seed draws its own subset of operations and faults with its own weights,
 * its own size, shape and pace, so that rare mixes come up that one tuned setting would never make.
 */
#include "schema/base/check.h"
#include "tests/sim/plan.h"

#include <stdlib.h>
#include <string.h>

/* How often an action comes up where it is drawn at all. */
static const uint8_t weights[DO_COUNT] = {
    [DO_CREATE] = 8,
    [DO_CHILD] = 10,
    [DO_EDIT] = 60,
    [DO_EDIT_MANY] = 15,
    [DO_SAME] = 4,
    [DO_DELETE] = 3,
    [DO_UNDELETE] = 3,
    [DO_DECIDE] = 8,
    [DO_ASSIGN] = 3,
    [DO_BULK] = 2,
    [DO_BOOK] = 2,
    [DO_VERIFY] = 1,
    [DO_REBUILD] = 1,
    [DO_PASSPHRASE] = 1,
    [DO_PROBE] = 2,
    [DO_BACKUP] = 2,
    [DO_BUNDLE] = 4,
    [DO_STICK] = 5,
};

/* One draw a statement: compilers differ in the order within an initialiser. */
static void add(struct plan *p, struct chance *c, uint64_t at, enum action_id id)
{
    struct plan_action a = { .at_ms = at, .id = id };
    a.a = (uint32_t)chance_below(c, 1000);
    a.b = (uint32_t)chance_below(c, 1000);
    a.c = (uint32_t)chance_below(c, 1000);
    a.d = (uint32_t)chance_below(c, 100000);
    if (p->action_count < PLAN_ACTIONS_MAX) {
        p->actions[p->action_count++] = a;
    }
}

static int by_time(const void *x, const void *y)
{
    const struct plan_action *a = x;
    const struct plan_action *b = y;
    if (a->at_ms != b->at_ms) {
        return a->at_ms < b->at_ms ? -1 : 1;
    }
    return (a->id > b->id) - (a->id < b->id);
}

static void draw_nodes(struct plan *p, struct chance *c, uint32_t count)
{
    p->node_count = count;
    p->nodes[0] = (struct plan_node){ .kind = NODE_STATION, .station = 1, .holds_group = true };
    for (uint32_t i = 1; i < count; i++) {
        struct plan_node *n = &p->nodes[i];
        uint64_t dice = chance_below(c, 20);
        *n = (struct plan_node){ .kind = NODE_STATION };
        n->station = (uint32_t)chance_below(c, p->stations) + 1;
        if (dice < 11) {
            n->holds_group = true;
            n->kind = dice == 0 ? NODE_HUB : NODE_STATION;
        } else if (dice == 11) {
            n->kind = NODE_RELAY;
        } else if (dice >= 16) {
            n->kind = NODE_LAPTOP;
            n->owner = (uint32_t)chance_below(c, p->users) + 1;
        }
        n->joins_late = chance_below(c, 8) == 0;
    }
}

/* Where there are no lines only sticks travel. */
static void draw_sticks(struct plan *p, struct chance *c, uint64_t length, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        add(p, c, chance_below(c, length), i % 2 == 0 ? DO_BUNDLE : DO_STICK);
    }
}

/* Each kind of this seed's choice, count times on average. */
static void draw_faults(struct plan *p, struct chance *c, uint64_t length, unsigned share, unsigned count)
{
    for (unsigned id = 0; id < DO_COUNT; id++) {
        enum action_kind kind = action_kind_of((enum action_id)id);
        if (kind == KIND_OP || chance_below(c, 100) >= share) {
            continue;
        }
        uint64_t times = 1 + chance_below(c, count);
        if (id >= DO_STICK_LOST && id <= DO_STICK_CUT) {
            draw_sticks(p, c, length / 2 + 1, 2);
        }
        if (id == DO_RESTORE) {
            add(p, c, chance_below(c, length / 2 + 1), DO_BACKUP);
        }
        if (id == DO_FORK) {
            add(p, c, chance_below(c, length / 2 + 1), DO_FORK); /* the first keeps the state that the next puts back */
        }
        for (uint64_t i = 0; i < (kind == KIND_MEMBER ? (times + 1) / 2 : times); i++) {
            add(p, c, chance_below(c, length), (enum action_id)id);
        }
    }
}

/* Where a seed wants people to meet: few records, few fields, many at once. */
static void heat(struct plan *p, struct chance *c, size_t first, uint64_t length)
{
    uint64_t bursts = 1 + chance_below(c, 5);
    uint64_t width = 1 + chance_below(c, 4000);
    uint32_t records = 1 + (uint32_t)chance_below(c, 4);
    uint32_t fields = 1 + (uint32_t)chance_below(c, 4);
    bool are_apart = chance_below(c, 4) != 0;
    for (uint64_t i = 1; are_apart && i <= bursts; i++) {
        add(p, c, length / (bursts + 1) * i, DO_ISLANDS);
    }
    size_t last = p->action_count;
    if (chance_below(c, 3) == 0) {
        /* Somebody is struck off whose last commits only some have. */
        add(p, c, length / (bursts + 1), DO_LINK_DOWN);
        add(p, c, length / (bursts + 1), DO_LINK_DOWN);
        add(p, c, length / (bursts + 1) + width, DO_REVOKE);
    }
    for (size_t i = first; i < last; i++) {
        struct plan_action *a = &p->actions[i];
        if (a->id == DO_ISLANDS) {
            continue;
        }
        bool is_edit = a->id == DO_EDIT || a->id == DO_EDIT_MANY || a->id == DO_DELETE || a->id == DO_SAME;
        uint64_t burst = 1 + chance_below(c, bursts);
        a->at_ms = 10 + length / (bursts + 1) * burst + chance_below(c, width);
        a->b = is_edit ? a->b % records : a->b;
        a->c = is_edit ? a->c % fields : a->c;
    }
}

static void draw_ops(struct plan *p, struct chance *c, uint64_t length, uint32_t count)
{
    uint32_t sum = 0;
    uint32_t mine[DO_COUNT] = { 0 };
    for (unsigned id = 0; id < DO_COUNT; id++) {
        bool is_in = id == DO_CREATE || id == DO_EDIT || chance_below(c, 4) != 0;
        mine[id] = is_in ? weights[id] : 0;
        sum += mine[id];
    }
    for (uint32_t i = 0; i < 3; i++) {
        add(p, c, i, DO_CREATE);
        add(p, c, i, DO_CHILD);
    }
    size_t first = p->action_count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t pick = chance_below(c, sum);
        unsigned id = 0;
        while (pick >= mine[id]) {
            pick -= mine[id++];
        }
        add(p, c, 10 + chance_below(c, length), (enum action_id)id);
    }
    if (chance_below(c, 4) != 0) {
        heat(p, c, first, length);
    }
}

void plan_draw(uint64_t seed, struct plan *out)
{
    struct chance c = chance_of(seed, CHANCE_PLAN, 0);
    memset(out, 0, sizeof(*out));
    out->seed = seed;
    out->stations = 1 + (uint32_t)chance_below(&c, 3);
    out->users = 2 + (uint32_t)chance_below(&c, PLAN_USERS_MAX - 1);
    uint64_t dice = chance_below(&c, 20);
    uint32_t nodes = dice == 0   ? 1
                     : dice < 14 ? 2 + (uint32_t)chance_below(&c, 3)
                     : dice < 19 ? 5 + (uint32_t)chance_below(&c, 3)
                                 : 8 + (uint32_t)chance_below(&c, 5);
    draw_nodes(out, &c, nodes);
    out->shape = chance_below(&c, 12) == 0 ? SHAPE_APART : (enum plan_shape)chance_below(&c, SHAPE_APART);
    out->latency_ms = (uint32_t)1 << chance_below(&c, 10);
    out->deep = chance_below(&c, 8) == 0 ? 1 : 0;
    /* From an hour to three months. */
    uint64_t length = (uint64_t)3600000 << chance_below(&c, 12);
    draw_ops(out, &c, length, 10 + (uint32_t)chance_below(&c, 90));
    draw_sticks(out, &c, length, out->shape == SHAPE_APART ? 10 + (uint32_t)chance_below(&c, 40) : 0);
    unsigned share = 5 + (unsigned)chance_below(&c, 25);
    draw_faults(out, &c, length, share, 1 + (unsigned)chance_below(&c, 4));
    qsort(out->actions, out->action_count, sizeof(out->actions[0]), by_time);
}

void plan_draw_standard(uint64_t seed, struct plan *out)
{
    struct chance c = chance_of(seed, CHANCE_PLAN, 1);
    memset(out, 0, sizeof(*out));
    out->seed = seed;
    out->stations = 2;
    out->users = 4;
    out->node_count = 5;
    for (uint32_t i = 0; i < 5; i++) {
        out->nodes[i] = (struct plan_node){ .kind = NODE_STATION, .station = 1 + i % 2, .holds_group = true };
    }
    out->shape = SHAPE_STAR;
    out->latency_ms = 20;
    uint64_t length = (uint64_t)30 * 86400000;
    draw_ops(out, &c, length, 300);
    static const enum action_id faults[] = { DO_KILL, DO_POWER_TEAR, DO_CUT, DO_RESTART, DO_LINK_DOWN, DO_CLOCK_BACK,
        DO_CLOG, DO_POWER_IN_STEP };
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        for (unsigned k = 0; k < 3; k++) {
            add(out, &c, chance_below(&c, length), faults[i]);
        }
    }
    qsort(out->actions, out->action_count, sizeof(out->actions[0]), by_time);
}
