/*
 * Owns: the way from text to a value and the re-check of a value from a peer. Invariant: whatever field_parse gives,
 * field_accepts takes. Texts of refusals name the field and what is wanted, never the value.
 */
#include "schema/base/utf8.h"
#include "schema/catalogue.h"
#include "schema/date.h"
#include "schema/text.h"
#include "schema/validate.h"

enum {
    LONG_TEXT_CHARS = 200, /* texts this long may have several lines, and are whole elements of a set */
    NAME_CHARS_MAX = 32, /* logins and station codes */
    CODE_KEY_BYTES = 60,
    WANTED_BYTES = 200,
    INT_DIGITS_MAX = 18,
};

static const char not_text_zh[] = "含有不能显示的控制字符";
static const char not_text_en[] = "holds control characters";

static enum err too_long(const struct field *f, struct why *why)
{
    return why_field(why, f, ERR_LIMIT, "太长", "too long");
}

/* Cleans one text and counts its characters. */
static enum err clean(const struct field *f, struct arena *a, struct bytes text, struct bytes *out, struct why *why)
{
    enum err e = text_clean(a, text, f->hi >= LONG_TEXT_CHARS, out);
    return e == ERR_INVALID ? why_field(why, f, e, not_text_zh, not_text_en) : e;
}

static enum err check_text(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    enum err e = clean(f, a, v->s, &v->s, why);
    if (e != ERR_OK) {
        return e;
    }
    if (v->s.len > VALUE_MAX_BYTES) {
        return too_long(f, why);
    }
    if (f->validate != NULL) {
        e = f->validate(f, a, v, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    size_t chars = utf8_count(v->s);
    if (chars > (size_t)f->hi) {
        return too_long(f, why);
    }
    if (chars < (size_t)f->lo) {
        return why_field(why, f, ERR_INVALID, "太短", "too short");
    }
    return ERR_OK;
}

/* Logins and station codes: 1 to 32 characters without blanks, signs of paths or anything invisible. */
static enum err check_shape(const struct field *f, struct value *v, struct why *why)
{
    struct bytes rest = v->s;
    uint32_t cp = 0;
    size_t chars = 0;
    while (utf8_next(&rest, &cp)) {
        bool is_bad = cp < 0x80
                          ? !is_letter((uint8_t)cp) && !is_digit((uint8_t)cp) && cp != '_' && cp != '-' && cp != '.'
                          : cp < 0xA0 || code_point_is_blank(cp) || code_point_is_invisible(cp);
        if (is_bad) {
            return why_field(why, f, ERR_INVALID, "只用字母、数字、汉字和 _ - .", "letters, digits and _ - . only");
        }
        chars++;
    }
    return rest.len > 0 || chars == 0 || chars > NAME_CHARS_MAX
               ? why_field(why, f, ERR_INVALID, "应为 1 至 32 个字符", "wanted 1 to 32 characters")
               : ERR_OK;
}

static enum err check_range(const struct field *f, int64_t i, struct why *why)
{
    return i < f->lo || i > f->hi ? why_field(why, f, ERR_INVALID, "超出允许的范围", "out of range") : ERR_OK;
}

static enum err check_date(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    if (f->validate != NULL) {
        return f->validate(f, a, v, why);
    }
    return date_is_valid(v->i, false)
               ? ERR_OK
               : why_field(why, f, ERR_INVALID, "应为日期，如 2026-03-07", "wanted a date, as in 2026-03-07");
}

static enum err check_element(const struct field *f, struct arena *a, struct bytes element, struct why *why)
{
    struct bytes text = { 0 };
    enum err e = clean(f, a, element, &text, why);
    if (e != ERR_OK) {
        return e;
    }
    size_t most = f->type == FIELD_CODES ? CODE_KEY_BYTES : (size_t)f->hi;
    if (utf8_count(text) > most || text.len > VALUE_ELEMENT_MAX_BYTES) {
        return too_long(f, why);
    }
    return bytes_equal(text, element) ? ERR_OK : ERR_INVALID;
}

static enum err check_set(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    struct bytes rest = v->s;
    struct bytes element = { 0 };
    while (value_set_next(&rest, &element)) {
        enum err e = check_element(f, a, element, why);
        if (e != ERR_OK) {
            return e;
        }
    }
    return rest.len > 0 || v->s.len == 0 ? ERR_INVALID : ERR_OK;
}

/* Range, shape and validator of a value that has the type of the field. */
static enum err check_value(const struct field *f, struct arena *a, struct value *v, struct why *why)
{
    switch (f->type) {
    case FIELD_TEXT:
        return check_text(f, a, v, why);
    case FIELD_USER:
    case FIELD_STATION:
        return check_shape(f, v, why);
    case FIELD_INT:
    case FIELD_BOOL:
        return check_range(f, v->i, why);
    case FIELD_CODE:
        return v->i >= 1 && v->i <= INT32_MAX ? ERR_OK : ERR_INVALID;
    case FIELD_DATE:
        return check_date(f, a, v, why);
    case FIELD_INSTANT:
        return instant_is_valid(v->i) ? ERR_OK : ERR_INVALID;
    case FIELD_REF:
        return v->s.len == RECORD_ID_BYTES ? ERR_OK : ERR_INVALID;
    case FIELD_CODES:
    case FIELD_TEXTS:
        return check_set(f, a, v, why);
    }
    return ERR_INVALID;
}

static enum value_type type_of(enum field_type t)
{
    switch (t) {
    case FIELD_TEXT:
    case FIELD_USER:
    case FIELD_STATION:
        return VALUE_TEXT;
    case FIELD_REF:
        return VALUE_ID;
    case FIELD_CODES:
    case FIELD_TEXTS:
        return VALUE_SET;
    case FIELD_INT:
    case FIELD_BOOL:
    case FIELD_CODE:
    case FIELD_DATE:
    case FIELD_INSTANT:
        break;
    }
    return VALUE_INT;
}

enum err field_accepts(const struct field *f, struct arena *a, struct value v)
{
    if (f->merge == MERGE_DERIVED) {
        return ERR_INVALID;
    }
    if (v.type == VALUE_NULL) {
        return (f->flags & FIELD_REQUIRED) != 0 ? ERR_INVALID : ERR_OK;
    }
    if (v.type != type_of(f->type)) {
        return ERR_INVALID;
    }
    struct value normal = v;
    enum err e = check_value(f, a, &normal, NULL);
    if (e != ERR_OK) {
        return e == ERR_NOMEM ? e : ERR_INVALID;
    }
    return value_equal(normal, v) ? ERR_OK : ERR_INVALID;
}

bool field_knows(const struct field *f, struct value v)
{
    return f->type != FIELD_CODE || v.type != VALUE_INT || code_by_number(f->codes, v.i) != NULL;
}

static enum err parse_int(const struct field *f, struct bytes text, int64_t *out, struct why *why)
{
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    size_t from = is_negative ? 1 : 0;
    struct bytes digits = bytes_of(text.ptr + from, text.len - from);
    if (!text_is_digits(digits) || digits.len > INT_DIGITS_MAX) {
        return why_field(why, f, ERR_INVALID, "应为整数", "wanted a whole number");
    }
    int64_t v = 0;
    for (size_t i = 0; i < digits.len; i++) {
        v = v * 10 + (digits.ptr[i] - '0');
    }
    *out = is_negative ? -v : v;
    return ERR_OK;
}

static bool is_one_of(struct bytes text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes word = bytes_str(words[i]);
        bool same = word.len == text.len;
        for (size_t j = 0; same && j < text.len; j++) {
            same = to_lower(text.ptr[j]) == word.ptr[j];
        }
        if (same) {
            return true;
        }
    }
    return false;
}

static enum err parse_bool(const struct field *f, struct bytes text, int64_t *out, struct why *why)
{
    static const char *const yes[] = { "1", "true", "yes", "y", "是", "有" };
    static const char *const no[] = { "0", "false", "no", "n", "否", "无" };
    bool is_yes = is_one_of(text, yes, ARRAY_LEN(yes));
    if (!is_yes && !is_one_of(text, no, ARRAY_LEN(no))) {
        return why_field(why, f, ERR_INVALID, "应为 1（是）或 0（否）", "wanted 1 (yes) or 0 (no)");
    }
    *out = is_yes ? 1 : 0;
    return ERR_OK;
}

static size_t put_word(char *to, size_t at, const char *word)
{
    size_t len = strlen(word);
    if (at + len >= WANTED_BYTES) {
        return at;
    }
    memcpy(to + at, word, len);
    to[at + len] = '\0';
    return at + len;
}

/* "应为 M 男、F 女、U 未知 之一": as many of the list as fit. */
static enum err why_code(const struct field *f, struct why *why)
{
    char zh[WANTED_BYTES] = "";
    char en[WANTED_BYTES] = "";
    size_t z = put_word(zh, 0, "应为其中之一：");
    size_t n = put_word(en, 0, "wanted one of: ");
    for (size_t i = 0; i < f->codes->count; i++) {
        const struct code *c = &f->codes->codes[i];
        bool is_plain = strcmp(c->key, c->zh) == 0;
        z = put_word(zh, z, i == 0 ? "" : "、");
        z = put_word(zh, z, c->key);
        z = put_word(zh, z, is_plain ? "" : " ");
        z = put_word(zh, z, is_plain ? "" : c->zh);
        n = put_word(en, n, i == 0 ? "" : ", ");
        n = put_word(en, n, c->key);
        n = put_word(en, n, " ");
        n = put_word(en, n, c->en);
    }
    return why_field(why, f, ERR_INVALID, zh, en);
}

static enum err parse_ref(const struct field *f, struct arena *a, struct bytes text, struct value *out, struct why *why)
{
    const struct entity_desc *d = catalogue_entity(f->ref);
    size_t name_len = d == NULL ? 0 : strlen(d->name);
    struct record_id *id = arena_alloc(a, sizeof(*id));
    if (id == NULL) {
        return ERR_NOMEM;
    }
    if (text.len == name_len + 1 + ID_TEXT_BYTES && memcmp(text.ptr, d->name, name_len) == 0 &&
        text.ptr[name_len] == '/') {
        text = bytes_of(text.ptr + name_len + 1, ID_TEXT_BYTES);
    }
    if (record_id_parse(text, id) != ERR_OK) {
        return why_field(
            why, f, ERR_INVALID, "应为记录编号：实体名/32 位十六进制", "wanted a record id: entity/32 hex digits");
    }
    *out = value_id(id);
    return ERR_OK;
}

/* Where the next element ends: at a separator, or at a line break when elements are long texts. */
static size_t element_length(const struct field *f, struct bytes text)
{
    static const char *const marks[] = { "\n", "、", "，", ",", "；", ";", "|" };
    bool is_long = f->type == FIELD_TEXTS && f->hi >= LONG_TEXT_CHARS;
    size_t mark_count = is_long ? 1 : ARRAY_LEN(marks);
    for (size_t i = 0; i < text.len; i++) {
        for (size_t m = 0; m < mark_count; m++) {
            if (text.ptr[i] != (uint8_t)marks[m][0]) {
                continue;
            }
            size_t len = strlen(marks[m]);
            if (text.len - i >= len && memcmp(text.ptr + i, marks[m], len) == 0) {
                return i;
            }
        }
    }
    return text.len;
}

static enum err add_element(
    const struct field *f, struct arena *a, struct bytes part, struct value *set, struct why *why)
{
    struct bytes text = { 0 };
    enum err e = clean(f, a, part, &text, why);
    if (e != ERR_OK || text.len == 0) {
        return e;
    }
    if (f->type == FIELD_CODES) {
        const struct code *c = code_by_text(f->codes, text);
        if (c == NULL) {
            return why_code(f, why);
        }
        text = bytes_str(c->key);
    }
    e = check_element(f, a, text, why);
    if (e == ERR_OK) {
        e = value_set_add(a, *set, text, set);
    }
    return e == ERR_LIMIT ? too_long(f, why) : e;
}

static enum err parse_set(const struct field *f, struct arena *a, struct bytes text, struct value *out, struct why *why)
{
    struct value set = VALUE_NONE;
    uint32_t mark = 0;
    while (text.len > 0) {
        size_t len = element_length(f, text);
        enum err e = add_element(f, a, bytes_of(text.ptr, len), &set, why);
        if (e != ERR_OK) {
            return e;
        }
        text = bytes_of(text.ptr + len, text.len - len);
        (void)utf8_next(&text, &mark); /* the separator is one character */
    }
    *out = set;
    return ERR_OK;
}

static enum err parse_date(const struct field *f, struct bytes text, int64_t *out, struct why *why)
{
    if (f->type == FIELD_DATE && date_parse(text, out) != ERR_OK) {
        return why_field(why, f, ERR_INVALID, "应为日期，如 2026-03-07", "wanted a date, as in 2026-03-07");
    }
    if (f->type == FIELD_INSTANT && instant_parse(text, out) != ERR_OK) {
        return why_field(why, f, ERR_INVALID, "应为时间，如 2026-03-07 09:40（北京时间）",
            "wanted a time, as in 2026-03-07T09:40+08:00");
    }
    return ERR_OK;
}

/* Values held as a number. text is trimmed. */
static enum err parse_number(
    const struct field *f, struct arena *a, struct bytes text, struct value *out, struct why *why)
{
    if (f->type == FIELD_CODE) {
        const struct code *c = code_by_text(f->codes, text);
        if (c == NULL) {
            return why_code(f, why);
        }
        *out = value_int(c->number);
        return ERR_OK;
    }
    bool is_instant = f->type == FIELD_INSTANT; /* the blank between date and time stays */
    enum err e = is_instant ? text_clean(a, text, false, &text) : text_fold(a, text, "", false, &text);
    if (e != ERR_OK) {
        return e == ERR_INVALID ? why_field(why, f, e, not_text_zh, not_text_en) : e;
    }
    int64_t i = 0;
    if (f->type == FIELD_BOOL) {
        e = parse_bool(f, text, &i, why);
    } else if (f->type == FIELD_INT) {
        e = parse_int(f, text, &i, why);
    } else {
        e = parse_date(f, text, &i, why);
    }
    if (e == ERR_OK) {
        *out = value_int(i);
    }
    return e;
}

enum err field_parse(const struct field *f, struct arena *a, struct bytes text, struct value *out, struct why *why)
{
    if (!text_is_clean(text)) {
        if (!utf8_is_valid(text)) {
            return why_field(why, f, ERR_INVALID, "不是有效的 UTF-8 文字", "not valid UTF-8");
        }
        text = text_trim(text);
    }
    struct value v = VALUE_NONE;
    enum err e = ERR_OK;
    if (text.len == 0) {
        *out = v;
        return ERR_OK;
    }
    switch (type_of(f->type)) {
    case VALUE_TEXT:
        e = value_dup(a, value_text(text), &v);
        break;
    case VALUE_ID:
        e = parse_ref(f, a, text, &v, why);
        break;
    case VALUE_SET:
        e = parse_set(f, a, text, &v, why);
        break;
    case VALUE_INT:
    case VALUE_NULL:
    case VALUE_TYPE_COUNT:
        e = parse_number(f, a, text, &v, why);
        break;
    }
    if (e == ERR_OK && v.type != VALUE_NULL) {
        e = check_value(f, a, &v, why);
    }
    if (e == ERR_OK) {
        *out = v;
    }
    return e;
}
