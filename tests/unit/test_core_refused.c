/* What a core refuses or cuts off of the commits of others, and that all nodes do it alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet_world.h"
#include "tests/lib/forge.h"

static void assert_shows(
    const struct world *w, uint32_t node, enum entity entity, struct record_id id, const char *field, const char *text)
{
    assert_true(world_shows(w, node, entity, id, field, text));
}

static const struct part_cell sex_cell = { .number = 3, .value = { .type = VALUE_INT, .i = 2 } };
static const struct part_record main_customer = { .entity = ENTITY_CUSTOMER, .cell_count = 1 };

static struct forged_part part_of(const struct world *w, const struct part_cell *cell, enum class_ class_)
{
    return (struct forged_part){ .class_ = class_,
        .head = { .author = w->seller, .standing = 2, .purpose = PURPOSE_P1 },
        .records = &main_customer,
        .record_count = 1,
        .cells = cell };
}

/* A commit of node 3 that changes one customer of station 1 in one part. */
static struct bytes forged_part_commit(const struct world *w, struct record_id id, const struct forged_part *parts,
    size_t count, uint64_t seq, struct forged_commit *base)
{
    struct dossier d = { 0 };
    struct store *s = fleet_store(w->f, 3);
    assert_int_equal(s->ops->dossier_get(s, record_dossier(id), fleet_arena(w->f, 3), &d), ERR_OK);
    const struct forged_group g = {
        .kind = DOSSIER_CUSTOMER, .station = 1, .dossier = d.id, .secret = d.secret, .parts = parts, .part_count = count
    };
    struct forged_commit c = base == NULL ? (struct forged_commit){ .node = 3 } : *base;
    c.dot = world_dot(3, seq);
    c.groups = &g;
    c.group_count = 1;
    return forge_commit(w->f, &c);
}

static void test_wrong_membership(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    uint8_t wrong[16] = { 1 };
    world_carry(&w, 1, 2, 1);
    world_carry(&w, 1, 3, 1);
    const struct forged_part part = part_of(&w, &sex_cell, CLASS_CONTACT);
    struct forged_commit base = { .node = 3, .member_hash = wrong };
    assert_int_equal(
        fleet_ingest(w.f, 2, forged_part_commit(&w, id, &part, 1, 1, &base), (struct bytes){ 0 }), ERR_SIGNATURE);
    base = (struct forged_commit){ .node = 3, .member_number = 1000 };
    assert_int_equal(
        fleet_ingest(w.f, 2, forged_part_commit(&w, id, &part, 1, 1, &base), (struct bytes){ 0 }), ERR_GAP);
    assert_int_equal(world_upto(&w, 2, 3, 1), 0);
    /* Node 4 is not known to node 2 yet; then it is, but with an older head than the commit's. */
    uint32_t late = fleet_station_node(w.f, 1, true);
    (void)fleet_customer(w.f, late, w.seller, "李四");
    assert_int_equal(fleet_carry(w.f, late, 2, world_dot(late, 1)), ERR_UNKNOWN_PEER);
    fleet_teach(w.f, 2);
    (void)fleet_user(w.f, 1, role_bit(ROLE_SC));
    fleet_teach(w.f, late);
    (void)fleet_customer(w.f, late, w.seller, "王五");
    assert_int_equal(fleet_carry(w.f, late, 2, world_dot(late, 1)), ERR_OK);
    assert_int_equal(fleet_carry(w.f, late, 2, world_dot(late, 2)), ERR_GAP);
    fleet_teach(w.f, 2);
    assert_int_equal(fleet_carry(w.f, late, 2, world_dot(late, 2)), ERR_OK);
    fleet_free(w.f);
}

static void test_fork_is_refused(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    uint8_t other_past[COMMIT_HASH_BYTES] = { 5 };
    world_carry(&w, 1, 2, 1);
    world_carry(&w, 1, 3, 1);
    assert_int_equal(world_set_name(&w, 3, id, "陈小文"), ERR_OK);
    world_carry(&w, 3, 2, 3);
    const struct forged_part part = part_of(&w, &sex_cell, CLASS_CONTACT);
    struct forged_commit base = { .node = 3, .prev = other_past };
    assert_int_equal(
        fleet_ingest(w.f, 2, forged_part_commit(&w, id, &part, 1, 2, &base), (struct bytes){ 0 }), ERR_CONFLICT);
    assert_int_equal(world_upto(&w, 2, 3, 1), 1);
    fleet_free(w.f);
}

/* --- what others may not write --- */

/* Node 2 takes in a forged commit of node 3; so does node 1, after having been rebuilt. */
static void ingest_forged(const struct world *w, struct bytes commit)
{
    assert_int_equal(fleet_ingest(w->f, 2, commit, (struct bytes){ 0 }), ERR_OK);
    assert_int_equal(fleet_ingest(w->f, 1, commit, (struct bytes){ 0 }), ERR_OK);
    assert_int_equal(fleet_rebuild(w->f, 1), ERR_OK);
    assert_true(fleet_same_hash(w->f, 1, 2));
    assert_int_equal(fleet_quarantined(w->f, 1, ERR_OK), fleet_quarantined(w->f, 2, ERR_OK));
}

