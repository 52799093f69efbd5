/*
 * Owns: what a person or a script sees. stdout carries data only: JSON with --json, otherwise lines and tables in the
 * person's language. stderr carries talk: errors, progress. Shows what the node sent and decides nothing.
 */
#include "cli/cli.h"

#include "schema/base/utf8.h"
#include "schema/catalogue.h"
#include "schema/date.h"
#include "sync/audit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TABLE_COLUMNS_MAX = 16, CELL_MAX = 512, CELL_SHOWN_COLUMNS = 44, BAR_WIDTH = 30, CHINA_MS = 8 * 3600 * 1000 };

/* Keys of replies as a person reads them. X(key, zh, en) */
#define HEAD_TABLE(X)                                                                                         \
    X("ack", "回执", "answer")                                                                                \
    X("active", "在岗", "active")                                                                             \
    X("address", "地址", "address")                                                                           \
    X("another_copy", "本节点副本", "another copy")                                                           \
    X("at", "时间", "time")                                                                                   \
    X("audit_entries", "审计条数", "audit entries")                                                           \
    X("authority", "管成员", "holds authority")                                                               \
    X("born_epoch", "备份时代次", "epoch of the backup")                                                      \
    X("born_seq", "备份时序号", "last own commit in it")                                                      \
    X("born_time", "备份时间", "backup made at")                                                              \
    X("bytes", "字节", "bytes")                                                                               \
    X("caught_up", "已对齐", "caught up")                                                                     \
    X("code", "邀请码", "code")                                                                               \
    X("column", "列名", "column")                                                                             \
    X("commit", "提交号", "commit")                                                                           \
    X("commits", "提交数", "commits")                                                                         \
    X("conflict_entries", "冲突条数", "conflict entries")                                                     \
    X("count", "条数", "count")                                                                               \
    X("customers", "客户数", "customers")                                                                     \
    X("decided", "裁定", "decided")                                                                           \
    X("decision", "是裁定", "decision")                                                                       \
    X("corrected_dossiers", "改正的档案", "dossiers corrected")                                               \
    X("deep", "深查", "deep")                                                                                 \
    X("disk", "磁盘", "disk")                                                                                 \
    X("dossiers", "档案数", "dossiers")                                                                       \
    X("entity", "资料", "entity")                                                                             \
    X("entries", "条数", "entries")                                                                           \
    X("epoch", "代次", "epoch")                                                                               \
    X("error", "错误", "error")                                                                               \
    X("event", "做了什么", "event")                                                                           \
    X("exported", "导出", "exported")                                                                         \
    X("faults", "违规次数", "faults")                                                                         \
    X("faulty_peers", "违规节点", "peers with faults")                                                        \
    X("field", "字段", "field")                                                                               \
    X("fields", "字段", "fields")                                                                             \
    X("file", "文件", "file")                                                                                 \
    X("for", "给节点", "for node")                                                                            \
    X("from", "来自节点", "from node")                                                                        \
    X("forks", "分叉的节点", "forks")                                                                         \
    X("grade", "程度", "grade")                                                                               \
    X("group", "集团", "group")                                                                               \
    X("full", "不再收的节点（未能应用的数据太多）", "nodes no more of which is taken: too much unread")       \
    X("unread_bytes", "未能应用的字节", "bytes unread")                                                       \
    X("free_bytes", "剩余字节", "bytes free")                                                                 \
    X("hours", "小时", "hours")                                                                               \
    X("id", "编号", "id")                                                                                     \
    X("ignored", "没有用到的列", "columns not used")                                                          \
    X("imported", "收下", "imported")                                                                         \
    X("in_sync", "已对账", "in sync")                                                                         \
    X("kind", "类型", "kind")                                                                                 \
    X("known", "已有登记", "known")                                                                           \
    X("line", "行", "line")                                                                                   \
    X("links", "线路", "links")                                                                               \
    X("listen", "监听", "listens on")                                                                         \
    X("login", "登录名", "login")                                                                             \
    X("lost_secrets", "密钥丢失、待别的节点补回的档案", "dossiers without their secret, to come from a peer") \
    X("losers", "其他值", "other values")                                                                     \
    X("matches", "登记在", "registered at")                                                                   \
    X("meaning", "含义", "meaning")                                                                           \
    X("member", "成员变更", "change of members")                                                              \
    X("members", "成员名册", "membership entries")                                                            \
    X("members_in_doubt", "名册待核对", "members in doubt")                                                   \
    X("missing", "未到的提交", "not arrived here")                                                            \
    X("name", "姓名", "name")                                                                                 \
    X("newer", "待升级后显示", "kept for an upgrade")                                                         \
    X("news", "新收", "new here")                                                                             \
    X("node", "节点", "node")                                                                                 \
    X("nodes", "节点", "nodes")                                                                               \
    X("number", "序号", "number")                                                                             \
    X("ok", "完好", "ok")                                                                                     \
    X("open", "待裁定", "open")                                                                               \
    X("outbound", "本方发起", "outbound")                                                                     \
    X("owner", "归属人", "owner")                                                                             \
    X("own", "自己的", "own")                                                                                 \
    X("paused_seconds", "暂停秒数", "paused, seconds")                                                        \
    X("peer", "对方节点", "peer")                                                                             \
    X("peers_wait", "暂不收数据", "peers wait")                                                               \
    X("purpose", "目的", "purpose")                                                                           \
    X("quarantined", "待处理", "quarantined")                                                                 \
    X("reason", "理由", "reason")                                                                             \
    X("rebuilt_commits", "重放的提交", "commits applied anew")                                                \
    X("received_bytes", "收到字节", "bytes in")                                                               \
    X("received_commits", "收到提交", "commits in")                                                           \
    X("receipts", "各节点所述", "what nodes said")                                                            \
    X("record", "记录", "record")                                                                             \
    X("recovery_key", "恢复密钥", "recovery key")                                                             \
    X("refused", "退回", "refused")                                                                           \
    X("refused_rows", "退回行数", "rows refused")                                                             \
    X("reserve_bytes", "保留字节", "bytes reserved")                                                          \
    X("result", "结果", "result")                                                                             \
    X("revoked", "已吊销", "revoked")                                                                         \
    X("role", "凭岗位", "by role")                                                                            \
    X("roles", "岗位", "roles")                                                                               \
    X("rule", "规则", "rule")                                                                                 \
    X("running", "在运行", "running")                                                                         \
    X("scope", "范围", "scope")                                                                               \
    X("self", "本节点", "this node")                                                                          \
    X("sent_bytes", "发出字节", "bytes out")                                                                  \
    X("sent_commits", "发出提交", "commits out")                                                              \
    X("seq", "序号", "sequence")                                                                              \
    X("skipped", "跳过", "skipped")                                                                           \
    X("state", "状态", "state")                                                                               \
    X("station", "网点", "station")                                                                           \
    X("stopped", "停在较新格式的提交", "stopped at")                                                          \
    X("time", "时间", "time")                                                                                 \
    X("unconfirmed", "对方未确认", "not confirmed")                                                           \
    X("unreachable", "连不上", "unreachable")                                                                 \
    X("user", "员工", "user")                                                                                 \
    X("value", "值", "value")                                                                                 \
    X("view", "看到", "shown")                                                                                \
    X("winner", "显示的值", "shown value")

