/*
 * Reading and writing spreadsheet rows: quoting, line ends, separators, encodings, limits, refused rows, formula guard.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/csv.h"
#include "node/csv_writer.h"

#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENCODED_BYTES_MAX = 1 << 20 };

static FILE *file_of(struct bytes text)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(fwrite(text.ptr, 1, text.len, f), text.len);
    rewind(f);
    return f;
}

/* All rows as text: cells in <>, a refused row as its fault; "line:<a><b>|". */
static void show_all(struct csv_reader *r, char *out, size_t room)
{
    size_t n = 0;
    struct csv_row row;
    enum err e = csv_next(r, &row);
    while (e == ERR_OK) {
        n += (size_t)snprintf(out + n, room - n, "%u:", (unsigned)row.line);
        if (row.fault != CSV_FAULT_NONE) {
            assert_int_equal(row.count, 0);
            assert_int_equal(row.raw.len, 0);
            n += (size_t)snprintf(out + n, room - n, "!%d", (int)row.fault);
        }
        for (size_t i = 0; i < row.count; i++) {
            n += (size_t)snprintf(out + n, room - n, "<%.*s>", (int)row.cells[i].len, (const char *)row.cells[i].ptr);
        }
        n += (size_t)snprintf(out + n, room - n, "|");
        assert_true(n < room);
        e = csv_next(r, &row);
    }
    assert_int_equal(e, ERR_NOT_FOUND);
    out[n] = 0;
}

static void assert_reads_opt(struct bytes text, const struct csv_options *options, const char *want)
{
    char got[2048];
    struct csv_reader *r = NULL;
    FILE *f = file_of(text);
    assert_int_equal(csv_reader_file(f, options, &r), ERR_OK);
    show_all(r, got, sizeof got);
    csv_reader_free(r);
    (void)fclose(f);
    assert_string_equal(got, want);
}

static void assert_reads(struct bytes text, const char *want)
{
    assert_reads_opt(text, NULL, want);
}

static void reads_cells_line_ends_and_quotes(void **state)
{
    (void)state;
    assert_reads(BYTES_LIT(""), "");
    assert_reads(BYTES_LIT("a,b"), "1:<a><b>|");
    assert_reads(BYTES_LIT("a,b\n1,\n"), "1:<a><b>|2:<1><>|");
    assert_reads(BYTES_LIT("a,b\r\n1,2\r\n3,4\r5,6"), "1:<a><b>|2:<1><2>|3:<3><4>|4:<5><6>|");
    assert_reads(BYTES_LIT("a\n\"x,\"\"y\"\"\",z\n"), "1:<a>|2:<x,\"y\"><z>|");
    assert_reads(BYTES_LIT("a,b\n\"l1\r\nl2\rl3\nl4\",2\n3,4\n"), "1:<a><b>|2:<l1\r\nl2\rl3\nl4><2>|6:<3><4>|");
    assert_reads(BYTES_LIT("\"\",\"\"\"\"\n"), "1:<><\">|");
    assert_reads(BYTES_LIT("5\"x,b\n"), "1:<5\"x><b>|");
    assert_reads(BYTES_LIT("a,\"b\""), "1:<a><b>|");
}

static void skips_blank_rows_and_counts_their_lines(void **state)
{
    (void)state;
    assert_reads(BYTES_LIT("a,b\n\n1,2\n,\n \t,\n\r\n,,,,\n"), "1:<a><b>|3:<1><2>|");
    assert_reads(BYTES_LIT("\n\na\n"), "3:<a>|");
}

static void finds_the_separator_in_the_first_row(void **state)
{
    (void)state;
    assert_reads(BYTES_LIT("a;b;c,d\n1;2;3\n"), "1:<a><b><c,d>|2:<1><2><3>|");
    assert_reads(BYTES_LIT("a\tb\n1,5\t2\n"), "1:<a><b>|2:<1,5><2>|");
    assert_reads(BYTES_LIT("\"a;;;\",b\n1,2;\n"), "1:<a;;;><b>|2:<1><2;>|");
    assert_reads(BYTES_LIT("sep=;\r\na;b,c\n"), "2:<a><b,c>|");
    struct csv_options options = { .separator = ';' };
    assert_reads_opt(BYTES_LIT("a,b;c\n"), &options, "1:<a,b><c>|");
}

