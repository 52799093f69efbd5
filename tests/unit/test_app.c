/*
 * A node as a whole: founding, enrolment (one use, expiry, wrong proof), users, logins and sessions, revocation, the
 * invite code.
 */
#include "node/app.h"
#include "node/vault/slots.h"
#include "schema/wire.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/jipan-test-app-XXXXXX";
static struct app *app;

static int found(void **state)
{
    char home[64];
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct why why = { .zh = { 0 } };
    const struct app_init in = { .passphrase = BYTES_LIT("disk passphrase"),
        .group_name = BYTES_LIT("测试集团"),
        .station_code = BYTES_LIT("S1"),
        .admin_login = BYTES_LIT("boss"),
        .admin_password = BYTES_LIT("boss secret") };
    (void)state;
    assert_true(sodium_init() >= 0);
    vault_test_set_kdf(1, 8192);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(home, sizeof(home), "%s/n1", dir);
    return app_create(home, &in, recovery, &app, &why) == ERR_OK &&
                   app_set_listen(app, BYTES_LIT("127.0.0.1:7420")) == ERR_OK
               ? 0
               : -1;
}

static int leave(void **state)
{
    char command[128];
    (void)state;
    app_close(app);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

/* Keys of a node that wants to join, and the request it would send. */
struct joiner {
    uint8_t tls_key[32], sign_key[32], box_key[32], proof[32];
    struct wire_message request;
};

static void joiner_make(struct joiner *j, const struct invite_code *code)
{
    uint8_t seed[32];
    uint8_t secret[64];
    randombytes_buf(seed, sizeof(seed));
    seal_sign_keypair(seed, j->tls_key, secret);
    randombytes_buf(seed, sizeof(seed));
    seal_sign_keypair(seed, j->sign_key, secret);
    randombytes_buf(seed, sizeof(seed));
    seal_box_keypair(seed, j->box_key, secret);
    invite_proof(code, j->tls_key, j->sign_key, j->box_key, j->proof);
    j->request = (struct wire_message){ .kind = WIRE_JOIN_REQUEST,
        .invite = BYTES_OF(code->id),
        .proof = BYTES_OF(j->proof),
        .sign_key = BYTES_OF(j->sign_key),
        .box_key = BYTES_OF(j->box_key) };
}

static enum err join(const struct joiner *j, uint32_t *node)
{
    const struct bytes *entries = NULL;
    size_t count = 0;
    enum err e = app_enrol(app, j->tls_key, &j->request, node, &entries, &count);
    arena_reset(&app->arena);
    return e;
}

static struct invite_code invite(const char *station)
{
    char text[INVITE_CODE_MAX];
    struct invite_code code;
    struct why why = { .zh = { 0 } };
    const struct app_invite in = { .kind = NODE_STATION, .station_code = bytes_str(station), .holds_group = true };
    assert_int_equal(app_invite(app, &in, text, NULL, &why), ERR_OK);
    assert_int_equal(invite_code_parse(bytes_str(text), &code, &why), ERR_OK);
    return code;
}

static void an_invite_enrols_one_node(void **state)
{
    struct invite_code code = invite("S2");
    struct joiner first;
    struct joiner second;
    uint32_t node = 0;
    (void)state;
    joiner_make(&first, &code);
    joiner_make(&second, &code);
    assert_int_equal(join(&first, &node), ERR_OK);
    const struct member_node *n = members_node(app->members, node);
    assert_non_null(n);
    assert_memory_equal(n->tls_key, first.tls_key, 32);
    assert_true(n->holds_group);
    assert_int_equal(join(&second, &node), ERR_EXPIRED);
}

static void a_proof_covers_every_key(void **state)
{
    struct invite_code code = invite("S3");
    struct joiner j;
    uint32_t node = 0;
    uint64_t before = members_node_count(app->members);
    (void)state;
    joiner_make(&j, &code);
    j.sign_key[0] ^= 1;
    assert_int_equal(join(&j, &node), ERR_SECRET);
    j.sign_key[0] ^= 1;
    j.box_key[31] ^= 1;
    assert_int_equal(join(&j, &node), ERR_SECRET);
    j.box_key[31] ^= 1;
    j.tls_key[5] ^= 1;
    assert_int_equal(join(&j, &node), ERR_SECRET);
    j.tls_key[5] ^= 1;
    assert_int_equal(members_node_count(app->members), before);
    assert_int_equal(join(&j, &node), ERR_OK);
}

/* Moves the stored expiry into the past: the clock is not ours to set. */
static void an_old_invite_is_refused(void **state)
{
    struct invite_code code = invite("S4");
    struct joiner j;
    uint32_t node = 0;
    uint8_t key[9] = { 'i' };
    uint8_t copy[256];
    struct bytes stored = { 0 };
    (void)state;
    memcpy(key + 1, code.id, 8);
    assert_int_equal(app->store->ops->get(app->store, SPACE_META, BYTES_OF(key), &app->arena, &stored), ERR_OK);
    assert_true(stored.len > 24 && stored.len <= sizeof(copy));
    memcpy(copy, stored.ptr, stored.len);
    memset(copy + 16, 0, 8);
    assert_int_equal(app_begin(app), ERR_OK);
    assert_int_equal(
        app_end(app, app->store->ops->put(app->store, SPACE_META, BYTES_OF(key), bytes_of(copy, stored.len))), ERR_OK);
    joiner_make(&j, &code);
    assert_int_equal(join(&j, &node), ERR_EXPIRED);
}

static void a_code_with_any_changed_letter_is_refused(void **state)
{
    char text[INVITE_CODE_MAX];
    struct invite_code code;
    struct why why = { .zh = { 0 } };
    const struct app_invite in = { .kind = NODE_STATION, .station_code = BYTES_LIT("S5") };
    (void)state;
    assert_int_equal(app_invite(app, &in, text, NULL, &why), ERR_OK);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        char old = text[i];
        text[i] = old == 'A' ? 'B' : 'A';
        enum err e = invite_code_parse(bytes_str(text), &code, &why);
        if (e == ERR_OK) {
            fail_msg("letter %zu could be changed", i);
        }
        text[i] = old;
    }
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(invite_code_parse(bytes_of(text, n), &code, &why), ERR_FORMAT);
    }
}

