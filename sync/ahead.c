/*
 * Owns: what is worked out of a message before its turn. Invariants: ahead_work touches nothing but its struct; only
 * good answers are kept, each beside everything it depends on that is not in the message itself. Decides nothing: what
 * an answer means, and what happens without one, is the business of ingest.c and part.c.
 */
#include "sync/ahead.h"

#include "sync/core_internal.h"

#include <sodium.h>

void ahead_init(struct ahead *a, const struct mem *mem)
{
    *a = (struct ahead){ .mem = { .resize = mem->resize, .ctx = mem->ctx, .max_bytes = AHEAD_MEM_BYTES } };
    arena_init(&a->arena, &a->mem, AHEAD_ARENA_BYTES);
    arena_init(&a->scratch, &a->mem, AHEAD_ARENA_BYTES);
}

static void forget(struct ahead *a)
{
    a->commits = NULL;
    a->at = 0;
    a->message = (struct wire_message){ .count = 0 };
    a->message_bytes = 0;
    sodium_memzero(&a->keys, sizeof(a->keys));
}

void ahead_release(struct ahead *a)
{
    forget(a);
    arena_release(&a->arena);
    arena_release(&a->scratch);
}

void ahead_reset(struct ahead *a)
{
    forget(a);
    arena_reset(&a->arena);
    arena_reset(&a->scratch);
}

/* --- planning --- */

/* Only what follows on what is settled or planned is verified in its turn without further question. */
static bool take_turn(const struct core *c, struct ahead_turns *turns, struct dot dot)
{
    struct ahead_turn *t = &turns->at[dot.node % AHEAD_TURNS];
    const struct head *head = core_head(c, dot.node, dot.epoch);
    uint64_t upto = head == NULL ? 0 : head->upto;
    bool is_same = t->node == dot.node && t->epoch == dot.epoch;
    upto = is_same && t->upto > upto ? t->upto : upto;
    if (dot.seq != upto + 1 || dot.seq == 0) {
        return false;
    }
    *t = (struct ahead_turn){ .node = dot.node, .epoch = dot.epoch, .upto = dot.seq };
    return true;
}

static bool makes_dossier(const struct group_item *g)
{
    return !g->is_withheld && g->is_new;
}

/* A bulk is of one station and one key epoch: the first group that makes a dossier tells which. */
static void find_keys(struct ahead *a, const struct core *c, struct bytes commit)
{
    struct commit_view v;
    struct group_item g;
    struct part_item p;
    if (commit_parse(commit, &v) != ERR_OK) {
        return;
    }
    struct body_cursor groups = commit_groups(&v);
    while (commit_next_group(&groups, &g) == ERR_OK) {
        if (!makes_dossier(&g)) {
            continue;
        }
        struct part_cursor parts = group_parts(&g);
        while (group_next_part(&parts, &p) == ERR_OK) {
            const struct class_keys *keys = p.is_withheld ? NULL : members_keys(c->members, g.station, p.key_epoch);
            if (keys != NULL) {
                a->keys = *keys;
                return;
            }
        }
    }
}

static void plan_commit(struct ahead *a, const struct core *c, struct ahead_turns *turns, struct ahead_commit *out)
{
    struct dot dot;
    if (out->item->commit.len == 0 || commit_peek(out->item->commit, &dot) != ERR_OK) {
        return;
    }
    const struct member_node *node = members_node(c->members, dot.node);
    if (node == NULL || !take_turn(c, turns, dot)) {
        return;
    }
    out->is_planned = true;
    memcpy(out->signer, node->sign_key, sizeof(out->signer));
    if (out->item->secrets.len > 0 && a->keys.station == 0) {
        find_keys(a, c, out->item->commit);
    }
}

enum err ahead_plan(struct ahead *a, const struct core *c, struct ahead_turns *turns, struct bytes message)
{
    enum err e = wire_take(message, &a->arena, &a->message);
    if (e == ERR_OK) {
        e = a->message.kind == WIRE_COMMITS ? ERR_OK : ERR_NOT_FOUND;
    }
    if (e == ERR_OK && a->message.count > 0) {
        a->commits = arena_array(&a->arena, a->message.count, sizeof(*a->commits));
        e = a->commits == NULL ? ERR_NOMEM : ERR_OK;
    }
    if (e != ERR_OK) {
        ahead_reset(a);
        return e;
    }
    a->message_bytes = message.len;
    a->pack = &c->pack;
    memcpy(a->group_id, members_group_id(c->members), sizeof(a->group_id));
    for (size_t i = 0; i < a->message.count; i++) {
        a->commits[i].item = &a->message.items[i];
        plan_commit(a, c, turns, &a->commits[i]);
    }
    return ERR_OK;
}

/* --- working --- */

static enum err verify(struct ahead *a, struct ahead_commit *out, const struct commit_view *v)
{
    uint8_t root[COMMIT_HASH_BYTES];
    enum err e = seal_root(v, &a->scratch, root);
    if (e == ERR_OK) {
        e = seal_verify_commit(a->group_id, v, root, out->signer);
    }
    if (e == ERR_OK) {
        seal_commit_hash(a->group_id, v->header_bytes, root, out->hash);
        out->is_verified = true;
    }
    return e;
}

