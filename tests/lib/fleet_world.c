/*
 * Owns: the usual small group of tests. Invariant: same numbers in every test, so that a test may name "u2" or node 3.
 */
#include "tests/lib/fleet_world.h"

#include "schema/base/check.h"
#include "tests/lib/testkit.h"

#include <stdio.h>

struct world world_new(uint32_t nodes)
{
    struct world w = { .f = fleet_new(7) };
    uint32_t roles = role_bit(ROLE_SM) | role_bit(ROLE_SC);
    (void)fleet_station(w.f);
    w.seller = fleet_user(w.f, 1, roles);
    w.buddy = fleet_user(w.f, 1, roles);
    w.other = fleet_user(w.f, 2, roles);
    for (uint32_t n = 2; n <= nodes; n++) {
        (void)fleet_station_node(w.f, n % 2 + 1, true);
    }
    world_teach_all(&w);
    return w;
}

void world_teach_all(const struct world *w)
{
    for (uint32_t n = 2; n <= fleet_count(w->f); n++) {
        fleet_teach(w->f, n);
    }
}

struct dot world_dot(uint32_t node, uint64_t seq)
{
    return (struct dot){ .node = node, .epoch = 1, .seq = seq };
}

uint64_t world_upto(const struct world *w, uint32_t at, uint32_t origin, uint32_t epoch)
{
    const struct head *h = core_head(fleet_core(w->f, at), origin, epoch);
    return h == NULL ? 0 : h->upto;
}

void world_carry(const struct world *w, uint32_t from, uint32_t to, uint32_t origin)
{
    uint64_t last = world_upto(w, from, origin, 1);
    for (uint64_t seq = world_upto(w, to, origin, 1) + 1; seq <= last; seq++) {
        check(fleet_carry(w->f, from, to, world_dot(origin, seq)) == ERR_OK);
    }
}

struct record_id world_customer(const struct world *w)
{
    struct record_id id = fleet_customer(w->f, 1, w->seller, "陈大文");
    for (uint32_t n = 2; n <= fleet_count(w->f); n++) {
        world_carry(w, 1, n, 1);
    }
    return id;
}

enum err world_set(
    const struct world *w, uint32_t node, enum entity entity, struct record_id id, const char *field, const char *text)
{
    return fleet_set(w->f, node, w->seller, entity, id, field, text);
}

enum err world_set_name(const struct world *w, uint32_t node, struct record_id id, const char *name)
{
    return world_set(w, node, ENTITY_CUSTOMER, id, "full_name", name);
}

enum err world_delete(const struct world *w, uint32_t node, enum entity entity, struct record_id id)
{
    struct fleet_write del = { .node = node, .user = w->seller, .entity = entity, .id = id, .is_delete = true };
    struct dot dot = { 0 };
    return fleet_write(w->f, &del, &dot);
}

struct record_id world_child(const struct world *w, uint32_t node, struct record_id customer, enum entity entity,
    const char *name, const char *text)
{
    const struct fleet_field fields[] = { { name, text }, { NULL, NULL } };
    return fleet_child(w->f, node, w->seller, customer, entity, fields);
}

bool world_has(const struct world *w, uint32_t node, struct record_id customer)
{
    return fleet_get(w->f, node, ENTITY_CUSTOMER, customer, "full_name") != NULL;
}

bool world_shows(
    const struct world *w, uint32_t node, enum entity entity, struct record_id id, const char *field, const char *text)
{
    const char *have = fleet_get(w->f, node, entity, id, field);
    if (have == NULL || strcmp(have, text) != 0) {
        (void)fprintf(stderr, "%s is '%s', not '%s'\n", field, have == NULL ? "(no row)" : have, text);
        return false;
    }
    return true;
}

bool world_shows_name(const struct world *w, uint32_t node, struct record_id id, const char *name)
{
    return world_shows(w, node, ENTITY_CUSTOMER, id, "full_name", name);
}

bool world_log_is_whole(const struct world *w, uint32_t node)
{
    struct arena a;
    struct dot bad = { 0 };
    arena_init(&a, test_mem(), 16 << 20);
    enum err e = core_verify_log(fleet_core(w->f, node), &a, &bad);
    arena_release(&a);
    return e == ERR_OK;
}

bool world_rebuild_is_same(const struct world *w, uint32_t node)
{
    uint8_t before[32];
    uint8_t after[32];
    fleet_hash(w->f, node, before);
    check(fleet_rebuild(w->f, node) == ERR_OK);
    fleet_hash(w->f, node, after);
    return memcmp(before, after, sizeof(before)) == 0;
}
