#ifndef JIPAN_STORE_H
#define JIPAN_STORE_H

#include "schema/catalogue.h"

/*
 * What the core needs from storage. Two implementations: node/store_sqlite.c (encrypted SQLite) and
 * tests/lib/store_mem.c; tests/contract/contract_store.c holds both to the numbered clauses below.
 *
 *  S1  Between begin and commit every change is visible to reads through the same store, and to nothing else.
 *  S2  commit(durable) returns ERR_OK only after the transaction survives power loss; commit(!durable) survives a
 * killed process, and power loss too once a later commit(durable) or rollback has returned. After rollback, or a commit
 * that failed, nothing of the transaction is visible. S3  After ERR_IO from
 * commit the store is poisoned: every later begin answers ERR_IO until reopened. ERR_FULL leaves it able to go on. S4
 * Scans visit keys in byte order, each once; a scan sees the state at its start or later, and the callback must not
 * write. S5  Returned bytes are copies in the caller's arena. S6  Reads outside a transaction see the last committed
 * state. S7  Rows are keyed by (entity, record id); put replaces the whole row. S8  ERR_NOT_FOUND is the only answer
 * for a missing key; it is not a failure. S9  dossier_del leaves nothing of a dossier: neither itself nor its rows and
 * touches, also not for a dossier that is put again under its id. S10 A key of SPACE_LOG has 16 bytes, any other length
 * is a programmer error; the bounds of a scan there may have any length.
 */

/* Ordered byte-string maps. Keys up to 64 bytes; values up to 1 MiB. */
enum { STORE_KEY_MAX_BYTES = 64, STORE_VALUE_MAX_BYTES = 1 << 20, STORE_LOG_KEY_BYTES = 16 };

enum { STORE_MARK_BYTES = 10 };

enum store_space {
    SPACE_META, /* singletons by name */
    SPACE_LOG, /* dot key (16) -> commit bytes: the change log, the truth */
    SPACE_MEMBER, /* entry number (u64 be) -> membership entry bytes */
    SPACE_HEADS, /* node, epoch (u32 be each) -> what is settled of that origin; of our own, a while ago */
    SPACE_CONFLICT, /* conflict id (16) -> conflict entry */
    SPACE_CONTESTED, /* record id (16), field (u32 be) -> conflict ids */
    SPACE_QUARANTINE, /* dot key (16), part (u32 be) -> reason, first seen */
    SPACE_AUDIT, /* number (u64 be) -> audit entry bytes */
    SPACE_PEER, /* by first byte of the key: configured links, witnessed audit heads, what nodes said they have */
    SPACE_URGENT, /* dot key (16) -> nothing: commits with something urgent in them that was applied */
    SPACE_WAITING, /* missing dot (16), quarantine key -> nothing: what waits for a commit that is not known to exist */
    SPACE_BOX, /* dot key (16) -> boxed secrets beside a commit, on relays (sync/relay.h) */
    SPACE_LEAVING, /* dossier id (10) -> nothing: it has to leave this node (sync/leaving.h) */
    SPACE_LETTER, /* dot key (16) -> own commit of which something was forgotten, sealed for others (sync/letter.h) */
    SPACE_GAP, /* dossier id (10), dot key (16) -> nothing: a commit of the dossier that is not held (sync/gap.c) */
    SPACE_FORK, /* proofs that an origin has forked, commits of branches that are not in the log: sync/fork.c */
    SPACE_COUNT,
};

/* One dossier. rid-like physical keys stay inside the store. */
struct dossier {
    struct dossier_id id;
    enum dossier_kind kind;
    uint32_t station; /* home station number in the membership log */
    uint32_t creator; /* user number of the creating commit's author; 0 unknown */
    uint32_t owner; /* user number of the open sales assignment; 0 none (then the creator counts) */
    uint8_t secret[16]; /* the dossier secret; all zero for books; destroyed by erasure */
    uint32_t flags; /* DOSSIER_* */
    struct bytes seen; /* encoded version vector of the dots applied to this dossier (schema/vv.h) */
};

/* HAS_GAP: of this node only, an earlier commit of the dossier is not held (sync/gap.c). */
enum dossier_flag { DOSSIER_ERASED = 1 << 0, DOSSIER_HAS_GAP = 1 << 1 };

