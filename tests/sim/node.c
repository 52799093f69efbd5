/*
 * Owns: the life of one simulated node, through the same functions as the daemon: founding, joining by an invite,
 * opening (mark, epoch, membership, core), steps, and the three ways to end: closed, killed, without power. Invariant:
 * an error that no fault explains ends the run.
 */
#include "tests/sim/sim.h"

#include "node/app_internal.h"
#include "schema/base/check.h"
#include "schema/wire.h"

#include <stdlib.h>

static const char *const passphrases[] = { "sim-passphrase", "sim-passphrase-2" };

void node_enter(struct sim_node *n)
{
    place_enter(&n->place, n->sim->now_ms);
}

bool node_is_up(const struct sim_node *n)
{
    return n->app != NULL;
}

bool node_takes_all(const struct sim_node *n)
{
    return n->is.holds_group && n->is.kind != NODE_LAPTOP && n->is.kind != NODE_RELAY;
}

uint64_t known_upto(const struct known_heads *k, uint32_t node, uint32_t epoch)
{
    for (size_t i = 0; i < k->count; i++) {
        if (k->at[i].node == node && k->at[i].epoch == epoch) {
            return k->at[i].upto;
        }
    }
    return 0;
}

void node_note_durable(struct sim_node *n)
{
    const struct core *c = &n->app->core;
    check(c->heads.count <= SIM_HEADS_MAX);
    n->durable.count = c->heads.count;
    for (size_t i = 0; i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        n->durable.at[i] = (struct known_head){ .node = h->node, .epoch = h->epoch, .upto = h->upto };
    }
    n->epoch = c->epoch;
}

