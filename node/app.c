/*
 * Owns: opening and creating a node: vault, store, identity, membership, core, in that order, and taking them down in
 * reverse. Invariants: a home either holds a complete node or nothing of ours; secrets live in the vault and are wiped
 * from memory on close. Knows no verbs and no sockets.
 */
#include "node/app.h"

#include "node/app_internal.h"
#include "node/backup.h"
#include "node/bundle_desk.h"
#include "node/mark.h"
#include "node/store_sqlite.h"
#include "node/upgrade.h"
#include "node/vault/vault_on.h"
#include "schema/base/check.h"

#include <errno.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void *heap_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

struct mem app_mem(size_t max_bytes)
{
    return (struct mem){ .resize = heap_resize, .max_bytes = max_bytes };
}

static void os_fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    randombytes_buf(out, len);
}

struct rng app_rng(void)
{
    return (struct rng){ .fill = os_fill };
}

struct now app_now(void)
{
    struct timespec wall = { 0 };
    struct timespec mono = { 0 };
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    return (struct now){ .wall_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000,
        .mono_ms = (uint64_t)mono.tv_sec * 1000 + (uint64_t)mono.tv_nsec / 1000000 };
}

/* Stands beside a store while it is being made: without it, what an interrupted creation left would pass for a node. */
static const char unfinished_name[] = "jipan.unfinished";

static void home_file(const char *home, const char *name, char out[APP_PATH_MAX + 32])
{
    (void)snprintf(out, APP_PATH_MAX + 32, "%s/%s", home, name);
}

/* ERR_OK: there is a node. ERR_NOT_FOUND: there is none, or an unfinished one. Else nobody can tell. */
static enum err look_for_node(struct disk disk, const char *home, struct why *why)
{
    char path[APP_PATH_MAX + 32];
    uint64_t size = 0;
    home_file(home, "jipan.db", path);
    int error = disk.ops->stat(disk.ctx, path, &size);
    if (error != 0) {
        return error == ENOENT || error == ENOTDIR ? ERR_NOT_FOUND : why_from_errno(why, error, home);
    }
    home_file(home, unfinished_name, path);
    error = disk.ops->stat(disk.ctx, path, &size);
    if (error == ENOENT) {
        return ERR_OK;
    }
    return error == 0 ? ERR_NOT_FOUND : why_from_errno(why, error, home);
}

bool app_exists(const char *home)
{
    struct why why = { { 0 }, { 0 } };
    return look_for_node(disk_posix(), home, &why) != ERR_NOT_FOUND; /* when in doubt, opening says why */
}

static enum err make_home(struct disk disk, const char *home, struct why *why)
{
    bool was_made = false;
    int error = disk_make_dir_durable(disk, home, &was_made);
    if (error == 0) {
        return ERR_OK;
    }
    if (error == ENOENT) {
        return why_setf(why, ERR_NOT_FOUND, "上级目录不存在：%s", "the parent directory does not exist: %s", home);
    }
    return why_setf(why, ERR_IO, "不能建立目录 %s；请检查权限和磁盘",
        "cannot create directory %s; check permissions and disk", home);
}

enum { HEAP_KEPT_BYTES = 32 << 20 };

/* Batches of work take the same few megabytes and give them back, over and over. Unless the heap keeps them, each batch
 * has them from the system page by page, cleared: a tenth of the CPU of an import. */
static void keep_heap(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_KEPT_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
}

/* An app with memory and chance, before it has files. */
static struct app *app_blank(struct disk disk, const char *home)
{
    struct app *app = calloc(1, sizeof(*app));
    if (app == NULL || sodium_init() < 0 || strlen(home) >= sizeof(app->home)) {
        free(app);
        return NULL;
    }
    keep_heap();
    app->disk = disk;
    memcpy(app->home, home, strlen(home) + 1);
    app->mem = app_mem(APP_MEM_MAX_BYTES);
    app->rng = app_rng();
    rng_fill(&app->rng, app->cache_key, sizeof(app->cache_key));
    arena_init(&app->arena, &app->mem, APP_REQUEST_ARENA_BYTES);
    return app;
}

void app_close(struct app *app)
{
    if (app == NULL) {
        return;
    }
    app->changed = NULL;
    backup_abandon(app);
    bundle_desk_free(app);
    mark_close(app);
    if (app->core.mem != NULL) {
        core_close(&app->core);
    }
    members_free(app->members);
    store_sqlite_free(app->store);
    vault_close(app->vault);
    arena_release(&app->arena);
    sodium_memzero(app, sizeof(*app));
    free(app);
}

