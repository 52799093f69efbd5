/*
 * Owns: the normal form of telephone numbers and e-mail addresses. Invariant: normalising a normal form changes
 * nothing, whatever its type. Never guesses a missing area code, never picks one of two numbers.
 */
#include "schema/base/utf8.h"
#include "schema/text.h"
#include "schema/validate.h"

enum { MOBILE_LEN = 11, EMAIL_LOCAL_MAX = 64, EMAIL_MAX = 254 };

bool mobile_is_valid(struct bytes text)
{
    return text.len == MOBILE_LEN && text_is_digits(text) && text.ptr[0] == '1' && text.ptr[1] >= '3';
}

/* 010 and 02x have three digits of area, all others four; the rest has seven or eight and starts with 2 to 9. */
bool landline_is_valid(struct bytes text)
{
    if (text.len < 10 || text.len > 12 || !text_is_digits(text) || text.ptr[0] != '0') {
        return false;
    }
    uint8_t zone = text.ptr[1];
    if (zone == '0' || (zone == '1' && text.ptr[2] != '0')) {
        return false;
    }
    size_t area = zone <= '2' ? 3 : 4;
    size_t local = text.len - area;
    return (local == 7 || local == 8) && text.ptr[area] >= '2';
}

static bool is_atom(uint8_t c)
{
    return is_letter(c) || is_digit(c) || (c > 0x20 && c < 0x7F && strchr("!#$%&'*+/=?^_`{|}~-", c) != NULL);
}

/* Atoms joined by single points. */
static bool local_is_valid(struct bytes text)
{
    if (text.len == 0 || text.len > EMAIL_LOCAL_MAX) {
        return false;
    }
    bool after_atom = false;
    for (size_t i = 0; i < text.len; i++) {
        bool is_point = text.ptr[i] == '.';
        if (is_point ? !after_atom : !is_atom(text.ptr[i])) {
            return false;
        }
        after_atom = !is_point;
    }
    return after_atom;
}

/* Labels of letters, digits and inner hyphens; at least two; the last one of letters only. */
static bool domain_is_valid(struct bytes text)
{
    size_t labels = 0;
    size_t start = 0;
    bool letters_only = true;
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] != '.') {
            uint8_t c = text.ptr[i];
            if (!is_letter(c) && !is_digit(c) && c != '-') {
                return false;
            }
            letters_only = letters_only && is_letter(c);
            continue;
        }
        size_t len = i - start;
        if (len == 0 || len > 63 || text.ptr[start] == '-' || text.ptr[i - 1] == '-') {
            return false;
        }
        labels++;
        if (i == text.len) {
            return labels >= 2 && letters_only && len >= 2;
        }
        start = i + 1;
        letters_only = true;
    }
    return false;
}

bool email_is_valid(struct bytes text)
{
    const uint8_t *at = text.len == 0 ? NULL : memchr(text.ptr, '@', text.len);
    if (at == NULL || text.len > EMAIL_MAX) {
        return false;
    }
    size_t local = (size_t)(at - text.ptr);
    return local_is_valid(bytes_of(text.ptr, local)) &&
           domain_is_valid(bytes_of(text.ptr + local + 1, text.len - local - 1));
}

static bool starts_with(struct bytes text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.ptr, prefix, len) == 0;
}

static struct bytes without(struct bytes text, size_t n)
{
    return bytes_of(text.ptr + n, text.len - n);
}

/* Takes the country code of China off; true when there was one that leaves no doubt (+86 or 0086). */
static bool take_country(struct bytes *text)
{
    size_t n = starts_with(*text, "+86") ? 3 : starts_with(*text, "0086") ? 4 : 0;
    *text = without(*text, n);
    return n > 0;
}

/* text is folded, without blanks, hyphens and brackets. A view of it. */
static bool take_mobile(struct bytes text, struct bytes *out)
{
    if (!take_country(&text) && text.len == MOBILE_LEN + 2 && starts_with(text, "86")) {
        text = without(text, 2);
    }
    if (text.len == MOBILE_LEN + 1 && starts_with(text, "0")) {
        text = without(text, 1);
    }
    *out = text;
    return mobile_is_valid(text);
}

/* An extension behind 转, # or ext is not part of the normal form; value_raw keeps it. */
static struct bytes without_extension(struct bytes text)
{
    static const char *const marks[] = { "转", "#", "ext", "x", "EXT", "X" };
    for (size_t i = 0; i < text.len; i++) {
        for (size_t m = 0; m < ARRAY_LEN(marks); m++) {
            struct bytes rest = without(text, i);
            size_t len = strlen(marks[m]);
            if (starts_with(rest, marks[m]) && rest.len <= len + 6 && text_is_digits(without(rest, len))) {
                return bytes_of(text.ptr, i);
            }
        }
    }
    return text;
}

