/* The audit log: every kind of tampering is found and named; heads are signed; failures leave no gap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/audit.h"
#include "tests/lib/store_mem.h"
#include "tests/lib/testkit.h"

#include <sodium.h>

enum { ENTRIES = 6 };

struct log {
    struct store *store;
    struct arena arena;
    struct audit audit;
    uint8_t group_id[GROUP_ID_BYTES];
    uint8_t pseudonym_key[KEY_BYTES];
};

static struct audit_entry entry_of(uint64_t n)
{
    struct audit_entry e = { .hlc = 1000 + n,
        .event = AUDIT_READ,
        .user = 7,
        .roles = role_bit(ROLE_SC) | role_bit(ROLE_RT),
        .role = ROLE_SC,
        .purpose = PURPOSE_P1,
        .entity = 2,
        .field_count = 3,
        .fields = { 1, 300, 70000 },
        .view = VIEW_MASKED,
        .result = ERR_OK,
        .count = n,
        .peer = 4 };
    e.subject[0] = (uint8_t)n;
    e.record[15] = 9;
    return e;
}

static void append_one(struct log *l)
{
    struct audit_entry e = entry_of(l->audit.count + 1);
    assert_int_equal(l->store->ops->begin(l->store), ERR_OK);
    assert_int_equal(audit_append(&l->audit, &l->arena, &e), ERR_OK);
    assert_int_equal(e.number, l->audit.count);
    assert_int_equal(l->store->ops->commit(l->store, true), ERR_OK);
}

static struct log *log_new(size_t entries)
{
    static struct log l;
    l = (struct log){ .store = store_mem_new(), .group_id = { 1, 2, 3 }, .pseudonym_key = { 5 } };
    arena_init(&l.arena, test_mem(), 1 << 20);
    assert_int_equal(audit_open(&l.audit, l.store, l.group_id, l.pseudonym_key, &l.arena), ERR_OK);
    for (size_t i = 0; i < entries; i++) {
        append_one(&l);
    }
    return &l;
}

static void log_free(struct log *l)
{
    store_mem_free(l->store);
    arena_release(&l->arena);
}

static void key_of(uint64_t number, uint8_t out[8])
{
    for (size_t i = 0; i < 8; i++) {
        out[i] = (uint8_t)(number >> (56 - 8 * i));
    }
}

static struct bytes stored(struct log *l, uint64_t number)
{
    uint8_t key[8];
    struct bytes got = { 0 };
    key_of(number, key);
    assert_int_equal(l->store->ops->get(l->store, SPACE_AUDIT, BYTES_OF(key), &l->arena, &got), ERR_OK);
    return got;
}

static void overwrite(struct log *l, uint64_t number, struct bytes value)
{
    uint8_t key[8];
    key_of(number, key);
    assert_int_equal(l->store->ops->begin(l->store), ERR_OK);
    if (value.len > 0) {
        assert_int_equal(l->store->ops->put(l->store, SPACE_AUDIT, BYTES_OF(key), value), ERR_OK);
    } else {
        assert_int_equal(l->store->ops->del(l->store, SPACE_AUDIT, BYTES_OF(key)), ERR_OK);
    }
    assert_int_equal(l->store->ops->commit(l->store, true), ERR_OK);
}

static uint64_t first_bad(struct log *l, const struct audit_head *witness)
{
    uint64_t bad = 777;
    enum err e = audit_verify(&l->audit, &l->arena, witness, &bad);
    assert_true(e == ERR_OK ? bad == 0 : e == ERR_DAMAGED && bad != 0 && bad != 777);
    return bad;
}

static void entries_read_back(void **state)
{
    (void)state;
    struct log *l = log_new(2);
    struct audit_entry got;
    struct audit_entry want = entry_of(2);
    uint8_t prev[32];
    want.number = 2;
    assert_int_equal(audit_decode(stored(l, 2), &got, prev), ERR_OK);
    assert_memory_equal(&got, &want, sizeof(got));
    log_free(l);
}

static void decode_refuses_every_cut_and_trailing_bytes(void **state)
{
    (void)state;
    struct log *l = log_new(1);
    struct bytes whole = stored(l, 1);
    struct audit_entry got = { .number = 55 };
    uint8_t longer[AUDIT_ENTRY_MAX_BYTES] = { 0 };
    uint8_t prev[32];
    for (size_t len = 0; len < whole.len; len++) {
        assert_int_equal(audit_decode(bytes_of(whole.ptr, len), &got, prev), ERR_TRUNCATED);
    }
    memcpy(longer, whole.ptr, whole.len);
    assert_int_equal(audit_decode(bytes_of(longer, whole.len + 1), &got, prev), ERR_FORMAT);
    longer[0] = 2;
    assert_int_equal(audit_decode(bytes_of(longer, whole.len), &got, prev), ERR_VERSION);
    longer[0] = 1;
    longer[1] = 0;
    assert_int_equal(audit_decode(bytes_of(longer, whole.len), &got, prev), ERR_FORMAT);
    assert_int_equal(got.number, 55);
    log_free(l);
}

static void chain_verifies_and_reopens(void **state)
{
    (void)state;
    struct log *l = log_new(ENTRIES);
    struct audit again;
    assert_int_equal(first_bad(l, NULL), 0);
    assert_int_equal(audit_open(&again, l->store, l->group_id, l->pseudonym_key, &l->arena), ERR_OK);
    assert_int_equal(again.count, ENTRIES);
    assert_memory_equal(again.head, l->audit.head, 32);
    log_free(l);
}

/* Also for one who recomputes nothing: the next entry's prev no longer fits. */
static void every_changed_byte_is_found(void **state)
{
    (void)state;
    struct log *l = log_new(ENTRIES);
    for (uint64_t n = 1; n <= ENTRIES; n++) {
        struct bytes was = stored(l, n);
        uint8_t changed[AUDIT_ENTRY_MAX_BYTES];
        memcpy(changed, was.ptr, was.len);
        for (size_t i = 0; i < was.len; i++) {
            changed[i] ^= 1;
            overwrite(l, n, bytes_of(changed, was.len));
            uint64_t bad = first_bad(l, NULL);
            assert_true(bad == n || bad == n + 1);
            changed[i] ^= 1;
        }
        overwrite(l, n, was);
    }
    assert_int_equal(first_bad(l, NULL), 0);
    log_free(l);
}

