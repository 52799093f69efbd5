/*
 * Owns: copying an open vault into another file. The copy bears the same database id, data key and key slots, so the
 * same passphrase and recovery key open it, and no key has to be kept for it; every page is sealed anew. SQLite's
 * backup interface reads through the writer's own connection, which carries later writes of that connection into the
 * copy.
 *
 * Does not choose names, ask for rights or say what a copy is good for.
 */
#include "node/vault/copy.h"

#include "node/vault/vault_on.h"
#include "schema/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct vault_copy {
    struct vault_files *files;
    const struct vault_files *source;
    bool is_registered;
    sqlite3 *db;
    sqlite3_backup *backup;
};

static void remove_files(struct vault_files *files)
{
    const char *const paths[] = { files->db_path, files->wal_path, files->journal_path };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        (void)files->disk.ops->remove(files->disk.ctx, paths[i]);
    }
}

static int close_all(struct vault_copy *c)
{
    int finished = c->backup == NULL ? SQLITE_OK : sqlite3_backup_finish(c->backup);
    int closed = sqlite3_close(c->db);
    c->backup = NULL;
    c->db = NULL;
    if (c->is_registered) {
        vault_vfs_unregister(c->files);
    }
    c->is_registered = false;
    return finished != SQLITE_OK ? finished : closed;
}

static void copy_free(struct vault_copy *c)
{
    vault_files_free(c->files);
    free(c);
}

void vault_copy_abandon(struct vault_copy *c)
{
    if (c == NULL) {
        return;
    }
    (void)close_all(c);
    remove_files(c->files);
    copy_free(c);
}

/* The name is made by us, not found: nobody can have put a link or a foreign file there. */
static enum err make_file(struct vault_files *files)
{
    struct disk_file *file = NULL;
    remove_files(files);
    int error = files->disk.ops->open(files->disk.ctx, files->db_path, DISK_CREATE | DISK_EXCLUSIVE, &file);
    if (error != 0) {
        atomic_store(&files->last_errno, error);
        return err_from_errno(error);
    }
    file->ops->close(file);
    return ERR_OK;
}

/* An empty database with a rollback journal: pages behind its end are written once, without a log. */
static enum err connect_copy(struct vault_copy *c, sqlite3 *source)
{
    int reserve = VAULT_RESERVED_BYTES;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(c->files->db_path, &c->db, flags, c->files->vfs_name);
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(c->db,
            "PRAGMA temp_store=MEMORY;PRAGMA cache_size=-16384;PRAGMA trusted_schema=OFF;PRAGMA mmap_size=0;", NULL,
            NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_file_control(c->db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    }
    if (rc == SQLITE_OK) {
        c->backup = sqlite3_backup_init(c->db, "main", source, "main");
        rc = c->backup == NULL ? sqlite3_extended_errcode(c->db) : SQLITE_OK;
    }
    return err_from_sqlite(rc);
}

enum err vault_copy_begin(struct vault *v, const char *dir, const char *name, struct vault_copy **out, struct why *why)
{
    struct vault_header header = v->header;
    unsigned copy = 0;
    struct vault_copy *c = calloc(1, sizeof(*c));
    enum err e = c == NULL ? ERR_NOMEM : vault_files_new(v->files->disk, dir, name, &c->files);
    if (e != ERR_OK) {
        free(c);
        return why_set(why, e, err_zh(e), err_en(e));
    }
    c->source = v->files;
    *c->files->keys = *v->files->keys;
    memcpy(c->files->db_id, v->files->db_id, HEADER_ID_BYTES);
    e = make_file(c->files);
    if (e == ERR_OK) {
        e = header_file_create(c->files, &header, &copy);
    }
    if (e == ERR_OK) {
        e = vault_vfs_register(c->files);
        c->is_registered = e == ERR_OK;
    }
    if (e == ERR_OK) {
        e = connect_copy(c, v->db);
    }
    if (e != ERR_OK) {
        e = why_from_vault(why, e, c->files);
        vault_copy_abandon(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

enum err vault_copy_step(struct vault_copy *c, int pages, bool *done, struct why *why)
{
    check(c->backup != NULL);
    int rc = sqlite3_backup_step(c->backup, pages);
    if (rc == SQLITE_OK || rc == SQLITE_DONE) {
        *done = rc == SQLITE_DONE;
        return ERR_OK;
    }
    enum err e = err_from_sqlite(rc);
    return why_from_vault(why, e, e == ERR_DAMAGED ? c->source : c->files);
}

void vault_copy_progress(const struct vault_copy *c, uint64_t *done, uint64_t *total)
{
    int all = sqlite3_backup_pagecount(c->backup);
    *total = (uint64_t)all;
    *done = (uint64_t)(all - sqlite3_backup_remaining(c->backup));
}

sqlite3 *vault_copy_db(struct vault_copy *c)
{
    if (c->backup != NULL) {
        (void)sqlite3_backup_finish(c->backup);
        c->backup = NULL;
    }
    return c->db;
}

/* The copied header says that there is a log; what was written after the pages stands in it. */
static enum err fold_log(struct vault_copy *c)
{
    int rc = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    int closed = close_all(c);
    return err_from_sqlite(rc != SQLITE_OK ? rc : closed);
}

static int put_in_place(struct vault_files *files, const char *final_name)
{
    struct disk disk = files->disk;
    struct disk_file *file = NULL;
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/%s", files->dir, final_name);
    int error = n < 0 || (size_t)n >= sizeof(path) ? ENAMETOOLONG : disk.ops->open(disk.ctx, files->db_path, 0, &file);
    if (error == 0) {
        error = file->ops->fsync(file);
        file->ops->close(file);
    }
    if (error == 0) {
        error = disk.ops->rename(disk.ctx, files->db_path, path);
    }
    return error == 0 ? disk.ops->sync_dir(disk.ctx, files->dir) : error;
}

enum err vault_copy_finish(struct vault_copy *c, const char *final_name, struct why *why)
{
    (void)vault_copy_db(c);
    enum err e = fold_log(c);
    if (e == ERR_OK) {
        int error = put_in_place(c->files, final_name);
        atomic_store(&c->files->last_errno, error);
        e = err_from_errno(error);
    }
    if (e == ERR_OK) {
        copy_free(c);
        return ERR_OK;
    }
    e = why_from_vault(why, e, c->files);
    vault_copy_abandon(c);
    return e;
}
