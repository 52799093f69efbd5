/*
 * The index of sorted runs against a plain sorted array: any mixture of transactions, rollbacks, clears and reopened
 * connections finds and scans the same entries.
 */
#include "node/store_index.h"
#include "tests/lib/store_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ENTRIES_MAX = 60000, ROUNDS = 120, KINDS = 3 };

struct entry {
    uint8_t key[STORE_INDEX_KEY_BYTES];
    uint32_t place;
};

struct model {
    struct entry *at[KINDS];
    size_t count[KINDS];
};

struct bench {
    char path[64];
    sqlite3 *db;
    struct store_index *ix;
    struct model model;
    uint64_t seed;
};

static uint32_t draw(struct bench *b, uint32_t below)
{
    b->seed = b->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(b->seed >> 33) % below;
}

static void run(struct bench *b, const char *text)
{
    assert_int_equal(sqlite3_exec(b->db, text, NULL, NULL, NULL), SQLITE_OK);
}

static sqlite3 *connect(const char *path)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void open_index(struct bench *b)
{
    b->db = connect(b->path);
    run(b, "BEGIN");
    ok(store_index_make(b->db));
    run(b, "COMMIT");
    b->ix = store_index_new(b->db);
    assert_non_null(b->ix);
}

static void close_index(struct bench *b)
{
    store_index_free(b->ix);
    assert_int_equal(sqlite3_close(b->db), SQLITE_OK);
}

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    (void)snprintf(b->path, sizeof(b->path), "/tmp/jipan_index_XXXXXX");
    int fd = mkstemp(b->path);
    assert_true(fd >= 0);
    (void)close(fd);
    for (size_t k = 0; k < KINDS; k++) {
        b->model.at[k] = calloc(ENTRIES_MAX, sizeof(struct entry));
        assert_non_null(b->model.at[k]);
    }
    b->seed = 7;
    open_index(b);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    char wal[80];
    close_index(b);
    for (size_t k = 0; k < KINDS; k++) {
        free(b->model.at[k]);
    }
    (void)unlink(b->path);
    (void)snprintf(wal, sizeof(wal), "%s-wal", b->path);
    (void)unlink(wal);
    (void)snprintf(wal, sizeof(wal), "%s-shm", b->path);
    (void)unlink(wal);
    free(b);
    return 0;
}

static int by_entry(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    int c = memcmp(x->key, y->key, sizeof(x->key));
    return c != 0 ? c : (x->place > y->place) - (x->place < y->place);
}

/* Few different keys at the front, so that runs hold long stretches of one key. */
static struct entry some_entry(struct bench *b)
{
    struct entry e = { .place = draw(b, 400) };
    size_t alike = draw(b, STORE_INDEX_KEY_BYTES + 1);
    memset(e.key, (int)draw(b, 3) * 127, alike);
    for (size_t i = alike; i < sizeof(e.key); i++) {
        e.key[i] = (uint8_t)draw(b, 256);
    }
    return e;
}

static enum store_index_kind kind_of(size_t k)
{
    return (enum store_index_kind)(k + STORE_INDEX_DOSSIER);
}

static void add_some(struct bench *b, size_t k, size_t count, bool is_kept)
{
    for (size_t i = 0; i < count; i++) {
        struct entry e = some_entry(b);
        ok(store_index_add(b->ix, kind_of(k), e.key, e.place));
        if (is_kept && b->model.count[k] < ENTRIES_MAX) {
            b->model.at[k][b->model.count[k]++] = e;
        }
    }
}

static void settle(struct model *m)
{
    for (size_t k = 0; k < KINDS; k++) {
        size_t kept = 0;
        qsort(m->at[k], m->count[k], sizeof(struct entry), by_entry);
        for (size_t i = 0; i < m->count[k]; i++) {
            if (i == 0 || by_entry(&m->at[k][i], &m->at[k][kept - 1]) != 0) {
                m->at[k][kept++] = m->at[k][i];
            }
        }
        m->count[k] = kept;
    }
}

