#ifndef JIPAN_PIPELINE_H
#define JIPAN_PIPELINE_H

#include "schema/base/attrs.h"
#include "schema/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * One piece of work in four stages on two threads. Items go through them in order: read fills a slot with an item, find
 * looks up what is known of it, make works it out, take uses it up. Find and take run on the caller's thread, so
 * whatever belongs to one thread (the store, the core) stays with it; read and make run on the other and may touch
 * nothing that those two change. A slot is one stage's at a time.
 */
enum pipeline_stage { PIPELINE_READ, PIPELINE_FIND, PIPELINE_MAKE, PIPELINE_TAKE, PIPELINE_STAGES };

/* So many items may be on their way: enough for the other thread to go on while taking waits for the disk. */
enum { PIPELINE_SLOTS = 16 };

struct pipeline {
    enum err (*stage[PIPELINE_STAGES])(void *ctx, size_t slot); /* read: ERR_NOT_FOUND when nothing is left */
    void *ctx;
};

/* Until nothing is left or a stage fails; then items before the failed one still go through all stages, and the error
 * is that of the first item that failed. What was read and not taken stays in its slot, which is the caller's to
 * release. is_threaded false, or no thread to be had: item by item on the caller's thread, so that a run is the same
 * from call to call. Errors: those of the stages, but ERR_NOT_FOUND of read, which is the end. */
MUST_USE enum err pipeline_run(const struct pipeline *p, bool is_threaded);

#endif
