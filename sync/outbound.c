/*
 * Owns: what goes out to a peer. Invariants: a part leaves only if the peer's node is entitled to it now; a commit is
 * sent only when it is held whole, so a partial holder can never make another node believe it has
 * everything; at most SESSION_WINDOW_MESSAGES Commits messages are unacknowledged; every release is in the audit log
 * before it leaves.
 */
#include "sync/session_internal.h"

#include "schema/base/check.h"

enum { ITEMS_MAX = 2048 };

struct gathering {
    struct sync *s;
    struct session *ses;
    const struct member_node *peer;
    bool takes_all; /* the peer's scope is the whole group */
    struct wire_item *items;
    size_t count;
    size_t bytes;
    uint64_t expected_seq;
    struct dot last; /* last dot settled by this batch for the origin */
    uint64_t dossiers;
    bool is_full;
};

static bool is_book(enum dossier_kind kind)
{
    return kind == DOSSIER_STATION_BOOK || kind == DOSSIER_GROUP_BOOK;
}

/* May this node hold that dossier now? */
static bool entitled(struct gathering *ga, const struct group_item *g, struct dossier_id id)
{
    struct dossier d = { 0 };
    if (g->kind == DOSSIER_GROUP_BOOK) {
        return true;
    }
    if (!members_node_in_scope(ga->peer, g->station)) {
        return false;
    }
    if (ga->peer->kind != NODE_LAPTOP || is_book(g->kind)) {
        return true;
    }
    if (ga->s->core->store->ops->dossier_get(ga->s->core->store, id, &ga->s->work, &d) != ERR_OK) {
        return false;
    }
    return (d.owner != 0 ? d.owner : d.creator) == ga->peer->owner;
}

static bool keep(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    return part != NULL || entitled(ctx, g, dossier);
}

static bool is_whole(const struct commit_view *v)
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

static uint64_t present_groups(const struct commit_view *v)
{
    struct body_cursor cursor = commit_groups(v);
    struct group_item g;
    uint64_t n = 0;
    while (commit_next_group(&cursor, &g) == ERR_OK) {
        n += g.is_withheld ? 0 : 1;
    }
    return n;
}

static enum err add_commit(struct gathering *ga, const struct commit_view *v)
{
    struct buf secrets;
    struct wire_item *item = &ga->items[ga->count];
    *item = (struct wire_item){ .node = 0 };
    buf_init(&secrets, ga->s->core->mem, (size_t)COMMIT_GROUPS_MAX * SECRET_BYTES);
    enum err e = core_secrets_of(ga->s->core, &ga->s->work, v, &secrets);
    if (e == ERR_OK) {
        e = arena_dup(&ga->s->step, v->all, &item->commit);
    }
    if (e == ERR_OK) {
        e = arena_dup(&ga->s->step, buf_view(&secrets), &item->secrets);
    }
    buf_release(&secrets);
    if (e == ERR_OK) {
        ga->count++;
        ga->bytes += item->commit.len + item->secrets.len + 16;
        ga->dossiers += present_groups(v);
        ga->ses->sent_commits++;
    }
    return e;
}

/* Nothing of it is for the peer: stretches the last withheld mark or starts one. */
static void add_withheld(struct gathering *ga, struct dot dot)
{
    struct wire_item *last = ga->count == 0 ? NULL : &ga->items[ga->count - 1];
    if (last != NULL && last->commit.len == 0 && last->node == dot.node && last->epoch == dot.epoch) {
        last->upto = dot.seq;
        return;
    }
    ga->items[ga->count++] = (struct wire_item){ .node = dot.node, .epoch = dot.epoch, .upto = dot.seq };
    ga->bytes += 24;
}

static enum err add_reduced(struct gathering *ga, const struct commit_view *v)
{
    struct buf reduced;
    struct commit_view small;
    bool any = false;
    buf_init(&reduced, ga->s->core->mem, COMMIT_MAX_BYTES);
    enum err e = seal_reduce(v, &ga->s->work, keep, ga, &reduced, &any);
    if (e == ERR_OK && any) {
        e = commit_parse(buf_view(&reduced), &small);
        if (e == ERR_OK) {
            e = add_commit(ga, &small);
        }
    } else if (e == ERR_OK) {
        add_withheld(ga, v->header.dot);
    }
    buf_release(&reduced);
    return e;
}

