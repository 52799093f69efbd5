#ifndef JIPAN_NODE_PAGE_CIPHER_H
#define JIPAN_NODE_PAGE_CIPHER_H

#include "schema/base/bytes.h"
#include "schema/base/err.h"

enum { PAGE_KEY_BYTES = 32, PAGE_NONCE_BYTES = 24, PAGE_TAG_BYTES = 16, PAGE_SEAL_BYTES = 40, PAGE_AAD_BYTES = 32 };

/* What a sealed piece is. The kind is part of the associated data, so a piece cannot be moved to another role. */
enum page_kind {
    PAGE_KIND_MAIN = 1,
    PAGE_KIND_WAL_HEADER = 2,
    PAGE_KIND_WAL_FRAME = 3,
    PAGE_KIND_JOURNAL = 4,
    PAGE_KIND_TEMP = 5,
};

/**
 * struct page_cipher: XChaCha20-Poly1305 (IETF draft irtf-cfrg-xchacha-03) computed as HChaCha20 (libsodium) followed
 * by ChaCha20-Poly1305 (OpenSSL); the same bytes as libsodium's crypto_aead_xchacha20poly1305_ietf, at 1.8 times its
 * speed (docs/decisions/0003-encrypted-vfs.md). Used by one thread at a time; one per open file.
 */
struct page_cipher {
    void *ctx; /* EVP_CIPHER_CTX */
};

MUST_USE enum err page_cipher_init(struct page_cipher *c); /* ERR_NOMEM */
void page_cipher_release(struct page_cipher *c);

/* Associated data: db id, kind, page size, index; 32 bytes. */
void page_aad(uint8_t out[PAGE_AAD_BYTES], const uint8_t db_id[16], enum page_kind kind, uint64_t index);

/*
 * seal: draws a random nonce; cipher gets plain.len bytes and may be plain.ptr itself.
 * open: plain gets len bytes and may be cipher itself. ERR_SEAL leaves it zeroed.
 */
MUST_USE enum err page_cipher_seal(struct page_cipher *c, const uint8_t key[PAGE_KEY_BYTES],
    const uint8_t aad[PAGE_AAD_BYTES], struct bytes plain, uint8_t *cipher, uint8_t nonce[PAGE_NONCE_BYTES],
    uint8_t tag[PAGE_TAG_BYTES]);
MUST_USE enum err page_cipher_open(struct page_cipher *c, const uint8_t key[PAGE_KEY_BYTES],
    const uint8_t aad[PAGE_AAD_BYTES], struct bytes cipher, uint8_t *plain, const uint8_t nonce[PAGE_NONCE_BYTES],
    const uint8_t tag[PAGE_TAG_BYTES]);

#endif
