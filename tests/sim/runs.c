/*
 * Owns: running many plans and telling what came of it. Runs happen in a child process that goes on from seed to seed
 * until one fails; its memory is then not taken apart, the next child goes on with the next seed. Totals live in memory
 * shared with the children.
 */
#include "tests/sim/runs.h"

#include "node/vault/slots.h"
#include "schema/base/check.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEED_CPU_SECONDS = 100 };

static struct shared {
    struct sim_totals totals;
    struct sim_outcome outcome;
    uint64_t next;
} * shared;

static struct plan plan; /* large, and one at a time */

static void on_check(const char *expr, const char *file, int line)
{
    (void)snprintf(shared->outcome.text, sizeof(shared->outcome.text), "check(%s) at %s:%d", expr, file, line);
}

static void begin_process(void)
{
    static bool has_begun;
    if (!has_begun) {
        place_init();
        vault_test_set_kdf(1, 8192);
        check_set_hook(on_check);
        has_begun = true;
    }
}

static struct shared *shared_new(void)
{
    void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(p != MAP_FAILED);
    return p;
}

static void limit_time(void)
{
    const struct itimerval t = { .it_value = { .tv_sec = SEED_CPU_SECONDS } };
    (void)setitimer(ITIMER_VIRTUAL, &t, NULL);
}

/* The run, and what else is asked of it. */
static struct sim_outcome run_checked(const struct runs *r, struct plan *p)
{
    limit_time();
    p->hidden = r->pairs ? 1 : p->hidden;
    struct sim_outcome first = sim_run(p, &shared->totals, r->is_verbose);
    if (first.result == SIM_OK && r->twice) {
        struct sim_outcome again = sim_run(p, &shared->totals, false);
        if (again.result == SIM_OK && again.trace != first.trace) {
            first.result = SIM_CHANCE;
            (void)snprintf(first.invariant, sizeof(first.invariant), "I30");
            (void)snprintf(first.text, sizeof(first.text), "a second run took another way");
        }
    }
    if (first.result == SIM_OK && r->pairs) {
        p->hidden = 2;
        struct sim_outcome twin = sim_run(p, &shared->totals, false);
        if (twin.result == SIM_OK && twin.shape != first.shape) {
            first.result = SIM_WRONG;
            (void)snprintf(first.invariant, sizeof(first.invariant), "I17");
            (void)snprintf(
                first.text, sizeof(first.text), "other hidden values change who is sent what, when, how long");
        }
    }
    return first;
}

static void draw(const struct runs *r, uint64_t seed)
{
    if (r->is_standard) {
        plan_draw_standard(seed, &plan);
    } else {
        plan_draw(seed, &plan);
    }
}

/* In the child: seeds until one fails. */
static _Noreturn void child(const struct runs *r)
{
    while (shared->next < r->first + r->count) {
        uint64_t seed = shared->next++;
        shared->totals.running = seed;
        draw(r, seed);
        shared->outcome.text[0] = '\0';
        struct sim_outcome out = run_checked(r, &plan);
        shared->totals.seeds++;
        shared->outcome = out;
        if (r->is_verbose || r->count == 1) {
            (void)printf("seed %" PRIu64 " trace %016" PRIx64 "\n", seed, out.trace);
            (void)fflush(stdout);
        }
        if (out.result != SIM_OK) {
            _exit((int)out.result);
        }
    }
    _exit(0);
}

/* What a child's end means. */
static int outcome_of(int status, struct sim_outcome *out)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) >= SIM_LIVENESS) {
        return WEXITSTATUS(status);
    }
    out->result = SIM_CRASH;
    (void)snprintf(out->invariant, sizeof(out->invariant), "I28");
    if (out->text[0] == '\0') {
        (void)snprintf(out->text, sizeof(out->text), "%s",
            WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "stopped by a sanitizer");
    }
    return SIM_CRASH;
}

static int in_child(const struct runs *r)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        child(r);
    }
    check(waitpid(pid, &status, 0) == pid);
    return outcome_of(status, &shared->outcome);
}

static struct sim_outcome alone(const struct plan *p, bool is_silent, bool is_verbose)
{
    int status = 0;
    (void)fflush(stdout);
    shared->outcome = (struct sim_outcome){ .result = SIM_OK };
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        if (is_silent) {
            (void)!freopen("/dev/null", "w", stderr);
        }
        limit_time();
        shared->outcome = sim_run(p, &shared->totals, is_verbose);
        _exit((int)shared->outcome.result);
    }
    check(waitpid(pid, &status, 0) == pid);
    (void)outcome_of(status, &shared->outcome);
    return shared->outcome;
}

