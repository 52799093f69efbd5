/*
 * Owns: the joining half of enrolment. Invariant: the home is created only after the whole membership log arrived and
 * verified, so a join that fails anywhere leaves nothing behind.
 */
#include "node/daemon.h"

#include "node/net/tls_identity.h"
#include "node/net/transport_ws.h"
#include "schema/wire.h"

#include <sodium.h>
#include <stdio.h>

enum { JOIN_WAIT_MS = 20000, ENTRIES_MAX = 65536 };

struct join {
    struct mem mem;
    struct arena arena;
    struct loop *loop;
    struct transport *transport;
    struct invite_code code;
    struct app_joined joined;
    struct bytes listen;
    struct bytes *entries;
    size_t count;
    bool is_done;
    enum err result;
};

static void finish(struct join *j, enum err e)
{
    j->is_done = true;
    j->result = e;
}

static bool on_allow(void *ctx, enum transport_door door, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    (void)ctx;
    (void)door;
    (void)key;
    return false;
}

static void on_open(
    void *ctx, conn_id c, enum transport_door door, bool outbound, uint64_t tag, const uint8_t key[TRANSPORT_KEY_BYTES])
{
    struct join *j = ctx;
    uint8_t proof[32];
    struct buf b;
    (void)door;
    (void)outbound;
    (void)tag;
    (void)key;
    invite_proof(&j->code, j->joined.self.tls_public, j->joined.self.sign_public, j->joined.self.box_public, proof);
    const struct wire_message m = { .kind = WIRE_JOIN_REQUEST,
        .invite = BYTES_OF(j->code.id),
        .proof = BYTES_OF(proof),
        .sign_key = BYTES_OF(j->joined.self.sign_public),
        .box_key = BYTES_OF(j->joined.self.box_public),
        .address = j->listen };
    buf_init(&b, &j->mem, WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, &j->arena, &m);
    if (b.err != ERR_OK || j->transport->ops->send(j->transport, c, buf_view(&b)) != ERR_OK) {
        finish(j, ERR_UNREACHABLE);
    }
    buf_release(&b);
}

static void on_message(void *ctx, conn_id c, struct bytes message)
{
    struct join *j = ctx;
    struct wire_message m;
    struct arena a;
    (void)c;
    arena_init(&a, &j->mem, WIRE_ARENA_BYTES);
    enum err e = wire_take(message, &a, &m);
    if (e == ERR_OK && (m.kind != WIRE_JOIN_REPLY || m.error >= ERR_COUNT)) {
        e = ERR_PROTOCOL;
    }
    if (e == ERR_OK) {
        e = (enum err)m.error;
    }
    for (size_t i = 0; e == ERR_OK && i < m.count; i++) {
        e = j->count == ENTRIES_MAX ? ERR_LIMIT : arena_dup(&j->arena, m.entries[i], &j->entries[j->count]);
        j->count += e == ERR_OK ? 1 : 0;
    }
    if (e == ERR_OK) {
        j->joined.self.number = m.node;
    }
    if (e != ERR_OK || !m.more) {
        finish(j, e);
    }
    arena_release(&a);
}

static void on_drain(void *ctx, conn_id c)
{
    (void)ctx;
    (void)c;
}

static void on_closed(void *ctx, conn_id c)
{
    struct join *j = ctx;
    (void)c;
    if (!j->is_done) {
        finish(j, ERR_UNREACHABLE);
    }
}

static void on_dial_failed(void *ctx, uint64_t tag, enum err why)
{
    (void)tag;
    finish(ctx, why);
}

static enum err make_keys(struct join *j)
{
    struct rng rng = app_rng();
    struct app_joined *in = &j->joined;
    uint8_t tls_secret[SIGN_SECRET_BYTES];
    rng_fill(&rng, in->sign_seed, 32);
    rng_fill(&rng, in->box_seed, 32);
    rng_fill(&rng, in->self.tls_seed, 32);
    seal_sign_keypair(in->sign_seed, in->self.sign_public, in->self.sign_secret);
    seal_box_keypair(in->box_seed, in->self.box_public, in->self.box_secret);
    seal_sign_keypair(in->self.tls_seed, in->self.tls_public, tls_secret);
    sodium_memzero(tls_secret, sizeof(tls_secret));
    memcpy(in->genesis_hash, j->code.genesis_hash, 32);
    memcpy(in->peer_tls_key, j->code.tls_key, 32);
    in->peer_address = bytes_str(j->code.address);
    j->entries = arena_array(&j->arena, ENTRIES_MAX, sizeof(*j->entries));
    in->entries = j->entries;
    return j->entries == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err explain(const struct join *j, enum err e, struct why *why)
{
    if (e == ERR_EXPIRED || e == ERR_SECRET) {
        return why_set(why, ERR_EXPIRED, "邀请码已用过或已过期；请管理员重新发一个",
            "the invite is used or expired; ask the administrator for a new one");
    }
    if (e == ERR_UNREACHABLE || e == ERR_BUSY) {
        return why_setf(why, ERR_UNREACHABLE, "连不上发邀请的节点 %s；请确认它在运行且网络可达",
            "cannot reach the inviting node at %s; check that it runs and the line is up", j->code.address);
    }
    if (e == ERR_UNKNOWN_PEER) {
        return why_setf(why, e, "%s 上的节点不是发邀请的那个；不要继续",
            "the node at %s is not the one that invited; do not go on", j->code.address);
    }
    return e;
}

static enum err exchange(struct join *j, struct why *why)
{
    const struct transport_events events = { .ctx = j,
        .allow = on_allow,
        .on_open = on_open,
        .on_message = on_message,
        .on_drain = on_drain,
        .on_closed = on_closed,
        .on_dial_failed = on_dial_failed };
    enum err e = loop_new(&j->loop);
    if (e == ERR_OK) {
        e = transport_ws_new(j->loop, j->joined.self.tls_seed, NULL, 0, &events, &j->transport, why);
    }
    if (e == ERR_OK) {
        e = j->transport->ops->dial(j->transport, DOOR_JOIN, bytes_str(j->code.address), j->code.tls_key, 1);
    }
    uint64_t end = app_now().mono_ms + JOIN_WAIT_MS;
    while (e == ERR_OK && !j->is_done) {
        e = app_now().mono_ms > end ? ERR_UNREACHABLE : loop_step(j->loop, 50);
    }
    transport_ws_free(j->transport);
    loop_free(j->loop);
    return explain(j, e == ERR_OK ? j->result : e, why);
}

enum err daemon_join(const char *home, struct bytes passphrase, struct bytes code_text, struct bytes listen,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], uint32_t *node, struct why *why)
{
    struct join j = { .mem = app_mem(APP_MEM_MAX_BYTES), .listen = listen };
    if (sodium_init() < 0) {
        return ERR_BUG;
    }
    if (app_exists(home)) {
        return why_setf(why, ERR_EXISTS, "%s 里已有节点", "there already is a node in %s", home);
    }
    arena_init(&j.arena, &j.mem, APP_REQUEST_ARENA_BYTES);
    enum err e = invite_code_parse(code_text, &j.code, why);
    if (e == ERR_OK) {
        e = make_keys(&j);
    }
    if (e == ERR_OK) {
        e = exchange(&j, why);
    }
    j.joined.entry_count = j.count;
    if (e == ERR_OK) {
        e = app_create_joined(home, passphrase, &j.joined, recovery_text, why);
    }
    if (e == ERR_OK) {
        *node = j.joined.self.number;
    }
    arena_release(&j.arena);
    sodium_memzero(&j, sizeof(j));
    return e;
}
