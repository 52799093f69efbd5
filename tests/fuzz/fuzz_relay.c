/*
 * Any bytes at what relays add to a session. First byte 0: a receipt as received. 1: the rest of a receipt behind the
 * node's number, signed here as node 1 would. 2: boxes beside a real commit, at a node that opens them. 3: (length u16
 * be, boxes), then a commit, at a relay. Whatever it is ends with an error or is kept whole, and taking it back leaves
 * what was there before.
 */
#include "schema/base/check.h"
#include "sync/receipt.h"
#include "sync/relay.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct world world;
static uint32_t relay;
static uint8_t before[32];

static void found(void)
{
    if (world.f == NULL) {
        world = world_new(2);
        relay = fleet_relay(world.f, 1);
        world_teach_all(&world);
        (void)fleet_customer(world.f, 1, world.seller, "陈大文");
        fleet_hash(world.f, 2, before);
    }
}

static enum err see(void *ctx, const struct receipt *r)
{
    const struct receipt_gap gap = receipt_compare(ctx, r);
    check(r->node != 0 && gap.unconfirmed <= CORE_SEQ_MAX);
    return ERR_OK;
}

static void try_receipt(struct bytes bytes)
{
    struct core *c = fleet_core(world.f, 2);
    struct arena a;
    bool is_new = false;
    arena_init(&a, test_mem(), 4 << 20);
    enum err e = receipt_take(c, &a, bytes, &is_new);
    check(e == ERR_OK || !is_new);
    if (is_new) {
        check(receipt_each(c, &a, see, c) == ERR_OK);
        check(receipt_take(c, &a, bytes, &is_new) == ERR_OK && !is_new);
    }
    arena_release(&a);
}

static void try_signed_receipt(struct bytes rest)
{
    const struct core *from = fleet_core(world.f, 1);
    uint8_t signature[64];
    struct buf b;
    buf_init(&b, test_mem(), 2 * RECEIPT_MAX_BYTES);
    buf_put_u8(&b, 1);
    buf_put_u32be(&b, 1);
    buf_put_bytes(&b, rest);
    if (b.err == ERR_OK) {
        seal_sign("jipan/receipt/v1", members_group_id(from->members), buf_view(&b), from->self.sign_secret, signature);
        buf_put(&b, signature, sizeof(signature));
        try_receipt(buf_view(&b));
    }
    buf_release(&b);
}

static void try_boxes(struct bytes boxes)
{
    struct bytes commit = { 0 };
    struct bytes secrets = { 0 };
    struct commit_view v;
    struct buf opened;
    check(fleet_commit_of(world.f, 1, world_dot(1, 1), &commit, &secrets) == ERR_OK);
    check(commit_parse(commit, &v) == ERR_OK);
    buf_init(&opened, test_mem(), 4096);
    enum err e = relay_unbox(fleet_core(world.f, 2), &v, boxes, &opened);
    check(e != ERR_OK || bytes_equal(buf_view(&opened), secrets));
    buf_release(&opened);
}

static void try_item(struct bytes rest)
{
    struct reader r = reader_of(rest);
    uint8_t length[2] = { 0 };
    struct arena a;
    struct wire_item item = { .node = 0 };
    if (reader_copy(&r, length, sizeof(length)) != ERR_OK ||
        reader_take(&r, (size_t)length[0] << 8 | length[1], &item.boxes) != ERR_OK ||
        reader_take(&r, r.left, &item.commit) != ERR_OK) {
        return;
    }
    arena_init(&a, test_mem(), CORE_ARENA_BYTES);
    enum err e = relay_take(fleet_core(world.f, relay), &a, fleet_now(world.f), &item);
    check(e == ERR_OK || core_head(fleet_core(world.f, relay), 1, 1) == NULL);
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t after[32];
    found();
    if (len == 0) {
        return 0;
    }
    const struct bytes rest = bytes_of(data + 1, len - 1);
    uint32_t at = data[0] == 3 ? relay : 2;
    struct store *s = fleet_store(world.f, at);
    check(s->ops->begin(s) == ERR_OK);
    switch (data[0]) {
    case 0:
        try_receipt(rest);
        break;
    case 1:
        try_signed_receipt(rest);
        break;
    case 2:
        try_boxes(rest);
        break;
    default:
        if (at == relay) {
            try_item(rest);
        }
        break;
    }
    s->ops->rollback(s);
    check(core_reload(fleet_core(world.f, at), fleet_arena(world.f, at)) == ERR_OK);
    fleet_hash(world.f, 2, after);
    check(memcmp(before, after, sizeof(after)) == 0);
    return 0;
}
