/* Bundles between whole nodes that have no line: what is in them, what is refused, and what is left undone then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/bundle.h"
#include "sync/said.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

enum { FRAMES_MAX = 64, BUNDLE_BYTES_MAX = 16 << 20 };

struct file {
    struct buf bytes;
    struct bundle_count count;
};

static void file_free(struct file *x)
{
    buf_release(&x->bytes);
}

static enum err begin(const struct world *w, uint32_t node)
{
    struct store *s = fleet_store(w->f, node);
    return s->ops->begin(s);
}

static enum err end(const struct world *w, uint32_t node, enum err e)
{
    struct store *s = fleet_store(w->f, node);
    if (e == ERR_OK) {
        return s->ops->commit(s, true);
    }
    s->ops->rollback(s);
    assert_int_equal(core_reload(fleet_core(w->f, node), fleet_arena(w->f, node)), ERR_OK);
    return e;
}

static enum err make(const struct world *w, uint32_t from, uint32_t to, bool everything, struct file *x)
{
    const struct bundle_request rq = { .to = to, .everything = everything };
    struct bundle_out *b = NULL;
    bool is_last = false;
    buf_init(&x->bytes, test_mem(), BUNDLE_BYTES_MAX);
    enum err e = begin(w, from);
    e = end(w, from, e == ERR_OK ? bundle_out_new(fleet_core(w->f, from), &rq, &b, &x->bytes) : e);
    while (e == ERR_OK && !is_last) {
        e = begin(w, from);
        e = end(w, from, e == ERR_OK ? bundle_out_next(b, fleet_now(w->f), &x->bytes, &is_last) : e);
    }
    if (b != NULL) {
        x->count = bundle_out_count(b);
    }
    bundle_out_free(b);
    return e;
}

/* As the command does: header, then frame by frame. */
static enum err take(const struct world *w, uint32_t at, struct bytes bytes, struct bundle_count *count)
{
    struct reader r = reader_of(bytes);
    struct bytes piece = { 0 };
    struct bundle_in *b = NULL;
    bool is_last = false;
    enum err e = reader_take(&r, BUNDLE_HEADER_BYTES, &piece);
    if (e == ERR_OK) {
        e = bundle_in_new(fleet_core(w->f, at), piece, &b);
    }
    while (e == ERR_OK && !is_last) {
        uint32_t len = 0;
        e = reader_u32be(&r, &len);
        if (e == ERR_OK) {
            e = reader_take(&r, len, &piece);
        }
        if (e == ERR_OK) {
            e = begin(w, at);
            e = end(w, at, e == ERR_OK ? bundle_in_next(b, fleet_now(w->f), piece, &is_last) : e);
        }
    }
    if (b != NULL && count != NULL) {
        *count = bundle_in_count(b);
    }
    bundle_in_free(b);
    return e;
}

static enum err carry(const struct world *w, uint32_t from, uint32_t to, struct bundle_count *in)
{
    struct file x;
    enum err e = make(w, from, to, false, &x);
    assert_int_equal(e, ERR_OK);
    e = take(w, to, buf_view(&x.bytes), in);
    file_free(&x);
    return e;
}

static void test_two_nodes_even_out_without_a_line(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct bundle_count in;
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    uint32_t late = fleet_user(w.f, 1, role_bit(ROLE_SC)); /* node 2 does not know her */
    (void)fleet_customer(w.f, 1, late, "李四");
    assert_int_equal(carry(&w, 1, 2, &in), ERR_OK);
    assert_int_equal(in.news, 2);
    assert_int_equal(in.commits, 2);
    assert_true(fleet_same_hash(w.f, 1, 2));
    /* One field at both ends, one customer at one. */
    assert_int_equal(world_set_name(&w, 1, id, "陈小文"), ERR_OK);
    assert_int_equal(world_set_name(&w, 2, id, "陈中文"), ERR_OK);
    (void)fleet_customer(w.f, 2, w.seller, "王五");
    assert_int_equal(carry(&w, 2, 1, &in), ERR_OK);
    assert_int_equal(in.commits, 2); /* node 2 knew from the bundle what node 1 has */
    assert_int_equal(carry(&w, 1, 2, &in), ERR_OK);
    assert_int_equal(in.commits, 1);
    assert_int_equal(fleet_conflicts(w.f, 1, true), 1);
    assert_int_equal(fleet_conflicts(w.f, 2, true), 1);
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_int_equal(carry(&w, 1, 2, &in), ERR_OK);
    fleet_free(w.f);
}

