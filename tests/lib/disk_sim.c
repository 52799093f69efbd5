/*
 * Owns: the simulated disk of the power-loss and fault tests. Model: a file's unsynced writes and truncates survive a
 * power loss in any subset and torn at sectors of 512 bytes; names survive in order (a journaling directory); fsync
 * makes content durable, sync_dir makes the names of one directory durable. Pessimistic on purpose: fsync of a new file
 * does not save its name, and a rename is two changes.
 */
#include "tests/lib/disk_sim_impl.h"

#include "schema/base/check.h"

#include <errno.h>
#include <stdlib.h>

enum { SECTOR = 512 };

struct sim_file {
    struct disk_file base;
    struct disk_sim *sim;
    struct sim_inode *inode;
    bool holds_lock;
};

static uint64_t sim_random(uint64_t *state)
{
    /* splitmix64 */
    uint64_t z = *state += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30U) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27U) * 0x94D049BB133111EBU;
    return z ^ z >> 31U;
}

/* --- faults --- */

/* Counts a changing operation; 0 or the errno it must return. */
static int sim_step(struct disk_sim *sim)
{
    if (sim->has_crashed) {
        return EIO;
    }
    if (sim->is_read_only) {
        return EROFS;
    }
    if (sim->crash_at != 0 && sim->ops + 1 >= sim->crash_at) {
        sim->has_crashed = true;
        return EIO;
    }
    sim->ops++;
    return 0;
}

/* Counts a call; 0 or the errno that the fault gives it. */
static int sim_call(struct disk_sim *sim, enum sim_call call)
{
    uint64_t number = ++sim->calls[call];
    const struct sim_fault *f = &sim->fault;
    bool fires = f->at != 0 && f->call == call && (number == f->at || (f->is_sticky && number > f->at));
    sim->fault_hits += fires ? 1 : 0;
    return fires ? f->error : 0;
}

uint64_t disk_sim_used(const struct disk_sim *sim)
{
    uint64_t used = 0;
    for (const struct sim_inode *i = sim->inodes; i != NULL; i = i->next) {
        used += i->current.len;
    }
    return used;
}

/* Counts; true when this is the one that must fail. */
static bool one_failure(struct disk_sim *sim, uint64_t *count, uint64_t *at)
{
    ++*count;
    if (*at == 0 || *count < *at) {
        return false;
    }
    *at = 0;
    sim->has_failed = true;
    return true;
}

/* --- disk operations --- */

static struct sim_file *sim_file_of(struct disk_file *file)
{
    return (struct sim_file *)file;
}

static const struct disk_ops sim_ops;

static void sim_wrap(struct disk_sim *sim, struct sim_inode *inode, bool holds_lock, struct disk_file **out)
{
    struct sim_file *f = sim_alloc(sizeof(*f));
    *f = (struct sim_file){ .base = { .ops = &sim_ops }, .sim = sim, .inode = inode, .holds_lock = holds_lock };
    *out = &f->base;
}

static int sim_open(void *ctx, const char *path, unsigned flags, struct disk_file **out)
{
    struct disk_sim *sim = ctx;
    struct sim_name *name = sim_dir_find(&sim->current, path);
    struct sim_inode *inode = name == NULL ? NULL : name->inode;
    bool changes = (inode == NULL && (flags & DISK_CREATE) != 0) || (flags & DISK_TRUNCATE) != 0;
    int injected = sim_call(sim, SIM_NAME);
    if (sim->has_crashed || injected != 0) {
        return sim->has_crashed ? EIO : injected;
    }
    if (inode != NULL && inode->is_dir) {
        return EISDIR;
    }
    if (inode == NULL && (flags & DISK_CREATE) == 0) {
        return ENOENT;
    }
    if (inode != NULL && (flags & DISK_EXCLUSIVE) != 0) {
        return EEXIST;
    }
    if (sim->is_read_only && (flags & DISK_READ_ONLY) == 0) {
        return EROFS;
    }
    int error = changes ? sim_step(sim) : 0;
    if (error != 0) {
        return error;
    }
    if (inode == NULL) {
        inode = sim_inode_new(sim, path);
        sim_link_push(sim, path, inode);
    }
    if ((flags & DISK_TRUNCATE) != 0) {
        sim_op_push(inode, (struct sim_op){ .is_truncate = true });
    }
    sim_wrap(sim, inode, false, out);
    return 0;
}

