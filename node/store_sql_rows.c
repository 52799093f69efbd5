/*
 * Owns: rows of the entity tables: writing, reading, finding. All statements are generated from the catalogue
 * descriptors on first use and kept. Invariants: a row is bound only when every value has its column's type; a row is
 * handed out only when every column has it (else ERR_DAMAGED). The suffix of a main record is stored as an empty blob,
 * empty versions and extra as NULL: fewer bytes, same order.
 *
 * Indexed values stand in the one index of the store (node/store_index.h), as hints: a question for a value asks the
 * rows of each dossier that the index names. row_put first tries an UPDATE that asks for the old values of the indexed
 * columns: most changes touch none of them and need no entry.
 */
#include "node/store_sql.h"

#include "schema/base/check.h"

#include <stdlib.h>

enum { PARAM_DOSSIER = 1, PARAM_SUFFIX, PARAM_DELETED, PARAM_VERSIONS, PARAM_EXTRA, PARAM_FIELDS };
enum { FIND_PARAM_VALUE = 1, FIND_PARAM_DOSSIER, FIND_PARAM_DELETED };

static struct store_sqlite *own(struct store *s)
{
    return (struct store_sqlite *)s;
}

static struct table *table_of(struct store_sqlite *q, enum entity entity)
{
    if ((unsigned)entity >= ARRAY_LEN(q->tables) || q->tables[entity].desc == NULL) {
        return NULL;
    }
    return &q->tables[entity];
}

bool store_sql_rows_init(struct store_sqlite *q)
{
    size_t count = 0;
    const struct entity_desc *entities = catalogue_entities(&count);
    for (size_t i = 0; i < count; i++) {
        const struct entity_desc *d = &entities[i];
        check(d->field_count <= FIELDS_PER_ENTITY_MAX);
        struct table *t = &q->tables[d->entity];
        t->find_count = (1 + d->field_count * 2) * 2;
        t->owned_finds = calloc(t->find_count, sizeof(*t->owned_finds));
        if (t->owned_finds == NULL) {
            return false;
        }
        t->desc = d;
        for (size_t f = 0; f < d->field_count; f++) {
            t->has_index = t->has_index || store_sql_is_indexed(&d->fields[f]);
        }
    }
    return true;
}

void store_sql_rows_release(struct store_sqlite *q)
{
    for (size_t i = 0; i < ARRAY_LEN(q->tables); i++) {
        struct table *t = &q->tables[i];
        for (size_t v = 0; v < ROW_VERB_COUNT; v++) {
            sql_slot_release(&t->verbs[v]);
        }
        for (size_t f = 0; t->owned_finds != NULL && f < t->find_count; f++) {
            sql_slot_release(&t->owned_finds[f]);
        }
        free(t->owned_finds);
        *t = (struct table){ 0 };
    }
}

/* ---- statement texts ---- */

typedef void (*put_column_fn)(sqlite3_str *text, const struct field *f, int parameter);

/* Calls put for each field that has a column, with the number of its parameter. */
static void each_column(sqlite3_str *text, const struct entity_desc *d, put_column_fn put)
{
    int parameter = PARAM_FIELDS;
    for (size_t i = 0; i < d->field_count; i++) {
        if (store_sql_column_type(&d->fields[i]) != VALUE_NULL) {
            put(text, &d->fields[i], parameter++);
        }
    }
}

static void put_name(sqlite3_str *text, const struct field *f, int parameter)
{
    (void)parameter;
    sqlite3_str_appendf(text, ", \"%s\"", f->name);
}

static void put_name_of_r(sqlite3_str *text, const struct field *f, int parameter)
{
    (void)parameter;
    sqlite3_str_appendf(text, ", r.\"%s\"", f->name);
}

static void put_parameter(sqlite3_str *text, const struct field *f, int parameter)
{
    (void)f;
    sqlite3_str_appendf(text, ", ?%d", parameter);
}

static void put_excluded(sqlite3_str *text, const struct field *f, int parameter)
{
    (void)parameter;
    sqlite3_str_appendf(text, ", \"%s\" = excluded.\"%s\"", f->name, f->name);
}

static void put_plain_set(sqlite3_str *text, const struct field *f, int parameter)
{
    if (!store_sql_is_indexed(f)) {
        sqlite3_str_appendf(text, ", \"%s\" = ?%d", f->name, parameter);
    }
}

