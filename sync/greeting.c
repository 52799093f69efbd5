/*
 * Owns: making and judging greetings. Invariants: the first audit head seen at a count stays the witness; a claim about
 * our own past costs at most GREETING_EPOCHS_DRAWN_MAX epochs per run of the process. Begins no transaction, sends
 * nothing.
 */
#include "sync/greeting.h"

#include "sync/letter.h"
#include "sync/said.h"

enum err greeting_settled(struct core *c, struct arena *a, struct bytes *out)
{
    struct vv settled = { 0 };
    struct buf b;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        if (h->upto > 0) {
            e = vv_raise(&settled, a, (struct dot){ .node = h->node, .epoch = h->epoch, .seq = h->upto });
        }
    }
    buf_init(&b, c->mem, 1 << 18);
    vv_put(&b, &settled);
    if (e == ERR_OK) {
        e = b.err;
    }
    if (e == ERR_OK) {
        e = arena_dup(a, buf_view(&b), out);
    }
    buf_release(&b);
    return e;
}

enum err greeting_make(struct core *c, struct arena *a, struct wire_message *out)
{
    uint8_t member_hash[32] = { 0 };
    struct audit_head head;
    struct buf b;
    struct wire_message m = { .kind = WIRE_HELLO };
    m.hello = (struct wire_hello){ .version_min = WIRE_VERSION_MIN,
        .version_max = WIRE_VERSION,
        .group = bytes_of(members_group_id(c->members), GROUP_ID_BYTES),
        .node = c->self.number,
        .epoch = c->epoch };
    m.hello.member_number = members_head(c->members, member_hash);
    audit_sign_head(&c->audit, c->self.number, c->epoch, c->self.sign_secret, &head);
    buf_init(&b, c->mem, 1024);
    audit_head_put(&b, &head);
    enum err e = b.err;
    if (e == ERR_OK) {
        e = arena_dup(a, buf_view(&b), &m.hello.audit_head);
    }
    buf_release(&b);
    if (e == ERR_OK) {
        e = arena_dup(a, BYTES_OF(member_hash), &m.hello.member_hash);
    }
    if (e == ERR_OK) {
        e = greeting_settled(c, a, &m.hello.settled);
    }
    if (e == ERR_OK) {
        *out = m;
    }
    return e;
}

/* Whether the head says less than, or something else than, the one kept: then the kept one is the evidence. */
static enum err is_older_witness(
    struct core *c, struct arena *work, struct bytes key, const struct audit_head *head, bool *out)
{
    struct bytes bytes = { 0 };
    struct audit_head kept;
    *out = false;
    enum err e = c->store->ops->get(c->store, SPACE_PEER, key, work, &bytes);
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    struct reader r = reader_of(bytes);
    if (audit_head_take(&r, &kept) != ERR_OK) {
        return ERR_DAMAGED;
    }
    *out = head->count <= kept.count;
    return ERR_OK;
}

static enum err keep_witness(
    struct core *c, struct arena *work, const struct member_node *node, struct bytes head_bytes)
{
    struct reader r = reader_of(head_bytes);
    struct audit_head head;
    bool is_older = false;
    uint8_t key[9] = { 'w' };
    if (audit_head_take(&r, &head) != ERR_OK || head.node != node->number ||
        audit_check_head(members_group_id(c->members), &head, node->sign_key) != ERR_OK) {
        return ERR_SIGNATURE;
    }
    for (size_t i = 0; i < 4; i++) {
        key[1 + i] = (uint8_t)(head.node >> (8 * (3 - i)));
        key[5 + i] = (uint8_t)(head.epoch >> (8 * (3 - i)));
    }
    enum err e = is_older_witness(c, work, BYTES_OF(key), &head, &is_older);
    return e == ERR_OK && !is_older ? c->store->ops->put(c->store, SPACE_PEER, BYTES_OF(key), head_bytes) : e;
}

static enum err check_greeting(struct core *c, uint32_t from, const struct wire_hello *h)
{
    uint8_t mine[32];
    uint8_t theirs16[16];
    if (h->version_min > WIRE_VERSION) {
        return ERR_OUTDATED;
    }
    if (h->version_max < WIRE_VERSION_MIN) {
        return ERR_VERSION;
    }
    if (memcmp(h->group.ptr, members_group_id(c->members), GROUP_ID_BYTES) != 0 || h->node != from) {
        return ERR_UNKNOWN_PEER;
    }
    uint64_t number = members_head(c->members, mine);
    if (h->member_number <= number && members_hash16_at(c->members, h->member_number, theirs16) &&
        memcmp(theirs16, h->member_hash.ptr, sizeof(theirs16)) != 0) {
        return ERR_CONFLICT; /* two membership histories: a person must look */
    }
    return ERR_OK;
}

/* A peer that knows commits of ours that we do not: our past was rolled back. A new epoch, above any that anybody has
 * seen of us, keeps the old dots unique; the commits themselves come back like anybody's. */
static enum err check_own_past(struct core *c, const struct vv *settled)
{
    uint32_t top = c->epoch;
    bool is_behind = false;
    for (size_t i = 0; i < settled->count; i++) {
        struct dot d = settled->at[i];
        const struct head *own = core_head(c, d.node, d.epoch);
        bool could_be_ours =
            d.node == c->self.number && d.epoch >= c->epoch && d.epoch - c->epoch <= GREETING_EPOCH_STEP_MAX;
        if (could_be_ours && d.seq > (own == NULL ? 0 : own->upto)) {
            is_behind = true;
            top = d.epoch > top ? d.epoch : top;
        }
    }
    /* The claim is not proven until our commits come back, so it may cost a few epochs, not all of them. */
    if (!is_behind || c->epochs_drawn == GREETING_EPOCHS_DRAWN_MAX || top > UINT32_MAX - GREETING_EPOCH_RANDOM_MAX) {
        return ERR_OK;
    }
    /* By a random step: a copy of us that is told the same must not take the same. */
    uint32_t step = 0;
    rng_fill(c->rng, &step, sizeof(step));
    c->epochs_drawn++;
    c->epoch = top + 1 + step % GREETING_EPOCH_RANDOM_MAX;
    const uint8_t epoch[4] = { (uint8_t)(c->epoch >> 24), (uint8_t)(c->epoch >> 16), (uint8_t)(c->epoch >> 8),
        (uint8_t)c->epoch };
    return c->store->ops->put(c->store, SPACE_META, BYTES_LIT("epoch"), BYTES_OF(epoch));
}

enum err greeting_take(struct core *c, struct arena *work, uint32_t from, const struct wire_hello *h,
    struct arena *keep, struct vv *settled)
{
    const struct member_node *node = members_node(c->members, from);
    struct reader r = reader_of(h->settled);
    enum err e = node == NULL ? ERR_UNKNOWN_PEER : check_greeting(c, from, h);
    if (e == ERR_OK) {
        e = vv_take(&r, keep, settled);
    }
    if (e == ERR_OK) {
        e = keep_witness(c, work, node, h->audit_head);
    }
    if (e == ERR_OK) {
        e = said_put(c, work, from, h->member_number, h->settled);
    }
    if (e == ERR_OK && (node->kind == NODE_STATION || node->kind == NODE_HUB)) {
        e = letter_expire(c, work);
    }
    if (e == ERR_OK) {
        e = core_members_heard(c, h->member_number);
    }
    return e == ERR_OK ? check_own_past(c, settled) : e;
}
