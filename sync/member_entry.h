#ifndef JIPAN_MEMBER_ENTRY_H
#define JIPAN_MEMBER_ENTRY_H

#include "sync/members.h"

/*
 * Canonical bytes of membership entries and their bodies (docs/PROTOCOL.md section 4): one encoding per meaning, strict
 * on the way in. Checks what can be checked without the state; the fold (members_fold.c) checks the rest.
 */
enum {
    MEMBER_ENTRY_VERSION = 1,
    MEMBER_HASH_BYTES = 32,
    MEMBER_SIGNATURE_BYTES = 64,
    MEMBER_RANDOM_BYTES = 16,
    MEMBER_SCOPE_MAX = 16,
    WRAPPED_CLASS_KEYS_BYTES = CLASS_KEYS_PER_EPOCH * KEY_BYTES + WRAP_EXTRA_BYTES,
};

struct member_entry {
    uint64_t number;
    uint8_t prev[MEMBER_HASH_BYTES];
    uint64_t hlc;
    uint8_t kind; /* may be unknown to this build */
    struct bytes body;
    struct bytes signed_bytes; /* everything before the signature */
    const uint8_t *signature;
};

struct member_genesis {
    char name[MEMBER_NAME_MAX_BYTES + 1];
    uint8_t authority[SIGN_PUBLIC_BYTES];
    uint8_t random[MEMBER_RANDOM_BYTES];
};

struct member_revocation {
    uint32_t node;
    struct vv cut;
    char reason[MEMBER_NAME_MAX_BYTES + 1];
};

/* Keys body: station, count, then count wraps in ascending order of (epoch, node). */
struct member_wrap {
    uint32_t epoch;
    uint32_t node;
    struct bytes wrapped;
};

struct wrap_cursor {
    struct reader r;
    uint32_t station;
    uint32_t left;
    struct member_wrap last;
};

/* Borrows from `all`. Errors: ERR_VERSION, ERR_TRUNCATED, ERR_FORMAT (also trailing bytes), ERR_LIMIT. */
MUST_USE enum err member_entry_parse(struct bytes all, struct member_entry *out);
/* Writes the signed bytes of an entry; the signature follows them. */
void member_entry_put(struct buf *b, const struct member_entry *e);

void member_genesis_put(struct buf *b, const struct member_genesis *g);
void member_station_put(struct buf *b, const struct member_station *s);
void member_node_put(struct buf *b, const struct member_node *n);
void member_scope_put(struct buf *b, const struct member_node *n); /* number, owner, holds_group, scope */
void member_user_put(struct buf *b, const struct member_user *u);
void member_keys_put_head(struct buf *b, uint32_t station, uint32_t count);
void member_keys_put_wrap_head(struct buf *b, uint32_t epoch, uint32_t node); /* then the wrap, fixed length */
void member_revocation_put(struct buf *b, const struct member_revocation *v);

/* Whole bodies; out is written only on success. Errors as above; text that is not clean UTF-8 is ERR_FORMAT. */
MUST_USE enum err member_genesis_take(struct bytes body, struct member_genesis *out);
MUST_USE enum err member_station_take(struct bytes body, struct member_station *out);
MUST_USE enum err member_node_take(struct bytes body, struct member_node *out);
/* Fills in what member_scope_put writes; the rest is zero. */
/* Whether owner and scope fit kind and station. */
bool member_scope_suits(const struct member_node *n);
MUST_USE enum err member_scope_take(struct bytes body, struct member_node *out);
MUST_USE enum err member_user_take(struct bytes body, struct member_user *out);
/* The cut is arena memory. */
MUST_USE enum err member_revocation_take(struct bytes body, struct arena *a, struct member_revocation *out);
MUST_USE enum err member_keys_open(struct bytes body, struct wrap_cursor *out);
MUST_USE enum err member_keys_next(struct wrap_cursor *c, struct member_wrap *out); /* ERR_NOT_FOUND at the end */

#endif
