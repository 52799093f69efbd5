/*
 * Owns: finding where two branches part, and spreading proofs. Invariants: whatever comes in costs at most a bounded
 * number of look-ups; a claim is never believed, only signed commits are; nothing is asked twice in a session. What
 * follows from a proof is in sync/fork.c.
 *
 * The search needs no state at the other side: claims lie at distances 1, 2, 4, … below the lowest difference known;
 * the answer holds what the other side has between the highest claim that is equal and the lowest that is not, at most
 * FORK_ANSWERS_MAX commits of it, evenly spread. So a fork 500 commits deep is found in one exchange, one 250,000 deep
 * in two.
 */
#include "sync/fork_talk.h"

#include "sync/core_internal.h"

enum { CLAIMS_MAX = VV_MAX + 64 * FORK_CLAIMED_ORIGINS_MAX, ENTRIES_MAX = FORKS_MAX + FORK_ANSWERS_MAX };

struct claim {
    struct dot dot;
    uint8_t hash[FORK_HASH_BYTES];
};

/* The hash of a commit as our log has it; false: not held, or only its name is lost. */
static enum err hash_at(struct core *c, struct arena *work, struct dot dot, uint8_t out[FORK_HASH_BYTES], bool *is_held)
{
    const struct head *head = core_head(c, dot.node, dot.epoch);
    struct dot next = dot;
    struct commit_view v;
    uint8_t root[COMMIT_HASH_BYTES];
    uint8_t hash[COMMIT_HASH_BYTES];
    *is_held = false;
    if (head == NULL || dot.seq > head->upto || dot.seq == 0) {
        return ERR_OK;
    }
    if (dot.seq == head->upto && head->knows_hash) {
        memcpy(out, head->hash, FORK_HASH_BYTES);
        *is_held = true;
        return ERR_OK;
    }
    next.seq++;
    arena_reset(work);
    enum err e = core_log_get(c, work, next, &v);
    if (e == ERR_OK) {
        memcpy(out, v.header.prev, FORK_HASH_BYTES);
        *is_held = true;
        return ERR_OK;
    }
    e = e == ERR_NOT_FOUND ? core_log_get(c, work, dot, &v) : e;
    if (e == ERR_OK && (e = seal_root(&v, work, root)) == ERR_OK) {
        seal_commit_hash(members_group_id(c->members), v.header_bytes, root, hash);
        memcpy(out, hash, FORK_HASH_BYTES);
        *is_held = true;
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err told_of(struct fork_talk *t, struct arena *keep, uint32_t node, uint32_t epoch, struct fork_told **out)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->at[i].node == node && t->at[i].epoch == epoch) {
            *out = &t->at[i];
            return ERR_OK;
        }
    }
    if (t->count == t->capacity) {
        size_t capacity = t->capacity == 0 ? 4 : t->capacity * 2;
        struct fork_told *grown = arena_array(keep, capacity, sizeof(*grown));
        if (grown == NULL || capacity > 2 * (size_t)FORKS_MAX) {
            return grown == NULL ? ERR_NOMEM : ERR_LIMIT;
        }
        if (t->count > 0) {
            memcpy(grown, t->at, t->count * sizeof(*grown));
        }
        t->at = grown;
        t->capacity = capacity;
    }
    t->at[t->count] = (struct fork_told){ .node = node, .epoch = epoch, .theirs = UINT64_MAX, .asked = UINT64_MAX };
    *out = &t->at[t->count++];
    return ERR_OK;
}

/* --- saying ------------------------------------------------------------------------------------------------------- */

static enum err put_claim(struct core *c, struct arena *work, struct dot dot, struct buf *b)
{
    uint8_t hash[FORK_HASH_BYTES];
    bool is_held = false;
    enum err e = hash_at(c, work, dot, hash, &is_held);
    if (e == ERR_OK && is_held) {
        buf_put_varint(b, dot.node);
        buf_put_varint(b, dot.epoch);
        buf_put_varint(b, dot.seq);
        buf_put(b, hash, sizeof(hash));
    }
    return e;
}

static enum err first_key(void *ctx, struct bytes key, struct bytes value)
{
    (void)value;
    enum err e = dot_from_key(key, ctx);
    return e == ERR_OK ? ERR_BUSY : ERR_DAMAGED; /* one is enough */
}

