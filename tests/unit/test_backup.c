/*
 * Identity safety: an opened store proves that it continues, or draws a new epoch; a backup is whole whatever is
 * written meanwhile; a restored node reuses nothing and gets its own lost commits back; what goes wrong installs
 * nothing.
 */
#include "node/backup.h"
#include "node/mark.h"
#include "sync/fork.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/lib/two_nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PASSPHRASE BYTES_LIT("disk passphrase")

static char dir[64];
static char file[128];
static char home[128];

static int found(void **state)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/jipan-test-backup-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof(file), "%s/backup", dir);
    (void)snprintf(home, sizeof(home), "%s/restored", dir);
    return two_nodes_found(state);
}

static void __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
    char command[3 * APP_PATH_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static int leave(void **state)
{
    mark_test_set_machine(NULL);
    shell("rm -rf '%s'", dir);
    return two_nodes_leave(state);
}

static struct app *reopen(struct app *app)
{
    char at[APP_PATH_MAX];
    struct app *again = NULL;
    struct why why = { .zh = { 0 } };
    (void)snprintf(at, sizeof(at), "%s", app->home);
    app_close(app);
    need(app_open(at, PASSPHRASE, &again, &why), &why);
    return again;
}

static struct app *open_at(const char *at)
{
    struct app *app = NULL;
    struct why why = { .zh = { 0 } };
    need(app_open(at, PASSPHRASE, &app, &why), &why);
    return app;
}

static bool is_there(const char *base, const char *suffix)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s%s", base, suffix);
    return access(path, F_OK) == 0;
}

/* The whole backup at once. */
static struct backup_progress back_up(struct app *app)
{
    struct backup_progress p = { .done = 0 };
    struct why why = { .zh = { 0 } };
    need(backup_start(app, bytes_str(file), true, &why), &why);
    while (!p.is_finished) {
        need(backup_step(app, 100, &p, &why), &why);
    }
    return p;
}

static enum err restore(const char *passphrase, bool replace, struct restored *out)
{
    struct why why = { .zh = { 0 } };
    const struct restore in = { .home = home, .file = file, .passphrase = bytes_str(passphrase), .replace = replace };
    return restore_run(&in, out, &why);
}

static void hash_of(struct app *app, uint8_t out[32])
{
    need(core_statehash(&app->core, &app->arena, out), NULL);
    arena_reset(&app->arena);
}

static void expect_same(struct app *a, struct app *b)
{
    uint8_t one[32];
    uint8_t other[32];
    hash_of(a, one);
    hash_of(b, other);
    assert_memory_equal(one, other, 32);
}

static uint64_t own_upto(const struct app *app, uint32_t epoch)
{
    const struct head *h = core_head(&app->core, 1, epoch);
    return h == NULL ? 0 : h->upto;
}

static void an_ordinary_open_keeps_the_epoch(void **state)
{
    (void)state;
    (void)new_customer(s1, "wang", "甲");
    s1 = reopen(s1);
    s1 = reopen(s1);
    assert_int_equal(s1->core.epoch, 1);
    s2 = reopen(s2);
    assert_int_equal(s2->core.epoch, 1);
}

/* Between the store's commit and the rename of the file beside it the power goes. */
static void a_crash_while_opening_keeps_the_epoch(void **state)
{
    char at[APP_PATH_MAX];
    (void)state;
    (void)snprintf(at, sizeof(at), "%s", s1->home);
    app_close(s1);
    shell("ln '%s/jipan.mark' '%s/kept'", at, dir);
    s1 = open_at(at);
    (void)new_customer(s1, "wang", "甲");
    shell("mv '%s/kept' '%s/jipan.mark'", dir, at);
    s1->has_mark = false; /* nothing is brought up to date any more */
    s1 = reopen(s1);
    assert_int_equal(s1->core.epoch, 1);
}

static void a_copied_directory_draws_a_new_epoch(void **state)
{
    uint32_t epoch = 0;
    (void)state;
    (void)new_customer(s1, "wang", "甲");
    s1 = reopen(s1);
    shell("cp -a '%s' '%s'", s1->home, home);
    struct app *copy = open_at(home);
    epoch = copy->core.epoch;
    assert_true(epoch > 1);
    (void)new_customer(copy, "wang", "乙");
    assert_int_equal(own_upto(copy, 1), 1);
    assert_int_equal(own_upto(copy, epoch), 1);
    copy = reopen(copy);
    assert_int_equal(copy->core.epoch, epoch);
    app_close(copy);
    s1 = reopen(s1);
    assert_int_equal(s1->core.epoch, 1);
}

