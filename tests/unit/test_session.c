/* Sessions between whole nodes: what is said, to whom, in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/session.h"
#include "sync/window.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/forge.h"
#include "tests/lib/store_mem.h"
#include "tests/lib/testkit.h"

#include <stdio.h>

enum { MUCH = 1300 };

/* Counts the kinds of messages from one node to another, and keeps their order. */
struct watching {
    uint32_t from;
    uint32_t to;
    struct arena a;
    size_t kinds[WIRE_KIND_COUNT];
    enum wire_kind order[64];
    size_t count;
    size_t in_flight;
    size_t sizes[WINDOW_MESSAGES * 2]; /* of the messages in flight, oldest first */
    size_t bytes; /* in flight */
    size_t most_bytes;
    size_t all_bytes;
    struct bytes canary;
    size_t canaries;
};

static bool contains(struct bytes text, struct bytes word)
{
    for (size_t i = 0; word.len > 0 && i + word.len <= text.len; i++) {
        if (memcmp(text.ptr + i, word.ptr, word.len) == 0) {
            return true;
        }
    }
    return false;
}

static void watch(void *ctx, uint32_t from, uint32_t to, struct bytes message)
{
    struct watching *w = ctx;
    struct wire_message m;
    arena_reset(&w->a);
    assert_int_equal(wire_take(message, &w->a, &m), ERR_OK);
    for (uint32_t i = 0; from == w->to && to == w->from && m.kind == WIRE_ACK && i < m.messages; i++) {
        assert_true(w->in_flight > 0);
        w->bytes -= w->sizes[0];
        w->in_flight--;
        memmove(w->sizes, w->sizes + 1, w->in_flight * sizeof(w->sizes[0]));
    }
    if (from != w->from || to != w->to) {
        return;
    }
    w->kinds[m.kind]++;
    if (w->count < ARRAY_LEN(w->order)) {
        w->order[w->count++] = m.kind;
    }
    if (m.kind == WIRE_COMMITS) {
        assert_true(w->in_flight < ARRAY_LEN(w->sizes));
        w->sizes[w->in_flight++] = message.len;
        w->bytes += message.len;
        w->all_bytes += message.len;
        w->most_bytes = w->bytes > w->most_bytes ? w->bytes : w->most_bytes;
    }
    w->canaries += contains(message, w->canary) ? 1 : 0;
}

static void watch_start(const struct world *w, struct watching *k, uint32_t from, uint32_t to)
{
    *k = (struct watching){ .from = from, .to = to };
    arena_init(&k->a, test_mem(), 16 << 20);
    fleet_watch(w->f, watch, k);
}

static void watch_stop(const struct world *w, struct watching *k)
{
    fleet_watch(w->f, NULL, NULL);
    arena_release(&k->a);
}

/* --- two honest nodes --- */

static void test_membership_then_commits_then_live(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct watching k;
    world_teach_all(&w);
    struct record_id theirs = fleet_customer(w.f, 2, w.seller, "李四");
    uint32_t late = fleet_user(w.f, 1, role_bit(ROLE_SC)); /* node 2 does not know her */
    struct record_id id = fleet_customer(w.f, 1, late, "陈大文");
    watch_start(&w, &k, 1, 2);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_true(k.count >= 3);
    assert_int_equal(k.order[0], WIRE_HELLO);
    assert_int_equal(k.order[1], WIRE_MEMBERS);
    assert_int_equal(k.order[2], WIRE_COMMITS);
    assert_true(world_shows_name(&w, 2, id, "陈大文"));
    assert_true(world_shows_name(&w, 1, theirs, "李四"));
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_int_equal(fleet_session(w.f, 1, 2).sent_commits, 1);
    assert_int_equal(fleet_session(w.f, 1, 2).received_commits, 1);
    /* Live, both ways, and then quiet. */
    assert_int_equal(fleet_set(w.f, 1, w.seller, ENTITY_CUSTOMER, id, "sex", "F"), ERR_OK);
    assert_int_equal(fleet_set(w.f, 2, w.seller, ENTITY_CUSTOMER, theirs, "sex", "M"), ERR_OK);
    fleet_run(w.f);
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_int_equal(fleet_session(w.f, 1, 2).sent_commits, 2); /* what came in is not sent back */
    assert_int_equal(fleet_session(w.f, 1, 2).received_commits, 2);
    size_t said = k.count;
    fleet_local(w.f, 1);
    fleet_local(w.f, 2);
    fleet_run(w.f);
    assert_int_equal(k.count, said);
    watch_stop(&w, &k);
    /* A new session has nothing to send. */
    fleet_cut(w.f, 1, 2);
    fleet_connect(w.f, 2, 1);
    fleet_run(w.f);
    assert_int_equal(fleet_session(w.f, 1, 2).sent_commits, 0);
    assert_int_equal(fleet_session(w.f, 2, 1).sent_commits, 0);
    assert_true(fleet_session(w.f, 1, 2).is_caught_up);
    fleet_free(w.f);
}

