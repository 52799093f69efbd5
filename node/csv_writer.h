#ifndef JIPAN_CSV_WRITER_H
#define JIPAN_CSV_WRITER_H

#include "node/csv.h"

/**
 * struct csv_writer: rows for a spreadsheet: UTF-8 with byte order mark, CRLF, quoted where needed, and safe to open:
 * a cell that would run as a formula (csv_is_formula) gets a leading apostrophe. The error is sticky; check it once
 * with csv_writer_finish. Allocates nothing.
 */
struct csv_writer {
    FILE *file; /* borrowed */
    bool has_cells; /* in the row being written */
    enum err err; /* ERR_OK, ERR_IO or ERR_FULL */
};

void csv_writer_init(struct csv_writer *w, FILE *file); /* writes the byte order mark */
void csv_writer_cell(struct csv_writer *w, struct bytes cell);
void csv_writer_text(struct csv_writer *w, const char *cell);
void csv_writer_row(struct csv_writer *w); /* ends the row */

/* Flushes; the file stays open. Not a promise that the bytes are on the disk. */
MUST_USE enum err csv_writer_finish(struct csv_writer *w);

#endif
