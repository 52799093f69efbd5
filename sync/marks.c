/*
 * Owns: marks of dossiers, the list of them for one reconciliation, totals per kind, station and holder. Invariants: a
 * total is the sum over exactly the dossiers that count at the last marks_change; entries of nothing are removed, so
 * that equal stores have equal lists. Does not know who may hold what: callers ask for the keys they mean.
 */
#include "sync/marks.h"

#include "schema/base/check.h"
#include "sync/seal.h"

void marks_of(const struct dossier *d, uint8_t out[MARK_BYTES])
{
    const struct bytes pieces[3] = { BYTES_OF(d->id.b), d->seen, BYTES_LIT("gap") };
    check(d->seen.len > 0);
    seal_hash(out, MARK_BYTES, "jipan/mark/v1", NULL, pieces, (d->flags & DOSSIER_HAS_GAP) != 0 ? 3 : 2);
}

uint32_t marks_holder(const struct dossier *d)
{
    return d->owner != 0 ? d->owner : d->creator;
}

/* --- items ------------------------------------------------------------------------------------------------------- */

struct collecting {
    struct marks_items *items;
    size_t max_bytes;
    marks_keep_fn keep;
    void *ctx;
};

static enum err items_grow(struct collecting *co)
{
    struct marks_items *items = co->items;
    size_t max = co->max_bytes / sizeof(*items->at);
    size_t capacity = items->capacity == 0 ? 64 : items->capacity * 2;
    capacity = capacity > max ? max : capacity;
    if (capacity <= items->capacity) {
        return ERR_NOMEM;
    }
    struct reconcile_item *grown =
        mem_resize(items->mem, items->at, items->capacity * sizeof(*grown), capacity * sizeof(*grown));
    if (grown == NULL) {
        return ERR_NOMEM;
    }
    items->at = grown;
    items->capacity = capacity;
    return ERR_OK;
}

static enum err collect(void *ctx, const struct dossier *d)
{
    struct collecting *co = ctx;
    struct marks_items *items = co->items;
    if (d->seen.len == 0 || (co->keep != NULL && !co->keep(co->ctx, d))) {
        return ERR_OK;
    }
    enum err e = items->count < items->capacity ? ERR_OK : items_grow(co);
    if (e == ERR_OK) {
        struct reconcile_item *item = &items->at[items->count++];
        item->id = d->id;
        marks_of(d, item->mark);
    }
    return e;
}

/* Sifts the item at `root` down to its place in the heap of the first `count`. */
static void sift(struct reconcile_item *at, size_t root, size_t count)
{
    const struct reconcile_item moved = at[root];
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && dossier_id_compare(at[child].id, at[child + 1].id) < 0) {
            child++;
        }
        if (dossier_id_compare(at[child].id, moved.id) <= 0) {
            break;
        }
        at[root] = at[child];
        root = child;
    }
    at[root] = moved;
}

/* In id order, in place: they come as they lie in the store. */
static void items_sort(struct marks_items *items)
{
    for (size_t i = items->count / 2; i > 0; i--) {
        sift(items->at, i - 1, items->count);
    }
    for (size_t left = items->count; left > 1; left--) {
        const struct reconcile_item highest = items->at[0];
        items->at[0] = items->at[left - 1];
        items->at[left - 1] = highest;
        sift(items->at, 0, left - 1);
    }
}

enum err marks_collect(
    struct store *s, struct mem *mem, size_t max_bytes, marks_keep_fn keep, void *ctx, struct marks_items *out)
{
    *out = (struct marks_items){ .mem = mem };
    struct collecting co = { .items = out, .max_bytes = max_bytes, .keep = keep, .ctx = ctx };
    enum err e = s->ops->dossier_each(s, collect, &co);
    if (e != ERR_OK) {
        marks_items_release(out);
        return e;
    }
    items_sort(out);
    for (size_t i = 1; i < out->count; i++) {
        if (dossier_id_compare(out->at[i - 1].id, out->at[i].id) == 0) {
            marks_items_release(out);
            return ERR_DAMAGED; /* the same dossier twice: pages of two states, see docs/STORAGE.md 4 */
        }
    }
    return ERR_OK;
}

void marks_items_release(struct marks_items *items)
{
    mem_free(items->mem, items->at, items->capacity * sizeof(*items->at));
    *items = (struct marks_items){ .mem = items->mem };
}

/* --- totals ------------------------------------------------------------------------------------------------------ */

void marks_init(struct marks *m, struct mem *mem)
{
    *m = (struct marks){ .mem = mem };
}

