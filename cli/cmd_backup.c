/*
 * Owns: the verbs `backup` and `restore`. A backup is asked of the node piece by piece; a restore works on a home where
 * no node runs. Neither ever asks what a person cannot know.
 */
#include "cli/cli.h"

#include "node/backup.h"
#include "schema/date.h"

#include <stdio.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static enum err one_file(struct cli *c)
{
    if (c->word_count != 1 || c->words[0][0] == '\0') {
        return why_setf(&c->why, ERR_USAGE, "用法：jipan %s", "usage: jipan %s", c->verb->words);
    }
    return ERR_OK;
}

/* The node may stand in another directory than the person. */
static enum err full_path(struct cli *c, const char *file, char out[PATH_BYTES])
{
    char here[PATH_BYTES];
    bool is_full = file[0] == '/';
    if (!is_full && getcwd(here, sizeof(here)) == NULL) {
        return ERR_IO;
    }
    int n = is_full ? snprintf(out, PATH_BYTES, "%s", file) : snprintf(out, PATH_BYTES, "%s/%s", here, file);
    return n > 0 && n < PATH_BYTES ? ERR_OK : why_set(&c->why, ERR_LIMIT, "路径太长", "the path is too long");
}

/* By the clock of the machine that made it. */
static json_t *time_json(int64_t wall_ms)
{
    char text[DATE_TEXT_BYTES];
    size_t len = instant_text(wall_ms / 1000 * 1000, text);
    return json_stringn(text, len);
}

static uint64_t number_in(const json_t *o, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(o, key));
}

static enum err all_pieces(struct cli *c, struct ask *a, json_t **last)
{
    json_t *none = json_object();
    json_t *reply = NULL;
    bool is_finished = false;
    enum err e = ERR_OK;
    while (e == ERR_OK && !is_finished) {
        json_decref(reply);
        e = ask_run(a, "backup-step", none, &reply);
        is_finished = e == ERR_OK && json_is_true(json_object_get(reply, "finished"));
        if (e == ERR_OK) {
            out_progress(c, "备份", "backup", number_in(reply, "pages_done"), number_in(reply, "pages"), is_finished);
        }
    }
    json_decref(none);
    *last = reply;
    return e;
}

enum err cmd_backup(struct cli *c)
{
    char path[PATH_BYTES];
    struct ask *a = NULL;
    json_t *reply = NULL;
    json_t *last = NULL;
    enum err e = one_file(c);
    if (e == ERR_OK) {
        e = full_path(c, c->words[0], path);
    }
    if (e == ERR_OK) {
        e = ask_open(c, true, &a);
    }
    if (e == ERR_OK) {
        (void)json_object_set_new(c->args, "file", json_string(path));
        e = ask_run(a, "backup", c->args, &reply);
    }
    if (e == ERR_OK) {
        e = all_pieces(c, a, &last);
    }
    ask_close(a);
    if (e == ERR_OK) {
        const json_t *born = json_object_get(last, "born");
        c->result =
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "file", path, "bytes", (json_int_t)number_in(last, "bytes"),
                "node", (json_int_t)number_in(born, "node"), "epoch", (json_int_t)number_in(born, "epoch"), "seq",
                (json_int_t)number_in(born, "seq"), "time", time_json((int64_t)number_in(born, "time_ms")));
        cli_say(c, "备份已写好；打开它要用同一个磁盘口令或恢复密钥",
            "the backup is complete; the same disk passphrase or recovery key opens it");
    }
    json_decref(reply);
    json_decref(last);
    return e;
}

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
    out_progress(ctx, "恢复", "restore", done, total, done >= total);
}

static void advise(const struct cli *c, const struct restored *r)
{
    if (r->has_aside) {
        cli_say(c, "原来的库移到了 jipan.db.before-restore", "the old store is now jipan.db.before-restore");
    }
    if (r->is_authority) {
        cli_say(c,
            "本节点管理成员名册：与另一个节点对一次账、取回备份之后的名册之前，不能邀请、吊销或修改人员；其他节点都已不在时用 "
            "jipan members trust --peers-are-gone",
            "this node keeps the membership: until it has synced with another node once, to fetch what was changed "
            "since the backup, nobody can be invited, revoked or changed; when all other nodes are gone for good: "
            "jipan members trust --peers-are-gone");
    } else {
        cli_say(c, "备份之后已送出的数据，下次对账时自动取回",
            "what had left this node since the backup comes back with the next sync");
    }
}

enum err cmd_restore(struct cli *c)
{
    struct secret passphrase = { .len = 0 };
    struct restored r = { .node = 0 };
    enum err e = one_file(c);
    if (e == ERR_OK) {
        e = secret_read(c, c->passphrase_file, "备份时的磁盘口令", "disk passphrase of the backup", false, &passphrase);
    }
    if (e == ERR_OK) {
        const struct restore in = { .home = c->home,
            .file = c->words[0],
            .passphrase = bytes_of(passphrase.text, passphrase.len),
            .replace = cli_option(c, "force") != NULL,
            .progress = show_progress,
            .ctx = c };
        e = restore_run(&in, &r, &c->why);
    }
    secret_wipe(&passphrase);
    if (e == ERR_OK) {
        c->result = json_pack("{s:I, s:I, s:I, s:I, s:o}", "node", (json_int_t)r.node, "epoch", (json_int_t)r.epoch,
            "born_epoch", (json_int_t)r.born.epoch, "born_seq", (json_int_t)r.born.seq, "born_time",
            time_json(r.born.wall_ms));
        advise(c, &r);
    }
    return e;
}
