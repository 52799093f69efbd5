#ifndef JIPAN_CLI_H
#define JIPAN_CLI_H

#include "schema/base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The jipan command. One table of verbs (cli/verbs.c) drives parsing, help and dispatch. Data goes to stdout, talk to
 * stderr; exit codes are those of the error table. Secrets come from files or a prompt, never from argv or the
 * environment.
 */
enum { CLI_OPTIONS_MAX = 16, CLI_WORDS_MAX = 4096, CLI_SECRET_MAX = 512 };

enum cli_lang { LANG_BOTH, LANG_ZH, LANG_EN };

/* One option of a verb: "--name VALUE", or "--name" alone when it takes none. */
struct cli_option {
    const char *name;
    bool takes_value;
    const char *key; /* argument of the request; NULL: the verb's own code reads it */
    const char *zh, *en;
};

struct cli;
typedef enum err (*cli_fn)(struct cli *c);

struct cli_verb {
    const char *name; /* "user add": one or two words */
    const char *request; /* verb of the request, NULL if fn does everything */
    const char *words; /* positional arguments for the usage line, e.g. "ENTITY field=value …" */
    const char *zh, *en;
    cli_fn fn; /* builds c->args, or runs the whole verb when request is NULL */
    const struct cli_option *options; /* ended by a NULL name; may be NULL */
};

struct cli {
    const char *home;
    const char *user;
    const char *password_file;
    const char *passphrase_file;
    bool is_json;
    bool is_service; /* called as jipand: outlives the shell that started it */
    enum cli_lang lang;
    const struct cli_verb *verb;
    const char *words[CLI_WORDS_MAX];
    size_t word_count;
    const char *option_values[CLI_OPTIONS_MAX]; /* by index into verb->options; "" for a bare option */
    json_t *args; /* arguments of the request */
    json_t *result; /* of the reply */
    struct why why;
};

extern const struct cli_verb cli_verbs[]; /* ended by a NULL name */

const char *cli_option(const struct cli *c, const char *name); /* NULL if not given */

/* Text in the person's language; with LANG_BOTH "中文 / English". Prints a line to stderr. */
void cli_say(const struct cli *c, const char *zh, const char *en);
const char *cli_text(const struct cli *c, const char *zh, const char *en); /* zh unless the language is English */

/* --- secrets (cli/secret.c) --- */
struct secret {
    char text[CLI_SECRET_MAX + 1];
    size_t len;
};
void secret_wipe(struct secret *s);
/* From the file, without its last line end; from a prompt when file is NULL and stdin is a terminal. ERR_USAGE,
 * ERR_NOT_FOUND. */
MUST_USE enum err secret_read(
    struct cli *c, const char *file, const char *zh, const char *en, bool twice, struct secret *out);

/* --- asking a node (cli/ask.c) --- */
/* Opens the way to the node once: daemon's socket, or the store itself. Then any number of requests; closed by
 * ask_close. */
struct ask;
MUST_USE enum err ask_open(struct cli *c, bool needs_login, struct ask **out);
/* Runs one request; *result is a new reference or NULL. On an error c->why says what the node said. args is borrowed.
 */
MUST_USE enum err ask_run(struct ask *a, const char *verb, json_t *args, json_t **result);
/* The same in two steps: without a daemon all of it is done in the first. After an error of ask_send nothing is to be
 * received. */
MUST_USE enum err ask_send(struct ask *a, const char *verb, json_t *args);
MUST_USE enum err ask_receive(struct ask *a, json_t **result);
void ask_close(struct ask *a);

/* --- logins (cli/login.c) --- */
/* The token of an earlier `jipan login` at this home; false if there is none. */
bool login_token(const struct cli *c, struct secret *out);
enum err cmd_login(struct cli *c);
enum err cmd_logout(struct cli *c);

/* --- output (cli/out.c) --- */
void out_result(const struct cli *c, const json_t *result); /* JSON, or for people */
void out_error(const struct cli *c, enum err e);
void out_progress(
    const struct cli *c, const char *zh, const char *en, size_t done, size_t total, bool is_last); /* terminal only */
size_t out_width(const char *text); /* columns on a terminal: East Asian wide characters take two */

/* --- verbs with code of their own --- */
enum err cmd_init(struct cli *c);
enum err cmd_join(struct cli *c);
enum err cmd_run(struct cli *c);
enum err cmd_passphrase(struct cli *c);
enum err cmd_import(struct cli *c);
enum err cmd_export(struct cli *c);
enum err cmd_dump(struct cli *c);
enum err cmd_audit_export(struct cli *c);
enum err cmd_bundle_export(struct cli *c);
enum err cmd_bundle_import(struct cli *c);
enum err cmd_backup(struct cli *c);
enum err cmd_restore(struct cli *c);
enum err cmd_help(struct cli *c);

#endif
