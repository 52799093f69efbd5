/*
 * Owns: the conversation by which two nodes find and mend what their settled vectors cannot show. Invariants: a total
 * is only compared while both have sent everything; what is sent because of a want is reduced to what the peer may have
 * now, like everything else; a peer's claim makes this node send or ask, never forget. The algorithm is in
 * sync/reconcile.c, what to send in sync/gather.c, what proves a hand-over in sync/proof.c.
 */
#include "sync/repair.h"

#include "schema/base/check.h"
#include "sync/causal.h"
#include "sync/core_internal.h"
#include "sync/scope.h"
#include "sync/session_internal.h"

enum repair_step { STEP_ASK, STEP_TOTAL, STEP_RUN, STEP_WANTS };

enum {
    WANTS_BYTES = 32 << 10,
    WANT_BYTES_MAX = 1 << 18,
    WANT_HELD_MAX = 1024,
    ITEMS_BYTES_MAX = 512 << 20,
    PROOF_ARENA_BYTES = 16 << 20
};

static const struct member_node *self_node(const struct sync *s)
{
    return members_node(s->core->members, s->core->self.number);
}

static const struct member_node *peer_node(const struct sync *s, const struct session *ses)
{
    const struct member_node *n = members_node(s->core->members, ses->node);
    check(n != NULL);
    return n;
}

static unsigned rank(const struct member_node *n)
{
    return n->kind != NODE_STATION && n->kind != NODE_HUB ? 0 : n->holds_group ? 2 : 1;
}

/* A relay holds no dossiers, so there is nothing to compare. */
static bool begins(const struct sync *s, const struct session *ses)
{
    const struct member_node *self = self_node(s);
    const struct member_node *peer = peer_node(s, ses);
    if (self == NULL || self->kind == NODE_RELAY || peer->kind == NODE_RELAY) {
        return false;
    }
    return rank(self) != rank(peer) ? rank(self) > rank(peer) : self->number < peer->number;
}

void repair_init(struct sync *s, struct session *ses)
{
    struct repair *r = &ses->repair;
    *r = (struct repair){ .mem = s->core->mem };
    arena_init(&r->proof_arena, s->core->mem, PROOF_ARENA_BYTES);
    r->is_due = begins(s, ses);
}

static void end_run(struct session *ses)
{
    struct repair *r = &ses->repair;
    reconcile_free(r->run);
    r->run = NULL;
    marks_items_release(&r->items);
    r->phase = REPAIR_IDLE;
}

void repair_release(struct session *ses)
{
    struct repair *r = &ses->repair;
    if (r->mem == NULL) {
        return;
    }
    end_run(ses);
    mem_free(r->mem, r->found, r->found_capacity * sizeof(*r->found));
    mem_free(r->mem, r->dots, r->dot_capacity * sizeof(*r->dots));
    arena_release(&r->proof_arena);
    *r = (struct repair){ .phase = REPAIR_IDLE };
}

void repair_due(struct sync *s, struct session *ses)
{
    if (begins(s, ses)) {
        ses->repair.is_due = true;
        ses->repair.tries = 0;
    }
}

bool repair_has_queue(const struct session *ses)
{
    const struct repair *r = &ses->repair;
    return r->dots_sent < r->dot_count || r->proofs_sent < r->proofs.count;
}

bool repair_is_busy(const struct session *ses)
{
    const struct repair *r = &ses->repair;
    return r->is_due || r->must_answer || r->phase != REPAIR_IDLE || repair_has_queue(ses);
}

static enum err send_body(struct sync *s, struct session *ses, enum repair_step step, struct bytes rest)
{
    struct buf b;
    buf_init(&b, s->core->mem, WIRE_MESSAGE_MAX_BYTES);
    buf_put_u8(&b, (uint8_t)step);
    buf_put_bytes(&b, rest);
    const struct wire_message m = { .kind = WIRE_RANGES, .ranges = buf_view(&b) };
    enum err e = b.err == ERR_OK ? sync_send(s, ses, &m) : b.err;
    buf_release(&b);
    return e;
}

/* --- totals
 * ------------------------------------------------------------------------------------------------------------------ */

static bool wants_key(void *ctx, const struct marks_key *key)
{
    return scope_is_for(ctx, key->kind, key->station, key->holder);
}

