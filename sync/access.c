#include "sync/access.h"

#include "schema/base/check.h"
#include "sync/policy.h"

/*
 * Owns: the decision. For each role of the person two independent answers are looked up, what the entity matrix gives
 * of the row and what the class table gives of the field, and the lower of the two counts; the best role wins; a
 * prohibition of any one role beats all of them. Then the purpose is checked, and may lower the view once more.
 *
 * Invariants: no row in policy.def, no right; the answer depends on roles, scope, purpose and catalogue only, never on
 * a value; adding a scope bit never takes a right away; adding a role takes one away only through FORBID.
 *
 * Deliberately not here: how scopes are computed, how masks look, auditing, rate limits, k-anonymity of aggregates.
 */

/*
 * Why not, and what would make it possible. Later reasons are nearer to a permit: with several roles the person is told
 * the nearest one. X(NAME, zh, en)
 */
#define REASON_TABLE(X)                                                                                              \
    X(NONE, "", "")                                                                                                  \
    X(ROLE, "没有可用的角色", "no usable role")                                                                      \
    X(ENTITY, "您的角色不办理这类资料", "your role does not work with records of this kind")                         \
    X(VERB, "您的角色不能对这类资料做这个操作", "your role may not do this to records of this kind")                 \
    X(EXPORT, "您的角色不能导出", "your role may not export")                                                        \
    X(GROUP, "只能处理本集团的资料", "only records of this group")                                                   \
    X(STATION, "只能处理本网点的客户", "only customers of your station")                                             \
    X(TASK, "只能在有未完成的任务、工单或接待时办理", "only while you have an open task, order or visit for it")     \
    X(OWN, "只能看本人名下的客户", "only customers assigned to you")                                                 \
    X(FIELD, "您的角色不使用这个字段", "this field is not for your role")                                            \
    X(CLASS, "您的角色不能看或填写这一类字段", "your role may not see or write fields of this class")                \
    X(CONSENT, "需要客户先同意处理敏感信息", "the customer must first consent to sensitive data being used")         \
    X(MATCH, "只能查询是否已有登记", "you may only ask whether it is known")                                         \
    X(AGGREGATE, "只能看汇总数", "only totals are shown to your role")                                               \
    X(SEARCH, "只能按您能看清的字段查找、排序或统计", "search, sort and count only by fields you may read in clear") \
    X(MASKED, "只显示遮盖后的值", "shown masked")                                                                    \
    X(ORDER, "有未完结的订单时才能看清", "in clear only while an order is open")                                     \
    X(PURPOSE, "这个目的不适用于您的角色或这个字段", "this purpose is not for your role or this field")              \
    X(NO_PURPOSE, "需要注明目的，例如 --purpose P1", "say why you read, e.g. --purpose P1")                          \
    X(EVENT, "这类记录只能新增；请新增一条更正", "such records are only added; add a correction")                    \
    X(SYSTEM, "这个字段由系统填写", "this field is filled in by the system")                                         \
    X(HIDDEN, "这个字段不向任何人显示", "this field is shown to nobody")                                             \
    X(FORBIDDEN, "岗位分离：您的一个角色禁止此操作", "separation of duties: one of your roles forbids this")         \
    X(ADMIN, "您的角色没有这项管理权限", "your role does not hold this administrative right")

enum reason {
#define X(name, zh, en) REASON_##name,
    REASON_TABLE(X)
#undef X
};

struct text {
    const char *zh, *en;
};

static const struct text REASON_TEXTS[] = {
#define X(name, zh, en) { zh, en },
    REASON_TABLE(X)
#undef X
};

