/*
 * Owns: the verbs `bundle export` and `bundle import`: the file, piece by piece, and progress. What is in a bundle and
 * whether it is taken in is the node's business. A bundle is written under another name and renamed, so that no half
 * one is carried away.
 */
#include "cli/cli.h"

#include "sync/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, TEXT_BYTES = (BUNDLE_FRAME_MAX_BYTES + 8) / 3 * 4 + 8 };

struct carrying {
    struct cli *c;
    struct ask *ask;
    FILE *file;
    const char *path;
    char part[PATH_BYTES];
    uint8_t raw[BUNDLE_FRAME_MAX_BYTES + 4];
    char text[TEXT_BYTES];
    uint64_t bytes; /* of the file */
};

static enum err cannot_write(struct carrying *k, const char *path)
{
    return errno == ENOSPC
               ? why_setf(&k->c->why, ERR_FULL, "磁盘已满，没有写出 %s", "the disk is full; %s was not written", path)
               : why_setf(&k->c->why, ERR_IO, "不能写 %s", "cannot write %s", path);
}

static json_int_t number_in(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* --- out --- */

static enum err open_part(struct carrying *k)
{
    struct stat st;
    if (snprintf(k->part, sizeof(k->part), "%s.part", k->path) >= (int)sizeof(k->part)) {
        return why_set(&k->c->why, ERR_LIMIT, "文件名太长", "the file name is too long");
    }
    if (lstat(k->path, &st) == 0 && (!S_ISREG(st.st_mode) || cli_option(k->c, "force") == NULL)) {
        return why_setf(&k->c->why, ERR_EXISTS, "%s 已存在；要覆盖请加 --force",
            "%s exists already; --force overwrites it", k->path);
    }
    int fd = open(k->part, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return why_setf(&k->c->why, ERR_BUSY, "%s 正在写", "%s is being written", k->part);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0) {
        enum err e = cannot_write(k, k->part);
        if (fd >= 0) {
            (void)close(fd);
        }
        return e;
    }
    k->file = fdopen(fd, "wb");
    return k->file == NULL ? ERR_IO : ERR_OK;
}

/* The piece that the node gave. */
static enum err write_piece(struct carrying *k, const json_t *reply)
{
    const char *text = json_string_value(json_object_get(reply, "bytes"));
    size_t len = 0;
    if (text == NULL || sodium_base642bin(k->raw, sizeof(k->raw), text, strlen(text), NULL, &len, NULL,
                            sodium_base64_VARIANT_ORIGINAL) != 0) {
        return ERR_FORMAT;
    }
    k->bytes += len;
    return fwrite(k->raw, 1, len, k->file) == len ? ERR_OK : cannot_write(k, k->part);
}

static enum err put_in_place(struct carrying *k)
{
    char dir[PATH_BYTES];
    if (fflush(k->file) != 0 || fsync(fileno(k->file)) != 0 || rename(k->part, k->path) != 0) {
        return cannot_write(k, k->path);
    }
    (void)snprintf(dir, sizeof(dir), "%s", k->path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL) {
        (void)snprintf(dir, sizeof(dir), ".");
    } else {
        slash[slash == dir ? 1 : 0] = '\0';
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err e = fd < 0 || fsync(fd) != 0 ? cannot_write(k, dir) : ERR_OK;
    if (fd >= 0) {
        (void)close(fd);
    }
    return e;
}

static enum err write_frames(struct carrying *k, json_t *id, json_t **last)
{
    json_t *args = json_pack("{s:O}", "id", id);
    bool is_finished = false;
    enum err e = ERR_OK;
    while (e == ERR_OK && !is_finished) {
        json_decref(*last);
        e = ask_run(k->ask, "bundle-export-next", args, last);
        is_finished = e == ERR_OK && json_is_true(json_object_get(*last, "finished"));
        if (e == ERR_OK) {
            e = write_piece(k, *last);
        }
        out_progress(k->c, "导出数据包", "bundle", (size_t)number_in(*last, "done"), (size_t)number_in(*last, "total"),
            e != ERR_OK || is_finished);
    }
    json_decref(args);
    return e;
}

/* The node need not wait for more of a bundle that is over before its end. */
static void give_up(struct carrying *k, const json_t *first, enum err e)
{
    json_t *id = json_object_get(first, "id");
    if (e != ERR_OK && id != NULL) {
        const struct why why = k->c->why;
        json_t *args = json_pack("{s:O}", "id", id);
        json_t *none = NULL;
        if (ask_run(k->ask, "bundle-drop", args, &none) != ERR_OK) {
            cli_say(k->c, "节点稍后会放弃这个数据包", "the node will drop this bundle in a moment");
        }
        json_decref(args);
        json_decref(none);
        k->c->why = why;
    }
}

/* k->path for the node that `to` names; *ret_report is what to tell. */
static enum err export_to(struct carrying *k, json_t *to, json_t **ret_report)
{
    json_t *args = json_pack("{s:O, s:b}", "for", to, "all", cli_option(k->c, "all") != NULL ? 1 : 0);
    json_t *first = NULL;
    json_t *last = NULL;
    k->bytes = 0;
    enum err e = open_part(k);
    if (e == ERR_OK) {
        e = ask_run(k->ask, "bundle-export", args, &first);
    }
    if (e == ERR_OK) {
        e = write_piece(k, first);
    }
    if (e == ERR_OK) {
        e = write_frames(k, json_object_get(first, "id"), &last);
    }
    if (e == ERR_OK) {
        e = put_in_place(k);
    }
    give_up(k, first, e);
    if (k->file != NULL) {
        (void)fclose(k->file); /* all of it is on the disk, or it is not wanted */
        k->file = NULL;
        if (e != ERR_OK) {
            (void)unlink(k->part);
        }
    }
    if (e == ERR_OK) {
        *ret_report = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "file", k->path, "for", number_in(first, "node"),
            "entries", number_in(last, "entries"), "commits", number_in(last, "commits"), "dossiers",
            number_in(last, "dossiers"), "bytes", (json_int_t)k->bytes);
    }
    json_decref(args);
    json_decref(first);
    json_decref(last);
    return e;
}

static enum err begin(struct cli *c, struct carrying **out)
{
    if (c->word_count != 1 || c->words[0][0] == '\0') {
        return why_setf(&c->why, ERR_USAGE, "用法：jipan %s", "usage: jipan %s", c->verb->words);
    }
    struct carrying *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        return ERR_NOMEM;
    }
    k->c = c;
    k->path = c->words[0];
    *out = k;
    return ERR_OK;
}

