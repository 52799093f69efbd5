/* Header block, key slots and the recovery text: round trips, every flipped byte, bounds, commitment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/vault/slots.h"

#include <sodium.h>

static const uint8_t mac_key[32] = { 9, 9, 9 };

static struct vault_header sample_header(uint64_t counter)
{
    struct vault_header h = { .counter = counter };
    uint8_t data_key[SLOT_SECRET_BYTES];
    uint8_t recovery[RECOVERY_KEY_BYTES];
    memset(data_key, 0x5A, sizeof(data_key));
    memset(recovery, 0x77, sizeof(recovery));
    memset(h.db_id, 0x11, sizeof(h.db_id));
    assert_int_equal(slot_wrap(SLOT_PASSPHRASE, BYTES_LIT("open sesame"), h.db_id, data_key, &h.slots[0]), ERR_OK);
    assert_int_equal(slot_wrap(SLOT_RECOVERY, BYTES_OF(recovery), h.db_id, data_key, &h.slots[1]), ERR_OK);
    return h;
}

static void sample_block(uint8_t block[VAULT_HEADER_BLOCK_BYTES], uint64_t first, uint64_t second)
{
    struct vault_header h = sample_header(first);
    header_encode(&h, mac_key, block);
    h.counter = second;
    header_encode(&h, mac_key, block + HEADER_COPY_BYTES);
}

/* Recomputes the public checksum of a copy, as somebody who alters the file can. */
static void fix_checksum(uint8_t *copy)
{
    (void)crypto_generichash(copy + 2016, 32, copy, 2016, NULL, 0);
}

static void header_with_the_higher_counter_counts(void **state)
{
    (void)state;
    uint8_t block[VAULT_HEADER_BLOCK_BYTES];
    struct vault_header h;
    unsigned copy = 9;
    unsigned valid = 0;
    sample_block(block, 5, 4);
    assert_int_equal(header_parse(BYTES_OF(block), &h, &copy, &valid), ERR_OK);
    assert_int_equal(h.counter, 5);
    assert_int_equal(copy, 0);
    assert_int_equal(valid, 2);
    sample_block(block, 5, 6);
    assert_int_equal(header_parse(BYTES_OF(block), &h, &copy, &valid), ERR_OK);
    assert_int_equal(h.counter, 6);
    assert_int_equal(copy, 1);
    assert_true(header_check_mac(BYTES_OF(block), 0, mac_key));
    assert_true(header_check_mac(BYTES_OF(block), 1, mac_key));
}

static void header_copy_with_any_flipped_byte_is_invalid(void **state)
{
    (void)state;
    uint8_t block[VAULT_HEADER_BLOCK_BYTES];
    struct vault_header h;
    unsigned copy = 9;
    unsigned valid = 0;
    sample_block(block, 1, 2);
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] ^= 1U;
        assert_int_equal(header_parse(BYTES_OF(block), &h, &copy, &valid), ERR_OK);
        assert_int_equal(valid, 1);
        assert_int_equal(copy, i < HEADER_COPY_BYTES ? 1 : 0);
        block[i] ^= 1U;
    }
    block[100] ^= 1U;
    block[HEADER_COPY_BYTES + 100] ^= 1U;
    assert_int_equal(header_parse(BYTES_OF(block), &h, &copy, &valid), ERR_DAMAGED);
    assert_int_equal(header_parse(bytes_of(block, sizeof(block) - 1), &h, &copy, &valid), ERR_DAMAGED);
}

static void header_altered_with_a_right_checksum_fails_the_mac(void **state)
{
    (void)state;
    uint8_t block[VAULT_HEADER_BLOCK_BYTES];
    sample_block(block, 1, 2);
    block[40] ^= 1U; /* database id */
    fix_checksum(block);
    assert_false(header_check_mac(BYTES_OF(block), 0, mac_key));
}

static void header_asking_too_much_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
        enum err err;
    } cases[] = {
        { 16, 2, ERR_VERSION }, /* newer format */
        { 20, 8192, ERR_DAMAGED }, /* other page size */
        { 64, 0x03000000, ERR_DAMAGED }, /* unknown slot kind */
        { 64 + 4, SLOT_PASSES_MAX + 1, ERR_DAMAGED }, /* too many passes */
        { 64 + 4, 0, ERR_DAMAGED }, /* none */
        { 64 + 8, SLOT_MEMORY_KIB_MAX + 1, ERR_DAMAGED }, /* too much memory */
        { 64 + 8, 0xFFFFFFFF, ERR_DAMAGED }, { 64 + 8, 7, ERR_DAMAGED },
        { 64 + SLOT_BYTES + 4, 1, ERR_DAMAGED }, /* a cost where none belongs */
        { 900, 1, ERR_DAMAGED }, /* unused bytes */
    };
    uint8_t block[VAULT_HEADER_BLOCK_BYTES];
    struct vault_header h;
    unsigned copy = 0;
    unsigned valid = 0;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        sample_block(block, 1, 2);
        for (size_t c = 0; c < HEADER_COPIES; c++) {
            put_u32be(block + c * HEADER_COPY_BYTES + cases[i].at, cases[i].value);
            fix_checksum(block + c * HEADER_COPY_BYTES);
        }
        assert_int_equal(header_parse(BYTES_OF(block), &h, &copy, &valid), cases[i].err);
    }
}

