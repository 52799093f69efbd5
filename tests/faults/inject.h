#ifndef JIPAN_TESTS_FAULTS_INJECT_H
#define JIPAN_TESTS_FAULTS_INJECT_H

#include "tests/lib/disk_sim.h"

/*
 * One fault at a time, at the k-th call of its kind. A run is always the same: the clock, the randomness and the cost
 * of passwords are the test's, so that the k-th call of one run is the k-th of the next.
 */
enum fault_kind {
    FAULT_MEM, /* malloc, calloc, realloc, strdup, sodium_malloc as called by our own code, JSON included */
    FAULT_SQL, /* SQLite's memory */
    FAULT_ARENA, /* a budget or an arena that is used up: mem_* and arena_* */
    FAULT_READ, /* EIO */
    FAULT_WRITE, /* EIO after half of it */
    FAULT_FULL, /* ENOSPC after half of it */
    FAULT_SYNC, /* EIO, and what was not durable is lost */
    FAULT_NAME, /* EIO of open, stat, rename, remove, … */
    FAULT_CRASH, /* power loss at a changing operation */
    FAULT_CRASH_TWICE, /* and once more while the store opens again */
    FAULT_KIND_COUNT,
};

struct point {
    enum fault_kind kind;
    uint64_t k; /* 1 is the first */
    bool is_sticky;
    enum sim_damage damage; /* crashes */
};

const char *fault_kind_name(enum fault_kind kind);
bool fault_is_memory(enum fault_kind kind);
bool fault_is_crash(enum fault_kind kind);

void inject_setup(void); /* before anything else, once per process */
/* From here on the fault is set, on that disk for the kinds of disks. NULL: none. */
void inject_arm(const struct point *p, struct disk_sim *disk);
/* Takes the fault back; true if it happened. A crash stays: the disk is without power until it is cycled. */
bool inject_disarm(struct disk_sim *disk);

bool inject_is_armed(void);

/* The clock of all nodes goes on by so much. */
void inject_pass_ms(uint64_t ms);

/* What our own code and SQLite hold now: pieces of memory. */
uint64_t inject_live(void);

#endif