static void another_machine_draws_a_new_epoch(void **state)
{
    (void)state;
    mark_test_set_machine("another");
    s1 = reopen(s1); /* closed on this machine, opened on another */
    uint32_t epoch = s1->core.epoch;
    assert_true(epoch > 1);
    s1 = reopen(s1);
    assert_int_equal(s1->core.epoch, epoch);
}

/* The store's file is overwritten in place with an older one of its own: same number, same birth. */
static void an_older_file_put_back_draws_a_new_epoch(void **state)
{
    char at[APP_PATH_MAX];
    (void)state;
    (void)snprintf(at, sizeof(at), "%s", s1->home);
    app_close(s1);
    shell("cp -a '%s/jipan.db' '%s/old'", at, dir);
    shell("cp -a '%s/jipan.mark' '%s/old.mark'", at, dir);
    s1 = open_at(at);
    (void)new_customer(s1, "wang", "甲");
    app_close(s1);
    shell("cat '%s/old' > '%s/jipan.db'", dir, at);
    s1 = open_at(at);
    uint32_t epoch = s1->core.epoch;
    assert_true(epoch > 1);
    app_close(s1);
    shell("cat '%s/old' > '%s/jipan.db'", dir, at);
    shell("cat '%s/old.mark' > '%s/jipan.mark'", dir, at);
    s1 = open_at(at);
    assert_true(s1->core.epoch > 1);
    assert_int_not_equal(s1->core.epoch, epoch);
}

static void a_lost_mark_draws_a_new_epoch(void **state)
{
    char at[APP_PATH_MAX];
    (void)state;
    (void)snprintf(at, sizeof(at), "%s", s1->home);
    app_close(s1);
    shell("rm '%s/jipan.mark'", at);
    s1 = open_at(at);
    assert_true(s1->core.epoch > 1);
}

/* Same bytes, another file: who put it there may have taken it from anywhere. */
static void a_replaced_file_draws_a_new_epoch(void **state)
{
    char at[APP_PATH_MAX];
    (void)state;
    (void)snprintf(at, sizeof(at), "%s", s1->home);
    app_close(s1);
    shell("cp -a '%s/jipan.db' '%s/copy' && mv '%s/copy' '%s/jipan.db'", at, dir, dir, at);
    s1 = open_at(at);
    uint32_t epoch = s1->core.epoch;
    assert_true(epoch > 1);
    app_close(s1);
    shell("printf 'JIPAN-MARK-1\\n00000000000000000000000000000000\\n' > '%s/jipan.mark'", at); /* in place */
    s1 = open_at(at);
    assert_int_not_equal(s1->core.epoch, epoch);
}

static void a_backup_holds_what_is_written_meanwhile(void **state)
{
    struct backup_progress p = { .done = 0 };
    struct restored r = { .node = 0 };
    struct why why = { .zh = { 0 } };
    unsigned pieces = 0;
    (void)state;
    (void)new_customer(s1, "wang", "甲");
    need(backup_start(s1, bytes_str(file), false, &why), &why);
    while (!p.is_finished) {
        assert_false(is_there(file, ""));
        need(backup_step(s1, 3, &p, &why), &why);
        if (!p.is_finished && pieces < 12) {
            (void)new_customer(s1, "wang", "备份中");
        }
        pieces++;
    }
    assert_true(pieces > 10);
    assert_true(is_there(file, ""));
    assert_false(is_there(file, ".part"));
    assert_int_equal(p.born.node, 1);
    assert_int_equal(p.born.epoch, 1);
    assert_int_equal(p.born.seq, own_upto(s1, 1));
    need(restore("disk passphrase", false, &r), &why);
    assert_int_equal(r.born.seq, p.born.seq);
    struct app *back = open_at(home);
    expect_same(s1, back);
    need(app_verify(back, true, &(struct core_mended){ 0 }, &why), &why);
    app_close(back);
    assert_int_equal(s1->core.epoch, 1); /* the node itself is not touched */
}

