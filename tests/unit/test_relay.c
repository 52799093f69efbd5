/* Stations that never meet, a relay between them that can read nothing, and relays that do not do their part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/receipt.h"
#include "sync/relay.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

enum { MESSAGE_BYTES_MAX = 1 << 20 };

static bool contains(struct bytes text, struct bytes word)
{
    for (size_t i = 0; word.len > 0 && i + word.len <= text.len; i++) {
        if (memcmp(text.ptr + i, word.ptr, word.len) == 0) {
            return true;
        }
    }
    return false;
}

/* Words that must be nowhere. */
struct canary {
    struct bytes words[4];
    size_t count;
    size_t seen;
};

static enum err look(void *ctx, struct bytes key, struct bytes value)
{
    struct canary *c = ctx;
    for (size_t i = 0; i < c->count; i++) {
        c->seen += contains(key, c->words[i]) || contains(value, c->words[i]) ? 1 : 0;
    }
    return ERR_OK;
}

static void watch(void *ctx, uint32_t from, uint32_t to, struct bytes message)
{
    struct canary *c = ctx;
    (void)from;
    (void)to;
    for (size_t i = 0; i < c->count; i++) {
        c->seen += contains(message, c->words[i]) ? 1 : 0;
    }
}

static size_t seen_in_store(const struct world *w, uint32_t node, struct canary *c)
{
    struct store *s = fleet_store(w->f, node);
    const struct bytes all = { 0 };
    c->seen = 0;
    for (enum store_space space = 0; space < SPACE_COUNT; space++) {
        assert_int_equal(s->ops->scan(s, space, all, all, false, look, c), ERR_OK);
    }
    return c->seen;
}

static struct bytes secret_of(const struct world *w, uint32_t node, struct record_id id, uint8_t out[SECRET_BYTES])
{
    struct store *s = fleet_store(w->f, node);
    struct dossier d = { 0 };
    struct dossier_id dossier;
    memcpy(dossier.b, id.b, sizeof(dossier.b));
    assert_int_equal(s->ops->dossier_get(s, dossier, fleet_arena(w->f, node), &d), ERR_OK);
    memcpy(out, d.secret, SECRET_BYTES);
    return bytes_of(out, SECRET_BYTES);
}

static enum err count_row(void *ctx, const struct dossier *d)
{
    (void)d;
    ++*(size_t *)ctx;
    return ERR_OK;
}

static size_t dossiers_at(const struct world *w, uint32_t node)
{
    size_t n = 0;
    struct store *s = fleet_store(w->f, node);
    assert_int_equal(s->ops->dossier_scan(s, NULL, count_row, &n), ERR_OK);
    return n;
}

static void test_stations_even_out_over_a_relay(void **state)
{
    (void)state;
    struct world w = world_new(3);
    uint32_t relay = fleet_relay(w.f, 1);
    uint8_t secret[SECRET_BYTES];
    struct canary canary = { .words = { bytes_str("陈大文"), bytes_str("李四"), bytes_str("full_name") }, .count = 3 };
    world_teach_all(&w);
    struct record_id here = fleet_customer(w.f, 1, w.seller, "陈大文");
    canary.words[canary.count++] = secret_of(&w, 1, here, secret);
    fleet_watch(w.f, watch, &canary);
    fleet_connect(w.f, 1, relay);
    fleet_connect(w.f, 3, relay);
    fleet_run(w.f);
    assert_true(world_shows_name(&w, 3, here, "陈大文"));
    struct record_id there = fleet_customer(w.f, 3, w.other, "李四");
    fleet_run(w.f);
    assert_true(world_shows_name(&w, 1, there, "李四"));
    assert_true(fleet_same_hash(w.f, 1, 3));
    /* One field at both ends while the relay is away: the same conflict at both. */
    fleet_cut_all(w.f);
    assert_int_equal(world_set_name(&w, 1, here, "陈小文"), ERR_OK);
    assert_int_equal(fleet_set(w.f, 3, w.seller, ENTITY_CUSTOMER, here, "full_name", "陈中文"), ERR_OK);
    fleet_connect(w.f, 1, relay);
    fleet_connect(w.f, relay, 3);
    fleet_run(w.f);
    assert_int_equal(fleet_conflicts(w.f, 1, true), 1);
    assert_int_equal(fleet_conflicts(w.f, 3, true), 1);
    assert_true(fleet_same_hash(w.f, 1, 3));
    fleet_watch(w.f, NULL, NULL);
    assert_int_equal(canary.seen, 0);
    assert_int_equal(seen_in_store(&w, relay, &canary), 0);
    assert_int_equal(dossiers_at(&w, relay), 0);
    assert_int_equal(fleet_space_count(w.f, relay, SPACE_QUARANTINE), 0);
    assert_int_equal(fleet_space_count(w.f, relay, SPACE_LOG), 4);
    assert_int_equal(fleet_space_count(w.f, relay, SPACE_BOX), 2);
    assert_int_equal(fleet_rebuild(w.f, relay), ERR_OK);
    assert_int_equal(dossiers_at(&w, relay), 0);
    fleet_free(w.f);
}

