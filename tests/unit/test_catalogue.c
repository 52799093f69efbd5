/*
 * The catalogue as a whole: what static assertions cannot see (names, order, code lists), lookups, parsing and
 * printing, and the rules of a record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/catalogue.h"
#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"
#include "tests/lib/testkit.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, test_mem(), 4 << 20);
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
    const struct entity_desc *d = catalogue_entity_by_name(bytes_str(entity));
    assert_non_null(d);
    const struct field *f = catalogue_field_by_name(d, bytes_str(name));
    assert_non_null(f);
    return f;
}

static const char *text_of(const struct field *f, struct value v)
{
    struct bytes out = { 0 };
    assert_int_equal(field_text(f, &arena, v, &out), ERR_OK);
    return arena_cstr(&arena, out);
}

/* The canonical text of what was entered, or NULL when it is refused. */
static const char *entered(const char *entity, const char *name, const char *text)
{
    const struct field *f = field_of(entity, name);
    struct value v = VALUE_NONE;
    struct why why = { 0 };
    enum err e = field_parse(f, &arena, bytes_str(text), &v, &why);
    if (e != ERR_OK) {
        assert_true(why.zh[0] != '\0' && why.en[0] != '\0');
        assert_non_null(strstr(why.zh, f->zh));
        assert_non_null(strstr(why.en, f->name));
        return NULL;
    }
    assert_int_equal(field_accepts(f, &arena, v), f->merge == MERGE_DERIVED ? ERR_INVALID : ERR_OK);
    return text_of(f, v);
}

static void numbers_names_and_labels_are_unique(void **state)
{
    (void)state;
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    assert_int_equal(count, 17);
    for (size_t e = 0; e < count; e++) {
        assert_true(e == 0 || d[e].entity > d[e - 1].entity);
        for (size_t i = 0; i < d[e].field_count; i++) {
            const struct field *f = &d[e].fields[i];
            for (size_t j = 0; j < i; j++) {
                assert_string_not_equal(f->name, d[e].fields[j].name);
                assert_string_not_equal(f->zh, d[e].fields[j].zh);
                assert_int_not_equal(f->number, d[e].fields[j].number);
            }
            assert_ptr_equal(catalogue_field(&d[e], f->number), f);
            assert_ptr_equal(catalogue_field_by_name(&d[e], bytes_str(f->name)), f);
            assert_int_equal(catalogue_field_index(&d[e], f), i);
        }
        assert_null(catalogue_field(&d[e], 0));
        assert_null(catalogue_field(&d[e], 999));
        assert_ptr_equal(catalogue_entity(d[e].entity), &d[e]);
        assert_ptr_equal(catalogue_entity_by_name(bytes_str(d[e].name)), &d[e]);
    }
}

static void children_name_their_customer_first(void **state)
{
    (void)state;
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    for (size_t e = 0; e < count; e++) {
        bool is_child = d[e].home == HOME_CHILD || d[e].home == HOME_CHILD_OR_BOOK;
        const struct field *first = &d[e].fields[0];
        assert_int_equal(is_child, (first->flags & FIELD_DOSSIER) != 0);
        if (is_child) {
            assert_string_equal(first->name, "customer");
            assert_int_equal(first->number, 1);
            assert_int_equal(first->ref, ENTITY_CUSTOMER);
            assert_int_equal((first->flags & FIELD_REQUIRED) != 0, d[e].home == HOME_CHILD);
        }
    }
}

static void events_hold_events_only(void **state)
{
    (void)state;
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    for (size_t e = 0; e < count; e++) {
        for (size_t i = 0; d[e].is_event && i < d[e].field_count; i++) {
            const struct field *f = &d[e].fields[i];
            assert_true((f->flags & FIELD_DOSSIER) != 0 || f->merge == MERGE_EVENT || f->merge == MERGE_DERIVED);
        }
    }
}

/* Contact, identity, financial, sensitive and behavioural values: masked, and not for statistics if they name a person.
 */
static void personal_values_are_masked(void **state)
{
    (void)state;
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    for (size_t e = 0; e < count; e++) {
        for (size_t i = 0; i < d[e].field_count; i++) {
            const struct field *f = &d[e].fields[i];
            assert_true(f->class_ <= CLASS_BUSINESS || f->mask != MASK_NONE);
            if (f->class_ == CLASS_CONTACT) {
                assert_int_equal(f->purposes & (PURPOSE_P8 | PURPOSE_P11), 0);
            }
        }
    }
}

