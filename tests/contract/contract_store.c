/*
 * The clauses S1 to S10 of sync/store.h, the byte maps, dossiers and touches, on each implementation. Rows are in
 * contract_store_rows.c. The name of a test of a clause starts with its number.
 */
#include "tests/lib/store_suite.h"

#include <stdlib.h>

/* One of everything that can be written; part of every transaction test. */
static void write_one_of_each(struct subject *t)
{
    struct dot dot = { 1, 2, 3 };
    put(t, SPACE_META, "k", "v");
    put_dossier(t, 1);
    ok(t->s->ops->touch_add(t->s, some_dossier_id(1), dot));
    insert_row(t, ENTITY_CUSTOMER, some_record_id(1, 0), 9);
}

static enum err count_dot(void *ctx, struct dot dot)
{
    (void)dot;
    ++*(size_t *)ctx;
    return ERR_OK;
}

static void assert_one_of_each(struct subject *t, struct store *s, bool is_there)
{
    enum err want = is_there ? ERR_OK : ERR_NOT_FOUND;
    struct bytes value;
    struct dossier d;
    struct row row;
    size_t dots = 0;
    is(s->ops->get(s, SPACE_META, bytes_str("k"), &t->a, &value), want);
    is(s->ops->dossier_get(s, some_dossier_id(1), &t->a, &d), want);
    is(s->ops->touch_scan(s, some_dossier_id(1), count_dot, &dots), want);
    assert_int_equal(dots, is_there ? 1 : 0);
    is(s->ops->row_get(s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row), want);
}

/* ---- S1, S2, S3, S6: transactions ---- */

static void s1_changes_are_visible_inside_and_to_nothing_else(void **state)
{
    struct subject *t = subject_of(state);
    struct store *other = subject_other(t);
    begin(t);
    write_one_of_each(t);
    assert_one_of_each(t, t->s, true);
    if (other != NULL) {
        assert_one_of_each(t, other, false);
    }
    commit(t);
    assert_one_of_each(t, t->s, true);
    if (other != NULL) {
        assert_one_of_each(t, other, true);
    }
}

static void s2_a_commit_survives_reopening(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    write_one_of_each(t);
    commit(t);
    begin(t);
    put(t, SPACE_META, "quick", "v");
    ok(t->s->ops->commit(t->s, false));
    subject_reopen(t);
    assert_one_of_each(t, t->s, true);
    assert_non_null(got(t, t->s, SPACE_META, "quick"));
}

static void s2_a_rollback_leaves_nothing(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    put(t, SPACE_META, "k2", "old");
    commit(t);
    begin(t);
    write_one_of_each(t);
    put(t, SPACE_META, "k2", "new");
    ok(t->s->ops->del(t->s, SPACE_META, bytes_str("k2")));
    t->s->ops->rollback(t->s);
    assert_one_of_each(t, t->s, false);
    assert_string_equal(got(t, t->s, SPACE_META, "k2"), "old");
    t->s->ops->rollback(t->s); /* without a transaction: nothing happens */
    assert_string_equal(got(t, t->s, SPACE_META, "k2"), "old");
}

static void s2_an_open_transaction_does_not_survive_reopening(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    write_one_of_each(t);
    subject_reopen(t);
    assert_one_of_each(t, t->s, false);
}

/* A store that remembers places of dossiers must forget those of a rolled-back transaction: they are given out again.
 */
static void s2_a_rolled_back_dossier_does_not_lend_its_rows_to_the_next(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    put_dossier(t, 1);
    insert_row(t, ENTITY_CUSTOMER, some_record_id(1, 0), 1);
    t->s->ops->rollback(t->s);
    begin(t);
    put_dossier(t, 2);
    insert_row(t, ENTITY_CUSTOMER, some_record_id(2, 0), 2);
    struct row row = some_row(&t->a, ENTITY_CUSTOMER, some_record_id(1, 0), 1);
    is(t->s->ops->row_put(t->s, &row), ERR_NOT_FOUND);
    commit(t);
    is(t->s->ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row), ERR_NOT_FOUND);
    assert_row(t, ENTITY_CUSTOMER, some_record_id(2, 0), 2);
}

