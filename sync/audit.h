#ifndef JIPAN_AUDIT_H
#define JIPAN_AUDIT_H

#include "sync/access.h"
#include "sync/seal.h"
#include "sync/store.h"

/*
 * The audit log of one node: who looked at what, hash-chained, its head signed, heads exchanged with peers. An entry
 * never holds a value or search text; the subject is a keyed pseudonym that only this module can compute.
 *
 *   entry := 01 number(varint) prev[32] hlc(u64 be) event(u8) user(varint) roles(varint) role(u8) purpose(varint)
 *            entity(varint) subject[16] record[16] field_count fields(varint each) view(u8) result(u8 err number)
 * count(varint) peer(varint) hash  := labelled BLAKE2b-256 over the group id and the entry bytes
 *
 * subject and record are zero when there is none. Entries are appended inside the caller's transaction, so the entry is
 * durable before the value leaves.
 */
enum audit_event {
    AUDIT_READ = 1,
    AUDIT_SEARCH,
    AUDIT_DENIED,
    AUDIT_EXPORT,
    AUDIT_CREATE,
    AUDIT_UPDATE,
    AUDIT_DELETE,
    AUDIT_DECIDE,
    AUDIT_CONFLICTS,
    AUDIT_HISTORY,
    AUDIT_AUDIT_READ,
    AUDIT_LOGIN,
    AUDIT_LOGIN_FAILED,
    AUDIT_MEMBER,
    AUDIT_IMPORT,
    AUDIT_DUMP,
    AUDIT_SYNC_RELEASE,
    AUDIT_STORE_OPENED,
    AUDIT_FORK, /* peer: node that forked; count: from which seq */
    AUDIT_EVENT_COUNT
};
const char *audit_event_name(enum audit_event e); /* "read" … */
const char *audit_event_zh(enum audit_event e);
const char *audit_event_en(enum audit_event e);

enum { AUDIT_FIELDS_MAX = 64, AUDIT_ENTRY_MAX_BYTES = 1024 };

struct audit_entry {
    uint64_t number;
    uint64_t hlc;
    enum audit_event event;
    uint32_t user;
    uint32_t roles;
    enum role role;
    enum purpose purpose;
    uint32_t entity;
    uint8_t subject[16]; /* pseudonym of the dossier */
    uint8_t record[16]; /* pseudonym of the record */
    uint32_t fields[AUDIT_FIELDS_MAX];
    uint32_t field_count;
    uint8_t view; /* enum view of the best field shown */
    enum err result;
    uint64_t count; /* rows concerned; AUDIT_MEMBER: number of the first entry of the membership log, 0 none */
    uint32_t peer; /* node number for AUDIT_SYNC_RELEASE */
};

struct audit {
    struct store *store;
    const uint8_t *group_id;
    uint8_t pseudonym_key[KEY_BYTES];
    uint64_t count;
    uint8_t head[32];
};

/* Reads the head from the store. pseudonym_key: group-wide key, so that an auditor can ask about one customer on any
 * node. */
MUST_USE enum err audit_open(struct audit *au, struct store *s, const uint8_t group_id[GROUP_ID_BYTES],
    const uint8_t pseudonym_key[KEY_BYTES], struct arena *a);
void audit_pseudonym(
    const struct audit *au, struct bytes id, uint8_t out[16]); /* dossier id (10) or record id (16) bytes */

/* Appends one entry in the running transaction; number, prev and hash are set here. If the transaction fails the caller
 * must call audit_reload. */
MUST_USE enum err audit_append(struct audit *au, struct arena *a, struct audit_entry *entry);
MUST_USE enum err audit_reload(struct audit *au, struct arena *a);

/* A head another node can keep as witness: node, epoch, count, hash, signature under "jipan/audit-head/v1". */
struct audit_head {
    uint32_t node;
    uint32_t epoch;
    uint64_t count;
    uint8_t hash[32];
    uint8_t signature[64];
};
void audit_sign_head(const struct audit *au, uint32_t node, uint32_t epoch,
    const uint8_t sign_secret[SIGN_SECRET_BYTES], struct audit_head *out);
MUST_USE enum err audit_check_head(
    const uint8_t group_id[GROUP_ID_BYTES], const struct audit_head *h, const uint8_t signer[SIGN_PUBLIC_BYTES]);
void audit_head_put(struct buf *b, const struct audit_head *h);
MUST_USE enum err audit_head_take(struct reader *r, struct audit_head *out);

/**
 * audit_verify: recompute the whole chain from the store. *first_bad is the number of the first entry that does not fit
 * (0 = none); missing entries and a chain shorter than a witnessed head (witness may be NULL) are bad too. Errors:
 * ERR_DAMAGED with *first_bad set.
 */
MUST_USE enum err audit_verify(
    const struct audit *au, struct arena *a, const struct audit_head *witness, uint64_t *first_bad);

MUST_USE enum err audit_decode(struct bytes bytes, struct audit_entry *out, uint8_t prev[32]);

#endif
