/*
 * Owns: the backup under way: its names, its one copy, its "born from" mark. Invariant: the wanted name exists only for
 * a complete, durable backup. Asks for no right and writes no audit entry: node/handlers_backup.c does.
 */
#include "node/backup.h"

#include "node/mark.h"
#include "node/sql.h"
#include "node/vault/copy.h"
#include "node/vault/vault_on.h"
#include "schema/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_BYTES = 256 };

struct backup {
    struct vault_copy *copy;
    char dir[APP_PATH_MAX];
    char name[NAME_BYTES];
    uint64_t touched_ms;
};

void backup_born_put(const struct backup_born *b, uint8_t out[BACKUP_BORN_BYTES])
{
    for (size_t i = 0; i < 4; i++) {
        out[i] = (uint8_t)(b->node >> (8 * (3 - i)));
        out[4 + i] = (uint8_t)(b->epoch >> (8 * (3 - i)));
    }
    for (size_t i = 0; i < 8; i++) {
        out[8 + i] = (uint8_t)(b->seq >> (8 * (7 - i)));
        out[16 + i] = (uint8_t)((uint64_t)b->wall_ms >> (8 * (7 - i)));
    }
}

enum err backup_born_take(struct bytes v, struct backup_born *out)
{
    struct reader r = reader_of(v);
    struct backup_born b;
    uint64_t wall = 0;
    if (reader_u32be(&r, &b.node) != ERR_OK || reader_u32be(&r, &b.epoch) != ERR_OK ||
        reader_u64be(&r, &b.seq) != ERR_OK || reader_u64be(&r, &wall) != ERR_OK || r.left != 0) {
        return ERR_DAMAGED;
    }
    b.wall_ms = (int64_t)wall;
    *out = b;
    return ERR_OK;
}

void backup_abandon(struct app *app)
{
    if (app->backup == NULL) {
        return;
    }
    vault_copy_abandon(app->backup->copy);
    free(app->backup);
    app->backup = NULL;
}

void backup_expire(struct app *app)
{
    if (app->backup != NULL && app_now().mono_ms - app->backup->touched_ms >= BACKUP_IDLE_MS) {
        backup_abandon(app);
    }
}

/* Splits the path into a directory without links and a name. */
static enum err split_path(const struct app *app, struct backup *b, struct bytes path, struct why *why)
{
    char text[APP_PATH_MAX];
    if (path.len == 0 || path.len >= sizeof(text) || path.ptr[0] != '/' || memchr(path.ptr, '\0', path.len) != NULL) {
        return why_set(why, ERR_USAGE, "备份文件要写完整路径", "the backup file needs a full path");
    }
    memcpy(text, path.ptr, path.len);
    text[path.len] = '\0';
    char *slash = strrchr(text, '/');
    size_t len = strlen(slash + 1);
    if (len == 0 || len + sizeof(".part-journal") > sizeof(b->name)) {
        return why_set(why, ERR_USAGE, "备份文件名为空或太长", "the name of the backup file is empty or too long");
    }
    memcpy(b->name, slash + 1, len + 1);
    *slash = '\0';
    int error = app->disk.ops->resolve(app->disk.ctx, text[0] == '\0' ? "/" : text, b->dir, sizeof(b->dir));
    if (error == ENOENT || error == ENOTDIR) {
        return why_setf(why, ERR_NOT_FOUND, "没有目录 %s", "there is no directory %s", text);
    }
    return err_from_errno(error);
}

/* A backup beside the store goes with it, and could bear the store's own name. */
static enum err check_target(const struct app *app, const struct backup *b, bool overwrite, struct why *why)
{
    char home[APP_PATH_MAX];
    char path[APP_PATH_MAX + NAME_BYTES];
    struct disk_file *file = NULL;
    int error = app->disk.ops->resolve(app->disk.ctx, app->home, home, sizeof(home));
    if (error != 0) {
        return err_from_errno(error);
    }
    if (strcmp(home, b->dir) == 0) {
        return why_set(why, ERR_USAGE, "备份不要放在节点自己的目录里；请写到另一块盘",
            "a backup does not belong in the node's own directory; write it to another disk");
    }
    (void)snprintf(path, sizeof(path), "%s/%s", b->dir, b->name);
    error = app->disk.ops->open(app->disk.ctx, path, DISK_READ_ONLY | DISK_FOREIGN, &file);
    if (error == 0) {
        file->ops->close(file);
    }
    if (error == ENOENT) {
        return ERR_OK;
    }
    if (error == EISDIR) {
        return why_setf(why, ERR_EXISTS, "%s 不是普通文件", "%s is not an ordinary file", path);
    }
    return overwrite ? ERR_OK
                     : why_setf(why, ERR_EXISTS, "%s 已存在；要覆盖请加 --force",
                           "%s exists already; --force overwrites it", path);
}

