/*
 * Owns: what each node last said it has. Invariant: one record per node, the newest word replaces it whole. Decides
 * nothing and begins no transaction.
 */
#include "sync/said.h"

enum { SAID_KEY_BYTES = 5, SAID_MAX_BYTES = 1 << 18 };

static void said_key(uint32_t node, uint8_t out[SAID_KEY_BYTES])
{
    out[0] = 's';
    for (size_t i = 0; i < 4; i++) {
        out[1 + i] = (uint8_t)(node >> (8 * (3 - i)));
    }
}

enum err said_put(struct core *c, struct arena *a, uint32_t node, uint64_t members, struct bytes settled)
{
    uint8_t key[SAID_KEY_BYTES];
    struct bytes old = { 0 };
    struct buf b;
    said_key(node, key);
    buf_init(&b, c->mem, SAID_MAX_BYTES);
    buf_put_varint(&b, members);
    buf_put_bytes(&b, settled);
    enum err e = b.err;
    if (e == ERR_OK) {
        e = c->store->ops->get(c->store, SPACE_PEER, BYTES_OF(key), a, &old);
    }
    /* Most greetings say what the one before said: nothing to write, nothing to sync. */
    if (e == ERR_NOT_FOUND || (e == ERR_OK && !bytes_equal(old, buf_view(&b)))) {
        e = c->store->ops->put(c->store, SPACE_PEER, BYTES_OF(key), buf_view(&b));
    }
    buf_release(&b);
    return e;
}

enum err said_get(struct core *c, struct arena *a, uint32_t node, struct said *out)
{
    uint8_t key[SAID_KEY_BYTES];
    struct bytes kept = { 0 };
    said_key(node, key);
    *out = (struct said){ .members = 0 };
    enum err e = c->store->ops->get(c->store, SPACE_PEER, BYTES_OF(key), a, &kept);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    struct reader r = reader_of(kept);
    e = reader_varint(&r, &out->members);
    if (e == ERR_OK) {
        e = vv_take(&r, a, &out->settled);
    }
    return e == ERR_OK || e == ERR_NOMEM ? e : ERR_DAMAGED;
}
