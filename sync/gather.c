/*
 * Owns: choosing and reducing what a given node may have beyond a given version vector. Invariants: a part is handed
 * out only if the node is entitled to it now; a commit is handed out only when it is held whole, or was sealed whole
 * for the node before something of it was forgotten here, so a partial holder can never make another node believe it
 * has everything; a batch is bounded in bytes and items. Does not send, and does
 * not note the release: callers do, before bytes leave.
 */
#include "sync/gather.h"

#include "sync/letter.h"
#include "sync/relay.h"
#include "sync/scope.h"

struct gathering {
    const struct gather *g;
    struct gathered *out;
    size_t bytes;
    uint64_t expected_seq;
    struct dot last; /* last dot settled by this batch for the origin */
    bool takes_all;
    bool is_relay; /* this node is one */
    bool is_covered; /* we hold everything the node may hold: what we lack of a commit is not for it */
    bool is_home; /* and it is a laptop of our station */
    bool is_full;
    bool is_extra; /* not in the order of the origin: no marks */
    bool is_early; /* of these: before their turn, else the node has settled the dots already */
    const struct gather_part *only; /* not NULL: nothing but this */
    enum err failed; /* of a look-up inside keep() */
};

static bool keep(void *ctx, const struct group_item *g, struct dossier_id dossier, const struct part_item *part)
{
    struct gathering *ga = ctx;
    const struct scope_dossier d = { .id = dossier, .kind = g->kind, .station = g->station };
    bool may = false;
    if (ga->only != NULL) {
        return dossier_id_compare(dossier, ga->only->dossier) == 0 &&
               (part == NULL || part->class_ == ga->only->class_);
    }
    if (part != NULL) {
        return true;
    }
    enum err e = scope_may_hold(ga->g->core, ga->g->work, ga->g->to, &d, &may);
    ga->failed = ga->failed == ERR_OK ? e : ga->failed;
    return e == ERR_OK && may;
}

static uint64_t present_groups(const struct commit_view *v)
{
    struct body_cursor cursor = commit_groups(v);
    struct group_item g;
    uint64_t n = 0;
    while (commit_next_group(&cursor, &g) == ERR_OK) {
        n += g.is_withheld ? 0 : 1;
    }
    return n;
}

/* What must travel beside a commit: secrets in clear between nodes that serve, in boxes over a relay. */
static enum err put_beside(
    struct gathering *ga, const struct commit_view *whole, const struct commit_view *v, struct wire_item *item)
{
    struct core *c = ga->g->core;
    struct buf b;
    bool is_boxed = ga->is_relay || ga->g->to->kind == NODE_RELAY;
    buf_init(&b, c->mem, (size_t)COMMIT_GROUPS_MAX * RELAY_BOX_BYTES);
    enum err e = ga->is_relay ? relay_boxes(c, ga->g->work, whole, v, &b)
                 : is_boxed   ? relay_box(c, ga->g->work, v, &b)
                              : core_secrets_of(c, ga->g->work, v, &b);
    if (e == ERR_OK) {
        e = arena_dup(ga->g->out, buf_view(&b), is_boxed ? &item->boxes : &item->secrets);
    }
    buf_release(&b);
    /* Who cannot box what a relay needs leaves this origin to others. */
    return e == ERR_NO_KEY && is_boxed ? ERR_BUSY : e;
}

static enum err add_commit(struct gathering *ga, const struct commit_view *whole, const struct commit_view *v)
{
    struct wire_item *item = &ga->out->items[ga->out->count];
    *item = (struct wire_item){ .node = 0 };
    enum err e = put_beside(ga, whole, v, item);
    if (e == ERR_OK) {
        e = arena_dup(ga->g->out, v->all, &item->commit);
    }
    if (e == ERR_OK) {
        ga->out->count++;
        ga->out->commits++;
        ga->out->dossiers += present_groups(v);
        ga->bytes += item->commit.len + item->secrets.len + item->boxes.len + 16;
    }
    return e;
}

