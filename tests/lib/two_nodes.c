/* Owns: a small group in temporary directories, and asking its nodes as a person would. Used by one test at a time. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/lib/two_nodes.h"

#include "node/vault/slots.h"
#include "schema/wire.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct app *s1;
struct app *s2;
static char home[2][64];
static struct disk disks[2];

void need(enum err e, const struct why *why)
{
    if (e != ERR_OK) {
        print_error("%s: %s\n", err_name(e), why == NULL ? "" : why->en);
    }
    assert_int_equal(e, ERR_OK);
}

static void add_user(const char *login, uint32_t roles, const char *station)
{
    struct why why = { { 0 }, { 0 } };
    uint32_t number = 0;
    const struct app_user u = { .login = bytes_str(login),
        .name = bytes_str(login),
        .station_code = bytes_str(station),
        .roles = roles,
        .password = BYTES_LIT("a password 1") };
    need(app_user_add(s1, &u, &number, NULL, &why), &why);
}

void two_nodes_enrol(
    struct disk disk, const char *dir, enum node_kind kind, const char *station, bool group, const char *owner)
{
    struct why why = { { 0 }, { 0 } };
    char text[INVITE_CODE_MAX];
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct invite_code code;
    struct app_joined joined = { .entry_count = 0 };
    uint8_t proof[32];
    uint8_t secret[64];
    const struct app_invite in = {
        .kind = kind, .station_code = bytes_str(station), .holds_group = group, .owner_login = bytes_str(owner)
    };
    need(app_set_listen(s1, BYTES_LIT("127.0.0.1:1")), NULL);
    need(app_invite(s1, &in, text, NULL, &why), &why);
    need(invite_code_parse(bytes_str(text), &code, &why), &why);
    rng_fill(&s1->rng, joined.sign_seed, 32);
    rng_fill(&s1->rng, joined.box_seed, 32);
    rng_fill(&s1->rng, joined.self.tls_seed, 32);
    seal_sign_keypair(joined.sign_seed, joined.self.sign_public, joined.self.sign_secret);
    seal_box_keypair(joined.box_seed, joined.self.box_public, joined.self.box_secret);
    seal_sign_keypair(joined.self.tls_seed, joined.self.tls_public, secret);
    invite_proof(&code, joined.self.tls_public, joined.self.sign_public, joined.self.box_public, proof);
    const struct wire_message m = { .kind = WIRE_JOIN_REQUEST,
        .invite = BYTES_OF(code.id),
        .proof = BYTES_OF(proof),
        .sign_key = BYTES_OF(joined.self.sign_public),
        .box_key = BYTES_OF(joined.self.box_public) };
    need(app_enrol(s1, joined.self.tls_public, &m, &joined.self.number, &joined.entries, &joined.entry_count), NULL);
    memcpy(joined.genesis_hash, code.genesis_hash, 32);
    memcpy(joined.peer_tls_key, code.tls_key, 32);
    joined.peer_address = bytes_str(code.address);
    need(app_create_joined_on(disk, dir, BYTES_LIT("disk passphrase"), &joined, recovery, &why), &why);
    arena_reset(&s1->arena);
}

struct carrying {
    struct app *from, *to;
    struct bytes commits[512];
    size_t count;
};

static enum err take_commit(void *ctx, struct bytes key, struct bytes value)
{
    struct carrying *c = ctx;
    (void)key;
    assert_true(c->count < ARRAY_LEN(c->commits));
    return arena_dup(&c->from->arena, value, &c->commits[c->count++]);
}

/* Everything one node holds, given to another; what it knows already is refused as known. */
void carry(struct app *from, struct app *to)
{
    struct carrying c = { .from = from, .to = to };
    const struct bytes all = { 0 };
    need(from->store->ops->scan(from->store, SPACE_LOG, all, all, false, take_commit, &c), NULL);
    for (size_t i = 0; i < c.count; i++) {
        struct commit_view view;
        struct buf secrets;
        buf_init(&secrets, &from->mem, 4096);
        need(commit_parse(c.commits[i], &view), NULL);
        need(core_secrets_of(&from->core, &from->arena, &view, &secrets), NULL);
        need(app_begin(to), NULL);
        enum err e = core_ingest(&to->core, &to->arena, app_now(), c.commits[i], buf_view(&secrets));
        assert_true(e == ERR_OK || e == ERR_EXISTS);
        need(app_end(to, ERR_OK), NULL);
        buf_release(&secrets);
    }
    arena_reset(&from->arena);
    arena_reset(&to->arena);
}

static void carry_members(struct app *from, struct app *to)
{
    struct carrying c = { .from = from, .to = to };
    const struct bytes all = { 0 };
    need(from->store->ops->scan(from->store, SPACE_MEMBER, all, all, false, take_commit, &c), NULL);
    for (size_t i = 0; i < c.count; i++) {
        need(app_begin(to), NULL);
        enum err e = core_add_member_entry(&to->core, &to->arena, app_now(), c.commits[i]);
        assert_true(e == ERR_OK || e == ERR_EXISTS);
        need(app_end(to, e == ERR_EXISTS ? ERR_OK : e), NULL);
    }
    arena_reset(&from->arena);
    arena_reset(&to->arena);
}

