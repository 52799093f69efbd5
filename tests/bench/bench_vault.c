/*
 * What the seal costs: bulk insert and single durable commits, plain SQLite against the vault, same pragmas,
 * interleaved.
 *
 * Usage: bench_vault DIR [ROWS [COMMITS]]     DIR must exist and lie on the disk to be measured
 */
#include "node/vault.h"
#include "node/vault/slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 3 };

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        (void)fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
        exit(1);
    }
}

static void insert_rows(sqlite3 *db, long rows)
{
    sqlite3_stmt *stmt = NULL;
    char text[120];
    if (sqlite3_prepare_v2(db, "INSERT INTO t VALUES(?1, ?2, ?3)", -1, &stmt, NULL) != SQLITE_OK) {
        exit(1);
    }
    memset(text, 'x', sizeof(text));
    for (long i = 0; i < rows; i++) {
        (void)sqlite3_bind_int64(stmt, 1, i);
        (void)sqlite3_bind_text(stmt, 2, text, (int)sizeof(text), SQLITE_STATIC);
        (void)sqlite3_bind_int64(stmt, 3, i * 7919);
        if (sqlite3_step(stmt) != SQLITE_DONE) {
            exit(1);
        }
        (void)sqlite3_reset(stmt);
    }
    (void)sqlite3_finalize(stmt);
}

static void measure(const char *name, sqlite3 *db, long rows, long commits)
{
    run(db,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, n INTEGER); CREATE TABLE u(id INTEGER PRIMARY KEY, a TEXT)");
    double start = seconds();
    run(db, "BEGIN");
    insert_rows(db, rows);
    run(db, "COMMIT");
    double bulk = seconds() - start;
    start = seconds();
    for (long i = 0; i < commits; i++) {
        run(db, "INSERT INTO u(a) VALUES('one acknowledged change of about fifty bytes')");
    }
    double single = seconds() - start;
    (void)printf(
        "%-6s bulk %8.0f rows/s   durable commits %7.0f /s\n", name, (double)rows / bulk, (double)commits / single);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_vault DIR [ROWS [COMMITS]]\n");
        return 2;
    }
    long rows = argc > 2 ? strtol(argv[2], NULL, 10) : 300000;
    long commits = argc > 3 ? strtol(argv[3], NULL, 10) : 1000;
    vault_test_set_kdf(1, 8192);
    for (int round = 0; round < ROUNDS; round++) {
        char path[400];
        char text[VAULT_RECOVERY_TEXT_BYTES];
        struct vault *v = NULL;
        sqlite3 *db = NULL;
        (void)snprintf(path, sizeof(path), "%s/plain-%d.db", argv[1], round);
        if (sqlite3_open(path, &db) != SQLITE_OK) {
            return 1;
        }
        run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000;"
                "PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON");
        measure("plain", db, rows, commits);
        (void)sqlite3_close(db);
        (void)snprintf(path, sizeof(path), "%s/vault-%d", argv[1], round);
        if (mkdir(path, 0700) != 0 || vault_create(path, BYTES_LIT("bench"), text, &v, NULL) != ERR_OK) {
            return 1;
        }
        measure("vault", vault_db(v), rows, commits);
        vault_close(v);
    }
    return 0;
}
