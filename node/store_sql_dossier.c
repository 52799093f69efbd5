/*
 * Owns: the rows of dossiers and which commits touched them. A dossier's first DOSSIER_DOTS_MAX dots stand in its own
 * row (`dots`, sorted), later ones in the table `touch`: an edit changes one page less, and a book with thousands of
 * commits does not carry them all along.
 *
 * Invariants: a dot stands in one of the two places only. The index of ids gives hints: a place counts only when the
 * row there has the id. rids holds only dossiers that exist as seen by this connection.
 */
#include "node/store_sql.h"

#include "schema/base/check.h"
#include "schema/base/reader.h"

static struct store_sqlite *own(struct store *s)
{
    return (struct store_sqlite *)s;
}

static struct rid_entry *rid_place(struct store_sqlite *q, struct dossier_id id)
{
    uint64_t head = 0;
    uint16_t tail = 0;
    memcpy(&head, id.b, sizeof(head));
    memcpy(&tail, id.b + sizeof(head), sizeof(tail));
    uint64_t mixed = (head ^ tail) * UINT64_C(0x9e3779b97f4a7c15);
    return &q->rids[mixed >> 52 & (RID_CACHE_COUNT - 1)];
}

static bool rid_cached(struct store_sqlite *q, struct dossier_id id, int64_t *out)
{
    const struct rid_entry *place = rid_place(q, id);
    if (store_sql_is_lost(q) || place->rid == 0 || dossier_id_compare(place->id, id) != 0) {
        return false;
    }
    *out = place->rid;
    return true;
}

/* Whether the dossier at this place is the wanted one. */
static enum err is_at(struct store_sqlite *q, int64_t rid, struct dossier_id id, bool *out)
{
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    struct bytes found = { 0 };
    enum err e = store_sql_fixed(q, STORE_SQL_DOSSIER_ID, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK && has_row) {
        e = sql_column_blob(stmt, 0, &found);
    }
    *out = e == ERR_OK && has_row && bytes_equal(found, BYTES_OF(id.b));
    sql_give(&q->fixed[STORE_SQL_DOSSIER_ID], stmt);
    return e;
}

enum err store_sql_rid(struct store_sqlite *q, struct dossier_id id, int64_t *out)
{
    struct store_index_places places = { 0 };
    bool is_found = false;
    if (rid_cached(q, id, out)) {
        return ERR_OK;
    }
    if (q->is_in_transaction && q->absent.rid != 0 && dossier_id_compare(q->absent.id, id) == 0) {
        return ERR_NOT_FOUND;
    }
    enum err e = store_index_find(q->index, STORE_INDEX_DOSSIER, id.b, &places);
    for (size_t i = 0; e == ERR_OK && !is_found && i < places.count; i++) {
        *out = places.at[i];
        e = is_at(q, *out, id, &is_found);
    }
    store_index_places_release(&places);
    if (e == ERR_OK && is_found) {
        *rid_place(q, id) = (struct rid_entry){ .rid = *out, .id = id };
    }
    if (e != ERR_OK || is_found) {
        return e;
    }
    /* Asked again when it is inserted. Nobody else inserts during a transaction. */
    q->absent = (struct rid_entry){ .rid = q->is_in_transaction ? 1 : 0, .id = id };
    return ERR_NOT_FOUND;
}

/* seen stays borrowed from the statement. Columns as in STORE_SQL_DOSSIER_GET. */
static enum err read_dossier(sqlite3_stmt *stmt, struct dossier *out)
{
    struct dossier d = { 0 };
    uint32_t kind = 0;
    enum err e = ERR_OK;
    if ((e = sql_column_copy(stmt, 0, d.id.b, sizeof(d.id.b))) != ERR_OK ||
        (e = sql_column_u32(stmt, 1, &kind)) != ERR_OK || (e = sql_column_u32(stmt, 2, &d.station)) != ERR_OK ||
        (e = sql_column_u32(stmt, 3, &d.creator)) != ERR_OK || (e = sql_column_u32(stmt, 4, &d.owner)) != ERR_OK ||
        (e = sql_column_copy(stmt, 5, d.secret, sizeof(d.secret))) != ERR_OK ||
        (e = sql_column_u32(stmt, 6, &d.flags)) != ERR_OK || (e = sql_column_blob(stmt, 7, &d.seen)) != ERR_OK) {
        return e;
    }
    if (kind == 0 || kind > UINT8_MAX) { /* a later version may know more kinds */
        return ERR_DAMAGED;
    }
    d.kind = (enum dossier_kind)kind;
    *out = d;
    return ERR_OK;
}

