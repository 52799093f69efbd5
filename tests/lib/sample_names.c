/*
 * Owns: names of invented people and companies: surnames by their weights, given names by decade of birth, names that
 * sound alike, names that break programs.
 */
#include "schema/base/attrs.h"
#include "schema/base/utf8.h"
#include "tests/lib/sample_parts.h"

#include <stdio.h>

enum { SURNAMES_ALL = 10000, LEADER_BONUS_PER_MILLE = 25, ONE_IN_TAIL_FIRST = 68, TAIL_STEP_PER_MILLE = 780 };

/* Per 10,000. */
static const char *const head_surnames[] = { "王", "李", "张", "刘", "陈", "杨", "黄", "赵", "吴", "周", "徐", "孙",
    "马", "朱", "胡", "郭", "何", "高", "林", "罗", "郑", "梁" };
static const unsigned head_weights[] = { 725, 719, 683, 520, 433, 300, 220, 215, 200, 195, 145, 140, 130, 128, 125, 118,
    112, 108, 107, 101, 95, 92 };
static const char *const tail_surnames[] = { "谢", "宋", "唐", "许", "韩", "冯", "邓", "曹", "彭", "曾", "肖", "田",
    "董", "袁", "潘", "于", "蒋", "蔡", "余", "杜", "叶", "程", "苏", "魏", "吕", "丁", "任", "沈", "姚", "卢", "姜",
    "崔", "钟", "谭", "陆", "汪", "范", "金", "石", "廖", "贾", "夏", "韦", "付", "方", "白", "邹", "孟", "熊", "秦",
    "邱", "江", "尹", "薛", "闫", "段", "雷", "侯", "龙", "史", "陶", "黎", "贺", "顾", "毛", "郝", "龚", "邵", "万",
    "钱", "严", "覃", "武", "戴", "莫", "孔", "向", "常" };
enum { HEAD_WEIGHT = 5611, TAIL_WEIGHT = 2960 };
static const char *const rare_surnames[] = { "单", "解", "仇", "区", "查", "翟", "樊", "兰", "殷", "施", "洪", "柳",
    "庄", "路", "柴", "蒙", "欧", "鲍", "庞", "颜", "倪", "梅", "盛", "牛", "温", "芦", "季", "俞", "章", "鲁", "葛",
    "伍", "申", "尤", "毕", "聂", "焦", "左", "岳", "齐", "裴", "祝", "穆", "喻", "丘", "冼", "麦", "岑", "粟", "瞿" };
static const char *const compound_surnames[] = { "欧阳", "上官", "皇甫", "令狐", "诸葛", "司徒", "司马", "申屠", "夏侯",
    "尉迟" };
static const unsigned compound_weights[] = { 1112, 88, 64, 55, 48, 47, 23, 19, 11, 5 };
static const char *const minority_first[] = { "阿依古丽", "买买提", "古丽娜尔", "吐尔逊", "艾力", "迪丽努尔", "巴特尔",
    "其其格", "扎西", "卓玛" };
static const char *const minority_last[] = { "吐尔逊", "艾买提", "卡德尔", "热合曼", "依明", "多吉", "次仁" };

/* One-character given names by decade; a name stands as often as it is frequent. */
static const char *const one_male[5][10] = {
    { "军", "伟", "平", "强", "明", "刚", "勇", "伟", "华", "斌" },
    { "伟", "勇", "军", "强", "伟", "涛", "斌", "辉", "伟", "波" },
    { "磊", "洋", "超", "鹏", "伟", "杰", "伟", "凯", "伟", "亮" },
    { "浩", "宇", "鑫", "帅", "伟", "龙", "阳", "博", "旭", "晨" },
    { "睿", "浩", "宸", "宇", "轩", "博", "航", "辰", "奕", "宁" },
};
static const char *const one_female[5][10] = {
    { "英", "芳", "兰", "霞", "敏", "萍", "红", "玲", "琴", "珍" },
    { "丽", "静", "敏", "艳", "燕", "芳", "红", "霞", "娟", "梅" },
    { "婷", "娜", "丹", "雪", "静", "丽", "倩", "颖", "娜", "莉" },
    { "悦", "欣", "蕾", "瑶", "璐", "琳", "雪", "佳", "婷", "颖" },
    { "涵", "萱", "彤", "妍", "琪", "怡", "晗", "诺", "菲", "玥" },
};
static const char *const two_male[5][8] = {
    { "建国", "国强", "建华", "志强", "建军", "国华", "德明", "永福" },
    { "志勇", "建平", "海涛", "晓明", "文斌", "永强", "建波", "国栋" },
    { "晓鹏", "志伟", "海波", "俊峰", "文超", "建磊", "晓东", "少华" },
    { "俊杰", "浩宇", "志豪", "嘉伟", "文博", "子豪", "天宇", "明轩" },
    { "子轩", "浩然", "宇航", "子睿", "梓豪", "俊熙", "一鸣", "思远" },
};
static const char *const two_female[5][8] = {
    { "秀英", "桂兰", "秀兰", "玉梅", "桂英", "淑珍", "凤霞", "玉兰" },
    { "丽华", "晓燕", "海燕", "秀丽", "丽娟", "春梅", "雪梅", "小红" },
    { "晓婷", "丽娜", "雪丹", "文静", "海霞", "佳丽", "小雪", "慧敏" },
    { "佳怡", "雨欣", "思琪", "雨晴", "梦婷", "雅静", "诗雨", "晓雯" },
    { "梓涵", "诗涵", "欣怡", "雨桐", "可馨", "子涵", "语嫣", "若曦" },
};
static const char *const male_last[] = { "军", "强", "华", "明", "平", "辉", "峰", "东", "林", "波", "涛", "伟", "杰",
    "鹏", "飞", "龙", "宇", "毅", "斌", "航" };
