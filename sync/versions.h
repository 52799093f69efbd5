#ifndef JIPAN_VERSIONS_H
#define JIPAN_VERSIONS_H

#include "schema/catalogue.h"
#include "schema/vv.h"

/*
 * The version blob of a row: which commit each field's value came from, and which fields are contested (more than one
 * head at some time: their verdict is recomputed from the change log on every further write). Packed by dot, because a
 * row usually comes from one or two commits: count { node epoch seq mask } contested_mask, varints; bit n = field
 * number n, bit 0 = deletion mark.
 */
enum { VERSIONS_FIELD_MAX = 63 };

struct versions {
    struct dot at[VERSIONS_FIELD_MAX + 1]; /* node 0 = never written */
    uint64_t contested;
};

void versions_put(struct buf *b, const struct versions *v);
MUST_USE enum err versions_take(struct bytes blob, struct versions *out); /* ERR_DAMAGED */

#endif
