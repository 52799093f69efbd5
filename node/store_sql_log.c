/*
 * Owns: the table of the change log. A key of 16 bytes (a dot key) is kept as one number: the place of its first 10
 * bytes in log_prefix, 15 bits, and above its last 6 bytes, 48 bits. Commits of one origin therefore lie side by side
 * in the one tree there is, and a new one changes one page of it.
 *
 * Invariants: a prefix, once given a number, keeps it and is never removed; numbers say nothing about order, so a scan
 * goes through the prefixes in their order and through the numbers of each. `known` holds only prefixes that are in the
 * table, as far as this connection has not rolled them back.
 */
#include "node/store_sql_log.h"

#include "schema/base/check.h"

enum { LOW_BYTES = STORE_LOG_KEY_BYTES - LOG_PREFIX_BYTES, LOW_BITS = 8 * LOW_BYTES, PREFIXES_MAX = (1 << 15) - 1 };

#define LOW_MAX ((UINT64_C(1) << LOW_BITS) - 1)

/* A key taken apart. */
struct log_key {
    uint8_t prefix[LOG_PREFIX_BYTES];
    uint64_t low;
};

static enum err take(struct store_log *l, enum log_sql number, sqlite3_stmt **out)
{
    static const char *const texts[LOG_SQL_COUNT] = {
#define X(name, text) [LOG_SQL_##name] = (text),
        LOG_SQL_TABLE(X)
#undef X
    };
    return sql_take(l->db, &l->slots[number], texts[number], out);
}

static void give(struct store_log *l, enum log_sql number, sqlite3_stmt *stmt)
{
    sql_give(&l->slots[number], stmt);
}

void store_log_init(struct store_log *l, sqlite3 *db)
{
    *l = (struct store_log){ .db = db };
}

void store_log_release(struct store_log *l)
{
    for (size_t i = 0; i < LOG_SQL_COUNT; i++) {
        sql_slot_release(&l->slots[i]);
    }
}

void store_log_forget(struct store_log *l)
{
    memset(l->known, 0, sizeof(l->known));
}

/* ---- keys ---- */

static struct log_key key_of(const uint8_t b[STORE_LOG_KEY_BYTES])
{
    struct log_key k = { .low = 0 };
    memcpy(k.prefix, b, sizeof(k.prefix));
    for (size_t i = LOG_PREFIX_BYTES; i < STORE_LOG_KEY_BYTES; i++) {
        k.low = k.low << 8 | b[i];
    }
    return k;
}

static void key_put(const uint8_t *prefix, uint64_t low, uint8_t out[STORE_LOG_KEY_BYTES])
{
    memcpy(out, prefix, LOG_PREFIX_BYTES);
    for (size_t i = STORE_LOG_KEY_BYTES; i-- > LOG_PREFIX_BYTES; low >>= 8) {
        out[i] = (uint8_t)low;
    }
}

static int64_t number_of(int64_t n, uint64_t low)
{
    return n << LOW_BITS | (int64_t)low;
}

/* The next key or the one before; false: there is none. */
static bool key_step(uint8_t b[STORE_LOG_KEY_BYTES], bool down)
{
    for (size_t i = STORE_LOG_KEY_BYTES; i-- > 0;) {
        b[i] = (uint8_t)(b[i] + (down ? 0xFF : 1));
        if (b[i] != (down ? 0xFF : 0)) {
            return true;
        }
    }
    return false;
}

/* The lowest key that is not below `bound`, which may be of any length; false: all keys are. */
static bool key_from(struct bytes bound, uint8_t out[STORE_LOG_KEY_BYTES])
{
    size_t len = bound.len < STORE_LOG_KEY_BYTES ? bound.len : STORE_LOG_KEY_BYTES;
    memset(out, 0, STORE_LOG_KEY_BYTES);
    if (len > 0) {
        memcpy(out, bound.ptr, len);
    }
    return bound.len <= STORE_LOG_KEY_BYTES || key_step(out, false);
}

/* ---- prefixes ---- */

static struct log_prefix *prefix_place(struct store_log *l, const uint8_t *prefix)
{
    uint32_t mixed = 0;
    for (size_t i = 0; i < LOG_PREFIX_BYTES; i++) {
        mixed = mixed * 31 + prefix[i];
    }
    return &l->known[mixed % LOG_PREFIX_CACHE];
}

static void prefix_keep(struct store_log *l, const uint8_t *prefix, int64_t n)
{
    struct log_prefix *place = prefix_place(l, prefix);
    place->n = n;
    memcpy(place->b, prefix, sizeof(place->b));
}

static enum err number_take(sqlite3_stmt *stmt, int64_t *out)
{
    enum err e = sql_column_int(stmt, 0, out);
    return e == ERR_OK && (*out < 1 || *out > PREFIXES_MAX) ? ERR_DAMAGED : e;
}

