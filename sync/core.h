#ifndef JIPAN_CORE_H
#define JIPAN_CORE_H

#include "schema/hlc.h"
#include "schema/pack.h"
#include "sync/audit.h"
#include "sync/marks.h"
#include "sync/members.h"
#include "sync/merge.h"
#include "sync/recall.h"
#include "sync/store.h"
#include "sync/versions.h"
#include "sync/writers.h"

/*
 * The core of one node: the change log and everything derived from it. Deterministic: time comes in with each call,
 * chance from rng, storage through store.h. Nothing here sends or acknowledges: callers do, after the transaction has
 * committed.
 */
enum { CORE_ARENA_BYTES = 64 << 20, PROLOGUE_LABEL_BYTES = 8 };

/* Largest seq of a commit: what every store can hold. */
#define CORE_SEQ_MAX ((uint64_t)INT64_MAX)

/* What is settled of one origin: every seq up to `upto` is held or was withheld for us. */
struct head {
    uint32_t node;
    uint32_t epoch;
    uint64_t upto;
    uint64_t hlc; /* of the last held commit */
    bool knows_hash; /* false when the last settled commit was withheld */
    bool is_forgotten; /* nothing is held of the last settled commit any more; its hash is known */
    uint8_t hash[COMMIT_HASH_BYTES];
};

struct heads {
    struct head *at; /* sorted by (node, epoch) */
    size_t count;
    size_t capacity;
};

/* An origin that has forked, or is suspected of it: sync/fork.h. */
struct fork {
    uint32_t node;
    uint32_t epoch;
    uint64_t seq; /* proven: from here on nothing counts */
    uint64_t seen; /* our clock when we first saw a proof */
    bool is_proven;
    bool is_complete; /* the proof is the lowest there can be */
};

struct forks {
    struct fork *at; /* in no order */
    size_t count;
    size_t capacity;
};

/* Decisions of access_write_allowed for one (roles, scope), remembered because a bulk import asks the same question 24
 * times a row. */
struct rights_memo {
    uint32_t roles;
    uint32_t scope;
    uint64_t known[ENTITY_MAX + 1][3];
    uint64_t allowed[ENTITY_MAX + 1][3];
};

/* Whose dossiers changed hands since somebody last looked: sessions with their laptops have something to even out. */
/* Bytes of commits of each node that lie here and are not applied: quarantine.c. */
struct unread {
    uint32_t node;
    uint64_t bytes;
};
struct unreads {
    struct unread *at;
    size_t count, capacity;
    uint64_t max; /* of one node; 0: CORE_UNREAD_MAX_BYTES */
};
enum { CORE_UNREAD_MAX_BYTES = 256 << 20 };

enum { CORE_MOVES_MAX = 32 };
struct core_moves {
    uint32_t holder[CORE_MOVES_MAX]; /* user numbers */
    size_t count;
    bool is_more; /* there were more than fit */
};

struct ahead; /* sync/ahead.h */

struct core {
    struct store *store;
    struct mem *mem;
    struct rng *rng;
    struct members *members;
    struct node_secrets self;
    uint8_t authority_secret[SIGN_SECRET_BYTES]; /* zero unless this node holds the authority */
    bool is_authority;
    bool members_in_doubt; /* the store came from a backup, and no peer has shown its membership log since */
    uint32_t epoch;
    unsigned epochs_drawn; /* since the process started, because of what peers claimed of our past */
    uint64_t hlc;
    struct heads heads;
    struct forks forks;
    struct audit audit;
    uint64_t pending; /* parts waiting in quarantine for their dossier or key */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* of a rebuild, in commits; NULL: nobody asks */
    void *progress_ctx;
    struct unreads unread;
    uint64_t early; /* commits held beyond the head of their origin */
    uint64_t waiting; /* of these, groups that wait for a commit their context names */
    struct marks marks; /* sums over the dossiers held, by kind, station and holder */
    struct core_moves moves;
    uint64_t leaving; /* at least as many as dossiers listed in SPACE_LEAVING; 0: none */
    struct rights_memo memo;
    struct writers writers;
    struct recall recall;
    struct pack pack;
    const struct ahead *ahead; /* what was worked out of the message at hand before its turn; NULL: nothing */
    bool is_stale; /* a core_reload failed: memory is not what the store holds */
};

