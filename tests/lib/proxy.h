#ifndef JIPAN_TEST_PROXY_H
#define JIPAN_TEST_PROXY_H

#include "schema/base/attrs.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A line between two nodes that can be made bad: TCP in, TCP out, bytes unchanged. Plain poll, one thread, IPv4, for
 * tests and the demo.
 */
struct proxy;

enum proxy_state {
    PROXY_OPEN,
    PROXY_CUT, /* connections are broken, new ones refused */
    PROXY_STALL, /* connections stay, nothing passes: a dead line that nobody has noticed */
};

/* addresses are "host:port" with numeric hosts; port 0 listens on any free port. NULL when it cannot listen. */
MUST_USE struct proxy *proxy_new(const char *listen_address, const char *target_address);
void proxy_free(struct proxy *p); /* may be NULL */
uint16_t proxy_port(const struct proxy *p);

void proxy_set(struct proxy *p, enum proxy_state state);
void proxy_delay(struct proxy *p, uint32_t ms); /* each chunk waits that long in each direction */

/* Ends every connection, once, when exactly that many more bytes have passed in both directions together. 0: never.
 */
void proxy_cut_after(struct proxy *p, uint64_t bytes);
uint64_t proxy_cuts(const struct proxy *p); /* how often that has happened */

/* Bytes passed towards the target and back since the start. */
void proxy_bytes(const struct proxy *p, uint64_t *ret_there, uint64_t *ret_back);

/* Moves what can be moved; waits for at most max_wait_ms, or until wake_fd (-1 = none) is readable. */
void proxy_step(struct proxy *p, int max_wait_ms, int wake_fd);

#endif
