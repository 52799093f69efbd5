/*
 * Owns: what goes wrong with one node: its process, its disk, its clock; and how it is made good again. Invariant:
 * nothing here destroys the last copy of an acknowledged write without the oracle hearing of it.
 */
#include "node/vault/layout.h"
#include "schema/base/check.h"
#include "tests/sim/sim.h"

enum { MINUTE_MS = 60000 };

static const char db_path[] = PLACE_HOME "/jipan.db";
static const char wal_path[] = PLACE_HOME "/jipan.db-wal";

static const int64_t year_ms = (int64_t)365 * 86400000;

struct sim_node *some_node(struct sim *s, uint32_t choice)
{
    for (size_t i = 0; i < s->node_count; i++) {
        struct sim_node *n = &s->nodes[(choice + i) % s->node_count];
        if (n->exists && !n->is_retired) {
            return n;
        }
    }
    return &s->nodes[0];
}

struct sim_node *some_up(struct sim *s, uint32_t choice)
{
    for (size_t i = 0; i < s->node_count; i++) {
        struct sim_node *n = &s->nodes[(choice + i) % s->node_count];
        if (n->exists && !n->is_retired && node_is_up(n)) {
            return n;
        }
    }
    return NULL;
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

static void crash_now(struct sim *s, struct sim_node *n, const struct plan_action *a, enum crash how)
{
    if (!node_is_up(n)) {
        return;
    }
    sim_fired(s, a->id);
    node_crash(n, how);
    node_start_soon(n, 100 + a->b * 100);
}

/* It happens inside the next steps, at the k-th change of its disk. */
static void crash_in_step(struct sim_node *n, const struct plan_action *a, enum crash how)
{
    n->armed = how;
    n->armed_by = a->id;
    n->may_be_half = true;
    n->damage = (enum sim_damage)(a->c % SIM_DAMAGE_COUNT);
    disk_sim_crash_after(n->place.disk, a->b % 40);
}

static void power(struct sim *s, struct sim_node *n, const struct plan_action *a, enum sim_damage damage)
{
    n->damage = damage;
    crash_now(s, n, a, CRASH_POWER);
}

static void power_in_open(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    if (!node_is_up(n)) {
        return;
    }
    n->damage = (enum sim_damage)(a->c % SIM_DAMAGE_COUNT);
    node_crash(n, CRASH_POWER);
    crash_in_step(n, a, CRASH_POWER);
    node_start_soon(n, 1000);
    (void)s;
}

static void restart(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    if (node_is_up(n)) {
        node_close(n);
        sim_fired(s, a->id);
        node_start_soon(n, 100 + a->b * 10);
    }
}

static void pause_node(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    if (node_is_up(n)) {
        n->paused_until = s->now_ms + (uint64_t)MINUTE_MS * (1 + a->b * (a->c % 5 == 0 ? 20 : 1));
        sim_push(s, n->paused_until, EV_LIFT, n->slot, 1, 0);
        sim_fired(s, a->id);
    }
}

/* --- disks -------------------------------------------------------------------------------------------------------- */

static void lift_later(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    n->is_spoiled = true;
    sim_push(s, s->now_ms + (uint64_t)MINUTE_MS * (1 + a->d % 15), EV_LIFT, n->slot, 0, 0);
}

/* What is written as one. */
static void piece_around(const char *path, size_t at, size_t *from, size_t *len)
{
    bool is_log = path == wal_path && at >= WAL_DISK_HEADER_BYTES;
    size_t first = is_log ? (size_t)WAL_DISK_HEADER_BYTES : 0U;
    *len = is_log ? (size_t)WAL_DISK_FRAME_BYTES : path == wal_path ? (size_t)WAL_DISK_HEADER_BYTES : 4096U;
    *from = first + (at - first) / *len * *len;
}

static void flip(struct sim *s, struct sim_node *n, const struct plan_action *a, const char *path)
{
    size_t len = 0;
    if (n->flipped_path != NULL || (n->slot == 0 && path == wal_path)) {
        return;
    }
    if (path == wal_path) {
        node_crash(n, CRASH_KILL);
    } else {
        node_close(n);
    }
    uint8_t *p = disk_sim_content(n->place.disk, path, &len);
    if (p != NULL && len > 0) {
        size_t at = (size_t)chance_below(&s->disk, len);
        n->flipped_path = path;
        n->flipped_mask = (uint8_t)(1U << (a->c % 8));
        p[at] ^= n->flipped_mask;
        n->flipped_at = at;
        piece_around(path, at, &n->flipped_from, &n->flipped_len);
        n->flipped_len = len - n->flipped_from < n->flipped_len ? len - n->flipped_from : n->flipped_len;
        memcpy(n->flipped, p + n->flipped_from, n->flipped_len);
        sim_fired(s, a->id);
        if (path == wal_path) {
            /* At the end of the log it looks like a write that never finished. */
            n->is_rolled_back = true;
            n->has_flipped_log = true;
            n->must_meet = true;
            net_lose_sent(s, n->slot);
        }
        lift_later(s, n, a);
    }
    node_start_soon(n, 1000);
}

/* Only what still is as it was left: what has been written again since is good. */
static void unflip(struct sim_node *n)
{
    size_t len = 0;
    if (n->flipped_path == NULL) {
        return;
    }
    node_close(n);
    uint8_t *p = disk_sim_content(n->place.disk, n->flipped_path, &len);
    if (p != NULL && len >= n->flipped_from + n->flipped_len &&
        memcmp(p + n->flipped_from, n->flipped, n->flipped_len) == 0) {
        p[n->flipped_at] ^= n->flipped_mask;
    }
    n->flipped_path = NULL;
}

static void disk_fault(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    struct disk_sim *disk = n->place.disk;
    n->io_by = a->id;
    n->may_be_half = true;
    switch (a->id) {
    case DO_FSYNC_FAILS:
        disk_sim_fail_fsync_after(disk, a->b % 6);
        break;
    case DO_WRITE_FAILS:
        disk_sim_fail_write_after(disk, a->b % 40);
        break;
    case DO_READ_FAILS:
        disk_sim_fail_read_after(disk, a->b % 40);
        break;
    case DO_DISK_FULL:
        disk_sim_set_capacity(disk, disk_sim_used(disk) + a->b * 20U);
        sim_fired(s, a->id);
        lift_later(s, n, a);
        break;
    default:
        disk_sim_set_read_only(disk, true);
        sim_fired(s, a->id);
        lift_later(s, n, a);
        break;
    }
}

/* --- clocks ------------------------------------------------------------------------------------------------------- */

static void move_clock(struct place *p, uint64_t now_ms, int64_t by_ms)
{
    p->clock_offset_ms += by_ms;
    p->frozen_at_ms += by_ms;
    (void)now_ms;
}

static void clock_fault(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    struct place *p = &n->place;
    int64_t step = (int64_t)(1 + a->b) * (a->c % 2 == 0 ? 1000 : 3600000);
    sim_fired(s, a->id);
    switch (a->id) {
    case DO_CLOCK_BACK:
        move_clock(p, s->now_ms, -step);
        break;
    case DO_CLOCK_FORWARD:
        move_clock(p, s->now_ms, step);
        break;
    case DO_CLOCK_FROZEN:
        p->frozen_at_ms = place_wall_ms(p, s->now_ms);
        p->is_clock_frozen = true;
        break;
    case DO_CLOCK_DRIFT:
        p->clock_since_ms = s->now_ms;
        p->clock_drift_ppm = (int64_t)(a->b * 100) - 50000;
        break;
    case DO_CLOCK_FUTURE:
        move_clock(p, s->now_ms, (int64_t)(1 + a->b % 60) * year_ms);
        break;
    default:
        move_clock(p, s->now_ms, -(int64_t)(1 + a->b % 60) * year_ms);
        break;
    }
}

static void clock_back_at_restart(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    if (node_is_up(n)) {
        node_close(n);
        move_clock(&n->place, s->now_ms, -(int64_t)(1 + a->b) * 3600000);
        sim_fired(s, a->id);
        node_start_soon(n, 1000);
    }
}

/* --- which ----------------------------------------------------------------------------------------------------------
 */

static void of_process(struct sim *s, struct sim_node *n, const struct plan_action *a)
{
    switch (a->id) {
    case DO_KILL:
        crash_now(s, n, a, CRASH_KILL);
        break;
    case DO_KILL_IN_STEP:
        crash_in_step(n, a, CRASH_KILL);
        break;
    case DO_RESTART:
        restart(s, n, a);
        break;
    case DO_PAUSE:
        pause_node(s, n, a);
        break;
    case DO_ALLOC_STEP:
        n->alloc_left = 1 + a->b % 400;
        n->may_be_half = true;
        break;
    case DO_POWER_DROP:
        power(s, n, a, SIM_DROP);
        break;
    case DO_POWER_TEAR:
        power(s, n, a, SIM_TEAR);
        break;
    case DO_POWER_REORDER:
        power(s, n, a, SIM_REORDER);
        break;
    case DO_POWER_SIZE:
        power(s, n, a, SIM_SIZE_ONLY);
        break;
    case DO_POWER_IN_STEP:
        crash_in_step(n, a, CRASH_POWER);
        break;
    default:
        power_in_open(s, n, a);
        break;
    }
}

void fault_do(struct sim *s, const struct plan_action *a)
{
    struct sim_node *n = some_node(s, a->a);
    bool is_single = a->id < DO_CUT || (a->id >= DO_CLOCK_BACK && a->id <= DO_CLOCK_RESTART);
    if (is_single && (!n->exists || n->is_retired)) {
        return;
    }
    if (is_single && a->d % 2 == 0) {
        node_keep_image(n);
    }
    if (a->id <= DO_POWER_IN_OPEN) {
        of_process(s, n, a);
    } else if (a->id <= DO_READ_ONLY) {
        disk_fault(s, n, a);
    } else if (a->id <= DO_FLIP_WAL) {
        flip(s, n, a, a->id == DO_FLIP_WAL ? wal_path : db_path);
    } else if (a->id < DO_CUT) {
        fault_identity(s, a);
    } else if (a->id < DO_CLOCK_BACK) {
        fault_net(s, a);
    } else if (a->id >= DO_STICK_LOST) {
        fault_stick(s, a);
    } else if (a->id == DO_CLOCK_RESTART) {
        clock_back_at_restart(s, n, a);
    } else if (a->id < DO_CLOCK_RESTART) {
        clock_fault(s, n, a);
    } else {
        fault_hostile(s, a);
    }
}

/* --- good again -----------------------------------------------------------------------------------------------------
 */

static void retire_clone(struct sim *s, struct sim_node *n)
{
    if (!n->is_retired) {
        node_close(n);
        n->is_retired = true;
        oracle_after_rollback(s);
    }
}

void fault_lift(struct sim *s, struct sim_node *n)
{
    if (n->is_clone) {
        retire_clone(s, n);
        return;
    }
    if (!n->exists || n->is_retired) {
        return;
    }
    if (n->paused_until > 0 && n->paused_until <= s->now_ms) {
        n->paused_until = 0;
        net_kick_node(s, n->slot);
    }
    if (n->is_spoiled) {
        disk_sim_set_capacity(n->place.disk, 0);
        disk_sim_set_read_only(n->place.disk, false);
        unflip(n);
        n->is_spoiled = false;
        node_start_soon(n, 100);
    }
}

void fault_heal_all(struct sim *s)
{
    for (size_t i = 0; i < s->node_count; i++) {
        struct sim_node *n = &s->nodes[i];
        if (n->is_retired || !n->exists) {
            node_close(n);
            continue;
        }
        n->paused_until = 0;
        n->alloc_left = 0;
        n->place.is_clock_frozen = false;
        fault_lift(s, n);
        if (disk_sim_has_crashed(n->place.disk)) {
            node_crash(n, n->armed);
        }
        disk_sim_continue(n->place.disk);
        n->armed = CRASH_NONE;
        node_start_soon(n, 10);
    }
}
