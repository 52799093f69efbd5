/*
 * Owns: which runs there are, what the open transaction has added, and when runs are merged. A transaction's entries
 * become one run; four runs of like size become one of the next size, so an entry is written again once for each
 * fourfold growth and a question looks into a few dozen runs at most.
 *
 * Invariants: runs in memory are those of the tables as this connection sees them: checked by the newest id at every
 * question, since whatever changes the list adds a run with a higher id, but once only in a transaction, in which
 * nobody else can change it; a rollback forgets the young and takes back the gone. While a question is open, its first
 * statement or the transaction keeps one snapshot.
 *
 * Does not know what keys mean, except that a value's key starts with entity and field.
 */
#include "node/store_index_run.h"

#include "schema/base/check.h"

#include <sodium.h>
#include <stdlib.h>

enum {
    LIKE_RUNS_MAX = 4, /* so many of like size are merged */
    SMALLEST_SIZE = 64,
    PENDING_FIRST = 256,
    PENDING_MAX = 32768, /* then a run is written though the transaction goes on */
    PENDING_SCAN_MAX = 64, /* more are looked through only when the sieve says so */
};

struct pending {
    struct index_entry *owned_at;
    size_t count;
    size_t capacity;
    struct index_sieve sieve;
    size_t in_sieve;
};

struct store_index {
    sqlite3 *db;
    struct index_statements st;
    struct index_run **owned_runs;
    size_t run_count;
    size_t run_capacity;
    int64_t newest;
    bool is_loaded;
    bool has_key;
    bool is_in_transaction;
    bool is_current; /* checked during the open transaction */
    unsigned depth; /* open questions */
    sqlite3_stmt *held; /* keeps the snapshot of the open question; NULL: the transaction does */
    uint8_t key[crypto_shorthash_KEYBYTES];
    struct pending pending[STORE_INDEX_KIND_COUNT];
};

enum err store_index_make(sqlite3 *db)
{
    char text[160];
    uint8_t key[crypto_shorthash_KEYBYTES];
    char hex[sizeof(key) * 2 + 1];
    enum err e = sql_exec(db, "CREATE TABLE IF NOT EXISTS index_run (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, "
                              "count INTEGER NOT NULL, body BLOB NOT NULL) STRICT");
    if (e == ERR_OK) {
        e = sql_exec(db, "CREATE TABLE IF NOT EXISTS index_chunk (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT");
    }
    randombytes_buf(key, sizeof(key));
    (void)sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
    (void)sqlite3_snprintf((int)sizeof(text), text,
        "INSERT INTO index_run (id, kind, count, body) VALUES (0, 0, 0, x'%s') ON CONFLICT DO NOTHING", hex);
    if (e == ERR_OK) {
        e = sql_exec(db, text);
    }
    sodium_memzero(text, sizeof(text));
    sodium_memzero(hex, sizeof(hex));
    sodium_memzero(key, sizeof(key));
    return e;
}

struct store_index *store_index_new(sqlite3 *db)
{
    struct store_index *ix = calloc(1, sizeof(*ix));
    if (ix != NULL) {
        ix->db = db;
    }
    return ix;
}

static void release_statements(struct index_statements *st)
{
    sql_slot_release(&st->newest);
    sql_slot_release(&st->chunk_get);
    sql_slot_release(&st->chunk_put);
    sql_slot_release(&st->chunk_del);
    sql_slot_release(&st->run_put);
    sql_slot_release(&st->run_del);
}

void store_index_free(struct store_index *ix)
{
    if (ix == NULL) {
        return;
    }
    check(ix->depth == 0);
    for (size_t i = 0; i < ix->run_count; i++) {
        index_run_free(ix->owned_runs[i]);
    }
    free(ix->owned_runs);
    for (size_t k = 0; k < ARRAY_LEN(ix->pending); k++) {
        free(ix->pending[k].owned_at);
        index_sieve_release(&ix->pending[k].sieve);
    }
    release_statements(&ix->st);
    sodium_memzero(ix, sizeof(*ix));
    free(ix);
}

/* ---- the list of runs ---- */

