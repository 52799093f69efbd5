/*
 * Owns: what makes, opens, copies and replaces whole stores, under every fault: init, open, close, join, enrol,
 * passphrase, backup, restore. Each is all or nothing and can be done again.
 */
#include "tests/faults/loops.h"
#include "tests/faults/world.h"

#include "node/backup.h"
#include "node/vault/vault_on.h"
#include "schema/base/check.h"
#include "schema/wire.h"

#include <sodium.h>
#include <stdio.h>

static const struct bytes new_passphrase = { (const uint8_t *)"another passphrase", 18 };
typedef enum err (*making_fn)(struct app **out);

static const char new_home[] = "/place/n"; /* its name is not durable by itself */
static struct disk_sim *fresh; /* a disk with nothing, or nothing but a backup */

static void verify(struct app *app)
{
    struct why why = { { 0 }, { 0 } };
    if (app_verify(app, true, NULL, &why) != ERR_OK) {
        faults_fail("verify: %s", why.en);
    }
}

static void expect_live(const struct point *p)
{
    if (!fault_is_crash(p->kind) && inject_live() != faults_reference()->live) {
        faults_fail("%lld pieces of memory are left over", (long long)(inject_live() - faults_reference()->live));
    }
}

static void power(const struct point *p, struct disk_sim *disk)
{
    disk_sim_power_cycle(disk, fault_is_crash(p->kind) ? p->damage : SIM_DROP, p->k);
}

/* --- init --- */

static enum err init(struct app **app)
{
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct why why = { { 0 }, { 0 } };
    const struct app_init in = { .passphrase = WORLD_PASSPHRASE,
        .group_name = BYTES_LIT("另一集团"),
        .station_code = BYTES_LIT("S1"),
        .admin_login = BYTES_LIT("boss"),
        .admin_password = BYTES_LIT("a password 1") };
    return app_create_on(disk_sim_disk(fresh), new_home, &in, recovery, app, &why);
}

/* A node that is there is whole; else it can be made. */
static void expect_node_or_none(const struct point *p, enum err e, making_fn make_node)
{
    struct app *app = NULL;
    struct why why = { { 0 }, { 0 } };
    enum err opened = app_open_on(disk_sim_disk(fresh), new_home, WORLD_PASSPHRASE, &app, &why);
    if (opened != ERR_NOT_FOUND) {
        if (opened == ERR_OK && e != ERR_OK && !fault_is_crash(p->kind)) {
            faults_fail("failed with %s, and a node is there", err_name(e));
        }
        if (opened != ERR_OK) {
            faults_fail("half made: %s %s", err_name(opened), why.en);
        }
    } else if (e == ERR_OK) {
        faults_fail("made, and there is none");
    } else if (make_node(&app) != ERR_OK) {
        faults_fail("cannot be done again");
    }
    if (app != NULL) {
        verify(app);
        app_close(app);
    }
}

static bool try_making(making_fn make_node, const struct point *p)
{
    struct app *app = NULL;
    inject_arm(p, fresh);
    enum err e = make_node(&app);
    bool fired = inject_disarm(fresh);
    if (p != NULL && !fired) {
        return false;
    }
    app_close(app);
    if (p == NULL) {
        faults_reference()->live = inject_live();
        check(e == ERR_OK);
        return false;
    }
    expect_live(p);
    if (e != ERR_OK && !fault_is_crash(p->kind)) {
        world_expect_class(p, e);
    }
    power(p, fresh);
    expect_node_or_none(p, e, make_node);
    return true;
}

static bool try_init(const void *arg, const struct point *p)
{
    (void)arg;
    return try_making(init, p);
}

/* --- join: the joiner's half, and the authority's --- */

static struct app_joined joined;
static struct wire_message join_request;
static uint8_t join_proof[32];
static struct invite_code join_code;

static enum err join(struct app **app)
{
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct why why = { { 0 }, { 0 } };
    *app = NULL;
    return app_create_joined_on(disk_sim_disk(fresh), new_home, WORLD_PASSPHRASE, &joined, recovery, &why);
}

static bool try_join(const void *arg, const struct point *p)
{
    (void)arg;
    return try_making(join, p);
}

static void prepare_join(void)
{
    char text[INVITE_CODE_MAX];
    uint8_t secret[64];
    struct why why = { { 0 }, { 0 } };
    const struct app_invite in = { .kind = NODE_STATION, .station_code = BYTES_LIT("S3"), .holds_group = true };
    need(app_invite(s1, &in, text, NULL, &why), &why);
    need(invite_code_parse(bytes_str(text), &join_code, &why), &why);
    rng_fill(&s1->rng, joined.sign_seed, 32);
    rng_fill(&s1->rng, joined.box_seed, 32);
    rng_fill(&s1->rng, joined.self.tls_seed, 32);
    seal_sign_keypair(joined.sign_seed, joined.self.sign_public, joined.self.sign_secret);
    seal_box_keypair(joined.box_seed, joined.self.box_public, joined.self.box_secret);
    seal_sign_keypair(joined.self.tls_seed, joined.self.tls_public, secret);
    invite_proof(&join_code, joined.self.tls_public, joined.self.sign_public, joined.self.box_public, join_proof);
    join_request = (struct wire_message){ .kind = WIRE_JOIN_REQUEST,
        .invite = BYTES_OF(join_code.id),
        .proof = BYTES_OF(join_proof),
        .sign_key = BYTES_OF(joined.self.sign_public),
        .box_key = BYTES_OF(joined.self.box_public) };
    memcpy(joined.genesis_hash, join_code.genesis_hash, 32);
    memcpy(joined.peer_tls_key, join_code.tls_key, 32);
    joined.peer_address = bytes_str(join_code.address);
}

