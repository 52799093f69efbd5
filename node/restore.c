/*
 * Owns: making a node out of a backup. Everything is done in a directory of its own inside the home, `restore.part`:
 * the copy, its check, its new epoch, its proof of place. Renaming jipan.db out of there is the moment the node exists.
 * Invariant: while anything is half done there is no jipan.db in the home, or it is still the old one, whole.
 */
#include "node/backup.h"

#include "node/mark.h"
#include "node/sql.h"
#include "node/vault/vault_on.h"
#include "schema/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { COPY_BYTES = 1 << 20, PATH_BYTES = APP_PATH_MAX + 64 };

static const char stage_name[] = "restore.part";
static const char aside_db[] = "jipan.db.before-restore";
static const char aside_wal[] = "jipan.db.before-restore-wal";

struct work {
    struct disk disk;
    const struct restore *in;
    char stage[PATH_BYTES];
    bool made_home;
    struct disk_file *run_lock, *store_lock;
};

static void path_in(char out[PATH_BYTES], const char *dir, const char *name)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);
    check(n > 0 && n < PATH_BYTES); /* restore_run bounds the home's length */
}

/* Of what the system says: what the person can do something about is kept apart. */
static enum err err_of_place(int error)
{
    enum err e = err_from_errno(error);
    return e == ERR_OK || e == ERR_FULL || e == ERR_NOMEM ? e : ERR_IO;
}

static bool is_there(const struct work *w, const char *dir, const char *name)
{
    char path[PATH_BYTES];
    uint64_t size = 0;
    path_in(path, dir, name);
    return w->disk.ops->stat(w->disk.ctx, path, &size) == 0;
}

static enum err move(const struct work *w, const char *from_dir, const char *from, const char *to_dir, const char *to)
{
    char a[PATH_BYTES];
    char b[PATH_BYTES];
    path_in(a, from_dir, from);
    path_in(b, to_dir, to);
    return err_of_place(w->disk.ops->rename(w->disk.ctx, a, b));
}

static enum err sync_dir(const struct work *w, const char *dir)
{
    return err_of_place(w->disk.ops->sync_dir(w->disk.ctx, dir));
}

static void remove_in(const struct work *w, const char *dir, const char *name)
{
    char path[PATH_BYTES];
    path_in(path, dir, name);
    (void)w->disk.ops->remove(w->disk.ctx, path);
}

static void remove_stage(const struct work *w)
{
    static const char *const names[] = { "jipan.db", "jipan.db-wal", "jipan.db-journal", "jipan.lock", "jipan.mark",
        "jipan.mark.new" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        remove_in(w, w->stage, names[i]);
    }
    (void)w->disk.ops->remove_dir(w->disk.ctx, w->stage);
}

/* --- the place
 * ---------------------------------------------------------------------------------------------------- */

static enum err take_lock(const struct work *w, const char *name, struct disk_file **out)
{
    char path[PATH_BYTES];
    path_in(path, w->in->home, name);
    int error = w->disk.ops->lock(w->disk.ctx, path, true, out);
    return error == EWOULDBLOCK ? ERR_LOCKED : err_of_place(error);
}

/* Folds the old store's log into its file, so that one file moves aside. A store that does not open keeps its log. */
static enum err settle_old(const struct work *w)
{
    struct vault *v = NULL;
    struct why ignored = { .zh = { 0 } };
    enum err e = vault_open_on(w->disk, w->in->home, SLOT_PASSPHRASE, w->in->passphrase, &v, &ignored);
    vault_close(e == ERR_OK ? v : NULL);
    return e == ERR_LOCKED ? e : ERR_OK;
}

static enum err check_place(const struct work *w, struct why *why)
{
    const char *home = w->in->home;
    bool has_store = is_there(w, home, "jipan.db");
    if (has_store && !w->in->replace) {
        return why_setf(why, ERR_EXISTS, "%s 里已有节点；恢复到空目录，或加 --force 把现有的库移到一边",
            "there already is a node in %s; restore into an empty directory, or move it aside with --force", home);
    }
    if ((has_store && is_there(w, home, aside_db)) ||
        (is_there(w, home, "jipan.db-wal") && is_there(w, home, aside_wal))) {
        return why_set(why, ERR_EXISTS, "目录里已有上次移开的库 jipan.db.before-restore；请先收好它",
            "there already is a store moved aside, jipan.db.before-restore; put it away first");
    }
    return ERR_OK;
}

