#ifndef JIPAN_FIELDS_H
#define JIPAN_FIELDS_H

/* One enumerator per field of every entity: CUSTOMER_FULL_NAME is the wire number of customer.full_name. */

/* clang-format off */
#define BEGIN(entity, name, zh, en, is_event) enum name##_field {
#define FIELD(symbol, number, name, zh, en, type, lo, hi, codes, class_, merge, mask, purposes, retention, flags, ref, validator) \
    symbol = (number),
#define END(entity, name) };
#include "schema/catalogue/all.def"
#undef BEGIN
#undef FIELD
#undef END
/* clang-format on */

#endif
