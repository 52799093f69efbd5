/*
 * Owns: the table of verbs and the small builders that turn words into the arguments of a request.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err need_words(struct cli *c, size_t least, size_t most)
{
    if (c->word_count < least || c->word_count > most) {
        return why_setf(
            &c->why, ERR_USAGE, "参数不对；用法：jipan %s", "wrong arguments; usage: jipan %s", c->verb->words);
    }
    return ERR_OK;
}

static void set_word(struct cli *c, const char *key, size_t i)
{
    (void)json_object_set_new(c->args, key, json_string(c->words[i]));
}

/* "field=value" words from index `first` on, into an object under key. */
static enum err set_fields(struct cli *c, const char *key, size_t first)
{
    json_t *fields = json_object();
    for (size_t i = first; i < c->word_count; i++) {
        const char *equals = strchr(c->words[i], '=');
        char name[80];
        if (equals == NULL || equals == c->words[i] || (size_t)(equals - c->words[i]) >= sizeof(name)) {
            json_decref(fields);
            return why_setf(&c->why, ERR_USAGE, "要写成 字段=值：%s", "write field=value: %s", c->words[i]);
        }
        memcpy(name, c->words[i], (size_t)(equals - c->words[i]));
        name[equals - c->words[i]] = '\0';
        json_t *value = json_string(equals + 1);
        if (value == NULL) {
            json_decref(fields);
            return why_setf(&c->why, ERR_USAGE, "“%s”的值不是 UTF-8 文字", "the value of '%s' is not UTF-8", name);
        }
        (void)json_object_set_new(fields, name, value);
    }
    (void)json_object_set_new(c->args, key, fields);
    return ERR_OK;
}

static enum err build_new(struct cli *c)
{
    enum err e = need_words(c, 2, CLI_WORDS_MAX);
    if (e == ERR_OK) {
        set_word(c, "entity", 0);
        e = set_fields(c, "fields", 1);
    }
    return e;
}

static enum err build_set(struct cli *c)
{
    enum err e = need_words(c, 2, CLI_WORDS_MAX);
    if (e == ERR_OK) {
        set_word(c, "id", 0);
        e = set_fields(c, "fields", 1);
    }
    return e;
}

static enum err set_limit(struct cli *c)
{
    const char *limit = cli_option(c, "limit");
    char *end = NULL;
    long n = limit == NULL ? 1 : strtol(limit, &end, 10);
    if (limit != NULL && (end == limit || *end != '\0' || n <= 0)) {
        return why_set(&c->why, ERR_USAGE, "--limit 要正整数", "--limit needs a positive number");
    }
    if (limit != NULL) {
        (void)json_object_set_new(c->args, "limit", json_integer(n));
    }
    return ERR_OK;
}

static enum err build_find(struct cli *c)
{
    enum err e = need_words(c, 1, CLI_WORDS_MAX);
    if (e == ERR_OK) {
        set_word(c, "entity", 0);
        e = set_fields(c, "where", 1);
    }
    return e == ERR_OK ? set_limit(c) : e;
}

static enum err build_audit(struct cli *c)
{
    enum err e = need_words(c, 0, 0);
    return e == ERR_OK ? set_limit(c) : e;
}

/* A head is one line of hex; a file may hold it. */
static enum err build_audit_verify(struct cli *c)
{
    char line[512] = { 0 };
    const char *against = cli_option(c, "against");
    enum err e = need_words(c, 0, 0);
    if (e != ERR_OK || against == NULL) {
        return e;
    }
    FILE *f = fopen(against, "re");
    if (f != NULL) {
        if (fgets(line, sizeof(line), f) != NULL) {
            line[strcspn(line, "\r\n")] = '\0';
            against = line;
        }
        (void)fclose(f);
    }
    (void)json_object_set_new(c->args, "against", json_string(against));
    return ERR_OK;
}

static enum err build_id(struct cli *c)
{
    enum err e = need_words(c, 1, 1);
    if (e == ERR_OK) {
        set_word(c, "id", 0);
    }
    return e;
}

static enum err build_known(struct cli *c)
{
    enum err e = need_words(c, 1, 1);
    if (e == ERR_OK) {
        set_word(c, "value", 0);
    }
    return e;
}

