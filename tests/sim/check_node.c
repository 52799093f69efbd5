/*
 * Owns: the close look at the store of one node at the end of a run.
 */
#include "tests/sim/check.h"

#include "schema/base/check.h"
#include "sync/conflict.h"

#include <sodium.h>
#include <stdlib.h>

static const struct bytes all = { 0 };

static struct arena *arena_of(struct sim_node *n)
{
    arena_reset(&n->app->arena);
    return &n->app->arena;
}

static void must_read(struct sim_node *n, enum err e)
{
    if (e != ERR_OK) {
        sim_fail(n->sim, SIM_WRONG, "I26", "node %u cannot be read: %s", n->number, err_name(e));
    }
}

/* --- digests ------------------------------------------------------------------------------------------------------ */

struct digesting {
    crypto_generichash_state state;
    const struct core *core; /* of the log only what counts; NULL: everything */
};

static enum err absorb(void *ctx, struct bytes key, struct bytes value)
{
    struct digesting *d = ctx;
    struct dot dot = { 0 };
    uint64_t lens[2] = { key.len, value.len };
    if (d->core != NULL && (dot_from_key(key, &dot) != ERR_OK || core_counts(d->core, dot) != ERR_OK)) {
        return ERR_OK; /* beyond the cut of a revoked node, or of a fork: kept where it came before that was known */
    }
    (void)crypto_generichash_update(&d->state, (const uint8_t *)lens, sizeof(lens));
    (void)crypto_generichash_update(&d->state, key.ptr, key.len);
    (void)crypto_generichash_update(&d->state, value.ptr, value.len);
    return ERR_OK;
}

static void digest_space(struct sim_node *n, enum store_space space, uint8_t out[32])
{
    struct digesting d = { .core = space == SPACE_LOG ? &n->app->core : NULL };
    struct store *store = n->app->store;
    (void)crypto_generichash_init(&d.state, NULL, 0, 32);
    must_read(n, store->ops->scan(store, space, all, all, false, absorb, &d));
    (void)crypto_generichash_final(&d.state, out, 32);
}

void check_digest(struct sim_node *n, struct node_digest *out)
{
    node_enter(n);
    memset(out, 0, sizeof(*out));
    if (n->is.kind != NODE_RELAY) { /* it has no rows, nor the key that they are hashed under */
        must_read(n, core_statehash(&n->app->core, arena_of(n), out->of[0]));
    }
    digest_space(n, SPACE_CONFLICT, out->of[1]);
    digest_space(n, SPACE_LOG, out->of[2]);
    digest_space(n, SPACE_CONTESTED, out->of[3]);
}

/* --- nodes that hold a part --------------------------------------------------------------------------------------- */

static bool same_row(const struct row *a, const struct row *b, const struct entity_desc *d)
{
    bool same = a->is_deleted == b->is_deleted && bytes_equal(a->versions, b->versions);
    for (size_t i = 0; i < d->field_count; i++) {
        same = same && value_equal(a->values[i], b->values[i]);
    }
    return same;
}

static bool touches(const struct sim *s, const struct sim_ack *ack, size_t record)
{
    for (size_t i = 0; i < ack->note_count; i++) {
        if (s->notes[ack->first_note + i].record == record) {
            return true;
        }
    }
    return false;
}

static bool touches_customer(const struct sim *s, const struct sim_ack *ack, struct record_id customer)
{
    bool any = false;
    for (size_t i = 0; i < ack->note_count; i++) {
        any = any || record_id_compare(s->records[s->notes[ack->first_note + i].record].customer, customer) == 0;
    }
    return any;
}

bool check_was_set_back(const struct sim_node *n, const struct sim_record *r)
{
    const struct sim *s = n->sim;
    bool was = false;
    for (size_t i = 0; i < s->ack_count; i++) {
        const struct sim_ack *ack = &s->acks[i];
        bool is_settled = known_upto(&n->durable, ack->dot.node, ack->dot.epoch) >= ack->dot.seq;
        was = was || (oracle_is_lost(s, ack) && is_settled && touches_customer(s, ack, r->customer));
    }
    return was;
}

