#ifndef JIPAN_MEMBERS_H
#define JIPAN_MEMBERS_H

#include "sync/access.h"
#include "sync/seal.h"
#include "sync/store.h"

/*
 * The membership log: a hash chain of entries signed by the group's authority key; nodes, stations, users, class keys,
 * revocations. Everybody holds all of it. State is a pure fold over the entries; questions are asked "as of entry
 * number n", so that every node judges a commit by what its author could know.
 *
 *   entry := 01 number(varint) prev[32] hlc(u64 be) kind(u8) body(blob) signature[64]
 *
 * The signature covers everything before it under the label "jipan/member/v1" and the group id; hash of an entry =
 * labelled BLAKE2b-256 of the same bytes. Entry 1 is the genesis; the group id is the first 16 bytes of the hash of the
 * genesis body. Bodies are canonical (varints, blobs) and are listed in docs/PROTOCOL.md section 4. Numbers of
 * stations, nodes and users are dense from 1. Stations never change after their entry; nodes by a change of scope and a
 * revocation only.
 */
enum {
    MEMBER_ENTRY_MAX_BYTES = 1 << 18,
    MEMBER_NAME_MAX_BYTES = 180,
    MEMBER_LOGIN_MAX_BYTES = 32,
    MEMBER_CODE_MAX_BYTES = 16,
    MEMBER_VERIFIER_BYTES = 128, /* crypto_pwhash_str output, NUL-padded */
    MEMBERS_NODES_MAX = 4096,
    MEMBERS_USERS_MAX = 16384,
    MEMBERS_STATIONS_MAX = 1024,
    MEMBERS_ENTRIES_MAX = 1 << 20,
    MEMBERS_GROUP_STATION = 0, /* in key epochs: the group itself; every node but relays is in its scope */
    CLASS_KEYS_PER_EPOCH = CLASS_COUNT, /* one slot per class; PUBLIC: boxes for relays, zero at laptops */
};

enum node_kind { NODE_STATION = 1, NODE_LAPTOP = 2, NODE_HUB = 3, NODE_RELAY = 4, NODE_AUDITOR = 5 };
const char *node_kind_name(enum node_kind k); /* "station" … */
enum node_kind node_kind_parse(struct bytes text); /* 0 if unknown */

enum member_kind {
    MEMBER_GENESIS = 1,
    MEMBER_STATION = 2,
    MEMBER_NODE = 3,
    MEMBER_USER = 4, /* creates or replaces the user of that number */
    MEMBER_KEYS =
        5, /* class keys of one (station, epoch), wrapped to nodes; several entries may add nodes to one epoch */
    MEMBER_REVOKE = 6,
    MEMBER_SCOPE = 7, /* what a node may hold from now on, and whose laptop it is */
};

struct member_station {
    uint32_t number;
    char code[MEMBER_CODE_MAX_BYTES + 1];
    char name[MEMBER_NAME_MAX_BYTES + 1];
    uint64_t since; /* entry number */
};

struct member_node {
    uint32_t number;
    enum node_kind kind;
    uint32_t station;
    uint32_t owner; /* laptops: user number; else 0 */
    bool holds_group; /* scope: every station's dossiers */
    uint32_t scope[16]; /* station numbers beside its own, when not holds_group */
    uint32_t scope_count;
    uint8_t sign_key[32];
    uint8_t box_key[32];
    uint8_t tls_key[32];
    char address[MEMBER_NAME_MAX_BYTES + 1]; /* where it listens, may be empty */
    uint64_t since; /* entry number of enrolment, or of the last change of scope */
    const struct member_node *older; /* as it was before that; NULL: it never changed. Scope and owner only. */
    uint64_t revoked_at; /* entry number, 0 = not */
    uint64_t revoked_hlc;
    char revoke_reason[MEMBER_NAME_MAX_BYTES + 1];
    struct vv cut; /* revoked: last accepted dots of this node */
};

struct member_user {
    uint32_t number;
    char login[MEMBER_LOGIN_MAX_BYTES + 1];
    char name[MEMBER_NAME_MAX_BYTES + 1];
    uint32_t station;
    uint32_t roles;
    bool is_active;
    char verifier[MEMBER_VERIFIER_BYTES]; /* crypto_pwhash_str */
    uint64_t since;
};

/* Class keys of one station and epoch that this node could unwrap. */
struct class_keys {
    uint32_t station;
    uint32_t epoch;
    uint8_t key[CLASS_KEYS_PER_EPOCH][KEY_BYTES];
};

struct members; /* opaque; memory from struct mem */

/* Own identity, needed to unwrap keys; number 0 before enrolment. */
struct node_secrets {
    uint32_t number;
    uint8_t sign_public[32], sign_secret[64];
    uint8_t box_public[32], box_secret[32];
    uint8_t tls_seed[32], tls_public[32];
};

/* Copies self (wiped by members_free). Pointers handed out by the queries stay valid until members_free. */
MUST_USE enum err members_new(struct mem *mem, const struct node_secrets *self, struct members **out);
void members_free(struct members *m);

