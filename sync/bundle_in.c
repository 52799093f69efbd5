/*
 * Owns: taking in a bundle, frame by frame. Invariants: nothing of a frame is applied before it has opened; nothing but
 * membership entries, which prove themselves, is applied before the sender is proven; the rules of what is accepted are
 * those of a session (sync/greeting.c, sync/take.c). Begins no transaction.
 */
#include "sync/bundle.h"

#include "sync/greeting.h"

#include "schema/base/check.h"

#include <sodium.h>

enum { KNOWN_ARENA_BYTES = 4 << 20, SERIAL_KEY_BYTES = 5, STAMP_BYTES = 12 };

struct bundle_in {
    struct core *core;
    struct bundle_header header;
    uint8_t raw[BUNDLE_HEADER_BYTES];
    struct seal_stream stream;
    uint8_t binding[BUNDLE_BINDING_BYTES];
    struct arena keep; /* memory of `known` */
    struct arena step; /* one frame */
    struct arena work; /* one commit */
    struct vv known;
    bool is_proven; /* the sender is known and signed the header */
    bool has_greeting;
    bool is_over; /* the last frame was read, or one failed */
    struct bundle_count count;
};

static void put_key(uint32_t from, uint8_t key[SERIAL_KEY_BYTES])
{
    key[0] = 'i';
    for (size_t i = 0; i < 4; i++) {
        key[1 + i] = (uint8_t)(from >> (8 * (3 - i)));
    }
}

/* (epoch, serial) as it is kept: bytes compare as the numbers do. */
static void put_stamp(const struct bundle_header *h, uint8_t out[STAMP_BYTES])
{
    for (size_t i = 0; i < 4; i++) {
        out[i] = (uint8_t)(h->epoch >> (8 * (3 - i)));
    }
    for (size_t i = 0; i < 8; i++) {
        out[4 + i] = (uint8_t)(h->serial >> (8 * (7 - i)));
    }
}

/* An old bundle would take back what its sender has said since. The newest one may be taken in again. */
static enum err check_age(struct bundle_in *b)
{
    struct core *c = b->core;
    uint8_t key[SERIAL_KEY_BYTES];
    uint8_t stamp[STAMP_BYTES];
    struct bytes kept = { 0 };
    put_key(b->header.from, key);
    put_stamp(&b->header, stamp);
    enum err e = c->store->ops->get(c->store, SPACE_PEER, BYTES_OF(key), &b->work, &kept);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    if (kept.len != STAMP_BYTES) {
        return ERR_DAMAGED;
    }
    return memcmp(stamp, kept.ptr, STAMP_BYTES) < 0 ? ERR_EXPIRED : ERR_OK;
}

static enum err keep_age(struct bundle_in *b)
{
    uint8_t key[SERIAL_KEY_BYTES];
    uint8_t stamp[STAMP_BYTES];
    put_key(b->header.from, key);
    put_stamp(&b->header, stamp);
    return b->core->store->ops->put(b->core->store, SPACE_PEER, BYTES_OF(key), BYTES_OF(stamp));
}

/* Also a sender that was proven may be revoked by entries that came meanwhile. */
static enum err prove(struct bundle_in *b)
{
    const struct member_node *from = members_node(b->core->members, b->header.from);
    enum err e = from == NULL ? ERR_UNKNOWN_PEER : from->revoked_at != 0 ? ERR_REVOKED : ERR_OK;
    if (e == ERR_OK && !b->is_proven) {
        e = seal_verify("jipan/bundle/v1", b->header.group, bytes_of(b->raw, BUNDLE_SIGNED_BYTES), b->header.signature,
            from->sign_key);
        b->is_proven = e == ERR_OK;
    }
    return e == ERR_OK && !b->has_greeting ? check_age(b) : e;
}

static enum err check_members(const struct core *c, const struct bundle_header *h)
{
    uint8_t ours[32];
    uint8_t at16[16];
    if (h->member_number > members_head(c->members, ours)) {
        return ERR_OK; /* its entries are in the bundle and prove themselves */
    }
    return members_hash16_at(c->members, h->member_number, at16) && memcmp(at16, h->member_hash, sizeof(at16)) == 0
               ? ERR_OK
               : ERR_CONFLICT;
}

static enum err open_key(struct bundle_in *b)
{
    struct core *c = b->core;
    struct bytes key = { 0 };
    enum err e = seal_unwrap(c->self.box_public, c->self.box_secret, BYTES_OF(b->header.wrap), &b->work, &key);
    if (e == ERR_OK) {
        check(key.len == KEY_BYTES);
        seal_stream_start(&b->stream, key.ptr, b->header.stream);
        sodium_memzero((uint8_t *)(uintptr_t)key.ptr, key.len);
    }
    return e;
}

