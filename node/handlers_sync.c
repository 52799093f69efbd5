/*
 * Owns: the verb `sync`. With a daemon the answer comes when every reachable peer said that we are in sync; without one
 * the command dials the peers itself. Being in sync is a message from the peer, never a guess from silence.
 */
#include "node/daemon.h"
#include "node/request.h"

#include <stdlib.h>

struct deferred {
    struct daemon *daemon;
    uint64_t client;
};

static json_t *outcome_json(const struct sync_outcome *o)
{
    json_t *result = json_object();
    json_t *nodes = json_array();
    for (size_t i = 0; i < o->in_sync; i++) {
        (void)json_array_append_new(nodes, json_integer(o->nodes[i]));
    }
    (void)json_object_set_new(result, "in_sync", json_boolean(o->in_sync > 0));
    (void)json_object_set_new(result, "nodes", nodes);
    (void)json_object_set_new(result, "unreachable", json_integer((json_int_t)o->unreachable));
    return result;
}

static enum err outcome_err(const struct sync_outcome *o, struct why *why)
{
    if (o->in_sync > 0) {
        return ERR_OK;
    }
    return why_set(why, ERR_UNREACHABLE, "没有连上任何节点；数据都在本机，线路恢复后会自动对账",
        "no other node is reachable; everything is kept here and reconciles when the line is back");
}

static void answer(void *ctx, const struct sync_outcome *outcome)
{
    struct deferred *de = ctx;
    struct why why = { .zh = { 0 } };
    enum err e = outcome_err(outcome, &why);
    json_t *reply = json_object();
    (void)json_object_set_new(reply, "code", json_integer(err_exit_code(e)));
    if (e != ERR_OK) {
        (void)json_object_set_new(reply, "error", json_string(err_name(e)));
        (void)json_object_set_new(reply, "zh", json_string(why.zh));
        (void)json_object_set_new(reply, "en", json_string(why.en));
    }
    (void)json_object_set_new(reply, "result", outcome_json(outcome));
    daemon_reply(de->daemon, de->client, reply);
    free(de);
}

static enum err do_sync(struct request *rq)
{
    enum err e = request_need_right(rq, ADMIN_SYNC);
    if (e != ERR_OK) {
        return e;
    }
    if (rq->daemon == NULL) {
        struct sync_outcome outcome = { .in_sync = 0 };
        e = daemon_sync_once(rq->app, &outcome, &rq->why);
        if (e == ERR_OK) {
            request_set(rq, outcome_json(&outcome));
            e = outcome_err(&outcome, &rq->why);
        }
        return e;
    }
    struct deferred *de = malloc(sizeof(*de));
    if (de == NULL) {
        return ERR_NOMEM;
    }
    *de = (struct deferred){ .daemon = rq->daemon, .client = rq->client };
    e = daemon_sync(rq->daemon, answer, de);
    rq->is_deferred = e == ERR_OK;
    if (e != ERR_OK) {
        free(de);
    }
    return e;
}

const struct request_verb handlers_sync[] = {
    { "sync", do_sync, 0 },
    { NULL, NULL, 0 },
};
