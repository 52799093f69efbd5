/*
 * Power loss at every changing operation, with unsynced writes dropped, torn at a sector, reordered, or grown but
 * empty; a second power loss during recovery; every fsync failing once. Afterwards the vault opens, verifies, holds
 * whole transactions only, and in the durable modes every acknowledged one. A torn tail is never reported as damage.
 *
 * Usage: test_vault_power [stride [seed]]: stride 1 tries every point (slow), the default a sample.
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
#include <stdlib.h>

static const struct bytes passphrase = { (const uint8_t *)"correct horse", 13 };
static const char sim_dir[] = "/store";

enum { BATCHES = 7, ROWS = 25 };

static uint64_t stride = 7;
static uint64_t base_seed = 20240607;

struct mode {
    const char *setup;
    bool is_durable; /* an acknowledged commit survives power loss */
    bool has_journal; /* rollback journal; the vault itself always uses the log */
    bool is_lazy; /* two of three commits do not wait for the disk; the third acknowledges them too */
};

enum { LAZY_RUN = 3 };

static const struct mode modes[] = {
    /* The log is never restarted: frames of a rolled-back transaction are overwritten. */
    { "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000", true, false, false },
    { "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=12", true, false, false },
    { "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000", true, false, true },
    { "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=12", true, false, true },
    { "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=12", false, false, false },
    /* Without EXTRA the removal of the journal itself may be forgotten, as in plain SQLite. */
    { "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA", true, true, false },
    { "PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL", true, true, false },
    { "PRAGMA journal_mode=PERSIST; PRAGMA synchronous=FULL", true, true, false },
};

