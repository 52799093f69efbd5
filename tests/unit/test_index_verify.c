/* verify --deep compares the index with the tables: an entry that is missing or says another place is told, exit 4. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/lib/two_nodes.h"

#include "node/store_index.h"
#include "sync/marks.h"

#include <sqlite3.h>

#include <stdio.h>

static void reopen(void)
{
    char home[APP_PATH_MAX];
    struct why why = { { 0 }, { 0 } };
    (void)snprintf(home, sizeof(home), "%s", s1->home);
    app_close(s1);
    need(app_open(home, BYTES_LIT("disk passphrase"), &s1, &why), &why);
}

static void run_sql(const char *text)
{
    assert_int_equal(sqlite3_exec(vault_db(s1->vault), text, NULL, NULL, NULL), SQLITE_OK);
}

static int verify(bool rebuild)
{
    json_t *reply = ask(s1, "boss", "verify", json_pack("{sbsb}", "deep", 1, "rebuild", rebuild ? 1 : 0));
    int code = code_of(reply);
    json_decref(reply);
    return code;
}

/* All runs of a kind as they are, to be put back. They are small here: every one is its own list of entries. */
static void keep_runs(void)
{
    run_sql("DROP TABLE IF EXISTS kept_run");
    run_sql("CREATE TABLE kept_run AS SELECT * FROM index_run");
}

static void put_back(void)
{
    run_sql("DELETE FROM index_run");
    run_sql("INSERT INTO index_run SELECT * FROM kept_run");
    run_sql("DROP TABLE kept_run");
    reopen();
    assert_int_equal(verify(false), 0);
}

/* The first entry of the newest run of that kind goes. */
static void lose_entry(enum store_index_kind kind)
{
    char text[400];
    (void)snprintf(text, sizeof(text),
        "UPDATE index_run SET count = count - 1, body = substr(body, %d) "
        "WHERE id = (SELECT max(id) FROM index_run WHERE kind = %d)",
        STORE_INDEX_ENTRY_BYTES + 1, (int)kind);
    run_sql(text);
    assert_int_equal(sqlite3_changes(vault_db(s1->vault)), 1);
    reopen();
}

/* The first entry of the newest run of that kind says another place: the last 4 of its 14 bytes. */
static void misplace_entry(enum store_index_kind kind)
{
    char text[400];
    (void)snprintf(text, sizeof(text),
        "UPDATE index_run SET body = CAST(substr(body, 1, 10) || x'00000FFF' || substr(body, 15) AS BLOB) "
        "WHERE id = (SELECT max(id) FROM index_run WHERE kind = %d)",
        (int)kind);
    run_sql(text);
    reopen();
}

static void a_missing_or_wrong_entry_is_told(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "欧阳有索引");
    json_decref(want(s1, "wang", "new",
        json_pack("{ss s{ssssss}}", "entity", "contact_point", "fields", "customer", id, "type", "mobile", "value",
            "13877776666")));
    reopen();
    assert_int_equal(verify(false), 0);
    static const enum store_index_kind kinds[] = { STORE_INDEX_DOSSIER, STORE_INDEX_FIELD };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        keep_runs();
        lose_entry(kinds[i]);
        assert_int_equal(verify(false), 4);
        put_back();
        keep_runs();
        misplace_entry(kinds[i]);
        assert_int_equal(verify(false), 4);
        put_back();
    }
}

static void a_rebuild_mends_fields(void **state)
{
    (void)state;
    lose_entry(STORE_INDEX_FIELD);
    assert_int_equal(verify(false), 4);
    assert_int_equal(verify(true), 0);
    reopen();
    assert_int_equal(verify(false), 0);
}

static void a_rebuild_mends_the_index_of_dossiers(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "欧阳不见");
    reopen();
    lose_entry(STORE_INDEX_DOSSIER);
    assert_int_equal(verify(false), 4);
    assert_int_equal(verify(true), 0);
    reopen();
    assert_int_equal(verify(false), 0);
    misplace_entry(STORE_INDEX_DOSSIER);
    assert_int_equal(verify(true), 0);
    expect(0, get(s1, "wang", id, "P1"));
}

static uint64_t mended(const char *what)
{
    json_t *result = want(s1, "boss", "verify", json_pack("{sbsb}", "deep", 1, "rebuild", 1));
    uint64_t n = (uint64_t)json_integer_value(json_object_get(result, what));
    json_decref(result);
    return n;
}

