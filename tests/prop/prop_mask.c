/*
 * For any input, well-formed or not: a mask succeeds, differs from the clear text, is valid UTF-8, shows at most k
 * characters of it, and those only at the ends. Text from people also keeps: what parses is accepted again, and parses
 * to itself. JIPAN_SEED replays a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "schema/base/utf8.h"
#include "schema/catalogue.h"
#include "schema/region.h"
#include "tests/lib/testkit.h"

enum { ROUNDS = 4000, TEXT_MAX = 120 };

static uint64_t seed;
static struct rng rng;
static struct arena arena;

static const char *const pieces[] = { "王", "欧阳", "小明", "阿依古丽", "·", "•", "．", "　", " ", "13900001234", "139",
    "0208765", "4321", "@", "example.com", ".", "-", "*", "**", "***", "LTE", "STA125TA000001", "粤", "A", "D", "12345",
    "4401061990", "03078513", "X", "广东省", "广州市", "天河区", "体育西路189号", "\xff", "\xe7\x8e", "\xed\xa0\x80",
    "\xf0\xa0\xae\xb7", "９", "１３９", "E", "+86", "转", "已登记", "\x01", "\n", "\u0301", "\u202e", "挂", "(", ")" };

/* Pieces of the kinds of text that occur, or plain bytes. */
static struct bytes random_text(uint8_t out[TEXT_MAX])
{
    size_t n = 0;
    size_t parts = 1 + test_random_below(&rng, 6);
    for (size_t i = 0; i < parts; i++) {
        const char *piece = pieces[test_random_below(&rng, ARRAY_LEN(pieces))];
        size_t len = strlen(piece);
        if (test_random_below(&rng, 8) == 0) {
            out[n++] = (uint8_t)test_random(&rng);
        }
        if (n + len < TEXT_MAX - 8) {
            memcpy(out + n, piece, len);
            n += len;
        }
    }
    return bytes_of(out, n);
}

/* A well-formed value of the field's kind with one random byte changed, so that odd shapes near the right ones occur.
 */
static struct bytes near_miss(enum mask mask, uint8_t out[TEXT_MAX])
{
    static const char *const forms[MASK_COUNT] = { [MASK_NAME] = "阿依古丽·吐尔逊",
        [MASK_MOBILE_OR_OTHER] = "13900001234",
        [MASK_ID_NUMBER] = "440106199003078513",
        [MASK_PLATE] = "粤AD12345",
        [MASK_VIN] = "LTESTA125TA000001",
        [MASK_TAIL4] = "K20C1234567",
        [MASK_ADDRESS] = "广东省广州市天河区体育西路" };
    const char *form = forms[mask] == NULL ? "教师" : forms[mask];
    size_t n = strlen(form);
    memcpy(out, form, n);
    switch (test_random_below(&rng, 4)) {
    case 0:
        out[test_random_below(&rng, n)] = (uint8_t)test_random(&rng);
        break;
    case 1:
        n -= test_random_below(&rng, n);
        break;
    case 2:
        out[n++] = (uint8_t)test_random(&rng);
        break;
    default:
        out[test_random_below(&rng, n)] = (uint8_t)('0' + test_random_below(&rng, 10));
        break;
    }
    return bytes_of(out, n);
}

/* How many characters of the clear text a mask may show. */
static size_t allowed(enum mask mask)
{
    switch (mask) {
    case MASK_NAME:
        return 2;
    case MASK_MOBILE_OR_OTHER:
        return 7;
    case MASK_ID_NUMBER:
        return 3;
    case MASK_PLATE:
    case MASK_TAIL4:
        return 4;
    case MASK_VIN:
        return 7;
    case MASK_HIDE:
    case MASK_ADDRESS:
    case MASK_BIRTH:
    case MASK_NONE:
    case MASK_COUNT:
        break;
    }
    return 0;
}

static size_t shown_characters(struct bytes text)
{
    size_t n = 0;
    uint32_t cp = 0;
    while (utf8_next(&text, &cp)) {
        n += cp == '*' || cp == 0xB7 ? 0 : 1;
    }
    return n;
}

