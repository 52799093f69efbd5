/*
 * Owns: reading the writes of a record back from the change log, and deciding contested fields from all of them.
 * Invariant: the conflict entries of a field are replaced as a whole by what merge_field says about the complete set of
 * writes held here, so they cannot depend on the order of arrival.
 */
#include "sync/conflict.h"
#include "sync/core_internal.h"

#include "schema/base/check.h"

struct gather {
    struct core *c;
    struct arena *a; /* what is handed out */
    struct arena load; /* one commit at a time */
    const struct entity_desc *d;
    struct record_id id;
    const struct field *field; /* NULL with any_field false: the deletion mark */
    bool any_field;
    history_fn fn;
    void *ctx;
    struct dossier dossier;
    const struct open_part *part;
    bool remembers; /* notes the writers of all fields of the class */
};

static enum class_ class_of(const struct field *f)
{
    return f == NULL ? CLASS_BUSINESS : class_key(f->class_);
}

static void note_writer(struct core *c, const struct cell_place *at, struct dot dot)
{
    struct dossier_id dossier = record_dossier(at->id);
    enum class_ class_ = class_of(at->field);
    if (writers_find(&c->writers, dossier, class_) == NULL) {
        return; /* as for nearly all: nothing of it is in conflict */
    }
    uint64_t bit = writers_bit(at->id, (uint32_t)at->desc->entity, at->field == NULL ? 0 : at->field->number);
    writers_note(&c->writers, dossier, class_, dot, bit);
}

static struct field_write write_of(
    const struct commit_header *header, const struct part_head *head, const struct part_cell *cell)
{
    return (struct field_write){ .dot = header->dot,
        .context = head->context,
        .hlc = header->hlc,
        .author = head->author,
        .standing = head->standing,
        .is_decision = cell->is_decision,
        .purpose = (uint32_t)head->purpose,
        .reason = cell->is_decision ? cell->reason : (struct bytes){ 0 },
        .value = cell->value };
}

void core_note_write(struct core *c, const struct commit_header *header, const struct part_head *head,
    const struct cell_place *at, const struct part_cell *cell)
{
    const struct recall_place of = {
        .id = at->id, .entity = (uint32_t)at->desc->entity, .field = at->field == NULL ? 0 : at->field->number
    };
    note_writer(c, at, header->dot);
    if (recall_find(&c->recall, &of) != NULL) {
        const struct field_write write = write_of(header, head, cell);
        recall_note(&c->recall, &of, &write);
    }
}

void core_remember_nothing(struct core *c)
{
    writers_free(&c->writers);
    recall_free(&c->recall);
}

static enum err copy_context(struct arena *a, const struct vv *from, struct vv *out)
{
    *out = (struct vv){ .count = from->count, .capacity = from->count };
    if (from->count > 0) {
        out->at = arena_array(a, from->count, sizeof(*out->at));
        if (out->at == NULL) {
            return ERR_NOMEM;
        }
        memcpy(out->at, from->at, from->count * sizeof(*out->at));
    }
    return ERR_OK;
}

static enum err give_cell(void *ctx, const struct cell_place *at, const struct part_cell *cell)
{
    struct gather *ga = ctx;
    const struct part_head *head = &ga->part->head;
    if (ga->remembers) {
        note_writer(ga->c, at, ga->part->v->header.dot);
    }
    if (at->desc != ga->d || record_id_compare(at->id, ga->id) != 0 || (!ga->any_field && at->field != ga->field)) {
        return ERR_OK;
    }
    struct history_item item = { .field = at->field, .write = write_of(&ga->part->v->header, head, cell) };
    enum err e = copy_context(ga->a, &head->context, &item.write.context);
    if (e == ERR_OK) {
        e = value_dup(ga->a, cell->value, &item.write.value);
    }
    if (e == ERR_OK && cell->is_decision) {
        e = arena_dup(ga->a, cell->reason, &item.write.reason);
    }
    return e == ERR_OK ? ga->fn(ga->ctx, &item) : e;
}

/* A part counts if it was applied: it opens, and it is not in quarantine. While it waits for others, or for its turn,
 * only what is urgent in it counts. */
static enum err gather_part(
    struct gather *ga, const struct commit_view *v, const struct group_item *g, const struct part_item *p)
{
    const struct quarantine_place at = {
        .dossier = ga->dossier.id, .dot = v->header.dot, .group = g->index, .part = (uint8_t)p->index
    };
    struct open_part part;
    enum err why = ERR_OK;
    enum err e = quarantine_why(ga->c, &ga->load, &at, &why);
    if (e != ERR_OK || (why != ERR_OK && why != ERR_GAP)) {
        return e;
    }
    bool only_urgent = why == ERR_GAP || core_is_early(ga->c, v->header.dot);
    e = core_open_part(ga->c, &ga->load, v, g, p, &ga->dossier, &part);
    if (e != ERR_OK) {
        return core_is_refusal(e) ? ERR_OK : e;
    }
    ga->part = &part;
    e = only_urgent ? core_each_urgent_cell(&part, &ga->load, give_cell, ga) : core_each_cell(&part, give_cell, ga);
    ga->part = NULL;
    return e;
}

