/* Sessions with broken or hostile peers, failing stores, too little memory: what one does, the rest does not notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/session.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/forge.h"
#include "tests/lib/store_mem.h"
#include "tests/lib/testkit.h"

#include <stdio.h>

/* --- hostile and broken peers --- */

static struct bytes encode(struct arena *a, const struct wire_message *m)
{
    struct buf b;
    struct bytes out = { 0 };
    buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, a, m);
    assert_int_equal(b.err, ERR_OK);
    assert_int_equal(arena_dup(a, buf_view(&b), &out), ERR_OK);
    buf_release(&b);
    return out;
}

/* Node 2 says this to node 1 in a live session; node 3's session must not notice. Ends that session if `why` is set. */
static void say(const struct world *w, const struct wire_message *m, struct bytes raw, enum err why)
{
    struct arena a;
    arena_init(&a, test_mem(), 8 << 20);
    fleet_cut_all(w->f);
    fleet_connect(w->f, 1, 2);
    fleet_connect(w->f, 1, 3);
    fleet_run(w->f);
    (void)fleet_news(w->f, 1);
    fleet_inject(w->f, 2, 1, m == NULL ? raw : encode(&a, m));
    fleet_run(w->f);
    struct fleet_news news = fleet_news(w->f, 1);
    assert_int_equal(fleet_failure(w->f, 1), ERR_OK);
    assert_int_equal(news.refused, why == ERR_OK ? 0 : 1);
    assert_int_equal(news.refusal, why);
    assert_int_equal(fleet_lines(w->f, 1, 2), why == ERR_OK ? 1 : 0);
    assert_int_equal(fleet_session(w->f, 1, 3).state, SESSION_LIVE);
    struct record_id id = fleet_customer(w->f, 1, w->seller, "陈大文");
    fleet_run(w->f);
    assert_true(world_has(w, 3, id));
    arena_release(&a);
}

static void test_malformed_messages(void **state)
{
    (void)state;
    struct world w = world_new(3);
    const uint8_t noise[] = { 0xFF, 0xFF, 0xFF };
    const uint8_t truncated[] = { 0x0A, 0x50, 0x00 };
    const uint8_t unknown[] = { 0x7A, 0x00 };
    const uint8_t zeros[40] = { 0 };
    say(&w, NULL, BYTES_OF(noise), ERR_TRUNCATED);
    say(&w, NULL, BYTES_OF(truncated), ERR_TRUNCATED);
    say(&w, NULL, BYTES_OF(unknown), ERR_UNKNOWN_KIND);
    say(&w, &(struct wire_message){ .kind = WIRE_ACK, .messages = 1 }, (struct bytes){ 0 }, ERR_PROTOCOL);
    say(&w,
        &(struct wire_message){ .kind = WIRE_HELLO,
            .hello = { .version_min = 1,
                .version_max = 1,
                .group = bytes_of(zeros, 16),
                .member_hash = bytes_of(zeros, 32) } },
        (struct bytes){ 0 }, ERR_PROTOCOL);
    say(&w,
        &(struct wire_message){ .kind = WIRE_JOIN_REQUEST,
            .invite = bytes_of(zeros, 8),
            .proof = bytes_of(zeros, 32),
            .sign_key = bytes_of(zeros, 32),
            .box_key = bytes_of(zeros, 32) },
        (struct bytes){ 0 }, ERR_PROTOCOL);
    struct bytes entry = BYTES_OF(zeros);
    say(&w, &(struct wire_message){ .kind = WIRE_MEMBERS, .entries = &entry, .count = 1 }, (struct bytes){ 0 },
        ERR_OUTDATED);
    fleet_free(w.f);
}

static void say_item(const struct world *w, struct wire_item item, enum err why)
{
    say(w, &(struct wire_message){ .kind = WIRE_COMMITS, .items = &item, .count = 1 }, (struct bytes){ 0 }, why);
}

static void test_false_withheld_marks(void **state)
{
    (void)state;
    struct world w = world_new(3);
    uint64_t own = world_upto(&w, 1, 1, 1);
    say_item(&w, (struct wire_item){ .node = 1, .epoch = 1, .upto = 1000 }, ERR_PROTOCOL);
    assert_int_equal(world_upto(&w, 1, 1, 1), own + 1); /* what say() wrote */
    say_item(&w, (struct wire_item){ .node = 99, .epoch = 1, .upto = 1 }, ERR_PROTOCOL);
    say_item(&w, (struct wire_item){ .node = 3, .epoch = 1, .upto = 0 }, ERR_PROTOCOL);
    say_item(&w, (struct wire_item){ .node = 3, .epoch = 1, .upto = UINT64_MAX }, ERR_PROTOCOL);
    assert_int_equal(world_upto(&w, 1, 3, 1), 0);
    say_item(&w, (struct wire_item){ .node = 3, .epoch = 1, .upto = 0, .commit = BYTES_LIT("x") }, ERR_VERSION);
    fleet_free(w.f);
}

