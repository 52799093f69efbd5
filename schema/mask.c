/*
 * Owns: the masked form of every value that may not be shown in clear (domain.md 2.1, privacy.md 5.11).
 * Invariants: fails closed: whatever does not have exactly the shape a mask knows gives asterisks only; the result is
 * never the clear text; a name's mask does not tell its length. Built in and pure: no caller can hand in a mask.
 */
#include "schema/base/check.h"
#include "schema/base/utf8.h"
#include "schema/catalogue.h"
#include "schema/date.h"
#include "schema/region.h"
#include "schema/text.h"
#include "schema/validate.h"

enum { ID_CARD_LEN = 18, VIN_LEN = 17, DOC_MIN = 6, DOC_MAX = 30, TAIL_MIN = 8, TAIL_MAX = 40 };

#define ON_FILE BYTES_LIT("已登记")
#define STARS   BYTES_LIT("***")

/* Keeps `head` and `tail` bytes and puts `stars` asterisks between them. */
static enum err keep_ends(struct arena *a, struct bytes text, size_t head, size_t stars, size_t tail, struct bytes *out)
{
    check(head + tail < text.len);
    uint8_t *to = arena_alloc(a, head + stars + tail);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    memcpy(to, text.ptr, head);
    memset(to + head, '*', stars);
    memcpy(to + head + stars, text.ptr + text.len - tail, tail);
    *out = bytes_of(to, head + stars + tail);
    return ERR_OK;
}

static bool is_plain(struct bytes text) /* capital letters and digits */
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i]) && !is_upper(text.ptr[i])) {
            return false;
        }
    }
    return text.len > 0;
}

/* A character a name may start with. Digits, signs, blanks and marks mean that this is no name. */
static bool starts_name(uint32_t cp)
{
    if (cp < 0x80) {
        return is_letter((uint8_t)cp);
    }
    return code_point_is_han(cp) || (cp >= 0xC0 && cp <= 0x24F && cp != 0xD7 && cp != 0xF7) ||
           (cp >= 0x370 && cp <= 0x1FFF) || (cp >= 0xAC00 && cp <= 0xD7A3);
}

static bool is_compound_surname(struct bytes two)
{
    struct bytes all = BYTES_LIT("欧阳上官皇甫令狐诸葛司徒司马申屠夏侯尉迟公孙慕容长孙宇文东方南宫端木闻人轩辕"
                                 "澹台公冶宗政濮阳淳于单于太史公羊赫连钟离鲜于闾丘亓官司寇独孤拓跋百里呼延东郭西门");
    for (size_t i = 0; i + two.len <= all.len; i += two.len) { /* every surname is two characters of three bytes */
        if (two.len == 6 && memcmp(all.ptr + i, two.ptr, 6) == 0) {
            return true;
        }
    }
    return false;
}

static enum err mask_name(struct arena *a, struct bytes text, struct bytes *out)
{
    struct bytes rest = text;
    uint32_t first = 0;
    uint32_t second = 0;
    if (!utf8_is_valid(text) || !utf8_next(&rest, &first) || !starts_name(first)) {
        *out = STARS;
        return ERR_OK;
    }
    size_t head = text.len - rest.len;
    if (rest.len == 0) {
        *out = BYTES_LIT("*");
        return ERR_OK;
    }
    struct bytes after_first = rest;
    const char *tail = "**";
    if (utf8_next(&rest, &second) && rest.len > 0 && is_compound_surname(bytes_of(text.ptr, text.len - rest.len))) {
        head = text.len - rest.len;
    }
    uint32_t cp = 0;
    while (utf8_next(&after_first, &cp)) {
        if (cp == 0xB7) {
            tail = "***·***";
        }
    }
    size_t tail_len = strlen(tail);
    uint8_t *to = arena_alloc(a, head + tail_len);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    memcpy(to, text.ptr, head);
    memcpy(to + head, tail, tail_len);
    *out = bytes_of(to, head + tail_len);
    return ERR_OK;
}

static enum err mask_email(struct arena *a, struct bytes text, struct bytes *out)
{
    const uint8_t *at = memchr(text.ptr, '@', text.len);
    check(at != NULL);
    size_t local = (size_t)(at - text.ptr);
    size_t shown = local > 1 && (is_letter(text.ptr[0]) || is_digit(text.ptr[0])) ? 1 : 0;
    return keep_ends(a, text, shown, local - shown, text.len - local, out);
}

