/*
 * Owns: splitting text into rows and cells.
 * Invariants: one pass over the text; the row being read starts at text[at], cell bounds are relative to it, so the
 * text may move when the buffer is refilled; the buffer holds at most one row of the allowed size and one block.
 * A row over the limit is skipped to its true end, quotes included: what stands inside a quoted cell never becomes a
 * row of its own. Does not know what a column means.
 */
#include "node/csv.h"

#include "schema/base/check.h"
#include "schema/base/utf8.h"

#include <stdlib.h>

enum { FILL_BYTES = 65536, CELLS_FIRST = 32 };

struct cell {
    size_t start; /* relative to the row, without quotes */
    size_t end;
    bool has_escapes; /* holds doubled quotes */
};

struct csv_reader {
    struct csv_source *source; /* NULL: all text is there already */
    struct csv_options options;
    uint8_t *room; /* owned text; NULL when reading from memory */
    size_t room_bytes;
    const uint8_t *text;
    size_t text_len;
    size_t at;
    bool is_end; /* nothing follows text */
    bool is_started;
    bool skips_lf; /* the last line end was CR: a LF that follows belongs to it */
    uint64_t line;
    bool is_plain[256]; /* inside an unquoted cell: neither separator nor line end */
    struct cell *cells;
    struct bytes *views;
    size_t capacity; /* of cells and views */
    uint8_t *unescaped;
    size_t unescaped_bytes;
};

enum scan_state { SCAN_CELL_START, SCAN_PLAIN, SCAN_QUOTED, SCAN_QUOTE_SEEN };

/* The row being read. */
struct scan {
    enum scan_state state;
    size_t at; /* relative to the row */
    size_t cell_start;
    size_t quoted_end; /* where the closing quote stands */
    size_t count;
    bool has_escapes;
    bool was_cr; /* the byte before, inside quotes, was CR */
    bool is_done;
    uint64_t breaks; /* line ends inside quotes */
    enum csv_fault fault;
};

enum err csv_fault_why(enum csv_fault fault, struct why *why)
{
    check(fault < CSV_FAULT_COUNT);
    static const struct {
        enum err err;
        const char *zh;
        const char *en;
    } table[CSV_FAULT_COUNT] = {
#define X(name, err_, zh_, en_) [CSV_FAULT_##name] = { ERR_##err_, zh_, en_ },
        CSV_FAULT_TABLE(X)
#undef X
    };
    return why_set(why, table[fault].err, table[fault].zh, table[fault].en);
}

bool csv_is_formula(struct bytes cell)
{
    while (cell.len > 0 && cell.ptr[0] == '\'') {
        cell = bytes_of(cell.ptr + 1, cell.len - 1);
    }
    static const char *const starts[] = { "=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠" };
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        size_t len = strlen(starts[i]);
        if (cell.len >= len && memcmp(cell.ptr, starts[i], len) == 0) {
            return true;
        }
    }
    return false;
}

static enum err reader_new(const struct csv_options *options, struct csv_reader **out)
{
    struct csv_reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return ERR_NOMEM;
    }
    if (options != NULL) {
        r->options = *options;
    }
    if (r->options.cell_bytes_max == 0) {
        r->options.cell_bytes_max = CSV_CELL_BYTES_MAX;
    }
    if (r->options.row_bytes_max == 0) {
        r->options.row_bytes_max = CSV_ROW_BYTES_MAX;
    }
    r->line = 1;
    r->capacity = CELLS_FIRST;
    r->cells = calloc(CELLS_FIRST, sizeof *r->cells);
    r->views = calloc(CELLS_FIRST, sizeof *r->views);
    if (r->cells == NULL || r->views == NULL) {
        csv_reader_free(r);
        return ERR_NOMEM;
    }
    *out = r;
    return ERR_OK;
}

