/*
 * Owns: the list of follow-ups that are due: worked out from open opportunities and VIP labels (node/derive.c) and the
 * stored tasks of a person, in one order. Invariants: every line is shown through node/view.c as a followup_task; due
 * date and state are business fields that the viewer must be allowed to sort by in that row.
 */
#include "node/derive.h"
#include "node/handlers_conflict.h"
#include "node/view.h"

#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"
#include "schema/date.h"

#include <stdlib.h>

enum { DUE_LIMIT_DEFAULT = 100, DUE_LIMIT_MAX = 10000 };

enum due_filter { DUE_ON, DUE_OVERDUE, DUE_ALL };

struct due_line {
    int64_t due;
    struct record_id id;
    struct row row; /* a followup_task, values in arena memory */
    int64_t grade;
    bool is_computed;
    bool is_vip;
};

struct due_list {
    struct viewing v;
    const struct entity_desc *d;
    enum due_filter filter;
    int64_t day;
    struct due_line *lines;
    size_t count;
    size_t capacity;
    struct dossier_id last_vip; /* its VIP line was considered */
    bool has_last_vip;
};

static struct value *at(const struct due_list *dl, struct row *row, uint32_t number)
{
    return &row->values[catalogue_field_index(dl->d, catalogue_field(dl->d, number))];
}

static bool wanted(const struct due_list *dl, int64_t due, bool is_open)
{
    switch (dl->filter) {
    case DUE_ON:
        return due == dl->day;
    case DUE_OVERDUE:
        return is_open && due < dl->v.today;
    case DUE_ALL:
        break;
    }
    return true;
}

