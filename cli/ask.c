/*
 * Owns: the way from a command to a node. If a daemon runs (or is starting) its control socket is used, else the store
 * is opened here; both end in the same request handler. Invariant: a command never opens a store that a starting daemon
 * is about to open.
 */
#include "cli/cli.h"

#include "node/daemon.h"
#include "node/net/control_client.h"
#include "node/request.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_TOTAL_MS = 30000, WAIT_STEP_MS = 50, REPLY_MAX_BYTES = 16 << 20 };

struct ask {
    struct cli *cli;
    struct control_client *client;
    struct app *app;
    struct secret password;
    struct secret token;
    struct mem mem;
    json_t *reply; /* not received yet, when there is no daemon */
};

static void nap(void)
{
    const struct timespec t = { .tv_nsec = WAIT_STEP_MS * 1000000L };
    (void)nanosleep(&t, NULL);
}

/* A daemon holds this lock from before it opens the store until it has closed it. */
static bool daemon_is_about(const char *home)
{
    char path[APP_PATH_MAX + 32];
    if (snprintf(path, sizeof(path), "%s/run.lock", home) >= (int)sizeof(path)) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0;
    (void)close(fd);
    return held;
}

static enum err open_store(struct ask *a)
{
    struct secret passphrase;
    enum err e = app_exists(a->cli->home) ? ERR_OK : ERR_NOT_FOUND;
    if (e != ERR_OK) {
        return why_setf(&a->cli->why, e, "%s 里还没有节点；先运行 jipan init 或 jipan join",
            "there is no node in %s; run jipan init or jipan join first", a->cli->home);
    }
    e = secret_read(a->cli, a->cli->passphrase_file, "磁盘口令", "disk passphrase", false, &passphrase);
    if (e == ERR_OK) {
        e = app_open(a->cli->home, bytes_of(passphrase.text, passphrase.len), &a->app, &a->cli->why);
    }
    secret_wipe(&passphrase);
    return e;
}

static enum err connect_or_open(struct ask *a)
{
    char path[APP_PATH_MAX + 32];
    if (!daemon_socket_path(a->cli->home, path, sizeof(path))) {
        return why_set(&a->cli->why, ERR_LIMIT, "目录名太长", "the home path is too long");
    }
    for (int waited = 0;; waited += WAIT_STEP_MS) {
        enum err e = control_open(path, &a->client);
        if (e != ERR_UNREACHABLE) {
            return e;
        }
        if (!daemon_is_about(a->cli->home)) {
            e = open_store(a);
            if (e != ERR_LOCKED) {
                return e;
            }
        }
        if (waited >= WAIT_TOTAL_MS) {
            return why_set(&a->cli->why, ERR_LOCKED, "库正被另一个进程使用；稍后再试",
                "the store is in use by another process; try again later");
        }
        nap();
    }
}

/* A password file named for this command wins over an earlier login; without a user only the login is left. */
static enum err take_login(struct ask *a)
{
    struct cli *c = a->cli;
    bool is_login = strcmp(c->verb->name, "login") == 0;
    if (!is_login && c->password_file == NULL && a->client != NULL && login_token(c, &a->token)) {
        return ERR_OK;
    }
    if (c->user == NULL) {
        return why_set(&c->why, ERR_SECRET,
            "请先 jipan login 登录名，或说明是谁：--as 用户 --password-file 文件（JIPAN_USER、JIPAN_PASSWORD_FILE）",
            "run jipan login USER first, or say who you are: --as USER --password-file FILE (JIPAN_USER, JIPAN_PASSWORD_FILE)");
    }
    return secret_read(c, c->password_file, "密码", "password", false, &a->password);
}

enum err ask_open(struct cli *c, bool needs_login, struct ask **out)
{
    struct ask *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return ERR_NOMEM;
    }
    a->cli = c;
    a->mem = app_mem((size_t)256 << 20);
    enum err e = connect_or_open(a);
    if (e == ERR_OK && needs_login) {
        e = take_login(a);
    }
    if (e != ERR_OK) {
        ask_close(a);
        return e;
    }
    *out = a;
    return ERR_OK;
}

static enum err not_answered(struct ask *a, enum err e)
{
    return why_set(&a->cli->why, e, "本机的节点进程没有回答；请看 jipan status",
        "the node on this machine did not answer; see jipan status");
}

static enum err send_request(struct ask *a, const json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    enum err e = control_send(a->client, bytes_str(text), -1);
    free(text);
    return e == ERR_OK ? e : not_answered(a, e);
}

static enum err receive_reply(struct ask *a)
{
    struct buf out;
    buf_init(&out, &a->mem, REPLY_MAX_BYTES);
    enum err e = control_receive(a->client, &out, -1);
    if (e == ERR_OK) {
        a->reply = json_loadb((const char *)out.ptr, out.len, 0, NULL);
        e = a->reply == NULL ? ERR_FORMAT : ERR_OK;
    } else {
        e = not_answered(a, e);
    }
    buf_release(&out);
    return e;
}

static enum err read_reply(struct ask *a, json_t *reply, json_t **result)
{
    static const char *const names[] = {
#define X(name, number, class_, exit_, zh, en) [number] = #name,
        ERR_TABLE(X)
#undef X
    };
    const char *name = json_string_value(json_object_get(reply, "error"));
    const char *zh = json_string_value(json_object_get(reply, "zh"));
    const char *en = json_string_value(json_object_get(reply, "en"));
    *result = json_incref(json_object_get(reply, "result"));
    if (name == NULL) {
        return ERR_OK;
    }
    enum err e = ERR_BUG;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0) {
            e = (enum err)i;
        }
    }
    return why_set(&a->cli->why, e, zh == NULL ? "" : zh, en == NULL ? "" : en);
}

enum err ask_send(struct ask *a, const char *verb, json_t *args)
{
    json_t *request = json_object();
    enum err e = ERR_OK;
    (void)json_object_set_new(request, "verb", json_string(verb));
    (void)json_object_set(request, "args", args);
    if (a->token.len > 0) {
        (void)json_object_set_new(request, "token", json_stringn(a->token.text, a->token.len));
    } else if (a->password.len > 0) {
        (void)json_object_set_new(request, "user", json_string(a->cli->user));
        (void)json_object_set_new(request, "password", json_stringn(a->password.text, a->password.len));
    }
    if (a->client != NULL) {
        e = send_request(a, request);
    } else {
        a->reply = request_run(a->app, request, NULL, 0);
        e = a->reply == NULL ? ERR_NOMEM : ERR_OK;
    }
    json_decref(request);
    return e;
}

enum err ask_receive(struct ask *a, json_t **result)
{
    enum err e = a->client != NULL ? receive_reply(a) : ERR_OK;
    *result = NULL;
    if (e == ERR_OK) {
        e = read_reply(a, a->reply, result);
    }
    json_decref(a->reply);
    a->reply = NULL;
    return e;
}

enum err ask_run(struct ask *a, const char *verb, json_t *args, json_t **result)
{
    enum err e = ask_send(a, verb, args);
    *result = NULL;
    return e == ERR_OK ? ask_receive(a, result) : e;
}

void ask_close(struct ask *a)
{
    if (a == NULL) {
        return;
    }
    json_decref(a->reply);
    control_close(a->client);
    app_close(a->app);
    secret_wipe(&a->password);
    secret_wipe(&a->token);
    free(a);
}
