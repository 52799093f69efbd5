/* What is worked out of a message before its turn: used for the very same commit and keys, for nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/session.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

#include <stdlib.h>

enum { CUSTOMERS = 3 };

/* Node 1 has a live session with node 2 and has not got what node 2 wrote: commits 1 to CUSTOMERS. */
struct scene {
    struct world w;
    struct arena a;
    struct record_id id[CUSTOMERS];
    struct wire_item items[CUSTOMERS];
    struct ahead ahead;
    struct ahead_turns turns;
    conn_id conn;
};

static struct bytes encode(struct arena *a, const struct wire_item *items, size_t count)
{
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = items, .count = count };
    struct buf b;
    struct bytes out = { 0 };
    buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, a, &m);
    assert_int_equal(b.err, ERR_OK);
    assert_int_equal(arena_dup(a, buf_view(&b), &out), ERR_OK);
    buf_release(&b);
    return out;
}

static struct scene *scene_new(void)
{
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->w = world_new(3);
    arena_init(&s->a, test_mem(), 8 << 20);
    ahead_init(&s->ahead, test_mem());
    for (size_t i = 0; i < CUSTOMERS; i++) {
        s->id[i] = fleet_customer(s->w.f, 2, s->w.seller, "陈大文");
    }
    for (size_t i = 0; i < CUSTOMERS; i++) {
        struct bytes commit;
        struct bytes secrets;
        assert_int_equal(fleet_commit_of(s->w.f, 2, world_dot(2, i + 1), &commit, &secrets), ERR_OK);
        assert_int_equal(arena_dup(&s->a, commit, &s->items[i].commit), ERR_OK);
        assert_int_equal(arena_dup(&s->a, secrets, &s->items[i].secrets), ERR_OK);
    }
    fleet_connect(s->w.f, 1, 2);
    while (fleet_session(s->w.f, 1, 2).state != SESSION_LIVE) {
        assert_true(fleet_step(s->w.f));
    }
    assert_int_equal(world_upto(&s->w, 1, 2, 1), 0);
    s->conn = fleet_session(s->w.f, 1, 2).conn;
    return s;
}

static void scene_free(struct scene *s)
{
    ahead_release(&s->ahead);
    assert_int_equal(s->ahead.mem.used_bytes, 0);
    arena_release(&s->a);
    fleet_free(s->w.f);
    free(s);
}

static enum err plan(struct scene *s, struct bytes message)
{
    ahead_reset(&s->ahead);
    return ahead_plan(&s->ahead, fleet_core(s->w.f, 1), &s->turns, message);
}

/* Everything of a message was worked out. */
static bool is_worked_out(const struct scene *s)
{
    bool all = s->ahead.message.count > 0;
    for (size_t i = 0; i < s->ahead.message.count; i++) {
        all = all && s->ahead.commits[i].is_verified && s->ahead.commits[i].part_count > 0;
    }
    return all;
}

/* The error that ended the session; ERR_OK: it goes on. */
static enum err hear(struct scene *s, struct bytes message, struct ahead *ahead)
{
    struct sync_event ev = {
        .kind = SYNC_EV_MESSAGE, .conn = s->conn, .message = message, .ahead = ahead, .now = fleet_now(s->w.f)
    };
    struct sync_actions actions = { 0 };
    enum err why = ERR_OK;
    assert_int_equal(sync_step(fleet_sync(s->w.f, 1), &ev, &actions), ERR_OK);
    for (size_t i = 0; i < actions.count; i++) {
        why = actions.at[i].kind == SYNC_ACT_REFUSED ? actions.at[i].error : why;
    }
    assert_null(fleet_core(s->w.f, 1)->ahead);
    return why;
}

static void need_all(struct scene *s)
{
    assert_int_equal(world_upto(&s->w, 1, 2, 1), CUSTOMERS);
    for (size_t i = 0; i < CUSTOMERS; i++) {
        assert_true(world_shows_name(&s->w, 1, s->id[i], "陈大文"));
    }
    assert_true(world_log_is_whole(&s->w, 1));
    assert_true(world_rebuild_is_same(&s->w, 1));
}

static void test_used_in_its_turn(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    assert_int_equal(plan(s, encode(&s->a, s->items, CUSTOMERS)), ERR_OK);
    assert_true(ahead_work(&s->ahead));
    assert_true(is_worked_out(s));
    assert_int_equal(hear(s, (struct bytes){ 0 }, &s->ahead), ERR_OK);
    need_all(s);
    scene_free(s);
}

/* A wrong answer, planted, is found in the head: so it is the answer that was used. */
static void test_is_not_done_twice(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    assert_int_equal(plan(s, encode(&s->a, s->items, CUSTOMERS)), ERR_OK);
    assert_true(ahead_work(&s->ahead));
    s->ahead.commits[CUSTOMERS - 1].hash[0] ^= 1;
    assert_int_equal(hear(s, (struct bytes){ 0 }, &s->ahead), ERR_OK);
    const struct head *head = core_head(fleet_core(s->w.f, 1), 2, 1);
    assert_memory_equal(head->hash, s->ahead.commits[CUSTOMERS - 1].hash, COMMIT_HASH_BYTES);
    scene_free(s);
}

