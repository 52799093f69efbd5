/*
 * The clauses T1 to T8 of sync/transport.h, held against both implementations by one set of functions. The websocket
 * side runs over loopback with real TLS, both ends on one loop. Waiting is for conditions, never for times; a watchdog
 * of many seconds only turns a hang into a failure.
 */
#include "node/net/tls_identity.h"
#include "node/net/transport_ws.h"
#include "schema/base/check.h"
#include "tests/lib/transport_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { LOG_MAX = 64, WATCHDOG_SECONDS = 30, TAG = 77 };

enum log_kind { LOG_ALLOW, LOG_OPEN, LOG_MESSAGE, LOG_DRAIN, LOG_CLOSED, LOG_DIAL_FAILED };

struct entry {
    enum log_kind kind;
    conn_id c;
    enum transport_door door;
    bool is_outbound;
    uint64_t tag;
    enum err why;
    uint8_t key[TRANSPORT_KEY_BYTES];
};

/* One endpoint and everything it was told. */
struct side {
    struct transport *t;
    uint8_t seed[TLS_SEED_BYTES];
    uint8_t key[TRANSPORT_KEY_BYTES];
    char address[64];
    bool refuses;
    bool is_inside_call;
    bool echoes;
    bool closes_on_open;
    struct entry log[LOG_MAX];
    size_t log_count;
    conn_id open; /* 0 when none */
    size_t message_count;
    size_t message_bytes;
    uint32_t next_number; /* messages carry their number: order and duplicates show */
    bool has_disorder;
    size_t last_len;
    uint8_t last_first_byte;
    size_t drain_count;
    size_t queued_at_drain;
};

struct world {
    bool is_ws;
    struct loop *loop;
    struct mem_net *net;
    struct side a; /* dials */
    struct side b; /* is dialled */
};

static struct entry *note(struct side *s, enum log_kind kind)
{
    assert_false(s->is_inside_call); /* T8 */
    assert_true(s->log_count < LOG_MAX);
    struct entry *e = &s->log[s->log_count++];
    *e = (struct entry){ .kind = kind };
    return e;
}

static bool on_allow(void *ctx, enum transport_door door, const uint8_t peer_key[TRANSPORT_KEY_BYTES])
{
    struct side *s = ctx;
    struct entry *e = note(s, LOG_ALLOW);
    e->door = door;
    memcpy(e->key, peer_key, sizeof(e->key));
    return !s->refuses;
}

static void on_open(void *ctx, conn_id c, enum transport_door door, bool outbound, uint64_t dial_tag,
    const uint8_t peer_key[TRANSPORT_KEY_BYTES])
{
    struct side *s = ctx;
    struct entry *e = note(s, LOG_OPEN);
    assert_true(c != 0);
    assert_true(s->open == 0);
    e->c = c;
    e->door = door;
    e->is_outbound = outbound;
    e->tag = dial_tag;
    memcpy(e->key, peer_key, sizeof(e->key));
    s->open = c;
    if (s->closes_on_open) {
        s->is_inside_call = true;
        s->t->ops->close(s->t, c);
        s->is_inside_call = false;
    }
}

static void on_message(void *ctx, conn_id c, struct bytes message)
{
    struct side *s = ctx;
    assert_false(s->is_inside_call);
    assert_true(c == s->open); /* T1: after on_open, before on_closed */
    s->message_count++;
    s->message_bytes += message.len;
    s->last_len = message.len;
    s->last_first_byte = message.ptr[0];
    uint32_t number = 0;
    if (message.len >= sizeof(number)) {
        memcpy(&number, message.ptr, sizeof(number));
        s->has_disorder = s->has_disorder || number != s->next_number;
        s->next_number++;
    }
    if (s->echoes) {
        s->is_inside_call = true;
        assert_int_equal(s->t->ops->send(s->t, c, message), ERR_OK);
        s->is_inside_call = false;
    }
}

