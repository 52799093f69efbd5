#ifndef JIPAN_DATE_H
#define JIPAN_DATE_H

#include "schema/base/bytes.h"
#include "schema/base/err.h"

/*
 * Calendar dates as yyyymmdd (0000mmdd: no year) and instants as ms UTC, and their texts. Gregorian, years 1900 to
 * 9999. No clock and no time zone table: an instant written without an offset is China Standard Time, UTC+08:00.
 */
bool date_is_valid(int64_t yyyymmdd, bool month_day_allowed);
bool instant_is_valid(int64_t ms);

/* 2026-03-07, 2026/3/7, 2026.3.7, 2026年3月7日, 20260307; --03-07 and 3月7日 without a year. ASCII digits. ERR_FORMAT.
 */
MUST_USE enum err date_parse(struct bytes text, int64_t *out);

/* A date with a year, then nothing (midnight), or T or a blank and HH:MM[:SS[.mmm]], then Z, +08:00, +0800 or nothing.
 */
MUST_USE enum err instant_parse(struct bytes text, int64_t *out);

enum { DATE_TEXT_BYTES = 32 };
size_t date_text(int64_t yyyymmdd, char out[DATE_TEXT_BYTES]); /* "2026-03-07", "--03-07"; returns the length */
size_t instant_text(int64_t ms, char out[DATE_TEXT_BYTES]); /* "2026-03-07T09:40:00Z"; ms only if not zero */

/* The same day so many years later; 29 February becomes 28 February. */
int64_t date_add_years(int64_t yyyymmdd, int64_t years);

/* Age in whole years on a day; -1 when the year of birth is not known or the day is before the birth. */
int64_t age_on(int64_t birth_yyyymmdd, int64_t today_yyyymmdd);

#endif
