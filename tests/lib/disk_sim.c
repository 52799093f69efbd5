/*
 * Owns: the simulated disk of the power-loss and fault tests. Model: a file's unsynced writes and truncates survive a
 * power loss in any subset and torn at sectors of 512 bytes; names survive in order (a journaling directory); fsync
 * makes content durable, sync_dir makes names durable. Pessimistic on purpose: fsync of a new file does not save its
 * name.
 */
#include "tests/lib/disk_sim.h"

#include "schema/base/check.h"

#include <errno.h>
#include <stdlib.h>

enum { SECTOR = 512, NAMES_MAX = 64 };

struct sim_op {
    bool is_truncate;
    uint64_t at; /* new size of a truncate */
    size_t len;
    uint8_t *data;
};

struct sim_bytes {
    uint8_t *ptr;
    size_t len;
    size_t room;
};

struct sim_inode {
    struct sim_inode *next;
    struct sim_bytes current;
    struct sim_bytes durable;
    struct sim_op *ops;
    size_t op_count;
    size_t op_room;
    uint64_t written;
    char *born_as; /* path it was created under */
    uint64_t id;
    bool is_locked;
};

struct sim_name {
    char *path;
    struct sim_inode *inode;
};

struct sim_dir {
    struct sim_name names[NAMES_MAX];
    size_t count;
};

/* A change of a directory: to = NULL removes `path`, otherwise binds it. */
struct sim_link {
    char *path;
    struct sim_inode *inode;
};

struct disk_sim {
    struct sim_inode *inodes;
    struct sim_dir current;
    struct sim_dir durable;
    struct sim_link *links;
    size_t link_count;
    uint64_t ops;
    uint64_t crash_at;
    bool has_crashed;
    uint64_t fsyncs;
    uint64_t fail_fsync_at;
    uint64_t reads;
    uint64_t fail_read_at;
    uint64_t writes;
    uint64_t fail_write_at;
    bool has_failed;
    uint64_t last_id;
    uint64_t capacity;
    bool is_read_only;
    struct bytes watch;
    uint64_t watch_hits;
};

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

static void *must(void *p)
{
    check(p != NULL);
    return p;
}

static void bytes_resize(struct sim_bytes *b, size_t len)
{
    if (len > b->room) {
        b->room = len * 2;
        b->ptr = must(realloc(b->ptr, b->room));
    }
    if (len > b->len) {
        memset(b->ptr + b->len, 0, len - b->len);
    }
    b->len = len;
}

static void bytes_copy(struct sim_bytes *to, const struct sim_bytes *from)
{
    bytes_resize(to, from->len);
    if (from->len > 0) {
        memcpy(to->ptr, from->ptr, from->len);
    }
}

static void bytes_put(struct sim_bytes *b, const uint8_t *data, size_t len, uint64_t at)
{
    if (at + len > b->len) {
        bytes_resize(b, (size_t)at + len);
    }
    memcpy(b->ptr + at, data, len);
}

static void ops_clear(struct sim_inode *inode)
{
    for (size_t i = 0; i < inode->op_count; i++) {
        free(inode->ops[i].data);
    }
    inode->op_count = 0;
}

static void op_apply(struct sim_bytes *b, const struct sim_op *op)
{
    if (op->is_truncate) {
        bytes_resize(b, (size_t)op->at);
    } else {
        bytes_put(b, op->data, op->len, op->at);
    }
}

static void op_push(struct sim_inode *inode, struct sim_op op)
{
    if (inode->op_count == inode->op_room) {
        inode->op_room = inode->op_room * 2 + 16;
        inode->ops = must(realloc(inode->ops, inode->op_room * sizeof(*inode->ops)));
    }
    inode->ops[inode->op_count++] = op;
    op_apply(&inode->current, &op);
}

/* --- names --- */

static struct sim_name *dir_find(struct sim_dir *dir, const char *path)
{
    for (size_t i = 0; i < dir->count; i++) {
        if (strcmp(dir->names[i].path, path) == 0) {
            return &dir->names[i];
        }
    }
    return NULL;
}

static void dir_set(struct sim_dir *dir, const char *path, struct sim_inode *inode)
{
    struct sim_name *name = dir_find(dir, path);
    if (name == NULL && inode != NULL) {
        check(dir->count < NAMES_MAX);
        dir->names[dir->count++] = (struct sim_name){ .path = must(strdup(path)), .inode = inode };
    } else if (name != NULL && inode != NULL) {
        name->inode = inode;
    } else if (name != NULL) {
        free(name->path);
        *name = dir->names[--dir->count];
    }
}

