/*
 * What only the SQLite store promises: tables that follow the catalogue, refusal of newer and of damaged ones, FULL
 * durability, no transaction half done, indexes that are used.
 */
#include "node/store_sqlite.h"
#include "tests/lib/store_suite.h"

#include <stdlib.h>

static void run(struct subject *t, const char *text)
{
    assert_int_equal(sqlite3_exec(t->db, text, NULL, NULL, NULL), SQLITE_OK);
}

static int set_up(void **state)
{
    *state = subject_new(SUBJECT_SQLITE);
    return 0;
}

static int tear_down(void **state)
{
    subject_free(*state);
    return 0;
}

static void reopen_must_say(struct subject *t, enum err want)
{
    struct store *s = NULL;
    struct why why = { 0 };
    int64_t before = subject_asked(t->db, "SELECT total(length(sql)) FROM sqlite_master");
    is(store_sqlite_new(t->db, &s, &why), want);
    assert_true(why.zh[0] != '\0' && why.en[0] != '\0');
    assert_int_equal(subject_asked(t->db, "SELECT total(length(sql)) FROM sqlite_master"), before);
}

static void durability_is_full_and_nobody_weakens_it(void **state)
{
    static const char *const tries[] = { "PRAGMA synchronous = OFF", "PRAGMA main.synchronous = 1",
        "PRAGMA Synchronous(NORMAL)" };
    struct subject *t = subject_of(state);
    assert_int_equal(subject_asked(t->db, "PRAGMA synchronous"), 2);
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        assert_int_equal(sqlite3_exec(t->db, tries[i], NULL, NULL, NULL), SQLITE_AUTH);
    }
    assert_int_equal(subject_asked(t->db, "PRAGMA synchronous"), 2);
}

static void tables_of_a_newer_version_are_refused_unchanged(void **state)
{
    static const char *const changes[][2] = {
        { "PRAGMA user_version = 4", "PRAGMA user_version = 3" },
        { "PRAGMA user_version = 1", "PRAGMA user_version = 3" },
        { "CREATE TABLE e_spacecraft (_d INTEGER)", "DROP TABLE e_spacecraft" },
        { "ALTER TABLE e_customer ADD COLUMN shoe_size INTEGER", "ALTER TABLE e_customer DROP COLUMN shoe_size" },
        { "ALTER TABLE e_customer DROP COLUMN sex; ALTER TABLE e_customer ADD COLUMN sex TEXT",
            "ALTER TABLE e_customer DROP COLUMN sex; ALTER TABLE e_customer ADD COLUMN sex INTEGER" },
    };
    struct subject *t = subject_of(state);
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        run(t, changes[i][0]);
        reopen_must_say(t, ERR_VERSION);
        run(t, changes[i][1]);
        subject_reopen(t);
    }
}

static enum err ignore_row(void *ctx, const struct row *row)
{
    (void)row;
    ++*(size_t *)ctx;
    return ERR_OK;
}

/* Asks the index for the name of the customer that some_row makes from this seed. */
static void assert_finds_name(struct subject *t, uint32_t seed)
{
    const struct field *f = some_field(ENTITY_CUSTOMER, true, VALUE_TEXT);
    struct row row = some_row(&t->a, ENTITY_CUSTOMER, some_record_id(1, 0), seed);
    const struct store_query query = { .entity = ENTITY_CUSTOMER,
        .field = f,
        .value = row.values[catalogue_field_index(catalogue_entity(ENTITY_CUSTOMER), f)],
        .with_deleted = true };
    size_t found = 0;
    ok(t->s->ops->row_find(t->s, &query, 0, ignore_row, &found));
    assert_int_equal(found, 1);
}

