#ifndef JIPAN_TESTS_BENCH_KIT_H
#define JIPAN_TESTS_BENCH_KIT_H

#include "node/app.h"
#include "node/import_cells.h"
#include "tests/lib/sample.h"

#include <jansson.h>
#include <sqlite3.h>

/*
 * What the benches share: clocks, medians, one line per figure, a node to measure, and plain SQLite doing the same
 * inserts. A bench that cannot go on says why and ends the process: nothing here is part of the product.
 */
enum { BENCH_RUNS_MAX = 4096 };

double bench_seconds(void); /* monotonic */
double bench_cpu(void); /* user and system seconds of this process */
MUST_USE double bench_cpu_of(int pid); /* the same of another process, from /proc; 10 ms steps */
MUST_USE double bench_peak_mb(int pid); /* most memory it ever had resident */
MUST_USE double bench_disk_bytes(const char *directory); /* blocks on disk of the files in it */

/* Ends the bench with a message when it is not so. */
void bench_need(bool ok, const char *what);

/* Repeated readings of one figure. */
struct bench_series {
    double at[BENCH_RUNS_MAX];
    size_t count;
};
void bench_add(struct bench_series *s, double v);
double bench_quantile(struct bench_series *s, double q); /* sorts */

/* One tab-separated line on stdout: name, unit, median, min, max, ratio to plain SQLite (0: none), remark. */
void bench_print(const char *name, const char *unit, struct bench_series *s, double ratio, const char *remark);
void bench_print_one(const char *name, const char *unit, double v, double ratio, const char *remark);

/* --- a node ---------------------------------------------------------------------------------------------------------
 */

#define BENCH_PASSPHRASE "bench passphrase"
#define BENCH_PASSWORD   "bench password"
#define BENCH_LOGIN      "boss"

/* A new group in home whose user "boss" may do everything; the consultants SC01 to SC08. The passphrase is stretched
 * little, so that opening does not hide what is measured. */
struct app *bench_node(const char *home);
json_t *bench_request(const char *verb, json_t *args); /* steals args; logged in as boss */
/* Runs it; ends the bench unless the reply has code 0. Returns the result. Steals request. */
json_t *bench_run(struct app *app, json_t *request);

/* Imports customers first to first+count-1 of the sample in one request; seconds spent in the request; adds its CPU. */
double bench_import(struct app *app, uint64_t first, size_t count, double *cpu);
void bench_import_all(struct app *app, size_t customers); /* from the first on, IMPORT_ROWS_PER_REQUEST a request */
void bench_sample(uint64_t index, struct sample_customer *out);

/* --- plain SQLite ---------------------------------------------------------------------------------------------------
 */

/* One table of 24 text columns, WAL, synchronous=FULL, the defaults otherwise. */
sqlite3 *bench_plain_open(const char *path, bool with_index);
double bench_plain_insert(sqlite3 *db, uint64_t first, size_t count); /* one transaction; seconds */

#endif
