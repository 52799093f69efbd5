/*
 * Owns: the question which node may hold which dossier. Invariant: the answer depends on membership and the dossier's
 * owner only, never on who asks or on what was sent before. Does not send, forget or store anything.
 */
#include "sync/scope.h"

#include "sync/marks.h"

bool scope_takes_all(const struct member_node *node)
{
    return node->holds_group && node->kind != NODE_LAPTOP && node->kind != NODE_RELAY;
}

bool scope_is_for(const struct member_node *node, enum dossier_kind kind, uint32_t station, uint32_t holder)
{
    if (kind == DOSSIER_GROUP_BOOK) {
        return true;
    }
    if (!members_node_in_scope(node, station)) {
        return false;
    }
    return node->kind != NODE_LAPTOP || kind == DOSSIER_STATION_BOOK || holder == node->owner;
}

bool scope_covers(const struct member_node *by, const struct member_node *node)
{
    if (by->kind != NODE_STATION && by->kind != NODE_HUB) {
        return false;
    }
    if (by->holds_group) {
        return true;
    }
    bool covers = !node->holds_group && members_node_in_scope(by, node->station);
    for (uint32_t i = 0; i < node->scope_count; i++) {
        covers = covers && members_node_in_scope(by, node->scope[i]);
    }
    return covers;
}

enum err scope_may_hold(
    struct core *c, struct arena *a, const struct member_node *node, const struct scope_dossier *d, bool *out)
{
    struct dossier known = { 0 };
    bool needs_holder = node->kind == NODE_LAPTOP && d->kind != DOSSIER_GROUP_BOOK && d->kind != DOSSIER_STATION_BOOK;
    if (!needs_holder) {
        *out = scope_is_for(node, d->kind, d->station, 0);
        return ERR_OK;
    }
    enum err e = c->store->ops->dossier_get(c->store, d->id, a, &known);
    *out = e == ERR_OK && scope_is_for(node, d->kind, d->station, marks_holder(&known));
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
