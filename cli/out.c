/*
 * Owns: what a person or a script sees. stdout carries data only: JSON with --json, otherwise lines and tables in the
 * person's language. stderr carries talk: errors, progress. Shows what the node sent and decides nothing.
 */
#include "cli/cli.h"

#include "schema/base/utf8.h"
#include "schema/catalogue.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TABLE_COLUMNS_MAX = 16, CELL_MAX = 512, BAR_WIDTH = 30 };

size_t out_width(const char *text)
{
    struct bytes rest = bytes_str(text);
    size_t width = 0;
    uint32_t cp = 0;
    while (utf8_next(&rest, &cp)) {
        bool wide = (cp >= 0x1100 && cp <= 0x115F) || (cp >= 0x2E80 && cp <= 0xA4CF) ||
                    (cp >= 0xAC00 && cp <= 0xD7A3) || (cp >= 0xF900 && cp <= 0xFAFF) ||
                    (cp >= 0xFE30 && cp <= 0xFE6F) || (cp >= 0xFF00 && cp <= 0xFF60) || cp >= 0x20000;
        width += wide ? 2 : 1;
    }
    return width;
}

static void pad(const char *text, size_t width)
{
    size_t have = out_width(text);
    (void)fputs(text, stdout);
    for (size_t i = have; i < width; i++) {
        (void)fputc(' ', stdout);
    }
}

static void cell_text(const json_t *v, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    switch (json_typeof(v)) {
    case JSON_STRING:
        (void)snprintf(out, room, "%s", json_string_value(v));
        break;
    case JSON_INTEGER:
        (void)snprintf(out, room, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_TRUE:
        (void)snprintf(out, room, "是/yes");
        break;
    case JSON_FALSE:
        (void)snprintf(out, room, "否/no");
        break;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_array_size(v) && used + 1 < room; i++) {
            char one[CELL_MAX];
            cell_text(json_array_get(v, i), one, sizeof(one));
            int n = snprintf(out + used, room - used, "%s%s", i == 0 ? "" : " ", one);
            used += n < 0 ? 0 : (size_t)n < room - used ? (size_t)n : room - used - 1;
        }
        break;
    case JSON_OBJECT:
        /* A value as the field view gives it. */
        if (json_is_string(json_object_get(v, "value"))) {
            cell_text(json_object_get(v, "value"), out, room);
        }
        break;
    case JSON_REAL:
    case JSON_NULL:
        break;
    }
}

static const char *label_of(const struct cli *c, const struct entity_desc *d, const char *name)
{
    const struct field *f = d == NULL ? NULL : catalogue_field_by_name(d, bytes_str(name));
    return f == NULL ? name : cli_text(c, f->zh, f->en);
}

static const struct entity_desc *entity_of(const json_t *record)
{
    const char *entity = json_string_value(json_object_get(record, "entity"));
    const char *id = json_string_value(json_object_get(record, "id"));
    if (entity != NULL) {
        return catalogue_entity_by_name(bytes_str(entity));
    }
    return id == NULL ? NULL : catalogue_entity_by_name(bytes_of(id, strcspn(id, "/")));
}

/* One record: id, then a line per field, with what is masked or contested marked. */
static void print_record(const struct cli *c, const json_t *record)
{
    const struct entity_desc *d = entity_of(record);
    const char *name = NULL;
    json_t *field = NULL;
    size_t width = 0;
    (void)printf("%s\n", json_string_value(json_object_get(record, "id")));
    json_object_foreach(json_object_get(record, "fields"), name, field)
    {
        size_t w = out_width(label_of(c, d, name));
        width = w > width ? w : width;
    }
    json_object_foreach(json_object_get(record, "fields"), name, field)
    {
        const char *view = json_string_value(json_object_get(field, "view"));
        char value[CELL_MAX];
        cell_text(field, value, sizeof(value));
        (void)fputs("  ", stdout);
        pad(label_of(c, d, name), width + 2);
        (void)fputs(value, stdout);
        if (view != NULL && strcmp(view, "masked") == 0) {
            (void)printf("  (%s)", cli_text(c, "已遮蔽", "masked"));
        }
        if (json_is_true(json_object_get(field, "conflict"))) {
            (void)printf("  (%s)", cli_text(c, "有冲突，待裁定", "in conflict"));
        }
        (void)fputc('\n', stdout);
    }
}

struct table {
    const char *columns[TABLE_COLUMNS_MAX];
    size_t widths[TABLE_COLUMNS_MAX];
    size_t count;
};

