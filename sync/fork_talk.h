#ifndef JIPAN_FORK_TALK_H
#define JIPAN_FORK_TALK_H

#include "schema/wire.h"
#include "sync/fork.h"

/*
 * What two nodes say to each other about forks (docs/PROTOCOL.md 6.11): proofs they know, claims ("my commit of this
 * dot has this hash"), and bare commits as answers to claims that are not so here. Claims go out when a session opens,
 * for the last commits both have settled, and whenever an origin is suspected or a lower proof may exist.
 */
enum { FORK_HASH_BYTES = 16, FORK_ANSWERS_MAX = 512, FORK_CLAIMED_ORIGINS_MAX = 4 };

/* About one origin in one session. */
struct fork_told {
    uint32_t node;
    uint32_t epoch;
    uint64_t theirs; /* lowest proof the other side has; UINT64_MAX: none */
    uint64_t asked; /* we have claimed what lies below this seq */
};

/* Of one session; all zero at its start. Memory: the session's arena. */
struct fork_talk {
    bool is_opened;
    struct fork_told *at;
    size_t count;
    size_t capacity;
};

/* The next Forks message to a peer that has settled `known`; *any false: nothing to say. Its parts live in out. */
MUST_USE enum err fork_talk_say(struct core *c, struct fork_talk *t, struct arena *keep, const struct vv *known,
    struct arena *work, struct arena *out, struct wire_message *m, bool *any);

/* Takes one in, inside the caller's transaction; *any: reply is to be sent. Errors: ERR_FORMAT, ERR_TRUNCATED,
 * ERR_LIMIT, ERR_SIGNATURE: the peer's fault; store errors, ERR_NOMEM. */
MUST_USE enum err fork_talk_hear(struct core *c, struct fork_talk *t, struct arena *keep, struct arena *work,
    struct arena *out, struct now now, const struct wire_message *m, struct wire_message *reply, bool *any);

#endif
