#ifndef JIPAN_TESTS_FLEET_IMPL_H
#define JIPAN_TESTS_FLEET_IMPL_H

#include "tests/lib/fleet.h"
#include "tests/lib/testkit.h"

/* Shared by fleet.c and fleet_lines.c only. */

struct node {
    uint32_t number;
    struct mem mem;
    struct arena arena;
    struct rng rng;
    uint64_t chance_seed;
    uint64_t chance_used;
    int64_t clock_offset;
    struct node_secrets self;
    uint8_t authority_secret[SIGN_SECRET_BYTES]; /* node 1 */
    uint32_t epoch;
    struct store *store;
    struct core core;
    struct sync *sync;
    bool is_open;
    bool is_again; /* a step asked to be followed by another */
    enum err failure;
    struct fleet_news news;
};

/* A message, or the end of the line, on its way. */
struct parcel {
    struct parcel *next;
    bool is_end;
    struct ahead *ahead; /* worked out when it was sent; may be NULL */
    size_t len;
    uint8_t bytes[];
};

struct end {
    uint32_t node;
    conn_id conn;
    bool is_open;
    struct parcel *first; /* towards this end */
    struct parcel *last;
};

struct line {
    struct end end[2];
};

struct fleet {
    uint64_t seed;
    int64_t wall_ms;
    struct rng order;
    struct node nodes[FLEET_NODES_MAX];
    size_t count;
    struct line *lines;
    size_t line_count;
    conn_id last_conn;
    uint64_t posted; /* messages */
    fleet_watch_fn watch;
    void *watch_ctx;
};

struct node *fleet_node(struct fleet *f, uint32_t number);
struct now fleet_now_at(struct fleet *f, const struct node *n);
void fleet_node_stop(struct node *n);
void fleet_cut_node(struct fleet *f, uint32_t node); /* all its lines */

#endif
