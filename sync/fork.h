#ifndef JIPAN_FORK_H
#define JIPAN_FORK_H

#include "sync/core.h"

/*
 * Forks: two commits of one dot, both signed by its node. It happens when a store is copied, rolled back behind our
 * back, or when a node lies. Decision 0013. The proof is the pair, each commit reduced to header, signature and root;
 * it is kept and spread like membership. Commits of that (node, epoch) from the lowest proven seq on count nowhere, as
 * beyond the cut of a revocation, so all nodes agree whatever branch they hold; what lies before stays.
 */
enum { FORKS_MAX = 1024, FORKS_PER_NODE_MAX = 64, FORK_BARE_MAX_BYTES = 512, FORK_KEPT_MAX = 1024 };

/* Into c->forks; also when nothing is left of what memory knew (core_reload). */
MUST_USE enum err fork_load(struct core *c);
void fork_free(struct core *c);

/* What is known of an origin; NULL: nothing. Void after the next call that changes something. */
const struct fork *fork_of(const struct core *c, uint32_t node, uint32_t epoch);

/**
 * fork_learn: two commits that should be a proof, whole or reduced. If they are, and lower than what is known: kept,
 * noted in the audit log when new, everything from there on taken out of what counts, and a new epoch drawn if it is
 * our own that is over. Nothing happens when it is not lower, or more than one node may have. Errors: ERR_FORMAT not a
 * proof; ERR_SIGNATURE; ERR_UNKNOWN_PEER; store errors, ERR_NOMEM.
 */
MUST_USE enum err fork_learn(
    struct core *c, struct arena *a, struct now now, const struct commit_view *x, const struct commit_view *y);

/**
 * fork_pass: a commit that core_ingest would not take, because (`why`) it stands on another past than ours,
 * ERR_CONFLICT, or behind one that does, ERR_GAP. If so it is put aside beside the log, with its secrets, the origin is
 * under suspicion, and the answer ERR_OK: the rest may go on. Otherwise the answer is the error that stands.
 */
MUST_USE enum err fork_pass(
    struct core *c, struct arena *a, struct now now, struct bytes commit, struct bytes secrets, enum err why);

/* Header, signature and root of a verified commit: itself with every group withheld. Arena memory. */
MUST_USE enum err fork_bare(struct core *c, struct arena *a, const struct commit_view *v, struct bytes *out);

/* The proof of an origin as it is stored and sent: two bare commits, each a blob. ERR_NOT_FOUND. */
MUST_USE enum err fork_proof(struct core *c, struct arena *a, uint32_t node, uint32_t epoch, struct bytes *out);

/* A dossier goes: nothing that was put aside holds it any more. */
MUST_USE enum err fork_forget(struct core *c, struct dossier_id dossier);

/* Checks every proof that is stored. ERR_DAMAGED; *bad names the first bad one. */
MUST_USE enum err fork_verify(struct core *c, struct arena *a, struct dot *bad);

/* A new epoch for this node, above every one known of it by a random step, so that two holders of one identity do not
 * meet again. ERR_LIMIT: there is none left. */
MUST_USE enum err fork_draw_epoch(struct core *c);

#endif