static void sim_close(struct disk_file *file)
{
    struct sim_file *f = sim_file_of(file);
    if (f->holds_lock) {
        f->inode->is_locked = false;
    }
    free(f);
}

static int sim_pread(struct disk_file *file, void *buf, size_t len, uint64_t at, size_t *got)
{
    struct sim_file *f = sim_file_of(file);
    const struct sim_bytes *b = &f->inode->current;
    int injected = sim_call(f->sim, SIM_READ);
    if (f->sim->has_crashed || injected != 0) {
        return f->sim->has_crashed ? EIO : injected;
    }
    if (one_failure(f->sim, &f->sim->reads, &f->sim->fail_read_at)) {
        return EIO;
    }
    size_t n = at >= b->len ? 0 : b->len - (size_t)at;
    n = n < len ? n : len;
    if (n > 0) {
        sim_bytes_get(b, buf, n, at);
    }
    *got = n;
    return 0;
}

static int sim_pwrite(struct disk_file *file, const void *buf, size_t len, uint64_t at)
{
    struct sim_file *f = sim_file_of(file);
    struct disk_sim *sim = f->sim;
    bool had_power = !sim->has_crashed;
    int error = sim_step(sim);
    if (error != 0 && !(had_power && sim->has_crashed)) {
        return error;
    }
    if (error == 0) {
        error = sim_call(sim, SIM_WRITE);
        len = error != 0 ? len / 2 : len; /* a short write, and then the error */
    }
    if (error == 0 && one_failure(sim, &sim->writes, &sim->fail_write_at)) {
        return EIO;
    }
    /* The write under way when the power went counts as unsynced. */
    if (error == 0 && sim->capacity != 0 && at + len > f->inode->current.len &&
        disk_sim_used(sim) + (at + len - f->inode->current.len) > sim->capacity) {
        return ENOSPC;
    }
    if (sim->watch.len > 0 && memmem(buf, len, sim->watch.ptr, sim->watch.len) != NULL) {
        sim->watch_hits++;
    }
    f->inode->written += len;
    uint8_t *data = sim_alloc_dirty(len);
    memcpy(data, buf, len);
    sim_op_push(f->inode, (struct sim_op){ .at = at, .len = len, .data = data });
    return error;
}

/* When unsynced bytes reach the disk is drawn at a crash, whoever asked. */
static void sim_begin_write_out(struct disk_file *file, uint64_t at, uint64_t len)
{
    (void)file;
    (void)at;
    (void)len;
}

static int sim_fsync(struct disk_file *file)
{
    struct sim_file *f = sim_file_of(file);
    int error = sim_step(f->sim);
    if (error != 0) {
        return error;
    }
    error = sim_call(f->sim, SIM_SYNC);
    if (one_failure(f->sim, &f->sim->fsyncs, &f->sim->fail_fsync_at)) {
        error = EIO;
    }
    if (error != 0) {
        /* As Linux does: the pages are marked clean and the next fsync would succeed without them. */
        sim_ops_clear(f->inode);
        f->inode->is_apart = true;
        return error;
    }
    sim_ops_settle(f->inode);
    return 0;
}

static int sim_ftruncate(struct disk_file *file, uint64_t size)
{
    struct sim_file *f = sim_file_of(file);
    int error = sim_step(f->sim);
    error = error == 0 ? sim_call(f->sim, SIM_WRITE) : error;
    if (error == 0) {
        sim_op_push(f->inode, (struct sim_op){ .is_truncate = true, .at = size });
    }
    return error;
}

