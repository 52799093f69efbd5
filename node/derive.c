/*
 * Owns: what follows from several records of one dossier. Invariants: a function of the rows held here and of today's
 * date; nothing is stored. Deliberately not here: who may see it, and figures over many customers.
 */
#include "node/derive.h"

#include "node/view.h"
#include "schema/base/check.h"
#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"

enum { MS_PER_DAY = 24 * 3600 * 1000, DAYS_O = 7, DAYS_H = 2, DAYS_A = 7, DAYS_B = 15, CONTACTS_B_PER_MONTH = 2 };

static struct value get(const struct entity_desc *d, const struct row *row, uint32_t number)
{
    return row->values[catalogue_field_index(d, catalogue_field(d, number))];
}

static bool is_code(struct value v, int64_t code)
{
    return v.type == VALUE_INT && v.i == code;
}

static enum err each_row(
    const struct deriver *dv, enum entity entity, struct dossier_id dossier, store_row_fn fn, void *ctx)
{
    const struct store_query q = { .entity = entity, .dossier = &dossier };
    return dv->app->store->ops->row_find(dv->app->store, &q, 0, fn, ctx);
}

int64_t derive_add_days(int64_t yyyymmdd, int64_t days)
{
    return view_day(view_day_start(yyyymmdd) + days * MS_PER_DAY);
}

static int64_t month_of(int64_t yyyymmdd)
{
    return yyyymmdd / 100;
}

static int64_t month_after(int64_t yyyymm)
{
    return yyyymm % 100 == 12 ? (yyyymm / 100 + 1) * 100 + 1 : yyyymm + 1;
}

static int64_t month_end(int64_t yyyymm)
{
    return derive_add_days(month_after(yyyymm) * 100 + 1, -1);
}

/* --- consent
 * ------------------------------------------------------------------------------------------------------------ */

enum { CONSENT_PURPOSES = 16 };

/* The newest event of each purpose; a withdrawal beats a grant of the same moment. */
struct consents {
    struct {
        bool has;
        int64_t at;
        int64_t action;
    } of[CONSENT_PURPOSES]; /* by code number */
};

static enum err see_consent(void *ctx, const struct row *row)
{
    struct consents *c = ctx;
    const struct entity_desc *d = catalogue_entity(ENTITY_CONSENT);
    struct value purpose = get(d, row, CONSENT_PURPOSE);
    struct value action = get(d, row, CONSENT_ACTION);
    struct value at = get(d, row, CONSENT_GIVEN_AT);
    if (purpose.type != VALUE_INT || purpose.i < 0 || purpose.i >= CONSENT_PURPOSES || action.type != VALUE_INT) {
        return ERR_OK;
    }
    int64_t when = at.type == VALUE_INT ? at.i : 0;
    bool is_newer = !c->of[purpose.i].has || when > c->of[purpose.i].at;
    if (is_newer || (when == c->of[purpose.i].at && action.i == CODE_CONSENT_WITHDRAW)) {
        c->of[purpose.i].has = true;
        c->of[purpose.i].at = when;
        c->of[purpose.i].action = action.i;
    }
    return ERR_OK;
}

enum err derive_consent_sensitive(const struct deriver *dv, struct dossier_id dossier, bool *out)
{
    struct consents c = { 0 };
    enum err e = each_row(dv, ENTITY_CONSENT, dossier, see_consent, &c);
    if (e == ERR_OK) {
        *out = c.of[CODE_CONSENT_SENSITIVE].has && c.of[CODE_CONSENT_SENSITIVE].action == CODE_CONSENT_GRANT;
    }
    return e;
}

/* 1 when a consent to be called or written to was withdrawn last; without any event nothing is said. */
static enum err do_not_contact(const struct deriver *dv, struct dossier_id dossier, struct value *out)
{
    static const size_t purposes[] = { CODE_CONSENT_SALES, CODE_CONSENT_SMS, CODE_CONSENT_EMAIL, CODE_CONSENT_PHONE };
    struct consents c = { 0 };
    bool is_withdrawn = false;
    bool is_known = false;
    enum err e = each_row(dv, ENTITY_CONSENT, dossier, see_consent, &c);
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(purposes); i++) {
        is_known = is_known || c.of[purposes[i]].has;
        is_withdrawn = is_withdrawn || c.of[purposes[i]].action == CODE_CONSENT_WITHDRAW;
    }
    if (e == ERR_OK) {
        *out = is_known ? value_int(is_withdrawn ? 1 : 0) : VALUE_NONE;
    }
    return e;
}

