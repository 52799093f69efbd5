#ifndef JIPAN_STORE_SQL_H
#define JIPAN_STORE_SQL_H

#include "node/sql.h"
#include "node/store_index.h"
#include "node/store_last.h"
#include "node/store_sql_log.h"
#include "node/store_sqlite.h"

/* Shared by node/store_sqlite.c and the files node/store_sql_*.c; nobody else includes it. */

enum {
    STORE_LAYOUT = 3, /* PRAGMA user_version; raised when a table of another form than an entity's changes */
    STORE_LAYOUT_OF_DEVELOPMENT = 1, /* never released, not read any more */
    STORE_LAYOUT_OF_KEYS = 2, /* the change log by its keys as they are; converted at the first open */
    STORE_KEY_BYTES_MAX = 64,
    STORE_VALUE_BYTES_MAX = 1 << 20,
    RID_CACHE_COUNT = 4096, /* a power of two */
    DOSSIER_DOTS_MAX = 24, /* kept in the dossier's own row; more go to the table of touches */
    DOSSIER_DOTS_BYTES = DOSSIER_DOTS_MAX * 20,
};

/* Columns every entity table starts with, in the order of all generated statements. */
enum { COLUMN_DOSSIER, COLUMN_SUFFIX, COLUMN_DELETED, COLUMN_VERSIONS, COLUMN_EXTRA, COLUMN_FIELDS };

enum row_verb { ROW_GET, ROW_INSERT, ROW_UPDATE, ROW_PUT, ROW_CLEAR, ROW_COUNT, ROW_VERB_COUNT };

/* Form of one row_find statement. */
enum find_filter { FIND_ANY, FIND_EQUAL, FIND_NULL, FIND_FILTER_COUNT };

struct table {
    const struct entity_desc *desc; /* NULL: no such entity */
    bool has_index;
    struct sql_slot verbs[ROW_VERB_COUNT];
    struct sql_slot *owned_finds; /* [filter of each field or none][within one dossier or not], see find_slot */
    size_t find_count;
    bool has_count; /* of live rows, when so much had changed */
    int64_t changes_at_count;
    uint64_t count;
};

