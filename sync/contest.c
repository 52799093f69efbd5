/*
 * Owns: reading the writes of a record back from the change log, and deciding contested fields from all of them.
 * Invariant: the conflict entries of a field are replaced as a whole by what merge_field says about the complete set of
 * writes held here, so they cannot depend on the order of arrival.
 */
#include "sync/conflict.h"
#include "sync/core.h"

#include "schema/base/check.h"

struct gather {
    struct core *c;
    struct arena *a;
    const struct entity_desc *d;
    struct record_id id;
    const struct field *field; /* NULL with any_field false: the deletion mark */
    bool any_field;
    history_fn fn;
    void *ctx;
    struct dossier dossier;
};

static enum err give_cell(
    struct gather *ga, const struct commit_view *v, const struct part_head *head, const struct part_cell *cell)
{
    const struct field *f = cell->number == 0 ? NULL : catalogue_field(ga->d, cell->number);
    if (cell->number != 0 && f == NULL) {
        return ERR_OK;
    }
    if (!ga->any_field && f != ga->field) {
        return ERR_OK;
    }
    const struct history_item item = { .field = f,
        .write = { .dot = v->header.dot,
            .context = head->context,
            .hlc = v->header.hlc,
            .author = head->author,
            .standing = head->standing,
            .is_decision = cell->is_decision,
            .purpose = (uint32_t)head->purpose,
            .reason = cell->reason,
            .value = cell->value } };
    return ga->fn(ga->ctx, &item);
}

/* Same verdict as when the part was applied: a part that was refused contributes nothing. */
static bool cell_counts(struct gather *ga, const struct part_record *rec, bool creates, const struct part_cell *cell,
    const struct member_user *author, uint32_t scope)
{
    const struct entity_desc *d = catalogue_entity((enum entity)rec->entity);
    const struct field *f = d == NULL || cell->number == 0 ? NULL : catalogue_field(d, cell->number);
    if (d == NULL || cell->number > VERSIONS_FIELD_MAX || (cell->number != 0 && f == NULL)) {
        return true;
    }
    enum action action = cell->is_decision ? ACTION_DECIDE
                         : f == NULL       ? ACTION_DELETE
                         : creates         ? ACTION_CREATE
                                           : ACTION_UPDATE;
    return core_may_write(ga->c, author, scope, d, f, action);
}

static enum err walk_record(struct gather *ga, const struct commit_view *v, const struct group_item *g,
    struct reader *r, const struct part_head *head, const struct part_record *rec, const struct member_user *author,
    uint32_t scope, bool only_check)
{
    struct record_id id = core_resolve_ref(v, g->index, ga->dossier.id, &rec->ref);
    bool wanted = rec->entity == (uint32_t)ga->d->entity && record_id_compare(id, ga->id) == 0;
    bool creates = rec->ref.kind == REF_NEW || (rec->ref.kind == REF_MAIN && g->is_new);
    enum err e = ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < rec->cell_count; i++) {
        struct part_cell cell = { 0 };
        e = part_take_cell(r, &cell);
        if (e == ERR_OK && only_check && !cell_counts(ga, rec, creates, &cell, author, scope)) {
            e = ERR_DENIED;
        }
        if (e == ERR_OK && !only_check && wanted) {
            e = give_cell(ga, v, head, &cell);
        }
    }
    return e;
}

static enum err walk_part(
    struct gather *ga, const struct commit_view *v, const struct group_item *g, struct bytes plain, bool only_check)
{
    struct reader r = reader_of(plain);
    struct part_head head = { 0 };
    const struct member_user *author = NULL;
    uint32_t scope = 0;
    enum err e = part_take_head(&r, ga->a, &head);
    if (e == ERR_OK) {
        e = core_judge_author(ga->c, &v->header, g, &head, &author, &scope);
    }
    for (uint32_t i = 0; e == ERR_OK && i < head.record_count; i++) {
        struct part_record rec = { 0 };
        e = part_take_record(&r, &rec);
        if (e == ERR_OK) {
            e = walk_record(ga, v, g, &r, &head, &rec, author, scope, only_check);
        }
    }
    return e;
}

