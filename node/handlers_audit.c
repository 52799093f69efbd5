/*
 * Owns: reading, checking and exporting the audit log. Invariants: no entry holds a value, and none is added here; a
 * look into the log is itself an entry; who may do it is sync/access.c's table.
 */
#include "node/member_change.h"
#include "node/view.h"

#include "schema/base/check.h"

#include <stdio.h>

enum { AUDIT_LIMIT_DEFAULT = 200, AUDIT_LIMIT_MAX = 10000 };

struct reading {
    struct viewing v;
    bool has_subject;
    uint8_t subject[16];
    uint8_t record[16]; /* the record asked for, unless it is the dossier's main one */
    bool has_record;
    uint32_t user; /* 0: anybody */
    size_t limit;
    json_t *found; /* newest first */
};

static enum err need_right(struct viewing *v, enum admin_right right, struct access_answer *out)
{
    *out = access_admin(v->user->roles, right);
    return out->view == VIEW_CLEAR ? ERR_OK : view_deny(v, NULL, NULL, NULL, out);
}

static bool wanted(const struct reading *r, const struct audit_entry *entry)
{
    if (r->user != 0 && entry->user != r->user) {
        return false;
    }
    if (!r->has_subject) {
        return true;
    }
    if (memcmp(entry->subject, r->subject, sizeof(r->subject)) != 0) {
        return false;
    }
    return !r->has_record || memcmp(entry->record, r->record, sizeof(r->record)) == 0;
}

static json_t *roles_json(uint32_t roles)
{
    json_t *out = json_array();
    for (unsigned i = ROLE_NONE + 1; i < ROLE_COUNT; i++) {
        if ((roles & role_bit((enum role)i)) != 0) {
            (void)json_array_append_new(out, json_string(role_name((enum role)i)));
        }
    }
    return out;
}

static json_t *fields_json(const struct audit_entry *entry, const struct entity_desc *d)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < entry->field_count; i++) {
        const struct field *f = d == NULL ? NULL : catalogue_field(d, entry->fields[i]);
        (void)json_array_append_new(
            out, f == NULL ? json_sprintf("#%u", (unsigned)entry->fields[i]) : json_string(f->name));
    }
    return out;
}

static const char *view_name(uint8_t view)
{
    static const char *const names[] = { [VIEW_DENY] = "none",
        [VIEW_MATCH] = "match",
        [VIEW_AGGREGATE] = "aggregate",
        [VIEW_MASKED] = "masked",
        [VIEW_CLEAR] = "clear" };
    return view < ARRAY_LEN(names) ? names[view] : "?";
}

static json_t *text_or_null(const char *text)
{
    return text == NULL ? json_null() : json_string(text);
}

static json_t *entry_json(const struct reading *r, const struct audit_entry *entry)
{
    const struct entity_desc *d = catalogue_entity((enum entity)entry->entity);
    json_t *out = json_object();
    (void)json_object_set_new(out, "number", json_integer((json_int_t)entry->number));
    (void)json_object_set_new(out, "at", view_instant(hlc_wall_ms(entry->hlc)));
    (void)json_object_set_new(out, "event", json_string(audit_event_name(entry->event)));
    (void)json_object_set_new(out, "user", entry->user == 0 ? json_null() : view_login(&r->v, entry->user));
    (void)json_object_set_new(out, "roles", roles_json(entry->roles));
    (void)json_object_set_new(out, "role", text_or_null(role_name(entry->role)));
    (void)json_object_set_new(out, "purpose", text_or_null(purpose_name(entry->purpose)));
    (void)json_object_set_new(out, "entity", text_or_null(d == NULL ? NULL : d->name));
    (void)json_object_set_new(out, "fields", fields_json(entry, d));
    (void)json_object_set_new(out, "view", json_string(view_name(entry->view)));
    (void)json_object_set_new(out, "result", json_string(err_name(entry->result)));
    json_t *change = entry->event != AUDIT_MEMBER || entry->result != ERR_OK
                         ? NULL
                         : member_change_json(r->v.rq->app, entry->count, entry->user);
    (void)json_object_set_new(out, "count", json_integer(entry->event == AUDIT_MEMBER ? 1 : (json_int_t)entry->count));
    if (change != NULL) {
        (void)json_object_set_new(out, "member", change);
    }
    if (entry->peer != 0) {
        (void)json_object_set_new(out, "peer", json_integer((json_int_t)entry->peer));
    }
    return out;
}

