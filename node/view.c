/*
 * Owns: turning stored values into outgoing ones, and the audit notes that go with it. Invariants: no value is put into
 * JSON but by view_value, under an answer of sync/access.c; every value put there stands in a note; notes are durable
 * before the result is handed to the request. Deliberately not here: which rows there are, what may be written.
 */
#include "node/view.h"

#include "node/derive.h"
#include "schema/base/check.h"
#include "schema/date.h"

#include <stdio.h>

enum { STATION_OFFSET_MS = 8 * 3600 * 1000, CONTESTED_KEY_BYTES = RECORD_ID_BYTES + 8 };

/* --- reading what was asked
 * --------------------------------------------------------------------------------------------- */

int64_t view_day(int64_t ms)
{
    char text[DATE_TEXT_BYTES];
    int64_t day = 0;
    (void)instant_text(ms + STATION_OFFSET_MS, text);
    return date_parse(bytes_of(text, 10), &day) == ERR_OK ? day : 0;
}

int64_t view_day_start(int64_t yyyymmdd)
{
    char text[DATE_TEXT_BYTES];
    int64_t ms = 0;
    size_t len = date_text(yyyymmdd, text);
    return instant_parse(bytes_of(text, len), &ms) == ERR_OK ? ms : 0;
}

enum err view_begin(struct viewing *v, struct request *rq)
{
    struct bytes purpose = request_text(rq, "purpose");
    *v = (struct viewing){ .rq = rq,
        .app = rq->app,
        .a = &rq->app->arena,
        .user = rq->user,
        .purpose = purpose_parse(purpose),
        .today = view_day(rq->now.wall_ms) };
    check(rq->user != NULL);
    if (purpose.len > 0 && v->purpose == PURPOSE_NONE) {
        return why_set(&rq->why, ERR_USAGE, "没有这个目的；目的是 P1 到 P11，见 jipan policy show",
            "no such purpose; purposes are P1 to P11, see jipan policy show");
    }
    return ERR_OK;
}

enum err view_parse_entity(struct viewing *v, struct bytes name, const struct entity_desc **d)
{
    const struct entity_desc *found = catalogue_entity_by_name(name);
    if (found != NULL) {
        *d = found;
        return ERR_OK;
    }
    const char *near = catalogue_nearest_entity(name);
    if (near != NULL) {
        return why_setf(
            &v->rq->why, ERR_USAGE, "没有这类资料；您是要 %s 吗？", "no such entity; did you mean %s?", near);
    }
    return why_set(&v->rq->why, ERR_USAGE, "没有这类资料；用 jipan help 查看有哪些",
        "no such entity; see jipan help for the list");
}

enum err view_parse_field(struct viewing *v, const struct entity_desc *d, struct bytes name, const struct field **f)
{
    const struct field *found = catalogue_field_by_name(d, name);
    if (found == NULL) {
        found = catalogue_input_alias(d, name);
    }
    if (found != NULL) {
        *f = found;
        return ERR_OK;
    }
    const char *near = catalogue_nearest_field(d, name);
    if (near != NULL) {
        return why_setf(
            &v->rq->why, ERR_USAGE, "没有这个字段；您是要 %s 吗？", "no such field; did you mean %s?", near);
    }
    return why_setf(&v->rq->why, ERR_USAGE, "%s 没有这个字段", "%s has no such field", d->name);
}

enum err view_parse_id(struct viewing *v, struct bytes text, const struct entity_desc **d, struct record_id *id)
{
    const uint8_t *slash = text.len == 0 ? NULL : memchr(text.ptr, '/', text.len);
    const struct entity_desc *found = NULL;
    struct record_id parsed = { 0 };
    if (slash == NULL) {
        return why_set(&v->rq->why, ERR_USAGE, "编号写成 类型/编号，例如 customer/0123…",
            "write an id as entity/id, e.g. customer/0123…");
    }
    size_t name_len = (size_t)(slash - text.ptr);
    enum err e = view_parse_entity(v, bytes_of(text.ptr, name_len), &found);
    if (e != ERR_OK) {
        return e;
    }
    if (record_id_parse(bytes_of(slash + 1, text.len - name_len - 1), &parsed) != ERR_OK) {
        return why_set(&v->rq->why, ERR_USAGE, "编号应是 32 位十六进制数", "an id has 32 hexadecimal digits");
    }
    *d = found;
    *id = parsed;
    return ERR_OK;
}

