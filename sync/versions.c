/*
 * Owns: the packed per-row version blob. Invariant: dots ascend and each field appears under at most one of them.
 */
#include "sync/versions.h"

static size_t next_dot(const struct versions *v, const struct dot *after, struct dot *out, uint64_t *mask)
{
    bool found = false;
    for (size_t i = 0; i <= VERSIONS_FIELD_MAX; i++) {
        struct dot d = v->at[i];
        if (d.node == 0 || (after != NULL && dot_compare(d, *after) <= 0)) {
            continue;
        }
        if (!found || dot_compare(d, *out) < 0) {
            *out = d;
            *mask = 0;
            found = true;
        }
        if (dot_equal(d, *out)) {
            *mask |= 1ULL << i;
        }
    }
    return found ? 1 : 0;
}

void versions_put(struct buf *b, const struct versions *v)
{
    struct dot dots[VERSIONS_FIELD_MAX + 1];
    uint64_t masks[VERSIONS_FIELD_MAX + 1];
    size_t count = 0;
    while (next_dot(v, count == 0 ? NULL : &dots[count - 1], &dots[count], &masks[count]) > 0) {
        count++;
    }
    buf_put_varint(b, count);
    for (size_t i = 0; i < count; i++) {
        buf_put_varint(b, dots[i].node);
        buf_put_varint(b, dots[i].epoch);
        buf_put_varint(b, dots[i].seq);
        buf_put_varint(b, masks[i]);
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
