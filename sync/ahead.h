#ifndef JIPAN_AHEAD_H
#define JIPAN_AHEAD_H

#include "schema/wire.h"
#include "sync/core.h"

/*
 * Work on a message of commits that needs nothing of this node but keys, done before the message's turn comes
 * (docs/decisions/0028): signatures are verified, the parts of new dossiers opened. ahead_plan decodes the message and
 * takes along the keys as they stand; ahead_work is a function of that alone, so another thread may run it; the step
 * (struct sync_event) then finds what was worked out.
 *
 * An answer is taken only for the same bytes in the same place of memory, checked with the same keys as those that
 * count at the message's turn. Whatever is not there, because it was not planned, failed, or there was no memory for
 * it, is done in its turn as if there were no struct ahead; so the result never depends on how far the work came.
 */
enum { AHEAD_ARENA_BYTES = 512 << 10, AHEAD_MEM_BYTES = 2 * AHEAD_ARENA_BYTES + (64 << 10) };

/* What commits of which origin are planned already: each is verified once, whoever sends it. */
enum { AHEAD_TURNS = 256 };
struct ahead_turns {
    struct ahead_turn {
        uint32_t node;
        uint32_t epoch;
        uint64_t upto;
    } at[AHEAD_TURNS];
};

struct ahead_part {
    const uint8_t *sealed; /* where it stands */
    const uint8_t *secret; /* it was opened with */
    struct dossier_id dossier;
    struct bytes plain; /* unpacked */
};

struct ahead_commit {
    const struct wire_item *item;
    bool is_planned;
    bool is_verified;
    uint8_t signer[SIGN_PUBLIC_BYTES];
    uint8_t hash[COMMIT_HASH_BYTES]; /* its name, when verified */
    struct ahead_part *parts; /* opened, in the order of the commit */
    size_t part_count;
};

/* One message; used again for the next after ahead_reset. */
struct ahead {
    struct mem mem; /* its own, so that it can be worked on by another thread */
    struct arena arena;
    struct arena scratch; /* one commit at a time */
    struct wire_message message;
    size_t message_bytes;
    uint8_t group_id[GROUP_ID_BYTES];
    const struct pack *pack;
    struct class_keys keys; /* of the station whose dossiers the message brings; station 0: of none */
    struct ahead_commit *commits; /* one for each item */
    size_t at; /* the item whose turn it is */
};

/* mem: the functions and their context are taken over, they must be callable from any thread; the budget is not. a must
 * stay where it is. */
void ahead_init(struct ahead *a, const struct mem *mem);
void ahead_release(struct ahead *a);
void ahead_reset(struct ahead *a);

/**
 * ahead_plan: decodes and notes what can be worked out. a: initialised or reset.
 * Errors: ERR_NOT_FOUND no message of commits; ERR_NOMEM too large; others of wire_take. Then a is as after ahead_reset
 * and the message is for its turn, as it is.
 */
MUST_USE enum err ahead_plan(struct ahead *a, const struct core *c, struct ahead_turns *turns, struct bytes message);

/* Works it out; once. Reads and writes *a alone. False: a signature is not right, and what follows was left. */
bool ahead_work(struct ahead *a);

/* The turn of an item; what follows is asked of it alone. */
void ahead_turn(struct ahead *a, size_t item);

/* Whether this very commit was verified with this key; hash: its name. */
bool ahead_verified(const struct ahead *a, struct bytes commit, const uint8_t signer[SIGN_PUBLIC_BYTES],
    uint8_t hash[COMMIT_HASH_BYTES]);

/* Whether this very part of the commit was opened with these keys; *plain lives as long as the message. */
bool ahead_opened(const struct ahead *a, struct bytes commit, const struct part_item *p, const struct class_keys *keys,
    const struct dossier *d, struct bytes *plain);

#endif
