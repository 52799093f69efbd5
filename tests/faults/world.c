/*
 * Owns: the nodes that faults happen to, and what must be true of a node afterwards. The judge looks at everything the
 * store holds, not at samples: a run that failed leaves the digest of before, one that succeeded that of the run
 * without a fault.
 */
#include "tests/faults/world.h"

#include "node/json_mem.h"
#include "schema/base/check.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

struct disk_sim *disk_a;
struct disk_sim *disk_b;
struct world_ids ids;

static void keep(char *out, size_t room, const char *text)
{
    check(strlen(text) < room);
    (void)snprintf(out, room, "%s", text);
}

/* An open conflict of the customer's occupation. */
static void contest(void)
{
    carry(s1, s2);
    expect(0, ask(s2, "wang", "set", set1(ids.customer, "occupation", "教师")));
    expect(0, ask(s1, "zhao", "set", set1(ids.customer, "occupation", "医生")));
    carry(s1, s2);
    carry(s2, s1);
    json_t *list = want(s1, "zhao", "conflicts", json_pack("{sb}", "open", 1));
    const json_t *c = json_array_get(list, 0);
    keep(ids.conflict, sizeof(ids.conflict), text_in(c, "id"));
    keep(ids.take, sizeof(ids.take), text_in(json_array_get(json_object_get(c, "losers"), 0), "commit"));
    check(strlen(ids.conflict) == 32 && strlen(ids.take) > 0);
    json_decref(list);
}

void world_found(void)
{
    disk_a = disk_sim_new();
    disk_b = disk_sim_new();
    two_nodes_found_on(disk_sim_disk(disk_a), disk_sim_disk(disk_b));
    keep(ids.customer, sizeof(ids.customer), new_customer(s1, "wang", "王小明"));
    keep(ids.contact, sizeof(ids.contact),
        make(s1, "wang", "contact_point",
            json_pack("{ssssss}", "customer", ids.customer, "type", "mobile", "value", "13900001234")));
    keep(ids.opportunity, sizeof(ids.opportunity),
        make(s1, "wang", "opportunity", json_pack("{ss}", "customer", ids.customer)));
    (void)make(s1, "wang", "grade_event",
        json_pack("{ssssss}", "customer", ids.customer, "opportunity", ids.opportunity, "to_grade", "A"));
    (void)new_customer(s1, "chen", "李四");
    (void)new_customer(s1, "chen", "张三");
    contest();
    expect(0, ask(s1, "boss", "peer-add", json_pack("{sssi}", "address", "10.0.0.2:7420", "node", 2)));
}

/* --- digests --- */

static void digest_row(crypto_generichash_state *h, sqlite3_stmt *row)
{
    for (int i = 0; i < sqlite3_column_count(row); i++) {
        const void *p = sqlite3_column_blob(row, i);
        int len = sqlite3_column_bytes(row, i);
        int head[2] = { sqlite3_column_type(row, i), len };
        (void)crypto_generichash_update(h, (const uint8_t *)head, sizeof(head));
        if (len > 0) {
            (void)crypto_generichash_update(h, p, (unsigned long long)len);
        }
    }
}

static void digest_query(crypto_generichash_state *h, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        faults_fail("%s: %s", sql, sqlite3_errmsg(db));
    }
    int rc = SQLITE_ROW;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        digest_row(h, stmt);
    }
    (void)sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE) {
        faults_fail("%s: %s", sql, sqlite3_errmsg(db));
    }
}

