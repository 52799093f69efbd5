/*
 * Owns: nodes of a simulated group: their identities, stores, memory, clock, and what is written on them. Invariants:
 * the same seed and the same calls give the same bytes everywhere; every write is one transaction; a failed one is
 * rolled back and reloaded, as the node does it. Lines are in fleet_lines.c.
 */
#include "tests/lib/fleet_impl.h"

#include "schema/base/check.h"
#include "sync/conflict.h"
#include "tests/lib/store_mem.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

struct node *fleet_node(struct fleet *f, uint32_t number)
{
    check(number >= 1 && number <= f->count);
    return &f->nodes[number - 1];
}

struct now fleet_now(struct fleet *f)
{
    f->wall_ms += 1000;
    return (struct now){ .wall_ms = f->wall_ms, .mono_ms = (uint64_t)f->wall_ms };
}

struct now fleet_now_at(struct fleet *f, const struct node *n)
{
    struct now now = fleet_now(f);
    now.wall_ms += n->clock_offset;
    return now;
}

void fleet_set_clock(struct fleet *f, uint32_t node, int64_t offset_ms)
{
    fleet_node(f, node)->clock_offset = offset_ms;
}

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

/* Each node has its own stream, so that what one draws does not depend on what the others do. */
static void node_fill(void *ctx, void *out, size_t len)
{
    struct node *n = ctx;
    uint8_t seed[32] = { 0 };
    memcpy(seed, &n->chance_seed, sizeof(n->chance_seed));
    memcpy(seed + 8, &n->chance_used, sizeof(n->chance_used));
    memcpy(seed + 16, &n->number, sizeof(n->number));
    n->chance_used++;
    randombytes_buf_deterministic(out, len, seed);
}

static void node_identity(struct node *n)
{
    uint8_t seeds[3][32];
    uint8_t tls_secret[SIGN_SECRET_BYTES];
    struct node_secrets *self = &n->self;
    node_fill(n, seeds, sizeof(seeds));
    self->number = n->number;
    seal_sign_keypair(seeds[0], self->sign_public, self->sign_secret);
    seal_box_keypair(seeds[1], self->box_public, self->box_secret);
    seal_sign_keypair(seeds[2], self->tls_public, tls_secret);
    memcpy(self->tls_seed, seeds[2], 32);
}

static struct node *node_blank(struct fleet *f)
{
    check(f->count < FLEET_NODES_MAX);
    struct node *n = &f->nodes[f->count++];
    *n = (struct node){ .number = (uint32_t)f->count, .chance_seed = f->seed };
    n->mem = (struct mem){ .resize = heap_resize, .max_bytes = (size_t)1 << 30 };
    n->rng = (struct rng){ .fill = node_fill, .ctx = n };
    arena_init(&n->arena, &n->mem, FLEET_ARENA_BYTES);
    n->store = store_mem_new();
    n->epoch = 1;
    node_identity(n);
    return n;
}

static void node_start(struct node *n)
{
    n->core = (struct core){ .store = n->store, .mem = &n->mem, .rng = &n->rng, .self = n->self, .epoch = n->epoch };
    if (n->number == 1) {
        memcpy(n->core.authority_secret, n->authority_secret, sizeof(n->authority_secret));
        n->core.is_authority = true;
    }
    check(members_new(&n->mem, &n->self, &n->core.members) == ERR_OK);
    check(members_load(n->core.members, n->store) == ERR_OK);
}

static void node_open(struct node *n)
{
    uint8_t key[KEY_BYTES] = { 9 };
    check(core_open(&n->core, &n->arena, key) == ERR_OK);
    check(sync_new(&n->core, &n->sync) == ERR_OK);
    n->is_open = true;
}

void fleet_node_stop(struct node *n)
{
    struct members *m = n->core.members;
    n->epoch = n->core.epoch;
    sync_free(n->sync);
    core_close(&n->core);
    members_free(m);
    n->sync = NULL;
    n->is_open = false;
    arena_release(&n->arena);
    check(n->mem.used_bytes == 0);
}

void fleet_restart(struct fleet *f, uint32_t node)
{
    struct node *n = fleet_node(f, node);
    fleet_cut_node(f, node);
    fleet_node_stop(n);
    store_mem_reopen(n->store);
    n->failure = ERR_OK;
    node_start(n);
    node_open(n);
}

/* --- membership --- */

