/*
 * Owns: the write-ahead log on disk. SQLite's 32-byte header is one sealed piece; each frame is one sealed piece of
 *
 *      nonce 24 | sealed( mark 4 | frame header 24 | page 4096 ) | tag 16
 *
 * because the frame header carries a checksum of the plaintext. The associated data binds the frame's index.
 *
 * The mark is ours: how many frames were known to be durable when this one was written. A frame that is unreadable
 * below the mark of a later frame was durable once and is damage; one at or above every mark may be the torn tail of a
 * power loss. See wal_scan.c.
 *
 * Invariant (a first attempt broke it and lost acknowledged commits under kill -9): the header of a new frame is held
 * back for the page that follows; the rewrite of a header that exists already is never held back. Which of the two it
 * is follows from what was written through this handle since the last log header, never from salts or checksums: after
 * a cache spill SQLite writes frames with salt zero and rewrites all their headers at commit.
 *
 * New frames that follow each other are gathered and written by one call: at the last of a transaction, when the room
 * is full, and before anything else is done with the file. What is gathered is sealed already.
 */
#include "node/vault/files.h"

#include <sodium.h>
#include <stdlib.h>

enum {
    PAGE_AT = WAL_FRAME_HEADER_BYTES,
    BODY_AT = PAGE_NONCE_BYTES,
    FRAME_AT = BODY_AT + WAL_MARK_BYTES,
    FRAME_COMMIT_AT = 4, /* in SQLite's frame header: pages of the database after the transaction, 0 before its last */
};

static uint32_t frame_index(uint64_t at)
{
    return (uint32_t)((at - WAL_HEADER_BYTES) / WAL_FRAME_BYTES);
}

static size_t frame_within(uint64_t at)
{
    return (size_t)((at - WAL_HEADER_BYTES) % WAL_FRAME_BYTES);
}

static enum err piece_open(struct page_cipher *c, const struct vault_files *files, enum page_kind kind, uint64_t index,
    uint8_t *piece, size_t body_len)
{
    uint8_t aad[PAGE_AAD_BYTES];
    page_aad(aad, files->db_id, kind, index);
    uint8_t *body = piece + BODY_AT;
    return page_cipher_open(c, files->keys->wal, aad, bytes_of(body, body_len), body, piece, body + body_len);
}

enum err wal_frame_open(struct page_cipher *c, const struct vault_files *files, uint32_t index, uint8_t *buf)
{
    return piece_open(c, files, PAGE_KIND_WAL_FRAME, index, buf, WAL_BODY_BYTES);
}

enum err wal_header_open(struct page_cipher *c, const struct vault_files *files, uint8_t *buf)
{
    return piece_open(c, files, PAGE_KIND_WAL_HEADER, 0, buf, WAL_HEADER_BYTES);
}

/* Seals the body that stands in piece, in place. */
static enum err piece_seal(struct vault_file *f, enum page_kind kind, uint64_t index, uint8_t *piece, size_t body_len)
{
    uint8_t aad[PAGE_AAD_BYTES];
    uint8_t *body = piece + BODY_AT;
    page_aad(aad, f->files->db_id, kind, index);
    return page_cipher_seal(
        &f->cipher, f->files->keys->wal, aad, bytes_of(body, body_len), body, piece, body + body_len);
}

/* Seals the body that stands in scratch and writes the piece. */
static int piece_write(struct vault_file *f, enum page_kind kind, uint64_t index, size_t body_len, uint64_t at)
{
    if (piece_seal(f, kind, index, f->scratch, body_len) != ERR_OK) {
        return SQLITE_IOERR_WRITE;
    }
    int error = f->disk->ops->pwrite(f->disk, f->scratch, body_len + PAGE_SEAL_BYTES, at);
    return sqlite_from_errno(f->files, error, SQLITE_IOERR_WRITE);
}

