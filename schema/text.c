/*
 * Owns: blanks, invisible characters and widths of text. Table-free; no Unicode normalisation beyond what is written
 * here.
 */
#include "schema/text.h"

#include "schema/base/utf8.h"

enum { FULL_WIDTH_LEAD = 0xEF };

bool code_point_is_blank(uint32_t cp)
{
    return cp == ' ' || cp == '\t' || cp == '\n' || cp == '\r' || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F ||
           cp == 0x3000;
}

bool code_point_is_invisible(uint32_t cp)
{
    return cp == 0xAD || (cp >= 0x200B && cp <= 0x200F) || (cp >= 0x202A && cp <= 0x202E) ||
           (cp >= 0x2060 && cp <= 0x206F) || cp == 0xFEFF;
}

bool code_point_is_han(uint32_t cp)
{
    return cp == 0x3007 || (cp >= 0x3400 && cp <= 0x4DBF) || (cp >= 0x4E00 && cp <= 0x9FFF) ||
           (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x20000 && cp <= 0x3FFFD);
}

static bool is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp <= 0x9F);
}

/* Bytes of the ordinary character at the front: visible ASCII, U+3001 to U+CFFF (nearly all Chinese) or a full-width
 * form. No function of this file changes those, except letters to upper case and full-width forms to ASCII. 0: some
 * other character, or not UTF-8. */
static size_t ordinary(struct bytes text)
{
    const uint8_t *p = text.ptr;
    if (p[0] > 0x20 && p[0] < 0x7F) {
        return 1;
    }
    if (text.len < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80) {
        return 0;
    }
    bool is_wide_blank = p[0] == 0xE3 && p[1] == 0x80 && p[2] == 0x80;
    bool is_full_width = p[0] == FULL_WIDTH_LEAD && (p[1] == 0xBC || p[1] == 0xBD);
    return (p[0] >= 0xE3 && p[0] <= 0xEC && !is_wide_blank) || is_full_width ? 3 : 0;
}

/* Eight bytes of visible ASCII at the front. Numbers, dates and addresses of the net are made of nothing else. */
static bool is_visible_ascii(struct bytes text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones << 7;
    uint64_t word = 0;
    if (text.len < sizeof(word)) {
        return false;
    }
    memcpy(&word, text.ptr, sizeof(word));
    return (word & tops) == 0 && ((word + ones) & tops) == 0 && (((word | tops) - ones * 0x21) & tops) == tops;
}

bool text_is_clean(struct bytes text)
{
    bool after_space = true;
    while (text.len > 0) {
        if (is_visible_ascii(text)) {
            after_space = false;
            text = bytes_of(text.ptr + sizeof(uint64_t), text.len - sizeof(uint64_t));
            continue;
        }
        bool is_space = text.ptr[0] == ' ' && !after_space;
        size_t n = is_space ? 1 : ordinary(text);
        if (n == 0) {
            return false;
        }
        after_space = is_space;
        text = bytes_of(text.ptr + n, text.len - n);
    }
    return !after_space;
}

struct bytes text_trim(struct bytes text)
{
    if (text_is_clean(text)) {
        return text;
    }
    struct bytes rest = text;
    size_t first = text.len;
    size_t end = 0;
    uint32_t cp = 0;
    while (rest.len > 0) {
        size_t at = text.len - rest.len;
        if (!utf8_next(&rest, &cp)) {
            return text; /* not valid UTF-8: not ours to judge */
        }
        if (!code_point_is_blank(cp) && !code_point_is_invisible(cp)) {
            first = at < first ? at : first;
            end = text.len - rest.len;
        }
    }
    return end == 0 ? bytes_of(text.ptr, 0) : bytes_of(text.ptr + first, end - first);
}

static bool is_break(uint32_t cp)
{
    return cp == '\n' || cp == 0x2028 || cp == 0x2029;
}

/* One stretch of blanks: a line break in it, if those are kept, stands for all of it. */
static void put_gap(uint8_t *to, size_t *n, bool has_break)
{
    if (*n > 0) {
        to[(*n)++] = has_break ? '\n' : ' ';
    }
}

enum err text_clean(struct arena *a, struct bytes text, bool is_multiline, struct bytes *out)
{
    if (text_is_clean(text)) {
        *out = text;
        return ERR_OK;
    }
    struct bytes rest = text_trim(text);
    uint8_t *to = arena_alloc(a, rest.len + 4);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    bool in_gap = false;
    bool has_break = false;
    uint32_t cp = 0;
    while (utf8_next(&rest, &cp)) {
        if (code_point_is_invisible(cp)) {
            continue;
        }
        if (code_point_is_blank(cp)) {
            in_gap = true;
            has_break = has_break || (is_multiline && is_break(cp));
            continue;
        }
        if (is_control(cp)) {
            return ERR_INVALID;
        }
        if (in_gap) {
            put_gap(to, &n, has_break);
            in_gap = false;
            has_break = false;
        }
        n += utf8_put(cp, to + n);
    }
    if (rest.len > 0) {
        return ERR_INVALID;
    }
    *out = bytes_of(to, n);
    return ERR_OK;
}

/* Whether text_fold would leave the text as it is. */
static bool is_folded(struct bytes text, const char *drop, bool is_upper_)
{
    while (text.len > 0) {
        uint8_t c = text.ptr[0];
        size_t n = ordinary(text);
        bool is_changed = n == 1 ? (is_upper_ && c >= 'a' && c <= 'z') || (!is_letter(c) && strchr(drop, c) != NULL)
                                 : c == FULL_WIDTH_LEAD;
        if (n == 0 || is_changed) {
            return false;
        }
        text = bytes_of(text.ptr + n, text.len - n);
    }
    return true;
}

enum err text_fold(struct arena *a, struct bytes text, const char *drop, bool is_upper_, struct bytes *out)
{
    if (is_folded(text, drop, is_upper_)) {
        *out = text;
        return ERR_OK;
    }
    uint8_t *to = arena_alloc(a, text.len + 4);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    uint32_t cp = 0;
    while (utf8_next(&text, &cp)) {
        if (cp >= 0xFF01 && cp <= 0xFF5E) {
            cp -= 0xFEE0;
        }
        if (code_point_is_blank(cp) || code_point_is_invisible(cp) ||
            (cp < 0x80 && memchr(drop, (int)cp, strlen(drop)) != NULL)) {
            continue;
        }
        if (is_upper_ && cp >= 'a' && cp <= 'z') {
            cp -= 32;
        }
        n += utf8_put(cp, to + n);
    }
    if (text.len > 0) {
        return ERR_INVALID;
    }
    *out = bytes_of(to, n);
    return ERR_OK;
}

bool text_is_digits(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i])) {
            return false;
        }
    }
    return text.len > 0;
}