static void add_entry(struct node *n, struct fleet *f, struct bytes entry)
{
    check(n->store->ops->begin(n->store) == ERR_OK);
    arena_reset(&n->arena);
    check(core_add_member_entry(&n->core, &n->arena, fleet_now_at(f, n), entry) == ERR_OK);
    check(n->store->ops->commit(n->store, true) == ERR_OK);
}

static struct member_author author(struct fleet *f)
{
    struct node *first = &f->nodes[0];
    return (struct member_author){
        .authority_secret = first->authority_secret, .hlc = (uint64_t)fleet_now(f).wall_ms << 16, .rng = &first->rng
    };
}

static struct buf entry_buf(struct fleet *f)
{
    struct buf b;
    buf_init(&b, &f->nodes[0].mem, MEMBER_ENTRY_MAX_BYTES);
    return b;
}

static void take_made(struct fleet *f, struct buf *b, enum err made)
{
    check(made == ERR_OK && b->err == ERR_OK);
    add_entry(&f->nodes[0], f, buf_view(b));
    buf_release(b);
}

static struct members *members_of(struct fleet *f)
{
    return f->nodes[0].core.members;
}

static void add_epoch(struct fleet *f, uint32_t station)
{
    struct member_author by = author(f);
    struct buf b = entry_buf(f);
    take_made(f, &b, members_make_key_epoch(members_of(f), &by, station, &b));
}

static uint32_t add_station(struct fleet *f)
{
    struct member_author by = author(f);
    struct buf b = entry_buf(f);
    struct member_station s = { .number = members_next_station_number(members_of(f)) };
    (void)snprintf(s.code, sizeof(s.code), "S%u", (unsigned)s.number);
    (void)snprintf(s.name, sizeof(s.name), "网点%u", (unsigned)s.number);
    take_made(f, &b, members_make_station(members_of(f), &by, &s, &b));
    return s.number;
}

uint32_t fleet_station(struct fleet *f)
{
    uint32_t number = add_station(f);
    add_epoch(f, number);
    return number;
}

static void put_user(struct fleet *f, const struct member_user *u)
{
    struct member_author by = author(f);
    struct buf b = entry_buf(f);
    take_made(f, &b, members_make_user(members_of(f), &by, u, &b));
}

uint32_t fleet_user(struct fleet *f, uint32_t station, uint32_t roles)
{
    struct member_user u = {
        .number = members_next_user_number(members_of(f)), .station = station, .roles = roles, .is_active = true
    };
    (void)snprintf(u.login, sizeof(u.login), "u%u", (unsigned)u.number);
    (void)snprintf(u.name, sizeof(u.name), "员工%u", (unsigned)u.number);
    put_user(f, &u);
    return u.number;
}

void fleet_user_change(struct fleet *f, uint32_t user, const char *login, uint32_t roles, bool is_active)
{
    struct member_user u = *members_user(members_of(f), user);
    memset(u.login, 0, sizeof(u.login));
    (void)snprintf(u.login, sizeof(u.login), "%s", login);
    u.roles = roles;
    u.is_active = is_active;
    put_user(f, &u);
}

static void put_node(struct fleet *f, const struct node *n, struct member_node as)
{
    struct member_author by = author(f);
    struct buf b = entry_buf(f);
    as.number = n->number;
    memcpy(as.sign_key, n->self.sign_public, 32);
    memcpy(as.box_key, n->self.box_public, 32);
    memcpy(as.tls_key, n->self.tls_public, 32);
    take_made(f, &b, members_make_node(members_of(f), &by, &as, &b));
}

static void grant(struct fleet *f, uint32_t node, uint32_t station)
{
    struct member_author by = author(f);
    struct buf b = entry_buf(f);
    const struct member_node *to = members_node(members_of(f), node);
    if (members_node_in_scope(to, station)) {
        take_made(f, &b, members_make_key_grant(members_of(f), &by, station, to, &b));
    }
}

void fleet_grant(struct fleet *f, uint32_t node)
{
    for (uint32_t s = 0; s <= members_station_count(members_of(f)); s++) {
        grant(f, node, s);
    }
}

struct teaching {
    struct fleet *f;
    struct node *to;
};

static enum err teach_one(void *ctx, struct bytes key, struct bytes value)
{
    struct teaching *t = ctx;
    uint8_t hash[32];
    struct reader r = reader_of(key);
    uint64_t number = 0;
    check(reader_u64be(&r, &number) == ERR_OK);
    if (number > members_head(t->to->core.members, hash)) {
        add_entry(t->to, t->f, value);
    }
    return ERR_OK;
}

