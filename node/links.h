#ifndef JIPAN_LINKS_H
#define JIPAN_LINKS_H

#include "node/app.h"
#include "sync/transport.h"

#include <jansson.h>

/*
 * The peers this node was told to dial: what is configured, what is connected, when to try again. Back-off: 500 ms
 * doubling to at most 60 s, with jitter; a line that broke is dialled again soon, who was refused ever more rarely, and
 * so is who lost it to another copy of this node: two copies would push each other out without end.
 */
enum { LINKS_MAX = 64 };

enum link_state { LINK_IDLE, LINK_DIALLING, LINK_OPEN };

struct link {
    struct app_peer peer;
    enum link_state state;
    conn_id conn;
    uint64_t tag;
    uint64_t due_ms;
    unsigned failures;
    enum err refused; /* why this session was ended by one side; ERR_OK: it was not */
    enum err last_error;
};

/* Whether there is a live session with the node that has this key, whoever dialled. */
typedef bool (*links_live_fn)(void *ctx, const uint8_t tls_key[TRANSPORT_KEY_BYTES]);

struct links {
    struct app *app;
    struct transport *transport;
    links_live_fn is_live;
    links_live_fn admits; /* false: not to be dialled now unless a person asks */
    void *ctx;
    uint64_t next_tag;
    struct link at[LINKS_MAX];
    size_t count;
};

/* Makes the links those that are configured: new ones are dialled soon, removed ones and changed keys are hung up. */
MUST_USE enum err links_load(struct links *l);
void links_dial(struct links *l, bool at_once); /* those that are due, or all that are idle */

void links_opened(struct links *l, conn_id c, uint64_t tag);
void links_refused(struct links *l, conn_id c, enum err why);
void links_closed(struct links *l, conn_id c);
void links_dial_failed(struct links *l, uint64_t tag, enum err why);

bool links_is_dialling(const struct links *l);
size_t links_unreachable(const struct links *l); /* configured and not live */
void links_describe(const struct links *l, json_t *list); /* those without a connection, for `status` */

#endif
