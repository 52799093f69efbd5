/*
 * Owns: the figures of limits.h and when they bite. Invariants: nobody is paused for what somebody else did; nothing a
 * peer sent is acknowledged while there is no room for it; a held session is closed when there is room again, so that
 * it begins anew and nothing is left out.
 */
#include "node/limits.h"

#include "node/log.h"

#include <sys/statvfs.h>

enum { DISK_EVERY_MS = 1000, RESERVE_SHARE = 20 };

#define RESERVE_MIN_BYTES ((uint64_t)64 << 20)
#define RESERVE_MAX_BYTES ((uint64_t)2 << 30)

static uint64_t reserve_of(const struct app *app, uint64_t disk_bytes)
{
    if (app->has_reserve) {
        return app->reserve_bytes;
    }
    uint64_t share = disk_bytes / RESERVE_SHARE;
    share = share < RESERVE_MIN_BYTES ? RESERVE_MIN_BYTES : share;
    return share > RESERVE_MAX_BYTES ? RESERVE_MAX_BYTES : share;
}

/* Those whose commits were left out begin anew. */
static void end_held(struct limits *l)
{
    for (size_t i = 0; i < sync_session_count(l->sync); i++) {
        struct session_info s = sync_session_at(l->sync, i);
        if (s.state == SESSION_LIVE && s.is_held) {
            l->transport->ops->close(l->transport, s.conn);
        }
    }
}

static void look_at_disk(struct limits *l)
{
    struct statvfs v;
    if (statvfs(l->app->home, &v) != 0) {
        return;
    }
    l->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    l->reserve_bytes = reserve_of(l->app, (uint64_t)v.f_blocks * v.f_frsize);
    bool is_short = l->free_bytes < l->reserve_bytes;
    if (is_short != l->is_short) {
        node_log(is_short ? "disk reserve reached, peers wait" : "disk has room again", l->app->core.self.number,
            is_short ? ERR_FULL : ERR_OK);
    }
    l->is_short = is_short;
    sync_set_short(l->sync, is_short);
    if (!is_short) {
        end_held(l);
    }
}

static void end_silent(const struct limits *l, uint64_t now_ms)
{
    for (size_t i = 0; i < sync_session_count(l->sync); i++) {
        struct session_info s = sync_session_at(l->sync, i);
        if (s.state == SESSION_HELLO && now_ms - s.opened_ms > SESSION_HELLO_MS) {
            l->transport->ops->close(l->transport, s.conn);
        }
    }
}

void limits_tick(struct limits *l)
{
    uint64_t now_ms = app_now().mono_ms;
    end_silent(l, now_ms);
    if (now_ms >= l->due_ms) {
        l->due_ms = now_ms + DISK_EVERY_MS;
        look_at_disk(l);
    }
}

void limits_fault(struct limits *l, const uint8_t key[TRANSPORT_KEY_BYTES], enum err why)
{
    const struct member_node *node = members_node_by_tls(l->app->members, key);
    uint64_t now_ms = app_now().mono_ms;
    if (node == NULL) {
        return;
    }
    bool was_welcome = peer_guard_admits(&l->guard, key, now_ms);
    peer_guard_fault(&l->guard, key, why, now_ms);
    if (was_welcome && !peer_guard_admits(&l->guard, key, now_ms)) {
        node_log("peer paused", node->number, why);
    }
}

void limits_refused(struct limits *l, uint32_t node, enum err why)
{
    const struct member_node *n = members_node(l->app->members, node);
    if (n != NULL) {
        limits_fault(l, n->tls_key, why);
    }
}

bool limits_admit(const struct limits *l, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    return peer_guard_admits(&l->guard, key, app_now().mono_ms);
}

void limits_describe(const struct limits *l, json_t *out)
{
    uint64_t now_ms = app_now().mono_ms;
    json_t *peers = json_array();
    for (size_t i = 0; i < members_node_count(l->app->members); i++) {
        const struct member_node *n = members_node_at(l->app->members, i);
        const struct guarded *g = peer_guard_find(&l->guard, n->tls_key);
        if (g == NULL) {
            continue;
        }
        json_t *o = json_object();
        (void)json_object_set_new(o, "node", json_integer(n->number));
        (void)json_object_set_new(o, "faults", json_integer((json_int_t)g->faults));
        (void)json_object_set_new(o, "error", json_string(err_name(g->last)));
        if (g->until_ms > now_ms) {
            (void)json_object_set_new(o, "paused_seconds", json_integer((json_int_t)((g->until_ms - now_ms) / 1000)));
        }
        (void)json_array_append_new(peers, o);
    }
    (void)json_object_set_new(out, "faulty_peers", peers);
    json_t *disk = json_object();
    (void)json_object_set_new(disk, "free_bytes", json_integer((json_int_t)l->free_bytes));
    (void)json_object_set_new(disk, "reserve_bytes", json_integer((json_int_t)l->reserve_bytes));
    (void)json_object_set_new(disk, "peers_wait", json_boolean(l->is_short));
    (void)json_object_set_new(out, "disk", disk);
}