/* Takes the run over in any case. */
static enum err list_add(struct store_index *ix, struct index_run *r)
{
    if (ix->run_count == ix->run_capacity) {
        size_t capacity = ix->run_capacity == 0 ? 32 : ix->run_capacity * 2;
        struct index_run **grown = realloc(ix->owned_runs, capacity * sizeof(*grown));
        if (grown == NULL) {
            index_run_free(r);
            return ERR_NOMEM;
        }
        ix->owned_runs = grown;
        ix->run_capacity = capacity;
    }
    ix->owned_runs[ix->run_count++] = r;
    ix->newest = ix->newest > r->id ? ix->newest : r->id;
    return ERR_OK;
}

static void list_keep(struct store_index *ix, bool (*keeps)(const struct index_run *r))
{
    size_t kept = 0;
    ix->newest = 0;
    for (size_t i = 0; i < ix->run_count; i++) {
        struct index_run *r = ix->owned_runs[i];
        if (keeps(r)) {
            ix->owned_runs[kept++] = r;
            ix->newest = ix->newest > r->id ? ix->newest : r->id;
        } else {
            index_run_free(r);
        }
    }
    ix->run_count = kept;
}

static bool was_seen(const struct index_run *r)
{
    return r->is_seen;
}

static bool is_old(const struct index_run *r)
{
    return !r->is_young;
}

static bool is_present(const struct index_run *r)
{
    return !r->is_gone;
}

static struct index_run *list_find(const struct store_index *ix, int64_t id)
{
    for (size_t i = 0; i < ix->run_count; i++) {
        if (ix->owned_runs[i]->id == id) {
            return ix->owned_runs[i];
        }
    }
    return NULL;
}

static bool form_is_right(int64_t kind, int64_t count, size_t body_len)
{
    if (kind <= STORE_INDEX_NONE || kind >= STORE_INDEX_KIND_COUNT || count < 0) {
        return false;
    }
    uint64_t n = (uint64_t)count;
    uint64_t entries = n <= INDEX_CHUNK_ENTRIES ? n : (n + INDEX_CHUNK_ENTRIES - 1) / INDEX_CHUNK_ENTRIES;
    return body_len == entries * STORE_INDEX_ENTRY_BYTES;
}

static enum err take_run(struct store_index *ix, int64_t id, int64_t kind, int64_t count, struct bytes body)
{
    if (!form_is_right(kind, count, body.len)) {
        return ERR_DAMAGED;
    }
    struct index_run *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return ERR_NOMEM;
    }
    *r = (struct index_run){ .id = id, .kind = (enum store_index_kind)kind, .count = (uint64_t)count, .is_seen = true };
    r->owned_body = malloc(body.len + 1);
    if (r->owned_body == NULL) {
        index_run_free(r);
        return ERR_NOMEM;
    }
    if (body.len > 0) {
        memcpy(r->owned_body, body.ptr, body.len);
    }
    r->body_len = body.len;
    return list_add(ix, r);
}

static enum err take_line(struct store_index *ix, sqlite3_stmt *stmt)
{
    int64_t id = 0;
    int64_t kind = 0;
    int64_t count = 0;
    struct bytes body = { 0 };
    enum err e = ERR_OK;
    if ((e = sql_column_int(stmt, 0, &id)) != ERR_OK || (e = sql_column_int(stmt, 1, &kind)) != ERR_OK ||
        (e = sql_column_int(stmt, 2, &count)) != ERR_OK || (e = sql_column_blob(stmt, 3, &body)) != ERR_OK) {
        return e;
    }
    if (id == 0) {
        ix->has_key = body.len == sizeof(ix->key);
        if (ix->has_key) {
            memcpy(ix->key, body.ptr, sizeof(ix->key));
        }
        return ix->has_key ? ERR_OK : ERR_DAMAGED;
    }
    struct index_run *known = list_find(ix, id);
    if (known != NULL) {
        known->is_seen = true;
        return ERR_OK;
    }
    return take_run(ix, id, kind, count, body);
}

/* Reads the list again; runs that are still there keep their sieves. */
static enum err reload(struct store_index *ix)
{
    struct sql_slot slot = { 0 };
    sqlite3_stmt *stmt = NULL;
    for (size_t i = 0; i < ix->run_count; i++) {
        ix->owned_runs[i]->is_seen = false;
    }
    enum err e = sql_take(ix->db, &slot, "SELECT id, kind, count, body FROM index_run", &stmt);
    for (bool has_row = true; e == ERR_OK && has_row;) {
        e = sql_step(stmt, &has_row);
        if (e == ERR_OK && has_row) {
            e = take_line(ix, stmt);
        }
    }
    sql_give(&slot, stmt);
    sql_slot_release(&slot);
    list_keep(ix, was_seen);
    ix->is_loaded = e == ERR_OK;
    return e;
}

