#ifndef JIPAN_CORE_INTERNAL_H
#define JIPAN_CORE_INTERNAL_H

#include "sync/core.h"

/* Shared by the files of the core only: core.c, part.c, write.c, ingest.c, more.c, apply.c, owner.c,
 * contest.c, quarantine.c, state.c. */

/* --- part.c: opened parts ------------------------------------------------------------------------------------ */

/* Ids of the records a group creates, worked out once: a record has cells in several parts. */
enum { NEW_IDS_KEPT = 32 };
struct new_ids {
    uint32_t known; /* bit n: at[n] is set */
    struct record_id at[NEW_IDS_KEPT];
};

/* What a part holds that this build cannot read; the rest of it is applied. */
struct newer_seen {
    bool any;
    bool of_known_field; /* among it a write of a field that this build can write too */
};

struct open_part {
    const struct commit_view *v;
    const struct group_item *g;
    struct dossier_id dossier;
    struct new_ids *ids; /* of the group; NULL: nobody keeps them */
    struct newer_seen *newer; /* NULL: nobody asks */
    uint32_t index; /* inside the group */
    enum class_ class_;
    struct part_head head;
    struct bytes records; /* what follows the head */
};

/* Where a cell of a part belongs. */
struct cell_place {
    const struct entity_desc *desc;
    const struct field *field; /* NULL: the deletion mark */
    struct record_id id;
    enum action action;
    bool creates; /* the record is made by this commit */
};

/* Errors: ERR_NO_KEY, ERR_SEAL, ERR_UNKNOWN_KIND, ERR_FORMAT, ERR_TRUNCATED, ERR_LIMIT: the part is refused (see
 * core_is_refusal); ERR_NOMEM. */
MUST_USE enum err core_open_part(struct core *c, struct arena *a, const struct commit_view *v,
    const struct group_item *g, const struct part_item *p, const struct dossier *d, struct open_part *out);
/* As if it had been opened: plain must live as long as out. */
MUST_USE enum err core_plain_part(struct arena *a, const struct commit_view *v, const struct group_item *g,
    const struct part_item *p, struct dossier_id dossier, struct bytes plain, struct open_part *out);
bool core_is_refusal(enum err e);

/* Visits the cells that this build knows and that stand in the part of their class, and reads to the end; all others
 * stay in the log until an upgrade rebuilds from it. */
typedef enum err (*core_cell_fn)(void *ctx, const struct cell_place *at, const struct part_cell *cell);
MUST_USE enum err core_each_cell(const struct open_part *p, core_cell_fn fn, void *ctx);

/* The same, but only what is urgent: deletions, and consents that this commit makes in order to withdraw. */
MUST_USE enum err core_each_urgent_cell(const struct open_part *p, struct arena *a, core_cell_fn fn, void *ctx);
bool core_is_urgent(const struct group_item *g, const struct cell_place *at, const struct part_cell *cell);

/* A part as its author has it, so that it need not be read back from its bytes: the cells that core_each_cell would
 * visit, in its order. */
struct own_cell {
    struct cell_place at;
    struct part_cell cell;
};
struct own_part {
    struct part_head head;
    const struct own_cell *cells;
    size_t count;
};

/* The id of the dossier that a group is about. */
struct dossier_id core_group_dossier(const struct commit_view *v, const struct group_item *g);

/* A growing list of commits. */
struct dots {
    struct arena *a;
    struct dot *at;
    size_t count;
    size_t capacity;
};

enum err core_collect_dot(void *ctx, struct dot dot); /* a store_dot_fn into struct dots */

/* --- quarantine.c: parts that are in the log but not applied ----------------------------------------------------- */

/* Besides the index of a part: all of the group; or the part is applied but for what is newer. */
enum { QUARANTINE_WHOLE_GROUP = 0xFF, QUARANTINE_BUT_NEWER = 0x80 };

struct quarantine_place {
    struct dossier_id dossier; /* zero: the whole commit */
    struct dot dot;
    uint32_t group;
    uint8_t part;
    uint32_t bytes; /* of it in the log, for the sum of its node; not part of the key. 0: does not count */
};

MUST_USE enum err quarantine_put(
    struct core *c, struct arena *a, const struct quarantine_place *at, enum err why, uint64_t hlc);
