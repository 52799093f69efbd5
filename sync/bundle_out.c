/*
 * Owns: making a bundle, frame by frame. Invariants: what is in it is what a session would send (sync/gather.c) to a
 * node that has what it last said it has; every release is in the audit log in the transaction of its frame; membership
 * entries stand before the commits that name them. Reads no clock and writes no file.
 */
#include "sync/bundle.h"

#include "sync/gather.h"
#include "sync/greeting.h"
#include "sync/said.h"

#include <sodium.h>

enum { OUT_ARENA_BYTES = 16 << 20, KNOWN_ARENA_BYTES = 4 << 20, SERIAL_KEY_BYTES = 5 };

struct bundle_out {
    struct core *core;
    struct bundle_request rq;
    struct seal_stream stream;
    uint8_t binding[BUNDLE_BINDING_BYTES];
    struct arena keep; /* memory of `known` */
    struct arena step; /* one frame */
    struct arena work; /* one commit */
    struct vv known; /* what the receiver has, as far as we know, and what is in the bundle */
    uint64_t members_known;
    bool has_greeting;
    struct bundle_count count;
};

/* Bundles for one receiver are numbered, so that it can tell an old one. */
static enum err next_serial(struct core *c, struct arena *a, uint32_t to, uint64_t *out)
{
    uint8_t key[SERIAL_KEY_BYTES] = { 'o', (uint8_t)(to >> 24), (uint8_t)(to >> 16), (uint8_t)(to >> 8), (uint8_t)to };
    uint8_t value[8];
    struct bytes kept = { 0 };
    *out = 0;
    enum err e = c->store->ops->get(c->store, SPACE_PEER, BYTES_OF(key), a, &kept);
    if (e == ERR_OK) {
        struct reader r = reader_of(kept);
        e = reader_u64be(&r, out) == ERR_OK && r.left == 0 ? ERR_OK : ERR_DAMAGED;
    }
    if (e != ERR_OK && e != ERR_NOT_FOUND) {
        return e;
    }
    (*out)++;
    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (uint8_t)(*out >> (8 * (7 - i)));
    }
    return c->store->ops->put(c->store, SPACE_PEER, BYTES_OF(key), BYTES_OF(value));
}

static uint64_t lacking(const struct core *c, const struct vv *known)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        uint64_t upto = 0;
        for (size_t k = 0; k < known->count; k++) {
            upto = known->at[k].node == h->node && known->at[k].epoch == h->epoch ? known->at[k].seq : upto;
        }
        n += h->upto > upto ? h->upto - upto : 0;
    }
    return n;
}

static enum err put_header(struct bundle_out *b, struct buf *out)
{
    struct core *c = b->core;
    const struct member_node *to = members_node(c->members, b->rq.to);
    uint8_t key[KEY_BYTES];
    struct buf wrap;
    struct bundle_header h = { .from = c->self.number, .to = b->rq.to, .epoch = c->epoch };
    enum err e = next_serial(c, &b->step, b->rq.to, &h.serial);
    if (e != ERR_OK) {
        return e;
    }
    memcpy(h.group, members_group_id(c->members), sizeof(h.group));
    h.member_number = members_head(c->members, h.member_hash);
    rng_fill(c->rng, key, sizeof(key));
    rng_fill(c->rng, h.stream, sizeof(h.stream));
    seal_stream_start(&b->stream, key, h.stream);
    buf_init(&wrap, c->mem, BUNDLE_WRAP_BYTES);
    e = seal_wrap(c->rng, to->box_key, BYTES_OF(key), &wrap);
    sodium_memzero(key, sizeof(key));
    if (e == ERR_OK) {
        memcpy(h.wrap, wrap.ptr, sizeof(h.wrap));
        size_t start = out->len;
        bundle_header_put(out, &h);
        e = out->err;
        if (e == ERR_OK) {
            uint8_t *p = out->ptr + start;
            seal_sign("jipan/bundle/v1", h.group, bytes_of(p, BUNDLE_SIGNED_BYTES), c->self.sign_secret,
                p + BUNDLE_SIGNED_BYTES);
            bundle_header_bind(bytes_of(p, BUNDLE_HEADER_BYTES), b->binding);
        }
    }
    buf_release(&wrap);
    return e;
}

static enum err load_known(struct bundle_out *b)
{
    struct said said = { .members = 0 };
    enum err e = b->rq.everything ? ERR_OK : said_get(b->core, &b->keep, b->rq.to, &said);
    b->known = said.settled;
    b->members_known = said.members;
    b->count.total = lacking(b->core, &b->known);
    return e;
}

