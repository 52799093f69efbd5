#ifndef JIPAN_IMPORT_ROWS_H
#define JIPAN_IMPORT_ROWS_H

#include "node/import_cells.h"
#include "sync/core.h"

/* What one row of a spreadsheet becomes. Reads no store: rows may be made on another thread than the one that writes
 * them. */
struct import_rows {
    struct import_map map;
    const struct members *members;
    const struct member_user *user;
    const struct member_station *station;
    const uint8_t *mark_key; /* KEY_BYTES */
    int64_t wall_ms;
};

/* The row's own name: a keyed hash of what was mapped, as it stands in the file. */
void import_row_mark(const struct import_rows *ir, const struct import_cells *row, uint8_t out[STORE_MARK_BYTES]);

/* A new dossier with the records of the row, in a. *bad: the column it is refused for, IMPORT_COLUMNS_MAX when none in
 * particular. Errors: ERR_NOMEM; any other refuses this row, with why. */
MUST_USE enum err import_row_group(const struct import_rows *ir, const struct import_cells *row, struct arena *a,
    struct write_group *out, size_t *bad, struct why *why);

#endif
