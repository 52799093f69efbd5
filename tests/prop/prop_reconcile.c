/*
 * Reconciliation over random sets: both sides hear of every difference exactly once, whatever the sets, the size of
 * messages, fan-out and leaf, and whoever begins; compared with a plain merge of the two arrays.
 *
 * Usage: prop_reconcile [SEED [COUNT]]
 */
#include "schema/base/check.h"
#include "sync/reconcile.h"
#include "tests/lib/testkit.h"

#include <stdio.h>
#include <stdlib.h>

enum { ITEMS_MAX = 6000, SPACE_BYTES = RECONCILE_MESSAGE_MAX_BYTES };

struct side {
    struct reconcile_item items[ITEMS_MAX];
    size_t count;
    uint8_t told[ITEMS_MAX * 2]; /* by index in the union: kind heard */
    struct reconcile *r;
    bool is_over;
};

/* The union of both sets, with what is to be found out about each id. */
struct world {
    struct side side[2];
    struct reconcile_item all[ITEMS_MAX * 2];
    uint8_t want[ITEMS_MAX * 2]; /* as the first side should hear it; 0: equal */
    size_t count;
    struct rng rng;
    uint64_t bytes, messages;
};

static struct world w;

static int compare_items(const void *a, const void *b)
{
    const struct reconcile_item *x = a;
    const struct reconcile_item *y = b;
    return dossier_id_compare(x->id, y->id);
}

/* Ids close together, far apart, or sharing long beginnings. */
static struct dossier_id some_id(unsigned shape)
{
    struct dossier_id id = { { 0 } };
    size_t random = shape == 0 ? DOSSIER_ID_BYTES : shape == 1 ? 2 : 3;
    rng_fill(&w.rng, id.b + (DOSSIER_ID_BYTES - random), random);
    if (shape == 3) {
        memset(id.b, 0xFF, DOSSIER_ID_BYTES - random);
    }
    return id;
}

static void add(struct side *s, const struct reconcile_item *item)
{
    s->items[s->count++] = *item;
}

static void make_sets(void)
{
    const uint64_t shape = test_random_below(&w.rng, 4);
    const uint64_t sizes[] = { 0, 1, 20, 300, ITEMS_MAX };
    size_t total = test_random_below(&w.rng, sizes[test_random_below(&w.rng, ARRAY_LEN(sizes))] + 1);
    const uint64_t rates[] = { 0, 1, 10, 500, 1000 };
    uint64_t rate = rates[test_random_below(&w.rng, ARRAY_LEN(rates))]; /* differences in a thousand */
    uint64_t bias = test_random_below(&w.rng, 4);
    w.count = 0;
    w.side[0].count = w.side[1].count = 0;
    for (size_t i = 0; i < total; i++) {
        w.all[i] = (struct reconcile_item){ .id = some_id((unsigned)shape) };
        rng_fill(&w.rng, w.all[i].mark, sizeof(w.all[i].mark));
    }
    qsort(w.all, total, sizeof(w.all[0]), compare_items);
    for (size_t i = 0; i < total; i++) {
        if (w.count > 0 && compare_items(&w.all[w.count - 1], &w.all[i]) == 0) {
            continue;
        }
        struct reconcile_item item = w.all[i];
        uint64_t kind = test_random_below(&w.rng, 1000) < rate ? (bias < 3 ? bias + 1 : 1 + i % 3) : 0;
        w.want[w.count] = (uint8_t)kind;
        w.all[w.count++] = item;
        if (kind != RECONCILE_ONLY_THEIRS) {
            add(&w.side[0], &item);
        }
        item.mark[3] ^= kind == RECONCILE_DIFFERENT ? 1 : 0;
        if (kind != RECONCILE_ONLY_OURS) {
            add(&w.side[1], &item);
        }
    }
}

static enum err hear(void *ctx, enum reconcile_kind kind, struct dossier_id id)
{
    struct side *s = ctx;
    const struct reconcile_item key = { .id = id };
    const struct reconcile_item *at = bsearch(&key, w.all, w.count, sizeof(key), compare_items);
    check(at != NULL);
    check(s->told[at - w.all] == 0); /* exactly once */
    s->told[at - w.all] = (uint8_t)kind;
    return ERR_OK;
}

static void tune(struct side *s)
{
    const uint32_t leaf = 1 + (uint32_t)test_random_below(&w.rng, 48);
    const uint32_t frame = (uint32_t)RECONCILE_MESSAGE_MIN_BYTES << test_random_below(&w.rng, 6);
    if (test_random_below(&w.rng, 3) > 0) {
        reconcile_tune(s->r, 2 + (uint32_t)test_random_below(&w.rng, 30), leaf, frame);
    }
}

static void run(void)
{
    struct buf message[2];
    uint8_t salt[RECONCILE_SALT_BYTES];
    size_t turn = 0;
    for (size_t i = 0; i < 2; i++) {
        struct side *s = &w.side[i];
        memset(s->told, 0, sizeof(s->told));
        s->is_over = false;
        check(reconcile_new(test_mem(), s->items, s->count, &s->r) == ERR_OK);
        tune(s);
        buf_init(&message[i], test_mem(), RECONCILE_MESSAGE_MAX_BYTES);
    }
    rng_fill(&w.rng, salt, sizeof(salt));
    check(reconcile_first(w.side[0].r, salt, &message[0]) == ERR_OK);
    while (message[turn].len > 0) {
        struct side *to = &w.side[1 - turn];
        check(message[turn].len <= RECONCILE_MESSAGE_MAX_BYTES);
        w.bytes += message[turn].len;
        w.messages++;
        check(!to->is_over);
        buf_clear(&message[1 - turn]);
        enum err e = reconcile_answer(to->r, buf_view(&message[turn]), &message[1 - turn], hear, to, &to->is_over);
        if (e != ERR_OK) {
            (void)fprintf(stderr, "%s\n", err_name(e));
        }
        check(e == ERR_OK);
        turn = 1 - turn;
    }
    check(w.side[0].is_over && w.side[1].is_over);
    for (size_t i = 0; i < 2; i++) {
        reconcile_free(w.side[i].r);
        buf_release(&message[i]);
    }
}

static void judge(void)
{
    for (size_t i = 0; i < w.count; i++) {
        uint8_t other = w.want[i] == RECONCILE_ONLY_OURS     ? RECONCILE_ONLY_THEIRS
                        : w.want[i] == RECONCILE_ONLY_THEIRS ? RECONCILE_ONLY_OURS
                                                             : w.want[i];
        check(w.side[0].told[i] == w.want[i]);
        check(w.side[1].told[i] == other);
    }
    check(test_mem()->used_bytes == 0);
}

static uint64_t seed_now;

static void say_seed(const char *expr, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: %s\nseed %llu: build/prop_reconcile %llu 1\n", file, line, expr,
        (unsigned long long)seed_now, (unsigned long long)seed_now);
    exit(1);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 400;
    check_set_hook(say_seed);
    for (seed_now = first; seed_now < first + count; seed_now++) {
        w.rng = test_rng(seed_now);
        make_sets();
        run();
        judge();
    }
    (void)printf("%llu runs, %llu messages, %llu bytes\n", (unsigned long long)count, (unsigned long long)w.messages,
        (unsigned long long)w.bytes);
    return 0;
}
