/*
 * Owns: the verbs that write: new, set, delete, decide. Shape of each: read the arguments, refuse what no data could
 * allow, look at the dossier, ask the right for every field, write commit and audit entry in one transaction, answer.
 * Invariants: an id is answered only after a durable commit; what the viewer may not know of is answered as if it did
 * not exist; a refusal never repeats a value.
 */
#include "node/view.h"

#include "schema/base/check.h"
#include "schema/catalogue/fields.h"

#include <stdio.h>

/* One record being written. given: what the caller named; values: the whole record after it. */
struct writing {
    struct viewing v;
    const struct entity_desc *d;
    struct record_id id; /* existing record, or the dossier's main record for a new child */
    bool has_place;
    bool given[FIELDS_PER_ENTITY_MAX];
    struct value *values; /* given values */
    struct row row; /* existing record */
    enum role role; /* that gave the right */
    struct view_facts facts;
};

static size_t index_of(const struct writing *w, const struct field *f)
{
    return catalogue_field_index(w->d, f);
}

/* --- reading fields
 * ----------------------------------------------------------------------------------------------------- */

static enum err not_by_hand(struct writing *w, const struct field *f)
{
    bool is_filled_in = (f->flags & (FIELD_SYSTEM | FIELD_HIDDEN)) != 0 || f->merge == MERGE_DERIVED;
    return is_filled_in ? why_setf(&w->v.rq->why, ERR_INVALID, "“%s”由系统填写，不能手工写入",
                              "'%s' is filled in by the system", f->name)
                        : ERR_OK;
}

/* "customer/hex" or hex: which dossier a child belongs to. */
static enum err take_place(struct writing *w, const struct field *f, struct bytes text)
{
    struct value ref = VALUE_NONE;
    enum err e = field_parse(f, w->v.a, text, &ref, &w->v.rq->why);
    if (e != ERR_OK || ref.type != VALUE_ID) {
        return e;
    }
    memcpy(w->id.b, ref.s.ptr, RECORD_ID_BYTES);
    w->id = record_id_make(record_dossier(w->id), NULL);
    w->has_place = true;
    w->values[index_of(w, f)] = ref;
    return ERR_OK;
}

/* A staff login and a station code must be known to the group. */
static enum err check_known(struct writing *w, const struct field *f, struct value value)
{
    const struct members *m = w->v.app->members;
    if (f->type == FIELD_USER && value.type == VALUE_TEXT && members_user_by_login(m, value.s) == NULL) {
        return why_setf(&w->v.rq->why, ERR_INVALID, "“%s”：没有这个员工", "%s: no such user", f->name);
    }
    if (f->type == FIELD_STATION && value.type == VALUE_TEXT && w->d->entity != ENTITY_STATION &&
        members_station_by_code(m, value.s) == NULL) {
        return why_setf(&w->v.rq->why, ERR_INVALID, "“%s”：没有这个网点", "%s: no such station", f->name);
    }
    return ERR_OK;
}

static enum err take_field(struct writing *w, const char *name, const json_t *value)
{
    const struct field *f = NULL;
    struct why *why = &w->v.rq->why;
    enum err e = view_parse_field(&w->v, w->d, bytes_str(name), &f);
    if (e != ERR_OK) {
        return e;
    }
    if (!json_is_string(value)) {
        return why_setf(why, ERR_USAGE, "“%s”的值要写成文本", "the value of '%s' must be a text", name);
    }
    struct bytes text = bytes_of(json_string_value(value), json_string_length(value));
    if ((f->flags & FIELD_DOSSIER) != 0) {
        return take_place(w, f, text);
    }
    size_t i = index_of(w, f);
    if (w->given[i]) {
        return why_setf(why, ERR_USAGE, "“%s”写了两次", "'%s' is given twice", f->name);
    }
    e = not_by_hand(w, f);
    if (e == ERR_OK) {
        e = field_parse(f, w->v.a, text, &w->values[i], why);
    }
    if (e == ERR_OK) {
        e = check_known(w, f, w->values[i]);
    }
    w->given[i] = e == ERR_OK;
    return e;
}

