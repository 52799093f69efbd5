/*
 * Owns: what happens to the identity of a node from outside: its files copied, set back, lost, taken to another
 * machine, run twice; and the node that is gone and made anew. Which of these a node must notice at its next open, and
 * which only a peer can show it, follows the table of docs/decisions/0011.
 */
#include "schema/base/check.h"
#include "tests/sim/sim.h"

enum { CLONE_LIVES_MS = 300000 };

static const char wal_path[] = PLACE_HOME "/jipan.db-wal";
static const char mark_path[] = PLACE_HOME "/jipan.mark";

/* No crash is left waiting for the files to be moved about. */
static void stop_whole(struct sim_node *n)
{
    node_close(n);
    disk_sim_continue(n->place.disk);
    n->armed = CRASH_NONE;
}

static void remove_file(struct sim_node *n, const char *path)
{
    struct disk disk = disk_sim_disk(n->place.disk);
    disk_sim_set_read_only(n->place.disk, false);
    (void)disk.ops->remove(disk.ctx, path);
    (void)disk.ops->sync_dir(disk.ctx, PLACE_HOME);
}

static void new_disk(struct sim_node *n, struct disk_sim *disk)
{
    disk_sim_free(n->place.disk);
    n->place.disk = disk;
}

/* What it promised since may be gone with it, and nobody may meet what it sent after that. */
static void rolled_back(struct sim *s, struct sim_node *n, bool is_noticed)
{
    n->is_rolled_back = true;
    n->has_flipped_log = false;
    n->must_change_epoch = is_noticed;
    n->must_meet = !is_noticed;
    n->has_two_passphrases = true;
    net_lose_sent(s, n->slot);
}

static void wal_removed(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    size_t len = 0;
    if (n->slot == 0 || !node_is_up(n) || n->may_be_half) {
        return;
    }
    node_crash(n, CRASH_KILL);
    if (disk_sim_content(n->place.disk, wal_path, &len) != NULL && len > 0) {
        remove_file(n, wal_path);
        rolled_back(s, n, false);
        n->may_change_epoch = true; /* the mark may have been in the log */
        n->may_be_lost = true;
        sim_fired(s, a->id);
    }
}

/* An old state of the disk, put back as files (noticed) or as a whole (not noticed). */
static void set_back(struct sim *s, struct sim_node *n, const struct plan_action *a, bool as_files)
{
    if (n->image_count == 0 || n->is_spoiled) {
        node_keep_image(n);
        return;
    }
    size_t i = a->b % n->image_count;
    if (n->slot == 0 && n->image_members[i] != s->member_changes) {
        return; /* the membership log has no epochs: only a person may set it back */
    }
    node_crash(n, CRASH_KILL);
    struct disk_sim *old = n->images[i];
    new_disk(n, as_files ? disk_sim_clone(old) : disk_sim_image(old));
    n->backup = n->image_backup[i]; /* it lies on the same disk */
    while (n->image_count > i + 1) {
        disk_sim_free(n->images[--n->image_count]);
    }
    rolled_back(s, n, as_files);
    n->may_change_epoch = true;
    sim_fired(s, a->id);
}

/* The store of a backup takes the place of the one that is there. */
static void restore(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    bool is_older = n->backup.members != s->member_changes; /* the membership log has no epochs: docs/decisions/0011 */
    if (!backup_is_there(n) || n->is_spoiled || n->is_clone || (n->slot == 0 && is_older)) {
        return;
    }
    stop_whole(n);
    backup_restore(s, n, a);
    rolled_back(s, n, true);
    n->passphrase = n->backup.passphrase;
    sim_fired(s, a->id);
}

/* Set back, unnoticed, and it does not wait until it has met somebody who could tell it. */
static void set_back_writes_on(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    if (n->image_count == 0 || n->is_spoiled || n->must_meet) {
        node_keep_image(n);
        return;
    }
    const struct known_head own = n->image_own[a->b % n->image_count];
    bool was_fired = s->fired[a->id];
    s->fired[a->id] = false;
    set_back(s, n, a, false);
    if (s->fired[a->id]) {
        oracle_may_fork(s, &own);
        n->must_meet = false;
        n->has_forked = true;
    }
    s->fired[a->id] = s->fired[a->id] || was_fired;
}