/* --- corrections
 * ------------------------------------------------------------------------------------------------------------ */

/* Events that another event of the dossier corrects: they no longer count. */
struct corrected {
    struct arena *a;
    uint32_t field; /* number of `corrects` */
    struct record_id *ids;
    size_t count;
    size_t capacity;
};

static enum err see_correction(void *ctx, const struct row *row)
{
    struct corrected *c = ctx;
    struct value of = get(catalogue_entity(row->entity), row, c->field);
    if (of.type != VALUE_ID) {
        return ERR_OK;
    }
    if (c->count == c->capacity) {
        size_t capacity = c->capacity == 0 ? 8 : c->capacity * 2;
        struct record_id *grown = arena_array(c->a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (c->count > 0) {
            memcpy(grown, c->ids, c->count * sizeof(*grown));
        }
        c->ids = grown;
        c->capacity = capacity;
    }
    memcpy(c->ids[c->count++].b, of.s.ptr, RECORD_ID_BYTES);
    return ERR_OK;
}

static bool is_corrected(const struct corrected *c, struct record_id id)
{
    for (size_t i = 0; i < c->count; i++) {
        if (record_id_compare(c->ids[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static enum err corrections(
    const struct deriver *dv, enum entity entity, uint32_t field, struct dossier_id dossier, struct corrected *out)
{
    *out = (struct corrected){ .a = dv->a, .field = field };
    return each_row(dv, entity, dossier, see_correction, out);
}

/* --- grade and contacts
 * --------------------------------------------------------------------------------------------------- */

struct grade_search {
    const uint8_t *opportunity; /* 16 bytes */
    struct corrected corrected;
    bool has;
    int64_t at; /* when the present grade was given */
    int64_t grade;
    struct record_id event;
};

static bool same_ref(struct value v, const uint8_t *id)
{
    return v.type == VALUE_ID && memcmp(v.s.ptr, id, RECORD_ID_BYTES) == 0;
}

/* The newest by the time of the event; of the same moment the higher record id, so that all nodes agree. */
static enum err see_grade(void *ctx, const struct row *row)
{
    struct grade_search *s = ctx;
    const struct entity_desc *d = catalogue_entity(ENTITY_GRADE_EVENT);
    struct value at = get(d, row, GRADE_EVENT_AT);
    struct value grade = get(d, row, GRADE_EVENT_TO_GRADE);
    if (!same_ref(get(d, row, GRADE_EVENT_OPPORTUNITY), s->opportunity) || grade.type != VALUE_INT ||
        is_corrected(&s->corrected, row->id)) {
        return ERR_OK;
    }
    int64_t when = at.type == VALUE_INT ? at.i : 0;
    if (!s->has || when > s->at || (when == s->at && record_id_compare(row->id, s->event) > 0)) {
        s->has = true;
        s->at = when;
        s->grade = grade.i;
        s->event = row->id;
    }
    return ERR_OK;
}

/* out borrows the id. */
static enum err grade_of(const struct deriver *dv, const struct record_id *opportunity, struct grade_search *out)
{
    struct dossier_id dossier = record_dossier(*opportunity);
    *out = (struct grade_search){ .has = false };
    out->opportunity = opportunity->b;
    enum err e = corrections(dv, ENTITY_GRADE_EVENT, GRADE_EVENT_CORRECTS, dossier, &out->corrected);
    return e == ERR_OK ? each_row(dv, ENTITY_GRADE_EVENT, dossier, see_grade, out) : e;
}

static enum err opportunity_grade(const struct deriver *dv, struct record_id id, struct value *out)
{
    struct grade_search s = { 0 };
    enum err e = grade_of(dv, &id, &s);
    if (e == ERR_OK) {
        *out = s.has ? value_int(s.grade) : VALUE_NONE;
    }
    return e;
}

struct contact_search {
    struct corrected corrected;
    const uint8_t *opportunity; /* NULL: any contact of the customer */
    int64_t month; /* yyyymm to count in */
    int64_t last; /* ms; 0 none */
    size_t in_month;
};

/* Effective: spoke, met or replied. A contact that names no opportunity serves all of them. */
static enum err see_contact(void *ctx, const struct row *row)
{
    struct contact_search *s = ctx;
    const struct entity_desc *d = catalogue_entity(ENTITY_CONTACT_EVENT);
    struct value at = get(d, row, CONTACT_EVENT_AT);
    struct value of = get(d, row, CONTACT_EVENT_OPPORTUNITY);
    if (is_corrected(&s->corrected, row->id)) {
        return ERR_OK;
    }
    bool fits = s->opportunity == NULL || of.type == VALUE_NULL || same_ref(of, s->opportunity);
    if (!fits || at.type != VALUE_INT || !is_code(get(d, row, CONTACT_EVENT_EFFECTIVE), CODE_EFFECTIVE_REACHED)) {
        return ERR_OK;
    }
    s->in_month += month_of(view_day(at.i)) == s->month ? 1 : 0;
    s->last = at.i > s->last ? at.i : s->last;
    return ERR_OK;
}

static enum err contacts_of(const struct deriver *dv, struct dossier_id dossier, struct contact_search *s)
{
    enum err e = corrections(dv, ENTITY_CONTACT_EVENT, CONTACT_EVENT_CORRECTS, dossier, &s->corrected);
    return e == ERR_OK ? each_row(dv, ENTITY_CONTACT_EVENT, dossier, see_contact, s) : e;
}

static int64_t interval_days(int64_t grade)
{
    switch (grade) {
    case CODE_GRADE_O:
        return DAYS_O;
    case CODE_GRADE_H:
        return DAYS_H;
    case CODE_GRADE_A:
        return DAYS_A;
    case CODE_GRADE_B:
        return DAYS_B;
    default:
        return 0;
    }
}

static bool is_open_opportunity(const struct row *row)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_OPPORTUNITY);
    struct value result = get(d, row, OPPORTUNITY_RESULT);
    struct value stage = get(d, row, OPPORTUNITY_STAGE);
    return !row->is_deleted && (result.type == VALUE_NULL || is_code(result, CODE_RESULT_OPEN)) &&
           !is_code(stage, CODE_STAGE_CLOSED);
}

/* B also wants two contacts in every calendar month: short of them, the month's last day is the latest. */
static int64_t due_of(const struct deriver *dv, const struct grade_search *g, const struct contact_search *c)
{
    int64_t start = c->last > g->at ? c->last : g->at;
    int64_t due = derive_add_days(view_day(start), interval_days(g->grade));
    int64_t month = month_of(dv->today);
    bool is_short = g->grade == CODE_GRADE_B && c->in_month < CONTACTS_B_PER_MONTH && month_of(view_day(g->at)) < month;
    return is_short && month_end(month) < due ? month_end(month) : due;
}

enum err derive_due(const struct deriver *dv, const struct row *opportunity, struct due_task *out, bool *has)
{
    struct grade_search g = { 0 };
    struct contact_search c = { .opportunity = opportunity->id.b, .month = month_of(dv->today) };
    *has = false;
    if (!is_open_opportunity(opportunity)) {
        return ERR_OK;
    }
    enum err e = grade_of(dv, &opportunity->id, &g);
    if (e != ERR_OK || !g.has || interval_days(g.grade) == 0) {
        return e;
    }
    e = contacts_of(dv, record_dossier(opportunity->id), &c);
    if (e == ERR_OK) {
        *has = true;
        *out = (struct due_task){ .cause = opportunity->id, .grade = g.grade, .due = due_of(dv, &g, &c) };
    }
    return e;
}

/* --- classes
 * ------------------------------------------------------------------------------------------------------------ */

struct vip_search {
    bool has;
    int64_t at;
    int64_t action;
    struct record_id event;
};

static enum err see_vip(void *ctx, const struct row *row)
{
    struct vip_search *s = ctx;
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER_CLASS);
    struct value at = get(d, row, CUSTOMER_CLASS_AT);
    struct value action = get(d, row, CUSTOMER_CLASS_VIP_FLAG);
    int64_t when = at.type == VALUE_INT ? at.i : 0;
    if (action.type != VALUE_INT) {
        return ERR_OK;
    }
    if (!s->has || when > s->at || (when == s->at && record_id_compare(row->id, s->event) > 0)) {
        *s = (struct vip_search){ .has = true, .at = when, .action = action.i, .event = row->id };
    }
    return ERR_OK;
}

enum err derive_vip_due(const struct deriver *dv, struct dossier_id dossier, struct due_task *out, bool *has)
{
    struct vip_search s = { 0 };
    struct contact_search c = { .month = month_of(dv->today) };
    *has = false;
    enum err e = each_row(dv, ENTITY_CUSTOMER_CLASS, dossier, see_vip, &s);
    if (e != ERR_OK || !s.has || s.action != CODE_VIP_GRANTED) {
        return e;
    }
    e = contacts_of(dv, dossier, &c);
    if (e == ERR_OK) {
        /* Once per calendar month: the month after the last contact, or the month the label was given. */
        int64_t month =
            c.last >= s.at && c.last != 0 ? month_after(month_of(view_day(c.last))) : month_of(view_day(s.at));
        *has = true;
        *out = (struct due_task){ .cause = record_id_make(dossier, NULL), .is_vip = true, .due = month_end(month) };
    }
    return e;
}

struct standing {
    const struct deriver *dv;
    bool is_vip;
    bool owns_car;
    bool has_intent;
    bool has_bought;
    bool is_defeated;
    size_t purchases;
};

static enum err see_ownership(void *ctx, const struct row *row)
{
    struct standing *s = ctx;
    const struct entity_desc *d = catalogue_entity(ENTITY_VEHICLE_OWNERSHIP);
    struct value role = get(d, row, VEHICLE_OWNERSHIP_ROLE);
    bool is_owner = role.type == VALUE_NULL || is_code(role, CODE_OWNERSHIP_OWNER);
    s->owns_car = s->owns_car || (is_owner && get(d, row, VEHICLE_OWNERSHIP_TO_DATE).type == VALUE_NULL);
    return ERR_OK;
}

static enum err see_opportunity(void *ctx, const struct row *row)
{
    struct standing *s = ctx;
    const struct entity_desc *d = catalogue_entity(ENTITY_OPPORTUNITY);
    struct value result = get(d, row, OPPORTUNITY_RESULT);
    struct value grade = VALUE_NONE;
    if (is_code(result, CODE_RESULT_ORDERED)) {
        s->has_bought = true;
        s->purchases++;
    }
    s->is_defeated = s->is_defeated || is_code(result, CODE_RESULT_DEFEATED);
    if (!is_open_opportunity(row)) {
        return ERR_OK;
    }
    enum err e = opportunity_grade(s->dv, row->id, &grade);
    s->has_intent = s->has_intent || (grade.type == VALUE_INT && interval_days(grade.i) > 0);
    return e;
}

static enum err standing_of(const struct deriver *dv, struct dossier_id dossier, struct standing *out)
{
    struct vip_search vip = { 0 };
    *out = (struct standing){ .dv = dv };
    enum err e = each_row(dv, ENTITY_CUSTOMER_CLASS, dossier, see_vip, &vip);
    if (e == ERR_OK) {
        e = each_row(dv, ENTITY_VEHICLE_OWNERSHIP, dossier, see_ownership, out);
    }
    if (e == ERR_OK) {
        e = each_row(dv, ENTITY_OPPORTUNITY, dossier, see_opportunity, out);
    }
    out->is_vip = vip.has && vip.action == CODE_VIP_GRANTED;
    return e;
}

static enum err add_label(const struct deriver *dv, const struct code_list *list, int64_t code, struct value *set)
{
    const struct code *c = code_by_number(list, code);
    check(c != NULL);
    struct value with = VALUE_NONE;
    enum err e = value_set_add(dv->a, *set, bytes_str(c->key), &with);
    if (e == ERR_OK) {
        *set = with;
    }
    return e;
}

/* Who sold the car he owns is known only when it was bought here. */
static enum err level2(const struct deriver *dv, const struct standing *s, struct value *out)
{
    const struct code_list *list = &codes_class_level2;
    enum err e = ERR_OK;
    if (s->has_intent) {
        e = add_label(dv, list, CODE_LEVEL2_INTENT, out);
    }
    if (e == ERR_OK && s->has_bought) {
        e = add_label(dv, list, CODE_LEVEL2_SOLD_BY_US, out);
    }
    if (e == ERR_OK && s->owns_car && !s->has_bought) {
        e = add_label(dv, list, CODE_LEVEL2_SOLD_BY_OTHER, out);
    }
    if (e == ERR_OK && s->is_defeated && !s->has_bought) {
        e = add_label(dv, list, CODE_LEVEL2_DEFEATED, out);
    }
    return e;
}

/* Classes stand on the line of the customer itself; the other lines of the entity are the VIP events. */
static enum err class_value(const struct deriver *dv, const struct field *f, const struct row *row, struct value *out)
{
    struct standing s = { 0 };
    if (!record_id_is_main(row->id)) {
        return ERR_OK;
    }
    enum err e = standing_of(dv, record_dossier(row->id), &s);
    if (e != ERR_OK) {
        return e;
    }
    switch (f->number) {
    case CUSTOMER_CLASS_LEVEL1:
        *out = value_int(s.is_vip                     ? CODE_LEVEL1_VIP
                         : s.owns_car || s.has_bought ? CODE_LEVEL1_BASE
                                                      : CODE_LEVEL1_PROSPECT);
        return ERR_OK;
    case CUSTOMER_CLASS_LEVEL2:
        return level2(dv, &s, out);
    case CUSTOMER_CLASS_VIP_REASON:
        *out = s.is_vip ? value_int(CODE_VIP_BY_MANAGER) : VALUE_NONE;
        return ERR_OK;
    case CUSTOMER_CLASS_LABELS:
        return s.purchases > 1 ? add_label(dv, &codes_class_label, CODE_LABEL_OLD, out) : ERR_OK;
    default:
        return ERR_OK;
    }
}

/* --- completeness
 * ------------------------------------------------------------------------------------------------------- */

static enum err stop_at_first(void *ctx, const struct row *row)
{
    bool *is_found = ctx;
    (void)row;
    *is_found = true;
    return ERR_OK;
}

/* The share of ten things a customer card should hold: seven fields, a contact point, an address, a consent. */
static enum err completeness(
    const struct deriver *dv, const struct entity_desc *d, const struct row *row, struct value *out)
{
    static const uint32_t wanted[] = { CUSTOMER_FULL_NAME, CUSTOMER_SEX, CUSTOMER_BIRTH_DATE, CUSTOMER_OCCUPATION,
        CUSTOMER_INDUSTRY, CUSTOMER_ORIGIN, CUSTOMER_FIRST_CONTACT_AT };
    static const enum entity also[] = { ENTITY_CONTACT_POINT, ENTITY_ADDRESS, ENTITY_CONSENT };
    const size_t all = ARRAY_LEN(wanted) + ARRAY_LEN(also);
    struct dossier_id dossier = record_dossier(row->id);
    size_t have = 0;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        have += get(d, row, wanted[i]).type == VALUE_NULL ? 0 : 1;
    }
    for (size_t i = 0; i < ARRAY_LEN(also); i++) {
        const struct store_query q = { .entity = also[i], .dossier = &dossier };
        bool is_found = false;
        enum err e = dv->app->store->ops->row_find(dv->app->store, &q, 1, stop_at_first, &is_found);
        if (e != ERR_OK) {
            return e;
        }
        have += is_found ? 1 : 0;
    }
    *out = value_int((int64_t)(have * 100 / all));
    return ERR_OK;
}

static enum err intake_filed(const struct deriver *dv, const struct row *row, struct value *out)
{
    struct dossier_id dossier = record_dossier(row->id);
    struct dossier found = { 0 };
    bool has_contact = false;
    const struct store_query q = { .entity = ENTITY_CONTACT_POINT, .dossier = &dossier };
    enum err e = dv->app->store->ops->dossier_get(dv->app->store, dossier, dv->a, &found);
    if (e == ERR_OK && found.kind == DOSSIER_CUSTOMER) {
        e = dv->app->store->ops->row_find(dv->app->store, &q, 1, stop_at_first, &has_contact);
    }
    if (e == ERR_OK) {
        *out = value_int(has_contact ? 1 : 0);
    }
    return e;
}

enum err derive_value(const struct deriver *dv, const struct entity_desc *d, const struct field *f,
    const struct row *row, struct value *out)
{
    struct value v = VALUE_NONE;
    enum err e = field_derive(d, f, dv->a, row->values, dv->today, &v);
    if (e == ERR_OK && v.type == VALUE_NULL) {
        if (d->entity == ENTITY_CUSTOMER && f->number == CUSTOMER_DO_NOT_CONTACT) {
            e = do_not_contact(dv, record_dossier(row->id), &v);
        } else if (d->entity == ENTITY_CUSTOMER && f->number == CUSTOMER_COMPLETENESS) {
            e = completeness(dv, d, row, &v);
        } else if (d->entity == ENTITY_OPPORTUNITY && f->number == OPPORTUNITY_GRADE) {
            e = opportunity_grade(dv, row->id, &v);
        } else if (d->entity == ENTITY_CUSTOMER_CLASS) {
            e = class_value(dv, f, row, &v);
        } else if (d->entity == ENTITY_LEAD_INTAKE && f->number == LEAD_INTAKE_FILED) {
            e = intake_filed(dv, row, &v);
        }
    }
    if (e == ERR_OK) {
        *out = v;
    }
    return e;
}