static enum err see_entry(void *ctx, struct bytes key, struct bytes value)
{
    struct reading *r = ctx;
    struct audit_entry entry;
    uint8_t prev[32];
    (void)key;
    enum err e = audit_decode(value, &entry, prev);
    if (e != ERR_OK) {
        return ERR_DAMAGED;
    }
    if (wanted(r, &entry)) {
        (void)json_array_append_new(r->found, entry_json(r, &entry));
    }
    return json_array_size(r->found) >= r->limit ? ERR_EXISTS : ERR_OK;
}

static enum err take_subject(struct reading *r, struct request *rq)
{
    struct bytes text = request_text(rq, "subject");
    const struct entity_desc *d = NULL;
    struct record_id id = { 0 };
    if (text.len == 0) {
        return ERR_OK;
    }
    enum err e = view_parse_id(&r->v, text, &d, &id);
    if (e == ERR_OK) {
        struct dossier_id dossier = record_dossier(id);
        audit_pseudonym(&rq->app->core.audit, BYTES_OF(dossier.b), r->subject);
        audit_pseudonym(&rq->app->core.audit, BYTES_OF(id.b), r->record);
        r->has_subject = true;
        r->has_record = !record_id_is_main(id);
    }
    return e;
}

static enum err take_filter(struct reading *r, struct request *rq)
{
    struct bytes login = request_text(rq, "user");
    int64_t limit = request_int(rq, "limit", AUDIT_LIMIT_DEFAULT);
    const struct member_user *user = members_user_by_login(rq->app->members, login);
    if (login.len > 0 && user == NULL) {
        return why_set(&rq->why, ERR_NOT_FOUND, "没有这个员工", "no such user");
    }
    if (limit < 1 || limit > AUDIT_LIMIT_MAX) {
        return why_set(&rq->why, ERR_USAGE, "--limit 在 1 到 10000 之间", "--limit goes from 1 to 10000");
    }
    r->user = user == NULL ? 0 : user->number;
    r->limit = (size_t)limit;
    return take_subject(r, rq);
}

/* The newest that fit, oldest of them first. */
static json_t *turned(json_t *newest_first)
{
    json_t *out = json_array();
    for (size_t i = json_array_size(newest_first); i > 0; i--) {
        (void)json_array_append(out, json_array_get(newest_first, i - 1));
    }
    json_decref(newest_first);
    return out;
}

static enum err verb_audit(struct request *rq)
{
    struct reading r = { .user = 0 };
    struct access_answer answer = { 0 };
    const struct bytes all = { 0 };
    enum err e = view_begin(&r.v, rq);
    if (e == ERR_OK) {
        e = need_right(&r.v, ADMIN_AUDIT_READ, &answer);
    }
    if (e == ERR_OK) {
        e = take_filter(&r, rq);
    }
    if (e != ERR_OK) {
        return e;
    }
    struct audit_entry *note = view_note(&r.v, AUDIT_AUDIT_READ, NULL, NULL);
    if (note == NULL) {
        return ERR_NOMEM;
    }
    note->role = answer.role;
    memcpy(note->subject, r.subject, sizeof(note->subject));
    r.found = json_array();
    e = rq->app->store->ops->scan(rq->app->store, SPACE_AUDIT, all, all, true, see_entry, &r);
    if (e != ERR_OK && e != ERR_EXISTS) {
        json_decref(r.found);
        return e == ERR_DAMAGED ? why_set(&rq->why, e, "审计日志已损坏；请运行 jipan audit verify",
                                      "the audit log is damaged; run jipan audit verify")
                                : e;
    }
    note->count = json_array_size(r.found);
    return view_release(&r.v, turned(r.found));
}

