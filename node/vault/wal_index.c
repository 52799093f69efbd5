/*
 * Owns: the wal-index in process memory. It holds page numbers and checksums of plaintext, which must not reach the
 * disk, and memory locks are cheaper than file locks. The regions live while any connection maps them; SQLite rebuilds
 * them from the WAL when the first one comes.
 *
 * Invariant: only the writer's connection gets the exclusive write or checkpoint lock. One writer that is also the only
 * checkpointer keeps clear of the WAL-reset defect of SQLite before 3.51.3 (docs/decisions/0003-encrypted-vfs.md).
 */
#include "node/vault/files.h"

#include "schema/base/check.h"

#include <stdlib.h>

enum { SLOT_WRITE = 0, SLOT_CHECKPOINT = 1 };

static int index_grow(struct wal_index *index, size_t region, size_t bytes)
{
    if (index->region_count > 0 && index->region_bytes != bytes) {
        return SQLITE_IOERR_SHMSIZE;
    }
    if (region >= WAL_INDEX_REGIONS_MAX) {
        return SQLITE_IOERR_NOMEM;
    }
    void **regions = realloc(index->regions, (region + 1) * sizeof(*regions));
    if (regions == NULL) {
        return SQLITE_IOERR_NOMEM;
    }
    index->regions = regions;
    index->region_bytes = bytes;
    while (index->region_count <= region) {
        void *memory = calloc(1, bytes);
        if (memory == NULL) {
            return SQLITE_IOERR_NOMEM;
        }
        index->regions[index->region_count++] = memory;
    }
    return SQLITE_OK;
}

int wal_index_map(sqlite3_file *base, int region, int bytes, int extend, void volatile **out)
{
    struct vault_file *f = vault_file_of(base);
    struct wal_index *index = &f->files->index;
    int rc = SQLITE_OK;
    *out = NULL;
    check(pthread_mutex_lock(&f->files->mutex) == 0);
    if (!f->uses_index) {
        f->uses_index = true;
        index->users++;
    }
    if ((size_t)region >= index->region_count && extend != 0) {
        rc = index_grow(index, (size_t)region, (size_t)bytes);
    }
    if (rc == SQLITE_OK && (size_t)region < index->region_count) {
        *out = index->regions[region];
    }
    check(pthread_mutex_unlock(&f->files->mutex) == 0);
    return rc;
}

static void index_unlock(struct wal_index *index, struct vault_file *f, unsigned mask)
{
    for (unsigned i = 0; i < WAL_INDEX_SLOTS; i++) {
        unsigned bit = 1U << i & mask;
        if ((f->index_shared & bit) != 0) {
            index->shared[i]--;
        }
        if ((f->index_exclusive & bit) != 0) {
            index->exclusive[i] = NULL;
        }
    }
    f->index_shared &= ~mask;
    f->index_exclusive &= ~mask;
}

static int index_lock_shared(struct wal_index *index, struct vault_file *f, unsigned slot)
{
    unsigned bit = 1U << slot;
    if ((f->index_shared & bit) != 0) {
        return SQLITE_OK;
    }
    if (index->exclusive[slot] != NULL) {
        return SQLITE_BUSY;
    }
    index->shared[slot]++;
    f->index_shared |= bit;
    return SQLITE_OK;
}

static int index_lock_exclusive(struct wal_index *index, struct vault_file *f, unsigned mask)
{
    for (unsigned i = 0; i < WAL_INDEX_SLOTS; i++) {
        bool is_wanted = (1U << i & mask) != 0;
        if (is_wanted && (index->shared[i] > 0 || (index->exclusive[i] != NULL && index->exclusive[i] != f))) {
            return SQLITE_BUSY;
        }
    }
    for (unsigned i = 0; i < WAL_INDEX_SLOTS; i++) {
        if ((1U << i & mask) != 0) {
            index->exclusive[i] = f;
        }
    }
    f->index_exclusive |= mask;
    return SQLITE_OK;
}

int wal_index_lock(sqlite3_file *base, int offset, int n, int flags)
{
    struct vault_file *f = vault_file_of(base);
    struct wal_index *index = &f->files->index;
    unsigned mask = ((1U << (unsigned)n) - 1U) << (unsigned)offset;
    bool is_writers_only = (mask & (1U << SLOT_WRITE | 1U << SLOT_CHECKPOINT)) != 0;
    int rc = SQLITE_OK;
    check(pthread_mutex_lock(&f->files->mutex) == 0);
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
        if (f->owed !=
            SQLITE_OK) { /* a checkpoint ended without asking for it: readers may look for what is not there */
            atomic_store(&f->files->is_poisoned, true);
        }
        index_unlock(index, f, mask);
    } else if (vault_files_poisoned(f->files)) {
        rc = SQLITE_IOERR_SHMLOCK;
    } else if ((flags & SQLITE_SHM_SHARED) != 0) {
        rc = index_lock_shared(index, f, (unsigned)offset);
    } else if (is_writers_only && !f->is_writer) {
        rc = SQLITE_BUSY;
    } else {
        rc = index_lock_exclusive(index, f, mask);
    }
    check(pthread_mutex_unlock(&f->files->mutex) == 0);
    return rc;
}

bool wal_index_has_others(struct vault_files *files)
{
    check(pthread_mutex_lock(&files->mutex) == 0);
    bool has_others = files->index.users > 1;
    check(pthread_mutex_unlock(&files->mutex) == 0);
    return has_others;
}

void wal_index_barrier(sqlite3_file *base)
{
    struct vault_file *f = vault_file_of(base);
    /* A lock and unlock order memory between threads on every machine. */
    check(pthread_mutex_lock(&f->files->mutex) == 0);
    check(pthread_mutex_unlock(&f->files->mutex) == 0);
}

int wal_index_unmap(sqlite3_file *base, int remove)
{
    (void)remove;
    struct vault_file *f = vault_file_of(base);
    struct wal_index *index = &f->files->index;
    check(pthread_mutex_lock(&f->files->mutex) == 0);
    index_unlock(index, f, ~0U);
    if (f->uses_index) {
        f->uses_index = false;
        index->users--;
        if (index->users == 0) {
            for (size_t i = 0; i < index->region_count; i++) {
                free(index->regions[i]);
            }
            free(index->regions);
            *index = (struct wal_index){ .regions = NULL };
        }
    }
    check(pthread_mutex_unlock(&f->files->mutex) == 0);
    return SQLITE_OK;
}
