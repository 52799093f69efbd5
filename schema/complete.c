/*
 * Owns: rules of a whole record before it is written: defaults, values computed on entry, rules between fields,
 * required fields. Invariant: running it twice changes nothing. Knows only the one record; rules that need others are
 * the node's.
 */
#include "schema/base/utf8.h"
#include "schema/catalogue.h"
#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"
#include "schema/text.h"
#include "schema/validate.h"

enum { PERSON_HAN_MAX = 30 };

struct record_rules {
    const struct entity_desc *d;
    struct arena *a;
    struct value *values;
    struct why *why;
};

static const struct field *field_at(const struct record_rules *r, uint32_t number)
{
    return catalogue_field(r->d, number);
}

static struct value *at(const struct record_rules *r, uint32_t number)
{
    return &r->values[catalogue_field_index(r->d, field_at(r, number))];
}

static bool has(const struct record_rules *r, uint32_t number)
{
    return at(r, number)->type != VALUE_NULL;
}

static void fill(const struct record_rules *r, uint32_t number, struct value v)
{
    if (!has(r, number)) {
        *at(r, number) = v;
    }
}

static enum err refuse(const struct record_rules *r, uint32_t number, const char *zh, const char *en)
{
    return why_field(r->why, field_at(r, number), ERR_INVALID, zh, en);
}

/* A later date or instant that stands before an earlier one. */
static enum err in_order(const struct record_rules *r, uint32_t earlier, uint32_t later, const char *zh, const char *en)
{
    if (has(r, earlier) && has(r, later) && at(r, later)->i < at(r, earlier)->i) {
        return refuse(r, later, zh, en);
    }
    return ERR_OK;
}

static enum err customer(const struct record_rules *r)
{
    fill(r, CUSTOMER_KIND, value_int(CODE_KIND_PERSON));
    struct bytes rest = at(r, CUSTOMER_FULL_NAME)->s;
    size_t chars = utf8_count(rest);
    bool has_han = false;
    uint32_t cp = 0;
    while (utf8_next(&rest, &cp)) {
        has_han = has_han || code_point_is_han(cp);
    }
    if (at(r, CUSTOMER_KIND)->i == CODE_KIND_PERSON && has_han && chars > PERSON_HAN_MAX) {
        return refuse(r, CUSTOMER_FULL_NAME, "个人姓名最多 30 字；单位请选 kind=单位",
            "a person's name has at most 30 characters; for a company use kind=organisation");
    }
    return ERR_OK;
}

static enum err contact_point(const struct record_rules *r)
{
    fill(r, CONTACT_POINT_TYPE, value_int(CODE_CONTACT_MOBILE));
    fill(r, CONTACT_POINT_STATUS, value_int(CODE_STATUS_ACTIVE));
    if (!has(r, CONTACT_POINT_VALUE_RAW) && has(r, CONTACT_POINT_VALUE_NORM)) {
        *at(r, CONTACT_POINT_VALUE_RAW) = *at(r, CONTACT_POINT_VALUE_NORM);
    }
    if (!has(r, CONTACT_POINT_VALUE_RAW)) {
        return ERR_OK; /* refused as a missing field */
    }
    struct bytes norm = { 0 };
    UNFILLED struct why inner;
    why_clear(&inner);
    enum err e =
        contact_normalise(at(r, CONTACT_POINT_TYPE)->i, r->a, at(r, CONTACT_POINT_VALUE_RAW)->s, &norm, &inner);
    if (e == ERR_INVALID) {
        return refuse(r, CONTACT_POINT_VALUE_RAW, inner.zh, inner.en);
    }
    if (e == ERR_OK) {
        *at(r, CONTACT_POINT_VALUE_NORM) = value_text(norm);
    }
    return e;
}

static enum err identity_document(const struct record_rules *r)
{
    fill(r, IDENTITY_DOCUMENT_DOC_TYPE, value_int(CODE_DOC_ID_CARD));
    if (!has(r, IDENTITY_DOCUMENT_DOC_NO)) {
        return ERR_OK;
    }
    return doc_no_complete(field_at(r, IDENTITY_DOCUMENT_DOC_NO), at(r, IDENTITY_DOCUMENT_DOC_TYPE)->i, r->a,
        at(r, IDENTITY_DOCUMENT_DOC_NO), r->why);
}

static enum err address(const struct record_rules *r)
{
    fill(r, ADDRESS_KIND, value_int(CODE_ADDRESS_HOME));
    if (!has(r, ADDRESS_REGION_CODE) && !has(r, ADDRESS_TOWN) && !has(r, ADDRESS_DETAIL) && !has(r, ADDRESS_POSTCODE)) {
        return refuse(r, ADDRESS_DETAIL, "地址是空的", "the address is empty");
    }
    return ERR_OK;
}

static enum err lead_intake(const struct record_rules *r)
{
    if (has(r, LEAD_INTAKE_CUSTOMER) && !has(r, LEAD_INTAKE_NEXT_CONTACT_AT)) {
        return refuse(r, LEAD_INTAKE_NEXT_CONTACT_AT, "留档客户必须写明下次联系时间",
            "a filed customer needs a time of next contact");
    }
    return in_order(r, LEAD_INTAKE_ARRIVED_AT, LEAD_INTAKE_LEFT_AT, "离店早于来店", "left before arriving");
}