/* Not planned, not worked on, or no message of commits: the step does all of it itself. */
static void test_missing_answers(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    struct bytes message = encode(&s->a, s->items, CUSTOMERS);
    assert_int_equal(plan(s, BYTES_LIT("\xFF\xFF")), ERR_TRUNCATED);
    assert_int_equal(s->ahead.message.count, 0);
    assert_int_equal(plan(s, message), ERR_OK);
    assert_int_equal(plan(s, message), ERR_OK); /* by a second peer: their turn is taken */
    assert_false(s->ahead.commits[0].is_planned);
    assert_true(ahead_work(&s->ahead));
    assert_int_equal(hear(s, (struct bytes){ 0 }, &s->ahead), ERR_OK);
    need_all(s);
    assert_int_equal(plan(s, message), ERR_OK); /* settled: nothing to verify */
    assert_false(s->ahead.commits[0].is_planned);
    scene_free(s);
}

static void test_only_what_follows_is_planned(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    assert_int_equal(plan(s, encode(&s->a, &s->items[1], 1)), ERR_OK);
    assert_false(s->ahead.commits[0].is_planned);
    assert_int_equal(plan(s, encode(&s->a, &s->items[0], 1)), ERR_OK);
    assert_true(s->ahead.commits[0].is_planned);
    assert_int_equal(plan(s, encode(&s->a, &s->items[1], 2)), ERR_OK);
    assert_true(s->ahead.commits[0].is_planned && s->ahead.commits[1].is_planned);
    scene_free(s);
}

/* Right and wrong answers for the same name must not be mixed up. */
static void test_forged_commit(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    struct ahead good;
    struct wire_item forged = s->items[0];
    struct commit_view v;
    uint8_t hash[COMMIT_HASH_BYTES];
    assert_int_equal(arena_dup(&s->a, s->items[0].commit, &forged.commit), ERR_OK);
    assert_int_equal(commit_parse(forged.commit, &v), ERR_OK);
    ((uint8_t *)(uintptr_t)forged.commit.ptr)[v.signature - v.all.ptr] ^= 1;
    ahead_init(&good, test_mem());
    assert_int_equal(ahead_plan(&good, fleet_core(s->w.f, 1), &s->turns, encode(&s->a, s->items, CUSTOMERS)), ERR_OK);
    assert_true(ahead_work(&good));
    const uint8_t *key = members_node(fleet_core(s->w.f, 1)->members, 2)->sign_key;
    assert_true(ahead_verified(&good, good.message.items[0].commit, key, hash));
    assert_false(ahead_verified(&good, forged.commit, key, hash));
    assert_false(ahead_verified(&good, s->items[0].commit, key, hash)); /* its like, elsewhere in memory */
    assert_false(ahead_verified(&good, good.message.items[1].commit, key, hash)); /* not its turn */
    assert_false(ahead_verified(
        &good, good.message.items[0].commit, members_node(fleet_core(s->w.f, 1)->members, 3)->sign_key, hash));
    s->turns = (struct ahead_turns){ 0 };
    assert_int_equal(plan(s, encode(&s->a, &forged, 1)), ERR_OK);
    assert_true(s->ahead.commits[0].is_planned);
    assert_false(ahead_work(&s->ahead));
    assert_false(s->ahead.commits[0].is_verified);
    assert_int_equal(hear(s, (struct bytes){ 0 }, &s->ahead), ERR_SIGNATURE);
    assert_int_equal(world_upto(&s->w, 1, 2, 1), 0);
    ahead_release(&good);
    scene_free(s);
}

/* After a wrong signature nothing of the message is worth any work. */
static void test_work_ends_at_a_wrong_signature(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    struct bytes message = encode(&s->a, s->items, CUSTOMERS);
    assert_int_equal(plan(s, message), ERR_OK);
    s->ahead.commits[1].signer[0] ^= 1;
    assert_false(ahead_work(&s->ahead));
    assert_true(s->ahead.commits[0].is_verified);
    assert_false(s->ahead.commits[1].is_verified || s->ahead.commits[2].is_verified);
    assert_int_equal(hear(s, (struct bytes){ 0 }, &s->ahead), ERR_OK); /* the right key counts in its turn */
    need_all(s);
    scene_free(s);
}