static void refuses_single_rows_and_goes_on(void **state)
{
    (void)state;
    assert_reads(BYTES_LIT("a,b\n\"x\"y,2\n3,4\n"), "1:<a><b>|2:!6|3:<3><4>|");
    assert_reads(BYTES_LIT("a,b\n1,\0002\n3,4\n"), "1:<a><b>|2:!4|3:<3><4>|");
    assert_reads(BYTES_LIT("姓名,手机\n张\xFF三,2\n3,4\n"), "1:<姓名><手机>|2:!5|3:<3><4>|");
    assert_reads(BYTES_LIT("a,b\n1,2\n\"x\n3,4\n"), "1:<a><b>|2:<1><2>|3:!7|");
    assert_int_equal(CSV_FAULT_UNCLOSED, 7);
}

static void refuses_long_cells_and_rows_to_their_true_end(void **state)
{
    (void)state;
    struct csv_options options = { .cell_bytes_max = 4, .row_bytes_max = 12 };
    assert_reads_opt(BYTES_LIT("a,b\n12345,1\n1234,1\n"), &options, "1:<a><b>|2:!1|3:<1234><1>|");
    assert_reads_opt(BYTES_LIT("a,b\n1,2,3,4,5,6,7,8,9\n1,2\n"), &options, "1:<a><b>|2:!2|3:<1><2>|");
    struct csv_options wide = { .cell_bytes_max = 100, .row_bytes_max = 12 };
    assert_reads_opt(BYTES_LIT("a,b\n0123456789abc\n1,2\n"), &wide, "1:<a><b>|2:!2|3:<1><2>|");
    /* The quoted cell holds what looks like rows: none of them may come out. */
    assert_reads_opt(
        BYTES_LIT("a,b\n1,\"0123456789\n2,3\n4,5\"\"\n6,7\n\"\n8,9\n"), &options, "1:<a><b>|2:!2|7:<8><9>|");
}

static void refuses_too_many_columns(void **state)
{
    (void)state;
    static char text[2 * CSV_COLUMNS_MAX + 8];
    memset(text, 'x', sizeof text);
    for (size_t i = 1; i < 2 * CSV_COLUMNS_MAX; i += 2) {
        text[i] = ',';
    }
    struct csv_reader *r = NULL;
    struct csv_row row;
    assert_int_equal(csv_reader_memory(bytes_of(text, 2 * CSV_COLUMNS_MAX - 1), 1, NULL, &r), ERR_OK);
    assert_int_equal(csv_next(r, &row), ERR_OK);
    assert_int_equal(row.count, CSV_COLUMNS_MAX);
    csv_reader_free(r);
    assert_int_equal(csv_reader_memory(bytes_of(text, 2 * CSV_COLUMNS_MAX + 1), 1, NULL, &r), ERR_OK);
    assert_int_equal(csv_next(r, &row), ERR_OK);
    assert_int_equal(row.fault, CSV_FAULT_COLUMNS);
    csv_reader_free(r);
}

static struct bytes encode(const char *utf8, const char *encoding)
{
    static char room[ENCODED_BYTES_MAX];
    iconv_t cd = iconv_open(encoding, "UTF-8");
    assert_true(cd != (iconv_t)-1);
    char *copy = strdup(utf8);
    assert_non_null(copy);
    char *from = copy;
    size_t from_left = strlen(utf8);
    char *to = room;
    size_t to_left = sizeof room;
    assert_int_equal(iconv(cd, &from, &from_left, &to, &to_left), 0);
    (void)iconv_close(cd);
    free(copy);
    return bytes_of(room, sizeof room - to_left);
}

