/*
 * Owns: the container for rollback journals and temporary files: byte streams SQLite reads and writes at any offset.
 * The stream is cut into blocks of fixed size (512 bytes for the journal, 4096 for temporary files):
 *
 *      nonce 24 | sealed( length 2 | data, zero padded ) | tag 16
 *
 * The length counts only in the last block; every earlier one counts as full. Fixed size matters: SQLite starts its
 * next journal segment at the next sector, and a block that was made durable before must not be written again for that
 * (a first attempt did, and a power loss in the middle destroyed a journal that was needed).
 *
 * A block that does not open is an error, with one exception for the journal: what recovery probes to see whether a
 * journal is there and how it ends (first byte, magic at a sector, last 16 bytes) reads as zeros, because a torn
 * journal that never became valid is legal. Temporary files use a random key that never leaves memory and are gone
 * after a crash anyway.
 */
#include "node/vault/files.h"

enum { DATA_AT = PAGE_NONCE_BYTES + BLOCK_LENGTH_BYTES, PROBE_TAIL_BYTES = 16, PROBE_MAGIC_BYTES = 8 };

static size_t block_data(const struct vault_file *f)
{
    return f->kind == VAULT_FILE_TEMP ? TEMP_BLOCK_BYTES : JOURNAL_BLOCK_BYTES;
}

static size_t block_disk(const struct vault_file *f)
{
    return block_data(f) + BLOCK_LENGTH_BYTES + PAGE_SEAL_BYTES;
}

static const uint8_t *block_key(const struct vault_file *f)
{
    return f->kind == VAULT_FILE_TEMP ? f->temp_key : f->files->keys->journal;
}

static void block_aad(const struct vault_file *f, uint64_t index, uint8_t aad[PAGE_AAD_BYTES])
{
    page_aad(aad, f->files->db_id, f->kind == VAULT_FILE_TEMP ? PAGE_KIND_TEMP : PAGE_KIND_JOURNAL, index);
}

static int block_count(struct vault_file *f, uint64_t *out)
{
    uint64_t size = 0;
    int error = f->disk->ops->size(f->disk, &size);
    if (error == 0) {
        *out = size / block_disk(f);
    }
    return sqlite_from_errno(f->files, error, SQLITE_IOERR_FSTAT);
}

/* Opens block `index` in scratch; it must exist. */
static int block_load(struct vault_file *f, uint64_t index)
{
    uint8_t aad[PAGE_AAD_BYTES];
    size_t got = 0;
    size_t body_len = block_data(f) + BLOCK_LENGTH_BYTES;
    int error = f->disk->ops->pread(f->disk, f->scratch, block_disk(f), index * block_disk(f), &got);
    if (error != 0) {
        return sqlite_from_errno(f->files, error, SQLITE_IOERR_READ);
    }
    uint8_t *body = f->scratch + PAGE_NONCE_BYTES;
    block_aad(f, index, aad);
    bool opens = got == block_disk(f) && page_cipher_open(&f->cipher, block_key(f), aad, bytes_of(body, body_len), body,
                                             f->scratch, body + body_len) == ERR_OK;
    return opens ? SQLITE_OK : SQLITE_IOERR_DATA;
}

static size_t block_length(const struct vault_file *f)
{
    size_t len = (size_t)f->scratch[PAGE_NONCE_BYTES] << 8U | f->scratch[PAGE_NONCE_BYTES + 1];
    return len < block_data(f) ? len : block_data(f);
}

static int block_store(struct vault_file *f, uint64_t index, size_t len)
{
    uint8_t aad[PAGE_AAD_BYTES];
    size_t body_len = block_data(f) + BLOCK_LENGTH_BYTES;
    uint8_t *body = f->scratch + PAGE_NONCE_BYTES;
    body[0] = (uint8_t)(len >> 8U);
    body[1] = (uint8_t)len;
    block_aad(f, index, aad);
    enum err e =
        page_cipher_seal(&f->cipher, block_key(f), aad, bytes_of(body, body_len), body, f->scratch, body + body_len);
    if (e != ERR_OK) {
        return SQLITE_IOERR_WRITE;
    }
    int error = f->disk->ops->pwrite(f->disk, f->scratch, block_disk(f), index * block_disk(f));
    return sqlite_from_errno(f->files, error, SQLITE_IOERR_WRITE);
}

static int stream_size(struct vault_file *f, uint64_t *out)
{
    uint64_t count = 0;
    int rc = block_count(f, &count);
    if (rc != SQLITE_OK || count == 0) {
        *out = 0;
        return rc;
    }
    rc = block_load(f, count - 1);
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_DATA) {
        return rc;
    }
    size_t last = rc == SQLITE_OK ? block_length(f) : block_data(f);
    *out = (count - 1) * block_data(f) + last;
    return SQLITE_OK;
}

static int block_file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    uint64_t size = 0;
    int rc = stream_size(vault_file_of(base), &size);
    if (rc == SQLITE_OK) {
        *out = (sqlite3_int64)size;
    }
    return rc;
}

static bool is_probe(const struct vault_file *f, uint64_t at, size_t len, uint64_t size)
{
    bool is_start = at % JOURNAL_BLOCK_BYTES == 0 && (len == 1 || len == PROBE_MAGIC_BYTES);
    bool is_tail = at + PROBE_TAIL_BYTES >= size && len <= PROBE_MAGIC_BYTES;
    return f->kind == VAULT_FILE_JOURNAL && (is_start || is_tail);
}