enum err csv_reader_file(FILE *file, const struct csv_options *options, struct csv_reader **out)
{
    struct csv_reader *r = NULL;
    enum err e = reader_new(options, &r);
    if (e != ERR_OK) {
        return e;
    }
    r->room_bytes = (size_t)2 * FILL_BYTES;
    r->room = malloc(r->room_bytes);
    r->text = r->room;
    e = r->room == NULL ? ERR_NOMEM : csv_source_new(file, r->options.encoding, &r->source);
    if (e != ERR_OK) {
        csv_reader_free(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

enum err csv_reader_memory(
    struct bytes utf8, uint64_t first_line, const struct csv_options *options, struct csv_reader **out)
{
    struct csv_reader *r = NULL;
    enum err e = reader_new(options, &r);
    if (e != ERR_OK) {
        return e;
    }
    r->text = utf8.ptr;
    r->text_len = utf8.len;
    r->is_end = true;
    r->line = first_line;
    *out = r;
    return ERR_OK;
}

void csv_reader_free(struct csv_reader *r)
{
    if (r == NULL) {
        return;
    }
    csv_source_free(r->source);
    free(r->room);
    free(r->cells);
    free(r->views);
    free(r->unescaped);
    free(r);
}

uint8_t csv_separator(const struct csv_reader *r)
{
    return r->is_started ? r->options.separator : 0;
}

enum csv_encoding csv_encoding_found(const struct csv_reader *r)
{
    return r->source == NULL ? CSV_UTF8 : csv_source_encoding(r->source);
}

/* Makes room behind the row being read and reads a block into it. Sets is_end when there is nothing more. */
static enum err fill(struct csv_reader *r)
{
    check(!r->is_end);
    if (r->at > 0) {
        memmove(r->room, r->room + r->at, r->text_len - r->at);
        r->text_len -= r->at;
        r->at = 0;
    }
    if (r->room_bytes - r->text_len < FILL_BYTES) {
        uint8_t *bigger = realloc(r->room, r->room_bytes * 2);
        if (bigger == NULL) {
            return ERR_NOMEM;
        }
        r->room = bigger;
        r->room_bytes *= 2;
        r->text = bigger;
    }
    size_t len = 0;
    enum err e = csv_source_read(r->source, r->room + r->text_len, r->room_bytes - r->text_len, &len);
    if (e != ERR_OK) {
        return e;
    }
    r->text_len += len;
    r->is_end = len == 0;
    return ERR_OK;
}

static bool is_line_end(uint8_t c)
{
    return c == '\n' || c == '\r';
}

/* Length of the first row of text as far as it is there. */
static size_t first_row_bytes(struct bytes text)
{
    bool is_quoted = false;
    size_t n = 0;
    while (n < text.len && (is_quoted || !is_line_end(text.ptr[n]))) {
        is_quoted ^= text.ptr[n] == '"';
        n++;
    }
    return n;
}

/* The most frequent candidate outside quotes; comma when there is none. */
static uint8_t find_separator(struct bytes row)
{
    static const uint8_t candidates[] = { ',', '\t', ';' };
    size_t counts[ARRAY_LEN(candidates)] = { 0 };
    bool is_quoted = false;
    for (size_t i = 0; i < row.len; i++) {
        is_quoted ^= row.ptr[i] == '"';
        for (size_t k = 0; k < ARRAY_LEN(candidates); k++) {
            counts[k] += !is_quoted && row.ptr[i] == candidates[k];
        }
    }
    size_t best = 0;
    for (size_t k = 1; k < ARRAY_LEN(candidates); k++) {
        best = counts[k] > counts[best] ? k : best;
    }
    return candidates[best];
}

/* "sep=;" alone on the first line of a file: a word to the spreadsheet program, not a row. Returns the separator or 0.
 */
static uint8_t take_sep_line(struct csv_reader *r, struct bytes row)
{
    bool is_word = r->source != NULL && row.len == 5 && memcmp(row.ptr, "sep=", 4) == 0;
    if (!is_word || (row.ptr[4] != ',' && row.ptr[4] != ';' && row.ptr[4] != '\t')) {
        return 0;
    }
    r->at = r->text_len > row.len ? row.len + 1 : row.len;
    r->skips_lf = r->text_len > row.len && r->text[row.len] == '\r';
    r->line++;
    return row.ptr[4];
}

/* First text is there: settles the separator. */
static enum err start(struct csv_reader *r)
{
    while (!r->is_end && r->text_len < FILL_BYTES) {
        enum err e = fill(r);
        if (e != ERR_OK) {
            return e;
        }
    }
    struct bytes row = bytes_of(r->text, first_row_bytes(bytes_of(r->text, r->text_len)));
    uint8_t found = take_sep_line(r, row);
    if (r->options.separator == 0) {
        r->options.separator = found != 0 ? found : find_separator(row);
    }
    for (size_t c = 0; c < ARRAY_LEN(r->is_plain); c++) {
        r->is_plain[c] = c != r->options.separator && !is_line_end((uint8_t)c);
    }
    r->is_started = true;
    return ERR_OK;
}

static enum err grow_cells(struct csv_reader *r)
{
    size_t capacity = r->capacity * 2;
    struct cell *cells = reallocarray(r->cells, capacity, sizeof *cells);
    if (cells == NULL) {
        return ERR_NOMEM;
    }
    r->cells = cells;
    struct bytes *views = reallocarray(r->views, capacity, sizeof *views);
    if (views == NULL) {
        return ERR_NOMEM;
    }
    r->views = views;
    r->capacity = capacity;
    return ERR_OK;
}

static void scan_fault(struct scan *s, enum csv_fault fault)
{
    if (s->fault == CSV_FAULT_NONE) {
        s->fault = fault;
    }
}

/* A cell is complete: notes its bounds, unless the row is refused already. */
static enum err end_cell(struct csv_reader *r, struct scan *s, size_t end)
{
    if (s->fault == CSV_FAULT_NONE && end - s->cell_start > r->options.cell_bytes_max) {
        s->fault = CSV_FAULT_CELL_LONG;
    }
    if (s->fault == CSV_FAULT_NONE && s->count == CSV_COLUMNS_MAX) {
        s->fault = CSV_FAULT_COLUMNS;
    }
    if (s->fault == CSV_FAULT_NONE) {
        enum err e = s->count == r->capacity ? grow_cells(r) : ERR_OK;
        if (e != ERR_OK) {
            return e;
        }
        r->cells[s->count++] = (struct cell){ .start = s->cell_start, .end = end, .has_escapes = s->has_escapes };
    }
    s->state = SCAN_CELL_START;
    s->has_escapes = false;
    return ERR_OK;
}

/* The byte after a cell: separator or line end. */
static enum err end_cell_at(struct csv_reader *r, struct scan *s, size_t end, uint8_t c)
{
    enum err e = end_cell(r, s, end);
    s->at++;
    s->cell_start = s->at;
    s->is_done = c != r->options.separator;
    r->skips_lf = c == '\r';
    return e;
}

/* Advances over bytes that change nothing; the text has at least one byte at s->at. */
static void scan_quoted(const struct csv_reader *r, struct scan *s)
{
    const uint8_t *text = r->text + r->at;
    size_t len = r->text_len - r->at;
    size_t i = s->at;
    while (i < len && text[i] != '"') {
        if (is_line_end(text[i])) {
            s->breaks += text[i] == '\r' || !s->was_cr;
        }
        s->was_cr = text[i] == '\r';
        i++;
    }
    s->at = i;
    if (i < len) {
        s->quoted_end = i;
        s->state = SCAN_QUOTE_SEEN;
        s->was_cr = false;
        s->at++;
    }
}

static enum err scan_plain(struct csv_reader *r, struct scan *s)
{
    const uint8_t *text = r->text + r->at;
    size_t len = r->text_len - r->at;
    size_t i = s->at;
    while (i < len && r->is_plain[text[i]]) {
        i++;
    }
    s->at = i;
    return i == len ? ERR_OK : end_cell_at(r, s, i, text[i]);
}

static enum err scan_step(struct csv_reader *r, struct scan *s)
{
    uint8_t c = r->text[r->at + s->at];
    switch (s->state) {
    case SCAN_CELL_START:
        s->state = c == '"' ? SCAN_QUOTED : SCAN_PLAIN;
        s->at += c == '"';
        s->cell_start = s->at;
        return ERR_OK;
    case SCAN_PLAIN:
        return scan_plain(r, s);
    case SCAN_QUOTED:
        scan_quoted(r, s);
        return ERR_OK;
    case SCAN_QUOTE_SEEN:
        if (c == '"') {
            s->has_escapes = true;
            s->state = SCAN_QUOTED;
            s->at++;
            return ERR_OK;
        }
        if (!r->is_plain[c]) {
            return end_cell_at(r, s, s->quoted_end, c);
        }
        scan_fault(s, CSV_FAULT_QUOTE);
        s->state = SCAN_PLAIN;
        return ERR_OK;
    }
    return ERR_BUG;
}

/* The text ended inside a row. */
static enum err scan_end(struct csv_reader *r, struct scan *s)
{
    s->is_done = true;
    if (s->state == SCAN_QUOTED) {
        scan_fault(s, CSV_FAULT_UNCLOSED);
    }
    return end_cell(r, s, s->state == SCAN_QUOTE_SEEN ? s->quoted_end : s->at);
}

/* Gives up the part of the row that was read; only its end is still of interest. */
static void scan_drop(struct csv_reader *r, struct scan *s)
{
    scan_fault(s, CSV_FAULT_ROW_LONG);
    r->at += s->at;
    s->at = 0;
    s->cell_start = 0;
}

/* Reads one row, blank or not. ERR_NOT_FOUND at the end. */
static enum err scan_row(struct csv_reader *r, struct scan *s)
{
    while (!s->is_done) {
        enum err e = ERR_OK;
        if (s->at > r->options.row_bytes_max) {
            scan_drop(r, s);
        }
        if (r->at + s->at < r->text_len) {
            e = scan_step(r, s);
        } else if (!r->is_end) {
            e = fill(r);
        } else if (s->at == 0 && s->state == SCAN_CELL_START && s->count == 0 && s->fault == CSV_FAULT_NONE) {
            return ERR_NOT_FOUND;
        } else {
            e = scan_end(r, s);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    if (s->at > r->options.row_bytes_max) {
        scan_fault(s, CSV_FAULT_ROW_LONG);
    }
    return ERR_OK;
}

static bool is_blank(const struct csv_reader *r, const struct scan *s)
{
    if (s->fault != CSV_FAULT_NONE) {
        return false;
    }
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = r->cells[i].start; k < r->cells[i].end; k++) {
            uint8_t c = r->text[r->at + k];
            if (c != ' ' && c != '\t') {
                return false;
            }
        }
    }
    return true;
}

/* Writes the cell with single instead of doubled quotes; returns the length. */
static size_t unescape(const uint8_t *from, size_t len, uint8_t *to)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        to[n++] = from[i];
        i += from[i] == '"';
    }
    return n;
}

static enum err ensure_unescaped(struct csv_reader *r, size_t bytes)
{
    if (bytes <= r->unescaped_bytes) {
        return ERR_OK;
    }
    uint8_t *bigger = realloc(r->unescaped, bytes);
    if (bigger == NULL) {
        return ERR_NOMEM;
    }
    r->unescaped = bigger;
    r->unescaped_bytes = bytes;
    return ERR_OK;
}

static bool is_guarded(struct bytes cell)
{
    return cell.len > 0 && cell.ptr[0] == '\'' && csv_is_formula(cell);
}

static enum err fill_views(struct csv_reader *r, const struct scan *s)
{
    const uint8_t *row = r->text + r->at;
    size_t used = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct cell *c = &r->cells[i];
        struct bytes v = bytes_of(row + c->start, c->end - c->start);
        if (c->has_escapes) {
            enum err e = ensure_unescaped(r, s->at);
            if (e != ERR_OK) {
                return e;
            }
            v = bytes_of(r->unescaped + used, unescape(v.ptr, v.len, r->unescaped + used));
            used += v.len;
        }
        r->views[i] = r->options.drops_guard && is_guarded(v) ? bytes_of(v.ptr + 1, v.len - 1) : v;
    }
    return ERR_OK;
}

