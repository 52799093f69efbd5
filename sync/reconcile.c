/*
 * Owns: one run of range-based set reconciliation over a sorted array that is not ours. Invariants: at any time each
 * part of the id space is closed, owed an answer by exactly one side, or listed in `open` or `told` here; what a
 * message does not hold stays there for the next one; nothing that comes in is believed beyond the difference it
 * claims. Does not know what the ids stand for, and keeps nothing when the run is over.
 *
 * A fingerprint is the count and the sum (mod 2^64) of keyed hashes of the items of a range; sums from the start of the
 * array make that of any range two lookups. The key is new for every run and not known while anybody makes items, so
 * two sets that differ have equal sums with probability 2^-64 each time, whoever made them.
 */
#include "sync/reconcile.h"

#include "schema/base/check.h"
#include "schema/base/reader.h"
#include "sync/seal.h"

enum {
    MESSAGE_VERSION = 1,
    FLAG_FIRST = 1 << 0, /* the salt follows */
    FLAG_MORE = 1 << 1, /* the sender keeps back what did not fit: it needs an answer to go on */
    FLAG_FINAL = 1 << 2, /* no answer is expected */
    FLAGS_ALL = 7,
    MODE_SKIP = 0,
    MODE_FINGERPRINT = 1,
    MODE_LIST = 2,
    BOUND_BYTES = DOSSIER_ID_BYTES + 1,
    BOUND_END = 0xFF,
    HASH_BYTES = 8,
    HEAD_MAX_BYTES = 64, /* flags, salt, three counts */
    RANGE_MAX_BYTES = 64, /* two bounds, two tags, a fingerprint or the head of a list */
    LISTED_BYTES = DOSSIER_ID_BYTES + HASH_BYTES,
    /* Chosen by measurement: docs/PERFORMANCE.md, Reconciliation. */
    FAN_OUT = 8,
    LEAF = 12,
    RUNS_FEW = 256,
    ROUNDS_FREE = 64,
    ITEM_COST_BYTES = 256, /* far more than an item ever costs on the wire */
    IDS_MAX = 1 << 24,
};

/* A place between ids: 0 and an id stands before that id, 1 and zeros after all of them. Compares as bytes. */
struct bound {
    uint8_t b[BOUND_BYTES];
};

/* A range that differs and that we have to answer. */
struct open_range {
    struct bound from, to;
    uint64_t theirs; /* how many items the other side has in it */
};

/* Indices of items that only we have; the other side does not know yet. */
struct run {
    size_t lo, hi;
};

/* Growing array of a fixed kind of element, up to RECONCILE_OPEN_MAX. */
struct list {
    void *at;
    size_t count;
    size_t capacity;
    size_t each;
};

struct reconcile {
    struct mem *mem;
    const struct reconcile_item *items;
    size_t count;
    uint64_t *sums; /* count + 1: sum of the hashes of the items before */
    uint8_t salt[RECONCILE_SALT_BYTES];
    bool has_salt;
    bool is_over;
    struct list open; /* of open_range, highest first, disjoint */
    struct list fresh; /* of open_range, lowest first: from the message being taken in */
    struct list lacking; /* of dossier_id: only theirs, to be told */
    struct list different; /* of dossier_id, to be told */
    struct list runs; /* of run, to be told */
    uint32_t rounds;
    uint64_t ids_taken; /* ids that came in, listed or told */
    uint32_t fan_out, leaf, message_bytes;
};

/* --- making and freeing ------------------------------------------------------------------------------------------- */

enum err reconcile_new(struct mem *mem, const struct reconcile_item *items, size_t count, struct reconcile **out)
{
    struct reconcile *r = count >= IDS_MAX ? NULL : mem_alloc(mem, sizeof(*r));
    if (r == NULL) {
        return ERR_NOMEM;
    }
    *r = (struct reconcile){ .mem = mem,
        .items = items,
        .count = count,
        .open = { .each = sizeof(struct open_range) },
        .fresh = { .each = sizeof(struct open_range) },
        .lacking = { .each = sizeof(struct dossier_id) },
        .different = { .each = sizeof(struct dossier_id) },
        .runs = { .each = sizeof(struct run) },
        .fan_out = FAN_OUT,
        .leaf = LEAF,
        .message_bytes = RECONCILE_MESSAGE_MAX_BYTES };
    r->sums = mem_alloc(mem, (count + 1) * sizeof(*r->sums));
    if (r->sums == NULL) {
        reconcile_free(r);
        return ERR_NOMEM;
    }
    *out = r;
    return ERR_OK;
}