static void test_chain_of_nodes(void **state)
{
    (void)state;
    struct world w = world_new(2);
    (void)fleet_station_node(w.f, 1, true);
    (void)fleet_station_node(w.f, 2, true);
    world_teach_all(&w);
    fleet_connect(w.f, 1, 2);
    fleet_connect(w.f, 2, 3);
    fleet_connect(w.f, 3, 4);
    struct record_id id = fleet_customer(w.f, 4, w.seller, "陈大文");
    fleet_run(w.f);
    assert_true(world_shows_name(&w, 1, id, "陈大文"));
    assert_int_equal(fleet_set(w.f, 1, w.seller, ENTITY_CUSTOMER, id, "sex", "F"), ERR_OK);
    fleet_run(w.f);
    assert_true(fleet_same_hash(w.f, 1, 4));
    /* The ring closes: nobody gets anything twice over the new line. */
    fleet_connect(w.f, 4, 1);
    fleet_run(w.f);
    assert_int_equal(fleet_session(w.f, 1, 4).sent_commits, 0);
    assert_int_equal(fleet_session(w.f, 4, 1).sent_commits, 0);
    fleet_free(w.f);
}

/* Customers with a remark of 1.4 KB each: 1300 are more than a window of batches. */
static void write_much(const struct world *w, uint32_t node)
{
    char remark[1444];
    for (size_t i = 0; i + 3 < sizeof(remark); i += 3) {
        memcpy(remark + i, "字", 4);
    }
    for (size_t i = 0; i < MUCH; i++) {
        const struct fleet_field fields[] = { { "full_name", "陈大文" }, { "remark", remark }, { NULL, NULL } };
        struct fleet_write wr = {
            .node = node, .user = w->seller, .entity = ENTITY_CUSTOMER, .is_new = true, .fields = fields
        };
        struct dot dot = { 0 };
        assert_int_equal(fleet_write(w->f, &wr, &dot), ERR_OK);
    }
}

/* The answer comes when all of both sides has arrived on both sides, however much it is. */
static void test_probe_means_in_sync(void **state)
{
    (void)state;
    for (uint32_t busy = 1; busy <= 2; busy++) {
        struct world w = world_new(2);
        world_teach_all(&w);
        write_much(&w, busy);
        fleet_connect(w.f, 1, 2);
        while (fleet_session(w.f, 2, 1).state != SESSION_LIVE) {
            assert_true(fleet_step(w.f));
        }
        (void)fleet_news(w.f, 2);
        fleet_probe(w.f, 2, 77);
        struct fleet_news news = { 0 };
        while (news.probed == 0 && fleet_step(w.f)) {
            news = fleet_news(w.f, 2);
        }
        assert_int_equal(news.probed, 1);
        assert_int_equal(news.probe_id, 77);
        assert_int_equal(fleet_space_count(w.f, 1, SPACE_LOG), MUCH);
        assert_int_equal(fleet_space_count(w.f, 2, SPACE_LOG), MUCH);
        fleet_run(w.f);
        assert_int_equal(fleet_news(w.f, 2).probed, 0);
        fleet_free(w.f);
    }
}

/* Whatever the order in which the two hellos arrive, one session is left, the same at both ends. */
static void test_both_dialled(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world w = world_new(2);
        world_teach_all(&w);
        for (uint64_t i = 0; i < seed; i++) {
            (void)test_random(fleet_rng(w.f));
        }
        fleet_connect(w.f, 1, 2);
        fleet_connect(w.f, 2, 1);
        struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
        fleet_run(w.f);
        assert_int_equal(fleet_lines(w.f, 1, 2), 1);
        struct session_info a = fleet_session(w.f, 1, 2);
        struct session_info b = fleet_session(w.f, 2, 1);
        assert_true(a.is_outbound); /* the one that the lower number dialled */
        assert_false(b.is_outbound);
        assert_true(world_shows_name(&w, 2, id, "陈大文"));
        assert_int_equal(fleet_news(w.f, 1).refused, 0);
        assert_int_equal(fleet_news(w.f, 2).refused, 0); /* replaced by a connection of our own: no copy of us */
        fleet_free(w.f);
    }
}

