/* Owns: the form of a log line. Takes no text from outside, so that nothing of a customer can stand in a log. */
#include "node/log.h"

#include <stdio.h>

void node_log(const char *what, uint32_t node, enum err e)
{
    (void)fprintf(
        stderr, "jipan: %s node=%u%s%s\n", what, node, e == ERR_OK ? "" : " error=", e == ERR_OK ? "" : err_name(e));
}
