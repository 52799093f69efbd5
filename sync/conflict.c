/*
 * Owns: the bytes of a stored conflict entry. Invariants: one entry has exactly one encoding, and whatever the decoder
 * accepts encodes to the same bytes again; counts are checked before anything is allocated for them.
 * Does not decide what is in conflict (sync/merge.c) nor who may see the values (the field-view builder).
 */
#include "sync/conflict.h"

#include "schema/base/check.h"
#include "schema/commit.h"

#include <assert.h>

enum { ENTRY_VERSION = 1, FLAG_OPEN = 1, FLAG_DIFFER = 2, FLAG_DECISION = 1 };

/* Shortest write: dot 3, clock 8, author 1, flags 1, value 1. Head: version, id, record, numbers, counts. */
enum { WRITE_MIN_BYTES = 14, HEAD_MAX_BYTES = 128 };

/* dot 20, clock 8, author 5, flags 1, reason length 2, value tag 5, value length 3 or number 10 (then no bytes) */
static_assert(20 + 8 + 5 + 1 + 2 + 5 + 10 <= CONFLICT_WRITE_BYTES, "a listed write costs what merge reckons");
static_assert(CONFLICT_WRITE_BYTES + VALUE_SET_MAX_BYTES + REASON_MAX_BYTES <= CONFLICT_LIST_BYTES,
    "one write always fits its list");
static_assert(2 * CONFLICT_LIST_BYTES + HEAD_MAX_BYTES <= CONFLICT_ENTRY_MAX_BYTES, "an entry fits the store");

