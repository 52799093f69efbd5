/*
 * Owns: reading the command line against the table of verbs, running one verb, the exit code. Never dumps the whole
 * usage for an error: says what is wrong, and the nearest word that exists.
 */
#include "cli/cli.h"

#include "node/upgrade.h"
#include "schema/catalogue.h"

#include <locale.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    size_t offset;
} global_options[] = {
    { "--home", offsetof(struct cli, home) },
    { "--as", offsetof(struct cli, user) },
    { "--password-file", offsetof(struct cli, password_file) },
    { "--passphrase-file", offsetof(struct cli, passphrase_file) },
};

const char *cli_text(const struct cli *c, const char *zh, const char *en)
{
    return c->lang == LANG_EN ? en : zh;
}

void cli_say(const struct cli *c, const char *zh, const char *en)
{
    if (c->lang == LANG_BOTH) {
        (void)fprintf(stderr, "%s / %s\n", zh, en);
    } else {
        (void)fprintf(stderr, "%s\n", cli_text(c, zh, en));
    }
}

static enum cli_lang lang_of(const char *text)
{
    if (text == NULL || text[0] == '\0' || strcmp(text, "C") == 0 || strcmp(text, "POSIX") == 0 ||
        strncmp(text, "C.", 2) == 0) {
        return LANG_BOTH;
    }
    return strncmp(text, "zh", 2) == 0 ? LANG_ZH : LANG_EN;
}

static void defaults(struct cli *c)
{
    const char *locale = getenv("LC_ALL");
    locale = locale == NULL || locale[0] == '\0' ? getenv("LC_MESSAGES") : locale;
    locale = locale == NULL || locale[0] == '\0' ? getenv("LANG") : locale;
    c->lang = lang_of(locale);
    c->home = getenv("JIPAN_HOME");
    c->user = getenv("JIPAN_USER");
    c->password_file = getenv("JIPAN_PASSWORD_FILE");
    c->passphrase_file = getenv("JIPAN_PASSPHRASE_FILE");
}

static size_t distance(const char *a, const char *b)
{
    size_t row[40];
    size_t n = strlen(b);
    if (n >= ARRAY_LEN(row)) {
        return n;
    }
    for (size_t k = 0; k <= n; k++) {
        row[k] = k;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= n; k++) {
            size_t best = diagonal + (a[i - 1] == b[k - 1] ? 0 : 1);
            diagonal = row[k];
            best = row[k] + 1 < best ? row[k] + 1 : best;
            best = row[k - 1] + 1 < best ? row[k - 1] + 1 : best;
            row[k] = best;
        }
    }
    return row[n];
}

/* One word of argv that belongs to the options every verb has. Returns how many words it took; 0 = not one of them. */
static int take_global(struct cli *c, int argc, char **argv, int i)
{
    if (strcmp(argv[i], "--json") == 0) {
        c->is_json = true;
        return 1;
    }
    if (strcmp(argv[i], "--lang") == 0 && i + 1 < argc) {
        c->lang = lang_of(argv[i + 1]);
        return 2;
    }
    for (size_t k = 0; k < ARRAY_LEN(global_options); k++) {
        if (strcmp(argv[i], global_options[k].name) == 0 && i + 1 < argc) {
            const char *value = argv[i + 1];
            memcpy((char *)c + global_options[k].offset, &value, sizeof(value));
            return 2;
        }
    }
    return 0;
}

/* The verb: one word, or two ("user add"). Returns how many words it took. */
static int take_verb(struct cli *c, int argc, char **argv, int i)
{
    char two[64];
    if (i + 1 < argc) {
        (void)snprintf(two, sizeof(two), "%s %s", argv[i], argv[i + 1]);
        for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
            if (strcmp(v->name, two) == 0) {
                c->verb = v;
                return 2;
            }
        }
    }
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (strcmp(v->name, argv[i]) == 0) {
            c->verb = v;
            return 1;
        }
    }
    return 0;
}

static enum err unknown_verb(struct cli *c, const char *word)
{
    const char *nearest = NULL;
    size_t best = 3;
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        size_t d = distance(word, v->name);
        if (d < best) {
            best = d;
            nearest = v->name;
        }
    }
    if (nearest != NULL) {
        return why_setf(
            &c->why, ERR_USAGE, "没有这个命令；是不是 jipan %s？", "no such command; did you mean jipan %s?", nearest);
    }
    return why_setf(&c->why, ERR_USAGE, "没有这个命令：%s；用 jipan help 查看全部",
        "no such command: %s; jipan help lists them", word);
}

