#ifndef JIPAN_CONFLICT_H
#define JIPAN_CONFLICT_H

#include "sync/merge.h"

/*
 * One entry of the conflict log as it is stored (SPACE_CONFLICT, key = id): everything needed to show it without
 * reading commits. Entries are derived: replaced as a whole whenever the verdict of their field is computed again.
 *
 *   entry   := 01 id[16] record[16] entity field flags rule winner list list
 *              flags: bit 0 open, bit 1 values differ; winner: place in the first list
 *   list    := total count write*              first the siblings, then the writes that settled it; each in dot order
 *   write   := node epoch seq hlc(u64 be) author flags [reason] value
 *              flags: bit 0 decision, then a reason follows (length, bytes); value tagged with the field's number
 *
 * Numbers without a width are varints in shortest form. One entry has one encoding.
 */
struct conflict_write {
    struct dot dot;
    uint64_t hlc;
    uint32_t author; /* user number */
    bool is_decision;
    struct bytes reason; /* decisions only */
    struct value value;
};

struct conflict_list {
    struct conflict_write *at; /* dot order */
    size_t count;
    size_t total; /* how many there are; more than count when the list was cut */
};

struct conflict_entry {
    uint8_t id[CONFLICT_ID_BYTES];
    struct record_id record;
    uint32_t entity; /* may be unknown to this build */
    uint32_t field;
    bool is_open;
    enum conflict_grade grade;
    enum merge_rule rule;
    size_t winner; /* index into siblings */
    struct conflict_list siblings;
    struct conflict_list settled_by; /* empty: open, or settled by the rule alone */
};

enum { CONFLICT_ENTRY_MAX_BYTES = 1 << 20 };

/* Conflict number i of a verdict over writes, as an entry. Arrays are arena memory; values and reasons are borrowed
 * from writes. ERR_NOMEM. */
MUST_USE enum err conflict_entry_from_verdict(struct arena *a, struct record_id record, const struct entity_desc *d,
    const struct field *f, const struct field_write *writes, const struct field_verdict *verdict, size_t i,
    struct conflict_entry *out);

/* Appends the bytes; b->err says ERR_LIMIT or ERR_NOMEM. An entry made above takes at most CONFLICT_ENTRY_MAX_BYTES. */
void conflict_put(struct buf *b, const struct conflict_entry *entry);

/**
 * conflict_take: a whole entry back from its bytes, which it borrows values and reasons from.
 * Errors: ERR_VERSION, ERR_TRUNCATED, ERR_FORMAT (also trailing bytes and anything conflict_put would not write),
 * ERR_LIMIT, ERR_NOMEM.
 */
MUST_USE enum err conflict_take(struct bytes bytes, struct arena *a, struct conflict_entry *out);

#endif