static int sim_size(struct disk_file *file, uint64_t *out)
{
    struct sim_file *f = sim_file_of(file);
    int injected = sim_call(f->sim, SIM_NAME);
    *out = f->inode->current.len;
    return f->sim->has_crashed ? EIO : injected;
}

/* A change of names: counted as a call and as a step. */
static int sim_name_step(struct disk_sim *sim)
{
    int error = sim_call(sim, SIM_NAME);
    int stopped = sim_step(sim);
    return stopped != 0 ? stopped : error;
}

static struct sim_inode *sim_find(struct disk_sim *sim, const char *path)
{
    struct sim_name *name = sim_dir_find(&sim->current, path);
    return name == NULL ? NULL : name->inode;
}

/* Directories directly below the root are always there. */
static bool is_top(const char *path)
{
    return strchr(path + 1, '/') == NULL;
}

static int sim_remove(void *ctx, const char *path)
{
    struct disk_sim *sim = ctx;
    const struct sim_inode *inode = sim_find(sim, path);
    if (!sim->has_crashed && (inode == NULL || inode->is_dir)) {
        return inode == NULL ? ENOENT : EISDIR;
    }
    int error = sim_name_step(sim);
    if (error == 0) {
        sim_link_push(sim, path, NULL);
    }
    return error;
}

static int sim_rename(void *ctx, const char *from, const char *to)
{
    struct disk_sim *sim = ctx;
    struct sim_inode *inode = sim_find(sim, from);
    int error = inode == NULL ? ENOENT : sim_name_step(sim);
    if (error == 0) {
        sim_link_push(sim, to, inode);
        sim_link_push(sim, from, NULL);
    }
    return error;
}

static int sim_stat(void *ctx, const char *path, uint64_t *ret_size)
{
    struct disk_sim *sim = ctx;
    const struct sim_inode *inode = sim_find(sim, path);
    int injected = sim_call(sim, SIM_NAME);
    if (sim->has_crashed || injected != 0) {
        return sim->has_crashed ? EIO : injected;
    }
    *ret_size = inode == NULL ? 0 : inode->current.len;
    return inode == NULL && !is_top(path) ? ENOENT : 0;
}

static bool is_inside(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL;
}

static int sim_sync_dir(void *ctx, const char *dir)
{
    struct disk_sim *sim = ctx;
    size_t kept = 0;
    int error = sim_step(sim);
    error = error == 0 ? sim_call(sim, SIM_SYNC) : error;
    if (error != 0) {
        return error;
    }
    for (size_t i = 0; i < sim->link_count; i++) {
        if (is_inside(sim->links[i].path, dir)) {
            sim_dir_set(&sim->durable, sim->links[i].path, sim->links[i].inode);
            free(sim->links[i].path);
        } else {
            sim->links[kept++] = sim->links[i];
        }
    }
    sim->link_count = kept;
    return 0;
}

static int sim_make_dir(void *ctx, const char *path)
{
    struct disk_sim *sim = ctx;
    if (!sim->has_crashed && (is_top(path) || sim_find(sim, path) != NULL)) {
        return EEXIST;
    }
    int error = sim_name_step(sim);
    if (error == 0) {
        struct sim_inode *inode = sim_inode_new(sim, path);
        inode->is_dir = true;
        sim_link_push(sim, path, inode);
    }
    return error;
}

static int sim_remove_dir(void *ctx, const char *path)
{
    struct disk_sim *sim = ctx;
    const struct sim_inode *inode = sim_find(sim, path);
    if (!sim->has_crashed && (inode == NULL || !inode->is_dir)) {
        return inode == NULL ? ENOENT : ENOTDIR;
    }
    for (size_t i = 0; i < sim->current.count; i++) {
        if (!sim->has_crashed && is_inside(sim->current.names[i].path, path)) {
            return ENOTEMPTY;
        }
    }
    int error = sim_name_step(sim);
    if (error == 0) {
        sim_link_push(sim, path, NULL);
    }
    return error;
}

