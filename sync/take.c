/*
 * Owns: which items of another node are accepted. Invariants: a withheld mark is believed only from those who may make
 * it; what is known already changes nothing. Does not begin or commit transactions, acknowledges nothing.
 */
#include "sync/take.h"

#include "sync/fork.h"
#include "sync/letter.h"
#include "sync/newer.h"
#include "sync/relay.h"
#include "sync/scope.h"

/* Whose word counts that commits are not for us. What lies beyond a revoked node's cut or from a fork on counts
 * nowhere, so anybody's, once all before that is settled. Nothing else is withheld from a station or hub that holds the
 * group; others believe the origin itself, a station or hub that holds the group, and a laptop its own station. */
static bool may_withhold(const struct taking *t, struct dot upto)
{
    const struct member_node *self = members_node(t->core->members, t->core->self.number);
    const struct member_node *peer = members_node(t->core->members, t->from);
    if (self == NULL || peer == NULL) {
        return false;
    }
    if (core_counts(t->core, upto) != ERR_OK) {
        const struct head *head = core_head(t->core, upto.node, upto.epoch);
        const struct dot next = { upto.node, upto.epoch, 1 + (head == NULL ? 0 : head->upto) };
        return core_counts(t->core, next) != ERR_OK;
    }
    if (self->holds_group && (self->kind == NODE_STATION || self->kind == NODE_HUB)) {
        return false;
    }
    bool serves = peer->kind == NODE_STATION || peer->kind == NODE_HUB;
    bool is_home = self->kind == NODE_LAPTOP && peer->station == self->station;
    return upto.node == t->from || (serves && (peer->holds_group || is_home));
}

static enum err take_withheld(const struct taking *t, const struct wire_item *item)
{
    const struct dot upto = { .node = item->node, .epoch = item->epoch, .seq = item->upto };
    if (upto.seq == 0 || members_node(t->core->members, upto.node) == NULL) {
        return ERR_PROTOCOL;
    }
    /* It settles nothing, it only says what the giver has; about our own past nobody may say anything. */
    const struct head *head = core_head(t->core, upto.node, upto.epoch);
    if (upto.node != t->core->self.number && head != NULL && head->upto >= upto.seq) {
        return vv_raise(t->known, t->known_arena, upto);
    }
    if (!may_withhold(t, upto)) {
        return ERR_OK; /* the commits may still come, from somebody else */
    }
    enum err e = core_settle_withheld(t->core, item->node, item->epoch, item->upto);
    return e == ERR_OK ? vv_raise(t->known, t->known_arena, upto) : e;
}

/* A relay cannot read, so it cannot judge what is not for whom: who holds the group settles nothing by less than a
 * whole commit. A relay that has not heard yet that it does gives it whole when it has. ERR_EXISTS: settled anyway. */
static enum err check_relayed(const struct taking *t, const struct wire_item *item)
{
    const struct member_node *self = members_node(t->core->members, t->core->self.number);
    const struct member_node *peer = members_node(t->core->members, t->from);
    struct commit_view v;
    if (self == NULL || peer == NULL || peer->kind != NODE_RELAY || !scope_takes_all(self) ||
        commit_parse(item->commit, &v) != ERR_OK || relay_is_whole(&v)) {
        return ERR_OK;
    }
    const struct head *head = core_head(t->core, v.header.dot.node, v.header.dot.epoch);
    return head != NULL && v.header.dot.seq <= head->upto ? ERR_EXISTS : ERR_GAP;
}

static enum err take_boxed(const struct taking *t, const struct wire_item *item)
{
    struct commit_view v;
    struct buf secrets;
    enum err e = commit_parse(item->commit, &v);
    if (e == ERR_OK && item->secrets.len > 0) {
        e = ERR_PROTOCOL;
    }
    if (e != ERR_OK) {
        return e;
    }
    buf_init(&secrets, t->core->mem, (size_t)COMMIT_GROUPS_MAX * SECRET_BYTES);
    e = relay_unbox(t->core, &v, item->boxes, &secrets);
    if (e == ERR_OK) {
        e = core_ingest(t->core, t->work, t->now, item->commit, buf_view(&secrets));
    }
    buf_release(&secrets);
    return e;
}

static enum err take_commit(const struct taking *t, const struct wire_item *item)
{
    const struct member_node *self = members_node(t->core->members, t->core->self.number);
    const struct member_node *peer = members_node(t->core->members, t->from);
    if (self != NULL && self->kind == NODE_RELAY) {
        return relay_take(t->core, t->work, t->now, item);
    }
    if (self != NULL && peer != NULL && peer->kind == NODE_RELAY) {
        return take_boxed(t, item);
    }
    return core_ingest(t->core, t->work, t->now, item->commit, item->secrets);
}