/* The rule of the whole: nothing reused, nothing lost. */
static void a_restored_node_loses_nothing(void **state)
{
    struct restored r = { .node = 0 };
    char kept[64];
    char lost[64];
    char later[64];
    (void)state;
    (void)snprintf(kept, sizeof(kept), "%s", new_customer(s1, "wang", "备份之前"));
    (void)back_up(s1);
    (void)snprintf(lost, sizeof(lost), "%s", new_customer(s1, "wang", "备份之后"));
    expect(0, ask(s1, "wang", "set", set1(kept, "full_name", "改过名")));
    carry(s1, s2);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_OK);
    struct app *back = open_at(home);
    assert_int_equal(back->core.epoch, r.epoch);
    assert_true(r.epoch > 1);
    (void)snprintf(later, sizeof(later), "%s", new_customer(back, "wang", "恢复之后"));
    expect(0, ask(back, "wang", "set", set1(kept, "full_name", "另改名")));
    assert_int_equal(own_upto(back, 1), 1);
    assert_int_equal(own_upto(back, r.epoch), 2);
    carry(back, s2);
    carry(s2, back);
    expect_same(back, s2);
    assert_int_equal(own_upto(back, 1), 3);
    assert_int_equal(own_upto(s2, r.epoch), 2);
    json_t *one = get(back, "wang", lost, "P1");
    expect_cell(json_object_get(one, "result"), "full_name", "备份之后", "clear");
    json_decref(one);
    one = get(back, "wang", later, "P1");
    expect_cell(json_object_get(one, "result"), "full_name", "恢复之后", "clear");
    json_decref(one);
    /* Neither of the two names won silently. */
    json_t *conflicts = want(back, "zhao", "conflicts", json_object());
    assert_int_equal(json_array_size(conflicts), 1);
    json_decref(conflicts);
    app_close(back);
}

struct offer {
    struct app *from, *to;
    size_t taken;
    enum err refused;
};

static enum err offer_one(void *ctx, struct bytes key, struct bytes value)
{
    struct offer *o = ctx;
    struct commit_view view;
    struct buf secrets;
    (void)key;
    buf_init(&secrets, &o->from->mem, 4096);
    need(commit_parse(value, &view), NULL);
    need(core_secrets_of(&o->from->core, &o->from->arena, &view, &secrets), NULL);
    need(app_begin(o->to), NULL);
    enum err e = core_ingest(&o->to->core, &o->to->arena, app_now(), value, buf_view(&secrets));
    o->taken += e == ERR_OK ? 1 : 0;
    o->refused = e == ERR_OK || e == ERR_EXISTS ? o->refused : e;
    assert_int_equal(app_end(o->to, e), e);
    buf_release(&secrets);
    return ERR_OK;
}

/* Offers every commit; what the last refusal other than "held already" was. */
static enum err last_refusal(struct app *from, struct app *to, size_t *taken)
{
    const struct bytes all = { 0 };
    struct offer o = { .from = from, .to = to };
    need(from->store->ops->scan(from->store, SPACE_LOG, all, all, false, offer_one, &o), NULL);
    *taken = o.taken;
    return o.refused;
}

static enum err last_own(struct app *app, struct commit_view *out)
{
    const struct head *own = core_head(&app->core, app->core.self.number, 1);
    uint8_t key[DOT_KEY_BYTES];
    struct bytes commit = { 0 };
    dot_key((struct dot){ .node = app->core.self.number, .epoch = 1, .seq = own == NULL ? 0 : own->upto }, key);
    enum err e = app->store->ops->get(app->store, SPACE_LOG, BYTES_OF(key), &app->arena, &commit);
    return e == ERR_OK ? commit_parse(commit, out) : e;
}

/* The commit of the first node and that of its twin that bears the same dot, as they would meet at s2. */
static void expect_fork_shown(struct app *twin)
{
    struct commit_view ours;
    struct commit_view other;
    uint8_t key[DOT_KEY_BYTES];
    struct bytes commit = { 0 };
    need(last_own(s1, &ours), NULL);
    dot_key(ours.header.dot, key);
    need(twin->store->ops->get(twin->store, SPACE_LOG, BYTES_OF(key), &twin->arena, &commit), NULL);
    need(commit_parse(commit, &other), NULL);
    need(app_begin(s2), NULL);
    need(app_end(s2, fork_learn(&s2->core, &s2->arena, app_now(), &ours, &other)), NULL);
    json_t *status = want(s2, "boss", "status", json_object());
    json_t *fork = json_array_get(json_object_get(status, "forks"), 0);
    assert_int_equal(json_integer_value(json_object_get(fork, "node")), 1);
    assert_int_equal(json_integer_value(json_object_get(fork, "epoch")), 1);
    assert_int_equal(json_integer_value(json_object_get(fork, "seq")), (json_int_t)ours.header.dot.seq);
    assert_false(json_boolean_value(json_object_get(fork, "own")));
    assert_string_not_equal(text_in(fork, "at"), "");
    json_decref(status);
    json_t *verified = want(s2, "boss", "verify", json_pack("{s:b}", "deep", 1));
    assert_int_equal(json_array_size(json_object_get(verified, "forks")), 1);
    json_decref(verified);
}

