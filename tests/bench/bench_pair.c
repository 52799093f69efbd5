/*
 * Two nodes, each a `jipan run` process, over TLS on loopback: cold sync of everything to an empty second node, edits
 * on both sides of a cut line, one live edit, nothing to do, restart after kill -9. The line goes through a thread of
 * this program that copies TCP unchanged, counts the bytes (TLS and websocket framing included) and can be cut.
 *
 * Usage: bench_pair DIR JIPAN [CUSTOMERS]     DIR must exist, be empty and lie on the disk to be measured
 */
#include "node/daemon.h"
#include "node/net/control_client.h"
#include "tests/lib/bench_kit.h"
#include "tests/lib/proxy.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PORT_A = 27411,
    PORT_B = 27412,
    WARM_EDITS = 1000,
    LIVE_EDITS = 200,
    NOTHING_RUNS = 50,
    FRESH_RUNS = 10,
    RESTART_RUNS = 5,
    RESTART_EDITS = 300,
    IDS_MAX = 2000,
    PATH_BYTES = 4300,
    REPLY_BYTES = 16 << 20
};

struct station {
    char home[PATH_BYTES];
    pid_t pid;
    struct control_client *client;
};

struct bench {
    const char *dir;
    const char *jipan;
    char passphrase_file[PATH_BYTES];
    size_t customers;
    struct station a, b;
    struct mem mem;
    struct proxy *proxy;
    pthread_t thread;
    int wake[2];
    atomic_int want;
    atomic_bool is_over;
    atomic_ullong there, back;
    char ids[IDS_MAX][64];
    size_t id_count;
};

/* --- the line -------------------------------------------------------------------------------------------------------
 */

static void *line_thread(void *ctx)
{
    struct bench *be = ctx;
    int is_set = PROXY_OPEN;
    while (!atomic_load(&be->is_over)) {
        uint8_t drop[64];
        uint64_t there = 0;
        uint64_t back = 0;
        proxy_step(be->proxy, 1000, be->wake[0]);
        (void)!read(be->wake[0], drop, sizeof(drop));
        if (atomic_load(&be->want) != is_set) {
            is_set = atomic_load(&be->want);
            proxy_set(be->proxy, (enum proxy_state)is_set);
        }
        proxy_bytes(be->proxy, &there, &back);
        atomic_store(&be->there, there);
        atomic_store(&be->back, back);
    }
    return NULL;
}

static void wake_line(struct bench *be)
{
    bench_need(write(be->wake[1], "", 1) == 1, "cannot wake the line");
    (void)usleep(30000);
}

static void set_line(struct bench *be, enum proxy_state state)
{
    atomic_store(&be->want, (int)state);
    wake_line(be);
}

static double line_bytes(struct bench *be)
{
    wake_line(be);
    return (double)(atomic_load(&be->there) + atomic_load(&be->back));
}

static void open_line(struct bench *be)
{
    char target[32];
    (void)snprintf(target, sizeof(target), "127.0.0.1:%d", PORT_A);
    be->proxy = proxy_new("127.0.0.1:0", target);
    bench_need(be->proxy != NULL && pipe2(be->wake, O_NONBLOCK | O_CLOEXEC) == 0, "no line");
    atomic_store(&be->want, PROXY_OPEN);
    bench_need(pthread_create(&be->thread, NULL, line_thread, be) == 0, "no thread");
}

/* --- the nodes ------------------------------------------------------------------------------------------------------
 */

