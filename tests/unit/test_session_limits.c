/* What one session may cost: counts in a message, a disk that is nearly full, a peer that never greets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

#include <stdlib.h>

static void say(const struct world *w, uint32_t from, uint32_t to, const struct wire_message *m)
{
    struct buf b;
    struct arena a;
    arena_init(&a, test_mem(), WIRE_ARENA_BYTES);
    buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, &a, m);
    assert_int_equal(b.err, ERR_OK);
    fleet_inject(w->f, from, to, buf_view(&b));
    buf_release(&b);
    arena_release(&a);
    fleet_run(w->f);
}

static void meet(const struct world *w, uint32_t a, uint32_t b)
{
    fleet_cut_all(w->f);
    fleet_connect(w->f, a, b);
    fleet_run(w->f);
    (void)fleet_news(w->f, a);
    (void)fleet_news(w->f, b);
}

/* Counts are refused before anything is looked at. */
static void test_counts_in_a_message(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct wire_item *items = calloc(SESSION_ITEMS_MAX + 1, sizeof(*items));
    struct bytes *entries = calloc(SESSION_ENTRIES_MAX + 1, sizeof(*entries));
    assert_non_null(items);
    assert_non_null(entries);
    for (size_t i = 0; i <= SESSION_ITEMS_MAX; i++) {
        items[i] = (struct wire_item){ .node = 2, .epoch = 1, .upto = 1 };
    }
    for (size_t i = 0; i <= SESSION_ENTRIES_MAX; i++) {
        entries[i] = BYTES_LIT("x");
    }
    meet(&w, 1, 2);
    say(&w, 2, 1, &(struct wire_message){ .kind = WIRE_COMMITS, .items = items, .count = SESSION_ITEMS_MAX + 1 });
    assert_int_equal(fleet_news(w.f, 1).refusal, ERR_LIMIT);
    meet(&w, 1, 2);
    say(&w, 2, 1, &(struct wire_message){ .kind = WIRE_COMMITS, .items = items, .count = SESSION_ITEMS_MAX });
    assert_int_not_equal(fleet_news(w.f, 1).refusal, ERR_LIMIT); /* but node 2 gets an Ack it did not wait for */
    meet(&w, 1, 2);
    say(&w, 2, 1, &(struct wire_message){ .kind = WIRE_MEMBERS, .entries = entries, .count = SESSION_ENTRIES_MAX + 1 });
    assert_int_equal(fleet_news(w.f, 1).refusal, ERR_LIMIT);
    free(items);
    free(entries);
    fleet_free(w.f);
}

/* Node 1 has no room: nothing of node 2 is taken, acknowledged or called in sync; what node 1 writes goes out, and new
 * membership comes in. With room again a new session brings everything. */
static void test_a_disk_that_is_nearly_full(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id first = world_customer(&w);
    meet(&w, 1, 2);
    sync_set_short(fleet_sync(w.f, 1), true);
    struct record_id theirs = fleet_customer(w.f, 2, w.seller, "李四");
    fleet_run(w.f);
    assert_false(world_has(&w, 1, theirs));
    assert_true(fleet_session(w.f, 1, 2).is_held);
    assert_false(fleet_session(w.f, 2, 1).is_caught_up);
    fleet_probe(w.f, 2, 5);
    fleet_run(w.f);
    assert_int_equal(fleet_news(w.f, 2).probed, 0);
    struct record_id ours = fleet_customer(w.f, 1, w.seller, "王五");
    assert_int_equal(world_set_name(&w, 1, first, "陈小文"), ERR_OK);
    fleet_run(w.f);
    assert_true(world_has(&w, 2, ours));
    /* Room again, but this session has left something out: nothing more is taken until it begins anew. */
    sync_set_short(fleet_sync(w.f, 1), false);
    struct record_id later = fleet_customer(w.f, 2, w.seller, "赵六");
    fleet_run(w.f);
    assert_false(world_has(&w, 1, theirs) || world_has(&w, 1, later));
    assert_int_equal(fleet_news(w.f, 1).refused, 0);
    meet(&w, 2, 1);
    assert_true(world_has(&w, 1, theirs) && world_has(&w, 1, later));
    assert_false(fleet_session(w.f, 1, 2).is_held);
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* Who ended a session, and since when it is open: what the daemon's limits stand on. */
static void test_who_ended_it(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = 1000, .now = fleet_now(w.f) };
    struct sync_actions actions = { 0 };
    memcpy(ev.key, members_node(fleet_core(w.f, 1)->members, 2)->tls_key, sizeof(ev.key));
    assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
    struct session_info s = sync_session_at(fleet_sync(w.f, 1), 0);
    assert_int_equal(s.state, SESSION_HELLO);
    assert_int_equal(s.opened_ms, ev.now.mono_ms);
    static const uint8_t refusal[] = { 0x3A, 2, 8, ERR_GAP };
    static const uint8_t noise[] = { 0xFF };
    const struct bytes messages[] = { BYTES_OF(refusal), BYTES_OF(noise) };
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        ev.kind = SYNC_EV_OPEN;
        ev.conn = 1001 + i;
        assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
        ev.kind = SYNC_EV_MESSAGE;
        ev.message = messages[i];
        assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
        size_t told = 0;
        for (size_t k = 0; k < actions.count; k++) {
            told += actions.at[k].kind == SYNC_ACT_REFUSED && actions.at[k].by_peer == (i == 0) ? 1 : 0;
        }
        assert_int_equal(told, 1);
    }
    fleet_free(w.f);
}