/* Opens a question. Every enter that answered ERR_OK needs a leave. */
static enum err enter(struct store_index *ix)
{
    bool has_row = false;
    int64_t newest = 0;
    if (ix->is_in_transaction && ix->depth == 0 && sqlite3_get_autocommit(ix->db) != 0) {
        store_index_end(ix, false); /* SQLite has rolled back on its own */
    }
    if (ix->depth > 0 || ix->is_current) {
        ix->depth++;
        return ERR_OK;
    }
    enum err e = sql_take(ix->db, &ix->st.newest, "SELECT max(id) FROM index_run", &ix->held);
    if (e != ERR_OK) {
        return e;
    }
    e = sql_step(ix->held, &has_row);
    if (e == ERR_OK) {
        e = has_row ? sql_column_int(ix->held, 0, &newest) : ERR_DAMAGED;
    }
    if (e == ERR_OK && (!ix->is_loaded || newest != ix->newest)) {
        e = reload(ix);
    }
    if (e != ERR_OK) {
        sql_give(&ix->st.newest, ix->held);
        ix->held = NULL;
        return e;
    }
    ix->depth = 1;
    ix->is_current = ix->is_in_transaction;
    return ERR_OK;
}

static void leave(struct store_index *ix)
{
    check(ix->depth > 0);
    ix->depth--;
    if (ix->depth == 0 && ix->held != NULL) {
        sql_give(&ix->st.newest, ix->held);
        ix->held = NULL;
    }
}

/* ---- keys ---- */

enum err store_index_key(
    struct store_index *ix, uint32_t entity, uint32_t field, struct value value, uint8_t out[STORE_INDEX_KEY_BYTES])
{
    enum err e = ERR_OK;
    uint8_t number[sizeof(value.i)];
    struct bytes bytes = value.s;
    check(entity <= UINT8_MAX && field <= UINT8_MAX);
    if (!ix->has_key) {
        e = enter(ix);
        if (e != ERR_OK) {
            return e;
        }
        leave(ix);
        if (!ix->has_key) {
            return ERR_DAMAGED;
        }
    }
    if (value.type == VALUE_INT) {
        memcpy(number, &value.i, sizeof(number));
        bytes = BYTES_OF(number);
    }
    out[0] = (uint8_t)entity;
    out[1] = (uint8_t)field;
    (void)crypto_shorthash(out + 2, bytes.len == 0 ? number : bytes.ptr, bytes.len, ix->key);
    return e;
}

static struct index_entry entry_of(const uint8_t key[STORE_INDEX_KEY_BYTES], uint32_t place)
{
    uint8_t all[STORE_INDEX_ENTRY_BYTES] = { 0 };
    memcpy(all, key, STORE_INDEX_KEY_BYTES);
    struct index_entry e = index_entry_read(all);
    e.low |= place;
    return e;
}

/* ---- adding ---- */

static void pending_clear(struct pending *p)
{
    p->count = 0;
    if (p->in_sieve > 0) {
        memset(p->sieve.owned_words, 0, (size_t)((p->sieve.mask + 1) / 8));
        p->in_sieve = 0;
    }
}

void store_index_begin(struct store_index *ix)
{
    check(!ix->is_in_transaction);
    check(ix->depth == 0);
    ix->is_in_transaction = true;
}

void store_index_end(struct store_index *ix, bool is_committed)
{
    check(ix->depth == 0);
    if (!ix->is_in_transaction) {
        return;
    }
    ix->is_in_transaction = false;
    ix->is_current = false;
    for (size_t k = 0; k < ARRAY_LEN(ix->pending); k++) {
        pending_clear(&ix->pending[k]);
    }
    list_keep(ix, is_committed ? is_present : is_old);
    for (size_t i = 0; i < ix->run_count; i++) {
        ix->owned_runs[i]->is_young = false;
        ix->owned_runs[i]->is_gone = false;
    }
}

