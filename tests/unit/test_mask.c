/*
 * Masks: exactly the table of domain.md 2.1, and closed on everything odd.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/catalogue.h"
#include "schema/region.h"
#include "tests/lib/testkit.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, test_mem(), 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static const struct field *field_of(const char *entity, const char *name)
{
    const struct field *f = catalogue_field_by_name(catalogue_entity_by_name(bytes_str(entity)), bytes_str(name));
    assert_non_null(f);
    return f;
}

static const char *masked(const struct field *f, struct value v)
{
    struct bytes out = { 0 };
    assert_int_equal(field_mask(f, &arena, v, &out), ERR_OK);
    return arena_cstr(&arena, out);
}

struct shown {
    const char *entity;
    const char *field;
    const char *raw;
    const char *shown;
};

static void the_table(void **state)
{
    (void)state;
    static const struct shown table[] = {
        { "contact_point", "value_norm", "13900001234", "139****1234" },
        { "contact_point", "value_raw", "+86-139-0000-1234", "139****1234" },
        { "contact_point", "value_norm", "02087654321", "0208*****21" },
        { "contact_point", "value_norm", "zhangsan@example.com", "z*******@example.com" },
        { "identity_document", "doc_no", "440106199003078513", "4***************13" },
        { "identity_document", "doc_no", "11010519491231002X", "1***************2X" },
        { "customer", "full_name", "王小明", "王**" },
        { "customer", "full_name", "王明", "王**" },
        { "customer", "full_name", "欧阳文静", "欧阳**" },
        { "customer", "full_name", "尉迟明", "尉迟**" },
        { "customer", "full_name", "阿依古丽·吐尔逊", "阿***·***" },
        { "customer", "full_name", "广州市某某汽车租赁有限公司", "广**" },
        { "customer", "full_name", "SMITH JOHN", "S**" },
        { "customer", "full_name", "𠮷田一郎", "𠮷**" },
        { "vehicle", "plate_no", "粤A12345", "粤A1***5" },
        { "vehicle", "plate_no", "粤AD12345", "粤AD****5" },
        { "vehicle", "plate_no", "川A1234挂", "川A1***挂" },
        { "vehicle", "vin", "LTESTA125TA000001", "LTE**********0001" },
        { "vehicle", "engine_no", "K20C1234567", "*******4567" },
        { "address", "detail", "广东省广州市天河区体育西路189号1203房", "广东省广州市天河区******" },
        { "address", "detail", "天河区体育西路189号1203房", "天河区******" },
        { "address", "detail", "上海市浦东新区惠南镇1号", "上海市浦东新区******" },
        { "customer", "sex", "", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct value v = table[i].raw[0] == '\0' ? VALUE_NONE : value_text(bytes_str(table[i].raw));
        assert_string_equal(masked(field_of(table[i].entity, table[i].field), v), table[i].shown);
    }
    assert_string_equal(masked(field_of("customer", "birth_date"), value_int(19900307)), "--03-07");
    assert_string_equal(masked(field_of("customer", "sex"), value_int(1)), "已登记");
    assert_string_equal(masked(field_of("customer_profile", "income_band"), value_int(1)), "已登记");
    assert_string_equal(masked(field_of("customer", "kind"), value_int(1)), "个人"); /* business: not masked */
}