/* Nothing of it is for the node: stretches the last withheld mark or starts one. */
static void add_withheld(struct gathering *ga, struct dot dot)
{
    struct wire_item *last = ga->out->count == 0 ? NULL : &ga->out->items[ga->out->count - 1];
    if (ga->is_extra) {
        return;
    }
    if (last != NULL && last->commit.len == 0 && last->node == dot.node && last->epoch == dot.epoch) {
        last->upto = dot.seq;
        return;
    }
    ga->out->items[ga->out->count++] = (struct wire_item){ .node = dot.node, .epoch = dot.epoch, .upto = dot.seq };
    ga->bytes += 24;
}

static enum err add_reduced(struct gathering *ga, const struct commit_view *v)
{
    struct buf reduced;
    struct commit_view small;
    bool any = false;
    buf_init(&reduced, ga->g->core->mem, COMMIT_MAX_BYTES);
    enum err e = seal_reduce(v, ga->g->work, keep, ga, &reduced, &any);
    e = e == ERR_OK ? ga->failed : e;
    /* The word of a relay counts nothing, so it gives what is signed: a commit with everything taken out. */
    if (e == ERR_OK && (any || ga->is_relay)) {
        e = commit_parse(buf_view(&reduced), &small);
        if (e == ERR_OK) {
            e = add_commit(ga, v, &small);
        }
    } else if (e == ERR_OK) {
        add_withheld(ga, v->header.dot);
    }
    buf_release(&reduced);
    return e;
}

/* What lies beyond the cut of a revoked node, or from a fork on, counts nowhere, so it is not spread. A node's own
 * commits come back to it whole. */
static enum err add_any(struct gathering *ga, const struct commit_view *v)
{
    if (core_counts(ga->g->core, v->header.dot) != ERR_OK) {
        add_withheld(ga, v->header.dot);
        return ERR_OK;
    }
    bool is_whole = ga->takes_all || (!ga->is_extra && v->header.dot.node == ga->g->to->number);
    return is_whole && ga->only == NULL ? add_commit(ga, v, v) : add_reduced(ga, v);
}

static void settle(struct gathering *ga, struct dot dot)
{
    ga->last = dot;
    ga->expected_seq = dot.seq + 1;
}

/* Whether another item of so many bytes would be too much. */
static bool fills(struct gathering *ga, size_t len)
{
    ga->is_full = ga->bytes > 0 && (ga->bytes + len > ga->g->bytes_max || ga->out->count + 1 >= GATHER_ITEMS_MAX);
    return ga->is_full;
}

/* Of a commit of our own something was forgotten: whoever lacks it gets the letter. ERR_BUSY: there is none for it. */
static enum err give_letter(struct gathering *ga, struct dot dot)
{
    struct letter l;
    arena_reset(ga->g->work);
    enum err e = letter_for(ga->g->core, ga->g->work, dot, ga->g->to->number, &l);
    if (e != ERR_OK || fills(ga, l.bytes.len)) {
        return e == ERR_OK || e == ERR_NOT_FOUND ? ERR_BUSY : e;
    }
    if (core_counts(ga->g->core, dot) != ERR_OK) {
        add_withheld(ga, dot);
        settle(ga, dot);
        return ERR_OK;
    }
    struct wire_item *item = &ga->out->items[ga->out->count];
    *item = (struct wire_item){ .node = 0 };
    e = arena_dup(ga->g->out, l.bytes, &item->letter);
    if (e == ERR_OK) {
        ga->out->count++;
        ga->out->commits++;
        ga->out->dossiers += l.groups;
        ga->bytes += item->letter.len + 16;
        settle(ga, dot);
    }
    return e;
}

/* Commits of the origin up to there of which the log has nothing, or not enough. They were not for us, or are not any
 * more: then not for our laptops either, who take our word. */
static enum err pass_hole(struct gathering *ga, const struct dot *upto)
{
    enum err e = ERR_OK;
    if (ga->is_home && upto->node != ga->g->to->number && ga->expected_seq <= upto->seq) {
        if (fills(ga, 0)) {
            return ERR_BUSY;
        }
        add_withheld(ga, *upto);
        settle(ga, *upto);
    }
    bool is_ours = upto->node == ga->g->core->self.number && !ga->is_relay;
    while (e == ERR_OK && ga->expected_seq <= upto->seq) {
        const struct dot dot = { .node = upto->node, .epoch = upto->epoch, .seq = ga->expected_seq };
        e = is_ours ? give_letter(ga, dot) : ERR_BUSY;
    }
    return e;
}