static void list_free(struct reconcile *r, struct list *l)
{
    mem_free(r->mem, l->at, l->capacity * l->each);
}

void reconcile_free(struct reconcile *r)
{
    if (r == NULL) {
        return;
    }
    list_free(r, &r->open);
    list_free(r, &r->fresh);
    list_free(r, &r->lacking);
    list_free(r, &r->different);
    list_free(r, &r->runs);
    mem_free(r->mem, r->sums, r->sums == NULL ? 0 : (r->count + 1) * sizeof(*r->sums));
    mem_free(r->mem, r, sizeof(*r));
}

void reconcile_tune(struct reconcile *r, uint32_t fan_out, uint32_t leaf, uint32_t message_bytes)
{
    check(!r->has_salt && fan_out >= 2 && fan_out <= 64 && leaf >= 1);
    check(message_bytes >= RECONCILE_MESSAGE_MIN_BYTES && message_bytes <= RECONCILE_MESSAGE_MAX_BYTES);
    check(HEAD_MAX_BYTES + RANGE_MAX_BYTES + leaf * LISTED_BYTES <= message_bytes);
    r->fan_out = fan_out;
    r->leaf = leaf;
    r->message_bytes = message_bytes;
}

uint32_t reconcile_rounds(const struct reconcile *r)
{
    return r->rounds;
}

static enum err list_reserve(struct reconcile *r, struct list *l, size_t more)
{
    size_t capacity = l->capacity == 0 ? 64 : l->capacity;
    if (more > RECONCILE_OPEN_MAX - l->count) {
        return ERR_LIMIT;
    }
    while (capacity < l->count + more) {
        capacity *= 2;
    }
    if (capacity > l->capacity) {
        void *grown = mem_resize(r->mem, l->at, l->capacity * l->each, capacity * l->each);
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        l->at = grown;
        l->capacity = capacity;
    }
    return ERR_OK;
}

static enum err list_push(struct reconcile *r, struct list *l, const void *element)
{
    enum err e = list_reserve(r, l, 1);
    if (e == ERR_OK) {
        memcpy((uint8_t *)l->at + l->count * l->each, element, l->each);
        l->count++;
    }
    return e;
}

/* --- items and bounds --------------------------------------------------------------------------------------------- */

static uint64_t hash_at(const struct reconcile *r, size_t i)
{
    return r->sums[i + 1] - r->sums[i];
}

static void take_salt(struct reconcile *r, const uint8_t salt[RECONCILE_SALT_BYTES])
{
    _Static_assert(sizeof(struct reconcile_item) == DOSSIER_ID_BYTES + MARK_BYTES, "items are hashed as they lie");
    memcpy(r->salt, salt, sizeof(r->salt));
    r->has_salt = true;
    for (size_t i = 0; i < r->count; i++) {
        check(i == 0 || dossier_id_compare(r->items[i - 1].id, r->items[i].id) < 0);
        r->sums[i + 1] = r->sums[i] + seal_short_hash(salt, bytes_of(&r->items[i], sizeof(r->items[i])));
    }
}

static const struct bound bound_start = { { 0 } };
static const struct bound bound_end = { { 1 } };

static int bound_compare(const struct bound *a, const struct bound *b)
{
    return memcmp(a->b, b->b, sizeof(a->b));
}

static struct bound bound_of(const uint8_t *id, size_t len)
{
    struct bound b = { { 0 } };
    memcpy(b.b + 1, id, len);
    return b;
}

/* Index of the first item that is not before the bound. */
static size_t lower(const struct reconcile *r, const struct bound *b)
{
    size_t lo = 0;
    size_t hi = b->b[0] != 0 ? 0 : r->count;
    if (b->b[0] != 0) {
        return r->count;
    }
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(r->items[mid].id.b, b->b + 1, DOSSIER_ID_BYTES) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static size_t shared_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t n = 0;
    while (n < len && a[n] == b[n]) {
        n++;
    }
    return n;
}