static enum err enrol(struct app *app)
{
    enum err e = app_enrol(
        app, joined.self.tls_public, &join_request, &joined.self.number, &joined.entries, &joined.entry_count);
    return e;
}

static bool try_enrol(const void *arg, const struct point *p)
{
    struct reference *want = faults_reference();
    (void)arg;
    if (p == NULL) {
        world_digest(s1, want->before);
        check(enrol(s1) == ERR_OK);
        arena_reset(&s1->arena);
        world_digest(s1, want->after);
        app_close(s1);
        want->live = inject_live();
        return false;
    }
    inject_arm(p, disk_a);
    enum err e = enrol(s1);
    if (!inject_disarm(disk_a)) {
        return false;
    }
    arena_reset(&s1->arena);
    app_close(world_judge(p, s1, disk_a, e, want));
    return true;
}

/* --- open, close --- */

static bool try_open(const void *arg, const struct point *p)
{
    struct reference *want = faults_reference();
    struct app *app = NULL;
    struct why why = { { 0 }, { 0 } };
    uint8_t now[32];
    (void)arg;
    inject_arm(p, disk_a);
    enum err e = app_open_on(disk_sim_disk(disk_a), "/a", WORLD_PASSPHRASE, &app, &why);
    bool fired = inject_disarm(disk_a);
    if (p != NULL && !fired) {
        return false;
    }
    app_close(e == ERR_OK ? app : NULL);
    if (p == NULL) {
        check(e == ERR_OK);
        want->live = inject_live();
        app = world_open(disk_a, "/a");
        check(core_statehash(&app->core, &app->arena, want->after) == ERR_OK);
        app_close(app);
        return false;
    }
    expect_live(p);
    if (e != ERR_OK && !fault_is_crash(p->kind)) {
        world_expect_class(p, e);
    }
    power(p, disk_a);
    app = world_open(disk_a, "/a");
    if (core_statehash(&app->core, &app->arena, now) != ERR_OK || !world_same(now, want->after)) {
        faults_fail("opened with %s, and then holds something else", err_name(e));
    }
    verify(app);
    app_close(app);
    return true;
}

static void opens(const void *arg)
{
    const char *name = arg;
    if (strcmp(name, "open") == 0) {
        app_close(s1);
    } else { /* a log full of transactions, some of them not durable */
        expect(0, ask(s1, "zhao", "set", set1(ids.customer, "industry", "金融")));
        expect(0, ask(s1, "zhao", "set", set1(ids.customer, "industry", "教育")));
        disk_sim_power_cycle(disk_a, SIM_DROP, 1);
    }
    faults_run(name, false, try_open, NULL);
}

static bool try_close(const void *arg, const struct point *p)
{
    struct reference *want = faults_reference();
    uint8_t now[32];
    (void)arg;
    inject_arm(p, disk_a);
    app_close(s1);
    bool fired = inject_disarm(disk_a);
    if (p == NULL) {
        want->live = inject_live();
        struct app *app = world_open(disk_a, "/a");
        world_digest(app, want->after);
        app_close(app);
        return false;
    }
    if (!fired) {
        return false;
    }
    expect_live(p);
    power(p, disk_a);
    struct app *app = world_open(disk_a, "/a");
    world_digest(app, now);
    if (!world_same(now, want->after)) {
        faults_fail("after closing and opening again the store holds something else");
    }
    verify(app);
    app_close(app);
    return true;
}

/* --- passphrase --- */

static bool try_passphrase(const void *arg, const struct point *p)
{
    struct vault *v = NULL;
    struct why why = { { 0 }, { 0 } };
    (void)arg;
    inject_arm(p, disk_a);
    enum err e = vault_set_passphrase(s1->vault, new_passphrase, &why);
    bool fired = inject_disarm(disk_a);
    if (p != NULL && !fired) {
        return false;
    }
    app_close(s1);
    if (p == NULL) {
        check(e == ERR_OK);
        faults_reference()->live = inject_live();
        return false;
    }
    expect_live(p);
    if (e != ERR_OK && !fault_is_crash(p->kind)) {
        world_expect_class(p, e);
    }
    power(p, disk_a);
    struct disk disk = disk_sim_disk(disk_a);
    enum err with_old = vault_open_on(disk, "/a", SLOT_PASSPHRASE, WORLD_PASSPHRASE, &v, &why);
    if (with_old == ERR_OK && e == ERR_OK) {
        faults_fail("told that it is changed, and the old one opens");
    }
    if (with_old == ERR_SECRET) {
        with_old = vault_open_on(disk, "/a", SLOT_PASSPHRASE, new_passphrase, &v, &why);
    }
    /* A torn copy of the header is mended by the open. */
    if (with_old != ERR_OK || vault_verify(v, &why) != ERR_OK) {
        faults_fail("neither the old nor the new one opens: %s", why.en);
    }
    vault_close(v);
    return true;
}

