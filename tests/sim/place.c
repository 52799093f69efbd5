/*
 * Owns: the system as the nodes of the simulator see it. Every wrapped call about a path under PLACE_HOME, or about a
 * descriptor given out here, is answered from the disk of the current place; every other one goes to the system.
 * Invariant: nothing a node can read depends on the machine the test runs on.
 */
#include "tests/sim/place.h"

#include "node/mark.h"
#include "schema/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { FD_FIRST = 20000, FDS_MAX = 16 };

static const int64_t epoch_ms = 1772841600000; /* when every simulation begins */

static struct place *current;
static uint64_t now_ms;

static struct open_file {
    bool is_used;
    bool is_dir;
    struct disk_sim *sim;
    struct disk_file *file; /* NULL for the directory */
    uint64_t at;
} files[FDS_MAX];

/* The linker's names: __real_x is the system's, __wrap_x is ours. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
char *__real_realpath(const char *path, char *out);
char *__wrap_realpath(const char *path, char *out);
int __real_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out);
int __wrap_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out);
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
    /* SQLite seeds its own stream from the default VFS. */
    check(sqlite3_initialize() == SQLITE_OK);
    quiet = *sqlite3_vfs_find(NULL);
    quiet.pNext = NULL;
    quiet.zName = "sim-default";
    quiet.xRandomness = no_randomness;
    check(sqlite3_vfs_register(&quiet, 1) == SQLITE_OK);
}

static bool is_ours(const char *path)
{
    size_t n = sizeof(PLACE_HOME) - 1;
    return current != NULL && strncmp(path, PLACE_HOME, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* 0 or -1 with errno. */
static int answer(int error)
{
    errno = error;
    return error == 0 ? 0 : -1;
}

static struct open_file *file_of(int fd)
{
    return fd >= FD_FIRST && fd < FD_FIRST + FDS_MAX && files[fd - FD_FIRST].is_used ? &files[fd - FD_FIRST] : NULL;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static int open_ours(const char *path, int flags)
{
    size_t slot = 0;
    struct disk disk = disk_sim_disk(current->disk);
    while (slot < FDS_MAX && files[slot].is_used) {
        slot++;
    }
    check(slot < FDS_MAX);
    struct open_file f = { .is_used = true, .is_dir = (flags & O_DIRECTORY) != 0, .sim = current->disk };
    if (!f.is_dir) {
        unsigned mode = (flags & O_ACCMODE) == O_RDONLY ? (unsigned)DISK_READ_ONLY : 0U;
        mode |= (flags & O_CREAT) != 0 ? (unsigned)DISK_CREATE : 0U;
        mode |= (flags & O_EXCL) != 0 ? (unsigned)DISK_EXCLUSIVE : 0U;
        int error = disk.ops->open(disk.ctx, path, mode, &f.file);
        if (error != 0) {
            return answer(error);
        }
    }
    files[slot] = f;
    return FD_FIRST + (int)slot;
}

int __wrap_open(const char *path, int flags, ...)
{
    if (is_ours(path)) {
        return open_ours(path, flags);
    }
    va_list args;
    va_start(args, flags);
    int mode = (flags & O_CREAT) != 0 ? va_arg(args, int) : 0;
    va_end(args);
    return __real_open(path, flags, mode);
}

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
    struct open_file *f = file_of(fd);
    size_t got = 0;
    if (f == NULL) {
        return __real_read(fd, buf, len);
    }
    int error = f->file->ops->pread(f->file, buf, len, f->at, &got);
    f->at += got;
    return error == 0 ? (ssize_t)got : answer(error);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    struct open_file *f = file_of(fd);
    if (f == NULL) {
        return __real_write(fd, buf, len);
    }
    int error = f->file->ops->pwrite(f->file, buf, len, f->at);
    f->at += len;
    return error == 0 ? (ssize_t)len : answer(error);
}

int __wrap_fsync(int fd)
{
    struct open_file *f = file_of(fd);
    if (f == NULL) {
        return __real_fsync(fd);
    }
    struct disk disk = disk_sim_disk(f->sim);
    return answer(f->is_dir ? disk.ops->sync_dir(disk.ctx, PLACE_HOME) : f->file->ops->fsync(f->file));
}

int __wrap_close(int fd)
{
    struct open_file *f = file_of(fd);
    if (f == NULL) {
        return __real_close(fd);
    }
    if (f->file != NULL) {
        f->file->ops->close(f->file);
    }
    *f = (struct open_file){ .is_used = false };
    return 0;
}

int __wrap_rename(const char *from, const char *to)
{
    if (!is_ours(from)) {
        return __real_rename(from, to);
    }
    struct disk disk = disk_sim_disk(current->disk);
    return answer(disk.ops->rename(disk.ctx, from, to));
}

int __wrap_unlink(const char *path)
{
    if (!is_ours(path)) {
        return __real_unlink(path);
    }
    struct disk disk = disk_sim_disk(current->disk);
    return answer(disk.ops->remove(disk.ctx, path));
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return is_ours(path) ? answer(EEXIST) : __real_mkdir(path, mode);
}

char *__wrap_realpath(const char *path, char *out)
{
    return is_ours(path) && out == NULL ? strdup(path) : __real_realpath(path, out);
}

int __wrap_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out)
{
    uint64_t id = 0;
    if (!is_ours(path)) {
        return __real_statx(dir, path, flags, mask, out);
    }
    if (!disk_sim_file_id(current->disk, path, &id)) {
        return answer(ENOENT);
    }
    memset(out, 0, sizeof(*out));
    out->stx_mask = STATX_INO | STATX_BTIME;
    out->stx_ino = id;
    out->stx_btime.tv_sec = (int64_t)id;
    return 0;
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