static void code_lists_are_sound(void **state)
{
    (void)state;
    size_t count = 0;
    const struct code_list *const *lists = codes_all(&count);
    assert_true(count >= 40);
    for (size_t l = 0; l < count; l++) {
        for (size_t i = 0; i < lists[l]->count; i++) {
            const struct code *c = &lists[l]->codes[i];
            assert_ptr_equal(code_by_text(lists[l], bytes_str(c->key)), c);
            assert_ptr_equal(code_by_text(lists[l], bytes_str(c->zh)), c);
            assert_ptr_equal(code_by_text(lists[l], bytes_str(c->en)), c);
            assert_ptr_equal(code_by_number(lists[l], c->number), c);
            assert_null(strstr(c->key, "、"));
        }
        assert_null(code_by_number(lists[l], 0));
    }
    assert_ptr_equal(code_by_text(&codes_customer_kind, BYTES_LIT("Person")),
        code_by_number(&codes_customer_kind, CODE_KIND_PERSON));
}

static int32_t rank(const struct code_list *list, int32_t number)
{
    return code_by_number(list, number)->rank;
}

/* domain.md 4.9: a deposit beats a defeat (7), a close stands against a further visit (8). */
static void ranks_follow_the_rulings(void **state)
{
    (void)state;
    assert_true(rank(&codes_result, CODE_RESULT_ORDERED) > rank(&codes_result, CODE_RESULT_DEFEATED));
    assert_true(rank(&codes_result, CODE_RESULT_DEFEATED) > rank(&codes_result, CODE_RESULT_OPEN));
    assert_true(rank(&codes_stage, CODE_STAGE_ORDER) > rank(&codes_stage, CODE_STAGE_CLOSED));
    assert_true(rank(&codes_stage, CODE_STAGE_CLOSED) > rank(&codes_stage, CODE_STAGE_NEGOTIATION));
    for (size_t i = 0; i < codes_stage.count; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(codes_stage.codes[i].rank, codes_stage.codes[j].rank);
        }
    }
    for (size_t i = 0; i < codes_result.count; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(codes_result.codes[i].rank, codes_result.codes[j].rank);
        }
    }
}

static void nearest_names_help(void **state)
{
    (void)state;
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER);
    assert_string_equal(catalogue_nearest_entity(BYTES_LIT("custmer")), "customer");
    assert_null(catalogue_nearest_entity(BYTES_LIT("invoice")));
    assert_string_equal(catalogue_nearest_field(d, BYTES_LIT("fullname")), "full_name");
    assert_null(catalogue_nearest_field(d, BYTES_LIT("x")));
    assert_null(catalogue_nearest_field(d, BYTES_LIT("a_name_that_is_far_longer_than_any_name_of_a_field")));
    const struct entity_desc *cp = catalogue_entity(ENTITY_CONTACT_POINT);
    assert_null(catalogue_nearest_field(cp, BYTES_LIT("blind_inde"))); /* hidden fields are not offered */
    assert_ptr_equal(catalogue_input_alias(cp, BYTES_LIT("value")), catalogue_field(cp, CONTACT_POINT_VALUE_RAW));
    assert_null(catalogue_input_alias(cp, BYTES_LIT("number")));
    assert_null(catalogue_input_alias(d, BYTES_LIT("value")));
}

struct entry {
    const char *entity;
    const char *field;
    const char *text;
    const char *canonical; /* NULL: refused */
};