static enum err list_make(struct arena *a, const struct field_write *writes, const size_t *index, size_t count,
    size_t total, struct conflict_list *out)
{
    struct conflict_list list = { .count = count, .total = total };
    if (count > 0) {
        list.at = arena_array(a, count, sizeof(*list.at));
        if (list.at == NULL) {
            return ERR_NOMEM;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct field_write *w = &writes[index[i]];
        list.at[i] = (struct conflict_write){ .dot = w->dot,
            .hlc = w->hlc,
            .author = w->author,
            .is_decision = w->is_decision,
            .reason = w->is_decision ? w->reason : (struct bytes){ 0 },
            .value = w->value };
    }
    *out = list;
    return ERR_OK;
}

enum err conflict_entry_from_verdict(struct arena *a, struct record_id record, const struct entity_desc *d,
    const struct field *f, const struct field_write *writes, const struct field_verdict *verdict, size_t i,
    struct conflict_entry *out)
{
    check(i < verdict->conflict_count);
    const struct conflict *c = &verdict->conflicts[i];
    struct conflict_entry entry = { .record = record,
        .entity = (uint32_t)d->entity,
        .field = f->number,
        .is_open = c->is_open,
        .grade = c->grade,
        .rule = f->merge };
    memcpy(entry.id, c->id, sizeof(entry.id));
    while (entry.winner < c->sibling_count && c->siblings[entry.winner] != c->winner) {
        entry.winner++;
    }
    check(entry.winner < c->sibling_count);
    enum err e = list_make(a, writes, c->siblings, c->sibling_count, c->sibling_total, &entry.siblings);
    if (e == ERR_OK) {
        e = list_make(a, writes, c->settled_by, c->settled_count, c->settled_total, &entry.settled_by);
    }
    if (e == ERR_OK) {
        *out = entry;
    }
    return e;
}

static void write_put(struct buf *b, uint32_t field, const struct conflict_write *w)
{
    buf_put_varint(b, w->dot.node);
    buf_put_varint(b, w->dot.epoch);
    buf_put_varint(b, w->dot.seq);
    buf_put_u64be(b, w->hlc);
    buf_put_varint(b, w->author);
    buf_put_u8(b, w->is_decision ? FLAG_DECISION : 0);
    if (w->is_decision) {
        buf_put_blob(b, w->reason);
    }
    value_put(b, field, w->value);
}

static void list_put(struct buf *b, uint32_t field, const struct conflict_list *list)
{
    buf_put_varint(b, list->total);
    buf_put_varint(b, list->count);
    for (size_t i = 0; i < list->count; i++) {
        write_put(b, field, &list->at[i]);
    }
}

void conflict_put(struct buf *b, const struct conflict_entry *entry)
{
    buf_put_u8(b, ENTRY_VERSION);
    buf_put(b, entry->id, sizeof(entry->id));
    buf_put(b, entry->record.b, sizeof(entry->record.b));
    buf_put_varint(b, entry->entity);
    buf_put_varint(b, entry->field);
    buf_put_u8(b, (uint8_t)((entry->is_open ? FLAG_OPEN : 0) | (entry->grade == GRADE_CONFLICT ? FLAG_DIFFER : 0)));
    buf_put_u8(b, (uint8_t)entry->rule);
    buf_put_varint(b, entry->winner);
    list_put(b, entry->field, &entry->siblings);
    list_put(b, entry->field, &entry->settled_by);
}

static enum err take_u32(struct reader *r, uint32_t *out)
{
    uint64_t v = 0;
    enum err e = reader_varint_max(r, UINT32_MAX, &v);
    if (e == ERR_OK) {
        *out = (uint32_t)v;
    }
    return e;
}

static enum err take_dot(struct reader *r, struct dot *out)
{
    enum err e = take_u32(r, &out->node);
    if (e == ERR_OK) {
        e = take_u32(r, &out->epoch);
    }
    if (e == ERR_OK) {
        e = reader_varint(r, &out->seq);
    }
    return e == ERR_OK && out->seq == 0 ? ERR_FORMAT : e;
}

static enum err take_reason(struct reader *r, struct conflict_write *w)
{
    uint8_t flags = 0;
    enum err e = reader_u8(r, &flags);
    if (e != ERR_OK || flags == 0) {
        return e;
    }
    if (flags != FLAG_DECISION) {
        return ERR_FORMAT;
    }
    w->is_decision = true;
    return reader_blob(r, REASON_MAX_BYTES, &w->reason);
}

static enum err write_take(struct reader *r, uint32_t field, struct conflict_write *w)
{
    uint32_t number = 0;
    enum err e = take_dot(r, &w->dot);
    if (e == ERR_OK) {
        e = reader_u64be(r, &w->hlc);
    }
    if (e == ERR_OK) {
        e = take_u32(r, &w->author);
    }
    if (e == ERR_OK) {
        e = take_reason(r, w);
    }
    if (e == ERR_OK) {
        e = value_take(r, &number, &w->value);
    }
    return e == ERR_OK && number != field ? ERR_FORMAT : e;
}

static enum err list_take(struct reader *r, struct arena *a, uint32_t field, struct conflict_list *out)
{
    uint64_t total = 0;
    uint64_t count = 0;
    enum err e = reader_varint_max(r, UINT32_MAX, &total);
    if (e == ERR_OK) {
        e = reader_varint_max(r, CONFLICT_SIBLINGS_MAX, &count);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (count > total || (count == 0 && total > 0)) {
        return ERR_FORMAT;
    }
    if (count > r->left / WRITE_MIN_BYTES) {
        return ERR_TRUNCATED;
    }
    struct conflict_list list = { .count = (size_t)count, .total = (size_t)total };
    if (count > 0) {
        list.at = arena_array(a, list.count, sizeof(*list.at));
        if (list.at == NULL) {
            return ERR_NOMEM;
        }
    }
    for (size_t i = 0; i < list.count; i++) {
        e = write_take(r, field, &list.at[i]);
        if (e == ERR_OK && i > 0 && dot_compare(list.at[i - 1].dot, list.at[i].dot) >= 0) {
            e = ERR_FORMAT;
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    *out = list;
    return ERR_OK;
}

static enum err take_head(struct reader *r, struct conflict_entry *entry)
{
    enum err e = reader_copy(r, entry->id, sizeof(entry->id));
    if (e == ERR_OK) {
        e = reader_copy(r, entry->record.b, sizeof(entry->record.b));
    }
    if (e == ERR_OK) {
        e = take_u32(r, &entry->entity);
    }
    return e == ERR_OK ? take_u32(r, &entry->field) : e;
}

static enum err take_marks(struct reader *r, struct conflict_entry *entry)
{
    uint8_t flags = 0;
    uint8_t rule = 0;
    uint64_t winner = 0;
    enum err e = reader_u8(r, &flags);
    if (e == ERR_OK) {
        e = reader_u8(r, &rule);
    }
    if (e == ERR_OK) {
        e = reader_varint_max(r, CONFLICT_SIBLINGS_MAX - 1, &winner);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (flags > (FLAG_OPEN | FLAG_DIFFER) || flags == FLAG_OPEN || rule >= MERGE_DERIVED || rule == MERGE_SET) {
        return ERR_FORMAT;
    }
    entry->is_open = (flags & FLAG_OPEN) != 0;
    entry->grade = (flags & FLAG_DIFFER) != 0 ? GRADE_CONFLICT : GRADE_AGREED;
    entry->rule = (enum merge_rule)rule;
    entry->winner = (size_t)winner;
    return ERR_OK;
}

/* What a verdict always holds to, so nothing else is believed. */
static bool entry_makes_sense(const struct conflict_entry *entry)
{
    return entry->siblings.total >= 2 && entry->winner < entry->siblings.count &&
           (!entry->is_open || entry->settled_by.count == 0);
}

enum err conflict_take(struct bytes bytes, struct arena *a, struct conflict_entry *out)
{
    struct reader r = reader_of(bytes);
    struct conflict_entry entry = { .winner = 0 };
    uint8_t version = 0;
    enum err e = bytes.len > CONFLICT_ENTRY_MAX_BYTES ? ERR_LIMIT : reader_u8(&r, &version);
    if (e == ERR_OK && version != ENTRY_VERSION) {
        e = ERR_VERSION;
    }
    if (e == ERR_OK) {
        e = take_head(&r, &entry);
    }
    if (e == ERR_OK) {
        e = take_marks(&r, &entry);
    }
    if (e == ERR_OK) {
        e = list_take(&r, a, entry.field, &entry.siblings);
    }
    if (e == ERR_OK) {
        e = list_take(&r, a, entry.field, &entry.settled_by);
    }
    if (e == ERR_OK && (r.left != 0 || !entry_makes_sense(&entry))) {
        e = ERR_FORMAT;
    }
    if (e == ERR_OK) {
        *out = entry;
    }
    return e;
}
