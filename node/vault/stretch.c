/*
 * Owns: the room in which sealed pieces wait for the call that writes them. Invariant: what is gathered is one stretch
 * of the file. Does not seal and does not know what a piece is.
 */
#include "node/vault/stretch.h"

#include "schema/base/check.h"

#include <stdlib.h>

uint8_t *stretch_place(struct stretch *g)
{
    if (g->room == NULL) {
        g->room = malloc(STRETCH_BYTES);
    }
    return g->room == NULL ? NULL : g->room + g->len;
}

void stretch_add(struct stretch *g, uint64_t at, size_t len)
{
    check(stretch_continues(g, at) && !stretch_is_full(g, len));
    g->at = g->len == 0 ? at : g->at;
    g->len += len;
}

bool stretch_is_full(const struct stretch *g, size_t len)
{
    return STRETCH_BYTES - g->len < len;
}

bool stretch_continues(const struct stretch *g, uint64_t at)
{
    return g->len == 0 || g->at + g->len == at;
}

int stretch_write(struct stretch *g, struct disk_file *file)
{
    size_t len = g->len;
    g->len = 0;
    return len == 0 ? 0 : file->ops->pwrite(file, g->room, len, g->at);
}

void stretch_release(struct stretch *g)
{
    free(g->room);
    *g = (struct stretch){ 0 };
}