static void found(void)
{
    struct why why = { { 0 }, { 0 } };
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    const struct app_init in = { .passphrase = BYTES_LIT("disk passphrase"),
        .group_name = BYTES_LIT("示例集团"),
        .station_code = BYTES_LIT("S1"),
        .admin_login = BYTES_LIT("boss"),
        .admin_password = BYTES_LIT("a password 1") };
    vault_test_set_kdf(1, 64 * 1024);
    need(app_create_on(disks[0], home[0], &in, recovery, &s1, &why), &why);
    add_user("wang", role_bit(ROLE_SC), "S1");
    add_user("chen", role_bit(ROLE_SC), "S1");
    add_user("zhao", role_bit(ROLE_SM), "S1");
    add_user("li", role_bit(ROLE_PA), "S1");
    add_user("hui", role_bit(ROLE_CS), "S1");
    add_user("mei", role_bit(ROLE_MK), "S1");
    two_nodes_enrol(disks[1], home[1], NODE_STATION, "S2", true, "");
    add_user("sun", role_bit(ROLE_SC), "S2");
    add_user("qian", role_bit(ROLE_SM), "S2");
    need(app_open_on(disks[1], home[1], BYTES_LIT("disk passphrase"), &s2, &why), &why);
    carry_members(s1, s2);
}

int two_nodes_found(void **state)
{
    (void)state;
    disks[0] = disks[1] = disk_posix();
    (void)snprintf(home[0], sizeof(home[0]), "/tmp/jipan-handlers-%d-a", (int)getpid());
    (void)snprintf(home[1], sizeof(home[1]), "/tmp/jipan-handlers-%d-b", (int)getpid());
    found();
    return 0;
}

void two_nodes_found_on(struct disk one, struct disk other)
{
    disks[0] = one;
    disks[1] = other;
    (void)snprintf(home[0], sizeof(home[0]), "/a");
    (void)snprintf(home[1], sizeof(home[1]), "/b");
    found();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int two_nodes_leave(void **state)
{
    (void)state;
    app_close(s1);
    app_close(s2);
    for (size_t i = 0; i < ARRAY_LEN(home); i++) {
        (void)nftw(home[i], remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    return 0;
}

/* Runs a verb; args is taken over. The reply belongs to the caller. */
json_t *ask(struct app *app, const char *user, const char *verb, json_t *args)
{
    assert_non_null(args);
    json_t *rq = json_pack("{sssssssO}", "verb", verb, "user", user, "password", "a password 1", "args", args);
    json_t *reply = request_run(app, rq, NULL, 0);
    json_decref(args);
    json_decref(rq);
    assert_non_null(reply);
    return reply;
}

int code_of(const json_t *reply)
{
    return (int)json_integer_value(json_object_get(reply, "code"));
}

void expect(int want, json_t *reply)
{
    if (code_of(reply) != want) {
        char *text = json_dumps(reply, 0);
        print_error("%s\n", text);
        free(text);
    }
    assert_int_equal(code_of(reply), want);
    json_decref(reply);
}

/* The result of a verb that must work. */
json_t *want(struct app *app, const char *user, const char *verb, json_t *args)
{
    json_t *reply = ask(app, user, verb, args);
    json_t *result = json_incref(json_object_get(reply, "result"));
    expect(0, reply);
    return result;
}

json_t *cell(const json_t *record, const char *field)
{
    return json_object_get(json_object_get(record, "fields"), field);
}

const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

void expect_cell(const json_t *record, const char *field, const char *value, const char *view)
{
    assert_string_equal(text_in(cell(record, field), "value"), value);
    assert_string_equal(text_in(cell(record, field), "view"), view);
}

/* The id of a new record; static buffers in turn. */
const char *make(struct app *app, const char *user, const char *entity, json_t *fields)
{
    static char ids[32][80];
    static size_t next;
    json_t *made = want(app, user, "new", json_pack("{ssso}", "entity", entity, "fields", fields));
    char *id = ids[next++ % ARRAY_LEN(ids)];
    (void)snprintf(id, sizeof(ids[0]), "%s", text_in(made, "id"));
    struct dot dot;
    assert_int_equal(dot_parse(bytes_str(text_in(made, "commit")), &dot), ERR_OK);
    json_decref(made);
    return id;
}

const char *new_customer(struct app *app, const char *user, const char *name)
{
    return make(app, user, "customer", json_pack("{ssss}", "full_name", name, "kind", "个人"));
}

json_t *get(struct app *app, const char *user, const char *id, const char *purpose)
{
    return ask(app, user, "get", json_pack("{ssss}", "id", id, "purpose", purpose));
}

json_t *find1(const char *entity, const char *field, const char *value, const char *purpose)
{
    return json_pack("{sss{ss}ss}", "entity", entity, "where", field, value, "purpose", purpose);
}

json_t *set1(const char *id, const char *field, const char *value)
{
    return json_pack("{sss{ss}}", "id", id, "fields", field, value);
}

json_t *audit_of(const char *subject)
{
    return want(s1, "li", "audit", json_pack("{sssi}", "subject", subject, "limit", 1000));
}

/* The last entry of that event in the log about a subject; borrowed. */
json_t *last_event(const json_t *log, const char *event)
{
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(log); i++) {
        if (strcmp(text_in(json_array_get(log, i), "event"), event) == 0) {
            found = json_array_get(log, i);
        }
    }
    return found;
}

bool says(const json_t *any, const char *needle)
{
    char *text = json_dumps(any, JSON_COMPACT);
    bool is_there = strstr(text, needle) != NULL;
    free(text);
    return is_there;
}