enum { SELF_BYTES = 4 + 32 + 32 + 32 };

void identity_from_seeds(struct node_secrets *self, uint32_t number, const uint8_t sign_seed[32],
    const uint8_t box_seed[32], const uint8_t tls_seed[32])
{
    uint8_t tls_secret[SIGN_SECRET_BYTES];
    self->number = number;
    seal_sign_keypair(sign_seed, self->sign_public, self->sign_secret);
    seal_box_keypair(box_seed, self->box_public, self->box_secret);
    seal_sign_keypair(tls_seed, self->tls_public, tls_secret);
    memcpy(self->tls_seed, tls_seed, 32);
    sodium_memzero(tls_secret, sizeof(tls_secret));
}

static enum err put_self(struct app *app, uint32_t number, const uint8_t sign_seed[32], const uint8_t box_seed[32],
    const uint8_t tls_seed[32])
{
    uint8_t all[SELF_BYTES] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
        (uint8_t)number };
    const uint8_t epoch[4] = { 0, 0, 0, 1 };
    memcpy(all + 4, sign_seed, 32);
    memcpy(all + 36, box_seed, 32);
    memcpy(all + 68, tls_seed, 32);
    enum err e = app->store->ops->put(app->store, SPACE_META, BYTES_LIT("self"), BYTES_OF(all));
    if (e == ERR_OK) {
        e = app->store->ops->put(app->store, SPACE_META, BYTES_LIT("epoch"), BYTES_OF(epoch));
    }
    if (e == ERR_OK) {
        e = upgrade_stamp(app);
    }
    sodium_memzero(all, sizeof(all));
    return e;
}