static size_t count_parts(const struct commit_view *v)
{
    struct body_cursor groups = commit_groups(v);
    struct group_item g;
    size_t n = 0;
    while (commit_next_group(&groups, &g) == ERR_OK) {
        n += makes_dossier(&g) ? g.part_count : 0;
    }
    return n;
}

/* ERR_NOMEM ends the opening; a part that does not open is left for its turn. */
static enum err open_part(struct ahead *a, const struct commit_view *v, const struct group_item *g,
    const struct part_item *p, const uint8_t *secret, struct ahead_part *out)
{
    struct bytes packed = { 0 };
    const struct part_place place = { .group_id = a->group_id,
        .header = &v->header,
        .group_index = g->index,
        .part_index = p->index,
        .class_ = p->class_,
        .key_epoch = p->key_epoch,
        .kind = g->kind,
        .station = g->station,
        .dossier = core_group_dossier(v, g) };
    if (p->is_withheld || g->station != a->keys.station || p->key_epoch != a->keys.epoch || p->class_ >= CLASS_COUNT) {
        return ERR_NO_KEY;
    }
    *out = (struct ahead_part){ .sealed = p->sealed.ptr, .secret = secret, .dossier = place.dossier };
    enum err e = seal_open_part(&place, a->keys.key[p->class_], secret, p->sealed, &a->arena, &packed);
    return e == ERR_OK ? pack_take(a->pack, &a->arena, packed, PART_MAX_BYTES, &out->plain) : e;
}

static void open_parts(struct ahead *a, struct ahead_commit *out, const struct commit_view *v)
{
    struct body_cursor groups = commit_groups(v);
    struct reader secrets = reader_of(out->item->secrets);
    struct group_item g;
    struct part_item p;
    size_t most = count_parts(v);
    enum err e = most == 0 ? ERR_NOT_FOUND : ERR_OK;
    out->parts = e == ERR_OK ? arena_array(&a->arena, most, sizeof(*out->parts)) : NULL;
    while (out->parts != NULL && e == ERR_OK && commit_next_group(&groups, &g) == ERR_OK) {
        struct bytes secret = { 0 };
        if (!makes_dossier(&g)) {
            continue;
        }
        struct part_cursor parts = group_parts(&g);
        e = reader_take(&secrets, SECRET_BYTES, &secret);
        while (e == ERR_OK && group_next_part(&parts, &p) == ERR_OK) {
            enum err opened = open_part(a, v, &g, &p, secret.ptr, &out->parts[out->part_count]);
            out->part_count += opened == ERR_OK ? 1 : 0;
            e = opened == ERR_NOMEM ? opened : ERR_OK;
        }
    }
}

bool ahead_work(struct ahead *a)
{
    for (size_t i = 0; i < a->message.count; i++) {
        struct ahead_commit *out = &a->commits[i];
        struct commit_view v;
        if (!out->is_planned || commit_parse(out->item->commit, &v) != ERR_OK) {
            continue;
        }
        arena_reset(&a->scratch);
        enum err e = verify(a, out, &v);
        if (e == ERR_SIGNATURE) {
            return false;
        }
        if (e == ERR_OK && a->keys.station != 0 && out->item->secrets.len > 0) {
            open_parts(a, out, &v);
        }
    }
    return true;
}

/* --- asking --- */

void ahead_turn(struct ahead *a, size_t item)
{
    a->at = item;
}

/* What stands elsewhere in memory is another commit: opened from a letter, read from the log. */
static const struct ahead_commit *find(const struct ahead *a, struct bytes commit)
{
    const struct ahead_commit *c = a->at < a->message.count ? &a->commits[a->at] : NULL;
    return c != NULL && c->item->commit.ptr == commit.ptr && c->item->commit.len == commit.len ? c : NULL;
}

bool ahead_verified(const struct ahead *a, struct bytes commit, const uint8_t signer[SIGN_PUBLIC_BYTES],
    uint8_t hash[COMMIT_HASH_BYTES])
{
    const struct ahead_commit *found = find(a, commit);
    if (found == NULL || !found->is_verified || memcmp(found->signer, signer, sizeof(found->signer)) != 0) {
        return false;
    }
    memcpy(hash, found->hash, sizeof(found->hash));
    return true;
}

static const struct ahead_part *find_part(const struct ahead_commit *c, const uint8_t *sealed)
{
    size_t low = 0;
    size_t high = c->part_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->parts[mid].sealed < sealed) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < c->part_count && c->parts[low].sealed == sealed ? &c->parts[low] : NULL;
}

bool ahead_opened(const struct ahead *a, struct bytes commit, const struct part_item *p, const struct class_keys *keys,
    const struct dossier *d, struct bytes *plain)
{
    const struct ahead_commit *in = find(a, commit);
    const struct ahead_part *found = in == NULL ? NULL : find_part(in, p->sealed.ptr);
    bool is_same = found != NULL && memcmp(&a->keys, keys, sizeof(*keys)) == 0 &&
                   memcmp(found->secret, d->secret, SECRET_BYTES) == 0 &&
                   dossier_id_compare(found->dossier, d->id) == 0;
    if (is_same) {
        *plain = found->plain;
    }
    return is_same;
}
