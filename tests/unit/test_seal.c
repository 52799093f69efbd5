/* Sealing: parts are bound to their place, the digest tree survives withholding, signatures are bound to their label.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/seal.h"
#include "tests/lib/testkit.h"

#include <sodium.h>

static const uint8_t GROUP[GROUP_ID_BYTES] = { 9, 8, 7 };
static const uint8_t CLASS_KEY[KEY_BYTES] = { 1 };
static const uint8_t SECRET[SECRET_BYTES] = { 2 };

static struct commit_header header_of(uint32_t groups)
{
    return (struct commit_header){ .dot = { 3, 2, 9 },
        .hlc = 77,
        .member_number = 5,
        .member_hash = { 6 },
        .salt = { 4, 5, 6 },
        .group_count = groups };
}

static struct part_place place_of(const struct commit_header *h)
{
    return (struct part_place){ .group_id = GROUP,
        .header = h,
        .group_index = 1,
        .part_index = 2,
        .class_ = CLASS_CONTACT,
        .key_epoch = 4,
        .kind = DOSSIER_CUSTOMER,
        .station = 6,
        .dossier = { { 7 } } };
}

struct sealed {
    struct arena arena;
    struct buf bytes;
};

static void sealed_init(struct sealed *s)
{
    arena_init(&s->arena, test_mem(), 8 << 20);
    buf_init(&s->bytes, test_mem(), COMMIT_MAX_BYTES);
}

static void sealed_release(struct sealed *s)
{
    arena_release(&s->arena);
    buf_release(&s->bytes);
    assert_int_equal(test_mem()->used_bytes, 0);
}

static void part_opens_again(void **state)
{
    (void)state;
    static const size_t lengths[] = { 0, 1, 100, 70000 };
    static uint8_t plain[70000];
    struct commit_header h = header_of(2);
    struct part_place at = place_of(&h);
    for (size_t i = 0; i < 4; i++) {
        struct sealed s;
        struct bytes got = { 0 };
        sealed_init(&s);
        memset(plain, (int)i, lengths[i]);
        seal_part(&s.bytes, &at, CLASS_KEY, SECRET, bytes_of(plain, lengths[i]));
        assert_int_equal(s.bytes.len, lengths[i] + PART_TAG_BYTES);
        assert_int_equal(seal_open_part(&at, CLASS_KEY, SECRET, buf_view(&s.bytes), &s.arena, &got), ERR_OK);
        assert_true(bytes_equal(got, bytes_of(plain, lengths[i])));
        sealed_release(&s);
    }
}

static void open_fails(
    struct sealed *s, const char *what, const struct part_place *at, const uint8_t *class_key, const uint8_t *secret)
{
    struct bytes got = { 0 };
    enum err e = seal_open_part(at, class_key, secret, buf_view(&s->bytes), &s->arena, &got);
    if (e != ERR_SEAL || got.ptr != NULL) {
        fail_msg("%s: %s", what, err_name(e));
    }
}

static void part_is_bound_to_everything_named(void **state)
{
    (void)state;
    struct sealed s;
    struct commit_header h = header_of(2);
    struct part_place at = place_of(&h);
    uint8_t other_group[GROUP_ID_BYTES] = { 9, 8, 6 };
    uint8_t other_key[KEY_BYTES] = { 3 };
    uint8_t other_secret[SECRET_BYTES] = { 3 };
    sealed_init(&s);
    seal_part(&s.bytes, &at, CLASS_KEY, SECRET, BYTES_LIT("13800000000"));
    struct commit_header h_node = h;
    struct commit_header h_epoch = h;
    struct commit_header h_seq = h;
    struct commit_header h_salt = h;
    h_node.dot.node++;
    h_epoch.dot.epoch++;
    h_seq.dot.seq++;
    h_salt.salt[15] ^= 1;
    struct part_place moved = at;
    open_fails(&s, "class key", &at, other_key, SECRET);
    open_fails(&s, "secret", &at, CLASS_KEY, other_secret);
    moved.group_id = other_group;
    open_fails(&s, "group id", &moved, CLASS_KEY, SECRET);
    moved = at;
    moved.header = &h_node;
    open_fails(&s, "node", &moved, CLASS_KEY, SECRET);
    moved.header = &h_epoch;
    open_fails(&s, "epoch", &moved, CLASS_KEY, SECRET);
    moved.header = &h_seq;
    open_fails(&s, "seq", &moved, CLASS_KEY, SECRET);
    moved.header = &h_salt;
    open_fails(&s, "salt", &moved, CLASS_KEY, SECRET);
    moved = at;
    moved.group_index++;
    open_fails(&s, "group index", &moved, CLASS_KEY, SECRET);
    moved = at;
    moved.part_index++;
    open_fails(&s, "part index", &moved, CLASS_KEY, SECRET);
    moved = at;
    moved.class_ = CLASS_BUSINESS;
    open_fails(&s, "class", &moved, CLASS_KEY, SECRET);
    moved = at;
    moved.key_epoch++;
    open_fails(&s, "key epoch", &moved, CLASS_KEY, SECRET);
    moved = at;
    moved.kind = DOSSIER_VEHICLE;
    open_fails(&s, "kind", &moved, CLASS_KEY, SECRET);
    moved = at;
    moved.station++;
    open_fails(&s, "station", &moved, CLASS_KEY, SECRET);
    moved = at;
    moved.dossier.b[9] ^= 1;
    open_fails(&s, "dossier", &moved, CLASS_KEY, SECRET);
    sealed_release(&s);
}

static void changed_or_cut_ciphertext_does_not_open(void **state)
{
    (void)state;
    struct sealed s;
    struct commit_header h = header_of(2);
    struct part_place at = place_of(&h);
    sealed_init(&s);
    seal_part(&s.bytes, &at, CLASS_KEY, SECRET, BYTES_LIT("13800000000"));
    for (size_t i = 0; i < s.bytes.len; i++) {
        s.bytes.ptr[i] ^= 0x80;
        open_fails(&s, "flipped", &at, CLASS_KEY, SECRET);
        s.bytes.ptr[i] ^= 0x80;
    }
    while (s.bytes.len > 0) {
        s.bytes.len--;
        open_fails(&s, "cut", &at, CLASS_KEY, SECRET);
    }
    sealed_release(&s);
}

/* Same plaintext, same keys: the ciphertexts of two places share nothing. */
static void nonce_differs_by_place(void **state)
{
    (void)state;
    struct sealed a;
    struct sealed b;
    struct commit_header h = header_of(2);
    struct part_place at = place_of(&h);
    sealed_init(&a);
    seal_part(&a.bytes, &at, CLASS_KEY, SECRET, BYTES_LIT("0000000000000000"));
    for (size_t i = 0; i < 3; i++) {
        struct part_place moved = at;
        struct commit_header salted = h;
        salted.salt[0] ^= 1;
        moved.group_index += i == 0 ? 1 : 0;
        moved.part_index += i == 1 ? 1 : 0;
        moved.header = i == 2 ? &salted : &h;
        arena_init(&b.arena, test_mem(), 1024);
        buf_init(&b.bytes, test_mem(), 1024);
        seal_part(&b.bytes, &moved, CLASS_KEY, SECRET, BYTES_LIT("0000000000000000"));
        assert_memory_not_equal(a.bytes.ptr, b.bytes.ptr, 16);
        buf_release(&b.bytes);
    }
    sealed_release(&a);
}