static void texts_become_values(void **state)
{
    (void)state;
    static const struct entry entries[] = {
        { "customer", "kind", "个人", "个人" },
        { "customer", "kind", " person ", "个人" },
        { "customer", "kind", "公司", NULL },
        { "customer", "sex", "男", "M" },
        { "customer", "sex", "f", "F" },
        { "customer", "managed", "是", "1" },
        { "customer", "managed", "No", "0" },
        { "customer", "managed", "2", NULL },
        { "customer", "birth_date", "1990-03-07", "1990-03-07" },
        { "customer", "birth_date", "1990年3月7日", "1990-03-07" },
        { "customer", "birth_date", "--02-29", "--02-29" },
        { "customer", "birth_date", "3月7日", "--03-07" },
        { "customer", "birth_date", "1990-02-29", NULL },
        { "customer", "birth_date", "1890-01-01", NULL },
        { "customer", "first_contact_at", "2026-03-07T09:40:00Z", "2026-03-07T09:40:00Z" },
        { "customer", "first_contact_at", "2026-03-07 09:40", "2026-03-07T01:40:00Z" },
        { "customer", "first_contact_at", "2026-03-07", "2026-03-06T16:00:00Z" },
        { "customer", "first_contact_at", "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z" },
        { "customer", "first_contact_at", "2024-02-29T12:00:00.250-0330", "2024-02-29T15:30:00.250Z" },
        { "customer", "first_contact_at", "2026-03-07T25:00Z", NULL },
        { "customer", "first_contact_at", "2026-03-07T09:40:00Zx", NULL },
        { "customer", "data_source", "导入、来店,import", "导入、来店" },
        { "customer", "data_source", "导入、不知道", NULL },
        { "customer", "remark", "周末来店，带家人", "周末来店，带家人" },
        { "customer", "remark", "周末来店\n喜欢白色", "周末来店、喜欢白色" },
        { "customer", "occupation", "　教师\t", "教师" },
        { "customer", "occupation", "小学\u3000 教师\u200b", "小学 教师" },
        { "customer", "occupation", "教\x01师", NULL },
        { "customer", "occupation", "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一", NULL },
        { "customer", "occupation", "\xff\xfe", NULL },
        { "customer", "occupation", "", "" },
        { "customer", "created_by", "wang", "wang" },
        { "customer", "created_by", "wang li", NULL },
        { "customer", "created_station", "S1", "S1" },
        { "customer", "created_station", "../S1", NULL },
        { "customer_profile", "colours", "白,黑；白|红", "白、红、黑" },
        { "vehicle", "odometer_km", "１２３４５", "12345" },
        { "vehicle", "odometer_km", "-1", NULL },
        { "vehicle", "odometer_km", "2000001", NULL },
        { "vehicle", "odometer_km", "99999999999999999999", NULL },
        { "vehicle", "odometer_km", "12km", NULL },
        { "vehicle", "made_date", "20260120", "2026-01-20" },
        { "vehicle", "made_date", "--01-20", NULL },
        { "contact_point", "customer", "000102030405060708090a0b0c0d0e0f",
            "customer/000102030405060708090a0b0c0d0e0f" },
        { "contact_point", "customer", "customer/000102030405060708090A0B0C0D0E0F",
            "customer/000102030405060708090a0b0c0d0e0f" },
        { "contact_point", "customer", "vehicle/000102030405060708090a0b0c0d0e0f", NULL },
        { "contact_point", "customer", "customer/0001", NULL },
        { "contact_event", "summary", "第一行\r\n第二行", "第一行\n第二行" },
    };
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        const char *got = entered(entries[i].entity, entries[i].field, entries[i].text);
        bool same = got == NULL || entries[i].canonical == NULL ? got == entries[i].canonical
                                                                : strcmp(got, entries[i].canonical) == 0;
        if (!same) {
            fail_msg("entry %zu (%s): got %s", i, entries[i].text, got == NULL ? "refused" : got);
        }
    }
}

static void refusals_list_the_codes_and_never_the_value(void **state)
{
    (void)state;
    struct value v = VALUE_NONE;
    struct why why = { 0 };
    assert_int_equal(field_parse(field_of("customer", "sex"), &arena, BYTES_LIT("SECRET"), &v, &why), ERR_INVALID);
    assert_non_null(strstr(why.zh, "M 男"));
    assert_non_null(strstr(why.en, "F female"));
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    for (size_t e = 0; e < count; e++) {
        for (size_t i = 0; i < d[e].field_count; i++) {
            const struct field *f = &d[e].fields[i];
            struct why w = { 0 };
            (void)!field_parse(f, &arena, BYTES_LIT("s3cr\x01t"), &v, &w);
            assert_null(strstr(w.zh, "s3cr"));
            assert_null(strstr(w.en, "s3cr"));
        }
    }
}

