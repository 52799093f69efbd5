#ifndef JIPAN_NODE_VAULT_ON_H
#define JIPAN_NODE_VAULT_ON_H

#include "node/vault.h"
#include "node/vault/files.h"

/*
 * The vault on any struct disk; node/vault.h is this on disk_posix(). Tests and the simulator come in here.
 */
struct vault {
    struct vault_files *files;
    sqlite3 *db;
    struct disk_file *lock;
    struct vault_header header;
    unsigned header_copy; /* which copy on disk counts */
    bool is_half_replaced; /* the other copy is not the same: vault_open_on mends it */
    bool was_mended; /* and has done so, which nobody was told yet */
};

MUST_USE enum err vault_create_on(struct disk disk, const char *dir, struct bytes passphrase,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], struct vault **out, struct why *why);
MUST_USE enum err vault_open_on(
    struct disk disk, const char *dir, enum slot_kind kind, struct bytes secret, struct vault **out, struct why *why);

bool vault_exists_on(struct disk disk, const char *dir);

/* Connections (connection.c). */
MUST_USE enum err vault_connect(struct vault_files *files, bool is_writer, sqlite3 **out);
MUST_USE enum err vault_connect_new(struct vault_files *files); /* creates page 1 in WAL format, closes again */

/* Header block on disk (header_file.c). `raw` receives the block; ERR_DAMAGED when the file is shorter. */
MUST_USE enum err header_file_read(
    struct vault_files *files, uint8_t raw[VAULT_HEADER_BLOCK_BYTES], uint64_t *ret_size);
MUST_USE enum err header_file_create(struct vault_files *files, struct vault_header *header, unsigned *ret_copy);
MUST_USE enum err header_file_replace(struct vault_files *files, struct vault_header *header, unsigned *copy);
/* Writes the copy that does not count, which counts from then on. */
MUST_USE enum err header_file_mend(struct vault_files *files, struct vault_header *header, unsigned *copy);

/* Texts for people (errors.c). */
enum err err_from_errno(int error);
enum err why_from_errno(struct why *why, int error, const char *path);
enum err why_from_vault(struct why *why, enum err e, const struct vault_files *files);

#endif
