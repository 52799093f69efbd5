#ifndef JIPAN_TESTS_STORE_MEM_H
#define JIPAN_TESTS_STORE_MEM_H

#include "sync/store.h"

/*
 * The store of sync/store.h in memory: sorted arrays and an undo journal. Second implementation for the contract suite
 * and storage of simulated nodes. Deterministic; an idle one takes a few hundred bytes; every key, value and row is a
 * copy.
 */

/* Fails one operation: the k-th from now (k = countdown, 1 is the next), counting every operation that can fail. */
struct fault {
    uint64_t countdown; /* 0: off */
    enum err err; /* what it answers; ERR_OK stands for ERR_IO */
    bool fired;
};

struct store *store_mem_new(void);
void store_mem_free(struct store *s); /* NULL is fine */

/* Borrowed until the store is freed or another is set; NULL for none. A failing operation changes nothing. */
void store_mem_set_fault(struct store *s, struct fault *fault);

/* The process died and started again: an open transaction is gone, the store is no longer poisoned. */
void store_mem_reopen(struct store *s);

/* The power failed: also everything after the last durable commit is gone. */
void store_mem_power_cut(struct store *s);

#endif