/* ERR_BUSY ends the scan: the batch is full, or the rest of this origin is not ours to give. */
static enum err gather_commit(void *ctx, struct bytes key, struct bytes value)
{
    struct gathering *ga = ctx;
    struct dot dot = { 0 };
    struct commit_view v;
    enum err e = dot_from_key(key, &dot);
    if (e == ERR_OK) {
        e = commit_parse(value, &v);
    }
    if (e != ERR_OK) {
        return err_of_stored(e);
    }
    const struct dot before = { .node = dot.node, .epoch = dot.epoch, .seq = dot.seq - 1 };
    e = pass_hole(ga, &before);
    if (e == ERR_OK && !ga->is_covered && !relay_is_whole(&v)) {
        return pass_hole(ga, &dot);
    }
    if (e != ERR_OK || fills(ga, value.len)) {
        return e == ERR_OK ? ERR_BUSY : e;
    }
    arena_reset(ga->g->work);
    e = add_any(ga, &v);
    if (e == ERR_OK) {
        settle(ga, dot);
    }
    return e;
}

static uint64_t known_upto(const struct vv *known, uint32_t node, uint32_t epoch)
{
    for (size_t i = 0; i < known->count; i++) {
        if (known->at[i].node == node && known->at[i].epoch == epoch) {
            return known->at[i].seq;
        }
    }
    return 0;
}

static enum err gather_origin(struct gathering *ga, const struct head *h)
{
    struct store *store = ga->g->core->store;
    uint8_t from[DOT_KEY_BYTES];
    uint8_t to[DOT_KEY_BYTES];
    uint64_t known = known_upto(ga->g->known, h->node, h->epoch);
    if (h->upto <= known) {
        return ERR_OK;
    }
    ga->expected_seq = known + 1;
    ga->last = (struct dot){ 0 };
    dot_key((struct dot){ .node = h->node, .epoch = h->epoch, .seq = known + 1 }, from);
    dot_key((struct dot){ .node = h->node, .epoch = h->epoch, .seq = h->upto + 1 }, to);
    enum err e = store->ops->scan(store, SPACE_LOG, BYTES_OF(from), BYTES_OF(to), false, gather_commit, ga);
    if (e == ERR_OK) {
        e = pass_hole(ga, &(struct dot){ .node = h->node, .epoch = h->epoch, .seq = h->upto });
    }
    e = e == ERR_BUSY ? ERR_OK : e;
    if (e == ERR_OK && ga->last.seq != 0) {
        e = vv_raise(ga->g->known, ga->g->known_arena, ga->last);
    }
    return e;
}

/* Most questions find nothing left, and room for a batch is large. */
static bool lacks_any(const struct gather *g)
{
    bool lacks = false;
    for (size_t i = 0; !lacks && i < g->core->heads.count; i++) {
        const struct head *h = &g->core->heads.at[i];
        lacks = h->upto > known_upto(g->known, h->node, h->epoch);
    }
    return lacks;
}

enum err gather_commits(const struct gather *g, struct gathered *out)
{
    const struct member_node *self = members_node(g->core->members, g->core->self.number);
    struct gathering ga = { .g = g,
        .out = out,
        .takes_all = scope_takes_all(g->to) || g->to->kind == NODE_RELAY,
        .is_relay = relay_is(g->core) };
    ga.is_covered = self != NULL && !ga.takes_all && scope_covers(self, g->to);
    ga.is_home = ga.is_covered && g->to->kind == NODE_LAPTOP && g->to->station == self->station;
    *out = (struct gathered){ .count = 0 };
    if ((ga.is_relay && !relay_serves(g->to)) || !lacks_any(g)) {
        return ERR_OK;
    }
    out->items = arena_array(g->out, GATHER_ITEMS_MAX, sizeof(*out->items));
    enum err e = out->items == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < g->core->heads.count && !ga.is_full; i++) {
        e = gather_origin(&ga, &g->core->heads.at[i]);
    }
    return e;
}

/* --- single commits ----------------------------------------------------------------------------------------------- */