/* --- the digest tree --- */

enum { PARTS_MAX_HERE = 3 };

/* A signed commit of `groups` groups with 1 to 3 parts each; every ciphertext is a string that names its place. */
static void put_commit(struct buf *out, uint32_t groups, struct arena *a, struct rng *rng, const uint8_t *sign_secret)
{
    struct commit_header h = header_of(groups);
    struct buf body;
    struct buf header;
    struct commit_view v = { .header = h };
    uint8_t root[COMMIT_HASH_BYTES];
    uint8_t signature[COMMIT_SIGNATURE_BYTES];
    buf_init(&body, test_mem(), COMMIT_MAX_BYTES);
    buf_init(&header, test_mem(), 1024);
    for (uint32_t g = 0; g < groups; g++) {
        uint64_t parts = 1 + test_random_below(rng, PARTS_MAX_HERE);
        bool is_new = test_random_below(rng, 2) == 0;
        commit_put_group_head(&body, is_new, DOSSIER_CUSTOMER, 1, (struct dossier_id){ { (uint8_t)g } });
        buf_put_varint(&body, parts);
        for (uint64_t p = 0; p < parts; p++) {
            uint8_t sealed[24] = "ciphertext";
            sealed[20] = (uint8_t)(g >> 8);
            sealed[21] = (uint8_t)g;
            sealed[22] = (uint8_t)p;
            commit_put_part_head(&body, (enum class_)(CLASS_BUSINESS + p), 1, sizeof(sealed));
            buf_put(&body, sealed, sizeof(sealed));
        }
    }
    commit_header_put(&header, &h);
    v.header_bytes = buf_view(&header);
    v.body = buf_view(&body);
    assert_int_equal(seal_root(&v, a, root), ERR_OK);
    seal_sign_commit(GROUP, v.header_bytes, root, sign_secret, signature);
    buf_put_bytes(out, v.header_bytes);
    buf_put(out, signature, sizeof(signature));
    buf_put_bytes(out, v.body);
    assert_int_equal(out->err, ERR_OK);
    buf_release(&body);
    buf_release(&header);
}