static enum err prefix_find(struct store_log *l, const uint8_t *prefix, int64_t *out)
{
    const struct log_prefix *place = prefix_place(l, prefix);
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    if (place->n != 0 && memcmp(place->b, prefix, LOG_PREFIX_BYTES) == 0) {
        *out = place->n;
        return ERR_OK;
    }
    enum err e = take(l, LOG_SQL_PREFIX, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    sql_bind_blob(stmt, 1, bytes_of(prefix, LOG_PREFIX_BYTES));
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK) {
        e = has_row ? number_take(stmt, out) : ERR_NOT_FOUND;
    }
    give(l, LOG_SQL_PREFIX, stmt);
    if (e == ERR_OK) {
        prefix_keep(l, prefix, *out);
    }
    return e;
}

static enum err prefix_add(struct store_log *l, const uint8_t *prefix, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    enum err e = take(l, LOG_SQL_PREFIX_ADD, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    sql_bind_blob(stmt, 1, bytes_of(prefix, LOG_PREFIX_BYTES));
    (void)sqlite3_bind_int(stmt, 2, PREFIXES_MAX);
    e = sql_run(&l->slots[LOG_SQL_PREFIX_ADD], stmt);
    if (e == ERR_OK && sqlite3_changes(l->db) == 0) {
        e = ERR_LIMIT; /* many more than there are origins (CORE_ORIGINS_MAX) */
    }
    if (e == ERR_OK) {
        *out = sqlite3_last_insert_rowid(l->db);
        prefix_keep(l, prefix, *out);
    }
    return e;
}

/* ---- one commit ---- */

/* ERR_NOT_FOUND: nothing of that prefix was ever here. */
static enum err find(struct store_log *l, struct bytes key, int64_t *out)
{
    int64_t n = 0;
    check(key.len == STORE_LOG_KEY_BYTES);
    const struct log_key k = key_of(key.ptr);
    enum err e = prefix_find(l, k.prefix, &n);
    *out = number_of(n, k.low);
    return e;
}

enum err store_log_get(struct store_log *l, struct bytes key, struct arena *a, struct bytes *out)
{
    sqlite3_stmt *stmt = NULL;
    struct bytes value = { 0 };
    bool has_row = false;
    int64_t number = 0;
    enum err e = find(l, key, &number);
    if (e != ERR_OK || (e = take(l, LOG_SQL_GET, &stmt)) != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, number);
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK) {
        e = has_row ? sql_column_blob(stmt, 0, &value) : ERR_NOT_FOUND;
    }
    if (e == ERR_OK) {
        e = arena_dup(a, value, out);
    }
    give(l, LOG_SQL_GET, stmt);
    return e;
}

enum err store_log_put(struct store_log *l, struct bytes key, struct bytes value)
{
    sqlite3_stmt *stmt = NULL;
    int64_t number = 0;
    enum err e = find(l, key, &number);
    if (e == ERR_NOT_FOUND) {
        int64_t n = 0;
        const struct log_key k = key_of(key.ptr);
        e = prefix_add(l, k.prefix, &n);
        number = number_of(n, k.low);
    }
    if (e != ERR_OK || (e = take(l, LOG_SQL_PUT, &stmt)) != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, number);
    sql_bind_blob(stmt, 2, value);
    return sql_run(&l->slots[LOG_SQL_PUT], stmt);
}

enum err store_log_del(struct store_log *l, struct bytes key)
{
    sqlite3_stmt *stmt = NULL;
    int64_t number = 0;
    enum err e = find(l, key, &number);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    e = take(l, LOG_SQL_DEL, &stmt);
    if (e == ERR_OK) {
        (void)sqlite3_bind_int64(stmt, 1, number);
        e = sql_run(&l->slots[LOG_SQL_DEL], stmt);
    }
    return e;
}

/* ---- scans ---- */

struct log_scan {
    struct store_log *l;
    struct log_key from; /* both ends included */
    struct log_key to;
    bool reverse;
    store_kv_fn fn;
    void *ctx;
};

/* The commits of one prefix. */
static enum err scan_prefix(const struct log_scan *s, int64_t n, const uint8_t *prefix)
{
    enum log_sql verb = s->reverse ? LOG_SQL_SCAN_BACK : LOG_SQL_SCAN;
    uint64_t low = memcmp(prefix, s->from.prefix, LOG_PREFIX_BYTES) == 0 ? s->from.low : 0;
    uint64_t high = memcmp(prefix, s->to.prefix, LOG_PREFIX_BYTES) == 0 ? s->to.low : LOW_MAX;
    sqlite3_stmt *stmt = NULL;
    enum err e = take(s->l, verb, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, number_of(n, low));
    (void)sqlite3_bind_int64(stmt, 2, number_of(n, high));
    for (bool has_row = true; has_row && e == ERR_OK;) {
        uint8_t key[STORE_LOG_KEY_BYTES];
        struct bytes value = { 0 };
        int64_t number = 0;
        e = sql_step(stmt, &has_row);
        if (e != ERR_OK || !has_row) {
            break;
        }
        if ((e = sql_column_int(stmt, 0, &number)) == ERR_OK && (e = sql_column_blob(stmt, 1, &value)) == ERR_OK) {
            key_put(prefix, (uint64_t)number & LOW_MAX, key);
            e = s->fn(s->ctx, BYTES_OF(key), value);
        }
    }
    give(s->l, verb, stmt);
    return e;
}