static int block_file_read(sqlite3_file *base, void *out, int amount, sqlite3_int64 offset)
{
    struct vault_file *f = vault_file_of(base);
    uint8_t *to = out;
    uint64_t at = (uint64_t)offset;
    size_t left = (size_t)amount;
    uint64_t size = 0;
    if (vault_files_poisoned(f->files)) {
        return SQLITE_IOERR_READ;
    }
    memset(out, 0, left);
    int rc = stream_size(f, &size);
    while (rc == SQLITE_OK && left > 0 && at < size) {
        size_t within = (size_t)(at % block_data(f));
        size_t step = left < block_data(f) - within ? left : block_data(f) - within;
        step = step < size - at ? step : (size_t)(size - at);
        rc = block_load(f, at / block_data(f));
        if (rc == SQLITE_IOERR_DATA && is_probe(f, (uint64_t)offset, (size_t)amount, size)) {
            rc = SQLITE_OK;
        } else if (rc == SQLITE_OK) {
            memcpy(to, f->scratch + DATA_AT + within, step);
        }
        to += step;
        at += step;
        left -= step;
    }
    if (rc != SQLITE_OK) {
        memset(out, 0, (size_t)amount);
        return rc;
    }
    return left > 0 ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

/* Writes sealed zero blocks until block `index` is the next one. */
static int blocks_fill(struct vault_file *f, uint64_t index)
{
    uint64_t count = 0;
    int rc = block_count(f, &count);
    while (rc == SQLITE_OK && count < index) {
        memset(f->scratch, 0, f->scratch_bytes);
        rc = block_store(f, count, block_data(f));
        count++;
    }
    return rc;
}

/* Puts step bytes into one block, keeping what else it holds. */
static int block_update(struct vault_file *f, uint64_t index, size_t within, const uint8_t *from, size_t step)
{
    uint64_t count = 0;
    size_t len = within + step;
    int rc = block_count(f, &count);
    if (rc != SQLITE_OK) {
        return rc;
    }
    if (index < count && step < block_data(f)) {
        rc = block_load(f, index);
        if (rc != SQLITE_OK) {
            /* A journal left torn by a power loss is written over from its start. */
            bool may_replace = rc == SQLITE_IOERR_DATA && within == 0 && f->kind == VAULT_FILE_JOURNAL;
            if (!may_replace) {
                return rc;
            }
            memset(f->scratch, 0, f->scratch_bytes);
        }
        size_t before = index + 1 < count ? block_data(f) : block_length(f);
        len = len > before ? len : before;
    } else {
        memset(f->scratch, 0, f->scratch_bytes);
    }
    memcpy(f->scratch + DATA_AT + within, from, step);
    return block_store(f, index, len);
}

static int block_file_write(sqlite3_file *base, const void *data, int amount, sqlite3_int64 offset)
{
    struct vault_file *f = vault_file_of(base);
    const uint8_t *from = data;
    uint64_t at = (uint64_t)offset;
    size_t left = (size_t)amount;
    if (f->kind == VAULT_FILE_JOURNAL && vault_files_poisoned(f->files)) {
        return SQLITE_IOERR_WRITE;
    }
    int rc = blocks_fill(f, at / block_data(f));
    while (rc == SQLITE_OK && left > 0) {
        size_t within = (size_t)(at % block_data(f));
        size_t step = left < block_data(f) - within ? left : block_data(f) - within;
        rc = block_update(f, at / block_data(f), within, from, step);
        from += step;
        at += step;
        left -= step;
    }
    return rc;
}

static int block_file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct vault_file *f = vault_file_of(base);
    uint64_t full = (uint64_t)size / block_data(f);
    size_t rest = (size_t)((uint64_t)size % block_data(f));
    if (vault_files_poisoned(f->files)) {
        return SQLITE_IOERR_TRUNCATE;
    }
    int rc = blocks_fill(f, full);
    if (rc == SQLITE_OK && rest > 0) {
        uint64_t count = 0;
        rc = block_count(f, &count);
        if (rc == SQLITE_OK && full < count) {
            rc = block_load(f, full);
        } else {
            memset(f->scratch, 0, f->scratch_bytes);
        }
        if (rc == SQLITE_OK) {
            memset(f->scratch + DATA_AT + rest, 0, block_data(f) - rest);
            rc = block_store(f, full, rest);
        }
    }
    if (rc != SQLITE_OK) {
        return rc;
    }
    int error = f->disk->ops->ftruncate(f->disk, (full + (rest > 0 ? 1U : 0U)) * block_disk(f));
    return sqlite_from_errno(f->files, error, SQLITE_IOERR_TRUNCATE);
}

const sqlite3_io_methods block_file_methods = {
    .iVersion = 1,
    .xClose = vault_file_close,
    .xRead = block_file_read,
    .xWrite = block_file_write,
    .xTruncate = block_file_truncate,
    .xSync = vault_file_sync,
    .xFileSize = block_file_size,
    .xLock = vault_file_no_lock,
    .xUnlock = vault_file_no_lock,
    .xCheckReservedLock = vault_file_no_reserved,
    .xFileControl = vault_file_no_control,
    .xSectorSize = vault_file_sector_size,
    .xDeviceCharacteristics = vault_file_characteristics,
};
