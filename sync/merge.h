#ifndef JIPAN_MERGE_H
#define JIPAN_MERGE_H

#include "schema/catalogue.h"
#include "schema/vv.h"

/*
 * Merge: what a field shows, and what its conflict log holds, as a pure function of the SET of writes of that field.
 * Order of arrival, duplicates and batch size cannot matter because nothing but the set goes in. Clocks never decide
 * whether there is a conflict: x supersedes y if and only if x's causal context covers y's dot.
 *
 * Heads are the writes that no other write of the set supersedes. One head, or heads of equal value ("agreed"): no open
 * conflict. Otherwise the rule of the field picks the winner among the heads, and the others stay as losers.
 *
 * Past conflicts: a write whose context covers, directly or through other writes of the set, two or more mutually
 * concurrent writes of the field joined them; its parents (the maximal writes under its context) form a closed conflict
 * settled by that write. Concurrent joins of the same parents are listed in the same closed conflict (same id).
 *
 * Two rules look at more than the heads. SET shows the union of all writes and lists nothing. FIXED ignores a plain
 * write that had seen another write of the field: it is late, and is kept beside what it had seen in a closed conflict
 * that nobody needs to settle; only a decision replaces a fixed value.
 *
 * Merge is total: contexts that lie, even in a circle, give a verdict. But an author who claims to have seen commits
 * that do not exist yet hides them when they come; refusing such a part is for the caller (decision 0006).
 */
struct field_write {
    struct dot dot;
    struct vv context; /* what the author's node had seen of the dossier */
    uint64_t hlc;
    uint32_t author; /* user number */
    uint8_t standing; /* the author's standing towards the dossier: 2 owner, 1 owning department or manager, 0 other */
    bool is_decision; /* written by `decide` */
    uint32_t purpose;
    struct bytes reason; /* decisions: why; may be empty */
    struct value value;
};

enum conflict_grade { GRADE_AGREED, GRADE_CONFLICT };

enum {
    CONFLICT_ID_BYTES = 16,
    CONFLICT_SIBLINGS_MAX = 256, /* most writes one list of a conflict names */
    CONFLICT_LIST_BYTES = 448 << 10, /* most bytes of values and reasons one list stands for */
    CONFLICT_WRITE_BYTES = 64, /* bound on what one listed write adds to its value and reason */
};

struct conflict {
    /* BLAKE2b-128 over label, group id, record id, entity, field, sorted dots of all siblings */
    uint8_t id[CONFLICT_ID_BYTES];
    bool is_open;
    enum conflict_grade grade;
    size_t *siblings; /* indexes into the write array, in dot order */
    size_t sibling_count;
    size_t sibling_total; /* more than sibling_count: the winner and the newest are listed, the rest is in the log */
    size_t winner; /* index of the write the field showed or shows by the rule */
    size_t *settled_by; /* closed: indexes of the writes that settled it, in dot order; none: by the rule alone */
    size_t settled_count;
    size_t settled_total;
};

struct field_verdict {
    struct value value; /* what the field shows */
    size_t winner; /* index of the write that gave it (for sets: the latest by dot order among heads) */
    bool has_open_conflict;
    /* The entry of the present heads first if there are two or more (open, agreed, or settled by the rule), then past
     * ones ordered by id; agreed joins are listed too. Not empty: the field stays contested, no fast path. */
    struct conflict *conflicts;
    size_t conflict_count;
};

/**
 * merge_field: the verdict over all writes of one field of one record.
 * writes: any order, count >= 1, duplicates by dot are one write. Result lives in arena a.
 * The field's rule must not be DERIVED. Errors: ERR_NOMEM (needs about writes x origins x 4 bytes), ERR_LIMIT (over
 * 2^32 writes). Too many siblings are never an error: the lists are cut, winner and id stand for all of them.
 * Source: docs/decisions/0006-conflicts-as-a-function-of-the-write-set.md
 */
MUST_USE enum err merge_field(struct arena *a, const uint8_t group[16], struct record_id record,
    const struct entity_desc *d, const struct field *f, const struct field_write *writes, size_t count,
    struct field_verdict *out);

/* The winner among heads (count >= 1) by one rule: pure, total, independent of order. Index into heads. */
size_t merge_winner(const struct field *f, const struct field_write *heads, size_t count);

/* Whether heads of different value under this rule need a person (manual, lww, fixed; owner of equal standing; states
 * of equal or no rank) or settle by themselves (max, min, set, event, and the rest of owner and state). False when all
 * values are equal. */
bool merge_needs_person(const struct field *f, const struct field_write *heads, size_t count);

/* Whether the fast path may be used at all: SET gathers, FIXED keeps the first, so both always need merge_field. */
static inline bool merge_is_replaceable(enum merge_rule rule)
{
    return rule != MERGE_SET && rule != MERGE_FIXED;
}

/* The fast path: a write over an uncontested, replaceable field whose current value came from `current`: true when the
 * context covers it, so the register is simply replaced and no other write has to be read. */
static inline bool merge_replaces(const struct vv *context, struct dot current)
{
    return vv_covers(context, current);
}

#endif
