#ifndef JIPAN_SEAL_STREAM_H
#define JIPAN_SEAL_STREAM_H

#include "sync/seal.h"

/*
 * A sequence of sealed pieces of one sender to one receiver (libsodium's secretstream): a piece that was changed, left
 * out, put elsewhere or repeated does not open, and the last one says that it is the last. One key per stream.
 */
enum { SEAL_STREAM_HEADER_BYTES = 24, SEAL_STREAM_EXTRA_BYTES = 17, SEAL_STREAM_STATE_BYTES = 64 };

struct seal_stream {
    _Alignas(16) uint8_t state[SEAL_STREAM_STATE_BYTES];
};

/* The same at both ends; header: random, of the sender. */
void seal_stream_start(
    struct seal_stream *s, const uint8_t key[KEY_BYTES], const uint8_t header[SEAL_STREAM_HEADER_BYTES]);

/* Appends the sealed piece to out. ad is authenticated with it. */
void seal_stream_put(struct seal_stream *s, struct bytes plain, struct bytes ad, bool is_last, struct buf *out);

/* Errors: ERR_TRUNCATED; ERR_SEAL; ERR_NOMEM. After an error nothing more opens. */
MUST_USE enum err seal_stream_take(
    struct seal_stream *s, struct bytes sealed, struct bytes ad, struct arena *a, struct bytes *plain, bool *is_last);

void seal_stream_wipe(struct seal_stream *s);

#endif