/* args.against: hex of a signed head that somebody kept. It must be this node's and truly signed. */
static enum err take_witness(struct request *rq, struct audit_head *out, bool *has)
{
    struct bytes text = request_text(rq, "against");
    uint8_t raw[256];
    const struct members *m = rq->app->members;
    *has = text.len > 0;
    if (!*has) {
        return ERR_OK;
    }
    size_t len = text.len / 2;
    struct reader r = reader_of(bytes_of(raw, len));
    if (len > sizeof(raw) || hex_parse(text, raw, len) != ERR_OK || audit_head_take(&r, out) != ERR_OK || r.left != 0) {
        return why_set(&rq->why, ERR_USAGE, "这不是一个审计链头", "this is not the head of an audit log");
    }
    const struct member_node *node = members_node(m, out->node);
    if (out->node != rq->app->core.self.number || node == NULL) {
        return why_set(&rq->why, ERR_USAGE, "这是另一个节点的审计链头", "this is the head of another node's log");
    }
    enum err e = audit_check_head(members_group_id(m), out, node->sign_key);
    return e == ERR_OK ? ERR_OK : why_set(&rq->why, e, "审计链头的签名不对", "the head's signature is wrong");
}

static enum err verb_audit_verify(struct request *rq)
{
    struct viewing v;
    struct access_answer answer = { 0 };
    struct audit_head witness;
    bool has_witness = false;
    uint64_t bad = 0;
    char text[24];
    enum err e = view_begin(&v, rq);
    if (e == ERR_OK) {
        e = need_right(&v, ADMIN_AUDIT_VERIFY, &answer);
    }
    if (e == ERR_OK) {
        e = take_witness(rq, &witness, &has_witness);
    }
    if (e != ERR_OK) {
        return e;
    }
    uint64_t entries = rq->app->core.audit.count;
    e = audit_verify(&rq->app->core.audit, &rq->app->arena, has_witness ? &witness : NULL, &bad);
    if (e == ERR_DAMAGED) {
        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)bad);
        return why_setf(
            &rq->why, e, "审计日志从第 %s 条起通不过验证", "the audit log fails to verify from entry %s on", text);
    }
    struct audit_entry *note = e == ERR_OK ? view_note(&v, AUDIT_AUDIT_READ, NULL, NULL) : NULL;
    if (note == NULL) {
        return e == ERR_OK ? ERR_NOMEM : e;
    }
    note->role = answer.role;
    note->count = entries;
    return view_release(&v, json_pack("{sIsb}", "entries", (json_int_t)entries, "ok", 1));
}

/* --- export: the raw entries and a signed head, for keeping elsewhere
 * ----------------------------------------------------- */

struct exporting {
    json_t *entries;
    size_t limit;
};

static enum err see_raw(void *ctx, struct bytes key, struct bytes value)
{
    struct exporting *x = ctx;
    char hex[2 * AUDIT_ENTRY_MAX_BYTES + 1];
    (void)key;
    if (value.len > AUDIT_ENTRY_MAX_BYTES) {
        return ERR_DAMAGED;
    }
    hex_text(value, hex);
    (void)json_array_append_new(x->entries, json_string(hex));
    return json_array_size(x->entries) >= x->limit ? ERR_EXISTS : ERR_OK;
}

static enum err head_json(struct app *app, json_t *out)
{
    struct audit_head head;
    struct buf b;
    char hex[2 * 160 + 1];
    audit_sign_head(&app->core.audit, app->core.self.number, app->core.epoch, app->core.self.sign_secret, &head);
    buf_init(&b, &app->mem, 160);
    audit_head_put(&b, &head);
    enum err e = b.err;
    if (e == ERR_OK) {
        hex_text(buf_view(&b), hex);
        (void)json_object_set_new(out, "head", json_string(hex));
    }
    buf_release(&b);
    return e;
}

