/*
 * Owns: handing slots between the caller's thread and the one beside it. Invariants: each stage does the items in
 * order, never one that the stage before it has not done; never more than PIPELINE_SLOTS are read and not taken; when
 * pipeline_run returns no thread is left. Does not know what is in a slot.
 */
#include "node/pipeline.h"

#include "schema/base/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>

/* Reading keeps ahead of making, so that there is something to make while the other thread has no time to find. */
enum { READS_PER_MAKE = 2 };

struct running {
    const struct pipeline *p;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t moved;
    uint64_t done[PIPELINE_STAGES]; /* items */
    uint64_t limit; /* items that are wanted: the first that failed is none of them */
    enum err error; /* of that one */
};

static bool may_run(const struct running *r, enum pipeline_stage stage)
{
    uint64_t before = stage == PIPELINE_READ ? r->done[PIPELINE_TAKE] + PIPELINE_SLOTS : r->done[stage - 1];
    return r->done[stage] < before && r->done[stage] < r->limit;
}

/* With the mutex held, which is free meanwhile. */
static void run_stage(struct running *r, enum pipeline_stage stage)
{
    uint64_t item = r->done[stage];
    check(pthread_mutex_unlock(&r->mutex) == 0);
    enum err e = r->p->stage[stage](r->p->ctx, (size_t)(item % PIPELINE_SLOTS));
    check(pthread_mutex_lock(&r->mutex) == 0);
    if (e == ERR_OK) {
        r->done[stage]++;
    } else if (item < r->limit) {
        r->limit = item;
        r->error = stage == PIPELINE_READ && e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    check(pthread_cond_signal(&r->moved) == 0);
}

static void wait_a_move(struct running *r)
{
    check(pthread_cond_wait(&r->moved, &r->mutex) == 0);
}

static void *run_beside(void *arg)
{
    struct running *r = arg;
    unsigned reads = 0; /* since something was made */
    check(pthread_mutex_lock(&r->mutex) == 0);
    while (r->done[PIPELINE_MAKE] < r->limit) {
        bool may_read = may_run(r, PIPELINE_READ);
        if (may_run(r, PIPELINE_MAKE) && (!may_read || reads >= READS_PER_MAKE)) {
            run_stage(r, PIPELINE_MAKE);
            reads = 0;
        } else if (may_read) {
            run_stage(r, PIPELINE_READ);
            reads++;
        } else {
            wait_a_move(r);
        }
    }
    check(pthread_mutex_unlock(&r->mutex) == 0);
    return NULL;
}

/* Finding first: it is short, and the other thread waits for it. */
static void run_here(struct running *r)
{
    check(pthread_mutex_lock(&r->mutex) == 0);
    while (r->done[PIPELINE_TAKE] < r->limit) {
        if (may_run(r, PIPELINE_FIND)) {
            run_stage(r, PIPELINE_FIND);
        } else if (may_run(r, PIPELINE_TAKE)) {
            run_stage(r, PIPELINE_TAKE);
        } else {
            wait_a_move(r);
        }
    }
    check(pthread_mutex_unlock(&r->mutex) == 0);
}

static enum err run_in_turns(const struct pipeline *p)
{
    for (;;) {
        for (int stage = 0; stage < PIPELINE_STAGES; stage++) {
            enum err e = p->stage[stage](p->ctx, 0);
            if (e != ERR_OK) {
                return stage == PIPELINE_READ && e == ERR_NOT_FOUND ? ERR_OK : e;
            }
        }
    }
}

/* Signals are for the thread that serves. */
static bool start(struct running *r, pthread_t *thread)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_started = pthread_create(thread, NULL, run_beside, r) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}

enum err pipeline_run(const struct pipeline *p, bool is_threaded)
{
    struct running r = { .p = p, .limit = UINT64_MAX };
    pthread_t thread;
    if (!is_threaded) {
        return run_in_turns(p);
    }
    check(pthread_mutex_init(&r.mutex, NULL) == 0);
    check(pthread_cond_init(&r.moved, NULL) == 0);
    is_threaded = start(&r, &thread);
    if (is_threaded) {
        run_here(&r);
        check(pthread_join(thread, NULL) == 0);
    }
    check(pthread_cond_destroy(&r.moved) == 0);
    check(pthread_mutex_destroy(&r.mutex) == 0);
    return is_threaded ? r.error : run_in_turns(p);
}