static enum err verify(struct bytes commit, struct arena *a, const uint8_t *signer)
{
    struct commit_view v;
    uint8_t root[COMMIT_HASH_BYTES];
    enum err e = commit_parse(commit, &v);
    if (e == ERR_OK) {
        e = seal_root(&v, a, root);
    }
    return e == ERR_OK ? seal_verify_commit(GROUP, &v, root, signer) : e;
}

struct author {
    uint8_t public_key[SIGN_PUBLIC_BYTES];
    uint8_t secret_key[SIGN_SECRET_BYTES];
};

static struct author author_of(uint8_t n)
{
    struct author who;
    const uint8_t seed[32] = { n };
    seal_sign_keypair(seed, who.public_key, who.secret_key);
    return who;
}

static void every_flipped_byte_breaks_the_signature(void **state)
{
    (void)state;
    struct sealed s;
    struct author who = author_of(1);
    struct author other = author_of(2);
    struct rng rng = test_rng(5);
    sealed_init(&s);
    put_commit(&s.bytes, 5, &s.arena, &rng, who.secret_key);
    assert_int_equal(verify(buf_view(&s.bytes), &s.arena, who.public_key), ERR_OK);
    assert_int_equal(verify(buf_view(&s.bytes), &s.arena, other.public_key), ERR_SIGNATURE);
    for (size_t i = 0; i < s.bytes.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            s.bytes.ptr[i] ^= (uint8_t)(1U << bit);
            assert_int_not_equal(verify(buf_view(&s.bytes), &s.arena, who.public_key), ERR_OK);
            s.bytes.ptr[i] ^= (uint8_t)(1U << bit);
        }
        arena_reset(&s.arena);
    }
    sealed_release(&s);
}

/* What a keep set says: decided once per place, so that the test can ask again. */
struct keeping {
    uint64_t seed;
    uint64_t one_in; /* of how many are kept */
};

static bool is_kept(const struct keeping *k, uint32_t group, uint32_t part)
{
    struct rng rng = test_rng(k->seed ^ ((uint64_t)group << 20) ^ part);
    return test_random_below(&rng, k->one_in) == 0;
}

static bool keep(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    (void)dossier;
    return is_kept(ctx, g->index, part == NULL ? 99 : part->index);
}

