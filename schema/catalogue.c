/*
 * Owns: the tables of entities and fields, generated from catalogue/all.def, and the lookups in them.
 * Invariants, all checked while compiling: every line has every column; numbers are unique inside an entity and within
 * 1..1000; a derived field is not stored and a stored one has a retention; only public and business values go unmasked;
 * codes have a list and references an entity.
 */
#include "schema/catalogue.h"

#include "schema/base/check.h"
#include "schema/catalogue/codes.h"
#include "schema/catalogue/fields.h"
#include "schema/validate.h"

/* What a read may be for, by theme (domain.md 3.2). */
#define FOR_PERSON                                                                                           \
    (PURPOSE_P1 | PURPOSE_P2 | PURPOSE_P3 | PURPOSE_P4 | PURPOSE_P5 | PURPOSE_P6 | PURPOSE_P7 | PURPOSE_P9 | \
        PURPOSE_P10)
#define FOR_REL     (FOR_PERSON | PURPOSE_P8)
#define FOR_SALES   (PURPOSE_P1 | PURPOSE_P2 | PURPOSE_P5 | PURPOSE_P6 | PURPOSE_P8 | PURPOSE_P9 | PURPOSE_P10)
#define FOR_DOC     (PURPOSE_P2 | PURPOSE_P9 | PURPOSE_P10)
#define FOR_CAR     (FOR_REL & ~PURPOSE_P6)
#define FOR_CONSENT FOR_REL
#define FOR_ORG     (FOR_REL | PURPOSE_P11)

/* clang-format off */
#define LIST(name) (&codes_##name)
#define NO_LIST    NULL

#define BEGIN(entity, name, zh, en, is_event) static const struct field fields_##name[] = {
#define FIELD(symbol, number_, name_, zh_, en_, type_, lo_, hi_, codes_, class_name, merge_, mask_, purposes_, retention_, \
    flags_, ref_, validator_)                                                                                           \
    { .number = (number_), .name = #name_, .zh = "" zh_, .en = "" en_, .type = FIELD_##type_, .lo = (lo_), .hi = (hi_), \
      .codes = codes_, .class_ = CLASS_##class_name, .merge = MERGE_##merge_, .mask = MASK_##mask_,                     \
      .purposes = (purposes_), .retention = RETENTION_##retention_, .flags = (flags_), .ref = ENTITY_##ref_,            \
      .validate = validator_ },
#define END(entity, name) };
#include "schema/catalogue/all.def"
#undef BEGIN
#undef FIELD
#undef END

