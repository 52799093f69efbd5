#ifndef JIPAN_TESTS_SIM_SIM_H
#define JIPAN_TESTS_SIM_SIM_H

#include "node/app.h"
#include "sync/session.h"
#include "tests/sim/place.h"
#include "tests/sim/plan.h"

/*
 * One simulated group: whole nodes (the real app, core, sessions, SQLite store and encrypted file set) on simulated
 * disks, clocks and lines, in one thread. Time is a heap of events and jumps from one to the next.
 *
 * sim.c owns time and the order of a run, node.c the life of one node, net.c the lines, ops.c what people do, member.c
 * the membership, faults*.c what goes wrong, oracle.c what was promised, check*.c what must hold.
 */
enum {
    SIM_HEADS_MAX = 256,
    SIM_RECORDS_MAX = 1024,
    SIM_ACKS_MAX = 4096,
    SIM_NOTES_MAX = 8192,
    SIM_PAIRS_MAX = 128,
    SIM_IMAGES_MAX = 4,
    SIM_FORKS_MAX = 64
};

#define CANARY "ZQXJKVWY" /* how every unique value begins: too long for chance */

struct sim;
struct conn;
struct sticks;

/* What is settled of one origin at a node, as far as it is durable. */
struct known_head {
    uint32_t node, epoch;
    uint64_t upto;
};

struct known_heads {
    struct known_head at[SIM_HEADS_MAX];
    size_t count;
};

/* A file outside of the home, with what was true when it was made. */
struct sim_backup {
    bool was_made;
    uint32_t passphrase;
    size_t members; /* membership changes there had been */
};

enum crash { CRASH_NONE, CRASH_KILL, CRASH_POWER };

struct sim_node {
    struct sim *sim;
    uint32_t slot;
    uint32_t number; /* in the membership log; clones share it */
    struct plan_node is;
    uint32_t owner; /* laptops: user number */
    uint32_t scope; /* by the membership log: bits of the stations it may hold (bit 0: all) */
    uint32_t scope_ever, owners_ever; /* bits that were ever set, of stations and of user numbers */
    bool has_grown; /* its scope has: what it has settled it need not hold */
    struct place place;
    struct app *app; /* NULL: the process does not run */
    struct sync *sync;
    bool exists; /* has a store */
    bool is_retired; /* revoked, lost or a clone that is gone: nobody restarts it */
    bool is_clone;
    uint64_t paused_until;
    enum crash armed; /* what an EIO of the disk means, while a crash inside a step is armed */
    enum sim_damage damage;
    enum action_id armed_by;
    bool is_rolled_back; /* what it had promised may be gone: until it has been opened again */
    struct known_head cut; /* revoked: what the first node had of its newest epoch then; upto 0: nothing */
    bool has_cut;
    bool has_flipped_log; /* until it has been opened again */
    bool has_forked; /* it may have been given another epoch whenever it met somebody */
    bool may_be_half; /* a checkpoint may have been broken off: its file makes no sense without its log */
    bool may_be_lost; /* its log was taken away: it may rightly refuse to open */
    bool must_meet; /* rolled back unnoticed: writes nothing before it has met those who know more of it */
    bool is_spoiled; /* a fault of its disk is on: not opening is no failure of the node */
    bool opened_spoiled; /* it was on when the process began */
    struct known_heads durable;
    uint64_t alloc_left; /* this many allocations succeed, then one fails; 0: none fails */
    bool alloc_failed;
    uint32_t passphrase; /* which one opens it */
    bool has_two_passphrases; /* a change of it failed: either may open */
    uint32_t epoch; /* the last it was seen with */
    bool must_change_epoch; /* the next open cannot prove continuity */
    bool may_change_epoch; /* the next open may fail to prove it */
    struct disk_sim *images[SIM_IMAGES_MAX]; /* old states of the disk, newest last */
    size_t image_count;
    struct sim_backup backup; /* on its disk */
    struct sim_backup image_backup[SIM_IMAGES_MAX]; /* on theirs */
    size_t image_members[SIM_IMAGES_MAX]; /* membership changes there had been */
    struct known_head image_own[SIM_IMAGES_MAX]; /* how far it had written itself */
    const char *flipped_path; /* flip faults: which bytes, to undo it; NULL: none */
    size_t flipped_at;
    uint8_t flipped_mask;
    size_t flipped_from; /* the page or frame around it, and what stands there since */
    size_t flipped_len;
    uint8_t flipped[4224];
    enum action_id io_by; /* the fault that armed a failing read, write or fsync */
    bool is_again; /* a step asked to be followed by another */
    size_t refusals; /* sessions refused since the last quiet moment */
    enum err refusal;
};

