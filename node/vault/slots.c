/*
 * Owns: how a secret opens the data key. Chain: secret -> root (Argon2id, or the recovery key itself) -> BLAKE2b-512
 * keyed by the root over a label, the database id and the slot head -> 32 bytes commitment, 32 bytes wrapping key. The
 * commitment is stored and compared first: XChaCha20-Poly1305 does not commit to its key, so a ciphertext alone could
 * be made to open under two passphrases. Kind, cost and salt are bound into both halves; lowering the cost in the
 * header changes the root and therefore fails the commitment.
 *
 * Deliberately not here: which slot is tried, files, attempts counting.
 */
#include "node/vault/slots.h"

#include <sodium.h>
#include <stdatomic.h>

static const char slot_label[] = "jipan vault slot 1";

/* 0 means the production cost. */
static atomic_uint test_passes;
static atomic_uint test_memory_kib;

void vault_test_set_kdf(uint32_t opslimit, size_t memlimit)
{
    atomic_store(&test_passes, opslimit);
    atomic_store(&test_memory_kib, (unsigned)(memlimit / 1024));
}

struct slot_keys {
    uint8_t commit[SLOT_COMMIT_BYTES];
    uint8_t wrap[PAGE_KEY_BYTES];
};

static enum err slot_root(const struct key_slot *slot, struct bytes secret, uint8_t root[32])
{
    if (slot->kind == SLOT_RECOVERY) {
        if (secret.len != RECOVERY_KEY_BYTES) {
            return ERR_SECRET;
        }
        memcpy(root, secret.ptr, 32);
        return ERR_OK;
    }
    int rc = crypto_pwhash(root, 32, (const char *)secret.ptr, secret.len, slot->salt, slot->passes,
        (size_t)slot->memory_kib * 1024, crypto_pwhash_ALG_ARGON2ID13);
    return rc == 0 ? ERR_OK : ERR_NOMEM;
}

static enum err slot_keys_derive(
    const struct key_slot *slot, struct bytes secret, const uint8_t db_id[HEADER_ID_BYTES], struct slot_keys *out)
{
    uint8_t root[32];
    uint8_t both[SLOT_COMMIT_BYTES + PAGE_KEY_BYTES];
    uint8_t head[SLOT_HEAD_BYTES];
    crypto_generichash_state state;
    enum err e = slot_root(slot, secret, root);
    if (e != ERR_OK) {
        return e;
    }
    slot_head(slot, head);
    (void)crypto_generichash_init(&state, root, sizeof(root), sizeof(both));
    (void)crypto_generichash_update(&state, (const uint8_t *)slot_label, sizeof(slot_label));
    (void)crypto_generichash_update(&state, db_id, HEADER_ID_BYTES);
    (void)crypto_generichash_update(&state, head, sizeof(head));
    (void)crypto_generichash_final(&state, both, sizeof(both));
    memcpy(out->commit, both, SLOT_COMMIT_BYTES);
    memcpy(out->wrap, both + SLOT_COMMIT_BYTES, PAGE_KEY_BYTES);
    sodium_memzero(root, sizeof(root));
    sodium_memzero(both, sizeof(both));
    sodium_memzero(&state, sizeof(state));
    return ERR_OK;
}

enum err slot_wrap(enum slot_kind kind, struct bytes secret, const uint8_t db_id[HEADER_ID_BYTES],
    const uint8_t data_key[SLOT_SECRET_BYTES], struct key_slot *out)
{
    struct key_slot slot = { .kind = kind };
    struct slot_keys keys;
    if (kind == SLOT_PASSPHRASE) {
        unsigned passes = atomic_load(&test_passes);
        unsigned memory_kib = atomic_load(&test_memory_kib);
        slot.passes = passes != 0 ? passes : (uint32_t)crypto_pwhash_OPSLIMIT_MODERATE;
        slot.memory_kib = memory_kib != 0 ? memory_kib : (uint32_t)(crypto_pwhash_MEMLIMIT_MODERATE / 1024);
    }
    randombytes_buf(slot.salt, sizeof(slot.salt));
    enum err e = slot_keys_derive(&slot, secret, db_id, &keys);
    if (e != ERR_OK) {
        return e;
    }
    memcpy(slot.commit, keys.commit, sizeof(slot.commit));
    randombytes_buf(slot.nonce, sizeof(slot.nonce));
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        slot.wrapped, NULL, data_key, SLOT_SECRET_BYTES, slot.commit, sizeof(slot.commit), NULL, slot.nonce, keys.wrap);
    sodium_memzero(&keys, sizeof(keys));
    *out = slot;
    return ERR_OK;
}

enum err slot_unwrap(const struct key_slot *slot, struct bytes secret, const uint8_t db_id[HEADER_ID_BYTES],
    uint8_t data_key[SLOT_SECRET_BYTES])
{
    struct slot_keys keys;
    enum err e = slot_keys_derive(slot, secret, db_id, &keys);
    if (e != ERR_OK) {
        return e;
    }
    if (sodium_memcmp(keys.commit, slot->commit, sizeof(keys.commit)) != 0) {
        e = ERR_SECRET;
    } else if (crypto_aead_xchacha20poly1305_ietf_decrypt(data_key, NULL, NULL, slot->wrapped, sizeof(slot->wrapped),
                   slot->commit, sizeof(slot->commit), slot->nonce, keys.wrap) != 0) {
        e = ERR_DAMAGED;
    }
    sodium_memzero(&keys, sizeof(keys));
    return e;
}