static enum err take_place(struct work *w, struct why *why)
{
    const char *home = w->in->home;
    int error = disk_make_dir_durable(w->disk, home, &w->made_home);
    if (error != 0) {
        return why_setf(why, error == ENOENT ? ERR_NOT_FOUND : err_of_place(error), "不能建立目录 %s",
            "cannot create directory %s", home);
    }
    enum err e = take_lock(w, "run.lock", &w->run_lock);
    if (e == ERR_OK) {
        e = check_place(w, why);
    }
    if (e == ERR_OK && w->in->replace && vault_exists_on(w->disk, home)) {
        e = settle_old(w);
    }
    if (e == ERR_OK) {
        e = take_lock(w, "jipan.lock", &w->store_lock);
    }
    if (e == ERR_LOCKED) {
        return why_setf(why, e, "%s 的节点正在运行；先停止它", "the node of %s is running; stop it first", home);
    }
    if (e == ERR_IO) {
        return why_setf(why, e, "不能写目录 %s；请检查目录和权限",
            "cannot write to %s; check the directory and its permissions", home);
    }
    return e;
}

static void leave_place(struct work *w, bool is_done)
{
    if (w->store_lock != NULL) {
        remove_stage(w); /* else it may be another restore's */
    }
    if (!is_done && w->made_home && w->run_lock != NULL) {
        remove_in(w, w->in->home, "run.lock");
    }
    if (!is_done && w->made_home && w->store_lock != NULL) {
        remove_in(w, w->in->home, "jipan.lock");
    }
    if (!is_done && w->made_home) {
        (void)w->disk.ops->remove_dir(w->disk.ctx, w->in->home); /* stays when somebody else has put something in */
    }
    if (w->store_lock != NULL) {
        w->store_lock->ops->close(w->store_lock);
    }
    if (w->run_lock != NULL) {
        w->run_lock->ops->close(w->run_lock);
    }
}

/* --- the copy
 * ------------------------------------------------------------------------------------------------------- */

static enum err pump(const struct restore *in, struct disk_file *from, struct disk_file *to)
{
    uint8_t *piece = malloc(COPY_BYTES);
    uint64_t total = 0;
    uint64_t done = 0;
    size_t got = COPY_BYTES;
    int error = piece == NULL ? ENOMEM : from->ops->size(from, &total);
    while (error == 0 && got == COPY_BYTES) {
        error = from->ops->pread(from, piece, COPY_BYTES, done, &got);
        if (error == 0) {
            error = to->ops->pwrite(to, piece, got, done);
        }
        done += got;
        if (error == 0 && in->progress != NULL) {
            in->progress(in->ctx, done, total);
        }
    }
    free(piece);
    return err_from_errno(error == 0 ? to->ops->fsync(to) : error);
}

static enum err copy_file(const struct work *w, struct disk_file *from, struct why *why)
{
    char path[PATH_BYTES];
    struct disk_file *to = NULL;
    remove_stage(w);
    int error = w->disk.ops->make_dir(w->disk.ctx, w->stage);
    if (error != 0) {
        return why_setf(why, err_of_place(error), "不能建立目录 %s", "cannot create directory %s", w->stage);
    }
    path_in(path, w->stage, "jipan.db");
    error = w->disk.ops->open(w->disk.ctx, path, DISK_CREATE | DISK_EXCLUSIVE, &to);
    enum err e = error != 0 ? err_from_errno(error) : pump(w->in, from, to);
    if (to != NULL) {
        to->ops->close(to);
    }
    return e == ERR_OK || e == ERR_NOMEM || e == ERR_FULL
               ? e
               : why_setf(why, ERR_IO, "读备份或写 %s 失败", "reading the backup or writing %s failed", path);
}

