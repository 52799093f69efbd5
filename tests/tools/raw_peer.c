/*
 * Hostile and slow peers against a real daemon, for tests/e2e/hostile.sh.
 *   raw_peer enrol HOME PASSPHRASE COUNT FILE   enrols nodes whose keys are known, while no daemon runs
 *   raw_peer cases PORT FILE I N                the list of tests/lib/raw_cases.c, every N-th from the I-th; a line
 * each raw_peer idle PORT FILE COUNT               COUNT live sessions until standard input ends; says "live N"
 *   raw_peer mute PORT FILE INDEX               a live session that answers no ping; says how long it lasted
 *   raw_peer stuck PORT FILE INDEX              an upgrade without a hello; the same
 *   raw_peer faults PORT FILE INDEX             breaks the rules until it is not let in any more; says how often
 *   raw_peer flood PORT SECONDS SOURCE          500 sockets that say nothing, opened anew as they end
 *   raw_peer slow PORT FILE INDEX SECONDS       a live session that reads 1 KB a second and sends a byte at a time
 *   raw_peer probes PORT FILE INDEX SECONDS     a live session that asks and asks
 */
#include "schema/base/check.h"
#include "schema/wire.h"
#include "tests/lib/raw_cases.h"
#include "tests/lib/testkit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINES_MAX = 512 };

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

static int run_cases(const struct raw_place *to, const struct raw_group *g, size_t from, size_t step)
{
    size_t count = 0;
    size_t failed = 0;
    size_t done = 0;
    const struct raw_case *cases = raw_cases(&count);
    for (size_t i = from; i < count; i += step) {
        uint64_t began = raw_now_ms();
        bool is_well = cases[i].run(to, g, (uint32_t)(i % g->count), &cases[i]);
        failed += is_well ? 0 : 1;
        done++;
        (void)printf("%s %s, %u ms\n", is_well ? "ok" : "FAILED", cases[i].name, (unsigned)(raw_now_ms() - began));
        (void)fflush(stdout);
    }
    (void)printf("%zu cases, %zu failed\n", done, failed);
    return failed == 0 ? 0 : 1;
}

/* Reads what comes on all lines and answers pings, until standard input ends. */
static int run_idle(const struct raw_place *to, const struct raw_group *g, uint32_t count)
{
    static struct raw_line lines[LINES_MAX];
    static struct pollfd fds[LINES_MAX + 1];
    static uint8_t room[1 << 20];
    uint32_t live = 0;
    check(count <= LINES_MAX && count <= g->count);
    for (uint32_t i = 0; i < count; i++) {
        bool is_in = false;
        for (int tries = 0; !is_in && tries < 20; tries++) {
            is_in = raw_member_meet(to, g, i, &lines[live]);
            (void)usleep(is_in ? 0 : 200 * 1000);
        }
        live += is_in ? 1 : 0;
    }
    (void)printf("live %u\n", live);
    (void)fflush(stdout);
    for (;;) {
        for (uint32_t i = 0; i < live; i++) {
            fds[i] = (struct pollfd){ .fd = lines[i].fd, .events = POLLIN };
        }
        fds[live] = (struct pollfd){ .fd = 0, .events = POLLIN };
        if (poll(fds, live + 1, -1) < 0 || fds[live].revents != 0) {
            return 0;
        }
        for (uint32_t i = 0; i < live; i++) {
            uint8_t first = 0;
            if (fds[i].revents != 0 && raw_next(&lines[i], &first, room, sizeof(room), 0) < 0) {
                raw_close(&lines[i]);
            }
        }
    }
}

/* How long the other side bears with a line that does nothing. */
static int run_silent(const struct raw_place *to, const struct raw_group *g, uint32_t index, bool is_live)
{
    struct raw_line l;
    uint8_t seed[32];
    raw_member_seed(index, seed);
    if (is_live ? !raw_member_meet(to, g, index, &l) : !raw_open(to, seed, &l)) {
        return 1;
    }
    uint64_t began = raw_now_ms();
    bool is_ended = raw_ends(&l, 120000);
    (void)printf("%s %u\n", is_ended ? "ended" : "lives", (unsigned)((raw_now_ms() - began) / 1000));
    return 0;
}

static int run_faults(const struct raw_place *to, const struct raw_group *g, uint32_t index)
{
    uint32_t admitted = 0;
    struct raw_line l;
    while (admitted < 100 && raw_member_meet(to, g, index, &l)) {
        admitted++;
        raw_message(&l, BYTES_LIT("\xFF\xFF\xFF"));
        (void)raw_ends(&l, 10000);
        raw_close(&l);
    }
    (void)printf("admitted %u\n", admitted);
    return 0;
}

