/* Pages of `export` and `dump`: a page may end inside a dossier, all pages together are everything once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/lib/two_nodes.h"

#include <stdio.h>
#include <stdlib.h>

enum { VISITS = 1300, NOTE_SIGNS = 300, REPLY_BYTES = 3 << 20 };

/* One customer who came very often: his dossier is more than a page. */
static int many_visits(void **state)
{
    int rc = two_nodes_found(state);
    char note[3 * NOTE_SIGNS + 1];
    for (size_t i = 0; i < NOTE_SIGNS; i++) {
        memcpy(note + 3 * i, "看", 3);
    }
    note[3 * NOTE_SIGNS] = '\0';
    char id[80];
    (void)snprintf(id, sizeof(id), "%s", new_customer(s1, "wang", "王小明"));
    (void)make(s1, "wang", "contact_point", json_pack("{ssss}", "customer", id, "value", "13900001234"));
    for (size_t i = 0; i < VISITS; i++) {
        (void)make(s1, "wang", "lead_intake",
            json_pack("{ssssssss}", "customer", id, "channel", "来店", "note", note, "next_contact_at",
                "2030-01-01T01:00:00Z"));
    }
    (void)new_customer(s1, "chen", "李四");
    return rc;
}

static json_t *page(const char *verb, const char *entity, const char *after)
{
    json_t *args = json_pack("{s:s*, s:s, s:s*}", "entity", entity, "purpose", "P1", "after", after);
    return want(s1, "zhao", verb, args);
}

/* All rows of all pages; no page is too long for a reply. */
static json_t *all_rows(const char *verb, const char *entity, size_t *pages)
{
    json_t *rows = json_array();
    char after[128] = "";
    *pages = 0;
    do {
        json_t *one = page(verb, entity, after[0] == '\0' ? NULL : after);
        char *text = json_dumps(one, JSON_COMPACT);
        assert_true(strlen(text) < REPLY_BYTES);
        free(text);
        assert_int_equal(json_array_extend(rows, json_object_get(one, "rows")), 0);
        assert_true(strlen(text_in(one, "next")) < sizeof(after));
        (void)snprintf(after, sizeof(after), "%s", text_in(one, "next"));
        json_decref(one);
        (*pages)++;
    } while (after[0] != '\0' && *pages < 100);
    assert_string_equal(after, "");
    return rows;
}

/* The first `words` of a row together stand in no other row. */
static void expect_each_once(const json_t *rows, size_t words)
{
    json_t *seen = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char key[256] = "";
        for (size_t k = 0; k < words; k++) {
            size_t used = strlen(key);
            (void)snprintf(key + used, sizeof(key) - used, "%s ", json_string_value(json_array_get(row, k)));
        }
        assert_null(json_object_get(seen, key));
        (void)json_object_set_new(seen, key, json_true());
    }
    json_decref(seen);
}

static void a_long_dossier_is_exported_in_pages(void **state)
{
    (void)state;
    size_t pages = 0;
    json_t *rows = all_rows("export", "lead_intake", &pages);
    assert_true(pages > 1);
    assert_int_equal(json_array_size(rows), VISITS);
    expect_each_once(rows, 1);
    json_decref(rows);
    rows = all_rows("export", "customer", &pages);
    assert_int_equal(pages, 1);
    assert_int_equal(json_array_size(rows), 2);
    json_decref(rows);
}

static void a_dump_goes_on_where_a_page_ended(void **state)
{
    (void)state;
    size_t pages = 0;
    json_t *rows = all_rows("dump", NULL, &pages);
    size_t visits = 0;
    assert_true(pages > 1);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        visits += strcmp(json_string_value(json_array_get(json_array_get(rows, i), 1)), "note") == 0 ? 1 : 0;
    }
    assert_int_equal(visits, VISITS);
    expect_each_once(rows, 2);
    json_decref(rows);
}

static void a_cursor_is_checked(void **state)
{
    (void)state;
    static const char *const bad[] = { "x", "00", "0000000000000000000g", "000000000000000000000",
        "zz00000000000000000000000000000000", "../../../../../../..", "00000000000000000000." };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        expect(2,
            ask(s1, "zhao", "export", json_pack("{ssssss}", "entity", "customer", "purpose", "P1", "after", bad[i])));
    }
    /* well formed, of nothing that is held, or of another kind: an answer, not more than one's own */
    static const char *const odd[] = { "ffffffffffffffffffff", "ff00000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffffff", "01ffffffffffffffffffffffffffffffff" };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        json_decref(
            want(s1, "zhao", "export", json_pack("{ssssss}", "entity", "customer", "purpose", "P1", "after", odd[i])));
        expect(1,
            ask(s1, "wang", "export", json_pack("{ssssss}", "entity", "customer", "purpose", "P1", "after", odd[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_dossier_is_exported_in_pages),
        cmocka_unit_test(a_dump_goes_on_where_a_page_ended),
        cmocka_unit_test(a_cursor_is_checked),
    };
    return cmocka_run_group_tests(tests, many_visits, two_nodes_leave);
}
