#ifndef JIPAN_INBOX_H
#define JIPAN_INBOX_H

#include "sync/session.h"

/*
 * Messages of peers that have arrived and wait for their turn, in the order in which they came. While one has its turn,
 * a second thread works on what needs no turn in those behind it (sync/ahead.h, docs/decisions/0028). All functions are
 * for the thread that steps; the other one never sees the core, nor a message whose turn it is. Bounded: full, the
 * first has to be stepped before another is put.
 */
enum { INBOX_ITEMS_MAX = 16, INBOX_BYTES_MAX = 128 << 10 };

struct inbox;

struct inbox_item {
    conn_id conn;
    bool is_end; /* the connection is gone; no message */
    struct bytes message; /* as it came, when there is no ahead */
    struct ahead *ahead; /* may be NULL */
    size_t bytes; /* of the message */
};

/* is_threaded false, or no thread to be had: nothing is worked out ahead. */
MUST_USE enum err inbox_new(const struct mem *mem, bool is_threaded, struct inbox **out);
void inbox_free(struct inbox *in); /* waits for the message under work; may be NULL */

size_t inbox_count(const struct inbox *in);
size_t inbox_bytes(const struct inbox *in);
bool inbox_has_room(const struct inbox *in, size_t bytes); /* an empty one has room for any message */
bool inbox_has(const struct inbox *in, conn_id conn);

/* Only when there is room. Errors: ERR_NOMEM. */
MUST_USE enum err inbox_put(struct inbox *in, struct sync *s, conn_id conn, struct bytes message);
void inbox_put_end(struct inbox *in, conn_id conn);

/* Begins the turn of the first, which lasts until inbox_drop. There must be one. */
struct inbox_item inbox_first(struct inbox *in);
void inbox_drop(struct inbox *in);

#endif
