/*
 * Any bytes as a spreadsheet: the reader keeps its limits and promises, and what it reads survives being written and
 * read again. The first byte chooses the options.
 */
#include "node/csv.h"
#include "node/csv_writer.h"
#include "schema/base/check.h"
#include "schema/base/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { CELL_MAX = 64, ROW_MAX = 256 };

static void check_row(const struct csv_row *row, uint64_t line_before)
{
    check(row->line > line_before);
    check(row->fault == CSV_FAULT_NONE ? row->count > 0 : row->count == 0 && row->raw.len == 0);
    check(utf8_is_valid(row->raw) && row->raw.len <= ROW_MAX);
    for (size_t i = 0; i < row->count; i++) {
        check(row->cells[i].len <= CELL_MAX);
        check(utf8_is_valid(row->cells[i]));
    }
}

static void check_round_trip(const struct csv_row *row)
{
    char *text = NULL;
    size_t text_len = 0;
    FILE *f = open_memstream(&text, &text_len);
    check(f != NULL);
    struct csv_writer w;
    csv_writer_init(&w, f);
    for (size_t i = 0; i < row->count; i++) {
        csv_writer_cell(&w, row->cells[i]);
    }
    csv_writer_row(&w);
    check(csv_writer_finish(&w) == ERR_OK);
    (void)fclose(f);
    struct csv_options options = { .separator = ',', .drops_guard = true };
    struct csv_reader *r = NULL;
    struct csv_row twin;
    check(csv_reader_memory(bytes_of(text + 3, text_len - 3), 1, &options, &r) == ERR_OK);
    check(csv_next(r, &twin) == ERR_OK);
    check(twin.count == row->count);
    for (size_t i = 0; i < row->count; i++) {
        check(bytes_equal(twin.cells[i], row->cells[i]));
    }
    csv_reader_free(r);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2) {
        return 0;
    }
    static const uint8_t separators[] = { 0, ',', ';', '\t' };
    struct csv_options options = { .encoding = (enum csv_encoding)(data[0] % CSV_ENCODING_COUNT),
        .separator = separators[data[0] / 8 % 4],
        .drops_guard = (data[0] & 0x80) != 0,
        .cell_bytes_max = CELL_MAX,
        .row_bytes_max = ROW_MAX };
    char *copy = malloc(len);
    check(copy != NULL);
    memcpy(copy, data + 1, len - 1);
    FILE *f = fmemopen(copy, len - 1, "rb");
    check(f != NULL);
    struct csv_reader *r = NULL;
    check(csv_reader_file(f, &options, &r) == ERR_OK);
    struct csv_row row;
    uint64_t line = 0;
    while (csv_next(r, &row) == ERR_OK) {
        check_row(&row, line);
        line = row.line;
        if (row.fault == CSV_FAULT_NONE) {
            check_round_trip(&row);
        }
    }
    csv_reader_free(r);
    (void)fclose(f);
    free(copy);
    return 0;
}