static void missing_tables_columns_and_indexes_are_added(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    put_dossier(t, 1);
    insert_row(t, ENTITY_CUSTOMER, some_record_id(1, 0), 1);
    commit(t);
    assert_false(store_sqlite_has_new_fields(t->s));
    int64_t objects = subject_asked(t->db, "SELECT count(*) FROM sqlite_master");
    run(t, "DROP TABLE e_vehicle; DROP TABLE kv_peer; DROP TABLE index_field; PRAGMA user_version = 0;"
           "ALTER TABLE e_staff DROP COLUMN name");
    subject_reopen(t);
    assert_int_equal(subject_asked(t->db, "SELECT count(*) FROM sqlite_master"), objects);
    assert_int_equal(subject_asked(t->db, "PRAGMA user_version"), 3);
    assert_false(store_sqlite_has_new_fields(t->s)); /* e_staff held no rows */
    assert_row(t, ENTITY_CUSTOMER, some_record_id(1, 0), 1);

    run(t, "DELETE FROM index_field; DELETE FROM index_run WHERE kind = 3"); /* an index alone is noticed too */
    subject_reopen(t);
    assert_int_equal(subject_asked(t->db, "SELECT count(*) FROM sqlite_master"), objects);
    assert_finds_name(t, 1);

    run(t, "ALTER TABLE e_customer DROP COLUMN industry");
    subject_reopen(t);
    assert_true(store_sqlite_has_new_fields(t->s));
    struct row row = some_row(&t->a, ENTITY_CUSTOMER, some_record_id(1, 0), 2);
    begin(t);
    ok(t->s->ops->row_put(t->s, &row));
    commit(t);
    subject_reopen(t);
    assert_false(store_sqlite_has_new_fields(t->s));
    assert_row(t, ENTITY_CUSTOMER, some_record_id(1, 0), 2);
}

/* Pages written by an open that finds a new field, with so many customers there. */
static int pages_of_a_new_field(struct subject *t, uint32_t first, uint32_t count)
{
    int pages = 0;
    int most = 0;
    begin(t);
    for (uint32_t i = first; i < first + count; i++) {
        put_dossier(t, i);
        insert_row(t, ENTITY_CUSTOMER, some_record_id(i, 0), i);
    }
    commit(t);
    run(t, "ALTER TABLE e_customer DROP COLUMN industry");
    assert_int_equal(sqlite3_db_status(t->db, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &most, 1), SQLITE_OK);
    subject_reopen(t);
    assert_true(store_sqlite_has_new_fields(t->s));
    assert_int_equal(sqlite3_db_status(t->db, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &most, 1), SQLITE_OK);
    return pages;
}

static void a_new_field_touches_no_row(void **state)
{
    struct subject *t = subject_of(state);
    int few = pages_of_a_new_field(t, 1, 10);
    assert_in_range(few, 1, 20);
    assert_int_equal(pages_of_a_new_field(t, 11, 3000), few);
}

static void current_tables_are_only_read(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    put_dossier(t, 1);
    insert_row(t, ENTITY_CUSTOMER, some_record_id(1, 0), 1);
    commit(t);
    run(t, "PRAGMA query_only = ON");
    struct store *s = NULL;
    ok(store_sqlite_new(t->db, &s, NULL));
    struct row row;
    ok(s->ops->row_get(s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row));
    store_sqlite_free(s);
}

/* Rebuilds a table without types, so that a wrong one can be put in, as a damaged page might. */
static void damage_rows(struct subject *t, const char *change)
{
    run(t, "DROP TABLE IF EXISTS good; ALTER TABLE e_customer RENAME TO good;"
           "CREATE TABLE e_customer AS SELECT * FROM good");
    run(t, change);
}

