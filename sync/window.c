/*
 * Owns: the arithmetic of the send window. Invariants: bytes is the sum of the ring; limit stays within its bounds.
 * Knows neither messages nor peers.
 */
#include "sync/window.h"

#include "schema/base/check.h"

void window_init(struct window *w)
{
    *w = (struct window){ .limit = WINDOW_BYTES_FIRST };
}

bool window_has_room(const struct window *w)
{
    return w->count == 0 || (w->count < WINDOW_MESSAGES && w->bytes < w->limit);
}

void window_sent(struct window *w, size_t bytes, uint64_t now_ms)
{
    check(window_has_room(w) && bytes <= UINT32_MAX);
    uint32_t slot = (w->first + w->count) % WINDOW_MESSAGES;
    w->at[slot].bytes = (uint32_t)bytes;
    w->at[slot].sent_ms = now_ms;
    w->count++;
    w->bytes += bytes;
}

/* A window that was not full says nothing about what the line could carry. */
static void adapt(struct window *w, uint64_t took_ms, bool was_full)
{
    if (took_ms >= WINDOW_LATE_MS) {
        w->limit = w->limit / 2 < WINDOW_BYTES_MIN ? WINDOW_BYTES_MIN : w->limit / 2;
    } else if (was_full && took_ms < WINDOW_QUICK_MS) {
        w->limit = w->limit * 2 > WINDOW_BYTES_MAX ? WINDOW_BYTES_MAX : w->limit * 2;
    }
}

bool window_acked(struct window *w, uint32_t messages, uint64_t now_ms)
{
    bool was_full = !window_has_room(w);
    uint64_t took_ms = 0;
    if (messages > w->count) {
        return false;
    }
    for (uint32_t i = 0; i < messages; i++) {
        took_ms = now_ms > w->at[w->first].sent_ms ? now_ms - w->at[w->first].sent_ms : 0;
        w->bytes -= w->at[w->first].bytes;
        w->first = (w->first + 1) % WINDOW_MESSAGES;
        w->count--;
    }
    if (messages > 0) {
        adapt(w, took_ms, was_full);
    }
    return true;
}