/* The old line is dead, but its end has not been noticed: the new one takes over. */
static void test_dialled_again(void **state)
{
    (void)state;
    struct world w = world_new(2);
    world_teach_all(&w);
    fleet_connect(w.f, 2, 1);
    fleet_run(w.f);
    fleet_connect(w.f, 2, 1);
    fleet_run(w.f);
    assert_int_equal(fleet_lines(w.f, 1, 2), 1);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_run(w.f);
    assert_true(world_shows_name(&w, 2, id, "陈大文"));
    assert_int_equal(fleet_news(w.f, 1).refused + fleet_news(w.f, 2).refused, 0);
    fleet_free(w.f);
}

/* Never more than the window is under way, and all of it arrives. */
static void test_window(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct watching k;
    world_teach_all(&w);
    write_much(&w, 1);
    watch_start(&w, &k, 1, 2);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_true(k.all_bytes > (size_t)2 * WINDOW_BYTES_FIRST);
    assert_true(k.most_bytes >= WINDOW_BYTES_FIRST && k.most_bytes < WINDOW_BYTES_FIRST + COMMIT_MAX_BYTES);
    assert_int_equal(k.in_flight, 0);
    watch_stop(&w, &k);
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_int_equal(fleet_session(w.f, 1, 2).sent_commits, MUCH);
    assert_true(fleet_session(w.f, 1, 2).is_caught_up);
    fleet_free(w.f);
}

/* --- who gets what --- */

static void secret_of(const struct world *w, struct record_id id, uint8_t out[SECRET_BYTES])
{
    struct store *s = fleet_store(w->f, 1);
    struct dossier d = { 0 };
    assert_int_equal(s->ops->dossier_get(s, record_dossier(id), fleet_arena(w->f, 1), &d), ERR_OK);
    memcpy(out, d.secret, SECRET_BYTES);
}

static void test_laptop_gets_its_owners_customers(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct watching k;
    uint8_t secret[SECRET_BYTES];
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    world_teach_all(&w);
    struct record_id mine = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id theirs = fleet_customer(w.f, 1, w.buddy, "李四");
    struct record_id given = fleet_customer(w.f, 1, w.buddy, "王五");
    struct record_id taken = fleet_customer(w.f, 1, w.seller, "赵六");
    (void)fleet_assign(w.f, 1, w.seller, given, "u2", "2026-01-01T00:00:00Z");
    (void)fleet_assign(w.f, 1, w.seller, taken, "u3", "2026-01-01T00:00:00Z");
    secret_of(&w, theirs, secret);
    watch_start(&w, &k, 1, laptop);
    k.canary = BYTES_OF(secret);
    fleet_connect(w.f, 1, laptop);
    fleet_run(w.f);
    assert_true(world_has(&w, laptop, mine));
    assert_true(world_has(&w, laptop, given));
    assert_false(world_has(&w, laptop, theirs));
    assert_false(world_has(&w, laptop, taken));
    assert_int_equal(k.canaries, 0);
    assert_true(k.kinds[WIRE_COMMITS] > 0);
    /* What was withheld is settled, so it is not asked for again. */
    assert_int_equal(world_upto(&w, laptop, 1, 1), world_upto(&w, 1, 1, 1));
    assert_int_equal(fleet_space_count(w.f, laptop, SPACE_LOG), 3);
    fleet_cut(w.f, 1, laptop);
    fleet_connect(w.f, 1, laptop);
    fleet_run(w.f);
    assert_int_equal(fleet_session(w.f, 1, laptop).sent_commits, 0);
    assert_true(fleet_session(w.f, 1, laptop).is_caught_up);
    /* Live: a write to somebody else's customer is a mark only, one to its own comes. */
    assert_int_equal(fleet_set(w.f, 1, w.buddy, ENTITY_CUSTOMER, theirs, "sex", "F"), ERR_OK);
    assert_int_equal(fleet_set(w.f, 1, w.seller, ENTITY_CUSTOMER, mine, "sex", "F"), ERR_OK);
    fleet_run(w.f);
    assert_string_equal(fleet_get(w.f, laptop, ENTITY_CUSTOMER, mine, "sex"), "F");
    assert_int_equal(world_upto(&w, laptop, 1, 1), world_upto(&w, 1, 1, 1));
    assert_int_equal(k.canaries, 0);
    k.canary = (struct bytes){ 0 };
    watch_stop(&w, &k);
    fleet_free(w.f);
}

