/*
 * Owns: backups that simulated nodes make while they run, and stores made of them again, through the functions behind
 * the verbs. Invariant: a restore that was broken off is finished by running it again, and a good backup restores.
 */
#include "node/backup.h"
#include "schema/base/check.h"
#include "tests/sim/sim.h"

enum { TRIES_MAX = 4 };

static const char backup_path[] = "/usb/backup";
static const char *const aside[] = { PLACE_HOME "/jipan.db.before-restore", PLACE_HOME "/jipan.db.before-restore-wal" };

void backup_do(struct sim *s, struct sim_node *n)
{
    struct why why = { .zh = "" };
    struct backup_progress now = { .is_finished = false };
    node_enter(n);
    enum err e = backup_start(n->app, bytes_str(backup_path), true, &why);
    while (e == ERR_OK && !now.is_finished) {
        e = backup_step(n->app, BACKUP_PIECE_PAGES, &now, &why);
    }
    sim_trace(s, (uint64_t)e << 16U | now.bytes);
    if (e != ERR_OK) {
        (void)node_survived(n, e);
        return;
    }
    n->backup = (struct sim_backup){ .was_made = true, .passphrase = n->passphrase, .members = s->member_changes };
}

static enum err run(struct sim_node *n, struct restored *out)
{
    struct why why = { .zh = "" };
    const struct restore in = { .home = PLACE_HOME,
        .file = backup_path,
        .passphrase = bytes_str(node_passphrase(n->backup.passphrase)),
        .replace = true };
    enum err e = restore_run(&in, out, &why);
    sim_log(n->sim, "node %u restores: %s (%s)", n->slot + 1, err_name(e), why.en);
    return e;
}

static void put_away(struct sim_node *n)
{
    struct disk disk = disk_sim_disk(n->place.disk);
    for (size_t i = 0; i < ARRAY_LEN(aside); i++) {
        (void)disk.ops->remove(disk.ctx, aside[i]);
    }
}

bool backup_is_there(struct sim_node *n)
{
    size_t len = 0;
    return n->backup.was_made && disk_sim_content(n->place.disk, backup_path, &len) != NULL;
}

void backup_restore(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    struct restored done = { .node = 0 };
    enum err e = ERR_IO;
    node_enter(n);
    put_away(n);
    if (a->c % 2 == 0) {
        disk_sim_crash_after(n->place.disk, a->b % 300); /* the power goes meanwhile, or soon after */
    }
    for (unsigned i = 0; i < TRIES_MAX && e != ERR_OK; i++) {
        e = run(n, &done);
        if (e == ERR_SECRET && n->has_two_passphrases) {
            n->backup.passphrase++;
        }
        if (disk_sim_has_crashed(n->place.disk)) {
            disk_sim_power_cycle(n->place.disk, (enum sim_damage)(a->d % SIM_DAMAGE_COUNT), chance_next(&s->disk));
            e = ERR_IO; /* nobody was told that it is done */
            put_away(n);
        }
        (void)disk_sim_take_failure(n->place.disk);
    }
    disk_sim_continue(n->place.disk);
    if (e != ERR_OK) {
        sim_fail(s, SIM_WRONG, "I4", "node %u cannot be restored: %s", n->number, err_name(e));
    }
    if (done.node != n->number) {
        sim_fail(s, SIM_WRONG, "I4", "node %u was restored as node %u", n->number, done.node);
    }
    sim_trace(s, done.epoch);
}
