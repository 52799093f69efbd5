#ifndef JIPAN_NODE_LATE_SYNC_H
#define JIPAN_NODE_LATE_SYNC_H

#include "node/vault/disk.h"

#include <pthread.h>

/**
 * struct late_sync: one fsync of one file that its caller does not wait for yet, on a thread of its own. Where the disk
 * knows no threads (struct disk_ops, syncs_beside) it is done when somebody waits for it, so that a simulated power
 * loss in between takes what was not synced. Functions belong to one thread; all zero is unused.
 */
struct late_sync {
    struct disk_file *file; /* to be synced; NULL: nothing is under way */
    bool is_beside; /* the thread does it */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows, once there is a thread */
    pthread_cond_t moved;
    struct disk_file *work; /* what the thread has to sync; NULL: nothing */
    int error; /* of the last one */
    bool is_stopping;
};

/* Nothing may be under way. The file stays open until late_sync_wait. */
void late_sync_start(struct late_sync *l, struct disk_file *file);

/* 0 or the errno value of the sync under way; 0 when there is none. */
int late_sync_wait(struct late_sync *l);

/* Nothing may be under way. */
void late_sync_stop(struct late_sync *l);

#endif
