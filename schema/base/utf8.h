#ifndef JIPAN_UTF8_H
#define JIPAN_UTF8_H

#include "schema/base/bytes.h"
#include "schema/base/err.h"

/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF, no NUL. */
bool utf8_is_valid(struct bytes text);

/* Number of code points of valid text. */
size_t utf8_count(struct bytes text);

/* Takes one code point off the front of *text. False at the end or on an invalid byte (text unchanged). */
bool utf8_next(struct bytes *text, uint32_t *out);

/* Writes the code point (must be valid) into out[4]; returns its length. */
size_t utf8_put(uint32_t code_point, uint8_t out[4]);

#endif
