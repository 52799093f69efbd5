#ifndef JIPAN_TESTS_RAW_MEMBER_H
#define JIPAN_TESTS_RAW_MEMBER_H

#include "tests/lib/raw_line.h"

/*
 * Enrolled nodes whose keys the test knows, for peers made by hand. They are put into the membership log of a home
 * while no daemon runs; what a Hello of them needs is kept in a file beside it.
 */
struct raw_group {
    uint8_t group_id[16];
    uint64_t head; /* of the membership log after the last of them */
    uint8_t head_hash[32];
    uint32_t first; /* number of the first; they are consecutive */
    uint32_t count;
};

void raw_member_seed(uint32_t index, uint8_t tls_seed[32]);
void raw_member_enrol(const char *home, struct bytes passphrase, uint32_t count, const char *file);
struct raw_group raw_member_load(const char *file);

/* Upgrade and Hello both ways; false when it is refused on the way. */
bool raw_member_meet(const struct raw_place *to, const struct raw_group *g, uint32_t index, struct raw_line *out);
void raw_member_hello(const struct raw_group *g, uint32_t index, struct raw_line *l);

#endif
