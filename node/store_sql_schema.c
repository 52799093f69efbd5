/*
 * Owns: which tables exist. Entity tables come from the catalogue descriptors, so a new field line is a new column at
 * the next open. Invariants: tables only ever grow here (columns are added, nothing is dropped, renamed or retyped:
 * that needs a new STORE_LAYOUT and a step of its own); everything one open changes is one transaction; current tables
 * are not written to.
 *
 * How a newer file is told: a higher user_version, an entity table or a column this build does not know, or a column of
 * another type. Opening such a file would show rows without their newer values, so it is refused.
 *
 * Moves no values: what stood in `extra` for a field that has just become known is placed by a rebuild from the change
 * log.
 */
#include "node/store_sql.h"

#include "node/vault.h"
#include "schema/base/check.h"

#include <stdio.h>
#include <stdlib.h>

/* Tables of fixed form. */
static const char make_dossier[] =
    "CREATE TABLE IF NOT EXISTS dossier (rid INTEGER PRIMARY KEY, id BLOB NOT NULL, kind INTEGER NOT NULL, "
    "station INTEGER NOT NULL, creator INTEGER NOT NULL, owner INTEGER NOT NULL, secret BLOB NOT NULL, "
    "flags INTEGER NOT NULL, seen BLOB NOT NULL, dots BLOB NOT NULL) STRICT";
static const char make_touch[] =
    "CREATE TABLE IF NOT EXISTS touch (d INTEGER NOT NULL, node INTEGER NOT NULL, epoch INTEGER NOT NULL, "
    "seq INTEGER NOT NULL, PRIMARY KEY (d, node, epoch, seq)) STRICT, WITHOUT ROWID";
static const char make_field[] =
    "CREATE TABLE IF NOT EXISTS index_field (entity INTEGER NOT NULL, field INTEGER NOT NULL, "
    "PRIMARY KEY (entity, field)) STRICT, WITHOUT ROWID";

const char *store_sql_space_table(enum store_space space)
{
    static const char *const names[SPACE_COUNT] = {
        [SPACE_META] = "kv_meta",
        [SPACE_LOG] = "kv_log",
        [SPACE_MEMBER] = "kv_member",
        [SPACE_HEADS] = "kv_heads",
        [SPACE_CONFLICT] = "kv_conflict",
        [SPACE_CONTESTED] = "kv_contested",
        [SPACE_QUARANTINE] = "kv_quarantine",
        [SPACE_AUDIT] = "kv_audit",
        [SPACE_PEER] = "kv_peer",
        [SPACE_LEAVING] = "kv_leaving",
        [SPACE_URGENT] = "kv_urgent",
        [SPACE_WAITING] = "kv_waiting",
        [SPACE_BOX] = "kv_box",
        [SPACE_LETTER] = "kv_letter",
        [SPACE_GAP] = "kv_gap",
        [SPACE_FORK] = "kv_fork",
    };
    check((unsigned)space < SPACE_COUNT);
    check(names[space] != NULL);
    return names[space];
}

enum value_type store_sql_column_type(const struct field *f)
{
    if (f->merge == MERGE_DERIVED || (f->flags & FIELD_DOSSIER) != 0) {
        return VALUE_NULL;
    }
    switch (f->type) {
    case FIELD_TEXT:
    case FIELD_USER:
    case FIELD_STATION:
        return VALUE_TEXT;
    case FIELD_INT:
    case FIELD_BOOL:
    case FIELD_CODE:
    case FIELD_DATE:
    case FIELD_INSTANT:
        return VALUE_INT;
    case FIELD_CODES:
    case FIELD_TEXTS:
        return VALUE_SET;
    case FIELD_REF:
        return VALUE_ID;
    }
    check_failed("unknown field type", __FILE__, __LINE__);
}

static const char *sql_type(enum value_type type)
{
    if (type == VALUE_INT) {
        return "INTEGER";
    }
    return type == VALUE_TEXT ? "TEXT" : "BLOB";
}