static void s2_s3_a_failed_commit_leaves_nothing_and_poisons_the_store(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    put(t, SPACE_META, "before", "v");
    commit(t);
    begin(t);
    write_one_of_each(t);
    is(subject_commit_on_failing_disk(t), ERR_IO);
    assert_one_of_each(t, t->s, false);
    assert_non_null(got(t, t->s, SPACE_META, "before"));
    is(t->s->ops->begin(t->s), ERR_IO);
    is(t->s->ops->begin(t->s), ERR_IO);
    subject_reopen(t);
    assert_non_null(got(t, t->s, SPACE_META, "before"));
    begin(t);
    t->s->ops->del(t->s, SPACE_META, bytes_str("k"));
    put(t, SPACE_META, "after", "v");
    commit(t);
    assert_non_null(got(t, t->s, SPACE_META, "after"));
}

static void s6_reads_outside_a_transaction_see_the_last_commit(void **state)
{
    struct subject *t = subject_of(state);
    struct store *other = subject_other(t);
    for (unsigned i = 0; i < 3; i++) {
        const char *const values[] = { "one", "two", "three" };
        begin(t);
        put(t, SPACE_META, "k", values[i]);
        commit(t);
        assert_string_equal(got(t, t->s, SPACE_META, "k"), values[i]);
        if (other != NULL) {
            assert_string_equal(got(t, other, SPACE_META, "k"), values[i]);
        }
    }
}

static void write_outside(void *ctx)
{
    struct store *s = ctx;
    (void)s->ops->put(s, SPACE_META, bytes_str("k"), bytes_str("v"));
}

static void begin_again(void *ctx)
{
    struct store *s = ctx;
    (void)s->ops->begin(s);
}

static void misuse_of_transactions_stops_the_process(void **state)
{
    struct subject *t = subject_of(state);
    assert_true(check_stops(write_outside, t->s));
    begin(t);
    assert_true(check_stops(begin_again, t->s));
    assert_false(check_stops(write_outside, t->s)); /* the same write, inside */
    commit(t);
}

/* ---- S4: scans ---- */

struct keys {
    struct subject *t;
    char text[200];
    size_t stop_after;
    size_t visited;
};

static enum err note_key(void *ctx, struct bytes key, struct bytes value)
{
    struct keys *keys = ctx;
    assert_int_equal(value.len, key.len + 1);
    size_t at = strlen(keys->text);
    assert_true(at + key.len + 2 < sizeof(keys->text));
    memcpy(keys->text + at, key.ptr, key.len);
    memcpy(keys->text + at + key.len, " ", 2);
    keys->visited++;
    return keys->visited == keys->stop_after ? ERR_BUSY : ERR_OK;
}

static void assert_scan(struct subject *t, const char *from, const char *to, bool reverse, const char *want)
{
    struct keys keys = { .t = t };
    ok(t->s->ops->scan(t->s, SPACE_AUDIT, bytes_str(from), bytes_str(to), reverse, note_key, &keys));
    assert_string_equal(keys.text, want);
}

static void put_scan_keys(struct subject *t)
{
    static const char *const names[] = { "b", "aa", "\xff\xff", "a", "c", "ab", "B" };
    begin(t);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char value[8] = { 0 };
        memset(value, 'v', strlen(names[i]) + 1);
        put(t, SPACE_AUDIT, names[i], value);
        put(t, SPACE_HEADS, "elsewhere", value);
    }
    commit(t);
}

static void s4_scans_visit_keys_in_byte_order_within_bounds(void **state)
{
    struct subject *t = subject_of(state);
    put_scan_keys(t);
    assert_scan(t, "", "", false, "B a aa ab b c \xff\xff ");
    assert_scan(t, "", "", true, "\xff\xff c b ab aa a B ");
    assert_scan(t, "aa", "", false, "aa ab b c \xff\xff ");
    assert_scan(t, "aa", "c", false, "aa ab b ");
    assert_scan(t, "aa", "c", true, "b ab aa ");
    assert_scan(t, "", "a", false, "B ");
    assert_scan(t, "ac", "b", false, "");
    assert_scan(t, "c", "a", false, "");
}

