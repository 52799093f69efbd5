/*
 * Owns: the packed per-row version blob. Invariant: dots ascend and each field appears under at most one of them.
 */
#include "sync/versions.h"

/* The dots of a row, ascending, each with the fields that came from it. Nearly always one or two. */
struct packed {
    struct dot dots[VERSIONS_FIELD_MAX + 1];
    uint64_t masks[VERSIONS_FIELD_MAX + 1];
    size_t count;
    size_t last; /* where the field before was noted */
};

static void pack(struct packed *p, struct dot d, size_t field)
{
    size_t at = 0;
    if (p->count > 0 && dot_equal(p->dots[p->last], d)) {
        p->masks[p->last] |= 1ULL << field;
        return;
    }
    while (at < p->count && dot_compare(p->dots[at], d) < 0) {
        at++;
    }
    if (at == p->count || !dot_equal(p->dots[at], d)) {
        memmove(&p->dots[at + 1], &p->dots[at], (p->count - at) * sizeof(p->dots[0]));
        memmove(&p->masks[at + 1], &p->masks[at], (p->count - at) * sizeof(p->masks[0]));
        p->dots[at] = d;
        p->masks[at] = 0;
        p->count++;
    }
    p->masks[at] |= 1ULL << field;
    p->last = at;
}

void versions_put(struct buf *b, const struct versions *v)
{
    UNFILLED struct packed p;
    p.count = 0;
    p.last = 0;
    for (size_t i = 0; i <= VERSIONS_FIELD_MAX; i++) {
        if (v->at[i].node != 0) {
            pack(&p, v->at[i], i);
        }
    }
    buf_put_varint(b, p.count);
    for (size_t i = 0; i < p.count; i++) {
        buf_put_varint(b, p.dots[i].node);
        buf_put_varint(b, p.dots[i].epoch);
        buf_put_varint(b, p.dots[i].seq);
        buf_put_varint(b, p.masks[i]);
    }
    buf_put_varint(b, v->contested);
}

static enum err take_entry(struct reader *r, struct versions *v)
{
    uint64_t node = 0;
    uint64_t epoch = 0;
    uint64_t seq = 0;
    uint64_t mask = 0;
    if (reader_varint_max(r, UINT32_MAX, &node) != ERR_OK || reader_varint_max(r, UINT32_MAX, &epoch) != ERR_OK ||
        reader_varint(r, &seq) != ERR_OK || reader_varint(r, &mask) != ERR_OK || node == 0) {
        return ERR_DAMAGED;
    }
    for (size_t i = 0; i <= VERSIONS_FIELD_MAX; i++) {
        if ((mask >> i & 1) != 0) {
            v->at[i] = (struct dot){ .node = (uint32_t)node, .epoch = (uint32_t)epoch, .seq = seq };
        }
    }
    return ERR_OK;
}

enum err versions_take(struct bytes blob, struct versions *out)
{
    struct reader r = reader_of(blob);
    uint64_t count = 0;
    *out = (struct versions){ .contested = 0 };
    if (blob.len == 0) {
        return ERR_OK;
    }
    if (reader_varint_max(&r, VERSIONS_FIELD_MAX + 1, &count) != ERR_OK) {
        return ERR_DAMAGED;
    }
    for (uint64_t i = 0; i < count; i++) {
        enum err e = take_entry(&r, out);
        if (e != ERR_OK) {
            return e;
        }
    }
    return reader_varint(&r, &out->contested) == ERR_OK && r.left == 0 ? ERR_OK : ERR_DAMAGED;
}