/* One commit about two customers: the laptop gets half of it, which still verifies, and does not pass it on. */
static void test_reduced_commit(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    world_teach_all(&w);
    struct record_id ids[2] = { fleet_customer(w.f, 1, w.seller, "陈大文"), fleet_customer(w.f, 2, w.buddy, "李四") };
    assert_int_equal(fleet_carry(w.f, 2, 1, (struct dot){ .node = 2, .epoch = 1, .seq = 1 }), ERR_OK);
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER);
    struct write_field field = { .field = catalogue_field_by_name(d, BYTES_LIT("sex")), .value = value_int(2) };
    struct write_record records[2];
    struct write_group groups[2];
    for (size_t i = 0; i < 2; i++) {
        records[i] = (struct write_record){ .desc = d, .id = ids[i], .fields = &field, .field_count = 1 };
        groups[i] = (struct write_group){
            .kind = DOSSIER_CUSTOMER, .id = record_dossier(ids[i]), .records = &records[i], .record_count = 1
        };
    }
    struct write_request req = { .author = w.seller, .purpose = PURPOSE_P1, .groups = groups, .group_count = 2 };
    struct store *s = fleet_store(w.f, 1);
    struct dot dot = { 0 };
    struct why why = { .zh = "" };
    assert_int_equal(s->ops->begin(s), ERR_OK);
    assert_int_equal(core_write(fleet_core(w.f, 1), fleet_arena(w.f, 1), fleet_now(w.f), &req, &dot, &why), ERR_OK);
    assert_int_equal(s->ops->commit(s, true), ERR_OK);
    fleet_connect(w.f, 1, laptop);
    fleet_run(w.f);
    assert_string_equal(fleet_get(w.f, laptop, ENTITY_CUSTOMER, ids[0], "sex"), "F");
    assert_false(world_has(&w, laptop, ids[1]));
    struct dot bad = { 0 };
    assert_int_equal(core_verify_log(fleet_core(w.f, laptop), fleet_arena(w.f, laptop), &bad), ERR_OK);
    /* Node 2 meets only the laptop: it gets the whole commit and no more, and is told nothing about the rest. */
    fleet_cut_all(w.f);
    fleet_connect(w.f, 2, laptop);
    fleet_run(w.f);
    assert_true(world_has(&w, 2, ids[0]));
    assert_int_equal(world_upto(&w, 2, 1, 1), 1);
    assert_true(fleet_session(w.f, laptop, 2).is_caught_up);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* A laptop writes at home; its own commits are whole at the station and come back to nobody but entitled. */
static void test_laptop_writes(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    uint32_t other = fleet_laptop(w.f, w.buddy);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, laptop, w.seller, "陈大文");
    fleet_connect(w.f, laptop, 1);
    fleet_connect(w.f, other, 1);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_true(world_shows_name(&w, 2, id, "陈大文"));
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_false(world_has(&w, other, id));
    assert_int_equal(world_upto(&w, other, laptop, 1), 1);
    fleet_free(w.f);
}

