/*
 * Owns: what people do at simulated nodes: they create, edit, delete and settle, one commit each, through core_write in
 * the node's own transaction with an audit entry, as the handlers do. Invariants: rights are not asked here, so a
 * refusal of the core is an answer like others; only what was committed is remembered as acknowledged.
 */
#include "tests/sim/ops.h"

#include "schema/base/check.h"
#include "sync/conflict.h"

#include <stdlib.h>

/* Fields people fill in. Where no texts stand, the value is unique. */
struct choice {
    enum entity entity;
    const char *field;
    const char *texts[4];
};

static const struct choice choices[] = {
    { ENTITY_CUSTOMER, "full_name", { "陈大文", "陈小文", "李四", "王五" } },
    { ENTITY_CUSTOMER, "sex", { "M", "F", "U", "" } },
    { ENTITY_CUSTOMER, "birth_date", { "1980-01-02", "1981-01-02", "1982-01-02", "" } },
    { ENTITY_CUSTOMER, "occupation", { "教师", "医生", "司机", "" } },
    { ENTITY_CUSTOMER, "remark", { NULL } },
    { ENTITY_CUSTOMER, "managed", { "1", "0", "1", "0" } },
    { ENTITY_CUSTOMER, "first_contact_at",
        { "2026-01-02T03:04:05Z", "2025-01-02T03:04:05Z", "2024-01-02T03:04:05Z", "2023-01-02T03:04:05Z" } },
    { ENTITY_ADDRESS, "town", { "东镇", "西镇", "南镇", "北镇" } },
    { ENTITY_ADDRESS, "detail", { NULL } },
    { ENTITY_CONTACT_POINT, "is_primary", { "1", "0", "1", "0" } },
    { ENTITY_CONTACT_POINT, "verified_at",
        { "2026-01-02T03:04:05Z", "2025-01-02T03:04:05Z", "2024-01-02T03:04:05Z", "2023-01-02T03:04:05Z" } },
    { ENTITY_CONTACT_POINT, "value_norm", { "13800000001", "13800000002", "13800000003", "13800000004" } },
    { ENTITY_CUSTOMER_PROFILE, "colours", { "红", "白", "黑", "蓝" } },
    { ENTITY_CUSTOMER_PROFILE, "interests", { NULL } },
    { ENTITY_CUSTOMER_ASSIGNMENT, "to_at", { "2026-02-02T03:04:05Z", "2026-03-02T03:04:05Z", "", "" } },
};

/* Unique; in the second of twin runs other signs in the same places, in the dossiers of one station only. */
static void canary_text(struct sim *s, uint32_t station, char out[40])
{
    uint32_t n = ++s->canaries;
    bool is_other = s->plan->hidden == 2 && station == sim_hidden_station(s);
    uint32_t salt = (uint32_t)chance_mix(n + (is_other ? 1000003U : 0U)) & 0xFFFFFFU;
    (void)snprintf(out, 40, "%s%06x%06x", CANARY, n, salt);
}

static void choose_text(struct sim *s, const struct choice *c, uint32_t pick, uint32_t station, char out[40])
{
    if (c->texts[0] == NULL) {
        canary_text(s, station, out);
    } else {
        (void)snprintf(out, 40, "%s", c->texts[pick % 4]);
    }
}

uint32_t ops_user(struct sim *s, const struct sim_node *n, uint32_t choice)
{
    if (n->is.kind == NODE_LAPTOP || n->is.kind == NODE_RELAY) {
        return n->owner;
    }
    for (size_t i = 0; i < s->user_count; i++) {
        size_t u = (choice + i) % s->user_count;
        bool is_near = s->user_station[u] == n->is.station || choice % 5 == 0;
        if (is_near && !s->user_is_off[u]) {
            return s->users[u];
        }
    }
    return 0;
}

/* --- one commit --------------------------------------------------------------------------------------------------- */

void op_begin(struct op *op, struct sim_node *n, uint32_t user)
{
    memset(op, 0, sizeof(*op));
    op->n = n;
    op->user = user;
    node_enter(n);
    arena_reset(&n->app->arena);
}