/* self and authority secrets must be set by the caller before core_open reads the rest from the store. */
MUST_USE enum err core_open(struct core *c, struct arena *a, const uint8_t pseudonym_key[KEY_BYTES]);
void core_close(struct core *c);
/* After a rollback: forget what memory knows beyond the store, membership included (what members.h handed out is void
 * then). */
MUST_USE enum err core_reload(struct core *c, struct arena *a);
/* Tries a failed core_reload again; nothing may be read or written by this core until it succeeds. */
MUST_USE enum err core_refresh(struct core *c, struct arena *a);

const struct head *core_head(const struct core *c, uint32_t node, uint32_t epoch); /* NULL: nothing of it */

/* Whether a commit of this dot counts, the same on every node that knows the same membership log and forks.
 * ERR_REVOKED: unknown origin, or beyond the cut of a revocation; ERR_CONFLICT: from a proven fork on. */
MUST_USE enum err core_counts(const struct core *c, struct dot dot);

/* --- writing here
 * ------------------------------------------------------------------------------------------------------- */

struct write_field {
    const struct field *field;
    struct value value;
    bool is_decision;
    uint8_t conflict[CONFLICT_ID_BYTES];
    struct bytes reason;
};

struct write_record {
    const struct entity_desc *desc;
    bool is_new;
    bool is_delete;
    struct record_id id; /* existing record, or filled in for a new one */
    const struct write_field *fields;
    size_t field_count;
};

struct write_group {
    bool is_new; /* a new dossier; id is filled in */
    enum dossier_kind kind;
    uint32_t station; /* new: home station number */
    struct dossier_id id;
    struct write_record *records;
    size_t record_count;
};

struct write_request {
    uint32_t author;
    enum purpose purpose;
    struct write_group *groups;
    size_t group_count;
};

/**
 * core_write: one commit with everything in the request, signed, sealed, appended to the log and applied, inside the
 * caller's transaction. Fills in new ids. Values must have passed field_parse/catalogue_complete; rights must have been
 * asked. Fields that would not change anything are left out; if nothing is left, *dot is zero and nothing is written.
 * Errors: ERR_NOT_FOUND dossier or record; ERR_NO_KEY this node may not write for that station; ERR_INVALID a change to
 * a fixed field or an event; store errors (then the caller rolls back and calls core_reload).
 */
MUST_USE enum err core_write(
    struct core *c, struct arena *a, struct now now, struct write_request *req, struct dot *dot, struct why *why);

/**
 * core_write in its two halves, for bulk. core_make does all that needs no turn: drafts, seals, signs. core_take_made
 * appends and applies, in the order of making, inside the caller's transaction. While all groups are new dossiers,
 * core_make reads of the core only what taking never changes and allocates from the line's mem: then one thread may
 * make what follows while another takes what was made.
 *
 * core_line_start: where our own commits stand. ERR_CONFLICT: this epoch has forked.
 * core_make: *out lives in a and is released before a is; NULL when nothing would change. Errors: those of core_write.
 * When one half fails, what was made later is void: its past does not exist.
 */
struct write_line {
    struct mem *mem;
    uint64_t seq; /* of the commit before */
    uint64_t hlc;
    uint8_t hash[COMMIT_HASH_BYTES];
};
struct made;
MUST_USE enum err core_line_start(const struct core *c, struct mem *mem, struct write_line *out);
MUST_USE enum err core_make(struct core *c, struct write_line *line, struct arena *a, struct now now,
    struct write_request *req, struct made **out, struct why *why);
MUST_USE enum err core_take_made(struct core *c, const struct made *m);
void core_made_release(struct made *m); /* m may be NULL */

/* The dossier of a book; created on first use. */
struct dossier_id core_station_book(const struct core *c, uint32_t station);
struct dossier_id core_group_book(const struct core *c);

/* --- commits from elsewhere
 * --------------------------------------------------------------------------------------------- */

