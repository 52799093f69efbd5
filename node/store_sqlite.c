/*
 * Owns: transactions and the byte maps of the SQLite store, and the table of operations. The change log is in
 * node/store_sql_log.c, dossiers in node/store_sql_dossier.c, rows in node/store_sql_rows.c, tables in
 * node/store_sql_schema.c.
 *
 * Invariants: is_in_transaction says what the caller began; SQLite may have rolled back on its own after an I/O error
 * (even of a read), so every write and the commit ask it (sqlite3_get_autocommit) before they trust that. A doomed
 * transaction is never committed. The index learns of every begin and end.
 *
 * Does not interpret keys or values and keeps no data of its own beyond the cache of rids.
 */
#include "node/store_sql.h"
#include "node/vault.h"

#include "schema/base/check.h"

#include <stdlib.h>

static struct store_sqlite *own(struct store *s)
{
    return (struct store_sqlite *)s;
}

enum err store_sql_fixed(struct store_sqlite *q, enum store_sql number, sqlite3_stmt **out)
{
    static const char *const texts[STORE_SQL_COUNT] = {
#define X(name, text) [STORE_SQL_##name] = (text),
        STORE_SQL_TABLE(X)
#undef X
    };
    return q->is_half_done ? ERR_IO : sql_take(q->db, &q->fixed[number], texts[number], out);
}

static enum err run_fixed(struct store_sqlite *q, enum store_sql number)
{
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, number, &stmt);
    return e == ERR_OK ? sql_run(&q->fixed[number], stmt) : e;
}

/* ---- transactions ---- */

bool store_sql_is_lost(const struct store_sqlite *q)
{
    return q->is_in_transaction && sqlite3_get_autocommit(q->db) != 0;
}

static void notice_lost_transaction(struct store_sqlite *q)
{
    if (q->doom == ERR_OK && store_sql_is_lost(q)) {
        q->doom = ERR_IO;
    }
}

enum err store_sql_may_write(struct store_sqlite *q)
{
    check(q->is_in_transaction);
    check(q->scan_depth == 0);
    notice_lost_transaction(q);
    return q->doom;
}

enum err store_sql_wrote(struct store_sqlite *q, enum err e)
{
    bool is_harmless = e == ERR_OK || e == ERR_EXISTS || e == ERR_NOT_FOUND || e == ERR_LIMIT || e == ERR_INVALID;
    if (!is_harmless && q->doom == ERR_OK) {
        q->doom = e;
    }
    return e;
}

/* Commits that were not durable yet are, or nobody builds on them. */
static void settle(struct store_sqlite *q)
{
    q->is_poisoned = vault_settle(q->db) != ERR_OK || q->is_poisoned;
}

static void end_by_rollback(struct store_sqlite *q)
{
    if (sqlite3_get_autocommit(q->db) == 0 && run_fixed(q, STORE_SQL_ROLLBACK) != ERR_OK) {
        q->is_half_done = true;
    }
    q->is_in_transaction = false;
    q->doom = ERR_OK;
    store_index_end(q->index, false);
    store_log_forget(&q->log);
    store_last_end(&q->last);
    memset(q->rids, 0, sizeof(q->rids));
    settle(q);
}

static enum err store_begin(struct store *s)
{
    struct store_sqlite *q = own(s);
    check(!q->is_in_transaction);
    check(q->scan_depth == 0);
    if (q->is_poisoned) {
        return ERR_IO;
    }
    sqlite3_stmt *rollback = NULL; /* at hand, so that taking back needs no memory */
    enum err e = store_sql_fixed(q, STORE_SQL_ROLLBACK, &rollback);
    sql_give(&q->fixed[STORE_SQL_ROLLBACK], rollback);
    if (e == ERR_OK) {
        e = run_fixed(q, STORE_SQL_BEGIN);
    }
    q->is_in_transaction = e == ERR_OK;
    q->absent.rid = 0;
    if (e == ERR_OK) {
        store_index_begin(q->index);
        store_last_begin(&q->last, q->db);
    }
    return e;
}