/* A station node of station 2 alone holds nothing of station 1 and passes nothing of it on. */
static void test_station_scope(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t branch = fleet_station_node(w.f, 2, false);
    uint32_t seller2 = fleet_user(w.f, 2, role_bit(ROLE_SC));
    world_teach_all(&w);
    struct record_id here = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id there = fleet_customer(w.f, 1, seller2, "李四");
    fleet_connect(w.f, 1, branch);
    fleet_connect(w.f, branch, 2);
    fleet_run(w.f);
    assert_false(world_has(&w, branch, here));
    assert_true(world_has(&w, branch, there));
    assert_int_equal(world_upto(&w, branch, 1, 1), 2);
    assert_int_equal(world_upto(&w, 2, 1, 1), 0);
    struct record_id new = fleet_customer(w.f, branch, seller2, "王五");
    fleet_run(w.f);
    assert_true(world_shows_name(&w, 2, new, "王五"));
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

static void test_relay_gets_no_secrets(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct watching k;
    uint8_t secret[SECRET_BYTES];
    uint32_t relay = fleet_relay(w.f, 1);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    secret_of(&w, id, secret);
    watch_start(&w, &k, 1, relay);
    k.canary = BYTES_OF(secret);
    fleet_connect(w.f, 1, relay);
    fleet_run(w.f);
    assert_int_equal(k.canaries, 0);
    assert_int_equal(world_upto(&w, relay, 1, 1), 1);
    k.canary = (struct bytes){ 0 };
    watch_stop(&w, &k);
    fleet_free(w.f);
}

static void test_revoked_is_dropped(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t gone = fleet_station_node(w.f, 1, true);
    world_teach_all(&w);
    struct record_id kept = fleet_customer(w.f, gone, w.seller, "陈大文");
    fleet_connect(w.f, 1, gone);
    fleet_connect(w.f, 2, gone);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    fleet_cut(w.f, 1, gone);
    struct record_id beyond = fleet_customer(w.f, gone, w.seller, "李四");
    fleet_run(w.f);
    assert_true(world_has(&w, 2, beyond) && world_has(&w, 1, beyond)); /* by way of node 2 */
    fleet_revoke(w.f, gone, 1);
    fleet_local(w.f, 1);
    fleet_run(w.f);
    assert_int_equal(fleet_lines(w.f, 2, gone), 0);
    assert_true(world_has(&w, 2, kept));
    assert_false(world_has(&w, 2, beyond));
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_connect(w.f, gone, 2);
    fleet_run(w.f);
    assert_int_equal(fleet_lines(w.f, 2, gone), 0);
    /* A newcomer gets what counts, and the same state. */
    uint32_t fresh = fleet_station_node(w.f, 1, true);
    fleet_local(w.f, 1);
    fleet_run(w.f);
    fleet_connect(w.f, 2, fresh);
    fleet_run(w.f);
    assert_int_equal(fleet_session(w.f, 2, fresh).state, SESSION_LIVE);
    assert_true(fleet_same_hash(w.f, 1, fresh));
    assert_int_equal(world_upto(&w, fresh, gone, 1), 2);
    fleet_free(w.f);
}

/* Something from beyond the cut reached a node that knew of the cut: without its secrets, so it cannot be passed on. */
static void test_beyond_the_cut_is_not_spread(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t gone = fleet_station_node(w.f, 1, true);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, gone, w.seller, "陈大文");
    fleet_revoke(w.f, gone, 0);
    assert_int_equal(fleet_carry(w.f, gone, 1, (struct dot){ .node = gone, .epoch = 1, .seq = 1 }), ERR_OK);
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_REVOKED), 1);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_int_equal(fleet_failure(w.f, 1), ERR_OK);
    assert_int_equal(world_upto(&w, 2, gone, 1), 1);
    assert_int_equal(fleet_space_count(w.f, 2, SPACE_LOG), 0);
    assert_false(world_has(&w, 2, id));
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* --- identity --- */

/* Marks about one node's own commits that it says. */
struct marking {
    uint32_t from;
    size_t marks;
    size_t messages;
};

static void count_marks(void *ctx, uint32_t from, uint32_t to, struct bytes message)
{
    struct marking *k = ctx;
    struct wire_message m;
    struct arena a;
    size_t before = k->marks;
    (void)to;
    arena_init(&a, test_mem(), WIRE_ARENA_BYTES);
    assert_int_equal(wire_take(message, &a, &m), ERR_OK);
    for (size_t i = 0; from == k->from && m.kind == WIRE_COMMITS && i < m.count; i++) {
        k->marks += m.items[i].upto != 0 && m.items[i].node == from ? 1 : 0;
    }
    k->messages += k->marks > before ? 1 : 0;
    arena_release(&a);
}