static const char *const female_last[] = { "英", "兰", "梅", "芳", "玲", "燕", "红", "霞", "静", "婷", "娜", "雪", "颖",
    "琳", "洁", "怡", "欣", "蓉", "萍", "莹" };
static const char *const first_given[5][8] = {
    { "建", "国", "志", "玉", "永", "德", "春", "文" },
    { "建", "志", "海", "晓", "文", "永", "金", "春" },
    { "晓", "海", "俊", "文", "志", "少", "小", "佳" },
    { "俊", "嘉", "文", "雨", "思", "佳", "梦", "天" },
    { "子", "梓", "浩", "欣", "一", "若", "思", "宇" },
};
static const unsigned one_per_mille[5] = { 100, 210, 180, 110, 40 };

static const char *const specials[] = { "欧阳文静", "尉迟明", "单丽华", "曾雨晴", "解建平", "仇海燕", "区永强",
    "查文博", "覃秀兰", "翟思远", "阿依古丽·吐尔逊", "阿依古丽•吐尔逊", "阿依古丽．吐尔逊", "㼆文华", "䶮志强",
    "赵𬭚", "𠮷建国", "李娜", "李哪", "王晓明", "王小明", "王晓鸣", "广州市某某汽车租赁有限公司", "SMITH JOHN",
    " 　刘志勇　 " };

size_t sample_special_name_count(void)
{
    return ARRAY_LEN(specials);
}

const char *sample_special_name(size_t i)
{
    return specials[i % ARRAY_LEN(specials)];
}

/* A curve that falls from 68 to 8 over the 78 surnames. */
static const char *tail_surname(struct sample_draw *d)
{
    unsigned weights[ARRAY_LEN(tail_surnames)];
    for (size_t i = 0; i < ARRAY_LEN(weights); i++) {
        weights[i] = ONE_IN_TAIL_FIRST - (unsigned)i * TAIL_STEP_PER_MILLE / 1000;
    }
    return tail_surnames[sample_draw_weighted(d, weights, ARRAY_LEN(weights))];
}

static const char *surname(struct sample_draw *d, unsigned station)
{
    if (sample_draw_chance(d, LEADER_BONUS_PER_MILLE)) {
        return sample_city(station)->leader;
    }
    uint64_t r = sample_draw_below(d, SURNAMES_ALL);
    if (r < HEAD_WEIGHT) {
        return head_surnames[sample_draw_weighted(d, head_weights, ARRAY_LEN(head_weights))];
    }
    if (r < HEAD_WEIGHT + TAIL_WEIGHT) {
        return tail_surname(d);
    }
    return sample_draw_chance(d, 30)
               ? compound_surnames[sample_draw_weighted(d, compound_weights, ARRAY_LEN(compound_weights))]
               : SAMPLE_PICK(d, rare_surnames);
}

void sample_person_name(struct sample_draw *d, unsigned station, bool is_male, unsigned decade, char *out, size_t room)
{
    if (sample_draw_chance(d, 8)) {
        (void)snprintf(out, room, "%s·%s", SAMPLE_PICK(d, minority_first), SAMPLE_PICK(d, minority_last));
        return;
    }
    const char *family = surname(d, station);
    if (sample_draw_chance(d, one_per_mille[decade])) {
        (void)snprintf(
            out, room, "%s%s", family, is_male ? SAMPLE_PICK(d, one_male[decade]) : SAMPLE_PICK(d, one_female[decade]));
        return;
    }
    if (sample_draw_chance(d, 300)) {
        (void)snprintf(
            out, room, "%s%s", family, is_male ? SAMPLE_PICK(d, two_male[decade]) : SAMPLE_PICK(d, two_female[decade]));
        return;
    }
    (void)snprintf(out, room, "%s%s%s", family, SAMPLE_PICK(d, first_given[decade]),
        is_male ? SAMPLE_PICK(d, male_last) : SAMPLE_PICK(d, female_last));
}

void sample_company_name(struct sample_draw *d, unsigned station, char *out, size_t room)
{
    static const char *const words[] = { "某某", "恒通", "鑫源", "华盛", "安达", "瑞丰", "联创", "宏远" };
    static const char *const trades[] = { "汽车租赁", "贸易", "建筑工程", "电子科技", "物流", "餐饮管理", "装饰设计",
        "咨询" };
    (void)snprintf(
        out, room, "%s市%s%s有限公司", sample_city(station)->name, SAMPLE_PICK(d, words), SAMPLE_PICK(d, trades));
}

void sample_homophone(struct sample_draw *d, char *name, size_t room)
{
    static const char *const alike[][2] = { { "伟", "玮" }, { "晓", "小" }, { "静", "婧" }, { "丽", "莉" },
        { "娜", "哪" }, { "明", "铭" }, { "军", "君" }, { "婷", "亭" }, { "华", "桦" }, { "燕", "艳" }, { "峰", "锋" },
        { "杰", "洁" }, { "志", "智" }, { "建", "健" }, { "文", "雯" }, { "海", "骇" }, { "国", "帼" }, { "玉", "钰" },
        { "雨", "羽" }, { "张", "章" }, { "俊", "骏" } };
    size_t start = sample_draw_below(d, ARRAY_LEN(alike));
    for (size_t k = 0; k < ARRAY_LEN(alike); k++) {
        const char *const *pair = alike[(start + k) % ARRAY_LEN(alike)];
        char *at = strstr(name, pair[0]);
        if (at != NULL && strlen(pair[0]) == strlen(pair[1])) {
            memcpy(at, pair[1], strlen(pair[1]));
            return;
        }
    }
    size_t len = strlen(name);
    (void)snprintf(name + len, room - len, "%s", "华");
}
