/*
 * Merge and stored conflict entries by example: one scenario per promise. Laws over random histories are in
 * tests/prop/prop_merge.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/base/check.h"
#include "schema/commit.h"
#include "sync/conflict.h"

#include <stdlib.h>

enum { WRITES_MAX = 600 };

static const uint8_t group[16] = { 1 };
static const struct entity_desc desc = { .entity = ENTITY_CUSTOMER, .name = "customer" };
static const struct code codes[] = { { 1, "new", "新", "new", 10 }, { 2, "won", "胜", "won", 30 },
    { 3, "lost", "败", "lost", 20 }, { 4, "gone", "失", "gone", 20 } };
static const struct code_list code_list = { "codes", codes, ARRAY_LEN(codes) };

/* --- a field under test */

struct bench {
    struct mem mem;
    struct arena a;
    struct field field;
    struct field_write w[WRITES_MAX];
    size_t count;
    struct field_verdict v;
};

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

static struct record_id record_of(void)
{
    return (struct record_id){ { 4, 2 } };
}

static int bench_setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    b->mem = (struct mem){ .resize = heap_resize, .max_bytes = 64 << 20 };
    arena_init(&b->a, &b->mem, 64 << 20);
    b->field = (struct field){ .number = 3, .name = "f", .merge = MERGE_LWW, .codes = &code_list };
    *state = b;
    return 0;
}

static int bench_teardown(void **state)
{
    struct bench *b = *state;
    arena_release(&b->a);
    bool is_clean = b->mem.used_bytes == 0;
    free(b);
    return is_clean ? 0 : 1;
}

/* One more write at the end; returns its index. It has seen the writes of `saw`, ended by -1, and nothing else. */
static size_t put(struct bench *b, uint32_t node, uint64_t seq, uint64_t hlc, struct value value, const int *saw)
{
    assert_true(b->count < WRITES_MAX);
    struct field_write *w = &b->w[b->count];
    *w = (struct field_write){ .dot = { node, 1, seq }, .hlc = hlc, .author = 10 + node, .value = value };
    for (; *saw >= 0; saw++) {
        assert_int_equal(vv_raise(&w->context, &b->a, b->w[*saw].dot), ERR_OK);
    }
    return b->count++;
}

#define SAW(...) ((const int[]){ __VA_ARGS__, -1 })
#define ALONE    ((const int[]){ -1 })

static size_t decide(struct bench *b, uint32_t node, uint64_t seq, uint64_t hlc, struct value value, const int *saw)
{
    size_t i = put(b, node, seq, hlc, value, saw);
    b->w[i].is_decision = true;
    b->w[i].reason = BYTES_LIT("电话核实");
    return i;
}

static const struct field_verdict *merge(struct bench *b)
{
    assert_int_equal(merge_field(&b->a, group, record_of(), &desc, &b->field, b->w, b->count, &b->v), ERR_OK);
    return &b->v;
}

static size_t open_count(const struct field_verdict *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->conflict_count; i++) {
        n += v->conflicts[i].is_open;
    }
    return n;
}

/* Indexes in dot order, -1 at the end. */
static void assert_list(const size_t *list, size_t count, const int *want)
{
    size_t n = 0;
    while (want[n] >= 0) {
        n++;
    }
    assert_int_equal(count, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(list[i], want[i]);
    }
}

/* --- conflicts */

static void one_write_is_shown_without_conflict(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 5, value_int(7), ALONE);
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->value.i, 7);
    assert_int_equal(v->winner, 0);
    assert_int_equal(v->conflict_count, 0);
    assert_false(v->has_open_conflict);
}

static void five_offline_edits_against_one_are_one_conflict_of_two(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1, value_int(0), ALONE);
    for (int i = 1; i <= 5; i++) {
        put(b, 2, (uint64_t)i, (uint64_t)(10 * i), value_int(i), i == 1 ? SAW(0) : SAW(0, i - 1));
    }
    put(b, 1, 2, 33, value_int(9), SAW(0));
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->conflict_count, 1);
    assert_true(v->conflicts[0].is_open);
    assert_int_equal(v->conflicts[0].grade, GRADE_CONFLICT);
    assert_list(v->conflicts[0].siblings, v->conflicts[0].sibling_count, SAW(6, 5));
    assert_int_equal(v->conflicts[0].settled_count, 0);
    assert_int_equal(v->value.i, 5);
}

