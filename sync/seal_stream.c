/*
 * Owns: the calls of libsodium's secretstream. Invariant: chance comes from the caller. The library's own start for the
 * sending end draws the header from the global generator and is otherwise the start of the receiving end, so both ends
 * use that one. Holds no key beyond the stream's state.
 */
#include "sync/seal_stream.h"

#include "schema/base/check.h"

#include <sodium.h>

_Static_assert(SEAL_STREAM_HEADER_BYTES == crypto_secretstream_xchacha20poly1305_HEADERBYTES, "header");
_Static_assert(SEAL_STREAM_EXTRA_BYTES == crypto_secretstream_xchacha20poly1305_ABYTES, "extra");
_Static_assert(KEY_BYTES == crypto_secretstream_xchacha20poly1305_KEYBYTES, "key");
_Static_assert(sizeof(crypto_secretstream_xchacha20poly1305_state) <= SEAL_STREAM_STATE_BYTES, "state");

static crypto_secretstream_xchacha20poly1305_state *state_of(struct seal_stream *s)
{
    return (crypto_secretstream_xchacha20poly1305_state *)(void *)s->state;
}

void seal_stream_start(
    struct seal_stream *s, const uint8_t key[KEY_BYTES], const uint8_t header[SEAL_STREAM_HEADER_BYTES])
{
    int rc = crypto_secretstream_xchacha20poly1305_init_pull(state_of(s), header, key);
    check(rc == 0);
}

void seal_stream_put(struct seal_stream *s, struct bytes plain, struct bytes ad, bool is_last, struct buf *out)
{
    uint8_t *p = buf_reserve(out, plain.len + SEAL_STREAM_EXTRA_BYTES);
    if (p != NULL) {
        unsigned char tag = is_last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
                                    : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
        int rc =
            crypto_secretstream_xchacha20poly1305_push(state_of(s), p, NULL, plain.ptr, plain.len, ad.ptr, ad.len, tag);
        check(rc == 0);
    }
}

enum err seal_stream_take(
    struct seal_stream *s, struct bytes sealed, struct bytes ad, struct arena *a, struct bytes *plain, bool *is_last)
{
    unsigned char tag = 0;
    if (sealed.len < SEAL_STREAM_EXTRA_BYTES) {
        return ERR_TRUNCATED;
    }
    size_t len = sealed.len - SEAL_STREAM_EXTRA_BYTES;
    uint8_t *p = arena_alloc(a, len + 1);
    if (p == NULL) {
        return ERR_NOMEM;
    }
    if (crypto_secretstream_xchacha20poly1305_pull(
            state_of(s), p, NULL, &tag, sealed.ptr, sealed.len, ad.ptr, ad.len) != 0) {
        return ERR_SEAL;
    }
    *plain = bytes_of(p, len);
    *is_last = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    return ERR_OK;
}

void seal_stream_wipe(struct seal_stream *s)
{
    sodium_memzero(s, sizeof(*s));
}
