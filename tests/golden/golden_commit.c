/*
 * Byte-exact files of everything that is signed or sealed: a commit, its reduced form, the plaintext of a part, each
 * kind of membership entry, an audit entry and an audit head. What is made today must equal the file, and the file must
 * still be accepted. UPDATE=1 in the environment rewrites the files; the change is then reviewed as a diff.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/pack.h"
#include "sync/audit.h"
#include "sync/members.h"
#include "tests/lib/store_mem.h"
#include "tests/lib/testkit.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { GOLDEN_BYTES_MAX = 8192, LINE_BYTES = 32 };

static const uint8_t CLASS_KEY[CLASS_COUNT][KEY_BYTES] = { { 0 }, { 1 }, { 2 }, { 3 }, { 4 }, { 5 }, { 6 } };
static const uint8_t SECRET[SECRET_BYTES] = { 0x51 };
static const uint8_t GROUP[GROUP_ID_BYTES] = { 0x60, 0x61 };

static void golden_path(const char *name, char out[512])
{
    int n = snprintf(out, 512, "%s/golden/commit_%s.hex", TEST_SOURCE_DIR, name);
    assert_true(n > 0 && n < 512);
}

static void golden_write(const char *name, struct bytes v)
{
    char path[512];
    char hex[2 * LINE_BYTES + 1];
    golden_path(name, path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t at = 0; at < v.len; at += LINE_BYTES) {
        size_t n = v.len - at < LINE_BYTES ? v.len - at : LINE_BYTES;
        hex_text(bytes_of(v.ptr + at, n), hex);
        assert_true(fprintf(f, "%s\n", hex) > 0);
    }
    assert_int_equal(fclose(f), 0);
}

static size_t golden_read(const char *name, uint8_t out[GOLDEN_BYTES_MAX])
{
    char path[512];
    char line[256];
    size_t len = 0;
    golden_path(name, path);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        fail_msg("%s is missing: run with UPDATE=1", path);
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        size_t digits = strcspn(line, "\n");
        assert_true(len + digits / 2 <= GOLDEN_BYTES_MAX);
        assert_int_equal(hex_parse(bytes_of(line, digits), out + len, digits / 2), ERR_OK);
        len += digits / 2;
    }
    assert_int_equal(fclose(f), 0);
    return len;
}

static void golden_compare(const char *name, struct bytes made)
{
    static uint8_t want[GOLDEN_BYTES_MAX];
    if (getenv("UPDATE") != NULL) {
        golden_write(name, made);
    }
    size_t len = golden_read(name, want);
    for (size_t i = 0; i < len && i < made.len; i++) {
        if (want[i] != made.ptr[i]) {
            fail_msg("%s differs at byte %zu", name, i);
        }
    }
    assert_int_equal(len, made.len);
}

/* --- the commit --- */

static struct commit_header header_fixed(void)
{
    struct commit_header h = { .dot = { 3, 1, 300 },
        .hlc = 0x0190000000000001,
        .member_number = 12,
        .member_hash = { 0xA0 },
        .prev = { 0xB0 },
        .group_count = 3 };
    for (size_t i = 0; i < COMMIT_SALT_BYTES; i++) {
        h.salt[i] = (uint8_t)(0xC0 + i);
    }
    return h;
}

static void author_fixed(uint8_t public_key[SIGN_PUBLIC_BYTES], uint8_t secret_key[SIGN_SECRET_BYTES])
{
    const uint8_t seed[32] = { 0x5E };
    seal_sign_keypair(seed, public_key, secret_key);
}

