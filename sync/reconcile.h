#ifndef JIPAN_RECONCILE_H
#define JIPAN_RECONCILE_H

#include "schema/base/buf.h"
#include "schema/id.h"

/*
 * Range-based set reconciliation: two nodes find where two sets of items differ, at a cost that follows the difference
 * and not the size of the sets. Pure: items and memory come in, messages go out. docs/PROTOCOL.md 6.9 has the bytes.
 *
 * One side calls reconcile_first and sends the message; from then on each side hands what it received to
 * reconcile_answer and sends what that gave, in turns, until *is_over. Each side is told every difference once: ids
 * that only we have, ids that only the other has, ids both have with another mark. A side that lies can hide
 * differences or invent them, and nothing else: memory, work and number of rounds are bounded whatever comes in.
 */
enum { MARK_BYTES = 16, RECONCILE_SALT_BYTES = 16 };

struct reconcile_item {
    struct dossier_id id;
    uint8_t mark[MARK_BYTES]; /* equal when both sides have seen the same of it (sync/marks.h) */
};

enum reconcile_kind { RECONCILE_ONLY_OURS = 1, RECONCILE_ONLY_THEIRS, RECONCILE_DIFFERENT };

/* One difference. Anything but ERR_OK ends reconcile_answer with that error. Of an honest peer each id comes once; a
 * hostile one may repeat. */
typedef enum err (*reconcile_fn)(void *ctx, enum reconcile_kind kind, struct dossier_id id);

struct reconcile;

enum {
    RECONCILE_MESSAGE_MAX_BYTES = 32 << 10,
    RECONCILE_MESSAGE_MIN_BYTES = 1 << 10,
    RECONCILE_OPEN_MAX = 1 << 16, /* ranges, and differences to be told, that may wait for their turn */
};

/**
 * reconcile_new: a run over items, which must be ascending by id without doubles and stay unchanged until
 * reconcile_free. Takes 8 bytes of memory an item.
 * Errors: ERR_NOMEM.
 */
MUST_USE enum err reconcile_new(
    struct mem *mem, const struct reconcile_item *items, size_t count, struct reconcile **out);
void reconcile_free(struct reconcile *r); /* NULL is fine */

/**
 * reconcile_first: the message that opens a run. salt is random and never used twice: it keys every comparison, so that
 * nobody can prepare sets whose difference does not show. out is empty before and has room for
 * RECONCILE_MESSAGE_MAX_BYTES.
 * Errors: ERR_NOMEM.
 */
MUST_USE enum err reconcile_first(struct reconcile *r, const uint8_t salt[RECONCILE_SALT_BYTES], struct buf *out);

/**
 * reconcile_answer: takes in the other side's message, reports differences to fn, and appends our message to out when
 * there is one (out->len > 0: send it, also when *is_over). *is_over: this side is done, nothing more is to come.
 * Errors: ERR_FORMAT, ERR_TRUNCATED, ERR_PROTOCOL, ERR_LIMIT (too long, too many rounds, too much left open): the
 * peer's fault, the run is to be freed; ERR_NOMEM; what fn gave. After an error nothing more may be asked of r.
 */
MUST_USE enum err reconcile_answer(
    struct reconcile *r, struct bytes in, struct buf *out, reconcile_fn fn, void *ctx, bool *is_over);

/* Messages taken in so far. */
uint32_t reconcile_rounds(const struct reconcile *r);

/* For tests and benches, before the first message. Both sides may differ in these. fan_out 2..64, leaf 1..256. */
void reconcile_tune(struct reconcile *r, uint32_t fan_out, uint32_t leaf, uint32_t message_bytes);

#endif
