#ifndef JIPAN_RECALL_H
#define JIPAN_RECALL_H

#include "sync/merge.h"

/*
 * The writes of contested fields, remembered while the process runs: a field that was contested once is decided from
 * all of its writes each time one more comes, and without this each of them is read from the log and opened again. What
 * is remembered of a field is all that was applied of it, or nothing: whoever decides it keeps what he read, each write
 * that is applied later is told here, and for want of memory, or when a commit writes the field twice, the field is
 * forgotten. Emptied where the lists of writers are (sync/writers.h); and what goes into quarantine takes its dossier
 * along. What is forgotten is read again.
 */
enum { RECALL_PLACES = 64, RECALL_FIELD_BYTES = 64 << 10 };

struct recall_place {
    struct record_id id;
    uint32_t entity;
    uint32_t field; /* 0: the deletion mark */
};

struct recall_field {
    struct recall_place of;
    struct arena arena; /* of what follows */
    struct field_write *at; /* NULL: nothing stands here */
    size_t count;
    size_t room;
};

struct recall {
    struct mem *mem;
    struct recall_field *fields; /* RECALL_PLACES, each field has one it may stand in; NULL: none needed yet */
};

/* NULL: not remembered. Valid until the next call that may change it. */
const struct recall_field *recall_find(const struct recall *p, const struct recall_place *of);

/* All writes of a field, in place of what stood there. Copied. */
void recall_keep(
    struct recall *p, struct mem *mem, const struct recall_place *of, const struct field_write *writes, size_t count);

/* One more has been applied. Nothing to do when the field is not remembered. Copied. */
void recall_note(struct recall *p, const struct recall_place *of, const struct field_write *write);

void recall_drop(struct recall *p, struct dossier_id dossier); /* the fields of its records */
void recall_free(struct recall *p); /* all of them */

#endif
