#ifndef JIPAN_TESTS_SAMPLE_H
#define JIPAN_TESTS_SAMPLE_H

#include "schema/base/bytes.h"

/*
 * Invented customers of a car dealer, for tests, demo and benches: no real person, but the distributions, mistakes and
 * coincidences of real files. Customer i of a station is a pure function of (seed, station, i): nodes can make the same
 * base independently. Identity numbers use the sequence 000 to 009 only; the car maker LTE and example.com are made up;
 * never connect a node that holds these to a message gateway: the phone numbers have the form of real ones.
 */

/* X(member, bytes, header, other header, import field): the columns in order; bytes include the ending zero. */
#define SAMPLE_TABLE(X)                                              \
    X(full_name, 96, "姓名", "客户姓名", "full_name")                \
    X(kind, 16, "类型", "客户类型", "kind")                          \
    X(sex, 8, "性别", "性别", "sex")                                 \
    X(birth_date, 16, "出生日期", "生日", "birth_date")              \
    X(id_card, 24, "证件号码", "身份证号", "doc_no")                 \
    X(uscc, 24, "信用代码", "统一社会信用代码", "org_uscc")          \
    X(mobile, 64, "手机", "手机号码", "mobile")                      \
    X(mobile2, 16, "备用手机", "其他手机", "mobile")                 \
    X(landline, 24, "座机", "办公电话", "office")                    \
    X(email, 48, "邮箱", "电子邮件", "email")                        \
    X(occupation, 32, "职业", "职业", "occupation")                  \
    X(industry, 32, "行业", "所属行业", "industry")                  \
    X(origin, 24, "来源", "首次来源", "origin")                      \
    X(first_contact, 24, "首次接触", "建档时间", "first_contact_at") \
    X(region, 8, "区划", "行政区划", "region_code")                  \
    X(town, 32, "街道", "乡镇街道", "town")                          \
    X(address, 128, "地址", "详细地址", "detail")                    \
    X(postcode, 8, "邮编", "邮政编码", "postcode")                   \
    X(vin, 24, "车架号", "底盘号", "vin")                            \
    X(plate, 16, "车牌", "车牌号码", "plate_no")                     \
    X(model, 48, "车型", "车型", "model")                            \
    X(consultant, 24, "顾问", "销售顾问", "owner")                   \
    X(consent, 96, "同意", "告知同意", "consent")                    \
    X(remark, 400, "备注", "备注", "remark")

enum sample_column {
#define X(member, bytes, header, other, field) SAMPLE_COLUMN_##member,
    SAMPLE_TABLE(X)
#undef X
        SAMPLE_COLUMNS
};

/* What was spoilt on purpose. X(name, is_refusable, zh): refusable means no rule could repair it. */
#define SAMPLE_DIRT_TABLE(X)                           \
    X(NONE, false, "")                                 \
    X(PHONE_PREFIX, false, "手机带 +86 和空格")        \
    X(PHONE_HYPHENS, false, "手机带连字符")            \
    X(PHONE_FULL_WIDTH, false, "手机为全角数字")       \
    X(PHONE_ZERO, false, "手机前加 0")                 \
    X(PHONE_EXPONENT, true, "手机成了科学计数法")      \
    X(PHONE_WITH_NAME, false, "手机后写了称呼")        \
    X(PHONE_TWO, false, "一格写了两个手机")            \
    X(PHONE_SWAPPED, false, "手机两位颠倒")            \
    X(PHONE_SHORT, true, "手机不完整")                 \
    X(NAME_BLANKS, false, "姓名前后有全角空格")        \
    X(NAME_HOMOPHONE, false, "姓名同音字")             \
    X(NAME_EMPTY, true, "没有姓名")                    \
    X(SEX_WRONG, false, "性别写反")                    \
    X(VIN_LETTERS, false, "车架号 0 写成 O、1 写成 I") \
    X(REMARK_FORMULA, false, "备注像公式")             \
    X(REMARK_BREAKS, false, "备注有引号和换行")

enum sample_dirt {
#define X(name, is_refusable, zh) SAMPLE_DIRT_##name,
    SAMPLE_DIRT_TABLE(X)
#undef X
        SAMPLE_DIRT_COUNT
};

/* How a customer of S2 or S3 is known at S1 already. */
enum sample_twin {
    SAMPLE_TWIN_NONE,
    SAMPLE_TWIN_SAME, /* same mobile and name: 50 % */
    SAMPLE_TWIN_FAMILY, /* same mobile, other name: 20 % */
    SAMPLE_TWIN_CAR, /* same VIN, other owner: 15 % */
    SAMPLE_TWIN_NEW_MOBILE, /* same identity number, new mobile: 10 % */
    SAMPLE_TWIN_NAME, /* only a name that sounds alike: 5 % */
};

enum { SAMPLE_CONSULTANTS_MAX = 32, SAMPLE_TWIN_PER_MILLE = 60 };

struct sample {
    uint64_t seed;
    unsigned station; /* 1 to 3: Guangzhou, Shanghai, Chengdu */
    unsigned dirty_percent; /* of the rows */
    bool fills_all; /* every column of every person has a value: for benches */
    const char *consultants[SAMPLE_CONSULTANTS_MAX]; /* user names; none: SC01 to SC08 */
    size_t consultant_count;
};

/* About 400 bytes of text when fills_all. All strings end with a zero; an empty string is a missing value. */
struct sample_customer {
    uint64_t index;
    enum sample_twin twin;
    enum sample_dirt dirt;
#define X(member, bytes, header, other, field) char member[bytes];
    SAMPLE_TABLE(X)
#undef X
};

/* Pure. station 1 to 3, dirty_percent up to 100. */
void sample_make(const struct sample *s, uint64_t index, struct sample_customer *out);

const char *sample_header(enum sample_column c);
const char *sample_header_other(enum sample_column c); /* as another program would call it */
const char *sample_import_field(enum sample_column c);
struct bytes sample_cell(const struct sample_customer *customer, enum sample_column c); /* borrows */

bool sample_dirt_is_refusable(enum sample_dirt d);
const char *sample_dirt_text(enum sample_dirt d);

/* Names that every set holds, in the customers with odd index from 1 on. */
size_t sample_special_name_count(void);
const char *sample_special_name(size_t i);

#endif
