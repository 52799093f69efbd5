/*
 * Owns: login sessions of people at a running node. Invariant: only a keyed hash of a token is in memory, and a session
 * ends with its time, with logout, with any change of the user in the membership log, or with the process.
 */
#include "node/app.h"

#include <sodium.h>

enum { TOKEN_BYTES = 32, HOUR_MS = 3600000 };

static void token_tag(const struct app *app, struct bytes token, uint8_t out[32])
{
    seal_hash(out, 32, "jipan/session-token/v1", app->cache_key, &token, 1);
}

void app_session_open(struct app *app, const struct member_user *user, char token[APP_TOKEN_TEXT_BYTES])
{
    uint8_t raw[TOKEN_BYTES];
    struct login_session *s = &app->sessions[app->session_next++ % APP_SESSIONS_MAX];
    rng_fill(&app->rng, raw, sizeof(raw));
    hex_text(BYTES_OF(raw), token);
    *s = (struct login_session){ .user = user->number,
        .since = user->since,
        .expires_ms = app_now().mono_ms + (uint64_t)APP_SESSION_HOURS * HOUR_MS };
    token_tag(app, bytes_str(token), s->tag);
    sodium_memzero(raw, sizeof(raw));
}

static struct login_session *find(struct app *app, struct bytes token)
{
    uint8_t tag[32];
    token_tag(app, token, tag);
    for (size_t i = 0; i < APP_SESSIONS_MAX; i++) {
        struct login_session *s = &app->sessions[i];
        if (s->user != 0 && sodium_memcmp(s->tag, tag, sizeof(tag)) == 0) {
            return s;
        }
    }
    return NULL;
}

enum err app_session_user(struct app *app, struct bytes token, const struct member_user **out)
{
    struct login_session *s = find(app, token);
    const struct member_user *user = s == NULL ? NULL : members_user(app->members, s->user);
    if (user == NULL || !user->is_active || user->since != s->since || app_now().mono_ms > s->expires_ms) {
        return ERR_EXPIRED;
    }
    *out = user;
    return ERR_OK;
}

void app_session_close(struct app *app, struct bytes token)
{
    struct login_session *s = find(app, token);
    if (s != NULL) {
        sodium_memzero(s, sizeof(*s));
    }
}
