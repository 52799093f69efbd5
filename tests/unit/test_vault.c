/* The vault as its callers see it: create, open, secrets, readers, refusals, faults of the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/vault/slots.h"
#include "node/vault/vault_on.h"
#include "tests/lib/disk_sim.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct bytes passphrase = { (const uint8_t *)"correct horse", 13 };
static const char sim_dir[] = "/store";

static void run(sqlite3 *db, const char *sql)
{
    char *text = NULL;
    int rc = sqlite3_exec(db, sql, NULL, NULL, &text);
    if (rc != SQLITE_OK) {
        print_error("%s: %s\n", sql, text == NULL ? "" : text);
    }
    sqlite3_free(text);
    assert_int_equal(rc, SQLITE_OK);
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
    return value;
}

static sqlite3_file *main_file(sqlite3 *db)
{
    sqlite3_file *file = NULL;
    assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
    return file;
}

static struct vault *sim_create(struct disk_sim *sim)
{
    struct vault *v = NULL;
    char text[VAULT_RECOVERY_TEXT_BYTES];
    struct why why = { "", "" };
    enum err e = vault_create_on(disk_sim_disk(sim), sim_dir, passphrase, text, &v, &why);
    if (e != ERR_OK) {
        print_error("%s: %s\n", err_name(e), why.en);
    }
    assert_int_equal(e, ERR_OK);
    return v;
}

static enum err sim_open(struct disk_sim *sim, struct vault **out)
{
    return vault_open_on(disk_sim_disk(sim), sim_dir, SLOT_PASSPHRASE, passphrase, out, NULL);
}

/* A directory of its own under /tmp for tests of the real disk. */
static void dir_make(char path[64])
{
    memcpy(path, "/tmp/jipan-vault-XXXXXX", 24);
    assert_non_null(mkdtemp(path));
}

static void dir_remove(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char name[400];
        (void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        (void)unlink(name);
    }
    closedir(dir);
    assert_int_equal(rmdir(path), 0);
}

static void created_vault_opens_with_passphrase_and_recovery_key(void **state)
{
    (void)state;
    char dir[64];
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct vault *v = NULL;
    dir_make(dir);
    assert_false(vault_exists(dir));
    assert_int_equal(vault_open(dir, passphrase, &v, NULL), ERR_NOT_FOUND);
    assert_int_equal(vault_create(dir, passphrase, recovery, &v, NULL), ERR_OK);
    assert_true(vault_exists(dir));
    run(vault_db(v), "CREATE TABLE t(x); INSERT INTO t VALUES(42)");
    vault_close(v);
    assert_int_equal(vault_create(dir, passphrase, recovery, &v, NULL), ERR_EXISTS);
    assert_int_equal(vault_open(dir, passphrase, &v, NULL), ERR_OK);
    assert_int_equal(number(vault_db(v), "SELECT x FROM t"), 42);
    assert_int_equal(vault_verify(v, NULL), ERR_OK);
    vault_close(v);
    assert_int_equal(vault_open_recovery(dir, bytes_str(recovery), &v, NULL), ERR_OK);
    assert_int_equal(number(vault_db(v), "SELECT x FROM t"), 42);
    vault_close(v);
    recovery[0] = recovery[0] == 'A' ? 'B' : 'A';
    assert_int_equal(vault_open_recovery(dir, bytes_str(recovery), &v, NULL), ERR_SECRET);
    dir_remove(dir);
}

static void files_are_readable_by_the_owner_only(void **state)
{
    (void)state;
    char dir[64];
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct vault *v = NULL;
    static const char *const names[] = { "jipan.db", "jipan.db-wal", "jipan.lock" };
    dir_make(dir);
    assert_int_equal(vault_create(dir, passphrase, recovery, &v, NULL), ERR_OK);
    run(vault_db(v), "CREATE TABLE t(x)");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[100];
        struct stat st;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777U, 0600);
    }
    vault_close(v);
    dir_remove(dir);
}