/* What no mark can tell: a snapshot of a whole machine, running twice. Forced here. The other node keeps the branch it
 * saw first and says so at the first commit that does not continue it; nothing of either is overwritten. */
static void a_fork_is_noticed_by_the_peer(void **state)
{
    const uint8_t one[4] = { 0, 0, 0, 1 };
    char first[64];
    size_t taken = 0;
    (void)state;
    s1 = reopen(s1);
    shell("cp -a '%s' '%s'", s1->home, home);
    struct app *twin = open_at(home);
    need(app_begin(twin), NULL);
    need(app_end(twin, twin->store->ops->put(twin->store, SPACE_META, BYTES_LIT("epoch"), BYTES_OF(one))), NULL);
    twin->core.epoch = 1;
    (void)snprintf(first, sizeof(first), "%s", new_customer(s1, "wang", "原机"));
    (void)new_customer(twin, "wang", "分身一");
    (void)new_customer(twin, "wang", "分身二");
    carry(s1, s2);
    assert_int_equal(last_refusal(twin, s2, &taken), ERR_CONFLICT);
    assert_int_equal(taken, 0);
    expect_same(s1, s2);
    expect_fork_shown(twin);
    assert_int_equal(own_upto(twin, 1), 2); /* and the twin still has all of its own */
    app_close(twin);
}

static void two_restores_of_one_backup_do_not_meet(void **state)
{
    struct restored one = { .node = 0 };
    struct restored other = { .node = 0 };
    (void)state;
    (void)back_up(s1);
    assert_int_equal(restore("disk passphrase", false, &one), ERR_OK);
    shell("rm -rf '%s'", home);
    assert_int_equal(restore("disk passphrase", false, &other), ERR_OK);
    assert_int_not_equal(one.epoch, other.epoch); /* one chance in a million to fail */
}

static void nothing_readable_is_in_a_backup(void **state)
{
    (void)state;
    (void)new_customer(s1, "wang", "CANARYNAME");
    (void)back_up(s1);
    shell("! grep -qaF CANARYNAME '%s'", file);
    shell("! grep -qaF SQLite '%s'", file);
    shell("test \"$(stat -c %%a '%s')\" = 600", file);
}

static void an_unfinished_backup_leaves_nothing(void **state)
{
    struct backup_progress p;
    struct why why = { .zh = { 0 } };
    (void)state;
    need(backup_start(s1, bytes_str(file), false, &why), &why);
    need(backup_step(s1, 1, &p, &why), &why);
    assert_false(p.is_finished);
    assert_true(is_there(file, ".part"));
    assert_int_equal(backup_start(s1, bytes_str(file), false, &why), ERR_BUSY);
    s1 = reopen(s1);
    assert_false(is_there(file, ".part"));
    assert_false(is_there(file, ""));
    assert_int_equal(backup_step(s1, 1, &p, &why), ERR_NOT_FOUND);
}

static void a_backup_overwrites_only_when_told(void **state)
{
    struct why why = { .zh = { 0 } };
    char inside[APP_PATH_MAX + 16];
    (void)state;
    (void)back_up(s1);
    assert_int_equal(backup_start(s1, bytes_str(file), false, &why), ERR_EXISTS);
    (void)back_up(s1);
    (void)snprintf(inside, sizeof(inside), "%s/jipan.db", s1->home);
    assert_int_equal(backup_start(s1, bytes_str(inside), true, &why), ERR_USAGE);
    assert_int_equal(backup_start(s1, BYTES_LIT("relative"), true, &why), ERR_USAGE);
    assert_int_equal(backup_start(s1, BYTES_LIT("/nowhere/at/all"), true, &why), ERR_NOT_FOUND);
}

static void a_backup_needs_the_right(void **state)
{
    json_t *args = json_pack("{s:s}", "file", file);
    (void)state;
    expect(1, ask(s1, "wang", "backup", json_incref(args)));
    assert_false(is_there(file, ".part"));
    expect(0, ask(s1, "boss", "backup", json_incref(args)));
    expect(1, ask(s1, "wang", "backup-step", json_object()));
    expect(0, ask(s1, "boss", "backup-step", json_object()));
    assert_true(is_there(file, ""));
    json_decref(args);
}

