/*
 * Owns: the packed form of parts. The code lengths below are part of the format (docs/PROTOCOL.md 3): counted once over
 * invented customers, evened out so that what those lack is not dear, and never to be changed. Codes are canonical: by
 * length, then by symbol. Invariant: pack_take of pack_put gives the same bytes; whatever pack_take accepts it reads to
 * the last bit.
 */
#include "schema/pack.h"

#include "schema/base/check.h"
#include "schema/base/reader.h"

enum {
    AFTER_OTHER, /* anything not below */
    AFTER_LEAD, /* first byte of a character of three */
    AFTER_SECOND,
    AFTER_THIRD,
    AFTER_DIGIT,
    AFTER_LETTER, /* lower case */
    ESCAPE = 256, /* then 8 bits as they are */
    ESCAPED_BITS = 8,
    CODE_BITS_AT = 20,
    CODE_NEXT_AT = 26,
    SYMBOL_BITS_AT = 9,
    SYMBOL_NEXT_AT = 13,
};

/* Bits of the code of each byte, then of the escape; one line of 257 for each context. */
static const char lengths[PACK_CONTEXTS][PACK_SYMBOLS + 1] = {
    { "45365656660580000560087000500000080000990070090055676677750000000007000000000000000609"
      "90000000000776968979969999999999999990000000000000000000000000000000000000000000000000"
      "0000000000000000000000009000090000000000909000000900000865666600000900000000000000004" },
    { "00000000000000000080000000000000000000000000000000000000000000000000000000000000000000"
      "00000000000000000000000000000000000000000056767576677676756777576776875787667868678786"
      "7655777787854655466600000000000000000000000000000000000800000000000000000000000000005" },
    { "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
      "00000000000000000000000000000000000000000066777676668566676676766567746676666756666677"
      "7666766576657567876600006000000000000000000000000000000000000000000000000000000000006" },
    { "00006000000000000000000006000000000000000000000075566776770000000000600000000000000800"
      "00000000000999999999999999999999999990000000000000000000000000000000000000000000000000"
      "0000000000000000000000000000000000000000000000000000000033334400000400000000000000004" },
    { "00500070000000000000000000000000005000000800006034444444440000006000000000000000000000"
      "00000000000999999999999999997999999980000000000000000000000000000000000000000000000000"
      "0000000000000000000000000000000000000000000000000000000066676600000000000000000000004" },
    { "00505000000000000000000000000000006000000000005075777777770000000000000000000000000000"
      "00000000000577747757574474577574775770000070000000000000000000000000000000000000000000"
      "0000000000000000000070000000000000000000000000000000000066666600000000000000000000004" },
};

static uint8_t context_after(unsigned context, unsigned byte)
{
    bool is_tail = byte >= 0x80 && byte <= 0xBF;
    if (context == AFTER_LEAD && is_tail) {
        return AFTER_SECOND;
    }
    if (context == AFTER_SECOND && is_tail) {
        return AFTER_THIRD;
    }
    if (byte >= 0xE3 && byte <= 0xEF) {
        return AFTER_LEAD;
    }
    if (byte >= '0' && byte <= '9') {
        return AFTER_DIGIT;
    }
    return byte >= 'a' && byte <= 'z' ? AFTER_LETTER : AFTER_OTHER;
}

static void init_symbol(struct pack *p, unsigned context, unsigned symbol, unsigned code, unsigned bits)
{
    unsigned shift = PACK_CODE_BITS_MAX - bits;
    unsigned next = symbol == ESCAPE ? 0U : p->next[context][symbol];
    if (symbol != ESCAPE) {
        p->code_of[context][symbol] = code | bits << CODE_BITS_AT | next << CODE_NEXT_AT;
    }
    for (unsigned i = 0; i < 1U << shift; i++) {
        p->symbol_of[context][code << shift | i] = (uint16_t)(symbol | bits << SYMBOL_BITS_AT | next << SYMBOL_NEXT_AT);
    }
    for (unsigned byte = 0; symbol == ESCAPE && byte < ARRAY_LEN(p->next[context]); byte++) {
        if (lengths[context][byte] == '0') {
            p->code_of[context][byte] = (code << ESCAPED_BITS | byte) | (bits + ESCAPED_BITS) << CODE_BITS_AT |
                                        (uint32_t)p->next[context][byte] << CODE_NEXT_AT;
        }
    }
}

static void init_context(struct pack *p, unsigned context)
{
    unsigned code = 0;
    for (unsigned byte = 0; byte < ARRAY_LEN(p->next[context]); byte++) {
        p->next[context][byte] = context_after(context, byte);
    }
    for (unsigned bits = 1; bits <= PACK_CODE_BITS_MAX; bits++, code <<= 1) {
        for (unsigned symbol = 0; symbol < PACK_SYMBOLS; symbol++) {
            if ((unsigned)(lengths[context][symbol] - '0') == bits) {
                init_symbol(p, context, symbol, code++, bits);
            }
        }
    }
    check(code == 1U << (PACK_CODE_BITS_MAX + 1)); /* every sequence of bits means something */
}

void pack_init(struct pack *p)
{
    memset(p, 0, sizeof(*p));
    for (unsigned c = 0; c < PACK_CONTEXTS; c++) {
        init_context(p, c);
    }
}