static void wrong_secret_touches_no_file(void **state)
{
    (void)state;
    char dir[64];
    char path[100];
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct stat before;
    struct stat after;
    struct stat dir_before;
    struct stat dir_after;
    struct vault *v = NULL;
    dir_make(dir);
    assert_int_equal(vault_create(dir, passphrase, recovery, &v, NULL), ERR_OK);
    run(vault_db(v), "CREATE TABLE t(x)");
    vault_close(v);
    (void)snprintf(path, sizeof(path), "%s/jipan.lock", dir);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/jipan.db", dir);
    struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, dir, old, 0), 0);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(stat(dir, &dir_before), 0);
    assert_int_equal(vault_open(dir, BYTES_LIT("wrong"), &v, NULL), ERR_SECRET);
    assert_int_equal(vault_open(dir, BYTES_LIT(""), &v, NULL), ERR_SECRET);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(stat(dir, &dir_after), 0);
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(dir_before.st_mtim.tv_sec, dir_after.st_mtim.tv_sec);
    assert_int_equal(before.st_size, after.st_size);
    dir_remove(dir);
}

static void second_open_is_locked_out_with_a_reason(void **state)
{
    (void)state;
    char dir[64];
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct vault *v = NULL;
    struct vault *second = NULL;
    struct why why = { "", "" };
    dir_make(dir);
    assert_int_equal(vault_create(dir, passphrase, recovery, &v, NULL), ERR_OK);
    assert_int_equal(vault_open(dir, passphrase, &second, &why), ERR_LOCKED);
    assert_non_null(strstr(why.zh, "另一个"));
    assert_non_null(strstr(why.en, "another jipan process"));
    vault_close(v);
    assert_int_equal(vault_open(dir, passphrase, &v, NULL), ERR_OK);
    vault_close(v);
    dir_remove(dir);
}

static void passphrase_change_replaces_the_old_one(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    run(vault_db(v), "CREATE TABLE t(x)");
    assert_int_equal(vault_set_passphrase(v, BYTES_LIT(""), NULL), ERR_INVALID);
    assert_int_equal(vault_set_passphrase(v, BYTES_LIT("new"), NULL), ERR_OK);
    assert_int_equal(vault_verify(v, NULL), ERR_OK);
    vault_close(v);
    assert_int_equal(sim_open(sim, &v), ERR_SECRET);
    assert_int_equal(vault_open_on(disk_sim_disk(sim), sim_dir, SLOT_PASSPHRASE, BYTES_LIT("new"), &v, NULL), ERR_OK);
    assert_int_equal(vault_set_passphrase(v, passphrase, NULL), ERR_OK);
    vault_close(v);
    assert_int_equal(sim_open(sim, &v), ERR_OK);
    vault_close(v);
    disk_sim_free(sim);
}

static void several_vaults_live_side_by_side(void **state)
{
    (void)state;
    struct disk_sim *sims[3];
    struct vault *vaults[3];
    uint8_t keys[3][VAULT_KEY_BYTES];
    for (size_t i = 0; i < 3; i++) {
        char sql[80];
        sims[i] = disk_sim_new();
        vaults[i] = sim_create(sims[i]);
        (void)snprintf(sql, sizeof(sql), "CREATE TABLE t(x); INSERT INTO t VALUES(%zu)", i);
        run(vault_db(vaults[i]), sql);
        vault_subkey(vaults[i], "audit", 1, keys[i]);
    }
    assert_memory_not_equal(keys[0], keys[1], VAULT_KEY_BYTES);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(number(vault_db(vaults[i]), "SELECT x FROM t"), i);
        vault_close(vaults[i]);
        disk_sim_free(sims[i]);
    }
}

static void subkeys_differ_by_label_and_number_and_survive_reopening(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    uint8_t a[VAULT_KEY_BYTES];
    uint8_t b[VAULT_KEY_BYTES];
    vault_subkey(v, "a", 1, a);
    vault_subkey(v, "a", 2, b);
    assert_memory_not_equal(a, b, sizeof(a));
    vault_subkey(v, "b", 1, b);
    assert_memory_not_equal(a, b, sizeof(a));
    vault_close(v);
    assert_int_equal(sim_open(sim, &v), ERR_OK);
    vault_subkey(v, "a", 1, b);
    assert_memory_equal(a, b, sizeof(a));
    vault_close(v);
    disk_sim_free(sim);
}