static void start(struct bench *be, struct station *s, int port)
{
    char listen[32];
    char socket_path[PATH_BYTES];
    char log[PATH_BYTES + 8];
    (void)snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
    (void)snprintf(log, sizeof(log), "%s.log", s->home);
    bench_need(daemon_socket_path(s->home, socket_path, sizeof(socket_path)), "path too long");
    s->pid = fork();
    bench_need(s->pid >= 0, "cannot fork");
    if (s->pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execl(be->jipan, "jipan", "--home", s->home, "--passphrase-file", be->passphrase_file, "run", "--listen",
            listen, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 20000; i++) {
        if (control_open(socket_path, &s->client) == ERR_OK) {
            return;
        }
        bench_need(waitpid(s->pid, NULL, WNOHANG) == 0, "a daemon ended; see its log");
        (void)usleep(1000);
    }
    bench_need(false, "a daemon does not answer");
}

static void stop(struct station *s)
{
    control_close(s->client);
    s->client = NULL;
    (void)kill(s->pid, SIGTERM);
    (void)waitpid(s->pid, NULL, 0);
}

/* Steals args. */
static json_t *ask(struct bench *be, struct station *s, const char *verb, json_t *args)
{
    struct buf out;
    json_t *request = bench_request(verb, args);
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    bench_need(text != NULL, "out of memory");
    buf_init(&out, &be->mem, REPLY_BYTES);
    bench_need(control_exchange(s->client, bytes_str(text), &out, 600000) == ERR_OK, "no answer from a daemon");
    json_t *reply = json_loadb((const char *)out.ptr, out.len, 0, NULL);
    if (reply == NULL || json_integer_value(json_object_get(reply, "code")) != 0) {
        (void)fprintf(stderr, "bench: %.300s: %.*s\n", text, (int)out.len, (const char *)out.ptr);
        exit(1);
    }
    json_t *result = json_incref(json_object_get(reply, "result"));
    json_decref(reply);
    buf_release(&out);
    free(text);
    return result;
}

static void sync_now(struct bench *be, struct station *s)
{
    json_t *r = ask(be, s, "sync", json_object());
    bench_need(json_is_true(json_object_get(r, "in_sync")), "not in sync");
    json_decref(r);
}

static void need_same(struct bench *be)
{
    json_t *a = ask(be, &be->a, "statehash", json_object());
    json_t *b = ask(be, &be->b, "statehash", json_object());
    bench_need(json_equal(a, b) == 1, "the nodes differ after sync");
    json_decref(a);
    json_decref(b);
}

static void make_first(struct bench *be, char code[INVITE_CODE_MAX])
{
    char address[32];
    struct why why = { .zh = { 0 } };
    double cpu = 0;
    struct app *app = bench_node(be->a.home);
    for (size_t at = 0; at < be->customers; at += BENCH_BATCH) {
        (void)bench_import(app, at, be->customers - at < BENCH_BATCH ? be->customers - at : BENCH_BATCH, &cpu);
    }
    const struct app_invite in = { .kind = NODE_STATION, .station_code = BYTES_LIT("S2"), .holds_group = true };
    (void)snprintf(address, sizeof(address), "127.0.0.1:%d", PORT_A);
    bench_need(app_set_listen(app, bytes_str(address)) == ERR_OK, "no address");
    bench_need(app_invite(app, &in, code, NULL, &why) == ERR_OK, "no invite");
    app_close(app);
}

/* Joins at the first node itself; from then on it is reached over the line. */
static void make_second(struct bench *be, const char *code)
{
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    char address[32];
    uint32_t number = 0;
    struct why why = { .zh = { 0 } };
    struct app *app = NULL;
    struct app_peer peer;
    size_t count = 0;
    enum err e = daemon_join(
        be->b.home, BYTES_LIT(BENCH_PASSPHRASE), bytes_str(code), (struct bytes){ 0 }, recovery, &number, &why);
    bench_need(e == ERR_OK, why.en);
    bench_need(app_open(be->b.home, BYTES_LIT(BENCH_PASSPHRASE), &app, &why) == ERR_OK, why.en);
    bench_need(app_peers(app, &peer, 1, &count) == ERR_OK && count == 1, "no peer");
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)proxy_port(be->proxy));
    bench_need(app_peer_remove(app, bytes_str(peer.address), NULL) == ERR_OK &&
                   app_peer_add(app, bytes_str(address), peer.tls_key, NULL, &why) == ERR_OK,
        "cannot set the peer");
    app_close(app);
}

static void write_secret(struct bench *be)
{
    (void)snprintf(be->passphrase_file, sizeof(be->passphrase_file), "%s/passphrase", be->dir);
    FILE *f = fopen(be->passphrase_file, "we");
    bench_need(f != NULL && fputs(BENCH_PASSPHRASE "\n", f) >= 0 && fclose(f) == 0, "cannot write the passphrase");
}

/* --- what is measured -----------------------------------------------------------------------------------------------
 */

