/*
 * Any JSON as a request of the control socket, on a real node with its vault, as an administrator, a manager or nobody
 * (first byte). Requests that write files elsewhere are left out. Whatever is asked, there is an answer with a code, in
 * both languages when it is an error, and the node goes on.
 */
#include "node/request.h"
#include "schema/base/check.h"

#include <ftw.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { WHO_NOBODY, WHO_ADMIN, WHO_MANAGER, WHO_COUNT };

static struct app *app;
static char home[] = "/tmp/jipan_fuzz_XXXXXX";
static char tokens[WHO_COUNT][APP_TOKEN_TEXT_BYTES];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void leave(void)
{
    app_close(app);
    (void)nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void found(void)
{
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    uint32_t number = 0;
    const struct app_init in = { .passphrase = BYTES_LIT("a passphrase 1"),
        .group_name = BYTES_LIT("g"),
        .station_code = BYTES_LIT("S1"),
        .admin_login = BYTES_LIT("boss"),
        .admin_password = BYTES_LIT("a password 1") };
    const struct app_user manager = { .login = BYTES_LIT("zhao"),
        .name = BYTES_LIT("zhao"),
        .station_code = BYTES_LIT("S1"),
        .roles = role_bit(ROLE_SM) | role_bit(ROLE_SC),
        .password = BYTES_LIT("a password 1") };
    check(sodium_init() >= 0 && mkdtemp(home) != NULL && rmdir(home) == 0);
    check(app_create(home, &in, recovery, &app, NULL) == ERR_OK);
    check(app_user_add(app, &manager, &number, NULL, NULL) == ERR_OK);
    app_session_open(app, members_user_by_login(app->members, in.admin_login), tokens[WHO_ADMIN]);
    app_session_open(app, members_user_by_login(app->members, manager.login), tokens[WHO_MANAGER]);
    check(atexit(leave) == 0);
}

/* Files at any path of this machine, the network, slow hashes, changes that end our logins. */
static bool is_left_out(const json_t *request)
{
    static const char *const verbs[] = { "backup", "backup-step", "export", "import", "dump", "audit-export",
        "user-add", "user-role", "user-disable", "user-passwd", "login", "logout", "node-revoke", "node-scope",
        "sync" };
    const char *verb = json_string_value(json_object_get(request, "verb"));
    for (size_t i = 0; verb != NULL && i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verb, verbs[i]) == 0) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    json_error_t error;
    if (len == 0) {
        return 0;
    }
    if (app == NULL) {
        found();
    }
    json_t *request = json_loadb((const char *)data + 1, len - 1, JSON_REJECT_DUPLICATES, &error);
    if (!is_left_out(request)) {
        const char *token = tokens[data[0] % WHO_COUNT];
        if (json_is_object(request)) {
            (void)json_object_del(request, "password");
            (void)json_object_set_new(request, "token", token[0] == '\0' ? json_null() : json_string(token));
        }
        json_t *reply = request_run(app, request, NULL, 0);
        check(reply != NULL && json_is_integer(json_object_get(reply, "code")));
        check(json_integer_value(json_object_get(reply, "code")) == 0 ||
              (json_string_length(json_object_get(reply, "zh")) > 0 &&
                  json_string_length(json_object_get(reply, "en")) > 0));
        json_decref(reply);
    }
    json_decref(request);
    return 0;
}