static void put_indexed_same(sqlite3_str *text, const struct field *f, int parameter)
{
    if (store_sql_is_indexed(f)) {
        sqlite3_str_appendf(text, " AND \"%s\" IS ?%d", f->name, parameter);
    }
}

static void write_insert(sqlite3_str *text, const struct entity_desc *d)
{
    sqlite3_str_appendf(text, "INSERT INTO \"e_%s\" (_d, _s, _deleted, _ver, _extra", d->name);
    each_column(text, d, put_name);
    sqlite3_str_appendall(text, ") VALUES (?1, ?2, ?3, ?4, ?5");
    each_column(text, d, put_parameter);
    sqlite3_str_appendall(text, ")");
}

static void write_verb(sqlite3_str *text, const struct entity_desc *d, enum row_verb verb)
{
    switch (verb) {
    case ROW_GET:
        sqlite3_str_appendall(text, "SELECT _d, _s, _deleted, _ver, _extra");
        each_column(text, d, put_name);
        sqlite3_str_appendf(text, " FROM \"e_%s\" WHERE _d = ?1 AND _s = ?2", d->name);
        return;
    case ROW_INSERT:
        write_insert(text, d);
        return;
    case ROW_UPDATE:
        sqlite3_str_appendf(text, "UPDATE \"e_%s\" SET _deleted = ?3, _ver = ?4, _extra = ?5", d->name);
        each_column(text, d, put_plain_set);
        sqlite3_str_appendall(text, " WHERE _d = ?1 AND _s = ?2");
        each_column(text, d, put_indexed_same);
        return;
    case ROW_PUT:
        write_insert(text, d);
        sqlite3_str_appendall(text, " ON CONFLICT (_d, _s) DO UPDATE SET _deleted = excluded._deleted, "
                                    "_ver = excluded._ver, _extra = excluded._extra");
        each_column(text, d, put_excluded);
        return;
    case ROW_CLEAR:
        sqlite3_str_appendf(text, "DELETE FROM \"e_%s\" WHERE _d = ?1", d->name);
        return;
    case ROW_COUNT:
        sqlite3_str_appendf(text, "SELECT count(*) FROM \"e_%s\" WHERE _deleted = 0", d->name);
        return;
    case ROW_VERB_COUNT:
        break;
    }
    check_failed("unknown row verb", __FILE__, __LINE__);
}

static enum err take_written(struct store_sqlite *q, struct sql_slot *slot, sqlite3_str *text, sqlite3_stmt **out)
{
    char *owned = sqlite3_str_finish(text);
    enum err e = owned == NULL ? ERR_NOMEM : sql_take(q->db, slot, owned, out);
    sqlite3_free(owned);
    return e;
}

static enum err take_verb(struct store_sqlite *q, struct table *t, enum row_verb verb, sqlite3_stmt **out)
{
    if (q->is_half_done) {
        return ERR_IO;
    }
    sqlite3_stmt *stmt = sql_take_ready(&t->verbs[verb]);
    if (stmt != NULL) {
        *out = stmt;
        return ERR_OK;
    }
    sqlite3_str *text = sqlite3_str_new(q->db);
    write_verb(text, t->desc, verb);
    return take_written(q, &t->verbs[verb], text, out);
}

/* ---- binding and reading ---- */

