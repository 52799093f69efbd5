#ifndef JIPAN_TESTS_FLEET_WORLD_H
#define JIPAN_TESTS_FLEET_WORLD_H

#include "tests/lib/fleet.h"

/* The usual small group of the tests of core and sessions, and what they ask of it all the time. What should not fail
 * and does ends the program (check). */
struct world {
    struct fleet *f;
    uint32_t seller; /* number 2, login "u2": manages and sells in station 1 */
    uint32_t buddy; /* number 3, "u3": the same */
    uint32_t other; /* number 4, "u4": the same in station 2 */
};

/* Stations 1 and 2; nodes 1 to `nodes` hold the group and know all of this: node 2 of station 1, node 3 of station 2.
 */
struct world world_new(uint32_t nodes);
void world_teach_all(const struct world *w);

struct dot world_dot(uint32_t node, uint64_t seq); /* of epoch 1 */
uint64_t world_upto(const struct world *w, uint32_t at, uint32_t origin, uint32_t epoch);

/* All commits of one origin (epoch 1) that `to` lacks, without a session. */
void world_carry(const struct world *w, uint32_t from, uint32_t to, uint32_t origin);

/* As the seller. world_customer: a customer that every node has already. */
struct record_id world_customer(const struct world *w);
enum err world_set(
    const struct world *w, uint32_t node, enum entity entity, struct record_id id, const char *field, const char *text);
enum err world_set_name(const struct world *w, uint32_t node, struct record_id id, const char *name);
enum err world_delete(const struct world *w, uint32_t node, enum entity entity, struct record_id id);
struct record_id world_child(const struct world *w, uint32_t node, struct record_id customer, enum entity entity,
    const char *name, const char *text);

bool world_has(const struct world *w, uint32_t node, struct record_id customer);
/* The field stands there and has this text. */
bool world_shows(
    const struct world *w, uint32_t node, enum entity entity, struct record_id id, const char *field, const char *text);
bool world_shows_name(const struct world *w, uint32_t node, struct record_id id, const char *name);

/* Signatures, digests and chain of a node's whole log hold. */
bool world_log_is_whole(const struct world *w, uint32_t node);
/* A rebuild from the log gives the state that stands there. */
bool world_rebuild_is_same(const struct world *w, uint32_t node);

#endif
