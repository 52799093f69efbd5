#ifndef JIPAN_IMPORT_MAP_H
#define JIPAN_IMPORT_MAP_H

#include "schema/catalogue.h"

/*
 * Where each column of a spreadsheet goes. A target is a field of the imported entity ("full_name"), a field of a child
 * record
 * ("address.detail"), a kind of contact ("mobile", "home", "office", "email", "wechat": one contact_point each) or
 * "consultant" (the open sales assignment). Without a map the headers are looked up among labels and the customary
 * Chinese headings.
 */
enum { IMPORT_COLUMNS_MAX = 64, IMPORT_CHILDREN_MAX = 12 };

struct import_child {
    const struct entity_desc *desc;
    const char *contact_type; /* contact_point: its type; else NULL */
};

struct import_column {
    const struct field *field; /* NULL: the column is ignored */
    int child; /* index into children, -1 = the entity itself */
};

struct import_map {
    const struct entity_desc *desc;
    struct import_column columns[IMPORT_COLUMNS_MAX];
    size_t column_count;
    struct import_child children[IMPORT_CHILDREN_MAX];
    size_t child_count;
    size_t mapped; /* columns that go anywhere */
};

/**
 * import_map_make: headers (count of them) and an optional map text "header=target,header=target" (commas or line
 * breaks). Errors: ERR_USAGE with why: unknown target (with the nearest name), a header of the map that the file lacks,
 * nothing mapped; ERR_LIMIT too many columns.
 */
MUST_USE enum err import_map_make(const struct entity_desc *d, const struct bytes *headers, size_t count,
    struct bytes map, struct import_map *out, struct why *why);

#endif
