/*
 * Fuzz target of the header block and slot parser. First byte: bit 0 repairs the checksums, so that the fields behind
 * them are reached. Properties: what parses is within bounds and encodes to a copy that parses to the same; no key
 * derivation with hostile cost is ever asked for (only recovery slots, which have none, are tried).
 */
#include "node/vault/slots.h"
#include "schema/base/check.h"

#include <sodium.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t mac_key[32] = { 1 };

enum { SUM_AT = 2016 };

static void repair(uint8_t *block)
{
    static const uint8_t magic[16] = { 'J', 'I', 'P', 'A', 'N', '-', 'V', 'A', 'U', 'L', 'T', '-', '1', '\r', '\n',
        0x1A };
    for (size_t c = 0; c < HEADER_COPIES; c++) {
        uint8_t *copy = block + c * HEADER_COPY_BYTES;
        memcpy(copy, magic, sizeof(magic));
        (void)crypto_generichash(copy + SUM_AT, HEADER_COPY_BYTES - SUM_AT, copy, SUM_AT, NULL, 0);
    }
}

static void check_slot(const struct key_slot *slot, const struct vault_header *h)
{
    uint8_t data_key[SLOT_SECRET_BYTES];
    uint8_t secret[RECOVERY_KEY_BYTES] = { 2 };
    check(slot->passes <= SLOT_PASSES_MAX);
    check(slot->memory_kib <= SLOT_MEMORY_KIB_MAX);
    if (slot->kind == SLOT_RECOVERY) {
        check(slot_unwrap(slot, BYTES_OF(secret), h->db_id, data_key) != ERR_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t block[VAULT_HEADER_BLOCK_BYTES];
    struct vault_header h;
    struct vault_header again;
    unsigned copy = 0;
    unsigned valid = 0;
    if (size == 0 || sodium_init() < 0) {
        return 0;
    }
    size_t len = size - 1 < sizeof(block) ? size - 1 : sizeof(block);
    memset(block, 0, sizeof(block));
    memcpy(block, data + 1, len);
    if ((data[0] & 1U) != 0) {
        repair(block);
        len = sizeof(block);
    }
    if (header_parse(bytes_of(block, len), &h, &copy, &valid) != ERR_OK) {
        return 0;
    }
    check(copy < HEADER_COPIES);
    check(valid >= 1);
    for (size_t i = 0; i < HEADER_SLOTS; i++) {
        check_slot(&h.slots[i], &h);
    }
    (void)header_check_mac(BYTES_OF(block), copy, mac_key);
    header_encode(&h, mac_key, block);
    header_encode(&h, mac_key, block + HEADER_COPY_BYTES);
    check(header_parse(BYTES_OF(block), &again, &copy, &valid) == ERR_OK);
    check(valid == HEADER_COPIES);
    check(again.counter == h.counter);
    check(memcmp(again.db_id, h.db_id, sizeof(h.db_id)) == 0);
    for (size_t i = 0; i < HEADER_SLOTS; i++) {
        check(again.slots[i].kind == h.slots[i].kind);
        check(again.slots[i].passes == h.slots[i].passes);
        check(memcmp(again.slots[i].wrapped, h.slots[i].wrapped, sizeof(h.slots[i].wrapped)) == 0);
    }
    return 0;
}
