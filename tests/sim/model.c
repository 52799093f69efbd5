/*
 * Owns: the second opinion on what fields show and which conflicts are open, written from docs/decisions/0006 alone:
 * heads are the writes that nobody's context covers; of several, lww shows the latest stamp, manual the earliest, max
 * and min the value; different values under lww or manual wait for a person, everything else does not. Other rules are
 * not judged here.
 */
#include "schema/base/check.h"
#include "sync/conflict.h"
#include "tests/sim/check.h"

#include <stdlib.h>

enum { WRITES_MAX = 512, OPEN_MAX = 512 };

static const struct bytes all = { 0 };

struct writes {
    struct field_write at[WRITES_MAX];
    size_t count;
};

/* All writes of one record. */
struct past {
    struct history_item *at;
    size_t count;
    size_t room;
};

struct open_conflict {
    struct record_id record;
    uint32_t entity, field;
};

struct open_list {
    struct sim_node *n;
    struct arena *a;
    struct open_conflict at[OPEN_MAX];
    size_t count;
};

static enum err note_write(void *ctx, const struct history_item *item)
{
    struct past *p = ctx;
    if (p->count == p->room) {
        p->room = p->room * 2 + 256;
        p->at = realloc(p->at, p->room * sizeof(*p->at));
        check(p->at != NULL);
    }
    p->at[p->count++] = *item;
    return ERR_OK;
}

/* NULL: the mark of deletion. */
static void writes_of(const struct past *p, const struct field *f, struct writes *out)
{
    out->count = 0;
    for (size_t i = 0; i < p->count && out->count < WRITES_MAX; i++) {
        if (p->at[i].field == f) {
            out->at[out->count++] = p->at[i].write;
        }
    }
}

static bool covers(const struct vv *context, struct dot dot)
{
    for (size_t i = 0; i < context->count; i++) {
        if (context->at[i].node == dot.node && context->at[i].epoch == dot.epoch) {
            return context->at[i].seq >= dot.seq;
        }
    }
    return false;
}

static bool is_head(const struct writes *w, size_t i)
{
    for (size_t k = 0; k < w->count; k++) {
        if (k != i && covers(&w->at[k].context, w->at[i].dot)) {
            return false;
        }
    }
    return true;
}

static bool is_later(const struct field_write *x, const struct field_write *y)
{
    return x->hlc != y->hlc ? x->hlc > y->hlc : dot_compare(x->dot, y->dot) > 0;
}

static bool beats(enum merge_rule rule, const struct field_write *x, const struct field_write *y)
{
    int c = value_compare(x->value, y->value);
    switch (rule) {
    case MERGE_LWW:
        return is_later(x, y);
    case MERGE_MANUAL:
        return is_later(y, x);
    case MERGE_MAX:
        return c > 0;
    default:
        return c < 0;
    }
}

static bool is_judged(enum merge_rule rule)
{
    return rule == MERGE_LWW || rule == MERGE_MANUAL || rule == MERGE_MAX || rule == MERGE_MIN;
}

static size_t opened(const struct open_list *list, const struct sim_record *r, const struct field *f)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct open_conflict *o = &list->at[i];
        count += record_id_compare(o->record, r->id) == 0 && o->entity == (uint32_t)r->entity && o->field == f->number
                     ? 1
                     : 0;
    }
    return count;
}

static void judge(struct sim_node *n, const struct sim_record *r, const struct field *f, const struct value *shown,
    const struct writes *w, const struct open_list *list)
{
    size_t best = WRITES_MAX;
    bool differ = false;
    for (size_t i = 0; i < w->count; i++) {
        if (!is_head(w, i)) {
            continue;
        }
        differ = differ || (best < WRITES_MAX && !value_equal(w->at[i].value, w->at[best].value));
        best = best == WRITES_MAX || beats(f->merge, &w->at[i], &w->at[best]) ? i : best;
    }
    char id[ID_TEXT_BYTES + 1];
    record_id_text(r->id, id);
    if (best < WRITES_MAX && !value_equal(w->at[best].value, *shown)) {
        sim_fail(n->sim, SIM_WRONG, "I13", "%s of %s does not show what its writes say", f->name, id);
    }
    bool waits = differ && (f->merge == MERGE_LWW || f->merge == MERGE_MANUAL);
    size_t open = opened(list, r, f);
    if (waits && open == 0) {
        sim_fail(n->sim, SIM_WRONG, "I10", "%s of %s has two values and no open conflict", f->name, id);
    }
    if (!waits && open > 0) {
        sim_fail(n->sim, SIM_WRONG, "I12", "%s of %s has an open conflict about nothing", f->name, id);
    }
}

