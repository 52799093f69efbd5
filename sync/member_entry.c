/*
 * Owns: the byte layout of membership entries, both ways. Invariant: an accepted body has exactly one encoding; lists
 * are strictly ascending; text is clean UTF-8 that fits its array with the closing NUL. Knows neither signatures nor
 * the state of the group.
 */
#include "sync/member_entry.h"

#include "schema/base/utf8.h"

static enum err take_u32(struct reader *r, uint32_t max, uint32_t *out)
{
    uint64_t v = 0;
    enum err e = reader_varint_max(r, max, &v);
    if (e == ERR_OK) {
        *out = (uint32_t)v;
    }
    return e;
}

static enum err take_bool(struct reader *r, bool *out)
{
    uint8_t v = 0;
    enum err e = reader_u8(r, &v);
    if (e == ERR_OK && v > 1) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        *out = v == 1;
    }
    return e;
}

/* Controls would garble terminals and logs; bidirectional overrides would let one name pass for another. */
static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

static bool text_is_clean(struct bytes text)
{
    uint32_t c = 0;
    while (utf8_next(&text, &c)) {
        if (is_control(c)) {
            return false;
        }
    }
    return text.len == 0;
}

enum text_need { TEXT_MAY_BE_EMPTY, TEXT_REQUIRED };

static enum err take_text(struct reader *r, size_t max, enum text_need need, char *out)
{
    struct bytes text = { 0 };
    enum err e = reader_blob(r, max, &text);
    if (e != ERR_OK) {
        return e;
    }
    if ((text.len == 0 && need == TEXT_REQUIRED) || !text_is_clean(text)) {
        return ERR_FORMAT;
    }
    if (text.len > 0) {
        memcpy(out, text.ptr, text.len);
    }
    out[text.len] = '\0';
    return ERR_OK;
}

static void put_text(struct buf *b, const char *text)
{
    buf_put_blob(b, bytes_str(text));
}

static enum err at_end(const struct reader *r)
{
    return r->left == 0 ? ERR_OK : ERR_FORMAT;
}

void member_entry_put(struct buf *b, const struct member_entry *e)
{
    buf_put_u8(b, MEMBER_ENTRY_VERSION);
    buf_put_varint(b, e->number);
    buf_put(b, e->prev, sizeof(e->prev));
    buf_put_u64be(b, e->hlc);
    buf_put_u8(b, e->kind);
    buf_put_blob(b, e->body);
}

enum err member_entry_parse(struct bytes all, struct member_entry *out)
{
    if (all.len > MEMBER_ENTRY_MAX_BYTES) {
        return ERR_LIMIT;
    }
    struct member_entry m = { 0 };
    struct reader r = reader_of(all);
    struct bytes signature = { 0 };
    uint8_t version = 0;
    enum err e = reader_u8(&r, &version);
    if (e != ERR_OK) {
        return e;
    }
    if (version != MEMBER_ENTRY_VERSION) {
        return ERR_VERSION;
    }
    if ((e = reader_varint(&r, &m.number)) != ERR_OK || (e = reader_copy(&r, m.prev, sizeof(m.prev))) != ERR_OK ||
        (e = reader_u64be(&r, &m.hlc)) != ERR_OK || (e = reader_u8(&r, &m.kind)) != ERR_OK ||
        (e = reader_blob(&r, MEMBER_ENTRY_MAX_BYTES, &m.body)) != ERR_OK) {
        return e;
    }
    m.signed_bytes = bytes_of(all.ptr, all.len - r.left);
    e = reader_take(&r, MEMBER_SIGNATURE_BYTES, &signature);
    if (e == ERR_OK) {
        e = m.number == 0 ? ERR_FORMAT : at_end(&r);
    }
    if (e == ERR_OK) {
        m.signature = signature.ptr;
        *out = m;
    }
    return e;
}

void member_genesis_put(struct buf *b, const struct member_genesis *g)
{
    put_text(b, g->name);
    buf_put(b, g->authority, sizeof(g->authority));
    buf_put(b, g->random, sizeof(g->random));
}

enum err member_genesis_take(struct bytes body, struct member_genesis *out)
{
    struct member_genesis g = { 0 };
    struct reader r = reader_of(body);
    enum err e = take_text(&r, MEMBER_NAME_MAX_BYTES, TEXT_REQUIRED, g.name);
    if (e == ERR_OK) {
        e = reader_copy(&r, g.authority, sizeof(g.authority));
    }
    if (e == ERR_OK) {
        e = reader_copy(&r, g.random, sizeof(g.random));
    }
    if (e == ERR_OK) {
        e = at_end(&r);
    }
    if (e == ERR_OK) {
        *out = g;
    }
    return e;
}

void member_station_put(struct buf *b, const struct member_station *s)
{
    buf_put_varint(b, s->number);
    put_text(b, s->code);
    put_text(b, s->name);
}

