/* What was said once, said again, cut, or said to another; and what a peer may claim, ask and leave undone without
 * costing anybody else anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

#include <stdlib.h>

enum { RECORDED_MAX = 64 };

struct recording {
    uint32_t from;
    uint32_t to;
    size_t count;
    struct bytes at[RECORDED_MAX];
};

static void record(void *ctx, uint32_t from, uint32_t to, struct bytes message)
{
    struct recording *r = ctx;
    if (from != r->from || to != r->to || r->count == RECORDED_MAX) {
        return;
    }
    uint8_t *copy = malloc(message.len);
    assert_non_null(copy);
    memcpy(copy, message.ptr, message.len);
    r->at[r->count++] = bytes_of(copy, message.len);
}

static void forget(struct recording *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free((void *)(uintptr_t)r->at[i].ptr);
    }
    r->count = 0;
}

/* A session of nodes 1 and 2 in which everything is exchanged that can be; what 2 said to 1 is kept. */
static struct world recorded_world(struct recording *r)
{
    struct world w = world_new(3);
    *r = (struct recording){ .from = 2, .to = 1 };
    (void)fleet_user(w.f, 1, role_bit(ROLE_SC));
    for (size_t i = 0; i < 3; i++) {
        (void)fleet_customer(w.f, 1, w.seller, "陈大文");
        (void)fleet_customer(w.f, 2, w.seller, "李四");
    }
    fleet_watch(w.f, record, r);
    fleet_connect(w.f, 2, 1);
    fleet_run(w.f);
    fleet_probe(w.f, 2, 77);
    fleet_run(w.f);
    fleet_watch(w.f, NULL, NULL);
    fleet_cut_all(w.f);
    assert_true(r->count >= 4);
    return w;
}

static conn_id open_by_hand(const struct world *w, conn_id conn)
{
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = conn, .now = fleet_now(w->f) };
    struct sync_actions actions = { 0 };
    memcpy(ev.key, members_node(fleet_core(w->f, 1)->members, 2)->tls_key, sizeof(ev.key));
    assert_int_equal(sync_step(fleet_sync(w->f, 1), &ev, &actions), ERR_OK);
    return conn;
}

/* The error that ended the session; ERR_OK: it goes on. */
static enum err hear(const struct world *w, conn_id conn, struct bytes message)
{
    struct sync_event ev = { .kind = SYNC_EV_MESSAGE, .conn = conn, .message = message, .now = fleet_now(w->f) };
    struct sync_actions actions = { 0 };
    enum err why = ERR_OK;
    assert_int_equal(sync_step(fleet_sync(w->f, 1), &ev, &actions), ERR_OK);
    for (size_t i = 0; i < actions.count; i++) {
        why = actions.at[i].kind == SYNC_ACT_REFUSED ? actions.at[i].error : why;
    }
    return why;
}

static void close_by_hand(const struct world *w, conn_id conn)
{
    struct sync_event ev = { .kind = SYNC_EV_CLOSED, .conn = conn, .now = fleet_now(w->f) };
    struct sync_actions actions = { 0 };
    assert_int_equal(sync_step(fleet_sync(w->f, 1), &ev, &actions), ERR_OK);
}

struct snapshot {
    uint8_t hash[32];
    size_t log;
    size_t members;
    size_t quarantine;
    uint32_t epoch;
};

static struct snapshot look(const struct world *w)
{
    struct snapshot s = { .log = fleet_space_count(w->f, 1, SPACE_LOG),
        .members = fleet_space_count(w->f, 1, SPACE_MEMBER),
        .quarantine = fleet_quarantined(w->f, 1, ERR_OK),
        .epoch = fleet_core(w->f, 1)->epoch };
    fleet_hash(w->f, 1, s.hash);
    return s;
}