static enum err add_line(struct due_list *dl, const struct due_line *line)
{
    if (dl->count == dl->capacity) {
        size_t capacity = dl->capacity == 0 ? 32 : dl->capacity * 2;
        struct due_line *grown = arena_array(dl->v.a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (dl->count > 0) {
            memcpy(grown, dl->lines, dl->count * sizeof(*grown));
        }
        dl->lines = grown;
        dl->capacity = capacity;
    }
    dl->lines[dl->count++] = *line;
    return ERR_OK;
}

/* The row may be seen, and sorted by its due date. */
static enum err may_list(struct due_list *dl, struct record_id id, struct view_facts *out, bool *may)
{
    const struct view_facts *facts = NULL;
    const struct field *due = catalogue_field(dl->d, FOLLOWUP_TASK_DUE_AT);
    enum err e = view_facts_of(&dl->v, record_dossier(id), &facts);
    if (e == ERR_OK) {
        *out = *facts;
        *may = view_sees_row(&dl->v, facts, dl->d, false) &&
               view_ask(&dl->v, facts, dl->d, due, ACTION_SEARCH).view == VIEW_CLEAR;
    }
    return e;
}

static enum err owner_login(struct due_list *dl, const struct view_facts *facts, struct value *out)
{
    uint32_t owner = facts->dossier.owner != 0 ? facts->dossier.owner : facts->dossier.creator;
    const struct member_user *u = members_user(dl->v.app->members, owner);
    struct bytes copy = { 0 };
    if (u == NULL) {
        return ERR_OK;
    }
    enum err e = arena_dup(dl->v.a, bytes_str(u->login), &copy);
    if (e == ERR_OK) {
        *out = value_text(copy);
    }
    return e;
}

/* A follow-up as a row of followup_task, so that it is shown like one. */
static enum err add_computed(struct due_list *dl, const struct view_facts *facts, const struct due_task *task)
{
    struct due_line line = { .due = task->due,
        .id = task->cause,
        .grade = task->grade,
        .is_computed = true,
        .is_vip = task->is_vip,
        .row = { .id = task->cause, .entity = ENTITY_FOLLOWUP_TASK } };
    struct record_id *cause = arena_alloc(dl->v.a, sizeof(*cause));
    line.row.values = arena_array(dl->v.a, dl->d->field_count, sizeof(*line.row.values));
    if (line.row.values == NULL || cause == NULL) {
        return ERR_NOMEM;
    }
    *cause = task->cause;
    *at(dl, &line.row, FOLLOWUP_TASK_KIND) = value_int(task->is_vip ? CODE_TASK_VIP_MONTHLY : CODE_TASK_INTENT);
    *at(dl, &line.row, FOLLOWUP_TASK_DUE_AT) = value_int(task->due);
    *at(dl, &line.row, FOLLOWUP_TASK_OPPORTUNITY) = task->is_vip ? VALUE_NONE : value_id(cause);
    enum err e = owner_login(dl, facts, at(dl, &line.row, FOLLOWUP_TASK_OWNER));
    return e == ERR_OK ? add_line(dl, &line) : e;
}

static enum err see_opportunity(void *ctx, const struct row *row)
{
    struct due_list *dl = ctx;
    const struct deriver dv = { .app = dl->v.app, .a = dl->v.a, .today = dl->v.today };
    struct view_facts facts = { 0 };
    struct due_task task = { 0 };
    bool may = false;
    bool has = false;
    enum err e = may_list(dl, row->id, &facts, &may);
    if (e == ERR_OK && may) {
        e = derive_due(&dv, row, &task, &has);
    }
    return e == ERR_OK && has && wanted(dl, task.due, true) ? add_computed(dl, &facts, &task) : e;
}

static enum err see_vip(void *ctx, const struct row *row)
{
    struct due_list *dl = ctx;
    const struct deriver dv = { .app = dl->v.app, .a = dl->v.a, .today = dl->v.today };
    struct dossier_id dossier = record_dossier(row->id);
    struct view_facts facts = { 0 };
    struct due_task task = { 0 };
    bool may = false;
    bool has = false;
    if (dl->has_last_vip && dossier_id_compare(dl->last_vip, dossier) == 0) {
        return ERR_OK;
    }
    dl->last_vip = dossier;
    dl->has_last_vip = true;
    enum err e = may_list(dl, row->id, &facts, &may);
    if (e == ERR_OK && may) {
        e = derive_vip_due(&dv, dossier, &task, &has);
    }
    return e == ERR_OK && has && wanted(dl, task.due, true) ? add_computed(dl, &facts, &task) : e;
}

static enum err see_task(void *ctx, const struct row *row)
{
    struct due_list *dl = ctx;
    struct view_facts facts = { 0 };
    struct due_line line = { .id = row->id, .row = *row };
    struct value state = VALUE_NONE;
    bool may = false;
    enum err e = may_list(dl, row->id, &facts, &may);
    if (e != ERR_OK || !may) {
        return e;
    }
    struct value due = *at(dl, &line.row, FOLLOWUP_TASK_DUE_AT);
    e = field_derive(dl->d, catalogue_field(dl->d, FOLLOWUP_TASK_STATE), dl->v.a, row->values, dl->v.today, &state);
    bool is_open = state.type == VALUE_INT && (state.i == CODE_TASK_OPEN || state.i == CODE_TASK_OVERDUE);
    if (e != ERR_OK || due.type != VALUE_INT || !wanted(dl, due.i, is_open)) {
        return e;
    }
    line.due = due.i;
    line.row.values = arena_array(dl->v.a, dl->d->field_count, sizeof(*line.row.values));
    if (line.row.values == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; e == ERR_OK && i < dl->d->field_count; i++) {
        e = value_dup(dl->v.a, row->values[i], &line.row.values[i]);
    }
    if (e == ERR_OK) {
        e = arena_dup(dl->v.a, row->versions, &line.row.versions);
    }
    return e == ERR_OK ? add_line(dl, &line) : e;
}

static int by_due(const void *x, const void *y)
{
    const struct due_line *a = x;
    const struct due_line *b = y;
    if (a->due != b->due) {
        return a->due < b->due ? -1 : 1;
    }
    return record_id_compare(a->id, b->id);
}

/* The grade belongs to the opportunity, and is shown as that entity allows. */
static enum err add_grade(
    struct due_list *dl, const struct view_facts *facts, const struct due_line *line, json_t *record)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_OPPORTUNITY);
    const struct field *f = catalogue_field(d, OPPORTUNITY_GRADE);
    struct access_answer answer = view_ask(&dl->v, facts, d, f, ACTION_READ);
    struct audit_entry *note = line->grade == 0 ? NULL : view_note(&dl->v, AUDIT_READ, d, &line->id);
    json_t *cell = NULL;
    if (line->grade == 0) {
        return ERR_OK;
    }
    enum err e = note == NULL ? ERR_NOMEM : view_value(&dl->v, f, value_int(line->grade), &answer, note, &cell);
    if (e == ERR_OK && cell != NULL) {
        (void)json_object_set_new(json_object_get(record, "fields"), f->name, cell);
    }
    return e;
}

