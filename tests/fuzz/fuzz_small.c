/*
 * Any bytes for the small decoders. The first byte chooses one: version vector, packed versions, value, audit head,
 * audit entry, conflict entry, invite code, network address, ids, dates, column map, recovery key, pieces of a
 * websocket message, rows to import. Property: what is taken is within its bounds, and written again it is the same
 * bytes.
 */
#include "node/app.h"
#include "node/import_cells.h"
#include "node/net/ws_conn.h"
#include "node/vault/slots.h"
#include "schema/base/check.h"
#include "schema/date.h"
#include "schema/vv.h"
#include "sync/audit.h"
#include "sync/conflict.h"
#include "sync/versions.h"
#include "tests/lib/testkit.h"

#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void take_vv(struct bytes in, struct arena *a, struct buf *b)
{
    struct reader r = reader_of(in);
    struct vv v = { 0 };
    if (vv_take(&r, a, &v) == ERR_OK) {
        check(v.count <= VV_MAX);
        vv_put(b, &v);
        check(bytes_equal(buf_view(b), bytes_of(in.ptr, in.len - r.left)));
    }
}

static void take_versions(struct bytes in, struct arena *a, struct buf *b)
{
    struct versions v;
    struct versions again;
    (void)a;
    if (versions_take(in, &v) == ERR_OK) {
        versions_put(b, &v);
        check(versions_take(buf_view(b), &again) == ERR_OK);
        check(again.contested == v.contested);
    }
}

static void take_value(struct bytes in, struct arena *a, struct buf *b)
{
    struct reader r = reader_of(in);
    uint32_t number = 0;
    struct value v;
    struct value copy;
    if (value_take(&r, &number, &v) == ERR_OK) {
        value_put(b, number, v);
        check(bytes_equal(buf_view(b), bytes_of(in.ptr, in.len - r.left)));
        check(value_dup(a, v, &copy) == ERR_OK && value_equal(v, copy));
    }
}

static void take_audit_head(struct bytes in, struct arena *a, struct buf *b)
{
    struct reader r = reader_of(in);
    struct audit_head h;
    (void)a;
    if (audit_head_take(&r, &h) == ERR_OK) {
        audit_head_put(b, &h);
        check(bytes_equal(buf_view(b), bytes_of(in.ptr, in.len - r.left)));
    }
}

static void take_audit_entry(struct bytes in, struct arena *a, struct buf *b)
{
    struct audit_entry entry;
    uint8_t prev[32];
    (void)a;
    (void)b;
    check(audit_decode(in, &entry, prev) != ERR_OK || entry.field_count <= 64);
}

static void take_conflict(struct bytes in, struct arena *a, struct buf *b)
{
    struct conflict_entry entry;
    if (conflict_take(in, a, &entry) == ERR_OK) {
        conflict_put(b, &entry);
        check(bytes_equal(buf_view(b), in));
    }
}

static void take_invite(struct bytes in, struct arena *a, struct buf *b)
{
    struct invite_code code;
    struct why why = { { 0 }, { 0 } };
    (void)a;
    (void)b;
    if (invite_code_parse(in, &code, &why) == ERR_OK) {
        check(memchr(code.address, '\0', sizeof(code.address)) != NULL);
    } else {
        check(why.zh[0] != '\0' && why.en[0] != '\0');
    }
}

static void take_address(struct bytes in, struct arena *a, struct buf *b)
{
    char host[RESOLVE_HOST_BYTES];
    struct resolve_result numeric;
    uint16_t port = 0;
    (void)a;
    (void)b;
    if (resolve_split(in, host, &port) == ERR_OK) {
        check(port != 0 && strlen(host) > 0 && strlen(host) < in.len);
        (void)resolve_numeric(host, &numeric);
    }
}

static void take_ids(struct bytes in, struct arena *a, struct buf *b)
{
    struct record_id id;
    struct record_id again;
    struct dot dot;
    struct dot twin;
    uint8_t raw[16];
    char text[ID_TEXT_BYTES + DOT_TEXT_BYTES + 2];
    (void)a;
    (void)b;
    if (record_id_parse(in, &id) == ERR_OK) {
        record_id_text(id, text);
        check(record_id_parse(bytes_str(text), &again) == ERR_OK && record_id_compare(id, again) == 0);
    }
    if (dot_parse(in, &dot) == ERR_OK) {
        (void)dot_text(dot, text);
        check(dot_parse(bytes_str(text), &twin) == ERR_OK && dot_equal(dot, twin));
    }
    check(dot_from_key(in, &dot) != ERR_OK || in.len == DOT_KEY_BYTES);
    check(hex_parse(in, raw, sizeof(raw)) != ERR_OK || in.len == 2 * sizeof(raw));
}

