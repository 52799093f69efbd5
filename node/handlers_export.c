/*
 * Owns: the verbs `export` and `dump`: pages of rows through the field view, dossier by dossier in the order of dossier
 * ids, which depends on no value. Invariants: nothing is shown that `get` would not show; the audit entry of a page is
 * durable before the page leaves.
 */
#include "node/handlers_bulk.h"
#include "node/view.h"

enum { PAGE_DOSSIERS = 200 };

struct paging {
    struct request *rq;
    struct viewing v;
    const struct entity_desc *only; /* export: one entity; dump: NULL */
    json_t *rows;
    struct dossier_id ids[PAGE_DOSSIERS];
    size_t count;
    bool has_more;
};

struct rows_of {
    struct paging *p;
    const struct entity_desc *desc;
    struct audit_entry *note; /* about the rows of one dossier that left; NULL until the first */
};

static const char *text_of(const json_t *fields, const char *name)
{
    const char *text = json_string_value(json_object_get(json_object_get(fields, name), "value"));
    return text == NULL ? "" : text;
}

/* One spreadsheet row: id, then every field in catalogue order; empty where the viewer may see nothing. */
static void add_cells(struct rows_of *ro, const json_t *record)
{
    json_t *cells = json_array();
    const json_t *fields = json_object_get(record, "fields");
    (void)json_array_append(cells, json_object_get(record, "id"));
    for (size_t i = 0; i < ro->desc->field_count; i++) {
        if ((ro->desc->fields[i].flags & FIELD_HIDDEN) == 0) {
            (void)json_array_append_new(cells, json_string(text_of(fields, ro->desc->fields[i].name)));
        }
    }
    (void)json_array_append_new(ro->p->rows, cells);
}

/* One line per value that stands there in clear; derived values are left out, they follow from the rest. */
static void add_lines(struct rows_of *ro, const json_t *record)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    const json_t *fields = json_object_get(record, "fields");
    for (size_t i = 0; i < ro->desc->field_count; i++) {
        const struct field *f = &ro->desc->fields[i];
        const json_t *value = json_object_get(fields, f->name);
        const char *view = json_string_value(json_object_get(value, "view"));
        if (f->merge == MERGE_DERIVED || view == NULL || strcmp(view, "clear") != 0) {
            continue;
        }
        (void)json_array_append_new(ro->p->rows, json_pack("[s, s, O]", id, f->name, json_object_get(value, "value")));
    }
}

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

static enum err add_row(void *ctx, const struct row *row)
{
    struct rows_of *ro = ctx;
    struct view_facts facts;
    struct row full;
    json_t *record = NULL;
    enum err e = view_facts_of_row(&ro->p->v, ro->desc, row, &facts);
    if (e != ERR_OK || !view_sees_row(&ro->p->v, &facts, ro->desc, false)) {
        return e;
    }
    if (ro->p->only != NULL && view_ask(&ro->p->v, &facts, ro->desc, NULL, ACTION_EXPORT).view < VIEW_MASKED) {
        return ERR_OK;
    }
    e = view_fill(&ro->p->v, &facts, ro->desc, row, &full);
    struct audit_entry *note = e == ERR_OK ? note_of(ro, row) : NULL;
    if (e == ERR_OK) {
        e = note == NULL ? ERR_NOMEM : view_record(&ro->p->v, &facts, ro->desc, &full, note, &record);
    }
    if (e == ERR_OK && record != NULL) {
        note->count++;
        if (ro->p->only != NULL) {
            add_cells(ro, record);
        } else {
            add_lines(ro, record);
        }
    }
    json_decref(record);
    return e;
}

static enum err add_entity(struct paging *p, const struct entity_desc *d, const struct dossier_id *id)
{
    struct rows_of ro = { .p = p, .desc = d };
    const struct store_query q = { .entity = d->entity, .dossier = id };
    return p->rq->app->store->ops->row_find(p->rq->app->store, &q, 0, add_row, &ro);
}

