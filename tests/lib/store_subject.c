/*
 * Owns: setting up and tearing down stores for tests, and made-up rows. A disk that takes no byte is made with the
 * file-size limit of the process: the real write calls fail, through any VFS.
 */
#include "tests/lib/store_subject.h"

#include "node/store_sqlite.h"
#include "node/vault/slots.h"
#include "schema/base/check.h"
#include "tests/lib/store_mem.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- memory ---- */

static void *heap_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

struct mem subject_mem(size_t max_bytes)
{
    return (struct mem){ .resize = heap_resize, .max_bytes = max_bytes };
}

/* ---- subjects ---- */

const char *subject_name(enum subject_kind kind)
{
    static const char *const names[SUBJECT_KIND_COUNT] = { "memory", "sqlite", "vault" };
    return names[kind];
}

static void run(sqlite3 *db, const char *text)
{
    check(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK);
}

static void db_path(const struct subject *t, char out[96])
{
    (void)snprintf(out, 96, "%s/jipan.db", t->dir);
}

static sqlite3 *open_plain(const struct subject *t)
{
    char path[96];
    sqlite3 *db = NULL;
    db_path(t, path);
    check(sqlite3_open(path, &db) == SQLITE_OK);
    run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
    return db;
}

static void open_vault(struct subject *t)
{
    static const struct bytes secret = { (const uint8_t *)"correct horse battery", 21 };
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES];
    vault_test_set_kdf(1, 8192); /* libsodium's least: passphrases are not what is tested */
    if (vault_exists(t->dir)) {
        check(vault_open(t->dir, secret, &t->vault, NULL) == ERR_OK);
    } else {
        check(vault_create(t->dir, secret, recovery_text, &t->vault, NULL) == ERR_OK);
    }
    t->db = vault_db(t->vault);
}

static void open_parts(struct subject *t)
{
    if (t->kind == SUBJECT_MEM) {
        t->s = t->s == NULL ? store_mem_new() : t->s;
        return;
    }
    if (t->kind == SUBJECT_VAULT) {
        open_vault(t);
    } else {
        t->db = open_plain(t);
    }
    check(store_sqlite_new(t->db, &t->s, NULL) == ERR_OK);
}

static void close_parts(struct subject *t)
{
    store_sqlite_free(t->other);
    t->other = NULL;
    check(sqlite3_close(t->other_db) == SQLITE_OK);
    t->other_db = NULL;
    if (t->kind == SUBJECT_MEM) {
        return;
    }
    store_sqlite_free(t->s);
    t->s = NULL;
    if (t->kind == SUBJECT_VAULT) {
        vault_close(t->vault);
        t->vault = NULL;
    } else {
        check(sqlite3_close(t->db) == SQLITE_OK);
    }
    t->db = NULL;
}

struct subject *subject_new(enum subject_kind kind)
{
    struct subject *t = calloc(1, sizeof(*t));
    check(t != NULL);
    t->kind = kind;
    t->mem = subject_mem(64U << 20);
    arena_init(&t->a, &t->mem, 32U << 20);
    if (kind != SUBJECT_MEM) {
        (void)snprintf(t->dir, sizeof(t->dir), "/tmp/jipan-store-XXXXXX");
        check(mkdtemp(t->dir) != NULL);
    }
    open_parts(t);
    return t;
}

static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    check(d != NULL);
    for (struct dirent *at = readdir(d); at != NULL; at = readdir(d)) {
        if (at->d_name[0] != '.') {
            check(unlinkat(dirfd(d), at->d_name, 0) == 0);
        }
    }
    (void)closedir(d);
    check(rmdir(dir) == 0);
}

void subject_free(struct subject *t)
{
    close_parts(t);
    if (t->kind == SUBJECT_MEM) {
        store_mem_free(t->s);
    } else {
        remove_dir(t->dir);
    }
    arena_release(&t->a);
    check(t->mem.used_bytes == 0);
    free(t);
}

void subject_reopen(struct subject *t)
{
    arena_reset(&t->a);
    if (t->kind == SUBJECT_MEM) {
        store_mem_reopen(t->s);
        return;
    }
    close_parts(t);
    open_parts(t);
}

struct store *subject_other(struct subject *t)
{
    if (t->kind != SUBJECT_MEM && t->other == NULL) {
        if (t->kind == SUBJECT_SQLITE) {
            t->other_db = open_plain(t);
        } else {
            check(vault_reader(t->vault, &t->other_db) == ERR_OK);
        }
        check(store_sqlite_new(t->other_db, &t->other, NULL) == ERR_OK);
    }
    return t->other;
}

enum err subject_commit_on_failing_disk(struct subject *t)
{
    if (t->kind == SUBJECT_MEM) {
        struct fault fault = { .countdown = 1 };
        store_mem_set_fault(t->s, &fault);
        enum err e = t->s->ops->commit(t->s, true);
        store_mem_set_fault(t->s, NULL);
        return e;
    }
    struct rlimit old;
    check(getrlimit(RLIMIT_FSIZE, &old) == 0);
    (void)fflush(NULL);
    void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
    check(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max }) == 0);
    enum err e = t->s->ops->commit(t->s, true);
    check(setrlimit(RLIMIT_FSIZE, &old) == 0);
    (void)signal(SIGXFSZ, old_handler);
    return e;
}

/* ---- content ---- */

struct dossier_id some_dossier_id(uint32_t n)
{
    struct dossier_id id;
    uint64_t x = (n + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < sizeof(id.b); i++) {
        id.b[i] = (uint8_t)(x >> (8 * (i % 8)));
    }
    return id;
}