/* scope_is_for only reads; the callbacks of marks.h take a plain context. */
static void *as_context(const struct member_node *peer)
{
    return (void *)(uintptr_t)peer;
}

static enum err total(struct sync *s, struct session *ses, struct marks_total *out)
{
    return marks_total_of(&s->core->marks, s->core->store, wants_key, as_context(peer_node(s, ses)), out);
}

static enum err answer_total(struct sync *s, struct session *ses)
{
    struct marks_total sum;
    struct buf b;
    enum err e = total(s, ses, &sum);
    buf_init(&b, s->core->mem, 64);
    if (e == ERR_OK) {
        marks_total_put(&b, &sum);
        e = b.err;
    }
    if (e == ERR_OK) {
        ses->repair.must_answer = false;
        e = send_body(s, ses, STEP_TOTAL, buf_view(&b));
    }
    buf_release(&b);
    return e;
}

enum err repair_ask(struct sync *s, struct session *ses, struct now now)
{
    struct repair *r = &ses->repair;
    if (r->must_answer) {
        return answer_total(s, ses);
    }
    if (r->phase != REPAIR_IDLE) {
        return ERR_OK;
    }
    if (!r->is_due && now.mono_ms >= r->next_ms && begins(s, ses)) {
        r->is_due = true;
        r->tries = 0;
    }
    if (!r->is_due) {
        return ERR_OK;
    }
    r->next_ms = now.mono_ms + REPAIR_EVERY_MS;
    r->phase = REPAIR_ASKED;
    r->sent_at_ask = ses->sent_commits;
    return send_body(s, ses, STEP_ASK, (struct bytes){ 0 });
}

/* --- a run
 * ------------------------------------------------------------------------------------------------------------------ */

static bool wants_dossier(void *ctx, const struct dossier *d)
{
    return scope_is_for(ctx, d->kind, d->station, marks_holder(d));
}

static enum err start_run(struct sync *s, struct session *ses)
{
    struct repair *r = &ses->repair;
    r->found_count = 0;
    enum err e = marks_collect(
        s->core->store, s->core->mem, ITEMS_BYTES_MAX, wants_dossier, as_context(peer_node(s, ses)), &r->items);
    if (e == ERR_OK) {
        e = reconcile_new(s->core->mem, r->items.at, r->items.count, &r->run);
    }
    r->phase = REPAIR_RUNNING;
    return e;
}

static enum err note_difference(void *ctx, enum reconcile_kind kind, struct dossier_id id)
{
    struct session *ses = ctx;
    struct repair *r = &ses->repair;
    if (r->found_count == REPAIR_DIFFERENCES_MAX) {
        return ERR_OK;
    }
    if (!mem_room(r->mem, &r->found, &r->found_capacity, r->found_count, sizeof(*r->found))) {
        return ERR_NOMEM;
    }
    r->found[r->found_count++] = (struct difference){ .kind = kind, .id = id };
    return ERR_OK;
}

/* The sums differ: who began starts a run. */
static enum err begin_run(struct sync *s, struct session *ses)
{
    uint8_t salt[RECONCILE_SALT_BYTES];
    struct buf b;
    enum err e = start_run(s, ses);
    buf_init(&b, s->core->mem, RECONCILE_MESSAGE_MAX_BYTES);
    if (e == ERR_OK) {
        rng_fill(s->core->rng, salt, sizeof(salt));
        e = reconcile_first(ses->repair.run, salt, &b);
    }
    if (e == ERR_OK) {
        e = send_body(s, ses, STEP_RUN, buf_view(&b));
    }
    buf_release(&b);
    return e;
}

static enum err take_total(struct sync *s, struct session *ses, struct reader *r)
{
    struct repair *rep = &ses->repair;
    struct marks_total theirs;
    struct marks_total ours;
    if (rep->phase != REPAIR_ASKED) {
        return ERR_PROTOCOL;
    }
    enum err e = marks_total_take(r, &theirs);
    if (e != ERR_OK || r->left != 0) {
        return ERR_FORMAT;
    }
    rep->phase = REPAIR_IDLE;
    if (ses->sent_commits != rep->sent_at_ask) {
        return ERR_OK; /* something went out meanwhile: ask again when it has arrived */
    }
    e = total(s, ses, &ours);
    if (e != ERR_OK) {
        return e;
    }
    rep->is_due = false;
    if (marks_equal(&ours, &theirs)) {
        rep->tries = 0;
        return ERR_OK;
    }
    return rep->tries++ == REPAIR_TRIES_MAX ? ERR_OK : begin_run(s, ses);
}