static struct bytes raw_of(const struct csv_reader *r, const struct scan *s)
{
    const uint8_t *row = r->text + r->at;
    size_t len = s->at;
    if (len > 0 && s->state == SCAN_CELL_START && is_line_end(row[len - 1])) {
        len--;
    }
    return bytes_of(row, len);
}

static enum csv_fault text_fault(struct bytes raw)
{
    if (utf8_is_valid(raw)) {
        return CSV_FAULT_NONE;
    }
    return memchr(raw.ptr, 0, raw.len) != NULL ? CSV_FAULT_ZERO : CSV_FAULT_ENCODING;
}

/* A row was read: hands it out and moves behind it. */
static enum err finish_row(struct csv_reader *r, struct scan *s, struct csv_row *out)
{
    struct csv_row row = { .line = r->line, .fault = s->fault };
    if (row.fault == CSV_FAULT_NONE) {
        row.raw = raw_of(r, s);
        row.fault = text_fault(row.raw);
    }
    if (row.fault == CSV_FAULT_NONE) {
        enum err e = fill_views(r, s);
        if (e != ERR_OK) {
            return e;
        }
        row.cells = r->views;
        row.count = s->count;
    } else {
        row.raw = bytes_of(NULL, 0);
    }
    *out = row;
    return ERR_OK;
}

/* Moves to the start of the next row: a LF after a CR belongs to the row before. */
static enum err skip_lf(struct csv_reader *r)
{
    if (r->skips_lf && r->at == r->text_len && !r->is_end) {
        enum err e = fill(r);
        if (e != ERR_OK) {
            return e;
        }
    }
    if (r->skips_lf && r->at < r->text_len && r->text[r->at] == '\n') {
        r->at++;
    }
    r->skips_lf = false;
    return ERR_OK;
}

enum err csv_next(struct csv_reader *r, struct csv_row *out)
{
    enum err e = r->is_started ? ERR_OK : start(r);
    while (e == ERR_OK) {
        struct scan s = { .state = SCAN_CELL_START };
        e = skip_lf(r);
        if (e == ERR_OK) {
            e = scan_row(r, &s);
        }
        if (e != ERR_OK) {
            break;
        }
        bool is_row = !is_blank(r, &s);
        if (is_row) {
            e = finish_row(r, &s, out);
        }
        r->at += s.at;
        r->line += 1 + s.breaks;
        if (is_row) {
            break;
        }
    }
    return e;
}
