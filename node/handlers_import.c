/*
 * Owns: the verb `import`: one batch of rows of a spreadsheet, validated row by row, written in commits of
 * ROWS_PER_COMMIT rows and transactions of ROWS_PER_TRANSACTION. Rows are read and made into commits on one thread
 * while on the other the commits before are applied and the rows after are looked up; only the last transaction waits
 * for the disk, and for those before it. The reading of the file, progress and the refusal file are the command's.
 *
 * Invariants: a refused row leaves nothing; a row that was imported before (same entity, targets and cells) is skipped,
 * so a rerun adds nothing; an import never changes a record that exists. Fields of `importing` under "here" are the
 * caller's thread's, those under "beside" the other's; marks and is_known of a row belong to the stage that has it.
 */
#include "node/handlers_bulk.h"
#include "node/import_rows.h"
#include "node/pipeline.h"

#include "schema/base/check.h"

enum { ROWS_PER_COMMIT = 50, ROWS_PER_TRANSACTION = 1000, BATCH_MEM_BYTES = 128 << 20, SEEN_SLOTS_MIN = 16 };

/* Rows on their way into one commit. */
struct batch {
    struct mem mem;
    struct arena work;
    size_t first; /* row */
    size_t row_count;
    struct import_cells cells[ROWS_PER_COMMIT]; /* of the rows */
    struct write_group groups[ROWS_PER_COMMIT];
    const uint8_t *marks[ROWS_PER_COMMIT]; /* of the groups */
    size_t count;
    struct made *made; /* NULL: nothing to write */
};

struct importing {
    struct request *rq;
    struct import_rows rows;
    bool is_dry_run;
    const json_t *list;
    struct batch *batches; /* one for each slot of the pipeline */
    uint8_t (*marks)[STORE_MARK_BYTES]; /* of the rows that were read */
    bool *is_known; /* which of those that were found were imported before this request */

    /* here */
    uint64_t taken; /* rows of the open transaction */

    /* beside */
    size_t next; /* row */
    struct write_line line;
    uint32_t *seen; /* open addressing over the marks accepted so far: row + 1 */
    size_t seen_mask;
    uint64_t imported;
    uint64_t skipped;
    json_t *refused;
    struct why why;
};

static void refuse_row(struct importing *im, int64_t line, size_t bad, const struct why *why)
{
    const struct import_map *map = &im->rows.map;
    bool has_column = bad < map->column_count;
    json_t *o = json_object();
    (void)json_object_set_new(o, "line", json_integer(line));
    (void)json_object_set(
        o, "column", has_column ? json_array_get(json_object_get(im->rq->args, "header"), bad) : json_null());
    (void)json_object_set_new(o, "field", has_column ? json_string(map->columns[bad].field->name) : json_null());
    (void)json_object_set_new(o, "reason", json_string(why->zh));
    (void)json_object_set_new(o, "reason_en", json_string(why->en));
    (void)json_array_append_new(im->refused, o);
}

/* Where a mark stands in `seen`, or the free place where it would. Marks are keyed hashes: any of their bytes will do.
 */
static uint32_t *seen_place(struct importing *im, const uint8_t mark[STORE_MARK_BYTES])
{
    size_t at = 0;
    memcpy(&at, mark, sizeof(at));
    for (;; at++) {
        uint32_t *place = &im->seen[at & im->seen_mask];
        if (*place == 0 || memcmp(im->marks[*place - 1], mark, STORE_MARK_BYTES) == 0) {
            return place;
        }
    }
}

static bool is_row_fault(enum err e)
{
    return e == ERR_INVALID || e == ERR_LIMIT || e == ERR_FORMAT || e == ERR_USAGE;
}

static enum err make_row(struct importing *im, struct batch *b, size_t row)
{
    uint32_t *place = seen_place(im, im->marks[row]);
    const struct import_cells *cells = &b->cells[row - b->first];
    UNFILLED struct why why;
    size_t bad = IMPORT_COLUMNS_MAX;
    why_clear(&why);
    if (im->is_known[row] || *place != 0) {
        im->skipped++;
        return ERR_OK;
    }
    enum err e = import_row_group(&im->rows, cells, &b->work, &b->groups[b->count], &bad, &why);
    if (is_row_fault(e)) {
        refuse_row(im, cells->line, bad, &why);
        return ERR_OK;
    }
    if (e == ERR_OK) {
        *place = (uint32_t)row + 1;
        b->marks[b->count++] = im->marks[row];
        im->imported++;
    }
    return e;
}

