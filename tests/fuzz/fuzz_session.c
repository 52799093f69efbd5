/*
 * Any messages in a session with a member: first byte bit 0 before the other's Hello, else after it. Then messages,
 * each a length (u16 be) and bytes. Whatever comes, no step of the node fails, and afterwards an honest node still gets
 * what is written.
 */
#include "schema/base/check.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MESSAGES_MAX = 16, RUNS_PER_GROUP = 100 };

static void hear(struct world *w, conn_id conn, struct bytes message)
{
    struct sync_event ev = { .kind = SYNC_EV_MESSAGE, .conn = conn, .message = message, .now = fleet_now(w->f) };
    struct sync_actions actions = { 0 };
    struct ahead ahead;
    ahead_init(&ahead, test_mem());
    if (sync_ahead(fleet_sync(w->f, 1), conn, message, &ahead) == ERR_OK) {
        (void)ahead_work(&ahead);
        ev.ahead = &ahead;
    }
    check(sync_step(fleet_sync(w->f, 1), &ev, &actions) == ERR_OK);
    ahead_release(&ahead);
    for (size_t i = 0; i < actions.count; i++) {
        check(actions.at[i].kind != SYNC_ACT_SEND || actions.at[i].message.len <= WIRE_MESSAGE_MAX_BYTES);
    }
}

static conn_id open_session(struct world *w, bool is_greeted)
{
    if (is_greeted) {
        fleet_connect(w->f, 2, 1);
        fleet_run(w->f);
        return fleet_session(w->f, 1, 2).conn;
    }
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = 5000, .now = fleet_now(w->f) };
    struct sync_actions actions = { 0 };
    memcpy(ev.key, members_node(fleet_core(w->f, 1)->members, 2)->tls_key, sizeof(ev.key));
    check(sync_step(fleet_sync(w->f, 1), &ev, &actions) == ERR_OK);
    return ev.conn;
}

static void end_session(struct world *w, conn_id conn)
{
    struct sync_event ev = { .kind = SYNC_EV_CLOSED, .conn = conn, .now = fleet_now(w->f) };
    struct sync_actions actions = { 0 };
    check(sync_step(fleet_sync(w->f, 1), &ev, &actions) == ERR_OK);
    fleet_cut_all(w->f);
}

static void check_honest(struct world *w)
{
    struct record_id id = fleet_customer(w->f, 1, w->seller, "陈大文");
    fleet_connect(w->f, 1, 3);
    fleet_run(w->f);
    check(fleet_failure(w->f, 1) == ERR_OK && world_has(w, 3, id));
    check(fleet_same_hash(w->f, 1, 3));
    fleet_cut_all(w->f);
}

/* A group costs more than a run, so it serves for some; the honest node is looked at after the first and the last. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct world w;
    static size_t runs;
    if (len < 1) {
        return 0;
    }
    if (runs++ % RUNS_PER_GROUP == 0) {
        if (w.f != NULL) {
            check_honest(&w);
            fleet_free(w.f);
        }
        w = world_new(3);
    }
    conn_id conn = open_session(&w, (data[0] & 1) != 0);
    struct reader r = reader_of(bytes_of(data + 1, len - 1));
    for (size_t i = 0; i < MESSAGES_MAX; i++) {
        uint8_t head[2];
        struct bytes message = { 0 };
        if (reader_copy(&r, head, sizeof(head)) != ERR_OK ||
            reader_take(&r, (size_t)head[0] << 8 | head[1], &message) != ERR_OK) {
            break;
        }
        hear(&w, conn, message);
    }
    end_session(&w, conn);
    if (runs % RUNS_PER_GROUP == 1) {
        check_honest(&w);
    }
    return 0;
}
