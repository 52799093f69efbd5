#ifndef JIPAN_COMMIT_H
#define JIPAN_COMMIT_H

#include "schema/catalogue.h"
#include "schema/vv.h"

/*
 * The bytes of a commit, format version 1. docs/PROTOCOL.md section 2 is the byte-by-byte description; golden files
 * hold it.
 *
 *   commit := header signature[64] body
 *   header := 01 node epoch seq hlc(u64 be) member_number member_hash[16] prev[32] salt[16] group_count
 *   body   := items that together cover group_count leaves, in order
 *   item   := 00 leaves hash[32]                                   a withheld subtree of the digest tree
 *           | 01 head part_count parts
 *   head   := flags kind station [dossier[10] unless flags bit 0]   bit 0: the dossier is created by this commit;
 *             bits 1 to 3: hints an older build passes over; bits 4 to 6: critical ones, it does not apply the group
 *   part   := class key_epoch length sealed                         class bit 7: withheld, followed by hash[32] only
 *
 * Numbers without a width are varints in shortest form. The signature covers a label, the group id, the header and the
 * root of the digest tree over the dossier groups, so a group or a part can be withheld or erased and the rest still
 * verifies. Parsing is strict and bounded; the received bytes are what is hashed, stored and forwarded.
 */
enum {
    COMMIT_VERSION = 1,
    COMMIT_SALT_BYTES = 16,
    COMMIT_HASH_BYTES = 32,
    COMMIT_SIGNATURE_BYTES = 64,
    COMMIT_GROUPS_MAX = 4096,
    COMMIT_PARTS_MAX = 16, /* per group */
    COMMIT_MAX_BYTES = 1 << 19,
    PART_MAX_BYTES = 1 << 18,
    PART_TAG_BYTES = 16,
};

struct commit_header {
    struct dot dot;
    uint64_t hlc;
    uint64_t member_number; /* membership head the author saw */
    uint8_t member_hash[16];
    uint8_t prev[COMMIT_HASH_BYTES]; /* hash of the previous commit of this (node, epoch); zero for the first */
    uint8_t salt[COMMIT_SALT_BYTES]; /* random: nonce prefix of every part, seed of derived ids */
    uint32_t group_count;
};

struct commit_view {
    struct commit_header header;
    struct bytes header_bytes;
    const uint8_t *signature;
    struct bytes body;
    struct bytes all;
};

/* One part of a group as it stands on the wire. */
struct part_item {
    bool is_withheld;
    uint32_t index; /* inside the group */
    enum class_ class_;
    uint32_t key_epoch;
    const uint8_t *hash; /* withheld: 32 bytes */
    struct bytes slice; /* present: the hashed bytes */
    struct bytes sealed; /* present: ciphertext and tag */
};

/* One item of the body: a withheld subtree or one dossier group. */
struct group_item {
    bool is_withheld;
    uint32_t index; /* of its first leaf */
    uint32_t leaves; /* 1 for a group */
    const uint8_t *hash; /* withheld: 32 bytes */
    struct bytes slice; /* the whole item */
    struct bytes head; /* the hashed head bytes */
    bool is_new; /* the dossier is created here; id is derived from the salt (sync/seal.h) */
    bool is_newer; /* has a critical flag that this build does not know: kept, not applied */
    uint8_t flags;
    enum dossier_kind kind;
    uint32_t station;
    struct dossier_id dossier; /* not filled when is_new */
    uint32_t part_count;
    struct bytes parts;
};

struct body_cursor {
    struct reader r;
    uint32_t next_leaf;
    uint32_t group_count;
};

struct part_cursor {
    struct reader r;
    uint32_t next;
    uint32_t part_count;
};

void commit_header_put(struct buf *b, const struct commit_header *h);

/**
 * commit_parse: borrow a view of one whole commit and walk all of it once, so that later walks cannot fail.
 * Errors: ERR_VERSION, ERR_TRUNCATED, ERR_FORMAT (also trailing bytes), ERR_LIMIT.
 */
MUST_USE enum err commit_parse(struct bytes all, struct commit_view *out);

/* The dot of a commit of this or any later format: version, node, epoch and seq stand first in all of them. Errors:
 * ERR_TRUNCATED, ERR_FORMAT. */
MUST_USE enum err commit_peek(struct bytes all, struct dot *out);

struct body_cursor commit_groups(const struct commit_view *v);
MUST_USE enum err commit_next_group(struct body_cursor *c, struct group_item *out); /* ERR_NOT_FOUND at the end */
struct part_cursor group_parts(const struct group_item *g);
MUST_USE enum err group_next_part(struct part_cursor *c, struct part_item *out); /* ERR_NOT_FOUND at the end */

/* Writers of the same shapes. */
void commit_put_withheld(struct buf *b, uint32_t leaves, const uint8_t hash[COMMIT_HASH_BYTES]);
void commit_put_group_head(
    struct buf *b, bool is_new, enum dossier_kind kind, uint32_t station, struct dossier_id dossier);
void commit_put_part_head(struct buf *b, enum class_ class_, uint32_t key_epoch, size_t sealed_len);
void commit_put_part_withheld(struct buf *b, enum class_ class_, const uint8_t hash[COMMIT_HASH_BYTES]);

/*
 * The plaintext of a part.
 *
 *   body   := context author standing purpose record_count records
 *   record := entity ref cell_count cells
 *   ref    := 0 main record of the dossier | 1 suffix[6] | n >= 2 record number n - 2 created by this commit in this
 * group
 *   cell   := value (tagged, schema/value.h) | (number << 3 | 7) conflict_id[16] reason, then the value it decides
 *           | (number << 3 | 5 or 6) blob: kinds of a later version
 */
struct part_head {
    struct vv context;
    uint32_t author;
    uint8_t standing;
    enum purpose purpose;
    uint32_t record_count;
};

enum record_ref_kind { REF_MAIN, REF_SUFFIX, REF_NEW };

struct record_ref {
    enum record_ref_kind kind;
    uint8_t suffix[RECORD_SUFFIX_BYTES]; /* REF_SUFFIX */
    uint32_t ordinal; /* REF_NEW: number among the records created in this group */
};

struct part_record {
    uint32_t entity; /* may be unknown to this build */
    struct record_ref ref;
    uint32_t cell_count;
};

struct part_cell {
    uint8_t newer_kind; /* not 0: a kind this build does not know; then only number and newer are set */
    struct bytes newer;
    uint32_t number; /* field number; 0 is the record's deletion mark */
    struct value value;
    bool is_decision;
    const uint8_t *conflict; /* decision: 16 bytes */
    struct bytes reason;
};

enum { CELLS_PER_RECORD_MAX = 256, RECORDS_PER_PART_MAX = 4096, REASON_MAX_BYTES = 1000 };

void part_put_head(struct buf *b, const struct part_head *h);
void part_put_record(struct buf *b, const struct part_record *rec);
void part_put_cell(struct buf *b, const struct part_cell *cell);
MUST_USE enum err part_take_head(struct reader *r, struct arena *a, struct part_head *out);
MUST_USE enum err part_take_record(struct reader *r, struct part_record *out);
MUST_USE enum err part_take_cell(struct reader *r, struct part_cell *out);

#endif
