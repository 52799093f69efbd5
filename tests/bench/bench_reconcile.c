/*
 * What reconciliation costs: bytes, round trips and CPU time (both sides) by size of the sets and number of
 * differences, a third each of only ours, only theirs, other mark. Then: nothing in common, ids mixed or
 * apart; nothing on one side.
 *
 * Usage: bench_reconcile [FAN_OUT LEAF [MESSAGE_BYTES]]
 */
#include "sync/reconcile.h"
#include "tests/lib/testkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct set {
    struct reconcile_item *at;
    size_t count;
};

static uint32_t tuning[3];
static size_t found;

static double cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare_items(const void *a, const void *b)
{
    const struct reconcile_item *x = a;
    const struct reconcile_item *y = b;
    return dossier_id_compare(x->id, y->id);
}

static struct reconcile_item *array(size_t count)
{
    struct reconcile_item *p = calloc(count + 1, sizeof(*p));
    if (p == NULL) {
        abort();
    }
    return p;
}

static struct reconcile_item *some_items(struct rng *rng, size_t count)
{
    struct reconcile_item *all = array(count);
    rng_fill(rng, all, count * sizeof(*all));
    qsort(all, count, sizeof(*all), compare_items);
    return all;
}

/* differences of the items, spread evenly over the id space, go to one side only or get another mark. */
static void divide(const struct reconcile_item *all, size_t count, size_t differences, struct set set[2])
{
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        struct reconcile_item item = all[i];
        bool differs = next < differences && i == (2 * next + 1) * count / (2 * differences);
        size_t kind = differs ? next++ % 3 : 3;
        if (kind != 1) {
            set[0].at[set[0].count++] = item;
        }
        item.mark[0] ^= kind == 2 ? 1 : 0;
        if (kind != 0) {
            set[1].at[set[1].count++] = item;
        }
    }
}

static enum err hear(void *ctx, enum reconcile_kind kind, struct dossier_id id)
{
    (void)ctx;
    (void)kind;
    (void)id;
    found++;
    return ERR_OK;
}

static struct reconcile *begin(const struct set *set)
{
    struct reconcile *r = NULL;
    if (reconcile_new(test_mem(), set->at, set->count, &r) != ERR_OK) {
        abort();
    }
    if (tuning[0] != 0) {
        reconcile_tune(r, tuning[0], tuning[1], tuning[2]);
    }
    return r;
}

static void run(const char *name, size_t differences, const struct set set[2])
{
    const uint8_t salt[RECONCILE_SALT_BYTES] = { 1 };
    struct buf message[2];
    bool is_over = false;
    size_t bytes = 0;
    size_t messages = 0;
    double start = cpu_ms();
    struct reconcile *r[2] = { begin(&set[0]), begin(&set[1]) };
    buf_init(&message[0], test_mem(), RECONCILE_MESSAGE_MAX_BYTES);
    buf_init(&message[1], test_mem(), RECONCILE_MESSAGE_MAX_BYTES);
    found = 0;
    enum err e = reconcile_first(r[0], salt, &message[0]);
    double opened = cpu_ms() - start;
    for (size_t turn = 0; e == ERR_OK && message[turn].len > 0; turn = 1 - turn) {
        bytes += message[turn].len;
        messages++;
        buf_clear(&message[1 - turn]);
        e = reconcile_answer(r[1 - turn], buf_view(&message[turn]), &message[1 - turn], hear, NULL, &is_over);
    }
    double took = cpu_ms() - start;
    (void)printf("%-10s %8zu differences %9zu bytes %7.1f bytes each %5.1f round trips %8.1f ms CPU (%.1f to open)%s\n",
        name, differences, bytes, differences == 0 ? 0.0 : (double)bytes / (double)differences, (double)messages / 2,
        took, opened, e != ERR_OK || found != 2 * differences ? " WRONG" : "");
    (void)fflush(stdout);
    for (size_t i = 0; i < 2; i++) {
        reconcile_free(r[i]);
        buf_release(&message[i]);
    }
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = { 1000, 100000, 1000000 };
    static const size_t differences[] = { 0, 1, 100, 10000 };
    struct rng rng = test_rng(1);
    for (int i = 1; i < argc && i < 4; i++) {
        tuning[i - 1] = (uint32_t)strtoul(argv[i], NULL, 10);
    }
    tuning[2] = tuning[2] == 0 ? RECONCILE_MESSAGE_MAX_BYTES : tuning[2];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char name[24];
        struct reconcile_item *all = some_items(&rng, sizes[i]);
        struct set set[2] = { { array(sizes[i]), 0 }, { array(sizes[i]), 0 } };
        (void)snprintf(name, sizeof(name), "%zu", sizes[i]);
        for (size_t k = 0; k < ARRAY_LEN(differences) && differences[k] <= sizes[i]; k++) {
            set[0].count = set[1].count = 0;
            divide(all, sizes[i], differences[k], set);
            run(name, differences[k], set);
        }
        set[0].count = set[1].count = 0;
        for (size_t k = 0; k < sizes[i]; k++) {
            set[k % 2].at[set[k % 2].count++] = all[k];
        }
        run("mixed", sizes[i], set);
        const struct set apart[2] = { { all, sizes[i] / 2 }, { all + sizes[i] / 2, sizes[i] / 2 } };
        run("apart", sizes[i] / 2 * 2, apart);
        const struct set empty[2] = { { all, 0 }, { all, sizes[i] } };
        run("empty", sizes[i], empty);
        free(all);
        free(set[0].at);
        free(set[1].at);
    }
    return 0;
}
