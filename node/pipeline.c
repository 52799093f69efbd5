/*
 * Owns: handing slots between the caller's thread and the one that makes. Invariants: slots are found, made and taken
 * in order, never more than PIPELINE_SLOTS found and not taken; when pipeline_run returns no thread is left. Does not
 * know what is in a slot.
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
    uint64_t found;
    uint64_t made;
    uint64_t taken; /* the caller's thread alone */
    enum err make_end; /* why making ended early */
    bool is_closed; /* nothing more will be found, or what is found is not wanted any more */
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

static void wait_a_move(struct running *r)
{
    check(pthread_cond_wait(&r->moved, &r->mutex) == 0);
}

static void *make_all(void *arg)
{
    struct running *r = arg;
    lock(r);
    for (;;) {
        while (r->found == r->made && !r->is_closed) {
            wait_a_move(r);
        }
        if (r->found == r->made || r->is_stopped) {
            break;
        }
        size_t slot = (size_t)(r->made % PIPELINE_SLOTS);
        unlock(r);
        enum err e = r->p->make(r->p->ctx, slot);
        lock(r);
        if (e != ERR_OK) {
            r->make_end = e;
            break;
        }
        r->made++;
        check(pthread_cond_signal(&r->moved) == 0);
    }
    unlock(r);
    return NULL;
}

/* False: nothing that was found is still to come. */
static bool wait_for_made(struct running *r)
{
    lock(r);
    while (r->made == r->taken && r->found > r->made && r->make_end == ERR_OK) {
        wait_a_move(r);
    }
    bool is_there = r->made > r->taken;
    unlock(r);
    return is_there;
}

/* As many as there are slots for. *end: why nothing more was found. */
static void find_some(struct running *r, enum err *end)
{
    while (*end == ERR_OK && r->found - r->taken < PIPELINE_SLOTS) {
        *end = r->p->find(r->p->ctx, (size_t)(r->found % PIPELINE_SLOTS));
        lock(r);
        r->found += *end == ERR_OK ? 1 : 0;
        r->is_closed = *end != ERR_OK;
        unlock(r);
    }
}

static enum err unless_through(enum err end)
{
    return end == ERR_NOT_FOUND ? ERR_OK : end;
}

static enum err run_beside(struct running *r)
{
    enum err end = ERR_OK;
    enum err e = ERR_OK;
    find_some(r, &end);
    while (e == ERR_OK && wait_for_made(r)) {
        e = r->p->take(r->p->ctx, (size_t)(r->taken % PIPELINE_SLOTS));
        r->taken++;
        if (e == ERR_OK) {
            find_some(r, &end);
        }
    }
    lock(r);
    r->is_stopped = e != ERR_OK;
    r->is_closed = true;
    e = e == ERR_OK ? r->make_end : e;
    unlock(r);
    return e == ERR_OK ? unless_through(end) : e;
}

static enum err run_here(const struct pipeline *p)
{
    enum err end = ERR_OK;
    enum err e = ERR_OK;
    while (e == ERR_OK && (end = p->find(p->ctx, 0)) == ERR_OK) {
        e = p->make(p->ctx, 0);
        e = e == ERR_OK ? p->take(p->ctx, 0) : e;
    }
    return e == ERR_OK ? unless_through(end) : e;
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
    enum err e = ERR_OK;
    if (is_threaded) {
        check(pthread_mutex_init(&r.mutex, NULL) == 0);
        check(pthread_cond_init(&r.moved, NULL) == 0);
        is_threaded = start(&r, &thread);
        if (is_threaded) {
            e = run_beside(&r);
            check(pthread_join(thread, NULL) == 0);
        }
        check(pthread_cond_destroy(&r.moved) == 0);
        check(pthread_mutex_destroy(&r.mutex) == 0);
    }
    if (!is_threaded) {
        e = run_here(p);
    }
    return e;
}
