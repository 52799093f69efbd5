/*
 * Owns: the SQLite VFS of one vault: which files may be opened, under which names, with which methods. Only the main
 * file, its log, its journal and nameless temporary files exist; anything else (another database, a super-journal, an
 * extension) is refused, so no statement can make SQLite write readable bytes through this VFS.
 *
 * There is no list of ours: SQLite keeps the registered VFSs, under its own lock; names are numbered.
 */
#include "node/vault/files.h"

#include "schema/base/check.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_BYTES_MAX = 4096 };

static atomic_uint vfs_count;

static struct vault_files *files_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static size_t scratch_room(enum vault_file_kind kind)
{
    static const size_t rooms[] = {
        [VAULT_FILE_MAIN] = VAULT_PAGE_BYTES,
        [VAULT_FILE_WAL] = WAL_DISK_FRAME_BYTES,
        [VAULT_FILE_JOURNAL] = JOURNAL_BLOCK_BYTES + BLOCK_LENGTH_BYTES + PAGE_SEAL_BYTES,
        [VAULT_FILE_TEMP] = TEMP_BLOCK_BYTES + BLOCK_LENGTH_BYTES + PAGE_SEAL_BYTES,
    };
    return rooms[kind];
}

/* Memory of an open file. */
static enum err file_init(struct vault_file *f, struct vault_files *files, enum vault_file_kind kind)
{
    *f = (struct vault_file){ .files = files, .kind = kind, .scratch_bytes = scratch_room(kind) };
    f->scratch = malloc(f->scratch_bytes);
    if (f->scratch == NULL || page_cipher_init(&f->cipher) != ERR_OK) {
        free(f->scratch);
        return ERR_NOMEM;
    }
    if (kind == VAULT_FILE_TEMP) {
        f->temp_key = sodium_malloc(PAGE_KEY_BYTES);
        if (f->temp_key == NULL) {
            page_cipher_release(&f->cipher);
            free(f->scratch);
            return ERR_NOMEM;
        }
        randombytes_buf(f->temp_key, PAGE_KEY_BYTES);
    }
    return ERR_OK;
}

static void file_release(struct vault_file *f)
{
    page_cipher_release(&f->cipher);
    free(f->scratch);
    stretch_release(&f->stretch);
    free(f->remove_path);
    sodium_free(f->temp_key);
}

/* A nameless file in the vault's own directory, unlinked at once where the system allows it. */
static int temp_open(struct vault_file *f)
{
    struct vault_files *files = f->files;
    uint8_t random[8];
    char hex[2 * sizeof(random) + 1];
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    size_t room = strlen(files->dir) + sizeof("/jipan-temp-") + sizeof(hex);
    f->remove_path = malloc(room);
    if (f->remove_path == NULL) {
        return ENOMEM;
    }
    (void)snprintf(f->remove_path, room, "%s/jipan-temp-%s", files->dir, hex);
    int error = files->disk.ops->open(files->disk.ctx, f->remove_path, DISK_CREATE | DISK_EXCLUSIVE, &f->disk);
    if (error == 0 && files->disk.ops->remove(files->disk.ctx, f->remove_path) == 0) {
        free(f->remove_path);
        f->remove_path = NULL;
    }
    return error;
}

static int named_open(struct vault_file *f, const char *path, int flags)
{
    struct vault_files *files = f->files;
    unsigned mode = (flags & SQLITE_OPEN_READONLY) != 0 ? (unsigned)DISK_READ_ONLY : 0U;
    int error = files->disk.ops->open(files->disk.ctx, path, mode, &f->disk);
    if (error == ENOENT && f->kind != VAULT_FILE_MAIN && (flags & SQLITE_OPEN_CREATE) != 0) {
        f->must_sync_dir = true;
        error = files->disk.ops->open(files->disk.ctx, path, DISK_CREATE, &f->disk);
    }
    return error;
}

/* Which of our files this is, or false. */
static bool file_kind(const struct vault_files *files, const char *path, int flags, enum vault_file_kind *out)
{
    int type = flags & 0x0FFF00;
    if (type == SQLITE_OPEN_MAIN_DB && path != NULL && strcmp(path, files->db_path) == 0) {
        *out = VAULT_FILE_MAIN;
    } else if (type == SQLITE_OPEN_WAL && path != NULL && strcmp(path, files->wal_path) == 0) {
        *out = VAULT_FILE_WAL;
    } else if (type == SQLITE_OPEN_MAIN_JOURNAL && path != NULL && strcmp(path, files->journal_path) == 0) {
        *out = VAULT_FILE_JOURNAL;
    } else if (type == SQLITE_OPEN_TEMP_DB || type == SQLITE_OPEN_TEMP_JOURNAL || type == SQLITE_OPEN_TRANSIENT_DB ||
               type == SQLITE_OPEN_SUBJOURNAL) {
        *out = VAULT_FILE_TEMP;
    } else {
        return false;
    }
    return true;
}

