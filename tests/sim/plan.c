/*
 * Owns: the text form of plans and the names of actions. Invariant: what plan_write wrote, plan_read gives back.
 */
#include "tests/sim/plan.h"

#include "schema/base/check.h"

#include <inttypes.h>
#include <string.h>

#define KIND_OF(kind) KIND_##kind

static const struct {
    const char *text;
    enum action_kind kind;
} actions[DO_COUNT] = {
#define X(name, text_, kind_) { .text = (text_), .kind = KIND_OF(kind_) },
    ACTION_TABLE(X)
#undef X
};

static const char *const shapes[SHAPE_COUNT] = { "star", "mesh", "line", "ring", "apart" };

const char *action_name(enum action_id id)
{
    check((unsigned)id < DO_COUNT);
    return actions[id].text;
}

enum action_kind action_kind_of(enum action_id id)
{
    check((unsigned)id < DO_COUNT);
    return actions[id].kind;
}

void plan_write(const struct plan *p, FILE *to)
{
    (void)fprintf(to, "sim-plan 1\nseed %" PRIu64 "\nstations %u\nusers %u\nshape %s\nlatency %u\nhidden %u\ndeep %u\n",
        p->seed, p->stations, p->users, shapes[p->shape], p->latency_ms, p->hidden, p->deep);
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct plan_node *n = &p->nodes[i];
        (void)fprintf(to, "node %s %u %u %d %d\n", node_kind_name(n->kind), n->station, n->owner,
            n->holds_group ? 1 : 0, n->joins_late ? 1 : 0);
    }
    for (size_t i = 0; i < p->action_count; i++) {
        const struct plan_action *a = &p->actions[i];
        (void)fprintf(to, "at %" PRIu64 " %s %u %u %u %u\n", a->at_ms, action_name(a->id), a->a, a->b, a->c, a->d);
    }
}

static bool find_name(const char *text, enum action_id *out)
{
    for (unsigned i = 0; i < DO_COUNT; i++) {
        if (strcmp(actions[i].text, text) == 0) {
            *out = (enum action_id)i;
            return true;
        }
    }
    return false;
}

static bool read_node(const char *line, struct plan *out)
{
    char kind[16];
    struct plan_node n = { .owner = 0 };
    int group = 0;
    int late = 0;
    if (out->node_count == PLAN_NODES_MAX ||
        sscanf(line, "node %15s %u %u %d %d", kind, &n.station, &n.owner, &group, &late) != 5) {
        return false;
    }
    n.kind = node_kind_parse(bytes_str(kind));
    n.holds_group = group != 0;
    n.joins_late = late != 0;
    out->nodes[out->node_count++] = n;
    return n.kind != 0;
}

static bool read_action(const char *line, struct plan *out)
{
    char name[40];
    struct plan_action a = { .at_ms = 0 };
    if (out->action_count == PLAN_ACTIONS_MAX ||
        sscanf(line, "at %" SCNu64 " %39s %u %u %u %u", &a.at_ms, name, &a.a, &a.b, &a.c, &a.d) != 6 ||
        !find_name(name, &a.id)) {
        return false;
    }
    out->actions[out->action_count++] = a;
    return true;
}

static bool read_shape(const char *line, struct plan *out)
{
    char name[16];
    if (sscanf(line, "shape %15s", name) != 1) {
        return false;
    }
    for (unsigned i = 0; i < SHAPE_COUNT; i++) {
        if (strcmp(shapes[i], name) == 0) {
            out->shape = (enum plan_shape)i;
            return true;
        }
    }
    return false;
}

static bool read_line(const char *line, struct plan *out)
{
    return line[0] == '#' || line[0] == '\n' || read_action(line, out) || read_node(line, out) ||
           read_shape(line, out) || sscanf(line, "seed %" SCNu64, &out->seed) == 1 ||
           sscanf(line, "stations %u", &out->stations) == 1 || sscanf(line, "users %u", &out->users) == 1 ||
           sscanf(line, "latency %u", &out->latency_ms) == 1 || sscanf(line, "hidden %u", &out->hidden) == 1 ||
           sscanf(line, "deep %u", &out->deep) == 1;
}

bool plan_read(FILE *from, struct plan *out)
{
    char line[256];
    memset(out, 0, sizeof(*out));
    bool begins = false;
    while (fgets(line, sizeof(line), from) != NULL) {
        if (!begins) {
            begins = strcmp(line, "sim-plan 1\n") == 0;
            if (!begins && line[0] != '#') {
                return false;
            }
        } else if (!read_line(line, out)) {
            (void)fprintf(stderr, "sim: %s", line);
            return false;
        }
    }
    return begins && out->node_count > 0 && out->stations >= 1 && out->stations <= PLAN_STATIONS_MAX &&
           out->users >= 1 && out->users <= PLAN_USERS_MAX;
}
