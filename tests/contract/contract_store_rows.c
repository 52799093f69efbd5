/*
 * Rows of sync/store.h on each implementation: writing, reading, finding, counting. Clauses are in contract_store.c.
 */
#include "tests/lib/store_suite.h"

static void every_entity_keeps_every_stored_field(void **state)
{
    struct subject *t = subject_of(state);
    size_t count = 0;
    const struct entity_desc *entities = catalogue_entities(&count);
    assert_true(count > 0);
    begin(t);
    put_dossier(t, 1);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            insert_row(t, entities[i].entity, some_record_id(1, k), k * 100 + (uint32_t)i);
        }
    }
    commit(t);
    subject_reopen(t);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            assert_row(t, entities[i].entity, some_record_id(1, k), k * 100 + (uint32_t)i);
        }
    }
}

static void fields_that_are_not_stored_read_as_null(void **state)
{
    struct subject *t = subject_of(state);
    const struct entity_desc *desc = catalogue_entity(ENTITY_CONTACT_POINT);
    begin(t);
    put_dossier(t, 1);
    insert_row(t, ENTITY_CONTACT_POINT, some_record_id(1, 1), 3);
    commit(t);
    struct row row;
    ok(t->s->ops->row_get(t->s, ENTITY_CONTACT_POINT, some_record_id(1, 1), &t->a, &row));
    size_t unstored = 0;
    for (size_t i = 0; i < desc->field_count; i++) {
        if (!field_is_stored(&desc->fields[i])) {
            assert_int_equal(row.values[i].type, VALUE_NULL);
            unstored++;
        }
    }
    assert_true(unstored > 0);
}

static void wrong_writes_of_rows_are_refused_and_spoil_nothing(void **state)
{
    struct subject *t = subject_of(state);
    const struct entity_desc *desc = catalogue_entity(ENTITY_CUSTOMER);
    struct record_id id = some_record_id(1, 0);
    begin(t);
    put_dossier(t, 1);
    insert_row(t, ENTITY_CUSTOMER, id, 1);
    struct row row = some_row(&t->a, ENTITY_CUSTOMER, id, 2);
    is(t->s->ops->row_insert(t->s, &row), ERR_EXISTS);
    row.id = some_record_id(2, 0);
    is(t->s->ops->row_insert(t->s, &row), ERR_NOT_FOUND);
    is(t->s->ops->row_put(t->s, &row), ERR_NOT_FOUND);
    row.id = id;
    size_t text = catalogue_field_index(desc, some_field(ENTITY_CUSTOMER, false, VALUE_TEXT));
    row.values[text] = value_int(5);
    is(t->s->ops->row_put(t->s, &row), ERR_INVALID);
    row = some_row(&t->a, ENTITY_CUSTOMER, id, 2);
    row.entity = (enum entity)5; /* a number without an entity */
    is(t->s->ops->row_put(t->s, &row), ERR_INVALID);
    commit(t);
    assert_row(t, ENTITY_CUSTOMER, id, 1);
}

struct rows {
    struct record_id ids[64];
    size_t count;
    struct subject *t;
    bool check_content; /* seeds are 100 n + k */
};

static enum err note_row(void *ctx, const struct row *row)
{
    struct rows *all = ctx;
    assert_true(all->count < ARRAY_LEN(all->ids));
    all->ids[all->count++] = row->id;
    return ERR_OK;
}

static size_t find(struct subject *t, const struct store_query *query, size_t limit, struct rows *out)
{
    *out = (struct rows){ .t = t };
    ok(t->s->ops->row_find(t->s, query, limit, note_row, out));
    return out->count;
}

/* Four dossiers with five contact points each, by seed 10 n + k; the one with k 4 is deleted. */
static void put_contact_points(struct subject *t)
{
    begin(t);
    for (uint32_t n = 0; n < 4; n++) {
        put_dossier(t, n);
        for (uint32_t k = 5; k-- > 0;) {
            struct row row = some_row(&t->a, ENTITY_CONTACT_POINT, some_record_id(n, k), 10 * n + k);
            row.is_deleted = k == 4;
            ok(t->s->ops->row_insert(t->s, &row));
        }
    }
    commit(t);
}