/* The mark of deletion is a field like others, the latest head counts. */
static void judge_deletion(struct sim_node *n, const struct sim_record *r, bool is_deleted, const struct writes *w)
{
    size_t best = WRITES_MAX;
    for (size_t i = 0; i < w->count; i++) {
        if (is_head(w, i) && (best == WRITES_MAX || is_later(&w->at[i], &w->at[best]))) {
            best = i;
        }
    }
    bool expected = best < WRITES_MAX && w->at[best].value.type == VALUE_INT && w->at[best].value.i != 0;
    if (w->count < WRITES_MAX && expected != is_deleted) {
        char id[ID_TEXT_BYTES + 1];
        record_id_text(r->id, id);
        sim_fail(n->sim, SIM_WRONG, "I13", "%s is %s", id, is_deleted ? "deleted by nobody" : "still there");
    }
}

static enum err note_open(void *ctx, struct bytes key, struct bytes value)
{
    struct open_list *list = ctx;
    struct conflict_entry entry;
    (void)key;
    list->n->sim->totals->entries++;
    arena_reset(list->a);
    if (conflict_take(value, list->a, &entry) != ERR_OK) {
        sim_fail(list->n->sim, SIM_WRONG, "I26", "a conflict of node %u cannot be read", list->n->number);
    }
    if (entry.is_open && entry.grade == GRADE_CONFLICT && list->count < OPEN_MAX) {
        list->at[list->count++] =
            (struct open_conflict){ .record = entry.record, .entity = entry.entity, .field = entry.field };
    }
    return ERR_OK;
}

static void judge_record(
    struct sim_node *n, const struct sim_record *r, const struct open_list *list, struct past *p, struct writes *w)
{
    const struct entity_desc *d = catalogue_entity(r->entity);
    struct core *c = &n->app->core;
    struct arena *a = &n->app->arena;
    struct row row = { 0 };
    arena_reset(a);
    p->count = 0;
    if (c->store->ops->row_get(c->store, r->entity, r->id, a, &row) != ERR_OK ||
        core_history(c, a, d, r->id, NULL, note_write, p) != ERR_OK) {
        return;
    }
    writes_of(p, NULL, w);
    judge_deletion(n, r, row.is_deleted, w);
    for (size_t i = 0; i < d->field_count; i++) {
        const struct field *f = &d->fields[i];
        writes_of(p, f, w);
        if (is_judged(f->merge) && w->count > 0 && w->count < WRITES_MAX) {
            judge(n, r, f, &row.values[i], w, list);
        }
    }
}

void check_model(struct sim_node *n)
{
    struct writes *w = malloc(sizeof(*w));
    struct past past = { .count = 0 };
    struct open_list *list = calloc(1, sizeof(*list));
    struct store *store = n->app->store;
    check(w != NULL && list != NULL);
    node_enter(n);
    list->n = n;
    list->a = &n->app->arena;
    if (store->ops->scan(store, SPACE_CONFLICT, all, all, false, note_open, list) != ERR_OK) {
        sim_fail(n->sim, SIM_WRONG, "I26", "the conflicts of node %u cannot be read", n->number);
    }
    for (size_t i = 0; i < n->sim->record_count && list->count < OPEN_MAX; i++) {
        judge_record(n, &n->sim->records[i], list, &past, w);
    }
    n->sim->totals->conflicts += list->count;
    arena_reset(&n->app->arena);
    free(past.at);
    free(w);
    free(list);
}
