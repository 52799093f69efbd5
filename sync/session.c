/*
 * Owns: the table of sessions, the handshake, and the order inside a step. What is sent is in sync/outbound.c, what is
 * accepted in sync/take.c.
 * Invariants: one live session per node; the state moves only along session_rules; every write of a step is in one
 * transaction that commits before any action is handed out.
 */
#include "sync/greeting.h"
#include "sync/said.h"
#include "sync/session_internal.h"
#include "sync/take.h"

#include "schema/base/check.h"
#include "sync/leaving.h"

static const struct {
    const char *name;
    unsigned next;
} session_rules[SESSION_STATE_COUNT] = {
    [SESSION_FREE] = { "free", 1U << SESSION_HELLO },
    [SESSION_HELLO] = { "hello", 1U << SESSION_LIVE | 1U << SESSION_CLOSED },
    [SESSION_LIVE] = { "live", 1U << SESSION_CLOSED },
    [SESSION_CLOSED] = { "closed", 1U << SESSION_FREE },
};

static void session_move(struct session *s, enum session_state next)
{
    check((session_rules[s->state].next & 1U << (unsigned)next) != 0);
    s->state = next;
}

const char *session_state_name(enum session_state st)
{
    check((unsigned)st < SESSION_STATE_COUNT);
    return session_rules[st].name;
}

enum err sync_new(struct core *core, struct sync **out)
{
    struct sync *s = mem_alloc(core->mem, sizeof(*s));
    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->core = core;
    s->receipt_changes = 1;
    arena_init(&s->step, core->mem, SYNC_STEP_BYTES);
    arena_init(&s->work, core->mem, CORE_ARENA_BYTES);
    *out = s;
    return ERR_OK;
}

void sync_free(struct sync *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        arena_release(&s->sessions[i].arena);
        repair_release(&s->sessions[i]);
    }
    mem_free(s->core->mem, s->sessions, s->capacity * sizeof(*s->sessions));
    mem_free(s->core->mem, s->actions, s->action_capacity * sizeof(*s->actions));
    arena_release(&s->step);
    arena_release(&s->work);
    mem_free(s->core->mem, s, sizeof(*s));
}

enum err sync_act(struct sync *s, const struct sync_action *action)
{
    if (!mem_room(s->core->mem, &s->actions, &s->action_capacity, s->action_count, sizeof(*s->actions))) {
        return ERR_NOMEM;
    }
    s->actions[s->action_count++] = *action;
    return ERR_OK;
}

enum err sync_send(struct sync *s, struct session *to, const struct wire_message *m)
{
    struct buf b;
    struct sync_action action = { .kind = SYNC_ACT_SEND, .conn = to->conn, .node = to->node };
    buf_init(&b, s->core->mem, WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, &s->step, m);
    enum err e = b.err;
    if (e == ERR_OK) {
        e = arena_dup(&s->step, buf_view(&b), &action.message);
    }
    buf_release(&b);
    if (e == ERR_OK) {
        to->sent_bytes += action.message.len;
        e = sync_act(s, &action);
    }
    return e;
}

static struct session *find(struct sync *s, conn_id conn)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->sessions[i].state != SESSION_FREE && s->sessions[i].conn == conn) {
            return &s->sessions[i];
        }
    }
    return NULL;
}

static enum err session_slot(struct sync *s, struct session **out)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->sessions[i].state == SESSION_FREE) {
            *out = &s->sessions[i];
            return ERR_OK;
        }
    }
    if (s->count == SESSIONS_MAX) {
        return ERR_LIMIT;
    }
    if (!mem_room(s->core->mem, &s->sessions, &s->capacity, s->count, sizeof(*s->sessions))) {
        return ERR_NOMEM;
    }
    *out = &s->sessions[s->count++];
    return ERR_OK;
}

/* Ends a session from our side; the peer learns why. */
static enum err refuse(struct sync *s, struct session *ses, enum err why)
{
    /* Each side is told what it has to do: the one whose program is too old to upgrade it. */
    enum err told = why == ERR_OUTDATED ? ERR_VERSION : why == ERR_VERSION ? ERR_OUTDATED : why;
    const struct wire_message m = { .kind = WIRE_REFUSAL, .error = (uint32_t)told };
    enum err e = sync_send(s, ses, &m);
    if (e == ERR_OK) {
        e = sync_act(
            s, &(struct sync_action){ .kind = SYNC_ACT_REFUSED, .conn = ses->conn, .node = ses->node, .error = why });
    }
    if (e == ERR_OK) {
        e = sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_CLOSE, .conn = ses->conn });
    }
    if (ses->state != SESSION_CLOSED) {
        session_move(ses, SESSION_CLOSED);
    }
    return e;
}