static void too_long_is_a_limit(void **state)
{
    (void)state;
    static uint8_t text[5000];
    struct value v = VALUE_NONE;
    memset(text, 'x', sizeof(text));
    assert_int_equal(field_parse(field_of("customer", "occupation"), &arena, bytes_of(text, 31), &v, NULL), ERR_LIMIT);
    assert_int_equal(field_parse(field_of("contact_event", "summary"), &arena, bytes_of(text, 500), &v, NULL), ERR_OK);
    assert_int_equal(field_parse(field_of("contact_event", "summary"), &arena, BYTES_OF(text), &v, NULL), ERR_LIMIT);
    assert_int_equal(field_parse(field_of("customer", "remark"), &arena, bytes_of(text, 501), &v, NULL), ERR_LIMIT);
}

static void unknown_codes_of_newer_nodes_print_and_pass(void **state)
{
    (void)state;
    const struct field *f = field_of("customer", "sex");
    assert_string_equal(text_of(f, value_int(12)), "#12");
    assert_string_equal(text_of(f, value_int(INT64_MIN)), "#-9223372036854775808");
    assert_int_equal(field_accepts(f, &arena, value_int(12)), ERR_OK);
    assert_int_equal(field_accepts(f, &arena, value_int(0)), ERR_INVALID);
    assert_int_equal(field_accepts(f, &arena, value_int(INT64_MAX)), ERR_INVALID);
}

static void odd_values_still_have_a_text(void **state)
{
    (void)state;
    assert_string_equal(text_of(field_of("vehicle", "made_date"), value_int(20261399)), "20261399");
    assert_string_equal(text_of(field_of("customer", "first_contact_at"), value_int(INT64_MAX)), "9223372036854775807");
    assert_string_equal(text_of(field_of("customer", "sex"), value_text(BYTES_LIT("x"))), "x");
    assert_string_equal(text_of(field_of("customer", "full_name"), value_int(5)), "5");
    assert_string_equal(text_of(field_of("customer", "full_name"), VALUE_NONE), "");
}

static void values_of_peers_are_checked_again(void **state)
{
    (void)state;
    const struct field *name = field_of("customer", "full_name");
    assert_int_equal(field_accepts(name, &arena, value_text(BYTES_LIT("王小明"))), ERR_OK);
    assert_int_equal(field_accepts(name, &arena, value_text(BYTES_LIT(" 王小明"))), ERR_INVALID);
    assert_int_equal(field_accepts(name, &arena, value_text(BYTES_LIT("阿依古丽•吐尔逊"))), ERR_INVALID);
    assert_int_equal(field_accepts(name, &arena, value_text(BYTES_LIT(""))), ERR_INVALID);
    assert_int_equal(field_accepts(name, &arena, value_int(1)), ERR_INVALID);
    assert_int_equal(field_accepts(name, &arena, VALUE_NONE), ERR_INVALID); /* required */
    assert_int_equal(field_accepts(field_of("customer", "industry"), &arena, VALUE_NONE), ERR_OK);
    assert_int_equal(field_accepts(field_of("customer", "managed"), &arena, value_int(2)), ERR_INVALID);
    assert_int_equal(
        field_accepts(field_of("customer", "age_band"), &arena, value_text(BYTES_LIT("35-39"))), ERR_INVALID);
    assert_int_equal(
        field_accepts(field_of("vehicle", "vin"), &arena, value_text(BYTES_LIT("LTESTA125TA000001"))), ERR_OK);
    assert_int_equal(
        field_accepts(field_of("vehicle", "vin"), &arena, value_text(BYTES_LIT("ltesta125ta000001"))), ERR_INVALID);
    assert_int_equal(
        field_accepts(field_of("contact_point", "value_norm"), &arena, value_text(BYTES_LIT("13900001234"))), ERR_OK);
    assert_int_equal(
        field_accepts(field_of("contact_point", "value_norm"), &arena, value_text(BYTES_LIT("139-0000-1234"))),
        ERR_INVALID);
}

/* ---- rules of a record ---- */

struct record {
    const struct entity_desc *d;
    struct value values[FIELDS_PER_ENTITY_MAX];
    struct why why;
};

static struct record record_of(const char *entity)
{
    struct record r = { .d = catalogue_entity_by_name(bytes_str(entity)) };
    return r;
}

static struct value *value_at(struct record *r, const char *name)
{
    const struct field *f = catalogue_field_by_name(r->d, bytes_str(name));
    f = f == NULL ? catalogue_input_alias(r->d, bytes_str(name)) : f;
    assert_non_null(f);
    return &r->values[catalogue_field_index(r->d, f)];
}

