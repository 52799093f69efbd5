/*
 * Owns: the verbs `export` and `dump`: pages of rows through the field view, dossier by dossier in the order of dossier
 * ids, which depends on no value. Invariants: nothing is shown that `get` would not show; the audit entry of a page is
 * durable before the page leaves.
 */
#include "node/handlers_bulk.h"
#include "node/view.h"

/* A page ends with the dossier, or inside one (the book of a station has no end), long before a reply gets too long. */
enum { PAGE_DOSSIERS = 200, PAGE_BYTES = 1 << 20, ROW_ARENA_BYTES = 64 << 20, INSIDE_BYTES = 1 + RECORD_ID_BYTES };

/* The last row of the page before; only the dossier is set when that was sent whole. */
struct cursor {
    bool is_set;
    bool is_inside;
    struct dossier_id dossier;
    uint32_t entity;
    struct record_id record;
};

struct paging {
    struct request *rq;
    struct viewing v;
    struct arena scratch; /* one row; reset before the next */
    const struct entity_desc *only; /* export: one entity; dump: NULL */
    json_t *rows;
    size_t bytes; /* of text in rows */
    struct cursor after;
    struct cursor last; /* the row seen last */
    struct dossier_id ids[PAGE_DOSSIERS];
    size_t count;
    bool has_more_dossiers;
    bool is_full; /* stopped inside a dossier: last is where the next page goes on */
};

struct rows_of {
    struct paging *p;
    const struct entity_desc *desc;
    struct audit_entry *note; /* about the rows of one dossier that left; NULL until the first */
};

/* --- one row
 * --------------------------------------------------------------------------------------------------------- */

static struct audit_entry *note_of(struct rows_of *ro, const struct row *row)
{
    struct paging *p = ro->p;
    if (ro->note == NULL) {
        ro->note = view_note(&p->v, p->only == NULL ? AUDIT_DUMP : AUDIT_EXPORT, ro->desc, NULL);
        if (ro->note != NULL) {
            view_note_dossier(&p->v, ro->note, record_dossier(row->id));
        }
    }
    return ro->note;
}

/*
 * The text of a value, noted; NULL where the viewer sees nothing. An export asks for the right to export: a person of
 * several roles may see more by one of them than another lets him carry away.
 */
static enum err show(struct rows_of *ro, const struct view_facts *facts, const struct row *row, const struct field *f,
    enum view least, json_t **out)
{
    struct paging *p = ro->p;
    struct value value = row->values[catalogue_field_index(ro->desc, f)];
    json_t *cell = NULL;
    *out = NULL;
    if (value.type == VALUE_NULL) {
        return ERR_OK;
    }
    struct access_answer answer = view_ask(&p->v, facts, ro->desc, f, p->only == NULL ? ACTION_READ : ACTION_EXPORT);
    if (answer.view < least) {
        return ERR_OK;
    }
    struct audit_entry *note = note_of(ro, row);
    enum err e = note == NULL ? ERR_NOMEM : view_value(&p->v, f, value, &answer, note, &cell);
    if (e == ERR_OK && cell != NULL) {
        *out = json_incref(json_object_get(cell, "value"));
        p->bytes += json_string_length(*out);
    }
    json_decref(cell);
    return e;
}

/* One spreadsheet row: id, then every field in catalogue order; empty where the viewer may see nothing. */
static enum err add_cells(struct rows_of *ro, const struct view_facts *facts, const struct row *row)
{
    json_t *cells = json_array();
    bool is_empty = true;
    enum err e = json_array_append_new(cells, view_record_id(ro->desc, row->id)) == 0 ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; e == ERR_OK && i < ro->desc->field_count; i++) {
        const struct field *f = &ro->desc->fields[i];
        json_t *text = NULL;
        if ((f->flags & FIELD_HIDDEN) != 0) {
            continue;
        }
        e = show(ro, facts, row, f, VIEW_MASKED, &text);
        is_empty = is_empty && text == NULL;
        if (e == ERR_OK) {
            e = json_array_append_new(cells, text == NULL ? json_string("") : text) == 0 ? ERR_OK : ERR_NOMEM;
        }
    }
    if (e == ERR_OK && !is_empty) {
        ro->note->count++;
        ro->p->bytes += ID_TEXT_BYTES;
        (void)json_array_append(ro->p->rows, cells);
    }
    json_decref(cells);
    return e;
}