static void columns_of_a_wrong_type_are_damage(void **state)
{
    static const char *const changes[] = {
        "UPDATE e_customer SET occupation = x'41'",
        "UPDATE e_customer SET sex = 'M'",
        "UPDATE e_customer SET remark = 'text'",
        "UPDATE e_customer SET _deleted = 2",
        "UPDATE e_customer SET _deleted = NULL",
        "UPDATE e_customer SET _ver = 'text'",
        "UPDATE e_customer SET _extra = 1.5",
    };
    struct subject *t = subject_of(state);
    struct row row;
    const struct store_query query = { .entity = ENTITY_CUSTOMER, .with_deleted = true };
    size_t found = 0;
    begin(t);
    put_dossier(t, 1);
    insert_row(t, ENTITY_CUSTOMER, some_record_id(1, 0), 2);
    commit(t);
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        damage_rows(t, "SELECT 1");
        ok(t->s->ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row));
        run(t, changes[i]);
        is(t->s->ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row), ERR_DAMAGED);
        is(t->s->ops->row_find(t->s, &query, 0, ignore_row, &found), ERR_DAMAGED);
        run(t, "DROP TABLE e_customer; ALTER TABLE good RENAME TO e_customer");
    }
    damage_rows(t, "UPDATE e_customer SET _s = x'0102'");
    is(t->s->ops->row_find(t->s, &query, 0, ignore_row, &found), ERR_DAMAGED);
}

static void dossiers_of_a_wrong_form_are_damage(void **state)
{
    static const char *const changes[] = {
        "UPDATE dossier SET kind = 0",
        "UPDATE dossier SET kind = 256",
        "UPDATE dossier SET secret = x'00'",
        "UPDATE dossier SET owner = -1",
        "UPDATE dossier SET station = 4294967296",
    };
    struct subject *t = subject_of(state);
    struct dossier d;
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        begin(t);
        put_dossier(t, 1);
        commit(t);
        ok(t->s->ops->dossier_get(t->s, some_dossier_id(1), &t->a, &d));
        run(t, changes[i]);
        is(t->s->ops->dossier_get(t->s, some_dossier_id(1), &t->a, &d), ERR_DAMAGED);
    }
}

/* A database that may not grow: the write itself fails, not the commit. */
static void a_failed_write_dooms_its_transaction(void **state)
{
    struct subject *t = subject_of(state);
    uint8_t *big = calloc(1, 1 << 20);
    assert_non_null(big);
    begin(t);
    put(t, SPACE_META, "before", "v");
    commit(t);
    run(t, "PRAGMA max_page_count = 1"); /* SQLite takes the present size */
    begin(t);
    put(t, SPACE_META, "inside", "v");
    is(t->s->ops->put(t->s, SPACE_LETTER, bytes_str("k"), bytes_of(big, 1 << 20)), ERR_FULL);
    is(t->s->ops->put(t->s, SPACE_META, bytes_str("later"), bytes_str("v")), ERR_FULL);
    is(t->s->ops->commit(t->s, true), ERR_FULL);
    assert_int_equal(sqlite3_get_autocommit(t->db), 1);
    assert_null(got(t, t->s, SPACE_META, "inside"));
    assert_null(got(t, t->s, SPACE_META, "later"));
    assert_non_null(got(t, t->s, SPACE_META, "before"));
    begin(t); /* room may come back: nothing of it was kept, so nothing stands in the way */
    put(t, SPACE_META, "after", "v");
    commit(t);
    free(big);
}

static void a_rolled_back_full_disk_does_not_poison(void **state)
{
    struct subject *t = subject_of(state);
    uint8_t *big = calloc(1, 1 << 20);
    assert_non_null(big);
    run(t, "PRAGMA max_page_count = 1");
    begin(t);
    is(t->s->ops->put(t->s, SPACE_LETTER, bytes_str("k"), bytes_of(big, 1 << 20)), ERR_FULL);
    t->s->ops->rollback(t->s);
    run(t, "PRAGMA max_page_count = 1000000");
    begin(t);
    ok(t->s->ops->put(t->s, SPACE_LETTER, bytes_str("k"), bytes_of(big, 1 << 20)));
    commit(t);
    free(big);
}

/* SQLite ends a transaction on its own after some errors; writing on would commit each write alone. */
static void a_transaction_lost_below_is_noticed(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    put(t, SPACE_META, "inside", "v");
    run(t, "ROLLBACK");
    is(t->s->ops->put(t->s, SPACE_META, bytes_str("later"), bytes_str("v")), ERR_IO);
    is(t->s->ops->commit(t->s, true), ERR_IO);
    assert_null(got(t, t->s, SPACE_META, "inside"));
    assert_null(got(t, t->s, SPACE_META, "later"));
}