/* By whom the first node, which holds everything, says the customer is held: a laptop has exactly its owner's, also
 * after they changed hands. */
static bool should_hold(const struct sim_node *n, struct sim_node *first, const struct sim_record *r)
{
    struct store *b = first->app->store;
    struct dossier d = { 0 };
    if (!node_may_hold(n, r->station) || n->is.kind != NODE_LAPTOP || r->entity == ENTITY_STAFF) {
        return node_may_hold(n, r->station);
    }
    return b->ops->dossier_get(b, record_dossier(r->id), arena_of(first), &d) == ERR_OK && marks_holder(&d) == n->owner;
}

static void check_held(struct sim_node *n, struct sim_node *first, const struct sim_record *r)
{
    struct sim *s = n->sim;
    const struct entity_desc *d = catalogue_entity(r->entity);
    struct row mine = { 0 };
    struct row theirs = { 0 };
    struct store *a = n->app->store;
    struct store *b = first->app->store;
    char id[ID_TEXT_BYTES + 1];
    bool is_for_it = should_hold(n, first, r);
    enum err e = a->ops->row_get(a, r->entity, r->id, arena_of(n), &mine);
    enum err f = b->ops->row_get(b, r->entity, r->id, arena_of(first), &theirs);
    record_id_text(r->id, id);
    bool is_short = e == ERR_NOT_FOUND && f == ERR_OK && is_for_it;
    bool differs = e == ERR_OK && (f != ERR_OK || !same_row(&mine, &theirs, d));
    if ((is_short || differs || (e == ERR_OK && !is_for_it)) && check_was_set_back(n, r)) {
        return;
    }
    if (e == ERR_OK && !is_for_it) {
        sim_fail(s, SIM_WRONG, "I16", "node %u holds %s, which is not for it", n->number, id);
    }
    if (is_short) {
        sim_fail(s, SIM_WRONG, "I5", "node %u lacks %s/%s", n->number, d->name, id);
    }
    if (differs) {
        sim_fail(s, SIM_WRONG, "I5", "%s/%s differs on nodes %u and %u", d->name, id, n->number, first->number);
    }
}

struct purging {
    struct sim_node *n;
    struct sim_node *first;
};

static const struct sim_record *customer_in(const struct sim *s, struct dossier_id id)
{
    for (size_t i = 0; i < s->record_count; i++) {
        const struct sim_record *r = &s->records[i];
        if (r->entity == ENTITY_CUSTOMER && dossier_id_compare(record_dossier(r->id), id) == 0) {
            return r;
        }
    }
    return NULL;
}

/* No secret of a customer that went out of a node's scope is left. */
static enum err see_dossier(void *ctx, const struct dossier *d)
{
    struct purging *p = ctx;
    const struct sim_record *r = customer_in(p->n->sim, d->id);
    bool is_for_it = d->kind == DOSSIER_GROUP_BOOK || node_may_hold(p->n, d->station);
    is_for_it = is_for_it && (r == NULL || should_hold(p->n, p->first, r));
    if (!is_for_it && d->seen.len > 0 && (r == NULL || !check_was_set_back(p->n, r))) {
        sim_fail(
            p->n->sim, SIM_WRONG, "I19", "node %u keeps the secret of a customer that is not for it", p->n->number);
    }
    return ERR_OK;
}

void check_partial(struct sim_node *n, struct sim_node *first)
{
    struct purging p = { .n = n, .first = first };
    struct store *store = n->app->store;
    node_enter(n);
    must_read(n, store->ops->dossier_scan(store, NULL, see_dossier, &p));
    for (size_t i = 0; i < n->sim->record_count; i++) {
        check_held(n, first, &n->sim->records[i]);
    }
    arena_reset(&n->app->arena);
    arena_reset(&first->app->arena);
}

