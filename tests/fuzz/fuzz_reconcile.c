/*
 * Any bytes as the other side of a reconciliation: first byte which set is ours and who begins, then messages, each
 * with its length (u16 be). Whatever comes, our messages keep their limit, what we are told fits what we have, the run
 * ends within its number of rounds, and nothing is left behind.
 */
#include "schema/base/check.h"
#include "schema/base/reader.h"
#include "sync/reconcile.h"
#include "tests/lib/testkit.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { ITEMS_MAX = 2000 };

static struct reconcile_item items[ITEMS_MAX];
static size_t heard;

static int compare_items(const void *a, const void *b)
{
    const struct reconcile_item *x = a;
    const struct reconcile_item *y = b;
    return dossier_id_compare(x->id, y->id);
}

/* Sets of even shape hold every id they may, those of odd shape share all but the last two bytes. */
static size_t make_set(unsigned shape)
{
    static const size_t counts[] = { 0, 1, 12, 13, 100, 300, 300, ITEMS_MAX };
    size_t count = counts[shape % ARRAY_LEN(counts)];
    struct rng rng = test_rng(1);
    memset(items, 0, sizeof(items));
    for (size_t i = 0; i < count; i++) {
        items[i].id.b[8] = (uint8_t)(i >> 8);
        items[i].id.b[9] = (uint8_t)i;
        if (shape % 2 == 0) {
            rng_fill(&rng, items[i].id.b, sizeof(items[i].id.b));
        }
        rng_fill(&rng, items[i].mark, sizeof(items[i].mark));
    }
    qsort(items, count, sizeof(items[0]), compare_items);
    return count;
}

static enum err hear(void *ctx, enum reconcile_kind kind, struct dossier_id id)
{
    const struct reconcile_item key = { .id = id };
    bool is_ours = bsearch(&key, items, *(size_t *)ctx, sizeof(key), compare_items) != NULL;
    check(is_ours == (kind != RECONCILE_ONLY_THEIRS));
    heard++;
    return ERR_OK;
}

static bool is_the_peers_fault(enum err e)
{
    return e == ERR_FORMAT || e == ERR_TRUNCATED || e == ERR_PROTOCOL || e == ERR_LIMIT || e == ERR_VERSION;
}

static void talk(struct reconcile *r, struct reader *in, size_t count)
{
    struct buf out;
    bool is_over = false;
    enum err e = ERR_OK;
    buf_init(&out, test_mem(), RECONCILE_MESSAGE_MAX_BYTES);
    while (e == ERR_OK && !is_over && in->left >= 2) {
        size_t len = (size_t)in->ptr[0] << 8 | in->ptr[1];
        struct bytes message = { 0 };
        *in = reader_of(bytes_of(in->ptr + 2, in->left - 2));
        check(reader_take(in, len < in->left ? len : in->left, &message) == ERR_OK);
        buf_clear(&out);
        heard = 0;
        e = reconcile_answer(r, message, &out, hear, &count, &is_over);
        check(e == ERR_OK || is_the_peers_fault(e));
        check(out.len <= RECONCILE_MESSAGE_MAX_BYTES && (e != ERR_OK || is_over || out.len > 0));
        check(heard <= 3 * (size_t)RECONCILE_MESSAGE_MAX_BYTES / DOSSIER_ID_BYTES);
    }
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t salt[RECONCILE_SALT_BYTES] = { 0 };
    struct reconcile *r = NULL;
    if (len == 0) {
        return 0;
    }
    size_t count = make_set(data[0] & 15U);
    struct reader in = reader_of(bytes_of(data + 1, len - 1));
    check(reconcile_new(test_mem(), items, count, &r) == ERR_OK);
    if ((data[0] & 16U) != 0) {
        reconcile_tune(r, 16, 2, RECONCILE_MESSAGE_MIN_BYTES);
    }
    if ((data[0] & 32U) != 0) {
        struct buf out;
        buf_init(&out, test_mem(), RECONCILE_MESSAGE_MAX_BYTES);
        check(reconcile_first(r, salt, &out) == ERR_OK);
        buf_release(&out);
    }
    talk(r, &in, count);
    reconcile_free(r);
    check(test_mem()->used_bytes == 0);
    return 0;
}