/* Codes in replies, by the key they stand under. X(key, code, zh) */
#define WORD_TABLE(X)                     \
    X("kind", "station", "网点")          \
    X("kind", "laptop", "笔记本")         \
    X("kind", "hub", "集团中心")          \
    X("kind", "relay", "中转")            \
    X("kind", "auditor", "审计")          \
    X("scope", "group", "全集团")         \
    X("scope", "station", "本网点")       \
    X("state", "hello", "握手中")         \
    X("state", "live", "连通")            \
    X("state", "closed", "已断开")        \
    X("state", "dialling", "正在连接")    \
    X("state", "waiting", "断开，待重试") \
    X("view", "clear", "原文")            \
    X("view", "masked", "遮蔽")           \
    X("view", "match", "只比对")          \
    X("view", "none", "无")               \
    X("view", "hidden", "不可见")         \
    X("own", "clear", "原文")             \
    X("own", "masked", "遮蔽")            \
    X("own", "match", "只比对")           \
    X("own", "aggregate", "只统计")       \
    X("own", "deny", "不可见")            \
    X("result", "OK", "成功")             \
    X("result", "DENIED", "拒绝")         \
    X("result", "NOT_FOUND", "没有找到")  \
    X("result", "LIMIT", "次数已满")      \
    X("grade", "conflict", "冲突")        \
    X("grade", "agreed", "一致")