/* One line per value that stands there in clear; derived values are left out, they follow from the rest. */
static enum err add_lines(struct rows_of *ro, const struct view_facts *facts, const struct row *row)
{
    json_t *id = view_record_id(ro->desc, row->id);
    size_t before = json_array_size(ro->p->rows);
    enum err e = id == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < ro->desc->field_count; i++) {
        const struct field *f = &ro->desc->fields[i];
        json_t *text = NULL;
        if (f->merge == MERGE_DERIVED) {
            continue;
        }
        e = show(ro, facts, row, f, VIEW_CLEAR, &text);
        if (e == ERR_OK && text != NULL) {
            json_t *line = json_pack("[O, s, o]", id, f->name, text);
            e = json_array_append_new(ro->p->rows, line) == 0 ? ERR_OK : ERR_NOMEM;
            ro->p->bytes += ID_TEXT_BYTES + strlen(f->name);
        }
    }
    if (e == ERR_OK && json_array_size(ro->p->rows) > before) {
        ro->note->count++;
    }
    json_decref(id);
    return e;
}

static bool is_for_viewer(const struct paging *p, const struct view_facts *facts, const struct entity_desc *d)
{
    return p->only == NULL ? view_sees_row(&p->v, facts, d, false)
                           : view_ask(&p->v, facts, d, NULL, ACTION_EXPORT).view >= VIEW_MASKED;
}

static bool was_sent(const struct paging *p, const struct row *row)
{
    return p->after.is_inside && (uint32_t)row->entity == p->after.entity &&
           dossier_id_compare(record_dossier(row->id), p->after.dossier) == 0 &&
           memcmp(row->id.b, p->after.record.b, sizeof(row->id.b)) <= 0;
}

static enum err add_row(void *ctx, const struct row *row)
{
    struct rows_of *ro = ctx;
    struct paging *p = ro->p;
    struct view_facts facts;
    struct row full;
    if (was_sent(p, row)) {
        return ERR_OK;
    }
    if (p->bytes >= PAGE_BYTES) {
        p->is_full = true;
        return ERR_EXISTS;
    }
    arena_reset(&p->scratch);
    p->last = (struct cursor){ .is_set = true,
        .is_inside = true,
        .dossier = record_dossier(row->id),
        .entity = (uint32_t)row->entity,
        .record = row->id };
    enum err e = view_facts_of_row(&p->v, ro->desc, row, &facts);
    if (e != ERR_OK || !is_for_viewer(p, &facts, ro->desc)) {
        return e;
    }
    e = view_fill(&p->v, &facts, ro->desc, row, &full);
    if (e != ERR_OK) {
        return e;
    }
    return p->only == NULL ? add_lines(ro, &facts, &full) : add_cells(ro, &facts, &full);
}

/* --- one page
 * -------------------------------------------------------------------------------------------------------- */

static enum err add_entity(struct paging *p, const struct entity_desc *d, const struct dossier_id *id)
{
    struct rows_of ro = { .p = p, .desc = d };
    const struct store_query q = { .entity = d->entity, .dossier = id };
    enum err e = p->rq->app->store->ops->row_find(p->rq->app->store, &q, 0, add_row, &ro);
    return e == ERR_EXISTS && p->is_full ? ERR_OK : e;
}

/* Entities in the order of the catalogue; those before the cursor have left with the page before. */
static enum err add_dossier(struct paging *p, const struct dossier_id *id)
{
    size_t count = 0;
    const struct entity_desc *list = catalogue_entities(&count);
    bool is_ahead = !p->after.is_inside || dossier_id_compare(*id, p->after.dossier) != 0;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && !p->is_full && i < count; i++) {
        is_ahead = is_ahead || (uint32_t)list[i].entity == p->after.entity;
        if (is_ahead && (p->only == NULL || p->only == &list[i])) {
            e = add_entity(p, &list[i], id);
        }
    }
    return e;
}

static enum err collect_dossier(void *ctx, const struct dossier *d)
{
    struct paging *p = ctx;
    if (p->count == PAGE_DOSSIERS) {
        p->has_more_dossiers = true;
        return ERR_EXISTS;
    }
    p->ids[p->count++] = d->id;
    return ERR_OK;
}

/* In hex: the dossier, or the entity and the record where a page ended inside one. */
static json_t *cursor_json(const struct cursor *c)
{
    char text[2 * INSIDE_BYTES + 1];
    uint8_t inside[INSIDE_BYTES] = { (uint8_t)c->entity };
    memcpy(inside + 1, c->record.b, RECORD_ID_BYTES);
    hex_text(c->is_inside ? BYTES_OF(inside) : BYTES_OF(c->dossier.b), text);
    return json_string(text);
}

