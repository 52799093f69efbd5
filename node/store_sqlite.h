#ifndef JIPAN_STORE_SQLITE_H
#define JIPAN_STORE_SQLITE_H

#include "sync/store.h"

#include <sqlite3.h>

/*
 * Storage behind sync/store.h in SQLite tables; layout in docs/STORAGE.md ("Tables") and docs/decisions/0005. The
 * connection is normally vault_db(); any other SQLite connection in WAL mode gives the same promises without the
 * encryption.
 *
 * Beyond the clauses of sync/store.h:
 * - every commit is synchronous=FULL, durable or not: the pragma is set at the start, and as long as the store stands
 * an authorizer of the connection refuses any other, so nothing can weaken an acknowledgement. Callers batch
 * (messages, rows of a spreadsheet) to share the fsync;
 * - a write that failed for any reason but ERR_EXISTS, ERR_NOT_FOUND, ERR_LIMIT or ERR_INVALID dooms its transaction:
 * every later write and the commit repeat the error, so that no half of a transaction can be committed;
 * - a commit that failed has rolled back; rollback without a transaction does nothing;
 * - writing outside a transaction, a begin inside one, and writing from inside a visitor are programmer errors (check).
 */

/**
 * store_sqlite_new: creates the tables, or adds what this build knows and the file does not (new entities, fields,
 * indexes), in one transaction; a connection whose tables are current is only read, so a read-only one works.
 *
 * Owner:   db stays the caller's and must outlive the store; free the store first.
 * Errors:  ERR_VERSION  the tables were made by a newer version (why says so); nothing changed.
 *          ERR_DAMAGED, ERR_IO, ERR_FULL, ERR_NOMEM  nothing changed.
 */
MUST_USE enum err store_sqlite_new(sqlite3 *db, struct store **out, struct why *why);

/* Rolls back an open transaction. NULL is fine. */
void store_sqlite_free(struct store *s);

/* True when opening added fields to tables that hold rows: values kept in `extra` wait for a rebuild of the derived
 * tables. */
bool store_sqlite_has_new_fields(const struct store *s);

/* Whether the index finds everything that stands in the tables. ERR_DAMAGED: why names what it lacks. */
MUST_USE enum err store_sqlite_verify(struct store *s, struct why *why);

#endif
