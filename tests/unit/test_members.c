/* The membership log: folding, refusing, answering as of an entry, class keys, revocation; every allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/member_entry.h"
#include "tests/lib/store_mem.h"
#include "tests/lib/testkit.h"

#include <sodium.h>
#include <stdio.h>

/* One authority and one node that folds what it makes; entries are kept for replay. */
enum { ENTRIES_MAX = 64 };

struct world {
    struct members *m;
    struct rng rng;
    struct member_author by;
    uint8_t authority_public[SIGN_PUBLIC_BYTES];
    uint8_t authority_secret[SIGN_SECRET_BYTES];
    struct node_secrets self;
    struct buf entries[ENTRIES_MAX];
    size_t count;
};

static struct node_secrets secrets_of(uint32_t number)
{
    struct node_secrets s = { .number = number };
    uint8_t seed[32] = { (uint8_t)number, (uint8_t)(number >> 8), 7 };
    seal_sign_keypair(seed, s.sign_public, s.sign_secret);
    seed[2] = 8;
    seal_box_keypair(seed, s.box_public, s.box_secret);
    seed[2] = 9;
    memcpy(s.tls_public, seed, 32);
    return s;
}

static struct member_node node_of(uint32_t number, enum node_kind kind, uint32_t station)
{
    struct node_secrets s = secrets_of(number);
    struct member_node n = { .number = number, .kind = kind, .station = station };
    memcpy(n.sign_key, s.sign_public, 32);
    memcpy(n.box_key, s.box_public, 32);
    memcpy(n.tls_key, s.tls_public, 32);
    return n;
}

static struct buf *next_entry(struct world *w)
{
    assert_true(w->count < ENTRIES_MAX);
    struct buf *b = &w->entries[w->count];
    buf_init(b, test_mem(), MEMBER_ENTRY_MAX_BYTES);
    return b;
}

static enum err fold(struct world *w, enum err made)
{
    if (made == ERR_OK) {
        made = members_append(w->m, buf_view(&w->entries[w->count]));
    }
    if (made == ERR_OK) {
        w->count++;
        w->by.hlc++;
    } else {
        buf_release(&w->entries[w->count]);
    }
    return made;
}

static enum err add_station(struct world *w, const char *code)
{
    struct member_station s = { .number = members_next_station_number(w->m) };
    memcpy(s.code, code, strlen(code));
    memcpy(s.name, "城东店", sizeof("城东店"));
    return fold(w, members_make_station(w->m, &w->by, &s, next_entry(w)));
}

static enum err add_node(struct world *w, const struct member_node *n)
{
    return fold(w, members_make_node(w->m, &w->by, n, next_entry(w)));
}

static struct member_user user_of(uint32_t number, const char *login, uint32_t roles)
{
    struct member_user u = { .number = number, .station = 1, .roles = roles, .is_active = true };
    memcpy(u.login, login, strlen(login));
    memcpy(u.name, "王小明", sizeof("王小明"));
    memcpy(u.verifier, "$argon2id$v=19$x", sizeof("$argon2id$v=19$x"));
    return u;
}

static enum err add_user(struct world *w, const struct member_user *u)
{
    return fold(w, members_make_user(w->m, &w->by, u, next_entry(w)));
}

static enum err add_epoch(struct world *w, uint32_t station)
{
    return fold(w, members_make_key_epoch(w->m, &w->by, station, next_entry(w)));
}

static enum err revoke(struct world *w, uint32_t node, const struct vv *cut)
{
    return fold(w, members_make_revoke(w->m, &w->by, node, cut, "丢失 / lost", next_entry(w)));
}

static struct members *fresh(uint32_t number)
{
    struct node_secrets s = secrets_of(number);
    struct members *m = NULL;
    assert_int_equal(members_new(test_mem(), &s, &m), ERR_OK);
    return m;
}

static struct world *world_bare(void)
{
    static struct world w;
    uint8_t seed[32] = { 42 };
    w = (struct world){ .rng = test_rng(1), .self = secrets_of(1) };
    seal_sign_keypair(seed, w.authority_public, w.authority_secret);
    w.by = (struct member_author){ .authority_secret = w.authority_secret, .hlc = 1000, .rng = &w.rng };
    w.m = fresh(1);
    return &w;
}