struct walk {
    const struct model *m;
    size_t k;
    size_t next;
};

static enum err compare_next(void *ctx, const uint8_t key[STORE_INDEX_KEY_BYTES], uint32_t place)
{
    struct walk *w = ctx;
    assert_true(w->next < w->m->count[w->k]);
    const struct entry *want = &w->m->at[w->k][w->next++];
    assert_memory_equal(key, want->key, STORE_INDEX_KEY_BYTES);
    assert_int_equal(place, want->place);
    return ERR_OK;
}

static void assert_finds(struct store_index *ix, const struct model *m, size_t k, const uint8_t *key)
{
    struct store_index_places places = { 0 };
    size_t n = 0;
    ok(store_index_find(ix, kind_of(k), key, &places));
    for (size_t i = 0; i < m->count[k]; i++) {
        if (memcmp(m->at[k][i].key, key, STORE_INDEX_KEY_BYTES) == 0) {
            assert_true(n < places.count);
            assert_int_equal(places.at[n++], m->at[k][i].place);
        }
    }
    assert_int_equal(n, places.count);
    store_index_places_release(&places);
}

static void assert_same(struct bench *b, struct store_index *ix)
{
    for (size_t k = 0; k < KINDS; k++) {
        struct walk w = { .m = &b->model, .k = k };
        size_t count = b->model.count[k];
        ok(store_index_scan(ix, kind_of(k), NULL, compare_next, &w));
        assert_int_equal(w.next, count);
        if (count > 0) {
            const struct entry *from = &b->model.at[k][draw(b, (uint32_t)count)];
            struct walk part = { .m = &b->model, .k = k };
            while (part.next < count && memcmp(b->model.at[k][part.next].key, from->key, sizeof(from->key)) <= 0) {
                part.next++;
            }
            ok(store_index_scan(ix, kind_of(k), from->key, compare_next, &part));
            assert_int_equal(part.next, count);
            assert_finds(ix, &b->model, k, from->key);
        }
        assert_finds(ix, &b->model, k, some_entry(b).key);
    }
}

static void begin_index(struct bench *b)
{
    run(b, "BEGIN IMMEDIATE");
    store_index_begin(b->ix);
}

static void end_index(struct bench *b, bool is_kept)
{
    if (is_kept) {
        ok(store_index_flush(b->ix));
    }
    run(b, is_kept ? "COMMIT" : "ROLLBACK");
    store_index_end(b->ix, is_kept);
}

static void one_round(struct bench *b, unsigned round)
{
    bool is_kept = draw(b, 5) != 0;
    size_t clears = draw(b, 12) == 0 && is_kept ? draw(b, KINDS) : KINDS;
    begin_index(b);
    for (size_t k = 0; k < KINDS; k++) {
        size_t most = (size_t[]){ 3, 40, 400, 3000 }[draw(b, 4)];
        if (k == clears) {
            ok(store_index_clear(b->ix, kind_of(k)));
            b->model.count[k] = 0;
        }
        add_some(b, k, draw(b, (uint32_t)most), is_kept);
    }
    if (is_kept && round % 4 == 0) {
        settle(&b->model);
        assert_same(b, b->ix); /* what is not written yet is found too */
    }
    if (draw(b, 3) == 0) {
        ok(store_index_flush(b->ix)); /* what a very long transaction does */
    }
    end_index(b, is_kept);
    settle(&b->model);
}

static void any_history_finds_what_a_sorted_array_finds(void **state)
{
    struct bench *b = *state;
    sqlite3 *other_db = connect(b->path);
    struct store_index *other = store_index_new(other_db);
    assert_non_null(other);
    for (unsigned round = 0; round < ROUNDS; round++) {
        one_round(b, round);
        if (round % 3 == 0) {
            assert_same(b, b->ix);
        }
        if (round % 7 == 0) {
            assert_same(b, other); /* a connection that did not write */
        }
        if (draw(b, 15) == 0) {
            close_index(b);
            open_index(b);
        }
    }
    assert_same(b, b->ix);
    store_index_free(other);
    assert_int_equal(sqlite3_close(other_db), SQLITE_OK);
}