void fleet_teach(struct fleet *f, uint32_t node)
{
    struct store *s = f->nodes[0].store;
    const struct bytes all = { 0 };
    struct teaching t = { .f = f, .to = fleet_node(f, node) };
    check(s->ops->scan(s, SPACE_MEMBER, all, all, false, teach_one, &t) == ERR_OK);
}

static uint32_t add_node(struct fleet *f, struct member_node as, bool with_keys)
{
    struct node *n = node_blank(f);
    put_node(f, n, as);
    if (with_keys) {
        fleet_grant(f, n->number);
    }
    node_start(n);
    fleet_teach(f, n->number);
    node_open(n);
    return n->number;
}

uint32_t fleet_station_node(struct fleet *f, uint32_t station, bool holds_group)
{
    return add_node(
        f, (struct member_node){ .kind = NODE_STATION, .station = station, .holds_group = holds_group }, true);
}

uint32_t fleet_node_without_keys(struct fleet *f, uint32_t station, bool holds_group)
{
    return add_node(
        f, (struct member_node){ .kind = NODE_STATION, .station = station, .holds_group = holds_group }, false);
}

uint32_t fleet_laptop(struct fleet *f, uint32_t owner)
{
    const struct member_user *u = members_user(members_of(f), owner);
    check(u != NULL);
    return add_node(f, (struct member_node){ .kind = NODE_LAPTOP, .station = u->station, .owner = owner }, true);
}

uint32_t fleet_relay(struct fleet *f, uint32_t station)
{
    return add_node(f, (struct member_node){ .kind = NODE_RELAY, .station = station, .holds_group = true }, false);
}

void fleet_restore_empty(struct fleet *f, uint32_t node)
{
    struct node *n = fleet_node(f, node);
    check(node != 1);
    fleet_cut_node(f, node);
    fleet_node_stop(n);
    store_mem_free(n->store);
    n->store = store_mem_new();
    n->failure = ERR_OK;
    n->epoch = 1;
    node_start(n);
    fleet_teach(f, node);
    node_open(n);
}

void fleet_scope(struct fleet *f, uint32_t node, bool holds_group, uint32_t station, uint32_t owner)
{
    struct member_author by = author(f);
    struct buf b = entry_buf(f);
    const struct member_node before = *members_node(members_of(f), node);
    const struct member_node wanted = { .number = node,
        .owner = owner,
        .holds_group = holds_group,
        .scope = { station },
        .scope_count = station == 0 ? 0 : 1 };
    take_made(f, &b, members_make_scope(members_of(f), &by, &wanted, &b));
    for (uint32_t s = 1; s <= members_station_count(members_of(f)); s++) {
        bool had = members_node_in_scope(&before, s);
        bool has = members_node_in_scope(members_node(members_of(f), node), s);
        if (has && !had) {
            grant(f, node, s);
        } else if (had && !has) {
            add_epoch(f, s);
        }
    }
}

void fleet_revoke(struct fleet *f, uint32_t node, uint64_t cut_seq)
{
    struct member_author by = author(f);
    struct buf b = entry_buf(f);
    struct dot last = { .node = node, .epoch = 1, .seq = cut_seq };
    const struct vv cut = { .at = &last, .count = cut_seq == 0 ? 0 : 1, .capacity = 1 };
    take_made(f, &b, members_make_revoke(members_of(f), &by, node, &cut, "遗失", &b));
}

struct fleet *fleet_new(uint64_t seed)
{
    struct fleet *f = calloc(1, sizeof(*f));
    uint8_t authority_seed[32];
    uint8_t authority_public[SIGN_PUBLIC_BYTES];
    check(f != NULL && sodium_init() >= 0);
    f->seed = seed;
    f->wall_ms = 1772841600000;
    f->order = test_rng(seed);
    struct node *n = node_blank(f);
    node_fill(n, authority_seed, sizeof(authority_seed));
    seal_sign_keypair(authority_seed, authority_public, n->authority_secret);
    node_start(n);
    struct member_author by = author(f);
    struct buf b = entry_buf(f);
    take_made(f, &b, members_make_genesis(members_of(f), &by, "东方集团", &b));
    (void)add_station(f);
    put_node(f, n, (struct member_node){ .kind = NODE_STATION, .station = 1, .holds_group = true });
    struct member_user admin = { .number = 1, .station = 1, .roles = role_bit(ROLE_AD), .is_active = true };
    memcpy(admin.login, "admin", 5);
    memcpy(admin.name, "admin", 5);
    put_user(f, &admin);
    add_epoch(f, 0);
    add_epoch(f, 1);
    node_open(n);
    return f;
}