static void run(sqlite3 *db, const char *sql)
{
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static enum err sim_open(struct disk_sim *sim, struct vault **out)
{
    return vault_open_on(disk_sim_disk(sim), sim_dir, SLOT_PASSPHRASE, passphrase, out, NULL);
}

static struct disk_sim *sim_prepared(void)
{
    struct disk_sim *sim = disk_sim_new();
    struct vault *v = NULL;
    char text[VAULT_RECOVERY_TEXT_BYTES];
    assert_int_equal(vault_create_on(disk_sim_disk(sim), sim_dir, passphrase, text, &v, NULL), ERR_OK);
    run(vault_db(v), "CREATE TABLE t(batch INTEGER, i INTEGER, x BLOB); CREATE INDEX t_x ON t(x);"
                     "CREATE TABLE last(n INTEGER); INSERT INTO last VALUES(0)");
    vault_close(v);
    return sim;
}

/* One transaction: new rows, changed old rows, removed filler; spills with the tiny cache. */
static bool batch_commit(sqlite3 *db, int batch)
{
    char sql[500];
    (void)snprintf(sql, sizeof(sql),
        "BEGIN IMMEDIATE;"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
        " INSERT INTO t SELECT %d, i, randomblob(%d) FROM n;"
        "UPDATE t SET x = randomblob(length(x)) WHERE i %% 5 = %d;"
        "UPDATE last SET n = %d; COMMIT",
        ROWS, batch, batch % 3 == 0 ? 900 : 150, batch % 5, batch);
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* Opens and works until an error or the end. *ret_acked: last transaction that was acknowledged. */
static void work(struct disk_sim *sim, const struct mode *mode, int *ret_acked)
{
    struct vault *v = NULL;
    *ret_acked = 0;
    if (sim_open(sim, &v) != ERR_OK) {
        return;
    }
    bool ok = sqlite3_exec(vault_db(v), "PRAGMA cache_size=8", NULL, NULL, NULL) == SQLITE_OK &&
              sqlite3_exec(vault_db(v), mode->setup, NULL, NULL, NULL) == SQLITE_OK;
    for (int batch = 1; batch <= BATCHES && ok; batch++) {
        bool is_lazy = mode->is_lazy && batch % LAZY_RUN != 0 && batch < BATCHES;
        vault_set_lazy(vault_db(v), is_lazy);
        ok = batch_commit(vault_db(v), batch);
        *ret_acked = ok && !is_lazy ? batch : *ret_acked;
        if (ok && batch == 4) {
            /* A spilled transaction rolled back leaves frames behind that the next one overwrites. */
            ok = sqlite3_exec(vault_db(v), "BEGIN; UPDATE t SET x = randomblob(800); ROLLBACK", NULL, NULL, NULL) ==
                 SQLITE_OK;
        }
    }
    vault_close(v);
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

struct point {
    const struct mode *mode;
    uint64_t op;
    enum sim_damage damage;
    uint64_t seed;
};

static void complain(const struct point *p, const char *what, const struct why *why)
{
    fail_msg("%s (%s); mode \"%s\", operation %llu, damage %d, seed %llu", what, why->en, p->mode->setup,
        (unsigned long long)p->op, (int)p->damage, (unsigned long long)p->seed);
}

/* The survivor opens clean, is whole, and has what was acknowledged. */
static void check_survivor(struct disk_sim *sim, const struct point *p, int acked)
{
    struct vault *v = NULL;
    struct why why = { "", "" };
    enum err e = vault_open_on(disk_sim_disk(sim), sim_dir, SLOT_PASSPHRASE, passphrase, &v, &why);
    if (e != ERR_OK) {
        complain(p, "does not open", &why);
        return;
    }
    /* With a rollback journal SQLite does not save the content of free pages, so one of them may stay torn. */
    bool is_whole = p->mode->has_journal
                        ? number(vault_db(v), "SELECT integrity_check = 'ok' FROM pragma_integrity_check") == 1
                        : vault_verify(v, &why) == ERR_OK;
    if (!is_whole) {
        complain(p, "does not verify", &why);
    }
    int64_t last = number(vault_db(v), "SELECT n FROM last");
    int64_t rows = number(vault_db(v), "SELECT count(*) FROM t");
    int64_t batches = number(vault_db(v), "SELECT count(DISTINCT batch) FROM t");
    if (rows != last * ROWS || batches != last) {
        complain(p, "holds half a transaction", &why);
    }
    if (p->mode->is_durable && last < acked) {
        complain(p, "lost an acknowledged transaction", &why);
    }
    vault_close(v);
}

static void power_loss_point(const struct disk_sim *prepared, const struct point *p)
{
    struct disk_sim *sim = disk_sim_clone(prepared);
    int acked = 0;
    disk_sim_crash_after(sim, p->op);
    work(sim, p->mode, &acked);
    disk_sim_power_cycle(sim, p->damage, p->seed);
    if (p->seed % 2 == 0) {
        /* Recovery is interrupted too. */
        struct vault *v = NULL;
        disk_sim_crash_after(sim, p->seed / 2 % 12);
        if (sim_open(sim, &v) == ERR_OK) {
            vault_close(v);
        }
        disk_sim_power_cycle(sim, p->damage, p->seed + 1);
    }
    check_survivor(sim, p, acked);
    disk_sim_free(sim);
}

static void power_loss_keeps_whole_and_acknowledged_transactions(void **state)
{
    (void)state;
    struct disk_sim *prepared = sim_prepared();
    uint64_t points = 0;
    for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
        int acked = 0;
        struct disk_sim *dry = disk_sim_clone(prepared);
        work(dry, &modes[m], &acked);
        assert_int_equal(acked, BATCHES);
        uint64_t ops = disk_sim_ops(dry);
        assert_true(ops > 100);
        print_message("%s: %llu operations\n", modes[m].setup, (unsigned long long)ops);
        disk_sim_free(dry);
        uint64_t step = modes[m].has_journal ? 10 * stride : stride;
        for (uint64_t op = 0; op < ops; op += 1 + (base_seed + op + m) % (2 * step - 1)) {
            struct point p = { .mode = &modes[m],
                .op = op,
                .damage = (enum sim_damage)(points % SIM_DAMAGE_COUNT),
                .seed = base_seed + op * 31 + m };
            power_loss_point(prepared, &p);
            points++;
        }
    }
    print_message("%llu power losses\n", (unsigned long long)points);
    disk_sim_free(prepared);
}

static void failed_fsync_never_loses_an_acknowledged_transaction(void **state)
{
    (void)state;
    struct disk_sim *prepared = sim_prepared();
    for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
        for (uint64_t n = 0; n < 30; n++) {
            const struct point p = { .mode = &modes[m], .op = n, .damage = SIM_DROP, .seed = n };
            struct disk_sim *sim = disk_sim_clone(prepared);
            int acked = 0;
            disk_sim_fail_fsync_after(sim, n);
            work(sim, &modes[m], &acked);
            disk_sim_power_cycle(sim, SIM_DROP, n);
            check_survivor(sim, &p, acked);
            disk_sim_free(sim);
        }
    }
    disk_sim_free(prepared);
}

static void power_loss_in_creation_leaves_a_whole_store_or_none(void **state)
{
    (void)state;
    unsigned made = 0;
    for (uint64_t op = 0; op < 60; op++) {
        for (int damage = 0; damage < SIM_DAMAGE_COUNT; damage++) {
            struct disk_sim *sim = disk_sim_new();
            struct vault *v = NULL;
            char text[VAULT_RECOVERY_TEXT_BYTES];
            disk_sim_crash_after(sim, op);
            enum err created = vault_create_on(disk_sim_disk(sim), sim_dir, passphrase, text, &v, NULL);
            if (created == ERR_OK) {
                vault_close(v);
                made++;
            }
            disk_sim_power_cycle(sim, (enum sim_damage)damage, op * 7 + (uint64_t)damage);
            enum err opened = sim_open(sim, &v);
            if (opened == ERR_NOT_FOUND) {
                assert_int_not_equal(created, ERR_OK);
                opened = vault_create_on(disk_sim_disk(sim), sim_dir, passphrase, text, &v, NULL);
            }
            assert_int_equal(opened, ERR_OK);
            assert_int_equal(vault_verify(v, NULL), ERR_OK);
            vault_close(v);
            disk_sim_free(sim);
        }
    }
    assert_true(made > 0);
}

/* The open before has mended what a change that was broken off left: both copies are the same, and either alone opens
 * with this one and no other. */
static void expect_one_passphrase(struct disk_sim *sim, struct bytes secret)
{
    for (size_t copy = 0; copy <= HEADER_COPIES; copy++) {
        struct disk_sim *one = disk_sim_clone(sim);
        struct vault *v = NULL;
        size_t len = 0;
        if (copy < HEADER_COPIES) {
            disk_sim_content(one, "/store/jipan.db", &len)[copy * HEADER_COPY_BYTES + 100] ^= 1U;
        }
        assert_int_equal(vault_open_on(disk_sim_disk(one), sim_dir, SLOT_PASSPHRASE, secret, &v, NULL), ERR_OK);
        assert_int_equal(vault_verify(v, NULL), ERR_OK);
        vault_close(v);
        disk_sim_free(one);
    }
}

/* The power goes while an open mends the header: the one copy that counts is not touched. */
static void power_loss_while_the_header_is_mended_leaves_one_copy(void **state)
{
    (void)state;
    struct disk_sim *prepared = sim_prepared();
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct disk_sim *broken = disk_sim_clone(prepared);
        struct vault *v = NULL;
        size_t len = 0;
        size_t copy = seed % HEADER_COPIES;
        disk_sim_content(broken, "/store/jipan.db", &len)[copy * HEADER_COPY_BYTES + seed] ^= 1U;
        struct disk_sim *sim = disk_sim_clone(broken);
        disk_sim_crash_after(sim, seed / HEADER_COPIES % 4);
        if (sim_open(sim, &v) == ERR_OK) {
            vault_close(v);
        }
        disk_sim_power_cycle(sim, (enum sim_damage)(seed / 8 % SIM_DAMAGE_COUNT), seed);
        assert_int_equal(sim_open(sim, &v), ERR_OK);
        vault_close(v);
        expect_one_passphrase(sim, passphrase);
        disk_sim_free(sim);
        disk_sim_free(broken);
    }
    disk_sim_free(prepared);
}