static enum err gather_group(struct gather *ga, const struct commit_view *v, const struct group_item *g)
{
    struct part_cursor cursor = group_parts(g);
    struct part_item p;
    enum err e = ERR_OK;
    while ((e = group_next_part(&cursor, &p)) == ERR_OK) {
        struct bytes plain = { 0 };
        enum class_ need = ga->field == NULL ? CLASS_BUSINESS : class_key(ga->field->class_);
        if (p.is_withheld || (!ga->any_field && p.class_ != need)) {
            continue;
        }
        if (core_open_part(ga->c, ga->a, v, g, &p, &ga->dossier, &plain) != ERR_OK ||
            walk_part(ga, v, g, plain, true) != ERR_OK) {
            continue; /* stands in quarantine */
        }
        e = walk_part(ga, v, g, plain, false);
        if (e != ERR_OK) {
            return e;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err gather_commit(void *ctx, struct dot dot)
{
    struct gather *ga = ctx;
    uint8_t key[DOT_KEY_BYTES];
    struct bytes bytes = { 0 };
    struct commit_view v;
    struct group_item g;
    dot_key(dot, key);
    enum err e = ga->c->store->ops->get(ga->c->store, SPACE_LOG, BYTES_OF(key), ga->a, &bytes);
    if (e == ERR_OK) {
        e = commit_parse(bytes, &v);
    }
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
    }
    if (!members_accepts_dot(ga->c->members, dot)) {
        return ERR_OK;
    }
    struct body_cursor cursor = commit_groups(&v);
    while ((e = commit_next_group(&cursor, &g)) == ERR_OK) {
        if (g.is_withheld) {
            continue;
        }
        struct dossier_id id = g.is_new ? seal_new_dossier(v.header.salt, g.index) : g.dossier;
        if (dossier_id_compare(id, ga->dossier.id) == 0) {
            e = gather_group(ga, &v, &g);
            if (e != ERR_OK) {
                return e;
            }
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

struct dots {
    struct arena *a;
    struct dot *at;
    size_t count;
    size_t capacity;
};

static enum err collect_dot(void *ctx, struct dot dot)
{
    struct dots *ds = ctx;
    if (ds->count == ds->capacity) {
        size_t capacity = ds->capacity == 0 ? 32 : ds->capacity * 2;
        struct dot *grown = arena_array(ds->a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (ds->count > 0) {
            memcpy(grown, ds->at, ds->count * sizeof(*grown));
        }
        ds->at = grown;
        ds->capacity = capacity;
    }
    ds->at[ds->count++] = dot;
    return ERR_OK;
}

static enum err gather_all(struct gather *ga)
{
    struct dots ds = { .a = ga->a };
    const struct store_ops *ops = ga->c->store->ops;
    enum err e = ops->dossier_get(ga->c->store, record_dossier(ga->id), ga->a, &ga->dossier);
    if (e == ERR_OK) {
        e = ops->touch_scan(ga->c->store, ga->dossier.id, collect_dot, &ds);
    }
    for (size_t i = 0; e == ERR_OK && i < ds.count; i++) {
        e = gather_commit(ga, ds.at[i]);
    }
    return e;
}

enum err core_history(struct core *c, struct arena *a, const struct entity_desc *d, struct record_id id,
    const struct field *field, history_fn fn, void *ctx)
{
    struct gather ga = {
        .c = c, .a = a, .d = d, .id = id, .field = field, .any_field = field == NULL, .fn = fn, .ctx = ctx
    };
    return gather_all(&ga);
}

struct writes {
    struct arena *a;
    struct field_write *at;
    size_t count;
    size_t capacity;
};

static enum err collect_write(void *ctx, const struct history_item *item)
{
    struct writes *w = ctx;
    if (w->count == w->capacity) {
        size_t capacity = w->capacity == 0 ? 16 : w->capacity * 2;
        struct field_write *grown = arena_array(w->a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (w->count > 0) {
            memcpy(grown, w->at, w->count * sizeof(*grown));
        }
        w->at = grown;
        w->capacity = capacity;
    }
    w->at[w->count++] = item->write;
    return ERR_OK;
}

enum { CONTESTED_KEY_BYTES = RECORD_ID_BYTES + 8 };

static void contested_key(struct record_id id, enum entity entity, uint32_t field, uint8_t out[CONTESTED_KEY_BYTES])
{
    memcpy(out, id.b, RECORD_ID_BYTES);
    for (size_t i = 0; i < 4; i++) {
        out[RECORD_ID_BYTES + i] = (uint8_t)((uint32_t)entity >> (8 * (3 - i)));
        out[RECORD_ID_BYTES + 4 + i] = (uint8_t)(field >> (8 * (3 - i)));
    }
}

static enum err drop_entries(struct core *c, struct arena *a, struct bytes key)
{
    struct bytes old = { 0 };
    enum err e = c->store->ops->get(c->store, SPACE_CONTESTED, key, a, &old);
    if (e == ERR_NOT_FOUND) {
        return ERR_OK;
    }
    for (size_t i = 0; e == ERR_OK && i + CONFLICT_ID_BYTES <= old.len; i += CONFLICT_ID_BYTES) {
        e = c->store->ops->del(c->store, SPACE_CONFLICT, bytes_of(old.ptr + i, CONFLICT_ID_BYTES));
    }
    return e;
}

static enum err put_entries(struct core *c, struct arena *a, const struct entity_desc *d, const struct field *f,
    struct record_id id, const struct field_verdict *verdict, const struct field_write *writes, struct bytes key)
{
    struct buf ids;
    struct buf entry;
    enum err e = ERR_OK;
    buf_init(&ids, c->mem, STORE_VALUE_MAX_BYTES);
    buf_init(&entry, c->mem, CONFLICT_ENTRY_MAX_BYTES);
    for (size_t i = 0; e == ERR_OK && i < verdict->conflict_count; i++) {
        struct conflict_entry ce = { 0 };
        buf_clear(&entry);
        e = conflict_entry_from_verdict(a, id, d, f, writes, verdict, i, &ce);
        if (e == ERR_OK) {
            conflict_put(&entry, &ce);
            e = entry.err;
        }
        if (e == ERR_OK) {
            e = c->store->ops->put(c->store, SPACE_CONFLICT, BYTES_OF(verdict->conflicts[i].id), buf_view(&entry));
        }
        buf_put(&ids, verdict->conflicts[i].id, CONFLICT_ID_BYTES);
    }
    if (e == ERR_OK) {
        e = ids.err;
    }
    if (e == ERR_OK && ids.len > 0) {
        e = c->store->ops->put(c->store, SPACE_CONTESTED, key, buf_view(&ids));
    } else if (e == ERR_OK) {
        e = c->store->ops->del(c->store, SPACE_CONTESTED, key);
    }
    buf_release(&ids);
    buf_release(&entry);
    return e;
}

/* The deletion mark is a last-writer field like others. */
static const struct field deletion_field = { .number = 0,
    .name = "_deleted",
    .zh = "删除",
    .en = "deleted",
    .type = FIELD_BOOL,
    .hi = 1,
    .class_ = CLASS_BUSINESS,
    .merge = MERGE_LWW,
    .mask = MASK_NONE };

static void show(const struct entity_desc *d, const struct field *f, const struct field_verdict *verdict,
    const struct field_write *writes, struct row *row, struct versions *versions)
{
    uint32_t number = f == NULL ? 0 : f->number;
    if (f == NULL) {
        row->is_deleted = verdict->value.type == VALUE_INT && verdict->value.i != 0;
    } else {
        row->values[catalogue_field_index(d, f)] = verdict->value;
    }
    versions->at[number] = writes[verdict->winner].dot;
    /* A write that only arrived late leaves no trace: the mark must be a function of the set of writes too. */
    versions->contested &= ~(1ULL << number);
    if (verdict->conflict_count > 0) {
        versions->contested |= 1ULL << number;
    }
}

enum err core_contest(struct core *c, struct arena *a, const struct entity_desc *d, const struct field *f,
    struct row *row, struct versions *versions)
{
    struct writes w = { .a = a };
    struct gather ga = { .c = c, .a = a, .d = d, .id = row->id, .field = f, .fn = collect_write, .ctx = &w };
    struct field_verdict verdict = { .conflict_count = 0 };
    uint8_t key[CONTESTED_KEY_BYTES];
    contested_key(row->id, d->entity, f == NULL ? 0 : f->number, key);
    enum err e = gather_all(&ga);
    if (e == ERR_OK && w.count == 0) {
        return ERR_OK;
    }
    if (e == ERR_OK) {
        e = merge_field(
            a, members_group_id(c->members), row->id, d, f == NULL ? &deletion_field : f, w.at, w.count, &verdict);
    }
    if (e == ERR_OK) {
        e = drop_entries(c, a, BYTES_OF(key));
    }
    if (e == ERR_OK) {
        e = put_entries(c, a, d, f == NULL ? &deletion_field : f, row->id, &verdict, w.at, BYTES_OF(key));
    }
    if (e == ERR_OK) {
        show(d, f, &verdict, w.at, row, versions);
    }
    return e;
}
