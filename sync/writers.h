#ifndef JIPAN_WRITERS_H
#define JIPAN_WRITERS_H

#include "schema/base/mem.h"
#include "schema/catalogue.h"
#include "schema/id.h"

/*
 * Which commits can have written a field, remembered of some dossiers while the process runs: deciding a contested
 * field reads all of its writes, and without this every commit about the customer. Of each commit stands which fields
 * it may have written, one bit for a sixty-fourth of them. A list that is there names every commit of which a write of
 * the class has been applied, and may name more of those that touched the dossier, so whoever reads by it looks at each
 * as if it had just found it. Whatever takes applied commits back (a rollback, a rebuild, letting go of a dossier)
 * empties all lists. What is forgotten is read in full again.
 */
enum { WRITERS_PLACES = 64, WRITERS_DOTS_MAX = 2048 };

struct writer {
    struct dot dot;
    uint64_t fields;
};

struct writers_of {
    struct dossier_id dossier;
    enum class_ class_;
    struct writer *at; /* ascending by dot */
    size_t count;
    size_t room; /* 0: nothing stands here */
};

struct writers {
    struct mem *mem;
    struct writers_of *places; /* WRITERS_PLACES, each list has one it may stand in; NULL: none needed yet */
};

/* The same for the same field (number 0: the deletion mark) of a record. */
uint64_t writers_hash(struct record_id id, uint32_t entity, uint32_t field);

/* The bit of a field (number 0: the deletion mark) of a record. */
uint64_t writers_bit(struct record_id id, uint32_t entity, uint32_t field);

/* NULL: not remembered. Valid until the next begin or note. */
const struct writers_of *writers_find(const struct writers *w, struct dossier_id dossier, enum class_ class_);

/* A write of this commit has been applied: must be told before the field is decided. Nothing to do when the dossier is
 * not remembered; for want of memory it is not remembered any more. */
void writers_note(struct writers *w, struct dossier_id dossier, enum class_ class_, struct dot dot, uint64_t fields);

/* Begins a list, in place of what stood there; then every commit that has a write applied is noted. Whoever cannot
 * note all takes it away again. */
void writers_begin(struct writers *w, struct mem *mem, struct dossier_id dossier, enum class_ class_);
void writers_drop(struct writers *w, struct dossier_id dossier, enum class_ class_);

void writers_free(struct writers *w); /* all lists */

#endif