/* args.from: number of the first entry wanted; args.limit. The result says where the next page starts. */
static enum err export_page(struct request *rq, json_t *out, size_t *count)
{
    int64_t from = request_int(rq, "from", 1);
    int64_t limit = request_int(rq, "limit", AUDIT_LIMIT_MAX);
    const struct bytes end = { 0 };
    uint8_t key[8];
    if (from < 1 || limit < 1 || limit > AUDIT_LIMIT_MAX) {
        return why_set(&rq->why, ERR_USAGE, "起点或条数不对", "bad start or limit");
    }
    struct exporting x = { .entries = json_array(), .limit = (size_t)limit };
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)((uint64_t)from >> (8 * (7 - i)));
    }
    enum err e = rq->app->store->ops->scan(rq->app->store, SPACE_AUDIT, BYTES_OF(key), end, false, see_raw, &x);
    *count = json_array_size(x.entries);
    (void)json_object_set_new(out, "entries", x.entries);
    (void)json_object_set_new(out, "next", json_integer((json_int_t)from + (json_int_t)*count));
    return e == ERR_EXISTS ? ERR_OK : e;
}

static enum err verb_audit_export(struct request *rq)
{
    struct viewing v;
    struct access_answer answer = { 0 };
    size_t count = 0;
    enum err e = view_begin(&v, rq);
    if (e == ERR_OK) {
        e = need_right(&v, ADMIN_AUDIT_READ, &answer);
    }
    if (e != ERR_OK) {
        return e;
    }
    json_t *out = json_object();
    (void)json_object_set_new(out, "node", json_integer((json_int_t)rq->app->core.self.number));
    (void)json_object_set_new(out, "count", json_integer((json_int_t)rq->app->core.audit.count));
    e = head_json(rq->app, out);
    if (e == ERR_OK) {
        e = export_page(rq, out, &count);
    }
    struct audit_entry *note = e == ERR_OK ? view_note(&v, AUDIT_EXPORT, NULL, NULL) : NULL;
    if (note == NULL) {
        json_decref(out);
        return e == ERR_OK ? ERR_NOMEM : e;
    }
    note->role = answer.role;
    note->count = count;
    return view_release(&v, out);
}

/* --- heads of other nodes that this one has seen
 * ----------------------------------------------------------------------- */

static enum err see_head(void *ctx, struct bytes key, struct bytes value)
{
    json_t *list = ctx;
    struct reader r = reader_of(value);
    struct audit_head head;
    char hex[2 * 160 + 1];
    (void)key;
    if (value.len > 160 || audit_head_take(&r, &head) != ERR_OK) {
        return ERR_DAMAGED;
    }
    hex_text(value, hex);
    (void)json_array_append_new(list, json_pack("{s:I, s:I, s:I, s:s}", "node", (json_int_t)head.node, "epoch",
                                          (json_int_t)head.epoch, "count", (json_int_t)head.count, "head", hex));
    return ERR_OK;
}

/* What this node can testify about the others' audit logs: `audit verify --against` on that node compares. */
static enum err verb_audit_heads(struct request *rq)
{
    struct viewing v;
    struct access_answer answer = { 0 };
    enum err e = view_begin(&v, rq);
    if (e == ERR_OK) {
        e = need_right(&v, ADMIN_AUDIT_VERIFY, &answer);
    }
    if (e != ERR_OK) {
        return e;
    }
    json_t *list = json_array();
    e = rq->app->store->ops->scan(rq->app->store, SPACE_PEER, BYTES_LIT("w"), BYTES_LIT("x"), false, see_head, list);
    if (e != ERR_OK) {
        json_decref(list);
        return e;
    }
    return view_release(&v, list);
}

const struct request_verb handlers_audit[] = {
    { "audit", verb_audit, 0 },
    { "audit-verify", verb_audit_verify, 0 },
    { "audit-export", verb_audit_export, 0 },
    { "audit-heads", verb_audit_heads, 0 },
    { NULL, NULL, 0 },
};