static enum err check_values(const struct entity_desc *d, const struct row *row)
{
    for (size_t i = 0; i < d->field_count; i++) {
        enum value_type want = store_sql_column_type(&d->fields[i]);
        enum value_type got = row->values[i].type;
        if (want == VALUE_NULL || got == VALUE_NULL) {
            continue;
        }
        if (got != want || (got == VALUE_ID && row->values[i].s.len != RECORD_ID_BYTES)) {
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

static void bind_value(sqlite3_stmt *stmt, int parameter, struct value v)
{
    if (v.type == VALUE_INT) {
        (void)sqlite3_bind_int64(stmt, parameter, v.i);
    } else if (v.type == VALUE_TEXT) {
        sql_bind_text(stmt, parameter, v.s);
    } else if (v.type != VALUE_NULL) {
        sql_bind_blob(stmt, parameter, v.s);
    }
}

static void bind_id(sqlite3_stmt *stmt, int64_t rid, const struct record_id *id)
{
    (void)sqlite3_bind_int64(stmt, PARAM_DOSSIER, rid);
    size_t len = record_id_is_main(*id) ? 0 : RECORD_SUFFIX_BYTES;
    sql_bind_blob(stmt, PARAM_SUFFIX, bytes_of(id->b + DOSSIER_ID_BYTES, len));
}

/* A parameter left unbound is NULL. */
static void bind_row(sqlite3_stmt *stmt, const struct entity_desc *d, int64_t rid, const struct row *row)
{
    bind_id(stmt, rid, &row->id);
    (void)sqlite3_bind_int(stmt, PARAM_DELETED, row->is_deleted ? 1 : 0);
    if (row->versions.len > 0) {
        sql_bind_blob(stmt, PARAM_VERSIONS, row->versions);
    }
    if (row->extra.len > 0) {
        sql_bind_blob(stmt, PARAM_EXTRA, row->extra);
    }
    int parameter = PARAM_FIELDS;
    for (size_t i = 0; i < d->field_count; i++) {
        if (store_sql_column_type(&d->fields[i]) != VALUE_NULL) {
            bind_value(stmt, parameter++, row->values[i]);
        }
    }
}

static enum err read_blob_or_null(sqlite3_stmt *stmt, int column, struct bytes *out)
{
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL) {
        *out = (struct bytes){ 0 };
        return ERR_OK;
    }
    return sql_column_blob(stmt, column, out);
}

static enum err read_value(sqlite3_stmt *stmt, int column, enum value_type type, struct value *out)
{
    struct value v = { .type = type };
    enum err e = ERR_OK;
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL) {
        v.type = VALUE_NULL;
    } else if (type == VALUE_INT) {
        e = sql_column_int(stmt, column, &v.i);
    } else if (type == VALUE_TEXT) {
        e = sql_column_text(stmt, column, &v.s);
    } else {
        e = sql_column_blob(stmt, column, &v.s);
        if (e == ERR_OK && type == VALUE_ID && v.s.len != RECORD_ID_BYTES) {
            e = ERR_DAMAGED;
        }
    }
    if (e == ERR_OK) {
        *out = v;
    }
    return e;
}

/* Everything but the id. Bytes are borrowed from the statement; values holds field_count entries. */
static enum err read_row(sqlite3_stmt *stmt, const struct entity_desc *d, struct value *values, struct row *out)
{
    struct row row = { .id = out->id, .entity = d->entity, .values = values };
    int64_t deleted = 0;
    enum err e = ERR_OK;
    if ((e = sql_column_int(stmt, COLUMN_DELETED, &deleted)) != ERR_OK ||
        (e = read_blob_or_null(stmt, COLUMN_VERSIONS, &row.versions)) != ERR_OK ||
        (e = read_blob_or_null(stmt, COLUMN_EXTRA, &row.extra)) != ERR_OK) {
        return e;
    }
    if (deleted != 0 && deleted != 1) {
        return ERR_DAMAGED;
    }
    row.is_deleted = deleted == 1;
    int column = COLUMN_FIELDS;
    for (size_t i = 0; i < d->field_count && e == ERR_OK; i++) {
        enum value_type type = store_sql_column_type(&d->fields[i]);
        values[i] = VALUE_NONE;
        if (type != VALUE_NULL) {
            e = read_value(stmt, column++, type, &values[i]);
        }
    }
    if (e == ERR_OK) {
        *out = row;
    }
    return e;
}

/* The id of a found row: dossier id in COLUMN_DOSSIER, suffix in COLUMN_SUFFIX. */
static enum err read_id(sqlite3_stmt *stmt, struct record_id *out)
{
    struct dossier_id dossier;
    struct bytes suffix;
    enum err e = sql_column_copy(stmt, COLUMN_DOSSIER, dossier.b, sizeof(dossier.b));
    if (e != ERR_OK || (e = sql_column_blob(stmt, COLUMN_SUFFIX, &suffix)) != ERR_OK) {
        return e;
    }
    if (suffix.len != 0 && suffix.len != RECORD_SUFFIX_BYTES) {
        return ERR_DAMAGED;
    }
    *out = record_id_make(dossier, suffix.len == 0 ? NULL : suffix.ptr);
    return ERR_OK;
}

static enum err copy_row(struct arena *a, const struct entity_desc *d, const struct row *row, struct row *out)
{
    struct row copy = *row;
    copy.values = arena_array(a, d->field_count, sizeof(*copy.values));
    if (copy.values == NULL) {
        return ERR_NOMEM;
    }
    enum err e = arena_dup(a, row->versions, &copy.versions);
    if (e == ERR_OK) {
        e = arena_dup(a, row->extra, &copy.extra);
    }
    for (size_t i = 0; i < d->field_count && e == ERR_OK; i++) {
        copy.values[i] = row->values[i];
        if (row->values[i].s.len > 0) {
            e = arena_dup(a, row->values[i].s, &copy.values[i].s);
        }
    }
    if (e == ERR_OK) {
        *out = copy;
    }
    return e;
}

/* ---- operations ---- */

enum err store_sql_row_get(struct store *s, enum entity entity, struct record_id id, struct arena *a, struct row *out)
{
    struct store_sqlite *q = own(s);
    struct table *t = table_of(q, entity);
    if (t == NULL) {
        return ERR_INVALID;
    }
    int64_t rid = 0;
    sqlite3_stmt *stmt = NULL;
    const struct row *last = store_last_row(&q->last, entity, id);
    if (last != NULL && !store_sql_is_lost(q)) {
        return copy_row(a, t->desc, last, out);
    }
    enum err e = store_sql_rid(q, record_dossier(id), &rid);
    if (e != ERR_OK || (e = take_verb(q, t, ROW_GET, &stmt)) != ERR_OK) {
        return e;
    }
    bind_id(stmt, rid, &id);
    bool has_row = false;
    struct row row = { .id = id };
    UNFILLED struct value values[FIELDS_PER_ENTITY_MAX];
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK && !has_row) {
        e = ERR_NOT_FOUND;
    } else if (e == ERR_OK && (e = read_row(stmt, t->desc, values, &row)) == ERR_OK) {
        store_last_keep_row(&q->last, q->db, t->desc, &row);
        e = copy_row(a, t->desc, &row, out);
    }
    sql_give(&t->verbs[ROW_GET], stmt);
    return e;
}

