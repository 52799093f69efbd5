#ifndef JIPAN_SEAL_H
#define JIPAN_SEAL_H

#include "schema/base/env.h"
#include "schema/commit.h"

/*
 * All cryptography of the sync core, in one place, on libsodium's high-level calls: labelled BLAKE2b, Ed25519,
 * XChaCha20-Poly1305 and sealed boxes. docs/PROTOCOL.md section 3 lists every label. No key is ever used for two
 * purposes.
 */
enum {
    GROUP_ID_BYTES = 16,
    SECRET_BYTES = 16,
    KEY_BYTES = 32,
    SIGN_PUBLIC_BYTES = 32,
    SIGN_SECRET_BYTES = 64,
    BOX_PUBLIC_BYTES = 32,
    BOX_SECRET_BYTES = 32,
    WRAP_EXTRA_BYTES = 48
};

/* BLAKE2b over a label and up to four pieces, each length-prefixed; key may be NULL. out_len 16..32. */
void seal_hash(uint8_t *out, size_t out_len, const char *label, const uint8_t key[KEY_BYTES],
    const struct bytes *pieces, size_t count);

/* SipHash-2-4: to compare sets with a key that nobody knew when they were made. For nothing that is kept. */
uint64_t seal_short_hash(const uint8_t key[16], struct bytes v);

/* Ids made from the random salt of the creating commit: no byte of them travels. */
struct dossier_id seal_new_dossier(const uint8_t salt[COMMIT_SALT_BYTES], uint32_t group_index);
void seal_new_suffix(
    const uint8_t salt[COMMIT_SALT_BYTES], uint32_t group_index, uint32_t ordinal, uint8_t out[RECORD_SUFFIX_BYTES]);

/* What a part is bound to; every field is in its associated data. */
struct part_place {
    const uint8_t *group_id; /* 16 bytes */
    const struct commit_header *header;
    uint32_t group_index;
    uint32_t part_index;
    enum class_ class_;
    uint32_t key_epoch;
    enum dossier_kind kind;
    uint32_t station;
    struct dossier_id dossier;
};

/*
 * The data key of (dossier, key class) is BLAKE2b keyed with the scope's class-epoch key over the dossier's random
 * secret (docs/decisions/0008): who lacks either cannot open the part, and destroying the secret erases the dossier in
 * every class.
 */
void seal_part(struct buf *out, const struct part_place *at, const uint8_t class_key[KEY_BYTES],
    const uint8_t secret[SECRET_BYTES], struct bytes plain);
/* Errors: ERR_SEAL when it does not authenticate; ERR_NOMEM. Plaintext is arena memory. */
MUST_USE enum err seal_open_part(const struct part_place *at, const uint8_t class_key[KEY_BYTES],
    const uint8_t secret[SECRET_BYTES], struct bytes sealed, struct arena *a, struct bytes *out);

/*
 * A dossier's secret beside a commit that goes over a relay (docs/decisions/0015): under a key of (station, key epoch)
 * that is used for nothing else. The nonce is the commit's salt and the group's index, so one secret has one box.
 */
enum { SECRET_BOX_BYTES = SECRET_BYTES + PART_TAG_BYTES };
struct secret_place {
    const uint8_t *group_id; /* 16 bytes */
    const struct commit_header *header;
    uint32_t group_index;
    uint32_t key_epoch;
    uint32_t station;
    struct dossier_id dossier;
};
void seal_secret(struct buf *out, const struct secret_place *at, const uint8_t serving_key[KEY_BYTES],
    const uint8_t secret[SECRET_BYTES]);
MUST_USE enum err seal_open_secret(const struct secret_place *at, const uint8_t serving_key[KEY_BYTES],
    const uint8_t sealed[SECRET_BOX_BYTES], uint8_t secret[SECRET_BYTES]);

/* Root of the digest tree. ERR_FORMAT when withheld subtrees do not fit its shape. */
MUST_USE enum err seal_root(const struct commit_view *v, struct arena *a, uint8_t out[COMMIT_HASH_BYTES]);
/* Name of a commit for the chain: over label, group id, header and root. */
void seal_commit_hash(const uint8_t group_id[GROUP_ID_BYTES], struct bytes header,
    const uint8_t root[COMMIT_HASH_BYTES], uint8_t out[COMMIT_HASH_BYTES]);
void seal_sign_commit(const uint8_t group_id[GROUP_ID_BYTES], struct bytes header,
    const uint8_t root[COMMIT_HASH_BYTES], const uint8_t secret[SIGN_SECRET_BYTES],
    uint8_t out[COMMIT_SIGNATURE_BYTES]);
MUST_USE enum err seal_verify_commit(const uint8_t group_id[GROUP_ID_BYTES], const struct commit_view *v,
    const uint8_t root[COMMIT_HASH_BYTES], const uint8_t signer[SIGN_PUBLIC_BYTES]);

/*
 * seal_reduce: the same commit with groups and parts withheld that keep() refuses, still verifying. keep is asked for
 * each group (part NULL) and, if kept, for each present part. Writes the reduced bytes; *kept_any says whether anything
 * is left.
 */
typedef bool (*seal_keep_fn)(
    void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part);
MUST_USE enum err seal_reduce(
    const struct commit_view *v, struct arena *a, seal_keep_fn keep, void *ctx, struct buf *out, bool *kept_any);

/**
 * seal_unite: what either of two copies of one commit has. The signature is that of a; both must have been verified.
 * Errors: ERR_CONFLICT two commits, not two copies of one; ERR_FORMAT withheld subtrees that do not fit; ERR_LIMIT;
 * ERR_NOMEM.
 */
MUST_USE enum err seal_unite(
    const struct commit_view *a, const struct commit_view *b, struct arena *mem, struct buf *out);

/* Generic labelled signatures (membership entries, audit heads, invites). message is hashed length-prefixed under the
 * label. */
void seal_sign(const char *label, const uint8_t group_id[GROUP_ID_BYTES], struct bytes message,
    const uint8_t secret[SIGN_SECRET_BYTES], uint8_t out[64]);
MUST_USE enum err seal_verify(const char *label, const uint8_t group_id[GROUP_ID_BYTES], struct bytes message,
    const uint8_t signature[64], const uint8_t signer[SIGN_PUBLIC_BYTES]);

/* Key pairs from 32-byte seeds (deterministic, so that randomness stays injected). */
void seal_sign_keypair(
    const uint8_t seed[32], uint8_t public_key[SIGN_PUBLIC_BYTES], uint8_t secret_key[SIGN_SECRET_BYTES]);
void seal_box_keypair(
    const uint8_t seed[32], uint8_t public_key[BOX_PUBLIC_BYTES], uint8_t secret_key[BOX_SECRET_BYTES]);

/*
 * Wrapping of keys to a node: XChaCha20-Poly1305 box (crypto_box) from a throw-away key pair drawn from rng; the nonce
 * is the hash of both public keys, as in crypto_box_seal, so only the entropy source differs. The wrap is authenticated
 * by the signature of the membership entry that carries it. out gets plain.len + WRAP_EXTRA_BYTES bytes.
 */
MUST_USE enum err seal_wrap(struct rng *rng, const uint8_t to[BOX_PUBLIC_BYTES], struct bytes plain, struct buf *out);
MUST_USE enum err seal_unwrap(const uint8_t public_key[BOX_PUBLIC_BYTES], const uint8_t secret_key[BOX_SECRET_BYTES],
    struct bytes wrapped, struct arena *a, struct bytes *out);

#endif