/* --- backup, restore --- */

/* By the verbs; *out is the first error. */
static enum err back_up(struct app *app)
{
    struct answer a;
    world_ask(app, "boss", "backup", "{\"file\":\"/backup/one\",\"force\":true}", &a);
    while (a.e == ERR_OK && strstr(a.text, "\"finished\":true") == NULL) {
        world_ask(app, "boss", "backup-step", "{}", &a);
    }
    return a.e;
}

static enum err restore_to(struct disk_sim *disk, struct restored *out, struct why *why)
{
    const struct restore in = { .home = new_home, .file = "/backup/one", .passphrase = WORLD_PASSPHRASE };
    return restore_run_on(disk_sim_disk(disk), &in, out, why);
}

static void expect_restorable(struct disk_sim *disk)
{
    struct restored r;
    struct why why = { { 0 }, { 0 } };
    enum err e = restore_to(disk, &r, &why);
    if (e != ERR_OK) {
        faults_fail("cannot be restored: %s %s", err_name(e), why.en);
    }
    struct app *app = world_open(disk, new_home);
    verify(app);
    app_close(app);
}

static bool is_there(struct disk_sim *disk, const char *path)
{
    size_t len = 0;
    return disk_sim_content(disk, path, &len) != NULL;
}

static bool try_backup(const void *arg, const struct point *p)
{
    struct reference *want = faults_reference();
    (void)arg;
    if (p == NULL) {
        check(back_up(s1) == ERR_OK);
        app_close(s1);
        want->live = inject_live();
        expect_restorable(disk_a);
        return false;
    }
    inject_arm(p, disk_a);
    enum err e = back_up(s1);
    if (!inject_disarm(disk_a)) {
        return false;
    }
    if (e != ERR_OK && !fault_is_crash(p->kind)) {
        world_expect_class(p, e);
        bool is_left = is_there(disk_a, "/backup/one.part") && !p->is_sticky;
        if (is_left) {
            faults_fail("a piece of the backup is left");
        }
    }
    app_close(s1);
    expect_live(p);
    power(p, disk_a);
    if (e == ERR_OK || is_there(disk_a, "/backup/one")) {
        expect_restorable(disk_a);
    }
    struct app *app = world_open(disk_a, "/a");
    verify(app);
    if (back_up(app) != ERR_OK) {
        faults_fail("no backup can be made any more");
    }
    app_close(app);
    return true;
}

static bool try_restore(const void *arg, const struct point *p)
{
    struct restored r;
    struct why why = { { 0 }, { 0 } };
    (void)arg;
    inject_arm(p, fresh);
    enum err e = restore_to(fresh, &r, &why);
    bool fired = inject_disarm(fresh);
    if (p != NULL && !fired) {
        return false;
    }
    if (p == NULL) {
        check(e == ERR_OK);
        faults_reference()->live = inject_live();
        return false;
    }
    expect_live(p);
    /* Not told apart yet: a page that cannot be read from a damaged one; closing does not say why it could not remove
     * the log. */
    bool is_known =
        (p->kind == FAULT_READ && e == ERR_DAMAGED) || (p->kind == FAULT_SQL && p->is_sticky && e == ERR_IO);
    if (e != ERR_OK && !fault_is_crash(p->kind) && !is_known) {
        world_expect_class(p, e);
    }
    power(p, fresh);
    if (!vault_exists_on(disk_sim_disk(fresh), new_home)) {
        if (e == ERR_OK) {
            faults_fail("told that it is done, and there is no node");
        }
        expect_restorable(fresh);
        return true;
    }
    struct app *app = world_open(fresh, new_home);
    verify(app);
    app_close(app);
    return true;
}

static void backups(const void *arg)
{
    (void)arg;
    faults_run("files backup", false, try_backup, NULL);
    check(back_up(s1) == ERR_OK);
    app_close(s1);
    fresh = disk_sim_image(disk_a); /* the node itself stands there too, and is not touched */
    faults_run("files restore", false, try_restore, NULL);
}

static void making(const void *arg)
{
    (void)arg;
    fresh = disk_sim_new();
    faults_run("files init", false, try_init, NULL);
    prepare_join();
    faults_run("files enrol", false, try_enrol, NULL);
    check(enrol(s1) == ERR_OK);
    faults_run("files join", false, try_join, NULL);
}

void loop_files(void)
{
    faults_apart("files", making, NULL);
    faults_apart("files", backups, NULL);
    faults_run("close", false, try_close, NULL);
    faults_run("passphrase", false, try_passphrase, NULL);
    faults_apart("open", opens, "open");
    faults_apart("open", opens, "open after power loss");
}
