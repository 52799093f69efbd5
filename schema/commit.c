/*
 * Owns: the byte layout of commits and parts, both ways. Invariant: for every accepted input there is exactly one
 * encoding, and re-encoding what was parsed gives the same bytes. Knows no cryptography: hashing, sealing and signing
 * are in sync/seal.c.
 */
#include "schema/commit.h"

#include "schema/base/check.h"

enum { ITEM_WITHHELD = 0, ITEM_GROUP = 1, PART_WITHHELD = 0x80 };
enum { GROUP_NEW = 1, GROUP_HINTS = 0x0E, GROUP_CRITICAL = 0x70, GROUP_CRITICAL_KNOWN = 0 };
enum { CELL_NEWER_FIRST = 5, CELL_NEWER_LAST = 6, CELL_DECISION = 7 };

void commit_header_put(struct buf *b, const struct commit_header *h)
{
    buf_put_u8(b, COMMIT_VERSION);
    buf_put_varint(b, h->dot.node);
    buf_put_varint(b, h->dot.epoch);
    buf_put_varint(b, h->dot.seq);
    buf_put_u64be(b, h->hlc);
    buf_put_varint(b, h->member_number);
    buf_put(b, h->member_hash, sizeof(h->member_hash));
    buf_put(b, h->prev, sizeof(h->prev));
    buf_put(b, h->salt, sizeof(h->salt));
    buf_put_varint(b, h->group_count);
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

static enum err take_dot(struct reader *r, struct dot *out)
{
    enum err e = take_u32(r, UINT32_MAX, &out->node);
    if (e == ERR_OK) {
        e = take_u32(r, UINT32_MAX, &out->epoch);
    }
    return e == ERR_OK ? reader_varint(r, &out->seq) : e;
}

enum err commit_peek(struct bytes all, struct dot *out)
{
    struct reader r = reader_of(all);
    struct dot dot = { 0 };
    uint8_t version = 0;
    enum err e = reader_u8(&r, &version);
    if (e == ERR_OK) {
        e = version < COMMIT_VERSION ? ERR_FORMAT : take_dot(&r, &dot);
    }
    if (e == ERR_OK && (dot.seq == 0 || dot.node == 0)) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        *out = dot;
    }
    return e;
}

static enum err header_take(struct reader *r, struct commit_header *h)
{
    uint8_t version = 0;
    enum err e = reader_u8(r, &version);
    if (e != ERR_OK) {
        return e;
    }
    if (version != COMMIT_VERSION) {
        return version < COMMIT_VERSION ? ERR_FORMAT : ERR_VERSION;
    }
    if ((e = take_dot(r, &h->dot)) != ERR_OK || (e = reader_u64be(r, &h->hlc)) != ERR_OK ||
        (e = reader_varint(r, &h->member_number)) != ERR_OK ||
        (e = reader_copy(r, h->member_hash, sizeof(h->member_hash))) != ERR_OK ||
        (e = reader_copy(r, h->prev, sizeof(h->prev))) != ERR_OK ||
        (e = reader_copy(r, h->salt, sizeof(h->salt))) != ERR_OK ||
        (e = take_u32(r, COMMIT_GROUPS_MAX, &h->group_count)) != ERR_OK) {
        return e;
    }
    return h->dot.seq == 0 || h->dot.node == 0 || h->group_count == 0 ? ERR_FORMAT : ERR_OK;
}

static enum err walk(const struct commit_view *v)
{
    struct body_cursor c = commit_groups(v);
    struct group_item g;
    enum err e = ERR_OK;
    while ((e = commit_next_group(&c, &g)) == ERR_OK) {
        if (g.is_withheld) {
            continue;
        }
        struct part_cursor pc = group_parts(&g);
        struct part_item p;
        uint32_t seen = 0;
        while ((e = group_next_part(&pc, &p)) == ERR_OK) {
            if ((seen & 1U << (unsigned)p.class_) != 0) {
                return ERR_FORMAT;
            }
            seen |= 1U << (unsigned)p.class_;
        }
        if (e != ERR_NOT_FOUND) {
            return e;
        }
    }
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    return c.r.left == 0 ? ERR_OK : ERR_FORMAT;
}

