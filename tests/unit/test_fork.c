/*
 * Two commits of one dot: a node whose store went back in time and that wrote on, or one that lies. Whatever branch a
 * node holds and whoever it meets in whatever order, all end with one state, everybody has the proof, the identity goes
 * on in a new epoch, and nothing of either branch is gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/base/check.h"
#include "sync/fork_talk.h"
#include "sync/take.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

#include <stdio.h>

enum { TWIN = 3, COMMON = 3 };

struct twin {
    struct world w;
    struct record_id id;
    uint64_t ours, other; /* commits of node 1's branch, of the branch of nodes 2 and 3 */
};

static void write_names(const struct world *w, struct record_id id, const char *what, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        char name[40];
        (void)snprintf(name, sizeof(name), "%s%c%c", what, (char)('A' + i / 26 % 26), (char)('A' + i % 26));
        assert_int_equal(world_set_name(w, TWIN, id, name), ERR_OK);
    }
}

/* As in an old state of a disk put back: it holds what it had written, and knows of no other epoch. */
static enum err stay_in_epoch_one(struct core *c, struct arena *a, struct now now, void *ctx)
{
    static const uint8_t one[4] = { 0, 0, 0, 1 };
    (void)a;
    (void)now;
    (void)ctx;
    c->epoch = 1;
    return c->store->ops->put(c->store, SPACE_META, BYTES_LIT("epoch"), BYTES_OF(one));
}

/* Node 3 writes, node 1 has it; node 3 goes back to what all know and writes other things, node 2 has those. Node 4 has
 * only what all know. */
static struct twin twin_new(uint64_t ours, uint64_t other)
{
    struct twin t = { .w = world_new(4), .ours = ours, .other = other };
    struct world *w = &t.w;
    t.id = world_customer(w);
    write_names(w, t.id, "共同", COMMON);
    for (uint32_t n = 1; n <= 4; n++) {
        world_carry(w, TWIN, n, TWIN);
    }
    write_names(w, t.id, "甲方", ours);
    world_carry(w, TWIN, 1, TWIN);
    fleet_restore_empty(w->f, TWIN);
    world_carry(w, 4, TWIN, 1);
    world_carry(w, 4, TWIN, TWIN);
    assert_int_equal(fleet_do(w->f, TWIN, stay_in_epoch_one, NULL), ERR_OK);
    write_names(w, t.id, "乙方", other);
    world_carry(w, TWIN, 2, TWIN);
    return t;
}

static void meet(const struct world *w, uint32_t a, uint32_t b)
{
    fleet_connect(w->f, a, b);
    fleet_run(w->f);
    fleet_cut(w->f, a, b);
}

static uint64_t proven_at(const struct world *w, uint32_t node)
{
    const struct fork *f = fork_of(fleet_core(w->f, node), TWIN, 1);
    return f != NULL && f->is_proven ? f->seq : 0;
}

static size_t in_log(const struct world *w, uint32_t node)
{
    size_t n = 0;
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    for (uint64_t seq = COMMON + 1; seq < COMMON + 1000; seq++) {
        n += fleet_commit_of(w->f, node, world_dot(TWIN, seq), &commit, &secrets) == ERR_OK ? 1 : 0;
    }
    return n;
}

static void expect_one_state(struct twin *t)
{
    struct world *w = &t->w;
    for (uint32_t n = 1; n <= 4; n++) {
        assert_int_equal(fleet_failure(w->f, n), ERR_OK);
        assert_int_equal(fleet_news(w->f, n).refused, 0);
        assert_int_equal(proven_at(w, n), COMMON + 1);
        assert_true(fleet_same_hash(w->f, 1, n));
        assert_true(world_shows_name(w, n, t->id, "共同AC"));
    }
    assert_true(fleet_core(w->f, TWIN)->epoch > 1);
    assert_int_equal(in_log(w, 1), t->ours);
    assert_int_equal(in_log(w, TWIN), t->other);
    assert_true(fleet_quarantined(w->f, 1, ERR_CONFLICT) >= t->ours);
    assert_true(fleet_quarantined(w->f, TWIN, ERR_CONFLICT) >= t->other);
}

