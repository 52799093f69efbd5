#ifndef JIPAN_CODES_H
#define JIPAN_CODES_H

#include "schema/catalogue.h"

/* The code lists of codes.def: `codes_sex` and the like, and one enumerator per code (its wire number). */

#define LIST_BEGIN(list) extern const struct code_list codes_##list;
#define CODE(symbol, number, key, zh, en, rank)
#define LIST_END(list)
#include "schema/catalogue/codes.def"
#undef LIST_BEGIN
#undef CODE
#undef LIST_END

/* clang-format off */
#define LIST_BEGIN(list) enum code_##list {
#define CODE(symbol, number, key, zh, en, rank) CODE_##symbol = (number),
#define LIST_END(list) };
#include "schema/catalogue/codes.def"
#undef LIST_BEGIN
#undef CODE
#undef LIST_END
/* clang-format on */

const struct code_list *const *codes_all(size_t *count); /* every list, for help and for checks */

#endif
