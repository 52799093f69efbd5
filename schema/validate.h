#ifndef JIPAN_VALIDATE_H
#define JIPAN_VALIDATE_H

#include "schema/catalogue.h"
#include "schema/catalogue/codes.h"
#include "schema/date.h"

/*
 * Validators: each is a validate_fn named in the catalogue. It gets a value that already has the right type and length
 * and is trimmed, brings it into its normal form and refuses what cannot be. A normal form is its own normal form.
 */
enum err validate_name(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_pinyin(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_birth(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_uscc(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_contact_norm(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_doc_no(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_region(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_postcode(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_vin(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_plate(const struct field *f, struct arena *a, struct value *v, struct why *why);
enum err validate_engine(const struct field *f, struct arena *a, struct value *v, struct why *why);

/* Sets why to "zh label (name): text" in both languages and returns e. why may be NULL. */
enum err why_field(struct why *why, const struct field *f, enum err e, const char *zh, const char *en);

/* The arithmetic behind them, on text in its normal form (ASCII, upper case). */
bool id_card_is_valid(struct bytes text); /* 18 signs, GB 11643: birth date and check sign */
bool vin_check_is_valid(struct bytes text); /* 17 signs, check sign at position 9 */
bool vin_is_valid(struct bytes text); /* shape, and the check sign unless the maker is foreign (not L...) */
bool uscc_is_valid(struct bytes text); /* 18 signs, GB 32100 */
bool plate_is_valid(struct bytes text); /* 7 signs, or 8 for new energy */
bool region_is_known(struct bytes text); /* 6 digits that start with a province */

/* A document number (already through validate_doc_no) by its type, CODE_DOC_*; old identity numbers get their 18
 * digits. */
MUST_USE enum err doc_no_complete(
    const struct field *f, int64_t doc_type, struct arena *a, struct value *v, struct why *why);

/* A number or address by its type (CODE_CONTACT_*): what is stored in value_norm. ERR_INVALID with why. */
MUST_USE enum err contact_normalise(
    int64_t type, struct arena *a, struct bytes raw, struct bytes *out, struct why *why);
bool mobile_is_valid(struct bytes text); /* ^1[3-9]\d{9}$ */
bool landline_is_valid(struct bytes text); /* area code and 7 or 8 digits */
bool email_is_valid(struct bytes text);

#endif
