/*
 * Owns: taking, giving back and stepping prepared statements; strict reading of columns. Invariant: a statement that
 * was given back holds no read lock and no borrowed pointer. Knows no table; result codes are translated by
 * err_from_sqlite (node/vault.h) and go no further up.
 */
#include "node/sql.h"

#include "node/vault.h"
#include "schema/base/check.h"

sqlite3_stmt *sql_take_ready(struct sql_slot *slot)
{
    if (slot->owned_stmt == NULL || slot->is_busy) {
        return NULL;
    }
    slot->is_busy = true;
    return slot->owned_stmt;
}

enum err sql_take(sqlite3 *db, struct sql_slot *slot, const char *text, sqlite3_stmt **out)
{
    sqlite3_stmt *stmt = sql_take_ready(slot);
    if (stmt != NULL) {
        *out = stmt;
        return ERR_OK;
    }
    unsigned int flags = slot->owned_stmt == NULL ? SQLITE_PREPARE_PERSISTENT : 0;
    int rc = sqlite3_prepare_v3(db, text, -1, flags, &stmt, NULL);
    if (rc != SQLITE_OK) {
        return err_from_sqlite(rc);
    }
    if (slot->owned_stmt == NULL) {
        slot->owned_stmt = stmt;
        slot->is_busy = true;
    }
    *out = stmt;
    return ERR_OK;
}

void sql_give(struct sql_slot *slot, sqlite3_stmt *stmt)
{
    if (stmt == NULL) {
        return;
    }
    if (stmt != slot->owned_stmt) {
        (void)sqlite3_finalize(stmt); /* repeats the error of the last step, which was handled there */
        return;
    }
    (void)sqlite3_reset(stmt);
    (void)sqlite3_clear_bindings(stmt);
    slot->is_busy = false;
}

void sql_slot_release(struct sql_slot *slot)
{
    check(!slot->is_busy);
    (void)sqlite3_finalize(slot->owned_stmt);
    slot->owned_stmt = NULL;
}

enum err sql_exec(sqlite3 *db, const char *text)
{
    int rc = sqlite3_exec(db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ERR_OK : err_from_sqlite(rc);
}

enum err sql_step(sqlite3_stmt *stmt, bool *has_row)
{
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return err_from_sqlite(rc);
    }
    *has_row = rc == SQLITE_ROW;
    return ERR_OK;
}

enum err sql_run(struct sql_slot *slot, sqlite3_stmt *stmt)
{
    bool has_row = false;
    enum err e = sql_step(stmt, &has_row);
    sql_give(slot, stmt);
    check(!has_row);
    return e;
}

/* A NULL pointer would bind SQL NULL; lengths are bounded far below INT64_MAX by the callers' limits. */
void sql_bind_blob(sqlite3_stmt *stmt, int index, struct bytes v)
{
    int rc = sqlite3_bind_blob64(stmt, index, v.len == 0 ? "" : (const void *)v.ptr, v.len, SQLITE_STATIC);
    check(rc == SQLITE_OK || rc == SQLITE_TOOBIG);
}

void sql_bind_text(sqlite3_stmt *stmt, int index, struct bytes v)
{
    const char *text = v.len == 0 ? "" : (const char *)v.ptr;
    int rc = sqlite3_bind_text64(stmt, index, text, v.len, SQLITE_STATIC, SQLITE_UTF8);
    check(rc == SQLITE_OK || rc == SQLITE_TOOBIG);
}

static enum err column_bytes(sqlite3_stmt *stmt, int column, int type, struct bytes *out)
{
    if (sqlite3_column_type(stmt, column) != type) {
        return ERR_DAMAGED;
    }
    const void *p = sqlite3_column_blob(stmt, column);
    int len = sqlite3_column_bytes(stmt, column);
    if (p == NULL && len > 0) {
        return ERR_NOMEM;
    }
    *out = bytes_of(p, (size_t)len);
    return ERR_OK;
}

enum err sql_column_blob(sqlite3_stmt *stmt, int column, struct bytes *out)
{
    return column_bytes(stmt, column, SQLITE_BLOB, out);
}

enum err sql_column_text(sqlite3_stmt *stmt, int column, struct bytes *out)
{
    return column_bytes(stmt, column, SQLITE_TEXT, out);
}

enum err sql_column_copy(sqlite3_stmt *stmt, int column, void *out, size_t len)
{
    struct bytes v;
    enum err e = sql_column_blob(stmt, column, &v);
    if (e != ERR_OK) {
        return e;
    }
    if (v.len != len) {
        return ERR_DAMAGED;
    }
    memcpy(out, v.ptr, len);
    return ERR_OK;
}

enum err sql_column_int(sqlite3_stmt *stmt, int column, int64_t *out)
{
    if (sqlite3_column_type(stmt, column) != SQLITE_INTEGER) {
        return ERR_DAMAGED;
    }
    *out = sqlite3_column_int64(stmt, column);
    return ERR_OK;
}

enum err sql_column_u32(sqlite3_stmt *stmt, int column, uint32_t *out)
{
    int64_t v = 0;
    enum err e = sql_column_int(stmt, column, &v);
    if (e != ERR_OK) {
        return e;
    }
    if (v < 0 || v > UINT32_MAX) {
        return ERR_DAMAGED;
    }
    *out = (uint32_t)v;
    return ERR_OK;
}
