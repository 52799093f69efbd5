/*
 * Owns: what simulated nodes may hold, changed by the authority while they work: stations that come and go, the whole
 * group, another owner of a laptop. What a node may hold is kept as the membership log of the first node has it, also
 * before the node has heard of it.
 */
#include "node/app_internal.h"
#include "tests/sim/sim.h"

static uint32_t bits_of(const struct member_node *m)
{
    uint32_t bits = m->holds_group ? UINT32_MAX : 1U << m->station;
    for (uint32_t i = 0; i < m->scope_count; i++) {
        bits |= 1U << m->scope[i];
    }
    return m->kind == NODE_RELAY ? 0 : bits;
}

void member_learn_scope(struct sim *s, struct sim_node *n)
{
    const struct app *first = s->nodes[0].app;
    const struct member_node *m = first == NULL || !n->exists ? NULL : members_node(first->members, n->number);
    if (m == NULL) {
        return;
    }
    uint32_t bits = bits_of(m);
    n->has_grown = n->has_grown || (n->scope != 0 && (bits & ~n->scope) != 0);
    n->scope = bits;
    n->scope_ever |= bits;
    n->is.holds_group = m->holds_group;
    if (n->is.kind == NODE_LAPTOP) {
        n->owner = m->owner;
        n->owners_ever |= 1U << m->owner;
    }
}

bool node_may_hold(const struct sim_node *n, uint32_t station)
{
    return (n->scope >> station & 1U) != 0;
}

bool node_ever_held(const struct sim_node *n, uint32_t station)
{
    return (n->scope_ever >> station & 1U) != 0;
}

/* A station that its node does not serve by itself comes in or goes out; or all of them at once. */
static void draw_scope(const struct sim *s, const struct sim_node *n, const struct plan_action *a, struct app_scope *in)
{
    in->holds_group = n->is.kind != NODE_LAPTOP && a->b % 3 == 0;
    for (uint32_t st = 1; !in->holds_group && st <= s->plan->stations; st++) {
        if ((a->c >> st & 1U) != 0) {
            in->scope[in->scope_count++] = st;
        }
    }
}

enum err scope_do(struct sim *s, const struct plan_action *a)
{
    struct sim_node *n = some_node(s, a->a);
    struct app_scope in = { .node = n->number };
    struct why why = { .zh = "" };
    char login[8];
    if (n->slot == 0 || n->is_clone || n->is.kind == NODE_RELAY) {
        return ERR_NOT_FOUND;
    }
    draw_scope(s, n, a, &in);
    if (n->is.kind == NODE_LAPTOP && a->b % 2 == 0) {
        size_t user = a->d % s->user_count;
        (void)snprintf(login, sizeof(login), "u%u", s->users[user]);
        in.owner_login = bytes_str(login);
    }
    enum err e = app_set_scope(s->nodes[0].app, &in, NULL, &why);
    sim_log(s, "node %u: scope %s %zu: %s", n->slot + 1, in.holds_group ? "group" : "of", in.scope_count, err_name(e));
    return e;
}