/* What is written under the new epoch counts everywhere. */
static void expect_life_goes_on(struct twin *t)
{
    struct world *w = &t->w;
    assert_int_equal(world_set_name(w, TWIN, t->id, "新的"), ERR_OK);
    fleet_connect_all(w->f);
    fleet_run(w->f);
    for (uint32_t n = 1; n <= 4; n++) {
        assert_true(world_shows_name(w, n, t->id, "新的"));
        assert_true(fleet_same_hash(w->f, 1, n));
        assert_int_equal(fleet_news(w->f, n).refused, 0);
    }
}

static void test_every_order_through_a_third(void **state)
{
    static const uint32_t orders[][3] = { { 1, 2, 3 }, { 1, 3, 2 }, { 2, 1, 3 }, { 2, 3, 1 }, { 3, 1, 2 },
        { 3, 2, 1 } };
    static const uint64_t sizes[][2] = { { 1, 1 }, { 1, 3 }, { 4, 1 }, { 6, 6 } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            struct twin t = twin_new(sizes[k][0], sizes[k][1]);
            for (size_t step = 0; step < 6; step++) {
                meet(&t.w, i % 2 == 0 ? 4 : orders[i][step % 3], i % 2 == 0 ? orders[i][step % 3] : 4);
            }
            expect_one_state(&t);
            expect_life_goes_on(&t);
            fleet_free(t.w.f);
        }
    }
}

static void test_all_at_once(void **state)
{
    (void)state;
    for (uint64_t ours = 1; ours < 5; ours++) {
        struct twin t = twin_new(ours, 3);
        fleet_connect_all(t.w.f);
        fleet_run(t.w.f);
        expect_one_state(&t);
        fleet_cut_all(t.w.f);
        expect_life_goes_on(&t);
        fleet_free(t.w.f);
    }
}

static void test_deep_fork_is_found(void **state)
{
    (void)state;
    struct twin t = twin_new(700, 690);
    meet(&t.w, 2, 1);
    assert_int_equal(proven_at(&t.w, 1), COMMON + 1);
    assert_int_equal(proven_at(&t.w, 2), COMMON + 1);
    meet(&t.w, 4, 2);
    assert_int_equal(in_log(&t.w, 4), 0); /* what counts nowhere is not spread */
    for (uint32_t n = 3; n <= 4; n++) {
        meet(&t.w, n, 1);
    }
    expect_one_state(&t);
    fleet_free(t.w.f);
}

/* Others go on exchanging while one origin is disputed, and what they wrote having seen the lost branch stays. */
static void test_others_are_not_held_up(void **state)
{
    (void)state;
    struct twin t = twin_new(2, 2);
    struct world *w = &t.w;
    struct record_id added = fleet_customer(w->f, 1, w->seller, "别人");
    assert_int_equal(world_set(w, 1, ENTITY_CUSTOMER, t.id, "occupation", "医生"), ERR_OK);
    assert_int_equal(world_set(w, 2, ENTITY_CUSTOMER, t.id, "occupation", "教师"), ERR_OK);
    meet(w, 1, 2);
    assert_true(world_has(w, 2, added));
    meet(w, 4, 2);
    meet(w, 3, 1);
    meet(w, 4, 1);
    expect_one_state(&t);
    assert_true(fleet_conflicts(w->f, 4, false) > 0);
    fleet_free(w->f);
}

static void test_restart_and_rebuild_change_nothing(void **state)
{
    (void)state;
    struct twin t = twin_new(3, 2);
    fleet_connect_all(t.w.f);
    fleet_run(t.w.f);
    uint32_t epoch = fleet_core(t.w.f, TWIN)->epoch;
    for (uint32_t n = 1; n <= 4; n++) {
        struct dot bad = { 0 };
        fleet_restart(t.w.f, n);
        assert_int_equal(core_verify_log(fleet_core(t.w.f, n), fleet_arena(t.w.f, n), &bad), ERR_OK);
        assert_int_equal(fleet_rebuild(t.w.f, n), ERR_OK);
    }
    assert_int_equal(fleet_core(t.w.f, TWIN)->epoch, epoch);
    expect_one_state(&t);
    fleet_free(t.w.f);
}

static void test_fork_and_revocation(void **state)
{
    (void)state;
    for (uint64_t cut = COMMON - 1; cut <= COMMON + 2; cut++) {
        for (unsigned first = 0; first < 2; first++) {
            struct twin t = twin_new(3, 3);
            struct world *w = &t.w;
            if (first == 0) {
                fleet_revoke(w->f, TWIN, cut);
            }
            meet(w, 1, 2);
            meet(w, 4, 2);
            if (first == 1) {
                fleet_revoke(w->f, TWIN, cut);
                meet(w, 1, 2);
                meet(w, 4, 2);
            }
            assert_true(fleet_same_hash(w->f, 1, 2));
            assert_true(fleet_same_hash(w->f, 1, 4));
            assert_true(world_shows_name(w, 4, t.id, cut < COMMON ? "共同AB" : "共同AC"));
            fleet_free(w->f);
        }
    }
}

