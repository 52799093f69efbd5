/*
 * Every command and every message under every fault: the k-th piece of memory, read, write, sync or name fails, once or
 * from then on; the power goes at every changing operation. docs/TESTING.md says what is covered.
 *
 * Usage: fault_loops [--full | --share N] [--offset N] [THING [KIND K MODE]]
 *   without --full the core things are tried at every point and the others at a share, which the offset shifts
 *   --share N: one point in N of everything, others with every offset; of the disk's faults, which are fewer, eight
 *   THING KIND K MODE, as a failure prints it: that point alone, in this process
 */
#include "tests/faults/loops.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    inject_setup();
    if (!faults_setup(argc, argv)) {
        (void)fprintf(stderr, "usage: fault_loops [--full | --share N] [--offset N] [THING [KIND K MODE]]\n");
        return 2;
    }
    world_found();
    loop_verbs();
    loop_bundles();
    loop_messages();
    loop_files();
    coverage_check();
    return faults_end();
}
