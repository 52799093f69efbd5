#ifndef JIPAN_TESTS_BENCH_CROWD_H
#define JIPAN_TESTS_BENCH_CROWD_H

#include "tests/bench/stations.h"

/*
 * Many nodes in one process and one loop, all connected to one running node: real stores, real commits, real TLS
 * websockets. Each writes changes of its own and notes when those of the others arrive.
 *
 *   CROWD_WHOLE   the real session: what arrives is verified, applied and durable before it counts as delivered
 *   CROWD_LIGHT   what arrives is decoded, counted and acknowledged, not applied: measures the other end, with more
 *                 nodes than one machine could run
 */
enum crowd_kind { CROWD_WHOLE, CROWD_LIGHT };
enum { CROWD_MAX = 256, CROWD_MS_MAX = 60000 };

struct crowd_result {
    uint64_t changes; /* written */
    uint64_t delivered;
    uint64_t of_ms[CROWD_MS_MAX]; /* deliveries by the milliseconds they took; longer ones in the last */
    double seconds; /* from the first change until the last delivery */
};

struct crowd;

/* Opens the homes of count nodes that have joined, and makes a customer in each. */
struct crowd *crowd_open(const struct station *homes, size_t count, enum crowd_kind kind);
void crowd_close(struct crowd *c);

void crowd_connect(struct crowd *c); /* until every session is live and has settled */
/* Each node writes one change a second, spread evenly, for so many seconds; then until all has arrived, or nothing more
 * does for a minute. */
void crowd_run(struct crowd *c, unsigned seconds, struct crowd_result *out);
double crowd_quantile_ms(const struct crowd_result *r, double q);

#endif