/* --- proofs by hand --- */

struct pair {
    struct bytes x, y;
};

static enum err learn(struct core *c, struct arena *a, struct now now, void *ctx)
{
    const struct pair *p = ctx;
    struct commit_view x;
    struct commit_view y;
    enum err e = commit_parse(p->x, &x);
    if (e == ERR_OK) {
        e = commit_parse(p->y, &y);
    }
    return e == ERR_OK ? fork_learn(c, a, now, &x, &y) : e;
}

/* A copy that stays while arenas of nodes are reset. */
static struct bytes take(const struct world *w, struct arena *a, uint32_t from, uint64_t seq)
{
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    struct bytes copy = { 0 };
    assert_int_equal(fleet_commit_of(w->f, from, world_dot(TWIN, seq), &commit, &secrets), ERR_OK);
    assert_int_equal(arena_dup(a, commit, &copy), ERR_OK);
    return copy;
}

static void test_what_is_no_proof(void **state)
{
    (void)state;
    struct twin t = twin_new(2, 2);
    struct world *w = &t.w;
    struct arena a;
    arena_init(&a, test_mem(), 1 << 20);
    const struct bytes ours = take(w, &a, 1, COMMON + 1);
    const struct bytes other = take(w, &a, 2, COMMON + 1);
    const struct bytes next = take(w, &a, 2, COMMON + 2);
    struct bytes forged = take(w, &a, 2, COMMON + 1);
    struct pair same = { ours, ours };
    struct pair apart = { ours, next };
    assert_int_equal(fleet_do(w->f, 4, learn, &same), ERR_FORMAT);
    assert_int_equal(fleet_do(w->f, 4, learn, &apart), ERR_FORMAT);
    for (size_t i = 0; i < forged.len; i += 7) {
        struct pair bad = { ours, forged };
        union {
            const uint8_t *in;
            uint8_t *out;
        } cast = { .in = forged.ptr };
        cast.out[i] ^= 4;
        assert_int_not_equal(fleet_do(w->f, 4, learn, &bad), ERR_OK);
        cast.out[i] ^= 4;
    }
    assert_int_equal(proven_at(w, 4), 0);
    assert_int_equal(fleet_space_count(w->f, 4, SPACE_FORK), 0);
    struct pair good = { other, ours };
    assert_int_equal(fleet_do(w->f, 4, learn, &good), ERR_OK);
    assert_int_equal(proven_at(w, 4), COMMON + 1);
    arena_release(&a);
    fleet_free(w->f);
}

/* A higher proof first, a lower one later, on another node the other way round. */
static void test_the_lowest_counts(void **state)
{
    (void)state;
    struct twin t = twin_new(3, 3);
    struct world *w = &t.w;
    struct arena a;
    arena_init(&a, test_mem(), 1 << 20);
    for (uint64_t seq = COMMON + 3; seq > COMMON; seq--) {
        struct pair p = { take(w, &a, 1, seq), take(w, &a, 2, seq) };
        assert_int_equal(fleet_do(w->f, 1, learn, &p), ERR_OK);
        assert_int_equal(proven_at(w, 1), seq);
        assert_int_equal(fork_of(fleet_core(w->f, 1), TWIN, 1)->is_complete, seq == COMMON + 1);
        struct pair q = { take(w, &a, 1, 2 * COMMON + 4 - seq), take(w, &a, 2, 2 * COMMON + 4 - seq) };
        assert_int_equal(fleet_do(w->f, 2, learn, &q), ERR_OK);
        assert_int_equal(proven_at(w, 2), COMMON + 1);
    }
    assert_true(fleet_same_hash(w->f, 1, 2));
    arena_release(&a);
    fleet_free(w->f);
}

static void put_proof(struct buf *b, struct bytes x, struct bytes y)
{
    buf_clear(b);
    buf_put_blob(b, x);
    buf_put_blob(b, y);
}