void fleet_free(struct fleet *f)
{
    fleet_cut_all(f);
    for (size_t i = 0; i < f->count; i++) {
        fleet_node_stop(&f->nodes[i]);
        store_mem_free(f->nodes[i].store);
    }
    free(f->lines);
    free(f);
}

size_t fleet_count(const struct fleet *f)
{
    return f->count;
}

struct core *fleet_core(struct fleet *f, uint32_t node)
{
    return &fleet_node(f, node)->core;
}

struct sync *fleet_sync(struct fleet *f, uint32_t node)
{
    return fleet_node(f, node)->sync;
}

struct store *fleet_store(struct fleet *f, uint32_t node)
{
    return fleet_node(f, node)->store;
}

struct arena *fleet_arena(struct fleet *f, uint32_t node)
{
    return &fleet_node(f, node)->arena;
}

struct rng *fleet_rng(struct fleet *f)
{
    return &f->order;
}

/* --- transactions --- */

static enum err end_write(struct node *n, enum err e)
{
    if (e == ERR_OK) {
        e = n->store->ops->commit(n->store, true);
    } else {
        n->store->ops->rollback(n->store);
    }
    if (e != ERR_OK) {
        arena_reset(&n->arena);
        enum err again = core_reload(&n->core, &n->arena);
        check(again == ERR_OK || again == e);
    }
    return e;
}

enum { FIELDS_MAX = 16 };

static size_t parse_fields(struct node *n, const struct fleet_write *w, struct write_field *out)
{
    const struct entity_desc *d = catalogue_entity(w->entity);
    size_t count = 0;
    static const uint8_t none[CONFLICT_ID_BYTES];
    for (; w->fields != NULL && w->fields[count].name != NULL; count++) {
        check(count < FIELDS_MAX);
        struct why why = { .zh = "" };
        const struct field *f = catalogue_field_by_name(d, bytes_str(w->fields[count].name));
        check(f != NULL);
        out[count] = (struct write_field){ .field = f, .is_decision = w->is_decision };
        memcpy(out[count].conflict, none, sizeof(none));
        enum err e = field_parse(f, &n->arena, bytes_str(w->fields[count].text), &out[count].value, &why);
        if (e != ERR_OK) {
            (void)fprintf(stderr, "%s=%s: %s\n", w->fields[count].name, w->fields[count].text, why.en);
        }
        check(e == ERR_OK);
    }
    return count;
}

static struct write_group place_of(struct node *n, const struct fleet_write *w)
{
    static const struct record_id none;
    const struct member_user *u = members_user(n->core.members, w->user);
    uint32_t home = w->station != 0 ? w->station : u == NULL ? 1 : u->station;
    struct write_group g = { .kind = DOSSIER_CUSTOMER, .station = home, .id = record_dossier(w->id) };
    const struct entity_desc *d = catalogue_entity(w->entity);
    if (d->home == HOME_GROUP_BOOK) {
        g = (struct write_group){ .kind = DOSSIER_GROUP_BOOK, .id = core_group_book(&n->core) };
    } else if (d->home == HOME_STATION_BOOK) {
        g.kind = DOSSIER_STATION_BOOK;
        g.id = core_station_book(&n->core, home);
    } else if (record_id_compare(w->id, none) == 0) {
        g.is_new = true;
        g.kind = d->home == HOME_MAIN_VEHICLE ? DOSSIER_VEHICLE : DOSSIER_CUSTOMER;
    }
    return g;
}

enum err fleet_write_many(struct fleet *f, struct fleet_write *w, size_t count, struct dot *dot)
{
    struct node *n = fleet_node(f, w[0].node);
    struct why why = { .zh = "" };
    arena_reset(&n->arena);
    struct write_group *groups = arena_array(&n->arena, count, sizeof(*groups));
    struct write_record *records = arena_array(&n->arena, count, sizeof(*records));
    struct write_request req = { .author = w[0].user, .purpose = PURPOSE_P1, .groups = groups, .group_count = count };
    check(groups != NULL && records != NULL);
    for (size_t i = 0; i < count; i++) {
        struct write_field *fields = arena_array(&n->arena, FIELDS_MAX, sizeof(*fields));
        check(fields != NULL && w[i].node == w[0].node && w[i].user == w[0].user);
        records[i] = (struct write_record){ .desc = catalogue_entity(w[i].entity),
            .is_new = w[i].is_new,
            .is_delete = w[i].is_delete,
            .id = w[i].id,
            .fields = fields };
        groups[i] = place_of(n, &w[i]);
        records[i].field_count = parse_fields(n, &w[i], fields);
        groups[i].records = &records[i];
        groups[i].record_count = 1;
    }
    enum err e = n->store->ops->begin(n->store);
    if (e != ERR_OK) {
        return e;
    }
    e = core_write(&n->core, &n->arena, fleet_now_at(f, n), &req, dot, &why);
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        w[i].id = records[i].id;
    }
    e = end_write(n, e);
    if (e == ERR_OK) {
        fleet_local(f, w[0].node);
    }
    return e;
}

