/*
 * Owns: finding the encoding of a text file and turning its bytes into UTF-8, block by block.
 * Invariants: memory is two fixed blocks; plain ASCII passes through until the first byte that decides; a decision is
 * never taken back. Does not know rows or cells.
 */
#include "node/csv_source.h"

#include "schema/base/check.h"
#include "schema/base/utf8.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 65536, CODE_UNIT_BYTES_MAX = 4 };

struct csv_source {
    FILE *file;
    iconv_t converter; /* only with has_converter */
    bool has_converter;
    bool is_started;
    bool is_end; /* the file has no more bytes; raw may still hold some */
    enum csv_encoding encoding;
    size_t raw_at;
    size_t raw_len;
    uint8_t raw[BLOCK_BYTES];
};

static const char *const names[CSV_ENCODING_COUNT] = {
    [CSV_ENCODING_AUTO] = "ASCII",
    [CSV_UTF8] = "UTF-8",
    [CSV_GB18030] = "GB18030",
    [CSV_UTF16LE] = "UTF-16LE",
    [CSV_UTF16BE] = "UTF-16BE",
};

const char *csv_source_encoding_name(enum csv_encoding e)
{
    check(e < CSV_ENCODING_COUNT);
    return names[e];
}

static bool starts_with(struct bytes block, struct bytes mark)
{
    return block.len >= mark.len && memcmp(block.ptr, mark.ptr, mark.len) == 0;
}

static size_t mark_bytes(struct bytes block, enum csv_encoding e)
{
    if (e == CSV_UTF8 && starts_with(block, BYTES_LIT("\xEF\xBB\xBF"))) {
        return 3;
    }
    if (e == CSV_UTF16LE && starts_with(block, BYTES_LIT("\xFF\xFE"))) {
        return 2;
    }
    if (e == CSV_UTF16BE && starts_with(block, BYTES_LIT("\xFE\xFF"))) {
        return 2;
    }
    return e == CSV_GB18030 && starts_with(block, BYTES_LIT("\x84\x31\x95\x33")) ? 4 : 0;
}

/* UTF-16 without a mark: digits and separators put a zero into every other byte, always on the same side. */
static enum csv_encoding guess_utf16(struct bytes block)
{
    size_t zeros[2] = { 0, 0 };
    for (size_t i = 0; i < block.len; i++) {
        zeros[i & 1] += block.ptr[i] == 0;
    }
    size_t enough = block.len / 16 + 2;
    if (zeros[0] == 0 && zeros[1] >= enough) {
        return CSV_UTF16LE;
    }
    return zeros[1] == 0 && zeros[0] >= enough ? CSV_UTF16BE : CSV_ENCODING_AUTO;
}

/*
 * UTF-8 when nothing contradicts it, or when three- and four-byte sequences, which han text in GBK hardly ever forms by
 * accident, outnumber the bytes that contradict it: a few damaged bytes must not turn a whole file into nonsense.
 */
static enum csv_encoding guess_8bit(struct bytes block)
{
    size_t long_count = 0;
    size_t bad_count = 0;
    bool has_high = false;
    struct bytes rest = block;
    while (rest.len > 0) {
        if (rest.ptr[0] < 0x80) {
            rest = bytes_of(rest.ptr + 1, rest.len - 1);
            continue;
        }
        has_high = true;
        size_t before = rest.len;
        uint32_t cp = 0;
        if (utf8_next(&rest, &cp)) {
            long_count += before - rest.len >= 3;
        } else if (rest.len < CODE_UNIT_BYTES_MAX && rest.ptr[0] >= 0xC2) {
            break; /* probably cut by the end of the block */
        } else {
            bad_count++;
            rest = bytes_of(rest.ptr + 1, rest.len - 1);
        }
    }
    if (!has_high) {
        return CSV_ENCODING_AUTO;
    }
    return bad_count == 0 || long_count > bad_count ? CSV_UTF8 : CSV_GB18030;
}

enum csv_encoding csv_source_guess(struct bytes block, bool is_first)
{
    if (is_first) {
        static const enum csv_encoding marked[] = { CSV_UTF8, CSV_UTF16LE, CSV_UTF16BE, CSV_GB18030 };
        for (size_t i = 0; i < ARRAY_LEN(marked); i++) {
            if (mark_bytes(block, marked[i]) > 0) {
                return marked[i];
            }
        }
        enum csv_encoding e = guess_utf16(block);
        if (e != CSV_ENCODING_AUTO) {
            return e;
        }
    }
    return guess_8bit(block);
}