enum err commit_parse(struct bytes all, struct commit_view *out)
{
    if (all.len > COMMIT_MAX_BYTES) {
        return ERR_LIMIT;
    }
    struct commit_view v = { .all = all };
    struct reader r = reader_of(all);
    enum err e = header_take(&r, &v.header);
    if (e != ERR_OK) {
        return e;
    }
    v.header_bytes = bytes_of(all.ptr, (size_t)(r.ptr - all.ptr));
    struct bytes signature = { 0 };
    e = reader_take(&r, COMMIT_SIGNATURE_BYTES, &signature);
    if (e != ERR_OK) {
        return e;
    }
    v.signature = signature.ptr;
    v.body = bytes_of(r.ptr, r.left);
    e = walk(&v);
    if (e == ERR_OK) {
        *out = v;
    }
    return e;
}

struct body_cursor commit_groups(const struct commit_view *v)
{
    return (struct body_cursor){ .r = reader_of(v->body), .next_leaf = 0, .group_count = v->header.group_count };
}

static enum err take_part(struct reader *r, struct part_item *p)
{
    const uint8_t *start = r->ptr;
    uint8_t tag = 0;
    enum err e = reader_u8(r, &tag);
    if (e != ERR_OK) {
        return e;
    }
    p->is_withheld = (tag & PART_WITHHELD) != 0;
    uint8_t number = tag & 0x7F;
    if (number >= 32) {
        return ERR_LIMIT;
    }
    p->class_ = (enum class_)number;
    struct bytes hash = { 0 };
    if (p->is_withheld) {
        e = reader_take(r, COMMIT_HASH_BYTES, &hash);
        p->hash = hash.ptr;
        return e;
    }
    e = take_u32(r, UINT32_MAX, &p->key_epoch);
    if (e == ERR_OK) {
        e = reader_blob(r, PART_MAX_BYTES, &p->sealed);
    }
    if (e == ERR_OK && p->sealed.len < PART_TAG_BYTES) {
        e = ERR_FORMAT;
    }
    p->slice = bytes_of(start, (size_t)(r->ptr - start));
    return e;
}

static enum err take_group_head(struct reader *r, struct group_item *g)
{
    const uint8_t *start = r->ptr;
    uint8_t flags = 0;
    uint8_t kind = 0;
    enum err e = reader_u8(r, &flags);
    if (e == ERR_OK) {
        e = reader_u8(r, &kind);
    }
    if (e == ERR_OK) {
        e = take_u32(r, UINT32_MAX, &g->station);
    }
    if (e == ERR_OK && (flags & GROUP_NEW) == 0) {
        e = reader_copy(r, g->dossier.b, sizeof(g->dossier.b));
    }
    if (e == ERR_OK && ((flags & ~(GROUP_NEW | GROUP_HINTS | GROUP_CRITICAL)) != 0 || kind == 0)) {
        e = ERR_FORMAT;
    }
    g->is_new = (flags & GROUP_NEW) != 0;
    g->is_newer = (flags & GROUP_CRITICAL & ~GROUP_CRITICAL_KNOWN) != 0;
    g->flags = flags;
    g->kind = (enum dossier_kind)kind;
    g->head = bytes_of(start, (size_t)(r->ptr - start));
    return e;
}

static enum err take_group(struct reader *r, struct group_item *g)
{
    enum err e = take_group_head(r, g);
    if (e == ERR_OK) {
        e = take_u32(r, COMMIT_PARTS_MAX, &g->part_count);
    }
    if (e == ERR_OK && g->part_count == 0) {
        e = ERR_FORMAT;
    }
    const uint8_t *parts = r->ptr;
    for (uint32_t i = 0; e == ERR_OK && i < g->part_count; i++) {
        struct part_item p = { 0 };
        e = take_part(r, &p);
    }
    g->parts = bytes_of(parts, (size_t)(r->ptr - parts));
    g->leaves = 1;
    return e;
}

