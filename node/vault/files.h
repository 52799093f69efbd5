#ifndef JIPAN_NODE_VAULT_FILES_H
#define JIPAN_NODE_VAULT_FILES_H

#include "node/vault/disk.h"
#include "node/vault/header.h"
#include "node/vault/late_sync.h"
#include "node/vault/stretch.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

/* All keys of an open vault, in guarded memory. Every one but `data` is derived from `data`. */
struct vault_keys {
    uint8_t data[PAGE_KEY_BYTES];
    uint8_t page[PAGE_KEY_BYTES];
    uint8_t wal[PAGE_KEY_BYTES];
    uint8_t journal[PAGE_KEY_BYTES];
    uint8_t header[PAGE_KEY_BYTES]; /* MAC of the header block */
    uint8_t subkeys[PAGE_KEY_BYTES]; /* root of vault_subkey */
};

enum { WAL_INDEX_SLOTS = SQLITE_SHM_NLOCK, WAL_INDEX_REGIONS_MAX = 4096 };

/* The wal-index of one vault: memory of this process instead of a -shm file. */
struct wal_index {
    void **regions;
    size_t region_count;
    size_t region_bytes;
    unsigned users;
    unsigned shared[WAL_INDEX_SLOTS];
    const void *exclusive[WAL_INDEX_SLOTS];
};

/* File locks between connections of this process; other processes are kept out by the lock file. */
struct file_locks {
    unsigned shared;
    const void *reserved;
    const void *pending; /* wants or has EXCLUSIVE */
};

/**
 * struct vault_files: everything the open files of one vault share. One SQLite VFS is registered per vault; its
 * pAppData points here.
 */
struct vault_files {
    struct disk disk;
    char *dir;
    char *db_path;
    char *wal_path;
    char *journal_path;
    uint8_t db_id[HEADER_ID_BYTES];
    struct vault_keys *keys;
    atomic_bool is_poisoned; /* set by the first failed fsync, never cleared */
    atomic_int last_errno;

    bool is_lazy; /* the writer's: a commit does not wait for its sync, see vault_files_settle */
    struct late_sync late; /* the writer's: of the log */

    pthread_mutex_t mutex; /* guards what follows */
    struct file_locks locks;
    struct wal_index index;
    bool has_writer;
    unsigned open_files;

    sqlite3_vfs vfs;
    char vfs_name[40];
};

/* Operations of the main file besides SQLite's, which end at 100. LAZY: a bool. */
enum { VAULT_FCNTL_LAZY = 0x4a50, VAULT_FCNTL_SETTLE };

enum vault_file_kind { VAULT_FILE_MAIN, VAULT_FILE_WAL, VAULT_FILE_JOURNAL, VAULT_FILE_TEMP };

/* State of the WAL file of one connection; see wal_file.c. */
struct wal_state {
    bool has_pending;
    uint32_t pending_index;
    uint8_t pending_header[WAL_FRAME_HEADER_BYTES];
    uint32_t written; /* frames below this index were written through this handle in this generation, or are gathered */
    uint32_t synced; /* all frames below this index are durable and unchanged since */
    uint32_t late; /* the same once the sync under way has ended well; 0: none was begun since */
    bool is_new; /* the log's header was written since the last sync: frames must not be on the disk before it */
};

struct vault_file {
    sqlite3_file base;
    struct vault_files *files;
    struct disk_file *disk;
    enum vault_file_kind kind;
    struct page_cipher cipher;
    uint8_t *scratch; /* one sealed piece; may hold plaintext, wiped on close */
    size_t scratch_bytes;
    struct stretch stretch; /* main file and log */
    bool must_sync_dir; /* created by us; its name is not durable yet */
    bool is_writer; /* main file opened for writing */
    char *remove_path; /* temp file: its name, removed on close where it could not be at once */
    int lock_level;
    uint64_t pages; /* writer's main file: whole pages on disk, valid when has_pages */
    bool has_pages;
    bool gathers; /* a checkpoint is under way, and nobody reads beside it */
    int owed; /* SQLite's code of a write that failed and was not told yet */
    unsigned index_shared; /* bit per wal-index slot */
    unsigned index_exclusive;
    bool uses_index;
    struct wal_state wal;
    uint8_t *temp_key; /* random, guarded memory; temp files only */
};

static inline struct vault_file *vault_file_of(sqlite3_file *base)
{
    return (struct vault_file *)base;
}

/*
 * vault_files_new: paths, mutex and guarded memory for keys; the caller fills keys and db_id. file_name is the name of
 * the main file inside dir. vault_files_free wipes the keys; no file may be open.
 */
MUST_USE enum err vault_files_new(struct disk disk, const char *dir, const char *file_name, struct vault_files **out);
void vault_files_free(struct vault_files *files);

/* Fills all derived keys from keys->data. */
void vault_keys_derive(struct vault_keys *keys);

/* vfs.c: makes the VFS known to SQLite under files->vfs_name, and takes it back. */
MUST_USE enum err vault_vfs_register(struct vault_files *files);
void vault_vfs_unregister(struct vault_files *files);

/* One method table per kind of file. */
extern const sqlite3_io_methods main_file_methods;
extern const sqlite3_io_methods wal_file_methods;
extern const sqlite3_io_methods block_file_methods;

/* Shared by the method tables (file_common.c). */
int vault_file_close(sqlite3_file *base);
int vault_file_sync(sqlite3_file *base, int flags);
int vault_file_sector_size(sqlite3_file *base);
int vault_file_characteristics(sqlite3_file *base);
int vault_file_no_lock(sqlite3_file *base, int level);
int vault_file_no_reserved(sqlite3_file *base, int *out);
int vault_file_no_control(sqlite3_file *base, int op, void *arg);
int sqlite_from_errno(struct vault_files *files, int error, int otherwise);
/* The writer's: waits for the sync of the log that a lazy commit left under way. Whatever builds on a durable log comes
 * after it: the next sync, every write to the main file, a log begun anew. */
int vault_files_settle(struct vault_files *files);

/* True after a failed fsync: nothing is written, read or locked any more. */
static inline bool vault_files_poisoned(struct vault_files *files)
{
    return atomic_load(&files->is_poisoned);
}

/* file_locks.c: SQLite's five lock levels between connections of this process. */
int main_file_lock(sqlite3_file *base, int level);
int main_file_unlock(sqlite3_file *base, int level);
int main_file_check_reserved(sqlite3_file *base, int *out);

/* wal_index.c */
int wal_index_map(sqlite3_file *base, int region, int bytes, int extend, void volatile **out);
int wal_index_lock(sqlite3_file *base, int offset, int n, int flags);
void wal_index_barrier(sqlite3_file *base);
int wal_index_unmap(sqlite3_file *base, int remove);
bool wal_index_has_others(struct vault_files *files); /* connections besides the one that asks */

/* Physical piece of the WAL: opened in place in buf (WAL_DISK_FRAME_BYTES). Result points at mark, header and page. */
MUST_USE enum err wal_frame_open(struct page_cipher *c, const struct vault_files *files, uint32_t index, uint8_t *buf);
MUST_USE enum err wal_header_open(struct page_cipher *c, const struct vault_files *files, uint8_t *buf);
static inline uint64_t wal_frame_offset(uint32_t index)
{
    return WAL_DISK_HEADER_BYTES + (uint64_t)index * WAL_DISK_FRAME_BYTES;
}

/* Opens a page of the main file in place in buf (VAULT_PAGE_BYTES); the reserved bytes become zero. */
MUST_USE enum err main_page_open(struct page_cipher *c, const struct vault_files *files, uint64_t page, uint8_t *buf);

#endif
