/*
 * Owns: every event of a session under every fault: two nodes talk, message by message, and before each step goes on
 * for good it is tried under all faults, on the node that takes it. Afterwards that node stands as the judge wants it,
 * the two meet again and end evened out, whatever that is for the two: equal states, or what the run without a fault
 * left.
 */
#include "tests/faults/loops.h"
#include "tests/faults/world.h"

#include "schema/base/check.h"
#include "sync/session.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUEUE_MAX = 64, MESSAGE_MAX = 1 << 17 };

struct letter {
    _Alignas(16) size_t len;
    uint8_t bytes[MESSAGE_MAX];
};

static struct side {
    const char *name, *home;
    struct app **app;
    struct disk_sim **disk;
    struct sync *sync;
    struct letter *inbox[QUEUE_MAX];
    size_t count;
} sides[2] = { { .name = "at a", .home = "/a", .app = &s1, .disk = &disk_a },
    { .name = "at b", .home = "/b", .app = &s2, .disk = &disk_b } };

static conn_id line;
static const char *talk_name = "session"; /* of the things tried */
static bool is_whole_group = true; /* both ends hold the same when evened out */
static bool has_same_log; /* a relay: the same commits */
static bool is_narrow; /* the second may have been taken down to its own station */
static uint8_t group_began[32]; /* what the store held when the open group began: to there it is taken back */

struct event {
    struct side *at;
    struct sync_event ev;
    const char *kind, *what; /* "message hello", "event local" */
};

static struct side *other(const struct side *s)
{
    return s == &sides[0] ? &sides[1] : &sides[0];
}

static void post(struct side *to, struct bytes message)
{
    check(to->count < QUEUE_MAX && message.len <= MESSAGE_MAX);
    struct letter *l = aligned_alloc(16, sizeof(*l)); /* not what the fault is set on */
    check(l != NULL);
    l->len = message.len;
    memcpy(l->bytes, message.ptr, message.len);
    to->inbox[to->count++] = l;
}

static void drop_letters(struct side *s)
{
    while (s->count > 0) {
        free(s->inbox[--s->count]);
    }
}

/* The step, and what it says when it succeeded. *told: why this end refused the session, if it did. */
static enum err step(struct side *s, struct sync_event ev, enum err *told)
{
    struct sync_actions actions = { 0 };
    ev.conn = line;
    ev.now = app_now();
    enum err e = sync_step(s->sync, &ev, &actions);
    *told = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < actions.count; i++) {
        const struct sync_action *a = &actions.at[i];
        if (a->kind == SYNC_ACT_SEND) {
            post(other(s), a->message);
        } else if (a->kind == SYNC_ACT_REFUSED) {
            *told = a->error;
        } else if (a->kind == SYNC_ACT_FORGOT) {
            enum err emptied = vault_checkpoint((*s->app)->vault);
            (void)emptied; /* the daemon notes a failure, and no more */
        }
    }
    return e;
}

static void end_sync(struct side *s)
{
    drop_letters(s);
    sync_free(s->sync);
    s->sync = NULL;
}

static void open_sync(struct side *s)
{
    struct app *app = *s->app;
    if (sync_new(&app->core, &s->sync) != ERR_OK) {
        faults_fail("no session");
    }
}

static struct sync_event open_event(const struct side *s)
{
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .is_outbound = s == &sides[1] };
    memcpy(ev.key, (*other(s)->app)->core.self.tls_public, sizeof(ev.key));
    return ev;
}

static struct letter *next_letter(struct side *s)
{
    struct letter *l = s->inbox[0];
    memmove(&s->inbox[0], &s->inbox[1], --s->count * sizeof(s->inbox[0]));
    return l;
}

/* --- afterwards --- */

static void hash_of(const struct side *s, uint8_t out[32])
{
    if (core_statehash(&(*s->app)->core, &(*s->app)->arena, out) != ERR_OK) {
        faults_fail("no state hash");
    }
    arena_reset(&(*s->app)->arena);
}

