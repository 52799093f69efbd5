/*
 * Owns: the verbs that make or run a node: init, join, run. They work on the home directly, before or instead of a
 * request.
 */
#include "cli/cli.h"

#include "node/daemon.h"
#include "node/net/control_client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 30000, LOCK_STEP_MS = 50 };

static struct bytes text_of(const char *text)
{
    return text == NULL ? (struct bytes){ 0 } : bytes_str(text);
}

static void show_recovery(struct cli *c, json_t *out, const char *recovery)
{
    (void)json_object_set_new(out, "recovery_key", json_string(recovery));
    if (!c->is_json) {
        cli_say(c, "恢复密钥只显示这一次，请抄下来锁进保险柜：",
            "the recovery key is shown only once; write it down and lock it away:");
    }
}

enum err cmd_init(struct cli *c)
{
    struct secret passphrase = { .len = 0 };
    struct secret password = { .len = 0 };
    struct app *app = NULL;
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    const char *admin = cli_option(c, "admin");
    if (c->word_count != 0 || cli_option(c, "group") == NULL || cli_option(c, "station") == NULL) {
        return why_setf(&c->why, ERR_USAGE, "用法：jipan %s", "usage: jipan %s", c->verb->words);
    }
    enum err e = secret_read(c, c->passphrase_file, "新的磁盘口令", "new disk passphrase", true, &passphrase);
    if (e == ERR_OK) {
        e = secret_read(c, c->password_file, "管理员密码", "administrator's password", true, &password);
    }
    if (e == ERR_OK) {
        const struct app_init in = { .passphrase = bytes_of(passphrase.text, passphrase.len),
            .group_name = text_of(cli_option(c, "group")),
            .station_code = text_of(cli_option(c, "station")),
            .admin_login = text_of(admin == NULL ? "admin" : admin),
            .admin_password = bytes_of(password.text, password.len) };
        e = app_create(c->home, &in, recovery, &app, &c->why);
    }
    if (e == ERR_OK) {
        c->result = json_object();
        (void)json_object_set_new(c->result, "node", json_integer(app->core.self.number));
        (void)json_object_set_new(c->result, "group", json_string(cli_option(c, "group")));
        show_recovery(c, c->result, recovery);
    }
    app_close(app);
    secret_wipe(&passphrase);
    secret_wipe(&password);
    return e;
}

enum err cmd_join(struct cli *c)
{
    struct secret passphrase = { .len = 0 };
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    uint32_t node = 0;
    if (c->word_count != 1) {
        return why_set(
            &c->why, ERR_USAGE, "用法：jipan join 邀请码（整行）", "usage: jipan join CODE (the whole line)");
    }
    enum err e = secret_read(c, c->passphrase_file, "新的磁盘口令", "new disk passphrase", true, &passphrase);
    if (e == ERR_OK) {
        e = daemon_join(c->home, bytes_of(passphrase.text, passphrase.len), bytes_str(c->words[0]),
            text_of(cli_option(c, "listen")), recovery, &node, &c->why);
    }
    if (e == ERR_OK) {
        c->result = json_object();
        (void)json_object_set_new(c->result, "node", json_integer(node));
        show_recovery(c, c->result, recovery);
    }
    secret_wipe(&passphrase);
    return e;
}

/* A daemon that still answers keeps its lock; one that is closing is waited for. */
static bool lock_patiently(const struct cli *c, int fd)
{
    const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000000L };
    char path[APP_PATH_MAX + 32];
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += LOCK_STEP_MS) {
        struct control_client *client = NULL;
        bool answers = daemon_socket_path(c->home, path, sizeof(path)) && control_open(path, &client) == ERR_OK;
        control_close(client);
        if (answers || waited >= LOCK_WAIT_MS) {
            return false;
        }
        (void)nanosleep(&step, NULL);
    }
    return true;
}

/* Held from before the store is opened until it is closed, so that commands wait for us instead of opening it
 * themselves. */
static enum err take_run_lock(struct cli *c, int *fd)
{
    char path[APP_PATH_MAX + 32];
    if (snprintf(path, sizeof(path), "%s/run.lock", c->home) >= (int)sizeof(path)) {
        return ERR_LIMIT;
    }
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) {
        return why_setf(&c->why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "不能写目录 %s；请检查目录和权限",
            "cannot write to %s; check the directory and its permissions", c->home);
    }
    if (!lock_patiently(c, *fd)) {
        (void)close(*fd);
        *fd = -1;
        return why_setf(&c->why, ERR_LOCKED, "%s 的节点已经在运行", "the node of %s is running already", c->home);
    }
    return ERR_OK;
}

static enum err open_patiently(struct cli *c, struct bytes passphrase, struct app **out)
{
    const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000000L };
    for (int waited = 0;; waited += LOCK_STEP_MS) {
        enum err e = app_open(c->home, passphrase, out, &c->why);
        if (e != ERR_LOCKED || waited >= LOCK_WAIT_MS) {
            return e;
        }
        (void)nanosleep(&step, NULL);
    }
}