/* Loads frame `index` into scratch. NOTFOUND: it ends behind the end of the file. IOERR_DATA: it does not open. */
static int frame_load(struct vault_file *f, uint32_t index)
{
    size_t got = 0;
    int error = f->disk->ops->pread(f->disk, f->scratch, WAL_DISK_FRAME_BYTES, wal_frame_offset(index), &got);
    if (error != 0) {
        return sqlite_from_errno(f->files, error, SQLITE_IOERR_READ);
    }
    if (got < WAL_DISK_FRAME_BYTES) {
        return SQLITE_NOTFOUND;
    }
    return wal_frame_open(&f->cipher, f->files, index, f->scratch) == ERR_OK ? SQLITE_OK : SQLITE_IOERR_DATA;
}

/* What the sync under way was for is durable then. */
static int settle(struct vault_file *f)
{
    struct wal_state *w = &f->wal;
    int rc = vault_files_settle(f->files);
    w->synced = rc == SQLITE_OK && w->late > w->synced ? w->late : w->synced;
    w->late = 0;
    return rc;
}

/* Writes the frame that stands opened in scratch, with its mark. */
static int frame_store(struct vault_file *f, uint32_t index)
{
    struct wal_state *w = &f->wal;
    int rc = settle(f);
    if (rc != SQLITE_OK) {
        return rc;
    }
    if (w->synced > index) {
        w->synced = index;
    }
    put_u32be(f->scratch + BODY_AT, w->synced);
    rc = piece_write(f, PAGE_KIND_WAL_FRAME, index, WAL_BODY_BYTES, wal_frame_offset(index));
    if (rc == SQLITE_OK && w->written <= index) {
        w->written = index + 1;
    } else if (rc != SQLITE_OK && w->written > index) {
        w->written = index;
    }
    return rc;
}

/* Writes the gathered frames. After a failure they are as if they had never been given. */
static int gathered_write(struct vault_file *f)
{
    struct wal_state *w = &f->wal;
    uint32_t count = (uint32_t)(f->stretch.len / WAL_DISK_FRAME_BYTES);
    int error = stretch_write(&f->stretch, f->disk);
    w->written -= error == 0 ? 0 : count;
    return sqlite_from_errno(f->files, error, SQLITE_IOERR_WRITE);
}

/* A frame behind all others. */
static int frame_gather(struct vault_file *f, uint32_t index, const uint8_t *page)
{
    struct wal_state *w = &f->wal;
    uint8_t *piece = stretch_place(&f->stretch);
    if (piece == NULL) {
        return SQLITE_IOERR_NOMEM;
    }
    put_u32be(piece + BODY_AT, w->synced);
    memcpy(piece + FRAME_AT, w->pending_header, WAL_FRAME_HEADER_BYTES);
    memcpy(piece + FRAME_AT + PAGE_AT, page, VAULT_PAGE_BYTES);
    if (piece_seal(f, PAGE_KIND_WAL_FRAME, index, piece, WAL_BODY_BYTES) != ERR_OK) {
        sodium_memzero(piece, WAL_DISK_FRAME_BYTES);
        return SQLITE_IOERR_WRITE;
    }
    stretch_add(&f->stretch, wal_frame_offset(index), WAL_DISK_FRAME_BYTES);
    w->written = index + 1;
    bool is_last = get_u32be(w->pending_header + FRAME_COMMIT_AT) != 0;
    return is_last || stretch_is_full(&f->stretch, WAL_DISK_FRAME_BYTES) ? gathered_write(f) : SQLITE_OK;
}

static int wal_read_header(struct vault_file *f, uint8_t *out, size_t len, size_t at)
{
    size_t got = 0;
    int error = f->disk->ops->pread(f->disk, f->scratch, WAL_DISK_HEADER_BYTES, 0, &got);
    if (error != 0) {
        return sqlite_from_errno(f->files, error, SQLITE_IOERR_READ);
    }
    memset(out, 0, len);
    if (got < WAL_DISK_HEADER_BYTES) {
        return SQLITE_IOERR_SHORT_READ;
    }
    if (wal_header_open(&f->cipher, f->files, f->scratch) == ERR_OK) {
        memcpy(out, f->scratch + BODY_AT + at, len);
        return SQLITE_OK;
    }
    /* Recovery reads the whole header and must see an invalid one, not an error; wal_scan has judged it before. */
    return len == WAL_HEADER_BYTES ? SQLITE_OK : SQLITE_IOERR_DATA;
}

