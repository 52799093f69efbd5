#ifndef JIPAN_MARKS_H
#define JIPAN_MARKS_H

#include "schema/base/reader.h"
#include "sync/reconcile.h"
#include "sync/store.h"

/*
 * What has been seen of each dossier, in 16 bytes a dossier, and sums of that. Two nodes that hold the same dossiers of
 * some kinds, stations and holders, and have seen the same of each, have equal totals; where totals differ,
 * sync/reconcile.h finds the dossiers.
 *
 * A dossier counts once a commit that counts has touched it (dossier.seen is not empty); one that is only stored, for
 * its secret, does not.
 */

/* Over id and seen, and whether there are gaps below that. Only for dossiers that count. */
void marks_of(const struct dossier *d, uint8_t out[MARK_BYTES]);

/* Who holds it: the owner, for want of one the creator, 0 for neither. */
uint32_t marks_holder(const struct dossier *d);

/* --- items of the store, for one run ------------------------------------------------------------------------------ */

struct marks_items {
    struct mem *mem;
    struct reconcile_item *at; /* ascending by id */
    size_t count;
    size_t capacity;
};

typedef bool (*marks_keep_fn)(void *ctx, const struct dossier *d);

/**
 * marks_collect: one scan of the dossiers; those that count and that keep wants (NULL: all). *out is filled in whole
 * or, after an error, empty. Errors: ERR_NOMEM more than max_bytes for the items, or no memory;
 * ERR_DAMAGED a dossier stands in the store twice; store errors.
 */
MUST_USE enum err marks_collect(
    struct store *s, struct mem *mem, size_t max_bytes, marks_keep_fn keep, void *ctx, struct marks_items *out);
void marks_items_release(struct marks_items *items);

/* --- totals, kept in memory --------------------------------------------------------------------------------------- */

struct marks_key {
    enum dossier_kind kind;
    uint32_t station;
    uint32_t holder;
};

/* Sum of the marks, read as little-endian numbers, modulo 2^128. */
struct marks_total {
    uint64_t count;
    uint64_t low, high;
};

struct marks_entry {
    struct marks_key key;
    struct marks_total total;
};

/*
 * Built by one scan when first asked, then kept up to date by marks_change. Whoever rolls a transaction back, or clears
 * derived tables, calls marks_forget.
 */
struct marks {
    struct mem *mem;
    struct marks_entry *at; /* ascending by key */
    size_t count;
    size_t capacity;
    bool is_built;
};

void marks_init(struct marks *m, struct mem *mem);
void marks_forget(struct marks *m); /* the next question scans again; also frees, so it ends the life of m */

/* A dossier was put: as it was (NULL: was not stored) and as it is (NULL: is gone). Costs nothing while nobody has
 * asked. Never fails: without memory it forgets. */
void marks_change(struct marks *m, const struct dossier *before, const struct dossier *after);

typedef bool (*marks_want_fn)(void *ctx, const struct marks_key *key);

/* Sum over the keys wanted (NULL: all). Errors: ERR_NOMEM; store errors of the scan. */
MUST_USE enum err marks_total_of(
    struct marks *m, struct store *s, marks_want_fn want, void *ctx, struct marks_total *out);

bool marks_equal(const struct marks_total *a, const struct marks_total *b);

/* count as varint, then the sum, 16 bytes big-endian. */
void marks_total_put(struct buf *b, const struct marks_total *t);
MUST_USE enum err marks_total_take(struct reader *r, struct marks_total *out);

#endif