static void a_wrong_secret_installs_nothing(void **state)
{
    struct restored r = { .node = 0 };
    (void)state;
    (void)back_up(s1);
    assert_int_equal(restore("another passphrase", false, &r), ERR_SECRET);
    assert_false(is_there(home, ""));
}

static void flip(long at)
{
    FILE *f = fopen(file, "r+be");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fputc(c ^ 1, f), c ^ 1);
    assert_int_equal(fclose(f), 0);
}

/* One byte at a time all through the file, and the file cut short. Of the header there is a second copy. */
static void a_damaged_backup_installs_nothing(void **state)
{
    struct restored r = { .node = 0 };
    struct backup_progress p = back_up(s1);
    (void)state;
    for (uint64_t at = 4100; at < p.bytes; at += p.bytes / 7) {
        flip((long)at);
        assert_int_equal(restore("disk passphrase", false, &r), ERR_DAMAGED);
        assert_false(is_there(home, ""));
        flip((long)at);
    }
    flip(100);
    flip(2148);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_DAMAGED);
    assert_false(is_there(home, ""));
    flip(2148);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_OK);
    shell("rm -r '%s'", home);
    assert_int_equal(truncate(file, (long)p.bytes - 4096), 0);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_DAMAGED);
    assert_int_equal(truncate(file, 0), 0);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_DAMAGED);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_NOT_FOUND);
    assert_false(is_there(home, ""));
}

static void a_raw_copy_is_no_backup(void **state)
{
    struct restored r = { .node = 0 };
    (void)state;
    s1 = reopen(s1);
    need(vault_checkpoint(s1->vault), NULL);
    shell("cp '%s/jipan.db' '%s'", s1->home, file);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_INVALID);
    assert_false(is_there(home, ""));
}

static void a_live_store_is_never_overwritten(void **state)
{
    struct restored r = { .node = 0 };
    (void)state;
    (void)back_up(s1);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_OK);
    struct app *live = open_at(home);
    (void)new_customer(live, "wang", "后来");
    assert_int_equal(restore("disk passphrase", false, &r), ERR_EXISTS);
    assert_int_equal(restore("disk passphrase", true, &r), ERR_LOCKED);
    app_close(live);
    uint32_t before = r.epoch;
    assert_int_equal(restore("disk passphrase", true, &r), ERR_OK);
    assert_true(r.has_aside);
    assert_int_not_equal(r.epoch, before);
    assert_true(is_there(home, "/jipan.db.before-restore"));
    assert_false(is_there(home, "/restore.part"));
    assert_int_equal(restore("disk passphrase", true, &r), ERR_EXISTS); /* what was moved aside is not overwritten */
    /* The old store is whole: it opens under its own name. */
    char old[128];
    (void)snprintf(old, sizeof(old), "%s/old", dir);
    shell("cd '%s' && mkdir ../old && mv jipan.db.before-restore ../old/jipan.db", home);
    live = open_at(old);
    assert_int_equal(own_upto(live, before), 1);
    app_close(live);
}

/* Killed after the old store went aside: its log is still there, the new store is not. */
/* The words of a refusal name the way out. */
static int code_and(json_t *reply, const char *needle)
{
    int code = code_of(reply);
    if (code != 0 && needle != NULL) {
        assert_true(says(reply, needle));
    }
    json_decref(reply);
    return code;
}

/* A restored authority knows a past state of the members. Until a peer has shown that it knows no other, it makes no
 * entry; neither one that lacks entries nor anything but the right and the flag ends that. */
