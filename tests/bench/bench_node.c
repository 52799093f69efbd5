/*
 * One node: bulk import, durable single edits, reading a card, finding by exact mobile; plain SQLite doing the same in
 * turns, so that both see the same machine.
 *
 * Usage: bench_node DIR [CUSTOMERS [RUNS [import|edits]]]     DIR must exist, be empty and lie on the disk to be
 * measured; `import` and `edits` measure nothing else (edits: after an import)
 */
#include "node/request.h"
#include "tests/bench/stations.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SINGLES = 2000, SINGLE_RUNS = 5, IDS_MAX = 1000, PATH_BYTES = 4200 };

struct bench {
    const char *dir;
    size_t customers;
    struct app *app;
    sqlite3 *plain;
    char home[PATH_BYTES];
    char plain_path[PATH_BYTES];
    char ids[IDS_MAX][64];
    sqlite3_stmt *update;
    size_t id_count;
};

static void open_both(struct bench *b, size_t run)
{
    (void)snprintf(b->home, sizeof(b->home), "%s/node%zu", b->dir, run);
    (void)snprintf(b->plain_path, sizeof(b->plain_path), "%s/plain%zu.db", b->dir, run);
    b->app = bench_node(b->home);
    b->plain = bench_plain_open(b->plain_path, false);
}

static void close_both(struct bench *b)
{
    app_close(b->app);
    (void)sqlite3_finalize(b->update);
    b->update = NULL;
    (void)sqlite3_close(b->plain);
}

static double pages_of(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    double bytes = 0;
    bench_need(sqlite3_prepare_v2(db, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", -1,
                   &stmt, NULL) == SQLITE_OK &&
                   sqlite3_step(stmt) == SQLITE_ROW,
        "no page count");
    bytes = (double)sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return bytes;
}

/* Both sides insert batch by batch in turns. */
static void measure_import(struct bench *b, size_t runs)
{
    struct bench_series *rate = calloc(4, sizeof(*rate));
    struct bench_series *plain_rate = rate + 1;
    struct bench_series *times = rate + 2;
    struct bench_series *cpu_us = rate + 3;
    bench_need(rate != NULL, "out of memory");
    for (size_t run = 0; run < runs; run++) {
        double ours = 0;
        double theirs = 0;
        double cpu = 0;
        open_both(b, run);
        for (size_t at = 0; at < b->customers; at += IMPORT_ROWS_PER_REQUEST) {
            size_t n = b->customers - at < IMPORT_ROWS_PER_REQUEST ? b->customers - at : IMPORT_ROWS_PER_REQUEST;
            theirs += bench_plain_insert(b->plain, at, n);
            ours += bench_import(b->app, at, n, &cpu);
        }
        bench_add(rate, (double)b->customers / ours);
        bench_add(plain_rate, (double)b->customers / theirs);
        bench_add(times, ours / theirs);
        bench_add(cpu_us, cpu * 1e6 / (double)b->customers);
        if (run + 1 < runs) {
            close_both(b);
        }
    }
    bench_print("import: plain SQLite", "customers/s", plain_rate, 1, "24 columns, 2,000 a transaction");
    bench_print(
        "import", "customers/s", rate, 1 / bench_quantile(times, 0.5), "request with JSON rows to durable commit");
    bench_print("import: time as a multiple of plain", "x", times, 0, "");
    bench_print("import: CPU", "us/customer", cpu_us, 0, "");
    free(rate);
    double rows = (double)b->customers;
    double ours = pages_of(vault_db(b->app->vault)) / rows;
    double theirs = pages_of(b->plain) / rows;
    bench_print_one("disk: plain SQLite", "B/customer", theirs, 1, "");
    bench_print_one("disk after import", "B/customer", ours, theirs / ours, "log, rows and indexes; without the WAL");
}

