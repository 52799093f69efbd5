/*
 * Owns: every cryptographic call of the core. Invariants: each use has its own label; associated data names the exact
 * place of a part, so a ciphertext cannot be moved; the nonce of a part is the commit's random salt followed by its
 * place, unique per key because a salt is never used for two commits. Makes no policy and holds no key.
 */
#include "sync/seal.h"

#include "schema/base/check.h"

#include <sodium.h>

enum { TREE_PART = 0, TREE_GROUP = 1, TREE_NODE = 2 };

static void put_be(uint8_t *out, uint64_t v, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(v >> (8 * (len - 1 - i)));
    }
}

enum { HASH_SHORT_BYTES = 256 };

/* Writes length and bytes of a piece at out; the caller has made sure that they fit. */
static size_t put_piece(uint8_t *out, struct bytes piece)
{
    put_be(out, piece.len, 8);
    if (piece.len > 0) {
        memcpy(out + 8, piece.ptr, piece.len);
    }
    return 8 + piece.len;
}

static void hash_piece(crypto_generichash_state *s, struct bytes piece)
{
    uint8_t len[8];
    put_be(len, piece.len, sizeof(len));
    (void)crypto_generichash_update(s, len, sizeof(len));
    (void)crypto_generichash_update(s, piece.ptr, piece.len);
}

static void hash_long(uint8_t *out, size_t out_len, const char *label, const uint8_t key[KEY_BYTES],
    const struct bytes *pieces, size_t count)
{
    crypto_generichash_state s;
    (void)crypto_generichash_init(&s, key, key == NULL ? 0 : KEY_BYTES, out_len);
    hash_piece(&s, bytes_str(label));
    for (size_t i = 0; i < count; i++) {
        hash_piece(&s, pieces[i]);
    }
    (void)crypto_generichash_final(&s, out, out_len);
    sodium_memzero(&s, sizeof(s));
}

/* Ids and keys hash few bytes many times over: laid side by side they are one call. */
void seal_hash(uint8_t *out, size_t out_len, const char *label, const uint8_t key[KEY_BYTES],
    const struct bytes *pieces, size_t count)
{
    uint8_t all[HASH_SHORT_BYTES];
    size_t n = 8 + strlen(label);
    for (size_t i = 0; i < count && n <= sizeof(all); i++) {
        n += pieces[i].len > sizeof(all) ? sizeof(all) : 8 + pieces[i].len;
    }
    if (n > sizeof(all)) {
        hash_long(out, out_len, label, key, pieces, count);
        return;
    }
    size_t at = put_piece(all, bytes_str(label));
    for (size_t i = 0; i < count; i++) {
        at += put_piece(all + at, pieces[i]);
    }
    (void)crypto_generichash(out, out_len, all, at, key, key == NULL ? 0 : KEY_BYTES);
    sodium_memzero(all, at);
}

static void derive(
    const char *label, const uint8_t salt[COMMIT_SALT_BYTES], uint32_t a, uint32_t b, uint8_t *out, size_t len)
{
    uint8_t numbers[8];
    uint8_t full[16];
    put_be(numbers, a, 4);
    put_be(numbers + 4, b, 4);
    const struct bytes pieces[2] = { bytes_of(salt, COMMIT_SALT_BYTES), BYTES_OF(numbers) };
    seal_hash(full, sizeof(full), label, NULL, pieces, 2);
    memcpy(out, full, len);
}

struct dossier_id seal_new_dossier(const uint8_t salt[COMMIT_SALT_BYTES], uint32_t group_index)
{
    struct dossier_id d;
    derive("jipan/dossier-id/v1", salt, group_index, 0, d.b, sizeof(d.b));
    return d;
}

void seal_new_suffix(
    const uint8_t salt[COMMIT_SALT_BYTES], uint32_t group_index, uint32_t ordinal, uint8_t out[RECORD_SUFFIX_BYTES])
{
    derive("jipan/record-id/v1", salt, group_index, ordinal, out, RECORD_SUFFIX_BYTES);
}

enum { PLACE_BYTES = GROUP_ID_BYTES + DOT_KEY_BYTES + 4 + 4 + 1 + 4 + 1 + 4 + DOSSIER_ID_BYTES };

static void place_bytes(const struct part_place *at, uint8_t out[PLACE_BYTES])
{
    uint8_t *p = out;
    memcpy(p, at->group_id, GROUP_ID_BYTES);
    p += GROUP_ID_BYTES;
    dot_key(at->header->dot, p);
    p += DOT_KEY_BYTES;
    put_be(p, at->group_index, 4);
    put_be(p + 4, at->part_index, 4);
    p[8] = (uint8_t)at->class_;
    put_be(p + 9, at->key_epoch, 4);
    p[13] = (uint8_t)at->kind;
    put_be(p + 14, at->station, 4);
    memcpy(p + 18, at->dossier.b, DOSSIER_ID_BYTES);
}

