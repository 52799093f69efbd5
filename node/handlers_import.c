/*
 * Owns: the verb `import`: one batch of rows of a spreadsheet, validated row by row, written in commits of
 * IMPORT_ROWS_PER_COMMIT rows in one transaction. The reading of the file, progress and the refusal file are the
 * command's. Invariants: a refused row leaves nothing; a row that was imported before (same entity, targets and cells)
 * is skipped, so a rerun adds nothing; an import never changes a record that exists.
 */
#include "node/handlers_bulk.h"
#include "node/import_map.h"

#include "schema/base/check.h"

enum { ROWS_PER_COMMIT = 100, IMPORT_KEY_BYTES = STORE_MARK_BYTES };

struct importing {
    struct request *rq;
    struct import_map map;
    struct arena work; /* rows until their commit: small enough to stay in the processor's cache */
    bool is_dry_run;
    const struct member_station *station;
    struct write_group *groups;
    size_t group_count;
    uint8_t (*keys)[IMPORT_KEY_BYTES]; /* of the groups waiting for the next commit */
    uint64_t imported;
    uint64_t skipped;
    json_t *refused;
    size_t bad; /* column that the row is refused for; IMPORT_COLUMNS_MAX: none in particular */
};

static void refuse_row(struct importing *im, int64_t line, const struct why *why)
{
    bool has_column = im->bad < im->map.column_count;
    json_t *o = json_object();
    (void)json_object_set_new(o, "line", json_integer(line));
    (void)json_object_set(
        o, "column", has_column ? json_array_get(json_object_get(im->rq->args, "header"), im->bad) : json_null());
    (void)json_object_set_new(o, "field", has_column ? json_string(im->map.columns[im->bad].field->name) : json_null());
    (void)json_object_set_new(o, "reason", json_string(why->zh));
    (void)json_object_set_new(o, "reason_en", json_string(why->en));
    (void)json_array_append_new(im->refused, o);
}

/* The row's own name: what was mapped, as it stands in the file. */
static void row_key(struct importing *im, const json_t *row, uint8_t out[IMPORT_KEY_BYTES])
{
    struct bytes pieces[IMPORT_COLUMNS_MAX * 2 + 1];
    uint8_t full[16];
    size_t n = 0;
    pieces[n++] = bytes_str(im->map.desc->name);
    for (size_t i = 0; i < im->map.column_count; i++) {
        const struct import_column *c = &im->map.columns[i];
        const json_t *cell = json_array_get(row, i + 1);
        if (c->field != NULL && json_is_string(cell) && json_string_length(cell) > 0) {
            pieces[n++] = bytes_str(c->field->name);
            pieces[n++] = bytes_of(json_string_value(cell), json_string_length(cell));
        }
    }
    seal_hash(full, sizeof(full), "jipan/import-row/v1", im->rq->app->core.audit.pseudonym_key, pieces, n);
    memcpy(out, full, IMPORT_KEY_BYTES);
}

static enum err is_known(struct importing *im, const uint8_t key[IMPORT_KEY_BYTES], bool *out)
{
    struct store *s = im->rq->app->store;
    *out = true;
    for (size_t i = 0; i < im->group_count; i++) {
        if (memcmp(im->keys[i], key, IMPORT_KEY_BYTES) == 0) {
            return ERR_OK;
        }
    }
    return s->ops->imported_has(s, key, out);
}

static struct value text_value(const char *text)
{
    return value_text(bytes_str(text));
}