static enum err write_row(
    struct store_sqlite *q, struct table *t, enum row_verb verb, int64_t rid, const struct row *row)
{
    sqlite3_stmt *stmt = NULL;
    enum err e = take_verb(q, t, verb, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    store_last_drop_row(&q->last, row->entity, row->id);
    bind_row(stmt, t->desc, rid, row);
    return sql_run(&t->verbs[verb], stmt);
}

/* Values that stood there before stay in the index: whoever finds them sees that the row says otherwise. */
static enum err index_row(struct store_sqlite *q, const struct table *t, int64_t rid, const struct row *row)
{
    enum err e = ERR_OK;
    for (size_t i = 0; t->has_index && e == ERR_OK && i < t->desc->field_count; i++) {
        const struct field *f = &t->desc->fields[i];
        uint8_t key[STORE_INDEX_KEY_BYTES];
        if (row->values[i].type == VALUE_NULL || !store_sql_is_indexed(f)) {
            continue;
        }
        e = store_index_key(q->index, (uint32_t)t->desc->entity, f->number, row->values[i], key);
        if (e == ERR_OK) {
            e = store_index_add(q->index, STORE_INDEX_FIELD, key, (uint32_t)rid);
        }
    }
    return e;
}

static enum err put_row(struct store_sqlite *q, struct table *t, int64_t rid, const struct row *row)
{
    if (t->has_index) {
        enum err e = write_row(q, t, ROW_UPDATE, rid, row);
        if (e != ERR_OK || sqlite3_changes(q->db) == 1) {
            return e;
        }
    }
    enum err e = write_row(q, t, ROW_PUT, rid, row);
    return e == ERR_OK ? index_row(q, t, rid, row) : e;
}

static enum err insert_row(struct store_sqlite *q, struct table *t, int64_t rid, const struct row *row)
{
    enum err e = write_row(q, t, ROW_INSERT, rid, row);
    if (e != ERR_OK && sqlite3_extended_errcode(q->db) == SQLITE_CONSTRAINT_PRIMARYKEY) {
        return ERR_EXISTS;
    }
    return e == ERR_OK ? index_row(q, t, rid, row) : e;
}

typedef enum err (*write_row_fn)(struct store_sqlite *q, struct table *t, int64_t rid, const struct row *row);

static enum err checked_write(struct store *s, const struct row *row, write_row_fn fn)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    if (e != ERR_OK) {
        return e;
    }
    struct table *t = table_of(q, row->entity);
    if (t == NULL) {
        return ERR_INVALID;
    }
    int64_t rid = 0;
    if ((e = check_values(t->desc, row)) == ERR_OK && (e = store_sql_rid(q, record_dossier(row->id), &rid)) == ERR_OK) {
        e = fn(q, t, rid, row);
    }
    return store_sql_wrote(q, e);
}

