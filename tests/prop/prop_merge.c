/*
 * Laws of merge over random causal histories: a few nodes write one field and hand each other prefixes of what they
 * have, with gaps, restarts, wrong clocks and unrelated commits in between. Every verdict is compared with a second
 * model written another way (a matrix of who had seen whom, closed by Warshall), with itself over shuffled and doubled
 * input, and with a node that takes the writes in one by one by the fast path. A failure prints its seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/base/check.h"
#include "sync/conflict.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS = 6000, WRITES_MAX = 26, NODES_MAX = 5, ORIGINS_MAX = 16, COPIES_MAX = 3 * WRITES_MAX };

static uint64_t seed_now;
static const uint8_t group[16] = { 7 };
static const struct code codes[] = { { 1, "a", "a", "a", 10 }, { 2, "b", "b", "b", 20 }, { 3, "c", "c", "c", 20 } };
static const struct code_list code_list = { "codes", codes, 3 };
static const struct entity_desc desc = { .entity = ENTITY_CUSTOMER, .name = "customer" };

#define must(x) must_hold((x), #x)

static void must_hold(bool holds, const char *what)
{
    if (!holds) {
        fail_msg("seed %llu: %s", (unsigned long long)seed_now, what);
    }
}

/* --- chance and memory */

static uint64_t chance;

static uint32_t draw(uint32_t below)
{
    chance += 0x9e3779b97f4a7c15ULL;
    uint64_t z = chance;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (uint32_t)((z ^ (z >> 31)) >> 11) % below;
}

static void *heap_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

static struct mem heap = { .resize = heap_resize, .max_bytes = 1 << 28 };

/* --- histories */

struct seen {
    struct dot top[ORIGINS_MAX];
    size_t count;
};

struct world {
    struct field field;
    struct field_write writes[WRITES_MAX];
    struct dot contexts[WRITES_MAX][ORIGINS_MAX];
    size_t count;
    struct seen nodes[NODES_MAX];
    struct dot self[NODES_MAX];
    size_t node_count;
};

static void seen_raise(struct seen *s, struct dot d)
{
    size_t i = 0;
    while (i < s->count && (s->top[i].node != d.node || s->top[i].epoch != d.epoch)) {
        i++;
    }
    if (i == s->count) {
        check(s->count < ORIGINS_MAX);
        s->top[s->count++] = d;
    } else if (s->top[i].seq < d.seq) {
        s->top[i].seq = d.seq;
    }
}

static int by_dot(const void *x, const void *y)
{
    return dot_compare(*(const struct dot *)x, *(const struct dot *)y);
}

static struct value some_value(void)
{
    static const uint8_t id[16] = { 1, 2, 3 };
    static const uint8_t sets[] = { 1, 'a', 1, 'b', 1, 'c' };
    switch (draw(8)) {
    case 0:
        return VALUE_NONE;
    case 1:
        return value_text(bytes_of("xy", 1 + draw(2)));
    case 2:
        return (struct value){ .type = VALUE_ID, .s = BYTES_OF(id) };
    case 3:
    case 4: {
        uint32_t from = draw(3);
        return (struct value){ .type = VALUE_SET, .s = bytes_of(sets + 2 * from, 2 * (size_t)draw(4 - from)) };
    }
    default:
        return value_int((int64_t)draw(5) - 1);
    }
}

/* Contexts are what the node really had; clocks and everything else are arbitrary. */
static void world_write(struct world *w, size_t node)
{
    struct field_write *x = &w->writes[w->count];
    struct seen *s = &w->nodes[node];
    w->self[node].seq += 1 + draw(3);
    qsort(s->top, s->count, sizeof(s->top[0]), by_dot);
    memcpy(w->contexts[w->count], s->top, s->count * sizeof(s->top[0]));
    *x = (struct field_write){ .dot = w->self[node],
        .context = { .at = w->contexts[w->count], .count = s->count, .capacity = s->count },
        .hlc = draw(6),
        .author = 1 + draw(3),
        .standing = (uint8_t)draw(3),
        .is_decision = draw(4) == 0,
        .value = some_value() };
    x->reason = x->is_decision ? BYTES_LIT("why") : (struct bytes){ 0 };
    w->count++;
    seen_raise(s, x->dot);
}