static enum err gather_group(struct gather *ga, const struct commit_view *v, const struct group_item *g)
{
    struct part_cursor cursor = group_parts(g);
    struct part_item p;
    enum class_ need = class_of(ga->field);
    const struct quarantine_place whole = {
        .dossier = ga->dossier.id, .dot = v->header.dot, .group = g->index, .part = QUARANTINE_WHOLE_GROUP
    };
    bool is_held = false;
    enum err e = quarantine_has(ga->c, &ga->load, &whole, &is_held);
    if (e != ERR_OK || is_held) {
        return e;
    }
    while ((e = group_next_part(&cursor, &p)) == ERR_OK) {
        if (!p.is_withheld && (ga->any_field || p.class_ == need)) {
            e = gather_part(ga, v, g, &p);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err gather_commit(struct gather *ga, struct dot dot)
{
    uint8_t key[DOT_KEY_BYTES];
    struct bytes bytes = { 0 };
    struct commit_view v;
    struct group_item g;
    arena_reset(&ga->load);
    dot_key(dot, key);
    enum err e = ga->c->store->ops->get(ga->c->store, SPACE_LOG, BYTES_OF(key), &ga->load, &bytes);
    if (e == ERR_OK) {
        e = commit_parse(bytes, &v);
    }
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
    }
    struct body_cursor cursor = commit_groups(&v);
    while ((e = commit_next_group(&cursor, &g)) == ERR_OK) {
        if (!g.is_withheld && dossier_id_compare(core_group_dossier(&v, &g), ga->dossier.id) == 0) {
            e = gather_group(ga, &v, &g);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err core_collect_dot(void *ctx, struct dot dot)
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

/* Every commit about the dossier. */
static enum err gather_touching(struct gather *ga)
{
    struct dots ds = { .a = ga->a };
    enum err e = ga->c->store->ops->touch_scan(ga->c->store, ga->dossier.id, core_collect_dot, &ds);
    for (size_t i = 0; e == ERR_OK && i < ds.count; i++) {
        e = gather_commit(ga, ds.at[i]);
    }
    return e;
}

/* Those that can have written the field. */
static enum err gather_writers(struct gather *ga, const struct writers_of *of)
{
    uint64_t bit = writers_bit(ga->id, (uint32_t)ga->d->entity, ga->field == NULL ? 0 : ga->field->number);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < of->count; i++) {
        e = (of->at[i].fields & bit) != 0 ? gather_commit(ga, of->at[i].dot) : ERR_OK;
    }
    return e;
}

static enum err gather_remembering(struct gather *ga)
{
    struct core *c = ga->c;
    enum class_ class_ = class_of(ga->field);
    const struct writers_of *of = writers_find(&c->writers, ga->dossier.id, class_);
    if (of != NULL) {
        return gather_writers(ga, of);
    }
    writers_begin(&c->writers, c->mem, ga->dossier.id, class_);
    ga->remembers = true;
    enum err e = gather_touching(ga);
    if (e != ERR_OK) {
        writers_drop(&c->writers, ga->dossier.id, class_);
    }
    return e;
}

static enum err gather_all(struct gather *ga)
{
    const struct store_ops *ops = ga->c->store->ops;
    arena_init(&ga->load, ga->c->mem, CORE_ARENA_BYTES);
    enum err e = ops->dossier_get(ga->c->store, record_dossier(ga->id), ga->a, &ga->dossier);
    if (e == ERR_OK) {
        e = ga->any_field ? gather_touching(ga) : gather_remembering(ga);
    }
    arena_release(&ga->load);
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

/* One after the other. */
struct contested_list {
    struct buf keys;
    struct buf ids; /* of their conflicts */
};

static enum err list_contested(void *ctx, struct bytes key, struct bytes value)
{
    struct contested_list *l = ctx;
    buf_put_bytes(&l->keys, key);
    buf_put_bytes(&l->ids, value);
    return key.len != CONTESTED_KEY_BYTES ? ERR_DAMAGED : l->keys.err != ERR_OK ? l->keys.err : l->ids.err;
}

static enum err del_each(struct core *c, enum store_space space, const struct buf *keys, size_t len)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i + len <= keys->len; i += len) {
        e = c->store->ops->del(c->store, space, bytes_of(keys->ptr + i, len));
    }
    return e;
}

enum err core_drop_conflicts(struct core *c, struct dossier_id dossier)
{
    struct record_id first = record_id_make(dossier, NULL);
    uint8_t last[CONTESTED_KEY_BYTES];
    struct contested_list l;
    memset(last, 0xFF, sizeof(last));
    memcpy(last, dossier.b, sizeof(dossier.b));
    buf_init(&l.keys, c->mem, CORE_ARENA_BYTES);
    buf_init(&l.ids, c->mem, CORE_ARENA_BYTES);
    enum err e =
        c->store->ops->scan(c->store, SPACE_CONTESTED, BYTES_OF(first.b), BYTES_OF(last), false, list_contested, &l);
    if (e == ERR_OK) {
        e = del_each(c, SPACE_CONFLICT, &l.ids, CONFLICT_ID_BYTES);
    }
    if (e == ERR_OK) {
        e = del_each(c, SPACE_CONTESTED, &l.keys, CONTESTED_KEY_BYTES);
    }
    buf_release(&l.keys);
    buf_release(&l.ids);
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

/* Whether a set had to leave a write out: from then on its members depend on all writes. */
static bool is_cut(struct value shown, const struct field_write *writes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes rest = writes[i].value.type == VALUE_SET ? writes[i].value.s : (struct bytes){ 0 };
        struct bytes element = { 0 };
        while (value_set_next(&rest, &element)) {
            if (!value_set_has(shown, element)) {
                return true;
            }
        }
    }
    return false;
}

static enum err show(struct arena *a, const struct entity_desc *d, const struct field *f,
    const struct field_verdict *verdict, const struct writes *w, struct row *row, struct versions *versions)
{
    uint32_t number = f == NULL ? 0 : f->number;
    bool is_set = f != NULL && f->merge == MERGE_SET;
    bool is_contested = is_set ? is_cut(verdict->value, w->at, w->count) : verdict->conflict_count > 0;
    if (f == NULL) {
        row->is_deleted = verdict->value.type == VALUE_INT && verdict->value.i != 0;
    } else {
        enum err e = value_dup(a, verdict->value, &row->values[catalogue_field_index(d, f)]);
        if (e != ERR_OK) {
            return e;
        }
    }
    versions->at[number] = w->at[verdict->winner].dot;
    /* A write that only arrived late leaves no trace: the mark must be a function of the set of writes too. */
    versions->contested &= ~(1ULL << number);
    versions->contested |= is_contested ? 1ULL << number : 0;
    return ERR_OK;
}

/* All writes of the field: as remembered, or read and then remembered. */
static enum err writes_of(struct gather *ga, struct writes *w)
{
    const struct recall_place of = {
        .id = ga->id, .entity = (uint32_t)ga->d->entity, .field = ga->field == NULL ? 0 : ga->field->number
    };
    struct core *c = ga->c;
    const struct recall_field *kept = recall_find(&c->recall, &of);
    if (kept != NULL) {
        w->at = kept->at;
        w->count = kept->count;
        return ERR_OK;
    }
    enum err e = gather_all(ga);
    if (e == ERR_OK) {
        recall_keep(&c->recall, c->mem, &of, w->at, w->count);
    }
    return e;
}

enum err core_contest(struct core *c, struct arena *a, const struct entity_desc *d, const struct field *f,
    struct row *row, struct versions *versions)
{
    struct arena work;
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    struct writes w = { .a = &work };
    struct gather ga = { .c = c, .a = &work, .d = d, .id = row->id, .field = f, .fn = collect_write, .ctx = &w };
    const struct field *as = f == NULL ? &deletion_field : f;
    struct field_verdict verdict = { .conflict_count = 0 };
    uint8_t key[CONTESTED_KEY_BYTES];
    contested_key(row->id, d->entity, as->number, key);
    enum err e = writes_of(&ga, &w);
    if (e == ERR_OK && w.count == 0) {
        e = ERR_BUG; /* whoever asks has just applied a write of it */
    }
    if (e == ERR_OK) {
        e = merge_field(&work, members_group_id(c->members), row->id, d, as, w.at, w.count, &verdict);
    }
    if (e == ERR_OK) {
        e = drop_entries(c, &work, BYTES_OF(key));
    }
    if (e == ERR_OK) {
        e = put_entries(c, &work, d, as, row->id, &verdict, w.at, BYTES_OF(key));
    }
    if (e == ERR_OK) {
        e = show(a, d, f, &verdict, &w, row, versions);
    }
    arena_release(&work);
    return e;
}

enum err core_is_open(
    struct core *c, struct arena *a, const struct entity_desc *d, const struct field *f, struct record_id id, bool *out)
{
    uint8_t key[CONTESTED_KEY_BYTES];
    struct bytes ids = { 0 };
    bool is_open = false;
    contested_key(id, d->entity, f == NULL ? 0 : f->number, key);
    enum err e = c->store->ops->get(c->store, SPACE_CONTESTED, BYTES_OF(key), a, &ids);
    for (size_t i = 0; e == ERR_OK && !is_open && i + CONFLICT_ID_BYTES <= ids.len; i += CONFLICT_ID_BYTES) {
        struct bytes bytes = { 0 };
        struct conflict_entry entry = { .is_open = false };
        e = c->store->ops->get(c->store, SPACE_CONFLICT, bytes_of(ids.ptr + i, CONFLICT_ID_BYTES), a, &bytes);
        if (e == ERR_OK) {
            e = conflict_take(bytes, a, &entry);
        }
        is_open = entry.is_open;
    }
    if (e == ERR_OK || e == ERR_NOT_FOUND) {
        *out = is_open;
        return ERR_OK;
    }
    return e;
}
