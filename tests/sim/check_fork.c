/*
 * Owns: what must hold of forks at the end of a run (docs/decisions/0013): whoever holds one of two commits of a name
 * holds the proof, all proofs are alike, and nobody was accused of what did not happen.
 */
#include "schema/base/check.h"
#include "sync/fork.h"
#include "tests/sim/check.h"

struct looking {
    struct sim_node *n;
    struct sim_node *first;
};

/* A commit of the node's log that is in doubt, beside the one of that name in the log of the first node. */
static enum err see(void *ctx, struct bytes key, struct bytes value)
{
    struct looking *l = ctx;
    struct arena *a = &l->first->app->arena;
    struct store *store = l->first->app->store;
    struct bytes other = { 0 };
    struct commit_view x;
    struct commit_view y;
    struct dot dot = { 0 };
    if (dot_from_key(key, &dot) != ERR_OK || !oracle_in_doubt(l->n->sim, dot)) {
        return ERR_OK;
    }
    arena_reset(a);
    if (store->ops->get(store, SPACE_LOG, key, a, &other) != ERR_OK || commit_parse(value, &x) != ERR_OK ||
        commit_parse(other, &y) != ERR_OK || memcmp(x.signature, y.signature, COMMIT_SIGNATURE_BYTES) == 0) {
        return ERR_OK;
    }
    if (core_counts(&l->first->app->core, dot) == ERR_OK) {
        sim_fail(l->n->sim, SIM_WRONG, "I11", "nodes %u and %u hold two commits %u.%u.%llu and no proof", l->n->number,
            l->first->number, dot.node, dot.epoch, (unsigned long long)dot.seq);
    }
    return ERR_OK;
}

static void same_proofs(struct sim_node *n, const struct core *mine, const struct core *theirs)
{
    for (size_t i = 0; i < mine->forks.count; i++) {
        const struct fork *f = &mine->forks.at[i];
        const struct fork *o = fork_of(theirs, f->node, f->epoch);
        const struct dot dot = { f->node, f->epoch, f->seq };
        if (!f->is_proven) {
            continue;
        }
        if (!oracle_in_doubt(n->sim, dot)) {
            sim_fail(n->sim, SIM_WRONG, "I11", "node %u: %u.%u is proven to have forked at %llu, which never happened",
                n->number, f->node, f->epoch, (unsigned long long)f->seq);
        }
        if (o == NULL || !o->is_proven || o->seq != f->seq) {
            sim_fail(n->sim, SIM_WRONG, "I11", "node %u: others do not know that %u.%u forked at %llu", n->number,
                f->node, f->epoch, (unsigned long long)f->seq);
        }
    }
}

void check_forks(struct sim_node *n, struct sim_node *first)
{
    const struct bytes all = { 0 };
    struct looking l = { .n = n, .first = first };
    struct store *store = n->app->store;
    node_enter(n);
    same_proofs(n, &n->app->core, &first->app->core);
    same_proofs(n, &first->app->core, &n->app->core);
    if (n->sim->fork_count > 0 && store->ops->scan(store, SPACE_LOG, all, all, false, see, &l) != ERR_OK) {
        sim_fail(n->sim, SIM_WRONG, "I26", "node %u cannot be read", n->number);
    }
    for (size_t i = 0; n == first && i < n->app->core.forks.count; i++) {
        n->sim->totals->forks += n->app->core.forks.at[i].is_proven ? 1 : 0;
    }
}