/* One node gets, origin by origin, some of what another has: not all origins, so contexts have gaps. */
static void world_sync(struct world *w, size_t to, size_t from)
{
    struct seen copy = w->nodes[from];
    bool is_partial = draw(3) != 0;
    for (size_t i = 0; i < copy.count; i++) {
        if (is_partial && draw(2) == 0) {
            continue;
        }
        struct dot d = copy.top[i];
        if (draw(5) == 0) {
            d.seq = 1 + draw((uint32_t)d.seq);
        }
        seen_raise(&w->nodes[to], d);
    }
}

static void world_make(struct world *w, uint64_t seed)
{
    chance = seed_now = seed;
    memset(w, 0, sizeof(*w));
    w->field = (struct field){ .number = 5, .name = "f", .merge = (enum merge_rule)draw(MERGE_DERIVED) };
    w->field.codes = draw(4) == 0 ? NULL : &code_list;
    w->node_count = draw(10) == 0 ? 1 : 3 + draw(NODES_MAX - 2);
    for (size_t n = 0; n < w->node_count; n++) {
        w->self[n] = (struct dot){ .node = (uint32_t)(n + 1), .epoch = 1 };
    }
    size_t writes = 1 + draw(draw(2) == 0 ? WRITES_MAX : 9);
    uint32_t talk = 1 + draw(6); /* of 8 */
    size_t restarts = 0;
    while (w->count < writes) {
        size_t node = draw((uint32_t)w->node_count);
        if (draw(20) == 0 && restarts < ORIGINS_MAX - NODES_MAX) {
            w->self[node].epoch++;
            w->self[node].seq = 0;
            restarts++;
        }
        if (draw(8) < talk) {
            world_sync(w, node, draw((uint32_t)w->node_count));
        } else {
            world_write(w, node);
        }
    }
}

/* --- the second model */

struct ref_conflict {
    bool in[WRITES_MAX]; /* siblings */
    bool by[WRITES_MAX]; /* settled by */
    bool is_open;
    bool differ;
    size_t winner;
};

struct ref {
    bool saw[WRITES_MAX][WRITES_MAX]; /* by its own context */
    bool above[WRITES_MAX][WRITES_MAX]; /* closed over what counts */
    bool counts[WRITES_MAX];
    bool head[WRITES_MAX];
    size_t winner;
    bool has_open;
    struct ref_conflict at[2 * WRITES_MAX];
    size_t count;
};

static bool ref_saw(const struct field_write *x, const struct field_write *y)
{
    for (size_t i = 0; i < x->context.count; i++) {
        struct dot d = x->context.at[i];
        if (d.node == y->dot.node && d.epoch == y->dot.epoch) {
            return d.seq >= y->dot.seq;
        }
    }
    return false;
}

static int ref_rank(const struct field *f, const struct field_write *x)
{
    if (f->merge == MERGE_OWNER) {
        return x->standing;
    }
    bool known = f->merge == MERGE_STATE && f->codes != NULL && x->value.type == VALUE_INT;
    return known && x->value.i == 1 ? 10 : known && (x->value.i == 2 || x->value.i == 3) ? 20 : -1;
}

/* Does x beat y? Said once per rule, in the words of the catalogue. */
static bool ref_beats(const struct field *f, const struct field_write *x, const struct field_write *y)
{
    bool dot_later = dot_compare(x->dot, y->dot) > 0;
    bool later = x->hlc > y->hlc || (x->hlc == y->hlc && dot_later);
    int size = value_compare(x->value, y->value);
    if (f->merge == MERGE_MAX || f->merge == MERGE_MIN) {
        return size == 0 ? dot_later : (size > 0) == (f->merge == MERGE_MAX);
    }
    if (f->merge == MERGE_OWNER || f->merge == MERGE_STATE) {
        int rx = ref_rank(f, x);
        int ry = ref_rank(f, y);
        return rx == ry ? later : rx > ry;
    }
    if (f->merge == MERGE_SET) {
        return dot_later;
    }
    return f->merge == MERGE_MANUAL || f->merge == MERGE_FIXED ? !later : later;
}

static size_t ref_winner(const struct world *w, const bool *in)
{
    for (size_t i = 0; i < w->count; i++) {
        bool best = in[i];
        for (size_t j = 0; j < w->count && best; j++) {
            best = j == i || !in[j] || ref_beats(&w->field, &w->writes[i], &w->writes[j]);
        }
        if (best) {
            return i;
        }
    }
    must(false);
    return 0;
}