static uint32_t user(const char *login, uint32_t roles)
{
    uint32_t number = 0;
    struct why why = { .zh = { 0 } };
    const struct app_user in = { .login = bytes_str(login),
        .station_code = BYTES_LIT("S1"),
        .roles = roles,
        .password = BYTES_LIT("a good secret") };
    enum err e = app_user_add(app, &in, &number, NULL, &why);
    if (e != ERR_OK) {
        fail_msg("%s: %s", err_name(e), why.en);
    }
    return number;
}

static void a_login_follows_the_user(void **state)
{
    const struct member_user *who = NULL;
    struct why why = { .zh = { 0 } };
    uint32_t number = user("tang", role_bit(ROLE_SC));
    char token[APP_TOKEN_TEXT_BYTES];
    const bool inactive = false;
    const struct bytes fresh = BYTES_LIT("another secret");
    (void)state;
    assert_int_equal(app_login(app, BYTES_LIT("tang"), BYTES_LIT("a good secret"), &who), ERR_OK);
    assert_int_equal(who->number, number);
    assert_int_equal(app_login(app, BYTES_LIT("tang"), BYTES_LIT("a bad secret"), &who), ERR_SECRET);
    assert_int_equal(app_login(app, BYTES_LIT("nobody"), BYTES_LIT("a good secret"), &who), ERR_SECRET);
    app_session_open(app, who, token);
    assert_int_equal(app_session_user(app, bytes_str(token), &who), ERR_OK);
    /* A remembered password or session must not outlive a change of password. */
    assert_int_equal(app_user_change(app, number, NULL, NULL, &fresh, NULL, &why), ERR_OK);
    assert_int_equal(app_login(app, BYTES_LIT("tang"), BYTES_LIT("a good secret"), &who), ERR_SECRET);
    assert_int_equal(app_session_user(app, bytes_str(token), &who), ERR_EXPIRED);
    assert_int_equal(app_login(app, BYTES_LIT("tang"), fresh, &who), ERR_OK);
    app_session_open(app, who, token);
    assert_int_equal(app_user_change(app, number, NULL, &inactive, NULL, NULL, &why), ERR_OK);
    assert_int_equal(app_login(app, BYTES_LIT("tang"), fresh, &who), ERR_SECRET);
    assert_int_equal(app_session_user(app, bytes_str(token), &who), ERR_EXPIRED);
}