static void a_clock_never_makes_or_hides_a_conflict(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1000, value_int(1), ALONE);
    put(b, 2, 1, 1, value_int(2), SAW(0)); /* saw it, with a clock far behind */
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->value.i, 2);
    assert_int_equal(v->conflict_count, 0);
    put(b, 3, 1, 9999, value_int(3), SAW(0)); /* did not see the second */
    v = merge(b);
    assert_int_equal(v->value.i, 3);
    assert_int_equal(open_count(v), 1);
    assert_list(v->conflicts[0].siblings, v->conflicts[0].sibling_count, SAW(1, 2));
}

static void a_gap_in_a_context_makes_no_sibling_of_an_ancestor(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1, value_int(1), ALONE);
    put(b, 2, 1, 2, value_int(2), SAW(0));
    put(b, 3, 1, 3, value_int(3), SAW(1)); /* could not read the first */
    assert_int_equal(merge(b)->conflict_count, 0);
    put(b, 3, 2, 4, value_int(4), SAW(0, 2)); /* now holds the first and the third, not the second */
    assert_int_equal(merge(b)->conflict_count, 0);
    assert_int_equal(b->v.value.i, 4);
}

static void equal_values_are_agreed_and_wait_for_nobody(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1, value_int(4), ALONE);
    put(b, 2, 1, 2, value_int(4), ALONE);
    const struct field_verdict *v = merge(b);
    assert_false(v->has_open_conflict);
    assert_int_equal(v->conflict_count, 1);
    assert_int_equal(v->conflicts[0].grade, GRADE_AGREED);
    assert_false(v->conflicts[0].is_open);
    put(b, 1, 2, 3, value_int(5), SAW(0, 1));
    v = merge(b);
    assert_int_equal(v->conflict_count, 1);
    assert_int_equal(v->conflicts[0].grade, GRADE_AGREED);
    assert_list(v->conflicts[0].settled_by, v->conflicts[0].settled_count, SAW(2));
}

static void a_decision_closes_the_conflict_it_saw_under_the_same_id(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1, value_int(1), ALONE);
    put(b, 2, 1, 2, value_int(2), ALONE);
    uint8_t id[CONFLICT_ID_BYTES];
    memcpy(id, merge(b)->conflicts[0].id, sizeof(id));
    decide(b, 1, 2, 3, value_int(1), SAW(0, 1));
    const struct field_verdict *v = merge(b);
    assert_false(v->has_open_conflict);
    assert_int_equal(v->value.i, 1);
    assert_int_equal(v->winner, 2);
    assert_int_equal(v->conflict_count, 1);
    assert_memory_equal(v->conflicts[0].id, id, sizeof(id));
    assert_int_equal(v->conflicts[0].winner, 1);
    assert_list(v->conflicts[0].settled_by, v->conflicts[0].settled_count, SAW(2));
}

static void an_edit_the_decision_had_not_seen_opens_a_new_conflict(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1, value_int(1), ALONE);
    put(b, 2, 1, 2, value_int(2), ALONE);
    decide(b, 1, 2, 3, value_int(1), SAW(0, 1));
    put(b, 2, 2, 4, value_int(5), SAW(1));
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->conflict_count, 2);
    assert_true(v->conflicts[0].is_open);
    assert_list(v->conflicts[0].siblings, v->conflicts[0].sibling_count, SAW(2, 3));
    assert_list(v->conflicts[1].siblings, v->conflicts[1].sibling_count, SAW(0, 1));
    assert_list(v->conflicts[1].settled_by, v->conflicts[1].settled_count, SAW(2));
}

static void equal_decisions_on_two_nodes_are_one_settled_conflict(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1, value_int(1), ALONE);
    put(b, 2, 1, 2, value_int(2), ALONE);
    decide(b, 1, 2, 3, value_int(2), SAW(0, 1));
    decide(b, 2, 2, 4, value_int(2), SAW(0, 1));
    const struct field_verdict *v = merge(b);
    assert_false(v->has_open_conflict);
    assert_int_equal(v->conflict_count, 2); /* the present agreement, and the past conflict once */
    assert_int_equal(v->conflicts[0].grade, GRADE_AGREED);
    assert_int_equal(v->conflicts[1].grade, GRADE_CONFLICT);
    assert_list(v->conflicts[1].settled_by, v->conflicts[1].settled_count, SAW(2, 3));
}