static enum err send_hello(struct sync *s, struct session *ses)
{
    struct wire_message m;
    enum err e = greeting_make(s->core, &s->step, &m);
    if (e == ERR_OK) {
        e = own_past_said(s, ses);
    }
    return e == ERR_OK ? sync_send(s, ses, &m) : e;
}

static enum err on_open(struct sync *s, const struct sync_event *ev)
{
    const struct member_node *node = members_node_by_tls(s->core->members, ev->key);
    struct session *ses = NULL;
    enum err e = node == NULL ? ERR_UNKNOWN_PEER : node->revoked_at != 0 ? ERR_REVOKED : session_slot(s, &ses);
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e != ERR_OK) {
        return sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_CLOSE, .conn = ev->conn });
    }
    arena_release(&ses->arena);
    *ses = (struct session){ .conn = ev->conn, .is_outbound = ev->is_outbound, .node = node->number };
    arena_init(&ses->arena, s->core->mem, 4 << 20);
    window_init(&ses->window);
    ses->opened_ms = ev->now.mono_ms;
    ses->is_in_group = true;
    session_move(ses, SESSION_HELLO);
    return send_hello(s, ses);
}

/* A node that has another connection with us need not be told; a copy of it has none, and could not know why it is
 * pushed out, nor that it should not come back at once. */
static enum err replace(struct sync *s, struct session *loser)
{
    const struct wire_message m = { .kind = WIRE_REFUSAL, .error = ERR_REPLACED };
    session_move(loser, SESSION_CLOSED);
    enum err e = sync_send(s, loser, &m);
    return e == ERR_OK ? sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_CLOSE, .conn = loser->conn }) : e;
}

/* Two nodes that dialled each other keep the connection that the lower number dialled. */
static enum err drop_twin(struct sync *s, struct session *ses, bool *dropped_self)
{
    uint32_t self = s->core->self.number;
    *dropped_self = false;
    for (size_t i = 0; i < s->count; i++) {
        struct session *other = &s->sessions[i];
        if (other == ses || other->node != ses->node || other->state != SESSION_LIVE) {
            continue;
        }
        uint32_t dialer = ses->is_outbound ? self : ses->node;
        uint32_t keep = self < ses->node ? self : ses->node;
        bool same_side = other->is_outbound == ses->is_outbound;
        struct session *loser = same_side || dialer == keep ? other : ses;
        *dropped_self = loser == ses;
        return replace(s, loser);
    }
    return ERR_OK;
}

static enum err on_hello(struct sync *s, struct session *ses, const struct wire_hello *h)
{
    bool dropped_self = false;
    enum err e = ses->state != SESSION_HELLO ? ERR_PROTOCOL : sync_begin(s);
    if (e == ERR_OK) {
        e = greeting_take(s->core, &s->step, ses->node, h, &ses->arena, &ses->known);
    }
    if (e == ERR_OK) {
        e = own_past_heard(s, ses);
    }
    if (e == ERR_OK) {
        ses->members_known = h->member_number;
        e = drop_twin(s, ses, &dropped_self);
    }
    if (e == ERR_OK && !dropped_self) {
        session_move(ses, SESSION_LIVE);
        repair_init(s, ses);
    }
    return e;
}

static struct taking taking_from(struct sync *s, struct session *ses, struct now now)
{
    return (struct taking){ .core = s->core,
        .work = &s->work,
        .from = ses->node,
        .known = &ses->known,
        .known_arena = &ses->arena,
        .now = now,
        .may_jump = true };
}