/* Genesis, stations 1 and 2, node 1 (station 1), user 1 (station 1). */
static struct world *world_new(void)
{
    struct world *w = world_bare();
    struct member_node n = node_of(1, NODE_STATION, 1);
    struct member_user u = user_of(1, "wang", role_bit(ROLE_SC));
    assert_int_equal(fold(w, members_make_genesis(w->m, &w->by, "东方集团", next_entry(w))), ERR_OK);
    assert_int_equal(add_station(w, "A01"), ERR_OK);
    assert_int_equal(add_station(w, "B02"), ERR_OK);
    assert_int_equal(add_node(w, &n), ERR_OK);
    assert_int_equal(add_user(w, &u), ERR_OK);
    return w;
}

static void world_free(struct world *w)
{
    members_free(w->m);
    for (size_t i = 0; i < w->count; i++) {
        buf_release(&w->entries[i]);
    }
    assert_int_equal(test_mem()->used_bytes, 0);
}

static void replay(const struct world *w, struct members *m)
{
    for (size_t i = 0; i < w->count; i++) {
        assert_int_equal(members_append(m, buf_view(&w->entries[i])), ERR_OK);
    }
}

static void folds_and_answers(void **state)
{
    (void)state;
    struct world *w = world_new();
    uint8_t head[32];
    uint8_t hash16[16];
    assert_string_equal(members_group_name(w->m), "东方集团");
    assert_memory_equal(members_authority(w->m), w->authority_public, 32);
    assert_int_equal(members_head(w->m, head), 5);
    assert_true(members_hash16_at(w->m, 5, hash16));
    assert_memory_equal(hash16, head, 16);
    assert_false(members_hash16_at(w->m, 6, hash16));
    assert_false(members_hash16_at(w->m, 0, hash16));
    assert_int_equal(members_station_by_code(w->m, BYTES_LIT("B02"))->number, 2);
    assert_null(members_station_by_code(w->m, BYTES_LIT("B0")));
    assert_string_equal(members_station(w->m, 1)->name, "城东店");
    assert_null(members_station(w->m, 0));
    assert_null(members_station(w->m, 3));
    assert_int_equal(members_node_by_tls(w->m, w->self.tls_public)->number, 1);
    assert_int_equal(members_user_by_login(w->m, BYTES_LIT("wang"))->roles, role_bit(ROLE_SC));
    assert_string_equal(members_user(w->m, 1)->verifier, "$argon2id$v=19$x");
    assert_int_equal(members_user_count(w->m) + members_node_count(w->m) + members_station_count(w->m), 4);
    world_free(w);
}

static void every_node_folds_the_same(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct members *other = fresh(9);
    uint8_t a[32];
    uint8_t b[32];
    replay(w, other);
    assert_int_equal(members_head(w->m, a), members_head(other, b));
    assert_memory_equal(a, b, 32);
    assert_memory_equal(members_group_id(w->m), members_group_id(other), 16);
    assert_memory_equal(members_genesis_hash(w->m), members_genesis_hash(other), 32);
    members_free(other);
    world_free(w);
}

static void chain_refuses_what_does_not_follow(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct members *other = fresh(9);
    assert_int_equal(members_append(other, buf_view(&w->entries[1])), ERR_GAP);
    assert_int_equal(members_append(other, buf_view(&w->entries[0])), ERR_OK);
    assert_int_equal(members_append(other, buf_view(&w->entries[0])), ERR_EXISTS);
    assert_int_equal(members_append(other, buf_view(&w->entries[2])), ERR_GAP);
    assert_int_equal(members_append(other, buf_view(&w->entries[1])), ERR_OK);
    assert_int_equal(members_append(other, buf_view(&w->entries[1])), ERR_EXISTS);
    members_free(other);
    world_free(w);
}

/* Two entries of one number, both signed: the first stays; and nothing builds on the second. */
static void fork_of_the_authority_is_reported(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct members *other = fresh(9);
    struct buf forked;
    struct buf child;
    struct member_station s = { .number = 3, .code = "X" };
    struct member_station t = { .number = 4, .code = "Y" };
    buf_init(&forked, test_mem(), MEMBER_ENTRY_MAX_BYTES);
    buf_init(&child, test_mem(), MEMBER_ENTRY_MAX_BYTES);
    replay(w, other);
    assert_int_equal(members_make_station(other, &w->by, &s, &forked), ERR_OK);
    assert_int_equal(members_append(other, buf_view(&forked)), ERR_OK);
    assert_int_equal(members_make_station(other, &w->by, &t, &child), ERR_OK);
    assert_int_equal(add_station(w, "Z"), ERR_OK);
    assert_int_equal(members_append(w->m, buf_view(&forked)), ERR_CONFLICT);
    assert_int_equal(members_append(w->m, buf_view(&child)), ERR_CONFLICT);
    forked.ptr[forked.len - 1] ^= 1;
    assert_int_equal(members_append(w->m, buf_view(&forked)), ERR_SIGNATURE);
    assert_non_null(members_station_by_code(w->m, BYTES_LIT("Z")));
    assert_null(members_station_by_code(w->m, BYTES_LIT("X")));
    buf_release(&forked);
    buf_release(&child);
    members_free(other);
    world_free(w);
}

