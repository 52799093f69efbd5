/*
 * Two nodes, each a `jipan run` process, over TLS on loopback: cold sync of everything to an empty second node, edits
 * on both sides of a cut line, one live edit, nothing to do. The line between them counts the bytes (TLS and websocket
 * framing included) and can be cut.
 *
 * Usage: bench_pair DIR JIPAN [CUSTOMERS]     DIR must exist, be empty and lie on the disk to be measured
 */
#include "tests/bench/stations.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WARM_EDITS = 1000, LIVE_EDITS = 200, NOTHING_RUNS = 50, FRESH_RUNS = 10 };

struct bench {
    size_t customers;
    struct station a, b;
    struct line *line;
    char ids[STATION_IDS_MAX][64];
    size_t id_count;
};

/* --- what is measured -----------------------------------------------------------------------------------------------
 */

/* From the start of the second daemon (empty, it dials at once) to both having said that they are in sync. */
static void measure_cold(struct bench *be)
{
    double n = (double)be->customers;
    double cpu_a = bench_cpu_of(be->a.pid);
    double bytes = line_bytes(be->line);
    double begin = bench_seconds();
    station_start(&be->b);
    station_sync(&be->b);
    double seconds = bench_seconds() - begin;
    bytes = line_bytes(be->line) - bytes;
    stations_need_same(&be->a, &be->b);
    bench_print_one("cold sync", "customers/s", n / seconds, 0, "empty node to in sync, TLS loopback, durable");
    bench_print_one("cold sync: wall", "s", seconds, 0, "");
    bench_print_one("cold sync: CPU of the giver", "us/customer", (bench_cpu_of(be->a.pid) - cpu_a) * 1e6 / n, 0, "");
    bench_print_one("cold sync: CPU of the taker", "us/customer", bench_cpu_of(be->b.pid) * 1e6 / n, 0,
        "from its start, with one state hash");
    bench_print_one("cold sync: wire", "B/customer", bytes / n, 0, "TCP payload both ways");
    bench_print_one("peak memory of the giver", "MB", bench_peak_mb(be->a.pid), 0, "");
    bench_print_one("peak memory of the taker", "MB", bench_peak_mb(be->b.pid), 0, "");
    bench_print_one("disk of the giver", "B/customer", bench_disk_bytes(be->a.home) / n, 0, "running, with its WAL");
    bench_print_one("disk of the taker", "B/customer", bench_disk_bytes(be->b.home) / n, 0, "running, with its WAL");
}

static const char *some_id(const struct bench *be, size_t which)
{
    return be->ids[which * 7919 % be->id_count];
}

/* Edits on both sides of a cut line, of different fields; then the time from the line being whole to in sync. */
static void measure_warm(struct bench *be)
{
    char text[32];
    line_set(be->line, PROXY_CUT);
    for (size_t i = 0; i < WARM_EDITS; i++) {
        (void)snprintf(text, sizeof(text), "冷%zu", i);
        station_edit(&be->a, some_id(be, i), "occupation", text);
        station_edit(&be->b, some_id(be, i), "industry", text);
    }
    double bytes = line_bytes(be->line);
    line_set(be->line, PROXY_OPEN);
    double begin = bench_seconds();
    station_sync(&be->b);
    double seconds = bench_seconds() - begin;
    bytes = line_bytes(be->line) - bytes;
    stations_need_same(&be->a, &be->b);
    bench_print_one("warm sync, 1,000 edits each way", "s", seconds, 0, "dial and handshake included");
    bench_print_one("warm sync: wire", "B/edit", bytes / (2 * WARM_EDITS), 0, "TCP payload both ways");
}

static void measure_live(struct bench *be)
{
    double bytes = line_bytes(be->line);
    stations_measure_live(&be->a, &be->b, be->ids, be->id_count, LIVE_EDITS, "one live edit");
    bytes = line_bytes(be->line) - bytes;
    bench_print_one(
        "one live edit: wire", "B", bytes / LIVE_EDITS, 0, "TCP payload both ways, acknowledgement included");
}

static void measure_nothing(struct bench *be)
{
    struct bench_series *ms = calloc(2, sizeof(*ms));
    bench_need(ms != NULL, "out of memory");
    double bytes = line_bytes(be->line);
    for (size_t i = 0; i < NOTHING_RUNS; i++) {
        double begin = bench_seconds();
        station_sync(&be->b);
        bench_add(&ms[0], (bench_seconds() - begin) * 1e3);
    }
    bytes = line_bytes(be->line) - bytes;
    bench_print("nothing to do, open session", "ms", &ms[0], 0, "one round trip: probe and reply");
    bench_print_one("nothing to do, open session: wire", "B", bytes / NOTHING_RUNS, 0, "TCP payload both ways");
    double fresh = 0;
    for (size_t i = 0; i < FRESH_RUNS; i++) {
        line_set(be->line, PROXY_CUT);
        (void)usleep(100000);
        double before = line_bytes(be->line);
        line_set(be->line, PROXY_OPEN);
        double begin = bench_seconds();
        station_sync(&be->b);
        bench_add(&ms[1], (bench_seconds() - begin) * 1e3);
        fresh += line_bytes(be->line) - before;
    }
    bench_print("nothing to do, new session", "ms", &ms[1], 0, "TCP, TLS, websocket, hello both ways, probe");
    bench_print_one("nothing to do, new session: wire", "B", fresh / FRESH_RUNS, 0, "TCP payload both ways");
    free(ms);
}

int main(int argc, char **argv)
{
    char code[INVITE_CODE_MAX];
    struct bench *be = calloc(1, sizeof(*be));
    bench_need(be != NULL && argc > 2, "usage: bench_pair DIR JIPAN [CUSTOMERS]");
    be->customers = argc > 3 ? strtoul(argv[3], NULL, 10) : 100000;
    station_init(&be->a, argv[1], argv[2], "a");
    station_init(&be->b, argv[1], argv[2], "b");
    struct app *app = station_found(&be->a);
    bench_import_all(app, be->customers);
    station_invite(app, NODE_STATION, "S2", code);
    app_close(app);
    be->line = line_open(be->a.port);
    station_start(&be->a);
    station_join(&be->b, code, be->line);
    measure_cold(be);
    be->id_count = station_ids(&be->a, be->ids, STATION_IDS_MAX);
    measure_nothing(be);
    measure_live(be);
    measure_warm(be);
    station_stop(&be->b);
    station_stop(&be->a);
    line_close(be->line);
    free(be);
    return 0;
}