static int wal_file_read(sqlite3_file *base, void *out, int amount, sqlite3_int64 at)
{
    struct vault_file *f = vault_file_of(base);
    size_t len = (size_t)amount;
    if (vault_files_poisoned(f->files) || f->wal.has_pending) {
        return SQLITE_IOERR_READ;
    }
    int rc = gathered_write(f);
    if (rc != SQLITE_OK) {
        return rc;
    }
    if (at < WAL_HEADER_BYTES) {
        bool fits = len <= WAL_HEADER_BYTES - (size_t)at;
        return fits ? wal_read_header(f, out, len, (size_t)at) : SQLITE_IOERR_READ;
    }
    uint32_t index = frame_index((uint64_t)at);
    size_t within = frame_within((uint64_t)at);
    if (len > WAL_FRAME_BYTES - within) {
        return SQLITE_IOERR_READ;
    }
    rc = frame_load(f, index);
    if (rc == SQLITE_OK) {
        memcpy(out, f->scratch + FRAME_AT + within, len);
        return SQLITE_OK;
    }
    memset(out, 0, len);
    if (rc == SQLITE_NOTFOUND) {
        return SQLITE_IOERR_SHORT_READ;
    }
    /* Only recovery reads a whole frame we did not write: a torn tail must read as an invalid frame (salt zero). */
    bool is_recovery = len == WAL_FRAME_BYTES && index >= f->wal.written;
    return rc == SQLITE_IOERR_DATA && is_recovery ? SQLITE_OK : rc;
}

static int wal_write_header(struct vault_file *f, const uint8_t *data)
{
    int rc = settle(f);
    if (rc != SQLITE_OK) {
        return rc;
    }
    f->stretch.len = 0; /* of the log that ends here */
    memcpy(f->scratch + BODY_AT, data, WAL_HEADER_BYTES);
    f->wal.written = 0;
    f->wal.synced = 0;
    f->wal.is_new = true;
    return piece_write(f, PAGE_KIND_WAL_HEADER, 0, WAL_HEADER_BYTES, 0);
}

static int wal_write_frame_header(struct vault_file *f, uint32_t index, const uint8_t *data)
{
    if (index >= f->wal.written) {
        f->wal.has_pending = true;
        f->wal.pending_index = index;
        memcpy(f->wal.pending_header, data, WAL_FRAME_HEADER_BYTES);
        return SQLITE_OK;
    }
    int rc = gathered_write(f);
    if (rc == SQLITE_OK) {
        rc = frame_load(f, index);
    }
    if (rc != SQLITE_OK) {
        return rc == SQLITE_NOTFOUND ? SQLITE_IOERR_WRITE : rc;
    }
    memcpy(f->scratch + FRAME_AT, data, WAL_FRAME_HEADER_BYTES);
    return frame_store(f, index);
}

static int wal_write_page(struct vault_file *f, uint32_t index, const uint8_t *page)
{
    struct wal_state *w = &f->wal;
    if (w->has_pending && w->pending_index == index && index == w->written) {
        w->has_pending = false;
        return frame_gather(f, index, page);
    }
    int rc = gathered_write(f);
    if (rc != SQLITE_OK) {
        return rc;
    }
    if (w->has_pending && w->pending_index == index) {
        w->has_pending = false;
        memcpy(f->scratch + FRAME_AT, w->pending_header, WAL_FRAME_HEADER_BYTES);
    } else {
        if (w->has_pending || index >= w->written) {
            w->has_pending = false;
            return SQLITE_IOERR_WRITE;
        }
        rc = frame_load(f, index);
        if (rc != SQLITE_OK) {
            return rc == SQLITE_NOTFOUND ? SQLITE_IOERR_WRITE : rc;
        }
    }
    memcpy(f->scratch + FRAME_AT + PAGE_AT, page, VAULT_PAGE_BYTES);
    return frame_store(f, index);
}

