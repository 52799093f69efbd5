/* Sessions between whole nodes: what is said, to whom, in which order, and what a peer may not do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/session.h"
#include "tests/lib/fleet.h"
#include "tests/lib/forge.h"
#include "tests/lib/store_mem.h"
#include "tests/lib/testkit.h"

#include <stdio.h>

enum { MUCH = 1300 };

/* Nodes 1 and 2 hold the group. seller and buddy sell in station 1. */
struct world {
    struct fleet *f;
    uint32_t seller;
    uint32_t buddy;
};

static struct world world_new(void)
{
    struct world w = { .f = fleet_new(11) };
    (void)fleet_station(w.f);
    w.seller = fleet_user(w.f, 1, role_bit(ROLE_SM) | role_bit(ROLE_SC));
    w.buddy = fleet_user(w.f, 1, role_bit(ROLE_SM) | role_bit(ROLE_SC));
    (void)fleet_station_node(w.f, 2, true);
    return w;
}

static void teach_all(const struct world *w)
{
    for (uint32_t n = 2; n <= fleet_count(w->f); n++) {
        fleet_teach(w->f, n);
    }
}

static void assert_name(const struct world *w, uint32_t node, struct record_id id, const char *want)
{
    const char *have = fleet_get(w->f, node, ENTITY_CUSTOMER, id, "full_name");
    assert_non_null(have);
    assert_string_equal(have, want);
}

static bool has_customer(const struct world *w, uint32_t node, struct record_id id)
{
    return fleet_get(w->f, node, ENTITY_CUSTOMER, id, "full_name") != NULL;
}

static uint64_t upto(const struct world *w, uint32_t at, uint32_t origin, uint32_t epoch)
{
    const struct head *h = core_head(fleet_core(w->f, at), origin, epoch);
    return h == NULL ? 0 : h->upto;
}

/* Counts the kinds of messages from one node to another, and keeps their order. */
struct watching {
    uint32_t from;
    uint32_t to;
    struct arena a;
    size_t kinds[WIRE_KIND_COUNT];
    enum wire_kind order[64];
    size_t count;
    size_t in_flight;
    size_t most_in_flight;
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
    w->in_flight -= from == w->to && to == w->from && m.kind == WIRE_ACK ? m.messages : 0;
    if (from != w->from || to != w->to) {
        return;
    }
    w->kinds[m.kind]++;
    if (w->count < ARRAY_LEN(w->order)) {
        w->order[w->count++] = m.kind;
    }
    w->in_flight += m.kind == WIRE_COMMITS ? 1 : 0;
    w->most_in_flight = w->in_flight > w->most_in_flight ? w->in_flight : w->most_in_flight;
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
    struct world w = world_new();
    struct watching k;
    teach_all(&w);
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
    assert_name(&w, 2, id, "陈大文");
    assert_name(&w, 1, theirs, "李四");
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
    struct world w = world_new();
    (void)fleet_station_node(w.f, 1, true);
    (void)fleet_station_node(w.f, 2, true);
    teach_all(&w);
    fleet_connect(w.f, 1, 2);
    fleet_connect(w.f, 2, 3);
    fleet_connect(w.f, 3, 4);
    struct record_id id = fleet_customer(w.f, 4, w.seller, "陈大文");
    fleet_run(w.f);
    assert_name(&w, 1, id, "陈大文");
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
        struct world w = world_new();
        teach_all(&w);
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
        struct world w = world_new();
        teach_all(&w);
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
        assert_name(&w, 2, id, "陈大文");
        assert_int_equal(fleet_news(w.f, 1).refused, 0);
        fleet_free(w.f);
    }
}

/* The old line is dead, but its end has not been noticed: the new one takes over. */
static void test_dialled_again(void **state)
{
    (void)state;
    struct world w = world_new();
    teach_all(&w);
    fleet_connect(w.f, 2, 1);
    fleet_run(w.f);
    fleet_connect(w.f, 2, 1);
    fleet_run(w.f);
    assert_int_equal(fleet_lines(w.f, 1, 2), 1);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_run(w.f);
    assert_name(&w, 2, id, "陈大文");
    fleet_free(w.f);
}