static void dir_clear(struct sim_dir *dir)
{
    while (dir->count > 0) {
        free(dir->names[--dir->count].path);
    }
}

static void dir_copy(struct sim_dir *to, const struct sim_dir *from)
{
    dir_clear(to);
    for (size_t i = 0; i < from->count; i++) {
        dir_set(to, from->names[i].path, from->names[i].inode);
    }
}

static void links_clear(struct disk_sim *sim)
{
    for (size_t i = 0; i < sim->link_count; i++) {
        free(sim->links[i].path);
    }
    sim->link_count = 0;
}

static void link_push(struct disk_sim *sim, const char *path, struct sim_inode *inode)
{
    sim->links = must(realloc(sim->links, (sim->link_count + 1) * sizeof(*sim->links)));
    sim->links[sim->link_count++] = (struct sim_link){ .path = must(strdup(path)), .inode = inode };
    dir_set(&sim->current, path, inode);
}

static struct sim_inode *inode_new(struct disk_sim *sim, const char *path)
{
    struct sim_inode *inode = must(calloc(1, sizeof(*inode)));
    inode->born_as = must(strdup(path));
    inode->id = ++sim->last_id;
    inode->next = sim->inodes;
    sim->inodes = inode;
    return inode;
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
    struct sim_file *f = must(calloc(1, sizeof(*f)));
    *f = (struct sim_file){ .base = { .ops = &sim_ops }, .sim = sim, .inode = inode, .holds_lock = holds_lock };
    *out = &f->base;
}

static int sim_open(void *ctx, const char *path, unsigned flags, struct disk_file **out)
{
    struct disk_sim *sim = ctx;
    struct sim_name *name = dir_find(&sim->current, path);
    struct sim_inode *inode = name == NULL ? NULL : name->inode;
    bool changes = (inode == NULL && (flags & DISK_CREATE) != 0) || (flags & DISK_TRUNCATE) != 0;
    if (sim->has_crashed) {
        return EIO;
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
        inode = inode_new(sim, path);
        link_push(sim, path, inode);
    }
    if ((flags & DISK_TRUNCATE) != 0) {
        op_push(inode, (struct sim_op){ .is_truncate = true });
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
    if (f->sim->has_crashed) {
        return EIO;
    }
    if (one_failure(f->sim, &f->sim->reads, &f->sim->fail_read_at)) {
        return EIO;
    }
    size_t n = at >= b->len ? 0 : b->len - (size_t)at;
    n = n < len ? n : len;
    if (n > 0) {
        memcpy(buf, b->ptr + at, n);
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
    uint8_t *data = must(malloc(len));
    memcpy(data, buf, len);
    op_push(f->inode, (struct sim_op){ .at = at, .len = len, .data = data });
    return error;
}

static int sim_fsync(struct disk_file *file)
{
    struct sim_file *f = sim_file_of(file);
    int error = sim_step(f->sim);
    if (error != 0) {
        return error;
    }
    if (one_failure(f->sim, &f->sim->fsyncs, &f->sim->fail_fsync_at)) {
        /* As Linux does: the pages are marked clean and the next fsync would succeed without them. */
        ops_clear(f->inode);
        return EIO;
    }
    for (size_t i = 0; i < f->inode->op_count; i++) {
        op_apply(&f->inode->durable, &f->inode->ops[i]);
    }
    ops_clear(f->inode);
    return 0;
}

static int sim_ftruncate(struct disk_file *file, uint64_t size)
{
    struct sim_file *f = sim_file_of(file);
    int error = sim_step(f->sim);
    if (error == 0) {
        op_push(f->inode, (struct sim_op){ .is_truncate = true, .at = size });
    }
    return error;
}

static int sim_size(struct disk_file *file, uint64_t *out)
{
    struct sim_file *f = sim_file_of(file);
    *out = f->inode->current.len;
    return f->sim->has_crashed ? EIO : 0;
}

static int sim_remove(void *ctx, const char *path)
{
    struct disk_sim *sim = ctx;
    if (!sim->has_crashed && dir_find(&sim->current, path) == NULL) {
        return ENOENT;
    }
    int error = sim_step(sim);
    if (error == 0) {
        link_push(sim, path, NULL);
    }
    return error;
}

static int sim_rename(void *ctx, const char *from, const char *to)
{
    struct disk_sim *sim = ctx;
    struct sim_name *name = dir_find(&sim->current, from);
    int error = name == NULL ? ENOENT : sim_step(sim);
    if (error == 0) {
        struct sim_inode *inode = name->inode;
        link_push(sim, to, inode);
        link_push(sim, from, NULL);
    }
    return error;
}

static int sim_stat(void *ctx, const char *path, uint64_t *ret_size)
{
    struct disk_sim *sim = ctx;
    if (sim->has_crashed) {
        return EIO;
    }
    if (strchr(path + 1, '/') == NULL) {
        *ret_size = 0; /* the one directory */
        return 0;
    }
    struct sim_name *name = dir_find(&sim->current, path);
    if (name == NULL) {
        return ENOENT;
    }
    *ret_size = name->inode->current.len;
    return 0;
}

static int sim_sync_dir(void *ctx, const char *dir)
{
    (void)dir;
    struct disk_sim *sim = ctx;
    int error = sim_step(sim);
    if (error == 0) {
        dir_copy(&sim->durable, &sim->current);
        links_clear(sim);
    }
    return error;
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
    .fsync = sim_fsync,
    .ftruncate = sim_ftruncate,
    .size = sim_size,
    .remove = sim_remove,
    .rename = sim_rename,
    .stat = sim_stat,
    .sync_dir = sim_sync_dir,
    .lock = sim_lock,
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
            bytes_put(to, op->data + at, step, op->at + at);
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
            op_apply(&inode->durable, op);
        } else if (damage == SIM_TEAR && i == whole && !op->is_truncate) {
            apply_torn(&inode->durable, op, true, dice);
        } else if (damage == SIM_REORDER && sim_random(dice) % 2 == 0) {
            if (op->is_truncate || sim_random(dice) % 4 != 0) {
                op_apply(&inode->durable, op);
            } else {
                apply_torn(&inode->durable, op, false, dice);
            }
        }
    }
    if (damage == SIM_SIZE_ONLY) {
        bytes_resize(&inode->durable, inode->current.len);
    }
    ops_clear(inode);
    bytes_copy(&inode->current, &inode->durable);
    inode->is_locked = false;
}