static void a_session_ends_with_logout(void **state)
{
    const struct member_user *who = members_user(app->members, 1);
    char token[APP_TOKEN_TEXT_BYTES];
    (void)state;
    app_session_open(app, who, token);
    assert_int_equal(app_session_user(app, bytes_str(token), &who), ERR_OK);
    app_session_close(app, bytes_str(token));
    assert_int_equal(app_session_user(app, bytes_str(token), &who), ERR_EXPIRED);
    assert_int_equal(app_session_user(app, (struct bytes){ 0 }, &who), ERR_EXPIRED);
}

static void roles_that_clash_are_refused(void **state)
{
    uint32_t number = 0;
    struct why why = { .zh = { 0 } };
    struct app_user in = { .login = BYTES_LIT("both"),
        .station_code = BYTES_LIT("S1"),
        .roles = role_bit(ROLE_SC) | role_bit(ROLE_PA),
        .password = BYTES_LIT("a good secret") };
    (void)state;
    assert_int_equal(app_user_add(app, &in, &number, NULL, &why), ERR_DENIED);
    in.roles = role_bit(ROLE_SC);
    in.password = BYTES_LIT("short");
    assert_int_equal(app_user_add(app, &in, &number, NULL, &why), ERR_INVALID);
    in.password = BYTES_LIT("a good secret");
    in.login = BYTES_LIT("with blank ");
    assert_int_equal(app_user_add(app, &in, &number, NULL, &why), ERR_INVALID);
    assert_null(members_user_by_login(app->members, BYTES_LIT("both")));
}

static void a_revoked_node_loses_later_keys(void **state)
{
    struct invite_code code = invite("S6");
    struct joiner j;
    uint32_t node = 0;
    struct why why = { .zh = { 0 } };
    (void)state;
    joiner_make(&j, &code);
    assert_int_equal(join(&j, &node), ERR_OK);
    uint32_t epoch = members_current_keys(app->members, 1)->epoch;
    assert_int_equal(app_revoke(app, node, "丢失", NULL, &why), ERR_OK);
    assert_true(members_node(app->members, node)->revoked_at != 0);
    assert_int_equal(members_current_keys(app->members, 1)->epoch, epoch + 1);
    assert_int_equal(app_revoke(app, node, "丢失", NULL, &why), ERR_EXISTS);
    assert_int_equal(app_revoke(app, app->core.self.number, "x", NULL, &why), ERR_DENIED);
    assert_int_equal(app_revoke(app, 999, "x", NULL, &why), ERR_NOT_FOUND);
}

static void founding_twice_changes_nothing(void **state)
{
    char home[64];
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct why why = { .zh = { 0 } };
    struct app *other = NULL;
    struct app_init in = { .passphrase = BYTES_LIT("x"),
        .group_name = BYTES_LIT("乙"),
        .station_code = BYTES_LIT("S1"),
        .admin_login = BYTES_LIT("boss"),
        .admin_password = BYTES_LIT("boss secret") };
    (void)state;
    (void)snprintf(home, sizeof(home), "%s/n1", dir);
    assert_int_equal(app_create(home, &in, recovery, &other, &why), ERR_EXISTS);
    (void)snprintf(home, sizeof(home), "%s/n2", dir);
    in.admin_password = BYTES_LIT("short");
    assert_int_equal(app_create(home, &in, recovery, &other, &why), ERR_USAGE);
    assert_false(app_exists(home));
    assert_string_equal(members_group_name(app->members), "测试集团");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_invite_enrols_one_node),
        cmocka_unit_test(a_proof_covers_every_key),
        cmocka_unit_test(an_old_invite_is_refused),
        cmocka_unit_test(a_code_with_any_changed_letter_is_refused),
        cmocka_unit_test(a_login_follows_the_user),
        cmocka_unit_test(a_session_ends_with_logout),
        cmocka_unit_test(roles_that_clash_are_refused),
        cmocka_unit_test(a_revoked_node_loses_later_keys),
        cmocka_unit_test(founding_twice_changes_nothing),
    };
    return cmocka_run_group_tests(tests, found, leave);
}
