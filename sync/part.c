/*
 * Owns: opening a part and walking its cells. Invariant: applying, contesting and asking for history see the same
 * cells, because all of them walk here. Judges no rights.
 */
#include "sync/ahead.h"
#include "sync/core_internal.h"

#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"

enum err core_open_part(struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g,
    const struct part_item *p, const struct dossier *d, struct open_part *out)
{
    bool is_known_kind = g->kind >= DOSSIER_CUSTOMER && g->kind <= DOSSIER_GROUP_BOOK;
    if (g->is_newer || !is_known_kind || p->class_ >= CLASS_COUNT || class_key(p->class_) != p->class_) {
        return ERR_UNKNOWN_KIND;
    }
    const struct class_keys *keys = members_keys(c->members, g->station, p->key_epoch);
    if (keys == NULL) {
        return ERR_NO_KEY;
    }
    struct bytes plain = { 0 };
    if (c->ahead != NULL && ahead_opened(c->ahead, v->all, p, keys, d, &plain)) {
        return core_plain_part(a, v, g, p, d->id, plain, out);
    }
    const struct part_place place = { .group_id = members_group_id(c->members),
        .header = &v->header,
        .group_index = g->index,
        .part_index = p->index,
        .class_ = p->class_,
        .key_epoch = p->key_epoch,
        .kind = g->kind,
        .station = g->station,
        .dossier = d->id };
    struct bytes packed = { 0 };
    enum err e = seal_open_part(&place, keys->key[p->class_], d->secret, p->sealed, a, &packed);
    if (e == ERR_OK) {
        e = pack_take(&c->pack, a, packed, PART_MAX_BYTES, &plain);
    }
    return e == ERR_OK ? core_plain_part(a, v, g, p, d->id, plain, out) : e;
}

enum err core_plain_part(struct arena *a, const struct commit_view *v, const struct group_item *g,
    const struct part_item *p, struct dossier_id dossier, struct bytes plain, struct open_part *out)
{
    struct open_part part = { .v = v, .g = g, .dossier = dossier, .index = p->index, .class_ = p->class_ };
    struct reader r = reader_of(plain);
    enum err e = part_take_head(&r, a, &part.head);
    if (e == ERR_OK) {
        part.records = bytes_of(r.ptr, r.left);
        *out = part;
    }
    return e;
}

bool core_is_refusal(enum err e)
{
    return e == ERR_DENIED || e == ERR_NO_KEY || e == ERR_SEAL || e == ERR_UNKNOWN_KIND || e == ERR_FORMAT ||
           e == ERR_TRUNCATED || e == ERR_LIMIT;
}

struct dossier_id core_group_dossier(const struct commit_view *v, const struct group_item *g)
{
    return g->is_new ? seal_new_dossier(v->header.salt, g->index) : g->dossier;
}

static struct record_id resolve(const struct open_part *p, const struct record_ref *ref)
{
    bool is_kept = p->ids != NULL && ref->kind == REF_NEW && ref->ordinal < NEW_IDS_KEPT;
    if (is_kept && (p->ids->known >> ref->ordinal & 1) != 0) {
        return p->ids->at[ref->ordinal];
    }
    struct record_id id = core_resolve_ref(p->v, p->g->index, p->dossier, ref);
    if (is_kept) {
        p->ids->known |= 1U << ref->ordinal;
        p->ids->at[ref->ordinal] = id;
    }
    return id;
}

/* Whether a cell is of a later version: of an entity, a field or a kind this build does not know. */
static bool is_newer(const struct open_part *p, const struct part_cell *cell, const struct cell_place *at)
{
    bool is_known = at->desc != NULL && (cell->number == 0 || catalogue_field(at->desc, cell->number) != NULL);
    if (is_known && cell->newer_kind == 0) {
        return false;
    }
    if (p->newer != NULL) {
        p->newer->any = true;
        p->newer->of_known_field = p->newer->of_known_field || is_known;
    }
    return true;
}

