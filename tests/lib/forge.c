/*
 * Owns: commits that no honest node would write. Invariant: what is not asked to be wrong is right.
 */
#include "tests/lib/forge.h"

#include "schema/base/check.h"

static void put_plain(struct buf *b, const struct forged_part *p)
{
    if (p->raw.ptr != NULL) {
        buf_put_bytes(b, p->raw);
        return;
    }
    struct part_head head = p->head;
    const struct part_cell *cell = p->cells;
    head.record_count = (uint32_t)p->record_count;
    part_put_head(b, &head);
    for (size_t i = 0; i < p->record_count; i++) {
        part_put_record(b, &p->records[i]);
        for (uint32_t k = 0; k < p->records[i].cell_count; k++) {
            part_put_cell(b, cell++);
        }
    }
}

static void put_group(
    struct core *c, const struct commit_header *h, const struct forged_group *g, uint32_t index, struct buf *out)
{
    static const uint8_t no_secret[SECRET_BYTES];
    const struct class_keys *keys = members_current_keys(c->members, g->station);
    struct dossier_id id = g->is_new ? seal_new_dossier(h->salt, index) : g->dossier;
    check(keys != NULL);
    size_t start = out->len;
    commit_put_group_head(out, g->is_new, g->kind, g->station, g->dossier);
    check(out->err == ERR_OK);
    out->ptr[start + 1] |= g->flags;
    buf_put_varint(out, g->part_count);
    for (size_t i = 0; i < g->part_count; i++) {
        struct buf plain;
        struct buf packed;
        buf_init(&plain, c->mem, PART_MAX_BYTES);
        buf_init(&packed, c->mem, PART_MAX_BYTES);
        put_plain(&plain, &g->parts[i]);
        pack_put(&c->pack, &packed, buf_view(&plain));
        const struct part_place place = { .group_id = members_group_id(c->members),
            .header = h,
            .group_index = index,
            .part_index = (uint32_t)i,
            .class_ = g->parts[i].class_,
            .key_epoch = keys->epoch,
            .kind = g->kind,
            .station = g->station,
            .dossier = id };
        unsigned key_class = (unsigned)g->parts[i].class_ < CLASS_COUNT ? (unsigned)g->parts[i].class_ : 1;
        commit_put_part_head(out, g->parts[i].class_, keys->epoch, packed.len + PART_TAG_BYTES);
        seal_part(out, &place, keys->key[key_class], g->secret == NULL ? no_secret : g->secret, buf_view(&packed));
        buf_release(&plain);
        buf_release(&packed);
    }
}

static struct commit_header header_of(struct core *c, const struct forged_commit *fc)
{
    uint8_t hash[32];
    struct commit_header h = { .dot = fc->dot, .member_number = fc->member_number };
    const struct head *own = core_head(c, fc->dot.node, fc->dot.epoch);
    h.hlc = (uint64_t)1900000000000 << 16 | fc->dot.seq;
    h.member_number = h.member_number == 0 ? members_head(c->members, hash) : h.member_number;
    (void)members_hash16_at(c->members, h.member_number, h.member_hash);
    if (fc->member_hash != NULL) {
        memcpy(h.member_hash, fc->member_hash, sizeof(h.member_hash));
    }
    if (fc->prev != NULL) {
        memcpy(h.prev, fc->prev, sizeof(h.prev));
    } else if (own != NULL && own->upto + 1 == fc->dot.seq) {
        memcpy(h.prev, own->hash, sizeof(h.prev));
    }
    h.salt[0] = (uint8_t)fc->dot.node;
    h.salt[1] = (uint8_t)fc->dot.seq;
    h.salt[2] = 0x77;
    h.group_count = (uint32_t)fc->group_count;
    return h;
}

struct bytes forge_commit(struct fleet *f, const struct forged_commit *fc)
{
    struct core *c = fleet_core(f, fc->node);
    struct commit_header h = header_of(c, fc);
    struct commit_view v;
    struct buf out;
    struct bytes all = { 0 };
    uint8_t root[COMMIT_HASH_BYTES];
    buf_init(&out, c->mem, COMMIT_MAX_BYTES);
    commit_header_put(&out, &h);
    size_t header_len = out.len;
    (void)buf_reserve(&out, COMMIT_SIGNATURE_BYTES);
    for (size_t i = 0; i < fc->group_count; i++) {
        put_group(c, &h, &fc->groups[i], (uint32_t)i, &out);
    }
    check(out.err == ERR_OK && commit_parse(buf_view(&out), &v) == ERR_OK);
    check(seal_root(&v, fleet_arena(f, fc->node), root) == ERR_OK);
    seal_sign_commit(members_group_id(c->members), v.header_bytes, root, c->self.sign_secret, out.ptr + header_len);
    check(arena_dup(fleet_arena(f, fc->node), buf_view(&out), &all) == ERR_OK);
    buf_release(&out);
    return all;
}
