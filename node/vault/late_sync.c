/*
 * Owns: the thread that syncs a file while its caller goes on. Invariants: at most one sync is under way; whatever
 * comes of it is told by the next wait and by nothing else. Does not know what stands in the file or who may rely on
 * it.
 */
#include "node/vault/late_sync.h"

#include "schema/base/check.h"

#include <signal.h>

static void *sync_all(void *arg)
{
    struct late_sync *l = arg;
    check(pthread_mutex_lock(&l->mutex) == 0);
    while (!l->is_stopping) {
        if (l->work == NULL) {
            check(pthread_cond_wait(&l->moved, &l->mutex) == 0);
            continue;
        }
        struct disk_file *file = l->work;
        check(pthread_mutex_unlock(&l->mutex) == 0);
        int error = file->ops->fsync(file);
        check(pthread_mutex_lock(&l->mutex) == 0);
        l->error = error;
        l->work = NULL;
        check(pthread_cond_signal(&l->moved) == 0);
    }
    check(pthread_mutex_unlock(&l->mutex) == 0);
    return NULL;
}

/* Signals are for the thread that serves. Without a thread the wait does the work. */
static void need_thread(struct late_sync *l)
{
    sigset_t all;
    sigset_t before;
    if (l->has_thread) {
        return;
    }
    check(pthread_mutex_init(&l->mutex, NULL) == 0);
    check(pthread_cond_init(&l->moved, NULL) == 0);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    l->has_thread = pthread_create(&l->thread, NULL, sync_all, l) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!l->has_thread) {
        check(pthread_cond_destroy(&l->moved) == 0);
        check(pthread_mutex_destroy(&l->mutex) == 0);
    }
}

static void hand_over(struct late_sync *l, struct disk_file *work)
{
    check(pthread_mutex_lock(&l->mutex) == 0);
    l->work = work;
    l->is_stopping = work == NULL;
    check(pthread_cond_signal(&l->moved) == 0);
    check(pthread_mutex_unlock(&l->mutex) == 0);
}

void late_sync_start(struct late_sync *l, struct disk_file *file)
{
    check(l->file == NULL);
    l->file = file;
    if (file->ops->syncs_beside) {
        need_thread(l);
    }
    l->is_beside = l->has_thread && file->ops->syncs_beside;
    if (l->is_beside) {
        hand_over(l, file);
    }
}

int late_sync_wait(struct late_sync *l)
{
    struct disk_file *file = l->file;
    l->file = NULL;
    if (file == NULL || !l->is_beside) {
        return file == NULL ? 0 : file->ops->fsync(file);
    }
    check(pthread_mutex_lock(&l->mutex) == 0);
    while (l->work != NULL) {
        check(pthread_cond_wait(&l->moved, &l->mutex) == 0);
    }
    int error = l->error;
    check(pthread_mutex_unlock(&l->mutex) == 0);
    return error;
}

void late_sync_stop(struct late_sync *l)
{
    check(l->file == NULL);
    if (!l->has_thread) {
        return;
    }
    hand_over(l, NULL);
    check(pthread_join(l->thread, NULL) == 0);
    check(pthread_cond_destroy(&l->moved) == 0);
    check(pthread_mutex_destroy(&l->mutex) == 0);
    l->has_thread = false;
}
