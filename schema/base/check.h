#ifndef JIPAN_CHECK_H
#define JIPAN_CHECK_H

#include "schema/base/attrs.h"

/**
 * check: stop the process when a programmer's assumption does not hold. Always on.
 * Never for values that came from outside (peer, file, flag, clock): those get an enum err.
 */
#define check(x) ((x) ? (void)0 : check_failed(#x, __FILE__, __LINE__))

/* The hook prints; it must not return to the caller. Default: abort. */
typedef void (*check_hook_fn)(const char *expr, const char *file, int line);

void check_set_hook(check_hook_fn hook);
NORETURN void check_failed(const char *expr, const char *file, int line);

#endif
