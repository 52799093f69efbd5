/* What a newer version sends: messages, versions, formats and contents that this one does not know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/core_internal.h"
#include "sync/newer.h"
#include "sync/take.h"
#include "tests/lib/fleet_world.h"
#include "tests/lib/forge.h"
#include "tests/lib/testkit.h"

/* --- the line --- */

static bool is_live(const struct world *w, uint32_t a, uint32_t b)
{
    return fleet_session(w->f, a, b).state == SESSION_LIVE;
}

static void test_message_numbers(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[8];
        size_t len;
        bool is_ignorable;
    } cases[] = {
        { { 0x82, 0x06, 0x01, 'x' }, 4, true }, /* field 96, one byte */
        { { 0x80, 0x06, 0x05, 0x82, 0x08, 0x00 }, 6, true }, /* field 96 a number, field 128 empty */
        { { 0xFA, 0x03, 0x01, 'x' }, 4, false }, /* field 63 */
        { { 0x82, 0x06, 0x00, 0x52, 0x00 }, 5, false }, /* field 96, then field 10 */
        { { 0x82, 0x06, 0x09, 'x' }, 4, false }, /* cut short */
        { { 0 }, 0, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w = world_new(2);
        assert_int_equal(wire_is_ignorable(bytes_of(cases[i].bytes, cases[i].len)), cases[i].is_ignorable);
        fleet_connect(w.f, 1, 2);
        fleet_run(w.f);
        fleet_inject(w.f, 2, 1, bytes_of(cases[i].bytes, cases[i].len));
        fleet_run(w.f);
        assert_int_equal(is_live(&w, 1, 2), cases[i].is_ignorable);
        fleet_free(w.f);
    }
}

/* The actions of node 1 when node 2 greets it with these versions: what it notes and what it tells node 2. */
static void greet(const struct world *w, uint32_t min, uint32_t max, enum err *noted, enum err *told)
{
    const struct member_node *peer = members_node(fleet_core(w->f, 1)->members, 2);
    const uint8_t hash[32] = { 0 };
    const struct wire_message m = { .kind = WIRE_HELLO,
        .hello = { .version_min = min,
            .version_max = max,
            .group = bytes_of(members_group_id(fleet_core(w->f, 1)->members), GROUP_ID_BYTES),
            .node = 2,
            .member_number = UINT64_MAX,
            .member_hash = BYTES_OF(hash) } };
    struct sync_event ev = { .kind = SYNC_EV_OPEN, .conn = 77, .now = fleet_now(w->f) };
    struct sync_actions actions;
    struct wire_message answer;
    struct buf b;
    memcpy(ev.key, peer->tls_key, sizeof(ev.key));
    assert_int_equal(sync_step(fleet_sync(w->f, 1), &ev, &actions), ERR_OK);
    buf_init(&b, test_mem(), 4096);
    wire_put(&b, fleet_arena(w->f, 1), &m);
    ev.kind = SYNC_EV_MESSAGE;
    ev.message = buf_view(&b);
    assert_int_equal(sync_step(fleet_sync(w->f, 1), &ev, &actions), ERR_OK);
    *noted = *told = ERR_OK;
    for (size_t i = 0; i < actions.count; i++) {
        if (actions.at[i].kind == SYNC_ACT_REFUSED) {
            *noted = actions.at[i].error;
        }
        if (actions.at[i].kind == SYNC_ACT_SEND) {
            assert_int_equal(wire_take(actions.at[i].message, fleet_arena(w->f, 1), &answer), ERR_OK);
            *told = answer.kind == WIRE_REFUSAL ? (enum err)answer.error : ERR_OK;
        }
    }
    buf_release(&b);
    ev.kind = SYNC_EV_CLOSED;
    assert_int_equal(sync_step(fleet_sync(w->f, 1), &ev, &actions), ERR_OK);
}

/* Both ends learn which of them has to upgrade. */
static void test_versions_that_do_not_meet(void **state)
{
    (void)state;
    struct world w = world_new(2);
    enum err noted = ERR_OK;
    enum err told = ERR_OK;
    greet(&w, WIRE_VERSION + 1, WIRE_VERSION + 4, &noted, &told);
    assert_int_equal(noted, ERR_OUTDATED);
    assert_int_equal(told, ERR_VERSION);
    greet(&w, 0, WIRE_VERSION_MIN - 1, &noted, &told);
    assert_int_equal(noted, ERR_VERSION);
    assert_int_equal(told, ERR_OUTDATED);
    greet(&w, 0, WIRE_VERSION + 9, &noted, &told); /* wide enough: refused for its empty audit head only */
    assert_int_equal(noted, ERR_TRUNCATED);
    fleet_free(w.f);
}

/* --- a commit format nobody here can verify --- */

