#ifndef JIPAN_CSV_H
#define JIPAN_CSV_H

#include "node/csv_source.h"

/*
 * Spreadsheet rows as text (RFC 4180 and what office programs make of it): cells separated by comma, semicolon or tab,
 * rows ended by LF, CRLF or CR, cells quoted with '"' may hold separators and line breaks. Reading is streaming with
 * bounded memory: a row that breaks a rule is reported with its line and the next one is read.
 */

/* Why a row is refused. X(name, err, zh, en) */
#define CSV_FAULT_TABLE(X)                                                                                         \
    X(NONE, OK, "", "")                                                                                            \
    X(CELL_LONG, LIMIT, "单元格内容太长", "a cell is too long")                                                    \
    X(ROW_LONG, LIMIT, "这一行太长", "the row is too long")                                                        \
    X(COLUMNS, LIMIT, "列数太多", "too many columns")                                                              \
    X(ZERO, FORMAT, "含有空字符，可能不是文本文件", "holds a NUL character: is this a text file?")                 \
    X(ENCODING, FORMAT, "含有无法识别的字符，编码可能不对", "holds bytes that are no characters: wrong encoding?") \
    X(QUOTE, FORMAT, "引号后面有多余内容", "text after a closing quote")                                           \
    X(UNCLOSED, TRUNCATED, "引号没有结束，其后的内容没有读入", "a quote is never closed: nothing after it was read")

enum csv_fault {
#define X(name, err_, zh, en) CSV_FAULT_##name,
    CSV_FAULT_TABLE(X)
#undef X
        CSV_FAULT_COUNT
};

/* Fills why in both languages and returns the fault's error (ERR_OK for CSV_FAULT_NONE). */
enum err csv_fault_why(enum csv_fault fault, struct why *why);

/*
 * True for a cell that a spreadsheet would run as a formula, or that looks like a guarded one: any number of
 * apostrophes, then one of = + - @ TAB CR LF or a full-width form. The writer puts one apostrophe before exactly these
 * cells and the reader (drops_guard) takes one away, so every cell survives the round trip.
 */
bool csv_is_formula(struct bytes cell);

struct csv_options {
    enum csv_encoding encoding; /* default: find out */
    uint8_t separator; /* ',' ';' '\t'; 0: the most frequent of them in the first row */
    bool drops_guard; /* take away the apostrophe csv_writer puts before what a spreadsheet would run as a formula */
    size_t cell_bytes_max; /* of UTF-8; 0: CSV_CELL_BYTES_MAX */
    size_t row_bytes_max; /* of UTF-8; 0: CSV_ROW_BYTES_MAX */
};

enum {
    CSV_CELL_BYTES_MAX = 64 * 1024, /* twice what a spreadsheet cell can hold in characters */
    CSV_ROW_BYTES_MAX = 1024 * 1024,
    CSV_COLUMNS_MAX = 1024,
};

/* One row. Everything is borrowed until the next call on the reader. */
struct csv_row {
    const struct bytes *cells; /* valid UTF-8 without NUL; none when fault is set */
    size_t count;
    struct bytes raw; /* the row as it stands in the file, as UTF-8, without its line end; empty when fault is set */
    uint64_t line; /* where the row starts; 1 is the first line of the file */
    enum csv_fault fault;
};

struct csv_reader;

/* file is borrowed. options may be NULL for the defaults. Errors: ERR_NOMEM. */
MUST_USE enum err csv_reader_file(FILE *file, const struct csv_options *options, struct csv_reader **out);

/* utf8 is borrowed for the life of the reader; first_line numbers its first line (csv_row.raw read again). Its
 * separator is options->separator or found out as for a file. */
MUST_USE enum err csv_reader_memory(
    struct bytes utf8, uint64_t first_line, const struct csv_options *options, struct csv_reader **out);

void csv_reader_free(struct csv_reader *r); /* r may be NULL */

/*
 * The next row that is not blank (no cells but empty ones, or blanks only). ERR_OK also for a refused row: look at
 * out->fault. Errors: ERR_NOT_FOUND at the end; ERR_IO; ERR_NOMEM. Call again after neither error.
 */
MUST_USE enum err csv_next(struct csv_reader *r, struct csv_row *out);

uint8_t csv_separator(const struct csv_reader *r); /* 0 before the first row */
enum csv_encoding csv_encoding_found(const struct csv_reader *r); /* AUTO: plain ASCII so far */

#endif