static void test_a_chain_of_relays_and_a_station_that_comes_late(void **state)
{
    (void)state;
    struct world w = world_new(3);
    uint32_t one = fleet_relay(w.f, 1);
    uint32_t two = fleet_relay(w.f, 2);
    world_teach_all(&w);
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_connect(w.f, 1, one);
    fleet_run(w.f);
    fleet_cut_all(w.f);
    fleet_restart(w.f, one);
    fleet_connect(w.f, one, two);
    fleet_run(w.f);
    fleet_cut_all(w.f);
    /* Enrolled after all of it was written, with the keys of every epoch. */
    uint32_t late = fleet_station_node(w.f, 2, true);
    world_teach_all(&w);
    fleet_connect(w.f, two, late);
    fleet_connect(w.f, two, 3);
    fleet_run(w.f);
    assert_true(fleet_same_hash(w.f, 1, 3));
    assert_true(fleet_same_hash(w.f, 1, late));
    fleet_free(w.f);
}

/* A station that lost its disk gets its own commits back from a relay, and opens them. */
static void test_a_relay_gives_back_a_lost_past(void **state)
{
    (void)state;
    struct world w = world_new(3);
    uint32_t relay = fleet_relay(w.f, 1);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 3, w.other, "李四");
    fleet_connect(w.f, 3, relay);
    fleet_run(w.f);
    fleet_cut_all(w.f);
    fleet_restore_empty(w.f, 3);
    fleet_connect(w.f, 3, relay);
    fleet_run(w.f);
    assert_true(world_shows_name(&w, 3, id, "李四"));
    assert_true(fleet_core(w.f, 3)->epoch > 1);
    fleet_free(w.f);
}

/* A node of one station only: what is not for it is taken out by the clear routing, and what is for it arrives. */
static void test_a_node_of_one_station(void **state)
{
    (void)state;
    struct world w = world_new(1);
    uint32_t narrow = fleet_station_node(w.f, 2, false);
    uint32_t relay = fleet_relay(w.f, 1);
    world_teach_all(&w);
    struct record_id foreign = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id own = fleet_customer(w.f, 1, w.other, "李四");
    fleet_connect(w.f, 1, relay);
    fleet_connect(w.f, narrow, relay);
    fleet_run(w.f);
    assert_false(world_has(&w, narrow, foreign));
    assert_true(world_shows_name(&w, narrow, own, "李四"));
    assert_int_equal(world_upto(&w, narrow, 1, 1), 2);
    fleet_free(w.f);
}

