/*
 * Owns: turning the parts of one dossier group into rows. Invariants: the result is a function of the set of commits
 * applied, because a value is overwritten only when the write's context covers what stands there, and everything else
 * goes through core_contest; a part is judged to its end before anything of it is applied; rows that did not change are
 * not written.
 */
#include "sync/core_internal.h"

#include "schema/base/check.h"

enum { GROUP_ROWS_MAX = 4096, ROWS_FIRST = 8, CELLS_FIRST = 32 };

/* One row being built from the parts of a group. */
struct building {
    struct row row;
    struct versions versions;
    const struct entity_desc *desc;
    bool is_new; /* not in the store */
    bool is_changed;
    uint64_t recompute; /* bit n: field n must be decided from the log */
};

/* A cell that was judged and waits until all of its part are. */
struct judged {
    struct cell_place at;
    struct part_cell cell;
    struct building *row;
};

struct applying {
    struct core *c;
    struct arena *a;
    const struct commit_view *v;
    const struct group_item *g;
    struct dossier *dossier;
    bool is_stored; /* the dossier is in the store */
    const struct own_part **own; /* see core_internal.h */
    struct building **rows; /* each stays where it is */
    size_t row_count;
    size_t row_capacity;
    struct building *last; /* the row of the cell before */
    uint32_t creator; /* author of the first part that was applied */
    bool owner_may_change;
    bool has_applied; /* at least one part */
    bool has_urgent; /* among what was applied */
    bool is_early; /* held before its turn, see early.c */
    struct bytes had; /* what the dossier had seen */
    bool has_gap; /* and of what this commit had seen something is not held */
    bool has_looked; /* for that; the parts of a group have one context */
    struct dot missing; /* named by the context of the part at hand and not known to exist */
    struct new_ids ids;
    struct judged *cells; /* of the part at hand */
    size_t cell_count;
    size_t cell_capacity;
    struct newer_seen newer; /* in the part at hand */
    const struct member_user *author; /* of the part at hand */
    uint32_t scope;
};

/* b is empty. */
static enum err building_load(struct applying *ap, const struct entity_desc *d, struct record_id id, struct building *b)
{
    b->desc = d;
    if (ap->is_stored) {
        enum err e = ap->c->store->ops->row_get(ap->c->store, d->entity, id, ap->a, &b->row);
        if (e == ERR_OK) {
            return versions_take(b->row.versions, &b->versions);
        }
        if (e != ERR_NOT_FOUND) {
            return e;
        }
    }
    b->is_new = true;
    b->row = (struct row){ .id = id, .entity = d->entity };
    b->row.values = arena_array(ap->a, d->field_count, sizeof(*b->row.values));
    return b->row.values == NULL ? ERR_NOMEM : ERR_OK;
}

static bool is_row(const struct building *b, const struct entity_desc *d, struct record_id id)
{
    return b->desc == d && record_id_compare(b->row.id, id) == 0;
}

static enum err building_room(struct applying *ap)
{
    if (ap->row_count < ap->row_capacity) {
        return ERR_OK;
    }
    size_t capacity = ap->row_capacity == 0 ? ROWS_FIRST : ap->row_capacity * 2;
    if (capacity > GROUP_ROWS_MAX) {
        return ERR_LIMIT;
    }
    struct building **grown = arena_array(ap->a, capacity, sizeof(*grown));
    if (grown == NULL) {
        return ERR_NOMEM;
    }
    if (ap->row_count > 0) {
        memcpy(grown, ap->rows, ap->row_count * sizeof(*grown));
    }
    ap->rows = grown;
    ap->row_capacity = capacity;
    return ERR_OK;
}

