#ifndef JIPAN_POLICY_H
#define JIPAN_POLICY_H

#include "sync/access.h"

/*
 * The rows of policy.def, looked up. Only access.c asks here; everybody else asks access.h.
 * All scopes are sets of SCOPE_* bits, all role sets are sets of role_bit().
 */
enum policy_condition { POLICY_ALWAYS, POLICY_OPEN_ORDER, POLICY_CONSENT };

/* One cell of the entity matrix: for each verb the row scopes in which it is given. All zero: nothing is. */
struct policy_row {
    uint8_t create, read, masked, aggregate, match, update, delete_, decide;
};

/* One cell of the class table. */
struct policy_sight {
    uint8_t clear, masked, aggregate, match, write;
    enum policy_condition condition;
    uint32_t purposes; /* of those the role may use, the ones this cell accepts */
};

struct policy_clash {
    enum role one, other;
    const char *names; /* "SC+PA" */
};

/* Never NULL; an entity or role without a line gets the empty row. */
const struct policy_row *policy_row_of(enum entity e, enum role r);
bool policy_is_without_person(enum entity e);
/* The cell that holds for this field: the field's own exception, the entity's, or the class table's. */
struct policy_sight policy_sight_of(enum entity e, const struct field *f, enum role r);
bool policy_may_read_field(enum entity e, const struct field *f, enum role r);
bool policy_may_write_field(enum entity e, const struct field *f, enum role r);
uint32_t policy_extra_update(enum entity e, const struct field *f, enum role r);
uint32_t policy_purposes(enum role r);
enum view policy_purpose_cap(enum purpose p);
uint32_t policy_export_scope(enum role r);
bool policy_forbids(enum role r, enum action action, const struct field *f);
const struct policy_clash *policy_clashes(size_t *count);
uint32_t policy_admin_roles(enum admin_right right);

/* Public and business fields are not personal; everything above is, also a class this build does not know. */
static inline bool policy_is_personal(const struct field *f)
{
    return f->class_ != CLASS_PUBLIC && f->class_ != CLASS_BUSINESS;
}

#endif