/* --- JSON
 * --------------------------------------------------------------------------------------------------------------- */

json_t *view_text(struct bytes text)
{
    return json_stringn(text.len == 0 ? "" : (const char *)text.ptr, text.len);
}

json_t *view_record_id(const struct entity_desc *d, struct record_id id)
{
    char hex[ID_TEXT_BYTES + 1];
    record_id_text(id, hex);
    return json_sprintf("%s/%s", d->name, hex);
}

json_t *view_dot(struct dot dot)
{
    char text[DOT_TEXT_BYTES];
    (void)dot_text(dot, text);
    return json_string(text);
}

json_t *view_instant(int64_t ms)
{
    char text[DATE_TEXT_BYTES];
    size_t len = instant_text(ms, text);
    return json_stringn(text, len);
}

json_t *view_login(const struct viewing *v, uint32_t user)
{
    const struct member_user *u = members_user(v->app->members, user);
    return u == NULL ? json_sprintf("#%u", (unsigned)user) : json_string(u->login);
}

/* --- values
 * ------------------------------------------------------------------------------------------------------------- */

enum err view_value(struct viewing *v, const struct field *f, struct value value, const struct access_answer *answer,
    struct audit_entry *note, json_t **out)
{
    struct bytes text = { 0 };
    if (answer->view < VIEW_MASKED) {
        *out = NULL;
        return ERR_OK;
    }
    bool is_clear = answer->view == VIEW_CLEAR;
    enum err e = is_clear ? field_text(f, v->a, value, &text) : field_mask(f, v->a, value, &text);
    if (e != ERR_OK) {
        return e;
    }
    json_t *cell = json_object();
    (void)json_object_set_new(cell, "value", view_text(text));
    (void)json_object_set_new(cell, "view", json_string(is_clear ? "clear" : "masked"));
    const struct code *code =
        is_clear && f->type == FIELD_CODE && value.type == VALUE_INT ? code_by_number(f->codes, value.i) : NULL;
    if (code != NULL) {
        (void)json_object_set_new(cell, "meaning", json_pack("{ssss}", "zh", code->zh, "en", code->en));
    }
    view_note_field(note, f, answer);
    *out = cell;
    return cell == NULL ? ERR_NOMEM : ERR_OK;
}

/* The customer a child belongs to is its place, not a stored value. */
static enum err fill_place(
    struct viewing *v, const struct view_facts *facts, const struct field *f, struct record_id id, struct value *out)
{
    if ((f->flags & FIELD_DOSSIER) == 0 || facts->dossier.kind != DOSSIER_CUSTOMER) {
        return ERR_OK;
    }
    struct record_id *main = arena_alloc(v->a, sizeof(*main));
    if (main == NULL) {
        return ERR_NOMEM;
    }
    *main = record_id_make(record_dossier(id), NULL);
    *out = value_id(main);
    return ERR_OK;
}

enum err view_fill(struct viewing *v, const struct view_facts *facts, const struct entity_desc *d,
    const struct row *row, struct row *out)
{
    const struct deriver dv = { .app = v->app, .a = v->a, .today = v->today };
    struct row full = *row;
    enum err e = ERR_OK;
    full.values = arena_array(v->a, d->field_count, sizeof(*full.values));
    if (full.values == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; e == ERR_OK && i < d->field_count; i++) {
        const struct field *f = &d->fields[i];
        full.values[i] = row->values[i];
        if (f->merge == MERGE_DERIVED && (f->flags & FIELD_HIDDEN) == 0 && full.values[i].type == VALUE_NULL) {
            e = derive_value(&dv, d, f, row, &full.values[i]);
        } else {
            e = fill_place(v, facts, f, row->id, &full.values[i]);
        }
    }
    if (e == ERR_OK) {
        *out = full;
    }
    return e;
}