static enum err building_get(struct applying *ap, const struct entity_desc *d, struct record_id id)
{
    if (ap->last != NULL && is_row(ap->last, d, id)) {
        return ERR_OK;
    }
    for (size_t i = 0; i < ap->row_count; i++) {
        if (is_row(ap->rows[i], d, id)) {
            ap->last = ap->rows[i];
            return ERR_OK;
        }
    }
    enum err e = building_room(ap);
    struct building *b = e == ERR_OK ? arena_alloc(ap->a, sizeof(*b)) : NULL;
    if (b == NULL) {
        return e == ERR_OK ? ERR_NOMEM : e;
    }
    e = building_load(ap, d, id, b);
    if (e == ERR_OK) {
        ap->rows[ap->row_count++] = b;
        ap->last = b;
    }
    return e;
}

static void must_recompute(struct building *b, uint32_t number)
{
    b->recompute |= 1ULL << number;
    b->is_changed = true;
}

static enum err set_value(struct applying *ap, struct building *b, const struct field *f, const struct part_cell *cell)
{
    struct dot dot = ap->v->header.dot;
    if (f == NULL) {
        b->row.is_deleted = cell->value.type == VALUE_INT && cell->value.i != 0;
    } else if (f->merge == MERGE_SET) {
        struct value *slot = &b->row.values[catalogue_field_index(b->desc, f)];
        enum err e = value_set_union(ap->a, *slot, cell->value, slot);
        if (e == ERR_LIMIT) {
            must_recompute(b, cell->number); /* which members fit must not depend on the order of arrival */
            return ERR_OK;
        }
        if (e != ERR_OK) {
            return e;
        }
        /* A set shows the highest dot, for the same reason. */
        dot = dot_compare(b->versions.at[cell->number], dot) > 0 ? b->versions.at[cell->number] : dot;
    } else {
        b->row.values[catalogue_field_index(b->desc, f)] = cell->value;
    }
    b->versions.at[cell->number] = dot;
    b->is_changed = true;
    return ERR_OK;
}

static enum err apply_cell(struct applying *ap, const struct part_head *head, const struct judged *j)
{
    const struct field *f = j->at.field;
    const struct part_cell *cell = &j->cell;
    struct building *b = j->row;
    struct dot current = b->versions.at[cell->number];
    core_note_write(ap->c, &ap->v->header, head, &j->at, cell);
    ap->has_urgent = ap->has_urgent || core_is_urgent(ap->g, &j->at, cell);
    ap->owner_may_change = ap->owner_may_change || j->at.desc->entity == ENTITY_CUSTOMER_ASSIGNMENT;
    if (current.node != 0 && dot_equal(current, ap->v->header.dot)) {
        return ERR_OK;
    }
    bool is_contested = (b->versions.contested >> cell->number & 1) != 0;
    bool is_union = f != NULL && f->merge == MERGE_SET;
    bool is_replaceable = f == NULL || merge_is_replaceable(f->merge);
    bool replaces = is_replaceable && merge_replaces(&head->context, current);
    if (!is_contested && (current.node == 0 || is_union || replaces)) {
        return set_value(ap, b, f, cell);
    }
    must_recompute(b, cell->number);
    return ERR_OK;
}

static enum err cells_room(struct applying *ap)
{
    if (ap->cell_count < ap->cell_capacity) {
        return ERR_OK;
    }
    size_t capacity = ap->cell_capacity == 0 ? CELLS_FIRST : ap->cell_capacity * 2;
    struct judged *grown = arena_array(ap->a, capacity, sizeof(*grown));
    if (grown == NULL) {
        return ERR_NOMEM;
    }
    if (ap->cell_count > 0) {
        memcpy(grown, ap->cells, ap->cell_count * sizeof(*grown));
    }
    ap->cells = grown;
    ap->cell_capacity = capacity;
    return ERR_OK;
}

/* Rights and room for the row. */
static enum err place_cell(struct applying *ap, const struct cell_place *at, const struct part_cell *cell)
{
    if (!core_may_write(ap->c, ap->author, ap->scope, at->desc, at->field, at->action)) {
        return ERR_DENIED;
    }
    enum err e = building_get(ap, at->desc, at->id);
    if (e == ERR_OK) {
        e = cells_room(ap);
    }
    if (e == ERR_OK) {
        ap->cells[ap->cell_count++] = (struct judged){ .at = *at, .cell = *cell, .row = ap->last };
    }
    return e;
}

