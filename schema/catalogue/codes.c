/*
 * Owns: the tables of codes, generated from codes.def. Numbers are unique inside a list or this file does not compile.
 */
#include "schema/catalogue/codes.h"

/* clang-format off */
#define LIST_BEGIN(list) static const struct code items_##list[] = {
#define CODE(symbol, number_, key_, zh_, en_, rank_) \
    { .number = (number_), .key = "" key_, .zh = "" zh_, .en = "" en_, .rank = (rank_) },
#define LIST_END(list) \
    };                 \
    const struct code_list codes_##list = { .name = #list, .codes = items_##list, .count = ARRAY_LEN(items_##list) };
#include "schema/catalogue/codes.def"
#undef LIST_BEGIN
#undef CODE
#undef LIST_END

/* A number used twice is a duplicate case label. */
#define LIST_BEGIN(list)                                                 \
    static inline __attribute__((unused)) void unique_##list(int number) \
    {                                                                    \
        switch (number) {
#define CODE(symbol, number_, key_, zh_, en_, rank_) case (number_): break;
#define LIST_END(list) default: break; } }
#include "schema/catalogue/codes.def"
#undef LIST_BEGIN
#undef CODE
#undef LIST_END

#define LIST_BEGIN(list)
#define CODE(symbol, number_, key_, zh_, en_, rank_)                                       \
    _Static_assert((number_) >= 1 && (number_) <= 9999, "code number of " #symbol);        \
    _Static_assert(sizeof(key_) > 1 && sizeof(key_) <= 61, "code key of " #symbol);        \
    _Static_assert(sizeof(zh_) > 1 && sizeof(en_) > 1, "labels of " #symbol);
#define LIST_END(list)
#include "schema/catalogue/codes.def"
#undef LIST_BEGIN
#undef CODE
#undef LIST_END
/* clang-format on */

static const struct code_list *const all_lists[] = {
#define LIST_BEGIN(list) &codes_##list,
#define CODE(symbol, number, key, zh, en, rank)
#define LIST_END(list)
#include "schema/catalogue/codes.def"
#undef LIST_BEGIN
#undef CODE
#undef LIST_END
};

const struct code_list *const *codes_all(size_t *count)
{
    *count = ARRAY_LEN(all_lists);
    return all_lists;
}