static enum err stage_copy(const struct work *w, struct why *why)
{
    struct disk_file *from = NULL;
    int error = w->disk.ops->open(w->disk.ctx, w->in->file, DISK_READ_ONLY | DISK_FOREIGN, &from);
    if (error == EISDIR) {
        return why_setf(why, ERR_INVALID, "%s 不是普通文件", "%s is not an ordinary file", w->in->file);
    }
    if (error != 0) {
        return why_setf(why, error == ENOENT || error == ENOTDIR ? ERR_NOT_FOUND : err_of_place(error), "读不到备份 %s",
            "cannot read the backup %s", w->in->file);
    }
    enum err e = copy_file(w, from, why);
    from->ops->close(from);
    return e;
}

/* --- the check
 * ------------------------------------------------------------------------------------------------------ */

/* Every page, before anything is written into the copy; and that a backup made it, not a raw copy of a live store. */
static enum err check_copy(const struct work *w, struct backup_born *born, struct why *why)
{
    struct vault *v = NULL;
    sqlite3_stmt *stmt = NULL;
    struct bytes bytes = { 0 };
    enum err e = vault_open_on(w->disk, w->stage, SLOT_PASSPHRASE, w->in->passphrase, &v, why);
    if (e != ERR_OK) {
        return e == ERR_DAMAGED || e == ERR_FORMAT
                   ? why_setf(why, ERR_DAMAGED, "备份 %s 损坏，或不是备份文件；没有恢复任何内容",
                         "the backup %s is damaged, or not a backup; nothing was restored", w->in->file)
                   : e;
    }
    e = vault_verify(v, why);
    if (e == ERR_OK) {
        int rc =
            sqlite3_prepare_v2(vault_db(v), "SELECT v FROM kv_meta WHERE k = CAST('born' AS BLOB)", -1, &stmt, NULL);
        rc = rc == SQLITE_OK ? sqlite3_step(stmt) : rc;
        e = rc == SQLITE_ROW ? sql_column_blob(stmt, 0, &bytes) : rc == SQLITE_DONE ? ERR_INVALID : err_from_sqlite(rc);
        e = e == ERR_OK ? backup_born_take(bytes, born) : e;
        (void)sqlite3_finalize(stmt);
        if (e == ERR_INVALID) {
            (void)why_setf(why, e, "%s 不是 jipan backup 写的文件", "%s was not written by jipan backup", w->in->file);
        }
    }
    vault_close(v);
    return e;
}

/* Opening the copy finds no proof of place in it and draws the new epoch; closing it leaves the proof for its place. */
static enum err take_identity(const struct work *w, struct restored *out, struct why *why)
{
    struct app *app = NULL;
    uint8_t bytes[BACKUP_BORN_BYTES];
    enum err e = app_open_on(w->disk, w->stage, w->in->passphrase, &app, why);
    if (e != ERR_OK) {
        return e;
    }
    e = app_verify(app, true, NULL, why);
    if (e == ERR_OK && (app->core.epoch <= out->born.epoch || app->core.self.number != out->born.node)) {
        e = ERR_DAMAGED;
    }
    if (e == ERR_OK) {
        e = app_begin(app);
    }
    if (e == ERR_OK) {
        backup_born_put(&out->born, bytes);
        e = app->store->ops->put(app->store, SPACE_META, BYTES_LIT("restored"), BYTES_OF(bytes));
        e = e == ERR_OK ? app->store->ops->del(app->store, SPACE_META, BYTES_LIT("born")) : e;
        e = app_end(app, e);
    }
    if (e == ERR_OK) {
        mark_close(app);
        e = vault_checkpoint(app->vault); /* closing would do both, and not say why it could not */
    }
    out->node = app->core.self.number;
    out->epoch = app->core.epoch;
    out->is_authority = app->core.is_authority;
    e = e == ERR_IO ? why_from_vault(why, e, app->vault->files) : e; /* a sync may have told of the full disk */
    app_close(app);
    return e == ERR_OK && is_there(w, w->stage, "jipan.db-wal") ? ERR_IO : e;
}

/* --- the moment
 * ----------------------------------------------------------------------------------------------------- */