static enum err store_commit(struct store *s, bool durable)
{
    struct store_sqlite *q = own(s);
    check(q->is_in_transaction);
    check(q->scan_depth == 0);
    notice_lost_transaction(q);
    enum err e = q->doom != ERR_OK ? q->doom : store_index_flush(q->index);
    if (e == ERR_OK) {
        vault_set_lazy(q->db, !durable);
        e = run_fixed(q, STORE_SQL_COMMIT);
        vault_set_lazy(q->db, false);
    }
    if (e == ERR_OK) {
        q->is_in_transaction = false;
        store_index_end(q->index, true);
        store_last_end(&q->last);
        return ERR_OK;
    }
    q->is_poisoned = q->is_poisoned || e == ERR_IO;
    end_by_rollback(q);
    return e;
}

static void store_rollback(struct store *s)
{
    struct store_sqlite *q = own(s);
    check(q->scan_depth == 0);
    if (q->is_in_transaction) {
        end_by_rollback(q);
    } else {
        settle(q);
    }
}

/* ---- byte maps ---- */

static enum err space_statement(
    struct store_sqlite *q, enum store_space space, enum space_verb verb, sqlite3_stmt **out)
{
    static const char *const texts[SPACE_VERB_COUNT] = {
        [SPACE_VERB_GET] = "SELECT v FROM %s WHERE k = ?1",
        [SPACE_VERB_PUT] = "INSERT INTO %s (k, v) VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
        [SPACE_VERB_DEL] = "DELETE FROM %s WHERE k = ?1",
        [SPACE_VERB_SCAN] = "SELECT k, v FROM %s WHERE k >= ?1 AND k < ?2 ORDER BY k",
        [SPACE_VERB_SCAN_BACK] = "SELECT k, v FROM %s WHERE k >= ?1 AND k < ?2 ORDER BY k DESC",
    };
    check((unsigned)space < SPACE_COUNT && space != SPACE_LOG);
    if (q->is_half_done) {
        return ERR_IO;
    }
    struct sql_slot *slot = &q->spaces[space][verb];
    sqlite3_stmt *stmt = sql_take_ready(slot);
    if (stmt != NULL) {
        *out = stmt;
        return ERR_OK;
    }
    char text[160];
    (void)sqlite3_snprintf((int)sizeof(text), text, texts[verb], store_sql_space_table(space));
    return sql_take(q->db, slot, text, out);
}

static enum err store_get(struct store *s, enum store_space space, struct bytes key, struct arena *a, struct bytes *out)
{
    struct store_sqlite *q = own(s);
    sqlite3_stmt *stmt = NULL;
    if (space == SPACE_LOG) {
        return q->is_half_done ? ERR_IO : store_log_get(&q->log, key, a, out);
    }
    enum err e = space_statement(q, space, SPACE_VERB_GET, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    sql_bind_blob(stmt, 1, key);
    bool has_row = false;
    struct bytes value;
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK && !has_row) {
        e = ERR_NOT_FOUND;
    } else if (e == ERR_OK && (e = sql_column_blob(stmt, 0, &value)) == ERR_OK) {
        e = arena_dup(a, value, out);
    }
    sql_give(&q->spaces[space][SPACE_VERB_GET], stmt);
    return e;
}

static enum err store_put(struct store *s, enum store_space space, struct bytes key, struct bytes value)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    if (e != ERR_OK) {
        return e;
    }
    if (key.len > STORE_KEY_BYTES_MAX || value.len > STORE_VALUE_BYTES_MAX) {
        return ERR_LIMIT;
    }
    if (space == SPACE_LOG) {
        return store_sql_wrote(q, store_log_put(&q->log, key, value));
    }
    sqlite3_stmt *stmt = NULL;
    e = space_statement(q, space, SPACE_VERB_PUT, &stmt);
    if (e == ERR_OK) {
        sql_bind_blob(stmt, 1, key);
        sql_bind_blob(stmt, 2, value);
        e = sql_run(&q->spaces[space][SPACE_VERB_PUT], stmt);
    }
    return store_sql_wrote(q, e);
}

static enum err store_del(struct store *s, enum store_space space, struct bytes key)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    if (e != ERR_OK) {
        return e;
    }
    if (space == SPACE_LOG) {
        return store_sql_wrote(q, store_log_del(&q->log, key));
    }
    sqlite3_stmt *stmt = NULL;
    e = space_statement(q, space, SPACE_VERB_DEL, &stmt);
    if (e == ERR_OK) {
        sql_bind_blob(stmt, 1, key);
        e = sql_run(&q->spaces[space][SPACE_VERB_DEL], stmt);
    }
    return store_sql_wrote(q, e);
}

