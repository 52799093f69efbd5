#ifndef JIPAN_STORE_SQL_LOG_H
#define JIPAN_STORE_SQL_LOG_H

#include "node/sql.h"
#include "sync/store.h"

/*
 * The table of the change log (SPACE_LOG), beside the other byte maps because its keys are numbers: see
 * docs/decisions/0026-log-by-number.md. Every key has 16 bytes.
 */
enum { LOG_PREFIX_BYTES = 10, LOG_PREFIX_CACHE = 64 };

/* Fixed statements. X(NAME, sql) */
#define LOG_SQL_TABLE(X)                                                                                    \
    X(GET, "SELECT v FROM kv_log WHERE k = ?1")                                                             \
    X(PUT, "INSERT INTO kv_log (k, v) VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v = excluded.v")        \
    X(DEL, "DELETE FROM kv_log WHERE k = ?1")                                                               \
    X(SCAN, "SELECT k, v FROM kv_log WHERE k BETWEEN ?1 AND ?2 ORDER BY k")                                 \
    X(SCAN_BACK, "SELECT k, v FROM kv_log WHERE k BETWEEN ?1 AND ?2 ORDER BY k DESC")                       \
    X(PREFIX, "SELECT n FROM log_prefix WHERE prefix = ?1")                                                 \
    X(PREFIX_ADD, "INSERT INTO log_prefix (prefix) SELECT ?1 WHERE (SELECT count(*) FROM log_prefix) < ?2") \
    X(PREFIX_SCAN, "SELECT n, prefix FROM log_prefix WHERE prefix BETWEEN ?1 AND ?2 ORDER BY prefix")       \
    X(PREFIX_SCAN_BACK, "SELECT n, prefix FROM log_prefix WHERE prefix BETWEEN ?1 AND ?2 ORDER BY prefix DESC")

enum log_sql {
#define X(name, text) LOG_SQL_##name,
    LOG_SQL_TABLE(X)
#undef X
        LOG_SQL_COUNT
};

struct log_prefix {
    int64_t n; /* 0: empty */
    uint8_t b[LOG_PREFIX_BYTES];
};

struct store_log {
    sqlite3 *db;
    struct sql_slot slots[LOG_SQL_COUNT];
    struct log_prefix known[LOG_PREFIX_CACHE];
};

/* Tables of the present layout, if they are missing. */
MUST_USE enum err store_log_make(sqlite3 *db);

/* Turns the log of layout 2 into this one, inside the caller's transaction. Memory does not depend on its size. */
MUST_USE enum err store_log_convert(sqlite3 *db);

void store_log_init(struct store_log *l, sqlite3 *db);
void store_log_release(struct store_log *l);
void store_log_forget(struct store_log *l); /* after a rollback: prefixes may be gone */

/* As in struct store_ops. */
MUST_USE enum err store_log_get(struct store_log *l, struct bytes key, struct arena *a, struct bytes *out);
MUST_USE enum err store_log_put(struct store_log *l, struct bytes key, struct bytes value);
MUST_USE enum err store_log_del(struct store_log *l, struct bytes key);
MUST_USE enum err store_log_scan(
    struct store_log *l, struct bytes from, struct bytes to, bool reverse, store_kv_fn fn, void *ctx);

/* ERR_DAMAGED: a commit whose number belongs to no prefix, so that nobody finds it. */
MUST_USE enum err store_log_verify(sqlite3 *db);

#endif
