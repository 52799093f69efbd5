/*
 * Owns: taking in one commit: verify, append to the log, hand its groups on. Invariants: nothing is applied that is not
 * in the log; what is a peer's fault is found before anything is written; a group or part that cannot be applied never
 * stops the rest. Does not begin or commit transactions and never acknowledges.
 */
#include "sync/ahead.h"
#include "sync/core_internal.h"
#include "sync/fork.h"
#include "sync/leaving.h"
#include "sync/member_entry.h"
#include "sync/newer.h"

static bool is_book(const struct core *c, const struct group_item *g)
{
    return (g->kind == DOSSIER_STATION_BOOK && dossier_id_compare(g->dossier, core_station_book(c, g->station)) == 0) ||
           (g->kind == DOSSIER_GROUP_BOOK && dossier_id_compare(g->dossier, core_group_book(c)) == 0);
}

static enum err hold_group(struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g,
    struct dossier_id id, enum err why)
{
    const struct quarantine_place at = { .dossier = id,
        .dot = v->header.dot,
        .group = g->index,
        .part = QUARANTINE_WHOLE_GROUP,
        .bytes = (uint32_t)g->slice.len };
    return quarantine_put(c, a, &at, why, v->header.hlc);
}

/*
 * A dossier is known once a commit that counts has created it: then it has seen something. One that is only stored, its
 * secret kept while the commits that made it are cut off or being replayed, is waited for like one never heard of, so
 * that all nodes hold back the same.
 */
enum err core_ingest_group(struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g,
    const uint8_t *secret, const struct own_part **own)
{
    struct dossier d = { 0 };
    struct dossier_id id = core_group_dossier(v, g);
    enum err e = c->store->ops->dossier_get(c->store, id, a, &d);
    if (e != ERR_OK && e != ERR_NOT_FOUND) {
        return e;
    }
    bool is_stored = e == ERR_OK;
    bool is_known = is_stored && d.seen.len > 0;
    if (!is_known && !g->is_new && !is_book(c, g)) {
        return own != NULL ? ERR_DENIED : hold_group(c, a, v, g, id, ERR_GAP);
    }
    if (is_stored && (d.kind != g->kind || d.station != g->station || (d.flags & DOSSIER_ERASED) != 0)) {
        return own != NULL ? ERR_DENIED : hold_group(c, a, v, g, id, ERR_DENIED);
    }
    if (!is_stored) {
        d = (struct dossier){ .id = id, .kind = g->kind, .station = g->station };
        if (g->is_new && secret == NULL) {
            return ERR_DAMAGED; /* tried again, and the dossier is gone */
        }
        if (g->is_new) {
            memcpy(d.secret, secret, sizeof(d.secret));
        }
    }
    e = core_apply_group(c, a, v, g, &d, is_stored, own);
    return e == ERR_OK && !is_known && d.seen.len > 0 ? quarantine_retry(c, &id) : e;
}

