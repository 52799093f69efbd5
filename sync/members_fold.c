/*
 * Owns: folding one entry into the membership state. Invariant: an entry is planned first (parsed, checked against the
 * state, every allocation made) and then applied by steps that cannot fail, so a refused entry changes nothing. What is
 * refused depends only on the entries before it, never on which node folds. Keeps the first entry of a number; knows
 * nothing of storage.
 */
#include "schema/base/check.h"
#include "sync/members_impl.h"

#include <sodium.h>

static const char HASH_LABEL[] = "jipan/member-hash/v1";
static const char GROUP_LABEL[] = "jipan/group/v1";

enum { PLAN_ARENA_BYTES = MEMBER_ENTRY_MAX_BYTES };

/* What one entry will change; owns its allocations until applied. */
struct plan {
    struct member_entry entry;
    uint8_t hash[MEMBER_HASH_BYTES];
    struct member_genesis genesis;
    uint8_t group_id[GROUP_ID_BYTES];
    struct member_station *station;
    struct member_node *node; /* new; or, for a change of scope, the copy of what it was */
    struct member_node scope; /* change of scope: what is new */
    struct user_version *user;
    struct member_revocation revocation;
    struct dot *cut; /* copy of the revocation's cut outside the arena */
    size_t cut_count;
    struct held_keys *keys;
    uint32_t key_station;
    uint32_t newest_epoch;
};

void members_entry_hash(
    const uint8_t group_id[GROUP_ID_BYTES], struct bytes signed_bytes, uint8_t out[MEMBER_HASH_BYTES])
{
    const struct bytes pieces[2] = { bytes_of(group_id, GROUP_ID_BYTES), signed_bytes };
    seal_hash(out, MEMBER_HASH_BYTES, HASH_LABEL, NULL, pieces, 2);
}

void members_group_id_of(struct bytes genesis_body, uint8_t out[GROUP_ID_BYTES])
{
    uint8_t hash[MEMBER_HASH_BYTES];
    seal_hash(hash, sizeof(hash), GROUP_LABEL, NULL, &genesis_body, 1);
    memcpy(out, hash, GROUP_ID_BYTES);
}

static void plan_discard(struct members *m, struct plan *p)
{
    mem_free(m->mem, p->station, sizeof(*p->station));
    mem_free(m->mem, p->node, sizeof(*p->node));
    mem_free(m->mem, p->user, sizeof(*p->user));
    mem_free(m->mem, p->cut, p->cut_count * sizeof(*p->cut));
    while (p->keys != NULL) {
        struct held_keys *next = p->keys->next;
        sodium_memzero(p->keys, sizeof(*p->keys));
        mem_free(m->mem, p->keys, sizeof(*p->keys));
        p->keys = next;
    }
}

/* Room for `more` items; what is there stays. */
static enum err reserve(struct members *m, struct ptr_list *list, size_t more)
{
    size_t capacity = list->capacity < 8 ? 8 : list->capacity;
    while (capacity - list->count < more) {
        capacity *= 2;
    }
    if (capacity == list->capacity) {
        return ERR_OK;
    }
    void **at = mem_resize(m->mem, list->at, list->capacity * sizeof(*at), capacity * sizeof(*at));
    if (at == NULL) {
        return ERR_NOMEM;
    }
    list->at = at;
    list->capacity = capacity;
    return ERR_OK;
}

static enum err reserve_hash(struct members *m)
{
    if (m->entry_count < m->hash_capacity) {
        return ERR_OK;
    }
    if (m->entry_count >= MEMBERS_ENTRIES_MAX) {
        return ERR_LIMIT;
    }
    size_t capacity = m->hash_capacity == 0 ? 16 : m->hash_capacity * 2;
    void *grown = mem_resize(m->mem, m->hashes, m->hash_capacity * MEMBER_HASH_BYTES, capacity * MEMBER_HASH_BYTES);
    if (grown == NULL) {
        return ERR_NOMEM;
    }
    m->hashes = grown;
    m->hash_capacity = capacity;
    return ERR_OK;
}

static void insert_at(struct ptr_list *list, size_t i, void *item)
{
    check(list->count < list->capacity);
    memmove(list->at + i + 1, list->at + i, (list->count - i) * sizeof(*list->at));
    list->at[i] = item;
    list->count++;
}

static void index_insert(struct key_index *x, void *item)
{
    insert_at(&x->list, members_index_lower(x, x->key_of(item)), item);
}

static void index_remove(struct key_index *x, const void *item)
{
    size_t i = members_index_lower(x, x->key_of(item));
    check(i < x->list.count && x->list.at[i] == item);
    x->list.count--;
    memmove(x->list.at + i, x->list.at + i + 1, (x->list.count - i) * sizeof(*x->list.at));
}

