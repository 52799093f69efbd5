#ifndef JIPAN_TESTS_SIM_PLAN_H
#define JIPAN_TESTS_SIM_PLAN_H

#include "sync/members.h"
#include "tests/sim/chance.h"

#include <stdio.h>

/*
 * A plan is everything that happens to a simulated group, drawn from a seed before the run and printable as text:
 * nodes, who meets whom, operations, faults, each with its moment. A run is a function of its plan alone, so that an
 * old failure survives a change of the generator and lines can be left out of it. Numbers in an action choose among
 * what is there at that moment (modulo), so that any subset of a plan is a plan.
 */
enum { PLAN_NODES_MAX = 16, PLAN_STATIONS_MAX = 4, PLAN_USERS_MAX = 8, PLAN_ACTIONS_MAX = 8192 };

/* X(NAME, text, kind): what a plan can do. Kind: OP (what people do), MEMBER (the authority), FAULT. */
#define ACTION_TABLE(X)                              \
    X(CREATE, "create", OP)                          \
    X(CHILD, "child", OP)                            \
    X(EDIT, "edit", OP)                              \
    X(EDIT_MANY, "edit-many", OP)                    \
    X(SAME, "same-value", OP)                        \
    X(DELETE, "delete", OP)                          \
    X(UNDELETE, "undelete", OP)                      \
    X(DECIDE, "decide", OP)                          \
    X(ASSIGN, "assign", OP)                          \
    X(BULK, "bulk", OP)                              \
    X(BOOK, "book", OP)                              \
    X(VERIFY, "verify", OP)                          \
    X(REBUILD, "rebuild", OP)                        \
    X(PASSPHRASE, "passphrase", OP)                  \
    X(PROBE, "probe", OP)                            \
    X(BACKUP, "backup", OP)                          \
    X(BUNDLE, "bundle", OP)                          \
    X(STICK, "stick", OP)                            \
    X(USER_ROLES, "user-roles", MEMBER)              \
    X(USER_OFF, "user-off", MEMBER)                  \
    X(USER_ON, "user-on", MEMBER)                    \
    X(KEY_EPOCH, "key-epoch", MEMBER)                \
    X(JOIN, "join", MEMBER)                          \
    X(REVOKE, "revoke", MEMBER)                      \
    X(SCOPE, "scope", MEMBER)                        \
    X(KILL, "kill", FAULT)                           \
    X(KILL_IN_STEP, "kill-in-step", FAULT)           \
    X(RESTART, "restart", FAULT)                     \
    X(PAUSE, "pause", FAULT)                         \
    X(ALLOC_STEP, "alloc-fails", FAULT)              \
    X(POWER_DROP, "power-drop", FAULT)               \
    X(POWER_TEAR, "power-tear", FAULT)               \
    X(POWER_REORDER, "power-reorder", FAULT)         \
    X(POWER_SIZE, "power-size-only", FAULT)          \
    X(POWER_IN_STEP, "power-in-step", FAULT)         \
    X(POWER_IN_OPEN, "power-in-open", FAULT)         \
    X(FSYNC_FAILS, "fsync-fails", FAULT)             \
    X(WRITE_FAILS, "write-fails", FAULT)             \
    X(READ_FAILS, "read-fails", FAULT)               \
    X(DISK_FULL, "disk-full", FAULT)                 \
    X(READ_ONLY, "read-only", FAULT)                 \
    X(FLIP_MAIN, "flip-main", FAULT)                 \
    X(FLIP_WAL, "flip-wal", FAULT)                   \
    X(WAL_REMOVED, "wal-removed", FAULT)             \
    X(MARK_LOST, "mark-lost", FAULT)                 \
    X(OLD_FILE, "old-file", FAULT)                   \
    X(OLD_IMAGE, "old-image", FAULT)                 \
    X(RAW_COPY, "raw-copy", FAULT)                   \
    X(NEW_MACHINE, "new-machine", FAULT)             \
    X(RESTORE, "restore", FAULT)                     \
    X(CLONE, "clone", FAULT)                         \
    X(FORK, "set-back-writes-on", FAULT)             \
    X(TWIN, "two-live-copies", FAULT)                \
    X(REBUILT_NODE, "lost-node", FAULT)              \
    X(CUT, "cut", FAULT)                             \
    X(CUT_MID, "cut-mid-message", FAULT)             \
    X(CUT_ONE_WAY, "cut-one-way", FAULT)             \
    X(HALF_OPEN, "half-open", FAULT)                 \
    X(LINK_DOWN, "link-down", FAULT)                 \
    X(LINK_UP, "link-up", FAULT)                     \
    X(PARTITION, "partition", FAULT)                 \
    X(ISLANDS, "all-apart", FAULT)                   \
    X(FLAP, "flap", FAULT)                           \
    X(CLOG, "clog", FAULT)                           \
    X(SLOW_READER, "slow-reader", FAULT)             \
    X(LONG_RTT, "long-rtt", FAULT)                   \
    X(TWICE, "dialled-twice", FAULT)                 \
    X(BOTH_DIAL, "both-dial", FAULT)                 \
    X(LATE_SESSION, "old-session-late", FAULT)       \
    X(CLOCK_BACK, "clock-back", FAULT)               \
    X(CLOCK_FORWARD, "clock-forward", FAULT)         \
    X(CLOCK_FROZEN, "clock-frozen", FAULT)           \
    X(CLOCK_DRIFT, "clock-drift", FAULT)             \
    X(CLOCK_FUTURE, "clock-far-future", FAULT)       \
    X(CLOCK_PAST, "clock-far-past", FAULT)           \
    X(CLOCK_RESTART, "clock-back-at-restart", FAULT) \
    X(MSG_FLIP, "message-flipped", FAULT)            \
    X(MSG_CUT, "message-truncated", FAULT)           \
    X(MSG_TWICE, "message-twice", FAULT)             \
    X(MSG_SWAP, "messages-swapped", FAULT)           \
    X(MSG_NOISE, "message-noise", FAULT)             \
    X(FALSE_WITHHELD, "false-withheld", FAULT)       \
    X(FALSE_ACK, "false-ack", FAULT)                 \
    X(GREEDY_LIST, "greedy-list", FAULT)             \
    X(FORGED_COMMIT, "forged-commit", FAULT)         \
    X(NO_RIGHT, "write-without-right", FAULT)        \
    X(STICK_LOST, "stick-lost", FAULT)               \
    X(STICK_TWICE, "stick-twice", FAULT)             \
    X(STICK_OLD, "stick-old", FAULT)                 \
    X(STICK_WRONG, "stick-wrong-node", FAULT)        \
    X(STICK_HALF, "stick-pulled-out", FAULT)         \
    X(STICK_FLIP, "stick-flipped", FAULT)            \
    X(STICK_CUT, "stick-cut", FAULT)