/* Never more than the window is under way, and all of it arrives. */
static void test_window(void **state)
{
    (void)state;
    struct world w = world_new();
    struct watching k;
    teach_all(&w);
    write_much(&w, 1);
    watch_start(&w, &k, 1, 2);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_true(k.kinds[WIRE_COMMITS] > SESSION_WINDOW_MESSAGES);
    assert_int_equal(k.most_in_flight, SESSION_WINDOW_MESSAGES);
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
    struct world w = world_new();
    struct watching k;
    uint8_t secret[SECRET_BYTES];
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    teach_all(&w);
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
    assert_true(has_customer(&w, laptop, mine));
    assert_true(has_customer(&w, laptop, given));
    assert_false(has_customer(&w, laptop, theirs));
    assert_false(has_customer(&w, laptop, taken));
    assert_int_equal(k.canaries, 0);
    assert_true(k.kinds[WIRE_COMMITS] > 0);
    /* What was withheld is settled, so it is not asked for again. */
    assert_int_equal(upto(&w, laptop, 1, 1), upto(&w, 1, 1, 1));
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
    assert_int_equal(upto(&w, laptop, 1, 1), upto(&w, 1, 1, 1));
    assert_int_equal(k.canaries, 0);
    k.canary = (struct bytes){ 0 };
    watch_stop(&w, &k);
    fleet_free(w.f);
}

/* One commit about two customers: the laptop gets half of it, which still verifies, and does not pass it on. */
static void test_reduced_commit(void **state)
{
    (void)state;
    struct world w = world_new();
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    teach_all(&w);
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
    assert_false(has_customer(&w, laptop, ids[1]));
    struct dot bad = { 0 };
    assert_int_equal(core_verify_log(fleet_core(w.f, laptop), fleet_arena(w.f, laptop), &bad), ERR_OK);
    /* Node 2 meets only the laptop: it gets the whole commit and no more, and is told nothing about the rest. */
    fleet_cut_all(w.f);
    fleet_connect(w.f, 2, laptop);
    fleet_run(w.f);
    assert_true(has_customer(&w, 2, ids[0]));
    assert_int_equal(upto(&w, 2, 1, 1), 1);
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
    struct world w = world_new();
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    uint32_t other = fleet_laptop(w.f, w.buddy);
    teach_all(&w);
    struct record_id id = fleet_customer(w.f, laptop, w.seller, "陈大文");
    fleet_connect(w.f, laptop, 1);
    fleet_connect(w.f, other, 1);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_name(&w, 2, id, "陈大文");
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_false(has_customer(&w, other, id));
    assert_int_equal(upto(&w, other, laptop, 1), 1);
    fleet_free(w.f);
}

