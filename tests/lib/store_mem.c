/*
 * Owns: the in-memory store. One sorted array per map, byte-string keys; rows and dossiers are maps too, their values
 * being flat images made here. Every change first notes what it replaces in the undo journal: rollback undoes to the
 * begin mark, a power cut to the mark of the last durable commit, so the journal is cut only by durable commits.
 *
 * Invariants: entries are sorted by key and unique; journal[0..begin_mark) belongs to commits, the rest to the open
 * transaction. Memory failure ends the test (check): it is not a fault this store models.
 */
#include "tests/lib/store_mem.h"

#include "schema/base/check.h"
#include "tests/lib/row_image.h"

#include <stdlib.h>

enum { MAP_DOSSIER = SPACE_COUNT, MAP_TOUCH, MAP_ROW, MAP_IMPORTED, MAP_COUNT };
enum { KEY_BYTES_MAX = 64, VALUE_BYTES_MAX = 1 << 20, ROW_KEY_BYTES = 1 + RECORD_ID_BYTES };

/* One allocation each: key, then value. */
struct entry {
    size_t key_len;
    size_t value_len;
    uint8_t data[];
};

struct map {
    struct entry **entries;
    size_t count;
    size_t capacity;
};

/* old NULL: the key (kept in `key`) was not there. */
struct undo {
    unsigned map;
    struct entry *key;
    struct entry *old;
};

struct store_mem {
    struct store base; /* first: the ops cast back */
    struct map maps[MAP_COUNT];
    struct undo *journal;
    size_t journal_count;
    size_t journal_capacity;
    size_t begin_mark;
    bool is_in_transaction;
    bool is_poisoned;
    enum err doom; /* a write of the open transaction failed: later writes and the commit repeat it */
    unsigned scan_depth;
    struct fault *fault;
};

static struct store_mem *own(struct store *s)
{
    return (struct store_mem *)s;
}

static void *must(void *p)
{
    check(p != NULL);
    return p;
}

/* ---- maps ---- */

static struct entry *entry_new(struct bytes key, struct bytes value)
{
    struct entry *e = must(malloc(sizeof(*e) + key.len + value.len + 1));
    e->key_len = key.len;
    e->value_len = value.len;
    if (key.len > 0) {
        memcpy(e->data, key.ptr, key.len);
    }
    if (value.len > 0) {
        memcpy(e->data + key.len, value.ptr, value.len);
    }
    return e;
}

static struct bytes entry_key(const struct entry *e)
{
    return bytes_of(e->data, e->key_len);
}

static struct bytes entry_value(const struct entry *e)
{
    return bytes_of(e->data + e->key_len, e->value_len);
}

