/*
 * Owns: the proof that an opened store continues where this node stopped, and the new epoch where there is none.
 * Invariants: the file beside the store never bears a token the store does not know, so a crash between the two never
 * costs the proof; the epoch and the token are one transaction; a file is made, made durable and renamed.
 *
 * Proves nothing against a snapshot of a whole disk, where file numbers, times and machine are all as they were. Peers
 * notice that (sync/session.c).
 */
#include "node/mark.h"

#include "node/vault/vault_on.h"
#include "schema/base/check.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

enum {
    MARK_VERSION = 1,
    TOKEN_BYTES = 16,
    FILE_ID_BYTES = DISK_ID_BYTES,
    MACHINE_BYTES = 16,
    WITNESS_BYTES = TOKEN_BYTES + FILE_ID_BYTES,
    WITNESSES_MAX = 2,
    SIDE_BYTES = 13 + 2 * TOKEN_BYTES + 1,
    EPOCH_STEP_BITS = 20, /* while half of all epochs are left */
    EPOCH_SMALL_BITS = 6
};

static const char side_name[] = "jipan.mark";
static const char side_new[] = "jipan.mark.new";
static const char side_magic[] = "JIPAN-MARK-1\n";
static const char *test_machine;

/* What tells one file from its copy: number and birth. */
struct file_id {
    uint8_t b[FILE_ID_BYTES];
};

/* One file beside the store: what it says and which file it is. */
struct witness {
    uint8_t token[TOKEN_BYTES];
    struct file_id file;
};

struct mark {
    uint8_t machine[MACHINE_BYTES];
    struct file_id store;
    struct witness at[WITNESSES_MAX];
    size_t count;
};

void mark_test_set_machine(const char *text)
{
    test_machine = text;
}

static bool home_path(const struct app *app, const char *name, char out[APP_PATH_MAX + 32])
{
    int n = snprintf(out, APP_PATH_MAX + 32, "%s/%s", app->home, name);
    return n > 0 && n < APP_PATH_MAX + 32;
}

static bool identify(const struct app *app, const char *path, struct file_id *out)
{
    *out = (struct file_id){ .b = { 0 } };
    return app->disk.ops->identify(app->disk.ctx, path, out->b) == 0;
}

/* Keyed, so that the store says nothing about the machine to who does not hold its key. */
static void machine_hash(struct app *app, uint8_t out[MACHINE_BYTES])
{
    uint8_t key[VAULT_KEY_BYTES];
    char text[64] = { 0 };
    ssize_t n = 0;
    int fd = test_machine != NULL ? -1 : open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof(text));
        (void)close(fd);
    }
    struct bytes id = test_machine != NULL ? bytes_str(test_machine) : bytes_of(text, n > 0 ? (size_t)n : 0);
    vault_subkey(app->vault, "mark", 1, key);
    seal_hash(out, MACHINE_BYTES, "jipan/machine/v1", key, &id, 1);
    sodium_memzero(key, sizeof(key));
}

/* --- the file beside the store
 * ------------------------------------------------------------------------------------------------------- */

static bool side_read(const struct app *app, struct witness *out)
{
    char path[APP_PATH_MAX + 32];
    char text[SIDE_BYTES + 1];
    size_t hex = 0;
    size_t got = 0;
    struct disk_file *file = NULL;
    if (!home_path(app, side_name, path) || !identify(app, path, &out->file)) {
        return false;
    }
    int error = app->disk.ops->open(app->disk.ctx, path, DISK_READ_ONLY, &file);
    if (error == 0) {
        error = file->ops->pread(file, text, sizeof(text), 0, &got);
        file->ops->close(file);
    }
    return error == 0 && got == SIDE_BYTES && memcmp(text, side_magic, sizeof(side_magic) - 1) == 0 &&
           sodium_hex2bin(out->token, TOKEN_BYTES, text + sizeof(side_magic) - 1, 2 * (size_t)TOKEN_BYTES, NULL, &hex,
               NULL) == 0 &&
           hex == TOKEN_BYTES;
}

static enum err side_write(const struct app *app, const char *path, const char *text)
{
    struct disk_file *file = NULL;
    int error = app->disk.ops->open(app->disk.ctx, path, DISK_CREATE | DISK_EXCLUSIVE, &file);
    if (error == 0) {
        error = file->ops->pwrite(file, text, SIDE_BYTES, 0);
        error = error == 0 ? file->ops->fsync(file) : error;
        file->ops->close(file);
    }
    return err_from_errno(error);
}

