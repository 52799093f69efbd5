/*
 * A store of layout 2, whose log stands under its keys as they are, becomes one of layout 3 at its first open: every
 * commit is there afterwards, none of them twice, and the power may fail at any moment.
 */
#include "node/store_sqlite.h"
#include "node/vault/slots.h"
#include "node/vault/vault_on.h"
#include "tests/lib/disk_sim.h"
#include "tests/lib/store_suite.h"

#include <stdlib.h>

static const struct bytes passphrase = { (const uint8_t *)"correct horse", 13 };
static const char sim_dir[] = "/store";

enum { COMMITS = 60 };

static void run(sqlite3 *db, const char *text)
{
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
}

/* Commit i: of three origins in turns, some so long that they have pages of their own. */
static struct bytes some_commit(size_t i, uint8_t key[DOT_KEY_BYTES], uint8_t room[9000])
{
    const struct dot dot = { .node = 1 + (uint32_t)i % 2, .epoch = (uint32_t)i % 3, .seq = 1 + i / 3 };
    size_t len = i % 7 == 0 ? 9000 : 40 + i;
    dot_key(dot, key);
    memset(room, (int)i, len);
    return bytes_of(room, len);
}

static void put_all(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO kv_log (k, v) VALUES (?1, ?2)", -1, &stmt, NULL), SQLITE_OK);
    for (size_t i = 0; i < COMMITS; i++) {
        uint8_t key[DOT_KEY_BYTES];
        uint8_t room[9000];
        struct bytes value = some_commit(i, key, room);
        (void)sqlite3_bind_blob(stmt, 1, key, DOT_KEY_BYTES, SQLITE_STATIC);
        (void)sqlite3_bind_blob(stmt, 2, value.ptr, (int)value.len, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
        (void)sqlite3_reset(stmt);
    }
    (void)sqlite3_finalize(stmt);
}

/* A store as the version before left it. */
static struct disk_sim *store_of_layout_2(void)
{
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = NULL;
    struct store *s = NULL;
    char text[VAULT_RECOVERY_TEXT_BYTES];
    ok(vault_create_on(disk_sim_disk(sim), sim_dir, passphrase, text, &v, NULL));
    ok(store_sqlite_new(vault_db(v), &s, NULL));
    store_sqlite_free(s);
    run(vault_db(v), "DROP TABLE kv_log; DROP TABLE log_prefix; PRAGMA user_version = 2;"
                     "CREATE TABLE kv_log (k BLOB NOT NULL UNIQUE, v BLOB NOT NULL) STRICT; BEGIN");
    put_all(vault_db(v));
    run(vault_db(v), "COMMIT");
    vault_close(v);
    return sim;
}

static enum err open_store(struct disk_sim *sim, struct vault **v, struct store **s)
{
    *s = NULL;
    enum err e = vault_open_on(disk_sim_disk(sim), sim_dir, SLOT_PASSPHRASE, passphrase, v, NULL);
    if (e == ERR_OK && (e = store_sqlite_new(vault_db(*v), s, NULL)) != ERR_OK) {
        vault_close(*v);
    }
    return e;
}

static enum err count(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    ++*(size_t *)ctx;
    return ERR_OK;
}

static void assert_whole(struct vault *v, struct store *s)
{
    const struct bytes all = { 0 };
    struct mem mem = subject_mem(1U << 20);
    struct arena a;
    struct why why = { .zh = "" };
    size_t found = 0;
    ok(s->ops->scan(s, SPACE_LOG, all, all, false, count, &found));
    assert_int_equal(found, COMMITS);
    for (size_t i = 0; i < COMMITS; i++) {
        uint8_t key[DOT_KEY_BYTES];
        uint8_t room[9000];
        struct bytes is = { 0 };
        struct bytes want = some_commit(i, key, room);
        arena_init(&a, &mem, 1U << 20);
        ok(s->ops->get(s, SPACE_LOG, BYTES_OF(key), &a, &is));
        assert_true(bytes_equal(is, want));
        arena_release(&a);
    }
    assert_int_equal(subject_asked(vault_db(v), "PRAGMA user_version"), 3);
    assert_int_equal(subject_asked(vault_db(v), "SELECT count(*) FROM log_prefix"), 6);
    assert_int_equal(subject_asked(vault_db(v), "SELECT count(*) FROM sqlite_schema WHERE name GLOB '*layout*'"), 0);
    ok(store_sqlite_verify(s, &why));
    ok(vault_verify(v, &why));
}

static void every_commit_is_there_afterwards(void **state)
{
    (void)state;
    struct disk_sim *sim = store_of_layout_2();
    for (int round = 0; round < 2; round++) {
        struct vault *v = NULL;
        struct store *s = NULL;
        ok(open_store(sim, &v, &s));
        assert_whole(v, s);
        store_sqlite_free(s);
        vault_close(v);
    }
    disk_sim_free(sim);
}

/* Overwritten where they stood: what is forgotten later must not stand in a free page. */
static void nothing_is_left_in_free_pages(void **state)
{
    (void)state;
    struct disk_sim *sim = store_of_layout_2();
    struct vault *v = NULL;
    struct store *s = NULL;
    ok(open_store(sim, &v, &s));
    int64_t pages = subject_asked(vault_db(v), "PRAGMA page_count");
    int64_t spare = subject_asked(vault_db(v), "PRAGMA freelist_count");
    assert_true(spare * 4 < pages);
    assert_int_equal(subject_asked(vault_db(v), "PRAGMA secure_delete"), 1);
    store_sqlite_free(s);
    vault_close(v);
    disk_sim_free(sim);
}

static void the_power_may_fail_at_any_moment(void **state)
{
    (void)state;
    struct disk_sim *before = store_of_layout_2();
    bool is_over = false;
    for (uint64_t op = 0; !is_over; op++) {
        struct disk_sim *sim = disk_sim_clone(before);
        struct vault *v = NULL;
        struct store *s = NULL;
        disk_sim_crash_after(sim, op);
        if (open_store(sim, &v, &s) == ERR_OK) {
            is_over = !disk_sim_has_crashed(sim);
            store_sqlite_free(s);
            vault_close(v);
        }
        disk_sim_power_cycle(sim, (enum sim_damage)(op % SIM_DAMAGE_COUNT), op);
        ok(open_store(sim, &v, &s));
        assert_whole(v, s);
        store_sqlite_free(s);
        vault_close(v);
        disk_sim_free(sim);
    }
    disk_sim_free(before);
}

/* No room for the second copy: the store stays what it was, and opens when there is room. */
static void a_full_disk_changes_nothing(void **state)
{
    (void)state;
    struct disk_sim *sim = store_of_layout_2();
    struct vault *v = NULL;
    struct store *s = NULL;
    disk_sim_set_capacity(sim, disk_sim_used(sim) + 20000);
    is(open_store(sim, &v, &s), ERR_FULL);
    disk_sim_set_capacity(sim, 0);
    ok(vault_open_on(disk_sim_disk(sim), sim_dir, SLOT_PASSPHRASE, passphrase, &v, NULL));
    assert_int_equal(subject_asked(vault_db(v), "PRAGMA user_version"), 2);
    assert_int_equal(subject_asked(vault_db(v), "SELECT count(*) FROM kv_log WHERE length(k) = 16"), COMMITS);
    vault_close(v);
    ok(open_store(sim, &v, &s));
    assert_whole(v, s);
    store_sqlite_free(s);
    vault_close(v);
    disk_sim_free(sim);
}

static void a_commit_without_its_prefix_is_found(void **state)
{
    (void)state;
    struct disk_sim *sim = store_of_layout_2();
    struct vault *v = NULL;
    struct store *s = NULL;
    struct why why = { .zh = "" };
    ok(open_store(sim, &v, &s));
    run(vault_db(v), "DELETE FROM log_prefix WHERE n = 3");
    is(store_sqlite_verify(s, &why), ERR_DAMAGED);
    assert_true(why.zh[0] != '\0' && why.en[0] != '\0');
    store_sqlite_free(s);
    vault_close(v);
    disk_sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_commit_is_there_afterwards),
        cmocka_unit_test(nothing_is_left_in_free_pages),
        cmocka_unit_test(the_power_may_fail_at_any_moment),
        cmocka_unit_test(a_full_disk_changes_nothing),
        cmocka_unit_test(a_commit_without_its_prefix_is_found),
    };
    vault_test_set_kdf(1, 8192);
    return cmocka_run_group_tests_name("store_convert", tests, NULL, NULL);
}