/**
 * members_append: verify and fold one entry (bytes as received). Accepts only number head+1 whose prev is the head
 * hash. Errors: ERR_GAP out of order ahead; ERR_EXISTS same bytes already there; ERR_CONFLICT another entry with that
 * number or on another past (fork of the authority: keep the first, report), only if its signature is good;
 * ERR_SIGNATURE, ERR_FORMAT, ERR_VERSION (also a kind of entry this build does not know), ERR_LIMIT, ERR_NOMEM;
 * ERR_INVALID well-formed but against the state (unknown station, number or login taken, ...). State unchanged on
 * error. A wrap for this node that does not open is not an error: every node must fold the same log.
 */
MUST_USE enum err members_append(struct members *m, struct bytes entry);
/* Reads every entry of SPACE_MEMBER in order and folds it; m must be fresh. ERR_DAMAGED: the stored chain is broken. */
MUST_USE enum err members_load(struct members *m, struct store *s);
/* Forgets everything but self and loads again; every pointer handed out is void. Unchanged on error. */
MUST_USE enum err members_reload(struct members *m, struct store *s);

const uint8_t *members_group_id(const struct members *m); /* 16 bytes */
const char *members_group_name(const struct members *m);
const uint8_t *members_genesis_hash(const struct members *m); /* 32 bytes: hash of entry 1 */
const uint8_t *members_authority(const struct members *m); /* Ed25519 public key of the authority */
uint64_t members_head(const struct members *m, uint8_t hash[32]); /* number, 0 when empty */
/* Hash (first 16 bytes) of entry `number`, to check a commit's membership head; false if not held. */
bool members_hash16_at(const struct members *m, uint64_t number, uint8_t out[16]);

size_t members_node_count(const struct members *m);
const struct member_node *members_node_at(const struct members *m, size_t index);
const struct member_node *members_node(const struct members *m, uint32_t number);
/* As it was at membership entry `at`: scope and owner. NULL if not yet known then. */
const struct member_node *members_node_as_of(const struct members *m, uint32_t number, uint64_t at);
const struct member_node *members_node_by_tls(const struct members *m, const uint8_t tls_key[32]);
size_t members_station_count(const struct members *m);
const struct member_station *members_station_at(const struct members *m, size_t index);
const struct member_station *members_station(const struct members *m, uint32_t number);
const struct member_station *members_station_by_code(const struct members *m, struct bytes code);
size_t members_user_count(const struct members *m);
const struct member_user *members_user_at(const struct members *m, size_t index); /* newest version of each */
const struct member_user *members_user(const struct members *m, uint32_t number);
const struct member_user *members_user_by_login(const struct members *m, struct bytes login);
/* The version of the user in force at membership entry `at`; NULL if not yet known then. */
const struct member_user *members_user_as_of(const struct members *m, uint32_t number, uint64_t at);

/* Key for sealing now (highest epoch held) / for opening. NULL when not held. */
const struct class_keys *members_current_keys(const struct members *m, uint32_t station);
const struct class_keys *members_keys(const struct members *m, uint32_t station, uint32_t epoch);

/* True if a commit of this dot is accepted: its node existed, and it is not beyond the cut of a revocation. */
bool members_accepts_dot(const struct members *m, struct dot dot);
/* May this node hold dossiers of that station at all (own station, scope, group)? Relays and revoked nodes: false.
 * MEMBERS_GROUP_STATION: every other node. */
bool members_node_in_scope(const struct member_node *n, uint32_t station);
bool members_node_covers(const struct member_node *n, uint32_t station); /* the same, revoked or not */

/* --- making entries (authority only): each writes one complete signed entry, numbered head+1, into out. The caller
 * stores it and then calls members_append. authority_secret: Ed25519 secret key (64 bytes). Errors are those that
 * members_append would give; then out is unchanged. Numbers must be the next free ones (members_next_*), except that a
 * user entry may replace a known user.
 * -------------------------------------------- */
struct member_author {
    const uint8_t *authority_secret;
    uint64_t hlc;
    struct rng *rng;
};
MUST_USE enum err members_make_genesis(
    struct members *m, const struct member_author *by, const char *group_name, struct buf *out);
MUST_USE enum err members_make_station(
    struct members *m, const struct member_author *by, const struct member_station *s, struct buf *out);
MUST_USE enum err members_make_node(
    struct members *m, const struct member_author *by, const struct member_node *n, struct buf *out);
MUST_USE enum err members_make_user(
    struct members *m, const struct member_author *by, const struct member_user *u, struct buf *out);
/* New epoch of a station (or MEMBERS_GROUP_STATION): fresh random keys wrapped to every unrevoked node in scope.
 * ERR_INVALID when there is none. */
MUST_USE enum err members_make_key_epoch(
    struct members *m, const struct member_author *by, uint32_t station, struct buf *out);
/* Gives one node all epochs of one station that this node holds; ERR_NO_KEY when it holds none. */
MUST_USE enum err members_make_key_grant(
    struct members *m, const struct member_author *by, uint32_t station, const struct member_node *to, struct buf *out);
/* n: number, and what it may hold from now on: owner (laptops), holds_group, scope. */
MUST_USE enum err members_make_scope(
    struct members *m, const struct member_author *by, const struct member_node *n, struct buf *out);
MUST_USE enum err members_make_revoke(struct members *m, const struct member_author *by, uint32_t node,
    const struct vv *cut, const char *reason, struct buf *out);

uint32_t members_next_node_number(const struct members *m);
uint32_t members_next_user_number(const struct members *m);
uint32_t members_next_station_number(const struct members *m);

#endif