static void odd_input_gives_asterisks_only(void **state)
{
    (void)state;
    static const struct shown table[] = {
        { "customer", "full_name", "王", "*" },
        { "customer", "full_name", "*", "***" },
        { "customer", "full_name", "***", "****" },
        { "customer", "full_name", "王**", "***" },
        { "customer", "full_name", "欧阳", "欧**" },
        { "customer", "full_name", "欧阳**", "***" },
        { "customer", "full_name", "13900001234", "***" },
        { "customer", "full_name", "·吐尔逊", "***" },
        { "customer", "full_name", "\xe7\x8e", "***" },
        { "customer", "full_name", "王\xff", "***" },
        { "customer", "full_name", "\u0301王", "***" },
        { "contact_point", "value_norm", "139000012345", "***" },
        { "contact_point", "value_norm", "1390000123", "***" },
        { "contact_point", "value_norm", "139****1234", "***" },
        { "contact_point", "value_norm", "139\xff", "***" },
        { "contact_point", "value_norm", "wxid_xiaoming", "***" },
        { "contact_point", "value_norm", "a@example.com", "*@example.com" },
        { "contact_point", "value_norm", "*@example.com", "***" },
        { "contact_point", "value_norm", "-zhang@example.com", "******@example.com" },
        { "contact_point", "value_norm", "zhangsan@", "***" },
        { "identity_document", "doc_no", "44010619900307851", "4***************1" },
        { "identity_document", "doc_no", "440106900307851", "4*************1" },
        { "identity_document", "doc_no", "E12345678", "E*******8" },
        { "identity_document", "doc_no", "E1234", "***" },
        { "identity_document", "doc_no", "４４０１０６１９９００３０７８５１３", "***" },
        { "identity_document", "doc_no", "440106199003078513 王", "***" },
        { "vehicle", "plate_no", "粤A1234", "***" },
        { "vehicle", "plate_no", "粤A123456789", "***" },
        { "vehicle", "plate_no", "临时牌", "***" },
        { "vehicle", "vin", "LTESTA125TA00001", "***" },
        { "vehicle", "vin", "ltesta125ta000001", "***" },
        { "vehicle", "engine_no", "1234567", "***" },
        { "vehicle", "engine_no", "发动机1234567", "***" },
        { "address", "detail", "体育西路189号1203房", "******" },
        { "address", "detail", "天河区", "天河区******" },
        { "address", "detail", "四川省天河区体育西路", "******" },
        { "address", "detail", "王小明家，天河区体育西路", "******" },
        { "address", "detail", "******", "***" },
        { "customer", "occupation", "已登记", "***" },
        { "customer", "occupation", "教师", "已登记" },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *got = masked(field_of(table[i].entity, table[i].field), value_text(bytes_str(table[i].raw)));
        if (strcmp(got, table[i].shown) != 0) {
            fail_msg("row %zu: wanted %s, got %s", i, table[i].shown, got);
        }
    }
}

static void values_of_the_wrong_type_are_hidden(void **state)
{
    (void)state;
    assert_string_equal(masked(field_of("customer", "full_name"), value_int(13900001234)), "已登记");
    assert_string_equal(masked(field_of("customer", "birth_date"), value_int(307)), "已登记");
    assert_string_equal(masked(field_of("customer", "birth_date"), value_int(20261399)), "已登记");
    assert_string_equal(masked(field_of("customer", "birth_date"), value_int(-1)), "已登记");
    assert_string_equal(masked(field_of("customer", "birth_date"), value_text(BYTES_LIT("1990-03-07"))), "已登记");
}

/* A field line that wrongly asks for no mask on personal data would not compile; a hand-made one is hidden all the
 * same. */
static void personal_fields_without_a_mask_are_hidden(void **state)
{
    (void)state;
    struct field f = *field_of("customer", "full_name");
    f.mask = MASK_NONE;
    assert_string_equal(masked(&f, value_text(BYTES_LIT("王小明"))), "已登记");
}

static void regions_have_names(void **state)
{
    (void)state;
    struct region_name name = { 0 };
    assert_true(region_name(BYTES_LIT("440106"), &name));
    assert_string_equal(name.district, "天河区");
    assert_false(region_name(BYTES_LIT("999999"), &name));
    assert_false(region_name(BYTES_LIT("44010"), &name));
    assert_int_equal(region_prefix(BYTES_LIT("广州市天河区")), strlen("广州市天河区"));
    assert_int_equal(region_prefix(BYTES_LIT("成都市天河区")), 0);
    assert_int_equal(region_prefix(BYTES_LIT("")), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_table),
        TEST(odd_input_gives_asterisks_only),
        TEST(values_of_the_wrong_type_are_hidden),
        TEST(personal_fields_without_a_mask_are_hidden),
        TEST(regions_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
