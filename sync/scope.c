/*
 * Owns: the question which node may hold which dossier. Invariant: the answer depends on membership and the dossier's
 * owner only, never on who asks or on what was sent before. Does not send, forget or store anything.
 */
#include "sync/scope.h"

bool scope_takes_all(const struct member_node *node)
{
    return node->holds_group && node->kind != NODE_LAPTOP && node->kind != NODE_RELAY;
}

enum err scope_may_hold(
    struct core *c, struct arena *a, const struct member_node *node, const struct scope_dossier *d, bool *out)
{
    struct dossier known = { 0 };
    *out = d->kind == DOSSIER_GROUP_BOOK;
    if (*out || !members_node_in_scope(node, d->station)) {
        return ERR_OK;
    }
    if (node->kind != NODE_LAPTOP || d->kind == DOSSIER_STATION_BOOK) {
        *out = true;
        return ERR_OK;
    }
    enum err e = c->store->ops->dossier_get(c->store, d->id, a, &known);
    *out = e == ERR_OK && (known.owner != 0 ? known.owner : known.creator) == node->owner;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
