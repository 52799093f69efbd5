/*
 * Owns: what must hold after every event, on every message, and at the end of a run. The names are those of the
 * project's list of invariants (docs/TESTING.md). What needs a closer look at one node is in check_node.c.
 */
#include "tests/sim/check.h"

#include "schema/base/check.h"
#include "schema/wire.h"
#include "sync/core_internal.h"

#include <stdlib.h>

/* --- messages ----------------------------------------------------------------------------------------------------- */

static const struct sim_record *customer_of(const struct sim *s, struct dossier_id id)
{
    for (size_t i = 0; i < s->record_count; i++) {
        const struct sim_record *r = &s->records[i];
        if (r->entity == ENTITY_CUSTOMER && dossier_id_compare(record_dossier(r->id), id) == 0) {
            return r;
        }
    }
    return NULL;
}

/* Whether a laptop's owner ever had to do with the customer. */
bool check_was_owner(const struct sim_record *r, uint32_t user)
{
    bool owned = r->creator == user;
    for (size_t i = 0; i < ARRAY_LEN(r->held_by); i++) {
        owned = owned || r->held_by[i] == user;
    }
    return owned;
}

static bool was_its_owners(const struct sim_record *r, const struct sim_node *laptop)
{
    bool was = false;
    for (uint32_t user = 1; user < 32; user++) {
        was = was || ((laptop->owners_ever >> user & 1U) != 0 && check_was_owner(r, user));
    }
    return was;
}

static void check_group(
    struct sim *s, const struct sim_node *to, const struct commit_view *v, const struct group_item *g)
{
    bool is_book = g->kind == DOSSIER_STATION_BOOK;
    const struct sim_record *r = NULL;
    if (g->is_withheld || g->kind == DOSSIER_GROUP_BOOK) {
        return;
    }
    if (!node_ever_held(to, g->station)) {
        sim_fail(s, SIM_WRONG, "I16", "node %u was sent a part of station %u", to->number, g->station);
    }
    r = is_book || to->is.kind != NODE_LAPTOP ? NULL : customer_of(s, core_group_dossier(v, g));
    if (r != NULL && !was_its_owners(r, to)) {
        sim_fail(s, SIM_WRONG, "I16", "laptop %u was sent a customer that was never its owner's", to->number);
    }
}

/* A relay gets sealed commits of everybody, and no key to anything. */
static void check_relayed(struct sim *s, const struct sim_node *to, const struct wire_message *m)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->items[i].secrets.len > 0 || m->items[i].letter.len > 0) {
            sim_fail(s, SIM_WRONG, "I16", "relay %u was sent what opens a customer", to->number);
        }
    }
}

static void check_items(struct sim *s, const struct sim_node *to, const struct wire_message *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct commit_view v;
        struct group_item g;
        if (m->items[i].commit.len == 0 || commit_parse(m->items[i].commit, &v) != ERR_OK ||
            v.header.dot.node == to->number) {
            continue;
        }
        struct body_cursor cursor = commit_groups(&v);
        while (commit_next_group(&cursor, &g) == ERR_OK) {
            check_group(s, to, &v, &g);
        }
    }
}

/* Of a customer of whom the station lost something for good, a later commit may wait there for ever: a laptop that gave
 * the customer away by it is given the customer again in every session, and lets go of it again. What a commit is about
 * is read from it: one that was durable when its node was killed is sent as any other, and nobody was told of it. */
static bool is_of_set_back(const struct sim_node *laptop, struct bytes commit)
{
    const struct sim *s = laptop->sim;
    struct commit_view v;
    struct group_item g;
    bool is = false;
    if (commit_parse(commit, &v) != ERR_OK) {
        return false;
    }
    struct body_cursor cursor = commit_groups(&v);
    while (!is && commit_next_group(&cursor, &g) == ERR_OK) {
        const struct sim_record *r = g.is_withheld ? NULL : customer_of(s, core_group_dossier(&v, &g));
        is = r != NULL && check_was_set_back(laptop, r);
    }
    return is;
}

static bool carries_commits(const struct sim_node *to, const struct wire_message *m)
{
    bool any = false;
    for (size_t i = 0; m->kind == WIRE_COMMITS && i < m->count; i++) {
        bool is_known = to->is.kind == NODE_LAPTOP && is_of_set_back(to, m->items[i].commit);
        bool is_commit = m->items[i].commit.len > 0 && !is_known;
        any = any || is_commit || m->items[i].letter.len > 0;
    }
    return any;
}