static enum err copy_dossier(struct arena *a, const struct dossier *d, struct dossier *out)
{
    struct bytes seen = { 0 };
    enum err e = arena_dup(a, d->seen, &seen);
    if (e == ERR_OK) {
        *out = *d;
        out->seen = seen;
    }
    return e;
}

enum err store_sql_dossier_get(struct store *s, struct dossier_id id, struct arena *a, struct dossier *out)
{
    struct store_sqlite *q = own(s);
    int64_t rid = 0;
    sqlite3_stmt *stmt = NULL;
    struct bytes dots = { 0 };
    enum err e = store_sql_rid(q, id, &rid);
    const struct dossier *last = e == ERR_OK ? store_last_dossier(&q->last, rid, &dots) : NULL;
    if (last != NULL && !store_sql_is_lost(q)) {
        return copy_dossier(a, last, out);
    }
    if (e != ERR_OK || (e = store_sql_fixed(q, STORE_SQL_DOSSIER_GET, &stmt)) != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    bool has_row = false;
    struct dossier d;
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK && (e = has_row ? read_dossier(stmt, &d) : ERR_DAMAGED) == ERR_OK &&
        (e = sql_column_blob(stmt, 8, &dots)) == ERR_OK) {
        store_last_keep_dossier(&q->last, q->db, rid, &d, dots);
        e = copy_dossier(a, &d, out);
    }
    sql_give(&q->fixed[STORE_SQL_DOSSIER_GET], stmt);
    return e;
}

static void bind_dossier(sqlite3_stmt *stmt, const struct dossier *d)
{
    (void)sqlite3_bind_int(stmt, 2, (int)d->kind);
    (void)sqlite3_bind_int64(stmt, 3, d->station);
    (void)sqlite3_bind_int64(stmt, 4, d->creator);
    (void)sqlite3_bind_int64(stmt, 5, d->owner);
    sql_bind_blob(stmt, 6, BYTES_OF(d->secret));
    (void)sqlite3_bind_int64(stmt, 7, d->flags);
    sql_bind_blob(stmt, 8, d->seen);
}

/* ---- dots ---- */

struct dots {
    struct dot at[DOSSIER_DOTS_MAX];
    size_t count;
};

static size_t put_varint(uint64_t v, uint8_t *out)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

static struct bytes dots_write(const struct dots *d, uint8_t out[DOSSIER_DOTS_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++) {
        n += put_varint(d->at[i].node, out + n);
        n += put_varint(d->at[i].epoch, out + n);
        n += put_varint(d->at[i].seq, out + n);
    }
    return bytes_of(out, n);
}

static enum err dots_read(struct bytes from, struct dots *out)
{
    struct reader r = reader_of(from);
    out->count = 0;
    while (r.left > 0) {
        uint64_t node = 0;
        uint64_t epoch = 0;
        struct dot *dot = &out->at[out->count];
        if (out->count == DOSSIER_DOTS_MAX || reader_varint_max(&r, UINT32_MAX, &node) != ERR_OK ||
            reader_varint_max(&r, UINT32_MAX, &epoch) != ERR_OK ||
            reader_varint_max(&r, INT64_MAX, &dot->seq) != ERR_OK) {
            return ERR_DAMAGED;
        }
        dot->node = (uint32_t)node;
        dot->epoch = (uint32_t)epoch;
        if (out->count > 0 && dot_compare(out->at[out->count - 1], *dot) >= 0) {
            return ERR_DAMAGED;
        }
        out->count++;
    }
    return ERR_OK;
}

