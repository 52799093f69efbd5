/*
 * Owns: the bytes of a bundle's header. Invariant: one encoding per header. Checks no signature.
 */
#include "sync/bundle.h"

#include "schema/base/check.h"

static const uint8_t magic[7] = { 'j', 'i', 'p', 'a', 'n', '-', 'b' };

void bundle_header_put(struct buf *b, const struct bundle_header *h)
{
    buf_put(b, magic, sizeof(magic));
    buf_put_u8(b, BUNDLE_VERSION);
    buf_put(b, h->group, sizeof(h->group));
    buf_put_u32be(b, h->from);
    buf_put_u32be(b, h->to);
    buf_put_u32be(b, h->epoch);
    buf_put_u64be(b, h->serial);
    buf_put_u64be(b, h->member_number);
    buf_put(b, h->member_hash, sizeof(h->member_hash));
    buf_put(b, h->stream, sizeof(h->stream));
    buf_put(b, h->wrap, sizeof(h->wrap));
    buf_put(b, h->signature, sizeof(h->signature));
}

/* The end of the fixed fields; what is shorter was refused before. */
static void take_rest(struct reader *r, struct bundle_header *out)
{
    bool is_read = reader_copy(r, out->group, sizeof(out->group)) == ERR_OK && reader_u32be(r, &out->from) == ERR_OK &&
                   reader_u32be(r, &out->to) == ERR_OK && reader_u32be(r, &out->epoch) == ERR_OK &&
                   reader_u64be(r, &out->serial) == ERR_OK && reader_u64be(r, &out->member_number) == ERR_OK &&
                   reader_copy(r, out->member_hash, sizeof(out->member_hash)) == ERR_OK &&
                   reader_copy(r, out->stream, sizeof(out->stream)) == ERR_OK &&
                   reader_copy(r, out->wrap, sizeof(out->wrap)) == ERR_OK &&
                   reader_copy(r, out->signature, sizeof(out->signature)) == ERR_OK;
    check(is_read && r->left == 0);
}

enum err bundle_header_take(struct bytes v, struct bundle_header *out)
{
    struct reader r = reader_of(v);
    struct bytes start = { 0 };
    uint8_t version = 0;
    struct bundle_header h;
    if (reader_take(&r, sizeof(magic), &start) != ERR_OK || memcmp(start.ptr, magic, sizeof(magic)) != 0) {
        return ERR_FORMAT;
    }
    if (reader_u8(&r, &version) != ERR_OK) {
        return ERR_TRUNCATED;
    }
    if (version != BUNDLE_VERSION) {
        return ERR_VERSION;
    }
    if (v.len != BUNDLE_HEADER_BYTES) {
        return v.len < BUNDLE_HEADER_BYTES ? ERR_TRUNCATED : ERR_FORMAT;
    }
    take_rest(&r, &h);
    *out = h;
    return ERR_OK;
}

void bundle_header_bind(struct bytes header, uint8_t out[BUNDLE_BINDING_BYTES])
{
    seal_hash(out, BUNDLE_BINDING_BYTES, "jipan/bundle-frame/v1", NULL, &header, 1);
}