static void different_decisions_are_a_conflict_and_a_later_one_ends_it(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1, value_int(1), ALONE);
    put(b, 2, 1, 2, value_int(2), ALONE);
    decide(b, 1, 2, 3, value_int(1), SAW(0, 1));
    decide(b, 2, 2, 4, value_int(2), SAW(0, 1));
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->conflict_count, 2);
    assert_true(v->conflicts[0].is_open);
    assert_list(v->conflicts[0].siblings, v->conflicts[0].sibling_count, SAW(2, 3));
    decide(b, 3, 1, 5, value_int(8), SAW(0, 1, 2, 3));
    v = merge(b);
    assert_int_equal(open_count(v), 0);
    assert_int_equal(v->conflict_count, 2);
    assert_int_equal(v->value.i, 8);
    decide(b, 1, 3, 6, value_int(9), SAW(0, 1, 2, 3, 4)); /* supersedes a decision: no conflict at all */
    v = merge(b);
    assert_int_equal(v->conflict_count, 2);
    assert_int_equal(v->value.i, 9);
    assert_true(memcmp(v->conflicts[0].id, v->conflicts[1].id, CONFLICT_ID_BYTES) < 0);
}

static void the_id_names_record_entity_field_and_group(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1, value_int(1), ALONE);
    put(b, 2, 1, 2, value_int(2), ALONE);
    uint8_t id[5][CONFLICT_ID_BYTES];
    const uint8_t other_group[16] = { 2 };
    const struct entity_desc other_desc = { .entity = ENTITY_VEHICLE, .name = "vehicle" };
    struct field other_field = b->field;
    other_field.number = 4;
    const struct record_id other_record = { { 4, 3 } };
    const struct {
        const uint8_t *group;
        struct record_id record;
        const struct entity_desc *desc;
        const struct field *field;
    } at[5] = { { group, record_of(), &desc, &b->field }, { other_group, record_of(), &desc, &b->field },
        { group, other_record, &desc, &b->field }, { group, record_of(), &other_desc, &b->field },
        { group, record_of(), &desc, &other_field } };
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(
            merge_field(&b->a, at[i].group, at[i].record, at[i].desc, at[i].field, b->w, 2, &b->v), ERR_OK);
        memcpy(id[i], b->v.conflicts[0].id, CONFLICT_ID_BYTES);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(id[i], id[j], CONFLICT_ID_BYTES);
        }
    }
}

/* --- rules */

/* Two concurrent writes: which wins, and does a person have to look? */
static void assert_rule(
    struct bench *b, enum merge_rule rule, struct value x, struct value y, size_t winner, bool person)
{
    b->field.merge = rule;
    b->count = 0;
    put(b, 1, 1, 20, x, ALONE);
    put(b, 2, 1, 10, y, ALONE);
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->winner, winner);
    assert_int_equal(v->has_open_conflict, person);
    assert_int_equal(merge_winner(&b->field, b->w, b->count), winner);
    assert_int_equal(merge_needs_person(&b->field, b->w, b->count), person);
}

static void rules_choose_as_the_catalogue_says(void **state)
{
    struct bench *b = *state;
    const struct value one = value_int(1);
    const struct value two = value_int(2);
    assert_rule(b, MERGE_LWW, one, two, 0, true);
    assert_rule(b, MERGE_MAX, one, two, 1, false);
    assert_rule(b, MERGE_MIN, one, two, 0, false);
    assert_rule(b, MERGE_EVENT, one, two, 0, false);
    assert_rule(b, MERGE_MANUAL, one, two, 1, true);
    assert_rule(b, MERGE_FIXED, one, two, 1, true);
    assert_rule(b, MERGE_STATE, one, two, 1, false); /* rank 10, 30 */
    assert_rule(b, MERGE_STATE, value_int(3), value_int(4), 0, true); /* equal rank: the clock, and a person */
    assert_rule(b, MERGE_STATE, value_int(2), value_int(77), 0, true); /* a state of a newer version has no rank */
    assert_rule(b, MERGE_STATE, VALUE_NONE, two, 1, true);
    assert_rule(b, MERGE_LWW, VALUE_NONE, two, 0, true); /* taking a value away is a write like any other */
    assert_rule(b, MERGE_LWW, two, two, 0, false);
    assert_rule(b, MERGE_MANUAL, two, two, 1, false);
}

