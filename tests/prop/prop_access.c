/*
 * Properties of the access decision over every combination of role, entity, field, action, scope and purpose. They read
 * policy.def with macros of their own, as flat lists, so that a mistake in the indexed tables or in the order of the
 * checks shows. No random cases: the whole space is walked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "schema/base/attrs.h"
#include "sync/access.h"

/* ---- policy.def as flat lists ---- */

enum letters {
    L__ = 0,
    L_o = SCOPE_OWN,
    L_s = SCOPE_STATION,
    L_t = SCOPE_TASK,
    L_g = SCOPE_GROUP,
    L_n = SCOPE_SELF,
    L_os = L_o | L_s,
    L_on = L_o | L_n,
    L_st = L_s | L_t
};

#define R(role)    (1U << ROLE_##role)
#define P(n)       ((uint32_t)PURPOSE_P##n)
#define EVERY_ROLE ((1U << ROLE_COUNT) - 2U)

struct flat_entity {
    const char *line;
    enum entity entity;
};

static const struct flat_entity ENTITIES[] = {
#define ROW_ENTITY(line, entity) { #line, ENTITY_##entity },
#include "sync/policy.def"
};

static const char *const NO_PERSON_LINES[] = {
#define NO_PERSON(line) #line,
#include "sync/policy.def"
};

struct flat_may {
    const char *line;
    enum role role;
    uint32_t create, read, masked, aggregate, match, update, delete_, decide;
};