static void more_than_fits_in_memory_is_written_under_way(void **state)
{
    struct bench *b = *state;
    begin_index(b);
    add_some(b, 1, 40000, true);
    settle(&b->model);
    assert_same(b, b->ix);
    end_index(b, true);
    assert_same(b, b->ix);
    begin_index(b);
    add_some(b, 1, 40000, false);
    end_index(b, false);
    assert_same(b, b->ix);
}

static int64_t asked(struct bench *b, const char *text)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(b->db, text, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return v;
}

static void runs_stay_few_and_no_chunk_is_left_behind(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 300; i++) {
        begin_index(b);
        add_some(b, 2, draw(b, 600), true);
        end_index(b, true);
    }
    assert_true(asked(b, "SELECT count(*) FROM index_run") <= 40);
    assert_int_equal(asked(b, "SELECT count(*) FROM index_chunk WHERE id >> 24 NOT IN (SELECT id FROM index_run)"), 0);
    begin_index(b);
    ok(store_index_clear(b->ix, STORE_INDEX_FIELD));
    end_index(b, true);
    assert_int_equal(asked(b, "SELECT count(*) FROM index_chunk"), 0);
}

static void equal_entries_melt_when_runs_are_merged(void **state)
{
    struct bench *b = *state;
    const uint8_t key[STORE_INDEX_KEY_BYTES] = { 1, 2, 3 };
    for (unsigned i = 0; i < 4; i++) {
        begin_index(b);
        ok(store_index_add(b->ix, STORE_INDEX_FIELD, key, 9));
        ok(store_index_add(b->ix, STORE_INDEX_FIELD, key, 9));
        end_index(b, true);
    }
    assert_int_equal(asked(b, "SELECT sum(count) FROM index_run"), 1);
}

/* SQLite ended the transaction on its own: what was added in it is not found. */
static void a_transaction_lost_below_leaves_nothing(void **state)
{
    struct bench *b = *state;
    begin_index(b);
    add_some(b, 0, 500, true);
    settle(&b->model);
    end_index(b, true);
    begin_index(b);
    add_some(b, 0, 2000, false);
    ok(store_index_flush(b->ix));
    add_some(b, 0, 10, false);
    run(b, "ROLLBACK");
    assert_same(b, b->ix);
    store_index_end(b->ix, false);
    assert_same(b, b->ix);
}

static void damaged_lines_are_told(void **state)
{
    static const char *const changes[] = {
        "UPDATE index_run SET count = count + 1000 WHERE id = (SELECT max(id) FROM index_run)",
        "UPDATE index_run SET kind = 9 WHERE id = (SELECT max(id) FROM index_run)",
        "UPDATE index_run SET body = x'00' WHERE id = 0",
        "DELETE FROM index_chunk",
    };
    struct bench *b = *state;
    begin_index(b);
    add_some(b, 1, 2000, true);
    end_index(b, true);
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        uint8_t key[STORE_INDEX_KEY_BYTES] = { 127 };
        struct store_index_places places = { 0 };
        run(b, "SAVEPOINT before");
        run(b, changes[i]);
        struct store_index *ix = store_index_new(b->db);
        is(store_index_find(ix, STORE_INDEX_MARK, key, &places), ERR_DAMAGED);
        store_index_places_release(&places);
        store_index_free(ix);
        run(b, "ROLLBACK TO before; RELEASE before");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_history_finds_what_a_sorted_array_finds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_than_fits_in_memory_is_written_under_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(runs_stay_few_and_no_chunk_is_left_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_entries_melt_when_runs_are_merged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_transaction_lost_below_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_lines_are_told, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("store_index", tests, NULL, NULL);
}