static enum err store_scan(struct store *s, enum store_space space, struct bytes from, struct bytes to, bool reverse,
    store_kv_fn fn, void *ctx)
{
    struct store_sqlite *q = own(s);
    enum space_verb verb = reverse ? SPACE_VERB_SCAN_BACK : SPACE_VERB_SCAN;
    sqlite3_stmt *stmt = NULL;
    if (space == SPACE_LOG) {
        q->scan_depth++;
        enum err e = q->is_half_done ? ERR_IO : store_log_scan(&q->log, from, to, reverse, fn, ctx);
        q->scan_depth--;
        return e;
    }
    enum err e = space_statement(q, space, verb, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    uint8_t above_all[STORE_KEY_BYTES_MAX + 1]; /* longer and higher than any key */
    memset(above_all, 0xff, sizeof(above_all));
    sql_bind_blob(stmt, 1, from);
    sql_bind_blob(stmt, 2, to.len == 0 ? BYTES_OF(above_all) : to);
    q->scan_depth++;
    for (bool has_row = true; has_row && e == ERR_OK;) {
        struct bytes key;
        struct bytes value;
        e = sql_step(stmt, &has_row);
        if (e == ERR_OK && has_row && (e = sql_column_blob(stmt, 0, &key)) == ERR_OK &&
            (e = sql_column_blob(stmt, 1, &value)) == ERR_OK) {
            e = fn(ctx, key, value);
        }
    }
    q->scan_depth--;
    sql_give(&q->spaces[space][verb], stmt);
    return e;
}

/* ---- the rest ---- */

/* What the index of dossiers says follows from the table. */
static enum err index_dossiers(struct store_sqlite *q)
{
    sqlite3_stmt *stmt = NULL;
    bool has_row = true;
    enum err e = store_index_clear(q->index, STORE_INDEX_DOSSIER);
    if (e != ERR_OK) {
        return e;
    }
    int rc = sqlite3_prepare_v2(q->db, "SELECT rid, id FROM dossier", -1, &stmt, NULL);
    e = rc == SQLITE_OK ? ERR_OK : err_from_sqlite(rc);
    while (e == ERR_OK && (e = sql_step(stmt, &has_row)) == ERR_OK && has_row) {
        int64_t rid = 0;
        struct dossier_id id;
        e = sql_column_int(stmt, 0, &rid);
        if (e == ERR_OK && (e = sql_column_copy(stmt, 1, id.b, sizeof(id.b))) == ERR_OK) {
            e = store_index_add(q->index, STORE_INDEX_DOSSIER, id.b, (uint32_t)rid);
        }
    }
    (void)sqlite3_finalize(stmt);
    return e;
}

/* Lines of dossiers without id or secret, and all but the first of one dossier, go; other numbers are told by the log.
 */
static enum err clear_tables(struct store_sqlite *q)
{
    store_last_drop(&q->last);
    memset(q->rids, 0, sizeof(q->rids));
    enum err e = sql_exec(q->db,
        "DELETE FROM dossier WHERE length(id) != 10 OR length(secret) != 16 OR rid NOT BETWEEN 1 AND 4294967295; "
        "UPDATE dossier SET kind = iif(kind BETWEEN 1 AND 255, kind, 1), station = iif(station >> 32, 0, station), "
        "creator = iif(creator >> 32, 0, creator), flags = iif(flags >> 32, 0, flags) "
        "WHERE kind NOT BETWEEN 1 AND 255 OR station >> 32 OR creator >> 32 OR flags >> 32; "
        "DELETE FROM dossier WHERE rid NOT IN (SELECT min(rid) FROM dossier GROUP BY id); "
        "DELETE FROM touch; DELETE FROM kv_conflict; DELETE FROM kv_contested; DELETE FROM kv_urgent; DELETE FROM kv_gap; "
        "UPDATE dossier SET owner = 0, seen = x'', dots = x''");
    if (e == ERR_OK) {
        e = index_dossiers(q);
    }
    for (size_t i = 0; i < ARRAY_LEN(q->tables) && e == ERR_OK; i++) {
        if (q->tables[i].desc != NULL) {
            char *text = sqlite3_mprintf("DELETE FROM \"e_%s\"", q->tables[i].desc->name);
            e = text == NULL ? ERR_NOMEM : sql_exec(q->db, text);
            sqlite3_free(text);
        }
    }
    return e == ERR_OK ? store_index_clear(q->index, STORE_INDEX_FIELD) : e;
}

/* ---- imported rows ---- */

static enum err store_imported_put(struct store *s, const uint8_t mark[STORE_MARK_BYTES])
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    return e == ERR_OK ? store_sql_wrote(q, store_index_add(q->index, STORE_INDEX_MARK, mark, 0)) : e;
}

