/*
 * Owns: turning cells into rows that every spreadsheet program opens without harm.
 * Does not decide what may be exported: cells come from the field view, already masked.
 */
#include "node/csv_writer.h"

#include <errno.h>

static void put(struct csv_writer *w, const void *ptr, size_t len)
{
    if (w->err == ERR_OK && len > 0 && fwrite(ptr, 1, len, w->file) != len) {
        w->err = errno == ENOSPC ? ERR_FULL : ERR_IO;
    }
}

void csv_writer_init(struct csv_writer *w, FILE *file)
{
    *w = (struct csv_writer){ .file = file };
    put(w, "\xEF\xBB\xBF", 3);
}

static bool needs_quotes(struct bytes cell)
{
    if (cell.len == 0) {
        return false;
    }
    for (size_t i = 0; i < cell.len; i++) {
        if (strchr("\",;\t\r\n", cell.ptr[i]) != NULL) {
            return true;
        }
    }
    return cell.ptr[0] == ' ' || cell.ptr[cell.len - 1] == ' ';
}

/* The text with every quote doubled. */
static void put_escaped(struct csv_writer *w, struct bytes text)
{
    while (text.len > 0) {
        const uint8_t *quote = memchr(text.ptr, '"', text.len);
        size_t n = quote == NULL ? text.len : (size_t)(quote - text.ptr) + 1;
        put(w, text.ptr, n);
        put(w, "\"", quote == NULL ? 0 : 1);
        text = bytes_of(text.ptr + n, text.len - n);
    }
}

void csv_writer_cell(struct csv_writer *w, struct bytes cell)
{
    size_t quote = needs_quotes(cell) ? 1 : 0;
    put(w, ",", w->has_cells ? 1 : 0);
    put(w, "\"", quote);
    put(w, "'", csv_is_formula(cell) ? 1 : 0);
    put_escaped(w, cell);
    put(w, "\"", quote);
    w->has_cells = true;
}

void csv_writer_text(struct csv_writer *w, const char *cell)
{
    csv_writer_cell(w, bytes_str(cell));
}

void csv_writer_row(struct csv_writer *w)
{
    put(w, "\r\n", 2);
    w->has_cells = false;
}

enum err csv_writer_finish(struct csv_writer *w)
{
    if (w->err == ERR_OK && fflush(w->file) != 0) {
        w->err = errno == ENOSPC ? ERR_FULL : ERR_IO;
    }
    return w->err;
}
