#ifndef JIPAN_SAID_H
#define JIPAN_SAID_H

#include "sync/core.h"

/*
 * What another node last said it has: in the hello or probe reply of a session, or in a bundle. A cache for deciding
 * what to put into the next bundle; the node's own newest word wins, also when it says less than before (its store was
 * lost). Kept in SPACE_PEER under 's' and the node.
 */
struct said {
    uint64_t members; /* its membership head */
    struct vv settled;
};

/* Inside the caller's transaction. settled is a version vector that has been parsed. */
MUST_USE enum err said_put(struct core *c, struct arena *a, uint32_t node, uint64_t members, struct bytes settled);
/* Nothing ever heard: all zero. Memory from a. */
MUST_USE enum err said_get(struct core *c, struct arena *a, uint32_t node, struct said *out);

#endif