static enum err store_imported_has(struct store *s, const uint8_t mark[STORE_MARK_BYTES], bool *out)
{
    struct store_sqlite *q = own(s);
    struct store_index_places places = { 0 };
    enum err e = store_index_find(q->index, STORE_INDEX_MARK, mark, &places);
    *out = e == ERR_OK && places.count > 0;
    store_index_places_release(&places);
    return e;
}

static enum err store_clear_derived(struct store *s)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    return e == ERR_OK ? store_sql_wrote(q, clear_tables(q)) : e;
}

static const struct store_ops sqlite_ops = {
    .begin = store_begin,
    .commit = store_commit,
    .rollback = store_rollback,
    .get = store_get,
    .put = store_put,
    .del = store_del,
    .scan = store_scan,
    .dossier_get = store_sql_dossier_get,
    .dossier_put = store_sql_dossier_put,
    .dossier_touched = store_sql_dossier_touched,
    .dossier_del = store_sql_dossier_del,
    .dossier_scan = store_sql_dossier_scan,
    .dossier_each = store_sql_dossier_each,
    .touch_add = store_sql_touch_add,
    .touch_scan = store_sql_touch_scan,
    .imported_put = store_imported_put,
    .imported_has = store_imported_has,
    .row_get = store_sql_row_get,
    .row_put = store_sql_row_put,
    .row_insert = store_sql_row_insert,
    .row_find = store_sql_row_find,
    .row_count = store_sql_row_count,
    .clear_derived = store_clear_derived,
};

/* Durability is set once and no other is let in while the store stands. */
static int guard(void *ctx, int action, const char *name, const char *value, const char *database, const char *trigger)
{
    (void)ctx;
    (void)database;
    (void)trigger;
    bool is_other = action == SQLITE_PRAGMA && value != NULL && sqlite3_stricmp(name, "synchronous") == 0 &&
                    sqlite3_stricmp(value, "FULL") != 0;
    return is_other ? SQLITE_DENY : SQLITE_OK;
}

enum err store_sqlite_new(sqlite3 *db, struct store **out, struct why *why)
{
    bool has_new_fields = false;
    (void)sqlite3_extended_result_codes(db, 1);
    enum err e = sql_exec(db, "PRAGMA synchronous = FULL");
    if (e == ERR_OK) {
        e = store_sql_schema_open(db, &has_new_fields, why);
    }
    if (e != ERR_OK) {
        return e;
    }
    struct store_sqlite *q = calloc(1, sizeof(*q));
    if (q == NULL) {
        return why_set(why, ERR_NOMEM, "内存不足", "out of memory");
    }
    q->base.ops = &sqlite_ops;
    q->db = db;
    q->has_new_fields = has_new_fields;
    (void)sqlite3_set_authorizer(db, guard, NULL);
    store_log_init(&q->log, db);
    q->index = store_index_new(db);
    if (q->index == NULL || !store_sql_rows_init(q)) {
        store_sqlite_free(&q->base);
        return why_set(why, ERR_NOMEM, "内存不足", "out of memory");
    }
    *out = &q->base;
    return ERR_OK;
}

void store_sqlite_free(struct store *s)
{
    if (s == NULL) {
        return;
    }
    struct store_sqlite *q = own(s);
    store_rollback(s);
    (void)sqlite3_set_authorizer(q->db, NULL, NULL);
    store_index_free(q->index);
    store_sql_rows_release(q);
    store_log_release(&q->log);
    for (size_t i = 0; i < STORE_SQL_COUNT; i++) {
        sql_slot_release(&q->fixed[i]);
    }
    for (size_t i = 0; i < SPACE_COUNT; i++) {
        for (size_t v = 0; v < SPACE_VERB_COUNT; v++) {
            sql_slot_release(&q->spaces[i][v]);
        }
    }
    free(q);
}

bool store_sqlite_has_new_fields(const struct store *s)
{
    return ((const struct store_sqlite *)s)->has_new_fields;
}
