/*
 * Owns: taking in one commit: verify, append to the log, apply. Invariants: nothing is applied that is not in the log;
 * the same commit applied in any order with others gives the same rows, because an overwrite happens only when the
 * write's context covers what stands there, and everything else goes through core_contest. A bad part never stops the
 * rest. Does not begin or commit transactions and never acknowledges.
 */
#include "sync/core.h"

#include "schema/base/check.h"

enum { GROUP_ROWS_MAX = 4096, ROWS_FIRST = 8 };

/* One row being built from the parts of a group. */
struct building {
    struct row row;
    struct versions versions;
    const struct entity_desc *desc;
    bool is_new;
    bool is_changed;
    uint64_t recompute; /* bit n: field n must be decided from the log */
};

struct applying {
    struct core *c;
    struct arena *a;
    const struct commit_view *v;
    const struct group_item *g;
    struct dossier *dossier;
    bool dossier_is_new;
    struct building *rows;
    size_t row_count;
    size_t row_capacity;
    bool owner_may_change;
};

static enum err building_load(
    struct applying *ap, const struct entity_desc *d, struct record_id id, bool is_new, struct building *out)
{
    *out = (struct building){ .desc = d, .is_new = is_new };
    enum err e = ERR_NOT_FOUND;
    if (!is_new && !ap->dossier_is_new) {
        e = ap->c->store->ops->row_get(ap->c->store, d->entity, id, ap->a, &out->row);
        if (e == ERR_OK) {
            return versions_take(out->row.versions, &out->versions);
        }
        if (e != ERR_NOT_FOUND) {
            return e;
        }
    }
    out->is_new = true;
    out->row = (struct row){ .id = id, .entity = d->entity };
    out->row.values = arena_array(ap->a, d->field_count, sizeof(*out->row.values));
    return out->row.values == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err building_get(
    struct applying *ap, const struct entity_desc *d, struct record_id id, bool is_new, struct building **out)
{
    for (size_t i = 0; i < ap->row_count; i++) {
        if (ap->rows[i].row.entity == d->entity && record_id_compare(ap->rows[i].row.id, id) == 0) {
            *out = &ap->rows[i];
            return ERR_OK;
        }
    }
    if (ap->row_count == ap->row_capacity) {
        size_t capacity = ap->row_capacity == 0 ? ROWS_FIRST : ap->row_capacity * 2;
        if (capacity > GROUP_ROWS_MAX) {
            return ERR_LIMIT;
        }
        struct building *grown = arena_array(ap->a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (ap->row_count > 0) {
            memcpy(grown, ap->rows, ap->row_count * sizeof(*grown));
        }
        ap->rows = grown;
        ap->row_capacity = capacity;
    }
    enum err e = building_load(ap, d, id, is_new, &ap->rows[ap->row_count]);
    if (e == ERR_OK) {
        *out = &ap->rows[ap->row_count++];
    }
    return e;
}

static enum err set_value(struct applying *ap, struct building *b, const struct field *f, const struct part_cell *cell)
{
    struct value *slot = f == NULL ? NULL : &b->row.values[catalogue_field_index(b->desc, f)];
    if (f == NULL) {
        b->row.is_deleted = cell->value.type == VALUE_INT && cell->value.i != 0;
    } else if (f->merge == MERGE_SET) {
        enum err e = value_set_union(ap->a, *slot, cell->value, slot);
        if (e == ERR_LIMIT) {
            /* Which members fit must not depend on the order of arrival: decided from all writes. */
            b->recompute |= 1ULL << cell->number;
            b->is_changed = true;
            return ERR_OK;
        }
        if (e != ERR_OK) {
            return e;
        }
    } else {
        *slot = cell->value;
    }
    /* A set keeps the highest dot, so that the version does not depend on the order of arrival. */
    bool is_older =
        f != NULL && f->merge == MERGE_SET && dot_compare(b->versions.at[cell->number], ap->v->header.dot) > 0;
    if (!is_older) {
        b->versions.at[cell->number] = ap->v->header.dot;
    }
    b->is_changed = true;
    return ERR_OK;
}

static enum err apply_cell(struct applying *ap, struct building *b, const struct field *f, const struct part_head *head,
    const struct part_cell *cell)
{
    struct dot current = b->versions.at[cell->number];
    bool is_contested = (b->versions.contested >> cell->number & 1) != 0;
    if (current.node != 0 && dot_equal(current, ap->v->header.dot)) {
        return ERR_OK;
    }
    bool is_union = f != NULL && f->merge == MERGE_SET;
    bool is_replaceable = f == NULL || merge_is_replaceable(f->merge);
    bool replaces = !is_contested && is_replaceable && merge_replaces(&head->context, current);
    if (current.node == 0 || is_union || replaces) {
        return set_value(ap, b, f, cell);
    }
    b->recompute |= 1ULL << cell->number;
    b->is_changed = true;
    return ERR_OK;
}

static enum err take_cells(struct applying *ap, struct reader *r, const struct part_record *rec,
    const struct part_head *head, const struct member_user *author, uint32_t scope, enum class_ class_)
{
    const struct entity_desc *d = catalogue_entity((enum entity)rec->entity);
    struct building *b = NULL;
    enum err e = ERR_OK;
    bool creates = rec->ref.kind == REF_NEW || (rec->ref.kind == REF_MAIN && ap->g->is_new);
    if (d != NULL) {
        struct record_id id = core_resolve_ref(ap->v, ap->g->index, ap->dossier->id, &rec->ref);
        e = building_get(ap, d, id, creates, &b);
    }
    for (uint32_t i = 0; e == ERR_OK && i < rec->cell_count; i++) {
        struct part_cell cell = { 0 };
        e = part_take_cell(r, &cell);
        if (e != ERR_OK || d == NULL || cell.number > VERSIONS_FIELD_MAX) {
            continue; /* unknown entities and fields stay in the log until an upgrade rebuilds from it */
        }
        const struct field *f = cell.number == 0 ? NULL : catalogue_field(d, cell.number);
        if (cell.number != 0 && (f == NULL || class_key(f->class_) != class_ || f->merge == MERGE_DERIVED)) {
            continue;
        }
        enum action action = cell.is_decision ? ACTION_DECIDE
                             : f == NULL      ? ACTION_DELETE
                             : creates        ? ACTION_CREATE
                                              : ACTION_UPDATE;
        if (!core_may_write(ap->c, author, scope, d, f, action) ||
            (f != NULL && field_accepts(f, ap->a, cell.value) != ERR_OK)) {
            return ERR_DENIED;
        }
        e = apply_cell(ap, b, f, head, &cell);
    }
    ap->owner_may_change = ap->owner_may_change || rec->entity == ENTITY_CUSTOMER_ASSIGNMENT;
    return e;
}

/* Reads one opened part to its end. A refusal part-way must not leave half of it, so rows are restored then. */
static enum err apply_part(struct applying *ap, const struct part_item *p, struct bytes plain)
{
    struct reader r = reader_of(plain);
    struct part_head head = { 0 };
    const struct member_user *author = NULL;
    uint32_t scope = 0;
    enum err e = part_take_head(&r, ap->a, &head);
    if (e == ERR_OK) {
        e = core_judge_author(ap->c, &ap->v->header, ap->g, &head, &author, &scope);
    }
    for (uint32_t i = 0; e == ERR_OK && i < head.record_count; i++) {
        struct part_record rec = { 0 };
        e = part_take_record(&r, &rec);
        if (e == ERR_OK) {
            e = take_cells(ap, &r, &rec, &head, author, scope, p->class_);
        }
    }
    if (e == ERR_OK && r.left != 0) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK && ap->dossier_is_new && ap->dossier->creator == 0) {
        ap->dossier->creator = author->number;
    }
    return e;
}

static enum err quarantine_key(struct applying *ap, struct dossier_id id, uint32_t part, struct buf *key)
{
    uint8_t dot[DOT_KEY_BYTES];
    dot_key(ap->v->header.dot, dot);
    buf_put(key, id.b, sizeof(id.b));
    buf_put(key, dot, sizeof(dot));
    buf_put_u32be(key, ap->g->index);
    buf_put_u8(key, (uint8_t)part);
    return key->err;
}

/* Key: dossier, dot, group index, part. Value: error number, hlc of the commit. */
static enum err quarantine(struct applying *ap, struct dossier_id id, uint32_t part, enum err why)
{
    struct buf key;
    struct buf value;
    buf_init(&key, ap->c->mem, 64);
    buf_init(&value, ap->c->mem, 64);
    enum err e = quarantine_key(ap, id, part, &key);
    buf_put_u8(&value, (uint8_t)why);
    buf_put_u64be(&value, ap->v->header.hlc);
    if (e == ERR_OK) {
        e = value.err;
    }
    if (e == ERR_OK) {
        e = ap->c->store->ops->put(ap->c->store, SPACE_QUARANTINE, buf_view(&key), buf_view(&value));
    }
    if (e == ERR_OK) {
        ap->c->pending++;
    }
    buf_release(&key);
    buf_release(&value);
    return e;
}

static bool is_refusal(enum err e)
{
    return e == ERR_DENIED || e == ERR_NO_KEY || e == ERR_SEAL || e == ERR_UNKNOWN_KIND || e == ERR_FORMAT ||
           e == ERR_TRUNCATED || e == ERR_LIMIT;
}

struct saved {
    struct building *rows;
    size_t count;
};

/* Rows as they were before a part, so that a part refused half-way leaves nothing. */
static enum err save_rows(struct applying *ap, struct saved *out)
{
    *out = (struct saved){ .count = ap->row_count };
    if (ap->row_count == 0) {
        return ERR_OK;
    }
    out->rows = arena_array(ap->a, ap->row_count, sizeof(*out->rows));
    if (out->rows == NULL) {
        return ERR_NOMEM;
    }
    memcpy(out->rows, ap->rows, ap->row_count * sizeof(*out->rows));
    for (size_t i = 0; i < ap->row_count; i++) {
        size_t n = ap->rows[i].desc->field_count;
        struct value *values = arena_array(ap->a, n, sizeof(*values));
        if (values == NULL) {
            return ERR_NOMEM;
        }
        memcpy(values, ap->rows[i].row.values, n * sizeof(*values));
        out->rows[i].row.values = values;
    }
    return ERR_OK;
}

static void restore_rows(struct applying *ap, const struct saved *saved)
{
    if (saved->count > 0) {
        memcpy(ap->rows, saved->rows, saved->count * sizeof(*saved->rows));
    }
    ap->row_count = saved->count;
}

static enum err apply_parts(struct applying *ap)
{
    struct part_cursor cursor = group_parts(ap->g);
    struct part_item p;
    enum err e = ERR_OK;
    bool own = ap->c->is_writing;
    while ((e = group_next_part(&cursor, &p)) == ERR_OK) {
        struct bytes plain = { 0 };
        struct saved saved = { 0 };
        if (p.is_withheld) {
            continue;
        }
        if (own) {
            plain = *ap->c->own_parts++; /* what was sealed a moment ago */
        } else {
            e = core_open_part(ap->c, ap->a, ap->v, ap->g, &p, ap->dossier, &plain);
        }
        if (e == ERR_OK && !own) {
            e = save_rows(ap, &saved);
        }
        if (e == ERR_OK) {
            e = apply_part(ap, &p, plain);
            if (e != ERR_OK && !own) {
                restore_rows(ap, &saved);
            }
        }
        if (e != ERR_OK && is_refusal(e) && !own) {
            e = quarantine(ap, ap->dossier->id, p.index, e);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err write_rows(struct applying *ap)
{
    struct buf blob;
    buf_init(&blob, ap->c->mem, 4096);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < ap->row_count; i++) {
        struct building *b = &ap->rows[i];
        if (!b->is_changed) {
            continue;
        }
        for (uint32_t n = 0; e == ERR_OK && n <= VERSIONS_FIELD_MAX && b->recompute != 0; n++) {
            if ((b->recompute >> n & 1) != 0) {
                const struct field *f = n == 0 ? NULL : catalogue_field(b->desc, n);
                e = core_contest(ap->c, ap->a, b->desc, f, &b->row, &b->versions);
            }
        }
        buf_clear(&blob);
        versions_put(&blob, &b->versions);
        b->row.versions = buf_view(&blob);
        if (e == ERR_OK) {
            e = blob.err;
        }
        if (e == ERR_OK) {
            e = b->is_new && ap->dossier_is_new ? ap->c->store->ops->row_insert(ap->c->store, &b->row)
                                                : ap->c->store->ops->row_put(ap->c->store, &b->row);
        }
    }
    buf_release(&blob);
    return e;
}

struct owner_search {
    struct core *c;
    const struct entity_desc *d;
    uint32_t owner;
    int64_t epoch;
    int64_t from;
    struct record_id id; /* the last word, so that the order of the visit does not matter */
};

static struct value row_value(const struct entity_desc *d, const struct row *row, const char *name)
{
    const struct field *f = catalogue_field_by_name(d, bytes_str(name));
    check(f != NULL);
    return row->values[catalogue_field_index(d, f)];
}

static enum err see_assignment(void *ctx, const struct row *row)
{
    struct owner_search *s = ctx;
    const struct code *role = NULL;
    struct value role_value = row_value(s->d, row, "role");
    struct value staff = row_value(s->d, row, "staff");
    struct value from = row_value(s->d, row, "from_at");
    struct value epoch = row_value(s->d, row, "epoch");
    const struct field *f = catalogue_field_by_name(s->d, BYTES_LIT("role"));
    if (role_value.type == VALUE_INT && f->codes != NULL) {
        role = code_by_number(f->codes, role_value.i);
    }
    bool is_sales = role == NULL || strcmp(role->key, "sales") == 0;
    if (!is_sales || staff.type != VALUE_TEXT || row_value(s->d, row, "to_at").type != VALUE_NULL) {
        return ERR_OK;
    }
    const struct member_user *user = members_user_by_login(s->c->members, staff.s);
    bool is_later = epoch.i != s->epoch ? epoch.i > s->epoch
                    : from.i != s->from ? from.i > s->from
                                        : record_id_compare(row->id, s->id) < 0;
    if (user != NULL && (s->owner == 0 || is_later)) {
        s->owner = user->number;
        s->epoch = epoch.i;
        s->from = from.i;
        s->id = row->id;
    }
    return ERR_OK;
}

/* The owner is derived: the newest open sales assignment. All rows of a new dossier are at hand. */
static enum err find_owner(struct applying *ap, uint32_t *owner)
{
    struct owner_search s = { .c = ap->c, .d = catalogue_entity(ENTITY_CUSTOMER_ASSIGNMENT) };
    const struct store_query q = { .entity = ENTITY_CUSTOMER_ASSIGNMENT, .dossier = &ap->dossier->id };
    enum err e = ERR_OK;
    if (ap->dossier_is_new) {
        for (size_t i = 0; e == ERR_OK && i < ap->row_count; i++) {
            const struct row *row = &ap->rows[i].row;
            e = row->entity == ENTITY_CUSTOMER_ASSIGNMENT && !row->is_deleted ? see_assignment(&s, row) : ERR_OK;
        }
    } else {
        e = ap->c->store->ops->row_find(ap->c->store, &q, 0, see_assignment, &s);
    }
    *owner = s.owner;
    return e;
}

static enum err refresh_owner(struct applying *ap)
{
    uint32_t owner = 0;
    enum err e = find_owner(ap, &owner);
    if (e == ERR_OK && owner != ap->dossier->owner) {
        ap->dossier->owner = owner;
        e = ap->c->store->ops->dossier_put(ap->c->store, ap->dossier);
    }
    return e;
}

/* Adds the dot to what the dossier has seen. */
static enum err raise_seen(struct applying *ap)
{
    struct vv seen = { 0 };
    struct reader r = reader_of(ap->dossier->seen);
    struct buf b;
    enum err e = ERR_OK;
    if (ap->dossier->seen.len > 0) {
        e = vv_take(&r, ap->a, &seen);
    }
    if (e == ERR_OK) {
        e = vv_raise(&seen, ap->a, ap->v->header.dot);
    }
    if (e != ERR_OK) {
        return e == ERR_LIMIT || e == ERR_NOMEM ? e : ERR_DAMAGED;
    }
    buf_init(&b, ap->c->mem, 1 << 18);
    vv_put(&b, &seen);
    e = b.err;
    if (e == ERR_OK) {
        e = arena_dup(ap->a, buf_view(&b), &ap->dossier->seen);
    }
    buf_release(&b);
    return e;
}

static enum err apply_group(struct applying *ap)
{
    const struct store_ops *ops = ap->c->store->ops;
    enum err e = raise_seen(ap);
    if (e == ERR_OK && ap->dossier_is_new && ap->dossier->creator == 0) {
        /* The author stands in the first part; rows need the dossier first, so parts are read before anything is
         * written. */
        e = apply_parts(ap);
        if (e == ERR_OK && ap->owner_may_change) {
            e = find_owner(ap, &ap->dossier->owner);
        }
        if (e == ERR_OK) {
            e = ops->dossier_put(ap->c->store, ap->dossier);
        }
    } else if (e == ERR_OK) {
        e = ops->dossier_put(ap->c->store, ap->dossier);
        if (e == ERR_OK) {
            e = apply_parts(ap);
        }
    }
    if (e == ERR_OK) {
        e = ops->touch_add(ap->c->store, ap->dossier->id, ap->v->header.dot);
    }
    if (e == ERR_OK) {
        e = write_rows(ap);
    }
    if (e == ERR_OK && ap->owner_may_change) {
        e = refresh_owner(ap);
    }
    return e;
}

static bool is_book(const struct core *c, const struct group_item *g)
{
    return (g->kind == DOSSIER_STATION_BOOK && dossier_id_compare(g->dossier, core_station_book(c, g->station)) == 0) ||
           (g->kind == DOSSIER_GROUP_BOOK && dossier_id_compare(g->dossier, core_group_book(c)) == 0);
}

struct waiting {
    struct core *c;
    struct arena *a;
    struct bytes *keys;
    size_t count;
    size_t capacity;
};

static enum err collect_waiting(void *ctx, struct bytes key, struct bytes value)
{
    struct waiting *w = ctx;
    if (value.len == 0 || (value.ptr[0] != ERR_GAP && value.ptr[0] != ERR_NO_KEY)) {
        return ERR_OK;
    }
    if (w->count == w->capacity) {
        size_t capacity = w->capacity == 0 ? 16 : w->capacity * 2;
        struct bytes *grown = arena_array(w->a, capacity, sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        if (w->count > 0) {
            memcpy(grown, w->keys, w->count * sizeof(*grown));
        }
        w->keys = grown;
        w->capacity = capacity;
    }
    enum err e = arena_dup(w->a, key, &w->keys[w->count]);
    if (e == ERR_OK) {
        w->count++;
    }
    return e;
}

static enum err ingest_group(
    struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g, const uint8_t *secret);

static enum err retry_one(struct core *c, struct arena *a, struct bytes key)
{
    struct dot dot = { 0 };
    struct bytes bytes = { 0 };
    struct commit_view v;
    struct group_item g;
    struct reader r = reader_of(bytes_of(key.ptr + DOSSIER_ID_BYTES + DOT_KEY_BYTES, 4));
    uint32_t index = 0;
    enum err e = dot_from_key(bytes_of(key.ptr + DOSSIER_ID_BYTES, DOT_KEY_BYTES), &dot);
    if (e == ERR_OK) {
        e = reader_u32be(&r, &index);
    }
    if (e == ERR_OK) {
        e = c->store->ops->get(c->store, SPACE_LOG, bytes_of(key.ptr + DOSSIER_ID_BYTES, DOT_KEY_BYTES), a, &bytes);
    }
    if (e == ERR_OK) {
        e = commit_parse(bytes, &v);
    }
    if (e == ERR_OK) {
        e = c->store->ops->del(c->store, SPACE_QUARANTINE, key);
        c->pending -= c->pending > 0 ? 1 : 0;
    }
    if (e != ERR_OK) {
        return e;
    }
    struct body_cursor cursor = commit_groups(&v);
    bool was_writing = c->is_writing;
    c->is_writing = false; /* what waited was made by others */
    while ((e = commit_next_group(&cursor, &g)) == ERR_OK) {
        if (!g.is_withheld && g.index == index) {
            e = ingest_group(c, a, &v, &g, NULL);
            break;
        }
    }
    c->is_writing = was_writing;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Parts that waited for this dossier (or, with dossier NULL, for keys) are tried again. */
static enum err retry_waiting(struct core *c, struct arena *a, const struct dossier_id *dossier)
{
    struct waiting w = { .c = c, .a = a };
    uint8_t to[DOSSIER_ID_BYTES];
    struct bytes from = { 0 };
    struct bytes end = { 0 };
    if (c->pending == 0) {
        return ERR_OK;
    }
    if (dossier != NULL) {
        memcpy(to, dossier->b, sizeof(to));
        size_t i = sizeof(to);
        while (i > 0 && ++to[i - 1] == 0) {
            i--;
        }
        from = BYTES_OF(dossier->b);
        end = i == 0 ? end : BYTES_OF(to);
    }
    enum err e = c->store->ops->scan(c->store, SPACE_QUARANTINE, from, end, false, collect_waiting, &w);
    for (size_t i = 0; e == ERR_OK && i < w.count; i++) {
        e = retry_one(c, a, w.keys[i]);
    }
    return e;
}

static enum err ingest_group(
    struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g, const uint8_t *secret)
{
    struct dossier d = { 0 };
    struct applying ap = { .c = c, .a = a, .v = v, .g = g, .dossier = &d };
    struct dossier_id id = g->is_new ? seal_new_dossier(v->header.salt, g->index) : g->dossier;
    enum err e = c->store->ops->dossier_get(c->store, id, a, &d);
    if (e == ERR_NOT_FOUND && (g->is_new || is_book(c, g))) {
        d = (struct dossier){ .id = id, .kind = g->kind, .station = g->station };
        if (g->is_new && secret == NULL) {
            return ERR_FORMAT;
        }
        if (g->is_new) {
            memcpy(d.secret, secret, sizeof(d.secret));
        }
        ap.dossier_is_new = true;
        e = apply_group(&ap);
        return e == ERR_OK ? retry_waiting(c, a, &id) : e;
    }
    if (e == ERR_NOT_FOUND) {
        return quarantine(&ap, id, 0xFF, ERR_GAP);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (d.kind != g->kind || d.station != g->station || (d.flags & DOSSIER_ERASED) != 0) {
        return quarantine(&ap, id, 0xFF, ERR_DENIED);
    }
    return apply_group(&ap);
}

static enum err ingest_groups(struct core *c, struct arena *a, const struct commit_view *v, struct bytes secrets)
{
    struct body_cursor cursor = commit_groups(v);
    struct reader r = reader_of(secrets);
    struct group_item g;
    enum err e = ERR_OK;
    while ((e = commit_next_group(&cursor, &g)) == ERR_OK) {
        struct bytes secret = { 0 };
        if (g.is_withheld) {
            continue;
        }
        if (g.is_new) {
            e = reader_take(&r, SECRET_BYTES, &secret);
        }
        if (e == ERR_OK) {
            e = ingest_group(c, a, v, &g, secret.ptr);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    return r.left == 0 ? ERR_OK : ERR_FORMAT;
}

/* Counts what travels beside the commit, so that a short list is refused before anything is written. */
static enum err check_secrets(const struct commit_view *v, struct bytes secrets)
{
    struct body_cursor cursor = commit_groups(v);
    struct group_item g;
    size_t need = 0;
    while (commit_next_group(&cursor, &g) == ERR_OK) {
        need += !g.is_withheld && g.is_new ? SECRET_BYTES : 0;
    }
    return secrets.len == need ? ERR_OK : ERR_FORMAT;
}

static enum err verify(struct core *c, struct arena *a, const struct commit_view *v, uint8_t hash[COMMIT_HASH_BYTES])
{
    const struct commit_header *h = &v->header;
    const struct head *head = core_head(c, h->dot.node, h->dot.epoch);
    uint64_t upto = head == NULL ? 0 : head->upto;
    uint8_t member_hash[16];
    uint8_t root[COMMIT_HASH_BYTES];
    if (h->dot.seq <= upto) {
        return ERR_EXISTS;
    }
    if (h->dot.seq > upto + 1) {
        return ERR_GAP;
    }
    const struct member_node *node = members_node(c->members, h->dot.node);
    if (node == NULL || h->member_number > members_head(c->members, root)) {
        return node == NULL ? ERR_UNKNOWN_PEER : ERR_GAP;
    }
    if (!members_hash16_at(c->members, h->member_number, member_hash) ||
        memcmp(member_hash, h->member_hash, sizeof(member_hash)) != 0) {
        return ERR_SIGNATURE;
    }
    if (head != NULL && head->knows_hash && memcmp(head->hash, h->prev, sizeof(h->prev)) != 0) {
        return ERR_CONFLICT;
    }
    enum err e = seal_root(v, a, root);
    if (e == ERR_OK) {
        e = seal_verify_commit(members_group_id(c->members), v, root, node->sign_key);
    }
    if (e == ERR_OK) {
        seal_commit_hash(members_group_id(c->members), v->header_bytes, root, hash);
    }
    return e;
}

/* Appends to the log and moves the head; what was accepted is now ours to keep. */
static enum err append(struct core *c, const struct commit_view *v, const uint8_t hash[COMMIT_HASH_BYTES])
{
    uint8_t key[DOT_KEY_BYTES];
    struct head h = { .node = v->header.dot.node,
        .epoch = v->header.dot.epoch,
        .upto = v->header.dot.seq,
        .hlc = v->header.hlc,
        .knows_hash = true };
    memcpy(h.hash, hash, sizeof(h.hash));
    dot_key(v->header.dot, key);
    enum err e = c->store->ops->put(c->store, SPACE_LOG, BYTES_OF(key), v->all);
    return e == ERR_OK ? core_set_head(c, &h) : e;
}

enum err core_apply_again(struct core *c, struct arena *a, const struct commit_view *v, struct bytes secrets)
{
    if (!members_accepts_dot(c->members, v->header.dot)) {
        const struct group_item whole = { .index = 0 };
        struct applying ap = { .c = c, .a = a, .v = v, .g = &whole };
        return quarantine(&ap, (struct dossier_id){ { 0 } }, 0xFF, ERR_REVOKED);
    }
    return ingest_groups(c, a, v, secrets);
}

enum err core_ingest(struct core *c, struct arena *a, struct now now, struct bytes commit, struct bytes secrets)
{
    struct commit_view v;
    uint8_t hash[COMMIT_HASH_BYTES];
    enum err e = commit_parse(commit, &v);
    if (e == ERR_OK) {
        e = check_secrets(&v, secrets);
    }
    if (e == ERR_OK) {
        e = verify(c, a, &v, hash);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = append(c, &v, hash);
    c->hlc = hlc_observe(c->hlc, v.header.hlc, now);
    return e == ERR_OK ? core_apply_again(c, a, &v, secrets) : e;
}

enum err core_take_own(struct core *c, struct arena *a, const struct commit_view *v,
    const uint8_t hash[COMMIT_HASH_BYTES], struct bytes secrets)
{
    enum err e = append(c, v, hash);
    c->is_writing = true;
    if (e == ERR_OK) {
        e = ingest_groups(c, a, v, secrets);
    }
    c->is_writing = false;
    return e;
}

enum err core_add_member_entry(struct core *c, struct arena *a, struct now now, struct bytes entry)
{
    uint8_t hash[32];
    uint8_t key[8];
    (void)now;
    enum err e = members_append(c->members, entry);
    if (e != ERR_OK) {
        return e;
    }
    uint64_t number = members_head(c->members, hash);
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)(number >> (8 * (7 - i)));
    }
    e = c->store->ops->put(c->store, SPACE_MEMBER, BYTES_OF(key), entry);
    return e == ERR_OK ? retry_waiting(c, a, NULL) : e;
}