struct dossier some_dossier(uint32_t n)
{
    static const uint8_t seen[16] = { 1, 2, 3, 4, 5 };
    struct dossier d = { .id = some_dossier_id(n),
        .kind = DOSSIER_CUSTOMER,
        .station = 7 + n,
        .creator = 4000000000U,
        .owner = n,
        .seen = bytes_of(seen, n % sizeof(seen)) };
    memset(d.secret, (int)(n % 251) + 1, sizeof(d.secret));
    return d;
}

struct record_id some_record_id(uint32_t n, uint32_t k)
{
    uint8_t suffix[RECORD_SUFFIX_BYTES] = { (uint8_t)(k * 151), (uint8_t)(k >> 8), 0, 0, (uint8_t)k, 0 };
    return record_id_make(some_dossier_id(n), k == 0 ? NULL : suffix);
}

enum value_type field_value_type(const struct field *f)
{
    if (f->type == FIELD_TEXT || f->type == FIELD_USER || f->type == FIELD_STATION) {
        return VALUE_TEXT;
    }
    if (f->type == FIELD_REF) {
        return VALUE_ID;
    }
    return f->type == FIELD_CODES || f->type == FIELD_TEXTS ? VALUE_SET : VALUE_INT;
}

bool field_is_stored(const struct field *f)
{
    return f->merge != MERGE_DERIVED && (f->flags & FIELD_DOSSIER) == 0;
}

const struct field *some_field(enum entity entity, bool is_indexed, enum value_type type)
{
    const struct entity_desc *d = catalogue_entity(entity);
    for (size_t i = 0; i < d->field_count; i++) {
        const struct field *f = &d->fields[i];
        if (field_is_stored(f) && ((f->flags & FIELD_INDEXED) != 0) == is_indexed && field_value_type(f) == type) {
            return f;
        }
    }
    return NULL;
}

static struct bytes some_bytes(struct arena *a, size_t len, uint32_t seed)
{
    uint8_t *p = arena_alloc(a, len + 1);
    check(p != NULL);
    for (size_t i = 0; i < len; i++) {
        p[i] = (uint8_t)('A' + (seed + i * 7) % 26);
    }
    return bytes_of(p, len);
}

struct row some_row(struct arena *a, enum entity entity, struct record_id id, uint32_t seed)
{
    const struct entity_desc *d = catalogue_entity(entity);
    struct row row = { .id = id,
        .entity = entity,
        .versions = some_bytes(a, 40 + seed % 5, seed),
        .extra = some_bytes(a, seed % 3, seed),
        .values = arena_array(a, d->field_count, sizeof(struct value)) };
    check(row.values != NULL);
    for (size_t i = 0; i < d->field_count; i++) {
        uint32_t x = seed * 31 + (uint32_t)i;
        enum value_type type = field_value_type(&d->fields[i]);
        if (type == VALUE_INT) {
            row.values[i] = value_int(x % 2 == 0 ? (int64_t)x * 1000003 : -(int64_t)x);
        } else {
            size_t len = type == VALUE_ID ? RECORD_ID_BYTES : x % 40;
            row.values[i] = (struct value){ .type = type, .s = some_bytes(a, len, x) };
        }
    }
    return row;
}

static bool same_value(const struct field *f, const struct value *x, const struct value *y)
{
    enum value_type type = field_is_stored(f) ? x->type : VALUE_NULL;
    enum value_type other = field_is_stored(f) ? y->type : VALUE_NULL;
    if (type != other || type == VALUE_NULL) {
        return type == other;
    }
    return type == VALUE_INT ? x->i == y->i : bytes_equal(x->s, y->s);
}

bool row_equal(const struct row *x, const struct row *y)
{
    const struct entity_desc *d = catalogue_entity(x->entity);
    bool same = record_id_compare(x->id, y->id) == 0 && x->entity == y->entity && x->is_deleted == y->is_deleted &&
                bytes_equal(x->versions, y->versions) && bytes_equal(x->extra, y->extra);
    for (size_t i = 0; i < d->field_count && same; i++) {
        same = same_value(&d->fields[i], &x->values[i], &y->values[i]);
    }
    return same;
}

bool dossier_equal(const struct dossier *x, const struct dossier *y)
{
    return dossier_id_compare(x->id, y->id) == 0 && x->kind == y->kind && x->station == y->station &&
           x->creator == y->creator && x->owner == y->owner && bytes_equal(BYTES_OF(x->secret), BYTES_OF(y->secret)) &&
           x->flags == y->flags && bytes_equal(x->seen, y->seen);
}

static jmp_buf stopped;

static void jump_out(const char *expr, const char *file, int line)
{
    (void)expr;
    (void)file;
    (void)line;
    longjmp(stopped, 1);
}

bool check_stops(void (*fn)(void *ctx), void *ctx)
{
    check_set_hook(jump_out);
    volatile bool was_stopped = true;
    if (setjmp(stopped) == 0) {
        fn(ctx);
        was_stopped = false;
    }
    check_set_hook(NULL);
    return was_stopped;
}

int64_t subject_asked(sqlite3 *db, const char *text)
{
    sqlite3_stmt *stmt = NULL;
    check(sqlite3_prepare_v2(db, text, -1, &stmt, NULL) == SQLITE_OK);
    check(sqlite3_step(stmt) == SQLITE_ROW);
    int64_t v = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return v;
}
