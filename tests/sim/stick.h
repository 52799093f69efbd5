#ifndef JIPAN_TESTS_SIM_STICK_H
#define JIPAN_TESTS_SIM_STICK_H

#include "node/bundle_desk.h"
#include "tests/sim/sim.h"

/*
 * Bundles on sticks: made and taken in piece by piece through the desk of the node, as the command does, with whatever
 * else happens in between. A stick is never used up: it can be taken in again, late, at the wrong node, or after the
 * disk that made it was set back. Shared by ops_stick.c and faults_stick.c only.
 */
enum { STICKS_MAX = 24, STICK_JOBS_MAX = 8 };

struct stick {
    uint64_t serial; /* in the order they were made; 0: none */
    uint32_t from, to; /* slots */
    uint32_t maker, receiver; /* numbers in the membership log */
    uint8_t *bytes;
    size_t len;
    struct bundle_header header;
    struct known_heads heads; /* what its maker had settled when it began: this it brings */
    struct known_heads latest; /* and when it was finished: what was written meanwhile may be in it too */
    bool had_all; /* its maker held the whole group */
    bool was_for_part; /* so its maker thought of its receiver, while some of it was made */
    bool is_spoilt; /* a byte of it was changed, or its end is missing */
};

/* One being made or taken in. */
struct stick_job {
    uint64_t serial; /* 0: free */
    uint32_t slot;
    bool is_import;
    bool wants_answer;
    size_t pieces_left; /* then whoever does it goes away; 0: to the end */
    uint64_t id; /* at the desk; 0: not begun */
    struct buf made;
    struct stick stick; /* of its own, so that the drawer may change meanwhile */
    size_t at;
    struct seal_stream reading; /* a second reader of what is taken in, for the checks */
    uint8_t binding[BUNDLE_BINDING_BYTES];
};

struct stick_stamp {
    uint32_t epoch;
    uint64_t serial;
};

/* The newest bundle of a maker that a node has begun to take in, ever, and of which it has surely heard the greeting.
 */
struct stick_newest {
    uint32_t slot, maker;
    struct stick_stamp begun, heard;
};

struct sticks {
    struct stick drawer[STICKS_MAX]; /* oldest first */
    size_t count;
    struct stick_job jobs[STICK_JOBS_MAX];
    struct stick_newest newest[PLAN_NODES_MAX * PLAN_NODES_MAX];
    size_t newest_count;
    uint64_t last_serial;
};

struct sticks *sticks_of(struct sim *s);
struct stick *stick_pick(struct sim *s, uint32_t choice); /* NULL: the drawer is empty */
void stick_remove(struct sim *s, struct stick *x);
/* Begins to take it in at a node; false: nobody can do that now. pieces 0: all of it. */
bool stick_take(struct sim *s, const struct stick *x, uint32_t slot, size_t pieces, bool wants_answer, uint64_t in_ms);

#endif
