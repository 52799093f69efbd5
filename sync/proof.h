#ifndef JIPAN_PROOF_H
#define JIPAN_PROOF_H

#include "sync/gather.h"

/* What proves to a laptop that a customer belongs to somebody else now: the parts with assignment rows. With them it
 * works the owner out by itself and forgets the customer (sync/leaving.h); nobody's order would make it do so. */
struct proof_list {
    struct arena *a;
    struct gather_part *at;
    size_t count;
    size_t capacity;
};

/**
 * proof_collect: appends the parts that prove it, for a laptop whose owner once had the customer; for any other
 * nothing, so that nobody learns anything by claiming to hold what it never had. work is reset by us.
 */
MUST_USE enum err proof_collect(
    struct core *c, struct arena *work, const struct member_node *laptop, struct dossier_id id, struct proof_list *out);

#endif
