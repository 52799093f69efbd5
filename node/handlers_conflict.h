#ifndef JIPAN_HANDLERS_CONFLICT_H
#define JIPAN_HANDLERS_CONFLICT_H

#include "node/request.h"

/* Verbs of handlers_read[] that stand in files of their own. */
enum err handle_conflicts(struct request *rq); /* handlers_conflict.c */
enum err handle_conflict(struct request *rq);
enum err handle_due(struct request *rq); /* handlers_due.c */

#endif
