#ifndef JIPAN_NODE_VAULT_HEADER_H
#define JIPAN_NODE_VAULT_HEADER_H

#include "node/vault/layout.h"

/*
 * The header block: two copies of the same 2048-byte record in the first 4096 bytes of jipan.db. A change is written to
 * the older copy first, made durable, and then to the other, so one whole copy exists at every moment.
 */
enum {
    HEADER_COPY_BYTES = 2048,
    HEADER_COPIES = VAULT_HEADER_BLOCK_BYTES / HEADER_COPY_BYTES,
    HEADER_ID_BYTES = 16,
    HEADER_MAC_BYTES = 32,
    HEADER_SLOTS = 4,
    HEADER_VERSION = 1,

    SLOT_BYTES = 192,
    SLOT_HEAD_BYTES = 32, /* kind, cost and salt: what the key derivation reads */
    SLOT_SALT_BYTES = 16,
    SLOT_COMMIT_BYTES = 32,
    SLOT_SECRET_BYTES = 32, /* the data key */
};

enum slot_kind { SLOT_EMPTY = 0, SLOT_PASSPHRASE = 1, SLOT_RECOVERY = 2 };

/* Upper bounds on what a header may ask of us: four passes over 1 GiB, the largest preset of libsodium. */
enum { SLOT_PASSES_MAX = 4, SLOT_MEMORY_KIB_MAX = 1024 * 1024, SLOT_MEMORY_KIB_MIN = 8 };

struct key_slot {
    enum slot_kind kind;
    uint32_t passes; /* Argon2id; 0 for a recovery key, which needs no stretching */
    uint32_t memory_kib; /* Argon2id; 0 likewise */
    uint8_t salt[SLOT_SALT_BYTES];
    uint8_t commit[SLOT_COMMIT_BYTES];
    uint8_t nonce[PAGE_NONCE_BYTES];
    uint8_t wrapped[SLOT_SECRET_BYTES + PAGE_TAG_BYTES];
};

struct vault_header {
    uint64_t counter; /* the copy with the higher one counts */
    uint8_t db_id[HEADER_ID_BYTES];
    struct key_slot slots[HEADER_SLOTS];
};

/**
 * header_parse: read both copies and choose the valid one with the higher counter. A copy is valid when its checksum
 * and every field are right; the MAC needs the data key and is checked later by header_check_mac.
 *
 * Shape:   block is the first VAULT_HEADER_BLOCK_BYTES of the file, or fewer.
 * Errors:  ERR_DAMAGED no valid copy or fewer bytes; ERR_VERSION a whole copy of a newer format.
 * Note:    *ret_copy is the index of the chosen copy, *ret_valid how many are valid.
 */
MUST_USE enum err header_parse(struct bytes block, struct vault_header *out, unsigned *ret_copy, unsigned *ret_valid);

/* One copy, with MAC (keyed by mac_key) and checksum. */
void header_encode(const struct vault_header *h, const uint8_t mac_key[32], uint8_t out[HEADER_COPY_BYTES]);

/* Whether the copy at this index of the block was made by somebody who holds the data key. */
bool header_check_mac(struct bytes block, unsigned copy, const uint8_t mac_key[32]);

/* Whether the other copy says anything else than h, which was read from `copy`: torn, altered, or with the slots of
 * before a change that was broken off. One of a later version is left alone. */
bool header_other_is_stale(struct bytes block, unsigned copy, const struct vault_header *h, const uint8_t mac_key[32]);

/* The first SLOT_HEAD_BYTES of a slot's layout: what derivation and commitment are bound to. */
void slot_head(const struct key_slot *slot, uint8_t out[SLOT_HEAD_BYTES]);

#endif