static int sim_resolve(void *ctx, const char *dir, char *out, size_t room)
{
    struct disk_sim *sim = ctx;
    const struct sim_inode *inode = sim_find(sim, dir);
    int injected = sim_call(sim, SIM_NAME);
    if (sim->has_crashed || injected != 0) {
        return sim->has_crashed ? EIO : injected;
    }
    if (!is_top(dir) && (inode == NULL || !inode->is_dir)) {
        return inode == NULL ? ENOENT : ENOTDIR;
    }
    size_t len = strlen(dir);
    if (len >= room) {
        return ENAMETOOLONG;
    }
    memcpy(out, dir, len + 1);
    return 0;
}

static int sim_identify(void *ctx, const char *path, uint8_t out[DISK_ID_BYTES])
{
    struct disk_sim *sim = ctx;
    const struct sim_inode *inode = sim_find(sim, path);
    int injected = sim_call(sim, SIM_NAME);
    if (sim->has_crashed || injected != 0) {
        return sim->has_crashed ? EIO : injected;
    }
    if (inode == NULL) {
        return ENOENT;
    }
    memset(out, 0, DISK_ID_BYTES);
    memcpy(out, &inode->number, sizeof(inode->number));
    return 0;
}

static int sim_lock(void *ctx, const char *path, bool create, struct disk_file **out)
{
    struct disk_sim *sim = ctx;
    struct disk_file *file = NULL;
    int error = sim_open(ctx, path, create ? DISK_CREATE : 0, &file);
    if (error != 0) {
        return error;
    }
    struct sim_file *f = sim_file_of(file);
    if (f->inode->is_locked) {
        sim_close(file);
        return EWOULDBLOCK;
    }
    f->inode->is_locked = true;
    f->holds_lock = true;
    (void)sim;
    *out = file;
    return 0;
}

static const struct disk_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .begin_write_out = sim_begin_write_out,
    .fsync = sim_fsync,
    .ftruncate = sim_ftruncate,
    .size = sim_size,
    .remove = sim_remove,
    .rename = sim_rename,
    .stat = sim_stat,
    .sync_dir = sim_sync_dir,
    .lock = sim_lock,
    .make_dir = sim_make_dir,
    .remove_dir = sim_remove_dir,
    .resolve = sim_resolve,
    .identify = sim_identify,
};

/* --- power --- */

/* Copies the sectors of one write that the dice keep. */
static void apply_torn(struct sim_bytes *to, const struct sim_op *op, bool keep_prefix, uint64_t *dice)
{
    size_t at = 0;
    size_t prefix = (size_t)(sim_random(dice) % (op->len + 1));
    while (at < op->len) {
        size_t step = SECTOR - (size_t)((op->at + at) % SECTOR);
        step = step < op->len - at ? step : op->len - at;
        bool keep = keep_prefix ? at + step <= prefix : sim_random(dice) % 2 == 0;
        if (keep) {
            sim_bytes_put(to, op->data + at, step, op->at + at);
        }
        at += step;
    }
}

static void inode_survive(struct sim_inode *inode, enum sim_damage damage, uint64_t *dice)
{
    size_t n = inode->op_count;
    size_t whole = n == 0 ? 0 : (size_t)(sim_random(dice) % (n + 1));
    for (size_t i = 0; i < n; i++) {
        const struct sim_op *op = &inode->ops[i];
        if (damage == SIM_TEAR && i < whole) {
            sim_op_apply(&inode->durable, op);
        } else if (damage == SIM_TEAR && i == whole && !op->is_truncate) {
            apply_torn(&inode->durable, op, true, dice);
        } else if (damage == SIM_REORDER && sim_random(dice) % 2 == 0) {
            if (op->is_truncate || sim_random(dice) % 4 != 0) {
                sim_op_apply(&inode->durable, op);
            } else {
                apply_torn(&inode->durable, op, false, dice);
            }
        }
    }
    if (damage == SIM_SIZE_ONLY) {
        sim_bytes_resize(&inode->durable, inode->current.len);
    }
    sim_ops_clear(inode);
    sim_bytes_copy(&inode->current, &inode->durable);
    inode->is_apart = false;
    inode->is_locked = false;
}