enum err commit_next_group(struct body_cursor *c, struct group_item *out)
{
    if (c->next_leaf == c->group_count) {
        return ERR_NOT_FOUND;
    }
    struct reader r = c->r;
    struct group_item g = { .index = c->next_leaf };
    uint8_t item = 0;
    enum err e = reader_u8(&r, &item);
    if (e != ERR_OK) {
        return e;
    }
    if (item == ITEM_WITHHELD) {
        struct bytes hash = { 0 };
        g.is_withheld = true;
        e = take_u32(&r, c->group_count - c->next_leaf, &g.leaves);
        if (e == ERR_OK) {
            e = reader_take(&r, COMMIT_HASH_BYTES, &hash);
        }
        if (e == ERR_OK && g.leaves == 0) {
            e = ERR_FORMAT;
        }
        g.hash = hash.ptr;
    } else if (item == ITEM_GROUP) {
        e = take_group(&r, &g);
    } else {
        e = ERR_FORMAT;
    }
    if (e != ERR_OK) {
        return e;
    }
    g.slice = bytes_of(c->r.ptr, (size_t)(r.ptr - c->r.ptr));
    c->r = r;
    c->next_leaf += g.leaves;
    *out = g;
    return ERR_OK;
}

struct part_cursor group_parts(const struct group_item *g)
{
    check(!g->is_withheld);
    return (struct part_cursor){ .r = reader_of(g->parts), .next = 0, .part_count = g->part_count };
}

enum err group_next_part(struct part_cursor *c, struct part_item *out)
{
    if (c->next == c->part_count) {
        return ERR_NOT_FOUND;
    }
    struct part_item p = { .index = c->next };
    enum err e = take_part(&c->r, &p);
    if (e == ERR_OK) {
        c->next++;
        *out = p;
    }
    return e;
}

void commit_put_withheld(struct buf *b, uint32_t leaves, const uint8_t hash[COMMIT_HASH_BYTES])
{
    buf_put_u8(b, ITEM_WITHHELD);
    buf_put_varint(b, leaves);
    buf_put(b, hash, COMMIT_HASH_BYTES);
}

void commit_put_group_head(
    struct buf *b, bool is_new, enum dossier_kind kind, uint32_t station, struct dossier_id dossier)
{
    buf_put_u8(b, ITEM_GROUP);
    buf_put_u8(b, is_new ? GROUP_NEW : 0);
    buf_put_u8(b, (uint8_t)kind);
    buf_put_varint(b, station);
    if (!is_new) {
        buf_put(b, dossier.b, sizeof(dossier.b));
    }
}

void commit_put_part_head(struct buf *b, enum class_ class_, uint32_t key_epoch, size_t sealed_len)
{
    buf_put_u8(b, (uint8_t)class_);
    buf_put_varint(b, key_epoch);
    buf_put_varint(b, sealed_len);
}

void commit_put_part_withheld(struct buf *b, enum class_ class_, const uint8_t hash[COMMIT_HASH_BYTES])
{
    buf_put_u8(b, (uint8_t)((unsigned)class_ | PART_WITHHELD));
    buf_put(b, hash, COMMIT_HASH_BYTES);
}

void part_put_head(struct buf *b, const struct part_head *h)
{
    vv_put(b, &h->context);
    buf_put_varint(b, h->author);
    buf_put_u8(b, h->standing);
    buf_put_varint(b, (uint64_t)h->purpose);
    buf_put_varint(b, h->record_count);
}