/* What lies beyond the cut of a revoked node counts nowhere, so it is not spread. */
static enum err add_any(struct gathering *ga, const struct commit_view *v)
{
    if (!members_accepts_dot(ga->s->core->members, v->header.dot)) {
        add_withheld(ga, v->header.dot);
        return ERR_OK;
    }
    return ga->takes_all || v->header.dot.node == ga->peer->number ? add_commit(ga, v) : add_reduced(ga, v);
}

/* ERR_BUSY ends the scan: the batch is full, or the rest of this origin is not ours to give. */
static enum err gather_commit(void *ctx, struct bytes key, struct bytes value)
{
    struct gathering *ga = ctx;
    struct dot dot = { 0 };
    struct commit_view v;
    enum err e = dot_from_key(key, &dot);
    if (e == ERR_OK) {
        e = commit_parse(value, &v);
    }
    if (e != ERR_OK) {
        return ERR_DAMAGED;
    }
    ga->is_full = ga->bytes > 0 && (ga->bytes + value.len > SESSION_BATCH_BYTES || ga->count + 1 >= ITEMS_MAX);
    if (ga->is_full || dot.seq != ga->expected_seq || !is_whole(&v)) {
        return ERR_BUSY;
    }
    arena_reset(&ga->s->work);
    e = add_any(ga, &v);
    if (e == ERR_OK) {
        ga->last = dot;
        ga->expected_seq = dot.seq + 1;
    }
    return e;
}

static uint64_t known_upto(const struct session *ses, uint32_t node, uint32_t epoch)
{
    for (size_t i = 0; i < ses->known.count; i++) {
        if (ses->known.at[i].node == node && ses->known.at[i].epoch == epoch) {
            return ses->known.at[i].seq;
        }
    }
    return 0;
}

static enum err gather_origin(struct gathering *ga, const struct head *h)
{
    struct core *c = ga->s->core;
    uint8_t from[DOT_KEY_BYTES];
    uint8_t to[DOT_KEY_BYTES];
    uint64_t known = known_upto(ga->ses, h->node, h->epoch);
    if (h->upto <= known) {
        return ERR_OK;
    }
    ga->expected_seq = known + 1;
    ga->last = (struct dot){ 0 };
    dot_key((struct dot){ .node = h->node, .epoch = h->epoch, .seq = known + 1 }, from);
    dot_key((struct dot){ .node = h->node, .epoch = h->epoch, .seq = h->upto + 1 }, to);
    enum err e = c->store->ops->scan(c->store, SPACE_LOG, BYTES_OF(from), BYTES_OF(to), false, gather_commit, ga);
    e = e == ERR_BUSY ? ERR_OK : e;
    if (e == ERR_OK && ga->last.seq != 0) {
        e = vv_raise(&ga->ses->known, &ga->ses->arena, ga->last);
    }
    return e;
}

static enum err note_release(struct sync *s, const struct gathering *ga, struct now now)
{
    struct audit_entry entry = {
        .event = AUDIT_SYNC_RELEASE, .peer = ga->ses->node, .count = ga->dossiers, .hlc = hlc_tick(s->core->hlc, now)
    };
    enum err e = sync_begin(s);
    arena_reset(&s->work);
    return e == ERR_OK ? audit_append(&s->core->audit, &s->work, &entry) : e;
}

/* One Commits message from wherever the peer lacks something; *sent tells whether there was anything. */
static enum err send_batch(struct sync *s, struct session *ses, struct now now, bool *sent)
{
    struct gathering ga = { .s = s, .ses = ses, .peer = members_node(s->core->members, ses->node) };
    check(ga.peer != NULL);
    ga.takes_all = ga.peer->holds_group && ga.peer->kind != NODE_LAPTOP && ga.peer->kind != NODE_RELAY;
    ga.items = arena_array(&s->step, ITEMS_MAX, sizeof(*ga.items));
    enum err e = ga.items == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->core->heads.count && !ga.is_full; i++) {
        e = gather_origin(&ga, &s->core->heads.at[i]);
    }
    *sent = ga.count > 0;
    if (e == ERR_OK && ga.dossiers > 0) {
        e = note_release(s, &ga, now);
    }
    if (e == ERR_OK && ga.count > 0) {
        const struct wire_message m = { .kind = WIRE_COMMITS, .items = ga.items, .count = ga.count };
        ses->in_flight++;
        e = sync_send(s, ses, &m);
    }
    return e;
}

