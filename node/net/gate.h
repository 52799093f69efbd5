#ifndef JIPAN_GATE_H
#define JIPAN_GATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How often one network address may knock at the port. A TLS handshake costs a few milliseconds of our only thread
 * before the other side has proven anything, so each address has a bucket: GATE_BURST at once, then GATE_PER_SECOND.
 * Pure: time comes in.
 */
enum { GATE_ADDRESS_BYTES = 16, GATE_ADDRESSES_MAX = 256, GATE_BURST = 256, GATE_PER_SECOND = 50 };

struct gate {
    struct gate_bucket {
        uint8_t address[GATE_ADDRESS_BYTES];
        uint64_t filled_ms; /* 0: free */
        uint32_t left;
    } at[GATE_ADDRESSES_MAX];
};

/* The address of the other end of a socket: IPv4 as mapped IPv6, IPv6 without its lower half, which its owner chooses.
 * All zero when it cannot be told. */
void gate_address_of(int fd, uint8_t out[GATE_ADDRESS_BYTES]);

/* Whether this address may connect once more now. The longest unheard address is forgotten when the table is full. */
bool gate_knock(struct gate *g, const uint8_t address[GATE_ADDRESS_BYTES], uint64_t now_ms);

#endif
