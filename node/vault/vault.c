/*
 * Owns: opening, creating and closing the encrypted file set. Order in opening: the lock, the header, the secret, the
 * size, the log, and only then SQLite; nothing is written before the secret has proved right, so a wrong one leaves no
 * trace.
 *
 * A new store is built under another name and renamed into place, so a jipan.db without a first page is damage, never
 * an interrupted creation.
 */
#include "node/vault/vault_on.h"

#include "node/vault/slots.h"
#include "node/vault/wal_scan.h"
#include "schema/base/check.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_BYTES = 4096 };

static const char db_name[] = "jipan.db";
static const char new_name[] = "jipan.db.new";
static const char lock_name[] = "jipan.lock";

static_assert((int)VAULT_RECOVERY_TEXT_BYTES == (int)RECOVERY_TEXT_MAX, "one size of the recovery text");

static int dir_lock(struct disk disk, const char *dir, bool create, struct disk_file **out)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof(path), "%s/%s", dir, lock_name);
    return n < 0 || (size_t)n >= sizeof(path) ? ENAMETOOLONG : disk.ops->lock(disk.ctx, path, create, out);
}

static void vault_free(struct vault *v)
{
    if (v == NULL) {
        return;
    }
    if (v->files != NULL && v->files->vfs_name[0] != '\0') {
        vault_vfs_unregister(v->files);
    }
    vault_files_free(v->files);
    if (v->lock != NULL) {
        v->lock->ops->close(v->lock);
    }
    sodium_memzero(v, sizeof(*v));
    free(v);
}

static enum err vault_new(struct disk disk, const char *dir, struct vault **out, struct why *why)
{
    check(sodium_init() >= 0);
    char path[PATH_BYTES];
    int error = disk.ops->resolve(disk.ctx, dir, path, sizeof(path));
    if (error != 0) {
        return why_from_errno(why, error, dir);
    }
    struct vault *v = calloc(1, sizeof(*v));
    enum err e = v == NULL ? ERR_NOMEM : vault_files_new(disk, path, db_name, &v->files);
    if (e != ERR_OK) {
        vault_free(v);
        return why_set(why, e, err_zh(e), err_en(e));
    }
    *out = v;
    return ERR_OK;
}

/* Registers the VFS and opens the writer. */
static enum err vault_attach(struct vault *v, struct why *why)
{
    enum err e = vault_vfs_register(v->files);
    if (e == ERR_OK) {
        e = vault_connect(v->files, true, &v->db);
    }
    return e == ERR_OK ? ERR_OK : why_from_vault(why, e, v->files);
}

static enum err unlock_slots(struct vault *v, enum slot_kind kind, struct bytes secret)
{
    enum err result = ERR_SECRET;
    for (size_t i = 0; i < HEADER_SLOTS && result == ERR_SECRET; i++) {
        if (v->header.slots[i].kind == kind) {
            result = slot_unwrap(&v->header.slots[i], secret, v->header.db_id, v->files->keys->data);
        }
    }
    return result;
}

/* Header and secret; fills keys and db_id. */
static enum err vault_unlock(struct vault *v, enum slot_kind kind, struct bytes secret, struct why *why)
{
    uint8_t raw[VAULT_HEADER_BLOCK_BYTES];
    uint64_t size = 0;
    unsigned valid = 0;
    enum err e = header_file_read(v->files, raw, &size);
    if (e == ERR_OK) {
        e = header_parse(BYTES_OF(raw), &v->header, &v->header_copy, &valid);
    }
    if (e != ERR_OK) {
        return why_from_vault(why, e, v->files);
    }
    e = unlock_slots(v, kind, secret);
    if (e == ERR_SECRET) {
        return why_set(why, e, kind == SLOT_RECOVERY ? "恢复密钥不对" : "口令不对",
            kind == SLOT_RECOVERY ? "wrong recovery key" : "wrong passphrase");
    }
    if (e == ERR_OK) {
        vault_keys_derive(v->files->keys);
        memcpy(v->files->db_id, v->header.db_id, HEADER_ID_BYTES);
        bool is_whole = size >= VAULT_HEADER_BLOCK_BYTES + VAULT_PAGE_BYTES;
        bool is_ours = header_check_mac(BYTES_OF(raw), v->header_copy, v->files->keys->header);
        e = is_whole && is_ours ? ERR_OK : ERR_DAMAGED;
        v->is_half_replaced = header_other_is_stale(BYTES_OF(raw), v->header_copy, &v->header, v->files->keys->header);
    }
    return e == ERR_OK ? ERR_OK : why_from_vault(why, e, v->files);
}

