/*
 * Server and client of the control socket. The server runs on a loop in this process, each client in a child whose exit
 * code is its verdict.
 */
#include "node/net/control_client.h"
#include "node/net/control_socket.h"
#include "schema/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WATCHDOG_SECONDS = 30, LARGE = 3 << 20 };

struct server {
    char dir[64];
    char path[96];
    struct loop *loop;
    struct control_socket *s;
    size_t request_count;
    size_t request_bytes;
    bool holds_back; /* answers later */
    uint64_t held_client;
    enum err last_reply;
};

static void *resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

static struct mem heap = { .resize = resize, .max_bytes = SIZE_MAX / 2 };

/* Echoes; "big" gets LARGE bytes. */
static void on_request(void *ctx, uint64_t client_id, struct bytes request)
{
    struct server *s = ctx;
    s->request_count++;
    s->request_bytes += request.len;
    if (s->holds_back) {
        s->held_client = client_id;
        return;
    }
    if (bytes_equal(request, BYTES_LIT("big"))) {
        uint8_t *big = calloc(1, LARGE);
        check(big != NULL);
        s->last_reply = control_socket_reply(s->s, client_id, bytes_of(big, LARGE));
        free(big);
        return;
    }
    s->last_reply = control_socket_reply(s->s, client_id, request);
}

static int server_make(void **state)
{
    struct server *s = calloc(1, sizeof(*s));
    struct why why = { 0 };
    check(s != NULL);
    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/jipan-control-XXXXXX");
    check(mkdtemp(s->dir) != NULL);
    (void)snprintf(s->path, sizeof(s->path), "%s/control", s->dir);
    check(loop_new(&s->loop) == ERR_OK);
    check(control_socket_new(s->loop, s->path, on_request, s, &s->s, &why) == ERR_OK);
    *state = s;
    return 0;
}

static int server_free(void **state)
{
    struct server *s = *state;
    struct stat st;
    control_socket_free(s->s);
    check(lstat(s->path, &st) != 0); /* the file goes with the server */
    loop_free(s->loop);
    check(rmdir(s->dir) == 0);
    free(s);
    return 0;
}

typedef void (*client_fn)(const char *path);

static pid_t client_start(const struct server *s, client_fn fn)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fn(s->path);
        _exit(0);
    }
    return pid;
}

static void server_until_exit(struct server *s, pid_t pid)
{
    int status = -1;
    time_t end = time(NULL) + WATCHDOG_SECONDS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        assert_int_equal(loop_step(s->loop, 10), ERR_OK);
        if (time(NULL) > end) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            fail_msg("the client waits for ever");
        }
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(loop_step(s->loop, 1), ERR_OK);
    }
}

static void expect(bool is_met, const char *what)
{
    if (!is_met) {
        (void)fprintf(stderr, "client: not met: %s\n", what);
        _exit(1);
    }
}

static void client_asks_many(const char *path)
{
    struct control_client *c = NULL;
    struct buf reply;
    buf_init(&reply, &heap, CONTROL_FRAME_BYTES_MAX);
    expect(control_open(path, &c) == ERR_OK, "open");
    for (uint32_t i = 0; i < 1000; i++) {
        uint8_t question[300] = { (uint8_t)i, (uint8_t)(i >> 8) };
        struct bytes v = bytes_of(question, i % sizeof(question));
        buf_clear(&reply);
        expect(control_send(c, v, 10000) == ERR_OK && control_receive(c, &reply, 10000) == ERR_OK, "exchange");
        expect(bytes_equal(buf_view(&reply), v), "echo");
    }
    control_close(c);
    buf_release(&reply);
}

static void one_connection_serves_many_requests(void **state)
{
    struct server *s = *state;
    server_until_exit(s, client_start(s, client_asks_many));
    assert_int_equal(s->request_count, 1000);
}

