#ifndef JIPAN_SCOPE_H
#define JIPAN_SCOPE_H

#include "sync/core.h"

/* Whose dossiers a node may hold: from the membership log and the owner of the dossier, decided anew at every question.
 */

/* A dossier as a commit's group names it. */
struct scope_dossier {
    struct dossier_id id;
    enum dossier_kind kind;
    uint32_t station;
};

/* Every dossier there is, now and later: nothing has to be looked up one by one. */
bool scope_takes_all(const struct member_node *node);

/* By the membership log alone, with the holder of the dossier given (sync/marks.h): pure. */
bool scope_is_for(const struct member_node *node, enum dossier_kind kind, uint32_t station, uint32_t holder);

/* Everything `node` may hold, `by` may hold too, so that what `by` lacks of a commit is not for `node` either. */
bool scope_covers(const struct member_node *by, const struct member_node *node);

/* May this node hold that dossier now? A laptop's answer depends on its owner as the store has it, so a dossier that is
 * not in the store is not for a laptop. Store errors only. */
MUST_USE enum err scope_may_hold(
    struct core *c, struct arena *a, const struct member_node *node, const struct scope_dossier *d, bool *out);

#endif
