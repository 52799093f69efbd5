/*
 * Random histories of 2 to 5 nodes with cuts, restarts, rebuilds and clocks that are years off. When all is connected
 * and quiet again: nodes of equal scope have equal state hashes and conflict logs, every acknowledged write is in
 * everybody's history, every row is what merging its whole history gives, rebuilding changes nothing, nothing more is
 * sent, and a node that gets the same commits in any other order, keys last, ends in the same state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/fleet.h"
#include "tests/lib/testkit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEEDS = 300, OPS_MIN = 40, OPS_MORE = 120, RECORDS_MAX = 128, WRITES_MAX = 256, USERS = 4, CUSTOMERS_FIRST = 2 };

struct known_record {
    enum entity entity;
    struct record_id id;
    struct record_id customer;
};

struct ack {
    struct dot dot;
    enum entity entity;
    struct record_id id;
};

struct run {
    struct fleet *f;
    struct rng *rng;
    uint64_t seed;
    uint32_t stations; /* nodes 1..stations hold everything */
    uint32_t laptop; /* 0: none */
    uint32_t laptop_user;
    uint32_t users[USERS];
    uint32_t second_admin;
    struct known_record records[RECORDS_MAX];
    size_t record_count;
    struct ack acks[WRITES_MAX];
    size_t ack_count;
};

static uint64_t below(struct run *r, uint64_t bound)
{
    return test_random_below(r->rng, bound);
}

static uint32_t some_node(struct run *r)
{
    uint64_t n = below(r, r->stations + (r->laptop != 0 ? 1 : 0));
    return n == r->stations ? r->laptop : (uint32_t)n + 1;
}

/* A laptop writes as its owner only; users 0 and 1 are of station 1, and so are most customers. */
static uint32_t some_user(struct run *r, uint32_t node)
{
    uint64_t bound = below(r, 6) == 0 ? USERS : 2;
    return node == r->laptop ? r->laptop_user : r->users[below(r, bound)];
}

static void remember(struct run *r, const struct fleet_write *w, struct dot dot, struct record_id customer)
{
    if (dot.seq == 0) {
        return;
    }
    if (r->ack_count < WRITES_MAX) {
        r->acks[r->ack_count++] = (struct ack){ .dot = dot, .entity = w->entity, .id = w->id };
    }
    if (w->is_new && r->record_count < RECORDS_MAX) {
        r->records[r->record_count++] = (struct known_record){ .entity = w->entity, .id = w->id, .customer = customer };
    }
}

/* Refusals are fine, failures are not. */
static bool wrote(struct run *r, struct fleet_write *w, struct record_id customer)
{
    struct dot dot = { 0 };
    enum err e = fleet_write(r->f, w, &dot);
    if (e != ERR_OK && e != ERR_DENIED && e != ERR_NOT_FOUND && e != ERR_INVALID) {
        print_message("write: %s\n", err_en(e));
        fail();
    }
    if (e == ERR_OK) {
        remember(r, w, dot, customer.b[0] == 0 && w->entity == ENTITY_CUSTOMER ? w->id : customer);
    }
    return e == ERR_OK;
}

struct choice {
    enum entity entity;
    const char *field;
    const char *texts[4];
};

