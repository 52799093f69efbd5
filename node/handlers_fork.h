#ifndef JIPAN_HANDLERS_FORK_H
#define JIPAN_HANDLERS_FORK_H

#include "node/app.h"

#include <jansson.h>

/* The forks this node has proofs of: node, epoch, seq from which on nothing counts, when first seen, whether it is
 * ours, and what it means. For status and verify; NULL without memory. */
json_t *handlers_fork_list(const struct app *app);

#endif