/* --- wants
 * ------------------------------------------------------------------------------------------------------------------ */

struct holding {
    struct vv seen;
    struct dots dots;
};

static enum err note_beyond(void *ctx, struct dot dot)
{
    struct holding *h = ctx;
    return vv_covers(&h->seen, dot) ? ERR_OK : core_collect_dot(&h->dots, dot);
}

/* Of origins with a gap the vector says nothing; what is held of them is listed. */
static enum err open_gaps(struct sync *s, const struct dossier *d, struct holding *h)
{
    struct dots gaps = { .a = &s->work };
    enum err e = gap_dots(s->core, d->id, &gaps);
    for (size_t i = 0; e == ERR_OK && i < gaps.count; i++) {
        size_t kept = 0;
        for (size_t k = 0; k < h->seen.count; k++) {
            bool is_it = h->seen.at[k].node == gaps.at[i].node && h->seen.at[k].epoch == gaps.at[i].epoch;
            h->seen.at[kept] = h->seen.at[k];
            kept += is_it ? 0 : 1;
        }
        h->seen.count = kept;
    }
    return e == ERR_OK ? s->core->store->ops->touch_scan(s->core->store, d->id, note_beyond, h) : e;
}

/* What we have of it, so that only the rest is sent: what was seen, and what is held besides, because nothing of it
 * counts yet or something before it is missing. */
static enum err want(struct sync *s, struct session *ses, struct buf *b, const struct dossier *d)
{
    struct holding h = { .dots = { .a = &s->work } };
    struct reader r = reader_of(d->seen);
    enum err e = d->seen.len > 0 ? err_of_stored(vv_take(&r, &s->work, &h.seen)) : ERR_OK;
    if (e == ERR_OK && (d->flags & DOSSIER_HAS_GAP) != 0) {
        e = open_gaps(s, d, &h);
    }
    if (e == ERR_OK) {
        e = quarantine_dots(s->core, d->id, &h.dots);
    }
    if (e != ERR_OK) {
        return e;
    }
    size_t count = h.dots.count < WANT_HELD_MAX ? h.dots.count : WANT_HELD_MAX;
    struct buf seen;
    buf_init(&seen, s->core->mem, WANT_BYTES_MAX);
    if (h.seen.count > 0) {
        vv_put(&seen, &h.seen);
    }
    buf_put(b, d->id.b, sizeof(d->id.b));
    buf_put_blob(b, buf_view(&seen));
    buf_put_varint(b, count);
    for (size_t i = 0; i < count; i++) {
        uint8_t key[DOT_KEY_BYTES];
        dot_key(h.dots.at[i], key);
        buf_put(b, key, sizeof(key));
    }
    e = seen.err == ERR_OK ? b->err : seen.err;
    buf_release(&seen);
    if (e == ERR_OK && b->len >= WANTS_BYTES) {
        e = send_body(s, ses, STEP_WANTS, buf_view(b));
        buf_clear(b);
    }
    return e;
}

/* What one difference asks of us: to want it, or to prove to a laptop that it is somebody else's. */
static enum err settle(struct sync *s, struct session *ses, struct buf *b, const struct difference *d)
{
    const struct member_node *peer = peer_node(s, ses);
    struct dossier own = { 0 };
    if (d->kind == RECONCILE_ONLY_OURS) {
        return ERR_OK;
    }
    arena_reset(&s->work);
    enum err e = s->core->store->ops->dossier_get(s->core->store, d->id, &s->work, &own);
    if (e != ERR_OK && e != ERR_NOT_FOUND) {
        return e;
    }
    bool is_known = e == ERR_OK && own.seen.len > 0;
    if (!is_known && peer->kind == NODE_LAPTOP && self_node(s)->kind == NODE_LAPTOP) {
        return ERR_OK; /* it may be what we let go of, and the other has not heard of that: stations give customers */
    }
    if (d->kind == RECONCILE_DIFFERENT || !is_known) {
        const struct dossier nothing = { .id = d->id };
        return want(s, ses, b, is_known ? &own : &nothing);
    }
    if (peer->kind != NODE_LAPTOP || scope_is_for(peer, own.kind, own.station, marks_holder(&own))) {
        return ERR_OK;
    }
    ses->repair.proofs.a = &ses->repair.proof_arena; /* sessions move in memory */
    return proof_collect(s->core, &s->work, peer, d->id, &ses->repair.proofs);
}