static const struct choice CHOICES[] = {
    { ENTITY_CUSTOMER, "full_name", { "陈大文", "陈小文", "李四", "王五" } },
    { ENTITY_CUSTOMER, "sex", { "M", "F", "U", "" } },
    { ENTITY_CUSTOMER, "birth_date", { "1980-01-02", "1981-01-02", "1982-01-02", "" } },
    { ENTITY_CUSTOMER, "occupation", { "教师", "医生", "司机", "" } },
    { ENTITY_CUSTOMER, "remark", { "一", "二", "三", "四" } },
    { ENTITY_CUSTOMER, "managed", { "1", "0", "1", "0" } },
    { ENTITY_CUSTOMER, "first_contact_at",
        { "2026-01-02T03:04:05Z", "2025-01-02T03:04:05Z", "2024-01-02T03:04:05Z", "2023-01-02T03:04:05Z" } },
    { ENTITY_ADDRESS, "town", { "东镇", "西镇", "南镇", "北镇" } },
    { ENTITY_ADDRESS, "detail", { "一号", "二号", "三号", "四号" } },
    { ENTITY_CONTACT_POINT, "is_primary", { "1", "0", "1", "0" } },
    { ENTITY_CONTACT_POINT, "verified_at",
        { "2026-01-02T03:04:05Z", "2025-01-02T03:04:05Z", "2024-01-02T03:04:05Z", "2023-01-02T03:04:05Z" } },
    { ENTITY_CONTACT_POINT, "value_norm", { "13800000001", "13800000002", "13800000003", "13800000004" } },
    { ENTITY_CUSTOMER_PROFILE, "colours", { "红", "白", "黑", "蓝" } },
    { ENTITY_CUSTOMER_PROFILE, "use", { "", "", "", "" } },
    { ENTITY_CUSTOMER_ASSIGNMENT, "staff", { "u2", "u3", "u4", "later" } },
    { ENTITY_CUSTOMER_ASSIGNMENT, "to_at", { "2026-02-02T03:04:05Z", "2026-03-02T03:04:05Z", "", "" } },
};

static void op_customer(struct run *r)
{
    uint32_t node = some_node(r);
    const struct fleet_field fields[] = { { "full_name", CHOICES[0].texts[below(r, 4)] }, { "remark", "首" },
        { below(r, 2) == 0 ? NULL : "birth_date", "1990-05-06" }, { NULL, NULL } };
    struct fleet_write w = {
        .node = node, .user = some_user(r, node), .entity = ENTITY_CUSTOMER, .is_new = true, .fields = fields
    };
    (void)wrote(r, &w, (struct record_id){ { 0 } });
}

static void op_child(struct run *r)
{
    static const enum entity kinds[] = { ENTITY_ADDRESS, ENTITY_CONTACT_POINT, ENTITY_CUSTOMER_PROFILE,
        ENTITY_CUSTOMER_ASSIGNMENT };
    if (r->record_count == 0) {
        return;
    }
    uint32_t node = some_node(r);
    enum entity kind = kinds[below(r, r->laptop != 0 ? 3 : 4)];
    const struct known_record *k = &r->records[below(r, r->record_count)];
    struct fleet_field fields[4] = { { NULL, NULL } };
    if (kind == ENTITY_ADDRESS) {
        fields[0] = (struct fleet_field){ "town", "镇" };
        fields[1] = (struct fleet_field){ "detail", "路" };
    } else if (kind == ENTITY_CONTACT_POINT) {
        fields[0] = (struct fleet_field){ "value_raw", "13800000000" };
    } else if (kind == ENTITY_CUSTOMER_PROFILE) {
        fields[0] = (struct fleet_field){ "colours", "绿" };
    } else {
        fields[0] = (struct fleet_field){ "role", "sales" };
        fields[1] = (struct fleet_field){ "staff", below(r, 2) == 0 ? "u2" : "later" };
        fields[2] = (struct fleet_field){ "from_at", "2026-01-01T00:00:00Z" };
    }
    struct fleet_write w = {
        .node = node, .user = some_user(r, node), .entity = kind, .id = k->customer, .is_new = true, .fields = fields
    };
    (void)wrote(r, &w, k->customer);
}

static void op_set(struct run *r)
{
    const struct choice *c = &CHOICES[below(r, ARRAY_LEN(CHOICES))];
    uint32_t node = some_node(r);
    for (size_t tries = 0; r->record_count > 0 && tries < 8; tries++) {
        const struct known_record *k = &r->records[below(r, r->record_count)];
        if (k->entity == c->entity) {
            const struct fleet_field fields[] = { { c->field, c->texts[below(r, 4)] }, { NULL, NULL } };
            struct fleet_write w = { .node = node,
                .user = some_user(r, node),
                .entity = k->entity,
                .id = k->id,
                .is_decision = below(r, 6) == 0,
                .fields = fields };
            (void)wrote(r, &w, k->customer);
            return;
        }
    }
}