static void on_drain(void *ctx, conn_id c)
{
    struct side *s = ctx;
    assert_false(s->is_inside_call);
    assert_true(c == s->open);
    s->drain_count++;
    s->queued_at_drain = s->t->ops->queued_bytes(s->t, c);
}

static void on_closed(void *ctx, conn_id c)
{
    struct side *s = ctx;
    struct entry *e = note(s, LOG_CLOSED);
    assert_true(c == s->open);
    e->c = c;
    s->open = 0;
}

static void on_dial_failed(void *ctx, uint64_t dial_tag, enum err why)
{
    struct side *s = ctx;
    struct entry *e = note(s, LOG_DIAL_FAILED);
    e->tag = dial_tag;
    e->why = why;
}

static size_t count_of(const struct side *s, enum log_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < s->log_count; i++) {
        n += s->log[i].kind == kind;
    }
    return n;
}

static const struct entry *last_of(const struct side *s, enum log_kind kind)
{
    static const struct entry none = { 0 };
    for (size_t i = s->log_count; i > 0; i--) {
        if (s->log[i - 1].kind == kind) {
            return &s->log[i - 1];
        }
    }
    fail_msg("no such event");
    return &none;
}

/* worlds */

static void side_make(struct world *w, struct side *s, uint8_t mark, const char *name)
{
    memset(s->seed, mark, sizeof(s->seed));
    tls_public_key(s->seed, s->key);
    const struct transport_events ev = { s, on_allow, on_open, on_message, on_drain, on_closed, on_dial_failed, NULL };
    if (w->is_ws) {
        struct why why = { 0 };
        assert_int_equal(transport_ws_new(w->loop, s->seed, "127.0.0.1", 0, &ev, &s->t, &why), ERR_OK);
        (void)snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", (unsigned)transport_ws_port(s->t));
    } else {
        (void)snprintf(s->address, sizeof(s->address), "%s:1", name);
        s->t = transport_mem_new(w->net, s->address, s->key, &ev);
    }
}

static int world_make(void **state, bool is_ws)
{
    struct world *w = calloc(1, sizeof(*w));
    check(w != NULL);
    w->is_ws = is_ws;
    if (is_ws) {
        check(loop_new(&w->loop) == ERR_OK);
    } else {
        w->net = mem_net_new();
    }
    side_make(w, &w->a, 0x0A, "a");
    side_make(w, &w->b, 0x0B, "b");
    *state = w;
    return 0;
}

static int world_mem(void **state)
{
    return world_make(state, false);
}

static int world_ws(void **state)
{
    return world_make(state, true);
}

static int world_free(void **state)
{
    struct world *w = *state;
    if (w->is_ws) {
        transport_ws_free(w->a.t);
        transport_ws_free(w->b.t);
        loop_free(w->loop);
    } else {
        mem_net_free(w->net);
    }
    free(w);
    return 0;
}

typedef bool (*condition_fn)(const struct world *w);

/* One turn; false when nothing can happen any more (memory only). */
static bool world_turn(struct world *w)
{
    if (!w->is_ws) {
        return transport_mem_step(w->net);
    }
    assert_int_equal(loop_step(w->loop, 20), ERR_OK);
    return true;
}

static void world_until(struct world *w, condition_fn is_done)
{
    time_t end = time(NULL) + WATCHDOG_SECONDS;
    while (!is_done(w)) {
        bool is_alive = world_turn(w);
        if (!is_done(w) && (!is_alive || time(NULL) > end)) {
            fail_msg("the condition never came true");
        }
    }
}

/* Gives late events a chance to show up. */
static void world_settle(struct world *w)
{
    for (int i = 0; i < 10; i++) {
        (void)world_turn(w);
    }
}

static bool both_open(const struct world *w)
{
    return w->a.open != 0 && w->b.open != 0;
}

static bool both_closed(const struct world *w)
{
    return count_of(&w->a, LOG_CLOSED) == 1 && count_of(&w->b, LOG_CLOSED) == 1;
}

static bool dial_failed(const struct world *w)
{
    return count_of(&w->a, LOG_DIAL_FAILED) == 1;
}

