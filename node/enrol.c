/*
 * Owns: invites and enrolment, the authority's half. An invite is a random id and secret kept in the vault until used
 * or expired; the code carries them with the address, the TLS key to expect and the genesis hash, so neither side
 * trusts the network. Invariant: one invite enrols at most one node, because it is deleted in the transaction that adds
 * the node.
 */
#include "node/app_internal.h"

#include "schema/wire.h"

#include <sodium.h>
#include <stdio.h>

enum { CODE_VERSION = 1, CHECK_BYTES = 4, CODE_FIXED_BYTES = 1 + 32 + 32 + 8 + 16, HOUR_MS = 3600000 };
static const char code_prefix[] = "jipan1.";

static void invite_key(const uint8_t id[8], uint8_t out[9])
{
    out[0] = 'i';
    memcpy(out + 1, id, 8);
}

static void code_check(struct bytes body, uint8_t out[16])
{
    seal_hash(out, 16, "jipan/invite-check/v1", NULL, &body, 1);
}

static enum err code_text(struct app *app, const struct invite_code *code, char out[INVITE_CODE_MAX])
{
    uint8_t check[16];
    struct buf b;
    buf_init(&b, &app->mem, 512);
    buf_put_u8(&b, CODE_VERSION);
    buf_put(&b, code->tls_key, 32);
    buf_put(&b, code->genesis_hash, 32);
    buf_put(&b, code->id, 8);
    buf_put(&b, code->secret, 16);
    buf_put_str(&b, code->address);
    code_check(buf_view(&b), check);
    buf_put(&b, check, CHECK_BYTES);
    enum err e = b.err;
    if (e == ERR_OK) {
        size_t prefix = sizeof(code_prefix) - 1;
        memcpy(out, code_prefix, prefix);
        (void)sodium_bin2base64(
            out + prefix, INVITE_CODE_MAX - prefix, b.ptr, b.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    }
    buf_release(&b);
    return e;
}

enum err invite_code_parse(struct bytes text, struct invite_code *out, struct why *why)
{
    uint8_t raw[INVITE_CODE_MAX];
    uint8_t check[16];
    size_t len = 0;
    size_t prefix = sizeof(code_prefix) - 1;
    static const char *const zh = "邀请码不完整或抄错了；请整行复制";
    static const char *const en = "the invite code is incomplete or mistyped; copy the whole line";
    if (text.len <= prefix || memcmp(text.ptr, code_prefix, prefix) != 0 ||
        sodium_base642bin(raw, sizeof(raw), (const char *)text.ptr + prefix, text.len - prefix, " \r\n\t", &len, NULL,
            sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        len < CODE_FIXED_BYTES + CHECK_BYTES || len - CODE_FIXED_BYTES - CHECK_BYTES > APP_ADDRESS_MAX ||
        raw[0] != CODE_VERSION) {
        return why_set(why, ERR_FORMAT, zh, en);
    }
    code_check(bytes_of(raw, len - CHECK_BYTES), check);
    if (memcmp(check, raw + len - CHECK_BYTES, CHECK_BYTES) != 0) {
        return why_set(why, ERR_FORMAT, zh, en);
    }
    *out = (struct invite_code){ .address = { 0 } };
    memcpy(out->tls_key, raw + 1, 32);
    memcpy(out->genesis_hash, raw + 33, 32);
    memcpy(out->id, raw + 65, 8);
    memcpy(out->secret, raw + 73, 16);
    memcpy(out->address, raw + CODE_FIXED_BYTES, len - CODE_FIXED_BYTES - CHECK_BYTES);
    return ERR_OK;
}

void invite_proof(const struct invite_code *code, const uint8_t joiner_tls[32], const uint8_t sign_key[32],
    const uint8_t box_key[32], uint8_t out[32])
{
    uint8_t key[KEY_BYTES];
    const struct bytes secret = BYTES_OF(code->secret);
    const struct bytes pieces[5] = { BYTES_OF(code->genesis_hash), BYTES_OF(code->tls_key), bytes_of(joiner_tls, 32),
        bytes_of(sign_key, 32), bytes_of(box_key, 32) };
    seal_hash(key, sizeof(key), "jipan/invite-key/v1", NULL, &secret, 1);
    seal_hash(out, 32, "jipan/invite-proof/v1", key, pieces, 5);
    sodium_memzero(key, sizeof(key));
}

/* What the vault keeps about an open invite. */
struct open_invite {
    uint8_t secret[16];
    uint64_t expires_ms;
    uint8_t kind;
    uint8_t holds_group;
    uint32_t owner;
    uint32_t scope[16];
    uint32_t scope_count;
    struct bytes station_code;
};

static void invite_put(struct buf *b, const struct open_invite *in)
{
    buf_put(b, in->secret, sizeof(in->secret));
    buf_put_u64be(b, in->expires_ms);
    buf_put_u8(b, in->kind);
    buf_put_u8(b, in->holds_group);
    buf_put_u32be(b, in->owner);
    buf_put_u32be(b, in->scope_count);
    for (uint32_t i = 0; i < in->scope_count; i++) {
        buf_put_u32be(b, in->scope[i]);
    }
    buf_put_blob(b, in->station_code);
}

static enum err invite_take(struct bytes v, struct open_invite *out)
{
    struct reader r = reader_of(v);
    struct open_invite in = { .kind = 0 };
    if (reader_copy(&r, in.secret, sizeof(in.secret)) != ERR_OK || reader_u64be(&r, &in.expires_ms) != ERR_OK ||
        reader_u8(&r, &in.kind) != ERR_OK || reader_u8(&r, &in.holds_group) != ERR_OK ||
        reader_u32be(&r, &in.owner) != ERR_OK || reader_u32be(&r, &in.scope_count) != ERR_OK ||
        in.scope_count > ARRAY_LEN(in.scope)) {
        return ERR_DAMAGED;
    }
    for (uint32_t i = 0; i < in.scope_count; i++) {
        if (reader_u32be(&r, &in.scope[i]) != ERR_OK) {
            return ERR_DAMAGED;
        }
    }
    if (reader_blob(&r, MEMBER_CODE_MAX_BYTES, &in.station_code) != ERR_OK) {
        return ERR_DAMAGED;
    }
    *out = in;
    return ERR_OK;
}

static enum err check_invite(struct app *app, const struct app_invite *in, uint32_t *owner, struct why *why)
{
    *owner = 0;
    enum err e = app_need_authority(app, why);
    if (e != ERR_OK) {
        return e;
    }
    if (in->kind == 0) {
        return why_set(why, ERR_USAGE, "--kind 写 station、laptop、hub、relay 或 auditor",
            "--kind is station, laptop, hub, relay or auditor");
    }
    if (in->station_code.len == 0 || in->station_code.len > MEMBER_CODE_MAX_BYTES ||
        !member_text_is_plain(in->station_code)) {
        return why_set(why, ERR_USAGE, "请用 --station 写明网点代码", "give the station's code with --station");
    }
    if (in->kind == NODE_LAPTOP && in->holds_group) {
        return why_set(why, ERR_USAGE, "笔记本只存本人的客户，不能用 --scope group",
            "a laptop holds its owner's customers only; --scope group is not for it");
    }
    if (in->kind != NODE_LAPTOP) {
        return ERR_OK;
    }
    const struct member_user *user = members_user_by_login(app->members, in->owner_login);
    if (user == NULL || !user->is_active) {
        return why_set(why, ERR_NOT_FOUND, "笔记本要用 --owner 指明在岗员工的登录名",
            "a laptop needs --owner with the login of an active user");
    }
    if (members_station_by_code(app->members, in->station_code) == NULL) {
        return why_set(why, ERR_NOT_FOUND, "没有这个网点代码", "no station of that code");
    }
    *owner = user->number;
    return ERR_OK;
}

enum err app_invite(struct app *app, const struct app_invite *in, char code[INVITE_CODE_MAX],
    const struct audit_entry *note, struct why *why)
{
    struct invite_code ic;
    struct open_invite open = {
        .kind = (uint8_t)in->kind, .holds_group = in->holds_group ? 1 : 0, .station_code = in->station_code
    };
    struct buf value;
    uint8_t key[9];
    enum err e = check_invite(app, in, &open.owner, why);
    if (e == ERR_OK) {
        e = app_listen(app, ic.address);
    }
    if (e == ERR_OK && ic.address[0] == '\0') {
        e = why_set(why, ERR_USAGE, "先用 jipan run --listen 主机:端口 启动节点，邀请码里要写它的地址",
            "start the node first with jipan run --listen host:port; the code carries its address");
    }
    if (e != ERR_OK) {
        return e;
    }
    rng_fill(&app->rng, ic.id, sizeof(ic.id));
    rng_fill(&app->rng, ic.secret, sizeof(ic.secret));
    memcpy(ic.tls_key, app->core.self.tls_public, 32);
    memcpy(ic.genesis_hash, members_genesis_hash(app->members), 32);
    memcpy(open.secret, ic.secret, sizeof(open.secret));
    open.expires_ms = (uint64_t)app_now().wall_ms + (uint64_t)INVITE_HOURS * HOUR_MS;
    open.scope_count = (uint32_t)in->scope_count;
    memcpy(open.scope, in->scope, sizeof(open.scope));
    invite_key(ic.id, key);
    buf_init(&value, &app->mem, 512);
    invite_put(&value, &open);
    e = value.err == ERR_OK ? code_text(app, &ic, code) : value.err;
    if (e == ERR_OK) {
        e = app_begin(app);
    }
    if (e == ERR_OK) {
        e = app_end_noted(app, app->store->ops->put(app->store, SPACE_META, BYTES_OF(key), buf_view(&value)), note);
    }
    buf_release(&value);
    sodium_memzero(&ic, sizeof(ic));
    return e;
}

static enum err station_number(struct app *app, struct bytes code, uint32_t *number)
{
    const struct member_station *have = members_station_by_code(app->members, code);
    struct member_station s = { .number = members_next_station_number(app->members) };
    if (have != NULL) {
        *number = have->number;
        return ERR_OK;
    }
    memcpy(s.code, code.ptr, code.len);
    memcpy(s.name, code.ptr, code.len);
    enum err e = member_add_station(app, &s);
    if (e == ERR_OK) {
        *number = s.number;
    }
    return e;
}

/* Station if new, node, and the keys it is entitled to. */
static enum err add_enrolled(struct app *app, const struct open_invite *in, const uint8_t tls_key[32],
    const struct wire_message *rq, uint32_t *number)
{
    struct member_node n = { .number = members_next_node_number(app->members),
        .kind = (enum node_kind)in->kind,
        .owner = in->owner,
        .holds_group = in->holds_group != 0 };
    bool is_new_station = members_station_by_code(app->members, in->station_code) == NULL;
    enum err e = station_number(app, in->station_code, &n.station);
    memcpy(n.sign_key, rq->sign_key.ptr, 32);
    memcpy(n.box_key, rq->box_key.ptr, 32);
    memcpy(n.tls_key, tls_key, 32);
    memcpy(n.scope, in->scope, sizeof(n.scope));
    n.scope_count = in->scope_count;
    if (rq->address.len > 0 && rq->address.len <= MEMBER_NAME_MAX_BYTES && member_text_is_plain(rq->address)) {
        memcpy(n.address, rq->address.ptr, rq->address.len);
    }
    if (e == ERR_OK) {
        e = member_add_node(app, &n);
    }
    for (uint32_t s = 0; e == ERR_OK && s <= members_station_count(app->members); s++) {
        const struct member_node *added = members_node(app->members, n.number);
        if (is_new_station && s == n.station) {
            e = member_add_key_epoch(app, s);
        } else if (members_node_in_scope(added, s)) {
            e = member_add_key_grant(app, s, added);
        }
    }
    if (e == ERR_OK) {
        *number = n.number;
    }
    return e;
}

struct all_entries {
    struct app *app;
    struct bytes *at;
    size_t count;
    size_t max;
};

static enum err take_entry(void *ctx, struct bytes key, struct bytes value)
{
    struct all_entries *all = ctx;
    (void)key;
    if (all->count == all->max) {
        return ERR_LIMIT;
    }
    return arena_dup(&all->app->arena, value, &all->at[all->count++]);
}

static enum err find_invite(
    struct app *app, const uint8_t tls_key[32], const struct wire_message *rq, struct open_invite *out, uint8_t key[9])
{
    struct bytes stored = { 0 };
    struct invite_code code = { .address = { 0 } };
    uint8_t want[32];
    invite_key(rq->invite.ptr, key);
    enum err e = app->store->ops->get(app->store, SPACE_META, bytes_of(key, 9), &app->arena, &stored);
    if (e == ERR_NOT_FOUND) {
        return ERR_EXPIRED;
    }
    if (e == ERR_OK) {
        e = invite_take(stored, out);
    }
    if (e != ERR_OK) {
        return e;
    }
    memcpy(code.tls_key, app->core.self.tls_public, 32);
    memcpy(code.genesis_hash, members_genesis_hash(app->members), 32);
    memcpy(code.secret, out->secret, sizeof(code.secret));
    invite_proof(&code, tls_key, rq->sign_key.ptr, rq->box_key.ptr, want);
    if (sodium_memcmp(want, rq->proof.ptr, sizeof(want)) != 0) {
        return ERR_SECRET;
    }
    return out->expires_ms < (uint64_t)app_now().wall_ms ? ERR_EXPIRED : ERR_OK;
}

enum err app_enrol(struct app *app, const uint8_t peer_tls_key[32], const struct wire_message *request, uint32_t *node,
    const struct bytes **entries, size_t *count)
{
    struct open_invite open = { .kind = 0 };
    uint8_t key[9];
    uint8_t hash[32];
    const struct bytes all = { 0 };
    bool may = app->core.is_authority && !app->core.members_in_doubt;
    enum err e = may ? find_invite(app, peer_tls_key, request, &open, key) : ERR_DENIED;
    if (e == ERR_OK && members_node_by_tls(app->members, peer_tls_key) != NULL) {
        e = ERR_EXISTS;
    }
    if (e == ERR_OK) {
        e = app_begin(app);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = add_enrolled(app, &open, peer_tls_key, request, node);
    if (e == ERR_OK) {
        e = app->store->ops->del(app->store, SPACE_META, BYTES_OF(key));
    }
    /* What is answered is collected before the commit: an invite that is used up has been answered. */
    struct all_entries list = { .app = app, .max = (size_t)members_head(app->members, hash) };
    if (e == ERR_OK) {
        list.at = arena_array(&app->arena, list.max + 1, sizeof(*list.at));
        e = list.at == NULL ? ERR_NOMEM
                            : app->store->ops->scan(app->store, SPACE_MEMBER, all, all, false, take_entry, &list);
    }
    e = app_end(app, e);
    if (e == ERR_OK) {
        *entries = list.at;
        *count = list.count;
    }
    return e;
}