/* A file whose directory did not survive is gone with it. */
static void drop_orphans(struct sim_dir *dir)
{
    for (size_t i = 0; i < dir->count;) {
        char parent[256];
        const char *slash = strrchr(dir->names[i].path, '/');
        size_t len = (size_t)(slash - dir->names[i].path);
        check(len < sizeof(parent));
        memcpy(parent, dir->names[i].path, len);
        parent[len] = '\0';
        if (len > 0 && !is_top(parent) && sim_dir_find(dir, parent) == NULL) {
            sim_dir_set(dir, dir->names[i].path, NULL);
            i = 0;
        } else {
            i++;
        }
    }
}

void disk_sim_power_cycle(struct disk_sim *sim, enum sim_damage damage, uint64_t seed)
{
    uint64_t dice = seed;
    size_t kept = damage == SIM_DROP ? 0 : (size_t)(sim_random(&dice) % (sim->link_count + 1));
    for (size_t i = 0; i < kept; i++) {
        sim_dir_set(&sim->durable, sim->links[i].path, sim->links[i].inode);
    }
    sim_links_clear(sim);
    drop_orphans(&sim->durable);
    sim_dir_copy(&sim->current, &sim->durable);
    for (struct sim_inode *i = sim->inodes; i != NULL; i = i->next) {
        inode_survive(i, damage, &dice);
    }
    disk_sim_continue(sim);
}

void disk_sim_stop(struct disk_sim *sim)
{
    sim->has_crashed = true;
}

void disk_sim_continue(struct disk_sim *sim)
{
    sim->has_crashed = false;
    sim->crash_at = 0;
    sim->fail_fsync_at = 0;
    sim->fail_read_at = 0;
    sim->fail_write_at = 0;
    sim->fault = (struct sim_fault){ .at = 0 };
}

/* --- control --- */

struct disk_sim *disk_sim_new(void)
{
    return sim_alloc(sizeof(struct disk_sim));
}

static struct disk_sim *copy_of(const struct disk_sim *sim, bool same_files)
{
    struct disk_sim *copy = disk_sim_new();
    copy->inode_count = same_files ? sim->inode_count : sim->inode_count + (1U << 20);
    for (size_t i = 0; i < sim->current.count; i++) {
        const struct sim_inode *from = sim->current.names[i].inode;
        struct sim_inode *inode = sim_inode_new(copy, sim->current.names[i].path);
        sim_bytes_copy(&inode->current, &from->current);
        sim_bytes_copy(&inode->durable, &inode->current);
        inode->number = same_files ? from->number : inode->number;
        inode->is_dir = from->is_dir;
        sim_dir_set(&copy->current, sim->current.names[i].path, inode);
        sim_dir_set(&copy->durable, sim->current.names[i].path, inode);
    }
    return copy;
}

struct disk_sim *disk_sim_clone(const struct disk_sim *sim)
{
    return copy_of(sim, false);
}

struct disk_sim *disk_sim_image(const struct disk_sim *sim)
{
    return copy_of(sim, true);
}

void disk_sim_free(struct disk_sim *sim)
{
    while (sim->inodes != NULL) {
        struct sim_inode *inode = sim->inodes;
        sim->inodes = inode->next;
        sim_ops_clear(inode);
        free(inode->ops);
        sim_bytes_release(&inode->current);
        sim_bytes_release(&inode->durable);
        free(inode->born_as);
        free(inode);
    }
    sim_dir_clear(&sim->current);
    sim_dir_clear(&sim->durable);
    sim_links_clear(sim);
    free(sim->links);
    free(sim);
}

