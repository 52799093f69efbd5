/*
 * Owns: opening the core, heads of origins, books, rights of authors. Invariants: after every successful transaction
 * heads in memory equal SPACE_HEADS, but for origins that are ourselves: there the stored head may stand at most
 * HEAD_STEP commits lower, and all commits between stand in the log; own commits continue exactly at the head of (self,
 * epoch).
 */
#include "sync/core_internal.h"
#include "sync/fork.h"

#include "schema/base/check.h"
#include "sync/leaving.h"

#include <sodium.h>

enum { HEAD_KNOWS_HASH = 1 << 0, HEAD_IS_FORGOTTEN = 1 << 1, HEAD_STEP = 64 };

static int head_order(const struct head *h, uint32_t node, uint32_t epoch)
{
    if (h->node != node) {
        return h->node < node ? -1 : 1;
    }
    return (h->epoch > epoch) - (h->epoch < epoch);
}

static size_t head_lower(const struct heads *heads, uint32_t node, uint32_t epoch)
{
    size_t lo = 0;
    size_t hi = heads->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (head_order(&heads->at[mid], node, epoch) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

const struct head *core_head(const struct core *c, uint32_t node, uint32_t epoch)
{
    size_t i = head_lower(&c->heads, node, epoch);
    return i < c->heads.count && head_order(&c->heads.at[i], node, epoch) == 0 ? &c->heads.at[i] : NULL;
}

static enum err heads_insert(struct core *c, size_t at, const struct head *h)
{
    struct heads *heads = &c->heads;
    if (!mem_room(c->mem, &heads->at, &heads->capacity, heads->count, sizeof(*heads->at))) {
        return ERR_NOMEM;
    }
    memmove(heads->at + at + 1, heads->at + at, (heads->count - at) * sizeof(*heads->at));
    heads->at[at] = *h;
    heads->count++;
    return ERR_OK;
}

static enum err heads_keep(struct core *c, const struct head *h)
{
    size_t i = head_lower(&c->heads, h->node, h->epoch);
    if (i < c->heads.count && head_order(&c->heads.at[i], h->node, h->epoch) == 0) {
        c->heads.at[i] = *h;
        return ERR_OK;
    }
    return heads_insert(c, i, h);
}

enum err core_room_for_origin(const struct core *c, uint32_t node, uint32_t epoch)
{
    size_t epochs = 0;
    if (core_head(c, node, epoch) != NULL || node == c->self.number) {
        return ERR_OK;
    }
    for (size_t i = 0; i < c->heads.count; i++) {
        epochs += c->heads.at[i].node == node ? 1 : 0;
    }
    return epochs >= CORE_EPOCHS_PER_NODE_MAX || c->heads.count >= CORE_ORIGINS_MAX ? ERR_LIMIT : ERR_OK;
}

enum err core_set_head(struct core *c, const struct head *h)
{
    struct buf key;
    struct buf value;
    buf_init(&key, c->mem, 8);
    buf_init(&value, c->mem, 128);
    buf_put_u32be(&key, h->node);
    buf_put_u32be(&key, h->epoch);
    buf_put_varint(&value, h->upto);
    buf_put_u64be(&value, h->hlc);
    buf_put_u8(&value, (uint8_t)((h->knows_hash ? HEAD_KNOWS_HASH : 0) | (h->is_forgotten ? HEAD_IS_FORGOTTEN : 0)));
    buf_put(&value, h->hash, sizeof(h->hash));
    enum err e = key.err != ERR_OK ? key.err : value.err;
    if (e == ERR_OK) {
        e = c->store->ops->put(c->store, SPACE_HEADS, buf_view(&key), buf_view(&value));
    }
    if (e == ERR_OK) {
        e = heads_keep(c, h);
    }
    buf_release(&key);
    buf_release(&value);
    return e;
}

enum err core_head_of_own(struct core *c, const struct head *h)
{
    bool is_kept = core_head(c, h->node, h->epoch) != NULL && h->upto % HEAD_STEP != 0;
    return is_kept ? heads_keep(c, h) : core_set_head(c, h);
}

enum err core_head_from_log(struct core *c, struct arena *a, struct dot dot, struct head *out)
{
    struct commit_view v;
    uint8_t root[COMMIT_HASH_BYTES];
    enum err e = core_log_get(c, a, dot, &v);
    if (e == ERR_OK) {
        e = seal_root(&v, a, root);
    }
    if (e != ERR_OK) {
        return e == ERR_NOMEM || e == ERR_IO ? e : ERR_DAMAGED;
    }
    *out =
        (struct head){ .node = dot.node, .epoch = dot.epoch, .upto = dot.seq, .hlc = v.header.hlc, .knows_hash = true };
    seal_commit_hash(members_group_id(c->members), v.header_bytes, root, out->hash);
    return ERR_OK;
}

static void observe_own(struct core *c, const struct head *h)
{
    if (h->node == c->self.number && h->hlc > c->hlc) {
        c->hlc = h->hlc;
    }
}

static enum err load_head(void *ctx, struct bytes key, struct bytes value)
{
    struct core *c = ctx;
    struct head h = { 0 };
    struct reader k = reader_of(key);
    struct reader v = reader_of(value);
    uint8_t flags = 0;
    if (reader_u32be(&k, &h.node) != ERR_OK || reader_u32be(&k, &h.epoch) != ERR_OK ||
        reader_varint(&v, &h.upto) != ERR_OK || reader_u64be(&v, &h.hlc) != ERR_OK || reader_u8(&v, &flags) != ERR_OK ||
        reader_copy(&v, h.hash, sizeof(h.hash)) != ERR_OK) {
        return ERR_DAMAGED;
    }
    h.knows_hash = (flags & HEAD_KNOWS_HASH) != 0;
    h.is_forgotten = (flags & HEAD_IS_FORGOTTEN) != 0;
    observe_own(c, &h);
    return heads_keep(c, &h);
}

/* Counts up while commits follow each other. */
static enum err note_next(void *ctx, struct bytes key, struct bytes value)
{
    uint64_t *upto = ctx;
    struct dot dot = { 0 };
    (void)value;
    enum err e = dot_from_key(key, &dot);
    if (e == ERR_OK && dot.seq != *upto + 1) {
        return ERR_BUSY;
    }
    *upto += e == ERR_OK ? 1 : 0;
    return e;
}

/* Own commits that stand in the log right behind the stored head. */
static enum err catch_up(struct core *c, struct head *h)
{
    uint8_t from[DOT_KEY_BYTES];
    uint8_t to[DOT_KEY_BYTES];
    uint64_t upto = h->upto;
    struct arena work;
    dot_key((struct dot){ h->node, h->epoch, upto + 1 }, from);
    dot_key((struct dot){ h->node, h->epoch, UINT64_MAX }, to);
    enum err e = c->store->ops->scan(c->store, SPACE_LOG, BYTES_OF(from), BYTES_OF(to), false, note_next, &upto);
    if ((e != ERR_OK && e != ERR_BUSY) || upto == h->upto) {
        return e == ERR_BUSY ? ERR_OK : e;
    }
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    e = core_head_from_log(c, &work, (struct dot){ h->node, h->epoch, upto }, h);
    arena_release(&work);
    observe_own(c, h);
    return e;
}

static enum err load_heads(struct core *c)
{
    const struct bytes all = { 0 };
    enum err e = c->store->ops->scan(c->store, SPACE_HEADS, all, all, false, load_head, c);
    for (size_t i = 0; e == ERR_OK && i < c->heads.count; i++) {
        if (c->heads.at[i].node == c->self.number) {
            e = catch_up(c, &c->heads.at[i]);
        }
    }
    return e;
}

static enum err count_waiting(void *ctx, struct bytes key, struct bytes value)
{
    struct core *c = ctx;
    (void)key;
    (void)value;
    c->waiting++;
    return ERR_OK;
}

/* The newest entry only. */
static enum err read_number(void *ctx, struct bytes key, struct bytes value)
{
    struct reader r = reader_of(key);
    (void)value;
    return reader_u64be(&r, ctx) == ERR_OK ? ERR_BUSY : ERR_DAMAGED;
}

/* Entries folded by a transaction that did not commit must go, or the next one would be stored under a wrong number. */
static enum err reload_members(struct core *c)
{
    const struct bytes all = { 0 };
    uint8_t hash[32];
    uint64_t stored = 0;
    enum err e = c->store->ops->scan(c->store, SPACE_MEMBER, all, all, true, read_number, &stored);
    if (e != ERR_OK && e != ERR_BUSY) {
        return e;
    }
    return members_head(c->members, hash) == stored ? ERR_OK : members_reload(c->members, c->store);
}

/* An epoch drawn by a transaction that did not commit is taken back; a store without one keeps what the caller set. */
static enum err reload_epoch(struct core *c, struct arena *a)
{
    struct bytes stored = { 0 };
    uint32_t epoch = 0;
    enum err e = c->store->ops->get(c->store, SPACE_META, BYTES_LIT("epoch"), a, &stored);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    struct reader r = reader_of(stored);
    if (reader_u32be(&r, &epoch) != ERR_OK || r.left != 0) {
        return ERR_DAMAGED;
    }
    c->epoch = epoch;
    return ERR_OK;
}

static enum err reload_doubt(struct core *c, struct arena *a)
{
    struct bytes stored = { 0 };
    enum err e = c->store->ops->get(c->store, SPACE_META, CORE_MEMBERS_IN_DOUBT, a, &stored);
    c->members_in_doubt = e != ERR_NOT_FOUND;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err core_members_trusted(struct core *c)
{
    c->members_in_doubt = false;
    return c->store->ops->del(c->store, SPACE_META, CORE_MEMBERS_IN_DOUBT);
}

enum err core_members_heard(struct core *c, uint64_t number)
{
    uint8_t hash[32];
    return c->members_in_doubt && number == members_head(c->members, hash) ? core_members_trusted(c) : ERR_OK;
}

enum err core_reload(struct core *c, struct arena *a)
{
    const struct bytes all = { 0 };
    c->is_stale = true;
    c->heads.count = 0;
    c->pending = 0;
    marks_forget(&c->marks);
    core_remember_nothing(c);
    c->waiting = 0;
    enum err e = reload_members(c);
    if (e == ERR_OK) {
        e = reload_epoch(c, a);
    }
    if (e == ERR_OK) {
        e = reload_doubt(c, a);
    }
    if (e == ERR_OK) {
        e = fork_load(c);
    }
    if (e == ERR_OK) {
        e = load_heads(c);
    }
    if (e == ERR_OK) {
        e = quarantine_count(c);
    }
    if (e == ERR_OK) {
        e = c->store->ops->scan(c->store, SPACE_WAITING, all, all, false, count_waiting, c);
    }
    if (e == ERR_OK) {
        e = leaving_count(c, &c->leaving);
    }
    if (e == ERR_OK) {
        e = early_count(c);
    }
    if (e == ERR_OK) {
        e = audit_reload(&c->audit, a);
    }
    c->is_stale = e != ERR_OK;
    return e;
}

enum err core_refresh(struct core *c, struct arena *a)
{
    return c->is_stale ? core_reload(c, a) : ERR_OK;
}

enum err core_open(struct core *c, struct arena *a, const uint8_t pseudonym_key[KEY_BYTES])
{
    pack_init(&c->pack);
    marks_init(&c->marks, c->mem);
    enum err e = audit_open(&c->audit, c->store, members_group_id(c->members), pseudonym_key, a);
    return e == ERR_OK ? core_reload(c, a) : e;
}

void core_close(struct core *c)
{
    mem_free(c->mem, c->heads.at, c->heads.capacity * sizeof(*c->heads.at));
    c->heads = (struct heads){ 0 };
    marks_forget(&c->marks);
    core_remember_nothing(c);
    quarantine_free(c);
    fork_free(c);
    sodium_memzero(&c->self, sizeof(c->self));
    sodium_memzero(c->authority_secret, sizeof(c->authority_secret));
}

static struct dossier_id book_id(const struct core *c, enum dossier_kind kind, uint32_t number)
{
    uint8_t full[16];
    const uint8_t what[5] = { (uint8_t)kind, (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
        (uint8_t)number };
    const struct bytes pieces[2] = { bytes_of(members_group_id(c->members), GROUP_ID_BYTES), BYTES_OF(what) };
    struct dossier_id d;
    seal_hash(full, sizeof(full), "jipan/book-id/v1", NULL, pieces, 2);
    memcpy(d.b, full, sizeof(d.b));
    return d;
}

struct dossier_id core_station_book(const struct core *c, uint32_t station)
{
    return book_id(c, DOSSIER_STATION_BOOK, station);
}

struct dossier_id core_group_book(const struct core *c)
{
    return book_id(c, DOSSIER_GROUP_BOOK, 0);
}

enum err core_settle_withheld(struct core *c, uint32_t node, uint32_t epoch, uint64_t upto)
{
    const struct head *have = core_head(c, node, epoch);
    bool is_over = epoch != c->epoch && core_counts(c, (struct dot){ node, epoch, upto }) != ERR_OK;
    if ((node == c->self.number && !is_over) || upto > CORE_SEQ_MAX) {
        return ERR_PROTOCOL; /* nobody withholds our own, and our next seq is ours to choose */
    }
    if (have != NULL && have->upto >= upto) {
        return ERR_OK;
    }
    enum err e = core_room_for_origin(c, node, epoch);
    if (e != ERR_OK) {
        return e;
    }
    uint64_t before = have == NULL ? 0 : have->upto;
    const struct head h = { .node = node, .epoch = epoch, .upto = upto, .hlc = have == NULL ? 0 : have->hlc };
    e = core_set_head(c, &h);
    if (e == ERR_OK) {
        e = waiting_retry(c, (struct dot){ .node = node, .epoch = epoch, .seq = upto });
    }
    return e == ERR_OK ? early_walk(c, node, epoch, before) : e;
}

enum err core_secrets_of(struct core *c, struct arena *a, const struct commit_view *v, struct buf *out)
{
    struct body_cursor cursor = commit_groups(v);
    struct group_item g;
    enum err e = ERR_OK;
    while ((e = commit_next_group(&cursor, &g)) == ERR_OK) {
        if (g.is_withheld || !g.is_new) {
            continue;
        }
        struct dossier d = { 0 };
        e = c->store->ops->dossier_get(c->store, seal_new_dossier(v->header.salt, g.index), a, &d);
        if (e != ERR_OK) {
            return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
        }
        buf_put(out, d.secret, sizeof(d.secret));
    }
    return e == ERR_NOT_FOUND ? out->err : e;
}

static unsigned memo_slot(enum action action)
{
    switch (action) {
    case ACTION_CREATE:
        return 0;
    case ACTION_DECIDE:
        return 2;
    case ACTION_READ:
    case ACTION_SEARCH:
    case ACTION_EXPORT:
    case ACTION_UPDATE:
    case ACTION_DELETE:
        break;
    }
    return 1;
}

bool core_may_write(struct core *c, const struct member_user *author, uint32_t scope, const struct entity_desc *d,
    const struct field *f, enum action action)
{
    struct rights_memo *memo = &c->memo;
    if (memo->roles != author->roles || memo->scope != scope) {
        *memo = (struct rights_memo){ .roles = author->roles, .scope = scope };
    }
    if (f == NULL || action == ACTION_DELETE) {
        return access_write_allowed(author->roles, scope, d, f, action).view == VIEW_CLEAR;
    }
    check(f->number <= VERSIONS_FIELD_MAX && (unsigned)d->entity <= ENTITY_MAX);
    uint64_t bit = 1ULL << f->number;
    uint64_t *known = &memo->known[d->entity][memo_slot(action)];
    uint64_t *allowed = &memo->allowed[d->entity][memo_slot(action)];
    if ((*known & bit) == 0) {
        *known |= bit;
        if (access_write_allowed(author->roles, scope, d, f, action).view == VIEW_CLEAR) {
            *allowed |= bit;
        }
    }
    return (*allowed & bit) != 0;
}

bool core_manages(const struct member_user *user, uint32_t station)
{
    return (user->roles & (role_bit(ROLE_SM) | role_bit(ROLE_GM))) != 0 && user->station == station;
}

enum err core_judge_author(struct core *c, const struct commit_header *h, const struct group_item *g,
    const struct part_head *head, const struct member_user **author, uint32_t *scope)
{
    const struct member_user *user = members_user_as_of(c->members, head->author, h->member_number);
    const struct member_node *node = members_node_as_of(c->members, h->dot.node, h->member_number);
    if (user == NULL || !user->is_active || node == NULL) {
        return ERR_DENIED;
    }
    bool is_book = g->kind == DOSSIER_STATION_BOOK || g->kind == DOSSIER_GROUP_BOOK;
    if (node->kind == NODE_RELAY || node->kind == NODE_AUDITOR ||
        (node->kind == NODE_LAPTOP && node->owner != user->number)) {
        return ERR_DENIED;
    }
    /* Whether a revoked node's commit counts was settled by its cut; its scope is judged as it was. */
    if (!is_book && !members_node_covers(node, g->station)) {
        return ERR_DENIED;
    }
    *scope = SCOPE_GROUP;
    if (user->station == g->station) {
        *scope |= SCOPE_STATION;
    }
    if (g->is_new) {
        *scope |= SCOPE_SELF | SCOPE_OWN;
    }
    if (head->standing >= 2) {
        *scope |= SCOPE_OWN;
    }
    if (head->standing == 1 && !core_manages(user, g->station)) {
        return ERR_DENIED;
    }
    *author = user;
    return ERR_OK;
}

struct record_id core_resolve_ref(
    const struct commit_view *v, uint32_t group_index, struct dossier_id dossier, const struct record_ref *ref)
{
    uint8_t suffix[RECORD_SUFFIX_BYTES];
    switch (ref->kind) {
    case REF_SUFFIX:
        return record_id_make(dossier, ref->suffix);
    case REF_NEW:
        seal_new_suffix(v->header.salt, group_index, ref->ordinal, suffix);
        return record_id_make(dossier, suffix);
    case REF_MAIN:
        break;
    }
    return record_id_make(dossier, NULL);
}