static const char *head_of(const struct cli *c, const char *key)
{
    static const struct {
        const char *key, *zh, *en;
    } heads[] = {
#define X(key_, zh_, en_) { key_, zh_, en_ },
        HEAD_TABLE(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        if (strcmp(heads[i].key, key) == 0) {
            return cli_text(c, heads[i].zh, heads[i].en);
        }
    }
    return key;
}

static const char *event_text(const struct cli *c, const char *name)
{
    for (unsigned e = 1; e < AUDIT_EVENT_COUNT; e++) {
        if (strcmp(audit_event_name((enum audit_event)e), name) == 0) {
            return cli_text(c, audit_event_zh((enum audit_event)e), audit_event_en((enum audit_event)e));
        }
    }
    return name;
}

/* A code in the person's language; other texts unchanged. */
static const char *word_of(const struct cli *c, const char *key, const char *text)
{
    static const struct {
        const char *key, *code, *zh;
    } words[] = {
#define X(key_, code_, zh_) { key_, code_, zh_ },
        WORD_TABLE(X)
#undef X
    };
    bool is_policy = strcmp(key, "station") == 0 || strcmp(key, "group") == 0;
    for (size_t i = 0; c->lang != LANG_EN && i < ARRAY_LEN(words); i++) {
        bool is_same_key = strcmp(words[i].key, key) == 0 || (is_policy && strcmp(words[i].key, "own") == 0);
        if (is_same_key && strcmp(words[i].code, text) == 0) {
            return words[i].zh;
        }
    }
    return strcmp(key, "event") == 0 ? event_text(c, text) : text;
}

/* An instant as people here read and write it: China time, to the minute. Anything else unchanged. */
static void put_text(const char *text, char *out, size_t room)
{
    int64_t ms = 0;
    char shown[DATE_TEXT_BYTES];
    bool is_instant = strlen(text) >= 20 && text[10] == 'T' && text[strlen(text) - 1] == 'Z' &&
                      instant_parse(bytes_str(text), &ms) == ERR_OK && instant_is_valid(ms + CHINA_MS);
    if (!is_instant) {
        (void)snprintf(out, room, "%s", text);
        return;
    }
    (void)instant_text(ms + CHINA_MS, shown);
    shown[10] = ' ';
    (void)snprintf(out, room, "%.16s", shown);
}

size_t out_width(const char *text)
{
    struct bytes rest = bytes_str(text);
    size_t width = 0;
    uint32_t cp = 0;
    while (utf8_next(&rest, &cp)) {
        bool wide = (cp >= 0x1100 && cp <= 0x115F) || (cp >= 0x2E80 && cp <= 0xA4CF) ||
                    (cp >= 0xAC00 && cp <= 0xD7A3) || (cp >= 0xF900 && cp <= 0xFAFF) ||
                    (cp >= 0xFE30 && cp <= 0xFE6F) || (cp >= 0xFF00 && cp <= 0xFF60) || cp >= 0x20000;
        width += wide ? 2 : 1;
    }
    return width;
}

static void pad(const char *text, size_t width)
{
    size_t have = out_width(text);
    (void)fputs(text, stdout);
    for (size_t i = have; i < width; i++) {
        (void)fputc(' ', stdout);
    }
}

static void cell_text(const struct cli *c, const char *key, const json_t *v, char *out, size_t room);

static void list_text(const struct cli *c, const char *key, const json_t *v, char *out, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(v) && used + 1 < room; i++) {
        char one[CELL_MAX];
        cell_text(c, key, json_array_get(v, i), one, sizeof(one));
        int n = snprintf(out + used, room - used, "%s%s", i == 0 ? "" : " ", one);
        used += n < 0 ? 0 : (size_t)n < room - used ? (size_t)n : room - used - 1;
    }
}

