/*
 * A full disk while a node is restored or backed up: the error of a full disk, words that say what to do, and nothing
 * half done. The disk may say so at a write, at a sync (which a store answers like any failed sync), or when a file is
 * made.
 */
#include "node/backup.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "node/vault/slots.h"
#include "tests/lib/disk_sim.h"
#include "tests/lib/two_nodes.h"

#include <errno.h>
#include <string.h>

#define PASSPHRASE BYTES_LIT("disk passphrase")

static struct disk_sim *at_s1, *at_s2, *filled;
static const char file[] = "/backup/one";

static int found(void **state)
{
    (void)state;
    vault_test_set_kdf(1, 8192);
    at_s1 = disk_sim_new();
    at_s2 = disk_sim_new();
    two_nodes_found_on(disk_sim_disk(at_s1), disk_sim_disk(at_s2));
    const struct disk disk = disk_sim_disk(at_s1);
    bool made = false;
    assert_int_equal(disk_make_dir_durable(disk, "/backup", &made), 0);
    return 0;
}

static int leave(void **state)
{
    (void)state;
    app_close(s1);
    app_close(s2);
    disk_sim_free(at_s1);
    disk_sim_free(at_s2);
    return 0;
}

static enum err back_up(struct why *why)
{
    struct backup_progress p = { .done = 0 };
    enum err e = backup_start(s1, BYTES_LIT("/backup/one"), true, why);
    while (e == ERR_OK && !p.is_finished) {
        e = backup_step(s1, 100, &p, why);
    }
    return e;
}

static enum err restore(const char *home, bool replace, struct why *why)
{
    struct restored out;
    const struct restore in = { .home = home, .file = file, .passphrase = PASSPHRASE, .replace = replace };
    *why = (struct why){ .zh = { 0 } };
    return restore_run_on(disk_sim_disk(filled), &in, &out, why);
}

static bool is_there(struct disk_sim *disk, const char *path)
{
    uint64_t size = 0;
    const struct disk d = disk_sim_disk(disk);
    return d.ops->stat(d.ctx, path, &size) == 0;
}

/* The k-th call of a kind says that the disk is full; false: there are not so many. */
static bool try_one(const struct sim_fault *fault, const char *home, bool replace)
{
    struct why why;
    disk_sim_fail(filled, *fault);
    enum err e = restore(home, replace, &why);
    bool fired = disk_sim_fault_hits(filled) > 0;
    disk_sim_fail(filled, (struct sim_fault){ .at = 0 });
    if (e != ERR_OK && fault->call == SIM_WRITE) {
        assert_int_equal(e, ERR_FULL);
        assert_non_null(strstr(why.en, "free at least"));
        assert_non_null(strstr(why.zh, "磁盘已满"));
        assert_int_equal(err_exit_code(e), 4);
    }
    if (!fired) {
        assert_int_equal(e, ERR_OK);
    }
    return fired;
}

static void nothing_is_restored_by_half(void **state)
{
    (void)state;
    struct why why = { .zh = { 0 } };
    need(back_up(&why), &why);
    static const enum sim_call calls[] = { SIM_WRITE, SIM_SYNC, SIM_NAME };
    for (size_t i = 0; i < 2 * ARRAY_LEN(calls); i++) {
        struct sim_fault fault = { .call = calls[i / 2], .at = 0, .error = ENOSPC, .is_sticky = i == 1 };
        bool fired = true;
        bool over_old = i % 2 == 1;
        while (fired) {
            fault.at++;
            filled = disk_sim_image(at_s1);
            fired = try_one(&fault, "/place/n", false);
            bool is_whole = is_there(filled, "/place/n/jipan.db");
            if (fault.call != SIM_NAME) { /* else a removal may be what failed: the next restore clears up */
                assert_false(is_there(filled, "/place/n/restore.part"));
                assert_true(is_whole || !is_there(filled, "/place/n"));
            }
            if (over_old) {
                struct app *app = NULL;
                if (!is_whole) {
                    need(restore("/place/n", false, &why), &why);
                }
                fired = try_one(&fault, "/place/n", true) || fired;
                assert_true(is_there(filled, "/place/n/jipan.db"));
                need(app_open_on(disk_sim_disk(filled), "/place/n", PASSPHRASE, &app, &why), &why);
                app_close(app);
            }
            disk_sim_free(filled);
            filled = NULL;
        }
        assert_true(fault.at > 3);
    }
}

static void a_backup_leaves_no_piece(void **state)
{
    (void)state;
    struct why why = { .zh = { 0 } };
    for (uint64_t k = 1, fired = 1; fired > 0; k++) {
        disk_sim_fail(at_s1, (struct sim_fault){ .call = SIM_WRITE, .at = k, .error = ENOSPC });
        enum err e = back_up(&why);
        fired = disk_sim_fault_hits(at_s1);
        disk_sim_fail(at_s1, (struct sim_fault){ .at = 0 });
        if (e != ERR_OK) {
            assert_int_equal(e, ERR_FULL);
            assert_non_null(strstr(why.zh, "磁盘已满"));
            assert_non_null(strstr(why.en, "another disk"));
        }
        assert_false(is_there(at_s1, "/backup/one.part"));
        assert_true(is_there(at_s1, file));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_restored_by_half),
        cmocka_unit_test(a_backup_leaves_no_piece),
    };
    return cmocka_run_group_tests(tests, found, leave);
}
