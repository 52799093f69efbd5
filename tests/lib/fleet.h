#ifndef JIPAN_TESTS_FLEET_H
#define JIPAN_TESTS_FLEET_H

#include "sync/session.h"

/*
 * Several whole nodes in one process: real membership, core and sessions on stores in memory, joined by lines that
 * carry messages in order, each line for itself. Everything comes from the seed: identities, chance of the nodes, the
 * order in which lines deliver. The clock moves a second with every write and message. Node 1 holds the authority.
 *
 * What fails in setting up ends the program (check); what a test may want to see fail answers an error.
 */
enum { FLEET_NODES_MAX = 6, FLEET_ARENA_BYTES = 64 << 20 };

struct fleet;

/* Node 1 in station 1 (code "S1"), holding the whole group; and one user, number 1, "admin", AD. */
struct fleet *fleet_new(uint64_t seed);
void fleet_free(struct fleet *f); /* checks that nothing leaked */

/* Membership, made by node 1. Numbers are given back. What is made is stored on node 1 only: others get it over lines,
 * or by fleet_teach. */
uint32_t fleet_station(struct fleet *f);
uint32_t fleet_user(struct fleet *f, uint32_t station, uint32_t roles); /* login "u<number>" */
void fleet_user_change(struct fleet *f, uint32_t user, const char *login, uint32_t roles, bool is_active);
/* A new node with all keys of its scope, as after joining: it starts with the whole membership log. */
uint32_t fleet_station_node(struct fleet *f, uint32_t station, bool holds_group);
uint32_t fleet_laptop(struct fleet *f, uint32_t owner);
uint32_t fleet_relay(struct fleet *f, uint32_t station);
/* As above but without keys; fleet_grant brings them. */
uint32_t fleet_node_without_keys(struct fleet *f, uint32_t station, bool holds_group);
void fleet_grant(struct fleet *f, uint32_t node);
/* What the node may hold from now on: the group, or its own station and one more (0: none); keys follow as the node's
 * administration does it. owner: of a laptop. */
void fleet_scope(struct fleet *f, uint32_t node, bool holds_group, uint32_t station, uint32_t owner);
/* Cut at what node 1 has settled of it. */
void fleet_revoke(struct fleet *f, uint32_t node, uint64_t cut_seq);
void fleet_teach(struct fleet *f, uint32_t node); /* all membership entries it lacks, without a session */

size_t fleet_count(const struct fleet *f);
struct core *fleet_core(struct fleet *f, uint32_t node);
struct sync *fleet_sync(struct fleet *f, uint32_t node);
struct store *fleet_store(struct fleet *f, uint32_t node);
struct arena *fleet_arena(struct fleet *f, uint32_t node); /* reset by every fleet call that writes */
struct now fleet_now(struct fleet *f);
void fleet_set_clock(struct fleet *f, uint32_t node, int64_t offset_ms); /* this node's clock is that much off */
struct rng *fleet_rng(struct fleet *f);

/* Stops and starts the process: memory is gone, store and identity stay. Lines break. */
void fleet_restart(struct fleet *f, uint32_t node);
/* As after restoring a backup that was made before the first write: only membership and identity are left. Not node 1.
 */
void fleet_restore_empty(struct fleet *f, uint32_t node);

/* --- writing: text as a person types it; NULL ends the list of names and texts --- */

struct fleet_field {
    const char *name;
    const char *text;
};

struct fleet_write {
    uint32_t node;
    uint32_t user;
    enum entity entity;
    struct record_id id; /* of the record; for a new one the id of its dossier's main record, or zero: a new dossier */
    bool is_new;
    bool is_delete;
    bool is_decision;
    uint32_t station; /* new dossier: its home; 0: the user's */
    const struct fleet_field *fields; /* ends with a NULL name */
};

/* One commit, durable or an error and nothing. id: filled in for new records. dot zero: nothing to write. */
enum err fleet_write(struct fleet *f, struct fleet_write *w, struct dot *dot);
/* One commit with a group for each write; all of one node and user, each of another dossier. */
enum err fleet_write_many(struct fleet *f, struct fleet_write *w, size_t count, struct dot *dot);

/* Anything with a node's core in one transaction, rolled back on error. */
typedef enum err (*fleet_fn)(struct core *c, struct arena *a, struct now now, void *ctx);
enum err fleet_do(struct fleet *f, uint32_t node, fleet_fn fn, void *ctx);

