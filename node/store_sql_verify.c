/*
 * Owns: the comparison of the index with the tables. An entry that is missing makes what is there unfindable, so every
 * dossier and every value of an indexed field must have its own. Entries that lead nowhere are no error: they are hints
 * (node/store_index.h). Marks of imported rows stand nowhere else and cannot be compared. Commits that are not found
 * any more are looked for here too (node/store_sql_log.h).
 *
 * What the tables ask for is collected and sorted, so that a walk over the index tells what it lacks; as much at a time
 * as BATCH_ENTRIES, whatever the size of the store.
 */
#include "node/store_sql.h"
#include "node/vault.h"

#include <stdlib.h>

enum { BATCH_ENTRIES = 1 << 20 };

struct wanted {
    uint8_t b[STORE_INDEX_ENTRY_BYTES]; /* key, place; in the order of the index */
};

struct comparing {
    struct store_sqlite *q;
    const struct entity_desc *desc; /* of the rows visited */
    enum store_index_kind kind;
    struct wanted *owned_at;
    size_t count;
    size_t met; /* by the walk */
    struct why *why;
};

static enum err lacks(const struct comparing *c)
{
    if (c->kind == STORE_INDEX_DOSSIER) {
        return why_set(c->why, ERR_DAMAGED, "索引里缺少一份档案；用 jipan verify --rebuild 重建",
            "the index lacks a dossier; jipan verify --rebuild makes it anew");
    }
    return why_set(c->why, ERR_DAMAGED, "索引里缺少表里的值；用 jipan verify --rebuild 重建",
        "the index lacks a value that stands in the tables; jipan verify --rebuild makes it anew");
}

static struct wanted wanted_of(const uint8_t key[STORE_INDEX_KEY_BYTES], uint32_t place)
{
    struct wanted w;
    memcpy(w.b, key, STORE_INDEX_KEY_BYTES);
    for (size_t i = 0; i < 4; i++) {
        w.b[STORE_INDEX_KEY_BYTES + i] = (uint8_t)(place >> (24 - 8 * i));
    }
    return w;
}

static int by_entry(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct wanted));
}

static enum err meet(void *ctx, const uint8_t key[STORE_INDEX_KEY_BYTES], uint32_t place)
{
    struct comparing *c = ctx;
    const struct wanted here = wanted_of(key, place);
    while (c->met < c->count && by_entry(&c->owned_at[c->met], &here) == 0) {
        c->met++;
    }
    return c->met < c->count && by_entry(&c->owned_at[c->met], &here) < 0 ? lacks(c) : ERR_OK;
}

static enum err compare_batch(struct comparing *c)
{
    c->met = 0;
    qsort(c->owned_at, c->count, sizeof(*c->owned_at), by_entry);
    enum err e = store_index_scan(c->q->index, c->kind, NULL, meet, c);
    if (e == ERR_OK && c->met < c->count) {
        e = lacks(c);
    }
    c->count = 0;
    return e;
}

static enum err want(struct comparing *c, const uint8_t key[STORE_INDEX_KEY_BYTES], int64_t rid)
{
    c->owned_at[c->count++] = wanted_of(key, (uint32_t)rid);
    return c->count == BATCH_ENTRIES ? compare_batch(c) : ERR_OK;
}

static enum err compare_dossiers(struct comparing *c)
{
    sqlite3_stmt *stmt = NULL;
    bool has_row = true;
    int rc = sqlite3_prepare_v2(c->q->db, "SELECT rid, id FROM dossier", -1, &stmt, NULL);
    enum err e = rc == SQLITE_OK ? ERR_OK : err_from_sqlite(rc);
    c->kind = STORE_INDEX_DOSSIER;
    while (e == ERR_OK && (e = sql_step(stmt, &has_row)) == ERR_OK && has_row) {
        int64_t rid = 0;
        struct dossier_id id;
        e = sql_column_int(stmt, 0, &rid);
        if (e == ERR_OK && (e = sql_column_copy(stmt, 1, id.b, sizeof(id.b))) == ERR_OK) {
            e = want(c, id.b, rid);
        }
    }
    (void)sqlite3_finalize(stmt);
    return e == ERR_OK ? compare_batch(c) : e;
}

static enum err want_row(void *ctx, const struct row *row)
{
    struct comparing *c = ctx;
    int64_t rid = 0;
    enum err e = store_sql_rid(c->q, record_dossier(row->id), &rid);
    for (size_t i = 0; e == ERR_OK && i < c->desc->field_count; i++) {
        const struct field *f = &c->desc->fields[i];
        uint8_t key[STORE_INDEX_KEY_BYTES];
        if (row->values[i].type == VALUE_NULL || !store_sql_is_indexed(f)) {
            continue;
        }
        e = store_index_key(c->q->index, (uint32_t)c->desc->entity, f->number, row->values[i], key);
        if (e == ERR_OK) {
            e = want(c, key, rid);
        }
    }
    return e;
}

static enum err compare_fields(struct comparing *c)
{
    enum err e = ERR_OK;
    c->kind = STORE_INDEX_FIELD;
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(c->q->tables); i++) {
        const struct table *t = &c->q->tables[i];
        if (t->desc != NULL && t->has_index) {
            const struct store_query all = { .entity = t->desc->entity, .with_deleted = true };
            c->desc = t->desc;
            e = store_sql_row_find(&c->q->base, &all, 0, want_row, c);
        }
    }
    return e == ERR_OK ? compare_batch(c) : e;
}

enum err store_sqlite_verify(struct store *s, struct why *why)
{
    struct comparing c = { .q = (struct store_sqlite *)s, .why = why };
    c.owned_at = malloc(BATCH_ENTRIES * sizeof(*c.owned_at));
    if (c.owned_at == NULL) {
        return ERR_NOMEM;
    }
    enum err e = compare_dossiers(&c);
    if (e == ERR_OK) {
        e = compare_fields(&c);
    }
    if (e == ERR_OK && (e = store_log_verify(c.q->db)) == ERR_DAMAGED) {
        (void)why_set(why, e, "变更日志里有提交不再能找到；请用备份恢复，或重新加入集团",
            "the change log has commits that are not found any more; restore a backup, or join the group anew");
    }
    free(c.owned_at);
    return e;
}