static void s4_a_visitor_can_stop_a_scan(void **state)
{
    struct subject *t = subject_of(state);
    put_scan_keys(t);
    struct keys keys = { .t = t, .stop_after = 2 };
    is(t->s->ops->scan(t->s, SPACE_AUDIT, bytes_str(""), bytes_str(""), false, note_key, &keys), ERR_BUSY);
    assert_string_equal(keys.text, "B a ");
    assert_scan(t, "", "b", false, "B a aa ab "); /* and the store is as before */
}

static enum err scan_inside(void *ctx, struct bytes key, struct bytes value)
{
    struct keys *keys = ctx;
    struct keys inner = { .t = keys->t };
    struct store *s = keys->t->s;
    ok(s->ops->scan(s, SPACE_AUDIT, key, bytes_str(""), false, note_key, &inner));
    assert_int_equal(inner.visited, 7 - keys->visited);
    assert_string_equal(got(keys->t, s, SPACE_AUDIT, "a"), "vv");
    return note_key(keys, key, value);
}

static void s4_a_visitor_may_read_even_by_the_same_scan(void **state)
{
    struct subject *t = subject_of(state);
    put_scan_keys(t);
    struct keys keys = { .t = t };
    ok(t->s->ops->scan(t->s, SPACE_AUDIT, bytes_str(""), bytes_str(""), false, scan_inside, &keys));
    assert_string_equal(keys.text, "B a aa ab b c \xff\xff ");
}

static enum err write_inside(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    assert_true(check_stops(write_outside, ctx));
    return ERR_OK;
}

static void s4_a_visitor_must_not_write(void **state)
{
    struct subject *t = subject_of(state);
    put_scan_keys(t);
    begin(t);
    ok(t->s->ops->scan(t->s, SPACE_AUDIT, bytes_str(""), bytes_str(""), false, write_inside, t->s));
    t->s->ops->rollback(t->s);
}

/* ---- S5, S7, S8 and the byte maps ---- */

static void s5_returned_bytes_are_copies(void **state)
{
    struct subject *t = subject_of(state);
    struct row row;
    struct dossier d;
    begin(t);
    write_one_of_each(t);
    commit(t);
    const char *before = got(t, t->s, SPACE_META, "k");
    ok(t->s->ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row));
    ok(t->s->ops->dossier_get(t->s, some_dossier_id(1), &t->a, &d));
    begin(t);
    put(t, SPACE_META, "k", "w");
    struct row other = some_row(&t->a, ENTITY_CUSTOMER, some_record_id(1, 0), 77);
    ok(t->s->ops->row_put(t->s, &other));
    struct dossier changed = some_dossier(12);
    changed.id = some_dossier_id(1);
    ok(t->s->ops->dossier_put(t->s, &changed));
    commit(t);
    struct row want = some_row(&t->a, ENTITY_CUSTOMER, some_record_id(1, 0), 9);
    struct dossier want_dossier = some_dossier(1);
    assert_string_equal(before, "v");
    assert_true(row_equal(&row, &want));
    assert_true(dossier_equal(&d, &want_dossier));
}

static void s7_put_replaces_the_whole_row(void **state)
{
    struct subject *t = subject_of(state);
    const struct entity_desc *desc = catalogue_entity(ENTITY_CONTACT_POINT);
    struct record_id id = some_record_id(3, 5);
    begin(t);
    put_dossier(t, 3);
    insert_row(t, ENTITY_CONTACT_POINT, id, 1);
    insert_row(t, ENTITY_ADDRESS, id, 2); /* same id, another entity: another row */
    struct row next = some_row(&t->a, ENTITY_CONTACT_POINT, id, 50);
    next.is_deleted = true;
    next.extra = (struct bytes){ 0 };
    for (size_t i = 0; i < desc->field_count; i += 2) {
        next.values[i] = VALUE_NONE;
    }
    ok(t->s->ops->row_put(t->s, &next));
    commit(t);
    struct row found;
    ok(t->s->ops->row_get(t->s, ENTITY_CONTACT_POINT, id, &t->a, &found));
    assert_true(row_equal(&found, &next));
    assert_row(t, ENTITY_ADDRESS, id, 2);
}