enum err store_sql_row_put(struct store *s, const struct row *row)
{
    return checked_write(s, row, put_row);
}

enum err store_sql_row_insert(struct store *s, const struct row *row)
{
    return checked_write(s, row, insert_row);
}

enum err store_sql_rows_clear(struct store_sqlite *q, int64_t rid)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(q->tables) && e == ERR_OK; i++) {
        struct table *t = &q->tables[i];
        sqlite3_stmt *stmt = NULL;
        if (t->desc == NULL || (e = take_verb(q, t, ROW_CLEAR, &stmt)) != ERR_OK) {
            continue;
        }
        (void)sqlite3_bind_int64(stmt, PARAM_DOSSIER, rid);
        e = sql_run(&t->verbs[ROW_CLEAR], stmt);
    }
    return e;
}

/* One statement for each form of question, so that a dedupe during an import never prepares anything. */
static struct sql_slot *find_slot(struct table *t, const struct field *field, bool in_dossier, enum find_filter filter)
{
    size_t form = 0;
    if (filter != FIND_ANY) {
        form = 1 + catalogue_field_index(t->desc, field) * 2 + (filter == FIND_NULL ? 1 : 0);
    }
    return &t->owned_finds[form * 2 + (in_dossier ? 1 : 0)];
}

static void write_find(
    sqlite3_str *text, const struct table *t, const struct field *field, bool in_dossier, enum find_filter filter)
{
    sqlite3_str_appendall(text, "SELECT o.id, r._s, r._deleted, r._ver, r._extra");
    each_column(text, t->desc, put_name_of_r);
    sqlite3_str_appendf(text, " FROM \"e_%s\" r CROSS JOIN dossier o ON o.rid = r._d WHERE (r._deleted = 0 OR ?%d)",
        t->desc->name, (int)FIND_PARAM_DELETED);
    if (in_dossier) {
        sqlite3_str_appendf(text, " AND r._d = ?%d", (int)FIND_PARAM_DOSSIER);
    }
    if (filter == FIND_EQUAL) {
        sqlite3_str_appendf(text, " AND r.\"%s\" = ?%d", field->name, (int)FIND_PARAM_VALUE);
    } else if (filter == FIND_NULL) {
        sqlite3_str_appendf(text, " AND r.\"%s\" IS NULL", field->name);
    }
    sqlite3_str_appendall(text, " ORDER BY r._d, r._s");
}

/* ERR_INVALID: not a field of the entity, one without a column, or a value of another type than the field's. */
static enum err find_form(const struct table *t, const struct store_query *query, enum find_filter *out)
{
    if (query->field == NULL) {
        *out = FIND_ANY;
        return ERR_OK;
    }
    if (catalogue_field(t->desc, query->field->number) != query->field) {
        return ERR_INVALID;
    }
    enum value_type want = store_sql_column_type(query->field);
    if (want == VALUE_NULL || (query->value.type != want && query->value.type != VALUE_NULL)) {
        return ERR_INVALID;
    }
    *out = query->value.type == VALUE_NULL ? FIND_NULL : FIND_EQUAL;
    return ERR_OK;
}

struct finding {
    struct store_sqlite *q;
    struct table *t;
    const struct store_query *query;
    enum find_filter filter;
    size_t limit; /* 0: all */
    size_t visited;
    store_row_fn fn;
    void *ctx;
};

static bool is_enough(const struct finding *f)
{
    return f->limit != 0 && f->visited >= f->limit;
}

static enum err visit_found(struct finding *f, sqlite3_stmt *stmt)
{
    UNFILLED struct value values[FIELDS_PER_ENTITY_MAX];
    enum err e = ERR_OK;
    f->q->scan_depth++;
    while (e == ERR_OK && !is_enough(f)) {
        bool has_row = false;
        struct row row = { 0 };
        e = sql_step(stmt, &has_row);
        if (e != ERR_OK || !has_row) {
            break;
        }
        f->visited++;
        if ((e = read_id(stmt, &row.id)) == ERR_OK && (e = read_row(stmt, f->t->desc, values, &row)) == ERR_OK) {
            e = f->fn(f->ctx, &row);
        }
    }
    f->q->scan_depth--;
    return e;
}

