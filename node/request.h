#ifndef JIPAN_REQUEST_H
#define JIPAN_REQUEST_H

#include "node/app.h"

#include <jansson.h>

/*
 * Requests: what a person or a script asks of a node, as JSON, the same whether it comes over the control socket or
 * from a command that opened the store itself.
 *
 *   request: {"verb": "get", "user": "wang", "password": "…", "args": {…}}, or "token": "…" from a login instead of
 * user and password reply:   {"code": 0, "result": …}   or   {"code": 3, "error": "NOT_FOUND", "zh": "…", "en": "…",
 * "result": …?}
 *
 * Every verb is one row of a table: name, handler, whether it needs a login, whether it needs an opened store.
 */
struct daemon;

struct request {
    struct app *app;
    json_t *args; /* borrowed object, never NULL */
    const struct member_user *user; /* NULL when the verb needs no login */
    struct now now;
    struct why why; /* what to tell the person on an error */
    json_t *result; /* owned by the dispatcher; handlers set it with request_set */
    struct daemon *daemon; /* the daemon that serves this, else NULL */
    uint64_t client; /* daemon: whom to answer later */
    bool is_deferred; /* the handler answers later through daemon_reply */
};

typedef enum err (*request_fn)(struct request *rq);

enum request_flag { REQUEST_NO_LOGIN = 1 << 0 };

struct request_verb {
    const char *name;
    request_fn fn;
    unsigned flags;
};

/* Every verb in turn, for tests that must miss none; NULL behind the last. */
const char *request_verb_name(size_t i);

/* Each handlers_*.c exports one table ended by a NULL name; request.c lists the tables. */
extern const struct request_verb handlers_read[]; /* get find history conflicts conflict due */
extern const struct request_verb handlers_known[]; /* known */
extern const struct request_verb handlers_write[]; /* new set delete decide */
extern const struct request_verb handlers_bulk[]; /* import export dump */
extern const struct request_verb handlers_audit[]; /* audit audit-verify audit-export */
extern const struct request_verb handlers_sync[]; /* sync */
extern const struct request_verb handlers_login[]; /* login logout */
extern const struct request_verb handlers_backup[]; /* backup backup-step */
extern const struct request_verb handlers_bundle[]; /* bundle-export bundle-import, and their pieces */
extern const struct request_verb
    handlers_admin[]; /* status, users, nodes, invites, peers, policy, verify, state hash */

/* Runs one request; returns a new reply object, or NULL when the handler answers later. _text: from its bytes, as they
 * come over the control socket. */
json_t *request_run_text(struct app *app, struct bytes text, struct daemon *daemon, uint64_t client);
json_t *request_run(struct app *app, json_t *request, struct daemon *daemon, uint64_t client);

/* Argument helpers: NULL/empty when absent; ERR_USAGE with why when required or of the wrong type. */
struct bytes request_text(const struct request *rq, const char *key); /* empty if absent */
MUST_USE enum err request_need(struct request *rq, const char *key, struct bytes *out);
bool request_flag(const struct request *rq, const char *key);
int64_t request_int(const struct request *rq, const char *key, int64_t fallback);
void request_set(struct request *rq, json_t *result); /* takes over the reference */

/* Common refusals: says why and returns ERR_DENIED. request_refuse also notes it in the audit log first, and returns
 * the error that kept it from being noted; for verbs that do not go through node/view.h, whose view_deny notes. */
enum err request_deny(struct request *rq, const struct access_answer *answer);
enum err request_refuse(struct request *rq, const struct access_answer *answer);
/* May the person do this administrative thing? A refusal is noted. */
enum err request_need_right(struct request *rq, enum admin_right right);

/* The bytes of a reply; where there is no memory for them, a reply that says so. *owned goes to json_mem_free. */
struct bytes request_dump(const json_t *reply, char **owned);

#endif