/* What node `to` makes of an item that node `from` hands over, in a transaction of its own. An error ends a session. */
static enum err take(const struct world *w, uint32_t from, uint32_t to, const struct wire_item *item)
{
    struct core *c = fleet_core(w->f, to);
    struct vv known = { 0 };
    struct taken taken;
    const struct taking t = { .core = c,
        .work = fleet_arena(w->f, to),
        .from = from,
        .known = &known,
        .known_arena = fleet_arena(w->f, to),
        .now = fleet_now(w->f) };
    assert_int_equal(c->store->ops->begin(c->store), ERR_OK);
    enum err e = take_item(&t, item, &taken);
    if (e == ERR_OK) {
        assert_int_equal(c->store->ops->commit(c->store, true), ERR_OK);
    } else {
        c->store->ops->rollback(c->store);
        assert_int_equal(core_reload(c, fleet_arena(w->f, to)), ERR_OK);
    }
    return e;
}

/* A commit of this origin as the origin has it, in memory of our own. */
static struct wire_item item_of(const struct world *w, struct arena *a, uint32_t origin, uint64_t seq)
{
    struct wire_item item = { .node = 0 };
    assert_int_equal(fleet_commit_of(w->f, origin, world_dot(origin, seq), &item.commit, &item.secrets), ERR_OK);
    assert_int_equal(arena_dup(a, item.commit, &item.commit), ERR_OK);
    assert_int_equal(arena_dup(a, item.secrets, &item.secrets), ERR_OK);
    return item;
}

static struct newer_count newer_at(const struct world *w, uint32_t node)
{
    struct newer_count n;
    assert_int_equal(newer_count(fleet_core(w->f, node), &n), ERR_OK);
    return n;
}

/* Node 3 writes in a newer format from its first commit on, node 1 does not. Node 2 hears both in one message of
 * node 4.
 */
static void test_origin_stands_still_others_go_on(void **state)
{
    (void)state;
    struct world w = world_new(4);
    struct arena a;
    arena_init(&a, test_mem(), 1 << 20);
    (void)fleet_customer(w.f, 3, w.other, "李四");
    (void)fleet_customer(w.f, 3, w.other, "王五");
    struct record_id seen = fleet_customer(w.f, 1, w.seller, "陈大文");
    struct wire_item items[3] = { item_of(&w, &a, 3, 1), item_of(&w, &a, 3, 2), item_of(&w, &a, 1, 1) };
    ((uint8_t *)(uintptr_t)items[0].commit.ptr)[0] = COMMIT_VERSION + 1; /* our own copy */
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        assert_int_equal(take(&w, 4, 2, &items[i]), ERR_OK);
    }
    assert_true(world_shows_name(&w, 2, seen, "陈大文"));
    assert_int_equal(world_upto(&w, 2, 3, 1), 0);
    assert_int_equal(newer_at(&w, 2).stopped_count, 1);
    assert_true(dot_equal(newer_at(&w, 2).stopped[0], world_dot(3, 1)));
    fleet_restart(w.f, 2);
    assert_int_equal(newer_at(&w, 2).stopped_count, 1);

    /* The claim was a peer's alone: the true commit is taken whenever it comes, and the note is gone. */
    world_carry(&w, 3, 2, 3);
    assert_int_equal(world_upto(&w, 2, 3, 1), 2);
    assert_int_equal(newer_at(&w, 2).stopped_count, 0);
    assert_int_equal(fleet_quarantined(w.f, 2, ERR_OK), 0);
    arena_release(&a);
    fleet_free(w.f);
}

/* A gap is a gap when no newer format explains it, and nobody can fill the list. */
static void test_claims_of_newer_formats_are_bounded(void **state)
{
    (void)state;
    struct world w = world_new(3);
    (void)fleet_customer(w.f, 3, w.other, "李四");
    (void)fleet_customer(w.f, 3, w.other, "王五");
    struct arena a;
    arena_init(&a, test_mem(), 1 << 20);
    struct wire_item second = item_of(&w, &a, 3, 2);
    assert_int_equal(take(&w, 1, 2, &second), ERR_GAP);
    ((uint8_t *)(uintptr_t)second.commit.ptr)[0] = COMMIT_VERSION + 1; /* our own copy */
    assert_int_equal(take(&w, 1, 2, &second), ERR_GAP); /* the first one may be of this format */
    for (uint8_t epoch = 1; epoch <= NEWER_STOPPED_MAX + 20; epoch++) {
        const uint8_t claim[] = { COMMIT_VERSION + 1, 3, epoch, 1, 0xAA };
        const struct wire_item item = { .commit = BYTES_OF(claim) };
        assert_int_equal(take(&w, 1, 2, &item), ERR_OK);
    }
    assert_int_equal(newer_at(&w, 2).stopped_count, NEWER_STOPPED_MAX);
    assert_int_equal(fleet_space_count(w.f, 2, SPACE_QUARANTINE), NEWER_STOPPED_MAX);
    const uint8_t stranger[] = { COMMIT_VERSION + 1, 99, 1, 1 };
    const struct wire_item item = { .commit = BYTES_OF(stranger) };
    assert_int_equal(take(&w, 1, 2, &item), ERR_UNKNOWN_PEER);
    arena_release(&a);
    fleet_free(w.f);
}