static enum err read_row(struct importing *im, size_t row, struct import_cells *out)
{
    const json_t *text = json_array_get(im->list, row);
    bool is_row = json_is_string(text) &&
                  import_cells_take(bytes_of(json_string_value(text), json_string_length(text)), out) == ERR_OK;
    return is_row ? ERR_OK
                  : why_set(&im->why, ERR_USAGE, "请求里有一行不是表格的行",
                        "the request holds a row that is no row of a spreadsheet");
}

static enum err read_batch(void *ctx, size_t slot)
{
    struct importing *im = ctx;
    struct batch *b = &im->batches[slot];
    size_t left = json_array_size(im->list) - im->next;
    enum err e = left == 0 ? ERR_NOT_FOUND : ERR_OK;
    b->first = im->next;
    b->row_count = left < ROWS_PER_COMMIT ? left : ROWS_PER_COMMIT;
    for (size_t i = 0; e == ERR_OK && i < b->row_count; i++, im->next++) {
        e = read_row(im, im->next, &b->cells[i]);
        if (e == ERR_OK) {
            import_row_mark(&im->rows, &b->cells[i], im->marks[im->next]);
        }
    }
    return e;
}

/* The other thread has no way to the store. */
static enum err find_batch(void *ctx, size_t slot)
{
    struct importing *im = ctx;
    const struct batch *b = &im->batches[slot];
    struct store *s = im->rq->app->store;
    enum err e = ERR_OK;
    for (size_t row = b->first; e == ERR_OK && row < b->first + b->row_count; row++) {
        e = s->ops->imported_has(s, im->marks[row], &im->is_known[row]);
    }
    return e;
}

static enum err make_batch(void *ctx, size_t slot)
{
    struct importing *im = ctx;
    struct batch *b = &im->batches[slot];
    struct write_request wr = { .author = im->rq->user->number, .purpose = PURPOSE_NONE, .groups = b->groups };
    enum err e = ERR_OK;
    b->count = 0;
    for (size_t i = 0; e == ERR_OK && i < b->row_count; i++) {
        e = make_row(im, b, b->first + i);
    }
    wr.group_count = b->count;
    if (e == ERR_OK && b->count > 0 && !im->is_dry_run) {
        im->line.mem = &b->mem;
        e = core_make(&im->rq->app->core, &im->line, &b->work, im->rq->now, &wr, &b->made, &im->why);
    }
    return e;
}

static void empty_batch(struct batch *b)
{
    core_made_release(b->made);
    b->made = NULL;
    arena_reset(&b->work);
}

static enum err note_import(struct importing *im)
{
    struct audit_entry entry = { .event = AUDIT_IMPORT,
        .user = im->rq->user->number,
        .roles = im->rq->user->roles,
        .entity = (uint32_t)im->rows.map.desc->entity,
        .count = im->taken,
        .hlc = hlc_tick(im->rq->app->core.hlc, im->rq->now) };
    im->taken = 0;
    return audit_append(&im->rq->app->core.audit, &im->rq->app->arena, &entry);
}

static bool has_more(const struct importing *im, const struct batch *b)
{
    return b->first + b->row_count < json_array_size(im->list);
}

static enum err take_batch(void *ctx, size_t slot)
{
    struct importing *im = ctx;
    struct batch *b = &im->batches[slot];
    struct app *app = im->rq->app;
    enum err e = b->made == NULL ? ERR_OK : core_take_made(&app->core, b->made);
    for (size_t i = 0; e == ERR_OK && b->made != NULL && i < b->count; i++) {
        e = app->store->ops->imported_put(app->store, b->marks[i]);
    }
    im->taken += b->made == NULL ? 0 : b->count;
    empty_batch(b);
    if (e == ERR_OK && im->taken >= ROWS_PER_TRANSACTION && has_more(im, b)) {
        e = note_import(im);
        e = e == ERR_OK ? app_commit_more(app) : e;
    }
    return e;
}

