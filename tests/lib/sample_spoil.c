/*
 * Owns: the mistakes of real files, one per spoilt row.
 */
#include "schema/base/attrs.h"
#include "schema/base/check.h"
#include "tests/lib/sample_parts.h"

#include <stdio.h>

static const struct {
    bool is_refusable;
    const char *zh;
} kinds[SAMPLE_DIRT_COUNT] = {
#define X(name, is_refusable_, zh_) { is_refusable_, zh_ },
    SAMPLE_DIRT_TABLE(X)
#undef X
};

bool sample_dirt_is_refusable(enum sample_dirt d)
{
    check(d < SAMPLE_DIRT_COUNT);
    return kinds[d].is_refusable;
}

const char *sample_dirt_text(enum sample_dirt d)
{
    check(d < SAMPLE_DIRT_COUNT);
    return kinds[d].zh;
}

static void full_width(const char *digits, char *out)
{
    size_t n = 0;
    for (size_t i = 0; digits[i] != 0; i++) {
        /* U+FF10 to U+FF19 */
        out[n++] = (char)0xEF;
        out[n++] = (char)0xBC;
        out[n++] = (char)(0x90 + (digits[i] - '0'));
    }
    out[n] = 0;
}

static void spoil_mobile(struct sample_draw *d, enum sample_dirt dirt, struct sample_customer *c)
{
    char m[12];
    memcpy(m, c->mobile, sizeof m);
    size_t room = sizeof c->mobile;
    switch ((int)dirt) {
    case SAMPLE_DIRT_PHONE_PREFIX:
        (void)snprintf(c->mobile, room, "+86 %.3s %.4s %.4s", m, m + 3, m + 7);
        break;
    case SAMPLE_DIRT_PHONE_HYPHENS:
        (void)snprintf(c->mobile, room, "%.3s-%.4s-%.4s", m, m + 3, m + 7);
        break;
    case SAMPLE_DIRT_PHONE_FULL_WIDTH:
        full_width(m, c->mobile);
        break;
    case SAMPLE_DIRT_PHONE_ZERO:
        (void)snprintf(c->mobile, room, "0%.11s", m);
        break;
    case SAMPLE_DIRT_PHONE_EXPONENT:
        (void)snprintf(c->mobile, room, "%.1s.%.2sE+10", m, m + 1);
        break;
    case SAMPLE_DIRT_PHONE_WITH_NAME:
        (void)snprintf(c->mobile, room, "%.11s 王先生", m);
        break;
    case SAMPLE_DIRT_PHONE_TWO:
        (void)snprintf(c->mobile, room, "%.11s%s13900000000", m, sample_draw_chance(d, 500) ? "/" : "、");
        break;
    case SAMPLE_DIRT_PHONE_SWAPPED:
        c->mobile[9] = m[10];
        c->mobile[10] = m[9];
        break;
    default:
        c->mobile[5] = 0; /* SAMPLE_DIRT_PHONE_SHORT */
        break;
    }
}

static void spoil_name(struct sample_draw *d, enum sample_dirt dirt, struct sample_customer *c)
{
    char name[sizeof c->full_name];
    memcpy(name, c->full_name, sizeof name);
    if (dirt == SAMPLE_DIRT_NAME_BLANKS) {
        (void)snprintf(c->full_name, sizeof c->full_name, " 　%.80s　", name);
    } else if (dirt == SAMPLE_DIRT_NAME_HOMOPHONE) {
        sample_homophone(d, c->full_name, sizeof c->full_name);
    } else {
        c->full_name[0] = 0;
    }
}

static void spoil_vin(struct sample_customer *c)
{
    for (size_t i = 0; c->vin[i] != 0; i++) {
        if (c->vin[i] == '0') {
            c->vin[i] = 'O';
        } else if (c->vin[i] == '1') {
            c->vin[i] = 'I';
        }
    }
}

static void spoil_remark(enum sample_dirt dirt, struct sample_customer *c)
{
    const char *text = dirt == SAMPLE_DIRT_REMARK_FORMULA ? "=HYPERLINK(\"http://example.com\",\"点我\")"
                                                          : "他说\"月底再看\",\r\n等电话；\n不要打扰";
    (void)snprintf(c->remark, sizeof c->remark, "%s", text);
}

void sample_spoil(struct sample_draw *d, struct sample_customer *c)
{
    c->dirt = (enum sample_dirt)(1 + sample_draw_below(d, SAMPLE_DIRT_COUNT - 1));
    switch (c->dirt) {
    case SAMPLE_DIRT_NAME_BLANKS:
    case SAMPLE_DIRT_NAME_HOMOPHONE:
    case SAMPLE_DIRT_NAME_EMPTY:
        spoil_name(d, c->dirt, c);
        break;
    case SAMPLE_DIRT_SEX_WRONG:
        (void)snprintf(c->sex, sizeof c->sex, "%s", c->sex[0] == 'M' ? "F" : "M");
        break;
    case SAMPLE_DIRT_VIN_LETTERS:
        spoil_vin(c);
        break;
    case SAMPLE_DIRT_REMARK_FORMULA:
    case SAMPLE_DIRT_REMARK_BREAKS:
        spoil_remark(c->dirt, c);
        break;
    case SAMPLE_DIRT_PHONE_PREFIX:
    case SAMPLE_DIRT_PHONE_HYPHENS:
    case SAMPLE_DIRT_PHONE_FULL_WIDTH:
    case SAMPLE_DIRT_PHONE_ZERO:
    case SAMPLE_DIRT_PHONE_EXPONENT:
    case SAMPLE_DIRT_PHONE_WITH_NAME:
    case SAMPLE_DIRT_PHONE_TWO:
    case SAMPLE_DIRT_PHONE_SWAPPED:
    case SAMPLE_DIRT_PHONE_SHORT:
        spoil_mobile(d, c->dirt, c);
        break;
    case SAMPLE_DIRT_NONE:
    case SAMPLE_DIRT_COUNT:
        break;
    }
}