static void tell_message(
    struct sim *s, const struct sim_node *from, const struct sim_node *to, const struct wire_message *m)
{
    sim_log(s, "  %u -> %u: kind %u, %zu", from->slot + 1, to->slot + 1, (unsigned)m->kind, m->count);
    for (size_t i = 0; m->kind == WIRE_COMMITS && i < m->count; i++) {
        struct commit_view v;
        if (m->items[i].letter.len > 0) {
            sim_log(s, "    letter");
        } else if (m->items[i].commit.len == 0) {
            sim_log(s, "    withheld %u.%u up to %llu", m->items[i].node, m->items[i].epoch,
                (unsigned long long)m->items[i].upto);
        } else if (commit_parse(m->items[i].commit, &v) == ERR_OK) {
            sim_log(s, "    commit %u.%u.%llu", v.header.dot.node, v.header.dot.epoch,
                (unsigned long long)v.header.dot.seq);
        }
    }
}

void check_message(struct sim *s, const struct sim_node *from, const struct sim_node *to, struct bytes message)
{
    if (memmem(message.ptr, message.len, CANARY, sizeof(CANARY) - 1) != NULL) {
        sim_fail(s, SIM_WRONG, "I16", "a readable value in a message of node %u to node %u", from->number, to->number);
    }
    if (to->is.kind != NODE_RELAY && !node_ever_held(to, sim_hidden_station(s))) {
        s->shape = chance_mix(
            s->shape ^ (s->now_ms << 20U) ^ ((uint64_t)from->slot << 36U) ^ ((uint64_t)to->slot << 32U) ^ message.len);
    }
    if (node_takes_all(to) && s->phase != PHASE_QUIET && !s->is_verbose) {
        return;
    }
    struct wire_message m;
    struct mem mem = app_mem(1 << 26);
    struct arena a;
    arena_init(&a, &mem, 1 << 25);
    if (wire_take(message, &a, &m) == ERR_OK) {
        tell_message(s, from, to, &m);
        if (s->phase == PHASE_QUIET && carries_commits(to, &m)) {
            sim_fail(s, SIM_LIVENESS, "I9", "node %u sends commits to node %u when all should be quiet", from->number,
                to->number);
        }
        if (m.kind == WIRE_COMMITS && to->is.kind == NODE_RELAY) {
            check_relayed(s, to, &m);
        } else if (m.kind == WIRE_COMMITS && !node_takes_all(to)) {
            check_items(s, to, &m);
        }
    }
    arena_release(&a);
}

/* Of two connections with one node one goes. Looked at only where somebody dialled twice. */
void check_one_session_each(struct sim_node *n)
{
    const struct sim *s = n->sim;
    bool may_be_two = s->fired[DO_TWICE] || s->fired[DO_BOTH_DIAL] || s->fired[DO_LATE_SESSION];
    size_t count = may_be_two ? sync_session_count(n->sync) : 0;
    uint64_t seen[2] = { 0, 0 };
    for (size_t i = 0; i < count; i++) {
        struct session_info info = sync_session_at(n->sync, i);
        uint64_t *word = &seen[info.node / 64 % 2];
        uint64_t bit = (uint64_t)1 << (info.node % 64);
        if (info.state != SESSION_LIVE) {
            continue;
        }
        if ((*word & bit) != 0) {
            sim_fail(n->sim, SIM_WRONG, "I28", "node %u keeps two sessions with node %u", n->number, info.node);
        }
        *word |= bit;
    }
}

/* --- after a restart ---------------------------------------------------------------------------------------------- */

/* A flipped byte of the log may look like a write that never finished, of the last transaction; any other is told. */
static void check_flipped_log(struct sim_node *n)
{
    uint64_t had = known_upto(&n->durable, n->number, n->epoch);
    const struct head *h = core_head(&n->app->core, n->number, n->epoch);
    uint64_t has = h == NULL ? 0 : h->upto;
    if (n->has_flipped_log && had > has + 1) {
        sim_fail(n->sim, SIM_WRONG, "I4", "node %u lost %llu commits to one byte of its log and does not say so",
            n->number, (unsigned long long)(had - has));
    }
    n->has_flipped_log = false;
}