static enum err on_members(struct sync *s, struct session *ses, const struct wire_message *m, struct now now)
{
    const struct taking t = taking_from(s, ses, now);
    enum err e = m->count > SESSION_ENTRIES_MAX ? ERR_LIMIT : sync_begin(s);
    if (e == ERR_OK) {
        e = take_members(&t, m->entries, m->count);
    }
    uint8_t hash[32];
    uint64_t head = members_head(s->core->members, hash);
    if (e == ERR_OK && head > ses->members_known) {
        ses->members_known = head;
    }
    if (e == ERR_OK) {
        e = core_members_heard(s->core, ses->members_known); /* now we know what it said to know */
    }
    return e == ERR_VERSION ? ERR_OUTDATED : e; /* an entry of a newer version: we cannot follow */
}

static enum err on_commits(
    struct sync *s, struct session *ses, const struct wire_message *m, struct ahead *ahead, struct now now)
{
    const struct taking t = taking_from(s, ses, now);
    ses->is_held = ses->is_held || s->is_short;
    if (ses->is_held) {
        return ERR_OK;
    }
    enum err e = m->count > SESSION_ITEMS_MAX ? ERR_LIMIT : sync_begin(s);
    s->core->ahead = ahead;
    for (size_t i = 0; i < m->count && e == ERR_OK; i++) {
        struct taken taken;
        if (ahead != NULL) {
            ahead_turn(ahead, i);
        }
        e = take_item(&t, &m->items[i], &taken);
        ses->received_commits += e == ERR_OK && taken.is_commit ? 1 : 0;
        ses->full = e == ERR_OK && taken.full != 0 ? taken.full : ses->full;
        if (e == ERR_OK && taken.early.node != 0) {
            outbound_note_early(ses, taken.early);
        }
        if (e == ERR_OK && taken.turn.node != 0) {
            e = own_past_came(ses, taken.turn);
        }
    }
    s->core->ahead = NULL;
    if (e == ERR_OK) {
        ses->acks_due++;
        e = sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_CHANGED, .conn = ses->conn, .node = ses->node });
    }
    return e;
}

static enum err on_probe_reply(struct sync *s, struct session *ses, const struct wire_message *m)
{
    struct reader r = reader_of(m->settled);
    struct vv settled;
    if (!ses->has_own_probe || m->id != ses->own_probe_id) {
        return ERR_OK;
    }
    ses->own_probe_answered = true;
    enum err e = vv_take(&r, &s->step, &settled);
    if (e == ERR_OK) {
        e = sync_begin(s);
    }
    return e == ERR_OK ? said_put(s->core, &s->step, ses->node, ses->members_known, m->settled) : e;
}

static enum err on_forks(struct sync *s, struct session *ses, const struct wire_message *m, struct now now)
{
    struct wire_message reply;
    bool has_reply = false;
    enum err e = sync_begin(s);
    if (e == ERR_OK) {
        e = fork_talk_hear(s->core, &ses->forks, &ses->arena, &s->work, &s->step, now, m, &reply, &has_reply);
    }
    return e == ERR_OK && has_reply ? sync_send(s, ses, &reply) : e;
}

static bool has_another(const struct sync *s, const struct session *ses)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct session *other = &s->sessions[i];
        bool is_open = other->state == SESSION_HELLO || other->state == SESSION_LIVE;
        if (other != ses && other->node == ses->node && is_open) {
            return true;
        }
    }
    return false;
}

static enum err on_refusal(struct sync *s, struct session *ses, uint32_t error)
{
    enum err why = error < ERR_COUNT ? (enum err)error : ERR_PROTOCOL;
    const struct sync_action told = {
        .kind = SYNC_ACT_REFUSED, .conn = ses->conn, .node = ses->node, .error = why, .by_peer = true
    };
    session_move(ses, SESSION_CLOSED);
    /* Replaced by a connection of our own is no news. */
    enum err e = why == ERR_REPLACED && has_another(s, ses) ? ERR_OK : sync_act(s, &told);
    return e == ERR_OK ? sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_CLOSE, .conn = ses->conn }) : e;
}