static int run_flood(const struct raw_place *to, uint32_t seconds)
{
    static struct raw_line lines[LINES_MAX];
    uint64_t end = raw_now_ms() + seconds * 1000ULL;
    size_t opened = 0;
    for (size_t i = 0; i < 500; i++) {
        lines[i].fd = -1;
    }
    while (raw_now_ms() < end) {
        for (size_t i = 0; i < 500; i++) {
            uint8_t waste[64];
            if (lines[i].fd < 0) {
                lines[i] = raw_tcp(to);
                opened += lines[i].fd >= 0 ? 1 : 0;
            } else if (recv(lines[i].fd, waste, sizeof(waste), MSG_DONTWAIT) == 0) {
                raw_close(&lines[i]);
            }
        }
        (void)usleep(20 * 1000);
    }
    (void)printf("opened %zu\n", opened);
    return 0;
}

/* Reads 1 KB a second; what it sends are pings, byte by byte. */
static int run_slow(const struct raw_place *to, const struct raw_group *g, uint32_t index, uint32_t seconds)
{
    static const uint8_t ping[] = { 0x89, 0x80, 0, 0, 0, 0 };
    const int small = 4096;
    struct raw_line l;
    uint8_t waste[256];
    if (!raw_member_meet(to, g, index, &l)) {
        return 1;
    }
    (void)setsockopt(l.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    uint64_t end = raw_now_ms() + seconds * 1000ULL;
    bool is_open = true;
    for (size_t i = 0; is_open && raw_now_ms() < end; i++) {
        raw_write(&l, bytes_of(&ping[i % sizeof(ping)], 1));
        is_open = raw_read(&l, waste, sizeof(waste), 0) != 0;
        (void)usleep(250 * 1000);
    }
    (void)printf("%s\n", is_open ? "lives" : "ended");
    return 0;
}

static int run_probes(const struct raw_place *to, const struct raw_group *g, uint32_t index, uint32_t seconds)
{
    static uint8_t waste[1 << 16];
    struct raw_line l;
    struct buf b;
    struct arena a;
    uint64_t answered = 0;
    uint64_t asked = 0;
    arena_init(&a, test_mem(), WIRE_ARENA_BYTES);
    buf_init(&b, test_mem(), 1 << 16);
    wire_put(&b, &a, &(struct wire_message){ .kind = WIRE_PROBE, .id = 1 });
    if (b.err != ERR_OK || !raw_member_meet(to, g, index, &l)) {
        return 1;
    }
    uint64_t end = raw_now_ms() + seconds * 1000ULL;
    int n = -1;
    while (n != 0 && raw_now_ms() < end) {
        for (int i = 0; i < 100; i++) {
            raw_message(&l, buf_view(&b));
            asked++;
        }
        while ((n = raw_read(&l, waste, sizeof(waste), 0)) > 0) {
            answered += (uint64_t)n;
        }
    }
    (void)printf("asked %llu, %llu bytes of answers, %s\n", (unsigned long long)asked, (unsigned long long)answered,
        n == 0 ? "ended" : "lives");
    return 0;
}

static int run(int argc, char **argv)
{
    const char *what = argv[1];
    if (strcmp(what, "enrol") == 0 && argc == 6) {
        raw_member_enrol(argv[2], bytes_str(argv[3]), number(argv[4]), argv[5]);
        return 0;
    }
    struct raw_place to = { .port = (uint16_t)number(argv[2]) };
    if (strcmp(what, "flood") == 0 && argc == 5) {
        to.source = argv[4];
        return run_flood(&to, number(argv[3]));
    }
    const struct raw_group g = raw_member_load(argv[3]);
    if (argc < 5) {
        return 2;
    }
    uint32_t n = number(argv[4]);
    uint32_t seconds = argc > 5 ? number(argv[5]) : 10;
    return strcmp(what, "cases") == 0    ? run_cases(&to, &g, n, seconds)
           : strcmp(what, "idle") == 0   ? run_idle(&to, &g, n)
           : strcmp(what, "mute") == 0   ? run_silent(&to, &g, n, true)
           : strcmp(what, "stuck") == 0  ? run_silent(&to, &g, n, false)
           : strcmp(what, "faults") == 0 ? run_faults(&to, &g, n)
           : strcmp(what, "slow") == 0   ? run_slow(&to, &g, n, seconds)
           : strcmp(what, "probes") == 0 ? run_probes(&to, &g, n, seconds)
                                         : 2;
}

int main(int argc, char **argv)
{
    if (argc < 4 || sodium_init() < 0) {
        (void)fprintf(stderr, "usage: see the head of %s\n", __FILE__);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return run(argc, argv);
}