static unsigned size_class(uint64_t count)
{
    unsigned n = 0;
    for (uint64_t size = count / SMALLEST_SIZE; size >= LIKE_RUNS_MAX; size /= LIKE_RUNS_MAX) {
        n++;
    }
    return n;
}

static bool is_like(const struct index_run *r, enum store_index_kind kind, unsigned class_)
{
    return !r->is_gone && r->kind == kind && size_class(r->count) == class_;
}

/* The cursor that shows the smallest entry; NULL: all are at their end. */
static struct index_cursor *smallest(struct index_cursor *cursors, size_t count)
{
    struct index_cursor *best = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!cursors[i].is_at_end && (best == NULL || index_entry_compare(cursors[i].now, best->now) < 0)) {
            best = &cursors[i];
        }
    }
    return best;
}

static enum err copy_all(struct store_index *ix, struct index_cursor *cursors, size_t count, struct index_writer *w)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        e = index_cursor_start(&cursors[i], ix->db, &ix->st, (struct index_entry){ 0 });
    }
    for (struct index_cursor *c = NULL; e == ERR_OK && (c = smallest(cursors, count)) != NULL;) {
        e = index_writer_add(w, c->now);
        if (e == ERR_OK) {
            e = index_cursor_next(c, ix->db, &ix->st);
        }
    }
    return e;
}

/* Merged pages hold keyed hashes only: overwriting them with zeros would double what a merge writes. */
static enum err secure_delete(struct store_index *ix, bool is_on)
{
    return sql_exec(ix->db, is_on ? "PRAGMA secure_delete = ON" : "PRAGMA secure_delete = OFF");
}

static enum err secure_delete_is_on(struct store_index *ix, bool *out)
{
    struct sql_slot slot = { 0 };
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    int64_t v = 0;
    enum err e = sql_take(ix->db, &slot, "PRAGMA secure_delete", &stmt);
    if (e == ERR_OK && (e = sql_step(stmt, &has_row)) == ERR_OK && has_row) {
        e = sql_column_int(stmt, 0, &v);
    }
    sql_give(&slot, stmt);
    sql_slot_release(&slot);
    *out = v != 0;
    return e;
}

static enum err remove_merged(struct store_index *ix, struct index_cursor *cursors, size_t count)
{
    bool was_on = false;
    enum err e = secure_delete_is_on(ix, &was_on);
    if (e == ERR_OK && was_on) {
        e = secure_delete(ix, false);
    }
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        struct index_run *r = list_find(ix, cursors[i].run->id);
        check(r != NULL);
        e = index_run_remove(ix->db, &ix->st, r);
        r->is_gone = true;
        index_sieve_release(&r->sieve);
    }
    enum err after = was_on ? secure_delete(ix, true) : ERR_OK;
    return e == ERR_OK ? after : e;
}

static enum err write_merged(
    struct store_index *ix, enum store_index_kind kind, struct index_cursor *cursors, size_t count)
{
    struct index_writer w;
    struct index_run *r = NULL;
    enum err e = index_writer_start(&w, ix->db, &ix->st, kind, ix->newest + 1);
    if (e == ERR_OK) {
        e = copy_all(ix, cursors, count, &w);
    }
    if (e != ERR_OK) {
        index_writer_drop(&w);
        return e;
    }
    e = index_writer_finish(&w, &r);
    if (e == ERR_OK) {
        e = remove_merged(ix, cursors, count);
    }
    if (e != ERR_OK) {
        index_run_free(r);
        return e;
    }
    return list_add(ix, r);
}

/* Merges the runs of one size if there are too many. *merged: there were. */
static enum err merge_like(struct store_index *ix, enum store_index_kind kind, unsigned class_, bool *merged)
{
    size_t count = 0;
    *merged = false;
    for (size_t i = 0; i < ix->run_count; i++) {
        count += is_like(ix->owned_runs[i], kind, class_) ? 1 : 0;
    }
    if (count < LIKE_RUNS_MAX) {
        return ERR_OK;
    }
    struct index_cursor *cursors = calloc(count, sizeof(*cursors));
    if (cursors == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < ix->run_count; i++) {
        if (is_like(ix->owned_runs[i], kind, class_)) {
            cursors[n++].run = ix->owned_runs[i];
        }
    }
    enum err e = write_merged(ix, kind, cursors, n);
    free(cursors);
    *merged = e == ERR_OK;
    return e;
}

