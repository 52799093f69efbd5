/* The packed form of parts: nothing is lost, nothing is longer by more than a byte, nothing wrong is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema/pack.h"
#include "tests/lib/testkit.h"

enum { MOST = 1 << 18, LONG = 70000, RANDOM_ROUNDS = 4000 };

struct bench {
    struct pack pack;
    struct arena a;
    struct buf packed;
};

static int set_up(void **state)
{
    static struct bench b;
    pack_init(&b.pack);
    arena_init(&b.a, test_mem(), 4 << 20);
    buf_init(&b.packed, test_mem(), MOST);
    *state = &b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    buf_release(&b->packed);
    arena_release(&b->a);
    return 0;
}

/* Length of the packed form of plain, which comes back the same. */
static size_t round_trip(struct bench *b, struct bytes plain)
{
    struct bytes got = { 0 };
    buf_clear(&b->packed);
    arena_reset(&b->a);
    pack_put(&b->pack, &b->packed, plain);
    assert_int_equal(b->packed.err, ERR_OK);
    assert_int_equal(pack_take(&b->pack, &b->a, buf_view(&b->packed), MOST, &got), ERR_OK);
    assert_true(bytes_equal(got, plain));
    assert_true(b->packed.len <= plain.len + 1);
    return b->packed.len;
}

static void known_texts_have_known_lengths(void **state)
{
    struct bench *b = *state;
    assert_int_equal(round_trip(b, BYTES_LIT("")), 1);
    assert_int_equal(round_trip(b, BYTES_LIT("\xff")), 2);
    assert_int_equal(round_trip(b, BYTES_LIT("13812345678 13987654321")), 14);
    assert_int_equal(round_trip(b, BYTES_LIT("天河路385号太古汇1座2108室")), 23);
    assert_int_equal(round_trip(b, BYTES_LIT("wang.xiaoming@example.com")), 20);
    assert_int_equal(round_trip(b, BYTES_LIT("\xe4\xe4\x80\x20\xef\xbf\xff\x00\x7f\xc0\xdf")), 12);
}

/* Bytes of each kind that has a context of its own, in any mixture. */
static void anything_comes_back(void **state)
{
    struct bench *b = *state;
    static uint8_t bytes[LONG];
    uint64_t seed = 5;
    for (unsigned round = 0; round < RANDOM_ROUNDS; round++) {
        size_t len = round % 500 == 0 ? LONG : round % 300;
        for (size_t i = 0; i < len; i++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            unsigned draw = (unsigned)(seed >> 40);
            switch (draw % 8 + round % 3) {
            case 0:
                bytes[i] = (uint8_t)draw;
                break;
            case 1:
            case 2:
                bytes[i] = (uint8_t)('0' + draw / 8 % 10);
                break;
            case 3:
                bytes[i] = (uint8_t)('a' + draw / 8 % 26);
                break;
            case 4:
            case 5:
                bytes[i] = (uint8_t)(0xE3 + draw / 8 % 13);
                break;
            default:
                bytes[i] = (uint8_t)(0x80 + draw / 8 % 64);
            }
        }
        (void)round_trip(b, bytes_of(bytes, len));
    }
}

static void every_shorter_form_is_refused(void **state)
{
    struct bench *b = *state;
    struct bytes got = { 0 };
    (void)round_trip(b, BYTES_LIT("保客赵六推荐，等年底优惠；预算15万左右"));
    for (size_t len = 0; len < b->packed.len; len++) {
        enum err e = pack_take(&b->pack, &b->a, bytes_of(b->packed.ptr, len), MOST, &got);
        assert_int_equal(e, ERR_TRUNCATED);
    }
}

static void bytes_behind_the_end_are_refused(void **state)
{
    struct bench *b = *state;
    struct bytes got = { 0 };
    size_t len = round_trip(b, BYTES_LIT("保客赵六推荐"));
    buf_put_u8(&b->packed, 0);
    assert_int_equal(pack_take(&b->pack, &b->a, buf_view(&b->packed), MOST, &got), ERR_FORMAT);
    (void)buf_reserve(&b->packed, 40); /* more than the reader holds at a time */
    assert_int_equal(pack_take(&b->pack, &b->a, buf_view(&b->packed), MOST, &got), ERR_FORMAT);
    size_t refused = 0;
    for (unsigned bit = 0; bit < 8; bit++) { /* a bit of the filling, or another text */
        b->packed.ptr[len - 1] ^= (uint8_t)(1U << bit);
        refused += pack_take(&b->pack, &b->a, bytes_of(b->packed.ptr, len), MOST, &got) != ERR_OK ? 1 : 0;
        b->packed.ptr[len - 1] ^= (uint8_t)(1U << bit);
    }
    assert_true(refused > 0);
}

static void more_than_the_limit_is_refused(void **state)
{
    struct bench *b = *state;
    struct bytes got = { 0 };
    struct arena small;
    const uint8_t claims[] = { 0xFF, 0xFF, 0x0F, 0, 0, 0 }; /* 262,143 bytes in three */
    (void)round_trip(b, BYTES_LIT("0123456789"));
    assert_int_equal(pack_take(&b->pack, &b->a, buf_view(&b->packed), 10, &got), ERR_OK);
    assert_int_equal(pack_take(&b->pack, &b->a, buf_view(&b->packed), 9, &got), ERR_LIMIT);
    assert_int_equal(pack_take(&b->pack, &b->a, BYTES_OF(claims), MOST, &got), ERR_TRUNCATED);
    arena_init(&small, test_mem(), 4);
    assert_int_equal(pack_take(&b->pack, &small, buf_view(&b->packed), MOST, &got), ERR_NOMEM);
    arena_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_texts_have_known_lengths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(anything_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_shorter_form_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_behind_the_end_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_than_the_limit_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