/* Most work on a customer is done by people of its station. */
static void local_user(struct op *op, const struct sim_record *in)
{
    struct sim *s = op->n->sim;
    for (size_t i = 0; op->n->is.kind != NODE_LAPTOP && op->user != 1 && i < s->user_count; i++) {
        size_t u = (op->choice + i) % s->user_count;
        if (op->choice % 10 != 0 && s->user_station[u] == in->station && !s->user_is_off[u]) {
            op->user = s->users[u];
            return;
        }
    }
}

struct op_record *op_add(struct op *op, enum entity entity, const struct sim_record *in)
{
    check(op->count < OP_RECORDS_MAX);
    if (in != NULL) {
        local_user(op, in);
    }
    struct op_record *r = &op->records[op->count++];
    const struct member_user *u = members_user(op->n->app->members, op->user);
    r->desc = catalogue_entity(entity);
    r->group.kind = DOSSIER_CUSTOMER;
    r->group.station = u == NULL ? 1 : u->station;
    if (in == NULL) {
        r->group.is_new = true;
        r->write.is_new = true;
    } else {
        r->group.id = record_dossier(in->id);
        r->group.station = in->station;
        r->of = in;
        r->write.id = in->id;
    }
    r->write.desc = r->desc;
    return r;
}

void op_field(struct op *op, struct op_record *r, const char *name, const char *text)
{
    struct why why = { .zh = "" };
    const struct field *f = catalogue_field_by_name(r->desc, bytes_str(name));
    check(f != NULL && r->field_count < OP_FIELDS_MAX);
    for (size_t i = 0; i < r->field_count; i++) {
        if (r->fields[i].field == f) {
            return;
        }
    }
    struct write_field *w = &r->fields[r->field_count];
    *w = (struct write_field){ .field = f };
    enum err e = field_parse(f, &op->n->app->arena, bytes_str(text), &w->value, &why);
    if (e != ERR_OK) {
        (void)fprintf(stderr, "sim: %s=%s: %s\n", name, text, why.en);
    }
    check(e == ERR_OK);
    (void)snprintf(r->texts[r->field_count++], sizeof(r->texts[0]), "%s", text);
}

static enum err audit_op(struct op *op, struct app *app)
{
    struct audit_entry entry = {
        .event = AUDIT_UPDATE, .user = op->user, .count = op->count, .hlc = hlc_tick(app->core.hlc, app_now())
    };
    return audit_append(&app->core.audit, &app->arena, &entry);
}

static size_t remember_record(struct sim *s, struct op *op, struct op_record *r)
{
    if (r->of != NULL && !r->write.is_new) {
        return (size_t)(r->of - s->records);
    }
    if (s->record_count == SIM_RECORDS_MAX) {
        return SIM_RECORDS_MAX;
    }
    struct sim_record *made = &s->records[s->record_count];
    *made = (struct sim_record){ .entity = r->desc->entity, .id = r->write.id, .station = r->group.station };
    made->customer = r->of == NULL ? r->write.id : r->of->customer;
    made->made_by = s->ack_count == 0 ? 0 : s->ack_count - 1;
    made->creator = r->of == NULL ? op->user : r->of->creator;
    if (r->of != NULL) {
        made->is_moved = r->of->is_moved;
        memcpy(made->held_by, r->of->held_by, sizeof(made->held_by));
    }
    return s->record_count++;
}

static void remember(struct op *op, struct dot dot)
{
    struct sim *s = op->n->sim;
    struct sim_ack *ack = oracle_ack(s, op->n, dot, 0, op->user);
    for (size_t i = 0; i < op->count; i++) {
        struct op_record *r = &op->records[i];
        size_t at = remember_record(s, op, r);
        if (ack == NULL || at == SIM_RECORDS_MAX) {
            continue;
        }
        ack->record = at;
        for (size_t k = 0; k < r->field_count; k++) {
            oracle_note(s, ack, at, r->fields[k].field, r->texts[k], r->fields[k].is_decision);
        }
        if (r->write.is_delete) {
            oracle_note(s, ack, at, NULL, "", false);
        }
    }
}

