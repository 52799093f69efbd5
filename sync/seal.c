/*
 * Owns: every cryptographic call of the core but the digest tree (seal_tree.c) and streams (seal_stream.c). Invariants:
 * each use has its own label; associated data names the exact place of a part, so a ciphertext cannot be moved; the
 * nonce of a part is the commit's random salt followed by its place, unique per key because a salt is never used for
 * two commits. Makes no policy and holds no key.
 */
#include "sync/seal.h"

#include "schema/base/check.h"

#include <sodium.h>

static void put_be(uint8_t *out, uint64_t v, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(v >> (8 * (len - 1 - i)));
    }
}

enum { HASH_SHORT_BYTES = 1024 };

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

/* Ids, keys and marks of imported rows hash few bytes many times over: laid side by side they are one call. */
void seal_hash(uint8_t *out, size_t out_len, const char *label, const uint8_t key[KEY_BYTES],
    const struct bytes *pieces, size_t count)
{
    UNFILLED uint8_t all[HASH_SHORT_BYTES];
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

uint64_t seal_short_hash(const uint8_t key[16], struct bytes v)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t n = 0;
    (void)crypto_shorthash(out, v.ptr, v.len, key);
    for (size_t i = 0; i < sizeof(out); i++) {
        n |= (uint64_t)out[i] << (8 * i);
    }
    return n;
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

enum { SECRET_PLACE_BYTES = GROUP_ID_BYTES + DOT_KEY_BYTES + 3 * 4 + DOSSIER_ID_BYTES };

static void secret_place_bytes(const struct secret_place *at, uint8_t out[SECRET_PLACE_BYTES])
{
    uint8_t *p = out;
    memcpy(p, at->group_id, GROUP_ID_BYTES);
    p += GROUP_ID_BYTES;
    dot_key(at->header->dot, p);
    p += DOT_KEY_BYTES;
    put_be(p, at->group_index, 4);
    put_be(p + 4, at->key_epoch, 4);
    put_be(p + 8, at->station, 4);
    memcpy(p + 12, at->dossier.b, DOSSIER_ID_BYTES);
}

static void secret_box_key(const uint8_t serving_key[KEY_BYTES], uint8_t out[KEY_BYTES])
{
    seal_hash(out, KEY_BYTES, "jipan/secret-box/v1", serving_key, NULL, 0);
}

static void secret_nonce(const struct secret_place *at, uint8_t out[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES])
{
    memcpy(out, at->header->salt, COMMIT_SALT_BYTES);
    put_be(out + COMMIT_SALT_BYTES, at->group_index, 8);
}

void seal_secret(struct buf *out, const struct secret_place *at, const uint8_t serving_key[KEY_BYTES],
    const uint8_t secret[SECRET_BYTES])
{
    uint8_t key[KEY_BYTES];
    uint8_t ad[SECRET_PLACE_BYTES];
    uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
    uint8_t *p = buf_reserve(out, SECRET_BOX_BYTES);
    if (p == NULL) {
        return;
    }
    secret_box_key(serving_key, key);
    secret_place_bytes(at, ad);
    secret_nonce(at, nonce);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(p, NULL, secret, SECRET_BYTES, ad, sizeof(ad), NULL, nonce, key);
    sodium_memzero(key, sizeof(key));
}

enum err seal_open_secret(const struct secret_place *at, const uint8_t serving_key[KEY_BYTES],
    const uint8_t sealed[SECRET_BOX_BYTES], uint8_t secret[SECRET_BYTES])
{
    uint8_t key[KEY_BYTES];
    uint8_t ad[SECRET_PLACE_BYTES];
    uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
    secret_box_key(serving_key, key);
    secret_place_bytes(at, ad);
    secret_nonce(at, nonce);
    int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(
        secret, NULL, NULL, sealed, SECRET_BOX_BYTES, ad, sizeof(ad), nonce, key);
    sodium_memzero(key, sizeof(key));
    return rc == 0 ? ERR_OK : ERR_SEAL;
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