static enum err gather_one(struct gathering *ga, struct dot dot)
{
    struct store *store = ga->g->core->store;
    uint8_t key[DOT_KEY_BYTES];
    struct bytes value = { 0 };
    struct commit_view v;
    uint64_t known = known_upto(ga->g->known, dot.node, dot.epoch);
    if (ga->is_early ? dot.seq <= known + 1 || dot.node == ga->g->to->number : dot.seq > known) {
        return ERR_OK; /* it comes in its turn */
    }
    arena_reset(ga->g->work);
    dot_key(dot, key);
    enum err e = store->ops->get(store, SPACE_LOG, BYTES_OF(key), ga->g->work, &value);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    if (commit_parse(value, &v) != ERR_OK) {
        return ERR_DAMAGED;
    }
    if (ga->is_early && !ga->is_covered && !relay_is_whole(&v)) {
        return ERR_OK;
    }
    return fills(ga, value.len) ? ERR_OK : add_any(ga, &v);
}

static enum err gather_each(
    struct gathering *ga, const struct dot *dots, const struct gather_part *parts, size_t count, size_t *done)
{
    struct gathered *out = ga->out;
    ga->is_extra = true;
    *done = 0;
    *out = (struct gathered){ .count = 0 };
    if (count == 0) {
        return ERR_OK;
    }
    out->items = arena_array(ga->g->out, GATHER_ITEMS_MAX, sizeof(*out->items));
    enum err e = out->items == NULL ? ERR_NOMEM : ERR_OK;
    while (e == ERR_OK && *done < count) {
        ga->only = parts == NULL ? NULL : &parts[*done];
        e = gather_one(ga, parts == NULL ? dots[*done] : parts[*done].dot);
        if (ga->is_full) {
            break;
        }
        (*done)++;
    }
    return e;
}

enum err gather_dots(const struct gather *g, const struct dot *dots, size_t count, size_t *done, struct gathered *out)
{
    struct gathering ga = { .g = g, .out = out, .takes_all = scope_takes_all(g->to) };
    return gather_each(&ga, dots, NULL, count, done);
}

enum err gather_early(const struct gather *g, const struct dot *dots, size_t count, size_t *done, struct gathered *out)
{
    const struct member_node *self = members_node(g->core->members, g->core->self.number);
    struct gathering ga = { .g = g, .out = out, .takes_all = scope_takes_all(g->to), .is_early = true };
    bool is_relayed = relay_is(g->core) || g->to->kind == NODE_RELAY;
    ga.is_covered = self != NULL && !ga.takes_all && scope_covers(self, g->to);
    return gather_each(&ga, dots, NULL, is_relayed ? 0 : count, done);
}

enum err gather_parts(
    const struct gather *g, const struct gather_part *parts, size_t count, size_t *done, struct gathered *out)
{
    struct gathering ga = { .g = g, .out = out };
    return gather_each(&ga, NULL, parts, count, done);
}

struct entries {
    struct arena *a;
    struct bytes *at;
    size_t count;
    size_t bytes;
};

static enum err gather_entry(void *ctx, struct bytes key, struct bytes value)
{
    struct entries *en = ctx;
    (void)key;
    if (en->count == GATHER_ENTRIES_MAX || (en->count > 0 && en->bytes + value.len > GATHER_ENTRIES_BYTES)) {
        return ERR_BUSY;
    }
    enum err e = arena_dup(en->a, value, &en->at[en->count]);
    if (e == ERR_OK) {
        en->count++;
        en->bytes += value.len;
    }
    return e;
}

enum err gather_members(struct core *c, struct arena *out, uint64_t first, struct bytes **entries, size_t *count)
{
    uint8_t from[8];
    struct entries en = { .a = out, .at = arena_array(out, GATHER_ENTRIES_MAX, sizeof(struct bytes)) };
    for (size_t i = 0; i < sizeof(from); i++) {
        from[i] = (uint8_t)(first >> (8 * (7 - i)));
    }
    enum err e = en.at == NULL ? ERR_NOMEM
                               : c->store->ops->scan(c->store, SPACE_MEMBER, BYTES_OF(from), (struct bytes){ 0 }, false,
                                     gather_entry, &en);
    *entries = en.at;
    *count = en.count;
    return e == ERR_BUSY ? ERR_OK : e;
}
