/*
 * Owns: send queue and message assembly of one connection. Invariants: queued_bytes is the sum of what the queue has
 * not handed over; partial never grows past TRANSPORT_MESSAGE_MAX nor ahead of what really arrived, so that announcing
 * a large message costs the announcer as much as us.
 */
#include "node/net/ws_conn.h"

#include "schema/base/check.h"

#include <stdlib.h>
#include <string.h>

enum { PARTIAL_FIRST_BYTES = 64 * 1024, PARTIAL_KEPT_BYTES = 256 * 1024 };

enum err ws_conn_queue(struct ws_conn *c, struct bytes message)
{
    if (message.len == 0) {
        return ERR_INVALID;
    }
    if (message.len > TRANSPORT_MESSAGE_MAX) {
        return ERR_LIMIT;
    }
    if (message.len > TRANSPORT_QUEUE_MAX - c->queued_bytes) {
        c->owes_drain = true;
        return ERR_BUSY;
    }
    struct ws_message *m = malloc(sizeof(*m) + WS_FRONT_BYTES + message.len);
    if (m == NULL) {
        return ERR_NOMEM;
    }
    m->next = NULL;
    m->len = message.len;
    m->sent = 0;
    memset(m->bytes, 0, WS_FRONT_BYTES);
    memcpy(m->bytes + WS_FRONT_BYTES, message.ptr, message.len);
    if (c->last != NULL) {
        c->last->next = m;
    } else {
        c->first = m;
    }
    c->last = m;
    c->queued_bytes += message.len;
    if (c->queued_bytes >= TRANSPORT_QUEUE_MAX / 2) {
        c->owes_drain = true;
    }
    return ERR_OK;
}

static void drop_first(struct ws_conn *c)
{
    struct ws_message *m = c->first;
    c->first = m->next;
    if (c->first == NULL) {
        c->last = NULL;
    }
    free(m);
}

void ws_conn_sent(struct ws_conn *c, size_t n)
{
    struct ws_message *m = c->first;
    check(m != NULL && n <= m->len - m->sent && n <= c->queued_bytes);
    m->sent += n;
    c->queued_bytes -= n;
    if (m->sent == m->len) {
        drop_first(c);
    }
}

bool ws_conn_take_drain(struct ws_conn *c)
{
    bool is_due = c->owes_drain && c->queued_bytes < TRANSPORT_QUEUE_MAX / 2;
    if (is_due) {
        c->owes_drain = false;
    }
    return is_due;
}

static enum err partial_append(struct ws_conn *c, struct bytes piece)
{
    size_t need = c->partial_len + piece.len;
    if (need > c->partial_capacity) {
        size_t capacity = c->partial_capacity == 0 ? PARTIAL_FIRST_BYTES : c->partial_capacity;
        while (capacity < need) {
            capacity *= 2;
        }
        uint8_t *grown = realloc(c->partial, capacity);
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        c->partial = grown;
        c->partial_capacity = capacity;
    }
    if (piece.len > 0) {
        memcpy(c->partial + c->partial_len, piece.ptr, piece.len);
    }
    c->partial_len = need;
    return ERR_OK;
}

/* Gives back what a large message took. */
static void partial_trim(struct ws_conn *c)
{
    if (c->partial_capacity > PARTIAL_KEPT_BYTES) {
        free(c->partial);
        c->partial = NULL;
        c->partial_capacity = 0;
    }
}

enum err ws_conn_receive(struct ws_conn *c, struct bytes piece, size_t more_bytes, bool is_final, struct bytes *out)
{
    size_t room = TRANSPORT_MESSAGE_MAX - c->partial_len;
    if (piece.len > room || more_bytes > room - piece.len) {
        return ERR_LIMIT;
    }
    if (c->partial_len == 0) {
        partial_trim(c);
    }
    if (is_final && c->partial_len == 0) {
        *out = piece; /* whole in one piece: no copy */
        return piece.len == 0 ? ERR_PROTOCOL : ERR_OK;
    }
    enum err e = partial_append(c, piece);
    if (e != ERR_OK) {
        return e;
    }
    if (!is_final) {
        *out = bytes_of(NULL, 0);
        return ERR_OK;
    }
    *out = bytes_of(c->partial, c->partial_len);
    c->partial_len = 0;
    return out->len == 0 ? ERR_PROTOCOL : ERR_OK;
}

void ws_conn_release(struct ws_conn *c)
{
    while (c->first != NULL) {
        drop_first(c);
    }
    c->queued_bytes = 0;
    c->partial_len = 0;
    free(c->partial);
    c->partial = NULL;
    c->partial_capacity = 0;
}