static void find_orders_by_record_within_a_dossier_and_skips_the_deleted(void **state)
{
    struct subject *t = subject_of(state);
    struct rows rows;
    put_contact_points(t);
    struct store_query query = { .entity = ENTITY_CONTACT_POINT };
    assert_int_equal(find(t, &query, 0, &rows), 16);
    for (size_t i = 1; i < rows.count; i++) {
        struct dossier_id before = record_dossier(rows.ids[i - 1]);
        bool is_same = dossier_id_compare(before, record_dossier(rows.ids[i])) == 0;
        assert_true(i % 4 == 0 ? !is_same : is_same && record_id_compare(rows.ids[i - 1], rows.ids[i]) < 0);
    }
    assert_int_equal(find(t, &query, 5, &rows), 5);
    query.with_deleted = true;
    assert_int_equal(find(t, &query, 0, &rows), 20);
    struct dossier_id dossier = some_dossier_id(2);
    query.dossier = &dossier;
    assert_int_equal(find(t, &query, 0, &rows), 5);
    assert_int_equal(record_id_compare(rows.ids[0], some_record_id(2, 0)), 0);
    dossier = some_dossier_id(9);
    assert_int_equal(find(t, &query, 0, &rows), 0);
    query.entity = ENTITY_ADDRESS;
    query.dossier = NULL;
    assert_int_equal(find(t, &query, 0, &rows), 0);
}

static enum err compare_row(void *ctx, const struct row *row)
{
    struct rows *all = ctx;
    struct row want = some_row(&all->t->a, ENTITY_CONTACT_POINT, row->id, 10 * 1 + (uint32_t)all->count);
    assert_true(row_equal(row, &want));
    all->count++;
    return ERR_OK;
}

static void find_hands_out_whole_rows(void **state)
{
    struct subject *t = subject_of(state);
    struct dossier_id dossier = some_dossier_id(1);
    struct store_query query = { .entity = ENTITY_CONTACT_POINT, .dossier = &dossier };
    struct rows rows = { .t = t };
    begin(t);
    put_dossier(t, 1);
    for (uint32_t k = 0; k < 3; k++) {
        struct record_id id = some_record_id(1, 0);
        id.b[RECORD_ID_BYTES - 1] = (uint8_t)k;
        insert_row(t, ENTITY_CONTACT_POINT, id, 10 + k);
    }
    commit(t);
    ok(t->s->ops->row_find(t->s, &query, 0, compare_row, &rows));
    assert_int_equal(rows.count, 3);
}

static void assert_find_by(struct subject *t, const struct field *f)
{
    struct rows rows;
    assert_non_null(f);
    size_t at = catalogue_field_index(catalogue_entity(ENTITY_CONTACT_POINT), f);
    struct row row;
    struct record_id id = some_record_id(3, 2);
    ok(t->s->ops->row_get(t->s, ENTITY_CONTACT_POINT, id, &t->a, &row));
    struct store_query query = { .entity = ENTITY_CONTACT_POINT, .field = f, .value = row.values[at] };
    assert_int_equal(find(t, &query, 0, &rows), 1);
    assert_int_equal(record_id_compare(rows.ids[0], id), 0);
    struct dossier_id dossier = some_dossier_id(3);
    query.dossier = &dossier;
    assert_int_equal(find(t, &query, 0, &rows), 1);
    dossier = some_dossier_id(1);
    assert_int_equal(find(t, &query, 0, &rows), 0);

    /* Two rows move to one value, one loses it; nothing is found by the value that is gone. */
    query.dossier = NULL;
    struct value old = row.values[at];
    row.values[at] = (struct value){ .type = old.type, .i = 123456789, .s = bytes_str("NEW VALUE OF IT") };
    begin(t);
    ok(t->s->ops->row_put(t->s, &row));
    row.id = some_record_id(0, 1);
    ok(t->s->ops->row_put(t->s, &row));
    commit(t);
    assert_int_equal(find(t, &query, 0, &rows), 0);
    query.value = row.values[at];
    assert_int_equal(find(t, &query, 0, &rows), 2);
    query.value = VALUE_NONE;
    assert_int_equal(find(t, &query, 0, &rows), 0);
    row.values[at] = VALUE_NONE;
    begin(t);
    ok(t->s->ops->row_put(t->s, &row));
    commit(t);
    assert_int_equal(find(t, &query, 0, &rows), 1);
    assert_int_equal(record_id_compare(rows.ids[0], row.id), 0);
}

