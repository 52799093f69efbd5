/*
 * Owns: when receipts are made, and on which lines they go: those with a relay at one end. Between nodes that serve,
 * the settled vectors of sessions say the same at once. Invariants: a receipt goes over a line once; a line on which
 * nothing else happens carries at most RECEIPT_LINE_BYTES a minute of them after the first.
 */
#include "sync/receipt.h"
#include "sync/session_internal.h"

enum { RECEIPT_EVERY_MS = 10000, RECEIPT_LINE_BYTES = 1024, MINUTE_MS = 60000, RECEIPT_PAUSE_MAX_MS = 600000 };

struct receipt_mark {
    uint32_t node, epoch;
    uint64_t number;
};

static bool has_relay(const struct sync *s, const struct session *ses)
{
    const struct member_node *self = members_node(s->core->members, s->core->self.number);
    const struct member_node *peer = members_node(s->core->members, ses->node);
    return self != NULL && peer != NULL && (self->kind == NODE_RELAY || peer->kind == NODE_RELAY);
}

enum err receipt_refresh(struct sync *s, struct now now)
{
    bool is_wanted = false;
    bool is_new = false;
    for (size_t i = 0; i < s->count && !is_wanted; i++) {
        is_wanted = s->sessions[i].state == SESSION_LIVE && has_relay(s, &s->sessions[i]);
    }
    if (!is_wanted || now.mono_ms < s->receipt_due_ms) {
        return ERR_OK;
    }
    arena_reset(&s->work);
    enum err e = sync_begin(s);
    if (e == ERR_OK) {
        e = receipt_make(s->core, &s->work, now, &is_new);
    }
    s->receipt_due_ms = now.mono_ms + RECEIPT_EVERY_MS;
    s->receipt_changes += is_new ? 1 : 0;
    return e;
}

/* Where the newest that went over this line is remembered; NULL: no memory. */
static struct receipt_mark *mark_of(struct session *ses, uint32_t node)
{
    for (size_t i = 0; i < ses->receipt_count; i++) {
        if (ses->receipts[i].node == node) {
            return &ses->receipts[i];
        }
    }
    if (ses->receipt_count == ses->receipt_capacity) {
        size_t capacity = ses->receipt_capacity == 0 ? 16 : ses->receipt_capacity * 2;
        struct receipt_mark *grown = arena_array(&ses->arena, capacity, sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        if (ses->receipt_count > 0) {
            memcpy(grown, ses->receipts, ses->receipt_count * sizeof(*grown));
        }
        ses->receipts = grown;
        ses->receipt_capacity = capacity;
    }
    ses->receipts[ses->receipt_count] = (struct receipt_mark){ .node = node };
    return &ses->receipts[ses->receipt_count++];
}

static bool mark_raise(struct receipt_mark *m, uint32_t epoch, uint64_t number)
{
    if (epoch < m->epoch || (epoch == m->epoch && number <= m->number)) {
        return false;
    }
    m->epoch = epoch;
    m->number = number;
    return true;
}

struct sending {
    struct sync *s;
    struct session *ses;
    struct bytes *at;
    size_t count;
    size_t bytes;
    bool is_full;
};

static enum err add(void *ctx, const struct receipt *r)
{
    struct sending *out = ctx;
    struct receipt_mark *m = r->node == out->ses->node ? NULL : mark_of(out->ses, r->node);
    if (r->node == out->ses->node) {
        return ERR_OK;
    }
    if (m == NULL) {
        return ERR_NOMEM;
    }
    out->is_full = out->count == RECEIPTS_PER_MESSAGE || (out->count > 0 && out->bytes + r->bytes.len > RECEIPTS_BYTES);
    if (out->is_full) {
        return ERR_BUSY;
    }
    if (!mark_raise(m, r->epoch, r->number)) {
        return ERR_OK;
    }
    enum err e = arena_dup(&out->s->step, r->bytes, &out->at[out->count]);
    out->count++;
    out->bytes += r->bytes.len;
    return e;
}

enum err receipt_pump(struct sync *s, struct session *ses, struct now now)
{
    struct sending out = { .s = s, .ses = ses };
    if (ses->receipts_seen == s->receipt_changes || now.mono_ms < ses->receipts_due_ms || !has_relay(s, ses)) {
        return ERR_OK;
    }
    out.at = arena_array(&s->step, RECEIPTS_PER_MESSAGE, sizeof(*out.at));
    enum err e = out.at == NULL ? ERR_NOMEM : receipt_each(s->core, &s->work, add, &out);
    e = e == ERR_BUSY ? ERR_OK : e;
    if (e != ERR_OK) {
        return e;
    }
    ses->receipts_seen = out.is_full ? 0 : s->receipt_changes;
    if (out.count == 0) {
        return ERR_OK;
    }
    uint64_t pause = out.bytes * MINUTE_MS / RECEIPT_LINE_BYTES;
    ses->receipts_due_ms = now.mono_ms + (out.is_full                       ? 0
                                             : pause < RECEIPT_EVERY_MS     ? RECEIPT_EVERY_MS
                                             : pause > RECEIPT_PAUSE_MAX_MS ? RECEIPT_PAUSE_MAX_MS
                                                                            : pause);
    const struct wire_message m = { .kind = WIRE_RECEIPTS, .entries = out.at, .count = out.count };
    return sync_send(s, ses, &m);
}

enum err receipt_arrived(struct sync *s, struct session *ses, const struct wire_message *m)
{
    enum err e = m->count > RECEIPTS_PER_MESSAGE ? ERR_LIMIT : has_relay(s, ses) ? sync_begin(s) : ERR_PROTOCOL;
    for (size_t i = 0; e == ERR_OK && i < m->count; i++) {
        bool is_new = false;
        arena_reset(&s->work);
        e = receipt_take(s->core, &s->work, m->entries[i], &is_new);
        s->receipt_changes += is_new ? 1 : 0;
    }
    return e;
}