static void missing_moved_and_foreign_entries_are_found(void **state)
{
    (void)state;
    struct log *l = log_new(ENTRIES);
    const struct bytes gone = { 0 };
    struct bytes third = stored(l, 3);
    struct bytes fourth = stored(l, 4);
    overwrite(l, 3, gone);
    assert_int_equal(first_bad(l, NULL), 3);
    overwrite(l, 3, fourth);
    assert_int_equal(first_bad(l, NULL), 3);
    overwrite(l, 3, third);
    assert_int_equal(first_bad(l, NULL), 0);
    l->group_id[0] ^= 1; /* the chain of another group */
    assert_int_equal(first_bad(l, NULL), 2);
    log_free(l);
}

static void cut_end_is_found_by_the_witness(void **state)
{
    (void)state;
    struct log *l = log_new(ENTRIES - 1);
    uint8_t public_key[SIGN_PUBLIC_BYTES];
    uint8_t secret_key[SIGN_SECRET_BYTES];
    const uint8_t seed[32] = { 3 };
    struct audit_head witness;
    const struct bytes gone = { 0 };
    seal_sign_keypair(seed, public_key, secret_key);
    audit_sign_head(&l->audit, 1, 1, secret_key, &witness);
    append_one(l);
    assert_int_equal(first_bad(l, &witness), 0); /* growing is fine */
    overwrite(l, ENTRIES, gone);
    assert_int_equal(first_bad(l, NULL), ENTRIES); /* this process still knows */
    assert_int_equal(audit_reload(&l->audit, &l->arena), ERR_OK);
    assert_int_equal(first_bad(l, &witness), 0); /* after a restart only an older head is there to compare with */
    overwrite(l, ENTRIES - 1, gone);
    assert_int_equal(audit_reload(&l->audit, &l->arena), ERR_OK);
    assert_int_equal(first_bad(l, NULL), 0); /* nobody can know */
    assert_int_equal(first_bad(l, &witness), ENTRIES - 1);
    struct audit_entry rewritten = entry_of(90);
    assert_int_equal(l->store->ops->begin(l->store), ERR_OK);
    assert_int_equal(audit_append(&l->audit, &l->arena, &rewritten), ERR_OK);
    assert_int_equal(l->store->ops->commit(l->store, true), ERR_OK);
    assert_int_equal(first_bad(l, NULL), 0);
    assert_int_equal(first_bad(l, &witness), ENTRIES - 1); /* as long, but another end */
    log_free(l);
}

