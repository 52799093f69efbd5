/*
 * Owns: the bytes of a file of the simulated disk, in blocks that files share until one of them writes: a copy of a
 * whole disk, and what survives a power loss, cost a pointer per block. Invariants: a block with more than one holder
 * is never written; what lies beyond the end in the last block is zero; a block that is not there is zero.
 */
#include "tests/lib/disk_sim_impl.h"

#include "schema/base/check.h"

#include <stdlib.h>

enum { BLOCK = 4096 };

/* Where blocks that must lie one after the other stand. */
struct sim_stretch {
    size_t holders;
    uint8_t *bytes;
};

struct sim_block {
    size_t holders;
    struct sim_stretch *stretch; /* NULL: the bytes follow the block */
    uint8_t *bytes;
};

static size_t blocks_for(size_t len)
{
    return (len + BLOCK - 1) / BLOCK;
}

static struct sim_block *block_new(void)
{
    struct sim_block *block = sim_alloc_dirty(sizeof(*block) + BLOCK);
    *block = (struct sim_block){ .holders = 1, .bytes = (uint8_t *)(block + 1) };
    return block;
}

static void block_drop(struct sim_block *block)
{
    if (block == NULL || --block->holders > 0) {
        return;
    }
    if (block->stretch != NULL && --block->stretch->holders == 0) {
        free(block->stretch->bytes);
        free(block->stretch);
    }
    free(block);
}

/* The block to write to. `keeps`: its other bytes matter. */
static uint8_t *block_own(struct sim_bytes *b, size_t i, bool keeps)
{
    struct sim_block *old = b->blocks[i];
    if (old != NULL && old->holders == 1) {
        return old->bytes;
    }
    struct sim_block *mine = block_new();
    if (keeps && old != NULL) {
        memcpy(mine->bytes, old->bytes, BLOCK);
    } else if (keeps) {
        memset(mine->bytes, 0, BLOCK);
    }
    block_drop(old);
    b->blocks[i] = mine;
    return mine->bytes;
}

void sim_bytes_resize(struct sim_bytes *b, size_t len)
{
    size_t had = blocks_for(b->len);
    size_t count = blocks_for(len);
    if (count > b->room) {
        size_t room = count * 2;
        struct sim_block **grown = sim_alloc_dirty(room * sizeof(struct sim_block *));
        if (had > 0) {
            memcpy(grown, b->blocks, had * sizeof(struct sim_block *));
        }
        free(b->blocks);
        b->blocks = grown;
        b->room = room;
    }
    for (size_t i = had; i < count; i++) {
        b->blocks[i] = NULL;
    }
    for (size_t i = count; i < had; i++) {
        block_drop(b->blocks[i]);
    }
    if (len < b->len && len % BLOCK != 0 && b->blocks[count - 1] != NULL) {
        memset(block_own(b, count - 1, true) + len % BLOCK, 0, BLOCK - len % BLOCK);
    }
    b->len = len;
}

void sim_bytes_share(struct sim_bytes *to, const struct sim_bytes *from, size_t len, uint64_t at)
{
    size_t end = at >= from->len ? from->len : len < from->len - (size_t)at ? (size_t)at + len : from->len;
    check(to->len >= from->len);
    for (size_t i = (size_t)at / BLOCK; i < blocks_for(end); i++) {
        if (from->blocks[i] != NULL) {
            from->blocks[i]->holders++;
        }
        block_drop(to->blocks[i]);
        to->blocks[i] = from->blocks[i];
    }
}

void sim_bytes_copy(struct sim_bytes *to, const struct sim_bytes *from)
{
    sim_bytes_resize(to, from->len);
    sim_bytes_share(to, from, from->len, 0);
}

