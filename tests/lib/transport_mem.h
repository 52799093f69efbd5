#ifndef JIPAN_TEST_TRANSPORT_MEM_H
#define JIPAN_TEST_TRANSPORT_MEM_H

#include "sync/transport.h"

/*
 * The transport in memory: a network of endpoints in one process, one event per step, no clock and no chance. Events
 * wait in one queue in the order in which they were caused, so a run depends on nothing but the calls made.
 */
struct mem_net;

struct mem_net *mem_net_new(void);
void mem_net_free(struct mem_net *net); /* frees its endpoints too */

/* Delivers the oldest event that no cut holds up. False when there is none. */
bool transport_mem_step(struct mem_net *net);

/* An endpoint reachable at address ("host:port" or any text). Copies ev. */
struct transport *transport_mem_new(struct mem_net *net, const char *address, const uint8_t key[TRANSPORT_KEY_BYTES],
    const struct transport_events *ev);

/* Silent removal, as of a node that lost power: peers see their connections close. */
void transport_mem_free(struct transport *t);

/* Breaks or mends the line between two endpoints. Breaking closes their connections on both sides and loses what was
 * under way; dials over a broken line fail with ERR_UNREACHABLE. */
void transport_mem_cut(struct transport *a, struct transport *b, bool is_cut);

/* Queues without the sender's own checks: what a hostile peer might send. */
void transport_mem_force(struct transport *t, conn_id c, struct bytes message);

#endif