static enum err prepare(struct importing *im)
{
    struct app *app = im->rq->app;
    size_t count = json_array_size(im->list);
    size_t slots = SEEN_SLOTS_MIN;
    while (slots < count * 2) {
        slots *= 2;
    }
    im->seen_mask = slots - 1;
    im->seen = arena_array(&app->arena, slots, sizeof(*im->seen));
    im->marks = arena_array(&app->arena, count + 1, sizeof(*im->marks));
    im->is_known = arena_array(&app->arena, count + 1, sizeof(*im->is_known));
    im->batches = arena_array(&app->arena, PIPELINE_SLOTS, sizeof(*im->batches));
    if (im->seen == NULL || im->marks == NULL || im->is_known == NULL || im->batches == NULL) {
        return ERR_NOMEM;
    }
    return core_line_start(&app->core, NULL, &im->line);
}

static enum err import_rows(struct importing *im)
{
    struct app *app = im->rq->app;
    const struct pipeline p = { .stage = { [PIPELINE_READ] = read_batch,
                                    [PIPELINE_FIND] = find_batch,
                                    [PIPELINE_MAKE] = make_batch,
                                    [PIPELINE_TAKE] = take_batch },
        .ctx = im };
    enum err e = prepare(im);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t i = 0; i < PIPELINE_SLOTS; i++) {
        im->batches[i].mem =
            (struct mem){ .resize = app->mem.resize, .ctx = app->mem.ctx, .max_bytes = BATCH_MEM_BYTES };
        arena_init(&im->batches[i].work, &im->batches[i].mem, BATCH_MEM_BYTES);
    }
    e = pipeline_run(&p, app->may_thread);
    for (size_t i = 0; i < PIPELINE_SLOTS; i++) {
        empty_batch(&im->batches[i]);
        arena_release(&im->batches[i].work);
    }
    if (im->why.zh[0] != '\0') {
        im->rq->why = im->why;
    }
    return e;
}

/* The rights are the same for every row: a new record at the user's own station. */
static enum err check_rights(struct importing *im)
{
    struct request *rq = im->rq;
    struct access_answer a = access_admin(rq->user->roles, ADMIN_IMPORT);
    if (a.view != VIEW_CLEAR) {
        return request_refuse(rq, &a);
    }
    for (size_t i = 0; i < im->rows.map.column_count; i++) {
        const struct import_column *c = &im->rows.map.columns[i];
        if (c->field == NULL) {
            continue;
        }
        const struct entity_desc *d = c->child < 0 ? im->rows.map.desc : im->rows.map.children[c->child].desc;
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
    return import_map_make(d, headers, count, request_text(rq, "map"), &im->rows.map, &rq->why);
}

/* Headings that no target was found for: the person must know that these columns stay out. */
static json_t *ignored_columns(const struct importing *im)
{
    json_t *list = json_array();
    for (size_t i = 0; i < im->rows.map.column_count; i++) {
        if (im->rows.map.columns[i].field == NULL) {
            (void)json_array_append(list, json_array_get(json_object_get(im->rq->args, "header"), i));
        }
    }
    return list;
}

enum err handle_import(struct request *rq)
{
    struct importing im = { .rq = rq,
        .is_dry_run = request_flag(rq, "dry_run"),
        .list = json_object_get(rq->args, "rows"),
        .rows = { .members = rq->app->members,
            .user = rq->user,
            .station = members_station(rq->app->members, rq->user->station),
            .mark_key = rq->app->core.audit.pseudonym_key,
            .wall_ms = rq->now.wall_ms } };
    enum err e = im.rows.station == NULL ? ERR_DENIED : read_header(&im);
    if (e == ERR_OK) {
        e = check_rights(&im);
    }
    if (e != ERR_OK) {
        return e;
    }
    im.refused = json_array();
    e = app_begin(rq->app);
    if (e == ERR_OK) {
        e = import_rows(&im);
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