static enum err build_get(struct cli *c)
{
    const char *clear = cli_option(c, "clear");
    enum err e = build_id(c);
    if (e == ERR_OK && clear != NULL) {
        json_t *list = json_array();
        while (*clear != '\0') {
            size_t n = strcspn(clear, ",");
            (void)json_array_append_new(list, json_stringn(clear, n));
            clear += n + (clear[n] == ',' ? 1 : 0);
        }
        (void)json_object_set_new(c->args, "clear", list);
    }
    return e;
}

static enum err build_decide(struct cli *c)
{
    enum err e = need_words(c, 1, 1);
    if (e == ERR_OK) {
        set_word(c, "conflict", 0);
    }
    if (e == ERR_OK && (cli_option(c, "take") == NULL) == (cli_option(c, "value") == NULL)) {
        e = why_set(&c->why, ERR_USAGE, "用 --take 提交号 选一方，或用 --value 写新值",
            "choose one side with --take DOT, or write a value with --value");
    }
    if (e == ERR_OK && cli_option(c, "reason") == NULL) {
        e = why_set(&c->why, ERR_USAGE, "请用 --reason 写明理由", "give the reason with --reason");
    }
    return e;
}

static enum err build_login_word(struct cli *c)
{
    enum err e = need_words(c, 1, 1);
    if (e == ERR_OK) {
        set_word(c, "login", 0);
    }
    return e;
}

static enum err set_new_password(struct cli *c)
{
    struct secret s;
    enum err e = secret_read(c, cli_option(c, "new-password-file"), "新密码", "new password", true, &s);
    if (e == ERR_OK) {
        json_t *text = json_stringn(s.text, s.len);
        e = text == NULL ? why_set(&c->why, ERR_INVALID, "密码要是 UTF-8 文字", "a password must be UTF-8") : ERR_OK;
        (void)json_object_set_new(c->args, "password", text);
    }
    secret_wipe(&s);
    return e;
}

static enum err build_user_add(struct cli *c)
{
    enum err e = build_login_word(c);
    return e == ERR_OK ? set_new_password(c) : e;
}

static enum err build_user_passwd(struct cli *c)
{
    return build_user_add(c);
}

static enum err build_user_enable(struct cli *c)
{
    (void)json_object_set_new(c->args, "enable", json_true());
    return build_login_word(c);
}

static enum err set_number(struct cli *c, const char *key, const char *text)
{
    char *end = NULL;
    long n = text == NULL ? 0 : strtol(text, &end, 10);
    if (text == NULL || end == text || *end != '\0' || n <= 0) {
        return why_set(&c->why, ERR_USAGE, "节点编号是正整数；用 jipan node list 查看",
            "a node number is a positive number; see jipan node list");
    }
    (void)json_object_set_new(c->args, key, json_integer(n));
    return ERR_OK;
}

static enum err build_node_id(struct cli *c)
{
    enum err e = need_words(c, 1, 1);
    return e == ERR_OK ? set_number(c, "id", c->words[0]) : e;
}

static enum err build_peer_add(struct cli *c)
{
    enum err e = need_words(c, 1, 1);
    if (e == ERR_OK) {
        set_word(c, "address", 0);
        e = set_number(c, "node", cli_option(c, "node"));
    }
    return e;
}

static enum err build_address(struct cli *c)
{
    enum err e = need_words(c, 1, 1);
    if (e == ERR_OK) {
        set_word(c, "address", 0);
    }
    return e;
}

static enum err build_plain(struct cli *c)
{
    return need_words(c, 0, 0);
}

#define PURPOSE_OPTION                                                                           \
    {                                                                                            \
        "purpose", true, "purpose", "目的，例如 P1 销售跟进", "purpose, e.g. P1 sales follow-up" \
    }
#define OPTIONS_END                   \
    {                                 \
        NULL, false, NULL, NULL, NULL \
    }

static const struct cli_option init_options[] = {
    { "group", true, NULL, "集团名称", "name of the group" },
    { "station", true, NULL, "本节点的网点代码", "code of this node's station" },
    { "admin", true, NULL, "第一个管理员的登录名", "login of the first administrator" },
    OPTIONS_END,
};
static const struct cli_option listen_options[] = {
    { "listen", true, NULL, "监听地址 主机:端口", "listen on host:port" }, OPTIONS_END
};
static const struct cli_option run_options[] = { { "listen", true, NULL, "监听地址 主机:端口", "listen on host:port" },
    { "reserve", true, NULL, "磁盘剩多少 MiB 就不再收别处的数据（默认 5%）",
        "MiB of disk that what other nodes send may not use (default 5 %)" },
    OPTIONS_END };