static enum err finish_run(struct sync *s, struct session *ses)
{
    struct repair *r = &ses->repair;
    struct buf b;
    enum err e = ERR_OK;
    buf_init(&b, s->core->mem, WANTS_BYTES + WANT_BYTES_MAX + WANT_HELD_MAX * DOT_KEY_BYTES + 16);
    end_run(ses);
    for (size_t i = 0; e == ERR_OK && i < r->found_count; i++) {
        e = settle(s, ses, &b, &r->found[i]);
    }
    if (e == ERR_OK && b.len > 0) {
        e = send_body(s, ses, STEP_WANTS, buf_view(&b));
    }
    buf_release(&b);
    r->is_due = begins(s, ses); /* to see that it helped */
    return e;
}

static enum err take_run(struct sync *s, struct session *ses, struct bytes in)
{
    struct repair *r = &ses->repair;
    struct buf b;
    bool is_over = false;
    enum err e = ERR_OK;
    if (r->run == NULL) {
        e = begins(s, ses) ? ERR_PROTOCOL : start_run(s, ses);
    }
    buf_init(&b, s->core->mem, RECONCILE_MESSAGE_MAX_BYTES);
    if (e == ERR_OK) {
        e = reconcile_answer(r->run, in, &b, note_difference, ses, &is_over);
    }
    if (e == ERR_OK && b.len > 0) {
        e = send_body(s, ses, STEP_RUN, buf_view(&b));
    }
    buf_release(&b);
    return e == ERR_OK && is_over ? finish_run(s, ses) : e;
}

/* --- what others want
 * ------------------------------------------------------------------------------------------------------------------ */

struct wanting {
    struct sync *s;
    struct repair *r;
    struct vv seen;
    struct bytes held; /* keys of dots */
};

static bool is_held(const struct wanting *w, struct dot dot)
{
    uint8_t key[DOT_KEY_BYTES];
    dot_key(dot, key);
    for (size_t i = 0; i + sizeof(key) <= w->held.len; i += sizeof(key)) {
        if (memcmp(w->held.ptr + i, key, sizeof(key)) == 0) {
            return true;
        }
    }
    return false;
}

static enum err queue_dot(void *ctx, struct dot dot)
{
    struct wanting *w = ctx;
    struct repair *r = w->r;
    if (vv_covers(&w->seen, dot) || is_held(w, dot) || r->dot_count == REPAIR_DOTS_MAX) {
        return ERR_OK;
    }
    if (!mem_room(w->s->core->mem, &r->dots, &r->dot_capacity, r->dot_count, sizeof(*r->dots))) {
        return ERR_NOMEM;
    }
    r->dots[r->dot_count++] = dot;
    return ERR_OK;
}

static int dot_order(const void *ctx, size_t a, size_t b)
{
    const struct dot *dots = ctx;
    return dot_compare(dots[a], dots[b]);
}

/* One bulk commit is wanted by every customer in it and sent once. */
static enum err sort_queue(struct sync *s, struct repair *r)
{
    size_t n = r->dot_count - r->dots_sent;
    size_t kept = 0;
    struct arena a;
    arena_init(&a, s->core->mem, (size_t)REPAIR_DOTS_MAX * 32);
    size_t *order = arena_array(&a, n + 1, sizeof(*order));
    struct dot *copy = arena_array(&a, n + 1, sizeof(*copy));
    if (order == NULL || copy == NULL) {
        arena_release(&a);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = i;
        copy[i] = r->dots[r->dots_sent + i];
    }
    causal_sort(order, n, dot_order, copy);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || !dot_equal(r->dots[kept - 1], copy[order[i]])) {
            r->dots[kept++] = copy[order[i]];
        }
    }
    r->dot_count = kept;
    r->dots_sent = 0;
    arena_release(&a);
    return ERR_OK;
}