struct sim_record {
    enum entity entity;
    struct record_id id;
    struct record_id customer; /* main record of the dossier */
    uint32_t station;
    uint32_t creator; /* user number */
    size_t made_by; /* which acknowledged commit */
    bool is_moved; /* an assignment may have changed its owner */
    uint32_t held_by[PLAN_USERS_MAX + 2]; /* user numbers that ever owned it, 0 ends */
};

/* One acknowledged commit. */
struct sim_ack {
    struct dot dot;
    size_t record;
    size_t first_note;
    size_t note_count;
    uint32_t user;
    bool is_at_risk; /* was on one disk only, and that disk was lost or set back */
    struct known_head *saw; /* what its author's node had settled */
    size_t saw_count;
};

/* From this commit on there may be two histories of the node, and then neither counts. */
struct sim_fork {
    uint32_t node, epoch;
    uint64_t from;
};

/* One acknowledged field. */
struct sim_note {
    size_t record;
    const struct field *field; /* NULL: deletion */
    char text[40]; /* "" none */
    bool is_decision;
};

/* Two nodes that know how to reach each other; a dials. */
struct sim_pair {
    uint32_t a, b; /* slots */
    bool is_down;
    bool is_dialling;
    uint64_t latency_ms;
    uint64_t byte_us; /* time one byte takes */
    uint64_t clog_until[2]; /* towards a, towards b */
    unsigned failures;
};

enum event_kind {
    EV_ACTION,
    EV_DELIVER,
    EV_OPENED,
    EV_CLOSED,
    EV_DIAL,
    EV_START,
    EV_LIFT,
    EV_UP,
    EV_FLAP,
    EV_STICK,
    EV_COUNT
};

struct event {
    uint64_t at_ms;
    uint64_t order;
    enum event_kind kind;
    uint64_t a, b, c;
};

/* Counted over all runs of a process, in memory shared with its parent. */
struct sim_totals {
    uint64_t running; /* the seed under way */
    uint64_t seeds;
    uint64_t failed;
    uint64_t node_ms;
    uint64_t cpu_ms;
    uint64_t events;
    uint64_t messages;
    uint64_t bytes;
    uint64_t commits; /* acknowledged */
    uint64_t applied; /* taken in from elsewhere */
    uint64_t letters; /* carried on sticks */
    uint64_t checked_pairs;
    uint64_t forks; /* proven at the end of runs */
    uint64_t relays; /* that held everything at the end of runs */
    uint64_t conflicts; /* open ones at the end of runs */
    uint64_t entries; /* of the conflict log */
    uint64_t planned[DO_COUNT];
    uint64_t done[DO_COUNT];
};

enum phase { PHASE_SETUP, PHASE_SAFETY, PHASE_HEAL, PHASE_QUIET, PHASE_END };