static enum err on_body(
    struct sync *s, struct session *ses, const struct wire_message *m, struct ahead *ahead, struct now now)
{
    if (m->kind == WIRE_HELLO) {
        return on_hello(s, ses, &m->hello);
    }
    if (m->kind == WIRE_REFUSAL) {
        return on_refusal(s, ses, m->error);
    }
    if (ses->state != SESSION_LIVE) {
        return ERR_PROTOCOL;
    }
    switch (m->kind) {
    case WIRE_MEMBERS:
        return on_members(s, ses, m, now);
    case WIRE_COMMITS:
        return on_commits(s, ses, m, ahead, now);
    case WIRE_ACK:
        return window_acked(&ses->window, m->messages, now.mono_ms) ? ERR_OK : ERR_PROTOCOL;
    case WIRE_PROBE:
        ses->has_probe = true;
        ses->probe_id = m->id;
        return ERR_OK;
    case WIRE_PROBE_REPLY:
        return on_probe_reply(s, ses, m);
    case WIRE_RANGES:
        return repair_take(s, ses, m->ranges);
    case WIRE_RECEIPTS:
        return receipt_arrived(s, ses, m);
    case WIRE_FORKS:
        return on_forks(s, ses, m, now);
    case WIRE_HELLO:
    case WIRE_REFUSAL:
    case WIRE_JOIN_REQUEST:
    case WIRE_JOIN_REPLY:
    case WIRE_KIND_COUNT:
        break;
    }
    return ERR_PROTOCOL;
}

/* The peer's fault, or what it asks of us is too much: the session ends, the step does not fail. */
static bool ends_session(enum err e)
{
    return err_class(e) == ERR_CLASS_PEER || e == ERR_GAP || e == ERR_LIMIT || e == ERR_CONFLICT || e == ERR_INVALID;
}

static enum err on_message(struct sync *s, const struct sync_event *ev)
{
    struct session *ses = find(s, ev->conn);
    struct wire_message m;
    if (ses == NULL || ses->state == SESSION_CLOSED) {
        return ERR_OK;
    }
    ses->is_in_group = true;
    ses->received_bytes += ev->ahead != NULL ? ev->ahead->message_bytes : ev->message.len;
    enum err e = ev->ahead != NULL ? ERR_OK : wire_take(ev->message, &s->step, &m);
    if (e == ERR_OK) {
        e = on_body(s, ses, ev->ahead != NULL ? &ev->ahead->message : &m, ev->ahead, ev->now);
    } else if (e == ERR_UNKNOWN_KIND && ses->state == SESSION_LIVE && wire_is_ignorable(ev->message)) {
        return ERR_OK;
    }
    return ends_session(e) ? refuse(s, ses, e) : e;
}

enum err sync_ahead(struct sync *s, conn_id conn, struct bytes message, struct ahead *out)
{
    const struct session *ses = find(s, conn);
    bool takes = ses != NULL && ses->state == SESSION_LIVE && !ses->is_held && !s->is_short && !s->core->is_stale;
    return takes ? ahead_plan(out, s->core, &s->turns, message) : ERR_NOT_FOUND;
}

static enum err ask_all(struct sync *s, uint64_t id)
{
    const struct wire_message m = { .kind = WIRE_PROBE, .id = id };
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->count; i++) {
        struct session *ses = &s->sessions[i];
        if (ses->state == SESSION_LIVE) {
            ses->has_own_probe = true;
            ses->own_probe_answered = false;
            ses->own_probe_id = id;
            e = sync_send(s, ses, &m);
        }
    }
    return e;
}

/* A membership change may have ended somebody's right to be here. */
static enum err drop_revoked(struct sync *s)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->count; i++) {
        struct session *ses = &s->sessions[i];
        const struct member_node *node = ses->state == SESSION_HELLO || ses->state == SESSION_LIVE
                                             ? members_node(s->core->members, ses->node)
                                             : NULL;
        if (node != NULL && node->revoked_at != 0) {
            e = refuse(s, ses, ERR_REVOKED);
        }
    }
    return e;
}

static enum err handle(struct sync *s, const struct sync_event *ev)
{
    struct session *ses = NULL;
    switch (ev->kind) {
    case SYNC_EV_OPEN:
        return on_open(s, ev);
    case SYNC_EV_MESSAGE:
        return on_message(s, ev);
    case SYNC_EV_CLOSED:
        ses = find(s, ev->conn);
        if (ses != NULL) {
            if (ses->state != SESSION_CLOSED) {
                session_move(ses, SESSION_CLOSED);
            }
            repair_release(ses);
            session_move(ses, SESSION_FREE);
            s->turns = (struct ahead_turns){ 0 };
        }
        return ERR_OK;
    case SYNC_EV_PROBE:
        return ask_all(s, ev->probe_id);
    case SYNC_EV_LOCAL:
    case SYNC_EV_DRAIN:
    case SYNC_EV_FLUSH:
        break;
    }
    return ERR_OK;
}

