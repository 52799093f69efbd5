/*
 * Owns: where foreign error codes of the store end: errno and SQLite result codes become enum err and a text that says
 * what to do.
 */
#include "node/vault/vault_on.h"

#include <errno.h>

static const struct code_rule {
    int code;
    enum err err;
} code_rules[] = {
    { SQLITE_OK, ERR_OK },
    { SQLITE_ROW, ERR_OK },
    { SQLITE_DONE, ERR_OK },
    { SQLITE_IOERR_DATA, ERR_DAMAGED },
    { SQLITE_IOERR_CORRUPTFS, ERR_DAMAGED },
    { SQLITE_IOERR_NOMEM, ERR_NOMEM },
    { SQLITE_CORRUPT, ERR_DAMAGED },
    { SQLITE_NOTADB, ERR_DAMAGED },
    { SQLITE_BUSY, ERR_BUSY },
    { SQLITE_LOCKED, ERR_BUSY },
    { SQLITE_PROTOCOL, ERR_BUSY },
    { SQLITE_INTERRUPT, ERR_BUSY },
    { SQLITE_FULL, ERR_FULL },
    { SQLITE_NOMEM, ERR_NOMEM },
    { SQLITE_CONSTRAINT, ERR_CONFLICT },
    { SQLITE_TOOBIG, ERR_LIMIT },
    { SQLITE_PERM, ERR_DENIED },
    { SQLITE_AUTH, ERR_DENIED },
    { SQLITE_IOERR, ERR_IO },
    { SQLITE_CANTOPEN, ERR_IO },
    { SQLITE_READONLY, ERR_IO },
};

static const struct code_rule *code_find(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(code_rules); i++) {
        if (code_rules[i].code == code) {
            return &code_rules[i];
        }
    }
    return NULL;
}

enum err err_from_sqlite(int rc)
{
    const struct code_rule *rule = code_find(rc);
    if (rule == NULL) {
        rule = code_find(rc & 0xFF); /* the primary code of an extended one */
    }
    return rule == NULL ? ERR_BUG : rule->err;
}

enum err err_from_errno(int error)
{
    switch (error) {
    case 0:
        return ERR_OK;
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case ENOMEM:
        return ERR_NOMEM;
    case EWOULDBLOCK:
        return ERR_LOCKED;
    case EEXIST:
        return ERR_EXISTS;
    default:
        return ERR_IO;
    }
}

static bool is_read_only(int error)
{
    return error == EACCES || error == EPERM || error == EROFS;
}

enum err why_from_errno(struct why *why, int error, const char *path)
{
    enum err e = err_from_errno(error);
    if (is_read_only(error)) {
        return why_setf(why, e, "不能写入 %s：请检查目录的属主、权限，以及磁盘是否为只读",
            "cannot write to %s: check its owner and permissions, and whether the disk is mounted read-only", path);
    }
    if (e == ERR_NOT_FOUND) {
        return why_setf(why, e, "没有找到目录 %s", "there is no directory %s", path);
    }
    if (e == ERR_FULL) {
        return why_setf(
            why, e, "磁盘已满：请在 %s 所在的磁盘上腾出空间", "the disk is full: free space where %s is", path);
    }
    if (e == ERR_LOCKED) {
        return why_setf(why, e, "%s 正被另一个 jipan 进程使用：先停止那个进程，或通过它操作",
            "%s is in use by another jipan process: stop that one first, or work through it", path);
    }
    return why_setf(why, e, "读写 %s 失败", "reading or writing %s failed", path);
}

enum err why_from_vault(struct why *why, enum err e, const struct vault_files *files)
{
    int error = atomic_load(&files->last_errno);
    if (e == ERR_IO && err_from_errno(error) == ERR_FULL) {
        e = ERR_FULL; /* SQLite tells one of a sync or of a new file like any other failure */
    }
    if (e == ERR_IO && error != 0) {
        (void)why_from_errno(why, error, files->dir);
        return e;
    }
    if (e == ERR_FULL) {
        (void)why_from_errno(why, ENOSPC, files->dir);
        return e;
    }
    if (e == ERR_DAMAGED) {
        return why_setf(why, e, "%s 损坏或被改动：请从备份恢复，或重新加入后从其他节点取回",
            "%s is damaged or was altered: restore a backup, or enrol again and fetch from the other nodes",
            files->db_path);
    }
    return why_set(why, e, err_zh(e), err_en(e));
}
