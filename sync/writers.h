#ifndef JIPAN_WRITERS_H
#define JIPAN_WRITERS_H

#include "schema/base/mem.h"
#include "schema/id.h"

/*
 * Which commits wrote a contested field, remembered while the process runs: deciding the field reads all of its writes,
 * and without this every commit about the customer. A list that is there names every commit that ever had a write of
 * the field applied here, and may name more; so whoever reads by it looks at each as if it had just found it, and a
 * rollback, a rebuild or a dossier that was let go of need not be told here. What is forgotten is read in full again.
 */
enum { WRITERS_KEY_BYTES = 24, WRITERS_FIELDS = 64, WRITERS_DOTS_MAX = 512 };

struct writers_of {
    uint8_t key[WRITERS_KEY_BYTES]; /* the caller's name of the field of a record */
    struct dot *at; /* ascending */
    size_t count;
    size_t room; /* 0: nothing stands here */
};

struct writers {
    struct mem *mem;
    struct writers_of *fields; /* WRITERS_FIELDS places, each field has one it may stand in; NULL: none needed yet */
};

/* NULL: not remembered. Valid until the next note or keep. */
const struct writers_of *writers_find(const struct writers *w, const uint8_t key[WRITERS_KEY_BYTES]);

/* A write of this commit has been applied: must be told before the field is decided. Nothing to do when the field is
 * not remembered; for want of memory it is not remembered any more. */
void writers_note(struct writers *w, const uint8_t key[WRITERS_KEY_BYTES], struct dot dot);

/* Begins a list for the field, in place of what stood there; then every commit of all its writes is noted. */
void writers_begin(struct writers *w, struct mem *mem, const uint8_t key[WRITERS_KEY_BYTES]);

void writers_free(struct writers *w);

#endif
