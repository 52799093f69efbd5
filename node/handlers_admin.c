/*
 * Owns: verbs about the node itself and its members: status, users, nodes, invites, peers, policy, verify, state hash.
 * No customer data passes here: what is shown is counts, codes, keys and addresses.
 */
#include "node/daemon.h"
#include "node/handlers_fork.h"
#include "node/request.h"
#include "schema/date.h"
#include "sync/newer.h"
#include "sync/receipt.h"

#include <sodium.h>
#include <stdio.h>

enum { PEERS_SHOWN_MAX = 64 };

/* What goes into the audit log with a change of members. */
static struct audit_entry noted(const struct request *rq)
{
    return (struct audit_entry){ .event = AUDIT_MEMBER,
        .user = rq->user->number,
        .roles = rq->user->roles,
        .hlc = hlc_tick(rq->app->core.hlc, rq->now) };
}

/* The same for one that makes an entry of the membership log, or several: the first is named. */
static struct audit_entry noted_entry(const struct request *rq)
{
    uint8_t hash[32];
    struct audit_entry note = noted(rq);
    note.count = members_head(rq->app->members, hash) + 1;
    return note;
}

static void set_text(json_t *o, const char *key, const char *text)
{
    (void)json_object_set_new(o, key, json_string(text));
}

static void set_count(json_t *o, const char *key, uint64_t n)
{
    (void)json_object_set_new(o, key, json_integer((json_int_t)n));
}

/* --- status
 * ---------------------------------------------------------------------------------------------------------------- */

static enum err count_kv(void *ctx, struct bytes key, struct bytes value)
{
    uint64_t *n = ctx;
    (void)key;
    (void)value;
    (*n)++;
    return ERR_OK;
}

static enum err add_counts(struct request *rq, json_t *out)
{
    struct store *s = rq->app->store;
    const struct bytes all = { 0 };
    uint64_t commits = 0;
    uint64_t waiting = rq->app->core.pending;
    struct newer_count newer = { .parts = 0 };
    json_t *stopped = json_array();
    uint64_t conflicts = 0;
    uint64_t customers = 0;
    for (size_t i = 0; i < rq->app->core.heads.count; i++) {
        commits += rq->app->core.heads.at[i].upto;
    }
    enum err e = waiting > 0 ? newer_count(&rq->app->core, &newer) : ERR_OK;
    for (size_t i = 0; i < newer.stopped_count; i++) {
        char text[DOT_TEXT_BYTES];
        (void)dot_text(newer.stopped[i], text);
        (void)json_array_append_new(stopped, json_string(text));
    }
    if (e == ERR_OK) {
        e = s->ops->scan(s, SPACE_CONFLICT, all, all, false, count_kv, &conflicts);
    }
    if (e == ERR_OK) {
        e = s->ops->row_count(s, ENTITY_CUSTOMER, &customers);
    }
    set_count(out, "customers", customers);
    set_count(out, "commits", commits);
    set_count(out, "quarantined", waiting);
    json_t *full = json_array();
    for (size_t i = 0; i < rq->app->core.unread.count; i++) {
        const struct unread *u = &rq->app->core.unread.at[i];
        if (core_unread_is_full(&rq->app->core, u->node)) {
            (void)json_array_append_new(
                full, json_pack("{s:I, s:I}", "node", (json_int_t)u->node, "unread_bytes", (json_int_t)u->bytes));
        }
    }
    (void)json_object_set_new(out, "full", full);
    set_count(out, "newer", newer.parts);
    (void)json_object_set_new(out, "stopped", stopped);
    set_count(out, "conflict_entries", conflicts);
    set_count(out, "audit_entries", rq->app->core.audit.count);
    return e;
}

struct saying {
    const struct core *core;
    json_t *list;
};

static enum err add_receipt(void *ctx, const struct receipt *r)
{
    struct saying *s = ctx;
    char at[DATE_TEXT_BYTES];
    const struct receipt_gap gap = receipt_compare(s->core, r);
    if (r->node == s->core->self.number) {
        return ERR_OK;
    }
    json_t *o = json_object();
    set_count(o, "node", r->node);
    (void)json_object_set_new(o, "at", json_stringn(at, instant_text(hlc_wall_ms(r->hlc) / 1000 * 1000, at)));
    set_count(o, "missing", gap.missing);
    set_count(o, "unconfirmed", gap.unconfirmed);
    (void)json_array_append_new(s->list, o);
    return ERR_OK;
}

