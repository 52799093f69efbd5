#ifndef JIPAN_BUNDLE_DESK_H
#define JIPAN_BUNDLE_DESK_H

#include "node/app.h"
#include "sync/bundle.h"

/*
 * The bundles being written and read on this node: one of each at a time, asked for in pieces by a command, so that the
 * node serves others meanwhile. The command owns the file. Every piece is one durable transaction.
 */
struct bundle_desk;

/* One that nobody has gone on with for so long makes room for the next. */
enum { BUNDLE_DESK_IDLE_MS = 5000 };

/* Ids are drawn at random: a command whose bundle was dropped, or whose node was restarted, is told so (ERR_NOT_FOUND).
 * ERR_BUSY: another is under way. Other errors: those of sync/bundle.h. On any error of a step the bundle is dropped.
 */
MUST_USE enum err bundle_desk_export(
    struct app *app, const struct bundle_request *rq, struct buf *header, uint64_t *id, struct bundle_count *count);
MUST_USE enum err bundle_desk_export_next(
    struct app *app, uint64_t id, struct buf *frame, bool *is_last, struct bundle_count *count);

MUST_USE enum err bundle_desk_import(
    struct app *app, const struct member_user *user, struct bytes header, uint64_t *id, struct bundle_header *out);
/* *is_greeted: also on an error, whether the sender is proven and has said what it has. */
MUST_USE enum err bundle_desk_import_next(
    struct app *app, uint64_t id, struct bytes frame, bool *is_last, bool *is_greeted, struct bundle_count *count);

/* The command will not go on with it. Unknown ids are no error. */
void bundle_desk_drop(struct app *app, uint64_t id);

/* Drops what is under way; for app_close. */
void bundle_desk_free(struct app *app);

#endif