static void part_nonce(const struct part_place *at, uint8_t out[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES])
{
    memcpy(out, at->header->salt, COMMIT_SALT_BYTES);
    put_be(out + COMMIT_SALT_BYTES, at->group_index, 4);
    put_be(out + COMMIT_SALT_BYTES + 4, at->part_index, 4);
}

static void part_key(const struct part_place *at, const uint8_t class_key[KEY_BYTES],
    const uint8_t secret[SECRET_BYTES], uint8_t out[KEY_BYTES])
{
    const uint8_t class_ = (uint8_t)at->class_;
    const struct bytes pieces[3] = { bytes_of(secret, SECRET_BYTES), BYTES_OF(at->dossier.b), bytes_of(&class_, 1) };
    seal_hash(out, KEY_BYTES, "jipan/part-key/v1", class_key, pieces, 3);
}

void seal_part(struct buf *out, const struct part_place *at, const uint8_t class_key[KEY_BYTES],
    const uint8_t secret[SECRET_BYTES], struct bytes plain)
{
    uint8_t key[KEY_BYTES];
    uint8_t ad[PLACE_BYTES];
    uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
    uint8_t *p = buf_reserve(out, plain.len + PART_TAG_BYTES);
    if (p == NULL) {
        return;
    }
    part_key(at, class_key, secret, key);
    place_bytes(at, ad);
    part_nonce(at, nonce);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(p, NULL, plain.ptr, plain.len, ad, sizeof(ad), NULL, nonce, key);
    sodium_memzero(key, sizeof(key));
}

enum err seal_open_part(const struct part_place *at, const uint8_t class_key[KEY_BYTES],
    const uint8_t secret[SECRET_BYTES], struct bytes sealed, struct arena *a, struct bytes *out)
{
    uint8_t key[KEY_BYTES];
    uint8_t ad[PLACE_BYTES];
    uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
    if (sealed.len < PART_TAG_BYTES) {
        return ERR_SEAL;
    }
    size_t len = sealed.len - PART_TAG_BYTES;
    uint8_t *plain = arena_alloc(a, len + 1);
    if (plain == NULL) {
        return ERR_NOMEM;
    }
    part_key(at, class_key, secret, key);
    place_bytes(at, ad);
    part_nonce(at, nonce);
    int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(
        plain, NULL, NULL, sealed.ptr, sealed.len, ad, sizeof(ad), nonce, key);
    sodium_memzero(key, sizeof(key));
    if (rc != 0) {
        return ERR_SEAL;
    }
    *out = bytes_of(plain, len);
    return ERR_OK;
}

/* --- the digest tree
 * ------------------------------------------------------------------------------------------------------ */

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

static void hash_tagged(uint8_t tag, struct bytes a, struct bytes b, uint8_t out[COMMIT_HASH_BYTES])
{
    crypto_generichash_state s;
    (void)crypto_generichash_init(&s, NULL, 0, COMMIT_HASH_BYTES);
    (void)crypto_generichash_update(&s, &tag, 1);
    (void)crypto_generichash_update(&s, a.ptr, a.len);
    (void)crypto_generichash_update(&s, b.ptr, b.len);
    (void)crypto_generichash_final(&s, out, COMMIT_HASH_BYTES);
}