/* Memory of one group at a time, so that a commit of thousands of groups needs no more than a small one. */
static enum err ingest_groups(
    struct core *c, const struct commit_view *v, struct bytes secrets, const struct own_part **own)
{
    struct body_cursor cursor = commit_groups(v);
    struct reader r = reader_of(secrets);
    struct group_item g;
    struct arena work;
    enum err e = ERR_OK;
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    while (e == ERR_OK && (e = commit_next_group(&cursor, &g)) == ERR_OK) {
        struct bytes secret = { 0 };
        if (g.is_withheld) {
            continue;
        }
        arena_reset(&work);
        if (g.is_new) {
            e = reader_take(&r, SECRET_BYTES, &secret);
        }
        if (e == ERR_OK) {
            e = core_ingest_group(c, &work, v, &g, secret.ptr, own);
        }
        /* The end of the groups has the same number as a row that is missing. */
        e = e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
    }
    arena_release(&work);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Counts what travels beside the commit, so that a wrong list is refused before anything is written. */
enum err core_check_secrets(const struct commit_view *v, struct bytes secrets)
{
    struct body_cursor cursor = commit_groups(v);
    struct group_item g;
    size_t need = 0;
    while (commit_next_group(&cursor, &g) == ERR_OK) {
        need += !g.is_withheld && g.is_new ? SECRET_BYTES : 0;
    }
    return secrets.len == need ? ERR_OK : ERR_FORMAT;
}

/* One group's secret against the first part that this node has a key for. */
enum err core_try_secret(
    struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g, const uint8_t *secret)
{
    struct dossier d = { .id = core_group_dossier(v, g), .kind = g->kind, .station = g->station };
    struct part_cursor cursor = group_parts(g);
    struct part_item p;
    memcpy(d.secret, secret, sizeof(d.secret));
    while (group_next_part(&cursor, &p) == ERR_OK) {
        struct open_part open;
        enum err e = p.is_withheld ? ERR_NO_KEY : core_open_part(c, a, v, g, &p, &d, &open);
        if (e == ERR_OK || e == ERR_SEAL || !core_is_refusal(e)) {
            return e;
        }
    }
    return ERR_OK; /* nothing here that we could open, now or wrongly */
}

/* A secret travels beside the commit and nothing signs it: a peer that hands on a wrong one would make the dossier
 * unreadable here for good. So it is tried before anything is written, and a wrong one is that peer's fault. */
enum err core_try_secrets(struct core *c, const struct commit_view *v, struct bytes secrets)
{
    struct body_cursor cursor = commit_groups(v);
    struct reader r = reader_of(secrets);
    struct group_item g;
    struct arena work;
    enum err e = ERR_OK;
    arena_init(&work, c->mem, CORE_ARENA_BYTES);
    while (e == ERR_OK && commit_next_group(&cursor, &g) == ERR_OK) {
        struct bytes secret = { 0 };
        if (g.is_withheld || !g.is_new) {
            continue;
        }
        arena_reset(&work);
        e = reader_take(&r, SECRET_BYTES, &secret);
        if (e == ERR_OK) {
            e = core_try_secret(c, &work, v, &g, secret.ptr);
        }
    }
    arena_release(&work);
    return e;
}

/* The origin is one of us, and the membership head that it names is one that we know. */
static enum err check_membership(struct core *c, const struct commit_header *h)
{
    uint8_t ours[32];
    uint8_t theirs[16];
    if (members_node(c->members, h->dot.node) == NULL) {
        return ERR_UNKNOWN_PEER;
    }
    if (core_room_for_origin(c, h->dot.node, h->dot.epoch) != ERR_OK) {
        return ERR_LIMIT;
    }
    if (h->member_number > members_head(c->members, ours)) {
        return ERR_GAP;
    }
    bool is_ours =
        members_hash16_at(c->members, h->member_number, theirs) && memcmp(theirs, h->member_hash, sizeof(theirs)) == 0;
    return is_ours ? ERR_OK : ERR_SIGNATURE;
}

/* The place of a commit that is not settled: right after what is. */
static enum err check_place(const struct head *head, const struct commit_header *h)
{
    uint64_t upto = head == NULL ? 0 : head->upto;
    if (h->dot.seq > CORE_SEQ_MAX) {
        return ERR_FORMAT;
    }
    return h->dot.seq > upto + 1 ? ERR_GAP : ERR_OK;
}

static enum err check_chain(const struct head *head, const struct commit_header *h)
{
    bool follows = head == NULL || !head->knows_hash || memcmp(head->hash, h->prev, sizeof(h->prev)) == 0;
    return follows ? ERR_OK : ERR_CONFLICT;
}

enum err core_verify_commit(
    struct core *c, struct arena *a, const struct commit_view *v, uint8_t hash[COMMIT_HASH_BYTES])
{
    uint8_t root[COMMIT_HASH_BYTES];
    enum err e = check_membership(c, &v->header);
    const struct member_node *node = members_node(c->members, v->header.dot.node);
    if (e == ERR_OK && c->ahead != NULL && ahead_verified(c->ahead, v->all, node->sign_key, hash)) {
        return ERR_OK;
    }
    if (e == ERR_OK) {
        e = seal_root(v, a, root);
    }
    if (e == ERR_OK) {
        e = seal_verify_commit(members_group_id(c->members), v, root, node->sign_key);
    }
    if (e == ERR_OK) {
        seal_commit_hash(members_group_id(c->members), v->header_bytes, root, hash);
    }
    return e;
}

/* Appends to the log and moves the head; what was accepted is now ours to keep. */
static enum err append(struct core *c, const struct commit_view *v, const uint8_t hash[COMMIT_HASH_BYTES], bool is_own)
{
    uint8_t key[DOT_KEY_BYTES];
    struct head h = { .node = v->header.dot.node,
        .epoch = v->header.dot.epoch,
        .upto = v->header.dot.seq,
        .hlc = v->header.hlc,
        .knows_hash = true };
    memcpy(h.hash, hash, sizeof(h.hash));
    dot_key(v->header.dot, key);
    enum err e = c->store->ops->put(c->store, SPACE_LOG, BYTES_OF(key), v->all);
    if (e == ERR_OK) {
        e = is_own ? core_head_of_own(c, &h) : core_set_head(c, &h);
    }
    return e;
}

/* A commit of our own epoch that we have not written: another copy of us is at work, or our past is gone. Whoever wrote
 * on from there would share names, and a chain, with somebody else. */
static enum err leave_shared_epoch(struct core *c, struct dot dot)
{
    if (dot.node != c->self.number || dot.epoch != c->epoch) {
        return ERR_OK;
    }
    enum err e = fork_draw_epoch(c);
    return e == ERR_LIMIT ? ERR_OK : e; /* then nothing more can be written here: core_write says so */
}

enum err core_apply_again(struct core *c, struct arena *a, const struct commit_view *v, struct bytes secrets)
{
    enum err why = core_counts(c, v->header.dot);
    if (why != ERR_OK) {
        const struct quarantine_place at = {
            .dot = v->header.dot, .part = QUARANTINE_WHOLE_GROUP, .bytes = (uint32_t)v->all.len
        };
        return quarantine_put(c, a, &at, why, v->header.hlc);
    }
    return ingest_groups(c, v, secrets, NULL);
}

enum err core_ingest_sealed(struct core *c, struct arena *a, struct now now, const struct commit_view *v)
{
    uint8_t hash[COMMIT_HASH_BYTES];
    const struct head *head = core_head(c, v->header.dot.node, v->header.dot.epoch);
    if (head != NULL && v->header.dot.seq <= head->upto) {
        return ERR_EXISTS;
    }
    enum err e = check_place(head, &v->header);
    if (e == ERR_OK) {
        e = core_verify_commit(c, a, v, hash);
    }
    if (e == ERR_OK) {
        e = check_chain(head, &v->header);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = append(c, v, hash, false);
    if (e == ERR_OK) {
        e = leave_shared_epoch(c, v->header.dot);
    }
    if (e == ERR_OK && c->pending > 0) {
        e = newer_arrived(c, a, v->header.dot);
    }
    c->hlc = hlc_observe(c->hlc, v->header.hlc, now);
    return e;
}

enum err core_ingest(struct core *c, struct arena *a, struct now now, struct bytes commit, struct bytes secrets)
{
    struct commit_view v;
    uint8_t hash[COMMIT_HASH_BYTES];
    enum err e = commit_parse(commit, &v);
    if (e == ERR_OK) {
        e = core_check_secrets(&v, secrets);
    }
    if (e != ERR_OK) {
        return e;
    }
    const struct head *head = core_head(c, v.header.dot.node, v.header.dot.epoch);
    if (head != NULL && v.header.dot.seq <= head->upto) {
        return core_ingest_more(c, a, now, &v, secrets);
    }
    if (core_unread_is_full(c, v.header.dot.node)) {
        return ERR_LIMIT;
    }
    e = check_place(head, &v.header);
    if (e == ERR_OK) {
        e = core_verify_commit(c, a, &v, hash);
    }
    if (e == ERR_OK) {
        e = check_chain(head, &v.header);
    }
    if (e == ERR_OK) {
        e = early_fits(c, a, &v.header, hash);
    }
    if (e == ERR_OK) {
        e = core_try_secrets(c, &v, secrets);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = append(c, &v, hash, false);
    if (e == ERR_OK) {
        e = leave_shared_epoch(c, v.header.dot);
    }
    if (e == ERR_OK && c->pending > 0) {
        e = newer_arrived(c, a, v.header.dot);
    }
    c->hlc = hlc_observe(c->hlc, v.header.hlc, now);
    if (e == ERR_OK) {
        e = core_apply_again(c, a, &v, secrets);
    }
    if (e == ERR_OK) {
        e = waiting_retry(c, v.header.dot);
    }
    if (e == ERR_OK) {
        e = early_walk(c, v.header.dot.node, v.header.dot.epoch, v.header.dot.seq);
    }
    /* Refusals are settled by now. What is left must take the transaction back, never just the session. */
    return core_is_refusal(e) ? ERR_NOMEM : e;
}

enum err core_take_own(struct core *c, const struct commit_view *v, const uint8_t hash[COMMIT_HASH_BYTES],
    struct bytes secrets, const struct own_part *parts)
{
    enum err e = append(c, v, hash, true);
    if (e == ERR_OK) {
        e = ingest_groups(c, v, secrets, &parts);
    }
    return e == ERR_OK ? waiting_retry(c, v->header.dot) : e;
}

/* --- membership
 * ------------------------------------------------------------------------------------------------------------- */

/* What the node has written beyond its cut counts nowhere: if some of it was applied here, everything derived is made
 * anew without it. */
static enum err cut_off(struct core *c, struct arena *a, struct now now, struct bytes body)
{
    struct member_revocation gone;
    enum err e = member_revocation_take(body, a, &gone);
    for (size_t i = 0; e == ERR_OK && i < c->heads.count; i++) {
        const struct head *h = &c->heads.at[i];
        const struct dot last = { .node = h->node, .epoch = h->epoch, .seq = h->upto };
        if (h->node == gone.node && (c->early > 0 || !members_accepts_dot(c->members, last))) {
            return core_rebuild(c, a, now);
        }
    }
    return e == ERR_OK ? waiting_retry_node(c, gone.node) : e;
}

/* Owners are found by login: those of the old and the new one may change. */
static enum err follow_user(struct core *c, struct bytes old_login, struct bytes body)
{
    struct member_user user;
    enum err e = member_user_take(body, &user);
    if (e == ERR_OK && old_login.len > 0 && !bytes_equal(old_login, bytes_str(user.login))) {
        e = core_refresh_owners(c, old_login);
    }
    return e == ERR_OK ? core_refresh_owners(c, bytes_str(user.login)) : e;
}

static enum err login_before(struct core *c, struct arena *a, const struct member_entry *entry, struct bytes *out)
{
    struct member_user user;
    *out = (struct bytes){ 0 };
    if (entry->kind != MEMBER_USER || member_user_take(entry->body, &user) != ERR_OK) {
        return ERR_OK;
    }
    const struct member_user *old = members_user(c->members, user.number);
    return old == NULL ? ERR_OK : arena_dup(a, bytes_str(old->login), out);
}

static enum err follow_entry(
    struct core *c, struct arena *a, struct now now, const struct member_entry *entry, struct bytes old_login)
{
    switch ((enum member_kind)entry->kind) {
    case MEMBER_KEYS:
        return quarantine_retry(c, NULL);
    case MEMBER_USER:
        return follow_user(c, old_login, entry->body);
    case MEMBER_REVOKE:
        return cut_off(c, a, now, entry->body);
    case MEMBER_GENESIS:
    case MEMBER_STATION:
    case MEMBER_NODE:
        break;
    case MEMBER_SCOPE:
        c->moves.is_more = true;
        return leaving_note_all(c);
    }
    return ERR_OK;
}

enum err core_add_member_entry(struct core *c, struct arena *a, struct now now, struct bytes bytes)
{
    struct member_entry entry;
    struct bytes old_login = { 0 };
    uint8_t key[8];
    enum err e = member_entry_parse(bytes, &entry);
    if (e == ERR_OK) {
        e = login_before(c, a, &entry, &old_login);
    }
    if (e == ERR_OK) {
        e = members_append(c->members, bytes);
    }
    if (e != ERR_OK) {
        return e;
    }
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)(entry.number >> (8 * (7 - i)));
    }
    e = c->store->ops->put(c->store, SPACE_MEMBER, BYTES_OF(key), bytes);
    return e == ERR_OK ? follow_entry(c, a, now, &entry, old_login) : e;
}