/* A relay cannot tell whose customers they are, and a laptop has no key for the boxes. */
static void test_a_laptop_gets_nothing_and_opens_nothing(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    uint32_t relay = fleet_relay(w.f, 1);
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    struct commit_view v;
    struct buf boxes;
    struct buf opened;
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_connect(w.f, 1, relay);
    fleet_connect(w.f, laptop, relay);
    fleet_run(w.f);
    assert_false(world_has(&w, laptop, id));
    assert_int_equal(world_upto(&w, laptop, 1, 1), 0);
    assert_int_equal(fleet_commit_of(w.f, 1, world_dot(1, 1), &commit, &secrets), ERR_OK);
    assert_int_equal(commit_parse(commit, &v), ERR_OK);
    buf_init(&boxes, test_mem(), 1000);
    buf_init(&opened, test_mem(), 1000);
    assert_int_equal(relay_box(fleet_core(w.f, 1), fleet_arena(w.f, 1), &v, &boxes), ERR_OK);
    assert_int_equal(boxes.len, RELAY_BOX_BYTES);
    assert_int_equal(relay_unbox(fleet_core(w.f, laptop), &v, buf_view(&boxes), &opened), ERR_NO_KEY);
    assert_int_equal(relay_unbox(fleet_core(w.f, relay), &v, buf_view(&boxes), &opened), ERR_NO_KEY);
    assert_int_equal(relay_unbox(fleet_core(w.f, 2), &v, buf_view(&boxes), &opened), ERR_OK);
    assert_true(bytes_equal(buf_view(&opened), secrets));
    for (size_t i = 4; i < boxes.len; i++) {
        boxes.ptr[i] ^= 1;
        assert_int_equal(relay_unbox(fleet_core(w.f, 2), &v, buf_view(&boxes), &opened), ERR_SEAL);
        boxes.ptr[i] ^= 1;
    }
    assert_int_equal(relay_unbox(fleet_core(w.f, 2), &v, bytes_of(boxes.ptr, 35), &opened), ERR_FORMAT);
    /* In the place of another customer's it does not open. */
    (void)fleet_customer(w.f, 1, w.seller, "李四");
    assert_int_equal(fleet_commit_of(w.f, 1, world_dot(1, 2), &commit, &secrets), ERR_OK);
    assert_int_equal(commit_parse(commit, &v), ERR_OK);
    assert_int_equal(relay_unbox(fleet_core(w.f, 2), &v, buf_view(&boxes), &opened), ERR_SEAL);
    buf_release(&boxes);
    buf_release(&opened);
    fleet_free(w.f);
}

static void say(const struct world *w, uint32_t from, uint32_t to, const struct wire_item *items, size_t count)
{
    struct arena a;
    struct buf b;
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = items, .count = count };
    arena_init(&a, test_mem(), 1 << 20);
    buf_init(&b, test_mem(), MESSAGE_BYTES_MAX);
    wire_put(&b, &a, &m);
    assert_int_equal(b.err, ERR_OK);
    fleet_inject(w->f, from, to, buf_view(&b));
    buf_release(&b);
    arena_release(&a);
}

static bool keep_none(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    (void)ctx;
    (void)g;
    (void)dossier;
    (void)part;
    return false;
}

/* Neither its word nor a commit with everything taken out makes a station believe that there is nothing for it. */
static void test_a_relay_that_withholds_is_not_believed(void **state)
{
    (void)state;
    struct world w = world_new(3);
    uint32_t relay = fleet_relay(w.f, 1);
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    struct commit_view v;
    struct buf small;
    bool any = false;
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_connect(w.f, 3, relay);
    fleet_run(w.f);
    say(&w, relay, 3, &(struct wire_item){ .node = 1, .epoch = 1, .upto = 1 }, 1);
    fleet_run(w.f);
    assert_int_equal(world_upto(&w, 3, 1, 1), 0);
    assert_int_equal(fleet_commit_of(w.f, 1, world_dot(1, 1), &commit, &secrets), ERR_OK);
    assert_int_equal(commit_parse(commit, &v), ERR_OK);
    buf_init(&small, test_mem(), COMMIT_MAX_BYTES);
    assert_int_equal(seal_reduce(&v, fleet_arena(w.f, 1), keep_none, NULL, &small, &any), ERR_OK);
    fleet_cut_all(w.f); /* the relay did not expect the answer */
    fleet_connect(w.f, 3, relay);
    fleet_run(w.f);
    (void)fleet_news(w.f, 3);
    say(&w, relay, 3, &(struct wire_item){ .commit = buf_view(&small) }, 1);
    fleet_run(w.f);
    assert_int_equal(world_upto(&w, 3, 1, 1), 0);
    assert_int_equal(fleet_news(w.f, 3).refusal, ERR_GAP);
    buf_release(&small);
    fleet_cut_all(w.f);
    fleet_connect(w.f, 1, 3);
    fleet_run(w.f);
    assert_true(world_shows_name(&w, 3, id, "陈大文"));
    fleet_free(w.f);
}

