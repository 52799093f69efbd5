/*
 * A hub (one `jipan run` process) with many connected nodes, each writing one change a second that goes to all others:
 * how long a change takes to every other node, and what a peer costs the hub in memory. Then, with all of them known,
 * what it costs to find that there is nothing to do.
 *
 * Usage: bench_hub DIR JIPAN [NODES [SECONDS [whole|light]]]     DIR must exist, be empty and lie on the disk to be
 * measured; whole and light: tests/bench/crowd.h
 */
#include "tests/bench/crowd.h"

#include <stdio.h>
#include <stdlib.h>

enum { NOTHING_RUNS = 20, NODES_A_STATION = 10 };

static void join_all(struct station *hub, struct station *nodes, size_t count)
{
    char(*codes)[INVITE_CODE_MAX] = calloc(count, sizeof(*codes));
    struct app *app = station_found(hub);
    bench_need(codes != NULL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        char station[32];
        (void)snprintf(station, sizeof(station), "S%zu", 2 + i / NODES_A_STATION);
        station_invite(app, NODE_STATION, station, codes[i]);
    }
    app_close(app);
    station_start(hub);
    for (size_t i = 0; i < count; i++) {
        station_join(&nodes[i], codes[i], NULL);
    }
    free(codes);
}

static void print_run(const struct crowd_result *r, size_t count, const char *kind, double cpu)
{
    char remark[160];
    (void)snprintf(remark, sizeof(remark), "%zu %s nodes; %llu changes, %llu deliveries, each from %s", count, kind,
        (unsigned long long)r->changes, (unsigned long long)r->delivered,
        kind[0] == 'w' ? "durable to applied" : "sent to received");
    bench_print_one("hub: delivery, median", "ms", crowd_quantile_ms(r, 0.5), 0, remark);
    bench_print_one("hub: delivery, p99", "ms", crowd_quantile_ms(r, 0.99), 0, "");
    bench_print_one("hub: delivery, slowest", "ms", crowd_quantile_ms(r, 1), 0, "");
    bench_print_one("hub: CPU", "of a core", cpu / r->seconds, 0, "while changes came");
    bench_print_one("hub: CPU", "us/delivery", cpu * 1e6 / (double)r->delivered, 0, "");
}

/* One more node, when all are known and have written something. */
static void measure_nothing(struct station *last, struct station *hub, const char *code, size_t count)
{
    char remark[80];
    struct line *line = line_open(hub->port);
    station_join(last, code, line);
    station_start(last);
    station_sync(last);
    double bytes = line_bytes(line);
    for (size_t i = 0; i < NOTHING_RUNS; i++) {
        station_sync(last);
    }
    bytes = line_bytes(line) - bytes;
    (void)snprintf(remark, sizeof(remark), "%zu known nodes; one round trip, TCP payload both ways", count + 2);
    bench_print_one("nothing to do: wire", "B", bytes / NOTHING_RUNS, 0, remark);
    station_stop(last);
    line_close(line);
}

int main(int argc, char **argv)
{
    char code[INVITE_CODE_MAX];
    bench_need(argc > 2, "usage: bench_hub DIR JIPAN [NODES [SECONDS [whole|light]]]");
    size_t count = argc > 3 ? strtoul(argv[3], NULL, 10) : 20;
    unsigned seconds = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 20;
    const char *kind = argc > 5 ? argv[5] : "whole";
    struct station *nodes = calloc(CROWD_MAX, sizeof(*nodes));
    struct station hub;
    struct station last;
    struct crowd_result *r = calloc(1, sizeof(*r));
    bench_need(nodes != NULL && r != NULL && count > 1 && count <= CROWD_MAX && seconds > 0, "2 to 256 nodes");
    station_init(&hub, argv[1], argv[2], "hub");
    station_init(&last, argv[1], argv[2], "last");
    for (size_t i = 0; i < count; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "n%zu", i);
        station_init(&nodes[i], argv[1], argv[2], name);
    }
    join_all(&hub, nodes, count);
    station_stop(&hub);
    struct app *app = station_open(&hub);
    station_invite(app, NODE_STATION, "S1", code);
    app_close(app);
    struct crowd *crowd = crowd_open(nodes, count, strcmp(kind, "whole") == 0 ? CROWD_WHOLE : CROWD_LIGHT);
    station_start(&hub);
    double before_mb = bench_peak_mb(hub.pid);
    crowd_connect(crowd);
    double connected_mb = bench_peak_mb(hub.pid);
    double cpu = bench_cpu_of(hub.pid);
    crowd_run(crowd, seconds, r);
    print_run(r, count, kind, bench_cpu_of(hub.pid) - cpu);
    double peers = (double)count;
    bench_print_one("hub: memory per peer, connected", "MB", (connected_mb - before_mb) / peers, 0,
        "peak, less the peak before any");
    bench_print_one(
        "hub: memory per peer, busy", "MB", (bench_peak_mb(hub.pid) - before_mb) / peers, 0, "the same after the run");
    crowd_close(crowd);
    measure_nothing(&last, &hub, code, count);
    station_stop(&hub);
    free(nodes);
    free(r);
    return 0;
}