/* One record of every kind of reference, one cell of every type, a deletion mark and a decision. */
static void put_plain(struct buf *b)
{
    static const uint8_t conflict[16] = { 0xD0 };
    struct dot seen[2] = { { 1, 1, 5 }, { 3, 1, 299 } };
    const struct part_head head = { .context = { .at = seen, .count = 2, .capacity = 2 },
        .author = 4,
        .standing = 2,
        .purpose = PURPOSE_P1,
        .record_count = 3 };
    const struct record_id id = { { 0xE0, 1, 2, 3 } };
    const struct part_record records[3] = {
        { .entity = ENTITY_CUSTOMER, .ref = { .kind = REF_MAIN }, .cell_count = 3 },
        { .entity = ENTITY_CONTACT_POINT, .ref = { .kind = REF_SUFFIX, .suffix = { 1, 2, 3 } }, .cell_count = 1 },
        { .entity = ENTITY_OPPORTUNITY, .ref = { .kind = REF_NEW, .ordinal = 1 }, .cell_count = 3 },
    };
    const struct part_cell cells[7] = {
        { .number = 2, .value = value_text(BYTES_LIT("王小明")) },
        { .number = 3, .value = value_int(-20260101) },
        { .number = 4, .value = { .type = VALUE_SET, .s = BYTES_LIT("\001a\002bc") } },
        { .number = 0, .value = value_int(1) },
        { .number = 5, .value = value_id(&id) },
        { .number = 6, .value = VALUE_NONE },
        { .number = 7,
            .value = value_int(9),
            .is_decision = true,
            .conflict = conflict,
            .reason = BYTES_LIT("以客户为准") },
    };
    size_t next = 0;
    part_put_head(b, &head);
    for (size_t i = 0; i < 3; i++) {
        part_put_record(b, &records[i]);
        for (uint32_t c = 0; c < records[i].cell_count; c++) {
            part_put_cell(b, &cells[next++]);
        }
    }
    assert_int_equal(b->err, ERR_OK);
}

static struct part_place place_fixed(
    const struct commit_header *h, uint32_t group, uint32_t part, enum class_ class_, struct dossier_id dossier)
{
    return (struct part_place){ .group_id = GROUP,
        .header = h,
        .group_index = group,
        .part_index = part,
        .class_ = class_,
        .key_epoch = 7,
        .kind = group == 2 ? DOSSIER_STATION_BOOK : DOSSIER_CUSTOMER,
        .station = 2,
        .dossier = dossier };
}

/* Group 0 is new, with two parts; 1 exists; 2 is a book. */
static void put_body(struct buf *body, const struct commit_header *h, struct bytes plain)
{
    static const uint32_t part_counts[3] = { 2, 1, 1 };
    struct dossier_id dossiers[3] = { seal_new_dossier(h->salt, 0), { { 0xF1 } }, { { 0xF2 } } };
    for (uint32_t g = 0; g < 3; g++) {
        commit_put_group_head(body, g == 0, g == 2 ? DOSSIER_STATION_BOOK : DOSSIER_CUSTOMER, 2, dossiers[g]);
        buf_put_varint(body, part_counts[g]);
        for (uint32_t p = 0; p < part_counts[g]; p++) {
            enum class_ class_ = p == 0 ? CLASS_BUSINESS : CLASS_CONTACT;
            struct part_place at = place_fixed(h, g, p, class_, dossiers[g]);
            commit_put_part_head(body, class_, 7, plain.len + PART_TAG_BYTES);
            seal_part(body, &at, CLASS_KEY[class_], SECRET, plain);
        }
    }
    assert_int_equal(body->err, ERR_OK);
}

struct made {
    struct arena arena;
    struct buf plain, packed, body, header, commit;
};

