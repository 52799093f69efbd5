/*
 * Owns: transactions, the byte maps, dossiers and touches of the SQLite store, and the table of operations. Rows are in
 * node/store_sql_rows.c, tables in node/store_sql_schema.c.
 *
 * Invariants: is_in_transaction says what the caller began; SQLite may have rolled back on its own after an I/O error
 * (even of a read), so every write and the commit ask it (sqlite3_get_autocommit) before they trust that. A doomed
 * transaction is never committed. rids holds only dossiers that exist as seen by this connection: it is emptied by a
 * rollback.
 *
 * Does not interpret keys or values and keeps no data of its own beyond the cache of rids.
 */
#include "node/store_sql.h"

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
    return sql_take(q->db, &q->fixed[number], texts[number], out);
}

static enum err run_fixed(struct store_sqlite *q, enum store_sql number)
{
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, number, &stmt);
    return e == ERR_OK ? sql_run(&q->fixed[number], stmt) : e;
}

/* ---- transactions ---- */

static void notice_lost_transaction(struct store_sqlite *q)
{
    if (q->doom == ERR_OK && sqlite3_get_autocommit(q->db) != 0) {
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

static void end_by_rollback(struct store_sqlite *q)
{
    if (sqlite3_get_autocommit(q->db) == 0 && run_fixed(q, STORE_SQL_ROLLBACK) != ERR_OK) {
        q->is_poisoned = true;
    }
    q->is_in_transaction = false;
    q->doom = ERR_OK;
    memset(q->rids, 0, sizeof(q->rids));
}

/* The pragma works only between transactions, and costs microseconds: see store_sqlite.h on durability. */
static enum err store_begin(struct store *s)
{
    struct store_sqlite *q = own(s);
    check(!q->is_in_transaction);
    check(q->scan_depth == 0);
    if (q->is_poisoned) {
        return ERR_IO;
    }
    enum err e = sql_exec(q->db, "PRAGMA synchronous = FULL");
    if (e == ERR_OK) {
        e = run_fixed(q, STORE_SQL_BEGIN);
    }
    q->is_in_transaction = e == ERR_OK;
    return e;
}

static enum err store_commit(struct store *s, bool durable)
{
    (void)durable; /* always: one fsync per transaction is what FULL costs in WAL mode */
    struct store_sqlite *q = own(s);
    check(q->is_in_transaction);
    check(q->scan_depth == 0);
    notice_lost_transaction(q);
    enum err e = q->doom != ERR_OK ? q->doom : run_fixed(q, STORE_SQL_COMMIT);
    if (e == ERR_OK) {
        q->is_in_transaction = false;
        return ERR_OK;
    }
    q->is_poisoned = q->is_poisoned || e == ERR_IO || e == ERR_FULL;
    end_by_rollback(q);
    return e;
}

static void store_rollback(struct store *s)
{
    struct store_sqlite *q = own(s);
    check(q->scan_depth == 0);
    if (q->is_in_transaction) {
        end_by_rollback(q);
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
    check((unsigned)space < SPACE_COUNT);
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

/* ---- dossiers ---- */

static struct rid_entry *rid_place(struct store_sqlite *q, struct dossier_id id)
{
    uint64_t head = 0;
    uint16_t tail = 0;
    memcpy(&head, id.b, sizeof(head));
    memcpy(&tail, id.b + sizeof(head), sizeof(tail));
    uint64_t mixed = (head ^ tail) * UINT64_C(0x9e3779b97f4a7c15);
    return &q->rids[mixed >> 52 & (RID_CACHE_COUNT - 1)];
}

static bool rid_cached(struct store_sqlite *q, struct dossier_id id, int64_t *out)
{
    const struct rid_entry *place = rid_place(q, id);
    bool is_lost = q->is_in_transaction && sqlite3_get_autocommit(q->db) != 0;
    if (is_lost || place->rid == 0 || dossier_id_compare(place->id, id) != 0) {
        return false;
    }
    *out = place->rid;
    return true;
}

enum err store_sql_rid(struct store_sqlite *q, struct dossier_id id, int64_t *out)
{
    if (rid_cached(q, id, out)) {
        return ERR_OK;
    }
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, STORE_SQL_RID, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    sql_bind_blob(stmt, 1, BYTES_OF(id.b));
    bool has_row = false;
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK) {
        e = has_row ? sql_column_int(stmt, 0, out) : ERR_NOT_FOUND;
    }
    sql_give(&q->fixed[STORE_SQL_RID], stmt);
    if (e == ERR_OK) {
        *rid_place(q, id) = (struct rid_entry){ .rid = *out, .id = id };
    }
    return e;
}

/* seen stays borrowed from the statement. Columns as in STORE_SQL_DOSSIER_GET. */
static enum err read_dossier(sqlite3_stmt *stmt, struct dossier *out)
{
    struct dossier d = { 0 };
    uint32_t kind = 0;
    enum err e = ERR_OK;
    if ((e = sql_column_copy(stmt, 0, d.id.b, sizeof(d.id.b))) != ERR_OK ||
        (e = sql_column_u32(stmt, 1, &kind)) != ERR_OK || (e = sql_column_u32(stmt, 2, &d.station)) != ERR_OK ||
        (e = sql_column_u32(stmt, 3, &d.creator)) != ERR_OK || (e = sql_column_u32(stmt, 4, &d.owner)) != ERR_OK ||
        (e = sql_column_copy(stmt, 5, d.secret, sizeof(d.secret))) != ERR_OK ||
        (e = sql_column_u32(stmt, 6, &d.flags)) != ERR_OK || (e = sql_column_blob(stmt, 7, &d.seen)) != ERR_OK) {
        return e;
    }
    if (kind < DOSSIER_CUSTOMER || kind > DOSSIER_GROUP_BOOK) {
        return ERR_DAMAGED;
    }
    d.kind = (enum dossier_kind)kind;
    *out = d;
    return ERR_OK;
}

static enum err store_dossier_get(struct store *s, struct dossier_id id, struct arena *a, struct dossier *out)
{
    struct store_sqlite *q = own(s);
    int64_t rid = 0;
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_rid(q, id, &rid);
    if (e != ERR_OK || (e = store_sql_fixed(q, STORE_SQL_DOSSIER_GET, &stmt)) != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    bool has_row = false;
    struct dossier d;
    struct bytes seen;
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK && (e = has_row ? read_dossier(stmt, &d) : ERR_DAMAGED) == ERR_OK &&
        (e = arena_dup(a, d.seen, &seen)) == ERR_OK) {
        d.seen = seen;
        *out = d;
    }
    sql_give(&q->fixed[STORE_SQL_DOSSIER_GET], stmt);
    return e;
}

static void bind_dossier(sqlite3_stmt *stmt, const struct dossier *d)
{
    (void)sqlite3_bind_int(stmt, 2, (int)d->kind);
    (void)sqlite3_bind_int64(stmt, 3, d->station);
    (void)sqlite3_bind_int64(stmt, 4, d->creator);
    (void)sqlite3_bind_int64(stmt, 5, d->owner);
    sql_bind_blob(stmt, 6, BYTES_OF(d->secret));
    (void)sqlite3_bind_int64(stmt, 7, d->flags);
    sql_bind_blob(stmt, 8, d->seen);
}

/* *is_new false: it was there, nothing done. */
static enum err insert_dossier(struct store_sqlite *q, const struct dossier *d, bool *is_new)
{
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, STORE_SQL_DOSSIER_INSERT, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    sql_bind_blob(stmt, 1, BYTES_OF(d->id.b));
    bind_dossier(stmt, d);
    e = sql_run(&q->fixed[STORE_SQL_DOSSIER_INSERT], stmt);
    if (e != ERR_OK) {
        return e;
    }
    *is_new = sqlite3_changes(q->db) == 1;
    if (*is_new) {
        *rid_place(q, d->id) = (struct rid_entry){ .rid = sqlite3_last_insert_rowid(q->db), .id = d->id };
    }
    return ERR_OK;
}

static enum err put_dossier(struct store_sqlite *q, const struct dossier *d)
{
    int64_t rid = 0;
    enum err e = ERR_OK;
    if (!rid_cached(q, d->id, &rid)) {
        bool is_new = false;
        if ((e = insert_dossier(q, d, &is_new)) != ERR_OK || is_new) {
            return e;
        }
        if ((e = store_sql_rid(q, d->id, &rid)) != ERR_OK) {
            return e;
        }
    }
    sqlite3_stmt *stmt = NULL;
    if ((e = store_sql_fixed(q, STORE_SQL_DOSSIER_UPDATE, &stmt)) != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    bind_dossier(stmt, d);
    return sql_run(&q->fixed[STORE_SQL_DOSSIER_UPDATE], stmt);
}

static enum err store_dossier_put(struct store *s, const struct dossier *d)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    return e == ERR_OK ? store_sql_wrote(q, put_dossier(q, d)) : e;
}

static enum err store_dossier_scan(struct store *s, const struct dossier_id *from, store_dossier_fn fn, void *ctx)
{
    struct store_sqlite *q = own(s);
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, STORE_SQL_DOSSIER_SCAN, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    sql_bind_blob(
        stmt, 1, from == NULL ? (struct bytes){ 0 } : BYTES_OF(from->b)); /* the empty blob is below every id */
    q->scan_depth++;
    for (bool has_row = true; has_row && e == ERR_OK;) {
        struct dossier d;
        e = sql_step(stmt, &has_row);
        if (e == ERR_OK && has_row && (e = read_dossier(stmt, &d)) == ERR_OK) {
            e = fn(ctx, &d);
        }
    }
    q->scan_depth--;
    sql_give(&q->fixed[STORE_SQL_DOSSIER_SCAN], stmt);
    return e;
}

/* ---- touches ---- */

static enum err add_touch(struct store_sqlite *q, struct dossier_id id, struct dot dot)
{
    if (dot.seq > INT64_MAX) {
        return ERR_LIMIT; /* SQLite integers are signed; a node would need 10^18 commits */
    }
    int64_t rid = 0;
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_rid(q, id, &rid);
    if (e != ERR_OK || (e = store_sql_fixed(q, STORE_SQL_TOUCH_ADD, &stmt)) != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    (void)sqlite3_bind_int64(stmt, 2, dot.node);
    (void)sqlite3_bind_int64(stmt, 3, dot.epoch);
    (void)sqlite3_bind_int64(stmt, 4, (int64_t)dot.seq);
    return sql_run(&q->fixed[STORE_SQL_TOUCH_ADD], stmt);
}

static enum err store_touch_add(struct store *s, struct dossier_id id, struct dot dot)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    return e == ERR_OK ? store_sql_wrote(q, add_touch(q, id, dot)) : e;
}

static enum err read_dot(sqlite3_stmt *stmt, struct dot *out)
{
    struct dot dot = { 0 };
    int64_t seq = 0;
    enum err e = ERR_OK;
    if ((e = sql_column_u32(stmt, 0, &dot.node)) != ERR_OK || (e = sql_column_u32(stmt, 1, &dot.epoch)) != ERR_OK ||
        (e = sql_column_int(stmt, 2, &seq)) != ERR_OK) {
        return e;
    }
    if (seq < 0) {
        return ERR_DAMAGED;
    }
    dot.seq = (uint64_t)seq;
    *out = dot;
    return ERR_OK;
}

static enum err store_touch_scan(struct store *s, struct dossier_id id, store_dot_fn fn, void *ctx)
{
    struct store_sqlite *q = own(s);
    int64_t rid = 0;
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_rid(q, id, &rid);
    if (e != ERR_OK || (e = store_sql_fixed(q, STORE_SQL_TOUCH_SCAN, &stmt)) != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    q->scan_depth++;
    for (bool has_row = true; has_row && e == ERR_OK;) {
        struct dot dot;
        e = sql_step(stmt, &has_row);
        if (e == ERR_OK && has_row && (e = read_dot(stmt, &dot)) == ERR_OK) {
            e = fn(ctx, dot);
        }
    }
    q->scan_depth--;
    sql_give(&q->fixed[STORE_SQL_TOUCH_SCAN], stmt);
    return e;
}

/* ---- the rest ---- */

static enum err clear_tables(struct store_sqlite *q)
{
    enum err e = sql_exec(q->db,
        "DELETE FROM touch; DELETE FROM kv_conflict; DELETE FROM kv_contested; UPDATE dossier SET owner = 0, seen = x''");
    for (size_t i = 0; i < ARRAY_LEN(q->tables) && e == ERR_OK; i++) {
        if (q->tables[i].desc != NULL) {
            char *text = sqlite3_mprintf("DELETE FROM \"e_%s\"", q->tables[i].desc->name);
            e = text == NULL ? ERR_NOMEM : sql_exec(q->db, text);
            sqlite3_free(text);
        }
    }
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
    .dossier_get = store_dossier_get,
    .dossier_put = store_dossier_put,
    .dossier_scan = store_dossier_scan,
    .touch_add = store_touch_add,
    .touch_scan = store_touch_scan,
    .row_get = store_sql_row_get,
    .row_put = store_sql_row_put,
    .row_insert = store_sql_row_insert,
    .row_find = store_sql_row_find,
    .row_count = store_sql_row_count,
    .clear_derived = store_clear_derived,
};

enum err store_sqlite_new(sqlite3 *db, struct store **out, struct why *why)
{
    bool has_new_fields = false;
    (void)sqlite3_extended_result_codes(db, 1);
    enum err e = store_sql_schema_open(db, &has_new_fields, why);
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
    if (!store_sql_rows_init(q)) {
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
    store_sql_rows_release(q);
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