enum err member_station_take(struct bytes body, struct member_station *out)
{
    struct member_station s = { 0 };
    struct reader r = reader_of(body);
    enum err e = take_u32(&r, UINT32_MAX, &s.number);
    if (e == ERR_OK) {
        e = take_text(&r, MEMBER_CODE_MAX_BYTES, TEXT_REQUIRED, s.code);
    }
    if (e == ERR_OK) {
        e = take_text(&r, MEMBER_NAME_MAX_BYTES, TEXT_MAY_BE_EMPTY, s.name);
    }
    if (e == ERR_OK) {
        e = at_end(&r);
    }
    if (e == ERR_OK) {
        *out = s;
    }
    return e;
}

static void put_scope(struct buf *b, const struct member_node *n)
{
    buf_put_varint(b, n->owner);
    buf_put_u8(b, n->holds_group ? 1 : 0);
    buf_put_varint(b, n->scope_count);
    for (uint32_t i = 0; i < n->scope_count; i++) {
        buf_put_varint(b, n->scope[i]);
    }
}

void member_scope_put(struct buf *b, const struct member_node *n)
{
    buf_put_varint(b, n->number);
    put_scope(b, n);
}

void member_node_put(struct buf *b, const struct member_node *n)
{
    buf_put_varint(b, n->number);
    buf_put_u8(b, (uint8_t)n->kind);
    buf_put_varint(b, n->station);
    put_scope(b, n);
    buf_put(b, n->sign_key, sizeof(n->sign_key));
    buf_put(b, n->box_key, sizeof(n->box_key));
    buf_put(b, n->tls_key, sizeof(n->tls_key));
    put_text(b, n->address);
}

/* Owner, group flag and stations, ascending. Whether they suit the node's kind and station is asked by the caller. */
static enum err take_scope(struct reader *r, struct member_node *n)
{
    enum err e = take_u32(r, UINT32_MAX, &n->owner);
    if (e == ERR_OK) {
        e = take_bool(r, &n->holds_group);
    }
    if (e == ERR_OK) {
        e = take_u32(r, MEMBER_SCOPE_MAX, &n->scope_count);
    }
    for (uint32_t i = 0; e == ERR_OK && i < n->scope_count; i++) {
        e = take_u32(r, UINT32_MAX, &n->scope[i]);
        if (e == ERR_OK && i > 0 && n->scope[i] <= n->scope[i - 1]) {
            e = ERR_FORMAT;
        }
    }
    return e == ERR_OK && n->holds_group && n->scope_count > 0 ? ERR_FORMAT : e;
}

static enum err take_node_place(struct reader *r, struct member_node *n)
{
    uint8_t kind = 0;
    enum err e = take_u32(r, UINT32_MAX, &n->number);
    if (e == ERR_OK) {
        e = reader_u8(r, &kind);
    }
    if (e == ERR_OK && (kind < NODE_STATION || kind > NODE_AUDITOR)) {
        e = kind == 0 ? ERR_FORMAT : ERR_VERSION; /* what such a node may do is not known here */
    }
    if (e == ERR_OK) {
        n->kind = (enum node_kind)kind;
        e = take_u32(r, UINT32_MAX, &n->station);
    }
    if (e == ERR_OK) {
        e = take_scope(r, n);
    }
    return e == ERR_OK && !member_scope_suits(n) ? ERR_FORMAT : e;
}

bool member_scope_suits(const struct member_node *n)
{
    for (uint32_t i = 0; i < n->scope_count; i++) {
        if (n->scope[i] == n->station) {
            return false;
        }
    }
    return (n->kind == NODE_LAPTOP) == (n->owner != 0);
}

enum err member_scope_take(struct bytes body, struct member_node *out)
{
    struct member_node n = { 0 };
    struct reader r = reader_of(body);
    enum err e = take_u32(&r, UINT32_MAX, &n.number);
    if (e == ERR_OK) {
        e = take_scope(&r, &n);
    }
    if (e == ERR_OK) {
        e = at_end(&r);
    }
    if (e == ERR_OK) {
        *out = n;
    }
    return e;
}

enum err member_node_take(struct bytes body, struct member_node *out)
{
    struct member_node n = { 0 };
    struct reader r = reader_of(body);
    enum err e = take_node_place(&r, &n);
    if (e == ERR_OK) {
        e = reader_copy(&r, n.sign_key, sizeof(n.sign_key));
    }
    if (e == ERR_OK) {
        e = reader_copy(&r, n.box_key, sizeof(n.box_key));
    }
    if (e == ERR_OK) {
        e = reader_copy(&r, n.tls_key, sizeof(n.tls_key));
    }
    if (e == ERR_OK) {
        e = take_text(&r, MEMBER_NAME_MAX_BYTES, TEXT_MAY_BE_EMPTY, n.address);
    }
    if (e == ERR_OK) {
        e = at_end(&r);
    }
    if (e == ERR_OK) {
        *out = n;
    }
    return e;
}

