/*
 * The sample generator: equal input gives equal customers, numbers are valid, shares are as promised, names are no
 * keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/base/utf8.h"
#include "schema/validate.h"
#include "tests/lib/sample.h"

#include <stdio.h>

enum { MANY = 100000 };

static struct sample_customer customer_of(unsigned station, uint64_t index)
{
    struct sample s = { .seed = 7, .station = station };
    struct sample_customer c;
    sample_make(&s, index, &c);
    return c;
}

static bool same_text(const struct sample_customer *a, const struct sample_customer *b)
{
    for (unsigned c = 0; c < SAMPLE_COLUMNS; c++) {
        if (!bytes_equal(sample_cell(a, (enum sample_column)c), sample_cell(b, (enum sample_column)c))) {
            return false;
        }
    }
    return true;
}

static void a_customer_depends_on_seed_station_and_index_only(void **state)
{
    (void)state;
    struct sample_customer a = customer_of(1, 4242);
    (void)customer_of(2, 1);
    struct sample_customer b = customer_of(1, 4242);
    assert_true(same_text(&a, &b));
    b = customer_of(1, 4243);
    assert_false(same_text(&a, &b));
    struct sample other = { .seed = 8, .station = 1 };
    sample_make(&other, 4242, &b);
    assert_false(same_text(&a, &b));
}

/* A change of the generator changes every recorded figure of tests and benches: this line makes it visible. */
static void the_first_customer_is_pinned(void **state)
{
    (void)state;
    struct sample_customer c = customer_of(1, 0);
    char line[512];
    (void)snprintf(line, sizeof line, "%s|%s|%s|%s|%s|%s", c.full_name, c.sex, c.birth_date, c.mobile, c.vin, c.region);
    assert_string_equal(line, "李雅静|F|1993-03-11|18242284312|LTESTC332HA000000|440114");
}

static void numbers_are_valid(void **state)
{
    (void)state;
    size_t cards = 0;
    size_t codes = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        struct sample_customer c = customer_of(1 + (unsigned)(i % 3), i);
        assert_true(mobile_is_valid(bytes_str(c.mobile)));
        assert_true(c.mobile2[0] == 0 || mobile_is_valid(bytes_str(c.mobile2)));
        assert_true(c.landline[0] == 0 || landline_is_valid(bytes_str(c.landline)));
        assert_true(c.email[0] == 0 || email_is_valid(bytes_str(c.email)));
        assert_true(region_is_known(bytes_str(c.region)));
        if (c.vin[0] != 0) {
            assert_true(vin_check_is_valid(bytes_str(c.vin)));
        }
        assert_true(c.plate[0] == 0 || plate_is_valid(bytes_str(c.plate)));
        if (c.id_card[0] != 0) {
            cards++;
            assert_true(id_card_is_valid(bytes_str(c.id_card)));
            assert_memory_equal(c.id_card + 14, "00", 2);
            assert_int_equal((c.id_card[16] - '0') % 2, c.sex[0] == 'M');
        }
        if (c.uscc[0] != 0) {
            codes++;
            assert_true(uscc_is_valid(bytes_str(c.uscc)));
        }
        for (unsigned k = 0; k < SAMPLE_COLUMNS; k++) {
            assert_true(utf8_is_valid(sample_cell(&c, (enum sample_column)k)));
        }
    }
    assert_true(cards > 2500 && codes > 400);
}

static void assert_share(size_t count, size_t of, unsigned per_mille, unsigned tolerance)
{
    size_t got = count * 1000 / of;
    assert_in_range(got, per_mille - tolerance, per_mille + tolerance);
}

static void shares_are_as_promised(void **state)
{
    (void)state;
    struct sample s = { .seed = 7, .station = 1, .dirty_percent = 10 };
    size_t zhang_wei = 0;
    size_t wang = 0;
    size_t persons = 0;
    size_t male = 0;
    size_t cards = 0;
    size_t dirty = 0;
    size_t visits = 0;
    size_t shared = 0;
    char mobile_before[sizeof((struct sample_customer *)0)->mobile] = "";
    for (uint64_t i = 0; i < MANY; i++) {
        struct sample_customer c;
        sample_make(&s, i, &c);
        persons += strcmp(c.kind, "个人") == 0;
        male += c.sex[0] == 'M';
        cards += c.id_card[0] != 0;
        zhang_wei += strcmp(c.full_name, "张伟") == 0;
        wang += strncmp(c.full_name, "王", 3) == 0;
        dirty += c.dirt != SAMPLE_DIRT_NONE;
        visits += strcmp(c.origin, "来店") == 0;
        shared += i % 2 == 1 && strcmp(c.mobile, mobile_before) == 0;
        memcpy(mobile_before, c.mobile, sizeof mobile_before);
    }
    assert_true(zhang_wei > 100);
    assert_share(persons, MANY, 970, 5);
    assert_share(male, persons, 580, 12);
    assert_share(cards, MANY, 150, 15);
    assert_share(wang, MANY, 70, 6);
    assert_share(dirty, MANY, 100, 6);
    assert_share(visits, MANY, 520, 10);
    assert_share(shared, MANY / 2, 30, 8);
}

