/* The verbs on a real node with its vault: what each role reads, writes, settles, and what the audit log says. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "node/derive.h"
#include "node/request.h"
#include "node/vault/slots.h"
#include "node/view.h"
#include "schema/catalogue/fields.h"
#include "schema/date.h"
#include "schema/wire.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct app *s1; /* the founder, station S1 */
static struct app *s2; /* a second node, station S2, holding the group */
static char home[2][64];

static void need(enum err e, const struct why *why)
{
    if (e != ERR_OK) {
        print_error("%s: %s\n", err_name(e), why == NULL ? "" : why->en);
    }
    assert_int_equal(e, ERR_OK);
}

/* --- two nodes */

static void add_user(const char *login, uint32_t roles, const char *station)
{
    struct why why = { { 0 }, { 0 } };
    uint32_t number = 0;
    const struct app_user u = { .login = bytes_str(login),
        .name = bytes_str(login),
        .station_code = bytes_str(station),
        .roles = roles,
        .password = BYTES_LIT("a password 1") };
    need(app_user_add(s1, &u, &number, &why), &why);
}

/* Enrols a node without a network: both halves of the exchange in one process. */
static void enrol(const char *dir, enum node_kind kind, const char *station, bool group, const char *owner)
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
    need(app_invite(s1, &in, text, &why), &why);
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
    need(app_create_joined(dir, BYTES_LIT("disk passphrase"), &joined, recovery, &why), &why);
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
static void carry(struct app *from, struct app *to)
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