/* False: not for this build, or not in the part of its class. The deletion mark is a business matter. */
static bool find_place(const struct open_part *p, const struct part_cell *cell, struct cell_place *at)
{
    at->field = NULL;
    if (at->desc == NULL || cell->number > VERSIONS_FIELD_MAX) {
        return false;
    }
    enum class_ class_ = CLASS_BUSINESS;
    at->action = at->creates ? ACTION_CREATE : ACTION_UPDATE;
    if (cell->number == 0) {
        at->action = ACTION_DELETE;
    } else {
        at->field = catalogue_field(at->desc, cell->number);
        if (at->field == NULL || at->field->merge == MERGE_DERIVED) {
            return false;
        }
        class_ = class_key(at->field->class_);
    }
    if (cell->is_decision) {
        at->action = ACTION_DECIDE;
    }
    return class_ == p->class_;
}

enum err core_each_cell(const struct open_part *p, core_cell_fn fn, void *ctx)
{
    struct reader r = reader_of(p->records);
    enum err e = ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < p->head.record_count; i++) {
        struct part_record rec = { 0 };
        struct cell_place at = { 0 };
        e = part_take_record(&r, &rec);
        if (e != ERR_OK) {
            return e;
        }
        at.desc = catalogue_entity((enum entity)rec.entity);
        at.creates = rec.ref.kind == REF_NEW || (rec.ref.kind == REF_MAIN && p->g->is_new);
        at.id = resolve(p, &rec.ref);
        for (uint32_t k = 0; e == ERR_OK && k < rec.cell_count; k++) {
            struct part_cell cell = { 0 };
            e = part_take_cell(&r, &cell);
            if (e == ERR_OK && !is_newer(p, &cell, &at) && find_place(p, &cell, &at)) {
                e = fn(ctx, &at, &cell);
            }
        }
    }
    return e == ERR_OK && r.left != 0 ? ERR_FORMAT : e;
}

/* --- what is urgent --- */

static bool is_withdrawal(const struct cell_place *at, const struct part_cell *cell)
{
    return at->desc->entity == ENTITY_CONSENT && at->creates && cell->number == CONSENT_ACTION &&
           cell->value.type == VALUE_INT && cell->value.i == CODE_CONSENT_WITHDRAW;
}

bool core_is_urgent(const struct group_item *g, const struct cell_place *at, const struct part_cell *cell)
{
    bool is_deletion = at->field == NULL && cell->value.type == VALUE_INT && cell->value.i != 0;
    return g->kind == DOSSIER_CUSTOMER && (is_deletion || is_withdrawal(at, cell));
}

struct urgent {
    const struct open_part *part;
    struct record_id *consents; /* withdrawn here */
    size_t count;
    core_cell_fn fn;
    void *ctx;
};

static enum err note_withdrawal(void *ctx, const struct cell_place *at, const struct part_cell *cell)
{
    struct urgent *u = ctx;
    if (is_withdrawal(at, cell) && (u->count == 0 || record_id_compare(u->consents[u->count - 1], at->id) != 0)) {
        u->consents[u->count++] = at->id;
    }
    return ERR_OK;
}

static enum err pass_on(void *ctx, const struct cell_place *at, const struct part_cell *cell)
{
    struct urgent *u = ctx;
    bool is_wanted = core_is_urgent(u->part->g, at, cell);
    for (size_t i = 0; !is_wanted && at->desc->entity == ENTITY_CONSENT && at->field != NULL && i < u->count; i++) {
        is_wanted = record_id_compare(u->consents[i], at->id) == 0;
    }
    return is_wanted ? u->fn(u->ctx, at, cell) : ERR_OK;
}

enum err core_each_urgent_cell(const struct open_part *p, struct arena *a, core_cell_fn fn, void *ctx)
{
    struct urgent u = { .part = p, .fn = fn, .ctx = ctx };
    if (p->g->kind != DOSSIER_CUSTOMER || p->head.record_count == 0) {
        return ERR_OK;
    }
    /* One for each record: cells of a record stand together. */
    u.consents = arena_array(a, p->head.record_count, sizeof(*u.consents));
    enum err e = u.consents == NULL ? ERR_NOMEM : core_each_cell(p, note_withdrawal, &u);
    return e == ERR_OK ? core_each_cell(p, pass_on, &u) : e;
}