static bool ref_differ(const struct world *w, const bool *in)
{
    for (size_t i = 0; i < w->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (in[i] && in[j] && value_compare(w->writes[i].value, w->writes[j].value) != 0) {
                return true;
            }
        }
    }
    return false;
}

/* Some pair of different value that the rule cannot tell apart. */
static bool ref_person(const struct world *w, const bool *in)
{
    size_t best = ref_winner(w, in);
    switch (w->field.merge) {
    case MERGE_LWW:
    case MERGE_MANUAL:
    case MERGE_FIXED:
        return ref_differ(w, in);
    case MERGE_OWNER:
    case MERGE_STATE:
        for (size_t i = 0; i < w->count; i++) {
            int rank = ref_rank(&w->field, &w->writes[i]);
            if (in[i] && (rank == -1 || rank == ref_rank(&w->field, &w->writes[best])) &&
                value_compare(w->writes[i].value, w->writes[best].value) != 0) {
                return true;
            }
        }
        return false;
    case MERGE_MAX:
    case MERGE_MIN:
    case MERGE_SET:
    case MERGE_EVENT:
    case MERGE_DERIVED:
    case MERGE_COUNT:
        break;
    }
    return false;
}

static void ref_close(struct ref *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            r->above[i][j] = r->counts[i] && r->counts[j] && r->saw[i][j];
        }
    }
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                r->above[i][j] = r->above[i][j] || (r->above[i][k] && r->above[k][j]);
            }
        }
    }
}

/* What x had seen of what counts, also through others; x itself may be late. */
static void ref_view(const struct ref *r, size_t n, size_t x, bool *out)
{
    for (size_t j = 0; j < n; j++) {
        out[j] = r->counts[j] && r->saw[x][j];
        for (size_t k = 0; k < n && !out[j]; k++) {
            out[j] = r->counts[k] && r->saw[x][k] && r->above[k][j];
        }
    }
}

static size_t ref_heads(const struct ref *r, size_t n, const bool *in, bool *out)
{
    size_t heads = 0;
    for (size_t i = 0; i < n; i++) {
        out[i] = in[i];
        for (size_t j = 0; j < n; j++) {
            out[i] = out[i] && !(in[j] && r->above[j][i]);
        }
        heads += out[i];
    }
    return heads;
}

static void ref_past(const struct world *w, struct ref *r, size_t x)
{
    bool view[WRITES_MAX];
    struct ref_conflict c = { .winner = 0 };
    ref_view(r, w->count, x, view);
    size_t heads = ref_heads(r, w->count, view, c.in);
    bool is_late = !r->counts[x];
    if (is_late && heads == 0) {
        c.in[r->winner] = true;
        heads = 1;
    }
    if (heads < 2 && !is_late) {
        return;
    }
    c.winner = ref_winner(w, c.in);
    c.in[x] = c.in[x] || is_late;
    c.differ = ref_differ(w, c.in);
    for (size_t i = 0; i < r->count; i++) {
        if (!r->at[i].is_open && memcmp(r->at[i].in, c.in, sizeof(c.in)) == 0) {
            r->at[i].by[x] = !is_late;
            return;
        }
    }
    c.by[x] = !is_late;
    r->at[r->count++] = c;
}

static void ref_make(const struct world *w, struct ref *r)
{
    size_t n = w->count;
    memset(r, 0, sizeof(*r));
    for (size_t i = 0; i < n; i++) {
        bool first = true;
        for (size_t j = 0; j < n; j++) {
            r->saw[i][j] = i != j && ref_saw(&w->writes[i], &w->writes[j]);
            first = first && !r->saw[i][j];
        }
        r->counts[i] = first || w->writes[i].is_decision || w->field.merge != MERGE_FIXED;
    }
    ref_close(r, n);
    size_t heads = ref_heads(r, n, r->counts, r->head);
    must(heads > 0);
    r->winner = ref_winner(w, r->head);
    if (w->field.merge == MERGE_SET) {
        return;
    }
    if (heads > 1) {
        struct ref_conflict *c = &r->at[r->count++];
        memcpy(c->in, r->head, sizeof(c->in));
        c->winner = r->winner;
        c->differ = ref_differ(w, c->in);
        c->is_open = r->has_open = ref_person(w, c->in);
    }
    for (size_t i = 0; i < n; i++) {
        ref_past(w, r, i);
    }
}

