#include "sync/policy.h"

/*
 * Owns: the tables of policy.def as constant arrays, and their lookup. The two matrices are indexed by designated
 * initialisers, so that a cell written twice does not compile (-Woverride-init) and a cell not written is all zero,
 * which denies. Exceptions are short lists, searched in order.
 *
 * Does not decide anything: see access.c.
 */

enum policy_line {
    LINE_NONE,
    LINE_PERSON,
    LINE_DOCUMENT,
    LINE_PROFILE,
    LINE_LABEL,
    LINE_OWNER,
    LINE_CONSENT,
    LINE_VEHICLE,
    LINE_INTAKE,
    LINE_PURSUIT,
    LINE_TOUCH,
    LINE_STAFF,
    LINE_STATION,
    LINE_COUNT
};

/* The letters of domain.md 3.3. */
enum scope_letters {
    SET__ = 0,
    SET_o = SCOPE_OWN,
    SET_s = SCOPE_STATION,
    SET_t = SCOPE_TASK,
    SET_g = SCOPE_GROUP,
    SET_n = SCOPE_SELF,
    SET_os = SCOPE_OWN | SCOPE_STATION,
    SET_on = SCOPE_OWN | SCOPE_SELF,
    SET_st = SCOPE_STATION | SCOPE_TASK,
};

enum purpose_sets { PURPOSES_ANY = (1 << 11) - 1, PURPOSES_P9 = PURPOSE_P9 };

enum action_sets {
    ACTIONS_WRITING = 1 << ACTION_CREATE | 1 << ACTION_UPDATE | 1 << ACTION_DELETE | 1 << ACTION_DECIDE,
    ACTIONS_ALL_ACTIONS = ACTIONS_WRITING | 1 << ACTION_READ | 1 << ACTION_SEARCH | 1 << ACTION_EXPORT,
};

enum class_sets { CLASSES_PERSONAL, CLASSES_ALL_CLASSES };

#define R(role)    (1U << ROLE_##role)
#define P(n)       ((uint32_t)PURPOSE_P##n)
#define EVERY_ROLE ((1U << ROLE_COUNT) - 2U)

static const uint8_t LINES[ENTITY_MAX + 1] = {
#define ROW_ENTITY(line, entity) [ENTITY_##entity] = LINE_##line,
#include "sync/policy.def"
};

static const bool WITHOUT_PERSON[LINE_COUNT] = {
#define NO_PERSON(line) [LINE_##line] = true,
#include "sync/policy.def"
};

static const struct policy_row ROWS[LINE_COUNT][ROLE_COUNT] = {
#define MAY(line, role, c, r, m, a, x, u, d, s) \
    [LINE_##line][ROLE_##role] = { SET_##c, SET_##r, SET_##m, SET_##a, SET_##x, SET_##u, SET_##d, SET_##s },
#include "sync/policy.def"
};

static const struct policy_sight SIGHTS[CLASS_COUNT][ROLE_COUNT] = {
#define SEES(class_, role, r, m, a, x, w, when, purposes) \
    [CLASS_##class_][ROLE_##role] = { SET_##r, SET_##m, SET_##a, SET_##x, SET_##w, POLICY_##when, PURPOSES_##purposes },
#include "sync/policy.def"
};

struct class_exception {
    enum entity entity;
    enum class_ class_;
    enum role role;
    uint8_t clear, masked, write;
};

static const struct class_exception CLASS_EXCEPTIONS[] = {
#define SEES_IN(entity, class_, role, r, m, w) \
    { ENTITY_##entity, CLASS_##class_, ROLE_##role, SET_##r, SET_##m, SET_##w },
#include "sync/policy.def"
};

struct field_exception {
    enum entity entity;
    enum role role;
    const char *field;
    uint8_t clear, masked, write;
};

static const struct field_exception FIELD_EXCEPTIONS[] = {
#define SEES_FIELD(entity, field, role, r, m, w) { ENTITY_##entity, ROLE_##role, #field, SET_##r, SET_##m, SET_##w },
#include "sync/policy.def"
};

/* A field named for one role, or for a set of roles. */
struct field_roles {
    enum entity entity;
    const char *field;
    uint32_t roles;
};

static const struct field_roles SHOWN_ONLY[] = {
#define SHOWS_ONLY(entity, role, field) { ENTITY_##entity, #field, R(role) },
#include "sync/policy.def"
};

static const struct field_roles FIELD_READERS[] = {
#define READERS(entity, field, roles) { ENTITY_##entity, #field, roles },
#include "sync/policy.def"
};

static const struct field_roles FIELD_WRITERS[] = {
#define WRITERS(entity, field, roles) { ENTITY_##entity, #field, roles },
#include "sync/policy.def"
};

struct field_update {
    enum entity entity;
    enum role role;
    const char *field;
    uint8_t scope;
};

static const struct field_update FIELD_UPDATES[] = {
#define WRITES(entity, field, role, scope) { ENTITY_##entity, ROLE_##role, #field, SET_##scope },
#include "sync/policy.def"
};

static const uint32_t PURPOSES[ROLE_COUNT] = {
#define USES(role, purposes) [ROLE_##role] = (purposes),
#include "sync/policy.def"
};

struct purpose_cap {
    enum purpose purpose;
    enum view view;
};

static const struct purpose_cap CAPS[] = {
#define PURPOSE_CAP(purpose, view) { PURPOSE_##purpose, VIEW_##view },
#include "sync/policy.def"
};

static const uint8_t EXPORT_SCOPES[ROLE_COUNT] = {
#define EXPORTS(role, scope) [ROLE_##role] = SET_##scope,
#include "sync/policy.def"
};

struct prohibition {
    enum role role;
    uint32_t actions; /* 1 << ACTION_* */
    enum class_sets classes;
};

static const struct prohibition PROHIBITIONS[] = {
#define FORBID(role, actions, classes) { ROLE_##role, ACTIONS_##actions, CLASSES_##classes },
#include "sync/policy.def"
};

static const struct policy_clash CLASHES[] = {
#define CLASH(one, other) { ROLE_##one, ROLE_##other, #one "+" #other },
#include "sync/policy.def"
};

static const uint32_t ADMIN_ROLES[ADMIN_PEERS + 1] = {
#define ADMIN(right, roles) [ADMIN_##right] = (roles),
#include "sync/policy.def"
};

static enum policy_line line_of(enum entity e)
{
    return (unsigned)e <= ENTITY_MAX ? (enum policy_line)LINES[e] : LINE_NONE;
}

static bool is_role(enum role r)
{
    return r > ROLE_NONE && r < ROLE_COUNT;
}

const struct policy_row *policy_row_of(enum entity e, enum role r)
{
    return &ROWS[line_of(e)][is_role(r) ? r : ROLE_NONE];
}

static bool is_named(const struct field *f, const char *name)
{
    return bytes_equal(bytes_str(f->name), bytes_str(name));
}

bool policy_is_without_person(enum entity e)
{
    return WITHOUT_PERSON[line_of(e)];
}

struct policy_sight policy_sight_of(enum entity e, const struct field *f, enum role r)
{
    struct policy_sight sight = { .condition = POLICY_ALWAYS, .purposes = PURPOSES_ANY };
    if (!is_role(r) || (unsigned)f->class_ >= CLASS_COUNT) {
        return sight;
    }
    for (size_t i = 0; i < ARRAY_LEN(FIELD_EXCEPTIONS); i++) {
        const struct field_exception *x = &FIELD_EXCEPTIONS[i];
        if (x->entity == e && x->role == r && is_named(f, x->field)) {
            sight.clear = x->clear;
            sight.masked = x->masked;
            sight.write = x->write;
            return sight;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(CLASS_EXCEPTIONS); i++) {
        const struct class_exception *x = &CLASS_EXCEPTIONS[i];
        if (x->entity == e && x->role == r && x->class_ == f->class_) {
            sight.clear = x->clear;
            sight.masked = x->masked;
            sight.write = x->write;
            return sight;
        }
    }
    return SIGHTS[f->class_][r];
}

/* The line that names this field of this entity, or NULL. */
static const struct field_roles *find_field(
    const struct field_roles *list, size_t count, enum entity e, const struct field *f)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].entity == e && is_named(f, list[i].field)) {
            return &list[i];
        }
    }
    return NULL;
}