static void test_lost_past_comes_back(void **state)
{
    (void)state;
    struct world w = world_new(2);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 2, w.seller, "陈大文");
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    uint32_t epoch = 1;
    struct marking k = { .from = 2 };
    fleet_watch(w.f, count_marks, &k);
    for (unsigned i = 0; i < 3; i++) {
        fleet_restore_empty(w.f, 2);
        assert_false(world_has(&w, 2, id));
        fleet_connect(w.f, 1, 2);
        fleet_run(w.f);
        assert_true(world_shows_name(&w, 2, id, "陈大文"));
        assert_true(fleet_core(w.f, 2)->epoch > epoch);
        epoch = fleet_core(w.f, 2)->epoch;
        fleet_restart(w.f, 2); /* the epoch is kept */
        assert_int_equal(fleet_core(w.f, 2)->epoch, epoch);
        (void)fleet_customer(w.f, 2, w.seller, "李四");
        assert_int_equal(world_upto(&w, 2, 2, epoch), 1);
        fleet_connect(w.f, 1, 2);
        fleet_run(w.f);
        assert_true(fleet_same_hash(w.f, 1, 2));
    }
    assert_int_equal(k.marks, 0); /* who gave all of it back knows that */
    fleet_free(w.f);
}

enum { PIECES = 6 };

/* Node 2 holds the group and has written for both stations in turn, which nodes 3 and 4 hold a part of each; then it
 * loses everything. */
static struct world world_in_pieces(void)
{
    struct world w = world_new(2);
    (void)fleet_station_node(w.f, 1, false);
    (void)fleet_station_node(w.f, 2, false);
    world_teach_all(&w);
    for (size_t i = 0; i < PIECES; i++) {
        (void)fleet_customer(w.f, 2, i % 2 == 0 ? w.seller : w.other, "陈大文");
    }
    fleet_connect(w.f, 2, 3);
    fleet_connect(w.f, 2, 4);
    fleet_run(w.f);
    assert_int_equal(world_upto(&w, 3, 2, 1), PIECES);
    assert_int_equal(world_upto(&w, 4, 2, 1), PIECES);
    fleet_cut_all(w.f);
    return w;
}

/* Whoever holds pieces stands at what it lacks, until it hears that it came from somebody else. */
static void regain(const struct world *w, uint32_t liar, struct marking *k)
{
    *k = (struct marking){ .from = 2 };
    fleet_restore_empty(w->f, 2);
    fleet_watch(w->f, count_marks, k);
    if (liar != 0) {
        fleet_connect(w->f, liar, 2);
        fleet_run(w->f);
    }
    fleet_connect(w->f, 2, 3);
    fleet_connect(w->f, 2, 4);
    fleet_run(w->f);
    assert_int_equal(world_upto(w, 2, 2, 1), PIECES);
    assert_true(k->marks > 0);
    assert_int_equal(fleet_failure(w->f, 2), ERR_OK);
    fleet_watch(w->f, NULL, NULL);
}

static void assert_all_is_back(const struct world *w)
{
    (void)fleet_customer(w->f, 2, w->seller, "李四");
    fleet_connect(w->f, 1, 2);
    fleet_run(w->f);
    assert_int_equal(world_upto(w, 1, 2, 1), PIECES);
    assert_true(fleet_same_hash(w->f, 1, 2));
    assert_int_equal(fleet_space_count(w->f, 1, SPACE_LOG), PIECES + 1);
}

static void test_lost_past_in_pieces(void **state)
{
    (void)state;
    for (unsigned promoted = 0; promoted < 2; promoted++) {
        struct world w = world_in_pieces();
        struct marking k;
        if (promoted == 1) {
            fleet_scope(w.f, 3, true, 0, 0); /* nothing is withheld from it any more, but holes it has */
            world_teach_all(&w);
        }
        regain(&w, 0, &k);
        assert_true(k.messages <= PIECES);
        assert_all_is_back(&w);
        /* Nothing of it is said again, neither on these lines nor on new ones. */
        k = (struct marking){ .from = 2 };
        fleet_watch(w.f, count_marks, &k);
        (void)fleet_customer(w.f, 2, w.seller, "王五");
        fleet_run(w.f);
        fleet_cut_all(w.f);
        fleet_connect(w.f, 2, 3);
        fleet_connect(w.f, 2, 4);
        fleet_run(w.f);
        assert_int_equal(k.messages, 1); /* what was written since is for node 3 only, and node 4 is told so */
        fleet_watch(w.f, NULL, NULL);
        fleet_free(w.f);
    }
}

