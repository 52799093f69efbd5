/*
 * Owns: the verb `import`: reads the file, sends it to the node in batches of rows, shows progress, writes refused rows
 * beside the file. The rows are validated and written by the node; only rows that are no text at all are refused here.
 */
#include "cli/cli.h"

#include "node/app.h"
#include "node/csv_writer.h"
#include "node/import_cells.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    BYTES_PER_BATCH = 2 << 20, /* rows may be long */
    ROW_MAX_BYTES = CSV_ROW_BYTES_MAX + 4096, /* with the lengths of its cells */
    MAP_MAX_BYTES = 16384,
    SHOWN_MAX = 20, /* refused rows on the screen; the file has all */
};

struct import {
    struct cli *c;
    struct ask *ask;
    struct csv_reader *reader;
    bool is_asking; /* a batch was sent and not answered */
    json_t *header;
    json_t *rows;
    size_t rows_bytes;
    struct mem mem;
    struct buf row;
    json_t *refused;
    json_t *ignored; /* headings without a target */
    json_int_t imported;
    json_int_t skipped;
    FILE *file;
    size_t file_bytes;
    char map[MAP_MAX_BYTES];
};

static enum err read_map(struct import *im)
{
    const char *map = cli_option(im->c, "map");
    if (map == NULL || map[0] != '@') {
        size_t n = map == NULL ? 0 : strlen(map);
        if (n >= sizeof(im->map)) {
            return ERR_LIMIT;
        }
        memcpy(im->map, map == NULL ? "" : map, n + 1);
        return ERR_OK;
    }
    FILE *f = fopen(map + 1, "rbe");
    if (f == NULL) {
        return why_setf(&im->c->why, ERR_NOT_FOUND, "读不到对应表 %s", "cannot read the map %s", map + 1);
    }
    size_t n = fread(im->map, 1, sizeof(im->map) - 1, f);
    im->map[n] = '\0';
    (void)fclose(f);
    return ERR_OK;
}

static void add_refused(struct import *im, json_int_t line, const char *zh, const char *en)
{
    json_t *o = json_object();
    (void)json_object_set_new(o, "line", json_integer(line));
    (void)json_object_set_new(o, "field", json_null());
    (void)json_object_set_new(o, "reason", json_string(zh));
    (void)json_object_set_new(o, "reason_en", json_string(en));
    (void)json_array_append_new(im->refused, o);
}

/* The answer to the batch under way. */
static enum err receive_batch(struct import *im)
{
    json_t *result = NULL;
    if (!im->is_asking) {
        return ERR_OK;
    }
    im->is_asking = false;
    enum err e = ask_receive(im->ask, &result);
    if (e == ERR_OK) {
        im->imported += json_integer_value(json_object_get(result, "imported"));
        im->skipped += json_integer_value(json_object_get(result, "skipped"));
        (void)json_array_extend(im->refused, json_object_get(result, "refused"));
        json_decref(im->ignored);
        im->ignored = json_incref(json_object_get(result, "ignored"));
    }
    json_decref(result);
    return e;
}

/* One batch is under way while the next is read. */
static enum err send_batch(struct import *im)
{
    json_t *args = json_object();
    const char *entity = cli_option(im->c, "entity");
    (void)json_object_set_new(args, "entity", json_string(entity == NULL ? "customer" : entity));
    (void)json_object_set_new(args, "map", json_string(im->map));
    (void)json_object_set(args, "header", im->header);
    (void)json_object_set(args, "rows", im->rows);
    (void)json_object_set_new(args, "dry_run", json_boolean(cli_option(im->c, "dry-run") != NULL));
    enum err e = receive_batch(im);
    if (e == ERR_OK) {
        e = ask_send(im->ask, "import", args);
        im->is_asking = e == ERR_OK;
    }
    json_decref(args);
    json_decref(im->rows);
    im->rows = json_array();
    im->rows_bytes = 0;
    return e;
}

