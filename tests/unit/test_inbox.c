/* The queue of arrived messages and the thread that works ahead in it: order, bounds, ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/inbox.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

#include <stdlib.h>

enum { COMMITS = 200 };

/* Node 1 has a live session with node 2 and has got nothing yet; each message brings one commit. */
struct scene {
    struct world w;
    struct inbox *inbox;
    conn_id conn;
    struct bytes messages[COMMITS];
    struct arena a;
};

static struct bytes encode(struct arena *a, struct bytes commit, struct bytes secrets)
{
    const struct wire_item item = { .commit = commit, .secrets = secrets };
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = &item, .count = 1 };
    struct buf b;
    struct bytes out = { 0 };
    buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, a, &m);
    assert_int_equal(arena_dup(a, buf_view(&b), &out), ERR_OK);
    buf_release(&b);
    return out;
}

static struct scene *scene_new(bool is_threaded)
{
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->w = world_new(3);
    arena_init(&s->a, test_mem(), 16 << 20);
    for (size_t i = 0; i < COMMITS; i++) {
        (void)fleet_customer(s->w.f, 2, s->w.seller, "陈大文");
    }
    for (size_t i = 0; i < COMMITS; i++) {
        struct bytes commit;
        struct bytes secrets;
        assert_int_equal(fleet_commit_of(s->w.f, 2, world_dot(2, i + 1), &commit, &secrets), ERR_OK);
        s->messages[i] = encode(&s->a, commit, secrets);
    }
    fleet_connect(s->w.f, 1, 2);
    while (fleet_session(s->w.f, 1, 2).state != SESSION_LIVE) {
        assert_true(fleet_step(s->w.f));
    }
    s->conn = fleet_session(s->w.f, 1, 2).conn;
    assert_int_equal(inbox_new(test_mem(), is_threaded, &s->inbox), ERR_OK);
    return s;
}

static void scene_free(struct scene *s)
{
    inbox_free(s->inbox);
    arena_release(&s->a);
    fleet_free(s->w.f);
    free(s);
}

static enum err take(struct scene *s)
{
    struct inbox_item item = inbox_first(s->inbox);
    struct sync_event ev = { .kind = item.is_end ? SYNC_EV_CLOSED : SYNC_EV_MESSAGE,
        .conn = item.conn,
        .message = item.message,
        .ahead = item.ahead,
        .now = fleet_now(s->w.f) };
    struct sync_actions actions = { 0 };
    enum err why = ERR_OK;
    assert_int_equal(sync_step(fleet_sync(s->w.f, 1), &ev, &actions), ERR_OK);
    for (size_t i = 0; i < actions.count; i++) {
        why = actions.at[i].kind == SYNC_ACT_REFUSED ? actions.at[i].error : why;
    }
    inbox_drop(s->inbox);
    return why;
}

/* Whatever the other thread has come to, all commits come in, in order: one left out would end the session. */
static void fill_and_empty(bool is_threaded)
{
    struct scene *s = scene_new(is_threaded);
    struct sync *sync = fleet_sync(s->w.f, 1);
    for (size_t i = 0; i < COMMITS; i++) {
        while (!inbox_has_room(s->inbox, s->messages[i].len)) {
            assert_int_equal(take(s), ERR_OK);
        }
        assert_int_equal(inbox_put(s->inbox, sync, s->conn, s->messages[i]), ERR_OK);
        assert_true(inbox_count(s->inbox) <= INBOX_ITEMS_MAX);
        assert_true(inbox_bytes(s->inbox) <= INBOX_BYTES_MAX);
    }
    assert_true(inbox_has(s->inbox, s->conn));
    while (inbox_count(s->inbox) > 0) {
        assert_int_equal(take(s), ERR_OK);
    }
    assert_int_equal(inbox_bytes(s->inbox), 0);
    assert_false(inbox_has(s->inbox, s->conn));
    assert_int_equal(world_upto(&s->w, 1, 2, 1), COMMITS);
    assert_true(world_log_is_whole(&s->w, 1));
    scene_free(s);
}

static void test_threaded(void **state)
{
    (void)state;
    fill_and_empty(true);
}

static void test_on_one_thread(void **state)
{
    (void)state;
    fill_and_empty(false);
}

/* What a peer said before its line broke counts, and a wrong signature is that peer's fault as ever. */
static void test_end_and_fault(void **state)
{
    (void)state;
    struct scene *s = scene_new(true);
    struct sync *sync = fleet_sync(s->w.f, 1);
    assert_int_equal(inbox_put(s->inbox, sync, s->conn, s->messages[0]), ERR_OK);
    ((uint8_t *)(uintptr_t)s->messages[1].ptr)[s->messages[1].len / 2] ^= 1;
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(inbox_put(s->inbox, sync, s->conn, s->messages[i]), ERR_OK);
    }
    inbox_put_end(s->inbox, s->conn);
    assert_int_equal(take(s), ERR_OK);
    assert_int_equal(world_upto(&s->w, 1, 2, 1), 1);
    assert_true(take(s) != ERR_OK);
    assert_int_equal(take(s), ERR_OK); /* nobody listens any more */
    assert_int_equal(take(s), ERR_OK);
    assert_int_equal(world_upto(&s->w, 1, 2, 1), 1);
    assert_true(inbox_first(s->inbox).is_end);
    assert_int_equal(take(s), ERR_OK);
    assert_int_equal(inbox_count(s->inbox), 0);
    scene_free(s);
}

/* With messages waiting and under work. */
static void test_free_in_the_middle(void **state)
{
    (void)state;
    for (size_t n = 0; n < 8; n++) {
        struct scene *s = scene_new(true);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(inbox_put(s->inbox, fleet_sync(s->w.f, 1), s->conn, s->messages[i]), ERR_OK);
        }
        scene_free(s);
    }
}

/* One message larger than the bound has room when nothing else waits. */
static void test_large_message(void **state)
{
    (void)state;
    struct scene *s = scene_new(true);
    struct bytes large = { .ptr = calloc(1, WIRE_MESSAGE_MAX_BYTES), .len = WIRE_MESSAGE_MAX_BYTES };
    assert_non_null(large.ptr);
    assert_true(inbox_has_room(s->inbox, large.len));
    assert_int_equal(inbox_put(s->inbox, fleet_sync(s->w.f, 1), s->conn, large), ERR_OK);
    assert_false(inbox_has_room(s->inbox, 1));
    struct inbox_item item = inbox_first(s->inbox);
    assert_null(item.ahead);
    assert_true(bytes_equal(item.message, large));
    inbox_drop(s->inbox);
    assert_true(inbox_has_room(s->inbox, large.len));
    free((void *)(uintptr_t)large.ptr);
    scene_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threaded),
        cmocka_unit_test(test_on_one_thread),
        cmocka_unit_test(test_end_and_fault),
        cmocka_unit_test(test_free_in_the_middle),
        cmocka_unit_test(test_large_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