static void every_flipped_byte_is_refused(void **state)
{
    (void)state;
    struct world *w = world_new();
    for (size_t e = 0; e < w->count; e++) {
        struct members *other = fresh(9);
        uint8_t before[32];
        uint8_t after[32];
        for (size_t i = 0; i < e; i++) {
            assert_int_equal(members_append(other, buf_view(&w->entries[i])), ERR_OK);
        }
        (void)members_head(other, before);
        for (size_t i = 0; i < w->entries[e].len; i++) {
            w->entries[e].ptr[i] ^= 0x10;
            assert_int_not_equal(members_append(other, buf_view(&w->entries[e])), ERR_OK);
            w->entries[e].ptr[i] ^= 0x10;
            assert_int_not_equal(members_append(other, bytes_of(w->entries[e].ptr, i)), ERR_OK);
        }
        assert_int_equal(members_head(other, after), e);
        assert_memory_equal(before, after, 32);
        assert_int_equal(members_append(other, buf_view(&w->entries[e])), ERR_OK);
        members_free(other);
    }
    world_free(w);
}

static void another_authority_cannot_sign(void **state)
{
    (void)state;
    struct world *w = world_new();
    uint8_t public_key[32];
    uint8_t secret_key[64];
    const uint8_t seed[32] = { 99 };
    seal_sign_keypair(seed, public_key, secret_key);
    w->by.authority_secret = secret_key;
    assert_int_equal(add_station(w, "X"), ERR_SIGNATURE);
    world_free(w);
}

static void user_versions_are_kept(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct member_user u = user_of(1, "wang", role_bit(ROLE_SM));
    const struct member_user *old = members_user(w->m, 1);
    u.is_active = false;
    memcpy(u.login, "wang2", sizeof("wang2"));
    assert_int_equal(add_user(w, &u), ERR_OK);
    assert_int_equal(members_user_count(w->m), 1);
    assert_null(members_user_as_of(w->m, 1, 4));
    assert_ptr_equal(members_user_as_of(w->m, 1, 5), old);
    assert_int_equal(old->roles, role_bit(ROLE_SC));
    assert_int_equal(members_user_as_of(w->m, 1, 6)->roles, role_bit(ROLE_SM));
    assert_int_equal(members_user_as_of(w->m, 1, 600)->roles, role_bit(ROLE_SM));
    assert_null(members_user_as_of(w->m, 2, 600));
    assert_null(members_user_by_login(w->m, BYTES_LIT("wang")));
    assert_false(members_user_by_login(w->m, BYTES_LIT("wang2"))->is_active);
    world_free(w);
}

static void numbers_and_names_are_unique(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct member_user same_login = user_of(2, "wang", 0);
    struct member_user gap = user_of(3, "li", 0);
    struct member_user no_role = user_of(2, "li", 1);
    struct member_user nowhere = user_of(2, "li", 0);
    struct member_node same_number = node_of(1, NODE_HUB, 1);
    struct member_node same_key = node_of(2, NODE_HUB, 1);
    struct member_node weak_box = node_of(2, NODE_HUB, 1);
    struct member_node no_station = node_of(2, NODE_HUB, 7);
    nowhere.station = 0;
    memcpy(same_key.tls_key, w->self.tls_public, 32);
    memset(weak_box.box_key, 0, 32);
    assert_int_equal(add_user(w, &same_login), ERR_INVALID);
    assert_int_equal(add_user(w, &gap), ERR_INVALID);
    assert_int_equal(add_user(w, &no_role), ERR_INVALID);
    assert_int_equal(add_user(w, &nowhere), ERR_INVALID);
    assert_int_equal(add_node(w, &same_number), ERR_INVALID);
    assert_int_equal(add_node(w, &same_key), ERR_INVALID);
    assert_int_equal(add_node(w, &weak_box), ERR_INVALID);
    assert_int_equal(add_node(w, &no_station), ERR_INVALID);
    assert_int_equal(add_station(w, "A01"), ERR_INVALID);
    assert_int_equal(add_station(w, "C03"), ERR_OK);
    world_free(w);
}