/* A new file under its second name, durable. */
static enum err side_make(struct app *app, struct witness *out)
{
    char path[APP_PATH_MAX + 32];
    char hex[2 * TOKEN_BYTES + 1];
    char text[SIDE_BYTES + 1];
    if (!home_path(app, side_new, path)) {
        return ERR_LIMIT;
    }
    rng_fill(&app->rng, out->token, sizeof(out->token));
    (void)sodium_bin2hex(hex, sizeof(hex), out->token, sizeof(out->token));
    (void)snprintf(text, sizeof(text), "%s%s\n", side_magic, hex);
    (void)app->disk.ops->remove(app->disk.ctx, path);
    enum err e = side_write(app, path, text);
    if (e == ERR_OK && !identify(app, path, &out->file)) {
        e = ERR_IO;
    }
    if (e != ERR_OK) {
        (void)app->disk.ops->remove(app->disk.ctx, path);
    }
    return e == ERR_OK || e == ERR_FULL || e == ERR_NOMEM ? e : ERR_IO;
}

static enum err side_place(const struct app *app)
{
    char from[APP_PATH_MAX + 32];
    char to[APP_PATH_MAX + 32];
    if (!home_path(app, side_new, from) || !home_path(app, side_name, to) ||
        app->disk.ops->rename(app->disk.ctx, from, to) != 0) {
        return ERR_IO;
    }
    return app->disk.ops->sync_dir(app->disk.ctx, app->home) == 0 ? ERR_OK : ERR_IO;
}

static void side_discard(const struct app *app)
{
    char path[APP_PATH_MAX + 32];
    (void)(home_path(app, side_new, path) ? app->disk.ops->remove(app->disk.ctx, path) : 0);
}

/* --- what the store keeps
 * ------------------------------------------------------------------------------------------------------- */

static enum err mark_store(struct app *app, const struct mark *m)
{
    uint8_t all[1 + MACHINE_BYTES + FILE_ID_BYTES + WITNESSES_MAX * WITNESS_BYTES] = { MARK_VERSION };
    size_t n = 1;
    memcpy(all + n, m->machine, MACHINE_BYTES);
    n += MACHINE_BYTES;
    memcpy(all + n, m->store.b, FILE_ID_BYTES);
    n += FILE_ID_BYTES;
    for (size_t i = 0; i < m->count; i++) {
        memcpy(all + n, m->at[i].token, TOKEN_BYTES);
        memcpy(all + n + TOKEN_BYTES, m->at[i].file.b, FILE_ID_BYTES);
        n += WITNESS_BYTES;
    }
    return app->store->ops->put(app->store, SPACE_META, BYTES_LIT("mark"), bytes_of(all, n));
}

/* A mark that is missing, or in a form this build does not know, proves nothing: count is 0. */
static enum err mark_load(struct app *app, struct mark *out)
{
    struct bytes v = { 0 };
    uint8_t version = 0;
    *out = (struct mark){ .count = 0 };
    enum err e = app->store->ops->get(app->store, SPACE_META, BYTES_LIT("mark"), &app->arena, &v);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    struct reader r = reader_of(v);
    if (reader_u8(&r, &version) != ERR_OK || version != MARK_VERSION ||
        reader_copy(&r, out->machine, MACHINE_BYTES) != ERR_OK ||
        reader_copy(&r, out->store.b, FILE_ID_BYTES) != ERR_OK) {
        return ERR_OK;
    }
    while (out->count < WITNESSES_MAX && reader_copy(&r, out->at[out->count].token, TOKEN_BYTES) == ERR_OK &&
           reader_copy(&r, out->at[out->count].file.b, FILE_ID_BYTES) == ERR_OK) {
        out->count++;
    }
    return ERR_OK;
}

static bool same_witness(const struct witness *a, const struct witness *b)
{
    return memcmp(a->token, b->token, TOKEN_BYTES) == 0 && memcmp(a->file.b, b->file.b, FILE_ID_BYTES) == 0;
}

/* Whether this is the place and the moment the store knows; *kept is the file that proves it. */
static bool is_continued(const struct app *app, const struct mark *known, const struct mark *now, struct witness *kept)
{
    if (!side_read(app, kept) || memcmp(known->machine, now->machine, MACHINE_BYTES) != 0 ||
        memcmp(known->store.b, now->store.b, FILE_ID_BYTES) != 0) {
        return false;
    }
    for (size_t i = 0; i < known->count; i++) {
        if (same_witness(&known->at[i], kept)) {
            return true;
        }
    }
    return false;
}