MUST_USE enum err quarantine_has(struct core *c, struct arena *a, const struct quarantine_place *at, bool *out);
/* *out: the reason, ERR_OK when it is not listed. */
MUST_USE enum err quarantine_why(struct core *c, struct arena *a, const struct quarantine_place *at, enum err *out);
MUST_USE enum err quarantine_remove(struct core *c, struct arena *a, const struct quarantine_place *at);
/* Tries again what waited for this dossier, or with NULL what waited for keys. */
MUST_USE enum err quarantine_retry(struct core *c, const struct dossier_id *dossier);
/* Takes one place off the list and, if it was there, tries its group again. */
MUST_USE enum err quarantine_again(struct core *c, struct arena *a, const struct quarantine_place *at);
MUST_USE enum err quarantine_clear(struct core *c);
/* Counts what is stored, into c->pending and c->unread. */
MUST_USE enum err quarantine_count(struct core *c);
void quarantine_free(struct core *c);
/* The commits with entries under this dossier; zero: those kept as a whole. */
MUST_USE enum err quarantine_dots(struct core *c, struct dossier_id dossier, struct dots *out);
/* Takes a dossier off the list. */
MUST_USE enum err quarantine_drop(struct core *c, struct dossier_id dossier);
enum { PLACE_KEY_BYTES = DOSSIER_ID_BYTES + DOT_KEY_BYTES + 4 + 1 };
void quarantine_key(const struct quarantine_place *at, uint8_t out[PLACE_KEY_BYTES]);
MUST_USE enum err quarantine_key_take(struct bytes key, struct quarantine_place *out);

/* --- waiting.c: parts whose context names commits that nobody here has seen ------------------------------------- */

/* Whether every commit the context names is settled here, or proven by a later one of its origin. *missing: the first
 * that is not. */
MUST_USE enum err waiting_check(struct core *c, const struct vv *context, bool *is_missing, struct dot *missing);
/* Lists a part in quarantine until the missing commit is known to exist. */
MUST_USE enum err waiting_put(
    struct core *c, struct arena *a, const struct quarantine_place *at, struct dot missing, uint64_t hlc);
/* Tries again what waited for commits of this origin up to here. */
MUST_USE enum err waiting_retry(struct core *c, struct dot upto);
/* Tries again what waited for any commit of a node: it was revoked, and what lies beyond its cut counts nowhere. */
MUST_USE enum err waiting_retry_node(struct core *c, uint32_t node);
MUST_USE enum err waiting_clear(struct core *c);
MUST_USE enum err waiting_drop(struct core *c, struct dossier_id dossier);

/* --- gap.c: commits of a dossier that contexts name and that are not held ---------------------------------------- */

struct gap_query {
    struct dossier_id dossier;
    const struct vv *had; /* what the dossier had seen before this commit */
    struct dot dot; /* the commit whose context it is; it counts */
};
/* Lists what the context names and is not held; *found is set when there is any. Everything it names exists
 * (waiting_check). */
MUST_USE enum err gap_look(struct core *c, const struct gap_query *q, const struct vv *context, bool *found);
/* The commit is held now. *left: the dossier still has gaps. */
MUST_USE enum err gap_filled(struct core *c, struct arena *a, struct dossier_id id, struct dot dot, bool *left);
MUST_USE enum err gap_dots(struct core *c, struct dossier_id id, struct dots *out);
/* Lowers what a dossier has seen, of origins with gaps, to what stands in front of the first: who writes now must not
 * claim to have seen what is missing. */
MUST_USE enum err gap_context(struct core *c, struct arena *a, struct dossier_id id, struct vv *context);
MUST_USE enum err gap_drop(struct core *c, struct arena *a, struct dossier_id id);

/* --- more.c: a commit that is settled already, with more of it than is held ------------------------------------- */

/* secrets: as for core_ingest, counted. Errors: those of core_ingest; ERR_EXISTS nothing new; ERR_CONFLICT not the
 * commit that is held here, or not the one its neighbours name. */
MUST_USE enum err core_ingest_more(
    struct core *c, struct arena *a, struct now now, const struct commit_view *v, struct bytes secrets);

/* The bytes held of a dot. ERR_NOT_FOUND; ERR_DAMAGED. */
MUST_USE enum err core_log_get(struct core *c, struct arena *a, struct dot dot, struct commit_view *out);
MUST_USE enum err core_log_put(struct core *c, struct dot dot, struct bytes commit);
/* Takes out of the log's copy what keep refuses (forget.c); a commit of which nothing is left goes. */
MUST_USE enum err core_log_reduce(
    struct core *c, struct arena *a, const struct commit_view *v, seal_keep_fn keep, void *ctx);

/* --- early.c: commits held beyond the head of their origin ------------------------------------------------------ */

bool core_is_early(const struct core *c, struct dot dot);
MUST_USE enum err early_count(struct core *c);
/* ERR_CONFLICT: a commit held early names another one than this as its predecessor. The early one was there first and
 * stays; of its origin nothing more is taken in until the right one comes. */
