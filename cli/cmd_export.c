/*
 * Owns: the verbs `export`, `dump` and `audit export`: ask the node for pages and write them out. An exported file is
 * safe to open in an office program (UTF-8 with BOM, no cell runs as a formula) and is written under another name and
 * renamed, so that no half file stays.
 */
#include "cli/cli.h"

#include "node/csv_writer.h"

#include <fcntl.h>
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

/* First line the signed head (what `audit verify --against` takes), then the entries as they stand in the chain, in
 * hex. */
static enum err write_audit(struct cli *c, struct ask *a, FILE *f, json_int_t *entries)
{
    enum err e = ERR_OK;
    json_int_t total = 1;
    *entries = 0;
    /* Reading is itself an entry, so the log grows as it is read: what the first head covers is wanted, no more. */
    while (e == ERR_OK && *entries < total) {
        json_t *result = NULL;
        (void)json_object_set_new(c->args, "from", json_integer(*entries + 1));
        e = ask_run(a, "audit-export", c->args, &result);
        const json_t *list = json_object_get(result, "entries");
        if (e == ERR_OK && *entries == 0) {
            total = json_integer_value(json_object_get(result, "count"));
            (void)fprintf(f, "%s\n", json_string_value(json_object_get(result, "head")));
        }
        size_t count = json_array_size(list);
        if (e == ERR_OK && count == 0 && *entries < total) {
            e = ERR_DAMAGED;
        }
        for (size_t i = 0; i < count && *entries < total; i++, (*entries)++) {
            (void)fprintf(f, "%s\n", json_string_value(json_array_get(list, i)));
        }
        json_decref(result);
    }
    return e == ERR_OK && ferror(f) != 0 ? ERR_IO : e;
}

enum err cmd_audit_export(struct cli *c)
{
    struct ask *a = NULL;
    json_int_t entries = 0;
    if (c->word_count != 1) {
        return why_set(&c->why, ERR_USAGE, "用法：jipan audit export 文件", "usage: jipan audit export FILE");
    }
    enum err e = ask_open(c, true, &a);
    int fd = e == ERR_OK ? open(c->words[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    if (e == ERR_OK && f == NULL) {
        e = why_setf(&c->why, ERR_IO, "不能新建 %s（可能已存在）", "cannot create %s (it may exist)", c->words[0]);
    }
    if (e == ERR_OK) {
        e = write_audit(c, a, f, &entries);
    }
    if (f != NULL && fclose(f) != 0 && e == ERR_OK) {
        e = ERR_IO;
    }
    if (e != ERR_OK && f != NULL) {
        (void)unlink(c->words[0]);
    }
    if (e == ERR_OK) {
        c->result = json_pack("{s:I, s:s}", "entries", entries, "file", c->words[0]);
    }
    ask_close(a);
    return e;
}
