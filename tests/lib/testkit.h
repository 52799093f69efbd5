#ifndef JIPAN_TESTS_TESTKIT_H
#define JIPAN_TESTS_TESTKIT_H

#include "schema/base/env.h"
#include "schema/base/mem.h"

/* Memory and chance for tests and fuzz targets. Not thread-safe. */

/* Shared, backed by malloc, budget 1 GiB; used_bytes tells leaks: note it before and compare after. */
struct mem *test_mem(void);

/* As test_mem, but its k-th call (1 is the next) fails, once. Shared: every call starts the countdown again. */
struct mem *test_mem_failing(size_t k);
bool test_mem_has_failed(void); /* since the last test_mem_failing */

enum { TEST_RNG_MAX = 64 };

/* Deterministic and unsafe for anything but tests. At most TEST_RNG_MAX are alive: the next one reuses the oldest. */
struct rng test_rng(uint64_t seed);
uint64_t test_random(struct rng *rng);
uint64_t test_random_below(struct rng *rng, uint64_t bound); /* bound at least 1 */

#endif