/* The highest commit of an origin that the log holds, up to a seq; seq 0: none. */
static enum err last_held(struct core *c, struct dot upto, struct dot *out)
{
    uint8_t from[DOT_KEY_BYTES];
    uint8_t to[DOT_KEY_BYTES];
    dot_key((struct dot){ upto.node, upto.epoch, 0 }, from);
    dot_key((struct dot){ upto.node, upto.epoch, upto.seq + 1 }, to);
    *out = (struct dot){ upto.node, upto.epoch, 0 };
    enum err e = c->store->ops->scan(c->store, SPACE_LOG, BYTES_OF(from), BYTES_OF(to), true, first_key, out);
    return e == ERR_BUSY ? ERR_OK : e;
}

/* Two that have settled the same seq may still have settled different commits: the last of them that we hold. */
static enum err claim_heads(struct core *c, const struct vv *known, struct arena *work, struct buf *b)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < known->count; i++) {
        struct dot dot = known->at[i];
        const struct head *head = core_head(c, dot.node, dot.epoch);
        if (head == NULL || fork_of(c, dot.node, dot.epoch) != NULL) {
            continue; /* of forks, what lies lower is claimed */
        }
        dot.seq = dot.seq < head->upto ? dot.seq : head->upto;
        if (dot.seq < head->upto || !head->knows_hash) {
            e = last_held(c, dot, &dot);
        }
        if (e == ERR_OK && dot.seq > 0) {
            e = put_claim(c, work, dot, b);
        }
    }
    return e;
}

static enum err claim_below(struct core *c, struct arena *work, const struct fork *f, uint64_t below, struct buf *b)
{
    struct dot dot = { .node = f->node, .epoch = f->epoch };
    enum err e = ERR_OK;
    unsigned shifts = 0;
    while (shifts < 63 && below > 1ULL << shifts) {
        shifts++;
    }
    while (e == ERR_OK && shifts > 0) { /* ascending: the farthest first */
        dot.seq = below - (1ULL << --shifts);
        e = put_claim(c, work, dot, b);
    }
    return e;
}

struct saying {
    struct arena *work;
    struct arena *out;
    struct buf *claims;
    struct bytes *entries;
    size_t count, origins;
};

static enum err say_about(
    struct core *c, struct fork_talk *t, struct arena *keep, const struct fork *f, struct saying *sa)
{
    const struct head *head = core_head(c, f->node, f->epoch);
    struct fork_told *told = NULL;
    enum err e = told_of(t, keep, f->node, f->epoch, &told);
    if (e == ERR_OK && f->is_proven && f->seq < told->theirs) {
        told->theirs = f->seq;
        e = fork_proof(c, sa->out, f->node, f->epoch, &sa->entries[sa->count]);
        sa->count += e == ERR_OK ? 1 : 0;
    }
    uint64_t below = f->is_proven ? f->seq : head == NULL ? 0 : head->upto + 1;
    if (e == ERR_OK && !f->is_complete && below < told->asked && sa->origins < FORK_CLAIMED_ORIGINS_MAX) {
        told->asked = below;
        sa->origins++;
        e = claim_below(c, sa->work, f, below, sa->claims);
    }
    return e;
}

enum err fork_talk_say(struct core *c, struct fork_talk *t, struct arena *keep, const struct vv *known,
    struct arena *work, struct arena *out, struct wire_message *m, bool *any)
{
    struct buf claims;
    struct saying sa = { .work = work, .out = out, .claims = &claims };
    enum err e = ERR_OK;
    *any = false;
    if (t->is_opened && c->forks.count == 0) {
        return ERR_OK;
    }
    buf_init(&claims, c->mem, WIRE_MESSAGE_MAX_BYTES / 2);
    if (c->forks.count > 0) {
        sa.entries = arena_array(out, c->forks.count, sizeof(*sa.entries));
        e = sa.entries == NULL ? ERR_NOMEM : ERR_OK;
    }
    if (e == ERR_OK && !t->is_opened) {
        t->is_opened = true;
        e = claim_heads(c, known, work, &claims);
    }
    for (size_t i = 0; e == ERR_OK && i < c->forks.count; i++) {
        e = say_about(c, t, keep, &c->forks.at[i], &sa);
    }
    if (e == ERR_OK) {
        e = claims.err;
    }
    *m = (struct wire_message){ .kind = WIRE_FORKS, .entries = sa.entries, .count = sa.count };
    if (e == ERR_OK) {
        e = arena_dup(out, buf_view(&claims), &m->claims);
    }
    buf_release(&claims);
    *any = m->count > 0 || m->claims.len > 0;
    return e;
}

