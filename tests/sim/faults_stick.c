/*
 * Owns: sticks that go wrong on their way: lost, copied, damaged, cut, old, brought to the wrong node, pulled out.
 */
#include "tests/sim/stick.h"

enum { AGAIN_MS = 20000 };

static bool spoil(struct sim *s, struct stick *x, const struct plan_action *a)
{
    if (x->len == 0) {
        return false;
    }
    /* Where twins differ in hidden values only, what is spoilt must not hang on the length of what holds them. */
    size_t len = s->plan->hidden != 0 && x->len > BUNDLE_HEADER_BYTES ? (size_t)BUNDLE_HEADER_BYTES : x->len;
    size_t at = (size_t)chance_below(&s->hostile, len);
    if (a->id == DO_STICK_FLIP) {
        x->bytes[at] ^= (uint8_t)(1U << (a->c % 8));
    } else {
        x->len = at;
    }
    x->is_spoilt = true;
    return true;
}

/* Taken in twice, one after the other. */
static bool twice(struct sim *s, const struct stick *x)
{
    return stick_take(s, x, x->to, 0, false, 1) && stick_take(s, x, x->to, 0, true, AGAIN_MS);
}

/* The oldest one that is left for the same receiver. */
static bool oldest(struct sim *s, const struct stick *x)
{
    const struct sticks *all = sticks_of(s);
    size_t i = 0;
    while (all->drawer[i].to != x->to) {
        i++;
    }
    return stick_take(s, &all->drawer[i], x->to, 0, false, 1);
}

static bool wrong_node(struct sim *s, const struct stick *x, uint32_t choice)
{
    const struct sim_node *n = some_up(s, choice);
    return n != NULL && n->number != x->receiver && stick_take(s, x, n->slot, 0, false, 1);
}

void fault_stick(struct sim *s, const struct plan_action *a)
{
    struct stick *x = stick_pick(s, a->a);
    bool happened = x != NULL;
    if (x == NULL) {
        return;
    }
    switch (a->id) {
    case DO_STICK_LOST:
        stick_remove(s, x);
        break;
    case DO_STICK_TWICE:
        happened = twice(s, x);
        break;
    case DO_STICK_OLD:
        happened = oldest(s, x);
        break;
    case DO_STICK_WRONG:
        happened = wrong_node(s, x, a->b);
        break;
    case DO_STICK_HALF:
        happened = stick_take(s, x, x->to, 1 + a->b % 3, false, 1);
        break;
    default:
        happened = spoil(s, x, a) && stick_take(s, x, x->to, 0, false, 1);
        break;
    }
    if (happened) {
        sim_fired(s, a->id);
    }
}
