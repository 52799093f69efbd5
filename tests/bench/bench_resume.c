/*
 * First sync over a line that breaks: an empty node fetches everything while the connection is cut at many byte
 * offsets, drawn with a seed over a clean run. What is shown is the sum of all bytes on the wire, handshakes and
 * repetitions included, as a multiple of the clean run of another empty node. The line counts what has come out of it:
 * what was still queued when it broke had not been sent.
 *
 * Usage: bench_resume DIR JIPAN [CUSTOMERS [CUTS [SEED]]]     DIR must exist, be empty and lie on the disk to be used
 */
#include "tests/bench/stations.h"

#include <stdio.h>
#include <stdlib.h>

enum { CUTS_MAX = 1000 };

static uint64_t draw(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15U;
    uint64_t z = *state;
    z = (z ^ z >> 30U) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27U) * 0x94D049BB133111EBU;
    return z ^ z >> 31U;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* An empty node until it is in sync; bytes on the wire. */
static double fetch(struct station *s, struct line *line, const uint64_t *cuts, size_t count)
{
    double begin = line_bytes(line);
    size_t next = 0;
    if (count > 0) {
        line_cut_after(line, cuts[0]);
    }
    station_start(s);
    for (int code = 1; code != 0;) {
        code = station_try(s, "sync", json_object());
        double done = line_bytes(line) - begin;
        if (next < count && line_cuts(line) > next) {
            next++;
            /* offsets that a repetition has passed are no cuts: the next one ahead is */
            uint64_t left = next < count && (double)cuts[next] > done ? cuts[next] - (uint64_t)done : 1;
            if (next < count) {
                line_cut_after(line, left);
            }
        }
    }
    return line_bytes(line) - begin;
}

int main(int argc, char **argv)
{
    char code[2][INVITE_CODE_MAX];
    uint64_t cuts[CUTS_MAX];
    char remark[120];
    bench_need(argc > 2, "usage: bench_resume DIR JIPAN [CUSTOMERS [CUTS [SEED]]]");
    size_t customers = argc > 3 ? strtoul(argv[3], NULL, 10) : 20000;
    size_t count = argc > 4 ? strtoul(argv[4], NULL, 10) : 200;
    uint64_t seed = argc > 5 ? strtoull(argv[5], NULL, 10) : 1;
    struct station *s = calloc(3, sizeof(*s));
    bench_need(s != NULL && customers > 0 && count > 0 && count <= CUTS_MAX, "1 to 1,000 cuts");
    station_init(&s[0], argv[1], argv[2], "giver");
    station_init(&s[1], argv[1], argv[2], "clean");
    station_init(&s[2], argv[1], argv[2], "cut");
    struct app *app = station_found(&s[0]);
    bench_import_all(app, customers);
    station_invite(app, NODE_STATION, "S2", code[0]);
    station_invite(app, NODE_STATION, "S3", code[1]);
    app_close(app);
    struct line *line = line_open(s[0].port);
    station_start(&s[0]);
    station_join(&s[1], code[0], line);
    double clean = fetch(&s[1], line, NULL, 0);
    station_stop(&s[1]);
    station_join(&s[2], code[1], line);
    for (size_t i = 0; i < count; i++) {
        cuts[i] = 1 + draw(&seed) % (uint64_t)clean;
    }
    qsort(cuts, count, sizeof(*cuts), by_size);
    double begin = bench_seconds();
    double cut = fetch(&s[2], line, cuts, count);
    double seconds = bench_seconds() - begin;
    stations_need_same(&s[0], &s[2]);
    (void)snprintf(remark, sizeof(remark), "of a clean run of %.1f MB; cut %llu times, %.1f s in all", clean / 1e6,
        (unsigned long long)line_cuts(line), seconds);
    bench_print_one("interrupted first sync: wire", "x", cut / clean, 0, remark);
    bench_print_one("interrupted first sync: more bytes", "B/cut", (cut - clean) / (double)line_cuts(line), 0,
        "handshake and hello of a new session, and what came twice");
    station_stop(&s[2]);
    station_stop(&s[0]);
    line_close(line);
    free(s);
    return 0;
}
