/*
 * Owns: life and queries of the membership state. Invariants: numbers of stations, nodes and users are dense from 1, so
 * that a lookup by number is an index; every other lookup is a binary search in an ordered index. Deterministic: two
 * nodes that folded the same entries give the same answers, except for the class keys, of which each holds its own.
 * Folding is in members_fold.c, making entries in members_make.c. Decides nothing about roles: that is access.c.
 */
#include "schema/base/check.h"
#include "sync/members_impl.h"

#include <sodium.h>

static const char *const NODE_KIND_NAMES[] = {
    [NODE_STATION] = "station",
    [NODE_LAPTOP] = "laptop",
    [NODE_HUB] = "hub",
    [NODE_RELAY] = "relay",
    [NODE_AUDITOR] = "auditor",
};

const char *node_kind_name(enum node_kind k)
{
    check(k >= NODE_STATION && k <= NODE_AUDITOR);
    return NODE_KIND_NAMES[k];
}

enum node_kind node_kind_parse(struct bytes text)
{
    for (size_t i = NODE_STATION; i <= NODE_AUDITOR; i++) {
        if (bytes_equal(text, bytes_str(NODE_KIND_NAMES[i]))) {
            return (enum node_kind)i;
        }
    }
    return (enum node_kind)0;
}

static struct bytes code_of(const void *item)
{
    return bytes_str(((const struct member_station *)item)->code);
}

static struct bytes login_of(const void *item)
{
    return bytes_str(((const struct user_version *)item)->user.login);
}

static struct bytes tls_of(const void *item)
{
    return BYTES_OF(((const struct member_node *)item)->tls_key);
}

static struct bytes sign_of(const void *item)
{
    return BYTES_OF(((const struct member_node *)item)->sign_key);
}

static struct bytes box_of(const void *item)
{
    return BYTES_OF(((const struct member_node *)item)->box_key);
}

enum err members_new(struct mem *mem, const struct node_secrets *self, struct members **out)
{
    struct members *m = mem_alloc(mem, sizeof(*m));
    if (m == NULL) {
        return ERR_NOMEM;
    }
    m->epochs = mem_alloc(mem, (MEMBERS_STATIONS_MAX + 1) * sizeof(*m->epochs));
    if (m->epochs == NULL) {
        mem_free(mem, m, sizeof(*m));
        return ERR_NOMEM;
    }
    m->mem = mem;
    m->self = *self;
    m->by_code.key_of = code_of;
    m->by_login.key_of = login_of;
    m->by_tls.key_of = tls_of;
    m->by_sign.key_of = sign_of;
    m->by_box.key_of = box_of;
    *out = m;
    return ERR_OK;
}

static void list_release(struct members *m, struct ptr_list *list, size_t each)
{
    for (size_t i = 0; each > 0 && i < list->count; i++) {
        mem_free(m->mem, list->at[i], each);
    }
    mem_free(m->mem, list->at, list->capacity * sizeof(*list->at));
    *list = (struct ptr_list){ 0 };
}

static void users_release(struct members *m)
{
    for (size_t i = 0; i < m->users.count; i++) {
        struct user_version *v = m->users.at[i];
        while (v != NULL) {
            struct user_version *older = v->older;
            mem_free(m->mem, v, sizeof(*v));
            v = older;
        }
    }
    list_release(m, &m->users, 0);
}

