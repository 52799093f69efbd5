/*
 * Owns: clocks, medians, figures, and the two things compared in every bench. The customers are those of the sample
 * with every column filled; making them is never inside a measured time.
 */
#include "tests/lib/bench_kit.h"

#include "node/request.h"
#include "node/vault/slots.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4352, CONSULTANTS = 8 };

void bench_need(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "bench: %s\n", what);
        exit(1);
    }
}

double bench_seconds(void)
{
    struct timespec t = { 0 };
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_cpu(void)
{
    struct rusage u = { 0 };
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

double bench_cpu_of(int pid)
{
    char path[64];
    char line[1024];
    unsigned long user = 0;
    unsigned long system_ = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    bench_need(f != NULL && fgets(line, (int)sizeof(line), f) != NULL, "cannot read /proc");
    (void)fclose(f);
    const char *after_name = strrchr(line, ')');
    bench_need(after_name != NULL &&
                   sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system_) == 2,
        "cannot read /proc");
    return (double)(user + system_) / (double)sysconf(_SC_CLK_TCK);
}

double bench_peak_mb(int pid)
{
    char path[64];
    char line[256];
    double kb = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    bench_need(f != NULL, "cannot read /proc");
    while (fgets(line, (int)sizeof(line), f) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kb = strtod(line + 6, NULL);
        }
    }
    (void)fclose(f);
    return kb / 1024;
}

double bench_disk_bytes(const char *directory)
{
    char path[PATH_BYTES];
    double sum = 0;
    DIR *d = opendir(directory);
    bench_need(d != NULL, "cannot list the home");
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        struct stat st = { 0 };
        (void)snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            sum += (double)st.st_blocks * 512;
        }
    }
    (void)closedir(d);
    return sum;
}

