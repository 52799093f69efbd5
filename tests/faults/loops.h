#ifndef JIPAN_TESTS_FAULTS_LOOPS_H
#define JIPAN_TESTS_FAULTS_LOOPS_H

#include "tests/faults/world.h"

/* A request tried under faults. */
struct asking {
    const char *name; /* of the loop: the verb, and what is special about it */
    bool is_core;
    const char *user;
    const char *verb;
    const char *args; /* $C customer, $P contact point, $O opportunity, $K conflict, $T commit to take */
};
/* One point, on that node; the opened node as the judge left it, or NULL: the fault did not happen. */
struct app *asking_judged(const struct asking *q, struct app *app, struct disk_sim *disk, const struct point *p);

/* The things that are tried, by file. */
void loop_verbs(void);
void loop_bundles(void);
void loop_messages(void);
void loop_files(void);

/* Every verb, every kind of message and every event was tried, or stands with its reason among those left out. */
void coverage_check(void);

#endif
