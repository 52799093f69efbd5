/*
 * Owns: protobuf in and out; the only file that sees generated code. Invariant: what leaves wire_take has the right
 * sizes and at most WIRE_LIST_MAX list members. protobuf-c neither limits memory nor checks text, so the arena is the
 * memory limit, a pre-scan counts list members before anything is built, and no field is a protobuf string.
 */
#include "schema/wire.h"

#include "schema/base/check.h"
#include "schema/base/reader.h"

#include "wire.pb-c.h"

static ProtobufCBinaryData to_pb(struct bytes v)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } cast = { .in = v.ptr };
    return (ProtobufCBinaryData){ .len = v.len, .data = cast.out };
}

static struct bytes from_pb(ProtobufCBinaryData v)
{
    return bytes_of(v.data, v.len);
}

static void pack(struct buf *b, const Jipan__Message *m)
{
    size_t len = jipan__message__get_packed_size(m);
    uint8_t *p = buf_reserve(b, len);
    if (p != NULL) {
        (void)jipan__message__pack(m, p);
    }
}

static void put_hello(struct buf *b, const struct wire_hello *h)
{
    Jipan__Message m = JIPAN__MESSAGE__INIT;
    Jipan__Hello hello = JIPAN__HELLO__INIT;
    hello.version_min = h->version_min;
    hello.version_max = h->version_max;
    hello.group = to_pb(h->group);
    hello.node = h->node;
    hello.epoch = h->epoch;
    hello.member_number = h->member_number;
    hello.member_hash = to_pb(h->member_hash);
    hello.settled = to_pb(h->settled);
    hello.audit_head = to_pb(h->audit_head);
    m.body_case = JIPAN__MESSAGE__BODY_HELLO;
    m.hello = &hello;
    pack(b, &m);
}

static ProtobufCBinaryData *pb_list(struct arena *a, const struct bytes *entries, size_t count)
{
    ProtobufCBinaryData *list = arena_array(a, count + 1, sizeof(*list));
    for (size_t i = 0; list != NULL && i < count; i++) {
        list[i] = to_pb(entries[i]);
    }
    return list;
}

static void put_entries(struct buf *b, struct arena *a, const struct wire_message *in)
{
    Jipan__Message m = JIPAN__MESSAGE__INIT;
    Jipan__Members members = JIPAN__MEMBERS__INIT;
    Jipan__JoinReply reply = JIPAN__JOIN_REPLY__INIT;
    Jipan__Receipts receipts = JIPAN__RECEIPTS__INIT;
    Jipan__Forks forks = JIPAN__FORKS__INIT;
    ProtobufCBinaryData *list = pb_list(a, in->entries, in->count);
    if (list == NULL) {
        b->err = ERR_NOMEM;
        return;
    }
    if (in->kind == WIRE_MEMBERS) {
        members.n_entries = in->count;
        members.entries = list;
        m.body_case = JIPAN__MESSAGE__BODY_MEMBERS;
        m.members = &members;
    } else if (in->kind == WIRE_RECEIPTS) {
        receipts.n_receipts = in->count;
        receipts.receipts = list;
        m.body_case = JIPAN__MESSAGE__BODY_RECEIPTS;
        m.receipts = &receipts;
    } else if (in->kind == WIRE_FORKS) {
        forks.n_entries = in->count;
        forks.entries = list;
        forks.claims = to_pb(in->claims);
        m.body_case = JIPAN__MESSAGE__BODY_FORKS;
        m.forks = &forks;
    } else {
        reply.error = in->error;
        reply.node = in->node;
        reply.more = in->more;
        reply.n_entries = in->count;
        reply.entries = list;
        m.body_case = JIPAN__MESSAGE__BODY_JOIN_REPLY;
        m.join_reply = &reply;
    }
    pack(b, &m);
}

