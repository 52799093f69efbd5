/*
 * Any bytes as membership entries. First byte 0: the rest is one entry as received. Otherwise a list of (kind, length
 * u16 be, body), each signed by the group's authority and folded, because random bytes never carry a good signature. A
 * refused entry changes nothing; an accepted body is written back byte by byte; folding the same again gives the same.
 */
#include "schema/base/check.h"
#include "sync/member_entry.h"
#include "tests/lib/testkit.h"

#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { ENTRIES_MAX = 16 };

struct group {
    uint8_t public_key[SIGN_PUBLIC_BYTES];
    uint8_t secret_key[SIGN_SECRET_BYTES];
    struct node_secrets self;
    struct members *m;
    struct members *twin;
};

static void group_open(struct group *g)
{
    const uint8_t seed[32] = { 0xAA };
    const uint8_t box_seed[32] = { 1, 2 }; /* the wrap in the corpus opens */
    struct rng rng = test_rng(1);
    struct buf b;
    *g = (struct group){ .self = { .number = 1 } };
    seal_sign_keypair(seed, g->public_key, g->secret_key);
    seal_box_keypair(box_seed, g->self.box_public, g->self.box_secret);
    check(members_new(test_mem(), &g->self, &g->m) == ERR_OK);
    check(members_new(test_mem(), &g->self, &g->twin) == ERR_OK);
    buf_init(&b, test_mem(), MEMBER_ENTRY_MAX_BYTES);
    const struct member_author by = { .authority_secret = g->secret_key, .hlc = 1, .rng = &rng };
    check(members_make_genesis(g->m, &by, "g", &b) == ERR_OK);
    check(members_append(g->m, buf_view(&b)) == ERR_OK);
    check(members_append(g->twin, buf_view(&b)) == ERR_OK);
    buf_release(&b);
}

static void put_keys_again(struct buf *b, struct bytes body)
{
    struct wrap_cursor c;
    struct member_wrap w;
    check(member_keys_open(body, &c) == ERR_OK);
    member_keys_put_head(b, c.station, c.left);
    while (member_keys_next(&c, &w) == ERR_OK) {
        member_keys_put_wrap_head(b, w.epoch, w.node);
        buf_put_bytes(b, w.wrapped);
    }
}

static void put_again(struct buf *b, struct arena *a, uint8_t kind, struct bytes body)
{
    struct member_station station;
    struct member_node node;
    struct member_user user;
    struct member_revocation revocation;
    switch ((enum member_kind)kind) {
    case MEMBER_GENESIS:
        break;
    case MEMBER_STATION:
        check(member_station_take(body, &station) == ERR_OK);
        member_station_put(b, &station);
        break;
    case MEMBER_NODE:
        check(member_node_take(body, &node) == ERR_OK);
        member_node_put(b, &node);
        break;
    case MEMBER_USER:
        check(member_user_take(body, &user) == ERR_OK);
        member_user_put(b, &user);
        break;
    case MEMBER_KEYS:
        put_keys_again(b, body);
        break;
    case MEMBER_REVOKE:
        check(member_revocation_take(body, a, &revocation) == ERR_OK);
        member_revocation_put(b, &revocation);
        break;
    case MEMBER_SCOPE:
        check(member_scope_take(body, &node) == ERR_OK);
        member_scope_put(b, &node);
        break;
    }
}

static void check_round_trip(uint8_t kind, struct bytes body)
{
    struct buf b;
    struct arena a;
    arena_init(&a, test_mem(), 1 << 20);
    buf_init(&b, test_mem(), MEMBER_ENTRY_MAX_BYTES);
    put_again(&b, &a, kind, body);
    check(bytes_equal(buf_view(&b), body));
    buf_release(&b);
    arena_release(&a);
}

static void fold(struct group *g, uint8_t kind, struct bytes body)
{
    struct member_entry en = { .kind = kind, .body = body };
    uint8_t signature[MEMBER_SIGNATURE_BYTES];
    uint8_t before[32];
    uint8_t after[32];
    struct buf b;
    en.number = members_head(g->m, en.prev) + 1;
    memcpy(before, en.prev, sizeof(before));
    buf_init(&b, test_mem(), MEMBER_ENTRY_MAX_BYTES);
    member_entry_put(&b, &en);
    seal_sign("jipan/member/v1", members_group_id(g->m), buf_view(&b), g->secret_key, signature);
    buf_put(&b, signature, sizeof(signature));
    enum err e = members_append(g->m, buf_view(&b));
    uint64_t head = members_head(g->m, after);
    if (e == ERR_OK) {
        check(head == en.number);
        check(members_append(g->m, buf_view(&b)) == ERR_EXISTS);
        check(members_append(g->twin, buf_view(&b)) == ERR_OK);
        check_round_trip(kind, body);
    } else {
        check(head == en.number - 1 && memcmp(before, after, sizeof(before)) == 0);
        check(members_append(g->twin, buf_view(&b)) == e);
    }
    buf_release(&b);
}

static void check_answers(const struct members *m)
{
    for (size_t i = 0; i < members_user_count(m); i++) {
        const struct member_user *u = members_user_at(m, i);
        check(u->number == i + 1 && members_user(m, u->number) == u);
        check(members_user_by_login(m, bytes_str(u->login)) == u);
        check(members_station(m, u->station) != NULL);
    }
    for (size_t i = 0; i < members_node_count(m); i++) {
        const struct member_node *n = members_node_at(m, i);
        check(n->number == i + 1 && members_node_by_tls(m, n->tls_key) == n);
    }
    for (size_t i = 0; i < members_station_count(m); i++) {
        const struct member_station *s = members_station_at(m, i);
        check(members_station_by_code(m, bytes_str(s->code)) == s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct group g;
    if (len == 0 || sodium_init() < 0) {
        return 0;
    }
    group_open(&g);
    struct reader r = reader_of(bytes_of(data + 1, len - 1));
    if (data[0] == 0) {
        check(members_append(g.m, bytes_of(data + 1, len - 1)) != ERR_OK);
    }
    for (size_t i = 0; data[0] != 0 && i < ENTRIES_MAX; i++) {
        uint8_t head[3];
        struct bytes body;
        if (reader_copy(&r, head, sizeof(head)) != ERR_OK ||
            reader_take(&r, (size_t)head[1] << 8 | head[2], &body) != ERR_OK) {
            break;
        }
        fold(&g, head[0], body);
    }
    check_answers(g.m);
    members_free(g.m);
    members_free(g.twin);
    check(test_mem()->used_bytes == 0);
    return 0;
}
