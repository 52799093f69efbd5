#ifndef JIPAN_TESTS_RAW_CASES_H
#define JIPAN_TESTS_RAW_CASES_H

#include "tests/lib/raw_member.h"

/*
 * What hostile peers do on the line, one case each: below TLS, instead of the upgrade, in frames. A case ends well when
 * the node ends the connection, or answers as the case says.
 */
struct raw_case {
    const char *name;
    bool (*run)(const struct raw_place *to, const struct raw_group *g, uint32_t index, const struct raw_case *c);
    int wait_ms; /* for the end */
    enum raw_identity identity;
    const char *text; /* requests: what is sent; answer: how the status begins, "" = no answer, NULL = either */
    const char *answer;
    uint8_t first; /* frames: first byte, announced length, bytes */
    uint64_t announced;
    const char *body;
    size_t body_len;
};

const struct raw_case *raw_cases(size_t *count);

#endif
