/*
 * Owns: the reading of headers and of --map. Pure. Invariant: a column has at most one target; children appear in the
 * order in which columns name them.
 */
#include "node/import_map.h"

#include <stdio.h>

/* Customary headings that are no label of the catalogue. X(heading, target) */
#define HEADING_TABLE(X)                 \
    X("手机", "mobile")                  \
    X("手机号", "mobile")                \
    X("手机号码", "mobile")              \
    X("备用手机", "mobile")              \
    X("其他手机", "mobile")              \
    X("办公电话", "office")              \
    X("信用代码", "org_uscc")            \
    X("座机", "home")                    \
    X("家庭电话", "home")                \
    X("办公室电话", "office")            \
    X("邮箱", "email")                   \
    X("电子邮箱", "email")               \
    X("微信", "wechat")                  \
    X("姓名", "full_name")               \
    X("客户姓名", "full_name")           \
    X("单位名称", "full_name")           \
    X("类型", "kind")                    \
    X("来源", "origin")                  \
    X("首次接触", "first_contact_at")    \
    X("建档时间", "first_contact_at")    \
    X("区划", "address.region_code")     \
    X("行政区划", "address.region_code") \
    X("街道", "address.town")            \
    X("地址", "address.detail")          \
    X("详细地址", "address.detail")      \
    X("邮编", "address.postcode")        \
    X("顾问", "consultant")              \
    X("销售顾问", "consultant")

static const struct {
    const char *heading;
    const char *target;
} headings[] = {
#define X(heading_, target_) { heading_, target_ },
    HEADING_TABLE(X)
#undef X
};

static const char *const contact_types[] = { "mobile", "home", "office", "email", "wechat" };

static int child_slot(struct import_map *m, const struct entity_desc *d, const char *contact_type)
{
    for (size_t i = 0; i < m->child_count; i++) {
        const struct import_child *c = &m->children[i];
        bool same_type = contact_type == NULL ? c->contact_type == NULL
                                              : c->contact_type != NULL && strcmp(c->contact_type, contact_type) == 0;
        /* Two columns of one contact type are two contacts; other children gather their fields in one record. */
        if (c->desc == d && same_type && contact_type == NULL) {
            return (int)i;
        }
    }
    if (m->child_count == IMPORT_CHILDREN_MAX) {
        return -2;
    }
    m->children[m->child_count] = (struct import_child){ .desc = d, .contact_type = contact_type };
    return (int)m->child_count++;
}

static enum err unknown_target(struct bytes target, const struct entity_desc *d, struct why *why)
{
    const char *nearest = catalogue_nearest_field(d, target);
    if (nearest != NULL) {
        return why_setf(why, ERR_USAGE, "没有这个字段；是不是 %s？", "no such field; did you mean %s?", nearest);
    }
    return why_set(why, ERR_USAGE,
        "对应表里有不认识的字段；可写字段名、地址.字段（address.detail）、mobile、email 或 consultant",
        "the map names an unknown field; use a field name, address.detail, mobile, email or consultant");
}

static bool is_writable(const struct field *f)
{
    return f != NULL && f->merge != MERGE_DERIVED && (f->flags & (FIELD_SYSTEM | FIELD_DOSSIER | FIELD_HIDDEN)) == 0;
}

static enum err set_target(struct import_map *m, size_t column, struct bytes target, struct why *why)
{
    struct import_column *c = &m->columns[column];
    const struct entity_desc *contact = catalogue_entity(ENTITY_CONTACT_POINT);
    const uint8_t *dot = target.len == 0 ? NULL : memchr(target.ptr, '.', target.len);
    const struct field *own = catalogue_field_by_name(m->desc, target);
    c->child = -1;
    if (is_writable(own)) {
        c->field = own;
        m->mapped++;
        return ERR_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(contact_types); i++) {
        if (bytes_equal(target, bytes_str(contact_types[i]))) {
            c->field = catalogue_input_alias(contact, BYTES_LIT("value"));
            c->child = child_slot(m, contact, contact_types[i]);
        }
    }
    if (bytes_equal(target, BYTES_LIT("consultant"))) {
        const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER_ASSIGNMENT);
        c->field = catalogue_field_by_name(d, BYTES_LIT("staff"));
        c->child = child_slot(m, d, NULL);
    } else if (dot != NULL) {
        size_t n = (size_t)(dot - target.ptr);
        const struct entity_desc *d = catalogue_entity_by_name(bytes_of(target.ptr, n));
        const struct field *f = d == NULL ? NULL : catalogue_field_by_name(d, bytes_of(dot + 1, target.len - n - 1));
        if (d != NULL && d->home == HOME_CHILD && is_writable(f)) {
            c->field = f;
            c->child = child_slot(m, d, NULL);
        }
    }
    if (c->field == NULL) {
        return unknown_target(target, m->desc, why);
    }
    m->mapped++;
    return c->child == -2 ? why_set(why, ERR_LIMIT, "要导入的附属记录种类太多", "too many kinds of child records")
                          : ERR_OK;
}