static enum err tell_full(const struct backup *b, struct why *why)
{
    return why_setf(why, ERR_FULL, "磁盘已满，没有写出备份：请在 %s 所在的磁盘上腾出空间，或备份到另一块盘",
        "the disk is full and no backup was written: free space where %s is, or back up to another disk", b->dir);
}

enum err backup_start(struct app *app, struct bytes path, bool overwrite, struct why *why)
{
    char part[NAME_BYTES + sizeof(".part")];
    backup_expire(app);
    if (app->backup != NULL) {
        return why_set(why, ERR_BUSY, "另一个备份正在进行；稍后再试", "another backup is under way; try again later");
    }
    struct backup *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return ERR_NOMEM;
    }
    enum err e = split_path(app, b, path, why);
    if (e == ERR_OK) {
        e = check_target(app, b, overwrite, why);
    }
    if (e == ERR_OK) {
        (void)snprintf(part, sizeof(part), "%s.part", b->name);
        e = vault_copy_begin(app->vault, b->dir, part, &b->copy, why);
    }
    if (e != ERR_OK) {
        e = e == ERR_FULL ? tell_full(b, why) : e;
        free(b);
        return e;
    }
    b->touched_ms = app_now().mono_ms;
    app->backup = b;
    return ERR_OK;
}

/* The copy says of whom it is, and is at no place yet. */
static enum err put_born(sqlite3 *db, const struct backup_born *born)
{
    uint8_t bytes[BACKUP_BORN_BYTES];
    sqlite3_stmt *stmt = NULL;
    enum err e = sql_exec(db, "BEGIN IMMEDIATE");
    if (e == ERR_OK) {
        e = mark_forget(db);
    }
    if (e == ERR_OK) { /* members may change after it; CORE_MEMBERS_IN_DOUBT */
        e = sql_exec(db, "INSERT OR REPLACE INTO kv_meta (k, v) VALUES (CAST('members in doubt' AS BLOB), x'')");
    }
    if (e == ERR_OK) {
        e = err_from_sqlite(sqlite3_prepare_v2(
            db, "INSERT OR REPLACE INTO kv_meta (k, v) VALUES (CAST('born' AS BLOB), ?1)", -1, &stmt, NULL));
    }
    if (e == ERR_OK) {
        backup_born_put(born, bytes);
        sql_bind_blob(stmt, 1, BYTES_OF(bytes));
        int rc = sqlite3_step(stmt);
        e = rc == SQLITE_DONE ? ERR_OK : err_from_sqlite(rc);
    }
    (void)sqlite3_finalize(stmt);
    return e == ERR_OK ? sql_exec(db, "COMMIT") : e;
}

static enum err finish(struct app *app, struct backup_progress *out, struct why *why)
{
    struct backup *b = app->backup;
    const struct core *c = &app->core;
    const struct head *own = core_head(c, c->self.number, c->epoch);
    char path[APP_PATH_MAX + NAME_BYTES];
    out->born = (struct backup_born){
        .node = c->self.number, .epoch = c->epoch, .seq = own == NULL ? 0 : own->upto, .wall_ms = app_now().wall_ms
    };
    enum err e = put_born(vault_copy_db(b->copy), &out->born);
    if (e != ERR_OK) {
        return e;
    }
    struct vault_copy *copy = b->copy;
    b->copy = NULL;
    e = vault_copy_finish(copy, b->name, why);
    (void)snprintf(path, sizeof(path), "%s/%s", b->dir, b->name);
    if (e == ERR_OK) {
        (void)app->disk.ops->stat(app->disk.ctx, path, &out->bytes);
    }
    return e;
}

enum err backup_step(struct app *app, int pages, struct backup_progress *out, struct why *why)
{
    struct backup_progress p = { .done = 0 };
    if (app->backup == NULL) {
        return why_set(why, ERR_NOT_FOUND, "没有正在进行的备份；请重新开始", "no backup is under way; start again");
    }
    app->backup->touched_ms = app_now().mono_ms;
    enum err e = vault_copy_step(app->backup->copy, pages, &p.is_finished, why);
    if (e == ERR_OK) {
        vault_copy_progress(app->backup->copy, &p.done, &p.total);
        e = p.is_finished ? finish(app, &p, why) : ERR_OK;
    }
    if (e == ERR_FULL) {
        e = tell_full(app->backup, why);
    }
    if (e != ERR_OK || p.is_finished) {
        backup_abandon(app);
    }
    if (e == ERR_OK) {
        *out = p;
    }
    return e;
}
