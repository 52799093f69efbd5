#ifndef JIPAN_TESTS_DISK_SIM_H
#define JIPAN_TESTS_DISK_SIM_H

#include "node/vault/disk.h"
#include "schema/base/bytes.h"

/*
 * A disk in memory that forgets what was not made durable: content per file and names per directory are kept twice, as
 * the process sees them and as the platter has them, with the unsynced operations in between. Directories directly
 * below the root are always there, others are made. No threads, everything decided by the seed handed in.
 */
struct disk_sim;

enum sim_damage {
    SIM_DROP, /* nothing unsynced survives */
    SIM_TEAR, /* a prefix survives, the next write torn at a 512-byte sector */
    SIM_REORDER, /* any subset survives, each write possibly with sectors missing */
    SIM_SIZE_ONLY, /* sizes survive, data reads as zeros */
    SIM_DAMAGE_COUNT,
};

/* Kinds of calls that a fault can be set on. */
enum sim_call {
    SIM_READ, /* pread */
    SIM_WRITE, /* pwrite (half of it is written), ftruncate */
    SIM_SYNC, /* fsync (what was not durable is lost at the next power loss), sync_dir */
    SIM_NAME, /* open, lock, stat, size, identify, resolve, rename, remove, directories */
    SIM_CALL_COUNT,
};

struct sim_fault {
    enum sim_call call;
    uint64_t at; /* 1 is the next call of that kind; 0: no fault */
    int error;
    bool is_sticky; /* that one and all later ones */
};

struct disk_sim *disk_sim_new(void);
/* Current state, all durable; no locks, no faults. Every file of a clone is another file (disk.h's identify); those of
 * an image, as of a whole disk set back, are the same. */
struct disk_sim *disk_sim_clone(const struct disk_sim *sim);
struct disk_sim *disk_sim_image(const struct disk_sim *sim);
void disk_sim_free(struct disk_sim *sim);
struct disk disk_sim_disk(struct disk_sim *sim);

/* Number of changing operations so far (writes, truncates, syncs, creations, renames, removals). */
uint64_t disk_sim_ops(const struct disk_sim *sim);
/* After `ops` more changing operations the power fails: that one and all later operations return EIO. */
void disk_sim_crash_after(struct disk_sim *sim, uint64_t ops);
bool disk_sim_has_crashed(const struct disk_sim *sim);
/* Power comes back: decides what survived. All handles must be closed. */
void disk_sim_power_cycle(struct disk_sim *sim, enum sim_damage damage, uint64_t seed);

/* The power, or the process, goes now: every later operation returns EIO. */
void disk_sim_stop(struct disk_sim *sim);
/* Only the process had died: what it wrote is there, durable or not. All handles must be closed. */
void disk_sim_continue(struct disk_sim *sim);

void disk_sim_fail(struct disk_sim *sim, struct sim_fault fault); /* replaces the one before; hits count from 0 */
uint64_t disk_sim_fault_hits(const struct disk_sim *sim);
uint64_t disk_sim_calls(const struct disk_sim *sim, enum sim_call call);

void disk_sim_fail_fsync_after(struct disk_sim *sim, uint64_t fsyncs); /* one failure; 0 = the next one */
/* One read, or one write, answers EIO; 0 = the next one. */
void disk_sim_fail_read_after(struct disk_sim *sim, uint64_t reads);
void disk_sim_fail_write_after(struct disk_sim *sim, uint64_t writes);
bool disk_sim_take_failure(struct disk_sim *sim); /* an armed failure has happened since the last question */
void disk_sim_set_capacity(struct disk_sim *sim, uint64_t bytes); /* ENOSPC above; 0 = no limit */
void disk_sim_set_read_only(struct disk_sim *sim, bool on); /* EROFS for everything that changes */

/* Counts writes whose bytes contain text (borrowed). */
void disk_sim_watch(struct disk_sim *sim, struct bytes text);
uint64_t disk_sim_watch_hits(const struct disk_sim *sim);
/* Whether the bytes stand anywhere on the disk, also in removed files. */
bool disk_sim_contains(const struct disk_sim *sim, struct bytes text);
uint64_t disk_sim_used(const struct disk_sim *sim); /* bytes of all files, removed ones included */
/* What tells a file from its copy; false: no such file. */
bool disk_sim_file_id(const struct disk_sim *sim, const char *path, uint64_t *out);
uint64_t disk_sim_bytes_written(const struct disk_sim *sim, const char *path_part);

/* The current bytes of a file for reading and spoiling, until the disk changes; NULL when there is none, or none in it.
 */
uint8_t *disk_sim_content(struct disk_sim *sim, const char *path, size_t *ret_len);
void disk_sim_cut(struct disk_sim *sim, const char *path, size_t len);

#endif