static void heads_are_bound_to_what_they_say(void **state)
{
    (void)state;
    struct log *l = log_new(3);
    uint8_t public_key[SIGN_PUBLIC_BYTES];
    uint8_t secret_key[SIGN_SECRET_BYTES];
    const uint8_t seed[32] = { 3 };
    struct audit_head h;
    seal_sign_keypair(seed, public_key, secret_key);
    audit_sign_head(&l->audit, 11, 2, secret_key, &h);
    assert_int_equal(h.count, 3);
    assert_int_equal(audit_check_head(l->group_id, &h, public_key), ERR_OK);
    struct audit_head bad[5] = { h, h, h, h, h };
    bad[0].node++;
    bad[1].epoch++;
    bad[2].count++;
    bad[3].hash[31] ^= 1;
    bad[4].signature[0] ^= 1;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(audit_check_head(l->group_id, &bad[i], public_key), ERR_SIGNATURE);
    }
    l->group_id[0] ^= 1;
    assert_int_equal(audit_check_head(l->group_id, &h, public_key), ERR_SIGNATURE);
    log_free(l);
}

static void heads_travel(void **state)
{
    (void)state;
    struct audit_head h = { .node = 300, .epoch = 2, .count = 70000, .hash = { 1 }, .signature = { 2 } };
    struct audit_head got = { 0 };
    struct buf b;
    buf_init(&b, test_mem(), 1024);
    audit_head_put(&b, &h);
    for (size_t len = 0; len < b.len; len++) {
        struct reader cut = reader_of(bytes_of(b.ptr, len));
        assert_int_equal(audit_head_take(&cut, &got), ERR_TRUNCATED);
        assert_int_equal(cut.left, len);
    }
    struct reader r = reader_of(buf_view(&b));
    assert_int_equal(audit_head_take(&r, &got), ERR_OK);
    assert_int_equal(r.left, 0);
    assert_memory_equal(&got, &h, sizeof(h));
    buf_release(&b);
}

static void pseudonyms_need_the_key(void **state)
{
    (void)state;
    struct log *l = log_new(0);
    struct audit other = l->audit;
    uint8_t a[16];
    uint8_t b[16];
    const struct bytes id = BYTES_LIT("0123456789");
    other.pseudonym_key[31] ^= 1;
    audit_pseudonym(&l->audit, id, a);
    audit_pseudonym(&other, id, b);
    assert_memory_not_equal(a, b, 16);
    audit_pseudonym(&l->audit, id, b);
    assert_memory_equal(a, b, 16);
    audit_pseudonym(&l->audit, BYTES_LIT("0123456780"), b);
    assert_memory_not_equal(a, b, 16);
    log_free(l);
}

