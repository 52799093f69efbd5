/*
 * Owns: the verdict over all writes of one field: what it shows, its open conflict, its past conflicts.
 *
 * Invariants: nothing but the set of writes goes in; every order is total; a past conflict is what its settling write's
 * author had before him, heads of his view, so its id is the one that was open on his screen.
 *
 * Deliberately not here: which writes count (rights, gaps and erasure are judged before), storing entries
 * (sync/conflict.c), and any use of time except as a tie-break between writes that are already known to be concurrent.
 */
#include "sync/merge.h"

#include "schema/base/check.h"
#include "sync/causal.h"
#include "sync/seal.h"

/* Lower than any rank a code list can give. */
#define RANK_NONE INT64_MIN

/* --- orders */

static int dot_order(const void *ctx, size_t x, size_t y)
{
    const struct field_write *writes = ctx;
    int c = dot_compare(writes[x].dot, writes[y].dot);
    return c != 0 ? c : (x > y) - (x < y);
}

/* Clock, then dot: the tie-break among concurrent writes. */
static int stamp_compare(const struct field_write *x, const struct field_write *y)
{
    if (x->hlc != y->hlc) {
        return x->hlc < y->hlc ? -1 : 1;
    }
    return dot_compare(x->dot, y->dot);
}

static int newest_first(const void *ctx, size_t x, size_t y)
{
    const struct field_write *writes = ctx;
    int c = stamp_compare(&writes[y], &writes[x]);
    return c != 0 ? c : (x > y) - (x < y);
}

/* --- rules */

/* A choice of writes; index NULL means all of them in place. */
struct pick {
    const struct field_write *writes;
    const size_t *index;
    size_t count;
};

static const struct field_write *pick_at(const struct pick *p, size_t i)
{
    return &p->writes[p->index == NULL ? i : p->index[i]];
}

/* What outranks the clock: the author's standing, the state's rank; equal for every other rule. */
static int64_t rule_rank(const struct field *f, const struct field_write *w)
{
    if (f->merge == MERGE_OWNER) {
        return w->standing;
    }
    if (f->merge != MERGE_STATE) {
        return 0;
    }
    const struct code *code =
        f->codes == NULL || w->value.type != VALUE_INT ? NULL : code_by_number(f->codes, w->value.i);
    return code == NULL ? RANK_NONE : code->rank;
}

/* Above zero when x beats y. Total: the dot is always the last word. */
static int rule_compare(const struct field *f, const struct field_write *x, const struct field_write *y)
{
    int c = 0;
    switch (f->merge) {
    case MERGE_MAX:
        c = value_compare(x->value, y->value);
        return c != 0 ? c : dot_compare(x->dot, y->dot);
    case MERGE_MIN:
        c = value_compare(y->value, x->value);
        return c != 0 ? c : dot_compare(x->dot, y->dot);
    case MERGE_SET:
        return dot_compare(x->dot, y->dot);
    case MERGE_OWNER:
    case MERGE_STATE: {
        int64_t rx = rule_rank(f, x);
        int64_t ry = rule_rank(f, y);
        return rx != ry ? (rx < ry ? -1 : 1) : stamp_compare(x, y);
    }
    case MERGE_MANUAL:
    case MERGE_FIXED:
        return stamp_compare(y, x);
    case MERGE_LWW:
    case MERGE_EVENT:
        return stamp_compare(x, y);
    case MERGE_DERIVED:
    case MERGE_COUNT:
        break;
    }
    check(f->merge < MERGE_DERIVED); /* derived values are computed on each node, never written */
    return 0;
}

static size_t pick_winner(const struct field *f, const struct pick *p)
{
    check(p->count > 0);
    check(f->merge < MERGE_DERIVED);
    size_t best = 0;
    for (size_t i = 1; i < p->count; i++) {
        if (rule_compare(f, pick_at(p, i), pick_at(p, best)) > 0) {
            best = i;
        }
    }
    return best;
}

static bool pick_agrees(const struct pick *p)
{
    for (size_t i = 1; i < p->count; i++) {
        if (!value_equal(pick_at(p, i)->value, pick_at(p, 0)->value)) {
            return false;
        }
    }
    return true;
}

static bool pick_needs_person(const struct field *f, const struct pick *p)
{
    if (f->merge == MERGE_MAX || f->merge == MERGE_MIN || f->merge == MERGE_SET || f->merge == MERGE_EVENT) {
        return false;
    }
    const struct field_write *best = pick_at(p, pick_winner(f, p));
    int64_t top = rule_rank(f, best);
    for (size_t i = 0; i < p->count; i++) {
        const struct field_write *w = pick_at(p, i);
        int64_t rank = rule_rank(f, w);
        if ((rank == top || rank == RANK_NONE) && !value_equal(w->value, best->value)) {
            return true;
        }
    }
    return false;
}

