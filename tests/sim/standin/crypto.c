/*
 * Stand-in cryptography of the fast simulator, put in place of libsodium's and the page cipher's by the linker. It
 * keeps what tests can notice: a signature, box or sealed piece fails with any flipped byte, another key, nonce or
 * context, and a sealed piece shows nothing of its plaintext. It keeps no secret from anybody who tries: a public key
 * signs. Never linked into anything but the simulator.
 */
#include "node/vault/layout.h"
#include "node/vault/page_cipher.h"
#include "schema/base/check.h"

#include <sodium.h>
#include <stdlib.h>

/* --- a keyed stream and a keyed tag, both fast -------------------------------------------------------------------- */

static uint64_t word_at(const uint8_t *p)
{
    uint64_t w = 0;
    memcpy(&w, p, sizeof(w));
    return w;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 wide = (unsigned __int128)(a ^ 0x9E3779B97F4A7C15U) * (b ^ 0xD6E8FEB86659FD93U);
    return (uint64_t)wide ^ (uint64_t)(wide >> 64U);
}

struct lanes {
    uint64_t a, b;
};

static inline void absorb_block(struct lanes *l, const uint8_t p[16])
{
    uint64_t x = word_at(p);
    uint64_t y = word_at(p + 8);
    l->a = mix(l->a ^ x, y ^ 0xA24BAED4963EE407U);
    l->b = mix(l->b ^ y, x + 0x9FB21C651E98DF25U) + l->a;
}

static inline uint64_t lane(uint64_t at, const uint8_t *p)
{
    uint64_t y = word_at(p + 8);
    return mix(at ^ word_at(p), y) ^ y;
}

/* Pages and messages: four blocks at a time that need not wait for each other. */
static void absorb_wide(struct lanes *l, const uint8_t *p, size_t rounds)
{
    uint64_t a = l->a;
    uint64_t b = l->b;
    uint64_t c = l->a ^ 0x5851F42D4C957F2DU;
    uint64_t d = l->b ^ 0x14057B7EF767814FU;
    while (rounds-- > 0) {
        a = lane(a, p);
        b = lane(b, p + 16);
        c = lane(c, p + 32);
        d = lane(d, p + 48);
        p += 64;
    }
    l->a = mix(a, b ^ 0xA24BAED4963EE407U) ^ c;
    l->b = mix(c, d ^ 0x9FB21C651E98DF25U) ^ b;
    l->a = mix(l->a, d);
}

static void absorb(struct lanes *l, const uint8_t *p, size_t len)
{
    uint64_t tail[2] = { 0, len };
    size_t wide = len / 64;
    if (wide > 0) {
        absorb_wide(l, p, wide);
        p += 64 * wide;
        len -= 64 * wide;
    }
    struct lanes at = *l;
    while (len >= 16) {
        absorb_block(&at, p);
        p += 16;
        len -= 16;
    }
    if (len >= 8) {
        at.a = mix(at.a ^ word_at(p), 0xC2B2AE3D27D4EB4FU);
        p += 8;
        len -= 8;
    }
    if (len > 0) {
        memcpy(tail, p, len);
    }
    l->a = mix(at.a ^ tail[0], tail[1] ^ at.b);
    l->b = mix(at.b ^ tail[1], l->a ^ tail[0]);
}

static struct lanes keyed(const uint8_t key[32], const uint8_t *nonce, size_t nonce_len)
{
    struct lanes l = { .a = 0x2545F4914F6CDD1DU, .b = 0x8CB92BA72F3D8DD7U };
    absorb(&l, key, 32);
    absorb(&l, nonce, nonce_len);
    return l;
}

typedef uint64_t pair __attribute__((vector_size(16)));

static inline void flow_pair(const uint8_t *from, uint8_t *to, pair words)
{
    pair w;
    memcpy(&w, from, sizeof(w));
    w ^= words;
    memcpy(to, &w, sizeof(w));
}

