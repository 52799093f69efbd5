#ifndef JIPAN_TESTS_TWO_NODES_H
#define JIPAN_TESTS_TWO_NODES_H

#include "node/request.h"

/*
 * Two real nodes of one group with their vaults, in temporary directories: s1 founded it and serves station S1, s2
 * serves S2 and holds the whole group. Staff of S1: boss AD, wang and chen SC, zhao SM, li PA, hui CS, mei MK; of S2:
 * sun SC, qian SM. Nothing goes over a network: carry() hands commits over. Includers have included cmocka.
 */
extern struct app *s1, *s2;

int two_nodes_found(void **state); /* cmocka group setup and teardown */
int two_nodes_leave(void **state);
void two_nodes_found_on(struct disk one, struct disk other); /* the same on simulated disks, in /a and /b */

/* Enrols one more node at s1, without a network: both halves of the exchange in one process. Open it with app_open_on.
 */
void two_nodes_enrol(
    struct disk disk, const char *dir, enum node_kind kind, const char *station, bool group, const char *owner);

void need(enum err e, const struct why *why); /* fails the test, and says why, unless e is ERR_OK */

/* Everything one node holds, given to another. */
void carry(struct app *from, struct app *to);

/* Runs a verb; takes over args. The reply belongs to the caller. */
json_t *ask(struct app *app, const char *user, const char *verb, json_t *args);
int code_of(const json_t *reply);
void expect(int want, json_t *reply); /* the exit code; takes over the reply */
json_t *want(struct app *app, const char *user, const char *verb, json_t *args); /* the result of what must work */

/* Arguments and parts of results. Texts are "" where there is none; cells and entries are borrowed. */
json_t *find1(const char *entity, const char *field, const char *value, const char *purpose);
json_t *set1(const char *id, const char *field, const char *value);
json_t *cell(const json_t *record, const char *field);
const char *text_in(const json_t *object, const char *key);
void expect_cell(const json_t *record, const char *field, const char *value, const char *view);
bool says(const json_t *any, const char *needle); /* somewhere in its text */

/* Ids live for the next 31 new records. */
const char *make(struct app *app, const char *user, const char *entity, json_t *fields);
const char *new_customer(struct app *app, const char *user, const char *name);
json_t *get(struct app *app, const char *user, const char *id, const char *purpose);

/* The audit log of s1 about a subject, as li reads it; its last entry of an event. */
json_t *audit_of(const char *subject);
json_t *last_event(const json_t *log, const char *event);

#endif
