/*
 * Owns: boxes of dossier secrets, and keeping commits on a relay. Invariants: a relay never has a secret or a class
 * key, so nothing here opens a part on it; what it keeps is whole, as received. Decides nothing about who gets what:
 * that is sync/gather.c.
 */
#include "sync/relay.h"

#include <sodium.h>

bool relay_is(const struct core *c)
{
    const struct member_node *self = members_node(c->members, c->self.number);
    return self != NULL && self->kind == NODE_RELAY;
}

bool relay_serves(const struct member_node *to)
{
    return to->kind == NODE_STATION || to->kind == NODE_HUB || to->kind == NODE_RELAY;
}

bool relay_is_whole(const struct commit_view *v)
{
    struct body_cursor cursor = commit_groups(v);
    struct group_item g;
    while (commit_next_group(&cursor, &g) == ERR_OK) {
        struct part_cursor parts;
        struct part_item p;
        if (g.is_withheld) {
            return false;
        }
        parts = group_parts(&g);
        while (group_next_part(&parts, &p) == ERR_OK) {
            if (p.is_withheld) {
                return false;
            }
        }
    }
    return true;
}

/* Laptops have no key in this slot. */
static const uint8_t *serving_key(const struct class_keys *k)
{
    return k == NULL || sodium_is_zero(k->key[CLASS_PUBLIC], KEY_BYTES) ? NULL : k->key[CLASS_PUBLIC];
}

static struct secret_place place_of(
    const struct core *c, const struct commit_view *v, const struct group_item *g, uint32_t key_epoch)
{
    return (struct secret_place){ .group_id = members_group_id(c->members),
        .header = &v->header,
        .group_index = g->index,
        .key_epoch = key_epoch,
        .station = g->station,
        .dossier = seal_new_dossier(v->header.salt, g->index) };
}

static bool needs_box(const struct group_item *g)
{
    return !g->is_withheld && g->is_new;
}

static enum err box_one(
    struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g, struct buf *boxes)
{
    struct dossier d = { 0 };
    const struct class_keys *k = members_current_keys(c->members, g->station);
    const uint8_t *key = serving_key(k);
    if (key == NULL) {
        return ERR_NO_KEY;
    }
    enum err e = c->store->ops->dossier_get(c->store, seal_new_dossier(v->header.salt, g->index), a, &d);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_NO_KEY : e; /* forgotten here: it is not ours to give */
    }
    const struct secret_place at = place_of(c, v, g, k->epoch);
    buf_put_u32be(boxes, k->epoch);
    seal_secret(boxes, &at, key, d.secret);
    sodium_memzero(d.secret, sizeof(d.secret));
    return boxes->err;
}

enum err relay_box(struct core *c, struct arena *a, const struct commit_view *v, struct buf *boxes)
{
    struct body_cursor cursor = commit_groups(v);
    struct group_item g;
    enum err e = ERR_OK;
    while (e == ERR_OK && commit_next_group(&cursor, &g) == ERR_OK) {
        if (needs_box(&g)) {
            e = box_one(c, a, v, &g, boxes);
        }
    }
    return e;
}

static enum err unbox_one(
    struct core *c, const struct commit_view *v, const struct group_item *g, struct reader *r, struct buf *secrets)
{
    uint32_t key_epoch = 0;
    struct bytes sealed = { 0 };
    uint8_t secret[SECRET_BYTES];
    if (reader_u32be(r, &key_epoch) != ERR_OK || reader_take(r, SECRET_BOX_BYTES, &sealed) != ERR_OK) {
        return ERR_FORMAT;
    }
    const uint8_t *key = serving_key(members_keys(c->members, g->station, key_epoch));
    if (key == NULL) {
        return ERR_NO_KEY;
    }
    const struct secret_place at = place_of(c, v, g, key_epoch);
    enum err e = seal_open_secret(&at, key, sealed.ptr, secret);
    if (e == ERR_OK) {
        buf_put(secrets, secret, sizeof(secret));
        e = secrets->err;
    }
    sodium_memzero(secret, sizeof(secret));
    return e;
}

enum err relay_unbox(struct core *c, const struct commit_view *v, struct bytes boxes, struct buf *secrets)
{
    struct body_cursor cursor = commit_groups(v);
    struct reader r = reader_of(boxes);
    struct group_item g;
    enum err e = ERR_OK;
    while (e == ERR_OK && commit_next_group(&cursor, &g) == ERR_OK) {
        if (needs_box(&g)) {
            e = unbox_one(c, v, &g, &r, secrets);
        }
    }
    return e == ERR_OK && r.left != 0 ? ERR_FORMAT : e;
}

static size_t boxes_needed(const struct commit_view *v)
{
    struct body_cursor cursor = commit_groups(v);
    struct group_item g;
    size_t need = 0;
    while (commit_next_group(&cursor, &g) == ERR_OK) {
        need += needs_box(&g) ? RELAY_BOX_BYTES : 0;
    }
    return need;
}

enum err relay_take(struct core *c, struct arena *a, struct now now, const struct wire_item *item)
{
    struct commit_view v;
    uint8_t key[DOT_KEY_BYTES];
    enum err e = commit_parse(item->commit, &v);
    if (e != ERR_OK) {
        return e;
    }
    if (!relay_is_whole(&v) || item->secrets.len > 0) {
        return ERR_PROTOCOL;
    }
    if (item->boxes.len != boxes_needed(&v)) {
        return ERR_FORMAT;
    }
    e = core_ingest_sealed(c, a, now, &v);
    if (e != ERR_OK || item->boxes.len == 0) {
        return e;
    }
    dot_key(v.header.dot, key);
    return c->store->ops->put(c->store, SPACE_BOX, BYTES_OF(key), item->boxes);
}

enum err relay_boxes(
    struct core *c, struct arena *a, const struct commit_view *whole, const struct commit_view *kept, struct buf *boxes)
{
    uint8_t key[DOT_KEY_BYTES];
    struct bytes all = { 0 };
    struct body_cursor cursor = commit_groups(whole);
    struct body_cursor left = commit_groups(kept);
    struct group_item g;
    struct group_item k = { .index = 0 };
    bool has_kept = commit_next_group(&left, &k) == ERR_OK;
    dot_key(whole->header.dot, key);
    enum err e =
        boxes_needed(kept) == 0 ? ERR_NOT_FOUND : c->store->ops->get(c->store, SPACE_BOX, BYTES_OF(key), a, &all);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? (boxes_needed(kept) == 0 ? ERR_OK : ERR_DAMAGED) : e;
    }
    struct reader r = reader_of(all);
    while (commit_next_group(&cursor, &g) == ERR_OK) {
        struct bytes box = { 0 };
        while (has_kept && k.index + k.leaves <= g.index) {
            has_kept = commit_next_group(&left, &k) == ERR_OK;
        }
        if (!needs_box(&g)) {
            continue;
        }
        if (reader_take(&r, RELAY_BOX_BYTES, &box) != ERR_OK) {
            return ERR_DAMAGED;
        }
        if (has_kept && k.index == g.index && !k.is_withheld) {
            buf_put_bytes(boxes, box);
        }
    }
    return boxes->err;
}