void check_reopened(struct sim_node *n)
{
    struct sim *s = n->sim;
    for (size_t i = 0; i < n->durable.count && !n->is_rolled_back; i++) {
        const struct known_head *k = &n->durable.at[i];
        const struct head *h = core_head(&n->app->core, k->node, k->epoch);
        if (h == NULL || h->upto < k->upto) {
            sim_fail(s, SIM_WRONG, "I1", "node %u had %u.%u up to %llu and has %llu after its restart", n->number,
                k->node, k->epoch, (unsigned long long)k->upto, (unsigned long long)(h == NULL ? 0 : h->upto));
        }
    }
    check_flipped_log(n);
    bool was_rolled_back = n->is_rolled_back;
    n->is_rolled_back = false;
    node_note_durable(n);
    if (was_rolled_back) {
        oracle_after_rollback(s);
    }
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static bool is_correct(const struct sim_node *n)
{
    return n->exists && !n->is_retired;
}

static void check_sessions(struct sim *s, struct sim_node *n)
{
    for (size_t i = 0; i < sync_session_count(n->sync); i++) {
        struct session_info info = sync_session_at(n->sync, i);
        if (info.state == SESSION_LIVE && !info.is_caught_up) {
            sim_fail(s, SIM_LIVENESS, "I29", "node %u has something left for node %u", n->number, info.node);
        }
    }
    if (n->slot != 0 && !net_is_live(s, n->slot, 0)) {
        sim_fail(s, SIM_LIVENESS, "I29", "node %u does not keep a line to the first node: %s", n->number,
            err_name(n->refusal));
    }
}

static void check_equal(struct sim *s, const struct node_digest *of_first, struct sim_node *n)
{
    struct node_digest mine;
    check_digest(n, &mine);
    static const char *const names[DIGESTS] = { "state hashes", "conflict logs", "change logs", "contested fields" };
    for (size_t i = 0; i < DIGESTS; i++) {
        if (memcmp(of_first->of[i], mine.of[i], sizeof(mine.of[i])) != 0) {
            sim_fail(s, SIM_WRONG, "I6", "%s of nodes %u and %u differ", names[i], s->nodes[0].number, n->number);
        }
    }
    s->totals->checked_pairs++;
}

/* What a node had written when it was struck off counts, as far as it was here, and nothing after that. */
static void check_cuts(struct sim *s, struct sim_node *first)
{
    for (size_t i = 0; i < s->node_count; i++) {
        const struct known_head *cut = &s->nodes[i].cut;
        const struct dot after = { cut->node, cut->epoch, cut->upto + 1 };
        const struct dot last = { cut->node, cut->epoch, cut->upto };
        if (!s->nodes[i].has_cut) {
            continue;
        }
        if (core_counts(&first->app->core, after) != ERR_REVOKED) {
            sim_fail(s, SIM_WRONG, "I19", "%u.%u.%llu would count, which a revoked node may write any time", after.node,
                after.epoch, (unsigned long long)after.seq);
        }
        if (last.seq > 0 && !members_accepts_dot(first->app->members, last)) {
            sim_fail(s, SIM_WRONG, "I19", "%u.%u.%llu was here before its node was revoked and does not count",
                last.node, last.epoch, (unsigned long long)last.seq);
        }
    }
}

void check_end(struct sim *s)
{
    struct sim_node *first = &s->nodes[0];
    struct node_digest of_first;
    check_digest(first, &of_first); /* once: nothing below writes before all are compared */
    check_cuts(s, first);
    for (size_t i = 0; i < s->node_count; i++) {
        if (is_correct(&s->nodes[i])) {
            check_sessions(s, &s->nodes[i]);
        }
    }
    for (size_t i = 1; i < s->node_count; i++) {
        struct sim_node *n = &s->nodes[i];
        if (is_correct(n) && node_takes_all(n)) {
            check_equal(s, &of_first, n);
        } else if (is_correct(n) && n->is.kind == NODE_RELAY) {
            check_relay(n, first);
        } else if (is_correct(n)) {
            check_partial(n, first);
        }
    }
    for (size_t i = 0; i < s->node_count; i++) {
        struct sim_node *n = &s->nodes[i];
        if (n->place.disk != NULL && disk_sim_contains(n->place.disk, BYTES_LIT(CANARY))) {
            sim_fail(s, SIM_WRONG, "I16", "a readable value on the disk of node %u", n->number);
        }
        if (is_correct(n) && (node_takes_all(n) || s->plan->deep != 0)) {
            check_log(n, first);
        }
    }
    for (size_t i = 0; i < s->node_count; i++) {
        if (is_correct(&s->nodes[i])) {
            check_forks(&s->nodes[i], first);
        }
    }
    check_promises(first);
    check_model(first);
    for (size_t i = 0; i < s->node_count && s->plan->deep != 0; i++) {
        if (is_correct(&s->nodes[i])) {
            check_deep(&s->nodes[i]);
        }
    }
}