static void make_commit(struct made *m)
{
    uint8_t public_key[SIGN_PUBLIC_BYTES];
    uint8_t secret_key[SIGN_SECRET_BYTES];
    uint8_t root[COMMIT_HASH_BYTES];
    uint8_t signature[COMMIT_SIGNATURE_BYTES];
    static struct pack pack;
    struct commit_header h = header_fixed();
    arena_init(&m->arena, test_mem(), 1 << 20);
    buf_init(&m->packed, test_mem(), COMMIT_MAX_BYTES);
    buf_init(&m->plain, test_mem(), COMMIT_MAX_BYTES);
    buf_init(&m->body, test_mem(), COMMIT_MAX_BYTES);
    buf_init(&m->header, test_mem(), COMMIT_MAX_BYTES);
    buf_init(&m->commit, test_mem(), COMMIT_MAX_BYTES);
    author_fixed(public_key, secret_key);
    pack_init(&pack);
    put_plain(&m->plain);
    pack_put(&pack, &m->packed, buf_view(&m->plain));
    put_body(&m->body, &h, buf_view(&m->packed));
    commit_header_put(&m->header, &h);
    const struct commit_view v = { .header = h, .header_bytes = buf_view(&m->header), .body = buf_view(&m->body) };
    assert_int_equal(seal_root(&v, &m->arena, root), ERR_OK);
    seal_sign_commit(GROUP, v.header_bytes, root, secret_key, signature);
    buf_put_bytes(&m->commit, v.header_bytes);
    buf_put(&m->commit, signature, sizeof(signature));
    buf_put_bytes(&m->commit, v.body);
    assert_int_equal(m->commit.err, ERR_OK);
}

static void made_release(struct made *m)
{
    arena_release(&m->arena);
    buf_release(&m->plain);
    buf_release(&m->packed);
    buf_release(&m->body);
    buf_release(&m->header);
    buf_release(&m->commit);
}

static void commit_has_the_same_bytes(void **state)
{
    (void)state;
    struct made m;
    make_commit(&m);
    golden_compare("part_plain", buf_view(&m.plain));
    golden_compare("part_packed", buf_view(&m.packed));
    golden_compare("full", buf_view(&m.commit));
    made_release(&m);
}

static bool keep_first_part(void *ctx, const struct group_item *g, struct dossier_id d, const struct part_item *p)
{
    (void)ctx;
    (void)d;
    return g->index == 0 && (p == NULL || p->index == 0);
}

static void reduced_commit_has_the_same_bytes(void **state)
{
    (void)state;
    struct made m;
    struct buf reduced;
    struct commit_view v;
    bool any = false;
    make_commit(&m);
    buf_init(&reduced, test_mem(), COMMIT_MAX_BYTES);
    assert_int_equal(commit_parse(buf_view(&m.commit), &v), ERR_OK);
    assert_int_equal(seal_reduce(&v, &m.arena, keep_first_part, NULL, &reduced, &any), ERR_OK);
    golden_compare("reduced", buf_view(&reduced));
    buf_release(&reduced);
    made_release(&m);
}

/* The files themselves, as a later build would meet them in a store. */
static void stored_commits_still_open(void **state)
{
    (void)state;
    static const char *const names[] = { "full", "reduced" };
    static uint8_t bytes[GOLDEN_BYTES_MAX];
    static uint8_t plain[GOLDEN_BYTES_MAX];
    size_t plain_len = golden_read("part_plain", plain);
    uint8_t public_key[SIGN_PUBLIC_BYTES];
    uint8_t secret_key[SIGN_SECRET_BYTES];
    static struct pack pack;
    pack_init(&pack);
    author_fixed(public_key, secret_key);
    for (size_t i = 0; i < 2; i++) {
        struct arena a;
        struct commit_view v;
        struct group_item g;
        struct part_item p;
        struct bytes got = { 0 };
        uint8_t root[COMMIT_HASH_BYTES];
        size_t len = golden_read(names[i], bytes);
        arena_init(&a, test_mem(), 1 << 20);
        assert_int_equal(commit_parse(bytes_of(bytes, len), &v), ERR_OK);
        assert_int_equal(seal_root(&v, &a, root), ERR_OK);
        assert_int_equal(seal_verify_commit(GROUP, &v, root, public_key), ERR_OK);
        struct body_cursor groups = commit_groups(&v);
        assert_int_equal(commit_next_group(&groups, &g), ERR_OK);
        struct part_cursor parts = group_parts(&g);
        assert_int_equal(group_next_part(&parts, &p), ERR_OK);
        struct part_place at = place_fixed(&v.header, 0, 0, p.class_, seal_new_dossier(v.header.salt, 0));
        assert_int_equal(seal_open_part(&at, CLASS_KEY[p.class_], SECRET, p.sealed, &a, &got), ERR_OK);
        assert_int_equal(pack_take(&pack, &a, got, sizeof(plain), &got), ERR_OK);
        assert_true(bytes_equal(got, bytes_of(plain, plain_len)));
        arena_release(&a);
    }
}