static void reads_every_office_encoding(void **state)
{
    (void)state;
    const char *text = "姓名,手机\r\n阿依古丽·吐尔逊,13900001234\r\n㼆䶮𠮷𬭚,2\r\n";
    const char *want = "1:<姓名><手机>|2:<阿依古丽·吐尔逊><13900001234>|3:<㼆䶮𠮷𬭚><2>|";
    assert_reads(bytes_str(text), want);
    assert_reads(encode(text, "GB18030"), want);
    assert_reads(encode(text, "UTF-16LE"), want);
    assert_reads(encode(text, "UTF-16BE"), want);
    assert_reads(encode("\xEF\xBB\xBF姓名,手机\r\n", "UTF-8"), "1:<姓名><手机>|");
    assert_reads(encode("\xEF\xBB\xBF姓名,手机\r\n", "UTF-16LE"), "1:<姓名><手机>|");
    assert_reads(encode("\xEF\xBB\xBF姓名,手机\r\n", "GB18030"), "1:<姓名><手机>|");
    assert_reads(encode("姓名,来源\n欧阳喆,来店\n", "GBK"), "1:<姓名><来源>|2:<欧阳喆><来店>|");
    assert_reads(BYTES_LIT("a\n\xA1\xA4\xB0\xA1\n"), "1:<a>|2:<·啊>|");
}

static void one_damaged_character_does_not_change_the_encoding(void **state)
{
    (void)state;
    assert_int_equal(csv_source_guess(BYTES_LIT("姓名,手机\n张\xE4三\n"), true), CSV_UTF8);
    assert_int_equal(csv_source_guess(BYTES_LIT("name,phone\n"), true), CSV_ENCODING_AUTO);
    assert_int_equal(csv_source_guess(BYTES_LIT("\xD0\xD5\xC3\xFB,\xCA\xD6\xBB\xFA\n"), true), CSV_GB18030);
    assert_int_equal(csv_source_guess(BYTES_LIT("\xC1\xAA\xCD\xA8"), true), CSV_GB18030); /* the two characters 联通 */
    assert_reads(BYTES_LIT("\xD0\xD5\xC3\xFB,b\n\xFF\xFF,2\n\xD6\xD0,4\n"), "1:<姓名><b>|2:!5|3:<中><4>|");
}

/* ASCII for longer than a block, then han: the decision waits for the first byte that tells; characters are cut by
 * block ends at every possible place. */
static void assert_late_encoding(const char *encoding, enum csv_encoding want)
{
    static char text[400000];
    for (size_t pad = 0; pad < 4; pad++) {
        size_t n = (size_t)snprintf(text, sizeof text, "name,remark\n%.*s", (int)pad, "xxx");
        while (n < 390000) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s\n", n < 70000 ? "zhang,san" : "张三,𠮷·龙,龘");
        }
        struct csv_reader *r = NULL;
        FILE *f = file_of(encode(text, encoding));
        assert_int_equal(csv_reader_file(f, NULL, &r), ERR_OK);
        struct csv_row row = { .count = 0 };
        uint64_t rows = 0;
        while (csv_next(r, &row) == ERR_OK) {
            assert_int_equal(row.fault, CSV_FAULT_NONE);
            assert_int_equal(row.line, ++rows);
        }
        assert_int_equal(row.count, 3);
        assert_true(bytes_equal(row.cells[1], BYTES_LIT("𠮷·龙")));
        assert_int_equal(csv_encoding_found(r), want);
        csv_reader_free(r);
        (void)fclose(f);
    }
}

static void decides_the_encoding_when_the_first_han_comes(void **state)
{
    (void)state;
    assert_late_encoding("UTF-8", CSV_UTF8);
    assert_late_encoding("GB18030", CSV_GB18030);
    assert_late_encoding("UTF-16LE", CSV_UTF16LE);
}

static void a_row_survives_its_own_raw_text(void **state)
{
    (void)state;
    struct csv_reader *r = NULL;
    struct csv_reader *again = NULL;
    struct csv_row row;
    struct csv_row twin;
    struct bytes text = BYTES_LIT("a;b\r\n1;\"x\r\n\"\"y\"\"\"\r\n3;4");
    assert_int_equal(csv_reader_memory(text, 10, NULL, &r), ERR_OK);
    while (csv_next(r, &row) == ERR_OK) {
        struct csv_options options = { .separator = csv_separator(r) };
        assert_int_equal(csv_reader_memory(row.raw, row.line, &options, &again), ERR_OK);
        assert_int_equal(csv_next(again, &twin), ERR_OK);
        assert_int_equal(twin.line, row.line);
        assert_int_equal(twin.count, row.count);
        for (size_t i = 0; i < row.count; i++) {
            assert_true(bytes_equal(twin.cells[i], row.cells[i]));
        }
        assert_int_equal(csv_next(again, &twin), ERR_NOT_FOUND);
        csv_reader_free(again);
    }
    assert_int_equal(row.line, 13);
    csv_reader_free(r);
}

