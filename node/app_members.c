/*
 * Owns: changes of the membership log by the authority (users, invites, enrolment, revocation), logins, and the list of
 * peers. Invariant: every change is one transaction of complete signed entries. Passwords are stored only as Argon2id
 * verifiers; an invite's secret is stored until it is used and only in the vault.
 */
#include "node/app_internal.h"

#include "schema/base/check.h"
#include "schema/base/utf8.h"
#include "schema/text.h"
#include "schema/wire.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>

enum { ENTRY_MAX = MEMBER_ENTRY_MAX_BYTES, PLAIN_TEXT_MEM_BYTES = 1 << 20 };

static struct member_author author(struct app *app)
{
    return (struct member_author){
        .authority_secret = app->core.authority_secret, .hlc = hlc_tick(app->core.hlc, app_now()), .rng = &app->rng
    };
}

/* Stores and folds what a maker wrote. */
static enum err add_made(struct app *app, struct buf *entry, enum err e)
{
    if (e == ERR_OK) {
        e = entry->err;
    }
    if (e == ERR_OK) {
        app->members_changed = true;
        e = core_add_member_entry(&app->core, &app->arena, app_now(), buf_view(entry));
    }
    buf_release(entry);
    return e;
}

enum err member_add_genesis(struct app *app, struct bytes group_name)
{
    struct member_author by = author(app);
    struct buf b;
    char *name = arena_cstr(&app->arena, group_name);
    buf_init(&b, &app->mem, ENTRY_MAX);
    return add_made(app, &b, name == NULL ? ERR_NOMEM : members_make_genesis(app->members, &by, name, &b));
}

enum err member_add_station(struct app *app, const struct member_station *s)
{
    struct member_author by = author(app);
    struct buf b;
    buf_init(&b, &app->mem, ENTRY_MAX);
    return add_made(app, &b, members_make_station(app->members, &by, s, &b));
}

enum err member_add_node(struct app *app, const struct member_node *n)
{
    struct member_author by = author(app);
    struct buf b;
    buf_init(&b, &app->mem, ENTRY_MAX);
    return add_made(app, &b, members_make_node(app->members, &by, n, &b));
}

enum err member_add_user(struct app *app, const struct member_user *u)
{
    struct member_author by = author(app);
    struct buf b;
    buf_init(&b, &app->mem, ENTRY_MAX);
    return add_made(app, &b, members_make_user(app->members, &by, u, &b));
}

enum err member_add_key_epoch(struct app *app, uint32_t station)
{
    struct member_author by = author(app);
    struct buf b;
    buf_init(&b, &app->mem, ENTRY_MAX);
    return add_made(app, &b, members_make_key_epoch(app->members, &by, station, &b));
}

enum err member_add_key_grant(struct app *app, uint32_t station, const struct member_node *to)
{
    struct member_author by = author(app);
    struct buf b;
    buf_init(&b, &app->mem, ENTRY_MAX);
    return add_made(app, &b, members_make_key_grant(app->members, &by, station, to, &b));
}

enum err member_add_scope(struct app *app, const struct member_node *n)
{
    struct member_author by = author(app);
    struct buf b;
    buf_init(&b, &app->mem, ENTRY_MAX);
    return add_made(app, &b, members_make_scope(app->members, &by, n, &b));
}

enum err member_add_revoke(struct app *app, uint32_t node, const struct vv *cut, const char *reason)
{
    struct member_author by = author(app);
    struct buf b;
    buf_init(&b, &app->mem, ENTRY_MAX);
    return add_made(app, &b, members_make_revoke(app->members, &by, node, cut, reason, &b));
}