static enum err plan_station(struct members *m, struct plan *p)
{
    struct member_station s;
    enum err e = member_station_take(p->entry.body, &s);
    if (e != ERR_OK) {
        return e;
    }
    if (m->stations.count >= MEMBERS_STATIONS_MAX) {
        return ERR_LIMIT;
    }
    if (s.number != members_next_station_number(m) || members_index_find(&m->by_code, bytes_str(s.code)) != NULL) {
        return ERR_INVALID;
    }
    e = reserve(m, &m->stations, 1);
    if (e == ERR_OK) {
        e = reserve(m, &m->by_code.list, 1);
    }
    if (e != ERR_OK || (p->station = mem_alloc(m->mem, sizeof(s))) == NULL) {
        return ERR_NOMEM;
    }
    s.since = p->entry.number;
    *p->station = s;
    return ERR_OK;
}

/* A point of small order would make every later key epoch fail, so such a node is refused at the door. */
static bool box_key_is_usable(const uint8_t key[BOX_PUBLIC_BYTES])
{
    static const uint8_t any_scalar[BOX_SECRET_BYTES] = { 1 };
    uint8_t product[BOX_PUBLIC_BYTES];
    return crypto_scalarmult(product, any_scalar, key) == 0;
}

static bool scope_fits(const struct members *m, const struct member_node *n)
{
    for (uint32_t i = 0; i < n->scope_count; i++) {
        if (members_station(m, n->scope[i]) == NULL) {
            return false;
        }
    }
    return n->owner == 0 || members_user(m, n->owner) != NULL;
}

static bool node_fits(const struct members *m, const struct member_node *n)
{
    bool is_new = n->number == members_next_node_number(m) &&
                  members_index_find(&m->by_tls, BYTES_OF(n->tls_key)) == NULL &&
                  members_index_find(&m->by_sign, BYTES_OF(n->sign_key)) == NULL &&
                  members_index_find(&m->by_box, BYTES_OF(n->box_key)) == NULL && box_key_is_usable(n->box_key);
    return is_new && members_station(m, n->station) != NULL && scope_fits(m, n);
}

static enum err plan_node(struct members *m, struct plan *p)
{
    struct member_node n;
    enum err e = member_node_take(p->entry.body, &n);
    if (e != ERR_OK) {
        return e;
    }
    if (m->nodes.count >= MEMBERS_NODES_MAX) {
        return ERR_LIMIT;
    }
    if (!node_fits(m, &n)) {
        return ERR_INVALID;
    }
    struct ptr_list *const lists[] = { &m->nodes, &m->by_tls.list, &m->by_sign.list, &m->by_box.list };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (reserve(m, lists[i], 1) != ERR_OK) {
            return ERR_NOMEM;
        }
    }
    if ((p->node = mem_alloc(m->mem, sizeof(n))) == NULL) {
        return ERR_NOMEM;
    }
    n.since = p->entry.number;
    *p->node = n;
    return ERR_OK;
}

/* What may change of a node: whose it is and what it may hold. What it was is kept, because a commit is judged by what
 * its node was at that time. */
static enum err plan_scope(struct members *m, struct plan *p)
{
    struct member_node wanted;
    enum err e = member_scope_take(p->entry.body, &wanted);
    const struct member_node *now = e == ERR_OK ? members_node(m, wanted.number) : NULL;
    if (e != ERR_OK) {
        return e;
    }
    if (now == NULL || now->revoked_at != 0) {
        return ERR_INVALID;
    }
    wanted.kind = now->kind;
    wanted.station = now->station;
    if (!member_scope_suits(&wanted) || !scope_fits(m, &wanted)) {
        return ERR_INVALID;
    }
    p->node = mem_alloc(m->mem, sizeof(*p->node));
    if (p->node == NULL) {
        return ERR_NOMEM;
    }
    *p->node = *now;
    p->scope = wanted;
    return ERR_OK;
}

static enum err plan_user(struct members *m, struct plan *p)
{
    struct member_user u;
    enum err e = member_user_take(p->entry.body, &u);
    if (e != ERR_OK) {
        return e;
    }
    const struct member_user *same_login = members_user_by_login(m, bytes_str(u.login));
    if (u.number == 0 || u.number > members_next_user_number(m) || (u.roles & role_bit(ROLE_NONE)) != 0 ||
        members_station(m, u.station) == NULL || (same_login != NULL && same_login->number != u.number)) {
        return ERR_INVALID;
    }
    if (u.number > MEMBERS_USERS_MAX) {
        return ERR_LIMIT;
    }
    e = reserve(m, &m->users, 1);
    if (e == ERR_OK) {
        e = reserve(m, &m->by_login.list, 1);
    }
    if (e != ERR_OK || (p->user = mem_alloc(m->mem, sizeof(*p->user))) == NULL) {
        return ERR_NOMEM;
    }
    u.since = p->entry.number;
    p->user->user = u;
    return ERR_OK;
}