static void op_delete(struct run *r)
{
    if (r->record_count == 0) {
        return;
    }
    uint32_t node = some_node(r);
    const struct known_record *k = &r->records[below(r, r->record_count)];
    struct fleet_write w = {
        .node = node, .user = some_user(r, node), .entity = k->entity, .id = k->id, .is_delete = true
    };
    (void)wrote(r, &w, k->customer);
}

static void op_book(struct run *r)
{
    static const char *const names[] = { "甲", "乙", "丙" };
    uint32_t node = (uint32_t)below(r, r->stations) + 1;
    const struct fleet_field fields[] = { { "user", "u9" }, { "name", names[below(r, 3)] }, { NULL, NULL } };
    struct fleet_write w = { .node = node,
        .user = below(r, 2) == 0 ? 1 : r->second_admin,
        .entity = ENTITY_STAFF,
        .is_new = true,
        .station = (uint32_t)below(r, 2) + 1,
        .fields = fields };
    (void)wrote(r, &w, (struct record_id){ { 0 } });
}

static void op_lines(struct run *r)
{
    uint32_t n = (uint32_t)fleet_count(r->f);
    uint32_t a = (uint32_t)below(r, n) + 1;
    uint32_t b = (uint32_t)below(r, n) + 1;
    if (a == b) {
        return;
    }
    if (fleet_lines(r->f, a, b) > 0 && below(r, 2) == 0) {
        fleet_cut(r->f, a, b);
    } else if (fleet_lines(r->f, a, b) < 2) {
        fleet_connect(r->f, a, b); /* now and then a second one: both dialled */
    }
}

static void op_trouble(struct run *r)
{
    uint32_t node = some_node(r);
    switch (below(r, 4)) {
    case 0:
        fleet_restart(r->f, node);
        break;
    case 1:
        assert_int_equal(fleet_rebuild(r->f, node), ERR_OK);
        break;
    case 2:
        fleet_set_clock(r->f, node, ((int64_t)below(r, 5) - 2) * 86400000 * 500);
        break;
    default:
        fleet_user_change(r->f, r->users[3], below(r, 2) == 0 ? "later" : "u5", role_bit(ROLE_SM) | role_bit(ROLE_SC),
            below(r, 4) != 0);
        fleet_local(r->f, 1);
        break;
    }
}

static void play(struct run *r)
{
    size_t ops = OPS_MIN + (size_t)below(r, OPS_MORE);
    for (size_t i = 0; i < CUSTOMERS_FIRST; i++) {
        op_customer(r);
        op_child(r);
    }
    fleet_connect_all(r->f);
    fleet_run(r->f);
    if (below(r, 2) == 0) {
        fleet_cut_all(r->f);
    }
    for (size_t i = 0; i < ops; i++) {
        uint64_t dice = below(r, 100);
        if (dice < 2) {
            op_customer(r);
        } else if (dice < 8) {
            op_child(r);
        } else if (dice < 60) {
            op_set(r);
        } else if (dice < 63) {
            op_delete(r);
        } else if (dice < 66) {
            op_book(r);
        } else if (dice < 76) {
            op_lines(r);
        } else if (dice < 80) {
            op_trouble(r);
        } else {
            for (uint64_t k = below(r, 12); k > 0 && fleet_step(r->f); k--) {
            }
        }
    }
}

static struct run *run_new(uint64_t seed)
{
    static struct run r;
    r = (struct run){ .f = fleet_new(seed), .seed = seed };
    r.rng = fleet_rng(r.f);
    (void)fleet_station(r.f);
    for (size_t i = 0; i < USERS; i++) {
        r.users[i] = fleet_user(r.f, (uint32_t)(i / 2) + 1, role_bit(ROLE_SM) | role_bit(ROLE_SC));
    }
    r.second_admin = fleet_user(r.f, 2, role_bit(ROLE_AD));
    r.stations = 1;
    for (uint64_t more = below(&r, 3) + 1; more > 0; more--) {
        r.stations = fleet_station_node(r.f, (uint32_t)(more % 2) + 1, true);
    }
    if (below(&r, 3) == 0) {
        r.laptop_user = r.users[0];
        r.laptop = fleet_laptop(r.f, r.laptop_user);
    }
    for (uint32_t n = 2; n <= fleet_count(r.f); n++) {
        fleet_teach(r.f, n);
    }
    return &r;
}