/* One row: values in catalogue order of its entity (count = field_count), plus version blob and unknown newer fields.
 */
struct row {
    struct record_id id;
    enum entity entity;
    bool is_deleted;
    struct bytes versions; /* packed per-field dots, opaque to the store (sync/versions.h) */
    struct bytes extra; /* tagged values of fields this build does not know, opaque */
    struct value *values; /* field_count entries */
};

struct store_query {
    enum entity entity;
    const struct field *field; /* NULL: no filter on a value */
    struct value value; /* equal to */
    const struct dossier_id *dossier; /* NULL: any */
    bool with_deleted;
};

struct store;

/* Visitors return ERR_OK to go on; anything else stops the scan and becomes its result. Arguments are borrowed for the
 * call. */
typedef enum err (*store_kv_fn)(void *ctx, struct bytes key, struct bytes value);
typedef enum err (*store_row_fn)(void *ctx, const struct row *row);
typedef enum err (*store_dossier_fn)(void *ctx, const struct dossier *dossier);
typedef enum err (*store_dot_fn)(void *ctx, struct dot dot);

struct store_ops {
    enum err (*begin)(struct store *s);
    enum err (*commit)(struct store *s, bool durable);
    void (*rollback)(struct store *s);

    enum err (*get)(struct store *s, enum store_space space, struct bytes key, struct arena *a, struct bytes *out);
    enum err (*put)(struct store *s, enum store_space space, struct bytes key, struct bytes value);
    enum err (*del)(struct store *s, enum store_space space, struct bytes key); /* ERR_OK also when absent */
    /* from inclusive, to exclusive; empty `to` = to the end; reverse visits from the high end. */
    enum err (*scan)(struct store *s, enum store_space space, struct bytes from, struct bytes to, bool reverse,
        store_kv_fn fn, void *ctx);

    enum err (*dossier_get)(struct store *s, struct dossier_id id, struct arena *a, struct dossier *out);
    enum err (*dossier_put)(struct store *s, const struct dossier *d);
    /* dossier_put and touch_add in one. */
    enum err (*dossier_touched)(struct store *s, const struct dossier *d, struct dot dot);
    enum err (*dossier_del)(struct store *s, struct dossier_id id); /* ERR_OK also when absent */
    /* In id order; from NULL starts at the first; visits ids > *from. */
    enum err (*dossier_scan)(struct store *s, const struct dossier_id *from, store_dossier_fn fn, void *ctx);
    /* Every dossier once, as they lie: many times faster than in id order. For what does not depend on the order. */
    enum err (*dossier_each)(struct store *s, store_dossier_fn fn, void *ctx);

    /* Which commits touched a dossier, in dot order. The dossier must exist. */
    enum err (*touch_add)(struct store *s, struct dossier_id id, struct dot dot);
    enum err (*touch_scan)(struct store *s, struct dossier_id id, store_dot_fn fn, void *ctx);

    enum err (*row_get)(struct store *s, enum entity entity, struct record_id id, struct arena *a, struct row *out);
    enum err (*row_put)(struct store *s, const struct row *row); /* the row's dossier must exist */
    /* is_new: the caller knows that the row does not exist (saves a lookup); wrong knowledge is ERR_EXISTS. */
    enum err (*row_insert)(struct store *s, const struct row *row);
    /* Visits matching rows ordered by record id within a dossier; across dossiers in an order that depends on no field
     * value. after NULL starts at the first. limit 0 = all. */
    enum err (*row_find)(struct store *s, const struct store_query *q, size_t limit, store_row_fn fn, void *ctx);
    enum err (*row_count)(struct store *s, enum entity entity, uint64_t *out); /* live rows */

    /* Which spreadsheet rows were imported: a set of keyed hashes that only grows. */
    enum err (*imported_put)(struct store *s, const uint8_t mark[STORE_MARK_BYTES]);
    enum err (*imported_has)(struct store *s, const uint8_t mark[STORE_MARK_BYTES], bool *out);

    /* Empties every derived table (rows, touches, conflicts, contested, urgent, gaps, dossier seen/owner), keeps log,
     * keys and the rest. Dossiers that cannot be read go; every other one is found afterwards. */
    enum err (*clear_derived)(struct store *s);
};

struct store {
    const struct store_ops *ops;
};

#endif
