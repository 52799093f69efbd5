/*
 * Owns: the form of one sorted run in the tables, and reading and writing it.
 *
 *      index_run    id, kind, count, body     body: the entries, or the first entry of each chunk
 *      index_chunk  id, body                  id = run id << 24 | number; 285 entries, the last chunk fewer
 *
 * An entry is 14 bytes: key 10, place 4, big-endian. Invariants: a run is sorted, holds no entry twice, and never
 * changes. Knows nothing of transactions and of which runs there are.
 */
#include "node/store_index_run.h"

#include "schema/base/check.h"

#include <stdlib.h>

enum { SIEVE_PROBES = 5, SIEVE_BITS_PER_KEY = 10, FENCES_FIRST = 64, SORT_SMALL = 64 };

void index_entry_write(struct index_entry e, uint8_t out[STORE_INDEX_ENTRY_BYTES])
{
    for (size_t i = 0; i < 8; i++) {
        out[i] = (uint8_t)(e.high >> (8 * (7 - i)));
    }
    for (size_t i = 0; i < STORE_INDEX_ENTRY_BYTES - 8; i++) {
        out[8 + i] = (uint8_t)(e.low >> (8 * (5 - i)));
    }
}

struct index_entry index_entry_read(const uint8_t *from)
{
    struct index_entry e = { 0 };
    for (size_t i = 0; i < 8; i++) {
        e.high = e.high << 8 | from[i];
    }
    for (size_t i = 8; i < STORE_INDEX_ENTRY_BYTES; i++) {
        e.low = e.low << 8 | from[i];
    }
    return e;
}

static bool same_key(struct index_entry a, struct index_entry b)
{
    return a.high == b.high && a.low >> 32 == b.low >> 32;
}

/* ---- sorting ---- */

static int by_order(const void *a, const void *b)
{
    return index_entry_compare(*(const struct index_entry *)a, *(const struct index_entry *)b);
}

/* Sorts by one byte of the entry, the lowest being number 0; false when all have the same there: nothing was moved. */
static bool sort_by_byte(const struct index_entry *from, struct index_entry *to, size_t count, unsigned number)
{
    size_t at[256] = { 0 };
    bool is_low = number < 6;
    unsigned shift = 8 * (is_low ? number : number - 6);
    for (size_t i = 0; i < count; i++) {
        at[(is_low ? from[i].low : from[i].high) >> shift & 0xFF]++;
    }
    size_t sum = 0;
    for (size_t b = 0; b < ARRAY_LEN(at); b++) {
        if (at[b] == count) {
            return false;
        }
        size_t here = at[b];
        at[b] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++) {
        to[at[(is_low ? from[i].low : from[i].high) >> shift & 0xFF]++] = from[i];
    }
    return true;
}

/* An import sorts nine entries a customer: comparing them would take a tenth of its time. */
enum err index_entry_sort(struct index_entry **owned_at, size_t count, size_t capacity)
{
    struct index_entry *other = NULL;
    if (count <= SORT_SMALL) {
        if (count > 1) {
            qsort(*owned_at, count, sizeof(**owned_at), by_order);
        }
        return ERR_OK;
    }
    other = malloc(capacity * sizeof(*other));
    if (other == NULL) {
        return ERR_NOMEM;
    }
    for (unsigned number = 0; number < STORE_INDEX_ENTRY_BYTES; number++) {
        if (sort_by_byte(*owned_at, other, count, number)) {
            struct index_entry *sorted = other;
            other = *owned_at;
            *owned_at = sorted;
        }
    }
    free(other);
    return ERR_OK;
}

/* ---- sieve ---- */

bool index_sieve_init(struct index_sieve *s, uint64_t expected)
{
    uint64_t bits = 512;
    while (bits < expected * SIEVE_BITS_PER_KEY) {
        bits *= 2;
    }
    s->owned_words = calloc((size_t)(bits / 64), sizeof(*s->owned_words));
    s->mask = bits - 1;
    return s->owned_words != NULL;
}

void index_sieve_release(struct index_sieve *s)
{
    free(s->owned_words);
    *s = (struct index_sieve){ 0 };
}

/* Keys are hashes as a rule, but nothing holds a peer or a test to that: they are mixed. */
static uint64_t mixed(struct index_entry e)
{
    uint64_t h = (e.high ^ (e.low >> 32) * UINT64_C(0xff51afd7ed558ccd)) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 32;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 29;
}

