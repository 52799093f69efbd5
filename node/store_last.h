#ifndef JIPAN_STORE_LAST_H
#define JIPAN_STORE_LAST_H

#include "sync/store.h"

#include <sqlite3.h>

/*
 * What was read last: one dossier and one row. An edit asks for the same ones again and again, before its transaction
 * and inside it. Whoever answers from here has what a statement would find: nothing is answered outside a transaction,
 * and at its begin everything goes that another version of the file told.
 */
enum { LAST_SEEN_BYTES = 256, LAST_DOTS_BYTES = 480, LAST_ROW_BYTES = 2048 };

struct store_last {
    bool is_open; /* a transaction: what is here may be answered */
    unsigned int version; /* of the file, when either was read */
    int64_t rid; /* of the dossier; 0: none */
    struct dossier dossier; /* seen lies in seen_bytes */
    size_t dots_len;
    uint8_t seen_bytes[LAST_SEEN_BYTES];
    uint8_t dots_bytes[LAST_DOTS_BYTES];
    bool has_row;
    struct row row; /* its values and bytes lie below */
    struct value values[FIELDS_PER_ENTITY_MAX];
    uint8_t row_bytes[LAST_ROW_BYTES];
};

void store_last_begin(struct store_last *l, sqlite3 *db);
void store_last_end(struct store_last *l); /* committed or rolled back: nothing is left */

/* While the statement that told it stands at its row. Too large a one is not kept. */
void store_last_keep_dossier(
    struct store_last *l, sqlite3 *db, int64_t rid, const struct dossier *d, struct bytes dots);
void store_last_keep_row(struct store_last *l, sqlite3 *db, const struct entity_desc *desc, const struct row *row);

/* NULL: not here. What they point to is gone with the next call. */
const struct dossier *store_last_dossier(const struct store_last *l, int64_t rid, struct bytes *dots);
const struct row *store_last_row(const struct store_last *l, enum entity entity, struct record_id id);

/* Something of it was written. */
void store_last_drop_dossier(struct store_last *l, int64_t rid);
void store_last_drop_row(struct store_last *l, enum entity entity, struct record_id id);
void store_last_drop(struct store_last *l);

#endif
