/*
 * Owns: the verbs get, find, due and history. Shape of each: read the arguments, refuse what no row could allow, look
 * rows up, leave out what the viewer may not know of, build values through node/view.c, release after the audit entry
 * is durable. Invariants: a row is compared only by fields the viewer may read in clear in that very row; rows come in
 * the store's order, which depends on no value; what is left out is not counted.
 */
#include "node/derive.h"
#include "node/handlers_conflict.h"
#include "node/view.h"

#include "schema/base/check.h"
#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"

#include <stdlib.h>

enum { FIND_LIMIT_DEFAULT = 100, FIND_LIMIT_MAX = 10000, FIND_ARENA_BYTES = 64 << 20 };

/* --- get
 * ---------------------------------------------------------------------------------------------------------------- */

/* A row; for the class of a customer the line that stands for the customer himself exists without being stored. */
static enum err load_row(struct viewing *v, const struct entity_desc *d, struct record_id id, struct row *out)
{
    enum err e = v->app->store->ops->row_get(v->app->store, d->entity, id, v->a, out);
    if (e != ERR_NOT_FOUND || d->entity != ENTITY_CUSTOMER_CLASS || !record_id_is_main(id)) {
        return e;
    }
    struct value *values = arena_array(v->a, d->field_count, sizeof(*values));
    if (values == NULL) {
        return ERR_NOMEM;
    }
    *out = (struct row){ .id = id, .entity = d->entity, .values = values };
    return ERR_OK;
}

/* A row and its facts, if the viewer may know of it; ERR_NOT_FOUND otherwise, not yet audited. */
static enum err look_up(
    struct viewing *v, const struct entity_desc *d, struct record_id id, struct view_facts *facts, struct row *out)
{
    struct row row = { 0 };
    enum err e = load_row(v, d, id, &row);
    if (e == ERR_OK) {
        e = view_facts_of_row(v, d, &row, facts);
    }
    if (e == ERR_OK && !view_sees_row(v, facts, d, false)) {
        e = ERR_NOT_FOUND;
    }
    return e == ERR_OK ? view_fill(v, facts, d, &row, out) : e;
}

/* args.clear: fields the caller insists on having in clear. */
static enum err insist_clear(
    struct viewing *v, const struct view_facts *facts, const struct entity_desc *d, const struct record_id *id)
{
    const json_t *names = json_object_get(v->rq->args, "clear");
    for (size_t i = 0; i < json_array_size(names); i++) {
        const struct field *f = NULL;
        const json_t *name = json_array_get(names, i);
        enum err e = view_parse_field(v, d, bytes_of(json_string_value(name), json_string_length(name)), &f);
        if (e != ERR_OK) {
            return e;
        }
        struct access_answer answer = view_ask(v, facts, d, f, ACTION_READ);
        if (answer.view != VIEW_CLEAR) {
            return view_deny(v, d, id, f, &answer);
        }
    }
    return ERR_OK;
}

