/*
 * Owns: derived fields that follow from other fields of the same record and from today's date. Those that need other
 * records (classes, grade, do_not_contact, completeness, distance) stay VALUE_NULL here; the node works them out.
 */
#include "schema/catalogue.h"
#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"
#include "schema/date.h"
#include "schema/text.h"

enum {
    THREE_GUARANTEE_YEARS = 2,
    REPAIR_WARRANTY_YEARS = 3,
    AGE_BAND_YEARS = 5,
    AGE_OLDEST_BAND = 70,
    INITIALS_MAX = 30
};

static struct value get(const struct entity_desc *d, const struct value *values, uint32_t number)
{
    return values[catalogue_field_index(d, catalogue_field(d, number))];
}

static bool is_vowel(uint8_t c)
{
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'v';
}

/* Length of the pinyin syllable a word of a-z starts with: initial, vowels, then n, ng or r unless they start the next
 * one. */
static size_t syllable(const uint8_t *word, size_t len)
{
    size_t n = 0;
    while (n < len && !is_vowel(word[n])) {
        n++;
    }
    size_t vowels = 0;
    while (n < len && vowels < 3 && is_vowel(word[n])) {
        n++;
        vowels++;
    }
    bool next_is_vowel = n + 1 < len && is_vowel(word[n + 1]);
    if (n < len && word[n] == 'n' && !next_is_vowel) {
        n++;
        if (n < len && word[n] == 'g' && !(n + 1 < len && is_vowel(word[n + 1]))) {
            n++;
        }
    } else if (n < len && word[n] == 'r' && !next_is_vowel) {
        n++;
    }
    return n;
}

/* "wang xiaoming" -> "wxm". Blanks and apostrophes always part syllables. */
static enum err initials(struct arena *a, struct value pinyin, struct value *out)
{
    if (pinyin.type != VALUE_TEXT) {
        *out = VALUE_NONE;
        return ERR_OK;
    }
    uint8_t *to = arena_alloc(a, INITIALS_MAX);
    if (to == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    size_t at = 0;
    while (at < pinyin.s.len && n < INITIALS_MAX) {
        size_t end = at;
        while (end < pinyin.s.len && is_letter(pinyin.s.ptr[end])) {
            end++;
        }
        if (end == at) {
            at++;
            continue;
        }
        to[n++] = pinyin.s.ptr[at];
        at += syllable(pinyin.s.ptr + at, end - at);
    }
    *out = n == 0 ? VALUE_NONE : value_text(bytes_of(to, n));
    return ERR_OK;
}

static enum err age_band(struct arena *a, struct value birth, int64_t today, struct value *out)
{
    int64_t age = birth.type == VALUE_INT ? age_on(birth.i, today) : -1;
    if (age < 0) {
        *out = VALUE_NONE;
        return ERR_OK;
    }
    if (age >= AGE_OLDEST_BAND) {
        *out = value_text(BYTES_LIT("70+"));
        return ERR_OK;
    }
    int64_t from = age / AGE_BAND_YEARS * AGE_BAND_YEARS;
    int64_t to = from + AGE_BAND_YEARS - 1;
    const char text[] = { (char)('0' + from / 10), (char)('0' + from % 10), '-', (char)('0' + to / 10),
        (char)('0' + to % 10) };
    struct bytes copy = { 0 };
    enum err e = arena_dup(a, bytes_of(text, sizeof(text)), &copy);
    if (e == ERR_OK) {
        *out = value_text(copy);
    }
    return e;
}

static struct value later(struct value date, int64_t years)
{
    return date.type == VALUE_INT && date_is_valid(date.i, false) ? value_int(date_add_years(date.i, years))
                                                                  : VALUE_NONE;
}

static struct value task_state(const struct entity_desc *d, const struct value *values, int64_t today)
{
    struct value cancelled = get(d, values, FOLLOWUP_TASK_CANCELLED);
    struct value due = get(d, values, FOLLOWUP_TASK_DUE_AT);
    if (get(d, values, FOLLOWUP_TASK_DONE_BY_EVENT).type != VALUE_NULL) {
        return value_int(CODE_TASK_DONE);
    }
    if (cancelled.type == VALUE_INT && cancelled.i != 0) {
        return value_int(CODE_TASK_CANCELLED);
    }
    return value_int(due.type == VALUE_INT && due.i < today ? CODE_TASK_OVERDUE : CODE_TASK_OPEN);
}

enum err field_derive(const struct entity_desc *d, const struct field *f, struct arena *a, const struct value *values,
    int64_t today, struct value *out)
{
    struct value v = VALUE_NONE;
    enum err e = ERR_OK;
    if (f->merge != MERGE_DERIVED) {
        *out = v;
        return ERR_OK;
    }
    if (d->entity == ENTITY_CUSTOMER && f->number == CUSTOMER_NAME_INITIALS) {
        e = initials(a, get(d, values, CUSTOMER_NAME_PINYIN), &v);
    } else if (d->entity == ENTITY_CUSTOMER && f->number == CUSTOMER_AGE_BAND) {
        e = age_band(a, get(d, values, CUSTOMER_BIRTH_DATE), today, &v);
    } else if (d->entity == ENTITY_VEHICLE && f->number == VEHICLE_THREE_GUARANTEE_TO) {
        v = later(get(d, values, VEHICLE_WARRANTY_START), THREE_GUARANTEE_YEARS);
    } else if (d->entity == ENTITY_VEHICLE && f->number == VEHICLE_REPAIR_WARRANTY_TO) {
        v = later(get(d, values, VEHICLE_WARRANTY_START), REPAIR_WARRANTY_YEARS);
    } else if (d->entity == ENTITY_FOLLOWUP_TASK && f->number == FOLLOWUP_TASK_STATE) {
        v = task_state(d, values, today);
    }
    if (e == ERR_OK) {
        *out = v;
    }
    return e;
}
