/*
 * Owns: the recovery key as text for paper. 256 bits and four zero bits make 52 base32 symbols; read as one number
 * modulo 1021, the largest prime below two symbols, they give the two check symbols. A prime modulus notices every
 * single wrong symbol and every swap of two neighbours.
 */
#include "node/vault/slots.h"

#include <sodium.h>

enum { DATA_SYMBOLS = 52, CHECK_SYMBOLS = 2, ALL_SYMBOLS = DATA_SYMBOLS + CHECK_SYMBOLS, GROUP = 6, MODULUS = 1021 };

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Five bits starting at bit 5 * i of the key, most significant first; bits past the end are zero. */
static unsigned symbol_at(const uint8_t key[RECOVERY_KEY_BYTES], size_t i)
{
    unsigned value = 0;
    for (size_t bit = 5 * i; bit < 5 * i + 5; bit++) {
        size_t byte = bit / 8;
        unsigned one = byte < RECOVERY_KEY_BYTES ? (unsigned)key[byte] >> (7U - bit % 8U) & 1U : 0U;
        value = value << 1U | one;
    }
    return value;
}

static unsigned check_of(const uint8_t symbols[DATA_SYMBOLS])
{
    unsigned rest = 0;
    for (size_t i = 0; i < DATA_SYMBOLS; i++) {
        rest = (rest * 32U + symbols[i]) % MODULUS;
    }
    return rest;
}

void recovery_text_encode(const uint8_t key[RECOVERY_KEY_BYTES], char out[RECOVERY_TEXT_MAX])
{
    uint8_t symbols[ALL_SYMBOLS];
    for (size_t i = 0; i < DATA_SYMBOLS; i++) {
        symbols[i] = (uint8_t)symbol_at(key, i);
    }
    unsigned check = check_of(symbols);
    symbols[DATA_SYMBOLS] = (uint8_t)(check / 32U);
    symbols[DATA_SYMBOLS + 1] = (uint8_t)(check % 32U);
    size_t at = 0;
    for (size_t i = 0; i < ALL_SYMBOLS; i++) {
        if (i > 0 && i % GROUP == 0) {
            out[at++] = '-';
        }
        out[at++] = alphabet[symbols[i]];
    }
    out[at] = '\0';
    sodium_memzero(symbols, sizeof(symbols));
}

/* -1: skip, -2: not a symbol. */
static int symbol_value(uint8_t c)
{
    if (c == ' ' || c == '-' || c == '\t' || c == '\r' || c == '\n') {
        return -1;
    }
    if (c >= 'a' && c <= 'z') {
        c = (uint8_t)(c - 'a' + 'A');
    }
    if (c == 'O') {
        return 0;
    }
    if (c == 'I' || c == 'L') {
        return 1;
    }
    const char *found = c == 0 ? NULL : strchr(alphabet, c);
    return found == NULL ? -2 : (int)(found - alphabet);
}

enum err recovery_text_decode(struct bytes text, uint8_t key[RECOVERY_KEY_BYTES])
{
    uint8_t symbols[ALL_SYMBOLS];
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = symbol_value(text.ptr[i]);
        if (value == -1) {
            continue;
        }
        if (value < 0 || count == ALL_SYMBOLS) {
            return ERR_FORMAT;
        }
        symbols[count++] = (uint8_t)value;
    }
    if (count != ALL_SYMBOLS || (symbols[DATA_SYMBOLS - 1] & 0x0FU) != 0 ||
        check_of(symbols) != symbols[DATA_SYMBOLS] * 32U + symbols[DATA_SYMBOLS + 1]) {
        sodium_memzero(symbols, sizeof(symbols));
        return ERR_FORMAT;
    }
    memset(key, 0, RECOVERY_KEY_BYTES);
    for (size_t bit = 0; bit < (size_t)RECOVERY_KEY_BYTES * 8; bit++) {
        unsigned one = (unsigned)symbols[bit / 5] >> (4U - bit % 5U) & 1U;
        key[bit / 8] = (uint8_t)(key[bit / 8] | one << (7U - bit % 8U));
    }
    sodium_memzero(symbols, sizeof(symbols));
    return ERR_OK;
}