static void put(struct record *r, const char *name, const char *text)
{
    const struct field *f = catalogue_field_by_name(r->d, bytes_str(name));
    f = f == NULL ? catalogue_input_alias(r->d, bytes_str(name)) : f;
    assert_int_equal(field_parse(f, &arena, bytes_str(text), value_at(r, name), NULL), ERR_OK);
}

static const char *shown(struct record *r, const char *name)
{
    return text_of(catalogue_field_by_name(r->d, bytes_str(name)), *value_at(r, name));
}

/* Completes, and completes again to see that nothing more changes. */
static enum err complete(struct record *r)
{
    enum err e = catalogue_complete(r->d, &arena, r->values, &r->why);
    if (e == ERR_OK) {
        struct record again = *r;
        assert_int_equal(catalogue_complete(again.d, &arena, again.values, NULL), ERR_OK);
        for (size_t i = 0; i < r->d->field_count; i++) {
            assert_true(value_equal(again.values[i], r->values[i]));
        }
    }
    return e;
}

static void a_new_customer_gets_its_kind(void **state)
{
    (void)state;
    struct record r = record_of("customer");
    assert_int_equal(complete(&r), ERR_INVALID);
    assert_non_null(strstr(r.why.zh, "姓名 (full_name)"));
    assert_non_null(strstr(r.why.en, "full name (full_name)"));
    put(&r, "full_name", "王小明");
    assert_int_equal(complete(&r), ERR_OK);
    assert_string_equal(shown(&r, "kind"), "个人");
}

static void long_names_are_for_companies(void **state)
{
    (void)state;
    struct record r = record_of("customer");
    put(&r, "full_name", "广州市某某汽车租赁有限公司天河区体育西路第一分公司车队管理部设备组");
    assert_int_equal(complete(&r), ERR_INVALID);
    put(&r, "kind", "单位");
    assert_int_equal(complete(&r), ERR_OK);
    struct record latin = record_of("customer");
    put(&latin, "full_name", "MARIA FERNANDA GONZALEZ DE LA CRUZ");
    assert_int_equal(complete(&latin), ERR_OK);
}

static void a_contact_point_gets_its_normal_form(void **state)
{
    (void)state;
    struct record r = record_of("contact_point");
    put(&r, "value", "+86-139-0000-1234");
    assert_int_equal(complete(&r), ERR_OK);
    assert_string_equal(shown(&r, "value_raw"), "+86-139-0000-1234");
    assert_string_equal(shown(&r, "value_norm"), "13900001234");
    assert_string_equal(shown(&r, "type"), "mobile");
    assert_string_equal(shown(&r, "status"), "active");
    struct record bad = record_of("contact_point");
    put(&bad, "value", "12345");
    assert_int_equal(complete(&bad), ERR_INVALID);
    assert_non_null(strstr(bad.why.zh, "value_raw"));
    assert_null(strstr(bad.why.zh, "12345"));
    struct record none = record_of("contact_point");
    assert_int_equal(complete(&none), ERR_INVALID);
    assert_non_null(strstr(none.why.en, "value_raw"));
}

static void documents_are_checked_by_type(void **state)
{
    (void)state;
    struct record r = record_of("identity_document");
    put(&r, "doc_no", "440106 19900307 851３");
    assert_int_equal(complete(&r), ERR_OK);
    assert_string_equal(shown(&r, "doc_type"), "居民身份证");
    assert_string_equal(shown(&r, "doc_no"), "440106199003078513");
    put(&r, "doc_no", "440106199003078514");
    assert_int_equal(complete(&r), ERR_INVALID);
    put(&r, "doc_type", "护照");
    assert_int_equal(complete(&r), ERR_INVALID); /* 18 digits are no passport either */
    put(&r, "doc_no", "e12345678");
    assert_int_equal(complete(&r), ERR_OK);
    assert_string_equal(shown(&r, "doc_no"), "E12345678");
    put(&r, "doc_type", "营业执照");
    assert_int_equal(complete(&r), ERR_INVALID);
    put(&r, "doc_no", "91350100M000100Y43");
    assert_int_equal(complete(&r), ERR_OK);
    struct record old = record_of("identity_document");
    put(&old, "doc_no", "440524800101001");
    assert_int_equal(complete(&old), ERR_OK);
    assert_string_equal(shown(&old, "doc_no"), "440524198001010013");
}

