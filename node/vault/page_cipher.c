/*
 * Owns: the one AEAD of the encrypted file set. A random 24-byte nonce per seal, so no counter has to survive a crash
 * or a resumed snapshot. The subkey derived per nonce is wiped; the long-term key is never copied.
 *
 * Deliberately not here: layout of pages, frames and blocks.
 */
#include "node/vault/page_cipher.h"

#include "node/vault/layout.h"

#include <openssl/evp.h>
#include <sodium.h>

enum { IETF_NONCE_BYTES = 12 };

enum err page_cipher_init(struct page_cipher *c)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL) {
        return ERR_NOMEM;
    }
    if (EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, NULL, NULL, 1) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        return ERR_NOMEM;
    }
    c->ctx = ctx;
    return ERR_OK;
}

void page_cipher_release(struct page_cipher *c)
{
    EVP_CIPHER_CTX_free(c->ctx);
    c->ctx = NULL;
}

void page_aad(uint8_t out[PAGE_AAD_BYTES], const uint8_t db_id[16], enum page_kind kind, uint64_t index)
{
    memset(out, 0, PAGE_AAD_BYTES);
    memcpy(out, db_id, 16);
    out[16] = (uint8_t)kind;
    put_u32be(out + 20, VAULT_PAGE_BYTES);
    put_u64be(out + 24, index);
}

/* Keys the context for one message: HChaCha20 of the first 16 nonce bytes, the last 8 go into the inner nonce. */
static bool cipher_start(
    EVP_CIPHER_CTX *ctx, const uint8_t key[PAGE_KEY_BYTES], const uint8_t nonce[PAGE_NONCE_BYTES], int encrypt)
{
    uint8_t subkey[PAGE_KEY_BYTES];
    uint8_t inner[IETF_NONCE_BYTES] = { 0 };
    memcpy(inner + 4, nonce + 16, 8);
    (void)crypto_core_hchacha20(subkey, nonce, key, NULL);
    bool ok = EVP_CipherInit_ex(ctx, NULL, NULL, subkey, inner, encrypt) == 1;
    sodium_memzero(subkey, sizeof(subkey));
    return ok;
}

enum err page_cipher_seal(struct page_cipher *c, const uint8_t key[PAGE_KEY_BYTES], const uint8_t aad[PAGE_AAD_BYTES],
    struct bytes plain, uint8_t *cipher, uint8_t nonce[PAGE_NONCE_BYTES], uint8_t tag[PAGE_TAG_BYTES])
{
    EVP_CIPHER_CTX *ctx = c->ctx;
    int n = 0;
    randombytes_buf(nonce, PAGE_NONCE_BYTES);
    bool ok = cipher_start(ctx, key, nonce, 1) && EVP_CipherUpdate(ctx, NULL, &n, aad, PAGE_AAD_BYTES) == 1 &&
              EVP_CipherUpdate(ctx, cipher, &n, plain.ptr, (int)plain.len) == 1 &&
              EVP_CipherFinal_ex(ctx, tag, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, PAGE_TAG_BYTES, tag) == 1;
    return ok ? ERR_OK : ERR_BUG;
}

enum err page_cipher_open(struct page_cipher *c, const uint8_t key[PAGE_KEY_BYTES], const uint8_t aad[PAGE_AAD_BYTES],
    struct bytes cipher, uint8_t *plain, const uint8_t nonce[PAGE_NONCE_BYTES], const uint8_t tag[PAGE_TAG_BYTES])
{
    EVP_CIPHER_CTX *ctx = c->ctx;
    int n = 0;
    uint8_t expected[PAGE_TAG_BYTES];
    uint8_t none[PAGE_TAG_BYTES];
    memcpy(expected, tag, sizeof(expected));
    bool ok = cipher_start(ctx, key, nonce, 0) &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, PAGE_TAG_BYTES, expected) == 1 &&
              EVP_CipherUpdate(ctx, NULL, &n, aad, PAGE_AAD_BYTES) == 1 &&
              EVP_CipherUpdate(ctx, plain, &n, cipher.ptr, (int)cipher.len) == 1 &&
              EVP_CipherFinal_ex(ctx, none, &n) == 1;
    if (!ok) {
        sodium_memzero(plain, cipher.len);
        return ERR_SEAL;
    }
    return ERR_OK;
}