static void end(struct carrying *k)
{
    if (k != NULL) {
        if (k->file != NULL) {
            (void)fclose(k->file);
        }
        ask_close(k->ask);
        free(k);
    }
}

enum err cmd_bundle_export(struct cli *c)
{
    struct carrying *k = NULL;
    const char *to = cli_option(c, "for");
    enum err e = begin(c, &k);
    if (e == ERR_OK && (to == NULL || to[0] == '\0')) {
        e = why_set(&c->why, ERR_USAGE, "请用 --for 写明给哪个节点；用 jipan node list 查看",
            "say for which node with --for; see jipan node list");
    }
    if (e == ERR_OK) {
        e = ask_open(c, true, &k->ask);
    }
    if (e == ERR_OK) {
        json_t *word = json_string(to);
        e = word == NULL ? ERR_USAGE : export_to(k, word, &c->result);
        json_decref(word);
    }
    end(k);
    return e;
}

/* --- in --- */

static enum err open_file(struct carrying *k, uint64_t *size)
{
    struct stat st;
    k->file = fopen(k->path, "rbe");
    if (k->file == NULL || fstat(fileno(k->file), &st) != 0 || !S_ISREG(st.st_mode)) {
        return why_setf(&k->c->why, ERR_NOT_FOUND, "读不到文件 %s", "cannot read the file %s", k->path);
    }
    *size = (uint64_t)st.st_size;
    return ERR_OK;
}

static enum err cut_off(struct carrying *k)
{
    return ferror(k->file) != 0 ? why_setf(&k->c->why, ERR_IO, "读 %s 出错", "%s cannot be read", k->path)
                                : why_set(&k->c->why, ERR_TRUNCATED, "数据包不完整：文件在中途断了；请重新拷贝",
                                      "the bundle is cut off; copy it again");
}

/* len bytes of the file as the argument "bytes". */
static enum err read_piece(struct carrying *k, size_t len, json_t *args)
{
    size_t got = fread(k->raw, 1, len, k->file);
    k->bytes += got;
    if (got != len && ferror(k->file) != 0) {
        return cut_off(k);
    }
    (void)sodium_bin2base64(k->text, sizeof(k->text), k->raw, got, sodium_base64_VARIANT_ORIGINAL);
    (void)json_object_set_new(args, "bytes", json_string_nocheck(k->text));
    return got == len ? ERR_OK : ERR_TRUNCATED;
}

