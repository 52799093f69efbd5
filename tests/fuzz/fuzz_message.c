/*
 * Any bytes as a session message: decoding stays inside its arena, what it gives has the promised sizes and counts, and
 * encoding it again and decoding that gives the same.
 */
#include "schema/base/check.h"
#include "schema/wire.h"
#include "tests/lib/testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_sizes(const struct wire_message *m)
{
    check(m->kind >= WIRE_HELLO && m->kind < WIRE_KIND_COUNT);
    check(m->count <= 4 * (size_t)WIRE_LIST_MAX);
    if (m->kind == WIRE_HELLO) {
        check(m->hello.group.len == 16 && m->hello.member_hash.len == 32);
    }
    if (m->kind == WIRE_JOIN_REQUEST) {
        check(m->invite.len == 8 && m->proof.len == 32 && m->sign_key.len == 32 && m->box_key.len == 32);
    }
}

static void check_hello(const struct wire_hello *x, const struct wire_hello *y)
{
    check(x->version_min == y->version_min && x->version_max == y->version_max && x->node == y->node);
    check(x->epoch == y->epoch && x->member_number == y->member_number);
    check(bytes_equal(x->group, y->group) && bytes_equal(x->member_hash, y->member_hash));
    check(bytes_equal(x->settled, y->settled) && bytes_equal(x->audit_head, y->audit_head));
}

static void check_same(const struct wire_message *x, const struct wire_message *y)
{
    check(x->kind == y->kind && x->count == y->count && x->messages == y->messages && x->id == y->id);
    check(x->error == y->error && x->node == y->node && x->more == y->more);
    check(bytes_equal(x->settled, y->settled) && bytes_equal(x->invite, y->invite) && bytes_equal(x->proof, y->proof));
    check(bytes_equal(x->sign_key, y->sign_key) && bytes_equal(x->box_key, y->box_key));
    check(
        bytes_equal(x->address, y->address) && bytes_equal(x->ranges, y->ranges) && bytes_equal(x->claims, y->claims));
    check_hello(&x->hello, &y->hello);
    for (size_t i = 0; x->entries != NULL && i < x->count; i++) {
        check(bytes_equal(x->entries[i], y->entries[i]));
    }
    for (size_t i = 0; x->items != NULL && i < x->count; i++) {
        check(bytes_equal(x->items[i].commit, y->items[i].commit));
        check(bytes_equal(x->items[i].secrets, y->items[i].secrets));
        check(bytes_equal(x->items[i].letter, y->items[i].letter));
        check(bytes_equal(x->items[i].boxes, y->items[i].boxes));
        check(x->items[i].node == y->items[i].node && x->items[i].epoch == y->items[i].epoch);
        check(x->items[i].upto == y->items[i].upto);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena a;
    struct wire_message m;
    struct wire_message again;
    struct buf b;
    arena_init(&a, test_mem(), WIRE_ARENA_BYTES);
    if (wire_take(bytes_of(data, len), &a, &m) == ERR_OK) {
        check_sizes(&m);
        buf_init(&b, test_mem(), 2 * WIRE_MESSAGE_MAX_BYTES);
        arena_release(&a); /* what m points to is gone: decode once more into a fresh one */
        check(wire_take(bytes_of(data, len), &a, &m) == ERR_OK);
        struct arena other;
        arena_init(&other, test_mem(), 2 * (size_t)WIRE_ARENA_BYTES);
        wire_put(&b, &other, &m);
        check(b.err == ERR_OK);
        /* Only what was longer than need be, or unknown and left out, may be shorter now. */
        if (b.len <= WIRE_MESSAGE_MAX_BYTES) {
            check(wire_take(buf_view(&b), &other, &again) == ERR_OK);
            check_same(&m, &again);
        }
        buf_release(&b);
        arena_release(&other);
    }
    arena_release(&a);
    check(test_mem()->used_bytes == 0);
    return 0;
}
