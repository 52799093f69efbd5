/*
 * Owns: enrolling nodes whose keys are no secret, and their Hello. Invariant: what is said is what an honest, empty
 * node that knows the whole membership log would say.
 */
#include "tests/lib/raw_member.h"

#include "node/app.h"
#include "schema/base/check.h"
#include "schema/wire.h"
#include "tests/lib/testkit.h"

#include <stdio.h>
#include <stdlib.h>

static void fill_seed(uint8_t mark, uint32_t index, uint8_t seed[32])
{
    memset(seed, 0, 32);
    seed[0] = mark;
    seed[1] = (uint8_t)(index >> 8);
    seed[2] = (uint8_t)index;
}

void raw_member_seed(uint32_t index, uint8_t tls_seed[32])
{
    fill_seed(0x68, index, tls_seed);
}

static void enrol_one(struct app *app, uint32_t index, uint32_t *number)
{
    const struct app_invite in = { .kind = NODE_STATION, .station_code = BYTES_LIT("S1"), .holds_group = true };
    char text[INVITE_CODE_MAX];
    struct invite_code code;
    uint8_t seed[32];
    uint8_t tls_key[32];
    uint8_t sign_key[32];
    uint8_t box_key[32];
    uint8_t secret[64];
    uint8_t proof[32];
    const struct bytes *entries = NULL;
    size_t count = 0;
    check(
        app_invite(app, &in, text, NULL, NULL) == ERR_OK && invite_code_parse(bytes_str(text), &code, NULL) == ERR_OK);
    raw_member_seed(index, seed);
    seal_sign_keypair(seed, tls_key, secret);
    fill_seed(0x69, index, seed);
    seal_sign_keypair(seed, sign_key, secret);
    fill_seed(0x6A, index, seed);
    seal_box_keypair(seed, box_key, secret);
    invite_proof(&code, tls_key, sign_key, box_key, proof);
    const struct wire_message rq = { .kind = WIRE_JOIN_REQUEST,
        .invite = BYTES_OF(code.id),
        .proof = BYTES_OF(proof),
        .sign_key = BYTES_OF(sign_key),
        .box_key = BYTES_OF(box_key) };
    check(app_enrol(app, tls_key, &rq, number, &entries, &count) == ERR_OK);
    arena_reset(&app->arena);
}

void raw_member_enrol(const char *home, struct bytes passphrase, uint32_t count, const char *file)
{
    struct app *app = NULL;
    struct raw_group g = { .count = count };
    check(app_open(home, passphrase, &app, NULL) == ERR_OK);
    check(app_set_listen(app, BYTES_LIT("127.0.0.1:1")) == ERR_OK); /* an invite names an address */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = 0;
        enrol_one(app, i, &number);
        g.first = i == 0 ? number : g.first;
        check(number == g.first + i);
    }
    memcpy(g.group_id, members_group_id(app->members), sizeof(g.group_id));
    g.head = members_head(app->members, g.head_hash);
    app_close(app);
    FILE *f = fopen(file, "wb");
    check(f != NULL && fwrite(&g, sizeof(g), 1, f) == 1 && fclose(f) == 0);
}

struct raw_group raw_member_load(const char *file)
{
    struct raw_group g;
    FILE *f = fopen(file, "rb");
    check(f != NULL && fread(&g, sizeof(g), 1, f) == 1 && fclose(f) == 0);
    return g;
}

void raw_member_hello(const struct raw_group *g, uint32_t index, struct raw_line *l)
{
    static const uint8_t nothing = 0;
    const struct audit au = { .group_id = g->group_id };
    struct audit_head head;
    uint8_t seed[32];
    uint8_t sign_key[32];
    uint8_t secret[64];
    struct buf head_bytes;
    struct buf b;
    struct arena a;
    arena_init(&a, test_mem(), WIRE_ARENA_BYTES);
    buf_init(&head_bytes, test_mem(), 1024);
    buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
    fill_seed(0x69, index, seed);
    seal_sign_keypair(seed, sign_key, secret);
    audit_sign_head(&au, g->first + index, 1, secret, &head);
    audit_head_put(&head_bytes, &head);
    const struct wire_message m = { .kind = WIRE_HELLO,
        .hello = { .version_min = WIRE_VERSION,
            .version_max = WIRE_VERSION,
            .group = BYTES_OF(g->group_id),
            .node = g->first + index,
            .epoch = 1,
            .member_number = g->head,
            .member_hash = BYTES_OF(g->head_hash),
            .settled = bytes_of(&nothing, 1),
            .audit_head = buf_view(&head_bytes) } };
    wire_put(&b, &a, &m);
    check(b.err == ERR_OK);
    raw_message(l, buf_view(&b));
    buf_release(&b);
    buf_release(&head_bytes);
    arena_release(&a);
}

bool raw_member_meet(const struct raw_place *to, const struct raw_group *g, uint32_t index, struct raw_line *out)
{
    static uint8_t room[1 << 20];
    uint8_t seed[32];
    uint8_t first = 0;
    raw_member_seed(index, seed);
    if (!raw_open(to, seed, out)) {
        return false;
    }
    raw_member_hello(g, index, out);
    if (raw_next(out, &first, room, sizeof(room), 10000) < 0) {
        raw_close(out);
        return false;
    }
    return true;
}
