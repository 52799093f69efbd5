/*
 * Any bytes as a commit: parsing keeps its promise that later walks cannot fail, what was parsed is written back
 * byte by byte, and a reduced commit still has the root of the whole one. The first byte chooses what is kept.
 */
#include "schema/base/check.h"
#include "sync/seal.h"
#include "tests/lib/testkit.h"

#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void put_part(struct buf *b, const struct part_item *p)
{
    if (p->is_withheld) {
        commit_put_part_withheld(b, p->class_, p->hash);
        return;
    }
    commit_put_part_head(b, p->class_, p->key_epoch, p->sealed.len);
    buf_put_bytes(b, p->sealed);
}

static void put_group(struct buf *b, const struct group_item *g)
{
    struct part_cursor c = group_parts(g);
    struct part_item p;
    enum err e = ERR_OK;
    size_t start = b->len;
    commit_put_group_head(b, g->is_new, g->kind, g->station, g->dossier);
    if (b->err == ERR_OK) {
        b->ptr[start + 1] = g->flags; /* hints and flags of later versions are never written here, but kept */
    }
    buf_put_varint(b, g->part_count);
    while ((e = group_next_part(&c, &p)) == ERR_OK) {
        put_part(b, &p);
    }
    check(e == ERR_NOT_FOUND);
}

static void check_round_trip(const struct commit_view *v)
{
    struct buf b;
    struct body_cursor c = commit_groups(v);
    struct group_item g;
    enum err e = ERR_OK;
    buf_init(&b, test_mem(), COMMIT_MAX_BYTES);
    commit_header_put(&b, &v->header);
    buf_put(&b, v->signature, COMMIT_SIGNATURE_BYTES);
    while ((e = commit_next_group(&c, &g)) == ERR_OK) {
        if (g.is_withheld) {
            commit_put_withheld(&b, g.leaves, g.hash);
        } else {
            put_group(&b, &g);
        }
    }
    check(e == ERR_NOT_FOUND);
    check(bytes_equal(buf_view(&b), v->all));
    buf_release(&b);
}

static bool keep(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    const uint8_t *choice = ctx;
    (void)dossier;
    return (*choice >> ((g->index + (part == NULL ? 0 : part->index)) % 8) & 1) != 0;
}

static void check_reduced(const struct commit_view *v, struct arena *a, uint8_t choice)
{
    uint8_t whole[COMMIT_HASH_BYTES];
    uint8_t rest[COMMIT_HASH_BYTES];
    struct commit_view reduced;
    struct buf b;
    bool any = false;
    if (seal_root(v, a, whole) != ERR_OK) {
        return;
    }
    buf_init(&b, test_mem(), 2 * COMMIT_MAX_BYTES);
    check(seal_reduce(v, a, keep, &choice, &b, &any) == ERR_OK);
    if (b.len <= COMMIT_MAX_BYTES) {
        check(commit_parse(buf_view(&b), &reduced) == ERR_OK);
        check(seal_root(&reduced, a, rest) == ERR_OK);
        check(memcmp(whole, rest, sizeof(whole)) == 0);
    }
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct commit_view v;
    struct arena a;
    if (len == 0 || sodium_init() < 0 || commit_parse(bytes_of(data + 1, len - 1), &v) != ERR_OK) {
        return 0;
    }
    arena_init(&a, test_mem(), 8 << 20);
    check_round_trip(&v);
    check_reduced(&v, &a, data[0]);
    arena_release(&a);
    check(test_mem()->used_bytes == 0);
    return 0;
}