/* --- contents nobody here can read --- */

static const struct part_cell sex_cell = { .number = 3, .value = { .type = VALUE_INT, .i = 2 } };
static const struct part_record main_customer = { .entity = ENTITY_CUSTOMER, .cell_count = 1 };

static struct forged_part part_of(const struct world *w, const struct part_cell *cells, enum class_ class_)
{
    return (struct forged_part){ .class_ = class_,
        .head = { .author = w->seller, .standing = 2, .purpose = PURPOSE_P1 },
        .records = &main_customer,
        .record_count = 1,
        .cells = cells };
}

/* The next commit of node 3 on a customer of station 1. */
static struct bytes forged(
    const struct world *w, struct record_id id, const struct forged_part *parts, size_t count, uint64_t seq)
{
    struct dossier d = { 0 };
    struct store *s = fleet_store(w->f, 3);
    const struct head *head = core_head(fleet_core(w->f, 2), 3, 1);
    assert_int_equal(s->ops->dossier_get(s, record_dossier(id), fleet_arena(w->f, 3), &d), ERR_OK);
    const struct forged_group g = {
        .kind = DOSSIER_CUSTOMER, .station = 1, .dossier = d.id, .secret = d.secret, .parts = parts, .part_count = count
    };
    const struct forged_commit c = {
        .node = 3, .dot = world_dot(3, seq), .prev = head == NULL ? NULL : head->hash, .groups = &g, .group_count = 1
    };
    return forge_commit(w->f, &c);
}

/* Nodes 1 and 2 take it in; node 1 again by a rebuild. They agree, and node 2 holds what was sent, byte by byte. */
static void both_take(const struct world *w, struct bytes commit, uint64_t seq)
{
    struct bytes kept = { 0 };
    struct bytes secrets = { 0 };
    assert_int_equal(fleet_ingest(w->f, 2, commit, (struct bytes){ 0 }), ERR_OK);
    assert_int_equal(fleet_ingest(w->f, 1, commit, (struct bytes){ 0 }), ERR_OK);
    assert_int_equal(fleet_rebuild(w->f, 1), ERR_OK);
    assert_true(fleet_same_hash(w->f, 1, 2));
    assert_int_equal(fleet_quarantined(w->f, 1, ERR_OK), fleet_quarantined(w->f, 2, ERR_OK));
    assert_int_equal(fleet_commit_of(w->f, 2, world_dot(3, seq), &kept, &secrets), ERR_OK);
    assert_true(bytes_equal(kept, commit));
}

/* A cell of a later kind is passed over, the cells beside it count. */
static void test_newer_kind_of_cell(void **state)
{
    (void)state;
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    for (uint8_t kind = 5; kind <= 6; kind++) {
        const struct part_cell cells[2] = { { .number = 2, .newer_kind = kind, .newer = BYTES_LIT("\xFF\x00 any") },
            { .number = 3, .value = { .type = VALUE_INT, .i = kind == 5 ? 2 : 3 } } };
        const struct part_record two = { .entity = ENTITY_CUSTOMER, .cell_count = 2 };
        struct forged_part part = part_of(&w, cells, CLASS_CONTACT);
        part.records = &two;
        part.head.context = (struct vv){ .at = (struct dot[]){ world_dot(3, 1) }, .count = kind == 5 ? 0 : 1 };
        both_take(&w, forged(&w, id, &part, 1, kind - 4), kind - 4);
        assert_true(world_shows(&w, 2, ENTITY_CUSTOMER, id, "sex", kind == 5 ? "F" : "U"));
        assert_int_equal(fleet_quarantined(w.f, 2, ERR_UNKNOWN_KIND), kind - 4);
        assert_int_equal(newer_at(&w, 2).parts, kind - 4);
    }
    fleet_free(w.f);
}

/*
 * Node 3 wrote the name in a way this build cannot read, and another field in one it can. Whoever changes the name here
 * has not seen that: his change must not count as made in knowledge of it. The same for a part that waits as a whole,
 * but not for one that is of another class.
 */