bool store_sql_is_indexed(const struct field *f)
{
    return (f->flags & FIELD_INDEXED) != 0 && store_sql_column_type(f) != VALUE_NULL;
}

/* Runs text and frees it; NULL (no memory while it was written) is ERR_NOMEM. */
static enum err run_owned(sqlite3 *db, char *owned_text)
{
    enum err e = owned_text == NULL ? ERR_NOMEM : sql_exec(db, owned_text);
    sqlite3_free(owned_text);
    return e;
}

/* ---- looking ---- */

struct look {
    sqlite3 *db;
    bool is_behind; /* something this build knows is missing */
    bool is_newer; /* something is there that this build does not know */
    bool is_too_old;
    bool has_old_log; /* of layout 2 */
    bool has_new_fields; /* a column is missing from a table that holds rows */
    bool has_table[ENTITY_MAX + 1];
    bool has_space[SPACE_COUNT];
    bool has_index_list;
    uint64_t indexed[ENTITY_MAX + 1]; /* bit n: field number n stands in the index */
};

/* One question with one integer answer. */
static enum err ask(sqlite3 *db, const char *text, int64_t *out)
{
    struct sql_slot slot = { 0 };
    sqlite3_stmt *stmt = NULL;
    enum err e = sql_take(db, &slot, text, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    bool has_row = false;
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK) {
        e = has_row ? sql_column_int(stmt, 0, out) : ERR_DAMAGED;
    }
    sql_give(&slot, stmt);
    sql_slot_release(&slot);
    return e;
}

static enum err has_rows(sqlite3 *db, const struct entity_desc *d, bool *out)
{
    char *text = sqlite3_mprintf("SELECT EXISTS (SELECT 1 FROM \"e_%s\")", d->name);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    int64_t found = 0;
    enum err e = ask(db, text, &found);
    sqlite3_free(text);
    *out = e == ERR_OK && found != 0;
    return e;
}

static bool is_fixed_column(struct bytes name)
{
    return name.len > 0 && name.ptr[0] == '_';
}

static void note_column(struct look *l, const struct entity_desc *d, struct bytes name, struct bytes type, bool *has)
{
    const struct field *f = catalogue_field_by_name(d, name);
    if (f == NULL || store_sql_column_type(f) == VALUE_NULL ||
        !bytes_equal(type, bytes_str(sql_type(store_sql_column_type(f))))) {
        l->is_newer = true;
        return;
    }
    has[catalogue_field_index(d, f)] = true;
}

/* The columns of an entity table that is there: marks known fields in has_column, notices unknown or retyped ones. */
static enum err look_at_columns(struct look *l, const struct entity_desc *d, bool *has_column)
{
    struct sql_slot slot = { 0 };
    sqlite3_stmt *stmt = NULL;
    char *text = sqlite3_mprintf("SELECT * FROM \"e_%s\"", d->name);
    enum err e = text == NULL ? ERR_NOMEM : sql_take(l->db, &slot, text, &stmt);
    sqlite3_free(text);
    for (int i = 0; e == ERR_OK && i < sqlite3_column_count(stmt); i++) {
        const char *name = sqlite3_column_name(stmt, i);
        const char *type = sqlite3_column_decltype(stmt, i);
        if (name == NULL) {
            e = ERR_NOMEM;
        } else if (!is_fixed_column(bytes_str(name))) {
            note_column(l, d, bytes_str(name), bytes_str(type == NULL ? "" : type), has_column);
        }
    }
    sql_give(&slot, stmt);
    sql_slot_release(&slot);
    return e;
}