static void add_column(struct table *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->columns[i], name) == 0) {
            return;
        }
    }
    if (t->count < TABLE_COLUMNS_MAX) {
        t->columns[t->count] = name;
        t->widths[t->count++] = out_width(name);
    }
}

static void print_table(const json_t *list)
{
    struct table t = { .count = 0 };
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = NULL;
        json_t *v = NULL;
        json_object_foreach(json_array_get(list, i), name, v)
        {
            add_column(&t, name);
        }
    }
    for (size_t k = 0; k < t.count; k++) {
        for (size_t i = 0; i < json_array_size(list); i++) {
            char text[CELL_MAX];
            const json_t *v = json_object_get(json_array_get(list, i), t.columns[k]);
            cell_text(v == NULL ? json_null() : v, text, sizeof(text));
            size_t w = out_width(text);
            t.widths[k] = w > t.widths[k] ? w : t.widths[k];
        }
        pad(t.columns[k], t.widths[k] + 2);
    }
    (void)fputc('\n', stdout);
    for (size_t i = 0; i < json_array_size(list); i++) {
        for (size_t k = 0; k < t.count; k++) {
            char text[CELL_MAX];
            const json_t *v = json_object_get(json_array_get(list, i), t.columns[k]);
            cell_text(v == NULL ? json_null() : v, text, sizeof(text));
            pad(text, t.widths[k] + 2);
        }
        (void)fputc('\n', stdout);
    }
}

static void print_object(const json_t *object)
{
    const char *name = NULL;
    json_t *v = NULL;
    size_t width = 0;
    json_object_foreach((json_t *)(uintptr_t)object, name, v)
    {
        width = strlen(name) > width ? strlen(name) : width;
    }
    json_object_foreach((json_t *)(uintptr_t)object, name, v)
    {
        char text[CELL_MAX];
        if (json_is_array(v) && json_array_size(v) > 0 && json_is_object(json_array_get(v, 0))) {
            (void)printf("%s:\n", name);
            print_table(v);
            continue;
        }
        cell_text(v, text, sizeof(text));
        pad(name, width + 2);
        (void)printf("%s\n", text);
    }
}

/* Verbs whose one answer is meant for $(…). */
static const char *bare_key(const struct cli *c)
{
    static const struct {
        const char *verb;
        const char *key;
    } bare[] = { { "invite", "code" }, { "statehash", "statehash" } };
    for (size_t i = 0; i < ARRAY_LEN(bare); i++) {
        if (strcmp(c->verb->name, bare[i].verb) == 0) {
            return bare[i].key;
        }
    }
    return NULL;
}

void out_result(const struct cli *c, const json_t *result)
{
    const char *key = bare_key(c);
    if (c->is_json) {
        (void)json_dumpf(result, stdout, isatty(STDOUT_FILENO) != 0 ? JSON_INDENT(2) : JSON_COMPACT);
        (void)fputc('\n', stdout);
    } else if (key != NULL && json_is_string(json_object_get(result, key))) {
        (void)printf("%s\n", json_string_value(json_object_get(result, key)));
    } else if (json_is_string(result)) {
        (void)fputs(json_string_value(result), stdout);
    } else if (json_is_object(json_object_get(result, "fields"))) {
        print_record(c, result);
    } else if (json_is_array(result) && json_is_object(json_object_get(json_array_get(result, 0), "fields"))) {
        for (size_t i = 0; i < json_array_size(result); i++) {
            print_record(c, json_array_get(result, i));
        }
    } else if (json_is_array(result)) {
        if (json_array_size(result) == 0) {
            cli_say(c, "没有内容", "nothing");
        } else {
            print_table(result);
        }
    } else {
        print_object(result);
    }
    (void)fflush(stdout);
}

void out_error(const struct cli *c, enum err e)
{
    bool told = c->why.zh[0] != '\0' && c->why.en[0] != '\0';
    (void)fputs("jipan: ", stderr);
    cli_say(c, told ? c->why.zh : err_zh(e), told ? c->why.en : err_en(e));
}

void out_progress(const struct cli *c, const char *zh, const char *en, size_t done, size_t total, bool is_last)
{
    size_t filled = total == 0 ? BAR_WIDTH : done * BAR_WIDTH / total;
    if (isatty(STDERR_FILENO) == 0) {
        return;
    }
    (void)fprintf(stderr, "\r%s [", cli_text(c, zh, en));
    for (size_t i = 0; i < BAR_WIDTH; i++) {
        (void)fputc(i < filled ? '#' : '.', stderr);
    }
    (void)fprintf(stderr, "] %3zu%%%s", total == 0 ? 100 : done * 100 / total, is_last ? "\n" : "");
}
