/*
 * Owns: the verb `known`: is this number, vehicle or document known in the group? Answers with the station and a masked
 * name of whoever it belongs to, for people who may not look further, so that nobody is served twice by mistake.
 * Invariants: exact matches of the normal form only; a row answers only if the viewer may match its field or see more
 * of it; what kind of value was asked for depends on its shape alone, so a refusal says nothing about what is held; no
 * more than KNOWN_HOURLY_MAX questions of one person within an hour. These are counted in the audit log, which every
 * question enters anyway: there the count outlives logins, restarts and commands that run without a daemon.
 */
#include "node/view.h"

#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"
#include "schema/text.h"
#include "schema/validate.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    KNOWN_HOURLY_MAX = 60, /* domain.md 3.6: a match must not become an oracle */
    KNOWN_MATCHES_MAX = 200,
    HOUR_MS = 3600 * 1000,
    MINUTE_MS = 60 * 1000,
    VALUES_MAX = 2,
    MISTYPED_LEAST = 10, /* digits: nearly a telephone number, and no document has so many and no letter */
    MISTYPED_MOST = 12
};

struct asking {
    struct viewing v;
    const struct entity_desc *d;
    const struct field *f;
    struct value values[VALUES_MAX]; /* normal forms that count as the same */
    size_t value_count;
    struct dossier_id seen[KNOWN_MATCHES_MAX];
    json_t *matches[KNOWN_MATCHES_MAX];
    size_t count;
};

/* --- what was asked
 * -------------------------------------------------------------------------------------------------- */

/* Makes the field the one that is asked about, if the text fits it. ERR_OK with value_count 0: it does not. */
static enum err read_as(struct asking *q, enum entity entity, uint32_t number, struct bytes text)
{
    struct value value = VALUE_NONE;
    q->d = catalogue_entity(entity);
    q->f = catalogue_field(q->d, number);
    enum err e = field_parse(q->f, q->v.a, text, &value, NULL);
    if (e == ERR_INVALID || e == ERR_LIMIT) {
        return ERR_OK;
    }
    if (e == ERR_OK && value.type == VALUE_TEXT) {
        q->values[0] = value;
        q->value_count = 1;
    }
    return e;
}

/* The field also keeps names of chat accounts as they are; a question is about a number or an address of mail. */
static enum err read_contact(struct asking *q, struct bytes text)
{
    enum err e = read_as(q, ENTITY_CONTACT_POINT, CONTACT_POINT_VALUE_NORM, text);
    struct bytes norm = q->values[0].s;
    if (q->value_count > 0 && !mobile_is_valid(norm) && !landline_is_valid(norm) && !email_is_valid(norm)) {
        q->value_count = 0;
    }
    return e;
}

/* 15 digits are an old identity number, stored with 18, or the number of an old business licence, stored as it is. */
static enum err read_document(struct asking *q, struct bytes text)
{
    enum err e = read_as(q, ENTITY_IDENTITY_DOCUMENT, IDENTITY_DOCUMENT_DOC_NO, text);
    if (e != ERR_OK || q->value_count == 0) {
        return e;
    }
    struct value plain = q->values[0];
    struct value card = plain;
    if (text_is_digits(plain.s) && plain.s.len >= MISTYPED_LEAST && plain.s.len <= MISTYPED_MOST) {
        q->value_count = 0;
        return ERR_OK;
    }
    e = doc_no_complete(q->f, CODE_DOC_ID_CARD, q->v.a, &card, NULL);
    if (e == ERR_OK && !value_equal(card, plain)) {
        q->values[q->value_count++] = card;
    }
    return e == ERR_INVALID ? ERR_OK : e;
}

/* The first kind that the text fits, by its shape alone. */
static enum err take_value(struct asking *q, struct bytes text)
{
    enum err e = read_contact(q, text);
    if (e == ERR_OK && q->value_count == 0) {
        e = read_as(q, ENTITY_VEHICLE, VEHICLE_VIN, text);
    }
    if (e == ERR_OK && q->value_count == 0) {
        e = read_as(q, ENTITY_VEHICLE, VEHICLE_PLATE_NO, text);
    }
    if (e == ERR_OK && q->value_count == 0) {
        e = read_document(q, text);
    }
    if (e == ERR_OK && q->value_count == 0) {
        return why_set(&q->v.rq->why, ERR_INVALID, "请给完整的手机号、座机、电子邮件、车架号、车牌号或证件号",
            "give a whole mobile or landline number, e-mail address, VIN, plate or document number");
    }
    return e;
}

/* --- who may ask, and how often
 * -------------------------------------------------------------------------------------- */

/* A total tells nothing of one person, so whoever may see totals only may not ask about one either. */
static bool may_match(const struct access_answer *answer)
{
    return answer->view == VIEW_MATCH || answer->view >= VIEW_MASKED;
}

struct counting {
    uint32_t user;
    int64_t since_ms;
    size_t count;
    int64_t oldest_ms; /* of those counted */
};