/* --- comparing */

static struct record_id record_of(void)
{
    return (struct record_id){ { 9, 9 } };
}

static struct field_verdict verdict_of(
    struct arena *a, const struct field *f, const struct field_write *writes, size_t count)
{
    struct field_verdict v = { .winner = SIZE_MAX };
    must(merge_field(a, group, record_of(), &desc, f, writes, count, &v) == ERR_OK);
    return v;
}

static bool list_is(
    const struct world *w, const struct field_write *writes, const size_t *at, size_t count, const bool *in)
{
    size_t wanted = 0;
    for (size_t i = 0; i < w->count; i++) {
        wanted += in[i];
    }
    for (size_t i = 0; i < count; i++) {
        size_t j = 0;
        while (j < w->count && !dot_equal(w->writes[j].dot, writes[at[i]].dot)) {
            j++;
        }
        if (j == w->count || !in[j] || (i > 0 && dot_compare(writes[at[i - 1]].dot, writes[at[i]].dot) >= 0)) {
            return false;
        }
    }
    return count == wanted;
}

static bool conflict_is(const struct world *w, const struct conflict *c, const struct ref_conflict *r)
{
    return list_is(w, w->writes, c->siblings, c->sibling_count, r->in) && c->sibling_total == c->sibling_count &&
           list_is(w, w->writes, c->settled_by, c->settled_count, r->by) && c->settled_total == c->settled_count &&
           c->is_open == r->is_open && (c->grade == GRADE_CONFLICT) == r->differ && c->winner == r->winner;
}

static void ref_check_value(const struct world *w, const struct ref *r, struct value shown)
{
    if (w->field.merge != MERGE_SET) {
        must(value_equal(shown, w->writes[r->winner].value));
        return;
    }
    bool any = false;
    for (char e = 'a'; e <= 'c'; e++) {
        bool has = false;
        for (size_t i = 0; i < w->count; i++) {
            any = any || w->writes[i].value.type == VALUE_SET;
            has = has || (w->writes[i].value.type == VALUE_SET && value_set_has(w->writes[i].value, bytes_of(&e, 1)));
        }
        must(value_set_has(shown, bytes_of(&e, 1)) == has);
    }
    must(shown.type == (any ? VALUE_SET : VALUE_NULL));
}

/* The whole verdict as bytes: value, winner's dot, then every entry in order. Also proves the stored form. */
static void verdict_bytes(struct arena *a, const struct field *f, const struct field_write *writes,
    const struct field_verdict *v, struct buf *out)
{
    struct buf again;
    value_put(out, f->number, v->value);
    buf_put_varint(out, writes[v->winner].dot.node);
    buf_put_varint(out, writes[v->winner].dot.epoch);
    buf_put_varint(out, writes[v->winner].dot.seq);
    buf_put_u8(out, v->has_open_conflict);
    for (size_t i = 0; i < v->conflict_count; i++) {
        struct conflict_entry entry;
        struct conflict_entry back;
        size_t from = out->len;
        must(conflict_entry_from_verdict(a, record_of(), &desc, f, writes, v, i, &entry) == ERR_OK);
        conflict_put(out, &entry);
        must(out->err == ERR_OK);
        must(conflict_take(bytes_of(out->ptr + from, out->len - from), a, &back) == ERR_OK);
        buf_init(&again, &heap, CONFLICT_ENTRY_MAX_BYTES);
        conflict_put(&again, &back);
        must(bytes_equal(buf_view(&again), bytes_of(out->ptr + from, out->len - from)));
        buf_release(&again);
    }
}

static void same_verdict(struct arena *a, const struct field *f, const struct field_write *x, size_t x_count,
    const struct field_write *y, size_t y_count)
{
    struct buf bx;
    struct buf by;
    buf_init(&bx, &heap, 1 << 20);
    buf_init(&by, &heap, 1 << 20);
    struct field_verdict vx = verdict_of(a, f, x, x_count);
    struct field_verdict vy = verdict_of(a, f, y, y_count);
    verdict_bytes(a, f, x, &vx, &bx);
    verdict_bytes(a, f, y, &vy, &by);
    must(bytes_equal(buf_view(&bx), buf_view(&by)));
    buf_release(&bx);
    buf_release(&by);
}