static int found_group(void **state)
{
    struct why why = { { 0 }, { 0 } };
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    const struct app_init in = { .passphrase = BYTES_LIT("disk passphrase"),
        .group_name = BYTES_LIT("示例集团"),
        .station_code = BYTES_LIT("S1"),
        .admin_login = BYTES_LIT("boss"),
        .admin_password = BYTES_LIT("a password 1") };
    (void)state;
    vault_test_set_kdf(1, 64 * 1024);
    (void)snprintf(home[0], sizeof(home[0]), "/tmp/jipan-handlers-%d-a", (int)getpid());
    (void)snprintf(home[1], sizeof(home[1]), "/tmp/jipan-handlers-%d-b", (int)getpid());
    need(app_create(home[0], &in, recovery, &s1, &why), &why);
    add_user("wang", role_bit(ROLE_SC), "S1");
    add_user("chen", role_bit(ROLE_SC), "S1");
    add_user("zhao", role_bit(ROLE_SM), "S1");
    add_user("li", role_bit(ROLE_PA), "S1");
    add_user("hui", role_bit(ROLE_CS), "S1");
    add_user("mei", role_bit(ROLE_MK), "S1");
    enrol(home[1], NODE_STATION, "S2", true, "");
    add_user("sun", role_bit(ROLE_SC), "S2");
    add_user("qian", role_bit(ROLE_SM), "S2");
    need(app_open(home[1], BYTES_LIT("disk passphrase"), &s2, &why), &why);
    carry_members(s1, s2);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int leave_group(void **state)
{
    (void)state;
    app_close(s1);
    app_close(s2);
    for (size_t i = 0; i < ARRAY_LEN(home); i++) {
        (void)nftw(home[i], remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    return 0;
}

/* --- asking */

/* Runs a verb; args is taken over. The reply belongs to the caller. */
static json_t *ask(struct app *app, const char *user, const char *verb, json_t *args)
{
    assert_non_null(args);
    json_t *rq = json_pack("{sssssssO}", "verb", verb, "user", user, "password", "a password 1", "args", args);
    json_t *reply = request_run(app, rq, NULL, 0);
    json_decref(args);
    json_decref(rq);
    assert_non_null(reply);
    return reply;
}

static int code_of(const json_t *reply)
{
    return (int)json_integer_value(json_object_get(reply, "code"));
}

static void expect(int want, json_t *reply)
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
static json_t *want(struct app *app, const char *user, const char *verb, json_t *args)
{
    json_t *reply = ask(app, user, verb, args);
    json_t *result = json_incref(json_object_get(reply, "result"));
    expect(0, reply);
    return result;
}

static json_t *cell(const json_t *record, const char *field)
{
    return json_object_get(json_object_get(record, "fields"), field);
}

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static void expect_cell(const json_t *record, const char *field, const char *value, const char *view)
{
    assert_string_equal(text_in(cell(record, field), "value"), value);
    assert_string_equal(text_in(cell(record, field), "view"), view);
}

/* The id of a new record; static buffers in turn. */
static const char *make(struct app *app, const char *user, const char *entity, json_t *fields)
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

static const char *new_customer(struct app *app, const char *user, const char *name)
{
    return make(app, user, "customer", json_pack("{ssss}", "full_name", name, "kind", "个人"));
}

static json_t *get(struct app *app, const char *user, const char *id, const char *purpose)
{
    return ask(app, user, "get", json_pack("{ssss}", "id", id, "purpose", purpose));
}

static json_t *find1(const char *entity, const char *field, const char *value, const char *purpose)
{
    return json_pack("{sss{ss}ss}", "entity", entity, "where", field, value, "purpose", purpose);
}

static json_t *set1(const char *id, const char *field, const char *value)
{
    return json_pack("{sss{ss}}", "id", id, "fields", field, value);
}

static json_t *audit_of(const char *subject)
{
    return want(s1, "li", "audit", json_pack("{sssi}", "subject", subject, "limit", 1000));
}

/* The last entry of that event in the log about a subject; borrowed. */
static json_t *last_event(const json_t *log, const char *event)
{
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(log); i++) {
        if (strcmp(text_in(json_array_get(log, i), "event"), event) == 0) {
            found = json_array_get(log, i);
        }
    }
    return found;
}

static bool says(const json_t *any, const char *needle)
{
    char *text = json_dumps(any, JSON_COMPACT);
    bool is_there = strstr(text, needle) != NULL;
    free(text);
    return is_there;
}

/* --- writing and reading */

static void a_customer_is_written_and_read(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    json_t *record = want(s1, "wang", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    expect_cell(record, "full_name", "王小明", "clear");
    expect_cell(record, "created_by", "wang", "clear");
    expect_cell(record, "created_station", "S1", "clear");
    assert_string_equal(text_in(record, "id"), id);
    assert_string_equal(text_in(json_object_get(cell(record, "kind"), "meaning"), "en"), "person");
    assert_non_null(cell(record, "first_contact_at"));
    json_decref(record);
}

static void personal_data_needs_a_purpose(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    json_t *reply = ask(s1, "wang", "get", json_pack("{ss}", "id", id));
    assert_true(says(reply, "--purpose"));
    expect(1, reply);
    expect(1, ask(s1, "wang", "find", json_pack("{ss}", "entity", "customer")));
    expect(1, ask(s1, "wang", "history", json_pack("{ss}", "id", id)));
    expect(1, get(s1, "wang", id, "P9")); /* not a purpose of consultants */
    expect(2, get(s1, "wang", id, "P77"));
    expect(0, get(s1, "wang", id, "P1"));
}

static void unknown_and_hidden_give_one_answer(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    json_t *missing = get(s1, "sun", "customer/00000000000000000000000000000000", "P1");
    json_t *hidden = get(s1, "sun", id, "P1"); /* a consultant of another station may only match */
    assert_true(json_equal(missing, hidden));
    assert_int_equal(code_of(hidden), 3);
    json_decref(missing);
    json_decref(hidden);
    missing = ask(s1, "sun", "set", set1("customer/00000000000000000000000000000000", "industry", "医疗"));
    hidden = ask(s1, "sun", "set", set1(id, "industry", "医疗"));
    assert_true(json_equal(missing, hidden));
    assert_int_equal(code_of(hidden), 3);
    json_decref(missing);
    json_decref(hidden);
    expect(
        3, ask(s1, "sun", "new",
               json_pack("{sss{ssss}}", "entity", "contact_point", "fields", "customer", id, "value", "13900001234")));
    expect(3, ask(s1, "sun", "history", json_pack("{ssss}", "id", id, "purpose", "P1")));
}

static void roles_without_rows_are_refused(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    expect(1, get(s1, "boss", id, "P11"));
    expect(1, get(s1, "mei", id, "P8"));
    expect(1, get(s1, "boss", "customer/00000000000000000000000000000000", "P11"));
    expect(1, ask(s1, "boss", "new", json_pack("{sss{ss}}", "entity", "customer", "fields", "full_name", "赵六")));
    expect(1, ask(s1, "li", "set", set1(id, "industry", "医疗")));
}

static void a_colleague_sees_masks(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    expect(0, ask(s1, "wang", "set", set1(id, "occupation", "教师")));
    json_t *record = want(s1, "chen", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    expect_cell(record, "full_name", "王**", "masked");
    assert_null(cell(record, "occupation")); /* behavioural: own customers only */
    assert_false(says(record, "王小明"));
    json_decref(record);
    expect(1, ask(s1, "chen", "get", json_pack("{sssss[s]}", "id", id, "purpose", "P1", "clear", "full_name")));
    expect(0, ask(s1, "wang", "get", json_pack("{sssss[s]}", "id", id, "purpose", "P1", "clear", "full_name")));
}

static void words_of_the_caller_are_checked(void **state)
{
    (void)state;
    json_t *reply = ask(s1, "wang", "new", json_pack("{sss{ss}}", "entity", "custmer", "fields", "full_name", "x"));
    assert_true(says(reply, "customer"));
    expect(2, reply);
    reply = ask(s1, "wang", "new", json_pack("{sss{ss}}", "entity", "customer", "fields", "full_nme", "x"));
    assert_true(says(reply, "full_name"));
    expect(2, reply);
    expect(2, ask(s1, "wang", "get", json_pack("{ssss}", "id", "customer", "purpose", "P1")));
    expect(2, ask(s1, "wang", "get", json_pack("{ssss}", "id", "customer/12", "purpose", "P1")));
    /* what the system fills in, what is missing, what breaks a rule */
    expect(
        1, ask(s1, "wang", "new",
               json_pack("{sss{ssss}}", "entity", "customer", "fields", "full_name", "王小明", "created_by", "chen")));
    expect(
        1, ask(s1, "wang", "new",
               json_pack("{sss{ssss}}", "entity", "customer", "fields", "full_name", "王小明", "completeness", "100")));
    reply = ask(s1, "wang", "new",
        json_pack("{sss{ssss}}", "entity", "customer", "fields", "full_name", "王小明", "created_by", "chen"));
    assert_string_equal(text_in(reply, "error"), "INVALID");
    expect(1, reply);
    expect(
        1, ask(s1, "wang", "new", json_pack("{sss{ss}}", "entity", "contact_point", "fields", "value", "13900001234")));
    const char *id = new_customer(s1, "wang", "王小明");
    reply = ask(s1, "wang", "new",
        json_pack("{sss{ssss}}", "entity", "contact_point", "fields", "customer", id, "value", "12345"));
    assert_false(says(reply, "12345"));
    expect(1, reply);
}

static void setting_says_when_nothing_changes(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    json_t *done = want(s1, "wang", "set", set1(id, "industry", "医疗"));
    assert_string_equal(text_in(done, "id"), id);
    assert_true(json_is_string(json_object_get(done, "commit")));
    json_decref(done);
    done = want(s1, "wang", "set", set1(id, "industry", "医疗"));
    assert_true(json_is_null(json_object_get(done, "commit")));
    assert_true(json_is_true(json_object_get(done, "unchanged")));
    json_decref(done);
    expect(1, ask(s1, "chen", "set", set1(id, "industry", "教育"))); /* a colleague's customer */
    expect(1, ask(s1, "wang", "set", set1(id, "full_name", ""))); /* required */
    expect(0, ask(s1, "wang", "set", set1(id, "industry", "")));
    json_t *record = want(s1, "wang", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    assert_null(cell(record, "industry"));
    json_decref(record);
}

static void deleting_is_for_the_manager(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    expect(1, ask(s1, "wang", "delete", json_pack("{ss}", "id", id)));
    expect(0, ask(s1, "zhao", "delete", json_pack("{ss}", "id", id)));
    json_t *record = want(s1, "zhao", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    assert_true(json_is_true(json_object_get(record, "deleted")));
    json_decref(record);
    expect(3, ask(s1, "wang", "set", set1(id, "industry", "医疗")));
    json_t *found = want(s1, "zhao", "find", find1("customer", "full_name", "王小明", "P1"));
    assert_false(says(found, id));
    json_decref(found);
}

/* --- finding */

static void numbers_are_found_by_those_who_may_read_them(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    (void)make(s1, "wang", "contact_point",
        json_pack("{ssssss}", "customer", id, "type", "mobile", "value", "+86-139-0000-1234"));
    json_t *found = want(s1, "wang", "find", find1("contact_point", "customer", id, "P1"));
    assert_int_equal(json_array_size(found), 1);
    expect_cell(json_array_get(found, 0), "value_norm", "13900001234", "clear");
    expect_cell(json_array_get(found, 0), "customer", id, "clear");
    json_decref(found);
    found = want(s1, "li", "find", find1("contact_point", "customer", id, "P9"));
    expect_cell(json_array_get(found, 0), "value_norm", "139****1234", "masked");
    assert_false(says(found, "13900001234"));
    json_decref(found);
    expect(1, ask(s1, "li", "find", find1("contact_point", "value_norm", "13900001234", "P9")));
}

/* Lessons 15 to 17: a filter on what one may not read in clear answers nothing, hit or miss. */
static void a_filter_is_no_oracle(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "欧阳锋");
    const char *other = new_customer(s1, "chen", "欧阳锋");
    (void)make(s1, "wang", "contact_point", json_pack("{ssss}", "customer", id, "value", "13911112222"));
    json_t *hit = want(s1, "chen", "find", find1("contact_point", "value_norm", "13911112222", "P1"));
    json_t *miss = want(s1, "chen", "find", find1("contact_point", "value_norm", "13911112223", "P1"));
    assert_int_equal(json_array_size(hit), 0);
    assert_true(json_equal(hit, miss));
    json_decref(hit);
    json_decref(miss);
    /* the same name: only the own customer answers, though the other row is visible masked */
    json_t *found = want(s1, "chen", "find", find1("customer", "full_name", "欧阳锋", "P1"));
    assert_true(says(found, other));
    assert_false(says(found, id));
    json_decref(found);
    hit = ask(s1, "li", "find", find1("contact_point", "value_norm", "13911112222", "P9"));
    miss = ask(s1, "li", "find", find1("contact_point", "value_norm", "13911112223", "P9"));
    assert_true(json_equal(hit, miss));
    expect(1, hit);
    expect(1, miss);
}

static void a_limit_limits_what_is_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        (void)new_customer(s1, i % 2 == 0 ? "wang" : "chen", "限量");
    }
    json_t *found = want(s1, "zhao", "find",
        json_pack("{sss{ss}sssi}", "entity", "customer", "where", "full_name", "限量", "purpose", "P1", "limit", 3));
    assert_int_equal(json_array_size(found), 3);
    json_decref(found);
    found = want(s1, "wang", "find",
        json_pack("{sss{ss}sssi}", "entity", "customer", "where", "full_name", "限量", "purpose", "P1", "limit", 3));
    assert_int_equal(json_array_size(found), 2); /* rows of others do not use up the limit */
    json_decref(found);
    expect(2, ask(s1, "wang", "find", json_pack("{sssssi}", "entity", "customer", "purpose", "P1", "limit", 0)));
}

static void books_hold_what_has_no_customer(void **state)
{
    (void)state;
    const char *id = make(s1, "wang", "lead_intake", json_pack("{ssss}", "channel", "来店", "note", "看车"));
    json_t *record = want(s1, "zhao", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    expect_cell(record, "receptionist", "wang", "clear");
    expect_cell(record, "filed", "0", "clear");
    assert_non_null(cell(record, "intake_no"));
    assert_null(cell(record, "customer"));
    json_decref(record);
    expect(0, get(s1, "wang", id, "P1")); /* his own line in the book */
    expect(3, get(s1, "sun", id, "P1"));
    const char *staff = make(s1, "boss", "staff", json_pack("{ssss}", "user", "wang", "name", "王伟"));
    json_t *found = want(s1, "sun", "find", json_pack("{sss{ss}}", "entity", "staff", "where", "user", "wang"));
    assert_true(says(found, staff));
    json_decref(found);
}

/* --- audit */

static void reads_are_in_the_log_without_values(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "诸葛亮");
    (void)make(s1, "wang", "contact_point", json_pack("{ssss}", "customer", id, "value", "13922223333"));
    expect(0, get(s1, "wang", id, "P1"));
    expect(0, ask(s1, "li", "find", find1("contact_point", "customer", id, "P9")));
    expect(0, ask(s1, "zhao", "find", find1("customer", "full_name", "诸葛亮", "P1")));
    expect(1, ask(s1, "wang", "delete", json_pack("{ss}", "id", id)));
    expect(3, get(s1, "sun", id, "P1"));
    json_t *log = audit_of(id);
    json_t *entry = last_event(log, "read");
    assert_string_equal(text_in(entry, "user"), "sun");
    assert_string_equal(text_in(entry, "result"), "NOT_FOUND");
    assert_int_equal(json_integer_value(json_object_get(entry, "count")), 0);
    assert_string_equal(text_in(last_event(log, "denied"), "user"), "wang");
    assert_string_equal(text_in(last_event(log, "search"), "user"), "zhao");
    assert_string_equal(text_in(last_event(log, "search"), "view"), "clear");
    assert_string_equal(text_in(last_event(log, "search"), "role"), "SM");
    assert_true(says(json_object_get(last_event(log, "search"), "fields"), "full_name"));
    assert_string_equal(text_in(last_event(log, "create"), "entity"), "contact_point");
    assert_true(says(log, "\"view\":\"masked\"")); /* what the auditor saw himself */
    assert_false(says(log, "诸葛亮"));
    assert_false(says(log, "13922223333"));
    json_decref(log);
    expect(1, ask(s1, "wang", "audit", json_object()));
    expect(1, ask(s1, "boss", "audit", json_object()));
}

static enum err refuse_commit(struct store *s, bool durable)
{
    (void)durable;
    s->ops->rollback(s);
    return ERR_FULL;
}

static void a_read_that_cannot_be_audited_is_refused(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    const struct store_ops *real = s1->store->ops;
    struct store_ops broken = *real;
    broken.commit = refuse_commit;
    s1->store->ops = &broken;
    json_t *reply = get(s1, "wang", id, "P1");
    json_t *found = ask(s1, "wang", "find", json_pack("{ssss}", "entity", "customer", "purpose", "P1"));
    s1->store->ops = real;
    assert_null(json_object_get(reply, "result"));
    assert_false(says(reply, "王小明"));
    assert_false(says(found, "王小明"));
    expect(4, reply);
    expect(4, found);
    expect(0, get(s1, "wang", id, "P1"));
}

static void the_log_verifies_and_a_witness_notices(void **state)
{
    (void)state;
    (void)new_customer(s1, "wang", "王小明");
    json_t *page = want(s1, "li", "audit-export", json_pack("{sisi}", "from", 2, "limit", 3));
    assert_int_equal(json_array_size(json_object_get(page, "entries")), 3);
    assert_int_equal(json_integer_value(json_object_get(page, "next")), 5);
    const char *head = text_in(page, "head");
    json_t *done = want(s1, "li", "audit-verify", json_pack("{ss}", "against", head));
    assert_true(json_is_true(json_object_get(done, "ok")));
    json_decref(done);
    /* a head that promises more than the log has: the tail was cut off */
    struct audit_head cut;
    struct buf b;
    char hex[321];
    struct audit longer = s1->core.audit;
    longer.count += 5;
    audit_sign_head(&longer, s1->core.self.number, s1->core.epoch, s1->core.self.sign_secret, &cut);
    buf_init(&b, &s1->mem, 160);
    audit_head_put(&b, &cut);
    hex_text(buf_view(&b), hex);
    expect(4, ask(s1, "li", "audit-verify", json_pack("{ss}", "against", hex)));
    expect(2, ask(s1, "li", "audit-verify", json_pack("{ss}", "against", "00")));
    hex[strlen(hex) - 8] = '\0';
    expect(2, ask(s1, "li", "audit-verify", json_pack("{ss}", "against", hex)));
    json_decref(page);
    buf_release(&b);
    expect(0, ask(s1, "boss", "audit-verify", json_object()));
    expect(1, ask(s1, "wang", "audit-verify", json_object()));
}

/* --- conflicts */

/* wang's customer, edited on both nodes at once; returns its id. */
static const char *contested(void)
{
    const char *id = new_customer(s1, "wang", "王小明");
    carry(s1, s2);
    expect(0, ask(s2, "wang", "set", set1(id, "occupation", "教师")));
    expect(0, ask(s1, "zhao", "set", set1(id, "occupation", "医生")));
    expect(0, ask(s1, "zhao", "set", set1(id, "industry", "医疗")));
    carry(s1, s2);
    carry(s2, s1);
    return id;
}

static json_t *conflict_of(struct app *app, const char *user, const char *id, bool open)
{
    json_t *list = want(app, user, "conflicts", json_pack("{sb}", "open", open));
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(text_in(json_array_get(list, i), "record"), id) == 0) {
            found = json_incref(json_array_get(list, i));
        }
    }
    json_decref(list);
    return found;
}

static void a_conflict_shows_both_values_and_is_settled(void **state)
{
    (void)state;
    const char *id = contested();
    json_t *c = conflict_of(s1, "zhao", id, true);
    json_t *winner = json_object_get(c, "winner");
    json_t *loser = json_array_get(json_object_get(c, "losers"), 0);
    assert_string_equal(text_in(c, "field"), "occupation");
    assert_string_equal(text_in(c, "rule"), "lww");
    assert_int_equal(json_array_size(json_object_get(c, "losers")), 1);
    assert_true(says(winner, "教师") != says(winner, "医生"));
    assert_true(says(loser, "教师") != says(loser, "医生"));
    assert_string_not_equal(text_in(winner, "value"), text_in(loser, "value"));
    json_t *record = want(s1, "wang", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    assert_true(json_is_true(json_object_get(cell(record, "occupation"), "conflict")));
    assert_null(json_object_get(cell(record, "industry"), "conflict"));
    json_decref(record);

    /* who may, and how */
    const char *cid = text_in(c, "id");
    const char *take = text_in(loser, "commit");
    expect(1, ask(s1, "wang", "decide", json_pack("{ssssss}", "conflict", cid, "take", take, "reason", "x")));
    expect(2, ask(s1, "zhao", "decide", json_pack("{ssss}", "conflict", cid, "take", take)));
    expect(2, ask(s1, "zhao", "decide", json_pack("{ssss}", "conflict", cid, "reason", "x")));
    expect(2, ask(s1, "zhao", "decide", json_pack("{ssssss}", "conflict", cid, "take", "9.9.9", "reason", "x")));
    expect(3, ask(s1, "qian", "decide", json_pack("{ssssss}", "conflict", cid, "take", take, "reason", "x")));
    expect(3, ask(s1, "zhao", "decide",
                  json_pack("{ssssss}", "conflict", "00000000000000000000000000000000", "take", take, "reason", "x")));
    expect(
        0, ask(s1, "zhao", "decide", json_pack("{ssssss}", "conflict", cid, "take", take, "reason", "客户电话确认")));
    expect(6, ask(s1, "zhao", "decide", json_pack("{ssssss}", "conflict", cid, "take", take, "reason", "x")));
    carry(s1, s2);
    assert_null(conflict_of(s2, "boss", id, true));
    record = want(s2, "wang", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    expect_cell(record, "occupation", text_in(loser, "value"), "clear");
    assert_null(json_object_get(cell(record, "occupation"), "conflict"));
    json_decref(record);

    /* settled, it stays in the log with who and why; it can be decided again on purpose */
    json_t *closed = want(s1, "zhao", "conflict", json_pack("{ss}", "id", cid));
    assert_true(says(json_object_get(closed, "decided"), "客户电话确认"));
    assert_true(json_is_false(json_object_get(closed, "open")));
    json_decref(closed);
    expect(0, ask(s1, "zhao", "decide",
                  json_pack("{sssssssb}", "conflict", cid, "value", "工程师", "reason", "更正", "reopen", 1)));
    json_decref(c);
}

static void values_of_conflicts_are_for_those_whose_rows_they_are(void **state)
{
    (void)state;
    const char *id = contested();
    json_t *c = conflict_of(s1, "zhao", id, true);
    const char *cid = text_in(c, "id");
    json_t *list = want(s1, "boss", "conflicts", json_pack("{sb}", "open", 1));
    assert_true(says(list, cid));
    assert_false(says(list, "教师"));
    assert_false(says(list, "医生"));
    assert_false(says(list, "\"value\""));
    assert_false(says(list, id));
    json_decref(list);
    list = want(s1, "chen", "conflicts", json_pack("{sb}", "open", 1)); /* sees the row masked, not this class */
    assert_true(says(list, cid));
    assert_false(says(list, "教师"));
    json_decref(list);
    list = want(s1, "qian", "conflicts", json_pack("{sb}", "open", 1)); /* another station: does not exist */
    assert_false(says(list, cid));
    json_decref(list);
    expect(1, ask(s1, "mei", "conflicts", json_object()));
    expect(3, ask(s1, "qian", "conflict", json_pack("{ss}", "id", cid)));
    expect(3, ask(s1, "zhao", "conflict", json_pack("{ss}", "id", "00000000000000000000000000000000")));
    json_decref(c);
}

static void history_tells_who_and_why_in_order(void **state)
{
    (void)state;
    const char *id = contested();
    json_t *c = conflict_of(s1, "zhao", id, true);
    expect(0, ask(s1, "zhao", "decide",
                  json_pack("{ssssss}", "conflict", text_in(c, "id"), "value", "工程师", "reason", "本人更正")));
    json_decref(c);
    json_t *lines = want(s1, "zhao", "history", json_pack("{ssss}", "id", id, "purpose", "P1"));
    size_t count = json_array_size(lines);
    json_t *last = json_array_get(lines, count - 1);
    assert_string_equal(text_in(last, "value"), "工程师");
    assert_string_equal(text_in(last, "reason"), "本人更正");
    assert_string_equal(text_in(last, "user"), "zhao");
    assert_true(json_is_true(json_object_get(last, "decision")));
    for (size_t i = 1; i < count; i++) {
        assert_true(strcmp(text_in(json_array_get(lines, i - 1), "at"), "") > 0);
    }
    assert_true(says(lines, "教师") && says(lines, "医生"));
    json_decref(lines);
    lines = want(s1, "chen", "history", json_pack("{ssss}", "id", id, "purpose", "P1"));
    assert_false(says(lines, "教师"));
    assert_false(says(lines, "本人更正"));
    assert_false(says(lines, "王小明"));
    assert_true(says(lines, "王**"));
    json_decref(lines);
}

/* Who sees a value masked does not read why it was chosen. */
static void reasons_are_as_secret_as_their_values(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    carry(s1, s2);
    expect(0, ask(s2, "wang", "set", set1(id, "full_name", "王晓明")));
    expect(0, ask(s1, "zhao", "set", set1(id, "full_name", "王小名")));
    carry(s1, s2);
    carry(s2, s1);
    json_t *c = conflict_of(s1, "zhao", id, false);
    expect(0, ask(s1, "zhao", "decide",
                  json_pack("{sssssssb}", "conflict", text_in(c, "id"), "value", "王晓茗", "reason", "身份证上是茗",
                      "reopen", 1)));
    json_t *lines = want(s1, "chen", "history", json_pack("{ssss}", "id", id, "purpose", "P1"));
    assert_true(says(lines, "\"decision\":true"));
    assert_false(says(lines, "身份证上是茗"));
    json_decref(lines);
    json_t *closed = want(s1, "chen", "conflict", json_pack("{ssss}", "id", text_in(c, "id"), "purpose", "P1"));
    assert_true(says(json_object_get(closed, "decided"), "王**"));
    assert_false(says(closed, "身份证上是茗"));
    json_decref(closed);
    json_decref(c);
}

/* --- what follows from several records */

static void consent_opens_and_closes_sensitive_fields(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    expect(1, ask(s1, "wang", "new",
                  json_pack("{sss{ssss}}", "entity", "customer_profile", "fields", "customer", id, "income_band",
                      "10-20万")));
    (void)make(s1, "wang", "consent",
        json_pack(
            "{ssssssss}", "customer", id, "purpose", "敏感信息", "action", "grant", "given_at", "2026-01-05T10:00"));
    const char *profile =
        make(s1, "wang", "customer_profile", json_pack("{ssss}", "customer", id, "income_band", "10-20万"));
    json_t *record = want(s1, "wang", "get", json_pack("{ssss}", "id", profile, "purpose", "P1"));
    expect_cell(record, "income_band", "10-20万", "clear");
    json_decref(record);
    (void)make(s1, "wang", "consent",
        json_pack(
            "{ssssssss}", "customer", id, "purpose", "敏感信息", "action", "withdraw", "given_at", "2026-01-06T10:00"));
    json_t *reply = get(s1, "wang", profile, "P1");
    assert_false(says(reply, "10-20万"));
    json_decref(reply);
    expect(1, ask(s1, "wang", "set", set1(profile, "income_band", "20-50万")));
    /* a withdrawal of marketing is the customer's do-not-contact */
    (void)make(
        s1, "wang", "consent", json_pack("{ssssss}", "customer", id, "purpose", "营销短信", "action", "withdraw"));
    record = want(s1, "wang", "get", json_pack("{ssss}", "id", id, "purpose", "P1"));
    expect_cell(record, "do_not_contact", "1", "clear");
    json_decref(record);
}

static void a_task_opens_a_customer_to_whom_it_was_given(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    (void)make(s1, "wang", "contact_point", json_pack("{ssss}", "customer", id, "value", "13933334444"));
    json_t *found = want(s1, "hui", "find", find1("contact_point", "customer", id, "P5"));
    expect_cell(json_array_get(found, 0), "value_norm", "139****4444", "masked");
    json_decref(found);
    /* giving oneself a task opens nothing */
    (void)make(s1, "hui", "followup_task",
        json_pack("{ssssssss}", "customer", id, "kind", "交车后回访", "due_at", "2030-01-01", "owner", "hui"));
    found = want(s1, "hui", "find", find1("contact_point", "customer", id, "P5"));
    expect_cell(json_array_get(found, 0), "value_norm", "139****4444", "masked");
    json_decref(found);
    const char *task = make(s1, "wang", "followup_task",
        json_pack("{ssssssss}", "customer", id, "kind", "交车后回访", "due_at", "2030-01-01", "owner", "hui"));
    found = want(s1, "hui", "find", find1("contact_point", "customer", id, "P5"));
    expect_cell(json_array_get(found, 0), "value_norm", "13933334444", "clear");
    json_decref(found);
    expect(0, ask(s1, "wang", "set", set1(task, "cancelled", "1")));
    found = want(s1, "hui", "find", find1("contact_point", "customer", id, "P5"));
    expect_cell(json_array_get(found, 0), "value_norm", "139****4444", "masked");
    json_decref(found);
}

static void classes_follow_from_events(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    json_t *found =
        want(s1, "zhao", "find", json_pack("{sss{ss}}", "entity", "customer_class", "where", "customer", id));
    assert_int_equal(json_array_size(found), 1);
    expect_cell(json_array_get(found, 0), "level1", "潜在", "clear");
    json_decref(found);
    expect(
        1, ask(s1, "wang", "new",
               json_pack("{sss{ssss}}", "entity", "customer_class", "fields", "customer", id, "vip_flag", "granted")));
    (void)make(s1, "zhao", "customer_class",
        json_pack("{ssssss}", "customer", id, "vip_flag", "granted", "at", "2026-01-05T10:00"));
    const char *car = make(s1, "wang", "opportunity", json_pack("{ss}", "customer", id));
    (void)make(s1, "wang", "grade_event", json_pack("{ssssss}", "customer", id, "opportunity", car, "to_grade", "A"));
    found = want(s1, "zhao", "find", json_pack("{sss{ss}}", "entity", "customer_class", "where", "customer", id));
    assert_int_equal(json_array_size(found), 2);
    expect_cell(json_array_get(found, 0), "level1", "VIP", "clear");
    expect_cell(json_array_get(found, 0), "level2", "意向", "clear");
    assert_null(cell(json_array_get(found, 1), "level1"));
    json_decref(found);
    json_t *record = want(s1, "wang", "get", json_pack("{ssss}", "id", car, "purpose", "P1"));
    expect_cell(record, "grade", "A", "clear");
    json_decref(record);
    /* an opportunity of another customer is none of this one */
    const char *other = new_customer(s1, "wang", "李四");
    expect(1, ask(s1, "wang", "new",
                  json_pack("{sss{ssssss}}", "entity", "grade_event", "fields", "customer", other, "opportunity", car,
                      "to_grade", "A")));
}

static const char *due_of(const json_t *found, const char *id)
{
    for (size_t i = 0; i < json_array_size(found); i++) {
        if (strcmp(text_in(json_array_get(found, i), "id"), id) == 0) {
            return text_in(cell(json_array_get(found, i), "due_at"), "value");
        }
    }
    return "";
}

static void follow_ups_come_due_by_grade(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    const char *car = make(s1, "wang", "opportunity", json_pack("{ss}", "customer", id));
    (void)make(s1, "wang", "grade_event",
        json_pack("{ssssssss}", "customer", id, "opportunity", car, "to_grade", "H", "at", "2026-03-07T23:30"));
    const char *query = "{sss{ss}ss}";
    json_t *found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, car), "2026-03-09"); /* the day at the station, not in UTC */
    json_decref(found);
    /* an attempt is no contact */
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "no_answer", "at", "2026-03-09T10:00"));
    found = want(
        s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "2026-03-09", "purpose", "P1"));
    assert_string_equal(due_of(found, car), "2026-03-09");
    expect_cell(json_array_get(found, 0), "grade", "H", "clear");
    expect_cell(json_array_get(found, 0), "state", "overdue", "clear");
    json_decref(found);
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "reached", "at", "2026-03-10T10:00"));
    found = want(
        s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "overdue", "purpose", "P1"));
    assert_string_equal(due_of(found, car), "2026-03-12");
    for (size_t i = 1; i < json_array_size(found); i++) {
        const char *before = text_in(cell(json_array_get(found, i - 1), "due_at"), "value");
        assert_true(strcmp(before, text_in(cell(json_array_get(found, i), "due_at"), "value")) <= 0);
    }
    json_decref(found);
    found =
        want(s1, "chen", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, car), ""); /* a colleague's */
    json_decref(found);
    /* closed: nothing is due */
    expect(0, ask(s1, "zhao", "set", set1(car, "result", "defeated")));
    found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, car), "");
    json_decref(found);
}