/* A good commit and a spoilt one in one message: the good one stays, the session ends. */
static void test_spoilt_commit_in_batch(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id good = fleet_customer(w.f, 2, w.seller, "陈大文");
    struct record_id bad = fleet_customer(w.f, 2, w.seller, "李四");
    struct wire_item items[2] = { { .node = 0 } };
    uint8_t spoilt[4096];
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(fleet_commit_of(w.f, 2, (struct dot){ .node = 2, .epoch = 1, .seq = i + 1 }, &items[i].commit,
                             &items[i].secrets),
            ERR_OK);
    }
    struct bytes second = items[1].commit;
    memcpy(spoilt, second.ptr, second.len);
    spoilt[second.len - 1] ^= 1;
    items[1].commit = bytes_of(spoilt, second.len);
    /* Not by say(): a live session would have sent both already. */
    struct arena a;
    arena_init(&a, test_mem(), 8 << 20);
    fleet_connect(w.f, 1, 2);
    fleet_connect(w.f, 1, 3);
    while (fleet_session(w.f, 1, 2).state != SESSION_LIVE) {
        assert_true(fleet_step(w.f));
    }
    assert_int_equal(world_upto(&w, 1, 2, 1), 0);
    struct sync_event ev = { .kind = SYNC_EV_MESSAGE, .conn = fleet_session(w.f, 1, 2).conn, .now = fleet_now(w.f) };
    struct sync_actions actions = { 0 };
    ev.message = encode(&a, &(struct wire_message){ .kind = WIRE_COMMITS, .items = items, .count = 2 });
    assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
    size_t refused = 0;
    for (size_t i = 0; i < actions.count; i++) {
        refused += actions.at[i].kind == SYNC_ACT_REFUSED && actions.at[i].error == ERR_SIGNATURE ? 1 : 0;
        assert_true(actions.at[i].kind != SYNC_ACT_CHANGED);
    }
    assert_int_equal(refused, 1);
    assert_int_equal(world_upto(&w, 1, 2, 1), 1);
    assert_true(world_has(&w, 1, good));
    assert_false(world_has(&w, 1, bad));
    assert_int_equal(fleet_session(w.f, 1, 2).state, SESSION_FREE);
    arena_release(&a);
    fleet_free(w.f);
}

/* What a first message may be; each refusal names its reason to the peer. */
static void test_wrong_hello(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct core *c = fleet_core(w.f, 2);
    struct arena a;
    uint8_t hash[32];
    uint8_t other[32] = { 1 };
    arena_init(&a, test_mem(), 8 << 20);
    const uint64_t number = members_head(c->members, hash);
    const struct wire_hello good = { .version_min = WIRE_VERSION,
        .version_max = WIRE_VERSION,
        .group = bytes_of(members_group_id(c->members), GROUP_ID_BYTES),
        .node = 2,
        .epoch = 1,
        .member_number = number,
        .member_hash = BYTES_OF(hash) };
    struct {
        struct wire_hello hello;
        enum err why;
    } cases[] = { { good, ERR_TRUNCATED }, /* no settled vector */
        { good, ERR_OUTDATED }, { good, ERR_UNKNOWN_PEER }, { good, ERR_UNKNOWN_PEER }, { good, ERR_CONFLICT },
        { good, ERR_SIGNATURE } };
    cases[1].hello.version_min = WIRE_VERSION + 1;
    cases[1].hello.version_max = WIRE_VERSION + 1;
    cases[2].hello.group = bytes_of(other, GROUP_ID_BYTES);
    cases[3].hello.node = 3;
    cases[4].hello.member_hash = BYTES_OF(other);
    const uint8_t nothing = 0;
    cases[5].hello.settled = bytes_of(&nothing, 1); /* and no audit head */
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = 1000 + i, .now = fleet_now(w.f) };
        struct sync_actions actions = { 0 };
        enum err why = ERR_OK;
        memcpy(ev.key, members_node(c->members, 2)->tls_key, sizeof(ev.key));
        assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
        ev.kind = SYNC_EV_MESSAGE;
        ev.message = encode(&a, &(struct wire_message){ .kind = WIRE_HELLO, .hello = cases[i].hello });
        assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
        for (size_t k = 0; k < actions.count; k++) {
            why = actions.at[k].kind == SYNC_ACT_REFUSED ? actions.at[k].error : why;
        }
        assert_int_equal(why, cases[i].why);
        ev = (struct sync_event){ .kind = SYNC_EV_CLOSED, .conn = 1000 + i, .now = fleet_now(w.f) };
        assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
    }
    arena_release(&a);
    fleet_free(w.f);
}