static enum err dots_load(struct store_sqlite *q, int64_t rid, struct dots *out)
{
    sqlite3_stmt *stmt = NULL;
    struct bytes blob = { 0 };
    bool has_row = false;
    if (store_last_dossier(&q->last, rid, &blob) != NULL && !store_sql_is_lost(q)) {
        return dots_read(blob, out);
    }
    enum err e = store_sql_fixed(q, STORE_SQL_DOSSIER_DOTS, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK) {
        e = has_row ? sql_column_blob(stmt, 0, &blob) : ERR_DAMAGED;
    }
    if (e == ERR_OK) {
        e = dots_read(blob, out);
    }
    sql_give(&q->fixed[STORE_SQL_DOSSIER_DOTS], stmt);
    return e;
}

/* False: it is there already, or there is no room. */
static bool dots_add(struct dots *d, struct dot dot)
{
    size_t at = 0;
    while (at < d->count && dot_compare(d->at[at], dot) < 0) {
        at++;
    }
    if (d->count == DOSSIER_DOTS_MAX || (at < d->count && dot_equal(d->at[at], dot))) {
        return false;
    }
    memmove(&d->at[at + 1], &d->at[at], (d->count - at) * sizeof(d->at[0]));
    d->at[at] = dot;
    d->count++;
    return true;
}

static bool dots_have(const struct dots *d, struct dot dot)
{
    for (size_t i = 0; i < d->count; i++) {
        if (dot_equal(d->at[i], dot)) {
            return true;
        }
    }
    return false;
}

/* A dot that found no room in the dossier's row. */
static enum err add_touch_line(struct store_sqlite *q, int64_t rid, struct dot dot)
{
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, STORE_SQL_TOUCH_ADD, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    (void)sqlite3_bind_int64(stmt, 2, dot.node);
    (void)sqlite3_bind_int64(stmt, 3, dot.epoch);
    (void)sqlite3_bind_int64(stmt, 4, (int64_t)dot.seq);
    return sql_run(&q->fixed[STORE_SQL_TOUCH_ADD], stmt);
}

/* ---- writing ---- */

static enum err insert_dossier(struct store_sqlite *q, const struct dossier *d, const struct dots *dots)
{
    UNFILLED uint8_t blob[DOSSIER_DOTS_BYTES];
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, STORE_SQL_DOSSIER_INSERT, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    sql_bind_blob(stmt, 1, BYTES_OF(d->id.b));
    bind_dossier(stmt, d);
    sql_bind_blob(stmt, 9, dots_write(dots, blob));
    e = sql_run(&q->fixed[STORE_SQL_DOSSIER_INSERT], stmt);
    if (e != ERR_OK) {
        return e;
    }
    int64_t rid = sqlite3_last_insert_rowid(q->db);
    if (rid > UINT32_MAX) {
        return ERR_FULL; /* the index keeps 4 bytes of it */
    }
    *rid_place(q, d->id) = (struct rid_entry){ .rid = rid, .id = d->id };
    q->absent.rid = 0;
    return store_index_add(q->index, STORE_INDEX_DOSSIER, d->id.b, (uint32_t)rid);
}

static enum err update_dossier(struct store_sqlite *q, int64_t rid, const struct dossier *d, const struct dots *dots)
{
    UNFILLED uint8_t blob[DOSSIER_DOTS_BYTES];
    store_last_drop_dossier(&q->last, rid);
    enum store_sql number = dots == NULL ? STORE_SQL_DOSSIER_UPDATE : STORE_SQL_DOSSIER_UPDATE_DOTS;
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, number, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    bind_dossier(stmt, d);
    if (dots != NULL) {
        sql_bind_blob(stmt, 9, dots_write(dots, blob));
    }
    return sql_run(&q->fixed[number], stmt);
}