static void side_dial(struct side *from, const char *address, const uint8_t *expect, enum transport_door door)
{
    from->is_inside_call = true;
    assert_int_equal(from->t->ops->dial(from->t, door, bytes_str(address), expect, TAG), ERR_OK);
    from->is_inside_call = false;
}

static enum err side_send(struct side *s, struct bytes message)
{
    s->is_inside_call = true;
    enum err e = s->t->ops->send(s->t, s->open, message);
    s->is_inside_call = false;
    return e;
}

static void side_close(struct side *s)
{
    s->is_inside_call = true;
    s->t->ops->close(s->t, s->open);
    s->is_inside_call = false;
}

static void world_connect(struct world *w, enum transport_door door)
{
    side_dial(&w->a, w->b.address, w->b.key, door);
    world_until(w, both_open);
}

/* clauses */

static void t1_and_t3_open_comes_first_with_the_proven_keys(void **state)
{
    struct world *w = *state;
    world_connect(w, DOOR_SYNC);
    const struct entry *a = last_of(&w->a, LOG_OPEN);
    const struct entry *b = last_of(&w->b, LOG_OPEN);
    assert_true(a->is_outbound);
    assert_false(b->is_outbound);
    assert_int_equal(a->tag, TAG);
    assert_memory_equal(a->key, w->b.key, TRANSPORT_KEY_BYTES);
    assert_memory_equal(b->key, w->a.key, TRANSPORT_KEY_BYTES);
    assert_int_equal(w->a.log[0].kind, LOG_OPEN);
    assert_int_equal(w->b.log[0].kind, LOG_ALLOW);
    assert_int_equal(w->b.log[1].kind, LOG_OPEN);
}

static void t1_close_is_heard_once_on_both_sides_and_last(void **state)
{
    struct world *w = *state;
    world_connect(w, DOOR_SYNC);
    side_close(&w->b);
    side_close(&w->b);
    world_until(w, both_closed);
    world_settle(w);
    assert_int_equal(w->a.log[w->a.log_count - 1].kind, LOG_CLOSED);
    assert_int_equal(w->b.log[w->b.log_count - 1].kind, LOG_CLOSED);
    assert_true(both_closed(w));
    assert_int_equal(side_send(&w->a, BYTES_LIT("late")), ERR_NOT_FOUND);
}

static void t1_a_new_connection_has_a_new_id(void **state)
{
    struct world *w = *state;
    world_connect(w, DOOR_SYNC);
    conn_id first = w->a.open;
    side_close(&w->a);
    world_until(w, both_closed);
    w->a.log_count = w->b.log_count = 0;
    world_connect(w, DOOR_SYNC);
    assert_true(w->a.open != first);
    assert_int_equal(w->a.t->ops->send(w->a.t, first, BYTES_LIT("old")), ERR_NOT_FOUND);
}

static void t1_close_within_on_open_is_fine(void **state)
{
    struct world *w = *state;
    w->b.closes_on_open = true;
    side_dial(&w->a, w->b.address, w->b.key, DOOR_SYNC);
    world_until(w, both_closed);
    assert_int_equal(count_of(&w->a, LOG_OPEN), 1);
}

static const size_t sizes[] = { 1, 4, 125, 126, 127, 65535, 65536, 65537, 131072, 200001, 16384, 16385,
    TRANSPORT_MESSAGE_MAX - 1, TRANSPORT_MESSAGE_MAX };

static size_t expected_count;

static bool b_has_all(const struct world *w)
{
    return w->b.message_count >= expected_count;
}

static bool a_has_all(const struct world *w)
{
    return w->a.message_count >= expected_count;
}

/* Sends every size with a running number in front, answering BUSY with turns of the world. */
static void send_numbered(struct world *w, struct side *s, const size_t *lens, size_t count)
{
    uint8_t *buffer = malloc(TRANSPORT_MESSAGE_MAX);
    assert_non_null(buffer);
    memset(buffer, 0xA5, TRANSPORT_MESSAGE_MAX);
    uint32_t number = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(buffer, &number, sizeof(number));
        number += lens[i] >= sizeof(number);
        while (side_send(s, bytes_of(buffer, lens[i])) == ERR_BUSY) {
            (void)world_turn(w);
        }
    }
    free(buffer);
}

