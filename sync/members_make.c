/*
 * Owns: making signed membership entries. Invariant: what comes out is exactly what every node will accept, because it
 * is checked by the same code before it leaves; a refused request leaves out unchanged. Stores and folds nothing.
 */
#include "schema/base/check.h"
#include "sync/members_impl.h"

#include <sodium.h>

/* Signs and checks one entry in `scratch`, then appends it to out. */
static enum err finish(struct members *m, const struct member_author *by, const struct member_entry *en,
    struct buf *scratch, struct buf *out)
{
    uint8_t group_id[GROUP_ID_BYTES];
    uint8_t signature[MEMBER_SIGNATURE_BYTES];
    memcpy(group_id, m->group_id, sizeof(group_id));
    if (en->kind == MEMBER_GENESIS) {
        members_group_id_of(en->body, group_id);
    }
    member_entry_put(scratch, en);
    if (scratch->err != ERR_OK) {
        return scratch->err;
    }
    seal_sign(MEMBER_ENTRY_LABEL, group_id, buf_view(scratch), by->authority_secret, signature);
    buf_put(scratch, signature, sizeof(signature));
    if (scratch->err != ERR_OK) {
        return scratch->err;
    }
    enum err e = members_check(m, buf_view(scratch));
    if (e == ERR_OK) {
        buf_put_bytes(out, buf_view(scratch));
        e = out->err;
    }
    return e;
}

static enum err make(
    struct members *m, const struct member_author *by, enum member_kind kind, const struct buf *body, struct buf *out)
{
    struct buf scratch;
    struct member_entry en = { .hlc = by->hlc, .kind = (uint8_t)kind };
    if (body->err != ERR_OK) {
        return body->err;
    }
    check(out->err == ERR_OK);
    en.number = members_head(m, en.prev) + 1;
    en.body = buf_view(body);
    buf_init(&scratch, m->mem, MEMBER_ENTRY_MAX_BYTES);
    enum err e = finish(m, by, &en, &scratch, out);
    buf_release(&scratch);
    return e;
}

/* Copies text that must fit with its NUL. */
static enum err copy_text(char *out, size_t out_bytes, const char *text)
{
    size_t len = strlen(text);
    if (len >= out_bytes) {
        return ERR_LIMIT;
    }
    memcpy(out, text, len + 1);
    return ERR_OK;
}

enum err members_make_genesis(
    struct members *m, const struct member_author *by, const char *group_name, struct buf *out)
{
    struct member_genesis g = { 0 };
    struct buf body;
    if (m->entry_count != 0) {
        return ERR_EXISTS;
    }
    enum err e = copy_text(g.name, sizeof(g.name), group_name);
    if (e != ERR_OK) {
        return e;
    }
    memcpy(g.authority, by->authority_secret + SIGN_SECRET_BYTES - SIGN_PUBLIC_BYTES, sizeof(g.authority));
    rng_fill(by->rng, g.random, sizeof(g.random));
    buf_init(&body, m->mem, MEMBER_ENTRY_MAX_BYTES);
    member_genesis_put(&body, &g);
    e = make(m, by, MEMBER_GENESIS, &body, out);
    buf_release(&body);
    return e;
}

enum err members_make_station(
    struct members *m, const struct member_author *by, const struct member_station *s, struct buf *out)
{
    struct buf body;
    buf_init(&body, m->mem, MEMBER_ENTRY_MAX_BYTES);
    member_station_put(&body, s);
    enum err e = make(m, by, MEMBER_STATION, &body, out);
    buf_release(&body);
    return e;
}

/* Canonical scope: ascending, without doubles, without its own station. */
static void tidy_scope(struct member_node *n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->scope_count; i++) {
        uint32_t station = n->scope[i];
        uint32_t at = 0;
        while (at < count && n->scope[at] < station) {
            at++;
        }
        if (station == n->station || (at < count && n->scope[at] == station)) {
            continue;
        }
        memmove(n->scope + at + 1, n->scope + at, (count - at) * sizeof(*n->scope));
        n->scope[at] = station;
        count++;
    }
    n->scope_count = count;
}

enum err members_make_node(
    struct members *m, const struct member_author *by, const struct member_node *n, struct buf *out)
{
    struct buf body;
    struct member_node tidy = *n;
    check(n->scope_count <= MEMBER_SCOPE_MAX);
    tidy_scope(&tidy);
    buf_init(&body, m->mem, MEMBER_ENTRY_MAX_BYTES);
    member_node_put(&body, &tidy);
    enum err e = make(m, by, MEMBER_NODE, &body, out);
    buf_release(&body);
    return e;
}

