/*
 * Owns: entries of the audit log, their chain, and signed heads. Invariants: entry n carries the hash of entry n - 1,
 * so an entry can be neither changed, removed nor slipped in without every later hash changing; an entry holds no
 * value, no search text and no id, only pseudonyms. That the end was cut off shows only against a head that someone
 * else keeps. Does not decide what is audited and does not open transactions.
 */
#include "sync/audit.h"

#include "schema/base/check.h"

static const char HASH_LABEL[] = "jipan/audit/v1";
static const char HEAD_LABEL[] = "jipan/audit-head/v1";
static const char PSEUDONYM_LABEL[] = "jipan/pseudonym/v1";

enum { AUDIT_VERSION = 1, AUDIT_PURPOSE_MAX = 0xFFFF };

static const struct {
    const char *name;
    const char *zh;
    const char *en;
} EVENTS[AUDIT_EVENT_COUNT] = {
    [AUDIT_READ] = { "read", "查看", "read" },
    [AUDIT_SEARCH] = { "search", "查询", "search" },
    [AUDIT_DENIED] = { "denied", "被拒绝", "denied" },
    [AUDIT_EXPORT] = { "export", "导出", "export" },
    [AUDIT_CREATE] = { "create", "新建", "create" },
    [AUDIT_UPDATE] = { "update", "修改", "update" },
    [AUDIT_DELETE] = { "delete", "删除", "delete" },
    [AUDIT_DECIDE] = { "decide", "裁定冲突", "conflict decided" },
    [AUDIT_CONFLICTS] = { "conflicts", "查看冲突", "conflicts viewed" },
    [AUDIT_HISTORY] = { "history", "查看历史", "history viewed" },
    [AUDIT_AUDIT_READ] = { "audit-read", "查看审计记录", "audit log viewed" },
    [AUDIT_LOGIN] = { "login", "登录", "login" },
    [AUDIT_LOGIN_FAILED] = { "login-failed", "登录失败", "login failed" },
    [AUDIT_MEMBER] = { "member", "成员变更", "membership changed" },
    [AUDIT_IMPORT] = { "import", "导入", "import" },
    [AUDIT_DUMP] = { "dump", "全量输出", "dump" },
    [AUDIT_SYNC_RELEASE] = { "sync-release", "同步给其他节点", "released to a peer" },
    [AUDIT_STORE_OPENED] = { "store-opened", "打开数据库", "store opened" },
    [AUDIT_FORK] = { "fork", "发现节点分叉", "fork of a node seen" },
};

static bool event_is_known(unsigned e)
{
    return e >= AUDIT_READ && e < AUDIT_EVENT_COUNT;
}

const char *audit_event_name(enum audit_event e)
{
    check(event_is_known((unsigned)e));
    return EVENTS[e].name;
}

const char *audit_event_zh(enum audit_event e)
{
    check(event_is_known((unsigned)e));
    return EVENTS[e].zh;
}

const char *audit_event_en(enum audit_event e)
{
    check(event_is_known((unsigned)e));
    return EVENTS[e].en;
}

static void entry_hash(const struct audit *au, struct bytes entry, uint8_t out[32])
{
    const struct bytes pieces[2] = { bytes_of(au->group_id, GROUP_ID_BYTES), entry };
    seal_hash(out, 32, HASH_LABEL, NULL, pieces, 2);
}

static void entry_key(uint64_t number, uint8_t out[8])
{
    for (size_t i = 0; i < 8; i++) {
        out[i] = (uint8_t)(number >> (8 * (7 - i)));
    }
}

