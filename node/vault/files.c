/*
 * Owns: what the open files of one vault share: paths, keys in guarded memory, poison flag, and the file methods that
 * are the same for every kind. After the first failed fsync nobody knows what is on the disk, so everything fails until
 * the vault is opened anew; the operating system may report the loss only once.
 */
#include "node/vault/files.h"

#include "schema/base/check.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static const char key_context[crypto_kdf_CONTEXTBYTES + 1] = "jipanvlt";

static char *path_join(const char *dir, const char *name, const char *suffix)
{
    size_t room = strlen(dir) + strlen(name) + strlen(suffix) + 2;
    char *path = malloc(room);
    if (path != NULL) {
        (void)snprintf(path, room, "%s/%s%s", dir, name, suffix);
    }
    return path;
}

void vault_keys_derive(struct vault_keys *keys)
{
    uint8_t *const derived[] = { keys->page, keys->wal, keys->journal, keys->header, keys->subkeys };
    for (size_t i = 0; i < ARRAY_LEN(derived); i++) {
        (void)crypto_kdf_derive_from_key(derived[i], PAGE_KEY_BYTES, i + 1, key_context, keys->data);
    }
}

enum err vault_files_new(struct disk disk, const char *dir, const char *file_name, struct vault_files **out)
{
    struct vault_files *files = calloc(1, sizeof(*files));
    if (files == NULL) {
        return ERR_NOMEM;
    }
    files->disk = disk;
    files->dir = strdup(dir);
    files->db_path = path_join(dir, file_name, "");
    files->wal_path = path_join(dir, file_name, "-wal");
    files->journal_path = path_join(dir, file_name, "-journal");
    files->keys = sodium_malloc(sizeof(*files->keys));
    check(pthread_mutex_init(&files->mutex, NULL) == 0);
    if (files->dir == NULL || files->db_path == NULL || files->wal_path == NULL || files->journal_path == NULL ||
        files->keys == NULL) {
        vault_files_free(files);
        return ERR_NOMEM;
    }
    *out = files;
    return ERR_OK;
}

void vault_files_free(struct vault_files *files)
{
    if (files == NULL) {
        return;
    }
    check(files->open_files == 0); /* a reader connection outlived its vault */
    check(files->index.users == 0);
    late_sync_stop(&files->late);
    sodium_free(files->keys);
    check(pthread_mutex_destroy(&files->mutex) == 0);
    free(files->dir);
    free(files->db_path);
    free(files->wal_path);
    free(files->journal_path);
    free(files);
}

int sqlite_from_errno(struct vault_files *files, int error, int otherwise)
{
    if (error == 0) {
        return SQLITE_OK;
    }
    atomic_store(&files->last_errno, error);
    if (error == ENOSPC || error == EDQUOT) {
        return SQLITE_FULL;
    }
    return error == ENOMEM ? SQLITE_IOERR_NOMEM : otherwise;
}

int vault_files_settle(struct vault_files *files)
{
    int error = late_sync_wait(&files->late);
    if (error != 0) {
        atomic_store(&files->is_poisoned, true);
    }
    return sqlite_from_errno(files, error, SQLITE_IOERR_FSYNC);
}

int vault_file_close(sqlite3_file *base)
{
    struct vault_file *f = vault_file_of(base);
    struct vault_files *files = f->files;
    if (f->wal.late != 0) {
        (void)vault_files_settle(files); /* what it says stands in is_poisoned */
    }
    if (f->kind == VAULT_FILE_MAIN) {
        (void)wal_index_unmap(base, 0);
        (void)main_file_unlock(base, SQLITE_LOCK_NONE);
    }
    f->disk->ops->close(f->disk);
    if (f->remove_path != NULL) {
        (void)files->disk.ops->remove(files->disk.ctx, f->remove_path);
        free(f->remove_path);
    }
    page_cipher_release(&f->cipher);
    sodium_memzero(f->scratch, f->scratch_bytes);
    free(f->scratch);
    stretch_release(&f->stretch);
    sodium_free(f->temp_key);
    check(pthread_mutex_lock(&files->mutex) == 0);
    files->open_files--;
    if (f->is_writer) {
        files->has_writer = false;
    }
    check(pthread_mutex_unlock(&files->mutex) == 0);
    f->base.pMethods = NULL;
    return SQLITE_OK;
}

int vault_file_sync(sqlite3_file *base, int flags)
{
    (void)flags;
    struct vault_file *f = vault_file_of(base);
    struct vault_files *files = f->files;
    if (f->kind == VAULT_FILE_TEMP) {
        return SQLITE_OK;
    }
    if (vault_files_poisoned(files)) {
        return SQLITE_IOERR_FSYNC;
    }
    int error = f->disk->ops->fsync(f->disk);
    if (error == 0 && f->must_sync_dir) {
        error = files->disk.ops->sync_dir(files->disk.ctx, files->dir);
    }
    if (error != 0) {
        atomic_store(&files->is_poisoned, true);
        return sqlite_from_errno(files, error, SQLITE_IOERR_FSYNC);
    }
    f->must_sync_dir = false;
    return SQLITE_OK;
}

int vault_file_sector_size(sqlite3_file *base)
{
    (void)base;
    return JOURNAL_BLOCK_BYTES;
}

int vault_file_characteristics(sqlite3_file *base)
{
    (void)base;
    /* Nothing about atomic writes: a sealed page is only as atomic as its sectors. */
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

int vault_file_no_lock(sqlite3_file *base, int level)
{
    (void)base;
    (void)level;
    return SQLITE_OK;
}

int vault_file_no_reserved(sqlite3_file *base, int *out)
{
    (void)base;
    *out = 0;
    return SQLITE_OK;
}

int vault_file_no_control(sqlite3_file *base, int op, void *arg)
{
    (void)base;
    (void)arg;
    return op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE ? SQLITE_OK : SQLITE_NOTFOUND;
}