/* Fixed statements. X(NAME, sql). Space statements are generated per space. */
#define STORE_SQL_TABLE(X)                                                                                            \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                                       \
    X(COMMIT, "COMMIT")                                                                                               \
    X(ROLLBACK, "ROLLBACK")                                                                                           \
    X(DOSSIER_ID, "SELECT id FROM dossier WHERE rid = ?1")                                                            \
    X(DOSSIER_GET, "SELECT id, kind, station, creator, owner, secret, flags, seen, dots FROM dossier WHERE rid = ?1") \
    X(DOSSIER_SCAN, "SELECT id, kind, station, creator, owner, secret, flags, seen FROM dossier WHERE rid = ?1")      \
    X(DOSSIER_EACH, "SELECT id, kind, station, creator, owner, secret, flags, seen FROM dossier ORDER BY rid")        \
    X(DOSSIER_INSERT, "INSERT INTO dossier (id, kind, station, creator, owner, secret, flags, seen, dots) "           \
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")                                                  \
    X(DOSSIER_UPDATE,                                                                                                 \
        "UPDATE dossier SET kind = ?2, station = ?3, creator = ?4, owner = ?5, secret = ?6, flags = ?7, seen = ?8 "   \
        "WHERE rid = ?1")                                                                                             \
    X(DOSSIER_DEL, "DELETE FROM dossier WHERE rid = ?1")                                                              \
    X(DOSSIER_DOTS, "SELECT dots FROM dossier WHERE rid = ?1")                                                        \
    X(DOSSIER_SET_DOTS, "UPDATE dossier SET dots = ?2 WHERE rid = ?1")                                                \
    X(DOSSIER_UPDATE_DOTS,                                                                                            \
        "UPDATE dossier SET kind = ?2, station = ?3, creator = ?4, owner = ?5, secret = ?6, flags = ?7, seen = ?8, "  \
        "dots = ?9 WHERE rid = ?1")                                                                                   \
    X(TOUCH_ADD, "INSERT INTO touch (d, node, epoch, seq) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")            \
    X(TOUCH_CLEAR, "DELETE FROM touch WHERE d = ?1")                                                                  \
    X(TOUCH_SCAN, "SELECT node, epoch, seq FROM touch WHERE d = ?1 ORDER BY node, epoch, seq")

enum store_sql {
#define X(name, text) STORE_SQL_##name,
    STORE_SQL_TABLE(X)
#undef X
        STORE_SQL_COUNT
};

enum space_verb {
    SPACE_VERB_GET,
    SPACE_VERB_PUT,
    SPACE_VERB_DEL,
    SPACE_VERB_SCAN,
    SPACE_VERB_SCAN_BACK,
    SPACE_VERB_COUNT
};

/* A dossier's place in the tables never changes, except that a rolled-back one never existed. */
struct rid_entry {
    int64_t rid; /* 0: empty */
    struct dossier_id id;
};

struct store_sqlite {
    struct store base; /* first: the ops cast back */
    sqlite3 *db;
    bool is_in_transaction;
    bool is_poisoned; /* nothing is written any more */
    bool is_half_done; /* what could not be taken back must not be read either */
    bool has_new_fields;
    enum err doom; /* first failed write of the open transaction */
    unsigned scan_depth; /* visitors on the stack */
    struct table tables[ENTITY_MAX + 1];
    struct sql_slot fixed[STORE_SQL_COUNT];
    struct sql_slot spaces[SPACE_COUNT][SPACE_VERB_COUNT];
    struct store_index *index;
    struct store_log log;
    struct store_last last;
    struct rid_entry rids[RID_CACHE_COUNT];
    struct rid_entry absent; /* rid 1: the open transaction has looked for this dossier and not found it */
};

/* store_sqlite.c */
MUST_USE enum err store_sql_fixed(struct store_sqlite *q, enum store_sql number, sqlite3_stmt **out);
MUST_USE enum err store_sql_rid(struct store_sqlite *q, struct dossier_id id, int64_t *out); /* ERR_NOT_FOUND */
MUST_USE enum err store_sql_may_write(struct store_sqlite *q);
bool store_sql_is_lost(const struct store_sqlite *q); /* SQLite has ended the open transaction on its own */
enum err store_sql_wrote(struct store_sqlite *q, enum err e); /* returns e, remembering what dooms the transaction */

/* store_sql_schema.c */
MUST_USE enum err store_sql_schema_open(sqlite3 *db, bool *has_new_fields, struct why *why);
bool store_sql_is_indexed(const struct field *f);
const char *store_sql_space_table(enum store_space space); /* "kv_log" */

/* What a field is stored as; VALUE_NULL when it has no column (derived, or the dossier itself). */
enum value_type store_sql_column_type(const struct field *f);

/* store_sql_dossier.c */
MUST_USE enum err store_sql_dossier_get(struct store *s, struct dossier_id id, struct arena *a, struct dossier *out);
MUST_USE enum err store_sql_dossier_put(struct store *s, const struct dossier *d);
MUST_USE enum err store_sql_dossier_touched(struct store *s, const struct dossier *d, struct dot dot);
MUST_USE enum err store_sql_dossier_del(struct store *s, struct dossier_id id);
MUST_USE enum err store_sql_dossier_scan(
    struct store *s, const struct dossier_id *from, store_dossier_fn fn, void *ctx);
MUST_USE enum err store_sql_dossier_each(struct store *s, store_dossier_fn fn, void *ctx);
MUST_USE enum err store_sql_touch_add(struct store *s, struct dossier_id id, struct dot dot);
MUST_USE enum err store_sql_touch_scan(struct store *s, struct dossier_id id, store_dot_fn fn, void *ctx);

/* store_sql_rows.c */
MUST_USE bool store_sql_rows_init(struct store_sqlite *q); /* false: out of memory */
void store_sql_rows_release(struct store_sqlite *q);
MUST_USE enum err store_sql_row_get(
    struct store *s, enum entity entity, struct record_id id, struct arena *a, struct row *out);
MUST_USE enum err store_sql_row_put(struct store *s, const struct row *row);
MUST_USE enum err store_sql_row_insert(struct store *s, const struct row *row);
MUST_USE enum err store_sql_row_find(
    struct store *s, const struct store_query *query, size_t limit, store_row_fn fn, void *ctx);
MUST_USE enum err store_sql_rows_clear(struct store_sqlite *q, int64_t rid); /* of one dossier, in every table */
MUST_USE enum err store_sql_row_count(struct store *s, enum entity entity, uint64_t *out);

#endif
