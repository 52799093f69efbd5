/*
 * Numbers with arithmetic and patterns: the vectors of domain.md 7.3 to 7.6 and the dirty forms of 7.2, and that one
 * changed or swapped sign is noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/text.h"
#include "schema/validate.h"
#include "tests/lib/testkit.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, test_mem(), 16 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

typedef bool (*valid_fn)(struct bytes text);

static void all_are(valid_fn fn, const char *const *texts, size_t count, bool wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (fn(bytes_str(texts[i])) != wanted) {
            fail_msg("%s should be %s", texts[i], wanted ? "valid" : "refused");
        }
    }
}

#define VALID(fn, list)   all_are(fn, list, ARRAY_LEN(list), true)
#define REFUSED(fn, list) all_are(fn, list, ARRAY_LEN(list), false)

/* Every other digit at every place, and every swap of unequal neighbours, must be refused. */
static void errors_are_noticed(valid_fn fn, const char *text, size_t from)
{
    char copy[32];
    size_t len = strlen(text);
    for (size_t i = from; i < len; i++) {
        for (char c = '0'; c <= '9'; c++) {
            memcpy(copy, text, len);
            copy[i] = c;
            assert_int_equal(fn(bytes_of(copy, len)), c == text[i]);
        }
        if (i + 1 < len && text[i] != text[i + 1]) {
            memcpy(copy, text, len);
            copy[i] = text[i + 1];
            copy[i + 1] = text[i];
            assert_false(fn(bytes_of(copy, len)));
        }
    }
}

static void identity_cards(void **state)
{
    (void)state;
    static const char *const good[] = { "11010519491231002X", "440524188001010014", "440106199003078513",
        "310115198512250046", "510107197806153316" };
    static const char *const bad[] = { "11010519491231002x", "440106199003078514", "44010619900307851", "",
        "4401061990030785133", "A40106199003078513", "990106199003078513", "440106199013078513", "440106199002308513",
        "44010619900307851 " };
    VALID(id_card_is_valid, good);
    REFUSED(id_card_is_valid, bad);
    errors_are_noticed(id_card_is_valid, "440106199003078513", 0);
    errors_are_noticed(id_card_is_valid, "510107197806153316", 0);
}

static void vehicle_numbers(void **state)
{
    (void)state;
    static const char *const good[] = { "1M8GDM9AXKP042788", "11111111111111111", "LSJA24U62JG269225",
        "LDC613P23A1305189", "LTESTA125TA000001", "LTESTB34XRB012345", "LTESTC56XSC999999", "LTESTA126TA000010" };
    static const char *const bad[] = { "LTESTA125TA000010", "LTESTA125TA00001", "LTESTA125TA0000011", "",
        "LTESTA125TA00000I", "LTESTA125TA00000O", "LTESTA125TA00000Q", "ltesta125ta000001" };
    VALID(vin_check_is_valid, good);
    VALID(vin_is_valid, good);
    REFUSED(vin_check_is_valid, bad);
    REFUSED(vin_is_valid, bad);
    errors_are_noticed(vin_check_is_valid, "11111111111111111", 0);
    /* A European maker's number without a check sign passes; a Chinese one does not. */
    assert_false(vin_check_is_valid(BYTES_LIT("WVWZZZ1JZXW000001")));
    assert_true(vin_is_valid(BYTES_LIT("WVWZZZ1JZXW000001")));
    assert_false(vin_is_valid(BYTES_LIT("LVWZZZ1JZXW000001")));
}

static void organisation_codes(void **state)
{
    (void)state;
    static const char *const good[] = { "91350100M000100Y43", "91440101MA59D0000G", "91310115MA1K30000A",
        "91510107MA6C20000A" };
    static const char *const bad[] = { "91350100M000100Y44", "91350100M000100Y4", "", "91350100I000100Y43",
        "91350100m000100y43" };
    VALID(uscc_is_valid, good);
    REFUSED(uscc_is_valid, bad);
    errors_are_noticed(uscc_is_valid, "91350100M000100Y43", 0);
}

static void plates(void **state)
{
    (void)state;
    static const char *const good[] = { "粤A12345", "沪C0A1B2", "川AH1234", "粤AD12345", "粤ADA1234", "粤A12345D",
        "川A1234挂", "粤B1234学", "京A1234警" };
    static const char *const bad[] = { "粤A1234", "粤I12345", "粤O12345", "港A12345", "A12345", "粤A1234O", "粤A1234I",
        "粤AI12345", "粤ADAA123", "粤A12345Z", "粤A123456", "粤A123456D", "粤a12345", "粤A1234中", "", "粤", "粤A" };
    VALID(plate_is_valid, good);
    REFUSED(plate_is_valid, bad);
}

struct dirty {
    int64_t type;
    const char *raw;
    const char *norm; /* NULL: refused */
};

