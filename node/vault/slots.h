#ifndef JIPAN_NODE_VAULT_SLOTS_H
#define JIPAN_NODE_VAULT_SLOTS_H

#include "node/vault/header.h"

enum { RECOVERY_KEY_BYTES = 32, RECOVERY_TEXT_MAX = 80, PASSPHRASE_BYTES_MAX = 1024 };

/**
 * slot_wrap: fill a slot so that secret opens it and yields data_key. A passphrase is stretched with Argon2id
 * (MODERATE); a recovery key is 32 random bytes and is not.
 *
 * Errors:  ERR_NOMEM no memory for Argon2id.
 */
MUST_USE enum err slot_wrap(enum slot_kind kind, struct bytes secret, const uint8_t db_id[HEADER_ID_BYTES],
    const uint8_t data_key[SLOT_SECRET_BYTES], struct key_slot *out);

/**
 * slot_unwrap: the data key, if secret is the right one. The commitment is compared before the sealed key is touched.
 *
 * Errors:  ERR_SECRET wrong secret; ERR_DAMAGED right secret, altered slot; ERR_NOMEM.
 */
MUST_USE enum err slot_unwrap(const struct key_slot *slot, struct bytes secret, const uint8_t db_id[HEADER_ID_BYTES],
    uint8_t data_key[SLOT_SECRET_BYTES]);

/* Tests only: cost of passphrase slots written from now on in this process. Reading always uses what the slot says. */
void vault_test_set_kdf(uint32_t opslimit, size_t memlimit);

/*
 * The recovery key as text: 52 base32 symbols (digits and letters without I, L, O, U) and two check symbols, in nine
 * groups of six. Reading ignores case, blanks and dashes and takes O as 0, I and L as 1. Errors: ERR_FORMAT wrong
 * length or symbol or check (every single wrong symbol and every swap of neighbours is noticed).
 */
void recovery_text_encode(const uint8_t key[RECOVERY_KEY_BYTES], char out[RECOVERY_TEXT_MAX]);
MUST_USE enum err recovery_text_decode(struct bytes text, uint8_t key[RECOVERY_KEY_BYTES]);

#endif