static void readers_see_commits_and_cannot_write_or_checkpoint(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    sqlite3 *reader = NULL;
    run(vault_db(v), "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    assert_int_equal(vault_reader(v, &reader), ERR_OK);
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 1);
    run(reader, "BEGIN");
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 1);
    run(vault_db(v), "INSERT INTO t VALUES(2)");
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 1);
    run(reader, "COMMIT");
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 2);
    assert_int_equal(sqlite3_exec(reader, "INSERT INTO t VALUES(3)", NULL, NULL, NULL) & 0xFF, SQLITE_READONLY);
    assert_int_not_equal(sqlite3_wal_checkpoint_v2(reader, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL), SQLITE_OK);
    /* Below SQLite's own refusal the VFS refuses the locks too. */
    sqlite3_file *file = main_file(reader);
    for (int slot = 0; slot < 2; slot++) {
        assert_int_equal(file->pMethods->xShmLock(file, slot, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE), SQLITE_BUSY);
    }
    assert_int_equal(vault_checkpoint(v), ERR_OK);
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 2);
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    vault_close(v);
    disk_sim_free(sim);
}

struct reader_job {
    struct vault *vault;
    atomic_bool *stop;
    unsigned reads;
    unsigned wrong;
};

/* Every transaction keeps the sum at zero; a reader that sees another sum saw half of one. */
static void *reader_main(void *arg)
{
    struct reader_job *job = arg;
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    if (vault_reader(job->vault, &db) != ERR_OK ||
        sqlite3_prepare_v2(db, "SELECT sum(n) FROM t", -1, &stmt, NULL) != SQLITE_OK) {
        job->wrong = 1;
        return NULL;
    }
    do {
        int rc = sqlite3_step(stmt);
        job->wrong += rc != SQLITE_ROW || sqlite3_column_int64(stmt, 0) != 0 ? 1 : 0;
        (void)sqlite3_reset(stmt);
        job->reads++;
    } while (!atomic_load(job->stop));
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    return NULL;
}

static void readers_in_other_threads_see_whole_transactions(void **state)
{
    (void)state;
    char dir[64];
    char text[VAULT_RECOVERY_TEXT_BYTES];
    struct vault *v = NULL;
    pthread_t threads[2];
    atomic_bool stop = false;
    dir_make(dir);
    assert_int_equal(vault_create(dir, passphrase, text, &v, NULL), ERR_OK);
    run(vault_db(v), "PRAGMA wal_autocheckpoint=30; CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, pad BLOB);"
                     "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<60)"
                     " INSERT INTO t SELECT i, 0, zeroblob(900) FROM c");
    vault_set_lazy(vault_db(v), true);
    struct reader_job jobs[2] = { { v, &stop, 0, 0 }, { v, &stop, 0, 0 } };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &jobs[i]), 0);
    }
    for (int i = 0; i < 300; i++) {
        char sql[160];
        (void)snprintf(sql, sizeof(sql),
            "BEGIN; UPDATE t SET n = n + 7 WHERE id = %d; UPDATE t SET n = n - 7 WHERE id = %d; COMMIT", i % 60 + 1,
            (i * 17 + 30) % 60 + 1);
        run(vault_db(v), sql);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(jobs[i].reads > 0);
        assert_int_equal(jobs[i].wrong, 0);
    }
    assert_int_equal(vault_verify(v, NULL), ERR_OK);
    vault_close(v);
    dir_remove(dir);
}

