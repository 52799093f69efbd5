/*
 * Owns: the faults of memory and disk, and what makes a run repeatable. Our own code is linked with its allocator calls
 * wrapped (tests/CMakeLists.txt); SQLite is given an allocator. Not for threads.
 */
#include "tests/faults/inject.h"

#include "schema/base/check.h"
#include "schema/base/mem.h"

#include <errno.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIVE_ROOM = 1 << 17, KINDS = FAULT_SQL + 1 };

static struct {
    bool is_armed;
    struct point point;
    uint64_t calls; /* of the armed kind */
    uint64_t hits;
    uint64_t live[KINDS];
} state;

/* Our own pieces: what libc allocated for itself and we free is none of ours. */
static void *pieces[LIVE_ROOM];

/* For a debugger: break here to see where the fault happens. */
static void __attribute__((noinline)) fault_happens(void)
{
    state.hits++;
}

static bool fires(enum fault_kind kind)
{
    if (!state.is_armed || state.point.kind != kind) {
        return false;
    }
    state.calls++;
    bool hit = state.calls == state.point.k || (state.point.is_sticky && state.calls > state.point.k);
    if (hit) {
        fault_happens();
    }
    return hit;
}

static size_t piece_slot(const void *p)
{
    return ((uintptr_t)p >> 4U) * UINT64_C(0x9E3779B97F4A7C15) >> 47U;
}

static void *born(void *p)
{
    if (p != NULL) {
        size_t at = piece_slot(p);
        while (pieces[at] != NULL) {
            at = (at + 1) % LIVE_ROOM;
        }
        pieces[at] = p;
        state.live[FAULT_MEM]++;
        check(state.live[FAULT_MEM] < LIVE_ROOM / 2);
    }
    return p;
}

static void gone(const void *p)
{
    size_t at = piece_slot(p);
    while (pieces[at] != NULL && pieces[at] != p) {
        at = (at + 1) % LIVE_ROOM;
    }
    if (p == NULL || pieces[at] == NULL) {
        return;
    }
    state.live[FAULT_MEM]--;
    pieces[at] = NULL;
    for (size_t next = (at + 1) % LIVE_ROOM; pieces[next] != NULL; next = (next + 1) % LIVE_ROOM) {
        void *moved = pieces[next];
        pieces[next] = NULL;
        size_t to = piece_slot(moved);
        while (pieces[to] != NULL) {
            to = (to + 1) % LIVE_ROOM;
        }
        pieces[to] = moved;
    }
}

/* --- our own code: names that the linker puts in the place of the library's --- */

// NOLINTBEGIN(bugprone-reserved-identifier)
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t each);
void *__real_realloc(void *p, size_t bytes);
char *__real_strdup(const char *text);
void __real_free(void *p);
void *__real_sodium_malloc(size_t bytes);
int __real_crypto_pwhash_str(char *out, const char *text, unsigned long long len, unsigned long long ops, size_t mem);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t each);
void *__wrap_realloc(void *p, size_t bytes);
char *__wrap_strdup(const char *text);
void __wrap_free(void *p);
void *__wrap_sodium_malloc(size_t bytes);
int __wrap_crypto_pwhash_str(char *out, const char *text, unsigned long long len, unsigned long long ops, size_t mem);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
void *__real_mem_alloc(struct mem *mem, size_t bytes);
void *__real_mem_resize(struct mem *mem, void *p, size_t old_bytes, size_t new_bytes);
void *__real_arena_alloc(struct arena *a, size_t bytes);
void *__real_arena_array(struct arena *a, size_t count, size_t each);
enum err __real_arena_dup(struct arena *a, struct bytes src, struct bytes *out);
char *__real_arena_cstr(struct arena *a, struct bytes src);
void *__wrap_mem_alloc(struct mem *mem, size_t bytes);
void *__wrap_mem_resize(struct mem *mem, void *p, size_t old_bytes, size_t new_bytes);
void *__wrap_arena_alloc(struct arena *a, size_t bytes);
void *__wrap_arena_array(struct arena *a, size_t count, size_t each);
enum err __wrap_arena_dup(struct arena *a, struct bytes src, struct bytes *out);
char *__wrap_arena_cstr(struct arena *a, struct bytes src);

