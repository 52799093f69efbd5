/*
 * Owns: how a SQLite connection of the vault is set up. The writer is the only one that writes and the only one that
 * checkpoints. Everything temporary stays in memory; the schema is not trusted; cells are checked. A connection is used
 * by one thread at a time, so it has no lock of its own.
 */
#include "node/vault/vault_on.h"

enum { BUSY_WAIT_MS = 2000 };

static const char writer_setup[] = "PRAGMA journal_mode=WAL;"
                                   "PRAGMA synchronous=FULL;"
                                   "PRAGMA wal_autocheckpoint=16000;"
                                   "PRAGMA secure_delete=ON;";

static const char common_setup[] = "PRAGMA temp_store=MEMORY;"
                                   "PRAGMA cache_size=-65536;"
                                   "PRAGMA trusted_schema=OFF;"
                                   "PRAGMA cell_size_check=ON;"
                                   "PRAGMA foreign_keys=OFF;"
                                   "PRAGMA mmap_size=0;";

/* The first read runs recovery, so a store that cannot be read fails here and not later. */
static const char first_read[] = "SELECT count(*) FROM sqlite_schema;";

static int connection_config(sqlite3 *db, bool is_writer)
{
    int rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    }
    if (rc == SQLITE_OK && !is_writer) {
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_busy_timeout(db, BUSY_WAIT_MS);
    }
    return rc;
}

static int connection_setup(sqlite3 *db, bool is_writer)
{
    int rc = connection_config(db, is_writer);
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(db, common_setup, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK && is_writer) {
        int reserve = VAULT_RESERVED_BYTES;
        rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(db, first_read, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK && is_writer) {
        rc = sqlite3_exec(db, writer_setup, NULL, NULL, NULL);
    }
    return rc;
}

enum err vault_connect(struct vault_files *files, bool is_writer, sqlite3 **out)
{
    sqlite3 *db = NULL;
    int flags =
        (is_writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(files->db_path, &db, flags, files->vfs_name);
    if (rc == SQLITE_OK) {
        rc = connection_setup(db, is_writer);
    }
    if (rc != SQLITE_OK) {
        (void)sqlite3_close(db);
        return err_from_sqlite(rc);
    }
    *out = db;
    return ERR_OK;
}

enum err vault_connect_new(struct vault_files *files)
{
    sqlite3 *db = NULL;
    enum err e = vault_connect(files, true, &db);
    if (e != ERR_OK) {
        return e;
    }
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    int closed = sqlite3_close(db);
    return err_from_sqlite(rc != SQLITE_OK ? rc : closed);
}