/* The part of a mask that the table shows by rule: the domain of an address of the net, the district of a home. */
static struct bytes without_rule(enum mask mask, struct bytes masked)
{
    if (mask == MASK_ADDRESS) {
        size_t n = region_prefix(masked);
        return bytes_of(masked.ptr + n, masked.len - n);
    }
    const uint8_t *at = mask == MASK_MOBILE_OR_OTHER ? memchr(masked.ptr, '@', masked.len) : NULL;
    return at == NULL ? masked : bytes_of(masked.ptr, (size_t)(at - masked.ptr));
}

static void fail_on(const struct field *f, const char *what)
{
    fail_msg("seed %llu: %s: %s", (unsigned long long)seed, f->name, what);
}

static void check_mask(const struct field *f, struct bytes text)
{
    struct bytes masked = { 0 };
    struct bytes on_file = BYTES_LIT("已登记");
    if (field_mask(f, &arena, value_text(text), &masked) != ERR_OK) {
        fail_on(f, "no mask");
    }
    if (bytes_equal(masked, text) || masked.len == 0) {
        fail_on(f, "the clear text");
    }
    if (!utf8_is_valid(masked)) {
        fail_on(f, "not UTF-8");
    }
    if (!bytes_equal(masked, on_file) && shown_characters(without_rule(f->mask, masked)) > allowed(f->mask)) {
        fail_on(f, "shows too much");
    }
    if (bytes_equal(masked, on_file) && f->mask != MASK_HIDE && f->mask != MASK_BIRTH) {
        fail_on(f, "hidden by mistake");
    }
}

static void check_parse(const struct field *f, struct bytes text)
{
    struct value v = VALUE_NONE;
    struct value again = VALUE_NONE;
    struct bytes canonical = { 0 };
    if (field_parse(f, &arena, text, &v, NULL) != ERR_OK || f->merge == MERGE_DERIVED) {
        return;
    }
    if (v.type == VALUE_NULL) {
        return;
    }
    if (field_accepts(f, &arena, v) != ERR_OK) {
        fail_on(f, "parsed, yet not accepted");
    }
    if (field_text(f, &arena, v, &canonical) != ERR_OK || field_parse(f, &arena, canonical, &again, NULL) != ERR_OK) {
        fail_on(f, "its own text does not parse");
    }
    bool is_notes = v.type == VALUE_SET; /* notes may hold the sign that joins them */
    if (!is_notes && !value_equal(v, again)) {
        fail_on(f, "parses to something else");
    }
}

static void masks_fail_closed(void **state)
{
    (void)state;
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    for (int round = 0; round < ROUNDS; round++) {
        const struct entity_desc *entity = &d[test_random_below(&rng, count)];
        for (size_t i = 0; i < entity->field_count; i++) {
            const struct field *f = &entity->fields[i];
            uint8_t text[TEXT_MAX];
            struct bytes input = test_random_below(&rng, 2) == 0 ? random_text(text) : near_miss(f->mask, text);
            if (f->mask != MASK_NONE) {
                check_mask(f, input);
            }
            check_parse(f, input);
        }
        arena_reset(&arena);
    }
}

static void numbers_are_never_shown(void **state)
{
    (void)state;
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    for (int round = 0; round < ROUNDS; round++) {
        const struct entity_desc *entity = &d[test_random_below(&rng, count)];
        for (size_t i = 0; i < entity->field_count; i++) {
            const struct field *f = &entity->fields[i];
            struct value v = value_int((int64_t)(test_random(&rng) >> test_random_below(&rng, 64)));
            struct bytes masked = { 0 };
            struct bytes clear = { 0 };
            assert_int_equal(field_text(f, &arena, v, &clear), ERR_OK);
            assert_int_equal(field_mask(f, &arena, v, &masked), ERR_OK);
            if (f->mask != MASK_NONE && bytes_equal(masked, clear)) {
                fail_on(f, "the clear number");
            }
        }
        arena_reset(&arena);
    }
}

int main(void)
{
    const char *text = getenv("JIPAN_SEED");
    seed = text == NULL ? 20260307 : strtoull(text, NULL, 10);
    rng = test_rng(seed);
    arena_init(&arena, test_mem(), 64 << 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_fail_closed),
        cmocka_unit_test(numbers_are_never_shown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return failed;
}
