/*
 * Owns: every verb under every fault, asked as the daemon asks: bytes of a request in, bytes of a reply out. A reply
 * that says ok says exactly what the one without a fault says.
 */
#include "tests/faults/loops.h"
#include "tests/faults/world.h"

#include "schema/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_BYTES = 1 << 18 };

static const struct asking verbs[] = {
    { "new customer", true, "wang", "new",
        "{\"entity\":\"customer\",\"fields\":{\"full_name\":\"周小雨\",\"kind\":\"个人\"}}" },
    { "new contact_point", false, "wang", "new",
        "{\"entity\":\"contact_point\",\"fields\":{\"customer\":\"$C\",\"type\":\"mobile\",\"value\":\"13800138000\"}}" },
    { "new grade_event", false, "wang", "new",
        "{\"entity\":\"grade_event\",\"fields\":{\"customer\":\"$C\",\"opportunity\":\"$O\",\"to_grade\":\"H\"}}" },
    { "set", true, "zhao", "set", "{\"id\":\"$C\",\"fields\":{\"industry\":\"金融\"}}" },
    { "set nothing new", false, "zhao", "set", "{\"id\":\"$C\",\"fields\":{\"full_name\":\"王小明\"}}" },
    { "set denied", false, "chen", "set", "{\"id\":\"$C\",\"fields\":{\"industry\":\"金融\"}}" },
    { "delete", true, "zhao", "delete", "{\"id\":\"$P\"}" },
    { "decide", true, "zhao", "decide", "{\"conflict\":\"$K\",\"take\":\"$T\",\"reason\":\"客户确认\"}" },
    { "decide value", false, "zhao", "decide",
        "{\"conflict\":\"$K\",\"take\":\"$T\",\"reason\":\"x\",\"reopen\":true}" },
    { "get", false, "wang", "get", "{\"id\":\"$C\",\"purpose\":\"P1\"}" },
    { "get masked", false, "chen", "get", "{\"id\":\"$C\",\"purpose\":\"P1\"}" },
    { "find", false, "wang", "find",
        "{\"entity\":\"customer\",\"where\":{\"full_name\":\"王小明\"},\"purpose\":\"P1\"}" },
    { "find due", false, "wang", "find",
        "{\"entity\":\"followup_task\",\"where\":{\"due\":\"all\"},\"purpose\":\"P1\"}" },
    { "due", false, "wang", "due", "{\"purpose\":\"P1\"}" },
    { "history", false, "wang", "history", "{\"id\":\"$C\",\"purpose\":\"P1\"}" },
    { "conflicts", false, "zhao", "conflicts", "{\"open\":true}" },
    { "conflict", false, "zhao", "conflict", "{\"id\":\"$K\"}" },
    { "known", false, "wang", "known", "{\"value\":\"13900001234\",\"purpose\":\"P1\"}" },
    { "import", true, "zhao", "import",
        "{\"entity\":\"customer\",\"header\":[\"姓名\",\"手机\",\"职业\"],"
        "\"rows\":[\"2;6:赵一11:137000000016:教师\",\"3;6:钱二2:120:\",\"4;6:孙三11:137000000030:\"]}" },
    { "import dry run", false, "zhao", "import",
        "{\"entity\":\"customer\",\"dry_run\":true,\"header\":[\"姓名\",\"手机\"],\"rows\":[\"2;6:赵一11:13700000001\"]}" },
    { "export", false, "zhao", "export", "{\"entity\":\"customer\",\"purpose\":\"P1\"}" },
    { "dump", false, "zhao", "dump", "{\"purpose\":\"P1\"}" },
    { "audit", false, "li", "audit", "{\"subject\":\"$C\",\"limit\":1000}" },
    { "audit-verify", false, "li", "audit-verify", "{}" },
    { "audit-export", false, "li", "audit-export", "{\"from\":1,\"limit\":20}" },
    { "audit-heads", false, "li", "audit-heads", "{}" },
    { "status", false, "boss", "status", "{}" },
    { "whoami", false, "wang", "whoami", "{}" },
    { "login", false, "wang", "login", "{}" },
    { "logout", false, "wang", "logout", "{\"token\":\"00\"}" },
    { "user-add", true, "boss", "user-add",
        "{\"login\":\"wu\",\"name\":\"吴\",\"station\":\"S1\",\"roles\":\"SC\",\"password\":\"a password 1\"}" },
    { "user-role", false, "boss", "user-role", "{\"login\":\"chen\",\"roles\":\"SM\"}" },
    { "user-disable", false, "boss", "user-disable", "{\"login\":\"chen\"}" },
    { "user-enable", false, "boss", "user-disable", "{\"login\":\"mei\",\"enable\":true}" },
    { "user-passwd", false, "boss", "user-passwd", "{\"login\":\"chen\",\"password\":\"another one\"}" },
    { "user-list", false, "boss", "user-list", "{}" },
    { "user-add denied", false, "wang", "user-add", "{\"login\":\"wu\"}" },
    { "node-list", false, "boss", "node-list", "{}" },
    { "node-revoke", false, "boss", "node-revoke", "{\"id\":2,\"reason\":\"丢失\"}" },
    { "node-scope less", false, "boss", "node-scope", "{\"id\":2}" },
    { "node-scope as it is", false, "boss", "node-scope", "{\"id\":2,\"scope\":\"group\"}" },
    { "node-scope of itself", false, "boss", "node-scope", "{\"id\":1,\"scope\":\"group\"}" },
    { "invite", false, "boss", "invite", "{\"kind\":\"station\",\"station\":\"S3\",\"scope\":\"group\"}" },
    { "members-trust", false, "boss", "members-trust", "{\"peers_are_gone\":true}" },
    { "peer-list", false, "boss", "peer-list", "{}" },
    { "peer-add", false, "boss", "peer-add", "{\"address\":\"10.0.0.3:7420\",\"node\":2}" },
    { "peer-remove", false, "boss", "peer-remove", "{\"address\":\"10.0.0.2:7420\"}" },
    { "policy-show", false, "li", "policy-show", "{\"role\":\"SC\",\"purpose\":\"P1\"}" },
    { "verify deep", false, "boss", "verify", "{\"deep\":true}" },
    { "verify rebuild", false, "boss", "verify", "{\"deep\":true,\"rebuild\":true}" },
    { "statehash", false, "boss", "statehash", "{}" },
    { "wrong password", false, "nobody", "whoami", "{}" },
    { "no such verb", false, "boss", "frobnicate", "{}" },
};

