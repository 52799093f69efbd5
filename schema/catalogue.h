#ifndef JIPAN_CATALOGUE_H
#define JIPAN_CATALOGUE_H

#include "schema/value.h"

/*
 * The catalogue: what entities and fields exist. One X-macro file per entity under schema/catalogue/ (one line per
 * field) is the only place a field is described; enums, descriptors, SQL tables, JSON, help, labels, validators, masks,
 * merge rules, purposes and retention all come from it. Numbers are never reused. A field line that lacks a column does
 * not compile.
 */

/*
 * Raised by one with every change of what a node makes of a change log: an entity, field, code, rule or right more.
 * tests/golden/catalogue.txt holds what belongs to the number. docs/PROTOCOL.md section 9: what a change may be.
 */
enum { CATALOGUE_REVISION = 1 };

/* X(NAME, number, zh, en). Numbers are wire format. PUBLIC and BUSINESS share one key. */
#define CLASS_TABLE(X)                   \
    X(PUBLIC, 0, "公开", "public")       \
    X(BUSINESS, 1, "业务", "business")   \
    X(CONTACT, 2, "联系", "contact")     \
    X(IDENTITY, 3, "身份", "identity")   \
    X(FINANCIAL, 4, "财务", "financial") \
    X(SENSITIVE, 5, "敏感", "sensitive") \
    X(BEHAVIOURAL, 6, "行为", "behavioural")

enum class_ {
#define X(name, number, zh, en) CLASS_##name = (number),
    CLASS_TABLE(X)
#undef X
        CLASS_COUNT
};

/* The key class of a privacy class: which class key seals it (PUBLIC is sealed with BUSINESS). */
static inline enum class_ class_key(enum class_ c)
{
    return c == CLASS_PUBLIC ? CLASS_BUSINESS : c;
}

#define MERGE_TABLE(X)                       \
    X(LWW, 0, "后写为准", "last writer")     \
    X(MAX, 1, "取大", "largest")             \
    X(MIN, 2, "取小", "smallest")            \
    X(SET, 3, "只增集合", "add-only set")    \
    X(EVENT, 4, "事件", "event")             \
    X(OWNER, 5, "归属人优先", "owner first") \
    X(MANUAL, 6, "人工裁定", "manual")       \
    X(FIXED, 7, "写定", "written once")      \
    X(STATE, 8, "状态机", "state machine")   \
    X(DERIVED, 9, "推算", "derived")

enum merge_rule {
#define X(name, number, zh, en) MERGE_##name = (number),
    MERGE_TABLE(X)
#undef X
        MERGE_COUNT
};

#define RETENTION_TABLE(X)                                                                 \
    X(REL, 0, "客户关系存续期加36个月", "while a relation lasts, then 36 months")          \
    X(LEAD, 1, "最后有效接触后24个月", "24 months after the last effective contact")       \
    X(REP, 2, "维修记录6年", "repair records, 6 years")                                    \
    X(FIN, 3, "财务凭证期", "accounting rules")                                            \
    X(CON, 4, "同意凭证，存续期加3年", "consent evidence, life of the record and 3 years") \
    X(DOC, 5, "手续办结后30天", "30 days after the formalities end")                       \
    X(STAFF, 6, "在职加2年", "employment and 2 years")                                     \
    X(ORG, 7, "机构存续期", "while the organisation exists")                               \
    X(NONE, 8, "不保存", "not stored")

enum retention {
#define X(name, number, zh, en) RETENTION_##name = (number),
    RETENTION_TABLE(X)
#undef X
        RETENTION_COUNT
};

/* Purposes of a read, domain.md 3.2. Bits, so that a field line can list several. */
#define PURPOSE_TABLE(X)                                 \
    X(P1, 0, "销售跟进", "sales follow-up")              \
    X(P2, 1, "订单履行", "order fulfilment")             \
    X(P3, 2, "维修服务", "service")                      \
    X(P4, 3, "质量与三包", "warranty and quality")       \
    X(P5, 4, "回访与投诉", "return visit and complaint") \
    X(P6, 5, "营销", "marketing")                        \
    X(P7, 6, "集团共享", "sharing inside the group")     \
    X(P8, 7, "统计", "statistics")                       \
    X(P9, 8, "审计", "audit")                            \
    X(P10, 9, "数据权利", "data-subject requests")       \
    X(P11, 10, "系统运维", "system operation")

enum purpose {
#define X(name, bit, zh, en) PURPOSE_##name = (1 << (bit)),
    PURPOSE_TABLE(X)
#undef X
        PURPOSE_NONE = 0
};