static enum err load_self(struct app *app)
{
    struct bytes self = { 0 };
    struct bytes other = { 0 };
    struct core *c = &app->core;
    uint32_t number = 0;
    enum err e = app->store->ops->get(app->store, SPACE_META, BYTES_LIT("self"), &app->arena, &self);
    if (e != ERR_OK || self.len != SELF_BYTES) {
        return e == ERR_OK || e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
    }
    struct reader r = reader_of(self);
    e = reader_u32be(&r, &number);
    if (e == ERR_OK) {
        identity_from_seeds(&c->self, number, self.ptr + 4, self.ptr + 36, self.ptr + 68);
        e = app->store->ops->get(app->store, SPACE_META, BYTES_LIT("epoch"), &app->arena, &other);
    }
    if (e == ERR_OK) {
        r = reader_of(other);
        e = reader_u32be(&r, &c->epoch);
    }
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND || e == ERR_TRUNCATED ? ERR_DAMAGED : e;
    }
    e = app->store->ops->get(app->store, SPACE_META, BYTES_LIT("authority"), &app->arena, &other);
    if (e == ERR_OK && other.len == 32) {
        uint8_t public_key[SIGN_PUBLIC_BYTES];
        seal_sign_keypair(other.ptr, public_key, c->authority_secret);
        c->is_authority = true;
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* The key of pseudonyms in audit logs: group-wide, so that an auditor's question means the same on every node. */
static enum err pseudonym_key(const struct members *m, const struct node_secrets *self, uint8_t out[KEY_BYTES])
{
    const struct class_keys *keys = members_keys(m, 0, 1);
    const struct member_node *n = members_node(m, self->number);
    if (keys == NULL && n != NULL && n->kind == NODE_RELAY) {
        /* It has no key of the group and nobody looks at a customer there: any key of its own will do. */
        seal_hash(out, KEY_BYTES, "jipan/pseudonym-key/v1", self->box_secret, NULL, 0);
        return ERR_OK;
    }
    if (keys == NULL) {
        return ERR_NO_KEY;
    }
    seal_hash(out, KEY_BYTES, "jipan/pseudonym-key/v1", keys->key[CLASS_BUSINESS], NULL, 0);
    return ERR_OK;
}

static enum err open_core(struct app *app)
{
    uint8_t key[KEY_BYTES];
    struct core *c = &app->core;
    c->store = app->store;
    c->mem = &app->mem;
    c->rng = &app->rng;
    c->members = app->members;
    enum err e = pseudonym_key(app->members, &c->self, key);
    if (e == ERR_OK) {
        e = core_open(c, &app->arena, key);
    }
    sodium_memzero(key, sizeof(key));
    arena_reset(&app->arena);
    return e;
}

/* Vault is open: everything above it. */
static enum err open_rest(struct app *app, struct why *why)
{
    enum err e = store_sqlite_new(vault_db(app->vault), &app->store, why);
    if (e == ERR_OK) {
        e = upgrade_check(app, why);
    }
    if (e == ERR_OK) {
        e = load_self(app);
    }
    if (e == ERR_OK) {
        e = members_new(&app->mem, &app->core.self, &app->members);
    }
    if (e == ERR_OK) {
        e = members_load(app->members, app->store);
    }
    if (e == ERR_OK) {
        e = open_core(app);
    }
    if (e == ERR_OK) {
        e = upgrade_run(app, why);
    }
    if (e == ERR_VERSION && why->zh[0] == '\0') {
        return why_set(why, e, "成员名册里有较新版本的内容，请升级程序后再打开；库未被改动",
            "the membership log holds entries of a newer version: upgrade first; nothing was changed");
    }
    if (e == ERR_DAMAGED && why->zh[0] == '\0') {
        return why_set(why, e, "库内容不完整；请从备份恢复或重新加入集团",
            "the store is incomplete; restore a backup or join again");
    }
    return e;
}

enum err app_open_on(struct disk disk, const char *home, struct bytes passphrase, struct app **out, struct why *why)
{
    struct app *app = NULL;
    enum err e = look_for_node(disk, home, why);
    if (e == ERR_NOT_FOUND) {
        return why_setf(why, ERR_NOT_FOUND, "%s 里还没有节点；先运行 jipan init 或 jipan join",
            "there is no node in %s; run jipan init or jipan join first", home);
    }
    if (e != ERR_OK) {
        return e;
    }
    app = app_blank(disk, home);
    if (app == NULL) {
        return ERR_NOMEM;
    }
    e = vault_open_on(disk, home, SLOT_PASSPHRASE, passphrase, &app->vault, why);
    if (e == ERR_OK) {
        e = open_rest(app, why);
    }
    if (e == ERR_OK) {
        e = mark_open(app, false);
        if (e == ERR_LIMIT) {
            (void)why_set(why, e, "本节点的代次已用完；请吊销后重新加入集团",
                "this node has used up its epochs; revoke it and join again");
        }
    }
    if (e == ERR_OK) {
        *out = app;
    } else {
        app_close(app);
    }
    return e;
}

enum err app_open(const char *home, struct bytes passphrase, struct app **out, struct why *why)
{
    enum err e = app_open_on(disk_posix(), home, passphrase, out, why);
    if (e == ERR_OK) {
        (*out)->may_thread = true;
    }
    return e;
}

/* Takes back what a creation left. The sign that it was not finished goes last. */
static void remove_files(struct disk disk, const char *home)
{
    static const char *const names[] = { "jipan.db", "jipan.db-wal", "jipan.lock", "jipan.mark", "jipan.mark.new",
        unfinished_name };
    char path[APP_PATH_MAX + 32];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        home_file(home, names[i], path);
        (void)disk.ops->remove(disk.ctx, path);
    }
}

/* What an interrupted creation left is removed, unless somebody is just at it; then the sign is put up. */
static enum err begin_creation(struct disk disk, const char *home, struct why *why)
{
    char path[APP_PATH_MAX + 32];
    struct disk_file *file = NULL;
    uint64_t size = 0;
    home_file(home, "jipan.lock", path);
    int error = disk.ops->lock(disk.ctx, path, true, &file);
    if (error != 0) {
        return why_from_errno(why, error, home);
    }
    home_file(home, unfinished_name, path);
    error = disk.ops->stat(disk.ctx, path, &size);
    if (error == 0) {
        remove_files(disk, home);
    }
    file->ops->close(file);
    if (error == 0 || error == ENOENT) {
        error = disk.ops->open(disk.ctx, path, DISK_CREATE, &file);
    }
    if (error == 0) {
        file->ops->close(file);
        error = disk.ops->sync_dir(disk.ctx, home);
    }
    return error == 0 ? ERR_OK : why_from_errno(why, error, home);
}