static void s8_what_is_missing_is_not_found(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    put_dossier(t, 1);
    commit(t);
    struct bytes value = bytes_str("untouched");
    struct dossier d;
    struct row row;
    size_t dots = 0;
    for (enum store_space s = 0; s < SPACE_COUNT; s++) {
        uint8_t room[STORE_LOG_KEY_BYTES];
        is(t->s->ops->get(t->s, s, key_in(s, "no", room), &t->a, &value), ERR_NOT_FOUND);
    }
    assert_string_equal((const char *)value.ptr, "untouched");
    is(t->s->ops->dossier_get(t->s, some_dossier_id(2), &t->a, &d), ERR_NOT_FOUND);
    is(t->s->ops->touch_scan(t->s, some_dossier_id(2), count_dot, &dots), ERR_NOT_FOUND);
    is(t->s->ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row), ERR_NOT_FOUND);
    is(t->s->ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(2, 0), &t->a, &row), ERR_NOT_FOUND);
    begin(t);
    ok(t->s->ops->del(t->s, SPACE_META, bytes_str("no")));
    commit(t);
}

static void spaces_are_apart_and_del_removes(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    for (enum store_space s = 0; s < SPACE_COUNT; s++) {
        char value[2] = { (char)('A' + (int)s), '\0' };
        put(t, s, "k", value);
    }
    commit(t);
    begin(t);
    ok(t->s->ops->del(t->s, SPACE_PEER, bytes_str("k")));
    commit(t);
    for (enum store_space s = 0; s < SPACE_COUNT; s++) {
        const char *value = got(t, t->s, s, "k");
        if (s == SPACE_PEER) {
            assert_null(value);
        } else {
            const char want[2] = { (char)('A' + (int)s), '\0' };
            assert_string_equal(value, want);
        }
    }
}

static enum err count_pair(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    ++*(size_t *)ctx;
    return ERR_OK;
}

static void sizes_at_the_limit_are_kept_and_above_it_refused(void **state)
{
    struct subject *t = subject_of(state);
    enum { MIB = 1 << 20 };
    uint8_t *big = calloc(1, MIB + 1);
    assert_non_null(big);
    memset(big, 0xff, MIB + 1);
    begin(t);
    ok(t->s->ops->put(t->s, SPACE_LETTER, bytes_of(big, 64), bytes_of(big, MIB)));
    is(t->s->ops->put(t->s, SPACE_LETTER, bytes_of(big, 65), bytes_str("v")), ERR_LIMIT);
    is(t->s->ops->put(t->s, SPACE_LETTER, bytes_str("k"), bytes_of(big, MIB + 1)), ERR_LIMIT);
    ok(t->s->ops->put(t->s, SPACE_LETTER, bytes_str("empty"), (struct bytes){ 0 }));
    commit(t); /* refused sizes do not spoil the transaction */
    struct bytes value;
    ok(t->s->ops->get(t->s, SPACE_LETTER, bytes_of(big, 64), &t->a, &value));
    assert_true(bytes_equal(value, bytes_of(big, MIB)));
    ok(t->s->ops->get(t->s, SPACE_LETTER, bytes_str("empty"), &t->a, &value));
    assert_int_equal(value.len, 0);
    size_t visited = 0;
    ok(t->s->ops->scan(t->s, SPACE_LETTER, bytes_of(big, 63), bytes_str(""), false, count_pair, &visited));
    assert_int_equal(visited, 1); /* the highest key there can be is inside an open end */
    free(big);
}

/* ---- S10: the log ---- */

static struct dot log_dot(size_t i)
{
    static const struct dot dots[] = { /* in order */
        { 0, 0, 0 }, { 1, 1, 1 }, { 1, 1, 2 }, { 1, 1, (UINT64_C(1) << 48) - 1 }, { 1, 1, UINT64_C(1) << 48 },
        { 1, 1, UINT64_MAX }, { 1, 2, 1 }, { 1, UINT32_MAX, 1 }, { 2, 0, 7 }, { UINT32_MAX, UINT32_MAX, UINT64_MAX }
    };
    return i < ARRAY_LEN(dots) ? dots[i] : (struct dot){ 0 };
}

enum { LOG_DOTS = 10 };