static const struct field *any_indexed(enum entity entity)
{
    const struct field *f = some_field(entity, true, VALUE_TEXT);
    return f != NULL ? f : some_field(entity, true, VALUE_SET);
}

static void find_by_an_indexed_field(void **state)
{
    struct subject *t = subject_of(state);
    put_contact_points(t);
    assert_find_by(t, any_indexed(ENTITY_CONTACT_POINT));
}

static void find_by_a_field_without_index(void **state)
{
    struct subject *t = subject_of(state);
    put_contact_points(t);
    assert_find_by(t, some_field(ENTITY_CONTACT_POINT, false, VALUE_INT));
}

static void find_refuses_what_cannot_be_asked(void **state)
{
    struct subject *t = subject_of(state);
    struct rows rows = { .t = t };
    const struct field *text = some_field(ENTITY_CUSTOMER, false, VALUE_TEXT);
    struct store_query wrong[] = {
        { .entity = ENTITY_NONE },
        { .entity = ENTITY_ADDRESS, .field = text, .value = value_text(bytes_str("x")) },
        { .entity = ENTITY_CUSTOMER, .field = text, .value = value_int(3) },
        { .entity = ENTITY_CONTACT_POINT, .field = &catalogue_entity(ENTITY_CONTACT_POINT)->fields[0] },
    };
    assert_false(field_is_stored(wrong[3].field));
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        is(t->s->ops->row_find(t->s, &wrong[i], 0, note_row, &rows), ERR_INVALID);
    }
}

static enum err find_inside(void *ctx, const struct row *row)
{
    struct rows *all = ctx;
    struct rows inner;
    struct row same;
    struct store_query query = { .entity = ENTITY_CONTACT_POINT };
    assert_int_equal(find(all->t, &query, 0, &inner), 16);
    ok(all->t->s->ops->row_get(all->t->s, row->entity, row->id, &all->t->a, &same));
    assert_true(row_equal(row, &same));
    return note_row(ctx, row);
}

static void s4_a_visitor_of_rows_may_find_rows(void **state)
{
    struct subject *t = subject_of(state);
    put_contact_points(t);
    struct rows rows = { .t = t };
    struct store_query query = { .entity = ENTITY_CONTACT_POINT };
    ok(t->s->ops->row_find(t->s, &query, 0, find_inside, &rows));
    assert_int_equal(rows.count, 16);
}

static void count_counts_live_rows(void **state)
{
    struct subject *t = subject_of(state);
    put_contact_points(t);
    uint64_t count = 99;
    ok(t->s->ops->row_count(t->s, ENTITY_CONTACT_POINT, &count));
    assert_int_equal(count, 16);
    ok(t->s->ops->row_count(t->s, ENTITY_VEHICLE, &count));
    assert_int_equal(count, 0);
    /* A count asked for inside a transaction is worth nothing after it was taken back. */
    for (unsigned i = 0; i < 2; i++) {
        begin(t);
        struct row row = some_row(&t->a, ENTITY_CONTACT_POINT, some_record_id(0, 20), 7);
        ok(t->s->ops->row_insert(t->s, &row));
        ok(t->s->ops->row_count(t->s, ENTITY_CONTACT_POINT, &count));
        assert_int_equal(count, 17);
        if (i == 0) {
            t->s->ops->rollback(t->s);
        } else {
            commit(t);
        }
        ok(t->s->ops->row_count(t->s, ENTITY_CONTACT_POINT, &count));
        assert_int_equal(count, 16 + i);
    }
}

static const struct suite_test tests[] = {
    SUITE_TEST(s4_a_visitor_of_rows_may_find_rows),
    SUITE_TEST(every_entity_keeps_every_stored_field),
    SUITE_TEST(fields_that_are_not_stored_read_as_null),
    SUITE_TEST(wrong_writes_of_rows_are_refused_and_spoil_nothing),
    SUITE_TEST(find_orders_by_record_within_a_dossier_and_skips_the_deleted),
    SUITE_TEST(find_hands_out_whole_rows),
    SUITE_TEST(find_by_an_indexed_field),
    SUITE_TEST(find_by_a_field_without_index),
    SUITE_TEST(find_refuses_what_cannot_be_asked),
    SUITE_TEST(count_counts_live_rows),
};

int main(void)
{
    return suite_run(tests, ARRAY_LEN(tests));
}
