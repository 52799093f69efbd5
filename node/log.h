#ifndef JIPAN_NODE_LOG_H
#define JIPAN_NODE_LOG_H

#include "schema/base/err.h"

#include <stdint.h>

/* One line on stderr: what happened, which node, which error. Never a value, a name or anything a peer chose. */
void node_log(const char *what, uint32_t node, enum err e);

#endif