static void take_dates(struct bytes in, struct arena *a, struct buf *b)
{
    int64_t v = 0;
    (void)a;
    (void)b;
    if (date_parse(in, &v) == ERR_OK) {
        check(date_is_valid(v, true));
    }
    if (instant_parse(in, &v) == ERR_OK) {
        check(instant_is_valid(v));
    }
}

/* Headers, one a line; an empty line; the map. */
static void take_map(struct bytes in, struct arena *a, struct buf *b)
{
    struct bytes headers[IMPORT_COLUMNS_MAX + 2];
    struct import_map map;
    struct why why = { { 0 }, { 0 } };
    size_t count = 0;
    (void)a;
    (void)b;
    while (count < ARRAY_LEN(headers) && in.len > 0) {
        const uint8_t *end = memchr(in.ptr, '\n', in.len);
        size_t n = end == NULL ? in.len : (size_t)(end - in.ptr);
        headers[count] = bytes_of(in.ptr, n);
        in = end == NULL ? bytes_of(in.ptr, 0) : bytes_of(end + 1, in.len - n - 1);
        if (n == 0) {
            break;
        }
        count++;
    }
    if (import_map_make(catalogue_entity(ENTITY_CUSTOMER), headers, count, in, &map, &why) == ERR_OK) {
        check(map.column_count <= IMPORT_COLUMNS_MAX && map.child_count <= IMPORT_CHILDREN_MAX && map.mapped > 0);
        for (size_t i = 0; i < map.column_count; i++) {
            check(map.columns[i].field == NULL || map.columns[i].child < (int)map.child_count);
        }
    }
}

static void take_recovery(struct bytes in, struct arena *a, struct buf *b)
{
    uint8_t key[RECOVERY_KEY_BYTES];
    (void)a;
    (void)b;
    check(recovery_text_decode(in, key) != ERR_OK || in.len >= RECOVERY_KEY_BYTES);
}

/* Pieces: flags (bit 0 final), announced rest (two bytes), length, bytes. */
static void take_pieces(struct bytes in, struct arena *a, struct buf *b)
{
    struct ws_conn c = { .id = 1 };
    struct reader r = reader_of(in);
    (void)a;
    (void)b;
    for (;;) {
        uint8_t head[4];
        struct bytes piece = { 0 };
        struct bytes message = { 0 };
        if (reader_copy(&r, head, sizeof(head)) != ERR_OK) {
            break;
        }
        size_t repeat = (head[0] & 2) != 0 ? 5000 : 1;
        size_t announced = ((size_t)head[1] << 8 | head[2]) << ((head[0] & 4) != 0 ? 12 : 0);
        if (reader_take(&r, head[3], &piece) != ERR_OK) {
            break;
        }
        enum err e = ERR_OK;
        for (size_t i = 0; e == ERR_OK && i < repeat; i++) {
            e = ws_conn_receive(&c, piece, announced, (head[0] & 1) != 0 && i + 1 == repeat, &message);
        }
        check(c.partial_len <= TRANSPORT_MESSAGE_MAX && c.partial_capacity <= TRANSPORT_MESSAGE_MAX);
        check(message.len <= TRANSPORT_MESSAGE_MAX);
        if (e != ERR_OK) {
            break;
        }
    }
    ws_conn_release(&c);
}

static void take_cells(struct bytes in, struct arena *a, struct buf *b)
{
    struct import_cells cells;
    struct import_cells again;
    (void)a;
    if (import_cells_take(in, &cells) != ERR_OK) {
        return;
    }
    import_cells_put(b, cells.line, cells.at, cells.count);
    check(import_cells_take(buf_view(b), &again) == ERR_OK);
    check(again.line == cells.line && again.count == cells.count);
    for (size_t i = 0; i < cells.count; i++) {
        check(bytes_equal(again.at[i], cells.at[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const decoders[])(struct bytes, struct arena *, struct buf *) = { take_vv, take_versions, take_value,
        take_audit_head, take_audit_entry, take_conflict, take_invite, take_address, take_ids, take_dates, take_map,
        take_recovery, take_pieces, take_cells };
    struct arena a;
    struct buf b;
    if (len == 0 || sodium_init() < 0) {
        return 0;
    }
    arena_init(&a, test_mem(), 8 << 20);
    buf_init(&b, test_mem(), 2 << 20);
    decoders[data[0] % ARRAY_LEN(decoders)](bytes_of(data + 1, len - 1), &a, &b);
    buf_release(&b);
    arena_release(&a);
    check(test_mem()->used_bytes == 0);
    return 0;
}
