/*
 * Owns: the table of regions (catalogue/regions.def) and the match of an address against it. A district counts only
 * with its own city and province in front, or neither.
 */
#include "schema/region.h"

#include "schema/base/attrs.h"

static const struct region {
    int32_t code;
    const char *province;
    const char *city;
    const char *district;
} regions[] = {
#define REGION(code_, province_, city_, district_) \
    { .code = (code_), .province = province_, .city = city_, .district = district_ },
#include "schema/catalogue/regions.def"
#undef REGION
};

static size_t matched(struct bytes text, size_t from, const char *word)
{
    size_t len = strlen(word);
    return text.len - from >= len && memcmp(text.ptr + from, word, len) == 0 ? len : 0;
}

static size_t prefix_of(struct bytes text, const struct region *r)
{
    size_t at = matched(text, 0, r->province);
    at += matched(text, at, r->city);
    size_t district = matched(text, at, r->district);
    return district == 0 ? 0 : at + district;
}

size_t region_prefix(struct bytes address)
{
    for (size_t i = 0; i < ARRAY_LEN(regions); i++) {
        size_t len = address.len == 0 ? 0 : prefix_of(address, &regions[i]);
        if (len > 0) {
            return len;
        }
    }
    return 0;
}

bool region_name(struct bytes code, struct region_name *out)
{
    int32_t number = 0;
    for (size_t i = 0; i < code.len && i < 6; i++) {
        number = number * 10 + (code.ptr[i] - '0');
    }
    for (size_t i = 0; code.len == 6 && i < ARRAY_LEN(regions); i++) {
        if (regions[i].code == number) {
            *out = (struct region_name){ regions[i].province, regions[i].city, regions[i].district };
            return true;
        }
    }
    return false;
}