static enum err next_length(struct carrying *k, size_t *out)
{
    uint8_t b[4];
    if (fread(b, 1, sizeof(b), k->file) != sizeof(b)) {
        return cut_off(k);
    }
    k->bytes += sizeof(b);
    *out = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
    return *out <= BUNDLE_FRAME_MAX_BYTES ? ERR_OK
                                          : why_set(&k->c->why, ERR_FORMAT, "数据包这一处被改动过或损坏；请重新拷贝",
                                                "the bundle is altered or damaged here; copy it again");
}

static enum err read_frames(struct carrying *k, json_t *id, uint64_t size, json_t **last)
{
    json_t *args = json_pack("{s:O}", "id", id);
    bool is_finished = false;
    enum err e = ERR_OK;
    while (e == ERR_OK && !is_finished) {
        size_t len = 0;
        json_t *reply = NULL;
        e = next_length(k, &len);
        if (e == ERR_OK && read_piece(k, len, args) != ERR_OK) {
            e = cut_off(k);
        }
        if (e == ERR_OK) {
            e = ask_run(k->ask, "bundle-import-next", args, &reply);
            json_decref(*last);
            *last = reply;
            is_finished = e == ERR_OK && json_is_true(json_object_get(reply, "finished"));
        }
        out_progress(k->c, "导入数据包", "bundle", (size_t)k->bytes, (size_t)size, e != ERR_OK || is_finished);
    }
    if (e == ERR_OK && fgetc(k->file) != EOF) {
        e = why_set(&k->c->why, ERR_FORMAT, "数据包已全部导入，但文件后面还有多余的内容",
            "the whole bundle was taken in, but something follows it in the file");
    }
    json_decref(args);
    return e;
}

/* The way back: also when this node lacks what came before, for then the other one must learn it. */
static enum err acknowledge(struct carrying *k, const json_t *first, const json_t *last, enum err e)
{
    const char *file = cli_option(k->c, "ack");
    char number[24];
    json_t *report = NULL;
    bool wanted = file != NULL && (e == ERR_OK || (e == ERR_GAP && json_is_true(json_object_get(last, "greeted"))));
    if (!wanted) {
        return e;
    }
    const struct why why = k->c->why;
    (void)snprintf(number, sizeof(number), "%lld", (long long)number_in(first, "node"));
    k->path = file;
    (void)fclose(k->file);
    k->file = NULL;
    json_t *word = json_string(number);
    enum err made = export_to(k, word, &report);
    json_decref(word);
    if (made == ERR_OK) {
        (void)json_object_set(k->c->result, "ack", json_object_get(report, "file"));
        k->c->why = why;
    }
    json_decref(report);
    return made == ERR_OK ? e : made;
}

static enum err import_all(struct carrying *k, uint64_t size)
{
    json_t *args = json_object();
    json_t *first = NULL;
    json_t *last = NULL;
    enum err e = read_piece(k, BUNDLE_HEADER_BYTES, args);
    e = e == ERR_TRUNCATED ? ERR_OK : e; /* what is too short is judged by the node: it may be something else */
    if (e == ERR_OK) {
        e = ask_run(k->ask, "bundle-import", args, &first);
    }
    if (e == ERR_OK) {
        e = read_frames(k, json_object_get(first, "id"), size, &last);
        give_up(k, first, e);
        k->c->result =
            json_pack("{s:s, s:I, s:I, s:I, s:I}", "file", k->path, "from", number_in(first, "node"), "entries",
                number_in(last, "entries"), "commits", number_in(last, "commits"), "news", number_in(last, "news"));
        e = acknowledge(k, first, last, e);
    }
    if (e == ERR_OK && cli_option(k->c, "ack") == NULL) {
        cli_say(k->c, "已全部导入；用 jipan bundle export 做一个数据包带回去，对方下次就只给新的",
            "all of it is in; carry a bundle back (jipan bundle export) and the next one holds only what is new");
    }
    json_decref(args);
    json_decref(first);
    json_decref(last);
    return e;
}

enum err cmd_bundle_import(struct cli *c)
{
    struct carrying *k = NULL;
    uint64_t size = 0;
    enum err e = begin(c, &k);
    if (e == ERR_OK) {
        e = open_file(k, &size);
    }
    if (e == ERR_OK) {
        e = ask_open(c, true, &k->ask);
    }
    if (e == ERR_OK) {
        e = import_all(k, size);
    }
    end(k);
    return e;
}