static struct bytes trimmed(struct bytes v)
{
    while (v.len > 0 && (v.ptr[0] == ' ' || v.ptr[0] == '\t' || v.ptr[0] == '\r' || v.ptr[0] == '\n')) {
        v = bytes_of(v.ptr + 1, v.len - 1);
    }
    while (v.len > 0 && (v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\t' || v.ptr[v.len - 1] == '\r' ||
                            v.ptr[v.len - 1] == '\n')) {
        v.len--;
    }
    return v;
}

static enum err map_by_heading(struct import_map *m, size_t column, struct bytes heading, struct why *why)
{
    for (size_t i = 0; i < ARRAY_LEN(headings); i++) {
        if (bytes_equal(heading, bytes_str(headings[i].heading))) {
            return set_target(m, column, bytes_str(headings[i].target), why);
        }
    }
    for (size_t i = 0; i < m->desc->field_count; i++) {
        const struct field *f = &m->desc->fields[i];
        bool same = bytes_equal(heading, bytes_str(f->zh)) || bytes_equal(heading, bytes_str(f->name)) ||
                    bytes_equal(heading, bytes_str(f->en));
        if (same && is_writable(f)) {
            return set_target(m, column, bytes_str(f->name), why);
        }
    }
    return ERR_OK;
}

/* One "header=target" of the map. */
static enum err map_entry(
    struct import_map *m, const struct bytes *headers, size_t count, struct bytes entry, struct why *why)
{
    const uint8_t *equals = memchr(entry.ptr, '=', entry.len);
    if (equals == NULL) {
        return why_set(why, ERR_USAGE, "--map 写成 列名=字段,列名=字段", "write --map as header=field,header=field");
    }
    struct bytes header = trimmed(bytes_of(entry.ptr, (size_t)(equals - entry.ptr)));
    struct bytes target = trimmed(bytes_of(equals + 1, entry.len - (size_t)(equals - entry.ptr) - 1));
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal(trimmed(headers[i]), header)) {
            return set_target(m, i, target, why);
        }
    }
    char text[81];
    (void)snprintf(text, sizeof(text), "%.*s", (int)(header.len > 80 ? 80 : header.len), (const char *)header.ptr);
    return why_setf(why, ERR_USAGE, "文件第一行没有这一列：%s", "the file's first line has no column: %s", text);
}

enum err import_map_make(const struct entity_desc *d, const struct bytes *headers, size_t count, struct bytes map,
    struct import_map *out, struct why *why)
{
    *out = (struct import_map){ .desc = d, .column_count = count };
    enum err e = ERR_OK;
    if (count > IMPORT_COLUMNS_MAX) {
        return why_set(why, ERR_LIMIT, "列数太多，最多 64 列", "too many columns; at most 64");
    }
    if (map.len == 0) {
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            e = map_by_heading(out, i, trimmed(headers[i]), why);
        }
    }
    while (e == ERR_OK && map.len > 0) {
        size_t n = 0;
        while (n < map.len && map.ptr[n] != ',' && map.ptr[n] != '\n') {
            n++;
        }
        struct bytes entry = trimmed(bytes_of(map.ptr, n));
        if (entry.len > 0 && entry.ptr[0] != '#') {
            e = map_entry(out, headers, count, entry, why);
        }
        map = bytes_of(map.ptr + n + (n < map.len ? 1 : 0), map.len - n - (n < map.len ? 1 : 0));
    }
    if (e == ERR_OK && out->mapped == 0) {
        e = why_set(why, ERR_USAGE, "第一行没有认得的列名；请用 --map 说明，例如 --map '姓名=full_name,手机=mobile'",
            "no known column in the first line; say with --map, e.g. --map '姓名=full_name,手机=mobile'");
    }
    return e;
}
