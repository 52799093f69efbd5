/*
 * Owns: copies of the dossier and the row that were read last. Invariants: a copy is what the database held in the
 * version that `version` names, or holds now in the open transaction; SQLite counts the version up at every commit, its
 * own and others', so a copy older than the open transaction is never answered. Asks the database nothing but that
 * number.
 */
#include "node/store_last.h"

#include "schema/base/check.h"

static unsigned int version_of(sqlite3 *db)
{
    unsigned int version = 0;
    check(sqlite3_file_control(db, "main", SQLITE_FCNTL_DATA_VERSION, &version) == SQLITE_OK);
    return version;
}

void store_last_drop(struct store_last *l)
{
    l->rid = 0;
    l->has_row = false;
}

void store_last_begin(struct store_last *l, sqlite3 *db)
{
    unsigned int version = version_of(db);
    if (version != l->version) {
        store_last_drop(l);
    }
    l->version = version;
    l->is_open = true;
}

void store_last_end(struct store_last *l)
{
    store_last_drop(l);
    l->is_open = false;
}

/* What another version told goes. */
static void see_version(struct store_last *l, sqlite3 *db)
{
    unsigned int version = l->is_open ? l->version : version_of(db);
    if (version != l->version) {
        store_last_drop(l);
        l->version = version;
    }
}

void store_last_keep_dossier(struct store_last *l, sqlite3 *db, int64_t rid, const struct dossier *d, struct bytes dots)
{
    see_version(l, db);
    l->rid = 0;
    if (d->seen.len > sizeof(l->seen_bytes) || dots.len > sizeof(l->dots_bytes)) {
        return;
    }
    if (d->seen.len > 0) {
        memcpy(l->seen_bytes, d->seen.ptr, d->seen.len);
    }
    if (dots.len > 0) {
        memcpy(l->dots_bytes, dots.ptr, dots.len);
    }
    l->dossier = *d;
    l->dossier.seen = bytes_of(l->seen_bytes, d->seen.len);
    l->dots_len = dots.len;
    l->rid = rid;
}

/* False: no room. */
static bool keep_bytes(struct store_last *l, size_t *used, struct bytes *b)
{
    if (b->len > sizeof(l->row_bytes) - *used) {
        return false;
    }
    if (b->len > 0) {
        memcpy(l->row_bytes + *used, b->ptr, b->len);
        b->ptr = l->row_bytes + *used;
        *used += b->len;
    }
    return true;
}

void store_last_keep_row(struct store_last *l, sqlite3 *db, const struct entity_desc *desc, const struct row *row)
{
    size_t used = 0;
    see_version(l, db);
    l->row = *row;
    l->row.values = l->values;
    l->has_row = keep_bytes(l, &used, &l->row.versions) && keep_bytes(l, &used, &l->row.extra);
    for (size_t i = 0; i < desc->field_count && l->has_row; i++) {
        l->values[i] = row->values[i];
        l->has_row = keep_bytes(l, &used, &l->values[i].s);
    }
}

const struct dossier *store_last_dossier(const struct store_last *l, int64_t rid, struct bytes *dots)
{
    if (!l->is_open || l->rid != rid) {
        return NULL;
    }
    *dots = bytes_of(l->dots_bytes, l->dots_len);
    return &l->dossier;
}

static bool is_row(const struct store_last *l, enum entity entity, struct record_id id)
{
    return l->has_row && l->row.entity == entity && record_id_compare(l->row.id, id) == 0;
}

const struct row *store_last_row(const struct store_last *l, enum entity entity, struct record_id id)
{
    return l->is_open && is_row(l, entity, id) ? &l->row : NULL;
}

void store_last_drop_dossier(struct store_last *l, int64_t rid)
{
    l->rid = l->rid == rid ? 0 : l->rid;
}

void store_last_drop_row(struct store_last *l, enum entity entity, struct record_id id)
{
    l->has_row = l->has_row && !is_row(l, entity, id);
}