/* Counts the file; refuses a second writer. */
static bool file_admit(struct vault_file *f, int flags)
{
    struct vault_files *files = f->files;
    bool wants_writer = f->kind == VAULT_FILE_MAIN && (flags & SQLITE_OPEN_READONLY) == 0;
    check(pthread_mutex_lock(&files->mutex) == 0);
    bool ok = !(wants_writer && files->has_writer);
    if (ok) {
        files->open_files++;
        files->has_writer = files->has_writer || wants_writer;
        f->is_writer = wants_writer;
    }
    check(pthread_mutex_unlock(&files->mutex) == 0);
    return ok;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *ret_flags)
{
    struct vault_files *files = files_of(vfs);
    struct vault_file *f = vault_file_of(base);
    enum vault_file_kind kind;
    base->pMethods = NULL;
    if (!file_kind(files, path, flags, &kind)) {
        return SQLITE_CANTOPEN;
    }
    if (file_init(f, files, kind) != ERR_OK) {
        return SQLITE_NOMEM;
    }
    int error = kind == VAULT_FILE_TEMP ? temp_open(f) : named_open(f, path, flags);
    if (error != 0) {
        file_release(f);
        return sqlite_from_errno(files, error, SQLITE_CANTOPEN);
    }
    if (!file_admit(f, flags)) {
        f->disk->ops->close(f->disk);
        file_release(f);
        return SQLITE_CANTOPEN;
    }
    if (ret_flags != NULL) {
        *ret_flags = flags;
    }
    static const sqlite3_io_methods *const methods[] = {
        [VAULT_FILE_MAIN] = &main_file_methods,
        [VAULT_FILE_WAL] = &wal_file_methods,
        [VAULT_FILE_JOURNAL] = &block_file_methods,
        [VAULT_FILE_TEMP] = &block_file_methods,
    };
    base->pMethods = methods[kind];
    return SQLITE_OK;
}

static bool is_side_file(const struct vault_files *files, const char *path)
{
    return strcmp(path, files->wal_path) == 0 || strcmp(path, files->journal_path) == 0;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
    struct vault_files *files = files_of(vfs);
    if (!is_side_file(files, path) || vault_files_poisoned(files)) {
        return SQLITE_IOERR_DELETE;
    }
    int error = files->disk.ops->remove(files->disk.ctx, path);
    if (error == ENOENT) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    if (error == 0 && sync_dir != 0) {
        error = files->disk.ops->sync_dir(files->disk.ctx, files->dir);
        if (error != 0) {
            atomic_store(&files->is_poisoned, true);
        }
    }
    return sqlite_from_errno(files, error, SQLITE_IOERR_DELETE);
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
    (void)flags;
    struct vault_files *files = files_of(vfs);
    uint64_t size = 0;
    int error = files->disk.ops->stat(files->disk.ctx, path, &size);
    if (error != 0 && error != ENOENT) {
        return sqlite_from_errno(files, error, SQLITE_IOERR_ACCESS);
    }
    *out = error == 0 && size > 0; /* an empty journal or log is none, as in SQLite's own VFS */
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int room, char *out)
{
    (void)vfs;
    size_t len = strlen(path);
    if (len + 1 > (size_t)room) {
        return SQLITE_CANTOPEN;
    }
    memcpy(out, path, len + 1);
    return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int bytes, char *out)
{
    (void)vfs;
    randombytes_buf(out, (size_t)bytes);
    return bytes;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    sqlite3_vfs *system = sqlite3_vfs_find(NULL);
    return system->xSleep(system, us);
}

static int vfs_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    (void)vfs;
    sqlite3_vfs *system = sqlite3_vfs_find(NULL);
    return system->xCurrentTimeInt64(system, out);
}

static int vfs_time_days(sqlite3_vfs *vfs, double *out)
{
    (void)vfs;
    sqlite3_vfs *system = sqlite3_vfs_find(NULL);
    return system->xCurrentTime(system, out);
}

static int vfs_last_error(sqlite3_vfs *vfs, int room, char *out)
{
    (void)room;
    (void)out;
    return atomic_load(&files_of(vfs)->last_errno);
}

enum err vault_vfs_register(struct vault_files *files)
{
    (void)snprintf(files->vfs_name, sizeof(files->vfs_name), "jipan-vault-%u", atomic_fetch_add(&vfs_count, 1U));
    files->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = (int)sizeof(struct vault_file),
        .mxPathname = PATH_BYTES_MAX,
        .zName = files->vfs_name,
        .pAppData = files,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time_days,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_time_ms,
    };
    return sqlite3_vfs_register(&files->vfs, 0) == SQLITE_OK ? ERR_OK : ERR_NOMEM;
}

void vault_vfs_unregister(struct vault_files *files)
{
    (void)sqlite3_vfs_unregister(&files->vfs);
}
