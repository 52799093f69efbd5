/*
 * The two stores agree: one random history of operations, valid and invalid, transactions rolled back and reopened in
 * between, gives the same answers and the same content in memory and in SQLite. The seed is printed on failure; the
 * first argument of the program runs one seed.
 */
#include "tests/lib/store_suite.h"

#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 1500, SEEDS = 6, DOSSIERS = 12, RECORDS = 4, KEYS = 30 };

struct pair {
    struct subject *a;
    struct subject *b;
    uint64_t random;
    bool is_open;
};

static uint32_t draw(struct pair *p, uint32_t below)
{
    p->random ^= p->random << 13;
    p->random ^= p->random >> 7;
    p->random ^= p->random << 17;
    return (uint32_t)(p->random >> 32) % below;
}

/* ---- content as one text of bytes ---- */

static void dump_value(struct buf *b, const struct value *v)
{
    buf_put_u8(b, (uint8_t)v->type);
    if (v->type == VALUE_INT) {
        buf_put_zigzag(b, v->i);
    } else if (v->type != VALUE_NULL) {
        buf_put_blob(b, v->s);
    }
}

static enum err dump_pair(void *ctx, struct bytes key, struct bytes value)
{
    buf_put_blob(ctx, key);
    buf_put_blob(ctx, value);
    return ERR_OK;
}

static enum err dump_dot(void *ctx, struct dot dot)
{
    uint8_t key[DOT_KEY_BYTES];
    dot_key(dot, key);
    buf_put(ctx, key, sizeof(key));
    return ERR_OK;
}

struct dump {
    struct store *s;
    struct buf *b;
};

static enum err dump_row(void *ctx, const struct row *row)
{
    struct buf *b = ctx;
    buf_put(b, row->id.b, sizeof(row->id.b));
    buf_put_u8(b, row->is_deleted);
    buf_put_blob(b, row->versions);
    buf_put_blob(b, row->extra);
    for (size_t i = 0; i < catalogue_entity(row->entity)->field_count; i++) {
        dump_value(b, &row->values[i]);
    }
    return ERR_OK;
}

/* Dossier by dossier, so that the order across dossiers, which is the store's own, does not matter. */
static enum err dump_dossier(void *ctx, const struct dossier *d)
{
    struct dump *dump = ctx;
    struct buf *b = dump->b;
    buf_put(b, d->id.b, sizeof(d->id.b));
    buf_put_u32be(b, (uint32_t)d->kind);
    buf_put_u32be(b, d->station);
    buf_put_u32be(b, d->owner);
    buf_put_u32be(b, d->flags);
    buf_put(b, d->secret, sizeof(d->secret));
    buf_put_blob(b, d->seen);
    ok(dump->s->ops->touch_scan(dump->s, d->id, dump_dot, b));
    static const enum entity entities[] = { ENTITY_CUSTOMER, ENTITY_CONTACT_POINT };
    for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
        struct store_query query = { .entity = entities[i], .dossier = &d->id, .with_deleted = true };
        ok(dump->s->ops->row_find(dump->s, &query, 0, dump_row, b));
    }
    return ERR_OK;
}

static void dump_all(struct store *s, struct buf *b)
{
    struct dump dump = { .s = s, .b = b };
    const struct bytes all = { 0 };
    for (enum store_space space = 0; space < SPACE_COUNT; space++) {
        buf_put_u8(b, (uint8_t)space);
        ok(s->ops->scan(s, space, all, all, (unsigned)space % 2 == 1, dump_pair, b));
    }
    ok(s->ops->dossier_scan(s, NULL, dump_dossier, &dump));
    uint64_t count = 0;
    ok(s->ops->row_count(s, ENTITY_CONTACT_POINT, &count));
    buf_put_u64be(b, count);
    assert_int_equal(b->err, ERR_OK);
}