/* --- what must hold at the end --- */

static void check_same(struct run *r, uint32_t a, uint32_t b)
{
    assert_true(fleet_same_hash(r->f, a, b));
    assert_int_equal(fleet_space_count(r->f, a, SPACE_LOG), fleet_space_count(r->f, b, SPACE_LOG));
    assert_int_equal(fleet_space_count(r->f, a, SPACE_CONFLICT), fleet_space_count(r->f, b, SPACE_CONFLICT));
    assert_int_equal(fleet_conflicts(r->f, a, true), fleet_conflicts(r->f, b, true));
}

struct seeking {
    struct dot dot;
    bool found;
};

static enum err seek(void *ctx, const struct history_item *item)
{
    struct seeking *s = ctx;
    s->found = s->found || dot_equal(item->write.dot, s->dot);
    return ERR_OK;
}

static void check_history(struct run *r, uint32_t node)
{
    for (size_t i = 0; i < r->ack_count; i++) {
        struct seeking s = { .dot = r->acks[i].dot };
        struct arena *a = fleet_arena(r->f, node);
        arena_reset(a);
        assert_int_equal(
            core_history(fleet_core(r->f, node), a, catalogue_entity(r->acks[i].entity), r->acks[i].id, NULL, seek, &s),
            ERR_OK);
        assert_true(s.found);
    }
}

struct gathered {
    struct field_write at[WRITES_MAX];
    size_t count;
};

static enum err gather(void *ctx, const struct history_item *item)
{
    struct gathered *g = ctx;
    assert_true(g->count < WRITES_MAX);
    g->at[g->count++] = item->write;
    return ERR_OK;
}

/* Every stored field is the verdict over all its writes. */
static void check_fold(struct run *r, uint32_t node)
{
    struct core *c = fleet_core(r->f, node);
    for (size_t i = 0; i < r->record_count; i++) {
        const struct entity_desc *d = catalogue_entity(r->records[i].entity);
        struct arena *a = fleet_arena(r->f, node);
        struct row row = { 0 };
        arena_reset(a);
        assert_int_equal(c->store->ops->row_get(c->store, d->entity, r->records[i].id, a, &row), ERR_OK);
        for (size_t k = 0; k < d->field_count; k++) {
            static struct gathered g;
            struct field_verdict v = { .value = VALUE_NONE };
            g.count = 0;
            if (d->fields[k].merge == MERGE_DERIVED) {
                continue;
            }
            assert_int_equal(core_history(c, a, d, row.id, &d->fields[k], gather, &g), ERR_OK);
            if (g.count > 0) {
                assert_int_equal(
                    merge_field(a, members_group_id(c->members), row.id, d, &d->fields[k], g.at, g.count, &v), ERR_OK);
            }
            assert_true(value_equal(v.value, row.values[k]));
        }
    }
}

struct order {
    struct dot at[1024];
    size_t count;
};

static enum err note_dot(void *ctx, struct bytes key, struct bytes value)
{
    struct order *o = ctx;
    (void)value;
    assert_true(o->count < ARRAY_LEN(o->at));
    return dot_from_key(key, &o->at[o->count++]);
}

/* The same commits, origins mixed anew, to a node that gets its keys at the very end. */
static void check_other_order(struct run *r)
{
    static struct order o;
    struct store *s = fleet_store(r->f, 1);
    const struct bytes all = { 0 };
    o.count = 0;
    assert_int_equal(s->ops->scan(s, SPACE_LOG, all, all, false, note_dot, &o), ERR_OK);
    uint32_t late = fleet_node_without_keys(r->f, 1, true);
    while (o.count > 0) {
        size_t pick = (size_t)below(r, o.count);
        while (pick > 0 && o.at[pick - 1].node == o.at[pick].node && o.at[pick - 1].epoch == o.at[pick].epoch) {
            pick--;
        }
        assert_int_equal(fleet_carry(r->f, 1, late, o.at[pick]), ERR_OK);
        memmove(o.at + pick, o.at + pick + 1, (o.count - pick - 1) * sizeof(*o.at));
        o.count--;
        if (o.count == r->seed % 40) {
            fleet_grant(r->f, late);
            fleet_teach(r->f, late);
        }
    }
    fleet_grant(r->f, late);
    fleet_teach(r->f, late);
    check_same(r, 1, late);
    assert_int_equal(fleet_quarantined(r->f, late, ERR_OK), fleet_quarantined(r->f, 1, ERR_OK));
    assert_int_equal(fleet_rebuild(r->f, late), ERR_OK);
    check_same(r, 1, late);
}