static size_t write_one(const char *const *cells, size_t count, char *out, size_t room)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    struct csv_writer w;
    csv_writer_init(&w, f);
    for (size_t i = 0; i < count; i++) {
        csv_writer_text(&w, cells[i]);
    }
    csv_writer_row(&w);
    assert_int_equal(csv_writer_finish(&w), ERR_OK);
    rewind(f);
    size_t n = fread(out, 1, room - 1, f);
    out[n] = 0;
    (void)fclose(f);
    return n;
}

static const char *const hard_cells[] = { "张三", "", "=1+1", "+86 139", "-5", "@x", "\tx", "\rx", "'", "'=1", "''-2",
    "'plain", "a,b", "say \"hi\"", "l1\r\nl2", " edge ", "＝1", "x=1" };

static void the_writer_is_safe_to_open(void **state)
{
    (void)state;
    char got[512];
    (void)write_one(hard_cells, 7, got, sizeof got);
    assert_string_equal(got, "\xEF\xBB\xBF张三,,'=1+1,'+86 139,'-5,'@x,\"'\tx\"\r\n");
}

static void every_cell_survives_the_round_trip(void **state)
{
    (void)state;
    char text[1024];
    size_t n = write_one(hard_cells, ARRAY_LEN(hard_cells), text, sizeof text);
    struct csv_options options = { .drops_guard = true };
    struct csv_reader *r = NULL;
    struct csv_row row;
    FILE *f = file_of(bytes_of(text, n));
    assert_int_equal(csv_reader_file(f, &options, &r), ERR_OK);
    assert_int_equal(csv_next(r, &row), ERR_OK);
    assert_int_equal(row.count, ARRAY_LEN(hard_cells));
    for (size_t i = 0; i < row.count; i++) {
        assert_true(bytes_equal(row.cells[i], bytes_str(hard_cells[i])));
    }
    csv_reader_free(r);
    (void)fclose(f);
}

static void the_writer_reports_a_full_disk(void **state)
{
    (void)state;
    FILE *f = fopen("/dev/full", "wb");
    if (f == NULL) {
        skip();
    }
    struct csv_writer w;
    csv_writer_init(&w, f);
    csv_writer_text(&w, "x");
    csv_writer_row(&w);
    assert_int_equal(csv_writer_finish(&w), ERR_FULL);
    (void)fclose(f);
}

static void faults_speak_both_languages(void **state)
{
    (void)state;
    struct why why;
    for (int f = 1; f < CSV_FAULT_COUNT; f++) {
        assert_int_not_equal(csv_fault_why((enum csv_fault)f, &why), ERR_OK);
        assert_true(why.zh[0] != 0 && why.en[0] != 0);
    }
    assert_int_equal(csv_fault_why(CSV_FAULT_NONE, &why), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_cells_line_ends_and_quotes),
        cmocka_unit_test(skips_blank_rows_and_counts_their_lines),
        cmocka_unit_test(finds_the_separator_in_the_first_row),
        cmocka_unit_test(refuses_single_rows_and_goes_on),
        cmocka_unit_test(refuses_long_cells_and_rows_to_their_true_end),
        cmocka_unit_test(refuses_too_many_columns),
        cmocka_unit_test(reads_every_office_encoding),
        cmocka_unit_test(one_damaged_character_does_not_change_the_encoding),
        cmocka_unit_test(decides_the_encoding_when_the_first_han_comes),
        cmocka_unit_test(a_row_survives_its_own_raw_text),
        cmocka_unit_test(the_writer_is_safe_to_open),
        cmocka_unit_test(every_cell_survives_the_round_trip),
        cmocka_unit_test(the_writer_reports_a_full_disk),
        cmocka_unit_test(faults_speak_both_languages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