enum err bundle_out_new(struct core *c, const struct bundle_request *rq, struct bundle_out **out, struct buf *header)
{
    const struct member_node *to = members_node(c->members, rq->to);
    if (to == NULL || to->revoked_at != 0 || rq->to == c->self.number) {
        return to == NULL ? ERR_NOT_FOUND : to->revoked_at != 0 ? ERR_REVOKED : ERR_INVALID;
    }
    struct bundle_out *b = mem_alloc(c->mem, sizeof(*b));
    if (b == NULL) {
        return ERR_NOMEM;
    }
    b->core = c;
    b->rq = *rq;
    arena_init(&b->keep, c->mem, KNOWN_ARENA_BYTES);
    arena_init(&b->step, c->mem, OUT_ARENA_BYTES);
    arena_init(&b->work, c->mem, CORE_ARENA_BYTES);
    enum err e = load_known(b);
    if (e == ERR_OK) {
        e = put_header(b, header);
    }
    if (e != ERR_OK) {
        bundle_out_free(b);
        return e;
    }
    *out = b;
    return ERR_OK;
}

static enum err next_members(struct bundle_out *b, struct wire_message *m)
{
    struct bytes *entries = NULL;
    size_t count = 0;
    enum err e = gather_members(b->core, &b->step, b->members_known + 1, &entries, &count);
    if (e == ERR_OK && count == 0) {
        return ERR_DAMAGED;
    }
    b->members_known += count;
    b->count.entries += count;
    *m = (struct wire_message){ .kind = WIRE_MEMBERS, .entries = entries, .count = count };
    return e;
}

static enum err note_release(struct bundle_out *b, uint64_t dossiers, struct now now)
{
    struct audit_entry entry = { .event = AUDIT_SYNC_RELEASE,
        .user = b->rq.user,
        .roles = b->rq.roles,
        .peer = b->rq.to,
        .count = dossiers,
        .hlc = hlc_tick(b->core->hlc, now) };
    arena_reset(&b->work);
    return audit_append(&b->core->audit, &b->work, &entry);
}

static enum err next_commits(struct bundle_out *b, struct now now, struct wire_message *m, bool *is_last)
{
    const struct gather from = { .core = b->core,
        .to = members_node(b->core->members, b->rq.to),
        .known = &b->known,
        .known_arena = &b->keep,
        .out = &b->step,
        .work = &b->work,
        .bytes_max = BUNDLE_BATCH_BYTES };
    struct gathered got;
    enum err e = gather_commits(&from, &got);
    if (e == ERR_OK && got.dossiers > 0) {
        e = note_release(b, got.dossiers, now);
    }
    uint64_t left = lacking(b->core, &b->known);
    b->count.commits += got.commits;
    b->count.dossiers += got.dossiers;
    b->count.total = left > b->count.total ? left : b->count.total;
    b->count.done = b->count.total - left;
    *is_last = got.count == 0;
    *m = (struct wire_message){ .kind = WIRE_COMMITS, .items = got.items, .count = got.count };
    return e;
}

static enum err next_message(struct bundle_out *b, struct now now, struct wire_message *m, bool *is_last)
{
    uint8_t hash[32];
    if (members_head(b->core->members, hash) > b->members_known) {
        return next_members(b, m);
    }
    if (!b->has_greeting) {
        b->has_greeting = true;
        return greeting_make(b->core, &b->step, m);
    }
    return next_commits(b, now, m, is_last);
}

/* Length and sealed bytes; an empty frame ends the bundle. */
static enum err put_frame(struct bundle_out *b, const struct wire_message *m, bool is_last, struct buf *out)
{
    struct buf plain;
    buf_init(&plain, b->core->mem, WIRE_MESSAGE_MAX_BYTES);
    if (!is_last) {
        wire_put(&plain, &b->step, m);
    }
    enum err e = plain.err;
    if (e == ERR_OK) {
        buf_put_u32be(out, (uint32_t)(plain.len + SEAL_STREAM_EXTRA_BYTES));
        seal_stream_put(&b->stream, buf_view(&plain), BYTES_OF(b->binding), is_last, out);
        e = out->err;
    }
    buf_release(&plain);
    return e;
}

enum err bundle_out_next(struct bundle_out *b, struct now now, struct buf *frame, bool *is_last)
{
    const struct member_node *to = members_node(b->core->members, b->rq.to);
    struct wire_message m = { .kind = WIRE_COMMITS };
    *is_last = false;
    if (to == NULL || to->revoked_at != 0) {
        return ERR_REVOKED;
    }
    arena_reset(&b->step);
    enum err e = next_message(b, now, &m, is_last);
    return e == ERR_OK ? put_frame(b, &m, *is_last, frame) : e;
}

struct bundle_count bundle_out_count(const struct bundle_out *b)
{
    return b->count;
}

void bundle_out_free(struct bundle_out *b)
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
