/*
 * Owns: the bytes of the header block. One copy, big-endian:
 *
 *      0  16  magic                       64  4 x 192  key slots
 *     16   4  format version             832     1152  zero
 *     20   4  page size, 4096           1984       32  MAC: BLAKE2b-256 keyed from the data key, over 0..1983
 *     24   8  counter                   2016       32  checksum: BLAKE2b-256 over 0..2015
 *     32  16  database id
 *     48  16  zero
 *
 * One slot:  0 kind, 1..3 zero, 4 passes, 8 memory in KiB, 12..15 zero, 16 salt (16), 32 commitment (32), 64 nonce
 * (24), 88 wrapped key (48), 136..191 zero.
 *
 * The checksum tells damage from a wrong secret before any key is derived; the MAC tells tampering. Unused bytes must
 * be zero, so every byte of a copy is covered by a rule as well as by both sums.
 */
#include "node/vault/header.h"

#include <sodium.h>

enum { AT_VERSION = 16, AT_PAGE = 20, AT_COUNTER = 24, AT_ID = 32, AT_ZERO = 48, AT_SLOTS = 64 };
enum { AT_REST = AT_SLOTS + HEADER_SLOTS * SLOT_BYTES, AT_MAC = 1984, AT_SUM = 2016 };
enum { AT_SLOT_COMMIT = 32, AT_SLOT_NONCE = 64, AT_SLOT_WRAPPED = 88, AT_SLOT_REST = 136 };

static const uint8_t header_magic[16] = { 'J', 'I', 'P', 'A', 'N', '-', 'V', 'A', 'U', 'L', 'T', '-', '1', '\r', '\n',
    0x1A };

static bool is_zero(const uint8_t *p, size_t len)
{
    return sodium_is_zero(p, len) == 1;
}

static void slot_encode(const struct key_slot *slot, uint8_t out[SLOT_BYTES])
{
    memset(out, 0, SLOT_BYTES);
    slot_head(slot, out);
    memcpy(out + AT_SLOT_COMMIT, slot->commit, SLOT_COMMIT_BYTES);
    memcpy(out + AT_SLOT_NONCE, slot->nonce, PAGE_NONCE_BYTES);
    memcpy(out + AT_SLOT_WRAPPED, slot->wrapped, sizeof(slot->wrapped));
}

void slot_head(const struct key_slot *slot, uint8_t out[SLOT_HEAD_BYTES])
{
    memset(out, 0, SLOT_HEAD_BYTES);
    out[0] = (uint8_t)slot->kind;
    put_u32be(out + 4, slot->passes);
    put_u32be(out + 8, slot->memory_kib);
    memcpy(out + 16, slot->salt, SLOT_SALT_BYTES);
}

/* Whether the cost fits the kind; the upper bounds keep a hostile header from costing us more than one gibibyte. */
static bool slot_cost_is_sane(const struct key_slot *slot)
{
    if (slot->kind == SLOT_PASSPHRASE) {
        return slot->passes >= 1 && slot->passes <= SLOT_PASSES_MAX && slot->memory_kib >= SLOT_MEMORY_KIB_MIN &&
               slot->memory_kib <= SLOT_MEMORY_KIB_MAX;
    }
    return slot->passes == 0 && slot->memory_kib == 0;
}

static bool slot_decode(const uint8_t *p, struct key_slot *out)
{
    if (p[0] == SLOT_EMPTY) {
        *out = (struct key_slot){ .kind = SLOT_EMPTY };
        return is_zero(p, SLOT_BYTES);
    }
    if (p[0] != SLOT_PASSPHRASE && p[0] != SLOT_RECOVERY) {
        return false;
    }
    out->kind = p[0] == SLOT_PASSPHRASE ? SLOT_PASSPHRASE : SLOT_RECOVERY;
    out->passes = get_u32be(p + 4);
    out->memory_kib = get_u32be(p + 8);
    memcpy(out->salt, p + 16, SLOT_SALT_BYTES);
    memcpy(out->commit, p + AT_SLOT_COMMIT, SLOT_COMMIT_BYTES);
    memcpy(out->nonce, p + AT_SLOT_NONCE, PAGE_NONCE_BYTES);
    memcpy(out->wrapped, p + AT_SLOT_WRAPPED, sizeof(out->wrapped));
    return is_zero(p + 1, 3) && is_zero(p + 12, 4) && is_zero(p + AT_SLOT_REST, SLOT_BYTES - AT_SLOT_REST) &&
           slot_cost_is_sane(out);
}