/* The moment the node exists. */
static enum err end_creation(struct disk disk, const char *home, enum err e)
{
    char path[APP_PATH_MAX + 32];
    home_file(home, unfinished_name, path);
    if (e == ERR_OK) {
        int error = disk.ops->remove(disk.ctx, path);
        error = error == 0 ? disk.ops->sync_dir(disk.ctx, home) : error;
        e = err_from_errno(error);
    }
    return e;
}

static enum err create_vault(struct disk disk, const char *home, struct bytes passphrase,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], struct app **out, struct why *why)
{
    enum err e = look_for_node(disk, home, why);
    if (e != ERR_NOT_FOUND) {
        return e == ERR_OK ? why_setf(why, ERR_EXISTS, "%s 里已有节点", "there already is a node in %s", home) : e;
    }
    e = make_home(disk, home, why);
    struct app *app = e == ERR_OK ? app_blank(disk, home) : NULL;
    if (e == ERR_OK && app == NULL) {
        e = ERR_NOMEM;
    }
    bool is_begun = e == ERR_OK;
    if (e == ERR_OK) {
        e = begin_creation(disk, home, why);
    }
    if (e == ERR_OK) {
        e = vault_create_on(disk, home, passphrase, recovery_text, &app->vault, why);
    }
    if (e == ERR_OK) {
        e = store_sqlite_new(vault_db(app->vault), &app->store, why);
    }
    if (e != ERR_OK) {
        app_close(app);
        if (is_begun && e != ERR_LOCKED) {
            remove_files(disk, home);
        }
        return e;
    }
    *out = app;
    return ERR_OK;
}

static enum err check_init(const struct app_init *in, struct why *why)
{
    if (in->group_name.len == 0 || in->group_name.len > MEMBER_NAME_MAX_BYTES ||
        !member_text_is_plain(in->group_name)) {
        return why_set(why, ERR_USAGE, "请用 --group 写明集团名称", "name the group with --group");
    }
    if (in->station_code.len == 0 || in->station_code.len > MEMBER_CODE_MAX_BYTES ||
        !member_text_is_plain(in->station_code)) {
        return why_set(
            why, ERR_USAGE, "请用 --station 写明网点代码，例如 S1", "give the station's code with --station, e.g. S1");
    }
    if (!member_login_is_plain(in->admin_login) || in->admin_password.len < PASSWORD_MIN_BYTES ||
        in->admin_password.len > PASSWORD_MAX_BYTES) {
        return why_set(why, ERR_USAGE,
            "管理员需要登录名（1 到 32 个字母、数字、点、横线或下划线）和 8 到 256 个字节的密码",
            "the administrator needs a login (1 to 32 letters, digits, dots, hyphens or underscores) and a password of 8 to 256 bytes");
    }
    return ERR_OK;
}

static enum err first_members(struct app *app, const struct app_init *in, const struct node_secrets *self)
{
    struct member_station station = { .number = 1 };
    struct member_node node = { .number = 1, .kind = NODE_STATION, .station = 1, .holds_group = true };
    struct member_user user = { .number = 1, .station = 1, .roles = role_bit(ROLE_AD), .is_active = true };
    memcpy(station.code, in->station_code.ptr, in->station_code.len);
    memcpy(station.name, in->station_code.ptr, in->station_code.len);
    memcpy(node.sign_key, self->sign_public, 32);
    memcpy(node.box_key, self->box_public, 32);
    memcpy(node.tls_key, self->tls_public, 32);
    memcpy(user.login, in->admin_login.ptr, in->admin_login.len);
    memcpy(user.name, in->admin_login.ptr, in->admin_login.len);
    enum err e = password_verifier(in->admin_password, user.verifier);
    if (e == ERR_OK) {
        e = member_add_genesis(app, in->group_name);
    }
    if (e == ERR_OK) {
        e = member_add_station(app, &station);
    }
    if (e == ERR_OK) {
        e = member_add_node(app, &node);
    }
    if (e == ERR_OK) {
        e = member_add_user(app, &user);
    }
    if (e == ERR_OK) {
        e = member_add_key_epoch(app, 0);
    }
    return e == ERR_OK ? member_add_key_epoch(app, 1) : e;
}

