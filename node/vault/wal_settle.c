/*
 * Owns: making the log that a stopped process left behind durable before anything builds on it. After an fsync that
 * failed, the system may show the log whole and have lost it: the pages count as clean, later fsyncs succeed, and a
 * power loss takes commits that were acknowledged on top. Writing the same bytes again makes the pages dirty again.
 */
#include "node/vault/wal_scan.h"

#include <errno.h>
#include <stdlib.h>

enum { PIECE_BYTES = 256 << 10 };

static int rewrite(struct disk_file *file, uint8_t *piece)
{
    uint64_t at = 0;
    size_t got = PIECE_BYTES;
    int error = 0;
    while (error == 0 && got == PIECE_BYTES) {
        error = file->ops->pread(file, piece, PIECE_BYTES, at, &got);
        if (error == 0 && got > 0) {
            error = file->ops->pwrite(file, piece, got, at);
            at += got;
        }
    }
    return error == 0 && at > 0 ? file->ops->fsync(file) : error;
}

int wal_settle(struct vault_files *files)
{
    struct disk_file *file = NULL;
    uint8_t *piece = malloc(PIECE_BYTES);
    if (piece == NULL) {
        return ENOMEM;
    }
    int error = files->disk.ops->open(files->disk.ctx, files->wal_path, 0, &file);
    if (error == 0) {
        error = rewrite(file, piece);
        file->ops->close(file);
    }
    free(piece);
    return error;
}