static void node_scope_and_owner_are_checked(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct member_node laptop = node_of(2, NODE_LAPTOP, 1);
    struct member_node hub = node_of(2, NODE_HUB, 1);
    assert_int_equal(add_node(w, &laptop), ERR_FORMAT); /* a laptop has an owner */
    laptop.owner = 5;
    assert_int_equal(add_node(w, &laptop), ERR_INVALID); /* who exists */
    hub.owner = 1;
    assert_int_equal(add_node(w, &hub), ERR_FORMAT); /* others have none */
    hub.owner = 0;
    hub.scope_count = 1;
    hub.scope[0] = 9;
    assert_int_equal(add_node(w, &hub), ERR_INVALID);
    hub.scope_count = 4; /* order, doubles and its own station do not matter to the caller */
    hub.scope[0] = 2;
    hub.scope[1] = 1;
    hub.scope[2] = 2;
    hub.scope[3] = 1;
    assert_int_equal(add_node(w, &hub), ERR_OK);
    assert_int_equal(members_node(w->m, 2)->scope_count, 1);
    assert_true(members_node_in_scope(members_node(w->m, 2), 2));
    assert_false(members_node_in_scope(members_node(w->m, 1), 2));
    world_free(w);
}

static void text_is_checked(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "a\nb", "\xff", "\xc3", "\x7f", "\xc2\x9b", "\xe2\x80\xae", "\xe2\x81\xa6" };
    struct world *w = world_new();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(add_station(w, bad[i]), ERR_FORMAT);
        struct member_user u = user_of(2, bad[i], 0);
        assert_int_equal(add_user(w, &u), ERR_FORMAT);
    }
    struct member_user u = user_of(2, "li", 0);
    u.verifier[3] = '\t';
    assert_int_equal(add_user(w, &u), ERR_FORMAT);
    assert_int_equal(add_station(w, "城东一店"), ERR_OK);
    world_free(w);
}

static void only_genesis_comes_first_and_once(void **state)
{
    (void)state;
    struct world *w = world_bare();
    assert_int_equal(add_station(w, "A01"), ERR_INVALID);
    assert_int_equal(fold(w, members_make_genesis(w->m, &w->by, "", next_entry(w))), ERR_FORMAT);
    assert_int_equal(fold(w, members_make_genesis(w->m, &w->by, "集团", next_entry(w))), ERR_OK);
    assert_int_equal(fold(w, members_make_genesis(w->m, &w->by, "集团", next_entry(w))), ERR_EXISTS);
    world_free(w);
}

/* Signs an entry of any kind and body as the authority would. */
static enum err append_raw(struct world *w, uint8_t kind, struct bytes body)
{
    struct member_entry en = { .hlc = 1, .kind = kind, .body = body };
    uint8_t signature[64];
    struct buf b;
    en.number = members_head(w->m, en.prev) + 1;
    buf_init(&b, test_mem(), 2 * MEMBER_ENTRY_MAX_BYTES);
    member_entry_put(&b, &en);
    seal_sign("jipan/member/v1", members_group_id(w->m), buf_view(&b), w->authority_secret, signature);
    buf_put(&b, signature, sizeof(signature));
    enum err e = members_append(w->m, buf_view(&b));
    buf_release(&b);
    return e;
}

