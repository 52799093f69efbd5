/* `known`: who may ask whether a number is known, what the answer says and does not say, how often, and what is noted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/lib/two_nodes.h"

#include <stdio.h>
#include <stdlib.h>

enum { HOURLY = 60, MINUTE = 60 * 1000 };

#define CARD "440106199003078513"
#define VIN  "LSJA24U62JG269225"

static json_t *known(struct app *app, const char *user, const char *value, const char *purpose)
{
    return ask(app, user, "known", json_pack("{ssss}", "value", value, "purpose", purpose));
}

static json_t *answer(struct app *app, const char *user, const char *value, const char *purpose)
{
    return want(app, user, "known", json_pack("{ssss}", "value", value, "purpose", purpose));
}

/* The answer is exactly this JSON. */
static void expect_answer(struct app *app, const char *user, const char *value, const char *purpose, const char *json)
{
    json_t *have = answer(app, user, value, purpose);
    json_t *wanted = json_loads(json, 0, NULL);
    assert_non_null(wanted);
    if (!json_equal(have, wanted)) {
        char *text = json_dumps(have, JSON_COMPACT);
        print_error("%s asks for %s: %s\n", user, value, text);
        free(text);
        fail();
    }
    json_decref(wanted);
    json_decref(have);
}

static const char *with_phone(struct app *app, const char *user, const char *name, const char *type, const char *value)
{
    const char *id = new_customer(app, user, name);
    (void)make(app, user, "contact_point", json_pack("{ssssss}", "customer", id, "type", type, "value", value));
    return id;
}

static const char *wangs; /* customer of wang, S1 */
static char the_match[2][200]; /* its answer with and without what is more than a match */

static int found(void **state)
{
    int rc = two_nodes_found(state);
    static char id[80];
    (void)snprintf(id, sizeof(id), "%s", with_phone(s1, "wang", "王小明", "mobile", "13900001234"));
    wangs = id;
    (void)make(s1, "wang", "contact_point",
        json_pack("{ssssss}", "customer", id, "type", "email", "value", "Ming@Example.com"));
    (void)make(s1, "wang", "identity_document",
        json_pack("{ssssss}", "customer", id, "doc_type", "居民身份证", "doc_no", CARD));
    carry(s1, s2);
    (void)snprintf(the_match[0], sizeof(the_match[0]),
        "{\"known\":true,\"matches\":[{\"station\":\"S1\",\"name\":{\"value\":\"王**\",\"view\":\"masked\"}}]}");
    (void)snprintf(the_match[1], sizeof(the_match[1]),
        "{\"known\":true,\"matches\":[{\"station\":\"S1\",\"name\":{\"value\":\"王**\",\"view\":\"masked\"},"
        "\"owner\":\"wang\",\"id\":\"%s\"}]}",
        id);
    return rc;
}

static const char nothing[] = "{\"known\":false,\"matches\":[]}";

static void another_station_gets_station_and_mask(void **state)
{
    (void)state;
    expect_answer(s2, "sun", "13900001234", "P1", the_match[0]);
    expect_answer(s1, "sun", "13900001234", "P1", the_match[0]);
    expect_answer(s1, "sun", "Ming@EXAMPLE.com", "P1", the_match[0]);
}

static void who_may_see_more_gets_the_id(void **state)
{
    (void)state;
    expect_answer(s1, "wang", "13900001234", "P1", the_match[1]);
    expect_answer(s1, "zhao", "13900001234", "P1", the_match[1]);
    /* a colleague sees masks of the station's customers, but not whose they are */
    json_t *colleague = answer(s1, "chen", "13900001234", "P1");
    assert_true(says(colleague, wangs));
    assert_false(says(colleague, "owner"));
    assert_false(says(colleague, "王小明"));
    json_decref(colleague);
    json_t *auditor = answer(s1, "li", "13900001234", "P9");
    assert_true(says(auditor, wangs));
    assert_true(says(auditor, "王**"));
    assert_false(says(auditor, "王小明"));
    json_decref(auditor);
    expect_answer(s2, "qian", "13900001234", "P1", nothing); /* managers of other stations have no match */
}

