/* Owns: nothing. The command line under another name, so that coverage.c can read its table of verbs. */
#define main jipan_main
int jipan_main(int argc, char **argv);
#include "cli/main.c"
