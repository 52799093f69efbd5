#ifndef JIPAN_TESTS_SIM_RUNS_H
#define JIPAN_TESTS_SIM_RUNS_H

#include "tests/sim/sim.h"

/* Many runs: each in a child process, so that a crash of one ends only that one. */
struct runs {
    const char *program;
    uint64_t first, count;
    const char *plan_file;
    bool is_standard;
    bool shows;
    bool twice;
    bool pairs;
    bool table;
    bool shrinks;
    bool stops;
    bool is_verbose;
};

int runs_do(const struct runs *r);

/* One plan in a child of its own; the outcome tells a crash apart. */
struct sim_outcome runs_alone(const struct plan *p);
/* The same with nothing printed. */
struct sim_outcome runs_silent(const struct plan *p);

/* Smaller plans that fail in the same way, until none is found. */
void shrink_plan(struct plan *p, const struct sim_outcome *failure);

#endif