static enum err write_pending(struct store_index *ix, enum store_index_kind kind)
{
    struct pending *p = &ix->pending[kind];
    struct index_writer w;
    struct index_run *r = NULL;
    enum err e = index_entry_sort(&p->owned_at, p->count, p->capacity);
    if (e != ERR_OK) {
        return e;
    }
    e = index_writer_start(&w, ix->db, &ix->st, kind, ix->newest + 1);
    for (size_t i = 0; e == ERR_OK && i < p->count; i++) {
        e = index_writer_add(&w, p->owned_at[i]);
    }
    if (e != ERR_OK) {
        index_writer_drop(&w);
        return e;
    }
    e = index_writer_finish(&w, &r);
    if (e == ERR_OK) {
        e = list_add(ix, r);
    }
    pending_clear(p);
    for (bool merged = e == ERR_OK; merged;) {
        e = merge_like(ix, kind, size_class(ix->owned_runs[ix->run_count - 1]->count), &merged);
    }
    return e;
}

static enum err flush_kind(struct store_index *ix, enum store_index_kind kind)
{
    if (ix->pending[kind].count == 0) {
        return ERR_OK;
    }
    enum err e = enter(ix);
    if (e != ERR_OK) {
        return e;
    }
    leave(ix); /* the list is current; nobody else writes while our transaction is open */
    return ix->pending[kind].count == 0 ? ERR_IO /* lost below */ : write_pending(ix, kind);
}

enum err store_index_flush(struct store_index *ix)
{
    enum err e = ERR_OK;
    check(ix->depth == 0);
    for (unsigned k = 0; e == ERR_OK && k < STORE_INDEX_KIND_COUNT; k++) {
        e = flush_kind(ix, (enum store_index_kind)k);
    }
    return e;
}

static enum err pending_grow(struct pending *p)
{
    size_t capacity = p->capacity == 0 ? PENDING_FIRST : p->capacity * 2;
    struct index_entry *grown = realloc(p->owned_at, capacity * sizeof(*grown));
    if (grown == NULL) {
        return ERR_NOMEM;
    }
    p->owned_at = grown;
    p->capacity = capacity;
    return ERR_OK;
}

enum err store_index_add(
    struct store_index *ix, enum store_index_kind kind, const uint8_t key[STORE_INDEX_KEY_BYTES], uint32_t place)
{
    struct pending *p = &ix->pending[kind];
    enum err e = ERR_OK;
    check(ix->is_in_transaction);
    check(ix->depth == 0);
    if (p->count == PENDING_MAX) {
        e = flush_kind(ix, kind);
    }
    if (e == ERR_OK && p->count == p->capacity) {
        e = pending_grow(p);
    }
    if (e != ERR_OK) {
        return e;
    }
    p->owned_at[p->count++] = entry_of(key, place);
    if (p->count <= PENDING_SCAN_MAX) {
        return ERR_OK;
    }
    if (p->sieve.owned_words == NULL && !index_sieve_init(&p->sieve, PENDING_MAX)) {
        return ERR_NOMEM;
    }
    while (p->in_sieve < p->count) {
        index_sieve_add(&p->sieve, p->owned_at[p->in_sieve++]);
    }
    return ERR_OK;
}

enum err store_index_clear(struct store_index *ix, enum store_index_kind kind)
{
    struct index_writer w;
    struct index_run *empty = NULL;
    check(ix->is_in_transaction);
    enum err e = enter(ix);
    if (e != ERR_OK) {
        return e;
    }
    leave(ix);
    pending_clear(&ix->pending[kind]);
    for (size_t i = 0; e == ERR_OK && i < ix->run_count; i++) {
        struct index_run *r = ix->owned_runs[i];
        if (r->kind == kind && !r->is_gone) {
            e = index_run_remove(ix->db, &ix->st, r);
            r->is_gone = true;
        }
    }
    /* An empty run, so that the newest id tells of the change. */
    if (e == ERR_OK) {
        e = index_writer_start(&w, ix->db, &ix->st, kind, ix->newest + 1);
    }
    if (e == ERR_OK) {
        e = index_writer_finish(&w, &empty);
    }
    return e == ERR_OK ? list_add(ix, empty) : e;
}