static void client_asks_large(const char *path)
{
    struct buf reply;
    uint8_t *large = calloc(1, CONTROL_FRAME_BYTES_MAX + 1);
    expect(large != NULL, "memory");
    for (size_t i = 0; i < CONTROL_FRAME_BYTES_MAX; i += 4096) {
        large[i] = (uint8_t)(i >> 12);
    }
    buf_init(&reply, &heap, CONTROL_FRAME_BYTES_MAX);
    struct bytes v = bytes_of(large, CONTROL_FRAME_BYTES_MAX);
    expect(control_call(path, v, &reply, 20000) == ERR_OK, "largest frame");
    expect(bytes_equal(buf_view(&reply), v), "echo of the largest frame");
    v.len++;
    expect(control_call(path, v, &reply, 20000) == ERR_LIMIT, "one more byte");
    buf_release(&reply);
    buf_init(&reply, &heap, 100);
    expect(control_call(path, BYTES_LIT("big"), &reply, 20000) == ERR_LIMIT, "the caller's own bound");
    buf_release(&reply);
    free(large);
}

static void frames_up_to_the_limit_pass_whole(void **state)
{
    struct server *s = *state;
    server_until_exit(s, client_start(s, client_asks_large));
    assert_int_equal(s->request_bytes, CONTROL_FRAME_BYTES_MAX + 3);
}

static int raw_open(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    expect(fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0, "connect");
    return fd;
}

/* Two requests byte by byte, then both answers. */
static void client_dribbles(const char *path)
{
    static const uint8_t wire[] = { 0, 0, 0, 2, 'h', 'i', 0, 0, 0, 0, 0, 0, 0, 1, '!' };
    uint8_t answer[sizeof(wire)] = { 0 };
    int fd = raw_open(path);
    for (size_t i = 0; i < sizeof(wire); i++) {
        expect(send(fd, wire + i, 1, 0) == 1, "byte");
    }
    size_t got = 0;
    while (got < sizeof(answer)) {
        ssize_t n = recv(fd, answer + got, sizeof(answer) - got, 0);
        expect(n > 0, "answer");
        got += (size_t)n;
    }
    expect(memcmp(answer, wire, sizeof(wire)) == 0, "same frames back");
    (void)close(fd);
}

static void requests_in_pieces_and_in_a_row_are_told_apart(void **state)
{
    struct server *s = *state;
    server_until_exit(s, client_start(s, client_dribbles));
    assert_int_equal(s->request_count, 3);
}

static void client_announces_too_much(const char *path)
{
    static const uint8_t wire[] = { 0x01, 0x00, 0x00, 0x01 };
    uint8_t waste[4];
    int fd = raw_open(path);
    expect(send(fd, wire, sizeof(wire), 0) == sizeof(wire), "header");
    expect(recv(fd, waste, sizeof(waste), 0) == 0, "hung up");
}

static void an_oversized_announcement_is_cut_off(void **state)
{
    struct server *s = *state;
    server_until_exit(s, client_start(s, client_announces_too_much));
    assert_int_equal(s->request_count, 0);
}

/* Asks for more than the sockets hold and reads nothing until told. */
static void client_never_reads(const char *path)
{
    static const uint8_t wire[] = { 0, 0, 0, 3, 'b', 'i', 'g' };
    int fd = raw_open(path);
    for (int i = 0; i < 5; i++) {
        expect(send(fd, wire, sizeof(wire), 0) == sizeof(wire), "request");
    }
    (void)pause();
}

static void a_client_that_does_not_read_blocks_nobody(void **state)
{
    struct server *s = *state;
    pid_t slow = client_start(s, client_never_reads);
    while (s->request_count < 5) {
        assert_int_equal(loop_step(s->loop, 10), ERR_OK);
    }
    server_until_exit(s, client_start(s, client_asks_many));
    (void)kill(slow, SIGKILL);
    (void)waitpid(slow, NULL, 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(loop_step(s->loop, 1), ERR_OK);
    }
}