static void log_write(struct subject *t, size_t i, bool is_there)
{
    uint8_t key[DOT_KEY_BYTES];
    const uint8_t value[2] = { (uint8_t)i, 1 };
    dot_key(log_dot(i), key);
    if (is_there) {
        ok(t->s->ops->put(t->s, SPACE_LOG, BYTES_OF(key), BYTES_OF(value)));
    } else {
        ok(t->s->ops->del(t->s, SPACE_LOG, BYTES_OF(key)));
    }
}

static enum err note_log(void *ctx, struct bytes key, struct bytes value)
{
    char *text = ctx;
    uint8_t want[DOT_KEY_BYTES];
    assert_int_equal(value.len, 2);
    dot_key(log_dot(value.ptr[0]), want);
    assert_true(bytes_equal(key, BYTES_OF(want)));
    text[strlen(text)] = (char)('0' + value.ptr[0]);
    return ERR_OK;
}

static void assert_log(struct subject *t, struct bytes from, struct bytes to, const char *want)
{
    char there[LOG_DOTS + 1] = { 0 };
    char back[LOG_DOTS + 1] = { 0 };
    ok(t->s->ops->scan(t->s, SPACE_LOG, from, to, false, note_log, there));
    ok(t->s->ops->scan(t->s, SPACE_LOG, from, to, true, note_log, back));
    assert_string_equal(there, want);
    size_t len = strlen(want);
    assert_int_equal(strlen(back), len);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(back[i], want[len - 1 - i]);
    }
}

/* Origins come in another order than they stand in, are interleaved, removed and written again. */
static void s10_the_log_goes_by_dots(void **state)
{
    static const size_t order[] = { 8, 2, 5, 0, 9, 1, 7, 3, 6, 4 };
    const struct bytes all = { 0 };
    struct subject *t = subject_of(state);
    begin(t);
    for (size_t i = 0; i < LOG_DOTS; i++) {
        log_write(t, order[i], true);
    }
    assert_log(t, all, all, "0123456789");
    t->s->ops->rollback(t->s);
    assert_log(t, all, all, "");
    begin(t);
    for (size_t i = 0; i < LOG_DOTS; i++) {
        log_write(t, order[LOG_DOTS - 1 - i], true);
    }
    log_write(t, 4, false);
    log_write(t, 4, false);
    log_write(t, 0, true);
    commit(t);
    assert_log(t, all, all, "012356789");
    subject_reopen(t);
    assert_log(t, all, all, "012356789");
    begin(t);
    log_write(t, 4, true);
    commit(t);
    assert_log(t, all, all, "0123456789");
}

/* Every pair of bounds: keys, keys cut short, keys with more behind. */
static void s10_bounds_of_the_log_may_have_any_length(void **state)
{
    static const size_t lengths[] = { 0, 4, 10, 13, 16, 17 };
    struct subject *t = subject_of(state);
    begin(t);
    for (size_t i = 0; i < LOG_DOTS; i++) {
        log_write(t, i, true);
    }
    commit(t);
    for (size_t n = 0; n < LOG_DOTS * ARRAY_LEN(lengths) * LOG_DOTS * ARRAY_LEN(lengths); n++) {
        uint8_t bounds[2][17] = { { 0 }, { 0 } };
        struct bytes bound[2];
        char want[LOG_DOTS + 1] = { 0 };
        size_t left = n;
        for (size_t k = 0; k < 2; k++) {
            dot_key(log_dot(left % LOG_DOTS), bounds[k]);
            left /= LOG_DOTS;
            bound[k] = bytes_of(bounds[k], lengths[left % ARRAY_LEN(lengths)]);
            left /= ARRAY_LEN(lengths);
        }
        for (size_t i = 0; i < LOG_DOTS; i++) {
            uint8_t key[DOT_KEY_BYTES];
            dot_key(log_dot(i), key);
            if (bytes_compare(BYTES_OF(key), bound[0]) >= 0 &&
                (bound[1].len == 0 || bytes_compare(BYTES_OF(key), bound[1]) < 0)) {
                want[strlen(want)] = (char)('0' + i);
            }
        }
        assert_log(t, bound[0], bound[1], want);
    }
}

