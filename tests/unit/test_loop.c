#include "node/net/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct trail {
    struct loop *loop;
    struct loop_fd *watch;
    int fd;
    char text[64];
    uint64_t other_timer;
    int more_writes;
};

static void put(struct trail *t, char c)
{
    size_t n = strlen(t->text);
    assert_true(n + 1 < sizeof(t->text));
    t->text[n] = c;
}

static void note_a(void *ctx)
{
    put(ctx, 'a');
}

static void note_b_and_cancel(void *ctx)
{
    struct trail *t = ctx;
    put(t, 'b');
    loop_timer_cancel(t->loop, t->other_timer);
}

static void note_c_again(void *ctx)
{
    struct trail *t = ctx;
    put(t, 'c');
    if (strlen(t->text) < 5) {
        assert_true(loop_timer_after(t->loop, 0, note_c_again, t) != 0);
    }
}

static void stop_from_timer(void *ctx)
{
    loop_stop(((struct trail *)ctx)->loop);
}

static int make(void **state)
{
    static struct trail t;
    t = (struct trail){ .fd = -1 };
    *state = &t;
    return loop_new(&t.loop) == ERR_OK ? 0 : -1;
}

static int end(void **state)
{
    loop_free(((struct trail *)*state)->loop);
    return 0;
}

static void timers_fire_in_order_of_time_once(void **state)
{
    struct trail *t = *state;
    t->other_timer = loop_timer_after(t->loop, 15, note_a, t);
    (void)loop_timer_after(t->loop, 10, note_b_and_cancel, t);
    uint64_t gone = loop_timer_after(t->loop, 1, note_a, t);
    loop_timer_cancel(t->loop, gone);
    loop_timer_cancel(t->loop, gone);
    loop_timer_cancel(t->loop, 0);
    (void)loop_timer_after(t->loop, 30, stop_from_timer, t);
    loop_run(t->loop);
    assert_string_equal(t->text, "b");
}

static void a_timer_may_set_the_next(void **state)
{
    struct trail *t = *state;
    (void)loop_timer_after(t->loop, 0, note_c_again, t);
    while (strlen(t->text) < 5) {
        assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    }
    assert_string_equal(t->text, "ccccc");
}

static struct loop *signalled;

static void on_signal(int number)
{
    (void)number;
    loop_stop(signalled);
}

static void a_signal_handler_stops_the_loop(void **state)
{
    struct trail *t = *state;
    signalled = t->loop;
    (void)signal(SIGALRM, on_signal);
    (void)alarm(1);
    loop_run(t->loop); /* would wait for ever */
    (void)signal(SIGALRM, SIG_DFL);
}

static void a_stop_before_run_counts(void **state)
{
    struct trail *t = *state;
    loop_stop(t->loop);
    loop_run(t->loop);
}

static void on_fd(void *ctx, enum loop_event event)
{
    struct trail *t = ctx;
    char waste[16];
    switch (event) {
    case LOOP_READABLE: {
        ssize_t n = read(t->fd, waste, sizeof(waste));
        put(t, n > 0 ? 'r' : 'e');
        if (n <= 0) {
            loop_fd_remove(t->watch);
            t->watch = NULL;
        }
        break;
    }
    case LOOP_WRITABLE:
        put(t, 'w');
        if (t->more_writes > 0) {
            t->more_writes--;
            loop_fd_want_write(t->watch);
        }
        break;
    case LOOP_HANGUP:
        put(t, 'h');
        t->watch = NULL;
        break;
    }
}

static void descriptors_report_reading_writing_and_the_end(void **state)
{
    struct trail *t = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    t->fd = pair[0];
    assert_int_equal(loop_fd_add(t->loop, pair[0], on_fd, t, &t->watch), ERR_OK);
    assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    assert_string_equal(t->text, "");
    loop_fd_want_write(t->watch);
    assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    assert_string_equal(t->text, "w");
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    assert_string_equal(t->text, "wr");
    loop_fd_pause(t->watch, true);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    assert_string_equal(t->text, "wr");
    loop_fd_pause(t->watch, false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    }
    assert_string_equal(t->text, "wrr");
    (void)close(pair[1]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    }
    assert_null(t->watch);
    assert_int_equal(strlen(t->text), 4);
}

static void a_wish_to_write_may_be_repeated_from_within(void **state)
{
    struct trail *t = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    t->more_writes = 2;
    assert_int_equal(loop_fd_add(t->loop, pair[0], on_fd, t, &t->watch), ERR_OK);
    loop_fd_want_write(t->watch);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    }
    assert_string_equal(t->text, "www");
    loop_fd_remove(t->watch);
    (void)close(pair[1]);
}

static void a_removed_descriptor_is_silent_and_closed(void **state)
{
    struct trail *t = *state;
    int pair[2];
    char waste[4];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    t->fd = pair[0];
    assert_int_equal(loop_fd_add(t->loop, pair[0], on_fd, t, &t->watch), ERR_OK);
    assert_int_equal(write(pair[1], "x", 1), 1);
    loop_fd_remove(t->watch);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(loop_step(t->loop, 0), ERR_OK);
    }
    assert_string_equal(t->text, "");
    assert_true(recv(pair[1], waste, sizeof(waste), MSG_DONTWAIT) <= 0);
    assert_int_equal(send(pair[1], "x", 1, MSG_NOSIGNAL), -1);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_in_order_of_time_once, make, end),
        cmocka_unit_test_setup_teardown(a_timer_may_set_the_next, make, end),
        cmocka_unit_test_setup_teardown(a_signal_handler_stops_the_loop, make, end),
        cmocka_unit_test_setup_teardown(a_stop_before_run_counts, make, end),
        cmocka_unit_test_setup_teardown(descriptors_report_reading_writing_and_the_end, make, end),
        cmocka_unit_test_setup_teardown(a_wish_to_write_may_be_repeated_from_within, make, end),
        cmocka_unit_test_setup_teardown(a_removed_descriptor_is_silent_and_closed, make, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