/* Entities. X(NAME, number, name, file, home): home says which dossier a record lives in. */
#define ENTITY_TABLE(X)                                   \
    X(CUSTOMER, 1, customer, MAIN_CUSTOMER)               \
    X(CONTACT_POINT, 2, contact_point, CHILD)             \
    X(IDENTITY_DOCUMENT, 3, identity_document, CHILD)     \
    X(ADDRESS, 4, address, CHILD)                         \
    X(CUSTOMER_PROFILE, 6, customer_profile, CHILD)       \
    X(CUSTOMER_CLASS, 7, customer_class, CHILD)           \
    X(CUSTOMER_ASSIGNMENT, 8, customer_assignment, CHILD) \
    X(CONSENT, 9, consent, CHILD)                         \
    X(VEHICLE, 10, vehicle, MAIN_VEHICLE)                 \
    X(VEHICLE_OWNERSHIP, 11, vehicle_ownership, CHILD)    \
    X(LEAD_INTAKE, 12, lead_intake, CHILD_OR_BOOK)        \
    X(OPPORTUNITY, 13, opportunity, CHILD)                \
    X(GRADE_EVENT, 14, grade_event, CHILD)                \
    X(FOLLOWUP_TASK, 15, followup_task, CHILD)            \
    X(CONTACT_EVENT, 16, contact_event, CHILD)            \
    X(STAFF, 34, staff, STATION_BOOK)                     \
    X(STATION, 35, station, GROUP_BOOK)

enum entity {
    ENTITY_NONE = 0,
#define X(name, number, symbol, home) ENTITY_##name = (number),
    ENTITY_TABLE(X)
#undef X
        ENTITY_MAX = 63
};

/*
 * CHILD: named by its `customer` field (number 1 in every child entity, VALUE_ID, not stored: it is the dossier).
 * CHILD_OR_BOOK: the customer's dossier when `customer` is given, else the station's book.
 */
enum entity_home {
    HOME_MAIN_CUSTOMER,
    HOME_MAIN_VEHICLE,
    HOME_CHILD,
    HOME_CHILD_OR_BOOK,
    HOME_STATION_BOOK,
    HOME_GROUP_BOOK,
};

enum dossier_kind { DOSSIER_CUSTOMER = 1, DOSSIER_VEHICLE = 2, DOSSIER_STATION_BOOK = 3, DOSSIER_GROUP_BOOK = 4 };

enum field_type {
    FIELD_TEXT, /* p = most characters */
    FIELD_INT, /* lo..hi */
    FIELD_BOOL,
    FIELD_CODE, /* one of a code list */
    FIELD_CODES, /* VALUE_SET of keys of a code list, or free short texts when the list is open */
    FIELD_TEXTS, /* VALUE_SET of texts */
    FIELD_DATE, /* yyyymmdd as integer; --MM-DD allowed where the validator says so */
    FIELD_INSTANT, /* ms UTC */
    FIELD_REF, /* VALUE_ID of a record of another entity */
    FIELD_USER, /* a staff login (text) */
    FIELD_STATION, /* a station code (text) */
};

/* Masks; domain.md 2.1, privacy.md 5.11. All fail closed on odd input. */
enum mask {
    MASK_HIDE, /* nothing but "on file" */
    MASK_NAME,
    MASK_MOBILE_OR_OTHER, /* mobile 3+4, landline 4+2, e-mail first letter and domain */
    MASK_ID_NUMBER,
    MASK_PLATE,
    MASK_VIN,
    MASK_TAIL4,
    MASK_ADDRESS,
    MASK_BIRTH, /* month and day only */
    MASK_NONE, /* business and public values: shown when the row may be seen at all */
    MASK_COUNT,
};

struct code {
    int32_t number; /* wire value, never reused */
    const char *key; /* canonical text in JSON and dumps, as in domain.md: "个人", "M", "H" */
    const char *zh;
    const char *en;
    int32_t rank; /* state fields: higher wins among concurrent siblings */
};

struct code_list {
    const char *name;
    const struct code *codes;
    size_t count;
};

enum field_flag {
    FIELD_REQUIRED = 1 << 0, /* a new record without it is refused */
    FIELD_INDEXED = 1 << 1, /* the store keeps an index: exact find is fast */
    FIELD_HIDDEN = 1 << 2, /* never shown to anybody (dedupe keys, epochs) */
    FIELD_GROUP = 1 << 3, /* one conflict group per record: a write carries all fields of the group */
    FIELD_SYSTEM = 1 << 4, /* set by the node, not by the caller */
    FIELD_DOSSIER = 1 << 5, /* the `customer` field of a child: part of the id, not stored */
};

struct field;
/*
 * Normalises and checks one value (already of the right type). Writes the normal form into *v (arena memory).
 * Errors: ERR_INVALID with why; the text never repeats the value.
 */
typedef enum err (*validate_fn)(const struct field *f, struct arena *a, struct value *v, struct why *why);