enum err part_take_head(struct reader *r, struct arena *a, struct part_head *out)
{
    struct part_head h = { 0 };
    uint32_t purpose = 0;
    enum err e = vv_take(r, a, &h.context);
    if (e == ERR_OK) {
        e = take_u32(r, UINT32_MAX, &h.author);
    }
    if (e == ERR_OK) {
        e = reader_u8(r, &h.standing);
    }
    if (e == ERR_OK) {
        e = take_u32(r, 0xFFFF, &purpose);
    }
    if (e == ERR_OK) {
        e = take_u32(r, RECORDS_PER_PART_MAX, &h.record_count);
    }
    if (e == ERR_OK) {
        h.purpose = (enum purpose)purpose;
        *out = h;
    }
    return e;
}

void part_put_record(struct buf *b, const struct part_record *rec)
{
    buf_put_varint(b, rec->entity);
    switch (rec->ref.kind) {
    case REF_MAIN:
        buf_put_varint(b, 0);
        break;
    case REF_SUFFIX:
        buf_put_varint(b, 1);
        buf_put(b, rec->ref.suffix, RECORD_SUFFIX_BYTES);
        break;
    case REF_NEW:
        buf_put_varint(b, (uint64_t)rec->ref.ordinal + 2);
        break;
    }
    buf_put_varint(b, rec->cell_count);
}

enum err part_take_record(struct reader *r, struct part_record *out)
{
    struct part_record rec = { 0 };
    uint32_t ref = 0;
    enum err e = take_u32(r, 1000, &rec.entity);
    if (e == ERR_OK) {
        e = take_u32(r, RECORDS_PER_PART_MAX + 2, &ref);
    }
    if (e == ERR_OK && ref == 1) {
        rec.ref.kind = REF_SUFFIX;
        e = reader_copy(r, rec.ref.suffix, RECORD_SUFFIX_BYTES);
    } else if (ref >= 2) {
        rec.ref.kind = REF_NEW;
        rec.ref.ordinal = ref - 2;
    }
    if (e == ERR_OK) {
        e = take_u32(r, CELLS_PER_RECORD_MAX, &rec.cell_count);
    }
    if (e == ERR_OK) {
        *out = rec;
    }
    return e;
}

void part_put_cell(struct buf *b, const struct part_cell *cell)
{
    if (cell->newer_kind != 0) {
        buf_put_varint(b, (uint64_t)cell->number << 3 | cell->newer_kind);
        buf_put_blob(b, cell->newer);
        return;
    }
    if (cell->is_decision) {
        buf_put_varint(b, (uint64_t)cell->number << 3 | CELL_DECISION);
        buf_put(b, cell->conflict, 16);
        buf_put_blob(b, cell->reason);
    }
    value_put(b, cell->number, cell->value);
}

enum err part_take_cell(struct reader *r, struct part_cell *out)
{
    struct part_cell cell = { 0 };
    struct reader probe = *r;
    uint64_t tag = 0;
    enum err e = reader_varint_max(&probe, UINT32_MAX, &tag);
    if (e != ERR_OK) {
        return e;
    }
    if ((tag & 7) >= CELL_NEWER_FIRST && (tag & 7) <= CELL_NEWER_LAST) {
        cell.number = (uint32_t)(tag >> 3);
        cell.newer_kind = (uint8_t)(tag & 7);
        e = reader_blob(&probe, VALUE_SET_MAX_BYTES, &cell.newer);
        if (e == ERR_OK) {
            *r = probe;
            *out = cell;
        }
        return e;
    }
    if ((tag & 7) == CELL_DECISION) {
        struct bytes conflict = { 0 };
        cell.is_decision = true;
        e = reader_take(&probe, 16, &conflict);
        if (e == ERR_OK) {
            e = reader_blob(&probe, REASON_MAX_BYTES, &cell.reason);
        }
        if (e != ERR_OK) {
            return e;
        }
        cell.conflict = conflict.ptr;
        *r = probe;
    }
    e = value_take(r, &cell.number, &cell.value);
    if (e == ERR_OK && cell.is_decision && cell.number != tag >> 3) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        *out = cell;
    }
    return e;
}