/* Messages of two peers in one transaction: nothing is answered before its end, and when a message among them takes too
 * much memory all of it is taken back, both sessions end, and nothing that was never durable is believed. */
static void test_group_is_one_transaction(void **state)
{
    (void)state;
    for (unsigned greedy = 0; greedy < 2; greedy++) {
        struct world w = world_new(3);
        struct arena a;
        struct sync_actions actions = { 0 };
        arena_init(&a, test_mem(), 8 << 20);
        fleet_connect_all(w.f);
        fleet_run(w.f);
        /* Their own messages stay on the way. */
        struct record_id first = fleet_customer(w.f, 2, w.seller, "陈大文");
        struct record_id second = fleet_customer(w.f, 3, w.seller, "李四");
        struct wire_item items[2] = { { .node = 0 }, { .node = 0 } };
        for (uint32_t i = 0; i < 2; i++) {
            struct bytes commit = { 0 };
            struct bytes secrets = { 0 };
            assert_int_equal(fleet_commit_of(w.f, i + 2, world_dot(i + 2, 1), &commit, &secrets), ERR_OK);
            assert_int_equal(arena_dup(&a, commit, &items[i].commit), ERR_OK);
            assert_int_equal(arena_dup(&a, secrets, &items[i].secrets), ERR_OK);
        }
        struct mem *mem = fleet_core(w.f, 1)->mem;
        size_t budget = mem->max_bytes;
        for (uint32_t i = 0; i < 2; i++) {
            struct sync_event ev = { .kind = SYNC_EV_MESSAGE, .now = fleet_now(w.f), .more = true };
            ev.conn = fleet_session(w.f, 1, i + 2).conn;
            ev.message = encode(&a, &(struct wire_message){ .kind = WIRE_COMMITS, .items = &items[i], .count = 1 });
            mem->max_bytes = greedy == 1 && i == 1 ? mem->used_bytes + 4096 : budget;
            assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
            mem->max_bytes = budget;
            assert_int_equal(actions.count, 0);
            assert_true(sync_is_open(fleet_sync(w.f, 1)));
        }
        struct sync_event ev = { .kind = SYNC_EV_FLUSH, .now = fleet_now(w.f) };
        assert_int_equal(sync_step(fleet_sync(w.f, 1), &ev, &actions), ERR_OK);
        assert_false(sync_is_open(fleet_sync(w.f, 1)));
        size_t closed = 0;
        for (size_t i = 0; i < actions.count; i++) {
            closed += actions.at[i].kind == SYNC_ACT_CLOSE ? 1 : 0;
        }
        assert_int_equal(closed, greedy == 1 ? 2 : 0);
        assert_int_equal(world_has(&w, 1, first), greedy == 0);
        assert_int_equal(world_has(&w, 1, second), greedy == 0);
        fleet_cut_all(w.f);
        fleet_connect_all(w.f);
        fleet_run(w.f);
        assert_true(world_has(&w, 1, first) && world_has(&w, 1, second));
        assert_true(fleet_same_hash(w.f, 1, 2) && fleet_same_hash(w.f, 1, 3));
        arena_release(&a);
        fleet_free(w.f);
    }
}

