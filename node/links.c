/*
 * Owns: the configured peers and their back-off. Invariant: an open link names a connection that the transport has not
 * reported closed. Decides nothing about sessions.
 */
#include "node/links.h"

enum { RETRY_FIRST_MS = 500, RETRY_MAX_MS = 60000 };

static struct link *link_of(struct links *l, conn_id c)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->at[i].state == LINK_OPEN && l->at[i].conn == c) {
            return &l->at[i];
        }
    }
    return NULL;
}

static void failed(struct links *l, struct link *k, enum err why)
{
    uint32_t base = RETRY_FIRST_MS;
    uint32_t jitter = 0;
    for (unsigned i = 0; i < k->failures && base < RETRY_MAX_MS; i++) {
        base *= 2;
    }
    base = base > RETRY_MAX_MS ? RETRY_MAX_MS : base;
    rng_fill(&l->app->rng, &jitter, sizeof(jitter));
    k->state = LINK_IDLE;
    k->failures++;
    k->last_error = why;
    k->due_ms = app_now().mono_ms + base + jitter % (base / 2);
}

static const struct app_peer *peer_at(const struct app_peer *peers, size_t count, const char *address)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(peers[i].address, address) == 0) {
            return &peers[i];
        }
    }
    return NULL;
}

static bool has_link(const struct links *l, const char *address)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->at[i].peer.address, address) == 0) {
            return true;
        }
    }
    return false;
}

enum err links_load(struct links *l)
{
    struct app_peer peers[LINKS_MAX];
    size_t count = 0;
    enum err e = app_peers(l->app, peers, LINKS_MAX, &count);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t i = 0; i < l->count;) {
        const struct app_peer *p = peer_at(peers, count, l->at[i].peer.address);
        if (p != NULL && memcmp(p->tls_key, l->at[i].peer.tls_key, sizeof(p->tls_key)) == 0) {
            i++;
            continue;
        }
        if (l->at[i].state == LINK_OPEN) {
            l->transport->ops->close(l->transport, l->at[i].conn);
        }
        l->at[i] = l->at[--l->count];
    }
    for (size_t i = 0; i < count && l->count < LINKS_MAX; i++) {
        if (!has_link(l, peers[i].address)) {
            l->at[l->count++] = (struct link){ .peer = peers[i] };
        }
    }
    return ERR_OK;
}

void links_dial(struct links *l, bool at_once)
{
    uint64_t now = app_now().mono_ms;
    for (size_t i = 0; i < l->count; i++) {
        struct link *k = &l->at[i];
        bool is_due = at_once || (now >= k->due_ms && l->admits(l->ctx, k->peer.tls_key));
        if (k->state != LINK_IDLE || !is_due || l->is_live(l->ctx, k->peer.tls_key)) {
            continue;
        }
        k->tag = ++l->next_tag;
        k->state = LINK_DIALLING;
        enum err e =
            l->transport->ops->dial(l->transport, DOOR_SYNC, bytes_str(k->peer.address), k->peer.tls_key, k->tag);
        if (e != ERR_OK) {
            failed(l, k, e);
        }
    }
}

void links_opened(struct links *l, conn_id c, uint64_t tag)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->at[i].tag == tag) {
            l->at[i].state = LINK_OPEN;
            l->at[i].conn = c;
            l->at[i].refused = ERR_OK;
            l->at[i].last_error = ERR_OK;
        }
    }
}

void links_refused(struct links *l, conn_id c, enum err why)
{
    struct link *k = link_of(l, c);
    if (k != NULL) {
        k->refused = why;
    }
}

void links_closed(struct links *l, conn_id c)
{
    struct link *k = link_of(l, c);
    if (k != NULL) {
        /* A line that breaks is dialled again soon; who was refused would be refused again. */
        k->failures = k->refused == ERR_OK ? 0 : k->failures;
        failed(l, k, k->refused == ERR_OK ? ERR_UNREACHABLE : k->refused);
    }
}

void links_dial_failed(struct links *l, uint64_t tag, enum err why)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->at[i].tag == tag && l->at[i].state == LINK_DIALLING) {
            failed(l, &l->at[i], why);
        }
    }
}

bool links_is_dialling(const struct links *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->at[i].state == LINK_DIALLING) {
            return true;
        }
    }
    return false;
}

size_t links_unreachable(const struct links *l)
{
    size_t count = 0;
    for (size_t i = 0; i < l->count; i++) {
        count += l->is_live(l->ctx, l->at[i].peer.tls_key) ? 0 : 1;
    }
    return count;
}

void links_describe(const struct links *l, json_t *list)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct link *k = &l->at[i];
        if (k->state == LINK_OPEN || l->is_live(l->ctx, k->peer.tls_key)) {
            continue;
        }
        json_t *o = json_object();
        (void)json_object_set_new(o, "address", json_string(k->peer.address));
        (void)json_object_set_new(o, "state", json_string(k->state == LINK_DIALLING ? "dialling" : "waiting"));
        if (k->last_error != ERR_OK) {
            (void)json_object_set_new(o, "error", json_string(err_name(k->last_error)));
            (void)json_object_set_new(o, "zh", json_string(err_zh(k->last_error)));
            (void)json_object_set_new(o, "en", json_string(err_en(k->last_error)));
        }
        (void)json_array_append_new(list, o);
    }
}
