/*
 * Owns: what a node may hold from now on, as an act of the authority. Invariant: one transaction of complete signed
 * entries: the new scope, the keys of stations that came in, new keys of stations that went out, so that what is
 * written later there is out of the node's reach. What the node holds of them it forgets by itself (sync/leaving.c).
 */
#include "node/app_internal.h"

static enum err put_station(struct member_node *n, uint32_t station)
{
    size_t at = 0;
    while (at < n->scope_count && n->scope[at] < station) {
        at++;
    }
    if (station == n->station || (at < n->scope_count && n->scope[at] == station)) {
        return ERR_OK;
    }
    if (n->scope_count == ARRAY_LEN(n->scope)) {
        return ERR_LIMIT;
    }
    memmove(n->scope + at + 1, n->scope + at, (n->scope_count - at) * sizeof(n->scope[0]));
    n->scope[at] = station;
    n->scope_count++;
    return ERR_OK;
}

static enum err wanted_scope(struct app *app, const struct app_scope *in, struct member_node *n, struct why *why)
{
    const struct member_node *now = members_node(app->members, in->node);
    if (now == NULL) {
        return why_set(
            why, ERR_NOT_FOUND, "没有这个节点；用 jipan node list 查看", "no such node; see jipan node list");
    }
    if (now->revoked_at != 0) {
        return why_set(why, ERR_REVOKED, "这个节点已经吊销", "that node is revoked");
    }
    if (in->node == app->core.self.number) {
        return why_set(why, ERR_DENIED, "不能改正在执行命令的节点", "a node cannot change its own scope");
    }
    if (now->kind == NODE_LAPTOP && in->holds_group) {
        return why_set(why, ERR_USAGE, "笔记本只存本人的客户，不能用 --scope group",
            "a laptop holds its owner's customers only; --scope group is not for it");
    }
    if (now->kind != NODE_LAPTOP && in->owner_login.len > 0) {
        return why_set(why, ERR_USAGE, "只有笔记本有机主", "only a laptop has an owner");
    }
    *n = (struct member_node){ .number = now->number, .station = now->station, .owner = now->owner };
    n->holds_group = in->holds_group;
    if (in->owner_login.len > 0) {
        const struct member_user *owner = members_user_by_login(app->members, in->owner_login);
        if (owner == NULL) {
            return why_set(
                why, ERR_NOT_FOUND, "没有这个登录名；用 jipan user list 查看", "no such login; see jipan user list");
        }
        n->owner = owner->number;
    }
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < in->scope_count; i++) {
        e = put_station(n, in->scope[i]);
    }
    return e;
}

enum err app_set_scope(struct app *app, const struct app_scope *in, const struct audit_entry *note, struct why *why)
{
    struct member_node wanted = { 0 };
    struct member_node before = { 0 };
    enum err e = app_need_authority(app, why);
    if (e == ERR_OK) {
        e = wanted_scope(app, in, &wanted, why);
    }
    if (e == ERR_OK) {
        before = *members_node(app->members, in->node);
        e = app_begin(app);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = member_add_scope(app, &wanted);
    for (uint32_t s = 1; e == ERR_OK && s <= members_station_count(app->members); s++) {
        const struct member_node *after = members_node(app->members, in->node);
        bool had = members_node_in_scope(&before, s);
        bool has = members_node_in_scope(after, s);
        if (has && !had) {
            e = member_add_key_grant(app, s, after);
        } else if (had && !has) {
            e = member_add_key_epoch(app, s);
        }
    }
    return app_end_noted(app, e, note);
}