/* First index whose key is not below key. */
static size_t map_lower(const struct map *m, struct bytes key)
{
    size_t lo = 0;
    size_t hi = m->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (bytes_compare(entry_key(m->entries[mid]), key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct entry *map_get(const struct map *m, struct bytes key)
{
    size_t at = map_lower(m, key);
    bool found = at < m->count && bytes_equal(entry_key(m->entries[at]), key);
    return found ? m->entries[at] : NULL;
}

/* Puts fresh (NULL: removes key) and returns what was there, or NULL. */
static struct entry *map_swap(struct map *m, struct bytes key, struct entry *fresh)
{
    size_t at = map_lower(m, key);
    bool found = at < m->count && bytes_equal(entry_key(m->entries[at]), key);
    struct entry *old = found ? m->entries[at] : NULL;
    if (found && fresh != NULL) {
        m->entries[at] = fresh;
    } else if (found) {
        m->count--;
        memmove(&m->entries[at], &m->entries[at + 1], (m->count - at) * sizeof(*m->entries));
    } else if (fresh != NULL) {
        if (m->count == m->capacity) {
            m->capacity = m->capacity == 0 ? 16 : m->capacity * 2;
            m->entries = must(realloc(m->entries, m->capacity * sizeof(*m->entries)));
        }
        memmove(&m->entries[at + 1], &m->entries[at], (m->count - at) * sizeof(*m->entries));
        m->entries[at] = fresh;
        m->count++;
    }
    return old;
}

/* ---- journal ---- */

/* value NULL: remove. */
static void change(struct store_mem *q, unsigned map, struct bytes key, const struct bytes *value)
{
    struct entry *fresh = value == NULL ? NULL : entry_new(key, *value);
    struct entry *old = map_swap(&q->maps[map], key, fresh);
    if (old == NULL && fresh == NULL) {
        return;
    }
    if (q->journal_count == q->journal_capacity) {
        q->journal_capacity = q->journal_capacity == 0 ? 16 : q->journal_capacity * 2;
        q->journal = must(realloc(q->journal, q->journal_capacity * sizeof(*q->journal)));
    }
    struct entry *name = entry_new(key, (struct bytes){ 0 });
    q->journal[q->journal_count++] = (struct undo){ .map = map, .key = name, .old = old };
}

static void undo_to(struct store_mem *q, size_t mark)
{
    while (q->journal_count > mark) {
        struct undo u = q->journal[--q->journal_count];
        free(map_swap(&q->maps[u.map], entry_key(u.key), u.old));
        free(u.key);
    }
}

static void forget_journal(struct store_mem *q)
{
    for (size_t i = 0; i < q->journal_count; i++) {
        free(q->journal[i].key);
        free(q->journal[i].old);
    }
    q->journal_count = 0;
}

/* ---- faults and transactions ---- */

static enum err fault_step(struct store_mem *q)
{
    struct fault *f = q->fault;
    if (f == NULL || f->countdown == 0 || --f->countdown > 0) {
        return ERR_OK;
    }
    f->fired = true;
    return f->err == ERR_OK ? ERR_IO : f->err;
}

static enum err may_write(struct store_mem *q)
{
    check(q->is_in_transaction);
    check(q->scan_depth == 0);
    enum err e = fault_step(q);
    if (q->doom == ERR_OK) {
        q->doom = e;
    }
    return q->doom;
}

static enum err mem_begin(struct store *s)
{
    struct store_mem *q = own(s);
    check(!q->is_in_transaction);
    check(q->scan_depth == 0);
    enum err e = fault_step(q);
    if (q->is_poisoned || e != ERR_OK) {
        return q->is_poisoned ? ERR_IO : e;
    }
    q->begin_mark = q->journal_count;
    q->doom = ERR_OK;
    q->is_in_transaction = true;
    return ERR_OK;
}

static void mem_rollback(struct store *s)
{
    struct store_mem *q = own(s);
    check(q->scan_depth == 0);
    if (q->is_in_transaction) {
        undo_to(q, q->begin_mark);
        q->is_in_transaction = false;
    }
}

static enum err mem_commit(struct store *s, bool durable)
{
    struct store_mem *q = own(s);
    enum err e = may_write(q);
    if (e != ERR_OK) {
        mem_rollback(s);
        q->is_poisoned = q->is_poisoned || e == ERR_IO || e == ERR_FULL;
        return e;
    }
    q->is_in_transaction = false;
    if (durable) {
        forget_journal(q);
    }
    return ERR_OK;
}

/* ---- byte maps ---- */

static void check_key(enum store_space space, struct bytes key)
{
    check((unsigned)space < SPACE_COUNT);
    check(space != SPACE_LOG || key.len == STORE_LOG_KEY_BYTES);
}

static enum err mem_get(struct store *s, enum store_space space, struct bytes key, struct arena *a, struct bytes *out)
{
    struct store_mem *q = own(s);
    check_key(space, key);
    enum err e = fault_step(q);
    if (e != ERR_OK) {
        return e;
    }
    const struct entry *found = map_get(&q->maps[space], key);
    return found == NULL ? ERR_NOT_FOUND : arena_dup(a, entry_value(found), out);
}

static enum err mem_put(struct store *s, enum store_space space, struct bytes key, struct bytes value)
{
    struct store_mem *q = own(s);
    check_key(space, key);
    enum err e = may_write(q);
    if (e != ERR_OK) {
        return e;
    }
    if (key.len > KEY_BYTES_MAX || value.len > VALUE_BYTES_MAX) {
        return ERR_LIMIT;
    }
    change(q, space, key, &value);
    return ERR_OK;
}

static enum err mem_del(struct store *s, enum store_space space, struct bytes key)
{
    struct store_mem *q = own(s);
    check_key(space, key);
    enum err e = may_write(q);
    if (e == ERR_OK) {
        change(q, space, key, NULL);
    }
    return e;
}

static enum err mem_scan(struct store *s, enum store_space space, struct bytes from, struct bytes to, bool reverse,
    store_kv_fn fn, void *ctx)
{
    struct store_mem *q = own(s);
    check((unsigned)space < SPACE_COUNT);
    enum err e = fault_step(q);
    const struct map *m = &q->maps[space];
    size_t lo = map_lower(m, from);
    size_t hi = to.len == 0 ? m->count : map_lower(m, to);
    q->scan_depth++;
    for (size_t i = lo; i < hi && e == ERR_OK; i++) {
        const struct entry *at = m->entries[reverse ? hi - 1 - (i - lo) : i];
        e = fn(ctx, entry_key(at), entry_value(at));
    }
    q->scan_depth--;
    return e;
}

/* ---- dossiers and touches ---- */

/* Image: struct dossier without its view, then the bytes of seen. */
static struct dossier dossier_view(const struct entry *e)
{
    struct bytes image = entry_value(e);
    struct dossier d;
    memcpy(&d, image.ptr, sizeof(d));
    d.seen = bytes_of(image.ptr + sizeof(d), image.len - sizeof(d));
    return d;
}

static enum err mem_dossier_get(struct store *s, struct dossier_id id, struct arena *a, struct dossier *out)
{
    struct store_mem *q = own(s);
    enum err e = fault_step(q);
    if (e != ERR_OK) {
        return e;
    }
    const struct entry *found = map_get(&q->maps[MAP_DOSSIER], BYTES_OF(id.b));
    if (found == NULL) {
        return ERR_NOT_FOUND;
    }
    struct dossier d = dossier_view(found);
    struct bytes seen;
    if ((e = arena_dup(a, d.seen, &seen)) == ERR_OK) {
        d.seen = seen;
        *out = d;
    }
    return e;
}

static void put_dossier(struct store_mem *q, const struct dossier *d)
{
    uint8_t *image = must(calloc(1, sizeof(*d) + d->seen.len));
    memcpy(image, d, sizeof(*d));
    if (d->seen.len > 0) {
        memcpy(image + sizeof(*d), d->seen.ptr, d->seen.len);
    }
    struct bytes value = bytes_of(image, sizeof(*d) + d->seen.len);
    change(q, MAP_DOSSIER, BYTES_OF(d->id.b), &value);
    free(image);
}

static enum err mem_dossier_put(struct store *s, const struct dossier *d)
{
    struct store_mem *q = own(s);
    enum err e = may_write(q);
    if (e == ERR_OK) {
        put_dossier(q, d);
    }
    return e;
}

static enum err mem_dossier_scan(struct store *s, const struct dossier_id *from, store_dossier_fn fn, void *ctx)
{
    struct store_mem *q = own(s);
    enum err e = fault_step(q);
    const struct map *m = &q->maps[MAP_DOSSIER];
    size_t i = from == NULL ? 0 : map_lower(m, BYTES_OF(from->b));
    if (from != NULL && i < m->count && bytes_equal(entry_key(m->entries[i]), BYTES_OF(from->b))) {
        i++;
    }
    q->scan_depth++;
    for (; i < m->count && e == ERR_OK; i++) {
        struct dossier d = dossier_view(m->entries[i]);
        e = fn(ctx, &d);
    }
    q->scan_depth--;
    return e;
}

static enum err mem_dossier_each(struct store *s, store_dossier_fn fn, void *ctx)
{
    return mem_dossier_scan(s, NULL, fn, ctx);
}

static bool has_dossier(const struct store_mem *q, struct dossier_id id)
{
    return map_get(&q->maps[MAP_DOSSIER], BYTES_OF(id.b)) != NULL;
}

static enum err mem_touch_add(struct store *s, struct dossier_id id, struct dot dot)
{
    struct store_mem *q = own(s);
    enum err e = may_write(q);
    if (e != ERR_OK) {
        return e;
    }
    if (dot.seq > INT64_MAX) {
        return ERR_LIMIT;
    }
    if (!has_dossier(q, id)) {
        return ERR_NOT_FOUND;
    }
    uint8_t key[DOSSIER_ID_BYTES + DOT_KEY_BYTES];
    memcpy(key, id.b, sizeof(id.b));
    dot_key(dot, key + DOSSIER_ID_BYTES);
    change(q, MAP_TOUCH, BYTES_OF(key), &(struct bytes){ 0 });
    return ERR_OK;
}

static enum err mem_dossier_touched(struct store *s, const struct dossier *d, struct dot dot)
{
    enum err e = dot.seq > INT64_MAX ? ERR_LIMIT : mem_dossier_put(s, d);
    return e == ERR_OK ? mem_touch_add(s, d->id, dot) : e;
}

static enum err mem_imported_put(struct store *s, const uint8_t mark[STORE_MARK_BYTES])
{
    struct store_mem *q = own(s);
    enum err e = may_write(q);
    if (e == ERR_OK) {
        change(q, MAP_IMPORTED, bytes_of(mark, STORE_MARK_BYTES), &(struct bytes){ 0 });
    }
    return e;
}

static enum err mem_imported_has(struct store *s, const uint8_t mark[STORE_MARK_BYTES], bool *out)
{
    struct store_mem *q = own(s);
    enum err e = fault_step(q);
    *out = e == ERR_OK && map_get(&q->maps[MAP_IMPORTED], bytes_of(mark, STORE_MARK_BYTES)) != NULL;
    return e;
}

static enum err mem_touch_scan(struct store *s, struct dossier_id id, store_dot_fn fn, void *ctx)
{
    struct store_mem *q = own(s);
    enum err e = fault_step(q);
    if (e == ERR_OK && !has_dossier(q, id)) {
        return ERR_NOT_FOUND;
    }
    const struct map *m = &q->maps[MAP_TOUCH];
    q->scan_depth++;
    for (size_t i = map_lower(m, BYTES_OF(id.b)); i < m->count && e == ERR_OK; i++) {
        const uint8_t *key = m->entries[i]->data;
        struct dot dot;
        if (memcmp(key, id.b, sizeof(id.b)) != 0) {
            break;
        }
        e = dot_from_key(bytes_of(key + DOSSIER_ID_BYTES, DOT_KEY_BYTES), &dot);
        if (e == ERR_OK) {
            e = fn(ctx, dot);
        }
    }
    q->scan_depth--;
    return e;
}

/* ---- rows ---- */

static void row_key(enum entity entity, struct record_id id, uint8_t out[ROW_KEY_BYTES])
{
    out[0] = (uint8_t)entity;
    memcpy(out + 1, id.b, sizeof(id.b));
}

static struct row row_view(const struct entry *e, const struct entity_desc *d, struct value *values)
{
    struct row row = row_image_view(entry_value(e), d, values);
    memcpy(row.id.b, e->data + 1, sizeof(row.id.b));
    return row;
}

static void write_row(struct store_mem *q, const struct entity_desc *d, const struct row *row)
{
    uint8_t key[ROW_KEY_BYTES];
    size_t len = 0;
    uint8_t *image = row_image_new(d, row, &len);
    row_key(row->entity, row->id, key);
    struct bytes value = bytes_of(image, len);
    change(q, MAP_ROW, BYTES_OF(key), &value);
    free(image);
}

static enum err checked_write(struct store *s, const struct row *row, bool is_new)
{
    struct store_mem *q = own(s);
    enum err e = may_write(q);
    if (e != ERR_OK) {
        return e;
    }
    const struct entity_desc *d = catalogue_entity(row->entity);
    if (d == NULL) {
        return ERR_INVALID;
    }
    if ((e = row_image_check(d, row)) != ERR_OK) {
        return e;
    }
    if (!has_dossier(q, record_dossier(row->id))) {
        return ERR_NOT_FOUND;
    }
    uint8_t key[ROW_KEY_BYTES];
    row_key(row->entity, row->id, key);
    if (is_new && map_get(&q->maps[MAP_ROW], BYTES_OF(key)) != NULL) {
        return ERR_EXISTS;
    }
    write_row(q, d, row);
    return ERR_OK;
}

static enum err mem_row_put(struct store *s, const struct row *row)
{
    return checked_write(s, row, false);
}

static enum err mem_row_insert(struct store *s, const struct row *row)
{
    return checked_write(s, row, true);
}

static enum err mem_row_get(struct store *s, enum entity entity, struct record_id id, struct arena *a, struct row *out)
{
    struct store_mem *q = own(s);
    enum err e = fault_step(q);
    const struct entity_desc *d = catalogue_entity(entity);
    if (e != ERR_OK || d == NULL) {
        return e != ERR_OK ? e : ERR_INVALID;
    }
    uint8_t key[ROW_KEY_BYTES];
    row_key(entity, id, key);
    const struct entry *found = map_get(&q->maps[MAP_ROW], BYTES_OF(key));
    if (found == NULL) {
        return ERR_NOT_FOUND;
    }
    /* A copy of the whole image in the arena, then a view of that copy. */
    size_t len = sizeof(*found) + found->key_len + found->value_len;
    struct entry *copy = arena_alloc(a, len);
    struct value *values = arena_array(a, d->field_count, sizeof(*values));
    if (copy == NULL || values == NULL) {
        return ERR_NOMEM;
    }
    memcpy(copy, found, len);
    *out = row_view(copy, d, values);
    return ERR_OK;
}

static bool same_value(const struct value *x, const struct value *y)
{
    return x->type == y->type && (x->type == VALUE_INT ? x->i == y->i : bytes_equal(x->s, y->s));
}

static bool row_matches(const struct row *row, const struct entity_desc *d, const struct store_query *query)
{
    struct dossier_id dossier = record_dossier(row->id);
    if (row->is_deleted && !query->with_deleted) {
        return false;
    }
    if (query->dossier != NULL && dossier_id_compare(dossier, *query->dossier) != 0) {
        return false;
    }
    return query->field == NULL || same_value(&row->values[catalogue_field_index(d, query->field)], &query->value);
}

static enum err check_query(const struct entity_desc *d, const struct store_query *query)
{
    if (d == NULL) {
        return ERR_INVALID;
    }
    if (query->field == NULL) {
        return ERR_OK;
    }
    if (catalogue_field(d, query->field->number) != query->field) {
        return ERR_INVALID;
    }
    enum value_type want = row_image_type(query->field);
    bool fits = want != VALUE_NULL && (query->value.type == want || query->value.type == VALUE_NULL);
    return fits ? ERR_OK : ERR_INVALID;
}

static enum err mem_row_find(struct store *s, const struct store_query *query, size_t limit, store_row_fn fn, void *ctx)
{
    struct store_mem *q = own(s);
    enum err e = fault_step(q);
    const struct entity_desc *d = catalogue_entity(query->entity);
    if (e != ERR_OK || (e = check_query(d, query)) != ERR_OK) {
        return e;
    }
    const struct map *m = &q->maps[MAP_ROW];
    uint8_t first[1 + DOSSIER_ID_BYTES] = { (uint8_t)query->entity };
    if (query->dossier != NULL) {
        memcpy(first + 1, query->dossier->b, DOSSIER_ID_BYTES);
    }
    size_t first_len = query->dossier != NULL ? sizeof(first) : 1;
    size_t visited = 0;
    q->scan_depth++;
    for (size_t i = map_lower(m, bytes_of(first, first_len)); i < m->count && e == ERR_OK; i++) {
        if (memcmp(m->entries[i]->data, first, first_len) != 0 || (limit != 0 && visited == limit)) {
            break;
        }
        struct value values[FIELDS_PER_ENTITY_MAX];
        struct row row = row_view(m->entries[i], d, values);
        if (row_matches(&row, d, query)) {
            visited++;
            e = fn(ctx, &row);
        }
    }
    q->scan_depth--;
    return e;
}

static enum err count_one(void *ctx, const struct row *row)
{
    (void)row;
    ++*(uint64_t *)ctx;
    return ERR_OK;
}

static enum err mem_row_count(struct store *s, enum entity entity, uint64_t *out)
{
    uint64_t count = 0;
    enum err e = mem_row_find(s, &(struct store_query){ .entity = entity }, 0, count_one, &count);
    if (e == ERR_OK) {
        *out = count;
    }
    return e;
}

/* ---- the rest ---- */

static void clear_prefix(struct store_mem *q, unsigned map, struct bytes prefix)
{
    const struct map *m = &q->maps[map];
    size_t i = map_lower(m, prefix);
    while (i < m->count) {
        uint8_t key[KEY_BYTES_MAX];
        struct bytes found = entry_key(m->entries[i]);
        if (found.len < prefix.len || !bytes_equal(bytes_of(found.ptr, prefix.len), prefix)) {
            return;
        }
        memcpy(key, found.ptr, found.len);
        change(q, map, bytes_of(key, found.len), NULL);
    }
}

static void clear_map(struct store_mem *q, unsigned map)
{
    clear_prefix(q, map, (struct bytes){ 0 });
}

static enum err mem_dossier_del(struct store *s, struct dossier_id id)
{
    struct store_mem *q = own(s);
    uint8_t key[1 + DOSSIER_ID_BYTES];
    enum err e = may_write(q);
    memcpy(key + 1, id.b, sizeof(id.b));
    for (unsigned entity = 0; e == ERR_OK && entity <= ENTITY_MAX; entity++) {
        key[0] = (uint8_t)entity;
        clear_prefix(q, MAP_ROW, BYTES_OF(key));
    }
    if (e == ERR_OK) {
        clear_prefix(q, MAP_TOUCH, BYTES_OF(id.b));
        change(q, MAP_DOSSIER, BYTES_OF(id.b), NULL);
    }
    return e;
}

static enum err mem_clear_derived(struct store *s)
{
    struct store_mem *q = own(s);
    enum err e = may_write(q);
    if (e != ERR_OK) {
        return e;
    }
    clear_map(q, SPACE_CONFLICT);
    clear_map(q, SPACE_CONTESTED);
    clear_map(q, SPACE_URGENT);
    clear_map(q, SPACE_GAP);
    clear_map(q, MAP_TOUCH);
    clear_map(q, MAP_ROW);
    for (size_t i = 0; i < q->maps[MAP_DOSSIER].count; i++) {
        struct dossier d = dossier_view(q->maps[MAP_DOSSIER].entries[i]);
        d.owner = 0;
        d.seen = (struct bytes){ 0 };
        put_dossier(q, &d);
    }
    return ERR_OK;
}

static const struct store_ops mem_ops = {
    .begin = mem_begin,
    .commit = mem_commit,
    .rollback = mem_rollback,
    .get = mem_get,
    .put = mem_put,
    .del = mem_del,
    .scan = mem_scan,
    .dossier_get = mem_dossier_get,
    .dossier_put = mem_dossier_put,
    .dossier_touched = mem_dossier_touched,
    .dossier_del = mem_dossier_del,
    .dossier_scan = mem_dossier_scan,
    .dossier_each = mem_dossier_each,
    .imported_put = mem_imported_put,
    .imported_has = mem_imported_has,
    .touch_add = mem_touch_add,
    .touch_scan = mem_touch_scan,
    .row_get = mem_row_get,
    .row_put = mem_row_put,
    .row_insert = mem_row_insert,
    .row_find = mem_row_find,
    .row_count = mem_row_count,
    .clear_derived = mem_clear_derived,
};

struct store *store_mem_new(void)
{
    struct store_mem *q = must(calloc(1, sizeof(*q)));
    q->base.ops = &mem_ops;
    return &q->base;
}

void store_mem_free(struct store *s)
{
    if (s == NULL) {
        return;
    }
    struct store_mem *q = own(s);
    forget_journal(q);
    free(q->journal);
    for (size_t m = 0; m < MAP_COUNT; m++) {
        for (size_t i = 0; i < q->maps[m].count; i++) {
            free(q->maps[m].entries[i]);
        }
        free(q->maps[m].entries);
    }
    free(q);
}

void store_mem_set_fault(struct store *s, struct fault *fault)
{
    own(s)->fault = fault;
}

void store_mem_reopen(struct store *s)
{
    mem_rollback(s);
    own(s)->is_poisoned = false;
}

void store_mem_power_cut(struct store *s)
{
    struct store_mem *q = own(s);
    mem_rollback(s);
    undo_to(q, 0);
    q->is_poisoned = false;
}
