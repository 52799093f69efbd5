/*
 * Owns: what the group was promised: every acknowledged commit with its fields and with what its author had seen, and
 * which of them may rightly be gone, because the only disk that held them was lost or set back. Kept apart from the
 * nodes, and never by asking them what they think they hold.
 */
#include "schema/base/check.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

struct sim_ack *oracle_ack(struct sim *s, struct sim_node *n, struct dot dot, size_t record, uint32_t user)
{
    if (s->ack_count == SIM_ACKS_MAX) {
        return NULL;
    }
    struct sim_ack *ack = &s->acks[s->ack_count++];
    *ack = (struct sim_ack){ .dot = dot, .record = record, .user = user, .first_note = s->note_count };
    ack->saw = malloc(sizeof(*ack->saw) * (n->durable.count + 1));
    check(ack->saw != NULL);
    memcpy(ack->saw, n->durable.at, sizeof(*ack->saw) * n->durable.count);
    ack->saw_count = n->durable.count;
    s->totals->commits++;
    if (dot.node != n->number || dot.epoch != n->epoch) {
        sim_fail(s, SIM_WRONG, "I11", "node %u wrote as %u.%u", n->number, dot.node, dot.epoch);
    }
    for (size_t i = 0; i + 1 < s->ack_count; i++) {
        if (dot_equal(s->acks[i].dot, dot) && !s->acks[i].is_at_risk && !oracle_in_doubt(s, dot)) {
            sim_fail(s, SIM_WRONG, "I11", "dot %u.%u.%llu was acknowledged twice", dot.node, dot.epoch,
                (unsigned long long)dot.seq);
        }
    }
    return ack;
}

void oracle_note(
    struct sim *s, struct sim_ack *ack, size_t record, const struct field *f, const char *text, bool is_decision)
{
    if (s->note_count == SIM_NOTES_MAX) {
        return;
    }
    struct sim_note *note = &s->notes[s->note_count++];
    *note = (struct sim_note){ .record = record, .field = f, .is_decision = is_decision };
    (void)snprintf(note->text, sizeof(note->text), "%s", text);
    ack->note_count++;
}

void oracle_may_fork(struct sim *s, const struct known_head *last)
{
    check(s->fork_count < SIM_FORKS_MAX);
    s->forks[s->fork_count++] = (struct sim_fork){ .node = last->node, .epoch = last->epoch, .from = last->upto + 1 };
    sim_log(s, "may fork: %u.%u after %llu", last->node, last->epoch, (unsigned long long)last->upto);
}

bool oracle_in_doubt(const struct sim *s, struct dot dot)
{
    for (size_t i = 0; i < s->fork_count; i++) {
        const struct sim_fork *f = &s->forks[i];
        if (f->node == dot.node && f->epoch == dot.epoch && f->from <= dot.seq) {
            return true;
        }
    }
    return false;
}

bool oracle_is_lost(const struct sim *s, const struct sim_ack *ack)
{
    return ack->is_at_risk || oracle_in_doubt(s, ack->dot);
}

/* A node that keeps every commit it takes, or wrote it itself: what it forgets of that it keeps sealed for others. */
static bool holds(const struct sim_node *n, struct dot dot)
{
    bool keeps = (node_takes_all(n) && !n->has_grown) || n->is.kind == NODE_RELAY || n->number == dot.node;
    return n->exists && !n->is_retired && !n->is_rolled_back && keeps &&
           known_upto(&n->durable, dot.node, dot.epoch) >= dot.seq;
}

void oracle_after_rollback(struct sim *s)
{
    for (size_t i = 0; i < s->ack_count; i++) {
        bool held = false;
        for (size_t k = 0; k < s->node_count && !held; k++) {
            held = holds(&s->nodes[k], s->acks[i].dot);
        }
        if (!held && !s->acks[i].is_at_risk) {
            s->acks[i].is_at_risk = true;
            sim_log(s, "at risk: %u.%u.%llu", s->acks[i].dot.node, s->acks[i].dot.epoch,
                (unsigned long long)s->acks[i].dot.seq);
        }
    }
}
