/*
 * Owns: handing slots from the thread that makes to the thread that takes. Invariants: slots are made and taken in
 * order, never more than PIPELINE_SLOTS made and not taken; when pipeline_run returns no thread is left. Does not know
 * what is in a slot.
 */
#include "node/pipeline.h"

#include "schema/base/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>

struct running {
    const struct pipeline *p;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    uint64_t made;
    uint64_t taken;
    enum err end; /* why making ended; ERR_OK: it goes on */
    bool is_stopped; /* taking has failed */
};

static void lock(struct running *r)
{
    check(pthread_mutex_lock(&r->mutex) == 0);
}

static void unlock(struct running *r)
{
    check(pthread_cond_signal(&r->moved) == 0);
    check(pthread_mutex_unlock(&r->mutex) == 0);
}

static void *make_all(void *arg)
{
    struct running *r = arg;
    enum err e = ERR_OK;
    while (e == ERR_OK) {
        lock(r);
        while (r->made - r->taken == PIPELINE_SLOTS && !r->is_stopped) {
            check(pthread_cond_wait(&r->moved, &r->mutex) == 0);
        }
        size_t slot = (size_t)(r->made % PIPELINE_SLOTS);
        bool is_stopped = r->is_stopped;
        unlock(r);
        e = is_stopped ? ERR_NOT_FOUND : r->p->make(r->p->ctx, slot);
        lock(r);
        r->made += e == ERR_OK ? 1 : 0;
        r->end = e;
        unlock(r);
    }
    return NULL;
}

/* False: everything that was made is taken, and there will be no more. */
static bool wait_for_made(struct running *r)
{
    lock(r);
    while (r->made == r->taken && r->end == ERR_OK) {
        check(pthread_cond_wait(&r->moved, &r->mutex) == 0);
    }
    bool is_there = r->made > r->taken;
    unlock(r);
    return is_there;
}

static enum err take_all(struct running *r)
{
    enum err e = ERR_OK;
    while (e == ERR_OK && wait_for_made(r)) {
        e = r->p->take(r->p->ctx, (size_t)(r->taken % PIPELINE_SLOTS));
        lock(r);
        r->taken++;
        r->is_stopped = e != ERR_OK;
        unlock(r);
    }
    return e;
}

static enum err run_here(const struct pipeline *p)
{
    enum err e = ERR_OK;
    while ((e = p->make(p->ctx, 0)) == ERR_OK && (e = p->take(p->ctx, 0)) == ERR_OK) {
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Signals are for the thread that serves. */
static bool start(struct running *r, pthread_t *thread)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_started = pthread_create(thread, NULL, make_all, r) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}

enum err pipeline_run(const struct pipeline *p, bool is_threaded)
{
    struct running r = { .p = p };
    pthread_t thread;
    if (!is_threaded) {
        return run_here(p);
    }
    check(pthread_mutex_init(&r.mutex, NULL) == 0);
    check(pthread_cond_init(&r.moved, NULL) == 0);
    enum err e = ERR_OK;
    if (start(&r, &thread)) {
        e = take_all(&r);
        check(pthread_join(thread, NULL) == 0);
        e = e == ERR_OK && r.end != ERR_NOT_FOUND ? r.end : e;
    } else {
        e = run_here(p);
    }
    check(pthread_cond_destroy(&r.moved) == 0);
    check(pthread_mutex_destroy(&r.mutex) == 0);
    return e;
}
