/*
 * Owns: numbers with check signs: mobiles, identity cards, credit codes, vehicles, plates. The arithmetic is written
 * here a second time on purpose: it tests the validators and the validators test it.
 */
#include "schema/base/attrs.h"
#include "tests/lib/sample_parts.h"

#include <stdio.h>

static void put_digits(struct sample_draw *d, char *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (char)('0' + sample_draw_below(d, 10));
    }
}

void sample_mobile(struct sample_draw *d, unsigned decade, char out[12])
{
    static const char *const move[] = { "139", "138", "137", "136", "135", "134", "159", "158", "150", "151", "152",
        "157", "187", "188", "182", "183", "147", "178", "198", "195" };
    static const char *const unicom[] = { "130", "131", "132", "155", "156", "185", "186", "176", "166", "175" };
    static const char *const telecom[] = { "133", "153", "189", "180", "181", "177", "173", "199", "191" };
    static const char *const virtual_[] = { "165", "167", "170", "171" };
    static const unsigned weights[] = { 55, 21, 22, 1, 1 };
    const char *prefix = "192";
    /* Older buyers keep the older prefixes, which stand first. */
    size_t older = decade < 2 ? 2 : 1;
    switch (sample_draw_weighted(d, weights, ARRAY_LEN(weights))) {
    case 0:
        prefix = move[sample_draw_below(d, ARRAY_LEN(move) / older)];
        break;
    case 1:
        prefix = unicom[sample_draw_below(d, ARRAY_LEN(unicom) / older)];
        break;
    case 2:
        prefix = telecom[sample_draw_below(d, ARRAY_LEN(telecom) / older)];
        break;
    case 3:
        prefix = SAMPLE_PICK(d, virtual_);
        break;
    default:
        break;
    }
    memcpy(out, prefix, 3);
    put_digits(d, out + 3, 8);
    if (memcmp(out, "1349", 4) == 0) {
        out[3] = '5'; /* 1349 is a satellite service */
    }
    out[11] = 0;
}

void sample_id_card(struct sample_draw *d, const char *region, const char *birth_iso, bool is_male, char out[19])
{
    static const unsigned weights[] = { 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2 };
    memcpy(out, region, 6);
    memcpy(out + 6, birth_iso, 4);
    memcpy(out + 10, birth_iso + 5, 2);
    memcpy(out + 12, birth_iso + 8, 2);
    memcpy(out + 14, "00", 2);
    out[16] = (char)('0' + 2 * sample_draw_below(d, 5) + (is_male ? 1 : 0));
    unsigned sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(weights); i++) {
        sum += weights[i] * (unsigned)(out[i] - '0');
    }
    out[17] = "10X98765432"[sum % 11];
    out[18] = 0;
}

void sample_uscc(struct sample_draw *d, const char *region, char out[19])
{
    static const char signs[] = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    static const unsigned weights[] = { 1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28 };
    memcpy(out, "91", 2);
    memcpy(out + 2, region, 6);
    memcpy(out + 8, "MA", 2);
    for (size_t i = 10; i < 17; i++) {
        out[i] = signs[sample_draw_below(d, 31)];
    }
    unsigned sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(weights); i++) {
        sum += weights[i] * (unsigned)(strchr(signs, out[i]) - signs);
    }
    out[17] = signs[(31 - sum % 31) % 31];
    out[18] = 0;
}

static unsigned vin_value(char c)
{
    static const char letters[] = "ABCDEFGHJKLMNPRSTUVWXYZ";
    static const unsigned values[] = { 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9 };
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : values[strchr(letters, c) - letters];
}

void sample_vin(struct sample_draw *d, unsigned station, uint64_t index, char out[18])
{
    static const unsigned weights[] = { 8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2 };
    static const char plants[] = "ABCDEFGHJKLMNPRSTUVWXYZ";
    static const char years[] = "HJKLMNPRST"; /* 2017 to 2026 */
    /* Plant and serial number make it unique: a plant serves one station. */
    char plant = plants[(station - 1 + 3 * (index / 1000000)) % (sizeof plants - 1)];
    char year = years[sample_draw_below(d, sizeof years - 1)];
    (void)snprintf(out, 18, "LTEST%c%c%c0%c%c%06u", "ABCDEFGH"[sample_draw_below(d, 8)],
        (char)('1' + sample_draw_below(d, 3)), (char)('0' + sample_draw_below(d, 9)), year, plant,
        (unsigned)(index % 1000000));
    unsigned sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(weights); i++) {
        sum += weights[i] * vin_value(out[i]);
    }
    out[8] = "0123456789X"[sum % 11];
}

void sample_plate(struct sample_draw *d, unsigned station, char out[16])
{
    static const char *const others[] = { "京A", "浙B", "苏E", "湘A", "鄂A", "桂A", "渝A", "皖A", "赣C", "豫A" };
    static const char signs[] = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    const struct sample_city *city = sample_city(station);
    uint64_t where = sample_draw_below(d, 100);
    const char *prefix = where < 70 ? SAMPLE_PICK(d, city->plates) : SAMPLE_PICK(d, others);
    bool is_province = where >= 70 && where < 90;
    char tail[8];
    put_digits(d, tail, 5);
    tail[5] = 0;
    tail[sample_draw_below(d, 5)] = signs[sample_draw_below(d, sizeof signs - 1)];
    bool is_new_energy = sample_draw_chance(d, 180);
    if (is_new_energy) {
        put_digits(d, tail + 1, 4);
    }
    (void)snprintf(out, 16, "%s%s%s", is_province ? city->province_plate : prefix,
        is_new_energy ? (sample_draw_chance(d, 700) ? "D" : "F") : "", tail);
}