struct sim {
    const struct plan *plan;
    uint64_t now_ms;
    uint64_t trace; /* hash over every event, message and answer */
    uint64_t shape; /* as trace, of what nodes without the right to the hidden values receive; lengths and times only */
    enum phase phase;
    struct event *heap;
    size_t heap_count;
    size_t heap_room;
    uint64_t event_order;
    uint64_t event_count;
    struct sim_node nodes[PLAN_NODES_MAX];
    size_t node_count;
    struct sim_pair pairs[SIM_PAIRS_MAX];
    size_t pair_count;
    struct conn *conns;
    uint64_t last_conn;
    uint32_t machines; /* that nodes were moved to */
    struct chance net;
    struct chance disk;
    struct chance hostile;
    uint32_t users[PLAN_USERS_MAX]; /* user numbers */
    uint32_t user_station[PLAN_USERS_MAX];
    size_t user_count;
    bool user_is_off[PLAN_USERS_MAX];
    struct sim_record records[SIM_RECORDS_MAX];
    size_t record_count;
    struct sim_ack acks[SIM_ACKS_MAX];
    size_t ack_count;
    struct sim_note notes[SIM_NOTES_MAX];
    size_t note_count;
    struct sim_fork forks[SIM_FORKS_MAX];
    size_t fork_count;
    uint32_t canaries;
    uint32_t writes_tried;
    size_t member_changes;
    bool has_moved; /* an assignment was made: who holds what may be under way */
    bool has_clones;
    bool has_forgery; /* commits were made that must end in quarantine */
    bool had_roles; /* rights changed while writing went on */
    bool fired[DO_COUNT]; /* what has happened in this run */
    struct sticks *sticks; /* stick.h; NULL: none was made */
    struct sim_totals *totals;
    bool is_verbose;
};

/* --- sim.c -------------------------------------------------------------------------------------------------------- */

enum sim_result { SIM_OK = 0, SIM_CRASH = 127, SIM_LIVENESS = 128, SIM_WRONG = 129, SIM_LEAK = 130, SIM_CHANCE = 131 };

struct sim_outcome {
    enum sim_result result;
    char invariant[16];
    char text[400];
    uint64_t trace;
    uint64_t shape;
    uint64_t at_ms;
};

/* A whole run. A broken invariant ends it; check() aborts the process. */
struct sim_outcome sim_run(const struct plan *p, struct sim_totals *totals, bool is_verbose);