static bool copy_sum_is_right(const uint8_t *p)
{
    uint8_t sum[HEADER_MAC_BYTES];
    (void)crypto_generichash(sum, sizeof(sum), p, AT_SUM, NULL, 0);
    return memcmp(p, header_magic, sizeof(header_magic)) == 0 && memcmp(sum, p + AT_SUM, sizeof(sum)) == 0;
}

static enum err copy_decode(const uint8_t *p, struct vault_header *out)
{
    if (!copy_sum_is_right(p)) {
        return ERR_DAMAGED;
    }
    if (get_u32be(p + AT_VERSION) != HEADER_VERSION) {
        return ERR_VERSION;
    }
    bool ok = get_u32be(p + AT_PAGE) == VAULT_PAGE_BYTES && is_zero(p + AT_ZERO, AT_SLOTS - AT_ZERO) &&
              is_zero(p + AT_REST, AT_MAC - AT_REST);
    out->counter = get_u64be(p + AT_COUNTER);
    memcpy(out->db_id, p + AT_ID, HEADER_ID_BYTES);
    for (size_t i = 0; i < HEADER_SLOTS; i++) {
        ok = slot_decode(p + AT_SLOTS + i * SLOT_BYTES, &out->slots[i]) && ok;
    }
    return ok ? ERR_OK : ERR_DAMAGED;
}

enum err header_parse(struct bytes block, struct vault_header *out, unsigned *ret_copy, unsigned *ret_valid)
{
    struct vault_header best = { .counter = 0 };
    enum err result = ERR_DAMAGED;
    unsigned valid = 0;
    unsigned chosen = 0;
    for (unsigned i = 0; i < HEADER_COPIES && block.len >= VAULT_HEADER_BLOCK_BYTES; i++) {
        struct vault_header h;
        enum err e = copy_decode(block.ptr + (size_t)i * HEADER_COPY_BYTES, &h);
        if (e == ERR_VERSION && valid == 0) {
            result = ERR_VERSION;
        }
        if (e != ERR_OK) {
            continue;
        }
        if (valid == 0 || h.counter > best.counter) {
            best = h;
            chosen = i;
        }
        valid++;
        result = ERR_OK;
    }
    if (result == ERR_OK) {
        *out = best;
        *ret_copy = chosen;
        *ret_valid = valid;
    }
    return result;
}

void header_encode(const struct vault_header *h, const uint8_t mac_key[32], uint8_t out[HEADER_COPY_BYTES])
{
    memset(out, 0, HEADER_COPY_BYTES);
    memcpy(out, header_magic, sizeof(header_magic));
    put_u32be(out + AT_VERSION, HEADER_VERSION);
    put_u32be(out + AT_PAGE, VAULT_PAGE_BYTES);
    put_u64be(out + AT_COUNTER, h->counter);
    memcpy(out + AT_ID, h->db_id, HEADER_ID_BYTES);
    for (size_t i = 0; i < HEADER_SLOTS; i++) {
        if (h->slots[i].kind != SLOT_EMPTY) {
            slot_encode(&h->slots[i], out + AT_SLOTS + i * SLOT_BYTES);
        }
    }
    (void)crypto_generichash(out + AT_MAC, HEADER_MAC_BYTES, out, AT_MAC, mac_key, 32);
    (void)crypto_generichash(out + AT_SUM, HEADER_MAC_BYTES, out, AT_SUM, NULL, 0);
}

bool header_check_mac(struct bytes block, unsigned copy, const uint8_t mac_key[32])
{
    const uint8_t *p = block.ptr + (size_t)copy * HEADER_COPY_BYTES;
    uint8_t mac[HEADER_MAC_BYTES];
    (void)crypto_generichash(mac, sizeof(mac), p, AT_MAC, mac_key, 32);
    return sodium_memcmp(mac, p + AT_MAC, sizeof(mac)) == 0;
}

bool header_other_is_stale(struct bytes block, unsigned copy, const struct vault_header *h, const uint8_t mac_key[32])
{
    const uint8_t *p = block.ptr + (size_t)((copy + 1) % HEADER_COPIES) * HEADER_COPY_BYTES;
    uint8_t want[HEADER_COPY_BYTES];
    struct vault_header other;
    enum err e = copy_decode(p, &other);
    if (e != ERR_OK) {
        return e != ERR_VERSION;
    }
    struct vault_header same = *h;
    same.counter = other.counter;
    header_encode(&same, mac_key, want);
    return memcmp(want, p, sizeof(want)) != 0;
}
