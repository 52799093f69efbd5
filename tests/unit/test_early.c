/* Commits taken in before their turn: what is urgent in them counts at once, the rest when its turn comes, and nobody
 * can fill the log or bend a chain with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/take.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/forge.h"
#include "tests/lib/testkit.h"

static enum err give_early(const struct world *w, uint32_t from, uint32_t to, struct dot dot)
{
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    assert_int_equal(fleet_commit_of(w->f, from, dot, &commit, &secrets), ERR_OK);
    return fleet_ingest_early(w->f, to, commit, secrets);
}

static enum err settle(struct core *c, struct arena *a, struct now now, void *ctx)
{
    const struct dot *d = ctx;
    (void)a;
    (void)now;
    return core_settle_withheld(c, d->node, d->epoch, d->seq);
}

static struct record_id withdraw(const struct world *w, uint32_t node, struct record_id id)
{
    const struct fleet_field fields[] = { { "purpose", "营销短信" }, { "action", "withdraw" }, { NULL, NULL } };
    return fleet_child(w->f, node, w->seller, id, ENTITY_CONSENT, fields);
}

static enum err note_urgent(void *ctx, struct dot dot)
{
    size_t *n = ctx;
    assert_true(dot.seq > 0);
    ++*n;
    return ERR_OK;
}

static size_t urgent_beyond(const struct world *w, uint32_t node, struct dot known)
{
    size_t n = 0;
    struct vv vv = { .at = &known, .count = known.node == 0 ? 0 : 1 };
    assert_int_equal(core_each_urgent(fleet_core(w->f, node), &vv, note_urgent, &n), ERR_OK);
    return n;
}

static void test_a_withdrawal_overtakes(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    assert_int_equal(world_set_name(&w, 3, id, "陈一"), ERR_OK);
    assert_int_equal(world_set_name(&w, 3, id, "陈二"), ERR_OK);
    struct record_id consent = withdraw(&w, 3, id);
    assert_int_equal(urgent_beyond(&w, 3, world_dot(3, 2)), 1);
    assert_int_equal(urgent_beyond(&w, 3, world_dot(3, 3)), 0);
    assert_int_equal(give_early(&w, 3, 2, world_dot(3, 3)), ERR_OK);
    assert_true(world_shows(&w, 2, ENTITY_CONSENT, consent, "action", "withdraw"));
    assert_true(world_shows(&w, 2, ENTITY_CONSENT, consent, "purpose", "营销短信"));
    assert_true(world_shows_name(&w, 2, id, "陈大文"));
    assert_int_equal(world_upto(&w, 2, 3, 1), 0);
    assert_int_equal(fleet_core(w.f, 2)->early, 1);
    assert_int_equal(give_early(&w, 3, 2, world_dot(3, 3)), ERR_EXISTS);
    assert_int_equal(urgent_beyond(&w, 2, (struct dot){ 0 }), 1);
    assert_true(world_log_is_whole(&w, 2));
    assert_true(world_rebuild_is_same(&w, 2));
    fleet_restart(w.f, 2);
    assert_int_equal(fleet_core(w.f, 2)->early, 1);
    /* A write made meanwhile does not claim to have seen what lies between. */
    assert_int_equal(world_set_name(&w, 2, id, "陈三"), ERR_OK);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_int_equal(world_upto(&w, 2, 3, 1), 1);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_int_equal(world_upto(&w, 2, 3, 1), 3);
    assert_int_equal(fleet_core(w.f, 2)->early, 0);
    assert_int_equal(fleet_conflicts(w.f, 2, true), 1);
    world_carry(&w, 2, 3, 2);
    assert_true(fleet_same_hash(w.f, 2, 3));
    assert_true(world_log_is_whole(&w, 2));
    assert_true(world_rebuild_is_same(&w, 2));
    fleet_free(w.f);
}