/* The value, rights and room for the row, before anything is applied. */
static enum err judge_cell(void *ctx, const struct cell_place *at, const struct part_cell *cell)
{
    struct applying *ap = ctx;
    enum err e = at->field == NULL ? ERR_OK : field_accepts(at->field, ap->a, cell->value);
    if (e != ERR_OK) {
        return e == ERR_NOMEM ? e : ERR_DENIED;
    }
    /* A code of a later version is kept as it is, but how it ranks among others is not known yet. */
    ap->newer.any = ap->newer.any || (at->field != NULL && !field_knows(at->field, cell->value));
    return place_cell(ap, at, cell);
}

/* ERR_GAP: the part waits, for others (waiting.c) or for its turn (early.c). Whoever makes a dossier has seen nothing
 * of it. */
static enum err judge_context(struct applying *ap, const struct vv *context)
{
    bool is_missing = false;
    if (ap->g->is_new && context->count > 0) {
        return ERR_DENIED;
    }
    if (ap->is_early || ap->g->is_new) {
        return ap->is_early ? ERR_GAP : ERR_OK;
    }
    enum err e = waiting_check(ap->c, context, &is_missing, &ap->missing);
    return e == ERR_OK && is_missing ? ERR_GAP : e;
}

/* Listed for the day of the upgrade, and for whoever asks what is not shown. */
static enum err note_newer(struct applying *ap, const struct part_item *item)
{
    const struct quarantine_place at = { .dossier = ap->dossier->id,
        .dot = ap->v->header.dot,
        .group = ap->g->index,
        .part = (uint8_t)(QUARANTINE_BUT_NEWER | item->index) };
    enum err why = ap->newer.of_known_field ? ERR_UNKNOWN_KIND : ERR_VERSION;
    return quarantine_put(ap->c, ap->a, &at, why, ap->v->header.hlc);
}

/* Values were judged when the part was made. */
static enum err place_own_cells(struct applying *ap, const struct own_part *own)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < own->count; i++) {
        e = place_cell(ap, &own->cells[i].at, &own->cells[i].cell);
    }
    return e;
}

/* All of it is judged, in its turn or not; before its turn what is urgent is left. */
static enum err judge_part(struct applying *ap, struct open_part *part, bool is_its_turn)
{
    part->ids = &ap->ids;
    part->newer = &ap->newer;
    ap->newer = (struct newer_seen){ .any = false };
    enum err e = core_each_cell(part, judge_cell, ap);
    if (e == ERR_OK && !is_its_turn) {
        ap->cell_count = 0; /* what is urgent does not wait */
        e = core_each_urgent_cell(part, ap->a, judge_cell, ap);
    }
    return e;
}

static enum err look_for_gaps(struct applying *ap, const struct vv *context)
{
    struct vv had = { 0 };
    struct reader r = reader_of(ap->had);
    if (ap->has_looked || ap->own != NULL || ap->g->is_new) {
        return ERR_OK;
    }
    ap->has_looked = true;
    enum err e = ap->had.len > 0 ? err_of_stored(vv_take(&r, ap->a, &had)) : ERR_OK;
    const struct gap_query q = { .dossier = ap->dossier->id, .had = &had, .dot = ap->v->header.dot };
    return e == ERR_OK ? gap_look(ap->c, &q, context, &ap->has_gap) : e;
}

