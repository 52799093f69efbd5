/*
 * Owns: the verbs `login` and `logout`. A login makes sense only with a running node: without one there is nothing that
 * could remember it.
 */
#include "node/request.h"

#include <sodium.h>

static enum err do_login(struct request *rq)
{
    char token[APP_TOKEN_TEXT_BYTES];
    struct audit_entry entry = { .event = AUDIT_LOGIN,
        .user = rq->user->number,
        .roles = rq->user->roles,
        .hlc = hlc_tick(rq->app->core.hlc, rq->now) };
    if (rq->daemon == NULL) {
        return why_set(&rq->why, ERR_UNREACHABLE, "登录需要节点在运行；先 jipan run，或每次给 --password-file",
            "a login needs the node to run; start it with jipan run, or give --password-file each time");
    }
    enum err e = app_begin(rq->app);
    if (e == ERR_OK) {
        e = app_end(rq->app, audit_append(&rq->app->core.audit, &rq->app->arena, &entry));
    }
    if (e == ERR_OK) {
        app_session_open(rq->app, rq->user, token);
        request_set(
            rq, json_pack("{s:s, s:s, s:i}", "token", token, "login", rq->user->login, "hours", APP_SESSION_HOURS));
        sodium_memzero(token, sizeof(token));
    }
    return e;
}

static enum err do_logout(struct request *rq)
{
    app_session_close(rq->app, request_text(rq, "token"));
    return ERR_OK;
}

const struct request_verb handlers_login[] = {
    { "login", do_login, 0 },
    { "logout", do_logout, REQUEST_NO_LOGIN },
    { NULL, NULL, 0 },
};
