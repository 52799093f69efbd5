#ifndef JIPAN_TESTS_FORGE_H
#define JIPAN_TESTS_FORGE_H

#include "tests/lib/fleet.h"

/*
 * Commits as a dishonest or newer node might make them: well signed and sealed with the keys of a node of a fleet, but
 * with whatever content the test wants.
 */
struct forged_part {
    enum class_ class_;
    struct part_head head; /* record_count is filled in */
    const struct part_record *records; /* cell_count cells each, one after the other */
    size_t record_count;
    const struct part_cell *cells;
    struct bytes raw; /* instead of all that: the plaintext */
};

struct forged_group {
    bool is_new;
    uint8_t flags; /* besides: hints and flags of later versions */
    enum dossier_kind kind;
    uint32_t station;
    struct dossier_id dossier;
    const uint8_t *secret; /* 16 bytes; NULL: zero */
    const struct forged_part *parts;
    size_t part_count;
};

struct forged_commit {
    uint32_t node; /* signs, and seals with its current keys */
    struct dot dot;
    const uint8_t *prev; /* NULL: as the node's own head has it */
    uint64_t member_number; /* 0: the node's own head */
    const uint8_t *member_hash; /* NULL: the right one */
    const struct forged_group *groups;
    size_t group_count;
};

/* The bytes, in the node's arena. Salt and clock follow from the dot; the clock is later than any honest
 * one, so that what counts wins. */
struct bytes forge_commit(struct fleet *f, const struct forged_commit *c);

#endif