static void power_loss_in_a_passphrase_change_leaves_old_or_new(void **state)
{
    (void)state;
    struct disk_sim *prepared = sim_prepared();
    struct disk_sim *damaged = disk_sim_clone(prepared);
    size_t len = 0;
    disk_sim_content(damaged, "/store/jipan.db", &len)[100] ^= 1U; /* the copy that does not count */
    struct disk_sim *one_copy = disk_sim_clone(damaged); /* makes the damage durable */
    const struct bytes changed = BYTES_LIT("changed");
    for (uint64_t op = 0; op < 6; op++) {
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct disk_sim *sim = disk_sim_clone(seed % 2 == 0 ? prepared : one_copy);
            struct vault *v = NULL;
            assert_int_equal(sim_open(sim, &v), ERR_OK);
            disk_sim_crash_after(sim, op);
            enum err e = vault_set_passphrase(v, changed, NULL);
            vault_close(v);
            disk_sim_power_cycle(sim, (enum sim_damage)(seed / 2 % SIM_DAMAGE_COUNT), seed);
            enum err with_old = sim_open(sim, &v);
            if (with_old == ERR_OK) {
                assert_int_not_equal(e, ERR_OK);
                vault_close(v);
            } else {
                assert_int_equal(with_old, ERR_SECRET);
                assert_int_equal(
                    vault_open_on(disk_sim_disk(sim), sim_dir, SLOT_PASSPHRASE, changed, &v, NULL), ERR_OK);
                vault_close(v);
            }
            expect_one_passphrase(sim, with_old == ERR_OK ? passphrase : changed);
            disk_sim_free(sim);
        }
    }
    disk_sim_free(one_copy);
    disk_sim_free(damaged);
    disk_sim_free(prepared);
}

int main(int argc, char **argv)
{
    vault_test_set_kdf(1, 8192);
    if (argc > 1) {
        stride = strtoull(argv[1], NULL, 10);
        stride = stride == 0 ? 1 : stride;
    }
    if (argc > 2) {
        base_seed = strtoull(argv[2], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_loss_keeps_whole_and_acknowledged_transactions),
        cmocka_unit_test(failed_fsync_never_loses_an_acknowledged_transaction),
        cmocka_unit_test(power_loss_in_creation_leaves_a_whole_store_or_none),
        cmocka_unit_test(power_loss_in_a_passphrase_change_leaves_old_or_new),
        cmocka_unit_test(power_loss_while_the_header_is_mended_leaves_one_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