void index_sieve_add(struct index_sieve *s, struct index_entry e)
{
    uint64_t h = mixed(e);
    uint64_t step = h >> 33 | 1;
    for (unsigned i = 0; i < SIEVE_PROBES; i++, h += step) {
        s->owned_words[(h & s->mask) / 64] |= UINT64_C(1) << (h % 64);
    }
}

bool index_sieve_has(const struct index_sieve *s, struct index_entry e)
{
    uint64_t h = mixed(e);
    uint64_t step = h >> 33 | 1;
    for (unsigned i = 0; i < SIEVE_PROBES; i++, h += step) {
        if ((s->owned_words[(h & s->mask) / 64] >> (h % 64) & 1) == 0) {
            return false;
        }
    }
    return true;
}

/* ---- a run ---- */

void index_run_free(struct index_run *r)
{
    if (r != NULL) {
        index_sieve_release(&r->sieve);
        free(r->owned_body);
        free(r);
    }
}

static bool is_inline(const struct index_run *r)
{
    return r->count <= INDEX_CHUNK_ENTRIES;
}

static uint64_t chunk_count(const struct index_run *r)
{
    return is_inline(r) ? 1 : (r->count + INDEX_CHUNK_ENTRIES - 1) / INDEX_CHUNK_ENTRIES;
}

/* The entries of one chunk, copied. */
static enum err chunk_read(sqlite3 *db, struct index_statements *st, const struct index_run *r, uint64_t number,
    uint8_t out[INDEX_CHUNK_BYTES], size_t *count)
{
    if (is_inline(r)) {
        if (r->body_len > 0) {
            memcpy(out, r->owned_body, r->body_len);
        }
        *count = r->body_len / STORE_INDEX_ENTRY_BYTES;
        return ERR_OK;
    }
    sqlite3_stmt *stmt = NULL;
    struct bytes body = { 0 };
    bool has_row = false;
    enum err e = sql_take(db, &st->chunk_get, "SELECT body FROM index_chunk WHERE id = ?1", &stmt);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, r->id << INDEX_CHUNK_BITS | (int64_t)number);
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK) {
        e = has_row ? sql_column_blob(stmt, 0, &body) : ERR_DAMAGED;
    }
    if (e == ERR_OK && (body.len == 0 || body.len > INDEX_CHUNK_BYTES || body.len % STORE_INDEX_ENTRY_BYTES != 0)) {
        e = ERR_DAMAGED;
    }
    if (e == ERR_OK) {
        memcpy(out, body.ptr, body.len);
        *count = body.len / STORE_INDEX_ENTRY_BYTES;
    }
    sql_give(&st->chunk_get, stmt);
    return e;
}