struct entries {
    struct sync *s;
    struct bytes *at;
    size_t count;
    size_t bytes;
};

enum { ENTRIES_PER_MESSAGE = 256, ENTRIES_BYTES = 512 << 10 };

static enum err gather_entry(void *ctx, struct bytes key, struct bytes value)
{
    struct entries *en = ctx;
    (void)key;
    if (en->count == ENTRIES_PER_MESSAGE || (en->count > 0 && en->bytes + value.len > ENTRIES_BYTES)) {
        return ERR_BUSY;
    }
    enum err e = arena_dup(&en->s->step, value, &en->at[en->count]);
    if (e == ERR_OK) {
        en->count++;
        en->bytes += value.len;
    }
    return e;
}

static enum err send_members(struct sync *s, struct session *ses)
{
    uint8_t hash[32];
    enum err e = ERR_OK;
    while (e == ERR_OK && members_head(s->core->members, hash) > ses->members_known) {
        uint8_t from[8];
        uint64_t first = ses->members_known + 1;
        struct entries en = { .s = s, .at = arena_array(&s->step, ENTRIES_PER_MESSAGE, sizeof(struct bytes)) };
        for (size_t i = 0; i < sizeof(from); i++) {
            from[i] = (uint8_t)(first >> (8 * (7 - i)));
        }
        e = en.at == NULL ? ERR_NOMEM
                          : s->core->store->ops->scan(s->core->store, SPACE_MEMBER, BYTES_OF(from), (struct bytes){ 0 },
                                false, gather_entry, &en);
        e = e == ERR_BUSY ? ERR_OK : e;
        if (e == ERR_OK && en.count == 0) {
            return ERR_DAMAGED;
        }
        if (e == ERR_OK) {
            const struct wire_message m = { .kind = WIRE_MEMBERS, .entries = en.at, .count = en.count };
            ses->members_known += en.count;
            e = sync_send(s, ses, &m);
        }
    }
    return e;
}

static enum err answer_probes(struct sync *s, struct session *ses)
{
    enum err e = ERR_OK;
    if (ses->has_probe && ses->is_caught_up) {
        struct wire_message m = { .kind = WIRE_PROBE_REPLY, .id = ses->probe_id };
        ses->has_probe = false;
        e = sync_settled(s, &m.settled);
        if (e == ERR_OK) {
            e = sync_send(s, ses, &m);
        }
    }
    if (e == ERR_OK && ses->has_own_probe && ses->own_probe_answered && ses->is_caught_up) {
        ses->has_own_probe = false;
        e = sync_act(
            s, &(struct sync_action){
                   .kind = SYNC_ACT_PROBED, .conn = ses->conn, .node = ses->node, .probe_id = ses->own_probe_id });
    }
    return e;
}

enum err outbound_pump(struct sync *s, struct session *ses, struct now now)
{
    enum err e = ERR_OK;
    bool sent = true;
    if (ses->state != SESSION_LIVE) {
        return ERR_OK;
    }
    if (ses->acks_due > 0) {
        const struct wire_message ack = { .kind = WIRE_ACK, .messages = ses->acks_due };
        ses->acks_due = 0;
        e = sync_send(s, ses, &ack);
    }
    if (e == ERR_OK) {
        e = send_members(s, ses);
    }
    /* What does not fit into this step goes out with the next one: somebody's ack is then under way. */
    while (
        e == ERR_OK && sent && ses->in_flight < SESSION_WINDOW_MESSAGES && s->step.used_bytes < SYNC_STEP_BYTES / 2) {
        e = send_batch(s, ses, now, &sent);
    }
    ses->is_caught_up = !sent && ses->in_flight == 0;
    return e == ERR_OK ? answer_probes(s, ses) : e;
}