static enum err check_owned(void *ctx, const struct dossier *d)
{
    const struct run *r = ctx;
    bool is_book = d->kind == DOSSIER_STATION_BOOK || d->kind == DOSSIER_GROUP_BOOK;
    assert_true(is_book || (d->owner != 0 ? d->owner : d->creator) == r->laptop_user);
    return ERR_OK;
}

static void check_quiet(struct run *r)
{
    fleet_cut_all(r->f);
    fleet_connect_all(r->f);
    fleet_run(r->f);
    for (uint32_t a = 1; a <= fleet_count(r->f); a++) {
        for (uint32_t b = 1; b <= fleet_count(r->f); b++) {
            if (a != b) {
                assert_int_equal(fleet_session(r->f, a, b).state, SESSION_LIVE);
                assert_true(fleet_session(r->f, a, b).is_caught_up);
                assert_int_equal(fleet_session(r->f, a, b).sent_commits, 0);
            }
        }
    }
}

static void check_end(struct run *r)
{
    fleet_cut_all(r->f);
    fleet_connect_all(r->f);
    fleet_run(r->f);
    for (uint32_t n = 1; n <= fleet_count(r->f); n++) {
        assert_int_equal(fleet_failure(r->f, n), ERR_OK);
    }
    for (uint32_t n = 2; n <= r->stations; n++) {
        check_same(r, 1, n);
    }
    check_quiet(r);
    for (uint32_t n = 1; n <= r->stations; n++) {
        struct dot bad = { 0 };
        check_history(r, n);
        assert_int_equal(fleet_quarantined(r->f, n, ERR_OK), 0);
        assert_int_equal(core_verify_log(fleet_core(r->f, n), fleet_arena(r->f, n), &bad), ERR_OK);
    }
    check_fold(r, 1);
    assert_int_equal(fleet_rebuild(r->f, 1), ERR_OK);
    for (uint32_t n = 2; n <= r->stations; n++) {
        check_same(r, 1, n);
    }
    if (r->laptop != 0) {
        struct store *s = fleet_store(r->f, r->laptop);
        assert_int_equal(s->ops->dossier_scan(s, NULL, check_owned, r), ERR_OK);
    }
    check_other_order(r);
}

static void test_seed(uint64_t seed)
{
    struct run *r = run_new(seed);
    play(r);
    check_end(r);
    fleet_free(r->f);
}

static uint64_t first_seed = 1;
static uint64_t seed_count = SEEDS;
static uint64_t running;

static void test_all(void **state)
{
    (void)state;
    for (running = first_seed; running < first_seed + seed_count; running++) {
        test_seed(running);
    }
}

static void say_seed(void)
{
    if (running < first_seed + seed_count) {
        print_message("prop_fleet: seed %llu\n", (unsigned long long)running);
    }
}

/* A check() in the code under test. */
static void on_abort(int number)
{
    char text[48];
    int len = snprintf(text, sizeof(text), "prop_fleet: seed %llu\n", (unsigned long long)running);
    (void)!write(STDERR_FILENO, text, len < 0 ? 0 : (size_t)len);
    _exit(128 + number);
}

static int teardown(void **state)
{
    (void)state;
    say_seed();
    return 0;
}

/* prop_fleet [first [count]] */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(test_all, teardown) };
    first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : first_seed;
    seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : seed_count;
    (void)signal(SIGABRT, on_abort);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
