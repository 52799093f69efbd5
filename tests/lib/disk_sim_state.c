/*
 * Owns: what the simulated disk consists of besides bytes (disk_bytes.c): files, names, and the changes not yet
 * durable. Decides nothing about what survives; disk_sim.c does.
 */
#include "tests/lib/disk_sim_impl.h"

#include "schema/base/check.h"

#include <stdlib.h>

static void *must(void *p)
{
    check(p != NULL);
    return p;
}

void *sim_alloc_dirty(size_t bytes)
{
    return must(aligned_alloc(16, (bytes + 16) & ~(size_t)15));
}

void *sim_alloc(size_t bytes)
{
    return memset(sim_alloc_dirty(bytes), 0, bytes);
}

static void *sim_grow(void *old, size_t old_bytes, size_t new_bytes)
{
    void *p = sim_alloc(new_bytes);
    if (old_bytes > 0) {
        memcpy(p, old, old_bytes);
    }
    free(old);
    return p;
}

static char *sim_text(const char *text)
{
    char *copy = sim_alloc(strlen(text) + 1);
    memcpy(copy, text, strlen(text));
    return copy;
}

void sim_ops_clear(struct sim_inode *inode)
{
    for (size_t i = 0; i < inode->op_count; i++) {
        free(inode->ops[i].data);
    }
    inode->op_count = 0;
}

void sim_op_apply(struct sim_bytes *b, const struct sim_op *op)
{
    if (op->is_truncate) {
        sim_bytes_resize(b, (size_t)op->at);
    } else {
        sim_bytes_put(b, op->data, op->len, op->at);
    }
}

/* What the operations made of a block stands in `current` already. */
static void settle_shared(struct sim_inode *inode)
{
    sim_bytes_resize(&inode->durable, inode->current.len);
    for (size_t i = 0; i < inode->op_count; i++) {
        const struct sim_op *op = &inode->ops[i];
        size_t len = op->is_truncate ? SIZE_MAX : op->len; /* a size cut and grown again: all that lies beyond */
        sim_bytes_share(&inode->durable, &inode->current, len, op->at);
    }
}

void sim_ops_settle(struct sim_inode *inode)
{
    if (!inode->is_apart) {
        settle_shared(inode);
    } else {
        for (size_t i = 0; i < inode->op_count; i++) {
            sim_op_apply(&inode->durable, &inode->ops[i]);
        }
    }
    sim_ops_clear(inode);
}

void sim_op_push(struct sim_inode *inode, struct sim_op op)
{
    if (inode->op_count == inode->op_room) {
        inode->op_room = inode->op_room * 2 + 16;
        inode->ops = sim_grow(inode->ops, inode->op_count * sizeof(*inode->ops), inode->op_room * sizeof(*inode->ops));
    }
    inode->ops[inode->op_count++] = op;
    sim_op_apply(&inode->current, &op);
}

/* --- names --- */

struct sim_name *sim_dir_find(struct sim_dir *dir, const char *path)
{
    for (size_t i = 0; i < dir->count; i++) {
        if (strcmp(dir->names[i].path, path) == 0) {
            return &dir->names[i];
        }
    }
    return NULL;
}

void sim_dir_set(struct sim_dir *dir, const char *path, struct sim_inode *inode)
{
    struct sim_name *name = sim_dir_find(dir, path);
    if (name == NULL && inode != NULL) {
        check(dir->count < NAMES_MAX);
        dir->names[dir->count++] = (struct sim_name){ .path = sim_text(path), .inode = inode };
    } else if (name != NULL && inode != NULL) {
        name->inode = inode;
    } else if (name != NULL) {
        free(name->path);
        *name = dir->names[--dir->count];
    }
}

void sim_dir_clear(struct sim_dir *dir)
{
    while (dir->count > 0) {
        free(dir->names[--dir->count].path);
    }
}

void sim_dir_copy(struct sim_dir *to, const struct sim_dir *from)
{
    sim_dir_clear(to);
    for (size_t i = 0; i < from->count; i++) {
        sim_dir_set(to, from->names[i].path, from->names[i].inode);
    }
}

void sim_links_clear(struct disk_sim *sim)
{
    for (size_t i = 0; i < sim->link_count; i++) {
        free(sim->links[i].path);
    }
    sim->link_count = 0;
}

void sim_link_push(struct disk_sim *sim, const char *path, struct sim_inode *inode)
{
    size_t bytes = sim->link_count * sizeof(*sim->links);
    sim->links = sim_grow(sim->links, bytes, bytes + sizeof(*sim->links));
    sim->links[sim->link_count++] = (struct sim_link){ .path = sim_text(path), .inode = inode };
    sim_dir_set(&sim->current, path, inode);
}

struct sim_inode *sim_inode_new(struct disk_sim *sim, const char *path)
{
    struct sim_inode *inode = sim_alloc(sizeof(*inode));
    inode->number = ++sim->inode_count;
    inode->born_as = sim_text(path);
    inode->next = sim->inodes;
    sim->inodes = inode;
    return inode;
}