struct sim_outcome runs_silent(const struct plan *p)
{
    return alone(p, true, false);
}

struct sim_outcome runs_alone(const struct plan *p)
{
    return alone(p, false, false);
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static void tell(const struct runs *r, const struct sim_outcome *out, uint64_t seed)
{
    (void)printf("FAILED %s at %.3f s of seed %" PRIu64 ": %s\n  replay: %s --from %" PRIu64 "%s -v\n", out->invariant,
        (double)out->at_ms / 1000, seed, out->text, r->program, seed, r->is_standard ? " --standard" : "");
    (void)fflush(stdout);
}

static void table(void)
{
    const struct sim_totals *t = &shared->totals;
    struct rusage used;
    (void)getrusage(RUSAGE_CHILDREN, &used);
    double cpu = (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6 + (double)used.ru_stime.tv_sec +
                 (double)used.ru_stime.tv_usec / 1e6;
    uint64_t kinds = 0;
    uint64_t faults = 0;
    for (unsigned i = 0; i < DO_COUNT; i++) {
        bool is_fault = action_kind_of((enum action_id)i) != KIND_OP;
        kinds += is_fault && t->done[i] > 0 ? 1 : 0;
        faults += is_fault ? t->done[i] : 0;
        (void)printf(
            "kind %-24s %10" PRIu64 " of %" PRIu64 "\n", action_name((enum action_id)i), t->done[i], t->planned[i]);
    }
    (void)printf("seeds %" PRIu64 " failed %" PRIu64 " node-hours %" PRIu64 " cpu-seconds %.1f\n", t->seeds, t->failed,
        t->node_ms / 3600000, cpu);
    (void)printf("events %" PRIu64 " messages %" PRIu64 " bytes %" PRIu64 " acknowledged %" PRIu64 " pairs %" PRIu64
                 " faults %" PRIu64 " kinds %" PRIu64 " conflicts %" PRIu64 " entries %" PRIu64 " letters %" PRIu64
                 " relays %" PRIu64 " forks %" PRIu64 "\n",
        t->events, t->messages, t->bytes, t->commits, t->checked_pairs, faults, kinds, t->conflicts, t->entries,
        t->letters, t->relays, t->forks);
}

static void shrink_seed(const struct runs *r, uint64_t seed, const struct sim_outcome *out)
{
    struct sim_outcome failure = *out;
    draw(r, seed);
    shrink_plan(&plan, &failure);
    plan_write(&plan, stdout);
}

static int swarm(const struct runs *r)
{
    int worst = 0;
    shared->next = r->first;
    while (shared->next < r->first + r->count) {
        shared->outcome = (struct sim_outcome){ .result = SIM_OK };
        int code = in_child(r);
        if (code != 0) {
            struct sim_outcome out = shared->outcome;
            shared->totals.failed++;
            worst = code;
            if (r->stops) {
                shared->next = r->first + r->count;
            }
            tell(r, &out, shared->totals.running);
            if (r->shrinks) {
                shrink_seed(r, shared->totals.running, &out);
            }
        }
    }
    if (r->table) {
        table();
    }
    return worst;
}

static int one_plan(const struct runs *r)
{
    FILE *f = fopen(r->plan_file, "r");
    if (f == NULL || !plan_read(f, &plan)) {
        (void)fprintf(stderr, "sim: %s is no plan\n", r->plan_file);
        return 2;
    }
    (void)fclose(f);
    struct sim_outcome out = alone(&plan, false, r->is_verbose);
    if (out.result == SIM_OK) {
        (void)printf("%s: holds, trace %016" PRIx64 "\n", r->plan_file, out.trace);
        return 0;
    }
    (void)printf("%s: FAILED %s at %.3f s: %s\n", r->plan_file, out.invariant, (double)out.at_ms / 1000, out.text);
    if (r->shrinks) {
        shrink_plan(&plan, &out);
        plan_write(&plan, stdout);
    }
    return (int)out.result;
}

int runs_do(const struct runs *r)
{
    shared = shared_new();
    begin_process();
    if (r->shows) {
        draw(r, r->first);
        plan_write(&plan, stdout);
        return 0;
    }
    return r->plan_file != NULL ? one_plan(r) : swarm(r);
}