/* What is seen is the text under words that go up by steps of their own for each key and nonce. */
static void flow(struct lanes l, const uint8_t *from, uint8_t *to, size_t len)
{
    const uint64_t first = mix(l.a, l.b);
    const uint64_t step = mix(l.b, first) | 1U;
    pair words = { first, first + step };
    for (; len >= 64; len -= 64) {
        for (size_t i = 0; i < 4; i++) {
            flow_pair(from + 16 * i, to + 16 * i, words);
            words += (pair){ 2 * step, 2 * step };
        }
        from += 64;
        to += 64;
    }
    uint64_t word = words[0];
    for (; len >= 8; len -= 8) {
        uint64_t w = word_at(from) ^ word;
        memcpy(to, &w, 8);
        word += step;
        from += 8;
        to += 8;
    }
    for (size_t i = 0; i < len; i++) {
        to[i] = (uint8_t)(from[i] ^ (uint8_t)(word >> (8U * i)));
    }
}

/* Over what is sealed, so that the cipher text is what cannot be changed. */
static void tag_of(struct lanes l, const uint8_t *ad, size_t ad_len, const uint8_t *cipher, size_t len, uint8_t out[16])
{
    l.a ^= 0x5851F42D4C957F2DU;
    absorb(&l, ad, ad_len);
    absorb(&l, cipher, len);
    memcpy(out, &l.a, 8);
    memcpy(out + 8, &l.b, 8);
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

enum err page_cipher_init(struct page_cipher *c)
{
    c->ctx = NULL;
    return ERR_OK;
}

void page_cipher_release(struct page_cipher *c)
{
    (void)c;
}

void page_aad(uint8_t out[PAGE_AAD_BYTES], const uint8_t db_id[16], enum page_kind kind, uint64_t index)
{
    memset(out, 0, PAGE_AAD_BYTES);
    memcpy(out, db_id, 16);
    out[16] = (uint8_t)kind;
    put_u32be(out + 20, VAULT_PAGE_BYTES);
    put_u64be(out + 24, index);
}

enum err page_cipher_seal(struct page_cipher *c, const uint8_t key[PAGE_KEY_BYTES], const uint8_t aad[PAGE_AAD_BYTES],
    struct bytes plain, uint8_t *cipher, uint8_t nonce[PAGE_NONCE_BYTES], uint8_t tag[PAGE_TAG_BYTES])
{
    (void)c;
    randombytes_buf(nonce, PAGE_NONCE_BYTES);
    struct lanes l = keyed(key, nonce, PAGE_NONCE_BYTES);
    flow(l, plain.ptr, cipher, plain.len);
    tag_of(l, aad, PAGE_AAD_BYTES, cipher, plain.len, tag);
    return ERR_OK;
}

enum err page_cipher_open(struct page_cipher *c, const uint8_t key[PAGE_KEY_BYTES], const uint8_t aad[PAGE_AAD_BYTES],
    struct bytes cipher, uint8_t *plain, const uint8_t nonce[PAGE_NONCE_BYTES], const uint8_t tag[PAGE_TAG_BYTES])
{
    uint8_t want[PAGE_TAG_BYTES];
    (void)c;
    struct lanes l = keyed(key, nonce, PAGE_NONCE_BYTES);
    tag_of(l, aad, PAGE_AAD_BYTES, cipher.ptr, cipher.len, want);
    if (memcmp(want, tag, sizeof(want)) != 0) {
        memset(plain, 0, cipher.len);
        return ERR_SEAL;
    }
    flow(l, cipher.ptr, plain, cipher.len);
    return ERR_OK;
}

/* --- sealed parts ------------------------------------------------------------------------------------------------- */

int crypto_aead_xchacha20poly1305_ietf_encrypt(unsigned char *c, unsigned long long *clen_p, const unsigned char *m,
    unsigned long long mlen, const unsigned char *ad, unsigned long long adlen, const unsigned char *nsec,
    const unsigned char *npub, const unsigned char *k)
{
    struct lanes l = keyed(k, npub, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
    (void)nsec;
    flow(l, m, c, (size_t)mlen);
    tag_of(l, ad, (size_t)adlen, c, (size_t)mlen, c + mlen);
    if (clen_p != NULL) {
        *clen_p = mlen + 16;
    }
    return 0;
}

int crypto_aead_xchacha20poly1305_ietf_decrypt(unsigned char *m, unsigned long long *mlen_p, unsigned char *nsec,
    const unsigned char *c, unsigned long long clen, const unsigned char *ad, unsigned long long adlen,
    const unsigned char *npub, const unsigned char *k)
{
    uint8_t want[16];
    (void)nsec;
    if (clen < 16) {
        return -1;
    }
    struct lanes l = keyed(k, npub, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
    tag_of(l, ad, (size_t)adlen, c, (size_t)clen - 16, want);
    if (memcmp(want, c + clen - 16, 16) != 0) {
        return -1;
    }
    flow(l, c, m, (size_t)clen - 16);
    if (mlen_p != NULL) {
        *mlen_p = clen - 16;
    }
    return 0;
}

/* --- hashes: two lanes over blocks of 16 bytes, however they come in -----------------------------------------------
 */

struct hashing {
    struct lanes l;
    uint64_t total;
    size_t waiting;
    uint8_t block[16];
};
_Static_assert(sizeof(struct hashing) <= sizeof(crypto_generichash_state), "it stands in the state of the other one");

static struct hashing *hashing_of(crypto_generichash_state *state)
{
    return (struct hashing *)(void *)state;
}

int crypto_generichash_init(
    crypto_generichash_state *state, const unsigned char *key, const size_t keylen, const size_t outlen)
{
    const uint8_t len = (uint8_t)outlen;
    struct hashing *h = hashing_of(state);
    *h = (struct hashing){ .l = { .a = 0x6A09E667F3BCC908U, .b = 0xBB67AE8584CAA73BU } };
    absorb(&h->l, key, key == NULL ? 0 : keylen);
    absorb(&h->l, &len, 1);
    return 0;
}

int crypto_generichash_update(crypto_generichash_state *state, const unsigned char *in, unsigned long long inlen)
{
    struct hashing *h = hashing_of(state);
    size_t left = (size_t)inlen;
    h->total += left;
    while (left > 0) {
        size_t room = sizeof(h->block) - h->waiting;
        size_t step = left < room ? left : room;
        memcpy(h->block + h->waiting, in, step);
        h->waiting += step;
        in += step;
        left -= step;
        if (h->waiting == sizeof(h->block)) {
            absorb_block(&h->l, h->block);
            h->waiting = 0;
        }
    }
    return 0;
}

int crypto_generichash_final(crypto_generichash_state *state, unsigned char *out, const size_t outlen)
{
    struct hashing *h = hashing_of(state);
    const uint64_t words = (outlen + 7) / 8;
    absorb(&h->l, h->block, h->waiting);
    h->l.b = mix(h->l.b ^ h->total, h->l.a);
    for (uint64_t i = 0; i < words; i++) {
        uint64_t w = mix(h->l.a + i, h->l.b ^ (i + 1) * 0x9E3779B97F4A7C15U);
        size_t at = 8 * (size_t)i;
        memcpy(out + at, &w, outlen - at < 8 ? outlen - at : 8);
    }
    return 0;
}

int crypto_generichash(unsigned char *out, size_t outlen, const unsigned char *in, unsigned long long inlen,
    const unsigned char *key, size_t keylen)
{
    crypto_generichash_state s;
    (void)crypto_generichash_init(&s, key, keylen, outlen);
    (void)crypto_generichash_update(&s, in, inlen);
    return crypto_generichash_final(&s, out, outlen);
}

/* --- signatures: the tag is keyed by the public key --------------------------------------------------------------- */

static void derive(const char *what, const uint8_t *from, size_t len, uint8_t out[32])
{
    crypto_generichash_state s;
    (void)crypto_generichash_init(&s, NULL, 0, 32);
    (void)crypto_generichash_update(&s, (const uint8_t *)what, strlen(what) + 1);
    (void)crypto_generichash_update(&s, from, len);
    (void)crypto_generichash_final(&s, out, 32);
}

static void sign_with(const uint8_t public_key[32], const uint8_t *m, size_t len, uint8_t out[64])
{
    for (uint8_t i = 0; i < 4; i++) {
        struct lanes l = keyed(public_key, &i, 1);
        absorb(&l, m, len);
        memcpy(out + 16 * (size_t)i, &l.a, 8);
        memcpy(out + 16 * (size_t)i + 8, &l.b, 8);
    }
}

int crypto_sign_seed_keypair(unsigned char *pk, unsigned char *sk, const unsigned char *seed)
{
    derive("sign", seed, 32, pk);
    memcpy(sk, seed, 32);
    memcpy(sk + 32, pk, 32);
    return 0;
}

int crypto_sign_detached(unsigned char *sig, unsigned long long *siglen_p, const unsigned char *m,
    unsigned long long mlen, const unsigned char *sk)
{
    sign_with(sk + 32, m, (size_t)mlen, sig);
    if (siglen_p != NULL) {
        *siglen_p = 64;
    }
    return 0;
}

int crypto_sign_verify_detached(
    const unsigned char *sig, const unsigned char *m, unsigned long long mlen, const unsigned char *pk)
{
    uint8_t want[64];
    sign_with(pk, m, (size_t)mlen, want);
    return memcmp(want, sig, sizeof(want)) == 0 ? 0 : -1;
}

/* --- boxes: the key is made of both public keys ------------------------------------------------------------------- */

int crypto_box_seed_keypair(unsigned char *pk, unsigned char *sk, const unsigned char *seed)
{
    derive("box-secret", seed, 32, sk);
    derive("box-public", sk, 32, pk);
    return 0;
}

static struct lanes box_lanes(const uint8_t *nonce, const uint8_t *theirs, const uint8_t *secret)
{
    uint8_t both[64];
    uint8_t key[32];
    uint8_t mine[32];
    derive("box-public", secret, 32, mine);
    bool first = memcmp(mine, theirs, 32) < 0;
    memcpy(both, first ? mine : theirs, 32);
    memcpy(both + 32, first ? theirs : mine, 32);
    derive("box-shared", both, sizeof(both), key);
    return keyed(key, nonce, crypto_box_NONCEBYTES);
}

int crypto_box_easy(unsigned char *c, const unsigned char *m, unsigned long long mlen, const unsigned char *n,
    const unsigned char *pk, const unsigned char *sk)
{
    struct lanes l = box_lanes(n, pk, sk);
    flow(l, m, c + 16, (size_t)mlen);
    tag_of(l, NULL, 0, c + 16, (size_t)mlen, c);
    return 0;
}

int crypto_box_open_easy(unsigned char *m, const unsigned char *c, unsigned long long clen, const unsigned char *n,
    const unsigned char *pk, const unsigned char *sk)
{
    uint8_t want[16];
    if (clen < 16) {
        return -1;
    }
    struct lanes l = box_lanes(n, pk, sk);
    tag_of(l, NULL, 0, c + 16, (size_t)clen - 16, want);
    if (memcmp(want, c, 16) != 0) {
        return -1;
    }
    flow(l, c + 16, m, (size_t)clen - 16);
    return 0;
}

/* Any key but zero is a point. */
int crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
    (void)n;
    memcpy(q, p, 32);
    return sodium_is_zero(p, 32) != 0 ? -1 : 0;
}

/* --- memory: guard pages cost system calls ------------------------------------------------------------------------ */

void *sodium_malloc(const size_t size)
{
    return calloc(1, size);
}

void sodium_free(void *ptr)
{
    free(ptr);
}