static enum err collect_dossier(void *ctx, const struct dossier *d)
{
    struct paging *p = ctx;
    if (p->count == PAGE_DOSSIERS) {
        p->has_more = true;
        return ERR_BUSY;
    }
    p->ids[p->count++] = d->id;
    return ERR_OK;
}

static enum err add_dossier(struct paging *p, const struct dossier_id *id)
{
    size_t count = 0;
    const struct entity_desc *list = catalogue_entities(&count);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        if (p->only == NULL || p->only == &list[i]) {
            e = add_entity(p, &list[i], id);
        }
    }
    return e;
}

static json_t *page_json(const struct paging *p)
{
    json_t *out = json_object();
    json_t *header = json_array();
    char next[2 * DOSSIER_ID_BYTES + 1];
    (void)json_array_append_new(header, json_string("id"));
    for (size_t i = 0; p->only != NULL && i < p->only->field_count; i++) {
        if ((p->only->fields[i].flags & FIELD_HIDDEN) == 0) {
            (void)json_array_append_new(header, json_string(p->only->fields[i].name));
        }
    }
    (void)json_object_set_new(out, "header", header);
    (void)json_object_set(out, "rows", p->rows);
    if (p->has_more) {
        hex_text(BYTES_OF(p->ids[p->count - 1].b), next);
        (void)json_object_set_new(out, "next", json_string(next));
    }
    return out;
}

static enum err run_page(struct paging *p)
{
    struct request *rq = p->rq;
    struct bytes after = request_text(rq, "after");
    struct dossier_id from;
    if (after.len > 0 && hex_parse(after, from.b, sizeof(from.b)) != ERR_OK) {
        return ERR_USAGE;
    }
    enum err e = rq->app->store->ops->dossier_scan(rq->app->store, after.len == 0 ? NULL : &from, collect_dossier, p);
    e = e == ERR_BUSY ? ERR_OK : e;
    p->rows = json_array();
    for (size_t i = 0; e == ERR_OK && i < p->count; i++) {
        e = add_dossier(p, &p->ids[i]);
    }
    if (e == ERR_OK) {
        e = view_release(&p->v, page_json(p));
    }
    json_decref(p->rows);
    return e;
}

static enum err need_right(struct request *rq, enum admin_right right)
{
    const struct access_answer a = access_admin(rq->user->roles, right);
    return a.view == VIEW_CLEAR ? ERR_OK : request_refuse(rq, &a);
}

static enum err do_export(struct request *rq)
{
    struct paging p = { .rq = rq };
    struct bytes entity = { 0 };
    struct bytes format = request_text(rq, "format");
    if (format.len > 0 && !bytes_equal(format, BYTES_LIT("csv"))) {
        return why_set(&rq->why, ERR_USAGE, "目前只能导出 csv", "only csv can be exported for now");
    }
    enum err e = need_right(rq, ADMIN_EXPORT);
    if (e == ERR_OK) {
        e = view_begin(&p.v, rq);
    }
    if (e == ERR_OK) {
        e = request_need(rq, "entity", &entity);
    }
    if (e == ERR_OK) {
        e = view_parse_entity(&p.v, entity, &p.only);
    }
    if (e == ERR_OK) {
        e = view_may_ever(&p.v, p.only, NULL, ACTION_EXPORT, NULL);
    }
    return e == ERR_OK ? run_page(&p) : e;
}

static enum err do_dump(struct request *rq)
{
    struct paging p = { .rq = rq };
    enum err e = need_right(rq, ADMIN_DUMP);
    if (e == ERR_OK) {
        e = view_begin(&p.v, rq);
    }
    return e == ERR_OK ? run_page(&p) : e;
}

const struct request_verb handlers_bulk[] = {
    { "import", handle_import, 0 },
    { "export", do_export, 0 },
    { "dump", do_dump, 0 },
    { NULL, NULL, 0 },
};
