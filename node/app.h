#ifndef JIPAN_APP_H
#define JIPAN_APP_H

#include "node/vault.h"
#include "node/vault/disk.h"
#include "sync/core.h"

/*
 * One opened node: vault, store, membership, core. Everything that happens on a node, from the daemon or from a command
 * that found no daemon, happens through one struct app in one thread.
 */
enum {
    APP_SESSIONS_MAX = 64,
    APP_SESSION_HOURS = 8,
    APP_TOKEN_TEXT_BYTES = 65,
    APP_PATH_MAX = 4096,
    APP_MEM_MAX_BYTES = 1 << 30,
    APP_REQUEST_ARENA_BYTES = 256 << 20,
    APP_ADDRESS_MAX = 180
};

/* Called after a transaction that added commits or membership entries has committed, so that live sessions can send
 * them. */
typedef void (*app_changed_fn)(void *ctx);

struct app {
    struct disk disk; /* of the vault and of what lies beside it */
    char home[APP_PATH_MAX];
    struct vault *vault;
    struct store *store;
    struct mem mem;
    struct rng rng;
    struct members *members;
    struct core core;
    struct arena arena; /* one request; reset by app_reset_arena */
    app_changed_fn changed;
    void *changed_ctx;
    uint8_t cache_key[KEY_BYTES]; /* per process; keys the cache of verified passwords */
    struct verified {
        uint32_t user;
        uint64_t since; /* membership entry of the user version */
        uint8_t tag[32];
    } verified[16];
    size_t verified_next;
    struct login_session {
        uint32_t user;
        uint64_t since; /* membership entry of the user version: a change of the user ends the session */
        uint64_t expires_ms; /* monotonic */
        uint8_t tag[32]; /* keyed hash of the token; the token itself is not kept */
    } sessions[APP_SESSIONS_MAX];
    size_t session_next;
    bool has_reserve; /* somebody chose how much of the disk is not for what peers send: node/limits.h */
    uint64_t reserve_bytes;
    bool has_mark; /* node/mark.h: what app_close brings up to date */
    int64_t changes_at_mark;
    struct backup *backup; /* the one under way, node/backup.h; NULL: none */
    struct bundle_desk *bundles; /* those under way, node/bundle_desk.h; NULL: none yet */
    bool may_thread; /* bulk work may use a second thread; false where a run must be the same from call to call */
    bool members_changed; /* entries folded in the running transaction: a rollback must reload */
};

struct now app_now(void);
struct mem app_mem(size_t max_bytes); /* malloc-backed */
struct rng app_rng(void); /* randombytes_buf */

/* What `init` needs. Strings are UTF-8. */
struct app_init {
    struct bytes passphrase;
    struct bytes group_name;
    struct bytes station_code;
    struct bytes admin_login;
    struct bytes admin_password;
};

/* Creates home (0700) if needed, the vault, and the group with its first node. Nothing is left behind on an error. */
MUST_USE enum err app_create(const char *home, const struct app_init *in, char recovery_text[VAULT_RECOVERY_TEXT_BYTES],
    struct app **out, struct why *why);
MUST_USE enum err app_open(const char *home, struct bytes passphrase, struct app **out, struct why *why);
void app_close(struct app *app);
/* The same on any disk and on one thread; those above are on disk_posix() and may use a second one. */
MUST_USE enum err app_create_on(struct disk disk, const char *home, const struct app_init *in,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], struct app **out, struct why *why);
MUST_USE enum err app_open_on(
    struct disk disk, const char *home, struct bytes passphrase, struct app **out, struct why *why);
bool app_exists(const char *home);

/* What a joining node keeps: built in memory during the exchange, written by app_create_joined in one go. */
struct app_joined {
    struct node_secrets self; /* number set from the reply */
    uint8_t sign_seed[32], box_seed[32];
    const struct bytes *entries; /* the membership log */
    size_t entry_count;
    uint8_t genesis_hash[32]; /* from the invite code: must match */
    struct bytes peer_address;
    uint8_t peer_tls_key[32];
};
MUST_USE enum err app_create_joined(const char *home, struct bytes passphrase, const struct app_joined *in,
    char recovery_text[VAULT_RECOVERY_TEXT_BYTES], struct why *why);

MUST_USE enum err app_create_joined_on(struct disk disk, const char *home, struct bytes passphrase,
    const struct app_joined *in, char recovery_text[VAULT_RECOVERY_TEXT_BYTES], struct why *why);

/* Transactions: begin, the work, then app_end(app, err): commits durably when err is ERR_OK, else rolls back and
 * reloads; returns the final error. When it commits and something may interest peers, `changed` is called. */
MUST_USE enum err app_begin(struct app *app);
/* Before anything is read from memory: if it could not be reloaded after a rollback, it is now, or nothing goes on. */
MUST_USE enum err app_refresh(struct app *app);
MUST_USE enum err app_end(struct app *app, enum err e);