/* Newest first; no ordinary search is noted as a match. */
static enum err count_question(void *ctx, struct bytes key, struct bytes value)
{
    static const uint8_t nobody[sizeof(((struct audit_entry *)0)->subject)] = { 0 };
    struct counting *c = ctx;
    struct audit_entry entry;
    uint8_t prev[32];
    (void)key;
    if (audit_decode(value, &entry, prev) != ERR_OK) {
        return ERR_DAMAGED;
    }
    if (hlc_wall_ms(entry.hlc) <= c->since_ms || c->count == KNOWN_HOURLY_MAX) {
        return ERR_EXISTS;
    }
    if (entry.event == AUDIT_SEARCH && entry.user == c->user && entry.view == VIEW_MATCH &&
        memcmp(entry.subject, nobody, sizeof(nobody)) == 0) {
        c->count++;
        c->oldest_ms = hlc_wall_ms(entry.hlc);
    }
    return ERR_OK;
}

static enum err refuse_more(struct asking *q, int64_t wait_ms)
{
    char minutes[24];
    struct audit_entry *note = view_note(&q->v, AUDIT_DENIED, q->d, NULL);
    if (note == NULL) {
        return ERR_NOMEM;
    }
    note->result = ERR_LIMIT;
    note->fields[note->field_count++] = q->f->number;
    enum err e = view_release(&q->v, NULL);
    (void)snprintf(minutes, sizeof(minutes), "%d", (int)((wait_ms + MINUTE_MS - 1) / MINUTE_MS));
    return e == ERR_OK ? why_setf(&q->v.rq->why, ERR_LIMIT, "每人每小时最多查询 60 次；请 %s 分钟后再查",
                             "at most 60 such questions a person and hour; ask again in %s minutes", minutes)
                       : e;
}

static enum err limit_rate(struct asking *q)
{
    const struct bytes all = { 0 };
    struct core *core = &q->v.app->core;
    int64_t now_ms = hlc_wall_ms(hlc_tick(core->hlc, q->v.rq->now));
    struct counting c = { .user = q->v.user->number, .since_ms = now_ms - HOUR_MS };
    enum err e = core->store->ops->scan(core->store, SPACE_AUDIT, all, all, true, count_question, &c);
    if (e != ERR_OK && e != ERR_EXISTS) {
        return e;
    }
    return c.count < KNOWN_HOURLY_MAX ? ERR_OK : refuse_more(q, c.oldest_ms - c.since_ms);
}

/* --- the answer
 * ------------------------------------------------------------------------------------------------------ */

/* The name as a mask, also for those who could see it in clear: the question was only whether it is known. */
static enum err add_name(
    struct asking *q, const struct view_facts *facts, const struct row *customer, struct audit_entry *note, json_t *out)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER);
    const struct field *f = catalogue_field(d, CUSTOMER_FULL_NAME);
    struct access_answer answer = view_ask(&q->v, facts, d, f, ACTION_READ);
    struct value name = customer->values[catalogue_field_index(d, f)];
    json_t *cell = NULL;
    if (!may_match(&answer) || name.type == VALUE_NULL) {
        return ERR_OK;
    }
    answer.view = VIEW_MASKED;
    enum err e = view_value(&q->v, f, name, &answer, note, &cell);
    if (e == ERR_OK) {
        (void)json_object_set_new(out, "name", cell);
    }
    return e;
}

/* Without an assignment the customer is with whoever entered him; that is another field. */
static void add_owner(struct asking *q, const struct view_facts *facts, json_t *out)
{
    const struct entity_desc *assignment = catalogue_entity(ENTITY_CUSTOMER_ASSIGNMENT);
    const struct entity_desc *customer = catalogue_entity(ENTITY_CUSTOMER);
    const struct field *staff = catalogue_field(assignment, CUSTOMER_ASSIGNMENT_STAFF);
    const struct field *creator = catalogue_field(customer, CUSTOMER_CREATED_BY);
    bool is_assigned = facts->dossier.owner != 0;
    bool is_shown = view_ask(&q->v, facts, assignment, staff, ACTION_READ).view == VIEW_CLEAR &&
                    (is_assigned || view_ask(&q->v, facts, customer, creator, ACTION_READ).view == VIEW_CLEAR);
    uint32_t user = is_assigned ? facts->dossier.owner : facts->dossier.creator;
    if (is_shown && user != 0) {
        (void)json_object_set_new(out, "owner", view_login(&q->v, user));
    }
}

static enum err fill_match(
    struct asking *q, const struct view_facts *facts, const struct entity_desc *d, const struct row *main, json_t *out)
{
    const struct member_station *station = members_station(q->v.app->members, facts->dossier.station);
    struct audit_entry *note = view_note(&q->v, AUDIT_SEARCH, d, NULL);
    enum err e = ERR_OK;
    if (note == NULL) {
        return ERR_NOMEM;
    }
    view_note_dossier(&q->v, note, facts->dossier.id);
    note->view = VIEW_MATCH;
    note->count = 1;
    (void)json_object_set_new(out, "station", json_string(station == NULL ? "" : station->code));
    if (d->entity == ENTITY_CUSTOMER) {
        e = add_name(q, facts, main, note, out);
        add_owner(q, facts, out);
    }
    if (view_sees_row(&q->v, facts, d, false)) {
        (void)json_object_set_new(out, "id", view_record_id(d, main->id));
    }
    return e;
}

