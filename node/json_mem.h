#ifndef JIPAN_JSON_MEM_H
#define JIPAN_JSON_MEM_H

#include <stdbool.h>

/*
 * Memory of JSON. jansson answers a lack of memory with objects that quietly miss a part; here it is noticed. A request
 * that has written must be able to say so: while one is under way, what finds no memory takes it from a small reserve.
 * One thread.
 */
void json_mem_begin(void); /* a request; nests not */
bool json_mem_is_short(void); /* since json_mem_begin: something got no memory, and what was built may lack a part */
void json_mem_reply(void); /* now the reply is built: the rest of the reserve is for it */
void json_mem_end(void);
void json_mem_free(void *p); /* what json_dumps returned */

#endif