void sim_bytes_put(struct sim_bytes *b, const uint8_t *data, size_t len, uint64_t at)
{
    size_t pos = (size_t)at;
    if (len > 0 && pos + len > b->len) {
        sim_bytes_resize(b, pos + len);
    }
    while (len > 0) {
        size_t room = BLOCK - pos % BLOCK;
        size_t step = room < len ? room : len;
        memcpy(block_own(b, pos / BLOCK, step < BLOCK) + pos % BLOCK, data, step);
        data += step;
        pos += step;
        len -= step;
    }
}

void sim_bytes_get(const struct sim_bytes *b, uint8_t *out, size_t len, uint64_t at)
{
    size_t pos = (size_t)at;
    check(pos + len <= b->len);
    while (len > 0) {
        size_t room = BLOCK - pos % BLOCK;
        size_t step = room < len ? room : len;
        const struct sim_block *block = b->blocks[pos / BLOCK];
        if (block == NULL) {
            memset(out, 0, step);
        } else {
            memcpy(out, block->bytes + pos % BLOCK, step);
        }
        out += step;
        pos += step;
        len -= step;
    }
}

static bool is_one_stretch(const struct sim_bytes *b)
{
    for (size_t i = 0; i < blocks_for(b->len); i++) {
        const struct sim_block *block = b->blocks[i];
        if (block == NULL || block->holders > 1 || block->stretch == NULL ||
            block->bytes != block->stretch->bytes + i * BLOCK) {
            return false;
        }
    }
    return true;
}

uint8_t *sim_bytes_flat(struct sim_bytes *b)
{
    size_t count = blocks_for(b->len);
    if (count > 0 && !is_one_stretch(b)) {
        struct sim_stretch *stretch = sim_alloc(sizeof(*stretch));
        stretch->holders = count;
        stretch->bytes = sim_alloc(count * BLOCK);
        sim_bytes_get(b, stretch->bytes, b->len, 0);
        for (size_t i = 0; i < count; i++) {
            block_drop(b->blocks[i]);
            b->blocks[i] = sim_alloc(sizeof(struct sim_block));
            *b->blocks[i] = (struct sim_block){ .holders = 1, .stretch = stretch, .bytes = stretch->bytes + i * BLOCK };
        }
    }
    return count == 0 ? NULL : b->blocks[0]->bytes;
}

bool sim_bytes_equal(const struct sim_bytes *x, const struct sim_bytes *y)
{
    bool same = x->len == y->len;
    for (size_t i = 0; same && i < blocks_for(x->len); i++) {
        same = x->blocks[i] == y->blocks[i];
    }
    return same;
}

/* memmem for bytes as good as random: where the first one stands, the others hardly ever do. */
static bool has_text(const uint8_t *p, size_t len, struct bytes text)
{
    while (len >= text.len) {
        const uint8_t *hit = memchr(p, text.ptr[0], len - text.len + 1);
        if (hit == NULL || memcmp(hit, text.ptr, text.len) == 0) {
            return hit != NULL;
        }
        len -= (size_t)(hit + 1 - p);
        p = hit + 1;
    }
    return false;
}

bool sim_bytes_contain(const struct sim_bytes *b, struct bytes text)
{
    uint8_t seam[2 * 64];
    size_t edge = text.len - 1; /* bytes of a block that a hit across its end can begin in */
    check(text.len > 0 && text.len <= sizeof(seam) / 2);
    for (size_t at = 0; at < b->len; at += BLOCK) {
        size_t len = b->len - at < BLOCK ? b->len - at : BLOCK;
        const struct sim_block *block = b->blocks[at / BLOCK];
        if (block != NULL && has_text(block->bytes, len, text)) {
            return true;
        }
        size_t from = at < edge ? 0 : at - edge;
        size_t upto = at + edge < b->len ? at + edge : b->len;
        sim_bytes_get(b, seam, upto - from, from);
        if (has_text(seam, upto - from, text)) {
            return true;
        }
    }
    return false;
}

void sim_bytes_release(struct sim_bytes *b)
{
    sim_bytes_resize(b, 0);
    free(b->blocks);
    *b = (struct sim_bytes){ .len = 0 };
}