/* Ids of customers, through the same door as everybody. */
static void fetch_ids(struct bench *b)
{
    json_t *args = json_object();
    (void)json_object_set_new(args, "entity", json_string("customer"));
    (void)json_object_set_new(args, "limit", json_integer(IDS_MAX));
    (void)json_object_set_new(args, "purpose", json_string("P1"));
    json_t *found = bench_run(b->app, bench_request("find", args));
    for (size_t i = 0; i < json_array_size(found) && i < IDS_MAX; i++) {
        (void)snprintf(
            b->ids[i], sizeof(b->ids[i]), "%s", json_string_value(json_object_get(json_array_get(found, i), "id")));
        b->id_count++;
    }
    json_decref(found);
    bench_need(b->id_count > 0, "no customer is found");
}

static const char *some_id(const struct bench *b, size_t i)
{
    return b->ids[i * 7919 % b->id_count];
}

static json_t *set_request(const struct bench *b, size_t i)
{
    json_t *args = json_object();
    json_t *fields = json_object();
    char text[32];
    (void)snprintf(text, sizeof(text), "职业%zu", i);
    (void)json_object_set_new(fields, "occupation", json_string(text));
    (void)json_object_set_new(args, "id", json_string(some_id(b, i)));
    (void)json_object_set_new(args, "fields", fields);
    return bench_request("set", args);
}

static void one_set(struct bench *b, size_t i)
{
    json_decref(bench_run(b->app, set_request(b, i)));
}

/* One cell straight through the core: no JSON, no rights of the viewer, no audit entry. */
static void one_write(struct bench *b, size_t i)
{
    struct record_id id = { 0 };
    const char *slash = strchr(some_id(b, i), '/');
    bench_need(slash != NULL && record_id_parse(bytes_str(slash + 1), &id) == ERR_OK, "an id cannot be read");
    (void)station_write_edit(b->app, id, i);
}

static void one_plain_update(struct bench *b, size_t i)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "职业%zu", i);
    bench_need(b->update != NULL || sqlite3_prepare_v2(b->plain, "UPDATE customer SET occupation = ?2 WHERE id = ?1",
                                        -1, &b->update, NULL) == SQLITE_OK,
        "cannot prepare");
    (void)sqlite3_bind_int64(b->update, 1, (sqlite3_int64)(i * 7919 % b->id_count + 1));
    (void)sqlite3_bind_text(b->update, 2, text, -1, SQLITE_STATIC);
    bench_need(sqlite3_step(b->update) == SQLITE_DONE, "plain update failed");
    (void)sqlite3_reset(b->update);
}

static void one_get(struct bench *b, size_t i)
{
    json_t *args = json_object();
    (void)json_object_set_new(args, "id", json_string(some_id(b, i)));
    (void)json_object_set_new(args, "purpose", json_string("P1"));
    json_decref(bench_run(b->app, bench_request("get", args)));
}

static json_t *find_contacts(struct bench *b, const char *field, const char *value)
{
    json_t *args = json_object();
    json_t *where = json_object();
    (void)json_object_set_new(where, field, json_string(value));
    (void)json_object_set_new(args, "entity", json_string("contact_point"));
    (void)json_object_set_new(args, "purpose", json_string("P1"));
    (void)json_object_set_new(args, "where", where);
    return bench_run(b->app, bench_request("find", args));
}

/* The customer and its contact points: two requests, two audit entries. */
static void one_card(struct bench *b, size_t i)
{
    one_get(b, i);
    json_t *found = find_contacts(b, "customer", some_id(b, i));
    bench_need(json_array_size(found) > 0, "a customer without contact points");
    json_decref(found);
}

static void one_mobile(struct bench *b, size_t i)
{
    struct sample_customer customer;
    bench_sample(i * 7919 % b->customers, &customer);
    json_t *found = find_contacts(b, "value_norm", customer.mobile);
    bench_need(json_array_size(found) > 0, "a mobile is not found");
    json_decref(found);
}

