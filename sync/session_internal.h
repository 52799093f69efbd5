#ifndef JIPAN_SESSION_INTERNAL_H
#define JIPAN_SESSION_INTERNAL_H

#include "sync/fork_talk.h"
#include "sync/gather.h"
#include "sync/repair.h"
#include "sync/session.h"
#include "sync/window.h"

/* Shared by the files of a session only: session.c, outbound.c, own_past.c, receipt_session.c, repair.c. */
enum { SYNC_STEP_BYTES = 64 << 20, SESSION_EARLY_MAX = 64 };

struct session {
    enum session_state state;
    conn_id conn;
    bool is_outbound;
    uint32_t node;
    struct arena arena; /* memory of the vectors and receipts here */
    struct vv known; /* what the peer has settled, as far as we know: its hello, what it sent, what we sent */
    struct vv ahead; /* commits of ours that the peer's hello knew and ours did not */
    struct vv told; /* of ours: what the peer knows us to have */
    struct fork_talk forks;
    uint64_t members_known; /* membership head the peer has */
    uint64_t opened_ms;
    bool is_held; /* see sync_set_short */
    uint32_t full; /* a node of whose commits some were left out (struct taken); 0: none */
    struct window window; /* Commits messages not yet acknowledged */
    bool is_behind; /* the last pump could not send all */
    struct dot early[SESSION_EARLY_MAX]; /* that went or came before their turn, and whose turn is yet to come */
    size_t early_count;
    uint32_t acks_due;
    bool has_probe; /* the peer waits for our ProbeReply */
    uint64_t probe_id;
    bool has_own_probe;
    bool own_probe_answered;
    uint64_t own_probe_id;
    struct repair repair;
    bool has_sent_all; /* nothing left to send and all acknowledged */
    bool is_caught_up; /* and what both hold has been compared */
    bool is_in_group; /* spoke in the group of events under way */
    struct receipt_mark *receipts; /* newest of each node that went over this line; in the arena */
    size_t receipt_count, receipt_capacity;
    uint64_t receipts_seen; /* receipt_changes when the last went */
    uint64_t receipts_due_ms;
    uint64_t sent_commits, received_commits;
    uint64_t sent_bytes, received_bytes;
};

struct sync {
    struct core *core;
    struct session *sessions;
    size_t count;
    size_t capacity;
    struct sync_action *actions;
    size_t action_count;
    size_t action_capacity;
    struct arena step; /* messages and lists of one step */
    struct arena work; /* one commit at a time */
    bool in_transaction;
    bool is_stepping;
    bool is_short; /* see sync_set_short */
    bool is_group_open;
    struct ahead_turns turns; /* forgotten when commits planned may not come: a session ends, a group is taken back */
    uint64_t receipt_changes; /* receipts made and taken since the start, and one */
    uint64_t receipt_due_ms; /* when our own is looked at again */
};

MUST_USE enum err sync_act(struct sync *s, const struct sync_action *action);
MUST_USE enum err sync_send(struct sync *s, struct session *to, const struct wire_message *m);
MUST_USE enum err sync_begin(struct sync *s);

/* --- outbound.c --- */
struct gather gather_for(struct sync *s, struct session *ses);
/* One Commits message with what was gathered, noted in the audit log first. */
MUST_USE enum err outbound_send(struct sync *s, struct session *ses, const struct gathered *got, struct now now);
bool sync_has_room(const struct sync *s); /* this step may hand out more; else the next one does */

/* The commit went over this line before its turn, to or from the peer. Beyond SESSION_EARLY_MAX it is not noted. */
void outbound_note_early(struct session *ses, struct dot dot);

/* Sends what the session may be sent now: acks, membership entries, commits within the window, probe replies. */
MUST_USE enum err outbound_pump(struct sync *s, struct session *ses, struct now now);

/* Of our own commits that the peer knows and we had lost (sync/own_past.c): to be called with our hello, with the
 * peer's, with each that it gives us in its turn; and what to tell it, when nothing is under way. */
MUST_USE enum err own_past_said(struct sync *s, struct session *ses);
MUST_USE enum err own_past_heard(struct sync *s, struct session *ses);
MUST_USE enum err own_past_came(struct session *ses, struct dot dot);
MUST_USE enum err own_past_tell(struct sync *s, struct session *ses, struct now now);

/* Receipts on lines with a relay (sync/receipt_session.c): our own made anew if due, once a step; what the line lacks
 * sent; what came in kept. */
MUST_USE enum err receipt_refresh(struct sync *s, struct now now);
MUST_USE enum err receipt_pump(struct sync *s, struct session *ses, struct now now);
MUST_USE enum err receipt_arrived(struct sync *s, struct session *ses, const struct wire_message *m);

#endif