static void failed_put_and_rollback_leave_no_gap(void **state)
{
    (void)state;
    struct log *l = log_new(2);
    struct audit_entry e = entry_of(3);
    struct fault f = { .countdown = 1 };
    uint8_t head[32];
    memcpy(head, l->audit.head, 32);
    assert_int_equal(l->store->ops->begin(l->store), ERR_OK);
    store_mem_set_fault(l->store, &f);
    assert_int_equal(audit_append(&l->audit, &l->arena, &e), ERR_IO);
    store_mem_set_fault(l->store, NULL);
    assert_int_equal(l->audit.count, 2);
    assert_memory_equal(head, l->audit.head, 32);
    l->store->ops->rollback(l->store);
    assert_int_equal(l->store->ops->begin(l->store), ERR_OK);
    assert_int_equal(audit_append(&l->audit, &l->arena, &e), ERR_OK);
    assert_int_equal(l->audit.count, 3);
    l->store->ops->rollback(l->store);
    assert_int_equal(audit_reload(&l->audit, &l->arena), ERR_OK);
    assert_int_equal(l->audit.count, 2);
    assert_memory_equal(head, l->audit.head, 32);
    append_one(l);
    assert_int_equal(first_bad(l, NULL), 0);
    log_free(l);
}

static void open_refuses_a_damaged_end(void **state)
{
    (void)state;
    struct log *l = log_new(2);
    struct audit again = { .count = 99 };
    overwrite(l, 2, BYTES_LIT("not an entry"));
    assert_int_equal(audit_open(&again, l->store, l->group_id, l->pseudonym_key, &l->arena), ERR_DAMAGED);
    assert_int_equal(again.count, 99);
    log_free(l);
}

static void largest_entry_fits(void **state)
{
    (void)state;
    struct log *l = log_new(0);
    struct audit_entry e = { .hlc = UINT64_MAX,
        .event = AUDIT_STORE_OPENED,
        .user = UINT32_MAX,
        .roles = UINT32_MAX,
        .role = ROLE_AD,
        .purpose = PURPOSE_P11,
        .entity = UINT32_MAX,
        .field_count = AUDIT_FIELDS_MAX,
        .view = VIEW_CLEAR,
        .result = ERR_BUG,
        .count = UINT64_MAX,
        .peer = UINT32_MAX };
    memset(e.fields, 0xFF, sizeof(e.fields));
    assert_int_equal(l->store->ops->begin(l->store), ERR_OK);
    assert_int_equal(audit_append(&l->audit, &l->arena, &e), ERR_OK);
    assert_int_equal(l->store->ops->commit(l->store, true), ERR_OK);
    assert_int_equal(first_bad(l, NULL), 0);
    log_free(l);
}

static void events_have_names(void **state)
{
    (void)state;
    for (int i = AUDIT_READ; i < AUDIT_EVENT_COUNT; i++) {
        enum audit_event e = (enum audit_event)i;
        assert_non_null(audit_event_name(e));
        assert_non_null(audit_event_zh(e));
        assert_non_null(audit_event_en(e));
        for (int j = AUDIT_READ; j < i; j++) {
            assert_string_not_equal(audit_event_name(e), audit_event_name((enum audit_event)j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_read_back),
        cmocka_unit_test(decode_refuses_every_cut_and_trailing_bytes),
        cmocka_unit_test(chain_verifies_and_reopens),
        cmocka_unit_test(every_changed_byte_is_found),
        cmocka_unit_test(missing_moved_and_foreign_entries_are_found),
        cmocka_unit_test(cut_end_is_found_by_the_witness),
        cmocka_unit_test(heads_are_bound_to_what_they_say),
        cmocka_unit_test(heads_travel),
        cmocka_unit_test(pseudonyms_need_the_key),
        cmocka_unit_test(failed_put_and_rollback_leave_no_gap),
        cmocka_unit_test(open_refuses_a_damaged_end),
        cmocka_unit_test(largest_entry_fits),
        cmocka_unit_test(events_have_names),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