/* dot NULL: nothing touched it. */
static enum err put_dossier(struct store_sqlite *q, const struct dossier *d, const struct dot *dot)
{
    UNFILLED struct dots dots;
    int64_t rid = 0;
    dots.count = 0;
    enum err e = store_sql_rid(q, d->id, &rid);
    if (dot != NULL && dot->seq > INT64_MAX) {
        return ERR_LIMIT; /* SQLite integers are signed; a node would need 10^18 commits */
    }
    if (e == ERR_NOT_FOUND) {
        if (dot != NULL) {
            (void)dots_add(&dots, *dot);
        }
        return insert_dossier(q, d, &dots);
    }
    if (e != ERR_OK || dot == NULL) {
        return e == ERR_OK ? update_dossier(q, rid, d, NULL) : e;
    }
    e = dots_load(q, rid, &dots);
    if (e == ERR_OK && (dots_have(&dots, *dot) || dots_add(&dots, *dot))) {
        return update_dossier(q, rid, d, &dots);
    }
    if (e == ERR_OK) {
        e = add_touch_line(q, rid, *dot);
    }
    return e == ERR_OK ? update_dossier(q, rid, d, NULL) : e;
}

enum err store_sql_dossier_put(struct store *s, const struct dossier *d)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    return e == ERR_OK ? store_sql_wrote(q, put_dossier(q, d, NULL)) : e;
}

enum err store_sql_dossier_touched(struct store *s, const struct dossier *d, struct dot dot)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    return e == ERR_OK ? store_sql_wrote(q, put_dossier(q, d, &dot)) : e;
}

static enum err run_on_rid(struct store_sqlite *q, enum store_sql number, int64_t rid)
{
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, number, &stmt);
    if (e == ERR_OK) {
        (void)sqlite3_bind_int64(stmt, 1, rid);
        e = sql_run(&q->fixed[number], stmt);
    }
    return e;
}

/* SQLite may give the rid to the next new dossier: by then nothing but hints bears it any more. */
static enum err delete_dossier(struct store_sqlite *q, struct dossier_id id)
{
    int64_t rid = 0;
    enum err e = store_sql_rid(q, id, &rid);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    *rid_place(q, id) = (struct rid_entry){ 0 };
    store_last_drop(&q->last);
    e = store_sql_rows_clear(q, rid);
    if (e == ERR_OK) {
        e = run_on_rid(q, STORE_SQL_TOUCH_CLEAR, rid);
    }
    return e == ERR_OK ? run_on_rid(q, STORE_SQL_DOSSIER_DEL, rid) : e;
}

enum err store_sql_dossier_del(struct store *s, struct dossier_id id)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    return e == ERR_OK ? store_sql_wrote(q, delete_dossier(q, id)) : e;
}

struct dossier_scan {
    struct store_sqlite *q;
    store_dossier_fn fn;
    void *ctx;
};

/* Hints that no longer hold are passed over. */
static enum err visit_dossier(void *ctx, const uint8_t key[STORE_INDEX_KEY_BYTES], uint32_t place)
{
    struct dossier_scan *scan = ctx;
    struct store_sqlite *q = scan->q;
    sqlite3_stmt *stmt = NULL;
    bool has_row = false;
    struct dossier d = { 0 };
    enum err e = store_sql_fixed(q, STORE_SQL_DOSSIER_SCAN, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, place);
    e = sql_step(stmt, &has_row);
    if (e == ERR_OK && has_row) {
        e = read_dossier(stmt, &d);
    }
    if (e == ERR_OK && has_row && memcmp(d.id.b, key, sizeof(d.id.b)) == 0) {
        e = scan->fn(scan->ctx, &d);
    }
    sql_give(&q->fixed[STORE_SQL_DOSSIER_SCAN], stmt);
    return e;
}

enum err store_sql_dossier_scan(struct store *s, const struct dossier_id *from, store_dossier_fn fn, void *ctx)
{
    struct store_sqlite *q = own(s);
    struct dossier_scan scan = { .q = q, .fn = fn, .ctx = ctx };
    q->scan_depth++;
    enum err e = store_index_scan(q->index, STORE_INDEX_DOSSIER, from == NULL ? NULL : from->b, visit_dossier, &scan);
    q->scan_depth--;
    return e;
}