static void assert_same_content(struct pair *p)
{
    struct mem mem = subject_mem(64U << 20);
    struct buf a;
    struct buf b;
    buf_init(&a, &mem, 16U << 20);
    buf_init(&b, &mem, 16U << 20);
    dump_all(p->a->s, &a);
    dump_all(p->b->s, &b);
    assert_true(bytes_equal(buf_view(&a), buf_view(&b)));
    buf_release(&a);
    buf_release(&b);
}

/* ---- one random step ---- */

static void step_transaction(struct pair *p)
{
    struct subject *const both[] = { p->a, p->b };
    uint32_t how = draw(p, 10);
    for (size_t i = 0; i < 2; i++) {
        struct store *s = both[i]->s;
        if (!p->is_open) {
            ok(s->ops->begin(s));
        } else if (how < 7) {
            ok(s->ops->commit(s, how % 2 == 0));
        } else if (how < 9) {
            s->ops->rollback(s);
        } else {
            subject_reopen(both[i]);
        }
    }
    p->is_open = !p->is_open;
    if (!p->is_open) {
        assert_same_content(p);
    }
}

static void step_map(struct pair *p)
{
    uint8_t key_bytes[80];
    memset(key_bytes, (int)draw(p, KEYS), sizeof(key_bytes));
    struct bytes key = bytes_of(key_bytes, draw(p, 8) == 0 ? 63 + draw(p, 3) : draw(p, 4));
    struct bytes value = bytes_of(key_bytes, draw(p, 80));
    enum store_space space = (enum store_space)draw(p, SPACE_COUNT);
    if (space == SPACE_LOG) {
        dot_key((struct dot){ draw(p, 3), draw(p, 2), (uint64_t)draw(p, 4) << draw(p, 64) }, key_bytes);
        key.len = DOT_KEY_BYTES;
    }
    if (draw(p, 3) == 0) {
        ok(p->a->s->ops->del(p->a->s, space, key));
        ok(p->b->s->ops->del(p->b->s, space, key));
    } else {
        enum err e = p->a->s->ops->put(p->a->s, space, key, value);
        is(p->b->s->ops->put(p->b->s, space, key, value), e);
    }
}

static void step_dossier(struct pair *p)
{
    struct dossier d = some_dossier(draw(p, 2) == 0 ? draw(p, 3) : draw(p, DOSSIERS));
    d.owner = draw(p, UINT32_MAX);
    d.flags = draw(p, 2);
    ok(p->a->s->ops->dossier_put(p->a->s, &d));
    ok(p->b->s->ops->dossier_put(p->b->s, &d));
    struct dot dot = { draw(p, 3), draw(p, 3), (uint64_t)draw(p, 3) << draw(p, 64) };
    struct dossier_id id = some_dossier_id(draw(p, DOSSIERS));
    enum err e = p->a->s->ops->touch_add(p->a->s, id, dot);
    is(p->b->s->ops->touch_add(p->b->s, id, dot), e);
    dot.seq++;
    e = p->a->s->ops->dossier_touched(p->a->s, &d, dot);
    is(p->b->s->ops->dossier_touched(p->b->s, &d, dot), e);
}

static void step_row(struct pair *p)
{
    struct record_id id = some_record_id(draw(p, 2) == 0 ? draw(p, 3) : draw(p, DOSSIERS), draw(p, RECORDS));
    enum entity entity = draw(p, 2) == 0 ? ENTITY_CUSTOMER : ENTITY_CONTACT_POINT;
    const struct entity_desc *d = catalogue_entity(entity);
    struct row row = some_row(&p->a->a, entity, id, draw(p, 40));
    row.is_deleted = draw(p, 5) == 0;
    row.values[draw(p, (uint32_t)d->field_count)] = draw(p, 4) == 0 ? value_int(7) : VALUE_NONE;
    bool is_insert = draw(p, 2) == 0;
    const struct store_ops *x = p->a->s->ops;
    const struct store_ops *y = p->b->s->ops;
    enum err e = is_insert ? x->row_insert(p->a->s, &row) : x->row_put(p->a->s, &row);
    is(is_insert ? y->row_insert(p->b->s, &row) : y->row_put(p->b->s, &row), e);
}