/* What other nodes said of themselves over relays: commits that exist and are not here, commits of ours that are not
 * there. */
static enum err add_receipts(struct request *rq, json_t *out)
{
    struct saying s = { .core = &rq->app->core, .list = json_array() };
    struct arena a;
    arena_init(&a, &rq->app->mem, RECEIPT_MAX_BYTES * 4);
    enum err e = receipt_each(&rq->app->core, &a, add_receipt, &s);
    arena_release(&a);
    if (json_array_size(s.list) > 0) {
        (void)json_object_set(out, "receipts", s.list);
    }
    json_decref(s.list);
    return e;
}

static enum err do_status(struct request *rq)
{
    const struct app *app = rq->app;
    const struct member_node *self = members_node(app->members, app->core.self.number);
    const struct member_station *station = self == NULL ? NULL : members_station(app->members, self->station);
    char listen[APP_ADDRESS_MAX + 1];
    uint8_t hash[32];
    json_t *out = json_object();
    enum err e = app_listen(rq->app, listen);
    set_text(out, "group", members_group_name(app->members));
    set_count(out, "node", app->core.self.number);
    set_text(out, "kind", self == NULL ? "?" : node_kind_name(self->kind));
    set_text(out, "station", station == NULL ? "?" : station->code);
    (void)json_object_set_new(out, "authority", json_boolean(app->core.is_authority));
    (void)json_object_set_new(out, "revoked", json_boolean(self != NULL && self->revoked_at != 0));
    (void)json_object_set_new(out, "running", json_boolean(rq->daemon != NULL));
    set_text(out, "listen", listen);
    set_count(out, "epoch", app->core.epoch);
    set_count(out, "members", members_head(app->members, hash));
    if (app->core.is_authority && app->core.members_in_doubt) {
        (void)json_object_set_new(out, "members_in_doubt", json_true());
    }
    (void)json_object_set_new(out, "forks", handlers_fork_list(app));
    if (e == ERR_OK) {
        e = add_counts(rq, out);
    }
    if (e == ERR_OK) {
        e = add_receipts(rq, out);
    }
    if (rq->daemon != NULL) {
        (void)json_object_set_new(out, "links", daemon_links(rq->daemon));
        daemon_limits(rq->daemon, out);
        daemon_copy(rq->daemon, out);
    }
    request_set(rq, out);
    return e;
}

static enum err do_whoami(struct request *rq)
{
    json_t *out = json_object();
    json_t *roles = json_array();
    const struct member_station *station = members_station(rq->app->members, rq->user->station);
    for (unsigned r = 1; r < ROLE_COUNT; r++) {
        if ((rq->user->roles & role_bit((enum role)r)) != 0) {
            (void)json_array_append_new(roles, json_string(role_name((enum role)r)));
        }
    }
    set_text(out, "login", rq->user->login);
    set_text(out, "name", rq->user->name);
    set_text(out, "station", station == NULL ? "?" : station->code);
    (void)json_object_set_new(out, "roles", roles);
    request_set(rq, out);
    return ERR_OK;
}

/* --- users
 * ----------------------------------------------------------------------------------------------------------------- */

static enum err parse_roles(struct request *rq, struct bytes text, uint32_t *out)
{
    uint32_t roles = 0;
    while (text.len > 0) {
        const uint8_t *comma = memchr(text.ptr, ',', text.len);
        size_t n = comma == NULL ? text.len : (size_t)(comma - text.ptr);
        enum role role = role_parse(bytes_of(text.ptr, n));
        if (role == ROLE_NONE) {
            return why_set(&rq->why, ERR_USAGE, "没有这个岗位代码；可用 RT SC SM SA WM TC QI PK CS MK FN GM GP PA AD",
                "no such role; use RT SC SM SA WM TC QI PK CS MK FN GM GP PA AD");
        }
        roles |= role_bit(role);
        text = comma == NULL ? (struct bytes){ 0 } : bytes_of(comma + 1, text.len - n - 1);
    }
    *out = roles;
    return ERR_OK;
}

