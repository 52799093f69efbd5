#ifndef JIPAN_BUNDLE_H
#define JIPAN_BUNDLE_H

#include "schema/wire.h"
#include "sync/seal_stream.h"
#include "sync/take.h"

/*
 * A bundle: what a session would say to one node, in a file for a stick (docs/decisions/0014). Bytes in, bytes out; who
 * reads and writes files is elsewhere.
 *
 *   bundle := header frame frame … frame                            the last frame is empty and says that it is the
 * last header := "jipan-b" 01 group[16] from to epoch (u32 be each) serial member_number (u64 be each) member_hash[32]
 *             stream[24] wrap[80] signature[64]
 *   frame  := length(u32 be) sealed[length]
 *
 * A frame holds one session message: Members, as many as needed, then one Hello, then Commits, with further Members
 * between them when entries came in meanwhile. The key of the stream is wrapped to the receiver's box key; the sender
 * signs the header with the wrap in it; every frame is bound to the signed header. So whoever can make a frame is the
 * sender, and what was changed, cut, reordered or repeated does not open. Memory is that of one frame.
 */
enum {
    BUNDLE_VERSION = 1,
    BUNDLE_WRAP_BYTES = KEY_BYTES + WRAP_EXTRA_BYTES,
    BUNDLE_SIGNED_BYTES = 8 + GROUP_ID_BYTES + 3 * 4 + 2 * 8 + 32 + SEAL_STREAM_HEADER_BYTES + BUNDLE_WRAP_BYTES,
    BUNDLE_HEADER_BYTES = BUNDLE_SIGNED_BYTES + 64,
    BUNDLE_FRAME_MAX_BYTES = WIRE_MESSAGE_MAX_BYTES + SEAL_STREAM_EXTRA_BYTES,
    BUNDLE_BATCH_BYTES = 384 << 10
};

struct bundle_header {
    uint8_t group[GROUP_ID_BYTES];
    uint32_t from, to;
    uint32_t epoch; /* of the sender */
    uint64_t serial; /* of its bundles for this receiver; (epoch, serial) grows */
    uint64_t member_number; /* membership head of the sender */
    uint8_t member_hash[32];
    uint8_t stream[SEAL_STREAM_HEADER_BYTES];
    uint8_t wrap[BUNDLE_WRAP_BYTES];
    uint8_t signature[64];
};

/* Errors: ERR_FORMAT not a bundle, ERR_VERSION, ERR_TRUNCATED. */
MUST_USE enum err bundle_header_take(struct bytes v, struct bundle_header *out);
void bundle_header_put(struct buf *b, const struct bundle_header *h);
/* What every frame is bound to. header: its bytes, with the signature. */
enum { BUNDLE_BINDING_BYTES = 32 };
void bundle_header_bind(struct bytes header, uint8_t out[BUNDLE_BINDING_BYTES]);

/* How far it is. */
struct bundle_count {
    uint64_t entries; /* membership entries in it */
    uint64_t commits;
    uint64_t dossiers; /* out: groups released */
    uint64_t news; /* in: commits that this node did not have */
    uint64_t done, total; /* out: commits passed, of those the receiver lacks */
};

/* --- out --- */

struct bundle_out;

struct bundle_request {
    uint32_t to;
    bool everything; /* also what the receiver said it has */
    uint32_t user, roles; /* for the audit log */
};

/**
 * bundle_out_new: header of a new bundle, inside the caller's transaction. Errors: ERR_NOT_FOUND no such node;
 * ERR_REVOKED; ERR_INVALID this node itself; store errors.
 */
MUST_USE enum err bundle_out_new(
    struct core *c, const struct bundle_request *rq, struct bundle_out **out, struct buf *header);

/* Appends the next frame, length first; inside the caller's transaction, which must commit before the frame leaves.
 * After an error the bundle is of no use. ERR_REVOKED: the receiver was, meanwhile. */
MUST_USE enum err bundle_out_next(struct bundle_out *b, struct now now, struct buf *frame, bool *is_last);
struct bundle_count bundle_out_count(const struct bundle_out *b);
void bundle_out_free(struct bundle_out *b); /* NULL is fine */

/* --- in --- */

struct bundle_in;

/**
 * bundle_in_new: checks the header. Changes nothing. Errors: those of bundle_header_take; ERR_UNKNOWN_PEER another
 * group; ERR_DENIED made for another node; ERR_REVOKED the sender was; ERR_SIGNATURE; ERR_SEAL the key does not open;
 * ERR_CONFLICT another membership history; ERR_EXPIRED a newer bundle of that sender was taken in already. A sender
 * that this node does not know yet is judged when the membership entries in front have been read.
 */
MUST_USE enum err bundle_in_new(struct core *c, struct bytes header, struct bundle_in **out);

/**
 * bundle_in_next: takes in one frame (without its length), all of it or nothing, inside the caller's transaction.
 * Errors: as bundle_in_new, and ERR_SEAL, ERR_TRUNCATED, ERR_FORMAT, ERR_PROTOCOL; those of core_ingest, among them
 * ERR_GAP: this node has less than the sender thought; store errors. After an error take it from the start again.
 */
MUST_USE enum err bundle_in_next(struct bundle_in *b, struct now now, struct bytes frame, bool *is_last);
const struct bundle_header *bundle_in_header(const struct bundle_in *b);
bool bundle_in_is_greeted(const struct bundle_in *b); /* the sender has said what it has */
struct bundle_count bundle_in_count(const struct bundle_in *b);
void bundle_in_free(struct bundle_in *b);

#endif
