/*
 * Owns: SQLite's lock levels on the main file between connections of this process (sqlite.org/lockingv3.html). Other
 * processes never get this far: they are refused at the lock file.
 */
#include "node/vault/files.h"

#include "schema/base/check.h"

/* With the mutex held. Returns the level reached. */
static int lock_step(struct file_locks *locks, const struct vault_file *f, int level, int *ret_rc)
{
    *ret_rc = SQLITE_BUSY;
    if (level == SQLITE_LOCK_SHARED) {
        if (locks->pending != NULL) {
            return f->lock_level;
        }
        locks->shared++;
    } else if (level == SQLITE_LOCK_RESERVED) {
        if (locks->reserved != NULL && locks->reserved != f) {
            return f->lock_level;
        }
        locks->reserved = f;
    } else {
        bool is_taken =
            (locks->reserved != NULL && locks->reserved != f) || (locks->pending != NULL && locks->pending != f);
        if (is_taken) {
            return f->lock_level;
        }
        locks->pending = f;
        if (locks->shared > 1) {
            return SQLITE_LOCK_PENDING;
        }
    }
    *ret_rc = SQLITE_OK;
    return level;
}

int main_file_lock(sqlite3_file *base, int level)
{
    struct vault_file *f = vault_file_of(base);
    if (f->lock_level >= level) {
        return SQLITE_OK;
    }
    if (vault_files_poisoned(f->files)) {
        return SQLITE_IOERR_LOCK;
    }
    int rc = SQLITE_OK;
    check(pthread_mutex_lock(&f->files->mutex) == 0);
    f->lock_level = lock_step(&f->files->locks, f, level, &rc);
    check(pthread_mutex_unlock(&f->files->mutex) == 0);
    return rc;
}

int main_file_unlock(sqlite3_file *base, int level)
{
    struct vault_file *f = vault_file_of(base);
    if (f->lock_level <= level) {
        return SQLITE_OK;
    }
    struct file_locks *locks = &f->files->locks;
    check(pthread_mutex_lock(&f->files->mutex) == 0);
    if (locks->reserved == f) {
        locks->reserved = NULL;
    }
    if (locks->pending == f) {
        locks->pending = NULL;
    }
    if (level == SQLITE_LOCK_NONE) {
        locks->shared--;
    }
    f->lock_level = level;
    check(pthread_mutex_unlock(&f->files->mutex) == 0);
    return SQLITE_OK;
}

int main_file_check_reserved(sqlite3_file *base, int *out)
{
    struct vault_file *f = vault_file_of(base);
    check(pthread_mutex_lock(&f->files->mutex) == 0);
    *out = f->files->locks.reserved != NULL || f->files->locks.pending != NULL;
    check(pthread_mutex_unlock(&f->files->mutex) == 0);
    return SQLITE_OK;
}