static enum err opportunity(const struct record_rules *r)
{
    fill(r, OPPORTUNITY_STAGE, value_int(CODE_STAGE_RECEPTION));
    fill(r, OPPORTUNITY_RESULT, value_int(CODE_RESULT_OPEN));
    return ERR_OK;
}

static enum err staff(const struct record_rules *r)
{
    fill(r, STAFF_ACTIVE, value_int(1));
    return in_order(r, STAFF_HIRED, STAFF_LEFT, "离职早于入职", "left before being hired");
}

static enum err rules(const struct record_rules *r)
{
    switch (r->d->entity) {
    case ENTITY_CUSTOMER:
        return customer(r);
    case ENTITY_CONTACT_POINT:
        return contact_point(r);
    case ENTITY_IDENTITY_DOCUMENT:
        return identity_document(r);
    case ENTITY_ADDRESS:
        return address(r);
    case ENTITY_CUSTOMER_ASSIGNMENT:
        fill(r, CUSTOMER_ASSIGNMENT_ROLE, value_int(CODE_ASSIGNED_SALES));
        return in_order(
            r, CUSTOMER_ASSIGNMENT_FROM_AT, CUSTOMER_ASSIGNMENT_TO_AT, "结束早于开始", "ends before it starts");
    case ENTITY_VEHICLE:
        return in_order(r, VEHICLE_MADE_DATE, VEHICLE_PLATE_DATE, "上牌早于出厂", "registered before it was made");
    case ENTITY_VEHICLE_OWNERSHIP:
        fill(r, VEHICLE_OWNERSHIP_ROLE, value_int(CODE_OWNERSHIP_OWNER));
        return in_order(
            r, VEHICLE_OWNERSHIP_FROM_DATE, VEHICLE_OWNERSHIP_TO_DATE, "结束早于开始", "ends before it starts");
    case ENTITY_LEAD_INTAKE:
        return lead_intake(r);
    case ENTITY_OPPORTUNITY:
        return opportunity(r);
    case ENTITY_STAFF:
        return staff(r);
    case ENTITY_STATION:
        fill(r, STATION_TIMEZONE, value_text(BYTES_LIT("Asia/Shanghai")));
        return ERR_OK;
    case ENTITY_NONE:
    case ENTITY_MAX:
    case ENTITY_CUSTOMER_PROFILE:
    case ENTITY_CUSTOMER_CLASS:
    case ENTITY_CONSENT:
    case ENTITY_GRADE_EVENT:
    case ENTITY_FOLLOWUP_TASK:
    case ENTITY_CONTACT_EVENT:
        break;
    }
    return ERR_OK;
}

enum err catalogue_complete(const struct entity_desc *d, struct arena *a, struct value *values, struct why *why)
{
    struct record_rules r = { .d = d, .a = a, .values = values, .why = why };
    enum err e = rules(&r);
    for (size_t i = 0; e == ERR_OK && i < d->field_count; i++) {
        const struct field *f = &d->fields[i];
        bool is_wanted = (f->flags & FIELD_REQUIRED) != 0 && (f->flags & FIELD_DOSSIER) == 0;
        if (is_wanted && values[i].type == VALUE_NULL) {
            return why_field(why, f, ERR_INVALID, "必须填写", "is required");
        }
    }
    return e;
}

struct stamp_rule {
    enum entity entity;
    uint32_t at;
    uint32_t by;
    uint32_t station;
};

void catalogue_stamp(
    const struct entity_desc *d, int64_t now_ms, struct bytes user, struct bytes station, struct value *values)
{
    static const struct stamp_rule stamps[] = {
        { ENTITY_CUSTOMER, CUSTOMER_FIRST_CONTACT_AT, CUSTOMER_CREATED_BY, CUSTOMER_CREATED_STATION },
        { ENTITY_CUSTOMER_CLASS, CUSTOMER_CLASS_AT, CUSTOMER_CLASS_BY, 0 },
        { ENTITY_CUSTOMER_ASSIGNMENT, CUSTOMER_ASSIGNMENT_FROM_AT, 0, CUSTOMER_ASSIGNMENT_STATION },
        { ENTITY_CONSENT, CONSENT_GIVEN_AT, 0, 0 },
        { ENTITY_LEAD_INTAKE, LEAD_INTAKE_ARRIVED_AT, LEAD_INTAKE_RECEPTIONIST, 0 },
        { ENTITY_GRADE_EVENT, GRADE_EVENT_AT, GRADE_EVENT_BY, 0 },
        { ENTITY_FOLLOWUP_TASK, 0, FOLLOWUP_TASK_OWNER, 0 },
        { ENTITY_CONTACT_EVENT, CONTACT_EVENT_AT, CONTACT_EVENT_BY, CONTACT_EVENT_STATION },
    };
    const struct record_rules r = { .d = d, .values = values };
    for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
        const struct stamp_rule *s = &stamps[i];
        if (s->entity != d->entity) {
            continue;
        }
        if (s->at != 0) {
            fill(&r, s->at, value_int(now_ms));
        }
        if (s->by != 0 && user.len > 0) {
            fill(&r, s->by, value_text(user));
        }
        if (s->station != 0 && station.len > 0) {
            fill(&r, s->station, value_text(station));
        }
    }
}
