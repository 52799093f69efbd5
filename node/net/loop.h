#ifndef JIPAN_LOOP_H
#define JIPAN_LOOP_H

#include "schema/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The daemon's one event loop: sockets of the transport, foreign descriptors, timers. Single-threaded: every function
 * except loop_stop belongs to the thread that runs the loop. One loop per process (the library keeps process-wide state
 * for OpenSSL). Callbacks are never run from inside the functions below, only from loop_step and loop_run.
 */
struct loop;

MUST_USE enum err loop_new(struct loop **out); /* also makes the process ignore SIGPIPE */
void loop_free(struct loop *loop); /* free transports, sockets and descriptors first; may be NULL */

/* Runs until loop_stop. A stop that came before the call counts. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* async-signal-safe and safe from other threads */

/**
 * loop_step: run what is due, wait for at most max_wait_ms for more (0 = do not wait, negative = no limit), run that.
 *
 * Errors: ERR_IO when the loop cannot go on.
 */
MUST_USE enum err loop_step(struct loop *loop, int max_wait_ms);

typedef void (*loop_timer_fn)(void *ctx);

/* One shot. The handle is never reused; 0 when out of memory (then fn will not run). */
uint64_t loop_timer_after(struct loop *loop, uint32_t ms, loop_timer_fn fn, void *ctx);
void loop_timer_cancel(struct loop *loop, uint64_t timer); /* unknown, fired and 0 are fine */

enum loop_event {
    LOOP_READABLE,
    LOOP_WRITABLE, /* once for each loop_fd_want_write */
    LOOP_HANGUP, /* the other end is gone; the loop closes the descriptor, the handle is dead after the callback */
};

struct loop_fd;
typedef void (*loop_fd_fn)(void *ctx, enum loop_event event);

/* Makes fd non-blocking and watches it for reading. On success the loop owns fd. */
MUST_USE enum err loop_fd_add(struct loop *loop, int fd, loop_fd_fn fn, void *ctx, struct loop_fd **out);
void loop_fd_want_write(struct loop_fd *f);
void loop_fd_pause(struct loop_fd *f, bool is_paused); /* no LOOP_READABLE while paused */
void loop_fd_remove(struct loop_fd *f); /* no callback after this; the loop closes the descriptor soon */

/* Where the library's own warnings go: one line without newline, never message content. NULL (default) drops them. */
typedef void (*loop_log_fn)(void *ctx, const char *line);
void loop_set_log(loop_log_fn fn, void *ctx);

/* For the transport only. */
struct lws_context;
struct lws_context *loop_lws(struct loop *loop);

#endif