/* A station node of station 2 alone holds nothing of station 1 and passes nothing of it on. */
static void test_station_scope(void **state)
{
    (void)state;
    struct world w = world_new();
    uint32_t branch = fleet_station_node(w.f, 2, false);
    uint32_t seller2 = fleet_user(w.f, 2, role_bit(ROLE_SC));
    teach_all(&w);
    struct record_id here = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id there = fleet_customer(w.f, 1, seller2, "李四");
    fleet_connect(w.f, 1, branch);
    fleet_connect(w.f, branch, 2);
    fleet_run(w.f);
    assert_false(has_customer(&w, branch, here));
    assert_true(has_customer(&w, branch, there));
    assert_int_equal(upto(&w, branch, 1, 1), 2);
    assert_int_equal(upto(&w, 2, 1, 1), 0);
    struct record_id new = fleet_customer(w.f, branch, seller2, "王五");
    fleet_run(w.f);
    assert_name(&w, 2, new, "王五");
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

static void test_relay_gets_no_secrets(void **state)
{
    (void)state;
    struct world w = world_new();
    struct watching k;
    uint8_t secret[SECRET_BYTES];
    uint32_t relay = fleet_relay(w.f, 1);
    teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    secret_of(&w, id, secret);
    watch_start(&w, &k, 1, relay);
    k.canary = BYTES_OF(secret);
    fleet_connect(w.f, 1, relay);
    fleet_run(w.f);
    assert_int_equal(k.canaries, 0);
    assert_int_equal(upto(&w, relay, 1, 1), 1);
    k.canary = (struct bytes){ 0 };
    watch_stop(&w, &k);
    fleet_free(w.f);
}

static void test_revoked_is_dropped(void **state)
{
    (void)state;
    struct world w = world_new();
    uint32_t gone = fleet_station_node(w.f, 1, true);
    teach_all(&w);
    struct record_id kept = fleet_customer(w.f, gone, w.seller, "陈大文");
    fleet_connect(w.f, 1, gone);
    fleet_connect(w.f, 2, gone);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    fleet_cut(w.f, 1, gone);
    struct record_id beyond = fleet_customer(w.f, gone, w.seller, "李四");
    fleet_run(w.f);
    assert_true(has_customer(&w, 2, beyond) && has_customer(&w, 1, beyond)); /* by way of node 2 */
    fleet_revoke(w.f, gone, 1);
    fleet_local(w.f, 1);
    fleet_run(w.f);
    assert_int_equal(fleet_lines(w.f, 2, gone), 0);
    assert_true(has_customer(&w, 2, kept));
    assert_false(has_customer(&w, 2, beyond));
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
    assert_int_equal(upto(&w, fresh, gone, 1), 2);
    fleet_free(w.f);
}

/* Something from beyond the cut reached a node that knew of the cut: without its secrets, so it cannot be passed on. */
static void test_beyond_the_cut_is_not_spread(void **state)
{
    (void)state;
    struct world w = world_new();
    uint32_t gone = fleet_station_node(w.f, 1, true);
    teach_all(&w);
    struct record_id id = fleet_customer(w.f, gone, w.seller, "陈大文");
    fleet_revoke(w.f, gone, 0);
    assert_int_equal(fleet_carry(w.f, gone, 1, (struct dot){ .node = gone, .epoch = 1, .seq = 1 }), ERR_OK);
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_REVOKED), 1);
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    assert_int_equal(fleet_failure(w.f, 1), ERR_OK);
    assert_int_equal(upto(&w, 2, gone, 1), 1);
    assert_int_equal(fleet_space_count(w.f, 2, SPACE_LOG), 0);
    assert_false(has_customer(&w, 2, id));
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* --- identity --- */

static void test_lost_past_comes_back(void **state)
{
    (void)state;
    struct world w = world_new();
    teach_all(&w);
    struct record_id id = fleet_customer(w.f, 2, w.seller, "陈大文");
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    for (uint32_t epoch = 2; epoch <= 4; epoch++) {
        fleet_restore_empty(w.f, 2);
        assert_false(has_customer(&w, 2, id));
        fleet_connect(w.f, 1, 2);
        fleet_run(w.f);
        assert_name(&w, 2, id, "陈大文");
        assert_int_equal(fleet_core(w.f, 2)->epoch, epoch);
        fleet_restart(w.f, 2); /* the epoch is kept */
        assert_int_equal(fleet_core(w.f, 2)->epoch, epoch);
        (void)fleet_customer(w.f, 2, w.seller, "李四");
        assert_int_equal(upto(&w, 2, 2, epoch), 1);
        fleet_connect(w.f, 1, 2);
        fleet_run(w.f);
        assert_true(fleet_same_hash(w.f, 1, 2));
    }
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
    struct world w = world_new();
    teach_all(&w);
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
    assert_true(has_customer(w, 3, id));
    arena_release(&a);
}