static enum err do_user_add(struct request *rq)
{
    struct app_user in = { .login = request_text(rq, "login"),
        .name = request_text(rq, "name"),
        .station_code = request_text(rq, "station"),
        .password = request_text(rq, "password") };
    uint32_t number = 0;
    enum err e = request_need_right(rq, ADMIN_USERS);
    if (e == ERR_OK) {
        e = parse_roles(rq, request_text(rq, "roles"), &in.roles);
    }
    if (e == ERR_OK) {
        const struct audit_entry note = noted_entry(rq);
        e = app_user_add(rq->app, &in, &number, &note, &rq->why);
    }
    if (e == ERR_OK) {
        json_t *out = json_object();
        set_count(out, "user", number);
        request_set(rq, out);
    }
    return e;
}

static enum err find_user(struct request *rq, const struct member_user **out)
{
    struct bytes login = { 0 };
    enum err e = request_need(rq, "login", &login);
    if (e == ERR_OK) {
        *out = members_user_by_login(rq->app->members, login);
        e = *out == NULL ? why_set(&rq->why, ERR_NOT_FOUND, "没有这个登录名", "no such login") : ERR_OK;
    }
    return e;
}

static enum err do_user_role(struct request *rq)
{
    const struct member_user *user = NULL;
    uint32_t roles = 0;
    enum err e = request_need_right(rq, ADMIN_USERS);
    if (e == ERR_OK) {
        e = find_user(rq, &user);
    }
    if (e == ERR_OK) {
        e = parse_roles(rq, request_text(rq, "roles"), &roles);
    }
    if (e == ERR_OK) {
        const struct audit_entry note = noted_entry(rq);
        e = app_user_change(rq->app, user->number, &roles, NULL, NULL, &note, &rq->why);
    }
    return e;
}

static enum err do_user_disable(struct request *rq)
{
    const struct member_user *user = NULL;
    bool active = request_flag(rq, "enable");
    enum err e = request_need_right(rq, ADMIN_USERS);
    if (e == ERR_OK) {
        e = find_user(rq, &user);
    }
    if (e == ERR_OK) {
        const struct audit_entry note = noted_entry(rq);
        e = app_user_change(rq->app, user->number, NULL, &active, NULL, &note, &rq->why);
    }
    return e;
}

/* Everybody may change their own password; the administrator anybody's. */
static enum err do_user_passwd(struct request *rq)
{
    const struct member_user *user = NULL;
    struct bytes password = { 0 };
    enum err e = find_user(rq, &user);
    if (e == ERR_OK && user->number != rq->user->number) {
        e = request_need_right(rq, ADMIN_USERS);
    }
    if (e == ERR_OK) {
        e = request_need(rq, "password", &password);
    }
    if (e == ERR_OK) {
        const struct audit_entry note = noted_entry(rq);
        e = app_user_change(rq->app, user->number, NULL, NULL, &password, &note, &rq->why);
    }
    return e;
}

static enum err do_user_list(struct request *rq)
{
    json_t *list = json_array();
    for (size_t i = 0; i < members_user_count(rq->app->members); i++) {
        const struct member_user *u = members_user_at(rq->app->members, i);
        const struct member_station *station = members_station(rq->app->members, u->station);
        json_t *o = json_object();
        json_t *roles = json_array();
        for (unsigned r = 1; r < ROLE_COUNT; r++) {
            if ((u->roles & role_bit((enum role)r)) != 0) {
                (void)json_array_append_new(roles, json_string(role_name((enum role)r)));
            }
        }
        set_text(o, "login", u->login);
        set_text(o, "name", u->name);
        set_text(o, "station", station == NULL ? "?" : station->code);
        (void)json_object_set_new(o, "roles", roles);
        (void)json_object_set_new(o, "active", json_boolean(u->is_active));
        (void)json_array_append_new(list, o);
    }
    request_set(rq, list);
    return ERR_OK;
}

/* --- nodes
 * ----------------------------------------------------------------------------------------------------------------- */

