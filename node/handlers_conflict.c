/*
 * Owns: showing the conflict log. Who may know that a conflict exists and who may see its values are two questions:
 * administrators get id, entity and field; those whose rows it concerns get the values as sync/access.c lets them.
 * Invariant: an entry about a row the viewer may not know of is neither listed nor counted, unless his role has no rows
 * at all and only keeps the log short.
 */
#include "node/handlers_conflict.h"

#include "node/view.h"
#include "schema/base/check.h"

enum { CONFLICT_LIMIT_DEFAULT = 1000, CONFLICT_LIMIT_MAX = 10000 };

struct listing {
    struct viewing v;
    bool only_open;
    size_t limit;
    json_t *found;
    struct audit_entry *summary;
    struct audit_entry *shown;
    struct dossier_id shown_of;
};

/* One competing value: how it is shown was decided for the field. */
static enum err write_json(struct listing *li, const struct field *f, const struct conflict_write *w,
    const struct access_answer *answer, struct audit_entry *note, json_t **out)
{
    json_t *line = NULL;
    enum err e = view_value(&li->v, f, w->value, answer, note, &line);
    if (e != ERR_OK) {
        return e;
    }
    if (line == NULL) {
        line = json_pack("{ss}", "view", "hidden");
    }
    (void)json_object_set_new(line, "commit", view_dot(w->dot));
    (void)json_object_set_new(line, "user", view_login(&li->v, w->author));
    (void)json_object_set_new(line, "at", view_instant(hlc_wall_ms(w->hlc)));
    (void)json_object_set_new(line, "decision", json_boolean(w->is_decision));
    if (answer->view == VIEW_CLEAR && w->reason.len > 0) {
        (void)json_object_set_new(line, "reason", view_text(w->reason));
    }
    *out = line;
    return ERR_OK;
}

static enum err add_writes(struct listing *li, const struct field *f, const struct conflict_entry *entry,
    const struct access_answer *answer, struct audit_entry *note, json_t *out)
{
    json_t *losers = json_array();
    json_t *decided = json_array();
    (void)json_object_set_new(out, "losers", losers);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < entry->siblings.count; i++) {
        json_t *line = NULL;
        e = write_json(li, f, &entry->siblings.at[i], answer, note, &line);
        if (e == ERR_OK && i == entry->winner) {
            (void)json_object_set_new(out, "winner", line);
        } else if (e == ERR_OK) {
            (void)json_array_append_new(losers, line);
        }
    }
    for (size_t i = 0; e == ERR_OK && i < entry->settled_by.count; i++) {
        json_t *line = NULL;
        e = write_json(li, f, &entry->settled_by.at[i], answer, note, &line);
        if (e == ERR_OK) {
            (void)json_array_append_new(decided, line);
        }
    }
    if (json_array_size(decided) > 0) {
        (void)json_object_set(out, "decided", decided);
    }
    json_decref(decided);
    if (entry->siblings.total > entry->siblings.count) {
        (void)json_object_set_new(
            out, "not_listed", json_integer((json_int_t)(entry->siblings.total - entry->siblings.count)));
    }
    return e;
}

static const char *rule_name(enum merge_rule rule)
{
    static const char *const names[MERGE_COUNT] = { [MERGE_LWW] = "lww",
        [MERGE_MAX] = "max",
        [MERGE_MIN] = "min",
        [MERGE_SET] = "set",
        [MERGE_EVENT] = "event",
        [MERGE_OWNER] = "owner",
        [MERGE_MANUAL] = "manual",
        [MERGE_FIXED] = "fixed",
        [MERGE_STATE] = "state",
        [MERGE_DERIVED] = "derived" };
    return (unsigned)rule < MERGE_COUNT ? names[rule] : "?";
}