static void put_short_key(void *ctx)
{
    struct store *s = ctx;
    (void)s->ops->put(s, SPACE_LOG, bytes_str("k"), bytes_str("v"));
}

static void s10_a_key_of_the_log_has_its_length(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    assert_true(check_stops(put_short_key, t->s));
    t->s->ops->rollback(t->s);
}

/* ---- dossiers and touches ---- */

struct dossiers {
    uint32_t found[8];
    size_t count;
    struct dossier_id last;
};

static enum err note_dossier(void *ctx, const struct dossier *d)
{
    struct dossiers *all = ctx;
    uint32_t n = d->owner;
    struct dossier want = some_dossier(n);
    assert_true(dossier_equal(d, &want));
    assert_true(all->count == 0 || dossier_id_compare(all->last, d->id) < 0);
    all->last = d->id;
    all->found[all->count++] = n;
    return ERR_OK;
}

static void dossiers_are_replaced_and_scanned_in_id_order(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    for (uint32_t n = 0; n < 6; n++) {
        struct dossier d = some_dossier(n);
        d.kind = DOSSIER_GROUP_BOOK;
        d.flags = DOSSIER_ERASED;
        d.seen = bytes_str("older and longer than the next");
        ok(t->s->ops->dossier_put(t->s, &d));
        put_dossier(t, n);
    }
    commit(t);
    struct dossiers all = { 0 };
    ok(t->s->ops->dossier_scan(t->s, NULL, note_dossier, &all));
    assert_int_equal(all.count, 6);
    struct dossiers rest = { 0 };
    struct dossier_id from = some_dossier_id(all.found[2]);
    ok(t->s->ops->dossier_scan(t->s, &from, note_dossier, &rest));
    assert_int_equal(rest.count, 3);
    assert_int_equal(rest.found[0], all.found[3]);
    struct dossiers any = { 0 };
    ok(t->s->ops->dossier_each(t->s, note_dossier, &any));
    assert_int_equal(any.count, 6);
    for (size_t i = 0, seen = 0; i < any.count; i++) {
        assert_int_equal(seen >> any.found[i] & 1, 0); /* each once */
        seen |= (size_t)1 << any.found[i];
    }
    subject_reopen(t); /* nothing remembered: places come from the tables */
    begin(t);
    put_dossier(t, 3);
    commit(t);
    struct dossiers again = { 0 };
    ok(t->s->ops->dossier_scan(t->s, NULL, note_dossier, &again));
    assert_int_equal(again.count, 6);
}

struct dots {
    struct dot dots[8];
    size_t count;
};

static enum err note_dot(void *ctx, struct dot dot)
{
    struct dots *all = ctx;
    all->dots[all->count++] = dot;
    return ERR_OK;
}

static void touches_are_a_set_in_dot_order(void **state)
{
    struct subject *t = subject_of(state);
    const struct dot given[] = { { 2, 1, 1 }, { 1, 9, 5 }, { 1, 2, 300 }, { 1, 2, 7 }, { 1, 2, 300 },
        { UINT32_MAX, UINT32_MAX, INT64_MAX } };
    const struct dot want[] = { { 1, 2, 7 }, { 1, 2, 300 }, { 1, 9, 5 }, { 2, 1, 1 },
        { UINT32_MAX, UINT32_MAX, INT64_MAX } };
    begin(t);
    put_dossier(t, 1);
    put_dossier(t, 2);
    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        ok(t->s->ops->touch_add(t->s, some_dossier_id(1), given[i]));
    }
    ok(t->s->ops->touch_add(t->s, some_dossier_id(2), (struct dot){ 1, 1, 1 }));
    is(t->s->ops->touch_add(t->s, some_dossier_id(3), given[0]), ERR_NOT_FOUND);
    is(t->s->ops->touch_add(t->s, some_dossier_id(1), (struct dot){ 1, 1, UINT64_MAX }), ERR_LIMIT);
    commit(t);
    struct dots all = { 0 };
    ok(t->s->ops->touch_scan(t->s, some_dossier_id(1), note_dot, &all));
    assert_int_equal(all.count, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(dot_equal(all.dots[i], want[i]));
    }
}