static void t2_messages_arrive_whole_in_order_once_from_the_caller(void **state)
{
    struct world *w = *state;
    world_connect(w, DOOR_SYNC);
    send_numbered(w, &w->a, sizes, ARRAY_LEN(sizes));
    expected_count = ARRAY_LEN(sizes);
    world_until(w, b_has_all);
    size_t total = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        total += sizes[i];
    }
    assert_int_equal(w->b.message_bytes, total);
    assert_false(w->b.has_disorder);
    assert_int_equal(w->b.message_count, ARRAY_LEN(sizes));
}

static void t2_messages_arrive_whole_in_order_once_from_the_callee(void **state)
{
    struct world *w = *state;
    world_connect(w, DOOR_JOIN);
    send_numbered(w, &w->b, sizes, ARRAY_LEN(sizes));
    expected_count = ARRAY_LEN(sizes);
    world_until(w, a_has_all);
    assert_false(w->a.has_disorder);
    assert_int_equal(w->a.last_len, TRANSPORT_MESSAGE_MAX);
    assert_int_equal(w->a.message_count, ARRAY_LEN(sizes));
}

static void t2_both_directions_at_once(void **state)
{
    struct world *w = *state;
    enum { COUNT = 300 };
    size_t lens[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        lens[i] = 4 + (i * 7919) % 20000;
    }
    w->b.echoes = true;
    world_connect(w, DOOR_SYNC);
    send_numbered(w, &w->a, lens, COUNT);
    expected_count = COUNT;
    world_until(w, a_has_all);
    assert_false(w->a.has_disorder);
    assert_false(w->b.has_disorder);
    assert_int_equal(w->a.message_bytes, w->b.message_bytes);
}

static void t2_queued_messages_are_flushed_before_close(void **state)
{
    struct world *w = *state;
    static const size_t lens[] = { 300000, 5, 70000, 4 };
    world_connect(w, DOOR_SYNC);
    send_numbered(w, &w->a, lens, ARRAY_LEN(lens));
    side_close(&w->a);
    world_until(w, both_closed);
    assert_int_equal(w->b.message_count, ARRAY_LEN(lens));
    assert_false(w->b.has_disorder);
}

static void t4_another_key_than_expected_never_opens(void **state)
{
    struct world *w = *state;
    uint8_t wrong[TRANSPORT_KEY_BYTES];
    memcpy(wrong, w->b.key, sizeof(wrong));
    wrong[31] ^= 1;
    side_dial(&w->a, w->b.address, wrong, DOOR_SYNC);
    world_until(w, dial_failed);
    world_settle(w);
    assert_int_equal(last_of(&w->a, LOG_DIAL_FAILED)->why, ERR_UNKNOWN_PEER);
    assert_int_equal(last_of(&w->a, LOG_DIAL_FAILED)->tag, TAG);
    assert_int_equal(count_of(&w->a, LOG_OPEN), 0);
    assert_int_equal(w->b.log_count, 0);
}

static void t4_nobody_there_is_a_failed_dial(void **state)
{
    struct world *w = *state;
    side_dial(&w->a, "127.0.0.1:1", w->b.key, DOOR_SYNC);
    world_until(w, dial_failed);
    assert_int_equal(last_of(&w->a, LOG_DIAL_FAILED)->why, ERR_UNREACHABLE);
    assert_int_equal(w->a.log_count, 1);
}

static void t5_allow_is_asked_about_door_and_key_and_may_refuse(void **state)
{
    struct world *w = *state;
    w->b.refuses = true;
    side_dial(&w->a, w->b.address, w->b.key, DOOR_JOIN);
    world_until(w, dial_failed);
    world_settle(w);
    assert_int_equal(last_of(&w->a, LOG_DIAL_FAILED)->why, ERR_DENIED);
    assert_int_equal(w->a.log_count, 1);
    assert_int_equal(w->b.log_count, 1);
    assert_int_equal(w->b.log[0].kind, LOG_ALLOW);
    assert_int_equal(w->b.log[0].door, DOOR_JOIN);
    assert_memory_equal(w->b.log[0].key, w->a.key, TRANSPORT_KEY_BYTES);
}

