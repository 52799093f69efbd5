/*
 * Writes invented customers as a spreadsheet file, in the encodings and with the mistakes of real ones.
 * Imitates what other programs export: unlike csv_writer it puts no guard before formulas.
 */
#include "schema/base/attrs.h"
#include "tests/lib/sample.h"

#include <errno.h>
#include <getopt.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES = 64 * 1024, REPEATED_PER_ROWS = 100, BLANK_ROWS = 3 };

struct options {
    struct sample sample;
    uint64_t count;
    const char *encoding; /* for iconv; NULL: UTF-8 as it is */
    bool has_mark;
    bool has_other_headers;
    bool is_quiet;
};

struct out {
    const struct options *options;
    iconv_t converter; /* only with options->encoding */
    char text[TEXT_BYTES];
    size_t len;
    char converted[2 * TEXT_BYTES];
    bool has_failed;
};

static void flush_text(struct out *o)
{
    char *from = o->text;
    size_t from_left = o->len;
    char *at = o->converted;
    size_t to_left = sizeof o->converted;
    if (o->options->encoding == NULL) {
        memcpy(o->converted, o->text, o->len);
        to_left -= o->len;
    } else if (iconv(o->converter, &from, &from_left, &at, &to_left) == (size_t)-1) {
        o->has_failed = true;
    }
    size_t len = sizeof o->converted - to_left;
    o->has_failed |= fwrite(o->converted, 1, len, stdout) != len;
    o->len = 0;
}

static void put(struct out *o, const char *text, size_t len)
{
    memcpy(o->text + o->len, text, len);
    o->len += len;
}

static void put_cell(struct out *o, bool is_first, struct bytes cell)
{
    if (!is_first) {
        put(o, ",", 1);
    }
    bool is_quoted = memchr(cell.ptr, ',', cell.len) != NULL || memchr(cell.ptr, '"', cell.len) != NULL ||
                     memchr(cell.ptr, '\n', cell.len) != NULL;
    put(o, "\"", is_quoted ? 1 : 0);
    for (size_t i = 0; i < cell.len; i++) {
        put(o, (const char *)cell.ptr + i, 1);
        put(o, "\"", cell.ptr[i] == '"' ? 1 : 0);
    }
    put(o, "\"", is_quoted ? 1 : 0);
}

/* Rows are far smaller than the room: flushed between rows, so that no character is cut. */
static void end_row(struct out *o)
{
    put(o, "\r\n", 2);
    if (o->len > TEXT_BYTES / 2) {
        flush_text(o);
    }
}

static void put_header(struct out *o)
{
    for (unsigned c = 0; c < SAMPLE_COLUMNS; c++) {
        enum sample_column column = (enum sample_column)c;
        const char *text = o->options->has_other_headers ? sample_header_other(column) : sample_header(column);
        put_cell(o, c == 0, bytes_str(text));
    }
    end_row(o);
}

static void put_customer(struct out *o, const struct sample_customer *customer)
{
    for (unsigned c = 0; c < SAMPLE_COLUMNS; c++) {
        put_cell(o, c == 0, sample_cell(customer, (enum sample_column)c));
    }
    end_row(o);
}

struct tally {
    uint64_t rows;
    uint64_t dirty;
    uint64_t refusable;
    uint64_t repeated;
    uint64_t twins;
};

static struct tally put_all(struct out *o)
{
    struct tally t = { .rows = 0 };
    const struct options *options = o->options;
    put_header(o);
    for (uint64_t i = 0; i < options->count && !o->has_failed; i++) {
        struct sample_customer customer;
        sample_make(&options->sample, i, &customer);
        put_customer(o, &customer);
        t.rows++;
        t.dirty += customer.dirt != SAMPLE_DIRT_NONE;
        t.refusable += sample_dirt_is_refusable(customer.dirt);
        t.twins += customer.twin != SAMPLE_TWIN_NONE;
        if (options->sample.dirty_percent > 0 && i % REPEATED_PER_ROWS == REPEATED_PER_ROWS - 1) {
            put_customer(o, &customer);
            t.repeated++;
        }
    }
    for (int i = 0; options->sample.dirty_percent > 0 && i < BLANK_ROWS; i++) {
        for (unsigned c = 1; c < SAMPLE_COLUMNS; c++) {
            put(o, ",", 1);
        }
        end_row(o);
    }
    flush_text(o);
    return t;
}