static void fill_in(const char *form, char *out, size_t room)
{
    const struct {
        char sign;
        const char *text;
    } texts[] = { { 'C', ids.customer }, { 'P', ids.contact }, { 'O', ids.opportunity }, { 'K', ids.conflict },
        { 'T', ids.take } };
    size_t n = 0;
    for (const char *p = form; *p != '\0'; p++) {
        const char *text = NULL;
        for (size_t i = 0; *p == '$' && i < ARRAY_LEN(texts); i++) {
            text = p[1] == texts[i].sign ? texts[i].text : text;
        }
        if (text == NULL) {
            check(n + 1 < room);
            out[n++] = *p;
        } else {
            check(n + strlen(text) < room);
            memcpy(out + n, text, strlen(text));
            n += strlen(text);
            p++;
        }
    }
    out[n] = '\0';
}

struct app *asking_judged(const struct asking *q, struct app *app, struct disk_sim *disk, const struct point *p)
{
    static char args[ARGS_BYTES];
    struct reference *want = faults_reference();
    struct answer got;
    fill_in(q->args, args, sizeof(args));
    if (p == NULL) {
        world_digest(app, want->before);
        world_ask(app, q->user, q->verb, args, &got);
        world_digest(app, want->after);
        memcpy(want->reply, got.digest, sizeof(want->reply));
        want->e = got.e;
        if (getenv("LOOP_SHOW") != NULL) {
            (void)fprintf(stderr, "%s: %s\n", q->name, got.text);
        }
        app_close(app);
        want->live = inject_live();
        return NULL;
    }
    inject_arm(p, disk);
    world_ask(app, q->user, q->verb, args, &got);
    if (!inject_disarm(disk)) {
        return NULL;
    }
    /* As without a fault, also where that is a refusal. */
    bool is_same = world_same(got.digest, want->reply);
    if (got.e == want->e && !is_same) {
        faults_fail("another answer: %s", got.text);
    }
    return world_judge(p, app, disk, is_same ? ERR_OK : got.e, want);
}

static bool try_asking(const void *asking, const struct point *p)
{
    struct app *app = asking_judged(asking, s1, disk_a, p);
    app_close(app);
    return app != NULL;
}

void loop_verbs(void)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        faults_run(verbs[i].name, verbs[i].is_core, try_asking, &verbs[i]);
    }
}