static void put_commits(struct buf *b, struct arena *a, const struct wire_message *in)
{
    Jipan__Message m = JIPAN__MESSAGE__INIT;
    Jipan__Commits commits = JIPAN__COMMITS__INIT;
    Jipan__Item *items = arena_array(a, in->count + 1, sizeof(*items));
    Jipan__Item **list = arena_array(a, in->count + 1, sizeof(Jipan__Item *));
    if (items == NULL || list == NULL) {
        b->err = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < in->count; i++) {
        jipan__item__init(&items[i]);
        items[i].commit = to_pb(in->items[i].commit);
        items[i].secrets = to_pb(in->items[i].secrets);
        items[i].boxes = to_pb(in->items[i].boxes);
        items[i].letter = to_pb(in->items[i].letter);
        items[i].node = in->items[i].node;
        items[i].epoch = in->items[i].epoch;
        items[i].upto = in->items[i].upto;
        list[i] = &items[i];
    }
    commits.n_items = in->count;
    commits.items = list;
    m.body_case = JIPAN__MESSAGE__BODY_COMMITS;
    m.commits = &commits;
    pack(b, &m);
}

static void put_join_request(struct buf *b, const struct wire_message *in)
{
    Jipan__Message m = JIPAN__MESSAGE__INIT;
    Jipan__JoinRequest request = JIPAN__JOIN_REQUEST__INIT;
    request.invite = to_pb(in->invite);
    request.proof = to_pb(in->proof);
    request.sign_key = to_pb(in->sign_key);
    request.box_key = to_pb(in->box_key);
    request.address = to_pb(in->address);
    m.body_case = JIPAN__MESSAGE__BODY_JOIN_REQUEST;
    m.join_request = &request;
    pack(b, &m);
}

static void put_small(struct buf *b, const struct wire_message *in)
{
    Jipan__Message m = JIPAN__MESSAGE__INIT;
    Jipan__Ack ack = JIPAN__ACK__INIT;
    Jipan__Probe probe = JIPAN__PROBE__INIT;
    Jipan__ProbeReply reply = JIPAN__PROBE_REPLY__INIT;
    Jipan__Refusal refusal = JIPAN__REFUSAL__INIT;
    Jipan__Ranges ranges = JIPAN__RANGES__INIT;
    if (in->kind == WIRE_ACK) {
        ack.messages = in->messages;
        m.body_case = JIPAN__MESSAGE__BODY_ACK;
        m.ack = &ack;
    } else if (in->kind == WIRE_PROBE) {
        probe.id = in->id;
        m.body_case = JIPAN__MESSAGE__BODY_PROBE;
        m.probe = &probe;
    } else if (in->kind == WIRE_PROBE_REPLY) {
        reply.id = in->id;
        reply.settled = to_pb(in->settled);
        m.body_case = JIPAN__MESSAGE__BODY_PROBE_REPLY;
        m.probe_reply = &reply;
    } else if (in->kind == WIRE_RANGES) {
        ranges.ranges = to_pb(in->ranges);
        m.body_case = JIPAN__MESSAGE__BODY_RANGES;
        m.ranges = &ranges;
    } else {
        refusal.error = in->error;
        m.body_case = JIPAN__MESSAGE__BODY_REFUSAL;
        m.refusal = &refusal;
    }
    pack(b, &m);
}

void wire_put(struct buf *b, struct arena *a, const struct wire_message *m)
{
    switch (m->kind) {
    case WIRE_HELLO:
        put_hello(b, &m->hello);
        return;
    case WIRE_MEMBERS:
    case WIRE_JOIN_REPLY:
    case WIRE_RECEIPTS:
    case WIRE_FORKS:
        put_entries(b, a, m);
        return;
    case WIRE_COMMITS:
        put_commits(b, a, m);
        return;
    case WIRE_JOIN_REQUEST:
        put_join_request(b, m);
        return;
    case WIRE_ACK:
    case WIRE_PROBE:
    case WIRE_PROBE_REPLY:
    case WIRE_REFUSAL:
    case WIRE_RANGES:
        put_small(b, m);
        return;
    case WIRE_KIND_COUNT:
        break;
    }
    check(false);
}

struct pb_memory {
    struct arena *a;
    bool is_short;
};

