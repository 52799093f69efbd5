/*
 * Owns: text and key forms of ids and dots, and their total orders. Draws no randomness: ids are made by the writer of
 * a commit (sync/write.c).
 */
#include "schema/id.h"

struct record_id record_id_make(struct dossier_id dossier, const uint8_t suffix[RECORD_SUFFIX_BYTES])
{
    struct record_id id = { { 0 } };
    memcpy(id.b, dossier.b, DOSSIER_ID_BYTES);
    if (suffix != NULL) {
        memcpy(id.b + DOSSIER_ID_BYTES, suffix, RECORD_SUFFIX_BYTES);
    }
    return id;
}

int record_id_compare(struct record_id a, struct record_id b)
{
    return memcmp(a.b, b.b, sizeof(a.b));
}

int dossier_id_compare(struct dossier_id a, struct dossier_id b)
{
    return memcmp(a.b, b.b, sizeof(a.b));
}

bool record_id_is_main(struct record_id id)
{
    static const uint8_t zero[RECORD_SUFFIX_BYTES];
    return memcmp(id.b + DOSSIER_ID_BYTES, zero, sizeof(zero)) == 0;
}

void hex_text(struct bytes v, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < v.len; i++) {
        out[2 * i] = digits[v.ptr[i] >> 4];
        out[2 * i + 1] = digits[v.ptr[i] & 15];
    }
    out[2 * v.len] = '\0';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

enum err hex_parse(struct bytes text, uint8_t *out, size_t out_len)
{
    if (text.len % 2 != 0 || text.len / 2 != out_len) {
        return ERR_FORMAT;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (hex_digit(text.ptr[i]) < 0) {
            return ERR_FORMAT;
        }
    }
    for (size_t i = 0; i < out_len; i++) {
        out[i] = (uint8_t)(hex_digit(text.ptr[2 * i]) << 4 | hex_digit(text.ptr[2 * i + 1]));
    }
    return ERR_OK;
}

void record_id_text(struct record_id id, char out[ID_TEXT_BYTES + 1])
{
    hex_text(BYTES_OF(id.b), out);
}

enum err record_id_parse(struct bytes text, struct record_id *out)
{
    return hex_parse(text, out->b, sizeof(out->b));
}

int dot_compare(struct dot a, struct dot b)
{
    if (a.node != b.node) {
        return a.node < b.node ? -1 : 1;
    }
    if (a.epoch != b.epoch) {
        return a.epoch < b.epoch ? -1 : 1;
    }
    return (a.seq > b.seq) - (a.seq < b.seq);
}

static size_t put_decimal(uint64_t v, char *out)
{
    char rev[20];
    size_t n = 0;
    do {
        rev[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    for (size_t i = 0; i < n; i++) {
        out[i] = rev[n - 1 - i];
    }
    return n;
}

size_t dot_text(struct dot d, char out[DOT_TEXT_BYTES])
{
    size_t n = put_decimal(d.node, out);
    out[n++] = '.';
    n += put_decimal(d.epoch, out + n);
    out[n++] = '.';
    n += put_decimal(d.seq, out + n);
    out[n] = '\0';
    return n;
}

static enum err take_decimal(struct bytes *text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;
    while (n < text->len && text->ptr[n] >= '0' && text->ptr[n] <= '9') {
        uint64_t digit = (uint64_t)(text->ptr[n] - '0');
        if (v > (max - digit) / 10) {
            return ERR_FORMAT;
        }
        v = v * 10 + digit;
        n++;
    }
    if (n == 0) {
        return ERR_FORMAT;
    }
    *text = bytes_of(text->ptr + n, text->len - n);
    *out = v;
    return ERR_OK;
}

static bool take_point(struct bytes *text)
{
    if (text->len == 0 || text->ptr[0] != '.') {
        return false;
    }
    *text = bytes_of(text->ptr + 1, text->len - 1);
    return true;
}

enum err dot_parse(struct bytes text, struct dot *out)
{
    uint64_t node = 0;
    uint64_t epoch = 0;
    uint64_t seq = 0;
    if (take_decimal(&text, UINT32_MAX, &node) != ERR_OK || !take_point(&text) ||
        take_decimal(&text, UINT32_MAX, &epoch) != ERR_OK || !take_point(&text) ||
        take_decimal(&text, UINT64_MAX, &seq) != ERR_OK || text.len != 0) {
        return ERR_FORMAT;
    }
    *out = (struct dot){ .node = (uint32_t)node, .epoch = (uint32_t)epoch, .seq = seq };
    return ERR_OK;
}

static void put_be(uint8_t *out, uint64_t v, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(v >> (8 * (len - 1 - i)));
    }
}

static uint64_t get_be(const uint8_t *in, size_t len)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        v = v << 8 | in[i];
    }
    return v;
}

void dot_key(struct dot d, uint8_t out[DOT_KEY_BYTES])
{
    put_be(out, d.node, 4);
    put_be(out + 4, d.epoch, 4);
    put_be(out + 8, d.seq, 8);
}

enum err dot_from_key(struct bytes key, struct dot *out)
{
    if (key.len != DOT_KEY_BYTES) {
        return ERR_FORMAT;
    }
    *out = (struct dot){
        .node = (uint32_t)get_be(key.ptr, 4), .epoch = (uint32_t)get_be(key.ptr + 4, 4), .seq = get_be(key.ptr + 8, 8)
    };
    return ERR_OK;
}