static void shuffle(struct field_write *v, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = draw((uint32_t)i);
        struct field_write keep = v[i - 1];
        v[i - 1] = v[j];
        v[j] = keep;
    }
}

/* --- laws */

typedef void (*law_fn)(struct arena *a, const struct world *w, const struct field_verdict *v);

static void hold(law_fn law)
{
    static struct world w;
    struct arena a;
    size_t used_before = heap.used_bytes;
    arena_init(&a, &heap, 1 << 24);
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        world_make(&w, seed);
        struct field_verdict v = verdict_of(&a, &w.field, w.writes, w.count);
        law(&a, &w, &v);
        arena_reset(&a);
    }
    arena_release(&a);
    assert_int_equal(heap.used_bytes, used_before);
}

static void law_second_model(struct arena *a, const struct world *w, const struct field_verdict *v)
{
    static struct ref r;
    (void)a;
    ref_make(w, &r);
    must(v->winner == r.winner);
    ref_check_value(w, &r, v->value);
    must(v->has_open_conflict == r.has_open);
    must(v->conflict_count == r.count);
    for (size_t i = 0; i < r.count; i++) {
        size_t j = 0;
        while (j < v->conflict_count && !conflict_is(w, &v->conflicts[j], &r.at[i])) {
            j++;
        }
        must(j < v->conflict_count);
    }
}

static void merge_agrees_with_a_second_model(void **state)
{
    (void)state;
    hold(law_second_model);
}

static void law_set_only(struct arena *a, const struct world *w, const struct field_verdict *v)
{
    struct field_write copies[COPIES_MAX];
    size_t count = w->count;
    (void)v;
    memcpy(copies, w->writes, count * sizeof(copies[0]));
    for (uint32_t extra = draw(2 * WRITES_MAX); extra > 0; extra--) {
        copies[count++] = w->writes[draw((uint32_t)w->count)];
    }
    shuffle(copies, count);
    same_verdict(a, &w->field, w->writes, w->count, copies, count);
}

static void merge_depends_on_the_set_of_writes_only(void **state)
{
    (void)state;
    hold(law_set_only);
}

/* (A u B) u C, A u (B u C), C u B u A, with overlaps: gathered as nodes gather them. */
static void law_unions(struct arena *a, const struct world *w, const struct field_verdict *v)
{
    struct field_write left[COPIES_MAX];
    struct field_write right[COPIES_MAX];
    size_t lefts = 0;
    size_t rights = 0;
    uint8_t part[WRITES_MAX];
    (void)v;
    for (size_t i = 0; i < w->count; i++) {
        part[i] = (uint8_t)(1 + draw(7)); /* which of three subsets hold it */
    }
    for (uint8_t bit = 1; bit <= 4; bit = (uint8_t)(bit << 1)) {
        for (size_t i = 0; i < w->count; i++) {
            if ((part[i] & bit) != 0) {
                left[lefts++] = w->writes[i];
            }
            if ((part[i] & (4 / bit)) != 0) {
                right[rights++] = w->writes[i];
            }
        }
    }
    same_verdict(a, &w->field, left, lefts, right, rights);
}

static void merge_of_unions_commutes_associates_and_repeats(void **state)
{
    (void)state;
    hold(law_unions);
}

/* What decides about concurrent pairs, said straight from the definition. */
static void law_pairs(struct arena *a, const struct world *w, const struct field_verdict *v)
{
    (void)a;
    if (w->field.merge == MERGE_SET || w->field.merge == MERGE_FIXED) {
        return;
    }
    bool listed[WRITES_MAX] = { false };
    const struct conflict *top = v->conflicts;
    bool has_heads = v->conflict_count > 0 && top->settled_total == 0;
    for (size_t i = 0; has_heads && i < top->sibling_count; i++) {
        listed[top->siblings[i]] = true;
    }
    for (size_t i = 0; i < w->count; i++) {
        bool head = true;
        for (size_t j = 0; j < w->count; j++) {
            head = head && (i == j || !ref_saw(&w->writes[j], &w->writes[i]));
        }
        must(!listed[i] || head); /* nothing that was seen is in the present conflict */
        must(!head || v->winner == i || (listed[i] && listed[v->winner])); /* winner or listed loser */
    }
}

