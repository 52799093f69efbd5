#ifndef JIPAN_HLC_H
#define JIPAN_HLC_H

#include "schema/base/env.h"

/*
 * Hybrid logical clock (Kulkarni et al. 2014): 48 bits of wall milliseconds, 16 bits of counter. For display and as the
 * last tie-break only. A remote stamp moves our clock at most HLC_DRAG_MS ahead of our own wall reading; beyond that it
 * is kept with the commit and shown, but does not drag us.
 */
enum { HLC_DRAG_MS = 300000 };

static inline int64_t hlc_wall_ms(uint64_t hlc)
{
    return (int64_t)(hlc >> 16);
}

/* The next local stamp: greater than last and, if the clock allows, the wall time of now. */
static inline uint64_t hlc_tick(uint64_t last, struct now now)
{
    uint64_t wall = now.wall_ms < 0 ? 0 : ((uint64_t)now.wall_ms & 0xFFFFFFFFFFFF) << 16;
    return wall > last ? wall : last + 1;
}

/* Our clock after seeing a remote stamp. */
static inline uint64_t hlc_observe(uint64_t last, uint64_t remote, struct now now)
{
    int64_t bound = (now.wall_ms < 0 ? 0 : now.wall_ms) + HLC_DRAG_MS;
    return remote > last && hlc_wall_ms(remote) <= bound ? remote : last;
}

#endif
