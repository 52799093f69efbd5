/*
 * Round trip and throughput of the websocket transport over loopback with TLS, peer in a second process.
 * Usage: bench_transport [round trips] [megabytes]
 */
#include "node/net/tls_identity.h"
#include "node/net/transport_ws.h"
#include "schema/base/check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SMALL = 64, LARGE = 256 * 1024, ROUNDS_MAX = 1000000 };

enum mode { MODE_ECHO, MODE_UP, MODE_DOWN };

struct side {
    struct loop *loop;
    struct transport *t;
    conn_id c;
    enum mode mode; /* first byte of each message says it */
    uint64_t want_bytes;
    uint64_t got_bytes;
    uint64_t to_send_bytes;
    size_t round_count;
    size_t rounds_done;
    uint64_t sent_ns;
    uint32_t *rtt_us10;
    uint8_t buffer[LARGE];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static bool on_allow(void *ctx, enum transport_door door, const uint8_t peer_key[TRANSPORT_KEY_BYTES])
{
    (void)ctx;
    (void)door;
    (void)peer_key;
    return true;
}

static void on_open(void *ctx, conn_id c, enum transport_door door, bool outbound, uint64_t dial_tag,
    const uint8_t peer_key[TRANSPORT_KEY_BYTES])
{
    struct side *s = ctx;
    (void)door;
    (void)outbound;
    (void)dial_tag;
    (void)peer_key;
    s->c = c;
}

static void pour(struct side *s)
{
    while (s->to_send_bytes > 0) {
        s->buffer[0] = (uint8_t)s->mode;
        if (s->t->ops->send(s->t, s->c, bytes_of(s->buffer, LARGE)) != ERR_OK) {
            return; /* on_drain goes on */
        }
        s->to_send_bytes -= LARGE;
    }
}

static void on_drain(void *ctx, conn_id c)
{
    (void)c;
    pour(ctx);
}

static void ping(struct side *s)
{
    s->sent_ns = now_ns();
    s->buffer[0] = MODE_ECHO;
    check(s->t->ops->send(s->t, s->c, bytes_of(s->buffer, SMALL)) == ERR_OK);
}

static void on_client_message(void *ctx, conn_id c, struct bytes m)
{
    struct side *s = ctx;
    (void)c;
    s->got_bytes += m.len;
    if (s->mode == MODE_ECHO) {
        s->rtt_us10[s->rounds_done++] = (uint32_t)((now_ns() - s->sent_ns) / 100);
        if (s->rounds_done < s->round_count) {
            ping(s);
        }
    }
}

/* The peer: echoes small messages, counts an upload and says when it is whole, pours a download when asked. */
static void on_server_message(void *ctx, conn_id c, struct bytes m)
{
    struct side *s = ctx;
    if (m.ptr[0] == MODE_ECHO) {
        check(s->t->ops->send(s->t, c, m) == ERR_OK);
        return;
    }
    if (m.len == SMALL) { /* an announcement: how much will come, or is wanted */
        memcpy(&s->want_bytes, m.ptr + 8, sizeof(s->want_bytes));
        s->got_bytes = 0;
        s->mode = (enum mode)m.ptr[0];
        if (s->mode == MODE_DOWN) {
            s->to_send_bytes = s->want_bytes;
            pour(s);
        }
        return;
    }
    s->got_bytes += m.len;
    if (s->got_bytes == s->want_bytes) {
        check(s->t->ops->send(s->t, c, bytes_of(m.ptr, SMALL)) == ERR_OK);
    }
}

static void on_closed(void *ctx, conn_id c)
{
    struct side *s = ctx;
    (void)c;
    loop_stop(s->loop);
}

static void on_dial_failed(void *ctx, uint64_t dial_tag, enum err why)
{
    (void)ctx;
    (void)dial_tag;
    (void)fprintf(stderr, "dial failed: %s\n", err_name(why));
    exit(1);
}

static void side_open(struct side *s, uint8_t mark, bool is_server)
{
    uint8_t seed[TLS_SEED_BYTES] = { mark };
    const struct transport_events ev = { s, on_allow, on_open, is_server ? on_server_message : on_client_message,
        on_drain, on_closed, on_dial_failed, NULL };
    check(loop_new(&s->loop) == ERR_OK);
    check(transport_ws_new(s->loop, seed, is_server ? "127.0.0.1" : NULL, 0, &ev, &s->t, NULL) == ERR_OK);
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void announce(struct side *s, enum mode mode, uint64_t bytes)
{
    uint8_t m[SMALL] = { (uint8_t)mode };
    memcpy(m + 8, &bytes, sizeof(bytes));
    s->mode = mode;
    s->got_bytes = 0;
    check(s->t->ops->send(s->t, s->c, BYTES_OF(m)) == ERR_OK);
}

static void run_stream(struct side *s, enum mode mode, uint64_t bytes)
{
    uint64_t start = now_ns();
    announce(s, mode, bytes);
    uint64_t want = bytes;
    if (mode == MODE_UP) {
        s->to_send_bytes = bytes;
        want = SMALL;
        pour(s);
    }
    while (s->got_bytes < want) {
        check(loop_step(s->loop, 100) == ERR_OK);
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    (void)printf("%-22s %.0f MB/s (%llu MB in %.2f s)\n", mode == MODE_UP ? "caller to callee" : "callee to caller",
        (double)bytes / 1e6 / seconds, (unsigned long long)(bytes / 1000000), seconds);
}

static void run_rounds(struct side *s, size_t rounds)
{
    s->mode = MODE_ECHO;
    s->round_count = rounds;
    ping(s);
    while (s->rounds_done < rounds) {
        check(loop_step(s->loop, 100) == ERR_OK);
    }
    qsort(s->rtt_us10, rounds, sizeof(*s->rtt_us10), by_value);
    (void)printf("round trip of %d bytes   median %.1f us, p95 %.1f us, p99 %.1f us, max %.1f us\n", SMALL,
        s->rtt_us10[rounds / 2] / 10.0, s->rtt_us10[rounds * 95 / 100] / 10.0, s->rtt_us10[rounds * 99 / 100] / 10.0,
        s->rtt_us10[rounds - 1] / 10.0);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000;
    uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 512) * 1000000 / LARGE * LARGE;
    struct side *s = calloc(1, sizeof(*s));
    int pipe_fd[2];
    uint16_t port = 0;
    check(s != NULL && rounds > 0 && rounds <= ROUNDS_MAX && pipe(pipe_fd) == 0);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        side_open(s, 2, true);
        port = transport_ws_port(s->t);
        check(write(pipe_fd[1], &port, sizeof(port)) == sizeof(port));
        loop_run(s->loop);
        _exit(0);
    }
    check(read(pipe_fd[0], &port, sizeof(port)) == sizeof(port));
    side_open(s, 1, false);
    s->rtt_us10 = calloc(rounds, sizeof(*s->rtt_us10));
    check(s->rtt_us10 != NULL);
    const uint8_t peer_seed[TLS_SEED_BYTES] = { 2 };
    uint8_t peer_key[TLS_KEY_BYTES];
    char address[32];
    tls_public_key(peer_seed, peer_key);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    uint64_t start = now_ns();
    check(s->t->ops->dial(s->t, DOOR_SYNC, bytes_str(address), peer_key, 1) == ERR_OK);
    while (s->c == 0) {
        check(loop_step(s->loop, 100) == ERR_OK);
    }
    (void)printf("dial to open           %.2f ms\n", (double)(now_ns() - start) / 1e6);
    run_rounds(s, rounds);
    run_stream(s, MODE_UP, bytes);
    run_stream(s, MODE_DOWN, bytes);
    transport_ws_free(s->t);
    loop_free(s->loop);
    free(s->rtt_us10);
    free(s);
    (void)waitpid(pid, NULL, 0);
    return 0;
}
