/*
 * Owns: the budget of faults per key. Invariant: a paused peer is never forgotten before its pause is over, however
 * many others break the rules; when there is no room the newcomer goes unnoted. Does not close anything.
 */
#include "node/net/peer_guard.h"

#include <string.h>

static size_t index_of(const struct peer_guard *g, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    for (size_t i = 0; i < GUARD_PEERS_MAX; i++) {
        if (g->at[i].seen_ms != 0 && memcmp(g->at[i].key, key, TRANSPORT_KEY_BYTES) == 0) {
            return i;
        }
    }
    return GUARD_PEERS_MAX;
}

const struct guarded *peer_guard_find(const struct peer_guard *g, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    size_t i = index_of(g, key);
    return i == GUARD_PEERS_MAX ? NULL : &g->at[i];
}

/* A free place, or the one unheard of for longest that is not paused. */
static struct guarded *place(struct peer_guard *g, uint64_t now_ms)
{
    struct guarded *best = NULL;
    for (size_t i = 0; i < GUARD_PEERS_MAX; i++) {
        struct guarded *p = &g->at[i];
        if (p->until_ms <= now_ms && (best == NULL || p->seen_ms < best->seen_ms)) {
            best = p;
        }
    }
    return best;
}

/* A pause is no good conduct: only time after it counts. */
static void forgive(struct guarded *p, uint64_t now_ms)
{
    uint64_t since_ms = p->until_ms > p->seen_ms ? p->until_ms : p->seen_ms;
    uint64_t quiet_ms = now_ms > since_ms ? now_ms - since_ms : 0;
    uint64_t gained = quiet_ms / GUARD_REFILL_MS;
    uint64_t pauses = quiet_ms / GUARD_PAUSE_MAX_MS;
    p->left = gained > GUARD_BUDGET - p->left ? GUARD_BUDGET : p->left + (uint32_t)gained;
    p->pauses = pauses > p->pauses ? 0 : p->pauses - (uint32_t)pauses;
}

static uint64_t pause_ms(uint32_t pauses)
{
    uint64_t ms = GUARD_PAUSE_FIRST_MS;
    for (uint32_t i = 0; i < pauses && ms < GUARD_PAUSE_MAX_MS; i++) {
        ms *= 2;
    }
    return ms < GUARD_PAUSE_MAX_MS ? ms : GUARD_PAUSE_MAX_MS;
}

void peer_guard_fault(struct peer_guard *g, const uint8_t key[TRANSPORT_KEY_BYTES], enum err why, uint64_t now_ms)
{
    size_t i = index_of(g, key);
    struct guarded *p = i == GUARD_PEERS_MAX ? NULL : &g->at[i];
    now_ms = now_ms == 0 ? 1 : now_ms;
    if (p == NULL) {
        p = place(g, now_ms);
        if (p == NULL) {
            return;
        }
        *p = (struct guarded){ .seen_ms = now_ms, .left = GUARD_BUDGET };
        memcpy(p->key, key, TRANSPORT_KEY_BYTES);
    }
    forgive(p, now_ms);
    p->seen_ms = now_ms;
    p->faults++;
    p->last = why;
    if (p->left > 1) {
        p->left--;
        return;
    }
    /* After a pause one more fault is enough for the next, until quiet time has filled the budget again. */
    p->left = 1;
    p->until_ms = now_ms + pause_ms(p->pauses);
    p->pauses++;
}

bool peer_guard_admits(const struct peer_guard *g, const uint8_t key[TRANSPORT_KEY_BYTES], uint64_t now_ms)
{
    const struct guarded *p = peer_guard_find(g, key);
    return p == NULL || now_ms >= p->until_ms;
}