void members_free(struct members *m)
{
    if (m == NULL) {
        return;
    }
    struct mem *mem = m->mem;
    for (size_t i = 0; i < m->nodes.count; i++) {
        struct member_node *n = m->nodes.at[i];
        mem_free(mem, n->cut.at, n->cut.capacity * sizeof(*n->cut.at));
        while (n->older != NULL) {
            struct member_node *older = (struct member_node *)(uintptr_t)n->older; /* ours, handed out as const */
            n->older = older->older;
            mem_free(mem, older, sizeof(*older));
        }
    }
    for (size_t i = 0; i < m->keys.count; i++) {
        sodium_memzero(m->keys.at[i], sizeof(struct held_keys));
    }
    list_release(m, &m->by_code.list, 0);
    list_release(m, &m->by_login.list, 0);
    list_release(m, &m->by_tls.list, 0);
    list_release(m, &m->by_sign.list, 0);
    list_release(m, &m->by_box.list, 0);
    users_release(m);
    list_release(m, &m->stations, sizeof(struct member_station));
    list_release(m, &m->nodes, sizeof(struct member_node));
    list_release(m, &m->keys, sizeof(struct held_keys));
    mem_free(mem, m->hashes, m->hash_capacity * sizeof(*m->hashes));
    mem_free(mem, m->epochs, (MEMBERS_STATIONS_MAX + 1) * sizeof(*m->epochs));
    sodium_memzero(m, sizeof(*m));
    mem_free(mem, m, sizeof(*m));
}

struct loading {
    struct members *m;
    uint64_t next;
};

static enum err load_entry(void *ctx, struct bytes key, struct bytes value)
{
    struct loading *l = ctx;
    struct reader r = reader_of(key);
    uint64_t number = 0;
    if (reader_u64be(&r, &number) != ERR_OK || r.left != 0 || number != l->next) {
        return ERR_DAMAGED;
    }
    l->next++;
    enum err e = members_append(l->m, value);
    bool is_ours = e == ERR_OK || e == ERR_NOMEM || e == ERR_VERSION;
    return is_ours ? e : ERR_DAMAGED;
}

enum err members_load(struct members *m, struct store *s)
{
    const struct bytes all = { 0 };
    struct loading l = { .m = m, .next = m->entry_count + 1 };
    check(m->entry_count == 0);
    return s->ops->scan(s, SPACE_MEMBER, all, all, false, load_entry, &l);
}

enum err members_reload(struct members *m, struct store *s)
{
    struct members *fresh = NULL;
    enum err e = members_new(m->mem, &m->self, &fresh);
    if (e == ERR_OK) {
        e = members_load(fresh, s);
    }
    if (e == ERR_OK) {
        struct members keep = *m;
        *m = *fresh;
        *fresh = keep;
        sodium_memzero(&keep, sizeof(keep));
    }
    members_free(fresh);
    return e;
}

const uint8_t *members_group_id(const struct members *m)
{
    return m->group_id;
}

const char *members_group_name(const struct members *m)
{
    return m->genesis.name;
}

static const uint8_t NO_HASH[MEMBER_HASH_BYTES];

const uint8_t *members_genesis_hash(const struct members *m)
{
    return m->entry_count == 0 ? NO_HASH : m->hashes[0];
}

const uint8_t *members_authority(const struct members *m)
{
    return m->genesis.authority;
}

uint64_t members_head(const struct members *m, uint8_t hash[32])
{
    memcpy(hash, m->entry_count == 0 ? NO_HASH : m->hashes[m->entry_count - 1], MEMBER_HASH_BYTES);
    return m->entry_count;
}

bool members_hash16_at(const struct members *m, uint64_t number, uint8_t out[16])
{
    if (number == 0 || number > m->entry_count) {
        return false;
    }
    memcpy(out, m->hashes[number - 1], 16);
    return true;
}