/* --- hearing ------------------------------------------------------------------------------------------------------ */

/* Bare commits of another branch than ours: the lowest of each origin. */
struct lowest {
    struct commit_view at[FORK_CLAIMED_ORIGINS_MAX];
    size_t count;
};

static enum err hear_commit(struct core *c, struct arena *work, struct bytes bare, struct lowest *low)
{
    struct commit_view v;
    uint8_t ours[FORK_HASH_BYTES];
    uint8_t root[COMMIT_HASH_BYTES];
    uint8_t hash[COMMIT_HASH_BYTES];
    bool is_held = false;
    size_t i = 0;
    enum err e = commit_parse(bare, &v);
    if (e == ERR_OK) {
        e = hash_at(c, work, v.header.dot, ours, &is_held);
    }
    if (e == ERR_OK && is_held) {
        e = seal_root(&v, work, root);
    }
    if (e != ERR_OK || !is_held) {
        return e;
    }
    seal_commit_hash(members_group_id(c->members), v.header_bytes, root, hash);
    if (memcmp(hash, ours, sizeof(ours)) == 0) {
        return ERR_OK;
    }
    while (i < low->count &&
           (low->at[i].header.dot.node != v.header.dot.node || low->at[i].header.dot.epoch != v.header.dot.epoch)) {
        i++;
    }
    if (i == low->count && low->count < FORK_CLAIMED_ORIGINS_MAX) {
        low->at[low->count++] = v;
    } else if (i < low->count && v.header.dot.seq < low->at[i].header.dot.seq) {
        low->at[i] = v;
    }
    return ERR_OK;
}

static enum err hear_proof(struct core *c, struct fork_talk *t, struct arena *keep, struct arena *work, struct now now,
    const struct bytes pair[2])
{
    struct commit_view x;
    struct commit_view y;
    struct fork_told *told = NULL;
    enum err e = commit_parse(pair[0], &x);
    if (e == ERR_OK) {
        e = commit_parse(pair[1], &y);
    }
    arena_reset(work);
    if (e == ERR_OK) {
        e = fork_learn(c, work, now, &x, &y);
    }
    if (e == ERR_OK) {
        e = told_of(t, keep, x.header.dot.node, x.header.dot.epoch, &told);
    }
    if (e == ERR_OK && x.header.dot.seq < told->theirs) {
        told->theirs = x.header.dot.seq;
    }
    return e == ERR_UNKNOWN_PEER ? ERR_OK : e;
}

static enum err hear_entries(struct core *c, struct fork_talk *t, struct arena *keep, struct arena *work,
    struct now now, const struct wire_message *m)
{
    struct lowest low = { .count = 0 };
    enum err e = m->count > ENTRIES_MAX ? ERR_LIMIT : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < m->count; i++) {
        struct reader r = reader_of(m->entries[i]);
        struct bytes pair[2] = { { 0 } };
        e = reader_blob(&r, FORK_BARE_MAX_BYTES, &pair[0]);
        if (e == ERR_OK && r.left == 0) {
            e = hear_commit(c, work, pair[0], &low);
            continue;
        }
        e = e == ERR_OK ? reader_blob(&r, FORK_BARE_MAX_BYTES, &pair[1]) : e;
        if (e == ERR_OK) {
            e = r.left != 0 ? ERR_FORMAT : hear_proof(c, t, keep, work, now, pair);
        }
    }
    for (size_t i = 0; e == ERR_OK && i < low.count; i++) {
        struct commit_view ours;
        arena_reset(work);
        e = core_log_get(c, work, low.at[i].header.dot, &ours);
        e = e == ERR_OK ? fork_learn(c, work, now, &ours, &low.at[i]) : e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    return e;
}

struct answering {
    struct core *c;
    struct arena *work, *out;
    struct bytes *entries;
    size_t count, origins;
};