struct field {
    uint32_t
        number; /* wire number inside the entity, 1..1000, never reused; number 0 is the record's own deletion mark */
    const char *name;
    const char *zh;
    const char *en;
    enum field_type type;
    int64_t lo, hi; /* INT range; TEXT: hi = most characters; TEXTS: hi = most characters of one element */
    const struct code_list *codes;
    enum class_ class_;
    enum merge_rule merge;
    enum mask mask;
    uint32_t purposes; /* PURPOSE_* bits a read of it may name */
    enum retention retention;
    uint32_t flags;
    enum entity ref; /* FIELD_REF: which entity */
    validate_fn validate; /* may be NULL */
};

struct entity_desc {
    enum entity entity;
    const char *name; /* "contact_point" */
    const char *zh;
    const char *en;
    enum entity_home home;
    bool is_event; /* append-only: records are created, never changed */
    const struct field *fields; /* in catalogue order */
    size_t field_count;
};

enum { FIELDS_PER_ENTITY_MAX = 64 };

/* Tables in catalogue order; lookups return NULL when there is none. */
const struct entity_desc *catalogue_entities(size_t *count);
const struct entity_desc *catalogue_entity(enum entity e);
const struct entity_desc *catalogue_entity_by_name(struct bytes name);
const struct field *catalogue_field(const struct entity_desc *d, uint32_t number);
const struct field *catalogue_field_by_name(const struct entity_desc *d, struct bytes name);
size_t catalogue_field_index(const struct entity_desc *d, const struct field *f);

/* Nearest name by edit distance (at most 2 edits, else NULL), for "did you mean". */
const char *catalogue_nearest_entity(struct bytes name);
const char *catalogue_nearest_field(const struct entity_desc *d, struct bytes name);

const struct code *code_by_text(const struct code_list *list, struct bytes text); /* key, zh or en; NULL if none */
const struct code *code_by_number(const struct code_list *list, int64_t number);

/**
 * field_parse: text as a person or a file wrote it -> normalised, validated value.
 * Empty text is VALUE_NULL (refused later if REQUIRED). Errors: ERR_INVALID, ERR_LIMIT (too long), with why (which
 * never repeats the value but says what is wanted and, for codes, lists them). FIELD_USER/FIELD_STATION are only
 * checked for shape here; FIELD_REF accepts "entity/hex" or hex.
 */
MUST_USE enum err field_parse(
    const struct field *f, struct arena *a, struct bytes text, struct value *out, struct why *why);

/*
 * Re-checks a value that came from a peer: type, range, validator. ERR_INVALID if it could not have been written here;
 * only a code number or key this build does not know yet is let through (a newer node may have it).
 */
MUST_USE enum err field_accepts(const struct field *f, struct arena *a, struct value v);

/* False: an accepted value holds a code that this build does not know. */
bool field_knows(const struct field *f, struct value v);

/**
 * field_text: a value as canonical text (JSON value, CSV cell, dump): codes by key (unknown number: "#12"), dates
 * 2026-03-07 or --03-07, instants ISO 8601 UTC with ms only if not zero ("2026-03-07T09:40:00Z"), bool "1"/"0",
 * sets joined with "、", refs "entity/hex". NULL is an empty text.
 */
MUST_USE enum err field_text(const struct field *f, struct arena *a, struct value v, struct bytes *out);

/* The masked form of a value; always a different text than the clear one; on odd input only asterisks (MASK_HIDE:
 * "已登记"). */
MUST_USE enum err field_mask(const struct field *f, struct arena *a, struct value v, struct bytes *out);

/* Values computed on each node from other fields of the same record (name_pinyin stays empty until edited). NULL if not
 * derived. */
MUST_USE enum err field_derive(const struct entity_desc *d, const struct field *f, struct arena *a,
    const struct value *values, int64_t today_yyyymmdd, struct value *out);

/* A name a caller may use for a field it is not called by: contact_point "value" is value_raw. NULL if there is none.
 */
const struct field *catalogue_input_alias(const struct entity_desc *d, struct bytes name);

/**
 * catalogue_complete: the rules of a whole record, before it is written. values has field_count entries, VALUE_NULL
 * where there is none; for a change they are the record's values after it. Fills defaults (kind, type, status, ...) and
 * what is computed on entry (value_norm), normalises by the other fields (document number by its type), then refuses: a
 * missing REQUIRED field (not the DOSSIER one: it is no value but the place, the caller asks for it), dates in the
 * wrong order, a rule between fields. Running it twice changes nothing. ERR_INVALID with why, which names the field;
 * ERR_NOMEM.
 */
MUST_USE enum err catalogue_complete(
    const struct entity_desc *d, struct arena *a, struct value *values, struct why *why);

/* Fills who, where and when into a new record where the caller gave none (created_by, station, at, from_at ...).
 * Borrows. */
void catalogue_stamp(
    const struct entity_desc *d, int64_t now_ms, struct bytes user, struct bytes station, struct value *values);

#endif