/* The log's sync that fails is the one under way while the checkpoint comes to its first page. */
static void no_page_is_written_before_its_log_is_durable(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    size_t len = 0;
    run(vault_db(v), "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x)");
    vault_set_lazy(vault_db(v), true);
    run(vault_db(v), "INSERT INTO t VALUES(zeroblob(20000))"); /* a new log: synced at once */
    run(vault_db(v), "INSERT INTO t VALUES(zeroblob(20000))");
    const uint8_t *file = disk_sim_content(sim, "/store/jipan.db", &len);
    uint8_t before[4 * VAULT_PAGE_BYTES];
    assert_non_null(file);
    assert_in_range(len, 1, sizeof(before));
    memcpy(before, file, len);
    disk_sim_fail_fsync_after(sim, 1); /* the first is that of the last commit */
    assert_int_not_equal(vault_checkpoint(v), ERR_OK);
    size_t now = 0;
    file = disk_sim_content(sim, "/store/jipan.db", &now);
    assert_int_equal(now, len);
    assert_memory_equal(file, before, len);
    vault_close(v);
    disk_sim_free(sim);
}

static void second_writer_is_refused(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    sqlite3 *other = NULL;
    int rc = sqlite3_open_v2(v->files->db_path, &other, SQLITE_OPEN_READWRITE, v->files->vfs_name);
    assert_int_equal(rc, SQLITE_CANTOPEN);
    (void)sqlite3_close(other);
    vault_close(v);
    disk_sim_free(sim);
}