/* Parses the cells of one record; *any tells whether there was one. */
static enum err parse_cells(
    struct importing *im, const json_t *row, int child, struct value *values, bool *any, struct why *why)
{
    const struct entity_desc *d = child < 0 ? im->map.desc : im->map.children[child].desc;
    for (size_t i = 0; i < im->map.column_count; i++) {
        const struct import_column *c = &im->map.columns[i];
        const json_t *cell = json_array_get(row, i + 1);
        if (c->field == NULL || c->child != child || !json_is_string(cell) || json_string_length(cell) == 0) {
            continue;
        }
        im->bad = i;
        enum err e = field_parse(c->field, &im->work, bytes_of(json_string_value(cell), json_string_length(cell)),
            &values[catalogue_field_index(d, c->field)], why);
        if (e != ERR_OK) {
            return e;
        }
        *any = *any || values[catalogue_field_index(d, c->field)].type != VALUE_NULL;
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

static enum err to_record(
    struct importing *im, const struct entity_desc *d, struct value *values, struct write_record *out)
{
    struct write_field *fields = arena_array(&im->work, d->field_count, sizeof(*fields));
    size_t n = 0;
    if (fields == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < d->field_count; i++) {
        if (values[i].type != VALUE_NULL && (d->fields[i].flags & FIELD_DOSSIER) == 0 &&
            d->fields[i].merge != MERGE_DERIVED) {
            fields[n++] = (struct write_field){ .field = &d->fields[i], .value = values[i] };
        }
    }
    *out = (struct write_record){ .desc = d, .is_new = true, .fields = fields, .field_count = n };
    return ERR_OK;
}

/* One record of the row: parse, stamp, complete. ERR_NOT_FOUND: the row has nothing for it. */
static enum err make_record(
    struct importing *im, const json_t *row, int child, struct write_record *out, struct why *why)
{
    const struct entity_desc *d = child < 0 ? im->map.desc : im->map.children[child].desc;
    struct value *values = arena_array(&im->work, d->field_count, sizeof(*values));
    bool any = child < 0;
    enum err e = values == NULL ? ERR_NOMEM : parse_cells(im, row, child, values, &any, why);
    if (e != ERR_OK || !any) {
        return e == ERR_OK ? ERR_NOT_FOUND : e;
    }
    if (child >= 0 && im->map.children[child].contact_type != NULL) {
        set_code(d, values, "type", im->map.children[child].contact_type);
    }
    if (d->entity == ENTITY_CUSTOMER_ASSIGNMENT) {
        const struct field *staff = catalogue_field_by_name(d, BYTES_LIT("staff"));
        const struct field *station = catalogue_field_by_name(d, BYTES_LIT("station"));
        if (members_user_by_login(im->rq->app->members, values[catalogue_field_index(d, staff)].s) == NULL) {
            return why_set(why, ERR_INVALID, "没有这个顾问的登录名", "no consultant of that login");
        }
        set_code(d, values, "role", "sales");
        values[catalogue_field_index(d, station)] = text_value(im->station->code);
    }
    if (child < 0) {
        im->bad = IMPORT_COLUMNS_MAX; /* a rule of the whole record; a child has one column that matters */
    }
    catalogue_stamp(d, im->rq->now.wall_ms, bytes_str(im->rq->user->login), bytes_str(im->station->code), values);
    e = catalogue_complete(d, &im->work, values, why);
    return e == ERR_OK ? to_record(im, d, values, out) : e;
}

static enum err flush(struct importing *im)
{
    struct write_request wr = {
        .author = im->rq->user->number, .purpose = PURPOSE_NONE, .groups = im->groups, .group_count = im->group_count
    };
    struct app *app = im->rq->app;
    struct dot dot = { 0 };
    if (im->group_count == 0 || im->is_dry_run) {
        im->group_count = 0;
        arena_reset(&im->work);
        return ERR_OK;
    }
    enum err e = core_write(&app->core, &im->work, im->rq->now, &wr, &dot, &im->rq->why);
    for (size_t i = 0; e == ERR_OK && i < im->group_count; i++) {
        e = app->store->ops->imported_put(app->store, im->keys[i]);
    }
    im->group_count = 0;
    arena_reset(&im->work);
    return e;
}

static bool is_row_fault(enum err e)
{
    return e == ERR_INVALID || e == ERR_LIMIT || e == ERR_FORMAT || e == ERR_USAGE;
}

static enum err import_row(struct importing *im, const json_t *row)
{
    struct write_group *g = &im->groups[im->group_count];
    struct why why = { .zh = { 0 } };
    int64_t line = json_integer_value(json_array_get(row, 0));
    row_key(im, row, im->keys[im->group_count]);
    bool known = false;
    enum err e = is_known(im, im->keys[im->group_count], &known);
    if (e != ERR_OK || known) {
        im->skipped += e == ERR_OK ? 1 : 0;
        return e;
    }
    *g = (struct write_group){ .is_new = true,
        .kind = im->map.desc->home == HOME_MAIN_VEHICLE ? DOSSIER_VEHICLE : DOSSIER_CUSTOMER,
        .station = im->rq->user->station };
    g->records = arena_array(&im->work, im->map.child_count + 1, sizeof(*g->records));
    e = g->records == NULL ? ERR_NOMEM : ERR_OK;
    for (int child = -1; e == ERR_OK && child < (int)im->map.child_count; child++) {
        e = make_record(im, row, child, &g->records[g->record_count], &why);
        g->record_count += e == ERR_OK ? 1 : 0;
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    if (is_row_fault(e)) {
        refuse_row(im, line, &why);
        return ERR_OK;
    }
    if (e != ERR_OK) {
        return e;
    }
    im->imported++;
    im->group_count++;
    return im->group_count == ROWS_PER_COMMIT ? flush(im) : ERR_OK;
}

/* The rights are the same for every row: a new record at the user's own station. */
static enum err check_rights(struct importing *im)
{
    struct request *rq = im->rq;
    struct access_answer a = access_admin(rq->user->roles, ADMIN_IMPORT);
    if (a.view != VIEW_CLEAR) {
        return request_refuse(rq, &a);
    }
    for (size_t i = 0; i < im->map.column_count; i++) {
        const struct import_column *c = &im->map.columns[i];
        if (c->field == NULL) {
            continue;
        }
        const struct entity_desc *d = c->child < 0 ? im->map.desc : im->map.children[c->child].desc;
        const struct access_query q = { .roles = rq->user->roles,
            .scope = SCOPE_SELF | SCOPE_OWN | SCOPE_STATION | SCOPE_GROUP,
            .entity = d,
            .field = c->field,
            .action = ACTION_CREATE };
        a = access_decide(&q);
        if (a.view != VIEW_CLEAR) {
            return request_refuse(rq, &a);
        }
    }
    return ERR_OK;
}

static enum err read_header(struct importing *im)
{
    struct request *rq = im->rq;
    const json_t *header = json_object_get(rq->args, "header");
    size_t count = json_array_size(header);
    struct bytes headers[IMPORT_COLUMNS_MAX];
    struct bytes entity = { 0 };
    enum err e = request_need(rq, "entity", &entity);
    if (e != ERR_OK) {
        return e;
    }
    const struct entity_desc *d = catalogue_entity_by_name(entity);
    if (d == NULL || (d->home != HOME_MAIN_CUSTOMER && d->home != HOME_MAIN_VEHICLE)) {
        return why_set(&rq->why, ERR_USAGE, "可以导入 customer 或 vehicle", "customer and vehicle can be imported");
    }
    if (count == 0 || count > IMPORT_COLUMNS_MAX) {
        return why_set(
            &rq->why, ERR_USAGE, "文件第一行要有 1 到 64 个列名", "the first line must name 1 to 64 columns");
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *h = json_array_get(header, i);
        headers[i] = json_is_string(h) ? bytes_of(json_string_value(h), json_string_length(h)) : (struct bytes){ 0 };
    }
    return import_map_make(d, headers, count, request_text(rq, "map"), &im->map, &rq->why);
}

static enum err import_rows(struct importing *im, const json_t *rows)
{
    struct app *app = im->rq->app;
    enum err e = ERR_OK;
    arena_init(&im->work, &app->mem, APP_REQUEST_ARENA_BYTES);
    im->groups = arena_array(&app->arena, ROWS_PER_COMMIT, sizeof(*im->groups));
    im->keys = arena_array(&app->arena, ROWS_PER_COMMIT, sizeof(*im->keys));
    if (im->groups == NULL || im->keys == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; e == ERR_OK && i < json_array_size(rows); i++) {
        e = import_row(im, json_array_get(rows, i));
    }
    if (e == ERR_OK) {
        e = flush(im);
    }
    arena_release(&im->work);
    return e;
}

static enum err note_import(struct importing *im)
{
    struct audit_entry entry = { .event = AUDIT_IMPORT,
        .user = im->rq->user->number,
        .roles = im->rq->user->roles,
        .entity = (uint32_t)im->map.desc->entity,
        .count = im->is_dry_run ? 0 : im->imported,
        .hlc = hlc_tick(im->rq->app->core.hlc, im->rq->now) };
    return audit_append(&im->rq->app->core.audit, &im->rq->app->arena, &entry);
}

/* Headings that no target was found for: the person must know that these columns stay out. */
static json_t *ignored_columns(const struct importing *im)
{
    json_t *list = json_array();
    for (size_t i = 0; i < im->map.column_count; i++) {
        if (im->map.columns[i].field == NULL) {
            (void)json_array_append(list, json_array_get(json_object_get(im->rq->args, "header"), i));
        }
    }
    return list;
}

enum err handle_import(struct request *rq)
{
    struct importing im = { .rq = rq,
        .is_dry_run = request_flag(rq, "dry_run"),
        .station = members_station(rq->app->members, rq->user->station) };
    enum err e = im.station == NULL ? ERR_DENIED : read_header(&im);
    if (e == ERR_OK) {
        e = check_rights(&im);
    }
    if (e != ERR_OK) {
        return e;
    }
    im.refused = json_array();
    e = app_begin(rq->app);
    if (e == ERR_OK) {
        e = import_rows(&im, json_object_get(rq->args, "rows"));
        if (e == ERR_OK) {
            e = note_import(&im); /* a trial run too: it tells which rows are here already */
        }
        e = app_end(rq->app, e);
    }
    if (e != ERR_OK) {
        json_decref(im.refused);
        return e;
    }
    json_t *out = json_object();
    (void)json_object_set_new(out, "imported", json_integer((json_int_t)im.imported));
    (void)json_object_set_new(out, "skipped", json_integer((json_int_t)im.skipped));
    (void)json_object_set_new(out, "refused", im.refused);
    (void)json_object_set_new(out, "ignored", ignored_columns(&im));
    request_set(rq, out);
    return ERR_OK;
}
