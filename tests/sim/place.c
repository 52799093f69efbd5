/*
 * Owns: the system as the nodes of the simulator see it. The linker gives them the disk and the clock of the current
 * place instead of the machine's.
 * Invariant: nothing a node can read depends on the machine the test runs on.
 */
#include "tests/sim/place.h"

#include "node/mark.h"
#include "schema/base/check.h"
#include "tests/sim/memory.h"

#include <sodium.h>
#include <sqlite3.h>
#include <time.h>

static const int64_t epoch_ms = 1772841600000; /* when every simulation begins */

static struct place *current;
static uint64_t now_ms;

/* The linker's names: __real_x is the system's, __wrap_x is ours. */
int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
struct disk __wrap_disk_posix(void);

/* --- the current place ------------------------------------------------------------------------------------------ */

int64_t place_wall_ms(const struct place *p, uint64_t now)
{
    if (p->is_clock_frozen) {
        return p->frozen_at_ms;
    }
    int64_t since = (int64_t)(now - p->clock_since_ms);
    return epoch_ms + (int64_t)now + p->clock_offset_ms + since * p->clock_drift_ppm / 1000000;
}

void place_enter(struct place *p, uint64_t now)
{
    current = p;
    now_ms = now;
    mark_test_set_machine(p == NULL ? NULL : p->machine);
}

static const char *chance_name(void)
{
    return "simulator";
}

/* Outside of every place only libsodium draws, while it starts. */
static struct chance nowhere;

static uint32_t chance_word(void)
{
    return (uint32_t)chance_next(current == NULL ? &nowhere : &current->chance);
}

static void chance_bytes(void *const out, const size_t len)
{
    chance_fill(current == NULL ? &nowhere : &current->chance, out, len);
}

static int no_randomness(sqlite3_vfs *vfs, int bytes, char *out)
{
    (void)vfs;
    memset(out, 7, (size_t)bytes);
    return bytes;
}

void place_init(void)
{
    static sqlite3_vfs quiet;
    static randombytes_implementation impl = {
        .implementation_name = chance_name, .random = chance_word, .buf = chance_bytes
    };
    check(randombytes_set_implementation(&impl) == 0);
    check(sodium_init() >= 0);
    memory_init();
    /* SQLite seeds its own stream from the default VFS. */
    check(sqlite3_initialize() == SQLITE_OK);
    quiet = *sqlite3_vfs_find(NULL);
    quiet.pNext = NULL;
    quiet.zName = "sim-default";
    quiet.xRandomness = no_randomness;
    check(sqlite3_vfs_register(&quiet, 1) == SQLITE_OK);
}

struct disk __wrap_disk_posix(void)
{
    check(current != NULL);
    return disk_sim_disk(current->disk);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    if (current == NULL) {
        return __real_clock_gettime(clock, out);
    }
    int64_t ms = clock == CLOCK_REALTIME ? place_wall_ms(current, now_ms) : (int64_t)now_ms + 1000;
    out->tv_sec = ms / 1000;
    out->tv_nsec = ms % 1000 * 1000000;
    return 0;
}
