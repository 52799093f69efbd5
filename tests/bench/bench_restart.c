/*
 * Restart after kill -9 of a node that holds many changes: from the start of the process to the first answered read.
 * A change is a commit of its own that edits one field; a tenth as many customers lie under them. Killed once while it
 * writes in bulk, so that the store's log is as long as it gets, then several times between single edits.
 *
 * figure shows.
 *
 * Usage: bench_restart DIR JIPAN [CHANGES]     DIR must exist, be empty and lie on the disk to be measured
 */
#include "tests/bench/stations.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS = 5, EDITS = 300, CUSTOMERS_MAX = 1000 };

static void write_edits(struct app *app, size_t edits)
{
    struct record_id *ids = calloc(CUSTOMERS_MAX, sizeof(*ids));
    bench_need(ids != NULL, "out of memory");
    size_t count = station_record_ids(app, ids, CUSTOMERS_MAX);
    station_write_edits(app, ids, count, edits);
    free(ids);
}

/* In a process that dies without closing anything, as by kill -9. */
static void fill(struct station *s, size_t changes)
{
    pid_t pid = fork();
    int status = 0;
    bench_need(pid >= 0, "cannot fork");
    if (pid == 0) {
        struct app *app = station_found(s);
        double begin = bench_seconds();
        bench_import_all(app, changes / 10);
        write_edits(app, changes);
        (void)fprintf(stderr, "bench: %zu changes written in %.1f s\n", changes, bench_seconds() - begin);
        (void)kill(getpid(), SIGKILL);
    }
    bench_need(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "the writer did not come to its end");
}

/* The process, the store, the first read. */
static double restart(struct station *s, const char *id, double *peak_mb)
{
    double begin = bench_seconds();
    station_start(s);
    json_t *args = id == NULL ? json_pack("{s:s, s:i, s:s}", "entity", "customer", "limit", 1, "purpose", "P1")
                              : json_pack("{s:s, s:s}", "id", id, "purpose", "P1");
    json_decref(station_ask(s, id == NULL ? "find" : "get", args));
    double seconds = bench_seconds() - begin;
    *peak_mb = bench_peak_mb(s->pid);
    return seconds;
}

static void measure_between_edits(struct station *s, size_t changes)
{
    struct bench_series *ms = calloc(1, sizeof(*ms));
    char(*ids)[64] = calloc(STATION_IDS_MAX, sizeof(*ids));
    char text[32];
    char remark[160];
    double log_mb = 0;
    double peak_mb = 0;
    bench_need(ms != NULL && ids != NULL, "out of memory");
    size_t count = station_ids(s, ids, STATION_IDS_MAX);
    for (size_t run = 0; run < RUNS; run++) {
        for (size_t i = 0; i < EDITS; i++) {
            (void)snprintf(text, sizeof(text), "启%zu-%zu", run, i);
            station_edit(s, ids[i * 7919 % count], "occupation", text);
        }
        station_kill(s);
        double now_mb = station_file_mb(s, "jipan.db-wal");
        log_mb = now_mb > log_mb ? now_mb : log_mb;
        bench_add(ms, restart(s, ids[run % count], &peak_mb) * 1e3);
    }
    (void)snprintf(remark, sizeof(remark),
        "kill -9 between edits to answered get; %zu changes, store %.0f MB, log up to %.0f MB", changes,
        station_file_mb(s, "jipan.db"), log_mb);
    bench_print("restart", "ms", ms, 0, remark);
    bench_print_one("restart: peak memory", "MB", peak_mb, 0, "");
    free(ids);
    free(ms);
}

int main(int argc, char **argv)
{
    char remark[160];
    double peak_mb = 0;
    struct station *s = calloc(1, sizeof(*s));
    bench_need(s != NULL && argc > 2, "usage: bench_restart DIR JIPAN [CHANGES]");
    size_t changes = argc > 3 ? strtoul(argv[3], NULL, 10) : 100000;
    bench_need(changes >= 10000, "at least 10,000 changes");
    station_init(s, argv[1], argv[2], "node");
    fill(s, changes);
    double log_mb = station_file_mb(s, "jipan.db-wal");
    double seconds = restart(s, NULL, &peak_mb);
    (void)snprintf(remark, sizeof(remark), "kill -9 while writing in bulk to answered find; log %.0f MB", log_mb);
    bench_print_one("restart after bulk", "ms", seconds * 1e3, 0, remark);
    measure_between_edits(s, changes);
    station_stop(s);
    free(s);
    return 0;
}