static void client_leaves_without_waiting(const char *path)
{
    static const uint8_t wire[] = { 0, 0, 0, 1, 'x' };
    int fd = raw_open(path);
    expect(send(fd, wire, sizeof(wire), 0) == sizeof(wire), "request");
    (void)close(fd);
}

static void a_reply_to_a_client_that_left_is_not_found(void **state)
{
    struct server *s = *state;
    s->holds_back = true;
    server_until_exit(s, client_start(s, client_leaves_without_waiting));
    assert_int_equal(s->request_count, 1);
    assert_int_equal(control_socket_reply(s->s, s->held_client, BYTES_LIT("late")), ERR_NOT_FOUND);
    assert_int_equal(control_socket_reply(s->s, 999, BYTES_LIT("who")), ERR_NOT_FOUND);
}

static void client_waits_in_vain(const char *path)
{
    struct buf reply;
    buf_init(&reply, &heap, 100);
    expect(control_call(path, BYTES_LIT("x"), &reply, 50) == ERR_BUSY, "time over");
    buf_release(&reply);
}

static void a_daemon_that_does_not_answer_is_busy(void **state)
{
    struct server *s = *state;
    s->holds_back = true;
    server_until_exit(s, client_start(s, client_waits_in_vain));
}

static void nobody_listening_is_unreachable(void **state)
{
    (void)state;
    struct buf reply;
    buf_init(&reply, &heap, 100);
    assert_int_equal(control_call("/tmp/jipan-no-such-socket", BYTES_LIT("x"), &reply, 50), ERR_UNREACHABLE);
    buf_release(&reply);
}

static void the_file_is_for_its_owner_alone(void **state)
{
    struct server *s = *state;
    struct stat st;
    assert_int_equal(lstat(s->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Another user reaches the socket only if its mode were opened; even then he is turned away. Needs root to try. */
static void client_of_another_user(const char *path)
{
    uint8_t waste[4];
    expect(setgid(65534) == 0 && setuid(65534) == 0, "become nobody");
    int fd = raw_open(path);
    expect(recv(fd, waste, sizeof(waste), 0) <= 0, "hung up");
}

static void another_user_is_turned_away(void **state)
{
    struct server *s = *state;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(chmod(s->path, 0666), 0);
    assert_int_equal(chmod(s->dir, 0755), 0);
    server_until_exit(s, client_start(s, client_of_another_user));
    assert_int_equal(s->request_count, 0);
}

static void a_stale_socket_is_replaced_and_other_files_are_not(void **state)
{
    struct server *s = *state;
    struct control_socket *second = NULL;
    struct why why = { 0 };
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/stale", s->dir);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
    (void)close(fd);
    assert_int_equal(control_socket_new(s->loop, path, on_request, s, &second, &why), ERR_OK);
    control_socket_free(second);

    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(control_socket_new(s->loop, path, on_request, s, &second, &why), ERR_EXISTS);
    assert_int_equal(unlink(path), 0);

    char long_path[200];
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(control_socket_new(s->loop, long_path, on_request, s, &second, &why), ERR_LIMIT);
    assert_true(why.zh[0] != '\0' && why.en[0] != '\0');
}

#define ON_SERVER(f) cmocka_unit_test_setup_teardown(f, server_make, server_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SERVER(one_connection_serves_many_requests),
        ON_SERVER(frames_up_to_the_limit_pass_whole),
        ON_SERVER(requests_in_pieces_and_in_a_row_are_told_apart),
        ON_SERVER(an_oversized_announcement_is_cut_off),
        ON_SERVER(a_client_that_does_not_read_blocks_nobody),
        ON_SERVER(a_reply_to_a_client_that_left_is_not_found),
        ON_SERVER(a_daemon_that_does_not_answer_is_busy),
        cmocka_unit_test(nobody_listening_is_unreachable),
        ON_SERVER(the_file_is_for_its_owner_alone),
        ON_SERVER(another_user_is_turned_away),
        ON_SERVER(a_stale_socket_is_replaced_and_other_files_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