/* ---- asking ---- */

static enum err find_pending(const struct pending *p, struct index_entry lower, struct store_index_places *out)
{
    enum err e = ERR_OK;
    if (p->in_sieve > 0 && p->in_sieve == p->count && !index_sieve_has(&p->sieve, lower)) {
        return ERR_OK;
    }
    for (size_t i = 0; e == ERR_OK && i < p->count; i++) {
        if (p->owned_at[i].high == lower.high && p->owned_at[i].low >> 32 == lower.low >> 32) {
            e = store_index_places_add(out, (uint32_t)p->owned_at[i].low);
        }
    }
    return e;
}

static int by_place(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sort_places(struct store_index_places *p)
{
    size_t kept = 0;
    if (p->count < 2) {
        return;
    }
    qsort(p->at, p->count, sizeof(*p->at), by_place);
    for (size_t i = 0; i < p->count; i++) {
        if (i == 0 || p->at[i] != p->at[kept - 1]) {
            p->at[kept++] = p->at[i];
        }
    }
    p->count = kept;
}

enum err store_index_find(struct store_index *ix, enum store_index_kind kind, const uint8_t key[STORE_INDEX_KEY_BYTES],
    struct store_index_places *out)
{
    struct index_entry lower = entry_of(key, 0);
    enum err e = enter(ix);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t i = 0; e == ERR_OK && i < ix->run_count; i++) {
        struct index_run *r = ix->owned_runs[i];
        if (r->kind == kind && !r->is_gone) {
            e = index_run_find(ix->db, &ix->st, r, lower, out);
        }
    }
    if (e == ERR_OK) {
        e = find_pending(&ix->pending[kind], lower, out);
    }
    leave(ix);
    sort_places(out);
    return e;
}

void store_index_places_release(struct store_index_places *places)
{
    free(places->owned_many);
    *places = (struct store_index_places){ 0 };
}

static enum err visit_all(struct store_index *ix, struct index_cursor *cursors, size_t count, struct index_entry lower,
    store_index_fn fn, void *ctx)
{
    struct index_entry last = { 0 };
    bool has_last = false;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        e = index_cursor_start(&cursors[i], ix->db, &ix->st, lower);
    }
    for (struct index_cursor *c = NULL; e == ERR_OK && (c = smallest(cursors, count)) != NULL;) {
        uint8_t bytes[STORE_INDEX_ENTRY_BYTES];
        struct index_entry now = c->now;
        e = index_cursor_next(c, ix->db, &ix->st);
        if (e == ERR_OK && (!has_last || index_entry_compare(last, now) != 0)) {
            index_entry_write(now, bytes);
            e = fn(ctx, bytes, (uint32_t)now.low);
        }
        last = now;
        has_last = true;
    }
    return e;
}

enum err store_index_scan(struct store_index *ix, enum store_index_kind kind,
    const uint8_t after[STORE_INDEX_KEY_BYTES], store_index_fn fn, void *ctx)
{
    struct pending *p = &ix->pending[kind];
    struct index_entry lower = { 0 };
    size_t n = 0;
    if (after != NULL) {
        lower = entry_of(after, UINT32_MAX);
        lower.low++; /* the place fills the lowest 32 bits: this is the next key */
        if (lower.low >> 48 != 0) {
            lower.low = 0;
            lower.high++;
            if (lower.high == 0) {
                return ERR_OK;
            }
        }
    }
    enum err e = enter(ix);
    if (e != ERR_OK) {
        return e;
    }
    struct index_cursor *cursors = calloc(ix->run_count + 1, sizeof(*cursors));
    if (cursors == NULL) {
        leave(ix);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < ix->run_count; i++) {
        if (ix->owned_runs[i]->kind == kind && !ix->owned_runs[i]->is_gone) {
            cursors[n++].run = ix->owned_runs[i];
        }
    }
    if (p->count > 0 && (e = index_entry_sort(&p->owned_at, p->count, p->capacity)) == ERR_OK) {
        cursors[n].entries = p->owned_at;
        cursors[n++].count = p->count;
    }
    if (e == ERR_OK) {
        e = visit_all(ix, cursors, n, lower, fn, ctx);
    }
    free(cursors);
    leave(ix);
    return e;
}