static void t5_doors_are_told_apart(void **state)
{
    struct world *w = *state;
    world_connect(w, DOOR_JOIN);
    assert_int_equal(last_of(&w->a, LOG_OPEN)->door, DOOR_JOIN);
    assert_int_equal(last_of(&w->b, LOG_OPEN)->door, DOOR_JOIN);
    assert_int_equal(last_of(&w->b, LOG_ALLOW)->door, DOOR_JOIN);
}

static void t6_send_refuses_empty_and_oversized_messages(void **state)
{
    struct world *w = *state;
    world_connect(w, DOOR_SYNC);
    uint8_t *large = calloc(1, TRANSPORT_MESSAGE_MAX + 1);
    assert_non_null(large);
    assert_int_equal(side_send(&w->a, bytes_of(large, TRANSPORT_MESSAGE_MAX + 1)), ERR_LIMIT);
    assert_int_equal(side_send(&w->a, bytes_of(large, 0)), ERR_INVALID);
    assert_int_equal(w->a.t->ops->queued_bytes(w->a.t, w->a.open), 0);
    free(large);
    assert_int_equal(side_send(&w->a, BYTES_LIT("\0\0\0\0")), ERR_OK);
    expected_count = 1;
    world_until(w, b_has_all);
}

static bool has_drained(const struct world *w)
{
    return w->a.drain_count > 0;
}

static void t7_queue_is_bounded_and_drain_tells_when_there_is_room(void **state)
{
    struct world *w = *state;
    enum { EACH = 1 << 19, FIT = TRANSPORT_QUEUE_MAX / EACH };
    world_connect(w, DOOR_SYNC);
    uint8_t *buffer = calloc(1, EACH);
    assert_non_null(buffer);
    for (uint32_t i = 0; i < FIT; i++) {
        memcpy(buffer, &i, sizeof(i));
        assert_int_equal(side_send(&w->a, bytes_of(buffer, EACH)), ERR_OK);
    }
    memset(buffer, 0xFF, EACH); /* T7: send copied */
    assert_int_equal(w->a.t->ops->queued_bytes(w->a.t, w->a.open), TRANSPORT_QUEUE_MAX);
    assert_int_equal(side_send(&w->a, bytes_of(buffer, 1)), ERR_BUSY);
    assert_int_equal(w->a.t->ops->queued_bytes(w->a.t, w->a.open), TRANSPORT_QUEUE_MAX);
    free(buffer);
    assert_int_equal(w->a.drain_count, 0);
    world_until(w, has_drained);
    assert_true(w->a.queued_at_drain < TRANSPORT_QUEUE_MAX / 2);
    assert_true(w->b.message_count < FIT); /* it came on the way, not at the end */
    expected_count = FIT;
    world_until(w, b_has_all);
    world_settle(w);
    assert_int_equal(w->a.drain_count, 1);
    assert_false(w->b.has_disorder);
    assert_int_equal(w->a.t->ops->queued_bytes(w->a.t, w->a.open), 0);
}

static void t7_unknown_connections_are_harmless(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->a.t->ops->send(w->a.t, 12345, BYTES_LIT("x")), ERR_NOT_FOUND);
    assert_int_equal(w->a.t->ops->queued_bytes(w->a.t, 12345), 0);
    w->a.t->ops->close(w->a.t, 12345);
    w->a.t->ops->close(w->a.t, 0);
}

static void mem_t6_an_oversized_message_closes_the_connection(void **state)
{
    struct world *w = *state;
    world_connect(w, DOOR_SYNC);
    uint8_t *large = calloc(1, TRANSPORT_MESSAGE_MAX + 1);
    assert_non_null(large);
    transport_mem_force(w->a.t, w->a.open, bytes_of(large, TRANSPORT_MESSAGE_MAX + 1));
    free(large);
    world_until(w, both_closed);
    assert_int_equal(w->b.message_count, 0);
}