/* Memory of a node: counts down to the allocation that must fail. */
static void *node_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    struct sim_node *n = ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    if (n->alloc_left > 0 && --n->alloc_left == 0) {
        n->alloc_failed = true;
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

static void take_over(struct sim_node *n)
{
    n->app->mem.resize = node_resize;
    n->app->mem.ctx = n;
    n->app->may_thread = false;
}

const char *node_passphrase(uint32_t which)
{
    return passphrases[which % ARRAY_LEN(passphrases)];
}

static struct bytes passphrase_of(const struct sim_node *n)
{
    return bytes_str(node_passphrase(n->passphrase));
}

/* --- making nodes ------------------------------------------------------------------------------------------------- */

void node_found(struct sim *s)
{
    struct sim_node *n = &s->nodes[0];
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct why why = { .zh = "" };
    const struct app_init in = { .passphrase = passphrase_of(n),
        .group_name = BYTES_LIT("东方集团"),
        .station_code = BYTES_LIT("S1"),
        .admin_login = BYTES_LIT("admin"),
        .admin_password = BYTES_LIT("sim-password") };
    node_enter(n);
    enum err e = app_create(PLACE_HOME, &in, recovery, &n->app, &why);
    if (e == ERR_OK) {
        e = app_set_listen(n->app, BYTES_LIT("sim:1"));
    }
    if (e == ERR_OK) {
        e = sync_new(&n->app->core, &n->sync);
    }
    if (e != ERR_OK) {
        sim_fail(s, SIM_WRONG, "setup", "founding: %s", err_en(e));
    }
    take_over(n);
    n->number = 1;
    n->exists = true;
    member_learn_scope(s, n);
    node_note_durable(n);
}

static void joiner_keys(struct sim_node *n, const struct invite_code *code, struct app_joined *out)
{
    uint8_t secret[SIGN_SECRET_BYTES];
    chance_fill(&n->place.chance, out->sign_seed, 32);
    chance_fill(&n->place.chance, out->box_seed, 32);
    chance_fill(&n->place.chance, out->self.tls_seed, 32);
    seal_sign_keypair(out->sign_seed, out->self.sign_public, out->self.sign_secret);
    seal_box_keypair(out->box_seed, out->self.box_public, out->self.box_secret);
    seal_sign_keypair(out->self.tls_seed, out->self.tls_public, secret);
    memcpy(out->genesis_hash, code->genesis_hash, 32);
    memcpy(out->peer_tls_key, code->tls_key, 32);
    out->peer_address = BYTES_LIT("sim:1");
}

static enum err invite(struct sim *s, const struct sim_node *n, struct invite_code *code)
{
    char text[INVITE_CODE_MAX];
    char station[8];
    char login[8] = "";
    struct why why = { .zh = "" };
    struct app *first = s->nodes[0].app;
    (void)snprintf(station, sizeof(station), "S%u", n->is.station);
    if (n->is.kind == NODE_LAPTOP) {
        (void)snprintf(login, sizeof(login), "u%u", n->owner);
    }
    const struct app_invite in = { .kind = n->is.kind,
        .station_code = bytes_str(station),
        .holds_group = n->is.holds_group,
        .owner_login = bytes_str(login) };
    enum err e = app_invite(first, &in, text, NULL, &why);
    return e == ERR_OK ? invite_code_parse(bytes_str(text), code, &why) : e;
}

/* The exchange of the join door without its socket: request, enrolment, the new store. */
void node_join(struct sim *s, struct sim_node *n)
{
    struct sim_node *first = &s->nodes[0];
    struct invite_code code;
    struct app_joined joined = { .entry_count = 0 };
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    uint8_t proof[32];
    struct why why = { .zh = "" };
    node_enter(first);
    arena_reset(&first->app->arena);
    enum err e = invite(s, n, &code);
    if (e == ERR_OK) {
        joiner_keys(n, &code, &joined);
        invite_proof(&code, joined.self.tls_public, joined.self.sign_public, joined.self.box_public, proof);
        const struct wire_message rq = { .kind = WIRE_JOIN_REQUEST,
            .invite = BYTES_OF(code.id),
            .proof = BYTES_OF(proof),
            .sign_key = BYTES_OF(joined.self.sign_public),
            .box_key = BYTES_OF(joined.self.box_public) };
        e = app_enrol(
            first->app, joined.self.tls_public, &rq, &joined.self.number, &joined.entries, &joined.entry_count);
    }
    if (e == ERR_OK) {
        node_note_durable(first);
        n->number = joined.self.number;
        node_enter(n);
        e = app_create_joined(PLACE_HOME, passphrase_of(n), &joined, recovery, &why);
        n->exists = e == ERR_OK;
        member_learn_scope(s, n);
    }
    arena_reset(&first->app->arena);
    if (e == ERR_OK) {
        n->epoch = 1;
        e = node_open(n);
    }
    if (e != ERR_OK && s->phase == PHASE_SETUP) {
        sim_fail(s, SIM_WRONG, "setup", "joining: %s", err_en(e));
    }
    n->is_retired = n->is_retired || !n->exists;
    if (e != ERR_OK && (err_class(e) != ERR_CLASS_USER || n->exists)) {
        (void)node_survived(first, e);
    }
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static void check_epoch(struct sim_node *n, uint32_t before)
{
    uint32_t now = n->app->core.epoch;
    if (n->must_change_epoch && now == before) {
        sim_fail(n->sim, SIM_WRONG, "I4", "node %u opened in doubt and kept epoch %u", n->number, now);
    }
    bool is_free = n->must_change_epoch || n->may_change_epoch || n->is_rolled_back || n->has_forked;
    if (!is_free && now != before && disk_sim_take_failure(n->place.disk)) {
        sim_fired(n->sim, n->io_by); /* the proof could not be read or written */
    } else if (!is_free && now != before) {
        sim_fail(n->sim, SIM_WRONG, "I4", "node %u changed epoch %u to %u without a doubt", n->number, before, now);
    }
}

enum err node_open(struct sim_node *n)
{
    struct why why = { .zh = "" };
    uint32_t before = n->epoch;
    check(n->app == NULL);
    node_enter(n);
    enum err e = app_open(PLACE_HOME, passphrase_of(n), &n->app, &why);
    if (e == ERR_SECRET && n->has_two_passphrases) {
        n->passphrase++;
        e = app_open(PLACE_HOME, passphrase_of(n), &n->app, &why);
    }
    if (e == ERR_OK && n->may_be_lost) {
        e = vault_verify(
            n->app->vault, &why); /* a page that only the log held whole may not be one of those read yet */
    }
    if (e == ERR_OK) {
        take_over(n);
        e = sync_new(&n->app->core, &n->sync);
    }
    if (e != ERR_OK) {
        sim_log(n->sim, "node %u does not open: %s (%s)", n->slot + 1, err_name(e), why.en);
        if (n->app != NULL) {
            app_close(n->app);
        }
        n->app = NULL;
        return e;
    }
    bool has_failed = disk_sim_take_failure(n->place.disk);
    if (has_failed) {
        sim_fired(n->sim, n->io_by);
        n->may_change_epoch = true; /* it may not have been able to read what proves its place */
    }
    n->opened_spoiled = n->is_spoiled || has_failed; /* what failed while it opened shows with the next write */
    check_epoch(n, before);
    check_reopened(n);
    n->is_rolled_back = false;
    n->must_change_epoch = false;
    n->may_be_lost = false;
    n->may_change_epoch = false;
    sim_trace(n->sim, (uint64_t)n->slot << 32U | n->app->core.epoch);
    net_kick_node(n->sim, n->slot);
    if (n->slot == 0) {
        member_learn(n->sim);
    }
    return ERR_OK;
}

void node_start_soon(struct sim_node *n, uint64_t in_ms)
{
    sim_push(n->sim, n->sim->now_ms + in_ms, EV_START, n->slot, 0, 0);
}

/* --- ending ------------------------------------------------------------------------------------------------------- */

static void let_go(struct sim_node *n)
{
    node_enter(n);
    n->alloc_left = 0;
    sync_free(n->sync);
    app_close(n->app);
    n->sync = NULL;
    n->app = NULL;
    net_drop_node(n->sim, n->slot);
}

void node_close(struct sim_node *n)
{
    if (n->app != NULL) {
        let_go(n);
    }
    if (disk_sim_has_crashed(n->place.disk)) {
        node_crash(n, n->armed);
    }
}

void node_crash(struct sim_node *n, enum crash how)
{
    disk_sim_stop(n->place.disk);
    if (n->app != NULL) {
        let_go(n);
    }
    if (how == CRASH_POWER) {
        disk_sim_power_cycle(n->place.disk, n->damage, chance_next(&n->sim->disk));
    } else {
        disk_sim_continue(n->place.disk);
    }
    n->armed = CRASH_NONE;
}

/* Whether something that was done to the node explains an error. */
static bool is_explained(struct sim_node *n)
{
    bool disk = disk_sim_take_failure(n->place.disk);
    bool memory = n->alloc_failed;
    if (disk) {
        sim_fired(n->sim, n->io_by);
    }
    if (memory) {
        sim_fired(n->sim, DO_ALLOC_STEP);
    }
    n->alloc_failed = false;
    return disk || memory || n->is_spoiled || n->opened_spoiled;
}

bool node_survived(struct sim_node *n, enum err e)
{
    struct sim *s = n->sim;
    sim_trace(s, (uint64_t)e << 8U | n->slot);
    sim_log(s, "node %u: %s", n->slot + 1, err_name(e));
    if (disk_sim_has_crashed(n->place.disk)) {
        sim_fired(s, n->armed_by);
        node_crash(n, n->armed);
    } else if (is_explained(n)) {
        node_close(n);
    } else {
        sim_fail(s, SIM_WRONG, "I2", "node %u: a call failed with %s and no fault explains it", n->number, err_name(e));
    }
    node_start_soon(n, 1000 + chance_below(&s->net, 60000));
    return false;
}

void node_step(struct sim_node *n, struct sync_event ev)
{
    struct sync_actions actions = { 0 };
    if (n->app == NULL) {
        return;
    }
    node_enter(n);
    ev.now = app_now();
    enum err e = sync_step(n->sync, &ev, &actions);
    if (n->alloc_failed && e == ERR_OK) {
        n->alloc_failed = false; /* a greedy message took down its session only */
    }
    if (e != ERR_OK) {
        (void)node_survived(n, e);
        return;
    }
    if (!ev.more) {
        check_one_session_each(n);
        node_note_durable(n);
        n->is_again = false;
        net_perform(n, &actions);
    }
    if (n->is_again) {
        n->is_again = false;
        node_step(n, (struct sync_event){ .kind = SYNC_EV_LOCAL });
    }
}

/* --- old states of the disk --------------------------------------------------------------------------------------- */

void node_keep_image(struct sim_node *n)
{
    if (n->flipped_path != NULL) {
        return;
    }
    if (n->image_count == SIM_IMAGES_MAX) {
        disk_sim_free(n->images[0]);
        memmove(n->images, n->images + 1, (SIM_IMAGES_MAX - 1) * sizeof(n->images[0]));
        memmove(n->image_own, n->image_own + 1, (SIM_IMAGES_MAX - 1) * sizeof(n->image_own[0]));
        memmove(n->image_backup, n->image_backup + 1, (SIM_IMAGES_MAX - 1) * sizeof(n->image_backup[0]));
        memmove(n->image_members, n->image_members + 1, (SIM_IMAGES_MAX - 1) * sizeof(n->image_members[0]));
        n->image_count--;
    }
    n->image_own[n->image_count] = (struct known_head){
        .node = n->number, .epoch = n->epoch, .upto = known_upto(&n->durable, n->number, n->epoch)
    };
    n->image_backup[n->image_count] = n->backup;
    n->image_members[n->image_count] = n->sim->member_changes;
    n->images[n->image_count++] = disk_sim_image(n->place.disk);
}

void node_free(struct sim_node *n)
{
    if (n->app != NULL) {
        let_go(n);
    }
    for (size_t i = 0; i < n->image_count; i++) {
        disk_sim_free(n->images[i]);
    }
    if (n->place.disk != NULL) {
        disk_sim_free(n->place.disk);
    }
    n->image_count = 0;
    n->place.disk = NULL;
}
