/*
 * Owns: one invented customer from (seed, station, index). Every topic (name, phone, address, ...) draws from its own
 * stream, so that a change in one leaves the others as they were.
 */
#include "tests/lib/sample.h"

#include "schema/base/attrs.h"
#include "schema/base/check.h"
#include "tests/lib/sample_parts.h"

#include <stdio.h>

enum topic {
    TOPIC_TRAITS,
    TOPIC_NAME,
    TOPIC_ID,
    TOPIC_PHONE,
    TOPIC_ADDRESS,
    TOPIC_CAR,
    TOPIC_WORK,
    TOPIC_PAIR,
    TOPIC_TWIN,
    TOPIC_DIRT
};
enum pair { PAIR_NONE, PAIR_COUPLE, PAIR_REISSUED };
enum { DAYS_PER_MONTH = 28, SPECIAL_EVERY = 2 };

struct traits {
    bool is_company;
    bool is_male;
    unsigned decade; /* 0: 1960s */
};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9U;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBU;
    return x ^ (x >> 31);
}

static uint64_t draw_next(struct sample_draw *d)
{
    d->state += 0x9E3779B97F4A7C15U;
    return mix(d->state);
}

struct sample_draw sample_draw_of(uint64_t seed, unsigned station, uint64_t index, unsigned topic)
{
    uint64_t key = mix(seed + 0x632BE59BD9B4E019U);
    key = mix(key ^ ((uint64_t)station << 8 | topic));
    return (struct sample_draw){ .state = mix(key ^ index) };
}

uint64_t sample_draw_below(struct sample_draw *d, uint64_t bound)
{
    check(bound > 0);
    return draw_next(d) % bound;
}

bool sample_draw_chance(struct sample_draw *d, unsigned per_mille)
{
    return sample_draw_below(d, 1000) < per_mille;
}

size_t sample_draw_weighted(struct sample_draw *d, const unsigned *weights, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += weights[i];
    }
    uint64_t r = sample_draw_below(d, sum);
    size_t i = 0;
    while (r >= weights[i]) {
        r -= weights[i];
        i++;
    }
    return i;
}

static struct sample_draw topic_draw(const struct sample *s, uint64_t index, enum topic topic)
{
    return sample_draw_of(s->seed, s->station, index, (unsigned)topic);
}

/* Customers 2k and 2k+1 may share a mobile: a couple, or a number that was given to a stranger later. */
static enum pair pair_of(const struct sample *s, uint64_t index)
{
    struct sample_draw d = topic_draw(s, index / 2, TOPIC_PAIR);
    uint64_t r = sample_draw_below(&d, 1000);
    if (r < 30) {
        return PAIR_COUPLE;
    }
    return r < 34 ? PAIR_REISSUED : PAIR_NONE;
}

static struct traits traits_of(const struct sample *s, uint64_t index)
{
    static const unsigned decades[] = { 12, 26, 32, 24, 6 };
    struct sample_draw d = topic_draw(s, index, TOPIC_TRAITS);
    struct traits t = { .is_company = sample_draw_chance(&d, 30), .is_male = sample_draw_chance(&d, 580) };
    t.decade = (unsigned)sample_draw_weighted(&d, decades, ARRAY_LEN(decades));
    if (pair_of(s, index) == PAIR_COUPLE) {
        t.is_company = false;
        if (index % 2 == 1) {
            struct sample_draw first = topic_draw(s, index - 1, TOPIC_TRAITS);
            (void)sample_draw_chance(&first, 30);
            t.is_male = !sample_draw_chance(&first, 580);
        }
    }
    return t;
}

/* What links customer index of station 2 or 3 to the same index of station 1. */
static enum sample_twin twin_of(const struct sample *s, unsigned station, uint64_t index)
{
    static const unsigned weights[] = { 50, 20, 15, 10, 5 };
    struct sample_draw d = sample_draw_of(s->seed, station, index, TOPIC_TWIN);
    if (station == 1 || !sample_draw_chance(&d, SAMPLE_TWIN_PER_MILLE)) {
        return SAMPLE_TWIN_NONE;
    }
    return (enum sample_twin)(SAMPLE_TWIN_SAME + sample_draw_weighted(&d, weights, ARRAY_LEN(weights)));
}