static void assert_unchanged(const struct world *w, const struct snapshot *before)
{
    struct snapshot now = look(w);
    assert_memory_equal(now.hash, before->hash, sizeof(now.hash));
    assert_int_equal(now.log, before->log);
    assert_int_equal(now.members, before->members);
    assert_int_equal(now.quarantine, before->quarantine);
    assert_int_equal(now.epoch, before->epoch);
}

/* F84: a whole session played again, each message three times, and the other side's words played back. */
static void test_replayed_session(void **state)
{
    (void)state;
    struct recording r;
    struct world w = recorded_world(&r);
    const struct snapshot before = look(&w);
    for (conn_id conn = 7000; conn < 7003; conn++) {
        (void)open_by_hand(&w, conn);
        for (size_t i = 0; i < r.count; i++) {
            (void)hear(&w, conn, r.at[i]);
        }
        close_by_hand(&w, conn);
        assert_unchanged(&w, &before);
    }
    (void)open_by_hand(&w, 7010);
    assert_int_equal(hear(&w, 7010, r.at[0]), ERR_OK);
    assert_int_equal(hear(&w, 7010, r.at[0]), ERR_PROTOCOL); /* a second hello */
    close_by_hand(&w, 7010);
    /* A hello of node 2 on a line that proved the key of node 3. */
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = 7011, .now = fleet_now(w.f) };
    struct sync_actions actions = { 0 };
    memcpy(ev.key, members_node(fleet_core(w.f, 1)->members, 3)->tls_key, sizeof(ev.key));
    assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
    assert_int_equal(hear(&w, 7011, r.at[0]), ERR_UNKNOWN_PEER);
    close_by_hand(&w, 7011);
    assert_unchanged(&w, &before);
    forget(&r);
    fleet_free(w.f);
}

/* F45: every message of a session cut at every byte: the session ends, nothing is taken. */
static void test_cut_at_every_byte(void **state)
{
    (void)state;
    struct recording r;
    struct world w = recorded_world(&r);
    size_t cuts = 0;
    fleet_restore_empty(w.f, 2);
    const struct snapshot before = look(&w);
    for (size_t i = 0; i < r.count; i++) {
        size_t step = r.at[i].len > 3000 ? 7 : 1;
        for (size_t len = 0; len < r.at[i].len; len += step) {
            conn_id conn = open_by_hand(&w, 9000);
            if (i > 0) {
                assert_int_equal(hear(&w, conn, r.at[0]), ERR_OK);
            }
            assert_int_not_equal(hear(&w, conn, bytes_of(r.at[i].ptr, len)), ERR_OK);
            close_by_hand(&w, conn);
            cuts++;
        }
        assert_unchanged(&w, &before);
    }
    assert_true(cuts > 500);
    forget(&r);
    fleet_free(w.f);
}

static void say(const struct world *w, const struct wire_message *m)
{
    struct buf b;
    struct arena a;
    arena_init(&a, test_mem(), WIRE_ARENA_BYTES);
    buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, &a, m);
    assert_int_equal(b.err, ERR_OK);
    fleet_inject(w->f, 2, 1, buf_view(&b));
    buf_release(&b);
    arena_release(&a);
}

/* Asked a thousand times: answered, and nobody waits for it. */
static void test_a_flood_of_probes(void **state)
{
    (void)state;
    struct world w = world_new(3);
    fleet_connect(w.f, 1, 2);
    fleet_connect(w.f, 1, 3);
    fleet_run(w.f);
    for (uint64_t i = 0; i < 1000; i++) {
        say(&w, &(struct wire_message){ .kind = WIRE_PROBE, .id = i });
    }
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_run(w.f);
    assert_true(world_has(&w, 3, id) && world_has(&w, 2, id));
    assert_int_equal(fleet_session(w.f, 1, 2).state, SESSION_LIVE);
    fleet_free(w.f);
}