/* A value as the field view gives it, or a text in both languages. */
static void object_text(const struct cli *c, const json_t *v, char *out, size_t room)
{
    const json_t *value = json_object_get(v, "value");
    const char *view = json_string_value(json_object_get(v, "view"));
    const char *word = json_string_value(json_object_get(v, c->lang == LANG_EN ? "en" : "zh"));
    if (value != NULL) {
        cell_text(c, "value", value, out, room);
    } else if (view != NULL) {
        (void)snprintf(out, room, "(%s)", word_of(c, "view", view));
    } else if (word != NULL) {
        (void)snprintf(out, room, "%s", word);
    }
}

static void cell_text(const struct cli *c, const char *key, const json_t *v, char *out, size_t room)
{
    out[0] = '\0';
    switch (json_typeof(v)) {
    case JSON_STRING:
        put_text(word_of(c, key, json_string_value(v)), out, room);
        break;
    case JSON_INTEGER:
        (void)snprintf(out, room, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_TRUE:
        (void)snprintf(out, room, "%s", cli_text(c, "是", "yes"));
        break;
    case JSON_FALSE:
        (void)snprintf(out, room, "%s", cli_text(c, "否", "no"));
        break;
    case JSON_ARRAY:
        list_text(c, key, v, out, room);
        break;
    case JSON_OBJECT:
        object_text(c, v, out, room);
        break;
    case JSON_REAL:
    case JSON_NULL:
        break;
    }
}

static const char *label_of(const struct cli *c, const struct entity_desc *d, const char *name)
{
    const struct field *f = d == NULL ? NULL : catalogue_field_by_name(d, bytes_str(name));
    return f == NULL ? name : cli_text(c, f->zh, f->en);
}

static const struct entity_desc *entity_of(const json_t *record)
{
    const char *entity = json_string_value(json_object_get(record, "entity"));
    const char *id = json_string_value(json_object_get(record, "id"));
    if (entity != NULL) {
        return catalogue_entity_by_name(bytes_str(entity));
    }
    return id == NULL ? NULL : catalogue_entity_by_name(bytes_of(id, strcspn(id, "/")));
}

/* A code is shown with what it means: "F 女". */
static void add_meaning(const struct cli *c, const json_t *field, char value[CELL_MAX])
{
    const json_t *meaning = json_object_get(field, "meaning");
    const char *word = json_string_value(json_object_get(meaning, c->lang == LANG_EN ? "en" : "zh"));
    size_t used = strlen(value);
    if (word != NULL && strcmp(word, value) != 0) {
        (void)snprintf(value + used, CELL_MAX - used, " %s", word);
    }
}

/* One record: id, then a line per field, with what is masked or contested marked. */
static void print_record(const struct cli *c, const json_t *record)
{
    const struct entity_desc *d = entity_of(record);
    const char *name = NULL;
    json_t *field = NULL;
    size_t width = 0;
    (void)printf("%s\n", json_string_value(json_object_get(record, "id")));
    json_object_foreach(json_object_get(record, "fields"), name, field)
    {
        size_t w = out_width(label_of(c, d, name));
        width = w > width ? w : width;
    }
    json_object_foreach(json_object_get(record, "fields"), name, field)
    {
        const char *view = json_string_value(json_object_get(field, "view"));
        char value[CELL_MAX];
        cell_text(c, name, field, value, sizeof(value));
        add_meaning(c, field, value);
        (void)fputs("  ", stdout);
        pad(label_of(c, d, name), width + 2);
        (void)fputs(value, stdout);
        if (view != NULL && strcmp(view, "masked") == 0) {
            (void)printf("  (%s)", cli_text(c, "已遮蔽", "masked"));
        }
        if (json_is_true(json_object_get(field, "conflict"))) {
            (void)printf("  (%s)", cli_text(c, "有冲突，待裁定", "in conflict"));
        }
        (void)fputc('\n', stdout);
    }
}

struct table {
    const char *columns[TABLE_COLUMNS_MAX];
    size_t widths[TABLE_COLUMNS_MAX];
    size_t count;
};

/* On a terminal long cells are cut, so that lines stay lines; elsewhere nothing is lost. */
static void clip(char *text)
{
    struct bytes rest = bytes_str(text);
    uint32_t cp = 0;
    if (isatty(STDOUT_FILENO) == 0 || out_width(text) <= CELL_SHOWN_COLUMNS) {
        return;
    }
    size_t end = 0;
    while (utf8_next(&rest, &cp)) {
        size_t next = strlen(text) - rest.len;
        char kept = text[next];
        text[next] = '\0';
        bool fits = out_width(text) < CELL_SHOWN_COLUMNS;
        text[next] = kept;
        if (!fits) {
            break;
        }
        end = next;
    }
    memcpy(text + end, "…", sizeof("…")); /* what is cut away was longer */
}

/* Names of entities and fields as labels; false where the row does not say of which entity. */
static bool label_cell(const struct cli *c, const json_t *row, const char *column, char out[CELL_MAX])
{
    const char *entity = json_string_value(json_object_get(row, "entity"));
    const struct entity_desc *d = entity == NULL ? NULL : catalogue_entity_by_name(bytes_str(entity));
    const json_t *v = json_object_get(row, column);
    size_t used = 0;
    if (d != NULL && strcmp(column, "entity") == 0) {
        (void)snprintf(out, CELL_MAX, "%s", cli_text(c, d->zh, d->en));
        return true;
    }
    if (d == NULL || (strcmp(column, "field") != 0 && strcmp(column, "fields") != 0)) {
        return false;
    }
    out[0] = '\0';
    for (size_t i = 0; i < (json_is_array(v) ? json_array_size(v) : 1) && used + 1 < CELL_MAX; i++) {
        const char *name = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        int n = snprintf(out + used, CELL_MAX - used, "%s%s", i == 0 ? "" : cli_text(c, "、", ", "),
            name == NULL ? "" : label_of(c, d, name));
        used += n < 0 ? 0 : (size_t)n < CELL_MAX - used ? (size_t)n : CELL_MAX - used - 1;
    }
    return true;
}

static void table_cell(const struct cli *c, const json_t *row, const char *column, char out[CELL_MAX])
{
    const json_t *en = c->lang == LANG_EN && strcmp(column, "reason") == 0 ? json_object_get(row, "reason_en") : NULL;
    const json_t *v = en != NULL ? en : json_object_get(row, column);
    if (!label_cell(c, row, column, out)) {
        cell_text(c, column, v == NULL ? json_null() : v, out, CELL_MAX);
    }
    clip(out);
}

static void add_column(struct table *t, const char *name)
{
    /* Texts that another column shows already. */
    bool is_known = strcmp(name, "reason_en") == 0 || strcmp(name, "label") == 0;
    for (size_t i = 0; i < t->count; i++) {
        is_known = is_known || strcmp(t->columns[i], name) == 0;
    }
    if (!is_known && t->count < TABLE_COLUMNS_MAX) {
        t->columns[t->count++] = name;
    }
}

/* Columns in the order of the rows, without those that are empty everywhere. */
static void table_layout(const struct cli *c, const json_t *list, struct table *t)
{
    struct table all = { .count = 0 };
    *t = all;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = NULL;
        json_t *v = NULL;
        json_object_foreach(json_array_get(list, i), name, v)
        {
            add_column(&all, name);
        }
    }
    for (size_t k = 0; k < all.count; k++) {
        size_t widest = 0;
        for (size_t i = 0; i < json_array_size(list); i++) {
            char text[CELL_MAX];
            table_cell(c, json_array_get(list, i), all.columns[k], text);
            widest = out_width(text) > widest ? out_width(text) : widest;
        }
        if (widest > 0) {
            size_t head = out_width(head_of(c, all.columns[k]));
            t->columns[t->count] = all.columns[k];
            t->widths[t->count++] = widest > head ? widest : head;
        }
    }
}