enum err sync_begin(struct sync *s)
{
    if (s->in_transaction) {
        return ERR_OK;
    }
    enum err e = s->core->store->ops->begin(s->core->store);
    s->in_transaction = e == ERR_OK;
    return e;
}

/* Nothing of this step is left, neither stored nor in memory nor to be sent. */
static enum err take_back(struct sync *s)
{
    if (s->in_transaction) {
        s->core->store->ops->rollback(s->core->store);
    }
    s->in_transaction = false;
    s->action_count = 0;
    s->turns = (struct ahead_turns){ 0 };
    arena_reset(&s->step);
    arena_reset(&s->work);
    return core_reload(s->core, &s->work);
}

/* Sessions of the group that was taken back believe in what is gone; they start anew. What was to be closed still is.
 */
static enum err close_group(struct sync *s, const struct session *but)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->count; i++) {
        struct session *ses = &s->sessions[i];
        if (ses == but || ses->state == SESSION_FREE || (!ses->is_in_group && ses->state != SESSION_CLOSED)) {
            continue;
        }
        if (ses->state != SESSION_CLOSED) {
            session_move(ses, SESSION_CLOSED);
        }
        e = sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_CLOSE, .conn = ses->conn });
    }
    return e;
}

/* A message that needs more memory than there is takes down its session, and those whose words were in the same
 * transaction. */
static enum err refuse_greedy(struct sync *s, conn_id conn)
{
    enum err e = take_back(s);
    struct session *ses = find(s, conn);
    check(ses != NULL);
    if (e == ERR_OK) {
        e = close_group(s, ses);
    }
    return e == ERR_OK ? refuse(s, ses, ERR_NOMEM) : e;
}

/* Customers changed hands, or somebody's scope changed: what the sessions concerned hold is compared anew. Not by a
 * laptop: what it lets go of and is given again by another laptop that has not heard of it would look like a move each
 * time, without end. */
static void follow_moves(struct sync *s)
{
    struct core_moves *m = &s->core->moves;
    const struct member_node *self = members_node(s->core->members, s->core->self.number);
    bool any = (m->count > 0 || m->is_more) && self != NULL && self->kind != NODE_LAPTOP;
    for (size_t i = 0; any && i < s->count; i++) {
        struct session *ses = &s->sessions[i];
        const struct member_node *peer = ses->state == SESSION_LIVE ? members_node(s->core->members, ses->node) : NULL;
        bool is_concerned = peer != NULL && m->is_more;
        for (size_t k = 0; peer != NULL && peer->kind == NODE_LAPTOP && k < m->count; k++) {
            is_concerned = is_concerned || m->holder[k] == peer->owner;
        }
        if (is_concerned) {
            repair_due(s, ses);
        }
    }
    *m = (struct core_moves){ .count = 0 };
}

/* Nothing left to send is not enough: of an origin held in part we cannot send what comes after. */
static bool has_all_of_ours(const struct sync *s, const struct session *ses)
{
    for (size_t i = 0; i < s->core->heads.count; i++) {
        const struct head *h = &s->core->heads.at[i];
        const struct dot last = { .node = h->node, .epoch = h->epoch, .seq = h->upto };
        if (h->node == s->core->self.number && h->upto > 0 && !vv_covers(&ses->known, last)) {
            return false;
        }
    }
    return true;
}

/* A peer has everything that was written here: what may not stay can go. */
static enum err let_leave(struct sync *s)
{
    bool left = false;
    size_t gone = 0;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && s->core->leaving > 0 && i < s->count; i++) {
        const struct session *ses = &s->sessions[i];
        const struct member_node *peer = ses->state == SESSION_LIVE && ses->has_sent_all && has_all_of_ours(s, ses)
                                             ? members_node(s->core->members, ses->node)
                                             : NULL;
        if (peer == NULL || (peer->kind != NODE_STATION && peer->kind != NODE_HUB)) {
            continue;
        }
        e = sync_begin(s);
        if (e == ERR_OK) {
            e = leaving_run(s->core, peer, &gone, &left);
        }
        if (e == ERR_OK && gone > 0) {
            e = sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_FORGOT });
        }
    }
    return e == ERR_OK && left ? sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_AGAIN }) : e;
}

