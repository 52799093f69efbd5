/*
 * Owns: the causal order among the writes of one field, from their contexts alone.
 *
 * For each position of a chain we keep the union of the contexts up to there, closed over what those writes had seen in
 * turn (reach). What is superseded inside a row is then the union of the reach of its chain tops, and its heads are
 * what is left of each chain: writes x origins squared steps instead of comparing all pairs. Closing changes no head;
 * it keeps a context with a gap (a part that could not be read then) from making an ancestor look like a sibling, and
 * is why a register with one head needs no other write to judge the next one.
 *
 * Knows no rule, no value and no clock.
 */
#include "sync/causal.h"

static void sift_down(size_t *v, size_t root, size_t count, causal_order_fn order, const void *ctx)
{
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && order(ctx, v[child], v[child + 1]) < 0) {
            child++;
        }
        if (order(ctx, v[root], v[child]) >= 0) {
            return;
        }
        size_t keep = v[root];
        v[root] = v[child];
        v[child] = keep;
        root = child;
    }
}

/* Heap sort: the library's sort may allocate. */
void causal_sort(size_t *v, size_t count, causal_order_fn order, const void *ctx)
{
    for (size_t i = count / 2; i > 0; i--) {
        sift_down(v, i - 1, count, order, ctx);
    }
    for (size_t end = count; end > 1; end--) {
        size_t keep = v[0];
        v[0] = v[end - 1];
        v[end - 1] = keep;
        sift_down(v, 0, end - 1, order, ctx);
    }
}

static bool same_origin(struct dot x, struct dot y)
{
    return x.node == y.node && x.epoch == y.epoch;
}

static int origin_compare(struct dot x, struct dot y)
{
    if (x.node != y.node) {
        return x.node < y.node ? -1 : 1;
    }
    return (x.epoch > y.epoch) - (x.epoch < y.epoch);
}

/* How many of the writes [from, upto), all of one origin, stand at or below seq. */
static size_t count_upto(const struct causal *c, size_t from, size_t upto, uint64_t seq)
{
    size_t lo = from;
    size_t hi = upto;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->writes[c->at[mid]].dot.seq <= seq) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo - from;
}

/* Chains and the entries of a context stand in the same order, so one walk finds them all. A context never covers its
 * own commit or later ones of its origin, whatever it says. */
void causal_seen(const struct causal *c, const struct field_write *x, uint32_t *row)
{
    const struct vv *context = &x->context;
    size_t i = 0;
    for (size_t k = 0; k < c->chain_count; k++) {
        struct dot first = c->writes[c->at[c->chain[k]]].dot;
        while (i < context->count && origin_compare(context->at[i], first) < 0) {
            i++;
        }
        uint64_t seq = i < context->count && same_origin(context->at[i], first) ? context->at[i].seq : 0;
        if (same_origin(x->dot, first) && seq >= x->dot.seq) {
            seq = x->dot.seq - 1;
        }
        row[k] = seq == 0 ? 0 : (uint32_t)count_upto(c, c->chain[k], c->chain[k + 1], seq);
    }
}

static void row_raise(uint32_t *row, const uint32_t *by, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        row[k] = row[k] < by[k] ? by[k] : row[k];
    }
}

/* Adds to a row all that its own chain tops had seen. True when that was news. */
static bool row_close(const struct causal *c, uint32_t *row)
{
    bool is_news = false;
    for (size_t k = 0; k < c->chain_count; k++) {
        if (row[k] == 0) {
            continue;
        }
        const uint32_t *by = c->reach + (c->chain[k] + row[k] - 1) * c->chain_count;
        for (size_t j = 0; j < c->chain_count; j++) {
            if (row[j] < by[j]) {
                row[j] = by[j];
                is_news = true;
            }
        }
    }
    return is_news;
}

enum err causal_build(
    struct causal *c, struct arena *a, const struct field_write *writes, const size_t *at, size_t count)
{
    *c = (struct causal){ .writes = writes, .at = at, .count = count };
    c->chain = arena_array(a, count + 1, sizeof(*c->chain));
    if (c->chain == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !same_origin(writes[at[i - 1]].dot, writes[at[i]].dot)) {
            c->chain[c->chain_count++] = i;
        }
    }
    c->chain[c->chain_count] = count;
    size_t row_bytes = c->chain_count * sizeof(*c->row);
    c->row = arena_array(a, 1, row_bytes);
    c->cover = arena_array(a, 1, row_bytes);
    c->reach = arena_array(a, count, row_bytes);
    if (c->row == NULL || c->cover == NULL || c->reach == NULL) {
        return ERR_NOMEM;
    }
    for (size_t k = 0; k < c->chain_count; k++) {
        for (size_t i = c->chain[k]; i < c->chain[k + 1]; i++) {
            uint32_t *reach = c->reach + i * c->chain_count;
            causal_seen(c, &writes[at[i]], reach);
            if (i > c->chain[k]) {
                row_raise(reach, reach - c->chain_count, c->chain_count);
            }
        }
    }
    /* One pass when contexts have no gaps; rows only grow, so it ends. */
    for (bool is_news = true; is_news;) {
        is_news = false;
        for (size_t i = 0; i < count; i++) {
            is_news = row_close(c, c->reach + i * c->chain_count) || is_news;
        }
    }
    return ERR_OK;
}

void causal_under(const struct causal *c, const struct field_write *x, uint32_t *row)
{
    causal_seen(c, x, row);
    (void)row_close(c, row); /* reach is closed: one step is all */
}

void causal_all(const struct causal *c, uint32_t *row)
{
    for (size_t k = 0; k < c->chain_count; k++) {
        row[k] = (uint32_t)(c->chain[k + 1] - c->chain[k]);
    }
}

bool causal_row_is_empty(const struct causal *c, const uint32_t *row)
{
    for (size_t k = 0; k < c->chain_count; k++) {
        if (row[k] != 0) {
            return false;
        }
    }
    return true;
}

size_t causal_heads(const struct causal *c, const uint32_t *row, size_t *out)
{
    memset(c->cover, 0, c->chain_count * sizeof(*c->cover));
    for (size_t k = 0; k < c->chain_count; k++) {
        if (row[k] > 0) {
            row_raise(c->cover, c->reach + (c->chain[k] + row[k] - 1) * c->chain_count, c->chain_count);
        }
    }
    size_t count = 0;
    for (size_t k = 0; k < c->chain_count; k++) {
        for (uint32_t i = c->cover[k]; i < row[k]; i++) {
            out[count++] = c->at[c->chain[k] + i];
        }
    }
    return count;
}
