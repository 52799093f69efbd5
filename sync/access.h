#ifndef JIPAN_ACCESS_H
#define JIPAN_ACCESS_H

#include "schema/catalogue.h"

/*
 * Access: the one pure decision who may do what with which field, deny by default, from tables that follow
 * domain.md 2.1, 3.1 to 3.4. No I/O; the caller states the facts.
 */

/* X(NAME, number, zh, en): roles, domain.md 3.1. Numbers are wire format. */
#define ROLE_TABLE(X)                          \
    X(RT, 1, "前台接待", "reception")          \
    X(SC, 2, "销售顾问", "sales consultant")   \
    X(SM, 3, "销售经理", "sales manager")      \
    X(SA, 4, "服务专员", "service advisor")    \
    X(WM, 5, "维修经理", "workshop manager")   \
    X(TC, 6, "维修技师", "technician")         \
    X(QI, 7, "质量总检", "chief inspector")    \
    X(PK, 8, "配件", "parts")                  \
    X(CS, 9, "客服回访", "customer service")   \
    X(MK, 10, "市场", "marketing")             \
    X(FN, 11, "财务", "finance")               \
    X(GM, 12, "店总经理", "station manager")   \
    X(GP, 13, "集团管理", "group manager")     \
    X(PA, 14, "隐私审计员", "privacy auditor") \
    X(AD, 15, "网管员", "system administrator")

enum role {
    ROLE_NONE = 0,
#define X(name, number, zh, en) ROLE_##name = (number),
    ROLE_TABLE(X)
#undef X
        ROLE_COUNT
};

/* Roles of a user as a bit set: 1 << role. */
static inline uint32_t role_bit(enum role r)
{
    return 1U << (unsigned)r;
}

const char *role_name(enum role r); /* "SC"; NULL for none */
const char *role_zh(enum role r);
const char *role_en(enum role r);
enum role role_parse(struct bytes text); /* exact code, either case; ROLE_NONE if unknown */

const char *purpose_name(enum purpose p);
enum purpose purpose_parse(struct bytes text); /* "P1".."P11" or PURPOSE_NONE */
const char *purpose_zh(enum purpose p);
const char *purpose_en(enum purpose p);

/* Two roles that must not be one person (SC+PA, AD+PA, FN keeper+SC...). Returns true and fills why. */
bool roles_clash(uint32_t roles, struct why *why);

enum action {
    ACTION_READ, /* one field of one row, for display */
    ACTION_SEARCH, /* filter, sort, group or count by the field: needs the right to read it in clear */
    ACTION_EXPORT,
    ACTION_CREATE,
    ACTION_UPDATE,
    ACTION_DELETE,
    ACTION_DECIDE, /* settle a conflict on the field */
};

/* How a row stands to the person: all that are true. Computed by the caller from assignments and stations. */
enum row_scope {
    SCOPE_OWN = 1 << 0, /* open assignment names me, or I created it and it is not assigned */
    SCOPE_STATION = 1 << 1, /* my station is the row's home station */
    SCOPE_TASK = 1 << 2, /* I have an open task, repair order or visit on it */
    SCOPE_GROUP = 1 << 3, /* the row is of my group: always true on a node of the group */
    SCOPE_SELF = 1 << 4, /* the row is created in this very call by me */
};

enum view {
    VIEW_DENY,
    VIEW_MATCH, /* may only ask whether it is known */
    VIEW_AGGREGATE,
    VIEW_MASKED,
    VIEW_CLEAR,
};

struct access_query {
    uint32_t roles; /* union of the user's roles; 0 denies everything */
    enum purpose purpose; /* PURPOSE_NONE where not given */
    uint32_t scope; /* SCOPE_* bits */
    const struct entity_desc *entity;
    const struct field *field; /* NULL: may the row be seen / created / changed / deleted at all */
    enum action action;
    bool has_consent_sensitive; /* the customer's 敏感信息 consent is in force */
    bool has_open_order; /* identity in clear for own customers needs it */
};

struct access_answer {
    enum view view; /* for CREATE/UPDATE/DELETE/DECIDE: VIEW_CLEAR = permitted, otherwise VIEW_DENY */
    enum role role; /* the role that gave the right (audit) */
    const char *zh, *en; /* static text: why not, and what would make it possible (never depends on a value) */
};

/**
 * access_decide: pure. Over several roles the best view wins, except that explicit prohibitions (FORBID rows) beat
 * permits. A read of a field of class contact or above (anything but public, business) without a purpose is denied for
 * every role; a purpose that the role may not use, or that the field does not list, is denied.
 */
struct access_answer access_decide(const struct access_query *q);

/*
 * How to read an answer:
 * - ROW (field NULL). READ and SEARCH: what may be seen of the row at all; below VIEW_MASKED nothing of it is shown. A
 * row of a personal entity needs a purpose as a whole (access_needs_purpose).
 * - SEARCH and EXPORT know only yes and no over clear and masked: SEARCH answers CLEAR or DENY for a field; EXPORT
 * answers CLEAR, MASKED or DENY. To learn whether a search can be allowed for any row, ask with SCOPE_ALL, then ask
 * again for every row with its own scope and leave out those that answer DENY.
 * - CREATE always counts as SCOPE_SELF, whether the caller says so or not; no other action ever does.
 * - CREATE, UPDATE, DELETE need no purpose. Fields that the node fills in itself (FIELD_SYSTEM, FIELD_HIDDEN) are
 * refused to a person here, and accepted from a peer by access_write_allowed.
 * - DECIDE: taking one of the values that stand. Writing a third value is UPDATE. It does not say how the values are
 *   shown: that is access_conflict_view.
 * Texts are never NULL; they are empty when the answer is VIEW_CLEAR.
 */
enum { SCOPE_ALL = SCOPE_OWN | SCOPE_STATION | SCOPE_TASK | SCOPE_GROUP };

/* True if any field of the entity is above business: then its rows are read with a purpose or not at all. */
bool access_needs_purpose(const struct entity_desc *d);

/*
 * How the competing values of a conflict on q->field are shown. Who may settle it sees them as his role sees the class,
 * without naming a purpose, because settling is the purpose; for everybody else it is an ordinary READ. q->action is
 * not looked at.
 */
struct access_answer access_conflict_view(const struct access_query *q);

/* What a receiving node checks of a commit's write: role, entity, class, verb; scope bits as far as they can be known
 * from the causal past. Same tables, no purpose needed. */
struct access_answer access_write_allowed(
    uint32_t roles, uint32_t scope, const struct entity_desc *d, const struct field *f, enum action action);

/* May this role list the audit log / verify it / settle conflicts / manage users / see conflict values at all? Same
 * deny-by-default table. */
enum admin_right {
    ADMIN_USERS,
    ADMIN_NODES,
    ADMIN_AUDIT_READ,
    ADMIN_AUDIT_VERIFY,
    ADMIN_CONFLICT_LIST,
    ADMIN_VERIFY_STORE,
    ADMIN_DUMP,
    ADMIN_STATEHASH,
    ADMIN_IMPORT,
    ADMIN_EXPORT,
    ADMIN_SYNC,
    ADMIN_POLICY_READ,
    ADMIN_PEERS
};
struct access_answer access_admin(uint32_t roles, enum admin_right right);

#endif