static enum err verb_get(struct request *rq)
{
    struct viewing v;
    struct bytes text = { 0 };
    const struct entity_desc *d = NULL;
    struct record_id id = { 0 };
    struct view_facts facts = { 0 };
    struct row row = { 0 };
    json_t *record = NULL;
    enum err e = view_begin(&v, rq);
    if (e == ERR_OK) {
        e = request_need(rq, "id", &text);
    }
    if (e == ERR_OK) {
        e = view_parse_id(&v, text, &d, &id);
    }
    if (e == ERR_OK) {
        e = view_enter(&v, d, &id);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = look_up(&v, d, id, &facts, &row);
    if (e == ERR_OK) {
        e = insist_clear(&v, &facts, d, &id);
        if (e != ERR_OK) {
            return e;
        }
        struct audit_entry *note = view_note(&v, AUDIT_READ, d, &id);
        e = note == NULL ? ERR_NOMEM : view_record(&v, &facts, d, &row, note, &record);
        if (e == ERR_OK && record != NULL) {
            note->count = 1;
        }
    }
    if (e == ERR_NOT_FOUND || (e == ERR_OK && record == NULL)) {
        return view_not_found(&v, AUDIT_READ, d, &id);
    }
    return e == ERR_OK ? view_release(&v, record) : e;
}

/* --- find
 * --------------------------------------------------------------------------------------------------------------- */

struct condition {
    const struct field *field;
    struct value value;
};

struct finding {
    struct viewing v;
    struct arena scratch; /* one row; reset before the next */
    const struct entity_desc *d;
    struct condition where[FIELDS_PER_ENTITY_MAX];
    size_t where_count;
    bool has_dossier;
    struct dossier_id dossier;
    size_t limit;
    json_t *found;
    struct audit_entry *summary;
    struct audit_entry *shown; /* the note about the dossier shown last */
    struct dossier_id shown_of;
};

static bool matches(const struct condition *c, struct value have)
{
    if (have.type == VALUE_SET && c->value.type == VALUE_SET) {
        struct bytes rest = c->value.s;
        struct bytes element = { 0 };
        bool all = c->value.s.len > 0;
        while (all && value_set_next(&rest, &element)) {
            all = value_set_has(have, element);
        }
        return all;
    }
    return have.type != VALUE_NULL && value_equal(have, c->value);
}

static enum err where_dossier(struct finding *fi, const struct field *f, struct bytes text)
{
    struct value ref = VALUE_NONE;
    enum err e = field_parse(f, fi->v.a, text, &ref, &fi->v.rq->why);
    if (e == ERR_OK && ref.type == VALUE_ID) {
        memcpy(fi->dossier.b, ref.s.ptr, DOSSIER_ID_BYTES);
        fi->has_dossier = true;
    }
    return e;
}

static enum err take_condition(struct finding *fi, const char *name, const json_t *value)
{
    const struct field *f = NULL;
    struct why *why = &fi->v.rq->why;
    struct condition *c = &fi->where[fi->where_count];
    enum err e = view_parse_field(&fi->v, fi->d, bytes_str(name), &f);
    if (e == ERR_OK && (!json_is_string(value) || json_string_length(value) == 0)) {
        return why_setf(why, ERR_USAGE, "“%s”要等于什么？", "what should '%s' be equal to?", name);
    }
    if (e == ERR_OK) {
        e = view_may_ever(&fi->v, fi->d, f, ACTION_SEARCH, NULL);
    }
    if (e != ERR_OK) {
        return e;
    }
    struct bytes text = bytes_of(json_string_value(value), json_string_length(value));
    if ((f->flags & FIELD_DOSSIER) != 0) {
        return where_dossier(fi, f, text);
    }
    if (fi->where_count == FIELDS_PER_ENTITY_MAX) {
        return ERR_LIMIT;
    }
    e = field_parse(f, fi->v.a, text, &c->value, why);
    if (e == ERR_OK && c->value.type == VALUE_NULL) {
        return why_setf(why, ERR_USAGE, "“%s”要等于什么？", "what should '%s' be equal to?", name);
    }
    if (e == ERR_OK) {
        c->field = f;
        fi->where_count++;
    }
    return e;
}

static enum err take_conditions(struct finding *fi)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(json_object_get(fi->v.rq->args, "where"), name, value)
    {
        enum err e = take_condition(fi, name, value);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

/* The right first, then the comparison: a row that may not be searched by this field cannot answer. */
static bool fits(struct finding *fi, const struct view_facts *facts, const struct row *row)
{
    for (size_t i = 0; i < fi->where_count; i++) {
        const struct condition *c = &fi->where[i];
        if (view_ask(&fi->v, facts, fi->d, c->field, ACTION_SEARCH).view != VIEW_CLEAR ||
            !matches(c, row->values[catalogue_field_index(fi->d, c->field)])) {
            return false;
        }
    }
    return true;
}

/* The note that says whose data this row showed: one a dossier. */
static struct audit_entry *note_of(struct finding *fi, const struct row *row)
{
    struct dossier_id id = record_dossier(row->id);
    if (fi->shown == NULL || dossier_id_compare(id, fi->shown_of) != 0) {
        fi->shown = view_note(&fi->v, AUDIT_SEARCH, fi->d, NULL);
        if (fi->shown != NULL) {
            view_note_dossier(&fi->v, fi->shown, id);
            fi->shown_of = id;
        }
    }
    return fi->shown;
}

static enum err show_row(struct finding *fi, const struct view_facts *facts, const struct row *row)
{
    json_t *record = NULL;
    struct audit_entry *note = access_needs_purpose(fi->d) ? note_of(fi, row) : fi->summary;
    if (note == NULL) {
        return ERR_NOMEM;
    }
    enum err e = view_record(&fi->v, facts, fi->d, row, note, &record);
    if (e == ERR_OK && record != NULL) {
        (void)json_array_append_new(fi->found, record);
        fi->summary->count++;
        note->count += note == fi->summary ? 0 : 1;
    }
    return e;
}

static enum err consider(struct finding *fi, const struct row *row)
{
    struct view_facts facts = { 0 };
    struct row full = { 0 };
    enum err e = view_facts_of_row(&fi->v, fi->d, row, &facts);
    if (e != ERR_OK || !view_sees_row(&fi->v, &facts, fi->d, false)) {
        return e;
    }
    e = view_fill(&fi->v, &facts, fi->d, row, &full);
    return e == ERR_OK && fits(fi, &facts, &full) ? show_row(fi, &facts, &full) : e;
}

static enum err see_row(void *ctx, const struct row *row)
{
    struct finding *fi = ctx;
    arena_reset(&fi->scratch);
    enum err e = consider(fi, row);
    return e == ERR_OK && json_array_size(fi->found) >= fi->limit ? ERR_EXISTS : e;
}

/* The customer's own line of classes is worked out, not stored. */
static enum err find_class_line(struct finding *fi)
{
    struct row row = { 0 };
    struct dossier held = { 0 };
    if (fi->d->entity != ENTITY_CUSTOMER_CLASS || !fi->has_dossier) {
        return ERR_OK;
    }
    enum err e = fi->v.app->store->ops->dossier_get(fi->v.app->store, fi->dossier, fi->v.a, &held);
    if (e != ERR_OK || held.kind != DOSSIER_CUSTOMER) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    e = load_row(&fi->v, fi->d, record_id_make(fi->dossier, NULL), &row);
    return e == ERR_OK ? consider(fi, &row) : e;
}

/* The store narrows by one stored field of equality; everything else is decided row by row. */
static struct store_query narrow(const struct finding *fi)
{
    struct store_query q = { .entity = fi->d->entity, .dossier = fi->has_dossier ? &fi->dossier : NULL };
    for (size_t i = 0; i < fi->where_count; i++) {
        const struct field *f = fi->where[i].field;
        bool is_better = q.field == NULL || (f->flags & FIELD_INDEXED) > (q.field->flags & FIELD_INDEXED);
        if (f->merge != MERGE_DERIVED && fi->where[i].value.type != VALUE_SET && is_better) {
            q.field = f;
            q.value = fi->where[i].value;
        }
    }
    return q;
}

static enum err scan(struct finding *fi)
{
    const struct store_query q = narrow(fi);
    fi->v.a = &fi->scratch;
    enum err e = find_class_line(fi);
    if (e == ERR_OK && json_array_size(fi->found) < fi->limit) {
        e = fi->v.app->store->ops->row_find(fi->v.app->store, &q, 0, see_row, fi);
    }
    fi->v.a = &fi->v.app->arena;
    return e == ERR_EXISTS && json_array_size(fi->found) >= fi->limit ? ERR_OK : e;
}

static enum err begin_find(struct finding *fi, struct request *rq, struct bytes entity)
{
    enum err e = view_begin(&fi->v, rq);
    int64_t limit = request_int(rq, "limit", FIND_LIMIT_DEFAULT);
    if (e == ERR_OK) {
        e = view_parse_entity(&fi->v, entity, &fi->d);
    }
    if (e == ERR_OK && (limit < 1 || limit > FIND_LIMIT_MAX)) {
        return why_set(&rq->why, ERR_USAGE, "--limit 在 1 到 10000 之间", "--limit goes from 1 to 10000");
    }
    fi->limit = (size_t)limit;
    return e == ERR_OK ? view_enter(&fi->v, fi->d, NULL) : e;
}

/* The first note: what was searched by, and how much came of it. */
static enum err begin_notes(struct finding *fi)
{
    fi->summary = view_note(&fi->v, AUDIT_SEARCH, fi->d, NULL);
    if (fi->summary == NULL) {
        return ERR_NOMEM;
    }
    if (fi->has_dossier) {
        view_note_dossier(&fi->v, fi->summary, fi->dossier);
        fi->shown = fi->summary;
        fi->shown_of = fi->dossier;
    }
    for (size_t i = 0; i < fi->where_count; i++) {
        fi->summary->fields[fi->summary->field_count++] = fi->where[i].field->number;
    }
    return ERR_OK;
}

static enum err find_rows(struct finding *fi)
{
    arena_init(&fi->scratch, &fi->v.app->mem, FIND_ARENA_BYTES);
    fi->found = json_array();
    enum err e = begin_notes(fi);
    if (e == ERR_OK) {
        e = scan(fi);
    }
    arena_release(&fi->scratch);
    if (e != ERR_OK) {
        json_decref(fi->found);
        return e;
    }
    return view_release(&fi->v, fi->found);
}

static enum err verb_find(struct request *rq)
{
    struct finding fi = { .limit = 0 };
    struct bytes entity = { 0 };
    json_t *due = json_object_get(json_object_get(rq->args, "where"), "due");
    enum err e = request_need(rq, "entity", &entity);
    if (e == ERR_OK && due != NULL && bytes_equal(entity, BYTES_LIT("followup_task"))) {
        return handle_due(rq);
    }
    if (e == ERR_OK) {
        e = begin_find(&fi, rq, entity);
    }
    if (e == ERR_OK) {
        e = take_conditions(&fi);
    }
    return e == ERR_OK ? find_rows(&fi) : e;
}

/* --- history
 * ------------------------------------------------------------------------------------------------------------ */

struct telling {
    struct viewing v;
    const struct entity_desc *d;
    struct history_item *items;
    size_t count;
    size_t capacity;
};

static enum err collect_item(void *ctx, const struct history_item *item)
{
    struct telling *t = ctx;
    if (t->count == t->capacity) {
        size_t capacity = t->capacity == 0 ? 32 : t->capacity * 2;
        struct history_item *grown = arena_array(t->v.a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (t->count > 0) {
            memcpy(grown, t->items, t->count * sizeof(*grown));
        }
        t->items = grown;
        t->capacity = capacity;
    }
    t->items[t->count++] = *item;
    return ERR_OK;
}

static int oldest_first(const void *x, const void *y)
{
    const struct history_item *a = x;
    const struct history_item *b = y;
    if (a->write.hlc != b->write.hlc) {
        return a->write.hlc < b->write.hlc ? -1 : 1;
    }
    int c = dot_compare(a->write.dot, b->write.dot);
    uint32_t fa = a->field == NULL ? 0 : a->field->number;
    uint32_t fb = b->field == NULL ? 0 : b->field->number;
    return c != 0 ? c : (fa > fb) - (fa < fb);
}

static void add_circumstances(struct telling *t, const struct history_item *item, json_t *line)
{
    const struct field_write *w = &item->write;
    const char *purpose = purpose_name((enum purpose)w->purpose);
    (void)json_object_set_new(line, "commit", view_dot(w->dot));
    (void)json_object_set_new(line, "at", view_instant(hlc_wall_ms(w->hlc)));
    (void)json_object_set_new(line, "user", view_login(&t->v, w->author));
    (void)json_object_set_new(line, "node", json_integer((json_int_t)w->dot.node));
    (void)json_object_set_new(line, "purpose", purpose == NULL ? json_null() : json_string(purpose));
    (void)json_object_set_new(line, "decision", json_boolean(w->is_decision));
}

static enum err tell_item(struct telling *t, const struct view_facts *facts, const struct history_item *item,
    struct audit_entry *note, json_t *lines)
{
    json_t *line = NULL;
    bool is_clear = true;
    if (item->field == NULL) {
        line =
            json_pack("{ssssss}", "field", "_deleted", "value", item->write.value.i != 0 ? "1" : "0", "view", "clear");
    } else {
        struct access_answer answer = view_ask(&t->v, facts, t->d, item->field, ACTION_READ);
        enum err e = view_value(&t->v, item->field, item->write.value, &answer, note, &line);
        if (e != ERR_OK || line == NULL) {
            return e;
        }
        is_clear = answer.view == VIEW_CLEAR;
        (void)json_object_set_new(line, "field", json_string(item->field->name));
    }
    add_circumstances(t, item, line);
    if (is_clear && item->write.reason.len > 0) {
        (void)json_object_set_new(line, "reason", view_text(item->write.reason));
    }
    return json_array_append_new(lines, line) == 0 ? ERR_OK : ERR_NOMEM;
}

static enum err tell(struct telling *t, const struct view_facts *facts, struct record_id id, json_t **out)
{
    json_t *lines = json_array();
    struct audit_entry *note = view_note(&t->v, AUDIT_HISTORY, t->d, &id);
    enum err e = note == NULL ? ERR_NOMEM : core_history(&t->v.app->core, t->v.a, t->d, id, NULL, collect_item, t);
    if (e == ERR_OK && t->count > 1) {
        qsort(t->items, t->count, sizeof(*t->items), oldest_first);
    }
    for (size_t i = 0; e == ERR_OK && i < t->count; i++) {
        e = tell_item(t, facts, &t->items[i], note, lines);
    }
    if (e != ERR_OK) {
        json_decref(lines);
        return e;
    }
    note->count = json_array_size(lines);
    *out = lines;
    return ERR_OK;
}

static enum err verb_history(struct request *rq)
{
    struct telling t = { .count = 0 };
    struct bytes text = { 0 };
    struct record_id id = { 0 };
    struct view_facts facts = { 0 };
    struct row row = { 0 };
    json_t *lines = NULL;
    enum err e = view_begin(&t.v, rq);
    if (e == ERR_OK) {
        e = request_need(rq, "id", &text);
    }
    if (e == ERR_OK) {
        e = view_parse_id(&t.v, text, &t.d, &id);
    }
    if (e == ERR_OK) {
        e = view_enter(&t.v, t.d, &id);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = look_up(&t.v, t.d, id, &facts, &row);
    if (e == ERR_OK) {
        e = tell(&t, &facts, id, &lines);
    }
    if (e == ERR_NOT_FOUND) {
        return view_not_found(&t.v, AUDIT_HISTORY, t.d, &id);
    }
    return e == ERR_OK ? view_release(&t.v, lines) : e;
}

const struct request_verb handlers_read[] = {
    { "get", verb_get, 0 },
    { "find", verb_find, 0 },
    { "due", handle_due, 0 },
    { "history", verb_history, 0 },
    { "conflicts", handle_conflicts, 0 },
    { "conflict", handle_conflict, 0 },
    { NULL, NULL, 0 },
};