static const struct cli_option passphrase_options[] = {
    { "recovery-file", true, NULL, "恢复密钥所在文件（忘了口令时）",
        "file with the recovery key (when the passphrase is lost)" },
    { "new-passphrase-file", true, NULL, "新口令所在文件", "file with the new passphrase" },
    OPTIONS_END,
};
static const struct cli_option purpose_options[] = { PURPOSE_OPTION, OPTIONS_END };
static const struct cli_option get_options[] = {
    PURPOSE_OPTION,
    { "clear", true, NULL, "要看原文的字段，用逗号分开", "fields wanted in clear, with commas" },
    OPTIONS_END,
};
static const struct cli_option find_options[] = {
    PURPOSE_OPTION,
    { "limit", true, NULL, "最多几条", "at most so many" },
    OPTIONS_END,
};
static const struct cli_option decide_options[] = {
    { "take", true, "take", "采用哪个提交的值", "take the value of this commit" },
    { "value", true, "value", "另写一个值", "write another value" },
    { "reason", true, "reason", "理由", "reason" },
    { "reopen", false, "reopen", "重新裁定已经裁定的", "decide again what was decided" },
    OPTIONS_END,
};
static const struct cli_option conflicts_options[] = { { "open", false, "open", "只看未裁定的", "only open ones" },
    OPTIONS_END };
static const struct cli_option audit_options[] = {
    { "subject", true, "subject", "关于哪位客户", "about this customer" },
    { "user", true, "user", "谁看的", "by this user" },
    { "limit", true, NULL, "最多几条", "at most so many" },
    OPTIONS_END,
};
static const struct cli_option audit_verify_options[] = {
    { "against", true, NULL, "另一节点见证的链头，或写着它的文件",
        "a head that another node witnessed, or the file that holds it" },
    OPTIONS_END
};
static const struct cli_option user_add_options[] = {
    { "role", true, "roles", "岗位代码，可用逗号写几个", "role codes, several with commas" },
    { "station", true, "station", "网点代码", "station code" },
    { "name", true, "name", "姓名", "name" },
    { "new-password-file", true, NULL, "新密码所在文件", "file that holds the new password" },
    OPTIONS_END,
};
static const struct cli_option user_role_options[] = { { "role", true, "roles", "岗位代码", "role codes" },
    OPTIONS_END };
static const struct cli_option passwd_options[] = {
    { "new-password-file", true, NULL, "新密码所在文件", "file that holds the new password" }, OPTIONS_END
};
static const struct cli_option invite_options[] = {
    { "kind", true, "kind", "station、laptop、hub、relay 或 auditor", "station, laptop, hub, relay or auditor" },
    { "station", true, "station", "网点代码；没有就新建", "station code; created if new" },
    { "scope", true, "scope", "group，或网点代码用逗号分开", "group, or station codes with commas" },
    { "owner", true, "owner", "笔记本属于谁", "whose laptop it is" },
    OPTIONS_END,
};
static const struct cli_option scope_options[] = {
    { "scope", true, "scope", "group，或网点代码用逗号分开；不写就只剩它自己的网点",
        "group, or station codes with commas; without it only its own station" },
    { "owner", true, "owner", "笔记本的新机主（登录名）", "new owner of a laptop (login)" },
    OPTIONS_END,
};
static const struct cli_option revoke_options[] = { { "reason", true, "reason", "理由", "reason" }, OPTIONS_END };
static const struct cli_option peer_options[] = { { "node", true, NULL, "对方的节点编号", "number of the other node" },
    OPTIONS_END };
static const struct cli_option sync_options[] = { { "once", false, NULL, "对完账就返回", "return when in sync" },
    OPTIONS_END };
