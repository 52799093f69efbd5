#ifndef JIPAN_TESTS_SIM_CHECK_H
#define JIPAN_TESTS_SIM_CHECK_H

#include "tests/sim/sim.h"

enum { DIGESTS = 4 };

/* State, conflict log, change log, contested fields. */
struct node_digest {
    uint8_t of[DIGESTS][32];
};

void check_digest(struct sim_node *n, struct node_digest *out);
/* A commit about this customer is lost for good (oracle.c), and the node, which holds a part of the group, had settled
 * it. It may still have its part of that commit and cannot give it back, because it lacks the rest, or the commits
 * before it; and what is written after it waits for it at the others: about this customer they may differ for good. */
bool check_was_set_back(const struct sim_node *n, const struct sim_record *r);
bool check_was_owner(const struct sim_record *r, uint32_t user);
/* What a node holds of part of the group is what the first node holds of it, no less and no more. */
void check_partial(struct sim_node *n, struct sim_node *first);
/* A relay holds every commit, sealed, and nothing else. */
void check_relay(struct sim_node *n, struct sim_node *first);
/* Clocks, one commit per name, in the log of this node. */
void check_log(struct sim_node *n, struct sim_node *first);
/* Two histories of one node: everybody has the same proofs, and none but what happened. */
void check_forks(struct sim_node *n, struct sim_node *first);
/* Every acknowledged commit, every value of it. */
void check_promises(struct sim_node *n);
/* What fields show and which conflicts are open, by the second opinion. */
void check_model(struct sim_node *n);
/* Every page, signature and audit entry; rebuilding changes nothing. */
void check_deep(struct sim_node *n);

#endif