/* First of `count` entries not below e. */
static size_t lower_bound(const uint8_t *entries, size_t count, struct index_entry e)
{
    size_t lo = 0;
    size_t hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (index_entry_compare(index_entry_read(entries + mid * STORE_INDEX_ENTRY_BYTES), e) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* The first chunk that may hold an entry not below e. */
static uint64_t chunk_of(const struct index_run *r, struct index_entry e)
{
    if (is_inline(r)) {
        return 0;
    }
    size_t above = lower_bound(r->owned_body, r->body_len / STORE_INDEX_ENTRY_BYTES, e);
    return above == 0 ? 0 : above - 1;
}

static enum err sieve_build(sqlite3 *db, struct index_statements *st, struct index_run *r)
{
    uint8_t chunk[INDEX_CHUNK_BYTES];
    size_t n = 0;
    enum err e = index_sieve_init(&r->sieve, r->count) ? ERR_OK : ERR_NOMEM;
    for (uint64_t c = 0; e == ERR_OK && c < chunk_count(r); c++) {
        e = chunk_read(db, st, r, c, chunk, &n);
        for (size_t i = 0; e == ERR_OK && i < n; i++) {
            index_sieve_add(&r->sieve, index_entry_read(chunk + i * STORE_INDEX_ENTRY_BYTES));
        }
    }
    if (e != ERR_OK) {
        index_sieve_release(&r->sieve);
    }
    return e;
}

enum err store_index_places_add(struct store_index_places *out, uint32_t place)
{
    if (out->at == NULL) {
        out->at = out->few;
        out->capacity = STORE_INDEX_FEW_PLACES;
    }
    if (out->count == out->capacity) {
        size_t capacity = out->capacity * 4;
        uint32_t *grown = realloc(out->owned_many, capacity * sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (out->owned_many == NULL) {
            memcpy(grown, out->few, sizeof(out->few));
        }
        out->owned_many = grown;
        out->at = grown;
        out->capacity = capacity;
    }
    out->at[out->count++] = place;
    return ERR_OK;
}

enum err index_run_find(sqlite3 *db, struct index_statements *st, struct index_run *r, struct index_entry lower,
    struct store_index_places *out)
{
    uint8_t chunk[INDEX_CHUNK_BYTES];
    size_t n = 0;
    enum err e = ERR_OK;
    bool wants_sieve = r->kind != STORE_INDEX_FIELD && r->count > STORE_INDEX_FEW_PLACES;
    if (wants_sieve && r->sieve.owned_words == NULL && (e = sieve_build(db, st, r)) != ERR_OK) {
        return e;
    }
    if (r->count == 0 || (wants_sieve && !index_sieve_has(&r->sieve, lower))) {
        return ERR_OK;
    }
    for (uint64_t c = chunk_of(r, lower); c < chunk_count(r); c++) {
        if ((e = chunk_read(db, st, r, c, chunk, &n)) != ERR_OK) {
            return e;
        }
        for (size_t i = lower_bound(chunk, n, lower); i < n; i++) {
            struct index_entry found = index_entry_read(chunk + i * STORE_INDEX_ENTRY_BYTES);
            if (!same_key(found, lower)) {
                return ERR_OK;
            }
            if ((e = store_index_places_add(out, (uint32_t)found.low)) != ERR_OK) {
                return e;
            }
        }
    }
    return ERR_OK;
}

enum err index_run_remove(sqlite3 *db, struct index_statements *st, const struct index_run *r)
{
    sqlite3_stmt *stmt = NULL;
    enum err e = ERR_OK;
    if (!is_inline(r)) {
        e = sql_take(db, &st->chunk_del, "DELETE FROM index_chunk WHERE id >= ?1 AND id < ?2", &stmt);
        if (e == ERR_OK) {
            (void)sqlite3_bind_int64(stmt, 1, r->id << INDEX_CHUNK_BITS);
            (void)sqlite3_bind_int64(stmt, 2, (r->id + 1) << INDEX_CHUNK_BITS);
            e = sql_run(&st->chunk_del, stmt);
        }
    }
    if (e == ERR_OK) {
        e = sql_take(db, &st->run_del, "DELETE FROM index_run WHERE id = ?1", &stmt);
    }
    if (e == ERR_OK) {
        (void)sqlite3_bind_int64(stmt, 1, r->id);
        e = sql_run(&st->run_del, stmt);
    }
    return e;
}

/* ---- writing ---- */

enum err index_writer_start(
    struct index_writer *w, sqlite3 *db, struct index_statements *st, enum store_index_kind kind, int64_t id)
{
    w->db = db;
    w->st = st;
    w->chunk_count = 0;
    w->in_chunk = 0;
    w->fence_capacity = 0;
    w->owned_run = calloc(1, sizeof(*w->owned_run));
    if (w->owned_run == NULL) {
        return ERR_NOMEM;
    }
    w->owned_run->id = id;
    w->owned_run->kind = kind;
    w->owned_run->is_young = true;
    return ERR_OK;
}

static enum err fence_add(struct index_writer *w)
{
    struct index_run *r = w->owned_run;
    if (r->body_len == w->fence_capacity) {
        size_t capacity =
            w->fence_capacity == 0 ? (size_t)FENCES_FIRST * STORE_INDEX_ENTRY_BYTES : w->fence_capacity * 2;
        uint8_t *grown = realloc(r->owned_body, capacity);
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        r->owned_body = grown;
        w->fence_capacity = capacity;
    }
    memcpy(r->owned_body + r->body_len, w->chunk, STORE_INDEX_ENTRY_BYTES);
    r->body_len += STORE_INDEX_ENTRY_BYTES;
    return ERR_OK;
}

static enum err chunk_write(struct index_writer *w)
{
    sqlite3_stmt *stmt = NULL;
    if (w->chunk_count >> INDEX_CHUNK_BITS != 0) {
        return ERR_LIMIT;
    }
    enum err e = fence_add(w);
    if (e == ERR_OK) {
        e = sql_take(w->db, &w->st->chunk_put, "INSERT INTO index_chunk (id, body) VALUES (?1, ?2)", &stmt);
    }
    if (e == ERR_OK) {
        (void)sqlite3_bind_int64(stmt, 1, w->owned_run->id << INDEX_CHUNK_BITS | (int64_t)w->chunk_count);
        sql_bind_blob(stmt, 2, bytes_of(w->chunk, w->in_chunk * STORE_INDEX_ENTRY_BYTES));
        e = sql_run(&w->st->chunk_put, stmt);
    }
    w->chunk_count++;
    w->in_chunk = 0;
    return e;
}

enum err index_writer_add(struct index_writer *w, struct index_entry e)
{
    if (w->owned_run->count > 0 && index_entry_compare(w->last, e) >= 0) {
        check(index_entry_compare(w->last, e) == 0);
        return ERR_OK;
    }
    enum err failed = w->in_chunk == INDEX_CHUNK_ENTRIES ? chunk_write(w) : ERR_OK;
    if (failed == ERR_OK) {
        index_entry_write(e, w->chunk + w->in_chunk * STORE_INDEX_ENTRY_BYTES);
        w->in_chunk++;
        w->owned_run->count++;
        w->last = e;
    }
    return failed;
}

enum err index_writer_finish(struct index_writer *w, struct index_run **out)
{
    struct index_run *r = w->owned_run;
    sqlite3_stmt *stmt = NULL;
    enum err e = ERR_OK;
    if (w->chunk_count > 0) {
        e = chunk_write(w);
    } else if (w->in_chunk > 0) {
        r->body_len = w->in_chunk * STORE_INDEX_ENTRY_BYTES;
        r->owned_body = malloc(r->body_len);
        e = r->owned_body == NULL ? ERR_NOMEM : ERR_OK;
        if (e == ERR_OK) {
            memcpy(r->owned_body, w->chunk, r->body_len);
        }
    }
    if (e == ERR_OK) {
        e = sql_take(
            w->db, &w->st->run_put, "INSERT INTO index_run (id, kind, count, body) VALUES (?1, ?2, ?3, ?4)", &stmt);
    }
    if (e == ERR_OK) {
        (void)sqlite3_bind_int64(stmt, 1, r->id);
        (void)sqlite3_bind_int(stmt, 2, (int)r->kind);
        (void)sqlite3_bind_int64(stmt, 3, (int64_t)r->count);
        sql_bind_blob(stmt, 4, bytes_of(r->owned_body, r->body_len));
        e = sql_run(&w->st->run_put, stmt);
    }
    if (e == ERR_OK) {
        *out = r;
        w->owned_run = NULL;
    }
    index_writer_drop(w);
    return e;
}

void index_writer_drop(struct index_writer *w)
{
    index_run_free(w->owned_run);
    w->owned_run = NULL;
}

/* ---- reading in order ---- */

static void cursor_show(struct index_cursor *c)
{
    c->now = c->run == NULL ? c->entries[c->at] : index_entry_read(c->chunk + c->at * STORE_INDEX_ENTRY_BYTES);
}

static enum err cursor_load(struct index_cursor *c, sqlite3 *db, struct index_statements *st)
{
    c->at = 0;
    c->count = 0;
    if (c->next_chunk >= chunk_count(c->run)) {
        return ERR_OK;
    }
    return chunk_read(db, st, c->run, c->next_chunk++, c->chunk, &c->count);
}

enum err index_cursor_start(struct index_cursor *c, sqlite3 *db, struct index_statements *st, struct index_entry lower)
{
    enum err e = ERR_OK;
    if (c->run == NULL) {
        while (c->at < c->count && index_entry_compare(c->entries[c->at], lower) < 0) {
            c->at++;
        }
    } else {
        c->next_chunk = chunk_of(c->run, lower);
        e = cursor_load(c, db, st);
        if (e == ERR_OK) {
            c->at = lower_bound(c->chunk, c->count, lower);
        }
        if (e == ERR_OK && c->at == c->count) {
            e = cursor_load(c, db, st);
        }
    }
    c->is_at_end = c->at >= c->count;
    if (e == ERR_OK && !c->is_at_end) {
        cursor_show(c);
    }
    return e;
}

enum err index_cursor_next(struct index_cursor *c, sqlite3 *db, struct index_statements *st)
{
    enum err e = ERR_OK;
    c->at++;
    if (c->at >= c->count && c->run != NULL) {
        e = cursor_load(c, db, st);
    }
    c->is_at_end = c->at >= c->count;
    if (e == ERR_OK && !c->is_at_end) {
        cursor_show(c);
    }
    return e;
}
