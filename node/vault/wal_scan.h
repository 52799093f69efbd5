#ifndef JIPAN_NODE_VAULT_WAL_SCAN_H
#define JIPAN_NODE_VAULT_WAL_SCAN_H

#include "node/vault/files.h"

struct wal_report {
    uint32_t frames; /* whole frames in the file */
    uint32_t good; /* readable frames of the current generation before the first bad one */
    uint32_t durable; /* frames proven to have been durable */
    bool header_is_lost; /* frames of ours behind a header that does not open */
    uint8_t *pages; /* optional, zeroed by the caller: bit per page number that stands in a good frame */
    uint64_t page_bits; /* room in pages */
};

/**
 * wal_scan: read the whole log and judge it. A missing or empty log is fine. Damage is proven when the header does not
 * open but a frame does, or when a frame below a later frame's mark does not open or is of another generation. A torn
 * tail of a power loss is neither.
 *
 * Errors: ERR_DAMAGED proven loss (report->good names the frame); ERR_IO; ERR_NOMEM.
 */
MUST_USE enum err wal_scan(struct vault_files *files, struct wal_report *report);

/* Writes the log's own bytes over it and makes them durable. 0 or an errno value; nothing else changes. */
int wal_settle(struct vault_files *files);

#endif
