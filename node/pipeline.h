#ifndef JIPAN_PIPELINE_H
#define JIPAN_PIPELINE_H

#include "schema/base/attrs.h"
#include "schema/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Three stages of one piece of work on two threads: find says what goes into a slot, make fills it, take uses it up,
 * each in the same order. Find and take run on the caller's thread, so whatever belongs to one thread (the store, the
 * core) stays with it; make may touch nothing that they change. A slot is one stage's at a time.
 */
enum { PIPELINE_SLOTS = 3 };

struct pipeline {
    enum err (*find)(void *ctx, size_t slot); /* ERR_NOT_FOUND: nothing is left */
    enum err (*make)(void *ctx, size_t slot);
    enum err (*take)(void *ctx, size_t slot);
    void *ctx;
};

/* Until nothing is left or a stage fails; returns the error that comes first in the order of the work: what was found
 * before it is made, what was made before it is taken. What was made and not taken stays in its slot, which is the
 * caller's to release. is_threaded false, or no thread to be had: the stages in turns on the caller's thread, so that a
 * run is the same from call to call. Errors: those of the stages, but ERR_NOT_FOUND of find, which is the end. */
MUST_USE enum err pipeline_run(const struct pipeline *p, bool is_threaded);

#endif