void *__wrap_malloc(size_t bytes)
{
    return fires(FAULT_MEM) ? NULL : born(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t each)
{
    return fires(FAULT_MEM) ? NULL : born(__real_calloc(count, each));
}

void *__wrap_realloc(void *p, size_t bytes)
{
    if (fires(FAULT_MEM)) {
        return NULL;
    }
    gone(p);
    return born(__real_realloc(p, bytes));
}

char *__wrap_strdup(const char *text)
{
    return fires(FAULT_MEM) ? NULL : born(__real_strdup(text));
}

void __wrap_free(void *p)
{
    gone(p);
    __real_free(p);
}

void *__wrap_sodium_malloc(size_t bytes)
{
    return fires(FAULT_MEM) ? NULL : __real_sodium_malloc(bytes);
}

void *__wrap_mem_alloc(struct mem *mem, size_t bytes)
{
    return fires(FAULT_ARENA) ? NULL : __real_mem_alloc(mem, bytes);
}

void *__wrap_mem_resize(struct mem *mem, void *p, size_t old_bytes, size_t new_bytes)
{
    return fires(FAULT_ARENA) ? NULL : __real_mem_resize(mem, p, old_bytes, new_bytes);
}

void *__wrap_arena_alloc(struct arena *a, size_t bytes)
{
    return fires(FAULT_ARENA) ? NULL : __real_arena_alloc(a, bytes);
}

void *__wrap_arena_array(struct arena *a, size_t count, size_t each)
{
    return fires(FAULT_ARENA) ? NULL : __real_arena_array(a, count, each);
}

enum err __wrap_arena_dup(struct arena *a, struct bytes src, struct bytes *out)
{
    return fires(FAULT_ARENA) ? ERR_NOMEM : __real_arena_dup(a, src, out);
}

char *__wrap_arena_cstr(struct arena *a, struct bytes src)
{
    return fires(FAULT_ARENA) ? NULL : __real_arena_cstr(a, src);
}

int __wrap_crypto_pwhash_str(char *out, const char *text, unsigned long long len, unsigned long long ops, size_t mem)
{
    (void)ops;
    (void)mem;
    return __real_crypto_pwhash_str(out, text, len, crypto_pwhash_OPSLIMIT_MIN, crypto_pwhash_MEMLIMIT_MIN);
}

static uint64_t clock_ms = 1750000000000;

void inject_pass_ms(uint64_t ms)
{
    clock_ms += ms;
}

/* A millisecond passes with every look. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    (void)clock;
    clock_ms++;
    *out = (struct timespec){ .tv_sec = (time_t)(clock_ms / 1000), .tv_nsec = (long)(clock_ms % 1000) * 1000000 };
    return 0;
}
// NOLINTEND(bugprone-reserved-identifier)

/* --- libraries --- */

static sqlite3_mem_methods sql_real;

static void *sql_malloc(int bytes)
{
    void *p = fires(FAULT_SQL) ? NULL : sql_real.xMalloc(bytes);
    state.live[FAULT_SQL] += p != NULL ? 1 : 0;
    return p;
}

static void sql_free(void *p)
{
    state.live[FAULT_SQL] -= p != NULL ? 1 : 0;
    sql_real.xFree(p);
}

static void *sql_realloc(void *p, int bytes)
{
    return fires(FAULT_SQL) ? NULL : sql_real.xRealloc(p, bytes);
}

static const char *random_name(void)
{
    return "repeatable";
}

static uint32_t random_word(void)
{
    static uint64_t seed = 7;
    uint64_t z = seed += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30U)) * UINT64_C(0xBF58476D1CE4E5B9);
    return (uint32_t)((z ^ (z >> 27U)) * UINT64_C(0x94D049BB133111EB) >> 32U);
}

static void random_fill(void *out, const size_t len)
{
    uint8_t *p = out;
    for (size_t i = 0; i < len; i += 4) {
        uint32_t word = random_word();
        memcpy(p + i, &word, len - i < 4 ? len - i : 4);
    }
}

void inject_setup(void)
{
    static randombytes_implementation repeatable = {
        .implementation_name = random_name, .random = random_word, .buf = random_fill
    };
    check(randombytes_set_implementation(&repeatable) == 0);
    check(sodium_init() >= 0);
    check(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sql_real) == SQLITE_OK);
    sqlite3_mem_methods sql = sql_real;
    sql.xMalloc = sql_malloc;
    sql.xFree = sql_free;
    sql.xRealloc = sql_realloc;
    check(sqlite3_config(SQLITE_CONFIG_MALLOC, &sql) == SQLITE_OK);
    check(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK); /* every small piece is a point */
}

/* --- arming --- */

const char *fault_kind_name(enum fault_kind kind)
{
    static const char *const names[] = { "memory", "sqlite", "arena", "read", "write", "full", "sync", "name", "crash",
        "crash2" };
    return names[kind];
}

bool fault_is_memory(enum fault_kind kind)
{
    return kind <= FAULT_ARENA;
}

bool fault_is_crash(enum fault_kind kind)
{
    return kind == FAULT_CRASH || kind == FAULT_CRASH_TWICE;
}

void inject_arm(const struct point *p, struct disk_sim *disk)
{
    static const struct {
        enum sim_call call;
        int error;
    } faults[FAULT_KIND_COUNT] = { [FAULT_READ] = { SIM_READ, EIO },
        [FAULT_WRITE] = { SIM_WRITE, EIO },
        [FAULT_FULL] = { SIM_WRITE, ENOSPC },
        [FAULT_SYNC] = { SIM_SYNC, EIO },
        [FAULT_NAME] = { SIM_NAME, EIO } };
    if (p == NULL) {
        return;
    }
    state.is_armed = true;
    state.point = *p;
    state.calls = 0;
    state.hits = 0;
    if (fault_is_crash(p->kind)) {
        disk_sim_crash_after(disk, p->k - 1);
    } else if (!fault_is_memory(p->kind)) {
        disk_sim_fail(disk,
            (struct sim_fault){
                .call = faults[p->kind].call, .at = p->k, .error = faults[p->kind].error, .is_sticky = p->is_sticky });
    }
}

bool inject_is_armed(void)
{
    return state.is_armed;
}

bool inject_disarm(struct disk_sim *disk)
{
    const struct point *p = &state.point;
    bool fired = false;
    if (!state.is_armed) {
        return false;
    }
    if (fault_is_crash(p->kind)) {
        fired = disk_sim_has_crashed(disk);
    } else if (fault_is_memory(p->kind)) {
        fired = state.hits > 0;
    } else {
        fired = disk_sim_fault_hits(disk) > 0;
        disk_sim_fail(disk, (struct sim_fault){ .at = 0 });
    }
    state.is_armed = false;
    return fired;
}

uint64_t inject_live(void)
{
    return state.live[FAULT_MEM] + state.live[FAULT_SQL];
}
