#ifndef JIPAN_TESTS_FAULTS_WORLD_H
#define JIPAN_TESTS_FAULTS_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/faults/loop.h"
#include "tests/lib/two_nodes.h"

/* The two nodes of tests/lib/two_nodes.h on simulated disks, with a little of everything in them, and the judge. */
#define WORLD_PASSPHRASE BYTES_LIT("disk passphrase")

extern struct disk_sim *disk_a, *disk_b; /* of s1 in /a, of s2 in /b */

struct world_ids {
    char customer[80], contact[80], opportunity[80], task[80];
    char conflict[64], take[64]; /* an open conflict about the customer, and a commit of it */
};
extern struct world_ids ids;

void world_found(void);

/* All that a store holds but its proof of place, which every open replaces. */
void world_digest(struct app *app, uint8_t out[32]);

/* What a person asked and what came back. */
struct answer {
    enum err e; /* by its name in the reply; ERR_BUG: there was none, or one without a code */
    uint8_t digest[32]; /* of the result */
    char text[200];
};
/* The whole way of a request: bytes in, bytes out. */
void world_ask(struct app *app, const char *user, const char *verb, const char *args, struct answer *out);

struct app *world_open(struct disk_sim *disk, const char *home); /* must work */

/* What is true after a fault on one node: the error is of the right class, the store holds what it held before or what
 * it holds afterwards, and says which; the next command works; after closing or a power loss, and opening again, all
 * acknowledged is there and everything verifies. Takes over app. reply_only: the thing under the fault writes nothing
 * that counts. Returns the opened node. */
struct app *world_judge(
    const struct point *p, struct app *app, struct disk_sim *disk, enum err e, const struct reference *want);

/* Same for a memory fault, a disk fault, … */
void world_expect_class(const struct point *p, enum err e);
bool world_same(const uint8_t a[32], const uint8_t b[32]);

#endif