/* has_column[field_count] receives which fields have their column; all false when the table is missing. */
static enum err look_at_entity(struct look *l, const struct entity_desc *d, bool *has_column)
{
    memset(has_column, 0, d->field_count * sizeof(*has_column));
    if (!l->has_table[d->entity]) {
        l->is_behind = true;
        return ERR_OK;
    }
    enum err e = look_at_columns(l, d, has_column);
    for (size_t i = 0; i < d->field_count && e == ERR_OK; i++) {
        const struct field *f = &d->fields[i];
        if (store_sql_column_type(f) != VALUE_NULL && !has_column[i]) {
            bool is_filled = false;
            e = has_rows(l->db, d, &is_filled);
            l->is_behind = true;
            l->has_new_fields = l->has_new_fields || is_filled;
        }
        bool is_indexed = (l->indexed[d->entity] >> f->number & 1) != 0;
        l->is_behind = l->is_behind || (store_sql_is_indexed(f) && !is_indexed);
    }
    return e;
}

/* Which tables there are. An entity table this build has no entity for is of a newer one; so may other tables be, and
 * those it does not mind. */
static void note_table(struct look *l, struct bytes name)
{
    if (bytes_equal(name, BYTES_LIT("index_field"))) {
        l->has_index_list = true;
    }
    for (enum store_space s = 0; s < SPACE_COUNT; s++) {
        l->has_space[s] = l->has_space[s] || bytes_equal(name, bytes_str(store_sql_space_table(s)));
    }
    if (name.len >= 2 && memcmp(name.ptr, "e_", 2) == 0) {
        const struct entity_desc *d = catalogue_entity_by_name(bytes_of(name.ptr + 2, name.len - 2));
        l->is_newer = l->is_newer || d == NULL;
        if (d != NULL) {
            l->has_table[d->entity] = true;
        }
    }
}

static enum err look_for_tables(struct look *l)
{
    struct sql_slot slot = { 0 };
    sqlite3_stmt *stmt = NULL;
    enum err e = sql_take(l->db, &slot, "SELECT name FROM sqlite_master WHERE type = 'table'", &stmt);
    for (bool has_row = true; e == ERR_OK && has_row;) {
        struct bytes name;
        e = sql_step(stmt, &has_row);
        if (e == ERR_OK && has_row && (e = sql_column_text(stmt, 0, &name)) == ERR_OK) {
            note_table(l, name);
        }
    }
    sql_give(&slot, stmt);
    sql_slot_release(&slot);
    return e;
}

/* Fields of a newer build among them are no matter of ours. */
static enum err look_at_index(struct look *l)
{
    struct sql_slot slot = { 0 };
    sqlite3_stmt *stmt = NULL;
    if (!l->has_index_list) {
        return ERR_OK;
    }
    enum err e = sql_take(l->db, &slot, "SELECT entity, field FROM index_field", &stmt);
    for (bool has_row = true; e == ERR_OK && has_row;) {
        int64_t entity = 0;
        int64_t field = 0;
        e = sql_step(stmt, &has_row);
        if (e == ERR_OK && has_row && (e = sql_column_int(stmt, 0, &entity)) == ERR_OK &&
            (e = sql_column_int(stmt, 1, &field)) == ERR_OK && entity > 0 && entity <= ENTITY_MAX && field >= 0 &&
            field < FIELDS_PER_ENTITY_MAX) {
            l->indexed[entity] |= 1ULL << field;
        }
    }
    sql_give(&slot, stmt);
    sql_slot_release(&slot);
    return e;
}

static enum err look_at_all(struct look *l)
{
    int64_t version = 0;
    enum err e = ask(l->db, "SELECT user_version FROM pragma_user_version", &version);
    if (e != ERR_OK) {
        return e;
    }
    l->is_behind = version < STORE_LAYOUT;
    l->is_newer = version > STORE_LAYOUT;
    l->is_too_old = version == STORE_LAYOUT_OF_DEVELOPMENT;
    l->has_old_log = version == STORE_LAYOUT_OF_KEYS;
    if ((e = look_for_tables(l)) == ERR_OK) {
        e = look_at_index(l);
    }
    size_t count = 0;
    const struct entity_desc *entities = catalogue_entities(&count);
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        bool has_column[FIELDS_PER_ENTITY_MAX];
        check(entities[i].field_count <= FIELDS_PER_ENTITY_MAX);
        e = look_at_entity(l, &entities[i], has_column);
    }
    /* A space that came with a later build is one table more, no other layout. */
    for (enum store_space s = 0; s < SPACE_COUNT; s++) {
        l->is_behind = l->is_behind || !l->has_space[s];
    }
    return e;
}