/* A secret that is not the dossier's, keys that are not those of now: the answers are not for them. */
static void test_other_keys(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    struct core *c = fleet_core(s->w.f, 1);
    struct commit_view v;
    struct group_item g;
    struct part_item p;
    struct bytes plain = { 0 };
    assert_int_equal(plan(s, encode(&s->a, s->items, 1)), ERR_OK);
    assert_true(ahead_work(&s->ahead));
    const struct wire_item *item = &s->ahead.message.items[0];
    assert_int_equal(commit_parse(item->commit, &v), ERR_OK);
    struct body_cursor groups = commit_groups(&v);
    assert_int_equal(commit_next_group(&groups, &g), ERR_OK);
    struct part_cursor parts = group_parts(&g);
    assert_int_equal(group_next_part(&parts, &p), ERR_OK);
    struct class_keys keys = *members_keys(c->members, g.station, p.key_epoch);
    struct dossier d = { .id = seal_new_dossier(v.header.salt, g.index) };
    memcpy(d.secret, item->secrets.ptr, SECRET_BYTES);
    assert_true(ahead_opened(&s->ahead, item->commit, &p, &keys, &d, &plain));
    assert_true(plain.len > 0);
    d.secret[3] ^= 1;
    assert_false(ahead_opened(&s->ahead, item->commit, &p, &keys, &d, &plain));
    d.secret[3] ^= 1;
    keys.key[CLASS_COUNT - 1][5] ^= 1;
    assert_false(ahead_opened(&s->ahead, item->commit, &p, &keys, &d, &plain));
    keys.key[CLASS_COUNT - 1][5] ^= 1;
    d.id.b[0] ^= 1;
    assert_false(ahead_opened(&s->ahead, item->commit, &p, &keys, &d, &plain));
    scene_free(s);
}

/* A peer hands on a wrong secret: refused as ever, also when it was tried ahead. */
static void test_wrong_secret(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    ((uint8_t *)(uintptr_t)s->items[0].secrets.ptr)[0] ^= 1;
    assert_int_equal(plan(s, encode(&s->a, s->items, 1)), ERR_OK);
    assert_true(ahead_work(&s->ahead));
    assert_true(s->ahead.commits[0].is_verified);
    assert_int_equal(s->ahead.commits[0].part_count, 0);
    assert_int_equal(hear(s, (struct bytes){ 0 }, &s->ahead), ERR_SEAL);
    assert_int_equal(world_upto(&s->w, 1, 2, 1), 0);
    scene_free(s);
}

/* As many items as a message may have, and one commit after them. */
static void test_bounded_memory(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    struct wire_item *many = calloc(SESSION_ITEMS_MAX + 1, sizeof(*many));
    assert_non_null(many);
    for (size_t i = 0; i < SESSION_ITEMS_MAX; i++) {
        many[i] = (struct wire_item){ .node = 1, .epoch = 1, .upto = i + 1 };
    }
    many[SESSION_ITEMS_MAX] = s->items[0];
    struct bytes message = encode(&s->a, many, SESSION_ITEMS_MAX + 1);
    assert_int_equal(plan(s, message), ERR_NOMEM);
    assert_true(s->ahead.mem.used_bytes <= AHEAD_MEM_BYTES);
    assert_int_equal(hear(s, message, NULL), ERR_LIMIT); /* in its turn, by the rules of the step */
    free(many);
    scene_free(s);
}

/* Who has no live session gets nothing worked out. */
static void test_sessions(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    struct sync *sync = fleet_sync(s->w.f, 1);
    struct bytes message = encode(&s->a, s->items, 1);
    assert_int_equal(sync_ahead(sync, s->conn + 1000, message, &s->ahead), ERR_NOT_FOUND);
    sync_set_short(sync, true);
    assert_int_equal(sync_ahead(sync, s->conn, message, &s->ahead), ERR_NOT_FOUND);
    sync_set_short(sync, false);
    assert_int_equal(sync_ahead(sync, s->conn, message, &s->ahead), ERR_OK);
    assert_true(s->ahead.commits[0].is_planned);
    ahead_reset(&s->ahead);
    /* The session ends before the commit had its turn: the next one is worth the work again. */
    fleet_cut(s->w.f, 1, 2);
    fleet_connect(s->w.f, 1, 2);
    while (fleet_session(s->w.f, 1, 2).state != SESSION_LIVE) {
        assert_true(fleet_step(s->w.f));
    }
    assert_int_equal(sync_ahead(sync, fleet_session(s->w.f, 1, 2).conn, message, &s->ahead), ERR_OK);
    assert_true(s->ahead.commits[0].is_planned);
    scene_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_used_in_its_turn),
        cmocka_unit_test(test_is_not_done_twice),
        cmocka_unit_test(test_missing_answers),
        cmocka_unit_test(test_only_what_follows_is_planned),
        cmocka_unit_test(test_forged_commit),
        cmocka_unit_test(test_work_ends_at_a_wrong_signature),
        cmocka_unit_test(test_other_keys),
        cmocka_unit_test(test_wrong_secret),
        cmocka_unit_test(test_bounded_memory),
        cmocka_unit_test(test_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
