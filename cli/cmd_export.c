/*
 * Owns: the verbs `export`, `dump` and `audit export`: ask the node for pages and write them out. An exported file is
 * safe to open in an office program (UTF-8 with BOM, no cell runs as a formula) and is written under another name and
 * renamed, so that no half file stays.
 */
#include "cli/cli.h"

#include "node/csv_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    FILE *file;
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
    if (is_first) { /* not before: whoever is refused gets no byte */
        csv_writer_init(&s->writer, s->file);
        write_cells(s, json_object_get(result, "header"));
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        write_cells(s, json_array_get(rows, i));
        s->rows++;
    }
    return s->writer.err;
}

static enum err cannot_write(struct cli *c, enum err e, const char *path)
{
    if (e == ERR_FULL) {
        return why_setf(&c->why, e, "磁盘已满，没有写出 %s", "the disk is full; %s was not written", path);
    }
    return why_setf(&c->why, e, "不能写 %s", "cannot write %s", path);
}

/* Beside the target, so that a rename puts the whole of it in place at once. */
static enum err open_part(struct cli *c, const char *part, FILE **out)
{
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* for the person who asked, nobody else */
    if (fd < 0 && errno == EEXIST) {
        return why_setf(&c->why, ERR_IO, "%s 已存在：另一次导出正在进行，或中断后留下；请先删除",
            "%s exists: another export is under way, or one was cut off; remove it first", part);
    }
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    if (f == NULL) {
        return cannot_write(c, errno == ENOSPC ? ERR_FULL : ERR_IO, part);
    }
    *out = f;
    return ERR_OK;
}

static enum err write_sheet(struct cli *c, struct sheet *s, const char *target)
{
    enum err e = all_pages(c, "export", write_page, s);
    if (e == ERR_OK) {
        e = csv_writer_finish(&s->writer);
    }
    return s->writer.err == ERR_OK ? e : cannot_write(c, s->writer.err, target);
}

static enum err put_in_place(struct cli *c, FILE *f, const char *part, const char *target)
{
    if (fsync(fileno(f)) != 0 || rename(part, target) != 0) {
        return cannot_write(c, errno == ENOSPC ? ERR_FULL : ERR_IO, target);
    }
    return ERR_OK;
}

enum err cmd_export(struct cli *c)
{
    struct sheet s = { .file = stdout };
    char part[PATH_BYTES];
    const char *output = cli_option(c, "output");
    if (c->word_count != 1) {
        return why_set(&c->why, ERR_USAGE, "用法：jipan export 实体 --purpose P1 --output 文件",
            "usage: jipan export ENTITY --purpose P1 --output FILE");
    }
    (void)json_object_set_new(c->args, "entity", json_string(c->words[0]));
    if (output == NULL) {
        return write_sheet(c, &s, "stdout");
    }
    if (snprintf(part, sizeof(part), "%s.part", output) >= (int)sizeof(part)) {
        return why_set(&c->why, ERR_LIMIT, "文件名太长", "the file name is too long");
    }
    enum err e = open_part(c, part, &s.file);
    if (e != ERR_OK) {
        return e;
    }
    e = write_sheet(c, &s, output);
    if (e == ERR_OK) {
        e = put_in_place(c, s.file, part, output);
    }
    (void)fclose(s.file); /* all of it is on the disk, or it is not wanted */
    if (e != ERR_OK) {
        (void)unlink(part);
    } else {
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
    enum err e = all_pages(c, "dump", print_lines, NULL);
    return e == ERR_OK && fflush(stdout) != 0 ? ERR_IO : e;
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