static void *pb_alloc(void *ctx, size_t bytes)
{
    struct pb_memory *m = ctx;
    void *p = arena_alloc(m->a, bytes);
    m->is_short = m->is_short || p == NULL;
    return p;
}

static void pb_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

/* Of a body that protobuf-c will build. */
static bool is_known_number(uint64_t number)
{
    return number < WIRE_IGNORABLE_FROM || number == JIPAN__MESSAGE__BODY_RECEIPTS;
}

/* Counts length-delimited fields on the two outer levels before protobuf-c builds anything. */
static enum err pre_scan(struct bytes message, unsigned depth, size_t *lists)
{
    struct reader r = reader_of(message);
    while (r.left > 0) {
        uint64_t tag = 0;
        uint64_t number = 0;
        struct bytes inner = { 0 };
        enum err e = reader_varint_max(&r, UINT32_MAX, &tag);
        if (e == ERR_OK && (tag & 7) == 0) {
            e = reader_varint(&r, &number);
        } else if (e == ERR_OK && (tag & 7) == 2) {
            e = reader_blob(&r, WIRE_MESSAGE_MAX_BYTES, &inner);
            (*lists)++;
        } else if (e == ERR_OK) {
            e = ERR_FORMAT;
        }
        if (e == ERR_OK && *lists > 4 * (size_t)WIRE_LIST_MAX) {
            e = ERR_LIMIT;
        }
        if (e == ERR_OK && depth == 0 && (tag & 7) == 2 && is_known_number(tag >> 3)) {
            e = pre_scan(inner, 1, lists);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

static bool sized(struct bytes v, size_t len)
{
    return v.len == len;
}

static enum err take_hello(const Jipan__Hello *in, struct wire_hello *h)
{
    *h = (struct wire_hello){ .version_min = in->version_min,
        .version_max = in->version_max,
        .group = from_pb(in->group),
        .node = in->node,
        .epoch = in->epoch,
        .member_number = in->member_number,
        .member_hash = from_pb(in->member_hash),
        .settled = from_pb(in->settled),
        .audit_head = from_pb(in->audit_head) };
    return sized(h->group, 16) && sized(h->member_hash, 32) ? ERR_OK : ERR_FORMAT;
}

static enum err take_list(struct arena *a, const ProtobufCBinaryData *entries, size_t count, struct wire_message *out)
{
    struct bytes *list = arena_array(a, count + 1, sizeof(*list));
    if (list == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = from_pb(entries[i]);
    }
    out->entries = list;
    out->count = count;
    return ERR_OK;
}

static enum err take_items(struct arena *a, const Jipan__Commits *in, struct wire_message *out)
{
    struct wire_item *items = arena_array(a, in->n_items + 1, sizeof(*items));
    if (items == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < in->n_items; i++) {
        const Jipan__Item *item = in->items[i];
        items[i] = (struct wire_item){ .commit = from_pb(item->commit),
            .secrets = from_pb(item->secrets),
            .boxes = from_pb(item->boxes),
            .letter = from_pb(item->letter),
            .node = item->node,
            .epoch = item->epoch,
            .upto = item->upto };
    }
    out->items = items;
    out->count = in->n_items;
    return ERR_OK;
}

static enum err take_join_request(const Jipan__JoinRequest *in, struct wire_message *out)
{
    out->invite = from_pb(in->invite);
    out->proof = from_pb(in->proof);
    out->sign_key = from_pb(in->sign_key);
    out->box_key = from_pb(in->box_key);
    out->address = from_pb(in->address);
    return sized(out->invite, 8) && sized(out->proof, 32) && sized(out->sign_key, 32) && sized(out->box_key, 32)
               ? ERR_OK
               : ERR_FORMAT;
}

static enum err take_body(const Jipan__Message *m, struct arena *a, struct wire_message *out)
{
    switch (m->body_case) {
    case JIPAN__MESSAGE__BODY_HELLO:
        out->kind = WIRE_HELLO;
        return take_hello(m->hello, &out->hello);
    case JIPAN__MESSAGE__BODY_MEMBERS:
        out->kind = WIRE_MEMBERS;
        return take_list(a, m->members->entries, m->members->n_entries, out);
    case JIPAN__MESSAGE__BODY_RECEIPTS:
        out->kind = WIRE_RECEIPTS;
        return take_list(a, m->receipts->receipts, m->receipts->n_receipts, out);
    case JIPAN__MESSAGE__BODY_COMMITS:
        out->kind = WIRE_COMMITS;
        return take_items(a, m->commits, out);
    case JIPAN__MESSAGE__BODY_ACK:
        out->kind = WIRE_ACK;
        out->messages = m->ack->messages;
        return ERR_OK;
    case JIPAN__MESSAGE__BODY_PROBE:
        out->kind = WIRE_PROBE;
        out->id = m->probe->id;
        return ERR_OK;
    case JIPAN__MESSAGE__BODY_PROBE_REPLY:
        out->kind = WIRE_PROBE_REPLY;
        out->id = m->probe_reply->id;
        out->settled = from_pb(m->probe_reply->settled);
        return ERR_OK;
    case JIPAN__MESSAGE__BODY_REFUSAL:
        out->kind = WIRE_REFUSAL;
        out->error = m->refusal->error;
        return ERR_OK;
    case JIPAN__MESSAGE__BODY_JOIN_REQUEST:
        out->kind = WIRE_JOIN_REQUEST;
        return take_join_request(m->join_request, out);
    case JIPAN__MESSAGE__BODY_JOIN_REPLY:
        out->kind = WIRE_JOIN_REPLY;
        out->error = m->join_reply->error;
        out->node = m->join_reply->node;
        out->more = m->join_reply->more != 0;
        return take_list(a, m->join_reply->entries, m->join_reply->n_entries, out);
    case JIPAN__MESSAGE__BODY_RANGES:
        out->kind = WIRE_RANGES;
        out->ranges = from_pb(m->ranges->ranges);
        return ERR_OK;
    case JIPAN__MESSAGE__BODY_FORKS:
        out->kind = WIRE_FORKS;
        out->claims = from_pb(m->forks->claims);
        return take_list(a, m->forks->entries, m->forks->n_entries, out);
    case JIPAN__MESSAGE__BODY__NOT_SET:
    case _JIPAN__MESSAGE__BODY__CASE_IS_INT_SIZE:
        break;
    }
    return ERR_UNKNOWN_KIND;
}

enum err wire_take(struct bytes message, struct arena *a, struct wire_message *out)
{
    struct pb_memory memory = { .a = a };
    ProtobufCAllocator allocator = { .alloc = pb_alloc, .free = pb_free, .allocator_data = &memory };
    size_t lists = 0;
    if (message.len > WIRE_MESSAGE_MAX_BYTES) {
        return ERR_LIMIT;
    }
    enum err e = pre_scan(message, 0, &lists);
    if (e != ERR_OK) {
        return e;
    }
    const Jipan__Message *m = jipan__message__unpack(&allocator, message.len, message.ptr);
    if (m == NULL) {
        return memory.is_short ? ERR_NOMEM : ERR_FORMAT;
    }
    struct wire_message got = { .kind = WIRE_KIND_COUNT };
    e = take_body(m, a, &got);
    if (e == ERR_OK) {
        *out = got;
    }
    return e;
}

bool wire_is_ignorable(struct bytes message)
{
    struct reader r = reader_of(message);
    bool any = false;
    while (r.left > 0) {
        uint64_t tag = 0;
        uint64_t number = 0;
        struct bytes inner = { 0 };
        enum err e = reader_varint_max(&r, UINT32_MAX, &tag);
        if (e == ERR_OK) {
            e = (tag & 7) == 2   ? reader_blob(&r, WIRE_MESSAGE_MAX_BYTES, &inner)
                : (tag & 7) == 0 ? reader_varint(&r, &number)
                                 : ERR_FORMAT;
        }
        if (e != ERR_OK || tag >> 3 < WIRE_IGNORABLE_FROM) {
            return false;
        }
        any = true;
    }
    return any;
}