static int wal_file_write(sqlite3_file *base, const void *data, int amount, sqlite3_int64 at)
{
    struct vault_file *f = vault_file_of(base);
    if (vault_files_poisoned(f->files)) {
        return SQLITE_IOERR_WRITE;
    }
    if (at == 0 && amount == WAL_HEADER_BYTES && !f->wal.has_pending) {
        return wal_write_header(f, data);
    }
    if (at < WAL_HEADER_BYTES) {
        return SQLITE_IOERR_WRITE;
    }
    uint32_t index = frame_index((uint64_t)at);
    size_t within = frame_within((uint64_t)at);
    if (within == 0 && amount == WAL_FRAME_HEADER_BYTES && !f->wal.has_pending) {
        return wal_write_frame_header(f, index, data);
    }
    if (within == PAGE_AT && amount == VAULT_PAGE_BYTES) {
        return wal_write_page(f, index, data);
    }
    f->wal.has_pending = false;
    return SQLITE_IOERR_WRITE;
}

static int wal_file_sync(sqlite3_file *base, int flags)
{
    struct vault_file *f = vault_file_of(base);
    struct wal_state *w = &f->wal;
    if (w->has_pending) {
        return SQLITE_IOERR_FSYNC;
    }
    int rc = settle(f);
    if (rc == SQLITE_OK) {
        rc = gathered_write(f);
    }
    if (rc == SQLITE_OK && f->files->is_lazy && !w->is_new && !f->must_sync_dir && !vault_files_poisoned(f->files)) {
        late_sync_start(&f->files->late, f->disk);
        w->late = w->written;
        return SQLITE_OK;
    }
    if (rc == SQLITE_OK) {
        rc = vault_file_sync(base, flags);
    }
    if (rc == SQLITE_OK) {
        w->synced = w->written;
        w->is_new = false;
    }
    return rc;
}

static int wal_file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct vault_file *f = vault_file_of(base);
    if (vault_files_poisoned(f->files)) {
        return SQLITE_IOERR_TRUNCATE;
    }
    uint32_t frames = size <= WAL_HEADER_BYTES ? 0 : frame_index((uint64_t)size + WAL_FRAME_BYTES - 1);
    int rc = settle(f);
    rc = rc == SQLITE_OK ? gathered_write(f) : rc;
    if (rc != SQLITE_OK) {
        return rc;
    }
    int error = f->disk->ops->ftruncate(f->disk, size == 0 ? 0 : wal_frame_offset(frames));
    f->wal.has_pending = false;
    f->wal.written = f->wal.written < frames ? f->wal.written : frames;
    f->wal.synced = f->wal.synced < frames ? f->wal.synced : frames;
    return sqlite_from_errno(f->files, error, SQLITE_IOERR_TRUNCATE);
}

static int wal_file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    struct vault_file *f = vault_file_of(base);
    uint64_t size = 0;
    int rc = gathered_write(f);
    if (rc != SQLITE_OK) {
        return rc;
    }
    int error = f->disk->ops->size(f->disk, &size);
    if (error != 0) {
        return sqlite_from_errno(f->files, error, SQLITE_IOERR_FSTAT);
    }
    uint64_t frames = size < WAL_DISK_HEADER_BYTES ? 0 : (size - WAL_DISK_HEADER_BYTES) / WAL_DISK_FRAME_BYTES;
    *out = size < WAL_DISK_HEADER_BYTES ? 0 : (sqlite3_int64)(WAL_HEADER_BYTES + frames * WAL_FRAME_BYTES);
    return SQLITE_OK;
}

const sqlite3_io_methods wal_file_methods = {
    .iVersion = 1,
    .xClose = vault_file_close,
    .xRead = wal_file_read,
    .xWrite = wal_file_write,
    .xTruncate = wal_file_truncate,
    .xSync = wal_file_sync,
    .xFileSize = wal_file_size,
    .xLock = vault_file_no_lock,
    .xUnlock = vault_file_no_lock,
    .xCheckReservedLock = vault_file_no_reserved,
    .xFileControl = vault_file_no_control,
    .xSectorSize = vault_file_sector_size,
    .xDeviceCharacteristics = vault_file_characteristics,
};