enum action_id {
#define X(name, text, kind) DO_##name,
    ACTION_TABLE(X)
#undef X
        DO_COUNT
};

enum action_kind { KIND_OP, KIND_MEMBER, KIND_FAULT };

const char *action_name(enum action_id id);
enum action_kind action_kind_of(enum action_id id);

struct plan_node {
    enum node_kind kind;
    uint32_t station; /* 1.. */
    uint32_t owner; /* laptops: which user of the plan, 1.. */
    bool holds_group;
    bool joins_late; /* by a JOIN action; else from the start */
};

struct plan_action {
    uint64_t at_ms;
    enum action_id id;
    uint32_t a, b, c, d;
};

enum plan_shape { SHAPE_STAR, SHAPE_MESH, SHAPE_LINE, SHAPE_RING, SHAPE_APART, SHAPE_COUNT };

struct plan {
    uint64_t seed;
    uint32_t stations;
    uint32_t users;
    struct plan_node nodes[PLAN_NODES_MAX];
    uint32_t node_count;
    enum plan_shape shape;
    uint32_t latency_ms;
    uint32_t hidden; /* 1 and 2: twin runs, in which only the values of one station's customers differ */
    uint32_t deep; /* 1: the slow checks too */
    struct plan_action actions[PLAN_ACTIONS_MAX];
    size_t action_count;
};

/* What a seed stands for. */
void plan_draw(uint64_t seed, struct plan *out);
/* 5 nodes, 300 operations, faults: the run that speed is measured with. */
void plan_draw_standard(uint64_t seed, struct plan *out);

void plan_write(const struct plan *p, FILE *to);
bool plan_read(FILE *from, struct plan *out); /* false: not a plan */

#endif