/* From the start of the second daemon (empty, it dials at once) to both having said that they are in sync. */
static void measure_cold(struct bench *be)
{
    double n = (double)be->customers;
    double cpu_a = bench_cpu_of(be->a.pid);
    double bytes = line_bytes(be);
    double begin = bench_seconds();
    start(be, &be->b, PORT_B);
    sync_now(be, &be->b);
    double seconds = bench_seconds() - begin;
    bytes = line_bytes(be) - bytes;
    need_same(be);
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

static void fetch_ids(struct bench *be)
{
    json_t *args = json_pack("{s:s, s:i, s:s}", "entity", "customer", "limit", (int)IDS_MAX, "purpose", "P1");
    json_t *found = ask(be, &be->a, "find", args);
    for (size_t i = 0; i < json_array_size(found) && i < IDS_MAX; i++) {
        (void)snprintf(be->ids[be->id_count++], sizeof(be->ids[0]), "%s",
            json_string_value(json_object_get(json_array_get(found, i), "id")));
    }
    json_decref(found);
    bench_need(be->id_count > 0, "no customers");
}

static void edit(struct bench *be, struct station *s, size_t which, const char *field, const char *value)
{
    json_decref(ask(
        be, s, "set", json_pack("{s:s, s:{s:s}}", "id", be->ids[which * 7919 % be->id_count], "fields", field, value)));
}

/* Edits on both sides of a cut line, of different fields; then the time from the line being whole to in sync. */
static void measure_warm(struct bench *be)
{
    char text[32];
    set_line(be, PROXY_CUT);
    for (size_t i = 0; i < WARM_EDITS; i++) {
        (void)snprintf(text, sizeof(text), "冷%zu", i);
        edit(be, &be->a, i, "occupation", text);
        edit(be, &be->b, i, "industry", text);
    }
    double bytes = line_bytes(be);
    set_line(be, PROXY_OPEN);
    double begin = bench_seconds();
    sync_now(be, &be->b);
    double seconds = bench_seconds() - begin;
    bytes = line_bytes(be) - bytes;
    need_same(be);
    bench_print_one("warm sync, 1,000 edits each way", "s", seconds, 0, "dial and handshake included");
    bench_print_one("warm sync: wire", "B/edit", bytes / (2 * WARM_EDITS), 0, "TCP payload both ways");
}

static bool shows(struct bench *be, const char *id, const char *value)
{
    json_t *r = ask(be, &be->b, "get", json_pack("{s:s, s:s}", "id", id, "purpose", "P1"));
    const char *now =
        json_string_value(json_object_get(json_object_get(json_object_get(r, "fields"), "occupation"), "value"));
    bool is_same = now != NULL && strcmp(now, value) == 0;
    json_decref(r);
    return is_same;
}

/* From the answer to `set` at one node until a `get` at the other shows the value: the last get and its durable audit
 * entry are inside the time. */
static void measure_live(struct bench *be)
{
    struct bench_series *ms = calloc(1, sizeof(*ms));
    char text[32];
    char remark[80];
    bench_need(ms != NULL, "out of memory");
    double bytes = line_bytes(be);
    for (size_t i = 0; i < LIVE_EDITS; i++) {
        (void)snprintf(text, sizeof(text), "活%zu", i);
        edit(be, &be->a, i, "occupation", text);
        double begin = bench_seconds();
        while (!shows(be, be->ids[i * 7919 % be->id_count], text)) {
            bench_need(bench_seconds() - begin < 10, "an edit does not arrive");
        }
        bench_add(ms, (bench_seconds() - begin) * 1e3);
    }
    bytes = line_bytes(be) - bytes;
    (void)snprintf(remark, sizeof(remark), "p95 %.2f ms; answer of set to get showing it", bench_quantile(ms, 0.95));
    bench_print("one live edit", "ms", ms, 0, remark);
    bench_print_one("one live edit: p95", "ms", bench_quantile(ms, 0.95), 0, "");
    bench_print_one(
        "one live edit: wire", "B", bytes / LIVE_EDITS, 0, "TCP payload both ways, acknowledgement included");
    free(ms);
}

static void measure_nothing(struct bench *be)
{
    struct bench_series *ms = calloc(2, sizeof(*ms));
    bench_need(ms != NULL, "out of memory");
    double bytes = line_bytes(be);
    for (size_t i = 0; i < NOTHING_RUNS; i++) {
        double begin = bench_seconds();
        sync_now(be, &be->b);
        bench_add(&ms[0], (bench_seconds() - begin) * 1e3);
    }
    bytes = line_bytes(be) - bytes;
    bench_print("nothing to do, open session", "ms", &ms[0], 0, "one round trip: probe and reply");
    bench_print_one("nothing to do, open session: wire", "B", bytes / NOTHING_RUNS, 0, "TCP payload both ways");
    double fresh = 0;
    for (size_t i = 0; i < FRESH_RUNS; i++) {
        set_line(be, PROXY_CUT);
        (void)usleep(100000);
        double before = line_bytes(be);
        set_line(be, PROXY_OPEN);
        double begin = bench_seconds();
        sync_now(be, &be->b);
        bench_add(&ms[1], (bench_seconds() - begin) * 1e3);
        fresh += line_bytes(be) - before;
    }
    bench_print("nothing to do, new session", "ms", &ms[1], 0, "TCP, TLS, websocket, hello both ways, probe");
    bench_print_one("nothing to do, new session: wire", "B", fresh / FRESH_RUNS, 0, "TCP payload both ways");
    free(ms);
}

static double file_mb(const struct station *s, const char *name)
{
    char path[PATH_BYTES + 16];
    struct stat st = { 0 };
    (void)snprintf(path, sizeof(path), "%s/%s", s->home, name);
    return stat(path, &st) == 0 ? (double)st.st_size / 1e6 : 0;
}

/* kill -9 between edits, then the time from the start of the process to an answered `get`. The passphrase of a bench is
 * derived cheaply; a real one takes about half a second more, by intention. */
static void measure_restart(struct bench *be)
{
    struct bench_series *ms = calloc(1, sizeof(*ms));
    char text[32];
    char remark[120];
    double log_mb = 0;
    bench_need(ms != NULL, "out of memory");
    for (size_t run = 0; run < RESTART_RUNS; run++) {
        for (size_t i = 0; i < RESTART_EDITS; i++) {
            (void)snprintf(text, sizeof(text), "启%zu-%zu", run, i);
            edit(be, &be->a, i, "occupation", text);
        }
        (void)kill(be->a.pid, SIGKILL);
        (void)waitpid(be->a.pid, NULL, 0);
        control_close(be->a.client);
        log_mb = file_mb(&be->a, "jipan.db-wal") > log_mb ? file_mb(&be->a, "jipan.db-wal") : log_mb;
        double begin = bench_seconds();
        start(be, &be->a, PORT_A);
        json_decref(ask(be, &be->a, "get", json_pack("{s:s, s:s}", "id", be->ids[run], "purpose", "P1")));
        bench_add(ms, (bench_seconds() - begin) * 1e3);
    }
    (void)snprintf(remark, sizeof(remark), "kill -9 to answered get; store %.0f MB, write-ahead log up to %.0f MB",
        file_mb(&be->a, "jipan.db"), log_mb);
    bench_print("restart", "ms", ms, 0, remark);
    free(ms);
}

int main(int argc, char **argv)
{
    char code[INVITE_CODE_MAX];
    struct bench *be = calloc(1, sizeof(*be));
    bench_need(be != NULL && argc > 2, "usage: bench_pair DIR JIPAN [CUSTOMERS]");
    be->dir = argv[1];
    be->jipan = argv[2];
    be->customers = argc > 3 ? strtoul(argv[3], NULL, 10) : 100000;
    be->mem = app_mem(APP_MEM_MAX_BYTES);
    (void)snprintf(be->a.home, sizeof(be->a.home), "%s/a", be->dir);
    (void)snprintf(be->b.home, sizeof(be->b.home), "%s/b", be->dir);
    write_secret(be);
    make_first(be, code);
    open_line(be);
    start(be, &be->a, PORT_A);
    make_second(be, code);
    measure_cold(be);
    fetch_ids(be);
    measure_nothing(be);
    measure_live(be);
    measure_warm(be);
    measure_restart(be);
    stop(&be->b);
    stop(&be->a);
    atomic_store(&be->is_over, true);
    wake_line(be);
    (void)pthread_join(be->thread, NULL);
    proxy_free(be->proxy);
    free(be);
    return 0;
}