/* A number used twice is a duplicate case label. */
#define BEGIN(entity, name, zh, en, is_event)                            \
    static inline __attribute__((unused)) void unique_##name(int number) \
    {                                                                    \
        switch (number) {
#define FIELD(symbol, number_, name_, zh_, en_, type_, lo_, hi_, codes_, class_name, merge_, mask_, purposes_, retention_, \
    flags_, ref_, validator_)                                                                                           \
        case (number_): break;
#define END(entity, name) default: break; } }
#include "schema/catalogue/all.def"
#undef BEGIN
#undef FIELD
#undef END

#define HAS_LIST(name) 1
#define HAS_NO_LIST    0
#define BEGIN(entity, name, zh, en, is_event)                                 \
    enum { DESCRIBED_##entity };                                              \
    _Static_assert(sizeof(zh) > 1 && sizeof(en) > 1, "labels of " #name);     \
    _Static_assert(ARRAY_LEN(fields_##name) <= FIELDS_PER_ENTITY_MAX, "too many fields in " #name);
#define FIELD(symbol, number_, name_, zh_, en_, type_, lo_, hi_, codes_, class_name, merge_, mask_, purposes_, retention_, \
    flags_, ref_, validator_)                                                                                           \
    _Static_assert((number_) >= 1 && (number_) <= 1000, "number of " #symbol);                                          \
    _Static_assert(sizeof(#name_) > 1 && sizeof(zh_) > 1 && sizeof(en_) > 1, "name and labels of " #symbol);            \
    _Static_assert((lo_) <= (hi_), "bounds of " #symbol);                                                               \
    _Static_assert((purposes_) != PURPOSE_NONE, "purposes of " #symbol);                                                \
    _Static_assert((MERGE_##merge_ == MERGE_DERIVED) == (RETENTION_##retention_ == RETENTION_NONE),                     \
        "derived fields are not stored, stored fields have a retention: " #symbol);                                     \
    _Static_assert(MERGE_##merge_ != MERGE_DERIVED || ((flags_) & (FIELD_REQUIRED | FIELD_INDEXED)) == 0,               \
        "a derived field is neither required nor indexed: " #symbol);                                                   \
    _Static_assert(MASK_##mask_ != MASK_NONE || CLASS_##class_name <= CLASS_BUSINESS, "unmasked: " #symbol);            \
    _Static_assert(((flags_) & FIELD_HIDDEN) == 0 || MASK_##mask_ == MASK_HIDE, "hidden but shown: " #symbol);          \
    _Static_assert((HAS_##codes_ == 1) == (FIELD_##type_ == FIELD_CODE || FIELD_##type_ == FIELD_CODES),                \
        "codes have a list, nothing else has: " #symbol);                                                               \
    _Static_assert((ENTITY_##ref_ != ENTITY_NONE) == (FIELD_##type_ == FIELD_REF), "reference of " #symbol);            \
    _Static_assert(MERGE_##merge_ != MERGE_SET || FIELD_##type_ == FIELD_CODES || FIELD_##type_ == FIELD_TEXTS,         \
        "only sets merge as sets: " #symbol);                                                                           \
    _Static_assert(MERGE_##merge_ != MERGE_STATE || FIELD_##type_ == FIELD_CODE, "states are codes: " #symbol);         \
    _Static_assert(((flags_) & FIELD_DOSSIER) == 0 || (number_) == 1, "the dossier is field 1: " #symbol);
#define END(entity, name)
#include "schema/catalogue/all.def"
#undef BEGIN
#undef FIELD
#undef END

/* Every entity of ENTITY_TABLE is described in all.def, and the other way round. */
#define X(name, number, symbol, home) HOME_OF_##name = HOME_##home + 0 * DESCRIBED_##name,
enum { ENTITY_TABLE(X) };
#undef X

static const struct entity_desc entities[] = {
#define BEGIN(entity_, name_, zh_, en_, is_event_)                                                   \
    { .entity = ENTITY_##entity_, .name = #name_, .zh = "" zh_, .en = "" en_,                        \
      .home = (enum entity_home)HOME_OF_##entity_, .is_event = (is_event_), .fields = fields_##name_, \
      .field_count = ARRAY_LEN(fields_##name_) },
#define FIELD(symbol, number_, name_, zh_, en_, type_, lo_, hi_, codes_, class_name, merge_, mask_, purposes_, retention_, \
    flags_, ref_, validator_)
#define END(entity, name)
#include "schema/catalogue/all.def"
#undef BEGIN
#undef FIELD
#undef END
};
/* clang-format on */

const struct entity_desc *catalogue_entities(size_t *count)
{
    *count = ARRAY_LEN(entities);
    return entities;
}

const struct entity_desc *catalogue_entity(enum entity e)
{
    for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
        if (entities[i].entity == e) {
            return &entities[i];
        }
    }
    return NULL;
}

const struct entity_desc *catalogue_entity_by_name(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
        if (bytes_equal(bytes_str(entities[i].name), name)) {
            return &entities[i];
        }
    }
    return NULL;
}

const struct field *catalogue_field(const struct entity_desc *d, uint32_t number)
{
    /* Numbers are dense from 1 in most entities, so the guess is nearly always right. */
    if (number >= 1 && number <= d->field_count && d->fields[number - 1].number == number) {
        return &d->fields[number - 1];
    }
    for (size_t i = 0; i < d->field_count; i++) {
        if (d->fields[i].number == number) {
            return &d->fields[i];
        }
    }
    return NULL;
}

const struct field *catalogue_field_by_name(const struct entity_desc *d, struct bytes name)
{
    for (size_t i = 0; i < d->field_count; i++) {
        if (bytes_equal(bytes_str(d->fields[i].name), name)) {
            return &d->fields[i];
        }
    }
    return NULL;
}

size_t catalogue_field_index(const struct entity_desc *d, const struct field *f)
{
    check(f >= d->fields && f < d->fields + d->field_count);
    return (size_t)(f - d->fields);
}

const struct field *catalogue_input_alias(const struct entity_desc *d, struct bytes name)
{
    if (d->entity == ENTITY_CONTACT_POINT && bytes_equal(name, BYTES_LIT("value"))) {
        return catalogue_field(d, CONTACT_POINT_VALUE_RAW);
    }
    return NULL;
}

enum { NAME_BYTES_MAX = 40, NEAR_EDITS = 2 };

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein distance; names longer than NAME_BYTES_MAX are near nothing. */
static size_t edit_distance(struct bytes x, struct bytes y)
{
    size_t row[NAME_BYTES_MAX + 1];
    if (x.len > NAME_BYTES_MAX || y.len > NAME_BYTES_MAX) {
        return NAME_BYTES_MAX;
    }
    for (size_t j = 0; j <= y.len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= x.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= y.len; j++) {
            size_t above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (x.ptr[i - 1] == y.ptr[j - 1] ? 0 : 1));
            diagonal = above;
        }
    }
    return row[y.len];
}

static void keep_nearer(struct bytes wanted, const char *candidate, const char **best, size_t *best_edits)
{
    size_t edits = edit_distance(wanted, bytes_str(candidate));
    if (edits < *best_edits && edits < wanted.len) {
        *best_edits = edits;
        *best = candidate;
    }
}

const char *catalogue_nearest_entity(struct bytes name)
{
    const char *best = NULL;
    size_t edits = NEAR_EDITS + 1;
    for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
        keep_nearer(name, entities[i].name, &best, &edits);
    }
    return best;
}

const char *catalogue_nearest_field(const struct entity_desc *d, struct bytes name)
{
    const char *best = NULL;
    size_t edits = NEAR_EDITS + 1;
    for (size_t i = 0; i < d->field_count; i++) {
        if ((d->fields[i].flags & FIELD_HIDDEN) == 0) {
            keep_nearer(name, d->fields[i].name, &best, &edits);
        }
    }
    return best;
}

static uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool same_text(struct bytes a, const char *b)
{
    size_t len = strlen(b);
    if (a.len != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower((uint8_t)b[i])) {
            return false;
        }
    }
    return true;
}

const struct code *code_by_text(const struct code_list *list, struct bytes text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (same_text(text, list->codes[i].key)) {
            return &list->codes[i];
        }
    }
    for (size_t i = 0; i < list->count; i++) {
        if (same_text(text, list->codes[i].zh) || same_text(text, list->codes[i].en)) {
            return &list->codes[i];
        }
    }
    return NULL;
}

const struct code *code_by_number(const struct code_list *list, int64_t number)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->codes[i].number == number) {
            return &list->codes[i];
        }
    }
    return NULL;
}
