#ifndef JIPAN_MEMBER_CHANGE_H
#define JIPAN_MEMBER_CHANGE_H

#include "node/app.h"

#include <jansson.h>

/* What an entry of the membership log changed, as the audit log shows it: kind, whom it is about, the same in words
 * ("zh", "en"). actor: the user who did it; a password that somebody else has set is said to be that. NULL: no such
 * entry, or one that nobody did by hand. */
json_t *member_change_json(struct app *app, uint64_t number, uint32_t actor);

#endif
