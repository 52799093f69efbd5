/*
 * Owns: the pump of a session: acks, membership entries, commits within the window, probes. What a peer may have is
 * chosen in sync/gather.c. Invariants: never more is unacknowledged than the window allows; every release is in the
 * audit log before it leaves. A session is caught up when all is sent and acknowledged, and the two have compared what
 * they hold.
 */
#include "sync/gather.h"
#include "sync/greeting.h"
#include "sync/session_internal.h"

#include "schema/base/check.h"

static enum err note_release(struct sync *s, const struct session *ses, uint64_t dossiers, struct now now)
{
    struct audit_entry entry = {
        .event = AUDIT_SYNC_RELEASE, .peer = ses->node, .count = dossiers, .hlc = hlc_tick(s->core->hlc, now)
    };
    enum err e = sync_begin(s);
    arena_reset(&s->work);
    return e == ERR_OK ? audit_append(&s->core->audit, &s->work, &entry) : e;
}

struct gather gather_for(struct sync *s, struct session *ses)
{
    const struct gather from = { .core = s->core,
        .to = members_node(s->core->members, ses->node),
        .known = &ses->known,
        .known_arena = &ses->arena,
        .out = &s->step,
        .work = &s->work,
        .bytes_max = SESSION_BATCH_BYTES };
    check(from.to != NULL);
    return from;
}

enum err outbound_send(struct sync *s, struct session *ses, const struct gathered *got, struct now now)
{
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = got->items, .count = got->count };
    uint64_t before = ses->sent_bytes;
    ses->sent_commits += got->commits;
    enum err e = got->dossiers > 0 ? note_release(s, ses, got->dossiers, now) : ERR_OK;
    if (e == ERR_OK) {
        e = sync_send(s, ses, &m);
        window_sent(&ses->window, (size_t)(ses->sent_bytes - before), now.mono_ms);
    }
    return e;
}

/* One Commits message from wherever the peer lacks something; *sent tells whether there was anything. */
static enum err send_batch(struct sync *s, struct session *ses, struct now now, bool *sent)
{
    const struct gather from = gather_for(s, ses);
    struct gathered got = { 0 };
    enum err e = gather_commits(&from, &got);
    *sent = got.count > 0;
    return e == ERR_OK && *sent ? outbound_send(s, ses, &got, now) : e;
}

/* --- what is urgent, ahead of the bulk --- */

void outbound_note_early(struct session *ses, struct dot dot)
{
    if (ses->early_count < SESSION_EARLY_MAX) {
        ses->early[ses->early_count++] = dot;
    }
}

struct urgent_list {
    const struct session *ses;
    struct dot at[SESSION_EARLY_MAX];
    size_t count;
};

static enum err list_urgent(void *ctx, struct dot dot)
{
    struct urgent_list *l = ctx;
    for (size_t i = 0; i < l->ses->early_count; i++) {
        if (dot_equal(l->ses->early[i], dot)) {
            return ERR_OK;
        }
    }
    if (l->ses->early_count + l->count == SESSION_EARLY_MAX) {
        return ERR_BUSY;
    }
    l->at[l->count++] = dot;
    return ERR_OK;
}

/* Those whose turn has come make room for others. */
static void drop_settled(struct session *ses)
{
    size_t kept = 0;
    for (size_t i = 0; i < ses->early_count; i++) {
        if (!vv_covers(&ses->known, ses->early[i])) {
            ses->early[kept++] = ses->early[i];
        }
    }
    ses->early_count = kept;
}

/* The peer lacks more than a window: what is urgent in that does not wait. It comes once more in its turn, so nothing
 * depends on whether it was taken; what the peer has settled is not raised. */
static enum err send_early(struct sync *s, struct session *ses, struct now now)
{
    const struct gather from = gather_for(s, ses);
    struct urgent_list list = { .ses = ses };
    struct gathered got = { 0 };
    size_t done = 0;
    drop_settled(ses);
    if (ses->early_count == SESSION_EARLY_MAX) {
        return ERR_OK;
    }
    enum err e = core_each_urgent(s->core, &ses->known, list_urgent, &list);
    e = e == ERR_BUSY ? ERR_OK : e;
    if (e == ERR_OK && list.count > 0) {
        e = gather_early(&from, list.at, list.count, &done, &got);
    }
    for (size_t i = 0; i < done; i++) {
        outbound_note_early(ses, list.at[i]);
    }
    return e == ERR_OK && got.count > 0 ? outbound_send(s, ses, &got, now) : e;
}

bool sync_has_room(const struct sync *s)
{
    return s->step.used_bytes < SYNC_STEP_BYTES / 2;
}

static enum err send_members(struct sync *s, struct session *ses)
{
    uint8_t hash[32];
    enum err e = ERR_OK;
    while (e == ERR_OK && members_head(s->core->members, hash) > ses->members_known) {
        struct bytes *entries = NULL;
        size_t count = 0;
        e = gather_members(s->core, &s->step, ses->members_known + 1, &entries, &count);
        if (e == ERR_OK && count == 0) {
            return ERR_DAMAGED;
        }
        if (e == ERR_OK) {
            const struct wire_message m = { .kind = WIRE_MEMBERS, .entries = entries, .count = count };
            ses->members_known += count;
            e = sync_send(s, ses, &m);
        }
    }
    return e;
}

/* Before any commit: what we mark as withheld because of a fork, the other side must know to be one. */
static enum err send_forks(struct sync *s, struct session *ses)
{
    struct wire_message m;
    bool any = true;
    enum err e = ERR_OK;
    while (e == ERR_OK && any) {
        e = fork_talk_say(s->core, &ses->forks, &ses->arena, &ses->known, &s->work, &s->step, &m, &any);
        e = e == ERR_OK && any ? sync_send(s, ses, &m) : e;
    }
    return e;
}

static enum err answer_probes(struct sync *s, struct session *ses)
{
    enum err e = ERR_OK;
    if (ses->has_probe && ses->is_caught_up) {
        struct wire_message m = { .kind = WIRE_PROBE_REPLY, .id = ses->probe_id };
        ses->has_probe = false;
        e = greeting_settled(s->core, &s->step, &m.settled);
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
    if (e == ERR_OK) {
        e = send_forks(s, ses);
    }
    if (e == ERR_OK && ses->is_behind && window_has_room(&ses->window) && sync_has_room(s)) {
        e = send_early(s, ses, now);
    }
    /* What does not fit into this step goes out with the next one: somebody's ack is then under way. */
    while (e == ERR_OK && sent && window_has_room(&ses->window) && sync_has_room(s)) {
        e = send_batch(s, ses, now, &sent);
    }
    ses->is_behind = sent;
    if (e == ERR_OK && !sent) {
        e = repair_send(s, ses, now);
    }
    if (e == ERR_OK && !sent && !repair_has_queue(ses) && ses->window.count == 0) {
        e = own_past_tell(s, ses, now);
    }
    ses->has_sent_all = !sent && !repair_has_queue(ses) && ses->window.count == 0;
    if (e == ERR_OK && ses->has_sent_all) {
        e = repair_ask(s, ses, now);
    }
    ses->is_caught_up = ses->has_sent_all && !repair_is_busy(ses);
    if (e == ERR_OK && ses->is_caught_up) {
        e = receipt_pump(s, ses, now);
    }
    return e == ERR_OK ? answer_probes(s, ses) : e;
}
