#ifndef JIPAN_WIRE_H
#define JIPAN_WIRE_H

#include "schema/base/buf.h"

/*
 * Session messages as plain structs, and the only translation from and to protobuf. Decoding allocates from the arena
 * only, so a hostile message costs at most the arena's budget. Byte views of a decoded message live in the arena.
 */
enum {
    WIRE_VERSION = 1,
    WIRE_VERSION_MIN = 1,
    WIRE_IGNORABLE_FROM = 64,
    WIRE_MESSAGE_MAX_BYTES = 1 << 20,
    WIRE_LIST_MAX = 8192,
    WIRE_ARENA_BYTES = 8 << 20
};

enum wire_kind {
    WIRE_HELLO = 1,
    WIRE_MEMBERS,
    WIRE_COMMITS,
    WIRE_ACK,
    WIRE_PROBE,
    WIRE_PROBE_REPLY,
    WIRE_REFUSAL,
    WIRE_JOIN_REQUEST,
    WIRE_JOIN_REPLY,
    WIRE_RANGES,
    WIRE_RECEIPTS, /* entries */
    WIRE_FORKS,
    WIRE_KIND_COUNT,
};

struct wire_hello {
    uint32_t version_min, version_max;
    struct bytes group;
    uint32_t node;
    uint32_t epoch;
    uint64_t member_number;
    struct bytes member_hash;
    struct bytes settled;
    struct bytes audit_head;
};

struct wire_item {
    struct bytes commit;
    struct bytes secrets;
    struct bytes boxes;
    struct bytes letter;
    uint32_t node;
    uint32_t epoch;
    uint64_t upto;
};

struct wire_message {
    enum wire_kind kind;
    struct wire_hello hello;
    const struct bytes *entries; /* MEMBERS, JOIN_REPLY, FORKS */
    const struct wire_item *items;
    size_t count; /* of entries or items */
    uint32_t messages; /* ACK */
    uint64_t id; /* PROBE, PROBE_REPLY */
    struct bytes settled; /* PROBE_REPLY */
    uint32_t error; /* REFUSAL, JOIN_REPLY */
    uint32_t node; /* JOIN_REPLY */
    bool more;
    struct bytes ranges; /* RANGES */
    struct bytes claims; /* FORKS */
    struct bytes invite, proof, sign_key, box_key, address; /* JOIN_REQUEST */
};

/* Appends the encoded message; b->err tells. Needs scratch memory from the arena for the lists. */
void wire_put(struct buf *b, struct arena *a, const struct wire_message *m);

/* Errors: ERR_LIMIT too long or too many list members; ERR_FORMAT; ERR_NOMEM over the arena's budget; ERR_UNKNOWN_KIND
 * no body that this build knows. Field lengths that have one right size are checked here. */
MUST_USE enum err wire_take(struct bytes message, struct arena *a, struct wire_message *out);

/* Whether a message without a known body may be passed over: all its fields are numbered WIRE_IGNORABLE_FROM or higher,
 * which is how a newer version marks what an older one can do without. */
bool wire_is_ignorable(struct bytes message);

#endif
