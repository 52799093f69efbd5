/*
 * Owns: one row of a spreadsheet as a new dossier: parse, stamp, complete. Invariant: what comes out has passed every
 * check of the catalogue. Knows neither the store nor which rows were imported before.
 */
#include "node/import_rows.h"

#include "schema/base/check.h"
#include "sync/seal.h"

struct making {
    const struct import_rows *ir;
    const struct import_cells *row;
    struct arena *a;
    size_t *bad;
    struct why *why;
};

/* A row may be shorter or longer than the header. */
static size_t columns_of(const struct import_rows *ir, const struct import_cells *row)
{
    return row->count < ir->map.column_count ? row->count : ir->map.column_count;
}

void import_row_mark(const struct import_rows *ir, const struct import_cells *row, uint8_t out[STORE_MARK_BYTES])
{
    UNFILLED struct bytes pieces[IMPORT_COLUMNS_MAX * 2 + 1];
    uint8_t full[16];
    size_t n = 0;
    pieces[n++] = bytes_str(ir->map.desc->name);
    for (size_t i = 0; i < columns_of(ir, row); i++) {
        const struct import_column *c = &ir->map.columns[i];
        if (c->field != NULL && row->at[i].len > 0) {
            pieces[n++] = bytes_str(c->field->name);
            pieces[n++] = row->at[i];
        }
    }
    seal_hash(full, sizeof(full), "jipan/import-row/v1", ir->mark_key, pieces, n);
    memcpy(out, full, STORE_MARK_BYTES);
}

static struct value text_value(const char *text)
{
    return value_text(bytes_str(text));
}

static const struct entity_desc *entity_of(const struct import_rows *ir, int child)
{
    return child < 0 ? ir->map.desc : ir->map.children[child].desc;
}

/* Parses the cells of one record; *any tells whether there was one. */
static enum err parse_cells(struct making *m, int child, struct value *values, bool *any)
{
    const struct entity_desc *d = entity_of(m->ir, child);
    for (size_t i = 0; i < columns_of(m->ir, m->row); i++) {
        const struct import_column *c = &m->ir->map.columns[i];
        if (c->field == NULL || c->child != child || m->row->at[i].len == 0) {
            continue;
        }
        struct value *value = &values[catalogue_field_index(d, c->field)];
        *m->bad = i;
        enum err e = field_parse(c->field, m->a, m->row->at[i], value, m->why);
        if (e != ERR_OK) {
            return e;
        }
        *any = *any || value->type != VALUE_NULL;
    }
    return ERR_OK;
}

static void set_code(const struct entity_desc *d, struct value *values, const char *field, const char *code)
{
    const struct field *f = catalogue_field_by_name(d, bytes_str(field));
    check(f != NULL && f->codes != NULL);
    const struct code *c = code_by_text(f->codes, bytes_str(code));
    check(c != NULL);
    values[catalogue_field_index(d, f)] = value_int(c->number);
}

static bool is_written(const struct entity_desc *d, const struct value *values, size_t i)
{
    return values[i].type != VALUE_NULL && (d->fields[i].flags & FIELD_DOSSIER) == 0 &&
           d->fields[i].merge != MERGE_DERIVED;
}

static enum err to_record(
    struct making *m, const struct entity_desc *d, const struct value *values, struct write_record *out)
{
    size_t n = 0;
    for (size_t i = 0; i < d->field_count; i++) {
        n += is_written(d, values, i) ? 1 : 0;
    }
    struct write_field *fields = arena_array(m->a, n, sizeof(*fields));
    if (fields == NULL) {
        return ERR_NOMEM;
    }
    *out = (struct write_record){ .desc = d, .is_new = true, .fields = fields, .field_count = n };
    for (size_t i = d->field_count; i-- > 0;) {
        if (is_written(d, values, i)) {
            n--;
            fields[n].field = &d->fields[i];
            fields[n].value = values[i];
        }
    }
    return ERR_OK;
}

static enum err assign(struct making *m, const struct entity_desc *d, struct value *values)
{
    const struct field *staff = catalogue_field_by_name(d, BYTES_LIT("staff"));
    const struct field *station = catalogue_field_by_name(d, BYTES_LIT("station"));
    if (members_user_by_login(m->ir->members, values[catalogue_field_index(d, staff)].s) == NULL) {
        return why_set(m->why, ERR_INVALID, "没有这个顾问的登录名", "no consultant of that login");
    }
    set_code(d, values, "role", "sales");
    values[catalogue_field_index(d, station)] = text_value(m->ir->station->code);
    return ERR_OK;
}

/* One record of the row. ERR_NOT_FOUND: the row has nothing for it. */
static enum err make_record(struct making *m, int child, struct write_record *out)
{
    const struct entity_desc *d = entity_of(m->ir, child);
    struct value *values = arena_array(m->a, d->field_count, sizeof(*values));
    bool any = child < 0;
    enum err e = values == NULL ? ERR_NOMEM : parse_cells(m, child, values, &any);
    if (e != ERR_OK || !any) {
        return e == ERR_OK ? ERR_NOT_FOUND : e;
    }
    if (child >= 0 && m->ir->map.children[child].contact_type != NULL) {
        set_code(d, values, "type", m->ir->map.children[child].contact_type);
    }
    if (d->entity == ENTITY_CUSTOMER_ASSIGNMENT) {
        e = assign(m, d, values);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (child < 0) {
        *m->bad = IMPORT_COLUMNS_MAX; /* a rule of the whole record; a child has one column that matters */
    }
    catalogue_stamp(d, m->ir->wall_ms, bytes_str(m->ir->user->login), bytes_str(m->ir->station->code), values);
    e = catalogue_complete(d, m->a, values, m->why);
    return e == ERR_OK ? to_record(m, d, values, out) : e;
}

enum err import_row_group(const struct import_rows *ir, const struct import_cells *row, struct arena *a,
    struct write_group *out, size_t *bad, struct why *why)
{
    struct making m = { .ir = ir, .row = row, .a = a, .bad = bad, .why = why };
    *out = (struct write_group){ .is_new = true,
        .kind = ir->map.desc->home == HOME_MAIN_VEHICLE ? DOSSIER_VEHICLE : DOSSIER_CUSTOMER,
        .station = ir->user->station };
    out->records = arena_array(a, ir->map.child_count + 1, sizeof(*out->records));
    enum err e = out->records == NULL ? ERR_NOMEM : ERR_OK;
    for (int child = -1; e == ERR_OK && child < (int)ir->map.child_count; child++) {
        e = make_record(&m, child, &out->records[out->record_count]);
        out->record_count += e == ERR_OK ? 1 : 0;
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    return e;
}