size_t merge_winner(const struct field *f, const struct field_write *heads, size_t count)
{
    const struct pick p = { .writes = heads, .count = count };
    return pick_winner(f, &p);
}

bool merge_needs_person(const struct field *f, const struct field_write *heads, size_t count)
{
    const struct pick p = { .writes = heads, .count = count };
    return pick_needs_person(f, &p);
}

/* --- conflicts */

struct merge {
    struct arena *a;
    const uint8_t *group;
    struct record_id record;
    const struct entity_desc *desc;
    const struct field *field;
    const struct field_write *writes;
    struct causal causal; /* of the writes that count */
    size_t *late; /* FIXED: writes that do not count, in dot order */
    size_t late_count;
    size_t *list; /* scratch: siblings of one conflict */
    uint8_t *keys; /* scratch: their dots */
    size_t shown; /* the verdict's winner */
};

/* One write that closed something: a join of siblings, or a late write of a fixed field. */
struct past {
    uint8_t id[CONFLICT_ID_BYTES];
    struct dot dot;
    size_t write;
    bool is_late;
};

static struct pick listed(const struct merge *m, size_t count)
{
    return (struct pick){ .writes = m->writes, .index = m->list, .count = count };
}

static void conflict_id(const struct merge *m, size_t count, uint8_t id[CONFLICT_ID_BYTES])
{
    uint8_t place[8];
    for (size_t i = 0; i < 4; i++) {
        place[i] = (uint8_t)((uint32_t)m->desc->entity >> (24 - 8 * i));
        place[4 + i] = (uint8_t)(m->field->number >> (24 - 8 * i));
    }
    for (size_t i = 0; i < count; i++) {
        dot_key(m->writes[m->list[i]].dot, m->keys + i * DOT_KEY_BYTES);
    }
    const struct bytes pieces[4] = { bytes_of(m->group, GROUP_ID_BYTES), BYTES_OF(m->record.b), BYTES_OF(place),
        bytes_of(m->keys, count * DOT_KEY_BYTES) };
    seal_hash(id, CONFLICT_ID_BYTES, "jipan/conflict/v1", NULL, pieces, ARRAY_LEN(pieces));
}

/* How many of v, which starts with what must stay and goes on with the newest, fit the limits of one list. */
static size_t list_fit(const struct field_write *writes, const size_t *v, size_t count)
{
    size_t bytes = 0;
    size_t n = 0;
    while (n < count && n < CONFLICT_SIBLINGS_MAX) {
        bytes += CONFLICT_WRITE_BYTES + writes[v[n]].value.s.len + writes[v[n]].reason.len;
        if (n > 0 && bytes > CONFLICT_LIST_BYTES) {
            break;
        }
        n++;
    }
    return n;
}

/* A copy of v in dot order, cut to the limits of one list: `keep` (if in v) and the newest stay. */
static enum err list_copy(const struct merge *m, const size_t *v, size_t count, size_t keep, size_t **out, size_t *kept)
{
    size_t *copy = arena_array(m->a, count, sizeof(*copy));
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    memcpy(copy, v, count * sizeof(*copy));
    causal_sort(copy, count, newest_first, m->writes);
    for (size_t i = 1; i < count; i++) {
        if (copy[i] == keep) {
            memmove(copy + 1, copy, i * sizeof(*copy));
            copy[0] = keep;
        }
    }
    size_t n = list_fit(m->writes, copy, count);
    causal_sort(copy, n, dot_order, m->writes);
    *out = copy;
    *kept = n;
    return ERR_OK;
}

/* Fills in a conflict whose siblings are the first `count` of the scratch list. */
static enum err conflict_fill(struct merge *m, size_t count, size_t winner, struct conflict *out)
{
    struct pick p = listed(m, count);
    conflict_id(m, count, out->id);
    out->grade = pick_agrees(&p) ? GRADE_AGREED : GRADE_CONFLICT;
    out->winner = winner;
    out->sibling_total = count;
    return list_copy(m, m->list, count, winner, &out->siblings, &out->sibling_count);
}