enum err view_has_open_conflict(struct viewing *v, struct record_id id, enum entity entity, uint32_t field, bool *out)
{
    uint8_t key[CONTESTED_KEY_BYTES];
    struct bytes ids = { 0 };
    const struct store_ops *ops = v->app->store->ops;
    memcpy(key, id.b, RECORD_ID_BYTES);
    for (size_t i = 0; i < 4; i++) {
        key[RECORD_ID_BYTES + i] = (uint8_t)((uint32_t)entity >> (8 * (3 - i)));
        key[RECORD_ID_BYTES + 4 + i] = (uint8_t)(field >> (8 * (3 - i)));
    }
    bool is_open = false;
    enum err e = ops->get(v->app->store, SPACE_CONTESTED, BYTES_OF(key), v->a, &ids);
    for (size_t i = 0; e == ERR_OK && i + CONFLICT_ID_BYTES <= ids.len; i += CONFLICT_ID_BYTES) {
        struct bytes bytes = { 0 };
        struct conflict_entry entry = { .winner = 0 };
        e = ops->get(v->app->store, SPACE_CONFLICT, bytes_of(ids.ptr + i, CONFLICT_ID_BYTES), v->a, &bytes);
        if (e == ERR_OK) {
            e = conflict_take(bytes, v->a, &entry);
        }
        is_open = is_open || (e == ERR_OK && entry.is_open);
    }
    if (e == ERR_OK || e == ERR_NOT_FOUND) {
        *out = is_open;
        return ERR_OK;
    }
    return e;
}

static enum err add_field(struct viewing *v, const struct entity_desc *d, const struct row *row,
    const struct versions *versions, const struct field *f, const struct access_answer *answer,
    struct audit_entry *note, json_t *fields)
{
    json_t *cell = NULL;
    bool is_open = false;
    enum err e = view_value(v, f, row->values[catalogue_field_index(d, f)], answer, note, &cell);
    if (e != ERR_OK || cell == NULL) {
        return e;
    }
    (void)json_object_set_new(cell, "label", json_pack("{ssss}", "zh", f->zh, "en", f->en));
    if (f->number <= VERSIONS_FIELD_MAX && (versions->contested >> f->number & 1) != 0) {
        e = view_has_open_conflict(v, row->id, d->entity, f->number, &is_open);
    }
    if (is_open) {
        (void)json_object_set_new(cell, "conflict", json_true());
    }
    (void)json_object_set_new(fields, f->name, cell);
    return e;
}

enum err view_record(struct viewing *v, const struct view_facts *facts, const struct entity_desc *d,
    const struct row *row, struct audit_entry *note, json_t **out)
{
    struct versions versions = { 0 };
    enum err e = row->versions.len == 0 ? ERR_OK : versions_take(row->versions, &versions);
    json_t *fields = json_object();
    for (size_t i = 0; e == ERR_OK && i < d->field_count; i++) {
        const struct field *f = &d->fields[i];
        if (row->values[i].type != VALUE_NULL) {
            struct access_answer answer = view_ask(v, facts, d, f, ACTION_READ);
            e = add_field(v, d, row, &versions, f, &answer, note, fields);
        }
    }
    if (e != ERR_OK || json_object_size(fields) == 0) {
        json_decref(fields);
        *out = NULL;
        return e;
    }
    json_t *record = json_object();
    (void)json_object_set_new(record, "id", view_record_id(d, row->id));
    (void)json_object_set_new(record, "entity", json_string(d->name));
    (void)json_object_set_new(record, "fields", fields);
    if (row->is_deleted) {
        (void)json_object_set_new(record, "deleted", json_true());
    }
    *out = record;
    return record == NULL ? ERR_NOMEM : ERR_OK;
}

