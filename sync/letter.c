/*
 * Owns: letters (SPACE_LETTER: dot -> letter). Invariants: of what is kept this node can open nothing; a letter holds a
 * whole commit of our own and every secret that travels beside it, and is sealed only to nodes that may hold all of
 * that; one is thrown away only when all its readers that are left have what is in it, and they are two or more, or
 * when none is left. Does not send (sync/gather.c), does not decide what is forgotten (sync/forget.c).
 */
#include "sync/letter.h"

#include "sync/relay.h"
#include "sync/said.h"
#include "sync/scope.h"
#include "sync/seal_stream.h"

#include <sodium.h>

enum {
    WRAP_BYTES = 48 + KEY_BYTES,
    BINDING_BYTES = 32,
    SECRETS_BYTES_MAX = COMMIT_GROUPS_MAX * SECRET_BYTES,
    LETTER_BYTES_MAX = COMMIT_MAX_BYTES + SECRETS_BYTES_MAX + LETTER_READERS_MAX * (4 + WRAP_BYTES) + 256,
};

_Static_assert((size_t)LETTER_BYTES_MAX <= (size_t)STORE_VALUE_MAX_BYTES, "a letter is one value of the store");

static void bind_group(const struct core *c, uint8_t out[BINDING_BYTES])
{
    const struct bytes group = bytes_of(members_group_id(c->members), GROUP_ID_BYTES);
    seal_hash(out, BINDING_BYTES, "jipan/letter/v1", NULL, &group, 1);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static bool may_read(const struct core *c, const struct member_node *n, const struct commit_view *v)
{
    struct body_cursor cursor = commit_groups(v);
    struct group_item g;
    bool may = (n->kind == NODE_STATION || n->kind == NODE_HUB) && n->revoked_at == 0 && n->number != c->self.number;
    while (may && commit_next_group(&cursor, &g) == ERR_OK) {
        may = scope_is_for(n, g.kind, g.station, 0);
    }
    return may;
}

static size_t choose_readers(
    const struct core *c, const struct commit_view *v, const struct member_node *out[LETTER_READERS_MAX])
{
    size_t count = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 1; i <= members_node_count(c->members) && count < LETTER_READERS_MAX; i++) {
            const struct member_node *n = members_node(c->members, i);
            if (n != NULL && n->holds_group == (pass == 0) && may_read(c, n, v)) {
                out[count++] = n;
            }
        }
    }
    return count;
}

static void seal_letter(struct core *c, const uint8_t key[KEY_BYTES], struct bytes plain, struct buf *out)
{
    struct seal_stream stream;
    uint8_t header[SEAL_STREAM_HEADER_BYTES];
    uint8_t binding[BINDING_BYTES];
    rng_fill(c->rng, header, sizeof(header));
    bind_group(c, binding);
    buf_put(out, header, sizeof(header));
    seal_stream_start(&stream, key, header);
    seal_stream_put(&stream, plain, BYTES_OF(binding), true, out);
    seal_stream_wipe(&stream);
}

static enum err put_letter(struct core *c, const struct commit_view *v, struct bytes plain, struct buf *out)
{
    const struct member_node *readers[LETTER_READERS_MAX];
    uint8_t key[KEY_BYTES];
    size_t count = choose_readers(c, v, readers);
    if (count == 0) {
        return ERR_OK;
    }
    rng_fill(c->rng, key, sizeof(key));
    buf_put_varint(out, v->header.group_count);
    buf_put_u8(out, (uint8_t)count);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        buf_put_u32be(out, readers[i]->number);
        e = seal_wrap(c->rng, readers[i]->box_key, BYTES_OF(key), out);
    }
    if (e == ERR_OK) {
        seal_letter(c, key, plain, out);
        e = out->err;
    }
    sodium_memzero(key, sizeof(key));
    return e;
}