static enum err take_landline(struct arena *a, struct bytes text, struct bytes *out, bool *is_one)
{
    bool abroad = take_country(&text);
    text = without_extension(text);
    *is_one = false;
    if (abroad && text.len > 0 && text.ptr[0] != '0') {
        uint8_t *to = arena_alloc(a, text.len + 1);
        if (to == NULL) {
            return ERR_NOMEM;
        }
        to[0] = '0';
        memcpy(to + 1, text.ptr, text.len);
        text = bytes_of(to, text.len + 1);
    }
    *out = text;
    *is_one = landline_is_valid(text);
    return ERR_OK;
}

/* Domains know no case; the part before @ is the owner's. */
static enum err take_email(struct arena *a, struct bytes text, struct bytes *out, bool *is_one)
{
    *is_one = email_is_valid(text);
    if (!*is_one) {
        return ERR_OK;
    }
    uint8_t *to = arena_alloc(a, text.len);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    bool in_domain = false;
    for (size_t i = 0; i < text.len; i++) {
        to[i] = in_domain ? to_lower(text.ptr[i]) : text.ptr[i];
        in_domain = in_domain || text.ptr[i] == '@';
    }
    *out = bytes_of(to, text.len);
    return ERR_OK;
}

enum contact_kind { KIND_MOBILE = 1, KIND_LANDLINE = 2, KIND_EMAIL = 4 };

/* Tries the wanted kinds in turn. *is_one tells whether one fitted. */
static enum err contact_try(struct arena *a, struct bytes raw, unsigned kinds, struct bytes *out, bool *is_one)
{
    struct bytes number = { 0 };
    struct bytes mail = { 0 };
    if ((kinds & KIND_MOBILE) != 0 && mobile_is_valid(raw)) {
        *is_one = true; /* as it should be: nothing to fold */
        *out = raw;
        return ERR_OK;
    }
    enum err e = text_fold(a, raw, "-()", false, &number);
    if (e != ERR_OK) {
        return e;
    }
    *is_one = (kinds & KIND_MOBILE) != 0 && take_mobile(number, out);
    if (!*is_one && (kinds & KIND_LANDLINE) != 0) {
        e = take_landline(a, number, out, is_one);
    }
    if (e == ERR_OK && !*is_one && (kinds & KIND_EMAIL) != 0) {
        e = text_fold(a, raw, "", false, &mail);
        if (e == ERR_OK) {
            e = take_email(a, mail, out, is_one);
        }
    }
    return e;
}

static bool holds(struct bytes text, const char *part)
{
    for (size_t i = 0; i < text.len; i++) {
        if (starts_with(without(text, i), part)) {
            return true;
        }
    }
    return false;
}

static enum err why_not_mobile(struct bytes raw, struct why *why)
{
    if (holds(raw, "E+") || holds(raw, "e+")) {
        return why_set(why, ERR_INVALID, "手机号被电子表格改成了科学计数，请按文本重新导出",
            "the spreadsheet turned the mobile number into 1.39E+10; export it as text");
    }
    if (holds(raw, "/") || holds(raw, "、") || holds(raw, ",") || holds(raw, "，")) {
        return why_set(why, ERR_INVALID, "一格里有两个号码，请分成两条", "two numbers in one place; enter them apart");
    }
    return why_set(why, ERR_INVALID, "手机号应为 11 位，以 13 至 19 开头",
        "a mobile number has 11 digits and starts with 13 to 19");
}

enum err contact_normalise(int64_t type, struct arena *a, struct bytes raw, struct bytes *out, struct why *why)
{
    unsigned kinds = type == CODE_CONTACT_MOBILE                                ? KIND_MOBILE
                     : type == CODE_CONTACT_HOME || type == CODE_CONTACT_OFFICE ? KIND_LANDLINE | KIND_MOBILE
                     : type == CODE_CONTACT_EMAIL                               ? KIND_EMAIL
                                                  : KIND_MOBILE | KIND_LANDLINE | KIND_EMAIL;
    struct bytes found = { 0 };
    bool is_one = false;
    enum err e = contact_try(a, raw, kinds, &found, &is_one);
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e == ERR_OK && is_one) {
        *out = found;
        return ERR_OK;
    }
    if (type == CODE_CONTACT_MOBILE) {
        return why_not_mobile(raw, why);
    }
    if (type == CODE_CONTACT_HOME || type == CODE_CONTACT_OFFICE) {
        return why_set(why, ERR_INVALID, "座机应为区号加 7 至 8 位，如 020-87654321",
            "a landline is the area code and 7 or 8 digits, as in 020-87654321");
    }
    if (type == CODE_CONTACT_EMAIL) {
        return why_set(
            why, ERR_INVALID, "电子邮件应如 zhangsan@example.com", "an e-mail address looks like zhangsan@example.com");
    }
    *out = raw;
    return ERR_OK;
}

enum err validate_contact_norm(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    (void)f;
    return contact_normalise(CODE_CONTACT_OTHER, a, v->s, &v->s, why);
}