/* --- audit
 * ------------------------------------------------------------------------------------------------------------- */

static bool grow_notes(struct viewing *v)
{
    if (v->note_count < v->note_capacity) {
        return true;
    }
    size_t capacity = v->note_capacity == 0 ? 8 : v->note_capacity * 2;
    struct audit_entry **grown = (struct audit_entry **)arena_array(&v->app->arena, capacity, sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    if (v->note_count > 0) {
        memcpy(grown, v->notes, v->note_count * sizeof(*grown));
    }
    v->notes = grown;
    v->note_capacity = capacity;
    return true;
}

void view_note_dossier(struct viewing *v, struct audit_entry *note, struct dossier_id id)
{
    audit_pseudonym(&v->app->core.audit, BYTES_OF(id.b), note->subject);
}

struct audit_entry *view_note(
    struct viewing *v, enum audit_event event, const struct entity_desc *d, const struct record_id *record)
{
    struct audit_entry *note = arena_alloc(&v->app->arena, sizeof(*note));
    if (note == NULL || !grow_notes(v)) {
        return NULL;
    }
    v->notes[v->note_count++] = note;
    *note = (struct audit_entry){ .event = event,
        .user = v->user->number,
        .roles = v->user->roles,
        .purpose = v->purpose,
        .entity = d == NULL ? 0 : (uint32_t)d->entity };
    if (record != NULL) {
        view_note_dossier(v, note, record_dossier(*record));
        audit_pseudonym(&v->app->core.audit, BYTES_OF(record->b), note->record);
    }
    return note;
}

static bool is_personal(const struct field *f)
{
    return f != NULL && f->class_ != CLASS_PUBLIC && f->class_ != CLASS_BUSINESS;
}

/* The view noted is the best of a personal field; that of others counts only while no personal one was shown. */
void view_note_field(struct audit_entry *note, const struct field *f, const struct access_answer *answer)
{
    const struct entity_desc *d = catalogue_entity((enum entity)note->entity);
    bool is_there = false;
    bool has_personal = false;
    for (uint32_t i = 0; i < note->field_count; i++) {
        is_there = is_there || note->fields[i] == f->number;
        has_personal = has_personal || (d != NULL && is_personal(catalogue_field(d, note->fields[i])));
    }
    if (!is_there && note->field_count < AUDIT_FIELDS_MAX) {
        note->fields[note->field_count++] = f->number;
    }
    bool is_first = is_personal(f) && !has_personal;
    bool counts = is_personal(f) || !has_personal;
    if (is_first || (counts && (uint8_t)answer->view > note->view)) {
        note->view = (uint8_t)answer->view;
        note->role = answer->role;
    }
}

enum err view_append_notes(struct viewing *v)
{
    struct core *c = &v->app->core;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < v->note_count; i++) {
        v->notes[i]->hlc = hlc_tick(c->hlc, v->rq->now);
        e = audit_append(&c->audit, &v->app->arena, v->notes[i]);
    }
    return e;
}

enum err view_open(struct viewing *v)
{
    enum err e = v->is_open ? ERR_OK : app_begin(v->app);
    v->is_open = e == ERR_OK;
    return e;
}

void view_leave(struct viewing *v)
{
    if (v->is_open) {
        v->app->store->ops->rollback(v->app->store);
        v->is_open = false;
    }
}

enum err view_release(struct viewing *v, json_t *result)
{
    enum err e = view_open(v);
    if (e == ERR_OK) {
        v->is_open = false;
        e = app_end_unseen(v->app, view_append_notes(v));
    }
    if (e != ERR_OK) {
        json_decref(result);
        return why_set(&v->rq->why, e, "审计日志写不进去，所以没有给出结果",
            "the audit log cannot be written, so nothing is shown");
    }
    if (result != NULL) {
        request_set(v->rq, result);
    }
    return ERR_OK;
}