/**
 * core_ingest: verify one commit and apply what may be applied, inside the caller's transaction.
 * secrets: 16 bytes for each present group that creates a dossier, in order.
 * A commit that is settled already, held in part or withheld, may bring what was lacking: then only that is applied,
 * and what stands here is the same as if all had come at once. Errors: ERR_EXISTS settled, and nothing in it is new;
 * ERR_CONFLICT another commit of that name, or on another past, is held here; ERR_GAP an earlier one of its origin, or
 * its membership head, is missing; ERR_UNKNOWN_PEER, ERR_REVOKED, ERR_SIGNATURE, ERR_FORMAT, ERR_VERSION: the commit is
 * refused as a whole, nothing written; store errors. Parts that cannot be applied (no key, no dossier, no right) are
 * kept and listed in quarantine, ERR_OK.
 */
MUST_USE enum err core_ingest(
    struct core *c, struct arena *a, struct now now, struct bytes commit, struct bytes secrets);

/* As core_ingest for a commit that this node keeps and hands on but cannot open: nothing is applied, nothing waits.
 * Also ERR_EXISTS. */
MUST_USE enum err core_ingest_sealed(struct core *c, struct arena *a, struct now now, const struct commit_view *v);

/**
 * core_ingest_early: as core_ingest, for a commit whose predecessors are still missing. It is kept, and what is urgent
 * in it is applied (core_each_urgent); the rest counts when its turn comes, with the commits before it. A commit whose
 * turn it is, or that is settled, is simply taken in.
 * Errors: as core_ingest, and ERR_LIMIT so many are held already, of this origin or in all; ERR_PROTOCOL a commit of
 * our own that we have not made.
 */
enum { CORE_EARLY_PER_ORIGIN_MAX = 64, CORE_EARLY_MAX = 1024 };
MUST_USE enum err core_ingest_early(
    struct core *c, struct arena *a, struct now now, struct bytes commit, struct bytes secrets);

/* Urgent is what withdraws a consent or deletes a record of a customer. Visits the commits held that did so, beyond
 * what the vector covers, in the order of their dots; commits held early among them. */
typedef enum err (*core_urgent_fn)(void *ctx, struct dot dot);
MUST_USE enum err core_each_urgent(struct core *c, const struct vv *known, core_urgent_fn fn, void *ctx);

/*
 * Origins are told to every peer in every hello, so nobody may fill the list: at most so many epochs of one node (a
 * restore makes one) and so many origins in all, with room left for our own. ERR_LIMIT: this one is not taken up.
 */
enum { CORE_EPOCHS_PER_NODE_MAX = 64, CORE_ORIGINS_MAX = VV_MAX - 128 };
MUST_USE enum err core_room_for_origin(const struct core *c, uint32_t node, uint32_t epoch);

/* A peer says that commits of an origin up to `upto` exist and are not for us. Moves the head. ERR_PROTOCOL: of our own
 * commits, or beyond CORE_SEQ_MAX. */
MUST_USE enum err core_settle_withheld(struct core *c, uint32_t node, uint32_t epoch, uint64_t upto);

/* The secrets of the groups present in a commit that create dossiers, in order: what travels beside it. */
MUST_USE enum err core_secrets_of(struct core *c, struct arena *a, const struct commit_view *v, struct buf *out);

/**
 * core_forget: takes a dossier off this node inside the caller's transaction: rows, conflicts, secret, what waits in
 * quarantine, and its groups in the change log, whose commits stay as copies with these groups withheld, or go when
 * nothing is left. What is settled stays settled, so nobody sends it again by itself; a sender that gives it anew
 * (core_ingest) brings all of it back. Also for our own commits. Not a deletion: other nodes keep what they hold.
 * Bytes stay in the write-ahead log until the store is checkpointed; the caller sees to that. Marks of imported rows
 * stay: they are keyed hashes, and no row is imported twice.
 * Errors: ERR_DENIED the group book; store errors. ERR_OK also when nothing was there.
 */
MUST_USE enum err core_forget(struct core *c, struct arena *a, struct dossier_id dossier);

/* --- membership
 * ---------------------------------------------------------------------------------------------------------- */

/* Folds and stores one membership entry inside the caller's transaction; retries parts that waited for keys. */
MUST_USE enum err core_add_member_entry(struct core *c, struct arena *a, struct now now, struct bytes entry);

/* --- asking
 * ------------------------------------------------------------------------------------------------------------- */

