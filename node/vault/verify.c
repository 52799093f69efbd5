/*
 * Owns: the full check of an open vault: both header copies, every frame of the log, every page of the main file, then
 * SQLite's own integrity check. A page that does not open in the main file is legal only while the log holds a newer
 * version of it (a checkpoint was cut short).
 *
 * What it cannot see: an older authentic page, file or log put back as a whole, and a log that is missing.
 */
#include "node/vault/vault_on.h"

#include "node/vault/wal_scan.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static enum err verify_header(struct vault *v, uint64_t *ret_size, struct why *why)
{
    uint8_t raw[VAULT_HEADER_BLOCK_BYTES];
    struct vault_header header;
    unsigned copy = 0;
    unsigned valid = 0;
    enum err e = header_file_read(v->files, raw, ret_size);
    if (e == ERR_OK) {
        e = header_parse(BYTES_OF(raw), &header, &copy, &valid);
    }
    if (e == ERR_OK) {
        bool is_ours = valid == HEADER_COPIES;
        for (unsigned i = 0; i < HEADER_COPIES; i++) {
            is_ours = is_ours && header_check_mac(BYTES_OF(raw), i, v->files->keys->header);
        }
        if (!is_ours) {
            return why_set(why, ERR_DAMAGED, "库头的两份副本之一损坏：停止节点后重新打开即可修复",
                "one of the two header copies is damaged: stopping the node and opening it again repairs it");
        }
    }
    return e == ERR_OK ? ERR_OK : why_from_vault(why, e, v->files);
}

static enum err verify_log(struct vault *v, struct wal_report *report, struct why *why)
{
    char place[32];
    enum err e = wal_scan(v->files, report);
    if (e == ERR_DAMAGED) {
        (void)snprintf(place, sizeof(place), "%u", report->good + 1U);
        return why_setf(why, e, "日志第 %s 帧损坏：已确认的写入丢失",
            "log frame %s is damaged: acknowledged writes are lost", place);
    }
    return e == ERR_OK ? ERR_OK : why_from_vault(why, e, v->files);
}

static bool log_has_page(const struct wal_report *report, uint64_t page)
{
    return page < report->page_bits && ((unsigned)report->pages[page / 8] >> page % 8U & 1U) != 0;
}

static enum err verify_page(struct vault *v, struct disk_file *file, struct page_cipher *cipher, uint64_t page)
{
    uint8_t buf[VAULT_PAGE_BYTES];
    size_t got = 0;
    uint64_t at = VAULT_HEADER_BLOCK_BYTES + (page - 1) * VAULT_PAGE_BYTES;
    int error = file->ops->pread(file, buf, sizeof(buf), at, &got);
    enum err e = ERR_DAMAGED;
    if (error != 0) {
        atomic_store(&v->files->last_errno, error);
        e = ERR_IO;
    } else if (got == sizeof(buf)) {
        e = main_page_open(cipher, v->files, page, buf) == ERR_OK ? ERR_OK : ERR_DAMAGED;
    }
    sodium_memzero(buf, sizeof(buf));
    return e;
}

static enum err verify_pages(struct vault *v, uint64_t pages, const struct wal_report *report, struct why *why)
{
    struct disk_file *file = NULL;
    struct page_cipher cipher = { .ctx = NULL };
    enum err e = page_cipher_init(&cipher);
    if (e != ERR_OK) {
        return why_from_vault(why, e, v->files);
    }
    int error = v->files->disk.ops->open(v->files->disk.ctx, v->files->db_path, DISK_READ_ONLY, &file);
    uint64_t page = 0;
    while (error == 0 && e == ERR_OK && page < pages) {
        page++;
        e = verify_page(v, file, &cipher, page);
        if (e == ERR_DAMAGED && log_has_page(report, page)) {
            e = ERR_OK;
        }
    }
    page_cipher_release(&cipher);
    if (error != 0) {
        return why_from_errno(why, error, v->files->dir);
    }
    file->ops->close(file);
    if (e == ERR_DAMAGED) {
        char place[32];
        (void)snprintf(place, sizeof(place), "%llu", (unsigned long long)page);
        return why_setf(why, e, "库文件第 %s 页损坏或被改动", "page %s of the store is damaged or was altered", place);
    }
    return e == ERR_OK ? ERR_OK : why_from_vault(why, e, v->files);
}

/* SQLite tells a page that it had no memory for like a damaged one, in words. */
static enum err finding(const char *text)
{
    const char *code = strstr(text, "error code=");
    if (strcmp(text, "ok") == 0) {
        return ERR_OK;
    }
    return code != NULL && strtol(code + strlen("error code="), NULL, 10) == SQLITE_NOMEM ? ERR_NOMEM : ERR_DAMAGED;
}

static enum err verify_integrity(struct vault *v, struct why *why)
{
    sqlite3_stmt *stmt = NULL;
    enum err found = ERR_OK;
    int rc = sqlite3_prepare_v2(v->db, "PRAGMA integrity_check(1)", -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    if (rc == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        found = text == NULL ? ERR_NOMEM : finding(text);
        rc = SQLITE_OK;
    }
    int closed = sqlite3_finalize(stmt);
    enum err e = err_from_sqlite(rc != SQLITE_OK ? rc : closed);
    e = e == ERR_OK ? found : e;
    return e == ERR_OK ? ERR_OK : why_from_vault(why, e, v->files);
}

enum err vault_verify(struct vault *v, struct why *why)
{
    uint64_t size = 0;
    enum err e = verify_header(v, &size, why);
    if (e != ERR_OK) {
        return e;
    }
    uint64_t pages = (size - VAULT_HEADER_BLOCK_BYTES) / VAULT_PAGE_BYTES;
    struct wal_report report = { .page_bits = pages + 1, .pages = calloc(1, (size_t)(pages / 8 + 1)) };
    if (report.pages == NULL) {
        return why_from_vault(why, ERR_NOMEM, v->files);
    }
    e = verify_log(v, &report, why);
    if (e == ERR_OK) {
        e = verify_pages(v, pages, &report, why);
    }
    free(report.pages);
    return e == ERR_OK ? verify_integrity(v, why) : e;
}