struct ascending {
    struct dot last;
    size_t count;
};

static enum err note_ascending(void *ctx, struct dot dot)
{
    struct ascending *all = ctx;
    assert_true(all->count == 0 || dot_compare(all->last, dot) < 0);
    all->last = dot;
    all->count++;
    return ERR_OK;
}

/* More than any store keeps in one place, downwards and each twice; puts of the dossier leave them alone. */
static void a_dossier_may_have_very_many_touches(void **state)
{
    struct subject *t = subject_of(state);
    struct dossier d = some_dossier(1);
    struct dossier found;
    for (uint32_t i = 100; i > 0; i--) {
        struct dot dot = { i % 7 + 1, UINT32_MAX - i % 3, i };
        begin(t);
        d.owner = i;
        ok(t->s->ops->dossier_touched(t->s, &d, dot));
        ok(t->s->ops->touch_add(t->s, d.id, dot));
        ok(t->s->ops->dossier_touched(t->s, &d, dot));
        commit(t);
    }
    begin(t);
    is(t->s->ops->dossier_touched(t->s, &d, (struct dot){ 1, 1, UINT64_MAX }), ERR_LIMIT);
    ok(t->s->ops->dossier_put(t->s, &d));
    commit(t);
    struct ascending all = { 0 };
    ok(t->s->ops->touch_scan(t->s, d.id, note_ascending, &all));
    assert_int_equal(all.count, 100);
    ok(t->s->ops->dossier_get(t->s, d.id, &t->a, &found));
    assert_true(dossier_equal(&found, &d));
}

static void imported_rows_are_a_set(void **state)
{
    struct subject *t = subject_of(state);
    const uint8_t one[STORE_MARK_BYTES] = { 1, 0, 0, 0, 0, 0, 0, 0, 0, 9 };
    const uint8_t two[STORE_MARK_BYTES] = { 1, 0, 0, 0, 0, 0, 0, 0, 0, 8 };
    bool has = true;
    ok(t->s->ops->imported_has(t->s, one, &has));
    assert_false(has);
    begin(t);
    ok(t->s->ops->imported_put(t->s, one));
    ok(t->s->ops->imported_put(t->s, one));
    ok(t->s->ops->imported_has(t->s, one, &has));
    assert_true(has);
    commit(t);
    begin(t);
    ok(t->s->ops->imported_put(t->s, two));
    t->s->ops->rollback(t->s);
    ok(t->s->ops->imported_has(t->s, two, &has));
    assert_false(has);
    subject_reopen(t);
    begin(t);
    ok(t->s->ops->clear_derived(t->s)); /* nothing that a rebuild could make again */
    commit(t);
    ok(t->s->ops->imported_has(t->s, one, &has));
    assert_true(has);
}

static void s9_nothing_is_left_of_a_deleted_dossier(void **state)
{
    struct subject *t = subject_of(state);
    const struct store_ops *ops = t->s->ops;
    struct row row;
    struct dossier d;
    size_t dots = 0;
    begin(t);
    write_one_of_each(t);
    put_dossier(t, 2);
    insert_row(t, ENTITY_CUSTOMER, some_record_id(2, 0), 5);
    insert_row(t, ENTITY_CONTACT_POINT, some_record_id(1, 7), 6);
    commit(t);
    begin(t);
    ok(ops->dossier_del(t->s, some_dossier_id(1)));
    is(ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row), ERR_NOT_FOUND);
    ops->rollback(t->s);
    assert_one_of_each(t, t->s, true);
    begin(t);
    ok(ops->dossier_del(t->s, some_dossier_id(1)));
    ok(ops->dossier_del(t->s, some_dossier_id(1)));
    ok(ops->dossier_del(t->s, some_dossier_id(3)));
    is(ops->dossier_get(t->s, some_dossier_id(1), &t->a, &d), ERR_NOT_FOUND);
    is(ops->touch_scan(t->s, some_dossier_id(1), count_dot, &dots), ERR_NOT_FOUND);
    /* Neither itself nor a new one lends its place. */
    put_dossier(t, 3);
    put_dossier(t, 1);
    commit(t);
    for (uint32_t n = 1; n <= 3; n += 2) {
        is(ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(n, 0), &t->a, &row), ERR_NOT_FOUND);
        is(ops->row_get(t->s, ENTITY_CONTACT_POINT, some_record_id(n, 7), &t->a, &row), ERR_NOT_FOUND);
        ok(ops->touch_scan(t->s, some_dossier_id(n), count_dot, &dots));
    }
    assert_int_equal(dots, 0);
    assert_row(t, ENTITY_CUSTOMER, some_record_id(2, 0), 5);
}

