/*
 * Owns: one bucket per network address. Invariant: an address gets at most GATE_BURST + GATE_PER_SECOND * t connections
 * in t seconds while it is remembered. Does not look at keys: that is peer_guard.c, once a key is proven.
 */
#include "node/net/gate.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

void gate_address_of(int fd, uint8_t out[GATE_ADDRESS_BYTES])
{
    static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };
    struct sockaddr_storage s = { 0 };
    socklen_t len = sizeof(s);
    memset(out, 0, GATE_ADDRESS_BYTES);
    if (getpeername(fd, (struct sockaddr *)&s, &len) != 0) {
        return;
    }
    if (s.ss_family == AF_INET) {
        memcpy(out, mapped, sizeof(mapped));
        memcpy(out + sizeof(mapped), &((const struct sockaddr_in *)(const void *)&s)->sin_addr, 4);
    } else if (s.ss_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)&s)->sin6_addr;
        bool is_mapped = memcmp(a, mapped, sizeof(mapped)) == 0;
        memcpy(out, a, is_mapped ? GATE_ADDRESS_BYTES : GATE_ADDRESS_BYTES / 2);
    }
}

static struct gate_bucket *bucket_of(struct gate *g, const uint8_t address[GATE_ADDRESS_BYTES], uint64_t now_ms)
{
    struct gate_bucket *oldest = &g->at[0];
    for (size_t i = 0; i < GATE_ADDRESSES_MAX; i++) {
        struct gate_bucket *b = &g->at[i];
        if (b->filled_ms != 0 && memcmp(b->address, address, GATE_ADDRESS_BYTES) == 0) {
            return b;
        }
        oldest = b->filled_ms < oldest->filled_ms ? b : oldest;
    }
    *oldest = (struct gate_bucket){ .filled_ms = now_ms, .left = GATE_BURST };
    memcpy(oldest->address, address, GATE_ADDRESS_BYTES);
    return oldest;
}

bool gate_knock(struct gate *g, const uint8_t address[GATE_ADDRESS_BYTES], uint64_t now_ms)
{
    struct gate_bucket *b = bucket_of(g, address, now_ms);
    uint64_t gained = (now_ms - b->filled_ms) * GATE_PER_SECOND / 1000;
    if (gained > 0) {
        b->left = gained > GATE_BURST - b->left ? GATE_BURST : b->left + (uint32_t)gained;
        b->filled_ms = now_ms;
    }
    if (b->left == 0) {
        return false;
    }
    b->left--;
    return true;
}