static bool holds(struct bytes hay, const uint8_t *needle, size_t len)
{
    for (size_t i = 0; i + len <= hay.len; i++) {
        if (memcmp(hay.ptr + i, needle, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Every ciphertext of the original is in the reduced bytes exactly when it was to be kept. */
static void check_contents(struct bytes original, struct bytes reduced, const struct keeping *k)
{
    struct commit_view v;
    struct group_item g;
    struct part_item p;
    assert_int_equal(commit_parse(original, &v), ERR_OK);
    struct body_cursor groups = commit_groups(&v);
    while (commit_next_group(&groups, &g) == ERR_OK) {
        struct part_cursor parts = group_parts(&g);
        while (group_next_part(&parts, &p) == ERR_OK) {
            bool want = is_kept(k, g.index, 99) && is_kept(k, g.index, p.index);
            assert_int_equal(holds(reduced, p.sealed.ptr, p.sealed.len), want);
        }
    }
}

static enum err reduce(struct bytes from, struct arena *a, struct keeping *k, struct buf *out, bool *kept_any)
{
    struct commit_view v;
    enum err e = commit_parse(from, &v);
    return e == ERR_OK ? seal_reduce(&v, a, keep, k, out, kept_any) : e;
}

static void reduced_commit_verifies_and_leaks_nothing(void **state)
{
    (void)state;
    struct author who = author_of(1);
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rng rng = test_rng(seed);
        uint32_t groups = (uint32_t)(1 + test_random_below(&rng, seed % 10 == 0 ? 300 : 20));
        struct keeping k = { .seed = seed, .one_in = 1 + test_random_below(&rng, 6) };
        struct sealed s;
        struct buf reduced;
        bool any = false;
        sealed_init(&s);
        buf_init(&reduced, test_mem(), COMMIT_MAX_BYTES);
        put_commit(&s.bytes, groups, &s.arena, &rng, who.secret_key);
        enum err e = reduce(buf_view(&s.bytes), &s.arena, &k, &reduced, &any);
        enum err verified = e == ERR_OK ? verify(buf_view(&reduced), &s.arena, who.public_key) : e;
        if (verified != ERR_OK || reduced.len > s.bytes.len + (size_t)33 * groups) {
            fail_msg("seed %llu: %s", (unsigned long long)seed, err_name(verified));
        }
        check_contents(buf_view(&s.bytes), buf_view(&reduced), &k);
        buf_release(&reduced);
        sealed_release(&s);
    }
}

static void every_flipped_byte_of_a_reduced_commit_breaks_it(void **state)
{
    (void)state;
    struct author who = author_of(1);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rng rng = test_rng(seed);
        struct keeping k = { .seed = seed, .one_in = 2 };
        struct sealed s;
        struct buf reduced;
        bool any = false;
        sealed_init(&s);
        buf_init(&reduced, test_mem(), COMMIT_MAX_BYTES);
        put_commit(&s.bytes, 7, &s.arena, &rng, who.secret_key);
        assert_int_equal(reduce(buf_view(&s.bytes), &s.arena, &k, &reduced, &any), ERR_OK);
        for (size_t i = 0; i < reduced.len; i++) {
            reduced.ptr[i] ^= 1;
            assert_int_not_equal(verify(buf_view(&reduced), &s.arena, who.public_key), ERR_OK);
            reduced.ptr[i] ^= 1;
            arena_reset(&s.arena);
        }
        buf_release(&reduced);
        sealed_release(&s);
    }
}

/* A relay's reduced copy can be reduced again; keeping all changes no byte; keeping nothing leaves one hash. */
static void reducing_composes(void **state)
{
    (void)state;
    struct author who = author_of(1);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng = test_rng(seed);
        struct keeping all = { .seed = seed, .one_in = 1 };
        struct keeping some = { .seed = seed, .one_in = 2 };
        struct sealed s;
        struct buf once;
        struct buf twice;
        bool any = false;
        sealed_init(&s);
        buf_init(&once, test_mem(), COMMIT_MAX_BYTES);
        buf_init(&twice, test_mem(), COMMIT_MAX_BYTES);
        put_commit(&s.bytes, (uint32_t)(1 + test_random_below(&rng, 40)), &s.arena, &rng, who.secret_key);
        assert_int_equal(reduce(buf_view(&s.bytes), &s.arena, &all, &once, &any), ERR_OK);
        assert_true(any && bytes_equal(buf_view(&once), buf_view(&s.bytes)));
        buf_clear(&once);
        assert_int_equal(reduce(buf_view(&s.bytes), &s.arena, &some, &once, &any), ERR_OK);
        assert_int_equal(reduce(buf_view(&once), &s.arena, &some, &twice, &any), ERR_OK);
        assert_true(bytes_equal(buf_view(&once), buf_view(&twice)));
        assert_int_equal(verify(buf_view(&twice), &s.arena, who.public_key), ERR_OK);
        buf_release(&once);
        buf_release(&twice);
        sealed_release(&s);
    }
}

static bool keep_nothing(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    (void)ctx;
    (void)g;
    (void)dossier;
    (void)part;
    return false;
}

static void reduced_to_nothing_is_one_hash(void **state)
{
    (void)state;
    struct sealed s;
    struct author who = author_of(1);
    struct rng rng = test_rng(5);
    struct commit_view v;
    struct buf out;
    bool any = false;
    sealed_init(&s);
    buf_init(&out, test_mem(), COMMIT_MAX_BYTES);
    put_commit(&s.bytes, 13, &s.arena, &rng, who.secret_key);
    assert_int_equal(commit_parse(buf_view(&s.bytes), &v), ERR_OK);
    assert_int_equal(seal_reduce(&v, &s.arena, keep_nothing, NULL, &out, &any), ERR_OK);
    assert_false(any);
    assert_int_equal(out.len, v.header_bytes.len + COMMIT_SIGNATURE_BYTES + 1 + 1 + COMMIT_HASH_BYTES);
    assert_int_equal(verify(buf_view(&out), &s.arena, who.public_key), ERR_OK);
    buf_release(&out);
    sealed_release(&s);
}

struct either {
    struct keeping x;
    struct keeping y;
};

static bool keep_either(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    struct either *e = ctx;
    if (part == NULL) {
        return keep(&e->x, g, dossier, NULL) || keep(&e->y, g, dossier, NULL);
    }
    return (keep(&e->x, g, dossier, NULL) && keep(&e->x, g, dossier, part)) ||
           (keep(&e->y, g, dossier, NULL) && keep(&e->y, g, dossier, part));
}

static enum err unite(struct bytes x, struct bytes y, struct arena *a, struct buf *out)
{
    struct commit_view vx;
    struct commit_view vy;
    buf_clear(out);
    enum err e = commit_parse(x, &vx);
    if (e == ERR_OK) {
        e = commit_parse(y, &vy);
    }
    return e == ERR_OK ? seal_unite(&vx, &vy, a, out) : e;
}

/* Two copies together are, to the byte, the copy that had kept what either keeps. */
static void copies_unite(void **state)
{
    (void)state;
    struct author who = author_of(1);
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng rng = test_rng(seed);
        uint32_t groups = (uint32_t)(1 + test_random_below(&rng, seed % 10 == 0 ? 300 : 20));
        struct either k = { .x = { .seed = seed, .one_in = 1 + test_random_below(&rng, 6) },
            .y = { .seed = ~seed, .one_in = 1 + test_random_below(&rng, 6) } };
        struct sealed s;
        struct commit_view v;
        struct buf b[4];
        bool any = false;
        sealed_init(&s);
        for (size_t i = 0; i < 4; i++) {
            buf_init(&b[i], test_mem(), COMMIT_MAX_BYTES);
        }
        put_commit(&s.bytes, groups, &s.arena, &rng, who.secret_key);
        assert_int_equal(commit_parse(buf_view(&s.bytes), &v), ERR_OK);
        assert_int_equal(seal_reduce(&v, &s.arena, keep, &k.x, &b[0], &any), ERR_OK);
        assert_int_equal(seal_reduce(&v, &s.arena, keep, &k.y, &b[1], &any), ERR_OK);
        assert_int_equal(seal_reduce(&v, &s.arena, keep_either, &k, &b[2], &any), ERR_OK);
        assert_int_equal(unite(buf_view(&b[0]), buf_view(&b[1]), &s.arena, &b[3]), ERR_OK);
        assert_true(bytes_equal(buf_view(&b[3]), buf_view(&b[2])));
        assert_int_equal(unite(buf_view(&b[1]), buf_view(&b[0]), &s.arena, &b[3]), ERR_OK);
        assert_true(bytes_equal(buf_view(&b[3]), buf_view(&b[2])));
        assert_int_equal(unite(buf_view(&b[2]), buf_view(&b[1]), &s.arena, &b[3]), ERR_OK);
        assert_true(bytes_equal(buf_view(&b[3]), buf_view(&b[2])));
        assert_int_equal(unite(buf_view(&b[0]), buf_view(&s.bytes), &s.arena, &b[3]), ERR_OK);
        assert_true(bytes_equal(buf_view(&b[3]), buf_view(&s.bytes)));
        for (size_t i = 0; i < 4; i++) {
            buf_release(&b[i]);
        }
        sealed_release(&s);
    }
}

