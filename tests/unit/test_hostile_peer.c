/*
 * An enrolled node that does not keep to the rules: what it says on a live line must neither stop the node it talks to
 * nor keep others' commits from it. Well-formed lies only; malformed bytes are the fuzzers' business.
 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "schema/wire.h"
#include "tests/lib/fleet.h"
#include "tests/lib/testkit.h"

#include <stdlib.h>
#include <string.h>

/* Node 1: the group's. Node 2: station 1 as well, honest, the victim. Node 3: the liar's laptop. */
struct world {
    struct fleet *f;
    uint32_t seller;
    uint32_t victim;
    uint32_t liar;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->f = fleet_new(7);
    w->seller = fleet_user(w->f, 1, role_bit(ROLE_SC));
    w->victim = fleet_station_node(w->f, 1, false);
    w->liar = fleet_laptop(w->f, w->seller);
    fleet_teach(w->f, w->victim);
    fleet_connect(w->f, w->liar, w->victim);
    fleet_run(w->f);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    fleet_free(w->f);
    free(w);
    return 0;
}

static void say(const struct world *w, const struct wire_message *m)
{
    struct buf b;
    struct arena a;
    arena_init(&a, test_mem(), WIRE_ARENA_BYTES);
    buf_init(&b, test_mem(), WIRE_MESSAGE_MAX_BYTES);
    wire_put(&b, &a, m);
    assert_int_equal(b.err, ERR_OK);
    if (fleet_lines(w->f, w->liar, w->victim) == 0) {
        fleet_connect(w->f, w->liar, w->victim);
        fleet_run(w->f);
    }
    if (fleet_lines(w->f, w->liar, w->victim) != 0) {
        fleet_inject(w->f, w->liar, w->victim, buf_view(&b));
    }
    buf_release(&b);
    arena_release(&a);
    fleet_run(w->f);
}

/* The victim works: its step never failed, and it gets what the first node writes. */
static void assert_works(const struct world *w)
{
    assert_int_equal(fleet_failure(w->f, w->victim), ERR_OK);
    struct record_id id = fleet_customer(w->f, 1, w->seller, "王小明");
    fleet_cut_all(w->f);
    fleet_connect(w->f, w->victim, 1);
    fleet_run(w->f);
    assert_int_equal(fleet_failure(w->f, w->victim), ERR_OK);
    const char *name = fleet_get(w->f, w->victim, ENTITY_CUSTOMER, id, "full_name");
    assert_non_null(name);
    assert_string_equal(name, "王小明");
}

static void test_withheld_marks_of_others(void **state)
{
    const struct world *w = *state;
    const struct wire_item item = { .node = 1, .epoch = 1, .upto = 1000 };
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = &item, .count = 1 };
    say(w, &m);
    assert_works(w);
}

static void test_withheld_marks_of_many_epochs(void **state)
{
    const struct world *w = *state;
    enum { ITEMS = 4000, MESSAGES = 2 };
    struct wire_item *items = calloc(ITEMS, sizeof(*items));
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = items, .count = ITEMS };
    assert_non_null(items);
    for (uint32_t k = 0; k < MESSAGES; k++) {
        for (uint32_t i = 0; i < ITEMS; i++) {
            items[i] = (struct wire_item){ .node = w->liar, .epoch = 1 + k * ITEMS + i, .upto = 1 };
        }
        say(w, &m);
    }
    free(items);
    assert_works(w);
}

static void test_withheld_marks_of_the_victim(void **state)
{
    const struct world *w = *state;
    const struct wire_item item = { .node = w->victim, .epoch = 1, .upto = (uint64_t)1 << 62 };
    const struct wire_message m = { .kind = WIRE_COMMITS, .items = &item, .count = 1 };
    say(w, &m);
    struct record_id id = fleet_customer(w->f, w->victim, w->seller, "李四");
    fleet_connect(w->f, w->victim, 1);
    fleet_run(w->f);
    assert_non_null(fleet_get(w->f, 1, ENTITY_CUSTOMER, id, "full_name"));
    assert_works(w);
}

static size_t put_varint(uint8_t *to, size_t v)
{
    size_t n = 0;
    while (v > 127) {
        to[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    to[n++] = (uint8_t)v;
    return n;
}

static void say_bytes(const struct world *w, struct bytes message)
{
    if (fleet_lines(w->f, w->liar, w->victim) == 0) {
        fleet_connect(w->f, w->liar, w->victim);
        fleet_run(w->f);
    }
    fleet_inject(w->f, w->liar, w->victim, message);
    fleet_run(w->f);
}

/* Fields that no version knows cost memory to keep, at every depth and in repeated bodies, but not the process. */
static void test_unknown_fields(void **state)
{
    const struct world *w = *state;
    static uint8_t bytes[1000100];
    for (uint8_t body = 0; body < 10; body++) {
        for (size_t parts = 1; parts <= 4; parts++) {
            size_t n = 0;
            for (size_t p = 0; p < (body == 0 ? 1 : parts); p++) {
                size_t len = 1000000 / parts & ~(size_t)1;
                if (body != 0) {
                    bytes[n++] = (uint8_t)(body << 3 | 2);
                    n += put_varint(bytes + n, len);
                }
                for (size_t i = 0; i < len; i += 2) {
                    bytes[n++] = 0x78; /* field 15, number */
                    bytes[n++] = 0x01;
                }
            }
            say_bytes(w, bytes_of(bytes, n));
        }
    }
    assert_works(w);
}

/* A hello may claim to know any past of the victim. */
static void test_claims_about_the_victims_past(void **state)
{
    const struct world *w = *state;
    struct core *c = fleet_core(w->f, w->victim);
    struct store *store = fleet_store(w->f, w->liar);
    fleet_cut_all(w->f);
    assert_int_equal(store->ops->begin(store), ERR_OK);
    assert_int_equal(core_settle_withheld(fleet_core(w->f, w->liar), w->victim, UINT32_MAX - 1, 5), ERR_OK);
    assert_int_equal(store->ops->commit(store, true), ERR_OK);
    fleet_connect(w->f, w->liar, w->victim);
    fleet_run(w->f);
    struct record_id id = fleet_customer(w->f, w->victim, w->seller, "李四");
    assert_works(w);
    assert_non_null(fleet_get(w->f, 1, ENTITY_CUSTOMER, id, "full_name"));
    assert_int_equal(c->epoch, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_withheld_marks_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_withheld_marks_of_many_epochs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_withheld_marks_of_the_victim, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claims_about_the_victims_past, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
