/*
 * Kill loop of the encrypted store: a child writes transactions with a cache so small that they spill, and reports each
 * acknowledged one through a pipe; the parent kills it with SIGKILL at a random moment, opens the store, verifies it
 * and looks for everything that was acknowledged.
 *
 * Usage: vault_writer DIR LOOPS OFF|NORMAL|FULL [SEED]     (DIR must exist and be empty; exit 0: nothing lost)
 */
#include "node/vault.h"
#include "node/vault/slots.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS_KEPT = 200, ROWS_PER_TRANSACTION_MAX = 16, ACKS_MAX = 10, DELAY_US_MAX = 3000 };

static const struct bytes passphrase = { (const uint8_t *)"kill loop", 9 };

static uint64_t dice(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30U) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27U) * 0x94D049BB133111EBU;
    return z ^ z >> 31U;
}

static void die(const char *what, const char *detail)
{
    (void)fprintf(stderr, "vault_writer: %s: %s\n", what, detail);
    exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        die(sql, sqlite3_errmsg(db));
    }
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW) {
        die(sql, sqlite3_errmsg(db));
    }
    value = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return value;
}

static struct vault *open_or_die(const char *dir)
{
    struct vault *v = NULL;
    struct why why = { "", "" };
    enum err e = vault_open(dir, passphrase, &v, &why);
    if (e != ERR_OK) {
        die(err_name(e), why.en);
    }
    return v;
}

/* Writes until killed. One report per acknowledged transaction: the highest id. */
static void child_write(const char *dir, const char *synchronous, int out, uint64_t seed)
{
    char sql[600];
    struct vault *v = open_or_die(dir);
    sqlite3 *db = vault_db(v);
    (void)snprintf(
        sql, sizeof(sql), "PRAGMA cache_size=10; PRAGMA wal_autocheckpoint=60; PRAGMA synchronous=%s", synchronous);
    run(db, sql);
    int64_t id = number(db, "SELECT coalesce(max(id), 0) FROM t");
    uint64_t dies_after = dice(&seed) % 3 == 0 ? 1 + dice(&seed) % ACKS_MAX : 0;
    for (uint64_t acks = 1;; acks++) {
        int rows = 1 + (int)(dice(&seed) % ROWS_PER_TRANSACTION_MAX);
        (void)snprintf(sql, sizeof(sql),
            "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
            " INSERT INTO t SELECT %lld + i, printf('%%d', %lld + i), randomblob(700) FROM n;"
            "UPDATE t SET x = randomblob(700) WHERE id %% 7 = %lld; DELETE FROM t WHERE id <= %lld; COMMIT",
            rows, (long long)id, (long long)id, (long long)(id % 7), (long long)(id - ROWS_KEPT));
        run(db, sql);
        id += rows;
        if (write(out, &id, sizeof(id)) != (ssize_t)sizeof(id)) {
            exit(1);
        }
        if (acks == dies_after) {
            (void)raise(SIGKILL);
        }
    }
}

/* Lets the child run for a random while, kills it, returns the highest acknowledged id. */
static int64_t child_kill(pid_t pid, int in, int64_t acked, uint64_t *seed)
{
    int64_t id = 0;
    uint64_t wanted = dice(seed) % ACKS_MAX;
    for (uint64_t i = 0; i < wanted && read(in, &id, sizeof(id)) == (ssize_t)sizeof(id); i++) {
        acked = id;
    }
    (void)usleep((useconds_t)(dice(seed) % DELAY_US_MAX));
    (void)kill(pid, SIGKILL);
    while (read(in, &id, sizeof(id)) == (ssize_t)sizeof(id)) {
        acked = id;
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) {
        die("the child", "ended by itself");
    }
    return acked;
}

static void check_store(const char *dir, int64_t acked)
{
    struct why why = { "", "" };
    struct vault *v = open_or_die(dir);
    sqlite3 *db = vault_db(v);
    if (vault_verify(v, &why) != ERR_OK) {
        die("verify", why.en);
    }
    int64_t newest = number(db, "SELECT coalesce(max(id), 0) FROM t");
    if (newest < acked) {
        (void)fprintf(stderr, "acknowledged %lld, found %lld\n", (long long)acked, (long long)newest);
        die("lost", "an acknowledged transaction");
    }
    if (number(db,
            "SELECT count(*) = coalesce(max(id) - min(id) + 1, 0) AND coalesce(sum(name <> id), 0) = 0 FROM t") != 1) {
        die("wrong", "rows are missing or altered");
    }
    vault_close(v);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        die("usage", "vault_writer DIR LOOPS OFF|NORMAL|FULL [SEED]");
    }
    const char *dir = argv[1];
    unsigned long loops = strtoul(argv[2], NULL, 10);
    uint64_t seed = (uint64_t)(argc > 4 ? strtoull(argv[4], NULL, 10) : (unsigned long long)getpid());
    char text[VAULT_RECOVERY_TEXT_BYTES];
    struct vault *v = NULL;
    int64_t acked = 0;
    (void)printf("mode %s, seed %llu\n", argv[3], (unsigned long long)seed);
    (void)fflush(stdout);
    vault_test_set_kdf(1, 8192);
    if (vault_create(dir, passphrase, text, &v, NULL) != ERR_OK) {
        die("cannot create the store in", dir);
    }
    run(vault_db(v), "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, x BLOB); CREATE INDEX t_x ON t(x)");
    vault_close(v);
    for (unsigned long i = 0; i < loops; i++) {
        int ends[2];
        uint64_t child_seed = dice(&seed);
        if (pipe(ends) != 0) {
            die("pipe", strerror(errno));
        }
        pid_t pid = fork();
        if (pid < 0) {
            die("fork", strerror(errno));
        }
        if (pid == 0) {
            (void)close(ends[0]);
            child_write(dir, argv[3], ends[1], child_seed);
        }
        (void)close(ends[1]);
        acked = child_kill(pid, ends[0], acked, &seed);
        (void)close(ends[0]);
        check_store(dir, acked);
    }
    (void)printf("%lu kills, %lld rows acknowledged, nothing lost\n", loops, (long long)acked);
    return 0;
}