static json_t *node_json(const struct app *app, const struct member_node *n)
{
    const struct member_station *station = members_station(app->members, n->station);
    const struct member_user *owner = n->owner == 0 ? NULL : members_user(app->members, n->owner);
    json_t *o = json_object();
    set_count(o, "id", n->number);
    set_text(o, "kind", node_kind_name(n->kind));
    set_text(o, "station", station == NULL ? "?" : station->code);
    set_text(o, "scope", n->holds_group ? "group" : "station");
    if (n->scope_count > 0) {
        json_t *codes = json_array();
        for (uint32_t i = 0; i < n->scope_count; i++) {
            const struct member_station *s = members_station(app->members, n->scope[i]);
            (void)json_array_append_new(codes, json_string(s == NULL ? "?" : s->code));
        }
        (void)json_object_set_new(o, "stations", codes);
    }
    if (owner != NULL) {
        set_text(o, "owner", owner->login);
    }
    if (n->address[0] != '\0') {
        set_text(o, "address", n->address);
    }
    (void)json_object_set_new(o, "revoked", json_boolean(n->revoked_at != 0));
    if (n->revoked_at != 0) {
        set_text(o, "reason", n->revoke_reason);
    }
    (void)json_object_set_new(o, "self", json_boolean(n->number == app->core.self.number));
    return o;
}

static enum err do_node_list(struct request *rq)
{
    json_t *list = json_array();
    for (size_t i = 0; i < members_node_count(rq->app->members); i++) {
        (void)json_array_append_new(list, node_json(rq->app, members_node_at(rq->app->members, i)));
    }
    request_set(rq, list);
    return ERR_OK;
}

static enum err do_node_revoke(struct request *rq)
{
    struct bytes reason = { 0 };
    int64_t id = request_int(rq, "id", 0);
    enum err e = request_need_right(rq, ADMIN_NODES);
    if (e == ERR_OK) {
        e = request_need(rq, "reason", &reason);
    }
    char *text = e == ERR_OK ? arena_cstr(&rq->app->arena, reason) : NULL;
    if (e == ERR_OK) {
        const struct audit_entry note = noted_entry(rq);
        e = text == NULL                 ? ERR_NOMEM
            : id <= 0 || id > UINT32_MAX ? ERR_NOT_FOUND
                                         : app_revoke(rq->app, (uint32_t)id, text, &note, &rq->why);
    }
    return e;
}

/* "group" or station codes with commas. */
static enum err parse_scope(struct request *rq, struct bytes text, struct app_scope *in)
{
    if (bytes_equal(text, BYTES_LIT("group"))) {
        in->holds_group = true;
        return ERR_OK;
    }
    while (text.len > 0) {
        const uint8_t *comma = memchr(text.ptr, ',', text.len);
        size_t n = comma == NULL ? text.len : (size_t)(comma - text.ptr);
        const struct member_station *s = members_station_by_code(rq->app->members, bytes_of(text.ptr, n));
        if (s == NULL || in->scope_count == ARRAY_LEN(in->scope)) {
            return why_set(&rq->why, ERR_NOT_FOUND, "--scope 写 group，或已有网点代码，用逗号分开",
                "--scope is group, or codes of existing stations with commas");
        }
        in->scope[in->scope_count++] = s->number;
        text = comma == NULL ? (struct bytes){ 0 } : bytes_of(comma + 1, text.len - n - 1);
    }
    return ERR_OK;
}

static enum err do_node_scope(struct request *rq)
{
    int64_t id = request_int(rq, "id", 0);
    struct app_scope in = { .node = id <= 0 || id > UINT32_MAX ? 0 : (uint32_t)id,
        .owner_login = request_text(rq, "owner") };
    enum err e = request_need_right(rq, ADMIN_NODES);
    if (e == ERR_OK) {
        e = parse_scope(rq, request_text(rq, "scope"), &in);
    }
    if (e == ERR_OK) {
        const struct audit_entry note = noted_entry(rq);
        e = app_set_scope(rq->app, &in, &note, &rq->why);
    }
    return e;
}

