/*
 * sim_fast, sim_real: runs simulated groups.
 *
 *   sim [--seeds N] [--from S]       N seeds from S on (default 1 from 1); goes on after a failure
 *       [--standard]                 the run that speed is measured with, instead of the swarm
 *       [--plan FILE]                one plan; [--show] prints the plan of a seed; [-v] prints what happens
 *       [--twice] [--pairs]          each seed twice: same trace; with other hidden values: same shape of all traffic
 *       [--table]                    faults by kind, operations, node-hours at the end
 *       [--stop]                     at the first failure
 *       [--shrink]                   makes the plan of a failing seed small and prints it
 *
 * Exit: 0, or of the last failure: 127 crash, 128 liveness, 129 wrong, 130 leak, 131 not deterministic.
 */
#include "schema/base/check.h"
#include "tests/sim/runs.h"

#include <stdlib.h>
#include <string.h>

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

static bool one_option(struct runs *r, int argc, char **argv, int *i)
{
    bool has_next = *i + 1 < argc;
    if (strcmp(argv[*i], "--seeds") == 0 && has_next) {
        r->count = number(argv[++*i]);
    } else if (strcmp(argv[*i], "--from") == 0 && has_next) {
        r->first = number(argv[++*i]);
    } else if (strcmp(argv[*i], "--plan") == 0 && has_next) {
        r->plan_file = argv[++*i];
    } else if (strcmp(argv[*i], "--standard") == 0) {
        r->is_standard = true;
    } else if (strcmp(argv[*i], "--show") == 0) {
        r->shows = true;
    } else if (strcmp(argv[*i], "--twice") == 0) {
        r->twice = true;
    } else if (strcmp(argv[*i], "--pairs") == 0) {
        r->pairs = true;
    } else if (strcmp(argv[*i], "--table") == 0) {
        r->table = true;
    } else if (strcmp(argv[*i], "--shrink") == 0) {
        r->shrinks = true;
    } else if (strcmp(argv[*i], "--stop") == 0) {
        r->stops = true;
    } else if (strcmp(argv[*i], "-v") == 0) {
        r->is_verbose = true;
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct runs r = { .program = argv[0], .first = 1, .count = 1 };
    for (int i = 1; i < argc; i++) {
        if (!one_option(&r, argc, argv, &i)) {
            (void)fprintf(stderr, "sim: %s?\n", argv[i]);
            return 2;
        }
    }
    return runs_do(&r);
}
