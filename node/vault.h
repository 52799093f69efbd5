#ifndef JIPAN_VAULT_H
#define JIPAN_VAULT_H

#include "schema/base/bytes.h"
#include "schema/base/err.h"

#include <sqlite3.h>

/*
 * The encrypted file set of one node: `jipan.db` (and its -wal) behind our VFS, plus a lock file. The data key is
 * wrapped in key slots (passphrase by Argon2id, recovery key) in the header block. Format: docs/STORAGE.md.
 *
 * Guarantees: a wrong secret is ERR_SECRET and no file is touched; any changed byte is ERR_DAMAGED and never wrong
 * data; nothing readable reaches the disk; a second process gets ERR_LOCKED.
 */
struct vault;

enum { VAULT_KEY_BYTES = 32, VAULT_RECOVERY_TEXT_BYTES = 80 };

/* dir must exist. recovery_text receives the recovery key as grouped text for a person to write down (with a check
 * symbol). */
MUST_USE enum err vault_create(const char *dir, struct bytes passphrase, char recovery_text[VAULT_RECOVERY_TEXT_BYTES],
    struct vault **out, struct why *why);
MUST_USE enum err vault_open(const char *dir, struct bytes passphrase, struct vault **out, struct why *why);
MUST_USE enum err vault_open_recovery(const char *dir, struct bytes recovery_text, struct vault **out, struct why *why);
bool vault_exists(const char *dir);

/* Replaces the passphrase slot atomically. */
MUST_USE enum err vault_set_passphrase(struct vault *v, struct bytes passphrase, struct why *why);

/* The one writer connection (WAL, foreign keys off, temp in memory, extension loading off, trusted_schema off). */
sqlite3 *vault_db(struct vault *v);

/* A second, read-only connection for long reads; close with sqlite3_close. */
MUST_USE enum err vault_reader(struct vault *v, sqlite3 **out);

/* 32-byte key for a purpose, derived from the data key (crypto_kdf); label 1..8 characters. */
void vault_subkey(struct vault *v, const char *label, uint64_t number, uint8_t out[VAULT_KEY_BYTES]);

MUST_USE enum err vault_checkpoint(struct vault *v);

/*
 * While a writer connection is lazy its commits do not wait until they are durable: the log is synced on another thread
 * meanwhile, one commit at a time. vault_settle waits for the last; ERR_IO: it never became durable, and nothing is
 * read or written any more. A commit that is not lazy settles too. Connections of other databases ignore both.
 */
void vault_set_lazy(sqlite3 *db, bool is_lazy);
MUST_USE enum err vault_settle(sqlite3 *db);

/* Reads and authenticates every page and WAL frame, then PRAGMA integrity_check. ERR_DAMAGED names the first bad place
 * in why. */
MUST_USE enum err vault_verify(struct vault *v, struct why *why);

/* Once after an open that found a copy of the header damaged, or left behind by a change of passphrase that was broken
 * off, and wrote it anew. */
bool vault_take_mended(struct vault *v);

/* Checkpoints, truncates the WAL, closes, wipes keys, releases the lock. */
void vault_close(struct vault *v);

/* The one translation of SQLite result codes. */
enum err err_from_sqlite(int rc);

#endif