static void well_signed_nonsense_is_refused(void **state)
{
    (void)state;
    static uint8_t big[MEMBER_ENTRY_MAX_BYTES];
    struct world *w = world_new();
    uint8_t head[32];
    static const struct {
        const char *name;
        uint8_t kind;
        enum err want;
        size_t len;
        uint8_t body[8];
    } cases[] = {
        { "unknown kind", 8, ERR_VERSION, 1, { 0 } },
        { "kind zero", 0, ERR_VERSION, 1, { 0 } },
        { "second genesis", MEMBER_GENESIS, ERR_INVALID, 1, { 0 } },
        { "empty body", MEMBER_STATION, ERR_TRUNCATED, 0, { 0 } },
        { "trailing byte", MEMBER_STATION, ERR_FORMAT, 5, { 3, 1, 'X', 0, 0 } },
        { "code too long", MEMBER_STATION, ERR_LIMIT, 2, { 3, 17 } },
        { "long varint", MEMBER_STATION, ERR_FORMAT, 3, { 0x83, 0, 1 } },
        { "node kind", MEMBER_NODE, ERR_VERSION, 3, { 2, 6, 1 } },
        { "no wraps", MEMBER_KEYS, ERR_FORMAT, 2, { 1, 0 } },
        { "wraps too many", MEMBER_KEYS, ERR_LIMIT, 3, { 1, 0xff, 0x7f } },
        { "keys nowhere", MEMBER_KEYS, ERR_INVALID, 2, { 9, 1 } },
        { "cut of another node", MEMBER_REVOKE, ERR_FORMAT, 6, { 1, 1, 2, 1, 1, 0 } },
        { "unknown node", MEMBER_REVOKE, ERR_INVALID, 3, { 5, 0, 0 } },
        { "scope of nobody", MEMBER_SCOPE, ERR_INVALID, 4, { 9, 0, 0, 0 } },
        { "scope twice", MEMBER_SCOPE, ERR_FORMAT, 6, { 1, 0, 0, 2, 2, 2 } },
        { "scope and group", MEMBER_SCOPE, ERR_FORMAT, 5, { 1, 0, 1, 1, 2 } },
        { "scope of its own", MEMBER_SCOPE, ERR_INVALID, 5, { 1, 0, 0, 1, 1 } },
        { "scope unknown", MEMBER_SCOPE, ERR_INVALID, 5, { 1, 0, 0, 1, 9 } },
        { "owner of a station", MEMBER_SCOPE, ERR_INVALID, 4, { 1, 1, 0, 0 } },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum err e = append_raw(w, cases[i].kind, bytes_of(cases[i].body, cases[i].len));
        if (e != cases[i].want) {
            fail_msg("%s: %s", cases[i].name, err_name(e));
        }
    }
    assert_int_equal(append_raw(w, MEMBER_STATION, BYTES_OF(big)), ERR_LIMIT);
    assert_int_equal(members_head(w->m, head), 5);
    world_free(w);
}

static void class_keys_reach_the_entitled(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct member_node laptop = node_of(2, NODE_LAPTOP, 1);
    struct member_node elsewhere = node_of(3, NODE_STATION, 2);
    struct member_node relay = node_of(4, NODE_RELAY, 1);
    struct member_node hub = node_of(5, NODE_HUB, 2);
    laptop.owner = 1;
    hub.holds_group = true;
    assert_int_equal(add_node(w, &laptop), ERR_OK);
    assert_int_equal(add_node(w, &elsewhere), ERR_OK);
    assert_int_equal(add_node(w, &relay), ERR_OK);
    assert_int_equal(add_node(w, &hub), ERR_OK);
    assert_null(members_current_keys(w->m, 1));
    assert_int_equal(add_epoch(w, 1), ERR_OK);
    assert_int_equal(add_epoch(w, 1), ERR_OK);
    assert_int_equal(add_epoch(w, MEMBERS_GROUP_STATION), ERR_OK);
    const struct class_keys *ours = members_current_keys(w->m, 1);
    assert_int_equal(ours->epoch, 2);
    assert_memory_not_equal(ours->key[1], ours->key[2], KEY_BYTES);
    assert_memory_not_equal(ours->key[1], members_keys(w->m, 1, 1)->key[1], KEY_BYTES);
    static const bool has_keys[] = { false, true, true, false, false, true, false };
    for (uint32_t number = 2; number <= 6; number++) {
        struct members *other = fresh(number);
        replay(w, other);
        const struct class_keys *theirs = members_current_keys(other, 1);
        assert_int_equal(theirs != NULL, has_keys[number]);
        if (theirs != NULL) {
            /* All but what boxes secrets for relays, which no laptop gets. */
            static const uint8_t none[KEY_BYTES] = { 0 };
            assert_memory_equal(theirs->key[CLASS_BUSINESS], ours->key[CLASS_BUSINESS],
                sizeof(ours->key) - (size_t)CLASS_BUSINESS * KEY_BYTES);
            assert_memory_equal(members_keys(other, 1, 1)->key[CLASS_BUSINESS],
                members_keys(w->m, 1, 1)->key[CLASS_BUSINESS], KEY_BYTES);
            assert_memory_equal(theirs->key[CLASS_PUBLIC], number == 2 ? none : ours->key[CLASS_PUBLIC], KEY_BYTES);
        }
        assert_int_equal(members_current_keys(other, MEMBERS_GROUP_STATION) != NULL, number != 4 && number != 6);
        assert_null(members_keys(other, 1, 3));
        members_free(other);
    }
    world_free(w);
}

