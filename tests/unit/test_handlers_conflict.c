/* The conflict log as people see it: both values, who may settle, why, and who may not know. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/lib/two_nodes.h"

/* wang's customer, edited on both nodes at once; returns its id. */
static const char *contested(void)
{
    const char *id = new_customer(s1, "wang", "王小明");
    carry(s1, s2);
    expect(0, ask(s2, "wang", "set", set1(id, "occupation", "教师")));
    expect(0, ask(s1, "zhao", "set", set1(id, "occupation", "医生")));
    expect(0, ask(s1, "zhao", "set", set1(id, "industry", "医疗")));
    carry(s1, s2);
    carry(s2, s1);
    return id;
}

static json_t *conflict_of(struct app *app, const char *user, const char *id, bool open)
{
    json_t *list = want(app, user, "conflicts", json_pack("{sb}", "open", open));
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(text_in(json_array_get(list, i), "record"), id) == 0) {
            found = json_incref(json_array_get(list, i));
        }
    }
    json_decref(list);
    return found;
}

static void a_conflict_shows_both_values_and_is_settled(void **state)
{
    (void)state;
    const char *id = contested();
    json_t *c = conflict_of(s1, "zhao", id, true);
    json_t *winner = json_object_get(c, "winner");
    json_t *loser = json_array_get(json_object_get(c, "losers"), 0);
    assert_string_equal(text_in(c, "field"), "occupation");
    assert_string_equal(text_in(c, "rule"), "lww");
    assert_int_equal(json_array_size(json_object_get(c, "losers")), 1);
    assert_true(says(winner, "教师") != says(winner, "医生"));
    assert_true(says(loser, "教师") != says(loser, "医生"));
    assert_string_not_equal(text_in(winner, "value"), text_in(loser, "value"));
    json_t *record = want(s1, "wang", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    assert_true(json_is_true(json_object_get(cell(record, "occupation"), "conflict")));
    assert_null(json_object_get(cell(record, "industry"), "conflict"));
    json_decref(record);

    /* who may, and how */
    const char *cid = text_in(c, "id");
    const char *take = text_in(loser, "commit");
    expect(1, ask(s1, "wang", "decide", json_pack("{ssssss}", "conflict", cid, "take", take, "reason", "x")));
    expect(2, ask(s1, "zhao", "decide", json_pack("{ssss}", "conflict", cid, "take", take)));
    expect(2, ask(s1, "zhao", "decide", json_pack("{ssss}", "conflict", cid, "reason", "x")));
    expect(2, ask(s1, "zhao", "decide", json_pack("{ssssss}", "conflict", cid, "take", "9.9.9", "reason", "x")));
    expect(3, ask(s1, "qian", "decide", json_pack("{ssssss}", "conflict", cid, "take", take, "reason", "x")));
    expect(3, ask(s1, "zhao", "decide",
                  json_pack("{ssssss}", "conflict", "00000000000000000000000000000000", "take", take, "reason", "x")));
    expect(
        0, ask(s1, "zhao", "decide", json_pack("{ssssss}", "conflict", cid, "take", take, "reason", "客户电话确认")));
    expect(6, ask(s1, "zhao", "decide", json_pack("{ssssss}", "conflict", cid, "take", take, "reason", "x")));
    carry(s1, s2);
    assert_null(conflict_of(s2, "boss", id, true));
    record = want(s2, "wang", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    expect_cell(record, "occupation", text_in(loser, "value"), "clear");
    assert_null(json_object_get(cell(record, "occupation"), "conflict"));
    json_decref(record);

    /* settled, it stays in the log with who and why; it can be decided again on purpose */
    json_t *closed = want(s1, "zhao", "conflict", json_pack("{ss}", "id", cid));
    assert_true(says(json_object_get(closed, "decided"), "客户电话确认"));
    assert_true(json_is_false(json_object_get(closed, "open")));
    json_decref(closed);
    expect(0, ask(s1, "zhao", "decide",
                  json_pack("{sssssssb}", "conflict", cid, "value", "工程师", "reason", "更正", "reopen", 1)));
    json_decref(c);
}

static void values_of_conflicts_are_for_those_whose_rows_they_are(void **state)
{
    (void)state;
    const char *id = contested();
    json_t *c = conflict_of(s1, "zhao", id, true);
    const char *cid = text_in(c, "id");
    json_t *list = want(s1, "boss", "conflicts", json_pack("{sb}", "open", 1));
    assert_true(says(list, cid));
    assert_false(says(list, "教师"));
    assert_false(says(list, "医生"));
    assert_false(says(list, "\"value\""));
    assert_false(says(list, id));
    json_decref(list);
    list = want(s1, "chen", "conflicts", json_pack("{sb}", "open", 1)); /* sees the row masked, not this class */
    assert_true(says(list, cid));
    assert_false(says(list, "教师"));
    json_decref(list);
    list = want(s1, "qian", "conflicts", json_pack("{sb}", "open", 1)); /* another station: does not exist */
    assert_false(says(list, cid));
    json_decref(list);
    expect(1, ask(s1, "mei", "conflicts", json_object()));
    expect(3, ask(s1, "qian", "conflict", json_pack("{ss}", "id", cid)));
    expect(3, ask(s1, "zhao", "conflict", json_pack("{ss}", "id", "00000000000000000000000000000000")));
    json_decref(c);
}

static void history_tells_who_and_why_in_order(void **state)
{
    (void)state;
    const char *id = contested();
    json_t *c = conflict_of(s1, "zhao", id, true);
    expect(0, ask(s1, "zhao", "decide",
                  json_pack("{ssssss}", "conflict", text_in(c, "id"), "value", "工程师", "reason", "本人更正")));
    json_decref(c);
    json_t *lines = want(s1, "zhao", "history", json_pack("{ssss}", "id", id, "purpose", "P1"));
    size_t count = json_array_size(lines);
    json_t *last = json_array_get(lines, count - 1);
    assert_string_equal(text_in(last, "value"), "工程师");
    assert_string_equal(text_in(last, "reason"), "本人更正");
    assert_string_equal(text_in(last, "user"), "zhao");
    assert_true(json_is_true(json_object_get(last, "decision")));
    for (size_t i = 1; i < count; i++) {
        assert_true(strcmp(text_in(json_array_get(lines, i - 1), "at"), "") > 0);
    }
    assert_true(says(lines, "教师") && says(lines, "医生"));
    json_decref(lines);
    lines = want(s1, "chen", "history", json_pack("{ssss}", "id", id, "purpose", "P1"));
    assert_false(says(lines, "教师"));
    assert_false(says(lines, "本人更正"));
    assert_false(says(lines, "王小明"));
    assert_true(says(lines, "王**"));
    json_decref(lines);
}

/* Who sees a value masked does not read why it was chosen. */
static void reasons_are_as_secret_as_their_values(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    carry(s1, s2);
    expect(0, ask(s2, "wang", "set", set1(id, "full_name", "王晓明")));
    expect(0, ask(s1, "zhao", "set", set1(id, "full_name", "王小名")));
    carry(s1, s2);
    carry(s2, s1);
    json_t *c = conflict_of(s1, "zhao", id, false);
    expect(0, ask(s1, "zhao", "decide",
                  json_pack("{sssssssb}", "conflict", text_in(c, "id"), "value", "王晓茗", "reason", "身份证上是茗",
                      "reopen", 1)));
    json_t *lines = want(s1, "chen", "history", json_pack("{ssss}", "id", id, "purpose", "P1"));
    assert_true(says(lines, "\"decision\":true"));
    assert_false(says(lines, "身份证上是茗"));
    json_decref(lines);
    json_t *closed = want(s1, "chen", "conflict", json_pack("{ssss}", "id", text_in(c, "id"), "purpose", "P1"));
    assert_true(says(json_object_get(closed, "decided"), "王**"));
    assert_false(says(closed, "身份证上是茗"));
    json_decref(closed);
    json_decref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conflict_shows_both_values_and_is_settled),
        cmocka_unit_test(values_of_conflicts_are_for_those_whose_rows_they_are),
        cmocka_unit_test(history_tells_who_and_why_in_order),
        cmocka_unit_test(reasons_are_as_secret_as_their_values),
    };
    return cmocka_run_group_tests(tests, two_nodes_found, two_nodes_leave);
}