size_t members_index_lower(const struct key_index *x, struct bytes key)
{
    size_t lo = 0;
    size_t hi = x->list.count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (bytes_compare(x->key_of(x->list.at[mid]), key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

void *members_index_find(const struct key_index *x, struct bytes key)
{
    size_t i = members_index_lower(x, key);
    bool is_found = i < x->list.count && bytes_equal(x->key_of(x->list.at[i]), key);
    return is_found ? x->list.at[i] : NULL;
}

static void *by_number(const struct ptr_list *list, uint32_t number)
{
    return number == 0 || number > list->count ? NULL : list->at[number - 1];
}

size_t members_node_count(const struct members *m)
{
    return m->nodes.count;
}

const struct member_node *members_node_at(const struct members *m, size_t index)
{
    check(index < m->nodes.count);
    return m->nodes.at[index];
}

const struct member_node *members_node(const struct members *m, uint32_t number)
{
    return by_number(&m->nodes, number);
}

const struct member_node *members_node_by_tls(const struct members *m, const uint8_t tls_key[32])
{
    return members_index_find(&m->by_tls, bytes_of(tls_key, 32));
}

size_t members_station_count(const struct members *m)
{
    return m->stations.count;
}

const struct member_station *members_station_at(const struct members *m, size_t index)
{
    check(index < m->stations.count);
    return m->stations.at[index];
}

const struct member_station *members_station(const struct members *m, uint32_t number)
{
    return by_number(&m->stations, number);
}

const struct member_station *members_station_by_code(const struct members *m, struct bytes code)
{
    return members_index_find(&m->by_code, code);
}

size_t members_user_count(const struct members *m)
{
    return m->users.count;
}

const struct member_user *members_user_at(const struct members *m, size_t index)
{
    check(index < m->users.count);
    return &((const struct user_version *)m->users.at[index])->user;
}

const struct member_user *members_user(const struct members *m, uint32_t number)
{
    const struct user_version *v = by_number(&m->users, number);
    return v == NULL ? NULL : &v->user;
}

const struct member_user *members_user_by_login(const struct members *m, struct bytes login)
{
    const struct user_version *v = members_index_find(&m->by_login, login);
    return v == NULL ? NULL : &v->user;
}

const struct member_node *members_node_as_of(const struct members *m, uint32_t number, uint64_t at)
{
    const struct member_node *n = by_number(&m->nodes, number);
    while (n != NULL && n->since > at) {
        n = n->older;
    }
    return n;
}

const struct member_user *members_user_as_of(const struct members *m, uint32_t number, uint64_t at)
{
    const struct user_version *v = by_number(&m->users, number);
    while (v != NULL && v->user.since > at) {
        v = v->older;
    }
    return v == NULL ? NULL : &v->user;
}

size_t members_keys_lower(const struct members *m, uint32_t station, uint32_t epoch)
{
    size_t lo = 0;
    size_t hi = m->keys.count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct class_keys *k = &((const struct held_keys *)m->keys.at[mid])->keys;
        if (k->station < station || (k->station == station && k->epoch < epoch)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static const struct class_keys *keys_at(const struct members *m, size_t i)
{
    return &((const struct held_keys *)m->keys.at[i])->keys;
}

const struct class_keys *members_current_keys(const struct members *m, uint32_t station)
{
    size_t end = members_keys_lower(m, station, UINT32_MAX); /* epochs stay below UINT32_MAX */
    return end > 0 && keys_at(m, end - 1)->station == station ? keys_at(m, end - 1) : NULL;
}

const struct class_keys *members_keys(const struct members *m, uint32_t station, uint32_t epoch)
{
    size_t i = members_keys_lower(m, station, epoch);
    bool is_held = i < m->keys.count && keys_at(m, i)->station == station && keys_at(m, i)->epoch == epoch;
    return is_held ? keys_at(m, i) : NULL;
}

bool members_accepts_dot(const struct members *m, struct dot dot)
{
    const struct member_node *n = members_node(m, dot.node);
    return n != NULL && (n->revoked_at == 0 || vv_covers(&n->cut, dot));
}

bool members_node_in_scope(const struct member_node *n, uint32_t station)
{
    return n->revoked_at == 0 && members_node_covers(n, station);
}

bool members_node_covers(const struct member_node *n, uint32_t station)
{
    if (n->kind == NODE_RELAY) {
        return false;
    }
    if (station == MEMBERS_GROUP_STATION || n->holds_group || n->station == station) {
        return true;
    }
    for (uint32_t i = 0; i < n->scope_count; i++) {
        if (n->scope[i] == station) {
            return true;
        }
    }
    return false;
}

uint32_t members_next_node_number(const struct members *m)
{
    return (uint32_t)m->nodes.count + 1;
}

uint32_t members_next_user_number(const struct members *m)
{
    return (uint32_t)m->users.count + 1;
}

uint32_t members_next_station_number(const struct members *m)
{
    return (uint32_t)m->stations.count + 1;
}