static void equal_clocks_fall_back_to_the_dot(void **state)
{
    struct bench *b = *state;
    put(b, 2, 1, 10, value_int(1), ALONE);
    put(b, 1, 9, 10, value_int(2), ALONE);
    assert_int_equal(merge(b)->winner, 0);
    b->field.merge = MERGE_MANUAL;
    assert_int_equal(merge(b)->winner, 1);
}

static void the_owner_wins_whatever_the_clock_and_equals_need_a_person(void **state)
{
    struct bench *b = *state;
    b->field.merge = MERGE_OWNER;
    put(b, 1, 1, 10, value_int(1), ALONE);
    put(b, 2, 1, 20, value_int(2), ALONE);
    put(b, 3, 1, 30, value_int(3), ALONE);
    b->w[0].standing = 2;
    b->w[1].standing = 1;
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->winner, 0);
    assert_false(v->has_open_conflict);
    assert_int_equal(v->conflict_count, 1); /* settled by the rule, kept to be seen */
    assert_int_equal(v->conflicts[0].sibling_count, 3);
    b->w[2].standing = 2;
    v = merge(b);
    assert_int_equal(v->winner, 2);
    assert_true(v->has_open_conflict);
    b->w[2].value = value_int(1);
    assert_false(merge(b)->has_open_conflict); /* the owners agree */
}

static void a_later_write_may_lower_a_maximum(void **state)
{
    struct bench *b = *state;
    b->field.merge = MERGE_MAX;
    put(b, 1, 1, 1, value_int(45210), ALONE);
    put(b, 2, 1, 2, value_int(12000), SAW(0));
    assert_int_equal(merge(b)->value.i, 12000);
    assert_int_equal(b->v.conflict_count, 0);
}

static void a_set_is_the_union_of_every_write_and_never_a_conflict(void **state)
{
    struct bench *b = *state;
    b->field.merge = MERGE_SET;
    const struct value ab = { .type = VALUE_SET, .s = BYTES_LIT("\1a\1b") };
    const struct value c = { .type = VALUE_SET, .s = BYTES_LIT("\1c") };
    put(b, 1, 1, 1, ab, ALONE);
    put(b, 1, 2, 2, c, SAW(0)); /* a later write without a and b takes nothing away */
    put(b, 2, 1, 3, VALUE_NONE, ALONE);
    put(b, 3, 1, 3, value_int(5), ALONE); /* not a set: adds nothing */
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->conflict_count, 0);
    assert_int_equal(v->value.type, VALUE_SET);
    assert_true(bytes_equal(v->value.s, BYTES_LIT("\1a\1b\1c")));
}

/* 40 sets of 2 KiB do not fit 64 KiB: the union stays full and lawful, whatever the order. */
static void a_set_over_its_limit_leaves_the_same_writes_out_everywhere(void **state)
{
    struct bench *b = *state;
    static uint8_t bytes[40][2050];
    struct value first = VALUE_NONE;
    b->field.merge = MERGE_SET;
    for (int round = 0; round < 2; round++) {
        b->count = 0;
        for (uint32_t i = 0; i < 40; i++) {
            uint32_t n = round == 0 ? i : 39 - i;
            memset(bytes[n], (int)('0' + n), sizeof(bytes[n]));
            bytes[n][0] = 0x80; /* varint 2048 */
            bytes[n][1] = 0x10;
            put(b, n + 1, 1, 1, (struct value){ .type = VALUE_SET, .s = BYTES_OF(bytes[n]) }, ALONE);
        }
        struct value v = merge(b)->value;
        assert_int_equal(v.s.len, 31 * 2050);
        assert_true(round == 0 || value_equal(v, first));
        first = v;
    }
}