static void clone(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    bool is_noticed = a->id == DO_CLONE;
    if (n->slot == 0 || n->is_clone || n->is_spoiled || n->must_meet) {
        return;
    }
    struct sim_node *twin = sim_spare_node(s, &n->is);
    if (twin == NULL) {
        return;
    }
    disk_sim_free(twin->place.disk);
    twin->place.disk = is_noticed ? disk_sim_clone(n->place.disk) : disk_sim_image(n->place.disk);
    twin->number = n->number;
    twin->owner = n->owner;
    twin->scope = n->scope;
    twin->scope_ever = n->scope_ever;
    twin->owners_ever = n->owners_ever;
    twin->has_grown = n->has_grown;
    twin->passphrase = n->passphrase;
    twin->has_two_passphrases = n->has_two_passphrases;
    twin->exists = true;
    twin->is_clone = true;
    twin->epoch = n->epoch;
    twin->must_change_epoch = is_noticed;
    if (!is_noticed) {
        memcpy(twin->place.machine, n->place.machine, sizeof(twin->place.machine));
        twin->has_forked = true;
        n->has_forked = true;
        oracle_may_fork(s, &(struct known_head){ n->number, n->epoch, known_upto(&n->durable, n->number, n->epoch) });
    }
    s->has_clones = true;
    sim_fired(s, a->id);
    net_meet(s, twin->slot, 0);
    node_start_soon(twin, 100);
    sim_push(s, s->now_ms + CLONE_LIVES_MS * (is_noticed ? 1U : 1U + a->c), EV_LIFT, twin->slot, 0, 0);
}

/* Gone for ever; the authority strikes it off and enrols another one for the same place. */
static void lost_node(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    struct sim_node *first = &s->nodes[0];
    if (n->slot == 0 || n->is_clone || !member_may_change(s)) {
        return;
    }
    node_close(n);
    n->is_retired = true;
    oracle_after_rollback(s);
    node_enter(first);
    arena_reset(&first->app->arena);
    s->member_changes++;
    enum err e = member_strike_off(s, n, "丢失");
    if (e != ERR_OK && e != ERR_EXISTS) {
        (void)node_survived(first, e);
        return;
    }
    node_note_durable(first);
    sim_fired(s, a->id);
    struct sim_node *fresh = sim_spare_node(s, &n->is);
    if (fresh != NULL) {
        fresh->owner = n->owner;
        sim_add_node(s, fresh->slot);
    }
    if (node_is_up(first)) {
        node_step(first, (struct sync_event){ .kind = SYNC_EV_LOCAL });
    }
}

void fault_identity(struct sim *s, const struct plan_action *a)
{
    struct sim_node *n = some_node(s, a->a);
    switch (a->id) {
    case DO_WAL_REMOVED:
        wal_removed(s, n, a);
        break;
    case DO_MARK_LOST:
        stop_whole(n);
        remove_file(n, mark_path);
        n->must_change_epoch = true;
        sim_fired(s, a->id);
        break;
    case DO_OLD_FILE:
        set_back(s, n, a, true);
        break;
    case DO_OLD_IMAGE:
        set_back(s, n, a, false);
        break;
    case DO_RAW_COPY:
        if (n->is_spoiled) {
            return; /* a copy of what is spoilt now is for ever */
        }
        stop_whole(n);
        new_disk(n, disk_sim_clone(n->place.disk));
        n->must_change_epoch = true;
        sim_fired(s, a->id);
        break;
    case DO_NEW_MACHINE:
        stop_whole(n);
        /* One it never stood in: moved on before it opened and back again, it has nothing to doubt. */
        (void)snprintf(n->place.machine, sizeof(n->place.machine), "moved-to-%u", ++s->machines);
        n->must_change_epoch = true;
        sim_fired(s, a->id);
        break;
    case DO_RESTORE:
        restore(s, n, a);
        break;
    case DO_FORK:
        set_back_writes_on(s, n, a);
        break;
    case DO_CLONE:
    case DO_TWIN:
        clone(s, n, a);
        break;
    default:
        lost_node(s, n, a);
        return;
    }
    node_start_soon(n, 1000 + a->b * 10);
}