/* A customer of station 1 whom another station will know by its card or its car must have one. */
static bool is_known_elsewhere(const struct sample *s, uint64_t index, enum sample_twin by)
{
    return s->station == 1 && (twin_of(s, 2, index) == by || twin_of(s, 3, index) == by);
}

static void make_name(const struct sample *s, const struct traits *t, struct sample_customer *c)
{
    struct sample_draw d = topic_draw(s, c->index, TOPIC_NAME);
    uint64_t special = c->index / SPECIAL_EVERY;
    if (c->index % SPECIAL_EVERY == 1 && special < sample_special_name_count()) {
        (void)snprintf(c->full_name, sizeof c->full_name, "%s", sample_special_name(special));
    } else if (t->is_company) {
        sample_company_name(&d, s->station, c->full_name, sizeof c->full_name);
    } else {
        sample_person_name(&d, s->station, t->is_male, t->decade, c->full_name, sizeof c->full_name);
    }
}

static void make_identity(const struct sample *s, const struct traits *t, struct sample_customer *c)
{
    struct sample_draw d = topic_draw(s, c->index, TOPIC_ID);
    const struct sample_city *city = sample_city(s->station);
    const char *region = city->regions[sample_draw_below(&d, city->region_count)].code;
    bool has_card = sample_draw_chance(&d, 150) || s->fills_all;
    (void)snprintf(c->kind, sizeof c->kind, "%s", t->is_company ? "单位" : "个人");
    if (t->is_company || s->fills_all) {
        sample_uscc(&d, region, c->uscc);
    }
    if (t->is_company) {
        return;
    }
    (void)snprintf(c->sex, sizeof c->sex, "%s", t->is_male ? "M" : "F");
    unsigned years = t->decade == 4 ? 7 : 10; /* nobody is younger than 18 */
    (void)snprintf(c->birth_date, sizeof c->birth_date, "%04u-%02u-%02u",
        1960 + 10 * t->decade + (unsigned)sample_draw_below(&d, years), 1 + (unsigned)sample_draw_below(&d, 12),
        1 + (unsigned)sample_draw_below(&d, DAYS_PER_MONTH));
    if (has_card || is_known_elsewhere(s, c->index, SAMPLE_TWIN_NEW_MOBILE)) {
        sample_id_card(&d, region, c->birth_date, t->is_male, c->id_card);
    }
}

static void make_phones(const struct sample *s, const struct traits *t, struct sample_customer *c)
{
    bool is_shared = pair_of(s, c->index) != PAIR_NONE;
    uint64_t holder = is_shared ? c->index - c->index % 2 : c->index;
    struct sample_draw d = topic_draw(s, holder, TOPIC_PHONE);
    char mobile[12];
    sample_mobile(&d, traits_of(s, holder).decade, mobile);
    memcpy(c->mobile, mobile, sizeof mobile);
    d = topic_draw(s, c->index + (1ULL << 62), TOPIC_PHONE); /* the rest is everybody's own */
    if (sample_draw_chance(&d, 120) || s->fills_all) {
        sample_mobile(&d, t->decade, mobile);
        memcpy(c->mobile2, mobile, sizeof mobile);
    }
    if (sample_draw_chance(&d, 250) || s->fills_all) {
        (void)snprintf(c->landline, sizeof c->landline, "%s%u%07u", sample_city(s->station)->area_code,
            2 + (unsigned)sample_draw_below(&d, 7), (unsigned)sample_draw_below(&d, 10000000));
    }
    if (sample_draw_chance(&d, 250) || s->fills_all) {
        (void)snprintf(c->email, sizeof c->email, "kehu%u.%llu@example.com", s->station, (unsigned long long)c->index);
    }
}