enum err members_make_user(
    struct members *m, const struct member_author *by, const struct member_user *u, struct buf *out)
{
    struct buf body;
    buf_init(&body, m->mem, MEMBER_ENTRY_MAX_BYTES);
    member_user_put(&body, u);
    enum err e = make(m, by, MEMBER_USER, &body, out);
    buf_release(&body);
    return e;
}

static enum err put_wrap(
    struct buf *body, const struct member_author *by, const struct member_node *to, const struct class_keys *keys)
{
    /* The key that boxes secrets for relays (sync/relay.h) would open to a laptop what was never sent to it. */
    struct class_keys given = *keys;
    if (to->kind != NODE_STATION && to->kind != NODE_HUB) {
        sodium_memzero(given.key[CLASS_PUBLIC], KEY_BYTES);
    }
    member_keys_put_wrap_head(body, keys->epoch, to->number);
    enum err e = seal_wrap(by->rng, to->box_key, bytes_of(given.key, sizeof(given.key)), body);
    sodium_memzero(&given, sizeof(given));
    return e;
}

static uint32_t count_in_scope(const struct members *m, uint32_t station)
{
    uint32_t count = 0;
    for (size_t i = 0; i < members_node_count(m); i++) {
        count += members_node_in_scope(members_node_at(m, i), station) ? 1 : 0;
    }
    return count;
}

static enum err put_epoch(
    struct members *m, const struct member_author *by, const struct class_keys *keys, struct buf *body)
{
    enum err e = ERR_OK;
    member_keys_put_head(body, keys->station, count_in_scope(m, keys->station));
    for (size_t i = 0; e == ERR_OK && i < members_node_count(m); i++) {
        const struct member_node *n = members_node_at(m, i);
        if (members_node_in_scope(n, keys->station)) {
            e = put_wrap(body, by, n, keys);
        }
    }
    return e;
}

enum err members_make_key_epoch(struct members *m, const struct member_author *by, uint32_t station, struct buf *out)
{
    struct buf body;
    struct class_keys keys = { .station = station };
    if (station > MEMBERS_STATIONS_MAX || count_in_scope(m, station) == 0) {
        return ERR_INVALID;
    }
    keys.epoch = m->epochs[station] + 1;
    rng_fill(by->rng, keys.key, sizeof(keys.key));
    buf_init(&body, m->mem, MEMBER_ENTRY_MAX_BYTES);
    enum err e = put_epoch(m, by, &keys, &body);
    sodium_memzero(&keys, sizeof(keys));
    if (e == ERR_OK) {
        e = make(m, by, MEMBER_KEYS, &body, out);
    }
    buf_release(&body);
    return e;
}

enum err members_make_key_grant(
    struct members *m, const struct member_author *by, uint32_t station, const struct member_node *to, struct buf *out)
{
    struct buf body;
    size_t from = members_keys_lower(m, station, 0);
    size_t end = members_keys_lower(m, station, UINT32_MAX);
    enum err e = ERR_OK;
    if (from == end) {
        return ERR_NO_KEY;
    }
    buf_init(&body, m->mem, MEMBER_ENTRY_MAX_BYTES);
    member_keys_put_head(&body, station, (uint32_t)(end - from));
    for (size_t i = from; e == ERR_OK && i < end; i++) {
        e = put_wrap(&body, by, to, &((const struct held_keys *)m->keys.at[i])->keys);
    }
    if (e == ERR_OK) {
        e = make(m, by, MEMBER_KEYS, &body, out);
    }
    buf_release(&body);
    return e;
}

enum err members_make_scope(
    struct members *m, const struct member_author *by, const struct member_node *n, struct buf *out)
{
    struct buf body;
    buf_init(&body, m->mem, MEMBER_ENTRY_MAX_BYTES);
    member_scope_put(&body, n);
    enum err e = make(m, by, MEMBER_SCOPE, &body, out);
    buf_release(&body);
    return e;
}

enum err members_make_revoke(struct members *m, const struct member_author *by, uint32_t node, const struct vv *cut,
    const char *reason, struct buf *out)
{
    struct buf body;
    struct member_revocation v = { .node = node, .cut = *cut };
    enum err e = copy_text(v.reason, sizeof(v.reason), reason);
    if (e != ERR_OK) {
        return e;
    }
    buf_init(&body, m->mem, MEMBER_ENTRY_MAX_BYTES);
    member_revocation_put(&body, &v);
    e = make(m, by, MEMBER_REVOKE, &body, out);
    buf_release(&body);
    return e;
}