/* The group's managers see totals, and for sharing between stations a match. */
static void the_group_may_match_for_sharing(void **state)
{
    (void)state;
    struct why why = { { 0 }, { 0 } };
    uint32_t number = 0;
    const struct app_user gao = { .login = BYTES_LIT("gao"),
        .name = BYTES_LIT("gao"),
        .station_code = BYTES_LIT("S1"),
        .roles = role_bit(ROLE_GP),
        .password = BYTES_LIT("a password 1") };
    need(app_user_add(s1, &gao, &number, NULL, &why), &why);
    expect_answer(s1, "gao", "13900001234", "P7", the_match[0]);
    expect(1, known(s1, "gao", "13900001234", "P8"));
}

static void an_assignment_names_the_owner(void **state)
{
    (void)state;
    const char *id = with_phone(s1, "wang", "赵云", "mobile", "13900005678");
    (void)make(s1, "zhao", "customer_assignment",
        json_pack("{ssssssss}", "customer", id, "staff", "chen", "role", "sales", "station", "S1"));
    json_t *manager = answer(s1, "zhao", "13900005678", "P1");
    assert_true(says(manager, "\"owner\":\"chen\""));
    json_decref(manager);
    json_t *stranger = answer(s1, "sun", "13900005678", "P1");
    assert_false(says(stranger, "owner"));
    json_decref(stranger);
}

static void the_value_is_brought_into_normal_form(void **state)
{
    (void)state;
    expect_answer(s1, "sun", " +86 139-0000-1234", "P1", the_match[0]);
    expect_answer(s1, "sun", "１３９００００１２３４", "P1", the_match[0]);
    (void)with_phone(s1, "wang", "王大锤", "office", "020-87654321");
    expect_answer(s1, "sun", "(020) 8765 4321", "P1", the_match[0]);
    expect_answer(s1, "sun", "13900001235", "P1", nothing);
    static const char *const parts[] = { "1390000123", "1390000", "3900001234", "ming", "@example.com", "139000012345",
        "王小明" };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        json_t *reply = known(s1, "zhao", parts[i], "P1");
        assert_false(says(reply, parts[i]));
        assert_false(says(reply, "\"known\":true"));
        json_decref(reply);
    }
    json_t *reply = known(s1, "sun", "1390000123", "P1"); /* a digit too few is a mistake, not an answer */
    assert_string_equal(text_in(reply, "error"), "INVALID");
    expect(1, reply);
    expect(2, known(s1, "sun", "", "P1"));
}

static void who_has_no_match_is_refused(void **state)
{
    (void)state;
    json_t *reply = ask(s1, "sun", "known", json_pack("{ss}", "value", "13900001234"));
    assert_true(says(reply, "--purpose"));
    expect(1, reply);
    expect(1, known(s1, "sun", "13900001234", "P9"));
    expect(1, known(s1, "boss", "13900001234", "P11"));
    expect(2, known(s1, "sun", "13900001234", "P77"));
    /* totals are no right to ask about one person; the same for what is known and what is not */
    json_t *hit = known(s1, "mei", "13900001234", "P6");
    json_t *miss = known(s1, "mei", "13900001235", "P6");
    assert_true(json_equal(hit, miss));
    assert_string_equal(text_in(hit, "error"), "DENIED");
    json_decref(miss);
    expect(1, hit);
    expect(1, known(s1, "hui", CARD, "P5")); /* no documents for customer service */
}

static void documents_and_vehicles_follow_their_own_rights(void **state)
{
    (void)state;
    expect_answer(s1, "wang", CARD, "P2", the_match[1]);
    expect_answer(s1, "wang", "440106 1990 0307 8513", "P2", the_match[1]);
    expect_answer(s1, "sun", CARD, "P2", nothing); /* the matrix gives a match for people and numbers alone */
    const char *car = make(s1, "wang", "vehicle", json_pack("{ssss}", "vin", VIN, "plate_no", "粤A12345"));
    static const char *const names[] = { VIN, "lsja24u62jg269225", "粤A·12345", "粤a12345" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        json_t *own = answer(s1, "wang", names[i], "P1");
        const json_t *first = json_array_get(json_object_get(own, "matches"), 0);
        assert_string_equal(text_in(first, "station"), "S1");
        assert_string_equal(text_in(first, "id"), car);
        assert_int_equal(json_object_size(first), 2);
        json_decref(own);
    }
    expect_answer(s1, "sun", VIN, "P1", nothing);
    expect(1, known(s1, "mei", VIN, "P8"));
}