struct disk disk_sim_disk(struct disk_sim *sim)
{
    return (struct disk){ .ops = &sim_ops, .ctx = sim };
}

uint64_t disk_sim_ops(const struct disk_sim *sim)
{
    return sim->ops;
}

void disk_sim_crash_after(struct disk_sim *sim, uint64_t ops)
{
    sim->crash_at = sim->ops + ops + 1;
}

bool disk_sim_has_crashed(const struct disk_sim *sim)
{
    return sim->has_crashed;
}

void disk_sim_fail_fsync_after(struct disk_sim *sim, uint64_t fsyncs)
{
    sim->fail_fsync_at = sim->fsyncs + fsyncs + 1;
}

void disk_sim_fail(struct disk_sim *sim, struct sim_fault fault)
{
    sim->fault = fault;
    sim->fault.at = fault.at == 0 ? 0 : sim->calls[fault.call] + fault.at;
    sim->fault_hits = 0;
}

uint64_t disk_sim_calls(const struct disk_sim *sim, enum sim_call call)
{
    return sim->calls[call];
}

uint64_t disk_sim_fault_hits(const struct disk_sim *sim)
{
    return sim->fault_hits;
}

void disk_sim_fail_read_after(struct disk_sim *sim, uint64_t reads)
{
    sim->fail_read_at = sim->reads + reads + 1;
}

void disk_sim_fail_write_after(struct disk_sim *sim, uint64_t writes)
{
    sim->fail_write_at = sim->writes + writes + 1;
}

bool disk_sim_take_failure(struct disk_sim *sim)
{
    bool has_failed = sim->has_failed;
    sim->has_failed = false;
    return has_failed;
}

void disk_sim_set_capacity(struct disk_sim *sim, uint64_t bytes)
{
    sim->capacity = bytes;
}

void disk_sim_set_read_only(struct disk_sim *sim, bool on)
{
    sim->is_read_only = on;
}

void disk_sim_watch(struct disk_sim *sim, struct bytes text)
{
    sim->watch = text;
}

uint64_t disk_sim_watch_hits(const struct disk_sim *sim)
{
    return sim->watch_hits;
}

bool disk_sim_contains(const struct disk_sim *sim, struct bytes text)
{
    for (const struct sim_inode *i = sim->inodes; i != NULL; i = i->next) {
        bool is_same = sim_bytes_equal(&i->current, &i->durable);
        if (sim_bytes_contain(&i->current, text) || (!is_same && sim_bytes_contain(&i->durable, text))) {
            return true;
        }
    }
    return false;
}

bool disk_sim_file_id(const struct disk_sim *sim, const char *path, uint64_t *out)
{
    for (size_t i = 0; i < sim->current.count; i++) {
        if (strcmp(sim->current.names[i].path, path) == 0) {
            *out = sim->current.names[i].inode->number;
            return true;
        }
    }
    return false;
}

uint64_t disk_sim_bytes_written(const struct disk_sim *sim, const char *path_part)
{
    uint64_t written = 0;
    for (const struct sim_inode *i = sim->inodes; i != NULL; i = i->next) {
        written += strstr(i->born_as, path_part) != NULL ? i->written : 0;
    }
    return written;
}

uint8_t *disk_sim_content(struct disk_sim *sim, const char *path, size_t *ret_len)
{
    struct sim_name *name = sim_dir_find(&sim->current, path);
    if (name == NULL) {
        return NULL;
    }
    *ret_len = name->inode->current.len;
    name->inode->is_apart = true;
    return sim_bytes_flat(&name->inode->current);
}

void disk_sim_cut(struct disk_sim *sim, const char *path, size_t len)
{
    struct sim_name *name = sim_dir_find(&sim->current, path);
    check(name != NULL);
    name->inode->is_apart = true;
    sim_bytes_resize(&name->inode->current, len);
}
