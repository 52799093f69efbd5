/* What follows from several records: consent, tasks, classes, grades, follow-ups. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/lib/two_nodes.h"

#include "node/derive.h"

#include <stdlib.h>

static void consent_opens_and_closes_sensitive_fields(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    expect(1, ask(s1, "wang", "new",
                  json_pack("{sss{ssss}}", "entity", "customer_profile", "fields", "customer", id, "income_band",
                      "10-20万")));
    (void)make(s1, "wang", "consent",
        json_pack(
            "{ssssssss}", "customer", id, "purpose", "敏感信息", "action", "grant", "given_at", "2026-01-05T10:00"));
    const char *profile =
        make(s1, "wang", "customer_profile", json_pack("{ssss}", "customer", id, "income_band", "10-20万"));
    json_t *record = want(s1, "wang", "get", json_pack("{ssss}", "id", profile, "purpose", "P1"));
    expect_cell(record, "income_band", "10-20万", "clear");
    json_decref(record);
    (void)make(s1, "wang", "consent",
        json_pack(
            "{ssssssss}", "customer", id, "purpose", "敏感信息", "action", "withdraw", "given_at", "2026-01-06T10:00"));
    json_t *reply = get(s1, "wang", profile, "P1");
    assert_false(says(reply, "10-20万"));
    json_decref(reply);
    expect(1, ask(s1, "wang", "set", set1(profile, "income_band", "20-50万")));
    /* a withdrawal of marketing is the customer's do-not-contact */
    (void)make(
        s1, "wang", "consent", json_pack("{ssssss}", "customer", id, "purpose", "营销短信", "action", "withdraw"));
    record = want(s1, "wang", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    expect_cell(record, "do_not_contact", "1", "clear");
    json_decref(record);
}

static void a_task_opens_a_customer_to_whom_it_was_given(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    (void)make(s1, "wang", "contact_point", json_pack("{ssss}", "customer", id, "value", "13933334444"));
    json_t *found = want(s1, "hui", "find", find1("contact_point", "customer", id, "P5"));
    expect_cell(json_array_get(found, 0), "value_norm", "139****4444", "masked");
    json_decref(found);
    /* giving oneself a task opens nothing */
    (void)make(s1, "hui", "followup_task",
        json_pack("{ssssssss}", "customer", id, "kind", "交车后回访", "due_at", "2030-01-01", "owner", "hui"));
    found = want(s1, "hui", "find", find1("contact_point", "customer", id, "P5"));
    expect_cell(json_array_get(found, 0), "value_norm", "139****4444", "masked");
    json_decref(found);
    const char *task = make(s1, "wang", "followup_task",
        json_pack("{ssssssss}", "customer", id, "kind", "交车后回访", "due_at", "2030-01-01", "owner", "hui"));
    found = want(s1, "hui", "find", find1("contact_point", "customer", id, "P5"));
    expect_cell(json_array_get(found, 0), "value_norm", "13933334444", "clear");
    json_decref(found);
    expect(0, ask(s1, "wang", "set", set1(task, "cancelled", "1")));
    found = want(s1, "hui", "find", find1("contact_point", "customer", id, "P5"));
    expect_cell(json_array_get(found, 0), "value_norm", "139****4444", "masked");
    json_decref(found);
}

static void classes_follow_from_events(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    json_t *found =
        want(s1, "zhao", "find", json_pack("{sss{ss}}", "entity", "customer_class", "where", "customer", id));
    assert_int_equal(json_array_size(found), 1);
    expect_cell(json_array_get(found, 0), "level1", "潜在", "clear");
    json_decref(found);
    expect(
        1, ask(s1, "wang", "new",
               json_pack("{sss{ssss}}", "entity", "customer_class", "fields", "customer", id, "vip_flag", "granted")));
    (void)make(s1, "zhao", "customer_class",
        json_pack("{ssssss}", "customer", id, "vip_flag", "granted", "at", "2026-01-05T10:00"));
    const char *car = make(s1, "wang", "opportunity", json_pack("{ss}", "customer", id));
    (void)make(s1, "wang", "grade_event", json_pack("{ssssss}", "customer", id, "opportunity", car, "to_grade", "A"));
    found = want(s1, "zhao", "find", json_pack("{sss{ss}}", "entity", "customer_class", "where", "customer", id));
    assert_int_equal(json_array_size(found), 2);
    expect_cell(json_array_get(found, 0), "level1", "VIP", "clear");
    expect_cell(json_array_get(found, 0), "level2", "意向", "clear");
    assert_null(cell(json_array_get(found, 1), "level1"));
    json_decref(found);
    json_t *record = want(s1, "wang", "get", json_pack("{ssss}", "id", car, "purpose", "P1"));
    expect_cell(record, "grade", "A", "clear");
    json_decref(record);
    /* an opportunity of another customer is none of this one */
    const char *other = new_customer(s1, "wang", "李四");
    expect(1, ask(s1, "wang", "new",
                  json_pack("{sss{ssssss}}", "entity", "grade_event", "fields", "customer", other, "opportunity", car,
                      "to_grade", "A")));
}

