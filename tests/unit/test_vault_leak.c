/*
 * Nothing readable reaches the disk: a known text is searched in every write of every file (main file, log, journal,
 * sub-journal, sorter and other temporary files), with a cache so small that everything spills.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/vault/slots.h"
#include "node/vault/vault_on.h"
#include "tests/lib/disk_sim.h"

#include <stdio.h>

static const struct bytes passphrase = { (const uint8_t *)"correct horse", 13 };

static void run(sqlite3 *db, const char *sql)
{
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void known_text_never_reaches_the_disk(void **state)
{
    (void)state;
    static const char *const modes[] = { "WAL", "DELETE", "TRUNCATE", "PERSIST" };
    for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
        struct disk_sim *sim = disk_sim_new();
        struct vault *v = NULL;
        char text[VAULT_RECOVERY_TEXT_BYTES];
        char sql[60];
        disk_sim_watch(sim, BYTES_LIT("ZHANGSAN-13800138000"));
        assert_int_equal(vault_create_on(disk_sim_disk(sim), "/store", passphrase, text, &v, NULL), ERR_OK);
        sqlite3 *db = vault_db(v);
        (void)snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", modes[m]);
        run(db, sql);
        run(db, "PRAGMA cache_size=5; PRAGMA temp_store=FILE; PRAGMA wal_autocheckpoint=20; PRAGMA cache_spill=1");
        run(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT)");
        run(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<6000)"
                " INSERT INTO t SELECT i, 'ZHANGSAN-13800138000', hex(randomblob(150)) FROM n");
        run(db, "PRAGMA temp.cache_size=5; CREATE TEMP TABLE u AS SELECT * FROM t");
        run(db, "CREATE INDEX i ON t(b, a)");
        run(db, "BEGIN; SAVEPOINT s; UPDATE t SET b = 'x' || b; ROLLBACK TO s; RELEASE s; COMMIT");
        run(db, "UPDATE t SET a = 'gone' WHERE id % 2 = 0");
        run(db, "VACUUM");
        assert_true(disk_sim_bytes_written(sim, "jipan-temp") > 1000000); /* the temp files were really used */
        assert_int_equal(disk_sim_watch_hits(sim), 0);
        vault_close(v);
        assert_int_equal(disk_sim_watch_hits(sim), 0);
        disk_sim_free(sim);
    }
}

/* The search itself works: the same statements through SQLite's view of a page are found before they are sealed. */
static void watch_would_notice_a_plain_write(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct disk disk = disk_sim_disk(sim);
    struct disk_file *file = NULL;
    disk_sim_watch(sim, BYTES_LIT("ZHANGSAN"));
    assert_int_equal(disk.ops->open(disk.ctx, "/store/x", DISK_CREATE, &file), 0);
    assert_int_equal(disk.ops->pwrite(file, "--ZHANGSAN--", 12, 0), 0);
    assert_int_equal(disk_sim_watch_hits(sim), 1);
    disk.ops->close(file);
    disk_sim_free(sim);
}

static void equal_rows_are_not_equal_on_disk(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = NULL;
    char text[VAULT_RECOVERY_TEXT_BYTES];
    size_t len = 0;
    assert_int_equal(vault_create_on(disk_sim_disk(sim), "/store", passphrase, text, &v, NULL), ERR_OK);
    run(vault_db(v), "CREATE TABLE t(x); INSERT INTO t VALUES(zeroblob(60000))");
    vault_close(v);
    const uint8_t *db = disk_sim_content(sim, "/store/jipan.db", &len);
    size_t counts[256] = { 0 };
    for (size_t i = VAULT_HEADER_BLOCK_BYTES; i < len; i++) {
        counts[db[i]]++;
    }
    for (size_t i = 0; i < 256; i++) { /* 60,000 zero bytes look like noise: about 1/256 each */
        assert_in_range(counts[i], len / 512, len / 128);
    }
    disk_sim_free(sim);
}

int main(void)
{
    vault_test_set_kdf(1, 8192);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_text_never_reaches_the_disk),
        cmocka_unit_test(watch_would_notice_a_plain_write),
        cmocka_unit_test(equal_rows_are_not_equal_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
