/*
 * Owns: the way from a JSON request to a JSON reply: find the verb, check the login, run the handler, say what went
 * wrong in both languages. Handlers never see a socket and never write to one. Makes no access decision.
 */
#include "node/request.h"

#include "node/json_mem.h"
#include "schema/base/check.h"

static const struct request_verb *const tables[] = { handlers_read, handlers_known, handlers_write, handlers_bulk,
    handlers_audit, handlers_sync, handlers_login, handlers_backup, handlers_bundle, handlers_admin };

static const struct request_verb *find_verb(const char *name)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const struct request_verb *v = tables[t]; v->name != NULL; v++) {
            if (strcmp(v->name, name) == 0) {
                return v;
            }
        }
    }
    return NULL;
}

const char *request_verb_name(size_t i)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const struct request_verb *v = tables[t]; v->name != NULL; v++) {
            if (i-- == 0) {
                return v->name;
            }
        }
    }
    return NULL;
}

struct bytes request_text(const struct request *rq, const char *key)
{
    const json_t *v = json_object_get(rq->args, key);
    return json_is_string(v) ? bytes_of(json_string_value(v), json_string_length(v)) : (struct bytes){ 0 };
}

enum err request_need(struct request *rq, const char *key, struct bytes *out)
{
    struct bytes v = request_text(rq, key);
    if (v.len == 0) {
        return why_setf(&rq->why, ERR_USAGE, "缺少参数：%s", "missing argument: %s", key);
    }
    *out = v;
    return ERR_OK;
}

bool request_flag(const struct request *rq, const char *key)
{
    return json_is_true(json_object_get(rq->args, key));
}

int64_t request_int(const struct request *rq, const char *key, int64_t fallback)
{
    const json_t *v = json_object_get(rq->args, key);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

void request_set(struct request *rq, json_t *result)
{
    json_decref(rq->result);
    rq->result = result;
}

enum err request_deny(struct request *rq, const struct access_answer *answer)
{
    return why_set(&rq->why, ERR_DENIED, answer->zh == NULL ? err_zh(ERR_DENIED) : answer->zh,
        answer->en == NULL ? err_en(ERR_DENIED) : answer->en);
}

enum err request_refuse(struct request *rq, const struct access_answer *answer)
{
    struct audit_entry entry = { .event = AUDIT_DENIED,
        .user = rq->user == NULL ? 0 : rq->user->number,
        .roles = rq->user == NULL ? 0 : rq->user->roles,
        .result = ERR_DENIED,
        .hlc = hlc_tick(rq->app->core.hlc, rq->now) };
    enum err e = app_begin(rq->app);
    if (e == ERR_OK) {
        e = app_end_unseen(rq->app, audit_append(&rq->app->core.audit, &rq->app->arena, &entry));
    }
    return e == ERR_OK ? request_deny(rq, answer) : e;
}

enum err request_need_right(struct request *rq, enum admin_right right)
{
    const struct access_answer answer = access_admin(rq->user->roles, right);
    return answer.view == VIEW_CLEAR ? ERR_OK : request_refuse(rq, &answer);
}

static json_t *reply_of(const struct request *rq, enum err e)
{
    json_t *reply = json_object();
    (void)json_object_set_new(reply, "code", json_integer(err_exit_code(e)));
    if (e != ERR_OK) {
        bool told = rq->why.zh[0] != '\0';
        (void)json_object_set_new(reply, "error", json_string(err_name(e)));
        (void)json_object_set_new(reply, "zh", json_string(told ? rq->why.zh : err_zh(e)));
        (void)json_object_set_new(reply, "en", json_string(told ? rq->why.en : err_en(e)));
    }
    if (rq->result != NULL) {
        (void)json_object_set(reply, "result", rq->result);
    }
    return reply;
}

/* Failed logins are audited too; the entry names the user only if it exists. */
static enum err note_failed_login(struct request *rq, struct bytes login)
{
    const struct member_user *user = members_user_by_login(rq->app->members, login);
    struct audit_entry entry = { .event = AUDIT_LOGIN_FAILED,
        .user = user == NULL ? 0 : user->number,
        .result = ERR_SECRET,
        .hlc = hlc_tick(rq->app->core.hlc, rq->now) };
    enum err e = app_begin(rq->app);
    return e == ERR_OK ? app_end_unseen(rq->app, audit_append(&rq->app->core.audit, &rq->app->arena, &entry)) : e;
}

static enum err check_token(struct request *rq, const json_t *token)
{
    enum err e = app_session_user(rq->app, bytes_of(json_string_value(token), json_string_length(token)), &rq->user);
    if (e == ERR_EXPIRED) {
        return why_set(&rq->why, ERR_SECRET, "登录已过期或节点重启过；请再运行 jipan login",
            "the login has expired or the node was restarted; run jipan login again");
    }
    return e;
}

static enum err check_login(struct request *rq, json_t *request)
{
    const json_t *token = json_object_get(request, "token");
    if (json_is_string(token)) {
        return check_token(rq, token);
    }
    struct bytes login = { 0 };
    struct bytes password = { 0 };
    const json_t *u = json_object_get(request, "user");
    const json_t *p = json_object_get(request, "password");
    if (!json_is_string(u) || !json_is_string(p)) {
        return why_set(&rq->why, ERR_SECRET,
            "请先登录：用 --as 用户 --password-file 文件，或设 JIPAN_USER 和 JIPAN_PASSWORD_FILE",
            "log in first: --as USER --password-file FILE, or set JIPAN_USER and JIPAN_PASSWORD_FILE");
    }
    login = bytes_of(json_string_value(u), json_string_length(u));
    password = bytes_of(json_string_value(p), json_string_length(p));
    enum err e = app_login(rq->app, login, password, &rq->user);
    if (e == ERR_SECRET) {
        enum err noted = note_failed_login(rq, login);
        return noted != ERR_OK ? noted : why_set(&rq->why, e, "用户名或密码不对", "wrong user name or password");
    }
    return e;
}

static enum err run_verb(struct request *rq, json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "verb"));
    const struct request_verb *verb = name == NULL ? NULL : find_verb(name);
    if (verb == NULL) {
        return why_setf(&rq->why, ERR_USAGE, "没有这个命令：%s；用 jipan help 查看",
            "no such command: %s; see jipan help", name == NULL ? "?" : name);
    }
    enum err e = app_refresh(rq->app);
    if (e == ERR_OK && (verb->flags & REQUEST_NO_LOGIN) == 0) {
        e = check_login(rq, request);
    }
    return e == ERR_OK ? verb->fn(rq) : e;
}

