#ifndef JIPAN_SQL_H
#define JIPAN_SQL_H

#include "schema/base/bytes.h"
#include "schema/base/err.h"

#include <sqlite3.h>

/*
 * Prepared statements and their result codes. SQL text never holds a value: everything is a bound parameter.
 *
 * A slot keeps one prepared statement. While it is in use (a scan whose visitor asks the same question again) a second,
 * temporary statement is prepared, so nested reads are always right and the common case costs no prepare.
 */
struct sql_slot {
    sqlite3_stmt *owned_stmt; /* NULL until first used */
    bool is_busy;
};

/* The prepared statement of an idle slot, taken; NULL when sql_take with the text is needed. Saves writing the text. */
sqlite3_stmt *sql_take_ready(struct sql_slot *slot);

/* Takes the statement for text (same text for one slot, always). Give it back with sql_give. */
MUST_USE enum err sql_take(sqlite3 *db, struct sql_slot *slot, const char *text, sqlite3_stmt **out);

/* Resets and unbinds; finalises a temporary one. stmt may be NULL. */
void sql_give(struct sql_slot *slot, sqlite3_stmt *stmt);
void sql_slot_release(struct sql_slot *slot);

/* Runs text without parameters or rows. */
MUST_USE enum err sql_exec(sqlite3 *db, const char *text);

/* Steps once: *has_row says whether there is a row. */
MUST_USE enum err sql_step(sqlite3_stmt *stmt, bool *has_row);

/* Steps a statement that answers no row, gives it back. */
MUST_USE enum err sql_run(struct sql_slot *slot, sqlite3_stmt *stmt);

/* Bindings borrow v until the statement is given back. An empty v is an empty blob, not NULL. */
void sql_bind_blob(sqlite3_stmt *stmt, int index, struct bytes v);
void sql_bind_text(sqlite3_stmt *stmt, int index, struct bytes v);

/* Columns; the bytes are borrowed until the next step. ERR_DAMAGED when the stored type or length is not the wanted
 * one. */
MUST_USE enum err sql_column_blob(sqlite3_stmt *stmt, int column, struct bytes *out);
MUST_USE enum err sql_column_copy(sqlite3_stmt *stmt, int column, void *out, size_t len); /* exactly len bytes */
MUST_USE enum err sql_column_text(sqlite3_stmt *stmt, int column, struct bytes *out);
MUST_USE enum err sql_column_int(sqlite3_stmt *stmt, int column, int64_t *out);
MUST_USE enum err sql_column_u32(sqlite3_stmt *stmt, int column, uint32_t *out);

#endif
