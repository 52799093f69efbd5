#ifndef JIPAN_ID_H
#define JIPAN_ID_H

#include "schema/base/bytes.h"
#include "schema/base/err.h"

/*
 * Ids and dots.
 *
 * A record id is 16 bytes: the 10-byte id of its dossier, then a 6-byte suffix inside the dossier. That a record
 * belongs to exactly one dossier is therefore part of its name (docs/decisions/0002). Text form: 32 lower-case hex
 * digits. The main record of a dossier has the suffix 000000000000.
 */
enum { DOSSIER_ID_BYTES = 10, RECORD_SUFFIX_BYTES = 6, RECORD_ID_BYTES = 16, ID_TEXT_BYTES = 32 };

struct dossier_id {
    uint8_t b[DOSSIER_ID_BYTES];
};

struct record_id {
    uint8_t b[RECORD_ID_BYTES];
};

/* The atomic unit's name: which node, which incarnation of it, which commit. Order: node, epoch, seq. */
struct dot {
    uint32_t node;
    uint32_t epoch;
    uint64_t seq;
};

static inline struct dossier_id record_dossier(struct record_id id)
{
    struct dossier_id d;
    memcpy(d.b, id.b, DOSSIER_ID_BYTES);
    return d;
}

struct record_id record_id_make(
    struct dossier_id dossier, const uint8_t suffix[RECORD_SUFFIX_BYTES]); /* NULL: main record */
int record_id_compare(struct record_id a, struct record_id b);
int dossier_id_compare(struct dossier_id a, struct dossier_id b);
bool record_id_is_main(struct record_id id);

/* 32 hex digits plus NUL. */
void record_id_text(struct record_id id, char out[ID_TEXT_BYTES + 1]);
MUST_USE enum err record_id_parse(struct bytes text, struct record_id *out); /* ERR_FORMAT */

int dot_compare(struct dot a, struct dot b);
static inline bool dot_equal(struct dot a, struct dot b)
{
    return a.node == b.node && a.epoch == b.epoch && a.seq == b.seq;
}

enum { DOT_TEXT_BYTES = 44, DOT_KEY_BYTES = 16 };
size_t dot_text(struct dot d, char out[DOT_TEXT_BYTES]); /* "node.epoch.seq", NUL-terminated; returns the length */
MUST_USE enum err dot_parse(struct bytes text, struct dot *out);
void dot_key(struct dot d, uint8_t out[DOT_KEY_BYTES]); /* big-endian, sorts like dot_compare */
MUST_USE enum err dot_from_key(struct bytes key, struct dot *out);

/* Lower-case hex of any bytes; out holds 2 * v.len + 1. */
void hex_text(struct bytes v, char *out);
MUST_USE enum err hex_parse(struct bytes text, uint8_t *out, size_t out_len); /* exactly out_len bytes, either case */

#endif
