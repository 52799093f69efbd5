/*
 * Owns: the verbs `export` and `dump`: ask the node for pages and write them out. An exported file is safe to open in
 * an office program (UTF-8 with BOM, no cell runs as a formula) and is written under another name and renamed, so that
 * no half file stays.
 */
#include "cli/cli.h"

#include "node/csv_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

typedef enum err (*page_fn)(void *ctx, const json_t *result, bool is_first);

/* Runs the verb page by page until the node says there is no next one. */
static enum err all_pages(struct cli *c, const char *verb, page_fn fn, void *ctx)
{
    struct ask *a = NULL;
    bool is_first = true;
    bool has_more = true;
    enum err e = ask_open(c, true, &a);
    while (e == ERR_OK && has_more) {
        json_t *result = NULL;
        e = ask_run(a, verb, c->args, &result);
        const json_t *next = json_object_get(result, "next");
        has_more = json_is_string(next);
        if (e == ERR_OK && has_more) {
            (void)json_object_set_new(c->args, "after", json_string(json_string_value(next)));
        }
        if (e == ERR_OK) {
            e = fn(ctx, result, is_first);
        }
        is_first = false;
        json_decref(result);
    }
    ask_close(a);
    return e;
}

struct sheet {
    struct csv_writer writer;
    json_int_t rows;
};

static void write_cells(struct sheet *s, const json_t *cells)
{
    for (size_t i = 0; i < json_array_size(cells); i++) {
        const char *text = json_string_value(json_array_get(cells, i));
        csv_writer_text(&s->writer, text == NULL ? "" : text);
    }
    csv_writer_row(&s->writer);
}

static enum err write_page(void *ctx, const json_t *result, bool is_first)
{
    struct sheet *s = ctx;
    const json_t *rows = json_object_get(result, "rows");
    if (is_first) {
        write_cells(s, json_object_get(result, "header"));
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        write_cells(s, json_array_get(rows, i));
        s->rows++;
    }
    return s->writer.err;
}

enum err cmd_export(struct cli *c)
{
    struct sheet s = { .rows = 0 };
    char temporary[PATH_BYTES];
    const char *output = cli_option(c, "output");
    if (c->word_count != 1) {
        return why_set(&c->why, ERR_USAGE, "用法：jipan export 实体 --purpose P1 --output 文件",
            "usage: jipan export ENTITY --purpose P1 --output FILE");
    }
    (void)json_object_set_new(c->args, "entity", json_string(c->words[0]));
    if (output != NULL && snprintf(temporary, sizeof(temporary), "%s.part", output) >= (int)sizeof(temporary)) {
        return ERR_LIMIT;
    }
    mode_t before = umask(0177); /* what leaves the node is for the person who asked, not for the machine */
    FILE *f = output == NULL ? stdout : fopen(temporary, "wbxe");
    (void)umask(before);
    if (f == NULL) {
        return why_setf(&c->why, ERR_IO, "不能写 %s（或旁边留有 .part 文件）",
            "cannot write %s (or a .part file is left beside it)", output);
    }
    csv_writer_init(&s.writer, f);
    enum err e = all_pages(c, "export", write_page, &s);
    if (e == ERR_OK) {
        e = csv_writer_finish(&s.writer);
    }
    if (output != NULL) {
        bool is_written = fclose(f) == 0 && e == ERR_OK && rename(temporary, output) == 0;
        e = e == ERR_OK && !is_written ? ERR_IO : e;
        (void)(is_written ? 0 : unlink(temporary));
    }
    if (e == ERR_OK && output != NULL) {
        c->result = json_pack("{s:I, s:s}", "exported", s.rows, "file", output);
    }
    return e;
}

static enum err print_lines(void *ctx, const json_t *result, bool is_first)
{
    const json_t *rows = json_object_get(result, "rows");
    (void)ctx;
    (void)is_first;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        char *line = json_dumps(json_array_get(rows, i), JSON_COMPACT);
        if (line == NULL) {
            return ERR_NOMEM;
        }
        (void)puts(line);
        free(line);
    }
    return ferror(stdout) == 0 ? ERR_OK : ERR_IO;
}

enum err cmd_dump(struct cli *c)
{
    return all_pages(c, "dump", print_lines, NULL);
}