static void print_table(const struct cli *c, const json_t *list)
{
    struct table t;
    table_layout(c, list, &t);
    for (size_t k = 0; k < t.count; k++) {
        pad(head_of(c, t.columns[k]), k + 1 < t.count ? t.widths[k] + 2 : 0);
    }
    (void)fputc('\n', stdout);
    for (size_t i = 0; i < json_array_size(list); i++) {
        for (size_t k = 0; k < t.count; k++) {
            char text[CELL_MAX];
            table_cell(c, json_array_get(list, i), t.columns[k], text);
            pad(text, k + 1 < t.count ? t.widths[k] + 2 : 0);
        }
        (void)fputc('\n', stdout);
    }
}

static void print_object(const struct cli *c, const json_t *object)
{
    const char *name = NULL;
    json_t *v = NULL;
    size_t width = 0;
    json_object_foreach((json_t *)(uintptr_t)object, name, v)
    {
        size_t w = out_width(head_of(c, name));
        width = w > width ? w : width;
    }
    json_object_foreach((json_t *)(uintptr_t)object, name, v)
    {
        char text[CELL_MAX];
        if (json_is_array(v) && json_array_size(v) > 0 && json_is_object(json_array_get(v, 0))) {
            (void)printf("%s%s\n", head_of(c, name), cli_text(c, "：", ":"));
            print_table(c, v);
            continue;
        }
        cell_text(c, name, v, text, sizeof(text));
        pad(head_of(c, name), width + 2);
        (void)printf("%s\n", text);
    }
}