enum err password_verifier(struct bytes password, char out[MEMBER_VERIFIER_BYTES])
{
    char text[crypto_pwhash_STRBYTES];
    static_assert(crypto_pwhash_STRBYTES <= MEMBER_VERIFIER_BYTES, "verifier fits");
    memset(out, 0, MEMBER_VERIFIER_BYTES);
    if (crypto_pwhash_str(text, (const char *)password.ptr, password.len, crypto_pwhash_OPSLIMIT_INTERACTIVE,
            crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0) {
        return ERR_NOMEM;
    }
    memcpy(out, text, sizeof(text));
    return ERR_OK;
}

enum err app_need_authority(const struct app *app, struct why *why)
{
    if (app->core.is_authority && app->core.members_in_doubt) {
        return why_set(why, ERR_DENIED,
            "本节点从备份恢复，名册可能已变；先与另一节点对账（jipan run 或 bundle import）再改成员。"
            "其他节点都已不在时：jipan members trust --peers-are-gone",
            "restored from a backup: members may have changed since; sync with another node first (jipan run, bundle "
            "import). Only if all others are gone for good: jipan members trust --peers-are-gone");
    }
    if (app->core.is_authority) {
        return ERR_OK;
    }
    return why_set(why, ERR_DENIED, "只有建立集团的节点能改成员名册；请在那台机器上执行",
        "only the node that founded the group can change its members; run this there");
}

bool member_text_is_plain(struct bytes text)
{
    struct mem mem = app_mem(PLAIN_TEXT_MEM_BYTES);
    struct arena a;
    struct bytes clean = { 0 };
    arena_init(&a, &mem, PLAIN_TEXT_MEM_BYTES);
    bool is_plain = utf8_is_valid(text) && text_clean(&a, text, false, &clean) == ERR_OK && clean.len == text.len;
    arena_release(&a);
    return is_plain;
}

bool member_login_is_plain(struct bytes v)
{
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                c == '_')) {
            return false;
        }
    }
    return v.len > 0 && v.len <= MEMBER_LOGIN_MAX_BYTES;
}

static enum err check_password(struct bytes password, struct why *why)
{
    if (password.len < PASSWORD_MIN_BYTES || password.len > PASSWORD_MAX_BYTES) {
        return why_set(why, ERR_INVALID, "密码需要 8 到 256 个字节", "a password needs 8 to 256 bytes");
    }
    return ERR_OK;
}

static enum err check_user(
    struct app *app, const struct app_user *in, const struct member_station **station, struct why *why)
{
    *station = members_station_by_code(app->members, in->station_code);
    if (!member_login_is_plain(in->login)) {
        return why_set(why, ERR_INVALID, "登录名用 1 到 32 个字母、数字、点、横线或下划线",
            "a login is 1 to 32 letters, digits, dots, hyphens or underscores");
    }
    if (members_user_by_login(app->members, in->login) != NULL) {
        return why_set(why, ERR_EXISTS, "已有这个登录名", "that login exists already");
    }
    if (*station == NULL) {
        return why_set(why, ERR_NOT_FOUND, "没有这个网点代码；用 jipan node list 查看",
            "no station of that code; see jipan node list");
    }
    if (in->roles == 0) {
        return why_set(
            why, ERR_USAGE, "请用 --role 给出岗位，例如 SC、SM、PA", "give a role with --role, e.g. SC, SM, PA");
    }
    if (in->name.len > MEMBER_NAME_MAX_BYTES || !member_text_is_plain(in->name)) {
        return why_set(why, ERR_INVALID, "姓名太长或含有不能显示的字符",
            "the name is too long or holds signs that cannot be shown");
    }
    if (roles_clash(in->roles, why)) {
        return ERR_DENIED;
    }
    return check_password(in->password, why);
}

enum err app_user_add(
    struct app *app, const struct app_user *in, uint32_t *number, const struct audit_entry *note, struct why *why)
{
    const struct member_station *station = NULL;
    struct member_user u = { .roles = in->roles, .is_active = true };
    enum err e = app_need_authority(app, why);
    if (e == ERR_OK) {
        e = check_user(app, in, &station, why);
    }
    if (e == ERR_OK) {
        e = password_verifier(in->password, u.verifier);
    }
    if (e != ERR_OK) {
        return e;
    }
    struct bytes name = in->name.len == 0 ? in->login : in->name;
    u.number = members_next_user_number(app->members);
    u.station = station->number;
    memcpy(u.login, in->login.ptr, in->login.len);
    memcpy(u.name, name.ptr, name.len);
    e = app_begin(app);
    if (e == ERR_OK) {
        e = app_end_noted(app, member_add_user(app, &u), note);
    }
    if (e == ERR_OK) {
        *number = u.number;
    }
    return e;
}

/* Without an active administrator nobody could ever change the group's members again. */
static bool is_last_administrator(const struct app *app, const struct member_user *u)
{
    for (size_t i = 0; i < members_user_count(app->members); i++) {
        const struct member_user *other = members_user_at(app->members, i);
        if (other->number != u->number && other->is_active && (other->roles & role_bit(ROLE_AD)) != 0) {
            return false;
        }
    }
    return u->is_active && (u->roles & role_bit(ROLE_AD)) != 0;
}