/* What a write had before it: the heads of its author's view, and itself too if it is late. Fills the scratch list. */
static size_t past_siblings(struct merge *m, size_t write, bool is_late, size_t *winner)
{
    causal_under(&m->causal, &m->writes[write], m->causal.row);
    size_t n = causal_heads(&m->causal, m->causal.row, m->list);
    if (n == 0 && is_late) {
        m->list[n++] = m->shown; /* it had seen only other late writes */
    }
    if (n == 0) {
        return 0;
    }
    struct pick p = listed(m, n);
    *winner = m->list[pick_winner(m->field, &p)];
    if (is_late) {
        m->list[n++] = write;
        causal_sort(m->list, n, dot_order, m->writes);
    }
    return n;
}

static size_t past_gather(struct merge *m, const size_t *writes, size_t count, bool is_late, struct past *past)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        size_t winner = 0;
        size_t n = past_siblings(m, writes[i], is_late, &winner);
        if (n >= 2) {
            past[found] = (struct past){ .dot = m->writes[writes[i]].dot, .write = writes[i], .is_late = is_late };
            conflict_id(m, n, past[found].id);
            found++;
        }
    }
    return found;
}

static int past_order(const void *ctx, size_t x, size_t y)
{
    const struct past *past = ctx;
    int c = memcmp(past[x].id, past[y].id, CONFLICT_ID_BYTES);
    return c != 0 ? c : dot_compare(past[x].dot, past[y].dot);
}

/* One closed conflict from the writes order[0..count) that closed the same siblings. */
static enum err past_close(
    struct merge *m, const struct past *past, const size_t *order, size_t count, struct conflict *out)
{
    const struct past *first = &past[order[0]];
    size_t winner = 0;
    size_t n = past_siblings(m, first->write, first->is_late, &winner);
    enum err e = conflict_fill(m, n, winner, out);
    if (e != ERR_OK || first->is_late) {
        return e;
    }
    size_t *by = arena_array(m->a, count, sizeof(*by));
    if (by == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        by[i] = past[order[i]].write;
    }
    out->settled_total = count;
    return list_copy(m, by, count, SIZE_MAX, &out->settled_by, &out->settled_count);
}

/* Appends every past conflict to the verdict, ordered by id. */
static enum err past_list(struct merge *m, struct past *past, size_t *order, struct field_verdict *v)
{
    size_t found = past_gather(m, m->causal.at, m->causal.count, false, past);
    found += past_gather(m, m->late, m->late_count, true, past + found);
    for (size_t i = 0; i < found; i++) {
        order[i] = i;
    }
    causal_sort(order, found, past_order, past);
    for (size_t i = 0; i < found;) {
        size_t end = i + 1;
        while (end < found && memcmp(past[order[i]].id, past[order[end]].id, CONFLICT_ID_BYTES) == 0) {
            end++;
        }
        enum err e = past_close(m, past, order + i, end - i, &v->conflicts[v->conflict_count]);
        if (e != ERR_OK) {
            return e;
        }
        v->conflict_count++;
        i = end;
    }
    return ERR_OK;
}

/* --- verdict */

/* Distinct writes in dot order. */
static enum err writes_distinct(
    struct arena *a, const struct field_write *writes, size_t count, size_t **out, size_t *n)
{
    size_t *at = arena_array(a, count, sizeof(*at));
    if (at == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        at[i] = i;
    }
    causal_sort(at, count, dot_order, writes);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !dot_equal(writes[at[kept - 1]].dot, writes[at[i]].dot)) {
            at[kept++] = at[i];
        }
    }
    *out = at;
    *n = kept;
    return ERR_OK;
}