/* ---- making ---- */

static enum err make_spaces(const struct look *l)
{
    enum err e = ERR_OK;
    for (enum store_space s = 0; s < SPACE_COUNT && e == ERR_OK; s++) {
        if (s != SPACE_LOG && !l->has_space[s]) {
            e = run_owned(l->db,
                sqlite3_mprintf("CREATE TABLE %s (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) STRICT, WITHOUT ROWID",
                    store_sql_space_table(s)));
        }
    }
    return e;
}

static enum err make_entity_table(sqlite3 *db, const struct entity_desc *d)
{
    sqlite3_str *text = sqlite3_str_new(db);
    sqlite3_str_appendf(text,
        "CREATE TABLE \"e_%s\" (_d INTEGER NOT NULL, _s BLOB NOT NULL, _deleted INTEGER NOT NULL, "
        "_ver BLOB, _extra BLOB",
        d->name);
    for (size_t i = 0; i < d->field_count; i++) {
        enum value_type type = store_sql_column_type(&d->fields[i]);
        if (type != VALUE_NULL) {
            sqlite3_str_appendf(text, ", \"%s\" %s", d->fields[i].name, sql_type(type));
        }
    }
    sqlite3_str_appendall(text, ", PRIMARY KEY (_d, _s)) STRICT, WITHOUT ROWID");
    return run_owned(db, sqlite3_str_finish(text));
}

static enum err make_missing_columns(struct look *l, const struct entity_desc *d)
{
    sqlite3 *db = l->db;
    bool has_column[FIELDS_PER_ENTITY_MAX];
    enum err e = look_at_entity(l, d, has_column);
    for (size_t i = 0; i < d->field_count && e == ERR_OK; i++) {
        enum value_type type = store_sql_column_type(&d->fields[i]);
        if (type != VALUE_NULL && !has_column[i]) {
            e = run_owned(db, sqlite3_mprintf("ALTER TABLE \"e_%s\" ADD COLUMN \"%s\" %s", d->name, d->fields[i].name,
                                  sql_type(type)));
        }
    }
    return e;
}

/* Entries for the values that stand in a field which has just become an indexed one. */
static enum err index_column(sqlite3 *db, struct store_index *ix, const struct entity_desc *d, const struct field *f)
{
    struct sql_slot slot = { 0 };
    sqlite3_stmt *stmt = NULL;
    enum value_type type = store_sql_column_type(f);
    char *text = sqlite3_mprintf("SELECT _d, \"%s\" FROM \"e_%s\" WHERE \"%s\" IS NOT NULL", f->name, d->name, f->name);
    enum err e = text == NULL ? ERR_NOMEM : sql_take(db, &slot, text, &stmt);
    sqlite3_free(text);
    for (bool has_row = true; e == ERR_OK && has_row;) {
        uint8_t key[STORE_INDEX_KEY_BYTES];
        struct value v = { .type = type };
        uint32_t rid = 0;
        e = sql_step(stmt, &has_row);
        if (e != ERR_OK || !has_row) {
            break;
        }
        e = sql_column_u32(stmt, 0, &rid);
        if (e == ERR_OK) {
            e = type == VALUE_INT    ? sql_column_int(stmt, 1, &v.i)
                : type == VALUE_TEXT ? sql_column_text(stmt, 1, &v.s)
                                     : sql_column_blob(stmt, 1, &v.s);
        }
        if (e == ERR_OK && (e = store_index_key(ix, (uint32_t)d->entity, f->number, v, key)) == ERR_OK) {
            e = store_index_add(ix, STORE_INDEX_FIELD, key, rid);
        }
    }
    sql_give(&slot, stmt);
    sql_slot_release(&slot);
    return e;
}