/* Somebody claims to know more of it than there ever was: that costs nobody anything. */
static void test_lost_past_and_a_liar(void **state)
{
    (void)state;
    struct world w = world_in_pieces();
    struct marking k;
    uint32_t liar = fleet_laptop(w.f, w.seller);
    struct store *store = fleet_store(w.f, liar);
    world_teach_all(&w);
    assert_int_equal(store->ops->begin(store), ERR_OK);
    assert_int_equal(core_settle_withheld(fleet_core(w.f, liar), 2, 1, 1000), ERR_OK);
    assert_int_equal(store->ops->commit(store, true), ERR_OK);
    regain(&w, liar, &k);
    assert_true(k.messages <= 2 * PIECES);
    assert_int_equal(world_upto(&w, 1, 2, 1), 0);
    assert_all_is_back(&w);
    fleet_free(w.f);
}

static struct bytes witness(const struct world *w, uint32_t at, uint32_t node)
{
    struct store *s = fleet_store(w->f, at);
    struct bytes bytes = { 0 };
    const uint8_t key[9] = { 'w', 0, 0, 0, (uint8_t)node, 0, 0, 0, 1 };
    assert_int_equal(s->ops->get(s, SPACE_PEER, BYTES_OF(key), fleet_arena(w->f, at), &bytes), ERR_OK);
    return bytes;
}

static uint64_t witness_count(const struct world *w, uint32_t at, uint32_t node)
{
    struct bytes bytes = witness(w, at, node);
    struct reader r = reader_of(bytes);
    struct audit_head head;
    assert_int_equal(audit_head_take(&r, &head), ERR_OK);
    return head.count;
}

/* An audit log that is shorter than before does not replace what its peers have seen. */
static void test_witness_is_kept(void **state)
{
    (void)state;
    struct world w = world_new(2);
    world_teach_all(&w);
    fleet_connect(w.f, 1, 2);
    (void)fleet_customer(w.f, 2, w.seller, "陈大文"); /* its release is an audit entry */
    fleet_run(w.f);
    fleet_cut(w.f, 1, 2);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    uint64_t count = witness_count(&w, 1, 2);
    assert_true(count > 0);
    fleet_restore_empty(w.f, 2);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_int_equal(witness_count(&w, 1, 2), count);
    fleet_free(w.f);
}

/* One field written at three nodes; one of them is struck off whose write only some had. It counts nowhere, also where
 * the three had been weighed against each other. */
static void test_a_revoked_write_in_a_contested_field(void **state)
{
    (void)state;
    struct world w = world_new(4);
    struct record_id id = world_customer(&w);
    assert_int_equal(world_set_name(&w, 1, id, "陈甲"), ERR_OK);
    assert_int_equal(world_set_name(&w, 3, id, "陈丙"), ERR_OK);
    assert_int_equal(world_set_name(&w, 2, id, "陈乙"), ERR_OK);
    world_carry(&w, 2, 3, 2);
    world_carry(&w, 1, 3, 1);
    fleet_revoke(w.f, 2, 0);
    for (uint32_t n = 3; n <= 4; n++) {
        fleet_connect(w.f, 1, n);
    }
    fleet_run(w.f);
    assert_true(fleet_same_hash(w.f, 1, 3) && fleet_same_hash(w.f, 1, 4));
    assert_true(world_shows_name(&w, 3, id, "陈甲") || world_shows_name(&w, 3, id, "陈丙"));
    assert_int_equal(fleet_rebuild(w.f, 3), ERR_OK);
    assert_true(fleet_same_hash(w.f, 1, 3));
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_membership_then_commits_then_live),
        cmocka_unit_test(test_chain_of_nodes),
        cmocka_unit_test(test_probe_means_in_sync),
        cmocka_unit_test(test_both_dialled),
        cmocka_unit_test(test_dialled_again),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_laptop_gets_its_owners_customers),
        cmocka_unit_test(test_reduced_commit),
        cmocka_unit_test(test_laptop_writes),
        cmocka_unit_test(test_station_scope),
        cmocka_unit_test(test_relay_gets_no_secrets),
        cmocka_unit_test(test_revoked_is_dropped),
        cmocka_unit_test(test_beyond_the_cut_is_not_spread),
        cmocka_unit_test(test_lost_past_comes_back),
        cmocka_unit_test(test_lost_past_in_pieces),
        cmocka_unit_test(test_lost_past_and_a_liar),
        cmocka_unit_test(test_witness_is_kept),
        cmocka_unit_test(test_a_revoked_write_in_a_contested_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