static enum err group_hash(const struct group_item *g, uint8_t out[COMMIT_HASH_BYTES])
{
    uint8_t hashes[COMMIT_PARTS_MAX * (COMMIT_HASH_BYTES + 1)];
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

void seal_commit_hash(const uint8_t group_id[GROUP_ID_BYTES], struct bytes header,
    const uint8_t root[COMMIT_HASH_BYTES], uint8_t out[COMMIT_HASH_BYTES])
{
    const struct bytes pieces[3] = { bytes_of(group_id, GROUP_ID_BYTES), header, bytes_of(root, COMMIT_HASH_BYTES) };
    seal_hash(out, COMMIT_HASH_BYTES, "jipan/commit/v1", NULL, pieces, 3);
}

void seal_sign_commit(const uint8_t group_id[GROUP_ID_BYTES], struct bytes header,
    const uint8_t root[COMMIT_HASH_BYTES], const uint8_t secret[SIGN_SECRET_BYTES], uint8_t out[COMMIT_SIGNATURE_BYTES])
{
    uint8_t hash[COMMIT_HASH_BYTES];
    seal_commit_hash(group_id, header, root, hash);
    (void)crypto_sign_detached(out, NULL, hash, sizeof(hash), secret);
}

enum err seal_verify_commit(const uint8_t group_id[GROUP_ID_BYTES], const struct commit_view *v,
    const uint8_t root[COMMIT_HASH_BYTES], const uint8_t signer[SIGN_PUBLIC_BYTES])
{
    uint8_t hash[COMMIT_HASH_BYTES];
    seal_commit_hash(group_id, v->header_bytes, root, hash);
    return crypto_sign_verify_detached(v->signature, hash, sizeof(hash), signer) == 0 ? ERR_OK : ERR_SIGNATURE;
}

static void message_hash(
    const char *label, const uint8_t group_id[GROUP_ID_BYTES], struct bytes message, uint8_t out[32])
{
    const struct bytes pieces[2] = { bytes_of(group_id, GROUP_ID_BYTES), message };
    seal_hash(out, 32, label, NULL, pieces, 2);
}

void seal_sign(const char *label, const uint8_t group_id[GROUP_ID_BYTES], struct bytes message,
    const uint8_t secret[SIGN_SECRET_BYTES], uint8_t out[64])
{
    uint8_t hash[32];
    message_hash(label, group_id, message, hash);
    (void)crypto_sign_detached(out, NULL, hash, sizeof(hash), secret);
}

enum err seal_verify(const char *label, const uint8_t group_id[GROUP_ID_BYTES], struct bytes message,
    const uint8_t signature[64], const uint8_t signer[SIGN_PUBLIC_BYTES])
{
    uint8_t hash[32];
    message_hash(label, group_id, message, hash);
    return crypto_sign_verify_detached(signature, hash, sizeof(hash), signer) == 0 ? ERR_OK : ERR_SIGNATURE;
}

void seal_sign_keypair(
    const uint8_t seed[32], uint8_t public_key[SIGN_PUBLIC_BYTES], uint8_t secret_key[SIGN_SECRET_BYTES])
{
    (void)crypto_sign_seed_keypair(public_key, secret_key, seed);
}

void seal_box_keypair(
    const uint8_t seed[32], uint8_t public_key[BOX_PUBLIC_BYTES], uint8_t secret_key[BOX_SECRET_BYTES])
{
    (void)crypto_box_seed_keypair(public_key, secret_key, seed);
}

static void wrap_nonce(
    const uint8_t from[BOX_PUBLIC_BYTES], const uint8_t to[BOX_PUBLIC_BYTES], uint8_t out[crypto_box_NONCEBYTES])
{
    uint8_t hash[32];
    const struct bytes pieces[2] = { bytes_of(from, BOX_PUBLIC_BYTES), bytes_of(to, BOX_PUBLIC_BYTES) };
    seal_hash(hash, sizeof(hash), "jipan/wrap-nonce/v1", NULL, pieces, 2);
    memcpy(out, hash, crypto_box_NONCEBYTES);
}

enum err seal_wrap(struct rng *rng, const uint8_t to[BOX_PUBLIC_BYTES], struct bytes plain, struct buf *out)
{
    uint8_t seed[32];
    uint8_t public_key[BOX_PUBLIC_BYTES];
    uint8_t secret_key[BOX_SECRET_BYTES];
    uint8_t nonce[crypto_box_NONCEBYTES];
    rng_fill(rng, seed, sizeof(seed));
    seal_box_keypair(seed, public_key, secret_key);
    wrap_nonce(public_key, to, nonce);
    enum err e = ERR_FORMAT;
    buf_put(out, public_key, sizeof(public_key));
    uint8_t *p = buf_reserve(out, plain.len + crypto_box_MACBYTES);
    if (p == NULL) {
        e = out->err;
    } else if (crypto_box_easy(p, plain.ptr, plain.len, nonce, to, secret_key) == 0) {
        e = ERR_OK;
    }
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(secret_key, sizeof(secret_key));
    return e;
}

enum err seal_unwrap(const uint8_t public_key[BOX_PUBLIC_BYTES], const uint8_t secret_key[BOX_SECRET_BYTES],
    struct bytes wrapped, struct arena *a, struct bytes *out)
{
    uint8_t nonce[crypto_box_NONCEBYTES];
    if (wrapped.len < WRAP_EXTRA_BYTES) {
        return ERR_TRUNCATED;
    }
    size_t len = wrapped.len - WRAP_EXTRA_BYTES;
    uint8_t *plain = arena_alloc(a, len + 1);
    if (plain == NULL) {
        return ERR_NOMEM;
    }
    wrap_nonce(wrapped.ptr, public_key, nonce);
    if (crypto_box_open_easy(plain, wrapped.ptr + BOX_PUBLIC_BYTES, wrapped.len - BOX_PUBLIC_BYTES, nonce, wrapped.ptr,
            secret_key) != 0) {
        return ERR_SEAL;
    }
    *out = bytes_of(plain, len);
    return ERR_OK;
}