static enum err answer_one(struct answering *an, struct dot dot)
{
    struct commit_view v;
    struct bytes bare = { 0 };
    struct buf b;
    arena_reset(an->work);
    enum err e = core_log_get(an->c, an->work, dot, &v);
    if (e == ERR_OK) {
        e = fork_bare(an->c, an->work, &v, &bare);
    }
    if (e != ERR_OK) {
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    buf_init(&b, an->c->mem, FORK_BARE_MAX_BYTES + 8);
    buf_put_blob(&b, bare);
    e = b.err;
    if (e == ERR_OK) {
        e = arena_dup(an->out, buf_view(&b), &an->entries[an->count]);
    }
    buf_release(&b);
    an->count += e == ERR_OK ? 1 : 0;
    return e;
}

/* What we have in (equal, different], from the top down. */
static enum err answer_between(struct answering *an, struct dot different, uint64_t equal)
{
    uint64_t room = FORK_ANSWERS_MAX - an->count;
    uint64_t width = different.seq - equal;
    if (room == 0 || an->origins == FORK_CLAIMED_ORIGINS_MAX) {
        return ERR_OK; /* the rest next time */
    }
    an->origins++;
    uint64_t step = (width + room - 1) / room;
    enum err e = ERR_OK;
    for (struct dot at = different; e == ERR_OK; at.seq -= step) {
        e = answer_one(an, at);
        if (at.seq - equal <= step) {
            break;
        }
    }
    return e;
}

static enum err take_claim(struct reader *r, struct claim *out)
{
    uint64_t node = 0;
    uint64_t epoch = 0;
    enum err e = reader_varint_max(r, UINT32_MAX, &node);
    if (e == ERR_OK) {
        e = reader_varint_max(r, UINT32_MAX, &epoch);
    }
    if (e == ERR_OK) {
        e = reader_varint_max(r, CORE_SEQ_MAX, &out->dot.seq);
    }
    if (e == ERR_OK) {
        e = reader_copy(r, out->hash, sizeof(out->hash));
    }
    out->dot.node = (uint32_t)node;
    out->dot.epoch = (uint32_t)epoch;
    return e;
}

/* Claims of one origin stand together, ascending: the lowest that is not so here, after the highest that is. */
static enum err hear_claims(struct answering *an, struct bytes claims)
{
    struct reader r = reader_of(claims);
    struct claim claim = { 0 };
    struct dot last = { 0 };
    uint64_t equal = 0;
    bool is_done = false; /* with this origin */
    size_t count = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && r.left > 0) {
        uint8_t ours[FORK_HASH_BYTES];
        bool is_held = false;
        e = ++count > CLAIMS_MAX ? ERR_LIMIT : take_claim(&r, &claim);
        if (e != ERR_OK) {
            break;
        }
        if (claim.dot.node != last.node || claim.dot.epoch != last.epoch) {
            equal = 0;
            is_done = false;
        } else if (claim.dot.seq <= last.seq) {
            e = ERR_FORMAT;
        }
        last = claim.dot;
        if (e == ERR_OK && !is_done) {
            e = hash_at(an->c, an->work, claim.dot, ours, &is_held);
        }
        if (e == ERR_OK && is_held && memcmp(ours, claim.hash, sizeof(ours)) == 0) {
            equal = claim.dot.seq;
        } else if (e == ERR_OK && is_held) {
            is_done = true;
            e = answer_between(an, claim.dot, equal);
        }
    }
    return e;
}

enum err fork_talk_hear(struct core *c, struct fork_talk *t, struct arena *keep, struct arena *work, struct arena *out,
    struct now now, const struct wire_message *m, struct wire_message *reply, bool *any)
{
    struct answering an = { .c = c, .work = work, .out = out };
    enum err e = hear_entries(c, t, keep, work, now, m);
    *any = false;
    if (e != ERR_OK || m->claims.len == 0) {
        return e;
    }
    an.entries = arena_array(out, FORK_ANSWERS_MAX, sizeof(*an.entries));
    e = an.entries == NULL ? ERR_NOMEM : hear_claims(&an, m->claims);
    *reply = (struct wire_message){ .kind = WIRE_FORKS, .entries = an.entries, .count = an.count };
    *any = e == ERR_OK && an.count > 0;
    return e;
}