static enum err show_line(struct due_list *dl, const struct due_line *line, json_t *found)
{
    const struct view_facts *facts = NULL;
    struct row full = { 0 };
    json_t *record = NULL;
    struct audit_entry *note = view_note(&dl->v, AUDIT_SEARCH, dl->d, &line->id);
    enum err e = note == NULL ? ERR_NOMEM : view_facts_of(&dl->v, record_dossier(line->id), &facts);
    if (e == ERR_OK) {
        e = view_fill(&dl->v, facts, dl->d, &line->row, &full);
    }
    if (e == ERR_OK) {
        e = view_record(&dl->v, facts, dl->d, &full, note, &record);
    }
    if (e != ERR_OK || record == NULL) {
        return e;
    }
    note->count = 1;
    if (line->is_computed) {
        const struct entity_desc *cause = catalogue_entity(line->is_vip ? ENTITY_CUSTOMER : ENTITY_OPPORTUNITY);
        (void)json_object_set_new(record, "id", view_record_id(cause, line->id));
        (void)json_object_set_new(record, "computed", json_true());
        e = add_grade(dl, facts, line, record);
    }
    (void)json_array_append_new(found, record);
    return e;
}

/* due: "today" (as if absent), "overdue", "all" or a date. From args.due or args.where.due. */
static enum err take_filter(struct due_list *dl, struct request *rq)
{
    const json_t *in_where = json_object_get(json_object_get(rq->args, "where"), "due");
    struct bytes text = request_text(rq, "due");
    if (json_is_string(in_where)) {
        text = bytes_of(json_string_value(in_where), json_string_length(in_where));
    }
    dl->filter = DUE_ON;
    dl->day = dl->v.today;
    if (text.len == 0 || bytes_equal(text, BYTES_LIT("today"))) {
        return ERR_OK;
    }
    if (bytes_equal(text, BYTES_LIT("overdue"))) {
        dl->filter = DUE_OVERDUE;
        return ERR_OK;
    }
    if (bytes_equal(text, BYTES_LIT("all"))) {
        dl->filter = DUE_ALL;
        return ERR_OK;
    }
    return date_parse(text, &dl->day) == ERR_OK ? ERR_OK
                                                : why_set(&rq->why, ERR_USAGE, "due 写 today、overdue、all 或日期",
                                                      "due is today, overdue, all or a date");
}

static enum err collect(struct due_list *dl)
{
    const struct store_ops *ops = dl->v.app->store->ops;
    struct store *s = dl->v.app->store;
    const struct store_query opportunities = { .entity = ENTITY_OPPORTUNITY };
    const struct store_query vips = { .entity = ENTITY_CUSTOMER_CLASS };
    const struct store_query tasks = { .entity = ENTITY_FOLLOWUP_TASK };
    enum err e = ops->row_find(s, &opportunities, 0, see_opportunity, dl);
    if (e == ERR_OK) {
        e = ops->row_find(s, &vips, 0, see_vip, dl);
    }
    return e == ERR_OK ? ops->row_find(s, &tasks, 0, see_task, dl) : e;
}

static enum err show_all(struct due_list *dl, size_t limit)
{
    json_t *found = json_array();
    struct audit_entry *summary = view_note(&dl->v, AUDIT_SEARCH, dl->d, NULL);
    enum err e = summary == NULL ? ERR_NOMEM : ERR_OK;
    if (dl->count > 1) {
        qsort(dl->lines, dl->count, sizeof(*dl->lines), by_due);
    }
    for (size_t i = 0; e == ERR_OK && i < dl->count && json_array_size(found) < limit; i++) {
        e = show_line(dl, &dl->lines[i], found);
    }
    if (e != ERR_OK) {
        json_decref(found);
        return e;
    }
    summary->count = json_array_size(found);
    return view_release(&dl->v, found);
}

enum err handle_due(struct request *rq)
{
    struct due_list dl = { .d = catalogue_entity(ENTITY_FOLLOWUP_TASK) };
    int64_t limit = request_int(rq, "limit", DUE_LIMIT_DEFAULT);
    enum err e = view_begin(&dl.v, rq);
    if (e == ERR_OK && (limit < 1 || limit > DUE_LIMIT_MAX)) {
        return why_set(&rq->why, ERR_USAGE, "--limit 在 1 到 10000 之间", "--limit goes from 1 to 10000");
    }
    if (e == ERR_OK) {
        e = take_filter(&dl, rq);
    }
    if (e == ERR_OK) {
        e = view_enter(&dl.v, dl.d, NULL);
    }
    if (e == ERR_OK) {
        e = view_may_ever(&dl.v, dl.d, catalogue_field(dl.d, FOLLOWUP_TASK_DUE_AT), ACTION_SEARCH, NULL);
    }
    if (e == ERR_OK) {
        e = collect(&dl);
    }
    return e == ERR_OK ? show_all(&dl, (size_t)limit) : e;
}
