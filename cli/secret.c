/*
 * Owns: reading of passphrases and passwords. They come from a file or a prompt without echo; never from argv or the
 * environment, and are wiped after use.
 */
#include "cli/cli.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

void secret_wipe(struct secret *s)
{
    sodium_memzero(s, sizeof(*s));
}

static enum err from_stream(FILE *f, struct secret *out)
{
    size_t n = fread(out->text, 1, sizeof(out->text), f);
    if (n == sizeof(out->text)) {
        return ERR_LIMIT;
    }
    while (n > 0 && (out->text[n - 1] == '\n' || out->text[n - 1] == '\r')) {
        n--;
    }
    out->text[n] = '\0';
    out->len = n;
    return ERR_OK;
}

static enum err from_file(struct cli *c, const char *file, struct secret *out)
{
    FILE *f = fopen(file, "rbe");
    if (f == NULL) {
        return why_setf(&c->why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "读不到口令文件 %s",
            "cannot read the secret file %s", file);
    }
    enum err e = from_stream(f, out);
    (void)fclose(f);
    if (e == ERR_OK && out->len == 0) {
        return why_setf(&c->why, ERR_USAGE, "口令文件 %s 是空的", "the secret file %s is empty", file);
    }
    return e == ERR_LIMIT ? why_set(&c->why, e, "口令最长 512 个字节", "a secret is at most 512 bytes") : e;
}

static enum err from_prompt(const struct cli *c, const char *zh, const char *en, struct secret *out)
{
    struct termios old;
    char *got = NULL;
    bool is_tty = tcgetattr(STDIN_FILENO, &old) == 0;
    if (is_tty) {
        struct termios quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    /* Only now: what is typed after the prompt must not be shown. */
    (void)fprintf(stderr, "%s: ", cli_text(c, zh, en));
    got = fgets(out->text, sizeof(out->text), stdin);
    if (is_tty) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    }
    (void)fputc('\n', stderr);
    if (got == NULL) {
        return ERR_USAGE;
    }
    out->len = strcspn(out->text, "\r\n");
    out->text[out->len] = '\0';
    return out->len == 0 ? ERR_USAGE : ERR_OK;
}

enum err secret_read(struct cli *c, const char *file, const char *zh, const char *en, bool twice, struct secret *out)
{
    struct secret again;
    if (file != NULL) {
        return from_file(c, file, out);
    }
    if (isatty(STDIN_FILENO) == 0) {
        return why_setf(&c->why, ERR_USAGE, "需要%s：请给出文件（--passphrase-file、--password-file 或相应环境变量）",
            "needed: %s; name a file (--passphrase-file, --password-file or their variables)", cli_text(c, zh, en));
    }
    enum err e = from_prompt(c, zh, en, out);
    if (e == ERR_OK && twice) {
        e = from_prompt(c, "再输一次", "once more", &again);
        if (e == ERR_OK && (again.len != out->len || sodium_memcmp(again.text, out->text, out->len) != 0)) {
            e = why_set(&c->why, ERR_USAGE, "两次输入不一样", "the two entries differ");
        }
        secret_wipe(&again);
    }
    return e;
}