static void contact_numbers(void **state)
{
    (void)state;
    static const struct dirty table[] = {
        { CODE_CONTACT_MOBILE, "13900001234", "13900001234" },
        { CODE_CONTACT_MOBILE, "+86 139 0000 1234", "13900001234" },
        { CODE_CONTACT_MOBILE, "+86-139-0000-1234", "13900001234" },
        { CODE_CONTACT_MOBILE, "8613900001234", "13900001234" },
        { CODE_CONTACT_MOBILE, "008613900001234", "13900001234" },
        { CODE_CONTACT_MOBILE, "013900001234", "13900001234" },
        { CODE_CONTACT_MOBILE, "１３９００００１２３４", "13900001234" },
        { CODE_CONTACT_MOBILE, "＋８６（139）0000　1234", "13900001234" },
        { CODE_CONTACT_MOBILE, "1.39E+10", NULL },
        { CODE_CONTACT_MOBILE, "13900001234 王先生", NULL },
        { CODE_CONTACT_MOBILE, "13900001234/13800001234", NULL },
        { CODE_CONTACT_MOBILE, "12345", NULL },
        { CODE_CONTACT_MOBILE, "12900001234", NULL },
        { CODE_CONTACT_MOBILE, "139000012345", NULL },
        { CODE_CONTACT_MOBILE, "02087654321", NULL },
        { CODE_CONTACT_HOME, "020-87654321", "02087654321" },
        { CODE_CONTACT_HOME, "(020) 8765 4321", "02087654321" },
        { CODE_CONTACT_HOME, "+86 20 87654321", "02087654321" },
        { CODE_CONTACT_HOME, "0763-3123456", "07633123456" },
        { CODE_CONTACT_HOME, "13900001234", "13900001234" },
        { CODE_CONTACT_HOME, "87654321", NULL },
        { CODE_CONTACT_HOME, "020-17654321", NULL },
        { CODE_CONTACT_HOME, "0763-312345678", NULL },
        { CODE_CONTACT_HOME, "020-876543210", NULL },
        { CODE_CONTACT_OFFICE, "020-87654321转801", "02087654321" },
        { CODE_CONTACT_OFFICE, "020-87654321 ext 801", "02087654321" },
        { CODE_CONTACT_EMAIL, "Zhang.San@Example.COM", "Zhang.San@example.com" },
        { CODE_CONTACT_EMAIL, " zhangsan＠example.com ", "zhangsan@example.com" },
        { CODE_CONTACT_EMAIL, "zhangsan@example", NULL },
        { CODE_CONTACT_EMAIL, "zhang..san@example.com", NULL },
        { CODE_CONTACT_EMAIL, ".zhang@example.com", NULL },
        { CODE_CONTACT_EMAIL, "zhang@-example.com", NULL },
        { CODE_CONTACT_EMAIL, "zhang@example.com.", NULL },
        { CODE_CONTACT_EMAIL, "zhang@@example.com", NULL },
        { CODE_CONTACT_EMAIL, "@example.com", NULL },
        { CODE_CONTACT_EMAIL, "13900001234", NULL },
        { CODE_CONTACT_WECHAT, "wxid_xiaoming", "wxid_xiaoming" },
        { CODE_CONTACT_WECHAT, "+86 13900001234", "13900001234" },
        { CODE_CONTACT_OTHER, "传真在前台", "传真在前台" },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct bytes norm = { 0 };
        struct why why = { 0 };
        enum err e = contact_normalise(table[i].type, &arena, bytes_str(table[i].raw), &norm, &why);
        bool same = table[i].norm == NULL ? e == ERR_INVALID && why.zh[0] != '\0'
                                          : e == ERR_OK && bytes_equal(norm, bytes_str(table[i].norm));
        if (!same) {
            fail_msg("%s", table[i].raw);
        }
        struct bytes again = { 0 };
        if (e == ERR_OK) { /* whatever the type, a normal form stays what it is */
            assert_int_equal(contact_normalise(CODE_CONTACT_OTHER, &arena, norm, &again, NULL), ERR_OK);
            assert_true(bytes_equal(norm, again));
        }
    }
}

struct form {
    validate_fn fn;
    const char *raw;
    const char *norm; /* NULL: refused */
};

