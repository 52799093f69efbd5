#ifndef JIPAN_TESTS_STORE_SUITE_H
#define JIPAN_TESTS_STORE_SUITE_H

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>

#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/store_subject.h"

/* Steps the store tests share. Each step fails the test when the store does not answer as named. */

struct suite_test {
    const char *name;
    CMUnitTestFunction run;
};

#define SUITE_TEST(f)        \
    {                        \
        .name = #f, .run = f \
    }

/* Runs every test on every kind of store, a fresh one each; the exit code of main. */
int suite_run(const struct suite_test *tests, size_t count);

static inline struct subject *subject_of(void **state)
{
    return *state;
}

static inline void ok(enum err e)
{
    assert_string_equal(err_name(e), "OK");
}

static inline void is(enum err e, enum err want)
{
    assert_string_equal(err_name(e), err_name(want));
}

static inline void begin(struct subject *t)
{
    ok(t->s->ops->begin(t->s));
}

static inline void commit(struct subject *t)
{
    ok(t->s->ops->commit(t->s, true));
}

/* Keys of the log have 16 bytes (S10): a text becomes one with zeros behind it. */
static inline struct bytes key_in(enum store_space space, const char *key, uint8_t room[STORE_LOG_KEY_BYTES])
{
    size_t len = strlen(key);
    if (space != SPACE_LOG || len >= STORE_LOG_KEY_BYTES) {
        return bytes_str(key);
    }
    memset(room, 0, STORE_LOG_KEY_BYTES);
    memcpy(room, key, len);
    return bytes_of(room, STORE_LOG_KEY_BYTES);
}

static inline void put(struct subject *t, enum store_space space, const char *key, const char *value)
{
    uint8_t room[STORE_LOG_KEY_BYTES];
    ok(t->s->ops->put(t->s, space, key_in(space, key, room), bytes_str(value)));
}

/* The value as text in the subject's arena; NULL when there is none. */
static inline const char *got(struct subject *t, struct store *s, enum store_space space, const char *key)
{
    struct bytes out;
    uint8_t room[STORE_LOG_KEY_BYTES];
    enum err e = s->ops->get(s, space, key_in(space, key, room), &t->a, &out);
    if (e == ERR_NOT_FOUND) {
        return NULL;
    }
    ok(e);
    return arena_cstr(&t->a, out);
}

static inline void put_dossier(struct subject *t, uint32_t n)
{
    struct dossier d = some_dossier(n);
    ok(t->s->ops->dossier_put(t->s, &d));
}

static inline void insert_row(struct subject *t, enum entity entity, struct record_id id, uint32_t seed)
{
    struct row row = some_row(&t->a, entity, id, seed);
    ok(t->s->ops->row_insert(t->s, &row));
}

static inline void assert_row(struct subject *t, enum entity entity, struct record_id id, uint32_t seed)
{
    struct row want = some_row(&t->a, entity, id, seed);
    struct row found;
    ok(t->s->ops->row_get(t->s, entity, id, &t->a, &found));
    assert_true(row_equal(&found, &want));
}

#endif