/* The shortest bound between two neighbours. */
static struct bound bound_before(const struct reconcile *r, size_t i)
{
    size_t same = shared_bytes(r->items[i - 1].id.b, r->items[i].id.b, DOSSIER_ID_BYTES);
    return bound_of(r->items[i].id.b, same + 1);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

struct writer {
    struct reconcile *r;
    struct buf *out;
    struct bound at; /* where the last range ended */
    size_t ranges;
};

static bool has_room(const struct writer *w, size_t bytes)
{
    return w->out->len + bytes <= w->r->message_bytes;
}

/* u8 shared << 4 | rest, then the bytes after the shared ones, without trailing zeros. */
static void put_bound(struct writer *w, const struct bound *to)
{
    size_t len = DOSSIER_ID_BYTES;
    size_t same = shared_bytes(w->at.b + 1, to->b + 1, DOSSIER_ID_BYTES);
    if (to->b[0] != 0) {
        buf_put_u8(w->out, BOUND_END);
    } else {
        while (len > same && to->b[len] == 0) {
            len--;
        }
        buf_put_u8(w->out, (uint8_t)(same << 4 | (len - same)));
        buf_put(w->out, to->b + 1 + same, len - same);
    }
    w->at = *to;
}

static void put_range_head(
    struct writer *w, const struct bound *from, const struct bound *to, unsigned mode, size_t count)
{
    if (bound_compare(&w->at, from) < 0) {
        put_bound(w, from);
        buf_put_varint(w->out, MODE_SKIP);
    }
    put_bound(w, to);
    buf_put_varint(w->out, (uint64_t)count << 2 | mode);
    w->ranges++;
}

static void put_fingerprint(struct writer *w, const struct bound *from, const struct bound *to, size_t lo, size_t hi)
{
    put_range_head(w, from, to, MODE_FINGERPRINT, hi - lo);
    buf_put_u64be(w->out, w->r->sums[hi] - w->r->sums[lo]);
}

static void put_list(struct writer *w, const struct open_range *o, size_t lo, size_t hi)
{
    const struct reconcile_item *items = w->r->items;
    size_t same = hi == lo ? 0 : shared_bytes(items[lo].id.b, items[hi - 1].id.b, DOSSIER_ID_BYTES);
    put_range_head(w, &o->from, &o->to, MODE_LIST, hi - lo);
    buf_put_u8(w->out, (uint8_t)same);
    if (hi > lo) {
        buf_put(w->out, items[lo].id.b, same);
    }
    for (size_t i = lo; i < hi; i++) {
        buf_put(w->out, items[i].id.b + same, DOSSIER_ID_BYTES - same);
        buf_put_u64be(w->out, hash_at(w->r, i));
    }
}

/* Answers one range as far as there is room; false: the rest of it is in *o. */
static bool put_open(struct writer *w, struct open_range *o)
{
    const struct reconcile *r = w->r;
    size_t lo = lower(r, &o->from);
    size_t hi = lower(r, &o->to);
    size_t mine = hi - lo;
    if (mine <= r->leaf) {
        if (!has_room(w, RANGE_MAX_BYTES + mine * LISTED_BYTES)) {
            return false;
        }
        put_list(w, o, lo, hi);
        return true;
    }
    /* Few on the other side: the same fingerprint back, and it lists them. */
    size_t parts = o->theirs <= r->leaf ? 1 : r->fan_out < mine ? r->fan_out : mine;
    size_t start = lo;
    for (size_t i = 1; i <= parts; i++) {
        size_t end = lo + mine * i / parts;
        const struct bound to = i == parts ? o->to : bound_before(r, end);
        if (!has_room(w, RANGE_MAX_BYTES)) {
            return false;
        }
        put_fingerprint(w, &o->from, &to, start, end);
        o->from = to;
        start = end;
    }
    return true;
}

static void put_ranges(struct writer *w)
{
    struct list *open = &w->r->open;
    struct open_range *at = open->at;
    while (open->count > 0 && put_open(w, &at[open->count - 1])) {
        open->count--;
    }
}

static void put_told(struct writer *w, struct list *ids, size_t *room)
{
    const struct dossier_id *at = ids->at;
    size_t n = ids->count < *room ? ids->count : *room;
    buf_put_varint(w->out, n);
    for (size_t i = 0; i < n; i++) {
        buf_put(w->out, at[--ids->count].b, DOSSIER_ID_BYTES);
    }
    *room -= n;
}

/* Items that only we have, as many as there is room for; our own side hears of them here, in the same portions. */
static enum err put_runs(struct writer *w, size_t room, reconcile_fn fn, void *ctx)
{
    struct list *runs = &w->r->runs;
    struct run *at = runs->at;
    size_t n = 0;
    for (size_t i = runs->count; i > 0 && n < room; i--) {
        size_t len = at[i - 1].hi - at[i - 1].lo;
        n += len < room - n ? len : room - n;
    }
    buf_put_varint(w->out, n);
    enum err e = ERR_OK;
    while (e == ERR_OK && n > 0) {
        struct run *last = &at[runs->count - 1];
        const struct dossier_id *id = &w->r->items[last->lo].id;
        buf_put(w->out, id->b, DOSSIER_ID_BYTES);
        e = fn(ctx, RECONCILE_ONLY_OURS, *id);
        last->lo++;
        runs->count -= last->lo == last->hi ? 1 : 0;
        n--;
    }
    return e;
}

static bool has_rest(const struct reconcile *r)
{
    return r->open.count + r->lacking.count + r->different.count + r->runs.count > 0;
}

static enum err put_message(
    struct reconcile *r, unsigned flags, bool peer_has_more, struct buf *out, reconcile_fn fn, void *ctx)
{
    struct writer w = { .r = r, .out = out, .at = bound_start };
    check(out->len == 0);
    buf_put_u8(out, MESSAGE_VERSION);
    buf_put_u8(out, 0);
    if ((flags & FLAG_FIRST) != 0) {
        buf_put(out, r->salt, sizeof(r->salt));
    }
    size_t room = (r->message_bytes - HEAD_MAX_BYTES) / DOSSIER_ID_BYTES;
    put_told(&w, &r->lacking, &room);
    put_told(&w, &r->different, &room);
    /* A long run leaves half of the message to ranges; many short ones go first, or they would pile up. */
    bool shares = r->open.count > 0 && r->runs.count <= RUNS_FEW;
    enum err e = put_runs(&w, shares ? room / 2 : room, fn, ctx);
    put_ranges(&w);
    if (e == ERR_OK) {
        e = out->err;
    }
    if (e != ERR_OK) {
        return e;
    }
    if (has_rest(r)) {
        flags |= FLAG_MORE;
    } else if (w.ranges == 0 && !peer_has_more) {
        flags |= FLAG_FINAL;
        r->is_over = true;
    }
    out->ptr[1] = (uint8_t)flags;
    return ERR_OK;
}

static enum err tell_nobody(void *ctx, enum reconcile_kind kind, struct dossier_id id)
{
    (void)ctx;
    (void)kind;
    (void)id;
    return ERR_OK;
}

enum err reconcile_first(struct reconcile *r, const uint8_t salt[RECONCILE_SALT_BYTES], struct buf *out)
{
    const struct open_range all = { .from = bound_start, .to = bound_end, .theirs = UINT64_MAX };
    check(!r->has_salt);
    take_salt(r, salt);
    enum err e = list_push(r, &r->open, &all);
    return e == ERR_OK ? put_message(r, FLAG_FIRST, true, out, tell_nobody, NULL) : e;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct taking {
    struct reconcile *r;
    struct reader in;
    reconcile_fn fn;
    void *ctx;
    struct bound from, to; /* of the range being read */
    size_t lo, hi; /* our items in it */
    size_t ranges;
};

static enum err count_ids(struct taking *t, uint64_t n, size_t each)
{
    if (n > t->in.left / each) {
        return ERR_TRUNCATED;
    }
    t->r->ids_taken += n;
    return t->r->ids_taken > IDS_MAX ? ERR_LIMIT : ERR_OK;
}

/* What the other side found out about ids. It may not contradict what we have. */
static enum err take_told(struct taking *t, enum reconcile_kind kind)
{
    uint64_t n = 0;
    enum err e = reader_varint(&t->in, &n);
    if (e == ERR_OK) {
        e = count_ids(t, n, DOSSIER_ID_BYTES);
    }
    for (uint64_t i = 0; e == ERR_OK && i < n; i++) {
        struct dossier_id id;
        e = reader_copy(&t->in, id.b, sizeof(id.b));
        const struct bound b = bound_of(id.b, sizeof(id.b));
        size_t at = lower(t->r, &b);
        bool is_ours = at < t->r->count && dossier_id_compare(t->r->items[at].id, id) == 0;
        if (e == ERR_OK && is_ours != (kind != RECONCILE_ONLY_THEIRS)) {
            e = ERR_PROTOCOL;
        }
        if (e == ERR_OK) {
            e = t->fn(t->ctx, kind, id);
        }
    }
    return e;
}

static enum err take_bound(struct taking *t)
{
    uint8_t head = 0;
    struct bound to = bound_end;
    enum err e = reader_u8(&t->in, &head);
    if (e == ERR_OK && head != BOUND_END) {
        size_t same = head >> 4;
        size_t rest = head & 15;
        if (same + rest > DOSSIER_ID_BYTES) {
            return ERR_FORMAT;
        }
        to = bound_of(t->from.b + 1, same);
        e = reader_copy(&t->in, to.b + 1 + same, rest);
    }
    if (e == ERR_OK && bound_compare(&to, &t->from) <= 0) {
        e = ERR_FORMAT;
    }
    t->to = to;
    return e;
}

static enum err only_ours(struct taking *t, size_t lo, size_t hi)
{
    const struct run run = { .lo = lo, .hi = hi };
    return lo == hi ? ERR_OK : list_push(t->r, &t->r->runs, &run);
}

static enum err take_fingerprint(struct taking *t, uint64_t theirs)
{
    uint64_t sum = 0;
    enum err e = reader_u64be(&t->in, &sum);
    if (e != ERR_OK || (theirs == t->hi - t->lo && sum == t->r->sums[t->hi] - t->r->sums[t->lo])) {
        return e;
    }
    if (theirs == 0) {
        return only_ours(t, t->lo, t->hi);
    }
    const struct open_range o = { .from = t->from, .to = t->to, .theirs = theirs };
    return list_push(t->r, &t->r->fresh, &o);
}

/* One listed item against ours; *next is the first of ours not yet compared. */
static enum err take_listed(struct taking *t, const struct dossier_id *id, uint64_t hash, size_t *next)
{
    struct reconcile *r = t->r;
    const struct bound b = bound_of(id->b, sizeof(id->b));
    size_t at = lower(r, &b);
    enum err e = only_ours(t, *next, at);
    *next = at;
    if (e != ERR_OK) {
        return e;
    }
    if (at == r->count || dossier_id_compare(r->items[at].id, *id) != 0) {
        e = list_push(r, &r->lacking, id);
        return e == ERR_OK ? t->fn(t->ctx, RECONCILE_ONLY_THEIRS, *id) : e;
    }
    *next = at + 1;
    if (hash_at(r, at) == hash) {
        return ERR_OK;
    }
    e = list_push(r, &r->different, id);
    return e == ERR_OK ? t->fn(t->ctx, RECONCILE_DIFFERENT, *id) : e;
}

static enum err take_list(struct taking *t, uint64_t n)
{
    struct dossier_id id = { { 0 } };
    struct bound last = t->from;
    uint8_t same = 0;
    size_t next = t->lo;
    enum err e = reader_u8(&t->in, &same);
    if (e == ERR_OK) {
        e = same > DOSSIER_ID_BYTES || (n == 0 && same != 0) ? ERR_FORMAT : reader_copy(&t->in, id.b, same);
    }
    if (e == ERR_OK) {
        e = count_ids(t, n, DOSSIER_ID_BYTES - (size_t)same + HASH_BYTES);
    }
    for (uint64_t i = 0; e == ERR_OK && i < n; i++) {
        uint64_t hash = 0;
        e = reader_copy(&t->in, id.b + same, DOSSIER_ID_BYTES - (size_t)same);
        if (e == ERR_OK) {
            e = reader_u64be(&t->in, &hash);
        }
        const struct bound b = bound_of(id.b, sizeof(id.b));
        int order = bound_compare(&last, &b);
        if (e == ERR_OK && (order > 0 || (order == 0 && i > 0) || bound_compare(&b, &t->to) >= 0)) {
            e = ERR_FORMAT;
        }
        if (e == ERR_OK) {
            e = take_listed(t, &id, hash, &next);
        }
        last = b;
    }
    return e == ERR_OK ? only_ours(t, next, t->hi) : e;
}

static enum err take_range(struct taking *t)
{
    uint64_t tag = 0;
    enum err e = take_bound(t);
    if (e == ERR_OK) {
        e = reader_varint(&t->in, &tag);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (tag != MODE_SKIP) {
        t->lo = lower(t->r, &t->from);
        t->hi = lower(t->r, &t->to);
        t->ranges++;
        e = (tag & 3) == MODE_FINGERPRINT ? take_fingerprint(t, tag >> 2)
            : (tag & 3) == MODE_LIST      ? take_list(t, tag >> 2)
                                          : ERR_FORMAT;
    }
    t->from = t->to;
    return e;
}

/* Puts what this message opened in its place among what was open. Both sides owe each range once, so an overlap is a
 * lie. */
static enum err merge_fresh(struct reconcile *r)
{
    size_t old = r->open.count;
    size_t to = old + r->fresh.count;
    size_t taken = 0;
    enum err e = list_reserve(r, &r->open, r->fresh.count);
    struct open_range *open = r->open.at;
    const struct open_range *fresh = r->fresh.at;
    while (e == ERR_OK && taken < r->fresh.count) {
        bool is_old = old > 0 && bound_compare(&open[old - 1].from, &fresh[taken].from) < 0;
        const struct open_range next = is_old ? open[--old] : fresh[taken++];
        if (to < r->open.count + r->fresh.count && bound_compare(&open[to].to, &next.from) > 0) {
            return ERR_PROTOCOL;
        }
        open[--to] = next;
    }
    if (e == ERR_OK && taken > 0 && old > 0 && bound_compare(&open[to].to, &open[old - 1].from) > 0) {
        return ERR_PROTOCOL;
    }
    r->open.count += r->fresh.count;
    r->fresh.count = 0;
    return e;
}

static enum err take_head(struct taking *t, uint8_t *flags)
{
    struct reconcile *r = t->r;
    uint8_t version = 0;
    uint8_t salt[RECONCILE_SALT_BYTES];
    enum err e = reader_u8(&t->in, &version);
    if (e == ERR_OK) {
        e = version != MESSAGE_VERSION ? ERR_VERSION : reader_u8(&t->in, flags);
    }
    if (e == ERR_OK) {
        e = (*flags & ~(unsigned)FLAGS_ALL) != 0 ? ERR_FORMAT : ERR_OK;
    }
    if (e == ERR_OK && ((*flags & FLAG_FIRST) != 0) == r->has_salt) {
        e = ERR_PROTOCOL;
    }
    if (e == ERR_OK && !r->has_salt) {
        e = reader_copy(&t->in, salt, sizeof(salt));
        if (e == ERR_OK) {
            take_salt(r, salt);
        }
    }
    return e;
}

/* Written as: what the sender lacks, what differs, what only the sender has. */
static const enum reconcile_kind told_order[] = { RECONCILE_ONLY_OURS, RECONCILE_DIFFERENT, RECONCILE_ONLY_THEIRS };

/* An honest run ends long before: every message but the last few is full of what was not known before. */
static enum err count_round(struct reconcile *r)
{
    uint64_t items = r->count + r->ids_taken;
    r->rounds++;
    return r->rounds > ROUNDS_FREE + items * ITEM_COST_BYTES / r->message_bytes ? ERR_LIMIT : ERR_OK;
}

enum err reconcile_answer(
    struct reconcile *r, struct bytes in, struct buf *out, reconcile_fn fn, void *ctx, bool *is_over)
{
    struct taking t = { .r = r, .in = reader_of(in), .fn = fn, .ctx = ctx, .from = bound_start };
    uint8_t flags = 0;
    if (r->is_over) {
        return ERR_PROTOCOL;
    }
    enum err e = in.len > RECONCILE_MESSAGE_MAX_BYTES ? ERR_LIMIT : count_round(r);
    if (e == ERR_OK) {
        e = take_head(&t, &flags);
    }
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(told_order); i++) {
        e = take_told(&t, told_order[i]);
    }
    while (e == ERR_OK && t.in.left > 0) {
        e = take_range(&t);
    }
    if (e == ERR_OK) {
        e = merge_fresh(r);
    }
    if (e != ERR_OK) {
        return e;
    }
    if ((flags & FLAG_FINAL) != 0) {
        r->is_over = true;
        *is_over = true;
        return t.ranges > 0 || (flags & FLAG_MORE) != 0 || has_rest(r) ? ERR_PROTOCOL : ERR_OK;
    }
    e = put_message(r, 0, (flags & FLAG_MORE) != 0, out, fn, ctx);
    *is_over = r->is_over;
    return e;
}