/* Too little memory for a message: its session ends, the node goes on, and with memory again it succeeds. */
static void test_message_too_large_for_memory(void **state)
{
    (void)state;
    struct world w = world_new(3);
    for (size_t i = 0; i < 300; i++) {
        (void)fleet_customer(w.f, 2, w.seller, "李四");
    }
    struct record_id id = fleet_customer(w.f, 2, w.seller, "陈大文");
    struct mem *mem = fleet_core(w.f, 1)->mem;
    size_t budget = mem->max_bytes;
    size_t refused = 0;
    for (size_t room = 1024; room < 4 << 20 && !world_has(&w, 1, id); room += 4000) {
        fleet_cut_all(w.f);
        arena_reset(fleet_arena(w.f, 1));
        fleet_connect(w.f, 1, 2);
        while (fleet_session(w.f, 1, 2).state != SESSION_LIVE && fleet_step(w.f)) {
        }
        mem->max_bytes = mem->used_bytes + room;
        fleet_run(w.f);
        refused += fleet_news(w.f, 1).refused;
        mem->max_bytes = budget;
        if (fleet_failure(w.f, 1) != ERR_OK) {
            /* Not even room for the refusal: the daemon stops. */
            assert_int_equal(fleet_failure(w.f, 1), ERR_NOMEM);
            fleet_restart(w.f, 1);
            mem = fleet_core(w.f, 1)->mem;
        }
    }
    assert_true(world_has(&w, 1, id));
    assert_true(refused > 0);
    fleet_run(w.f);
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* The store fails at every operation of a whole synchronisation: after a restart all is as if it had not begun. */
static void test_store_fails_anywhere(void **state)
{
    (void)state;
    bool fired = true;
    for (uint64_t k = 1; fired; k += 3) {
        struct world w = world_new(2);
        struct fault fault = { .countdown = k };
        fleet_teach(w.f, 2);
        (void)fleet_user(w.f, 1, role_bit(ROLE_SC));
        struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
        struct record_id back = fleet_customer(w.f, 2, w.seller, "李四");
        assert_int_equal(fleet_set(w.f, 1, w.seller, ENTITY_CUSTOMER, id, "sex", "F"), ERR_OK);
        store_mem_set_fault(fleet_store(w.f, 2), &fault);
        fleet_connect(w.f, 1, 2);
        fleet_run(w.f);
        store_mem_set_fault(fleet_store(w.f, 2), NULL);
        fired = fault.fired;
        assert_true(fired == (fleet_failure(w.f, 2) != ERR_OK));
        fleet_restart(w.f, 2);
        struct dot bad = { 0 };
        assert_int_equal(core_verify_log(fleet_core(w.f, 2), fleet_arena(w.f, 2), &bad), ERR_OK);
        fleet_connect(w.f, 1, 2);
        fleet_run(w.f);
        assert_true(world_has(&w, 2, id) && world_has(&w, 1, back));
        assert_true(fleet_same_hash(w.f, 1, 2));
        fleet_free(w.f);
        assert_true(k < 3000);
    }
}

/* As before, but what fails is only memory: no restart is needed, the next session does it. */
static void test_memory_fails_anywhere(void **state)
{
    (void)state;
    bool fired = true;
    size_t refused = 0;
    for (uint64_t k = 1; fired; k += 3) {
        struct world w = world_new(2);
        struct fault fault = { .countdown = k, .err = ERR_NOMEM };
        fleet_teach(w.f, 2);
        (void)fleet_user(w.f, 1, role_bit(ROLE_SC));
        for (size_t i = 0; i < 4; i++) {
            (void)fleet_customer(w.f, 1, w.seller, "陈大文");
        }
        store_mem_set_fault(fleet_store(w.f, 2), &fault);
        fleet_connect(w.f, 1, 2);
        fleet_run(w.f);
        store_mem_set_fault(fleet_store(w.f, 2), NULL);
        fired = fault.fired;
        refused += fleet_news(w.f, 2).refused;
        if (fleet_failure(w.f, 2) != ERR_OK) {
            fleet_restart(w.f, 2); /* not a message but the sending failed */
        }
        fleet_cut_all(w.f);
        fleet_connect(w.f, 1, 2);
        fleet_run(w.f);
        assert_int_equal(fleet_failure(w.f, 2), ERR_OK);
        assert_true(fleet_same_hash(w.f, 1, 2));
        assert_int_equal(fleet_space_count(w.f, 2, SPACE_LOG), 4);
        fleet_restart(w.f, 2); /* a hole in the stored membership would show */
        fleet_free(w.f);
        assert_true(k < 3000);
    }
    assert_true(refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_messages),
        cmocka_unit_test(test_false_withheld_marks),
        cmocka_unit_test(test_spoilt_commit_in_batch),
        cmocka_unit_test(test_wrong_hello),
        cmocka_unit_test(test_group_is_one_transaction),
        cmocka_unit_test(test_message_too_large_for_memory),
        cmocka_unit_test(test_store_fails_anywhere),
        cmocka_unit_test(test_memory_fails_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