/* Only what is urgent counts before its turn. */
static void test_the_rest_waits(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    struct record_id phone = world_child(&w, 1, id, ENTITY_CONTACT_POINT, "value_raw", "13800000000");
    world_carry(&w, 1, 2, 1);
    world_carry(&w, 1, 3, 1);
    assert_int_equal(world_set_name(&w, 3, id, "陈一"), ERR_OK);
    assert_int_equal(world_set_name(&w, 3, id, "陈二"), ERR_OK);
    assert_int_equal(world_delete(&w, 3, ENTITY_CONTACT_POINT, phone), ERR_OK);
    assert_int_equal(give_early(&w, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_true(world_shows_name(&w, 2, id, "陈大文"));
    assert_int_equal(give_early(&w, 3, 2, world_dot(3, 3)), ERR_OK);
    assert_true(fleet_is_deleted(w.f, 2, ENTITY_CONTACT_POINT, phone));
    assert_true(world_rebuild_is_same(&w, 2));
    /* "Not for you" up to the one before: the head goes on over what is held. */
    struct dot upto = world_dot(3, 1);
    assert_int_equal(fleet_do(w.f, 2, settle, &upto), ERR_OK);
    assert_int_equal(world_upto(&w, 2, 3, 1), 3);
    assert_true(core_head(fleet_core(w.f, 2), 3, 1)->knows_hash);
    assert_true(world_shows_name(&w, 2, id, "陈二"));
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_true(fleet_same_hash(w.f, 2, 3));
    fleet_free(w.f);
}

/* What waits for its turn is no rival yet, though its commit is held and its clock would win. */
static void test_no_rival_before_its_turn(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    assert_int_equal(world_set_name(&w, 2, id, "陈二"), ERR_OK);
    assert_int_equal(world_set_name(&w, 1, id, "陈一"), ERR_OK);
    assert_int_equal(world_set(&w, 3, ENTITY_CUSTOMER, id, "remark", "三"), ERR_OK);
    assert_int_equal(world_set_name(&w, 3, id, "陈三"), ERR_OK);
    assert_int_equal(give_early(&w, 3, 2, world_dot(3, 2)), ERR_OK);
    world_carry(&w, 1, 2, 1);
    assert_true(world_shows_name(&w, 2, id, "陈一"));
    assert_true(world_rebuild_is_same(&w, 2));
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_true(world_shows_name(&w, 2, id, "陈三"));
    assert_true(world_rebuild_is_same(&w, 2));
    fleet_free(w.f);
}

static void test_bounds(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    for (uint64_t seq = 1; seq <= CORE_EARLY_PER_ORIGIN_MAX + 3; seq++) {
        assert_int_equal(world_set_name(&w, 3, id, seq % 2 == 0 ? "甲" : "乙"), ERR_OK);
        enum err want = seq > CORE_EARLY_PER_ORIGIN_MAX + 2 ? ERR_LIMIT : ERR_OK;
        assert_int_equal(seq < 3 ? ERR_OK : give_early(&w, 3, 2, world_dot(3, seq)), want);
    }
    assert_int_equal(fleet_core(w.f, 2)->early, CORE_EARLY_PER_ORIGIN_MAX);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, CORE_EARLY_PER_ORIGIN_MAX + 3)), ERR_OK);
    assert_true(fleet_same_hash(w.f, 2, 3));
    /* Of our own we have all that there are. */
    assert_int_equal(give_early(&w, 3, 3, world_dot(3, 5)), ERR_EXISTS);
    fleet_free(w.f);
}

