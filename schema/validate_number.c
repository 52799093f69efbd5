/*
 * Owns: numbers that carry their own arithmetic or pattern: identity card (GB 11643), vehicle (GB 16735), organisation
 * (GB 32100), plate, engine. Invariant: a normal form is ASCII upper case without blanks (a plate starts with a
 * province). Does not ask whether a number was ever issued.
 */
#include "schema/base/utf8.h"
#include "schema/text.h"
#include "schema/validate.h"

enum { ID_CARD_LEN = 18, OLD_ID_CARD_LEN = 15, VIN_LEN = 17, VIN_CHECK_AT = 8, USCC_LEN = 18, CALENDAR_YEARS = 400 };

static int64_t number_of(const uint8_t *digits, size_t len)
{
    int64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        v = v * 10 + (digits[i] - '0');
    }
    return v;
}

/* ISO 7064 MOD 11-2 over 17 digits. */
static uint8_t id_card_check(const uint8_t *digits)
{
    static const uint8_t weights[] = { 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2 };
    int sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(weights); i++) {
        sum += (digits[i] - '0') * weights[i];
    }
    return (uint8_t) "10X98765432"[sum % 11];
}

bool id_card_is_valid(struct bytes text)
{
    if (text.len != ID_CARD_LEN || !text_is_digits(bytes_of(text.ptr, ID_CARD_LEN - 1)) ||
        !region_is_known(bytes_of(text.ptr, 6))) {
        return false;
    }
    /* The calendar repeats after 400 years, so that the standard's own example, born in 1880, is a date as well. */
    int64_t birth = number_of(text.ptr + 6, 8);
    bool is_date = birth / 10000 >= 1800 && date_is_valid(birth + CALENDAR_YEARS * 10000, false);
    return is_date && text.ptr[ID_CARD_LEN - 1] == id_card_check(text.ptr);
}

/* The value of a sign in the sum of a vehicle number; -1 for signs that do not occur (I, O, Q and anything else). */
static int vin_sign(uint8_t c)
{
    static const char values[] = "12345678?12345?7?923456789"; /* A to Z */
    if (is_digit(c)) {
        return c - '0';
    }
    return is_upper(c) && values[c - 'A'] != '?' ? values[c - 'A'] - '0' : -1;
}

static bool vin_shape_is_valid(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (vin_sign(text.ptr[i]) < 0) {
            return false;
        }
    }
    return text.len == VIN_LEN;
}

bool vin_check_is_valid(struct bytes text)
{
    static const uint8_t weights[] = { 8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2 };
    if (!vin_shape_is_valid(text)) {
        return false;
    }
    int sum = 0;
    for (size_t i = 0; i < VIN_LEN; i++) {
        sum += vin_sign(text.ptr[i]) * weights[i];
    }
    return text.ptr[VIN_CHECK_AT] == (uint8_t) "0123456789X"[sum % 11];
}

/* Makers outside China need not use the check sign; numbers of Chinese makers (L...) must. */
bool vin_is_valid(struct bytes text)
{
    return vin_shape_is_valid(text) && (text.ptr[0] != 'L' || vin_check_is_valid(text));
}

bool uscc_is_valid(struct bytes text)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    static const uint8_t weights[] = { 1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28 };
    if (text.len != USCC_LEN) {
        return false;
    }
    int sum = 0;
    int last = 0;
    for (size_t i = 0; i < USCC_LEN; i++) {
        const char *at = text.ptr[i] == 0 ? NULL : strchr(alphabet, text.ptr[i]);
        if (at == NULL) {
            return false;
        }
        last = (int)(at - alphabet);
        sum += i < ARRAY_LEN(weights) ? last * weights[i] : 0;
    }
    return last == (31 - sum % 31) % 31;
}

static bool is_province_sign(uint32_t cp)
{
    struct bytes signs = BYTES_LIT("京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼");
    uint32_t sign = 0;
    while (utf8_next(&signs, &sign)) {
        if (sign == cp) {
            return true;
        }
    }
    return false;
}