void bench_add(struct bench_series *s, double v)
{
    bench_need(s->count < BENCH_RUNS_MAX, "too many readings");
    s->at[s->count++] = v;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(struct bench_series *s, double q)
{
    bench_need(s->count > 0, "nothing was measured");
    qsort(s->at, s->count, sizeof(*s->at), by_value);
    size_t i = (size_t)(q * (double)s->count);
    return s->at[i < s->count ? i : s->count - 1];
}

void bench_print(const char *name, const char *unit, struct bench_series *s, double ratio, const char *remark)
{
    double median = bench_quantile(s, 0.5);
    (void)printf(
        "%s\t%s\t%.6g\t%.6g\t%.6g\t%.4g\t%s\n", name, unit, median, s->at[0], s->at[s->count - 1], ratio, remark);
    (void)fflush(stdout);
}

void bench_print_one(const char *name, const char *unit, double v, double ratio, const char *remark)
{
    (void)printf("%s\t%s\t%.6g\t%.6g\t%.6g\t%.4g\t%s\n", name, unit, v, v, v, ratio, remark);
    (void)fflush(stdout);
}

/* --- a node ---------------------------------------------------------------------------------------------------------
 */

static void need_ok(enum err e, const char *what, const struct why *why)
{
    if (e != ERR_OK) {
        (void)fprintf(stderr, "bench: %s: %s %s\n", what, err_name(e), why->en);
        exit(1);
    }
}

struct app *bench_node(const char *home)
{
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    struct app *app = NULL;
    struct why why = { .zh = { 0 } };
    const struct app_init init = { .passphrase = BYTES_LIT(BENCH_PASSPHRASE),
        .group_name = BYTES_LIT("bench"),
        .station_code = BYTES_LIT("S1"),
        .admin_login = BYTES_LIT("admin"),
        .admin_password = BYTES_LIT(BENCH_PASSWORD) };
    vault_test_set_kdf(1, 8192);
    need_ok(app_create(home, &init, recovery, &app, &why), "no node", &why);
    for (int i = 0; i <= CONSULTANTS; i++) {
        char login[16];
        uint32_t number = 0;
        (void)snprintf(login, sizeof(login), i == 0 ? BENCH_LOGIN : "SC%02d", i);
        const struct app_user user = { .login = bytes_str(login),
            .name = bytes_str(login),
            .station_code = BYTES_LIT("S1"),
            .roles = i == 0 ? role_bit(ROLE_SM) | role_bit(ROLE_SC) : role_bit(ROLE_SC),
            .password = BYTES_LIT(BENCH_PASSWORD) };
        need_ok(app_user_add(app, &user, &number, NULL, &why), "no user", &why);
    }
    return app;
}

json_t *bench_request(const char *verb, json_t *args)
{
    json_t *rq = json_object();
    (void)json_object_set_new(rq, "verb", json_string(verb));
    (void)json_object_set_new(rq, "user", json_string(BENCH_LOGIN));
    (void)json_object_set_new(rq, "password", json_string(BENCH_PASSWORD));
    (void)json_object_set_new(rq, "args", args);
    return rq;
}

json_t *bench_run(struct app *app, json_t *request)
{
    json_t *reply = request_run(app, request, NULL, 0);
    json_t *result = json_incref(json_object_get(reply, "result"));
    if (json_integer_value(json_object_get(reply, "code")) != 0) {
        char *text = json_dumps(reply, 0);
        (void)fprintf(stderr, "bench: %s\n", text == NULL ? "?" : text);
        exit(1);
    }
    json_decref(reply);
    json_decref(request);
    return result;
}

void bench_sample(uint64_t index, struct sample_customer *out)
{
    const struct sample s = { .seed = 1, .station = 1, .fills_all = true };
    sample_make(&s, index, out);
}

/* Where columns go. The whole card: eight records, among them four contact points and the identity number under its own
 * key. The plain one: about the 24 stored values that other engines were measured with (four records). */
static const char whole_card[] =
    "姓名=full_name,类型=kind,性别=sex,出生日期=birth_date,证件号码=identity_document.doc_no,手机=mobile,"
    "备用手机=mobile,座机=home,邮箱=email,职业=occupation,行业=industry,来源=origin,首次接触=first_contact_at,"
    "区划=address.region_code,街道=address.town,地址=address.detail,邮编=address.postcode,顾问=consultant,备注=remark";
static const char plain_card[] =
    "姓名=full_name,类型=kind,性别=sex,出生日期=birth_date,手机=mobile,职业=occupation,行业=industry,来源=origin,"
    "首次接触=first_contact_at,区划=address.region_code,街道=address.town,地址=address.detail,邮编=address.postcode,"
    "顾问=consultant,备注=remark";

static const char *import_map_text(void)
{
    return getenv("BENCH_PLAIN_CARD") == NULL ? whole_card : plain_card;
}

/* As the command sends it. */
static json_t *bench_row(uint64_t number, int64_t line)
{
    struct sample_customer customer;
    struct bytes cells[SAMPLE_COLUMNS];
    struct mem mem = app_mem((size_t)1 << 20);
    struct buf text;
    bench_sample(number, &customer);
    for (unsigned c = 0; c < SAMPLE_COLUMNS; c++) {
        cells[c] = sample_cell(&customer, (enum sample_column)c);
    }
    buf_init(&text, &mem, (size_t)1 << 16);
    import_cells_put(&text, line, cells, SAMPLE_COLUMNS);
    bench_need(text.err == ERR_OK, "a row is too long");
    json_t *row = json_stringn((const char *)text.ptr, text.len);
    buf_release(&text);
    return row;
}

double bench_import(struct app *app, uint64_t first, size_t count, double *cpu)
{
    json_t *args = json_object();
    json_t *header = json_array();
    json_t *rows = json_array();
    for (unsigned c = 0; c < SAMPLE_COLUMNS; c++) {
        (void)json_array_append_new(header, json_string(sample_header((enum sample_column)c)));
    }
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(rows, bench_row(first + i, (int64_t)i + 2));
    }
    (void)json_object_set_new(args, "entity", json_string("customer"));
    (void)json_object_set_new(args, "map", json_string(import_map_text()));
    (void)json_object_set_new(args, "header", header);
    (void)json_object_set_new(args, "rows", rows);
    json_t *request = bench_request("import", args);
    double cpu_before = bench_cpu();
    double start = bench_seconds();
    json_t *result = bench_run(app, json_incref(request));
    double spent = bench_seconds() - start;
    *cpu += bench_cpu() - cpu_before;
    if (json_integer_value(json_object_get(result, "imported")) != (json_int_t)count) {
        char *text = json_dumps(result, 0);
        (void)fprintf(stderr, "bench: not all rows imported: %.2000s\n", text == NULL ? "?" : text);
        exit(1);
    }
    json_decref(result);
    json_decref(request);
    return spent;
}

