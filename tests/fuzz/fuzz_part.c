/*
 * Any bytes as the plaintext of a part: what is read is written back byte by byte, and refusals move no reader. The
 * same bytes as the packed form: what is accepted packs and unpacks to the same again.
 */
#include "schema/base/check.h"
#include "schema/commit.h"
#include "schema/pack.h"
#include "tests/lib/testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static enum err copy_record(struct reader *r, struct buf *b)
{
    struct part_record rec;
    enum err e = part_take_record(r, &rec);
    if (e != ERR_OK) {
        return e;
    }
    part_put_record(b, &rec);
    for (uint32_t i = 0; e == ERR_OK && i < rec.cell_count; i++) {
        struct part_cell cell;
        e = part_take_cell(r, &cell);
        if (e == ERR_OK) {
            part_put_cell(b, &cell);
        }
    }
    return e;
}

static void try_packed(struct arena *a, struct bytes packed)
{
    static struct pack pack;
    struct bytes plain = { 0 };
    struct bytes again = { 0 };
    struct buf b;
    pack_init(&pack);
    buf_init(&b, test_mem(), PART_MAX_BYTES * 3);
    if (pack_take(&pack, a, packed, PART_MAX_BYTES, &plain) == ERR_OK) {
        pack_put(&pack, &b, plain);
        check(b.err == ERR_OK && b.len <= plain.len + 1);
        check(pack_take(&pack, a, buf_view(&b), PART_MAX_BYTES, &again) == ERR_OK && bytes_equal(plain, again));
    }
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct part_head head;
    struct arena a;
    struct buf b;
    struct reader r = reader_of(bytes_of(data, len));
    if (len > PART_MAX_BYTES) {
        return 0;
    }
    arena_init(&a, test_mem(), 1 << 20);
    buf_init(&b, test_mem(), PART_MAX_BYTES);
    enum err e = part_take_head(&r, &a, &head);
    if (e == ERR_OK) {
        part_put_head(&b, &head);
    }
    for (uint32_t i = 0; e == ERR_OK && i < head.record_count; i++) {
        e = copy_record(&r, &b);
    }
    check(b.err == ERR_OK);
    check(b.len <= len - r.left || e != ERR_OK);
    check(b.len == 0 || memcmp(b.ptr, data, b.len) == 0);
    check(e != ERR_OK || b.len == len - r.left);
    buf_release(&b);
    try_packed(&a, bytes_of(data, len));
    arena_release(&a);
    check(test_mem()->used_bytes == 0);
    return 0;
}