/* FIXED: a plain write that had seen another one does not count. */
static enum err split_late(struct merge *m, const size_t *at, size_t count)
{
    size_t *counted = arena_array(m->a, count, sizeof(*counted));
    m->late = arena_array(m->a, count, sizeof(*m->late));
    if (counted == NULL || m->late == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    size_t late = 0;
    for (size_t i = 0; i < count; i++) {
        const struct field_write *w = &m->writes[at[i]];
        causal_seen(&m->causal, w, m->causal.row);
        if (w->is_decision || causal_row_is_empty(&m->causal, m->causal.row)) {
            counted[n++] = at[i];
        } else {
            m->late[late++] = at[i];
        }
    }
    if (n == 0 || late == 0) {
        return ERR_OK; /* n == 0: contexts in a circle; then all count */
    }
    m->late_count = late;
    return causal_build(&m->causal, m->a, m->writes, counted, n);
}

/* Heads of all that counts, into the scratch list. Contexts in a circle, which only a lying author can make, leave no
 * head: then every write is one. */
static size_t heads_all(struct merge *m)
{
    const struct causal *c = &m->causal;
    causal_all(c, c->row);
    size_t n = causal_heads(c, c->row, m->list);
    if (n == 0) {
        memcpy(m->list, c->at, c->count * sizeof(*c->at));
        n = c->count;
    }
    return n;
}

static bool set_includes(struct bytes big, struct bytes small)
{
    struct bytes want = { 0 };
    struct bytes have = { 0 };
    while (value_set_next(&small, &want)) {
        do {
            if (!value_set_next(&big, &have)) {
                return false;
            }
        } while (bytes_compare(have, want) < 0);
        if (!bytes_equal(have, want)) {
            return false;
        }
    }
    return true;
}

static enum err set_gather(struct arena *a, struct value v, struct value *sum)
{
    if (v.type != VALUE_SET) {
        return ERR_OK;
    }
    if (sum->type == VALUE_SET && set_includes(sum->s, v.s)) {
        return ERR_OK;
    }
    enum err e = value_set_union(a, *sum, v, sum);
    return e == ERR_LIMIT ? ERR_OK : e;
}

/* Union of all writes: heads first, then from the newest dot down. A write that would burst the limit of a set is left
 * out of the union (it stays in the change log), in this fixed order, so all nodes leave out the same ones. */
static enum err set_union(const struct merge *m, size_t heads, struct value *out)
{
    struct value sum = VALUE_NONE;
    enum err e = ERR_OK;
    for (size_t i = 0; i < heads && e == ERR_OK; i++) {
        e = set_gather(m->a, m->writes[m->list[i]].value, &sum);
    }
    for (size_t i = m->causal.count; i > 0 && e == ERR_OK; i--) {
        e = set_gather(m->a, m->writes[m->causal.at[i - 1]].value, &sum);
    }
    if (e == ERR_OK) {
        e = value_dup(m->a, sum, out);
    }
    return e;
}

static enum err verdict_conflicts(struct merge *m, size_t heads, struct field_verdict *v)
{
    size_t most = m->causal.count + m->late_count;
    struct past *past = arena_array(m->a, most, sizeof(*past));
    size_t *order = arena_array(m->a, most, sizeof(*order));
    v->conflicts = arena_array(m->a, most + 1, sizeof(*v->conflicts));
    if (past == NULL || order == NULL || v->conflicts == NULL) {
        return ERR_NOMEM;
    }
    if (heads >= 2) {
        struct pick p = listed(m, heads);
        v->has_open_conflict = pick_needs_person(m->field, &p);
        v->conflicts[0].is_open = v->has_open_conflict;
        enum err e = conflict_fill(m, heads, v->winner, &v->conflicts[0]);
        if (e != ERR_OK) {
            return e;
        }
        v->conflict_count = 1;
    }
    return past_list(m, past, order, v);
}

static enum err verdict_make(struct merge *m, struct field_verdict *out)
{
    size_t heads = heads_all(m);
    struct pick p = listed(m, heads);
    m->shown = m->list[pick_winner(m->field, &p)];
    struct field_verdict v = { .winner = m->shown };
    enum err e = ERR_OK;
    if (m->field->merge == MERGE_SET) {
        e = set_union(m, heads, &v.value);
    } else {
        e = value_dup(m->a, m->writes[m->shown].value, &v.value);
        if (e == ERR_OK) {
            e = verdict_conflicts(m, heads, &v);
        }
    }
    if (e == ERR_OK) {
        *out = v;
    }
    return e;
}

enum err merge_field(struct arena *a, const uint8_t group[16], struct record_id record, const struct entity_desc *d,
    const struct field *f, const struct field_write *writes, size_t count, struct field_verdict *out)
{
    check(count > 0);
    check(f->merge < MERGE_DERIVED);
    if (count > UINT32_MAX) {
        return ERR_LIMIT;
    }
    struct merge m = { .a = a, .group = group, .record = record, .desc = d, .field = f, .writes = writes };
    size_t *at = NULL;
    size_t distinct = 0;
    enum err e = writes_distinct(a, writes, count, &at, &distinct);
    if (e != ERR_OK) {
        return e;
    }
    m.list = arena_array(a, distinct + 1, sizeof(*m.list));
    m.keys = arena_array(a, distinct + 1, DOT_KEY_BYTES);
    if (m.list == NULL || m.keys == NULL) {
        return ERR_NOMEM;
    }
    e = causal_build(&m.causal, a, writes, at, distinct);
    if (e == ERR_OK && f->merge == MERGE_FIXED) {
        e = split_late(&m, at, distinct);
    }
    return e == ERR_OK ? verdict_make(&m, out) : e;
}