/* --- membership --- */

static struct node_secrets secrets_fixed(uint8_t number)
{
    struct node_secrets s = { .number = number };
    uint8_t seed[32] = { number, 1 };
    seal_sign_keypair(seed, s.sign_public, s.sign_secret);
    seed[1] = 2;
    seal_box_keypair(seed, s.box_public, s.box_secret);
    seed[1] = 3;
    seal_sign_keypair(seed, s.tls_public, s.sign_secret);
    return s;
}

static void put_in(struct members *m, const char *name, struct buf *entry)
{
    golden_compare(name, buf_view(entry));
    assert_int_equal(members_append(m, buf_view(entry)), ERR_OK);
    buf_clear(entry);
}

static void make_places(struct members *m, const struct member_author *by, struct buf *b)
{
    const struct member_station station = { .number = 1, .code = "A01", .name = "城东店" };
    const struct member_user user = { .number = 1,
        .login = "wang",
        .name = "王小明",
        .station = 1,
        .roles = 0x24,
        .is_active = true,
        .verifier = "$argon2id$v=19$m=65536,t=2,p=1$c2FsdA$aGFzaA" };
    const struct node_secrets self = secrets_fixed(1);
    struct member_node node = {
        .number = 1, .kind = NODE_LAPTOP, .station = 1, .owner = 1, .address = "192.0.2.1:7801"
    };
    memcpy(node.sign_key, self.sign_public, 32);
    memcpy(node.box_key, self.box_public, 32);
    memcpy(node.tls_key, self.tls_public, 32);
    assert_int_equal(members_make_genesis(m, by, "东方集团", b), ERR_OK);
    put_in(m, "member_1_genesis", b);
    assert_int_equal(members_make_station(m, by, &station, b), ERR_OK);
    put_in(m, "member_2_station", b);
    assert_int_equal(members_make_user(m, by, &user, b), ERR_OK);
    put_in(m, "member_3_user", b);
    assert_int_equal(members_make_node(m, by, &node, b), ERR_OK);
    put_in(m, "member_4_node", b);
}

static void membership_entries_have_the_same_bytes(void **state)
{
    (void)state;
    const uint8_t seed[32] = { 0xAA };
    uint8_t public_key[SIGN_PUBLIC_BYTES];
    uint8_t secret_key[SIGN_SECRET_BYTES];
    const struct node_secrets self = secrets_fixed(1);
    struct dot dots[2] = { { 1, 1, 300 }, { 1, 2, 7 } };
    const struct vv cut = { .at = dots, .count = 2, .capacity = 2 };
    struct rng rng = test_rng(20260101);
    struct members *m = NULL;
    struct buf b;
    seal_sign_keypair(seed, public_key, secret_key);
    const struct member_author by = { .authority_secret = secret_key, .hlc = 0x0190000000000001, .rng = &rng };
    assert_int_equal(members_new(test_mem(), &self, &m), ERR_OK);
    buf_init(&b, test_mem(), MEMBER_ENTRY_MAX_BYTES);
    make_places(m, &by, &b);
    assert_int_equal(members_make_key_epoch(m, &by, 1, &b), ERR_OK);
    put_in(m, "member_5_keys", &b);
    const struct member_node wider = { .number = 1, .owner = 1, .holds_group = true };
    assert_int_equal(members_make_scope(m, &by, &wider, &b), ERR_OK);
    put_in(m, "member_6_scope", &b);
    assert_int_equal(members_make_revoke(m, &by, 1, &cut, "丢失 / lost", &b), ERR_OK);
    put_in(m, "member_7_revoke", &b);
    buf_release(&b);
    members_free(m);
}