/* Long work between app_begin and app_end: commits what was done so far and begins anew. It is durable when app_end
 * returns, whatever that returns, or the store is poisoned: nothing of it may leave the node before. */
MUST_USE enum err app_commit_more(struct app *app);

/* The same for what concerns no peer, such as the audit entries of a read: `changed` is not called, or every look at a
 * customer would have all sessions look for something to send. */
MUST_USE enum err app_end_unseen(struct app *app, enum err e);

/* app_end with one entry of the audit log before the commit, in the same transaction; note NULL: none. */
MUST_USE enum err app_end_noted(struct app *app, enum err e, const struct audit_entry *note);

/* Membership changes; only on the node that holds the authority (else ERR_DENIED with why). Each runs in its own
 * transaction, and note, if any, with it. */
struct app_user {
    struct bytes login, name, station_code;
    uint32_t roles;
    struct bytes password;
};
MUST_USE enum err app_user_add(
    struct app *app, const struct app_user *in, uint32_t *number, const struct audit_entry *note, struct why *why);
MUST_USE enum err app_user_change(struct app *app, uint32_t number, const uint32_t *roles, const bool *active,
    const struct bytes *password, const struct audit_entry *note, struct why *why);

struct app_invite {
    enum node_kind kind;
    struct bytes station_code;
    bool holds_group;
    uint32_t scope[16];
    size_t scope_count;
    struct bytes owner_login; /* laptops */
};
enum { INVITE_CODE_MAX = 512, INVITE_HOURS = 72 };
MUST_USE enum err app_invite(struct app *app, const struct app_invite *in, char code[INVITE_CODE_MAX],
    const struct audit_entry *note, struct why *why);
/* The authority's half of enrolment: checks proof and invite, enrols, fills entries (arena). ERR_EXPIRED for a used or
 * old invite. */
struct wire_message;
MUST_USE enum err app_enrol(struct app *app, const uint8_t peer_tls_key[32], const struct wire_message *request,
    uint32_t *node, const struct bytes **entries, size_t *count);
struct app_scope {
    uint32_t node;
    bool holds_group;
    uint32_t scope[16]; /* beside its own station, in any order */
    size_t scope_count;
    struct bytes owner_login; /* laptops; empty: as it is */
};
/* What a node may hold from now on. It gets keys and customers of stations that came in; it loses the keys of what is
 * written later in stations that went out, and forgets what it holds of them when it next meets a peer. */
MUST_USE enum err app_set_scope(
    struct app *app, const struct app_scope *in, const struct audit_entry *note, struct why *why);
MUST_USE enum err app_revoke(
    struct app *app, uint32_t node, const char *reason, const struct audit_entry *note, struct why *why);

/* The invite code as one line of text. */
struct invite_code {
    char address[APP_ADDRESS_MAX + 1];
    uint8_t tls_key[32];
    uint8_t genesis_hash[32];
    uint8_t id[8];
    uint8_t secret[16];
};
MUST_USE enum err invite_code_parse(struct bytes text, struct invite_code *out, struct why *why);
void invite_proof(const struct invite_code *code, const uint8_t joiner_tls[32], const uint8_t sign_key[32],
    const uint8_t box_key[32], uint8_t out[32]);

/* Checks login and password (cached per process for speed). ERR_SECRET for either being wrong, without telling which.
 */
MUST_USE enum err app_login(struct app *app, struct bytes login, struct bytes password, const struct member_user **out);

/* Logins of people at a running node: a random token instead of the password for APP_SESSION_HOURS, gone when the
 * process ends. */
void app_session_open(struct app *app, const struct member_user *user, char token[APP_TOKEN_TEXT_BYTES]);
MUST_USE enum err app_session_user(
    struct app *app, struct bytes token, const struct member_user **out); /* ERR_EXPIRED */
void app_session_close(struct app *app, struct bytes token);

/* Links to other nodes: address and the TLS key expected there. */
struct app_peer {
    char address[APP_ADDRESS_MAX + 1];
    uint8_t tls_key[32];
};
MUST_USE enum err app_peer_add(
    struct app *app, struct bytes address, const uint8_t tls_key[32], const struct audit_entry *note, struct why *why);
MUST_USE enum err app_peer_remove(struct app *app, struct bytes address, const struct audit_entry *note);
/* Up to max peers into out, in address order. */
MUST_USE enum err app_peers(struct app *app, struct app_peer *out, size_t max, size_t *count);
MUST_USE enum err app_set_listen(struct app *app, struct bytes address);
MUST_USE enum err app_listen(struct app *app, char out[APP_ADDRESS_MAX + 1]); /* empty if never run */

/* Full check behind `verify`: deep also recomputes log, conflicts and audit; ERR_DAMAGED with why. mended not NULL:
 * everything derived is made anew, and it says what was mended. */
MUST_USE enum err app_verify(struct app *app, bool deep, struct core_mended *mended, struct why *why);

#endif