static enum err do_invite(struct request *rq)
{
    struct app_scope scope = { .node = 0 };
    struct app_invite in = { .kind = node_kind_parse(request_text(rq, "kind")),
        .station_code = request_text(rq, "station"),
        .owner_login = request_text(rq, "owner") };
    char code[INVITE_CODE_MAX];
    enum err e = request_need_right(rq, ADMIN_NODES);
    if (e == ERR_OK) {
        e = parse_scope(rq, request_text(rq, "scope"), &scope);
    }
    in.holds_group = scope.holds_group;
    in.scope_count = scope.scope_count;
    memcpy(in.scope, scope.scope, sizeof(in.scope));
    if (e == ERR_OK) {
        const struct audit_entry note = noted(rq);
        e = app_invite(rq->app, &in, code, &note, &rq->why);
    }
    if (e == ERR_OK) {
        json_t *out = json_object();
        set_text(out, "code", code);
        set_count(out, "hours", INVITE_HOURS);
        request_set(rq, out);
    }
    sodium_memzero(code, sizeof(code));
    return e;
}

/* --- peers
 * ----------------------------------------------------------------------------------------------------------------- */

static enum err do_peer_list(struct request *rq)
{
    struct app_peer peers[PEERS_SHOWN_MAX];
    size_t count = 0;
    json_t *list = json_array();
    enum err e = app_peers(rq->app, peers, ARRAY_LEN(peers), &count);
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        const struct member_node *n = members_node_by_tls(rq->app->members, peers[i].tls_key);
        json_t *o = json_object();
        set_text(o, "address", peers[i].address);
        if (n != NULL) {
            set_count(o, "node", n->number);
        }
        (void)json_array_append_new(list, o);
    }
    request_set(rq, list);
    return e;
}

/* The key to expect comes from the membership log, so a peer is added by its node number. */
static enum err do_peer_add(struct request *rq)
{
    struct bytes address = { 0 };
    int64_t id = request_int(rq, "node", 0);
    enum err e = request_need_right(rq, ADMIN_PEERS);
    if (e == ERR_OK) {
        e = request_need(rq, "address", &address);
    }
    const struct member_node *n = id > 0 && id <= UINT32_MAX ? members_node(rq->app->members, (uint32_t)id) : NULL;
    if (e == ERR_OK && n == NULL) {
        e = why_set(
            &rq->why, ERR_NOT_FOUND, "没有这个节点编号；用 jipan node list 查看", "no such node; see jipan node list");
    }
    if (e == ERR_OK) {
        const struct audit_entry note = noted(rq);
        e = app_peer_add(rq->app, address, n->tls_key, &note, &rq->why);
    }
    return e;
}

static enum err do_peer_remove(struct request *rq)
{
    struct bytes address = { 0 };
    enum err e = request_need_right(rq, ADMIN_PEERS);
    if (e == ERR_OK) {
        e = request_need(rq, "address", &address);
    }
    if (e == ERR_OK) {
        const struct audit_entry note = noted(rq);
        e = app_peer_remove(rq->app, address, &note);
    }
    return e;
}

/* The person answers for it that no node of the group is left that could know more members than the backup. */
static enum err do_members_trust(struct request *rq)
{
    enum err e = request_need_right(rq, ADMIN_NODES);
    if (e == ERR_OK && !request_flag(rq, "peers_are_gone")) {
        return why_set(&rq->why, ERR_USAGE,
            "只有其他节点都已不在时才可这样做，否则集团会分成两份名册；确认请加 --peers-are-gone",
            "only when all other nodes are gone for good, or the group falls apart into two memberships; confirm with "
            "--peers-are-gone");
    }
    if (e == ERR_OK && !rq->app->core.members_in_doubt) {
        return why_set(&rq->why, ERR_CONFLICT, "本节点的名册没有疑问", "the members of this node are not in doubt");
    }
    if (e == ERR_OK) {
        e = app_begin(rq->app);
    }
    if (e == ERR_OK) {
        const struct audit_entry note = noted(rq);
        e = app_end_noted(rq->app, core_members_trusted(&rq->app->core), &note);
    }
    return e;
}

/* --- policy, checks
 * ----------------------------------------------------------------------------------------------------------- */

static const char *view_name(enum view v)
{
    static const char *const names[] = { "deny", "match", "aggregate", "masked", "clear" };
    return names[v];
}

