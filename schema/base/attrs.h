#ifndef JIPAN_ATTRS_H
#define JIPAN_ATTRS_H

/* Compiler attributes under names that read as promises. */

#define MUST_USE          __attribute__((warn_unused_result))
#define NORETURN          __attribute__((noreturn))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
/* A large local that is written before it is read, on a path where filling it with the pattern would show. */
#define UNFILLED     __attribute__((uninitialized))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