static void an_old_card_number_is_the_new_one(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "chen", "李四");
    (void)make(s1, "chen", "identity_document",
        json_pack("{ssssss}", "customer", id, "doc_type", "居民身份证", "doc_no", "440524188001010014"));
    id = new_customer(s1, "chen", "孙权");
    (void)make(s1, "chen", "identity_document",
        json_pack("{ssssss}", "customer", id, "doc_type", "居民身份证", "doc_no", "310115851225004"));
    json_t *old = answer(s1, "chen", "310115851225004", "P2");
    assert_true(says(old, id));
    json_decref(old);
}

/* Two rows of one dossier are one match; several dossiers stand in the order of what is shown. */
static void matches_are_one_a_customer_in_visible_order(void **state)
{
    (void)state;
    (void)with_phone(s1, "wang", "赵六", "mobile", "13700000001");
    (void)with_phone(s2, "sun", "王五", "mobile", "13700000001");
    const char *twice = with_phone(s1, "chen", "丁一", "mobile", "13700000001");
    (void)make(
        s1, "chen", "contact_point", json_pack("{ssssss}", "customer", twice, "type", "home", "value", "13700000001"));
    carry(s2, s1);
    json_t *all = answer(s1, "sun", "13700000001", "P1");
    const json_t *list = json_object_get(all, "matches");
    static const char *const wanted[][2] = { { "S1", "丁**" }, { "S1", "赵**" }, { "S2", "王**" } };
    assert_int_equal(json_array_size(list), ARRAY_LEN(wanted));
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        const json_t *m = json_array_get(list, i);
        assert_string_equal(text_in(m, "station"), wanted[i][0]);
        assert_string_equal(text_in(json_object_get(m, "name"), "value"), wanted[i][1]);
    }
    json_decref(all);
}

static void what_is_deleted_is_unknown(void **state)
{
    (void)state;
    const char *id = with_phone(s1, "wang", "周瑜", "mobile", "13600000001");
    json_t *before = answer(s1, "sun", "13600000001", "P1");
    assert_true(json_is_true(json_object_get(before, "known")));
    json_decref(before);
    expect(0, ask(s1, "zhao", "delete", json_pack("{ss}", "id", id)));
    expect_answer(s1, "sun", "13600000001", "P1", nothing);
}

static size_t searches_of(const char *user)
{
    json_t *log = want(s1, "li", "audit", json_pack("{sssi}", "user", user, "limit", 10000));
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(log); i++) {
        n += strcmp(text_in(json_array_get(log, i), "event"), "search") == 0 ? 1 : 0;
    }
    json_decref(log);
    return n;
}

static void every_question_is_noted_without_its_text(void **state)
{
    (void)state;
    const char *id = with_phone(s1, "wang", "诸葛亮", "mobile", "13500000001");
    size_t before = searches_of("chen");
    json_decref(answer(s1, "chen", "13500000001", "P1"));
    assert_int_equal(searches_of("chen"), before + 2); /* the question, and whose data answered it */
    json_decref(answer(s1, "chen", "13500000002", "P1"));
    assert_int_equal(searches_of("chen"), before + 3);
    json_t *log = audit_of(id);
    const json_t *last = last_event(log, "search");
    assert_non_null(last);
    assert_string_equal(text_in(last, "user"), "chen");
    assert_string_equal(text_in(last, "purpose"), "P1");
    assert_string_equal(text_in(last, "view"), "masked");
    assert_true(says(json_object_get(last, "fields"), "full_name"));
    json_decref(log);
    log = want(s1, "li", "audit", json_pack("{sssi}", "user", "chen", "limit", 10000));
    assert_true(says(log, "value_norm"));
    assert_false(says(log, "1350000000"));
    assert_false(says(log, "诸葛"));
    json_decref(log);
}