static const struct cli_option trust_options[] = {
    { "peers-are-gone", false, "peers_are_gone", "确认其他节点都已不在", "all other nodes are gone for good" },
    OPTIONS_END,
};
static const struct cli_option verify_options[] = {
    { "deep", false, "deep", "连同签名、审计链一起验", "signatures and audit chain too" },
    { "rebuild", false, "rebuild", "从变更日志重建各表", "rebuild the tables from the change log" },
    OPTIONS_END,
};
static const struct cli_option bundle_export_options[] = {
    { "for", true, NULL, "给哪个节点：编号，或网点代码、笔记本机主",
        "for which node: number, station code or owner of a laptop" },
    { "all", false, NULL, "对方说已有的也放进去", "also what that node said it has" },
    { "force", false, NULL, "覆盖已有的文件", "overwrite a file that exists" },
    OPTIONS_END,
};
static const struct cli_option bundle_import_options[] = {
    { "ack", true, NULL, "导入后给对方的回执写到哪个文件", "file for the answer to carry back" },
    { "force", false, NULL, "覆盖已有的回执文件", "overwrite an answer that exists" },
    OPTIONS_END,
};
static const struct cli_option backup_options[] = {
    { "force", false, "force", "覆盖已有的备份文件", "overwrite a backup file that exists" }, OPTIONS_END
};
static const struct cli_option restore_options[] = {
    { "force", false, NULL, "目录里已有节点时，把它的库移到一边", "move the store of a node that is there aside" },
    OPTIONS_END,
};
static const struct cli_option import_options[] = {
    { "entity", true, NULL, "customer 或 vehicle", "customer or vehicle" },
    { "map", true, NULL, "列名=字段，用逗号分开，或 @文件", "header=field with commas, or @FILE" },
    { "dry-run", false, NULL, "只检查，不写入", "check only, write nothing" },
    { "refused", true, NULL, "被拒的行写到哪个文件", "file for refused rows" },
    OPTIONS_END,
};
static const struct cli_option export_options[] = {
    PURPOSE_OPTION,
    { "format", true, "format", "csv", "csv" },
    { "output", true, NULL, "写到哪个文件", "file to write" },
    OPTIONS_END,
};
static const struct cli_option policy_options[] = {
    { "role", true, "role", "岗位代码", "role code" },
    PURPOSE_OPTION,
    OPTIONS_END,
};
static const struct cli_option dump_options[] = { { "canonical", false, NULL, "固定排序的全文", "sorted, stable text" },
    PURPOSE_OPTION, OPTIONS_END };