static json_t *header_json(const struct csv_row *row)
{
    json_t *cells = json_array();
    for (size_t i = 0; i < row->count; i++) {
        (void)json_array_append_new(cells, json_stringn((const char *)row->cells[i].ptr, row->cells[i].len));
    }
    return cells;
}

/* More cells than there may be columns are nobody's. */
static enum err add_row(struct import *im, const struct csv_row *row)
{
    buf_clear(&im->row);
    import_cells_put(
        &im->row, (int64_t)row->line, row->cells, row->count < IMPORT_COLUMNS_MAX ? row->count : IMPORT_COLUMNS_MAX);
    if (im->row.err != ERR_OK) {
        return im->row.err;
    }
    im->rows_bytes += im->row.len;
    int rc = json_array_append_new(im->rows, json_stringn((const char *)im->row.ptr, im->row.len));
    return rc == 0 ? ERR_OK : ERR_NOMEM;
}

static void progress(struct import *im, bool is_last)
{
    long at = ftell(im->file);
    size_t done = at < 0 || is_last ? im->file_bytes : (size_t)at;
    out_progress(im->c, "导入", "importing", done, im->file_bytes, is_last);
}

static enum err read_rows(struct import *im)
{
    struct csv_row row;
    enum err e = csv_next(im->reader, &row);
    if (e == ERR_NOT_FOUND || (e == ERR_OK && row.fault != CSV_FAULT_NONE)) {
        return why_set(&im->c->why, ERR_INVALID, "文件没有可读的第一行（列名）",
            "the file has no readable first line (column names)");
    }
    if (e == ERR_OK) {
        im->header = header_json(&row);
    }
    while (e == ERR_OK) {
        struct why why = { .zh = { 0 } };
        e = csv_next(im->reader, &row);
        if (e != ERR_OK) {
            break;
        }
        if (row.fault != CSV_FAULT_NONE) {
            (void)csv_fault_why(row.fault, &why);
            add_refused(im, (json_int_t)row.line, why.zh, why.en);
            continue;
        }
        e = add_row(im, &row);
        if (e == ERR_OK &&
            (json_array_size(im->rows) == IMPORT_ROWS_PER_REQUEST || im->rows_bytes >= BYTES_PER_BATCH)) {
            e = send_batch(im);
            progress(im, false);
        }
    }
    if (e != ERR_NOT_FOUND) {
        (void)receive_batch(im); /* it counts, whatever is wrong with the rest */
        return e;
    }
    /* An empty last batch still checks the header and the rights. */
    bool is_last_due = json_array_size(im->rows) > 0 || (!im->is_asking && im->imported + im->skipped == 0);
    e = is_last_due ? send_batch(im) : ERR_OK;
    if (e == ERR_OK) {
        e = receive_batch(im);
    }
    progress(im, true);
    return e;
}

static int by_line(const void *a, const void *b)
{
    json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "line"));
    json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "line"));
    return (x > y) - (x < y);
}

static void sort_refused(struct import *im)
{
    size_t n = json_array_size(im->refused);
    json_t **list = calloc(n + 1, sizeof(*list));
    json_t *sorted = json_array();
    for (size_t i = 0; list != NULL && i < n; i++) {
        list[i] = json_array_get(im->refused, i);
    }
    if (list != NULL) {
        qsort(list, n, sizeof(*list), by_line);
    }
    for (size_t i = 0; list != NULL && i < n; i++) {
        (void)json_array_append(sorted, list[i]);
    }
    free(list);
    json_decref(im->refused);
    im->refused = sorted;
}

/* The report names line, field and reason; the rows themselves stay in the person's own file. Beside the file unless
 * told otherwise; a script that reads the JSON gets a file only when it names one. */