static void other_files_cannot_be_opened_through_the_vault(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    run(vault_db(v), "CREATE TABLE t(x); INSERT INTO t VALUES('secret')");
    assert_int_not_equal(sqlite3_exec(vault_db(v), "ATTACH '/store/other.db' AS o", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(vault_db(v), "VACUUM INTO '/store/plain.db'", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(vault_db(v), "SELECT load_extension('x')", NULL, NULL, NULL), SQLITE_OK);
    vault_close(v);
    disk_sim_free(sim);
}

static void page_size_is_fixed(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    run(vault_db(v), "CREATE TABLE t(x)");
    assert_int_equal(sqlite3_exec(vault_db(v), "PRAGMA page_size=8192", NULL, NULL, NULL), SQLITE_ERROR);
    assert_int_equal(number(vault_db(v), "PRAGMA page_size"), VAULT_PAGE_BYTES);
    run(vault_db(v), "VACUUM");
    assert_int_equal(vault_verify(v, NULL), ERR_OK);
    vault_close(v);
    disk_sim_free(sim);
}

static void writer_is_set_up_for_safety(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    static const struct {
        const char *pragma;
        int64_t value;
    } cases[] = {
        { "PRAGMA synchronous", 2 },
        { "PRAGMA wal_autocheckpoint", 16000 },
        { "PRAGMA cache_size", -65536 },
        { "PRAGMA temp_store", 2 },
        { "PRAGMA trusted_schema", 0 },
        { "PRAGMA cell_size_check", 1 },
        { "PRAGMA secure_delete", 1 },
        { "PRAGMA foreign_keys", 0 },
        { "SELECT journal_mode = 'wal' FROM pragma_journal_mode", 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(number(vault_db(v), cases[i].pragma), cases[i].value);
    }
    vault_close(v);
    disk_sim_free(sim);
}

static void gaps_are_filled_with_sealed_pages(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    run(vault_db(v), "CREATE TABLE t(x)");
    assert_int_equal(vault_checkpoint(v), ERR_OK);
    sqlite3_file *file = main_file(vault_db(v));
    uint8_t page[VAULT_PAGE_BYTES] = { 7 };
    sqlite3_int64 size = 0;
    assert_int_equal(file->pMethods->xWrite(file, page, sizeof(page), 19 * VAULT_PAGE_BYTES), SQLITE_OK);
    assert_int_equal(file->pMethods->xTruncate(file, 30 * VAULT_PAGE_BYTES), SQLITE_OK);
    assert_int_equal(file->pMethods->xFileSize(file, &size), SQLITE_OK);
    assert_int_equal(size, 30 * VAULT_PAGE_BYTES);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(file->pMethods->xRead(file, page, sizeof(page), i * VAULT_PAGE_BYTES), SQLITE_OK);
        assert_int_equal(page[0], i == 19 ? 7 : i == 0 ? 'S' : page[0]);
    }
    assert_int_equal(file->pMethods->xRead(file, page, sizeof(page), 30 * VAULT_PAGE_BYTES), SQLITE_IOERR_DATA);
    vault_close(v);
    disk_sim_free(sim);
}

static void writes_that_are_no_whole_page_of_ours_are_refused(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    sqlite3_file *file = main_file(vault_db(v));
    uint8_t page[VAULT_PAGE_BYTES] = { 0 };
    assert_int_equal(file->pMethods->xWrite(file, page, 512, VAULT_PAGE_BYTES), SQLITE_IOERR_WRITE);
    assert_int_equal(file->pMethods->xWrite(file, page, sizeof(page), 512), SQLITE_IOERR_WRITE);
    assert_int_equal(file->pMethods->xWrite(file, page, sizeof(page), 0), SQLITE_IOERR_WRITE); /* byte 20 is not 40 */
    assert_int_equal(file->pMethods->xTruncate(file, 100), SQLITE_IOERR_TRUNCATE);
    assert_int_equal(vault_verify(v, NULL), ERR_OK);
    vault_close(v);
    disk_sim_free(sim);
}

static void log_can_be_limited_in_size(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    size_t len = 0;
    run(vault_db(v), "PRAGMA journal_size_limit=20000; PRAGMA wal_autocheckpoint=10; PRAGMA cache_size=5;"
                     "CREATE TABLE t(x BLOB)");
    for (int i = 0; i < 6; i++) {
        run(vault_db(v), "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<30)"
                         " INSERT INTO t SELECT randomblob(3000) FROM n; ROLLBACK");
        run(vault_db(v), "INSERT INTO t VALUES(randomblob(3000))");
        run(vault_db(v), "BEGIN; UPDATE t SET x = randomblob(3000); UPDATE t SET x = randomblob(3000); COMMIT");
    }
    assert_non_null(disk_sim_content(sim, "/store/jipan.db-wal", &len));
    assert_in_range(len, 1, 200000);
    assert_int_equal(vault_verify(v, NULL), ERR_OK);
    vault_close(v);
    disk_sim_free(sim);
}

/* What SQLite can do to a file, under every journal mode, with a cache that spills. */
static void sqlite_features_work_in_every_journal_mode(void **state)
{
    (void)state;
    static const char *const modes[] = { "WAL", "DELETE", "TRUNCATE", "PERSIST" };
    for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
        struct disk_sim *sim = disk_sim_new();
        struct vault *v = sim_create(sim);
        sqlite3 *db = vault_db(v);
        char sql[80];
        (void)snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", modes[m]);
        run(db, sql);
        run(db, "PRAGMA cache_size=10; PRAGMA temp_store=FILE; PRAGMA wal_autocheckpoint=50");
        run(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB)");
        run(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)"
                " INSERT INTO t SELECT i, hex(randomblob(60)), randomblob(100) FROM n");
        run(db, "CREATE INDEX t_a ON t(a); CREATE TEMP TABLE u AS SELECT * FROM t ORDER BY b");
        run(db, "BEGIN; UPDATE t SET a = a || 'x' WHERE id % 3 = 0; SAVEPOINT s; DELETE FROM t WHERE id > 500;"
                "ROLLBACK TO s; RELEASE s; COMMIT");
        run(db, "BEGIN; UPDATE t SET b = randomblob(3000); ROLLBACK");
        run(db, "UPDATE t SET a = 'y' || a");
        run(db, "DELETE FROM t WHERE id % 2 = 0; VACUUM");
        run(db, "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f SELECT a FROM t");
        run(db, "PRAGMA incremental_vacuum; DROP TABLE u");
        assert_int_equal(number(db, "SELECT count(*) FROM t"), 1000);
        assert_int_equal(vault_verify(v, NULL), ERR_OK);
        vault_close(v);
        assert_int_equal(sim_open(sim, &v), ERR_OK);
        assert_int_equal(number(vault_db(v), "SELECT count(*) FROM t"), 1000);
        assert_int_equal(number(vault_db(v), "SELECT count(*) FROM f"), 1000);
        assert_int_equal(vault_verify(v, NULL), ERR_OK);
        vault_close(v);
        disk_sim_free(sim);
    }
}

