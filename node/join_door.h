#ifndef JIPAN_JOIN_DOOR_H
#define JIPAN_JOIN_DOOR_H

#include "node/app.h"
#include "sync/transport.h"

/*
 * The inviting half of enrolment: connections that knock at DOOR_JOIN, ask once and are answered. Anybody may knock, so
 * they are few and short.
 */
enum { JOIN_DOOR_MAX = 8, JOIN_DOOR_MS = 15000 };

struct join_door {
    struct app *app;
    struct transport *transport;
    struct {
        conn_id conn; /* 0: free */
        uint64_t since_ms;
        uint8_t key[TRANSPORT_KEY_BYTES];
    } at[JOIN_DOOR_MAX];
};

bool join_door_is_open(const struct join_door *j); /* this node enrols, and there is room */
void join_door_opened(struct join_door *j, conn_id c, const uint8_t key[TRANSPORT_KEY_BYTES]);
bool join_door_has(const struct join_door *j, conn_id c);
/* The connection must be one of ours. Answers and closes it. */
void join_door_message(struct join_door *j, conn_id c, struct bytes message);
void join_door_closed(struct join_door *j, conn_id c);
void join_door_tick(struct join_door *j); /* ends those who hold the door without asking */

#endif
