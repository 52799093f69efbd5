#ifndef JIPAN_RESOLVE_H
#define JIPAN_RESOLVE_H

#include "node/net/loop.h"
#include "schema/base/bytes.h"
#include "schema/base/err.h"

#include <stdint.h>

/*
 * Addresses of peers. Numeric hosts are answered on the spot; a name is looked up on a helper thread, because a laptop
 * without a network would otherwise freeze its daemon for the resolver's whole timeout.
 */

enum { RESOLVE_HOST_BYTES = 256, RESOLVE_ADDRESS_BYTES = 64, RESOLVE_ADDRESSES_MAX = 4 };

/* Splits "host:port" or "[v6]:port". ERR_INVALID for anything else, port 0 included. */
MUST_USE enum err resolve_split(struct bytes address, char host[RESOLVE_HOST_BYTES], uint16_t *ret_port);

struct resolve_result {
    size_t count; /* 0 = not found */
    char address[RESOLVE_ADDRESSES_MAX][RESOLVE_ADDRESS_BYTES]; /* numeric, best first */
};

typedef void (*resolve_fn)(void *ctx, const struct resolve_result *result);

struct resolve;

/* fn runs once from the loop unless cancelled. ERR_BUSY when too many look-ups are under way. */
MUST_USE enum err resolve_start(struct loop *loop, const char *host, resolve_fn fn, void *ctx, struct resolve **out);
void resolve_cancel(struct resolve *r); /* NULL is fine; fn will not run */

/* True and the result when host is numeric. */
bool resolve_numeric(const char *host, struct resolve_result *out);

#endif
