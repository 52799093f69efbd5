#ifndef JIPAN_APP_INTERNAL_H
#define JIPAN_APP_INTERNAL_H

#include "node/app.h"

/* Shared by app*.c and enrol.c only. The member_add_* functions run inside the caller's transaction. */
void identity_from_seeds(struct node_secrets *self, uint32_t number, const uint8_t sign_seed[32],
    const uint8_t box_seed[32], const uint8_t tls_seed[32]);
/* True if the text shows as it is: UTF-8 without control or invisible characters or blanks at its ends. Names end up on
 * terminals of all nodes and are for ever in the membership log. */
bool member_text_is_plain(struct bytes text);
bool member_login_is_plain(struct bytes v); /* letters, digits, dot, hyphen, underscore */
enum { PASSWORD_MIN_BYTES = 8, PASSWORD_MAX_BYTES = 256 };
MUST_USE enum err password_verifier(struct bytes password, char out[MEMBER_VERIFIER_BYTES]);
MUST_USE enum err member_add_genesis(struct app *app, struct bytes group_name);
MUST_USE enum err member_add_station(struct app *app, const struct member_station *s);
MUST_USE enum err member_add_node(struct app *app, const struct member_node *n);
MUST_USE enum err member_add_user(struct app *app, const struct member_user *u);
MUST_USE enum err member_add_key_epoch(struct app *app, uint32_t station);
MUST_USE enum err member_add_key_grant(struct app *app, uint32_t station, const struct member_node *to);
MUST_USE enum err member_add_scope(struct app *app, const struct member_node *n);
MUST_USE enum err member_add_revoke(struct app *app, uint32_t node, const struct vv *cut, const char *reason);
/* Only the node with the authority's key changes the membership log. */
MUST_USE enum err app_need_authority(const struct app *app, struct why *why);
MUST_USE enum err peer_put(struct app *app, struct bytes address, const uint8_t tls_key[32]);

#endif
