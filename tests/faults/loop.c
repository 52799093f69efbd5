/*
 * Owns: the enumeration of faults, the processes the trials run in, the counts and the report. Knows nothing of what is
 * tried. A failing point is printed with the words that repeat it alone.
 */
#include "tests/faults/loop.h"

#include "schema/base/check.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIAL_SECONDS = 60, SHOWN_MAX = 6, TEXT_BYTES = 600, POINTS_MAX = 200000, EXIT_FAILED = 9 };
enum { COVERED_MAX = 1024, COVERED_BYTES = 48 };

/* Shared by all processes. */
struct board {
    struct reference reference;
    bool has_fired;
    char text[TEXT_BYTES];
    uint64_t points[FAULT_KIND_COUNT];
    uint64_t failures;
    uint64_t things;
    char covered[COVERED_MAX][COVERED_BYTES];
    size_t covered_count;
};

static struct board *board;
static struct {
    bool is_full;
    uint64_t share; /* one point in so many, of everything; 0: see faults_run */
    uint64_t stride, offset;
    const char *only; /* one thing */
    struct point point; /* one point of it; k 0: all */
} options = { .stride = 41 };

struct reference *faults_reference(void)
{
    return &board->reference;
}

void faults_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(board->text, sizeof(board->text), format, args);
    va_end(args);
    if (options.point.k != 0) {
        (void)fprintf(stderr, "%s\n", board->text);
        abort();
    }
    _exit(EXIT_FAILED);
}

static bool covered_at(const char *kind, const char *name, char text[COVERED_BYTES])
{
    int n = snprintf(text, COVERED_BYTES, "%s %s", kind, name);
    check(n > 0 && n < COVERED_BYTES);
    for (size_t i = 0; i < board->covered_count; i++) {
        if (strcmp(board->covered[i], text) == 0) {
            return true;
        }
    }
    return false;
}

bool faults_has_covered(const char *kind, const char *name)
{
    char text[COVERED_BYTES];
    return covered_at(kind, name, text);
}

void faults_cover(const char *kind, const char *name)
{
    char text[COVERED_BYTES];
    if (!covered_at(kind, name, text)) {
        check(board->covered_count < COVERED_MAX);
        memcpy(board->covered[board->covered_count++], text, COVERED_BYTES);
    }
}

bool faults_is_whole(void)
{
    return options.only == NULL;
}

static bool parse_point(char **argv)
{
    for (unsigned i = 0; i < FAULT_KIND_COUNT; i++) {
        if (strcmp(argv[0], fault_kind_name((enum fault_kind)i)) == 0) {
            options.point.kind = (enum fault_kind)i;
            options.point.k = strtoull(argv[1], NULL, 10);
            options.point.is_sticky = strcmp(argv[2], "sticky") == 0;
            options.point.damage = (enum sim_damage)strtoul(argv[2], NULL, 10);
            return true;
        }
    }
    return false;
}

bool faults_setup(int argc, char **argv)
{
    int at = 1;
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(board != MAP_FAILED);
    if (at < argc && strcmp(argv[at], "--full") == 0) {
        options.is_full = true;
        at++;
    }
    if (at + 1 < argc && strcmp(argv[at], "--share") == 0) {
        options.share = strtoull(argv[at + 1], NULL, 10);
        at += 2;
    }
    if (at + 1 < argc && strcmp(argv[at], "--offset") == 0) {
        options.offset = strtoull(argv[at + 1], NULL, 10);
        at += 2;
    }
    if (at < argc) {
        options.only = argv[at++];
    }
    return at == argc || (at + 3 == argc && parse_point(argv + at));
}

/* Waits for a trial. NULL: it went well; else what happened. */
static const char *verdict(pid_t pid, char room[TEXT_BYTES])
{
    int status = 0;
    check(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return NULL;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILED) {
        return board->text;
    }
    if (WIFSIGNALED(status)) {
        (void)snprintf(room, TEXT_BYTES, "%s", WTERMSIG(status) == SIGALRM ? "does not come to an end" : "died: ");
        if (WTERMSIG(status) != SIGALRM) {
            (void)snprintf(room + 6, TEXT_BYTES - 6, "%s", strsignal(WTERMSIG(status)));
        }
        return room;
    }
    (void)snprintf(room, TEXT_BYTES, "ended with %d", WEXITSTATUS(status));
    return room;
}

static const char *in_process(trial_fn trial, const void *arg, const struct point *p, char room[TEXT_BYTES])
{
    board->has_fired = false;
    board->text[0] = '\0';
    (void)fflush(NULL);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        (void)alarm(TRIAL_SECONDS);
        board->has_fired = trial(arg, p);
        _exit(0);
    }
    return verdict(pid, room);
}

static void mode_text(const struct point *p, char out[16])
{
    if (fault_is_crash(p->kind)) {
        (void)snprintf(out, 16, "%d", (int)p->damage);
    } else {
        (void)snprintf(out, 16, "%s", p->is_sticky ? "sticky" : "once");
    }
}

