/* More of a commit that a node has settled already: what is refused, and what the chain then knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/forge.h"

/* Node 3 has written two names; node 2 has the customer and nothing of node 3. */
static struct world two_names(struct record_id *id)
{
    struct world w = world_new(3);
    *id = world_customer(&w);
    assert_int_equal(world_set_name(&w, 3, *id, "陈一"), ERR_OK);
    assert_int_equal(world_set_name(&w, 3, *id, "陈二"), ERR_OK);
    return w;
}

static enum err settle(struct core *c, struct arena *a, struct now now, void *ctx)
{
    const struct dot *d = ctx;
    (void)a;
    (void)now;
    return core_settle_withheld(c, d->node, d->epoch, d->seq);
}

static void withhold(const struct world *w, struct dot upto)
{
    assert_int_equal(fleet_do(w->f, 2, settle, &upto), ERR_OK);
}

/* As node 3 would sign it under a name that it has used, or not yet. */
static struct bytes other_commit(const struct world *w, struct record_id id, uint64_t seq, const uint8_t *prev)
{
    static const struct part_cell sex = { .number = 3, .value = { .type = VALUE_INT, .i = 2 } };
    static const struct part_record customer = { .entity = ENTITY_CUSTOMER, .cell_count = 1 };
    const struct forged_part part = { .class_ = CLASS_CONTACT,
        .head = { .author = w->seller, .standing = 2, .purpose = PURPOSE_P1 },
        .records = &customer,
        .record_count = 1,
        .cells = &sex };
    struct dossier d = { 0 };
    struct store *s = fleet_store(w->f, 3);
    assert_int_equal(s->ops->dossier_get(s, record_dossier(id), fleet_arena(w->f, 3), &d), ERR_OK);
    const struct forged_group g = {
        .kind = DOSSIER_CUSTOMER, .station = 1, .dossier = d.id, .secret = d.secret, .parts = &part, .part_count = 1
    };
    const struct forged_commit c = {
        .node = 3, .dot = world_dot(3, seq), .prev = prev, .groups = &g, .group_count = 1
    };
    return forge_commit(w->f, &c);
}

static void test_withheld_then_given(void **state)
{
    (void)state;
    struct record_id id;
    struct world w = two_names(&id);
    withhold(&w, world_dot(3, 2));
    assert_false(core_head(fleet_core(w.f, 2), 3, 1)->knows_hash);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_true(world_shows_name(&w, 2, id, "陈二"));
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_true(fleet_same_hash(w.f, 2, 3));
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_EXISTS);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 2)), ERR_EXISTS);
    assert_true(core_head(fleet_core(w.f, 2), 3, 1)->knows_hash);
    fleet_restart(w.f, 2);
    assert_true(core_head(fleet_core(w.f, 2), 3, 1)->knows_hash);
    uint8_t other_past[COMMIT_HASH_BYTES] = { 5 };
    assert_int_equal(fleet_ingest(w.f, 2, other_commit(&w, id, 3, other_past), (struct bytes){ 0 }), ERR_CONFLICT);
    fleet_free(w.f);
}

static void test_another_commit_of_that_name(void **state)
{
    (void)state;
    struct record_id id;
    struct world w = two_names(&id);
    world_carry(&w, 3, 2, 3);
    const struct bytes other = other_commit(&w, id, 2, core_head(fleet_core(w.f, 3), 3, 1)->hash);
    assert_int_equal(fleet_ingest(w.f, 2, other, (struct bytes){ 0 }), ERR_CONFLICT);
    assert_true(fleet_same_hash(w.f, 2, 3));
    fleet_free(w.f);
}

/* What was withheld must fit between its neighbours, on either side. */
static void test_another_commit_in_the_gap(void **state)
{
    (void)state;
    struct record_id id;
    struct world w = two_names(&id);
    uint8_t first[COMMIT_HASH_BYTES];
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    memcpy(first, core_head(fleet_core(w.f, 2), 3, 1)->hash, sizeof(first));
    assert_int_equal(world_set_name(&w, 3, id, "陈三"), ERR_OK);
    withhold(&w, world_dot(3, 2));
    uint8_t other_past[COMMIT_HASH_BYTES] = { 5 };
    assert_int_equal(fleet_ingest(w.f, 2, other_commit(&w, id, 2, other_past), (struct bytes){ 0 }), ERR_CONFLICT);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 3)), ERR_OK);
    assert_int_equal(fleet_ingest(w.f, 2, other_commit(&w, id, 2, first), (struct bytes){ 0 }), ERR_CONFLICT);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_true(fleet_same_hash(w.f, 2, 3));
    fleet_free(w.f);
}

/* No byte of what comes late may change without notice, and a wrong secret is not planted. */
static void test_spoilt_more_is_refused(void **state)
{
    (void)state;
    struct world w = world_new(3);
    (void)fleet_customer(w.f, 3, w.seller, "陈大文");
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    uint8_t spoilt[8192];
    withhold(&w, world_dot(3, 1));
    assert_int_equal(fleet_commit_of(w.f, 3, world_dot(3, 1), &commit, &secrets), ERR_OK);
    assert_true(commit.len <= sizeof(spoilt) && secrets.len <= sizeof(spoilt));
    for (size_t i = 0; i < commit.len; i++) {
        memcpy(spoilt, commit.ptr, commit.len);
        spoilt[i] ^= (uint8_t)(1U << (i % 8));
        assert_int_not_equal(fleet_ingest(w.f, 2, bytes_of(spoilt, commit.len), secrets), ERR_OK);
    }
    memcpy(spoilt, secrets.ptr, secrets.len);
    spoilt[0] ^= 1;
    assert_int_equal(fleet_ingest(w.f, 2, commit, bytes_of(spoilt, secrets.len)), ERR_SEAL);
    assert_int_equal(fleet_ingest(w.f, 2, commit, (struct bytes){ 0 }), ERR_FORMAT);
    assert_int_equal(fleet_space_count(w.f, 2, SPACE_LOG), 0);
    assert_false(core_head(fleet_core(w.f, 2), 3, 1)->knows_hash);
    assert_int_equal(fleet_ingest(w.f, 2, commit, secrets), ERR_OK);
    assert_true(fleet_same_hash(w.f, 2, 3));
    fleet_free(w.f);
}

/* It is kept, and counts nowhere. */
static void test_more_beyond_a_cut(void **state)
{
    (void)state;
    struct record_id id;
    struct world w = two_names(&id);
    withhold(&w, world_dot(3, 2));
    fleet_revoke(w.f, 3, 1);
    world_teach_all(&w);
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 2)), ERR_OK);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_REVOKED), 1);
    assert_true(world_shows_name(&w, 2, id, "陈大文"));
    assert_int_equal(fleet_carry(w.f, 3, 2, world_dot(3, 1)), ERR_OK);
    assert_true(world_shows_name(&w, 2, id, "陈一"));
    assert_int_equal(fleet_rebuild(w.f, 2), ERR_OK);
    assert_true(world_shows_name(&w, 2, id, "陈一"));
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 1);
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_withheld_then_given),
        cmocka_unit_test(test_another_commit_of_that_name),
        cmocka_unit_test(test_another_commit_in_the_gap),
        cmocka_unit_test(test_spoilt_more_is_refused),
        cmocka_unit_test(test_more_beyond_a_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
