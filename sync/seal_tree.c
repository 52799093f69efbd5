/*
 * Owns: the digest tree of a commit: its root, copies with something taken out, two copies put together. Invariants:
 * every copy of a commit has the same root; a copy written here is canonical, its withheld subtrees as large as they
 * can be. Knows no keys.
 */
#include "sync/seal.h"

#include "schema/base/check.h"

#include <sodium.h>

enum { TREE_PART = 0, TREE_GROUP = 1, TREE_NODE = 2, HASH_SHORT_BYTES = 1024 };

struct tree_item {
    uint32_t first;
    uint32_t leaves;
    bool is_kept; /* seal_reduce: false = hash only */
    uint8_t hash[COMMIT_HASH_BYTES];
    struct bytes emit; /* bytes to write for a kept item */
};

struct tree {
    struct tree_item *items;
    size_t count;
};

/* One call for what is short, which nearly everything is. */
static void hash_tagged(uint8_t tag, struct bytes a, struct bytes b, uint8_t out[COMMIT_HASH_BYTES])
{
    UNFILLED uint8_t all[HASH_SHORT_BYTES];
    if (a.len < sizeof(all) && b.len < sizeof(all) - a.len) {
        all[0] = tag;
        memcpy(all + 1, a.ptr, a.len);
        if (b.len > 0) {
            memcpy(all + 1 + a.len, b.ptr, b.len);
        }
        (void)crypto_generichash(out, COMMIT_HASH_BYTES, all, 1 + a.len + b.len, NULL, 0);
        return;
    }
    crypto_generichash_state s;
    (void)crypto_generichash_init(&s, NULL, 0, COMMIT_HASH_BYTES);
    (void)crypto_generichash_update(&s, &tag, 1);
    (void)crypto_generichash_update(&s, a.ptr, a.len);
    (void)crypto_generichash_update(&s, b.ptr, b.len);
    (void)crypto_generichash_final(&s, out, COMMIT_HASH_BYTES);
}

static enum err group_hash(const struct group_item *g, uint8_t out[COMMIT_HASH_BYTES])
{
    UNFILLED uint8_t hashes[COMMIT_PARTS_MAX * (COMMIT_HASH_BYTES + 1)];
    size_t n = 0;
    struct part_cursor c = group_parts(g);
    struct part_item p;
    enum err e = ERR_OK;
    while ((e = group_next_part(&c, &p)) == ERR_OK) {
        hashes[n++] = (uint8_t)p.class_;
        if (p.is_withheld) {
            memcpy(hashes + n, p.hash, COMMIT_HASH_BYTES);
        } else {
            hash_tagged(TREE_PART, p.slice, (struct bytes){ 0 }, hashes + n);
        }
        n += COMMIT_HASH_BYTES;
    }
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    hash_tagged(TREE_GROUP, g->head, bytes_of(hashes, n), out);
    return ERR_OK;
}