/* Verbs whose one answer is meant for $(…). */
static const char *bare_key(const struct cli *c)
{
    static const struct {
        const char *verb;
        const char *key;
    } bare[] = { { "invite", "code" }, { "statehash", "statehash" } };
    for (size_t i = 0; i < ARRAY_LEN(bare); i++) {
        if (strcmp(c->verb->name, bare[i].verb) == 0) {
            return bare[i].key;
        }
    }
    return NULL;
}

void out_result(const struct cli *c, const json_t *result)
{
    const char *key = bare_key(c);
    if (c->is_json) {
        (void)json_dumpf(result, stdout, isatty(STDOUT_FILENO) != 0 ? JSON_INDENT(2) : JSON_COMPACT);
        (void)fputc('\n', stdout);
    } else if (key != NULL && json_is_string(json_object_get(result, key))) {
        (void)printf("%s\n", json_string_value(json_object_get(result, key)));
    } else if (json_is_string(result)) {
        (void)fputs(json_string_value(result), stdout);
    } else if (json_is_object(json_object_get(result, "fields"))) {
        print_record(c, result);
    } else if (json_is_array(result) && json_is_object(json_object_get(json_array_get(result, 0), "fields"))) {
        for (size_t i = 0; i < json_array_size(result); i++) {
            print_record(c, json_array_get(result, i));
        }
    } else if (json_is_array(result)) {
        if (json_array_size(result) == 0) {
            cli_say(c, "没有内容", "nothing");
        } else {
            print_table(c, result);
        }
    } else if (!json_is_null(result)) {
        print_object(c, result);
    }
    (void)fflush(stdout);
}

void out_error(const struct cli *c, enum err e)
{
    bool told = c->why.zh[0] != '\0' && c->why.en[0] != '\0';
    (void)fputs("jipan: ", stderr);
    cli_say(c, told ? c->why.zh : err_zh(e), told ? c->why.en : err_en(e));
}

void out_progress(const struct cli *c, const char *zh, const char *en, size_t done, size_t total, bool is_last)
{
    size_t filled = total == 0 ? BAR_WIDTH : done * BAR_WIDTH / total;
    if (isatty(STDERR_FILENO) == 0) {
        return;
    }
    (void)fprintf(stderr, "\r%s [", cli_text(c, zh, en));
    for (size_t i = 0; i < BAR_WIDTH; i++) {
        (void)fputc(i < filled ? '#' : '.', stderr);
    }
    (void)fprintf(stderr, "] %3zu%%%s", total == 0 ? 100 : done * 100 / total, is_last ? "\n" : "");
}