enum err mark_forget(sqlite3 *db)
{
    return err_from_sqlite(sqlite3_exec(db, "DELETE FROM kv_meta WHERE k = CAST('mark' AS BLOB)", NULL, NULL, NULL));
}

/* --- epochs
 * ------------------------------------------------------------------------------------------------------- */

enum err mark_next_epoch(struct app *app, uint32_t *out)
{
    const struct core *c = &app->core;
    uint32_t top = c->epoch;
    uint32_t step = 0;
    for (size_t i = 0; i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        top = h->node == c->self.number && h->epoch > top ? h->epoch : top;
    }
    rng_fill(&app->rng, &step, sizeof(step));
    step &= (1U << (top < UINT32_MAX / 2 ? EPOCH_STEP_BITS : EPOCH_SMALL_BITS)) - 1;
    step++;
    if (top > UINT32_MAX - step) {
        return ERR_LIMIT;
    }
    *out = top + step;
    return ERR_OK;
}

static enum err draw_epoch(struct app *app)
{
    uint32_t epoch = 0;
    enum err e = mark_next_epoch(app, &epoch);
    if (e != ERR_OK) {
        return e;
    }
    const uint8_t bytes[4] = { (uint8_t)(epoch >> 24), (uint8_t)(epoch >> 16), (uint8_t)(epoch >> 8), (uint8_t)epoch };
    struct audit_entry entry = { .event = AUDIT_STORE_OPENED, .hlc = hlc_tick(app->core.hlc, app_now()) };
    e = app->store->ops->put(app->store, SPACE_META, BYTES_LIT("epoch"), BYTES_OF(bytes));
    if (e == ERR_OK) {
        app->core.epoch = epoch;
        e = audit_append(&app->core.audit, &app->arena, &entry);
    }
    return e;
}

/* Replaces the file beside the store; kept is the one that counts until then, NULL for none. */
static enum err rotate(struct app *app, const struct mark *place, const struct witness *kept, bool is_doubtful)
{
    struct mark next = *place;
    struct witness fresh = { .token = { 0 } };
    enum err e = side_make(app, &fresh);
    if (e != ERR_OK) {
        return e;
    }
    next.count = 0;
    if (kept != NULL) {
        next.at[next.count++] = *kept;
    }
    next.at[next.count++] = fresh;
    e = app_begin(app);
    if (e == ERR_OK) {
        e = is_doubtful ? draw_epoch(app) : ERR_OK;
        e = e == ERR_OK ? mark_store(app, &next) : e;
        e = app_end(app, e);
    }
    arena_reset(&app->arena);
    if (e != ERR_OK) {
        side_discard(app);
        return e;
    }
    return side_place(app);
}

static enum err place_now(struct app *app, struct mark *out)
{
    char path[APP_PATH_MAX + 32];
    *out = (struct mark){ .count = 0 };
    machine_hash(app, out->machine);
    return home_path(app, "jipan.db", path) && identify(app, path, &out->store) ? ERR_OK : ERR_IO;
}

enum err mark_open(struct app *app, bool is_new)
{
    struct mark known;
    struct mark now;
    struct witness kept = { .token = { 0 } };
    enum err e = mark_load(app, &known);
    arena_reset(&app->arena);
    if (e == ERR_OK) {
        e = place_now(app, &now);
    }
    if (e != ERR_OK) {
        return e;
    }
    bool is_proven = is_continued(app, &known, &now, &kept);
    e = rotate(app, &now, is_proven ? &kept : NULL, !is_proven && !is_new);
    /* With the proof in hand a full disk only costs the finer proof of the next time. */
    if (e != ERR_OK && !is_proven && !is_new) {
        return e;
    }
    /* But then memory must still know what the store holds: the store may have failed while it was read again. */
    if (e != ERR_OK) {
        e = core_reload(&app->core, &app->arena);
        arena_reset(&app->arena);
        if (e != ERR_OK) {
            return e;
        }
    }
    app->changes_at_mark = sqlite3_total_changes64(vault_db(app->vault));
    app->has_mark = true;
    return ERR_OK;
}

void mark_close(struct app *app)
{
    struct mark known;
    struct mark now;
    struct witness kept = { .token = { 0 } };
    if (!app->has_mark || sqlite3_total_changes64(vault_db(app->vault)) == app->changes_at_mark ||
        mark_load(app, &known) != ERR_OK || place_now(app, &now) != ERR_OK || !is_continued(app, &known, &now, &kept)) {
        return;
    }
    app->has_mark = false;
    arena_reset(&app->arena);
    if (rotate(app, &now, &kept, false) != ERR_OK) {
        return; /* the old file still counts */
    }
}