static void a_fixed_value_stays_and_late_writes_are_kept_beside_it(void **state)
{
    struct bench *b = *state;
    b->field.merge = MERGE_FIXED;
    put(b, 1, 1, 50, value_int(1), ALONE);
    put(b, 2, 1, 10, value_int(2), SAW(0)); /* had seen it: ignored, even with an earlier clock */
    put(b, 3, 1, 60, value_int(1), SAW(0)); /* writes the same again */
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->winner, 0);
    assert_false(v->has_open_conflict);
    assert_int_equal(v->conflict_count, 2);
    for (size_t i = 0; i < 2; i++) {
        bool is_second = v->conflicts[i].siblings[1] == 1;
        assert_int_equal(v->conflicts[i].sibling_count, 2);
        assert_int_equal(v->conflicts[i].winner, 0);
        assert_int_equal(v->conflicts[i].settled_count, 0);
        assert_int_equal(v->conflicts[i].grade, is_second ? GRADE_CONFLICT : GRADE_AGREED);
    }
}

static void a_decision_settles_two_fixed_values(void **state)
{
    struct bench *b = *state;
    b->field.merge = MERGE_FIXED;
    put(b, 1, 1, 10, value_int(1), ALONE);
    put(b, 2, 1, 20, value_int(2), ALONE);
    assert_true(merge(b)->has_open_conflict);
    decide(b, 1, 2, 30, value_int(2), SAW(0, 1));
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->winner, 2);
    assert_false(v->has_open_conflict);
    assert_int_equal(v->conflict_count, 1);
    assert_list(v->conflicts[0].settled_by, v->conflicts[0].settled_count, SAW(2));
}

static void every_rule_is_total_over_every_kind_of_value(void **state)
{
    struct bench *b = *state;
    static const uint8_t id[16] = { 3 };
    const struct value kinds[] = { VALUE_NONE, value_int(INT64_MIN), value_int(INT64_MAX), value_text(BYTES_LIT("字")),
        value_text((struct bytes){ 0 }), { .type = VALUE_ID, .s = BYTES_OF(id) },
        { .type = VALUE_SET, .s = BYTES_LIT("\1a") }, { .type = VALUE_SET } };
    for (int rule = 0; rule < MERGE_DERIVED; rule++) {
        b->field.merge = (enum merge_rule)rule;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            for (size_t j = 0; j < ARRAY_LEN(kinds); j++) {
                b->count = 0;
                put(b, 1, 1, 1, kinds[i], ALONE);
                put(b, 2, 1, 1, kinds[j], ALONE);
                const struct field_verdict *v = merge(b);
                assert_true(v->winner < 2);
                assert_true(rule == MERGE_SET || i == j || v->conflict_count == 1);
            }
        }
        arena_reset(&b->a);
    }
}

static jmp_buf refused;

static void refuse(const char *expr, const char *file, int line)
{
    (void)expr;
    (void)file;
    (void)line;
    longjmp(refused, 1);
}

static void a_derived_field_is_a_bug_of_the_caller(void **state)
{
    struct bench *b = *state;
    b->field.merge = MERGE_DERIVED;
    put(b, 1, 1, 1, value_int(1), ALONE);
    check_set_hook(refuse);
    bool is_refused = setjmp(refused) != 0;
    if (!is_refused) {
        (void)merge_winner(&b->field, b->w, 1);
    }
    check_set_hook(NULL);
    assert_true(is_refused);
}

/* --- hostile and large input */

static void contexts_in_a_circle_still_give_a_verdict(void **state)
{
    struct bench *b = *state;
    put(b, 1, 1, 1, value_int(1), ALONE);
    put(b, 2, 1, 2, value_int(2), SAW(0));
    put(b, 3, 1, 3, value_int(3), SAW(1));
    assert_int_equal(vv_raise(&b->w[0].context, &b->a, b->w[2].dot), ERR_OK);
    for (int rule = 0; rule < MERGE_DERIVED; rule++) {
        b->field.merge = (enum merge_rule)rule;
        (void)merge(b);
    }
    b->field.merge = MERGE_LWW;
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->winner, 2);
    assert_true(v->has_open_conflict);
    assert_int_equal(v->conflicts[0].sibling_count, 3);
}

