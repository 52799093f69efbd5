/*
 * Owns: the token of a login between two commands. It is kept in memory-backed storage of this user only
 * (XDG_RUNTIME_DIR, else a private directory under /dev/shm), never on a disk, and is worth nothing once the node
 * stops.
 */
#include "cli/cli.h"

#include "sync/seal.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_PATH_MAX = 4096 };

/* A directory that nobody else can read. */
static bool token_dir(char *out, size_t room)
{
    struct stat st;
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int n = runtime != NULL && runtime[0] == '/' ? snprintf(out, room, "%s/jipan", runtime)
                                                 : snprintf(out, room, "/dev/shm/jipan-%u", (unsigned)getuid());
    if (n <= 0 || (size_t)n >= room) {
        return false;
    }
    (void)mkdir(out, 0700);
    return lstat(out, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == getuid() && (st.st_mode & 077) == 0;
}

/* One token file per home. */
static bool token_path(const struct cli *c, char *out, size_t room)
{
    char dir[TOKEN_PATH_MAX / 2];
    char name[33];
    uint8_t hash[16];
    char *full = realpath(c->home, NULL);
    if (full == NULL || !token_dir(dir, sizeof(dir))) {
        free(full);
        return false;
    }
    const struct bytes home = bytes_str(full);
    seal_hash(hash, sizeof(hash), "jipan/token-file/v1", NULL, &home, 1);
    hex_text(BYTES_OF(hash), name);
    free(full);
    int n = snprintf(out, room, "%s/%s", dir, name);
    return n > 0 && (size_t)n < room;
}

/* The file: the token, a line feed, whose login it is. *login points into out. */
static bool read_token(const struct cli *c, struct secret *out, const char **login)
{
    char path[TOKEN_PATH_MAX];
    if (!token_path(c, path, sizeof(path))) {
        return false;
    }
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        return false;
    }
    size_t n = fread(out->text, 1, CLI_SECRET_MAX, f);
    (void)fclose(f);
    out->text[n] = '\0';
    char *end = strchr(out->text, '\n');
    if (end == NULL) {
        secret_wipe(out);
        return false;
    }
    *end = '\0';
    out->len = (size_t)(end - out->text);
    *login = end + 1;
    return out->len > 0;
}

/* Whoever is named must be the one who logged in: nobody may act under a name that he did not give. */
bool login_token(const struct cli *c, struct secret *out)
{
    const char *login = NULL;
    if (!read_token(c, out, &login)) {
        return false;
    }
    if (c->user != NULL && strcmp(c->user, login) != 0) {
        secret_wipe(out);
        return false;
    }
    return true;
}

static enum err keep_token(struct cli *c, const char *token, const char *login)
{
    char text[2 * CLI_SECRET_MAX];
    char path[TOKEN_PATH_MAX];
    int fd = token_path(c, path, sizeof(path)) ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)
                                               : -1;
    int len = snprintf(text, sizeof(text), "%s\n%s", token, login);
    bool is_written = fd >= 0 && len > 0 && (size_t)len < sizeof(text) && write(fd, text, (size_t)len) == (ssize_t)len;
    sodium_memzero(text, sizeof(text));
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_written ? ERR_OK
                      : why_set(&c->why, ERR_IO, "没有可存登录状态的内存目录（XDG_RUNTIME_DIR 或 /dev/shm）",
                            "no memory-backed directory for the login (XDG_RUNTIME_DIR or /dev/shm)");
}

enum err cmd_login(struct cli *c)
{
    struct ask *a = NULL;
    json_t *result = NULL;
    if (c->word_count == 1) {
        c->user = c->words[0];
    }
    if (c->word_count > 1 || c->user == NULL) {
        return why_set(&c->why, ERR_USAGE, "用法：jipan login 登录名", "usage: jipan login USER");
    }
    enum err e = ask_open(c, true, &a);
    if (e == ERR_OK) {
        e = ask_run(a, "login", c->args, &result);
    }
    const char *token = json_string_value(json_object_get(result, "token"));
    const char *login = json_string_value(json_object_get(result, "login"));
    if (e == ERR_OK) {
        e = token == NULL || login == NULL ? ERR_BUG : keep_token(c, token, login);
    }
    if (e == ERR_OK) {
        c->result = json_pack(
            "{s:O, s:O}", "login", json_object_get(result, "login"), "hours", json_object_get(result, "hours"));
    }
    json_decref(result);
    ask_close(a);
    return e;
}

enum err cmd_logout(struct cli *c)
{
    char path[TOKEN_PATH_MAX];
    struct secret token = { .len = 0 };
    const char *login = NULL;
    struct ask *a = NULL;
    json_t *result = NULL;
    if (!read_token(c, &token, &login) || !token_path(c, path, sizeof(path))) {
        return why_set(&c->why, ERR_NOT_FOUND, "没有登录", "not logged in");
    }
    (void)json_object_set_new(c->args, "token", json_stringn(token.text, token.len));
    (void)unlink(path);
    secret_wipe(&token);
    enum err e = ask_open(c, false, &a);
    if (e == ERR_OK) {
        e = ask_run(a, "logout", c->args, &result);
    }
    json_decref(result);
    ask_close(a);
    return e;
}