static void backup_copies_into_a_vault_with_other_keys(void **state)
{
    (void)state;
    struct disk_sim *from_disk = disk_sim_new();
    struct disk_sim *to_disk = disk_sim_new();
    struct vault *from = sim_create(from_disk);
    struct vault *to = sim_create(to_disk);
    run(vault_db(from), "CREATE TABLE t(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500)"
                        " INSERT INTO t SELECT randomblob(200) FROM n");
    sqlite3_backup *backup = sqlite3_backup_init(vault_db(to), "main", vault_db(from), "main");
    assert_non_null(backup);
    assert_int_equal(sqlite3_backup_step(backup, -1), SQLITE_DONE);
    assert_int_equal(sqlite3_backup_finish(backup), SQLITE_OK);
    vault_close(from);
    assert_int_equal(number(vault_db(to), "SELECT count(*) FROM t"), 500);
    assert_int_equal(vault_verify(to, NULL), ERR_OK);
    vault_close(to);
    assert_int_equal(sim_open(to_disk, &to), ERR_OK);
    assert_int_equal(number(vault_db(to), "SELECT count(*) FROM t"), 500);
    vault_close(to);
    disk_sim_free(from_disk);
    disk_sim_free(to_disk);
}

static void full_disk_is_refused_and_forgiven(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    sqlite3 *db = vault_db(v);
    run(db, "PRAGMA cache_size=10; CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    for (uint64_t room = 40000; room < 200000; room += 9973) {
        disk_sim_set_capacity(sim, room);
        int rc = sqlite3_exec(db,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400)"
            " INSERT INTO t SELECT randomblob(900) FROM n",
            NULL, NULL, NULL);
        assert_int_equal(err_from_sqlite(rc), ERR_FULL);
        assert_int_equal(number(db, "SELECT count(*) FROM t"), 1);
    }
    disk_sim_set_capacity(sim, 0);
    run(db, "INSERT INTO t VALUES(2)");
    assert_int_equal(vault_verify(v, NULL), ERR_OK);
    vault_close(v);
    assert_int_equal(sim_open(sim, &v), ERR_OK);
    assert_int_equal(number(vault_db(v), "SELECT count(*) FROM t"), 2);
    vault_close(v);
    disk_sim_free(sim);
}

static void failed_fsync_poisons_until_reopened(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = sim_create(sim);
    run(vault_db(v), "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    disk_sim_fail_fsync_after(sim, 0);
    assert_int_equal(err_from_sqlite(sqlite3_exec(vault_db(v), "INSERT INTO t VALUES(2)", NULL, NULL, NULL)), ERR_IO);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            err_from_sqlite(sqlite3_exec(vault_db(v), "INSERT INTO t VALUES(3)", NULL, NULL, NULL)), ERR_IO);
        assert_int_equal(err_from_sqlite(sqlite3_exec(vault_db(v), "SELECT * FROM t", NULL, NULL, NULL)), ERR_IO);
    }
    assert_int_equal(vault_set_passphrase(v, BYTES_LIT("x"), NULL), ERR_IO);
    vault_close(v);
    assert_int_equal(sim_open(sim, &v), ERR_OK);
    assert_true(number(vault_db(v), "SELECT count(*) FROM t") <= 2);
    assert_int_equal(number(vault_db(v), "SELECT count(*) FROM t WHERE x = 1"), 1);
    assert_int_equal(number(vault_db(v), "SELECT count(*) FROM t WHERE x = 3"), 0);
    assert_int_equal(vault_verify(v, NULL), ERR_OK);
    vault_close(v);
    disk_sim_free(sim);
}