static void a_context_that_names_its_own_commit_hides_nothing(void **state)
{
    struct bench *b = *state;
    put(b, 1, 4, 1, value_int(1), ALONE);
    put(b, 1, 5, 2, value_int(2), SAW(0));
    assert_int_equal(vv_raise(&b->w[0].context, &b->a, (struct dot){ 1, 1, 900 }), ERR_OK);
    assert_int_equal(vv_raise(&b->w[1].context, &b->a, (struct dot){ 1, 1, 5 }), ERR_OK);
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->winner, 1);
    assert_int_equal(v->conflict_count, 0);
}

/* The later write of one origin does not name the earlier: both stand, and what the earlier had seen stays superseded.
 */
static void a_write_that_forgets_its_own_past_brings_nothing_back(void **state)
{
    struct bench *b = *state;
    put(b, 2, 1, 1, value_int(1), ALONE);
    put(b, 1, 1, 2, value_int(2), SAW(0));
    put(b, 1, 2, 3, value_int(3), ALONE);
    const struct field_verdict *v = merge(b);
    assert_int_equal(v->conflict_count, 1);
    assert_list(v->conflicts[0].siblings, v->conflicts[0].sibling_count, SAW(1, 2));
}

static void more_siblings_than_a_list_holds_are_counted_and_the_winner_stays(void **state)
{
    struct bench *b = *state;
    uint8_t id[CONFLICT_ID_BYTES];
    b->field.merge = MERGE_MANUAL; /* the winner is the oldest: the first to fall off a list of the newest */
    for (uint32_t i = 0; i < 400; i++) {
        put(b, i + 1, 1, 1000 + i, value_int(i), ALONE);
    }
    const struct field_verdict *v = merge(b);
    const struct conflict *c = &v->conflicts[0];
    memcpy(id, c->id, sizeof(id));
    assert_int_equal(v->winner, 0);
    assert_true(v->has_open_conflict);
    assert_int_equal(c->sibling_total, 400);
    assert_int_equal(c->sibling_count, CONFLICT_SIBLINGS_MAX);
    assert_int_equal(c->siblings[0], 0);
    assert_int_equal(c->siblings[1], 400 - CONFLICT_SIBLINGS_MAX + 1);
    b->count--;
    assert_memory_not_equal(merge(b)->conflicts[0].id, id, sizeof(id)); /* the id stands for all of them */
}

/* --- stored entries */

static struct conflict_entry entry_of(struct bench *b, size_t i)
{
    struct conflict_entry entry;
    assert_int_equal(conflict_entry_from_verdict(&b->a, record_of(), &desc, &b->field, b->w, &b->v, i, &entry), ERR_OK);
    return entry;
}

static void the_largest_entry_fits_the_store_and_comes_back(void **state)
{
    struct bench *b = *state;
    static uint8_t text[VALUE_MAX_BYTES];
    static uint8_t reason[REASON_MAX_BYTES];
    memset(text, 'x', sizeof(text));
    memset(reason, 'y', sizeof(reason));
    struct vv all = { 0 };
    for (uint32_t i = 0; i < 560; i++) {
        bool is_second = i >= 280;
        size_t w = decide(b, UINT32_MAX - i, UINT64_MAX, UINT64_MAX - i, value_text(BYTES_OF(text)), ALONE);
        b->w[w].dot.epoch = UINT32_MAX;
        b->w[w].author = UINT32_MAX;
        b->w[w].reason = BYTES_OF(reason);
        text[0] = 'z';
        if (!is_second) {
            assert_int_equal(vv_raise(&all, &b->a, b->w[w].dot), ERR_OK);
        } else {
            b->w[w].context = all;
        }
    }
    merge(b);
    assert_int_equal(b->v.conflict_count, 2);
    struct conflict_entry entry = entry_of(b, 1);
    struct buf bytes;
    buf_init(&bytes, &b->mem, CONFLICT_ENTRY_MAX_BYTES);
    conflict_put(&bytes, &entry);
    assert_int_equal(bytes.err, ERR_OK);
    struct conflict_entry back;
    assert_int_equal(conflict_take(buf_view(&bytes), &b->a, &back), ERR_OK);
    assert_int_equal(back.siblings.total, 280);
    assert_int_equal(back.settled_by.total, 280);
    assert_true(back.siblings.count > 80 && back.siblings.count < 90);
    buf_release(&bytes);
}