/* What everybody with the right to list may know. */
static json_t *entry_outline(const struct conflict_entry *entry, const struct entity_desc *d, const struct field *f)
{
    char id[2 * CONFLICT_ID_BYTES + 1];
    hex_text(BYTES_OF(entry->id), id);
    json_t *out = json_object();
    (void)json_object_set_new(out, "id", json_string(id));
    (void)json_object_set_new(out, "entity", json_string(d->name));
    (void)json_object_set_new(out, "field", json_string(f == NULL ? "_deleted" : f->name));
    (void)json_object_set_new(out, "open", json_boolean(entry->is_open));
    return out;
}

static json_t *hidden_write(void)
{
    return json_pack("{ss}", "view", "hidden");
}

static enum err show_outline(
    struct listing *li, const struct conflict_entry *entry, const struct entity_desc *d, const struct field *f)
{
    json_t *out = entry_outline(entry, d, f);
    json_t *losers = json_array();
    (void)json_object_set_new(out, "winner", hidden_write());
    for (size_t i = 1; i < entry->siblings.count; i++) {
        (void)json_array_append_new(losers, hidden_write());
    }
    (void)json_object_set_new(out, "losers", losers);
    li->summary->count++;
    return json_array_append_new(li->found, out) == 0 ? ERR_OK : ERR_NOMEM;
}

static struct audit_entry *note_of(struct listing *li, const struct conflict_entry *entry, const struct entity_desc *d)
{
    struct dossier_id id = record_dossier(entry->record);
    if (li->shown == NULL || dossier_id_compare(id, li->shown_of) != 0) {
        li->shown = view_note(&li->v, AUDIT_CONFLICTS, d, &entry->record);
        li->shown_of = id;
    }
    return li->shown;
}

static enum err show_entry(struct listing *li, const struct view_facts *facts, const struct conflict_entry *entry,
    const struct entity_desc *d, const struct field *f)
{
    const struct access_query q = { .roles = li->v.user->roles,
        .purpose = li->v.purpose,
        .scope = facts->read_scope,
        .entity = d,
        .field = f,
        .has_consent_sensitive = facts->has_consent_sensitive,
        .has_open_order = facts->has_open_order };
    struct access_answer answer = access_conflict_view(&q);
    struct audit_entry *note = note_of(li, entry, d);
    if (note == NULL) {
        return ERR_NOMEM;
    }
    json_t *out = entry_outline(entry, d, f);
    (void)json_object_set_new(out, "record", view_record_id(d, entry->record));
    (void)json_object_set_new(out, "label", json_pack("{ssss}", "zh", f->zh, "en", f->en));
    (void)json_object_set_new(out, "grade", json_string(entry->grade == GRADE_CONFLICT ? "conflict" : "agreed"));
    (void)json_object_set_new(out, "rule", json_string(rule_name(entry->rule)));
    enum err e = add_writes(li, f, entry, &answer, note, out);
    if (e != ERR_OK) {
        json_decref(out);
        return e;
    }
    note->count++;
    li->summary->count++;
    return json_array_append_new(li->found, out) == 0 ? ERR_OK : ERR_NOMEM;
}

/* A role that is given no row of this kind in any scope only learns that the conflict exists. */
static bool has_no_rows(const struct listing *li, const struct entity_desc *d)
{
    const struct view_facts any = { .read_scope = SCOPE_ALL, .has_consent_sensitive = true, .has_open_order = true };
    return !view_sees_row(&li->v, &any, d, true);
}

static enum err consider(struct listing *li, const struct conflict_entry *entry)
{
    const struct entity_desc *d = catalogue_entity((enum entity)entry->entity);
    const struct field *f = d == NULL ? NULL : catalogue_field(d, entry->field);
    const struct view_facts *facts = NULL;
    if (d == NULL || (f == NULL && entry->field != 0) || (li->only_open && !entry->is_open)) {
        return ERR_OK;
    }
    if (f != NULL && (f->flags & FIELD_HIDDEN) != 0) {
        return ERR_OK;
    }
    if (has_no_rows(li, d) || f == NULL) {
        return show_outline(li, entry, d, f);
    }
    enum err e = view_facts_of(&li->v, record_dossier(entry->record), &facts);
    if (e != ERR_OK || !view_sees_row(&li->v, facts, d, true)) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    return show_entry(li, facts, entry, d, f);
}