static bool is_seen(const struct asking *q, struct dossier_id id)
{
    for (size_t i = 0; i < q->count; i++) {
        if (dossier_id_compare(q->seen[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static enum err add_match(struct asking *q, const struct view_facts *facts)
{
    bool is_vehicle = facts->dossier.kind == DOSSIER_VEHICLE;
    const struct entity_desc *d = catalogue_entity(is_vehicle ? ENTITY_VEHICLE : ENTITY_CUSTOMER);
    struct record_id id = record_id_make(facts->dossier.id, NULL);
    struct row main = { 0 };
    enum err e = q->v.app->store->ops->row_get(q->v.app->store, d->entity, id, q->v.a, &main);
    if (e != ERR_OK || main.is_deleted) {
        return e == ERR_NOT_FOUND ? ERR_OK : e; /* a number without a customer is nobody's */
    }
    if (q->count == KNOWN_MATCHES_MAX) {
        return why_set(&q->v.rq->why, ERR_LIMIT, "太多客户登记了这个号码", "too many customers share this number");
    }
    json_t *match = json_object();
    e = fill_match(q, facts, d, &main, match);
    if (e != ERR_OK) {
        json_decref(match);
        return e;
    }
    q->seen[q->count] = facts->dossier.id;
    q->matches[q->count++] = match;
    return ERR_OK;
}

static enum err see_row(void *ctx, const struct row *row)
{
    struct asking *q = ctx;
    struct view_facts facts = { 0 };
    enum err e = is_seen(q, record_dossier(row->id)) ? ERR_OK : view_facts_of_row(&q->v, q->d, row, &facts);
    if (e != ERR_OK || facts.dossier.kind == 0) {
        return e;
    }
    struct access_answer answer = view_ask(&q->v, &facts, q->d, q->f, ACTION_READ);
    return may_match(&answer) ? add_match(q, &facts) : ERR_OK;
}

static const char *shown(const json_t *match, const char *key)
{
    const json_t *value = json_object_get(match, key);
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "value") : value);
    return text == NULL ? "" : text;
}

/* By what is shown and nothing else. */
static int by_what_is_shown(const void *x, const void *y)
{
    static const char *const keys[] = { "station", "name", "owner", "id" };
    json_t *const *a = x;
    json_t *const *b = y;
    int c = 0;
    for (size_t i = 0; c == 0 && i < ARRAY_LEN(keys); i++) {
        c = strcmp(shown(*a, keys[i]), shown(*b, keys[i]));
    }
    return c;
}

static json_t *answer_of(struct asking *q)
{
    json_t *out = json_object();
    json_t *list = json_array();
    if (q->count > 1) {
        qsort((void *)q->matches, q->count, sizeof(json_t *), by_what_is_shown);
    }
    for (size_t i = 0; i < q->count; i++) {
        (void)json_array_append(list, q->matches[i]);
    }
    (void)json_object_set_new(out, "known", json_boolean(q->count > 0));
    (void)json_object_set_new(out, "matches", list);
    return out;
}

static enum err look(struct asking *q, enum role role)
{
    struct audit_entry *question = view_note(&q->v, AUDIT_SEARCH, q->d, NULL);
    enum err e = question == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < q->value_count; i++) {
        const struct store_query find = { .entity = q->d->entity, .field = q->f, .value = q->values[i] };
        e = q->v.app->store->ops->row_find(q->v.app->store, &find, 0, see_row, q);
    }
    if (e == ERR_OK) {
        question->view = VIEW_MATCH; /* what count_question counts */
        question->role = role;
        question->fields[question->field_count++] = q->f->number;
        question->count = q->count;
        e = view_release(&q->v, answer_of(q));
    }
    for (size_t i = 0; i < q->count; i++) {
        json_decref(q->matches[i]);
    }
    return e;
}

static enum err verb_known(struct request *rq)
{
    struct asking q = { .count = 0 };
    struct bytes text = { 0 };
    enum err e = view_begin(&q.v, rq);
    if (e == ERR_OK) {
        e = request_need(rq, "value", &text);
    }
    if (e == ERR_OK) {
        e = take_value(&q, text);
    }
    if (e != ERR_OK) {
        return e;
    }
    struct access_answer answer = view_ask(&q.v, NULL, q.d, q.f, ACTION_READ);
    if (!may_match(&answer)) {
        return view_deny(&q.v, q.d, NULL, q.f, &answer);
    }
    e = limit_rate(&q);
    return e == ERR_OK ? look(&q, answer.role) : e;
}

const struct request_verb handlers_known[] = {
    { "known", verb_known, 0 },
    { NULL, NULL, 0 },
};
