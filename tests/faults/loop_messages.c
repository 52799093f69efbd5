/*
 * Owns: every event of a session under every fault: two nodes talk, message by message, and before each step goes on
 * for good it is tried under all faults, on the node that takes it. Afterwards that node stands as the judge wants it,
 * the two meet again and end with equal states. A kind of message that never came is a failure too.
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
    const char *name;
    struct app **app;
    struct disk_sim **disk;
    struct sync *sync;
    struct letter *inbox[QUEUE_MAX];
    size_t count;
} sides[2] = { { .name = "at a", .app = &s1, .disk = &disk_a }, { .name = "at b", .app = &s2, .disk = &disk_b } };

static conn_id line;
static unsigned kinds_seen;
static uint8_t group_began[32]; /* what the store held when the open group began: to there it is taken back */

struct event {
    struct side *at;
    struct sync_event ev;
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
        }
    }
    return e;
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

/* Both meet on a new line and talk until nothing is left to say. */
static void meet_again(void)
{
    uint8_t hashes[2][32];
    enum err told = ERR_OK;
    line++;
    for (size_t i = 0; i < 2; i++) {
        drop_letters(&sides[i]);
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
    hash_of(&sides[0], hashes[0]);
    hash_of(&sides[1], hashes[1]);
    if (!world_same(hashes[0], hashes[1])) {
        faults_fail("after meeting again the two differ");
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
        drop_letters(&sides[0]);
        drop_letters(&sides[1]);
        sync_free(s->sync);
        app_close(*s->app);
        want->live = inject_live();
        return false;
    }
    inject_arm(p, *s->disk);
    enum err e = step(s, event->ev, &told);
    bool fired = inject_disarm(*s->disk);
    if (!fired) {
        return false;
    }
    e = flush(s, &event->ev, e, &told);
    enum err outcome = e != ERR_OK ? e : told != want->e ? told : ERR_OK;
    drop_letters(&sides[0]);
    drop_letters(&sides[1]);
    sync_free(s->sync);
    *s->app = world_judge(p, *s->app, *s->disk, outcome, want);
    sync_free(other(s)->sync);
    meet_again();
    return true;
}

/* --- the talk --- */

static const char *event_name(const struct event *event, enum wire_kind *kind)
{
    static const char *const messages[WIRE_KIND_COUNT] = { [WIRE_HELLO] = "Hello",
        [WIRE_MEMBERS] = "Members",
        [WIRE_COMMITS] = "Commits",
        [WIRE_ACK] = "Ack",
        [WIRE_PROBE] = "Probe",
        [WIRE_PROBE_REPLY] = "ProbeReply",
        [WIRE_REFUSAL] = "Refusal",
        [WIRE_RANGES] = "Ranges" };
    static const char *const events[] = { "open", "message", "closed", "drain", "local", "probe", "flush" };
    struct arena a;
    struct wire_message m = { .kind = WIRE_KIND_COUNT };
    const char *name = "malformed";
    if (event->ev.kind != SYNC_EV_MESSAGE) {
        return events[event->ev.kind];
    }
    arena_init(&a, &(*event->at->app)->mem, WIRE_ARENA_BYTES);
    if (wire_take(event->ev.message, &a, &m) == ERR_OK && messages[m.kind] != NULL) {
        name = messages[m.kind];
        *kind = m.kind;
    }
    arena_release(&a);
    return name;
}

/* Tries the step under all faults, then does it. */
static void go(struct side *at, struct sync_event ev)
{
    static unsigned number;
    char name[80];
    enum wire_kind kind = WIRE_KIND_COUNT;
    enum err told = ERR_OK;
    struct event event = { .at = at, .ev = ev };
    const char *what = event_name(&event, &kind);
    if (!sync_is_open(at->sync)) {
        world_digest(*at->app, group_began);
    }
    bool is_first = kind != WIRE_KIND_COUNT && (kinds_seen & (1U << kind)) == 0;
    kinds_seen |= kind != WIRE_KIND_COUNT ? 1U << kind : 0;
    (void)snprintf(name, sizeof(name), "session %02u %s %s%s", ++number, what, at->name, ev.more ? " group" : "");
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
        drop_letters(&sides[i]);
        sync_free(sides[i].sync);
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
    const unsigned wanted = 1U << WIRE_HELLO | 1U << WIRE_MEMBERS | 1U << WIRE_COMMITS | 1U << WIRE_ACK |
                            1U << WIRE_PROBE | 1U << WIRE_PROBE_REPLY | 1U << WIRE_REFUSAL;
    faults_expect((kinds_seen & wanted) == wanted, "a kind of message never came");
}

void loop_messages(void)
{
    faults_apart("session", talk, NULL);
}
