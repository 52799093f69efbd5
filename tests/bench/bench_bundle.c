/*
 * A bundle of everything for an empty node, through the command: `jipan bundle export` of a store and `jipan bundle
 * import` into another, each with its whole process time, rate over the file and peak memory. No daemon runs. A second
 * export, after the acknowledgement bundle came back, shows that the next one is small.
 *
 * Usage: bench_bundle DIR JIPAN [CUSTOMERS]     DIR must exist, be empty and lie on the disk to be measured
 */
#include "tests/bench/stations.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct cost {
    double seconds, cpu, peak_mb;
};

static double size_of(const char *path)
{
    struct stat st = { 0 };
    bench_need(stat(path, &st) == 0, "no bundle");
    return (double)st.st_size;
}

/* jipan bundle VERB FILE [--for NODE] at a station that does not run. */
static struct cost bundle(const struct station *s, const char *verb, const char *file, const char *for_node)
{
    char password_file[STATION_PATH_BYTES + 16];
    const char *argv[] = { s->jipan, "--home", s->home, "--passphrase-file", s->passphrase_file, "--as", BENCH_LOGIN,
        "--password-file", password_file, "bundle", verb, file, for_node == NULL ? NULL : "--for", for_node, NULL };
    struct rusage use = { 0 };
    int status = 0;
    (void)snprintf(password_file, sizeof(password_file), "%s.password", s->passphrase_file);
    FILE *f = fopen(password_file, "we");
    bench_need(f != NULL && fputs(BENCH_PASSWORD "\n", f) >= 0 && fclose(f) == 0, "cannot write the password");
    double begin = bench_seconds();
    pid_t pid = fork();
    bench_need(pid >= 0, "cannot fork");
    if (pid == 0) {
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(fd, STDOUT_FILENO);
        (void)execv(s->jipan, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    bench_need(
        wait4(pid, &status, 0, &use) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the command failed");
    return (struct cost){ .seconds = bench_seconds() - begin,
        .cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
               (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6,
        .peak_mb = (double)use.ru_maxrss / 1024 };
}

static void print_cost(const char *what, const struct cost *c, double bytes, size_t customers)
{
    char name[80];
    (void)snprintf(name, sizeof(name), "bundle %s", what);
    bench_print_one(name, "MB/s", bytes / 1e6 / c->seconds, 0, "whole command; the passphrase stretched little");
    (void)snprintf(name, sizeof(name), "bundle %s: wall", what);
    bench_print_one(name, "s", c->seconds, 0, "");
    (void)snprintf(name, sizeof(name), "bundle %s: CPU", what);
    bench_print_one(name, "us/customer", c->cpu * 1e6 / (double)customers, 0, "");
    (void)snprintf(name, sizeof(name), "bundle %s: peak memory", what);
    bench_print_one(name, "MB", c->peak_mb, 0, "");
}

int main(int argc, char **argv)
{
    char code[INVITE_CODE_MAX];
    char file[STATION_PATH_BYTES + 16];
    char back[STATION_PATH_BYTES + 16];
    char for_a[32];
    char for_b[32];
    struct station a;
    struct station b;
    bench_need(argc > 2, "usage: bench_bundle DIR JIPAN [CUSTOMERS]");
    size_t customers = argc > 3 ? strtoul(argv[3], NULL, 10) : 100000;
    bench_need(customers > 0, "at least one customer");
    station_init(&a, argv[1], argv[2], "a");
    station_init(&b, argv[1], argv[2], "b");
    (void)snprintf(file, sizeof(file), "%s/there.jpb", argv[1]);
    (void)snprintf(back, sizeof(back), "%s/back.jpb", argv[1]);
    struct app *app = station_found(&a);
    station_invite(app, NODE_STATION, "S2", code);
    app_close(app);
    station_start(&a);
    station_join(&b, code, NULL);
    station_stop(&a);
    app = station_open(&b);
    (void)snprintf(for_b, sizeof(for_b), "%u", (unsigned)app->core.self.number);
    app_close(app);
    app = station_open(&a);
    (void)snprintf(for_a, sizeof(for_a), "%u", (unsigned)app->core.self.number);
    bench_import_all(app, customers);
    app_close(app);
    struct cost out = bundle(&a, "export", file, for_b);
    double bytes = size_of(file);
    struct cost in = bundle(&b, "import", file, NULL);
    bench_print_one("bundle", "MB", bytes / 1e6, 0, "everything for an empty node");
    bench_print_one("bundle: size", "B/customer", bytes / (double)customers, 0, "");
    print_cost("export", &out, bytes, customers);
    print_cost("import", &in, bytes, customers);
    (void)bundle(&b, "export", back, for_a);
    (void)bundle(&a, "import", back, NULL);
    (void)unlink(file);
    (void)bundle(&a, "export", file, for_b);
    bench_print_one("bundle after the acknowledgement", "KB", size_of(file) / 1e3, 0, "nothing new to carry");
    return 0;
}
