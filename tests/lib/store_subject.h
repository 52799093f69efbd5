#ifndef JIPAN_TESTS_STORE_SUBJECT_H
#define JIPAN_TESTS_STORE_SUBJECT_H

#include "node/vault.h"
#include "sync/store.h"

/* A store under test, whichever implementation, with what a test needs around it. Failures to set one up end the test.
 */

enum subject_kind { SUBJECT_MEM, SUBJECT_SQLITE, SUBJECT_VAULT, SUBJECT_KIND_COUNT };

struct subject {
    enum subject_kind kind;
    struct store *s;
    struct arena a; /* for reads; reset by subject_reopen */
    struct mem mem;
    sqlite3 *db; /* NULL for SUBJECT_MEM */
    struct vault *vault; /* only SUBJECT_VAULT */
    char dir[64];
    sqlite3 *other_db;
    struct store *other;
};

const char *subject_name(enum subject_kind kind);
struct subject *subject_new(enum subject_kind kind);
void subject_free(struct subject *t);

/* The first value of a question, which has one, as a number. */
int64_t subject_asked(sqlite3 *db, const char *text);

/* Closes everything without committing and opens it again from what was stored. */
void subject_reopen(struct subject *t);

/* A second view of the same data through another connection; NULL where there is none (SUBJECT_MEM). Owned by the
 * subject. */
struct store *subject_other(struct subject *t);

/* Commits while no byte can be written to disk. */
enum err subject_commit_on_failing_disk(struct subject *t);

/* A mem on malloc with this budget; for arenas of tests. */
struct mem subject_mem(size_t max_bytes);

/* ---- made-up content, by seed ---- */

struct dossier_id some_dossier_id(uint32_t n);
struct dossier some_dossier(uint32_t n); /* everything set, by n */
struct record_id some_record_id(uint32_t n, uint32_t k); /* k 0: the main record of dossier n */

/* A row with a value in every field that is stored, different for different seeds; memory from a. */
struct row some_row(struct arena *a, enum entity entity, struct record_id id, uint32_t seed);

/* What a store hands back for row: fields that are not stored are NULL. */
bool row_equal(const struct row *x, const struct row *y);
bool dossier_equal(const struct dossier *x, const struct dossier *y);
bool field_is_stored(const struct field *f);

/* First field of the entity that is stored, has (or has not) an index, and is of the type; NULL if none. */
const struct field *some_field(enum entity entity, bool is_indexed, enum value_type type);
enum value_type field_value_type(const struct field *f);

/* Runs fn(ctx) and reports whether a check() stopped it. */
bool check_stops(void (*fn)(void *ctx), void *ctx);

#endif