/* Another header, or another content under the same header. */
static void strangers_do_not_unite(void **state)
{
    (void)state;
    struct author who = author_of(1);
    struct sealed x;
    struct sealed y;
    struct buf out;
    struct rng rng = test_rng(1);
    struct rng other = test_rng(2);
    sealed_init(&x);
    arena_init(&y.arena, test_mem(), 8 << 20);
    buf_init(&y.bytes, test_mem(), COMMIT_MAX_BYTES);
    buf_init(&out, test_mem(), COMMIT_MAX_BYTES);
    put_commit(&x.bytes, 5, &x.arena, &rng, who.secret_key);
    put_commit(&y.bytes, 5, &y.arena, &other, who.secret_key);
    assert_int_equal(unite(buf_view(&x.bytes), buf_view(&y.bytes), &x.arena, &out), ERR_CONFLICT);
    buf_clear(&y.bytes);
    put_commit(&y.bytes, 6, &y.arena, &other, who.secret_key);
    assert_int_equal(unite(buf_view(&x.bytes), buf_view(&y.bytes), &x.arena, &out), ERR_CONFLICT);
    buf_release(&out);
    arena_release(&y.arena);
    buf_release(&y.bytes);
    sealed_release(&x);
}

/* Withheld subtrees that cut across the shape of the tree are refused, not misread. */
static void crooked_subtrees_are_refused(void **state)
{
    (void)state;
    static const uint8_t hash[COMMIT_HASH_BYTES] = { 1 };
    static const struct {
        uint32_t groups;
        uint32_t leaves[3];
        enum err want;
    } cases[] = {
        { 4, { 4 }, ERR_OK },
        { 4, { 2, 2 }, ERR_OK },
        { 4, { 2, 1, 1 }, ERR_OK },
        { 4, { 1, 2, 1 }, ERR_FORMAT },
        { 4, { 3, 1 }, ERR_FORMAT },
        { 4, { 1, 3 }, ERR_FORMAT },
        { 5, { 4, 1 }, ERR_OK },
        { 5, { 1, 4 }, ERR_FORMAT },
        { 3, { 2, 1 }, ERR_OK },
        { 3, { 1, 2 }, ERR_FORMAT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sealed s;
        struct commit_header h = header_of(cases[i].groups);
        struct commit_view v;
        uint8_t root[COMMIT_HASH_BYTES];
        sealed_init(&s);
        commit_header_put(&s.bytes, &h);
        (void)buf_reserve(&s.bytes, COMMIT_SIGNATURE_BYTES);
        for (size_t j = 0; j < 3 && cases[i].leaves[j] > 0; j++) {
            commit_put_withheld(&s.bytes, cases[i].leaves[j], hash);
        }
        assert_int_equal(commit_parse(buf_view(&s.bytes), &v), ERR_OK);
        assert_int_equal(seal_root(&v, &s.arena, root), cases[i].want);
        sealed_release(&s);
    }
}

/* --- signatures, wraps, ids --- */

static void signature_is_bound_to_label_group_and_message(void **state)
{
    (void)state;
    static const uint8_t other_group[GROUP_ID_BYTES] = { 1 };
    struct author who = author_of(1);
    struct author other = author_of(2);
    uint8_t signature[64];
    const struct bytes message = BYTES_LIT("message");
    seal_sign("jipan/a/v1", GROUP, message, who.secret_key, signature);
    assert_int_equal(seal_verify("jipan/a/v1", GROUP, message, signature, who.public_key), ERR_OK);
    assert_int_equal(seal_verify("jipan/b/v1", GROUP, message, signature, who.public_key), ERR_SIGNATURE);
    assert_int_equal(seal_verify("jipan/a/v1", other_group, message, signature, who.public_key), ERR_SIGNATURE);
    assert_int_equal(seal_verify("jipan/a/v1", GROUP, BYTES_LIT("messagf"), signature, who.public_key), ERR_SIGNATURE);
    assert_int_equal(seal_verify("jipan/a/v1", GROUP, message, signature, other.public_key), ERR_SIGNATURE);
    signature[40] ^= 1;
    assert_int_equal(seal_verify("jipan/a/v1", GROUP, message, signature, who.public_key), ERR_SIGNATURE);
}

static void hash_pieces_do_not_run_together(void **state)
{
    (void)state;
    const struct bytes ab_c[2] = { BYTES_LIT("ab"), BYTES_LIT("c") };
    const struct bytes a_bc[2] = { BYTES_LIT("a"), BYTES_LIT("bc") };
    uint8_t x[32];
    uint8_t y[32];
    seal_hash(x, 32, "l", NULL, ab_c, 2);
    seal_hash(y, 32, "l", NULL, a_bc, 2);
    assert_memory_not_equal(x, y, 32);
    seal_hash(y, 32, "la", NULL, ab_c, 2);
    assert_memory_not_equal(x, y, 32);
    seal_hash(y, 32, "l", CLASS_KEY, ab_c, 2);
    assert_memory_not_equal(x, y, 32);
}

static void wrap_opens_only_for_its_node(void **state)
{
    (void)state;
    struct sealed s;
    struct rng rng = test_rng(9);
    uint8_t seed[32] = { 1 };
    uint8_t to_public[32];
    uint8_t to_secret[32];
    uint8_t other_public[32];
    uint8_t other_secret[32];
    struct bytes got = { 0 };
    seal_box_keypair(seed, to_public, to_secret);
    seed[0] = 2;
    seal_box_keypair(seed, other_public, other_secret);
    sealed_init(&s);
    assert_int_equal(seal_wrap(&rng, to_public, BYTES_OF(CLASS_KEY), &s.bytes), ERR_OK);
    assert_int_equal(s.bytes.len, KEY_BYTES + WRAP_EXTRA_BYTES);
    assert_int_equal(seal_unwrap(other_public, other_secret, buf_view(&s.bytes), &s.arena, &got), ERR_SEAL);
    for (size_t i = 0; i < s.bytes.len; i++) {
        s.bytes.ptr[i] ^= 1;
        assert_int_equal(seal_unwrap(to_public, to_secret, buf_view(&s.bytes), &s.arena, &got), ERR_SEAL);
        s.bytes.ptr[i] ^= 1;
    }
    assert_int_equal(
        seal_unwrap(to_public, to_secret, bytes_of(s.bytes.ptr, WRAP_EXTRA_BYTES - 1), &s.arena, &got), ERR_TRUNCATED);
    assert_int_equal(seal_unwrap(to_public, to_secret, buf_view(&s.bytes), &s.arena, &got), ERR_OK);
    assert_true(bytes_equal(got, BYTES_OF(CLASS_KEY)));
    sealed_release(&s);
}

static void new_ids_follow_salt_and_place(void **state)
{
    (void)state;
    struct commit_header h = header_of(1);
    uint8_t a[RECORD_SUFFIX_BYTES];
    uint8_t b[RECORD_SUFFIX_BYTES];
    struct dossier_id first = seal_new_dossier(h.salt, 0);
    assert_int_equal(dossier_id_compare(first, seal_new_dossier(h.salt, 0)), 0);
    assert_int_not_equal(dossier_id_compare(first, seal_new_dossier(h.salt, 1)), 0);
    seal_new_suffix(h.salt, 0, 1, a);
    seal_new_suffix(h.salt, 1, 0, b);
    assert_memory_not_equal(a, b, RECORD_SUFFIX_BYTES);
    h.salt[3] ^= 1;
    assert_int_not_equal(dossier_id_compare(first, seal_new_dossier(h.salt, 0)), 0);
    seal_new_suffix(h.salt, 0, 1, b);
    assert_memory_not_equal(a, b, RECORD_SUFFIX_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(part_opens_again),
        cmocka_unit_test(part_is_bound_to_everything_named),
        cmocka_unit_test(changed_or_cut_ciphertext_does_not_open),
        cmocka_unit_test(nonce_differs_by_place),
        cmocka_unit_test(every_flipped_byte_breaks_the_signature),
        cmocka_unit_test(reduced_commit_verifies_and_leaks_nothing),
        cmocka_unit_test(every_flipped_byte_of_a_reduced_commit_breaks_it),
        cmocka_unit_test(reducing_composes),
        cmocka_unit_test(reduced_to_nothing_is_one_hash),
        cmocka_unit_test(crooked_subtrees_are_refused),
        cmocka_unit_test(copies_unite),
        cmocka_unit_test(strangers_do_not_unite),
        cmocka_unit_test(signature_is_bound_to_label_group_and_message),
        cmocka_unit_test(hash_pieces_do_not_run_together),
        cmocka_unit_test(wrap_opens_only_for_its_node),
        cmocka_unit_test(new_ids_follow_salt_and_place),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
