/*
 * Owns: allocators and generators of the tests. Invariant: the same seed gives the same bytes on every machine. Does
 * not report failures: the tests do.
 */
#include "tests/lib/testkit.h"

#include "schema/base/check.h"

#include <stdlib.h>

static void *resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

struct mem *test_mem(void)
{
    static struct mem mem = { .resize = resize, .max_bytes = (size_t)1 << 30 };
    return &mem;
}

static struct {
    size_t left;
    bool has_failed;
} failing;

static void *resize_failing(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    if (new_bytes > 0 && failing.left > 0 && --failing.left == 0) {
        failing.has_failed = true;
        return NULL;
    }
    return resize(ctx, ptr, old_bytes, new_bytes);
}

struct mem *test_mem_failing(size_t k)
{
    static struct mem mem = { .resize = resize_failing, .max_bytes = (size_t)1 << 30 };
    failing.left = k;
    failing.has_failed = false;
    return &mem;
}

bool test_mem_has_failed(void)
{
    return failing.has_failed;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15U;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static void fill(void *ctx, void *out, size_t len)
{
    uint64_t *state = ctx;
    uint8_t *p = out;
    for (size_t i = 0; i < len; i++) {
        p[i] = (uint8_t)(next(state) >> 32);
    }
}

struct rng test_rng(uint64_t seed)
{
    static uint64_t states[TEST_RNG_MAX];
    static size_t used;
    uint64_t *state = &states[used++ % TEST_RNG_MAX];
    *state = seed;
    return (struct rng){ .fill = fill, .ctx = state };
}

uint64_t test_random(struct rng *rng)
{
    uint64_t v = 0;
    rng_fill(rng, &v, sizeof(v));
    return v;
}

uint64_t test_random_below(struct rng *rng, uint64_t bound)
{
    check(bound > 0);
    return test_random(rng) % bound;
}