/* Kind and station stand in the log, and a book has no secret. */
static void a_rebuild_corrects_and_makes_lines_of_dossiers(void **state)
{
    (void)state;
    uint8_t before[32];
    uint8_t after[32];
    assert_int_equal(core_statehash(&s1->core, &s1->arena, before), ERR_OK);
    run_sql("UPDATE dossier SET station = 7, kind = 0 WHERE rid = (SELECT max(rid) FROM dossier WHERE kind = 1)");
    run_sql("UPDATE dossier SET creator = -1 WHERE rid = (SELECT min(rid) FROM dossier WHERE kind = 1)");
    run_sql("INSERT INTO dossier (id, kind, station, creator, owner, secret, flags, seen, dots) "
            "SELECT id, kind, station, creator, owner, secret, flags, seen, dots FROM dossier LIMIT 1");
    run_sql("DELETE FROM dossier WHERE kind > 2");
    reopen();
    assert_int_equal(verify(false), 4);
    assert_int_equal(mended("corrected_dossiers"), 1);
    assert_int_equal(verify(false), 0);
    assert_int_equal(core_statehash(&s1->core, &s1->arena, after), ERR_OK);
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(mended("corrected_dossiers"), 0);
}

/* The secret of a customer stands nowhere else here. What was written about it waits, and comes back with it. */
static void a_rebuild_leaves_a_lost_secret_to_a_peer(void **state)
{
    (void)state;
    uint8_t before[32];
    uint8_t after[32];
    const char *id = new_customer(s1, "wang", "欧阳无匙");
    const char *other = new_customer(s1, "wang", "欧阳错匙");
    carry(s1, s2);
    json_decref(want(s1, "wang", "set", set1(id, "full_name", "欧阳有匙")));
    assert_int_equal(core_statehash(&s1->core, &s1->arena, before), ERR_OK);
    run_sql("DELETE FROM dossier WHERE rid = (SELECT max(rid) - 1 FROM dossier)");
    run_sql("UPDATE dossier SET secret = zeroblob(16) WHERE rid = (SELECT max(rid) FROM dossier)");
    reopen();
    assert_int_equal(verify(false), 4);
    assert_int_equal(mended("lost_secrets"), 2);
    assert_int_equal(verify(false), 0);
    expect(3, get(s1, "wang", id, "P1"));
    expect(3, get(s1, "wang", other, "P1"));
    carry(s2, s1); /* more of a known commit */
    assert_int_equal(verify(false), 0);
    assert_int_equal(core_statehash(&s1->core, &s1->arena, after), ERR_OK);
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(mended("lost_secrets"), 0);
}

/* What a value was before stays in the index as a hint: no disagreement. */
static void hints_that_lead_nowhere_are_fine(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "欧阳改名");
    json_decref(want(s1, "wang", "set", set1(id, "full_name", "欧阳新名")));
    json_decref(want(s1, "zhao", "delete", json_pack("{ss}", "id", id)));
    reopen();
    assert_int_equal(verify(false), 0);
}

/* A file without the log that it needed may hold a dossier that its index does not know, and be given it once more. */
static void the_same_dossier_twice_is_told(void **state)
{
    (void)state;
    struct marks_items items;
    run_sql(
        "INSERT INTO dossier (id, kind, station, creator, owner, secret, flags, seen, dots) "
        "SELECT id, kind, station, creator, owner, secret, flags, seen, dots FROM dossier WHERE seen != x'' LIMIT 1");
    assert_int_equal(marks_collect(s1->store, &s1->mem, 1 << 20, NULL, NULL, &items), ERR_DAMAGED);
    assert_null(items.at);
    run_sql("DELETE FROM dossier WHERE rid = (SELECT max(rid) FROM dossier)");
    assert_int_equal(marks_collect(s1->store, &s1->mem, 1 << 20, NULL, NULL, &items), ERR_OK);
    marks_items_release(&items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_or_wrong_entry_is_told),
        cmocka_unit_test(a_rebuild_mends_fields),
        cmocka_unit_test(a_rebuild_mends_the_index_of_dossiers),
        cmocka_unit_test(a_rebuild_corrects_and_makes_lines_of_dossiers),
        cmocka_unit_test(a_rebuild_leaves_a_lost_secret_to_a_peer),
        cmocka_unit_test(hints_that_lead_nowhere_are_fine),
        cmocka_unit_test(the_same_dossier_twice_is_told),
    };
    return cmocka_run_group_tests(tests, two_nodes_found, two_nodes_leave);
}