static void stored_membership_still_folds(void **state)
{
    (void)state;
    static const char *const names[] = { "member_1_genesis", "member_2_station", "member_3_user", "member_4_node",
        "member_5_keys", "member_6_scope", "member_7_revoke" };
    static uint8_t bytes[GOLDEN_BYTES_MAX];
    const struct node_secrets self = secrets_fixed(1);
    struct members *m = NULL;
    assert_int_equal(members_new(test_mem(), &self, &m), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t len = golden_read(names[i], bytes);
        assert_int_equal(members_append(m, bytes_of(bytes, len)), ERR_OK);
    }
    assert_int_equal(members_current_keys(m, 1)->epoch, 1);
    assert_false(members_accepts_dot(m, (struct dot){ 1, 2, 8 }));
    assert_int_equal(members_user_by_login(m, BYTES_LIT("wang"))->roles, 0x24);
    members_free(m);
}

/* --- audit --- */

struct kept {
    struct buf *out;
};

static enum err keep_entry(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    buf_put_bytes(((struct kept *)ctx)->out, value);
    return ERR_OK;
}

static void audit_bytes_are_the_same(void **state)
{
    (void)state;
    static const uint8_t pseudonym_key[KEY_BYTES] = { 0x70 };
    const struct bytes all = { 0 };
    uint8_t public_key[SIGN_PUBLIC_BYTES];
    uint8_t secret_key[SIGN_SECRET_BYTES];
    struct store *s = store_mem_new();
    struct arena a;
    struct audit au;
    struct audit_head head;
    struct audit_entry e = { .hlc = 0x0190000000000001,
        .event = AUDIT_READ,
        .user = 4,
        .roles = 0x24,
        .role = ROLE_SC,
        .purpose = PURPOSE_P1,
        .entity = ENTITY_CUSTOMER,
        .fields = { 2, 300 },
        .field_count = 2,
        .view = VIEW_MASKED,
        .result = ERR_OK,
        .count = 1 };
    struct buf b;
    struct kept kept = { .out = &b };
    arena_init(&a, test_mem(), 1 << 20);
    buf_init(&b, test_mem(), 4096);
    author_fixed(public_key, secret_key);
    assert_int_equal(audit_open(&au, s, GROUP, pseudonym_key, &a), ERR_OK);
    audit_pseudonym(&au, BYTES_LIT("0123456789"), e.subject);
    audit_pseudonym(&au, BYTES_LIT("0123456789abcdef"), e.record);
    assert_int_equal(s->ops->begin(s), ERR_OK);
    assert_int_equal(audit_append(&au, &a, &e), ERR_OK);
    assert_int_equal(s->ops->commit(s, true), ERR_OK);
    assert_int_equal(s->ops->scan(s, SPACE_AUDIT, all, all, false, keep_entry, &kept), ERR_OK);
    golden_compare("audit_entry", buf_view(&b));
    buf_clear(&b);
    audit_sign_head(&au, 3, 1, secret_key, &head);
    audit_head_put(&b, &head);
    golden_compare("audit_head", buf_view(&b));
    buf_release(&b);
    arena_release(&a);
    store_mem_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit_has_the_same_bytes),
        cmocka_unit_test(reduced_commit_has_the_same_bytes),
        cmocka_unit_test(stored_commits_still_open),
        cmocka_unit_test(membership_entries_have_the_same_bytes),
        cmocka_unit_test(stored_membership_still_folds),
        cmocka_unit_test(audit_bytes_are_the_same),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
