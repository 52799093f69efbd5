/*
 * Owns: making a failing plan small: leave out whole kinds, then halves, quarters … single actions, then nodes and
 * shape, as long as the run still breaks the same invariant. Every try is a process of its own.
 */
#include "tests/sim/runs.h"

#include "schema/base/check.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES_MAX = 1500 };

static unsigned tries;

static bool fails_alike(const struct plan *p, const struct sim_outcome *failure)
{
    if (tries++ > TRIES_MAX) {
        return false;
    }
    struct sim_outcome out = runs_silent(p);
    return out.result == failure->result && strcmp(out.invariant, failure->invariant) == 0;
}

/* Without the actions of [from, from + count). */
static bool without(struct plan *p, struct plan *trial, size_t from, size_t count, const struct sim_outcome *failure)
{
    *trial = *p;
    memmove(
        trial->actions + from, trial->actions + from + count, (p->action_count - from - count) * sizeof(p->actions[0]));
    trial->action_count -= count;
    if (!fails_alike(trial, failure)) {
        return false;
    }
    *p = *trial;
    return true;
}

static void drop_actions(struct plan *p, struct plan *trial, const struct sim_outcome *failure)
{
    for (size_t step = p->action_count / 2; step > 0; step /= 2) {
        for (size_t from = p->action_count; from > 0;) {
            size_t count = step < from ? step : from;
            from -= count;
            (void)without(p, trial, from, count, failure);
            from = from < p->action_count ? from : p->action_count;
        }
    }
}

static void drop_kinds(struct plan *p, struct plan *trial, const struct sim_outcome *failure)
{
    for (unsigned id = 0; id < DO_COUNT; id++) {
        size_t kept = 0;
        *trial = *p;
        for (size_t i = 0; i < p->action_count; i++) {
            if (p->actions[i].id != (enum action_id)id) {
                trial->actions[kept++] = p->actions[i];
            }
        }
        trial->action_count = kept;
        if (kept < p->action_count && fails_alike(trial, failure)) {
            *p = *trial;
        }
    }
}

static void drop_nodes(struct plan *p, struct plan *trial, const struct sim_outcome *failure)
{
    for (uint32_t i = p->node_count; i-- > 1;) {
        *trial = *p;
        memmove(trial->nodes + i, trial->nodes + i + 1, (p->node_count - i - 1) * sizeof(p->nodes[0]));
        trial->node_count--;
        if (fails_alike(trial, failure)) {
            *p = *trial;
        }
    }
}

static void simplify(struct plan *p, struct plan *trial, const struct sim_outcome *failure)
{
    *trial = *p;
    trial->shape = SHAPE_STAR;
    trial->latency_ms = 1;
    trial->deep = 0;
    if (fails_alike(trial, failure)) {
        *p = *trial;
    }
}

void shrink_plan(struct plan *p, const struct sim_outcome *failure)
{
    struct plan *trial = malloc(sizeof(*trial));
    size_t before = 0;
    check(trial != NULL);
    tries = 0;
    simplify(p, trial, failure);
    do {
        before = p->action_count + p->node_count;
        drop_kinds(p, trial, failure);
        drop_actions(p, trial, failure);
        drop_nodes(p, trial, failure);
    } while (p->action_count + p->node_count < before && tries < TRIES_MAX);
    (void)printf("# %s, %u tries\n", failure->invariant, tries);
    free(trial);
}