static enum err create_group(struct app *app, const struct app_init *in)
{
    uint8_t seeds[4][32]; /* sign, box, tls, authority */
    uint8_t authority_public[SIGN_PUBLIC_BYTES];
    struct core *c = &app->core;
    rng_fill(&app->rng, seeds, sizeof(seeds));
    identity_from_seeds(&c->self, 1, seeds[0], seeds[1], seeds[2]);
    seal_sign_keypair(seeds[3], authority_public, c->authority_secret);
    c->is_authority = true;
    c->epoch = 1;
    c->store = app->store;
    c->mem = &app->mem;
    c->rng = &app->rng;
    enum err e = members_new(&app->mem, &c->self, &app->members);
    c->members = app->members;
    if (e == ERR_OK) {
        e = app->store->ops->begin(app->store);
    }
    if (e == ERR_OK) {
        e = put_self(app, 1, seeds[0], seeds[1], seeds[2]);
    }
    if (e == ERR_OK) {
        e = app->store->ops->put(app->store, SPACE_META, BYTES_LIT("authority"), BYTES_OF(seeds[3]));
    }
    if (e == ERR_OK) {
        e = first_members(app, in, &c->self);
    }
    if (e == ERR_OK) {
        e = app->store->ops->commit(app->store, true);
    }
    sodium_memzero(seeds, sizeof(seeds));
    return e == ERR_OK ? open_core(app) : e;
}

enum err app_create_on(struct disk disk, const char *home, const struct app_init *in,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], struct app **out, struct why *why)
{
    struct app *app = NULL;
    enum err e = check_init(in, why);
    if (e == ERR_OK) {
        e = create_vault(disk, home, in->passphrase, recovery_text, &app, why);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = create_group(app, in);
    if (e == ERR_OK) {
        e = mark_open(app, true);
    }
    e = end_creation(disk, home, e);
    if (e == ERR_OK) {
        *out = app;
    } else {
        app_close(app);
        remove_files(disk, home);
    }
    return e;
}

enum err app_create(const char *home, const struct app_init *in, char recovery_text[VAULT_RECOVERY_TEXT_BYTES],
    struct app **out, struct why *why)
{
    enum err e = app_create_on(disk_posix(), home, in, recovery_text, out, why);
    if (e == ERR_OK) {
        (*out)->may_thread = true;
    }
    return e;
}

static enum err store_joined(struct app *app, const struct app_joined *in)
{
    struct core *c = &app->core;
    enum err e = put_self(app, in->self.number, in->sign_seed, in->box_seed, in->self.tls_seed);
    c->self = in->self;
    c->epoch = 1;
    c->store = app->store;
    c->mem = &app->mem;
    c->rng = &app->rng;
    if (e == ERR_OK) {
        e = members_new(&app->mem, &c->self, &app->members);
    }
    c->members = app->members;
    for (size_t i = 0; e == ERR_OK && i < in->entry_count; i++) {
        e = core_add_member_entry(c, &app->arena, app_now(), in->entries[i]);
    }
    if (e == ERR_OK && memcmp(members_genesis_hash(app->members), in->genesis_hash, 32) != 0) {
        e = ERR_UNKNOWN_PEER;
    }
    if (e == ERR_OK) {
        e = peer_put(app, in->peer_address, in->peer_tls_key);
    }
    return e;
}

enum err app_create_joined_on(struct disk disk, const char *home, struct bytes passphrase, const struct app_joined *in,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], struct why *why)
{
    struct app *app = NULL;
    enum err e = create_vault(disk, home, passphrase, recovery_text, &app, why);
    if (e != ERR_OK) {
        return e;
    }
    e = app->store->ops->begin(app->store);
    if (e == ERR_OK) {
        e = store_joined(app, in);
    }
    if (e == ERR_OK) {
        e = app->store->ops->commit(app->store, true);
    }
    if (e == ERR_OK) {
        e = open_core(app);
    }
    if (e == ERR_OK) {
        e = mark_open(app, true);
    }
    app_close(app);
    e = end_creation(disk, home, e);
    if (e != ERR_OK) {
        remove_files(disk, home);
        if (err_class(e) == ERR_CLASS_LOCAL || e == ERR_NOMEM) {
            return e;
        }
        return why_set(why, e, "对方给出的成员名册通不过验证；请核对邀请码",
            "the membership log received does not verify; check the invite code");
    }
    return ERR_OK;
}

enum err app_create_joined(const char *home, struct bytes passphrase, const struct app_joined *in,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], struct why *why)
{
    return app_create_joined_on(disk_posix(), home, passphrase, in, recovery_text, why);
}

