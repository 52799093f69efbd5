#ifndef JIPAN_TESTS_FAULTS_LOOP_H
#define JIPAN_TESTS_FAULTS_LOOP_H

#include "schema/base/err.h"
#include "tests/faults/inject.h"

/*
 * The loop: one thing is done again and again, with the fault at the first, the second, … call of its kind until it
 * comes to its end without one. Every time in a process of its own that begins with the same memory, so that a crash is
 * a finding and not the end, and nothing has to be prepared again.
 */

/* Does the thing under the fault, judges what is left, returns whether the fault happened. p NULL: without a fault,
 * to write down in faults_reference() what the others are compared with. Says what is wrong with faults_fail. */
typedef bool (*trial_fn)(const void *arg, const struct point *p);

/* What the run without a fault leaves for the others. */
struct reference {
    uint8_t before[32], after[32]; /* all that the store holds */
    uint8_t reply[32];
    uint64_t customers[2]; /* rows at both ends of a session when they have met again */
    uint64_t live; /* pieces of memory after closing */
    enum err e;
};
struct reference *faults_reference(void);

/* Ends the trial as failed. */
void faults_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Arguments of the program; false: they are wrong. */
bool faults_setup(int argc, char **argv);

/* is_core: every point is tried, else a share unless all were asked for. */
void faults_run(const char *name, bool is_core, trial_fn trial, const void *arg);

/* In a process of its own: what fn does to memory is gone afterwards, what faults_run counts in it stays. */
void faults_apart(const char *name, void (*fn)(const void *arg), const void *arg);

/* Remembers over all processes that a fault was tried on this; `kind` and `name` at most 47 letters together. */
void faults_cover(const char *kind, const char *name);
bool faults_has_covered(const char *kind, const char *name);
bool faults_is_whole(void); /* nothing was left out by the arguments of the program */

/* Outside of trials: a failure if not. */
void faults_expect(bool is_true, const char *what);

/* Prints the sums; the exit code. */
int faults_end(void);

#endif
