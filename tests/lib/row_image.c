/*
 * Owns: rows as flat bytes, for the store in memory. Memory failure ends the test (check).
 */
#include "tests/lib/row_image.h"

#include "schema/base/check.h"

#include <stdlib.h>

enum value_type row_image_type(const struct field *f)
{
    static const enum value_type types[] = {
        [FIELD_TEXT] = VALUE_TEXT,
        [FIELD_INT] = VALUE_INT,
        [FIELD_BOOL] = VALUE_INT,
        [FIELD_CODE] = VALUE_INT,
        [FIELD_CODES] = VALUE_SET,
        [FIELD_TEXTS] = VALUE_SET,
        [FIELD_DATE] = VALUE_INT,
        [FIELD_INSTANT] = VALUE_INT,
        [FIELD_REF] = VALUE_ID,
        [FIELD_USER] = VALUE_TEXT,
        [FIELD_STATION] = VALUE_TEXT,
    };
    bool is_stored = f->merge != MERGE_DERIVED && (f->flags & FIELD_DOSSIER) == 0;
    return is_stored ? types[f->type] : VALUE_NULL;
}

/* Image of a row: this head, its values (views empty), then all bytes: versions, extra, each value's. */
struct row_head {
    bool is_deleted;
    size_t versions_len;
    size_t extra_len;
};

static struct bytes take(struct bytes *rest, size_t len)
{
    struct bytes got = bytes_of(rest->ptr, len);
    *rest = bytes_of(rest->ptr + len, rest->len - len);
    return got;
}

struct row row_image_view(struct bytes image, const struct entity_desc *d, struct value *values)
{
    struct bytes rest = image;
    struct row_head head;
    struct row row = { .entity = d->entity, .values = values };
    memcpy(&head, take(&rest, sizeof(head)).ptr, sizeof(head));
    memcpy(values, take(&rest, d->field_count * sizeof(*values)).ptr, d->field_count * sizeof(*values));
    row.is_deleted = head.is_deleted;
    row.versions = take(&rest, head.versions_len);
    row.extra = take(&rest, head.extra_len);
    for (size_t i = 0; i < d->field_count; i++) {
        values[i].s = take(&rest, values[i].s.len);
    }
    check(rest.len == 0);
    return row;
}

enum err row_image_check(const struct entity_desc *d, const struct row *row)
{
    for (size_t i = 0; i < d->field_count; i++) {
        enum value_type want = row_image_type(&d->fields[i]);
        const struct value *v = &row->values[i];
        if (want == VALUE_NULL || v->type == VALUE_NULL) {
            continue;
        }
        if (v->type != want || (v->type == VALUE_ID && v->s.len != RECORD_ID_BYTES)) {
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

static uint8_t *append(uint8_t *at, const void *from, size_t len)
{
    if (len > 0) {
        memcpy(at, from, len);
    }
    return at + len;
}

uint8_t *row_image_new(const struct entity_desc *d, const struct row *row, size_t *len)
{
    struct value values[FIELDS_PER_ENTITY_MAX] = { 0 };
    *len = sizeof(struct row_head) + d->field_count * sizeof(*values) + row->versions.len + row->extra.len;
    for (size_t i = 0; i < d->field_count; i++) {
        if (row_image_type(&d->fields[i]) == VALUE_NULL || row->values[i].type == VALUE_NULL) {
            continue;
        }
        values[i].type = row->values[i].type;
        if (values[i].type == VALUE_INT) {
            values[i].i = row->values[i].i;
        } else {
            values[i].s = row->values[i].s;
        }
        *len += values[i].s.len;
    }
    struct row_head head;
    memset(&head, 0, sizeof(head));
    head.is_deleted = row->is_deleted;
    head.versions_len = row->versions.len;
    head.extra_len = row->extra.len;
    uint8_t *image = malloc(*len);
    check(image != NULL);
    uint8_t *at = append(image, &head, sizeof(head));
    at = append(at, values, d->field_count * sizeof(*values));
    at = append(at, row->versions.ptr, row->versions.len);
    at = append(at, row->extra.ptr, row->extra.len);
    for (size_t i = 0; i < d->field_count; i++) {
        at = append(at, values[i].s.ptr, values[i].s.len);
    }
    check(at == image + *len);
    return image;
}