static enum err apply_part(struct applying *ap, const struct part_item *item)
{
    const struct own_part *own = ap->own == NULL ? NULL : (*ap->own)++;
    struct open_part part = { .ids = &ap->ids };
    enum err e = ERR_OK;
    if (own != NULL) {
        part.head = own->head;
    } else {
        e = core_open_part(ap->c, ap->a, ap->v, ap->g, item, ap->dossier, &part);
    }
    if (e == ERR_OK) {
        e = core_judge_author(ap->c, &ap->v->header, ap->g, &part.head, &ap->author, &ap->scope);
    }
    enum err turn = e == ERR_OK && own == NULL ? judge_context(ap, &part.head.context) : ERR_OK;
    if (e != ERR_OK || (turn != ERR_OK && turn != ERR_GAP)) {
        return e == ERR_OK ? turn : e;
    }
    ap->cell_count = 0;
    if (own != NULL) {
        e = place_own_cells(ap, own);
    } else {
        e = judge_part(ap, &part, turn == ERR_OK);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (turn == ERR_OK) {
        ap->has_applied = true;
        ap->creator = ap->creator == 0 ? ap->author->number : ap->creator;
        e = look_for_gaps(ap, &part.head.context);
    }
    for (size_t i = 0; e == ERR_OK && i < ap->cell_count; i++) {
        e = apply_cell(ap, &part.head, &ap->cells[i]);
    }
    if (e != ERR_OK || turn != ERR_OK) {
        return e == ERR_OK ? turn : e;
    }
    return ap->newer.any && ap->own == NULL ? note_newer(ap, item) : ERR_OK;
}

/* A part that is not applied now is listed, with the reason. */
static enum err hold_part(struct applying *ap, const struct part_item *p, enum err why)
{
    const struct quarantine_place at = { .dossier = ap->dossier->id,
        .dot = ap->v->header.dot,
        .group = ap->g->index,
        .part = (uint8_t)p->index,
        .bytes = (uint32_t)p->sealed.len };
    if (why == ERR_GAP && ap->is_early) {
        return ERR_OK; /* its dot tells */
    }
    return why == ERR_GAP ? waiting_put(ap->c, ap->a, &at, ap->missing, ap->v->header.hlc)
                          : quarantine_put(ap->c, ap->a, &at, why, ap->v->header.hlc);
}

static enum err apply_parts(struct applying *ap)
{
    struct part_cursor cursor = group_parts(ap->g);
    struct part_item p;
    enum err e = ERR_OK;
    while ((e = group_next_part(&cursor, &p)) == ERR_OK) {
        if (p.is_withheld) {
            continue;
        }
        e = apply_part(ap, &p);
        if ((core_is_refusal(e) || e == ERR_GAP) && ap->own == NULL) {
            e = hold_part(ap, &p, e);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err decide_contested(struct applying *ap, struct building *b)
{
    enum err e = ERR_OK;
    for (uint32_t n = 0; e == ERR_OK && n <= VERSIONS_FIELD_MAX && b->recompute != 0; n++) {
        if ((b->recompute >> n & 1) != 0) {
            const struct field *f = n == 0 ? NULL : catalogue_field(b->desc, n);
            e = core_contest(ap->c, ap->a, b->desc, f, &b->row, &b->versions);
        }
    }
    return e;
}

static enum err write_rows(struct applying *ap)
{
    const struct store_ops *ops = ap->c->store->ops;
    struct buf blob;
    buf_init(&blob, ap->c->mem, 4096);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < ap->row_count; i++) {
        struct building *b = ap->rows[i];
        if (!b->is_changed) {
            continue;
        }
        e = decide_contested(ap, b);
        buf_clear(&blob);
        versions_put(&blob, &b->versions);
        b->row.versions = buf_view(&blob);
        if (e == ERR_OK) {
            e = blob.err;
        }
        if (e == ERR_OK) {
            e = b->is_new && !ap->is_stored ? ops->row_insert(ap->c->store, &b->row)
                                            : ops->row_put(ap->c->store, &b->row);
        }
    }
    buf_release(&blob);
    return e;
}

/* --- a group
 * --------------------------------------------------------------------------------------------------------------- */

/* All rows of a new dossier are at hand. */
static uint32_t owner_of_new(struct applying *ap)
{
    struct owner_search s = { .c = ap->c, .d = catalogue_entity(ENTITY_CUSTOMER_ASSIGNMENT) };
    for (size_t i = 0; i < ap->row_count; i++) {
        const struct row *row = &ap->rows[i]->row;
        if (ap->rows[i]->desc == s.d && !row->is_deleted) {
            (void)core_see_assignment(&s, row);
        }
    }
    return s.owner;
}

/* Adds the dot to what the dossier has seen. */
static enum err raise_seen(struct applying *ap)
{
    struct vv seen = { 0 };
    struct reader r = reader_of(ap->dossier->seen);
    struct buf b;
    enum err e = ap->dossier->seen.len > 0 ? vv_take(&r, ap->a, &seen) : ERR_OK;
    if (e != ERR_OK) {
        return err_of_stored(e);
    }
    e = vv_raise(&seen, ap->a, ap->v->header.dot);
    if (e != ERR_OK) {
        return e;
    }
    buf_init(&b, ap->c->mem, 1 << 18);
    vv_put(&b, &seen);
    e = b.err;
    if (e == ERR_OK) {
        e = arena_dup(ap->a, buf_view(&b), &ap->dossier->seen);
    }
    buf_release(&b);
    return e;
}

/* What a dossier has seen follows from the parts applied, not from the order in which they could be: a commit counts as
 * seen once a part of it does. What it was touched by is what the log holds of it. */
static enum err put_dossier(struct applying *ap, const struct dossier *before)
{
    struct dossier *d = ap->dossier;
    if (ap->g->is_new) {
        d->creator = ap->creator; /* books are nobody's: their first commit is not the same everywhere */
    }
    if (!ap->is_stored) {
        d->owner = owner_of_new(ap);
    }
    d->seen = ap->has_applied ? d->seen : before->seen;
    bool has_gap = ap->has_gap;
    if ((before->flags & DOSSIER_HAS_GAP) != 0) {
        bool left = false;
        enum err e = gap_filled(ap->c, ap->a, d->id, ap->v->header.dot, &left);
        if (e != ERR_OK) {
            return e;
        }
        has_gap = has_gap || left;
    }
    d->flags = has_gap ? d->flags | DOSSIER_HAS_GAP : d->flags & ~(uint32_t)DOSSIER_HAS_GAP;
    return core_put_dossier(ap->c, ap->is_stored ? before : NULL, d, &ap->v->header.dot);
}

static enum err list_urgent(struct applying *ap)
{
    uint8_t key[DOT_KEY_BYTES];
    dot_key(ap->v->header.dot, key);
    return ap->has_urgent ? ap->c->store->ops->put(ap->c->store, SPACE_URGENT, BYTES_OF(key), (struct bytes){ 0 })
                          : ERR_OK;
}

enum err core_apply_group(struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g,
    struct dossier *d, bool is_stored, const struct own_part **own)
{
    struct applying ap = {
        .c = c, .a = a, .v = v, .g = g, .dossier = d, .is_stored = is_stored, .own = own, .had = d->seen
    };
    const struct dossier before = *d;
    ap.is_early = own == NULL && core_is_early(c, v->header.dot);
    enum err e = raise_seen(&ap);
    if (e == ERR_LIMIT && own == NULL) {
        const struct quarantine_place at = { .dossier = d->id,
            .dot = v->header.dot,
            .group = g->index,
            .part = QUARANTINE_WHOLE_GROUP,
            .bytes = (uint32_t)g->slice.len };
        return quarantine_put(c, a, &at, e, v->header.hlc);
    }
    if (e == ERR_OK) {
        e = apply_parts(&ap);
    }
    if (e == ERR_OK) {
        e = put_dossier(&ap, &before);
    }
    if (e == ERR_OK) {
        e = list_urgent(&ap);
    }
    if (e == ERR_OK) {
        e = write_rows(&ap);
    }
    return e == ERR_OK && is_stored && ap.owner_may_change ? core_refresh_owner(c, d) : e;
}
