/*
 * Owns: the connections at the join door. Invariant: a place is taken from open to close, never longer than
 * JOIN_DOOR_MS. Whether the invite is good is decided in app_enrol.
 */
#include "node/join_door.h"

#include "node/log.h"
#include "schema/base/check.h"
#include "schema/wire.h"

enum { ENTRIES_PER_REPLY = 64, NOBODY = -1, SILENT_MS = 2000 };

/* c 0: a free place. */
static int place_of(const struct join_door *j, conn_id c)
{
    for (int i = 0; i < JOIN_DOOR_MAX; i++) {
        if (j->at[i].conn == c) {
            return i;
        }
    }
    return NOBODY;
}

/* A free place, or that of whoever has stood there longest without a word: an honest joiner asks at once. */
static int place_for(const struct join_door *j)
{
    uint64_t now = app_now().mono_ms;
    int best = place_of(j, 0);
    for (int i = 0; best == NOBODY && i < JOIN_DOOR_MAX; i++) {
        if (now - j->at[i].since_ms > SILENT_MS) {
            best = i;
        }
    }
    return best;
}

bool join_door_is_open(const struct join_door *j)
{
    return j->app->core.is_authority && place_for(j) != NOBODY;
}

bool join_door_has(const struct join_door *j, conn_id c)
{
    return place_of(j, c) != NOBODY;
}

void join_door_opened(struct join_door *j, conn_id c, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    int i = place_for(j);
    if (i == NOBODY) {
        j->transport->ops->close(j->transport, c);
        return;
    }
    if (j->at[i].conn != 0) {
        j->transport->ops->close(j->transport, j->at[i].conn);
    }
    j->at[i].conn = c;
    j->at[i].since_ms = app_now().mono_ms;
    memcpy(j->at[i].key, key, sizeof(j->at[i].key));
}

void join_door_closed(struct join_door *j, conn_id c)
{
    int i = place_of(j, c);
    if (i != NOBODY) {
        j->at[i].conn = 0;
    }
}

void join_door_tick(struct join_door *j)
{
    uint64_t now = app_now().mono_ms;
    for (size_t i = 0; i < JOIN_DOOR_MAX; i++) {
        if (j->at[i].conn != 0 && now - j->at[i].since_ms > JOIN_DOOR_MS) {
            j->transport->ops->close(j->transport, j->at[i].conn);
        }
    }
}

static void reply_one(struct join_door *j, conn_id c, const struct wire_message *m)
{
    struct buf b;
    struct arena a;
    arena_init(&a, &j->app->mem, WIRE_ARENA_BYTES);
    buf_init(&b, &j->app->mem, WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, &a, m);
    if (b.err == ERR_OK) {
        (void)j->transport->ops->send(j->transport, c, buf_view(&b));
    }
    buf_release(&b);
    arena_release(&a);
}

void join_door_message(struct join_door *j, conn_id c, struct bytes message)
{
    struct arena a;
    struct wire_message m;
    const struct bytes *entries = NULL;
    size_t count = 0;
    struct wire_message reply = { .kind = WIRE_JOIN_REPLY };
    int place = place_of(j, c);
    check(place != NOBODY);
    arena_init(&a, &j->app->mem, WIRE_ARENA_BYTES);
    enum err e = wire_take(message, &a, &m);
    if (e == ERR_OK) {
        e = m.kind == WIRE_JOIN_REQUEST ? app_enrol(j->app, j->at[place].key, &m, &reply.node, &entries, &count)
                                        : ERR_PROTOCOL;
    }
    reply.error = (uint32_t)e;
    node_log("join", reply.node, e);
    size_t at = 0;
    do {
        reply.entries = e == ERR_OK ? entries + at : NULL;
        reply.count = count - at < ENTRIES_PER_REPLY ? count - at : ENTRIES_PER_REPLY;
        at += reply.count;
        reply.more = at < count;
        reply_one(j, c, &reply);
    } while (reply.more);
    j->transport->ops->close(j->transport, c);
    arena_reset(&j->app->arena);
    arena_release(&a);
}