static enum err tree_build(const struct commit_view *v, struct arena *a, struct tree *out)
{
    struct tree_item *items = arena_array(a, v->header.group_count, sizeof(*items));
    if (items == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    struct body_cursor c = commit_groups(v);
    struct group_item g;
    enum err e = ERR_OK;
    while ((e = commit_next_group(&c, &g)) == ERR_OK) {
        items[n] =
            (struct tree_item){ .first = g.index, .leaves = g.leaves, .is_kept = !g.is_withheld, .emit = g.slice };
        if (g.is_withheld) {
            memcpy(items[n].hash, g.hash, COMMIT_HASH_BYTES);
        } else {
            e = group_hash(&g, items[n].hash);
            if (e != ERR_OK) {
                return e;
            }
        }
        n++;
    }
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    *out = (struct tree){ .items = items, .count = n };
    return ERR_OK;
}

static uint32_t split_of(uint32_t leaves)
{
    uint32_t k = 1;
    while (k * 2 < leaves) {
        k *= 2;
    }
    return k;
}

/* Hash of the subtree of `leaves` leaves at *at; moves *at over the items it covers. Depth is log2 of
 * COMMIT_GROUPS_MAX. */
static enum err subtree(const struct tree *t, size_t *at, uint32_t leaves, uint8_t out[COMMIT_HASH_BYTES])
{
    check(*at < t->count);
    const struct tree_item *item = &t->items[*at];
    if (item->leaves == leaves) {
        memcpy(out, item->hash, COMMIT_HASH_BYTES);
        (*at)++;
        return ERR_OK;
    }
    if (item->leaves > leaves || leaves == 1) {
        return ERR_FORMAT;
    }
    uint8_t left[COMMIT_HASH_BYTES];
    uint8_t right[COMMIT_HASH_BYTES];
    uint32_t split = split_of(leaves);
    enum err e = subtree(t, at, split, left);
    if (e == ERR_OK) {
        e = subtree(t, at, leaves - split, right);
    }
    if (e == ERR_OK) {
        hash_tagged(TREE_NODE, BYTES_OF(left), BYTES_OF(right), out);
    }
    return e;
}

enum err seal_root(const struct commit_view *v, struct arena *a, uint8_t out[COMMIT_HASH_BYTES])
{
    struct tree t = { 0 };
    size_t at = 0;
    enum err e = tree_build(v, a, &t);
    return e == ERR_OK ? subtree(&t, &at, v->header.group_count, out) : e;
}

/* Writes one group with some parts withheld. */
static void emit_group(
    struct buf *b, const struct group_item *g, struct dossier_id dossier, seal_keep_fn keep, void *ctx)
{
    struct part_cursor c = group_parts(g);
    struct part_item p;
    buf_put_u8(b, 1);
    buf_put_bytes(b, g->head);
    buf_put_varint(b, g->part_count);
    while (group_next_part(&c, &p) == ERR_OK) {
        if (p.is_withheld) {
            commit_put_part_withheld(b, p.class_, p.hash);
        } else if (keep(ctx, g, dossier, &p)) {
            buf_put_bytes(b, p.slice);
        } else {
            uint8_t hash[COMMIT_HASH_BYTES];
            hash_tagged(TREE_PART, p.slice, (struct bytes){ 0 }, hash);
            commit_put_part_withheld(b, p.class_, hash);
        }
    }
}

/* Emits the subtree at *at: whole as one hash when nothing in it is kept, else its halves. */
static enum err emit_subtree(const struct tree *t, size_t *at, uint32_t leaves, struct buf *out)
{
    uint32_t covered = 0;
    bool any = false;
    for (size_t i = *at; i < t->count && covered < leaves; i++) {
        covered += t->items[i].leaves;
        any = any || t->items[i].is_kept;
    }
    if (!any) {
        uint8_t hash[COMMIT_HASH_BYTES];
        enum err e = subtree(t, at, leaves, hash);
        if (e == ERR_OK) {
            commit_put_withheld(out, leaves, hash);
        }
        return e;
    }
    if (leaves == 1) {
        buf_put_bytes(out, t->items[*at].emit);
        (*at)++;
        return ERR_OK;
    }
    uint32_t split = split_of(leaves);
    enum err e = emit_subtree(t, at, split, out);
    return e == ERR_OK ? emit_subtree(t, at, leaves - split, out) : e;
}

static enum err reduce_items(
    const struct commit_view *v, struct tree *t, struct buf *scratch, seal_keep_fn keep, void *ctx, bool *kept_any)
{
    struct body_cursor c = commit_groups(v);
    struct group_item g;
    for (size_t i = 0; commit_next_group(&c, &g) == ERR_OK; i++) {
        if (g.is_withheld) {
            continue;
        }
        struct dossier_id dossier = g.is_new ? seal_new_dossier(v->header.salt, g.index) : g.dossier;
        t->items[i].is_kept = keep(ctx, &g, dossier, NULL);
        if (t->items[i].is_kept) {
            size_t start = scratch->len;
            emit_group(scratch, &g, dossier, keep, ctx);
            /* Offsets first: the buffer may still move. */
            t->items[i].emit = (struct bytes){ .ptr = NULL, .len = scratch->len - start };
            *kept_any = true;
        }
    }
    if (scratch->err != ERR_OK) {
        return scratch->err;
    }
    size_t at = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (t->items[i].is_kept) {
            t->items[i].emit.ptr = scratch->ptr + at;
            at += t->items[i].emit.len;
        }
    }
    return ERR_OK;
}

enum err seal_reduce(
    const struct commit_view *v, struct arena *a, seal_keep_fn keep, void *ctx, struct buf *out, bool *kept_any)
{
    struct tree t = { 0 };
    struct buf scratch;
    bool any = false;
    size_t at = 0;
    enum err e = tree_build(v, a, &t);
    if (e != ERR_OK) {
        return e;
    }
    buf_init(&scratch, a->mem, COMMIT_MAX_BYTES * 2);
    e = reduce_items(v, &t, &scratch, keep, ctx, &any);
    if (e == ERR_OK) {
        buf_put_bytes(out, v->header_bytes);
        buf_put(out, v->signature, COMMIT_SIGNATURE_BYTES);
        e = emit_subtree(&t, &at, v->header.group_count, out);
    }
    if (e == ERR_OK) {
        e = out->err;
    }
    if (e == ERR_OK) {
        *kept_any = any;
    }
    buf_release(&scratch);
    return e;
}

/* --- two copies
 * --------------------------------------------------------------------------------------------------------------- */