/* Nobody gives a relay plain secrets; one that got some would not keep them. */
static void test_a_relay_takes_no_secrets(void **state)
{
    (void)state;
    struct world w = world_new(1);
    uint32_t relay = fleet_relay(w.f, 1);
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    world_teach_all(&w);
    fleet_connect(w.f, 1, relay);
    fleet_run(w.f);
    fleet_cut_all(w.f);
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    assert_int_equal(fleet_commit_of(w.f, 1, world_dot(1, 1), &commit, &secrets), ERR_OK);
    struct wire_item item = { .commit = commit, .secrets = secrets };
    struct core *c = fleet_core(w.f, relay);
    assert_int_equal(relay_take(c, fleet_arena(w.f, relay), fleet_now(w.f), &item), ERR_PROTOCOL);
    item.secrets = (struct bytes){ 0 };
    assert_int_equal(relay_take(c, fleet_arena(w.f, relay), fleet_now(w.f), &item), ERR_FORMAT);
    fleet_free(w.f);
}

static struct bytes receipt_of(const struct world *w, uint32_t node, struct arena *a)
{
    const uint8_t key[5] = { 'r', 0, 0, 0, (uint8_t)node };
    struct store *s = fleet_store(w->f, node);
    struct bytes out = { 0 };
    bool is_new = false;
    assert_int_equal(s->ops->begin(s), ERR_OK);
    assert_int_equal(receipt_make(fleet_core(w->f, node), a, fleet_now(w->f), &is_new), ERR_OK);
    assert_int_equal(s->ops->commit(s, true), ERR_OK);
    assert_int_equal(s->ops->get(s, SPACE_PEER, BYTES_OF(key), a, &out), ERR_OK);
    return out;
}

struct asking {
    struct core *core;
    uint32_t node;
    struct receipt_gap gap;
    size_t count;
};

static enum err see_receipt(void *ctx, const struct receipt *r)
{
    struct asking *k = ctx;
    if (r->node == k->node) {
        k->gap = receipt_compare(k->core, r);
        k->count++;
    }
    return ERR_OK;
}

/* What `at` knows of the word of `node`. */
static struct asking ask_receipt(const struct world *w, uint32_t at, uint32_t node)
{
    struct asking k = { .core = fleet_core(w->f, at), .node = node };
    assert_int_equal(receipt_each(k.core, fleet_arena(w->f, at), see_receipt, &k), ERR_OK);
    return k;
}

static void say_receipt(const struct world *w, uint32_t from, uint32_t to, struct bytes receipt)
{
    struct arena a;
    struct buf b;
    const struct wire_message m = { .kind = WIRE_RECEIPTS, .entries = &receipt, .count = 1 };
    arena_init(&a, test_mem(), 1 << 20);
    buf_init(&b, test_mem(), MESSAGE_BYTES_MAX);
    wire_put(&b, &a, &m);
    assert_int_equal(b.err, ERR_OK);
    fleet_inject(w->f, from, to, buf_view(&b));
    buf_release(&b);
    arena_release(&a);
}