/* In its turn a giver sends what follows on what it has settled; of anything else it may lack what lies before. */
static bool is_jump(const struct taking *t, struct dot dot)
{
    const struct dot before = { .node = dot.node, .epoch = dot.epoch, .seq = dot.seq - 1 };
    return t->may_jump && dot.seq > 1 && !vv_covers(t->known, before);
}

static bool is_ahead(const struct taking *t, struct dot dot)
{
    const struct head *head = core_head(t->core, dot.node, dot.epoch);
    return dot.seq > 1 + (head == NULL ? 0 : head->upto);
}

/* Whatever keeps it out now, it comes again in its turn and is judged then. */
static enum err take_early(const struct taking *t, const struct wire_item *item)
{
    arena_reset(t->work);
    enum err e = core_ingest_early(t->core, t->work, t->now, item->commit, item->secrets);
    return e == ERR_EXISTS || e == ERR_LIMIT || e == ERR_CONFLICT ? ERR_OK : e;
}

static enum err take_jump(const struct taking *t, const struct wire_item *item, enum err why, struct taken *out)
{
    const struct member_node *self = members_node(t->core->members, t->core->self.number);
    const struct member_node *peer = members_node(t->core->members, t->from);
    struct commit_view v;
    bool is_relayed = self == NULL || self->kind == NODE_RELAY || peer == NULL || peer->kind == NODE_RELAY;
    if (!t->may_jump || is_relayed || commit_parse(item->commit, &v) != ERR_OK || !is_ahead(t, v.header.dot)) {
        return why;
    }
    out->early = v.header.dot;
    return take_early(t, item);
}

/* What has come tells what the giver has settled, but for what came before its turn. */
static enum err raise_known(const struct taking *t, const struct wire_item *item, struct taken *out)
{
    struct commit_view v;
    enum err e = commit_parse(item->commit, &v);
    if (e != ERR_OK || is_jump(t, v.header.dot)) {
        return e;
    }
    out->turn = v.header.dot;
    return vv_raise(t->known, t->known_arena, v.header.dot);
}

/* Its origin stands still here; all others go on. */
static bool left_out(const struct taking *t, const struct wire_item *item, struct taken *out)
{
    struct dot dot = { 0 };
    if (commit_peek(item->commit, &dot) == ERR_OK && core_unread_is_full(t->core, dot.node)) {
        out->full = dot.node;
    }
    return out->full != 0;
}

static enum err take_plain(const struct taking *t, const struct wire_item *item, struct taken *out)
{
    arena_reset(t->work);
    *out = (struct taken){ .is_commit = item->commit.len > 0 };
    if (!out->is_commit) {
        return take_withheld(t, item);
    }
    enum err e = check_relayed(t, item);
    if (e == ERR_GAP) {
        return e;
    }
    e = e == ERR_OK ? take_commit(t, item) : e;
    out->is_new = e == ERR_OK;
    if (e == ERR_LIMIT && left_out(t, item, out)) {
        return ERR_OK;
    }
    if (e == ERR_CONFLICT || e == ERR_GAP) {
        arena_reset(t->work);
        e = fork_pass(t->core, t->work, t->now, item->commit, item->secrets, e);
    }
    if (e == ERR_VERSION || e == ERR_GAP) {
        e = newer_pass(t->core, t->work, item->commit, e);
        return e == ERR_GAP ? take_jump(t, item, e, out) : e;
    }
    return e == ERR_OK || e == ERR_EXISTS ? raise_known(t, item, out) : e;
}

/* What the giver has forgotten itself: opened, it is a commit like any other. */
static enum err take_letter(const struct taking *t, const struct wire_item *item, struct taken *out)
{
    struct wire_item inside = { .node = 0 };
    struct arena a;
    if (item->commit.len + item->secrets.len + item->boxes.len > 0 || item->upto != 0) {
        return ERR_PROTOCOL;
    }
    arena_init(&a, t->core->mem, LETTER_ARENA_BYTES);
    enum err e = letter_open(t->core, &a, item->letter, &inside.commit, &inside.secrets);
    if (e == ERR_OK) {
        e = take_plain(t, &inside, out);
    }
    arena_release(&a);
    return e;
}

enum err take_item(const struct taking *t, const struct wire_item *item, struct taken *out)
{
    return item->letter.len > 0 ? take_letter(t, item, out) : take_plain(t, item, out);
}

enum err take_members(const struct taking *t, const struct bytes *entries, size_t count)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        arena_reset(t->work);
        e = core_add_member_entry(t->core, t->work, t->now, entries[i]);
        e = e == ERR_EXISTS ? ERR_OK : e;
    }
    return e;
}