/* Memory must not know more than the store does. */
static enum err reload(struct app *app)
{
    if (app->members_changed) {
        struct members *fresh = NULL;
        enum err e = members_new(&app->mem, &app->core.self, &fresh);
        if (e == ERR_OK) {
            e = members_load(fresh, app->store);
        }
        if (e != ERR_OK) {
            members_free(fresh);
            return e;
        }
        members_free(app->members);
        app->members = fresh;
        app->core.members = fresh;
        app->core.audit.group_id = members_group_id(fresh);
        app->members_changed = false;
    }
    return core_reload(&app->core, &app->arena);
}

enum err app_refresh(struct app *app)
{
    return app->core.is_stale ? reload(app) : ERR_OK;
}

enum err app_begin(struct app *app)
{
    enum err e = app_refresh(app);
    return e == ERR_OK ? app->store->ops->begin(app->store) : e;
}

enum err app_end_unseen(struct app *app, enum err e)
{
    if (e == ERR_OK) {
        e = app->store->ops->commit(app->store, true);
    } else {
        app->store->ops->rollback(app->store);
    }
    if (e != ERR_OK) {
        app->core.is_stale = true;
        (void)reload(app); /* else app_refresh tries again */
        return e;
    }
    app->members_changed = false;
    backup_expire(app); /* whoever asked for it is gone, and every write would go into it */
    return ERR_OK;
}

enum err app_commit_more(struct app *app)
{
    enum err e = app->store->ops->commit(app->store, false);
    if (e == ERR_OK && app->changed != NULL) {
        app->changed(app->changed_ctx); /* whatever becomes of the rest */
    }
    return e == ERR_OK ? app->store->ops->begin(app->store) : e;
}

enum err app_end(struct app *app, enum err e)
{
    e = app_end_unseen(app, e);
    if (e == ERR_OK && app->changed != NULL) {
        app->changed(app->changed_ctx);
    }
    return e;
}

enum err app_end_noted(struct app *app, enum err e, const struct audit_entry *note)
{
    if (e == ERR_OK && note != NULL) {
        struct audit_entry entry = *note;
        e = audit_append(&app->core.audit, &app->arena, &entry);
    }
    return app_end(app, e);
}

/* What the log says of itself. */
static enum err verify_log(struct app *app, struct why *why)
{
    struct dot bad = { 0 };
    uint64_t bad_entry = 0;
    char text[DOT_TEXT_BYTES];
    enum err e = core_verify_log(&app->core, &app->arena, &bad);
    if (e == ERR_DAMAGED) {
        (void)dot_text(bad, text);
        return why_setf(why, e, "变更日志从 %s 起通不过验证", "the change log fails to verify from %s on", text);
    }
    if (e == ERR_OK) {
        e = audit_verify(&app->core.audit, &app->arena, NULL, &bad_entry);
    }
    if (e == ERR_DAMAGED) {
        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)bad_entry);
        return why_setf(
            why, e, "审计日志从第 %s 条起通不过验证", "the audit log fails to verify from entry %s on", text);
    }
    return e;
}

/* Whether what follows from the log is there. */
static enum err verify_derived(struct app *app, struct why *why)
{
    enum err e = core_verify_dossiers(&app->core, &app->arena);
    if (e == ERR_DAMAGED) {
        return why_set(why, e, "档案表里缺少变更日志里有的档案；用 jipan verify --rebuild 修复",
            "the table of dossiers lacks one that the change log has; jipan verify --rebuild mends it");
    }
    return e == ERR_OK ? store_sqlite_verify(app->store, why) : e;
}

enum err app_verify(struct app *app, bool deep, struct core_mended *mended, struct why *why)
{
    enum err e = app_refresh(app); /* or heads that a failed read left out would pass for damage */
    if (e == ERR_OK) {
        e = vault_verify(app->vault, why);
    }
    if (e == ERR_OK && deep) {
        e = verify_log(app, why);
    }
    if (e != ERR_OK || mended == NULL) {
        return e == ERR_OK && deep ? verify_derived(app, why) : e;
    }
    e = app_begin(app);
    if (e == ERR_OK) {
        e = core_mend(&app->core, &app->arena, app_now(), mended);
        e = e == ERR_OK && deep ? verify_derived(app, why) : e; /* before it is kept */
        e = app_end(app, e);
    }
    return e;
}