static void entry_put(struct buf *b, const struct audit_entry *e, const uint8_t prev[32])
{
    buf_put_u8(b, AUDIT_VERSION);
    buf_put_varint(b, e->number);
    buf_put(b, prev, 32);
    buf_put_u64be(b, e->hlc);
    buf_put_u8(b, (uint8_t)e->event);
    buf_put_varint(b, e->user);
    buf_put_varint(b, e->roles);
    buf_put_u8(b, (uint8_t)e->role);
    buf_put_varint(b, (uint64_t)e->purpose);
    buf_put_varint(b, e->entity);
    buf_put(b, e->subject, sizeof(e->subject));
    buf_put(b, e->record, sizeof(e->record));
    buf_put_varint(b, e->field_count);
    for (uint32_t i = 0; i < e->field_count; i++) {
        buf_put_varint(b, e->fields[i]);
    }
    buf_put_u8(b, e->view);
    buf_put_u8(b, (uint8_t)e->result);
    buf_put_varint(b, e->count);
    buf_put_varint(b, e->peer);
}

static enum err take_u32(struct reader *r, uint32_t max, uint32_t *out)
{
    uint64_t v = 0;
    enum err e = reader_varint_max(r, max, &v);
    if (e == ERR_OK) {
        *out = (uint32_t)v;
    }
    return e;
}

/* One byte of an enum whose largest number is max. */
static enum err take_small(struct reader *r, unsigned max, uint8_t *out)
{
    struct reader probe = *r;
    uint8_t v = 0;
    enum err e = reader_u8(&probe, &v);
    if (e == ERR_OK && v > max) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        *r = probe;
        *out = v;
    }
    return e;
}

static enum err take_who(struct reader *r, struct audit_entry *out)
{
    uint8_t event = 0;
    uint8_t role = 0;
    uint32_t purpose = 0;
    enum err e = take_small(r, AUDIT_EVENT_COUNT - 1, &event);
    if (e == ERR_OK && !event_is_known(event)) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        e = take_u32(r, UINT32_MAX, &out->user);
    }
    if (e == ERR_OK) {
        e = take_u32(r, UINT32_MAX, &out->roles);
    }
    if (e == ERR_OK) {
        e = take_small(r, ROLE_COUNT - 1, &role);
    }
    if (e == ERR_OK) {
        e = take_u32(r, AUDIT_PURPOSE_MAX, &purpose);
    }
    out->event = (enum audit_event)event;
    out->role = (enum role)role;
    out->purpose = (enum purpose)purpose;
    return e;
}

static enum err take_what(struct reader *r, struct audit_entry *out)
{
    enum err e = take_u32(r, UINT32_MAX, &out->entity);
    if (e == ERR_OK) {
        e = reader_copy(r, out->subject, sizeof(out->subject));
    }
    if (e == ERR_OK) {
        e = reader_copy(r, out->record, sizeof(out->record));
    }
    if (e == ERR_OK) {
        e = take_u32(r, AUDIT_FIELDS_MAX, &out->field_count);
    }
    for (uint32_t i = 0; e == ERR_OK && i < out->field_count; i++) {
        e = take_u32(r, UINT32_MAX, &out->fields[i]);
    }
    return e;
}

static enum err take_outcome(struct reader *r, struct audit_entry *out)
{
    uint8_t result = 0;
    enum err e = take_small(r, VIEW_CLEAR, &out->view);
    if (e == ERR_OK) {
        e = take_small(r, ERR_COUNT - 1, &result);
    }
    if (e == ERR_OK) {
        e = reader_varint(r, &out->count);
    }
    if (e == ERR_OK) {
        e = take_u32(r, UINT32_MAX, &out->peer);
    }
    out->result = (enum err)result;
    return e;
}

enum err audit_decode(struct bytes bytes, struct audit_entry *out, uint8_t prev[32])
{
    struct audit_entry entry = { 0 };
    struct reader r = reader_of(bytes);
    uint8_t before[32];
    uint8_t version = 0;
    enum err e = reader_u8(&r, &version);
    if (e == ERR_OK && version != AUDIT_VERSION) {
        e = ERR_VERSION;
    }
    if (e == ERR_OK) {
        e = reader_varint(&r, &entry.number);
    }
    if (e == ERR_OK) {
        e = reader_copy(&r, before, sizeof(before));
    }
    if (e == ERR_OK) {
        e = reader_u64be(&r, &entry.hlc);
    }
    if (e == ERR_OK) {
        e = take_who(&r, &entry);
    }
    if (e == ERR_OK) {
        e = take_what(&r, &entry);
    }
    if (e == ERR_OK) {
        e = take_outcome(&r, &entry);
    }
    if (e == ERR_OK && (r.left != 0 || entry.number == 0)) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        memcpy(prev, before, sizeof(before));
        *out = entry;
    }
    return e;
}