/* The due date of one opportunity as if today were another day; 0 when none. */
static int64_t due_on(const char *id, int64_t today)
{
    struct record_id record;
    struct row row = { .is_deleted = false };
    struct due_task task = { .due = 0 };
    bool has = false;
    const struct deriver dv = { .app = s1, .a = &s1->arena, .today = today };
    need(record_id_parse(bytes_str(strchr(id, '/') + 1), &record), NULL);
    need(s1->store->ops->row_get(s1->store, ENTITY_OPPORTUNITY, record, &s1->arena, &row), NULL);
    need(derive_due(&dv, &row, &task, &has), NULL);
    arena_reset(&s1->arena);
    return has ? task.due : 0;
}

static void a_correction_replaces_what_it_names(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    const char *car = make(s1, "wang", "opportunity", json_pack("{ss}", "customer", id));
    assert_int_equal(due_on(car, 20260307), 0); /* no grade yet */
    const char *wrong = make(s1, "wang", "grade_event",
        json_pack("{ssssssss}", "customer", id, "opportunity", car, "to_grade", "B", "at", "2026-03-08T09:00"));
    assert_int_equal(due_on(car, 20260307), 20260323);
    (void)make(s1, "wang", "grade_event",
        json_pack("{ssssssssss}", "customer", id, "opportunity", car, "to_grade", "H", "at", "2026-03-07T09:00",
            "corrects", wrong));
    assert_int_equal(due_on(car, 20260307), 20260309);
}