void marks_forget(struct marks *m)
{
    mem_free(m->mem, m->at, m->capacity * sizeof(*m->at));
    *m = (struct marks){ .mem = m->mem };
}

static int key_order(const struct marks_key *a, const struct marks_key *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->station != b->station) {
        return a->station < b->station ? -1 : 1;
    }
    return (a->holder > b->holder) - (a->holder < b->holder);
}

static size_t lower(const struct marks *m, const struct marks_key *key)
{
    size_t lo = 0;
    size_t hi = m->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (key_order(&m->at[mid].key, key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static enum err entries_insert(struct marks *m, size_t at, const struct marks_key *key)
{
    if (!mem_room(m->mem, &m->at, &m->capacity, m->count, sizeof(*m->at))) {
        return ERR_NOMEM;
    }
    memmove(m->at + at + 1, m->at + at, (m->count - at) * sizeof(*m->at));
    m->at[at] = (struct marks_entry){ .key = *key };
    m->count++;
    return ERR_OK;
}

static uint64_t u64le(const uint8_t *p)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static void total_add(struct marks_total *t, const uint8_t mark[MARK_BYTES])
{
    uint64_t low = t->low + u64le(mark);
    t->high += u64le(mark + 8) + (low < t->low ? 1 : 0);
    t->low = low;
    t->count++;
}

static void total_remove(struct marks_total *t, const uint8_t mark[MARK_BYTES])
{
    uint64_t low = t->low - u64le(mark);
    t->high -= u64le(mark + 8) + (low > t->low ? 1 : 0);
    t->low = low;
    t->count--;
}

static enum err change_one(struct marks *m, const struct dossier *d, bool is_added)
{
    uint8_t mark[MARK_BYTES];
    if (d == NULL || d->seen.len == 0) {
        return ERR_OK;
    }
    const struct marks_key key = { .kind = d->kind, .station = d->station, .holder = marks_holder(d) };
    size_t i = lower(m, &key);
    bool is_here = i < m->count && key_order(&m->at[i].key, &key) == 0;
    marks_of(d, mark);
    if (!is_added) {
        check(is_here && m->at[i].total.count > 0);
        total_remove(&m->at[i].total, mark);
        if (m->at[i].total.count == 0) {
            memmove(m->at + i, m->at + i + 1, (m->count - i - 1) * sizeof(*m->at));
            m->count--;
        }
        return ERR_OK;
    }
    enum err e = is_here ? ERR_OK : entries_insert(m, i, &key);
    if (e == ERR_OK) {
        total_add(&m->at[i].total, mark);
    }
    return e;
}

void marks_change(struct marks *m, const struct dossier *before, const struct dossier *after)
{
    if (!m->is_built) {
        return;
    }
    enum err e = change_one(m, before, false);
    if (e == ERR_OK) {
        e = change_one(m, after, true);
    }
    if (e != ERR_OK) {
        marks_forget(m);
    }
}

static enum err count_in(void *ctx, const struct dossier *d)
{
    return change_one(ctx, d, true);
}

enum err marks_total_of(struct marks *m, struct store *s, marks_want_fn want, void *ctx, struct marks_total *out)
{
    struct marks_total sum = { 0 };
    if (!m->is_built) {
        enum err e = s->ops->dossier_each(s, count_in, m);
        if (e != ERR_OK) {
            marks_forget(m);
            return e;
        }
        m->is_built = true;
    }
    for (size_t i = 0; i < m->count; i++) {
        const struct marks_total *t = &m->at[i].total;
        if (want == NULL || want(ctx, &m->at[i].key)) {
            uint64_t low = sum.low + t->low;
            sum.high += t->high + (low < sum.low ? 1 : 0);
            sum.low = low;
            sum.count += t->count;
        }
    }
    *out = sum;
    return ERR_OK;
}

bool marks_equal(const struct marks_total *a, const struct marks_total *b)
{
    return a->count == b->count && a->low == b->low && a->high == b->high;
}

void marks_total_put(struct buf *b, const struct marks_total *t)
{
    buf_put_varint(b, t->count);
    buf_put_u64be(b, t->high);
    buf_put_u64be(b, t->low);
}

enum err marks_total_take(struct reader *r, struct marks_total *out)
{
    struct marks_total t = { 0 };
    enum err e = reader_varint(r, &t.count);
    if (e == ERR_OK) {
        e = reader_u64be(r, &t.high);
    }
    if (e == ERR_OK) {
        e = reader_u64be(r, &t.low);
    }
    if (e == ERR_OK) {
        *out = t;
    }
    return e;
}