enum err fleet_write(struct fleet *f, struct fleet_write *w, struct dot *dot)
{
    return fleet_write_many(f, w, 1, dot);
}

enum err fleet_do(struct fleet *f, uint32_t node, fleet_fn fn, void *ctx)
{
    struct node *n = fleet_node(f, node);
    enum err e = n->store->ops->begin(n->store);
    if (e != ERR_OK) {
        return e;
    }
    arena_reset(&n->arena);
    return end_write(n, fn(&n->core, &n->arena, fleet_now_at(f, n), ctx));
}

struct record_id fleet_customer(struct fleet *f, uint32_t node, uint32_t user, const char *name)
{
    const struct fleet_field fields[] = { { "full_name", name }, { "kind", "个人" }, { NULL, NULL } };
    struct fleet_write w = { .node = node, .user = user, .entity = ENTITY_CUSTOMER, .is_new = true, .fields = fields };
    struct dot dot = { 0 };
    check(fleet_write(f, &w, &dot) == ERR_OK && dot.seq > 0);
    return w.id;
}

enum err fleet_set(struct fleet *f, uint32_t node, uint32_t user, enum entity entity, struct record_id id,
    const char *field, const char *text)
{
    const struct fleet_field fields[] = { { field, text }, { NULL, NULL } };
    struct fleet_write w = { .node = node, .user = user, .entity = entity, .id = id, .fields = fields };
    struct dot dot = { 0 };
    return fleet_write(f, &w, &dot);
}

struct record_id fleet_child(struct fleet *f, uint32_t node, uint32_t user, struct record_id customer,
    enum entity entity, const struct fleet_field *fields)
{
    struct fleet_write w = {
        .node = node, .user = user, .entity = entity, .id = customer, .is_new = true, .fields = fields
    };
    struct dot dot = { 0 };
    check(fleet_write(f, &w, &dot) == ERR_OK && dot.seq > 0);
    return w.id;
}

struct record_id fleet_assign(
    struct fleet *f, uint32_t node, uint32_t manager, struct record_id customer, const char *login, const char *from_at)
{
    const struct fleet_field fields[] = { { "role", "sales" }, { "staff", login }, { "from_at", from_at },
        { NULL, NULL } };
    return fleet_child(f, node, manager, customer, ENTITY_CUSTOMER_ASSIGNMENT, fields);
}

/* --- reading --- */

const char *fleet_get(struct fleet *f, uint32_t node, enum entity entity, struct record_id id, const char *field)
{
    struct node *n = fleet_node(f, node);
    const struct entity_desc *d = catalogue_entity(entity);
    const struct field *fd = catalogue_field_by_name(d, bytes_str(field));
    struct row row = { 0 };
    struct bytes text = { 0 };
    check(fd != NULL);
    if (n->store->ops->row_get(n->store, entity, id, &n->arena, &row) != ERR_OK) {
        return NULL;
    }
    check(field_text(fd, &n->arena, row.values[catalogue_field_index(d, fd)], &text) == ERR_OK);
    const char *s = arena_cstr(&n->arena, text);
    check(s != NULL);
    return s;
}

bool fleet_is_deleted(struct fleet *f, uint32_t node, enum entity entity, struct record_id id)
{
    struct node *n = fleet_node(f, node);
    struct row row = { 0 };
    check(n->store->ops->row_get(n->store, entity, id, &n->arena, &row) == ERR_OK);
    return row.is_deleted;
}

struct counting {
    struct arena *a;
    bool only_open;
    enum err why;
    size_t count;
};

static enum err count_conflict(void *ctx, struct bytes key, struct bytes value)
{
    struct counting *c = ctx;
    struct conflict_entry entry;
    (void)key;
    check(conflict_take(value, c->a, &entry) == ERR_OK);
    c->count += !c->only_open || entry.is_open ? 1 : 0;
    return ERR_OK;
}

