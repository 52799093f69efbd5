#ifndef JIPAN_RELAY_H
#define JIPAN_RELAY_H

#include "schema/wire.h"
#include "sync/core.h"

/*
 * Relays: nodes that keep whole sealed commits and hand them on, without a class key and without a dossier's secret
 * (docs/decisions/0015). The secrets of new dossiers travel to, in and from a relay in boxes, which only nodes that
 * serve the dossier's station open.
 *
 *   boxes := one for each present group that creates a dossier, in order
 *   box   := key_epoch(u32 be) sealed[32]
 *
 * sealed is the secret under a key of (station, key epoch) that stations and hubs have and laptops have not.
 */
enum { RELAY_BOX_BYTES = 4 + SECRET_BOX_BYTES };

bool relay_is(const struct core *c); /* this node is one */
/* Whom a relay gives commits: it cannot tell whose customers a laptop may have. */
bool relay_serves(const struct member_node *to);
bool relay_is_whole(const struct commit_view *v); /* nothing of the commit is withheld */

/* For a relay: the secrets of the dossiers that the commit creates, boxed. ERR_NO_KEY: this node has no key to box them
 * with. */
MUST_USE enum err relay_box(struct core *c, struct arena *a, const struct commit_view *v, struct buf *boxes);

/* From a relay: the other way round. ERR_FORMAT wrong number; ERR_NO_KEY; ERR_SEAL. */
MUST_USE enum err relay_unbox(struct core *c, const struct commit_view *v, struct bytes boxes, struct buf *secrets);

/**
 * relay_take: on a relay, one commit with its boxes, inside the caller's transaction: checked like everywhere, kept,
 * not opened. Errors: ERR_EXISTS; ERR_PROTOCOL it is not whole or comes with plain secrets; those of core_ingest.
 */
MUST_USE enum err relay_take(struct core *c, struct arena *a, struct now now, const struct wire_item *item);

/* On a relay: the boxes of what is left of a commit (kept) that it holds whole. */
MUST_USE enum err relay_boxes(struct core *c, struct arena *a, const struct commit_view *whole,
    const struct commit_view *kept, struct buf *boxes);

#endif