/* Time passes and steps happen, until every word has gone its way. */
static void let_time_pass(const struct world *w)
{
    for (size_t i = 0; i < 90; i++) {
        for (uint32_t n = 1; n <= fleet_count(w->f); n++) {
            fleet_local(w->f, n);
        }
        fleet_run(w->f);
    }
}

static void test_words_of_nodes_go_over_relays(void **state)
{
    (void)state;
    struct world w = world_new(3);
    uint32_t relay = fleet_relay(w.f, 1);
    world_teach_all(&w);
    fleet_connect(w.f, 1, relay);
    fleet_connect(w.f, 3, relay);
    fleet_run(w.f);
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    let_time_pass(&w);
    struct asking of1 = ask_receipt(&w, 3, 1);
    struct asking of3 = ask_receipt(&w, 1, 3);
    assert_int_equal(of1.count, 1);
    assert_int_equal(of1.gap.missing, 0);
    assert_int_equal(of3.count, 1);
    assert_int_equal(of3.gap.unconfirmed, 0);
    /* Then the lines are still. */
    (void)fleet_news(w.f, 3);
    let_time_pass(&w);
    assert_int_equal(fleet_news(w.f, 3).messages, 0);
    /* Station 2 is away: what it has not confirmed shows at station 1. */
    fleet_cut(w.f, 3, relay);
    (void)fleet_customer(w.f, 1, w.seller, "李四");
    let_time_pass(&w);
    assert_int_equal(ask_receipt(&w, 1, 3).gap.unconfirmed, 1);
    fleet_free(w.f);
}

/* The relay has the word of station 1 and hands it on, but keeps the last commits to itself. */
static void test_a_relay_that_drops_the_end_is_shown(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct arena a;
    arena_init(&a, test_mem(), 1 << 20);
    uint32_t relay = fleet_relay(w.f, 1);
    world_teach_all(&w);
    fleet_connect(w.f, 3, relay);
    fleet_run(w.f);
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    const struct bytes old = receipt_of(&w, 1, &a);
    (void)fleet_customer(w.f, 1, w.seller, "李四");
    const struct bytes word = receipt_of(&w, 1, &a);
    say_receipt(&w, relay, 3, word);
    fleet_run(w.f);
    assert_int_equal(ask_receipt(&w, 3, 1).gap.missing, 2);
    say_receipt(&w, relay, 3, old); /* replayed: the newest stays */
    fleet_run(w.f);
    assert_int_equal(ask_receipt(&w, 3, 1).gap.missing, 2);
    /* It cannot make one that hides it. */
    struct buf forged;
    buf_init(&forged, test_mem(), 4096);
    buf_put_bytes(&forged, word);
    forged.ptr[16] ^= 1; /* the number */
    (void)fleet_news(w.f, 3);
    say_receipt(&w, relay, 3, buf_view(&forged));
    fleet_run(w.f);
    assert_int_equal(fleet_news(w.f, 3).refusal, ERR_SIGNATURE);
    assert_int_equal(ask_receipt(&w, 3, 1).gap.missing, 2);
    buf_release(&forged);
    fleet_cut_all(w.f);
    fleet_connect(w.f, 1, relay);
    fleet_connect(w.f, 3, relay);
    fleet_run(w.f);
    assert_int_equal(ask_receipt(&w, 3, 1).gap.missing, 0);
    arena_release(&a);
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stations_even_out_over_a_relay),
        cmocka_unit_test(test_a_chain_of_relays_and_a_station_that_comes_late),
        cmocka_unit_test(test_a_relay_gives_back_a_lost_past),
        cmocka_unit_test(test_a_node_of_one_station),
        cmocka_unit_test(test_a_laptop_gets_nothing_and_opens_nothing),
        cmocka_unit_test(test_a_relay_that_withholds_is_not_believed),
        cmocka_unit_test(test_a_relay_takes_no_secrets),
        cmocka_unit_test(test_words_of_nodes_go_over_relays),
        cmocka_unit_test(test_a_relay_that_drops_the_end_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