static json_t *run(struct app *app, json_t *request, struct daemon *daemon, uint64_t client)
{
    struct request rq = { .app = app, .now = app_now(), .daemon = daemon, .client = client };
    json_t *empty = json_object();
    json_t *args = json_object_get(request, "args");
    rq.args = json_is_object(args) ? args : empty;
    enum err e = json_mem_is_short() ? ERR_NOMEM : run_verb(&rq, request);
    if (json_mem_is_short()) {
        e = ERR_NOMEM;
        request_set(&rq, NULL);
    }
    json_mem_reply();
    json_t *reply = rq.is_deferred && e == ERR_OK ? NULL : reply_of(&rq, e);
    json_decref(rq.result);
    json_decref(empty);
    arena_reset(&app->arena);
    return reply;
}

json_t *request_run(struct app *app, json_t *request, struct daemon *daemon, uint64_t client)
{
    json_mem_begin();
    json_t *reply = run(app, request, daemon, client);
    json_mem_end();
    return reply;
}

json_t *request_run_text(struct app *app, struct bytes text, struct daemon *daemon, uint64_t client)
{
    json_error_t error;
    json_mem_begin();
    json_t *request = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    json_t *reply = run(app, request, daemon, client);
    json_decref(request);
    json_mem_end();
    return reply;
}

struct bytes request_dump(const json_t *reply, char **owned)
{
    static const char no_memory[] = "{\"code\":4,\"error\":\"NOMEM\",\"zh\":\"内存不足，结果没有给出\","
                                    "\"en\":\"out of memory; the result is not shown\"}";
    json_mem_begin();
    json_mem_reply();
    char *text = json_dumps(reply, JSON_COMPACT);
    json_mem_end();
    *owned = text;
    return text == NULL ? bytes_str(no_memory) : bytes_str(text);
}