static enum err take_want(
    struct sync *s, struct session *ses, struct dossier_id id, struct bytes seen, struct bytes held)
{
    const struct member_node *peer = peer_node(s, ses);
    struct wanting w = { .s = s, .r = &ses->repair, .held = held };
    struct dossier d = { 0 };
    struct reader r = reader_of(seen);
    arena_reset(&s->work);
    if (seen.len > 0 && (vv_take(&r, &s->work, &w.seen) != ERR_OK || r.left != 0)) {
        return ERR_FORMAT;
    }
    enum err e = s->core->store->ops->dossier_get(s->core->store, id, &s->work, &d);
    if (e == ERR_NOT_FOUND || (e == ERR_OK && !scope_is_for(peer, d.kind, d.station, marks_holder(&d)))) {
        return ERR_OK; /* the same silence for both */
    }
    return e == ERR_OK ? s->core->store->ops->touch_scan(s->core->store, id, queue_dot, &w) : e;
}

static enum err take_wants(struct sync *s, struct session *ses, struct reader *r)
{
    enum err e = ERR_OK;
    while (e == ERR_OK && r->left > 0) {
        struct dossier_id id;
        struct bytes seen = { 0 };
        struct bytes held = { 0 };
        uint64_t count = 0;
        e = reader_copy(r, id.b, sizeof(id.b));
        if (e == ERR_OK) {
            e = reader_blob(r, WANT_BYTES_MAX, &seen);
        }
        if (e == ERR_OK) {
            e = reader_varint_max(r, WANT_HELD_MAX, &count);
        }
        if (e == ERR_OK) {
            e = reader_take(r, (size_t)count * DOT_KEY_BYTES, &held);
        }
        if (e == ERR_OK) {
            e = take_want(s, ses, id, seen, held);
        }
    }
    return e == ERR_OK ? sort_queue(s, &ses->repair) : e;
}

enum err repair_take(struct sync *s, struct session *ses, struct bytes body)
{
    struct reader r = reader_of(body);
    uint8_t step = 0;
    if (reader_u8(&r, &step) != ERR_OK) {
        return ERR_FORMAT;
    }
    switch ((enum repair_step)step) {
    case STEP_ASK:
        ses->repair.must_answer = true;
        ses->repair.may_purge = true;
        return r.left == 0 && !begins(s, ses) ? ERR_OK : ERR_PROTOCOL;
    case STEP_TOTAL:
        return take_total(s, ses, &r);
    case STEP_RUN:
        return take_run(s, ses, bytes_of(r.ptr, r.left));
    case STEP_WANTS:
        return take_wants(s, ses, &r);
    }
    return ERR_UNKNOWN_KIND;
}

/* --- sending
 * ------------------------------------------------------------------------------------------------------------------ */

static enum err send_some(struct sync *s, struct session *ses, struct now now)
{
    struct repair *r = &ses->repair;
    const struct gather from = gather_for(s, ses);
    struct gathered got = { 0 };
    size_t done = 0;
    enum err e;
    if (r->dots_sent < r->dot_count) {
        e = gather_dots(&from, r->dots + r->dots_sent, r->dot_count - r->dots_sent, &done, &got);
        r->dots_sent += done;
    } else {
        e = gather_parts(&from, r->proofs.at + r->proofs_sent, r->proofs.count - r->proofs_sent, &done, &got);
        r->proofs_sent += done;
    }
    if (e == ERR_OK && got.count > 0) {
        e = outbound_send(s, ses, &got, now);
    }
    if (!repair_has_queue(ses)) {
        r->dot_count = 0;
        r->dots_sent = 0;
        r->proofs_sent = 0;
        r->proofs = (struct proof_list){ .count = 0 };
        arena_reset(&r->proof_arena);
    }
    return e;
}

enum err repair_send(struct sync *s, struct session *ses, struct now now)
{
    enum err e = ERR_OK;
    while (e == ERR_OK && repair_has_queue(ses) && window_has_room(&ses->window) && sync_has_room(s)) {
        e = send_some(s, ses, now);
    }
    return e;
}
