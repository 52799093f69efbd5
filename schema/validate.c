/*
 * Owns: validators of names, dates of birth and plain codes, and how a refusal names its field. Numbers with arithmetic
 * are in validate_number.c, telephone numbers and addresses of the net in validate_contact.c.
 */
#include "schema/validate.h"

#include "schema/base/utf8.h"
#include "schema/text.h"

enum { WHY_BYTES = 240 };

/* Appends as much of text as fits, cut at a character. */
static size_t append(char *to, size_t at, const char *text)
{
    size_t len = strlen(text);
    size_t room = WHY_BYTES - 1 - at;
    if (len > room) {
        len = room;
        while (len > 0 && ((unsigned char)text[len] & 0xC0U) == 0x80U) {
            len--;
        }
    }
    memcpy(to + at, text, len);
    to[at + len] = '\0';
    return at + len;
}

enum err why_field(struct why *why, const struct field *f, enum err e, const char *zh, const char *en)
{
    char both[2][WHY_BYTES];
    const char *label[2] = { f->zh, f->en };
    const char *colon[2] = { "：", ": " };
    const char *text[2] = { zh, en };
    for (size_t i = 0; i < 2; i++) {
        size_t at = append(both[i], 0, label[i]);
        at = append(both[i], at, " (");
        at = append(both[i], at, f->name);
        at = append(both[i], at, ")");
        at = append(both[i], at, colon[i]);
        (void)append(both[i], at, text[i]);
    }
    return why_set(why, e, both[0], both[1]);
}

static bool is_middle_dot(uint32_t cp)
{
    return cp == 0xB7 || cp == 0x2022 || cp == 0x2027 || cp == 0x22C5 || cp == 0x30FB || cp == 0xFF0E || cp == 0xFF65;
}

/* Every middle dot becomes U+00B7, without blanks around it and never twice in a row. */
enum err validate_name(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    uint8_t *to = arena_alloc(a, v->s.len + 4);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    struct bytes rest = v->s;
    size_t n = 0;
    uint32_t cp = 0;
    bool has_letter = false;
    bool after_dot = true; /* so that a leading dot goes */
    bool dot_waits = false;
    bool gap_waits = false;
    while (utf8_next(&rest, &cp)) {
        if (is_middle_dot(cp)) {
            dot_waits = !after_dot;
            continue;
        }
        if (cp == ' ') {
            gap_waits = !after_dot;
            continue;
        }
        if (dot_waits) {
            n += utf8_put(0xB7, to + n);
        } else if (gap_waits) {
            to[n++] = ' ';
        }
        dot_waits = false;
        gap_waits = false;
        after_dot = false;
        has_letter = has_letter || cp >= 0x80 || (cp < 0x80 && is_letter((uint8_t)cp));
        n += utf8_put(cp, to + n);
    }
    if (!has_letter) {
        return why_field(why, f, ERR_INVALID, "没有文字，不是名称", "has no letters, so it is not a name");
    }
    v->s = bytes_of(to, n);
    return ERR_OK;
}

enum err validate_pinyin(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    uint8_t *to = arena_alloc(a, v->s.len);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    struct bytes rest = v->s;
    size_t n = 0;
    uint32_t cp = 0;
    while (utf8_next(&rest, &cp)) {
        if (cp == 0xFC || cp == 0xDC) {
            to[n++] = 'v';
        } else if (cp == ' ' || cp == '\'' || (cp < 0x80 && is_letter((uint8_t)cp))) {
            to[n++] = to_lower((uint8_t)cp);
        } else {
            return why_field(why, f, ERR_INVALID, "只用字母和空格，如 wang xiaoming",
                "letters and blanks only, as in wang xiaoming");
        }
    }
    v->s = bytes_of(to, n);
    return ERR_OK;
}

/* The age limits need today's date, so they are the caller's (age_on). */
enum err validate_birth(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    (void)a;
    if (!date_is_valid(v->i, true) || v->i / 10000 > 2199) {
        return why_field(why, f, ERR_INVALID, "应为 1990-03-07，或只有月日 --03-07",
            "wanted 1990-03-07, or --03-07 for month and day only");
    }
    return ERR_OK;
}

bool region_is_known(struct bytes text)
{
    static const uint8_t provinces[] = { 11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45,
        46, 50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82 };
    if (text.len != 6 || !text_is_digits(text)) {
        return false;
    }
    int province = (text.ptr[0] - '0') * 10 + (text.ptr[1] - '0');
    for (size_t i = 0; i < ARRAY_LEN(provinces); i++) {
        if (provinces[i] == province) {
            return true;
        }
    }
    return false;
}

enum err validate_region(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    struct bytes text = { 0 };
    enum err e = text_fold(a, v->s, "", false, &text);
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e != ERR_OK || !region_is_known(text)) {
        return why_field(
            why, f, ERR_INVALID, "应为 6 位行政区划代码，如 440106", "wanted a 6-digit region code, as in 440106");
    }
    v->s = text;
    return ERR_OK;
}

enum err validate_postcode(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    struct bytes text = { 0 };
    enum err e = text_fold(a, v->s, "", false, &text);
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e != ERR_OK || text.len != 6 || !text_is_digits(text)) {
        return why_field(why, f, ERR_INVALID, "应为 6 位数字，如 510620", "wanted 6 digits, as in 510620");
    }
    v->s = text;
    return ERR_OK;
}