static enum err take_fields(struct writing *w)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_t *fields = json_object_get(w->v.rq->args, "fields");
    enum err e = ERR_OK;
    w->values = arena_array(w->v.a, w->d->field_count, sizeof(*w->values));
    if (w->values == NULL) {
        return ERR_NOMEM;
    }
    if (!json_is_object(fields)) {
        return why_set(
            &w->v.rq->why, ERR_USAGE, "请写明字段，例如 full_name=王小明", "name fields, e.g. full_name=王小明");
    }
    json_object_foreach(fields, name, value)
    {
        e = take_field(w, name, value);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

/* --- rights
 * ------------------------------------------------------------------------------------------------------------- */

static enum err ask_one(struct writing *w, const struct view_facts *facts, const struct field *f, enum action action)
{
    struct access_answer answer = view_ask(&w->v, facts, w->d, f, action);
    w->role = answer.role;
    return answer.view == VIEW_CLEAR ? ERR_OK : view_deny(&w->v, w->d, w->has_place ? &w->id : NULL, f, &answer);
}

/*
 * Asks for every given field; facts NULL: could any row allow it. The row as a whole is asked where no field is named,
 * and for a new one: a role may update single fields of rows that it may not update otherwise.
 */
static enum err ask_all(struct writing *w, const struct view_facts *facts, enum action action)
{
    bool any = false;
    for (size_t i = 0; i < w->d->field_count; i++) {
        any = any || w->given[i];
    }
    enum err e = any && action == ACTION_UPDATE ? ERR_OK : ask_one(w, facts, NULL, action);
    for (size_t i = 0; e == ERR_OK && i < w->d->field_count; i++) {
        if (w->given[i]) {
            e = ask_one(w, facts, &w->d->fields[i], action);
        }
    }
    return e;
}

static enum audit_event event_of(enum action action)
{
    switch (action) {
    case ACTION_CREATE:
        return AUDIT_CREATE;
    case ACTION_DELETE:
        return AUDIT_DELETE;
    case ACTION_DECIDE:
        return AUDIT_DECIDE;
    case ACTION_UPDATE:
    case ACTION_READ:
    case ACTION_SEARCH:
    case ACTION_EXPORT:
        break;
    }
    return AUDIT_UPDATE;
}

/* The dossier of w->id, if the viewer may know of it at all; asked by the rights on entity d. */
static enum err find_place(struct writing *w, const struct entity_desc *d, enum action action)
{
    const struct view_facts *facts = NULL;
    enum err e = view_facts_of(&w->v, record_dossier(w->id), &facts);
    if (e == ERR_NOT_FOUND || (e == ERR_OK && !view_sees_row(&w->v, facts, d, true))) {
        return view_not_found(&w->v, event_of(action), w->d, &w->id);
    }
    if (e == ERR_OK) {
        w->facts = *facts;
    }
    return e;
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------------ */

/* The core judges the author as every receiver will; what it refuses is a denial like others. */
static enum err refused_below(struct writing *w, const struct record_id *record)
{
    const struct why why = w->v.rq->why;
    const struct access_answer answer = { .zh = why.zh[0] == '\0' ? err_zh(ERR_DENIED) : why.zh,
        .en = why.en[0] == '\0' ? err_en(ERR_DENIED) : why.en };
    return view_deny(&w->v, w->d, w->has_place ? record : NULL, NULL, &answer);
}

/* One commit with the group, and its audit entry, durable together. */
static enum err commit(struct writing *w, struct write_group *group, enum action action, struct dot *dot)
{
    struct app *app = w->v.app;
    struct write_request req = {
        .author = w->v.user->number, .purpose = w->v.purpose, .groups = group, .group_count = 1
    };
    enum err e = view_open(&w->v);
    if (e != ERR_OK) {
        return e;
    }
    w->v.is_open = false;
    e = core_write(&app->core, w->v.a, w->v.rq->now, &req, dot, &w->v.rq->why);
    struct audit_entry *note = e == ERR_OK ? view_note(&w->v, event_of(action), w->d, &group->records[0].id) : NULL;
    if (e == ERR_OK && note == NULL) {
        e = ERR_NOMEM;
    }
    if (e == ERR_OK) {
        note->role = w->role;
        note->count = dot->node == 0 ? 0 : 1;
        for (size_t i = 0; i < group->records[0].field_count && i < AUDIT_FIELDS_MAX; i++) {
            note->fields[note->field_count++] = group->records[0].fields[i].field->number;
        }
        e = view_append_notes(&w->v);
    }
    e = app_end(app, e);
    return e == ERR_DENIED ? refused_below(w, &group->records[0].id) : e;
}

static enum err answer_write(struct writing *w, struct record_id id, struct dot dot)
{
    json_t *result = json_object();
    (void)json_object_set_new(result, "id", view_record_id(w->d, id));
    (void)json_object_set_new(result, "commit", dot.node == 0 ? json_null() : view_dot(dot));
    if (dot.node == 0) {
        (void)json_object_set_new(result, "unchanged", json_true());
    }
    request_set(w->v.rq, result);
    return ERR_OK;
}

/* The fields of a new record, or what a change makes different. before NULL: a new record. */
static enum err changed_fields(
    struct writing *w, const struct value *after, const struct value *before, struct write_record *rec)
{
    struct write_field *fields = arena_array(w->v.a, w->d->field_count, sizeof(*fields));
    if (fields == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < w->d->field_count; i++) {
        const struct field *f = &w->d->fields[i];
        bool is_new_value = before == NULL ? after[i].type != VALUE_NULL : !value_equal(after[i], before[i]);
        if ((f->flags & FIELD_DOSSIER) == 0 && f->merge != MERGE_DERIVED && (w->given[i] || is_new_value)) {
            fields[rec->field_count++] = (struct write_field){ .field = f, .value = after[i] };
        }
    }
    rec->fields = fields;
    return ERR_OK;
}

/* --- new
 * ---------------------------------------------------------------------------------------------------------------- */

static enum err place_new(struct writing *w, struct write_group *group)
{
    const struct app *app = w->v.app;
    uint32_t station = w->v.user->station;
    enum entity_home home = w->d->home;
    if (home == HOME_CHILD && !w->has_place) {
        return why_set(
            &w->v.rq->why, ERR_INVALID, "请用 customer=编号 写明是哪位客户的", "say whose it is with customer=ID");
    }
    if (home == HOME_MAIN_CUSTOMER || home == HOME_MAIN_VEHICLE) {
        *group = (struct write_group){
            .is_new = true, .kind = home == HOME_MAIN_CUSTOMER ? DOSSIER_CUSTOMER : DOSSIER_VEHICLE, .station = station
        };
        return ERR_OK;
    }
    if (home == HOME_GROUP_BOOK) {
        *group = (struct write_group){
            .kind = DOSSIER_GROUP_BOOK, .station = MEMBERS_GROUP_STATION, .id = core_group_book(&app->core)
        };
        return ERR_OK;
    }
    if (home == HOME_STATION_BOOK || !w->has_place) {
        *group = (struct write_group){
            .kind = DOSSIER_STATION_BOOK, .station = station, .id = core_station_book(&app->core, station)
        };
        return ERR_OK;
    }
    enum err e = find_place(w, catalogue_entity(ENTITY_CUSTOMER), ACTION_CREATE);
    *group = (struct write_group){
        .kind = DOSSIER_CUSTOMER, .station = w->facts.dossier.station, .id = w->facts.dossier.id
    };
    if (e == ERR_OK && w->facts.dossier.kind != DOSSIER_CUSTOMER) {
        return view_not_found(&w->v, AUDIT_CREATE, w->d, &w->id);
    }
    return e;
}

/* Facts for a right to create where there is no dossier to ask yet. */
static void facts_of_new(struct writing *w, const struct write_group *group)
{
    if (w->has_place) {
        return;
    }
    w->facts = (struct view_facts){ .scope = SCOPE_GROUP };
    if (group->is_new) {
        w->facts.scope |= SCOPE_OWN;
    }
    if (group->station == w->v.user->station) {
        w->facts.scope |= SCOPE_STATION;
    }
}

/* S1-20260307-N2-17: station, day, node, and the commit it will stand in. */
static enum err number_intake(struct writing *w, struct bytes station)
{
    const struct core *c = &w->v.app->core;
    const struct head *own = core_head(c, c->self.number, c->epoch);
    char text[80];
    if (w->d->entity != ENTITY_LEAD_INTAKE) {
        return ERR_OK;
    }
    int n = snprintf(text, sizeof(text), "%.*s-%lld-N%u-%llu", (int)station.len, (const char *)station.ptr,
        (long long)w->v.today, (unsigned)c->self.number, (unsigned long long)(own == NULL ? 1 : own->upto + 1));
    struct bytes copy = { 0 };
    enum err e = arena_dup(w->v.a, bytes_of(text, n < 0 ? 0 : (size_t)n), &copy);
    if (e == ERR_OK) {
        w->values[index_of(w, catalogue_field(w->d, LEAD_INTAKE_INTAKE_NO))] = value_text(copy);
    }
    return e;
}

/* A reference to another child must stay inside the customer's dossier. */
static enum err check_refs(struct writing *w, struct dossier_id place)
{
    for (size_t i = 0; i < w->d->field_count; i++) {
        const struct field *f = &w->d->fields[i];
        const struct entity_desc *to = f->type == FIELD_REF ? catalogue_entity(f->ref) : NULL;
        bool stays_inside = to != NULL && to->home == HOME_CHILD && (w->d->home == HOME_CHILD);
        if (w->given[i] && stays_inside && w->values[i].type == VALUE_ID &&
            memcmp(w->values[i].s.ptr, place.b, DOSSIER_ID_BYTES) != 0) {
            return why_setf(
                &w->v.rq->why, ERR_INVALID, "“%s”不是这位客户的记录", "'%s' is not a record of this customer", f->name);
        }
    }
    return ERR_OK;
}

static enum err verb_new(struct request *rq)
{
    struct writing w = { .has_place = false };
    struct bytes name = { 0 };
    struct write_group group = { 0 };
    struct write_record rec = { .is_new = true };
    struct dot dot = { 0 };
    enum err e = view_begin(&w.v, rq);
    if (e == ERR_OK) {
        e = request_need(rq, "entity", &name);
    }
    if (e == ERR_OK) {
        e = view_parse_entity(&w.v, name, &w.d);
    }
    if (e == ERR_OK) {
        e = take_fields(&w);
    }
    if (e == ERR_OK) {
        e = ask_all(&w, NULL, ACTION_CREATE);
    }
    if (e == ERR_OK) {
        e = place_new(&w, &group);
    }
    if (e == ERR_OK) {
        facts_of_new(&w, &group);
        e = ask_all(&w, &w.facts, ACTION_CREATE);
    }
    if (e == ERR_OK) {
        e = check_refs(&w, group.id);
    }
    const struct member_station *station = members_station(rq->app->members, rq->user->station);
    struct bytes code = station == NULL ? (struct bytes){ 0 } : bytes_str(station->code);
    if (e == ERR_OK) {
        catalogue_stamp(w.d, rq->now.wall_ms, bytes_str(rq->user->login), code, w.values);
        e = number_intake(&w, code);
    }
    if (e == ERR_OK) {
        e = catalogue_complete(w.d, w.v.a, w.values, &rq->why);
    }
    if (e == ERR_OK) {
        e = changed_fields(&w, w.values, NULL, &rec);
    }
    if (e != ERR_OK) {
        return e;
    }
    rec.desc = w.d;
    group.records = &rec;
    group.record_count = 1;
    e = commit(&w, &group, ACTION_CREATE, &dot);
    return e == ERR_OK ? answer_write(&w, rec.id, dot) : e;
}

/* --- set, delete
 * -------------------------------------------------------------------------------------------------------- */

static enum err load_row(struct writing *w, enum action action)
{
    enum err e = view_open(&w->v);
    if (e == ERR_OK) {
        e = find_place(w, w->d, action);
    }
    if (e == ERR_OK) {
        e = w->v.app->store->ops->row_get(w->v.app->store, w->d->entity, w->id, w->v.a, &w->row);
        if (e == ERR_NOT_FOUND || (e == ERR_OK && w->row.is_deleted)) {
            return view_not_found(&w->v, event_of(action), w->d, &w->id);
        }
    }
    return e;
}

static enum err begin_existing(struct writing *w, struct request *rq)
{
    struct bytes text = { 0 };
    enum err e = view_begin(&w->v, rq);
    if (e == ERR_OK) {
        e = request_need(rq, "id", &text);
    }
    if (e == ERR_OK) {
        e = view_parse_id(&w->v, text, &w->d, &w->id);
    }
    return e;
}

/* An existing record stays where it is. */
static enum err refuse_move(struct writing *w, struct record_id id)
{
    if (!w->has_place || dossier_id_compare(record_dossier(w->id), record_dossier(id)) == 0) {
        w->has_place = true;
        w->id = id;
        return ERR_OK;
    }
    return why_set(&w->v.rq->why, ERR_INVALID, "记录不能换到另一位客户；请删除后新建",
        "a record cannot move to another customer; delete it and create a new one");
}

/* The whole record after the change, checked by the rules of whole records. */
static enum err change_row(struct writing *w, struct write_record *rec)
{
    const struct entity_desc *d = w->d;
    struct value *after = arena_array(w->v.a, d->field_count, sizeof(*after));
    if (after == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < d->field_count; i++) {
        bool is_place = (d->fields[i].flags & FIELD_DOSSIER) != 0;
        after[i] = w->given[i] || is_place ? w->values[i] : w->row.values[i];
    }
    enum err e = catalogue_complete(d, w->v.a, after, &w->v.rq->why);
    return e == ERR_OK ? changed_fields(w, after, w->row.values, rec) : e;
}

static enum err write_existing(struct writing *w, struct write_record *rec, enum action action)
{
    struct dot dot = { 0 };
    struct write_group group = { .kind = w->facts.dossier.kind,
        .station = w->facts.dossier.station,
        .id = w->facts.dossier.id,
        .records = rec,
        .record_count = 1 };
    rec->desc = w->d;
    rec->id = w->id;
    enum err e = commit(w, &group, action, &dot);
    return e == ERR_OK ? answer_write(w, w->id, dot) : e;
}

static enum err verb_set(struct request *rq)
{
    struct writing w = { .has_place = false };
    struct write_record rec = { .is_new = false };
    enum err e = begin_existing(&w, rq);
    struct record_id id = w.id;
    if (e == ERR_OK) {
        e = take_fields(&w);
    }
    if (e == ERR_OK) {
        e = refuse_move(&w, id);
    }
    if (e == ERR_OK) {
        e = ask_all(&w, NULL, ACTION_UPDATE);
    }
    if (e == ERR_OK) {
        e = load_row(&w, ACTION_UPDATE);
    }
    if (e == ERR_OK) {
        e = ask_all(&w, &w.facts, ACTION_UPDATE);
    }
    if (e == ERR_OK) {
        e = check_refs(&w, record_dossier(w.id));
    }
    if (e == ERR_OK) {
        e = change_row(&w, &rec);
    }
    if (e == ERR_OK) {
        e = write_existing(&w, &rec, ACTION_UPDATE);
    }
    view_leave(&w.v);
    return e;
}

static enum err verb_delete(struct request *rq)
{
    struct writing w = { .has_place = false };
    struct write_record rec = { .is_delete = true };
    enum err e = begin_existing(&w, rq);
    w.has_place = true;
    if (e == ERR_OK) {
        e = ask_all(&w, NULL, ACTION_DELETE);
    }
    if (e == ERR_OK) {
        e = load_row(&w, ACTION_DELETE);
    }
    if (e == ERR_OK) {
        e = ask_all(&w, &w.facts, ACTION_DELETE);
    }
    if (e == ERR_OK) {
        e = write_existing(&w, &rec, ACTION_DELETE);
    }
    view_leave(&w.v);
    return e;
}

/* --- decide
 * ------------------------------------------------------------------------------------------------------------- */

struct deciding {
    struct writing w;
    struct conflict_entry entry;
    const struct field *f;
    struct write_field field;
};

static enum err unknown_conflict(struct deciding *dc)
{
    enum err e = view_not_found(&dc->w.v, AUDIT_DECIDE, NULL, NULL);
    return e == ERR_NOT_FOUND ? why_set(&dc->w.v.rq->why, e, "没有这个冲突，或不在您能查看的范围内",
                                    "no such conflict, or none that you may see")
                              : e;
}

static enum err load_conflict(struct deciding *dc)
{
    struct app *app = dc->w.v.app;
    struct bytes text = { 0 };
    struct bytes bytes = { 0 };
    enum err e = request_need(dc->w.v.rq, "conflict", &text);
    if (e == ERR_OK && hex_parse(text, dc->field.conflict, CONFLICT_ID_BYTES) != ERR_OK) {
        return why_set(
            &dc->w.v.rq->why, ERR_USAGE, "冲突编号应是 32 位十六进制数", "a conflict id has 32 hexadecimal digits");
    }
    if (e == ERR_OK) {
        e = app->store->ops->get(app->store, SPACE_CONFLICT, BYTES_OF(dc->field.conflict), dc->w.v.a, &bytes);
    }
    if (e == ERR_OK) {
        e = conflict_take(bytes, dc->w.v.a, &dc->entry);
    }
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? unknown_conflict(dc) : e;
    }
    dc->w.d = catalogue_entity((enum entity)dc->entry.entity);
    dc->f = dc->w.d == NULL ? NULL : catalogue_field(dc->w.d, dc->entry.field);
    dc->w.id = dc->entry.record;
    dc->w.has_place = true;
    return dc->f == NULL ? unknown_conflict(dc) : ERR_OK;
}

/* The right to settle, on this row; a third value is an ordinary update as well. */
static enum err may_decide(struct deciding *dc, bool is_third_value)
{
    struct writing *w = &dc->w;
    const struct view_facts *facts = NULL;
    enum err e = view_facts_of(&w->v, record_dossier(w->id), &facts);
    if (e != ERR_OK || !view_sees_row(&w->v, facts, w->d, true)) {
        return e == ERR_OK || e == ERR_NOT_FOUND ? unknown_conflict(dc) : e;
    }
    w->facts = *facts;
    struct access_answer answer = view_ask(&w->v, facts, w->d, dc->f, ACTION_DECIDE);
    if (answer.view == VIEW_CLEAR && is_third_value) {
        answer = view_ask(&w->v, facts, w->d, dc->f, ACTION_UPDATE);
    }
    w->role = answer.role;
    return answer.view == VIEW_CLEAR ? ERR_OK : view_deny(&w->v, w->d, &w->id, dc->f, &answer);
}

static enum err taken_value(struct deciding *dc, struct bytes text)
{
    struct why *why = &dc->w.v.rq->why;
    struct dot dot = { 0 };
    if (dot_parse(text, &dot) != ERR_OK) {
        return why_set(why, ERR_USAGE, "--take 后写一个提交号，例如 2.1.17", "--take wants a commit, e.g. 2.1.17");
    }
    for (size_t i = 0; i < dc->entry.siblings.count; i++) {
        if (dot_equal(dc->entry.siblings.at[i].dot, dot)) {
            dc->field.value = dc->entry.siblings.at[i].value;
            return ERR_OK;
        }
    }
    return why_set(why, ERR_USAGE, "这个提交不在该冲突里；用 jipan conflict show 查看",
        "that commit is not one of this conflict; see jipan conflict show");
}

static enum err chosen_value(struct deciding *dc, struct bytes take, bool has_value)
{
    struct request *rq = dc->w.v.rq;
    if (!has_value) {
        return taken_value(dc, take);
    }
    enum err e = not_by_hand(&dc->w, dc->f);
    if (e == ERR_OK) {
        e = field_parse(dc->f, dc->w.v.a, request_text(rq, "value"), &dc->field.value, &rq->why);
    }
    return e == ERR_OK ? check_known(&dc->w, dc->f, dc->field.value) : e;
}

static enum err verb_decide(struct request *rq)
{
    struct deciding dc = { .field = { .is_decision = true } };
    struct write_record rec = { .field_count = 1 };
    bool has_value = json_is_string(json_object_get(rq->args, "value"));
    struct bytes take = request_text(rq, "take");
    enum err e = view_begin(&dc.w.v, rq);
    if (e == ERR_OK && has_value == (take.len > 0)) {
        return why_set(&rq->why, ERR_USAGE, "请用 --take 选一个已有的值，或用 --value 写新值",
            "choose one value with --take, or write a new one with --value");
    }
    if (e == ERR_OK) {
        e = request_need(rq, "reason", &dc.field.reason);
    }
    if (e == ERR_OK && dc.field.reason.len > REASON_MAX_BYTES) {
        return why_set(&rq->why, ERR_LIMIT, "理由太长", "the reason is too long");
    }
    if (e == ERR_OK) {
        e = load_conflict(&dc);
    }
    if (e == ERR_OK) {
        e = may_decide(&dc, has_value);
    }
    if (e == ERR_OK && !dc.entry.is_open && !request_flag(rq, "reopen")) {
        return why_set(&rq->why, ERR_CONFLICT, "这个冲突已经裁定；要改判请加 --reopen",
            "this conflict is settled already; add --reopen to decide again");
    }
    if (e == ERR_OK) {
        e = chosen_value(&dc, take, has_value);
    }
    if (e != ERR_OK) {
        return e;
    }
    dc.field.field = dc.f;
    rec.fields = &dc.field;
    return write_existing(&dc.w, &rec, ACTION_DECIDE);
}

const struct request_verb handlers_write[] = {
    { "new", verb_new, 0 },
    { "set", verb_set, 0 },
    { "delete", verb_delete, 0 },
    { "decide", verb_decide, 0 },
    { NULL, NULL, 0 },
};
