/*
 * Owns: the words for one change of members. Whoever creates a user and sets its password can act as that person: that
 * cannot be prevented where one administrator makes all accounts, so it is to be seen. Holds no verifier and no key in
 * what it gives.
 */
#include "node/member_change.h"

#include "sync/access.h"
#include "sync/member_entry.h"

#include <stdio.h>

enum { WORDS_BYTES = 320, ROLES_BYTES = 96 };

struct change {
    struct app *app;
    const struct member_entry *entry;
    uint32_t actor;
    json_t *out;
    char zh[WORDS_BYTES];
    char en[WORDS_BYTES];
};

static void roles_text(uint32_t roles, char out[ROLES_BYTES])
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = ROLE_NONE + 1; i < ROLE_COUNT && n < ROLES_BYTES; i++) {
        if ((roles & role_bit((enum role)i)) != 0) {
            int put = snprintf(out + n, ROLES_BYTES - n, "%s%s", n == 0 ? "" : ",", role_name((enum role)i));
            n += put < 0 ? 0 : (size_t)put;
        }
    }
}

static enum err user_words(struct change *c)
{
    struct member_user u;
    char roles[ROLES_BYTES];
    enum err e = member_user_take(c->entry->body, &u);
    if (e != ERR_OK) {
        return e;
    }
    const struct member_user *was = members_user_as_of(c->app->members, u.number, c->entry->number - 1);
    bool is_set = was == NULL || strcmp(was->verifier, u.verifier) != 0;
    bool by_other = is_set && c->actor != u.number;
    roles_text(u.roles, roles);
    (void)json_object_set_new(c->out, "login", json_string(u.login));
    (void)json_object_set_new(c->out, "roles", json_string(roles));
    (void)json_object_set_new(c->out, "active", json_boolean(u.is_active));
    (void)json_object_set_new(c->out, "is_new", json_boolean(was == NULL));
    (void)json_object_set_new(c->out, "password_set", json_boolean(is_set));
    (void)json_object_set_new(c->out, "password_set_by_other", json_boolean(by_other));
    (void)snprintf(c->zh, sizeof(c->zh), "%s员工 %s：岗位 %s%s%s", was == NULL ? "新" : "", u.login, roles,
        u.is_active ? "" : "，停用",
        by_other ? "，密码由他人设定"
        : is_set ? "，改了密码"
                 : "");
    (void)snprintf(c->en, sizeof(c->en), "%suser %s: roles %s%s%s", was == NULL ? "new " : "", u.login, roles,
        u.is_active ? "" : ", disabled",
        by_other ? ", password set by somebody else"
        : is_set ? ", new password"
                 : "");
    return ERR_OK;
}

static void node_words(struct change *c, uint32_t node, const char *zh, const char *en)
{
    (void)json_object_set_new(c->out, "node", json_integer(node));
    (void)snprintf(c->zh, sizeof(c->zh), "%s %u", zh, (unsigned)node);
    (void)snprintf(c->en, sizeof(c->en), "%s %u", en, (unsigned)node);
}

static enum err revocation_words(struct change *c)
{
    struct member_revocation gone;
    enum err e = member_revocation_take(c->entry->body, &c->app->arena, &gone);
    if (e == ERR_OK) {
        node_words(c, gone.node, "吊销节点", "revoked node");
    }
    return e;
}

static enum err scope_words(struct change *c)
{
    struct member_node n;
    enum err e = member_scope_take(c->entry->body, &n);
    if (e == ERR_OK) {
        node_words(c, n.number, "改了范围的节点", "changed scope of node");
    }
    return e;
}

/* Kinds that a person asks for; the others follow from an enrolment or from one of these. */
static const struct {
    enum member_kind kind;
    const char *name;
    enum err (*words)(struct change *c);
} kinds[] = {
    { MEMBER_USER, "user", user_words },
    { MEMBER_REVOKE, "revocation", revocation_words },
    { MEMBER_SCOPE, "scope", scope_words },
};

static enum err read_entry(struct app *app, uint64_t number, struct member_entry *out)
{
    uint8_t key[8];
    struct bytes bytes = { 0 };
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)(number >> (8 * (7 - i)));
    }
    enum err e = app->store->ops->get(app->store, SPACE_MEMBER, BYTES_OF(key), &app->arena, &bytes);
    return e == ERR_OK ? member_entry_parse(bytes, out) : e;
}

json_t *member_change_json(struct app *app, uint64_t number, uint32_t actor)
{
    struct member_entry entry;
    struct change c = { .app = app, .entry = &entry, .actor = actor };
    if (number == 0 || read_entry(app, number, &entry) != ERR_OK) {
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i].kind != (enum member_kind)entry.kind) {
            continue;
        }
        c.out = json_pack("{ss}", "kind", kinds[i].name);
        if (kinds[i].words(&c) != ERR_OK) {
            json_decref(c.out);
            return NULL;
        }
        (void)json_object_set_new(c.out, "zh", json_string(c.zh));
        (void)json_object_set_new(c.out, "en", json_string(c.en));
        return c.out;
    }
    return NULL;
}