static void errors_of_the_place_say_what_to_do(void **state)
{
    (void)state;
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = NULL;
    struct why why = { "", "" };
    char text[VAULT_RECOVERY_TEXT_BYTES];
    assert_int_equal(vault_open("/nonexistent/jipan", passphrase, &v, &why), ERR_NOT_FOUND);
    assert_int_equal(vault_create("/nonexistent/jipan", passphrase, text, &v, &why), ERR_NOT_FOUND);
    assert_non_null(strstr(why.en, "/nonexistent/jipan"));
    assert_int_equal(vault_create_on(disk_sim_disk(sim), sim_dir, BYTES_LIT(""), text, &v, &why), ERR_INVALID);
    disk_sim_set_read_only(sim, true);
    assert_int_equal(vault_create_on(disk_sim_disk(sim), sim_dir, passphrase, text, &v, &why), ERR_IO);
    assert_non_null(strstr(why.en, "read-only"));
    assert_non_null(strstr(why.zh, "权限"));
    disk_sim_set_read_only(sim, false);
    disk_sim_set_capacity(sim, 6000);
    assert_int_equal(vault_create_on(disk_sim_disk(sim), sim_dir, passphrase, text, &v, &why), ERR_FULL);
    assert_non_null(strstr(why.en, "full"));
    disk_sim_set_capacity(sim, 0);
    v = sim_create(sim);
    vault_close(v);
    disk_sim_set_read_only(sim, true);
    assert_int_equal(sim_open(sim, &v), ERR_IO);
    disk_sim_free(sim);
}

static void sqlite_codes_have_one_translation(void **state)
{
    (void)state;
    static const struct {
        int rc;
        enum err err;
    } cases[] = {
        { SQLITE_OK, ERR_OK },
        { SQLITE_DONE, ERR_OK },
        { SQLITE_IOERR_DATA, ERR_DAMAGED },
        { SQLITE_IOERR_FSYNC, ERR_IO },
        { SQLITE_IOERR_WRITE, ERR_IO },
        { SQLITE_NOTADB, ERR_DAMAGED },
        { SQLITE_CORRUPT_INDEX, ERR_DAMAGED },
        { SQLITE_BUSY_SNAPSHOT, ERR_BUSY },
        { SQLITE_CONSTRAINT_UNIQUE, ERR_CONFLICT },
        { SQLITE_FULL, ERR_FULL },
        { SQLITE_MISUSE, ERR_BUG },
        { SQLITE_ERROR, ERR_BUG },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(err_from_sqlite(cases[i].rc), cases[i].err);
    }
}

int main(void)
{
    vault_test_set_kdf(1, 64 * 1024);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(created_vault_opens_with_passphrase_and_recovery_key),
        cmocka_unit_test(files_are_readable_by_the_owner_only),
        cmocka_unit_test(wrong_secret_touches_no_file),
        cmocka_unit_test(second_open_is_locked_out_with_a_reason),
        cmocka_unit_test(passphrase_change_replaces_the_old_one),
        cmocka_unit_test(several_vaults_live_side_by_side),
        cmocka_unit_test(subkeys_differ_by_label_and_number_and_survive_reopening),
        cmocka_unit_test(readers_see_commits_and_cannot_write_or_checkpoint),
        cmocka_unit_test(readers_in_other_threads_see_whole_transactions),
        cmocka_unit_test(no_page_is_written_before_its_log_is_durable),
        cmocka_unit_test(second_writer_is_refused),
        cmocka_unit_test(other_files_cannot_be_opened_through_the_vault),
        cmocka_unit_test(page_size_is_fixed),
        cmocka_unit_test(writer_is_set_up_for_safety),
        cmocka_unit_test(gaps_are_filled_with_sealed_pages),
        cmocka_unit_test(writes_that_are_no_whole_page_of_ours_are_refused),
        cmocka_unit_test(log_can_be_limited_in_size),
        cmocka_unit_test(sqlite_features_work_in_every_journal_mode),
        cmocka_unit_test(backup_copies_into_a_vault_with_other_keys),
        cmocka_unit_test(full_disk_is_refused_and_forgiven),
        cmocka_unit_test(failed_fsync_poisons_until_reopened),
        cmocka_unit_test(errors_of_the_place_say_what_to_do),
        cmocka_unit_test(sqlite_codes_have_one_translation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