static bool is_plate_sign(uint8_t c)
{
    return is_digit(c) || (is_upper(c) && c != 'I' && c != 'O');
}

static bool is_energy_letter(uint8_t c)
{
    return c >= 'A' && c <= 'K' && c != 'I';
}

/* The part after province and letter of a new energy plate: small cars lead with the letter, large ones end with it. */
static bool energy_tail_is_valid(const uint8_t *tail)
{
    if (is_energy_letter(tail[0]) && is_plate_sign(tail[1])) {
        return text_is_digits(bytes_of(tail + 2, 4));
    }
    return text_is_digits(bytes_of(tail, 5)) && is_energy_letter(tail[5]);
}

/* Five signs; trailers, driving schools and the police end with a character of their own. */
static bool plain_tail_is_valid(struct bytes tail)
{
    for (size_t i = 0; i < 4; i++) {
        if (tail.len < 5 || !is_plate_sign(tail.ptr[i])) {
            return false;
        }
    }
    struct bytes last = bytes_of(tail.ptr + 4, tail.len - 4);
    return (last.len == 1 && is_plate_sign(last.ptr[0])) || bytes_equal(last, BYTES_LIT("挂")) ||
           bytes_equal(last, BYTES_LIT("学")) || bytes_equal(last, BYTES_LIT("警"));
}

bool plate_is_valid(struct bytes text)
{
    uint32_t province = 0;
    if (!utf8_next(&text, &province) || !is_province_sign(province) || text.len < 6) {
        return false;
    }
    uint8_t office = text.ptr[0];
    struct bytes tail = bytes_of(text.ptr + 1, text.len - 1);
    if (!is_upper(office) || office == 'I' || office == 'O') {
        return false;
    }
    return tail.len == 6 ? energy_tail_is_valid(tail.ptr) : plain_tail_is_valid(tail);
}

/* Folds v to the form the numbers above expect; ERR_INVALID and ERR_NOMEM as text_fold. */
static enum err fold(struct arena *a, struct value *v, const char *drop)
{
    return text_fold(a, v->s, drop, true, &v->s);
}

enum err validate_uscc(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    struct value text = *v;
    enum err e = fold(a, &text, "-");
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e != ERR_OK || !uscc_is_valid(text.s)) {
        return why_field(why, f, ERR_INVALID, "应为 18 位，且校验位要对", "wanted 18 signs with a right check sign");
    }
    *v = text;
    return ERR_OK;
}

enum err validate_vin(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    struct value text = *v;
    enum err e = fold(a, &text, "-*");
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e != ERR_OK || !vin_shape_is_valid(text.s)) {
        return why_field(why, f, ERR_INVALID, "应为 17 位字母和数字，没有 I、O、Q（是否应为 1、0）",
            "wanted 17 letters and digits without I, O, Q (perhaps 1 or 0 is meant)");
    }
    if (!vin_is_valid(text.s)) {
        return why_field(why, f, ERR_INVALID, "校验位（第 9 位）不对，请对照行驶证",
            "the check sign (the 9th) does not fit; compare the vehicle licence");
    }
    *v = text;
    return ERR_OK;
}

enum err validate_plate(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    struct value text = *v;
    uint8_t *to = arena_alloc(a, v->s.len);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    struct bytes rest = v->s;
    size_t n = 0;
    uint32_t cp = 0;
    while (utf8_next(&rest, &cp)) { /* 粤A·12345 */
        if (cp != 0xB7 && cp != 0x2022 && cp != 0x30FB && cp != 0xFF0E) {
            n += utf8_put(cp, to + n);
        }
    }
    text.s = bytes_of(to, n);
    enum err e = fold(a, &text, "-.");
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e != ERR_OK || !plate_is_valid(text.s)) {
        return why_field(why, f, ERR_INVALID, "应为 7 位，新能源 8 位，如 粤A12345、粤AD12345",
            "wanted 7 signs, 8 for new energy, as in 粤A12345 or 粤AD12345");
    }
    *v = text;
    return ERR_OK;
}

