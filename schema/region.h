#ifndef JIPAN_REGION_H
#define JIPAN_REGION_H

#include "schema/base/bytes.h"

/* Length of the part of an address up to its district: [province][city]district of the region table; 0 if there is
 * none. */
size_t region_prefix(struct bytes address);

/* The names of a 6-digit region code; false when the table has none. */
struct region_name {
    const char *province;
    const char *city;
    const char *district;
};
bool region_name(struct bytes code, struct region_name *out);

#endif