/* A predecessor that the early commit does not name is another past. */
static void test_chain(void **state)
{
    (void)state;
    static const struct part_cell sex = { .number = 3, .value = { .type = VALUE_INT, .i = 2 } };
    static const struct part_record customer = { .entity = ENTITY_CUSTOMER, .cell_count = 1 };
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    struct dossier d = { 0 };
    struct store *s = fleet_store(w.f, 3);
    assert_int_equal(s->ops->dossier_get(s, record_dossier(id), fleet_arena(w.f, 3), &d), ERR_OK);
    const struct forged_part part = { .class_ = CLASS_CONTACT,
        .head = { .author = w.seller, .standing = 2, .purpose = PURPOSE_P1 },
        .records = &customer,
        .record_count = 1,
        .cells = &sex };
    const struct forged_group g = {
        .kind = DOSSIER_CUSTOMER, .station = 1, .dossier = d.id, .secret = d.secret, .parts = &part, .part_count = 1
    };
    const struct forged_commit c = { .node = 3, .dot = world_dot(3, 1), .groups = &g, .group_count = 1 };
    struct bytes other = { 0 };
    const struct bytes forged = forge_commit(w.f, &c);
    assert_int_equal(arena_dup(fleet_arena(w.f, 1), forged, &other), ERR_OK);
    assert_int_equal(world_set_name(&w, 3, id, "陈一"), ERR_OK);
    assert_int_equal(world_delete(&w, 3, ENTITY_CUSTOMER, id), ERR_OK);
    assert_int_equal(give_early(&w, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_int_equal(fleet_ingest(w.f, 2, other, (struct bytes){ 0 }), ERR_CONFLICT);
    assert_int_equal(world_upto(&w, 2, 3, 1), 0);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_int_equal(world_upto(&w, 2, 3, 1), 2);
    assert_true(fleet_same_hash(w.f, 2, 3));
    fleet_free(w.f);
}

static void test_cut(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    assert_int_equal(world_set_name(&w, 3, id, "陈一"), ERR_OK);
    assert_int_equal(world_delete(&w, 3, ENTITY_CUSTOMER, id), ERR_OK);
    assert_int_equal(give_early(&w, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_true(fleet_is_deleted(w.f, 2, ENTITY_CUSTOMER, id));
    fleet_revoke(w.f, 3, 1);
    world_teach_all(&w);
    assert_false(fleet_is_deleted(w.f, 2, ENTITY_CUSTOMER, id));
    assert_int_equal(urgent_beyond(&w, 2, (struct dot){ 0 }), 0);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_false(fleet_is_deleted(w.f, 2, ENTITY_CUSTOMER, id));
    assert_true(world_shows_name(&w, 2, id, "陈一"));
    assert_true(world_rebuild_is_same(&w, 2));
    fleet_free(w.f);
}

/* --- over lines --- */

enum { BULK = 2400 };

/* More than 3 MB. */
static void write_bulk(const struct world *w, uint32_t node, uint32_t user)
{
    char remark[1444];
    for (size_t i = 0; i + 3 < sizeof(remark); i += 3) {
        memcpy(remark + i, "字", 4);
    }
    for (size_t i = 0; i < BULK; i++) {
        const struct fleet_field fields[] = { { "full_name", "陈大文" }, { "remark", remark }, { NULL, NULL } };
        struct fleet_write wr = {
            .node = node, .user = user, .entity = ENTITY_CUSTOMER, .is_new = true, .fields = fields
        };
        struct dot dot = { 0 };
        assert_int_equal(fleet_write(w->f, &wr, &dot), ERR_OK);
    }
}

/* What the vector of a node that has written nothing covers it holds, and besides only what came early. */
static void assert_covers_no_gap(const struct world *w, uint32_t node)
{
    const struct core *c = fleet_core(w->f, node);
    uint64_t covered = 0;
    for (size_t i = 0; i < c->heads.count; i++) {
        covered += c->heads.at[i].upto;
    }
    assert_int_equal(fleet_space_count(w->f, node, SPACE_LOG), covered + c->early);
}

static void run_until_withdrawn(const struct world *w, uint32_t node, struct record_id consent)
{
    while (!world_shows(w, node, ENTITY_CONSENT, consent, "action", "withdraw")) {
        assert_true(fleet_step(w->f));
        assert_covers_no_gap(w, node);
    }
}

static void test_ahead_of_the_bulk(void **state)
{
    (void)state;
    struct world w = world_new(2);
    struct record_id id = world_customer(&w);
    struct record_id phone = world_child(&w, 1, id, ENTITY_CONTACT_POINT, "value_raw", "13800000000");
    world_carry(&w, 1, 2, 1);
    uint64_t before = world_upto(&w, 2, 1, 1);
    write_bulk(&w, 1, w.seller);
    assert_int_equal(world_delete(&w, 1, ENTITY_CONTACT_POINT, phone), ERR_OK);
    struct record_id consent = withdraw(&w, 1, id);
    fleet_connect(w.f, 2, 1);
    run_until_withdrawn(&w, 2, consent);
    assert_true(fleet_is_deleted(w.f, 2, ENTITY_CONTACT_POINT, phone));
    assert_in_range(world_upto(&w, 2, 1, 1), before, before + BULK / 4);
    assert_int_equal(fleet_core(w.f, 2)->early, 2);
    assert_true(world_rebuild_is_same(&w, 2));
    /* A line that breaks now, and a node that starts anew, lose nothing. */
    fleet_restart(w.f, 2);
    fleet_connect(w.f, 2, 1);
    fleet_run(w.f);
    assert_int_equal(fleet_core(w.f, 2)->early, 0);
    assert_int_equal(fleet_news(w.f, 2).refused, 0);
    assert_covers_no_gap(&w, 2);
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_true(fleet_session(w.f, 1, 2).is_caught_up);
    fleet_free(w.f);
}

/* One item in node 2, from another; ERR_OK, or the session ends. */
static enum err take(const struct world *w, uint32_t from, struct dot dot, struct vv *known, struct taken *taken)
{
    struct core *c = fleet_core(w->f, 2);
    struct wire_item item = { .node = 0 };
    assert_int_equal(fleet_commit_of(w->f, dot.node, dot, &item.commit, &item.secrets), ERR_OK);
    const struct taking t = { .core = c,
        .work = fleet_arena(w->f, 2),
        .from = from,
        .known = known,
        .known_arena = fleet_arena(w->f, from),
        .now = fleet_now(w->f),
        .may_jump = true };
    assert_int_equal(c->store->ops->begin(c->store), ERR_OK);
    enum err e = take_item(&t, &item, taken);
    assert_int_equal(c->store->ops->commit(c->store, true), ERR_OK);
    return e;
}

/* Who gives a commit before its turn may lack what lies before it, whether we have that or not. */
static void test_early_claims_nothing(void **state)
{
    (void)state;
    struct world w = world_new(4);
    struct record_id id = world_customer(&w);
    struct taken taken;
    struct vv known = { 0 };
    assert_int_equal(world_set_name(&w, 3, id, "陈一"), ERR_OK);
    assert_int_equal(world_set_name(&w, 3, id, "陈二"), ERR_OK);
    (void)withdraw(&w, 3, id);
    assert_int_equal(take(&w, 4, world_dot(3, 3), &known, &taken), ERR_OK);
    assert_true(dot_equal(taken.early, world_dot(3, 3)));
    assert_int_equal(known.count, 0);
    assert_covers_no_gap(&w, 2);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_int_equal(take(&w, 4, world_dot(3, 3), &known, &taken), ERR_OK);
    assert_int_equal(taken.early.node, 0);
    assert_int_equal(known.count, 0);
    assert_int_equal(take(&w, 4, world_dot(3, 1), &known, &taken), ERR_OK);
    assert_true(vv_covers(&known, world_dot(3, 1)));
    assert_false(vv_covers(&known, world_dot(3, 2)));
    fleet_free(w.f);
}

/* Early ones go in a ring too, and come back to whoever has them: nobody concludes that what lies between is there. */
static void test_ahead_in_a_ring(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    write_bulk(&w, 1, w.seller);
    struct record_id consent = withdraw(&w, 1, id);
    fleet_connect_all(w.f);
    run_until_withdrawn(&w, 3, consent);
    assert_in_range(world_upto(&w, 3, 1, 1), 0, BULK / 2);
    fleet_run(w.f);
    for (uint32_t node = 1; node <= 3; node++) {
        assert_int_equal(fleet_core(w.f, node)->early, 0);
        assert_int_equal(fleet_news(w.f, node).refused, 0);
        assert_covers_no_gap(&w, node);
        assert_true(fleet_same_hash(w.f, 1, node));
    }
    fleet_free(w.f);
}

/* Nothing goes ahead to whom it does not concern, and nothing twice when nothing is urgent. */
static void test_only_to_whom_it_concerns(void **state)
{
    (void)state;
    struct world w = world_new(2);
    uint32_t laptop = fleet_laptop(w.f, w.buddy);
    world_teach_all(&w);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "李四");
    write_bulk(&w, 1, w.buddy);
    (void)withdraw(&w, 1, id);
    fleet_connect(w.f, laptop, 1);
    fleet_run(w.f);
    assert_false(world_has(&w, laptop, id));
    assert_int_equal(fleet_session(w.f, 1, laptop).sent_commits, BULK);
    assert_int_equal(world_upto(&w, laptop, 1, 1), world_upto(&w, 1, 1, 1));
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_withdrawal_overtakes),
        cmocka_unit_test(test_the_rest_waits),
        cmocka_unit_test(test_no_rival_before_its_turn),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_ahead_of_the_bulk),
        cmocka_unit_test(test_early_claims_nothing),
        cmocka_unit_test(test_ahead_in_a_ring),
        cmocka_unit_test(test_only_to_whom_it_concerns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
