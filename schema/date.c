/*
 * Owns: the arithmetic and the texts of dates and instants. Pure; knows no time zones beyond a written offset.
 */
#include "schema/date.h"

enum { MS_PER_MINUTE = 60000, MINUTES_PER_DAY = 1440, CHINA_OFFSET_MINUTES = 480, YEAR_MIN = 1900, YEAR_MAX = 9999 };

static const int64_t instant_min = -2208988800000; /* 1900-01-01 */
static const int64_t instant_max = 253402300799999; /* 9999-12-31 23:59:59.999 */

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t month_days(int64_t year, int64_t month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

bool date_is_valid(int64_t v, bool month_day_allowed)
{
    int64_t year = v / 10000;
    int64_t month = v / 100 % 100;
    int64_t day = v % 100;
    if (v <= 0 || month < 1 || month > 12 || day < 1) {
        return false;
    }
    if (year == 0) {
        return month_day_allowed && day <= month_days(2000, month);
    }
    return year >= YEAR_MIN && year <= YEAR_MAX && day <= month_days(year, month);
}

bool instant_is_valid(int64_t ms)
{
    return ms >= instant_min && ms <= instant_max;
}

/* Days before the first of January of a year, from 0001-01-01. */
static int64_t days_before(int64_t year)
{
    int64_t y = year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400;
}

static int64_t day_number(int64_t yyyymmdd)
{
    int64_t year = yyyymmdd / 10000;
    int64_t n = days_before(year) + yyyymmdd % 100 - 1;
    for (int64_t m = 1; m < yyyymmdd / 100 % 100; m++) {
        n += month_days(year, m);
    }
    return n - days_before(1970);
}

static int64_t date_of_day(int64_t day)
{
    int64_t n = day + days_before(1970);
    int64_t year = n / 366 + 1; /* never too late, a few years early at most */
    while (days_before(year + 1) <= n) {
        year++;
    }
    n -= days_before(year);
    int64_t month = 1;
    while (n >= month_days(year, month)) {
        n -= month_days(year, month);
        month++;
    }
    return year * 10000 + month * 100 + n + 1;
}

/* Up to `most` digits off the front; false when there are fewer than `least`. */
static bool take_digits(struct bytes *text, size_t least, size_t most, int64_t *out)
{
    size_t n = 0;
    int64_t v = 0;
    while (n < text->len && n < most && text->ptr[n] >= '0' && text->ptr[n] <= '9') {
        v = v * 10 + (text->ptr[n] - '0');
        n++;
    }
    if (n < least) {
        return false;
    }
    *text = bytes_of(text->ptr + n, text->len - n);
    *out = v;
    return true;
}

static bool take_text(struct bytes *text, struct bytes wanted)
{
    if (text->len < wanted.len || !bytes_equal(bytes_of(text->ptr, wanted.len), wanted)) {
        return false;
    }
    *text = bytes_of(text->ptr + wanted.len, text->len - wanted.len);
    return true;
}

static bool take_separator(struct bytes *text, struct bytes han)
{
    return take_text(text, BYTES_LIT("-")) || take_text(text, BYTES_LIT("/")) || take_text(text, BYTES_LIT(".")) ||
           take_text(text, han);
}

/* A date with a year off the front. */
static bool take_full_date(struct bytes *text, int64_t *out)
{
    struct bytes at = *text;
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;
    if (!take_digits(&at, 4, 4, &year)) {
        return false;
    }
    if (at.len > 0 && at.ptr[0] >= '0' && at.ptr[0] <= '9') {
        if (!take_digits(&at, 2, 2, &month) || !take_digits(&at, 2, 2, &day)) {
            return false;
        }
    } else if (!take_separator(&at, BYTES_LIT("年")) || !take_digits(&at, 1, 2, &month) ||
               !take_separator(&at, BYTES_LIT("月")) || !take_digits(&at, 1, 2, &day)) {
        return false;
    }
    (void)take_text(&at, BYTES_LIT("日"));
    int64_t v = year * 10000 + month * 100 + day;
    if (!date_is_valid(v, false)) {
        return false;
    }
    *text = at;
    *out = v;
    return true;
}

enum err date_parse(struct bytes text, int64_t *out)
{
    struct bytes at = text;
    int64_t month = 0;
    int64_t day = 0;
    int64_t v = 0;
    if (take_full_date(&at, &v)) {
        if (at.len > 0) {
            return ERR_FORMAT;
        }
        *out = v;
        return ERR_OK;
    }
    bool dashes = take_text(&at, BYTES_LIT("--"));
    struct bytes between = dashes ? BYTES_LIT("-") : BYTES_LIT("月");
    if (!take_digits(&at, 1, 2, &month) || !take_text(&at, between) || !take_digits(&at, 1, 2, &day) ||
        (!dashes && !take_text(&at, BYTES_LIT("日"))) || at.len > 0 || !date_is_valid(month * 100 + day, true)) {
        return ERR_FORMAT;
    }
    *out = month * 100 + day;
    return ERR_OK;
}

/* HH:MM[:SS[.mmm]] as ms of the day. */
static bool take_time(struct bytes *text, int64_t *ms)
{
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;
    int64_t fraction = 0;
    if (!take_digits(text, 1, 2, &hour) || !take_text(text, BYTES_LIT(":")) || !take_digits(text, 2, 2, &minute)) {
        return false;
    }
    if (take_text(text, BYTES_LIT(":"))) {
        if (!take_digits(text, 2, 2, &second)) {
            return false;
        }
        if (take_text(text, BYTES_LIT(".")) && !take_digits(text, 3, 3, &fraction)) {
            return false;
        }
    }
    if (hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *ms = ((hour * 60 + minute) * 60 + second) * 1000 + fraction;
    return true;
}

/* Minutes east of UTC. */
static bool take_offset(struct bytes *text, int64_t *minutes)
{
    if (text->len == 0) {
        *minutes = CHINA_OFFSET_MINUTES;
        return true;
    }
    if (take_text(text, BYTES_LIT("Z"))) {
        *minutes = 0;
        return true;
    }
    int64_t sign = take_text(text, BYTES_LIT("+")) ? 1 : take_text(text, BYTES_LIT("-")) ? -1 : 0;
    int64_t hour = 0;
    int64_t minute = 0;
    if (sign == 0 || !take_digits(text, 2, 2, &hour)) {
        return false;
    }
    (void)take_text(text, BYTES_LIT(":"));
    if (!take_digits(text, 2, 2, &minute) || hour > 14 || minute > 59) {
        return false;
    }
    *minutes = sign * (hour * 60 + minute);
    return true;
}

enum err instant_parse(struct bytes text, int64_t *out)
{
    int64_t day = 0;
    int64_t ms = 0;
    int64_t offset = 0;
    if (!take_full_date(&text, &day)) {
        return ERR_FORMAT;
    }
    if (take_text(&text, BYTES_LIT("T")) || take_text(&text, BYTES_LIT(" "))) {
        if (!take_time(&text, &ms)) {
            return ERR_FORMAT;
        }
    }
    if (!take_offset(&text, &offset) || text.len > 0) {
        return ERR_FORMAT;
    }
    int64_t v = (day_number(day) * MINUTES_PER_DAY - offset) * MS_PER_MINUTE + ms;
    if (!instant_is_valid(v)) {
        return ERR_FORMAT;
    }
    *out = v;
    return ERR_OK;
}

static size_t put_padded(char *out, int64_t v, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        out[width - 1 - i] = (char)('0' + v % 10);
        v /= 10;
    }
    return width;
}

size_t date_text(int64_t v, char out[DATE_TEXT_BYTES])
{
    size_t n = 0;
    if (v >= 10000) {
        n = put_padded(out, v / 10000, 4);
    } else {
        out[n++] = '-';
    }
    out[n++] = '-';
    n += put_padded(out + n, v / 100 % 100, 2);
    out[n++] = '-';
    return n + put_padded(out + n, v % 100, 2);
}

size_t instant_text(int64_t ms, char out[DATE_TEXT_BYTES])
{
    const int64_t ms_per_day = (int64_t)MINUTES_PER_DAY * MS_PER_MINUTE;
    int64_t day = ms / ms_per_day - (ms % ms_per_day < 0 ? 1 : 0);
    int64_t rest = ms - day * ms_per_day;
    size_t n = date_text(date_of_day(day), out);
    out[n++] = 'T';
    n += put_padded(out + n, rest / 3600000, 2);
    out[n++] = ':';
    n += put_padded(out + n, rest / MS_PER_MINUTE % 60, 2);
    out[n++] = ':';
    n += put_padded(out + n, rest / 1000 % 60, 2);
    if (rest % 1000 != 0) {
        out[n++] = '.';
        n += put_padded(out + n, rest % 1000, 3);
    }
    out[n++] = 'Z';
    return n;
}

int64_t date_add_years(int64_t v, int64_t years)
{
    int64_t later = v + years * 10000;
    return later % 10000 == 229 && !is_leap(later / 10000) ? later - 1 : later;
}

int64_t age_on(int64_t birth, int64_t today)
{
    if (birth < 10000 || today < birth) {
        return -1;
    }
    return today / 10000 - birth / 10000 - (today % 10000 < birth % 10000 ? 1 : 0);
}