/* The reminder to name a purpose, with one that would do as the example; in the order of the purpose bits. */
static const struct text PURPOSE_HINTS[] = {
#define X(name, bit, zh, en)                                      \
    [bit] = { "需要注明目的，例如 --purpose " #name "（" zh "）", \
        "say why you read, e.g. --purpose " #name " (" en ")" },
    PURPOSE_TABLE(X)
#undef X
};

static const struct text ROLE_TEXTS[ROLE_COUNT] = {
#define X(name, number, zh, en) [number] = { zh, en },
    ROLE_TABLE(X)
#undef X
};

static const char *const ROLE_NAMES[ROLE_COUNT] = {
#define X(name, number, zh, en) [number] = #name,
    ROLE_TABLE(X)
#undef X
};

static const char *const PURPOSE_NAMES[] = {
#define X(name, bit, zh, en) [bit] = #name,
    PURPOSE_TABLE(X)
#undef X
};

static const struct text PURPOSE_TEXTS[] = {
#define X(name, bit, zh, en) [bit] = { zh, en },
    PURPOSE_TABLE(X)
#undef X
};

/* What one role has to say. hint: the purpose to suggest, with REASON_NO_PURPOSE. */
struct verdict {
    enum view view;
    enum reason reason;
    enum role role;
    uint32_t hint;
};

static struct verdict verdict(enum view view, enum reason reason)
{
    return (struct verdict){ .view = view, .reason = reason };
}

static struct verdict deny(enum reason reason)
{
    return verdict(VIEW_DENY, reason);
}

/* Index of the lowest bit, or the count of purposes if there is none. */
static size_t purpose_index(uint32_t purposes)
{
    size_t i = 0;
    while (i < ARRAY_LEN(PURPOSE_NAMES) && (purposes >> i & 1U) == 0) {
        i++;
    }
    return i;
}

/* Exactly one known purpose. */
static bool is_purpose(enum purpose p)
{
    size_t i = purpose_index((uint32_t)p);
    return i < ARRAY_LEN(PURPOSE_NAMES) && (uint32_t)p == 1U << i;
}

static struct text text_of(struct verdict v)
{
    if (v.view == VIEW_CLEAR) {
        return REASON_TEXTS[REASON_NONE];
    }
    size_t i = purpose_index(v.hint);
    if (v.reason == REASON_NO_PURPOSE && i < ARRAY_LEN(PURPOSE_HINTS)) {
        return PURPOSE_HINTS[i];
    }
    return REASON_TEXTS[v.reason];
}

static struct access_answer answer_of(struct verdict v)
{
    struct text t = text_of(v);
    enum role role = v.view == VIEW_DENY ? ROLE_NONE : v.role;
    return (struct access_answer){ .view = v.view, .role = role, .zh = t.zh, .en = t.en };
}

/* The scopes in which a right would be given, as advice; nothing given at all is `otherwise`. */
static enum reason scope_reason(uint32_t wanted, enum reason otherwise)
{
    if ((wanted & SCOPE_OWN) != 0) {
        return REASON_OWN;
    }
    if ((wanted & SCOPE_TASK) != 0) {
        return REASON_TASK;
    }
    if ((wanted & SCOPE_STATION) != 0) {
        return REASON_STATION;
    }
    return (wanted & SCOPE_GROUP) != 0 ? REASON_GROUP : otherwise;
}

/* What the entity matrix gives of the row. */
static struct verdict see_row(const struct policy_row *row, uint32_t scope)
{
    if ((row->read & scope) != 0) {
        return verdict(VIEW_CLEAR, REASON_NONE);
    }
    if ((row->masked & scope) != 0) {
        return verdict(VIEW_MASKED, REASON_MASKED);
    }
    if ((row->aggregate & scope) != 0) {
        return verdict(VIEW_AGGREGATE, REASON_AGGREGATE);
    }
    if ((row->match & scope) != 0) {
        return verdict(VIEW_MATCH, REASON_MATCH);
    }
    uint32_t wanted = (uint32_t)row->read | row->masked | row->aggregate | row->match;
    return deny(scope_reason(wanted, REASON_ENTITY));
}

static bool lacks_consent(const struct policy_sight *sight, const struct access_query *q)
{
    return sight->condition == POLICY_CONSENT && !q->has_consent_sensitive;
}

/* The scopes of the clear column as they stand for this customer now. */
static uint32_t clear_scopes(const struct policy_sight *sight, const struct access_query *q)
{
    return sight->condition == POLICY_OPEN_ORDER && !q->has_open_order ? 0 : sight->clear;
}

/* What the class table and its exceptions give of the field. */
static struct verdict see_class(const struct policy_sight *sight, const struct access_query *q, uint32_t scope)
{
    uint32_t any = (uint32_t)sight->clear | sight->masked | sight->aggregate | sight->match;
    if (lacks_consent(sight, q)) {
        return deny((any & scope) != 0 ? REASON_CONSENT : REASON_CLASS);
    }
    if ((clear_scopes(sight, q) & scope) != 0) {
        return verdict(VIEW_CLEAR, REASON_NONE);
    }
    if ((sight->masked & scope) != 0) {
        return verdict(VIEW_MASKED, (sight->clear & scope) != 0 ? REASON_ORDER : REASON_MASKED);
    }
    if ((sight->aggregate & scope) != 0) {
        return verdict(VIEW_AGGREGATE, REASON_AGGREGATE);
    }
    if ((sight->match & scope) != 0) {
        return verdict(VIEW_MATCH, REASON_MATCH);
    }
    return deny(scope_reason(any, REASON_CLASS));
}

/* Row and field together, before any purpose. A masked row hides personal fields; what is not personal stays clear. */
static struct verdict see_field(const struct access_query *q, enum role r, uint32_t scope)
{
    enum entity e = q->entity->entity;
    struct verdict row = see_row(policy_row_of(e, r), scope);
    if (row.view == VIEW_DENY) {
        return row;
    }
    if (!policy_may_read_field(e, q->field, r)) {
        return deny(REASON_FIELD);
    }
    bool is_personal = policy_is_personal(q->field);
    struct verdict class_ = verdict(VIEW_CLEAR, REASON_NONE);
    if (is_personal || !policy_is_without_person(e)) {
        struct policy_sight sight = policy_sight_of(e, q->field, r);
        class_ = see_class(&sight, q, scope);
    }
    if (row.view == VIEW_MASKED && !is_personal) {
        return class_;
    }
    return class_.view < row.view ? class_ : row;
}

/* Lowers a view to what the named purpose allows; accepted: the purposes that would do. */
static struct verdict apply_purpose(struct verdict seen, uint32_t accepted, enum purpose purpose)
{
    if (purpose == PURPOSE_NONE && accepted != 0) {
        return (struct verdict){ .view = VIEW_DENY, .reason = REASON_NO_PURPOSE, .hint = accepted };
    }
    uint32_t named = (uint32_t)purpose;
    if (!is_purpose(purpose) || (accepted & named) == 0) {
        return deny(REASON_PURPOSE);
    }
    enum view cap = policy_purpose_cap(purpose);
    return cap < seen.view ? verdict(cap, REASON_PURPOSE) : seen;
}

static struct verdict read_row(const struct access_query *q, enum role r, uint32_t scope)
{
    struct verdict row = see_row(policy_row_of(q->entity->entity, r), scope);
    if (row.view == VIEW_DENY || !access_needs_purpose(q->entity)) {
        return row;
    }
    return apply_purpose(row, policy_purposes(r), q->purpose);
}

static struct verdict read_any(const struct access_query *q, enum role r, uint32_t scope)
{
    if (q->field == NULL) {
        return read_row(q, r, scope);
    }
    if ((q->field->flags & FIELD_HIDDEN) != 0) {
        return deny(REASON_HIDDEN);
    }
    struct verdict seen = see_field(q, r, scope);
    if (seen.view == VIEW_DENY || !policy_is_personal(q->field)) {
        return seen;
    }
    struct policy_sight sight = policy_sight_of(q->entity->entity, q->field, r);
    uint32_t accepted = policy_purposes(r) & sight.purposes & q->field->purposes;
    return apply_purpose(seen, accepted, q->purpose);
}

static struct verdict search(const struct access_query *q, enum role r, uint32_t scope)
{
    struct verdict seen = read_any(q, r, scope);
    if (q->field == NULL || seen.view == VIEW_CLEAR || seen.view == VIEW_DENY) {
        return seen;
    }
    return deny(REASON_SEARCH);
}

static struct verdict export(const struct access_query *q, enum role r, uint32_t scope)
{
    uint32_t exportable = policy_export_scope(r);
    if ((exportable & scope) == 0) {
        return deny(scope_reason(exportable, REASON_EXPORT));
    }
    struct verdict seen = read_any(q, r, scope);
    return seen.view >= VIEW_MASKED ? seen : deny(seen.reason);
}

/* Whether the class table lets the role put a value into the field. */
static struct verdict write_class(const struct access_query *q, enum role r, uint32_t scope)
{
    enum entity e = q->entity->entity;
    if (!policy_may_write_field(e, q->field, r)) {
        return deny(REASON_FIELD);
    }
    if (policy_is_without_person(e) && !policy_is_personal(q->field)) {
        return verdict(VIEW_CLEAR, REASON_NONE);
    }
    struct policy_sight sight = policy_sight_of(e, q->field, r);
    uint32_t given = clear_scopes(&sight, q) | sight.write;
    if ((given & scope) == 0) {
        return deny(scope_reason(given, REASON_CLASS));
    }
    return lacks_consent(&sight, q) ? deny(REASON_CONSENT) : verdict(VIEW_CLEAR, REASON_NONE);
}

static uint32_t verb_scopes(const struct policy_row *row, enum action action)
{
    switch (action) {
    case ACTION_CREATE:
        return row->create;
    case ACTION_UPDATE:
        return row->update;
    case ACTION_DELETE:
        return row->delete_;
    case ACTION_DECIDE:
        return row->decide;
    case ACTION_READ:
    case ACTION_SEARCH:
    case ACTION_EXPORT:
        break;
    }
    return 0;
}

static struct verdict write_any(const struct access_query *q, enum role r, uint32_t scope)
{
    enum entity e = q->entity->entity;
    if (q->action == ACTION_UPDATE && q->entity->is_event) {
        return deny(REASON_EVENT);
    }
    uint32_t given = verb_scopes(policy_row_of(e, r), q->action);
    if (q->action == ACTION_UPDATE && q->field != NULL) {
        given |= policy_extra_update(e, q->field, r);
    }
    if ((given & scope) == 0) {
        return deny(scope_reason(given, REASON_VERB));
    }
    if (q->field == NULL) {
        return verdict(VIEW_CLEAR, REASON_NONE);
    }
    return write_class(q, r, scope);
}

/* Taking one of two values asks for the right to tell them apart, masked if need be. */
static struct verdict decide(const struct access_query *q, enum role r, uint32_t scope)
{
    uint32_t given = verb_scopes(policy_row_of(q->entity->entity, r), ACTION_DECIDE);
    if ((given & scope) == 0) {
        return deny(scope_reason(given, REASON_VERB));
    }
    if (q->field == NULL) {
        return verdict(VIEW_CLEAR, REASON_NONE);
    }
    if ((q->field->flags & FIELD_HIDDEN) != 0) {
        return deny(REASON_HIDDEN);
    }
    struct verdict seen = see_field(q, r, scope);
    return seen.view >= VIEW_MASKED ? verdict(VIEW_CLEAR, REASON_NONE) : deny(seen.reason);
}

static struct verdict conflict_view(const struct access_query *q, enum role r, uint32_t scope)
{
    if (q->field != NULL && decide(q, r, scope).view == VIEW_CLEAR) {
        return see_field(q, r, scope);
    }
    return read_any(q, r, scope);
}

/* One role's verdict on q->action. */
static struct verdict judge(const struct access_query *q, enum role r)
{
    uint32_t scope = q->scope & (uint32_t)SCOPE_ALL;
    switch (q->action) {
    case ACTION_READ:
        return read_any(q, r, scope);
    case ACTION_SEARCH:
        return search(q, r, scope);
    case ACTION_EXPORT:
        return export(q, r, scope);
    case ACTION_CREATE: /* what is being created is new by definition, and nothing else is */
        return write_any(q, r, scope | (uint32_t)SCOPE_SELF);
    case ACTION_UPDATE:
    case ACTION_DELETE:
        return write_any(q, r, scope);
    case ACTION_DECIDE:
        return decide(q, r, scope);
    }
    return deny(REASON_VERB);
}

typedef struct verdict (*judge_fn)(const struct access_query *q, enum role r);

/* The best verdict of all roles, unless one of them is forbidden. */
static struct verdict best_of(const struct access_query *q, judge_fn judge_role)
{
    struct verdict best = deny(q->entity == NULL ? REASON_ENTITY : REASON_ROLE);
    if (q->entity == NULL) {
        return best;
    }
    for (unsigned i = ROLE_NONE + 1; i < ROLE_COUNT; i++) {
        enum role r = (enum role)i;
        if ((q->roles & role_bit(r)) == 0) {
            continue;
        }
        if (policy_forbids(r, q->action, q->field)) {
            return (struct verdict){ .view = VIEW_DENY, .reason = REASON_FORBIDDEN, .role = r };
        }
        struct verdict v = judge_role(q, r);
        v.role = r;
        if (v.view > best.view || (v.view == best.view && v.reason > best.reason)) {
            best = v;
        }
    }
    return best;
}

/* Asking about a field of another entity is a programmer's error. */
static void check_query(const struct access_query *q)
{
    check(q != NULL);
    check(q->entity == NULL || q->field == NULL ||
          (q->field >= q->entity->fields && q->field < q->entity->fields + q->entity->field_count));
}

static bool is_filled_in(const struct field *f)
{
    return (f->flags & (FIELD_SYSTEM | FIELD_HIDDEN)) != 0 || f->merge == MERGE_DERIVED;
}

struct access_answer access_decide(const struct access_query *q)
{
    check_query(q);
    bool is_write = q->action == ACTION_CREATE || q->action == ACTION_UPDATE;
    if (is_write && q->field != NULL && is_filled_in(q->field)) {
        return answer_of(deny(REASON_SYSTEM));
    }
    return answer_of(best_of(q, judge));
}

static struct verdict judge_conflict(const struct access_query *q, enum role r)
{
    return conflict_view(q, r, q->scope & (uint32_t)SCOPE_ALL);
}

struct access_answer access_conflict_view(const struct access_query *q)
{
    check_query(q);
    struct access_query as_read = *q;
    as_read.action = ACTION_READ;
    return answer_of(best_of(&as_read, judge_conflict));
}

struct access_answer access_write_allowed(
    uint32_t roles, uint32_t scope, const struct entity_desc *d, const struct field *f, enum action action)
{
    /* Consent and orders of the author's moment are not in reach of the receiver: the author's node has checked them.
     */
    struct access_query q = { .roles = roles,
        .scope = scope,
        .entity = d,
        .field = f,
        .action = action,
        .has_consent_sensitive = true,
        .has_open_order = true };
    check_query(&q);
    bool is_write =
        action == ACTION_CREATE || action == ACTION_UPDATE || action == ACTION_DELETE || action == ACTION_DECIDE;
    if (!is_write) {
        return answer_of(deny(REASON_VERB));
    }
    if (f != NULL && f->merge == MERGE_DERIVED) {
        return answer_of(deny(REASON_SYSTEM));
    }
    return answer_of(best_of(&q, judge));
}

bool access_needs_purpose(const struct entity_desc *d)
{
    for (size_t i = 0; i < d->field_count; i++) {
        if (policy_is_personal(&d->fields[i])) {
            return true;
        }
    }
    return false;
}

struct access_answer access_admin(uint32_t roles, enum admin_right right)
{
    uint32_t given = roles & policy_admin_roles(right);
    for (unsigned i = ROLE_NONE + 1; i < ROLE_COUNT; i++) {
        if ((given & role_bit((enum role)i)) != 0) {
            struct verdict v = verdict(VIEW_CLEAR, REASON_NONE);
            v.role = (enum role)i;
            return answer_of(v);
        }
    }
    return answer_of(deny(REASON_ADMIN));
}

bool roles_clash(uint32_t roles, struct why *why)
{
    size_t count = 0;
    const struct policy_clash *clashes = policy_clashes(&count);
    for (size_t i = 0; i < count; i++) {
        uint32_t both = role_bit(clashes[i].one) | role_bit(clashes[i].other);
        if ((roles & both) == both) {
            why_setf(why, ERR_DENIED, "岗位分离：%s 不能由同一人兼任",
                "separation of duties: %s must not be one person", clashes[i].names);
            return true;
        }
    }
    return false;
}

static bool is_role(enum role r)
{
    return r > ROLE_NONE && r < ROLE_COUNT;
}

const char *role_name(enum role r)
{
    return is_role(r) ? ROLE_NAMES[r] : NULL;
}

const char *role_zh(enum role r)
{
    return is_role(r) ? ROLE_TEXTS[r].zh : NULL;
}

const char *role_en(enum role r)
{
    return is_role(r) ? ROLE_TEXTS[r].en : NULL;
}

/* Upper-case letters and digits of a code, in either case; nothing else is folded. */
static bool is_code(struct bytes text, const char *code)
{
    if (text.len != strlen(code)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c >= 'a' && c <= 'z') {
            c = (uint8_t)(c - 'a' + 'A');
        }
        if (c != (uint8_t)code[i]) {
            return false;
        }
    }
    return true;
}

enum role role_parse(struct bytes text)
{
    for (unsigned i = ROLE_NONE + 1; i < ROLE_COUNT; i++) {
        if (is_code(text, ROLE_NAMES[i])) {
            return (enum role)i;
        }
    }
    return ROLE_NONE;
}

const char *purpose_name(enum purpose p)
{
    return is_purpose(p) ? PURPOSE_NAMES[purpose_index((uint32_t)p)] : NULL;
}

const char *purpose_zh(enum purpose p)
{
    return is_purpose(p) ? PURPOSE_TEXTS[purpose_index((uint32_t)p)].zh : NULL;
}

const char *purpose_en(enum purpose p)
{
    return is_purpose(p) ? PURPOSE_TEXTS[purpose_index((uint32_t)p)].en : NULL;
}

enum purpose purpose_parse(struct bytes text)
{
    for (unsigned i = 0; i < ARRAY_LEN(PURPOSE_NAMES); i++) {
        if (is_code(text, PURPOSE_NAMES[i])) {
            return (enum purpose)(1U << i);
        }
    }
    return PURPOSE_NONE;
}