/* rid 0: of all dossiers. */
static enum err find_rows(struct finding *f, int64_t rid)
{
    struct sql_slot *slot = find_slot(f->t, f->query->field, rid != 0, f->filter);
    sqlite3_stmt *stmt = sql_take_ready(slot);
    enum err e = ERR_OK;
    if (stmt == NULL) {
        sqlite3_str *text = sqlite3_str_new(f->q->db);
        write_find(text, f->t, f->query->field, rid != 0, f->filter);
        if ((e = take_written(f->q, slot, text, &stmt)) != ERR_OK) {
            return e;
        }
    }
    (void)sqlite3_bind_int(stmt, FIND_PARAM_DELETED, f->query->with_deleted ? 1 : 0);
    if (rid != 0) {
        (void)sqlite3_bind_int64(stmt, FIND_PARAM_DOSSIER, rid);
    }
    if (f->filter == FIND_EQUAL) {
        bind_value(stmt, FIND_PARAM_VALUE, f->query->value);
    }
    e = visit_found(f, stmt);
    sql_give(slot, stmt);
    return e;
}

/* Dossier by dossier, in the order of their places, which is the order of a walk. */
static enum err find_by_index(struct finding *f)
{
    struct store_index_places places = { 0 };
    uint8_t key[STORE_INDEX_KEY_BYTES];
    enum err e =
        store_index_key(f->q->index, (uint32_t)f->t->desc->entity, f->query->field->number, f->query->value, key);
    if (e == ERR_OK) {
        e = store_index_find(f->q->index, STORE_INDEX_FIELD, key, &places);
    }
    for (size_t i = 0; e == ERR_OK && i < places.count && !is_enough(f); i++) {
        e = find_rows(f, places.at[i]);
    }
    store_index_places_release(&places);
    return e;
}

enum err store_sql_row_find(struct store *s, const struct store_query *query, size_t limit, store_row_fn fn, void *ctx)
{
    struct store_sqlite *q = own(s);
    struct finding f = {
        .q = q, .t = table_of(q, query->entity), .query = query, .limit = limit, .fn = fn, .ctx = ctx
    };
    if (f.t == NULL) {
        return ERR_INVALID;
    }
    int64_t rid = 0;
    enum err e = find_form(f.t, query, &f.filter);
    if (e == ERR_OK && query->dossier != NULL) {
        e = store_sql_rid(q, *query->dossier, &rid);
        if (e == ERR_NOT_FOUND) {
            return ERR_OK; /* no dossier, no rows */
        }
    }
    if (e != ERR_OK || q->is_half_done) {
        return e != ERR_OK ? e : ERR_IO;
    }
    bool has_index = f.filter == FIND_EQUAL && rid == 0 && store_sql_is_indexed(query->field);
    return has_index ? find_by_index(&f) : find_rows(&f, rid);
}

enum err store_sql_row_count(struct store *s, enum entity entity, uint64_t *out)
{
    struct store_sqlite *q = own(s);
    struct table *t = table_of(q, entity);
    if (t == NULL) {
        return ERR_INVALID;
    }
    /* Also what was rolled back is counted among the changes: outside of transactions an equal number means an equal
     * table. */
    int64_t changes = sqlite3_total_changes64(q->db);
    if (t->has_count && t->changes_at_count == changes && !q->is_in_transaction && !store_sql_is_lost(q)) {
        *out = t->count;
        return ERR_OK;
    }
    sqlite3_stmt *stmt = NULL;
    enum err e = take_verb(q, t, ROW_COUNT, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    bool has_row = false;
    int64_t count = 0;
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK) {
        e = has_row ? sql_column_int(stmt, 0, &count) : ERR_DAMAGED;
    }
    sql_give(&t->verbs[ROW_COUNT], stmt);
    t->has_count = e == ERR_OK && !q->is_in_transaction;
    if (e == ERR_OK) {
        t->changes_at_count = changes;
        t->count = (uint64_t)count;
        *out = t->count;
    }
    return e;
}