enum err app_user_change(struct app *app, uint32_t number, const uint32_t *roles, const bool *active,
    const struct bytes *password, const struct audit_entry *note, struct why *why)
{
    const struct member_user *now_user = members_user(app->members, number);
    struct member_user u = { 0 };
    enum err e = app_need_authority(app, why);
    if (e == ERR_OK && now_user == NULL) {
        e = why_set(why, ERR_NOT_FOUND, "没有这个员工", "no such user");
    }
    if (e != ERR_OK) {
        return e;
    }
    u = *now_user;
    if (roles != NULL && roles_clash(*roles, why)) {
        return ERR_DENIED;
    }
    u.roles = roles == NULL ? u.roles : *roles;
    u.is_active = active == NULL ? u.is_active : *active;
    if (roles != NULL && u.roles == 0) {
        return why_set(
            why, ERR_USAGE, "请用 --role 给出岗位，例如 SC、SM、PA", "give a role with --role, e.g. SC, SM, PA");
    }
    if (is_last_administrator(app, now_user) && (!u.is_active || (u.roles & role_bit(ROLE_AD)) == 0)) {
        return why_set(why, ERR_DENIED, "这是最后一位在岗的管理员；请先指定另一位",
            "this is the last active administrator; appoint another one first");
    }
    if (password != NULL) {
        e = check_password(*password, why);
        if (e == ERR_OK) {
            e = password_verifier(*password, u.verifier);
        }
    }
    if (e == ERR_OK) {
        e = app_begin(app);
    }
    return e == ERR_OK ? app_end_noted(app, member_add_user(app, &u), note) : e;
}

/* --- logins
 * ---------------------------------------------------------------------------------------------------------------- */

static void login_tag(const struct app *app, struct bytes login, struct bytes password, uint8_t out[32])
{
    const struct bytes pieces[2] = { login, password };
    seal_hash(out, 32, "jipan/login-cache/v1", app->cache_key, pieces, 2);
}

enum err app_login(struct app *app, struct bytes login, struct bytes password, const struct member_user **out)
{
    const struct member_user *user = members_user_by_login(app->members, login);
    uint8_t tag[32];
    if (password.len > PASSWORD_MAX_BYTES) {
        return ERR_SECRET;
    }
    if (user == NULL || !user->is_active) {
        /* As long as for a wrong password, so that the time does not tell which logins exist. */
        const struct member_user *somebody = members_user(app->members, 1);
        if (somebody != NULL &&
            crypto_pwhash_str_verify(somebody->verifier, (const char *)password.ptr, password.len) == 0) {
            return ERR_SECRET;
        }
        return ERR_SECRET;
    }
    login_tag(app, login, password, tag);
    for (size_t i = 0; i < ARRAY_LEN(app->verified); i++) {
        const struct verified *v = &app->verified[i];
        if (v->user == user->number && v->since == user->since && sodium_memcmp(v->tag, tag, sizeof(tag)) == 0) {
            *out = user;
            return ERR_OK;
        }
    }
    if (crypto_pwhash_str_verify(user->verifier, (const char *)password.ptr, password.len) != 0) {
        return ERR_SECRET;
    }
    struct verified *slot = &app->verified[app->verified_next++ % ARRAY_LEN(app->verified)];
    *slot = (struct verified){ .user = user->number, .since = user->since };
    memcpy(slot->tag, tag, sizeof(tag));
    *out = user;
    return ERR_OK;
}

/* --- peers
 * ----------------------------------------------------------------------------------------------------------------- */

static enum err peer_key(struct app *app, struct bytes address, struct bytes *out)
{
    struct buf b;
    if (address.len == 0 || address.len > APP_ADDRESS_MAX) {
        return ERR_INVALID;
    }
    /* Store keys are at most 64 bytes: the address itself stands in the value. */
    uint8_t hash[32];
    seal_hash(hash, sizeof(hash), "jipan/peer-address/v1", NULL, &address, 1);
    buf_init(&b, &app->mem, 64);
    buf_put_u8(&b, 'p');
    buf_put(&b, hash, sizeof(hash));
    enum err e = b.err == ERR_OK ? arena_dup(&app->arena, buf_view(&b), out) : b.err;
    buf_release(&b);
    return e;
}

enum err peer_put(struct app *app, struct bytes address, const uint8_t tls_key[32])
{
    struct bytes key = { 0 };
    struct buf value;
    enum err e = peer_key(app, address, &key);
    buf_init(&value, &app->mem, APP_ADDRESS_MAX + 64);
    buf_put(&value, tls_key, 32);
    buf_put_bytes(&value, address);
    if (e == ERR_OK) {
        e = value.err;
    }
    if (e == ERR_OK) {
        e = app->store->ops->put(app->store, SPACE_PEER, key, buf_view(&value));
    }
    buf_release(&value);
    return e;
}