static enum err count_quarantined(void *ctx, struct bytes key, struct bytes value)
{
    struct counting *c = ctx;
    (void)key;
    c->count += c->why == ERR_OK || (value.len > 0 && value.ptr[0] == (uint8_t)c->why) ? 1 : 0;
    return ERR_OK;
}

static size_t count_in(struct fleet *f, uint32_t node, enum store_space space, store_kv_fn fn, struct counting *c)
{
    struct node *n = fleet_node(f, node);
    const struct bytes all = { 0 };
    c->a = &n->arena;
    check(n->store->ops->scan(n->store, space, all, all, false, fn, c) == ERR_OK);
    return c->count;
}

size_t fleet_conflicts(struct fleet *f, uint32_t node, bool only_open)
{
    struct counting c = { .only_open = only_open };
    return count_in(f, node, SPACE_CONFLICT, count_conflict, &c);
}

size_t fleet_quarantined(struct fleet *f, uint32_t node, enum err why)
{
    struct counting c = { .why = why };
    return count_in(f, node, SPACE_QUARANTINE, count_quarantined, &c);
}

size_t fleet_space_count(struct fleet *f, uint32_t node, enum store_space space)
{
    struct counting c = { .why = ERR_OK };
    return count_in(f, node, space, count_quarantined, &c);
}

void fleet_hash(struct fleet *f, uint32_t node, uint8_t out[32])
{
    struct node *n = fleet_node(f, node);
    check(core_statehash(&n->core, &n->arena, out) == ERR_OK);
}

bool fleet_same_hash(struct fleet *f, uint32_t a, uint32_t b)
{
    uint8_t x[32];
    uint8_t y[32];
    fleet_hash(f, a, x);
    fleet_hash(f, b, y);
    return memcmp(x, y, sizeof(x)) == 0;
}

/* --- commits by hand --- */

enum err fleet_commit_of(
    struct fleet *f, uint32_t from, struct dot dot, struct bytes *ret_commit, struct bytes *ret_secrets)
{
    struct node *n = fleet_node(f, from);
    uint8_t key[DOT_KEY_BYTES];
    struct commit_view v;
    struct buf secrets;
    dot_key(dot, key);
    enum err e = n->store->ops->get(n->store, SPACE_LOG, BYTES_OF(key), &n->arena, ret_commit);
    if (e != ERR_OK) {
        return e;
    }
    check(commit_parse(*ret_commit, &v) == ERR_OK);
    buf_init(&secrets, &n->mem, (size_t)COMMIT_GROUPS_MAX * SECRET_BYTES);
    e = core_secrets_of(&n->core, &n->arena, &v, &secrets);
    if (e == ERR_OK) {
        e = arena_dup(&n->arena, buf_view(&secrets), ret_secrets);
    }
    buf_release(&secrets);
    return e;
}

struct coming {
    struct bytes commit;
    struct bytes secrets;
};

static enum err take_early(struct core *c, struct arena *a, struct now now, void *ctx)
{
    const struct coming *in = ctx;
    return core_ingest_early(c, a, now, in->commit, in->secrets);
}

enum err fleet_ingest_early(struct fleet *f, uint32_t node, struct bytes commit, struct bytes secrets)
{
    struct coming in = { .commit = commit, .secrets = secrets };
    return fleet_do(f, node, take_early, &in);
}

enum err fleet_ingest(struct fleet *f, uint32_t node, struct bytes commit, struct bytes secrets)
{
    struct node *n = fleet_node(f, node);
    enum err e = n->store->ops->begin(n->store);
    if (e != ERR_OK) {
        return e;
    }
    arena_reset(&n->arena);
    return end_write(n, core_ingest(&n->core, &n->arena, fleet_now_at(f, n), commit, secrets));
}

enum err fleet_carry(struct fleet *f, uint32_t from, uint32_t to, struct dot dot)
{
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    arena_reset(fleet_arena(f, from));
    enum err e = fleet_commit_of(f, from, dot, &commit, &secrets);
    return e == ERR_OK ? fleet_ingest(f, to, commit, secrets) : e;
}

enum err fleet_rebuild(struct fleet *f, uint32_t node)
{
    struct node *n = fleet_node(f, node);
    enum err e = n->store->ops->begin(n->store);
    if (e != ERR_OK) {
        return e;
    }
    arena_reset(&n->arena);
    return end_write(n, core_rebuild(&n->core, &n->arena, fleet_now_at(f, n)));
}