static void grant_gives_all_old_epochs(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct member_node later = node_of(2, NODE_STATION, 1);
    struct member_node outside = node_of(3, NODE_STATION, 2);
    assert_int_equal(add_epoch(w, 1), ERR_OK);
    assert_int_equal(add_epoch(w, 1), ERR_OK);
    assert_int_equal(add_node(w, &later), ERR_OK);
    assert_int_equal(add_node(w, &outside), ERR_OK);
    assert_int_equal(fold(w, members_make_key_grant(w->m, &w->by, 2, &later, next_entry(w))), ERR_NO_KEY);
    assert_int_equal(fold(w, members_make_key_grant(w->m, &w->by, 1, &outside, next_entry(w))), ERR_INVALID);
    struct members *other = fresh(2);
    replay(w, other);
    assert_null(members_current_keys(other, 1));
    members_free(other);
    assert_int_equal(fold(w, members_make_key_grant(w->m, &w->by, 1, &later, next_entry(w))), ERR_OK);
    other = fresh(2);
    replay(w, other);
    assert_memory_equal(members_keys(other, 1, 1), members_keys(w->m, 1, 1), sizeof(struct class_keys));
    assert_int_equal(members_current_keys(other, 1)->epoch, 2);
    members_free(other);
    world_free(w);
}

/* A wrap that does not open for us is folded all the same, and a later grant still helps. */
static void bad_wrap_does_not_split_the_log(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct buf body;
    buf_init(&body, test_mem(), 4096);
    member_keys_put_head(&body, 1, 1);
    member_keys_put_wrap_head(&body, 1, 1);
    (void)buf_reserve(&body, WRAPPED_CLASS_KEYS_BYTES);
    assert_int_equal(append_raw(w, MEMBER_KEYS, buf_view(&body)), ERR_OK);
    assert_null(members_current_keys(w->m, 1));
    buf_release(&body);
    assert_int_equal(add_epoch(w, 1), ERR_OK);
    assert_int_equal(members_current_keys(w->m, 1)->epoch, 2);
    world_free(w);
}

static void epochs_do_not_jump(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct buf body;
    for (uint32_t epoch = 0; epoch <= 3; epoch++) {
        if (epoch == 1) {
            continue;
        }
        buf_init(&body, test_mem(), 4096);
        member_keys_put_head(&body, 1, 1);
        member_keys_put_wrap_head(&body, epoch, 1);
        (void)buf_reserve(&body, WRAPPED_CLASS_KEYS_BYTES);
        assert_int_equal(append_raw(w, MEMBER_KEYS, buf_view(&body)), ERR_INVALID);
        buf_release(&body);
    }
    buf_init(&body, test_mem(), 4096);
    member_keys_put_head(&body, 1, 2); /* not ascending */
    for (uint32_t i = 0; i < 2; i++) {
        member_keys_put_wrap_head(&body, 1, 1);
        (void)buf_reserve(&body, WRAPPED_CLASS_KEYS_BYTES);
    }
    assert_int_equal(append_raw(w, MEMBER_KEYS, buf_view(&body)), ERR_FORMAT);
    buf_release(&body);
    world_free(w);
}

static void revocation_cuts_at_the_same_place(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct member_node n = node_of(2, NODE_STATION, 1);
    struct dot dots[2] = { { 2, 1, 10 }, { 2, 3, 4 } };
    struct dot foreign[1] = { { 1, 1, 1 } };
    const struct vv cut = { .at = dots, .count = 2, .capacity = 2 };
    const struct vv wrong = { .at = foreign, .count = 1, .capacity = 1 };
    assert_int_equal(add_node(w, &n), ERR_OK);
    const struct member_node *held = members_node(w->m, 2);
    assert_true(members_accepts_dot(w->m, (struct dot){ 2, 9, 99 }));
    assert_int_equal(revoke(w, 2, &wrong), ERR_FORMAT);
    w->by.hlc = 7777;
    assert_int_equal(revoke(w, 2, &cut), ERR_OK);
    dots[0].seq = 1000; /* the cut is a copy */
    assert_true(members_accepts_dot(w->m, (struct dot){ 2, 1, 10 }));
    assert_false(members_accepts_dot(w->m, (struct dot){ 2, 1, 11 }));
    assert_false(members_accepts_dot(w->m, (struct dot){ 2, 2, 1 }));
    assert_true(members_accepts_dot(w->m, (struct dot){ 2, 3, 4 }));
    assert_true(members_accepts_dot(w->m, (struct dot){ 1, 1, 1 }));
    assert_false(members_accepts_dot(w->m, (struct dot){ 3, 1, 1 }));
    assert_int_equal(held->revoked_at, w->count);
    assert_int_equal(held->revoked_hlc, 7777);
    assert_string_equal(held->revoke_reason, "丢失 / lost");
    assert_false(members_node_in_scope(held, 1));
    dots[0].seq = 10;
    assert_int_equal(revoke(w, 2, &cut), ERR_INVALID); /* the first cut stands */
    world_free(w);
}

