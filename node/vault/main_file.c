/*
 * Owns: the pages of the main file. Logical page k lies at VAULT_HEADER_BLOCK_BYTES + (k - 1) * 4096; of its 4096 bytes
 * the first 4056 are ciphertext, then 24 bytes nonce and 16 bytes tag, in the bytes SQLite keeps reserved. The
 * associated data binds database, kind, page size and page number.
 *
 * Invariants: no byte of the file is ever written that is not sealed; gaps are filled with sealed zero pages, so a page
 * of zeros on disk is always damage; a read behind the end of a file that has pages is damage too. Only whole aligned
 * pages are written, and page 1 only if it reserves the 40 bytes.
 *
 * Pages that follow each other in a checkpoint are gathered and written by one call: when the room is full, when
 * another page comes than the next, before anything else is done with the file, and when the checkpoint says that it
 * has no more. What is gathered is sealed already. The disk is asked to begin with what was written, so that the sync
 * at the end waits for little. Not while there are readers: one of them can make a checkpoint stop short of the log's
 * end, and then SQLite lets them look here without a sync, and without hearing of a write that failed.
 *
 * One answer is lenient: SQLite reads the first 100 bytes before it looks for a hot journal, so a torn page 1 must not
 * fail that read. It gets zeros and a short read; the next read of page 1 is strict.
 */
#include "node/vault/files.h"

#include <stdlib.h>

enum { PAGE1_RESERVED_AT = 20, PROBE_BYTES = 100 };

static uint64_t page_offset(uint64_t page)
{
    return VAULT_HEADER_BLOCK_BYTES + (page - 1) * VAULT_PAGE_BYTES;
}

enum err main_page_open(struct page_cipher *c, const struct vault_files *files, uint64_t page, uint8_t *buf)
{
    uint8_t aad[PAGE_AAD_BYTES];
    uint8_t *nonce = buf + VAULT_PAYLOAD_BYTES;
    page_aad(aad, files->db_id, PAGE_KIND_MAIN, page);
    enum err e = page_cipher_open(
        c, files->keys->page, aad, bytes_of(buf, VAULT_PAYLOAD_BYTES), buf, nonce, nonce + PAGE_NONCE_BYTES);
    memset(nonce, 0, VAULT_RESERVED_BYTES);
    return e;
}

/* After a failure the file's length is anybody's guess. */
static int gathered_write(struct vault_file *f)
{
    uint64_t at = f->stretch.at;
    size_t len = f->stretch.len;
    int rc = len == 0 ? SQLITE_OK : vault_files_settle(f->files);
    if (rc != SQLITE_OK) {
        f->stretch.len = 0;
        return rc;
    }
    int error = stretch_write(&f->stretch, f->disk);
    if (error != 0) {
        f->has_pages = false;
        return sqlite_from_errno(f->files, error, SQLITE_IOERR_WRITE);
    }
    if (len > VAULT_PAGE_BYTES) {
        f->disk->ops->begin_write_out(f->disk, at, len);
    }
    return SQLITE_OK;
}

/* Fills buf with page `page`. SHORT_READ only for a file without any page. */
static int page_read(struct vault_file *f, uint64_t page, uint8_t *buf)
{
    size_t got = 0;
    int rc = gathered_write(f);
    if (rc != SQLITE_OK) {
        return rc;
    }
    int error = f->disk->ops->pread(f->disk, buf, VAULT_PAGE_BYTES, page_offset(page), &got);
    if (error != 0) {
        return sqlite_from_errno(f->files, error, SQLITE_IOERR_READ);
    }
    if (got == VAULT_PAGE_BYTES) {
        return main_page_open(&f->cipher, f->files, page, buf) == ERR_OK ? SQLITE_OK : SQLITE_IOERR_DATA;
    }
    memset(buf, 0, VAULT_PAGE_BYTES);
    return page == 1 && got == 0 ? SQLITE_IOERR_SHORT_READ : SQLITE_IOERR_DATA;
}