/* Makes both copies of the header the same again, after a change of passphrase that was broken off, or damage. Without
 * room, or on a disk that takes no writes, the store opens as well with one: vault_verify tells, the next open tries
 * again. A failed sync is another matter: it counts as everywhere. */
static enum err vault_mend_header(struct vault *v, struct why *why)
{
    if (v->is_half_replaced && header_file_mend(v->files, &v->header, &v->header_copy) == ERR_OK) {
        v->is_half_replaced = false;
        v->was_mended = true;
    }
    return vault_files_poisoned(v->files) ? why_from_vault(why, ERR_IO, v->files) : ERR_OK;
}

/* Refuses a log that proves loss, before SQLite would silently drop it. One that is whole is made durable first. */
static enum err vault_check_log(struct vault *v, struct why *why)
{
    struct wal_report report = { .frames = 0 };
    enum err e = wal_scan(v->files, &report);
    if (e == ERR_DAMAGED) {
        return why_setf(why, e, "%s 损坏：已确认的写入丢失，请从备份恢复或从其他节点取回",
            "%s is damaged: acknowledged writes are lost; restore a backup or fetch them from the other nodes",
            v->files->wal_path);
    }
    int error = e == ERR_OK && report.frames > 0 ? wal_settle(v->files) : 0;
    if (error != 0) {
        return why_from_errno(why, error, v->files->wal_path);
    }
    return e == ERR_OK ? ERR_OK : why_from_vault(why, e, v->files);
}

enum err vault_open_on(
    struct disk disk, const char *dir, enum slot_kind kind, struct bytes secret, struct vault **out, struct why *why)
{
    struct vault *v = NULL;
    uint64_t size = 0;
    enum err e = vault_new(disk, dir, &v, why);
    if (e != ERR_OK) {
        return e;
    }
    int error = disk.ops->stat(disk.ctx, v->files->db_path, &size);
    if (error != 0) {
        e = error == ENOENT ? why_setf(why, ERR_NOT_FOUND, "%s 里还没有库：先运行 jipan init 或 jipan join",
                                  "there is no store in %s yet: run jipan init or jipan join first", dir)
                            : why_from_errno(why, error, dir);
        goto out;
    }
    /* A missing lock file is created only after the secret proved right: a wrong one must leave no trace. */
    error = dir_lock(disk, v->files->dir, false, &v->lock);
    if (error != 0 && error != ENOENT) {
        e = why_from_errno(why, error, dir);
        goto out;
    }
    e = vault_unlock(v, kind, secret, why);
    if (e == ERR_OK && v->lock == NULL) {
        error = dir_lock(disk, v->files->dir, true, &v->lock);
        e = error == 0 ? ERR_OK : why_from_errno(why, error, dir);
    }
    if (e == ERR_OK) {
        e = vault_check_log(v, why);
    }
    if (e == ERR_OK) {
        e = vault_mend_header(v, why);
    }
    if (e == ERR_OK) {
        e = vault_attach(v, why);
    }
out:
    if (e != ERR_OK) {
        vault_free(v);
        return e;
    }
    *out = v;
    return ERR_OK;
}

/* New random keys and both slots. */
static enum err header_new(
    struct vault *v, struct bytes passphrase, const uint8_t recovery[RECOVERY_KEY_BYTES], struct why *why)
{
    struct vault_header *h = &v->header;
    struct vault_keys *keys = v->files->keys;
    randombytes_buf(h->db_id, sizeof(h->db_id));
    randombytes_buf(keys->data, sizeof(keys->data));
    vault_keys_derive(keys);
    memcpy(v->files->db_id, h->db_id, HEADER_ID_BYTES);
    enum err e = slot_wrap(SLOT_PASSPHRASE, passphrase, h->db_id, keys->data, &h->slots[0]);
    if (e == ERR_OK) {
        e = slot_wrap(SLOT_RECOVERY, bytes_of(recovery, RECOVERY_KEY_BYTES), h->db_id, keys->data, &h->slots[1]);
    }
    return e == ERR_OK ? ERR_OK : why_from_vault(why, e, v->files);
}