/* What was left out has room again: the next session brings it. */
static enum err resume_full(struct sync *s)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->count; i++) {
        struct session *ses = &s->sessions[i];
        if (ses->state == SESSION_LIVE && ses->full != 0 && core_unread_has_room(s->core, ses->full)) {
            session_move(ses, SESSION_CLOSED);
            e = sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_CLOSE, .conn = ses->conn });
        }
    }
    return e;
}

/* A station has sent all it has for this laptop. */
static enum err purge(struct sync *s)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->count; i++) {
        struct session *ses = &s->sessions[i];
        const struct member_node *peer = members_node(s->core->members, ses->node);
        bool left = false;
        size_t gone = 0;
        bool is_kept_there = peer != NULL && (peer->kind == NODE_STATION || peer->kind == NODE_HUB);
        if (ses->state != SESSION_LIVE || !ses->repair.may_purge || !is_kept_there || s->core->pending == 0) {
            continue;
        }
        e = sync_begin(s);
        if (e == ERR_OK) {
            e = leaving_purge(s->core, &gone, &left);
        }
        ses->repair.may_purge = left;
        if (e == ERR_OK && gone > 0) {
            e = sync_act(s, &(struct sync_action){ .kind = SYNC_ACT_FORGOT });
        }
    }
    return e;
}

static void group_start(struct sync *s)
{
    s->action_count = 0;
    s->in_transaction = false;
    arena_reset(&s->step);
    for (size_t i = 0; i < s->count; i++) {
        s->sessions[i].is_in_group = false;
    }
}

/* Sends what may be sent now and makes everything durable. */
static enum err group_end(struct sync *s, struct now now)
{
    enum err e = drop_revoked(s);
    follow_moves(s);
    if (e == ERR_OK) {
        e = receipt_refresh(s, now);
    }
    for (size_t i = 0; e == ERR_OK && i < s->count; i++) {
        e = outbound_pump(s, &s->sessions[i], now);
    }
    if (e == ERR_OK) {
        e = let_leave(s);
    }
    if (e == ERR_OK) {
        e = purge(s);
    }
    if (e == ERR_OK) {
        e = resume_full(s);
    }
    if (e == ERR_OK && s->in_transaction) {
        e = s->core->store->ops->commit(s->core->store, true);
        s->in_transaction = e != ERR_OK;
    }
    return e;
}

enum err sync_step(struct sync *s, const struct sync_event *ev, struct sync_actions *out)
{
    check(!s->is_stepping);
    s->is_stepping = true;
    if (!s->is_group_open) {
        group_start(s);
    }
    enum err e = core_refresh(s->core, &s->work);
    if (e == ERR_OK) {
        e = handle(s, ev);
    }
    if (e == ERR_NOMEM && ev->kind == SYNC_EV_MESSAGE && !s->core->is_stale) {
        e = refuse_greedy(s, ev->conn);
    }
    s->is_group_open = e == ERR_OK && ev->more;
    if (e == ERR_OK && !ev->more) {
        e = group_end(s, ev->now);
    }
    if (e != ERR_OK) {
        enum err again = take_back(s);
        e = again != ERR_OK ? again : e;
    }
    s->is_stepping = false;
    *out = (struct sync_actions){ .at = s->actions, .count = s->is_group_open ? 0 : s->action_count };
    return e;
}

bool sync_is_open(const struct sync *s)
{
    return s->is_group_open;
}

void sync_set_short(struct sync *s, bool is_short)
{
    s->is_short = is_short;
}

size_t sync_session_count(const struct sync *s)
{
    return s->count;
}

struct session_info sync_session_at(const struct sync *s, size_t index)
{
    check(index < s->count);
    const struct session *ses = &s->sessions[index];
    return (struct session_info){ .conn = ses->conn,
        .node = ses->node,
        .is_outbound = ses->is_outbound,
        .state = ses->state,
        .sent_commits = ses->sent_commits,
        .received_commits = ses->received_commits,
        .sent_bytes = ses->sent_bytes,
        .received_bytes = ses->received_bytes,
        .is_caught_up = ses->is_caught_up,
        .is_held = ses->is_held,
        .opened_ms = ses->opened_ms };
}