enum err csv_source_new(FILE *file, enum csv_encoding encoding, struct csv_source **out)
{
    check(file != NULL && encoding < CSV_ENCODING_COUNT);
    struct csv_source *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->file = file;
    s->encoding = encoding;
    *out = s;
    return ERR_OK;
}

void csv_source_free(struct csv_source *s)
{
    if (s == NULL) {
        return;
    }
    if (s->has_converter) {
        (void)iconv_close(s->converter);
    }
    free(s);
}

enum csv_encoding csv_source_encoding(const struct csv_source *s)
{
    return s->encoding;
}

static enum err read_block(struct csv_source *s)
{
    memmove(s->raw, s->raw + s->raw_at, s->raw_len - s->raw_at);
    s->raw_len -= s->raw_at;
    s->raw_at = 0;
    s->raw_len += fread(s->raw + s->raw_len, 1, sizeof s->raw - s->raw_len, s->file);
    if (ferror(s->file) != 0) {
        return ERR_IO;
    }
    s->is_end = feof(s->file) != 0;
    return ERR_OK;
}

/* Once the encoding is known: drops the mark and opens the converter it needs. */
static enum err decide(struct csv_source *s)
{
    struct bytes block = bytes_of(s->raw, s->raw_len);
    bool is_first = !s->is_started;
    s->is_started = true;
    if (s->encoding == CSV_ENCODING_AUTO) {
        s->encoding = csv_source_guess(block, is_first);
    }
    if (is_first) {
        s->raw_at = mark_bytes(block, s->encoding);
    }
    if (s->has_converter || s->encoding == CSV_ENCODING_AUTO || s->encoding == CSV_UTF8) {
        return ERR_OK;
    }
    s->converter = iconv_open("UTF-8", names[s->encoding]);
    s->has_converter = s->converter != (iconv_t)-1; // NOLINT(performance-no-int-to-ptr): the documented failure value
    return s->has_converter ? ERR_OK : ERR_NOMEM;
}

static size_t pass_through(struct csv_source *s, uint8_t *out, size_t room)
{
    size_t left = s->raw_len - s->raw_at;
    size_t n = left < room ? left : room;
    memcpy(out, s->raw + s->raw_at, n);
    s->raw_at += n;
    return n;
}

/* Number of raw bytes to give up on after a failure of iconv. */
static size_t bad_bytes(const struct csv_source *s)
{
    size_t unit = s->encoding == CSV_GB18030 ? 1 : 2;
    size_t left = s->raw_len - s->raw_at;
    return left < unit ? left : unit;
}

static size_t convert(struct csv_source *s, uint8_t *out, size_t room)
{
    char *to = (char *)out;
    size_t to_left = room;
    while (s->raw_at < s->raw_len && to_left >= CODE_UNIT_BYTES_MAX) {
        char *from = (char *)s->raw + s->raw_at;
        size_t from_left = s->raw_len - s->raw_at;
        size_t result = iconv(s->converter, &from, &from_left, &to, &to_left);
        int why = errno;
        s->raw_at = s->raw_len - from_left;
        if (result != (size_t)-1 || why == E2BIG) {
            break;
        }
        if (why == EINVAL && !s->is_end) {
            break; /* a character cut by the end of the block: the next block completes it */
        }
        *to++ = (char)CSV_SOURCE_BAD_BYTE;
        to_left--;
        s->raw_at += bad_bytes(s);
    }
    return room - to_left;
}

enum err csv_source_read(struct csv_source *s, uint8_t *out, size_t room, size_t *ret_len)
{
    check(room >= CSV_SOURCE_ROOM_MIN);
    size_t len = 0;
    while (len == 0) {
        bool is_new = s->raw_at == s->raw_len || s->raw_len - s->raw_at < CODE_UNIT_BYTES_MAX;
        if (is_new && !s->is_end) {
            enum err e = read_block(s);
            if (e == ERR_OK) {
                e = decide(s);
            }
            if (e != ERR_OK) {
                return e;
            }
        }
        if (s->raw_at == s->raw_len && s->is_end) {
            break;
        }
        len = s->has_converter ? convert(s, out, room) : pass_through(s, out, room);
    }
    *ret_len = len;
    return ERR_OK;
}