/* A scan that stops at its first entry. */
struct newest {
    const struct audit *au;
    bool is_found;
    uint64_t number;
    uint8_t hash[32];
};

static enum err take_newest(void *ctx, struct bytes key, struct bytes value)
{
    struct newest *n = ctx;
    struct audit_entry entry;
    uint8_t want[8];
    uint8_t prev[32];
    if (audit_decode(value, &entry, prev) != ERR_OK) {
        return ERR_DAMAGED;
    }
    entry_key(entry.number, want);
    if (!bytes_equal(key, BYTES_OF(want))) {
        return ERR_DAMAGED;
    }
    n->number = entry.number;
    entry_hash(n->au, value, n->hash);
    n->is_found = true;
    return ERR_EXISTS; /* enough */
}

enum err audit_reload(struct audit *au, struct arena *a)
{
    const struct bytes all = { 0 };
    struct newest n = { .au = au };
    (void)a;
    enum err e = au->store->ops->scan(au->store, SPACE_AUDIT, all, all, true, take_newest, &n);
    if (e != ERR_OK && !(e == ERR_EXISTS && n.is_found)) {
        return e;
    }
    au->count = n.number;
    memcpy(au->head, n.hash, sizeof(au->head));
    return ERR_OK;
}

enum err audit_open(struct audit *au, struct store *s, const uint8_t group_id[GROUP_ID_BYTES],
    const uint8_t pseudonym_key[KEY_BYTES], struct arena *a)
{
    struct audit fresh = { .store = s, .group_id = group_id };
    enum err e = audit_reload(&fresh, a);
    if (e == ERR_OK) {
        memcpy(fresh.pseudonym_key, pseudonym_key, sizeof(fresh.pseudonym_key));
        *au = fresh;
    }
    return e;
}

void audit_pseudonym(const struct audit *au, struct bytes id, uint8_t out[16])
{
    seal_hash(out, 16, PSEUDONYM_LABEL, au->pseudonym_key, &id, 1);
}

enum err audit_append(struct audit *au, struct arena *a, struct audit_entry *entry)
{
    struct buf b;
    uint8_t key[8];
    check(event_is_known((unsigned)entry->event));
    check(entry->field_count <= AUDIT_FIELDS_MAX);
    check((unsigned)entry->purpose <= AUDIT_PURPOSE_MAX);
    struct audit_entry numbered = *entry;
    numbered.number = au->count + 1;
    entry_key(numbered.number, key);
    buf_init(&b, a->mem, AUDIT_ENTRY_MAX_BYTES);
    entry_put(&b, &numbered, au->head);
    enum err e = b.err;
    if (e == ERR_OK) {
        e = au->store->ops->put(au->store, SPACE_AUDIT, BYTES_OF(key), buf_view(&b));
    }
    if (e == ERR_OK) {
        entry_hash(au, buf_view(&b), au->head);
        au->count = numbered.number;
        entry->number = numbered.number;
    }
    buf_release(&b);
    return e;
}

enum { HEAD_SIGNED_BYTES = 4 + 4 + 8 + 32 };

static void head_signed_bytes(const struct audit_head *h, uint8_t out[HEAD_SIGNED_BYTES])
{
    uint8_t number[8];
    entry_key(h->node, number);
    memcpy(out, number + 4, 4);
    entry_key(h->epoch, number);
    memcpy(out + 4, number + 4, 4);
    entry_key(h->count, out + 8);
    memcpy(out + 16, h->hash, sizeof(h->hash));
}

