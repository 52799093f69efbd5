/*
 * Any bytes as a bundle for a node of a group. First byte 0: the rest is a file as it was found. Otherwise a list of
 * (length u16 be, message), sealed and signed here as another node of the group would, because random bytes never open.
 * Whatever it is, a node that takes it in ends with an error or with its end, and taking everything back leaves what
 * was there before.
 */
#include "schema/base/check.h"
#include "sync/bundle.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { FILE_BYTES_MAX = 4 << 20, FROM = 1, TO = 2 };

static struct world world;
static uint8_t before[32];

static void found(void)
{
    if (world.f == NULL) {
        world = world_new(2);
        (void)fleet_customer(world.f, TO, world.seller, "陈大文");
        fleet_hash(world.f, TO, before);
    }
}

/* What node 1 would make of these messages. */
static void seal_messages(struct reader *r, struct buf *out)
{
    const struct core *from = fleet_core(world.f, FROM);
    const uint8_t key[KEY_BYTES] = { 7 };
    uint8_t binding[BUNDLE_BINDING_BYTES];
    struct bundle_header h = { .from = FROM, .to = TO, .epoch = 1, .serial = 1, .stream = { 9 } };
    struct seal_stream stream;
    struct buf wrap;
    struct rng rng = test_rng(3);
    memcpy(h.group, members_group_id(from->members), sizeof(h.group));
    h.member_number = members_head(from->members, h.member_hash);
    buf_init(&wrap, test_mem(), BUNDLE_WRAP_BYTES);
    check(seal_wrap(&rng, members_node(from->members, TO)->box_key, BYTES_OF(key), &wrap) == ERR_OK);
    memcpy(h.wrap, wrap.ptr, sizeof(h.wrap));
    buf_release(&wrap);
    bundle_header_put(out, &h);
    check(out->err == ERR_OK);
    seal_sign("jipan/bundle/v1", h.group, bytes_of(out->ptr, BUNDLE_SIGNED_BYTES), from->self.sign_secret,
        out->ptr + BUNDLE_SIGNED_BYTES);
    bundle_header_bind(buf_view(out), binding);
    seal_stream_start(&stream, key, h.stream);
    for (bool is_last = false; !is_last;) {
        uint8_t length[2] = { 0 };
        struct bytes message = { 0 };
        is_last = reader_copy(r, length, sizeof(length)) != ERR_OK ||
                  reader_take(r, (size_t)length[0] << 8 | length[1], &message) != ERR_OK;
        buf_put_u32be(out, (uint32_t)(message.len + SEAL_STREAM_EXTRA_BYTES));
        seal_stream_put(&stream, message, BYTES_OF(binding), is_last, out);
    }
    check(out->err == ERR_OK);
}

static void take_all(struct bytes file)
{
    struct reader r = reader_of(file);
    struct bytes piece = { 0 };
    struct bundle_in *b = NULL;
    bool is_last = false;
    enum err e = reader_take(&r, BUNDLE_HEADER_BYTES, &piece);
    if (e == ERR_OK) {
        e = bundle_in_new(fleet_core(world.f, TO), piece, &b);
    }
    while (e == ERR_OK && !is_last) {
        uint32_t len = 0;
        e = reader_u32be(&r, &len) == ERR_OK && reader_take(&r, len, &piece) == ERR_OK ? ERR_OK : ERR_TRUNCATED;
        if (e == ERR_OK) {
            e = bundle_in_next(b, fleet_now(world.f), piece, &is_last);
        }
    }
    check(e != ERR_BUG);
    bundle_in_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf file;
    uint8_t after[32];
    struct reader r = reader_of(bytes_of(data, len));
    uint8_t kind = 0;
    found();
    struct store *s = fleet_store(world.f, TO);
    if (reader_u8(&r, &kind) != ERR_OK) {
        return 0;
    }
    buf_init(&file, test_mem(), FILE_BYTES_MAX);
    if (kind == 0) {
        buf_put(&file, data + 1, len - 1);
    } else {
        seal_messages(&r, &file);
    }
    check(s->ops->begin(s) == ERR_OK);
    take_all(buf_view(&file));
    s->ops->rollback(s);
    check(core_reload(fleet_core(world.f, TO), fleet_arena(world.f, TO)) == ERR_OK);
    fleet_core(world.f, TO)->epochs_drawn = 0;
    fleet_hash(world.f, TO, after);
    check(memcmp(before, after, sizeof(after)) == 0);
    buf_release(&file);
    return 0;
}