static void one_plain_mobile(struct bench *b, size_t i)
{
    struct sample_customer customer;
    sqlite3_stmt *stmt = NULL;
    bench_sample(i * 7919 % b->customers, &customer);
    bench_need(sqlite3_prepare_v2(b->plain, "SELECT * FROM customer WHERE mobile = ?1", -1, &stmt, NULL) == SQLITE_OK,
        "cannot prepare");
    (void)sqlite3_bind_text(stmt, 1, customer.mobile, -1, SQLITE_STATIC);
    bench_need(sqlite3_step(stmt) == SQLITE_ROW, "plain: a mobile is not found");
    (void)sqlite3_finalize(stmt);
}

typedef void (*once_fn)(struct bench *b, size_t i);

struct cost {
    double seconds;
    double cpu;
};

static struct cost cost_of(struct bench *b, once_fn fn, size_t run)
{
    double start = bench_seconds();
    double cpu = bench_cpu();
    for (size_t i = 0; i < SINGLES; i++) {
        fn(b, run * SINGLES + i);
    }
    return (struct cost){ .seconds = (bench_seconds() - start) / SINGLES, .cpu = (bench_cpu() - cpu) / SINGLES };
}

/* Rates of both in turns. plain NULL: nothing to compare with. */
static void measure_singles(
    struct bench *b, const char *name, once_fn fn, const char *plain_name, once_fn plain, const char *remark)
{
    struct bench_series *s = calloc(4, sizeof(*s)); /* rate, CPU, plain rate, ratio */
    char text[160];
    bench_need(s != NULL, "out of memory");
    for (size_t run = 0; run < SINGLE_RUNS; run++) {
        struct cost theirs = { 0 };
        if (plain != NULL) {
            theirs = cost_of(b, plain, run);
        }
        struct cost ours = cost_of(b, fn, run);
        bench_add(&s[0], 1 / ours.seconds);
        bench_add(&s[1], ours.cpu * 1e6);
        bench_add(&s[2], theirs.seconds > 0 ? 1 / theirs.seconds : 0);
        bench_add(&s[3], theirs.seconds / ours.seconds);
    }
    if (plain != NULL) {
        bench_print(plain_name, "/s", &s[2], 1, "");
    }
    (void)snprintf(text, sizeof(text), "%s; %.0f us CPU", remark, bench_quantile(&s[1], 0.5));
    bench_print(name, "/s", &s[0], plain == NULL ? 0 : bench_quantile(&s[3], 0.5), text);
    free(s);
}

static void measure_edits(struct bench *b)
{
    fetch_ids(b);
    measure_singles(b, "edit: set request", one_set, "edit: plain SQLite", one_plain_update,
        "durable; rights, validation, signature, audit entry");
    measure_singles(b, "edit: core only", one_write, "edit: plain SQLite again", one_plain_update, "durable");
}

static void measure_reading(struct bench *b)
{
    measure_singles(b, "get a customer", one_get, NULL, NULL, "with its durable audit entry");
    measure_singles(b, "read a card", one_card, NULL, NULL, "customer and contact points; two durable audit entries");
    bench_need(sqlite3_exec(b->plain, "CREATE INDEX by_mobile ON customer (mobile)", NULL, NULL, NULL) == SQLITE_OK,
        "no index");
    measure_singles(b, "find by mobile", one_mobile, "find by mobile: plain SQLite", one_plain_mobile,
        "with its durable audit entry; plain: no audit, nothing durable");
}

int main(int argc, char **argv)
{
    struct bench *b = calloc(1, sizeof(*b));
    size_t runs = argc > 3 ? strtoul(argv[3], NULL, 10) : 3;
    const char *only = argc > 4 ? argv[4] : NULL;
    bool is_import_only = only != NULL && strcmp(only, "import") == 0;
    bench_need(b != NULL && argc > 1, "usage: bench_node DIR [CUSTOMERS [RUNS]]");
    b->dir = argv[1];
    b->customers = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
    bench_need(b->customers >= IMPORT_ROWS_PER_REQUEST && runs > 0, "at least one request of customers and one run");
    measure_import(b, runs);
    if (!is_import_only) {
        measure_edits(b);
    }
    if (only == NULL) {
        measure_reading(b);
    }
    close_both(b);
    free(b);
    return 0;
}