static void normal_forms(void **state)
{
    (void)state;
    static const struct form table[] = {
        { validate_name, "阿依古丽•吐尔逊", "阿依古丽·吐尔逊" },
        { validate_name, "阿依古丽．吐尔逊", "阿依古丽·吐尔逊" },
        { validate_name, "阿依古丽・吐尔逊", "阿依古丽·吐尔逊" },
        { validate_name, "阿依古丽 · · 吐尔逊·", "阿依古丽·吐尔逊" },
        { validate_name, "·吐尔逊", "吐尔逊" },
        { validate_name, "SMITH JOHN", "SMITH JOHN" },
        { validate_name, "𠮷田", "𠮷田" },
        { validate_name, "13900001234", NULL },
        { validate_name, "···", NULL },
        { validate_vin, "lte sta-125ＴＡ000001", "LTESTA125TA000001" },
        { validate_vin, "LTESTA125TAOOOOO1", NULL },
        { validate_plate, "粤A·12345", "粤A12345" },
        { validate_plate, "粤a 12345", "粤A12345" },
        { validate_plate, "粤A．D12345", "粤AD12345" },
        { validate_plate, "临时", NULL },
        { validate_uscc, "91350100m000100y43", "91350100M000100Y43" },
        { validate_uscc, "91350100M000100Y44", NULL },
        { validate_engine, "k20c 1234567", "K20C1234567" },
        { validate_engine, "发动机", NULL },
        { validate_doc_no, "11010519491231002x", "11010519491231002X" },
        { validate_doc_no, "H1234567890(01)", "H1234567890(01)" },
        { validate_doc_no, "12", NULL },
        { validate_region, "４４０１０６", "440106" },
        { validate_region, "990106", NULL },
        { validate_region, "44010", NULL },
        { validate_postcode, "５１０６２０", "510620" },
        { validate_postcode, "51062", NULL },
        { validate_pinyin, "Wang Lü", "wang lv" },
        { validate_pinyin, "wang1", NULL },
    };
    static const struct field field = { .name = "name", .zh = "名", .en = "name", .hi = 100 };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct value v = value_text(bytes_str(table[i].raw));
        struct why why = { 0 };
        enum err e = table[i].fn(&field, &arena, &v, &why);
        bool same = table[i].norm == NULL ? e == ERR_INVALID && why.en[0] != '\0'
                                          : e == ERR_OK && bytes_equal(v.s, bytes_str(table[i].norm));
        if (!same) {
            fail_msg("%s", table[i].raw);
        }
        if (e == ERR_OK) {
            struct value again = v;
            assert_int_equal(table[i].fn(&field, &arena, &again, NULL), ERR_OK);
            assert_true(value_equal(again, v));
        }
    }
}

/* Days and dates against a count of one day at a time over four centuries and more. */
static void the_calendar_counts_every_day(void **state)
{
    (void)state;
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    char text[DATE_TEXT_BYTES];
    int64_t ms = -2208988800000;
    for (int year = 1900; year <= 2310; year++) {
        for (int month = 1; month <= 12; month++) {
            bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            int count = days[month - 1] + (month == 2 && leap ? 1 : 0);
            for (int day = 1; day <= count; day++, ms += 86400000) {
                int64_t date = 0;
                int64_t instant = 0;
                size_t n = instant_text(ms, text);
                assert_int_equal(date_parse(bytes_of(text, 10), &date), ERR_OK);
                assert_int_equal(date, year * 10000 + month * 100 + day);
                assert_int_equal(instant_parse(bytes_of(text, n), &instant), ERR_OK);
                assert_int_equal(instant, ms);
            }
            assert_false(date_is_valid(year * 10000 + month * 100 + count + 1, false));
        }
    }
}

static void age_counts_birthdays(void **state)
{
    (void)state;
    assert_int_equal(age_on(19900307, 20260306), 35);
    assert_int_equal(age_on(19900307, 20260307), 36);
    assert_int_equal(age_on(307, 20260307), -1);
    assert_int_equal(age_on(20270101, 20260307), -1);
    assert_int_equal(date_add_years(20240229, 4), 20280229);
    assert_int_equal(date_add_years(20240229, 1), 20250228);
}

static void blanks_and_invisible_signs_go(void **state)
{
    (void)state;
    struct bytes out = { 0 };
    assert_int_equal(text_clean(&arena, BYTES_LIT("\ufeff　 王 \u200b\u00a0 小明\t"), false, &out), ERR_OK);
    assert_true(bytes_equal(out, BYTES_LIT("王 小明")));
    assert_int_equal(text_clean(&arena, BYTES_LIT("一\r\n\r\n 二\t三"), true, &out), ERR_OK);
    assert_true(bytes_equal(out, BYTES_LIT("一\n二 三")));
    assert_int_equal(text_clean(&arena, BYTES_LIT("\u202e王"), false, &out), ERR_OK);
    assert_true(bytes_equal(out, BYTES_LIT("王")));
    assert_int_equal(text_clean(&arena, BYTES_LIT("王\x1b[2J"), false, &out), ERR_INVALID);
    assert_int_equal(text_clean(&arena, BYTES_LIT("王\xc2\x85"), false, &out), ERR_INVALID);
    assert_int_equal(text_trim(BYTES_LIT(" \u3000\n")).len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identity_cards),
        TEST(vehicle_numbers),
        TEST(organisation_codes),
        TEST(plates),
        TEST(contact_numbers),
        TEST(normal_forms),
        TEST(the_calendar_counts_every_day),
        TEST(age_counts_birthdays),
        TEST(blanks_and_invisible_signs_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
