/*
 * Owns: version vectors. Invariant: sorted, one entry per (node, epoch), seq at least 1.
 */
#include "schema/vv.h"

static bool same_origin(struct dot a, struct dot b)
{
    return a.node == b.node && a.epoch == b.epoch;
}

/* Index of the first entry whose origin is not before d's. */
static size_t lower(const struct vv *v, struct dot d)
{
    size_t lo = 0;
    size_t hi = v->count;
    d.seq = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (dot_compare(v->at[mid], d) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

bool vv_covers(const struct vv *v, struct dot d)
{
    size_t i = lower(v, d);
    return i < v->count && same_origin(v->at[i], d) && v->at[i].seq >= d.seq;
}

static enum err vv_grow(struct vv *v, struct arena *a)
{
    if (v->count < v->capacity) {
        return ERR_OK;
    }
    if (v->count >= VV_MAX) {
        return ERR_LIMIT;
    }
    size_t capacity = v->capacity == 0 ? 4 : v->capacity * 2;
    struct dot *grown = arena_array(a, capacity, sizeof(*grown));
    if (grown == NULL) {
        return ERR_NOMEM;
    }
    if (v->count > 0) {
        memcpy(grown, v->at, v->count * sizeof(*grown));
    }
    v->at = grown;
    v->capacity = capacity;
    return ERR_OK;
}

enum err vv_raise(struct vv *v, struct arena *a, struct dot d)
{
    size_t i = lower(v, d);
    if (i < v->count && same_origin(v->at[i], d)) {
        if (v->at[i].seq < d.seq) {
            v->at[i].seq = d.seq;
        }
        return ERR_OK;
    }
    enum err e = vv_grow(v, a);
    if (e != ERR_OK) {
        return e;
    }
    if (i < v->count) {
        memmove(v->at + i + 1, v->at + i, (v->count - i) * sizeof(*v->at));
    }
    v->at[i] = d;
    v->count++;
    return ERR_OK;
}

void vv_put(struct buf *b, const struct vv *v)
{
    buf_put_varint(b, v->count);
    for (size_t i = 0; i < v->count; i++) {
        buf_put_varint(b, v->at[i].node);
        buf_put_varint(b, v->at[i].epoch);
        buf_put_varint(b, v->at[i].seq);
    }
}

static enum err take_dot(struct reader *r, struct dot *out)
{
    uint64_t node = 0;
    uint64_t epoch = 0;
    uint64_t seq = 0;
    enum err e = reader_varint_max(r, UINT32_MAX, &node);
    if (e == ERR_OK) {
        e = reader_varint_max(r, UINT32_MAX, &epoch);
    }
    if (e == ERR_OK) {
        e = reader_varint(r, &seq);
    }
    if (e == ERR_OK && seq == 0) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        *out = (struct dot){ .node = (uint32_t)node, .epoch = (uint32_t)epoch, .seq = seq };
    }
    return e;
}

enum err vv_take(struct reader *r, struct arena *a, struct vv *out)
{
    struct reader probe = *r;
    uint64_t count = 0;
    enum err e = reader_varint_max(&probe, VV_MAX, &count);
    if (e != ERR_OK) {
        return e;
    }
    if (count > probe.left / 3) {
        return ERR_TRUNCATED;
    }
    struct vv v = { 0 };
    if (count > 0) {
        v.at = arena_array(a, (size_t)count, sizeof(*v.at));
        if (v.at == NULL) {
            return ERR_NOMEM;
        }
    }
    v.capacity = (size_t)count;
    for (size_t i = 0; i < count; i++) {
        e = take_dot(&probe, &v.at[i]);
        if (e != ERR_OK) {
            return e;
        }
        if (i > 0 && (dot_compare(v.at[i - 1], v.at[i]) >= 0 || same_origin(v.at[i - 1], v.at[i]))) {
            return ERR_FORMAT;
        }
        v.count++;
    }
    *r = probe;
    *out = v;
    return ERR_OK;
}