static void test_part_without_right(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    const struct part_cell managed = { .number = 9, .value = value_int(1) };
    struct forged_part parts[2] = { part_of(&w, &managed, CLASS_BUSINESS), part_of(&w, &sex_cell, CLASS_CONTACT) };
    parts[1].head.author = w.other; /* of another station */
    parts[1].head.standing = 0;
    ingest_forged(&w, forged_part_commit(&w, id, parts, 2, 1, NULL));
    assert_shows(&w, 2, ENTITY_CUSTOMER, id, "managed", "1");
    assert_shows(&w, 2, ENTITY_CUSTOMER, id, "sex", "");
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_DENIED), 1);
    fleet_free(w.f);
}

/* A value that could not have been written here: the part is refused, and is nobody's rival either. */
static void test_part_with_bad_value(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    const struct part_cell birth[2] = { { .number = 3, .value = value_int(2) },
        { .number = 2, .value = value_text(BYTES_LIT("\x01\x02")) } };
    const struct part_record two = { .entity = ENTITY_CUSTOMER, .cell_count = 2 };
    struct forged_part part = part_of(&w, birth, CLASS_CONTACT);
    part.records = &two;
    assert_int_equal(world_set(&w, 2, ENTITY_CUSTOMER, id, "sex", "M"), ERR_OK);
    world_carry(&w, 2, 1, 2);
    ingest_forged(&w, forged_part_commit(&w, id, &part, 1, 1, NULL));
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_DENIED), 1);
    world_carry(&w, 1, 3, 2);
    /* Node 3 holds the forged commit in no other way than the others. */
    assert_int_equal(world_set(&w, 1, ENTITY_CUSTOMER, id, "sex", "U"), ERR_OK);
    world_carry(&w, 1, 2, 1);
    assert_shows(&w, 2, ENTITY_CUSTOMER, id, "sex", "U");
    assert_int_equal(fleet_conflicts(w.f, 2, false), 0);
    fleet_free(w.f);
}

/* A concurrent good write makes the field be decided from the log, where the refused part stands too. */
static void test_refused_part_is_no_rival(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    const struct part_cell cells[2] = { { .number = 3, .value = value_int(2) },
        { .number = 2, .value = value_text(BYTES_LIT("\x01\x02")) } };
    const struct part_record two = { .entity = ENTITY_CUSTOMER, .cell_count = 2 };
    struct forged_part part = part_of(&w, cells, CLASS_CONTACT);
    part.records = &two;
    assert_int_equal(world_set(&w, 1, ENTITY_CUSTOMER, id, "sex", "M"), ERR_OK);
    assert_int_equal(world_set(&w, 2, ENTITY_CUSTOMER, id, "sex", "U"), ERR_OK);
    struct bytes forged = forged_part_commit(&w, id, &part, 1, 1, NULL);
    assert_int_equal(fleet_ingest(w.f, 1, forged, (struct bytes){ 0 }), ERR_OK);
    assert_int_equal(fleet_ingest(w.f, 2, forged, (struct bytes){ 0 }), ERR_OK);
    world_carry(&w, 1, 2, 1);
    world_carry(&w, 2, 1, 2);
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_int_equal(fleet_conflicts(w.f, 1, true), 1);
    assert_shows(&w, 1, ENTITY_CUSTOMER, id, "sex", "U");
    fleet_free(w.f);
}

/* Cells count only in the part of their class, the deletion mark only in the business part. */
static void test_cell_in_wrong_part(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    const struct part_cell mark = { .number = 0, .value = value_int(1) };
    const struct part_cell unknown = { .number = 62, .value = value_int(1) };
    const struct part_record strange = { .entity = 999, .cell_count = 1 };
    struct forged_part parts[4] = { part_of(&w, &sex_cell, CLASS_BUSINESS), part_of(&w, &mark, CLASS_CONTACT),
        part_of(&w, &unknown, CLASS_IDENTITY), part_of(&w, &unknown, CLASS_FINANCIAL) };
    parts[3].records = &strange;
    ingest_forged(&w, forged_part_commit(&w, id, parts, 4, 1, NULL));
    assert_false(fleet_is_deleted(w.f, 2, ENTITY_CUSTOMER, id));
    assert_shows(&w, 2, ENTITY_CUSTOMER, id, "sex", "");
    /* The unknown field and the unknown entity are noted for an upgrade, the rest is nothing. */
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_VERSION), 2);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 2);
    fleet_free(w.f);
}

