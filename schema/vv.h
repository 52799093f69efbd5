#ifndef JIPAN_VV_H
#define JIPAN_VV_H

#include "schema/base/buf.h"
#include "schema/base/reader.h"
#include "schema/id.h"

/*
 * Version vector: per (node, epoch) the highest seq seen, as a sorted array of dots. It covers a dot when it holds an
 * equal or higher seq of the same (node, epoch). Used as the causal context of a part and as what a dossier has seen.
 */
enum { VV_MAX = 4096 };

struct vv {
    struct dot *at; /* sorted by dot_compare, one per (node, epoch); arena memory */
    size_t count;
    size_t capacity;
};

bool vv_covers(const struct vv *v, struct dot d);
MUST_USE enum err vv_raise(struct vv *v, struct arena *a, struct dot d); /* ERR_LIMIT over VV_MAX, ERR_NOMEM */

/* count, then node, epoch, seq as varints, in order. vv_take refuses unsorted or duplicate entries (ERR_FORMAT). */
void vv_put(struct buf *b, const struct vv *v);
MUST_USE enum err vv_take(struct reader *r, struct arena *a, struct vv *out);

#endif