/* A customer with name and mobile number, home in the user's station. */
struct record_id fleet_customer(struct fleet *f, uint32_t node, uint32_t user, const char *name);
enum err fleet_set(struct fleet *f, uint32_t node, uint32_t user, enum entity entity, struct record_id id,
    const char *field, const char *text);
/* A new child record with one field. */
struct record_id fleet_child(struct fleet *f, uint32_t node, uint32_t user, struct record_id customer,
    enum entity entity, const struct fleet_field *fields);
/* The customer now belongs to this login; the assignment of this number. */
struct record_id fleet_assign(struct fleet *f, uint32_t node, uint32_t manager, struct record_id customer,
    const char *login, const char *from_at);

/* What stands there, as canonical text in the node's arena; NULL when there is no such row. "" for no value. */
const char *fleet_get(struct fleet *f, uint32_t node, enum entity entity, struct record_id id, const char *field);
bool fleet_is_deleted(struct fleet *f, uint32_t node, enum entity entity, struct record_id id);
size_t fleet_conflicts(struct fleet *f, uint32_t node, bool only_open);
size_t fleet_quarantined(struct fleet *f, uint32_t node, enum err why); /* ERR_OK: for any reason */
size_t fleet_space_count(struct fleet *f, uint32_t node, enum store_space space);
void fleet_hash(struct fleet *f, uint32_t node, uint8_t out[32]);
bool fleet_same_hash(struct fleet *f, uint32_t a, uint32_t b);

/* --- lines --- */

void fleet_connect(struct fleet *f, uint32_t a, uint32_t b); /* a dials; more than one line is possible */
void fleet_cut(struct fleet *f, uint32_t a, uint32_t b); /* what is under way is lost */
void fleet_connect_all(struct fleet *f);
void fleet_cut_all(struct fleet *f);
size_t fleet_lines(const struct fleet *f, uint32_t a, uint32_t b);
/* Delivers one message of a line drawn by the seed; false when all is quiet. */
bool fleet_step(struct fleet *f);
void fleet_run(struct fleet *f); /* until quiet; checks that it ends */
void fleet_local(struct fleet *f, uint32_t node); /* tells the node's sessions that something was written */
void fleet_probe(struct fleet *f, uint32_t node, uint64_t id);

/* What happened at a node since the last question: peers it was told to be in sync with, sessions that ended. */
struct fleet_news {
    size_t probed;
    uint64_t probe_id;
    size_t refused;
    enum err refusal;
    size_t changed;
    uint64_t messages; /* delivered to it */
};
struct fleet_news fleet_news(struct fleet *f, uint32_t node);
/* An error a step of this node answered since the start; ERR_OK: none. Its sessions are gone then. */
enum err fleet_failure(const struct fleet *f, uint32_t node);
/* The live session of a with b; all zero when there is none. */
struct session_info fleet_session(struct fleet *f, uint32_t a, uint32_t b);

/* Every message on every line, before it is delivered; the hook may not call the fleet. */
typedef void (*fleet_watch_fn)(void *ctx, uint32_t from, uint32_t to, struct bytes message);
void fleet_watch(struct fleet *f, fleet_watch_fn fn, void *ctx);
/* A message that looks as if `from` had sent it on its line to `to`. */
void fleet_inject(struct fleet *f, uint32_t from, uint32_t to, struct bytes message);

/* --- commits by hand --- */

/* One commit of from's log and its secrets, into from's arena. ERR_NOT_FOUND. */
enum err fleet_commit_of(
    struct fleet *f, uint32_t from, struct dot dot, struct bytes *ret_commit, struct bytes *ret_secrets);
/* Ingests in one transaction at the node, rolled back on error. */
enum err fleet_ingest(struct fleet *f, uint32_t node, struct bytes commit, struct bytes secrets);
/* The same with core_ingest_early. */
enum err fleet_ingest_early(struct fleet *f, uint32_t node, struct bytes commit, struct bytes secrets);
/* fleet_commit_of, then fleet_ingest. */
enum err fleet_carry(struct fleet *f, uint32_t from, uint32_t to, struct dot dot);
enum err fleet_rebuild(struct fleet *f, uint32_t node);

#endif