static enum err take_option(struct cli *c, int argc, char **argv, int i, int *took)
{
    for (size_t k = 0; c->verb->options != NULL && c->verb->options[k].name != NULL; k++) {
        const struct cli_option *o = &c->verb->options[k];
        if (strcmp(argv[i] + 2, o->name) != 0) {
            continue;
        }
        if (o->takes_value && i + 1 >= argc) {
            return why_setf(&c->why, ERR_USAGE, "%s 后面要有值", "%s needs a value", argv[i]);
        }
        c->option_values[k] = o->takes_value ? argv[i + 1] : "";
        if (o->key != NULL) {
            (void)json_object_set_new(c->args, o->key, o->takes_value ? json_string(argv[i + 1]) : json_true());
        }
        *took = o->takes_value ? 2 : 1;
        return ERR_OK;
    }
    return why_setf(&c->why, ERR_USAGE, "不认识的选项 %s；看 jipan help", "unknown option %s; see jipan help", argv[i]);
}

/* "jipan VERB --help" is "jipan help VERB". */
static void ask_for_help(struct cli *c)
{
    c->word_count = 0;
    if (c->verb != NULL) {
        c->words[c->word_count++] = c->verb->name;
    }
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (strcmp(v->name, "help") == 0) {
            c->verb = v;
        }
    }
}

static enum err parse(struct cli *c, int argc, char **argv)
{
    bool only_words = false;
    for (int i = 1; i < argc;) {
        int took = only_words ? 0 : take_global(c, argc, argv, i);
        if (took == 0 && !only_words && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            ask_for_help(c);
            return ERR_OK;
        }
        if (took == 0 && c->verb == NULL) {
            took = take_verb(c, argc, argv, i);
            if (took == 0) {
                return unknown_verb(c, argv[i]);
            }
        } else if (took == 0 && !only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            took = 1;
        } else if (took == 0 && !only_words && strncmp(argv[i], "--", 2) == 0) {
            enum err e = take_option(c, argc, argv, i, &took);
            if (e != ERR_OK) {
                return e;
            }
        } else if (took == 0) {
            if (c->word_count == CLI_WORDS_MAX) {
                return ERR_LIMIT;
            }
            c->words[c->word_count++] = argv[i];
            took = 1;
        }
        i += took;
    }
    return ERR_OK;
}

const char *cli_option(const struct cli *c, const char *name)
{
    for (size_t k = 0; c->verb->options != NULL && c->verb->options[k].name != NULL; k++) {
        if (strcmp(c->verb->options[k].name, name) == 0) {
            return c->option_values[k];
        }
    }
    return NULL;
}

/* No core dump may hold what the vault holds. */
static void harden(void)
{
    const struct rlimit none = { 0, 0 };
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static enum err run_request(struct cli *c)
{
    struct ask *a = NULL;
    bool needs_login = strcmp(c->verb->request, "status") != 0;
    enum err e = ask_open(c, needs_login, &a);
    if (e == ERR_OK) {
        e = ask_run(a, c->verb->request, c->args, &c->result);
    }
    ask_close(a);
    return e;
}

/* The store was made by an earlier version: the first command after an upgrade takes its time. */
static void show_upgrade(void *ctx, uint64_t done, uint64_t total)
{
    static bool is_said;
    const struct cli *c = ctx;
    if (!is_said) {
        is_said = true;
        cli_say(c, "程序已升级，正在整理库内容，请勿关闭",
            "the program was upgraded, bringing the store up to it, do not stop");
    }
    out_progress(c, "升级", "upgrade", (size_t)done, (size_t)total, done == total);
}

static enum err run(struct cli *c)
{
    enum err e = ERR_OK;
    bool is_help = strcmp(c->verb->name, "help") == 0;
    if (!is_help && c->home == NULL) {
        return why_set(&c->why, ERR_USAGE, "请指明节点目录：--home 目录，或设 JIPAN_HOME",
            "name the node's directory: --home DIR, or set JIPAN_HOME");
    }
    if (c->verb->fn != NULL) {
        e = c->verb->fn(c);
    }
    if (e == ERR_OK && c->verb->request != NULL) {
        e = run_request(c);
    }
    return e;
}

int main(int argc, char **argv)
{
    static struct cli c;
    const char *slash = strrchr(argv[0], '/');
    static char run_word[] = "run";
    static char *as_daemon[CLI_WORDS_MAX];
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    harden();
    if (sodium_init() < 0) {
        return 4;
    }
    if (strcmp(slash == NULL ? argv[0] : slash + 1, "jipand") == 0 && argc + 2 < CLI_WORDS_MAX) {
        as_daemon[0] = argv[0];
        as_daemon[1] = run_word;
        memcpy(as_daemon + 2, argv + 1, (size_t)argc * sizeof(*argv));
        argv = as_daemon;
        argc++;
        c.is_service = true;
    }
    defaults(&c);
    upgrade_watch(show_upgrade, &c);
    c.args = json_object();
    enum err e = parse(&c, argc, argv);
    if (e == ERR_OK && c.verb == NULL) {
        e = why_set(&c.why, ERR_USAGE, "请写要做什么；用 jipan help 查看", "say what to do; see jipan help");
    }
    if (e == ERR_OK) {
        e = run(&c);
    }
    if (c.result != NULL) {
        out_result(&c, c.result);
    }
    if (e != ERR_OK) {
        out_error(&c, e);
    }
    json_decref(c.result);
    json_decref(c.args);
    return err_exit_code(e);
}
