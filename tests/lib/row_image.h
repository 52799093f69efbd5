#ifndef JIPAN_TESTS_ROW_IMAGE_H
#define JIPAN_TESTS_ROW_IMAGE_H

#include "sync/store.h"

/* What a field is stored as. Fields that are computed or are the dossier itself are not stored: they read as NULL. */
enum value_type row_image_type(const struct field *f);
enum err row_image_check(const struct entity_desc *d, const struct row *row); /* ERR_INVALID: a value of another type */

/* The row without its id; free() it. */
uint8_t *row_image_new(const struct entity_desc *d, const struct row *row, size_t *len);
/* Bytes are borrowed from the image; values must hold field_count entries. The id is not filled in. */
struct row row_image_view(struct bytes image, const struct entity_desc *d, struct value *values);

#endif