void member_user_put(struct buf *b, const struct member_user *u)
{
    buf_put_varint(b, u->number);
    put_text(b, u->login);
    put_text(b, u->name);
    buf_put_varint(b, u->station);
    buf_put_varint(b, u->roles);
    buf_put_u8(b, u->is_active ? 1 : 0);
    buf_put_blob(b, bytes_of(u->verifier, strnlen(u->verifier, sizeof(u->verifier))));
}

/* Empty: no password, nobody can log in. The last byte of the array stays NUL. */
static enum err take_verifier(struct reader *r, char out[MEMBER_VERIFIER_BYTES])
{
    struct bytes text = { 0 };
    enum err e = reader_blob(r, MEMBER_VERIFIER_BYTES - 1, &text);
    for (size_t i = 0; e == ERR_OK && i < text.len; i++) {
        if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7F) {
            e = ERR_FORMAT;
        }
    }
    if (e == ERR_OK && text.len > 0) {
        memcpy(out, text.ptr, text.len);
    }
    return e;
}

enum err member_user_take(struct bytes body, struct member_user *out)
{
    struct member_user u = { 0 };
    struct reader r = reader_of(body);
    enum err e = take_u32(&r, UINT32_MAX, &u.number);
    if (e == ERR_OK) {
        e = take_text(&r, MEMBER_LOGIN_MAX_BYTES, TEXT_REQUIRED, u.login);
    }
    if (e == ERR_OK) {
        e = take_text(&r, MEMBER_NAME_MAX_BYTES, TEXT_MAY_BE_EMPTY, u.name);
    }
    if (e == ERR_OK) {
        e = take_u32(&r, UINT32_MAX, &u.station);
    }
    if (e == ERR_OK) {
        e = take_u32(&r, UINT32_MAX, &u.roles);
    }
    if (e == ERR_OK) {
        e = take_bool(&r, &u.is_active);
    }
    if (e == ERR_OK) {
        e = take_verifier(&r, u.verifier);
    }
    if (e == ERR_OK) {
        e = at_end(&r);
    }
    if (e == ERR_OK) {
        *out = u;
    }
    return e;
}

void member_keys_put_head(struct buf *b, uint32_t station, uint32_t count)
{
    buf_put_varint(b, station);
    buf_put_varint(b, count);
}

void member_keys_put_wrap_head(struct buf *b, uint32_t epoch, uint32_t node)
{
    buf_put_varint(b, epoch);
    buf_put_varint(b, node);
}

enum err member_keys_open(struct bytes body, struct wrap_cursor *out)
{
    struct wrap_cursor c = { .r = reader_of(body) };
    enum err e = take_u32(&c.r, UINT32_MAX, &c.station);
    if (e == ERR_OK) {
        e = take_u32(&c.r, MEMBER_ENTRY_MAX_BYTES / WRAPPED_CLASS_KEYS_BYTES, &c.left);
    }
    if (e == ERR_OK && c.left == 0) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        *out = c;
    }
    return e;
}

enum err member_keys_next(struct wrap_cursor *c, struct member_wrap *out)
{
    if (c->left == 0) {
        return at_end(&c->r) == ERR_OK ? ERR_NOT_FOUND : ERR_FORMAT;
    }
    struct member_wrap w = { 0 };
    enum err e = take_u32(&c->r, UINT32_MAX, &w.epoch);
    if (e == ERR_OK) {
        e = take_u32(&c->r, UINT32_MAX, &w.node);
    }
    if (e == ERR_OK) {
        e = reader_take(&c->r, WRAPPED_CLASS_KEYS_BYTES, &w.wrapped);
    }
    if (e == ERR_OK && (w.epoch < c->last.epoch || (w.epoch == c->last.epoch && w.node <= c->last.node))) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        c->left--;
        c->last = w;
        *out = w;
    }
    return e;
}

void member_revocation_put(struct buf *b, const struct member_revocation *v)
{
    buf_put_varint(b, v->node);
    vv_put(b, &v->cut);
    put_text(b, v->reason);
}

enum err member_revocation_take(struct bytes body, struct arena *a, struct member_revocation *out)
{
    struct member_revocation v = { 0 };
    struct reader r = reader_of(body);
    enum err e = take_u32(&r, UINT32_MAX, &v.node);
    if (e == ERR_OK) {
        e = vv_take(&r, a, &v.cut);
    }
    if (e == ERR_OK) {
        e = take_text(&r, MEMBER_NAME_MAX_BYTES, TEXT_MAY_BE_EMPTY, v.reason);
    }
    for (size_t i = 0; e == ERR_OK && i < v.cut.count; i++) {
        e = v.cut.at[i].node == v.node ? ERR_OK : ERR_FORMAT; /* a revocation speaks of its own node only */
    }
    if (e == ERR_OK) {
        e = at_end(&r);
    }
    if (e == ERR_OK) {
        *out = v;
    }
    return e;
}
