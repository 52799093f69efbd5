/*
 * Owns: the POSIX file operations of the encrypted file set. Files are created 0600, close-on-exec, never followed
 * through a symbolic link and never get one of the descriptors 0 to 2 (a stray print would overwrite the store).
 * EINTR and short transfers are retried here; nothing above sees them.
 *
 * Deliberately not here: any knowledge of what the bytes mean, any retry of a failed fsync.
 */
#include "node/vault/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct posix_file {
    struct disk_file base;
    int fd;
};

static const struct disk_ops posix_ops;

static int posix_fd(const struct disk_file *file)
{
    return ((const struct posix_file *)file)->fd;
}

/* Opens and lifts the descriptor above stderr. Returns the descriptor or -1 with errno. */
static int open_high(const char *path, int flags)
{
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0 || fd > STDERR_FILENO) {
        return fd;
    }
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int saved = errno;
    close(fd);
    errno = saved;
    return high;
}

static int posix_wrap(int fd, struct disk_file **out)
{
    if (fd < 0) {
        return errno;
    }
    struct posix_file *file = malloc(sizeof(*file));
    if (file == NULL) {
        close(fd);
        return ENOMEM;
    }
    *file = (struct posix_file){ .base = { .ops = &posix_ops }, .fd = fd };
    *out = &file->base;
    return 0;
}

static int posix_open(void *ctx, const char *path, unsigned flags, struct disk_file **out)
{
    (void)ctx;
    int mode = (flags & DISK_READ_ONLY) != 0 ? O_RDONLY : O_RDWR;
    mode |= (flags & DISK_CREATE) != 0 ? O_CREAT : 0;
    mode |= (flags & DISK_EXCLUSIVE) != 0 ? O_EXCL : 0;
    mode |= (flags & DISK_TRUNCATE) != 0 ? O_TRUNC : 0;
    if ((flags & DISK_FOREIGN) == 0) {
        return posix_wrap(open_high(path, mode | O_NOFOLLOW), out);
    }
    int fd = open_high(path, mode | O_NONBLOCK); /* a pipe must not make us wait */
    struct stat st;
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        return EISDIR;
    }
    return posix_wrap(fd, out);
}

static void posix_close(struct disk_file *file)
{
    close(posix_fd(file));
    free(file);
}

static int posix_pread(struct disk_file *file, void *buf, size_t len, uint64_t at, size_t *got)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(posix_fd(file), (char *)buf + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    *got = done;
    return 0;
}

static int posix_pwrite(struct disk_file *file, const void *buf, size_t len, uint64_t at)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pwrite(posix_fd(file), (const char *)buf + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : ENOSPC;
        }
        done += (size_t)n;
    }
    return 0;
}

static void posix_begin_write_out(struct disk_file *file, uint64_t at, uint64_t len)
{
    (void)sync_file_range(posix_fd(file), (off_t)at, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

static int posix_fsync(struct disk_file *file)
{
    /* fdatasync also makes the size durable, which is all that matters of the metadata. */
    return fdatasync(posix_fd(file)) == 0 ? 0 : errno;
}

static int posix_ftruncate(struct disk_file *file, uint64_t size)
{
    int rc;
    do {
        rc = ftruncate(posix_fd(file), (off_t)size);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : errno;
}

static int posix_size(struct disk_file *file, uint64_t *out)
{
    struct stat st;
    if (fstat(posix_fd(file), &st) != 0) {
        return errno;
    }
    *out = (uint64_t)st.st_size;
    return 0;
}

static int posix_remove(void *ctx, const char *path)
{
    (void)ctx;
    return unlink(path) == 0 ? 0 : errno;
}

static int posix_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return rename(from, to) == 0 ? 0 : errno;
}

static int posix_stat(void *ctx, const char *path, uint64_t *ret_size)
{
    (void)ctx;
    struct stat st;
    if (stat(path, &st) != 0) {
        return errno;
    }
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

static int posix_sync_dir(void *ctx, const char *dir)
{
    (void)ctx;
    int fd = open_high(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) {
        return errno;
    }
    int result = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return result;
}

static int posix_lock(void *ctx, const char *path, bool create, struct disk_file **out)
{
    (void)ctx;
    int fd = open_high(path, O_RDWR | O_NOFOLLOW | (create ? O_CREAT : 0));
    if (fd < 0) {
        return errno;
    }
    int rc;
    do {
        rc = flock(fd, LOCK_EX | LOCK_NB);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        int saved = errno;
        close(fd);
        return saved;
    }
    return posix_wrap(fd, out);
}

static int posix_make_dir(void *ctx, const char *path)
{
    (void)ctx;
    return mkdir(path, 0700) == 0 ? 0 : errno;
}

static int posix_remove_dir(void *ctx, const char *path)
{
    (void)ctx;
    return rmdir(path) == 0 ? 0 : errno;
}

static int posix_resolve(void *ctx, const char *dir, char *out, size_t room)
{
    (void)ctx;
    char *path = realpath(dir, NULL);
    if (path == NULL) {
        return errno;
    }
    size_t len = strlen(path);
    if (len < room) {
        memcpy(out, path, len + 1);
    }
    free(path);
    return len < room ? 0 : ENAMETOOLONG;
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (size_t i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (8 * (7 - i)));
    }
}

static int posix_identify(void *ctx, const char *path, uint8_t out[DISK_ID_BYTES])
{
    (void)ctx;
    struct statx st = { 0 };
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &st) != 0) {
        return errno;
    }
    bool has_birth = (st.stx_mask & STATX_BTIME) != 0;
    put_u64(out, st.stx_ino);
    put_u64(out + 8, has_birth ? (uint64_t)st.stx_btime.tv_sec : 0);
    put_u64(out + 16, has_birth ? st.stx_btime.tv_nsec : 0);
    return 0;
}

static const struct disk_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .pread = posix_pread,
    .pwrite = posix_pwrite,
    .begin_write_out = posix_begin_write_out,
    .fsync = posix_fsync,
    .ftruncate = posix_ftruncate,
    .size = posix_size,
    .remove = posix_remove,
    .rename = posix_rename,
    .stat = posix_stat,
    .sync_dir = posix_sync_dir,
    .lock = posix_lock,
    .make_dir = posix_make_dir,
    .remove_dir = posix_remove_dir,
    .resolve = posix_resolve,
    .identify = posix_identify,
    .syncs_beside = true,
};

struct disk disk_posix(void)
{
    return (struct disk){ .ops = &posix_ops, .ctx = NULL };
}

int disk_make_dir_durable(struct disk disk, const char *path, bool *was_made)
{
    char real[4096];
    int error = disk.ops->make_dir(disk.ctx, path);
    *was_made = error == 0;
    if (error != 0 && error != EEXIST) {
        return error;
    }
    error = disk.ops->resolve(disk.ctx, path, real, sizeof(real));
    if (error != 0) {
        return error;
    }
    char *slash = strrchr(real, '/');
    slash[slash == real ? 1 : 0] = '\0';
    error = disk.ops->sync_dir(disk.ctx, real);
    /* A directory that others made for us, in one of theirs that we may not read. */
    return error == EACCES && !*was_made ? 0 : error;
}