/* `jipan run` is a foreground command: it ends with the shell that started it, as a process of that shell's would, so
 * that killing a script leaves no node behind. jipand, and a run under nohup, stay. */
static void end_with_parent(const struct cli *c)
{
    struct sigaction hangup = { .sa_handler = SIG_DFL };
    (void)sigaction(SIGHUP, NULL, &hangup);
    if (!c->is_service && hangup.sa_handler != SIG_IGN) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    }
}

/* *out is left alone when nobody chose. */
static enum err parse_reserve(struct cli *c, bool *has_reserve, uint64_t *out)
{
    const char *text = cli_option(c, "reserve");
    char *end = NULL;
    if (text == NULL) {
        return ERR_OK;
    }
    unsigned long mib = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (end == NULL || *end != '\0' || mib > 1 << 24) {
        return why_set(
            &c->why, ERR_USAGE, "--reserve 写成 MiB 的数目，例如 512", "write --reserve as a number of MiB, e.g. 512");
    }
    *has_reserve = true;
    *out = (uint64_t)mib << 20;
    return ERR_OK;
}

enum err cmd_run(struct cli *c)
{
    struct secret passphrase = { .len = 0 };
    struct app *app = NULL;
    struct daemon *d = NULL;
    int lock = -1;
    bool has_reserve = false;
    uint64_t reserve_bytes = 0;
    const char *listen = cli_option(c, "listen");
    if (listen == NULL || c->word_count != 0) {
        return why_set(&c->why, ERR_USAGE, "用法：jipan run --listen 主机:端口，例如 --listen 127.0.0.1:7420",
            "usage: jipan run --listen HOST:PORT, e.g. --listen 127.0.0.1:7420");
    }
    if (!app_exists(c->home)) {
        return why_setf(&c->why, ERR_NOT_FOUND, "%s 里还没有节点；先运行 jipan init 或 jipan join",
            "there is no node in %s; run jipan init or jipan join first", c->home);
    }
    end_with_parent(c);
    enum err e = parse_reserve(c, &has_reserve, &reserve_bytes);
    if (e == ERR_OK) {
        e = take_run_lock(c, &lock);
    }
    if (e == ERR_OK) {
        e = secret_read(c, c->passphrase_file, "磁盘口令", "disk passphrase", false, &passphrase);
    }
    if (e == ERR_OK) {
        e = open_patiently(c, bytes_of(passphrase.text, passphrase.len), &app);
    }
    secret_wipe(&passphrase);
    if (e == ERR_OK) {
        app->has_reserve = has_reserve;
        app->reserve_bytes = reserve_bytes;
        e = daemon_new(app, listen, &d, &c->why);
    }
    if (e == ERR_OK) {
        daemon_handle_signals(d);
        cli_say(c, "节点已启动；按 Ctrl-C 停止", "the node is running; Ctrl-C stops it");
        e = daemon_run(d);
    }
    daemon_free(d);
    app_close(app);
    if (lock >= 0) {
        (void)close(lock);
    }
    return e;
}

/* A new disk passphrase, proven by the old one or by the recovery key. The store must not be in use. */
enum err cmd_passphrase(struct cli *c)
{
    struct secret old = { .len = 0 };
    struct secret fresh = { .len = 0 };
    struct vault *v = NULL;
    const char *recovery = cli_option(c, "recovery-file");
    if (c->word_count != 0) {
        return why_setf(&c->why, ERR_USAGE, "用法：jipan %s", "usage: jipan %s", c->verb->words);
    }
    if (!app_exists(c->home)) {
        return why_setf(&c->why, ERR_NOT_FOUND, "%s 里还没有节点", "there is no node in %s", c->home);
    }
    enum err e = recovery != NULL
                     ? secret_read(c, recovery, "恢复密钥", "recovery key", false, &old)
                     : secret_read(c, c->passphrase_file, "现在的磁盘口令", "present disk passphrase", false, &old);
    if (e == ERR_OK) {
        e = secret_read(c, cli_option(c, "new-passphrase-file"), "新的磁盘口令", "new disk passphrase", true, &fresh);
    }
    if (e == ERR_OK && recovery != NULL) {
        e = vault_open_recovery(c->home, bytes_of(old.text, old.len), &v, &c->why);
    } else if (e == ERR_OK) {
        e = vault_open(c->home, bytes_of(old.text, old.len), &v, &c->why);
    }
    if (e == ERR_OK) {
        e = vault_set_passphrase(v, bytes_of(fresh.text, fresh.len), &c->why);
    }
    if (e == ERR_OK) {
        cli_say(c, "磁盘口令已更换；恢复密钥不变", "the disk passphrase is changed; the recovery key stays the same");
    }
    vault_close(v);
    secret_wipe(&old);
    secret_wipe(&fresh);
    return e;
}