static struct world hostile_world(void)
{
    struct world w = world_new();
    (void)fleet_station_node(w.f, 1, true);
    teach_all(&w);
    return w;
}

static void test_malformed_messages(void **state)
{
    (void)state;
    struct world w = hostile_world();
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
        ERR_VERSION);
    fleet_free(w.f);
}

static void say_item(const struct world *w, struct wire_item item, enum err why)
{
    say(w, &(struct wire_message){ .kind = WIRE_COMMITS, .items = &item, .count = 1 }, (struct bytes){ 0 }, why);
}

static void test_false_withheld_marks(void **state)
{
    (void)state;
    struct world w = hostile_world();
    uint64_t own = upto(&w, 1, 1, 1);
    say_item(&w, (struct wire_item){ .node = 1, .epoch = 1, .upto = 1000 }, ERR_PROTOCOL);
    assert_int_equal(upto(&w, 1, 1, 1), own + 1); /* what say() wrote */
    say_item(&w, (struct wire_item){ .node = 99, .epoch = 1, .upto = 1 }, ERR_PROTOCOL);
    say_item(&w, (struct wire_item){ .node = 3, .epoch = 1, .upto = 0 }, ERR_PROTOCOL);
    say_item(&w, (struct wire_item){ .node = 3, .epoch = 1, .upto = UINT64_MAX }, ERR_PROTOCOL);
    assert_int_equal(upto(&w, 1, 3, 1), 0);
    say_item(&w, (struct wire_item){ .node = 3, .epoch = 1, .upto = 0, .commit = BYTES_LIT("x") }, ERR_VERSION);
    fleet_free(w.f);
}

/* A good commit and a spoilt one in one message: the good one stays, the session ends. */
static void test_spoilt_commit_in_batch(void **state)
{
    (void)state;
    struct world w = hostile_world();
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
    assert_int_equal(upto(&w, 1, 2, 1), 0);
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
    assert_int_equal(upto(&w, 1, 2, 1), 1);
    assert_true(has_customer(&w, 1, good));
    assert_false(has_customer(&w, 1, bad));
    assert_int_equal(fleet_session(w.f, 1, 2).state, SESSION_FREE);
    arena_release(&a);
    fleet_free(w.f);
}

/* What a first message may be; each refusal names its reason to the peer. */
static void test_wrong_hello(void **state)
{
    (void)state;
    struct world w = hostile_world();
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
        { good, ERR_VERSION }, { good, ERR_UNKNOWN_PEER }, { good, ERR_UNKNOWN_PEER }, { good, ERR_CONFLICT },
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

/* Too little memory for a message: its session ends, the node goes on, and with memory again it succeeds. */
static void test_message_too_large_for_memory(void **state)
{
    (void)state;
    struct world w = hostile_world();
    struct record_id id = fleet_customer(w.f, 2, w.seller, "陈大文");
    for (size_t i = 0; i < 50; i++) {
        (void)fleet_customer(w.f, 2, w.seller, "李四");
    }
    struct mem *mem = fleet_core(w.f, 1)->mem;
    size_t budget = mem->max_bytes;
    size_t refused = 0;
    for (size_t room = 1024; room < 4 << 20 && !has_customer(&w, 1, id); room += 20000) {
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
    assert_true(has_customer(&w, 1, id));
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
        struct world w = world_new();
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
        assert_true(has_customer(&w, 2, id) && has_customer(&w, 1, back));
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
        struct world w = world_new();
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
        cmocka_unit_test(test_witness_is_kept),
        cmocka_unit_test(test_malformed_messages),
        cmocka_unit_test(test_false_withheld_marks),
        cmocka_unit_test(test_spoilt_commit_in_batch),
        cmocka_unit_test(test_wrong_hello),
        cmocka_unit_test(test_message_too_large_for_memory),
        cmocka_unit_test(test_store_fails_anywhere),
        cmocka_unit_test(test_memory_fails_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
