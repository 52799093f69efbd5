#ifndef JIPAN_CAUSAL_H
#define JIPAN_CAUSAL_H

#include "sync/merge.h"

/*
 * Who had seen whom among the writes of one field. Inside sync/merge.c only.
 *
 * Writes stand in dot order; the writes of one origin (node, epoch) form a chain, and every context covers a prefix of
 * each chain, so "all that x had seen" is one row: a prefix length per chain.
 */
struct causal {
    const struct field_write *writes;
    const size_t *at; /* distinct writes in dot order */
    size_t count;
    size_t *chain; /* first position of each chain; one more entry holds count */
    size_t chain_count;
    uint32_t *reach; /* count rows: union of the contexts of a chain up to here, closed */
    uint32_t *row; /* scratch rows, chain_count each */
    uint32_t *cover;
};

/* at must outlive c; all else is arena memory. ERR_NOMEM. */
MUST_USE enum err causal_build(
    struct causal *c, struct arena *a, const struct field_write *writes, const size_t *at, size_t count);

/* Fills a row with what x had seen: itself (its context names it), or also through other writes. */
void causal_seen(const struct causal *c, const struct field_write *x, uint32_t *row);
void causal_under(const struct causal *c, const struct field_write *x, uint32_t *row);
void causal_all(const struct causal *c, uint32_t *row);
bool causal_row_is_empty(const struct causal *c, const uint32_t *row);

/* The writes inside a row that no other write inside it had seen, in dot order; returns how many. out holds count. */
size_t causal_heads(const struct causal *c, const uint32_t *row, size_t *out);

/* Sorts indexes in place without allocating; order must be total. */
typedef int (*causal_order_fn)(const void *ctx, size_t x, size_t y);
void causal_sort(size_t *v, size_t count, causal_order_fn order, const void *ctx);

#endif
