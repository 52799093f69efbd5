/*
 * Owns: making, keeping and comparing receipts. Invariants: one per node is kept, the newest; nothing is settled or
 * sent because of one. Begins no transaction. Kept in SPACE_PEER under 'r' and the node.
 */
#include "sync/receipt.h"

enum { RECEIPT_KEY_BYTES = 5, RECEIPT_SIGNATURE_BYTES = 64 };

static const char label[] = "jipan/receipt/v1";

static void receipt_key(uint32_t node, uint8_t out[RECEIPT_KEY_BYTES])
{
    out[0] = 'r';
    for (size_t i = 0; i < 4; i++) {
        out[1 + i] = (uint8_t)(node >> (8 * (3 - i)));
    }
}

static enum err parse(struct bytes bytes, struct arena *a, struct receipt *out)
{
    struct reader r = reader_of(bytes);
    uint8_t version = 0;
    struct bytes signature = { 0 };
    *out = (struct receipt){ .bytes = bytes };
    if (bytes.len > RECEIPT_MAX_BYTES || reader_u8(&r, &version) != ERR_OK || version != 1 ||
        reader_u32be(&r, &out->node) != ERR_OK || reader_u32be(&r, &out->epoch) != ERR_OK ||
        reader_u64be(&r, &out->number) != ERR_OK || reader_u64be(&r, &out->hlc) != ERR_OK) {
        return ERR_FORMAT;
    }
    enum err e = vv_take(&r, a, &out->settled);
    if (e == ERR_OK) {
        e = reader_take(&r, RECEIPT_SIGNATURE_BYTES, &signature);
    }
    if (e != ERR_OK) {
        return e == ERR_NOMEM ? e : ERR_FORMAT;
    }
    return r.left == 0 ? ERR_OK : ERR_FORMAT;
}

/* The kept one; number 0: none. */
static enum err load(struct core *c, struct arena *a, uint32_t node, struct receipt *out)
{
    uint8_t key[RECEIPT_KEY_BYTES];
    struct bytes kept = { 0 };
    receipt_key(node, key);
    *out = (struct receipt){ .number = 0 };
    enum err e = c->store->ops->get(c->store, SPACE_PEER, BYTES_OF(key), a, &kept);
    if (e == ERR_OK) {
        e = parse(kept, a, out);
        e = e == ERR_FORMAT ? ERR_DAMAGED : e;
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err keep(struct core *c, uint32_t node, struct bytes bytes)
{
    uint8_t key[RECEIPT_KEY_BYTES];
    receipt_key(node, key);
    return c->store->ops->put(c->store, SPACE_PEER, BYTES_OF(key), bytes);
}

static bool same(const struct vv *x, const struct vv *y)
{
    bool is_same = x->count == y->count;
    for (size_t i = 0; is_same && i < x->count; i++) {
        is_same = dot_compare(x->at[i], y->at[i]) == 0;
    }
    return is_same;
}

static enum err settled_here(const struct core *c, struct arena *a, struct vv *out)
{
    enum err e = ERR_OK;
    *out = (struct vv){ 0 };
    for (size_t i = 0; e == ERR_OK && i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        if (h->upto > 0) {
            e = vv_raise(out, a, (struct dot){ .node = h->node, .epoch = h->epoch, .seq = h->upto });
        }
    }
    return e;
}

static enum err put(struct core *c, const struct receipt *r)
{
    struct buf b;
    buf_init(&b, c->mem, RECEIPT_MAX_BYTES);
    buf_put_u8(&b, 1);
    buf_put_u32be(&b, r->node);
    buf_put_u32be(&b, r->epoch);
    buf_put_u64be(&b, r->number);
    buf_put_u64be(&b, r->hlc);
    vv_put(&b, &r->settled);
    const struct bytes said = buf_view(&b);
    uint8_t signature[RECEIPT_SIGNATURE_BYTES];
    if (b.err == ERR_OK) {
        seal_sign(label, members_group_id(c->members), said, c->self.sign_secret, signature);
    }
    buf_put(&b, signature, sizeof(signature));
    enum err e = b.err == ERR_OK ? keep(c, r->node, buf_view(&b)) : b.err;
    buf_release(&b);
    return e;
}

enum err receipt_make(struct core *c, struct arena *a, struct now now, bool *is_new)
{
    struct receipt last;
    struct receipt next = { .node = c->self.number, .epoch = c->epoch, .hlc = hlc_tick(c->hlc, now) };
    *is_new = false;
    enum err e = load(c, a, c->self.number, &last);
    if (e == ERR_OK) {
        e = settled_here(c, a, &next.settled);
    }
    if (e != ERR_OK || (last.number > 0 && last.epoch == c->epoch && same(&last.settled, &next.settled))) {
        return e;
    }
    next.number = last.number + 1;
    *is_new = true;
    return put(c, &next);
}

enum err receipt_take(struct core *c, struct arena *a, struct bytes bytes, bool *is_new)
{
    struct receipt r;
    struct receipt kept;
    *is_new = false;
    enum err e = parse(bytes, a, &r);
    if (e != ERR_OK) {
        return e;
    }
    const struct member_node *node = members_node(c->members, r.node);
    if (node == NULL || node->revoked_at != 0 || r.node == c->self.number) {
        return ERR_OK;
    }
    const struct bytes said = bytes_of(bytes.ptr, bytes.len - RECEIPT_SIGNATURE_BYTES);
    e = seal_verify(label, members_group_id(c->members), said, bytes.ptr + said.len, node->sign_key);
    if (e == ERR_OK) {
        e = load(c, a, r.node, &kept);
    }
    if (e != ERR_OK || r.epoch < kept.epoch || (r.epoch == kept.epoch && r.number <= kept.number)) {
        return e;
    }
    *is_new = true;
    return keep(c, r.node, bytes);
}

struct walk {
    struct arena *a;
    receipt_fn fn;
    void *ctx;
};

static enum err walk_one(void *ctx, struct bytes key, struct bytes value)
{
    struct walk *w = ctx;
    struct receipt r;
    (void)key;
    arena_reset(w->a);
    enum err e = parse(value, w->a, &r);
    if (e != ERR_OK) {
        return e == ERR_NOMEM ? e : ERR_DAMAGED;
    }
    return w->fn(w->ctx, &r);
}

enum err receipt_each(struct core *c, struct arena *a, receipt_fn fn, void *ctx)
{
    struct walk w = { .a = a, .fn = fn, .ctx = ctx };
    return c->store->ops->scan(c->store, SPACE_PEER, BYTES_LIT("r"), BYTES_LIT("s"), false, walk_one, &w);
}

static uint64_t seq_in(const struct vv *v, uint32_t node, uint32_t epoch)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->at[i].node == node && v->at[i].epoch == epoch) {
            return v->at[i].seq;
        }
    }
    return 0;
}

struct receipt_gap receipt_compare(const struct core *c, const struct receipt *r)
{
    struct receipt_gap gap = { .missing = 0 };
    for (size_t i = 0; i < r->settled.count; i++) {
        struct dot d = r->settled.at[i];
        const struct head *h = core_head(c, d.node, d.epoch);
        uint64_t upto = h == NULL ? 0 : h->upto;
        gap.missing += d.seq > upto && members_accepts_dot(c->members, d) ? d.seq - upto : 0;
    }
    for (size_t i = 0; i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        uint64_t seq = h->node == c->self.number ? seq_in(&r->settled, h->node, h->epoch) : h->upto;
        gap.unconfirmed += h->upto > seq ? h->upto - seq : 0;
    }
    return gap;
}