static struct bytes small_entry(struct bench *b, struct buf *bytes)
{
    put(b, 1, 1, 1, value_int(1), ALONE);
    put(b, 2, 1, 2, VALUE_NONE, ALONE);
    decide(b, 1, 2, 3, value_text(BYTES_LIT("值")), SAW(0, 1));
    merge(b);
    struct conflict_entry entry = entry_of(b, 0);
    buf_init(bytes, &b->mem, 4096);
    conflict_put(bytes, &entry);
    assert_int_equal(bytes->err, ERR_OK);
    return buf_view(bytes);
}

static void an_entry_holds_what_a_person_is_shown(void **state)
{
    struct bench *b = *state;
    struct buf bytes;
    struct conflict_entry e;
    assert_int_equal(conflict_take(small_entry(b, &bytes), &b->a, &e), ERR_OK);
    assert_memory_equal(e.id, b->v.conflicts[0].id, sizeof(e.id));
    assert_int_equal(record_id_compare(e.record, record_of()), 0);
    assert_int_equal(e.entity, ENTITY_CUSTOMER);
    assert_int_equal(e.field, 3);
    assert_int_equal(e.rule, MERGE_LWW);
    assert_false(e.is_open);
    assert_int_equal(e.grade, GRADE_CONFLICT);
    assert_int_equal(e.siblings.count, 2);
    assert_int_equal(e.winner, 1);
    assert_int_equal(e.siblings.at[0].value.i, 1);
    assert_int_equal(e.siblings.at[1].value.type, VALUE_NULL);
    assert_int_equal(e.siblings.at[1].author, 12);
    assert_int_equal(e.settled_by.count, 1);
    assert_true(dot_equal(e.settled_by.at[0].dot, (struct dot){ 1, 1, 2 }));
    assert_int_equal(e.settled_by.at[0].hlc, 3);
    assert_true(e.settled_by.at[0].is_decision);
    assert_true(bytes_equal(e.settled_by.at[0].reason, BYTES_LIT("电话核实")));
    assert_true(bytes_equal(e.settled_by.at[0].value.s, BYTES_LIT("值")));
    buf_release(&bytes);
}

/* Cut at every length and changed at every byte: refused, or decoded to something that encodes to the same bytes. */
static void damaged_entries_are_refused_or_canonical(void **state)
{
    struct bench *b = *state;
    struct buf bytes;
    struct buf again;
    struct conflict_entry e;
    small_entry(b, &bytes);
    buf_init(&again, &b->mem, 8192);
    for (size_t n = 0; n < bytes.len; n++) {
        assert_int_not_equal(conflict_take(bytes_of(bytes.ptr, n), &b->a, &e), ERR_OK);
    }
    for (size_t i = 0; i < bytes.len * 256; i++) {
        uint8_t keep = bytes.ptr[i / 256];
        bytes.ptr[i / 256] = (uint8_t)i;
        if (conflict_take(buf_view(&bytes), &b->a, &e) == ERR_OK) {
            buf_clear(&again);
            conflict_put(&again, &e);
            assert_true(bytes_equal(buf_view(&again), buf_view(&bytes)));
        }
        bytes.ptr[i / 256] = keep;
    }
    buf_put_u8(&bytes, 0);
    assert_int_equal(conflict_take(buf_view(&bytes), &b->a, &e), ERR_FORMAT);
    buf_release(&again);
    buf_release(&bytes);
}

enum { AT_FLAGS = 1 + 16 + 16 + 2, AT_RULE, AT_WINNER, AT_TOTAL, AT_COUNT };