static enum err scan_prefixes(const struct log_scan *s)
{
    enum log_sql verb = s->reverse ? LOG_SQL_PREFIX_SCAN_BACK : LOG_SQL_PREFIX_SCAN;
    sqlite3_stmt *stmt = NULL;
    enum err e = take(s->l, verb, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    sql_bind_blob(stmt, 1, BYTES_OF(s->from.prefix));
    sql_bind_blob(stmt, 2, BYTES_OF(s->to.prefix));
    for (bool has_row = true; has_row && e == ERR_OK;) {
        uint8_t prefix[LOG_PREFIX_BYTES];
        int64_t n = 0;
        e = sql_step(stmt, &has_row);
        if (e != ERR_OK || !has_row) {
            break;
        }
        if ((e = number_take(stmt, &n)) == ERR_OK && (e = sql_column_copy(stmt, 1, prefix, sizeof(prefix))) == ERR_OK) {
            e = scan_prefix(s, n, prefix);
        }
    }
    give(s->l, verb, stmt);
    return e;
}

enum err store_log_scan(
    struct store_log *l, struct bytes from, struct bytes to, bool reverse, store_kv_fn fn, void *ctx)
{
    uint8_t first[STORE_LOG_KEY_BYTES];
    uint8_t last[STORE_LOG_KEY_BYTES];
    bool is_any = key_from(from, first);
    if (to.len > 0 && key_from(to, last)) {
        is_any = is_any && key_step(last, true);
    } else {
        memset(last, 0xFF, sizeof(last));
    }
    if (!is_any || memcmp(first, last, sizeof(first)) > 0) {
        return ERR_OK;
    }
    const struct log_scan s = {
        .l = l, .from = key_of(first), .to = key_of(last), .reverse = reverse, .fn = fn, .ctx = ctx
    };
    return scan_prefixes(&s);
}

/* ---- tables ---- */

enum err store_log_make(sqlite3 *db)
{
    return sql_exec(db,
        "CREATE TABLE IF NOT EXISTS kv_log (k INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;"
        "CREATE TABLE IF NOT EXISTS log_prefix (n INTEGER PRIMARY KEY, prefix BLOB NOT NULL UNIQUE) STRICT");
}

/* Moves the commit with the lowest key; *moved false: there was none. A commit leaves the old table at once, so the
 * file does not grow by a second log. */
static enum err move_one(struct store_log *l, struct sql_slot slots[2], bool *moved)
{
    sqlite3_stmt *stmt = NULL;
    struct bytes key = { 0 };
    struct bytes value = { 0 };
    int64_t place = 0;
    enum err e = sql_take(l->db, &slots[0], "SELECT rowid, k, v FROM log_of_layout_2 ORDER BY k LIMIT 1", &stmt);
    if (e != ERR_OK) {
        return e;
    }
    e = sql_step(stmt, moved);
    if (e == ERR_OK && *moved && (e = sql_column_int(stmt, 0, &place)) == ERR_OK &&
        (e = sql_column_blob(stmt, 1, &key)) == ERR_OK && (e = sql_column_blob(stmt, 2, &value)) == ERR_OK) {
        e = key.len == STORE_LOG_KEY_BYTES ? store_log_put(l, key, value) : ERR_DAMAGED;
    }
    sql_give(&slots[0], stmt);
    if (e != ERR_OK || !*moved) {
        return e;
    }
    e = sql_take(l->db, &slots[1], "DELETE FROM log_of_layout_2 WHERE rowid = ?1", &stmt);
    if (e == ERR_OK) {
        (void)sqlite3_bind_int64(stmt, 1, place);
        e = sql_run(&slots[1], stmt);
    }
    return e;
}

enum err store_log_convert(sqlite3 *db)
{
    struct store_log l;
    struct sql_slot slots[2] = { { 0 } };
    bool moved = true;
    store_log_init(&l, db);
    enum err e = sql_exec(db, "ALTER TABLE kv_log RENAME TO log_of_layout_2");
    if (e == ERR_OK) {
        e = store_log_make(db);
    }
    while (e == ERR_OK && moved) {
        e = move_one(&l, slots, &moved);
    }
    sql_slot_release(&slots[0]);
    sql_slot_release(&slots[1]);
    store_log_release(&l);
    return e == ERR_OK ? sql_exec(db, "DROP TABLE log_of_layout_2") : e;
}

enum err store_log_verify(sqlite3 *db)
{
    struct sql_slot slot = { 0 };
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    int64_t lost = 0;
    enum err e = sql_take(
        db, &slot, "SELECT EXISTS (SELECT 1 FROM kv_log WHERE k >> 48 NOT IN (SELECT n FROM log_prefix))", &stmt);
    if (e == ERR_OK && (e = sql_step(stmt, &has_row)) == ERR_OK) {
        e = has_row ? sql_column_int(stmt, 0, &lost) : ERR_DAMAGED;
    }
    sql_give(&slot, stmt);
    sql_slot_release(&slot);
    return e == ERR_OK && lost != 0 ? ERR_DAMAGED : e;
}