/* Commits what was put together; the node may be gone afterwards. */
enum err op_commit(struct op *op)
{
    struct sim_node *n = op->n;
    struct app *app = n->app;
    struct write_group groups[OP_RECORDS_MAX];
    struct dot dot = { 0 };
    struct why why = { .zh = "" };
    for (size_t i = 0; i < op->count; i++) {
        struct op_record *r = &op->records[i];
        r->write.fields = r->fields;
        r->write.field_count = r->field_count;
        r->group.records = &r->write;
        r->group.record_count = 1;
        groups[i] = r->group;
    }
    struct write_request req = {
        .author = op->user, .purpose = PURPOSE_P1, .groups = groups, .group_count = op->count
    };
    enum err e = app_begin(app);
    if (e == ERR_OK) {
        e = core_write(&app->core, &app->arena, app_now(), &req, &dot, &why);
        e = e == ERR_OK ? audit_op(op, app) : e;
        e = app_end(app, e);
    }
    sim_trace(n->sim, (uint64_t)e << 32U | dot.seq);
    bool is_answer = e == ERR_DENIED || e == ERR_NOT_FOUND || e == ERR_INVALID || e == ERR_NO_KEY;
    if (e != ERR_OK && !is_answer) {
        (void)node_survived(n, e);
        return e;
    }
    n->alloc_failed = false;
    if (e == ERR_OK) {
        node_note_durable(n);
        if (dot.seq != 0) {
            remember(op, dot);
        }
        node_step(n, (struct sync_event){ .kind = SYNC_EV_LOCAL });
    } else {
        sim_log(n->sim, "node %u refuses: %s", n->slot + 1, err_name(e));
    }
    return e;
}

/* --- choosing ----------------------------------------------------------------------------------------------------- */

/* Writes nothing while somebody knows more of this node than it does itself and it cannot know that (docs/decisions
 * /0011: an image set back shows only when they meet). */
static bool must_wait(struct sim *s, const struct sim_node *n)
{
    if (n->must_meet && sticks_know(s, n->number, n->epoch) > known_upto(&n->durable, n->number, n->epoch)) {
        return true;
    }
    for (size_t i = 0; n->must_meet && i < s->node_count; i++) {
        const struct sim_node *o = &s->nodes[i];
        if (o != n && o->exists &&
            known_upto(&o->durable, n->number, n->epoch) > known_upto(&n->durable, n->number, n->epoch)) {
            return true;
        }
    }
    return false;
}

static bool op_ready(struct sim *s, const struct plan_action *a, struct op *op)
{
    struct sim_node *n = some_up(s, a->a);
    uint32_t user = n == NULL ? 0 : ops_user(s, n, a->d >> 8U);
    if (user == 0 || n->paused_until > s->now_ms || must_wait(s, n)) {
        return false;
    }
    op_begin(op, n, user);
    op->choice = a->d;
    return true;
}

/* A record of this entity that the node has; NULL: none found. */
static struct sim_record *some_record(struct sim *s, struct op *op, enum entity entity, uint32_t choice)
{
    struct store *store = op->n->app->store;
    for (size_t i = 0; i < s->record_count; i++) {
        struct sim_record *r = &s->records[(choice + i) % s->record_count];
        struct row row = { 0 };
        if (r->entity == entity && store->ops->row_get(store, entity, r->id, &op->n->app->arena, &row) == ERR_OK) {
            return r;
        }
    }
    return NULL;
}

static void customer_fields(struct sim *s, struct op *op, struct op_record *r, uint32_t pick)
{
    char text[40];
    canary_text(s, r->group.station, text);
    op_field(op, r, "full_name", choices[0].texts[pick % 4]);
    op_field(op, r, "kind", "个人");
    op_field(op, r, "remark", text);
}