const struct cli_verb cli_verbs[] = {
    { "init", NULL, "init --group 名称 --station 代码 --admin 登录名", "建立集团和第一个节点",
        "found a group and its first node", cmd_init, init_options },
    { "join", NULL, "join 邀请码", "用邀请码加入集团", "join a group with an invite code", cmd_join, listen_options },
    { "run", NULL, "run --listen 主机:端口", "启动节点", "run the node", cmd_run, run_options },
    { "login", NULL, "login 登录名", "登录八小时，其间不必再给密码", "log in for eight hours", cmd_login, NULL },
    { "logout", NULL, "logout", "退出登录", "log out", cmd_logout, NULL },
    { "status", "status", "status", "本节点知道什么、连着谁", "what this node knows and whom it is linked to",
        build_plain, NULL },
    { "new", "new", "new 实体 字段=值 …", "新建一条记录", "create a record", build_new, purpose_options },
    { "set", "set", "set 实体/编号 字段=值 …", "修改一条记录", "change a record", build_set, purpose_options },
    { "delete", "delete", "delete 实体/编号", "删除一条记录", "delete a record", build_id, NULL },
    { "get", "get", "get 实体/编号 --purpose P1", "看一条记录", "show a record", build_get, get_options },
    { "find", "find", "find 实体 字段=值 … --purpose P1", "查找记录", "find records", build_find, find_options },
    { "known", "known", "known 号码 --purpose P1", "这个号码、车或证件是否已有登记",
        "is this number, vehicle or document known", build_known, purpose_options },
    { "history", "history", "history 实体/编号 --purpose P1", "一条记录的全部写入", "every write of a record", build_id,
        purpose_options },
    { "conflicts", "conflicts", "conflicts [--open]", "冲突日志", "the conflict log", build_plain, conflicts_options },
    { "conflict show", "conflict", "conflict show 编号", "看一个冲突", "show one conflict", build_id, NULL },
    { "decide", "decide", "decide 冲突编号 --take 提交号 --reason 理由", "裁定一个冲突", "settle a conflict",
        build_decide, decide_options },
    { "import", NULL, "import 文件 --entity customer", "导入表格", "import a spreadsheet", cmd_import, import_options },
    { "export", NULL, "export 实体 --purpose P1 --output 文件", "导出表格", "export a spreadsheet", cmd_export,
        export_options },
    { "audit", "audit", "audit [--subject customer/编号] [--user 登录名]", "谁看过什么", "who saw what", build_audit,
        audit_options },
    { "audit verify", "audit-verify", "audit verify [--against 链头]", "验证审计链", "verify the audit chain",
        build_audit_verify, audit_verify_options },
    { "audit heads", "audit-heads", "audit heads", "本节点见证的其他节点的审计链头",
        "audit heads of other nodes that this one witnessed", build_plain, NULL },
    { "audit export", NULL, "audit export 文件", "审计链原文和签名的链头，供别处保存",
        "the raw audit chain and a signed head, to keep elsewhere", cmd_audit_export, NULL },
    { "user add", "user-add", "user add 登录名 --role SC --station S1", "新员工", "add a user", build_user_add,
        user_add_options },
    { "user list", "user-list", "user list", "员工名单", "list users", build_plain, NULL },
    { "user role", "user-role", "user role 登录名 --role SC,CS", "改岗位", "change roles", build_login_word,
        user_role_options },
    { "user disable", "user-disable", "user disable 登录名", "停用", "disable a user", build_login_word, NULL },
    { "user enable", "user-disable", "user enable 登录名", "启用", "enable a user", build_user_enable, NULL },
    { "user passwd", "user-passwd", "user passwd 登录名", "改密码", "change a password", build_user_passwd,
        passwd_options },
    { "whoami", "whoami", "whoami", "我是谁、什么岗位", "who am I", build_plain, NULL },
    { "invite", "invite", "invite --kind station --station S2", "发一个邀请码", "make an invite code", build_plain,
        invite_options },
    { "members trust", "members-trust", "members trust --peers-are-gone",
        "从备份恢复后没有别的节点可问时，按本节点的名册继续",
        "after a restore, when no other node is left to ask: go on with the members known here", build_plain,
        trust_options },
    { "node list", "node-list", "node list", "集团的节点", "nodes of the group", build_plain, NULL },
    { "node revoke", "node-revoke", "node revoke 编号 --reason 理由", "吊销节点", "revoke a node", build_node_id,
        revoke_options },
    { "node scope", "node-scope", "node scope 编号 --scope S2,S3", "改节点能存哪些网点的客户，或笔记本归谁",
        "change which stations' customers a node holds, or whose laptop it is", build_node_id, scope_options },
    { "peer add", "peer-add", "peer add 主机:端口 --node 编号", "加一条链路", "add a link", build_peer_add,
        peer_options },
    { "peer list", "peer-list", "peer list", "链路", "list links", build_plain, NULL },
    { "peer remove", "peer-remove", "peer remove 主机:端口", "去掉一条链路", "remove a link", build_address, NULL },
    { "sync", "sync", "sync --once", "马上对账", "reconcile now", build_plain, sync_options },
    { "policy show", "policy-show", "policy show --role SC --purpose P1", "一个岗位能看什么", "what a role may see",
        build_plain, policy_options },
    { "passphrase", NULL, "passphrase [--recovery-file 文件] [--new-passphrase-file 文件]",
        "更换磁盘口令，或用恢复密钥重设", "change the disk passphrase, or set it anew with the recovery key",
        cmd_passphrase, passphrase_options },
    { "bundle export", NULL, "bundle export 文件 --for 节点", "用 U 盘带给另一个节点的数据包（加密）",
        "what another node lacks, in a sealed file for a stick", cmd_bundle_export, bundle_export_options },
    { "bundle import", NULL, "bundle import 文件 [--ack 回执文件]", "导入别的节点带来的数据包",
        "take in a bundle from another node", cmd_bundle_import, bundle_import_options },
    { "backup", NULL, "backup 文件", "备份本节点（节点可以在运行）", "back this node up (it may be running)",
        cmd_backup, backup_options },
    { "restore", NULL, "restore 文件", "用备份恢复节点", "make the node anew from a backup", cmd_restore,
        restore_options },
    { "verify", "verify", "verify [--deep] [--rebuild]", "检查库", "check the store", build_plain, verify_options },
    { "statehash", "statehash", "statehash", "本节点全部内容的摘要", "digest of everything held here", build_plain,
        NULL },
    { "dump", NULL, "dump --canonical --purpose P1", "本人能看的全部内容", "everything you may read", cmd_dump,
        dump_options },
    { "help", NULL, "help [命令|实体]", "说明", "help", cmd_help, NULL },
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL },
};
