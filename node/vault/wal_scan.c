/*
 * Owns: telling a damaged log from one that a power loss left torn. SQLite itself stops at the first bad frame and
 * opens at an older committed state without a word.
 *
 * What it cannot see: a log that is missing, cut, or damaged only in frames no later frame vouches for (the last
 * transaction), and a whole older log put back. docs/STORAGE.md says so.
 */
#include "node/vault/wal_scan.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

enum { SALT_AT = 16, FRAME_SALT_AT = 8, SALT_BYTES = 8 };

struct scan {
    struct vault_files *files;
    struct disk_file *file;
    struct page_cipher cipher;
    struct wal_report *report;
    uint8_t salt[SALT_BYTES];
    bool has_salt;
    bool has_own_frame;
    bool is_broken; /* a bad frame was seen */
    uint8_t piece[WAL_DISK_FRAME_BYTES];
};

static enum err scan_header(struct scan *s)
{
    size_t got = 0;
    if (s->file->ops->pread(s->file, s->piece, WAL_DISK_HEADER_BYTES, 0, &got) != 0) {
        return ERR_IO;
    }
    if (got == WAL_DISK_HEADER_BYTES && wal_header_open(&s->cipher, s->files, s->piece) == ERR_OK) {
        memcpy(s->salt, s->piece + PAGE_NONCE_BYTES + SALT_AT, SALT_BYTES);
        s->has_salt = true;
    }
    return ERR_OK;
}

static void scan_good_frame(struct scan *s, const uint8_t *body)
{
    struct wal_report *r = s->report;
    uint32_t mark = get_u32be(body);
    uint32_t page = get_u32be(body + WAL_MARK_BYTES);
    if (mark > r->durable) {
        r->durable = mark;
    }
    if (s->is_broken) {
        return;
    }
    r->good++;
    if (r->pages != NULL && page < r->page_bits) {
        r->pages[page / 8] = (uint8_t)(r->pages[page / 8] | 1U << page % 8U);
    }
}

static enum err scan_frame(struct scan *s, uint32_t index)
{
    size_t got = 0;
    if (s->file->ops->pread(s->file, s->piece, sizeof(s->piece), wal_frame_offset(index), &got) != 0) {
        return ERR_IO;
    }
    const uint8_t *body = s->piece + PAGE_NONCE_BYTES;
    bool opens = got == sizeof(s->piece) && wal_frame_open(&s->cipher, s->files, index, s->piece) == ERR_OK;
    s->has_own_frame = s->has_own_frame || opens;
    if (opens && s->has_salt && memcmp(body + WAL_MARK_BYTES + FRAME_SALT_AT, s->salt, SALT_BYTES) == 0) {
        scan_good_frame(s, body);
    } else {
        s->is_broken = true;
    }
    return ERR_OK;
}

static enum err scan_all(struct scan *s)
{
    uint64_t size = 0;
    if (s->file->ops->size(s->file, &size) != 0) {
        return ERR_IO;
    }
    if (size < WAL_DISK_HEADER_BYTES) {
        return ERR_OK;
    }
    struct wal_report *r = s->report;
    r->frames = (uint32_t)((size - WAL_DISK_HEADER_BYTES) / WAL_DISK_FRAME_BYTES);
    enum err e = scan_header(s);
    for (uint32_t i = 0; i < r->frames && e == ERR_OK; i++) {
        e = scan_frame(s, i);
    }
    if (e != ERR_OK) {
        return e;
    }
    r->header_is_lost = !s->has_salt && s->has_own_frame;
    return r->header_is_lost || r->good < r->durable ? ERR_DAMAGED : ERR_OK;
}

enum err wal_scan(struct vault_files *files, struct wal_report *report)
{
    struct scan *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->files = files;
    s->report = report;
    enum err e = page_cipher_init(&s->cipher);
    if (e != ERR_OK) {
        free(s);
        return e;
    }
    int error = files->disk.ops->open(files->disk.ctx, files->wal_path, DISK_READ_ONLY, &s->file);
    if (error == 0) {
        e = scan_all(s);
        s->file->ops->close(s->file);
    } else if (error != ENOENT) {
        e = ERR_IO;
    }
    page_cipher_release(&s->cipher);
    sodium_memzero(s, sizeof(*s));
    free(s);
    return e;
}
