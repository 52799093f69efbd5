/* The page cipher gives libsodium's bytes, opens only what it sealed, and leaves nothing after a refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/vault/layout.h"

#include <sodium.h>

static const size_t lengths[] = { 0, 1, 32, 63, 64, 65, 514, 4056, 4098, 4124 };

static void cipher_gives_the_bytes_of_libsodium(void **state)
{
    (void)state;
    struct page_cipher c;
    uint8_t key[PAGE_KEY_BYTES];
    uint8_t aad[PAGE_AAD_BYTES];
    uint8_t plain[4124];
    uint8_t ours[sizeof(plain) + PAGE_TAG_BYTES];
    uint8_t theirs[sizeof(ours)];
    uint8_t nonce[PAGE_NONCE_BYTES];
    assert_int_equal(page_cipher_init(&c), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        size_t len = lengths[i];
        randombytes_buf(key, sizeof(key));
        randombytes_buf(aad, sizeof(aad));
        randombytes_buf(plain, sizeof(plain));
        assert_int_equal(page_cipher_seal(&c, key, aad, bytes_of(plain, len), ours, nonce, ours + len), ERR_OK);
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(theirs, NULL, plain, len, aad, sizeof(aad), NULL, nonce, key);
        assert_memory_equal(ours, theirs, len + PAGE_TAG_BYTES);
        assert_int_equal(page_cipher_open(&c, key, aad, bytes_of(theirs, len), theirs, nonce, theirs + len), ERR_OK);
        assert_memory_equal(theirs, plain, len);
    }
    page_cipher_release(&c);
}

static void cipher_refuses_any_changed_input(void **state)
{
    (void)state;
    struct page_cipher c;
    uint8_t key[PAGE_KEY_BYTES] = { 1 };
    uint8_t aad[PAGE_AAD_BYTES] = { 2 };
    uint8_t plain[100] = { 3 };
    uint8_t zero[100] = { 0 };
    uint8_t sealed[100];
    uint8_t out[100];
    uint8_t nonce[PAGE_NONCE_BYTES];
    uint8_t tag[PAGE_TAG_BYTES];
    assert_int_equal(page_cipher_init(&c), ERR_OK);
    assert_int_equal(page_cipher_seal(&c, key, aad, BYTES_OF(plain), sealed, nonce, tag), ERR_OK);
    struct {
        uint8_t *ptr;
        size_t len;
    } const parts[] = { { key, sizeof(key) }, { aad, sizeof(aad) }, { sealed, sizeof(sealed) },
        { nonce, sizeof(nonce) }, { tag, sizeof(tag) } };
    for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
        for (size_t i = 0; i < parts[p].len; i++) {
            parts[p].ptr[i] ^= 0x10U;
            memset(out, 0xAA, sizeof(out));
            assert_int_equal(page_cipher_open(&c, key, aad, BYTES_OF(sealed), out, nonce, tag), ERR_SEAL);
            assert_memory_equal(out, zero, sizeof(out));
            parts[p].ptr[i] ^= 0x10U;
        }
    }
    assert_int_equal(page_cipher_open(&c, key, aad, BYTES_OF(sealed), out, nonce, tag), ERR_OK);
    assert_memory_equal(out, plain, sizeof(out));
    page_cipher_release(&c);
}

static void cipher_never_repeats_a_nonce(void **state)
{
    (void)state;
    struct page_cipher c;
    uint8_t key[PAGE_KEY_BYTES] = { 0 };
    uint8_t aad[PAGE_AAD_BYTES] = { 0 };
    uint8_t plain[16] = { 0 };
    uint8_t sealed[2][16];
    uint8_t nonce[2][PAGE_NONCE_BYTES];
    uint8_t tag[PAGE_TAG_BYTES];
    assert_int_equal(page_cipher_init(&c), ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(page_cipher_seal(&c, key, aad, BYTES_OF(plain), sealed[i], nonce[i], tag), ERR_OK);
    }
    assert_memory_not_equal(nonce[0], nonce[1], PAGE_NONCE_BYTES);
    assert_memory_not_equal(sealed[0], sealed[1], sizeof(sealed[0]));
    page_cipher_release(&c);
}

static void aad_tells_kind_index_and_database_apart(void **state)
{
    (void)state;
    uint8_t id[16] = { 7 };
    uint8_t other_id[16] = { 8 };
    uint8_t base[PAGE_AAD_BYTES];
    uint8_t other[PAGE_AAD_BYTES];
    page_aad(base, id, PAGE_KIND_MAIN, 5);
    page_aad(other, id, PAGE_KIND_WAL_FRAME, 5);
    assert_memory_not_equal(base, other, sizeof(base));
    page_aad(other, id, PAGE_KIND_MAIN, 6);
    assert_memory_not_equal(base, other, sizeof(base));
    page_aad(other, other_id, PAGE_KIND_MAIN, 5);
    assert_memory_not_equal(base, other, sizeof(base));
}

int main(void)
{
    if (sodium_init() < 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cipher_gives_the_bytes_of_libsodium),
        cmocka_unit_test(cipher_refuses_any_changed_input),
        cmocka_unit_test(cipher_never_repeats_a_nonce),
        cmocka_unit_test(aad_tells_kind_index_and_database_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