/* Present parts of either; what stands at one index is the same in both, since the digests are. */
static enum err unite_group(const struct group_item *x, const struct group_item *y, struct buf *out)
{
    struct part_cursor xs = group_parts(x);
    struct part_cursor ys = group_parts(y);
    struct part_item p;
    struct part_item q;
    if (x->part_count != y->part_count || !bytes_equal(x->head, y->head)) {
        return ERR_FORMAT;
    }
    buf_put_u8(out, 1);
    buf_put_bytes(out, x->head);
    buf_put_varint(out, x->part_count);
    while (group_next_part(&xs, &p) == ERR_OK && group_next_part(&ys, &q) == ERR_OK) {
        if (!p.is_withheld || !q.is_withheld) {
            buf_put_bytes(out, p.is_withheld ? q.slice : p.slice);
        } else {
            commit_put_part_withheld(out, p.class_, p.hash);
        }
    }
    return out->err;
}

struct uniting {
    struct tree_item *items;
    size_t count;
    struct buf *scratch;
};

static void take_withheld(struct uniting *u, const struct group_item *g)
{
    struct tree_item *item = &u->items[u->count++];
    *item = (struct tree_item){ .first = g->index, .leaves = g->leaves };
    memcpy(item->hash, g->hash, COMMIT_HASH_BYTES);
}

/* A group of one copy (y NULL) or of both. Offsets first: the buffer may still move. */
static enum err take_group(struct uniting *u, const struct group_item *x, const struct group_item *y)
{
    size_t start = u->scratch->len;
    enum err e = ERR_OK;
    if (y == NULL) {
        buf_put_bytes(u->scratch, x->slice);
        e = u->scratch->err;
    } else {
        e = unite_group(x, y, u->scratch);
    }
    u->items[u->count++] = (struct tree_item){
        .first = x->index, .leaves = 1, .is_kept = true, .emit = { .len = u->scratch->len - start }
    };
    return e;
}

/* Everything that one copy has below a subtree that the other withholds; the cursor has given *g already. */
static enum err take_below(struct uniting *u, struct body_cursor *from, struct group_item *g, uint32_t end)
{
    enum err e = ERR_OK;
    for (;;) {
        if (g->index + g->leaves > end) {
            return ERR_FORMAT;
        }
        if (g->is_withheld) {
            take_withheld(u, g);
        } else {
            e = take_group(u, g, NULL);
        }
        if (e != ERR_OK || g->index + g->leaves == end) {
            return e;
        }
        e = commit_next_group(from, g);
        if (e != ERR_OK) {
            return ERR_FORMAT;
        }
    }
}

static enum err unite_items(struct uniting *u, const struct commit_view *a, const struct commit_view *b)
{
    struct body_cursor xs = commit_groups(a);
    struct body_cursor ys = commit_groups(b);
    struct group_item x;
    struct group_item y;
    enum err e = ERR_OK;
    while (e == ERR_OK && commit_next_group(&xs, &x) == ERR_OK) {
        if (commit_next_group(&ys, &y) != ERR_OK || x.index != y.index) {
            return ERR_FORMAT;
        }
        if (!x.is_withheld && !y.is_withheld) {
            e = take_group(u, &x, &y);
        } else if (x.is_withheld && x.leaves >= y.leaves) {
            e = take_below(u, &ys, &y, x.index + x.leaves);
        } else {
            e = y.is_withheld ? take_below(u, &xs, &x, y.index + y.leaves) : ERR_FORMAT;
        }
    }
    for (size_t i = 0, at = 0; i < u->count; i++) {
        u->items[i].emit.ptr = u->items[i].is_kept ? u->scratch->ptr + at : NULL;
        at += u->items[i].emit.len;
    }
    return e;
}

static enum err same_commit(const struct commit_view *a, const struct commit_view *b, struct arena *mem)
{
    uint8_t x[COMMIT_HASH_BYTES];
    uint8_t y[COMMIT_HASH_BYTES];
    if (!bytes_equal(a->header_bytes, b->header_bytes)) {
        return ERR_CONFLICT;
    }
    enum err e = seal_root(a, mem, x);
    if (e == ERR_OK) {
        e = seal_root(b, mem, y);
    }
    return e == ERR_OK && memcmp(x, y, sizeof(x)) != 0 ? ERR_CONFLICT : e;
}

enum err seal_unite(const struct commit_view *a, const struct commit_view *b, struct arena *mem, struct buf *out)
{
    struct buf scratch;
    size_t at = 0;
    enum err e = same_commit(a, b, mem);
    if (e != ERR_OK) {
        return e;
    }
    struct uniting u = { .scratch = &scratch, .items = arena_array(mem, a->header.group_count, sizeof(*u.items)) };
    if (u.items == NULL) {
        return ERR_NOMEM;
    }
    buf_init(&scratch, mem->mem, COMMIT_MAX_BYTES * 2);
    e = unite_items(&u, a, b);
    if (e == ERR_OK) {
        const struct tree t = { .items = u.items, .count = u.count };
        buf_put_bytes(out, a->header_bytes);
        buf_put(out, a->signature, COMMIT_SIGNATURE_BYTES);
        e = emit_subtree(&t, &at, a->header.group_count, out);
    }
    buf_release(&scratch);
    return e == ERR_OK ? out->err : e;
}
