#ifndef JIPAN_TESTS_SIM_PLACE_H
#define JIPAN_TESTS_SIM_PLACE_H

#include "tests/lib/disk_sim.h"
#include "tests/sim/chance.h"

/*
 * Where a simulated node stands: its disk, its clock, its chance, its machine. The production code of node/ runs on it
 * unchanged: the linker sends its few system calls here (open, read, write, fsync, close, rename, unlink, mkdir,
 * realpath, statx, clock_gettime, and disk_posix), and libsodium draws from here. Which place is meant is set before
 * every call into a node.
 */
#define PLACE_HOME "/sim"

struct place {
    struct disk_sim *disk;
    struct chance chance;
    char machine[24];
    int64_t clock_offset_ms;
    int64_t clock_drift_ppm;
    uint64_t clock_since_ms; /* drift counts from here */
    bool is_clock_frozen;
    int64_t frozen_at_ms;
};

void place_init(void); /* once per process, before libsodium */
void place_enter(struct place *p, uint64_t now_ms);
int64_t place_wall_ms(const struct place *p, uint64_t now_ms);

#endif
