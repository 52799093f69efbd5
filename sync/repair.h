#ifndef JIPAN_REPAIR_H
#define JIPAN_REPAIR_H

#include "sync/marks.h"
#include "sync/proof.h"

/*
 * Evening out what the settled vectors cannot show: a customer that came into a node's scope after its commits were
 * settled as not for it, one that went out of it, and whatever a fault left different. docs/PROTOCOL.md 6.10.
 *
 *   begins: ASK     ->            when it has sent everything
 *           <- TOTAL              when the other has, too: sum over the dossiers both may hold
 *           RUN <-> RUN ...       only if the sums differ: which dossiers (sync/reconcile.h)
 *           WANTS <-> WANTS       what each lacks of them; answered by ordinary Commits
 *
 * One of the two begins: the one with the wider scope. It does so once a session, when a dossier changed hands, when a
 * scope changed, and every REPAIR_EVERY_MS.
 */
struct sync;
struct session;

enum {
    REPAIR_EVERY_MS = 6 * 3600 * 1000,
    REPAIR_TRIES_MAX = 3, /* runs in a row that leave the sums different; then only every REPAIR_EVERY_MS */
    REPAIR_DIFFERENCES_MAX = 1 << 16, /* of one run; what is more shows in the next */
    REPAIR_DOTS_MAX = 1 << 18, /* commits waiting to be sent again */
};

enum repair_phase { REPAIR_IDLE, REPAIR_ASKED, REPAIR_RUNNING };

struct difference {
    enum reconcile_kind kind;
    struct dossier_id id;
};

/* One session's part; zero is a good start. */
struct repair {
    struct mem *mem;
    enum repair_phase phase;
    bool is_due; /* only at the node that begins */
    bool may_purge; /* the other has sent all it has for us: leaving_purge */
    bool must_answer; /* the other waits for our TOTAL */
    unsigned tries;
    uint64_t next_ms;
    uint64_t sent_at_ask;
    struct marks_items items;
    struct reconcile *run;
    struct difference *found;
    size_t found_count, found_capacity;
    struct dot *dots; /* ascending, each once */
    size_t dot_count, dot_capacity, dots_sent;
    struct arena proof_arena;
    struct proof_list proofs;
    size_t proofs_sent;
};

void repair_init(struct sync *s, struct session *ses); /* the session has become live */
void repair_release(struct session *ses); /* also when it never was live */

/* Something of this session's scope may have changed: look again. */
void repair_due(struct sync *s, struct session *ses);

/* Anything asked, under way or queued: the session is not in sync yet. */
bool repair_is_busy(const struct session *ses);

/* A Ranges message. Errors: the peer's fault (ERR_FORMAT, ERR_PROTOCOL, ERR_LIMIT ...), ERR_NOMEM, store errors. */
MUST_USE enum err repair_take(struct sync *s, struct session *ses, struct bytes body);

/* Commits that were asked for, as far as the window allows. */
bool repair_has_queue(const struct session *ses);
MUST_USE enum err repair_send(struct sync *s, struct session *ses, struct now now);

/* Called when the session has nothing else to send and nothing unacknowledged. */
MUST_USE enum err repair_ask(struct sync *s, struct session *ses, struct now now);

#endif