static int main_file_read(sqlite3_file *base, void *out, int amount, sqlite3_int64 at)
{
    struct vault_file *f = vault_file_of(base);
    uint64_t page = (uint64_t)at / VAULT_PAGE_BYTES + 1;
    size_t within = (size_t)((uint64_t)at % VAULT_PAGE_BYTES);
    size_t len = (size_t)amount;
    if (vault_files_poisoned(f->files) || len > VAULT_PAGE_BYTES - within) {
        return SQLITE_IOERR_READ;
    }
    if (len == VAULT_PAGE_BYTES) {
        int rc = page_read(f, page, out);
        if (rc != SQLITE_OK) {
            memset(out, 0, len);
        }
        return rc;
    }
    int rc = page_read(f, page, f->scratch);
    if (rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ) {
        memcpy(out, f->scratch + within, len);
        return rc;
    }
    memset(out, 0, len);
    bool is_probe = at == 0 && amount == PROBE_BYTES;
    return is_probe && rc == SQLITE_IOERR_DATA ? SQLITE_IOERR_SHORT_READ : rc;
}

static int pages_on_disk(struct vault_file *f, uint64_t *out)
{
    uint64_t size = 0;
    int rc = gathered_write(f);
    if (rc != SQLITE_OK) {
        return rc;
    }
    int error = f->disk->ops->size(f->disk, &size);
    if (error != 0) {
        return sqlite_from_errno(f->files, error, SQLITE_IOERR_FSTAT);
    }
    /* A piece of a page at the end is a write that never finished. */
    *out = size < VAULT_HEADER_BLOCK_BYTES ? 0 : (size - VAULT_HEADER_BLOCK_BYTES) / VAULT_PAGE_BYTES;
    return SQLITE_OK;
}

static int page_write(struct vault_file *f, uint64_t page, const uint8_t *payload)
{
    uint8_t aad[PAGE_AAD_BYTES];
    int rc = stretch_continues(&f->stretch, page_offset(page)) ? SQLITE_OK : gathered_write(f);
    uint8_t *piece = stretch_place(&f->stretch);
    if (rc != SQLITE_OK || piece == NULL) {
        return rc != SQLITE_OK ? rc : SQLITE_IOERR_NOMEM;
    }
    uint8_t *nonce = piece + VAULT_PAYLOAD_BYTES;
    page_aad(aad, f->files->db_id, PAGE_KIND_MAIN, page);
    enum err e = page_cipher_seal(&f->cipher, f->files->keys->page, aad, bytes_of(payload, VAULT_PAYLOAD_BYTES), piece,
        nonce, nonce + PAGE_NONCE_BYTES);
    if (e != ERR_OK) {
        return SQLITE_IOERR_WRITE;
    }
    stretch_add(&f->stretch, page_offset(page), VAULT_PAGE_BYTES);
    f->pages = f->pages < page ? page : f->pages;
    return !f->gathers || stretch_is_full(&f->stretch, VAULT_PAGE_BYTES) ? gathered_write(f) : SQLITE_OK;
}

/* Seals zero pages until the file has `count` pages. */
static int pages_fill(struct vault_file *f, uint64_t count)
{
    static const uint8_t zero[VAULT_PAYLOAD_BYTES];
    int rc = SQLITE_OK;
    if (!f->has_pages) {
        rc = pages_on_disk(f, &f->pages);
        f->has_pages = rc == SQLITE_OK;
    }
    while (rc == SQLITE_OK && f->pages < count) {
        rc = page_write(f, f->pages + 1, zero);
    }
    return rc;
}

static bool page1_is_ours(const uint8_t *page)
{
    return page[16] == VAULT_PAGE_BYTES >> 8U && page[17] == 0 && page[PAGE1_RESERVED_AT] == VAULT_RESERVED_BYTES;
}

static int main_file_write(sqlite3_file *base, const void *data, int amount, sqlite3_int64 at)
{
    struct vault_file *f = vault_file_of(base);
    if (vault_files_poisoned(f->files) || !f->is_writer || amount != VAULT_PAGE_BYTES || at % VAULT_PAGE_BYTES != 0 ||
        (at == 0 && !page1_is_ours(data))) {
        return SQLITE_IOERR_WRITE;
    }
    uint64_t page = (uint64_t)at / VAULT_PAGE_BYTES + 1;
    int rc = pages_fill(f, page - 1);
    return rc == SQLITE_OK ? page_write(f, page, data) : rc;
}

/* What the last write of a checkpoint came to, told to the call that follows it. */
static int take_owed(struct vault_file *f)
{
    int rc = f->owed;
    f->owed = SQLITE_OK;
    return rc;
}

