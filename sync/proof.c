/*
 * Owns: finding the parts that prove a hand-over. Invariant: they go only to a laptop whose owner created the customer
 * or stands in one of its assignment rows, ended or not, and never with a secret.
 */
#include "sync/proof.h"

#include "schema/catalogue/fields.h"
#include "sync/core_internal.h"

struct seeking {
    struct core *c;
    const struct member_node *laptop;
    struct dossier dossier;
    bool was_holder;
    bool has_assignment; /* the part at hand */
};

static enum err see_row(void *ctx, const struct row *row)
{
    struct seeking *s = ctx;
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER_ASSIGNMENT);
    struct value staff = row->values[catalogue_field_index(d, catalogue_field(d, CUSTOMER_ASSIGNMENT_STAFF))];
    const struct member_user *user = staff.type == VALUE_TEXT ? members_user_by_login(s->c->members, staff.s) : NULL;
    s->was_holder = s->was_holder || (user != NULL && user->number == s->laptop->owner);
    return ERR_OK;
}

static enum err see_cell(void *ctx, const struct cell_place *at, const struct part_cell *cell)
{
    struct seeking *s = ctx;
    (void)cell;
    s->has_assignment = s->has_assignment || at->desc->entity == ENTITY_CUSTOMER_ASSIGNMENT;
    return ERR_OK;
}

/* Whether the business part of this group carries assignment cells. What does not open proves nothing. */
static enum err look_into(
    struct seeking *s, struct arena *load, const struct commit_view *v, const struct group_item *g)
{
    struct part_cursor cursor = group_parts(g);
    struct part_item p;
    while (group_next_part(&cursor, &p) == ERR_OK) {
        struct open_part open;
        if (p.is_withheld || p.class_ != CLASS_BUSINESS) {
            continue;
        }
        enum err e = core_open_part(s->c, load, v, g, &p, &s->dossier, &open);
        if (e == ERR_OK) {
            e = core_each_cell(&open, see_cell, s);
        }
        if (e != ERR_OK && !core_is_refusal(e)) {
            return e;
        }
    }
    return ERR_OK;
}

static enum err look_at(struct seeking *s, struct arena *load, struct dot dot)
{
    struct commit_view v;
    struct group_item g;
    s->has_assignment = false;
    arena_reset(load);
    enum err e = core_log_get(s->c, load, dot, &v);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    struct body_cursor cursor = commit_groups(&v);
    while (e == ERR_OK && commit_next_group(&cursor, &g) == ERR_OK) {
        /* The creating group travels with the secret: not for who has to leave. */
        if (!g.is_withheld && !g.is_new && dossier_id_compare(g.dossier, s->dossier.id) == 0) {
            e = look_into(s, load, &v, &g);
        }
    }
    return e;
}

static enum err append(struct proof_list *out, struct dot dot, struct dossier_id id)
{
    if (out->count == out->capacity) {
        size_t capacity = out->capacity == 0 ? 16 : out->capacity * 2;
        struct gather_part *grown = arena_array(out->a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (out->count > 0) {
            memcpy(grown, out->at, out->count * sizeof(*grown));
        }
        out->at = grown;
        out->capacity = capacity;
    }
    out->at[out->count++] = (struct gather_part){ .dot = dot, .dossier = id, .class_ = CLASS_BUSINESS };
    return ERR_OK;
}

enum err proof_collect(
    struct core *c, struct arena *work, const struct member_node *laptop, struct dossier_id id, struct proof_list *out)
{
    const struct store_ops *ops = c->store->ops;
    const struct store_query q = { .entity = ENTITY_CUSTOMER_ASSIGNMENT, .dossier = &id, .with_deleted = true };
    struct seeking s = { .c = c, .laptop = laptop };
    struct dots dots = { .a = work };
    struct arena load;
    arena_reset(work);
    enum err e = ops->dossier_get(c->store, id, work, &s.dossier);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    s.was_holder = s.dossier.creator == laptop->owner;
    e = ops->row_find(c->store, &q, 0, see_row, &s);
    if (e == ERR_OK && s.was_holder) {
        e = ops->touch_scan(c->store, id, core_collect_dot, &dots);
    }
    arena_init(&load, c->mem, CORE_ARENA_BYTES);
    for (size_t i = 0; e == ERR_OK && i < dots.count; i++) {
        e = look_at(&s, &load, dots.at[i]);
        if (e == ERR_OK && s.has_assignment) {
            e = append(out, dots.at[i], id);
        }
    }
    arena_release(&load);
    return e;
}