static void make_address(const struct sample *s, struct sample_customer *c)
{
    static const char *const roads[] = { "体育西路", "人民路", "解放路", "中山路", "建设路", "天府路", "五四路",
        "和平路", "文化路", "新华路", "滨江路", "科技路" };
    static const char *const homes[] = { "幸福花园", "锦绣小区", "阳光家园", "翠湖苑", "东方名城", "金桂苑", "丽景湾",
        "御景华庭" };
    uint64_t home = pair_of(s, c->index) == PAIR_COUPLE ? c->index - c->index % 2 : c->index;
    struct sample_draw d = topic_draw(s, home, TOPIC_ADDRESS);
    const struct sample_city *city = sample_city(s->station);
    const struct sample_region *region = &city->regions[sample_draw_below(&d, city->region_count)];
    uint64_t whole = s->fills_all ? 999 : sample_draw_below(&d, 1000);
    (void)snprintf(c->region, sizeof c->region, "%s", region->code);
    if (whole < 50) {
        return; /* nothing but the district */
    }
    (void)snprintf(c->town, sizeof c->town, "%s", SAMPLE_PICK(&d, region->towns));
    (void)snprintf(c->postcode, sizeof c->postcode, "%s", region->postcode);
    const char *road = SAMPLE_PICK(&d, roads);
    unsigned number = 1 + (unsigned)sample_draw_below(&d, 999);
    if (whole < 150) {
        (void)snprintf(c->address, sizeof c->address, "%s", road);
        return;
    }
    (void)snprintf(c->address, sizeof c->address, "%s%u号%s%u栋%u%02u室%s", road, number, SAMPLE_PICK(&d, homes),
        1 + (unsigned)sample_draw_below(&d, 30), 1 + (unsigned)sample_draw_below(&d, 25),
        1 + (unsigned)sample_draw_below(&d, 6), whole < 160 ? "（王某代收）" : "");
}

static void make_car(const struct sample *s, struct sample_customer *c)
{
    static const char *const models[] = { "紧凑型轿车A", "中型轿车B", "SUV-C", "SUV-D 七座", "MPV-E", "纯电轿车F",
        "插混SUV-G", "皮卡H" };
    static const char *const trims[] = { "舒适版", "豪华版", "尊享版" };
    static const char *const colours[] = { "白", "黑", "灰", "银", "蓝", "红" };
    static const unsigned colour_weights[] = { 48, 20, 15, 8, 5, 4 };
    struct sample_draw d = topic_draw(s, c->index, TOPIC_CAR);
    if (!sample_draw_chance(&d, 800) && !s->fills_all && !is_known_elsewhere(s, c->index, SAMPLE_TWIN_CAR)) {
        return;
    }
    sample_vin(&d, s->station, c->index, c->vin);
    if (sample_draw_chance(&d, 960) || s->fills_all) {
        sample_plate(&d, s->station, c->plate);
    }
    const char *model = SAMPLE_PICK(&d, models);
    const char *trim = SAMPLE_PICK(&d, trims);
    (void)snprintf(c->model, sizeof c->model, "%s %s %s", model, trim,
        colours[sample_draw_weighted(&d, colour_weights, ARRAY_LEN(colour_weights))]);
}

static void append(char *out, size_t room, const char *separator, const char *text)
{
    size_t len = strlen(out);
    (void)snprintf(out + len, room - len, "%s%s", len == 0 ? "" : separator, text);
}

static void make_remark(struct sample_draw *d, bool fills_all, struct sample_customer *c)
{
    static const char *const parts[] = { "周末来店", "关注油耗", "已试驾SUV-C", "对比竞品甲", "等年底优惠",
        "家里两个孩子", "置换旧车", "想分期，首付三成", "下午三点后方便接电话", "喜欢白色", "由老客户介绍",
        "担心充电不便", "预算15万左右", "需要儿童座椅", "保养提醒发短信", "下月搬家" };
    size_t count = fills_all ? 6 : sample_draw_below(d, 4);
    for (size_t i = 0; i < count; i++) {
        append(c->remark, sizeof c->remark, "；", SAMPLE_PICK(d, parts));
    }
}

static void make_consent(struct sample_draw *d, bool fills_all, struct sample_customer *c)
{
    static const struct {
        const char *purpose;
        unsigned per_mille;
    } rates[] = { { "销售跟进", 960 }, { "营销短信", 620 }, { "营销邮件", 250 }, { "集团共享", 400 } };
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        if (sample_draw_chance(d, rates[i].per_mille) || (fills_all && i == 0)) {
            append(c->consent, sizeof c->consent, "、", rates[i].purpose);
        }
    }
}