enum err app_peer_add(
    struct app *app, struct bytes address, const uint8_t tls_key[32], const struct audit_entry *note, struct why *why)
{
    if (address.len == 0 || address.len > APP_ADDRESS_MAX || memchr(address.ptr, ':', address.len) == NULL) {
        return why_set(why, ERR_INVALID, "地址写成 主机:端口，例如 192.168.1.10:7420",
            "write the address as host:port, e.g. 192.168.1.10:7420");
    }
    enum err e = app_begin(app);
    return e == ERR_OK ? app_end_noted(app, peer_put(app, address, tls_key), note) : e;
}

enum err app_peer_remove(struct app *app, struct bytes address, const struct audit_entry *note)
{
    struct bytes key = { 0 };
    struct bytes old = { 0 };
    enum err e = peer_key(app, address, &key);
    if (e == ERR_OK) {
        e = app->store->ops->get(app->store, SPACE_PEER, key, &app->arena, &old);
    }
    if (e == ERR_OK) {
        e = app_begin(app);
    }
    return e == ERR_OK ? app_end_noted(app, app->store->ops->del(app->store, SPACE_PEER, key), note) : e;
}

struct peer_list {
    struct app_peer *out;
    size_t max;
    size_t count;
};

static enum err list_peer(void *ctx, struct bytes key, struct bytes value)
{
    struct peer_list *list = ctx;
    if (key.len == 0 || key.ptr[0] != 'p' || list->count == list->max || value.len < 32 ||
        value.len - 32 > APP_ADDRESS_MAX) {
        return ERR_OK;
    }
    struct app_peer *p = &list->out[list->count++];
    *p = (struct app_peer){ .address = { 0 } };
    memcpy(p->tls_key, value.ptr, 32);
    memcpy(p->address, value.ptr + 32, value.len - 32);
    return ERR_OK;
}

enum err app_peers(struct app *app, struct app_peer *out, size_t max, size_t *count)
{
    struct peer_list list = { .out = out, .max = max };
    enum err e = app->store->ops->scan(app->store, SPACE_PEER, BYTES_LIT("p"), BYTES_LIT("q"), false, list_peer, &list);
    if (e == ERR_OK) {
        *count = list.count;
    }
    return e;
}

enum err app_set_listen(struct app *app, struct bytes address)
{
    enum err e = app_begin(app);
    return e == ERR_OK ? app_end(app, app->store->ops->put(app->store, SPACE_META, BYTES_LIT("listen"), address)) : e;
}

enum err app_listen(struct app *app, char out[APP_ADDRESS_MAX + 1])
{
    struct bytes v = { 0 };
    enum err e = app->store->ops->get(app->store, SPACE_META, BYTES_LIT("listen"), &app->arena, &v);
    memset(out, 0, APP_ADDRESS_MAX + 1);
    if (e == ERR_OK && v.len <= APP_ADDRESS_MAX) {
        memcpy(out, v.ptr, v.len);
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err app_revoke(struct app *app, uint32_t node, const char *reason, const struct audit_entry *note, struct why *why)
{
    const struct member_node *n = members_node(app->members, node);
    struct vv cut = { 0 };
    enum err e = app_need_authority(app, why);
    if (e == ERR_OK && n == NULL) {
        e = why_set(why, ERR_NOT_FOUND, "没有这个节点；用 jipan node list 查看", "no such node; see jipan node list");
    }
    if (e == ERR_OK && n->revoked_at != 0) {
        e = why_set(why, ERR_EXISTS, "这个节点已经吊销", "that node is revoked already");
    }
    if (e == ERR_OK && node == app->core.self.number) {
        e = why_set(why, ERR_DENIED, "不能吊销正在执行命令的节点", "a node cannot revoke itself");
    }
    for (size_t i = 0; e == ERR_OK && i < app->core.heads.count; i++) {
        const struct head *h = &app->core.heads.at[i];
        if (h->node == node && h->upto > 0) {
            e = vv_raise(&cut, &app->arena, (struct dot){ .node = node, .epoch = h->epoch, .seq = h->upto });
        }
    }
    if (e == ERR_OK) {
        e = app_begin(app);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = member_add_revoke(app, node, &cut, reason);
    /* Later parts must be out of the revoked node's reach: new keys for every station it could read. */
    for (uint32_t s = 0; e == ERR_OK && s <= members_station_count(app->members); s++) {
        if (members_node_covers(members_node(app->members, node), s)) {
            e = member_add_key_epoch(app, s);
        }
    }
    return app_end_noted(app, e, note);
}