static void dates_stand_in_order(void **state)
{
    (void)state;
    struct record v = record_of("vehicle");
    put(&v, "vin", "LTESTA125TA000001");
    put(&v, "made_date", "2026-01-20");
    put(&v, "plate_date", "2026-01-19");
    assert_int_equal(complete(&v), ERR_INVALID);
    assert_non_null(strstr(v.why.en, "plate_date"));
    put(&v, "plate_date", "2026-01-20");
    assert_int_equal(complete(&v), ERR_OK);
    struct record a = record_of("customer_assignment");
    put(&a, "staff", "wang");
    put(&a, "from_at", "2026-01-20");
    put(&a, "to_at", "2026-01-19");
    assert_int_equal(complete(&a), ERR_INVALID);
}

static void a_filed_intake_says_when_next(void **state)
{
    (void)state;
    struct record r = record_of("lead_intake");
    put(&r, "channel", "来店");
    assert_int_equal(complete(&r), ERR_OK);
    put(&r, "customer", "000102030405060708090a0b0c0d0e0f");
    assert_int_equal(complete(&r), ERR_INVALID);
    assert_non_null(strstr(r.why.en, "next_contact_at"));
    put(&r, "next_contact_at", "2026-03-09");
    assert_int_equal(complete(&r), ERR_OK);
}