static void do_create(struct sim *s, struct op *op, const struct plan_action *a)
{
    customer_fields(s, op, op_add(op, ENTITY_CUSTOMER, NULL), a->b);
    (void)op_commit(op);
}

/* As an import does: many customers in one commit. */
static void do_bulk(struct sim *s, struct op *op, const struct plan_action *a)
{
    uint32_t count = 2 + a->b % (OP_RECORDS_MAX - 2);
    for (uint32_t i = 0; i < count; i++) {
        customer_fields(s, op, op_add(op, ENTITY_CUSTOMER, NULL), a->c + i);
    }
    (void)op_commit(op);
}

static void do_child(struct sim *s, struct op *op, const struct plan_action *a)
{
    struct sim_record *c = some_record(s, op, ENTITY_CUSTOMER, a->b);
    char text[40];
    if (c == NULL) {
        return;
    }
    static const enum entity kinds[] = { ENTITY_ADDRESS, ENTITY_CONTACT_POINT, ENTITY_CUSTOMER_PROFILE };
    enum entity kind = kinds[a->c % ARRAY_LEN(kinds)];
    struct op_record *r = op_add(op, kind, c);
    r->write.is_new = true;
    canary_text(s, c->station, text);
    if (kind == ENTITY_ADDRESS) {
        op_field(op, r, "town", "镇");
        op_field(op, r, "detail", text);
    } else if (kind == ENTITY_CONTACT_POINT) {
        op_field(op, r, "value_raw", "13800000000");
    } else {
        op_field(op, r, "colours", "绿");
    }
    (void)op_commit(op);
}

/* The customer gets, or changes, who looks after it. */
static void do_assign(struct sim *s, struct op *op, const struct plan_action *a)
{
    struct sim_record *c = some_record(s, op, ENTITY_CUSTOMER, a->b);
    char login[8];
    if (c == NULL) {
        return;
    }
    size_t user = a->c % s->user_count;
    (void)snprintf(login, sizeof(login), "u%u", s->users[user]);
    struct op_record *r = op_add(op, ENTITY_CUSTOMER_ASSIGNMENT, c);
    r->write.is_new = true;
    op_field(op, r, "role", "sales");
    op_field(op, r, "staff", login);
    op_field(op, r, "from_at", "2026-01-01T00:00:00Z");
    for (size_t i = 0; i < s->record_count; i++) {
        struct sim_record *of = &s->records[i];
        for (size_t k = 0; record_id_compare(of->customer, c->customer) == 0 && k < PLAN_USERS_MAX; k++) {
            if (of->held_by[k] == 0 || of->held_by[k] == s->users[user]) {
                of->held_by[k] = s->users[user];
                of->is_moved = true;
                break;
            }
        }
    }
    s->has_moved = true;
    (void)op_commit(op);
}

static bool add_edit(
    struct sim *s, struct op *op, struct sim_record *rec, struct op_record *r, uint32_t choice, uint32_t pick)
{
    char text[40];
    for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
        const struct choice *c = &choices[(choice + i) % ARRAY_LEN(choices)];
        if (c->entity == rec->entity) {
            choose_text(s, c, pick, rec->station, text);
            op_field(op, r, c->field, text);
            return true;
        }
    }
    return false;
}

static void do_edit(struct sim *s, struct op *op, const struct plan_action *a)
{
    const struct choice *c = &choices[a->c % ARRAY_LEN(choices)];
    struct sim_record *rec = some_record(s, op, c->entity, a->b);
    if (rec == NULL) {
        rec = some_record(s, op, ENTITY_CUSTOMER, a->b);
    }
    if (rec == NULL) {
        return;
    }
    uint32_t fields = a->id == DO_EDIT_MANY ? 2 + a->d % 3 : 1;
    struct op_record *r = op_add(op, rec->entity, rec);
    for (uint32_t i = 0; i < fields; i++) {
        if (!add_edit(s, op, rec, r, a->c + 37 * i, (a->d >> 3U) + i)) {
            return;
        }
    }
    for (size_t i = 0; a->d % 11 == 0 && i < r->field_count; i++) {
        r->fields[i].is_decision = true;
    }
    (void)op_commit(op);
}