/* An audit log that says `user` asked `count` times so long ago. */
static void pretend_asked(struct app *app, const char *user, size_t count, int64_t ago_ms)
{
    uint64_t wall = (uint64_t)(app_now().wall_ms - ago_ms);
    uint32_t number = members_user_by_login(app->members, bytes_str(user))->number;
    need(app_begin(app), NULL);
    for (size_t i = 0; i < count; i++) {
        struct audit_entry entry = { .event = AUDIT_SEARCH,
            .user = number,
            .purpose = PURPOSE_P1,
            .entity = ENTITY_CONTACT_POINT,
            .view = VIEW_MATCH,
            .hlc = wall << 16 | i };
        need(audit_append(&app->core.audit, &app->arena, &entry), NULL);
    }
    need(app_end(app, ERR_OK), NULL);
}

static void sixty_questions_an_hour(void **state)
{
    (void)state;
    pretend_asked(s2, "chen", HOURLY, 61 * MINUTE); /* long ago: counts no more */
    pretend_asked(s2, "chen", HOURLY - 2, 30 * MINUTE);
    expect(0, known(s2, "chen", "13900001234", "P1"));
    expect(0, known(s2, "chen", "13900001235", "P1")); /* a miss counts like a hit */
    json_t *hit = known(s2, "chen", "13900001234", "P1");
    json_t *miss = known(s2, "chen", "13900001236", "P1");
    assert_string_equal(text_in(hit, "error"), "LIMIT");
    assert_true(says(hit, "30") || says(hit, "29"));
    assert_true(json_equal(hit, miss));
    json_decref(miss);
    expect(1, hit);
    expect(0, known(s2, "wang", "13900001234", "P1")); /* each person has his own */
    expect(0, known(s2, "wang", "13900001234", "P1"));
    expect(0, ask(s2, "chen", "find", find1("customer", "kind", "个人", "P1"))); /* other work goes on */
}

/* Neither another login nor another process starts the hour anew. */
static void a_restart_forgets_nothing(void **state)
{
    (void)state;
    char home[APP_PATH_MAX];
    char token[APP_TOKEN_TEXT_BYTES];
    struct why why = { { 0 }, { 0 } };
    for (size_t i = 0; i < HOURLY; i++) {
        expect(0, known(s2, "sun", "13900001235", "P1"));
    }
    expect(1, known(s2, "sun", "13900001235", "P1"));
    app_session_open(s2, members_user_by_login(s2->members, BYTES_LIT("sun")), token);
    json_t *rq =
        json_pack("{ssss s{ssss}}", "verb", "known", "token", token, "args", "value", "13900001235", "purpose", "P1");
    json_t *reply = request_run(s2, rq, NULL, 0);
    json_decref(rq);
    assert_string_equal(text_in(reply, "error"), "LIMIT");
    expect(1, reply);
    memcpy(home, s2->home, sizeof(home));
    app_close(s2);
    need(app_open(home, BYTES_LIT("disk passphrase"), &s2, &why), &why);
    expect(1, known(s2, "sun", "13900001235", "P1"));
    expect(0, known(s2, "wang", "13900001235", "P1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_station_gets_station_and_mask),
        cmocka_unit_test(who_may_see_more_gets_the_id),
        cmocka_unit_test(the_group_may_match_for_sharing),
        cmocka_unit_test(an_assignment_names_the_owner),
        cmocka_unit_test(the_value_is_brought_into_normal_form),
        cmocka_unit_test(who_has_no_match_is_refused),
        cmocka_unit_test(documents_and_vehicles_follow_their_own_rights),
        cmocka_unit_test(an_old_card_number_is_the_new_one),
        cmocka_unit_test(matches_are_one_a_customer_in_visible_order),
        cmocka_unit_test(what_is_deleted_is_unknown),
        cmocka_unit_test(every_question_is_noted_without_its_text),
        cmocka_unit_test(sixty_questions_an_hour),
        cmocka_unit_test(a_restart_forgets_nothing),
    };
    return cmocka_run_group_tests(tests, found, two_nodes_leave);
}