void world_digest(struct app *app, uint8_t out[32])
{
    crypto_generichash_state h;
    char sql[200];
    char names[64][64];
    size_t count = 0;
    sqlite3_stmt *stmt = NULL;
    sqlite3 *db = vault_db(app->vault);
    (void)crypto_generichash_init(&h, NULL, 0, 32);
    check(sqlite3_prepare_v2(
              db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", -1, &stmt, NULL) == SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        check(count < ARRAY_LEN(names));
        (void)snprintf(names[count++], sizeof(names[0]), "%s", (const char *)sqlite3_column_text(stmt, 0));
    }
    (void)sqlite3_finalize(stmt);
    check(count > 10);
    for (size_t i = 0; i < count; i++) {
        bool has_mark = strcmp(names[i], "kv_meta") == 0;
        (void)snprintf(sql, sizeof(sql), "SELECT * FROM \"%.63s\"%s", names[i],
            has_mark ? " WHERE k <> CAST('mark' AS BLOB)" : "");
        digest_query(&h, db, sql);
    }
    (void)crypto_generichash_final(&h, out, 32);
}

bool world_same(const uint8_t a[32], const uint8_t b[32])
{
    return memcmp(a, b, 32) == 0;
}

/* --- asking --- */

static enum err err_of(const json_t *reply)
{
    const char *name = json_string_value(json_object_get(reply, "error"));
    const json_t *code = json_object_get(reply, "code");
    if (!json_is_integer(code)) {
        return ERR_BUG;
    }
    if (name == NULL) {
        return json_integer_value(code) == 0 ? ERR_OK : ERR_BUG;
    }
    for (int e = 0; e < ERR_COUNT; e++) {
        if (strcmp(name, err_name((enum err)e)) == 0) {
            return (enum err)e;
        }
    }
    return ERR_BUG;
}

void world_ask(struct app *app, const char *user, const char *verb, const char *args, struct answer *out)
{
    static char text[1 << 18];
    int n = snprintf(text, sizeof(text), "{\"verb\":\"%s\",\"user\":\"%s\",\"password\":\"a password 1\",\"args\":%s}",
        verb, user, args);
    check(n > 0 && (size_t)n < sizeof(text));
    if (inject_is_armed()) {
        faults_cover("request", verb);
    }
    /* A login asks whether there is a daemon, and nothing of it. */
    struct daemon *daemon = strcmp(verb, "login") == 0 ? (struct daemon *)(void *)app : NULL;
    json_t *reply = request_run_text(app, bytes_str(text), daemon, 0);
    char *owned = NULL;
    struct bytes bytes = request_dump(reply, &owned);
    *out = (struct answer){ .e = owned == NULL ? ERR_NOMEM : err_of(reply) };
    (void)crypto_generichash(out->digest, 32, bytes.ptr, bytes.len, NULL, 0);
    (void)snprintf(out->text, sizeof(out->text), "%.*s", (int)bytes.len, (const char *)bytes.ptr);
    json_mem_free(owned);
    json_decref(reply);
}

/* --- the judge --- */

struct app *world_open(struct disk_sim *disk, const char *home)
{
    struct app *app = NULL;
    struct why why = { { 0 }, { 0 } };
    enum err e = app_open_on(disk_sim_disk(disk), home, WORLD_PASSPHRASE, &app, &why);
    if (e != ERR_OK) {
        faults_fail("does not open again: %s %s", err_name(e), why.en);
    }
    return app;
}

void world_expect_class(const struct point *p, enum err e)
{
    bool is_right = e == ERR_IO;
    if (fault_is_memory(p->kind)) {
        is_right = e == ERR_NOMEM;
    } else if (p->kind == FAULT_FULL) {
        is_right = e == ERR_FULL;
    }
    if (!is_right) {
        faults_fail("answered with %s", err_name(e));
    }
}

/* A write that counts: it must be there as soon as it is acknowledged. A relay has no customers, and others may have
 * let go of this one. */
static enum err next_command(struct app *app, const char *word, struct answer *out)
{
    char args[200];
    (void)snprintf(args, sizeof(args), "{\"id\":\"%s\",\"fields\":{\"industry\":\"%s\"}}", ids.customer, word);
    world_ask(app, "wang", "set", args, out);
    if (out->e == ERR_NOT_FOUND || members_node(app->members, app->core.self.number)->kind == NODE_RELAY) {
        (void)snprintf(args, sizeof(args), "{\"address\":\"10.0.0.%u:7420\",\"node\":2}", (uint8_t)word[3] % 200U);
        world_ask(app, "boss", "peer-add", args, out);
    }
    return out->e;
}

/* A relay has no keys to say what commits mean: what counts there is the commits. */
static void state_of(struct app *app, uint8_t out[32])
{
    crypto_generichash_state h;
    enum err e = core_statehash(&app->core, &app->arena, out);
    arena_reset(&app->arena);
    if (e == ERR_NO_KEY) {
        (void)crypto_generichash_init(&h, NULL, 0, 32);
        digest_query(&h, vault_db(app->vault), "SELECT * FROM kv_log");
        (void)crypto_generichash_final(&h, out, 32);
    } else if (e != ERR_OK) {
        faults_fail("state hash: %s", err_name(e));
    }
}

static void verify_deep(struct app *app)
{
    struct why why = { { 0 }, { 0 } };
    uint8_t before[32];
    uint8_t after[32];
    if (app_verify(app, true, NULL, &why) != ERR_OK) {
        faults_fail("verify: %s", why.en);
    }
    state_of(app, before);
    if (app_verify(app, false, &(struct core_mended){ 0 }, &why) != ERR_OK) {
        faults_fail("rebuild: %s", why.en);
    }
    state_of(app, after);
    if (!world_same(before, after)) {
        faults_fail("rows are not what the log says");
    }
}

static void expect_state(struct app *app, const struct point *p, enum err e, const struct reference *want)
{
    uint8_t now[32];
    world_digest(app, now);
    bool may_be_done = e == ERR_OK || !fault_is_memory(p->kind);
    bool may_be_undone = e != ERR_OK;
    if ((may_be_done && world_same(now, want->after)) || (may_be_undone && world_same(now, want->before))) {
        return;
    }
    faults_fail("answered with %s, the store holds %s", err_name(e),
        world_same(now, want->after)    ? "what was asked for"
        : world_same(now, want->before) ? "nothing of it"
                                        : "neither what it held before nor what it should hold");
}

/* Power comes back; for a second loss it goes again while the node opens. */
static void power_again(const struct point *p, struct disk_sim *disk, const char *home)
{
    if (!fault_is_crash(p->kind)) {
        disk_sim_power_cycle(disk, SIM_DROP, p->k);
        return;
    }
    disk_sim_power_cycle(disk, p->damage, p->k);
    if (p->kind == FAULT_CRASH_TWICE) {
        struct app *app = NULL;
        struct why why = { { 0 }, { 0 } };
        disk_sim_crash_after(disk, p->k * 7 % 13 + (p->is_sticky ? 5 : 0));
        enum err e = app_open_on(disk_sim_disk(disk), home, WORLD_PASSPHRASE, &app, &why);
        if (e == ERR_OK) {
            app_close(app);
        }
        disk_sim_power_cycle(disk, p->damage, p->k + 1);
    }
}

/* The node still stands: memory and a full disk leave it able to go on, other faults may have closed its store. */
static bool go_on(struct app *app, const struct point *p, enum err e, const struct reference *want)
{
    struct answer next;
    if (p->kind == FAULT_SYNC && sqlite3_exec(vault_db(app->vault), "SELECT 1 FROM kv_meta", NULL, NULL, NULL) != 0) {
        return false; /* after a failed sync nothing is read or written until the store is opened again */
    }
    expect_state(app, p, e, want);
    bool must_work = fault_is_memory(p->kind) || p->kind == FAULT_FULL || p->kind == FAULT_READ;
    if (next_command(app, "医疗", &next) != ERR_OK && must_work) {
        faults_fail("after %s the next command fails: %s", err_name(e), next.text);
    }
    return next.e == ERR_OK;
}

struct app *world_judge(
    const struct point *p, struct app *app, struct disk_sim *disk, enum err e, const struct reference *want)
{
    char home[64];
    uint8_t told[32] = { 0 };
    uint8_t now[32];
    struct answer next;
    bool has_gone_on = false;
    keep(home, sizeof(home), app->home);
    if (e != ERR_OK && !fault_is_crash(p->kind)) {
        world_expect_class(p, e);
    }
    if (!fault_is_crash(p->kind)) {
        has_gone_on = go_on(app, p, e, want);
    }
    if (has_gone_on) {
        world_digest(app, told);
    }
    bool is_closed = fault_is_crash(p->kind) || p->k % 2 == 0;
    if (is_closed) {
        app_close(app);
    }
    if (is_closed && inject_live() != want->live) {
        faults_fail("%lld pieces of memory are left over", (long long)(inject_live() - want->live));
    }
    power_again(p, disk, home);
    app = world_open(disk, home);
    world_digest(app, now);
    if (has_gone_on && !world_same(now, told)) {
        faults_fail("after opening again the store does not hold what was acknowledged");
    }
    if (!has_gone_on) {
        expect_state(app, p, e, want);
    }
    verify_deep(app);
    if (next_command(app, "教育", &next) != ERR_OK) {
        faults_fail("opened again, the next command fails: %s", next.text);
    }
    return app;
}