/* Every write of one record (field NULL: all fields) found in the log, oldest dot first; only parts that were applied.
 * What the items point to lives in a. */
struct history_item {
    const struct field *field; /* NULL: deletion mark */
    struct field_write write;
};
typedef enum err (*history_fn)(void *ctx, const struct history_item *item);
MUST_USE enum err core_history(struct core *c, struct arena *a, const struct entity_desc *d, struct record_id id,
    const struct field *field, history_fn fn, void *ctx);

/* Sum of keyed hashes of every row, dossier and open conflict: order-free, equal on nodes that hold the same. */
MUST_USE enum err core_statehash(struct core *c, struct arena *a, uint8_t out[32]);

/*
 * A store made from a backup bears the key "members in doubt" (CORE_MEMBERS_IN_DOUBT): members may have changed since.
 * While it does, the authority writes no entry, or the group would have two histories (docs/decisions/0011). A peer
 * that knows at least what we know, and nothing that we lack, ends it: called with its membership number. Inside the
 * caller's transaction.
 */
#define CORE_MEMBERS_IN_DOUBT BYTES_LIT("members in doubt")
MUST_USE enum err core_members_heard(struct core *c, uint64_t number);
MUST_USE enum err core_members_trusted(struct core *c); /* by a person's word */

/* Whether so much of what a node wrote lies here unread that nothing new of it is taken (core_ingest: ERR_LIMIT), and
 * whether half of that is free again. Never of our own. */
bool core_unread_is_full(const struct core *c, uint32_t node);
bool core_unread_has_room(const struct core *c, uint32_t node);

/* Rebuilds every derived table from the log inside the caller's transaction. A dossier of the log that the store has
 * lost, with its secret, is ERR_DAMAGED. */
MUST_USE enum err core_rebuild(struct core *c, struct arena *a, struct now now);

/* What core_mend found. */
struct core_mended {
    uint64_t commits; /* of the log, applied anew */
    uint64_t corrected; /* dossiers whose kind or station was not what the log says */
    uint64_t without_secret; /* dossiers whose secret is lost here */
};
/* As core_rebuild. A dossier whose secret is lost goes on as one that this node was never given: the commit that made
 * it is reduced, and sessions bring it back, with the secret, from a peer that holds it. */
MUST_USE enum err core_mend(struct core *c, struct arena *a, struct now now, struct core_mended *out);

/* Whether every dossier that the log makes is stored, and all can be read. ERR_DAMAGED. */
MUST_USE enum err core_verify_dossiers(struct core *c, struct arena *a);

/* Recomputes signatures, digests and chain of the whole log, and audit. *bad names the first bad commit. ERR_DAMAGED.
 */
MUST_USE enum err core_verify_log(struct core *c, struct arena *a, struct dot *bad);

/* --- inside the core (used by write.c, ingest.c, contest.c)
 * ---------------------------------------------------------------- */

MUST_USE enum err core_set_head(struct core *c, const struct head *h);
/* After an own commit, which stands in the log: the store learns of it now and then, opening finds the rest there. */
MUST_USE enum err core_head_of_own(struct core *c, const struct head *h);
/* What the head is when this commit is the last; it stands in the log. */
MUST_USE enum err core_head_from_log(struct core *c, struct arena *a, struct dot dot, struct head *out);
/* Applies a commit that stands in the log already. */
MUST_USE enum err core_apply_again(struct core *c, struct arena *a, const struct commit_view *v, struct bytes secrets);
bool core_may_write(struct core *c, const struct member_user *author, uint32_t scope, const struct entity_desc *d,
    const struct field *f, enum action action);
struct record_id core_resolve_ref(
    const struct commit_view *v, uint32_t group_index, struct dossier_id dossier, const struct record_ref *ref);
/* Recomputes one contested field from the log and replaces its conflict entries; *row holds the result. */
MUST_USE enum err core_contest(struct core *c, struct arena *a, const struct entity_desc *d, const struct field *f,
    struct row *row, struct versions *versions);
/* Facts of the author about a part, judged as of the author's membership head. ERR_DENIED when the author may not write
 * here. */
MUST_USE enum err core_judge_author(struct core *c, const struct commit_header *h, const struct group_item *g,
    const struct part_head *head, const struct member_user **author, uint32_t *scope);

#endif
