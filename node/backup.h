#ifndef JIPAN_BACKUP_H
#define JIPAN_BACKUP_H

#include "node/app.h"

/*
 * Backup and restore of one node. A backup is one file in the format of jipan.db, opened by the same passphrase and
 * recovery key, with a "born from" mark inside. It is made piece by piece, so that a running node serves others between
 * two pieces, and shows the node as it was at the last piece.
 */
struct backup;

/* Where and when a backup was made. */
struct backup_born {
    uint32_t node;
    uint32_t epoch;
    uint64_t seq; /* highest of this node's own in that epoch; 0: none */
    int64_t wall_ms; /* by the node's clock */
};

struct backup_progress {
    uint64_t done, total; /* pages */
    bool is_finished;
    struct backup_born born; /* when finished */
    uint64_t bytes; /* when finished */
};

enum { BACKUP_PIECE_PAGES = 2048, BACKUP_IDLE_MS = 60000 };

/**
 * backup_start: begins the one backup a node can have under way; one that nobody has gone on with for BACKUP_IDLE_MS is
 * dropped for it. path is absolute; the file appears under that name when it is complete and durable, until then it is
 * path.part.
 *
 * Errors: ERR_BUSY another is under way; ERR_EXISTS the file exists and !overwrite; ERR_USAGE no absolute path, or
 * inside the node's own directory; ERR_NOT_FOUND no such directory; ERR_FULL, ERR_IO.
 */
MUST_USE enum err backup_start(struct app *app, struct bytes path, bool overwrite, struct why *why);

/* Copies one piece. ERR_NOT_FOUND: none under way. On an error nothing of it is left. */
MUST_USE enum err backup_step(struct app *app, int pages, struct backup_progress *out, struct why *why);

/* Drops what is under way, and its file. */
void backup_abandon(struct app *app);

/* The same, if nobody has gone on with it for BACKUP_IDLE_MS. */
void backup_expire(struct app *app);

typedef void (*backup_progress_fn)(void *ctx, uint64_t done, uint64_t total);

struct restore {
    const char *home;
    const char *file;
    struct bytes passphrase;
    bool replace; /* move a store that is there aside, as jipan.db.before-restore */
    backup_progress_fn progress; /* bytes copied; may be NULL */
    void *ctx;
};

struct restored {
    struct backup_born born;
    uint32_t node;
    uint32_t epoch; /* the new one */
    bool is_authority;
    bool has_aside; /* an older store was moved aside */
};

/**
 * restore_run: copies the backup beside the home's place, checks every page, signature and audit entry of the copy,
 * draws a new epoch in it, and only then gives it its name. Interrupted at any point it leaves either no node or the
 * whole one, and can be run again.
 *
 * Errors: ERR_EXISTS there is a node in home and !replace, or an older one was moved aside already; ERR_LOCKED in use;
 * ERR_NOT_FOUND no such file; ERR_SECRET; ERR_DAMAGED; ERR_INVALID not made by a backup. Nothing is installed then.
 */
MUST_USE enum err restore_run(const struct restore *in, struct restored *out, struct why *why);
MUST_USE enum err restore_run_on(struct disk disk, const struct restore *in, struct restored *out, struct why *why);

/* The mark as it stands in a store (key "born" in a backup, "restored" in a node made from one). */
enum { BACKUP_BORN_BYTES = 24 };
void backup_born_put(const struct backup_born *b, uint8_t out[BACKUP_BORN_BYTES]);
MUST_USE enum err backup_born_take(struct bytes v, struct backup_born *out); /* ERR_DAMAGED */

#endif