static void remove_leftovers(struct vault_files *files)
{
    const char *const paths[] = { files->db_path, files->wal_path, files->journal_path };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        (void)files->disk.ops->remove(files->disk.ctx, paths[i]);
    }
}

/* Makes the finished file durable and gives it its name. */
static enum err rename_into_place(struct vault_files *from, struct vault_files *to)
{
    struct disk_file *file = NULL;
    struct disk disk = from->disk;
    int error = disk.ops->open(disk.ctx, from->db_path, 0, &file);
    if (error == 0) {
        error = file->ops->fsync(file);
        file->ops->close(file);
    }
    if (error == 0) {
        error = disk.ops->rename(disk.ctx, from->db_path, to->db_path);
    }
    if (error == 0) {
        error = disk.ops->sync_dir(disk.ctx, to->dir);
        if (error != 0) {
            (void)disk.ops->remove(disk.ctx, to->db_path); /* or a failed creation would look like a store */
        }
    }
    atomic_store(&to->last_errno, error);
    return err_from_errno(error);
}

/* Builds the whole file under the temporary name, then renames it. */
static enum err vault_build(struct vault *v, struct why *why)
{
    struct vault_files *build = NULL;
    enum err e = vault_files_new(v->files->disk, v->files->dir, new_name, &build);
    if (e != ERR_OK) {
        return why_set(why, e, err_zh(e), err_en(e));
    }
    *build->keys = *v->files->keys;
    memcpy(build->db_id, v->files->db_id, HEADER_ID_BYTES);
    remove_leftovers(build);
    e = header_file_create(build, &v->header, &v->header_copy);
    if (e == ERR_OK) {
        e = vault_vfs_register(build);
    }
    if (e == ERR_OK) {
        e = vault_connect_new(build);
        vault_vfs_unregister(build);
    }
    if (e == ERR_OK) {
        remove_leftovers(v->files);
        e = rename_into_place(build, v->files);
    }
    if (e != ERR_OK) {
        (void)why_from_vault(why, e, atomic_load(&build->last_errno) != 0 ? build : v->files);
        remove_leftovers(build);
    }
    vault_files_free(build);
    return e;
}

static enum err passphrase_check(struct bytes passphrase, struct why *why)
{
    if (passphrase.len == 0 || passphrase.len > PASSPHRASE_BYTES_MAX) {
        return why_set(why, ERR_INVALID, "口令不能为空，也不能超过 1024 字节",
            "the passphrase must not be empty and not longer than 1024 bytes");
    }
    return ERR_OK;
}

enum err vault_create_on(struct disk disk, const char *dir, struct bytes passphrase,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], struct vault **out, struct why *why)
{
    struct vault *v = NULL;
    uint8_t recovery[RECOVERY_KEY_BYTES];
    uint64_t size = 0;
    enum err e = passphrase_check(passphrase, why);
    if (e == ERR_OK) {
        e = vault_new(disk, dir, &v, why);
    }
    if (e != ERR_OK) {
        return e;
    }
    int error = dir_lock(disk, v->files->dir, true, &v->lock);
    if (error != 0) {
        e = why_from_errno(why, error, dir);
        goto out;
    }
    error = disk.ops->stat(disk.ctx, v->files->db_path, &size);
    if (error != ENOENT) {
        e = error == 0 ? why_setf(why, ERR_EXISTS, "%s 里已经有库", "there is already a store in %s", dir)
                       : why_from_errno(why, error, dir);
        goto out;
    }
    randombytes_buf(recovery, sizeof(recovery));
    e = header_new(v, passphrase, recovery, why);
    if (e == ERR_OK) {
        e = vault_build(v, why);
    }
    if (e == ERR_OK) {
        e = vault_attach(v, why);
    }
out:
    if (e == ERR_OK) {
        recovery_text_encode(recovery, recovery_text);
        *out = v;
    } else {
        vault_free(v);
    }
    sodium_memzero(recovery, sizeof(recovery));
    return e;
}

