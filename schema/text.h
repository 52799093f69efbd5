#ifndef JIPAN_TEXT_H
#define JIPAN_TEXT_H

#include "schema/base/mem.h"

/*
 * Normal forms of text a person typed or a file held. Input is valid UTF-8; results are arena memory or views of the
 * input.
 */

/* Only characters that need no care and single spaces between them: valid UTF-8, and text_trim and text_clean leave it
 * as it is. Most values are; false tells nothing. */
bool text_is_clean(struct bytes text);

/* Without blanks (any Unicode blank, zero-width ones too) at both ends. A view. */
struct bytes text_trim(struct bytes text);

/*
 * text_clean: trimmed; invisible format characters dropped; every kind of blank becomes one space, runs collapse; with
 * is_multiline line breaks are kept as \n and tabs become spaces. ERR_INVALID on other control characters; ERR_NOMEM.
 */
MUST_USE enum err text_clean(struct arena *a, struct bytes text, bool is_multiline, struct bytes *out);

/*
 * text_fold: full-width ASCII becomes ASCII, and blanks, invisible characters and every sign in `drop` (ASCII) go away.
 * is_upper: letters become upper case. For numbers, plates, addresses of the net.
 */
MUST_USE enum err text_fold(struct arena *a, struct bytes text, const char *drop, bool is_upper, struct bytes *out);

bool code_point_is_blank(uint32_t cp);
bool code_point_is_invisible(uint32_t cp); /* zero-width and direction marks */
bool code_point_is_han(uint32_t cp);

/* ASCII classes; no locale. */
static inline bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

static inline bool is_letter(uint8_t c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z');
}

static inline uint8_t to_lower(uint8_t c)
{
    return is_upper(c) ? (uint8_t)(c + 32) : c;
}

bool text_is_digits(struct bytes text); /* one or more ASCII digits and nothing else */

#endif