/* What was read last is remembered for the transaction that follows, unless somebody wrote meanwhile. */
static void what_others_wrote_is_seen(void **state)
{
    struct subject *t = subject_of(state);
    sqlite3 *other = NULL;
    struct row row;
    struct dossier d;
    begin(t);
    put_dossier(t, 1);
    insert_row(t, ENTITY_CUSTOMER, some_record_id(1, 0), 1);
    commit(t);
    assert_int_equal(sqlite3_open(sqlite3_db_filename(t->db, "main"), &other), SQLITE_OK);
    for (int round = 0; round < 2; round++) {
        ok(t->s->ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row));
        ok(t->s->ops->dossier_get(t->s, some_dossier_id(1), &t->a, &d));
        assert_int_equal(row.is_deleted, round);
        if (round == 0) {
            assert_int_equal(sqlite3_exec(other, "UPDATE e_customer SET _deleted = 1; UPDATE dossier SET owner = 77",
                                 NULL, NULL, NULL),
                SQLITE_OK);
        }
        begin(t);
        ok(t->s->ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row));
        ok(t->s->ops->dossier_get(t->s, some_dossier_id(1), &t->a, &d));
        assert_true(row.is_deleted);
        assert_int_equal(d.owner, 77);
        t->s->ops->rollback(t->s);
    }
    (void)sqlite3_close(other);
}

/* No statement but the count may walk a whole table or sort. */
static void assert_no_walks(struct subject *t)
{
    size_t seen = 0;
    for (sqlite3_stmt *s = sqlite3_next_stmt(t->db, NULL); s != NULL; s = sqlite3_next_stmt(t->db, s)) {
        seen++;
        assert_int_equal(sqlite3_stmt_status(s, SQLITE_STMTSTATUS_SORT, 0), 0);
        assert_int_equal(sqlite3_stmt_status(s, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0), 0);
        assert_int_equal(sqlite3_stmt_status(s, SQLITE_STMTSTATUS_AUTOINDEX, 0), 0);
    }
    assert_true(seen > 5);
}

static void indexed_questions_walk_no_table(void **state)
{
    struct subject *t = subject_of(state);
    const struct field *f = some_field(ENTITY_CONTACT_POINT, true, VALUE_TEXT);
    assert_non_null(f);
    begin(t);
    for (uint32_t n = 0; n < 50; n++) {
        put_dossier(t, n);
        for (uint32_t k = 0; k < 4; k++) {
            insert_row(t, ENTITY_CONTACT_POINT, some_record_id(n, k), 4 * n + k);
        }
        ok(t->s->ops->touch_add(t->s, some_dossier_id(n), (struct dot){ 1, 1, n }));
    }
    commit(t);
    struct row row;
    size_t found = 0;
    struct dossier_id dossier = some_dossier_id(7);
    struct store_query query = { .entity = ENTITY_CONTACT_POINT, .dossier = &dossier };
    ok(t->s->ops->row_get(t->s, ENTITY_CONTACT_POINT, some_record_id(7, 1), &t->a, &row));
    ok(t->s->ops->row_find(t->s, &query, 0, ignore_row, &found));
    query.field = f;
    query.value = row.values[catalogue_field_index(catalogue_entity(ENTITY_CONTACT_POINT), f)];
    ok(t->s->ops->row_find(t->s, &query, 0, ignore_row, &found));
    query.dossier = NULL;
    ok(t->s->ops->row_find(t->s, &query, 0, ignore_row, &found));
    assert_no_walks(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(durability_is_full_and_nobody_weakens_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tables_of_a_newer_version_are_refused_unchanged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_tables_columns_and_indexes_are_added, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_field_touches_no_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(current_tables_are_only_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(columns_of_a_wrong_type_are_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dossiers_of_a_wrong_form_are_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_write_dooms_its_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rolled_back_full_disk_does_not_poison, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_transaction_lost_below_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_others_wrote_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(indexed_questions_walk_no_table, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("store_sqlite", tests, NULL, NULL);
}