/* What was entered is brought to its normal form first, so that +86-139-… is masked as a mobile number. */
static enum err mask_contact(struct arena *a, struct bytes text, struct bytes *out)
{
    struct bytes norm = { 0 };
    enum err e = contact_normalise(CODE_CONTACT_OTHER, a, text, &norm, NULL);
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e == ERR_OK && mobile_is_valid(norm)) {
        return keep_ends(a, norm, 3, 4, 4, out);
    }
    if (e == ERR_OK && landline_is_valid(norm)) {
        return keep_ends(a, norm, 4, norm.len - 6, 2, out);
    }
    if (e == ERR_OK && email_is_valid(norm)) {
        return mask_email(a, norm, out);
    }
    *out = STARS;
    return ERR_OK;
}

static enum err mask_id_number(struct arena *a, struct bytes text, struct bytes *out)
{
    bool is_card = text.len == ID_CARD_LEN && text_is_digits(bytes_of(text.ptr, ID_CARD_LEN - 1)) &&
                   (is_digit(text.ptr[ID_CARD_LEN - 1]) || text.ptr[ID_CARD_LEN - 1] == 'X');
    if (is_card) {
        return keep_ends(a, text, 1, ID_CARD_LEN - 3, 2, out);
    }
    if (is_plain(text) && text.len >= DOC_MIN && text.len <= DOC_MAX) {
        return keep_ends(a, text, 1, text.len - 2, 1, out);
    }
    *out = STARS;
    return ERR_OK;
}

/* The province is three bytes; three characters stay in front and one at the end, which may be three bytes too (挂). */
static enum err mask_plate(struct arena *a, struct bytes text, struct bytes *out)
{
    if (!plate_is_valid(text)) {
        *out = STARS;
        return ERR_OK;
    }
    size_t tail = text.ptr[text.len - 1] >= 0x80 ? 3 : 1;
    return keep_ends(a, text, 5, text.len - 5 - tail, tail, out);
}

static enum err mask_vin(struct arena *a, struct bytes text, struct bytes *out)
{
    if (text.len == VIN_LEN && is_plain(text)) {
        return keep_ends(a, text, 3, 10, 4, out);
    }
    *out = STARS;
    return ERR_OK;
}

static enum err mask_tail4(struct arena *a, struct bytes text, struct bytes *out)
{
    if (is_plain(text) && text.len >= TAIL_MIN && text.len <= TAIL_MAX) {
        return keep_ends(a, text, 0, text.len - 4, 4, out);
    }
    *out = STARS;
    return ERR_OK;
}

static enum err mask_address(struct arena *a, struct bytes text, struct bytes *out)
{
    static const char stars[] = "******";
    size_t head = region_prefix(text);
    uint8_t *to = arena_alloc(a, head + sizeof(stars) - 1);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    if (head > 0) {
        memcpy(to, text.ptr, head);
    }
    memcpy(to + head, stars, sizeof(stars) - 1);
    *out = bytes_of(to, head + sizeof(stars) - 1);
    return ERR_OK;
}

static enum err mask_birth(struct arena *a, struct value v, struct bytes *out)
{
    char text[DATE_TEXT_BYTES];
    if (v.type != VALUE_INT || !date_is_valid(v.i, false)) {
        *out = ON_FILE;
        return ERR_OK;
    }
    return arena_dup(a, bytes_of(text, date_text(v.i % 10000, text)), out);
}

static enum err mask_text(enum mask mask, struct arena *a, struct bytes text, struct bytes *out)
{
    switch (mask) {
    case MASK_NAME:
        return mask_name(a, text, out);
    case MASK_MOBILE_OR_OTHER:
        return mask_contact(a, text, out);
    case MASK_ID_NUMBER:
        return mask_id_number(a, text, out);
    case MASK_PLATE:
        return mask_plate(a, text, out);
    case MASK_VIN:
        return mask_vin(a, text, out);
    case MASK_TAIL4:
        return mask_tail4(a, text, out);
    case MASK_ADDRESS:
        return mask_address(a, text, out);
    case MASK_HIDE:
    case MASK_BIRTH:
    case MASK_NONE:
    case MASK_COUNT:
        break;
    }
    *out = ON_FILE;
    return ERR_OK;
}

enum err field_mask(const struct field *f, struct arena *a, struct value v, struct bytes *out)
{
    struct bytes clear = { 0 };
    struct bytes masked = ON_FILE;
    enum err e = field_text(f, a, v, &clear);
    if (e != ERR_OK) {
        return e;
    }
    if (v.type == VALUE_NULL || (f->mask == MASK_NONE && f->class_ <= CLASS_BUSINESS)) {
        *out = clear;
        return ERR_OK;
    }
    if (f->mask == MASK_BIRTH) {
        e = mask_birth(a, v, &masked);
    } else if (v.type == VALUE_TEXT) {
        e = mask_text(f->mask, a, v.s, &masked);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (bytes_equal(masked, clear)) {
        masked = bytes_equal(clear, STARS) ? BYTES_LIT("****") : STARS;
    }
    *out = masked;
    return ERR_OK;
}