/* Everybody writes the same text into the same field. */
static void do_same(struct sim *s, struct op *op, const struct plan_action *a)
{
    struct sim_record *rec = some_record(s, op, ENTITY_CUSTOMER, a->b);
    if (rec != NULL) {
        op_field(op, op_add(op, rec->entity, rec), "occupation", "同业");
        (void)op_commit(op);
    }
}

static void do_delete(struct sim *s, struct op *op, const struct plan_action *a)
{
    if (s->record_count == 0) {
        return;
    }
    struct sim_record *rec = &s->records[a->b % s->record_count];
    op_add(op, rec->entity, rec)->write.is_delete = true;
    (void)op_commit(op);
}

/* An edit of something deleted brings it back. */
static void do_undelete(struct sim *s, struct op *op, const struct plan_action *a)
{
    struct store *store = op->n->app->store;
    for (size_t i = 0; i < s->record_count; i++) {
        struct sim_record *rec = &s->records[(a->b + i) % s->record_count];
        struct row row = { 0 };
        if (store->ops->row_get(store, rec->entity, rec->id, &op->n->app->arena, &row) == ERR_OK && row.is_deleted) {
            struct op_record *r = op_add(op, rec->entity, rec);
            if (add_edit(s, op, rec, r, a->c, a->d >> 3U)) {
                (void)op_commit(op);
            }
            return;
        }
    }
}

/* A station's own book. */
static void do_book(struct sim *s, struct op *op, const struct plan_action *a)
{
    static const char *const names[] = { "甲", "乙", "丙" };
    uint32_t station = op->n->is.station;
    (void)s;
    op->user = 1;
    struct op_record *r = op_add(op, ENTITY_STAFF, NULL);
    r->group = (struct write_group){
        .kind = DOSSIER_STATION_BOOK, .station = station, .id = core_station_book(&op->n->app->core, station)
    };
    op_field(op, r, "user", "u9");
    op_field(op, r, "name", names[a->b % 3]);
    (void)op_commit(op);
}

/* --- settling ----------------------------------------------------------------------------------------------------- */

struct seeking {
    struct arena *a;
    uint32_t left;
    bool found;
    struct conflict_entry entry;
};

static enum err seek_open(void *ctx, struct bytes key, struct bytes value)
{
    struct seeking *seek = ctx;
    struct conflict_entry entry;
    struct bytes copy = { 0 };
    (void)key;
    enum err e = arena_dup(seek->a, value, &copy);
    e = e == ERR_OK ? conflict_take(copy, seek->a, &entry) : e;
    if (e == ERR_OK && entry.is_open && entry.field != 0) {
        seek->found = true;
        seek->entry = entry;
        return seek->left-- == 0 ? ERR_BUSY : ERR_OK;
    }
    return e;
}

static const struct sim_record *record_by_id(const struct sim *s, struct record_id id, uint32_t entity)
{
    for (size_t i = 0; i < s->record_count; i++) {
        if ((uint32_t)s->records[i].entity == entity && record_id_compare(s->records[i].id, id) == 0) {
            return &s->records[i];
        }
    }
    return NULL;
}

static void do_decide(struct sim *s, struct op *op, const struct plan_action *a)
{
    const struct bytes all = { 0 };
    struct store *store = op->n->app->store;
    struct seeking seek = { .a = &op->n->app->arena, .left = a->b % 8 };
    enum err e = store->ops->scan(store, SPACE_CONFLICT, all, all, false, seek_open, &seek);
    const struct sim_record *rec = seek.found ? record_by_id(s, seek.entry.record, seek.entry.entity) : NULL;
    if ((e != ERR_OK && e != ERR_BUSY) || rec == NULL) {
        return;
    }
    struct op_record *r = op_add(op, rec->entity, rec);
    const struct conflict_write *take = &seek.entry.siblings.at[a->c % seek.entry.siblings.count];
    for (size_t i = 0; i < r->desc->field_count; i++) {
        struct bytes text = { 0 };
        const struct field *f = &r->desc->fields[i];
        if (f->number == seek.entry.field && field_text(f, &op->n->app->arena, take->value, &text) == ERR_OK) {
            struct write_field *w = &r->fields[r->field_count];
            *w = (struct write_field){ .field = f, .value = take->value, .is_decision = true };
            memcpy(w->conflict, seek.entry.id, sizeof(w->conflict));
            (void)snprintf(r->texts[r->field_count++], sizeof(r->texts[0]), "%.*s", (int)text.len,
                text.len == 0 ? "" : (const char *)text.ptr);
            (void)op_commit(op);
            return;
        }
    }
}