void sim_push(struct sim *s, uint64_t at_ms, enum event_kind kind, uint64_t a, uint64_t b, uint64_t c);
void sim_trace(struct sim *s, uint64_t word);
void sim_trace_bytes(struct sim *s, struct bytes bytes);
void sim_fired(struct sim *s, enum action_id id);
void sim_log(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the run: an invariant is broken. */
_Noreturn void sim_fail(struct sim *s, enum sim_result r, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Twin runs: the station whose customers' values differ; what nodes that may not hold them are sent must not. */
uint32_t sim_hidden_station(const struct sim *s);
struct sim_node *sim_spare_node(struct sim *s, const struct plan_node *is); /* NULL: no slot left */
void sim_add_node(struct sim *s, uint32_t slot); /* joins, and meets those it is to meet */

/* --- node.c ------------------------------------------------------------------------------------------------------- */

void node_enter(struct sim_node *n);
const char *node_passphrase(uint32_t which);
void node_found(struct sim *s); /* the first node, with the group */
void node_join(struct sim *s, struct sim_node *n); /* enrolled by the first node, from its invite to the store */
enum err node_open(struct sim_node *n);
void node_close(struct sim_node *n); /* as the daemon stops */
void node_crash(struct sim_node *n, enum crash how); /* memory is gone; power: and what was not durable */
void node_start_soon(struct sim_node *n, uint64_t in_ms);
bool node_is_up(const struct sim_node *n);
/* One event for its sessions; performs the actions. A failed step ends the process, as the daemon stops. */
void node_step(struct sim_node *n, struct sync_event ev);
/* After a call into the app failed: what kind of end it was. True: the process is gone. */
bool node_survived(struct sim_node *n, enum err e);
void node_note_durable(struct sim_node *n);
uint64_t known_upto(const struct known_heads *k, uint32_t node, uint32_t epoch);
bool node_takes_all(const struct sim_node *n);
bool node_may_hold(const struct sim_node *n, uint32_t station); /* by the membership log */
bool node_ever_held(const struct sim_node *n, uint32_t station); /* or ever might */
void node_keep_image(struct sim_node *n);
void node_free(struct sim_node *n);

/* --- net.c -------------------------------------------------------------------------------------------------------- */

void net_meet(struct sim *s, uint32_t a, uint32_t b); /* from now on a knows where b is */
struct sim_pair *net_pair(struct sim *s, uint32_t a, uint32_t b);
void net_kick(struct sim *s, size_t pair, uint64_t in_ms);
void net_kick_node(struct sim *s, uint32_t slot);
void net_perform(struct sim_node *n, const struct sync_actions *actions);
void net_drop_node(struct sim *s, uint32_t slot);
void net_lose_sent(struct sim *s, uint32_t slot); /* what it had sent never arrives */
void net_up(struct sim *s, size_t pair);
void net_flap(struct sim *s, size_t pair);
void net_heal(struct sim *s); /* every way open, every line cut once, all dial anew */
void net_event(struct sim *s, const struct event *ev);
void net_free(struct sim *s);
bool net_is_live(const struct sim *s, uint32_t a, uint32_t b);

/* --- ops.c, member.c, faults.c ------------------------------------------------------------------------------------ */

void ops_do(struct sim *s, const struct plan_action *a);
uint32_t ops_user(struct sim *s, const struct sim_node *n, uint32_t choice); /* who may sit at this node; 0: nobody */
void backup_do(struct sim *s, struct sim_node *n);
bool backup_is_there(struct sim_node *n);
void backup_restore(struct sim *s, struct sim_node *n, const struct plan_action *a);
void stick_do(struct sim *s, const struct plan_action *a);
void stick_event(struct sim *s, const struct event *ev);
uint64_t sticks_know(const struct sim *s, uint32_t node, uint32_t epoch); /* what may come on a stick some day */
void sticks_free(struct sim *s);
void member_do(struct sim *s, const struct plan_action *a);
void member_learn_scope(struct sim *s, struct sim_node *n); /* from the log of the first node */
enum err scope_do(struct sim *s, const struct plan_action *a);
void member_users(struct sim *s);
/* The first node is at work and, after a backup was restored, has heard what the members are. */
bool member_may_change(const struct sim *s);
enum err member_strike_off(struct sim *s, struct sim_node *n, const char *reason);
void member_learn(struct sim *s); /* whom the first node has revoked, also where a crash kept the answer back */
void fault_do(struct sim *s, const struct plan_action *a);
void fault_net(struct sim *s, const struct plan_action *a);
void fault_hostile(struct sim *s, const struct plan_action *a);
void fault_stick(struct sim *s, const struct plan_action *a);
void fault_identity(struct sim *s, const struct plan_action *a);
void fault_lift(struct sim *s, struct sim_node *n);
void fault_heal_all(struct sim *s);
struct sim_node *some_node(struct sim *s, uint32_t choice); /* that exists and is not retired; may be down */
struct sim_node *some_up(struct sim *s, uint32_t choice); /* NULL: none */

/* --- oracle.c, check.c -------------------------------------------------------------------------------------------- */

struct sim_ack *oracle_ack(struct sim *s, struct sim_node *n, struct dot dot, size_t record, uint32_t user);
void oracle_note(
    struct sim *s, struct sim_ack *ack, size_t record, const struct field *f, const char *text, bool is_decision);
void oracle_after_rollback(struct sim *s);
void oracle_may_fork(struct sim *s, const struct known_head *last); /* what comes after it may come twice */
bool oracle_in_doubt(
    const struct sim *s, struct dot dot); /* there may be another commit of that name, or of one before */
bool oracle_is_lost(const struct sim *s, const struct sim_ack *ack); /* it may rightly be gone, or count nowhere */
void check_message(struct sim *s, const struct sim_node *from, const struct sim_node *to, struct bytes message);
void check_one_session_each(struct sim_node *n);
void check_reopened(struct sim_node *n);
void check_end(struct sim *s);

#endif