static void test_malformed_part(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    const uint8_t noise[] = { 0xFF, 0xFF, 0x01 };
    const uint8_t trailing[] = { 0, 2, 2, 1, 0, 9 }; /* an empty part and one byte more */
    struct forged_part parts[3] = { { .class_ = CLASS_BUSINESS, .raw = BYTES_OF(noise) },
        { .class_ = CLASS_IDENTITY, .raw = BYTES_OF(trailing) }, part_of(&w, &sex_cell, CLASS_CONTACT) };
    ingest_forged(&w, forged_part_commit(&w, id, parts, 3, 1, NULL));
    assert_shows(&w, 2, ENTITY_CUSTOMER, id, "sex", "F");
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 2);
    fleet_free(w.f);
}

/* A part of a class this build does not know stays in the log; a group under a wrong station is refused. */
static void test_unknown_class_and_wrong_place(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    struct forged_part parts[2] = { part_of(&w, &sex_cell, (enum class_)17), part_of(&w, &sex_cell, CLASS_CONTACT) };
    ingest_forged(&w, forged_part_commit(&w, id, parts, 2, 1, NULL));
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_UNKNOWN_KIND), 1);
    assert_shows(&w, 2, ENTITY_CUSTOMER, id, "sex", "F");
    struct forged_part part = part_of(&w, &sex_cell, CLASS_CONTACT);
    const struct forged_group g = {
        .kind = DOSSIER_CUSTOMER, .station = 2, .dossier = record_dossier(id), .parts = &part, .part_count = 1
    };
    uint8_t prev[COMMIT_HASH_BYTES];
    memcpy(prev, core_head(fleet_core(w.f, 2), 3, 1)->hash, sizeof(prev));
    const struct forged_commit c = { .node = 3, .dot = world_dot(3, 2), .prev = prev, .groups = &g, .group_count = 1 };
    ingest_forged(&w, forge_commit(w.f, &c));
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_DENIED), 1);
    fleet_free(w.f);
}

/* --- revocation --- */

/* Node 3 made a customer within the cut and one beyond; node 2 had all of it, node 1 hears of the revocation first. */
static void test_cut_is_the_same_everywhere(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id kept = fleet_customer(w.f, 3, w.seller, "陈大文");
    assert_int_equal(world_set_name(&w, 3, kept, "陈小文"), ERR_OK);
    struct record_id lost = fleet_customer(w.f, 3, w.seller, "李四");
    world_carry(&w, 3, 2, 3);
    assert_int_equal(world_set_name(&w, 2, lost, "李五"), ERR_OK); /* an honest change of what will not count */
    assert_int_equal(world_set_name(&w, 2, kept, "陈中文"), ERR_OK);
    assert_shows(&w, 2, ENTITY_CUSTOMER, lost, "full_name", "李五");
    fleet_revoke(w.f, 3, 1);
    fleet_teach(w.f, 2);
    world_carry(&w, 2, 1, 2);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        assert_int_equal(fleet_carry(w.f, 3, 1, world_dot(3, seq)), ERR_OK);
    }
    assert_true(fleet_same_hash(w.f, 1, 2));
    assert_null(fleet_get(w.f, 1, ENTITY_CUSTOMER, lost, "full_name"));
    assert_null(fleet_get(w.f, 2, ENTITY_CUSTOMER, lost, "full_name"));
    assert_shows(&w, 1, ENTITY_CUSTOMER, kept, "full_name", "陈中文");
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_REVOKED), 2);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_REVOKED), 2);
    assert_int_equal(fleet_quarantined(w.f, 1, ERR_GAP), fleet_quarantined(w.f, 2, ERR_GAP));
    assert_int_equal(fleet_rebuild(w.f, 1), ERR_OK);
    assert_int_equal(world_set_name(&w, 2, lost, "李六"), ERR_NOT_FOUND);
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

/* What waits for a dossier must not slip in after its author was cut off. */
static void test_waiting_part_is_cut_too(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = fleet_customer(w.f, 1, w.seller, "陈大文");
    world_carry(&w, 1, 3, 1);
    assert_int_equal(world_set_name(&w, 3, id, "陈小文"), ERR_OK);
    world_carry(&w, 3, 2, 3);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_GAP), 1);
    fleet_revoke(w.f, 3, 0);
    fleet_teach(w.f, 2);
    world_carry(&w, 1, 2, 1);
    assert_shows(&w, 2, ENTITY_CUSTOMER, id, "full_name", "陈大文");
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_REVOKED), 1);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 1);
    assert_true(fleet_same_hash(w.f, 1, 2));
    fleet_free(w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_membership),
        cmocka_unit_test(test_fork_is_refused),
        cmocka_unit_test(test_part_without_right),
        cmocka_unit_test(test_part_with_bad_value),
        cmocka_unit_test(test_refused_part_is_no_rival),
        cmocka_unit_test(test_cell_in_wrong_part),
        cmocka_unit_test(test_malformed_part),
        cmocka_unit_test(test_unknown_class_and_wrong_place),
        cmocka_unit_test(test_cut_is_the_same_everywhere),
        cmocka_unit_test(test_waiting_part_is_cut_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
