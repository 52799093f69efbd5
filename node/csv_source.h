#ifndef JIPAN_CSV_SOURCE_H
#define JIPAN_CSV_SOURCE_H

#include "schema/base/attrs.h"
#include "schema/base/bytes.h"
#include "schema/base/err.h"

#include <stdio.h>

/* Encodings that office programs write. GB18030 includes GBK and GB2312. AUTO: find out from the bytes. */
enum csv_encoding { CSV_ENCODING_AUTO, CSV_UTF8, CSV_GB18030, CSV_UTF16LE, CSV_UTF16BE, CSV_ENCODING_COUNT };

/**
 * struct csv_source: the bytes of a file as UTF-8 without byte order mark. Bytes that cannot be decoded come out as
 * CSV_SOURCE_BAD_BYTE, which no valid UTF-8 contains, so that the reader can refuse the row they stand in and no other.
 */
struct csv_source;

enum { CSV_SOURCE_BAD_BYTE = 0xFF, CSV_SOURCE_ROOM_MIN = 64 };

/* file is borrowed and read from its present position. Errors: ERR_NOMEM. */
MUST_USE enum err csv_source_new(FILE *file, enum csv_encoding encoding, struct csv_source **out);
void csv_source_free(struct csv_source *s); /* s may be NULL */

/* Fills out[room], room >= CSV_SOURCE_ROOM_MIN; *ret_len is 0 only at the end. Errors: ERR_IO. */
MUST_USE enum err csv_source_read(struct csv_source *s, uint8_t *out, size_t room, size_t *ret_len);

/* What has been found out so far; CSV_ENCODING_AUTO while everything was plain ASCII. */
enum csv_encoding csv_source_encoding(const struct csv_source *s);

/* Best guess for a block; UTF-16 and byte order marks are looked for only in the first. A character may be cut at its
 * end. Pure. */
enum csv_encoding csv_source_guess(struct bytes block, bool is_first);

const char *csv_source_encoding_name(enum csv_encoding e); /* "UTF-8", "GB18030", ... */

#endif