static void context_leaves_out(enum class_ waits, bool is_whole, bool is_capped)
{
    struct world w = world_new(3);
    struct record_id id = world_customer(&w);
    const uint8_t noise[] = { 0xFF };
    const struct part_cell name = { .number = 2, .newer_kind = 5, .newer = BYTES_LIT("x") };
    const struct part_cell managed = { .number = 9, .value = { .type = VALUE_INT, .i = 1 } };
    struct forged_part made[2] = { part_of(&w, &name, waits), part_of(&w, &managed, CLASS_BUSINESS) };
    made[0].raw = is_whole ? BYTES_OF(noise) : made[0].raw;
    both_take(&w, forged(&w, id, made, 2, 1), 1);
    assert_int_equal(world_set_name(&w, 2, id, "陈小文"), ERR_OK);
    struct bytes bytes = { 0 };
    struct bytes secrets = { 0 };
    struct commit_view v;
    struct group_item g;
    struct part_item p;
    struct open_part open;
    struct dossier d = { 0 };
    struct core *c = fleet_core(w.f, 2);
    assert_int_equal(fleet_commit_of(w.f, 2, world_dot(2, 1), &bytes, &secrets), ERR_OK);
    assert_int_equal(commit_parse(bytes, &v), ERR_OK);
    struct body_cursor groups = commit_groups(&v);
    assert_int_equal(commit_next_group(&groups, &g), ERR_OK);
    struct part_cursor parts = group_parts(&g);
    assert_int_equal(group_next_part(&parts, &p), ERR_OK);
    assert_int_equal(c->store->ops->dossier_get(c->store, g.dossier, fleet_arena(w.f, 2), &d), ERR_OK);
    assert_int_equal(core_open_part(c, fleet_arena(w.f, 2), &v, &g, &p, &d, &open), ERR_OK);
    bool names_it = false;
    for (size_t i = 0; i < open.head.context.count; i++) {
        names_it = names_it || open.head.context.at[i].node == 3;
    }
    assert_true(names_it != is_capped);
    fleet_free(w.f);
}

static void test_unseen_is_not_replaced(void **state)
{
    (void)state;
    context_leaves_out(CLASS_CONTACT, false, true);
    context_leaves_out(CLASS_CONTACT, true, true);
    context_leaves_out(CLASS_IDENTITY, true, false);
    context_leaves_out((enum class_)19, true, false);
}

/* Flags and kinds of dossiers: a hint changes nothing, the rest waits as a whole and is nobody's fault. */
static void test_newer_groups(void **state)
{
    (void)state;
    static const struct {
        uint8_t flags;
        uint8_t kind;
        size_t waiting;
    } cases[] = { { 0x02, 0, 0 }, { 0x0E, 0, 0 }, { 0x10, 0, 1 }, { 0x42, 0, 1 }, { 0x01, 9, 1 } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w = world_new(3);
        struct record_id id = world_customer(&w);
        const struct forged_part part = part_of(&w, &sex_cell, CLASS_CONTACT);
        struct dossier d = { 0 };
        struct store *s = fleet_store(w.f, 3);
        assert_int_equal(s->ops->dossier_get(s, record_dossier(id), fleet_arena(w.f, 3), &d), ERR_OK);
        bool is_new = (cases[i].flags & 1) != 0;
        const struct forged_group g = { .is_new = is_new,
            .flags = cases[i].flags,
            .kind = cases[i].kind == 0 ? DOSSIER_CUSTOMER : (enum dossier_kind)cases[i].kind,
            .station = 1,
            .dossier = d.id,
            .secret = d.secret,
            .parts = &part,
            .part_count = 1 };
        const struct forged_commit c = { .node = 3, .dot = world_dot(3, 1), .groups = &g, .group_count = 1 };
        struct bytes commit = forge_commit(w.f, &c);
        struct bytes secrets = is_new ? BYTES_OF(d.secret) : (struct bytes){ 0 };
        assert_int_equal(fleet_ingest(w.f, 2, commit, secrets), ERR_OK);
        assert_int_equal(fleet_quarantined(w.f, 2, ERR_UNKNOWN_KIND), cases[i].waiting);
        assert_true(world_shows(&w, 2, ENTITY_CUSTOMER, id, "sex", cases[i].waiting == 0 ? "F" : ""));
        /* Through node 2 to node 1, with its secret, byte by byte. */
        world_carry(&w, 2, 1, 3);
        struct bytes kept = { 0 };
        struct bytes also = { 0 };
        assert_int_equal(fleet_commit_of(w.f, 1, world_dot(3, 1), &kept, &also), ERR_OK);
        assert_true(bytes_equal(kept, commit) && bytes_equal(also, secrets));
        assert_int_equal(fleet_rebuild(w.f, 1), ERR_OK);
        assert_true(fleet_same_hash(w.f, 1, 2));
        fleet_free(w.f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_numbers),
        cmocka_unit_test(test_versions_that_do_not_meet),
        cmocka_unit_test(test_origin_stands_still_others_go_on),
        cmocka_unit_test(test_claims_of_newer_formats_are_bounded),
        cmocka_unit_test(test_newer_kind_of_cell),
        cmocka_unit_test(test_unseen_is_not_replaced),
        cmocka_unit_test(test_newer_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