static enum err bare(struct core *c, struct arena *a, struct now now, void *ctx)
{
    struct pair *p = ctx;
    struct commit_view v;
    (void)now;
    enum err e = commit_parse(p->x, &v);
    return e == ERR_OK ? fork_bare(c, a, &v, &p->y) : e;
}

static void inject(const struct world *w, uint32_t from, uint32_t to, struct bytes entry)
{
    struct arena a;
    struct buf b;
    const struct wire_message m = { .kind = WIRE_FORKS, .entries = &entry, .count = 1 };
    arena_init(&a, test_mem(), 1 << 20);
    buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, &a, &m);
    fleet_inject(w->f, from, to, buf_view(&b));
    buf_release(&b);
    arena_release(&a);
    fleet_run(w->f);
}

static void test_forged_proof_ends_the_session(void **state)
{
    (void)state;
    struct twin t = twin_new(1, 1);
    struct world *w = &t.w;
    struct arena a;
    struct buf proof;
    struct bytes bares[2] = { { 0 } };
    arena_init(&a, test_mem(), 1 << 20);
    buf_init(&proof, test_mem(), 4096);
    for (uint32_t n = 1; n <= 2; n++) {
        struct pair p = { take(w, &a, n, COMMON + 1), { 0 } };
        assert_int_equal(fleet_do(w->f, n, bare, &p), ERR_OK);
        assert_int_equal(arena_dup(&a, p.y, &bares[n - 1]), ERR_OK);
    }
    put_proof(&proof, bares[0], bares[1]);
    proof.ptr[proof.len - 40] ^= 1; /* in the root of the second */
    fleet_connect(w->f, 4, 2);
    fleet_run(w->f);
    (void)fleet_news(w->f, 4);
    inject(w, 2, 4, buf_view(&proof));
    const struct fleet_news news = fleet_news(w->f, 4);
    assert_int_equal(news.refused, 1);
    assert_int_equal(news.refusal, ERR_SIGNATURE);
    assert_int_equal(proven_at(w, 4), 0);
    fleet_cut_all(w->f);
    put_proof(&proof, bares[0], bares[1]);
    fleet_connect(w->f, 4, 2);
    fleet_run(w->f);
    (void)fleet_news(w->f, 4);
    inject(w, 2, 4, buf_view(&proof));
    assert_int_equal(proven_at(w, 4), COMMON + 1);
    meet(w, 4, 3);
    assert_int_equal(proven_at(w, 3), COMMON + 1); /* and told on */
    buf_release(&proof);
    arena_release(&a);
    fleet_free(w->f);
}

/* --- any bytes --- */

struct spoken {
    struct wire_message m;
    struct rng *rng;
    size_t refused, taken;
};

static enum err hear_once(struct core *c, struct arena *a, struct now now, void *ctx)
{
    struct spoken *s = ctx;
    struct fork_talk talk = { .is_opened = false };
    struct wire_message reply;
    struct arena keep;
    struct arena work;
    bool any = false;
    arena_init(&keep, test_mem(), 1 << 20);
    arena_init(&work, test_mem(), CORE_ARENA_BYTES);
    enum err e = fork_talk_hear(c, &talk, &keep, &work, a, now, &s->m, &reply, &any);
    assert_true(!any || reply.count <= FORK_ANSWERS_MAX);
    arena_release(&work);
    arena_release(&keep);
    return e;
}

static void spoil(struct rng *rng, struct buf *b, struct bytes from)
{
    buf_clear(b);
    buf_put_bytes(b, from);
    for (uint64_t n = test_random_below(rng, 3); n > 0 && b->len > 0; n--) {
        b->ptr[test_random_below(rng, b->len)] ^= (uint8_t)(1U << test_random_below(rng, 8));
    }
    b->len -= test_random_below(rng, 8) == 0 ? test_random_below(rng, b->len + 1) : 0;
}