static void revoked_node_gets_no_new_keys(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct member_node n = node_of(2, NODE_STATION, 1);
    const struct vv cut = { 0 };
    assert_int_equal(add_node(w, &n), ERR_OK);
    assert_int_equal(add_epoch(w, 1), ERR_OK);
    assert_int_equal(revoke(w, 2, &cut), ERR_OK);
    assert_int_equal(
        fold(w, members_make_key_grant(w->m, &w->by, 1, members_node(w->m, 2), next_entry(w))), ERR_INVALID);
    assert_int_equal(add_epoch(w, 1), ERR_OK);
    struct members *other = fresh(2);
    replay(w, other);
    assert_non_null(members_keys(other, 1, 1));
    assert_null(members_keys(other, 1, 2));
    members_free(other);
    world_free(w);
}

/* Stores entry i under the key number + shift, entry `flipped` with one bit wrong. */
static struct store *store_of(struct world *w, uint8_t shift, size_t flipped)
{
    struct store *s = store_mem_new();
    assert_int_equal(s->ops->begin(s), ERR_OK);
    for (size_t i = 0; i < w->count; i++) {
        const uint8_t key[8] = { 0, 0, 0, 0, 0, 0, 0, (uint8_t)(i + 1 + shift) };
        w->entries[i].ptr[40] ^= i == flipped ? 1 : 0;
        assert_int_equal(s->ops->put(s, SPACE_MEMBER, BYTES_OF(key), buf_view(&w->entries[i])), ERR_OK);
        w->entries[i].ptr[40] ^= i == flipped ? 1 : 0;
    }
    assert_int_equal(s->ops->commit(s, true), ERR_OK);
    return s;
}

static enum err load(struct store *s, uint64_t *count)
{
    struct members *m = fresh(1);
    uint8_t head[32];
    enum err e = members_load(m, s);
    *count = members_head(m, head);
    members_free(m);
    store_mem_free(s);
    return e;
}

enum { NONE_FLIPPED = 1000 };

static void load_reads_back_and_sees_damage(void **state)
{
    (void)state;
    struct world *w = world_new();
    const uint8_t gone[8] = { 0, 0, 0, 0, 0, 0, 0, 3 };
    uint64_t count = 0;
    assert_int_equal(load(store_of(w, 0, NONE_FLIPPED), &count), ERR_OK);
    assert_int_equal(count, 5);
    assert_int_equal(load(store_of(w, 0, 3), &count), ERR_DAMAGED);
    assert_int_equal(count, 3);
    assert_int_equal(load(store_of(w, 1, NONE_FLIPPED), &count), ERR_DAMAGED);
    assert_int_equal(count, 0);
    struct store *s = store_of(w, 0, NONE_FLIPPED);
    assert_int_equal(s->ops->begin(s), ERR_OK);
    assert_int_equal(s->ops->del(s, SPACE_MEMBER, BYTES_OF(gone)), ERR_OK);
    assert_int_equal(s->ops->commit(s, true), ERR_OK);
    assert_int_equal(load(s, &count), ERR_DAMAGED);
    assert_int_equal(count, 2);
    world_free(w);
}

/* With the k-th allocation failing, for all k: ERR_NOMEM, nothing changed, and the next try works. */
static void append_survives_every_failed_allocation(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct member_node n = node_of(2, NODE_STATION, 1);
    struct dot dots[1] = { { 2, 1, 10 } };
    const struct vv cut = { .at = dots, .count = 1, .capacity = 1 };
    assert_int_equal(add_node(w, &n), ERR_OK);
    assert_int_equal(add_epoch(w, 1), ERR_OK);
    assert_int_equal(revoke(w, 2, &cut), ERR_OK);
    size_t failures = 0;
    for (size_t k = 1;; k++) {
        struct node_secrets s = secrets_of(1);
        struct members *m = NULL;
        struct mem *mem = test_mem_failing(k);
        if (members_new(mem, &s, &m) != ERR_OK) {
            assert_int_equal(members_new(mem, &s, &m), ERR_OK);
        }
        for (size_t i = 0; i < w->count; i++) {
            uint8_t head[32];
            enum err e = members_append(m, buf_view(&w->entries[i]));
            if (e != ERR_OK) {
                assert_int_equal(e, ERR_NOMEM);
                assert_int_equal(members_head(m, head), i);
                assert_int_equal(members_append(m, buf_view(&w->entries[i])), ERR_OK);
            }
        }
        assert_non_null(members_keys(m, 1, 1));
        members_free(m);
        assert_int_equal(mem->used_bytes, 0);
        if (!test_mem_has_failed()) {
            break;
        }
        failures++;
    }
    assert_true(failures > 20);
    world_free(w);
}