static void help(void)
{
    puts("用法 / usage: jipan_sample [--seed N] [--count N] [--station S1|S2|S3] [--format csv]\n"
         "       [--encoding utf8|utf8bom|gb18030|utf16le] [--dirty PERCENT] [--consultants a,b,c]\n"
         "       [--headers usual|other] [--full] [--quiet]\n"
         "虚构的客户，写到标准输出；同样的参数总是同样的内容。标准错误输出行数统计（JSON）。\n"
         "Invented customers on standard output; equal arguments, equal bytes. Standard error: counts as JSON.\n"
         "  --station   S2 and S3 know 6 % of the persons of S1 (same seed, same row number)\n"
         "  --dirty     share of rows spoilt on purpose; also repeats 1 % of the rows and ends with blank rows\n"
         "  --full      every column has a value\n"
         "  --headers   other: as another program names the columns\n"
         "列 / columns (usual, other, field):");
    for (unsigned c = 0; c < SAMPLE_COLUMNS; c++) {
        enum sample_column column = (enum sample_column)c;
        printf("  %s, %s, %s\n", sample_header(column), sample_header_other(column), sample_import_field(column));
    }
    puts("错误种类 / kinds of dirt:");
    for (unsigned d = 1; d < SAMPLE_DIRT_COUNT; d++) {
        printf("  %s%s\n", sample_dirt_text((enum sample_dirt)d),
            sample_dirt_is_refusable((enum sample_dirt)d) ? "（应拒绝 / to be refused）" : "");
    }
}

static bool take_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || text[0] == '-' || n > max) {
        return false;
    }
    *out = n;
    return true;
}

static bool take_encoding(const char *name, struct options *out)
{
    static const struct {
        const char *name;
        const char *encoding;
        bool has_mark;
    } known[] = { { "utf8", NULL, false }, { "utf8bom", NULL, true }, { "gb18030", "GB18030", false },
        { "utf16le", "UTF-16LE", true } };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(name, known[i].name) == 0) {
            out->encoding = known[i].encoding;
            out->has_mark = known[i].has_mark;
            return true;
        }
    }
    return false;
}

/* Splits the text in place. */
static bool take_consultants(char *text, struct sample *out)
{
    out->consultant_count = 0;
    char *rest = text;
    while (rest != NULL) {
        char *name = strsep(&rest, ",");
        if (*name == 0 || strlen(name) >= 24 || out->consultant_count == SAMPLE_CONSULTANTS_MAX) {
            return false;
        }
        out->consultants[out->consultant_count++] = name;
    }
    return true;
}

static bool take_option(int option, char *value, struct options *out)
{
    uint64_t n = 0;
    switch (option) {
    case 's':
        return take_number(value, UINT64_MAX, &out->sample.seed);
    case 'n':
        return take_number(value, 100000000, &out->count);
    case 'd':
        if (!take_number(value, 100, &n)) {
            return false;
        }
        out->sample.dirty_percent = (unsigned)n;
        return true;
    case 'S':
        if (value[0] != 'S' || !take_number(value + 1, 3, &n) || n == 0) {
            return false;
        }
        out->sample.station = (unsigned)n;
        return true;
    case 'e':
        return take_encoding(value, out);
    case 'c':
        return take_consultants(value, &out->sample);
    case 'f':
        return strcmp(value, "csv") == 0;
    case 'H':
        out->has_other_headers = strcmp(value, "other") == 0;
        return out->has_other_headers || strcmp(value, "usual") == 0;
    case 'F':
        out->sample.fills_all = true;
        return true;
    case 'q':
        out->is_quiet = true;
        return true;
    default:
        return false;
    }
}

static bool take_arguments(int argc, char **argv, struct options *out)
{
    static const struct option table[] = { { "seed", required_argument, NULL, 's' },
        { "count", required_argument, NULL, 'n' }, { "dirty", required_argument, NULL, 'd' },
        { "station", required_argument, NULL, 'S' }, { "encoding", required_argument, NULL, 'e' },
        { "consultants", required_argument, NULL, 'c' }, { "format", required_argument, NULL, 'f' },
        { "headers", required_argument, NULL, 'H' }, { "full", no_argument, NULL, 'F' },
        { "quiet", no_argument, NULL, 'q' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
    int option = getopt_long(argc, argv, "", table, NULL);
    while (option != -1) {
        if (option == 'h') {
            help();
            exit(0);
        }
        if (!take_option(option, optarg, out)) {
            return false;
        }
        option = getopt_long(argc, argv, "", table, NULL);
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct options options = { .sample = { .seed = 1, .station = 1 }, .count = 1000 };
    if (!take_arguments(argc, argv, &options)) {
        fputs("参数不对，见 --help / wrong arguments, see --help\n", stderr);
        return 2;
    }
    static struct out o;
    o.options = &options;
    if (options.encoding != NULL) {
        o.converter = iconv_open(options.encoding, "UTF-8");
        if (o.converter == (iconv_t)-1) { // NOLINT(performance-no-int-to-ptr): the documented failure value
            return 1;
        }
    }
    if (options.has_mark) {
        put(&o, "\xEF\xBB\xBF", 3);
    }
    struct tally t = put_all(&o);
    if (options.encoding != NULL) {
        (void)iconv_close(o.converter);
    }
    if (o.has_failed || fflush(stdout) != 0) {
        fputs("写不出去 / cannot write\n", stderr);
        return 1;
    }
    if (!options.is_quiet) {
        fprintf(stderr, "{\"rows\":%llu,\"dirty\":%llu,\"refusable\":%llu,\"repeated\":%llu,\"twins\":%llu}\n",
            (unsigned long long)t.rows, (unsigned long long)t.dirty, (unsigned long long)t.refusable,
            (unsigned long long)t.repeated, (unsigned long long)t.twins);
    }
    return 0;
}