static void entries_that_no_verdict_gives_are_refused(void **state)
{
    struct bench *b = *state;
    struct buf bytes;
    struct conflict_entry e;
    small_entry(b, &bytes);
    const struct {
        size_t at;
        uint8_t byte;
        enum err err;
    } bad[] = {
        { 0, 2, ERR_VERSION }, { AT_FLAGS, 1, ERR_FORMAT }, /* open without a difference */
        { AT_FLAGS, 3, ERR_FORMAT }, /* open and settled */
        { AT_FLAGS, 4, ERR_FORMAT }, /* unknown flag */
        { AT_RULE, MERGE_DERIVED, ERR_FORMAT }, { AT_RULE, MERGE_SET, ERR_FORMAT },
        { AT_WINNER, 2, ERR_FORMAT }, /* outside the list */
        { AT_TOTAL, 1, ERR_FORMAT }, /* fewer than listed */
        { AT_COUNT, 0, ERR_FORMAT }, { AT_COUNT + 1, 2, ERR_FORMAT }, /* siblings not in dot order */
        { AT_COUNT + 3, 0, ERR_FORMAT }, /* seq 0 */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint8_t keep = bytes.ptr[bad[i].at];
        bytes.ptr[bad[i].at] = bad[i].byte;
        assert_int_equal(conflict_take(buf_view(&bytes), &b->a, &e), bad[i].err);
        bytes.ptr[bad[i].at] = keep;
    }
    assert_int_equal(conflict_take(buf_view(&bytes), &b->a, &e), ERR_OK);
    buf_release(&bytes);
}

/* --- memory */

static void too_little_memory_is_an_error_and_writes_nothing(void **state)
{
    struct bench *b = *state;
    struct arena tight;
    put(b, 1, 1, 1, value_text(BYTES_LIT("abc")), ALONE);
    put(b, 2, 1, 2, value_int(2), ALONE);
    decide(b, 3, 1, 3, value_int(3), SAW(0, 1));
    put(b, 4, 1, 3, value_int(4), ALONE);
    size_t refused_count = 0;
    enum err e = ERR_NOMEM;
    for (size_t budget = 0; e == ERR_NOMEM; budget += 8) {
        struct field_verdict v = { .winner = 77 };
        arena_init(&tight, &b->mem, budget);
        e = merge_field(&tight, group, record_of(), &desc, &b->field, b->w, b->count, &v);
        assert_int_equal(v.winner == 77, e != ERR_OK);
        refused_count += e != ERR_OK;
        arena_release(&tight);
    }
    assert_int_equal(e, ERR_OK);
    assert_true(refused_count > 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_write_is_shown_without_conflict),
        TEST(five_offline_edits_against_one_are_one_conflict_of_two),
        TEST(a_clock_never_makes_or_hides_a_conflict),
        TEST(a_gap_in_a_context_makes_no_sibling_of_an_ancestor),
        TEST(equal_values_are_agreed_and_wait_for_nobody),
        TEST(a_decision_closes_the_conflict_it_saw_under_the_same_id),
        TEST(an_edit_the_decision_had_not_seen_opens_a_new_conflict),
        TEST(equal_decisions_on_two_nodes_are_one_settled_conflict),
        TEST(different_decisions_are_a_conflict_and_a_later_one_ends_it),
        TEST(the_id_names_record_entity_field_and_group),
        TEST(rules_choose_as_the_catalogue_says),
        TEST(equal_clocks_fall_back_to_the_dot),
        TEST(the_owner_wins_whatever_the_clock_and_equals_need_a_person),
        TEST(a_later_write_may_lower_a_maximum),
        TEST(a_set_is_the_union_of_every_write_and_never_a_conflict),
        TEST(a_set_over_its_limit_leaves_the_same_writes_out_everywhere),
        TEST(a_fixed_value_stays_and_late_writes_are_kept_beside_it),
        TEST(a_decision_settles_two_fixed_values),
        TEST(every_rule_is_total_over_every_kind_of_value),
        TEST(a_derived_field_is_a_bug_of_the_caller),
        TEST(contexts_in_a_circle_still_give_a_verdict),
        TEST(a_context_that_names_its_own_commit_hides_nothing),
        TEST(a_write_that_forgets_its_own_past_brings_nothing_back),
        TEST(more_siblings_than_a_list_holds_are_counted_and_the_winner_stays),
        TEST(the_largest_entry_fits_the_store_and_comes_back),
        TEST(an_entry_holds_what_a_person_is_shown),
        TEST(damaged_entries_are_refused_or_canonical),
        TEST(entries_that_no_verdict_gives_are_refused),
        TEST(too_little_memory_is_an_error_and_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
