/* When a configured peer is dialled again: soon after a line broke, ever more rarely after a refusal or when another
 * copy of this node took the line over. On a real node; nobody is dialled, the clock is only looked at. */
#include "node/links.h"
#include "node/vault/slots.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/transport_mem.h"

enum { FIRST_MS = 500, MAX_MS = 60000 };

static char dir[] = "/tmp/jipan-test-links-XXXXXX";
static struct app *app;
static struct mem_net *net;
static struct links links;
static uint64_t before_ms;

static bool nobody_is_live(void *ctx, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    (void)ctx;
    (void)key;
    return false;
}

static bool all_are_admitted(void *ctx, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    (void)ctx;
    (void)key;
    return true;
}

static int found(void **state)
{
    static const uint8_t peer[TRANSPORT_KEY_BYTES] = { 7 };
    char home[64];
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct why why = { .zh = { 0 } };
    const struct transport_events events = { .ctx = NULL };
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
    assert_int_equal(app_create(home, &in, recovery, &app, &why), ERR_OK);
    assert_int_equal(app_peer_add(app, BYTES_LIT("127.0.0.1:7420"), peer, NULL, &why), ERR_OK);
    net = mem_net_new();
    links = (struct links){ .app = app,
        .transport = transport_mem_new(net, "here", app->core.self.tls_public, &events),
        .is_live = nobody_is_live,
        .admits = all_are_admitted };
    assert_int_equal(links_load(&links), ERR_OK);
    assert_int_equal(links.count, 1);
    return 0;
}

static int leave(void **state)
{
    char command[128];
    (void)state;
    mem_net_free(net);
    app_close(app);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

/* A connection that opens and ends; why ERR_OK: it broke. */
static void connect_once(conn_id conn, enum err why)
{
    links_dial(&links, true);
    assert_int_equal(links.at[0].state, LINK_DIALLING);
    links_opened(&links, conn, links.at[0].tag);
    assert_int_equal(links.at[0].state, LINK_OPEN);
    if (why != ERR_OK) {
        links_refused(&links, conn, why);
    }
    before_ms = app_now().mono_ms;
    links_closed(&links, conn);
    assert_int_equal(links.at[0].state, LINK_IDLE);
}

/* It is due `base` to one and a half `base` after it was closed. */
static void expect_base(uint64_t base)
{
    assert_true(links.at[0].due_ms >= before_ms + base);
    assert_true(links.at[0].due_ms < app_now().mono_ms + base + base / 2);
}

static void test_a_cut_line_comes_back_soon(void **state)
{
    (void)state;
    for (conn_id conn = 1; conn < 20; conn++) {
        connect_once(conn, ERR_OK);
        expect_base(FIRST_MS);
        assert_int_equal(links.at[0].last_error, ERR_UNREACHABLE);
    }
}

static void test_a_copy_of_us_makes_us_wait(void **state)
{
    uint64_t base = FIRST_MS;
    (void)state;
    connect_once(100, ERR_OK);
    for (conn_id conn = 101; conn < 120; conn++) {
        base = base * 2 < MAX_MS ? base * 2 : MAX_MS;
        connect_once(conn, ERR_REPLACED);
        expect_base(base);
        assert_int_equal(links.at[0].last_error, ERR_REPLACED);
    }
    assert_int_equal(base, MAX_MS);
    connect_once(120, ERR_OK); /* the copy has gone, and a line breaks */
    expect_base(FIRST_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cut_line_comes_back_soon),
        cmocka_unit_test(test_a_copy_of_us_makes_us_wait),
    };
    return cmocka_run_group_tests(tests, found, leave);
}