static enum err take_cursor(struct request *rq, struct cursor *out)
{
    struct bytes text = request_text(rq, "after");
    struct cursor c = { .is_set = text.len > 0, .is_inside = text.len == 2 * (size_t)INSIDE_BYTES };
    uint8_t inside[INSIDE_BYTES] = { 0 };
    if (c.is_inside ? hex_parse(text, inside, sizeof(inside)) != ERR_OK
                    : c.is_set && hex_parse(text, c.dossier.b, sizeof(c.dossier.b)) != ERR_OK) {
        return ERR_USAGE;
    }
    if (c.is_inside) {
        c.entity = inside[0];
        memcpy(c.record.b, inside + 1, RECORD_ID_BYTES);
        c.dossier = record_dossier(c.record);
    }
    *out = c;
    return ERR_OK;
}

static json_t *page_json(const struct paging *p)
{
    json_t *out = json_object();
    json_t *header = json_array();
    (void)json_array_append_new(header, json_string("id"));
    for (size_t i = 0; p->only != NULL && i < p->only->field_count; i++) {
        if ((p->only->fields[i].flags & FIELD_HIDDEN) == 0) {
            (void)json_array_append_new(header, json_string(p->only->fields[i].name));
        }
    }
    (void)json_object_set_new(out, "header", header);
    (void)json_object_set(out, "rows", p->rows);
    if (p->is_full) {
        (void)json_object_set_new(out, "next", cursor_json(&p->last));
    } else if (p->has_more_dossiers) {
        const struct cursor whole = { .dossier = p->ids[p->count - 1] };
        (void)json_object_set_new(out, "next", cursor_json(&whole));
    }
    return out;
}

static enum err fill_page(struct paging *p)
{
    struct store *store = p->rq->app->store;
    if (p->after.is_inside) {
        p->ids[p->count++] = p->after.dossier;
    }
    enum err e = store->ops->dossier_scan(store, p->after.is_set ? &p->after.dossier : NULL, collect_dossier, p);
    e = e == ERR_EXISTS && p->has_more_dossiers ? ERR_OK : e;
    for (size_t i = 0; e == ERR_OK && !p->is_full && i < p->count; i++) {
        e = add_dossier(p, &p->ids[i]);
    }
    return e;
}

static enum err run_page(struct paging *p)
{
    struct app *app = p->rq->app;
    enum err e = take_cursor(p->rq, &p->after);
    if (e != ERR_OK) {
        return e;
    }
    arena_init(&p->scratch, &app->mem, ROW_ARENA_BYTES);
    p->rows = json_array();
    p->v.a = &p->scratch;
    e = fill_page(p);
    p->v.a = &app->arena;
    arena_release(&p->scratch);
    if (e == ERR_OK) {
        e = view_release(&p->v, page_json(p));
    }
    json_decref(p->rows);
    return e;
}

static enum err do_export(struct request *rq)
{
    struct paging p = { .rq = rq };
    struct bytes entity = { 0 };
    struct bytes format = request_text(rq, "format");
    if (format.len > 0 && !bytes_equal(format, BYTES_LIT("csv"))) {
        return why_set(&rq->why, ERR_USAGE, "目前只能导出 csv", "only csv can be exported for now");
    }
    enum err e = request_need_right(rq, ADMIN_EXPORT);
    if (e == ERR_OK) {
        e = view_begin(&p.v, rq);
    }
    if (e == ERR_OK) {
        e = request_need(rq, "entity", &entity);
    }
    if (e == ERR_OK) {
        e = view_parse_entity(&p.v, entity, &p.only);
    }
    if (e != ERR_OK) {
        return e;
    }
    struct access_answer answer = view_ask(&p.v, NULL, p.only, NULL, ACTION_EXPORT);
    return answer.view >= VIEW_MASKED ? run_page(&p) : view_deny(&p.v, p.only, NULL, NULL, &answer);
}

static enum err do_dump(struct request *rq)
{
    struct paging p = { .rq = rq };
    enum err e = request_need_right(rq, ADMIN_DUMP);
    if (e == ERR_OK) {
        e = view_begin(&p.v, rq);
    }
    if (e == ERR_OK) { /* without a purpose there would be books of stations only, and they would look like all */
        e = view_enter(&p.v, catalogue_entity(ENTITY_CUSTOMER), NULL);
    }
    return e == ERR_OK ? run_page(&p) : e;
}

const struct request_verb handlers_bulk[] = {
    { "import", handle_import, 0 },
    { "export", do_export, 0 },
    { "dump", do_dump, 0 },
    { NULL, NULL, 0 },
};