static void slot_opens_with_its_secret_only(void **state)
{
    (void)state;
    struct vault_header h = sample_header(1);
    uint8_t out[SLOT_SECRET_BYTES];
    uint8_t expected[SLOT_SECRET_BYTES];
    memset(expected, 0x5A, sizeof(expected));
    assert_int_equal(slot_unwrap(&h.slots[0], BYTES_LIT("open sesame"), h.db_id, out), ERR_OK);
    assert_memory_equal(out, expected, sizeof(out));
    assert_int_equal(slot_unwrap(&h.slots[0], BYTES_LIT("open sesamf"), h.db_id, out), ERR_SECRET);
    assert_int_equal(slot_unwrap(&h.slots[0], BYTES_LIT(""), h.db_id, out), ERR_SECRET);
    assert_int_equal(slot_unwrap(&h.slots[1], BYTES_LIT("short"), h.db_id, out), ERR_SECRET);
    h.db_id[0] ^= 1U;
    assert_int_equal(slot_unwrap(&h.slots[0], BYTES_LIT("open sesame"), h.db_id, out), ERR_SECRET);
}

static void slot_with_lowered_cost_does_not_open(void **state)
{
    (void)state;
    struct vault_header h = sample_header(1);
    uint8_t out[SLOT_SECRET_BYTES];
    h.slots[0].memory_kib = SLOT_MEMORY_KIB_MIN;
    h.slots[0].passes = 2;
    assert_int_equal(slot_unwrap(&h.slots[0], BYTES_LIT("open sesame"), h.db_id, out), ERR_SECRET);
}

static void slot_with_right_secret_and_altered_key_is_damage(void **state)
{
    (void)state;
    struct vault_header h = sample_header(1);
    uint8_t out[SLOT_SECRET_BYTES];
    h.slots[0].wrapped[0] ^= 1U;
    assert_int_equal(slot_unwrap(&h.slots[0], BYTES_LIT("open sesame"), h.db_id, out), ERR_DAMAGED);
}

static void recovery_text_round_trips(void **state)
{
    (void)state;
    uint8_t key[RECOVERY_KEY_BYTES];
    uint8_t back[RECOVERY_KEY_BYTES];
    char text[RECOVERY_TEXT_MAX];
    for (int i = 0; i < 200; i++) {
        randombytes_buf(key, sizeof(key));
        recovery_text_encode(key, text);
        assert_int_equal(strlen(text), 62);
        assert_int_equal(recovery_text_decode(bytes_str(text), back), ERR_OK);
        assert_memory_equal(key, back, sizeof(key));
    }
    memset(key, 0xFF, sizeof(key));
    recovery_text_encode(key, text);
    for (size_t i = 0; text[i] != '\0'; i++) {
        text[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i] == '-' ? ' ' : text[i]);
    }
    assert_int_equal(recovery_text_decode(bytes_str(text), back), ERR_OK);
    assert_memory_equal(key, back, sizeof(key));
}

static void recovery_text_notices_every_typing_error(void **state)
{
    (void)state;
    static const char symbols[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint8_t key[RECOVERY_KEY_BYTES];
    uint8_t back[RECOVERY_KEY_BYTES];
    char good[RECOVERY_TEXT_MAX];
    char text[RECOVERY_TEXT_MAX];
    randombytes_buf(key, sizeof(key));
    recovery_text_encode(key, good);
    for (size_t i = 0; good[i] != '\0'; i++) {
        for (size_t s = 0; good[i] != '-' && s < 32; s++) {
            memcpy(text, good, sizeof(text));
            text[i] = symbols[s];
            enum err expected = text[i] == good[i] ? ERR_OK : ERR_FORMAT;
            assert_int_equal(recovery_text_decode(bytes_str(text), back), expected);
        }
        if (good[i + 1] != '\0' && good[i] != '-' && good[i + 1] != '-' && good[i] != good[i + 1]) {
            memcpy(text, good, sizeof(text));
            text[i] = good[i + 1];
            text[i + 1] = good[i];
            assert_int_equal(recovery_text_decode(bytes_str(text), back), ERR_FORMAT);
        }
    }
    assert_int_equal(recovery_text_decode(bytes_of(good, 61), back), ERR_FORMAT);
    assert_int_equal(recovery_text_decode(BYTES_LIT("U"), back), ERR_FORMAT);
}

int main(void)
{
    if (sodium_init() < 0) {
        return 1;
    }
    vault_test_set_kdf(1, 64 * 1024);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_with_the_higher_counter_counts),
        cmocka_unit_test(header_copy_with_any_flipped_byte_is_invalid),
        cmocka_unit_test(header_altered_with_a_right_checksum_fails_the_mac),
        cmocka_unit_test(header_asking_too_much_is_refused),
        cmocka_unit_test(slot_opens_with_its_secret_only),
        cmocka_unit_test(slot_with_lowered_cost_does_not_open),
        cmocka_unit_test(slot_with_right_secret_and_altered_key_is_damage),
        cmocka_unit_test(recovery_text_round_trips),
        cmocka_unit_test(recovery_text_notices_every_typing_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
