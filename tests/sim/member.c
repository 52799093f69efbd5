/*
 * Owns: the membership of a simulated group, changed at the first node by the functions behind the verbs: stations and
 * users at the start, then roles, keys, late joiners and revocations.
 */
#include "node/app_internal.h"
#include "schema/base/check.h"
#include "tests/sim/sim.h"

static void one_station(struct sim *s, uint32_t number)
{
    struct app *app = s->nodes[0].app;
    struct member_station st = { .number = number };
    (void)snprintf(st.code, sizeof(st.code), "S%u", number);
    (void)snprintf(st.name, sizeof(st.name), "S%u", number);
    enum err e = app_begin(app);
    if (e == ERR_OK) {
        e = member_add_station(app, &st);
        e = e == ERR_OK ? member_add_key_epoch(app, number) : e;
        e = app_end(app, e);
    }
    check(e == ERR_OK);
}

static uint32_t sales(void)
{
    return role_bit(ROLE_SM) | role_bit(ROLE_SC);
}

void member_users(struct sim *s)
{
    struct app *app = s->nodes[0].app;
    struct why why = { .zh = "" };
    node_enter(&s->nodes[0]);
    for (uint32_t i = 2; i <= s->plan->stations; i++) {
        one_station(s, i);
    }
    s->user_count = s->plan->users;
    for (uint32_t i = 0; i < s->user_count; i++) {
        char login[8];
        char station[8];
        s->user_station[i] = i % s->plan->stations + 1;
        (void)snprintf(login, sizeof(login), "u%u", members_next_user_number(app->members));
        (void)snprintf(station, sizeof(station), "S%u", s->user_station[i]);
        const struct app_user in = { .login = bytes_str(login),
            .name = bytes_str(login),
            .station_code = bytes_str(station),
            .roles = sales(),
            .password = BYTES_LIT("sim-password") };
        check(app_user_add(app, &in, &s->users[i], NULL, &why) == ERR_OK);
        arena_reset(&app->arena);
    }
    node_note_durable(&s->nodes[0]);
}

static enum err new_keys(struct sim *s, uint32_t choice)
{
    struct app *app = s->nodes[0].app;
    uint32_t station = choice % (s->plan->stations + 1);
    enum err e = app_begin(app);
    return e == ERR_OK ? app_end(app, member_add_key_epoch(app, station)) : e;
}

static enum err change_user(struct sim *s, const struct plan_action *a)
{
    struct app *app = s->nodes[0].app;
    struct why why = { .zh = "" };
    size_t i = a->a % s->user_count;
    bool on = a->id == DO_USER_ON;
    uint32_t roles = a->b % 2 == 0 ? sales() : role_bit(ROLE_SC);
    if (a->id == DO_USER_ROLES) {
        return app_user_change(app, s->users[i], &roles, NULL, NULL, NULL, &why);
    }
    enum err e = app_user_change(app, s->users[i], NULL, &on, NULL, NULL, &why);
    if (e == ERR_OK) {
        s->user_is_off[i] = !on;
    }
    return e;
}

enum err member_strike_off(struct sim *s, struct sim_node *n, const char *reason)
{
    struct why why = { .zh = "" };
    const struct known_heads *had = &s->nodes[0].durable;
    struct known_head cut = { .node = n->number };
    for (size_t i = 0; i < had->count; i++) {
        cut = had->at[i].node == n->number && had->at[i].epoch >= cut.epoch ? had->at[i] : cut;
    }
    enum err e = app_revoke(s->nodes[0].app, n->number, reason, NULL, &why);
    if (e == ERR_OK) {
        n->cut = cut;
        n->has_cut = cut.epoch != 0;
    }
    return e;
}

/* A node that is not the first, and that others can do without. */
static enum err revoke(struct sim *s, const struct plan_action *a)
{
    for (size_t i = 0; i < s->node_count; i++) {
        struct sim_node *n = &s->nodes[(a->a + i) % s->node_count];
        if (n->slot != 0 && n->exists && !n->is_retired && !n->is_clone) {
            enum err e = member_strike_off(s, n, "遗失");
            n->is_retired = e == ERR_OK || e == ERR_EXISTS; /* a crash may have kept the answer back */
            sim_log(s, "node %u revoked: %s", n->number, err_name(e));
            return e;
        }
    }
    return ERR_NOT_FOUND;
}

void member_learn(struct sim *s)
{
    for (size_t i = 0; i < s->node_count && node_is_up(&s->nodes[0]); i++) {
        struct sim_node *n = &s->nodes[i];
        const struct member_node *m = n->exists ? members_node(s->nodes[0].app->members, n->number) : NULL;
        n->is_retired = n->is_retired || (m != NULL && m->revoked_at != 0);
        member_learn_scope(s, n);
    }
}

static void join(struct sim *s, const struct plan_action *a)
{
    for (uint32_t i = 0; i < s->node_count; i++) {
        struct sim_node *n = &s->nodes[(a->a + i) % s->node_count];
        if (!n->exists && !n->is_retired && !n->is_clone) {
            s->member_changes++;
            sim_add_node(s, n->slot);
            s->totals->done[a->id] += n->exists ? 1 : 0;
            return;
        }
    }
}

static enum err do_it(struct sim *s, const struct plan_action *a)
{
    switch (a->id) {
    case DO_KEY_EPOCH:
        return new_keys(s, a->b);
    case DO_REVOKE:
        return revoke(s, a);
    case DO_SCOPE:
        return scope_do(s, a);
    default:
        return change_user(s, a);
    }
}

bool member_may_change(const struct sim *s)
{
    const struct sim_node *first = &s->nodes[0];
    return node_is_up(first) && first->paused_until <= s->now_ms && !first->must_meet &&
           !first->app->core.members_in_doubt;
}

void member_do(struct sim *s, const struct plan_action *a)
{
    struct sim_node *first = &s->nodes[0];
    if (!member_may_change(s)) {
        return;
    }
    node_enter(first);
    arena_reset(&first->app->arena);
    if (a->id == DO_JOIN) {
        join(s, a);
    } else {
        enum err e = do_it(s, a);
        bool is_answer = e == ERR_OK || err_class(e) == ERR_CLASS_USER;
        s->totals->done[a->id] += e == ERR_OK ? 1 : 0;
        s->had_roles = s->had_roles || e == ERR_OK;
        s->member_changes++;
        if (!is_answer) {
            (void)node_survived(first, e);
        }
    }
    if (node_is_up(first)) {
        member_learn(s);
        node_note_durable(first);
        node_step(first, (struct sync_event){ .kind = SYNC_EV_LOCAL });
    }
}