static enum err see_conflict(void *ctx, struct bytes key, struct bytes value)
{
    struct listing *li = ctx;
    struct bytes copy = { 0 };
    struct conflict_entry entry = { .winner = 0 };
    (void)key;
    enum err e = arena_dup(li->v.a, value, &copy);
    if (e == ERR_OK) {
        e = conflict_take(copy, li->v.a, &entry);
    }
    if (e == ERR_OK) {
        e = consider(li, &entry);
    }
    return e == ERR_OK && json_array_size(li->found) >= li->limit ? ERR_EXISTS : e;
}

/* Who may list at all; the summary note. */
static enum err begin(struct listing *li, struct request *rq)
{
    int64_t limit = request_int(rq, "limit", CONFLICT_LIMIT_DEFAULT);
    enum err e = view_begin(&li->v, rq);
    if (e != ERR_OK) {
        return e;
    }
    if (limit < 1 || limit > CONFLICT_LIMIT_MAX) {
        return why_set(&rq->why, ERR_USAGE, "--limit 在 1 到 10000 之间", "--limit goes from 1 to 10000");
    }
    struct access_answer answer = access_admin(rq->user->roles, ADMIN_CONFLICT_LIST);
    if (answer.view != VIEW_CLEAR) {
        return view_deny(&li->v, NULL, NULL, NULL, &answer);
    }
    li->limit = (size_t)limit;
    li->summary = view_note(&li->v, AUDIT_CONFLICTS, NULL, NULL);
    if (li->summary == NULL) {
        return ERR_NOMEM;
    }
    li->summary->role = answer.role;
    li->found = json_array();
    return li->found == NULL ? ERR_NOMEM : ERR_OK;
}

enum err handle_conflicts(struct request *rq)
{
    struct listing li = { .only_open = request_flag(rq, "open") };
    const struct bytes all = { 0 };
    enum err e = begin(&li, rq);
    if (e == ERR_OK) {
        e = rq->app->store->ops->scan(rq->app->store, SPACE_CONFLICT, all, all, false, see_conflict, &li);
    }
    if (e == ERR_EXISTS && json_array_size(li.found) >= li.limit) {
        e = ERR_OK;
    }
    if (e != ERR_OK) {
        json_decref(li.found);
        return e;
    }
    return view_release(&li.v, li.found);
}

enum err handle_conflict(struct request *rq)
{
    struct listing li = { .limit = 0 };
    struct bytes text = { 0 };
    struct bytes bytes = { 0 };
    uint8_t id[CONFLICT_ID_BYTES];
    enum err e = request_need(rq, "id", &text);
    if (e == ERR_OK && hex_parse(text, id, sizeof(id)) != ERR_OK) {
        return why_set(&rq->why, ERR_USAGE, "冲突编号应是 32 位十六进制数", "a conflict id has 32 hexadecimal digits");
    }
    if (e == ERR_OK) {
        e = begin(&li, rq);
    }
    if (e == ERR_OK) {
        e = rq->app->store->ops->get(rq->app->store, SPACE_CONFLICT, BYTES_OF(id), li.v.a, &bytes);
        if (e == ERR_OK) {
            e = see_conflict(&li, BYTES_OF(id), bytes);
        }
        e = e == ERR_EXISTS ? ERR_OK : e;
    }
    json_t *one = e == ERR_OK ? json_incref(json_array_get(li.found, 0)) : NULL;
    json_decref(li.found);
    if (e == ERR_NOT_FOUND || (e == ERR_OK && one == NULL)) {
        e = view_not_found(&li.v, AUDIT_CONFLICTS, NULL, NULL);
        return e == ERR_NOT_FOUND ? why_set(&rq->why, e, "没有这个冲突，或不在您能查看的范围内",
                                        "no such conflict, or none that you may see")
                                  : e;
    }
    return e == ERR_OK ? view_release(&li.v, one) : e;
}
