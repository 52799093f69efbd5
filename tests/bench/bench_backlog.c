/*
 * A node comes back after a long time away and fetches what many stations have written since. Each origin has imported
 * new customers in bulk commits and edited them, one field and one commit at a time; all of that lies at a hub (a
 * `jipan run` process) that has it in its log. Two nodes that were in sync before all this come back one after the
 * other: the first is measured while somebody reads at it, the second is killed half way and started again.
 *
 * Usage: bench_backlog DIR JIPAN [ORIGINS [EDITS [CUSTOMERS]]]     EDITS and CUSTOMERS of each origin; DIR must exist,
 * be empty and lie on the disk to be measured
 */
#include "tests/bench/stations.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ORIGINS_MAX = 64, FIRST_CUSTOMERS = 1000, READ_EVERY_US = 20000 };

struct bench {
    size_t origins, edits, customers;
    struct station hub;
    struct station away[2];
    struct station origin[ORIGINS_MAX];
    struct line *line;
    char ids[STATION_IDS_MAX][64];
    size_t id_count;
};

/* --- what happened meanwhile ----------------------------------------------------------------------------------------
 */

/* A group that is in sync, and a place for everybody in it. */
static void found(struct bench *be)
{
    char(*codes)[INVITE_CODE_MAX] = calloc(be->origins + 2, sizeof(*codes));
    bench_need(codes != NULL, "out of memory");
    struct app *app = station_found(&be->hub);
    bench_import_all(app, FIRST_CUSTOMERS);
    for (size_t i = 0; i < be->origins + 2; i++) {
        char station[32];
        (void)snprintf(station, sizeof(station), "S%zu", i + 2);
        station_invite(app, NODE_STATION, station, codes[i]);
    }
    app_close(app);
    be->line = line_open(be->hub.port);
    station_start(&be->hub);
    for (size_t i = 0; i < be->origins; i++) {
        station_join(&be->origin[i], codes[i], NULL);
    }
    for (size_t i = 0; i < 2; i++) {
        station_join(&be->away[i], codes[be->origins + i], be->line);
    }
    for (size_t i = 0; i < 2; i++) {
        station_start(&be->away[i]);
        station_sync(&be->away[i]);
        be->id_count = station_ids(&be->away[i], be->ids, STATION_IDS_MAX);
        station_stop(&be->away[i]);
    }
    station_stop(&be->hub);
    free(codes);
}

static void write_backlog(struct bench *be)
{
    struct record_id *ids = calloc(be->customers, sizeof(*ids));
    double begin = bench_seconds();
    bench_need(ids != NULL, "out of memory");
    struct app *hub = station_open(&be->hub);
    for (size_t i = 0; i < be->origins; i++) {
        double cpu = 0;
        struct app *app = station_open(&be->origin[i]);
        uint64_t first = FIRST_CUSTOMERS + i * be->customers;
        for (size_t at = 0; at < be->customers; at += IMPORT_ROWS_PER_REQUEST) {
            size_t left = be->customers - at;
            (void)bench_import(app, first + at, left < IMPORT_ROWS_PER_REQUEST ? left : IMPORT_ROWS_PER_REQUEST, &cpu);
        }
        size_t count = station_record_ids(app, ids, be->customers);
        station_write_edits(app, ids, count, be->edits);
        station_carry(app, hub);
        app_close(app);
    }
    app_close(hub);
    free(ids);
    (void)fprintf(stderr, "bench: the backlog was made in %.0f s\n", bench_seconds() - begin);
}

/* --- coming back ----------------------------------------------------------------------------------------------------
 */

struct syncing {
    struct station station;
    atomic_bool is_done;
};

static void *sync_thread(void *ctx)
{
    struct syncing *s = ctx;
    station_sync(&s->station);
    atomic_store(&s->is_done, true);
    return NULL;
}