static void grade_b_wants_two_contacts_a_month(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    const char *car = make(s1, "wang", "opportunity", json_pack("{ss}", "customer", id));
    (void)make(s1, "wang", "grade_event",
        json_pack("{ssssssss}", "customer", id, "opportunity", car, "to_grade", "B", "at", "2026-02-10T09:00"));
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "reached", "at", "2026-03-20T09:00"));
    assert_int_equal(due_on(car, 20260321), 20260331); /* one contact in March: the other by its last day */
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "reached", "at", "2026-03-22T09:00"));
    assert_int_equal(due_on(car, 20260323), 20260406);
}

static void a_vip_is_called_every_month(void **state)
{
    (void)state;
    const char *id = new_customer(s1, "wang", "王小明");
    (void)make(s1, "zhao", "customer_class",
        json_pack("{ssssss}", "customer", id, "vip_flag", "granted", "at", "2026-01-05T10:00"));
    const char *query = "{sss{ss}ss}";
    json_t *found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, id), "2026-01-31");
    json_decref(found);
    (void)make(s1, "wang", "contact_event",
        json_pack("{ssssssss}", "customer", id, "mode", "TEL", "effective", "reached", "at", "2026-01-20T10:00"));
    found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, id), "2026-02-28");
    json_decref(found);
    (void)make(s1, "zhao", "customer_class", json_pack("{ssss}", "customer", id, "vip_flag", "removed"));
    found =
        want(s1, "wang", "find", json_pack(query, "entity", "followup_task", "where", "due", "all", "purpose", "P1"));
    assert_string_equal(due_of(found, id), "");
    json_decref(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_customer_is_written_and_read),
        cmocka_unit_test(personal_data_needs_a_purpose),
        cmocka_unit_test(unknown_and_hidden_give_one_answer),
        cmocka_unit_test(roles_without_rows_are_refused),
        cmocka_unit_test(a_colleague_sees_masks),
        cmocka_unit_test(words_of_the_caller_are_checked),
        cmocka_unit_test(setting_says_when_nothing_changes),
        cmocka_unit_test(deleting_is_for_the_manager),
        cmocka_unit_test(numbers_are_found_by_those_who_may_read_them),
        cmocka_unit_test(a_filter_is_no_oracle),
        cmocka_unit_test(a_limit_limits_what_is_shown),
        cmocka_unit_test(books_hold_what_has_no_customer),
        cmocka_unit_test(reads_are_in_the_log_without_values),
        cmocka_unit_test(a_read_that_cannot_be_audited_is_refused),
        cmocka_unit_test(the_log_verifies_and_a_witness_notices),
        cmocka_unit_test(a_conflict_shows_both_values_and_is_settled),
        cmocka_unit_test(values_of_conflicts_are_for_those_whose_rows_they_are),
        cmocka_unit_test(history_tells_who_and_why_in_order),
        cmocka_unit_test(reasons_are_as_secret_as_their_values),
        cmocka_unit_test(consent_opens_and_closes_sensitive_fields),
        cmocka_unit_test(a_task_opens_a_customer_to_whom_it_was_given),
        cmocka_unit_test(classes_follow_from_events),
        cmocka_unit_test(follow_ups_come_due_by_grade),
        cmocka_unit_test(a_correction_replaces_what_it_names),
        cmocka_unit_test(grade_b_wants_two_contacts_a_month),
        cmocka_unit_test(a_vip_is_called_every_month),
    };
    return cmocka_run_group_tests(tests, found_group, leave_group);
}
