/*
 * Owns: every piece of a bundle under every fault: s1 writes one, s2 takes it in, piece by piece as the command asks.
 * Whatever broke, begun anew it comes to its end and both hold the same.
 */
#include "tests/faults/loops.h"

#include "schema/base/check.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { FRAMES_MAX = 32 };

struct bundle {
    char *header;
    char *frames[FRAMES_MAX];
    size_t count;
};

static char *text_of(const json_t *result)
{
    char *text = strdup(text_in(result, "bytes"));
    check(text != NULL && strlen(text) > 0);
    return text;
}

/* A frame of the file begins with its length, which the command keeps to itself. */
static char *frame_of(const json_t *result)
{
    static uint8_t raw[1 << 17];
    static char text[1 << 18];
    const char *whole = text_in(result, "bytes");
    size_t len = 0;
    check(sodium_base642bin(raw, sizeof(raw), whole, strlen(whole), NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) ==
              0 &&
          len > 4);
    char *out = strdup(sodium_bin2base64(text, sizeof(text), raw + 4, len - 4, sodium_base64_VARIANT_ORIGINAL));
    check(out != NULL);
    return out;
}

static json_int_t id_of(const json_t *result)
{
    return json_integer_value(json_object_get(result, "id"));
}

static void drop(struct bundle *b)
{
    free(b->header);
    for (size_t i = 0; i < b->count; i++) {
        free(b->frames[i]);
    }
}

static bool is_done(const json_t *result)
{
    return json_is_true(json_object_get(result, "finished"));
}

static void write_out(struct bundle *b)
{
    json_t *r = want(s1, "boss", "bundle-export", json_pack("{ss}", "for", "2"));
    json_int_t id = id_of(r);
    *b = (struct bundle){ .header = text_of(r) };
    json_decref(r);
    for (bool is_last = false; !is_last;) {
        check(b->count < FRAMES_MAX);
        r = want(s1, "boss", "bundle-export-next", json_pack("{sI}", "id", id));
        b->frames[b->count++] = frame_of(r);
        is_last = is_done(r);
        json_decref(r);
    }
}

static void expect_goes_anew(void)
{
    struct bundle b;
    uint8_t hashes[2][32];
    write_out(&b);
    json_t *r = want(s2, "boss", "bundle-import", json_pack("{ss}", "bytes", b.header));
    json_int_t id = id_of(r);
    json_decref(r);
    for (size_t i = 0; i < b.count; i++) {
        r = want(s2, "boss", "bundle-import-next", json_pack("{sIss}", "id", id, "bytes", b.frames[i]));
        json_decref(r);
    }
    drop(&b);
    carry(s2, s1); /* what the judge wrote at the receiver */
    if (core_statehash(&s1->core, &s1->arena, hashes[0]) != ERR_OK ||
        core_statehash(&s2->core, &s2->arena, hashes[1]) != ERR_OK || !world_same(hashes[0], hashes[1])) {
        faults_fail("after another bundle the two differ");
    }
}

/* A request at one of the two. */
struct piece {
    struct asking q;
    struct app **app;
    struct disk_sim *disk;
};

static bool try_piece(const void *arg, const struct point *p)
{
    const struct piece *piece = arg;
    struct app *app = asking_judged(&piece->q, *piece->app, piece->disk, p);
    if (app == NULL) {
        return false;
    }
    *piece->app = app;
    expect_goes_anew();
    return true;
}

static void try_under_faults(bool is_writing, const char *name, const char *verb, const char *args)
{
    const struct piece piece = { .q = { .name = name, .user = "boss", .verb = verb, .args = args },
        .app = is_writing ? &s1 : &s2,
        .disk = is_writing ? disk_a : disk_b };
    faults_run(name, false, try_piece, &piece);
}

/* Tries the request, then makes it; the result belongs to the caller. */
static json_t *ask_under_faults(bool is_writing, const char *name, const char *verb, const char *args)
{
    json_error_t error;
    try_under_faults(is_writing, name, verb, args);
    return want(is_writing ? s1 : s2, "boss", verb, json_loads(args, 0, &error));
}

static void write_under_faults(struct bundle *b)
{
    char args[80];
    char name[40];
    json_t *r = ask_under_faults(true, "bundle export", "bundle-export", "{\"for\":\"2\"}");
    json_int_t id = id_of(r);
    *b = (struct bundle){ .header = text_of(r) };
    json_decref(r);
    (void)snprintf(args, sizeof(args), "{\"id\":%lld}", (long long)id);
    try_under_faults(true, "bundle drop", "bundle-drop", args);
    for (bool is_last = false; !is_last;) {
        check(b->count < FRAMES_MAX);
        (void)snprintf(name, sizeof(name), "bundle export next %zu", b->count + 1);
        r = ask_under_faults(true, name, "bundle-export-next", args);
        b->frames[b->count++] = frame_of(r);
        is_last = is_done(r);
        json_decref(r);
    }
}

static void read_under_faults(const struct bundle *b)
{
    static char args[1 << 17];
    char name[40];
    check(snprintf(args, sizeof(args), "{\"bytes\":\"%s\"}", b->header) < (int)sizeof(args));
    json_t *r = ask_under_faults(false, "bundle import", "bundle-import", args);
    json_int_t id = id_of(r);
    json_decref(r);
    for (size_t i = 0; i < b->count; i++) {
        check(snprintf(args, sizeof(args), "{\"id\":%lld,\"bytes\":\"%s\"}", (long long)id, b->frames[i]) <
              (int)sizeof(args));
        (void)snprintf(name, sizeof(name), "bundle import next %zu", i + 1);
        json_decref(ask_under_faults(false, name, "bundle-import-next", args));
    }
}

static void on_a_stick(const void *arg)
{
    struct bundle b;
    (void)arg;
    expect(0, ask(s1, "zhao", "set", set1(ids.customer, "industry", "金融")));
    (void)new_customer(s1, "chen", "赵六");
    write_under_faults(&b);
    read_under_faults(&b);
    drop(&b);
}

void loop_bundles(void)
{
    faults_apart("bundle", on_a_stick, NULL);
}