enum err letter_write(struct core *c, struct arena *a, const struct commit_view *v)
{
    const struct dot dot = v->header.dot;
    struct bytes kept = { 0 };
    struct buf secrets;
    struct buf plain;
    struct buf letter;
    uint8_t key[DOT_KEY_BYTES];
    if (dot.node != c->self.number || core_counts(c, dot) != ERR_OK || !relay_is_whole(v)) {
        return ERR_OK;
    }
    dot_key(dot, key);
    enum err e = c->store->ops->get(c->store, SPACE_LETTER, BYTES_OF(key), a, &kept);
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    buf_init(&secrets, c->mem, SECRETS_BYTES_MAX);
    buf_init(&plain, c->mem, LETTER_BYTES_MAX);
    buf_init(&letter, c->mem, LETTER_BYTES_MAX);
    e = core_secrets_of(c, a, v, &secrets);
    if (e == ERR_OK) {
        buf_put_blob(&plain, buf_view(&secrets));
        buf_put_bytes(&plain, v->all);
        e = plain.err;
    }
    if (e == ERR_OK) {
        e = put_letter(c, v, buf_view(&plain), &letter);
    }
    if (e == ERR_OK && letter.len > 0) {
        e = c->store->ops->put(c->store, SPACE_LETTER, BYTES_OF(key), buf_view(&letter));
    }
    sodium_memzero(secrets.ptr, secrets.ptr == NULL ? 0 : secrets.capacity);
    sodium_memzero(plain.ptr, plain.ptr == NULL ? 0 : plain.capacity);
    buf_release(&secrets);
    buf_release(&plain);
    buf_release(&letter);
    return e;
}

/* --- throwing away ----------------------------------------------------------------------------------------------- */

struct reader_said {
    uint32_t node;
    struct vv settled;
};

struct expiring {
    struct core *c;
    struct arena *a;
    struct reader_said said[LETTER_SAID_MAX]; /* of readers met so far */
    size_t said_count;
    uint8_t gone[LETTER_EXPIRE_MAX][DOT_KEY_BYTES];
    size_t gone_count;
};

static enum err has_said(struct expiring *x, uint32_t node, struct dot dot, bool *out)
{
    struct said said;
    for (size_t i = 0; i < x->said_count; i++) {
        if (x->said[i].node == node) {
            *out = vv_covers(&x->said[i].settled, dot);
            return ERR_OK;
        }
    }
    enum err e = said_get(x->c, x->a, node, &said);
    *out = e == ERR_OK && vv_covers(&said.settled, dot);
    if (e == ERR_OK && x->said_count < LETTER_SAID_MAX) {
        x->said[x->said_count++] = (struct reader_said){ .node = node, .settled = said.settled };
    }
    return e;
}

/* Readers that are left, and whether one of them lacks it. */
static enum err count_readers(struct expiring *x, struct bytes kept, struct dot dot, unsigned *left, bool *is_lacked)
{
    struct reader r = reader_of(kept);
    uint64_t groups = 0;
    uint8_t count = 0;
    enum err e = reader_varint(&r, &groups);
    e = e == ERR_OK ? reader_u8(&r, &count) : e;
    for (uint8_t i = 0; e == ERR_OK && i < count; i++) {
        struct bytes wrap = { 0 };
        uint32_t number = 0;
        bool has = false;
        if (reader_u32be(&r, &number) != ERR_OK || reader_take(&r, WRAP_BYTES, &wrap) != ERR_OK) {
            return ERR_DAMAGED;
        }
        const struct member_node *node = members_node(x->c->members, number);
        if (node == NULL || node->revoked_at != 0) {
            continue;
        }
        (*left)++;
        e = has_said(x, number, dot, &has);
        *is_lacked = *is_lacked || !has;
    }
    return e;
}

static enum err look_at(void *ctx, struct bytes key, struct bytes value)
{
    struct expiring *x = ctx;
    struct dot dot = { 0 };
    unsigned left = 0;
    bool is_lacked = false;
    enum err e = dot_from_key(key, &dot);
    e = e == ERR_OK ? count_readers(x, value, dot, &left, &is_lacked) : e;
    if (e != ERR_OK) {
        return err_of_stored(e);
    }
    if (left == 0 || (left >= LETTER_KEEPERS_MIN && !is_lacked)) {
        memcpy(x->gone[x->gone_count++], key.ptr, DOT_KEY_BYTES);
    }
    return x->gone_count == LETTER_EXPIRE_MAX ? ERR_BUSY : ERR_OK;
}