static void test_an_answer_shrinks_the_next_one(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct file first;
    struct file again;
    struct file next;
    for (int i = 0; i < 40; i++) {
        (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    }
    assert_int_equal(make(&w, 1, 2, false, &first), ERR_OK);
    assert_int_equal(first.count.commits, 40);
    assert_int_equal(first.count.dossiers, 40);
    assert_int_equal(first.count.done, first.count.total);
    assert_int_equal(take(&w, 2, buf_view(&first.bytes), NULL), ERR_OK);
    /* Nobody said that it has arrived. */
    assert_int_equal(make(&w, 1, 2, false, &again), ERR_OK);
    assert_int_equal(again.count.commits, 40);
    assert_int_equal(carry(&w, 2, 1, NULL), ERR_OK);
    assert_int_equal(make(&w, 1, 2, false, &next), ERR_OK);
    assert_int_equal(next.count.commits, 0);
    assert_true(next.bytes.len < 1500 && first.bytes.len > 10 * next.bytes.len);
    file_free(&next);
    /* Asked for everything, everything is in it, and nothing is taken twice. */
    struct bundle_count in;
    assert_int_equal(make(&w, 1, 2, true, &next), ERR_OK);
    assert_int_equal(next.count.commits, 40);
    assert_int_equal(take(&w, 2, buf_view(&next.bytes), &in), ERR_OK);
    assert_int_equal(in.news, 0);
    file_free(&first);
    file_free(&again);
    file_free(&next);
    fleet_free(w.f);
}

static void test_a_session_says_what_a_peer_has(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct file x;
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_connect(w.f, 1, 2);
    fleet_run(w.f);
    fleet_probe(w.f, 1, 5);
    fleet_run(w.f);
    fleet_cut_all(w.f);
    assert_int_equal(make(&w, 1, 2, false, &x), ERR_OK);
    assert_int_equal(x.count.commits, 0);
    assert_int_equal(x.count.entries, 0);
    file_free(&x);
    /* Its store is lost: the next greeting says less, and that counts. */
    fleet_restore_empty(w.f, 2);
    assert_int_equal(carry(&w, 2, 1, NULL), ERR_OK);
    assert_int_equal(make(&w, 1, 2, false, &x), ERR_OK);
    assert_int_equal(x.count.commits, 1);
    assert_int_equal(take(&w, 2, buf_view(&x.bytes), NULL), ERR_OK);
    assert_true(fleet_same_hash(w.f, 1, 2));
    file_free(&x);
    fleet_free(w.f);
}

/* A node that was restored hears from a stick what it once wrote. */
static void test_a_lost_past_comes_back(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct record_id mine = fleet_customer(w.f, 2, w.seller, "李四");
    assert_int_equal(carry(&w, 2, 1, NULL), ERR_OK);
    fleet_restore_empty(w.f, 2);
    assert_int_equal(carry(&w, 2, 1, NULL), ERR_OK); /* says that it has nothing */
    assert_int_equal(carry(&w, 1, 2, NULL), ERR_OK);
    assert_true(world_shows_name(&w, 2, mine, "李四"));
    assert_true(fleet_core(w.f, 2)->epoch > 1);
    fleet_free(w.f);
}

static void test_a_laptop_gets_its_owners_customers(void **state)
{
    (void)state;
    struct world w = world_new(1);
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    struct bundle_count in;
    struct record_id own = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id foreign = fleet_customer(w.f, 1, w.buddy, "李四");
    assert_int_equal(carry(&w, 1, laptop, &in), ERR_OK);
    assert_true(world_has(&w, laptop, own));
    assert_false(world_has(&w, laptop, foreign));
    assert_int_equal(world_upto(&w, laptop, 1, 1), 2); /* withheld is settled, as in a session */
    fleet_free(w.f);
}

static void test_wrong_hands(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct world other = { .f = fleet_new(8) };
    struct file x;
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    assert_int_equal(make(&w, 1, 2, false, &x), ERR_OK);
    assert_int_equal(take(&w, 3, buf_view(&x.bytes), NULL), ERR_DENIED);
    assert_int_equal(take(&other, 1, buf_view(&x.bytes), NULL), ERR_UNKNOWN_PEER);
    /* The receiver's number alone does not open it. */
    x.bytes.ptr[8 + GROUP_ID_BYTES + 4 + 3] = 3;
    assert_int_equal(take(&w, 3, buf_view(&x.bytes), NULL), ERR_SIGNATURE);
    file_free(&x);
    assert_int_equal(make(&w, 1, 1, false, &x), ERR_INVALID);
    file_free(&x);
    assert_int_equal(make(&w, 1, 9, false, &x), ERR_NOT_FOUND);
    file_free(&x);
    fleet_free(w.f);
    fleet_free(other.f);
}

/* Every byte, one after the other: an error, and nothing of the piece it stands in. */
static void test_every_flipped_byte_and_every_cut(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct file x;
    uint8_t before[32];
    uint8_t after[32];
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    assert_int_equal(make(&w, 1, 2, false, &x), ERR_OK);
    size_t last = x.bytes.len - 4 - SEAL_STREAM_EXTRA_BYTES;
    fleet_hash(w.f, 2, before);
    for (size_t i = 0; i < last; i++) {
        x.bytes.ptr[i] ^= 0x10;
        assert_int_not_equal(take(&w, 2, buf_view(&x.bytes), NULL), ERR_OK);
        x.bytes.ptr[i] ^= 0x10;
        if (i < last - 200) {
            fleet_hash(w.f, 2, after);
            assert_memory_equal(before, after, sizeof(after));
        }
    }
    for (size_t len = 0; len < last; len++) {
        assert_int_not_equal(take(&w, 2, bytes_of(x.bytes.ptr, len), NULL), ERR_OK);
    }
    fleet_hash(w.f, 2, after);
    assert_memory_equal(before, after, sizeof(after));
    for (size_t len = last; len < x.bytes.len; len++) {
        assert_int_not_equal(take(&w, 2, bytes_of(x.bytes.ptr, len), NULL), ERR_OK);
    }
    /* What stood before the cut is in; the whole one adds nothing. */
    struct bundle_count in;
    assert_int_equal(take(&w, 2, buf_view(&x.bytes), &in), ERR_OK);
    assert_int_equal(in.news, 0);
    assert_true(fleet_same_hash(w.f, 1, 2));
    file_free(&x);
    fleet_free(w.f);
}

static void test_an_old_one_is_told(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct file old;
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    assert_int_equal(make(&w, 1, 2, false, &old), ERR_OK);
    (void)fleet_customer(w.f, 1, w.seller, "李四");
    assert_int_equal(carry(&w, 1, 2, NULL), ERR_OK);
    assert_int_equal(take(&w, 2, buf_view(&old.bytes), NULL), ERR_EXPIRED);
    assert_true(fleet_same_hash(w.f, 1, 2));
    file_free(&old);
    fleet_free(w.f);
}

/* The sender is newer than what the receiver knows of the group: its entry stands in front. */
static void test_a_sender_not_heard_of_yet(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t fresh = fleet_station_node(w.f, 1, true);
    struct record_id id = fleet_customer(w.f, fresh, w.seller, "陈大文");
    assert_int_equal(carry(&w, fresh, 2, NULL), ERR_OK);
    assert_true(world_shows_name(&w, 2, id, "陈大文"));
    /* And one who signed with a key that is not hers is found out then. */
    uint32_t later = fleet_station_node(w.f, 1, true);
    struct file x;
    (void)fleet_customer(w.f, later, w.seller, "李四");
    assert_int_equal(make(&w, later, 2, false, &x), ERR_OK);
    uint64_t was = world_upto(&w, 2, later, 1);
    x.bytes.ptr[BUNDLE_SIGNED_BYTES + 5] ^= 1;
    assert_int_not_equal(take(&w, 2, buf_view(&x.bytes), NULL), ERR_OK);
    assert_int_equal(world_upto(&w, 2, later, 1), was);
    file_free(&x);
    fleet_free(w.f);
}

static void test_a_revoked_node_gives_and_gets_nothing(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct file x;
    (void)fleet_customer(w.f, 3, w.other, "陈大文");
    assert_int_equal(make(&w, 3, 2, false, &x), ERR_OK);
    fleet_revoke(w.f, 3, 0);
    fleet_teach(w.f, 2);
    assert_int_equal(take(&w, 2, buf_view(&x.bytes), NULL), ERR_REVOKED);
    file_free(&x);
    assert_int_equal(make(&w, 2, 3, false, &x), ERR_REVOKED);
    file_free(&x);
    fleet_free(w.f);
}

/* The receiver has less than it said: told as a gap, and its own word sets the sender right. */
static void test_a_gap_is_told_and_mended(void **state)
{
    (void)state;
    struct world w = world_new(2);
    (void)fleet_customer(w.f, 1, w.seller, "陈大文");
    assert_int_equal(carry(&w, 1, 2, NULL), ERR_OK);
    assert_int_equal(carry(&w, 2, 1, NULL), ERR_OK);
    fleet_restore_empty(w.f, 2);
    (void)fleet_customer(w.f, 1, w.seller, "李四");
    assert_int_equal(carry(&w, 1, 2, NULL), ERR_GAP);
    assert_int_equal(carry(&w, 2, 1, NULL), ERR_OK);
    assert_int_equal(carry(&w, 1, 2, NULL), ERR_OK);
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* A relay's bundle from before its receiver came to hold the group: what is in it is less than whole. Nothing is
 * settled by it, nothing is lost, and where all of it is there already it is passed over. */
static void test_a_relay_did_not_know_that_its_receiver_holds_the_group(void **state)
{
    (void)state;
    struct world w = world_new(1);
    uint32_t grown = fleet_station_node(w.f, 2, false);
    uint32_t relay = fleet_relay(w.f, 1);
    struct file x;
    world_teach_all(&w);
    struct record_id foreign = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct record_id own = fleet_customer(w.f, 1, w.other, "李四");
    fleet_connect(w.f, 1, relay);
    fleet_run(w.f);
    fleet_cut_all(w.f);
    assert_int_equal(make(&w, relay, grown, true, &x), ERR_OK);
    fleet_scope(w.f, grown, true, 0, 0);
    fleet_teach(w.f, grown);
    assert_int_equal(take(&w, grown, buf_view(&x.bytes), NULL), ERR_GAP);
    assert_int_equal(world_upto(&w, grown, 1, 1), 0);
    assert_int_equal(carry(&w, grown, relay, NULL), ERR_OK);
    assert_int_equal(carry(&w, relay, grown, NULL), ERR_OK);
    assert_true(world_shows_name(&w, grown, foreign, "陈大文"));
    assert_true(world_shows_name(&w, grown, own, "李四"));
    assert_true(fleet_same_hash(w.f, 1, grown));
    file_free(&x);
    fleet_free(w.f);
}

static void test_less_than_whole_of_what_is_known_is_passed_over(void **state)
{
    (void)state;
    struct world w = world_new(1);
    uint32_t grown = fleet_station_node(w.f, 2, false);
    uint32_t relay = fleet_relay(w.f, 1);
    struct bundle_count in;
    struct file x;
    world_teach_all(&w);
    struct record_id foreign = fleet_customer(w.f, 1, w.seller, "陈大文");
    fleet_connect(w.f, 1, relay);
    fleet_run(w.f);
    fleet_cut_all(w.f);
    assert_int_equal(make(&w, relay, grown, true, &x), ERR_OK);
    fleet_scope(w.f, grown, true, 0, 0);
    fleet_connect(w.f, 1, grown);
    fleet_run(w.f);
    assert_int_equal(take(&w, grown, buf_view(&x.bytes), &in), ERR_OK);
    assert_int_equal(in.commits, 1);
    assert_int_equal(in.news, 0);
    assert_true(world_shows_name(&w, grown, foreign, "陈大文"));
    assert_true(fleet_same_hash(w.f, 1, grown));
    file_free(&x);
    fleet_free(w.f);
}

/* What a laptop wrote and forgot comes to a station on a stick, whole, and no reader but that station opens it. */
static void test_letters_travel_on_a_stick(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct bundle_count in = { 0 };
    uint32_t laptop = fleet_laptop(w.f, w.seller);
    world_teach_all(&w);
    struct record_id stays = fleet_customer(w.f, laptop, w.seller, "陈一");
    struct record_id goes = fleet_customer(w.f, laptop, w.seller, "陈二");
    (void)fleet_assign(w.f, laptop, w.seller, goes, "u3", "2026-01-01T00:00:00Z");
    fleet_connect(w.f, laptop, 2);
    fleet_run(w.f);
    fleet_cut_all(w.f);
    assert_false(world_has(&w, laptop, goes));
    assert_int_equal(fleet_space_count(w.f, laptop, SPACE_LETTER), 2);
    fleet_revoke(w.f, 2, 0); /* who took it over is gone */
    struct file x;
    struct file again;
    assert_int_equal(make(&w, laptop, 1, false, &x), ERR_OK);
    assert_int_equal(x.count.commits, 3); /* one as it stands in the log, two letters */
    assert_int_equal(take(&w, 1, buf_view(&x.bytes), &in), ERR_OK);
    assert_int_equal(in.news, 3);
    assert_true(world_shows_name(&w, 1, goes, "陈二") && world_shows_name(&w, 1, stays, "陈一"));
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_OK), 0);
    assert_true(world_log_is_whole(&w, 1));
    /* A second time nothing is new; the answer says so, and the next bundle has nothing. */
    assert_int_equal(take(&w, 1, buf_view(&x.bytes), &in), ERR_OK);
    assert_int_equal(in.news, 0);
    assert_int_equal(carry(&w, 1, laptop, &in), ERR_OK);
    assert_false(world_has(&w, laptop, goes));
    assert_int_equal(make(&w, laptop, 1, false, &again), ERR_OK);
    assert_int_equal(again.count.commits, 0);
    file_free(&x);
    file_free(&again);
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_nodes_even_out_without_a_line),
        cmocka_unit_test(test_an_answer_shrinks_the_next_one),
        cmocka_unit_test(test_a_session_says_what_a_peer_has),
        cmocka_unit_test(test_a_lost_past_comes_back),
        cmocka_unit_test(test_a_laptop_gets_its_owners_customers),
        cmocka_unit_test(test_wrong_hands),
        cmocka_unit_test(test_every_flipped_byte_and_every_cut),
        cmocka_unit_test(test_an_old_one_is_told),
        cmocka_unit_test(test_a_sender_not_heard_of_yet),
        cmocka_unit_test(test_a_revoked_node_gives_and_gets_nothing),
        cmocka_unit_test(test_a_gap_is_told_and_mended),
        cmocka_unit_test(test_a_relay_did_not_know_that_its_receiver_holds_the_group),
        cmocka_unit_test(test_less_than_whole_of_what_is_known_is_passed_over),
        cmocka_unit_test(test_letters_travel_on_a_stick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
