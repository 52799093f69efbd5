#ifndef JIPAN_HANDLERS_BULK_H
#define JIPAN_HANDLERS_BULK_H

#include "node/request.h"

/* The verb `import`: one batch of rows (node/handlers_import.c). */
enum err handle_import(struct request *rq);

#endif
