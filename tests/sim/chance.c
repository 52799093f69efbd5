/*
 * Owns: the streams of chance of the simulator. Invariant: same seed, purpose and number, same stream, on every
 * compiler and machine.
 */
#include "tests/sim/chance.h"

#include "schema/base/check.h"

#include <string.h>

uint64_t chance_mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15U;
    x = (x ^ x >> 30U) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27U) * 0x94D049BB133111EBU;
    return x ^ x >> 31U;
}

struct chance chance_of(uint64_t seed, enum chance_purpose purpose, uint64_t number)
{
    uint64_t x = chance_mix(chance_mix(seed) ^ chance_mix((uint64_t)purpose << 32U ^ number));
    struct chance c;
    for (size_t i = 0; i < 4; i++) {
        x += 0x9E3779B97F4A7C15U;
        c.s[i] = chance_mix(x);
    }
    return c;
}

static uint64_t turn(uint64_t x, unsigned by)
{
    return x << by | x >> (64U - by);
}

uint64_t chance_next(struct chance *c)
{
    uint64_t result = turn(c->s[1] * 5U, 7U) * 9U;
    uint64_t t = c->s[1] << 17U;
    c->s[2] ^= c->s[0];
    c->s[3] ^= c->s[1];
    c->s[1] ^= c->s[2];
    c->s[0] ^= c->s[3];
    c->s[2] ^= t;
    c->s[3] = turn(c->s[3], 45U);
    return result;
}

uint64_t chance_below(struct chance *c, uint64_t bound)
{
    check(bound > 0);
    return chance_next(c) % bound;
}

void chance_fill(struct chance *c, void *out, size_t len)
{
    uint8_t *p = out;
    while (len > 0) {
        uint64_t word = chance_next(c);
        for (size_t i = 0; i < 8 && len > 0; i++, len--) {
            *p++ = (uint8_t)(word >> (8U * i));
        }
    }
}
