#ifndef JIPAN_IMPORT_CELLS_H
#define JIPAN_IMPORT_CELLS_H

#include "node/import_map.h"

#include "schema/base/buf.h"

/*
 * One row of a spreadsheet on its way from the command to the node, as a single text of the request:
 *
 *     LINE ; LENGTH : CELL LENGTH : CELL ...          (without the blanks; lengths are bytes, numbers decimal)
 *
 * With a JSON value for each cell, building and walking those took longer than reading the file.
 */
enum { IMPORT_ROWS_PER_REQUEST = 2000 }; /* so many the command sends: others wait for a tenth of a second at most */

struct import_cells {
    int64_t line; /* of the file */
    size_t count;
    struct bytes at[IMPORT_COLUMNS_MAX]; /* borrowed from the text */
};

/* At most IMPORT_COLUMNS_MAX cells; errors stick to b. */
void import_cells_put(struct buf *b, int64_t line, const struct bytes *cells, size_t count);

/* Errors: ERR_FORMAT not such a text, ERR_LIMIT too many cells. */
MUST_USE enum err import_cells_take(struct bytes row, struct import_cells *out);

#endif
