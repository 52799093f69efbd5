/*
 * Four `jipan run` processes: two stations that reach each other only over a relay, and a third that dials the first
 * directly. How long one edit takes over the relay, and what a line costs on which nothing happens.
 *
 * Usage: bench_relay DIR JIPAN [CUSTOMERS [SECONDS]]     SECONDS of silence; DIR must exist, be empty and lie on the
 * disk to be measured
 */
#include "tests/bench/stations.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EDITS = 200, SETTLE_SECONDS = 15 };

struct bench {
    struct station a, relay, b, c;
    struct line *to_relay, *over_relay, *direct; /* b to relay, relay to a, c to a */
    char ids[STATION_IDS_MAX][64];
    size_t id_count;
};

static void start_all(struct bench *be, size_t customers)
{
    char code[3][INVITE_CODE_MAX];
    struct app *app = station_found(&be->a);
    bench_import_all(app, customers);
    station_invite(app, NODE_RELAY, "S1", code[0]);
    station_invite(app, NODE_STATION, "S2", code[1]);
    station_invite(app, NODE_STATION, "S3", code[2]);
    app_close(app);
    be->over_relay = line_open(be->a.port);
    be->direct = line_open(be->a.port);
    be->to_relay = line_open(be->relay.port);
    station_start(&be->a);
    station_join(&be->relay, code[0], be->over_relay);
    station_join(&be->b, code[1], NULL);
    station_join(&be->c, code[2], be->direct);
    app = station_open(&be->relay);
    station_set_peer(&be->b, line_port(be->to_relay), app->core.self.tls_public);
    app_close(app);
    station_start(&be->relay);
    station_start(&be->b);
    station_start(&be->c);
}

/* A relay cannot say that all is everywhere: equal state does. */
static void wait_same(struct bench *be)
{
    double begin = bench_seconds();
    for (bool is_same = false; !is_same;) {
        json_t *one = station_ask(&be->a, "statehash", json_object());
        json_t *other = station_ask(&be->b, "statehash", json_object());
        is_same = json_equal(one, other) == 1;
        json_decref(one);
        json_decref(other);
        bench_need(is_same || bench_seconds() - begin < 300, "nothing comes over the relay");
        (void)usleep(50000);
    }
}

static void measure_silence(struct bench *be, unsigned seconds)
{
    struct line *lines[] = { be->direct, be->over_relay, be->to_relay };
    const char *names[] = { "idle line, two stations", "idle line, station and its relay",
        "idle line, relay and station" };
    double bytes[3];
    char remark[80];
    (void)sleep(SETTLE_SECONDS);
    for (size_t i = 0; i < 3; i++) {
        bytes[i] = line_bytes(lines[i]);
    }
    (void)sleep(seconds);
    (void)snprintf(remark, sizeof(remark), "TCP payload both ways, over %u s", seconds);
    for (size_t i = 0; i < 3; i++) {
        bench_print_one(names[i], "B/minute", (line_bytes(lines[i]) - bytes[i]) * 60 / seconds, 0, remark);
    }
}

int main(int argc, char **argv)
{
    struct bench *be = calloc(1, sizeof(*be));
    bench_need(be != NULL && argc > 2, "usage: bench_relay DIR JIPAN [CUSTOMERS [SECONDS]]");
    size_t customers = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000;
    unsigned seconds = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 60;
    bench_need(customers > 0 && seconds > 0, "at least one customer and one second");
    station_init(&be->a, argv[1], argv[2], "a");
    station_init(&be->relay, argv[1], argv[2], "relay");
    station_init(&be->b, argv[1], argv[2], "b");
    station_init(&be->c, argv[1], argv[2], "c");
    start_all(be, customers);
    wait_same(be);
    station_sync(&be->c);
    be->id_count = station_ids(&be->a, be->ids, STATION_IDS_MAX);
    double there = line_bytes(be->over_relay);
    double on = line_bytes(be->to_relay);
    stations_measure_live(&be->a, &be->b, be->ids, be->id_count, EDITS, "one edit over a relay");
    bench_print_one("one edit over a relay: wire to it", "B", (line_bytes(be->over_relay) - there) / EDITS, 0,
        "TCP payload both ways, acknowledgement and receipts included");
    bench_print_one("one edit over a relay: wire from it", "B", (line_bytes(be->to_relay) - on) / EDITS, 0, "");
    stations_measure_live(&be->a, &be->c, be->ids, be->id_count, EDITS, "the same edit to a neighbour");
    measure_silence(be, seconds);
    station_stop(&be->c);
    station_stop(&be->b);
    station_stop(&be->relay);
    station_stop(&be->a);
    line_close(be->to_relay);
    line_close(be->over_relay);
    line_close(be->direct);
    free(be);
    return 0;
}