MUST_USE enum err early_fits(
    struct core *c, struct arena *a, const struct commit_header *h, const uint8_t hash[COMMIT_HASH_BYTES]);
/* The head of an origin has moved from `before`: goes on over what was held early, which now counts in full. */
MUST_USE enum err early_walk(struct core *c, uint32_t node, uint32_t epoch, uint64_t before);

/* Applies a commit of the log again, with the secrets that are stored. */
MUST_USE enum err core_replay(struct core *c, struct arena *a, struct dot dot);

/* --- ingest.c, apply.c, contest.c --------------------------------------------------------------------------------- */

/* ERR_FORMAT: not one secret for each present group that creates a dossier. */
MUST_USE enum err core_check_secrets(const struct commit_view *v, struct bytes secrets);
/* Origin, membership head, signature; hash is the commit's name. */
MUST_USE enum err core_verify_commit(
    struct core *c, struct arena *a, const struct commit_view *v, uint8_t hash[COMMIT_HASH_BYTES]);
/* ERR_SEAL: a group's part does not open with the secret of the dossier it makes. */
MUST_USE enum err core_try_secret(
    struct core *c, struct arena *a, const struct commit_view *v, const struct group_item *g, const uint8_t *secret);
/* ERR_SEAL: one of the secrets beside a commit does not open what it should. */
MUST_USE enum err core_try_secrets(struct core *c, const struct commit_view *v, struct bytes secrets);

/* Appends a commit made here and applies it. parts: all of its parts, in order. */
MUST_USE enum err core_take_own(struct core *c, const struct commit_view *v, const uint8_t hash[COMMIT_HASH_BYTES],
    struct bytes secrets, const struct own_part *parts);

/* Applies one group of a commit that stands in the log. secret: of a new dossier, NULL when the dossier must be there
 * already. own: not NULL for a commit written here and now, a cursor over its parts; then a refusal
 * is the caller's error, not a case for quarantine. */
MUST_USE enum err core_ingest_group(struct core *c, struct arena *a, const struct commit_view *v,
    const struct group_item *g, const uint8_t *secret, const struct own_part **own);

/* The rows of one group. d: the dossier as it stands; is_stored: whether the store has it. */
MUST_USE enum err core_apply_group(struct core *c, struct arena *a, const struct commit_view *v,
    const struct group_item *g, struct dossier *d, bool is_stored, const struct own_part **own);

/* --- dossiers.c --------------------------------------------------------------------------------------------------- */

/* Puts a dossier and everything that follows from its change. before: as it was stored, NULL when it was not; touched:
 * the commit that did it, NULL when none did. */
MUST_USE enum err core_put_dossier(
    struct core *c, const struct dossier *before, const struct dossier *after, const struct dot *touched);
/* Takes a stored dossier away with its rows and touches. */
MUST_USE enum err core_drop_dossier(struct core *c, const struct dossier *d);

/* --- owner.c ------------------------------------------------------------------------------------------------------ */

/* The owner by the assignment rows seen so far, in any order; 0 none. */
struct owner_search {
    const struct core *c;
    const struct entity_desc *d; /* of ENTITY_CUSTOMER_ASSIGNMENT */
    uint32_t owner;
    int64_t epoch;
    int64_t from;
    struct record_id id; /* the last word, so that the order of the visit does not matter */
};

enum err core_see_assignment(void *ctx, const struct row *row); /* a store_row_fn that never fails */

/* Works the owner of a stored dossier out again. */
MUST_USE enum err core_refresh_owner(struct core *c, struct dossier *d);

/* Whether a user manages what belongs to a station. */
bool core_manages(const struct member_user *user, uint32_t station);

/* A login now means another user, or nobody: owners of the dossiers assigned to it are worked out again. */
MUST_USE enum err core_refresh_owners(struct core *c, struct bytes login);

/* A cell of this commit is being applied: sync/writers.h, sync/recall.h. */
void core_note_write(struct core *c, const struct commit_header *header, const struct part_head *head,
    const struct cell_place *at, const struct part_cell *cell);

/* What was applied may be taken back, or not count any more: both start anew. */
void core_remember_nothing(struct core *c);

/* Removes all conflict entries of a dossier. */
MUST_USE enum err core_drop_conflicts(struct core *c, struct dossier_id dossier);

/* Whether a field (NULL: the deletion mark) of a record has a conflict that waits for a person. */
MUST_USE enum err core_is_open(struct core *c, struct arena *a, const struct entity_desc *d, const struct field *f,
    struct record_id id, bool *out);

#endif