static void make_leaves_out_alone_on_refusal(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct member_station s = { .number = 3, .code = "A01" };
    struct buf out;
    buf_init(&out, test_mem(), MEMBER_ENTRY_MAX_BYTES);
    buf_put_u8(&out, 0xAA);
    assert_int_equal(members_make_station(w->m, &w->by, &s, &out), ERR_INVALID);
    assert_int_equal(out.len, 1);
    assert_int_equal(members_make_key_epoch(w->m, &w->by, 2, &out), ERR_INVALID); /* nobody there */
    assert_int_equal(out.len, 1);
    buf_release(&out);
    world_free(w);
}

static void kinds_have_names(void **state)
{
    (void)state;
    for (int k = NODE_STATION; k <= NODE_AUDITOR; k++) {
        assert_int_equal(node_kind_parse(bytes_str(node_kind_name((enum node_kind)k))), k);
    }
    assert_int_equal(node_kind_parse(BYTES_LIT("phone")), 0);
}

/* Many users, added and renamed in a scattered order: every index stays right. */
static void indexes_hold_many(void **state)
{
    (void)state;
    struct world *w = world_new();
    char login[MEMBER_LOGIN_MAX_BYTES + 1];
    struct buf out;
    buf_init(&out, test_mem(), MEMBER_ENTRY_MAX_BYTES);
    for (uint32_t i = 2; i <= 400; i++) {
        (void)snprintf(login, sizeof(login), "u%u", (i * 7919U) % 100003U);
        struct member_user u = user_of(i, login, 0);
        buf_clear(&out);
        assert_int_equal(members_make_user(w->m, &w->by, &u, &out), ERR_OK);
        assert_int_equal(members_append(w->m, buf_view(&out)), ERR_OK);
        if (i % 3 == 0) {
            struct member_user renamed = user_of(i / 3 + 1, login, 0);
            renamed.login[0] = 'v';
            buf_clear(&out);
            assert_int_equal(members_make_user(w->m, &w->by, &renamed, &out), ERR_OK);
            assert_int_equal(members_append(w->m, buf_view(&out)), ERR_OK);
        }
    }
    for (uint32_t i = 1; i <= 400; i++) {
        const struct member_user *u = members_user(w->m, i);
        assert_int_equal(u->number, i);
        assert_ptr_equal(members_user_by_login(w->m, bytes_str(u->login)), u);
    }
    buf_release(&out);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_and_answers),
        cmocka_unit_test(every_node_folds_the_same),
        cmocka_unit_test(chain_refuses_what_does_not_follow),
        cmocka_unit_test(fork_of_the_authority_is_reported),
        cmocka_unit_test(every_flipped_byte_is_refused),
        cmocka_unit_test(another_authority_cannot_sign),
        cmocka_unit_test(user_versions_are_kept),
        cmocka_unit_test(numbers_and_names_are_unique),
        cmocka_unit_test(node_scope_and_owner_are_checked),
        cmocka_unit_test(text_is_checked),
        cmocka_unit_test(only_genesis_comes_first_and_once),
        cmocka_unit_test(well_signed_nonsense_is_refused),
        cmocka_unit_test(class_keys_reach_the_entitled),
        cmocka_unit_test(grant_gives_all_old_epochs),
        cmocka_unit_test(bad_wrap_does_not_split_the_log),
        cmocka_unit_test(epochs_do_not_jump),
        cmocka_unit_test(revocation_cuts_at_the_same_place),
        cmocka_unit_test(revoked_node_gets_no_new_keys),
        cmocka_unit_test(load_reads_back_and_sees_damage),
        cmocka_unit_test(append_survives_every_failed_allocation),
        cmocka_unit_test(make_leaves_out_alone_on_refusal),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(indexes_hold_many),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