static enum err write_refused(struct import *im)
{
    char beside[4096];
    const char *path = cli_option(im->c, "refused");
    if (json_array_size(im->refused) == 0 || (path == NULL && im->c->is_json)) {
        return ERR_OK;
    }
    if (path == NULL) {
        (void)snprintf(beside, sizeof(beside), "%s.refused.csv", im->c->words[0]);
        path = beside;
    }
    FILE *f = fopen(path, "wbe");
    if (f == NULL) {
        return why_setf(&im->c->why, ERR_IO, "行已导入，但不能写被拒行的清单 %s",
            "rows are imported, but the list of refused rows cannot be written: %s", path);
    }
    struct csv_writer w;
    csv_writer_init(&w, f);
    static const char *const heads[] = { "行 line", "列 column", "原因", "reason" };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        csv_writer_text(&w, heads[i]);
    }
    csv_writer_row(&w);
    for (size_t i = 0; i < json_array_size(im->refused); i++) {
        const json_t *o = json_array_get(im->refused, i);
        const char *field = json_string_value(json_object_get(o, "column"));
        char line[32];
        (void)snprintf(line, sizeof(line), "%lld", (long long)json_integer_value(json_object_get(o, "line")));
        csv_writer_text(&w, line);
        csv_writer_text(&w, field == NULL ? "" : field);
        csv_writer_text(&w, json_string_value(json_object_get(o, "reason")));
        csv_writer_text(&w, json_string_value(json_object_get(o, "reason_en")));
        csv_writer_row(&w);
    }
    enum err e = csv_writer_finish(&w);
    e = fclose(f) == 0 ? e : ERR_IO;
    if (e == ERR_OK) {
        (void)fprintf(stderr, "%s: %s\n", cli_text(im->c, "被拒的行列在", "refused rows are listed in"), path);
    }
    return e;
}

static enum err open_file(struct import *im)
{
    struct stat st;
    if (im->c->word_count != 1) {
        return why_set(&im->c->why, ERR_USAGE, "用法：jipan import 文件 --entity customer",
            "usage: jipan import FILE --entity customer");
    }
    im->file = fopen(im->c->words[0], "rbe");
    if (im->file == NULL || fstat(fileno(im->file), &st) != 0 || !S_ISREG(st.st_mode)) {
        return why_setf(&im->c->why, ERR_NOT_FOUND, "读不到文件 %s", "cannot read the file %s", im->c->words[0]);
    }
    im->file_bytes = (size_t)st.st_size;
    return csv_reader_file(im->file, NULL, &im->reader);
}

static void set_refused(const struct import *im, json_t *result)
{
    size_t count = json_array_size(im->refused);
    json_t *shown = json_array();
    for (size_t i = 0; i < count && (im->c->is_json || i < SHOWN_MAX); i++) {
        (void)json_array_append(shown, json_array_get(im->refused, i));
    }
    if (json_array_size(shown) < count) {
        (void)json_object_set_new(result, "refused_rows", json_integer((json_int_t)count));
    }
    (void)json_object_set_new(result, "refused", shown);
}

enum err cmd_import(struct cli *c)
{
    struct import im = { .c = c, .rows = json_array(), .refused = json_array(), .mem = app_mem(ROW_MAX_BYTES * 2) };
    buf_init(&im.row, &im.mem, ROW_MAX_BYTES);
    enum err e = open_file(&im);
    if (e == ERR_OK) {
        e = read_map(&im);
    }
    if (e == ERR_OK) {
        e = ask_open(c, true, &im.ask);
    }
    if (e == ERR_OK) {
        e = read_rows(&im);
    }
    sort_refused(&im);
    if (e == ERR_OK) {
        e = write_refused(&im);
    }
    if (e == ERR_OK || im.imported > 0) {
        c->result = json_object();
        (void)json_object_set_new(c->result, "imported", json_integer(im.imported));
        (void)json_object_set_new(c->result, "skipped", json_integer(im.skipped));
        set_refused(&im, c->result);
        (void)json_object_set(c->result, "ignored", im.ignored);
    }
    ask_close(im.ask);
    csv_reader_free(im.reader);
    buf_release(&im.row);
    if (im.file != NULL) {
        (void)fclose(im.file);
    }
    json_decref(im.header);
    json_decref(im.rows);
    json_decref(im.refused);
    json_decref(im.ignored);
    return e;
}
