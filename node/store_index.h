#ifndef JIPAN_STORE_INDEX_H
#define JIPAN_STORE_INDEX_H

#include "node/sql.h"

#include "schema/value.h"

/*
 * The one index of the SQLite store: which places (rids of dossiers) stand under a key of 10 bytes. Made for keys that
 * are random: they are collected per transaction and written as a sorted run, runs of like size are merged, so an
 * import writes its entries in order instead of changing a page for each (docs/decisions/0016-sorted-runs.md).
 *
 * Entries are hints: what they point to may have changed or gone, so whoever asks compares with the row itself. In
 * return nothing is ever taken out one by one.
 */
enum store_index_kind {
    STORE_INDEX_NONE, /* holds the hash key only */
    STORE_INDEX_DOSSIER, /* dossier id -> its rid */
    STORE_INDEX_MARK, /* a mark that was set -> 0 */
    STORE_INDEX_FIELD, /* entity, field, keyed hash of the value -> rids of dossiers with such a row */
    STORE_INDEX_KIND_COUNT,
};

enum {
    STORE_INDEX_KEY_BYTES = 10,
    STORE_INDEX_ENTRY_BYTES = STORE_INDEX_KEY_BYTES + 4,
    STORE_INDEX_FEW_PLACES = 8,
};

struct store_index;

/* Places found, ascending, each once. Start from zero; release afterwards. */
struct store_index_places {
    uint32_t *at;
    size_t count;
    size_t capacity;
    uint32_t few[STORE_INDEX_FEW_PLACES];
    uint32_t *owned_many;
};

/* Makes the tables and the key of the hash; inside a transaction of the caller's. */
MUST_USE enum err store_index_make(sqlite3 *db);

/* Nothing is read before the first question. db stays the caller's. NULL: out of memory. */
struct store_index *store_index_new(sqlite3 *db);
void store_index_free(struct store_index *ix);

/* The key of a value of a field. ERR_DAMAGED: no hash key in the store. */
MUST_USE enum err store_index_key(
    struct store_index *ix, uint32_t entity, uint32_t field, struct value value, uint8_t out[STORE_INDEX_KEY_BYTES]);

/* --- inside a transaction: begin, any number of add and clear, then flush and end(true), or end(false) */
void store_index_begin(struct store_index *ix);
MUST_USE enum err store_index_add(
    struct store_index *ix, enum store_index_kind kind, const uint8_t key[STORE_INDEX_KEY_BYTES], uint32_t place);
MUST_USE enum err store_index_clear(struct store_index *ix, enum store_index_kind kind);
MUST_USE enum err store_index_flush(struct store_index *ix);
void store_index_end(struct store_index *ix, bool is_committed);

/* --- asking; sees what the open transaction added */
MUST_USE enum err store_index_find(struct store_index *ix, enum store_index_kind kind,
    const uint8_t key[STORE_INDEX_KEY_BYTES], struct store_index_places *out);
void store_index_places_release(struct store_index_places *places);

/* Visits entries above every entry of key `after` (NULL: all) in order of key, then place, each once. The visitor must
 * not add. */
typedef enum err (*store_index_fn)(void *ctx, const uint8_t key[STORE_INDEX_KEY_BYTES], uint32_t place);
MUST_USE enum err store_index_scan(struct store_index *ix, enum store_index_kind kind,
    const uint8_t after[STORE_INDEX_KEY_BYTES], store_index_fn fn, void *ctx);

#endif