static void mem_cut_closes_and_mend_lets_dial_again(void **state)
{
    struct world *w = *state;
    world_connect(w, DOOR_SYNC);
    assert_int_equal(side_send(&w->a, BYTES_LIT("lost")), ERR_OK);
    transport_mem_cut(w->a.t, w->b.t, true);
    world_until(w, both_closed);
    assert_int_equal(w->b.message_count, 0);
    side_dial(&w->a, w->b.address, w->b.key, DOOR_SYNC);
    world_until(w, dial_failed);
    transport_mem_cut(w->a.t, w->b.t, false);
    world_connect(w, DOOR_SYNC);
}

static void ws_names_are_looked_up_aside(void **state)
{
    struct world *w = *state;
    char address[64];
    (void)snprintf(address, sizeof(address), "localhost:%u", (unsigned)transport_ws_port(w->b.t));
    side_dial(&w->a, address, w->b.key, DOOR_SYNC);
    world_until(w, both_open);
}

static void ws_dial_refuses_what_is_no_address(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = { "", ":", "host", "host:", ":1", "host:0", "host:65536", "host:1x", "::1:80",
        "a:99999999999" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(w->a.t->ops->dial(w->a.t, DOOR_SYNC, bytes_str(bad[i]), w->b.key, TAG), ERR_INVALID);
    }
}

static void ws_port_in_use_is_told_with_its_number(void **state)
{
    struct world *w = *state;
    struct transport *t = NULL;
    struct why why = { 0 };
    char digits[8];
    uint16_t port = transport_ws_port(w->b.t);
    const struct transport_events ev = { &w->a, on_allow, on_open, on_message, on_drain, on_closed, on_dial_failed,
        NULL };
    (void)snprintf(digits, sizeof(digits), "%u", (unsigned)port);
    assert_int_equal(transport_ws_new(w->loop, w->a.seed, "127.0.0.1", port, &ev, &t, &why), ERR_BUSY);
    assert_null(t);
    assert_non_null(strstr(why.zh, digits));
    assert_non_null(strstr(why.en, digits));
    assert_non_null(strstr(why.en, "--listen"));
}

#define BOTH(f)                                    \
    { "mem_" #f, f, world_mem, world_free, NULL }, \
    {                                              \
        "ws_" #f, f, world_ws, world_free, NULL    \
    }
#define MEM(f)                             \
    {                                      \
#        f, f, world_mem, world_free, NULL \
    }
#define WS(f)                             \
    {                                     \
#        f, f, world_ws, world_free, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(t1_and_t3_open_comes_first_with_the_proven_keys),
        BOTH(t1_close_is_heard_once_on_both_sides_and_last),
        BOTH(t1_a_new_connection_has_a_new_id),
        BOTH(t1_close_within_on_open_is_fine),
        BOTH(t2_messages_arrive_whole_in_order_once_from_the_caller),
        BOTH(t2_messages_arrive_whole_in_order_once_from_the_callee),
        BOTH(t2_both_directions_at_once),
        BOTH(t2_queued_messages_are_flushed_before_close),
        BOTH(t4_another_key_than_expected_never_opens),
        BOTH(t4_nobody_there_is_a_failed_dial),
        BOTH(t5_allow_is_asked_about_door_and_key_and_may_refuse),
        BOTH(t5_doors_are_told_apart),
        BOTH(t6_send_refuses_empty_and_oversized_messages),
        BOTH(t7_queue_is_bounded_and_drain_tells_when_there_is_room),
        BOTH(t7_unknown_connections_are_harmless),
        MEM(mem_t6_an_oversized_message_closes_the_connection),
        MEM(mem_cut_closes_and_mend_lets_dial_again),
        WS(ws_names_are_looked_up_aside),
        WS(ws_dial_refuses_what_is_no_address),
        WS(ws_port_in_use_is_told_with_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