static void a_restored_authority_changes_no_members_before_a_peer_was_heard(void **state)
{
    uint8_t hash[32];
    struct restored r = { .node = 0 };
    (void)state;
    (void)back_up(s1);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_OK);
    assert_true(r.is_authority);
    struct app *back = open_at(home);
    json_t *user = json_pack("{ssssssss}", "login", "neu", "name", "新", "roles", "SC", "password", "a password 9");
    assert_int_equal(code_and(ask(back, "boss", "user-add", json_incref(user)), "members trust"), 1);
    assert_int_equal(
        code_and(ask(back, "boss", "invite", json_pack("{ssss}", "kind", "station", "station", "S9")), "members trust"),
        1);
    assert_int_equal(
        code_and(ask(back, "boss", "node-revoke", json_pack("{siss}", "id", 2, "reason", "x")), "恢复"), 1);
    assert_int_equal(
        code_and(ask(back, "boss", "user-passwd", json_pack("{ssss}", "login", "wang", "password", "a password 8")),
            "members trust"),
        1);
    json_t *status = want(back, "boss", "status", json_object());
    assert_true(json_is_true(json_object_get(status, "members_in_doubt")));
    json_decref(status);
    uint64_t head = members_head(back->members, hash);
    need(app_begin(back), NULL);
    need(core_members_heard(&back->core, head - 1), NULL);
    need(core_members_heard(&back->core, head + 1), NULL);
    need(app_end(back, ERR_OK), NULL);
    back = reopen(back);
    assert_int_equal(code_and(ask(back, "boss", "user-add", json_incref(user)), "members trust"), 1);
    need(app_begin(back), NULL);
    need(core_members_heard(&back->core, head), NULL);
    need(app_end(back, ERR_OK), NULL);
    back = reopen(back);
    json_decref(user);
    assert_int_equal(code_and(ask(back, "boss", "user-disable", json_pack("{ss}", "login", "mei")), NULL), 0);
    app_close(back);
    shell("rm -r '%s'", home);
}

static void a_person_may_say_that_all_peers_are_gone(void **state)
{
    struct restored r = { .node = 0 };
    (void)state;
    (void)back_up(s1);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_OK);
    struct app *back = open_at(home);
    assert_int_equal(code_and(ask(back, "wang", "members-trust", json_pack("{sb}", "peers_are_gone", 1)), NULL), 1);
    assert_int_equal(code_and(ask(back, "boss", "members-trust", json_object()), "--peers-are-gone"), 2);
    assert_int_equal(code_and(ask(back, "boss", "members-trust", json_pack("{sb}", "peers_are_gone", 1)), NULL), 0);
    assert_int_equal(code_and(ask(back, "boss", "members-trust", json_pack("{sb}", "peers_are_gone", 1)), NULL), 6);
    back = reopen(back);
    assert_int_equal(code_and(ask(back, "boss", "user-disable", json_pack("{ss}", "login", "mei")), NULL), 0);
    app_close(back);
    shell("rm -r '%s'", home);
}

static void an_interrupted_restore_is_finished_by_the_next(void **state)
{
    struct restored r = { .node = 0 };
    struct why why = { .zh = { 0 } };
    (void)state;
    (void)back_up(s1);
    assert_int_equal(restore("disk passphrase", false, &r), ERR_OK);
    shell("cd '%s' && mv jipan.db jipan.db.before-restore && echo log > jipan.db-wal && mkdir restore.part && "
          "echo half > restore.part/jipan.db",
        home);
    assert_false(app_exists(home));
    assert_int_equal(restore("disk passphrase", false, &r), ERR_OK);
    assert_true(r.has_aside);
    assert_true(is_there(home, "/jipan.db.before-restore-wal"));
    assert_false(is_there(home, "/jipan.db-wal"));
    assert_false(is_there(home, "/restore.part"));
    struct app *back = open_at(home);
    assert_int_equal(back->core.epoch, r.epoch);
    need(app_verify(back, true, NULL, &why), &why);
    app_close(back);
}

#define T(name) cmocka_unit_test_setup_teardown(name, found, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_ordinary_open_keeps_the_epoch),
        T(a_crash_while_opening_keeps_the_epoch),
        T(a_copied_directory_draws_a_new_epoch),
        T(another_machine_draws_a_new_epoch),
        T(an_older_file_put_back_draws_a_new_epoch),
        T(a_lost_mark_draws_a_new_epoch),
        T(a_replaced_file_draws_a_new_epoch),
        T(a_backup_holds_what_is_written_meanwhile),
        T(a_restored_node_loses_nothing),
        T(a_fork_is_noticed_by_the_peer),
        T(two_restores_of_one_backup_do_not_meet),
        T(nothing_readable_is_in_a_backup),
        T(an_unfinished_backup_leaves_nothing),
        T(a_backup_overwrites_only_when_told),
        T(a_backup_needs_the_right),
        T(a_wrong_secret_installs_nothing),
        T(a_damaged_backup_installs_nothing),
        T(a_raw_copy_is_no_backup),
        T(a_live_store_is_never_overwritten),
        T(a_restored_authority_changes_no_members_before_a_peer_was_heard),
        T(a_person_may_say_that_all_peers_are_gone),
        T(an_interrupted_restore_is_finished_by_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