static enum err do_policy_show(struct request *rq)
{
    struct bytes role_text = { 0 };
    size_t entities = 0;
    enum err e = request_need_right(rq, ADMIN_POLICY_READ);
    if (e == ERR_OK) {
        e = request_need(rq, "role", &role_text);
    }
    enum role role = e == ERR_OK ? role_parse(role_text) : ROLE_NONE;
    enum purpose purpose = purpose_parse(request_text(rq, "purpose"));
    if (e == ERR_OK && role == ROLE_NONE) {
        return why_set(&rq->why, ERR_USAGE, "没有这个岗位代码", "no such role");
    }
    json_t *list = json_array();
    const struct entity_desc *descs = catalogue_entities(&entities);
    for (size_t i = 0; e == ERR_OK && i < entities; i++) {
        for (size_t k = 0; k < descs[i].field_count; k++) {
            struct access_query q = { .roles = role_bit(role),
                .purpose = purpose,
                .entity = &descs[i],
                .field = &descs[i].fields[k],
                .action = ACTION_READ };
            json_t *o = json_object();
            set_text(o, "entity", descs[i].name);
            set_text(o, "field", descs[i].fields[k].name);
            q.scope = SCOPE_OWN | SCOPE_STATION | SCOPE_GROUP;
            set_text(o, "own", view_name(access_decide(&q).view));
            q.scope = SCOPE_STATION | SCOPE_GROUP;
            set_text(o, "station", view_name(access_decide(&q).view));
            q.scope = SCOPE_GROUP;
            set_text(o, "group", view_name(access_decide(&q).view));
            (void)json_array_append_new(list, o);
        }
    }
    request_set(rq, list);
    return e;
}

static enum err do_verify(struct request *rq)
{
    struct core_mended mended = { 0 };
    bool rebuilds = request_flag(rq, "rebuild");
    enum err e = request_need_right(rq, ADMIN_VERIFY_STORE);
    if (e == ERR_OK) {
        e = app_verify(rq->app, request_flag(rq, "deep"), rebuilds ? &mended : NULL, &rq->why);
    }
    if (e == ERR_OK && vault_take_mended(rq->app->vault)) {
        e = why_set(&rq->why, ERR_DAMAGED,
            "其余都完好；库头的两份副本之一曾损坏，或改口令时中断，打开时已修好。再运行一次 verify 确认；若再次出现，检查磁盘",
            "all else is whole; one of the two header copies was damaged, or left by a change of passphrase that was broken "
            "off, and opening mended it. Run verify again; if it comes back, check the disk");
    }
    if (e == ERR_OK) {
        json_t *out = json_object();
        (void)json_object_set_new(out, "ok", json_true());
        (void)json_object_set_new(out, "deep", json_boolean(request_flag(rq, "deep")));
        if (rebuilds) {
            set_count(out, "rebuilt_commits", mended.commits);
            set_count(out, "corrected_dossiers", mended.corrected);
            set_count(out, "lost_secrets", mended.without_secret);
        }
        (void)json_object_set_new(out, "forks", handlers_fork_list(rq->app));
        request_set(rq, out);
    }
    return e;
}

static enum err do_statehash(struct request *rq)
{
    uint8_t hash[32];
    char text[65];
    enum err e = request_need_right(rq, ADMIN_STATEHASH);
    if (e == ERR_OK) {
        e = core_statehash(&rq->app->core, &rq->app->arena, hash);
    }
    if (e == ERR_OK) {
        hex_text(BYTES_OF(hash), text);
        json_t *out = json_object();
        set_text(out, "statehash", text);
        request_set(rq, out);
    }
    return e;
}

const struct request_verb handlers_admin[] = {
    { "status", do_status, REQUEST_NO_LOGIN },
    { "whoami", do_whoami, 0 },
    { "user-add", do_user_add, 0 },
    { "user-role", do_user_role, 0 },
    { "user-disable", do_user_disable, 0 },
    { "user-passwd", do_user_passwd, 0 },
    { "user-list", do_user_list, 0 },
    { "node-list", do_node_list, 0 },
    { "node-revoke", do_node_revoke, 0 },
    { "node-scope", do_node_scope, 0 },
    { "invite", do_invite, 0 },
    { "members-trust", do_members_trust, 0 },
    { "peer-list", do_peer_list, 0 },
    { "peer-add", do_peer_add, 0 },
    { "peer-remove", do_peer_remove, 0 },
    { "policy-show", do_policy_show, 0 },
    { "verify", do_verify, 0 },
    { "statehash", do_statehash, 0 },
    { NULL, NULL, 0 },
};