static uint64_t rows_of(const struct side *s, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    uint64_t n = 0;
    if (sqlite3_prepare_v2(vault_db((*s->app)->vault), sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW) {
        n = (uint64_t)sqlite3_column_int64(stmt, 0);
    } else {
        faults_fail("%s: %s", sql, sqlite3_errmsg(vault_db((*s->app)->vault)));
    }
    (void)sqlite3_finalize(stmt);
    return n;
}

/* Nothing is left to say. is_first: without a fault, to compare the others with. */
static void expect_even(bool is_first)
{
    static const char customers[] = "SELECT count(*) FROM e_customer";
    static const char commits[] = "SELECT count(*) FROM kv_log";
    struct reference *want = faults_reference();
    uint8_t hashes[2][32];
    if (is_whole_group) {
        hash_of(&sides[0], hashes[0]);
        hash_of(&sides[1], hashes[1]);
        if (!world_same(hashes[0], hashes[1])) {
            faults_fail("after meeting again the two differ");
        }
    }
    if (has_same_log && rows_of(&sides[0], commits) != rows_of(&sides[1], commits)) {
        faults_fail("after meeting again one lacks commits");
    }
    for (size_t i = 0; i < 2; i++) {
        uint64_t n = rows_of(&sides[i], customers);
        if (is_first) {
            want->customers[i] = n;
        } else if (n != want->customers[i]) {
            faults_fail("after meeting again %s holds %llu customers instead of %llu", sides[i].name,
                (unsigned long long)n, (unsigned long long)want->customers[i]);
        }
    }
}

/* Both meet on a new line and talk until nothing is left to say. */
static void meet_again(void)
{
    enum err told = ERR_OK;
    line++;
    if (is_narrow) {
        expect(0, ask(s1, "boss", "node-scope", json_pack("{siss}", "id", 2, "scope", "group")));
    }
    for (size_t i = 0; i < 2; i++) {
        open_sync(&sides[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        if (step(&sides[i], open_event(&sides[i]), &told) != ERR_OK) {
            faults_fail("meeting again: cannot begin");
        }
    }
    for (unsigned turns = 0; sides[0].count + sides[1].count > 0; turns++) {
        struct side *s = sides[turns % 2].count > 0 ? &sides[turns % 2] : &sides[(turns + 1) % 2];
        struct letter *l = next_letter(s);
        const struct sync_event ev = { .kind = SYNC_EV_MESSAGE, .message = bytes_of(l->bytes, l->len) };
        enum err e = step(s, ev, &told);
        free(l);
        if (e != ERR_OK || told != ERR_OK) {
            faults_fail("meeting again, %s: %s, refused %s", s->name, err_name(e), err_name(told));
        }
        if (turns > 1000) {
            faults_fail("meeting again: never quiet");
        }
    }
}

/* Nothing more comes: what was taken in is made durable. */
static enum err flush(struct side *s, const struct sync_event *ev, enum err e, enum err *told)
{
    const struct sync_event end = { .kind = SYNC_EV_FLUSH };
    return e == ERR_OK && ev->more && *told == ERR_OK && sync_is_open(s->sync) ? step(s, end, told) : e;
}

static bool try_event(const void *arg, const struct point *p)
{
    const struct event *event = arg;
    struct side *s = event->at;
    struct reference *want = faults_reference();
    enum err told = ERR_OK;
    if (p == NULL) {
        world_digest(*s->app, want->before);
        if (sync_is_open(s->sync)) {
            memcpy(want->before, group_began, sizeof(want->before));
        }
        enum err e = step(s, event->ev, &told);
        e = flush(s, &event->ev, e, &told);
        want->e = e != ERR_OK ? e : told;
        world_digest(*s->app, want->after);
        end_sync(&sides[0]);
        end_sync(&sides[1]);
        app_close(*s->app);
        want->live = inject_live();
        *s->app = world_open(*s->disk, s->home);
        meet_again();
        expect_even(true);
        return false;
    }
    inject_arm(p, *s->disk);
    faults_cover(event->kind, event->what);
    enum err e = step(s, event->ev, &told);
    bool fired = inject_disarm(*s->disk);
    if (!fired) {
        return false;
    }
    e = flush(s, &event->ev, e, &told);
    enum err outcome = e != ERR_OK ? e : told != want->e ? told : ERR_OK;
    end_sync(&sides[0]);
    end_sync(&sides[1]);
    *s->app = world_judge(p, *s->app, *s->disk, outcome, want);
    meet_again();
    expect_even(false);
    return true;
}

/* --- the talk --- */

/* As wire.proto calls it. */
static const char *message_name(const struct event *event, enum wire_kind *kind)
{
    static const char *const names[WIRE_KIND_COUNT] = { [WIRE_HELLO] = "hello",
        [WIRE_MEMBERS] = "members",
        [WIRE_COMMITS] = "commits",
        [WIRE_ACK] = "ack",
        [WIRE_PROBE] = "probe",
        [WIRE_PROBE_REPLY] = "probe_reply",
        [WIRE_REFUSAL] = "refusal",
        [WIRE_RANGES] = "ranges",
        [WIRE_RECEIPTS] = "receipts",
        [WIRE_FORKS] = "forks" };
    struct arena a;
    struct wire_message m = { .kind = WIRE_KIND_COUNT };
    const char *name = "malformed";
    arena_init(&a, &(*event->at->app)->mem, WIRE_ARENA_BYTES);
    if (wire_take(event->ev.message, &a, &m) == ERR_OK && names[m.kind] != NULL) {
        name = names[m.kind];
        *kind = m.kind;
    }
    arena_release(&a);
    return name;
}

/* Tries the step under all faults, then does it. */
static void go(struct side *at, struct sync_event ev)
{
    static const char *const events[] = { "open", "message", "closed", "drain", "local", "probe", "flush" };
    static unsigned number;
    char name[80];
    enum wire_kind kind = WIRE_KIND_COUNT;
    enum err told = ERR_OK;
    struct event event = { .at = at, .ev = ev, .kind = "event", .what = events[ev.kind] };
    if (ev.kind == SYNC_EV_MESSAGE) {
        event.kind = "message";
        event.what = message_name(&event, &kind);
    }
    if (!sync_is_open(at->sync)) {
        world_digest(*at->app, group_began);
    }
    bool is_first = kind != WIRE_KIND_COUNT && !faults_has_covered(event.kind, event.what);
    (void)snprintf(
        name, sizeof(name), "%s %02u %s %s%s", talk_name, ++number, event.what, at->name, ev.more ? " group" : "");
    faults_run(name, is_first && (kind == WIRE_COMMITS || kind == WIRE_MEMBERS), try_event, &event);
    check(step(at, ev, &told) == ERR_OK);
}

static void deliver_all(bool in_groups)
{
    for (unsigned turns = 0; sides[0].count + sides[1].count > 0; turns++) {
        struct side *s = sides[turns % 2].count > 0 ? &sides[turns % 2] : &sides[(turns + 1) % 2];
        struct letter *l = next_letter(s);
        const struct sync_event ev = {
            .kind = SYNC_EV_MESSAGE, .message = bytes_of(l->bytes, l->len), .more = in_groups
        };
        go(s, ev);
        free(l);
        if (in_groups && s->count == 0) {
            go(s, (struct sync_event){ .kind = SYNC_EV_FLUSH });
        }
    }
}

static void open_both(void)
{
    line++;
    for (size_t i = 0; i < 2; i++) {
        open_sync(&sides[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        go(&sides[i], open_event(&sides[i]));
    }
}

static void close_both(void)
{
    for (size_t i = 0; i < 2; i++) {
        go(&sides[i], (struct sync_event){ .kind = SYNC_EV_CLOSED });
        end_sync(&sides[i]);
    }
}

static void talk(const void *arg)
{
    static const uint8_t noise[] = { 0xFF, 0xFF, 0xFF };
    (void)arg;
    /* what both wrote while the line was down, and a new colleague */
    expect(0, ask(s1, "zhao", "set", set1(ids.customer, "industry", "金融")));
    expect(0, ask(s2, "wang", "set", set1(ids.customer, "industry", "教育")));
    (void)new_customer(s2, "sun", "赵六");
    expect(0, ask(s1, "boss", "user-add",
                  json_pack("{ssssssssss}", "login", "wu", "name", "wu", "station", "S1", "roles", "SC", "password",
                      "a password 1")));
    open_both();
    deliver_all(false);
    /* live */
    (void)new_customer(s1, "wang", "孙七");
    go(&sides[0], (struct sync_event){ .kind = SYNC_EV_LOCAL });
    deliver_all(true);
    go(&sides[1], (struct sync_event){ .kind = SYNC_EV_PROBE, .probe_id = 7 });
    deliver_all(false);
    go(&sides[0], (struct sync_event){ .kind = SYNC_EV_DRAIN });
    deliver_all(false);
    go(&sides[0], (struct sync_event){ .kind = SYNC_EV_MESSAGE, .message = BYTES_OF(noise) });
    deliver_all(false);
    close_both();
}

/* --- others to talk with --- */

static struct app *third;
static struct disk_sim *disk_c;

static void invite_third(const char *name, enum node_kind kind, const char *owner)
{
    disk_c = disk_sim_new();
    two_nodes_enrol(disk_sim_disk(disk_c), "/c", kind, "S1", kind == NODE_RELAY, owner);
    third = world_open(disk_c, "/c");
    sides[1] = (struct side){ .name = "at c", .home = "/c", .app = &third, .disk = &disk_c };
    talk_name = name;
    is_whole_group = false;
    has_same_log = kind == NODE_RELAY;
}

/* Sealed commits there, boxes, receipts there and back. */
static void talk_with_relay(const void *arg)
{
    (void)arg;
    invite_third("relay", NODE_RELAY, "");
    open_both();
    deliver_all(true);
    (void)new_customer(s1, "wang", "孙七");
    inject_pass_ms(11000);
    for (size_t i = 0; i < 2; i++) {
        go(&sides[i], (struct sync_event){ .kind = SYNC_EV_LOCAL });
        deliver_all(false);
    }
    close_both();
}

/* A laptop gets its owner's customers, one is handed over, and it lets go of that one. */
static void talk_with_laptop(const void *arg)
{
    (void)arg;
    invite_third("laptop", NODE_LAPTOP, "wang");
    const char *leaves = new_customer(s1, "wang", "孙七");
    open_both();
    deliver_all(true);
    (void)make(s1, "zhao", "customer_assignment",
        json_pack(
            "{ssssssss}", "customer", leaves, "role", "sales", "staff", "chen", "from_at", "2026-01-01T00:00:00Z"));
    go(&sides[0], (struct sync_event){ .kind = SYNC_EV_LOCAL });
    deliver_all(false);
    close_both();
}

/* The second station's node is taken down to its own station and given the group again. */
static void talk_of_scope(const void *arg)
{
    (void)arg;
    talk_name = "scope";
    is_narrow = true;
    open_both();
    deliver_all(true);
    expect(0, ask(s1, "boss", "node-scope", json_pack("{si}", "id", 2)));
    go(&sides[0], (struct sync_event){ .kind = SYNC_EV_LOCAL });
    deliver_all(false);
    close_both();
    open_both();
    deliver_all(false);
    expect(0, ask(s1, "boss", "node-scope", json_pack("{siss}", "id", 2, "scope", "group")));
    go(&sides[0], (struct sync_event){ .kind = SYNC_EV_LOCAL });
    deliver_all(false);
    close_both();
}

/* Two disks of one node, each written on: the first meets s1, which already has what the other wrote. */
static void talk_of_fork(const void *arg)
{
    (void)arg;
    talk_name = "fork";
    struct disk_sim *twin_disk = disk_sim_image(disk_b);
    struct app *twin = world_open(twin_disk, "/b");
    check(twin->core.epoch == s2->core.epoch);
    (void)new_customer(twin, "sun", "甲方");
    (void)new_customer(s2, "sun", "乙方");
    carry(twin, s1);
    app_close(twin);
    open_both();
    deliver_all(false);
    close_both();
}

void loop_messages(void)
{
    faults_apart("session", talk, NULL);
    faults_apart("relay", talk_with_relay, NULL);
    faults_apart("laptop", talk_with_laptop, NULL);
    faults_apart("scope", talk_of_scope, NULL);
    faults_apart("fork", talk_of_fork, NULL);
}
