#ifndef JIPAN_TESTS_SIM_NET_IMPL_H
#define JIPAN_TESTS_SIM_NET_IMPL_H

#include "tests/sim/sim.h"

/* Shared by net.c, net_faults.c and hostile.c only. */

struct parcel {
    struct parcel *next;
    size_t len;
    uint8_t bytes[];
};

/* One end of a connection and what is under way to it. */
struct conn_end {
    uint32_t slot;
    conn_id id;
    bool is_open;
    struct parcel *first;
    struct parcel *last;
    size_t queued;
    uint64_t last_at;
    uint64_t stalled_until;
    bool has_spoil;
    enum action_id spoil;
    uint32_t spoil_chance;
};

/* end[0] dialled. */
struct conn {
    struct conn *next;
    uint64_t serial;
    size_t pair;
    bool is_opening;
    bool was_refused;
    enum action_id armed; /* CUT_MID, LATE_SESSION: with the next message; anything else: nothing */
    uint64_t opened_ms;
    struct conn_end end[2];
};

struct conn *net_conn(struct sim *s, uint64_t serial);
void net_post(struct sim *s, struct conn *c, unsigned side, struct bytes message);
void net_close(struct sim *s, struct conn *c, unsigned side);
void net_lose(struct conn_end *e); /* what is under way to this end */
bool net_lose_last(struct conn_end *e);
void net_swap_last(struct conn_end *e); /* the last two messages under way change places */
void net_armed(struct sim *s, struct conn *c, unsigned side); /* after a message went out to that side */
void net_redial(struct sim *s, size_t pair, bool from_b);
/* hostile.c: what goes out instead of, or beside, the message. */
void hostile_send(struct sim *s, struct conn *c, unsigned side, struct bytes message);

#endif