static enum err make_index(const struct look *l, struct store_index *ix, const struct entity_desc *d)
{
    sqlite3 *db = l->db;
    enum err e = ERR_OK;
    for (size_t i = 0; i < d->field_count && e == ERR_OK; i++) {
        const struct field *f = &d->fields[i];
        if (!store_sql_is_indexed(f) || (l->indexed[d->entity] >> f->number & 1) != 0) {
            continue;
        }
        e = l->has_table[d->entity] ? index_column(db, ix, d, f) : ERR_OK;
        if (e == ERR_OK) {
            e = run_owned(db, sqlite3_mprintf("INSERT INTO index_field (entity, field) VALUES (%d, %d)", (int)d->entity,
                                  (int)f->number));
        }
    }
    return e;
}

static enum err make_entities(struct look *l, struct store_index *ix)
{
    size_t count = 0;
    const struct entity_desc *entities = catalogue_entities(&count);
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        e = l->has_table[entities[i].entity] ? make_missing_columns(l, &entities[i])
                                             : make_entity_table(l->db, &entities[i]);
        if (e == ERR_OK) {
            e = make_index(l, ix, &entities[i]);
        }
    }
    return e;
}

/* Inside the transaction of the opening. */
static enum err make_with_index(struct look *l)
{
    struct store_index *ix = store_index_new(l->db);
    if (ix == NULL) {
        return ERR_NOMEM;
    }
    store_index_begin(ix);
    enum err e = make_entities(l, ix);
    if (e == ERR_OK) {
        e = store_index_flush(ix);
    }
    store_index_end(ix, false);
    store_index_free(ix);
    return e;
}

/* What the look has not found. */
static enum err make_all(struct look *l)
{
    sqlite3 *db = l->db;
    enum err e = l->has_old_log ? store_log_convert(db) : store_log_make(db);
    if (e == ERR_OK && (e = sql_exec(db, make_dossier)) == ERR_OK && (e = sql_exec(db, make_touch)) == ERR_OK &&
        (e = sql_exec(db, make_field)) == ERR_OK && (e = store_index_make(db)) == ERR_OK) {
        e = make_spaces(l);
    }
    if (e == ERR_OK) {
        e = make_with_index(l);
    }
    return e == ERR_OK ? run_owned(db, sqlite3_mprintf("PRAGMA user_version = %d", (int)STORE_LAYOUT)) : e;
}

static enum err say(enum err e, struct why *why)
{
    return why_set(why, e, "建立或读取库表失败", "the tables of the store could not be read or made");
}

enum err store_sql_schema_open(sqlite3 *db, bool *has_new_fields, struct why *why)
{
    struct look l = { .db = db };
    enum err e = look_at_all(&l);
    if (e != ERR_OK) {
        return say(e, why);
    }
    if (l.is_too_old) {
        return why_set(why, ERR_VERSION, "库由发布前的开发版建立，本程序不再读它；库未被改动",
            "the store was made by a build from before the first release and is not read any more; nothing was changed");
    }
    if (l.is_newer) {
        return why_set(why, ERR_VERSION, "库由较新版本的程序建立，请升级程序后再打开；库未被改动",
            "the store was made by a newer version of the program: upgrade first; nothing was changed");
    }
    if (l.is_behind) {
        e = sql_exec(db, "BEGIN IMMEDIATE");
        if (e == ERR_OK && (e = make_all(&l)) == ERR_OK) {
            e = sql_exec(db, "COMMIT");
        }
        if (e != ERR_OK) {
            (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* SQLite may have done so already */
            return say(e, why);
        }
    }
    *has_new_fields = l.has_new_fields;
    return ERR_OK;
}
