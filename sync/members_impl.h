#ifndef JIPAN_MEMBERS_IMPL_H
#define JIPAN_MEMBERS_IMPL_H

#include "sync/member_entry.h"

#define MEMBER_ENTRY_LABEL "jipan/member/v1"

/*
 * The inside of struct members, shared by members.c (queries), members_fold.c (folding) and members_make.c (making).
 * Every station, node, user version and key set is its own allocation that lives until members_free, so pointers handed
 * out stay valid while the log grows.
 */
struct ptr_list {
    void **at;
    size_t count;
    size_t capacity;
};

/* Ordered by the bytes key_of gives; the keys of two items always differ. */
typedef struct bytes (*key_of_fn)(const void *item);

struct key_index {
    struct ptr_list list;
    key_of_fn key_of;
};

struct user_version {
    struct member_user user;
    struct user_version *older;
};

struct held_keys {
    struct class_keys keys;
    struct held_keys *next; /* only while a plan owns it */
};

struct members {
    struct mem *mem;
    struct node_secrets self;
    struct member_genesis genesis;
    uint8_t group_id[GROUP_ID_BYTES];
    uint8_t (*hashes)[MEMBER_HASH_BYTES]; /* of entry i + 1 */
    size_t entry_count;
    size_t hash_capacity;
    struct ptr_list stations; /* struct member_station, number - 1 */
    struct ptr_list nodes; /* struct member_node, number - 1 */
    struct ptr_list users; /* newest struct user_version, number - 1 */
    struct ptr_list keys; /* struct held_keys by (station, epoch) */
    uint32_t *epochs; /* newest epoch of station i; 0 is the group itself; MEMBERS_STATIONS_MAX + 1 entries */
    struct key_index by_code;
    struct key_index by_login;
    struct key_index by_tls;
    struct key_index by_sign;
    struct key_index by_box;
};

/* First position whose key is not before `key`. */
size_t members_index_lower(const struct key_index *x, struct bytes key);
void *members_index_find(const struct key_index *x, struct bytes key);

/* Position of the first held key set not before (station, epoch). */
size_t members_keys_lower(const struct members *m, uint32_t station, uint32_t epoch);

void members_entry_hash(
    const uint8_t group_id[GROUP_ID_BYTES], struct bytes signed_bytes, uint8_t out[MEMBER_HASH_BYTES]);
void members_group_id_of(struct bytes genesis_body, uint8_t out[GROUP_ID_BYTES]);

/* Everything members_append would check, without folding. */
MUST_USE enum err members_check(struct members *m, struct bytes entry);

#endif
