/*
 * Owns: what happens when check() fails. No I/O here: node/ installs a hook that prints.
 */
#include "schema/base/check.h"

#include <stdlib.h>

static check_hook_fn check_hook;

void check_set_hook(check_hook_fn hook)
{
    check_hook = hook;
}

void check_failed(const char *expr, const char *file, int line)
{
    if (check_hook != NULL) {
        check_hook(expr, file, line);
    }
    abort();
}