/* A hello that claims everything of everybody, or more origins than there may be. */
static void test_claims_in_a_hello(void **state)
{
    (void)state;
    struct recording r;
    struct world w = recorded_world(&r);
    struct arena a;
    struct wire_message m;
    struct buf settled;
    struct buf b;
    arena_init(&a, test_mem(), 4 * (size_t)WIRE_ARENA_BYTES);
    for (uint64_t origins = 3; origins <= VV_MAX + 1; origins += VV_MAX - 2) {
        buf_init(&settled, test_mem(), 1 << 18);
        buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
        assert_int_equal(wire_take(r.at[0], &a, &m), ERR_OK);
        buf_put_varint(&settled, origins);
        for (uint64_t i = 1; i <= origins; i++) {
            buf_put_varint(&settled, i);
            buf_put_varint(&settled, 1);
            buf_put_varint(&settled, INT64_MAX);
        }
        m.hello.settled = buf_view(&settled);
        wire_put(&b, &a, &m);
        assert_int_equal(b.err, ERR_OK);
        conn_id conn = open_by_hand(&w, 9100 + origins);
        enum err why = hear(&w, conn, buf_view(&b));
        assert_int_equal(why == ERR_OK, origins <= VV_MAX);
        close_by_hand(&w, conn);
        buf_release(&b);
        buf_release(&settled);
    }
    /* It cost one epoch of ours at most; what is written now still reaches an honest node. */
    assert_true(fleet_core(w.f, 1)->epochs_drawn <= 1);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "王五");
    fleet_connect(w.f, 1, 3);
    fleet_run(w.f);
    assert_true(world_has(&w, 3, id));
    arena_release(&a);
    forget(&r);
    fleet_free(w.f);
}

/* F94: no version of the protocol but ours, whatever else is offered. */
static void test_downgrade(void **state)
{
    (void)state;
    static const uint32_t ranges[][2] = { { 0, 0 }, { WIRE_VERSION + 1, WIRE_VERSION + 9 }, { UINT32_MAX, UINT32_MAX },
        { WIRE_VERSION + 1, 1 } };
    struct recording r;
    struct world w = recorded_world(&r);
    struct arena a;
    struct wire_message m;
    arena_init(&a, test_mem(), WIRE_ARENA_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        struct buf b;
        buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
        assert_int_equal(wire_take(r.at[0], &a, &m), ERR_OK);
        m.hello.version_min = ranges[i][0];
        m.hello.version_max = ranges[i][1];
        wire_put(&b, &a, &m);
        conn_id conn = open_by_hand(&w, 9200 + i);
        enum err why = hear(&w, conn, buf_view(&b));
        assert_true(why == ERR_VERSION || why == ERR_OUTDATED);
        close_by_hand(&w, conn);
        buf_release(&b);
    }
    arena_release(&a);
    forget(&r);
    fleet_free(w.f);
}

/* The same membership entries again and again, and acknowledgements that never come. */
static void test_what_is_left_undone(void **state)
{
    (void)state;
    struct world w = world_new(3);
    fleet_teach(w.f, 2);
    for (size_t i = 0; i < 40; i++) {
        (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    }
    struct recording r = { .from = 1, .to = 2 };
    conn_id conn = 0;
    /* Node 2's hello by hand; then it is silent. */
    struct recording hello = { .from = 2, .to = 1 };
    fleet_watch(w.f, record, &hello);
    fleet_connect(w.f, 2, 1);
    fleet_cut_all(w.f);
    fleet_watch(w.f, NULL, NULL);
    assert_int_equal(hello.count, 1);
    conn = open_by_hand(&w, 9300);
    assert_int_equal(hear(&w, conn, hello.at[0]), ERR_OK);
    assert_false(sync_session_at(fleet_sync(w.f, 1), 0).is_caught_up);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "王五");
    fleet_connect(w.f, 1, 3);
    fleet_run(w.f);
    assert_true(world_has(&w, 3, id));
    close_by_hand(&w, conn);
    forget(&hello);
    forget(&r);
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replayed_session),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_a_flood_of_probes),
        cmocka_unit_test(test_claims_in_a_hello),
        cmocka_unit_test(test_downgrade),
        cmocka_unit_test(test_what_is_left_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
