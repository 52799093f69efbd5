/*
 * Owns: what must have been tried, taken from the tables of the product: the verbs of the command line and of requests,
 * the messages of the protocol. What is tried as something else, and what is left out, stands here with the reason.
 */
#include "tests/faults/loops.h"

#include "cli/cli.h"
#include "wire.pb-c.h"

#include <stdio.h>
#include <string.h>

/* thing: the loop that tries it under another name; else why there is none. */
struct elsewhere {
    const char *name, *thing, *reason;
};

static const struct elsewhere requests[] = {
    { "sync", NULL, "dials real sockets; what it does with the store are messages and events" },
};

static const struct elsewhere commands[] = {
    { "init", "files init", NULL },
    { "join", "files join", NULL },
    { "run", NULL, "sockets of the system; opening, requests, messages and closing are tried one by one" },
    { "passphrase", "passphrase", NULL },
    { "restore", "files restore", NULL },
    { "help", NULL, "touches nothing" },
};

static const struct elsewhere messages[] = {
    { "join_request", "files enrol", NULL },
    { "join_reply", "files join", NULL },
};

static void expect_covered(const char *kind, const char *name, const struct elsewhere *list, size_t count)
{
    char text[200];
    bool is_well = faults_has_covered(kind, name);
    for (size_t i = 0; !is_well && i < count; i++) {
        if (strcmp(list[i].name, name) == 0) {
            is_well = list[i].thing == NULL || faults_has_covered("thing", list[i].thing);
            if (list[i].thing == NULL) {
                printf("left out: %s %s: %s\n", kind, name, list[i].reason);
            }
        }
    }
    (void)snprintf(
        text, sizeof(text), "the %s %s was not tried, and no reason stands in tests/faults/coverage.c", kind, name);
    faults_expect(is_well, text);
}

/* A command that is not a request of its own name asks several: "bundle export" those that begin with bundle-export. */
static bool asks_requests(const char *command)
{
    char name[40];
    (void)snprintf(name, sizeof(name), "%s", command);
    for (char *p = name; *p != '\0'; p++) {
        *p = *p == ' ' ? '-' : *p;
    }
    return faults_has_covered("request", name);
}

void coverage_check(void)
{
    if (!faults_is_whole()) {
        return;
    }
    for (size_t i = 0; request_verb_name(i) != NULL; i++) {
        expect_covered("request", request_verb_name(i), requests, ARRAY_LEN(requests));
    }
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (v->request != NULL) {
            expect_covered("request", v->request, requests, ARRAY_LEN(requests));
        } else if (!asks_requests(v->name)) {
            expect_covered("command", v->name, commands, ARRAY_LEN(commands));
        }
    }
    const ProtobufCMessageDescriptor *d = &jipan__message__descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        expect_covered("message", d->fields[i].name, messages, ARRAY_LEN(messages));
    }
}