/* One kind in one mode, to the end. Returns failures. */
static uint64_t run_series(const char *name, trial_fn trial, const void *arg, struct point p, uint64_t stride)
{
    char room[TEXT_BYTES];
    char mode[16];
    static uint64_t series;
    uint64_t failures = 0;
    /* Of a share any may be the first, another one with every series and offset; else the first one always. */
    p.k = options.share == 0 ? 1 : 1 + (++series * 7919 + options.offset) % stride;
    for (; p.k < POINTS_MAX; p.k += p.k == 1 && options.share == 0 ? 1 + options.offset % stride : stride) {
        const char *wrong = in_process(trial, arg, &p, room);
        if (wrong == NULL && !board->has_fired) {
            return failures;
        }
        board->points[p.kind]++;
        if (wrong != NULL && failures++ < SHOWN_MAX) {
            mode_text(&p, mode);
            printf("FAILED %s %s %llu %s: %s\n", name, fault_kind_name(p.kind), (unsigned long long)p.k, mode, wrong);
        }
    }
    printf("FAILED %s: no end\n", name);
    return failures + 1;
}

/* "session*": all that begins so. */
static bool is_asked(const char *name)
{
    size_t len = options.only == NULL ? 0 : strlen(options.only);
    return len == 0 || strcmp(options.only, name) == 0 ||
           (options.only[len - 1] == '*' && strncmp(options.only, name, len - 1) == 0);
}

static uint64_t run_kind(
    const char *name, trial_fn trial, const void *arg, enum fault_kind kind, uint64_t stride, uint64_t *points)
{
    uint64_t failures = 0;
    uint64_t before = board->points[kind];
    unsigned modes = kind == FAULT_CRASH ? SIM_DAMAGE_COUNT : 2;
    for (unsigned mode = 0; mode < modes; mode++) {
        struct point p = { .kind = kind, .is_sticky = mode == 1, .damage = (enum sim_damage)mode };
        if (kind == FAULT_CRASH_TWICE) {
            p.damage = mode == 0 ? SIM_TEAR : SIM_REORDER;
        }
        failures += run_series(name, trial, arg, p, stride);
    }
    *points += board->points[kind] - before;
    return failures;
}

void faults_run(const char *name, bool is_core, trial_fn trial, const void *arg)
{
    char room[TEXT_BYTES];
    uint64_t failures = 0;
    uint64_t points = 0;
    if (!is_asked(name)) {
        return;
    }
    board->things++;
    const char *wrong = in_process(trial, arg, NULL, room);
    if (wrong != NULL) {
        printf("FAILED %s without a fault: %s\n", name, wrong);
        board->failures++;
        return;
    }
    if (options.point.k != 0) {
        printf("%s\n", trial(arg, &options.point) ? "ok" : "the fault did not happen");
        return;
    }
    for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        uint64_t share = fault_is_memory((enum fault_kind)kind) ? options.share : options.share / 8 + 1;
        uint64_t stride = options.share != 0 ? share : is_core || options.is_full ? 1 : options.stride;
        failures += run_kind(name, trial, arg, (enum fault_kind)kind, stride, &points);
    }
    faults_cover("thing", name);
    board->failures += failures;
    printf("%-28s %7llu points%s\n", name, (unsigned long long)points, failures == 0 ? "" : "  FAILED");
    (void)fflush(stdout);
}

void faults_apart(const char *name, void (*fn)(const void *arg), const void *arg)
{
    int status = 0;
    if (options.only != NULL && strncmp(options.only, name, strlen(name)) != 0) {
        return; /* things of one preparation begin with its name */
    }
    if (options.point.k != 0) {
        fn(arg);
        return;
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        fn(arg);
        (void)fflush(NULL);
        _exit(0);
    }
    check(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        printf("FAILED %s: its preparation died\n", name);
        board->failures++;
    }
}

void faults_expect(bool is_true, const char *what)
{
    if (!is_true) {
        printf("FAILED %s\n", what);
        board->failures++;
    }
}

int faults_end(void)
{
    uint64_t points = 0;
    for (unsigned i = 0; i < FAULT_KIND_COUNT; i++) {
        printf(
            "%s%s %llu", i == 0 ? "" : ", ", fault_kind_name((enum fault_kind)i), (unsigned long long)board->points[i]);
        points += board->points[i];
    }
    struct rusage all = { .ru_maxrss = 0 };
    (void)getrusage(RUSAGE_CHILDREN, &all);
    printf("\n%llu things, %lld s of CPU, offset %llu\n", (unsigned long long)board->things,
        (long long)(all.ru_utime.tv_sec + all.ru_stime.tv_sec), (unsigned long long)options.offset);
    printf("%llu fault points, %llu failures\n", (unsigned long long)points, (unsigned long long)board->failures);
    return board->failures == 0 && board->things > 0 ? 0 : 1;
}