static unsigned bits_of(uint32_t entry)
{
    return entry >> CODE_BITS_AT & ((1U << (CODE_NEXT_AT - CODE_BITS_AT)) - 1U);
}

static size_t code_bits(const struct pack *p, struct bytes plain)
{
    size_t sum = 0;
    const uint32_t *codes = p->code_of[AFTER_OTHER];
    for (size_t i = 0; i < plain.len; i++) {
        uint32_t entry = codes[plain.ptr[i]];
        sum += bits_of(entry);
        codes = p->code_of[entry >> CODE_NEXT_AT];
    }
    return sum;
}

/* Writes the code of plain to out, which has room for exactly its bits. */
static void write_code(const struct pack *p, struct bytes plain, uint8_t *out)
{
    uint64_t held = 0; /* the lowest `count` bits wait to be written */
    unsigned count = 0;
    const uint32_t *codes = p->code_of[AFTER_OTHER];
    for (size_t i = 0; i < plain.len; i++) {
        uint32_t entry = codes[plain.ptr[i]];
        unsigned bits = bits_of(entry);
        held = held << bits | (entry & ((1U << CODE_BITS_AT) - 1U));
        count += bits;
        codes = p->code_of[entry >> CODE_NEXT_AT];
        if (count >= 32) {
            count -= 32;
            uint32_t word = (uint32_t)(held >> count);
            out[0] = (uint8_t)(word >> 24);
            out[1] = (uint8_t)(word >> 16);
            out[2] = (uint8_t)(word >> 8);
            out[3] = (uint8_t)word;
            out += 4;
        }
    }
    while (count >= 8) {
        count -= 8;
        *out++ = (uint8_t)(held >> count);
    }
    if (count > 0) {
        *out = (uint8_t)(held << (8 - count));
    }
}

void pack_put(const struct pack *p, struct buf *b, struct bytes plain)
{
    size_t len = (code_bits(p, plain) + 7) / 8;
    size_t extra = plain.len < 0x80 ? 0 : plain.len < 0x4000 ? 1 : 2; /* the varint is longer than the zero */
    if (len + extra >= plain.len) {
        buf_put_u8(b, 0);
        buf_put_bytes(b, plain);
        return;
    }
    buf_put_varint(b, plain.len);
    uint8_t *out = buf_reserve(b, len);
    if (out != NULL) {
        write_code(p, plain, out);
    }
}

struct bit_reader {
    const uint8_t *ptr;
    size_t left;
    uint64_t held;
    unsigned count;
};

static void refill(struct bit_reader *r)
{
    while (r->count <= 56 && r->left > 0) {
        r->held = r->held << 8 | *r->ptr++;
        r->left--;
        r->count += 8;
    }
}

/* The next `bits` bits without taking them; behind the end there are zeros. */
static unsigned peek(const struct bit_reader *r, unsigned bits)
{
    unsigned mask = (1U << bits) - 1U;
    return (unsigned)(r->count >= bits ? r->held >> (r->count - bits) : r->held << (bits - r->count)) & mask;
}

static enum err read_code(const struct pack *p, struct bit_reader *r, uint8_t *out, size_t len)
{
    unsigned context = AFTER_OTHER;
    for (size_t i = 0; i < len; i++) {
        if (r->count < PACK_CODE_BITS_MAX + ESCAPED_BITS) {
            refill(r);
        }
        unsigned entry = p->symbol_of[context][peek(r, PACK_CODE_BITS_MAX)];
        unsigned symbol = entry & ((1U << SYMBOL_BITS_AT) - 1U);
        unsigned bits = entry >> SYMBOL_BITS_AT & 0xFU;
        if (r->count < bits) {
            return ERR_TRUNCATED;
        }
        r->count -= bits;
        if (symbol == ESCAPE) {
            if (r->count < ESCAPED_BITS) {
                return ERR_TRUNCATED;
            }
            symbol = peek(r, ESCAPED_BITS);
            r->count -= ESCAPED_BITS;
            entry = (unsigned)p->next[context][symbol] << SYMBOL_NEXT_AT;
        }
        out[i] = (uint8_t)symbol;
        context = entry >> SYMBOL_NEXT_AT;
    }
    return r->left == 0 && r->count < 8 && peek(r, r->count) == 0 ? ERR_OK : ERR_FORMAT;
}

enum err pack_take(const struct pack *p, struct arena *a, struct bytes packed, size_t max, struct bytes *out)
{
    struct reader r = reader_of(packed);
    uint64_t len = 0;
    enum err e = reader_varint_max(&r, max, &len);
    if (e != ERR_OK) {
        return e;
    }
    if (len == 0) {
        *out = bytes_of(r.ptr, r.left);
        return ERR_OK;
    }
    if (len / 8 > r.left) {
        return ERR_TRUNCATED; /* no code is shorter than a bit: ask for no memory that cannot be filled */
    }
    uint8_t *to = arena_alloc(a, (size_t)len);
    struct bit_reader bits = { .ptr = r.ptr, .left = r.left };
    if (to == NULL) {
        return ERR_NOMEM;
    }
    e = read_code(p, &bits, to, (size_t)len);
    if (e == ERR_OK) {
        *out = bytes_of(to, (size_t)len);
    }
    return e;
}
