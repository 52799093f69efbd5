#ifndef JIPAN_STORE_INDEX_RUN_H
#define JIPAN_STORE_INDEX_RUN_H

#include "node/store_index.h"

/* Shared by node/store_index.c and node/store_index_run.c; nobody else includes it. */

enum {
    INDEX_CHUNK_ENTRIES = 285, /* one page of the store */
    INDEX_CHUNK_BYTES = INDEX_CHUNK_ENTRIES * STORE_INDEX_ENTRY_BYTES,
    INDEX_CHUNK_BITS = 24, /* chunk id = run id << 24 | number */
};

/* An entry in memory; the order of the numbers is the order of the bytes. */
struct index_entry {
    uint64_t high; /* the first 8 bytes of the key */
    uint64_t low; /* 2 bytes of the key, 4 of the place */
};

/* A set of keys that may say yes wrongly, never no. */
struct index_sieve {
    uint64_t *owned_words;
    uint64_t mask; /* bits - 1 */
};

/* A run never changes once it is written. body: its entries when they fit one chunk, else the first entry of each
 * chunk. */
struct index_run {
    int64_t id;
    enum store_index_kind kind;
    uint64_t count;
    uint8_t *owned_body;
    size_t body_len;
    struct index_sieve sieve; /* built when first asked for */
    bool is_young; /* written by the open transaction */
    bool is_gone; /* merged away by the open transaction */
    bool is_seen; /* for reloading */
};

struct index_statements {
    struct sql_slot newest;
    struct sql_slot chunk_get;
    struct sql_slot chunk_put;
    struct sql_slot chunk_del;
    struct sql_slot run_put;
    struct sql_slot run_del;
};

void index_entry_write(struct index_entry e, uint8_t out[STORE_INDEX_ENTRY_BYTES]);
struct index_entry index_entry_read(const uint8_t *from);
static inline int index_entry_compare(struct index_entry a, struct index_entry b)
{
    int high = (a.high > b.high) - (a.high < b.high);
    return high != 0 ? high : (a.low > b.low) - (a.low < b.low);
}

/* Sorts; the entries may move to other memory of the same capacity. */
MUST_USE enum err index_entry_sort(struct index_entry **owned_at, size_t count, size_t capacity);

MUST_USE bool index_sieve_init(struct index_sieve *s, uint64_t expected); /* false: out of memory */
void index_sieve_release(struct index_sieve *s);
void index_sieve_add(struct index_sieve *s, struct index_entry e);
bool index_sieve_has(const struct index_sieve *s, struct index_entry e);

void index_run_free(struct index_run *r);

/* Adds the places of one key, lower.low being its smallest entry. */
MUST_USE enum err index_run_find(sqlite3 *db, struct index_statements *st, struct index_run *r,
    struct index_entry lower, struct store_index_places *out);
MUST_USE enum err store_index_places_add(struct store_index_places *out, uint32_t place);

/* Takes the rows of a run out of the tables. */
MUST_USE enum err index_run_remove(sqlite3 *db, struct index_statements *st, const struct index_run *r);

/* --- writing: entries in order; those equal to the one before are left out */
struct index_writer {
    sqlite3 *db;
    struct index_statements *st;
    struct index_run *owned_run;
    size_t fence_capacity;
    uint64_t chunk_count;
    size_t in_chunk;
    struct index_entry last;
    uint8_t chunk[INDEX_CHUNK_BYTES];
};
MUST_USE enum err index_writer_start(
    struct index_writer *w, sqlite3 *db, struct index_statements *st, enum store_index_kind kind, int64_t id);
MUST_USE enum err index_writer_add(struct index_writer *w, struct index_entry e);
MUST_USE enum err index_writer_finish(struct index_writer *w, struct index_run **out); /* also after an error */
void index_writer_drop(struct index_writer *w);

/* --- reading several runs as one, in order */
struct index_cursor {
    const struct index_run *run; /* NULL: entries in memory */
    const struct index_entry *entries;
    uint64_t next_chunk;
    size_t at;
    size_t count;
    bool is_at_end;
    struct index_entry now;
    uint8_t chunk[INDEX_CHUNK_BYTES];
};
/* Places the cursor on the first entry not below lower. */
MUST_USE enum err index_cursor_start(
    struct index_cursor *c, sqlite3 *db, struct index_statements *st, struct index_entry lower);
MUST_USE enum err index_cursor_next(struct index_cursor *c, sqlite3 *db, struct index_statements *st);

#endif
