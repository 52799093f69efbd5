#ifndef JIPAN_TESTS_FAULTS_LOOPS_H
#define JIPAN_TESTS_FAULTS_LOOPS_H

/* The things that are tried, by file. */
void loop_verbs(void);
void loop_messages(void);
void loop_files(void);

#endif