static const struct flat_may MAYS[] = {
#define MAY(line, role, c, r, m, a, x, u, d, s) \
    { #line, ROLE_##role, L_##c, L_##r, L_##m, L_##a, L_##x, L_##u, L_##d, L_##s },
#include "sync/policy.def"
};

/* Class table and its exceptions in one shape; entity NONE: any; field NULL: any of the class. */
struct flat_sight {
    enum entity entity;
    const char *field;
    int class_; /* -1: any */
    enum role role;
    uint32_t clear, masked, aggregate, match, write;
};

static const struct flat_sight SIGHTS[] = {
#define SEES_FIELD(entity, field, role, r, m, w) \
    { ENTITY_##entity, #field, -1, ROLE_##role, L_##r, L_##m, 0, 0, L_##w },
#include "sync/policy.def"
#define SEES_IN(entity, class_, role, r, m, w) \
    { ENTITY_##entity, NULL, CLASS_##class_, ROLE_##role, L_##r, L_##m, 0, 0, L_##w },
#include "sync/policy.def"
#define SEES(class_, role, r, m, a, x, w, when, purposes) \
    { ENTITY_NONE, NULL, CLASS_##class_, ROLE_##role, L_##r, L_##m, L_##a, L_##x, L_##w },
#include "sync/policy.def"
};

struct flat_uses {
    enum role role;
    uint32_t purposes;
};

static const struct flat_uses USED[] = {
#define USES(role, purposes) { ROLE_##role, purposes },
#include "sync/policy.def"
};

struct flat_name {
    enum entity entity;
    const char *field;
    enum role role;
    uint32_t scope;
};

static const struct flat_name EXTRA[] = {
#define WRITES(entity, field, role, scope) { ENTITY_##entity, #field, ROLE_##role, L_##scope },
#include "sync/policy.def"
};

static const struct flat_name NAMED_FIELDS[] = {
#define SEES_FIELD(entity, field, role, r, m, w) { ENTITY_##entity, #field, ROLE_NONE, 0 },
#define SHOWS_ONLY(entity, role, field)          { ENTITY_##entity, #field, ROLE_NONE, 0 },
#define READERS(entity, field, roles)            { ENTITY_##entity, #field, ROLE_NONE, (roles) },
#define WRITERS(entity, field, roles)            { ENTITY_##entity, #field, ROLE_NONE, (roles) },
#define WRITES(entity, field, role, scope)       { ENTITY_##entity, #field, ROLE_NONE, 0 },
#include "sync/policy.def"
};

static bool is_personal(const struct field *f)
{
    return f->class_ != CLASS_PUBLIC && f->class_ != CLASS_BUSINESS;
}

static const char *line_of(enum entity e)
{
    for (size_t i = 0; i < ARRAY_LEN(ENTITIES); i++) {
        if (ENTITIES[i].entity == e) {
            return ENTITIES[i].line;
        }
    }
    return "";
}

static struct flat_may may_of(enum entity e, enum role r)
{
    for (size_t i = 0; i < ARRAY_LEN(MAYS); i++) {
        if (MAYS[i].role == r && strcmp(MAYS[i].line, line_of(e)) == 0) {
            return MAYS[i];
        }
    }
    return (struct flat_may){ 0 };
}

static struct flat_sight sight_of(enum entity e, const struct field *f, enum role r)
{
    for (size_t i = 0; i < ARRAY_LEN(NO_PERSON_LINES); i++) {
        if (!is_personal(f) && strcmp(NO_PERSON_LINES[i], line_of(e)) == 0) {
            return (struct flat_sight){ .clear = 31, .write = 31 };
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(SIGHTS); i++) {
        const struct flat_sight *s = &SIGHTS[i];
        if (s->role == r && (s->entity == ENTITY_NONE || s->entity == e) &&
            (s->field == NULL || strcmp(s->field, f->name) == 0) && (s->class_ < 0 || s->class_ == (int)f->class_)) {
            return *s;
        }
    }
    return (struct flat_sight){ 0 };
}

static uint32_t purposes_of(enum role r)
{
    for (size_t i = 0; i < ARRAY_LEN(USED); i++) {
        if (USED[i].role == r) {
            return USED[i].purposes;
        }
    }
    return 0;
}

static uint32_t extra_of(enum entity e, const struct field *f, enum role r)
{
    for (size_t i = 0; i < ARRAY_LEN(EXTRA); i++) {
        if (EXTRA[i].entity == e && EXTRA[i].role == r && strcmp(EXTRA[i].field, f->name) == 0) {
            return EXTRA[i].scope;
        }
    }
    return 0;
}

/* ---- walking every combination ---- */

static const enum action ACTIONS[] = { ACTION_READ, ACTION_SEARCH, ACTION_EXPORT, ACTION_CREATE, ACTION_UPDATE,
    ACTION_DELETE, ACTION_DECIDE };

static bool is_reading(enum action a)
{
    return a == ACTION_READ || a == ACTION_SEARCH || a == ACTION_EXPORT;
}

typedef void (*visit_fn)(const struct access_query *q);

/* Calls visit for every entity, field (and the row), action, scope set, purpose and fact, with the given roles. */
static void walk_field(struct access_query q, visit_fn visit)
{
    for (size_t a = 0; a < ARRAY_LEN(ACTIONS); a++) {
        q.action = ACTIONS[a];
        unsigned purposes = is_reading(q.action) ? 12 : 1;
        for (uint32_t scope = 0; scope < 32; scope++) {
            q.scope = scope;
            for (unsigned p = 0; p < purposes; p++) {
                q.purpose = p == 0 ? PURPOSE_NONE : (enum purpose)(1U << (p - 1));
                visit(&q);
            }
        }
    }
}

static void walk(uint32_t roles, bool has_facts, visit_fn visit)
{
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    for (size_t i = 0; i < count; i++) {
        struct access_query q = {
            .roles = roles, .entity = &d[i], .has_consent_sensitive = has_facts, .has_open_order = has_facts
        };
        walk_field(q, visit);
        for (size_t k = 0; k < d[i].field_count; k++) {
            q.field = &d[i].fields[k];
            walk_field(q, visit);
        }
    }
}

static void fail_at(const struct access_query *q, const char *what)
{
    print_error("%s: roles %x, %s.%s, action %d, scope %x, purpose %x -> %d\n", what, q->roles, q->entity->name,
        q->field == NULL ? "(row)" : q->field->name, (int)q->action, q->scope, (unsigned)q->purpose,
        (int)access_decide(q).view);
    fail();
}

static enum view view_of(struct access_query q, enum action action)
{
    q.action = action;
    return access_decide(&q).view;
}

/* ---- properties ---- */

static void visit_denied(const struct access_query *q)
{
    struct access_answer a = access_decide(q);
    if (a.view != VIEW_DENY || a.role != ROLE_NONE) {
        fail_at(q, "a right without a role");
    }
}

static void no_role_and_unknown_role_bits_give_nothing(void **state)
{
    (void)state;
    walk(0, true, visit_denied);
    walk(1U | ~((1U << ROLE_COUNT) - 1U), true, visit_denied);
    for (unsigned r = 0; r <= ADMIN_PEERS + 1; r++) {
        assert_int_equal(access_admin(1U | 1U << 16 | 1U << 31, (enum admin_right)r).view, VIEW_DENY);
    }
}

static enum role only_role;

/* A read above DENY: a cell of each matrix must give it in one of the scopes, and CLEAR only from clear cells. */
static void check_read(const struct access_query *q, struct access_answer a)
{
    struct flat_may row = may_of(q->entity->entity, only_role);
    uint32_t seen = row.read | row.masked | row.aggregate | row.match;
    if ((seen & q->scope & (uint32_t)SCOPE_ALL) == 0) {
        fail_at(q, "read without a cell of the entity matrix");
    }
    if (q->field == NULL) {
        return;
    }
    struct flat_sight sight = sight_of(q->entity->entity, q->field, only_role);
    uint32_t any = sight.clear | sight.masked | sight.aggregate | sight.match;
    if ((any & q->scope) == 0 || (q->field->flags & FIELD_HIDDEN) != 0) {
        fail_at(q, "read without a cell of the class table");
    }
    bool is_personal_row = is_personal(q->field);
    if (a.view == VIEW_CLEAR && ((sight.clear & q->scope) == 0 || (is_personal_row && (row.read & q->scope) == 0))) {
        fail_at(q, "clear where only masked is listed");
    }
    if (a.view >= VIEW_MASKED && ((row.read | row.masked) & q->scope) == 0) {
        fail_at(q, "shown where only totals or a match are listed");
    }
    if (is_personal_row &&
        (q->purpose == PURPOSE_NONE || (purposes_of(only_role) & q->field->purposes & (uint32_t)q->purpose) == 0)) {
        fail_at(q, "personal field without a purpose that fits role and field");
    }
}

static uint32_t verb_of(const struct flat_may *row, enum action action)
{
    return action == ACTION_CREATE   ? row->create
           : action == ACTION_UPDATE ? row->update
           : action == ACTION_DELETE ? row->delete_
                                     : row->decide;
}

static void check_write(const struct access_query *q)
{
    struct flat_may row = may_of(q->entity->entity, only_role);
    uint32_t scope = q->action == ACTION_CREATE ? q->scope | SCOPE_SELF : q->scope & (uint32_t)SCOPE_ALL;
    uint32_t given = verb_of(&row, q->action);
    if (q->action == ACTION_UPDATE && q->field != NULL) {
        given |= extra_of(q->entity->entity, q->field, only_role);
    }
    if ((given & scope) == 0) {
        fail_at(q, "write without a verb in the entity matrix");
    }
    if (q->action == ACTION_UPDATE && q->entity->is_event) {
        fail_at(q, "an event was changed");
    }
    if (q->field == NULL) {
        return;
    }
    struct flat_sight sight = sight_of(q->entity->entity, q->field, only_role);
    uint32_t needed = q->action == ACTION_DECIDE ? sight.clear | sight.masked : sight.clear | sight.write;
    if ((needed & scope) == 0) {
        fail_at(q, "write without a cell of the class table");
    }
    bool is_set = q->action == ACTION_CREATE || q->action == ACTION_UPDATE;
    if (is_set && ((q->field->flags & (FIELD_SYSTEM | FIELD_HIDDEN)) != 0 || q->field->merge == MERGE_DERIVED)) {
        fail_at(q, "a person filled in what the node fills in");
    }
}

static void visit_has_row(const struct access_query *q)
{
    struct access_answer a = access_decide(q);
    if (a.view == VIEW_DENY) {
        return;
    }
    if (a.role != only_role) {
        fail_at(q, "another role was named than the one that asked");
    }
    if (is_reading(q->action)) {
        check_read(q, a);
    } else {
        check_write(q);
    }
}

static void nothing_is_permitted_without_a_row(void **state)
{
    (void)state;
    for (unsigned r = ROLE_NONE + 1; r < ROLE_COUNT; r++) {
        only_role = (enum role)r;
        walk(role_bit(only_role), false, visit_has_row);
        walk(role_bit(only_role), true, visit_has_row);
    }
}

static void visit_search(const struct access_query *q)
{
    enum view read = view_of(*q, ACTION_READ);
    enum view search = view_of(*q, ACTION_SEARCH);
    enum view export = view_of(*q, ACTION_EXPORT);
    if (q->field != NULL && (search != VIEW_DENY) != (read == VIEW_CLEAR)) {
        fail_at(q, "searching and reading in clear are not the same right");
    }
    if (export > read || export == VIEW_MATCH || export == VIEW_AGGREGATE) {
        fail_at(q, "export shows more than reading");
    }
}

static void search_needs_clear_and_export_shows_no_more_than_reading(void **state)
{
    (void)state;
    for (unsigned r = ROLE_NONE + 1; r < ROLE_COUNT; r++) {
        walk(role_bit((enum role)r), true, visit_search);
    }
}

/* Every single bit more may only add; SELF changes nothing. */
static void visit_scope(const struct access_query *q)
{
    enum view before = access_decide(q).view;
    for (unsigned bit = 0; bit < 5; bit++) {
        struct access_query wider = *q;
        wider.scope |= 1U << bit;
        enum view after = access_decide(&wider).view;
        if (after < before || (1U << bit == SCOPE_SELF && after != before)) {
            fail_at(q, "a wider scope changed the answer wrongly");
        }
    }
}

static void a_wider_scope_never_takes_away(void **state)
{
    (void)state;
    static const enum role some[] = { ROLE_SC, ROLE_SM, ROLE_SA, ROLE_CS, ROLE_GP };
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        walk(role_bit(some[i]), false, visit_scope);
    }
}

/* Separation of duties, written out once more: administrators and personal classes, auditors and writing. */
static bool is_forbidden(const struct access_query *q, enum role r)
{
    bool is_write = !is_reading(q->action);
    return (r == ROLE_AD && q->field != NULL && is_personal(q->field)) || (r == ROLE_PA && is_write);
}

static enum role role_a, role_b;

static void visit_pair(const struct access_query *q)
{
    struct access_query one = *q, other = *q;
    one.roles = role_bit(role_a);
    other.roles = role_bit(role_b);
    enum view a = access_decide(&one).view, b = access_decide(&other).view;
    enum view want = a > b ? a : b;
    if (is_forbidden(q, role_a) || is_forbidden(q, role_b)) {
        want = VIEW_DENY;
    }
    if (access_decide(q).view != want) {
        fail_at(q, "two roles are not the better of both, less what is forbidden");
    }
}

/* Over the scopes and purposes that matter most, or the pairs take minutes. */
static void walk_pair(visit_fn visit)
{
    static const uint32_t scopes[] = { SCOPE_OWN | SCOPE_STATION | SCOPE_GROUP, SCOPE_TASK | SCOPE_GROUP, SCOPE_GROUP };
    static const enum purpose purposes[] = { PURPOSE_NONE, PURPOSE_P1, PURPOSE_P3, PURPOSE_P5, PURPOSE_P9 };
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    struct access_query q = { .roles = role_bit(role_a) | role_bit(role_b) };
    for (size_t i = 0; i < count * FIELDS_PER_ENTITY_MAX; i++) {
        q.entity = &d[i / FIELDS_PER_ENTITY_MAX];
        size_t k = i % FIELDS_PER_ENTITY_MAX;
        if (k > q.entity->field_count) {
            continue;
        }
        q.field = k == 0 ? NULL : &q.entity->fields[k - 1];
        for (size_t n = 0; n < ARRAY_LEN(ACTIONS) * ARRAY_LEN(scopes) * ARRAY_LEN(purposes); n++) {
            q.action = ACTIONS[n % ARRAY_LEN(ACTIONS)];
            q.scope = scopes[n / ARRAY_LEN(ACTIONS) % ARRAY_LEN(scopes)];
            q.purpose = purposes[n / ARRAY_LEN(ACTIONS) / ARRAY_LEN(scopes)];
            visit(&q);
        }
    }
}

static void a_second_role_adds_unless_it_forbids(void **state)
{
    (void)state;
    for (unsigned a = ROLE_NONE + 1; a < ROLE_COUNT; a++) {
        for (unsigned b = a + 1; b < ROLE_COUNT; b++) {
            role_a = (enum role)a;
            role_b = (enum role)b;
            walk_pair(visit_pair);
        }
    }
}

static void visit_texts(const struct access_query *q)
{
    struct access_answer a = access_decide(q);
    bool has_text = a.zh != NULL && a.en != NULL && a.zh[0] != '\0' && a.en[0] != '\0';
    if (a.zh == NULL || a.en == NULL || has_text == (a.view == VIEW_CLEAR)) {
        fail_at(q, "a refusal without a text, or a permit with one");
    }
}

static void every_refusal_says_why_in_both_languages(void **state)
{
    (void)state;
    for (unsigned r = ROLE_NONE; r < ROLE_COUNT; r++) {
        walk(role_bit((enum role)r), false, visit_texts);
    }
}

static void visit_without_purpose(const struct access_query *q)
{
    struct access_query bare = *q;
    bare.purpose = PURPOSE_NONE;
    bool is_personal_read = q->field == NULL ? access_needs_purpose(q->entity) : is_personal(q->field);
    if (is_reading(q->action) && is_personal_read && access_decide(&bare).view != VIEW_DENY) {
        fail_at(&bare, "personal data without a purpose");
    }
}

static void no_role_reads_personal_data_without_a_purpose(void **state)
{
    (void)state;
    walk(EVERY_ROLE & ~role_bit(ROLE_AD), true, visit_without_purpose);
    walk(EVERY_ROLE, true, visit_without_purpose);
}

static void policy_names_only_what_exists_and_forgets_no_entity(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(NAMED_FIELDS); i++) {
        const struct entity_desc *d = catalogue_entity(NAMED_FIELDS[i].entity);
        assert_non_null(d);
        if (catalogue_field_by_name(d, bytes_str(NAMED_FIELDS[i].field)) == NULL) {
            fail_msg("policy.def names %s.%s, which the catalogue does not know", d->name, NAMED_FIELDS[i].field);
        }
    }
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    for (size_t i = 0; i < count; i++) {
        if (line_of(d[i].entity)[0] == '\0') {
            fail_msg("policy.def has no row for %s: nobody may use it", d[i].name);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(MAYS); i++) {
        assert_int_not_equal(purposes_of(MAYS[i].role), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_names_only_what_exists_and_forgets_no_entity),
        cmocka_unit_test(no_role_and_unknown_role_bits_give_nothing),
        cmocka_unit_test(nothing_is_permitted_without_a_row),
        cmocka_unit_test(search_needs_clear_and_export_shows_no_more_than_reading),
        cmocka_unit_test(a_wider_scope_never_takes_away),
        cmocka_unit_test(a_second_role_adds_unless_it_forbids),
        cmocka_unit_test(no_role_reads_personal_data_without_a_purpose),
        cmocka_unit_test(every_refusal_says_why_in_both_languages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