/* jipan.db goes first: without it nobody takes the log for a store's. A second run finds the log alone and moves it. */
static enum err move_aside(const struct work *w, bool *did)
{
    const char *home = w->in->home;
    enum err e = ERR_OK;
    *did = is_there(w, home, aside_db);
    if (is_there(w, home, "jipan.db")) {
        e = move(w, home, "jipan.db", home, aside_db);
        *did = true;
    }
    if (e == ERR_OK && is_there(w, home, "jipan.db-wal")) {
        e = move(w, home, "jipan.db-wal", home, aside_wal);
    }
    return e == ERR_OK ? sync_dir(w, home) : e;
}

/* Something did not go: the old store, if there was one, goes back. It has lost its proof of place, no more. */
static void undo(const struct work *w, bool has_moved_in, bool was_unfinished)
{
    const char *home = w->in->home;
    if (has_moved_in) {
        (void)move(w, home, "jipan.db", w->stage, "jipan.db");
    }
    if (!was_unfinished && is_there(w, home, aside_wal)) {
        (void)move(w, home, aside_wal, home, "jipan.db-wal");
    }
    if (!was_unfinished && is_there(w, home, aside_db)) {
        (void)move(w, home, aside_db, home, "jipan.db");
    }
    if (!is_there(w, home, "jipan.db")) {
        remove_in(w, home, "jipan.mark");
    }
    (void)sync_dir(w, home);
}

static enum err install(const struct work *w, struct restored *out)
{
    const char *home = w->in->home;
    bool was_unfinished = is_there(w, home, "jipan.unfinished");
    bool has_moved_in = false;
    enum err e = sync_dir(w, w->stage);
    if (e == ERR_OK) {
        e = move_aside(w, &out->has_aside);
    }
    if (e == ERR_OK) {
        remove_in(w, home, "jipan.unfinished"); /* an interrupted creation's, whose store has moved aside */
        e = move(w, w->stage, "jipan.mark", home, "jipan.mark");
    }
    if (e == ERR_OK) {
        e = sync_dir(w, home);
    }
    if (e == ERR_OK) {
        e = move(w, w->stage, "jipan.db", home, "jipan.db");
        has_moved_in = e == ERR_OK;
    }
    e = e == ERR_OK ? sync_dir(w, home) : e;
    if (e != ERR_OK) {
        undo(w, has_moved_in, was_unfinished);
    }
    return e;
}

static enum err tell_full(const struct work *w, struct why *why)
{
    uint64_t bytes = 0;
    char room[32];
    (void)w->disk.ops->stat(w->disk.ctx, w->in->file, &bytes);
    (void)snprintf(room, sizeof(room), "%llu", (unsigned long long)(bytes >> 20) + 1);
    return why_setf(why, ERR_FULL,
        "磁盘已满，没有恢复任何内容：请在节点目录所在的磁盘上腾出至少 %s MiB，再运行一次 jipan restore",
        "the disk is full and nothing was restored: free at least %s MiB on the disk of the node's directory and run "
        "jipan restore again",
        room);
}

enum err restore_run_on(struct disk disk, const struct restore *in, struct restored *out, struct why *why)
{
    struct work w = { .disk = disk, .in = in };
    struct restored r = { .node = 0 };
    if (strlen(in->home) >= APP_PATH_MAX) {
        return ERR_LIMIT;
    }
    path_in(w.stage, in->home, stage_name);
    enum err e = take_place(&w, why);
    if (e == ERR_OK) {
        e = stage_copy(&w, why);
    }
    if (e == ERR_OK) {
        e = check_copy(&w, &r.born, why);
    }
    if (e == ERR_OK) {
        e = take_identity(&w, &r, why);
    }
    if (e == ERR_OK) {
        e = install(&w, &r);
    }
    if (e == ERR_FULL) {
        e = tell_full(&w, why);
    }
    leave_place(&w, e == ERR_OK);
    if (e == ERR_OK) {
        *out = r;
    }
    return e;
}

enum err restore_run(const struct restore *in, struct restored *out, struct why *why)
{
    return restore_run_on(disk_posix(), in, out, why);
}
