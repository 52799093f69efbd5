#ifndef JIPAN_ENV_H
#define JIPAN_ENV_H

#include <stddef.h>
#include <stdint.h>

/* Time and chance are parameters below node/: only the daemon, a command or a test reads a clock or draws randomness.
 */

struct now {
    int64_t wall_ms; /* since 1970 UTC; may jump, may be years off */
    uint64_t mono_ms; /* never goes back while the process lives */
};

struct rng {
    void (*fill)(void *ctx, void *out, size_t len);
    void *ctx;
};

static inline void rng_fill(struct rng *rng, void *out, size_t len)
{
    rng->fill(rng->ctx, out, len);
}

#endif
