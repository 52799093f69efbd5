#ifndef JIPAN_WINDOW_H
#define JIPAN_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How much a peer may be sent before it has said that it is durable. The limit follows the line: it doubles while
 * acknowledgements come quickly and halves when they come late, so that a fast line is kept busy and on a slow one
 * what is urgent does not wait behind minutes of bulk.
 */
enum {
    WINDOW_MESSAGES = 128,
    WINDOW_BYTES_MIN = 64 << 10,
    WINDOW_BYTES_FIRST = 256 << 10,
    WINDOW_BYTES_MAX = 512 << 10, /* what a peer that dies may be sent twice: no more than one transaction may hold */
    WINDOW_QUICK_MS = 1000, /* from sending to acknowledgement */
    WINDOW_LATE_MS = 4000,
};

struct window {
    struct {
        uint32_t bytes;
        uint64_t sent_ms;
    } at[WINDOW_MESSAGES]; /* a ring: count messages from first on */
    uint32_t first;
    uint32_t count;
    size_t bytes; /* of all of them */
    size_t limit;
};

void window_init(struct window *w);
/* There is always room for one message, however large. */
bool window_has_room(const struct window *w);
/* Only when there is room. now_ms: the monotonic clock of the step. */
void window_sent(struct window *w, size_t bytes, uint64_t now_ms);
/* The oldest `messages` are durable at the peer. False: more than are under way; then nothing has changed. */
bool window_acked(struct window *w, uint32_t messages, uint64_t now_ms);

#endif