static void merge_keeps_every_concurrent_head_and_nothing_superseded(void **state)
{
    (void)state;
    hold(law_pairs);
}

/* A node's register: replaced when nothing else can matter, else decided from all writes held. */
struct reg {
    struct value value;
    struct dot current;
    bool is_contested;
    struct field_write held[WRITES_MAX];
    size_t count;
};

static void reg_take(struct arena *a, const struct field *f, struct reg *g, const struct field_write *x)
{
    g->held[g->count++] = *x;
    if (f->merge == MERGE_SET) {
        if (x->value.type == VALUE_SET) {
            must(value_set_union(a, g->value, x->value, &g->value) == ERR_OK);
        }
    } else if (g->count == 1 ||
               (!g->is_contested && merge_is_replaceable(f->merge) && merge_replaces(&x->context, g->current))) {
        g->value = x->value;
        g->current = x->dot;
    } else {
        struct field_verdict v = verdict_of(a, f, g->held, g->count);
        g->value = v.value;
        g->current = g->held[v.winner].dot;
        g->is_contested = v.conflict_count > 0;
    }
}

static void law_fast_path(struct arena *a, const struct world *w, const struct field_verdict *v)
{
    struct field_write order[WRITES_MAX];
    struct reg g = { .value = VALUE_NONE };
    memcpy(order, w->writes, w->count * sizeof(order[0]));
    if (draw(2) == 0) {
        shuffle(order, w->count);
    }
    for (size_t i = 0; i < w->count; i++) {
        reg_take(a, &w->field, &g, &order[i]);
    }
    must(value_equal(g.value, v->value));
    must(w->field.merge == MERGE_SET || dot_equal(g.current, w->writes[v->winner].dot));
    must(g.is_contested == (v->conflict_count > 0));
}

static void taking_writes_one_by_one_ends_where_merging_all_does(void **state)
{
    (void)state;
    hold(law_fast_path);
}

/* Contexts of a liar: any dots at all, circles included. Only totality and order-freedom can be asked for. */
static void law_lies(struct arena *a, const struct world *w, const struct field_verdict *v)
{
    static struct world lie;
    struct field_write copies[WRITES_MAX];
    (void)v;
    lie = *w;
    for (size_t i = 0; i < lie.count; i++) {
        struct vv *context = &lie.writes[i].context;
        context->at = lie.contexts[i];
        if (draw(2) == 0) {
            context->at[0] = lie.writes[draw((uint32_t)lie.count)].dot;
            context->at[0].seq += draw(9);
            context->count = 1;
        }
    }
    memcpy(copies, lie.writes, lie.count * sizeof(copies[0]));
    shuffle(copies, lie.count);
    same_verdict(a, &lie.field, lie.writes, lie.count, copies, lie.count);
}

static void merge_is_total_over_lying_contexts(void **state)
{
    (void)state;
    hold(law_lies);
}

/* The generator must reach what the laws speak about. */
static void histories_are_rich(void **state)
{
    static struct world w;
    static struct ref r;
    size_t open = 0;
    size_t joined = 0;
    size_t gaps = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        world_make(&w, seed);
        ref_make(&w, &r);
        open += r.has_open;
        bool gap = false;
        for (size_t i = 0; i < w.count * w.count; i++) {
            gap = gap || (r.above[i / w.count][i % w.count] && !r.saw[i / w.count][i % w.count]);
        }
        gaps += gap;
        for (size_t i = 0; i < r.count; i++) {
            joined += !r.at[i].is_open;
        }
    }
    print_message("%d histories: %zu open, %zu past conflicts, %zu with gaps\n", (int)RUNS, open, joined, gaps);
    assert_true(open > RUNS / 10 && joined > RUNS / 4 && gaps > RUNS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_are_rich),
        cmocka_unit_test(merge_agrees_with_a_second_model),
        cmocka_unit_test(merge_depends_on_the_set_of_writes_only),
        cmocka_unit_test(merge_of_unions_commutes_associates_and_repeats),
        cmocka_unit_test(merge_keeps_every_concurrent_head_and_nothing_superseded),
        cmocka_unit_test(taking_writes_one_by_one_ends_where_merging_all_does),
        cmocka_unit_test(merge_is_total_over_lying_contexts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
