/*
 * Owns: the columns of a sample customer and the places where the stations' customers live.
 */
#include "schema/base/attrs.h"
#include "schema/base/check.h"
#include "tests/lib/sample_parts.h"

static const struct {
    size_t offset;
    const char *header;
    const char *other;
    const char *field;
} columns[SAMPLE_COLUMNS] = {
#define X(member, bytes, header, other, field) { offsetof(struct sample_customer, member), header, other, field },
    SAMPLE_TABLE(X)
#undef X
};

const char *sample_header(enum sample_column c)
{
    check(c < SAMPLE_COLUMNS);
    return columns[c].header;
}

const char *sample_header_other(enum sample_column c)
{
    check(c < SAMPLE_COLUMNS);
    return columns[c].other;
}

const char *sample_import_field(enum sample_column c)
{
    check(c < SAMPLE_COLUMNS);
    return columns[c].field;
}

struct bytes sample_cell(const struct sample_customer *customer, enum sample_column c)
{
    check(c < SAMPLE_COLUMNS);
    return bytes_str((const char *)customer + columns[c].offset);
}

static const struct sample_city cities[] = {
    { .name = "广州",
        .area_code = "020",
        .plates = { "粤A", "粤A", "粤A" },
        .province_plate = "粤E",
        .leader = "陈",
        .regions = { { "440106", "天河区", "510620", { "石牌街道", "天河南街道", "员村街道" } },
            { "440104", "越秀区", "510030", { "北京街道", "东山街道", "六榕街道" } },
            { "440103", "荔湾区", "510140", { "昌华街道", "龙津街道", "逢源街道" } },
            { "440105", "海珠区", "510220", { "江南中街道", "赤岗街道", "新港街道" } },
            { "440111", "白云区", "510405", { "三元里街道", "太和镇", "人和镇" } },
            { "440112", "黄埔区", "510700", { "鱼珠街道", "大沙街道", "萝岗街道" } },
            { "440113", "番禺区", "511400", { "市桥街道", "大石街道", "南村镇" } },
            { "440114", "花都区", "510850", { "狮岭镇", "新华街道", "花山镇" } } },
        .region_count = 8 },
    { .name = "上海",
        .area_code = "021",
        .plates = { "沪A", "沪B", "沪C" },
        .province_plate = "沪D",
        .leader = "张",
        .regions = { { "310115", "浦东新区", "200120", { "陆家嘴街道", "花木街道", "惠南镇" } },
            { "310101", "黄浦区", "200001", { "南京东路街道", "外滩街道", "豫园街道" } },
            { "310104", "徐汇区", "200030", { "徐家汇街道", "田林街道", "漕河泾街道" } },
            { "310106", "静安区", "200040", { "南京西路街道", "曹家渡街道", "大宁路街道" } },
            { "310112", "闵行区", "201100", { "莘庄镇", "七宝镇", "古美路街道" } },
            { "310113", "宝山区", "201900", { "友谊路街道", "大场镇", "吴淞街道" } } },
        .region_count = 6 },
    { .name = "成都",
        .area_code = "028",
        .plates = { "川A", "川A", "川A" },
        .province_plate = "川B",
        .leader = "李",
        .regions = { { "510116", "双流区", "610200", { "东升街道", "西航港街道", "黄龙溪镇" } },
            { "510104", "锦江区", "610021", { "春熙路街道", "三圣街道", "狮子山街道" } },
            { "510105", "青羊区", "610031", { "草市街街道", "少城街道", "金沙街道" } },
            { "510106", "金牛区", "610036", { "抚琴街道", "西安路街道", "茶店子街道" } },
            { "510107", "武侯区", "610041", { "浆洗街街道", "玉林街道", "望江路街道" } },
            { "510108", "成华区", "610051", { "双桥子街道", "猛追湾街道", "建设路街道" } } },
        .region_count = 6 },
};

const struct sample_city *sample_city(unsigned station)
{
    check(station >= 1 && station <= ARRAY_LEN(cities));
    return &cities[station - 1];
}
