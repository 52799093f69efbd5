#ifndef JIPAN_TESTS_SIM_CHANCE_H
#define JIPAN_TESTS_SIM_CHANCE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Chance of the simulator: one stream per purpose and number, all from the seed of the run, so that leaving one thing
 * out of a plan does not shift what the others draw. xoshiro256**, seeded by splitmix64; for tests only.
 */
struct chance {
    uint64_t s[4];
};

enum chance_purpose { CHANCE_PLAN = 1, CHANCE_NODE, CHANCE_NET, CHANCE_DISK, CHANCE_HOSTILE, CHANCE_CHECK };

struct chance chance_of(uint64_t seed, enum chance_purpose purpose, uint64_t number);
uint64_t chance_next(struct chance *c);
uint64_t chance_below(struct chance *c, uint64_t bound); /* bound at least 1 */
void chance_fill(struct chance *c, void *out, size_t len);

/* One round of splitmix64: mixes a word for hashes of the trace and derived numbers. */
uint64_t chance_mix(uint64_t x);

#endif