/* --- looking after the node --------------------------------------------------------------------------------------- */

static void do_passphrase(struct sim_node *n)
{
    struct why why = { .zh = "" };
    char text[24];
    n->passphrase++;
    (void)snprintf(text, sizeof(text), "%s", n->passphrase % 2 == 0 ? "sim-passphrase" : "sim-passphrase-2");
    node_enter(n);
    enum err e = vault_set_passphrase(n->app->vault, bytes_str(text), &why);
    if (e != ERR_OK) {
        n->has_two_passphrases = true;
        (void)node_survived(n, e);
    }
}

static void do_verify(struct sim *s, struct sim_node *n, bool rebuild)
{
    struct why why = { .zh = "" };
    struct core_mended mended = { 0 };
    struct core_mended *mend = rebuild ? &mended : NULL;
    node_enter(n);
    enum err e = app_verify(n->app, true, mend, &why);
    if (e == ERR_DAMAGED && n->has_two_passphrases) {
        do_passphrase(n); /* one that a failing disk broke off: the next open mends the header, or another change */
        if (!node_is_up(n)) {
            return;
        }
        e = app_verify(n->app, true, mend, &why);
    }
    if (e == ERR_DAMAGED && !n->is_spoiled && !disk_sim_has_crashed(n->place.disk)) {
        sim_fail(s, SIM_WRONG, "I26", "node %u: verify: %s", n->number, why.en);
    }
    if (e != ERR_OK) {
        (void)node_survived(n, e);
        return;
    }
    arena_reset(&n->app->arena);
    node_note_durable(n);
}

static void look_after(struct sim *s, const struct plan_action *a)
{
    struct sim_node *n = some_up(s, a->a);
    if (n == NULL || n->paused_until > s->now_ms) {
        return;
    }
    s->totals->done[a->id]++;
    if (a->id == DO_PASSPHRASE) {
        do_passphrase(n);
    } else if (a->id == DO_BACKUP) {
        backup_do(s, n);
    } else if (a->id == DO_PROBE) {
        node_step(n, (struct sync_event){ .kind = SYNC_EV_PROBE, .probe_id = a->b });
    } else {
        do_verify(s, n, a->id == DO_REBUILD);
    }
}

typedef void (*op_fn)(struct sim *s, struct op *op, const struct plan_action *a);

static const op_fn doers[DO_COUNT] = {
    [DO_CREATE] = do_create,
    [DO_CHILD] = do_child,
    [DO_EDIT] = do_edit,
    [DO_EDIT_MANY] = do_edit,
    [DO_SAME] = do_same,
    [DO_DELETE] = do_delete,
    [DO_UNDELETE] = do_undelete,
    [DO_DECIDE] = do_decide,
    [DO_ASSIGN] = do_assign,
    [DO_BULK] = do_bulk,
    [DO_BOOK] = do_book,
};

void ops_do(struct sim *s, const struct plan_action *a)
{
    static struct op op;
    size_t before = s->ack_count;
    if (a->id == DO_BUNDLE || a->id == DO_STICK) {
        stick_do(s, a);
    } else if (doers[a->id] == NULL) {
        look_after(s, a);
    } else if (op_ready(s, a, &op)) {
        s->writes_tried++;
        doers[a->id](s, &op, a);
        s->totals->done[a->id] += s->ack_count > before ? 1 : 0;
    }
}
