#ifndef JIPAN_NODE_STRETCH_H
#define JIPAN_NODE_STRETCH_H

#include "node/vault/disk.h"

/**
 * struct stretch: sealed pieces that follow each other in a file and go to it by one call. Whoever gathers writes
 * before anything else is done with the file. All zero is empty.
 */
struct stretch {
    uint8_t *room; /* NULL until needed */
    size_t len;
    uint64_t at; /* of the first piece */
};

enum { STRETCH_BYTES = 256 << 10 };

/* Room for a piece of `len` bytes behind those that are there; it counts with stretch_add. NULL: no memory. There must
 * be room: stretch_is_full was asked after the last. */
uint8_t *stretch_place(struct stretch *g);
void stretch_add(struct stretch *g, uint64_t at, size_t len);

/* No piece of `len` bytes fits any more. */
bool stretch_is_full(const struct stretch *g, size_t len);
/* A piece at `at` would stand right behind what is gathered; also when nothing is. */
bool stretch_continues(const struct stretch *g, uint64_t at);

/* Writes what is gathered; it is gone afterwards, also after an error. 0 or an errno value. */
int stretch_write(struct stretch *g, struct disk_file *file);

void stretch_release(struct stretch *g);

#endif