enum err letter_expire(struct core *c, struct arena *a)
{
    const struct bytes all = { 0 };
    struct expiring *x = arena_alloc(a, sizeof(*x));
    if (x == NULL) {
        return ERR_NOMEM;
    }
    *x = (struct expiring){ .c = c, .a = a };
    enum err e = c->store->ops->scan(c->store, SPACE_LETTER, all, all, false, look_at, x);
    e = e == ERR_BUSY ? ERR_OK : e;
    for (size_t i = 0; e == ERR_OK && i < x->gone_count; i++) {
        e = c->store->ops->del(c->store, SPACE_LETTER, BYTES_OF(x->gone[i]));
    }
    return e;
}

/* --- handing on --------------------------------------------------------------------------------------------------- */

enum err letter_for(struct core *c, struct arena *a, struct dot dot, uint32_t to, struct letter *out)
{
    struct bytes kept = { 0 };
    struct bytes wrap = { 0 };
    uint8_t key[DOT_KEY_BYTES];
    uint8_t count = 0;
    dot_key(dot, key);
    enum err e = c->store->ops->get(c->store, SPACE_LETTER, BYTES_OF(key), a, &kept);
    if (e != ERR_OK) {
        return e;
    }
    struct reader r = reader_of(kept);
    e = reader_varint(&r, &out->groups);
    if (e == ERR_OK) {
        e = reader_u8(&r, &count);
    }
    for (uint8_t i = 0; e == ERR_OK && i < count; i++) {
        struct bytes one = { 0 };
        uint32_t node = 0;
        e = reader_u32be(&r, &node);
        if (e == ERR_OK) {
            e = reader_take(&r, WRAP_BYTES, &one);
        }
        wrap = e == ERR_OK && node == to ? one : wrap;
    }
    if (e != ERR_OK) {
        return ERR_DAMAGED;
    }
    uint8_t *p = wrap.len == 0 ? NULL : arena_alloc(a, wrap.len + r.left);
    if (p == NULL) {
        return wrap.len == 0 ? ERR_NOT_FOUND : ERR_NOMEM;
    }
    memcpy(p, wrap.ptr, wrap.len);
    memcpy(p + wrap.len, r.ptr, r.left);
    out->bytes = bytes_of(p, wrap.len + r.left);
    return ERR_OK;
}

enum err letter_open(struct core *c, struct arena *a, struct bytes letter, struct bytes *commit, struct bytes *secrets)
{
    struct reader r = reader_of(letter);
    struct seal_stream stream;
    struct bytes wrap = { 0 };
    struct bytes header = { 0 };
    struct bytes key = { 0 };
    struct bytes plain = { 0 };
    uint8_t binding[BINDING_BYTES];
    bool is_last = false;
    if (letter.len > LETTER_BYTES_MAX || reader_take(&r, WRAP_BYTES, &wrap) != ERR_OK ||
        reader_take(&r, SEAL_STREAM_HEADER_BYTES, &header) != ERR_OK) {
        return ERR_FORMAT;
    }
    enum err e = seal_unwrap(c->self.box_public, c->self.box_secret, wrap, a, &key);
    if (e != ERR_OK) {
        return e;
    }
    bind_group(c, binding);
    seal_stream_start(&stream, key.ptr, header.ptr);
    sodium_memzero((uint8_t *)(uintptr_t)key.ptr, key.len);
    e = seal_stream_take(&stream, bytes_of(r.ptr, r.left), BYTES_OF(binding), a, &plain, &is_last);
    seal_stream_wipe(&stream);
    if (e != ERR_OK || !is_last) {
        return e == ERR_OK ? ERR_FORMAT : e;
    }
    r = reader_of(plain);
    e = reader_blob(&r, SECRETS_BYTES_MAX, secrets);
    *commit = bytes_of(r.ptr, r.left);
    return e == ERR_OK && r.left > 0 ? ERR_OK : ERR_FORMAT;
}