static const char *due_of(const json_t *found, const char *id)
{
    for (size_t i = 0; i < json_array_size(found); i++) {
        if (strcmp(text_in(json_array_get(found, i), "id"), id) == 0) {
            return text_in(cell(json_array_get(found, i), "due_at"), "value");
        }
    }
    return "";
}

static void follow_ups_come_due_by_grade(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    const char *car = make(s1, "wang", "opportunity", json_pack("{ss}", "customer", id));
    (void)make(s1, "wang", "grade_event",
        json_pack("{ssssssss}", "customer", id, "opportunity", car, "to_grade", "H", "at", "2026-03-07T23:30"));
    const char *query = "{sss{ss}ss}";
    json_t *found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, car), "2026-03-09"); /* the day at the station, not in UTC */
    json_decref(found);
    /* an attempt is no contact */
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "no_answer", "at", "2026-03-09T10:00"));
    found = want(
        s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "2026-03-09", "purpose", "P1"));
    assert_string_equal(due_of(found, car), "2026-03-09");
    expect_cell(json_array_get(found, 0), "grade", "H", "clear");
    expect_cell(json_array_get(found, 0), "state", "overdue", "clear");
    json_decref(found);
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "reached", "at", "2026-03-10T10:00"));
    found = want(
        s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "overdue", "purpose", "P1"));
    assert_string_equal(due_of(found, car), "2026-03-12");
    for (size_t i = 1; i < json_array_size(found); i++) {
        const char *before = text_in(cell(json_array_get(found, i - 1), "due_at"), "value");
        assert_true(strcmp(before, text_in(cell(json_array_get(found, i), "due_at"), "value")) <= 0);
    }
    json_decref(found);
    found =
        want(s1, "chen", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, car), ""); /* a colleague's */
    json_decref(found);
    /* closed: nothing is due */
    expect(0, ask(s1, "zhao", "set", set1(car, "result", "defeated")));
    found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, car), "");
    json_decref(found);
}

/* The due date of one opportunity as if today were another day; 0 when none. */
static int64_t due_on(const char *id, int64_t today)
{
    struct record_id record;
    struct row row = { .is_deleted = false };
    struct due_task task = { .due = 0 };
    bool has = false;
    const struct deriver dv = { .app = s1, .a = &s1->arena, .today = today };
    need(record_id_parse(bytes_str(strchr(id, '/') + 1), &record), NULL);
    need(s1->store->ops->row_get(s1->store, ENTITY_OPPORTUNITY, record, &s1->arena, &row), NULL);
    need(derive_due(&dv, &row, &task, &has), NULL);
    arena_reset(&s1->arena);
    return has ? task.due : 0;
}

static void a_correction_replaces_what_it_names(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    const char *car = make(s1, "wang", "opportunity", json_pack("{ss}", "customer", id));
    assert_int_equal(due_on(car, 20260307), 0); /* no grade yet */
    const char *wrong = make(s1, "wang", "grade_event",
        json_pack("{ssssssss}", "customer", id, "opportunity", car, "to_grade", "B", "at", "2026-03-08T09:00"));
    assert_int_equal(due_on(car, 20260307), 20260323);
    (void)make(s1, "wang", "grade_event",
        json_pack("{ssssssssss}", "customer", id, "opportunity", car, "to_grade", "H", "at", "2026-03-07T09:00",
            "corrects", wrong));
    assert_int_equal(due_on(car, 20260307), 20260309);
}

static void grade_b_wants_two_contacts_a_month(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    const char *car = make(s1, "wang", "opportunity", json_pack("{ss}", "customer", id));
    (void)make(s1, "wang", "grade_event",
        json_pack("{ssssssss}", "customer", id, "opportunity", car, "to_grade", "B", "at", "2026-02-10T09:00"));
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "reached", "at", "2026-03-20T09:00"));
    assert_int_equal(due_on(car, 20260321), 20260331); /* one contact in March: the other by its last day */
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "reached", "at", "2026-03-22T09:00"));
    assert_int_equal(due_on(car, 20260323), 20260406);
}

static void a_vip_is_called_every_month(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    (void)make(s1, "zhao", "customer_class",
        json_pack("{ssssss}", "customer", id, "vip_flag", "granted", "at", "2026-01-05T10:00"));
    const char *query = "{sss{ss}ss}";
    json_t *found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, id), "2026-01-31");
    json_decref(found);
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "reached", "at", "2026-01-20T10:00"));
    found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, id), "2026-02-28");
    json_decref(found);
    (void)make(s1, "zhao", "customer_class", json_pack("{ssss}", "customer", id, "vip_flag", "removed"));
    found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, id), "");
    json_decref(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consent_opens_and_closes_sensitive_fields),
        cmocka_unit_test(a_task_opens_a_customer_to_whom_it_was_given),
        cmocka_unit_test(classes_follow_from_events),
        cmocka_unit_test(follow_ups_come_due_by_grade),
        cmocka_unit_test(a_correction_replaces_what_it_names),
        cmocka_unit_test(grade_b_wants_two_contacts_a_month),
        cmocka_unit_test(a_vip_is_called_every_month),
    };
    return cmocka_run_group_tests(tests, two_nodes_found, two_nodes_leave);
}
