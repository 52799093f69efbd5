/*
 * Owns: the facts an access decision needs about a dossier: who owns it, whose station it is, consent, open tasks; and
 * the refusals that must not depend on data. Invariant: what is refused for every row is refused before a row is looked
 * up, and what a viewer may not know of gets the answer of what does not exist. Decides nothing itself: sync/access.c.
 */
#include "node/derive.h"
#include "node/view.h"

#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"

static struct value value_of(const struct entity_desc *d, const struct row *row, uint32_t number)
{
    return row->values[catalogue_field_index(d, catalogue_field(d, number))];
}

static bool names_me(const struct viewing *v, struct value login)
{
    return login.type == VALUE_TEXT && bytes_equal(login.s, bytes_str(v->user->login));
}

struct task_search {
    struct viewing *v;
    bool is_found;
};

struct giver_search {
    struct dot dot;
    uint32_t author;
};

static enum err see_giver(void *ctx, const struct history_item *item)
{
    struct giver_search *s = ctx;
    if (dot_equal(item->write.dot, s->dot)) {
        s->author = item->write.author;
    }
    return ERR_OK;
}

/* A task that one gave oneself opens nothing: else anybody could open any customer. */
static enum err given_by_another(struct viewing *v, const struct entity_desc *d, const struct row *row, bool *out)
{
    struct versions versions = { 0 };
    const struct field *owner = catalogue_field(d, FOLLOWUP_TASK_OWNER);
    enum err e = versions_take(row->versions, &versions);
    struct giver_search s = { .dot = versions.at[FOLLOWUP_TASK_OWNER] };
    if (e == ERR_OK) {
        e = core_history(&v->app->core, v->a, d, row->id, owner, see_giver, &s);
    }
    if (e == ERR_OK) {
        *out = s.author != 0 && s.author != v->user->number;
    }
    return e;
}

static enum err see_task(void *ctx, const struct row *row)
{
    struct task_search *s = ctx;
    const struct entity_desc *d = catalogue_entity(ENTITY_FOLLOWUP_TASK);
    const struct field *f = catalogue_field(d, FOLLOWUP_TASK_STATE);
    struct value state = VALUE_NONE;
    if (s->is_found || !names_me(s->v, value_of(d, row, FOLLOWUP_TASK_OWNER))) {
        return ERR_OK;
    }
    enum err e = field_derive(d, f, s->v->a, row->values, s->v->today, &state);
    if (e != ERR_OK || state.type != VALUE_INT || (state.i != CODE_TASK_OPEN && state.i != CODE_TASK_OVERDUE)) {
        return e;
    }
    return given_by_another(s->v, d, row, &s->is_found);
}

/* Roles whose work reaches a customer through a task somebody gave them. A consultant's own plan gives him nothing. */
static bool works_by_task(uint32_t roles)
{
    const uint32_t by_task = role_bit(ROLE_SA) | role_bit(ROLE_WM) | role_bit(ROLE_TC) | role_bit(ROLE_QI) |
                             role_bit(ROLE_CS) | role_bit(ROLE_FN) | role_bit(ROLE_PK);
    return (roles & by_task) != 0;
}

static enum err find_tasks(struct viewing *v, struct view_facts *facts)
{
    struct task_search s = { .v = v };
    const struct store_query q = { .entity = ENTITY_FOLLOWUP_TASK, .dossier = &facts->dossier.id };
    if (!works_by_task(v->user->roles) || facts->dossier.kind != DOSSIER_CUSTOMER) {
        return ERR_OK;
    }
    enum err e = v->app->store->ops->row_find(v->app->store, &q, 0, see_task, &s);
    if (e == ERR_OK && s.is_found) {
        facts->read_scope |= SCOPE_TASK;
    }
    return e;
}

static uint32_t scope_of(const struct viewing *v, const struct dossier *d)
{
    uint32_t owner = d->owner != 0 ? d->owner : d->creator;
    bool is_book = d->kind == DOSSIER_STATION_BOOK || d->kind == DOSSIER_GROUP_BOOK;
    uint32_t scope = SCOPE_GROUP;
    if (d->station != MEMBERS_GROUP_STATION && d->station == v->user->station) {
        scope |= SCOPE_STATION;
    }
    if (!is_book && owner == v->user->number) {
        scope |= SCOPE_OWN;
    }
    return scope;
}