static void every_set_holds_the_special_names(void **state)
{
    (void)state;
    assert_true(sample_special_name_count() >= 20);
    for (unsigned station = 1; station <= 3; station++) {
        for (size_t k = 0; k < sample_special_name_count(); k++) {
            struct sample_customer c = customer_of(station, 2 * k + 1);
            if (c.twin == SAMPLE_TWIN_NONE) {
                assert_string_equal(c.full_name, sample_special_name(k));
            }
        }
    }
}

static void assert_twin(const struct sample_customer *a, const struct sample_customer *b)
{
    bool same_name = strcmp(a->full_name, b->full_name) == 0;
    bool same_mobile = strcmp(a->mobile, b->mobile) == 0;
    switch (b->twin) {
    case SAMPLE_TWIN_NONE:
        assert_false(same_mobile);
        break;
    case SAMPLE_TWIN_SAME:
        assert_true(same_name && same_mobile);
        break;
    case SAMPLE_TWIN_FAMILY:
        assert_true(same_mobile);
        break;
    case SAMPLE_TWIN_CAR:
        assert_true(a->vin[0] != 0 && strcmp(a->vin, b->vin) == 0);
        assert_false(same_mobile);
        break;
    case SAMPLE_TWIN_NEW_MOBILE:
        assert_true(strcmp(a->id_card, b->id_card) == 0 && (a->id_card[0] != 0 || a->uscc[0] != 0));
        assert_false(same_mobile);
        break;
    case SAMPLE_TWIN_NAME:
        assert_false(same_name || same_mobile);
        break;
    }
}

static void stations_share_persons(void **state)
{
    (void)state;
    size_t counts[SAMPLE_TWIN_NAME + 1] = { 0 };
    for (uint64_t i = 0; i < 50000; i++) {
        struct sample_customer a = customer_of(1, i);
        struct sample_customer b = customer_of(2, i);
        assert_int_equal(a.twin, SAMPLE_TWIN_NONE);
        assert_twin(&a, &b);
        counts[b.twin]++;
    }
    size_t twins = 50000 - counts[SAMPLE_TWIN_NONE];
    assert_share(twins, 50000, 60, 5);
    assert_share(counts[SAMPLE_TWIN_SAME], twins, 500, 40);
    assert_share(counts[SAMPLE_TWIN_FAMILY], twins, 200, 30);
    assert_share(counts[SAMPLE_TWIN_CAR], twins, 150, 30);
    assert_share(counts[SAMPLE_TWIN_NEW_MOBILE], twins, 100, 25);
    assert_share(counts[SAMPLE_TWIN_NAME], twins, 50, 20);
}

static void every_kind_of_dirt_occurs_and_is_dirty(void **state)
{
    (void)state;
    struct sample clean = { .seed = 7, .station = 1 };
    struct sample spoilt = { .seed = 7, .station = 1, .dirty_percent = 100 };
    size_t counts[SAMPLE_DIRT_COUNT] = { 0 };
    size_t unchanged = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        struct sample_customer a;
        struct sample_customer b;
        sample_make(&clean, i, &a);
        sample_make(&spoilt, i, &b);
        counts[b.dirt]++;
        unchanged += same_text(&a, &b);
        if (b.dirt == SAMPLE_DIRT_PHONE_SHORT || b.dirt == SAMPLE_DIRT_PHONE_EXPONENT) {
            assert_false(mobile_is_valid(bytes_str(b.mobile)));
        }
    }
    assert_int_equal(counts[SAMPLE_DIRT_NONE], 0);
    for (size_t d = 1; d < SAMPLE_DIRT_COUNT; d++) {
        assert_true(counts[d] > 100);
    }
    assert_true(unchanged < 200); /* a missing VIN has no letters to mistake, two equal digits swap to the same */
}

static void full_customers_have_every_value(void **state)
{
    (void)state;
    struct sample s = { .seed = 3, .station = 2, .fills_all = true };
    size_t bytes = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        struct sample_customer c;
        sample_make(&s, i, &c);
        for (unsigned k = 0; k < SAMPLE_COLUMNS; k++) {
            struct bytes cell = sample_cell(&c, (enum sample_column)k);
            bytes += cell.len;
            assert_true(cell.len > 0 || strcmp(c.kind, "单位") == 0);
        }
    }
    assert_in_range(bytes / 1000, 340, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_customer_depends_on_seed_station_and_index_only),
        cmocka_unit_test(the_first_customer_is_pinned),
        cmocka_unit_test(numbers_are_valid),
        cmocka_unit_test(shares_are_as_promised),
        cmocka_unit_test(every_set_holds_the_special_names),
        cmocka_unit_test(stations_share_persons),
        cmocka_unit_test(every_kind_of_dirt_occurs_and_is_dirty),
        cmocka_unit_test(full_customers_have_every_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