/* Our own wrap. Only a lack of memory is an error: what does not open is as if it were not there. */
static enum err plan_own_wrap(struct members *m, struct plan *p, const struct member_wrap *w, struct arena *a)
{
    struct bytes plain = { 0 };
    if (members_keys(m, p->key_station, w->epoch) != NULL) {
        return ERR_OK;
    }
    enum err e = seal_unwrap(m->self.box_public, m->self.box_secret, w->wrapped, a, &plain);
    if (e != ERR_OK) {
        return e == ERR_NOMEM ? e : ERR_OK;
    }
    struct held_keys *held = mem_alloc(m->mem, sizeof(*held));
    if (held != NULL) {
        held->keys.station = p->key_station;
        held->keys.epoch = w->epoch;
        memcpy(held->keys.key, plain.ptr, sizeof(held->keys.key));
        held->next = p->keys;
        p->keys = held;
    }
    sodium_memzero((void *)(uintptr_t)plain.ptr, plain.len); /* the arena is ours */
    return held == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err plan_keys(struct members *m, struct plan *p, struct arena *a)
{
    struct wrap_cursor c;
    struct member_wrap w = { 0 };
    enum err e = member_keys_open(p->entry.body, &c);
    if (e != ERR_OK) {
        return e;
    }
    if (c.station != MEMBERS_GROUP_STATION && members_station(m, c.station) == NULL) {
        return ERR_INVALID;
    }
    size_t own = 0;
    p->key_station = c.station;
    p->newest_epoch = m->epochs[c.station];
    while ((e = member_keys_next(&c, &w)) == ERR_OK) {
        const struct member_node *n = members_node(m, w.node);
        if (w.epoch == 0 || w.epoch > m->epochs[c.station] + 1 || n == NULL || !members_node_in_scope(n, c.station)) {
            return ERR_INVALID;
        }
        p->newest_epoch = w.epoch > p->newest_epoch ? w.epoch : p->newest_epoch;
        if (w.node == m->self.number) {
            own++;
            e = plan_own_wrap(m, p, &w, a);
            if (e != ERR_OK) {
                return e;
            }
        }
    }
    return e == ERR_NOT_FOUND ? reserve(m, &m->keys, own) : e;
}

static enum err plan_revoke(struct members *m, struct plan *p, struct arena *a)
{
    enum err e = member_revocation_take(p->entry.body, a, &p->revocation);
    if (e != ERR_OK) {
        return e;
    }
    const struct member_node *n = members_node(m, p->revocation.node);
    if (n == NULL || n->revoked_at != 0) {
        return ERR_INVALID;
    }
    if (p->revocation.cut.count > 0) {
        size_t bytes = p->revocation.cut.count * sizeof(*p->cut);
        p->cut = mem_alloc(m->mem, bytes);
        if (p->cut == NULL) {
            return ERR_NOMEM;
        }
        p->cut_count = p->revocation.cut.count;
        memcpy(p->cut, p->revocation.cut.at, bytes);
    }
    return ERR_OK;
}

static enum err plan_body(struct members *m, struct plan *p, struct arena *a)
{
    switch ((enum member_kind)p->entry.kind) {
    case MEMBER_GENESIS:
        return p->entry.number == 1 ? ERR_OK : ERR_INVALID;
    case MEMBER_STATION:
        return plan_station(m, p);
    case MEMBER_NODE:
        return plan_node(m, p);
    case MEMBER_USER:
        return plan_user(m, p);
    case MEMBER_KEYS:
        return plan_keys(m, p, a);
    case MEMBER_REVOKE:
        return plan_revoke(m, p, a);
    case MEMBER_SCOPE:
        return plan_scope(m, p);
    }
    return ERR_VERSION;
}

static enum err check_signature(struct members *m, struct plan *p)
{
    const struct member_entry *en = &p->entry;
    const uint8_t *group = m->group_id;
    const uint8_t *signer = m->genesis.authority;
    if (m->entry_count == 0) {
        if (en->kind != MEMBER_GENESIS) {
            return ERR_INVALID;
        }
        enum err e = member_genesis_take(en->body, &p->genesis);
        if (e != ERR_OK) {
            return e;
        }
        members_group_id_of(en->body, p->group_id);
        group = p->group_id;
        signer = p->genesis.authority;
    }
    members_entry_hash(group, en->signed_bytes, p->hash);
    return seal_verify(MEMBER_ENTRY_LABEL, group, en->signed_bytes, en->signature, signer);
}

/* An entry of a number that is taken: the same one again, or a fork if the authority really signed it. */
static enum err judge_old(struct members *m, struct plan *p)
{
    enum err e = check_signature(m, p);
    if (e != ERR_OK) {
        return e;
    }
    bool is_same = memcmp(m->hashes[p->entry.number - 1], p->hash, MEMBER_HASH_BYTES) == 0;
    return is_same ? ERR_EXISTS : ERR_CONFLICT;
}

static enum err plan_entry(struct members *m, struct bytes bytes, struct arena *a, struct plan *p)
{
    uint8_t head[MEMBER_HASH_BYTES];
    enum err e = member_entry_parse(bytes, &p->entry);
    if (e != ERR_OK) {
        return e;
    }
    if (p->entry.number <= m->entry_count) {
        return judge_old(m, p);
    }
    if (p->entry.number > members_head(m, head) + 1) {
        return ERR_GAP;
    }
    e = check_signature(m, p);
    if (e == ERR_OK && memcmp(p->entry.prev, head, sizeof(head)) != 0) {
        e = m->entry_count == 0 ? ERR_FORMAT : ERR_CONFLICT;
    }
    if (e == ERR_OK) {
        e = reserve_hash(m);
    }
    return e == ERR_OK ? plan_body(m, p, a) : e;
}

static void apply_node(struct members *m, struct member_node *n)
{
    insert_at(&m->nodes, m->nodes.count, n);
    index_insert(&m->by_tls, n);
    index_insert(&m->by_sign, n);
    index_insert(&m->by_box, n);
}

static void apply_user(struct members *m, struct user_version *v)
{
    if (v->user.number <= m->users.count) {
        v->older = m->users.at[v->user.number - 1];
        index_remove(&m->by_login, v->older);
        m->users.at[v->user.number - 1] = v;
    } else {
        insert_at(&m->users, m->users.count, v);
    }
    index_insert(&m->by_login, v);
}

static void apply_keys(struct members *m, struct plan *p)
{
    m->epochs[p->key_station] = p->newest_epoch;
    while (p->keys != NULL) {
        struct held_keys *held = p->keys;
        p->keys = held->next;
        held->next = NULL;
        insert_at(&m->keys, members_keys_lower(m, held->keys.station, held->keys.epoch), held);
    }
}

static void apply_revoke(struct members *m, struct plan *p)
{
    struct member_node *n = m->nodes.at[p->revocation.node - 1];
    n->revoked_at = p->entry.number;
    n->revoked_hlc = p->entry.hlc;
    memcpy(n->revoke_reason, p->revocation.reason, sizeof(n->revoke_reason));
    n->cut = (struct vv){ .at = p->cut, .count = p->cut_count, .capacity = p->cut_count };
}

static void apply_scope(struct members *m, struct plan *p)
{
    struct member_node *n = m->nodes.at[p->scope.number - 1];
    n->older = p->node;
    n->since = p->entry.number;
    n->owner = p->scope.owner;
    n->holds_group = p->scope.holds_group;
    n->scope_count = p->scope.scope_count;
    memcpy(n->scope, p->scope.scope, sizeof(n->scope));
}

static void apply(struct members *m, struct plan *p)
{
    switch ((enum member_kind)p->entry.kind) {
    case MEMBER_GENESIS:
        m->genesis = p->genesis;
        memcpy(m->group_id, p->group_id, sizeof(m->group_id));
        break;
    case MEMBER_STATION:
        insert_at(&m->stations, m->stations.count, p->station);
        index_insert(&m->by_code, p->station);
        break;
    case MEMBER_NODE:
        apply_node(m, p->node);
        break;
    case MEMBER_USER:
        apply_user(m, p->user);
        break;
    case MEMBER_KEYS:
        apply_keys(m, p);
        break;
    case MEMBER_REVOKE:
        apply_revoke(m, p);
        break;
    case MEMBER_SCOPE:
        apply_scope(m, p);
        break;
    }
    memcpy(m->hashes[m->entry_count], p->hash, MEMBER_HASH_BYTES);
    m->entry_count++;
}

static enum err plan_and(struct members *m, struct bytes entry, bool is_kept)
{
    struct plan p = { 0 };
    struct arena a;
    arena_init(&a, m->mem, PLAN_ARENA_BYTES);
    enum err e = plan_entry(m, entry, &a, &p);
    if (e == ERR_OK && is_kept) {
        apply(m, &p);
    } else {
        plan_discard(m, &p);
    }
    arena_release(&a);
    return e;
}

enum err members_append(struct members *m, struct bytes entry)
{
    return plan_and(m, entry, true);
}

enum err members_check(struct members *m, struct bytes entry)
{
    return plan_and(m, entry, false);
}