static enum err note_found(void *ctx, const struct row *row)
{
    uint8_t *mark = ctx; /* a sum: order across dossiers is the store's own */
    for (size_t i = 0; i < sizeof(row->id.b); i++) {
        mark[i] = (uint8_t)(mark[i] + row->id.b[i]);
    }
    mark[RECORD_ID_BYTES]++;
    return ERR_OK;
}

static void step_find(struct pair *p)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_CONTACT_POINT);
    const struct field *f = &d->fields[draw(p, (uint32_t)d->field_count)];
    struct row like = some_row(&p->a->a, ENTITY_CONTACT_POINT, some_record_id(0, 0), draw(p, 40));
    struct value value = draw(p, 6) == 0 ? VALUE_NONE : like.values[catalogue_field_index(d, f)];
    struct dossier_id dossier = some_dossier_id(draw(p, DOSSIERS));
    struct store_query query = { .entity = ENTITY_CONTACT_POINT,
        .field = f,
        .value = value,
        .dossier = draw(p, 3) == 0 ? &dossier : NULL,
        .with_deleted = draw(p, 2) == 0 };
    uint8_t x[RECORD_ID_BYTES + 1] = { 0 };
    uint8_t y[RECORD_ID_BYTES + 1] = { 0 };
    enum err e = p->a->s->ops->row_find(p->a->s, &query, 0, note_found, x);
    is(p->b->s->ops->row_find(p->b->s, &query, 0, note_found, y), e);
    assert_memory_equal(x, y, sizeof(x));
}

/* The same few again and again, between writes, rollbacks and reopenings: what a store remembers of its last answer
 * must never be an old one. */
static void step_get(struct pair *p)
{
    struct record_id id = some_record_id(draw(p, 3), draw(p, 2));
    struct dossier_id dossier = record_dossier(id);
    struct dossier d[2];
    struct row row[2];
    const struct store_ops *x = p->a->s->ops;
    const struct store_ops *y = p->b->s->ops;
    enum err e = x->dossier_get(p->a->s, dossier, &p->a->a, &d[0]);
    is(y->dossier_get(p->b->s, dossier, &p->a->a, &d[1]), e);
    assert_true(e != ERR_OK || dossier_equal(&d[0], &d[1]));
    e = x->row_get(p->a->s, ENTITY_CUSTOMER, id, &p->a->a, &row[0]);
    is(y->row_get(p->b->s, ENTITY_CUSTOMER, id, &p->a->a, &row[1]), e);
    assert_true(e != ERR_OK || row_equal(&row[0], &row[1]));
}

static void step(struct pair *p)
{
    uint32_t what = draw(p, 100);
    for (uint32_t i = draw(p, 3); i > 0; i--) {
        step_get(p);
    }
    if (what < 8) {
        step_transaction(p);
    } else if (what < 20) {
        step_find(p);
    } else if (!p->is_open) {
        return;
    } else if (what < 45) {
        step_map(p);
    } else if (what < 60) {
        step_dossier(p);
    } else if (what < 62) {
        struct dossier_id id = some_dossier_id(draw(p, DOSSIERS));
        is(p->a->s->ops->dossier_del(p->a->s, id), p->b->s->ops->dossier_del(p->b->s, id));
    } else if (what < 99) {
        step_row(p);
    } else if (draw(p, 4) == 0) {
        ok(p->a->s->ops->clear_derived(p->a->s));
        ok(p->b->s->ops->clear_derived(p->b->s));
    }
}

static uint64_t first_seed = 1;
static uint64_t seed_count = SEEDS;

static void both_stores_give_the_same_answers(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        struct pair p = { .a = subject_new(SUBJECT_MEM),
            .b = subject_new(SUBJECT_SQLITE),
            .random = seed * UINT64_C(0x9e3779b97f4a7c15) };
        for (size_t i = 0; i < STEPS; i++) {
            step(&p);
            arena_reset(&p.a->a);
        }
        subject_free(p.a);
        subject_free(p.b);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(both_stores_give_the_same_answers) };
    return cmocka_run_group_tests_name("prop_store", tests, NULL, NULL);
}