static enum err start(struct bundle_in *b)
{
    struct core *c = b->core;
    const struct bundle_header *h = &b->header;
    if (memcmp(h->group, members_group_id(c->members), sizeof(h->group)) != 0) {
        return ERR_UNKNOWN_PEER;
    }
    if (h->to != c->self.number) {
        return ERR_DENIED;
    }
    enum err e = members_node(c->members, h->from) == NULL ? ERR_OK : prove(b);
    if (e == ERR_OK) {
        e = check_members(c, h);
    }
    return e == ERR_OK ? open_key(b) : e;
}

enum err bundle_in_new(struct core *c, struct bytes header, struct bundle_in **out)
{
    struct bundle_header h;
    enum err e = bundle_header_take(header, &h);
    struct bundle_in *b = e == ERR_OK ? mem_alloc(c->mem, sizeof(*b)) : NULL;
    if (b == NULL) {
        return e == ERR_OK ? ERR_NOMEM : e;
    }
    b->core = c;
    b->header = h;
    memcpy(b->raw, header.ptr, sizeof(b->raw));
    bundle_header_bind(header, b->binding);
    arena_init(&b->keep, c->mem, KNOWN_ARENA_BYTES);
    arena_init(&b->step, c->mem, WIRE_ARENA_BYTES + BUNDLE_FRAME_MAX_BYTES);
    arena_init(&b->work, c->mem, CORE_ARENA_BYTES);
    e = start(b);
    if (e != ERR_OK) {
        bundle_in_free(b);
        return e;
    }
    *out = b;
    return ERR_OK;
}

static enum err take_greeting(struct bundle_in *b, const struct wire_hello *hello)
{
    if (b->has_greeting) {
        return ERR_PROTOCOL;
    }
    enum err e = greeting_take(b->core, &b->work, b->header.from, hello, &b->keep, &b->known);
    if (e == ERR_OK) {
        e = keep_age(b);
    }
    b->has_greeting = e == ERR_OK;
    return e;
}

static enum err take_message(struct bundle_in *b, const struct wire_message *m, struct now now)
{
    const struct taking t = { .core = b->core,
        .work = &b->work,
        .from = b->header.from,
        .known = &b->known,
        .known_arena = &b->keep,
        .now = now };
    enum err e = m->kind == WIRE_MEMBERS ? ERR_OK : prove(b);
    if (e != ERR_OK) {
        return e;
    }
    if (m->kind == WIRE_MEMBERS) {
        b->count.entries += m->count;
        return take_members(&t, m->entries, m->count);
    }
    if (m->kind == WIRE_HELLO) {
        return take_greeting(b, &m->hello);
    }
    if (m->kind != WIRE_COMMITS || !b->has_greeting) {
        return ERR_PROTOCOL;
    }
    for (size_t i = 0; e == ERR_OK && i < m->count; i++) {
        struct taken taken;
        e = take_item(&t, &m->items[i], &taken);
        b->count.commits += taken.is_commit ? 1 : 0;
        b->count.news += taken.is_new ? 1 : 0;
    }
    return e;
}

static enum err take_frame(struct bundle_in *b, struct now now, struct bytes frame, bool *is_last)
{
    struct bytes plain = { 0 };
    struct wire_message m;
    enum err e = seal_stream_take(&b->stream, frame, BYTES_OF(b->binding), &b->step, &plain, is_last);
    if (e != ERR_OK) {
        return e;
    }
    if (*is_last) {
        return plain.len == 0 && b->has_greeting ? ERR_OK : ERR_PROTOCOL;
    }
    e = wire_take(plain, &b->step, &m);
    return e == ERR_OK ? take_message(b, &m, now) : e;
}

enum err bundle_in_next(struct bundle_in *b, struct now now, struct bytes frame, bool *is_last)
{
    *is_last = false;
    if (b->is_over || frame.len > BUNDLE_FRAME_MAX_BYTES) {
        return b->is_over ? ERR_PROTOCOL : ERR_LIMIT;
    }
    arena_reset(&b->step);
    arena_reset(&b->work);
    enum err e = take_frame(b, now, frame, is_last);
    b->is_over = e != ERR_OK || *is_last;
    return e;
}

const struct bundle_header *bundle_in_header(const struct bundle_in *b)
{
    return &b->header;
}

bool bundle_in_is_greeted(const struct bundle_in *b)
{
    return b->has_greeting;
}

struct bundle_count bundle_in_count(const struct bundle_in *b)
{
    return b->count;
}

void bundle_in_free(struct bundle_in *b)
{
    if (b == NULL) {
        return;
    }
    struct mem *mem = b->core->mem;
    arena_release(&b->keep);
    arena_release(&b->step);
    arena_release(&b->work);
    seal_stream_wipe(&b->stream);
    mem_free(mem, b, sizeof(*b));
}
