#ifndef JIPAN_TESTS_SIM_MEMORY_H
#define JIPAN_TESTS_SIM_MEMORY_H

/*
 * Memory of the simulator's process. SQLite gets pieces of a few sizes that are kept when they are given back, because
 * a run takes and gives back some hundred thousand of them, and takes no locks; malloc keeps what it has taken from the
 * system. With address sanitizer nothing of this: it sees more without.
 */
void memory_init(void); /* before SQLite is started */

#endif