enum err vault_create(const char *dir, struct bytes passphrase, char recovery_text[VAULT_RECOVERY_TEXT_BYTES],
    struct vault **out, struct why *why)
{
    return vault_create_on(disk_posix(), dir, passphrase, recovery_text, out, why);
}

enum err vault_open(const char *dir, struct bytes passphrase, struct vault **out, struct why *why)
{
    return vault_open_on(disk_posix(), dir, SLOT_PASSPHRASE, passphrase, out, why);
}

enum err vault_open_recovery(const char *dir, struct bytes recovery_text, struct vault **out, struct why *why)
{
    uint8_t key[RECOVERY_KEY_BYTES];
    if (recovery_text_decode(recovery_text, key) != ERR_OK) {
        return why_set(why, ERR_SECRET, "恢复密钥抄写有误：请逐组核对",
            "the recovery key has a typing error: compare it group by group");
    }
    enum err e = vault_open_on(disk_posix(), dir, SLOT_RECOVERY, BYTES_OF(key), out, why);
    sodium_memzero(key, sizeof(key));
    return e;
}

bool vault_exists_on(struct disk disk, const char *dir)
{
    char path[PATH_BYTES];
    uint64_t size = 0;
    int n = snprintf(path, sizeof(path), "%s/%s", dir, db_name);
    return n > 0 && (size_t)n < sizeof(path) && disk.ops->stat(disk.ctx, path, &size) == 0;
}

bool vault_exists(const char *dir)
{
    return vault_exists_on(disk_posix(), dir);
}

enum err vault_set_passphrase(struct vault *v, struct bytes passphrase, struct why *why)
{
    struct vault_header next = v->header;
    enum err e = passphrase_check(passphrase, why);
    if (e != ERR_OK) {
        return e;
    }
    size_t at = 0;
    while (at < HEADER_SLOTS && next.slots[at].kind != SLOT_PASSPHRASE) {
        at++;
    }
    e = at == HEADER_SLOTS || vault_files_poisoned(v->files)
            ? ERR_IO
            : slot_wrap(SLOT_PASSPHRASE, passphrase, next.db_id, v->files->keys->data, &next.slots[at]);
    if (e == ERR_OK) {
        e = header_file_replace(v->files, &next, &v->header_copy);
    }
    if (e != ERR_OK) {
        return why_from_vault(why, e, v->files);
    }
    v->header = next;
    return ERR_OK;
}

sqlite3 *vault_db(struct vault *v)
{
    return v->db;
}

enum err vault_reader(struct vault *v, sqlite3 **out)
{
    return vault_connect(v->files, false, out);
}

void vault_subkey(struct vault *v, const char *label, uint64_t number, uint8_t out[VAULT_KEY_BYTES])
{
    char context[crypto_kdf_CONTEXTBYTES] = { 0 };
    size_t len = strlen(label);
    check(len >= 1);
    check(len <= sizeof(context));
    memcpy(context, label, len);
    (void)crypto_kdf_derive_from_key(out, VAULT_KEY_BYTES, number, context, v->files->keys->subkeys);
}

enum err vault_checkpoint(struct vault *v)
{
    return err_from_sqlite(sqlite3_wal_checkpoint_v2(v->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
}

bool vault_take_mended(struct vault *v)
{
    bool was_mended = v->was_mended;
    v->was_mended = false;
    return was_mended;
}

void vault_set_lazy(sqlite3 *db, bool is_lazy)
{
    int rc = sqlite3_file_control(db, "main", VAULT_FCNTL_LAZY, &is_lazy);
    check(rc == SQLITE_OK || rc == SQLITE_NOTFOUND);
}

enum err vault_settle(sqlite3 *db)
{
    int rc = sqlite3_file_control(db, "main", VAULT_FCNTL_SETTLE, NULL);
    return rc == SQLITE_NOTFOUND ? ERR_OK : err_from_sqlite(rc);
}

void vault_close(struct vault *v)
{
    if (v == NULL) {
        return;
    }
    /* The last connection checkpoints and removes the log; if that fails, the log stays and recovery reads it. */
    check(sqlite3_close(v->db) == SQLITE_OK); /* a statement was not finalized */
    vault_free(v);
}
