/*
 * Owns: the bundle being written and the one being read, with their ids. Invariant: a piece leaves, or counts as taken
 * in, only after its transaction is durable. Reads and writes no file, asks for no right.
 */
#include "node/bundle_desk.h"

#include <stdlib.h>

struct slot {
    uint64_t id; /* 0: free */
    uint64_t touched_ms;
    struct bundle_out *out;
    struct bundle_in *in;
};

struct bundle_desk {
    struct slot exporting, importing;
};

static void slot_drop(struct slot *s)
{
    bundle_out_free(s->out);
    bundle_in_free(s->in);
    *s = (struct slot){ .id = 0 };
}

static enum err desk_of(struct app *app, struct bundle_desk **out)
{
    if (app->bundles == NULL) {
        app->bundles = calloc(1, sizeof(*app->bundles));
    }
    *out = app->bundles;
    return app->bundles == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err slot_free_up(struct slot *s)
{
    if (s->id != 0 && app_now().mono_ms - s->touched_ms < BUNDLE_DESK_IDLE_MS) {
        return ERR_BUSY;
    }
    slot_drop(s);
    return ERR_OK;
}

/* Positive as a JSON integer, never 0. */
static void slot_name(struct app *app, struct slot *s)
{
    rng_fill(&app->rng, &s->id, sizeof(s->id));
    s->id = (s->id >> 2) + 1;
    s->touched_ms = app_now().mono_ms;
}

static bool slot_is(const struct slot *s, uint64_t id)
{
    return s->id != 0 && s->id == id;
}

enum err bundle_desk_export(
    struct app *app, const struct bundle_request *rq, struct buf *header, uint64_t *id, struct bundle_count *count)
{
    struct bundle_desk *desk = NULL;
    enum err e = desk_of(app, &desk);
    if (e == ERR_OK) {
        e = slot_free_up(&desk->exporting);
    }
    if (e == ERR_OK) {
        e = app_begin(app);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = app_end(app, bundle_out_new(&app->core, rq, &desk->exporting.out, header));
    if (e != ERR_OK) {
        slot_drop(&desk->exporting);
        return e;
    }
    slot_name(app, &desk->exporting);
    *id = desk->exporting.id;
    *count = bundle_out_count(desk->exporting.out);
    return ERR_OK;
}

enum err bundle_desk_export_next(
    struct app *app, uint64_t id, struct buf *frame, bool *is_last, struct bundle_count *count)
{
    struct slot *s = app->bundles == NULL ? NULL : &app->bundles->exporting;
    if (s == NULL || !slot_is(s, id)) {
        return ERR_NOT_FOUND;
    }
    s->touched_ms = app_now().mono_ms;
    enum err e = app_begin(app);
    if (e == ERR_OK) {
        e = app_end(app, bundle_out_next(s->out, app_now(), frame, is_last));
    }
    *count = bundle_out_count(s->out);
    if (e != ERR_OK || *is_last) {
        slot_drop(s);
    }
    return e;
}

static enum err note_import(struct app *app, const struct member_user *user, uint32_t from)
{
    struct audit_entry entry = { .event = AUDIT_IMPORT,
        .user = user->number,
        .roles = user->roles,
        .peer = from,
        .hlc = hlc_tick(app->core.hlc, app_now()) };
    enum err e = app_begin(app);
    return e == ERR_OK ? app_end(app, audit_append(&app->core.audit, &app->arena, &entry)) : e;
}

enum err bundle_desk_import(
    struct app *app, const struct member_user *user, struct bytes header, uint64_t *id, struct bundle_header *out)
{
    struct bundle_desk *desk = NULL;
    enum err e = desk_of(app, &desk);
    if (e == ERR_OK) {
        e = slot_free_up(&desk->importing);
    }
    if (e == ERR_OK) {
        e = bundle_in_new(&app->core, header, &desk->importing.in);
    }
    if (e == ERR_OK) {
        *out = *bundle_in_header(desk->importing.in);
        e = note_import(app, user, out->from);
    }
    if (e != ERR_OK) {
        if (desk != NULL && e != ERR_BUSY) {
            slot_drop(&desk->importing);
        }
        return e;
    }
    slot_name(app, &desk->importing);
    *id = desk->importing.id;
    return ERR_OK;
}

enum err bundle_desk_import_next(
    struct app *app, uint64_t id, struct bytes frame, bool *is_last, bool *is_greeted, struct bundle_count *count)
{
    struct slot *s = app->bundles == NULL ? NULL : &app->bundles->importing;
    *is_greeted = false;
    if (s == NULL || !slot_is(s, id)) {
        return ERR_NOT_FOUND;
    }
    s->touched_ms = app_now().mono_ms;
    *is_greeted = bundle_in_is_greeted(s->in);
    enum err e = app_begin(app);
    if (e == ERR_OK) {
        e = app_end(app, bundle_in_next(s->in, app_now(), frame, is_last));
    }
    *is_greeted = *is_greeted || (e == ERR_OK && bundle_in_is_greeted(s->in));
    *count = bundle_in_count(s->in);
    if (e != ERR_OK || *is_last) {
        slot_drop(s);
    }
    return e;
}

void bundle_desk_drop(struct app *app, uint64_t id)
{
    struct slot *s = app->bundles == NULL                    ? NULL
                     : slot_is(&app->bundles->exporting, id) ? &app->bundles->exporting
                     : slot_is(&app->bundles->importing, id) ? &app->bundles->importing
                                                             : NULL;
    if (s != NULL) {
        slot_drop(s);
    }
}

void bundle_desk_free(struct app *app)
{
    if (app->bundles != NULL) {
        slot_drop(&app->bundles->exporting);
        slot_drop(&app->bundles->importing);
        free(app->bundles);
        app->bundles = NULL;
    }
}