/* What a step of a node asked for on one connection, of one kind. */
struct asked {
    size_t count;
    struct sync_action last;
    uint8_t bytes[1024]; /* of the last message */
};

static struct asked step(
    const struct world *w, uint32_t node, struct sync_event ev, enum sync_action_kind kind, conn_id conn)
{
    struct sync_actions actions = { 0 };
    struct asked out = { .count = 0 };
    ev.now = fleet_now(w->f);
    assert_int_equal(sync_step(fleet_sync(w->f, node), &ev, &actions), ERR_OK);
    for (size_t i = 0; i < actions.count; i++) {
        if (actions.at[i].kind == kind && actions.at[i].conn == conn) {
            out.count++;
            out.last = actions.at[i];
            assert_true(out.last.message.len <= sizeof(out.bytes));
            if (out.last.message.len > 0) {
                memcpy(out.bytes, out.last.message.ptr, out.last.message.len);
            }
        }
    }
    return out;
}

/* The Hello that the node begins a connection with. */
static struct asked opened(const struct world *w, uint32_t node, uint32_t peer, conn_id conn)
{
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = conn, .is_outbound = node == 2 };
    memcpy(ev.key, members_node(fleet_core(w->f, node)->members, peer)->tls_key, sizeof(ev.key));
    return step(w, node, ev, SYNC_ACT_SEND, conn);
}

static struct sync_event message_of(conn_id conn, const struct asked *from)
{
    return (struct sync_event){
        .kind = SYNC_EV_MESSAGE, .conn = conn, .message = bytes_of(from->bytes, from->last.message.len)
    };
}

/* Two copies of node 2: the one that loses the line learns why. To a node that has another line it is no news. */
static void test_replaced_by_a_copy(void **state)
{
    (void)state;
    struct world w = world_new(2);
    world_teach_all(&w);
    const struct asked hello = opened(&w, 2, 1, 2000);
    (void)opened(&w, 1, 2, 1000);
    (void)step(&w, 1, message_of(1000, &hello), SYNC_ACT_SEND, 1000);
    (void)opened(&w, 1, 2, 1001);
    const struct asked told = step(&w, 1, message_of(1001, &hello), SYNC_ACT_SEND, 1000);
    assert_int_equal(told.count, 1);
    assert_int_equal(sync_session_at(fleet_sync(w.f, 1), 0).state, SESSION_CLOSED);
    assert_int_equal(sync_session_at(fleet_sync(w.f, 1), 1).state, SESSION_LIVE);
    (void)opened(&w, 2, 1, 2001);
    assert_int_equal(step(&w, 2, message_of(2000, &told), SYNC_ACT_REFUSED, 2000).count, 0);
    const struct asked end = step(&w, 2, message_of(2001, &told), SYNC_ACT_REFUSED, 2001);
    assert_int_equal(end.count, 1);
    assert_int_equal(end.last.error, ERR_REPLACED);
    assert_true(end.last.by_peer);
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_in_a_message),
        cmocka_unit_test(test_a_disk_that_is_nearly_full),
        cmocka_unit_test(test_who_ended_it),
        cmocka_unit_test(test_replaced_by_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