void audit_sign_head(const struct audit *au, uint32_t node, uint32_t epoch,
    const uint8_t sign_secret[SIGN_SECRET_BYTES], struct audit_head *out)
{
    uint8_t message[HEAD_SIGNED_BYTES];
    struct audit_head h = { .node = node, .epoch = epoch, .count = au->count };
    memcpy(h.hash, au->head, sizeof(h.hash));
    head_signed_bytes(&h, message);
    seal_sign(HEAD_LABEL, au->group_id, BYTES_OF(message), sign_secret, h.signature);
    *out = h;
}

enum err audit_check_head(
    const uint8_t group_id[GROUP_ID_BYTES], const struct audit_head *h, const uint8_t signer[SIGN_PUBLIC_BYTES])
{
    uint8_t message[HEAD_SIGNED_BYTES];
    head_signed_bytes(h, message);
    return seal_verify(HEAD_LABEL, group_id, BYTES_OF(message), h->signature, signer);
}

void audit_head_put(struct buf *b, const struct audit_head *h)
{
    buf_put_varint(b, h->node);
    buf_put_varint(b, h->epoch);
    buf_put_varint(b, h->count);
    buf_put(b, h->hash, sizeof(h->hash));
    buf_put(b, h->signature, sizeof(h->signature));
}

enum err audit_head_take(struct reader *r, struct audit_head *out)
{
    struct reader probe = *r;
    struct audit_head h = { 0 };
    enum err e = take_u32(&probe, UINT32_MAX, &h.node);
    if (e == ERR_OK) {
        e = take_u32(&probe, UINT32_MAX, &h.epoch);
    }
    if (e == ERR_OK) {
        e = reader_varint(&probe, &h.count);
    }
    if (e == ERR_OK) {
        e = reader_copy(&probe, h.hash, sizeof(h.hash));
    }
    if (e == ERR_OK) {
        e = reader_copy(&probe, h.signature, sizeof(h.signature));
    }
    if (e == ERR_OK) {
        *r = probe;
        *out = h;
    }
    return e;
}

struct verifying {
    const struct audit *au;
    const struct audit_head *witness;
    uint64_t count;
    uint8_t hash[32];
};

static enum err verify_entry(void *ctx, struct bytes key, struct bytes value)
{
    struct verifying *v = ctx;
    struct audit_entry entry;
    uint8_t want[8];
    uint8_t prev[32];
    entry_key(v->count + 1, want);
    if (!bytes_equal(key, BYTES_OF(want)) || audit_decode(value, &entry, prev) != ERR_OK ||
        entry.number != v->count + 1 || memcmp(prev, v->hash, sizeof(prev)) != 0) {
        return ERR_DAMAGED;
    }
    uint8_t hash[32];
    entry_hash(v->au, value, hash);
    if (v->witness != NULL && v->witness->count == entry.number && memcmp(v->witness->hash, hash, sizeof(hash)) != 0) {
        return ERR_DAMAGED;
    }
    if (v->au->count == entry.number && memcmp(v->au->head, hash, sizeof(hash)) != 0) {
        return ERR_DAMAGED;
    }
    memcpy(v->hash, hash, sizeof(hash));
    v->count++;
    return ERR_OK;
}

enum err audit_verify(const struct audit *au, struct arena *a, const struct audit_head *witness, uint64_t *first_bad)
{
    const struct bytes all = { 0 };
    struct verifying v = { .au = au, .witness = witness };
    (void)a;
    enum err e = au->store->ops->scan(au->store, SPACE_AUDIT, all, all, false, verify_entry, &v);
    if (e == ERR_OK && (v.count < au->count || (witness != NULL && v.count < witness->count))) {
        e = ERR_DAMAGED;
    }
    if (e == ERR_OK) {
        *first_bad = 0;
    } else if (e == ERR_DAMAGED) {
        *first_bad = v.count + 1;
    }
    return e;
}
