#ifndef JIPAN_NODE_DISK_H
#define JIPAN_NODE_DISK_H

#include "schema/base/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct disk: the raw file operations below the encrypted file set, as a table of functions. Production hands in
 * disk_posix(); tests and the simulator hand in a disk that records, fails, tears or forgets (tests/lib/disk_sim.h).
 *
 * Every operation returns 0 or an errno value. Paths are absolute. One file handle is used by one thread at a time;
 * the table itself may be used by several threads.
 */
struct disk_file;

enum disk_open {
    DISK_READ_ONLY = 1,
    DISK_CREATE = 2,
    DISK_EXCLUSIVE = 4, /* with DISK_CREATE: fail with EEXIST */
    DISK_TRUNCATE = 8,
    DISK_FOREIGN = 16, /* named by a person: may be a link, must be an ordinary file (else EISDIR) */
};

enum { DISK_ID_BYTES = 24 };

struct disk_ops {
    int (*open)(void *ctx, const char *path, unsigned flags, struct disk_file **out);
    void (*close)(struct disk_file *file);
    /* *got < len only at the end of the file. */
    int (*pread)(struct disk_file *file, void *buf, size_t len, uint64_t at, size_t *got);
    /* All or an error; after an error any part may have been written. */
    int (*pwrite)(struct disk_file *file, const void *buf, size_t len, uint64_t at);
    /* Asks for what was written there to go to the disk while the caller goes on. Promises nothing, tells nothing. */
    void (*begin_write_out)(struct disk_file *file, uint64_t at, uint64_t len);
    /* Content and size are durable when this returns 0. After an error nothing is known. */
    int (*fsync)(struct disk_file *file);
    int (*ftruncate)(struct disk_file *file, uint64_t size);
    int (*size)(struct disk_file *file, uint64_t *out);
    int (*remove)(void *ctx, const char *path);
    int (*rename)(void *ctx, const char *from, const char *to);
    /* ENOENT when there is nothing. */
    int (*stat)(void *ctx, const char *path, uint64_t *ret_size);
    /* Creations, renames and removals in dir are durable when this returns 0. */
    int (*sync_dir)(void *ctx, const char *dir);
    /* Exclusive lock, held until close and dropped when the process dies. EWOULDBLOCK: somebody else holds it. */
    int (*lock)(void *ctx, const char *path, bool create, struct disk_file **out);
    /* Mode 0700; EEXIST. remove_dir: only an empty one. */
    int (*make_dir)(void *ctx, const char *path);
    int (*remove_dir)(void *ctx, const char *path);
    /* The absolute path of an existing directory without symbolic links. */
    int (*resolve)(void *ctx, const char *dir, char *out, size_t room);
    /* What tells a file from its copy: number and birth. Does not follow links. */
    int (*identify)(void *ctx, const char *path, uint8_t out[DISK_ID_BYTES]);
    bool syncs_beside; /* fsync may run on one thread while another writes to the same handle; it covers what was
                          written before it began */
};

struct disk {
    const struct disk_ops *ops;
    void *ctx;
};

/* First member of every implementation's handle. */
struct disk_file {
    const struct disk_ops *ops;
};

struct disk disk_posix(void);

/* make_dir, and its name made durable, also of one that was there: an earlier attempt may have ended between the two.
 * 0 or an errno value; *was_made also when that is an error. */
int disk_make_dir_durable(struct disk disk, const char *path, bool *was_made);

#endif