static void clear_derived_empties_what_can_be_rebuilt(void **state)
{
    struct subject *t = subject_of(state);
    begin(t);
    write_one_of_each(t);
    for (enum store_space s = 0; s < SPACE_COUNT; s++) {
        put(t, s, "k", "v");
    }
    commit(t);
    begin(t);
    ok(t->s->ops->clear_derived(t->s));
    t->s->ops->rollback(t->s);
    assert_one_of_each(t, t->s, true);
    begin(t);
    ok(t->s->ops->clear_derived(t->s));
    commit(t);
    for (enum store_space s = 0; s < SPACE_COUNT; s++) {
        bool is_derived = s == SPACE_CONFLICT || s == SPACE_CONTESTED || s == SPACE_URGENT || s == SPACE_GAP;
        assert_int_equal(got(t, t->s, s, "k") == NULL, is_derived);
    }
    struct row row;
    struct dossier d;
    struct dossier want = some_dossier(1);
    size_t dots = 0;
    is(t->s->ops->row_get(t->s, ENTITY_CUSTOMER, some_record_id(1, 0), &t->a, &row), ERR_NOT_FOUND);
    ok(t->s->ops->touch_scan(t->s, some_dossier_id(1), count_dot, &dots));
    assert_int_equal(dots, 0);
    ok(t->s->ops->dossier_get(t->s, some_dossier_id(1), &t->a, &d));
    want.owner = 0;
    want.seen = (struct bytes){ 0 };
    assert_true(dossier_equal(&d, &want));
}

static const struct suite_test tests[] = {
    SUITE_TEST(s1_changes_are_visible_inside_and_to_nothing_else),
    SUITE_TEST(s2_a_commit_survives_reopening),
    SUITE_TEST(s2_a_rollback_leaves_nothing),
    SUITE_TEST(s2_an_open_transaction_does_not_survive_reopening),
    SUITE_TEST(s2_a_rolled_back_dossier_does_not_lend_its_rows_to_the_next),
    SUITE_TEST(s2_s3_a_failed_commit_leaves_nothing_and_poisons_the_store),
    SUITE_TEST(s4_scans_visit_keys_in_byte_order_within_bounds),
    SUITE_TEST(s4_a_visitor_can_stop_a_scan),
    SUITE_TEST(s4_a_visitor_may_read_even_by_the_same_scan),
    SUITE_TEST(s4_a_visitor_must_not_write),
    SUITE_TEST(s5_returned_bytes_are_copies),
    SUITE_TEST(s6_reads_outside_a_transaction_see_the_last_commit),
    SUITE_TEST(s7_put_replaces_the_whole_row),
    SUITE_TEST(s8_what_is_missing_is_not_found),
    SUITE_TEST(misuse_of_transactions_stops_the_process),
    SUITE_TEST(spaces_are_apart_and_del_removes),
    SUITE_TEST(sizes_at_the_limit_are_kept_and_above_it_refused),
    SUITE_TEST(s10_the_log_goes_by_dots),
    SUITE_TEST(s10_bounds_of_the_log_may_have_any_length),
    SUITE_TEST(s10_a_key_of_the_log_has_its_length),
    SUITE_TEST(dossiers_are_replaced_and_scanned_in_id_order),
    SUITE_TEST(touches_are_a_set_in_dot_order),
    SUITE_TEST(a_dossier_may_have_very_many_touches),
    SUITE_TEST(imported_rows_are_a_set),
    SUITE_TEST(s9_nothing_is_left_of_a_deleted_dossier),
    SUITE_TEST(clear_derived_empties_what_can_be_rebuilt),
};

int main(void)
{
    return suite_run(tests, ARRAY_LEN(tests));
}
