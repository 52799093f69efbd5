/*
 * Owns: the verbs `backup` and `backup-step`. A backup is asked for in pieces by the command, so that the node serves
 * others meanwhile (docs/decisions/0010). Who may verify the store may copy it: the copy is as sealed as the store.
 */
#include "node/backup.h"
#include "node/request.h"

/* Before the first page leaves. */
static enum err note_export(struct request *rq)
{
    struct audit_entry entry = { .event = AUDIT_EXPORT,
        .user = rq->user->number,
        .roles = rq->user->roles,
        .hlc = hlc_tick(rq->app->core.hlc, rq->now) };
    enum err e = app_begin(rq->app);
    return e == ERR_OK ? app_end(rq->app, audit_append(&rq->app->core.audit, &rq->app->arena, &entry)) : e;
}

static enum err do_backup(struct request *rq)
{
    struct bytes file = { 0 };
    enum err e = request_need_right(rq, ADMIN_VERIFY_STORE);
    if (e == ERR_OK) {
        e = request_need(rq, "file", &file);
    }
    if (e == ERR_OK) {
        e = backup_start(rq->app, file, request_flag(rq, "force"), &rq->why);
    }
    if (e == ERR_OK) {
        e = note_export(rq);
        if (e != ERR_OK) {
            backup_abandon(rq->app);
        }
    }
    if (e == ERR_OK) {
        request_set(rq, json_pack("{s:b}", "started", 1));
    }
    return e;
}

static enum err do_backup_step(struct request *rq)
{
    struct backup_progress p = { .done = 0 };
    enum err e = request_need_right(rq, ADMIN_VERIFY_STORE);
    if (e == ERR_OK) {
        e = backup_step(rq->app, BACKUP_PIECE_PAGES, &p, &rq->why);
    }
    if (e != ERR_OK) {
        return e;
    }
    json_t *out = json_pack("{s:b, s:I, s:I}", "finished", p.is_finished ? 1 : 0, "pages_done", (json_int_t)p.done,
        "pages", (json_int_t)p.total);
    if (p.is_finished) {
        (void)json_object_set_new(out, "bytes", json_integer((json_int_t)p.bytes));
        (void)json_object_set_new(out, "born",
            json_pack("{s:I, s:I, s:I, s:I}", "node", (json_int_t)p.born.node, "epoch", (json_int_t)p.born.epoch, "seq",
                (json_int_t)p.born.seq, "time_ms", (json_int_t)p.born.wall_ms));
    }
    request_set(rq, out);
    return ERR_OK;
}

const struct request_verb handlers_backup[] = {
    { "backup", do_backup, 0 },
    { "backup-step", do_backup_step, 0 },
    { NULL, NULL, 0 },
};