enum err store_sql_dossier_each(struct store *s, store_dossier_fn fn, void *ctx)
{
    struct store_sqlite *q = own(s);
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_fixed(q, STORE_SQL_DOSSIER_EACH, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    q->scan_depth++;
    for (bool has_row = true; has_row && e == ERR_OK;) {
        struct dossier d;
        e = sql_step(stmt, &has_row);
        if (e == ERR_OK && has_row && (e = read_dossier(stmt, &d)) == ERR_OK) {
            e = fn(ctx, &d);
        }
    }
    q->scan_depth--;
    sql_give(&q->fixed[STORE_SQL_DOSSIER_EACH], stmt);
    return e;
}

/* ---- touches ---- */

static enum err add_touch(struct store_sqlite *q, struct dossier_id id, struct dot dot)
{
    UNFILLED uint8_t blob[DOSSIER_DOTS_BYTES];
    struct dots dots = { .count = 0 };
    sqlite3_stmt *stmt = NULL;
    int64_t rid = 0;
    if (dot.seq > INT64_MAX) {
        return ERR_LIMIT;
    }
    enum err e = store_sql_rid(q, id, &rid);
    if (e == ERR_OK) {
        e = dots_load(q, rid, &dots);
    }
    if (e != ERR_OK || dots_have(&dots, dot)) {
        return e;
    }
    if (!dots_add(&dots, dot)) {
        return add_touch_line(q, rid, dot);
    }
    store_last_drop_dossier(&q->last, rid);
    e = store_sql_fixed(q, STORE_SQL_DOSSIER_SET_DOTS, &stmt);
    if (e != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    sql_bind_blob(stmt, 2, dots_write(&dots, blob));
    return sql_run(&q->fixed[STORE_SQL_DOSSIER_SET_DOTS], stmt);
}

enum err store_sql_touch_add(struct store *s, struct dossier_id id, struct dot dot)
{
    struct store_sqlite *q = own(s);
    enum err e = store_sql_may_write(q);
    return e == ERR_OK ? store_sql_wrote(q, add_touch(q, id, dot)) : e;
}

static enum err read_dot(sqlite3_stmt *stmt, struct dot *out)
{
    struct dot dot = { 0 };
    int64_t seq = 0;
    enum err e = ERR_OK;
    if ((e = sql_column_u32(stmt, 0, &dot.node)) != ERR_OK || (e = sql_column_u32(stmt, 1, &dot.epoch)) != ERR_OK ||
        (e = sql_column_int(stmt, 2, &seq)) != ERR_OK) {
        return e;
    }
    if (seq < 0) {
        return ERR_DAMAGED;
    }
    dot.seq = (uint64_t)seq;
    *out = dot;
    return ERR_OK;
}

/* Visits the dots of the row that are below `until` (NULL: all), from *at on. */
static enum err visit_dots(const struct dots *dots, size_t *at, const struct dot *until, store_dot_fn fn, void *ctx)
{
    enum err e = ERR_OK;
    while (e == ERR_OK && *at < dots->count && (until == NULL || dot_compare(dots->at[*at], *until) < 0)) {
        e = fn(ctx, dots->at[(*at)++]);
    }
    return e;
}

enum err store_sql_touch_scan(struct store *s, struct dossier_id id, store_dot_fn fn, void *ctx)
{
    struct store_sqlite *q = own(s);
    struct dots dots = { .count = 0 };
    size_t at = 0;
    int64_t rid = 0;
    sqlite3_stmt *stmt = NULL;
    enum err e = store_sql_rid(q, id, &rid);
    if (e == ERR_OK) {
        e = dots_load(q, rid, &dots);
    }
    if (e != ERR_OK || (e = store_sql_fixed(q, STORE_SQL_TOUCH_SCAN, &stmt)) != ERR_OK) {
        return e;
    }
    (void)sqlite3_bind_int64(stmt, 1, rid);
    q->scan_depth++;
    for (bool has_row = true; has_row && e == ERR_OK;) {
        struct dot dot = { 0 };
        e = sql_step(stmt, &has_row);
        if (e == ERR_OK && has_row && (e = read_dot(stmt, &dot)) == ERR_OK &&
            (e = visit_dots(&dots, &at, &dot, fn, ctx)) == ERR_OK) {
            e = fn(ctx, dot);
        }
    }
    if (e == ERR_OK) {
        e = visit_dots(&dots, &at, NULL, fn, ctx);
    }
    q->scan_depth--;
    sql_give(&q->fixed[STORE_SQL_TOUCH_SCAN], stmt);
    return e;
}