/* --- relays ------------------------------------------------------------------------------------------------------- */

static enum err count_dossier(void *ctx, const struct dossier *d)
{
    (void)d;
    ++*(size_t *)ctx;
    return ERR_OK;
}

void check_relay(struct sim_node *n, struct sim_node *first)
{
    uint8_t mine[32];
    uint8_t theirs[32];
    size_t dossiers = 0;
    struct store *store = n->app->store;
    node_enter(n);
    must_read(n, store->ops->dossier_scan(store, NULL, count_dossier, &dossiers));
    digest_space(n, SPACE_LOG, mine);
    node_enter(first);
    digest_space(first, SPACE_LOG, theirs);
    if (dossiers > 0) {
        sim_fail(n->sim, SIM_WRONG, "I16", "relay %u holds customers it could read", n->number);
    }
    if (memcmp(mine, theirs, sizeof(mine)) != 0) {
        sim_fail(
            n->sim, SIM_WRONG, "I5", "relay %u does not hold the commits that node %u holds", n->number, first->number);
    }
    n->sim->totals->relays++;
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

struct walking {
    struct sim_node *n;
    struct dot last;
    uint64_t last_hlc;
};

static enum err walk_log(void *ctx, struct bytes key, struct bytes value)
{
    struct walking *w = ctx;
    struct sim *s = w->n->sim;
    struct commit_view v;
    struct dot dot = { 0 };
    if (dot_from_key(key, &dot) != ERR_OK || commit_parse(value, &v) != ERR_OK || !dot_equal(v.header.dot, dot)) {
        sim_fail(s, SIM_WRONG, "I26", "node %u holds a commit under another name", w->n->number);
    }
    bool same_origin = dot.node == w->last.node && dot.epoch == w->last.epoch;
    if (same_origin && core_counts(&w->n->app->core, dot) == ERR_OK && v.header.hlc <= w->last_hlc) {
        sim_fail(s, SIM_WRONG, "I24", "%u.%u.%llu is not later than the one before", dot.node, dot.epoch,
            (unsigned long long)dot.seq);
    }
    if ((node_takes_all(w->n) || w->n->is.kind == NODE_RELAY) && same_origin &&
        core_counts(&w->n->app->core, dot) == ERR_OK && dot.seq != w->last.seq + 1) {
        sim_fail(s, SIM_WRONG, "I8", "node %u has a gap before %u.%u.%llu", w->n->number, dot.node, dot.epoch,
            (unsigned long long)dot.seq);
    }
    w->last = dot;
    w->last_hlc = v.header.hlc;
    return ERR_OK;
}

void check_log(struct sim_node *n, struct sim_node *first)
{
    struct walking w = { .n = n };
    struct store *store = n->app->store;
    (void)first;
    node_enter(n);
    must_read(n, store->ops->scan(store, SPACE_LOG, all, all, false, walk_log, &w));
}

/* --- promises ----------------------------------------------------------------------------------------------------- */

struct history {
    struct sim *s;
    size_t record;
    bool *seen; /* per acknowledged commit: a write of it to this record was found */
};

static enum err note_history(void *ctx, const struct history_item *item)
{
    struct history *h = ctx;
    for (size_t i = 0; i < h->s->ack_count; i++) {
        h->seen[i] = h->seen[i] || dot_equal(h->s->acks[i].dot, item->write.dot);
    }
    return ERR_OK;
}

/* Written with knowledge of a commit about the same customer that is gone: it waits, visibly, for what can never come.
 */
static bool waits_for_lost(const struct sim *s, const struct sim_ack *ack, struct record_id customer)
{
    for (size_t i = 0; i < s->ack_count; i++) {
        const struct dot d = s->acks[i].dot;
        bool is_lost = oracle_is_lost(s, &s->acks[i]) && touches_customer(s, &s->acks[i], customer);
        for (size_t k = 0; is_lost && k < ack->saw_count; k++) {
            if (ack->saw[k].node == d.node && ack->saw[k].epoch == d.epoch && ack->saw[k].upto >= d.seq) {
                return true;
            }
        }
    }
    return false;
}

static bool is_promised(struct sim_node *n, const struct sim_ack *ack)
{
    return !oracle_is_lost(n->sim, ack) && members_accepts_dot(n->app->members, ack->dot);
}

/* The commit that made a record, or its customer, may count nowhere: then nothing about it can be shown. */
static bool exists(struct sim_node *n, size_t record)
{
    const struct sim *s = n->sim;
    bool own = false;
    bool customer = false;
    for (size_t i = 0; i < s->record_count; i++) {
        const struct sim_record *r = &s->records[i];
        bool is_promised_one = r->made_by < s->ack_count && is_promised(n, &s->acks[r->made_by]);
        own = own || (i == record && is_promised_one);
        customer = customer || (is_promised_one && record_id_compare(r->id, s->records[record].customer) == 0);
    }
    return own && customer;
}

static void check_record(struct sim_node *n, size_t record, bool *seen)
{
    struct sim *s = n->sim;
    const struct sim_record *r = &s->records[record];
    struct history h = { .s = s, .record = record, .seen = seen };
    memset(seen, 0, s->ack_count * sizeof(*seen));
    enum err e = core_history(&n->app->core, arena_of(n), catalogue_entity(r->entity), r->id, NULL, note_history, &h);
    for (size_t i = 0; i < s->ack_count; i++) {
        const struct sim_ack *ack = &s->acks[i];
        if (touches(s, ack, record) && is_promised(n, ack) && (e != ERR_OK || !seen[i]) &&
            !waits_for_lost(s, ack, r->customer)) {
            sim_fail(s, SIM_WRONG, "I1", "%u.%u.%llu was acknowledged and is not in the history of its record: %s",
                ack->dot.node, ack->dot.epoch, (unsigned long long)ack->dot.seq, err_name(e));
        }
    }
}

void check_promises(struct sim_node *n)
{
    struct sim *s = n->sim;
    bool *seen = calloc(s->ack_count + 1, sizeof(*seen));
    check(seen != NULL);
    node_enter(n);
    for (size_t i = 0; i < s->ack_count; i++) {
        const struct sim_ack *ack = &s->acks[i];
        const struct head *h = core_head(&n->app->core, ack->dot.node, ack->dot.epoch);
        if (is_promised(n, ack) && (h == NULL || h->upto < ack->dot.seq)) {
            sim_fail(s, SIM_WRONG, "I1", "%u.%u.%llu was acknowledged and is nowhere", ack->dot.node, ack->dot.epoch,
                (unsigned long long)ack->dot.seq);
        }
    }
    for (size_t i = 0; i < s->record_count; i++) {
        if (exists(n, i)) {
            check_record(n, i, seen);
        }
    }
    free(seen);
}

/* --- deep --------------------------------------------------------------------------------------------------------- */

void check_deep(struct sim_node *n)
{
    struct node_digest before;
    struct node_digest after;
    struct why why = { .zh = "" };
    check_digest(n, &before);
    node_enter(n);
    enum err e = app_verify(n->app, true, &(struct core_mended){ 0 }, &why);
    if (e != ERR_OK) {
        sim_fail(n->sim, SIM_WRONG, "I26", "node %u: verify: %s (%s)", n->number, err_name(e), why.en);
    }
    check_digest(n, &after);
    for (size_t i = 0; i < DIGESTS; i++) {
        if (memcmp(before.of[i], after.of[i], sizeof(before.of[i])) != 0) {
            sim_fail(n->sim, SIM_WRONG, "I7", "rebuilding changed node %u", n->number);
        }
    }
}