static void every_entity_completes_with_its_required_fields(void **state)
{
    (void)state;
    static const struct entry required[] = {
        { "customer_class", "vip_flag", "granted", NULL },
        { "consent", "purpose", "营销短信", NULL },
        { "opportunity", "model", "SUV-C", NULL },
        { "grade_event", "to_grade", "H", NULL },
        { "contact_event", "mode", "TEL", NULL },
        { "customer_profile", "use", "代步", NULL },
        { "address", "town", "石牌街道", NULL },
        { "vehicle_ownership", "vehicle", "000102030405060708090a0b0c0d0e0f", NULL },
        { "station", "code", "S1", NULL },
        { "staff", "user", "wang", NULL },
        { "followup_task", "kind", "维修后回访", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(required); i++) {
        struct record r = record_of(required[i].entity);
        put(&r, required[i].field, required[i].text);
        enum err e = complete(&r);
        bool needs_more = r.d->entity == ENTITY_CONSENT || r.d->entity == ENTITY_STATION ||
                          r.d->entity == ENTITY_STAFF || r.d->entity == ENTITY_FOLLOWUP_TASK;
        assert_int_equal(e, needs_more ? ERR_INVALID : ERR_OK);
    }
    struct record empty = record_of("address");
    assert_int_equal(complete(&empty), ERR_INVALID);
    struct record o = record_of("opportunity");
    assert_int_equal(complete(&o), ERR_OK);
    assert_string_equal(shown(&o, "stage"), "接待");
    assert_string_equal(shown(&o, "result"), "open");
}

static void stamps_fill_gaps_only(void **state)
{
    (void)state;
    struct record r = record_of("contact_event");
    put(&r, "by", "chen");
    catalogue_stamp(r.d, 1772876400000, BYTES_LIT("wang"), BYTES_LIT("S1"), r.values);
    assert_string_equal(shown(&r, "by"), "chen");
    assert_string_equal(shown(&r, "station"), "S1");
    assert_string_equal(shown(&r, "at"), "2026-03-07T09:40:00Z");
    struct record c = record_of("customer");
    catalogue_stamp(c.d, 1772876400000, BYTES_LIT("wang"), BYTES_LIT("S1"), c.values);
    assert_string_equal(shown(&c, "created_by"), "wang");
    assert_string_equal(shown(&c, "created_station"), "S1");
}

/* ---- derived fields ---- */

static const char *derived(struct record *r, const char *name, int64_t today)
{
    const struct field *f = catalogue_field_by_name(r->d, bytes_str(name));
    struct value v = value_int(77);
    assert_int_equal(field_derive(r->d, f, &arena, r->values, today, &v), ERR_OK);
    return text_of(f, v);
}

static void same_record_fields_are_derived(void **state)
{
    (void)state;
    struct record c = record_of("customer");
    assert_string_equal(derived(&c, "age_band", 20260307), "");
    assert_string_equal(derived(&c, "name_initials", 20260307), "");
    put(&c, "birth_date", "1990-03-08");
    assert_string_equal(derived(&c, "age_band", 20260307), "35-39");
    assert_string_equal(derived(&c, "age_band", 20300307), "35-39");
    assert_string_equal(derived(&c, "age_band", 20300308), "40-44");
    assert_string_equal(derived(&c, "age_band", 20990307), "70+");
    put(&c, "birth_date", "--03-08");
    assert_string_equal(derived(&c, "age_band", 20260307), "");
    put(&c, "name_pinyin", "Wang Xiaoming");
    assert_string_equal(derived(&c, "name_initials", 20260307), "wxm");
    put(&c, "name_pinyin", "ouyang wenjing");
    assert_string_equal(derived(&c, "name_initials", 20260307), "oywj");
    put(&c, "name_pinyin", "zhang zhongguang");
    assert_string_equal(derived(&c, "name_initials", 20260307), "zzg");
    put(&c, "name_pinyin", "xi'an");
    assert_string_equal(derived(&c, "name_initials", 20260307), "xa");
    assert_string_equal(derived(&c, "full_name", 20260307), "");
    struct record v = record_of("vehicle");
    put(&v, "warranty_start", "2024-02-29");
    assert_string_equal(derived(&v, "three_guarantee_to", 20260307), "2026-02-28");
    assert_string_equal(derived(&v, "repair_warranty_to", 20260307), "2027-02-28");
}

static void a_task_knows_its_state(void **state)
{
    (void)state;
    struct record t = record_of("followup_task");
    put(&t, "due_at", "2026-03-10");
    assert_string_equal(derived(&t, "state", 20260310), "open");
    assert_string_equal(derived(&t, "state", 20260311), "overdue");
    put(&t, "cancelled", "1");
    assert_string_equal(derived(&t, "state", 20260311), "cancelled");
    put(&t, "done_by_event", "000102030405060708090a0b0c0d0e0f");
    assert_string_equal(derived(&t, "state", 20260311), "done");
}

/* Every allocation fails once: an error, never a crash, never a half result. */
static void no_memory_is_reported(void **state)
{
    (void)state;
    static const char *const texts[][3] = {
        { "contact_point", "value_norm", "+86 20 87654321 转 801" },
        { "customer", "full_name", "阿依古丽•吐尔逊" },
        { "customer", "data_source", "导入、来店" },
        { "identity_document", "doc_no", "440106 199003078513" },
    };
    for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
        const struct field *f = field_of(texts[t][0], texts[t][1]);
        for (size_t room = 0; room < 400; room += 7) {
            struct arena tiny;
            arena_init(&tiny, test_mem(), room);
            struct value v = value_int(77);
            struct bytes text = { 0 };
            enum err e = field_parse(f, &tiny, bytes_str(texts[t][2]), &v, NULL);
            assert_true(e == ERR_OK || (e == ERR_NOMEM && v.i == 77));
            if (e == ERR_OK) {
                e = field_mask(f, &tiny, v, &text);
                assert_true(e == ERR_OK || e == ERR_NOMEM);
            }
            arena_release(&tiny);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_names_and_labels_are_unique),
        TEST(children_name_their_customer_first),
        TEST(events_hold_events_only),
        TEST(personal_values_are_masked),
        TEST(code_lists_are_sound),
        TEST(ranks_follow_the_rulings),
        TEST(nearest_names_help),
        TEST(texts_become_values),
        TEST(refusals_list_the_codes_and_never_the_value),
        TEST(too_long_is_a_limit),
        TEST(unknown_codes_of_newer_nodes_print_and_pass),
        TEST(odd_values_still_have_a_text),
        TEST(values_of_peers_are_checked_again),
        TEST(a_new_customer_gets_its_kind),
        TEST(long_names_are_for_companies),
        TEST(a_contact_point_gets_its_normal_form),
        TEST(documents_are_checked_by_type),
        TEST(dates_stand_in_order),
        TEST(a_filed_intake_says_when_next),
        TEST(every_entity_completes_with_its_required_fields),
        TEST(stamps_fill_gaps_only),
        TEST(same_record_fields_are_derived),
        TEST(a_task_knows_its_state),
        TEST(no_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