static double come_back(struct bench *be, struct station *s)
{
    struct bench_series *ms = calloc(1, sizeof(*ms));
    struct syncing other = { .is_done = false };
    pthread_t thread;
    char remark[160];
    double changes = (double)(be->origins * be->edits);
    bench_need(ms != NULL, "out of memory");
    double bytes = line_bytes(be->line);
    double begin = bench_seconds();
    double cpu_hub = bench_cpu_of(be->hub.pid);
    station_start(s);
    station_attach(s, &other.station);
    bench_need(pthread_create(&thread, NULL, sync_thread, &other) == 0, "no thread");
    for (size_t i = 0; !atomic_load(&other.is_done); i++) {
        double asked = bench_seconds();
        json_decref(station_ask(s, "get", json_pack("{s:s, s:s}", "id", be->ids[i % be->id_count], "purpose", "P1")));
        if (ms->count < BENCH_RUNS_MAX && i > 0) { /* the first one pays for the password */
            bench_add(ms, (bench_seconds() - asked) * 1e3);
        }
        (void)usleep(READ_EVERY_US);
    }
    double seconds = bench_seconds() - begin;
    bytes = line_bytes(be->line) - bytes;
    (void)pthread_join(thread, NULL);
    station_leave(&other.station);
    double cpu = bench_cpu_of(s->pid);
    (void)snprintf(remark, sizeof(remark),
        "%zu origins, each %zu edits of one field (a commit each) and %zu new customers", be->origins, be->edits,
        be->customers);
    bench_print_one("backlog: wall", "s", seconds, 0, remark);
    bench_print_one("backlog: rate", "changes/s", changes / seconds, 0, "");
    bench_print_one(
        "backlog: CPU of the hub", "us/change", (bench_cpu_of(be->hub.pid) - cpu_hub) * 1e6 / changes, 0, "");
    bench_print_one("backlog: CPU of the node", "us/change", cpu * 1e6 / changes, 0, "reads included");
    bench_print_one("backlog: wire", "B/change", bytes / changes, 0, "TCP payload both ways");
    bench_print_one("backlog: peak memory of the node", "MB", bench_peak_mb(s->pid), 0, "");
    bench_print_one("backlog: peak memory of the hub", "MB", bench_peak_mb(be->hub.pid), 0, "");
    bench_print("backlog: reads meanwhile", "ms", ms, 0, "get with its durable audit entry, 50 a second");
    bench_print_one("backlog: reads meanwhile, p99", "ms", bench_quantile(ms, 0.99), 0, "");
    stations_need_same(&be->hub, s);
    station_stop(s);
    free(ms);
    return bytes;
}

static void come_back_killed(struct bench *be, struct station *s, double clean)
{
    char remark[120];
    double bytes = line_bytes(be->line);
    station_start(s);
    while (line_bytes(be->line) - bytes < clean / 2) {
        (void)usleep(1000);
    }
    station_kill(s);
    station_start(s);
    station_sync(s);
    bytes = line_bytes(be->line) - bytes;
    stations_need_same(&be->hub, s);
    (void)snprintf(remark, sizeof(remark),
        "kill -9 half way: more on the wire than the clean %.1f MB, new session included", clean / 1e6);
    bench_print_one("backlog: sent twice", "KB", (bytes - clean) / 1e3, 0, remark);
    station_stop(s);
}

int main(int argc, char **argv)
{
    struct bench *be = calloc(1, sizeof(*be));
    bench_need(be != NULL && argc > 2, "usage: bench_backlog DIR JIPAN [ORIGINS [EDITS [CUSTOMERS]]]");
    be->origins = argc > 3 ? strtoul(argv[3], NULL, 10) : 20;
    be->edits = argc > 4 ? strtoul(argv[4], NULL, 10) : 1000;
    be->customers = argc > 5 ? strtoul(argv[5], NULL, 10) : 100;
    bench_need(be->origins > 0 && be->origins <= ORIGINS_MAX && be->customers > 0, "1 to 64 origins");
    station_init(&be->hub, argv[1], argv[2], "hub");
    station_init(&be->away[0], argv[1], argv[2], "away");
    station_init(&be->away[1], argv[1], argv[2], "killed");
    for (size_t i = 0; i < be->origins; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "origin%zu", i);
        station_init(&be->origin[i], argv[1], argv[2], name);
    }
    found(be);
    write_backlog(be);
    station_start(&be->hub);
    double clean = come_back(be, &be->away[0]);
    come_back_killed(be, &be->away[1], clean);
    station_stop(&be->hub);
    line_close(be->line);
    free(be);
    return 0;
}