void bench_import_all(struct app *app, size_t customers)
{
    double cpu = 0;
    for (size_t at = 0; at < customers; at += IMPORT_ROWS_PER_REQUEST) {
        (void)bench_import(
            app, at, customers - at < IMPORT_ROWS_PER_REQUEST ? customers - at : IMPORT_ROWS_PER_REQUEST, &cpu);
    }
}

/* --- plain SQLite ---------------------------------------------------------------------------------------------------
 */

static void plain_exec(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
        (void)fprintf(stderr, "bench: %s: %s\n", text, sqlite3_errmsg(db));
        exit(1);
    }
}

sqlite3 *bench_plain_open(const char *path, bool with_index)
{
    sqlite3 *db = NULL;
    bench_need(sqlite3_open(path, &db) == SQLITE_OK, "cannot open plain SQLite");
    plain_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
    char text[1024] = "CREATE TABLE customer (id INTEGER PRIMARY KEY";
    size_t n = strlen(text);
#define X(member, bytes, header, other, field) \
    n += (size_t)snprintf(text + n, sizeof(text) - n, ", \"%s\" TEXT", #member);
    SAMPLE_TABLE(X)
#undef X
    (void)snprintf(text + n, sizeof(text) - n, ")");
    plain_exec(db, text);
    if (with_index) {
        plain_exec(db, "CREATE INDEX by_mobile ON customer (mobile)");
    }
    return db;
}

double bench_plain_insert(sqlite3 *db, uint64_t first, size_t count)
{
    struct sample_customer *customers = calloc(count, sizeof(*customers));
    char text[256] = "INSERT INTO customer VALUES (?1";
    size_t n = strlen(text);
    sqlite3_stmt *stmt = NULL;
    bench_need(customers != NULL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        bench_sample(first + i, &customers[i]);
    }
    for (unsigned c = 0; c < SAMPLE_COLUMNS; c++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, ", ?%u", c + 2);
    }
    (void)snprintf(text + n, sizeof(text) - n, ")");
    double start = bench_seconds();
    plain_exec(db, "BEGIN IMMEDIATE");
    bench_need(sqlite3_prepare_v2(db, text, -1, &stmt, NULL) == SQLITE_OK, "cannot prepare");
    for (size_t i = 0; i < count; i++) {
        (void)sqlite3_bind_int64(stmt, 1, (sqlite3_int64)(first + i + 1));
        for (unsigned c = 0; c < SAMPLE_COLUMNS; c++) {
            struct bytes cell = sample_cell(&customers[i], (enum sample_column)c);
            (void)sqlite3_bind_text(stmt, (int)c + 2, (const char *)cell.ptr, (int)cell.len, SQLITE_STATIC);
        }
        bench_need(sqlite3_step(stmt) == SQLITE_DONE, "plain insert failed");
        (void)sqlite3_reset(stmt);
    }
    (void)sqlite3_finalize(stmt);
    plain_exec(db, "COMMIT");
    double spent = bench_seconds() - start;
    free(customers);
    return spent;
}