static int main_file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct vault_file *f = vault_file_of(base);
    if (vault_files_poisoned(f->files) || !f->is_writer || size % VAULT_PAGE_BYTES != 0) {
        return SQLITE_IOERR_TRUNCATE;
    }
    uint64_t count = (uint64_t)size / VAULT_PAGE_BYTES;
    int rc = take_owed(f);
    rc = rc == SQLITE_OK ? vault_files_settle(f->files) : rc;
    rc = rc == SQLITE_OK ? pages_fill(f, count) : rc;
    rc = rc == SQLITE_OK ? gathered_write(f) : rc;
    if (rc != SQLITE_OK) {
        return rc;
    }
    int error = f->disk->ops->ftruncate(f->disk, page_offset(count + 1));
    f->pages = count;
    f->has_pages = error == 0;
    return sqlite_from_errno(f->files, error, SQLITE_IOERR_TRUNCATE);
}

static int main_file_sync(sqlite3_file *base, int flags)
{
    int rc = take_owed(vault_file_of(base));
    rc = rc == SQLITE_OK ? gathered_write(vault_file_of(base)) : rc;
    return rc == SQLITE_OK ? vault_file_sync(base, flags) : rc;
}

static int main_file_close(sqlite3_file *base)
{
    (void)gathered_write(vault_file_of(base)); /* what nobody asked to be made durable */
    return vault_file_close(base);
}

static int main_file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    uint64_t count = 0;
    int rc = pages_on_disk(vault_file_of(base), &count);
    if (rc == SQLITE_OK) {
        *out = (sqlite3_int64)(count * VAULT_PAGE_BYTES);
    }
    return rc;
}

/* Setting a page size would make VACUUM copy pages of another size under our seals. */
static int main_file_pragma(char **args)
{
    if (sqlite3_stricmp(args[1], "page_size") == 0 && args[2] != NULL) {
        args[0] = sqlite3_mprintf("page_size is fixed in an encrypted store");
        return SQLITE_ERROR;
    }
    return SQLITE_NOTFOUND;
}

static int main_file_control(sqlite3_file *base, int op, void *arg)
{
    struct vault_file *f = vault_file_of(base);
    switch (op) {
    case SQLITE_FCNTL_SIZE_HINT:
    case SQLITE_FCNTL_CHUNK_SIZE:
        return SQLITE_OK;
    case SQLITE_FCNTL_PRAGMA:
        return main_file_pragma(arg);
    case SQLITE_FCNTL_MMAP_SIZE:
        *(sqlite3_int64 *)arg = 0;
        return SQLITE_OK;
    case SQLITE_FCNTL_CKPT_START:
        f->gathers = !wal_index_has_others(f->files);
        f->owed = SQLITE_OK;
        return SQLITE_OK;
    case SQLITE_FCNTL_CKPT_DONE:
        f->owed = gathered_write(f); /* SQLite does not look at our answer */
        f->gathers = false;
        return SQLITE_OK;
    case VAULT_FCNTL_LAZY:
        f->files->is_lazy = *(const bool *)arg;
        return SQLITE_OK;
    case VAULT_FCNTL_SETTLE:
        return vault_files_settle(f->files);
    case SQLITE_FCNTL_LAST_ERRNO:
        *(int *)arg = atomic_load(&f->files->last_errno);
        return SQLITE_OK;
    default:
        return SQLITE_NOTFOUND;
    }
}

/* Version 2: with the wal-index, without xFetch, so that no mapping can bypass the cipher. */
const sqlite3_io_methods main_file_methods = {
    .iVersion = 2,
    .xClose = main_file_close,
    .xRead = main_file_read,
    .xWrite = main_file_write,
    .xTruncate = main_file_truncate,
    .xSync = main_file_sync,
    .xFileSize = main_file_size,
    .xLock = main_file_lock,
    .xUnlock = main_file_unlock,
    .xCheckReservedLock = main_file_check_reserved,
    .xFileControl = main_file_control,
    .xSectorSize = vault_file_sector_size,
    .xDeviceCharacteristics = vault_file_characteristics,
    .xShmMap = wal_index_map,
    .xShmLock = wal_index_lock,
    .xShmBarrier = wal_index_barrier,
    .xShmUnmap = wal_index_unmap,
};
