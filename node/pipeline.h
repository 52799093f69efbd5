#ifndef JIPAN_PIPELINE_H
#define JIPAN_PIPELINE_H

#include "schema/base/attrs.h"
#include "schema/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Two stages of one piece of work on two threads: make fills a slot, take uses it up, in the same order. Only the
 * caller's thread takes, so whatever belongs to one thread (the store, the core) stays with it; make may touch nothing
 * that take changes. A slot is one stage's at a time.
 */
enum { PIPELINE_SLOTS = 3 };

struct pipeline {
    enum err (*make)(void *ctx, size_t slot); /* ERR_NOT_FOUND: nothing is left */
    enum err (*take)(void *ctx, size_t slot);
    void *ctx;
};

/* Until nothing is left or a stage fails; returns the error of the stage that failed first in the order of the work.
 * What was made and not taken stays in its slot, which is the caller's to release. is_threaded false, or no thread to
 * be had: both stages in turns on the caller's thread, so that a run is the same from call to call. */
MUST_USE enum err pipeline_run(const struct pipeline *p, bool is_threaded);

#endif