void disk_sim_power_cycle(struct disk_sim *sim, enum sim_damage damage, uint64_t seed)
{
    uint64_t dice = seed;
    size_t kept = damage == SIM_DROP ? 0 : (size_t)(sim_random(&dice) % (sim->link_count + 1));
    for (size_t i = 0; i < kept; i++) {
        dir_set(&sim->durable, sim->links[i].path, sim->links[i].inode);
    }
    links_clear(sim);
    dir_copy(&sim->current, &sim->durable);
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
}

/* --- control --- */

struct disk_sim *disk_sim_new(void)
{
    return must(calloc(1, sizeof(struct disk_sim)));
}

static struct disk_sim *copy_of(const struct disk_sim *sim, bool same_files)
{
    struct disk_sim *copy = disk_sim_new();
    copy->last_id = same_files ? sim->last_id : sim->last_id + (1U << 20);
    for (size_t i = 0; i < sim->current.count; i++) {
        struct sim_inode *inode = inode_new(copy, sim->current.names[i].path);
        bytes_copy(&inode->current, &sim->current.names[i].inode->current);
        bytes_copy(&inode->durable, &inode->current);
        inode->id = same_files ? sim->current.names[i].inode->id : inode->id;
        dir_set(&copy->current, sim->current.names[i].path, inode);
        dir_set(&copy->durable, sim->current.names[i].path, inode);
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
        ops_clear(inode);
        free(inode->ops);
        free(inode->current.ptr);
        free(inode->durable.ptr);
        free(inode->born_as);
        free(inode);
    }
    dir_clear(&sim->current);
    dir_clear(&sim->durable);
    links_clear(sim);
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

static bool holds(const struct sim_bytes *b, struct bytes text)
{
    return b->len > 0 && memmem(b->ptr, b->len, text.ptr, text.len) != NULL;
}

bool disk_sim_contains(const struct disk_sim *sim, struct bytes text)
{
    for (const struct sim_inode *i = sim->inodes; i != NULL; i = i->next) {
        if (holds(&i->current, text) || holds(&i->durable, text)) {
            return true;
        }
    }
    return false;
}

bool disk_sim_file_id(const struct disk_sim *sim, const char *path, uint64_t *out)
{
    for (size_t i = 0; i < sim->current.count; i++) {
        if (strcmp(sim->current.names[i].path, path) == 0) {
            *out = sim->current.names[i].inode->id;
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
    struct sim_name *name = dir_find(&sim->current, path);
    if (name == NULL) {
        return NULL;
    }
    *ret_len = name->inode->current.len;
    return name->inode->current.ptr;
}

void disk_sim_cut(struct disk_sim *sim, const char *path, size_t len)
{
    struct sim_name *name = dir_find(&sim->current, path);
    check(name != NULL);
    bytes_resize(&name->inode->current, len);
}