enum err validate_engine(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    struct value text = *v;
    enum err e = fold(a, &text, "");
    if (e == ERR_NOMEM) {
        return e;
    }
    for (size_t i = 0; e == ERR_OK && i < text.s.len; i++) {
        uint8_t c = text.s.ptr[i];
        e = is_digit(c) || is_upper(c) || c == '-' ? ERR_OK : ERR_INVALID;
    }
    if (e != ERR_OK) {
        return why_field(why, f, ERR_INVALID, "只用字母、数字和连字符", "letters, digits and hyphens only");
    }
    *v = text;
    return ERR_OK;
}

/* Any document: letters, digits and brackets. What is right for its type is asked by doc_no_complete. */
enum err validate_doc_no(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    struct value text = *v;
    enum err e = fold(a, &text, "-");
    if (e == ERR_NOMEM) {
        return e;
    }
    for (size_t i = 0; e == ERR_OK && i < text.s.len; i++) {
        uint8_t c = text.s.ptr[i];
        e = is_digit(c) || is_upper(c) || c == '(' || c == ')' ? ERR_OK : ERR_INVALID;
    }
    if (e != ERR_OK || text.s.len < 5) {
        return why_field(why, f, ERR_INVALID, "应为 5 位以上字母和数字", "wanted 5 or more letters and digits");
    }
    *v = text;
    return ERR_OK;
}

/* The 15-digit form of before 1999: 19 goes in after the region, the check sign at the end. */
static enum err id_card_lengthen(struct arena *a, struct bytes old, struct bytes *out)
{
    uint8_t *to = arena_alloc(a, ID_CARD_LEN);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    memcpy(to, old.ptr, 6);
    memcpy(to + 6, "19", 2);
    memcpy(to + 8, old.ptr + 6, OLD_ID_CARD_LEN - 6);
    to[ID_CARD_LEN - 1] = id_card_check(to);
    *out = bytes_of(to, ID_CARD_LEN);
    return ERR_OK;
}

static bool length_between(struct bytes text, size_t lo, size_t hi)
{
    return text.len >= lo && text.len <= hi;
}

enum err doc_no_complete(const struct field *f, int64_t doc_type, struct arena *a, struct value *v, struct why *why)
{
    struct bytes text = v->s;
    switch (doc_type) {
    case CODE_DOC_ID_CARD:
    case CODE_DOC_DRIVER:
        if (text.len == OLD_ID_CARD_LEN && text_is_digits(text)) {
            enum err e = id_card_lengthen(a, text, &text);
            if (e != ERR_OK) {
                return e;
            }
        }
        if (!id_card_is_valid(text)) {
            return why_field(why, f, ERR_INVALID, "应为 18 位身份证号，出生日期和校验位要对",
                "wanted an 18-digit identity number with a right date of birth and check sign");
        }
        break;
    case CODE_DOC_PASSPORT:
        if (!length_between(text, 6, 12)) {
            return why_field(why, f, ERR_INVALID, "护照号码应为 6 至 12 位", "a passport number has 6 to 12 signs");
        }
        break;
    case CODE_DOC_HK_MACAU:
        if (!length_between(text, 8, 18)) {
            return why_field(why, f, ERR_INVALID, "通行证号码应为 8 至 18 位", "a permit number has 8 to 18 signs");
        }
        break;
    case CODE_DOC_LICENCE:
        if (!uscc_is_valid(text) && !(text.len == 15 && text_is_digits(text))) {
            return why_field(why, f, ERR_INVALID, "应为 18 位统一社会信用代码或 15 位注册号",
                "wanted the 18-sign social credit code or a 15-digit registration number");
        }
        break;
    default: /* a type of a newer node: the general form is all that can be asked */
        break;
    }
    v->s = text;
    return ERR_OK;
}