enum err view_facts_of(struct viewing *v, struct dossier_id id, const struct view_facts **out)
{
    if (v->has_facts && dossier_id_compare(v->facts.dossier.id, id) == 0) {
        *out = &v->facts;
        return ERR_OK;
    }
    struct view_facts facts = { 0 };
    const struct deriver dv = { .app = v->app, .a = v->a, .today = v->today };
    v->has_facts = false;
    enum err e = v->app->store->ops->dossier_get(v->app->store, id, v->a, &facts.dossier);
    if (e != ERR_OK) {
        return e;
    }
    facts.dossier.seen = (struct bytes){ 0 };
    facts.scope = scope_of(v, &facts.dossier);
    facts.read_scope = facts.scope;
    if (facts.dossier.kind == DOSSIER_CUSTOMER) {
        e = derive_consent_sensitive(&dv, id, &facts.has_consent_sensitive);
    }
    if (e == ERR_OK) {
        e = find_tasks(v, &facts);
    }
    if (e == ERR_OK) {
        v->facts = facts;
        v->has_facts = true;
        *out = &v->facts;
    }
    return e;
}

enum err view_facts_of_row(
    struct viewing *v, const struct entity_desc *d, const struct row *row, struct view_facts *out)
{
    const struct view_facts *facts = NULL;
    enum err e = view_facts_of(v, record_dossier(row->id), &facts);
    if (e != ERR_OK) {
        return e;
    }
    *out = *facts;
    if (d->entity == ENTITY_LEAD_INTAKE && facts->dossier.kind == DOSSIER_STATION_BOOK &&
        (names_me(v, value_of(d, row, LEAD_INTAKE_RECEPTIONIST)) ||
            names_me(v, value_of(d, row, LEAD_INTAKE_CONSULTANT)))) {
        out->read_scope |= SCOPE_OWN;
    }
    return ERR_OK;
}

static bool is_writing(enum action action)
{
    return action == ACTION_CREATE || action == ACTION_UPDATE || action == ACTION_DELETE || action == ACTION_DECIDE;
}

struct access_answer view_ask(const struct viewing *v, const struct view_facts *facts, const struct entity_desc *d,
    const struct field *f, enum action action)
{
    struct access_query q = { .roles = v->user->roles,
        .purpose = v->purpose,
        .scope = SCOPE_ALL,
        .entity = d,
        .field = f,
        .action = action,
        .has_consent_sensitive = true,
        .has_open_order = true };
    if (facts != NULL) {
        q.scope = is_writing(action) ? facts->scope : facts->read_scope;
        q.has_consent_sensitive = facts->has_consent_sensitive;
        q.has_open_order = facts->has_open_order;
    }
    return access_decide(&q);
}

enum err view_may_ever(struct viewing *v, const struct entity_desc *d, const struct field *f, enum action action,
    const struct record_id *record)
{
    struct access_answer answer = view_ask(v, NULL, d, f, action);
    enum view least = action == ACTION_READ ? VIEW_MASKED : VIEW_CLEAR;
    return answer.view >= least ? ERR_OK : view_deny(v, d, record, f, &answer);
}

enum err view_enter(struct viewing *v, const struct entity_desc *d, const struct record_id *record)
{
    return view_may_ever(v, d, NULL, ACTION_READ, record);
}

bool view_sees_row(
    const struct viewing *v, const struct view_facts *facts, const struct entity_desc *d, bool any_purpose)
{
    if (view_ask(v, facts, d, NULL, ACTION_READ).view >= VIEW_MASKED) {
        return true;
    }
    struct viewing other = { .user = v->user };
    for (uint32_t bit = PURPOSE_P1; any_purpose && bit <= PURPOSE_P11; bit <<= 1) {
        other.purpose = (enum purpose)bit;
        if (view_ask(&other, facts, d, NULL, ACTION_READ).view >= VIEW_MASKED) {
            return true;
        }
    }
    return false;
}

enum err view_deny(struct viewing *v, const struct entity_desc *d, const struct record_id *record,
    const struct field *f, const struct access_answer *answer)
{
    v->note_count = 0;
    struct audit_entry *note = view_note(v, AUDIT_DENIED, d, record);
    if (note == NULL) {
        return ERR_NOMEM;
    }
    note->result = ERR_DENIED;
    if (f != NULL) {
        note->fields[note->field_count++] = f->number;
    }
    enum err e = view_release(v, NULL);
    return e == ERR_OK ? request_deny(v->rq, answer) : e;
}

enum err view_not_found(
    struct viewing *v, enum audit_event event, const struct entity_desc *d, const struct record_id *record)
{
    v->note_count = 0;
    struct audit_entry *note = view_note(v, event, d, record);
    if (note == NULL) {
        return ERR_NOMEM;
    }
    note->result = ERR_NOT_FOUND;
    enum err e = view_release(v, NULL);
    return e == ERR_OK ? why_set(&v->rq->why, ERR_NOT_FOUND, "没有这条记录，或不在您能查看的范围内",
                             "no such record, or none that you may see")
                       : e;
}
