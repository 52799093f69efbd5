/*
 * Owns: who owns a dossier. Invariants: the owner is a function of the assignment rows and of the logins in force, so
 * it does not depend on the order in which they came. Judges no rights.
 */
#include "sync/core_internal.h"

#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"

static struct value assignment_value(const struct owner_search *s, const struct row *row, uint32_t number)
{
    return row->values[catalogue_field_index(s->d, catalogue_field(s->d, number))];
}

static int64_t assignment_int(const struct owner_search *s, const struct row *row, uint32_t number)
{
    struct value v = assignment_value(s, row, number);
    return v.type == VALUE_INT ? v.i : 0;
}

enum err core_see_assignment(void *ctx, const struct row *row)
{
    struct owner_search *s = ctx;
    struct value role = assignment_value(s, row, CUSTOMER_ASSIGNMENT_ROLE);
    struct value staff = assignment_value(s, row, CUSTOMER_ASSIGNMENT_STAFF);
    bool is_sales = role.type != VALUE_INT || role.i == CODE_ASSIGNED_SALES;
    bool is_ended = assignment_value(s, row, CUSTOMER_ASSIGNMENT_TO_AT).type != VALUE_NULL;
    if (!is_sales || is_ended || staff.type != VALUE_TEXT) {
        return ERR_OK;
    }
    const struct member_user *user = members_user_by_login(s->c->members, staff.s);
    int64_t epoch = assignment_int(s, row, CUSTOMER_ASSIGNMENT_EPOCH);
    int64_t from = assignment_int(s, row, CUSTOMER_ASSIGNMENT_FROM_AT);
    bool is_later = epoch != s->epoch ? epoch > s->epoch
                    : from != s->from ? from > s->from
                                      : record_id_compare(row->id, s->id) < 0;
    if (user != NULL && (s->owner == 0 || is_later)) {
        s->owner = user->number;
        s->epoch = epoch;
        s->from = from;
        s->id = row->id;
    }
    return ERR_OK;
}

/* The owner is derived: the newest open sales assignment, by the logins in force here and now. */
enum err core_refresh_owner(struct core *c, struct dossier *d)
{
    struct owner_search s = { .c = c, .d = catalogue_entity(ENTITY_CUSTOMER_ASSIGNMENT) };
    const struct store_query q = { .entity = ENTITY_CUSTOMER_ASSIGNMENT, .dossier = &d->id };
    enum err e = c->store->ops->row_find(c->store, &q, 0, core_see_assignment, &s);
    if (e == ERR_OK && s.owner != d->owner) {
        const struct dossier before = *d;
        d->owner = s.owner;
        e = core_put_dossier(c, &before, d, NULL);
    }
    return e;
}

struct assigned {
    struct arena *a;
    struct dossier_id *at;
    size_t count;
    size_t capacity;
};

static enum err note_assigned(void *ctx, const struct row *row)
{
    struct assigned *as = ctx;
    if (as->count == as->capacity) {
        size_t capacity = as->capacity == 0 ? 64 : as->capacity * 2;
        struct dossier_id *grown = arena_array(as->a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (as->count > 0) {
            memcpy(grown, as->at, as->count * sizeof(*grown));
        }
        as->at = grown;
        as->capacity = capacity;
    }
    as->at[as->count++] = record_dossier(row->id);
    return ERR_OK;
}

enum err core_refresh_owners(struct core *c, struct bytes login)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER_ASSIGNMENT);
    const struct store_query q = {
        .entity = d->entity, .field = catalogue_field(d, CUSTOMER_ASSIGNMENT_STAFF), .value = value_text(login)
    };
    struct arena list;
    struct arena work;
    arena_init(&list, c->mem, CORE_ARENA_BYTES);
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    struct assigned as = { .a = &list };
    enum err e = c->store->ops->row_find(c->store, &q, 0, note_assigned, &as);
    for (size_t i = 0; e == ERR_OK && i < as.count; i++) {
        struct dossier found = { 0 };
        arena_reset(&work);
        e = c->store->ops->dossier_get(c->store, as.at[i], &work, &found);
        if (e == ERR_OK) {
            e = core_refresh_owner(c, &found);
        }
    }
    arena_release(&work);
    arena_release(&list);
    return e;
}