static void make_work(const struct sample *s, struct sample_customer *c)
{
    static const char *const occupations[] = { "教师", "医生", "工程师", "公务员", "个体经营", "销售", "会计", "司机",
        "自由职业", "企业管理", "学生", "退休", "护士", "律师", "技术工人" };
    static const char *const industries[] = { "教育", "医疗", "制造", "政府", "零售", "金融", "物流", "互联网", "建筑",
        "餐饮", "农业", "其他" };
    static const char *const origins[] = { "来店", "来电", "线上", "基盘", "转介绍", "展示会", "特定开拓", "内部情报",
        "VIP" };
    static const unsigned origin_weights[] = { 52, 16, 12, 6, 5, 5, 2, 1, 1 };
    struct sample_draw d = topic_draw(s, c->index, TOPIC_WORK);
    (void)snprintf(c->occupation, sizeof c->occupation, "%s", SAMPLE_PICK(&d, occupations));
    (void)snprintf(c->industry, sizeof c->industry, "%s", SAMPLE_PICK(&d, industries));
    (void)snprintf(c->origin, sizeof c->origin, "%s",
        origins[sample_draw_weighted(&d, origin_weights, ARRAY_LEN(origin_weights))]);
    unsigned month = (unsigned)sample_draw_below(&d, 27); /* 2024-01 to 2026-03 */
    (void)snprintf(c->first_contact, sizeof c->first_contact, "%04u-%02u-%02u %02u:%02u", 2024 + month / 12,
        1 + month % 12, 1 + (unsigned)sample_draw_below(&d, DAYS_PER_MONTH), 9 + (unsigned)sample_draw_below(&d, 9),
        (unsigned)sample_draw_below(&d, 60));
    if (s->consultant_count > 0) {
        (void)snprintf(
            c->consultant, sizeof c->consultant, "%s", s->consultants[sample_draw_below(&d, s->consultant_count)]);
    } else {
        (void)snprintf(c->consultant, sizeof c->consultant, "SC%02u", 1 + (unsigned)sample_draw_below(&d, 8));
    }
    make_consent(&d, s->fills_all, c);
    make_remark(&d, s->fills_all, c);
}

static void make_customer(const struct sample *s, uint64_t index, struct sample_customer *c)
{
    *c = (struct sample_customer){ .index = index };
    struct traits t = traits_of(s, index);
    make_name(s, &t, c);
    make_identity(s, &t, c);
    make_phones(s, &t, c);
    make_address(s, c);
    make_car(s, c);
    make_work(s, c);
}

static void copy_person(const struct sample_customer *from, struct sample_customer *c)
{
    memcpy(c->kind, from->kind, sizeof c->kind);
    memcpy(c->full_name, from->full_name, sizeof c->full_name);
    memcpy(c->sex, from->sex, sizeof c->sex);
    memcpy(c->birth_date, from->birth_date, sizeof c->birth_date);
    memcpy(c->id_card, from->id_card, sizeof c->id_card);
    memcpy(c->uscc, from->uscc, sizeof c->uscc);
}

/* Makes the customer one whom station 1 knows already, in the way of c->twin. */
static void make_twin(const struct sample *s, struct sample_customer *c)
{
    struct sample home = *s;
    home.station = 1;
    struct sample_customer first;
    make_customer(&home, c->index, &first);
    struct sample_draw d = topic_draw(s, c->index, TOPIC_TWIN);
    switch (c->twin) {
    case SAMPLE_TWIN_NONE:
        break;
    case SAMPLE_TWIN_SAME:
        copy_person(&first, c);
        memcpy(c->mobile, first.mobile, sizeof c->mobile);
        break;
    case SAMPLE_TWIN_FAMILY:
        memcpy(c->mobile, first.mobile, sizeof c->mobile);
        break;
    case SAMPLE_TWIN_CAR:
        memcpy(c->vin, first.vin, sizeof c->vin);
        memcpy(c->plate, first.plate, sizeof c->plate);
        memcpy(c->model, first.model, sizeof c->model);
        break;
    case SAMPLE_TWIN_NEW_MOBILE:
        copy_person(&first, c);
        break;
    case SAMPLE_TWIN_NAME:
        memcpy(c->full_name, first.full_name, sizeof c->full_name);
        sample_homophone(&d, c->full_name, sizeof c->full_name);
        break;
    }
}

void sample_make(const struct sample *s, uint64_t index, struct sample_customer *out)
{
    check(s->station >= 1 && s->station <= 3 && s->dirty_percent <= 100);
    check(s->consultant_count <= SAMPLE_CONSULTANTS_MAX);
    make_customer(s, index, out);
    out->twin = twin_of(s, s->station, index);
    make_twin(s, out);
    struct sample_draw d = topic_draw(s, index, TOPIC_DIRT);
    if (sample_draw_chance(&d, 10 * s->dirty_percent)) {
        sample_spoil(&d, out);
    }
}