/* Bytes near to good ones: whatever they are, an answer or the peer's fault, and only what is signed is believed. */
static void test_spoilt_messages(void **state)
{
    (void)state;
    struct twin t = twin_new(3, 3);
    struct world *w = &t.w;
    struct arena a;
    struct buf good[3];
    struct buf bad[2];
    struct rng rng = test_rng(5);
    arena_init(&a, test_mem(), 1 << 20);
    for (size_t i = 0; i < 3; i++) {
        buf_init(&good[i], test_mem(), 4096);
    }
    for (size_t i = 0; i < 2; i++) {
        buf_init(&bad[i], test_mem(), 4096);
    }
    for (uint32_t n = 1; n <= 2; n++) {
        struct pair p = { take(w, &a, n, COMMON + 2), { 0 } };
        assert_int_equal(fleet_do(w->f, n, bare, &p), ERR_OK);
        buf_put_blob(&good[0], p.y); /* a proof of both */
        if (n == 2) {
            buf_put_blob(&good[1], p.y);
        }
    }
    for (uint64_t seq = 1; seq <= COMMON + 3; seq++) {
        buf_put(&good[2], (const uint8_t[]){ TWIN, 1, (uint8_t)seq }, 3);
        buf_put(&good[2], "0123456789abcdef", 16);
    }
    for (size_t i = 0; i < 3000; i++) {
        struct spoken s = { .m = { .kind = WIRE_FORKS } };
        spoil(&rng, &bad[0], buf_view(&good[i % 2]));
        spoil(&rng, &bad[1], buf_view(&good[2]));
        const struct bytes entry = buf_view(&bad[0]);
        s.m.entries = &entry;
        s.m.count = i % 3 == 0 ? 0 : 1;
        s.m.claims = i % 3 == 0 ? buf_view(&bad[1]) : (struct bytes){ 0 };
        enum err e = fleet_do(w->f, 1, hear_once, &s);
        assert_true(e == ERR_OK || e == ERR_LIMIT || err_class(e) == ERR_CLASS_PEER);
        const uint64_t at = proven_at(w, 1);
        assert_true(at == 0 || at == COMMON + 2);
    }
    assert_int_equal(proven_at(w, 1), COMMON + 2); /* some came through whole */
    for (size_t i = 0; i < 3; i++) {
        buf_release(&good[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        buf_release(&bad[i]);
    }
    arena_release(&a);
    fleet_free(w->f);
}

static enum err take_mark(struct core *c, struct arena *a, struct now now, void *ctx)
{
    const struct wire_item *item = ctx;
    struct vv known = { 0 };
    struct taken taken;
    struct arena keep;
    arena_init(&keep, test_mem(), 1 << 20);
    const struct taking from = { .core = c, .work = a, .from = 2, .known = &known, .known_arena = &keep, .now = now };
    enum err e = take_item(&from, item, &taken);
    arena_release(&keep);
    return e;
}

/* "From the fork on nothing is for you" is no reason to skip what lies before it. */
static void test_a_mark_skips_nothing_that_counts(void **state)
{
    (void)state;
    struct twin t = twin_new(2, 2);
    struct world *w = &t.w;
    struct arena a;
    struct wire_item mark = { .node = TWIN, .epoch = 1, .upto = COMMON + 2 };
    arena_init(&a, test_mem(), 1 << 20);
    struct pair p = { take(w, &a, 1, COMMON + 1), take(w, &a, 2, COMMON + 1) };
    fleet_restore_empty(w->f, 4);
    assert_int_equal(fleet_do(w->f, 4, learn, &p), ERR_OK);
    assert_int_equal(fleet_do(w->f, 4, take_mark, &mark), ERR_OK);
    assert_int_equal(world_upto(w, 4, TWIN, 1), 0);
    for (uint64_t seq = 1; seq <= COMMON; seq++) {
        assert_int_equal(fleet_carry(w->f, 1, 4, world_dot(TWIN, seq)), ERR_OK);
    }
    assert_int_equal(fleet_do(w->f, 4, take_mark, &mark), ERR_OK);
    assert_int_equal(world_upto(w, 4, TWIN, 1), COMMON + 2);
    arena_release(&a);
    fleet_free(w->f);
}

static enum err spoil_proof(struct core *c, struct arena *a, struct now now, void *ctx)
{
    const uint8_t key[] = { 'e', 0, 0, 0, TWIN, 0, 0, 0, 1 };
    struct bytes value = { 0 };
    uint8_t bad[1024];
    (void)now;
    (void)ctx;
    enum err e = c->store->ops->get(c->store, SPACE_FORK, BYTES_OF(key), a, &value);
    if (e == ERR_OK) {
        memcpy(bad, value.ptr, value.len);
        bad[value.len - 1] ^= 1;
        e = c->store->ops->put(c->store, SPACE_FORK, BYTES_OF(key), bytes_of(bad, value.len));
    }
    return e;
}

static void test_verify_checks_proofs(void **state)
{
    (void)state;
    struct twin t = twin_new(1, 1);
    struct dot bad = { 0 };
    meet(&t.w, 1, 2);
    assert_int_equal(core_verify_log(fleet_core(t.w.f, 1), fleet_arena(t.w.f, 1), &bad), ERR_OK);
    assert_int_equal(fleet_do(t.w.f, 1, spoil_proof, NULL), ERR_OK);
    assert_int_equal(core_verify_log(fleet_core(t.w.f, 1), fleet_arena(t.w.f, 1), &bad), ERR_DAMAGED);
    assert_true(dot_equal(bad, world_dot(TWIN, COMMON + 1)));
    fleet_free(t.w.f);
}

static enum err forget(struct core *c, struct arena *a, struct now now, void *ctx)
{
    (void)now;
    return core_forget(c, a, record_dossier(*(const struct record_id *)ctx));
}

/* A node puts commits of the other branch aside, with what is needed to read them. */
static void test_other_branch_is_put_aside(void **state)
{
    (void)state;
    struct twin t = twin_new(1, 4);
    meet(&t.w, 1, 2);
    /* node 2 settled more than node 1: proof, count, and the three commits beyond what both have settled */
    assert_int_equal(fleet_space_count(t.w.f, 1, SPACE_FORK), 5);
    assert_int_equal(fleet_space_count(t.w.f, 2, SPACE_FORK), 1);
    /* also they go when the dossier is forgotten */
    assert_int_equal(fleet_do(t.w.f, 1, forget, &t.id), ERR_OK);
    assert_int_equal(fleet_space_count(t.w.f, 1, SPACE_FORK), 2);
    fleet_free(t.w.f);
}

static void test_audit_has_the_first_sight(void **state)
{
    (void)state;
    struct twin t = twin_new(2, 2);
    uint64_t before = fleet_core(t.w.f, 4)->audit.count;
    meet(&t.w, 1, 2);
    meet(&t.w, 4, 2);
    assert_true(fleet_core(t.w.f, 4)->audit.count > before);
    uint64_t after = fleet_core(t.w.f, 4)->audit.count;
    meet(&t.w, 4, 2);
    assert_int_equal(fleet_core(t.w.f, 4)->audit.count, after);
    fleet_free(t.w.f);
}

/* Another copy of a node is at work: its commit comes over a line that has long been open. Who takes it in does not
 * write on from there, and nothing has forked yet. */
static void test_a_commit_of_ours_that_is_not_ours(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    write_names(&w, id, "共同", 1);
    world_carry(&w, TWIN, 1, TWIN);
    world_carry(&w, TWIN, 2, TWIN);
    fleet_restore_empty(w.f, TWIN); /* the other copy, which has heard of nothing */
    world_carry(&w, 1, TWIN, 1);
    assert_int_equal(fleet_core(w.f, TWIN)->epoch, 1);
    world_carry(&w, 1, TWIN, TWIN);
    uint32_t epoch = fleet_core(w.f, TWIN)->epoch;
    assert_true(epoch > 1);
    assert_int_equal(world_set_name(&w, TWIN, id, "另外"), ERR_OK);
    assert_int_equal(world_upto(&w, TWIN, TWIN, 1), 1);
    assert_int_equal(world_upto(&w, TWIN, TWIN, epoch), 1);
    fleet_connect_all(w.f);
    fleet_run(w.f);
    assert_true(world_shows_name(&w, 1, id, "另外"));
    assert_true(fleet_same_hash(w.f, 1, TWIN) && fleet_same_hash(w.f, 1, 2));
    assert_int_equal(proven_at(&w, 1), 0);
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order_through_a_third),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_deep_fork_is_found),
        cmocka_unit_test(test_others_are_not_held_up),
        cmocka_unit_test(test_restart_and_rebuild_change_nothing),
        cmocka_unit_test(test_fork_and_revocation),
        cmocka_unit_test(test_what_is_no_proof),
        cmocka_unit_test(test_the_lowest_counts),
        cmocka_unit_test(test_forged_proof_ends_the_session),
        cmocka_unit_test(test_spoilt_messages),
        cmocka_unit_test(test_a_mark_skips_nothing_that_counts),
        cmocka_unit_test(test_verify_checks_proofs),
        cmocka_unit_test(test_other_branch_is_put_aside),
        cmocka_unit_test(test_audit_has_the_first_sight),
        cmocka_unit_test(test_a_commit_of_ours_that_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
