/*
 * Owns: the revision of the catalogue that a store's tables were made by, and bringing them up to this build's.
 * Invariant: revision and tables change in one transaction, so they always belong together. Makes no tables or columns
 * (store_sql_schema.c) and no commits: an upgrade is nothing that peers hear of.
 */
#include "node/upgrade.h"

#include "sync/newer.h"

/* Tables of an earlier revision are made anew even if nothing waits. Set to the new revision together with a change of
 * what is derived from the same log: merging, owners, what a dossier has seen. */
enum { REBUILT_SINCE = 1 };

static struct {
    upgrade_progress_fn fn;
    void *ctx;
} watching;

void upgrade_watch(upgrade_progress_fn fn, void *ctx)
{
    watching.fn = fn;
    watching.ctx = ctx;
}

/* Stores older than the mark itself are of the first revision. */
static enum err stored_revision(struct app *app, uint32_t *out)
{
    struct bytes value = { 0 };
    *out = 1;
    enum err e = app->store->ops->get(app->store, SPACE_META, BYTES_LIT("catalogue"), &app->arena, &value);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    struct reader r = reader_of(value);
    return reader_u32be(&r, out) == ERR_OK && r.left == 0 && *out > 0 ? ERR_OK : ERR_DAMAGED;
}

enum err upgrade_stamp(struct app *app)
{
    const uint8_t value[4] = { 0, 0, (uint8_t)(CATALOGUE_REVISION >> 8), (uint8_t)(CATALOGUE_REVISION & 0xFF) };
    return app->store->ops->put(app->store, SPACE_META, BYTES_LIT("catalogue"), BYTES_OF(value));
}

enum err upgrade_check(struct app *app, struct why *why)
{
    uint32_t revision = 0;
    enum err e = stored_revision(app, &revision);
    if (e != ERR_OK || revision <= CATALOGUE_REVISION) {
        return e;
    }
    return why_set(why, ERR_VERSION, "库由较新版本的程序建立，请升级程序后再打开；库未被改动",
        "the store was made by a newer version of the program: upgrade first; nothing was changed");
}

enum err upgrade_run(struct app *app, struct why *why)
{
    struct core *c = &app->core;
    uint32_t revision = 0;
    bool waits = false;
    enum err e = stored_revision(app, &revision);
    if (e != ERR_OK || revision >= CATALOGUE_REVISION) {
        return e;
    }
    e = newer_waits(c, &waits);
    waits = waits || revision < REBUILT_SINCE;
    if (e == ERR_OK) {
        e = app_begin(app);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (waits) {
        c->progress = watching.fn;
        c->progress_ctx = watching.ctx;
        e = core_rebuild(c, &app->arena, app_now());
        c->progress = NULL;
    }
    if (e == ERR_OK) {
        e = upgrade_stamp(app);
    }
    e = app_end(app, e);
    arena_reset(&app->arena);
    return e == ERR_OK ? e
                       : why_set(why, e, "升级库内容没有完成，库仍是原样；请查看磁盘空间后再打开",
                             "bringing the store up to this version was not completed, it is as it was; check the "
                             "disk space and open it again");
}
