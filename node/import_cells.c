/*
 * Owns: the text of one row between the command and the node. Invariant: what is put is taken back as it was. Knows
 * nothing of columns, and of cells only that they are bytes.
 */
#include "node/import_cells.h"

#include "schema/base/check.h"

enum { NUMBER_DIGITS_MAX = 18 };

static void put_number(struct buf *b, uint64_t n, char end)
{
    char text[NUMBER_DIGITS_MAX + 2];
    size_t at = sizeof(text);
    text[--at] = end;
    do {
        check(at > 0);
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    buf_put(b, text + at, sizeof(text) - at);
}

void import_cells_put(struct buf *b, int64_t line, const struct bytes *cells, size_t count)
{
    check(line >= 0);
    check(count <= IMPORT_COLUMNS_MAX);
    put_number(b, (uint64_t)line, ';');
    for (size_t i = 0; i < count; i++) {
        put_number(b, cells[i].len, ':');
        buf_put_bytes(b, cells[i]);
    }
}

static enum err take_number(struct bytes *rest, uint8_t end, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i <= NUMBER_DIGITS_MAX && i < rest->len; i++) {
        uint8_t c = rest->ptr[i];
        if (c == end && i > 0) {
            *out = n;
            *rest = bytes_of(rest->ptr + i + 1, rest->len - i - 1);
            return ERR_OK;
        }
        if (c < '0' || c > '9') {
            return ERR_FORMAT;
        }
        n = n * 10 + (c - '0');
    }
    return ERR_FORMAT;
}

enum err import_cells_take(struct bytes row, struct import_cells *out)
{
    uint64_t n = 0;
    enum err e = take_number(&row, ';', &n);
    out->line = (int64_t)n;
    out->count = 0;
    while (e == ERR_OK && row.len > 0) {
        if (out->count == IMPORT_COLUMNS_MAX) {
            return ERR_LIMIT;
        }
        e = take_number(&row, ':', &n);
        if (e == ERR_OK && n > row.len) {
            e = ERR_FORMAT;
        }
        if (e == ERR_OK) {
            out->at[out->count++] = bytes_of(row.ptr, (size_t)n);
            row = bytes_of(row.ptr + n, row.len - (size_t)n);
        }
    }
    return e;
}
