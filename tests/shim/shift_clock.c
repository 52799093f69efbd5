/*
 * Preloaded into a program, moves its wall clock by JIPAN_SHIFT_SECONDS; the monotonic clock stays. For
 * tests/e2e/clocks.sh: a node that is years off from its first to its last breath.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

static long shift(void)
{
    const char *text = getenv("JIPAN_SHIFT_SECONDS");
    return text == NULL ? 0 : strtol(text, NULL, 10);
}

SHOWN int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        t->tv_sec += shift();
    }
    return rc;
}

SHOWN time_t time(time_t *out)
{
    struct timespec t = { 0 };
    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (out != NULL) {
        *out = t.tv_sec;
    }
    return t.tv_sec;
}

SHOWN int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec t = { 0 };
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    out->tv_sec = t.tv_sec;
    out->tv_usec = t.tv_nsec / 1000;
    return 0;
}