/* A role named in SHOWS_ONLY for this entity uses the named fields and no others. */
static bool is_shown(enum entity e, const struct field *f, enum role r)
{
    bool is_limited = false;
    for (size_t i = 0; i < ARRAY_LEN(SHOWN_ONLY); i++) {
        if (SHOWN_ONLY[i].entity == e && (SHOWN_ONLY[i].roles & role_bit(r)) != 0) {
            is_limited = true;
            if (is_named(f, SHOWN_ONLY[i].field)) {
                return true;
            }
        }
    }
    return !is_limited;
}

bool policy_may_read_field(enum entity e, const struct field *f, enum role r)
{
    const struct field_roles *only = find_field(FIELD_READERS, ARRAY_LEN(FIELD_READERS), e, f);
    return (only == NULL || (only->roles & role_bit(r)) != 0) && is_shown(e, f, r);
}

bool policy_may_write_field(enum entity e, const struct field *f, enum role r)
{
    const struct field_roles *only = find_field(FIELD_WRITERS, ARRAY_LEN(FIELD_WRITERS), e, f);
    return (only == NULL || (only->roles & role_bit(r)) != 0) && policy_may_read_field(e, f, r);
}

uint32_t policy_extra_update(enum entity e, const struct field *f, enum role r)
{
    for (size_t i = 0; i < ARRAY_LEN(FIELD_UPDATES); i++) {
        const struct field_update *x = &FIELD_UPDATES[i];
        if (x->entity == e && x->role == r && is_named(f, x->field)) {
            return x->scope;
        }
    }
    return 0;
}

uint32_t policy_purposes(enum role r)
{
    return is_role(r) ? PURPOSES[r] : 0;
}

enum view policy_purpose_cap(enum purpose p)
{
    for (size_t i = 0; i < ARRAY_LEN(CAPS); i++) {
        if (CAPS[i].purpose == p) {
            return CAPS[i].view;
        }
    }
    return VIEW_CLEAR;
}

uint32_t policy_export_scope(enum role r)
{
    return is_role(r) ? EXPORT_SCOPES[r] : 0;
}

bool policy_forbids(enum role r, enum action action, const struct field *f)
{
    for (size_t i = 0; i < ARRAY_LEN(PROHIBITIONS); i++) {
        const struct prohibition *x = &PROHIBITIONS[i];
        bool is_covered = x->classes == CLASSES_ALL_CLASSES || (f != NULL && policy_is_personal(f));
        if (x->role == r && (x->actions >> (unsigned)action & 1U) != 0 && is_covered) {
            return true;
        }
    }
    return false;
}

const struct policy_clash *policy_clashes(size_t *count)
{
    *count = ARRAY_LEN(CLASHES);
    return CLASHES;
}

uint32_t policy_admin_roles(enum admin_right right)
{
    return (unsigned)right < ARRAY_LEN(ADMIN_ROLES) ? ADMIN_ROLES[right] : 0;
}
